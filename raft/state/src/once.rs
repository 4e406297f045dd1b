//! Each batch once: per boot of a node the highest sequence number and the 64 below it.

use crate::State;
use crate::book::Entry;
use crate::command::Place;
use crate::limits;
use crate::planted::{self, Bug};
use crate::rows::{Row, Seen};

impl State {
    /// Notes the batch. False: it was applied before, or is so far behind that nobody can tell;
    /// such a one was given up long ago by its proposer.
    pub(crate) fn first_time(&mut self, entry: &mut Entry, place: Place) -> bool {
        let key = (place.node, place.boot);
        let Some(seen) = self.seen.get_mut(&key) else {
            self.forget_boots(entry, place.node);
            let first = entry.meta.log_index;
            let Place {
                node,
                boot,
                sequence,
            } = place;
            self.seen.insert(
                key,
                Seen {
                    node,
                    boot,
                    first,
                    highest: sequence,
                    mask: 1,
                },
            );
            entry.touch(Row::Seen(node, boot));
            return true;
        };
        let new = seen.note(place.sequence);
        if new {
            entry.touch(Row::Seen(place.node, place.boot));
        }
        new || planted::is(Bug::SkipDedup)
    }

    /// Makes room for one more boot: the node's oldest goes, or the oldest of all.
    fn forget_boots(&mut self, entry: &mut Entry, node: u32) {
        let of_node = || self.seen.range((node, 0)..=(node, u64::MAX));
        let oldest = if of_node().count() >= limits::BOOTS_PER_NODE {
            of_node().min_by_key(|(_, seen)| seen.first)
        } else if self.seen.len() >= limits::BOOTS {
            self.seen.iter().min_by_key(|(_, seen)| seen.first)
        } else {
            None
        };
        let Some((node, boot)) = oldest.map(|(key, _)| *key) else {
            return;
        };
        self.seen.remove(&(node, boot));
        entry.touch(Row::Seen(node, boot));
    }
}

impl Seen {
    /// True where `sequence` is new; it no longer is then.
    fn note(&mut self, sequence: u64) -> bool {
        if let Some(ahead) = sequence
            .checked_sub(self.highest)
            .filter(|ahead| *ahead > 0)
        {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.mask = self.mask.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = sequence;
            return true;
        }
        let behind = self.highest.saturating_sub(sequence);
        let bit = u32::try_from(behind)
            .ok()
            .and_then(|behind| 1_u64.checked_shl(behind));
        match bit {
            Some(bit) if self.mask & bit == 0 => {
                self.mask |= bit;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop_oneof, proptest};

    use super::Seen;

    fn steps() -> impl Strategy<Value = i64> {
        prop_oneof![8 => -3..5_i64, 2 => -70..-50_i64, 1 => 60..70_i64]
    }

    proptest! {
        #[test]
        fn each_sequence_number_counts_once(steps in vec(steps(), 1..200)) {
            let mut seen = Seen { node: 1, boot: 1, first: 0, highest: 100, mask: 1 };
            let mut done = BTreeSet::from([100_u64]);
            let mut at = 100_u64;
            for step in steps {
                at = at.saturating_add_signed(step).max(1);
                let highest = *done.last().unwrap();
                let forgotten = highest.saturating_sub(at) > 63;
                assert_eq!(seen.note(at), !forgotten && !done.contains(&at), "{at} of {done:?}");
                if !forgotten {
                    done.insert(at);
                }
            }
        }
    }
}
