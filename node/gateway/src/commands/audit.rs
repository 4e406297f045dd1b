//! `tollbook audit …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use tollbook_audit::dir::{self, Options};
use tollbook_audit::report::Strictness;
use tollbook_audit::verify::Depth;

use super::{Exit, Failure, Node, Output, out};

mod record;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Print the newest records, and with `-f` those to come
    Tail(Tail),
    /// Print the records that match
    Search(Search),
    /// Verify a log offline; needs no node
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(super) struct Tail {
    /// Go on with records as they are written
    #[arg(short, long)]
    follow: bool,
    /// How many of the newest records to begin with
    #[arg(short = 'n', long = "lines", default_value_t = 10, value_name = "N")]
    lines: u64,
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook audit search --grant ci-bot --verdict deny \
                        --output jsonl | jq -r .rule"
)]
pub(super) struct Search {
    /// Name or id of a grant
    #[arg(long, value_name = "G")]
    grant: Option<String>,
    /// Name of a tool
    #[arg(long, value_name = "T")]
    tool: Option<String>,
    /// Name or id of a server
    #[arg(long, value_name = "S")]
    server: Option<String>,
    /// What was decided
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,
    /// Kind of record, as `intent`, `outcome`, `admin`
    #[arg(long, value_name = "K")]
    kind: Option<String>,
    /// Id of a call
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Index of the first record to look at
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    from: u64,
    #[command(flatten)]
    node: Node,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
}

/// Reads every byte of the log: records, chain, tree, checkpoints, signatures. Exit 0 if it is
/// valid (exceptions are named), 3 if it was changed, 4 if it is incomplete or unreadable.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook audit verify /var/lib/tollbook --trust \
                        ~/auditor/trust.policy --json"
)]
pub(super) struct Verify {
    /// A node's directory or its log/; a copy will do
    #[arg(env = "TOLLBOOK_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// Whose keys count; default: DIR/trust.policy
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A signed checkpoint that you kept; the log must continue it
    #[arg(long, value_name = "NOTE")]
    known: Option<PathBuf>,
    /// Check the chain of frames only: fast, and proves nothing about signatures
    #[arg(long)]
    chain: bool,
    /// Exit 4 for exceptions too
    #[arg(long)]
    strict: bool,
    /// One JSON object in place of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(audit: Audit, output: Output) -> Result<Exit, Failure> {
    match audit {
        Audit::Tail(Tail {
            follow,
            lines,
            node,
        }) => {
            let query = [("last", lines.to_string()), ("follow", follow.to_string())];
            records(node, &query, output)
        }
        Audit::Search(search) => self::search(search, output),
        Audit::Verify(verify) => self::verify(verify, output),
    }
}

fn search(search: Search, output: Output) -> Result<Exit, Failure> {
    let verdict = search.verdict.map(|verdict| match verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Deny => "deny".to_owned(),
    });
    let filters = [
        ("grant", search.grant),
        ("tool", search.tool),
        ("server", search.server),
        ("verdict", verdict),
        ("kind", search.kind),
        ("call", search.call),
        ("from", Some(search.from.to_string())),
    ];
    let query: Vec<(&str, String)> = filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    records(search.node, &query, output)
}

/// Prints each record as it comes: a log may be longer than memory.
fn records(node: Node, query: &[(&str, String)], output: Output) -> Result<Exit, Failure> {
    let client = node.client()?;
    let mut first = true;
    if output == Output::Json {
        out::text("[")?;
    }
    client.lines(&["audit", "records"], query, |line| {
        let comma = !std::mem::take(&mut first);
        match output {
            Output::Jsonl => out::bytes(&[line, b"\n"].concat()),
            Output::Json if comma => out::bytes(&[b",\n", line].concat()),
            Output::Json => out::bytes(line),
            Output::Table => out::line(&record::row(line)),
        }
    })?;
    if output == Output::Json {
        out::text("]\n")?;
    }
    Ok(Exit::Done)
}

fn verify(verify: Verify, output: Output) -> Result<Exit, Failure> {
    let depth = if verify.chain {
        Depth::Chain
    } else {
        Depth::Full
    };
    let options = Options {
        trust: verify.trust,
        known: verify.known,
        depth,
    };
    let strictness = if verify.strict {
        Strictness::Strict
    } else {
        Strictness::Lenient
    };
    let report = dir::verify(&verify.dir, &options);
    let printed = if verify.json || output != Output::Table {
        out::line(&report.to_json())
    } else {
        out::text(&report.to_string())
    };
    let exit = match report.exit_code(strictness) {
        0 => Exit::Done,
        3 => Exit::Negative,
        _ => Exit::Inconclusive,
    };
    out::verdict(exit, printed)
}
