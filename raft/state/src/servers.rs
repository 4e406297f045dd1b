//! Servers: made, changed, removed when no live grant points at them.

use crate::State;
use crate::book::Entry;
use crate::command::{ServerId, ServerPut, Upstream};
use crate::effects::{Bound, CommandResult, Rejection};
use crate::genesis::too_large;
use crate::grants::Change;
use crate::limits;
use crate::rows::{Row, Server};
use crate::text;

impl State {
    pub(crate) fn server_put(&mut self, entry: &mut Entry, put: ServerPut) -> CommandResult {
        if let Err(rejection) = check(&put) {
            return CommandResult::Rejected(rejection);
        }
        let old = self.servers.get(&put.server);
        let revision = old.map_or(0, |server| server.revision);
        if put.expected != revision {
            return CommandResult::Conflict { revision };
        }
        if let Some(holder) = self
            .server_names
            .get(&put.name)
            .filter(|id| **id != put.server)
        {
            return CommandResult::NameTaken { server: *holder };
        }
        if old.is_none() && self.servers.len() >= limits::SERVERS {
            return CommandResult::Full(Bound::Servers);
        }
        let created = old.map_or(entry.t, |server| server.created);
        let ServerPut {
            actor,
            server: id,
            name,
            upstream,
            ..
        } = put;
        let mut server = Server {
            id,
            name,
            upstream,
            created,
            revision,
        };
        if old == Some(&server) {
            return CommandResult::Put {
                revision,
                changed: false,
            };
        }
        let revision = revision.saturating_add(1);
        server.revision = revision;
        let old_name = old.map(|server| server.name.clone());
        let before = self.row_digest(&Row::Server(id));
        if let Some(old_name) = old_name {
            self.server_names.remove(&old_name);
        }
        let name = &server.name.clone();
        self.server_names.insert(name.clone(), id);
        self.servers.insert(id, server);
        let act = Act {
            actor: &actor,
            action: "server_put",
            name,
            revision,
        };
        self.server_record(entry, id, before, act);
        CommandResult::Put {
            revision,
            changed: true,
        }
    }

    /// Refused while a grant that is not revoked points at it, expired ones included: their time
    /// can be extended. Revoked grants keep the id of a server that is gone.
    pub(crate) fn server_remove(
        &mut self,
        entry: &mut Entry,
        actor: &str,
        id: ServerId,
        expected: Option<u64>,
    ) -> CommandResult {
        let Some(revision) = self.servers.get(&id).map(|server| server.revision) else {
            return CommandResult::NotFound;
        };
        if expected.is_some_and(|expected| expected != revision) {
            return CommandResult::Conflict { revision };
        }
        let mut users = self
            .grants
            .values()
            .filter(|grant| grant.server == id && grant.revoked_at.is_none());
        if let Some(first) = users.next() {
            let others = u64::try_from(users.count()).expect("a count fits 64 bits");
            return CommandResult::InUse {
                grant: first.id,
                count: others.saturating_add(1),
            };
        }
        let before = self.row_digest(&Row::Server(id));
        let Server { name, .. } = self.servers.remove(&id).expect("it is there, above");
        self.server_names.remove(&name);
        let act = Act {
            actor,
            action: "server_remove",
            name: &name,
            revision,
        };
        self.server_record(entry, id, before, act);
        CommandResult::Put {
            revision,
            changed: true,
        }
    }

    fn server_record(
        &mut self,
        entry: &mut Entry,
        id: ServerId,
        before: Option<[u8; 32]>,
        act: Act<'_>,
    ) {
        let row = Row::Server(id);
        let after = self.row_digest(&row);
        entry.touch(row);
        if !entry.changed.servers.contains(&id) {
            entry.changed.servers.push(id);
        }
        let Act {
            actor,
            action,
            name,
            revision,
        } = act;
        let target = &text::server(&id);
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

/// Who did what.
#[derive(Clone, Copy)]
struct Act<'a> {
    actor: &'a str,
    action: &'a str,
    name: &'a str,
    revision: u64,
}

fn check(put: &ServerPut) -> Result<(), Rejection> {
    too_large("actor", put.actor.len(), limits::NAME_BYTES)?;
    too_large("name", put.name.len(), limits::NAME_BYTES)?;
    match &put.upstream {
        Upstream::Http { url, headers } => {
            too_large("url", url.len(), limits::URL_BYTES)?;
            too_large("headers", headers.len(), limits::HEADERS)?;
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                too_large("header", text.len(), limits::HEADER_BYTES)?;
            }
        }
    }
    Ok(())
}
