//! Edges between our crates, and the one user of each heavy library.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Our crates that ship, and whom each may use.
const EDGES: [(&str, &[&str]); 7] = [
    ("tollbook-audit", &[]),
    ("tollbook-mcp", &["tollbook-policy"]),
    (
        "tollbook-node",
        &[
            "tollbook-audit",
            "tollbook-mcp",
            "tollbook-policy",
            "tollbook-raft",
            "tollbook-state",
            "tollbook-storage",
        ],
    ),
    ("tollbook-policy", &[]),
    (
        "tollbook-raft",
        &["tollbook-audit", "tollbook-state", "tollbook-storage"],
    ),
    ("tollbook-state", &["tollbook-audit"]),
    ("tollbook-storage", &["tollbook-audit"]),
];

/// Crates that may use anything and that nothing uses.
const LEAVES: [&str; 5] = [
    "tollbook-bench",
    "tollbook-fuzz",
    "tollbook-loadtest",
    "tollbook-sim",
    "tollbook-tidy",
];

/// Heavy libraries, and the crates that ship and may use each directly.
const HEAVY: [(&str, &[&str]); 6] = [
    ("ed25519-dalek", &["tollbook-audit"]),
    ("hyper", &["tollbook-node"]),
    ("openraft", &["tollbook-raft"]),
    ("regex-automata", &["tollbook-policy"]),
    ("rocksdb", &["tollbook-storage"]),
    ("simd-json", &["tollbook-mcp"]),
];

/// Trees that stay small, with their count of packages (the crate itself included).
const SMALL: [(&str, usize); 3] = [
    ("tollbook-audit", 26),
    ("tollbook-policy", 60),
    ("tollbook-state", 45),
];

/// What no small tree contains.
const NEVER: [&str; 3] = ["openraft", "rocksdb", "tokio"];

struct Metadata(Value);

impl Metadata {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .current_dir(tree::root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
    }

    fn names(&self) -> BTreeMap<&str, &str> {
        let packages = self.0["packages"].as_array().expect("a list of packages");
        packages
            .iter()
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect()
    }

    /// Direct normal dependencies of each of our packages, as its manifest declares them.
    fn declared(&self, name: &str) -> BTreeSet<String> {
        let packages = self.0["packages"].as_array().expect("a list of packages");
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap_or_else(|| panic!("no package {name}"));
        let dependencies = package["dependencies"].as_array().expect("a list");
        let normal = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        normal
            .filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned()))
            .collect()
    }
}

/// Every package in the normal-dependency tree of `name`, with its own features alone.
fn packages(name: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-p",
            name,
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect()
}

#[test]
fn dependencies_between_our_crates_point_one_way() {
    let metadata = Metadata::read();
    let mut findings = Vec::new();
    for (name, allowed) in EDGES {
        let ours = metadata
            .declared(name)
            .into_iter()
            .filter(|used| used.starts_with("tollbook-"));
        for used in ours.filter(|used| !allowed.contains(&used.as_str())) {
            findings.push(format!(
                "{name} uses {used}, which the table in crates.rs does not allow"
            ));
        }
    }
    for (_, name) in metadata.names() {
        let known = EDGES.iter().any(|(ours, _)| *ours == name) || LEAVES.contains(&name);
        if name.starts_with("tollbook-") && !known {
            findings.push(format!("{name} is not in the table in crates.rs"));
        }
    }
    tree::none(&findings);
}

#[test]
fn each_heavy_library_has_one_user() {
    let metadata = Metadata::read();
    let mut findings = Vec::new();
    for (library, users) in HEAVY {
        for (name, _) in EDGES {
            if metadata.declared(name).contains(library) && !users.contains(&name) {
                findings.push(format!(
                    "{name} uses {library}, which is for {users:?} alone"
                ));
            }
        }
    }
    tree::none(&findings);
}

#[test]
fn the_pure_crates_have_small_trees() {
    let mut findings = Vec::new();
    for (name, most) in SMALL {
        let tree = packages(name);
        if tree.len() > most {
            findings.push(format!(
                "{name} pulls {} packages, at most {most}: {tree:?}",
                tree.len()
            ));
        }
        for never in NEVER.iter().filter(|never| tree.contains(**never)) {
            findings.push(format!("{name} pulls {never}"));
        }
    }
    tree::none(&findings);
}
