//! Many calls at once: a limit is met exactly, a revocation is final.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tollbook_node::clock::Clock;
use tollbook_node::node::Start;
use tollbook_node::trial::Trial;

use crate::book::{outcomes, records, verdict};
use crate::line::Line;

const FIFTY: &str = r#"{"version":"1","default":"deny","tools":{"echo":{"limits":[
  {"counter":"echoes","window":"day","scope":"grant","max":50,"on_deny":"Fifty a day."}]}}}"#;
const ALL: &str = r#"{"version":"1","default":"deny","tools":{"echo":{}}}"#;
const ARGUMENTS: &str = r#"{"text":"hello"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_calls_at_once_on_a_limit_of_50_exactly_50_reach_the_server() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let start = Start {
        clock: Clock::away_from_the_hour(),
        ..Start::default()
    };
    let trial = Trial::start(&dir, 0, start).await.unwrap();
    trial.apply("fifty", FIFTY).await.unwrap();
    let grant = trial
        .grant("crowd", trial.server, Some("fifty"))
        .await
        .unwrap();
    let (endpoint, token) = (grant.endpoint.clone(), grant.token.expose().to_owned());
    let seen = tokio::task::spawn_blocking(move || {
        let together = std::sync::Barrier::new(200);
        let call = |trace| {
            let mut line = Line::open(&endpoint, &token).unwrap();
            together.wait();
            line.call("echo", ARGUMENTS, trace).unwrap()
        };
        let call = &call;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..200).map(|at| scope.spawn(move || call(at))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        })
    });
    let seen = seen.await.unwrap();
    assert_eq!(seen.iter().filter(|seen| seen.is_result()).count(), 50);
    let denied: Vec<_> = seen.iter().filter(|seen| seen.is_denied()).collect();
    assert_eq!(denied.len(), 150);
    assert!(
        denied
            .iter()
            .all(|seen| seen.text() == "[POLICY DENIED] Fifty a day.")
    );
    assert_eq!(trial.sample.calls("echo"), 50);
    trial.stop().await;

    let all = records(&dir);
    let intents: Vec<_> = all
        .iter()
        .filter(|record| record["k"] == "intent")
        .collect();
    let allowed = intents.iter().filter(|intent| intent["verdict"] == "allow");
    let spent = intents.iter().filter(|intent| {
        intent["verdict"] == "deny" && intent["rule"] == "/tools/echo/limits/echoes"
    });
    assert_eq!((allowed.count(), spent.count()), (50, 150));
    assert!(outcomes(&all).values().all(|status| status == "ok"));
    assert_eq!(verdict(&dir), "valid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn after_a_revocation_is_acknowledged_no_intent_of_its_grant_commits() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let trial = Trial::start(&dir, 0, Start::default()).await.unwrap();
    trial.apply("all", ALL).await.unwrap();
    let grant = trial
        .grant("leaver", trial.server, Some("all"))
        .await
        .unwrap();
    let (endpoint, token) = (grant.endpoint.clone(), grant.token.expose().to_owned());
    let answered = Arc::new(AtomicU64::new(0));
    let revoked = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16_u64)
        .map(|client| {
            let (endpoint, token) = (endpoint.clone(), token.clone());
            let (answered, revoked) = (Arc::clone(&answered), Arc::clone(&revoked));
            tokio::task::spawn_blocking(move || {
                let mut line = Line::open(&endpoint, &token).unwrap();
                let mut after = 0;
                for turn in 0.. {
                    // Read before the call: what begins after the acknowledgement gets 401.
                    let late = revoked.load(Ordering::SeqCst);
                    let seen = line
                        .call("echo", ARGUMENTS, client * 1_000_000 + turn)
                        .unwrap();
                    answered.fetch_add(1, Ordering::SeqCst);
                    if late {
                        assert_eq!(seen.status, 401, "{seen:?}");
                        after += 1;
                    }
                    if after == 20 {
                        return;
                    }
                }
            })
        })
        .collect();
    while answered.load(Ordering::SeqCst) < 400 {
        assert!(
            clients.iter().all(|client| !client.is_finished()),
            "a client gave up"
        );
        tokio::task::yield_now().await;
    }
    trial.revoke(grant.id).await.unwrap();
    revoked.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    // Every client has its answers, so every call has ended: what reached the server did so
    // under an intent that is older than the revocation.
    let reached = trial.sample.calls("echo");
    trial.stop().await;

    let all = records(&dir);
    let id: String = grant.id.0.iter().copied().map(char::from).collect();
    let is_ours = |record: &serde_json::Value| record["grant"] == id.as_str();
    let at = all.iter().position(|record| {
        record["k"] == "admin"
            && record["action"] == "grant_revoke"
            && record["target"] == id.as_str()
    });
    let (before, after) = all.split_at(at.expect("the revocation is on record"));
    let intents = |part: &[serde_json::Value]| {
        part.iter()
            .filter(|record| record["k"] == "intent" && is_ours(record))
            .count()
    };
    assert_eq!(intents(after), 0);
    assert_eq!(u64::try_from(intents(before)).unwrap(), reached);
    let refused: BTreeSet<_> = after
        .iter()
        .filter(|r| r["k"] == "deny_auth")
        .map(|r| r["reason"].to_string())
        .collect();
    assert!(refused.contains("\"revoked\""), "{refused:?}");
    assert_eq!(verdict(&dir), "valid");
}
