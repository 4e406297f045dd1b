//! `tollbook policy schema`: policies as JSON Schema 2020-12, for editors.

use clap::Args;
use serde_json::Value;

use crate::commands::{Exit, Failure, Output, out};

#[derive(Args, Debug)]
#[command(
    after_help = "A policy names it by a member \"$schema\": \"policy.schema.json\", which \
                  decides nothing.\nWhat it cannot see, such as a pattern's syntax, \
                  `policy check` finds.\n\n\
                  Example:\n  tollbook policy schema > policy.schema.json"
)]
pub(in crate::commands) struct Schema {}

/// What the checker refuses in the structure of a policy, and a text for each field. Tests hold
/// its fields and operators to the checker's own.
const SCHEMA: &str = include_str!("schema.json");

pub(in crate::commands) fn run(output: Output) -> Result<Exit, Failure> {
    match output {
        Output::Table | Output::Json => out::text(SCHEMA)?,
        Output::Jsonl => {
            // Through a value, so that it is one line; the order of members says nothing.
            let schema: Value = serde_json::from_str(SCHEMA).expect("a test reads it");
            out::json(&schema)?;
        }
    }
    Ok(Exit::Done)
}
