//! `cluster …` where one node is the cluster.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::node::{Node, text, tollbook};

#[test]
fn the_status_of_a_cluster_of_one_says_how_its_node_does() {
    let node = Node::start();
    let status = node.json(&["cluster", "status"]);
    let origin = status["cluster"].as_str().unwrap();
    assert!(origin.starts_with("local/tollbook/"), "{status}");
    assert_eq!(
        (&status["leader"], &status["version"]),
        (&json!(1), &json!(1))
    );
    assert!(status["term"].as_u64().unwrap() >= 1, "{status}");
    let [one] = status["nodes"].as_array().unwrap().as_slice() else {
        panic!("one node: {status}");
    };
    let wanted = json!({ "id": 1, "role": "leader", "up": true, "lag": 0, "starts": 1, "calls": 0,
        "heard_ms": null, "clock_ahead_us": null, "not_ready": [] });
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&one[field], value, "{field}: {status}");
    }
    assert!(one["applied"].as_u64().unwrap() > 1, "{status}");
    assert!(
        one["data"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    let version = format!("tollbook {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(one["version"], version);
    let sync = |name: &str| one["sync"][name].as_u64().unwrap();
    assert!(0 < sync("p50_us") && sync("p50_us") <= sync("p99_us"));
    assert_eq!(
        (&one["book"]["whole"], &one["book"]["from"]),
        (&json!(true), &json!(0))
    );
    let before = one["applied"].as_u64().unwrap();
    node.json(&["server", "add", "s", "--url", "http://127.0.0.1:9/"]);
    let status = node.json(&["cluster", "status"]);
    assert!(status["nodes"][0]["applied"].as_u64().unwrap() > before);

    let shown = node.run(&["cluster", "status"]);
    let table = text(&shown.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    for head in ["ID", "NAME", "ROLE", "APPLIED", "LAG", "CLOCK", "BOOK"] {
        assert!(lines[0].contains(head), "{table}");
    }
    for cell in ["leader", "yes", "whole", &version] {
        assert!(lines[1].contains(cell), "{table}");
    }
    assert!(text(&shown.stderr).contains(origin), "{shown:?}");
}

#[test]
fn what_would_leave_no_cluster_is_refused_with_its_code() {
    let node = Node::start();
    let rows: [(&[&str], &str, &str); 7] = [
        (&["promote", "nope"], "TB-CLUSTER-NODE-UNKNOWN", "`nope`"),
        (&["promote", "2"], "TB-CLUSTER-NODE-UNKNOWN", "`2`"),
        (&["remove", "2"], "TB-CLUSTER-NODE-UNKNOWN", "`2`"),
        (&["remove", "../x"], "TB-CLUSTER-NODE-UNKNOWN", "`../x`"),
        (&["remove", "1"], "TB-CLUSTER-IMPOSSIBLE", "the only voter"),
        (&["transfer"], "TB-CLUSTER-NO-VOTER", "no other voter"),
        (&["transfer", "--to", "2"], "TB-CLUSTER-NODE-UNKNOWN", "`2`"),
    ];
    let before = node.json(&["cluster", "status"]);
    for (arguments, code, part) in rows {
        let output = node.run(&[&["cluster"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{arguments:?}: {said}");
        assert!(said.contains(&format!("error[{code}]: ")), "{said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let after = node.json(&["cluster", "status"]);
    assert_eq!(after["term"], before["term"]);
    let role = |status: &Value| status["nodes"][0]["role"].clone();
    assert_eq!(role(&after), role(&before));
}

#[test]
fn a_change_that_is_true_already_changes_nothing() {
    let node = Node::start();
    let name = node.json(&["cluster", "status"])["nodes"][0]["name"].clone();
    let name = name.as_str().unwrap();
    for by in ["1", name] {
        let promoted = node.json(&["cluster", "promote", by]);
        assert_eq!(promoted, json!({ "id": 1, "name": name, "role": "leader" }));
    }
    let done = node.json(&["cluster", "transfer", "--to", name]);
    assert_eq!(done, json!({ "from": 1, "leader": 1 }));
    let done = node.run(&["cluster", "transfer", "--to", "1"]);
    assert_eq!(text(&done.stdout), "node 1 leads\n");
}

#[test]
fn a_join_token_is_printed_alone_and_used_up_by_one_node() {
    let node = Node::start();
    let made = node.run(&["cluster", "token"]);
    let (token, said) = (text(&made.stdout), text(&made.stderr));
    assert!(made.status.success(), "{said}");
    let (secret, fingerprint) = token.trim_end().split_once('.').unwrap();
    assert!(secret.starts_with("tbj_"), "{said}");
    assert_eq!((secret.len(), fingerprint.len()), (55, 64));
    assert!(!said.contains(secret), "{said}");
    let other = node.json(&["cluster", "token"]);
    let (other_secret, same) = other["token"].as_str().unwrap().split_once('.').unwrap();
    assert_ne!(other_secret, secret);
    assert_eq!(same, fingerprint, "one cluster, one authority");
    let peer = other["peer"].as_str().unwrap();
    assert!(
        said.contains(&format!("tollbook join {peer} --dir D")),
        "{said}"
    );

    let file = node.dir.with_file_name("join.token");
    fs::write(&file, &token).unwrap();
    let join = |name: &str| {
        let mut join = tollbook();
        join.args(["join", peer]);
        for listener in ["--listen", "--admin", "--peer"] {
            join.args([listener, "127.0.0.1:0"]);
        }
        join.arg("--token-file")
            .arg(&file)
            .arg("--dir")
            .arg(node.dir.with_file_name(name))
            .output()
            .unwrap()
    };
    let joined = join("second");
    assert!(joined.status.success(), "{joined:?}");
    let status = node.json(&["cluster", "status"]);
    let roles = |field: &str| {
        let nodes = status["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node[field].clone()).collect::<Vec<_>>()
    };
    assert_eq!(roles("role"), ["leader", "learner"]);
    assert_eq!(roles("up"), [true, false]);
    let refused = join("third");
    assert!(!refused.status.success(), "{refused:?}");
    let records = node.run(&["audit", "search", "--kind", "admin", "--output", "jsonl"]);
    let records = text(&records.stdout);
    for action in ["join_token_put", "join", "join_refused"] {
        assert!(
            records.contains(&format!("\"action\":\"{action}\"")),
            "{records}"
        );
    }
    assert!(!records.contains(secret), "{records}");

    // A learner that does not answer has not caught up, and what it would stop says so.
    let promoted = node.run(&["cluster", "promote", "2"]);
    assert_eq!(promoted.status.code(), Some(6), "{promoted:?}");
    assert!(text(&promoted.stderr).contains("error[TB-CLUSTER-IMPOSSIBLE]: "));
    let removed = node.json(&["cluster", "remove", "2"]);
    assert_eq!(
        (&removed["id"], &removed["role"]),
        (&json!(2), &Value::Null)
    );
    let status = node.json(&["cluster", "status"]);
    assert_eq!(status["nodes"].as_array().unwrap().len(), 1);
}

/// Status and body of a request on a connection of its own.
fn raw(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn a_drained_node_takes_no_calls_but_changes_until_it_is_stopped() {
    let node = Node::start();
    node.json(&["server", "add", "s", "--url", "http://127.0.0.1:9/"]);
    let grant = node.json(&["grant", "create", "g", "--server", "s"]);
    let ready = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(&node.admin(), ready).0, 200);
    let (host, path) = grant["endpoint"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .and_then(|url| url.split_once('/'))
        .unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#;
    let call = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2025-11-25\r\ncontent-length: {}\r\n\r\n{body}",
        grant["token"].as_str().unwrap(),
        body.len()
    );
    assert_eq!(raw(host, &call).0, 200, "denied, not refused");

    let drained = node.run(&["cluster", "drain"]);
    assert!(drained.status.success(), "{drained:?}");
    let said = text(&drained.stdout);
    assert!(
        said.ends_with("takes no new calls; 0 are on their way\n"),
        "{said}"
    );
    // There is nobody else who could lead.
    assert!(text(&drained.stderr).contains("it still leads"));
    let (status, answer) = raw(&node.admin(), ready);
    assert_eq!(status, 503);
    assert!(answer.ends_with(r#"{"ready":false,"reasons":["draining"]}"#));
    let (status, answer) = raw(host, &call);
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("retry-after: 1"),
        "{answer}"
    );
    let again = node.json(&["cluster", "drain"]);
    assert_eq!((&again["id"], &again["leader"]), (&json!(1), &json!(1)));
    let status = node.json(&["cluster", "status"]);
    assert_eq!(status["nodes"][0]["not_ready"], json!(["draining"]));
    // What takes rights away is taken all the same.
    assert_eq!(node.json(&["grant", "revoke", "g"])["status"], "revoked");
    let node = node.stop();
    assert!(!node.dir.join("run").exists());
}
