//! Bad input, row by row (`tests/way/rows.jsonl`), and calls that pass, so that the rows' own
//! frame is known to be good. The rows are named after `reference/attacks.md`: P parser and
//! framing, H header against body, S policy, Q quota, A sessions and authentication; U is for
//! what is unknown or unreadable otherwise.
//!
//! In a row `<<…>>` stands for what a text file cannot hold: `<<x*3>>` is `xxx`, `<<hex:ff>>` a
//! byte, `<<at>>` nothing but the place that the answer must name, and a word one of the values of
//! [`Place::values`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use tollbook_node::token::{Class, Token};
use tollbook_node::trial::Granted;
use tollbook_state::command::ServerId;

use crate::client::{Ask, Client, META, Response, legacy_call, modern_call};
use crate::gate::Gate;
use crate::upstream::{Fake, json as json_reply};

const ROWS: &str = include_str!("../way/rows.jsonl");
const POLICY: &str = include_str!("../way/policy.json");

/// One request and its exact answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The attack's name, and what this row does.
    case: String,
    /// Variant of `Refusal`; `-`: this call passes.
    refusal: String,
    /// `legacy` or `modern`: which headers the request begins with.
    #[serde(default)]
    era: String,
    /// Instead of POST to the grant's endpoint.
    #[serde(default)]
    line: Option<String>,
    /// Headers that differ: a value, several values, or null for none.
    #[serde(default)]
    head: BTreeMap<String, Value>,
    /// The tool that is called, where the body is a call's.
    #[serde(default)]
    tool: Option<String>,
    /// The call's arguments as JSON text.
    #[serde(default)]
    args: Option<String>,
    /// The whole body instead.
    #[serde(default)]
    body: Option<String>,
    /// All bytes instead.
    #[serde(default)]
    raw: Option<String>,
    status: u16,
    /// Code and message of a JSON-RPC error.
    #[serde(default)]
    error: Option<(i64, String)>,
    /// The error's data.
    #[serde(default)]
    data: Option<Value>,
    /// The answer's id: 1 where nothing else is said.
    #[serde(default = "one")]
    id: Value,
    /// What a denied call's result says.
    #[serde(default)]
    denied: Option<String>,
    /// The rule in the book, where the call was judged and denied.
    #[serde(default)]
    rule: Option<String>,
    /// What a passing call's result says.
    #[serde(default)]
    text: Option<String>,
    /// Headers that the answer must have.
    #[serde(default)]
    answer: BTreeMap<String, String>,
}

fn one() -> Value {
    json!(1)
}

/// A gate with all that rows name.
struct Place {
    gate: Gate,
    grant: Granted,
    session: String,
    values: BTreeMap<&'static str, String>,
}

impl Place {
    /// Rows' calls go to `server`; none: to the sample server.
    async fn new(gate: Gate, server: Option<ServerId>) -> Self {
        let server = server.unwrap_or(gate.trial.server);
        let grant = gate.grant_for(server, POLICY).await;
        let other = gate.grant_for(server, POLICY).await;
        let leaver = gate.grant_for(server, POLICY).await;
        gate.trial.revoke(leaver.id).await.expect("a revocation");
        let elsewhere = gate.server(gate.trial.sample.address()).await;
        let away = gate.grant_for(elsewhere, POLICY).await;
        let (session, foreign) = (gate.initialize(&grant).await, gate.initialize(&other).await);
        let values = Self::values(&gate, &grant, &session, &[&other, &leaver, &away], foreign);
        Self {
            gate,
            grant,
            session,
            values,
        }
    }

    /// The words that rows may use.
    fn values(
        gate: &Gate,
        grant: &Granted,
        session: &str,
        [other, leaver, away]: &[&Granted; 3],
        foreign: String,
    ) -> BTreeMap<&'static str, String> {
        let path = |grant: &Granted| {
            let rest = grant.endpoint.strip_prefix("http://").expect("an http URL");
            format!("/{}", rest.split_once('/').expect("a path").1)
        };
        let secret = |class| {
            Token::generate(class)
                .expect("randomness")
                .expose()
                .to_owned()
        };
        let token = grant.token.expose();
        let mut forged = session.to_owned();
        let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
        forged.push(last);
        // One letter of the secret changed, which its check letters tell.
        let damaged = |(at, letter)| match (at, letter) {
            (20, 'a') => 'b',
            (20, _) => 'a',
            (_, letter) => letter,
        };
        let damaged: String = token.chars().enumerate().map(damaged).collect();
        BTreeMap::from([
            ("away", path(away)),
            ("damaged", damaged),
            ("admin", secret(Class::Admin)),
            ("foreign", foreign),
            ("forged", forged),
            ("host", gate.address().to_string()),
            ("meta", META.to_owned()),
            ("other", other.token.expose().to_owned()),
            ("path", path(grant)),
            ("revoked", leaver.token.expose().to_owned()),
            ("session", session.to_owned()),
            ("stranger", secret(Class::Grant)),
            ("token", token.to_owned()),
            (
                "uuid",
                path(grant)
                    .trim_matches('/')
                    .trim_start_matches("mcp/")
                    .to_owned(),
            ),
        ])
    }

    /// A row's text as bytes, and the place that it marks.
    fn expand(&self, text: &str) -> (Vec<u8>, Option<usize>) {
        let (mut bytes, mut place) = (Vec::new(), None);
        let mut parts = text.split("<<");
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            let (word, rest) = part.split_once(">>").expect("`<<` is closed");
            if word == "at" {
                place = Some(bytes.len());
            } else if let Some(hex) = word.strip_prefix("hex:") {
                for pair in hex.as_bytes().chunks(2) {
                    let pair = std::str::from_utf8(pair).expect("hex digits");
                    bytes.push(u8::from_str_radix(pair, 16).expect("hex digits"));
                }
            } else if let Some((repeated, times)) = word.rsplit_once('*') {
                let times = times.parse().expect("how often");
                bytes.extend_from_slice(repeated.repeat(times).as_bytes());
            } else {
                let value = self
                    .values
                    .get(word)
                    .unwrap_or_else(|| panic!("no value `{word}`"));
                bytes.extend_from_slice(value.as_bytes());
            }
            bytes.extend_from_slice(rest.as_bytes());
        }
        (bytes, place)
    }

    fn text(&self, text: &str) -> String {
        String::from_utf8(self.expand(text).0).expect("text")
    }

    /// The row's request, and the place in its body that the answer must name.
    fn request(&self, row: &Row) -> (Vec<u8>, Option<usize>) {
        if let Some(raw) = &row.raw {
            return self.expand(raw);
        }
        let modern = match row.era.as_str() {
            "modern" => true,
            "legacy" => false,
            other => panic!("{}: no era `{other}`", row.case),
        };
        let tool = self.text(row.tool.as_deref().unwrap_or("echo"));
        let arguments = self.text(row.args.as_deref().unwrap_or(r#"{"text":"hi"}"#));
        let (body, place) = match &row.body {
            Some(body) => self.expand(body),
            None if modern => (modern_call(&tool, &arguments).into_bytes(), None),
            None => (legacy_call(&tool, &arguments).into_bytes(), None),
        };
        let mut ask = if modern {
            Ask::modern(&self.grant, "tools/call", Some(&tool), body)
        } else {
            Ask::legacy(&self.grant, Some(&self.session), body)
        };
        if let Some(line) = &row.line {
            ask.line = self.text(line);
        }
        for (name, value) in &row.head {
            ask = ask.without(name);
            let several = value
                .as_array()
                .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            for value in several.iter().filter_map(Value::as_str) {
                ask = ask.add(name, &self.text(value));
            }
        }
        (ask.bytes(), place)
    }

    /// The whole body of the row's answer. None: an empty one.
    fn answer(&self, row: &Row, place: Option<usize>) -> Option<Value> {
        if let Some((code, message)) = &row.error {
            let mut message = self.text(message);
            if let Some(at) = place {
                message = format!("{message} (at byte {at})");
            }
            let mut error = json!({ "code": code, "message": message });
            if let Some(data) = &row.data {
                error["data"] = data.clone();
            }
            return Some(json!({ "jsonrpc": "2.0", "id": row.id, "error": error }));
        }
        let (text, is_error) = match (&row.denied, &row.text) {
            (Some(denied), _) => (format!("[POLICY DENIED] {denied}"), true),
            (None, Some(text)) => (self.text(text), false),
            (None, None) => return None,
        };
        let content = json!([{ "type": "text", "text": text }]);
        let mut result = json!({ "content": content, "isError": is_error });
        if row.era == "modern" {
            result["resultType"] = json!("complete");
            if !is_error {
                let info = json!({ "name": "tollbook-sample", "version": "0.1.0" });
                result["_meta"] = json!({ "io.modelcontextprotocol/serverInfo": info });
            }
        }
        Some(json!({ "jsonrpc": "2.0", "id": row.id, "result": result }))
    }

    async fn play(&self, row: &Row) -> Vec<String> {
        let (from, before) = (self.gate.size(), self.gate.trial.sample.total());
        let (request, place) = self.request(row);
        let mut client = Client::connect(self.gate.address()).await;
        client.send(&request).await;
        let mut wrong = Vec::new();
        let Some(response) = client.response().await else {
            return vec!["the connection was closed without an answer".to_owned()];
        };
        let reached = self.gate.trial.sample.total() - before;
        if response.status != row.status {
            wrong.push(format!("status {}, not {}", response.status, row.status));
        }
        let wanted = self.answer(row, place);
        let same = match &wanted {
            Some(wanted) => response.json() == *wanted,
            None => response.body.is_empty(),
        };
        if !same {
            let wanted = wanted.map_or_else(String::new, |wanted| wanted.to_string());
            wrong.push(format!("body   {}\n    wanted {wanted}", response.text()));
        }
        wrong.extend(wrong_headers(row, &response));
        if reached != u64::from(row.refusal == "-") {
            wrong.push(format!("{reached} calls reached the server"));
        }
        let intents = self.gate.records_from(from);
        let intents: Vec<_> = intents
            .iter()
            .filter(|record| record["k"] == "intent")
            .collect();
        let rules: Vec<_> = intents
            .iter()
            .map(|intent| intent["rule"].as_str())
            .collect();
        let wanted = match (&row.rule, row.refusal.as_str()) {
            (Some(rule), _) => vec![Some(rule.as_str())],
            (None, "-") => vec![None],
            (None, _) => Vec::new(),
        };
        if rules != wanted {
            wrong.push(format!("rules in the book {rules:?}, not {wanted:?}"));
        }
        wrong
    }
}

fn wrong_headers(row: &Row, response: &Response) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in &row.answer {
        if response.header(name) != Some(value) {
            wrong.push(format!(
                "header {name} is {:?}, not {value:?}",
                response.header(name)
            ));
        }
    }
    // Whatever is refused, nothing of it may be kept or guessed at by a browser.
    if row.refusal != "-" && response.header("access-control-allow-origin").is_some() {
        wrong.push("an answer that other origins may read".to_owned());
    }
    wrong
}

fn rows() -> Vec<Row> {
    let lines = ROWS.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_gets_exactly_its_answer_and_only_what_passes_reaches_the_server() {
    let place = Place::new(Gate::start().await, None).await;
    let mut wrong = Vec::new();
    let rows = rows();
    for row in &rows {
        let faults = place.play(row).await;
        if !faults.is_empty() {
            wrong.push(format!("{}:\n    {}", row.case, faults.join("\n    ")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    let refused = rows.iter().filter(|row| row.refusal != "-").count();
    assert!(refused >= 90, "{refused} rows are refused");
    // After all of it the gate serves as before.
    let response = place
        .gate
        .ask(&Ask::call(&place.grant, "echo", r#"{"text":"on"}"#))
        .await;
    assert_eq!(response.seen(), "on");
    place.gate.stop().await;
}

/// The sample server counts calls; this one hears everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_at_all_of_a_refused_request_reaches_the_server() {
    let init = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    let answer = String::from_utf8(json_reply(init)).expect("text");
    let server = Fake::saying(answer.replacen("\r\n", "\r\nMcp-Session-Id: s\r\n", 1)).await;
    let gate = Gate::start().await;
    let id = gate.server(server.address).await;
    let place = Place::new(gate, Some(id)).await;
    let initialized = server.heard().len();
    assert_eq!(initialized, 2);
    // Nothing passes here, so no quota is spent by then.
    let spent = |row: &&Row| row.case.starts_with("Q4") || row.case == "Q1 one more than there is";
    let rows = rows();
    let refused = rows.iter().filter(|row| row.refusal != "-" && !spent(row));
    for row in refused {
        let (request, _place) = place.request(row);
        let mut client = Client::connect(place.gate.address()).await;
        client.send(&request).await;
        let response = client.response().await.expect("an answer");
        assert_eq!(response.status, row.status, "{}", row.case);
        let heard = server.heard().split_off(initialized);
        assert!(heard.is_empty(), "{}: {heard:?}", row.case);
    }
    // This one does.
    let passes = rows
        .iter()
        .find(|row| row.refusal == "-")
        .expect("a row that passes");
    let mut client = Client::connect(place.gate.address()).await;
    client.send(&place.request(passes).0).await;
    client.response().await.expect("an answer");
    assert_eq!(server.heard().len(), initialized + 1);
    place.gate.stop().await;
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut names: Vec<String> = rows().into_iter().map(|row| row.case).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
