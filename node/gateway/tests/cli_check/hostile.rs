//! Files that are made to hurt: each is refused with a place, in bounded time and memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use tollbook_policy::limits;

use super::text;

/// Far more than any of them takes; a program that hangs is ended by `timeout`.
const SECONDS: &str = "20";
/// Of address space: the largest file here has 100 MB, and is never held whole.
const KIBIBYTES: u64 = 1 << 20;

/// Runs `policy check` under both bounds; gives what it exits with and prints.
fn bounded(file: &Path) -> (i32, String) {
    let script = format!("ulimit -v {KIBIBYTES}; exec timeout {SECONDS} \"$@\"");
    let output = Command::new("sh")
        .args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_tollbook"),
            "policy",
            "check",
        ])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap(), text(&output.stdout))
}

/// The file is refused by one code, with a place, and little is printed.
fn refused(content: &dyn Fn(&mut dyn std::io::Write), code: &str, says: &str) -> String {
    let space = TempDir::new().unwrap();
    let path = space.path().join("p.json");
    let mut file = std::io::BufWriter::new(File::create(&path).unwrap());
    content(&mut file);
    file.flush().unwrap();
    drop(file);
    let (exit, printed) = bounded(&path);
    let shown: String = printed.chars().take(2_000).collect();
    assert_eq!(exit, 3, "{shown}");
    assert!(printed.contains(&format!("error[{code}]")), "{shown}");
    assert!(printed.contains(says), "{says}: {shown}");
    assert!(printed.contains("p.json:"), "{shown}");
    assert!(printed.len() < 200_000, "{}", printed.len());
    printed
}

fn write(file: &mut dyn std::io::Write, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

fn repeat(file: &mut dyn std::io::Write, text: &str, count: usize) {
    for _ in 0..count {
        write(file, text);
    }
}

fn with_condition(file: &mut dyn std::io::Write, condition: &str) {
    write(
        file,
        r#"{"version":"1","tools":{"t":{"deny_if":[{"conditions":["#,
    );
    write(file, condition);
    write(file, "]}]}}}");
}

fn bytes_limit() -> String {
    format!("more than {} bytes", limits::POLICY_BYTES)
}

#[test]
fn a_hundred_megabytes_are_not_read() {
    let spaces = " ".repeat(1 << 20);
    refused(
        &|file| {
            write(file, "{\"version\":\"1\",");
            repeat(file, &spaces, 100);
            write(file, "\"tools\":{}}");
        },
        "TB-POL-002",
        &bytes_limit(),
    );
}

#[test]
fn a_million_rules_are_not_read() {
    let rule = r#"{"conditions":[{"path":"args.a","op":"eq","value":1}]},"#;
    refused(
        &|file| {
            write(file, r#"{"version":"1","tools":{"t":{"deny_if":["#);
            repeat(file, rule, 1_000_000);
            write(file, "{}]}}}");
        },
        "TB-POL-002",
        &bytes_limit(),
    );
}

/// As many rules as the bytes of a policy hold: the limit on rules or on values speaks, or the
/// bytes do.
#[test]
fn more_rules_than_a_policy_may_have_are_refused() {
    let rule = r#"{"conditions":[{"path":"args","op":"exists"}]},"#;
    let count = limits::RULES + 1;
    let fits = rule.len() * count + 100 <= limits::POLICY_BYTES;
    let (code, says) = match fits {
        true => (
            "TB-POL-071",
            format!("its limit of {} rules", limits::RULES),
        ),
        false => ("TB-POL-002", bytes_limit()),
    };
    refused(
        &|file| {
            write(file, r#"{"version":"1","tools":{"t":{"deny_if":["#);
            repeat(file, rule, count - 1);
            write(file, rule.trim_end_matches(','));
            write(file, "]}}}");
        },
        code,
        &says,
    );
}

#[test]
fn a_hundred_thousand_levels_are_not_entered() {
    for bracket in ["[", "{\"a\":"] {
        refused(
            &|file| {
                write(file, "{\"version\":");
                let room = (limits::POLICY_BYTES - 100) / bracket.len();
                repeat(file, bracket, room.min(100_000));
            },
            "TB-POL-003",
            &format!("nested more than {} deep", limits::POLICY_DEPTH),
        );
    }
}

#[test]
fn values_and_tools_are_counted() {
    let values = limits::POLICY_NODES + 1;
    refused(
        &|file| {
            write(file, "{\"version\":[");
            repeat(file, "1,", values);
            write(file, "1]}");
        },
        "TB-POL-004",
        &format!("more than {} values", limits::POLICY_NODES),
    );
    refused(
        &|file| {
            write(file, "{\"version\":\"1\",\"tools\":{");
            for index in 0..=limits::TOOLS {
                write(file, &format!("\"t{index}\":{{}},"));
            }
            write(file, "\"t\":{}}}");
        },
        "TB-POL-070",
        &format!("its limit of {} tools", limits::TOOLS),
    );
}

#[test]
fn patterns_that_are_long_or_multiply_are_refused() {
    let kibibyte = "x".repeat(1 << 10);
    refused(
        &|file| {
            write(
                file,
                r#"{"version":"1","tools":{"t":{"deny_if":[{"conditions":["#,
            );
            write(file, r#"{"path":"args.a","op":"regex","value":""#);
            repeat(file, &kibibyte, 1 << 10);
            write(file, r#""}]}]}}}"#);
        },
        "TB-POL-002",
        &bytes_limit(),
    );
    let long = "x".repeat(limits::POLICY_BYTES - 200);
    let long = format!(r#"{{"path":"args.a","op":"regex","value":"{long}"}}"#);
    refused(
        &|file| with_condition(file, &long),
        "TB-POL-077",
        &format!("over {} bytes long", limits::PATTERN_BYTES),
    );
    for (pattern, code, says) in [
        ("((a{1000}){1000})", "TB-POL-035", "at most 1000"),
        (r"(\\pL{100}\\pN{100}){9}", "TB-POL-078", "compiles to over"),
        (
            &"(".repeat(limits::PATTERN_BYTES),
            "TB-POL-035",
            "is not closed",
        ),
        (&"(a|".repeat(1_000), "TB-POL-035", "is not closed"),
        (
            &r"[\\pL\\pN]{40}".repeat(200),
            "TB-POL-078",
            "compiles to over",
        ),
    ] {
        let condition = format!(r#"{{"path":"args.a","op":"regex","value":"{pattern}"}}"#);
        refused(&|file| with_condition(file, &condition), code, says);
    }
    // Each within its limit, all together beyond theirs.
    let many: Vec<String> = (0..400)
        .map(|index| format!(r#"{{"path":"args.a","op":"regex","value":"\\pL{{40}}{index}"}}"#))
        .collect();
    refused(
        &|file| with_condition(file, &many.join(",")),
        "TB-POL-078",
        "all together",
    );
}

#[test]
fn a_path_of_a_megabyte_is_refused() {
    let long = format!("args.{}", "p".repeat(limits::POLICY_BYTES - 200));
    let condition = format!(r#"{{"path":"{long}","op":"exists"}}"#);
    refused(
        &|file| with_condition(file, &condition),
        "TB-POL-076",
        &format!("its limit of {} bytes", limits::PATH_BYTES),
    );
    let megabyte = format!(r#"{{"path":"args.{}","op":"exists"}}"#, "p".repeat(1 << 20));
    refused(
        &|file| with_condition(file, &megabyte),
        "TB-POL-002",
        &bytes_limit(),
    );
}

#[test]
fn errors_and_warnings_beyond_their_number_are_counted_out() {
    let printed = refused(
        &|file| {
            write(file, "{\"version\":\"1\",\"hide\":[");
            let room = (limits::POLICY_BYTES - 100) / 2;
            repeat(file, "1,", room.min(limits::POLICY_NODES - 100));
            write(file, "1]}");
        },
        "TB-POL-099",
        &format!("more than {} errors", limits::FINDINGS),
    );
    assert_eq!(printed.matches("error[").count(), limits::FINDINGS + 1);
    let space = TempDir::new().unwrap();
    let path = space.path().join("warned.json");
    let tools: Vec<String> = (0..limits::FINDINGS + 50)
        .map(|index| {
            format!(
                r#""t{index}":{{"deny_if":[{{"conditions":[{{"path":"args.a{index}","op":"eq",
                "value":1}}]}}]}}"#
            )
        })
        .collect();
    fs::write(
        &path,
        format!(r#"{{"version":"1","tools":{{{}}}}}"#, tools.join(",")),
    )
    .unwrap();
    let (exit, printed) = bounded(&path);
    // However many they are, warnings do not refuse.
    assert_eq!(exit, 0, "{printed}");
    assert!(printed.contains("warning[TB-POL-199]"), "{printed}");
    assert_eq!(printed.matches("warning[").count(), limits::FINDINGS + 1);
}

#[test]
fn what_is_no_file_of_text_is_named() {
    let space = TempDir::new().unwrap();
    let (exit, printed) = bounded(space.path());
    assert_eq!((exit, printed), (1, String::new()));
    // Cut within a character, the limit is still what speaks.
    let path = space.path().join("p.json");
    for before in 0..4 {
        let text = format!("{}{}", " ".repeat(before), "€".repeat(limits::POLICY_BYTES));
        fs::write(&path, text).unwrap();
        let (exit, printed) = bounded(&path);
        assert_eq!(exit, 3, "{printed}");
        assert!(printed.contains("error[TB-POL-002]"), "{printed}");
    }
}

fn joined(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A condition on `path`.
fn on(path: &str, operator: &str, value: &str) -> String {
    format!(r#"{{"path":"args.{path}","op":"{operator}","value":{value}}}"#)
}

/// What is warned of is looked for within bounds: without them, each of these takes from half a
/// minute to hours.
#[test]
fn policies_that_are_slow_to_try_are_checked_at_once() {
    let heavy = joined(20, |k| {
        let pattern = format!(r#""(?:x|y)(?:[w-z]|[xz]|x){{{}}}[ab]""#, 900 + k);
        on("a", "not_regex", &pattern)
    });
    let cheap = joined(34, |k| {
        let ways: Vec<String> = (480..484).map(|n| format!("x{{{}}}", n - k)).collect();
        on("a", "regex", &format!(r#""^(?:{})""#, ways.join("|")))
    });
    let one = format!(r#""t":{{"require":[{{"conditions":[{heavy},{cheap}]}}]}}"#);
    let strings = joined(64, |n| format!("\"{n}{}\"", "x".repeat(4_000)));
    let not = joined(15, |n| {
        on("a", "not_regex", &format!(r#""(a|b)*a(a|b){{16}}{n}""#))
    });
    let paths = joined(300, |n| {
        let (path, members) = (format!("p{n}"), joined(64, |n| format!("\"{n}\"")));
        let listed = on(&path, "in", &format!("[{members}]"));
        format!("{listed},{}", on(&path, "not_contains", "\"q\""))
    });
    let many = |star: &str| {
        let tools = joined(4_000, |n| format!(r#""t{n}":{{}}"#));
        format!(r#""*":{{"require":[{{"conditions":[{star}]}}]}},{tools}"#)
    };
    let long = on("a", "in", &format!("[{strings}]"));
    for tools in [one, many(&format!("{long},{not}")), many(&paths)] {
        let space = TempDir::new().unwrap();
        let path = space.path().join("p.json");
        let text = format!(r#"{{"version":"1","tools":{{{tools}}}}}"#);
        File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let (exit, printed) = bounded(&path);
        let shown: String = printed.chars().take(2_000).collect();
        assert_eq!(exit, 0, "{shown}");
    }
}
