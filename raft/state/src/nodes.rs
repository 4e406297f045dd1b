//! Nodes that start and stop, and what all of them understand.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::State;
use crate::book::{Entry, Proposer};
use crate::effects::{Bound, CommandResult, Rejection};
use crate::genesis::too_large;
use crate::grants::Change;
use crate::limits;
use crate::rows::{Row, Start};
use tollbook_audit::Record;
use tollbook_audit::record::Node;

impl Proposer {
    /// What it says of its start.
    pub(crate) fn start(self, software: String, start: u64, speaks: u16) -> Start {
        Start {
            node: self.node,
            start,
            boot: self.boot,
            software,
            speaks,
            refused: Vec::new(),
        }
    }
}

impl State {
    pub(crate) fn node_start(&mut self, entry: &mut Entry, mut new: Start) -> CommandResult {
        if let Err(rejection) = self.check_start(&new) {
            return CommandResult::Rejected(rejection);
        }
        let first = self.next_index(entry);
        if let Some(known) = self.starts.get(&new.node) {
            if (new.start, new.boot) == (known.start, known.boot) {
                return CommandResult::Recorded { first, count: 0 };
            }
            if new.start <= known.start {
                return self.start_refused(entry, &new);
            }
            new.refused.clone_from(&known.refused);
        } else if !self.room_for_start(entry) {
            return CommandResult::Full(Bound::Nodes);
        }
        let by = Proposer {
            node: new.node,
            boot: new.boot,
        };
        self.start_record(entry, "start", &new);
        entry.touch(Row::Start(new.node));
        self.starts.insert(new.node, new);
        self.close_earlier_boots(entry, by);
        self.recorded_since(entry, first)
    }

    pub(crate) fn node_stop(
        &mut self,
        entry: &mut Entry,
        by: Proposer,
        software: &str,
    ) -> CommandResult {
        let first = self.next_index(entry);
        self.close_boot(entry, by);
        let record = Record::Node(Node {
            event: "stop",
            boot: Some(by.boot),
            software: Some(software),
            ..Node::default()
        });
        self.write(entry, None, &record);
        self.recorded_since(entry, first)
    }

    fn check_start(&self, new: &Start) -> Result<(), Rejection> {
        too_large("software", new.software.len(), limits::NAME_BYTES)?;
        if new.start == 0 {
            return Err(Rejection::Start);
        }
        let cluster = self.version();
        if new.speaks < cluster {
            return Err(Rejection::Speaks { cluster });
        }
        Ok(())
    }

    /// Once a boot: a node that tries again and again must not fill the log.
    fn start_refused(&mut self, entry: &mut Entry, new: &Start) -> CommandResult {
        let known = self.starts.get_mut(&new.node).expect("it is known, above");
        let (start, boot) = (known.start, known.boot);
        if !known.refused.contains(&new.boot) {
            if known.refused.len() >= limits::BOOTS_PER_NODE {
                known.refused.remove(0);
            }
            known.refused.push(new.boot);
            entry.touch(Row::Start(new.node));
            self.start_record(entry, "refused", new);
        }
        CommandResult::StartRefused { start, boot }
    }

    fn start_record(&self, entry: &mut Entry, event: &str, new: &Start) {
        let record = Record::Node(Node {
            event,
            boot: Some(new.boot),
            software: Some(&new.software),
            start: Some(new.start),
            ..Node::default()
        });
        self.write(entry, None, &record);
    }

    /// Starts of members stay. Of the others the lowest id makes room: ids only grow.
    fn room_for_start(&mut self, entry: &mut Entry) -> bool {
        if self.starts.len() < limits::STARTS {
            return true;
        }
        let members = &self.cluster.members.nodes;
        let is_member = |node: &u32| members.iter().any(|member| member.node == *node);
        let Some(node) = self.starts.keys().copied().find(|node| !is_member(node)) else {
            return false;
        };
        self.starts.remove(&node);
        entry.touch(Row::Start(node));
        true
    }

    pub(crate) fn raise_version(
        &mut self,
        entry: &mut Entry,
        by: Proposer,
        version: u16,
    ) -> CommandResult {
        let current = self.version();
        if version <= current {
            return CommandResult::Put {
                revision: u64::from(current),
                changed: false,
            };
        }
        let members = &self.cluster.members.nodes;
        if members.is_empty() {
            return CommandResult::NotFound;
        }
        for member in members {
            let node = member.node;
            let speaks = self.starts.get(&node).map_or(0, |start| start.speaks);
            if speaks < version {
                return CommandResult::NotSpoken { node, speaks };
            }
        }
        self.cluster.version = version;
        entry.touch(Row::Cluster);
        let revision = u64::from(version);
        let change = Change {
            actor: &format!("node {}", by.node),
            action: "version",
            target: "log",
            name: "",
            revision,
            before: None,
            after: None,
        };
        self.change(entry, &change);
        CommandResult::Put {
            revision,
            changed: true,
        }
    }
}
