//! `grant rotate`, and changes that race.

use serde_json::{Value, json};

use crate::node::{Node, policy, text};

/// A node with a server `s`, a policy `p` and a grant `g`, and the grant's token.
fn with_grant() -> (Node, String) {
    let node = Node::start();
    node.json(&["server", "add", "s", "--url", "http://127.0.0.1:9/"]);
    node.json(&["policy", "apply", "p", &policy("shell-exec.json")]);
    let made = node.json(&["grant", "create", "g", "--server", "s", "--policy", "p"]);
    (
        node,
        made.get("token").unwrap().as_str().unwrap().to_owned(),
    )
}

/// One request to the admin API: its status, and the body as JSON.
fn ask(node: &Node, line: &str, tag: &str, body: &str) -> (u16, Value) {
    let (status, _, body) = node.send(format!(
        "{line} HTTP/1.1\r\nconnection: close\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{tag}content-length: {}\r\n\r\n{body}",
        node.token(),
        body.len()
    ));
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn a_rotated_token_is_printed_alone_and_keeps_the_grants_id() {
    let (node, first) = with_grant();
    let rotated = node.run(&["grant", "rotate", "g"]);
    let (second, said) = (text(&rotated.stdout), text(&rotated.stderr));
    assert!(rotated.status.success(), "{said}");
    assert_eq!((second.len(), second.trim_end().len()), (56, 55));
    assert_eq!(second.get(..17), first.get(..17), "prefix and handle stay");
    assert_ne!(second.trim_end(), first);
    assert!(said.contains("former   valid until "), "{said}");
    assert!(!said.contains(second.trim_end()), "{said}");
    let shown = node.json(&["grant", "show", "g"]);
    assert_eq!(shown["revision"], 2);
    assert!(shown["former_until"].is_string(), "{shown}");

    let third = node.json(&["grant", "rotate", "g", "--overlap", "0s"]);
    assert_eq!(
        (&third["name"], &third["id"], &third["revision"]),
        (&json!("g"), &shown["id"], &json!(3))
    );
    assert_eq!(third["former_until"], Value::Null);
    let shown = node.json(&["grant", "show", "g"]);
    assert_eq!(shown.get("former_until"), None);
    let records = node.run(&["audit", "search", "--grant", "g", "--output", "jsonl"]);
    let actions: Vec<Value> = text(&records.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone())
        .collect();
    assert_eq!(actions, ["grant_put", "grant_rotate", "grant_rotate"]);
    // The longest overlap that there is, though the node's clock is ahead of the log's.
    node.json(&["grant", "rotate", "g", "--overlap", "30d"]);
    let node = node.stop();
    assert!(!node.dir.join("run").exists());
}

#[test]
fn what_cannot_be_rotated_is_refused_with_its_code() {
    let (node, _) = with_grant();
    node.json(&["grant", "create", "gone", "--server", "s"]);
    node.json(&["grant", "revoke", "gone"]);
    let rows: [(&[&str], i32, &str); 4] = [
        (&["grant", "rotate", "nope"], 6, "TB-ADMIN-GRANT-UNKNOWN"),
        (&["grant", "rotate", "gone"], 6, "TB-ADMIN-GRANT-REVOKED"),
        (
            &["grant", "rotate", "g", "--overlap", "31d"],
            2,
            "TB-ADMIN-OVERLAP",
        ),
        (
            &["grant", "rotate", "g", "--overlap", "soon"],
            2,
            "TB-ADMIN-OVERLAP",
        ),
    ];
    for (arguments, exit, code) in rows {
        let output = node.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
        assert!(said.contains(&format!("error[{code}]: ")), "{said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let rotate = "POST /api/v1/grants/g/rotate";
    let (status, problem) = ask(&node, rotate, "if-match: \"9\"\r\n", "{}");
    assert_eq!(
        (status, &problem["code"]),
        (412, &json!("TB-ADMIN-REVISION"))
    );
    let (status, problem) = ask(&node, rotate, "", r#"{"overlap":"1h","more":1}"#);
    assert_eq!((status, &problem["code"]), (400, &json!("TB-ADMIN-JSON")));
    assert_eq!(node.json(&["grant", "show", "g"])["revision"], 1);
}

/// Asks the same of the node from as many threads as it takes for them to overlap.
fn race(node: &Node, line: &str, tag: &str, body: &str) -> Vec<(u16, Value)> {
    let one = || ask(node, line, tag, body);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(one)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    })
}

#[test]
fn of_many_who_change_the_same_at_once_one_wins_and_the_others_are_told() {
    let (node, _) = with_grant();
    let won = |answers: &[(u16, Value)], status: u16, lost: u16, code: &str| {
        let mut others = answers.iter().filter(|(found, _)| *found != status);
        assert_eq!(others.clone().count(), answers.len() - 1, "{answers:?}");
        assert!(
            others.all(|(found, problem)| *found == lost && problem["code"] == code),
            "{answers:?}"
        );
    };
    let first = "if-match: \"1\"\r\n";
    let moved = r#"{"name":"s","url":"http://127.0.0.1:10/"}"#;
    let answers = race(&node, "PUT /api/v1/servers/s", first, moved);
    won(&answers, 200, 412, "TB-ADMIN-REVISION");
    let told = |(_, problem): &&(u16, Value)| {
        let detail = problem["detail"].as_str().unwrap_or_default();
        detail.contains("revision 2")
    };
    assert_eq!(answers.iter().filter(told).count(), answers.len() - 1);
    let rotate = "POST /api/v1/grants/g/rotate";
    won(
        &race(&node, rotate, first, "{}"),
        200,
        412,
        "TB-ADMIN-REVISION",
    );
    let new = r#"{"name":"h","server":"s"}"#;
    let answers = race(&node, "POST /api/v1/grants", "", new);
    won(&answers, 201, 409, "TB-ADMIN-GRANT-TAKEN");
    let new = r#"{"name":"t","url":"http://127.0.0.1:10/"}"#;
    let answers = race(&node, "POST /api/v1/servers", "", new);
    won(&answers, 201, 409, "TB-ADMIN-SERVER-TAKEN");
    assert_eq!(node.json(&["grant", "show", "g"])["revision"], 2);
    assert_eq!(node.json(&["grant", "list"]).as_array().unwrap().len(), 2);
}
