//! The book of a node that stopped in good order.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use tollbook_audit::dir::{Options, Records, verify};
use tollbook_node::clock::Clock;
use tollbook_node::node::Start;
use tollbook_node::trial::Trial;

use crate::line::Line;

const POLICY: &str = r#"{"version":"1","default":"deny","tools":{"echo":{}}}"#;

/// Every record of a directory, in order.
pub(crate) fn records(dir: &Path) -> Vec<Value> {
    let records = Records::open(dir, 0).unwrap();
    records
        .map(|record| serde_json::from_slice(&record.unwrap().1).unwrap())
        .collect()
}

/// The newest outcome status of each call, by call id.
pub(crate) fn outcomes(records: &[Value]) -> BTreeMap<String, String> {
    let outcomes = records.iter().filter(|record| record["k"] == "outcome");
    outcomes
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            (text("call"), text("status"))
        })
        .collect()
}

pub(crate) fn verdict(dir: &Path) -> String {
    verify(dir, &Options::default()).verdict.name().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_closed_in_good_order_is_valid_and_no_flipped_byte_of_it_passes() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let start = Start {
        clock: Clock::default(),
        ..Start::default()
    };
    let trial = Trial::start(&dir, 0, start).await.unwrap();
    trial.apply("echo", POLICY).await.unwrap();
    let grant = trial
        .grant("one", trial.server, Some("echo"))
        .await
        .unwrap();
    let (endpoint, token) = (grant.endpoint.clone(), grant.token.expose().to_owned());
    let calls = tokio::task::spawn_blocking(move || {
        let mut line = Line::open(&endpoint, &token).unwrap();
        for trace in 0..50 {
            let seen = line.call("echo", r#"{"text":"hello"}"#, trace).unwrap();
            assert!(seen.is_result(), "{seen:?}");
        }
    });
    calls.await.unwrap();
    assert_eq!(trial.sample.calls("echo"), 50);
    trial.stop().await;

    let all = records(&dir);
    assert!(all.len() >= 100, "{}", all.len());
    assert_eq!(all.last().unwrap()["k"], "seal");
    assert_eq!(verdict(&dir), "valid");
    let segments = std::fs::read_dir(dir.join("log/seg")).unwrap();
    for segment in segments.map(|entry| entry.unwrap().path()) {
        let good = std::fs::read(&segment).unwrap();
        // One bit of every 61st byte, so that each field of a header and each part of a record is
        // met in some frame; the audit crate's own test flips every bit.
        for at in (0..good.len()).step_by(61) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            write(&segment, &bad);
            let report = verify(&dir, &Options::default());
            assert_eq!(report.verdict.name(), "tampered", "byte {at}");
            let finding = report.finding.unwrap();
            assert!(
                finding.frame.is_some() && finding.record.is_some(),
                "byte {at}"
            );
        }
        write(&segment, &good);
    }
    assert_eq!(verdict(&dir), "valid");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own copy needs no durability"
)]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
