//! Peers over real UDP sockets on loopback: what arrives, what is refused, and what it says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside of test functions"
)]

mod calls;
mod certificates;
mod channels;
mod common;
mod hostile;
mod joins;
mod restart;
