//! One entry, from its place in the Raft log to its effects.

use crate::State;
use crate::book::{Entry, Proposer};
use crate::codec;
use crate::command::{Batch, Command, Micros};
use crate::effects::{CommandResult, Effects, Receipts, Rejection};
use crate::limits;
use crate::planted::{self, Bug};
use crate::rows::{Applied, Members, Row};
use tollbook_audit::Record;
use tollbook_audit::record::Clock;

/// Where an entry stands and who stamped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMeta {
    /// Its term.
    pub term: u64,
    /// Its index in the Raft log.
    pub log_index: u64,
    /// Who proposed it; the leader for an unstamped one.
    pub node: u32,
    /// The leader's clock; none on memberships and blanks.
    pub stamp: Option<Micros>,
}

/// What an entry holds.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// Nothing: a new leader's first entry.
    Blank,
    /// A batch of commands, as `codec::encode_batch` writes it.
    Batch(&'a [u8]),
    /// The members from here on.
    Membership(&'a Members),
}

impl State {
    /// Applies one entry. Never panics on what the payload holds: one bad command would stop every
    /// replica at once.
    ///
    /// # Panics
    /// When the entry is not newer than the last one. Raft applies in order and once.
    pub fn apply(&mut self, meta: EntryMeta, payload: Payload<'_>) -> Effects {
        if let Some(last) = self.meta.applied {
            assert!(meta.log_index > last.log_index, "an entry is applied once");
            assert!(meta.term >= last.term, "terms never go back");
        }
        self.meta.applied = Some(Applied {
            term: meta.term,
            log_index: meta.log_index,
        });
        let mut entry = Entry::new(meta, self.tick(meta.stamp));
        entry.touch(Row::Meta);
        self.note_clamp(&mut entry);
        match payload {
            Payload::Blank => self.lead(&mut entry),
            Payload::Batch(bytes) => self.batch(&mut entry, bytes),
            Payload::Membership(members) => self.membership(&mut entry, members),
        }
        self.prune_counters(&mut entry);
        self.close_frames(&mut entry);
        self.effects(entry)
    }

    /// Moves the log's time: to the stamp, but at least a microsecond on. A stamp that no record
    /// can hold counts as none, or one entry would freeze every window for good.
    fn tick(&mut self, stamp: Option<Micros>) -> Micros {
        let least = self.meta.now.0.saturating_add(1);
        let stamp = stamp.filter(|stamp| stamp.0 < limits::TIME_US_MAX);
        let mut t = stamp.map_or(least, |stamp| stamp.0.max(least));
        if planted::is(Bug::ClockBack) {
            t = stamp.map_or(least, |stamp| stamp.0);
        }
        self.meta.now = Micros(t.min(limits::TIME_US_MAX));
        self.meta.now
    }

    /// A clamp of more than a second is recorded once, where it begins: while a slow leader's
    /// clock catches up every entry is clamped, and a record each would say nothing more.
    fn note_clamp(&mut self, entry: &mut Entry) {
        let Some(stamp) = entry.meta.stamp else {
            return;
        };
        let clamped = entry.t.0.saturating_sub(stamp.0) > limits::CLOCK_CLAMP_US;
        if clamped && !self.meta.clamped && self.head.is_some() {
            self.write(
                entry,
                None,
                &Record::Clock(Clock {
                    stamp,
                    accepted: false,
                }),
            );
        }
        self.meta.clamped = clamped && self.head.is_some();
    }

    fn batch(&mut self, entry: &mut Entry, bytes: &[u8]) {
        let batch = match codec::decode_batch(bytes) {
            Ok(batch) => batch,
            Err(error) => return reject(entry, bytes, Rejection::Undecodable(error)),
        };
        if batch.commands.len() > limits::BATCH_COMMANDS {
            let limit = limits::BATCH_COMMANDS;
            return reject(
                entry,
                bytes,
                Rejection::TooLarge {
                    what: "commands",
                    limit,
                },
            );
        }
        // A member that does not know one of the commands passes the whole batch over, as one that
        // does not decode, so everybody does.
        let newest = batch.commands.iter().map(Command::version).max();
        let cluster = self.version();
        if let Some(command) = newest.filter(|version| *version > cluster) {
            return reject(entry, bytes, Rejection::Version { command, cluster });
        }
        if batch.place.sequence == 0 {
            return reject(entry, bytes, Rejection::Sequence);
        }
        // Before anything else happens: an entry that was applied has had its effects.
        if !self.first_time(entry, batch.place) {
            return;
        }
        let Batch { place, commands } = batch;
        let results = commands
            .into_iter()
            .map(|command| self.command(entry, place.into(), command))
            .collect();
        entry.receipts = Some(Receipts { place, results });
    }

    fn command(&mut self, entry: &mut Entry, by: Proposer, command: Command) -> CommandResult {
        if self.origin.is_none() && !matches!(command, Command::Genesis(_)) {
            return CommandResult::Rejected(Rejection::NoGenesis);
        }
        match command {
            Command::Genesis(genesis) => self.genesis_command(entry, genesis),
            Command::ServerPut(put) => self.server_put(entry, put),
            Command::ServerRemove {
                actor,
                server,
                expected,
            } => self.server_remove(entry, &actor, server, expected),
            Command::PolicyPut(put) => self.policy_put(entry, put),
            Command::GrantPut(put) => self.grant_put(entry, put),
            Command::GrantRevoke {
                actor,
                grant,
                expected,
            } => self.grant_revoke(entry, &actor, grant, expected),
            Command::Intent(intent) => self.intent(entry, by, &intent),
            Command::Outcome(outcome) => self.outcome(entry, &outcome),
            Command::List(list) => self.list(entry, &list),
            Command::Refused(refused) => self.refused(entry, &refused),
            Command::NodeStart {
                software,
                start,
                speaks,
            } => self.node_start(entry, by.start(software, start, speaks)),
            Command::NodeStop { software } => self.node_stop(entry, by, &software),
            Command::Settle { before } => self.settle(entry, before),
            Command::Seal => self.seal(entry),
            Command::ClockAccept { actor } => self.clock_accept(entry, &actor),
            Command::GrantRotate(rotate) => self.grant_rotate(entry, &rotate),
            Command::JoinTokenPut(put) => self.join_token_put(entry, &put),
            Command::Join(join) => self.join(entry, join),
            Command::Version { version } => self.raise_version(entry, by, version),
            Command::Recover { actor, reason } => self.recover(entry, by, &actor, &reason),
            Command::KeyChange { actor, log_key } => self.key_change(entry, &actor, log_key),
        }
    }

    fn clock_accept(&mut self, entry: &mut Entry, actor: &str) -> CommandResult {
        let first = self.next_index(entry);
        let stamp = entry.meta.stamp.unwrap_or(entry.t);
        self.write(
            entry,
            None,
            &Record::Clock(Clock {
                stamp,
                accepted: true,
            }),
        );
        self.admin_event(entry, actor, "clock_accept", "");
        self.recorded_since(entry, first)
    }

    pub(crate) fn recorded_since(&self, entry: &Entry, first: u64) -> CommandResult {
        let count = self.next_index(entry).saturating_sub(first);
        CommandResult::Recorded { first, count }
    }

    fn effects(&self, mut entry: Entry) -> Effects {
        let frames = entry.take_frames();
        let writes = entry
            .dirty
            .iter()
            .map(|row| (row.key(), self.value(row)))
            .collect();
        Effects {
            t: entry.t,
            writes,
            frames,
            receipts: entry.receipts,
            rejected: entry.rejected,
            sealed: entry.sealed,
            changed: entry.changed,
        }
    }
}

/// Whoever proposed it is told, where the bytes still say who that was.
fn reject(entry: &mut Entry, bytes: &[u8], rejection: Rejection) {
    entry.rejected = Some(rejection);
    entry.receipts = codec::decode_place(bytes).ok().map(|place| Receipts {
        place,
        results: alloc::vec![CommandResult::Rejected(rejection)],
    });
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{EntryMeta, Payload};
    use crate::State;
    use crate::codec::encode_batch;
    use crate::command::{Batch, Command, Genesis, Micros, Place};
    use crate::effects::{CommandResult, Rejection};

    fn apply(state: &mut State, log_index: u64, commands: Vec<Command>) -> crate::Effects {
        let meta = EntryMeta {
            term: 1,
            log_index,
            node: 1,
            stamp: Some(Micros(log_index)),
        };
        let place = Place {
            node: 1,
            boot: 1,
            sequence: 1,
        };
        let batch = encode_batch(&Batch { place, commands });
        state.apply(meta, Payload::Batch(&batch))
    }

    /// All commands of today are of version 1, so the cluster is one of version 0.
    #[test]
    fn a_batch_with_a_command_above_the_clusters_version_is_passed_over_whole() {
        let mut state = State::new();
        state.cluster.version = 0;
        let genesis = || {
            Command::Genesis(Genesis {
                origin: "o".into(),
                log_key: "k".into(),
                members: vec![],
                software: String::new(),
                prior: None,
            })
        };
        let effects = apply(&mut state, 1, vec![genesis(), Command::Seal]);
        let (command, cluster) = (1, 0);
        let rejection = Rejection::Version { command, cluster };
        assert_eq!(effects.rejected, Some(rejection));
        let results = effects.receipts.map(|receipts| receipts.results);
        assert_eq!(results, Some(vec![CommandResult::Rejected(rejection)]));
        // As if it had not been there: what a member comes to that cannot decode it.
        let mut other = State::new();
        other.cluster.version = 0;
        let meta = EntryMeta {
            term: 1,
            log_index: 1,
            node: 1,
            stamp: Some(Micros(1)),
        };
        other.apply(meta, Payload::Batch(&[1, 1, 1, 1, 1, 255]));
        assert_eq!(state, other);
        // The same batch passes once the cluster's version lets it.
        state.cluster.version = 1;
        let effects = apply(&mut state, 2, vec![genesis()]);
        assert_eq!(effects.rejected, None);
        assert!(state.genesis().is_some());
    }
}
