//! `tollbook policy check` as people and machines see it: golden files of all that it prints, and
//! files that are made to hurt it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must stop; its files need not last"
)]

mod golden;
mod hostile;
mod sarif;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, for a folder that the files are named from.
fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollbook"))
        .args(["policy", "check"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares with a golden file, or writes it when `TOLLBOOK_BLESS` is set: to be read then.
fn same(golden: &Path, found: &str) {
    if std::env::var_os("TOLLBOOK_BLESS").is_some() {
        std::fs::write(golden, found).unwrap();
    }
    let wanted = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(found, wanted, "{}", golden.display());
}
