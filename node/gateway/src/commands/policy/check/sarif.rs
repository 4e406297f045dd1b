//! Findings as SARIF 2.1.0, for what shows them beside a change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use tollbook_policy::codes;

use super::Checked;
use crate::admin::api::{Finding, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One log with one run. Its columns count characters, which the log says: SARIF's own are UTF-16.
pub(super) fn log(all: &[Checked]) -> Value {
    let indexes: BTreeMap<&str, usize> = (0..).zip(codes()).map(|(at, row)| (row.0, at)).collect();
    let rules: Vec<Value> = codes()
        .iter()
        .map(|(code, what)| json!({ "id": code, "shortDescription": { "text": what } }))
        .collect();
    let results = all.iter().flat_map(|checked| {
        let uri = uri(Path::new(&checked.file));
        checked
            .findings
            .iter()
            .map(|finding| result(finding, &uri, &indexes))
            .collect::<Vec<_>>()
    });
    let results: Vec<Value> = results.collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tollbook",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, uri: &str, indexes: &BTreeMap<&str, usize>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &finding.help {
        Some(help) => format!("{}; {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri },
            "region": {
                "startLine": finding.line,
                "startColumn": finding.column,
                "endLine": finding.end_line,
                "endColumn": finding.end_column,
            },
        },
    });
    if let (Some(location), false) = (location.as_object_mut(), finding.pointer.is_empty()) {
        let pointer = json!([{ "fullyQualifiedName": finding.pointer }]);
        location.insert("logicalLocations".to_owned(), pointer);
    }
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": { "text": text },
        "locations": [location],
    });
    if let (Some(result), Some(index)) = (result.as_object_mut(), indexes.get(&*finding.code)) {
        result.insert("ruleIndex".to_owned(), json!(index));
    }
    result
}

/// The path as an address relative to where the command runs; of one that lies elsewhere, whole.
fn uri(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(&here).unwrap_or(path);
    let path = path.strip_prefix(".").unwrap_or(path);
    let mut uri = String::new();
    if path.is_absolute() {
        uri.push_str("file://");
    }
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(*byte));
            }
            byte => write!(uri, "%{byte:02X}").expect("writing to a `String` does not fail"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_addresses_without_a_character_that_means_something() {
        for (path, wanted) in [
            ("a/b.json", "a/b.json"),
            ("./a.json", "a.json"),
            ("../a.json", "../a.json"),
            ("a b/é#?%:.json", "a%20b/%C3%A9%23%3F%25%3A.json"),
            ("/nowhere/a b.json", "file:///nowhere/a%20b.json"),
        ] {
            assert_eq!(uri(Path::new(path)), wanted, "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(uri(&here.join("x/y.json")), "x/y.json");
    }
}
