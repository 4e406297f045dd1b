//! What the records of a log must say together: each grant's counter without a gap, and each
//! outcome after its own intent.
//!
//! The verifier's only memory that grows with the log: one number a grant, and what is known of
//! each call that is open or ended `unknown`.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::check::Check;
use crate::read::{Decided, Kind, Text, View};

/// The calls of a log, as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Highest `gs` of each grant.
    grants: BTreeMap<String, u64>,
    /// Allowed intents without an outcome.
    open: BTreeMap<String, Open>,
    /// Grants of calls whose outcome is `unknown`; one late outcome may still come.
    unknown: BTreeMap<String, String>,
}

/// An allowed intent without an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// Its record.
    pub(crate) index: u64,
    grant: String,
}

impl Calls {
    pub(crate) fn open(&self) -> impl ExactSizeIterator<Item = (&String, &Open)> {
        self.open.iter()
    }

    pub(crate) fn record(&mut self, index: u64, view: &View<'_>) -> Result<(), Check> {
        if let (Some(gs), Some(grant)) = (view.gs, view.grant) {
            self.sequence(gs, grant)?;
        }
        match view.kind {
            Kind::Intent => self.intent(index, view),
            Kind::Outcome => self.outcome(view),
            Kind::Admin
            | Kind::Clock
            | Kind::Config
            | Kind::DenyAuth
            | Kind::Genesis
            | Kind::Key
            | Kind::List
            | Kind::Node
            | Kind::Refused
            | Kind::Seal => Ok(()),
        }
    }

    fn sequence(&mut self, gs: u64, grant: Text<'_>) -> Result<(), Check> {
        let last = self.grants.get_mut(grant.raw());
        let expected = last.as_ref().map_or(1, |last| last.saturating_add(1));
        if gs != expected {
            return Err(Check::GrantSequence {
                expected,
                found: gs,
            });
        }
        match last {
            Some(last) => *last = gs,
            None => drop(self.grants.insert(grant.raw().into(), gs)),
        }
        Ok(())
    }

    fn intent(&mut self, index: u64, view: &View<'_>) -> Result<(), Check> {
        let (Some(call), Some(grant)) = (view.call, view.grant) else {
            return Err(Check::CallMissing);
        };
        if self.open.contains_key(call.raw()) {
            return Err(Check::CallTwice);
        }
        if view.verdict == Some(Decided::Allow) {
            let open = Open {
                index,
                grant: grant.raw().into(),
            };
            self.open.insert(call.raw().into(), open);
        }
        Ok(())
    }

    fn outcome(&mut self, view: &View<'_>) -> Result<(), Check> {
        let (Some(call), Some(grant), Some(status)) = (view.call, view.grant, view.status) else {
            return Err(Check::CallMissing);
        };
        let is_unknown = status.raw() == "unknown";
        let of = if view.late {
            if is_unknown {
                return Err(Check::OutcomeLate);
            }
            self.unknown.remove(call.raw()).ok_or(Check::OutcomeLate)?
        } else {
            self.open
                .remove(call.raw())
                .ok_or(Check::OutcomeWithoutIntent)?
                .grant
        };
        if of != grant.raw() {
            return Err(Check::OutcomeGrant);
        }
        if is_unknown {
            self.unknown.insert(call.raw().into(), of);
        }
        Ok(())
    }
}
