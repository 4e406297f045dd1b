//! Patterns that let more through, or stop less, than they seem to.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Entry;
use super::guard::{Guard, Part, all_conditions};
use super::subject::Subject;
use super::texts::{and, find_open};
use crate::check::fields::shortened;
use crate::finding::{Findings, Spot, code};
use crate::goregex::{GoRegex, Hole, Shape};
use crate::json::Value;
use crate::model::Test;
use crate::place::{Directories, Places};

mod ascii;

/// Ways through a pattern that are tried.
const WAYS_MAX: usize = 16;
/// Texts that a message shows.
const SHOWN_MAX: usize = 3;
/// Addresses that a help lists.
const LISTED_MAX: usize = 8;
/// Conditions of a tool whose patterns are looked at.
const CONDITIONS_MAX: usize = 1_024;
/// Conditions that are judged, over all texts that are tried. A policy that needs more is checked
/// without the rest: its warnings are too many to be read as it is.
const JUDGED_MAX: usize = 20_000;

/// The patterns of a policy, each looked at once.
pub(super) struct Patterns<'d> {
    /// How often a pattern stands in the policy, as what may pass (true) or what may not.
    counts: BTreeMap<(bool, Cow<'d, str>), usize>,
    seen: BTreeSet<(bool, Cow<'d, str>)>,
    /// Conditions that were judged to try texts.
    judged: usize,
}

/// One pattern and what it stands in.
struct Subjected<'d, 'g> {
    value: Value<'d>,
    in_require: bool,
    path: &'d str,
    pattern: &'g str,
    regex: &'d GoRegex,
    subject: Subject,
    shape: &'g Shape,
    guard: &'g Guard<'d>,
    /// Said after the help, if the pattern stands elsewhere too.
    elsewhere: String,
}

impl<'d> Patterns<'d> {
    pub(super) fn of(entries: &[Entry<'d>]) -> Self {
        let mut counts = BTreeMap::new();
        for listed in entries.iter().flat_map(all_conditions).filter_map(listed) {
            *counts.entry(listed.key).or_default() += 1;
        }
        Self {
            counts,
            seen: BTreeSet::new(),
            judged: 0,
        }
    }

    pub(super) fn lint(&mut self, findings: &mut Findings<'d>, entry: &Entry<'d>) {
        if entry.conditions() > CONDITIONS_MAX {
            return;
        }
        for Listed { part, regex, key } in all_conditions(entry).filter_map(listed) {
            let condition = part.condition;
            let Some(value) = condition.value.get("value") else {
                continue;
            };
            if self.judged >= JUDGED_MAX || self.seen.contains(&key) {
                continue;
            }
            let Some(guard) = Guard::of(entry, &condition.read.path) else {
                continue;
            };
            let Some(shape) = Shape::of(&key.1) else {
                continue;
            };
            let count = self.counts.get(&key).copied().unwrap_or(1);
            let subjected = Subjected {
                value,
                in_require: part.in_require,
                path: &condition.read.path.text,
                pattern: &key.1,
                regex,
                subject: Subject::of(&condition.read.path, &key.1),
                shape: &shape,
                guard: &guard,
                elsewhere: match count {
                    0 | 1 => String::new(),
                    count => format!("; the pattern stands in {count} conditions"),
                },
            };
            let (is_allowlist, _) = key;
            if is_allowlist {
                subjected.allowlist(findings);
            } else if subjected.subject == Subject::Address {
                subjected.denylist(findings);
            }
            subjected.ascii(findings, is_allowlist);
            self.judged += guard.judged() + 1;
            self.seen.insert(key);
        }
    }
}

/// A condition with a pattern.
struct Listed<'d> {
    part: Part<'d>,
    regex: &'d GoRegex,
    /// Whether the pattern says what may pass, and the pattern.
    key: (bool, Cow<'d, str>),
}

/// What a call must match is an allowlist, and so is a `deny_if` of all that does not match.
fn listed<'d>(part: Part<'d>) -> Option<Listed<'d>> {
    let (test, matches) = match &part.condition.read.test {
        Test::Not(test) => (&**test, false),
        test @ (Test::Contains(_)
        | Test::Equals(_)
        | Test::Exists(_)
        | Test::Greater(_)
        | Test::Less(_)
        | Test::Matches(_)
        | Test::MemberOf(_)
        | Test::PathIn(_)
        | Test::UrlIn(_)) => (test, true),
    };
    let Test::Matches(regex) = test else {
        return None;
    };
    // Beside other conditions, what does not match is only a part of what is denied.
    if !part.in_require && !matches && !part.is_alone {
        return None;
    }
    let pattern = part.condition.value.get("value")?.as_str()?;
    Some(Listed {
        part,
        regex,
        key: (part.in_require == matches, pattern),
    })
}

impl<'d> Subjected<'d, '_> {
    /// A pattern that a call must match is an allowlist: it should say all of the text.
    fn allowlist(&self, findings: &mut Findings<'d>) {
        let start = self.shape.is_anchored_start();
        let end = self.shape.is_anchored_end();
        if start && end {
            return self.inner(findings);
        }
        let texts = self.beyond(start, end);
        // With other conditions on the path, the whole of them may be closed.
        if texts.is_empty() && !self.guard.is_alone() {
            return;
        }
        let (code, what) = match (start, end) {
            (true, _) => (code::WARN_OPEN_END, "the pattern does not end with `$`"),
            (false, true) => (code::WARN_OPEN_START, "the pattern does not begin with `^`"),
            (false, false) => (
                code::WARN_OPEN_START,
                "the pattern is looked for anywhere in the text",
            ),
        };
        let message = format!("{what}{}", passes(&texts));
        let help = format!("{}{}", self.rewritten(start), self.elsewhere);
        findings.warning(code, self.value, message, help);
    }

    /// Texts that pass though more stands in them than the pattern says.
    fn beyond(&self, start: bool, end: bool) -> Vec<String> {
        let mut texts = Vec::new();
        let examples = self.shape.examples(WAYS_MAX);
        let mut add = |made: &dyn Fn(&str) -> Option<String>| {
            let mut passing = examples.iter().filter_map(|example| made(example));
            let found = passing.find(|text| self.guard.passes(text));
            if texts.len() < SHOWN_MAX {
                texts.extend(found);
            }
        };
        for beginning in self.subject.beginnings().iter().filter(|_| !start) {
            add(&|example| Some([beginning, example].concat()));
        }
        for ending in self.subject.endings().iter().filter(|_| !end) {
            add(&|example| ended(self.subject, example, ending));
        }
        if texts.is_empty() {
            // An `x` more or less is no attack, but shows that the pattern is open.
            let more = |example: &String| match start {
                true => format!("{example}x"),
                false => format!("x{example}"),
            };
            let mut passing = examples.iter().map(more);
            texts.extend(passing.find(|text| self.guard.passes(text)));
        }
        texts
    }

    /// What to write instead, worked out where that is certain.
    fn rewritten(&self, start: bool) -> String {
        let list = self.listed().map(|list| {
            let quoted: Vec<String> = list.iter().map(|one| format!("\"{one}\"")).collect();
            format!("[{}]", quoted.join(", "))
        });
        let place = if self.in_require {
            ""
        } else {
            "under `require`, "
        };
        let path = shortened(self.path).replace('"', "\\\"");
        match (self.subject, list) {
            (Subject::Address, Some(list)) => format!(
                "{place}write {{\"path\": \"{path}\", \"op\": \"url_in\", \"value\": {list}}}, \
                 which reads the address"
            ),
            (Subject::Address, None) => "use `url_in` with a list such as \
                 [\"https://docs.example.com/\"], which reads the address"
                .into(),
            (Subject::File, Some(list)) => format!(
                "{place}write {{\"path\": \"{path}\", \"op\": \"path_in\", \"value\": {list}}}, \
                 which resolves `..`"
            ),
            (Subject::File, None) => "use `path_in` with a list of directories such as \
                 [\"/srv/data\"], which resolves `..`"
                .into(),
            (Subject::Command | Subject::Text, _) if !start => {
                "write all of the text: `^(?:` … `)$`, without the flag `m`".into()
            }
            (Subject::Command | Subject::Text, _) => "end it with the characters that may \
                 follow, and `$`: such as `[A-Za-z0-9_-]+$`"
                .into(),
        }
    }

    /// The addresses or directories that the pattern spells out, if it certainly means those.
    fn listed(&self) -> Option<Vec<String>> {
        if !self.shape.is_anchored_start() {
            return None;
        }
        let texts = self.shape.beginnings(LISTED_MAX)?;
        let list: Option<Vec<String>> = texts
            .iter()
            .map(|text| match self.subject {
                Subject::Address => address(text),
                Subject::File => text.strip_suffix('/').map(|directory| match directory {
                    "" => "/".into(),
                    directory => directory.into(),
                }),
                Subject::Command | Subject::Text => None,
            })
            .collect();
        let list = list?;
        let loads = match self.subject {
            Subject::Address => Places::of(list.iter().map(|one| &**one)).is_ok(),
            Subject::File => Directories::of(list.iter().map(|one| &**one)).is_ok(),
            Subject::Command | Subject::Text => false,
        };
        (loads && !list.is_empty()).then_some(list)
    }

    /// An anchored allowlist: what may stand in the middle of it.
    fn inner(&self, findings: &mut Findings<'d>) {
        let holes = self.shape.holes(WAYS_MAX);
        let open: Vec<&Hole<'_>> = holes
            .iter()
            .filter(|hole| hole.is_anything() || self.subject == Subject::Address)
            .collect();
        let fillings = self.subject.fillings();
        let mut texts = self.filled(&open, fillings);
        let dots: Vec<&Hole<'_>> = open
            .iter()
            .copied()
            .filter(|hole| hole.is_anything())
            .collect();
        if texts.is_empty() && self.subject == Subject::Address {
            texts = self.dots(&dots);
        }
        let repeated = dots.iter().any(|hole| hole.repeats);
        if !texts.is_empty() || (self.subject == Subject::Text && repeated) {
            let message = format!(
                "the pattern lets anything through in one place{}",
                passes(&texts)
            );
            let help = match self.subject {
                Subject::Address => self.rewritten(true),
                Subject::Command | Subject::File | Subject::Text => "list the characters that \
                     may stand there, such as `[A-Za-z0-9_-]*`, or the whole texts"
                    .into(),
            };
            let help = format!("{help}{}", self.elsewhere);
            let spot = match find_open(self.pattern) {
                Some(part) => Spot::within(self.value, &part),
                None => self.value.into(),
            };
            findings.warning(code::WARN_ANYTHING, spot, message, help);
        }
        let classes: Vec<&Hole<'_>> = holes.iter().filter(|hole| !hole.is_anything()).collect();
        self.parents(findings, &classes);
    }

    /// Each filling goes into another place where it can, so that the texts show several.
    fn filled(&self, holes: &[&Hole<'_>], fillings: &[&str]) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        let mut used = BTreeSet::new();
        for (turn, filling) in fillings.iter().enumerate() {
            let turned = (0..holes.len()).map(|step| (turn + step) % holes.len().max(1));
            for at in turned {
                let Some(hole) = holes.get(at).filter(|hole| hole.repeats) else {
                    continue;
                };
                let text = hole.filled(filling);
                if hole.holds(filling) && !used.contains(&at) && self.guard.passes(&text) {
                    used.insert(at);
                    texts.push(text);
                    break;
                }
            }
            if texts.len() == SHOWN_MAX {
                break;
            }
        }
        texts
    }

    /// A `.` of an address that is any character, such as in `docs.acme.com`.
    fn dots(&self, holes: &[&Hole<'_>]) -> Vec<String> {
        let single = holes.iter().filter(|hole| {
            let host = hole.before.split("://").nth(1);
            !hole.repeats && host.is_some_and(|host| !host.contains('/'))
        });
        let made = single.map(|hole| hole.filled("x"));
        let mut passing = made.filter(|text| self.guard.passes(text));
        passing.next().into_iter().collect()
    }

    /// A class with `.` and `/` lets `..` through.
    fn parents(&self, findings: &mut Findings<'d>, holes: &[&Hole<'_>]) {
        if self.subject == Subject::Address {
            return;
        }
        let texts = self.filled(holes, &["../../.env", "../../env", "../x"]);
        let Some(text) = texts.first() else {
            return;
        };
        let message = format!("`..` passes the pattern: {} does", shown(text));
        let help = match self.subject {
            Subject::File => self.rewritten(true),
            Subject::Address | Subject::Command | Subject::Text => "add a condition on the same \
                 path: {\"op\": \"not_contains\", \"value\": \"..\"}"
                .into(),
        };
        let help = format!("{help}{}", self.elsewhere);
        findings.warning(code::WARN_PARENT, self.value, message, help);
    }

    /// A deny list of addresses by their text: an address has many spellings.
    fn denylist(&self, findings: &mut Findings<'d>) {
        const SEEN: [&str; 2] = ["http://127.0.0.1/", "https://127.0.0.1/"];
        const SAME: [&str; 5] = [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://127.1/",
            "http://[::ffff:127.0.0.1]/",
            "HTTP://127.0.0.1/",
        ];
        let sees = |text: &str| self.regex.is_match(text) == Some(true);
        let passes = |text: &str| !sees(text) && !self.guard.denies(text);
        let examples = self.shape.examples(WAYS_MAX);
        let bare = |text: &&String| text.contains('.') && !text.contains('/');
        let capital = examples.iter().filter(bare).find_map(|text| {
            let capital = text.to_ascii_uppercase();
            (capital != **text && sees(text) && passes(&capital)).then_some((text, capital))
        });
        let address = SEEN.into_iter().find(|text| sees(text));
        let same = SAME
            .into_iter()
            .filter(|text| address.is_some() && passes(text));
        let unseen: Vec<String> = same.map(shown).collect();
        let mut parts = Vec::new();
        if let (Some(address), false) = (address, unseen.is_empty()) {
            parts.push(format!("{} but not {}", shown(address), and(&unseen)));
        }
        if let Some((text, capital)) = capital {
            parts.push(format!("{} but not {}", shown(text), shown(&capital)));
        }
        if parts.is_empty() {
            return;
        }
        let message = format!(
            "the pattern sees one spelling of an address: it denies {}",
            parts.join(", and ")
        );
        let help = format!(
            "say under `require` where calls may go, with `url_in`: it reads the address, and \
             refuses every IP address that it does not list{}",
            self.elsewhere
        );
        findings.warning(code::WARN_SPELLING, self.value, message, help);
    }
}

/// The example with the ending, where that leads elsewhere.
fn ended(subject: Subject, example: &str, ending: &str) -> Option<String> {
    let is_parent = ending.starts_with("../");
    let leads_elsewhere = match subject {
        Subject::Address => {
            let after = example.split("://").nth(1).unwrap_or_default();
            match is_parent {
                // Above the root of a host there is nothing.
                true => after.trim_end_matches('/').contains('/'),
                false => !after.contains('/'),
            }
        }
        Subject::Text => !is_parent || example.ends_with('/'),
        Subject::Command | Subject::File => true,
    };
    let slash = is_parent && !example.ends_with('/');
    let text = [example, if slash { "/" } else { "" }, ending].concat();
    leads_elsewhere.then_some(text)
}

/// The address for a list, if the text certainly ends where a host or a segment does.
fn address(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    if rest.contains('/') {
        return Some(text.into());
    }
    let host = rest.split(':').next().unwrap_or_default();
    let whole = host.contains('.') && !host.ends_with(['.', '-']);
    whole.then(|| format!("{text}/"))
}

/// `: A and B pass`, or nothing.
fn passes(texts: &[String]) -> String {
    let shown: Vec<String> = texts.iter().map(|text| shown(text)).collect();
    match shown.len() {
        0 => String::new(),
        1 => format!(": {} passes", and(&shown)),
        _ => format!(": {} pass", and(&shown)),
    }
}

fn shown(text: &str) -> String {
    format!("`{}`", shortened(text))
}
