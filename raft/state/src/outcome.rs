//! How admitted calls end: at most one outcome each, and one late after `unknown`.

use alloc::vec::Vec;

use crate::State;
use crate::admit::reservations;
use crate::book::{Entry, Proposer};
use crate::command::{CallId, GrantId, Micros, Outcome, Status};
use crate::effects::CommandResult;
use crate::limits;
use crate::planted::{self, Bug};
use crate::rows::{Hold, OpenCall, Row, SettledCall};
use crate::text;
use tollbook_audit::{self as audit, Record};

/// Who closes a call without its outcome.
#[derive(Clone, Copy, Debug)]
enum Closer {
    /// A later boot of its node.
    NodeStart,
    /// The leader, past the deadline.
    Settle,
    /// Its node, draining.
    Shutdown,
}

/// One outcome as it is recorded.
struct Ending<'a> {
    call: CallId,
    grant: GrantId,
    status: Status,
    cause: Option<&'static str>,
    bytes: u64,
    duration_us: u64,
    refunds: &'a [Hold],
    late: bool,
    result_commitment: Option<[u8; 32]>,
}

impl State {
    pub(crate) fn outcome(&mut self, entry: &mut Entry, outcome: &Outcome) -> CommandResult {
        let Some(open) = self.open_remove(entry, &outcome.call) else {
            return self.late_outcome(entry, outcome);
        };
        let refunds = if is_refunded(outcome) {
            self.refund(entry, open.held)
        } else {
            Vec::new()
        };
        if outcome.status == Status::Unknown || planted::is(Bug::TwoOutcomes) {
            self.remember_settled(entry, open.call, open.grant);
        }
        self.ending(entry, &ending(outcome, open.grant, &refunds))
    }

    /// A real outcome after `unknown` is one more record, and gives nothing back: the quota's
    /// answer was final. A second `unknown` says nothing.
    fn late_outcome(&mut self, entry: &mut Entry, outcome: &Outcome) -> CommandResult {
        if outcome.status == Status::Unknown {
            return CommandResult::NotOpen;
        }
        let Some(settled) = self.forget_settled(entry, &outcome.call) else {
            return CommandResult::NotOpen;
        };
        let late = Ending {
            late: true,
            ..ending(outcome, settled.grant, &[])
        };
        self.ending(entry, &late)
    }

    /// Closes what was admitted before `before`, oldest first, a bounded number at a time.
    pub(crate) fn settle(&mut self, entry: &mut Entry, before: Micros) -> CommandResult {
        let mut calls = self.open_where(|open| open.admitted < before);
        let more = calls.len() > limits::SETTLE_CALLS;
        calls.truncate(limits::SETTLE_CALLS);
        let closed = u64::try_from(calls.len()).expect("a length fits 64 bits");
        self.close(entry, calls, Closer::Settle);
        CommandResult::Settled { closed, more }
    }

    /// Closes what earlier boots of this node left open.
    pub(crate) fn close_earlier_boots(&mut self, entry: &mut Entry, by: Proposer) {
        let calls = self.open_where(|open| open.node == by.node && open.boot != by.boot);
        self.close(entry, calls, Closer::NodeStart);
    }

    /// Closes what this boot still has open.
    pub(crate) fn close_boot(&mut self, entry: &mut Entry, by: Proposer) {
        let calls = self.open_where(|open| open.node == by.node && open.boot == by.boot);
        self.close(entry, calls, Closer::Shutdown);
    }

    /// Open calls in the order of their intent records.
    fn open_where(&self, wanted: impl Fn(&OpenCall) -> bool) -> Vec<(u64, CallId)> {
        let mut calls: Vec<_> = self
            .open
            .values()
            .filter(|open| wanted(open))
            .map(|open| (open.index, open.call))
            .collect();
        calls.sort_unstable();
        calls
    }

    fn close(&mut self, entry: &mut Entry, calls: Vec<(u64, CallId)>, closer: Closer) {
        let cause = match closer {
            Closer::NodeStart => "node_start",
            Closer::Settle => "settle",
            Closer::Shutdown => "shutdown",
        };
        for (_, call) in calls {
            let open = self
                .open_remove(entry, &call)
                .expect("it was open when it was listed");
            self.remember_settled(entry, call, open.grant);
            let ending = Ending {
                call,
                grant: open.grant,
                status: Status::Unknown,
                cause: Some(cause),
                bytes: 0,
                duration_us: entry.t.0.saturating_sub(open.admitted.0),
                refunds: &[],
                late: false,
                result_commitment: None,
            };
            self.ending(entry, &ending);
        }
    }

    fn ending(&mut self, entry: &mut Entry, ending: &Ending<'_>) -> CommandResult {
        let gs = self.next_gs(entry, &ending.grant);
        let result_commitment = text::hex_option(ending.result_commitment.as_ref());
        let record = Record::Outcome(audit::record::Outcome {
            gs,
            grant: &text::grant(&ending.grant),
            status: status_text(ending.status),
            cause: ending.cause,
            bytes: ending.bytes,
            duration_us: ending.duration_us,
            refunds: &reservations(ending.refunds),
            late: ending.late,
            result_commitment: result_commitment.as_deref(),
        });
        let first = self.write(entry, Some(&ending.call), &record);
        CommandResult::Recorded { first, count: 1 }
    }

    pub(crate) fn open_insert(&mut self, open: OpenCall) {
        let of = self.open_of.entry(open.grant).or_default();
        *of = of.saturating_add(1);
        let before = self.open.insert(open.call, open);
        assert!(before.is_none(), "call ids are unique among open calls");
    }

    fn open_remove(&mut self, entry: &mut Entry, call: &CallId) -> Option<OpenCall> {
        let open = self.open.remove(call)?;
        entry.touch(Row::Open(*call));
        let of = self
            .open_of
            .get_mut(&open.grant)
            .expect("an open call is counted");
        *of = of.saturating_sub(1);
        if *of == 0 {
            self.open_of.remove(&open.grant);
        }
        Some(open)
    }

    fn remember_settled(&mut self, entry: &mut Entry, call: CallId, grant: GrantId) {
        if self.settled.len() >= limits::SETTLED
            && let Some((_, oldest)) = self.settled_order.pop_first()
        {
            self.settled.remove(&oldest);
            entry.touch(Row::Settled(oldest));
        }
        let order = self.meta.settled;
        self.meta.settled = order.saturating_add(1);
        self.settled_order.insert(order, call);
        self.settled
            .insert(call, SettledCall { call, grant, order });
        entry.touch(Row::Settled(call));
    }

    fn forget_settled(&mut self, entry: &mut Entry, call: &CallId) -> Option<SettledCall> {
        let settled = self.settled.remove(call)?;
        self.settled_order.remove(&settled.order);
        entry.touch(Row::Settled(*call));
        Some(settled)
    }
}

fn ending<'a>(outcome: &Outcome, grant: GrantId, refunds: &'a [Hold]) -> Ending<'a> {
    Ending {
        call: outcome.call,
        grant,
        status: outcome.status,
        cause: None,
        bytes: outcome.bytes,
        duration_us: outcome.duration_us,
        refunds,
        late: false,
        result_commitment: outcome.result_commitment,
    }
}

/// Only what provably never reached the upstream: nothing was sent, or no connection was made.
/// Both the status and the proposer must say so.
fn is_refunded(outcome: &Outcome) -> bool {
    let possible = match outcome.status {
        Status::NotSent | Status::UpstreamDown => true,
        Status::Ok
        | Status::ToolError
        | Status::RpcError
        | Status::Timeout
        | Status::Cancelled
        | Status::Detached
        | Status::Unknown => false,
    };
    possible && outcome.never_reached
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::ToolError => "tool_error",
        Status::RpcError => "rpc_error",
        Status::Timeout => "timeout",
        Status::UpstreamDown => "upstream_down",
        Status::NotSent => "not_sent",
        Status::Cancelled => "cancelled",
        Status::Detached => "detached",
        Status::Unknown => "unknown",
    }
}
