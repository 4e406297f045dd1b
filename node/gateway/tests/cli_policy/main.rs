//! The commands that policies are written with, as a person runs them: the real program, its output
//! and what it exits with.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must stop; its files need not last"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod fmt;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod verdicts;

fn tollbook(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    tollbook(arguments).output().unwrap()
}

/// Runs with `input` on standard input.
fn run_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tollbook(arguments)
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

/// Where the golden files of a command are.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli")
        .join(name)
}

/// Each `NAME.cmd` of a folder, run there, exits and prints as `NAME.txt` says.
fn every_command_of(folder: &str) -> usize {
    let mut cases = 0;
    for entry in fs::read_dir(data(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cmd") {
            continue;
        }
        let command = fs::read_to_string(&path).unwrap();
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let output = tollbook(&arguments)
            .current_dir(data(folder))
            .output()
            .unwrap();
        let said = stderr(&output);
        let said = if said.is_empty() {
            said
        } else {
            format!("--- stderr\n{said}")
        };
        let found = format!("exit {}\n{}{said}", code(&output), stdout(&output));
        let wanted = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert_eq!(
            without_digests(&found),
            without_digests(&wanted),
            "{}",
            path.display()
        );
        cases += 1;
    }
    cases
}

/// A digest is another's business: all that is checked here is that one is there.
fn without_digests(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        if word.len() - rest.len() == 64 {
            shown.push_str("DIGEST");
            shown.push_str(rest);
        } else {
            shown.push_str(word);
        }
    }
    shown
}

#[test]
fn eval_shows_how_each_verdict_comes_about() {
    assert!(every_command_of("eval") >= 4);
}

#[test]
fn cases_say_what_is_not_as_expected_and_what_no_case_reaches() {
    assert!(every_command_of("test") >= 13);
}

#[test]
fn diff_says_what_changes_and_in_which_direction() {
    assert!(every_command_of("diff") >= 7);
}

#[test]
fn fmt_names_what_would_change() {
    assert!(every_command_of("fmt") >= 4);
}

#[test]
fn every_command_has_a_help_with_an_example() {
    for command in ["eval", "test", "diff", "fmt", "schema"] {
        let output = run(&["policy", command, "--help"]);
        assert_eq!(code(&output), 0, "{command}");
        let help = stdout(&output);
        assert!(help.contains("Example:\n  "), "{help}");
        assert!(
            help.contains(&format!("tollbook policy {command}")),
            "{help}"
        );
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{command} {widest:?}");
    }
}
