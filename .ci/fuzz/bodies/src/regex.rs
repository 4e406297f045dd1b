//! Bytes as a pattern, and after a byte that no text has, as the text to search.

use tollbook_policy::goregex::{GoRegex, Limits, SKIP_BYTES_MAX};

use crate::naive;

/// No UTF-8 has it.
const BETWEEN: u8 = 0xFF;
/// Longer than what the table of all states searches.
const LONG: usize = 600;
/// A state, of all classes of bytes, for each byte that a match may begin with.
const SKIP_STATES_BYTES_MAX: usize = SKIP_BYTES_MAX * 1_280;
/// Up to here trying everything is cheap.
const NAIVE_TEXT: usize = 24;
const NAIVE_PATTERN: usize = 32;

/// A pattern is refused at a place in it, or all engines find the same, as does trying everything
/// where the pattern is plain.
///
/// # Panics
/// If that does not hold.
pub fn regex(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == BETWEEN);
    let (pattern, text) = data.split_at(at.unwrap_or(data.len()));
    let text = text.strip_prefix(&[BETWEEN]).unwrap_or_default();
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else {
        return;
    };
    let table = Limits::default();
    let lazy = Limits {
        dfa_bytes_max: 0,
        ..Limits::default()
    };
    // Nothing but what stands in last.
    let threads = Limits {
        dfa_bytes_max: 0,
        lazy_steps_max: 0,
        ..Limits::default()
    };
    let naive = (pattern.len() <= NAIVE_PATTERN).then(|| naive::Pattern::plain(pattern));
    let naive = naive.flatten();
    let mut regexes = Vec::new();
    for limits in [&table, &lazy, &threads] {
        match GoRegex::new(pattern, limits) {
            Ok(regex) => {
                let size = regex.size_bytes();
                assert!(size <= sizes(pattern, limits), "{size}: {pattern:?}");
                regexes.push(regex);
            }
            Err(error) => {
                assert!(pattern.is_char_boundary(error.at), "{error}");
                assert!(naive.is_none(), "{pattern:?} is plain: {error}");
                assert!(
                    regexes.is_empty(),
                    "{pattern:?} is refused by some: {error}"
                );
            }
        }
    }
    let long = format!("{text}{}{text}", " ".repeat(LONG));
    for text in [text, &long] {
        let naive = naive.as_ref().filter(|_| text.len() <= NAIVE_TEXT);
        let mut known = naive.map(|naive| naive.is_match(text));
        for regex in &regexes {
            // A search may end without an answer; another answer it may not have.
            let found = regex.is_match(text);
            if let (Some(known), Some(found)) = (known, found) {
                assert_eq!(found, known, "{pattern:?} in {text:?}");
            }
            known = known.or(found);
        }
    }
    // What was searched before changes no answer.
    for regex in &regexes {
        let (short, other) = (regex.is_match(text), regex.is_match(&long));
        assert_eq!(
            (regex.is_match(text), regex.is_match(&long)),
            (short, other),
            "{pattern:?}"
        );
    }
}

fn sizes(pattern: &str, limits: &Limits) -> usize {
    pattern.len() + limits.nfa_bytes_max + limits.dfa_bytes_max + SKIP_STATES_BYTES_MAX
}
