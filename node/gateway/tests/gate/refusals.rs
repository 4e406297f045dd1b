//! Refusals that no single request brings about: a full node, a full disk, a stop, a clock, a book
//! that cannot be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use tollbook_node::clock::Clock;
use tollbook_node::node::Start;
use tollbook_node::token::{Class, Token};
use tollbook_node::trial::{Granted, Trial, policy_put};
use tollbook_state::CommandResult;
use tollbook_state::command::{Command, GrantId, GrantPut, Micros};

use crate::answers::assert_unavailable;
use crate::client::{Ask, Client, ask};
use crate::gate::{ALLOW, Barrier, Gate, ONCE, until};

fn echo(grant: &Granted) -> Ask {
    Ask::call(grant, "echo", r#"{"text":"hi"}"#)
}

/// A call that hangs until the sample server stops, on a connection of its own.
async fn hanging(gate: &Gate, grant: &Granted) -> Client {
    let mut client = Client::connect(gate.address()).await;
    client.send(&Ask::call(grant, "hang", "{}").bytes()).await;
    until("the call that hangs", || {
        gate.trial.sample.calls("hang") == 1
    })
    .await;
    client
}

/// `Refusal::Busy`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_all_its_calls_on_their_way_is_busy_and_recovers() {
    let gate = Gate::with(|config| config.limits.calls = 1).await;
    let grant = gate.grant(ALLOW).await;
    let client = hanging(&gate, &grant).await;
    let response = gate.ask(&echo(&grant)).await;
    assert_unavailable(&response, &json!(null), "too many calls are on their way");
    assert_eq!(gate.trial.sample.total(), 1);
    // Modern: hanging up cancels, and the place is free again.
    drop(client);
    assert_eq!(gate.await_outcomes(1).await, ["cancelled"]);
    let mut again = gate.ask(&echo(&grant)).await;
    for _ in 0..100 {
        if again.status == 200 {
            break;
        }
        again = gate.ask(&echo(&grant)).await;
    }
    assert_eq!(again.seen(), "hi");
    gate.stop().await;
}

/// `Refusal::Busy`, by the connections to one server. What was charged goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_finds_no_connection_to_its_server_costs_nothing() {
    let edit = |config: &mut tollbook_node::config::Config| {
        config.limits.upstream_connections = 1;
        config.deadlines.admit = Duration::from_millis(300);
    };
    let gate = Gate::with(edit).await;
    let (grant, once) = (gate.grant(ALLOW).await, gate.grant(ONCE).await);
    let client = hanging(&gate, &grant).await;
    let response = gate.ask(&echo(&once)).await;
    assert_unavailable(&response, &json!(1), "too many calls are on their way");
    assert_eq!(gate.outcomes(), ["not_sent"]);
    let refunds = gate.records("outcome")[0]["refunds"].clone();
    assert_eq!(refunds[0]["counter"], "n", "{refunds}");
    drop(client);
    gate.await_outcomes(2).await;
    assert_eq!(gate.ask(&echo(&once)).await.seen(), "hi");
    assert_eq!(
        gate.ask(&echo(&once)).await.seen(),
        "[POLICY DENIED] Spent."
    );
    gate.stop().await;
}

/// `Refusal::DiskFull`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_disk_reserve_no_intent_and_no_list_is_taken() {
    let gate = Gate::with(|config| config.limits.disk_reserve = Some(1 << 60)).await;
    let grant = gate.grant(ALLOW).await;
    let node = &gate.trial.running.node;
    until("a full disk", || node.unready() == ["disk_full"]).await;
    let response = gate.ask(&echo(&grant)).await;
    assert_unavailable(&response, &json!(1), "the disk of the audit log is full");
    let list = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{}}}}}"#,
        crate::client::META
    );
    let response = gate
        .ask(&Ask::modern(&grant, "tools/list", None, list))
        .await;
    assert_unavailable(&response, &json!(1), "the disk of the audit log is full");
    assert_eq!(gate.records("intent").len() + gate.records("list").len(), 0);
    // What takes rights away is taken all the same.
    gate.trial.revoke(grant.id).await.unwrap();
    assert_eq!(gate.ask(&echo(&grant)).await.status, 401);
    assert_eq!(gate.trial.sample.total(), 0);
    gate.stop().await;
}

/// `Refusal::Draining`. What hangs past the drain deadline is closed as unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_refuses_what_is_new_and_closes_what_hangs_as_unknown() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    // A connection whose request has begun before the stop and goes on after it.
    let mut late = Client::connect(gate.address()).await;
    let request = echo(&grant).bytes();
    late.send(&request[..20]).await;
    // Connections are accepted in order: once this one hangs, the other was accepted too.
    let mut hangs = hanging(&gate, &grant).await;
    let node = Arc::clone(&gate.trial.running.node);
    let stopping = gate.stop();
    let refused = async {
        until("the stop", || node.unready().contains(&"draining")).await;
        late.send(&request[20..]).await;
        let response = late.response().await.expect("an answer");
        assert_unavailable(&response, &json!(null), "this node is stopping");
        // Nobody else gets in.
        late.closed().await;
        hangs.closed().await;
    };
    tokio::join!(stopping, refused);
}

/// `Refusal::NoQuorum`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_book_nothing_passes() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    let session = gate.initialize(&grant).await;
    gate.trial.running.node.cluster.shutdown().await;
    let why = "the call could not be recorded";
    let response = gate.ask(&echo(&grant)).await;
    assert_unavailable(&response, &json!(1), why);
    // What passes unrecorded, too: this node may have missed a revocation.
    let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    let response = gate.ask(&Ask::legacy(&grant, Some(&session), ping)).await;
    assert_unavailable(&response, &json!("p"), why);
    assert_eq!(gate.trial.sample.total(), 0);
    assert_eq!(gate.records("intent").len(), 0);
}

/// `Refusal::PastAdmit`. The intent that commits too late is closed as not sent, and refunded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_commits_too_late_is_never_forwarded_and_costs_nothing() {
    let barrier = Barrier::default();
    let edit = |config: &mut tollbook_node::config::Config| {
        config.deadlines.admit = Duration::from_millis(200);
    };
    let gate = Gate::open(edit, barrier.start()).await;
    let grant = gate.grant(ONCE).await;
    barrier.shut();
    let response = gate.ask(&echo(&grant)).await;
    assert_unavailable(
        &response,
        &json!(1),
        "the call could not be admitted in time",
    );
    barrier.open();
    assert_eq!(gate.await_outcomes(1).await, ["not_sent"]);
    assert_eq!(gate.trial.sample.total(), 0);
    assert_eq!(gate.ask(&echo(&grant)).await.seen(), "hi");
    assert_eq!(gate.trial.sample.total(), 1);
    gate.stop().await;
}

/// `Refusal::Stale`. The policy changes between the decision and its admission, as often as the
/// gate decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_decided_under_a_policy_that_has_changed_is_decided_again_or_refused() {
    const DENY: &str = r#"{"version":"1","default":"deny"}"#;
    for (decisions, again) in [(1, false), (2, true)] {
        let barrier = Barrier::default();
        let edit = |config: &mut tollbook_node::config::Config| config.limits.decisions = decisions;
        let gate = Gate::open(edit, barrier.start()).await;
        let grant = gate.grant(ALLOW).await;
        let cluster = Arc::clone(&gate.trial.running.node.cluster);
        let put = |name: &str, text: &str| {
            let policy = tollbook_policy::check(text).unwrap();
            cluster.commit(&Command::PolicyPut(policy_put("test", name, text, &policy)))
        };
        // The book stands still at an entry about something else; behind it waits the change,
        // and behind that the call, which was decided before either.
        barrier.shut();
        let first = put("unrelated", ALLOW);
        barrier.holds().await;
        let change = put("policy-0", DENY);
        let size = gate.size();
        let mut client = Client::connect(gate.address()).await;
        client.send(&echo(&grant).bytes()).await;
        // The call was decided once a second one, sent after it, has been looked at.
        let nobody = Token::generate(Class::Grant).unwrap();
        let ask_nobody = echo(&grant).set("Authorization", &format!("Bearer {}", nobody.expose()));
        assert_eq!(gate.ask(&ask_nobody).await.status, 401);
        assert!(client.is_silent_for(Duration::from_millis(150)).await);
        assert_eq!(gate.size(), size);
        barrier.open();
        for put in [first, change] {
            assert!(matches!(put.await, Ok(CommandResult::Put { .. })));
        }
        let response = client.response().await.expect("an answer");
        if again {
            assert_eq!(response.seen(), "[POLICY DENIED] /default");
            assert_eq!(gate.records("intent").len(), 1);
        } else {
            let why = "grant, policy or server changed while the call was decided";
            assert_unavailable(&response, &json!(1), why);
            assert_eq!(gate.records("intent").len(), 0);
        }
        assert_eq!(gate.trial.sample.total(), 0);
        gate.stop().await;
    }
}

/// Q7: a counter is the grant's and the counter's name, not the policy's text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_the_policy_resets_no_counter() {
    let gate = Gate::start().await;
    let grant = gate.grant(ONCE).await;
    assert_eq!(gate.ask(&echo(&grant)).await.seen(), "hi");
    let edited = ONCE.replace("Spent.", "Spent anew.");
    gate.trial.apply("policy-0", &edited).await.unwrap();
    let response = gate.ask(&echo(&grant)).await;
    assert_eq!(response.seen(), "[POLICY DENIED] Spent anew.");
    // Raised by one, there is one more; without the limit and with it again, still none.
    let raised = edited.replace("\"max\":1", "\"max\":2");
    gate.trial.apply("policy-0", &raised).await.unwrap();
    assert_eq!(gate.ask(&echo(&grant)).await.seen(), "hi");
    gate.trial.apply("policy-0", ALLOW).await.unwrap();
    assert_eq!(gate.ask(&echo(&grant)).await.seen(), "hi");
    gate.trial.apply("policy-0", &raised).await.unwrap();
    assert_eq!(
        gate.ask(&echo(&grant)).await.seen(),
        "[POLICY DENIED] Spent anew."
    );
    let revisions: Vec<_> = gate
        .records("intent")
        .iter()
        .map(|intent| intent["policy"]["revision"].clone())
        .collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
    gate.stop().await;
}

/// `Refusal::OverBudget`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_over_its_budget_of_refusals_is_not_evaluated_and_others_are() {
    let edit = |config: &mut tollbook_node::config::Config| {
        config.limits.refusals_burst = 3;
        config.limits.refusals_per_second = 1;
    };
    let gate = Gate::with(edit).await;
    let grant = gate.grant(r#"{"version":"1","tools":{"echo":{}}}"#).await;
    let other = gate.grant(ALLOW).await;
    let denied = Ask::call(&grant, "get_secret", "{}");
    let mut over = None;
    for _ in 0..20 {
        let response = gate.ask(&denied).await;
        if response.status != 200 {
            over = Some(response);
            break;
        }
        assert_eq!(response.seen(), "[POLICY DENIED] /default");
    }
    let over = over.expect("a spent budget");
    assert_eq!((over.status, over.header("retry-after")), (429, Some("1")));
    let error = json!({ "code": -31004, "message": "too many refused requests; not evaluated" });
    assert_eq!(
        over.json(),
        json!({ "jsonrpc": "2.0", "id": null, "error": error })
    );
    assert_eq!(gate.ask(&echo(&other)).await.seen(), "hi");
    let over_budget = || {
        let records = gate.records("refused");
        records
            .into_iter()
            .find(|record| record["reason"] == "over_budget")
    };
    until("the counted refusals", || over_budget().is_some()).await;
    assert_eq!(over_budget().unwrap()["grant"], grant.token.id_text());
    assert_eq!(gate.trial.sample.total(), 1);
    gate.stop().await;
}

/// `Refusal::BodyLate`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_or_a_head_that_does_not_come_ends_the_wait() {
    let edit = |config: &mut tollbook_node::config::Config| {
        config.deadlines.body = Duration::from_millis(100);
        config.deadlines.head = Duration::from_millis(300);
    };
    let gate = Gate::with(edit).await;
    let grant = gate.grant(ALLOW).await;
    let bytes = echo(&grant).bytes();
    let mut client = Client::connect(gate.address()).await;
    client.send(&bytes[..bytes.len() - 1]).await;
    let response = client.response().await.expect("an answer");
    assert_eq!(response.status, 408);
    let error = json!({ "code": -32600, "message": "the request's body did not arrive in time" });
    assert_eq!(
        response.json(),
        json!({ "jsonrpc": "2.0", "id": null, "error": error })
    );
    // The byte that was missing must not be taken for the next request.
    client.send(&bytes[bytes.len() - 1..]).await;
    client.closed().await;
    for part in [0, 4, 60] {
        let mut client = Client::connect(gate.address()).await;
        client.send(&bytes[..part]).await;
        client.closed().await;
    }
    assert_eq!(gate.trial.sample.total(), 0);
    gate.stop().await;
}

/// `Refusal::ClockJumped`. The entry that finds the jump is still stamped by elapsed time, so that
/// no window ends and no grant expires by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_freezes_no_window_and_expires_no_grant() {
    let moved: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
    let clock = Clock::away_from_the_hour().moved_by(moved);
    let gate = Gate::open(
        |_config| {},
        Start {
            clock,
            ..Start::default()
        },
    )
    .await;
    let (grant, once) = (gate.grant(ALLOW).await, gate.grant(ONCE).await);
    assert_eq!(gate.ask(&echo(&once)).await.seen(), "hi");
    // Half an hour: the grants would live, the clock is not to be believed all the same.
    moved.store(1_800_000_000, Ordering::Relaxed);
    gate.trial.apply("unrelated", ALLOW).await.unwrap();
    let before = gate.records("admin").pop().unwrap()["t"].clone();
    let response = gate.ask(&echo(&grant)).await;
    assert_unavailable(
        &response,
        &json!(1),
        "this node's clock jumped; its operator must look",
    );
    assert!(gate.trial.running.node.unready().contains(&"clock"));
    assert_eq!(gate.trial.sample.total(), 1);
    // The clock is set right: the next entry finds that out, and the log's time never left.
    moved.store(0, Ordering::Relaxed);
    gate.trial
        .apply("unrelated", r#"{"version":"1"}"#)
        .await
        .unwrap();
    assert_eq!(gate.ask(&echo(&grant)).await.seen(), "hi");
    let after = gate.records("outcome").pop().unwrap()["t"].clone();
    let (before, after) = (before.as_u64().unwrap(), after.as_u64().unwrap());
    assert!(after - before < 60_000_000, "{before} {after}");
    assert_eq!(
        gate.ask(&echo(&once)).await.seen(),
        "[POLICY DENIED] Spent."
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_holds_only_between_its_two_times() {
    let gate = Gate::start().await;
    gate.trial.apply("all", ALLOW).await.unwrap();
    let now = Clock::default().wall().0;
    let hour = 3_600_000_000;
    for (not_before, expires, status) in [
        (None, Some(now - hour), 401),
        (Some(now + hour), None, 401),
        (Some(now - hour), Some(now + hour), 200),
    ] {
        let token = Token::generate(Class::Grant).unwrap();
        let id = GrantId(token.id());
        let put = GrantPut {
            actor: "test".to_owned(),
            grant: id,
            label: token.id_text().to_owned(),
            owner: None,
            server: gate.trial.server,
            policy: Some("all".to_owned()),
            token: token.hash(),
            not_before: not_before.map(Micros),
            expires: expires.map(Micros),
            expected: 0,
        };
        let put = gate
            .trial
            .running
            .node
            .cluster
            .commit(&Command::GrantPut(put))
            .await;
        assert!(matches!(put, Ok(CommandResult::Put { .. })), "{put:?}");
        let endpoint = gate.trial.endpoint(gate.trial.server);
        let response = gate
            .ask(&echo(&Granted {
                id,
                token,
                endpoint,
            }))
            .await;
        assert_eq!(response.status, status, "{not_before:?} {expires:?}");
    }
    assert_eq!(gate.trial.sample.total(), 1);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_without_a_policy_or_with_one_that_is_not_there_denies_all() {
    let gate = Gate::start().await;
    for policy in [None, Some("nowhere")] {
        let Ok(grant) = gate.trial.grant("bare", gate.trial.server, policy).await else {
            // A node that does not take a grant for a policy that is not there is as strict.
            assert!(policy.is_some());
            continue;
        };
        assert_eq!(
            gate.ask(&echo(&grant)).await.seen(),
            "[POLICY DENIED] /default"
        );
        let intent = gate.records("intent").pop().unwrap();
        assert_eq!(
            (&intent["rule"], &intent["reason"]),
            (&json!("/default"), &json!("no_policy"))
        );
    }
    assert_eq!(gate.trial.sample.total(), 0);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_share_a_directory_or_a_port() {
    let home = tempfile::TempDir::with_prefix("tollbook-gate-").unwrap();
    let root = home.path().join("node");
    let trial = Trial::start(&root, 0, Start::default()).await.unwrap();
    let error = Trial::start(&root, 0, Start::default()).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    let other = tempfile::TempDir::with_prefix("tollbook-gate-").unwrap();
    let port = trial.running.data.port();
    let error = Trial::start(&other.path().join("node"), port, Start::default())
        .await
        .unwrap_err();
    let wanted = format!("cannot listen on `127.0.0.1:{port}`");
    assert!(error.to_string().starts_with(&wanted), "{error}");
    // The one that was there first has not noticed.
    trial.apply("all", ALLOW).await.unwrap();
    let grant = trial.grant("all", trial.server, Some("all")).await.unwrap();
    assert_eq!(ask(trial.running.data, &echo(&grant)).await.seen(), "hi");
    trial.stop().await;
}
