//! Sets of code points, surrogates among them: Go's classes can name those, texts cannot hold them.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir};

use super::unicode::Folds;

/// The last code point.
pub(super) const RUNE_MAX: u32 = 0x10_FFFF;

/// What UTF-16 makes pairs of, and no text has.
pub(super) const SURROGATES: RangeInclusive<u32> = 0xD800..=0xDFFF;

/// A set of code points. Its ranges are in order and do not touch, so that equal sets are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuneSet {
    ranges: Vec<(u32, u32)>,
}

impl RuneSet {
    /// The set of these ranges (both ends in it), in any order, overlapping or not.
    pub(super) fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut tidy: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (lo, hi) in ranges {
            match tidy.last_mut() {
                Some(last) if lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
                _ => tidy.push((lo, hi)),
            }
        }
        Self { ranges: tidy }
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    pub(super) fn contains(&self, rune: u32) -> bool {
        let after = self.ranges.partition_point(|&(lo, _)| lo <= rune);
        let below = after.checked_sub(1).and_then(|i| self.ranges.get(i));
        below.is_some_and(|&(_, hi)| rune <= hi)
    }

    pub(super) fn negated(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(lo, hi) in &self.ranges {
            if next < lo {
                ranges.push((next, lo - 1));
            }
            next = hi + 1;
        }
        if next <= RUNE_MAX {
            ranges.push((next, RUNE_MAX));
        }
        Self { ranges }
    }

    /// The set with everything that is the same letter as one of its members.
    pub(super) fn folded(self, folds: &Folds) -> Self {
        let mut set = self;
        loop {
            let mut missing = Vec::new();
            for &(lo, hi) in &set.ranges {
                for &(_, other) in folds.of_range(lo, hi) {
                    if !set.contains(other) {
                        missing.push((other, other));
                    }
                }
            }
            if missing.is_empty() {
                return set;
            }
            missing.extend_from_slice(&set.ranges);
            set = Self::from_ranges(missing);
        }
    }

    /// An expression that matches one character of the set: none, when it has only surrogates.
    pub(super) fn to_hir(&self) -> Hir {
        let mut class = ClassUnicode::empty();
        for &(lo, hi) in &self.ranges {
            let below = (lo, hi.min(SURROGATES.start() - 1));
            let above = (lo.max(SURROGATES.end() + 1), hi);
            for (lo, hi) in [below, above] {
                let ends = (char::from_u32(lo), char::from_u32(hi));
                if let (true, (Some(lo), Some(hi))) = (lo <= hi, ends) {
                    class.push(ClassUnicodeRange::new(lo, hi));
                }
            }
        }
        Hir::class(Class::Unicode(class))
    }
}
