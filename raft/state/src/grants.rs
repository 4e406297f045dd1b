//! Grants: made, changed, given another token, revoked for good.

use crate::State;
use crate::book::Entry;
use crate::command::{GrantId, GrantPut, GrantRotate};
use crate::effects::{Bound, CommandResult, Rejection};
use crate::genesis::too_large;
use crate::limits;
use crate::rows::{FormerToken, Grant, Row};
use crate::text;
use tollbook_audit::Record;
use tollbook_audit::record::Admin;

/// A change as the log tells it.
pub(crate) struct Change<'a> {
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) target: &'a str,
    pub(crate) name: &'a str,
    pub(crate) revision: u64,
    pub(crate) before: Option<[u8; 32]>,
    pub(crate) after: Option<[u8; 32]>,
}

impl State {
    pub(crate) fn grant_put(&mut self, entry: &mut Entry, put: GrantPut) -> CommandResult {
        if let Err(rejection) = check(&put) {
            return CommandResult::Rejected(rejection);
        }
        let known = put
            .policy
            .as_ref()
            .is_none_or(|name| self.policies.contains_key(name));
        if !known || !self.servers.contains_key(&put.server) {
            return CommandResult::NotFound;
        }
        let old = self.grants.get(&put.grant);
        let revision = old.map_or(0, |grant| grant.revision);
        let revoked = old.is_some_and(|grant| grant.revoked_at.is_some());
        // Revocation is final: a token that was taken back must not come alive again.
        if revoked || put.expected != revision {
            return CommandResult::Conflict { revision };
        }
        let holder = self.grant_labels.get(&put.label);
        if let Some(grant) = holder.filter(|id| **id != put.grant).copied() {
            return CommandResult::LabelTaken { grant };
        }
        if old.is_none() && self.grants.len() >= limits::GRANTS {
            return CommandResult::Full(Bound::Grants);
        }
        let created = old.map_or(entry.t, |grant| grant.created);
        let same_token = old.filter(|grant| grant.token == put.token);
        let mut grant = Grant {
            id: put.grant,
            label: put.label,
            owner: put.owner,
            server: put.server,
            policy: put.policy,
            token: put.token,
            former: same_token.and_then(|grant| grant.former),
            not_before: put.not_before,
            expires: put.expires,
            created,
            revoked_at: None,
            revision,
        };
        if old == Some(&grant) {
            return CommandResult::Put {
                revision,
                changed: false,
            };
        }
        grant.revision = revision.saturating_add(1);
        self.grant_change(entry, &put.actor, "grant_put", grant)
    }

    /// Safe to repeat: a grant that has the token stays as it is.
    pub(crate) fn grant_rotate(
        &mut self,
        entry: &mut Entry,
        rotate: &GrantRotate,
    ) -> CommandResult {
        if let Err(rejection) = too_large("actor", rotate.actor.len(), limits::NAME_BYTES) {
            return CommandResult::Rejected(rejection);
        }
        let latest = entry.t.0.saturating_add(limits::TOKEN_OVERLAP_US);
        if rotate.overlap_until.0 > latest {
            return CommandResult::Rejected(Rejection::Expires);
        }
        let Some(old) = self.grants.get(&rotate.grant) else {
            return CommandResult::NotFound;
        };
        let revision = old.revision;
        if old.revoked_at.is_some() {
            return CommandResult::Conflict { revision };
        }
        if old.token == rotate.token {
            return CommandResult::Put {
                revision,
                changed: false,
            };
        }
        if rotate.expected.is_some_and(|expected| expected != revision) {
            return CommandResult::Conflict { revision };
        }
        let mut grant = old.clone();
        let former = FormerToken {
            token: grant.token,
            until: rotate.overlap_until,
        };
        // What was the former token until here is over: there are never three.
        grant.former = (entry.t < former.until).then_some(former);
        grant.token = rotate.token;
        grant.revision = revision.saturating_add(1);
        self.grant_change(entry, &rotate.actor, "grant_rotate", grant)
    }

    /// Safe to repeat: a grant that is revoked stays as it is.
    pub(crate) fn grant_revoke(
        &mut self,
        entry: &mut Entry,
        actor: &str,
        id: GrantId,
        expected: Option<u64>,
    ) -> CommandResult {
        let Some(old) = self.grants.get(&id) else {
            return CommandResult::NotFound;
        };
        if old.revoked_at.is_some() {
            return CommandResult::Put {
                revision: old.revision,
                changed: false,
            };
        }
        let revision = old.revision;
        if expected.is_some_and(|expected| expected != revision) {
            return CommandResult::Conflict { revision };
        }
        let mut grant = old.clone();
        grant.former = None;
        grant.revoked_at = Some(entry.t);
        grant.revision = grant.revision.saturating_add(1);
        self.grant_change(entry, actor, "grant_revoke", grant)
    }

    fn grant_change(
        &mut self,
        entry: &mut Entry,
        actor: &str,
        action: &str,
        grant: Grant,
    ) -> CommandResult {
        let (id, revision, name) = (grant.id, grant.revision, grant.label.clone());
        let row = Row::Grant(id);
        let before = self.row_digest(&row);
        if let Some(old) = self.grants.get(&id) {
            self.grant_labels.remove(&old.label);
        }
        if grant.revoked_at.is_none() {
            self.grant_labels.insert(grant.label.clone(), id);
        }
        self.grants.insert(id, grant);
        let after = self.row_digest(&row);
        entry.touch(row);
        if !entry.changed.grants.contains(&id) {
            entry.changed.grants.push(id);
        }
        let (target, name) = (&text::grant(&id), &name);
        self.change(
            entry,
            &Change {
                actor,
                action,
                target,
                name,
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

    pub(crate) fn change(&mut self, entry: &mut Entry, change: &Change<'_>) {
        let Change {
            actor,
            action,
            target,
            name,
            revision,
            before,
            after,
        } = *change;
        let before = text::hex_option(before.as_ref());
        let after = text::hex_option(after.as_ref());
        let record = Record::Admin(Admin {
            actor,
            action,
            target,
            name,
            revision,
            before: before.as_deref(),
            after: after.as_deref(),
        });
        self.write(entry, None, &record);
    }

    /// An administrator's act that changes no object.
    pub(crate) fn admin_event(&mut self, entry: &mut Entry, actor: &str, action: &str, name: &str) {
        let (target, revision, before, after) = ("log", 0, None, None);
        self.change(
            entry,
            &Change {
                actor,
                action,
                target,
                name,
                revision,
                before,
                after,
            },
        );
    }
}

fn check(put: &GrantPut) -> Result<(), Rejection> {
    too_large("actor", put.actor.len(), limits::NAME_BYTES)?;
    too_large("label", put.label.len(), limits::NAME_BYTES)?;
    too_large(
        "owner",
        put.owner.as_ref().map_or(0, |text| text.len()),
        limits::NAME_BYTES,
    )
}
