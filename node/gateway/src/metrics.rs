//! Counters and gauges, as Prometheus reads them. No label ever carries a token, an argument or
//! anything else that a client chose.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use tollbook_state::command::Status;

use crate::refusal::Refusal;

/// Seconds; from a cached answer to the call deadline.
const BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 300.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    refusals: Family<Reason, Counter>,
    outcomes: Family<Ended, Counter>,
    admit_seconds: Histogram,
    call_seconds: Histogram,
    /// Calls on their way.
    pub(crate) calls: Gauge,
    /// Connections refused at the limit.
    pub(crate) connections_refused: Counter,
    /// Records in the book.
    pub(crate) records: Gauge<u64, AtomicU64>,
    /// Records under the newest signed checkpoint.
    pub(crate) records_signed: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tollbook");
        let refusals = Family::default();
        registry.register("refusals", "Requests refused, by reason", refusals.clone());
        let outcomes = Family::default();
        registry.register(
            "outcomes",
            "Forwarded calls, by how they ended",
            outcomes.clone(),
        );
        let admit_seconds = Histogram::new(BUCKETS);
        registry.register(
            "admit_seconds",
            "From the request's head until its intent is on a quorum",
            admit_seconds.clone(),
        );
        let call_seconds = Histogram::new(BUCKETS);
        registry.register(
            "call_seconds",
            "From sending to the reply's end",
            call_seconds.clone(),
        );
        let calls = Gauge::default();
        registry.register("calls", "Calls on their way", calls.clone());
        let connections_refused = Counter::default();
        registry.register(
            "connections_refused",
            "Connections closed because limits.connections was reached",
            connections_refused.clone(),
        );
        let records: Gauge<u64, AtomicU64> = Gauge::default();
        registry.register("records", "Records in the audit log", records.clone());
        let records_signed: Gauge<u64, AtomicU64> = Gauge::default();
        registry.register(
            "records_signed",
            "Records under the newest signed checkpoint",
            records_signed.clone(),
        );
        Self {
            registry,
            refusals,
            outcomes,
            admit_seconds,
            call_seconds,
            calls,
            connections_refused,
            records,
            records_signed,
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals
            .get_or_create(&Reason {
                reason: refusal.label(),
            })
            .inc();
    }

    /// Counts an intent that is on a quorum, `micros` after the request's head.
    pub(crate) fn admitted(&self, micros: u64) {
        self.admit_seconds.observe(seconds(micros));
    }

    /// Counts an outcome.
    pub(crate) fn ended(&self, status: Status, micros: u64) {
        self.outcomes
            .get_or_create(&Ended {
                status: word(status),
            })
            .inc();
        self.call_seconds.observe(seconds(micros));
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_cannot_format) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Cancelled => "cancelled",
        Status::Detached => "detached",
        Status::NotSent => "not_sent",
        Status::Ok => "ok",
        Status::RpcError => "rpc_error",
        Status::Timeout => "timeout",
        Status::ToolError => "tool_error",
        Status::Unknown => "unknown",
        Status::UpstreamDown => "upstream_down",
    }
}

/// Metrics are in seconds by convention; a histogram does not need more than 2^52 µs.
fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
