//! The cluster's commands and the admin API under them, at a cluster of one: a real process, a
//! directory of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must stop, and its files need no durability"
)]

mod grants;
mod help;
mod members;
#[path = "../cli_node/node.rs"]
mod node;
