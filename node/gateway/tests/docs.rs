//! The pages for people, held against the program: their commands are run, the examples of the
//! policy page are judged, and every stable code is explained.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use tollbook_node::config::Config;
use tollbook_node::limits::{Deadlines, Limits};
use tollbook_policy::json::{ProfileLimits, parse};
use tollbook_policy::{Counters, Policy, Verdict, check};

const PAGES: [&str; 8] = [
    "ARCHITECTURE.md",
    "README.md",
    "docs/authoring.md",
    "docs/cluster.md",
    "docs/errors.md",
    "docs/operations.md",
    "docs/policy.md",
    "docs/quickstart.md",
];
/// For one page's commands; a hang is a failure.
const SECONDS: &str = "240";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("each page is a file of this tree")
}

/// The fenced blocks of a page: the words after the fence, and the text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(tag), None) => open = Some((tag.trim().to_owned(), String::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((tag, body))) => open = Some((tag, body + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// Runs all `sh run` blocks of a page in one shell in `dir`.
fn run(name: &str, dir: &Path) -> Output {
    let blocks = blocks(&page(name));
    let commands: Vec<String> = blocks
        .into_iter()
        .filter(|(tag, _)| tag == "sh run")
        .map(|(_, body)| body)
        .collect();
    assert!(!commands.is_empty(), "{name} has commands");
    shell(&commands.join("\n"), dir)
}

/// Runs commands in one shell in `dir`.
fn shell(commands: &str, dir: &Path) -> Output {
    // What is still running when the shell ends would keep the test waiting for its output.
    let script =
        format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}");
    let program = Path::new(env!("CARGO_BIN_EXE_tollbook"));
    let programs = program.parent().expect("a program stands in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    shell
        .args([SECONDS, "bash", "-c", &script])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", programs.display()))
        // Any free port: tests run beside one another, and beside a node of the machine's own.
        .env("TOLLBOOK_LISTEN_DATA", "127.0.0.1:0")
        .env("TOLLBOOK_LISTEN_ADMIN", "127.0.0.1:0");
    // Members remember each other's address, so the page of the cluster names its own.
    if !commands.contains("tollbook join") {
        shell.env("TOLLBOOK_LISTEN_PEER", "127.0.0.1:0");
    }
    for name in ["TOLLBOOK_ADDR", "TOLLBOOK_DIR", "TOLLBOOK_TOKEN_FILE"] {
        shell.env_remove(name);
    }
    shell
        .output()
        .expect("`timeout` and `bash` are on every machine that builds this")
}

/// The run went to its end, and printed each of `wanted` in this order.
fn expect(name: &str, done: &Output, wanted: &[&str]) {
    let shown = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{name}: {}\n{shown}\n{errors}",
        done.status
    );
    let mut rest: &str = &shown;
    for text in wanted {
        let after = rest.split_once(text).map(|(_, after)| after);
        assert!(
            after.is_some(),
            "{name} does not show `{text}` where it should:\n{shown}\n{errors}"
        );
        rest = after.unwrap_or_default();
    }
}

/// Three real processes: joined, promoted, killed, revoked at, removed, replaced, verified.
#[test]
fn the_commands_of_the_cluster_page_do_what_it_says() {
    let dir = TempDir::new().unwrap();
    let done = run("docs/cluster.md", dir.path());
    let wanted = [
        "TB-JOIN-REFUSED",
        "succeeded",
        "succeeded",
        "succeeded",
        "succeeded",
        "[POLICY DENIED]",
        "at a:\nHTTP 401",
        "at b:\nHTTP 401",
        "at c:\nHTTP 401",
        "node-d",
        "the same bytes",
    ];
    expect("docs/cluster.md", &done, &wanted);
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let dir = TempDir::new().unwrap();
    let done = run("README.md", dir.path());
    let wanted = [
        "Refund of 50 on ch_105 succeeded.",
        "[POLICY DENIED] Refunds over 100 need a person.",
        "[POLICY DENIED] Refunds over 100 need a person.",
        r#""verdict":"deny","rule":"/tools/create_refund/require/args.amount-lte""#,
        "valid\n",
        "checkpoint:",
    ];
    expect("README.md", &done, &wanted);
    let token = fs::read_to_string(dir.path().join("agent.token")).unwrap();
    assert!(
        token.starts_with("tbg_"),
        "the token stands alone in its file"
    );
    assert!(
        !dir.path().join("gate/run").exists(),
        "the node stopped in good order"
    );
}

/// Needs node and the npm packages that `make peers` installs; where they are not, it has nothing
/// to run. `TOLLBOOK_PEERS` names where they are, and then they must be there.
#[test]
fn the_quickstart_reaches_a_real_server_with_a_real_client() {
    let named = std::env::var_os("TOLLBOOK_PEERS").map(PathBuf::from);
    let target = Path::new(env!("CARGO_BIN_EXE_tollbook"))
        .ancestors()
        .nth(3)
        .map(Path::to_owned);
    let modules = named
        .clone()
        .or_else(|| target.map(|target| target.join("peers")));
    let modules = modules.unwrap_or_default().join("node_modules");
    let has_node = Command::new("node").arg("--version").output().is_ok();
    let server = modules.join(".bin/mcp-server-everything");
    if !has_node || !server.exists() || !modules.join("@modelcontextprotocol/sdk").exists() {
        assert!(named.is_none(), "no packages in {}", modules.display());
        println!(
            "skipped: no node, or no packages in {}; see `make peers`",
            modules.display()
        );
        return;
    }
    let dir = TempDir::new().unwrap();
    symlink(&modules, dir.path().join("node_modules")).unwrap();
    let done = run("docs/quickstart.md", dir.path());
    let wanted = [
        "tools: echo, get-sum\n",
        "Echo: hello there",
        "[POLICY DENIED] Only plain words are echoed.",
        "Unknown tool: get-env",
        "[POLICY DENIED] That is enough for today.",
        "valid\n",
    ];
    expect("docs/quickstart.md", &done, &wanted);
}

/// What a block of commands prints stands below it, where the page shows it.
#[test]
fn the_commands_of_the_authoring_page_print_what_it_shows() {
    const NEXT: &str = "-- next block --\n";
    let name = "docs/authoring.md";
    let blocks = blocks(&page(name));
    let mut commands = String::new();
    for (_, body) in blocks.iter().filter(|(tag, _)| tag == "sh run") {
        commands = commands + body + "printf -- '" + NEXT.trim_end() + "\\n'\n";
    }
    let dir = TempDir::new().unwrap();
    let done = shell(&commands, dir.path());
    expect(name, &done, &[]);
    let shown = String::from_utf8(done.stdout).unwrap();
    let mut printed = shown.split(NEXT);
    let mut last = "";
    let mut compared = 0;
    for (tag, body) in &blocks {
        match tag.as_str() {
            "sh run" => last = printed.next().expect("each block prints its end"),
            "text output" => {
                assert_eq!(without_digests(last), without_digests(body), "{name}");
                compared += 1;
            }
            other => panic!("{name} has a block `{other}` that nobody checks"),
        }
    }
    assert!(compared >= 6, "{compared}");
}

/// A digest is the policy's business, not the page's.
fn without_digests(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split(' ');
    let words: Vec<&str> = words
        .map(|word| if is_hex(word) { "DIGEST" } else { word })
        .collect();
    words.join(" ")
}

#[test]
fn the_policies_of_the_policy_page_load_and_judge_as_it_says() {
    let mut policy: Option<(Policy, Counters)> = None;
    let mut judged = 0;
    for (tag, body) in blocks(&page("docs/policy.md")) {
        match tag.as_str() {
            "json policy" => {
                let checked = check(&body).unwrap_or_else(|found| panic!("{body}\n{found:?}"));
                policy = Some((checked, Counters::new()));
            }
            "text eval" => {
                let (policy, counters) = policy.as_mut().expect("a policy stands before its calls");
                for line in body.lines() {
                    judge(policy, counters, line);
                    judged += 1;
                }
            }
            other => assert!(
                other != "json" && other != "text",
                "a block that nobody checks"
            ),
        }
    }
    assert!(judged > 40, "the page has examples");
}

/// One line: verdict, rule or `-`, tool, arguments.
fn judge(policy: &Policy, counters: &mut Counters, line: &str) {
    let (verdict, rest) = line.split_once(' ').expect("a verdict");
    let (rule, rest) = rest.trim_start().split_once(' ').expect("a rule or `-`");
    let (tool, arguments) = rest
        .trim_start()
        .split_once(' ')
        .expect("a tool and its arguments");
    let json = parse(arguments.trim().to_owned(), &ProfileLimits::CALL).expect("arguments");
    let denied = match policy.decide(tool, Some(json.root())) {
        Verdict::Allow(permit) => counters
            .charge(policy, &permit)
            .err()
            .map(|(limit, cause)| policy.explain_limit(limit, cause)),
        Verdict::Deny(cause) => Some(policy.explain(cause, tool)),
    };
    let found = denied.map_or_else(|| ("allow", "-".to_owned()), |denied| ("deny", denied.rule));
    assert_eq!(found, (verdict, rule.to_owned()), "{line}");
}

#[test]
fn every_stable_code_is_explained_and_none_that_is_not_there() {
    let mut codes = BTreeSet::new();
    for folder in ["node/gateway/src", "node/policy/src"] {
        collect_codes(&root().join(folder), &mut codes);
    }
    assert!(codes.len() > 90, "the sources name their codes");
    let text = page("docs/errors.md");
    let explained: BTreeSet<String> = codes_of(&text).into_iter().collect();
    let missing: Vec<_> = codes.difference(&explained).collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md does not explain {missing:?}"
    );
    let gone: Vec<_> = explained.difference(&codes).collect();
    assert!(
        gone.is_empty(),
        "docs/errors.md explains what no source has: {gone:?}"
    );
}

fn collect_codes(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect_codes(&path, codes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            codes.extend(codes_of(&text));
        }
    }
}

/// `TB-` and what follows, where that is a whole code.
fn codes_of(text: &str) -> Vec<String> {
    let code = |rest: &str| {
        let end = rest
            .find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '-')
            .unwrap_or(rest.len());
        let code = rest.get(..end).unwrap_or_default();
        (!code.is_empty() && !code.ends_with('-')).then(|| format!("TB-{code}"))
    };
    text.split("TB-").skip(1).filter_map(code).collect()
}

#[test]
fn the_pages_point_at_files_that_exist() {
    let mut links = 0;
    for name in PAGES {
        let folder = root()
            .join(name)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        for rest in page(name).split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{name} points at {file}");
                links += 1;
            }
        }
    }
    assert!(links > 5, "the pages point at one another");
}

#[test]
fn every_command_in_the_readme_exists() {
    let mut tried = 0;
    for line in page("README.md").lines() {
        let Some(row) = line.strip_prefix("| `tollbook ") else {
            continue;
        };
        let words: Vec<&str> = row
            .split([' ', '`'])
            .take_while(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        let done = Command::new(env!("CARGO_BIN_EXE_tollbook"))
            .args(&words)
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        tried += 1;
    }
    assert!(tried > 10, "the README has a table of commands");
}

/// The table's defaults, read as a configuration, are the defaults.
#[test]
fn the_limits_of_the_readme_are_the_programs_own() {
    let mut text = String::from("[node]\nid = 1\n[cluster]\norigin = \"log\"\n");
    let mut inside = false;
    for line in page("README.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // A line that is no row ends a table.
        let [_, name, default, ..] = cells.as_slice() else {
            inside = false;
            continue;
        };
        let name = name.trim_matches('`');
        if ["[limits]", "[deadlines]"].contains(&name) {
            text += &format!("{name}\n");
            inside = true;
        } else if inside && !name.starts_with("---") && name != "disk_reserve" {
            let quote = if default.ends_with(|c: char| c.is_ascii_digit()) {
                ""
            } else {
                "\""
            };
            text += &format!("{name} = {quote}{default}{quote}\n");
        }
    }
    let config =
        Config::read("README.md", &text, |_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.deadlines, Deadlines::default());
    assert_eq!(
        text.matches(" = ").count(),
        2 + 13 + 8,
        "every limit but the disk's reserve"
    );
}
