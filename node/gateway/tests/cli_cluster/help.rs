//! What `--help` says, held against a file, so that a flag never changes unseen.

use std::fs;
use std::path::Path;

use crate::node::{text, tollbook};

/// Set `TOLLBOOK_GOLDEN` to write the file anew, and read what changed.
#[test]
fn help_is_what_the_golden_file_says() {
    let mut shown = String::new();
    for arguments in [
        &["cluster"][..],
        &["cluster", "token"],
        &["cluster", "status"],
        &["cluster", "promote"],
        &["cluster", "remove"],
        &["cluster", "transfer"],
        &["cluster", "drain"],
        &["grant", "rotate"],
    ] {
        let output = tollbook().args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let command = arguments.join(" ");
        shown += &format!("$ tollbook {command} --help\n{}\n", text(&output.stdout));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli_cluster/help.txt");
    if std::env::var_os("TOLLBOOK_GOLDEN").is_some() {
        fs::write(&file, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&file).unwrap());
    assert!(shown.lines().all(|line| line.chars().count() <= 100));
}
