//! The three nodes as processes, and the commands that set them up.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Holder;
use super::proxy::Proxy;
use super::{LOOK_AGAIN, NODES};
use crate::peers::{PeerError, program};

/// For a healthy node to be ready, and for one to stop in good order.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds that one command may take: a node that is stopped answers nothing.
const COMMAND_S: &str = "15";

/// One node, whether its process runs or not.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) data: String,
    peer: String,
    child: Mutex<Option<Child>>,
}

/// Ports that were free a moment ago: a node keeps its own through restarts.
#[derive(Debug)]
pub(super) struct Ports {
    data: u16,
    admin: u16,
    pub(super) peer: u16,
}

impl Ports {
    /// One set a node.
    pub(super) fn free() -> std::io::Result<[Self; NODES]> {
        let mut held = Vec::new();
        let mut one = || {
            let data = TcpListener::bind("127.0.0.1:0")?;
            let admin = TcpListener::bind("127.0.0.1:0")?;
            let peer = UdpSocket::bind("127.0.0.1:0")?;
            let ports = Self {
                data: data.local_addr()?.port(),
                admin: admin.local_addr()?.port(),
                peer: peer.local_addr()?.port(),
            };
            held.push((data, admin, peer));
            Ok::<_, std::io::Error>(ports)
        };
        let ports = [one()?, one()?, one()?];
        // Held until all are chosen, so that none is chosen twice.
        drop(held);
        Ok(ports)
    }
}

/// One node that begins the cluster, two that join it and are given votes.
pub(super) fn start(
    home: &Path,
    ports: &[Ports; NODES],
    proxy: &Proxy,
) -> Result<Vec<Node>, PeerError> {
    let mut nodes: Vec<Node> = Vec::new();
    for (place, ports) in ports.iter().enumerate() {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let name = format!("node-{}", place + 1);
        let node = Node {
            dir: home.join(&name),
            data: at(ports.data),
            peer: at(ports.peer),
            name: name.clone(),
            child: Mutex::new(None),
        };
        let (admin, advertised) = (at(ports.admin), proxy.advertised(place)?);
        let listens = ["--listen", &node.data, "--admin", &admin];
        let peers = ["--peer", &node.peer, "--advertise-peer", &advertised];
        if let Some(first) = nodes.first() {
            let token = first.command(&["cluster", "token"])?;
            let file = home.join(format!("{name}.token"));
            scratch(&file, &token)?;
            let file = file.to_string_lossy();
            let join = ["join", &first.peer, "--name", &name, "--token-file", &file];
            node.command(&[&join[..], &listens, &peers].concat())?;
        } else {
            let init = ["init", "--origin", "chaos"];
            node.command(&[&init[..], &listens, &peers].concat())?;
        }
        let late = |_| PeerError::new(format!("{name} was not ready in time"));
        node.serve()?.recv_timeout(PATIENCE).map_err(late)?;
        if let Some(first) = nodes.first() {
            first.command(&["cluster", "promote", &name])?;
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// Who leads, as the first node that answers says.
pub(super) fn leader(nodes: &[Node]) -> Option<usize> {
    let status = nodes.iter().find_map(|node| {
        let status = node.command(&["cluster", "status", "--output", "json"]);
        serde_json::from_str::<Value>(&status.ok()?).ok()
    })?;
    let leader = status.get("leader")?.as_u64()?;
    let of_leader = status
        .get("nodes")?
        .as_array()?
        .iter()
        .find(|node| node.get("id").and_then(Value::as_u64) == Some(leader))?;
    let name = of_leader.get("name")?.as_str()?;
    nodes.iter().position(|node| node.name == name)
}

impl Node {
    /// Starts the process; the channel says when it is ready. Its log goes beside its directory.
    pub(super) fn serve(&self) -> Result<Receiver<()>, PeerError> {
        let mut child = Command::new(program()?)
            .args(["serve", "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = child.stderr.take();
        let said = said.ok_or_else(|| PeerError::new("no stderr".into()))?;
        let log = self.dir.with_extension("log");
        let mut log = File::options().create(true).append(true).open(log)?;
        let (tell, ready) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line.starts_with("ready ") {
                    // Nobody may wait for it: a restart is left to itself.
                    tell.try_send(()).ok();
                }
                drop(writeln!(log, "{line}"));
            }
        });
        *self.child() = Some(child);
        Ok(ready)
    }

    /// SIGKILL.
    pub(super) fn kill(&self) -> Result<(), PeerError> {
        if let Some(mut child) = self.child().take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, signal: &str) -> Result<(), PeerError> {
        if let Some(child) = &*self.child() {
            let pid = child.id().to_string();
            Command::new("kill").args([signal, &pid]).status()?;
        }
        Ok(())
    }

    /// Whether a process that should run has ended by itself, and how.
    pub(super) fn ended(&self) -> Option<String> {
        let mut child = self.child();
        let status = child.as_mut()?.try_wait().ok()??;
        Some(format!("{} ended by itself: {status}", self.name))
    }

    /// Waits for the end after SIGTERM; how it went, if not well.
    pub(super) fn wait(&self) -> Result<Option<String>, PeerError> {
        let Some(mut child) = self.child().take() else {
            return Ok(None);
        };
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                let bad = format!("{} ended with {status}", self.name);
                return Ok((!status.success()).then_some(bad));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        child.kill()?;
        child.wait()?;
        Ok(Some(format!("{} did not end after SIGTERM", self.name)))
    }

    /// Makes a grant and gives its holder.
    pub(super) fn grant(&self, label: &str, policy: &str) -> Result<Holder, PeerError> {
        let create = ["grant", "create", label, "--server", "witness", "--policy"];
        let made = self.command(&[&create[..], &[policy, "--output", "json"]].concat())?;
        let made: Value = serde_json::from_str(&made).unwrap_or_default();
        let text = |key: &str| made.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = text("endpoint").split_once("/mcp/").map_or("", |at| at.1);
        Ok(Holder {
            label: label.to_owned(),
            path: format!("/mcp/{path}"),
            token: text("token").to_owned(),
        })
    }

    /// Runs `tollbook` on this node's directory.
    pub(super) fn command(&self, words: &[&str]) -> Result<String, PeerError> {
        let done = Command::new("timeout")
            .arg(COMMAND_S)
            .arg(program()?)
            .args(words)
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .output()?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
        }
        let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        let words = words.join(" ");
        Err(PeerError::new(format!(
            "{}: tollbook {words}: {why}",
            self.name
        )))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Only where a run was given up; else the process was waited for.
        drop(self.kill());
    }
}

/// A file that need not survive anything.
pub(super) fn scratch(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(file, text)
}
