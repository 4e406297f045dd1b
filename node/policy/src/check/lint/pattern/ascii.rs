//! Classes that are ASCII in Go, and more in other engines.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Subjected, WAYS_MAX, shown};
use crate::check::lint::texts::{and, escapes};
use crate::finding::{Findings, code};

impl<'d> Subjected<'d, '_> {
    /// A pattern with `\d` and the like: which way it errs depends on where it stands.
    pub(super) fn ascii(&self, findings: &mut Findings<'d>, in_require: bool) {
        let found = escapes(self.pattern);
        let names: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
        let verb = if found.len() == 1 { "is" } else { "are" };
        let names = &format!("{} {verb}", and(&names));
        let text = self.beyond_ascii(&found);
        let is_boundary = |name: &&str| matches!(*name, "\\b" | "\\B");
        let only_boundaries = found.iter().all(is_boundary);
        let message = match (&text, in_require) {
            _ if found.is_empty() => match self.folded().filter(|_| in_require) {
                Some(folded) => format!(
                    "`(?i)` takes in letters beyond ASCII: {} passes",
                    shown(&escaped(&folded))
                ),
                None => return,
            },
            (Some(text), true) => format!(
                "{} ASCII only: {} is refused, which other engines let through",
                names,
                shown(text)
            ),
            (Some(text), false) => format!(
                "{} ASCII only: {} does not match and is not denied here",
                names,
                shown(text)
            ),
            (None, _) if only_boundaries => format!(
                "{} ASCII only: a letter such as `é` counts as the end of a word, so that \
                 more {} than a word by itself",
                names,
                if in_require { "passes" } else { "is denied" }
            ),
            (None, true) => format!(
                "{} ASCII only: texts in other scripts may be judged otherwise than meant",
                names
            ),
            (None, false) => format!(
                "{} ASCII only: what is spelt in other scripts may not be denied",
                names
            ),
        };
        let help = match found.is_empty() {
            true => "list the letters that are meant, such as `[Kk]`".to_owned(),
            false => written_out(&found),
        };
        findings.warning(
            code::WARN_ASCII,
            self.value,
            message,
            format!("{help}{}", self.elsewhere),
        );
    }

    /// A text that the pattern would match if its classes were Unicode's, and does not.
    fn beyond_ascii(&self, found: &BTreeSet<&str>) -> Option<String> {
        let any = |names: &[&str]| names.iter().any(|name| found.contains(name));
        let words = any(&["\\w", "[:word:]", "[:alnum:]"]);
        let pairs = [
            ("1", "\u{ff11}", words || any(&["\\d", "[:digit:]"])),
            (" ", "\u{a0}", any(&["\\s", "[:space:]"])),
            ("a", "é", words || any(&["[:alpha:]"])),
        ];
        let holes = self.shape.holes(WAYS_MAX);
        let asked = pairs.into_iter().filter(|(_, _, asked)| *asked);
        asked.into_iter().find_map(|(plain, other, _)| {
            holes.iter().find_map(|hole| {
                let times = usize::try_from(hole.least.clamp(1, 16)).ok()?;
                let differ = hole.holds(plain) && !hole.holds(other);
                let text = hole.filled(&other.repeat(times));
                let found = |text: &str| self.regex.is_match(text);
                let seen = found(&hole.filled(&plain.repeat(times))) == Some(true);
                (differ && seen && found(&text) == Some(false)).then_some(text)
            })
        })
    }

    /// A text with a letter beyond ASCII that `(?i)` makes the same as one of the pattern's.
    fn folded(&self) -> Option<String> {
        if !self.pattern.contains("(?i") {
            return None;
        }
        let regex = self.regex;
        let other = |c: char| match c {
            'k' | 'K' => '\u{212a}',
            's' | 'S' => '\u{17f}',
            c => c,
        };
        let examples = self.shape.examples(WAYS_MAX);
        examples.into_iter().find_map(|text| {
            let folded: String = text.chars().map(other).collect();
            (folded != text && regex.is_match(&folded) == Some(true)).then_some(folded)
        })
    }
}

/// The text with what looks like ASCII and is not written as an escape.
fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c.is_ascii() {
            true => shown.push(c),
            false => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

fn written_out(found: &BTreeSet<&str>) -> String {
    let classes: Vec<String> = found
        .iter()
        .filter_map(|name| {
            let class = match *name {
                "\\d" | "[:digit:]" => "[0-9]",
                "\\D" => "[^0-9]",
                "\\w" | "[:word:]" => "[0-9A-Za-z_]",
                "\\W" => "[^0-9A-Za-z_]",
                "\\s" | "[:space:]" => "[\\t\\n\\f\\r ]",
                "\\S" => "[^\\t\\n\\f\\r ]",
                "[:alpha:]" => "[A-Za-z]",
                "[:alnum:]" => "[0-9A-Za-z]",
                _ => return None,
            };
            Some(format!("`{class}` for `{name}`"))
        })
        .collect();
    match classes.is_empty() {
        true => "nothing to do if that is meant; `\\pL` is a letter of any script".to_owned(),
        false => format!(
            "if that is meant, say so: {}; else `\\pN`, `\\pL` and `\\pZ` are those of every \
             script",
            and(&classes)
        ),
    }
}
