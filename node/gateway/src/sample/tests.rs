//! The sample as a client sees it, through the node's own pool.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::Sample;
use crate::clock::{Clock, Moment};
use crate::upstream::{Broken, Outgoing, Pool, PoolLimits, ReplyBody, Target, trust};

type Headers<'h> = &'h [(&'h str, &'h str)];

const LONG: Duration = Duration::from_secs(20);
const MODERN: Headers<'static> = &[("mcp-protocol-version", "2026-07-28")];

struct Client {
    sample: Sample,
    pool: Pool,
    tasks: TaskTracker,
}

impl Client {
    async fn new() -> Self {
        let tasks = TaskTracker::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let sample = Sample::start(listener, &tasks).expect("started");
        let tls = trust().config;
        let pool = Pool::new(PoolLimits::default(), tls, tasks.clone(), Clock::default());
        Self {
            sample,
            pool,
            tasks,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: &str,
    ) -> Result<http::Response<ReplyBody>, Broken> {
        let url = format!("http://{}{path}", self.sample.address());
        let target = Target::parse(&url).expect("a url");
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        map.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        let outgoing = Outgoing {
            method,
            headers: map,
            body: Bytes::from(body.to_owned()),
        };
        let sent = self
            .pool
            .send(&target, outgoing, soon())
            .await
            .expect("sent");
        sent.response(soon()).await
    }

    async fn post(&self, headers: Headers<'_>, body: &Value) -> (StatusCode, Value) {
        let reply = self
            .ask(Method::POST, "/mcp", headers, &body.to_string())
            .await;
        whole(reply.expect("a reply")).await
    }

    /// A modern call with all that it needs.
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let body = modern(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        let headers = [MODERN, &[("mcp-method", "tools/call"), ("mcp-name", tool)]].concat();
        let (status, reply) = self.post(&headers, &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    async fn session(&self, version: &str) -> (String, Value) {
        let params = json!({ "protocolVersion": version, "capabilities": {} });
        let body = legacy("initialize", params);
        let reply = self.ask(Method::POST, "/mcp", &[], &body.to_string()).await;
        let reply = reply.expect("a reply");
        let id = reply.headers().get("mcp-session-id").expect("a session");
        let id = id.to_str().expect("ascii").to_owned();
        (id, whole(reply).await.1)
    }
}

fn soon() -> Moment {
    Clock::default().moment().after(LONG)
}

async fn whole(reply: http::Response<ReplyBody>) -> (StatusCode, Value) {
    let status = reply.status();
    let bytes = reply
        .into_body()
        .whole(1 << 20, soon())
        .await
        .expect("whole");
    let value = if bytes.is_empty() {
        Value::Null
    } else {
        json_of(&bytes)
    };
    (status, value)
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("json")
}

fn legacy(method: &str, params: impl Into<Value>) -> Value {
    let params: Value = params.into();
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    });
    legacy(method, params)
}

#[tokio::test]
async fn a_legacy_client_shakes_hands_calls_and_leaves() {
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Client::new().await;
        let (id, hello) = client.session(version).await;
        assert_eq!(hello["result"]["protocolVersion"], version);
        let headers = [
            ("mcp-session-id", id.as_str()),
            ("mcp-protocol-version", version),
        ];
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(
            client.post(&headers, &note).await,
            (StatusCode::ACCEPTED, Value::Null)
        );
        let (_, list) = client
            .post(&headers, &legacy("tools/list", json!({})))
            .await;
        assert!(list["result"]["tools"].as_array().expect("tools").len() > 20);
        assert_eq!(list["result"]["resultType"], Value::Null);
        let call = legacy(
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "hi" } }),
        );
        let (_, reply) = client.post(&headers, &call).await;
        let content = json!([{ "type": "text", "text": "hi" }]);
        assert_eq!(
            reply["result"],
            json!({ "content": content, "isError": false })
        );
        assert_eq!(reply["id"], 7);
        let (_, reply) = client.post(&headers, &legacy("ping", json!({}))).await;
        assert_eq!(reply["result"], json!({}));
        let (status, reply) = client
            .post(&headers, &legacy("prompts/list", json!({})))
            .await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (StatusCode::OK, &json!(-32601))
        );
        let end = client
            .ask(Method::DELETE, "/mcp", &headers, "")
            .await
            .expect("a reply");
        assert_eq!(end.status(), StatusCode::NO_CONTENT);
        let (status, _) = client.post(&headers, &call).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(client.sample.calls("echo"), 1);
    }
}

#[tokio::test]
async fn an_unknown_version_is_answered_with_the_newest_legacy_one() {
    let client = Client::new().await;
    let (_, hello) = client.session("2024-11-05").await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_modern_client_needs_no_session() {
    let client = Client::new().await;
    let headers = [MODERN, &[("mcp-method", "server/discover")]].concat();
    let (status, reply) = client
        .post(&headers, &modern("server/discover", json!({})))
        .await;
    assert_eq!(status, StatusCode::OK);
    let result = &reply["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "public");
    let headers = [MODERN, &[("mcp-method", "tools/list")]].concat();
    let (_, reply) = client
        .post(&headers, &modern("tools/list", json!({})))
        .await;
    assert_eq!(reply["result"]["ttlMs"], 300_000);
    let reply = client
        .call(
            "create_refund",
            json!({ "charge_id": "ch_105", "amount": 50 }),
        )
        .await;
    assert_eq!(
        reply["result"]["content"][0]["text"],
        "Refund of 50 on ch_105 succeeded."
    );
    assert_eq!(reply["result"]["resultType"], "complete");
    let reply = client.call("fail", json!({ "text": "so it is" })).await;
    assert_eq!(reply["result"]["isError"], true);
    let reply = client.call("no_such_tool", json!({})).await;
    assert_eq!(reply["error"]["code"], -32602);
    assert_eq!(reply["error"]["message"], "Unknown tool: no_such_tool");
    assert_eq!(client.sample.total(), 3);
}

#[tokio::test]
async fn modern_requests_are_held_to_their_headers() {
    let client = Client::new().await;
    let call = json!({ "name": "echo", "arguments": { "text": "x" } });
    let whole = modern("tools/call", call.clone());
    let mut other = whole.clone();
    other["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2027-01-01".into();
    let mut bare = whole.clone();
    bare["params"]["_meta"] = json!({});
    let mut incapable = whole.clone();
    let meta = incapable["params"]["_meta"]
        .as_object_mut()
        .expect("an object");
    meta.remove("io.modelcontextprotocol/clientCapabilities");
    let (version, method, name) = ("mcp-protocol-version", "mcp-method", "mcp-name");
    let good = [
        (version, "2026-07-28"),
        (method, "tools/call"),
        (name, "echo"),
    ];
    let encoded = [
        (version, "2026-07-28"),
        (method, "tools/call"),
        (name, "=?base64?ZWNobw==?="),
    ];
    let cases: [(Headers<'_>, &Value, u16, i64); 10] = [
        (&good, &whole, 200, 0),
        (&encoded, &whole, 200, 0),
        (&good[1..], &whole, 400, -32020),
        (&good[..2], &whole, 400, -32020),
        (&[good[0], good[2]], &whole, 400, -32020),
        (&[good[0], good[1], (name, "fail")], &whole, 400, -32020),
        (
            &[(version, "2027-01-01"), good[1], good[2]],
            &other,
            400,
            -32022,
        ),
        (&good, &other, 400, -32020),
        (&good, &bare, 400, -32602),
        (&good, &incapable, 400, -32602),
    ];
    for (headers, body, status, code) in cases {
        let (got, reply) = client.post(headers, body).await;
        assert_eq!(got.as_u16(), status, "{headers:?} {reply}");
        assert_eq!(
            reply["error"]["code"].as_i64().unwrap_or(0),
            code,
            "{headers:?} {reply}"
        );
        assert_eq!(reply["id"], 7, "{reply}");
    }
    let headers = [MODERN, &[(method, "ping")]].concat();
    let (status, reply) = client.post(&headers, &modern("ping", json!({}))).await;
    assert_eq!(
        (status.as_u16(), &reply["error"]["code"]),
        (404, &json!(-32601))
    );
    assert_eq!(client.sample.total(), 2);
}

#[tokio::test]
async fn a_report_is_a_stream_of_progress_and_one_last_event() {
    let client = Client::new().await;
    let arguments = json!({ "title": "costs", "steps": 2, "delay_ms": 1 });
    let call = json!({ "name": "slow_report", "arguments": arguments });
    let headers = [
        MODERN,
        &[("mcp-method", "tools/call"), ("mcp-name", "slow_report")],
    ]
    .concat();
    let body = modern("tools/call", call.clone()).to_string();
    let reply = client
        .ask(Method::POST, "/mcp", &headers, &body)
        .await
        .expect("a reply");
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let bytes = reply
        .into_body()
        .whole(1 << 20, soon())
        .await
        .expect("whole");
    let text = std::str::from_utf8(&bytes).expect("utf-8");
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| json_of(event.split_once("data: ").expect("data").1.as_bytes()))
        .collect();
    assert_eq!(events.len(), 3, "{text}");
    for (event, step) in events.iter().zip([1, 2]) {
        assert_eq!(event["method"], "notifications/progress");
        assert_eq!(event["params"]["progressToken"], "p");
        assert_eq!(event["params"]["progress"], step);
    }
    assert_eq!(events[2]["id"], 7);
    assert_eq!(
        events[2]["result"]["content"][0]["text"],
        "Report costs: 2 steps done."
    );

    let (id, _) = client.session("2025-11-25").await;
    let headers = [
        ("mcp-session-id", id.as_str()),
        ("accept", "application/json"),
    ];
    let (_, reply) = client.post(&headers, &legacy("tools/call", call)).await;
    assert_eq!(reply["id"], 7, "without events in Accept it is plain json");
}

#[tokio::test]
async fn crash_and_hang_end_without_a_reply_and_are_counted() {
    let client = Client::new().await;
    let headers = |tool| [MODERN, &[("mcp-method", "tools/call"), ("mcp-name", tool)]].concat();
    let body = |tool: &str| modern("tools/call", json!({ "name": tool })).to_string();
    let crash = client
        .ask(Method::POST, "/mcp", &headers("crash"), &body("crash"))
        .await;
    assert!(matches!(crash, Err(Broken::Closed(_))), "{crash:?}");
    assert_eq!(client.sample.calls("crash"), 1);

    let hang_headers = headers("hang");
    let hang_body = body("hang");
    let hang = client.ask(Method::POST, "/mcp", &hang_headers, &hang_body);
    let stop = async {
        while client.sample.calls("hang") == 0 {
            tokio::task::yield_now().await;
        }
        client.sample.stop();
    };
    let (hang, ()) = tokio::join!(hang, stop);
    assert!(matches!(hang, Err(Broken::Closed(_))), "{hang:?}");
    client.pool.close();
    client.tasks.close();
    tokio::time::timeout(LONG, client.tasks.wait())
        .await
        .expect("stopped for good");
}

#[tokio::test]
async fn a_late_reply_comes_when_it_was_asked_for() {
    let client = Client::new().await;
    let reply = client.call("hang", json!({ "ms": 1 })).await;
    assert_eq!(reply["result"]["content"][0]["text"], "Done after 1 ms.");
}

#[tokio::test]
async fn batches_are_for_the_oldest_sessions_only() {
    let client = Client::new().await;
    let batch = json!([
        legacy("ping", json!({})),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        legacy("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } })),
    ]);
    let (id, _) = client.session("2025-03-26").await;
    let (status, replies) = client.post(&[("mcp-session-id", &id)], &batch).await;
    assert_eq!(
        (status.as_u16(), replies.as_array().map(Vec::len)),
        (200, Some(2))
    );
    let (id, _) = client.session("2025-06-18").await;
    let (status, reply) = client.post(&[("mcp-session-id", &id)], &batch).await;
    assert_eq!(
        (status.as_u16(), &reply["error"]["code"]),
        (400, &json!(-32600))
    );
    assert_eq!(client.sample.calls("echo"), 1);
}

#[tokio::test]
async fn what_is_no_call_is_refused_and_not_counted() {
    let client = Client::new().await;
    let (id, _) = client.session("2025-11-25").await;
    let session = ("mcp-session-id", id.as_str());
    let call = legacy(
        "tools/call",
        json!({ "name": "echo", "arguments": { "text": "x" } }),
    );
    let call = call.to_string();
    let silent = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#;
    let null_id = r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#;
    let unknown = ("mcp-session-id", "00000000-0000-4000-8000-000000000000");
    let cases: [(Headers<'_>, &str, u16); 10] = [
        (&[], &call, 400),
        (&[unknown], &call, 404),
        (&[session, ("content-type", "text/plain")], &call, 415),
        (&[session, ("content-encoding", "gzip")], &call, 415),
        (&[session, ("origin", "https://evil.example")], &call, 403),
        (&[session], silent, 202),
        (&[session], "{", 400),
        (&[session], "7", 400),
        (&[session], null_id, 400),
        (&[session], r#"{"id":1,"method":"ping"}"#, 400),
    ];
    for (headers, body, status) in cases {
        let reply = client
            .ask(Method::POST, "/mcp", headers, body)
            .await
            .expect("a reply");
        assert_eq!(reply.status().as_u16(), status, "{headers:?} {body}");
    }
    let reply = client
        .ask(Method::DELETE, "/mcp", MODERN, "")
        .await
        .expect("a reply");
    assert_eq!(reply.status().as_u16(), 405);
    for (method, path, status) in [
        (Method::GET, "/mcp", 405),
        (Method::PUT, "/mcp", 405),
        (Method::POST, "/elsewhere", 404),
    ] {
        let reply = client
            .ask(method, path, &[session], "")
            .await
            .expect("a reply");
        assert_eq!(reply.status().as_u16(), status);
    }
    assert_eq!(client.sample.total(), 0);
}

#[tokio::test]
async fn a_wrong_argument_is_a_tool_error_by_the_tools_own_schema() {
    let client = Client::new().await;
    let cases = [
        ("echo", json!({}), "argument `text` is missing"),
        (
            "echo",
            json!({ "text": 7 }),
            "argument `text` must be of type string",
        ),
        (
            "create_refund",
            json!({ "charge_id": "c", "amount": "500000" }),
            "argument `amount` must be of type number",
        ),
        (
            "list_charges",
            json!({ "limit": 101 }),
            "argument `limit` is out of its range",
        ),
        (
            "exec_pod",
            json!({ "command": "sh" }),
            "argument `command` must be of type array",
        ),
    ];
    for (tool, arguments, complaint) in cases {
        let reply = client.call(tool, arguments).await;
        assert_eq!(reply["result"]["content"][0]["text"], complaint);
        assert_eq!(reply["result"]["isError"], true);
    }
}

#[tokio::test]
async fn counters_are_read_from_outside() {
    let client = Client::new().await;
    client.call("echo", json!({ "text": "x" })).await;
    client.call("echo", json!({})).await;
    client.call("get_pods", json!({})).await;
    client.call("nothing", json!({})).await;
    let reply = client
        .ask(Method::GET, "/counters", &[], "")
        .await
        .expect("a reply");
    let (_, counters) = whole(reply).await;
    let expected = json!({ "tools": { "echo": 2, "get_pods": 1 }, "total": 4, "unknown": 1 });
    assert_eq!(counters, expected);
}

#[tokio::test]
async fn a_stream_dropped_early_is_no_trouble() {
    let client = Client::new().await;
    let headers = [
        MODERN,
        &[("mcp-method", "tools/call"), ("mcp-name", "slow_report")],
    ]
    .concat();
    let call = json!({ "name": "slow_report", "arguments": { "steps": 1000, "delay_ms": 1 } });
    let body = modern("tools/call", call).to_string();
    let reply = client
        .ask(Method::POST, "/mcp", &headers, &body)
        .await
        .expect("a reply");
    let mut body = reply.into_body();
    body.frame().await.expect("a frame").expect("readable");
    drop(body);
    client.call("echo", json!({ "text": "x" })).await;
    client.sample.stop();
    client.pool.close();
    client.tasks.close();
    tokio::time::timeout(LONG, client.tasks.wait())
        .await
        .expect("the stream ended too");
}
