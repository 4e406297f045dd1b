//! The published calls under the published policies, through the gate.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use tollbook_node::trial::Granted;

use crate::client::{Ask, Client};
use crate::gate::Gate;

const CALLS: &str = include_str!("../../../policy/tests/data/calls.jsonl");
/// Tools that the sample server does not have; it counts their calls only in all.
const LACKING: [&str; 1] = ["List_Issues"];

/// One published call and what it comes to.
#[derive(Debug, Deserialize)]
struct Row<'a> {
    policy: String,
    tool: String,
    /// As it is written: `1000.0` must not become `1000` on the way.
    #[serde(borrow)]
    arguments: &'a RawValue,
    verdict: String,
    rule: Option<String>,
    message: Option<String>,
}

impl Row<'_> {
    /// What the agent reads where the call is denied.
    fn denial(&self) -> Option<String> {
        let rule = self.rule.as_deref()?;
        if rule.starts_with("/hide/") {
            return Some(format!("Unknown tool: {}", self.tool));
        }
        let message = self.message.as_deref().unwrap_or(rule);
        Some(format!("[POLICY DENIED] {message}"))
    }
}

async fn grant(gate: &Gate, policy: &str) -> Granted {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policies");
    let text = std::fs::read_to_string(folder.join(policy)).expect("a published policy");
    gate.grant(&text).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_published_call_gets_its_verdict_message_and_rule_through_the_gate() {
    let gate = Gate::start().await;
    let mut agents: BTreeMap<String, (Granted, Client)> = BTreeMap::new();
    let (mut rows, mut allowed, mut wrong) = (0, 0, Vec::new());
    for line in CALLS.lines().filter(|line| !line.is_empty()) {
        let row: Row<'_> = serde_json::from_str(line).expect("a row");
        if !agents.contains_key(&row.policy) {
            let agent = (
                grant(&gate, &row.policy).await,
                Client::connect(gate.address()).await,
            );
            agents.insert(row.policy.clone(), agent);
        }
        let (grant, client) = agents.get_mut(&row.policy).expect("just put there");
        let (from, sample) = (gate.size(), &gate.trial.sample);
        let (tool_before, total_before) = (sample.calls(&row.tool), sample.total());
        let response = client
            .ask(&Ask::call(grant, &row.tool, row.arguments.get()))
            .await;
        let reached = sample.total() - total_before;
        let of_tool = sample.calls(&row.tool) - tool_before;
        let mut records = gate.records_from(from);
        records
            .retain(|record| record["k"] == "intent" && record["grant"] == grant.token.id_text());
        let intent = records.first().cloned().unwrap_or_default();
        let verdict = intent["verdict"].as_str().unwrap_or_default();
        let rule = intent["rule"].as_str();
        let seen = response.seen();
        let as_seen = match row.denial() {
            Some(denial) => seen == denial,
            None => !seen.contains("POLICY DENIED"),
        };
        let as_recorded = verdict == row.verdict && rule == row.rule.as_deref();
        let is_allowed = row.verdict == "allow";
        let counted = if LACKING.contains(&row.tool.as_str()) {
            0
        } else {
            reached
        };
        let as_reached = reached == u64::from(is_allowed) && of_tool == counted;
        if records.len() != 1 || response.status != 200 || !(as_seen && as_recorded && as_reached) {
            wrong.push(format!(
                "{line}\n  {seen}\n  {records:?}\n  reached {reached}"
            ));
        }
        rows += 1;
        allowed += u64::from(is_allowed);
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        rows,
        CALLS
            .lines()
            .filter(|line| line.contains("\"verdict\""))
            .count()
    );
    assert_eq!(gate.trial.sample.total(), allowed);
    gate.stop().await;
}
