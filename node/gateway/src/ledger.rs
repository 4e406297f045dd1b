//! The book, as the call's way sees it: reserve and record, record the outcome, count refusals.
//!
//! What is durable here: an [`Admitted`] exists only once its intent is on a quorum's disks, and
//! `record_outcome` returns `Ok` only once the outcome is.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use tollbook_raft::Cluster;
use tollbook_state::command::{CallId, Command, GrantId, Intent, List, Outcome, Status};
use tollbook_state::{CommandResult, DeniedBy, ElementResult, Unauthorised};

use crate::call::Call;
use crate::clock::{Clock, Moment};
use crate::grants::Grant;
use crate::inbound::Inbound;
use crate::limits::{Deadlines, Limits};
use crate::policies::Decided;
use crate::refusal::{Refusal, Unauthenticated};
use crate::refusals::Refusals;
use crate::relay::Listed;

/// Proof that one call may be forwarded once, until a moment. Only [`Ledger::reserve_and_record`]
/// makes it, from a committed intent.
#[derive(Debug)]
pub(crate) struct Admitted {
    call: CallId,
    /// Past it, the first byte must not be sent.
    send_by: Moment,
}

/// What became of an intent that was not refused.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// It is on a quorum.
    Admitted(Admitted),
    /// A revision changed; nothing was recorded or charged. Decide again.
    Stale,
}

/// How a forwarded call ended, as far as the gate saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// CALLS.md, Outcomes.
    pub(crate) status: Status,
    /// No byte of the request was sent: the reservation is given back.
    pub(crate) never_reached: bool,
    /// Bytes of the reply's body.
    pub(crate) bytes: u64,
    /// From the first try to send until the reply's end.
    pub(crate) duration_us: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    cluster: Arc<Cluster>,
    clock: Clock,
    deadlines: Deadlines,
    tasks: TaskTracker,
    refusals: Refusals,
}

impl Admitted {
    /// Until when the first byte may be sent.
    pub(crate) fn send_by(&self) -> Moment {
        self.send_by
    }
}

impl Ledger {
    /// Over a running cluster.
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        clock: Clock,
        limits: &Limits,
        deadlines: &Deadlines,
        tasks: TaskTracker,
    ) -> Self {
        let refusals = Refusals::new(limits);
        Self {
            cluster,
            clock,
            deadlines: deadlines.clone(),
            tasks,
            refusals,
        }
    }

    /// Commits the intent: the verdict, the reservations and the record as one entry.
    pub(crate) async fn reserve_and_record(
        &self,
        grant: &Grant,
        call: &Call,
        decided: Decided,
        admit_by: Moment,
    ) -> Result<Reserved, Refusal> {
        let intent = Intent {
            grant: grant.id,
            server: grant.server,
            grant_revision: grant.revision,
            server_revision: grant.server_revision,
            policy: decided.policy(),
            client: call.client().into_owned(),
            session: call.session_hash(),
            elements: vec![call.element(decided.into_decision())],
        };
        let mut commit = self.cluster.commit(&Command::Intent(intent));
        let left = admit_by.left(self.clock.moment());
        let Ok(result) = tokio::time::timeout(left, &mut commit).await else {
            // It may still commit. Then nothing was sent, and the quota goes back.
            let cluster = Arc::clone(&self.cluster);
            self.tasks.spawn(async move {
                if let Ok(CommandResult::Admitted(calls)) = commit.await {
                    for admitted in calls {
                        give_back(&cluster, admitted.call).await;
                    }
                }
            });
            return Err(Refusal::PastAdmit);
        };
        match result {
            Ok(CommandResult::Admitted(calls)) => {
                let admitted = calls.into_iter().next().ok_or(Refusal::NoQuorum)?;
                Ok(Reserved::Admitted(Admitted {
                    call: admitted.call,
                    send_by: admit_by,
                }))
            }
            Ok(CommandResult::Denied(elements)) => Err(denied(elements, call)),
            Ok(CommandResult::Stale) => Ok(Reserved::Stale),
            Ok(CommandResult::Unauthorised(reason)) => {
                Err(Refusal::Unauthenticated(unauthenticated(reason)))
            }
            Ok(CommandResult::Full(bound)) => {
                tracing::warn!(?bound, "the ledger is full; a call was refused");
                Err(Refusal::NoQuorum)
            }
            Ok(other) => {
                tracing::error!(?other, "an intent came to what no intent comes to");
                Err(Refusal::NoQuorum)
            }
            Err(error) => {
                tracing::warn!(%error, "an intent was not committed");
                Err(Refusal::NoQuorum)
            }
        }
    }

    /// Commits the outcome. On an error the result must be withheld: the call may have run, and
    /// no quorum says so. Whether it is recorded later or closed as `unknown`, the book shows it.
    pub(crate) async fn record_outcome(
        &self,
        admitted: Admitted,
        ended: &Ended,
    ) -> Result<(), Refusal> {
        let outcome = Outcome {
            call: admitted.call,
            status: ended.status,
            never_reached: ended.never_reached,
            bytes: ended.bytes,
            duration_us: ended.duration_us,
            result_commitment: None,
        };
        let commit = self.cluster.commit(&Command::Outcome(outcome));
        match tokio::time::timeout(self.deadlines.outcome, commit).await {
            Ok(Ok(CommandResult::Recorded { .. })) => Ok(()),
            Ok(Ok(other)) => {
                tracing::warn!(?other, "an outcome was not recorded");
                Err(Refusal::Unsettled)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "an outcome was not committed");
                Err(Refusal::Unsettled)
            }
            Err(_late) => Err(Refusal::Unsettled),
        }
    }

    /// Commits the record of a filtered list, before the list is shown.
    pub(crate) async fn record_list(&self, grant: &Grant, listed: &Listed) -> Result<(), Refusal> {
        let list = List {
            grant: grant.id,
            grant_revision: grant.revision,
            server: grant.server,
            server_revision: grant.server_revision,
            policy: listed.policy,
            offered: listed.offered,
            shown: listed.shown,
            offered_hash: listed.offered_hash,
            shown_hash: listed.shown_hash,
        };
        let commit = self.cluster.commit(&Command::List(list));
        match tokio::time::timeout(self.deadlines.outcome, commit).await {
            Ok(Ok(CommandResult::Recorded { .. })) => Ok(()),
            Ok(Ok(CommandResult::Stale)) => Err(Refusal::Stale),
            Ok(Ok(CommandResult::Unauthorised(reason))) => {
                Err(Refusal::Unauthenticated(unauthenticated(reason)))
            }
            Ok(Ok(_) | Err(_)) | Err(_) => Err(Refusal::NoQuorum),
        }
    }

    /// Whether the grant's budget of refusals is spent. A spent one is counted.
    pub(crate) fn check_budget(&self, grant: GrantId) -> Result<(), Refusal> {
        self.refusals.check(grant, self.clock.moment())
    }

    /// Counts a refusal against the grant's budget, and in the next aggregated record where no
    /// record of its own tells of it.
    pub(crate) fn note_refusal(&self, grant: &Grant, refusal: &Refusal) {
        self.refusals.note(grant.id, refusal, self.clock.moment());
    }

    /// Counts a failed authentication. The 401 does not wait for its record.
    pub(crate) fn note_stranger(&self, inbound: &Inbound, refusal: &Refusal) {
        if let Refusal::Unauthenticated(reason) = refusal {
            self.refusals.note_stranger(inbound.source, *reason);
        }
    }

    /// Commits what was counted since the last time. What is not committed is lost, and logged.
    pub(crate) async fn flush_refusals(&self) {
        if let Some(refused) = self.refusals.take() {
            let result = self.cluster.commit(&Command::Refused(refused)).await;
            if let Err(error) = result {
                tracing::warn!(%error, "counted refusals were not committed");
            }
        }
    }
}

/// Nothing was sent: the reservation goes back.
async fn give_back(cluster: &Cluster, call: CallId) {
    let outcome = Outcome {
        call,
        status: Status::NotSent,
        never_reached: true,
        bytes: 0,
        duration_us: 0,
        result_commitment: None,
    };
    let result = cluster.commit(&Command::Outcome(outcome)).await;
    if let Err(error) = result {
        // It stays open and is closed as `unknown` after its deadline; the quota is kept.
        tracing::warn!(%error, "an unsent call was not recorded as such");
    }
}

fn denied(elements: Vec<ElementResult>, call: &Call) -> Refusal {
    let denial = elements.into_iter().find_map(|element| match element {
        ElementResult::Denied(denial) => Some(denial),
        ElementResult::NotRun(_) => None,
    });
    let Some(denial) = denial else {
        return Refusal::NoQuorum;
    };
    match (denial.by, call.tool()) {
        (DeniedBy::Policy(tollbook_state::command::Cause::Hidden), Some(tool)) => Refusal::Hidden {
            tool: tool.name.to_string(),
        },
        (_, Some(_)) => Refusal::Denied {
            message: denial.message.unwrap_or(denial.rule),
        },
        (_, None) => Refusal::MethodDenied {
            method: call.method().to_owned(),
        },
    }
}

fn unauthenticated(reason: Unauthorised) -> Unauthenticated {
    match reason {
        Unauthorised::Expired => Unauthenticated::Expired,
        Unauthorised::NotYetValid => Unauthenticated::NotYet,
        Unauthorised::Revoked => Unauthenticated::Revoked,
        Unauthorised::Unknown => Unauthenticated::Unknown,
    }
}
