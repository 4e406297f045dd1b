//! A gate on a fresh directory before the built-in sample server, and what a test asks of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use tollbook_audit::dir::{Options, Records, verify};
use tollbook_node::clock::Clock;
use tollbook_node::config::{Address, Config};
use tollbook_node::dir::{Dir, read_token};
use tollbook_node::node::Start;
use tollbook_node::token::Class;
use tollbook_node::trial::{Granted, Trial};
use tollbook_state::command::ServerId;

use crate::client::{Ask, Client, PATIENCE, ask};

/// A policy that allows all.
pub(crate) const ALLOW: &str = r#"{"version":"1","default":"allow"}"#;
/// `echo` once a day and no more.
pub(crate) const ONCE: &str = r#"{"version":"1","tools":{"echo":{"limits":[
    {"counter":"n","window":"day","scope":"grant","max":1,"on_deny":"Spent."}]}}}"#;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running gate and its directory.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) trial: Trial,
    home: Home,
    names: AtomicU64,
}

/// The directory that all of a gate is in.
#[derive(Debug)]
struct Home(TempDir);

impl Home {
    fn node(&self) -> PathBuf {
        self.0.path().join("node")
    }
}

impl Drop for Home {
    /// A test that fails leaves its node running: without its files that would end the process,
    /// and with it every other test. They may also show what happened.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
        }
    }
}

impl Gate {
    /// A gate as it comes.
    pub(crate) async fn start() -> Self {
        Self::with(|_config| {}).await
    }

    /// A gate whose configuration was changed.
    pub(crate) async fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let clock = Clock::away_from_the_hour();
        Self::open(
            edit,
            Start {
                clock,
                ..Start::default()
            },
        )
        .await
    }

    /// A gate, all told.
    pub(crate) async fn open(edit: impl FnOnce(&mut Config), start: Start) -> Self {
        let home = Home(TempDir::with_prefix("tollbook-gate-").expect("a directory"));
        let mut config = Config::default();
        let any_port = || Address::parse("127.0.0.1:0").expect("an address");
        config.node.id = 1;
        config.node.name = "gate".to_owned();
        config.listen.data = any_port();
        config.listen.admin = any_port();
        config.listen.peer = any_port();
        config.cluster.origin = format!("gate/tollbook/{}", uuid::Uuid::new_v4());
        // A call that hangs at the end of a test should not hold it up.
        config.deadlines.drain = Duration::from_secs(1);
        edit(&mut config);
        let root = home.node();
        drop(Dir::init(&root, &config).expect("a fresh directory"));
        let trial = Trial::start(&root, 0, start)
            .await
            .expect("a gate that starts");
        Self {
            trial,
            home,
            names: AtomicU64::new(0),
        }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.trial.running.data
    }

    /// A grant for the sample server under a policy of its own.
    pub(crate) async fn grant(&self, policy: &str) -> Granted {
        self.grant_for(self.trial.server, policy).await
    }

    /// A grant for `server` under a policy of its own.
    pub(crate) async fn grant_for(&self, server: ServerId, policy: &str) -> Granted {
        let name = format!("policy-{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.trial
            .apply(&name, policy)
            .await
            .expect("a policy without errors");
        self.trial
            .grant(&name, server, Some(&name))
            .await
            .expect("a grant")
    }

    /// Adds a server at this address.
    pub(crate) async fn server(&self, at: SocketAddr) -> ServerId {
        let name = format!("server-{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.trial
            .put_server(&name, format!("http://{at}/mcp"))
            .await
            .expect("a server")
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, request: &Ask) -> crate::client::Response {
        ask(self.address(), request).await
    }

    /// Begins a legacy session; its id as the client sees it.
    pub(crate) async fn initialize(&self, grant: &Granted) -> String {
        let params = concat!(
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"#,
            r#""clientInfo":{"name":"test","version":"1"}}"#
        );
        let body = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
        let response = self.ask(&Ask::new(grant, body)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response
            .header("mcp-session-id")
            .expect("a session")
            .to_owned()
    }

    /// The node's directory.
    pub(crate) fn node_dir(&self) -> PathBuf {
        self.home.node()
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let file = Dir::at(self.node_dir()).admin_token_file();
        let token = read_token(&file, Class::Admin).expect("an admin token");
        let head = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ";
        let request = format!("{head}{}\r\n\r\n", token.expose());
        let mut client = Client::connect(self.trial.running.admin).await;
        client.send(request.as_bytes()).await;
        let response = client.response().await.expect("metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        response.text()
    }

    /// How many records the book has.
    pub(crate) fn size(&self) -> u64 {
        let cluster = &self.trial.running.node.cluster;
        cluster.read(|state| state.head().map_or(0, tollbook_audit::Head::size))
    }

    /// The book's records from index `from` on, as they stand now.
    pub(crate) fn records_from(&self, from: u64) -> Vec<Value> {
        let records = Records::open(&self.home.node(), from).expect("a book");
        records
            .map(|record| record.expect("a record that can be read").1)
            .map(|bytes| serde_json::from_slice(&bytes).expect("a record is JSON"))
            .collect()
    }

    /// The book's records of one kind, as they stand now.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let mut records = self.records_from(0);
        records.retain(|record| record["k"] == kind);
        records
    }

    /// Status of each outcome in the book, in order.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let text = |record: &Value| record["status"].as_str().unwrap_or_default().to_owned();
        self.records("outcome").iter().map(text).collect()
    }

    /// Waits until the book has so many outcomes, and returns their statuses.
    pub(crate) async fn await_outcomes(&self, count: usize) -> Vec<String> {
        until("the outcomes", || self.outcomes().len() >= count).await;
        self.outcomes()
    }

    /// Stops in good order; the book must then be valid, to the last record.
    pub(crate) async fn stop(self) {
        let Self {
            trial,
            home,
            names: _,
        } = self;
        timeout(PATIENCE, trial.stop())
            .await
            .expect("a stop in time");
        let report = verify(&home.node(), &Options::default());
        assert_eq!(report.verdict.name(), "valid", "{report}");
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_late| panic!("{what} did not come"));
}

/// Holds entries between their apply and everybody who waits for them, while it is shut.
#[derive(Debug, Default)]
pub(crate) struct Barrier(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    shut: std::sync::Mutex<bool>,
    opened: std::sync::Condvar,
    waiting: AtomicU64,
}

impl Barrier {
    /// A start with this barrier in it.
    pub(crate) fn start(&self) -> Start {
        let held = Arc::clone(&self.0);
        let on_frames = move |_index: u64, _frames: &[tollbook_audit::Frame]| held.pass();
        Start {
            clock: Clock::away_from_the_hour(),
            on_frames: Some(Arc::new(on_frames)),
            ..Start::default()
        }
    }

    /// From now on entries wait.
    pub(crate) fn shut(&self) {
        *self.0.shut.lock().expect("no panic under the lock") = true;
    }

    /// Lets all go on.
    pub(crate) fn open(&self) {
        *self.0.shut.lock().expect("no panic under the lock") = false;
        self.0.opened.notify_all();
    }

    /// Waits until an entry waits.
    pub(crate) async fn holds(&self) {
        until("an entry to wait", || {
            self.0.waiting.load(Ordering::SeqCst) > 0
        })
        .await;
    }
}

impl Drop for Barrier {
    /// A test that fails must not leave the node's thread waiting.
    fn drop(&mut self) {
        self.open();
    }
}

impl Held {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.shut.lock().expect("no panic under the lock");
        while *shut {
            shut = self.opened.wait(shut).expect("no panic under the lock");
        }
        drop(shut);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
