//! The admin API, byte for byte.

use std::fs;

use serde_json::{Value, json};

use crate::node::{Node, policy};

/// One request to the admin plane and what must come of it.
struct Row {
    name: &'static str,
    line: &'static str,
    headers: &'static str,
    body: &'static str,
    status: u16,
    code: &'static str,
}

const JSON: &str = "content-type: application/json\r\n";
const GOOD: &str = "host: localhost\r\nauthorization: Bearer TOKEN\r\n";

const fn row(name: &'static str, line: &'static str, status: u16, code: &'static str) -> Row {
    Row {
        name,
        line,
        headers: GOOD,
        body: "",
        status,
        code,
    }
}

const fn stranger(name: &'static str, headers: &'static str, code: &'static str) -> Row {
    let status = if code.len() == "TB-ADMIN-TOKEN".len() {
        401
    } else {
        403
    };
    Row {
        name,
        line: "GET /api/v1/grants",
        headers,
        body: "",
        status,
        code,
    }
}

const fn body(
    name: &'static str,
    headers: &'static str,
    body: &'static str,
    code: &'static str,
) -> Row {
    Row {
        name,
        line: "POST /api/v1/grants",
        headers,
        body,
        status: 0,
        code,
    }
}

const ROWS: &[Row] = &[
    row("unknown path", "GET /api/v1/nope", 404, "TB-ADMIN-PATH"),
    row("path outside the api", "GET /", 404, "TB-ADMIN-PATH"),
    row(
        "unknown method",
        "PATCH /api/v1/grants",
        405,
        "TB-ADMIN-METHOD",
    ),
    row(
        "unknown query",
        "GET /api/v1/audit/records?frm=1",
        400,
        "TB-ADMIN-QUERY",
    ),
    row(
        "query of another kind",
        "GET /api/v1/audit/records?from=x",
        400,
        "TB-ADMIN-QUERY",
    ),
    row(
        "no such grant",
        "DELETE /api/v1/grants/x",
        404,
        "TB-ADMIN-GRANT-UNKNOWN",
    ),
    row(
        "a path in a name",
        "GET /api/v1/servers/..%2fx",
        404,
        "TB-ADMIN-SERVER-UNKNOWN",
    ),
    row(
        "no body, no type",
        "POST /api/v1/servers",
        415,
        "TB-ADMIN-TYPE",
    ),
    stranger("no token", "host: localhost\r\n", "TB-ADMIN-TOKEN"),
    stranger(
        "basic",
        "host: localhost\r\nauthorization: Basic eA==\r\n",
        "TB-ADMIN-TOKEN",
    ),
    stranger(
        "rubbish",
        "host: localhost\r\nauthorization: Bearer x\r\n",
        "TB-ADMIN-TOKEN",
    ),
    stranger(
        "a grant's token",
        "host: localhost\r\nauthorization: Bearer GRANT\r\n",
        "TB-ADMIN-TOKEN",
    ),
    stranger(
        "two tokens",
        "host: localhost\r\nauthorization: Bearer TOKEN\r\nauthorization: Bearer TOKEN\r\n",
        "TB-ADMIN-TOKEN",
    ),
    stranger(
        "another host",
        "host: evil.example\r\nauthorization: Bearer TOKEN\r\n",
        "TB-ADMIN-HOST",
    ),
    stranger(
        "a name that only begins like ours",
        "host: localhost.evil.example\r\nauthorization: Bearer TOKEN\r\n",
        "TB-ADMIN-HOST",
    ),
    stranger(
        "no host",
        "authorization: Bearer TOKEN\r\n",
        "TB-ADMIN-HOST",
    ),
    stranger(
        "a web page",
        "host: localhost\r\norigin: http://evil.example\r\nauthorization: Bearer TOKEN\r\n",
        "TB-ADMIN-ORIGIN",
    ),
    stranger(
        "a page without origin",
        "host: localhost\r\norigin: null\r\nauthorization: Bearer TOKEN\r\n",
        "TB-ADMIN-ORIGIN",
    ),
    body("not json", JSON, "{", "TB-ADMIN-JSON"),
    body("no fields", JSON, "{}", "TB-ADMIN-JSON"),
    body(
        "a field twice",
        JSON,
        r#"{"name":"a","name":"b","server":"s"}"#,
        "TB-ADMIN-JSON",
    ),
    body(
        "a field too many",
        JSON,
        r#"{"name":"a","server":"s","x":1}"#,
        "TB-ADMIN-JSON",
    ),
    body(
        "another kind",
        JSON,
        r#"{"name":1,"server":"s"}"#,
        "TB-ADMIN-JSON",
    ),
    body(
        "text",
        "content-type: text/plain\r\n",
        "{}",
        "TB-ADMIN-TYPE",
    ),
    body(
        "another charset",
        "content-type: application/json; charset=latin1\r\n",
        "{}",
        "TB-ADMIN-TYPE",
    ),
    body(
        "compressed",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "{}",
        "TB-ADMIN-TYPE",
    ),
];

#[test]
fn the_admin_plane_answers_each_bad_request_with_a_problem_and_changes_nothing() {
    let node = Node::start();
    let before = node.json(&["server", "list"]);
    let token = node.token();
    let grant_like = token.replace("tba_", "tbg_");
    for Row {
        name,
        line,
        headers,
        body,
        status,
        code,
    } in ROWS
    {
        let common = if *status == 0 { GOOD } else { "" };
        let request = format!(
            "{line} HTTP/1.1\r\nconnection: close\r\n{common}{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let request = request
            .replace("TOKEN", &token)
            .replace("GRANT", &grant_like);
        let (found, head, text) = node.send(request);
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(problem["code"], *code, "{name}: {head} {text}");
        assert_eq!(problem["status"], found, "{name}");
        assert!(*status == 0 || found == *status, "{name}: {found}");
        assert!((400..500).contains(&found), "{name}: {found}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{name}: {head}"
        );
        assert!(
            found != 401 || head.contains("www-authenticate: bearer"),
            "{name}: {head}"
        );
        assert!(!text.contains(&token), "{name}");
    }
    assert_eq!(node.json(&["server", "list"]), before);
    assert_eq!(node.json(&["grant", "list"]), json!([]));
}

#[test]
fn probes_need_no_token_and_metrics_do() {
    let node = Node::start();
    let ask = |path: &str, headers: &str| {
        node.send(format!(
            "GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"
        ))
    };
    // A kubelet asks by the pod's address.
    assert_eq!(ask("/healthz", "host: 10.1.2.3:7301\r\n").0, 200);
    let (status, _, ready) = ask("/readyz", "host: 10.1.2.3:7301\r\n");
    assert_eq!(
        (status, ready.as_str()),
        (200, r#"{"ready":true,"reasons":[]}"#)
    );
    assert_eq!(ask("/metrics", "host: localhost\r\n").0, 401);
    let good = GOOD.replace("TOKEN", &node.token());
    let (status, head, metrics) = ask("/metrics", &good);
    assert_eq!(status, 200);
    assert!(head.contains("openmetrics-text"), "{head}");
    assert!(metrics.contains("# EOF"), "{metrics}");
    let (status, _, body) = ask("/api/v1/status", &good);
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(
        body["origin"]
            .as_str()
            .unwrap()
            .starts_with("local/tollbook/"),
        "{body}"
    );
    assert_eq!(body["not_ready"], json!([]));
}

#[test]
fn a_change_of_another_revision_than_the_one_in_hand_is_refused() {
    let node = Node::start();
    node.json(&["server", "add", "s", "--url", "http://127.0.0.1:9/"]);
    let token = node.token();
    let ask = |method: &str, path: &str, tag: &str, body: &str| {
        node.send(format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nconnection: close\r\nhost: 127.0.0.1\r\n\
             authorization: Bearer {token}\r\n{JSON}if-match: {tag}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let (_, head, _) = ask("GET", "servers/s", "*", "");
    assert!(head.contains("etag: \"1\""), "{head}");
    let moved = r#"{"name":"s","url":"http://127.0.0.1:10/"}"#;
    assert_eq!(ask("PUT", "servers/s", "\"7\"", moved).0, 412);
    assert_eq!(ask("PUT", "servers/s", "7", moved).0, 400);
    let (status, head, body) = ask("PUT", "servers/s", "\"1\"", moved);
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("etag: \"2\""), "{head}");
    assert_eq!(
        node.json(&["server", "show", "s"])["url"],
        "http://127.0.0.1:10/"
    );
    let text = fs::read_to_string(policy("shell-exec.json")).unwrap();
    assert_eq!(ask("PUT", "policies/p", "\"1\"", &text).0, 412);
    assert_eq!(ask("PUT", "policies/p", "\"0\"", &text).0, 200);
    assert_eq!(ask("DELETE", "servers/s", "\"1\"", "").0, 412);
    assert_eq!(ask("DELETE", "servers/s", "\"2\"", "").0, 200);
}

#[test]
fn a_policy_that_is_no_text_is_refused_and_the_one_in_force_stays() {
    let node = Node::start();
    node.json(&["policy", "apply", "p", &policy("shell-exec.json")]);
    let put = |body: &[u8]| {
        let head = format!(
            "PUT /api/v1/policies/p HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\n\
             authorization: Bearer {}\r\n{JSON}content-length: {}\r\n\r\n",
            node.token(),
            body.len()
        );
        let (status, _, body) = node.send([head.as_bytes(), body].concat());
        let problem: Value = serde_json::from_str(&body).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let rows: [(&[u8], u16, &str); 4] = [
        (
            b"{\"version\":\"1\",\"description\":\"\xff\"}",
            400,
            "TB-ADMIN-UTF8",
        ),
        (b"\xef\xbb\xbf{\"version\":\"1\"}", 422, "TB-ADMIN-POLICY"),
        (b"", 422, "TB-ADMIN-POLICY"),
        (&vec![b' '; (1 << 20) + 1], 413, "TB-ADMIN-BODY-TOO-LARGE"),
    ];
    for (body, status, code) in rows {
        assert_eq!(put(body), (status, code.to_owned()));
    }
    assert_eq!(node.json(&["policy", "show", "p"])["revision"], 1);
}
