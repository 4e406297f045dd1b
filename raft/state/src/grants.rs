//! Grants: made, changed, revoked for good.

use crate::State;
use crate::book::Entry;
use crate::command::{GrantId, GrantPut};
use crate::effects::{Bound, CommandResult, Rejection};
use crate::genesis::too_large;
use crate::limits;
use crate::rows::{Grant, Row};
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
        if old.is_none() && self.grants.len() >= limits::GRANTS {
            return CommandResult::Full(Bound::Grants);
        }
        let created = old.map_or(entry.t, |grant| grant.created);
        let mut grant = Grant {
            id: put.grant,
            label: put.label,
            owner: put.owner,
            server: put.server,
            policy: put.policy,
            token: put.token,
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

    /// Safe to repeat: a grant that is revoked stays as it is.
    pub(crate) fn grant_revoke(
        &mut self,
        entry: &mut Entry,
        actor: &str,
        id: GrantId,
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
        let mut grant = old.clone();
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
    pub(crate) fn admin_event(&mut self, entry: &mut Entry, actor: &str, action: &str) {
        let (target, name, revision, before, after) = ("log", "", 0, None, None);
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
