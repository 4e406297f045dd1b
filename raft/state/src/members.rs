//! Who belongs to the cluster, who leads it, which key signs its log: each change a record.

use alloc::string::String;
use alloc::vec::Vec;

use crate::State;
use crate::book::{Entry, Proposer};
use crate::effects::{CommandResult, Rejection};
use crate::genesis::{line, too_large};
use crate::limits;
use crate::rows::{Lead, Members, Role, Row};
use tollbook_audit::Record;
use tollbook_audit::record::{Config, Key, Member, Node};

impl State {
    pub(crate) fn membership(&mut self, entry: &mut Entry, members: &Members) {
        // A joint configuration and the uniform one behind it may name the same nodes.
        if self.cluster.members == *members {
            return;
        }
        self.remember_removed(entry, members);
        self.cluster.members = members.clone();
        entry.touch(Row::Cluster);
        entry.changed.members = true;
        if self.head.is_none() {
            return;
        }
        let named: Vec<Member<'_>> = members
            .nodes
            .iter()
            .map(|member| Member {
                node: member.node,
                role: match member.role {
                    Role::Learner => "learner",
                    Role::Voter => "voter",
                },
                key: &member.key,
            })
            .collect();
        let record = Record::Config(Config {
            epoch: self.begin_epoch(entry),
            members: &named,
        });
        self.write(entry, None, &record);
    }

    /// Ids are given once: whoever was a member and is none stays outside.
    fn remember_removed(&mut self, entry: &mut Entry, members: &Members) {
        let cluster = &mut self.cluster;
        let gone = cluster.members.nodes.iter().map(|member| member.node);
        for node in gone.filter(|node| !members.nodes.iter().any(|member| member.node == *node)) {
            cluster.removed.insert(node);
            // Nobody listens to it any more, so nobody asks how often it started.
            if self.starts.remove(&node).is_some() {
                entry.touch(Row::Start(node));
            }
        }
        for member in &members.nodes {
            cluster.removed.remove(&member.node);
            cluster.highest = cluster.highest.max(member.node);
        }
        while cluster.removed.len() > limits::REMOVED {
            let lowest = cluster.removed.pop_first().unwrap_or_default();
            cluster.removed_below = lowest.saturating_add(1);
        }
    }

    /// What was recorded until here stays in the old epoch's frames. The record that says why a
    /// new one begins is its first.
    fn begin_epoch(&mut self, entry: &mut Entry) -> u32 {
        self.close_frames(entry);
        self.meta.epoch = self.meta.epoch.saturating_add(1);
        self.meta.epoch
    }

    /// A blank entry is a new leader's first.
    pub(crate) fn lead(&mut self, entry: &mut Entry) {
        let lead = Some(Lead {
            term: entry.meta.term,
            node: entry.meta.node,
        });
        if self.cluster.lead >= lead {
            return;
        }
        self.cluster.lead = lead;
        entry.touch(Row::Cluster);
        if self.head.is_some() {
            let record = Record::Node(Node {
                event: "lead",
                term: Some(entry.meta.term),
                ..Node::default()
            });
            self.write(entry, None, &record);
        }
    }

    pub(crate) fn recover(
        &mut self,
        entry: &mut Entry,
        by: Proposer,
        actor: &str,
        reason: &str,
    ) -> CommandResult {
        let checked = too_large("actor", actor.len(), limits::NAME_BYTES)
            .and_then(|()| too_large("reason", reason.len(), limits::NAME_BYTES))
            .and_then(|()| line(reason));
        if let Err(rejection) = checked {
            return CommandResult::Rejected(rejection);
        }
        let epoch = self.begin_epoch(entry);
        let first = self.next_index(entry);
        let record = Record::Node(Node {
            event: "recovered",
            boot: Some(by.boot),
            epoch: Some(epoch),
            ..Node::default()
        });
        self.write(entry, None, &record);
        self.admin_event(entry, actor, "recover", reason);
        self.recorded_since(entry, first)
    }

    /// The same key again changes nothing.
    pub(crate) fn key_change(
        &mut self,
        entry: &mut Entry,
        actor: &str,
        log_key: String,
    ) -> CommandResult {
        if let Err(rejection) = check_key(actor, &log_key) {
            return CommandResult::Rejected(rejection);
        }
        let former = self.cluster.log_key.clone().unwrap_or_default();
        if former == log_key {
            let first = self.next_index(entry);
            return CommandResult::Recorded { first, count: 0 };
        }
        let epoch = self.begin_epoch(entry);
        let record = Record::Key(Key {
            epoch,
            actor,
            former: &former,
            log_key: &log_key,
        });
        let first = self.write(entry, None, &record);
        self.cluster.log_key = Some(log_key);
        entry.touch(Row::Cluster);
        entry.changed.log_key = true;
        CommandResult::Recorded { first, count: 1 }
    }
}

fn check_key(actor: &str, log_key: &str) -> Result<(), Rejection> {
    too_large("actor", actor.len(), limits::NAME_BYTES)?;
    too_large("log_key", log_key.len(), limits::GENESIS_TEXT_BYTES)?;
    line(log_key)
}
