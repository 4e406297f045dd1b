//! What a decision costs, ours and others'. Knows no expectation: it measures and prints.
//!
//! Each [`Way`] takes the raw body of a call and says whether it may pass. Those of one table run
//! in interleaved rounds, and must agree on every verdict first.

#![expect(clippy::print_stdout, reason = "tables are what its programs are for")]

pub mod body;
mod chart;
pub mod large;
pub mod measure;
pub mod policy;
pub mod table;
pub mod ways;

pub use crate::measure::Way;
