//! Pages that must not drift from their source.

use sha2::{Digest, Sha256};

use crate::tree;

/// (page, the sources that it describes).
const PAGES: [(&str, &[&str]); 2] = [
    ("node/policy/FORMAT.md", &["node/policy/src/digest.rs"]),
    (
        "storage/audit/FORMAT.md",
        &[
            "storage/audit/src/encode.rs",
            "storage/audit/src/frame.rs",
            "storage/audit/src/head.rs",
            "storage/audit/src/limits.rs",
            "storage/audit/src/note.rs",
            "storage/audit/src/record.rs",
        ],
    ),
];

/// A page carries a line `Describes <path> at sha256 <first 16 hex digits>` for each source.
#[test]
fn pages_describe_the_sources_as_they_are() {
    let mut findings = Vec::new();
    for (page, sources) in PAGES {
        let text = tree::read(page);
        for source in sources {
            let digest = Sha256::digest(tree::read(source).as_bytes());
            let hex: String = digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let line = format!("Describes `{source}` at sha256 {hex}");
            if !text.contains(&line) {
                findings.push(format!(
                    "{source} changed: read {page}, mend it where it is no longer true, and put \
                     there: {line}"
                ));
            }
        }
    }
    tree::none(&findings);
}

/// Every field of `Limits` and `Deadlines` is a row of README's table.
#[test]
fn every_limit_is_in_the_readme() {
    let readme = tree::read("README.md");
    let limits = tree::read("node/gateway/src/limits.rs");
    let mut findings = Vec::new();
    for line in limits.lines().filter(|line| line.starts_with("    pub ")) {
        let name = line
            .trim_start_matches("    pub ")
            .split(':')
            .next()
            .unwrap_or_default();
        if !name.contains(' ') && !readme.contains(&format!("`{name}`")) {
            findings.push(format!("README.md does not name the limit `{name}`"));
        }
    }
    tree::none(&findings);
}

/// Every variant of `Refusal` has a row in its table and a case in the way tests.
#[test]
fn every_refusal_is_shown_and_tried() {
    let source = tree::read("node/gateway/src/refusal.rs");
    let begin = source.find("enum Refusal {").expect("the enum is there");
    let rest = source.get(begin..).unwrap_or_default();
    let body = rest
        .get(..rest.find("\n}").unwrap_or(rest.len()))
        .unwrap_or_default();
    let tried: String = tree::sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("node/gateway/tests/"))
        .map(|(_, text)| text)
        .chain(
            tree::files()
                .into_iter()
                .filter(|path| path.starts_with("node/gateway/tests/way/"))
                .map(|path| tree::read(&path)),
        )
        .collect();
    let mut findings = Vec::new();
    for line in body
        .lines()
        .filter(|line| line.starts_with("    ") && !line.contains("///"))
    {
        let name: String = line
            .trim()
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect();
        if name.is_empty() || name == "pub" {
            continue;
        }
        if !source.contains(&format!("Self::{name}")) {
            findings.push(format!("Refusal::{name} has no row"));
        }
        if !tried.contains(&name) {
            findings.push(format!("Refusal::{name} has no case in node/gateway/tests"));
        }
    }
    tree::none(&findings);
}
