//! What cannot be seen from outside: every class and letter against Go's, and the engine that
//! stands in last.

use super::class::{Case, Classes, Library};
use super::cursor::Cursor;
use super::set::{RUNE_MAX, RuneSet};
use super::unicode::{self, Folds};

const CLASSES: &str = include_str!("../../tests/data/go-classes.txt");

fn fnv(sum: u64, set: &RuneSet) -> u64 {
    set.ranges().iter().fold(sum, |sum, (lo, hi)| {
        let text = alloc::format!("{lo:x}-{hi:x},");
        text.bytes().fold(sum, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
    })
}

const FNV_START: u64 = 0xCBF2_9CE4_8422_2325;

fn class(pattern: &str) -> RuneSet {
    let bare = pattern.strip_prefix("(?i)");
    let case = if bare.is_some() {
        Case::Folded
    } else {
        Case::Distinct
    };
    let mut cursor = Cursor::new(bare.unwrap_or(pattern));
    let mut library = Library::new(unicode::GO);
    let mut classes = Classes::new(&mut library, usize::MAX);
    let set = match classes.escape(&mut cursor, case).unwrap() {
        Some(set) => set,
        None => classes.bracket(&mut cursor, case).unwrap(),
    };
    assert_eq!(cursor.rest(), "", "{pattern}");
    set
}

fn rows() -> impl Iterator<Item = (&'static str, usize, u64)> {
    CLASSES
        .lines()
        .filter(|row| !row.starts_with('#'))
        .map(|row| {
            let mut cells = row.split('\t');
            let mut cell = || cells.next().unwrap();
            (
                cell(),
                cell().parse().unwrap(),
                u64::from_str_radix(cell(), 16).unwrap(),
            )
        })
}

#[test]
fn every_class_is_gos() {
    for (pattern, count, sum) in rows().filter(|row| row.0 != "letters") {
        let set = class(pattern);
        assert_eq!(set.ranges().len(), count, "{pattern}");
        assert_eq!(fnv(FNV_START, &set), sum, "{pattern}");
    }
}

#[test]
fn every_letter_has_gos_likes() {
    let mut library = Library::new(unicode::GO);
    let mut classes = Classes::new(&mut library, usize::MAX);
    let (mut count, mut sum) = (0, FNV_START);
    for rune in 0..=RUNE_MAX {
        let set = classes.single(rune, Case::Folded);
        let size: u32 = set.ranges().iter().map(|(lo, hi)| hi - lo + 1).sum();
        if size > 1 {
            count += usize::try_from(size).unwrap() - 1;
            sum = fnv(sum, &set);
        }
    }
    let (_, count_of_go, sum_of_go) = rows().find(|row| row.0 == "letters").unwrap();
    assert_eq!((count, sum), (count_of_go, sum_of_go));
}

#[test]
fn folding_twice_changes_nothing() {
    let folds = Folds::new(&unicode::GO);
    let set = class(r"[\x{100}-\x{2fff}]").folded(&folds);
    assert_eq!(set.clone().folded(&folds), set);
    assert_eq!(set.negated().negated(), set);
}
