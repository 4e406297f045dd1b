//! Servers that are not there, refuse the gate, break off or talk rubbish.

use std::time::Duration;

use tollbook_node::trial::Granted;

use crate::answers::{assert_unsettled, assert_upstream};
use crate::client::{Ask, Client};
use crate::gate::{ALLOW, Gate, ONCE, until};
use crate::upstream::{Act, Fake, Heard, LAST_CHUNK, chunk, events, json, stream_head};

fn echo(grant: &Granted) -> Ask {
    Ask::call(grant, "echo", r#"{"text":"hi"}"#)
}

/// `Refusal::UpstreamDown`. Nothing was sent, so nothing is spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_costs_nothing() {
    let gate = Gate::start().await;
    let gone = Fake::saying("").await;
    let address = gone.address;
    drop(gone);
    until("a closed port", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    let grant = gate.grant_for(gate.server(address).await, ONCE).await;
    for _ in 0..3 {
        let response = gate.ask(&echo(&grant)).await;
        assert_upstream(&response, "it cannot be reached; nothing was sent to it");
    }
    assert_eq!(gate.outcomes(), ["upstream_down"; 3]);
    for outcome in gate.records("outcome") {
        assert_eq!(outcome["refunds"][0]["amount"], 1, "{outcome}");
    }
    gate.stop().await;
}

/// `Refusal::UpstreamRefused`. It may count as run: the quota is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_gate_tells_the_client_nothing_to_act_on() {
    let gate = Gate::start().await;
    for (status, head) in [
        (
            401,
            "WWW-Authenticate: Bearer resource_metadata=\"https://evil.example/\"\r\n",
        ),
        (403, ""),
        (302, "Location: https://evil.example/\r\n"),
        (307, "Location: /elsewhere\r\n"),
    ] {
        let answer = format!("HTTP/1.1 {status} No\r\n{head}Content-Length: 6\r\n\r\nsecret");
        let server = Fake::saying(answer).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ONCE)
            .await;
        let response = gate.ask(&echo(&grant)).await;
        if status < 400 {
            // Not followed, and what redirects a call may have run it.
            assert_unsettled(&response);
        } else {
            let why = format!("it refused the gate (status {status}); tell its operator");
            assert_upstream(&response, &why);
        }
        assert_eq!(response.header("www-authenticate"), None);
        assert_eq!(response.header("location"), None);
        assert_eq!(server.heard().len(), 1, "a redirect is not followed");
        assert_eq!(
            gate.ask(&echo(&grant)).await.seen(),
            "[POLICY DENIED] Spent."
        );
        assert_eq!(server.heard().len(), 1);
    }
    assert_eq!(gate.outcomes(), ["rpc_error"; 4]);
    gate.stop().await;
}

/// The whole answer to our calls.
const OURS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// What it does, the outcome that this is, and the doing.
#[rustfmt::skip]
fn broken_answers() -> Vec<(&'static str, &'static str, Act)> {
    vec![
        ("closes", "upstream_down", Act::Close),
        ("never answers", "timeout", Act::Mute),
        (
            "half a head",
            "upstream_down",
            Act::SayAndClose(b"HTTP/1.1 200 OK\r\nConte".to_vec()),
        ),
        (
            "half a body",
            "upstream_down",
            Act::SayAndClose(json(OURS)[..90].to_vec()),
        ),
        (
            "half a body and waits",
            "timeout",
            Act::Say(json(OURS)[..90].to_vec()),
        ),
        (
            "no HTTP",
            "rpc_error",
            Act::Say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()),
        ),
        ("no JSON", "rpc_error", Act::Say(json("<html>"))),
        ("nothing", "rpc_error", Act::Say(json(""))),
        (
            "another's answer",
            "rpc_error",
            Act::Say(json(&OURS.replace("1,", "2,"))),
        ),
        (
            "an id of another kind",
            "rpc_error",
            Act::Say(json(&OURS.replace("1,", "\"1\","))),
        ),
        (
            "an array",
            "rpc_error",
            Act::Say(json(&format!("[{OURS}]"))),
        ),
        (
            "two results",
            "rpc_error",
            Act::Say(json(&OURS.replace("{}", "{},\"result\":1"))),
        ),
        (
            "a Result beside",
            "rpc_error",
            Act::Say(json(&OURS.replace("{}", "{},\"Result\":1"))),
        ),
        (
            "a request",
            "rpc_error",
            Act::Say(json(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#)),
        ),
        (
            "too much",
            "rpc_error",
            Act::Say(json(&OURS.replace("{}", &"1".repeat(70_000)))),
        ),
        ("gzip", "rpc_error", Act::Say(encoded("gzip", OURS))),
        (
            "another protocol",
            "rpc_error",
            Act::Say(
                b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_vec(),
            ),
        ),
        ("two lengths", "rpc_error", Act::Say(two_lengths(OURS))),
    ]
}

/// `Refusal::Unsettled`. Whatever a server does with a call that was sent, the client is told that
/// it may have run, the call is sent once, and its quota is spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_off_or_talks_rubbish_leaves_the_outcome_unknown() {
    let edit = |config: &mut tollbook_node::config::Config| {
        config.deadlines.call = Duration::from_millis(400);
        config.limits.reply_bytes = 64 << 10;
    };
    let gate = Gate::with(edit).await;
    let cases = broken_answers();
    let total = cases.len();
    for (what, status, act) in cases {
        let act = std::sync::Mutex::new(Some(act));
        let take = move || act.lock().unwrap().take();
        // Asked a second time, it would do well: then the call was sent twice.
        let script = move |_heard: &Heard| take().unwrap_or_else(|| Act::Say(json(OURS)));
        let server = Fake::start(script).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ONCE)
            .await;
        let response = gate.ask(&echo(&grant)).await;
        println!("{what}: {}", response.text());
        assert_unsettled(&response);
        assert_eq!(server.heard().len(), 1, "{what}: sent more than once");
        assert_eq!(gate.outcomes().pop().unwrap(), status, "{what}");
        assert_eq!(
            gate.ask(&echo(&grant)).await.seen(),
            "[POLICY DENIED] Spent.",
            "{what}"
        );
    }
    assert_eq!(gate.outcomes().len(), total);
    gate.stop().await;
}

/// The sample server itself closes the connection of this tool's calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_takes_its_server_down_is_called_once() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    assert_unsettled(&gate.ask(&Ask::call(&grant, "crash", "{}")).await);
    assert_eq!(gate.trial.sample.calls("crash"), 1);
    assert_eq!(gate.outcomes(), ["upstream_down"]);
    // Its own complaint is a result like any other.
    let response = gate
        .ask(&Ask::call(&grant, "fail", r#"{"text":"x"}"#))
        .await;
    assert_eq!(response.seen(), "It failed: x");
    let response = gate.ask(&Ask::call(&grant, "no_such", "{}")).await;
    assert_eq!(response.seen(), "Unknown tool: no_such");
    assert_eq!(
        gate.outcomes(),
        ["upstream_down", "tool_error", "rpc_error"]
    );
    gate.stop().await;
}

/// `Refusal::ListUnreadable`. What cannot be filtered is not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_read_in_one_way_is_not_shown() {
    let gate = Gate::with(|config| config.deadlines.call = Duration::from_millis(400)).await;
    let tools = r#"[{"name":"secret_tool","inputSchema":{}}]"#;
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#);
    let answers = [
        json("no JSON"),
        json(&format!("[{list}]")),
        json(&list.replace("\"id\":1", "\"id\":2")),
        json(&list.replace("{\"tools\"", "{\"tools\":[],\"tools\"")),
        json(&list.replace("{\"tools\"", "{\"Tools\":[],\"tools\"")),
        json(&list.replace("\"result\"", "\"result\":{},\"result\"")),
        json(&list.replace(tools, r#"{"secret_tool":{}}"#)),
        json(&list.replace("\"inputSchema\"", "\"x\":1,\"x\"")),
        events(&format!(
            "data: {}\n\n",
            list.replace("\"id\":1", "\"id\":2")
        )),
        events("data: rubbish\n\n"),
        // Encoded though nothing but identity was asked for, or not whole.
        encoded("gzip", &list),
        json(&list)[..100].to_vec(),
        events(": nothing\n\n"),
        [
            stream_head(),
            chunk(&format!("data: {list}")),
            LAST_CHUNK.to_vec(),
        ]
        .concat(),
    ];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let server = Fake::saying(answer).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ALLOW)
            .await;
        let response = gate.ask(&Ask::legacy(&grant, None, body)).await;
        println!("{shown}\n  {}", response.text());
        assert_upstream(&response, "its list of tools cannot be read, so not shown");
    }
    gate.stop().await;
}

/// U5: what passes unrecorded is answered by its answer and by nothing else. Clients take a request
/// of the server's out of any reply, so it must not stand where a `ping` is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_smuggles_a_servers_request_past_the_policy() {
    let gate = Gate::start().await;
    let asks =
        r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"secret":1}}"#;
    let both = format!("[{OURS},{asks}]");
    let input = concat!(
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","#,
        r#""inputRequests":{"secret":{"method":"sampling/createMessage","params":{}}}}}"#
    );
    let methods = [
        "ping",
        "initialize",
        "logging/setLevel",
        "notifications/initialized",
    ];
    for answer in [
        asks,
        &both,
        input,
        r#"{"jsonrpc":"2.0","id":2,"result":{"secret":1}}"#,
    ] {
        for (method, reply) in methods.iter().flat_map(|method| {
            [
                (method, json(answer)),
                (method, events(&format!("data: {answer}\n\n"))),
            ]
        }) {
            let server = Fake::saying(reply).await;
            let grant = gate
                .grant_for(gate.server(server.address).await, ALLOW)
                .await;
            let id = if method.starts_with("notifications") {
                ""
            } else {
                r#""id":1,"#
            };
            let body = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{{}}}}"#);
            let response = gate.ask(&Ask::legacy(&grant, None, body)).await;
            let text = response.text();
            assert!(
                !text.contains("secret"),
                "{method}: {} {text}",
                response.status
            );
        }
    }
    gate.stop().await;
}

/// `Refusal::UpstreamBroken`. What ran nothing may be asked again, so the client is not told that
/// something may have run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unrecorded_request_whose_answer_breaks_off_may_be_asked_again() {
    let gate = Gate::with(|config| config.deadlines.call = Duration::from_millis(300)).await;
    for act in [
        Act::Close,
        Act::Mute,
        Act::SayAndClose(json(OURS)[..90].to_vec()),
        Act::Say(json("rubbish")),
        Act::SayAndClose(events(": nothing\n\n")),
    ] {
        let act = std::sync::Mutex::new(Some(act));
        let take = move || act.lock().unwrap().take();
        let server =
            Fake::start(move |_heard| take().unwrap_or_else(|| Act::Say(json(OURS)))).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ALLOW)
            .await;
        for method in ["ping", "initialize"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#);
            let response = gate.ask(&Ask::legacy(&grant, None, body)).await;
            if method == "ping" && response.header("content-type") == Some("application/json") {
                assert_upstream(&response, "its answer broke off or cannot be read");
            } else if method == "ping" {
                assert!(response.text().contains("-31006"), "{}", response.text());
            } else {
                assert_eq!(response.text(), OURS);
            }
        }
    }
    assert_eq!(gate.records("intent").len(), 0);
    gate.stop().await;
}

/// Common servers close a connection that idles, and do not say so before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_kept_connections_gets_every_call_once() {
    let gate = Gate::start().await;
    let server = Fake::start(|_heard| Act::SayAndClose(json(OURS))).await;
    let grant = gate
        .grant_for(gate.server(server.address).await, ALLOW)
        .await;
    for at in 1..=30 {
        let response = gate.ask(&echo(&grant)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        // A call that crosses the closing may have run; none is sent again to find out.
        assert!(
            server.heard().len() <= at,
            "{} of {at} calls",
            server.heard().len()
        );
    }
    let ok = gate
        .outcomes()
        .iter()
        .filter(|status| *status == "ok")
        .count();
    assert!(ok >= 15, "{:?}", gate.outcomes());
    gate.stop().await;
}

/// A server that moves keeps its grants and its path; the next call goes to the new place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_moves_is_called_where_it_is() {
    let gate = Gate::start().await;
    let (old, new) = (
        Fake::saying(json(OURS)).await,
        Fake::saying(json(OURS)).await,
    );
    let url = |fake: &Fake| format!("http://{}/mcp", fake.address);
    let id = gate.trial.put_server("mover", url(&old)).await.unwrap();
    let grant = gate.grant_for(id, ALLOW).await;
    let mut client = Client::connect(gate.address()).await;
    assert_eq!(client.ask(&echo(&grant)).await.status, 200);
    assert_eq!(gate.trial.put_server("mover", url(&new)).await.unwrap(), id);
    assert_eq!(client.ask(&echo(&grant)).await.status, 200);
    assert_eq!((old.heard().len(), new.heard().len()), (1, 1));
    let revisions: Vec<_> = gate
        .records("intent")
        .iter()
        .map(|intent| intent["server_revision"].clone())
        .collect();
    assert_eq!(revisions, [1, 2]);
    gate.stop().await;
}

fn encoded(encoding: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn two_lengths(body: &str) -> Vec<u8> {
    let (one, two) = (body.len(), body.len() + 1);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {one}\r\n\
         Content-Length: {two}\r\n\r\n{body}"
    )
    .into_bytes()
}
