//! Policies that are made to hurt, applied to a node that has a good one.

use std::fs::File;
use std::io::Write as _;

use tempfile::TempDir;

use tollbook_policy::limits;

use crate::node::{Node, policy, text};

/// What the largest has.
const HUNDRED_MEGABYTES: usize = 100 << 20;

#[test]
fn a_policy_that_is_refused_leaves_the_one_in_force() {
    let node = Node::start();
    let good = policy("refund-over-100.json");
    let applied = node.json(&["policy", "apply", "p", &good]);
    let space = TempDir::new().unwrap();
    let path = space.path().join("bad.json");
    let deny_if = |rules: &str| {
        format!(r#"{{"version":"1","tools":{{"create_refund":{{"deny_if":[{rules}]}}}}}}"#)
    };
    let condition = |condition: &str| deny_if(&format!(r#"{{"conditions":[{condition}]}}"#));
    let regex = |pattern: &str| {
        condition(&format!(
            r#"{{"path":"args.a","op":"regex","value":"{pattern}"}}"#
        ))
    };
    let rule = r#"{"conditions":[{"path":"args.a","op":"eq","value":1}]},"#;
    let hostile = [
        (" ".repeat(HUNDRED_MEGABYTES), "TB-POL-002"),
        (deny_if(&rule.repeat(1_000_000)), "TB-POL-002"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), "TB-POL-003"),
        (regex(&"x".repeat(limits::POLICY_BYTES / 2)), "TB-POL-077"),
        (regex("((a{1000}){1000})"), "TB-POL-035"),
        (regex(r"(\\pL{100}\\pN{100}){9}"), "TB-POL-078"),
        (
            condition(&format!(
                r#"{{"path":"args.{}","op":"exists"}}"#,
                "p".repeat(limits::POLICY_BYTES / 2)
            )),
            "TB-POL-076",
        ),
        (deny_if(&"1,".repeat(50_000)), "TB-POL-001"),
        (deny_if(&format!("{}1", "1,".repeat(50_000))), "TB-POL-099"),
    ];
    for (bad, code) in hostile {
        let mut file = File::create(&path).unwrap();
        file.write_all(bad.as_bytes()).unwrap();
        let output = node.run(&["policy", "apply", "p", path.to_str().unwrap()]);
        let said = text(&output.stderr);
        let shown: String = said.chars().take(500).collect();
        assert_eq!(output.status.code(), Some(3), "{code}: {shown}");
        assert!(said.contains(&format!("error[{code}]")), "{code}: {shown}");
        assert_eq!(
            node.json(&["policy", "show", "p"])["digest"],
            applied["digest"]
        );
    }
    let list = node.json(&["policy", "list"]);
    assert_eq!(list[0]["revision"], 1);
    let stopped = node.stop();
    assert!(!stopped.dir.join("run").exists());
}
