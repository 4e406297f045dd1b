//! The first command of a log.

use alloc::vec::Vec;

use crate::State;
use crate::book::Entry;
use crate::command::Genesis;
use crate::effects::{CommandResult, Rejection};
use crate::limits;
use crate::rows::{Origin, Row};
use tollbook_audit::{self as audit, Record};

impl State {
    pub(crate) fn genesis_command(&mut self, entry: &mut Entry, genesis: Genesis) -> CommandResult {
        if self.origin.is_some() {
            return CommandResult::Rejected(Rejection::Genesis);
        }
        if let Err(rejection) = check(&genesis) {
            return CommandResult::Rejected(rejection);
        }
        let members: Vec<(u32, &str)> = genesis
            .members
            .iter()
            .map(|(node, key)| (*node, key.as_str()))
            .collect();
        let record = Record::Genesis(audit::record::Genesis {
            origin: &genesis.origin,
            log_key: &genesis.log_key,
            members: &members,
            software: &genesis.software,
            prior: genesis.prior.as_deref(),
        });
        let first = self.write(entry, None, &record);
        for (node, _) in &genesis.members {
            self.cluster.highest = self.cluster.highest.max(*node);
        }
        self.cluster.log_key = Some(genesis.log_key.clone());
        entry.touch(Row::Cluster);
        self.origin = Some(Origin {
            origin: genesis.origin,
            log_key: genesis.log_key,
            members: genesis.members,
            software: genesis.software,
            prior: genesis.prior,
            created: entry.t,
        });
        entry.touch(Row::Origin);
        // From here on there is a head, so that the batch's other commands find a log.
        self.close_frames(entry);
        CommandResult::Recorded { first, count: 1 }
    }
}

/// The record must hold every text whole: it is what the log's identity is made from.
fn check(genesis: &Genesis) -> Result<(), Rejection> {
    let Genesis {
        origin,
        log_key,
        members,
        software,
        prior,
    } = genesis;
    too_large("origin", origin.len(), limits::ORIGIN_BYTES)?;
    too_large("members", members.len(), limits::GENESIS_MEMBERS)?;
    too_large("software", software.len(), limits::NAME_BYTES)?;
    let texts = [Some(log_key), prior.as_ref()];
    for text in texts
        .into_iter()
        .flatten()
        .chain(members.iter().map(|(_, key)| key))
    {
        too_large("text", text.len(), limits::GENESIS_TEXT_BYTES)?;
    }
    // A line feed in it would make two logs with one id.
    let keys = members.iter().map(|(_, key)| key);
    [origin, log_key]
        .into_iter()
        .chain(keys)
        .try_for_each(|text| line(text))
}

/// Refuses what is not one line.
pub(crate) fn line(text: &str) -> Result<(), Rejection> {
    if text.is_empty() || text.chars().any(char::is_control) {
        Err(Rejection::Line)
    } else {
        Ok(())
    }
}

/// Refuses more than a named limit allows.
pub(crate) fn too_large(what: &'static str, size: usize, limit: usize) -> Result<(), Rejection> {
    if size > limit {
        Err(Rejection::TooLarge { what, limit })
    } else {
        Ok(())
    }
}
