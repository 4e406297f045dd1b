//! The processes that are driven: the sample server and a gate, each alone.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::drive::Target;

/// Allows what is called, with a rule to judge and a counter to charge.
const POLICY: &str = r#"{
  "version": "1",
  "default": "deny",
  "tools": {
    "create_refund": {
      "deny_if": [ { "conditions": [ { "path": "args.amount", "op": "gt", "value": 100 } ] } ],
      "limits": [
        { "counter": "refunds", "window": "day", "scope": "grant", "max": 9000000000 }
      ]
    }
  }
}"#;

/// A peer that did not do its part.
#[derive(Debug)]
pub(crate) struct PeerError(String);

impl PeerError {
    pub(crate) const fn new(why: String) -> Self {
        Self(why)
    }
}

impl std::fmt::Display for PeerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for PeerError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The sample MCP server as a process.
pub(crate) struct Upstream {
    child: Child,
    pub(crate) address: String,
}

/// A node as a process, with one server, policy and grant.
pub(crate) struct Gate {
    child: Child,
    dir: TempDir,
    endpoint: String,
    token: String,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, PeerError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("upstream")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| PeerError("no stdout".into()))?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().to_owned(),
        })
    }

    pub(crate) fn cpu_us(&self) -> Result<u64, PeerError> {
        cpu_us(self.child.id())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Nothing hangs on it: the process holds no data.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Gate {
    pub(crate) fn start(upstream: &Upstream) -> Result<Self, PeerError> {
        let dir = TempDir::new()?;
        let node = dir.path().join("node");
        let at = node.to_string_lossy().into_owned();
        tollbook(&[
            "init",
            "--dir",
            &at,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ])?;
        let mut child = Command::new(program()?)
            .args(["serve", "--dir", &at])
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| PeerError("no stderr".into()))?;
        let mut stderr = BufReader::new(stderr);
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            if stderr.read_line(&mut line)? == 0 {
                return Err(PeerError("tollbook serve ended before it was ready".into()));
            }
        }
        // Read on, so that the node never waits for us to read its log.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        let policy = dir.path().join("policy.json");
        #[expect(
            clippy::disallowed_methods,
            reason = "a scratch file needs no durability"
        )]
        std::fs::write(&policy, POLICY)?;
        let url = format!("http://{}/mcp", upstream.address);
        tollbook(&["server", "add", "sample", "--url", &url, "--dir", &at])?;
        tollbook(&[
            "policy",
            "apply",
            "refunds",
            &policy.to_string_lossy(),
            "--dir",
            &at,
        ])?;
        let made = tollbook(&[
            "grant", "create", "load", "--server", "sample", "--policy", "refunds", "--output",
            "json", "--dir", &at,
        ])?;
        let made: serde_json::Value =
            serde_json::from_str(&made).map_err(|error| PeerError(error.to_string()))?;
        let text = |key: &str| {
            let text = made.get(key).and_then(serde_json::Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Ok(Self {
            child,
            dir,
            endpoint: text("endpoint"),
            token: text("token"),
        })
    }

    pub(crate) fn target(&self) -> Target {
        let rest = self
            .endpoint
            .strip_prefix("http://")
            .unwrap_or(&self.endpoint);
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        Target {
            address: address.to_owned(),
            path: format!("/{path}"),
            token: Some(self.token.clone()),
        }
    }

    pub(crate) fn cpu_us(&self) -> Result<u64, PeerError> {
        cpu_us(self.child.id())
    }

    /// Stops the node in good order and verifies its book.
    pub(crate) fn stop_and_verify(mut self) -> Result<String, PeerError> {
        let pid = self.child.id().to_string();
        let stopped = Command::new("kill").args(["-TERM", &pid]).status()?;
        let ended = self.child.wait()?;
        if !stopped.success() || !ended.success() {
            return Err(PeerError(format!("tollbook serve ended with {ended}")));
        }
        let node = self.dir.path().join("node");
        tollbook(&["audit", "verify", &node.to_string_lossy()])
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Already gone after `stop_and_verify`; else a run was given up.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the sample server until its parent ends it.
pub(crate) fn serve_upstream() -> Result<(), PeerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let sample = tollbook_node::sample::Sample::start(listener, &TaskTracker::new())?;
        println!("{}", sample.address());
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// The program that was built beside this one.
pub(crate) fn program() -> Result<PathBuf, PeerError> {
    let beside = std::env::current_exe()?.with_file_name("tollbook");
    if beside.exists() {
        Ok(beside)
    } else {
        Err(PeerError(format!(
            "{} is missing; run `make build`",
            beside.display()
        )))
    }
}

fn tollbook(arguments: &[&str]) -> Result<String, PeerError> {
    let done = Command::new(program()?).args(arguments).output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(PeerError(format!(
        "tollbook {}: {why}",
        arguments.join(" ")
    )))
}

/// User and system time of a process, all its threads, in microseconds.
fn cpu_us(pid: u32) -> Result<u64, PeerError> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field may hold blanks, in parentheses; the 14th and 15th are ticks of 10 ms.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    Ok(ticks.saturating_mul(10_000))
}
