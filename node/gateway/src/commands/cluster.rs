//! `tollbook cluster …`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{Exit, Failure, Node, Output, note, out, warn};
use crate::admin::api::{
    Book, ClusterNode, ClusterRole, ClusterStatus, Drained, JoinTokenMade, MemberChanged,
    TransferTo, Transferred,
};

#[derive(Debug, Subcommand)]
pub(super) enum Cluster {
    /// Make a token that one node may join with, once, within 15 minutes
    #[command(
        after_help = "Example:\n  tollbook cluster token --dir gate-1 > join.token\n  \
                            tollbook join HOST:7302 --dir gate-2 --token-file join.token"
    )]
    Token(Plain),
    /// Show all nodes: role, how far each has come, and how it does
    #[command(after_help = "Example:\n  tollbook cluster status --dir gate-1 --output json")]
    Status(Plain),
    /// Give a node a vote, once it has caught up
    #[command(after_help = "Example:\n  tollbook cluster promote gate-2 --dir gate-1")]
    Promote(Named),
    /// Take a node out for good; its id is never given again
    #[command(after_help = "Example:\n  tollbook cluster remove gate-2 --dir gate-1")]
    Remove(Named),
    /// Hand leadership to another voter
    #[command(after_help = "Example:\n  tollbook cluster transfer --to gate-2 --dir gate-1")]
    Transfer(Transfer),
    /// Let this node take no new calls and lead no more, before it is stopped
    #[command(after_help = "Example:\n  tollbook cluster drain --dir gate-1")]
    Drain(Plain),
}

#[derive(Args, Debug)]
pub(super) struct Plain {
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// Its id or name
    #[arg(value_name = "NODE")]
    name: String,
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct Transfer {
    /// Id or name of a voter [default: the one that has come furthest]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    node: Node,
}

pub(super) fn run(cluster: Cluster, output: Output) -> Result<Exit, Failure> {
    match cluster {
        Cluster::Token(Plain { node }) => token(node, output)?,
        Cluster::Status(Plain { node }) => status(node, output)?,
        Cluster::Promote(Named { name, node }) => {
            let path = ["cluster", "nodes", &name, "promote"];
            let client = node.client()?;
            let member: MemberChanged = client.send(Method::POST, &path, &json!({}))?;
            changed(&member, output)?;
        }
        Cluster::Remove(Named { name, node }) => {
            let path = ["cluster", "nodes", &name];
            let member: MemberChanged = node.client()?.delete(&path)?;
            changed(&member, output)?;
        }
        Cluster::Transfer(Transfer { to, node }) => {
            let path = ["cluster", "transfer"];
            let client = node.client()?;
            let done: Transferred = client.send(Method::POST, &path, &TransferTo { to })?;
            match output {
                Output::Table => out::line(&format!("node {} leads", done.leader))?,
                Output::Json | Output::Jsonl => out::json(&done)?,
            }
        }
        Cluster::Drain(Plain { node }) => drain(node, output)?,
    }
    Ok(Exit::Done)
}

fn token(node: Node, output: Output) -> Result<(), Failure> {
    let path = ["cluster", "tokens"];
    let made: JoinTokenMade = node.client()?.send(Method::POST, &path, &json!({}))?;
    match output {
        // Alone, so that it can go straight into a file.
        Output::Table => out::line(&made.token)?,
        Output::Json | Output::Jsonl => out::json(&made)?,
    }
    let peer = if made.peer.is_empty() {
        "HOST:PORT"
    } else {
        &made.peer
    };
    note(&format!("expires  {}; one node may use it", made.expires));
    note("on the machine of the new node, with the token in a file F:");
    note(&format!("  tollbook join {peer} --dir D --token-file F"));
    Ok(())
}

fn status(node: Node, output: Output) -> Result<(), Failure> {
    let status: ClusterStatus = node.client()?.get(&["cluster"])?;
    match output {
        Output::Json | Output::Jsonl => return out::json(&status),
        Output::Table => {}
    }
    let heads = [
        "id",
        "name",
        "role",
        "up",
        "applied",
        "lag",
        "sync p50/p99",
        "clock",
        "book",
        "certificate",
        "version",
        "data",
        "peer",
        "not ready",
    ];
    out::list(output, &status.nodes, &heads, row)?;
    note(&format!(
        "cluster  {}",
        status.cluster.as_deref().unwrap_or("not begun")
    ));
    note(&format!("term     {}", status.term));
    if status.leader.is_none() {
        warn("no node leads: nothing can be committed");
    }
    Ok(())
}

fn row(node: &ClusterNode) -> Vec<String> {
    let number = |number: Option<u64>| out::or_dash(number.map(|n| n.to_string()).as_deref());
    let sync = node.sync.map(|sync| {
        let (p50, p99) = (millis(sync.p50_us), millis(sync.p99_us));
        format!("<{p50}/<{p99} ms")
    });
    let clock = node.clock_ahead_us.map(|ahead| {
        let sign = if ahead < 0 { '-' } else { '+' };
        format!("{sign}{} ms", millis(ahead.unsigned_abs()))
    });
    let not_ready = (!node.not_ready.is_empty()).then(|| node.not_ready.join(" "));
    vec![
        node.id.to_string(),
        node.name.clone(),
        role(node.role).to_owned(),
        if node.up { "yes" } else { "no" }.to_owned(),
        number(node.applied),
        number(node.lag),
        out::or_dash(sync.as_deref()),
        out::or_dash(clock.as_deref()),
        out::or_dash(node.book.map(book).as_deref()),
        out::or_dash(node.certificate_expires.as_deref().map(day)),
        out::or_dash(node.version.as_deref()),
        node.data.clone(),
        out::or_dash(Some(node.peer.as_str()).filter(|peer| !peer.is_empty())),
        out::or_dash(not_ready.as_deref()),
    ]
}

/// A tenth of a millisecond is what a person compares.
fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

/// The day of a time.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

fn book(book: Book) -> String {
    match (book.whole, book.bytes_missing) {
        (true, _) => "whole".to_owned(),
        (false, Some(bytes)) => format!("{bytes} bytes missing"),
        (false, None) => format!("from {}", book.from),
    }
}

fn role(role: ClusterRole) -> &'static str {
    match role {
        ClusterRole::Learner => "learner",
        ClusterRole::Leader => "leader",
        ClusterRole::Voter => "voter",
    }
}

fn changed(member: &MemberChanged, output: Output) -> Result<(), Failure> {
    let is = member.role.map_or("no member", role);
    match output {
        Output::Table => out::line(&format!("node {} ({}) is {is}", member.id, member.name)),
        Output::Json | Output::Jsonl => out::json(member),
    }
}

fn drain(node: Node, output: Output) -> Result<(), Failure> {
    let path = ["cluster", "drain"];
    let drained: Drained = node.client()?.send(Method::POST, &path, &json!({}))?;
    match output {
        Output::Table => out::line(&format!(
            "node {} ({}) takes no new calls; {} are on their way",
            drained.id, drained.name, drained.calls
        ))?,
        Output::Json | Output::Jsonl => out::json(&drained)?,
    }
    if drained.leader == Some(drained.id) {
        warn("it still leads: no other voter answers");
    }
    Ok(())
}
