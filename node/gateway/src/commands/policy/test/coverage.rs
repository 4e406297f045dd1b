//! Which rules of a policy decided a case's call, and what its conditions came to.

use std::collections::BTreeMap;

use serde::Serialize;

use tollbook_policy::json::{ProfileLimits, Value, parse};
use tollbook_policy::{Policy, Step, Trace, Truth};

/// What cases made of one policy's rules, in the order of the document's rows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Coverage {
    pub(super) policy: String,
    pub(super) rules: Vec<Covered>,
    pub(super) conditions: Vec<Judged>,
}

/// Something that can deny: a name in `hide`, a `deny`, an `only`, a rule or a limit.
#[derive(Debug, Serialize)]
pub(super) struct Covered {
    /// As people read it.
    pub(super) rule: String,
    /// RFC 6901.
    pub(super) pointer: String,
    /// Calls that it denied.
    pub(super) denied: u64,
}

/// One condition.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) rule: String,
    pub(super) pointer: String,
    #[serde(rename = "true")]
    pub(super) held: u64,
    #[serde(rename = "false")]
    pub(super) failed: u64,
    pub(super) indeterminate: u64,
}

impl Coverage {
    /// Of a policy that no call was made to.
    pub(super) fn new(name: String, text: &str, policy: &Policy) -> Self {
        let mut coverage = Self {
            policy: name,
            ..Self::default()
        };
        let json = parse(text.to_owned(), &ProfileLimits::CALL);
        let hide = json.iter().filter_map(|json| json.root().get("hide"));
        for (index, name) in hide.flat_map(Value::elements).enumerate() {
            let rule = format!("/hide/{}", name.as_str().unwrap_or_default());
            coverage.add(rule, format!("/hide/{index}"));
        }
        for row in policy.rules() {
            let rule = row.pointer.rsplit_once("/conditions/");
            if rule.is_some() {
                coverage.conditions.push(Judged {
                    rule: row.rule.clone(),
                    pointer: row.pointer.clone(),
                    held: 0,
                    failed: 0,
                    indeterminate: 0,
                });
            }
            let pointer = rule.map_or(&*row.pointer, |(rule, _)| rule);
            // A rule is known by its first condition.
            if coverage
                .rules
                .last()
                .is_none_or(|last| last.pointer != pointer)
            {
                coverage.add(row.rule.clone(), pointer.to_owned());
            }
        }
        for row in policy.limits() {
            coverage.add(row.rule.clone(), row.pointer.clone());
        }
        coverage
    }

    fn add(&mut self, rule: String, pointer: String) {
        self.rules.push(Covered {
            rule,
            pointer,
            denied: 0,
        });
    }

    /// Counts one call in.
    pub(super) fn count(&mut self, trace: &Trace<'_, '_>) {
        let mut at: BTreeMap<&str, Truth> = BTreeMap::new();
        for step in &trace.steps {
            for condition in step.rules.iter().flat_map(|rule| &rule.conditions) {
                at.insert(&condition.row.pointer, condition.truth);
            }
        }
        for judged in &mut self.conditions {
            match at.get(&*judged.pointer) {
                Some(Truth::True) => judged.held += 1,
                Some(Truth::False) => judged.failed += 1,
                Some(Truth::Indeterminate) => judged.indeterminate += 1,
                None => {}
            }
        }
        let (Some(step), Some(denied)) =
            (trace.steps.iter().find(|step| step.decides), &trace.denied)
        else {
            return;
        };
        let by_rule = matches!(step.step, Step::Require | Step::DenyIf);
        let pointer = denied.pointer.as_deref().unwrap_or_default();
        let pointer = match pointer.rsplit_once("/conditions/") {
            Some((rule, _)) if by_rule => rule,
            Some(_) | None => pointer,
        };
        // Names of `hide` have no pointer of their own in a verdict.
        let hidden = step.step == Step::Hide;
        let decided = self.rules.iter_mut().find(|covered| {
            if hidden {
                covered.rule == denied.rule && covered.pointer.starts_with("/hide/")
            } else {
                covered.pointer == pointer
            }
        });
        if let Some(covered) = decided {
            covered.denied += 1;
        }
    }

    /// What no call was denied by.
    pub(super) fn missed(&self) -> impl Iterator<Item = &Covered> {
        self.rules.iter().filter(|covered| covered.denied == 0)
    }

    /// Conditions that were never true, or never anything else, though they were looked at.
    pub(super) fn one_sided(&self) -> impl Iterator<Item = &Judged> {
        self.conditions.iter().filter(|judged| {
            let other = judged.failed + judged.indeterminate;
            (judged.held == 0) != (other == 0)
        })
    }
}
