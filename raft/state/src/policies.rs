//! Policies as plain tables: which revision is in force under which name.

use crate::State;
use crate::book::Entry;
use crate::command::{LimitRow, PolicyPut, RuleRow};
use crate::effects::{Bound, CommandResult, Rejection};
use crate::genesis::too_large;
use crate::grants::Change;
use crate::limits;
use crate::rows::{PastRevision, Policy, Row};

impl State {
    pub(crate) fn policy_put(&mut self, entry: &mut Entry, put: PolicyPut) -> CommandResult {
        if let Err(rejection) = check(&put) {
            return CommandResult::Rejected(rejection);
        }
        let old = self.policies.get(&put.name);
        if let Some(old) = old.filter(|old| old.digest == put.digest) {
            return CommandResult::Put {
                revision: old.revision,
                changed: false,
            };
        }
        let revision = old.map_or(0, |old| old.revision);
        if put.expected.is_some_and(|expected| expected != revision) {
            return CommandResult::Conflict { revision };
        }
        if old.is_none() && self.policies.len() >= limits::POLICIES {
            return CommandResult::Full(Bound::Policies);
        }
        let revision = revision.saturating_add(1);
        let policy = Policy {
            name: put.name.clone(),
            revision,
            digest: put.digest,
            text: put.text,
            rules: put.rules,
            limits: put.limits,
            applied: entry.t,
            past: old.map(Policy::history).unwrap_or_default(),
        };
        let row = Row::Policy(put.name.clone());
        let before = self.row_digest(&row);
        self.policies.insert(put.name.clone(), policy);
        let after = self.row_digest(&row);
        entry.touch(row);
        if !entry.changed.policies.contains(&put.name) {
            entry.changed.policies.push(put.name.clone());
        }
        self.change(
            entry,
            &Change {
                actor: &put.actor,
                action: "policy_put",
                target: &put.name,
                name: &put.name,
                revision,
                before,
                after,
            },
        );
        CommandResult::Put {
            revision,
            changed: true,
        }
    }
}

impl Policy {
    /// The former revisions of the one that comes next.
    fn history(&self) -> alloc::vec::Vec<PastRevision> {
        let forget = self
            .past
            .len()
            .saturating_add(1)
            .saturating_sub(limits::POLICY_HISTORY);
        let (revision, digest, applied) = (self.revision, self.digest, self.applied);
        let this = PastRevision {
            revision,
            digest,
            applied,
        };
        self.past
            .iter()
            .copied()
            .skip(forget)
            .chain([this])
            .collect()
    }
}

fn check(put: &PolicyPut) -> Result<(), Rejection> {
    too_large("actor", put.actor.len(), limits::NAME_BYTES)?;
    too_large("name", put.name.len(), limits::NAME_BYTES)?;
    too_large("text", put.text.len(), limits::POLICY_BYTES)?;
    let rows = put.rules.len().saturating_add(put.limits.len());
    too_large("rows", rows, limits::POLICY_ROWS)?;
    for RuleRow {
        rule,
        pointer,
        message,
    } in &put.rules
    {
        check_texts(rule, pointer, message.as_deref())?;
    }
    for LimitRow {
        rule,
        pointer,
        message,
        counter,
        max,
        window: _,
        scope: _,
    } in &put.limits
    {
        check_texts(rule, pointer, message.as_deref())?;
        too_large("counter", counter.len(), limits::COUNTER_BYTES)?;
        if *max > limits::AMOUNT_MAX {
            return Err(Rejection::Max);
        }
    }
    Ok(())
}

fn check_texts(rule: &str, pointer: &str, message: Option<&str>) -> Result<(), Rejection> {
    for text in [rule, pointer, message.unwrap_or_default()] {
        too_large("row text", text.len(), limits::POLICY_TEXT_BYTES)?;
    }
    Ok(())
}
