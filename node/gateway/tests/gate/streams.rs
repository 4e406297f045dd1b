//! Replies that come as events: what passes at once, what waits for the book, what never passes,
//! and what a client that hangs up leaves behind.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use tollbook_node::trial::Granted;

use crate::answers::UNKNOWN;
use crate::client::{Ask, Client};
use crate::gate::{ALLOW, Barrier, Gate, until};
use crate::upstream::{Act, Fake, Heard, LAST_CHUNK, chunk, events, json, stream_head};

const FINAL: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#;
const PROGRESS: &str = concat!(
    r#"{"jsonrpc":"2.0","method":"notifications/progress","#,
    r#""params":{"progressToken":1,"progress":1}}"#
);
/// For what must not come.
const MOMENT: Duration = Duration::from_millis(150);

fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// A gate before a server that says what the test feeds it, and a client whose call is there.
struct Fed {
    gate: Gate,
    server: Fake,
    feed: mpsc::Sender<Vec<u8>>,
    grant: Granted,
    client: Client,
}

impl Fed {
    async fn start(modern: bool) -> Self {
        Self::open(modern, Gate::start().await, ALLOW).await
    }

    async fn open(modern: bool, gate: Gate, policy: &str) -> Self {
        let (server, feed) = Fake::fed().await;
        let grant = gate
            .grant_for(gate.server(server.address).await, policy)
            .await;
        let ask = if modern {
            Ask::call(&grant, "report", "{}")
        } else {
            Ask::legacy_call(&grant, None, "report", "{}")
        };
        let mut client = Client::connect(gate.address()).await;
        client.send(&ask.bytes()).await;
        until("the call", || !server.heard().is_empty()).await;
        Self {
            gate,
            server,
            feed,
            grant,
            client,
        }
    }

    async fn feed(&self, bytes: impl Into<Vec<u8>>) {
        self.feed
            .send(bytes.into())
            .await
            .expect("the server listens");
    }

    /// Begins a stream, and waits until the client has its head and first event.
    async fn begin(&mut self) {
        self.feed(stream_head()).await;
        self.feed(chunk(": hello\n\n")).await;
        let head = self.client.head().await.expect("a head before the end");
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(self.client.until("\n\n").await, ": hello\n\n");
    }

    /// Waits until the gate has closed the server's connection.
    async fn cancelled(&self) {
        until("the gate to hang up", || self.server.hung_up() == 1).await;
    }

    async fn stop(self) {
        drop((self.feed, self.client, self.server, self.grant));
        self.gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_pass_byte_for_byte_as_they_come_and_the_final_one_after_its_record() {
    for modern in [false, true] {
        let mut fed = Fed::start(modern).await;
        fed.begin().await;
        // Ids, retries, comments, any line ends and pieces of any size pass as they are.
        let strange =
            format!("id: 7\r\nretry: 10\r\ndata:\r\n\r\n: still here\n\nid:8\ndata:{PROGRESS}\n\n");
        for piece in strange.as_bytes().chunks(7) {
            fed.feed(chunk(std::str::from_utf8(piece).unwrap())).await;
        }
        assert_eq!(fed.client.until(&format!("{PROGRESS}\n\n")).await, strange);
        assert_eq!(fed.gate.outcomes(), Vec::<String>::new());
        let last = format!("id: 9\ndata: {FINAL}\n\n");
        fed.feed([chunk(&last), LAST_CHUNK.to_vec()].concat()).await;
        assert_eq!(fed.client.until("\n\n").await, last);
        // At the very moment that the client has it, the book says so.
        assert_eq!(fed.gate.outcomes(), ["ok"]);
        assert_eq!(fed.client.rest().await, "");
        fed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_result_is_released_while_its_outcome_is_not_in_the_book() {
    for (modern, streamed) in [(false, false), (false, true), (true, false), (true, true)] {
        let barrier = Barrier::default();
        let gate = Gate::open(|_config| {}, barrier.start()).await;
        let mut fed = Fed::open(modern, gate, ALLOW).await;
        if streamed {
            fed.begin().await;
        }
        barrier.shut();
        let answer = if streamed {
            chunk(&event(FINAL))
        } else {
            json(FINAL)
        };
        fed.feed(answer).await;
        barrier.holds().await;
        assert!(
            fed.client.is_silent_for(MOMENT).await,
            "released before it is in the book"
        );
        barrier.open();
        if !streamed {
            assert_eq!(fed.client.head().await.expect("an answer").status, 200);
        }
        assert!(fed.client.rest().await.contains(FINAL));
        assert_eq!(fed.gate.outcomes(), ["ok"]);
        fed.stop().await;
    }
}

/// Past the outcome deadline the final event is replaced: the call may have run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_whose_outcome_does_not_commit_in_time_is_withheld() {
    for streamed in [false, true] {
        let barrier = Barrier::default();
        let edit = |config: &mut tollbook_node::config::Config| {
            config.deadlines.outcome = Duration::from_millis(200);
        };
        let gate = Gate::open(edit, barrier.start()).await;
        let mut fed = Fed::open(true, gate, ALLOW).await;
        if streamed {
            fed.begin().await;
        }
        barrier.shut();
        let answer = if streamed {
            [chunk(&event(FINAL)), LAST_CHUNK.to_vec()].concat()
        } else {
            json(FINAL)
        };
        fed.feed(answer).await;
        let body = if streamed {
            let rest = fed.client.rest().await;
            rest.trim_start_matches("event: message\n")
                .trim_start_matches("data: ")
                .to_owned()
        } else {
            fed.client.response().await.expect("an answer").text()
        };
        assert_unknown(&body);
        barrier.open();
        // The book has it all the same, for whoever settles it.
        assert_eq!(fed.gate.await_outcomes(1).await, ["ok"]);
        fed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_request_is_withheld_and_answered_to_the_server() {
    for modern in [false, true] {
        let mut fed = Fed::start(modern).await;
        fed.begin().await;
        let asks = [
            r#"{"jsonrpc":"2.0","id":"srv-1","method":"sampling/createMessage","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"roots/list"}"#,
        ];
        for ask in asks {
            fed.feed(chunk(&event(ask))).await;
        }
        fed.feed(chunk(&event(PROGRESS))).await;
        assert_eq!(
            fed.client.until("\n\n").await,
            event(PROGRESS),
            "nothing before it passed"
        );
        until("the answers to the server", || {
            fed.server.heard().len() == 4
        })
        .await;
        let mut told: Vec<String> = fed.server.heard()[1..]
            .iter()
            .map(|heard| heard.body.clone())
            .collect();
        told.sort();
        let denied = |id: &str, method: &str| {
            let error = format!(r#"{{"code":-31001,"message":"denied by policy: {method}"}}"#);
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        };
        let mut wanted = [
            denied("\"srv-1\"", "sampling/createMessage"),
            denied("1", "elicitation/create"),
            denied("9007199254740993", "roots/list"),
        ];
        wanted.sort();
        assert_eq!(told, wanted);
        // An answer to somebody else, a batch and rubbish on this stream are not for the client.
        for other in [
            r#"{"jsonrpc":"2.0","id":2,"result":{"secret":1}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":{"secret":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":1},"result":{"secret":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"Result":{"secret":1},"result":{}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"result":{"secret":1}}]"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x","id":1,"result":{"secret":1}}"#,
        ] {
            fed.feed(chunk(&event(other))).await;
        }
        fed.feed([chunk(&event(FINAL)), LAST_CHUNK.to_vec()].concat())
            .await;
        assert_eq!(fed.client.rest().await, event(FINAL));
        fed.stop().await;
    }
}

/// A policy may let one through: then the client's answer passes, once, and only on its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_request_that_the_policy_allows_is_answered_once() {
    let policy =
        r#"{"version":"1","default":"allow","methods":{"allow":["sampling/createMessage"]}}"#;
    let gate = Gate::start().await;
    let (feed, fed) = mpsc::channel(16);
    let fed = std::sync::Mutex::new(Some(fed));
    let init = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    let script = move |heard: &Heard| {
        if heard.body.contains("initialize") {
            let with_session = format!("{}{init}", opening(init.len()));
            return Act::Say(with_session.into_bytes());
        }
        match fed
            .lock()
            .unwrap()
            .take_if(|_| heard.body.contains("tools/call"))
        {
            Some(fed) => Act::Fed(fed),
            None => Act::Say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()),
        }
    };
    let server = Fake::start(script).await;
    let id = gate.server(server.address).await;
    let grant = gate.grant_for(id, policy).await;
    let session = gate.initialize(&grant).await;
    let mut client = Client::connect(gate.address()).await;
    client
        .send(&Ask::legacy_call(&grant, Some(&session), "report", "{}").bytes())
        .await;
    let asked =
        event(r#"{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage","params":{}}"#);
    feed.send([stream_head(), chunk(&asked)].concat())
        .await
        .unwrap();
    client.head().await.expect("a head");
    assert_eq!(client.until("\n\n").await, asked);
    let answer = r#"{"jsonrpc":"2.0","id":"s","result":{"role":"assistant"}}"#;
    let other = gate.initialize(&grant).await;
    let statuses = async |sessions: [Option<&str>; 3]| {
        let mut statuses = Vec::new();
        for session in sessions {
            statuses.push(gate.ask(&Ask::legacy(&grant, session, answer)).await.status);
        }
        statuses
    };
    // The server gives every session the same id, as bad ones do: another grant's answer is still
    // not this one's.
    let stranger = gate.grant_for(id, policy).await;
    let foreign = gate.initialize(&stranger).await;
    assert_eq!(
        gate.ask(&Ask::legacy(&stranger, Some(&foreign), answer))
            .await
            .status,
        400
    );
    assert_eq!(
        statuses([None, Some(&session), Some(&other)]).await,
        [400, 202, 400]
    );
    let answers: Vec<Heard> = server
        .heard()
        .into_iter()
        .filter(|heard| heard.body == answer)
        .collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].header("mcp-session-id"), Some("upstream-17"));
    feed.send([chunk(&event(FINAL)), LAST_CHUNK.to_vec()].concat())
        .await
        .unwrap();
    assert_eq!(client.rest().await, event(FINAL));
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legacy_client_that_hangs_up_does_not_cancel_its_call() {
    for streamed in [false, true] {
        let mut fed = Fed::start(false).await;
        if streamed {
            fed.begin().await;
        }
        let Fed {
            gate,
            server,
            feed,
            grant,
            client,
        } = fed;
        drop(client);
        // What would cancel it comes within a moment.
        tokio::time::timeout(MOMENT, until("a hang-up", || server.hung_up() > 0))
            .await
            .expect_err("the gate hung up on the server");
        assert_eq!(gate.outcomes(), Vec::<String>::new());
        let answer = if streamed {
            [
                chunk(&event(PROGRESS)),
                chunk(&event(FINAL)),
                LAST_CHUNK.to_vec(),
            ]
            .concat()
        } else {
            json(FINAL)
        };
        feed.send(answer).await.unwrap();
        assert_eq!(gate.await_outcomes(1).await, ["ok"]);
        drop(grant);
        gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_modern_client_that_hangs_up_cancels_its_call_and_keeps_its_quota_spent() {
    let once = r#"{"version":"1","tools":{"report":{"limits":[
        {"counter":"n","window":"day","scope":"grant","max":1,"on_deny":"Spent."}]}}}"#;
    for streamed in [false, true] {
        let mut fed = Fed::open(true, Gate::start().await, once).await;
        if streamed {
            fed.begin().await;
        }
        fed.client = Client::connect(fed.gate.address()).await;
        fed.cancelled().await;
        assert_eq!(fed.gate.await_outcomes(1).await, ["cancelled"]);
        let again = fed.gate.ask(&Ask::call(&fed.grant, "report", "{}")).await;
        assert_eq!(again.seen(), "[POLICY DENIED] Spent.");
        fed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_without_its_answer_ends_unknown_or_detached() {
    let gate = Gate::with(|config| config.limits.event_bytes = 1024).await;
    let cases = [
        // What comes, and the outcome.
        (events(": nothing\n\n"), "upstream_down"),
        (events(&event(PROGRESS)), "upstream_down"),
        (events(&format!("data: {FINAL}")), "upstream_down"),
        (
            [stream_head(), chunk(": cut off\n\n")].concat(),
            "upstream_down",
        ),
        // An event that is longer than may be held.
        (
            events(&format!("data: {}\n\n{}", "x".repeat(2000), event(FINAL))),
            "upstream_down",
        ),
        // The server might deliver the rest elsewhere, where no client can fetch it.
        (events("id: 5\ndata:\n\n"), "detached"),
        (events(&format!("id: 5\ndata: {PROGRESS}\n\n")), "detached"),
    ];
    for (at, (answer, status)) in cases.into_iter().enumerate() {
        let server = Fake::start(move |_heard| Act::SayAndClose(answer.clone())).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ALLOW)
            .await;
        let response = gate
            .ask(&Ask::legacy_call(&grant, None, "report", "{}"))
            .await;
        let text = response.text();
        assert_eq!(response.status, 200);
        assert_eq!(gate.outcomes()[at], status, "case {at}: {text}");
        assert_unknown(text.rsplit("data: ").next().unwrap_or_default());
        assert_eq!(server.heard().len(), 1, "a lost call is not sent again");
    }
    gate.stop().await;
}

/// Some clients end lines where the standard does not; what they would read as a second event's
/// line is escaped or gone, and in the result it means the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_the_same_lines_for_every_client() {
    let asks = r#"data: {"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"}"#;
    let gate = Gate::start().await;
    for end in ['\u{b}', '\u{c}', '\u{1c}', '\u{85}', '\u{2028}', '\u{2029}'] {
        let last = FINAL.replace("[]", &format!(r#"[{{"type":"text","text":"a{end}b"}}]"#));
        // A control character may stand in a comment, but in no JSON.
        let last = if end.is_ascii() {
            FINAL.to_owned()
        } else {
            last
        };
        let stream = format!(": a{end}{asks}{end}\n\n{}", event(&last));
        let server = Fake::saying(events(&stream)).await;
        let grant = gate
            .grant_for(gate.server(server.address).await, ALLOW)
            .await;
        let text = gate.ask(&Ask::call(&grant, "report", "{}")).await.text();
        assert!(!text.contains(end), "{end:?} in {text}");
        let data = text.rsplit("data: ").next().unwrap_or_default();
        let (got, sent): (Value, Value) = (
            serde_json::from_str(data).unwrap(),
            serde_json::from_str(&last).unwrap(),
        );
        assert_eq!(got, sent);
    }
    gate.stop().await;
}

/// The real server's stream, through the gate, in both eras.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_servers_stream_passes_with_its_progress() {
    let gate = Gate::start().await;
    let grant = gate.grant(ALLOW).await;
    let session = gate.initialize(&grant).await;
    let arguments = r#"{"title":"t","steps":2,"delay_ms":1}"#;
    for ask in [
        Ask::call(&grant, "slow_report", arguments),
        Ask::legacy_call(&grant, Some(&session), "slow_report", arguments),
    ] {
        let response = gate.ask(&ask).await;
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        let text = response.text();
        assert!(
            text.starts_with(": step 1 of 2\n\n: step 2 of 2\n\n"),
            "{text}"
        );
        assert!(text.contains("Report t: 2 steps done."), "{text}");
    }
    assert_eq!(gate.outcomes(), ["ok", "ok"]);
    assert_eq!(gate.trial.sample.calls("slow_report"), 2);
    gate.stop().await;
}

/// A result that asks the client for something (modern) is a server's request like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_asks_for_what_the_policy_does_not_allow_is_withheld() {
    let gate = Gate::start().await;
    let asks = concat!(
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":"#,
        r#"{"a":{"method":"elicitation/create","params":{"message":"your password?"}}},"#,
        r#""requestState":"s"}}"#
    );
    let allow = r#"{"version":"1","default":"allow","methods":{"allow":["elicitation/create"]}}"#;
    for (policy, passes) in [(ALLOW, false), (allow, true)] {
        for answer in [json(asks), events(&event(asks))] {
            let server = Fake::saying(answer).await;
            let grant = gate
                .grant_for(gate.server(server.address).await, policy)
                .await;
            let text = gate.ask(&Ask::call(&grant, "report", "{}")).await.text();
            assert_eq!(text.contains("your password?"), passes, "{text}");
            assert_eq!(
                text.contains("denied by policy: elicitation/create"),
                !passes,
                "{text}"
            );
        }
    }
    assert_eq!(gate.outcomes(), ["ok"; 4]);
    gate.stop().await;
}

fn assert_unknown(body: &str) {
    let wanted = json!({ "code": -31005, "message": UNKNOWN });
    let body: Value = serde_json::from_str(body.trim()).unwrap_or_else(|e| panic!("{e}: {body}"));
    assert_eq!(body, json!({ "jsonrpc": "2.0", "id": 1, "error": wanted }));
}

fn opening(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: upstream-17\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}
