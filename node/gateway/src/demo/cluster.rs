//! `tollbook demo --nodes 3`: three processes of this very program, set up by its own commands;
//! calls through each of them, the leader killed, a grant revoked, and one book on three disks.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use tollbook_audit::dir::{Options, verify};

use super::DemoError;
use super::agent::Agent;
use crate::sample::Sample;
use crate::token::{Class, Token};
use crate::trial::Granted;

/// For anything that a healthy cluster does in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(30);
const POLICY: &str = include_str!("../../../../deploy/policies/github-issues.json");
const CALL: (&str, &str) = ("list_issues", r#"{"owner":"policylayer","repo":"docs"}"#);

/// One process.
struct Process {
    name: String,
    dir: PathBuf,
    data: String,
    peer: String,
    child: Child,
}

/// What the commands are run with.
struct Tool {
    program: PathBuf,
    home: TempDir,
    tasks: TaskTracker,
}

type Show<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Runs it; `show` gets its lines.
pub(super) async fn run(show: Show<'_>) -> Result<(), DemoError> {
    let tool = Tool {
        program: std::env::current_exe()?,
        home: TempDir::with_prefix("tollbook-demo-")?,
        tasks: TaskTracker::new(),
    };
    let sample = Sample::start(TcpListener::bind("127.0.0.1:0").await?, &tool.tasks)?;
    show("Three processes, one cluster, before the built-in sample MCP server.\n");
    let mut nodes = tool.three(show).await?;
    let granted = tool.grant(&first(&nodes)?.dir, &sample, show).await?;
    show("\nOne grant, called at each node:");
    for node in &nodes {
        call(node, &granted, show).await?;
    }
    let leader = tool.leader(&nodes).await?;
    show(&format!("\nThe leader, {leader}, is killed (SIGKILL):"));
    let begin = Instant::now();
    let at = nodes
        .iter()
        .position(|node| node.name == leader)
        .ok_or(DemoError::Verdict("a leader that is no node"))?;
    let mut killed = nodes.remove(at);
    killed.child.kill().await?;
    for node in &nodes {
        call(node, &granted, show).await?;
    }
    let took = begin.elapsed().as_millis();
    show(&format!("  both others answer {took} ms after the kill"));
    let at = first(&nodes)?;
    tool.say(&["grant", "revoke", "agent"], &at.dir, show)
        .await?;
    show("The grant is revoked there; every node refuses it:");
    nodes.push(tool.serve(&killed.name, &killed.dir).await?);
    for node in &nodes {
        call(node, &granted, show).await?;
    }
    tool.same_book(nodes, show).await
}

/// A call, and what the agent sees.
async fn call(node: &Process, granted: &Value, show: Show<'_>) -> Result<(), DemoError> {
    let text = |key: &str| granted.get(key).and_then(Value::as_str).unwrap_or_default();
    let path = text("endpoint")
        .split_once("/mcp/")
        .map_or("", |(_, path)| path);
    let mut id = [0; 12];
    let token = Token::parse_as(Class::Grant, text("token"))
        .map_err(|_| DemoError::Verdict("a grant without a token"))?;
    id.copy_from_slice(&token.id());
    let granted = Granted {
        id: tollbook_state::command::GrantId(id),
        token,
        endpoint: format!("{}/mcp/{path}", node.data),
    };
    // A call that found no quorum was not forwarded and may be made again.
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = Agent::connect(&granted).await?.call(CALL.0, CALL.1).await?;
        let again = seen.contains("quorum") || seen.contains("not on record");
        if !again || Instant::now() > end {
            show(&format!("  {:<8} {seen}", node.name));
            return Ok(());
        }
    }
}

fn first(nodes: &[Process]) -> Result<&Process, DemoError> {
    nodes.first().ok_or(DemoError::Verdict("no node"))
}

impl Tool {
    /// One that begins the cluster, two that join it and are given votes.
    async fn three(&self, show: Show<'_>) -> Result<Vec<Process>, DemoError> {
        let dir = self.dir("node-1");
        let init = ["init", "--listen", ANY, "--admin", ANY, "--origin", "demo"];
        self.say(&init, &dir, show).await?;
        let mut nodes = vec![self.serve("node-1", &dir).await?];
        for name in ["node-2", "node-3"] {
            let begun = first(&nodes)?;
            let token = self.say(&["cluster", "token"], &begun.dir, show).await?;
            let file = self.home.path().join(format!("{name}.token"));
            crate::dir::write_whole(&file, token.as_bytes(), 0o600)
                .map_err(|error| std::io::Error::other(error.to_string()))?;
            let dir = self.dir(name);
            let file = file.display().to_string();
            let join = [
                "join",
                &begun.peer,
                "--name",
                name,
                "--token-file",
                &file,
                "--listen",
                ANY,
                "--admin",
                ANY,
            ];
            self.say(&join, &dir, show).await?;
            nodes.push(self.serve(name, &dir).await?);
            let begun = first(&nodes)?;
            self.say(&["cluster", "promote", name], &begun.dir, show)
                .await?;
        }
        Ok(nodes)
    }

    async fn grant(&self, dir: &Path, sample: &Sample, show: Show<'_>) -> Result<Value, DemoError> {
        let url = sample.url();
        self.say(&["server", "add", "sample", "--url", &url], dir, show)
            .await?;
        let policy = self.home.path().join("policy.json");
        crate::dir::write_whole(&policy, POLICY.as_bytes(), 0o644)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let policy = policy.display().to_string();
        self.say(&["policy", "apply", "issues", &policy], dir, show)
            .await?;
        let create = ["grant", "create", "agent", "--server", "sample"];
        let create = [&create[..], &["--policy", "issues", "--output", "json"]].concat();
        let made = self.say(&create, dir, show).await?;
        Ok(serde_json::from_str(&made).map_err(std::io::Error::other)?)
    }

    async fn leader(&self, nodes: &[Process]) -> Result<String, DemoError> {
        let status = ["cluster", "status", "--output", "json"];
        let status = self.command(&status, &first(nodes)?.dir).await?;
        let status: Value = serde_json::from_str(&status).map_err(std::io::Error::other)?;
        let all = status.get("nodes").and_then(Value::as_array);
        let leads = |node: &&Value| node.get("role").and_then(Value::as_str) == Some("leader");
        let leader = all.and_then(|all| all.iter().find(leads));
        let name = leader.and_then(|leader| leader.get("name")?.as_str());
        name.map(str::to_owned)
            .ok_or(DemoError::Verdict("no leader"))
    }

    /// The newest signed checkpoint of each node, which must be the same; then all are stopped in
    /// order and their books verified.
    async fn same_book(&self, nodes: Vec<Process>, show: Show<'_>) -> Result<(), DemoError> {
        let end = Instant::now() + PATIENCE;
        let note = loop {
            let notes: Result<Vec<_>, _> = nodes.iter().map(newest_note).collect();
            match notes.as_deref() {
                Ok([note, rest @ ..]) if rest.iter().all(|other| other == note) => {
                    break note.clone();
                }
                _ if Instant::now() > end => {
                    return Err(DemoError::Verdict("checkpoints that differ"));
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        show("\nThe newest checkpoint, the same bytes on all three disks:");
        note.lines().for_each(|line| show(&format!("  {line}")));
        let dirs: Vec<_> = nodes
            .iter()
            .map(|node| (node.name.clone(), node.dir.clone()))
            .collect();
        for mut node in nodes {
            stop(&mut node).await?;
        }
        show("\nEach node's book, verified offline:");
        for (name, dir) in &dirs {
            let report = verify(dir, &Options::default());
            let verdict = report.verdict.name();
            let records = report.records;
            show(&format!("  {name:<8} {verdict}, {records} records"));
            let exceptions = report.exceptions();
            exceptions
                .iter()
                .for_each(|why| show(&format!("           {why}")));
            if !matches!(verdict, "valid" | "exceptions") {
                return Err(DemoError::Verdict(verdict));
            }
        }
        Ok(())
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts a node and waits until it serves.
    async fn serve(&self, name: &str, dir: &Path) -> Result<Process, DemoError> {
        let mut child = Command::new(&self.program)
            .args(["serve", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child
            .stderr
            .take()
            .ok_or(DemoError::Verdict("a process without output"))?;
        let mut lines = BufReader::new(said).lines();
        let ready = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(places) = line.strip_prefix("ready ") {
                    return Ok(places.to_owned());
                }
            }
            Err(std::io::Error::other(format!("{name} did not start")))
        });
        let late = |_| std::io::Error::other(format!("{name} does not serve in time"));
        let ready = ready.await.map_err(late)??;
        // What it says from here on is read and dropped, so that it never waits for a reader.
        self.tasks
            .spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let place = |key: &str| {
            let found = ready.split(' ').find_map(|place| place.strip_prefix(key));
            found.unwrap_or_default().to_owned()
        };
        Ok(Process {
            name: name.to_owned(),
            dir: dir.to_owned(),
            data: place("data="),
            peer: place("peer="),
            child,
        })
    }

    /// Shows a command and runs it.
    async fn say(&self, words: &[&str], dir: &Path, show: Show<'_>) -> Result<String, DemoError> {
        let home = format!("{}/", self.home.path().display());
        let shown = words.join(" ").replace(&home, "");
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        show(&format!("  $ tollbook {shown} --dir {name}"));
        self.command(words, dir).await
    }

    async fn command(&self, words: &[&str], dir: &Path) -> Result<String, DemoError> {
        let done = Command::new(&self.program)
            .args(words)
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .output()
            .await?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(std::io::Error::other(format!("`tollbook {}`: {said}", words.join(" "))).into())
    }
}

fn newest_note(node: &Process) -> std::io::Result<String> {
    std::fs::read_to_string(node.dir.join("log/checkpoint"))
}

const ANY: &str = "127.0.0.1:0";

async fn stop(node: &mut Process) -> Result<(), DemoError> {
    let pid = node.child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(std::io::Error::from)?;
    }
    node.child.wait().await?;
    Ok(())
}
