//! The commands that talk to a node, and the admin API under them: real processes, real sockets,
//! a directory of their own.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must stop"
)]

mod admin;
mod hostile;
mod node;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use node::{Node, policy, text, tollbook};

/// All revisions of `refunds` are listed, the one in force last.
fn history_is(node: &Node, applied: &[&Value]) {
    let history = node.json(&["policy", "history", "refunds"]);
    let listed = history.as_array().unwrap();
    assert_eq!(listed.len(), applied.len(), "{history}");
    for (one, wanted) in listed.iter().zip(applied) {
        assert_eq!(
            (&one["revision"], &one["digest"]),
            (&wanted["revision"], &wanted["digest"])
        );
    }
}

#[test]
fn a_gate_is_made_used_and_closed_by_commands() {
    let node = Node::start();
    let server = node.json(&["server", "add", "pay", "--url", "http://127.0.0.1:9/mcp"]);
    let id = server["id"].as_str().unwrap();
    let endpoint = server["endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with(&format!("/mcp/{id}/")), "{endpoint}");
    assert_eq!(server["name"], "pay");
    assert_eq!(server.as_object().unwrap().len(), 4, "{server}");

    let file = policy("refund-over-100.json");
    let applied = node.json(&["policy", "apply", "refunds", &file]);
    assert_eq!(applied["revision"], 1);
    assert_eq!(node.json(&["policy", "apply", "refunds", &file]), applied);
    let changed = node.json(&[
        "policy",
        "apply",
        "refunds",
        &policy("refund-over-1000.json"),
    ]);
    assert_eq!(changed["revision"], 2);
    assert_eq!(changed.as_object().unwrap().len(), 3, "{changed}");
    history_is(&node, &[&applied, &changed]);
    let shown = node.run(&["policy", "show", "refunds"]);
    let wanted = fs::read_to_string(policy("refund-over-1000.json")).unwrap();
    assert_eq!(text(&shown.stdout).trim_end(), wanted.trim_end());

    let grant = [
        "grant", "create", "bot", "--server", "pay", "--policy", "refunds", "--owner", "Pat",
    ];
    let created = node.run(&grant);
    let token = text(&created.stdout);
    // The secret alone on stdout, and nowhere else.
    assert_eq!((token.len(), token.trim_end().len()), (56, 55));
    assert!(token.starts_with("tbg_"));
    assert!(!text(&created.stderr).contains(token.trim_end()));
    let made = node.json(&["grant", "create", "bot2", "--server", id, "--expires", "1h"]);
    assert_eq!(
        (&made["server"], &made["policy"]),
        (&json!("pay"), &Value::Null)
    );
    let grants = node.json(&["grant", "list"]);
    assert_eq!(grants.as_array().unwrap().len(), 2);
    assert!(!grants.to_string().contains("tbg_"), "{grants}");

    let in_use = node.run(&["server", "remove", "pay"]);
    assert_eq!(in_use.status.code(), Some(6));
    for name in ["bot", made["id"].as_str().unwrap()] {
        assert_eq!(node.json(&["grant", "revoke", name])["status"], "revoked");
    }
    // Again changes nothing, and the name is free.
    assert_eq!(node.json(&["grant", "revoke", "bot"])["revision"], 2);
    assert!(node.run(&grant).status.success());
    assert!(node.run(&["grant", "revoke", "bot"]).status.success());
    assert_eq!(node.json(&["server", "remove", "pay"])["removed"], true);
    assert_eq!(node.json(&["server", "list"]), json!([]));

    let node = node.stop();
    assert!(!node.dir.join("run").exists());
    let verified = tollbook()
        .args(["audit", "verify", "--strict"])
        .arg(&node.dir)
        .output();
    let verified = verified.unwrap();
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let book = fs::read_dir(node.dir.join("log/seg")).unwrap();
    for segment in book {
        let bytes = fs::read(segment.unwrap().path()).unwrap();
        let secret = token.trim_end().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

/// (arguments, exit code, stable code)
const REFUSALS: &[(&[&str], i32, &str)] = &[
    (
        &["server", "add", "s", "--url", "http://127.0.0.1:9/"],
        6,
        "TB-ADMIN-SERVER-TAKEN",
    ),
    (
        &["server", "add", "a/b", "--url", "http://127.0.0.1:9/"],
        2,
        "TB-ADMIN-NAME",
    ),
    (
        &["server", "add", "", "--url", "http://127.0.0.1:9/"],
        2,
        "TB-ADMIN-NAME",
    ),
    (
        &["server", "add", "x", "--url", "file:///etc/passwd"],
        2,
        "TB-ADMIN-SERVER",
    ),
    (
        &["server", "add", "x", "--url", "nonsense"],
        2,
        "TB-ADMIN-SERVER",
    ),
    (
        &[
            "server",
            "add",
            "x",
            "--url",
            "http://127.0.0.1:9/",
            "--header",
            "A: b",
        ],
        2,
        "TB-ADMIN-SERVER",
    ),
    (
        &[
            "server",
            "add",
            "x",
            "--url",
            "http://127.0.0.1:9/",
            "--header",
            "Host: env:X",
        ],
        2,
        "TB-ADMIN-SERVER",
    ),
    (&["server", "show", "nope"], 6, "TB-ADMIN-SERVER-UNKNOWN"),
    (&["server", "remove", "nope"], 6, "TB-ADMIN-SERVER-UNKNOWN"),
    (&["server", "remove", "s"], 6, "TB-ADMIN-SERVER-IN-USE"),
    (
        &["grant", "create", "g", "--server", "s"],
        6,
        "TB-ADMIN-GRANT-TAKEN",
    ),
    (
        &["grant", "create", "h", "--server", "nope"],
        6,
        "TB-ADMIN-SERVER-UNKNOWN",
    ),
    (
        &["grant", "create", "h", "--server", "s", "--policy", "nope"],
        6,
        "TB-ADMIN-POLICY-UNKNOWN",
    ),
    (
        &["grant", "create", "h", "--server", "s", "--expires", "0s"],
        2,
        "TB-ADMIN-EXPIRES",
    ),
    (
        &["grant", "create", "h", "--server", "s", "--owner", "a\nb"],
        2,
        "TB-ADMIN-OWNER",
    ),
    (
        &["grant", "create", "h h", "--server", "s"],
        2,
        "TB-ADMIN-NAME",
    ),
    (&["grant", "show", "nope"], 6, "TB-ADMIN-GRANT-UNKNOWN"),
    (
        &["grant", "revoke", "../servers/s"],
        6,
        "TB-ADMIN-GRANT-UNKNOWN",
    ),
    (&["policy", "apply", "p", "BAD"], 3, "TB-ADMIN-POLICY"),
    (&["policy", "apply", "p p", "GOOD"], 2, "TB-ADMIN-NAME"),
    (&["policy", "show", "p"], 6, "TB-ADMIN-POLICY-UNKNOWN"),
    (&["policy", "history", "p"], 6, "TB-ADMIN-POLICY-UNKNOWN"),
];

#[test]
fn each_refusal_has_its_exit_code_and_its_stable_code() {
    let node = Node::start();
    let url = "http://127.0.0.1:9/";
    assert!(
        node.run(&["server", "add", "s", "--url", url])
            .status
            .success()
    );
    assert!(
        node.run(&["grant", "create", "g", "--server", "s"])
            .status
            .success()
    );
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/check/unknown_field.json");
    let (bad, good) = (bad.to_str().unwrap().to_owned(), policy("shell-exec.json"));
    for (arguments, exit, code) in REFUSALS {
        let fill = |word: &&'static str| match *word {
            "BAD" => bad.as_str(),
            "GOOD" => good.as_str(),
            word => word,
        };
        let arguments: Vec<&str> = arguments.iter().map(fill).collect();
        let output = node.run(&arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*exit), "{arguments:?}: {said}");
        assert!(
            said.contains(&format!("error[{code}]: ")),
            "{arguments:?}: {said}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    // A second node on the directory, and a token of another node.
    let second = tollbook()
        .args(["serve", "--dir"])
        .arg(&node.dir)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("error[TB-DIR-IN-USE]"),
        "{second:?}"
    );
    let other = TempDir::new().unwrap();
    let other_dir = other.path().join("other");
    assert!(
        tollbook()
            .args(["init", "--dir"])
            .arg(&other_dir)
            .output()
            .unwrap()
            .status
            .success()
    );
    let foreign = tollbook()
        .args([
            "grant",
            "list",
            "--addr",
            &format!("http://{}", node.admin()),
            "--token-file",
        ])
        .arg(other_dir.join("admin.token"))
        .output()
        .unwrap();
    assert_eq!(foreign.status.code(), Some(5), "{foreign:?}");
    assert!(
        text(&foreign.stderr).contains("error[TB-ADMIN-TOKEN]"),
        "{foreign:?}"
    );
}

#[test]
fn the_environment_names_the_node_and_flags_override_it() {
    let node = Node::start();
    let ask = |set: &[(&str, &str)], arguments: &[&str]| {
        let set = set.iter().copied();
        tollbook()
            .args(["server", "list"])
            .args(arguments)
            .envs(set)
            .output()
            .unwrap()
    };
    let dir = node.dir.to_str().unwrap();
    let addr = format!("http://{}", node.admin());
    let token = node.dir.join("admin.token");
    let token = token.to_str().unwrap();
    assert!(ask(&[("TOLLBOOK_DIR", dir)], &[]).status.success());
    let by_address = [
        ("TOLLBOOK_ADDR", addr.as_str()),
        ("TOLLBOOK_TOKEN_FILE", token),
    ];
    assert!(ask(&by_address, &[]).status.success());
    let wrong = [
        ("TOLLBOOK_ADDR", "http://127.0.0.1:1"),
        ("TOLLBOOK_DIR", "/nowhere"),
    ];
    assert_eq!(ask(&wrong, &["--token-file", token]).status.code(), Some(1));
    assert!(ask(&wrong, &["--dir", dir]).status.success());
    assert!(
        ask(&wrong, &["--addr", &addr, "--token-file", token])
            .status
            .success()
    );
}

#[test]
fn the_book_is_searched_by_what_records_say_and_followed_as_it_grows() {
    let node = Node::start();
    node.json(&["server", "add", "s", "--url", "http://127.0.0.1:9/"]);
    let grant = node.json(&["grant", "create", "g", "--server", "s"]);
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = node.run(&[arguments, &["--output", "jsonl"]].concat());
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let all = lines(&["audit", "search"]);
    let indexes: Vec<u64> = all
        .iter()
        .map(|record| record["index"].as_u64().unwrap())
        .collect();
    let wanted: Vec<u64> = (0..).take(indexes.len()).collect();
    assert_eq!(indexes, wanted);
    assert_eq!(all[0]["k"], "genesis");
    let of_grant = lines(&["audit", "search", "--grant", "g"]);
    assert_eq!(of_grant.len(), 1);
    assert_eq!(
        of_grant,
        lines(&["audit", "search", "--grant", grant["id"].as_str().unwrap()])
    );
    assert_eq!(of_grant[0]["action"], "grant_put");
    assert_eq!(
        lines(&["audit", "search", "--server", "s", "--kind", "admin"]).len(),
        1
    );
    assert_eq!(
        lines(&["audit", "search", "--kind", "nope"]),
        [] as [Value; 0]
    );
    let late = lines(&["audit", "search", "--from", "2"]);
    assert_eq!(late[0]["index"], 2);
    assert_eq!(lines(&["audit", "tail", "-n", "1"]).len(), 1);

    let mut follower = tollbook()
        .args([
            "audit", "tail", "-f", "-n", "100", "--output", "jsonl", "--dir",
        ])
        .arg(&node.dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap());
    let mut until = |word: &str| {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(
                followed.read_line(&mut line).unwrap() > 0,
                "it ended before `{word}`"
            );
        }
    };
    // What was there, then what comes while it looks on.
    until("grant_put");
    node.json(&["grant", "revoke", "g"]);
    until("grant_revoke");
    let _stopped = node.stop();
    assert!(follower.wait().unwrap().success());
}
