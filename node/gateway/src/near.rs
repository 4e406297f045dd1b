//! "Did you mean": the known word that is nearest to a misspelt one.

/// The nearest of `known`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = word.chars().count().div_ceil(3).min(3);
    known
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(steps, _)| *steps <= allowed)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, changes and swaps of neighbours that make one word the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut earlier = None;
    for (row, letter) in from.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let change = at(&last, column) + usize::from(letter != *other);
            let mut best = change
                .min(at(&last, column + 1) + 1)
                .min(at(&next, column) + 1);
            let left = column.checked_sub(1);
            let swapped = earlier == Some(*other) && left.and_then(|i| to.get(i)) == Some(&letter);
            if swapped && let Some(left) = left {
                best = best.min(at(&before, left) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
        earlier = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["allowed_hosts", "allowed_origins", "data", "admin"];
        let cases = [
            ("alowed_hosts", Some("allowed_hosts")),
            ("allowed_origin", Some("allowed_origins")),
            ("dtaa", Some("data")),
            ("Data", Some("data")),
            ("adimn", Some("admin")),
            ("banana", None),
            ("", None),
        ];
        for (word, wanted) in cases {
            assert_eq!(nearest(word, known.into_iter()), wanted, "{word}");
        }
    }

    #[test]
    fn distances_count_single_steps() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("abc", "abd", 1),
            ("kitten", "sitting", 3),
        ];
        for (from, to, steps) in cases {
            assert_eq!(distance(from, to), steps, "{from} {to}");
            assert_eq!(distance(to, from), steps, "{to} {from}");
        }
    }
}
