//! Escapes and classes: everything that stands for one character.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::cursor::Cursor;
use super::error::{GoRegexError, GoRegexErrorKind as Kind};
use super::set::{RUNE_MAX, RuneSet};
use super::unicode::{self, Folds, Tables};

/// Whether letters that differ in case only are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    Distinct,
    Folded,
}

/// What was read of the tables, for all patterns that are compiled together.
#[derive(Debug)]
pub(super) struct Library {
    tables: Tables,
    folds: Option<Folds>,
    /// By their name as it is looked up: as many as there are names, in two cases.
    named: BTreeMap<(String, Case), RuneSet>,
    /// How many bytes of ranges and tables were gone through.
    made_bytes: usize,
}

impl Library {
    pub(super) fn new(tables: Tables) -> Self {
        Self {
            tables,
            folds: None,
            named: BTreeMap::new(),
            made_bytes: 0,
        }
    }

    pub(super) fn made_bytes(&self) -> usize {
        self.made_bytes
    }

    /// The class of Unicode of this name.
    fn named(&mut self, name: &str, case: Case) -> Option<RuneSet> {
        let name = unicode::plain(name);
        let case = match unicode::ignores_case(&name) {
            true => Case::Distinct,
            false => case,
        };
        let key = (name, case);
        if let Some(set) = self.named.get(&key) {
            return Some(set.clone());
        }
        self.made_bytes = self.made_bytes.saturating_add(self.tables.unicode.len());
        let set = self.tables.named(&key.0)?;
        let set = self.fold(set, case);
        self.named.insert(key, set.clone());
        Some(set)
    }

    fn fold(&mut self, set: RuneSet, case: Case) -> RuneSet {
        match case {
            Case::Distinct => set,
            Case::Folded => set.folded(self.folds.get_or_insert_with(|| Folds::new(&self.tables))),
        }
    }
}

/// Reads classes out of one pattern.
#[derive(Debug)]
pub(super) struct Classes<'l> {
    library: &'l mut Library,
    /// How many more ranges the classes of this pattern may come to.
    ranges_left: usize,
    ranges_max: usize,
}

impl<'l> Classes<'l> {
    pub(super) fn new(library: &'l mut Library, ranges_max: usize) -> Self {
        Self {
            library,
            ranges_left: ranges_max,
            ranges_max,
        }
    }

    /// This character, or all that are the same letter.
    pub(super) fn single(&mut self, rune: u32, case: Case) -> RuneSet {
        self.library
            .fold(RuneSet::from_ranges([(rune, rune)].to_vec()), case)
    }

    /// Reads `\d`, `\pL`, `\P{Greek}` and the like; `None` if the escape here is no class.
    pub(super) fn escape(
        &mut self,
        cursor: &mut Cursor<'_>,
        case: Case,
    ) -> Result<Option<RuneSet>, GoRegexError> {
        let at = cursor.at();
        let mut ahead = *cursor;
        let (true, Some(letter)) = (ahead.eat("\\"), ahead.next()) else {
            return Ok(None);
        };
        let unknown = GoRegexError {
            at,
            kind: Kind::UnicodeClassUnknown,
        };
        let (set, negated) = match letter {
            'd' | 's' | 'w' | 'D' | 'S' | 'W' => {
                let set = self.library.tables.perl(letter.to_ascii_lowercase());
                let set = set.map(|set| self.library.fold(set, case));
                (set, letter.is_ascii_uppercase())
            }
            'p' | 'P' => {
                let name = unicode_name(&mut ahead).ok_or(unknown)?;
                let bare = name.strip_prefix('^');
                let set = self.library.named(bare.unwrap_or(name), case);
                (set, (letter == 'P') != bare.is_some())
            }
            _ => return Ok(None),
        };
        let set = set.ok_or(unknown)?;
        *cursor = ahead;
        self.finish(set, negated, at).map(Some)
    }

    /// Reads a class in brackets. The cursor stands at its `[`.
    pub(super) fn bracket(
        &mut self,
        cursor: &mut Cursor<'_>,
        case: Case,
    ) -> Result<RuneSet, GoRegexError> {
        let at = cursor.at();
        cursor.eat("[");
        let negated = cursor.eat("^");
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        // The first character may be a `]`, which then is one of the class.
        let mut first = true;
        while first || !cursor.eat("]") {
            first = false;
            let set = match self.posix(cursor, case)? {
                Some(set) => Some(set),
                None => self.escape(cursor, case)?,
            };
            match set {
                Some(set) => ranges.extend_from_slice(set.ranges()),
                None => {
                    let range = class_range(cursor, at)?;
                    let set = self
                        .library
                        .fold(RuneSet::from_ranges([range].to_vec()), case);
                    ranges.extend_from_slice(set.ranges());
                }
            }
        }
        // Each part was folded already, and a class is negated after that: `(?i)[^k]` has no K.
        self.finish(RuneSet::from_ranges(ranges), negated, at)
    }

    /// Reads `[:alpha:]` or `[:^alpha:]` inside a class.
    fn posix(
        &mut self,
        cursor: &mut Cursor<'_>,
        case: Case,
    ) -> Result<Option<RuneSet>, GoRegexError> {
        let at = cursor.at();
        let mut ahead = *cursor;
        if !ahead.eat("[:") {
            return Ok(None);
        }
        // Without a `:]` anywhere behind it, the bracket is itself.
        let Some(name) = ahead.eat_until(":]") else {
            return Ok(None);
        };
        let bare = name.strip_prefix('^');
        let set = self.library.tables.posix(bare.unwrap_or(name));
        let set = set.ok_or(GoRegexError {
            at,
            kind: Kind::ClassNameUnknown,
        })?;
        *cursor = ahead;
        let set = self.library.fold(set, case);
        self.finish(set, bare.is_some(), at).map(Some)
    }

    /// Negates what was folded before, in this order as Go does, and counts what came of it.
    fn finish(&mut self, set: RuneSet, negated: bool, at: usize) -> Result<RuneSet, GoRegexError> {
        let set = if negated { set.negated() } else { set };
        let bytes = size_of_val(set.ranges());
        self.library.made_bytes = self.library.made_bytes.saturating_add(bytes);
        let left = self.ranges_left.checked_sub(set.ranges().len());
        let max = self.ranges_max.saturating_mul(size_of::<(u32, u32)>());
        self.ranges_left = left.ok_or(GoRegexError {
            at,
            kind: Kind::SizeLimit { max },
        })?;
        Ok(set)
    }
}

/// Reads `L` or `{Greek}` after `\p`.
fn unicode_name<'p>(cursor: &mut Cursor<'p>) -> Option<&'p str> {
    if cursor.eat("{") {
        return cursor.eat_until("}");
    }
    let rest = cursor.rest();
    let letter = cursor.next()?;
    rest.get(..letter.len_utf8())
}

/// Reads `a` or `a-z` inside the class that begins at `class_at`.
fn class_range(cursor: &mut Cursor<'_>, class_at: usize) -> Result<(u32, u32), GoRegexError> {
    let at = cursor.at();
    let lo = class_rune(cursor, class_at)?;
    // In `[a-]` the hyphen is itself.
    let after = cursor.rest().strip_prefix('-').unwrap_or("");
    if after.is_empty() || after.starts_with(']') {
        return Ok((lo, lo));
    }
    cursor.eat("-");
    let hi = class_rune(cursor, class_at)?;
    if hi < lo {
        return Err(GoRegexError {
            at,
            kind: Kind::ClassRange,
        });
    }
    Ok((lo, hi))
}

fn class_rune(cursor: &mut Cursor<'_>, class_at: usize) -> Result<u32, GoRegexError> {
    match cursor.peek() {
        None => Err(GoRegexError {
            at: class_at,
            kind: Kind::ClassUnclosed,
        }),
        Some('\\') => escaped_rune(cursor),
        Some(c) => {
            cursor.next();
            Ok(u32::from(c))
        }
    }
}

/// Reads an escape that stands for one code point. The cursor stands at its backslash.
pub(super) fn escaped_rune(cursor: &mut Cursor<'_>) -> Result<u32, GoRegexError> {
    let at = cursor.at();
    cursor.eat("\\");
    let Some(c) = cursor.next() else {
        return Err(GoRegexError {
            at,
            kind: Kind::TrailingBackslash,
        });
    };
    let rune = match c {
        'a' => Some(0x07),
        'f' => Some(0x0C),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        't' => Some(0x09),
        'v' => Some(0x0B),
        '0' => Some(octal(cursor, 0)),
        // A digit alone would be a back-reference.
        '1'..='7' => match cursor.peek() {
            Some('0'..='7') => c.to_digit(8).map(|first| octal(cursor, first)),
            _ => None,
        },
        'x' => hexadecimal(cursor),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    rune.ok_or(GoRegexError {
        at,
        kind: Kind::EscapeUnknown,
    })
}

/// Reads up to two more octal digits.
fn octal(cursor: &mut Cursor<'_>, first: u32) -> u32 {
    let mut rune = first;
    for _ in 0..2 {
        match cursor.digit(8) {
            Some(digit) => rune = rune * 8 + digit,
            None => break,
        }
    }
    rune
}

/// Reads `41` or `{1F600}` after `\x`.
fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<u32> {
    if !cursor.eat("{") {
        return Some(cursor.digit(16)? * 16 + cursor.digit(16)?);
    }
    let mut rune = cursor.digit(16)?;
    while !cursor.eat("}") {
        rune = rune * 16 + cursor.digit(16)?;
        if rune > RUNE_MAX {
            return None;
        }
    }
    Some(rune)
}
