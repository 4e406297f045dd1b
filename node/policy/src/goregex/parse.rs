//! Go's grammar (package `regexp/syntax` with its flag `Perl`), from the text of a pattern to an
//! expression. Nothing here recurses: a hostile pattern cannot exhaust the stack.

use alloc::vec::Vec;
use core::mem;

use regex_syntax::hir::{Dot, Hir, Look};

use super::Limits;
use super::class::{self, Case, Classes, Library};
use super::cursor::Cursor;
use super::error::{GoRegexError, GoRegexErrorKind as Kind};
use super::piece::Piece;
use super::set::{RuneSet, SURROGATES};

/// The highest count, and the highest product of counts within each other. Go's.
const REPEAT_MAX: u32 = 1_000;
/// How high a tree of the pattern may be. Go's.
const HEIGHT_MAX: u32 = 1_000;
/// Counts stop being read here: above it all are too high.
const COUNT_CAP: u32 = 100_000_000;

/// What is in force: a bit each, so that a group can put it all back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    const FOLD_CASE: u8 = 1;
    const MULTI_LINE: u8 = 2;
    const DOT_NEWLINE: u8 = 4;
    const SWAP_GREED: u8 = 8;

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }

    fn case(self) -> Case {
        if self.has(Self::FOLD_CASE) {
            Case::Folded
        } else {
            Case::Distinct
        }
    }
}

/// Parses a whole pattern.
pub(super) fn parse(
    pattern: &str,
    limits: &Limits,
    library: &mut Library,
) -> Result<Hir, GoRegexError> {
    let mut parser = Parser {
        cursor: Cursor::new(pattern),
        flags: Flags::default(),
        group: Group::default(),
        outer: Vec::new(),
        classes: Classes::new(library, limits.class_ranges_max),
        depth_max: limits.depth_max,
        surrogate_at: None,
        has_text_start: false,
    };
    parser.all().map(Piece::into_hir)
}

/// A group that is not closed yet, or the whole pattern.
#[derive(Debug, Default)]
struct Group {
    /// Where its parenthesis stands.
    at: usize,
    capturing: bool,
    /// The flags outside of it, which come back after it.
    flags_outside: Flags,
    /// The branches before the last `|`.
    branches: Vec<Piece>,
    /// The branch after it.
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Parser<'p, 'l> {
    cursor: Cursor<'p>,
    flags: Flags,
    group: Group,
    outer: Vec<Group>,
    classes: Classes<'l>,
    depth_max: u32,
    /// Where the first literal stands that is half of a pair.
    surrogate_at: Option<usize>,
    /// Whether anything is tied to the start of the text.
    has_text_start: bool,
}

impl Parser<'_, '_> {
    fn all(&mut self) -> Result<Piece, GoRegexError> {
        // Where the repetition began that ends right here, if one does.
        let mut repeated_at = None;
        while let Some(c) = self.cursor.peek() {
            repeated_at = self.step(c, repeated_at)?;
        }
        if !self.outer.is_empty() {
            return Err(GoRegexError {
                at: self.group.at,
                kind: Kind::ParenUnclosed,
            });
        }
        let whole = self.group_content(0)?;
        // No text has half a pair, so that it matches nothing; but by a slip of Go's engine for
        // patterns that begin with `^`, there it can match U+FFFD. That cannot be meant, so it is
        // refused rather than given a meaning that may not be Go's.
        match self.surrogate_at {
            Some(at) if self.has_text_start => Err(GoRegexError {
                at,
                kind: Kind::SurrogateAlone,
            }),
            Some(_) | None => Ok(whole),
        }
    }

    /// Reads one thing, and says where it began if it was a repetition.
    fn step(&mut self, c: char, before: Option<usize>) -> Result<Option<usize>, GoRegexError> {
        let at = self.cursor.at();
        match c {
            '(' => self.open()?,
            ')' => self.close()?,
            '|' => {
                self.cursor.next();
                let branch = Piece::concatenated(&mut self.group.pieces);
                let branch = self.checked(branch, at)?;
                self.group.branches.push(branch);
            }
            '^' => {
                let multi_line = self.flags.has(Flags::MULTI_LINE);
                self.place(
                    1,
                    if multi_line {
                        Look::StartLF
                    } else {
                        Look::Start
                    },
                );
            }
            '$' => {
                let multi_line = self.flags.has(Flags::MULTI_LINE);
                self.place(1, if multi_line { Look::EndLF } else { Look::End });
            }
            '.' => {
                self.cursor.next();
                let any = self.flags.has(Flags::DOT_NEWLINE);
                let dot = if any {
                    Dot::AnyChar
                } else {
                    Dot::AnyCharExceptLF
                };
                self.group.pieces.push(Piece::single(Hir::dot(dot)));
            }
            '[' => {
                let set = self.classes.bracket(&mut self.cursor, self.flags.case())?;
                self.class(&set, at)?;
            }
            '\\' => self.escape()?,
            '*' | '+' | '?' => {
                self.cursor.next();
                let (min, max) = match c {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                self.repeat(at, before, min, max)?;
                return Ok(Some(at));
            }
            '{' => {
                // What is no count is an ordinary brace.
                if let Some((min, max)) = counts(&mut self.cursor) {
                    self.repeat(at, before, min, max)?;
                    return Ok(Some(at));
                }
                self.cursor.next();
                self.literal(u32::from(c));
            }
            _ => {
                self.cursor.next();
                self.literal(u32::from(c));
            }
        }
        Ok(None)
    }

    fn escape(&mut self) -> Result<(), GoRegexError> {
        let at = self.cursor.at();
        let mut ahead = self.cursor;
        ahead.next();
        match ahead.peek() {
            Some('A') => self.place(2, Look::Start),
            Some('z') => self.place(2, Look::End),
            Some('b') => self.place(2, Look::WordAscii),
            Some('B') => self.place(2, Look::WordAsciiNegate),
            Some('Q') => self.quotation(),
            _ => match self.classes.escape(&mut self.cursor, self.flags.case())? {
                Some(set) => self.class(&set, at)?,
                None => {
                    let rune = class::escaped_rune(&mut self.cursor)?;
                    self.note_surrogate(rune, at);
                    self.literal(rune);
                }
            },
        }
        Ok(())
    }

    /// Reads `\Q…\E`, or to the end of the pattern. A repetition after it takes the last character.
    fn quotation(&mut self) {
        self.cursor.eat("\\Q");
        let text = self
            .cursor
            .eat_until("\\E")
            .unwrap_or_else(|| self.cursor.eat_all());
        for c in text.chars() {
            self.literal(u32::from(c));
        }
    }

    fn class(&mut self, set: &RuneSet, at: usize) -> Result<(), GoRegexError> {
        // Go makes a literal of it.
        if let [(lo, hi)] = set.ranges()
            && lo == hi
        {
            self.note_surrogate(*lo, at);
        }
        self.group.pieces.push(Piece::single(set.to_hir()));
        Ok(())
    }

    fn note_surrogate(&mut self, rune: u32, at: usize) {
        if SURROGATES.contains(&rune) {
            self.surrogate_at.get_or_insert(at);
        }
    }

    fn literal(&mut self, rune: u32) {
        let case = self.flags.case();
        let hir = self.classes.single(rune, case).to_hir();
        self.group.pieces.push(Piece::literal(hir, case));
    }

    /// Takes the characters that say so, all ASCII, and adds a place.
    fn place(&mut self, length: usize, look: Look) {
        for _ in 0..length {
            self.cursor.next();
        }
        self.has_text_start |= look == Look::Start;
        self.group.pieces.push(Piece::single(Hir::look(look)));
    }

    /// Repeats the piece before. The cursor stands behind the operator, but for a `?` of its own.
    fn repeat(
        &mut self,
        at: usize,
        before: Option<usize>,
        min: u32,
        max: Option<u32>,
    ) -> Result<(), GoRegexError> {
        let lazy = self.cursor.eat("?");
        if let Some(before) = before {
            return Err(GoRegexError {
                at: before,
                kind: Kind::RepeatRepeated,
            });
        }
        let backwards = max.is_some_and(|max| min > max);
        if backwards || max.unwrap_or(min) > REPEAT_MAX {
            return Err(GoRegexError {
                at,
                kind: Kind::RepeatCount { max: REPEAT_MAX },
            });
        }
        let nothing = GoRegexError {
            at,
            kind: Kind::RepeatNothing,
        };
        let piece = self.group.pieces.pop().ok_or(nothing)?;
        let greedy = lazy == self.flags.has(Flags::SWAP_GREED);
        let piece = self.checked(piece.repeated(min, max, greedy), at)?;
        self.group.pieces.push(piece);
        Ok(())
    }

    /// Reads `(`, `(?P<name>`, `(?<name>`, `(?flags:` or all of `(?flags)`.
    fn open(&mut self) -> Result<(), GoRegexError> {
        let at = self.cursor.at();
        self.cursor.eat("(");
        if !self.cursor.eat("?") {
            self.push_group(at, true, self.flags);
            return Ok(());
        }
        if self.cursor.eat("P<") || self.cursor.eat("<") {
            let name = self.cursor.eat_until(">").unwrap_or("");
            let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(word) {
                return Err(GoRegexError {
                    at,
                    kind: Kind::CaptureName,
                });
            }
            self.push_group(at, true, self.flags);
            return Ok(());
        }
        let (flags, end) = flags(&mut self.cursor, self.flags).ok_or(GoRegexError {
            at,
            kind: Kind::GroupSyntax,
        })?;
        if end == FlagsEnd::Group {
            self.push_group(at, false, self.flags);
        }
        self.flags = flags;
        Ok(())
    }

    fn push_group(&mut self, at: usize, capturing: bool, flags_outside: Flags) {
        let group = Group {
            at,
            capturing,
            flags_outside,
            ..Group::default()
        };
        self.outer.push(mem::replace(&mut self.group, group));
    }

    fn close(&mut self) -> Result<(), GoRegexError> {
        let at = self.cursor.at();
        self.cursor.next();
        let piece = self.group_content(at)?;
        let unexpected = GoRegexError {
            at,
            kind: Kind::ParenUnexpected,
        };
        let outside = self.outer.pop().ok_or(unexpected)?;
        let group = mem::replace(&mut self.group, outside);
        self.flags = group.flags_outside;
        let piece = if group.capturing {
            self.checked(piece.captured(), at)?
        } else {
            piece
        };
        self.group.pieces.push(piece);
        Ok(())
    }

    /// All of the innermost group, or of the pattern, as one piece.
    fn group_content(&mut self, at: usize) -> Result<Piece, GoRegexError> {
        let last = Piece::concatenated(&mut self.group.pieces);
        let last = self.checked(last, at)?;
        self.group.branches.push(last);
        let whole = Piece::alternated(&mut self.group.branches);
        self.checked(whole, at)
    }

    /// The piece, if Go's limits and ours allow it.
    fn checked(&self, piece: Piece, at: usize) -> Result<Piece, GoRegexError> {
        let kind = if piece.copies > REPEAT_MAX {
            Kind::RepeatCount { max: REPEAT_MAX }
        } else if piece.height > HEIGHT_MAX {
            Kind::NestingDepth { max: HEIGHT_MAX }
        } else if piece.depth > self.depth_max {
            Kind::DepthLimit {
                max: self.depth_max,
            }
        } else {
            return Ok(piece);
        };
        Err(GoRegexError { at, kind })
    }
}

/// What ended the flags: `:` begins a group, `)` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlagsEnd {
    Group,
    Here,
}

/// Reads the rest of `(?i-s:` or `(?i-s)`, where `before` were the flags; `None` if it is neither.
fn flags(cursor: &mut Cursor<'_>, before: Flags) -> Option<(Flags, FlagsEnd)> {
    let mut flags = before;
    let mut on = true;
    let mut named_after_minus = false;
    loop {
        let flag = match cursor.next()? {
            'i' => Flags::FOLD_CASE,
            'm' => Flags::MULTI_LINE,
            's' => Flags::DOT_NEWLINE,
            'U' => Flags::SWAP_GREED,
            '-' if on => {
                on = false;
                continue;
            }
            end @ (':' | ')') if on || named_after_minus => {
                let end = if end == ':' {
                    FlagsEnd::Group
                } else {
                    FlagsEnd::Here
                };
                return Some((flags, end));
            }
            _ => return None,
        };
        flags.set(flag, on);
        named_after_minus |= !on;
    }
}

/// Reads `{2}`, `{2,}` or `{2,5}`; moves nothing and gives `None` if the brace begins no count.
fn counts(cursor: &mut Cursor<'_>) -> Option<(u32, Option<u32>)> {
    let mut ahead = *cursor;
    ahead.eat("{");
    let min = count(&mut ahead)?;
    let max = if !ahead.eat(",") {
        Some(min)
    } else if ahead.rest().starts_with('}') {
        None
    } else {
        Some(count(&mut ahead)?)
    };
    if !ahead.eat("}") {
        return None;
    }
    *cursor = ahead;
    Some((min, max))
}

/// Reads a number without leading zeros.
fn count(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut number = cursor.digit(10)?;
    let leading_zero = number == 0;
    while let Some(digit) = cursor.digit(10) {
        if leading_zero {
            return None;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(digit)
            .min(COUNT_CAP);
    }
    Some(number)
}
