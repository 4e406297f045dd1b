//! What stands above consensus in a node, and its clients: calls, changes, outcomes, seals. All of
//! it runs in the node's process and dies with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use tollbook_audit::note::LogKey;
use tollbook_raft::{Change, Clock, Cluster, CommitError, CosignOptions, View, cosigner};
use tollbook_state::command::{CallId, Command, GrantId, Micros, SPEAKS};
use tollbook_state::{CommandResult, Grant, Sealed, State};
use tollbook_storage::Disk;

use crate::history::History;
use crate::invariants::{Healing, Witness};
use crate::rng::Rng;
use crate::signer::{Desk, Signatures, node_key};
use crate::trace::Trace;
use crate::workload::{self, LAST_GRANT};
use crate::world::peer;

/// From proposing to sending: the gateway's `admit` deadline.
const ADMIT: Duration = Duration::from_secs(3);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this, by the log's time, the leader closes an open call as `unknown`.
const SETTLE_US: u64 = 5_000_000;

/// Numbers that no two nodes give twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    calls: Arc<AtomicU64>,
    grants: Arc<AtomicU64>,
}

impl Numbers {
    pub(crate) fn call(&self) -> CallId {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        id.iter_mut()
            .skip(8)
            .zip(number.to_be_bytes())
            .for_each(|(to, from)| *to = from);
        CallId(id)
    }

    fn grant(&self) -> GrantId {
        workload::grant_id(self.grants.fetch_add(1, Ordering::Relaxed))
    }
}

/// A node's gateway. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) node: u64,
    /// Which start of the machine it is.
    pub(crate) start: u64,
    pub(crate) cluster: Cluster,
    pub(crate) disk: Disk,
    pub(crate) history: History,
    pub(crate) trace: Trace,
    pub(crate) witness: Witness,
    pub(crate) numbers: Numbers,
    pub(crate) signatures: Signatures,
    pub(crate) key: Arc<LogKey>,
}

impl Gateway {
    /// Starts everything that runs as long as the node does.
    pub(crate) fn run(&self, clients: u64, desk: Desk, clock: Clock, rng: &mut Rng) {
        let on = Handle::current();
        drop(on.spawn(self.clone().begin()));
        drop(on.spawn(self.clone().sign(desk, clock)));
        drop(on.spawn(self.clone().keep_house(rng.fork())));
        for _ in 0..clients {
            drop(on.spawn(self.clone().client(rng.fork())));
        }
    }

    /// Commits and remembers. None: the client left before there was an answer.
    pub(crate) async fn commit(
        &self,
        command: &Command,
    ) -> Option<Result<CommandResult, CommitError>> {
        let ticket = self.history.ask(self.node, command, self.trace.now_us());
        let result = timeout(PATIENCE, self.cluster.commit(command)).await.ok();
        let name = name_of(command);
        match &result {
            None => self
                .trace
                .note(self.node, format_args!("{name}: no answer")),
            Some(result) => {
                self.history.tell(ticket, self.trace.now_us(), result);
                match result {
                    Ok(result) => self
                        .trace
                        .note(self.node, format_args!("{name}: {result:?}")),
                    Err(error) => self.trace.note(self.node, format_args!("{name}: {error}")),
                }
            }
        }
        result
    }

    /// Begins the log, with the first members and what calls need. Safe to do again: what is there
    /// stays, and with the last grant all of it is there.
    pub(crate) async fn found(self, genesis: Command, nodes: u64, mut rng: Rng) {
        if self.is_founded() {
            return;
        }
        while self.cluster.read(|state| state.genesis().is_none()) {
            drop(self.commit(&genesis).await);
            sleep(Duration::from_millis(200)).await;
        }
        for node in 2..=nodes {
            while !self.takes_in(node).await {
                sleep(Duration::from_millis(50)).await;
            }
        }
        for number in 0..workload::SERVERS {
            let known = |state: &State| state.server(&workload::server_id(number)).is_some();
            while !self.cluster.read(known) {
                let put = |state: &State| workload::server_put(state, number, &mut rng);
                let put = self.cluster.read(put);
                drop(self.commit(&put).await);
                sleep(Duration::from_millis(50)).await;
            }
        }
        let named = (0..workload::POLICIES).map(workload::policy_name);
        for name in named {
            while self.cluster.read(|state| state.policy(&name).is_none()) {
                drop(
                    self.commit(&workload::policy_put(name.clone(), &mut rng))
                        .await,
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
        while !self.is_founded() {
            drop(self.commit(&workload::last_policy_put()).await);
            drop(self.commit(&workload::last_grant_put(&mut rng)).await);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether all that a run's end needs is there, as far as this node has applied.
    pub(crate) fn is_founded(&self) -> bool {
        self.cluster
            .read(|state| state.grant(&LAST_GRANT).is_some())
    }

    /// Makes a node a voter, if it is not.
    pub(crate) async fn takes_in(&self, node: u64) -> bool {
        let members = self.cluster.status().members;
        let votes = members.get(&node).map(|member| member.voter);
        let change = match votes {
            Some(true) => return true,
            Some(false) => Change::Promote { node },
            None => Change::AddLearner {
                node,
                peer: peer(node),
            },
        };
        self.change(change).await;
        false
    }

    /// Changes the members, and says what came of it.
    pub(crate) async fn change(&self, change: Change) {
        let name = format!("{change:?}");
        match self.cluster.change(change).await {
            Ok(()) => self.trace.note(self.node, format_args!("{name}: done")),
            Err(error) => self.trace.note(self.node, format_args!("{name}: {error}")),
        }
    }

    /// Asks for calls of the last grant until one is denied, which `done` is told.
    pub(crate) async fn use_up(self, done: &Mutex<(Healing, bool)>) {
        let result = self.last_call().await;
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Some(Ok(CommandResult::Admitted(_))) => done.0.admitted += 1,
            Some(Ok(CommandResult::Denied(_))) => done.1 = true,
            Some(Ok(_) | Err(_)) | None => done.0.unknown += 1,
        }
    }

    /// A call that takes one of the last grant's quota and never gives it back.
    async fn last_call(&self) -> Option<Result<CommandResult, CommitError>> {
        let call = self.numbers.call();
        let intent = self
            .cluster
            .read(|state| workload::last_intent(state, call));
        self.commit(&intent?).await
    }

    async fn begin(self) {
        let start = Command::NodeStart {
            software: "sim".into(),
            start: self.start,
            speaks: SPEAKS,
        };
        while !matches!(self.commit(&start).await, Some(Ok(_))) {
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Hands to the cosigner what may be signed, once the whole book is here.
    async fn sign(self, desk: Desk, clock: Clock) {
        let (offer, sealed) = watch::channel(None);
        let (cosigner, run) = cosigner(self.cosigning(sealed, clock));
        desk.open(cosigner);
        drop(Handle::current().spawn(async move { drop(run.await) }));
        let (mut sealed, mut reach) = (self.cluster.sealed(), self.cluster.reach());
        loop {
            let offered = sealed.borrow_and_update().clone();
            if let Some(offered) = offered.filter(|_| reach.borrow_and_update().whole) {
                self.witness.offered(self.node, &offered, &self.disk);
                offer.send_replace(Some(offered));
            }
            let changed = tokio::select! {
                changed = sealed.changed() => changed,
                changed = reach.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn cosigning(&self, sealed: watch::Receiver<Option<Sealed>>, clock: Clock) -> CosignOptions {
        let (viewed, asked) = (self.cluster.clone(), self.cluster.clone());
        let notes = self.signatures.notes();
        CosignOptions {
            node: self.node,
            log_key: Arc::clone(&self.key),
            node_key: Arc::new(node_key(self.node)),
            notebook: Arc::new(self.signatures.clone()),
            clock,
            sealed,
            view: Arc::new(move || View::of(&viewed.status())),
            ask: Arc::new(move |to, message, within| {
                let cluster = asked.clone();
                Box::pin(async move { cluster.ask(to, message, within).await })
            }),
            kept: notes.last_key_value().map_or(0, |(size, _)| *size),
            diverged: false,
            on_diverged: Arc::new(|_| {}),
        }
    }

    /// What the leader does for all.
    async fn keep_house(self, mut rng: Rng) {
        loop {
            sleep(Duration::from_millis(rng.between(700, 1300))).await;
            if !self.cluster.status().leads {
                continue;
            }
            drop(self.commit(&Command::Seal).await);
            let now = self.cluster.read(State::now);
            let before = Micros(now.0.saturating_sub(SETTLE_US));
            let overdue = |state: &State| state.open_calls().any(|call| call.admitted < before);
            if self.cluster.read(overdue) {
                drop(self.commit(&workload::settle(before)).await);
            }
        }
    }

    async fn client(self, mut rng: Rng) {
        loop {
            sleep(Duration::from_millis(rng.between(1, 120))).await;
            if self.cluster.read(|state| state.genesis().is_none()) {
                continue;
            }
            match rng.below(100) {
                0..=79 => self.call(&mut rng).await,
                80..=84 => self.change_policy(&mut rng).await,
                85..=89 => self.revoke(&mut rng).await,
                90..=94 => self.rotate(&mut rng).await,
                95 => self.change_server(&mut rng).await,
                96 => drop(self.last_call().await),
                _ => self.grant(&mut rng).await,
            }
        }
    }

    fn live_grants(&self) -> Vec<Grant> {
        self.cluster.read(|state| {
            state
                .grants()
                .filter(|grant| grant.revoked_at.is_none() && grant.id != LAST_GRANT)
                .cloned()
                .collect()
        })
    }

    async fn call(&self, rng: &mut Rng) {
        let grants = if rng.chance(50) {
            // Revoked ones too: asking under them must not help.
            self.cluster.read(|state| {
                let other = |grant: &&Grant| grant.id != LAST_GRANT;
                state.grants().filter(other).cloned().collect()
            })
        } else {
            self.live_grants()
        };
        let Some(grant) = rng.pick(&grants) else {
            return self.grant(rng).await;
        };
        let elements = if rng.chance(150) {
            rng.between(2, 4)
        } else {
            1
        };
        let calls: Vec<CallId> = (0..elements).map(|_| self.numbers.call()).collect();
        let intent = self
            .cluster
            .read(|state| workload::intent(state, grant, &calls, rng));
        let asked = Instant::now();
        let Some(Ok(CommandResult::Admitted(admitted))) = self.commit(&intent).await else {
            return;
        };
        for call in admitted {
            let gateway = self.clone();
            let rng = rng.fork();
            let in_time = asked.elapsed() < ADMIT;
            drop(Handle::current().spawn(gateway.forward(call.call, in_time, rng)));
        }
    }

    async fn forward(self, call: CallId, in_time: bool, mut rng: Rng) {
        if !in_time {
            drop(self.commit(&workload::not_sent(call)).await);
            return;
        }
        self.history.sent(call, self.trace.now_us());
        let took = match rng.below(100) {
            0..=2 => return,
            3..=6 => rng.between(4_000, 12_000),
            _ => rng.between(1, 500),
        };
        sleep(Duration::from_millis(took)).await;
        drop(self.commit(&workload::outcome(call, &mut rng)).await);
        // A gateway that is not sure tells it again.
        if rng.chance(50) {
            drop(self.commit(&workload::outcome(call, &mut rng)).await);
        }
    }

    async fn change_policy(&self, rng: &mut Rng) {
        let name = workload::policy_name(rng.below(workload::POLICIES));
        drop(self.commit(&workload::policy_put(name, rng)).await);
    }

    async fn change_server(&self, rng: &mut Rng) {
        let number = rng.below(workload::SERVERS);
        let put = self
            .cluster
            .read(|state| workload::server_put(state, number, rng));
        drop(self.commit(&put).await);
    }

    async fn grant(&self, rng: &mut Rng) {
        let live = self.live_grants();
        let id = match rng.pick(&live) {
            Some(grant) if live.len() as u64 >= workload::GRANTS => grant.id,
            Some(_) | None => self.numbers.grant(),
        };
        let put = self
            .cluster
            .read(|state| workload::grant_put(state, id, rng));
        drop(self.commit(&put).await);
    }

    async fn rotate(&self, rng: &mut Rng) {
        if let Some(grant) = rng.pick(&self.live_grants()) {
            let now = self.cluster.read(State::now);
            drop(self.commit(&workload::rotate(grant, now, rng)).await);
        }
    }

    async fn revoke(&self, rng: &mut Rng) {
        let Some(grant) = rng.pick(&self.live_grants()).map(|grant| grant.id) else {
            return;
        };
        let revoke = Command::GrantRevoke {
            actor: "sim".into(),
            grant,
            expected: None,
        };
        drop(self.commit(&revoke).await);
    }
}

const fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Genesis(_) => "genesis",
        Command::ServerPut(_) => "server_put",
        Command::ServerRemove { .. } => "server_remove",
        Command::PolicyPut(_) => "policy_put",
        Command::GrantPut(_) => "grant_put",
        Command::GrantRevoke { .. } => "grant_revoke",
        Command::Intent(_) => "intent",
        Command::Outcome(_) => "outcome",
        Command::List(_) => "list",
        Command::Refused(_) => "refused",
        Command::NodeStart { .. } => "node_start",
        Command::NodeStop { .. } => "node_stop",
        Command::Settle { .. } => "settle",
        Command::Seal => "seal",
        Command::ClockAccept { .. } => "clock_accept",
        Command::GrantRotate(_) => "grant_rotate",
        Command::JoinTokenPut(_) => "join_token_put",
        Command::Join(_) => "join",
        Command::Version { .. } => "version",
        Command::Recover { .. } => "recover",
        Command::KeyChange { .. } => "key_change",
    }
}
