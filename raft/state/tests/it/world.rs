//! A log with one state at its end, and a twin that must agree at every step.

use std::collections::BTreeMap;

use serde_json::Value;

use tollbook_audit::{Frame, next_frame};
use tollbook_state::codec::encode_batch;
use tollbook_state::command::{
    Batch, CallId, Cause, Charge, Command, Decision, Element, Genesis, GrantId, GrantPut, Intent,
    Join, JoinTokenId, JoinTokenPut, LimitRow, Micros, Outcome, Place, PolicyDigest, PolicyPut,
    RuleRow, Scope, ServerId, ServerPut, Status, TokenHash, Upstream, Window,
};
use tollbook_state::{CommandResult, Effects, EntryMeta, Member, Members, Payload, Role, State};

/// 2026-11-24T10:00:00Z.
pub(crate) const START: u64 = 1_795_514_400_000_000;
pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const HOUR: u64 = 3600 * SECOND;
pub(crate) const GRANT: GrantId = GrantId(*b"grant0000001");
pub(crate) const SERVER: ServerId = ServerId([7; 16]);
pub(crate) const DIGEST: PolicyDigest = PolicyDigest([1; 32]);

pub(crate) struct World {
    pub(crate) state: State,
    twin: State,
    /// What a store would hold.
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) frames: Vec<Frame>,
    /// The leader's clock.
    pub(crate) clock: u64,
    pub(crate) node: u32,
    pub(crate) boot: u64,
    sequences: BTreeMap<(u32, u64), u64>,
    log_index: u64,
    /// Of the next entry.
    pub(crate) term: u64,
}

impl World {
    /// Before the first entry.
    pub(crate) fn empty() -> Self {
        Self {
            state: State::new(),
            twin: State::new(),
            rows: BTreeMap::new(),
            frames: Vec::new(),
            clock: START,
            node: 1,
            boot: 100,
            sequences: BTreeMap::new(),
            log_index: 0,
            term: 1,
        }
    }

    /// After genesis: one server, one policy `p` with these limits, one grant under it.
    pub(crate) fn with_limits(limits: Vec<LimitRow>) -> Self {
        let mut world = Self::empty();
        // The first leader's first entry stands before the genesis.
        world.entry(None, Payload::Blank);
        let results = world.run(vec![
            Command::Genesis(genesis()),
            Command::ServerPut(server_put()),
            Command::PolicyPut(policy_put(DIGEST, limits)),
            Command::GrantPut(grant_put()),
        ]);
        assert_eq!(results.len(), 4);
        for result in &results[1..] {
            assert_eq!(
                *result,
                CommandResult::Put {
                    revision: 1,
                    changed: true
                }
            );
        }
        world
    }

    /// One limit: `max` calls of the grant each hour.
    pub(crate) fn hourly(max: u64) -> Self {
        Self::with_limits(vec![limit("calls", Window::Hour, Scope::Grant, max)])
    }

    pub(crate) fn wait(&mut self, us: u64) {
        self.clock += us;
    }

    pub(crate) fn one(&mut self, command: Command) -> CommandResult {
        self.run(vec![command]).remove(0)
    }

    pub(crate) fn run(&mut self, commands: Vec<Command>) -> Vec<CommandResult> {
        let place = self.next_place();
        let bytes = encode_batch(&Batch { place, commands });
        let receipts = self
            .batch(&bytes)
            .receipts
            .expect("a new batch has receipts");
        assert_eq!(receipts.place, place);
        receipts.results
    }

    pub(crate) fn next_place(&mut self) -> Place {
        let (node, boot) = (self.node, self.boot);
        let sequence = self.sequences.entry((node, boot)).or_default();
        *sequence += 1;
        Place {
            node,
            boot,
            sequence: *sequence,
        }
    }

    pub(crate) fn batch(&mut self, bytes: &[u8]) -> Effects {
        self.clock += 1;
        self.entry(Some(Micros(self.clock)), Payload::Batch(bytes))
    }

    pub(crate) fn membership(&mut self, members: &Members) -> Effects {
        self.entry(None, Payload::Membership(members))
    }

    /// Applies one entry and checks all that must hold after any.
    pub(crate) fn entry(&mut self, stamp: Option<Micros>, payload: Payload<'_>) -> Effects {
        let log_index = self.log_index;
        self.log_index += 1;
        let meta = EntryMeta {
            term: self.term,
            log_index,
            node: self.node,
            stamp,
        };
        let before = self.state.now();
        let effects = self.state.apply(meta, payload);
        assert_eq!(self.twin.apply(meta, payload), effects);
        assert!(effects.t > before, "the log's time moves on");
        self.store(&effects);
        let mut next = self.state.head().map_or(0, tollbook_audit::Head::size);
        for frame in effects.frames.iter().rev() {
            next -= u64::from(frame.count);
            assert_eq!(frame.first_index, next);
        }
        self.frames.extend(effects.frames.iter().cloned());
        effects
    }

    fn store(&mut self, effects: &Effects) {
        for (key, value) in &effects.writes {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        let loaded = State::load(self.rows.clone().into_iter()).expect("what was written loads");
        assert_eq!(loaded, self.state);
        assert_eq!(loaded.digest(), self.state.digest());
        let stored: BTreeMap<_, _> = self.state.stored().collect();
        assert_eq!(stored, self.rows);
    }

    /// All records so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for frame in &self.frames {
            let view = next_frame(&frame.bytes)
                .expect("a good frame")
                .expect("a whole frame");
            for record in view.records() {
                assert!(record.len() <= 32_768);
                records.push(serde_json::from_slice(record).expect("a record is JSON"));
            }
        }
        records
    }

    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.records()
            .into_iter()
            .filter(|record| record["k"] == kind)
            .collect()
    }

    pub(crate) fn last(&self) -> Value {
        self.records().pop().expect("there are records")
    }

    /// What is used of all counters together.
    pub(crate) fn used(&self) -> u64 {
        self.state.counters().map(|(_, used)| used).sum()
    }

    /// Asks for one call and expects it to pass.
    pub(crate) fn admit(&mut self, call: u8, charges: Vec<Charge>) -> CallId {
        let result = self.one(Command::Intent(intent(vec![allow(call, charges)])));
        let CommandResult::Admitted(calls) = result else {
            panic!("not admitted: {result:?}");
        };
        calls[0].call
    }
}

/// These nodes vote, with names and keys of their own.
pub(crate) fn members(nodes: &[u32]) -> Members {
    let member = |node: &u32| Member {
        node: *node,
        role: Role::Voter,
        name: format!("n{node}"),
        key: format!("n{node}+00000000+AAAA"),
    };
    Members {
        nodes: nodes.iter().map(member).collect(),
    }
}

pub(crate) fn node_start(start: u64) -> Command {
    Command::NodeStart {
        software: "tollbook 0.1.0".into(),
        start,
        speaks: 1,
    }
}

/// Valid for an hour from the beginning of the world.
pub(crate) fn join_token(id: u8) -> JoinTokenPut {
    JoinTokenPut {
        actor: "admin".into(),
        id: JoinTokenId([b'a' + id; 12]),
        hash: TokenHash([id; 32]),
        expires: Micros(START + HOUR),
    }
}

pub(crate) fn join(id: u8, name: &str) -> Join {
    let JoinTokenPut { id, hash, .. } = join_token(id);
    Join {
        id,
        hash,
        name: name.into(),
        peer_address: "192.0.2.7:7302".into(),
        data_address: "192.0.2.7:7300".into(),
        verifier_key: format!("{name}+00000000+AAAA"),
        certificate: [6; 32],
    }
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        origin: "example.com/tollbook/0".into(),
        log_key: "example.com/tollbook/0+00000000+AAAA".into(),
        members: vec![(1, "node1+00000000+AAAA".into())],
        software: "tollbook 0.1.0".into(),
        prior: None,
    }
}

pub(crate) fn server_put() -> ServerPut {
    ServerPut {
        actor: "admin".into(),
        server: SERVER,
        name: "chat".into(),
        upstream: Upstream::Http {
            url: "http://127.0.0.1:9/mcp".into(),
            headers: vec![("Authorization".into(), "env:CHAT_TOKEN".into())],
        },
        expected: 0,
    }
}

pub(crate) fn policy_put(digest: PolicyDigest, limits: Vec<LimitRow>) -> PolicyPut {
    PolicyPut {
        actor: "admin".into(),
        name: "p".into(),
        digest,
        text: r#"{"version":"1"}"#.into(),
        rules: vec![RuleRow {
            rule: "/tools/post/require/args.channel-in".into(),
            pointer: "/tools/post/require/0/conditions/0".into(),
            message: Some("only bot channels".into()),
        }],
        limits,
        expected: None,
    }
}

pub(crate) fn grant_put() -> GrantPut {
    GrantPut {
        actor: "admin".into(),
        grant: GRANT,
        label: "ci-bot".into(),
        owner: Some("ann".into()),
        server: SERVER,
        policy: Some("p".into()),
        token: TokenHash([9; 32]),
        not_before: None,
        expires: None,
        expected: 0,
    }
}

pub(crate) fn limit(counter: &str, window: Window, scope: Scope, max: u64) -> LimitRow {
    LimitRow {
        rule: format!("/tools/post/limits/{counter}"),
        pointer: "/tools/post/limits/0".into(),
        message: Some(format!("{counter} are spent")),
        counter: counter.into(),
        window,
        scope,
        max,
    }
}

pub(crate) fn intent(elements: Vec<Element>) -> Intent {
    Intent {
        grant: GRANT,
        server: SERVER,
        grant_revision: 1,
        server_revision: 1,
        policy: Some(DIGEST),
        client: "test 1".into(),
        session: Some([5; 16]),
        elements,
    }
}

pub(crate) fn call(id: u8) -> CallId {
    CallId([id; 16])
}

pub(crate) fn charge(limit: u32, amount: u64) -> Charge {
    Charge {
        limit,
        amount: Some(amount),
    }
}

pub(crate) fn allow(id: u8, charges: Vec<Charge>) -> Element {
    element(id, Decision::Allow { charges })
}

pub(crate) fn deny(id: u8, cause: Cause) -> Element {
    element(id, Decision::Deny(cause))
}

pub(crate) fn element(id: u8, decision: Decision) -> Element {
    Element {
        call: call(id),
        method: "tools/call".into(),
        tool: Some("post".into()),
        tool_definition: None,
        decision,
        argument_keys: vec!["channel".into(), "text".into()],
        argument_keys_more: 0,
        commitments: Vec::new(),
        traceparent: None,
        rpc_id: Some([3; 32]),
    }
}

pub(crate) fn outcome(call: CallId, status: Status, never_reached: bool) -> Command {
    Command::Outcome(Outcome {
        call,
        status,
        never_reached,
        bytes: 120,
        duration_us: 4000,
        result_commitment: None,
    })
}

pub(crate) const RECORDED: fn(&CommandResult) -> bool =
    |result| matches!(result, CommandResult::Recorded { count: 1, .. });
