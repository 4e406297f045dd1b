//! Shape of files: length, blanks, reminders, orphans, import blocks, first lines.

use crate::tree;

/// Lines of a Rust file, at most.
const LINES_MAX: usize = 800;
/// Columns of a line of Rust, at most.
const COLUMNS_MAX: usize = 100;
/// The crate names that make an import one of ours.
const OURS: [&str; 5] = ["crate", "self", "super", "tollbook_", "common"];
/// Crates that come with the compiler.
const STD: [&str; 3] = ["alloc", "core", "std"];

#[test]
fn files_and_lines_are_short() {
    let mut findings = Vec::new();
    for (path, text) in tree::sources() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!(
                "{path}: {lines} lines, at most {LINES_MAX}; split the idea"
            ));
        }
        for (at, line) in text.lines().enumerate() {
            let at = at + 1;
            if line.chars().count() > COLUMNS_MAX && !line.contains("http") {
                findings.push(format!("{path}:{at}: over {COLUMNS_MAX} columns"));
            }
            if line.trim_end() != line {
                findings.push(format!("{path}:{at}: blanks at the end"));
            }
        }
        if !text.ends_with('\n') {
            findings.push(format!("{path}: no line feed at the end"));
        }
    }
    tree::none(&findings);
}

#[test]
fn reminders_name_an_issue() {
    // Spelt apart, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut findings = Vec::new();
    for (path, text) in tree::sources() {
        for (at, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) && !line.contains('#') {
                findings.push(format!("{path}:{}: a reminder without an issue", at + 1));
            }
        }
    }
    tree::none(&findings);
}

#[test]
fn every_source_file_is_named_by_a_mod() {
    let sources = tree::sources();
    let mut findings = Vec::new();
    for (path, _) in &sources {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = name.trim_end_matches(".rs");
        let root = ["lib", "main", "build"].contains(&stem);
        let own_target = ["tests", "examples", "benches", "bin"]
            .iter()
            .any(|kind| folder.ends_with(&format!("/{kind}")));
        let tidy = path == ".ci/tidy/tidy.rs";
        if root || own_target || tidy {
            continue;
        }
        let module = if stem == "mod" {
            folder.rsplit('/').next().unwrap_or("")
        } else {
            stem
        };
        let holder = if stem == "mod" {
            folder.rsplit_once('/').map_or("", |(parent, _)| parent)
        } else {
            folder
        };
        let named = sources.iter().any(|(other, text)| {
            let other_folder = other.rsplit_once('/').map_or("", |(folder, _)| folder);
            let other_stem = other.trim_end_matches(".rs");
            let near = other_folder == holder || other_stem == holder;
            near && other != path && names_module(text, module)
        });
        if !named {
            findings.push(format!("{path}: no `mod {module}` names it"));
        }
    }
    tree::none(&findings);
}

fn names_module(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        line.ends_with(&format!("mod {module};"))
    })
}

#[test]
fn imports_stand_in_three_blocks() {
    let mut findings = Vec::new();
    for (path, text) in tree::sources() {
        let mut block = 0;
        let mut line_before = "";
        for (at, line) in text.lines().enumerate() {
            let Some(import) = line.strip_prefix("use ") else {
                if !line.is_empty() && !line.starts_with(' ') && !line.starts_with('}') {
                    block = 0;
                }
                line_before = line;
                continue;
            };
            let kind = kind_of(import);
            let fresh = line_before.is_empty();
            if kind < block || (block != 0 && kind > block && !fresh) {
                findings.push(format!(
                    "{path}:{}: imports stand in three blocks: std, others, ours",
                    at + 1
                ));
            }
            block = kind;
            line_before = line;
        }
    }
    tree::none(&findings);
}

fn kind_of(import: &str) -> u8 {
    let first = import
        .split("::")
        .next()
        .unwrap_or(import)
        .trim_end_matches(';');
    if STD.contains(&first) {
        1
    } else if OURS.contains(&first) || first.starts_with("tollbook_") {
        3
    } else {
        2
    }
}

#[test]
fn every_crate_says_first_what_it_is() {
    let mut findings = Vec::new();
    for (path, text) in tree::sources() {
        if path.ends_with("/src/lib.rs") && !text.starts_with("//! ") {
            findings.push(format!("{path}: the first line says what the crate is"));
        }
    }
    tree::none(&findings);
}
