//! `kill -9` under load, fifty times on one directory: real processes, a real server that
//! remembers what it saw, and a book that must account for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use tollbook_audit::dir::segments;
use tollbook_audit::frame::next_frame;
use tollbook_node::clock::Clock;

use crate::book::{outcomes, records, verdict};
use crate::line::{Line, traceparent};

const KILLS: u64 = 50;
const CLIENTS: u64 = 8;
/// Answers that a turn waits for before it kills.
const ANSWERS: u64 = 60;

/// A server that answers every call and remembers when it saw which. The sample server counts, but
/// does not remember calls one by one.
struct Witness {
    address: SocketAddr,
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Witness {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let of_thread = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&of_thread);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, seen }
    }
}

/// Until the peer closes the connection.
fn serve(stream: TcpStream, seen: &Mutex<BTreeMap<String, u64>>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut trace, mut line) = (0, String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().ok()?,
                    "traceparent" => value.trim().clone_into(&mut trace),
                    _ => {}
                }
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let before = seen
            .lock()
            .unwrap()
            .insert(trace.clone(), Clock::default().wall().0);
        assert_eq!(before, None, "{trace} was sent twice");
        let call: Value = serde_json::from_slice(&body).ok()?;
        let result = r#"{"content":[{"type":"text","text":"seen"}]}"#;
        let reply = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
            call["id"]
        );
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{reply}",
            reply.len()
        )
        .ok()?;
    }
}

/// A gate as a process.
struct Gate {
    child: Child,
    // Held open: a node that logs to nobody must not be stopped by it.
    _stderr: std::thread::JoinHandle<()>,
}

impl Gate {
    fn start(dir: &Path, frames: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollbook"))
            .args(["serve", "--dir"])
            .arg(dir)
            .arg("--frames-to")
            .arg(frames)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ready ") {
            let before = std::mem::take(&mut line);
            let read = stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it was ready: {before}");
        }
        let drain = std::thread::spawn(move || drop(stderr.read_to_end(&mut Vec::new())));
        Self {
            child,
            _stderr: drain,
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn tollbook(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_tollbook"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn fifty_kills_lose_nothing_and_forward_nothing_without_its_intent() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let frames = home.path().join("frames");
    let at = dir.to_str().unwrap();
    let witness = Witness::start();
    // The data plane's port stays, so that the endpoint does.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    tollbook(&[
        "init",
        "--dir",
        at,
        "--listen",
        &listen,
        "--admin",
        "127.0.0.1:0",
    ]);
    let gate = Gate::start(&dir, &frames);
    let (endpoint, token) = set_up(home.path(), at, &witness);
    gate.stop();

    let next = AtomicU64::new(1);
    let mut answered = BTreeMap::new();
    for turn in 0..KILLS {
        let gate = Gate::start(&dir, &frames);
        // Half are killed in the middle of calls, half between them.
        let amid = turn % 2 == 0;
        let count = ANSWERS + turn % 7 * 5;
        answered.extend(load(&endpoint, &token, &next, count, gate, amid));
        let now = verdict(&dir);
        assert!(
            ["valid", "exceptions"].contains(&now.as_str()),
            "turn {turn}: {now}"
        );
    }
    Gate::start(&dir, &frames).stop();
    account_for(&dir, &frames, &witness, &answered);
}

/// One server, policy and grant; gives endpoint and token.
fn set_up(home: &Path, at: &str, witness: &Witness) -> (String, String) {
    let policy: PathBuf = home.join("policy.json");
    let text = r#"{"version":"1","default":"deny","tools":{
        "note":{"deny_if":[{"conditions":[{"path":"args.n","op":"gt","value":2}]}]}}}"#;
    let mut file = std::fs::File::create(&policy).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let url = format!("http://{}/mcp", witness.address);
    tollbook(&["server", "add", "witness", "--url", &url, "--dir", at]);
    tollbook(&[
        "policy",
        "apply",
        "notes",
        policy.to_str().unwrap(),
        "--dir",
        at,
    ]);
    let made = tollbook(&[
        "grant", "create", "load", "--server", "witness", "--policy", "notes", "--output", "json",
        "--dir", at,
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("endpoint"), text("token"))
}

/// Calls from several clients until `count` answers have come; then kills the gate: `amid` calls
/// that are on their way, or after the last of them has its answer. Gives the answers: by call,
/// whether it was denied.
fn load(
    endpoint: &str,
    token: &str,
    next: &AtomicU64,
    count: u64,
    gate: Gate,
    amid: bool,
) -> BTreeMap<u64, bool> {
    let answers = Mutex::new(BTreeMap::new());
    let stop = AtomicBool::new(false);
    let so_far = AtomicU64::new(0);
    let give_up = Clock::default().moment().after(Duration::from_secs(60));
    let idle = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let Ok(mut line) = Line::open(endpoint, token) else {
                    return;
                };
                while !stop.load(Ordering::SeqCst) {
                    let trace = next.fetch_add(1, Ordering::SeqCst);
                    let arguments = format!(r#"{{"n":{}}}"#, trace % 4);
                    // A broken line is a call that hung when the gate died.
                    let Ok(seen) = line.call("note", &arguments, trace) else {
                        return;
                    };
                    assert!(seen.is_result() || seen.is_denied(), "{seen:?}");
                    answers.lock().unwrap().insert(trace, seen.is_denied());
                    so_far.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while so_far.load(Ordering::SeqCst) < count {
            let left = give_up.left(Clock::default().moment());
            assert!(!left.is_zero(), "the answers stopped coming");
            std::thread::yield_now();
        }
        if amid {
            gate.kill();
            stop.store(true, Ordering::SeqCst);
            None
        } else {
            stop.store(true, Ordering::SeqCst);
            Some(gate)
        }
    });
    if let Some(gate) = idle {
        gate.kill();
    }
    answers.into_inner().unwrap()
}

/// Holds the book against what was seen outside.
fn account_for(dir: &Path, frames: &Path, witness: &Witness, answered: &BTreeMap<u64, bool>) {
    assert_eq!(verdict(dir), "valid");
    let all = records(dir);
    let outcomes = outcomes(&all);
    let mut intents: BTreeMap<String, &Value> = BTreeMap::new();
    for intent in all.iter().filter(|record| record["k"] == "intent") {
        let trace = intent["traceparent"]
            .as_str()
            .expect("every call had one")
            .to_owned();
        assert!(
            intents.insert(trace, intent).is_none(),
            "two intents of one call"
        );
    }
    let seen = witness.seen.lock().unwrap();
    for (trace, at) in seen.iter() {
        let intent = intents
            .get(trace)
            .unwrap_or_else(|| panic!("{trace} ran without an intent"));
        assert_eq!(intent["verdict"], "allow");
        assert!(
            intent["t"].as_u64().unwrap() <= *at,
            "{trace} ran before its intent"
        );
    }
    let mut statuses = BTreeSet::new();
    for (trace, denied) in answered {
        let intent = intents
            .get(&traceparent(*trace))
            .expect("an answered call is in the book");
        let call = intent["call"].as_str().unwrap();
        if *denied {
            assert_eq!(intent["verdict"], "deny");
            assert_eq!(outcomes.get(call), None);
        } else {
            assert_eq!(
                outcomes.get(call).map(String::as_str),
                Some("ok"),
                "call {trace}"
            );
        }
    }
    for intent in intents
        .values()
        .filter(|intent| intent["verdict"] == "allow")
    {
        let status = outcomes
            .get(intent["call"].as_str().unwrap())
            .expect("nothing is left open");
        statuses.insert(status.as_str());
    }
    assert!(statuses.contains("ok"));
    assert!(
        statuses.contains("unknown"),
        "no kill met a call on its way: {statuses:?}"
    );
    check_frames(dir, frames);
}

/// Every frame that was reported at apply stands in the segments exactly once.
fn check_frames(dir: &Path, reported: &Path) {
    let mut in_book: BTreeMap<u64, String> = BTreeMap::new();
    for first in segments(dir).unwrap() {
        let bytes = std::fs::read(dir.join(format!("log/seg/{first:020}.tbs"))).unwrap();
        let mut rest = bytes.as_slice();
        while let Some(frame) = next_frame(rest).unwrap() {
            let hash = tollbook_audit::hex(&frame.hash);
            assert!(in_book.insert(frame.header.frame_no, hash).is_none());
            rest = &rest[frame.bytes.len()..];
        }
    }
    let mut count = 0;
    for line in std::fs::read_to_string(reported).unwrap().lines() {
        // A kill may have cut the last line of its time short.
        let mut parts = line.split(' ');
        let (Some(number), Some(_first), Some(hash)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if hash.len() == 64 {
            assert_eq!(
                in_book.get(&number.parse().unwrap()).map(String::as_str),
                Some(hash)
            );
            count += 1;
        }
    }
    assert!(count > 1_000, "{count} frames were reported");
}
