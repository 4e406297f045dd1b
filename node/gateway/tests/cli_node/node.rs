//! A node as a process of its own, with a directory that goes when it does.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A node that serves until it is stopped or dropped.
pub(crate) struct Node {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub(crate) dir: PathBuf,
    _space: TempDir,
}

impl Node {
    pub(crate) fn start() -> Self {
        let space = TempDir::new().unwrap();
        let dir = space.path().join("node");
        let made = tollbook()
            .args([
                "init",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--dir",
            ])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut child = tollbook()
            .args(["serve", "--dir"])
            .arg(&dir)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut node = Self {
            child,
            stderr,
            dir,
            _space: space,
        };
        let mut said = String::new();
        while !said.contains("ready data=http://") {
            let read = node.stderr.read_line(&mut said).unwrap();
            assert!(read > 0, "it ended before it served: {said}");
        }
        node
    }

    /// Runs a command against this node.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        tollbook()
            .args(arguments)
            .arg("--dir")
            .arg(&self.dir)
            .output()
            .unwrap()
    }

    /// The one JSON document that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks the node to stop in good order, and waits until it has.
    pub(crate) fn stop(mut self) -> Self {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
        self
    }

    pub(crate) fn admin(&self) -> String {
        let run: Value = serde_json::from_slice(&fs::read(self.dir.join("run")).unwrap()).unwrap();
        run.get("admin")
            .and_then(Value::as_str)
            .unwrap()
            .strip_prefix("http://")
            .unwrap()
            .to_owned()
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.dir.join("admin.token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Sends bytes to the admin plane; the answer's status, head and body.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.admin()).unwrap();
        stream.write_all(request.as_ref()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn tollbook() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook"));
    for variable in ["TOLLBOOK_DIR", "TOLLBOOK_ADDR", "TOLLBOOK_TOKEN_FILE"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn policy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/policies")
        .join(name);
    path.to_str().unwrap().to_owned()
}
