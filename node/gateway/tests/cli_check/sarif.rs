//! What machines read.

use serde_json::Value;

use super::{check, folder, same, text};

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn json_has_the_whole_place_of_a_finding() {
    let folder = folder("tests/cli/check");
    let output = check(&folder, &["pattern_after_escapes.json", "--output", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&all[0]), ["digest", "file", "findings"]);
    let finding = &all[0]["findings"][0];
    assert_eq!(
        keys(finding),
        [
            "code",
            "column",
            "end_column",
            "end_line",
            "help",
            "line",
            "message",
            "pointer",
            "severity"
        ]
    );
    // The pattern is `é"\\(?=a)`: its `(?=` stands behind two escapes of JSON.
    let source = std::fs::read_to_string(folder.join("pattern_after_escapes.json")).unwrap();
    let line = source.lines().nth(number(&finding["line"]) - 1);
    let place = |name: &str| number(&finding[name]) - 1;
    let chars = line.unwrap().chars();
    let marked: String = chars
        .skip(place("column"))
        .take(place("end_column") - place("column"))
        .collect();
    assert_eq!(marked, "(?=");
    assert_eq!(finding["line"], finding["end_line"]);
}

/// The log was held to the published schema of SARIF 2.1.0 once; this keeps its shape.
#[test]
fn sarif_is_printed_as_it_was_validated() {
    let folder = folder("tests/cli/check");
    let files = ["many_errors.json", "good.json", "../lint/open_address.json"];
    let output = check(&folder, &[&files[..], &["--output", "sarif"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let mut log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let driver = &mut log["runs"][0]["tool"]["driver"];
    assert_eq!(driver["version"], env!("CARGO_PKG_VERSION"));
    driver["version"] = Value::Null;
    let rules = driver["rules"].as_array().unwrap().clone();
    for result in log["runs"][0]["results"].as_array().unwrap() {
        let index = number(&result["ruleIndex"]);
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
    let shown = serde_json::to_string_pretty(&log).unwrap() + "\n";
    same(&folder.join("../sarif.golden"), &shown);
}

#[test]
fn no_other_command_prints_sarif() {
    for arguments in [
        &["policy", "list", "--addr", "http://127.0.0.1:1"][..],
        &["version"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tollbook"))
            .args(arguments)
            .args(["--output", "sarif"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error[TB-USAGE]"), "{said}");
    }
}
