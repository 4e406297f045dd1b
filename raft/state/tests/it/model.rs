//! Random commands against an oracle that keeps everything that ever happened and counts it anew
//! each time. Windows come from a calendar library, not from the state's own arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

use crate::world::{
    DIGEST, HOUR, SECOND, World, element, genesis, grant_put, limit, node_start, policy_put,
    server_put,
};
use tollbook_state::command::{
    CallId, Cause, Charge, Command, Decision, GrantId, GrantPut, GrantRotate, Intent, LimitRow,
    Micros, Outcome, PolicyDigest, PolicyPut, Scope, ServerId, ServerPut, Status, TokenHash,
    Window,
};
use tollbook_state::{Account, CommandResult, DeniedBy, ElementResult, Unauthorised};

/// One thing that a node, an administrator or the leader may do next.
#[derive(Clone, Debug)]
enum Step {
    Ask(Ask),
    /// Which of all calls so far, how, and whether it never reached the upstream.
    End(usize, Status, bool),
    Put(Put),
    Rename {
        server: u8,
        name: u8,
    },
    /// `off`: how far the revision is off that it names.
    Revoke {
        grant: u8,
        off: u64,
    },
    /// Grant, token, overlap, and how far the revision is off.
    Rotate(u8, u8, u64, u64),
    Rule {
        policy: u8,
        table: u8,
    },
    Settle {
        back: u64,
    },
    Start {
        node: u32,
        boot: u64,
    },
    Stop,
    Wait {
        us: i64,
    },
}

#[derive(Clone, Debug)]
struct Ask {
    grant: u8,
    /// The charges of each element: row and amount.
    elements: Vec<Vec<(u32, Option<u64>)>>,
    /// Which revision is wrong; 0: none.
    stale: u8,
    /// The policy denies the first element.
    deny: bool,
}

#[derive(Clone, Copy, Debug)]
struct Put {
    grant: u8,
    policy: Option<u8>,
    owner: Option<u8>,
    server: u8,
    life: Option<u64>,
    label: u8,
}

#[derive(Clone)]
struct OracleGrant {
    revision: u64,
    server: ServerId,
    policy: Option<String>,
    owner: Option<String>,
    expires: Option<u64>,
    revoked: bool,
    label: u8,
    token: u8,
    /// The token before, and until when.
    former: Option<(u8, u64)>,
}

/// A charge that was made and not given back.
struct Spent {
    call: CallId,
    account: String,
    counter: String,
    window: String,
    amount: u64,
}

struct OpenCall {
    call: CallId,
    grant: GrantId,
    node: u32,
    boot: u64,
    admitted: u64,
}

#[derive(Default)]
struct Oracle {
    now: u64,
    grants: BTreeMap<GrantId, OracleGrant>,
    /// Revision and name.
    servers: BTreeMap<ServerId, (u64, String)>,
    policies: BTreeMap<String, (PolicyDigest, Vec<LimitRow>)>,
    spent: Vec<Spent>,
    open: Vec<OpenCall>,
    unknown: BTreeMap<CallId, GrantId>,
    /// Grants in the order of their records that carry a `gs`.
    written: Vec<GrantId>,
}

fn grant_id(n: u8) -> GrantId {
    let mut id = *b"grant0000000";
    id[11] = b'0' + n;
    GrantId(id)
}

fn server_id(n: u8) -> ServerId {
    ServerId([100 + n; 16])
}

fn policy_name(n: u8) -> String {
    format!("policy{n}")
}

/// Tables that share counters between policies, windows and scopes.
fn table(n: u8) -> Vec<LimitRow> {
    let windows = [Window::Minute, Window::Hour, Window::Day, Window::Month];
    let scopes = [Scope::Grant, Scope::Owner, Scope::Policy, Scope::Server];
    (0..4)
        .map(|row| {
            let pick = usize::from(n) + row;
            let max = [3, 7, 0, 12][(usize::from(n) * 3 + row) % 4];
            limit(
                ["a", "b"][row % 2],
                windows[pick % 4],
                scopes[(pick / 2) % 4],
                max,
            )
        })
        .collect()
}

/// `2026-11-24T10:00` cut to what the window tells apart.
fn window_text(window: Window, t: u64) -> String {
    let text = Timestamp::from_microsecond(i64::try_from(t).unwrap())
        .unwrap()
        .to_string();
    let length = match window {
        Window::Minute => 16,
        Window::Hour => 13,
        Window::Day => 10,
        Window::Month => 7,
    };
    text.chars().take(length).collect()
}

impl Oracle {
    fn account(&self, scope: Scope, id: GrantId) -> String {
        let grant = &self.grants[&id];
        match scope {
            Scope::Grant => format!("grant {id:?}"),
            Scope::Policy => format!("policy {}", grant.policy.as_ref().unwrap()),
            Scope::Server => format!("server {:?}", grant.server),
            Scope::Owner => match &grant.owner {
                Some(owner) => format!("owner {owner}"),
                None => format!("ownerless {id:?}"),
            },
        }
    }

    fn used(&self, account: &str, counter: &str, window: &str) -> u64 {
        self.spent
            .iter()
            .filter(|s| (&*s.account, &*s.counter, &*s.window) == (account, counter, window))
            .map(|s| s.amount)
            .sum()
    }

    fn live(&self, id: GrantId) -> Result<(), Unauthorised> {
        let grant = self.grants.get(&id).ok_or(Unauthorised::Unknown)?;
        if grant.revoked {
            return Err(Unauthorised::Revoked);
        }
        match grant.expires {
            Some(end) if end <= self.now => Err(Unauthorised::Expired),
            _ => Ok(()),
        }
    }

    fn digest(&self, id: GrantId) -> Option<PolicyDigest> {
        let name = self.grants[&id].policy.as_ref()?;
        self.policies.get(name).map(|(digest, _)| *digest)
    }

    /// Charges one element on top of all that was charged before, or says which limit denies.
    fn charge(&mut self, intent: &Intent, call: CallId, charges: &[Charge]) -> Result<(), u32> {
        let name = self.grants[&intent.grant].policy.clone().unwrap();
        let rows = self.policies[&name].1.clone();
        let before = self.spent.len();
        for charge in charges {
            let row = &rows[usize::try_from(charge.limit).unwrap()];
            let account = self.account(row.scope, intent.grant);
            let window = format!("{:?} {}", row.window, window_text(row.window, self.now));
            let used = self.used(&account, &row.counter, &window);
            let amount = charge.amount.filter(|amount| used + amount <= row.max);
            let Some(amount) = amount else {
                self.spent.truncate(before);
                return Err(charge.limit);
            };
            let counter = row.counter.clone();
            self.spent.push(Spent {
                call,
                account,
                counter,
                window,
                amount,
            });
        }
        Ok(())
    }

    /// What an intent comes to.
    fn ask(&mut self, intent: &Intent, node: u32, boot: u64) -> String {
        if let Err(why) = self.live(intent.grant) {
            return format!("unauthorised {why:?}");
        }
        let grant = &self.grants[&intent.grant];
        let fresh = (grant.revision, grant.server) == (intent.grant_revision, intent.server)
            && self.servers[&intent.server].0 == intent.server_revision
            && self.digest(intent.grant) == intent.policy;
        if !fresh {
            return "stale".into();
        }
        let before = self.spent.len();
        let mut told = Vec::new();
        let mut denied = 0;
        for element in &intent.elements {
            let verdict = match &element.decision {
                Decision::Allow { charges } => self.charge(intent, element.call, charges),
                Decision::Deny(_) => Err(u32::MAX),
            };
            denied += usize::from(verdict.is_err());
            told.push(verdict.err());
        }
        if denied > 0 {
            self.spent.truncate(before);
            self.written
                .extend(std::iter::repeat_n(intent.grant, denied));
            return format!("denied {told:?}");
        }
        for element in &intent.elements {
            let (call, grant, admitted) = (element.call, intent.grant, self.now);
            self.open.push(OpenCall {
                call,
                grant,
                node,
                boot,
                admitted,
            });
            self.written.push(intent.grant);
        }
        format!("admitted {}", told.len())
    }

    fn end(&mut self, outcome: &Outcome) -> String {
        let Some(at) = self.open.iter().position(|open| open.call == outcome.call) else {
            if outcome.status == Status::Unknown {
                return "not open".into();
            }
            let Some(grant) = self.unknown.remove(&outcome.call) else {
                return "not open".into();
            };
            self.written.push(grant);
            return "recorded 1".into();
        };
        let open = self.open.remove(at);
        self.written.push(open.grant);
        let refunded = matches!(outcome.status, Status::NotSent | Status::UpstreamDown);
        if refunded && outcome.never_reached {
            self.spent.retain(|spent| spent.call != open.call);
        }
        if outcome.status == Status::Unknown {
            self.unknown.insert(open.call, open.grant);
        }
        "recorded 1".into()
    }

    fn close(&mut self, which: impl Fn(&OpenCall) -> bool) -> usize {
        let before = self.open.len();
        for open in self.open.extract_if(.., |open| which(open)) {
            self.unknown.insert(open.call, open.grant);
            self.written.push(open.grant);
        }
        before - self.open.len()
    }
}

fn told(result: &CommandResult) -> String {
    match result {
        CommandResult::Admitted(calls) => format!("admitted {}", calls.len()),
        CommandResult::Conflict { revision } => format!("conflict {revision}"),
        CommandResult::Denied(elements) => {
            let each: Vec<Option<u32>> = elements
                .iter()
                .map(|element| match element {
                    ElementResult::NotRun(_) => None,
                    ElementResult::Denied(denial) => Some(match denial.by {
                        DeniedBy::Limit(row) => row,
                        DeniedBy::Policy(_) => u32::MAX,
                    }),
                })
                .collect();
            format!("denied {each:?}")
        }
        CommandResult::LabelTaken { grant } => format!("label of {grant:?}"),
        CommandResult::NotFound => "not found".into(),
        CommandResult::NotOpen => "not open".into(),
        CommandResult::Put { revision, changed } => format!("put {revision} {changed}"),
        CommandResult::Recorded { count, .. } => format!("recorded {count}"),
        CommandResult::Settled { closed, more } => format!("settled {closed} {more}"),
        CommandResult::Stale => "stale".into(),
        CommandResult::Unauthorised(why) => format!("unauthorised {why:?}"),
        CommandResult::Full(_)
        | CommandResult::InUse { .. }
        | CommandResult::JoinRefused(_)
        | CommandResult::Joined { .. }
        | CommandResult::NameTaken { .. }
        | CommandResult::NotSpoken { .. }
        | CommandResult::NothingToSeal
        | CommandResult::Rejected(_)
        | CommandResult::Sealed(_)
        | CommandResult::StartRefused { .. } => format!("{result:?}"),
    }
}

/// The state under test and the oracle beside it.
struct Pair {
    world: World,
    oracle: Oracle,
    /// All that were ever asked for.
    calls: Vec<CallId>,
    starts: u64,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::empty();
        world.one(Command::Genesis(genesis()));
        let mut pair = Self {
            world,
            oracle: Oracle::default(),
            calls: Vec::new(),
            starts: 0,
        };
        for n in 0..2 {
            pair.rename(n, n);
            pair.rule(n, n);
        }
        for n in 0..3 {
            let owner = Some(0).filter(|_| n < 2);
            pair.put(Put {
                grant: n,
                policy: Some(n % 2),
                owner,
                server: n % 2,
                life: None,
                label: n,
            });
        }
        pair
    }

    fn check(&mut self, command: Command, expect: impl FnOnce(&mut Oracle) -> String) {
        self.oracle.now = self.world.clock.max(self.oracle.now) + 1;
        self.oracle.now = self.oracle.now.max(self.world.state.now().0 + 1);
        let shown = format!("{command:?}");
        let expected = expect(&mut self.oracle);
        let result = self.world.one(command);
        assert_eq!(self.world.state.now().0, self.oracle.now);
        assert_eq!(told(&result), expected, "{shown}");
        self.compare();
    }

    fn compare(&self) {
        let (state, oracle) = (&self.world.state, &self.oracle);
        let open: BTreeSet<CallId> = oracle.open.iter().map(|open| open.call).collect();
        assert_eq!(
            state
                .open_calls()
                .map(|open| open.call)
                .collect::<BTreeSet<_>>(),
            open
        );
        for (id, grant) in &oracle.grants {
            let stored = state.grant(id).unwrap();
            assert_eq!(stored.token, TokenHash([grant.token; 32]));
            let former = grant.former.filter(|(_, until)| oracle.now < *until);
            let former = former.map(|(token, _)| TokenHash([token; 32]));
            assert_eq!(stored.former_at(Micros(oracle.now)), former);
            let labelled = state.grant_by_label(&stored.label).map(|grant| grant.id);
            assert!(grant.revoked || labelled == Some(*id));
            let count = oracle.open.iter().filter(|open| open.grant == *id).count();
            assert_eq!(state.open_count_of(id), count);
            let written = oracle.written.iter().filter(|grant| *grant == id).count();
            assert_eq!(state.gs(id), u64::try_from(written).unwrap());
        }
        for (key, used) in state.counters() {
            let account = match &key.account {
                Account::Grant(id) => format!("grant {id:?}"),
                Account::Policy(name) => format!("policy {name}"),
                Account::Server(id) => format!("server {id:?}"),
                Account::Owner(owner) => format!("owner {owner}"),
                Account::Ownerless(id) => format!("ownerless {id:?}"),
            };
            let window = format!("{:?} {}", key.window, window_text(key.window, key.start.0));
            assert_eq!(
                used,
                oracle.used(&account, &key.counter, &window),
                "{key:?}"
            );
            assert!(used <= 12, "no table allows more");
        }
    }

    fn rename(&mut self, server: u8, name: u8) {
        let id = server_id(server);
        let (expected, old) = self.oracle.servers.get(&id).cloned().unwrap_or_default();
        let name = format!("server{server}-{name}");
        let put = ServerPut {
            server: id,
            name: name.clone(),
            expected,
            ..server_put()
        };
        self.check(Command::ServerPut(put), |oracle| {
            let changed = name != old;
            let revision = expected + u64::from(changed);
            oracle.servers.insert(id, (revision, name));
            format!("put {revision} {changed}")
        });
    }

    fn rule(&mut self, policy: u8, version: u8) {
        let name = policy_name(policy);
        let digest = PolicyDigest([version + 1; 32]);
        let limits = table(version);
        let put = PolicyPut {
            name: name.clone(),
            ..policy_put(digest, limits.clone())
        };
        let revision = self
            .world
            .state
            .policy(&name)
            .map_or(0, |policy| policy.revision);
        self.check(Command::PolicyPut(put), |oracle| {
            let old = oracle.policies.insert(name, (digest, limits));
            let changed = old.is_none_or(|(old, _)| old != digest);
            format!("put {} {changed}", revision + u64::from(changed))
        });
    }

    fn put(&mut self, put: Put) {
        let Put {
            grant,
            policy,
            owner,
            server,
            life,
            label,
        } = put;
        let id = grant_id(grant);
        let old = self.oracle.grants.get(&id).cloned();
        let expected = old.as_ref().map_or(0, |grant| grant.revision);
        let owner = owner.map(|owner| format!("owner{owner}"));
        let policy = policy.map(policy_name);
        let server = server_id(server);
        let expires = life.map(|life| self.world.clock + life);
        let put = GrantPut {
            grant: id,
            label: format!("label{label}"),
            token: TokenHash([old.as_ref().map_or(9, |old| old.token); 32]),
            owner: owner.clone(),
            policy: policy.clone(),
            server,
            expires: expires.map(Micros),
            expected,
            ..grant_put()
        };
        self.check(Command::GrantPut(put), |oracle| {
            if old.as_ref().is_some_and(|old| old.revoked) {
                return format!("conflict {expected}");
            }
            let mut others = oracle.grants.iter().filter(|(other, _)| **other != id);
            if let Some((other, _)) = others.find(|(_, g)| g.label == label && !g.revoked) {
                return format!("label of {other:?}");
            }
            let changed = old.as_ref().is_none_or(|old| {
                (old.server, &old.policy, &old.owner, old.expires, old.label)
                    != (server, &policy, &owner, expires, label)
            });
            let revision = expected + u64::from(changed);
            let revoked = false;
            let grant = OracleGrant {
                revision,
                server,
                policy,
                owner,
                expires,
                revoked,
                label,
                token: old.as_ref().map_or(9, |old| old.token),
                former: old.and_then(|old| old.former),
            };
            oracle.grants.insert(id, grant);
            format!("put {revision} {changed}")
        });
    }

    fn ask(&mut self, ask: &Ask) {
        let Ask {
            grant,
            ref elements,
            stale,
            deny,
        } = *ask;
        let id = grant_id(grant);
        let parties = self.oracle.grants[&id].clone();
        let policy = self.oracle.digest(id);
        let mut intent = Intent {
            grant: id,
            server: parties.server,
            grant_revision: parties.revision + u64::from(stale == 1),
            server_revision: self.oracle.servers[&parties.server].0 + u64::from(stale == 2),
            policy: if stale == 3 { Some(DIGEST) } else { policy },
            client: "model".into(),
            session: None,
            elements: Vec::new(),
        };
        for (at, charges) in elements.iter().enumerate() {
            let charge = |&(limit, amount)| Charge { limit, amount };
            let decision = if policy.is_none() {
                Decision::Deny(Cause::NoPolicy)
            } else if deny && at == 0 {
                Decision::Deny(Cause::Rule {
                    rule: 0,
                    indeterminate: false,
                })
            } else {
                Decision::Allow {
                    charges: charges.iter().map(charge).collect(),
                }
            };
            let mut element = element(0, decision);
            let number = u32::try_from(self.calls.len()).unwrap();
            element.call.0[..4].copy_from_slice(&number.to_be_bytes());
            self.calls.push(element.call);
            intent.elements.push(element);
        }
        let (node, boot) = (self.world.node, self.world.boot);
        self.check(Command::Intent(intent.clone()), |oracle| {
            oracle.ask(&intent, node, boot)
        });
    }

    fn end(&mut self, pick: usize, status: Status, never_reached: bool) {
        let Some(call) = self.calls.get(pick % self.calls.len().max(1)).copied() else {
            return;
        };
        let outcome = Outcome {
            call,
            status,
            never_reached,
            bytes: 1,
            duration_us: 1,
            result_commitment: None,
        };
        self.check(Command::Outcome(outcome.clone()), |oracle| {
            oracle.end(&outcome)
        });
    }

    fn rotate(&mut self, grant: u8, token: u8, overlap: u64, off: u64) {
        let id = grant_id(grant);
        let revision = self.oracle.grants[&id].revision;
        let until = self.world.state.now().0 + overlap;
        let expected = Some(revision + off);
        let rotate = GrantRotate {
            actor: "admin".into(),
            grant: id,
            token: TokenHash([token; 32]),
            overlap_until: Micros(until),
            expected,
        };
        self.check(Command::GrantRotate(rotate), |oracle| {
            let now = oracle.now;
            let grant = oracle.grants.get_mut(&id).unwrap();
            if grant.revoked || (token != grant.token && off > 0) {
                return format!("conflict {revision}");
            }
            if token == grant.token {
                return format!("put {revision} false");
            }
            grant.former = Some((grant.token, until)).filter(|_| now < until);
            grant.token = token;
            grant.revision += 1;
            format!("put {} true", grant.revision)
        });
    }

    fn revoke(&mut self, grant: u8, off: u64) {
        let grant = grant_id(grant);
        let actor = "admin".into();
        let expected = Some(self.oracle.grants[&grant].revision + off);
        let revoke = Command::GrantRevoke {
            actor,
            grant,
            expected,
        };
        self.check(revoke, |oracle| {
            let grant = oracle.grants.get_mut(&grant).unwrap();
            let changed = !grant.revoked;
            if changed && off > 0 {
                return format!("conflict {}", grant.revision);
            }
            grant.revoked = true;
            grant.former = None;
            grant.revision += u64::from(changed);
            format!("put {} {changed}", grant.revision)
        });
    }

    fn settle(&mut self, back: u64) {
        let before = Micros(self.world.state.now().0 - back);
        self.check(Command::Settle { before }, |oracle| {
            format!(
                "settled {} false",
                oracle.close(|open| open.admitted < before.0)
            )
        });
    }

    fn start(&mut self, node: u32, boot: u64) {
        (self.world.node, self.world.boot) = (node, boot);
        // Each start is the newest: `cluster.rs` has the others.
        self.starts += 1;
        self.check(node_start(self.starts), |oracle| {
            let closed = oracle.close(|open| open.node == node && open.boot != boot);
            format!("recorded {}", closed + 1)
        });
    }

    fn stop(&mut self) {
        let (node, boot) = (self.world.node, self.world.boot);
        let software = "x".into();
        self.check(Command::NodeStop { software }, |oracle| {
            let closed = oracle.close(|open| (open.node, open.boot) == (node, boot));
            format!("recorded {}", closed + 1)
        });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(ask) => self.ask(&ask),
            Step::End(pick, status, never_reached) => self.end(pick, status, never_reached),
            Step::Put(put) => self.put(put),
            Step::Rename { server, name } => self.rename(server, name),
            Step::Revoke { grant, off } => self.revoke(grant, off),
            Step::Rotate(grant, token, overlap, off) => self.rotate(grant, token, overlap, off),
            Step::Rule { policy, table } => self.rule(policy, table),
            Step::Settle { back } => self.settle(back),
            Step::Start { node, boot } => self.start(node, boot),
            Step::Stop => self.stop(),
            Step::Wait { us } => {
                self.world.clock = self.world.clock.saturating_add_signed(us);
            }
        }
    }
}

fn charges() -> impl Strategy<Value = Vec<(u32, Option<u64>)>> {
    vec(
        (
            0..4_u32,
            prop_oneof![9 => (0..4_u64).prop_map(Some), 1 => Just(None)],
        ),
        0..4,
    )
}

fn statuses() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Ok),
        Just(Status::NotSent),
        Just(Status::UpstreamDown),
        Just(Status::Timeout),
        Just(Status::Unknown),
    ]
}

fn waits() -> impl Strategy<Value = i64> {
    let [second, hour] = [SECOND, HOUR].map(|us| i64::try_from(us).unwrap());
    prop_oneof![
        Just(1),
        Just(-3 * second),
        1..70 * second,
        1..2 * hour,
        Just(24 * hour),
        Just(40 * 24 * hour),
    ]
}

fn asks() -> impl Strategy<Value = Step> {
    let stale = prop_oneof![9 => Just(0_u8), 1 => 1..4_u8];
    (
        0..3_u8,
        vec(charges(), 1..4),
        stale,
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(grant, elements, stale, deny)| Ask {
            grant,
            elements,
            stale,
            deny,
        })
        .prop_map(Step::Ask)
}

fn puts() -> impl Strategy<Value = Step> {
    let one_of_two = || proptest::option::weighted(0.8, 0..2_u8);
    let life = proptest::option::weighted(0.3, 1..HOUR);
    (0..3_u8, one_of_two(), one_of_two(), 0..2_u8, life, 0..4_u8).prop_map(
        |(grant, policy, owner, server, life, label)| {
            Step::Put(Put {
                grant,
                policy,
                owner,
                server,
                life,
                label,
            })
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => asks(),
        6 => (any::<usize>(), statuses(), any::<bool>())
            .prop_map(|(pick, status, never)| Step::End(pick, status, never)),
        1 => puts(),
        1 => (0..2_u8, 0..2_u8).prop_map(|(server, name)| Step::Rename { server, name }),
        1 => (0..30_u8).prop_map(|n| match n {
            0..6 => Step::Revoke {
                grant: n % 3,
                off: u64::from(n / 3),
            },
            _ => Step::Settle { back: u64::from(n) * SECOND },
        }),
        1 => (0..3_u8, 0..4_u8, prop_oneof![Just(0), 1..HOUR], 0..2_u64)
            .prop_map(|(grant, token, overlap, off)| Step::Rotate(grant, token, overlap, off)),
        1 => (0..2_u8, 0..4_u8).prop_map(|(policy, table)| Step::Rule { policy, table }),
        1 => (1..3_u32, 1..4_u64).prop_map(|(node, boot)| Step::Start { node, boot }),
        1 => Just(Step::Stop),
        4 => waits().prop_map(|us| Step::Wait { us }),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]

    #[test]
    fn whatever_happens_the_state_agrees_with_the_oracle(steps in vec(steps(), 1..60)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
    }
}
