//! The log's time never goes back, whatever clocks do and whoever leads. Source: CALLS.md,
//! "State and commands", time; AUDIT.md, frame: `wall_us` never goes back.

use super::{Evidence, Witness};

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let mut before = (0, 0, 0);
    for (index, entry) in evidence.book.entries.iter().enumerate() {
        let (wall, t, log_index) = (entry.wall_us, entry.number("t"), entry.log_index);
        if wall < before.0 || t < before.1 {
            return Err(format!(
                "record {index} is of {t} (frame {wall}), the one before of {} (frame {})",
                before.1, before.0
            ));
        }
        // Entries have times of their own, each later than the last.
        if log_index > before.2 && t == before.1 {
            return Err(format!("record {index} is of the time of an earlier entry"));
        }
        if log_index < before.2 {
            return Err(format!("record {index} is of an earlier entry"));
        }
        before = (wall, t, log_index);
    }
    Ok(())
}
