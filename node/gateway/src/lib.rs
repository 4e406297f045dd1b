//! The program `tollbook`: listeners, the call's way, upstreams, the admin API, the commands. Knows
//! no RocksDB, no openraft and no QUIC: what is durable it learns from receipts.
//!
//! Start with `request.rs`.

pub mod admin;
mod asked;
mod asks;
mod call;
mod checkpoint;
pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod dev;
pub mod dir;
mod grants;
mod inbound;
mod join_token;
mod joining;
mod ledger;
pub mod limits;
mod listen;
mod membership;
mod metrics;
mod near;
pub mod node;
mod node_status;
mod policies;
mod refusal;
mod refusals;
mod relay;
mod reply;
mod request;
mod routes;
pub mod sample;
pub mod serve;
mod session;
pub mod token;
pub mod trial;
pub mod upstream;
mod watchers;
