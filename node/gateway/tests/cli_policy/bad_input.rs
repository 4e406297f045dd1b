//! Files that are no policies, no calls and no cases: an error that says so, in bounded time.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::{code, data, run, stderr, stdout};

/// A file of every kind that nobody wants, with its name.
fn files(space: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut made = Vec::new();
    let mut make = |name: &'static str, bytes: &[u8]| {
        let path = space.join(name);
        fs::write(&path, bytes).unwrap();
        made.push((name, path));
    };
    make("empty", b"");
    make("binary", &[0, 159, 146, 150, 255, 0, 1]);
    make("zeros", &[0; 4096]);
    make("latin", b"{\"version\":\"1\",\"description\":\"\xe4\"}");
    make("mark", b"\xef\xbb\xbf{\"version\":\"1\"}");
    make("deep", &b"[".repeat(100_000));
    make("cut", b"{\"version\":\"1\",\"tools\":{");
    make("number", b"7\n");
    let huge = space.join("huge");
    let mut file = File::create(&huge).unwrap();
    file.write_all(b"{\"version\":\"1\",\"policy\":\"\",\"description\":\"")
        .unwrap();
    // 100 MB of a character that any bound on bytes cuts.
    let piece = "é".repeat(500_000);
    for _ in 0..100 {
        file.write_all(piece.as_bytes()).unwrap();
    }
    file.write_all(b"\"}").unwrap();
    made.push(("huge", huge));
    let folder = space.join("folder");
    fs::create_dir(&folder).unwrap();
    made.push(("folder", folder));
    made.push(("missing", space.join("missing")));
    made
}

/// No panic, no silence, and the exit code of something that was refused.
fn refused(output: &Output, what: &str) {
    let said = stderr(output);
    assert!(
        [1, 2, 3].contains(&code(output)),
        "{what}: {} {said}",
        code(output)
    );
    assert!(said.contains("error[TB-"), "{what}: {said}");
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert!(said.len() < 4_000, "{what}: {}", said.len());
}

#[test]
fn no_policy_is_refused_by_every_command() {
    let space = TempDir::new().unwrap();
    let call = data("eval/calls.jsonl");
    let (good, call) = (data("fmt/laid.json"), call.to_str().unwrap());
    let good = good.to_str().unwrap();
    for (name, path) in files(space.path()) {
        let path = path.to_str().unwrap();
        for arguments in [
            &[
                "policy", "eval", "--policy", path, "--call", call, "--jsonl", "--trace",
            ][..],
            &["policy", "diff", path, good],
            &["policy", "diff", good, path],
            &["policy", "fmt", path],
            &["policy", "fmt", "--check", path],
            &["policy", "test", path],
        ] {
            let output = run(arguments);
            refused(&output, &format!("{name} {arguments:?}"));
            assert!(
                output.stdout.is_empty(),
                "{name} {arguments:?}: {}",
                stdout(&output)
            );
        }
        let cases = space.path().join("cases.json");
        let text =
            r#"{"policy":"NAME","cases":[{"name":"n","expect":"deny","call":{"tool":"t"}}]}"#;
        fs::write(&cases, text.replace("NAME", name)).unwrap();
        let output = run(&["policy", "test", cases.to_str().unwrap()]);
        refused(&output, name);
        assert_eq!(code(&output), 2, "{name}");
        assert!(
            stderr(&output).contains("error[TB-TEST-POLICY]"),
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn no_call_is_malformed_and_nothing_worse() {
    let space = TempDir::new().unwrap();
    let policy = data("eval/refunds.json");
    let policy = policy.to_str().unwrap();
    for (name, path) in files(space.path()) {
        let path = path.to_str().unwrap();
        let whole = [
            "policy", "eval", "--policy", policy, "--call", path, "--trace",
        ];
        let output = run(&whole);
        if ["folder", "missing"].contains(&name) {
            refused(&output, name);
            assert_eq!(code(&output), 1, "{name}");
            continue;
        }
        assert_eq!(code(&output), 3, "{name}: {}", stderr(&output));
        assert!(
            stdout(&output).starts_with("{\"verdict\":\"malformed\""),
            "{name}"
        );
        assert!(
            stdout(&output).ends_with("\"trace\":[]}\n"),
            "{name}: {}",
            stdout(&output)
        );
        let lines = run(&["policy", "diff", policy, policy, "--calls", path]);
        assert_eq!(code(&lines), 0, "{name}: {}", stderr(&lines));
    }
}

#[test]
fn a_policy_of_thousands_of_rules_is_traced_and_diffed() {
    let space = TempDir::new().unwrap();
    let condition = r#"{"path":"args.a[*].b","op":"in","value":["x"]}"#;
    let rule = format!("{{\"conditions\":[{condition}]}}");
    let rules = vec![rule; 3_000].join(",");
    let text = format!(r#"{{"version":"1","tools":{{"t":{{"deny_if":[{rules}]}}}}}}"#);
    let (old, new) = (space.path().join("old.json"), space.path().join("new.json"));
    fs::write(&old, &text).unwrap();
    fs::write(&new, text.replace("\"x\"", "\"y\"")).unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let calls = space.path().join("calls.jsonl");
    let elements = vec![r#"{"b":"z"}"#; 2_000].join(",");
    fs::write(
        &calls,
        format!(r#"{{"tool":"t","arguments":{{"a":[{elements}]}}}}"#),
    )
    .unwrap();
    let calls = calls.to_str().unwrap();
    let traced = run(&[
        "policy", "eval", "--policy", old, "--call", calls, "--trace",
    ]);
    assert_eq!(code(&traced), 0, "{}", stderr(&traced));
    let tree = [
        "policy", "eval", "--policy", old, "--call", calls, "--trace", "--output", "table",
    ];
    let tree = run(&tree);
    assert_eq!(stdout(&tree).matches("2000 read").count(), 3_000);
    let found = run(&["policy", "diff", old, new, "--calls", calls]);
    assert_eq!(code(&found), 0, "{}", stderr(&found));
    assert_eq!(
        stdout(&found)
            .matches("changes   t: `deny_if` changes")
            .count(),
        3_000
    );
}

#[test]
fn a_policy_that_would_be_too_large_laid_out_is_left_alone() {
    let space = TempDir::new().unwrap();
    let file = space.path().join("packed.json");
    let value = vec!["1"; 90_000].join(",");
    let text = format!(
        r#"{{"version":"1","tools":{{"t":{{"require":[{{"conditions":[
        {{"path":"args.n","op":"in","value":[{value}]}}]}}]}}}}}}"#
    );
    fs::write(&file, &text).unwrap();
    let laid = run(&["policy", "fmt", file.to_str().unwrap()]);
    assert_eq!(code(&laid), 3, "{}", stderr(&laid));
    let said = stderr(&laid);
    assert!(said.starts_with("error[TB-POL-002]: laid out, "), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}
