//! The connection itself: what clients may do with it, and what never appears where it should not.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::client::{Ask, Client, PATIENCE};
use crate::gate::{ALLOW, Gate, until};
use crate::upstream::{Fake, chunk, stream_head};

/// P18: what follows a refused body on the same connection is the next request, or the connection
/// ends; never is it part of another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_one_go_are_answered_in_order_and_each_by_itself() {
    let gate = Gate::start().await;
    let grant = gate.grant(r#"{"version":"1","tools":{"echo":{}}}"#).await;
    let text = |text: &str| Ask::call(&grant, "echo", &json!({ "text": text }).to_string());
    let denied = Ask::call(&grant, "get_secret", r#"{"namespace":"n"}"#);
    let smuggled = String::from_utf8(denied.bytes()).unwrap();
    let mut client = Client::connect(gate.address()).await;
    let all = [
        text("one").bytes(),
        denied.bytes(),
        text(&smuggled).bytes(),
        text("two").bytes(),
    ];
    client.send(&all.concat()).await;
    for seen in ["one", "[POLICY DENIED] /default", &smuggled, "two"] {
        assert_eq!(client.response().await.expect("an answer").seen(), seen);
    }
    assert_eq!(gate.trial.sample.calls("echo"), 3);
    assert_eq!(gate.trial.sample.calls("get_secret"), 0);
    gate.stop().await;
}

/// P18: a request that is refused before its body was read leaves that body behind. It must not be
/// taken for the next request, whatever is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_refused_request_is_never_a_request() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    let inner = Ask::call(&grant, "list_channels", "{}").bytes();
    let echo = Ask::call(&grant, "echo", r#"{"text":"hi"}"#);
    let outer = Ask {
        body: inner,
        ..echo.clone()
    };
    let path = outer.line.clone();
    let line = |line: String| Ask {
        line,
        ..outer.clone()
    };
    for (status, ask) in [
        (401, outer.clone().without("Authorization")),
        (403, outer.clone().set("Host", "evil.example")),
        (403, outer.clone().add("Origin", "http://evil.example")),
        (404, line("POST /elsewhere HTTP/1.1".to_owned())),
        (404, line("POST /mcp/none/ HTTP/1.1".to_owned())),
        (404, line(path.replace("POST", "DELETE"))),
        (405, line(path.replace("POST", "PUT"))),
        (405, line(path.replace("POST", "GET"))),
        (415, outer.clone().set("Content-Type", "text/plain")),
        (415, outer.clone().add("Content-Encoding", "gzip")),
        (400, outer.clone()),
    ] {
        let mut client = Client::connect(gate.address()).await;
        client.send(&ask.bytes()).await;
        client.send(&echo.bytes()).await;
        assert_eq!(
            client.response().await.expect("an answer").status,
            status,
            "{}",
            ask.line
        );
        // Then the next request is answered, or the connection is closed.
        if let Some(next) = client.response().await {
            assert_eq!(next.seen(), "hi", "{status} {}", ask.line);
        }
        assert_eq!(
            gate.trial.sample.calls("list_channels"),
            0,
            "{status} {}",
            ask.line
        );
    }
    gate.stop().await;
}

/// Common clients ask before they send a large body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_before_its_body_is_told_to_go_on() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    let ask = Ask::call(&grant, "echo", r#"{"text":"hi"}"#).add("Expect", "100-continue");
    let bytes = ask.bytes();
    let (head, body) = bytes.split_at(bytes.len() - ask.body.len());
    let mut client = Client::connect(gate.address()).await;
    client.send(head).await;
    assert_eq!(client.head().await.expect("an interim answer").status, 100);
    client.send(body).await;
    assert_eq!(client.response().await.expect("an answer").seen(), "hi");
    // One who may not come in is told so before the body.
    let stranger = ask.without("Authorization");
    let mut client = Client::connect(gate.address()).await;
    client
        .send(&stranger.bytes()[..stranger.bytes().len() - stranger.body.len()])
        .await;
    assert_eq!(client.head().await.expect("an answer").status, 401);
    gate.stop().await;
}

/// A2: clients choose their ids, and many begin with 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_with_the_same_id_get_each_its_own_answer() {
    let gate = Gate::start().await;
    let mut clients = Vec::new();
    for at in 0..12 {
        let grant = gate.grant(ALLOW).await;
        let mut client = Client::connect(gate.address()).await;
        // The first wait longest, so that answers come in another order.
        let ms = 120 - at * 10;
        let arguments = json!({ "ms": ms }).to_string();
        client
            .send(&Ask::call(&grant, "hang", &arguments).bytes())
            .await;
        clients.push((client, ms));
    }
    for (mut client, ms) in clients {
        let response = client.response().await.expect("an answer");
        assert_eq!(response.seen(), format!("Done after {ms} ms."));
        assert_eq!(response.json()["id"], 1);
    }
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_an_end_is_ended_at_the_call_deadline() {
    let gate = Gate::with(|config| config.deadlines.call = Duration::from_millis(300)).await;
    let (server, feed) = Fake::fed().await;
    let grant = gate
        .grant_for(gate.server(server.address).await, ALLOW)
        .await;
    let mut client = Client::connect(gate.address()).await;
    client
        .send(&Ask::call(&grant, "report", "{}").bytes())
        .await;
    feed.send([stream_head(), chunk(": on and on\n\n")].concat())
        .await
        .unwrap();
    client.head().await.expect("a head");
    let rest = client.rest().await;
    assert!(
        rest.starts_with(": on and on\n\n") && rest.contains("-31005"),
        "{rest}"
    );
    assert_eq!(gate.outcomes(), ["timeout"]);
    until("the gate to hang up", || server.hung_up() == 1).await;
    drop(feed);
    gate.stop().await;
}

/// A client that takes nothing of its stream must not keep its call, and its place, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_ends_at_the_deadline_and_frees_its_place() {
    for modern in [false, true] {
        let edit = |config: &mut tollbook_node::config::Config| {
            config.limits.calls = 1;
            config.deadlines.call = Duration::from_millis(300);
            config.deadlines.body = Duration::from_millis(100);
        };
        let gate = Gate::with(edit).await;
        let (server, feed) = Fake::fed().await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ALLOW)
            .await;
        let other = gate.grant(ALLOW).await;
        let ask = if modern {
            Ask::call(&grant, "report", "{}")
        } else {
            Ask::legacy_call(&grant, None, "report", "{}")
        };
        let mut client = Client::connect(gate.address()).await;
        client.send(&ask.bytes()).await;
        feed.send(stream_head()).await.unwrap();
        // More than the sockets between them hold; the server ends when the gate hangs up.
        let flood = tokio::time::timeout(PATIENCE, async {
            let event = chunk(&format!(
                "data: {}\n\n",
                json!({ "method": "x".repeat(60_000) })
            ));
            while feed.send(event.clone()).await.is_ok() {}
        });
        flood
            .await
            .expect("the gate hangs up on a server that floods");
        assert_eq!(gate.await_outcomes(1).await, ["timeout"]);
        let echo = Ask::call(&other, "echo", r#"{"text":"hi"}"#);
        let mut served = false;
        for _ in 0..1000 {
            served = gate.ask(&echo).await.seen() == "hi";
            if served {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(served, "its place is not free");
        drop(client);
        gate.stop().await;
    }
}

/// Connections over the limit are closed at once: a queue would only hide that the node is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_their_limit_are_closed_and_the_others_served() {
    let gate = Gate::with(|config| config.limits.connections = 2).await;
    let grant = gate.grant(ALLOW).await;
    let echo = Ask::call(&grant, "echo", r#"{"text":"hi"}"#);
    let mut first = Client::connect(gate.address()).await;
    let mut second = Client::connect(gate.address()).await;
    assert_eq!(first.ask(&echo).await.seen(), "hi");
    assert_eq!(second.ask(&echo).await.seen(), "hi");
    Client::connect(gate.address()).await.closed().await;
    assert_eq!(first.ask(&echo).await.seen(), "hi");
    drop(second);
    // The place is free as soon as the gate has seen that one close.
    let mut served = false;
    for _ in 0..100 {
        let mut third = Client::connect(gate.address()).await;
        third.send(&echo.bytes()).await;
        served = third
            .response()
            .await
            .is_some_and(|response| response.seen() == "hi");
        if served {
            break;
        }
    }
    assert!(served);
    gate.stop().await;
}

/// Refusals are counted by reason, and no metric and no file of the node ever holds a token, an
/// argument or a session id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_and_nothing_secret_is_kept() {
    let gate = Gate::start().await;
    let grant = gate
        .grant(r#"{"version":"1","hide":["kick_user"],"tools":{"echo":{}}}"#)
        .await;
    let session = gate.initialize(&grant).await;
    let secret = "argument-that-nobody-may-keep";
    let arguments = json!({ "text": secret }).to_string();
    let echo = Ask::legacy_call(&grant, Some(&session), "echo", &arguments);
    assert_eq!(gate.ask(&echo).await.seen(), secret);
    for ask in [
        Ask::call(&grant, "get_secret", &arguments),
        Ask::call(&grant, "kick_user", &arguments),
        echo.clone()
            .set("Authorization", "Bearer nonsense-that-nobody-may-keep"),
        echo.clone().set("Host", "evil.example"),
        echo.clone()
            .set("Mcp-Session-Id", "session-that-nobody-may-keep"),
        Ask::legacy(&grant, Some(&session), format!("[{secret}")),
    ] {
        gate.ask(&ask).await;
    }
    let metrics = gate.metrics().await;
    for reason in [
        "denied",
        "hidden",
        "unauthenticated",
        "host_unknown",
        "session_unknown",
        "syntax",
    ] {
        let line = format!("tollbook_refusals_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    let dir = gate.node_dir();
    until("the counted refusals", || {
        gate.records("deny_auth").len() == 1
    })
    .await;
    let token = grant.token.expose().to_owned();
    let mut kept = vec![("metrics".to_owned(), metrics.into_bytes())];
    read_all(&dir, &mut kept);
    assert!(kept.len() > 5, "{} files", kept.len());
    for (name, bytes) in kept {
        for text in [token.as_str(), &session, secret, "that-nobody-may-keep"] {
            let found = bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            assert!(!found, "`{text}` is in {name}");
        }
    }
    gate.stop().await;
}

fn read_all(dir: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, into);
        } else if let Ok(bytes) = std::fs::read(&path) {
            into.push((path.display().to_string(), bytes));
        }
    }
}
