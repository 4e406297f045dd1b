//! Every message in its place: the whole of what a person reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tollbook_policy::codes;

use super::{check, folder, same, text};

/// The codes of errors that no file of a tree can show: each needs a policy of its own size, which
/// the crate's tests and `hostile.rs` make.
const LARGE: [&str; 6] = [
    "TB-POL-002",
    "TB-POL-004",
    "TB-POL-070",
    "TB-POL-071",
    "TB-POL-072",
    "TB-POL-099",
];

/// Checks each `NAME.json` of a folder against `NAME.txt` in the other; gives their number and all
/// codes that were printed.
fn golden(policies: &Path, texts: &Path) -> (usize, BTreeSet<String>) {
    let (mut count, mut found) = (0, BTreeSet::new());
    let mut names: Vec<String> = fs::read_dir(policies)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    for name in names {
        let output = check(policies, &[&name]);
        let printed = text(&output.stdout);
        let all = format!("exit {}\n{printed}", output.status.code().unwrap());
        same(&texts.join(&name).with_extension("txt"), &all);
        let heads = printed.lines().filter_map(|line| {
            let rest = line
                .strip_prefix("error[")
                .or_else(|| line.strip_prefix("warning["))?;
            rest.split_once(']').map(|(code, _)| code.to_owned())
        });
        found.extend(heads);
        count += 1;
    }
    (count, found)
}

#[test]
fn every_error_is_printed_with_its_place_line_and_help() {
    let errors = folder("tests/cli/check");
    let (count, mut found) = golden(&errors, &errors);
    assert!(count >= 100, "{count}");
    let lint = folder("tests/cli/lint");
    found.extend(golden(&lint, &lint).1);
    found.extend(LARGE.map(str::to_owned));
    found.insert("TB-POL-199".to_owned());
    let all: BTreeSet<String> = codes().iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(found, all);
}

#[test]
fn the_holes_of_the_published_policies_are_named_and_their_strict_versions_have_none() {
    let (count, _) = golden(
        &folder("../../deploy/policies"),
        &folder("tests/cli/published"),
    );
    assert_eq!(count, 13, "seven published ones and six strict ones");
}

#[test]
fn each_warning_is_printed_and_none_of_them_refuses() {
    let lint = folder("tests/cli/lint");
    let (count, _) = golden(&lint, &lint);
    assert!(count >= 30, "{count}");
    for entry in fs::read_dir(&lint).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") {
            continue;
        }
        assert_eq!(check(&lint, &[name]).status.code(), Some(0), "{name}");
        let quiet = ["default_allow_star.json", "open_guarded.json", "quiet.json"];
        let quiet = quiet.contains(&name);
        let denied = check(&lint, &["--deny-warnings", name]).status.code();
        assert_eq!(denied, Some(if quiet { 0 } else { 3 }), "{name}");
    }
}

/// What `docs/errors.md` says of codes is what the program says of them.
#[test]
fn the_documentation_lists_every_code() {
    let page = fs::read_to_string(folder("../../docs/errors.md")).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `TB-POL-"))
        .collect();
    let wanted: Vec<String> = codes()
        .iter()
        .map(|(code, what)| format!("| `{code}` | {what} |"))
        .collect();
    assert_eq!(rows, wanted);
}
