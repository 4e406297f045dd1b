//! Sessions of the legacy era, lists of tools, and which headers pass.

use serde_json::{Value, json};

use crate::client::{Ask, META, Response};
use crate::gate::{ALLOW, Gate};
use crate::upstream::{Act, Fake, Heard, events, json};

/// Of the sample's tools this shows two.
const TWO: &str = r#"{"version":"1","default":"deny","hide":["echo"],
    "tools":{"list_channels":{},"post_message":{},"delete_pod":{"deny":"no"}}}"#;

fn ping(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().expect("tools");
    tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect()
}

/// The message of a reply, whether it came as JSON or as one event.
fn message(response: &Response) -> Value {
    let text = response.text();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_sealed_for_its_grant_and_ends_with_delete() {
    let gate = Gate::start().await;
    let (grant, other) = (gate.grant(ALLOW).await, gate.grant(ALLOW).await);
    let (one, two) = (gate.initialize(&grant).await, gate.initialize(&grant).await);
    // Not the server's own id, which is a UUID, and never the same twice.
    assert!(
        uuid::Uuid::parse_str(&one).is_err() && one.len() > 64,
        "{one}"
    );
    assert_ne!(one, two);
    for session in [&one, &two] {
        let response = gate.ask(&Ask::legacy(&grant, Some(session), ping(1))).await;
        assert_eq!(
            (response.status, response.json()["result"].clone()),
            (200, json!({}))
        );
        // A client is never told the server's id, nor given another.
        assert_eq!(response.header("mcp-session-id"), None);
        let stolen = gate.ask(&Ask::legacy(&other, Some(session), ping(1))).await;
        assert_eq!(stolen.status, 404);
        let call = Ask::legacy_call(&other, Some(session), "echo", r#"{"text":"x"}"#);
        assert_eq!(gate.ask(&call).await.status, 404);
    }
    let mut delete = Ask::legacy(&other, Some(&one), "");
    delete.line = delete.line.replace("POST", "DELETE");
    assert_eq!(
        gate.ask(&delete).await.status,
        404,
        "another grant ends nothing"
    );
    assert_eq!(
        gate.ask(&Ask::legacy(&grant, Some(&one), ping(2)))
            .await
            .status,
        200
    );
    let mut delete = Ask::legacy(&grant, Some(&one), "");
    delete.line = delete.line.replace("POST", "DELETE");
    assert_eq!(gate.ask(&delete).await.status, 204);
    // The server knows it no more and says so; the other one goes on.
    assert_eq!(
        gate.ask(&Ask::legacy(&grant, Some(&one), ping(3)))
            .await
            .status,
        404
    );
    assert_eq!(
        gate.ask(&Ask::legacy(&grant, Some(&two), ping(4)))
            .await
            .status,
        200
    );
    // A call on a session is tied to it in the book, by a hash and not by its id.
    let call = Ask::legacy_call(&grant, Some(&two), "echo", r#"{"text":"x"}"#);
    assert_eq!(gate.ask(&call).await.seen(), "x");
    let intent = gate.records("intent").pop().unwrap();
    let hash = intent["session"].as_str().unwrap();
    assert!(hash.len() >= 32 && !two.contains(hash), "{intent}");
    gate.stop().await;
}

/// Some servers answer `initialize` by a stream: the session must be sealed there too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_a_stream_opens_is_sealed_too() {
    let gate = Gate::start().await;
    let init = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    let reply = events(&format!("id: 1\ndata:\n\nevent: message\ndata: {init}\n\n"));
    let reply = String::from_utf8(reply).unwrap();
    let reply = reply.replacen("\r\n", "\r\nMcp-Session-Id: secret-17\r\n", 1);
    let server = Fake::saying(reply).await;
    let grant = gate
        .grant_for(gate.server(server.address).await, ALLOW)
        .await;
    let session = gate.initialize(&grant).await;
    assert!(!session.contains("secret-17"));
    gate.ask(&Ask::legacy(&grant, Some(&session), ping(1)))
        .await;
    let heard = server.heard().pop().unwrap();
    assert_eq!(heard.header("mcp-session-id"), Some("secret-17"));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_what_the_policy_permits_in_both_eras_and_is_in_the_book() {
    let gate = Gate::start().await;
    let (grant, bare) = (
        gate.grant(TWO).await,
        gate.trial
            .grant("bare", gate.trial.server, None)
            .await
            .unwrap(),
    );
    let all = gate.grant(ALLOW).await;
    let legacy = r#"{"jsonrpc":"2.0","id":"l","method":"tools/list"}"#.to_owned();
    let modern =
        format!(r#"{{"jsonrpc":"2.0","id":"l","method":"tools/list","params":{{{META}}}}}"#);
    let mut shown = Vec::new();
    for of in [&grant, &bare, &all] {
        let session = gate.initialize(of).await;
        let by_legacy = gate
            .ask(&Ask::legacy(of, Some(&session), legacy.clone()))
            .await;
        let by_modern = gate
            .ask(&Ask::modern(of, "tools/list", None, modern.clone()))
            .await;
        let (by_legacy, by_modern) = (by_legacy.json(), by_modern.json());
        assert_eq!(names(&by_legacy), names(&by_modern));
        assert_eq!(by_legacy["id"], "l");
        // Per grant, so nobody may keep it for others, nor for long.
        assert_eq!(by_modern["result"]["cacheScope"], "private");
        assert!(
            by_modern["result"]["ttlMs"].as_u64().unwrap() <= 30_000,
            "{by_modern}"
        );
        shown.push(by_legacy["result"]["tools"].clone());
    }
    let by_name = |tools: &Value| names(&json!({ "result": { "tools": tools } })).join(" ");
    assert_eq!(by_name(&shown[0]), "post_message list_channels delete_pod");
    assert_eq!(by_name(&shown[1]), "");
    let total = shown[2].as_array().unwrap().len();
    assert!(total > 30, "{total} tools");
    // What is shown is as the server wrote it.
    for tool in shown[0].as_array().unwrap() {
        assert!(shown[2].as_array().unwrap().contains(tool), "{tool}");
    }
    let lists = gate.records("list");
    let counts: Vec<_> = lists
        .iter()
        .map(|l| (l["offered"].clone(), l["shown"].clone()))
        .collect();
    let row = |count: usize| (json!(total), json!(count));
    assert_eq!(
        counts,
        [row(3), row(3), row(0), row(0), row(total), row(total)]
    );
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_a_stream_is_filtered_too_and_hides_nothing_in_other_events() {
    let gate = Gate::start().await;
    let list = concat!(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},"#,
        r#"{"name":"list_channels","x": 1.0},{"name":"post_message"},{"name":"post_message"},"#,
        r#"{"name":5},{"Name":"list_channels"}],"nextCursor":"c"}}"#
    );
    let note = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
    let asks = r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#;
    let stream = format!(
        "id: 1\ndata:\n\ndata: {note}\n\ndata: {asks}\n\nevent: message\nid: 2\ndata: {list}\n\n"
    );
    for answer in [json(list), events(&stream), created(list)] {
        let script = move |heard: &Heard| match heard.body.contains("tools/list") {
            true => Act::Say(answer.clone()),
            false => Act::Say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()),
        };
        let server = Fake::start(script).await;
        let grant = gate.grant_for(gate.server(server.address).await, TWO).await;
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let response = gate.ask(&Ask::legacy(&grant, None, body)).await;
        let text = response.text();
        for hidden in ["\"echo\"", "post_message", "sampling", "\"Name\"", ":5}"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
        // The shown one keeps its bytes, and the next page can be asked for.
        assert!(
            text.contains(r#"{"name":"list_channels","x": 1.0}"#),
            "{text}"
        );
        assert!(text.contains(r#""nextCursor":"c""#), "{text}");
        if response.header("content-type") == Some("text/event-stream") {
            assert!(
                text.starts_with(&format!("id: 1\ndata:\n\ndata: {note}\n\n")),
                "{text}"
            );
        } else {
            assert_eq!(names(&message(&response)), ["list_channels"]);
        }
        // No reply is encoded, whatever a client would take: it could not be filtered.
        let asked = server.heard().remove(0);
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
    }
    gate.stop().await;
}

/// A6, H5, H6: only named headers pass, and none that a client could route or log in by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sees_no_token_and_no_header_that_it_was_not_meant_to() {
    let gate = Gate::start().await;
    let server = Fake::saying(json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).await;
    let grant = gate
        .grant_for(gate.server(server.address).await, ALLOW)
        .await;
    let foul = |ask: Ask| {
        ask.add("Cookie", "a=b")
            .add("X-Forwarded-User", "root")
            .add("X-Forwarded-For", "10.0.0.1")
            .add("Forwarded", "for=10.0.0.1")
            .add("Proxy-Authorization", "Basic eA==")
            .add("mcp-init-host", "evil")
            .add("router-key", "secret-api-key")
            .add("Accept-Encoding", "gzip")
            .add("Connection", "keep-alive, TE")
            .add(
                "Traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .add("Mcp-Param-Region", "us-west1")
    };
    let legacy = Ask::legacy_call(&grant, None, "echo", r#"{ "text" : "\u0068i" }"#)
        .add("Mcp-Name", "list_channels")
        .add("Mcp-Method", "tools/list");
    let modern = Ask::call(&grant, "echo", r#"{ "text" : "\u0068i" }"#);
    for (ask, mirrored) in [(foul(legacy), false), (foul(modern), true)] {
        assert_eq!(gate.ask(&ask).await.status, 200);
        let heard = server.heard().pop().unwrap();
        let token = grant.token.expose();
        assert!(!heard.head.contains(token) && !heard.body.contains(token));
        let mut names: Vec<String> = heard
            .head
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()))
            .collect();
        names.sort();
        let mut wanted = vec![
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "mcp-protocol-version",
            "traceparent",
        ];
        if mirrored {
            wanted.extend(["mcp-method", "mcp-name", "mcp-param-region"]);
        }
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert_eq!(heard.header("accept-encoding"), Some("identity"));
        assert_eq!(
            heard.header("host"),
            Some(server.address.to_string().as_str())
        );
        // What was judged is what is sent, byte for byte.
        assert_eq!(heard.body.as_bytes(), ask.body);
    }
    gate.stop().await;
}

/// The 400 of a legacy-only server is what a dual-era client falls back on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_of_a_request_that_it_did_not_take_passes_unchanged() {
    let gate = Gate::start().await;
    let body = r#"{"error": {"code":-32000,"message":"Bad Request: no server"},"id":null}"#;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\n\
         Access-Control-Allow-Origin: *\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let server = Fake::saying(answer).await;
    let grant = gate
        .grant_for(gate.server(server.address).await, ALLOW)
        .await;
    let response = gate.ask(&Ask::call(&grant, "echo", "{}")).await;
    assert_eq!((response.status, response.text().as_str()), (400, body));
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_eq!(gate.outcomes(), ["rpc_error"]);
    gate.stop().await;
}

fn created(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n\
         {body}"
    )
    .into_bytes()
}
