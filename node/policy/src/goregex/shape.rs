//! What a pattern lets through, for those who look over policies: whether it is anchored, the
//! texts that it stands for, and the places in it where much may stand. Nothing here decides a
//! call, and what is built is to be tried on the compiled pattern before it is believed.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::class::Library;
use super::{Limits, parse, unicode};

/// Bytes of a text that is built here.
const TEXT_BYTES_MAX: usize = 512;
/// Characters of a class whose every member is written out.
const CLASS_CHARS_MAX: u32 = 4;
/// What stands for a class in an example, if it is in it.
const LIKELY: [char; 7] = ['a', '1', 'x', 'A', '-', '_', ' '];
/// Each is in a class that takes in anything; no ordinary class of characters has them all.
const ANYTHING: [char; 6] = ['a', ' ', ';', '/', '\'', 'é'];

/// A pattern that was parsed.
#[derive(Debug)]
pub(crate) struct Shape(Hir);

/// A place in a pattern where any number of characters of one class may stand, or just one.
#[derive(Clone, Debug)]
pub(crate) struct Hole<'s> {
    /// A text that may stand before it.
    pub(crate) before: String,
    /// A text that may stand after it.
    pub(crate) after: String,
    /// More than one character.
    pub(crate) repeats: bool,
    /// How many characters at least.
    pub(crate) least: u32,
    class: &'s Class,
}

impl Hole<'_> {
    /// Whether every character of the text is of the class.
    pub(crate) fn holds(&self, text: &str) -> bool {
        text.chars().all(|c| has(self.class, c))
    }

    /// Whether the class is `.` or comes near to it.
    pub(crate) fn is_anything(&self) -> bool {
        ANYTHING.iter().all(|c| has(self.class, *c))
    }

    /// The whole text, with `text` in this place.
    pub(crate) fn filled(&self, text: &str) -> String {
        [&*self.before, text, &*self.after].concat()
    }
}

impl Shape {
    /// Parses a pattern; None if it is none.
    pub(crate) fn of(pattern: &str) -> Option<Self> {
        let limits = Limits::default();
        if pattern.len() > limits.pattern_bytes_max {
            return None;
        }
        let mut library = Library::new(unicode::GO);
        parse::parse(pattern, &limits, &mut library).ok().map(Self)
    }

    /// Whether every match begins where the text does.
    pub(crate) fn is_anchored_start(&self) -> bool {
        self.0.properties().look_set_prefix().contains(Look::Start)
    }

    /// Whether every match ends where the text does.
    pub(crate) fn is_anchored_end(&self) -> bool {
        self.0.properties().look_set_suffix().contains(Look::End)
    }

    /// Up to `most` texts, one for each way through the pattern, each as short as may be.
    pub(crate) fn examples(&self, most: usize) -> Vec<String> {
        examples(&self.0, most)
    }

    /// Every text that the pattern stands for, places apart: what is open at its end is left
    /// away. None if they are more than `most`, or cannot be counted.
    pub(crate) fn beginnings(&self, most: usize) -> Option<Vec<String>> {
        let HirKind::Concat(parts) = self.0.kind() else {
            return language(&self.0, most);
        };
        let mut parts = parts.as_slice();
        while let Some((last, rest)) = parts.split_last() {
            if !matches!(last.kind(), HirKind::Look(Look::End)) && !is_open_tail(last) {
                break;
            }
            parts = rest;
        }
        joined(parts, most)
    }

    /// Up to `most` places where characters of a class may stand.
    pub(crate) fn holes(&self, most: usize) -> Vec<Hole<'_>> {
        holes(&self.0, most)
    }
}

fn has(class: &Class, c: char) -> bool {
    match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&c)),
        Class::Bytes(class) => class.ranges().iter().any(|range| {
            (u32::from(range.start())..=u32::from(range.end())).contains(&u32::from(c))
        }),
    }
}

/// `.*`, `(/.*)?`: anything or nothing.
fn is_open_tail(hir: &Hir) -> bool {
    let HirKind::Repetition(Repetition {
        min: 0, max, sub, ..
    }) = hir.kind()
    else {
        return false;
    };
    match sub.kind() {
        HirKind::Class(class) => max.is_none() && ANYTHING.iter().all(|c| has(class, *c)),
        HirKind::Concat(parts) => {
            let slash =
                |hir: &Hir| matches!(hir.kind(), HirKind::Literal(text) if *text.0 == *b"/");
            match parts.as_slice() {
                [first, last] => slash(first) && is_open_tail(last),
                _ => false,
            }
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Alternation(_) => false,
    }
}

/// Every text of an expression, if they are few.
fn language(hir: &Hir, most: usize) -> Option<Vec<String>> {
    let texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(text) => vec![core::str::from_utf8(&text.0).ok()?.to_owned()],
        HirKind::Class(Class::Unicode(class)) => {
            let size = |(lo, hi): (char, char)| u32::from(hi) - u32::from(lo) + 1;
            let ranges = class
                .ranges()
                .iter()
                .map(|range| (range.start(), range.end()));
            let count = ranges.clone().map(size).fold(0, u32::saturating_add);
            if count > CLASS_CHARS_MAX {
                return None;
            }
            ranges
                .flat_map(|(lo, hi)| lo..=hi)
                .map(String::from)
                .collect()
        }
        HirKind::Class(Class::Bytes(_)) => return None,
        HirKind::Repetition(Repetition { min, max, sub, .. }) => match (min, max) {
            (0, Some(1)) => {
                let mut texts = language(sub, most)?;
                texts.insert(0, String::new());
                texts
            }
            (1, Some(1)) => language(sub, most)?,
            (_, _) => return None,
        },
        HirKind::Capture(group) => language(&group.sub, most)?,
        HirKind::Concat(parts) => joined(parts, most)?,
        HirKind::Alternation(branches) => {
            let mut texts = Vec::new();
            for branch in branches {
                texts.extend(language(branch, most)?);
                if texts.len() > most {
                    return None;
                }
            }
            texts
        }
    };
    (texts.len() <= most).then_some(texts)
}

fn joined(parts: &[Hir], most: usize) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    for part in parts {
        let endings = language(part, most)?;
        texts = texts
            .iter()
            .flat_map(|text| {
                endings
                    .iter()
                    .map(move |ending| [&**text, &**ending].concat())
            })
            .collect();
        let longest = texts.iter().map(String::len).max().unwrap_or_default();
        if texts.len() > most || longest > TEXT_BYTES_MAX {
            return None;
        }
    }
    Some(texts)
}

/// The shortest text that comes to mind; empty if it would be a long one.
fn first(hir: &Hir) -> String {
    examples(hir, 1).pop().unwrap_or_default()
}

fn examples(hir: &Hir, most: usize) -> Vec<String> {
    let mut texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(text) => vec![String::from_utf8_lossy(&text.0).into_owned()],
        HirKind::Class(class) => vec![likely(class)],
        HirKind::Repetition(Repetition { min, sub, .. }) => {
            let once = examples(sub, most);
            let times = (*min).max(1) as usize;
            let repeat = |text: &String| {
                let fits = text.len().saturating_mul(times) <= TEXT_BYTES_MAX;
                if fits {
                    text.repeat(times)
                } else {
                    String::new()
                }
            };
            let nothing = (*min == 0).then(String::new);
            nothing.into_iter().chain(once.iter().map(repeat)).collect()
        }
        HirKind::Capture(group) => examples(&group.sub, most),
        HirKind::Concat(parts) => {
            let firsts: Vec<String> = parts.iter().map(first).collect();
            let mut texts = vec![firsts.concat()];
            for (at, part) in parts.iter().enumerate() {
                // Before anything is asked of the part: one text takes one walk, at any depth.
                if texts.len() >= most {
                    break;
                }
                let others = examples(part, most);
                if others.len() > 1 {
                    let (before, after) = around(&firsts, at);
                    let others = others.iter().skip(1);
                    texts.extend(others.map(|text| [&*before, text, &*after].concat()));
                }
            }
            texts
        }
        HirKind::Alternation(branches) => {
            let mut texts = Vec::new();
            for branch in branches {
                texts.extend(examples(branch, most));
                if texts.len() >= most {
                    break;
                }
            }
            texts
        }
    };
    texts.truncate(most);
    texts.retain(|text| text.len() <= TEXT_BYTES_MAX);
    texts
}

/// One character of a class.
fn likely(class: &Class) -> String {
    let known = LIKELY.into_iter().find(|c| has(class, *c));
    let first = match class {
        Class::Unicode(class) => class.ranges().first().map(|range| range.start()),
        Class::Bytes(class) => class
            .ranges()
            .first()
            .map(|range| char::from(range.start())),
    };
    known.or(first).map(String::from).unwrap_or_default()
}

/// What stands before and after one of the parts.
fn around(parts: &[String], at: usize) -> (String, String) {
    let before = parts.get(..at).unwrap_or_default().concat();
    let after = parts.get(at + 1..).unwrap_or_default().concat();
    (before, after)
}

fn holes(hir: &Hir, most: usize) -> Vec<Hole<'_>> {
    let hole = |class, repeats, least| Hole {
        least,
        before: String::new(),
        after: String::new(),
        repeats,
        class,
    };
    let mut found = match hir.kind() {
        HirKind::Class(class) => vec![hole(class, false, 1)],
        HirKind::Repetition(Repetition { min, max, sub, .. }) => match sub.kind() {
            HirKind::Class(class) if max.is_none_or(|max| max > 1) => {
                vec![hole(class, true, *min)]
            }
            HirKind::Empty
            | HirKind::Literal(_)
            | HirKind::Class(_)
            | HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Capture(_)
            | HirKind::Concat(_)
            | HirKind::Alternation(_) => holes(sub, most),
        },
        HirKind::Capture(group) => holes(&group.sub, most),
        HirKind::Concat(parts) => {
            let firsts: Vec<String> = parts.iter().map(first).collect();
            let mut found = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let inner = holes(part, most);
                if inner.is_empty() {
                    continue;
                }
                let (_, after) = around(&firsts, at);
                let ways = ways(parts.get(..at).unwrap_or_default(), most);
                for way in &ways {
                    found.extend(inner.iter().map(|hole| Hole {
                        before: [way, &*hole.before].concat(),
                        after: [&*hole.after, &*after].concat(),
                        ..hole.clone()
                    }));
                }
                if found.len() >= most {
                    break;
                }
            }
            found
        }
        HirKind::Alternation(branches) => {
            let mut found = Vec::new();
            for branch in branches {
                found.extend(holes(branch, most));
                if found.len() >= most {
                    break;
                }
            }
            found
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) => Vec::new(),
    };
    found.truncate(most);
    found.retain(|hole| hole.before.len() + hole.after.len() <= TEXT_BYTES_MAX);
    found
}

/// The texts that may stand before a hole: with each way of the last choice before it.
fn ways(parts: &[Hir], most: usize) -> Vec<String> {
    let choice = parts
        .iter()
        .rposition(|part| matches!(part.kind(), HirKind::Alternation(_)));
    let firsts: Vec<String> = parts.iter().map(first).collect();
    let Some((at, part)) = choice.and_then(|at| Some((at, parts.get(at)?))) else {
        return vec![firsts.concat()];
    };
    let (before, after) = around(&firsts, at);
    let texts = examples(part, most.min(4));
    texts
        .iter()
        .map(|text| [&*before, text, &*after].concat())
        .collect()
}
