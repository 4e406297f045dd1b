//! The commands that need no node, as a person runs them: the real program, its output and what it
//! exits with.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must stop; its files need not last"
)]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

fn tollbook() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    for variable in ["TOLLBOOK_DIR", "TOLLBOOK_ADDR", "TOLLBOOK_TOKEN_FILE"] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    tollbook()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs with `input` on standard input.
fn run_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tollbook()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want all of it is no failure of the test.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli")
        .join(name)
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

#[test]
fn init_makes_a_directory_once() {
    let space = TempDir::new().unwrap();
    let dir = space.path().join("node");
    let dir = dir.to_str().unwrap();
    let made = run(&[
        "init",
        "--dir",
        dir,
        "--origin",
        "acme.example",
        "--output",
        "json",
    ]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let said: Value = serde_json::from_slice(&made.stdout).unwrap();
    let origin = said["origin"].as_str().unwrap();
    assert!(origin.starts_with("acme.example/tollbook/"), "{origin}");
    assert!(
        said["log_key"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{origin}+"))
    );
    for name in [
        "tollbook.toml",
        "admin.token",
        "trust.policy",
        "keys",
        "db",
        "log",
    ] {
        assert!(Path::new(dir).join(name).exists(), "{name}");
    }
    let token = Path::new(dir).join("admin.token");
    let secret = fs::read_to_string(&token).unwrap();
    assert!(secret.starts_with("tba_"));
    assert!(!stdout(&made).contains(secret.trim()));
    assert!(!stderr(&made).contains(secret.trim()));
    assert_eq!(
        fs::metadata(&token).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let again = run(&["init", "--dir", dir]);
    assert_eq!(code(&again), 2);
    assert!(
        stderr(&again).starts_with("error[TB-DIR-NOT-EMPTY]"),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read_to_string(&token).unwrap(), secret);
}

#[test]
fn init_writes_the_addresses_that_it_was_given() {
    let space = TempDir::new().unwrap();
    let dir = space.path().to_str().unwrap();
    let made = run(&[
        "init",
        "--dir",
        dir,
        "--listen",
        "0.0.0.0:0",
        "--admin",
        "[::1]:1",
        "--peer",
        "h:2",
        "--advertise-peer",
        "node-1.example:2",
    ]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let text = fs::read_to_string(space.path().join("tollbook.toml")).unwrap();
    for line in [
        "data = \"0.0.0.0:0\"",
        "admin = \"[::1]:1\"",
        "peer = \"h:2\"",
        "advertise_peer = \"node-1.example:2\"",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// (arguments, exit code, a part of stderr)
const WRONG: &[(&[&str], i32, &str)] = &[
    (&[], 2, "Usage: tollbook"),
    (
        &["sevre"],
        2,
        "tip: some similar subcommands exist: 'server', 'serve'",
    ),
    (
        &["--nope"],
        2,
        "error[TB-USAGE]: unexpected argument '--nope'",
    ),
    (&["init"], 2, "error[TB-USAGE]"),
    (
        &["init", "--dir", "/tmp/x", "--listen", "7300"],
        2,
        "give HOST:PORT",
    ),
    (
        &["init", "--dir", "/tmp/x", "--listen", "a:99999"],
        2,
        "give HOST:PORT",
    ),
    (&["init", "--dir", "/dev/null/x"], 1, "error[TB-DIR-IO]"),
    (
        &["init", "--dir", "/tmp/never-made", "--origin", "a b"],
        2,
        "error[TB-USAGE]",
    ),
    (
        &["init", "--dir", "/tmp/never-made", "--origin", ""],
        2,
        "error[TB-USAGE]",
    ),
    (&["serve"], 2, "error[TB-USAGE]"),
    (&["serve", "--dir", "/nowhere"], 2, "error[TB-DIR-MISSING]"),
    (&["grant", "list"], 2, "error[TB-CLIENT-NO-NODE]"),
    (
        &["grant", "list", "--addr", "http://127.0.0.1:1"],
        2,
        "error[TB-CLIENT-NO-TOKEN]",
    ),
    (
        &[
            "grant",
            "list",
            "--addr",
            "127.0.0.1:1",
            "--token-file",
            "/x",
        ],
        2,
        "TB-CLIENT-ADDRESS",
    ),
    (
        &[
            "grant",
            "list",
            "--addr",
            "https://h:1",
            "--token-file",
            "/x",
        ],
        2,
        "TB-CLIENT-ADDRESS",
    ),
    (
        &[
            "grant",
            "list",
            "--addr",
            "http://h:1/x",
            "--token-file",
            "/x",
        ],
        2,
        "TB-CLIENT-ADDRESS",
    ),
    (
        &["grant", "list", "--dir", "/nowhere"],
        2,
        "error[TB-CONFIG-READ]",
    ),
    (&["grant", "create", "x"], 2, "--server"),
    (&["server", "add", "x"], 2, "--url"),
    (
        &[
            "server",
            "add",
            "x",
            "--url",
            "http://h/",
            "--header",
            "secret",
        ],
        2,
        "Name: file:PATH",
    ),
    (&["policy", "check"], 2, "error[TB-USAGE]"),
    (
        &["policy", "check", "/nowhere.json"],
        1,
        "error[TB-FILE-READ]",
    ),
    (
        &["policy", "eval", "--policy", "/nowhere.json", "--call", "-"],
        1,
        "error[TB-FILE-READ]",
    ),
    (&["audit", "verify"], 2, "error[TB-USAGE]"),
    (
        &["audit", "search", "--verdict", "maybe", "--dir", "/x"],
        2,
        "possible values: allow, deny",
    ),
    (
        &["audit", "tail", "--lines", "-1", "--dir", "/x"],
        2,
        "error[TB-USAGE]",
    ),
];

#[test]
fn a_wrong_command_line_says_so_and_does_nothing() {
    for (arguments, exit, part) in WRONG {
        let output = run(arguments);
        assert_eq!(code(&output), *exit, "{arguments:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(part),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(!Path::new("/tmp/never-made").exists());
}

#[test]
fn help_and_version_are_data() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["grant", "create", "--help"],
        &["policy", "eval", "--help"],
        &["audit", "verify", "--help"],
        &["--version"],
        &["version"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
        let widest = stdout(&output)
            .lines()
            .map(|line| line.chars().count())
            .max();
        assert!(widest <= Some(100), "{arguments:?} {widest:?}");
    }
    let json: Value =
        serde_json::from_slice(&run(&["version", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        json,
        json!({ "name": "tollbook", "version": env!("CARGO_PKG_VERSION") })
    );
}

#[test]
fn warnings_refuse_only_where_they_are_denied() {
    let file = data("check/warnings.json");
    let file = file.to_str().unwrap();
    let lenient = run(&["policy", "check", file]);
    assert_eq!(code(&lenient), 0);
    assert!(
        stdout(&lenient).starts_with("warning[TB-POL-1"),
        "{}",
        stdout(&lenient)
    );
    assert_eq!(code(&run(&["policy", "check", "--deny-warnings", file])), 3);
    let good = data("check/good.json");
    assert_eq!(
        code(&run(&[
            "policy",
            "check",
            "--deny-warnings",
            good.to_str().unwrap()
        ])),
        0
    );
}

#[test]
fn findings_as_json_name_file_code_and_place() {
    let (bad, good) = (data("check/unknown_field.json"), data("check/good.json"));
    let (bad, good) = (bad.to_str().unwrap(), good.to_str().unwrap());
    let output = run(&["policy", "check", bad, good, "--output", "json"]);
    assert_eq!(code(&output), 3);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked[0]["file"], bad);
    assert_eq!(checked[0]["digest"], Value::Null);
    let finding = &checked[0]["findings"][0];
    assert_eq!(finding["severity"], "error");
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&json!(4), &json!(3))
    );
    assert_eq!(finding["pointer"], "/tols");
    assert_eq!(checked[1]["findings"], json!([]));
    assert_eq!(checked[1]["digest"].as_str().unwrap().len(), 64);
    let lines = run(&["policy", "check", bad, good, "--output", "jsonl"]);
    assert_eq!(stdout(&lines).lines().count(), 2);
}

#[test]
fn every_published_policy_loads_and_gives_every_published_verdict() {
    let rows = fs::read_to_string(root("node/policy/tests/data/calls.jsonl")).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(rows.len(), 89);
    let mut names: Vec<&str> = rows
        .iter()
        .map(|row| row["policy"].as_str().unwrap())
        .collect();
    names.dedup();
    assert_eq!(names.len(), 7);
    for name in names {
        let policy = root("deploy/policies").join(name);
        let policy = policy.to_str().unwrap();
        assert_eq!(code(&run(&["policy", "check", policy])), 0, "{name}");
        let rows: Vec<&Value> = rows.iter().filter(|row| row["policy"] == name).collect();
        let calls: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let eval = [
            "policy", "eval", "--policy", policy, "--call", "-", "--jsonl",
        ];
        let output = run_with(&eval, calls.as_bytes());
        let verdicts: Vec<Value> = stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(verdicts.len(), rows.len(), "{name}: {}", stderr(&output));
        for (verdict, row) in verdicts.iter().zip(&rows) {
            for field in ["verdict", "rule", "message"] {
                assert_eq!(verdict[field], row[field], "{field} of {row}");
            }
        }
        let denied = rows.iter().any(|row| row["verdict"] != "allow");
        assert_eq!(code(&output), if denied { 3 } else { 0 }, "{name}");
    }
}

const REFUNDS: &str = r#"{"version":"1","default":"deny","tools":{
    "refund":{"deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100}],
                          "on_deny":"Too much."}],
              "limits":[{"counter":"n","window":"day","scope":"grant","max":2}]}}}"#;

fn refunds(space: &TempDir) -> String {
    let path = space.path().join("refunds.json");
    fs::write(&path, REFUNDS).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn one_call_prints_one_verdict_with_all_its_fields() {
    let space = TempDir::new().unwrap();
    let policy = refunds(&space);
    let eval = ["policy", "eval", "--policy", &policy, "--call", "-"];
    let allowed = run_with(
        &eval,
        b"{\"tool\": \"refund\",\n \"arguments\": {\"amount\": 100}}",
    );
    assert_eq!(code(&allowed), 0, "{}", stderr(&allowed));
    let line = "{\"verdict\":\"allow\",\"rule\":null,\"pointer\":null,\"reason\":null,\
                \"message\":null}\n";
    assert_eq!(stdout(&allowed), line);
    let denied = run_with(&eval, br#"{"tool":"refund","arguments":{"amount":500000}}"#);
    assert_eq!(code(&denied), 3);
    let verdict: Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(
        verdict,
        json!({
            "verdict": "deny",
            "rule": "/tools/refund/deny_if/args.amount-gt",
            "pointer": "/tools/refund/deny_if/0/conditions/0",
            "reason": null,
            "message": "Too much."
        })
    );
}

#[test]
fn counters_start_at_zero_and_add_up_over_the_lines_of_one_run() {
    let space = TempDir::new().unwrap();
    let policy = refunds(&space);
    let calls = space.path().join("calls.jsonl");
    let call = r#"{"tool":"refund","arguments":{"amount":1}}"#;
    // A denied call charges nothing, a blank line is no call, the last needs no line feed.
    let dear = r#"{"tool":"refund","arguments":{"amount":101}}"#;
    fs::write(&calls, format!("{call}\n{dear}\n\n{call}\n{call}")).unwrap();
    let calls = calls.to_str().unwrap();
    for _ in 0..2 {
        let output = run(&[
            "policy", "eval", "--policy", &policy, "--call", calls, "--jsonl",
        ]);
        assert_eq!(code(&output), 3);
        let verdicts: Vec<Value> = stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let words: Vec<&str> = verdicts
            .iter()
            .map(|v| v["verdict"].as_str().unwrap())
            .collect();
        assert_eq!(words, ["allow", "deny", "allow", "deny"]);
        assert_eq!(verdicts[3]["rule"], "/tools/refund/limits/n");
        assert_eq!(verdicts[3]["reason"], "limit");
    }
}

/// (call, reason)
const MALFORMED: &[(&str, &str)] = &[
    ("", "json"),
    ("{", "json"),
    ("[]", "object"),
    ("null", "object"),
    ("{}", "tool"),
    (r#"{"tool":1}"#, "tool"),
    (r#"{"tool":""}"#, "tool"),
    (r#"{"tool":"refund","arguments":null}"#, "arguments"),
    (r#"{"tool":"refund","arguments":[1]}"#, "arguments"),
    (r#"{"tool":"refund","tool":"x"}"#, "json"),
    (
        r#"{"tool":"refund","arguments":{"a":1,"\u0061":2}}"#,
        "json",
    ),
    (r#"{"tool":"refund","arguments":{"__proto__":1}}"#, "json"),
    (r#"{"tool":"refund","arguments":{"a":1e999}}"#, "json"),
    (
        r#"{"tool":"refund","arguments":{"a":18446744073709551616}}"#,
        "json",
    ),
    (r#"{"tool":"refund","arguments":{"a":"\ud800"}}"#, "json"),
    (r#"{"tool":"refund"} {}"#, "json"),
];

#[test]
fn what_can_be_read_in_two_ways_is_malformed() {
    let space = TempDir::new().unwrap();
    let policy = refunds(&space);
    let eval = ["policy", "eval", "--policy", &policy, "--call", "-"];
    for (call, reason) in MALFORMED {
        let output = run_with(&eval, call.as_bytes());
        assert_eq!(code(&output), 3, "{call}");
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdict["verdict"], "malformed", "{call}");
        assert_eq!(verdict["reason"], *reason, "{call}: {verdict}");
        assert!(verdict["message"].is_string(), "{call}");
    }
    let output = run_with(&eval, b"{\"tool\":\"\xff\"}");
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["reason"], "utf8");
}

#[test]
fn a_bad_policy_judges_nothing() {
    let bad = data("check/unknown_field.json");
    let eval = [
        "policy",
        "eval",
        "--policy",
        bad.to_str().unwrap(),
        "--call",
        "-",
    ];
    let output = run_with(&eval, br#"{"tool":"create_refund"}"#);
    assert_eq!(code(&output), 3);
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("error[TB-POL-010]"),
        "{}",
        stderr(&output)
    );
}

/// Evaluates `call` ten thousand times into a pipe that nobody reads.
fn evaluated_for_nobody(policy: &str, call: &str) -> Output {
    let mut child = tollbook()
        .args([
            "policy", "eval", "--policy", policy, "--call", "-", "--jsonl",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    // The program ends at its first line; what is left has no reader.
    drop(input.write_all(format!("{call}\n").repeat(10_000).as_bytes()));
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_changes_no_verdict() {
    let space = TempDir::new().unwrap();
    let policy = refunds(&space);
    for (amount, exit) in [(1, 0), (500_000, 3)] {
        let call = format!(r#"{{"tool":"refund","arguments":{{"amount":{amount}}}}}"#);
        let output = evaluated_for_nobody(&policy, &call);
        assert_eq!(stderr(&output), "");
        assert_eq!(code(&output), exit);
    }
}

#[test]
fn a_directory_without_a_book_cannot_be_verified() {
    let space = TempDir::new().unwrap();
    let dir = space.path().join("node");
    let dir = dir.to_str().unwrap();
    assert_eq!(code(&run(&["init", "--dir", dir])), 0);
    for place in [dir, "/nowhere"] {
        let output = run(&["audit", "verify", place, "--json"]);
        assert_eq!(code(&output), 4, "{place}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["verdict"], "unreadable", "{report}");
    }
}

#[test]
fn a_node_that_does_not_run_is_never_sent_the_token() {
    let space = TempDir::new().unwrap();
    let dir = space.path().join("node");
    let dir = dir.to_str().unwrap();
    assert_eq!(
        code(&run(&["init", "--dir", dir, "--admin", "127.0.0.1:0"])),
        0
    );
    let refused = || {
        let output = run(&["grant", "list", "--dir", dir]);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.starts_with("error[TB-CLIENT-NOT-RUNNING]"), "{said}");
    };
    refused();
    // It was killed, and another program has got its port since.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gone = tollbook()
        .arg("version")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    gone.wait().unwrap();
    let admin = format!("http://{}", other.local_addr().unwrap());
    let left = json!({ "data": "http://127.0.0.1:1", "admin": admin, "pid": gone.id() });
    fs::write(space.path().join("node/run"), left.to_string()).unwrap();
    refused();
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err());
}
