//! What the rules of a tool, all together, make of one text.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Write as _;

use super::domain::{asked, is_cheap};
use super::{Entry, Placed, conditions};
use crate::json::{Json, ProfileLimits, parse_syntax};
use crate::model::{Condition, Rule, Test};
use crate::path::Path;

/// Conditions that one probe may meet: a tool with more is not probed.
const CONDITIONS_MAX: usize = 64;
/// Conditions that are judged for one pattern, over all texts that are tried.
const JUDGED_MAX: usize = 8_192;

/// The rules of a tool that look at one path.
pub(super) struct Guard<'d> {
    require: Vec<&'d Test>,
    /// Rules of `deny_if` that look at nothing else.
    deny_if: Vec<Vec<&'d Test>>,
    /// Conditions that were judged.
    judged: Cell<usize>,
}

impl<'d> Guard<'d> {
    /// None if they are too many to try texts on.
    pub(super) fn of(entry: &Entry<'d>, path: &Path) -> Option<Self> {
        let is_here = |condition: &&'d Condition| condition.path.steps == path.steps;
        let tests = |rule: &'d Rule| rule.conditions.iter().map(|condition| &condition.test);
        let all = entry.require.iter().flat_map(|rule| &rule.read.conditions);
        let require: Vec<&Test> = all.filter(is_here).map(|one| &one.test).collect();
        let deny_if: Vec<Vec<&Test>> = entry
            .deny_if
            .iter()
            .filter(|rule| rule.read.conditions.iter().all(|one| is_here(&one)))
            .map(|rule| tests(rule.read).collect())
            .collect();
        let count = require.len() + deny_if.iter().map(Vec::len).sum::<usize>();
        let mut tests = require.iter().chain(deny_if.iter().flatten());
        let cheap = tests.all(|test| is_cheap(test));
        (cheap && count <= CONDITIONS_MAX).then_some(Self {
            require,
            deny_if,
            judged: Cell::new(0),
        })
    }

    /// Whether the text passes all rules that look at this path only.
    pub(super) fn passes(&self, text: &str) -> bool {
        let Some(json) = string(text).filter(|_| self.may_judge()) else {
            return false;
        };
        let value = json.root();
        let all = |test: &&Test| asked(test, value) == Some(true);
        self.require.iter().all(all) && !self.denies_json(&json)
    }

    /// Whether a `deny_if` that looks at nothing else refuses the text.
    pub(super) fn denies(&self, text: &str) -> bool {
        let json = string(text).filter(|_| self.may_judge());
        json.is_none_or(|json| self.denies_json(&json))
    }

    /// Counts as if each condition were judged: the count bounds the time.
    fn may_judge(&self) -> bool {
        let all = self.require.len() + self.deny_if.iter().map(Vec::len).sum::<usize>();
        let judged = self.judged.get() + all;
        self.judged.set(judged);
        judged <= JUDGED_MAX
    }

    /// How many conditions were judged.
    pub(super) fn judged(&self) -> usize {
        self.judged.get()
    }

    fn denies_json(&self, json: &Json) -> bool {
        let not_false = |test: &&Test| asked(test, json.root()) != Some(false);
        self.deny_if.iter().any(|rule| rule.iter().all(not_false))
    }

    /// Whether the path has no more than one condition in `require`.
    pub(super) fn is_alone(&self) -> bool {
        self.require.len() <= 1
    }
}

/// A condition, and the part that it has in a decision.
#[derive(Clone, Copy)]
pub(super) struct Part<'d> {
    pub(super) condition: Placed<'d, Condition>,
    pub(super) in_require: bool,
    /// Its rule has no other.
    pub(super) is_alone: bool,
}

/// All conditions of a tool, in the order of the decision.
pub(super) fn all_conditions<'e, 'd>(entry: &'e Entry<'d>) -> impl Iterator<Item = Part<'d>> + 'e {
    let of = |rule: Placed<'d, Rule>, in_require| {
        conditions(rule).map(move |condition| Part {
            condition,
            in_require,
            is_alone: rule.read.conditions.len() == 1,
        })
    };
    let require = entry.require.iter().flat_map(move |rule| of(*rule, true));
    require.chain(entry.deny_if.iter().flat_map(move |rule| of(*rule, false)))
}

/// The text as a document of one JSON string.
pub(super) fn string(text: &str) -> Option<Json> {
    let mut json = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => write!(json, "\\u{:04x}", u32::from(c)).ok()?,
            c => json.push(c),
        }
    }
    json.push('"');
    let json: String = json;
    parse_syntax(json, &ProfileLimits::CALL).ok()
}
