//! Nodes that join: a token is used once, and an id is given once.

use crate::State;
use crate::book::Entry;
use crate::command::{Join, JoinTokenId, JoinTokenPut};
use crate::effects::{Bound, CommandResult, JoinRefusal, Rejection};
use crate::genesis::{line, too_large};
use crate::grants::Change;
use crate::limits;
use crate::rows::{JoinToken, Joined, Row};
use crate::text;

impl State {
    /// Safe to repeat.
    pub(crate) fn join_token_put(
        &mut self,
        entry: &mut Entry,
        put: &JoinTokenPut,
    ) -> CommandResult {
        if let Err(rejection) = too_large("actor", put.actor.len(), limits::NAME_BYTES) {
            return CommandResult::Rejected(rejection);
        }
        let (now, revision) = (entry.t, 1);
        let latest = now.0.saturating_add(limits::JOIN_TOKEN_US);
        if put.expires <= now || put.expires.0 > latest {
            return CommandResult::Rejected(Rejection::Expires);
        }
        self.prune_join_tokens(entry);
        if let Some(old) = self.join_tokens.get(&put.id) {
            return if (old.hash, old.expires) == (put.hash, put.expires) {
                CommandResult::Put {
                    revision,
                    changed: false,
                }
            } else {
                CommandResult::Conflict { revision }
            };
        }
        if !self.room_for_join_token(entry) {
            return CommandResult::Full(Bound::JoinTokens);
        }
        let token = JoinToken {
            id: put.id,
            hash: put.hash,
            expires: put.expires,
            joined: None,
            refusals: 0,
        };
        self.join_tokens.insert(put.id, token);
        let row = Row::JoinToken(put.id);
        let after = self.row_digest(&row);
        entry.touch(row);
        let change = Change {
            actor: &put.actor,
            action: "join_token_put",
            target: &text::join_token(&put.id),
            name: "",
            revision,
            before: None,
            after,
        };
        self.change(entry, &change);
        CommandResult::Put {
            revision,
            changed: true,
        }
    }

    pub(crate) fn join(&mut self, entry: &mut Entry, join: Join) -> CommandResult {
        if let Err(rejection) = check(&join) {
            return CommandResult::Rejected(rejection);
        }
        self.prune_join_tokens(entry);
        let Some(token) = self.join_tokens.get(&join.id) else {
            return CommandResult::JoinRefused(JoinRefusal::Unknown);
        };
        // Who does not hold the token learns nothing else of it.
        if token.hash != join.hash {
            return CommandResult::JoinRefused(JoinRefusal::WrongHash);
        }
        if let Some(joined) = &token.joined {
            let node = joined.node;
            let same = (&joined.verifier_key, &joined.certificate)
                == (&join.verifier_key, &join.certificate);
            // The same node again: its answer was lost.
            return if same && !self.is_removed(node) {
                CommandResult::Joined { node }
            } else {
                self.join_refused(entry, &join);
                CommandResult::JoinRefused(JoinRefusal::Used { node })
            };
        }
        if entry.t >= token.expires {
            return CommandResult::JoinRefused(JoinRefusal::Expired);
        }
        if let Some(refusal) = self.taken(entry, &join) {
            return CommandResult::JoinRefused(refusal);
        }
        let Some(node) = self.cluster.highest.checked_add(1) else {
            return CommandResult::Full(Bound::Nodes);
        };
        self.cluster.highest = node;
        entry.touch(Row::Cluster);
        self.join_done(entry, node, join);
        CommandResult::Joined { node }
    }

    fn join_done(&mut self, entry: &mut Entry, node: u32, join: Join) {
        let row = Row::JoinToken(join.id);
        let before = self.row_digest(&row);
        let token = self.join_tokens.get_mut(&join.id);
        token.expect("the caller has seen it").joined = Some(Joined {
            node,
            name: join.name.clone(),
            verifier_key: join.verifier_key,
            certificate: join.certificate,
        });
        let after = self.row_digest(&row);
        entry.touch(row);
        // The token's second revision: it is used.
        let (id, revision) = (&text::join_token(&join.id), 2);
        let change = Change {
            actor: id,
            action: "join",
            target: &alloc::format!("node {node}"),
            name: &join.name,
            revision,
            before,
            after,
        };
        self.change(entry, &change);
    }

    /// Somebody else holds a token that was used: worth a record, but not any number of them.
    fn join_refused(&mut self, entry: &mut Entry, join: &Join) {
        let Some(token) = self.join_tokens.get_mut(&join.id) else {
            return;
        };
        if token.refusals >= limits::JOIN_REFUSALS {
            return;
        }
        token.refusals = token.refusals.saturating_add(1);
        entry.touch(Row::JoinToken(join.id));
        let id = &text::join_token(&join.id);
        let change = Change {
            actor: id,
            action: "join_refused",
            target: id,
            name: &join.name,
            revision: 2,
            before: None,
            after: None,
        };
        self.change(entry, &change);
    }

    /// Names and keys of members are theirs, and those of a node that joined and is no member yet
    /// until its token expires: it may never come, and its name must not be lost for good.
    fn taken(&self, entry: &Entry, join: &Join) -> Option<JoinRefusal> {
        let members = self.cluster.members.nodes.iter();
        let members = members.map(|member| (member.node, &member.name, &member.key));
        let joined = self
            .join_tokens
            .values()
            .filter(|token| entry.t < token.expires)
            .filter_map(|token| token.joined.as_ref())
            .filter(|joined| !self.is_removed(joined.node))
            .map(|joined| (joined.node, &joined.name, &joined.verifier_key));
        members.chain(joined).find_map(|(node, name, key)| {
            if *name == join.name {
                Some(JoinRefusal::NameTaken { node })
            } else if *key == join.verifier_key {
                Some(JoinRefusal::KeyTaken { node })
            } else {
                None
            }
        })
    }

    fn prune_join_tokens(&mut self, entry: &mut Entry) {
        let over = |token: &JoinToken| {
            token.expires.0.saturating_add(limits::JOIN_TOKEN_KEEP_US) <= entry.t.0
        };
        let tokens = self.join_tokens.values();
        let ids: alloc::vec::Vec<JoinTokenId> = tokens
            .filter(|token| over(token))
            .map(|token| token.id)
            .collect();
        for id in ids {
            self.join_tokens.remove(&id);
            entry.touch(Row::JoinToken(id));
        }
    }

    fn room_for_join_token(&mut self, entry: &mut Entry) -> bool {
        if self.join_tokens.len() < limits::JOIN_TOKENS {
            return true;
        }
        let oldest = self.join_tokens.values().map(|t| (t.expires, t.id)).min();
        let Some((_, id)) = oldest.filter(|(expires, _)| *expires <= entry.t) else {
            return false;
        };
        self.join_tokens.remove(&id);
        entry.touch(Row::JoinToken(id));
        true
    }
}

fn check(join: &Join) -> Result<(), Rejection> {
    for (what, text, limit) in [
        ("name", &join.name, limits::NAME_BYTES),
        ("peer_address", &join.peer_address, limits::ADDRESS_BYTES),
        ("data_address", &join.data_address, limits::ADDRESS_BYTES),
        (
            "verifier_key",
            &join.verifier_key,
            limits::GENESIS_TEXT_BYTES,
        ),
    ] {
        too_large(what, text.len(), limit)?;
        line(text)?;
    }
    Ok(())
}
