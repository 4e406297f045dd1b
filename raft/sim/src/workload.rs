//! What clients ask for: servers, policies, grants, calls. Tables of a policy are a function of
//! its digest, so that the oracle knows them without having seen them put.

use tollbook_state::command::{
    CallId, Cause, Charge, Command, Decision, Element, Genesis, GrantId, GrantPut, GrantRotate,
    Intent, LimitRow, Micros, Outcome, PolicyDigest, PolicyPut, RuleRow, Scope, ServerId,
    ServerPut, Status, TokenHash, Upstream, Window,
};
use tollbook_state::{Grant, State};

use crate::rng::Rng;

/// Servers that calls go to.
pub(crate) const SERVERS: u64 = 2;
/// Policies whose revisions change.
pub(crate) const POLICIES: u64 = 3;
/// Grants that are live at a time, about.
pub(crate) const GRANTS: u64 = 6;
/// The policy of the grant whose quota is used up at the end, when all faults are over.
pub(crate) const LAST_POLICY: &str = "last";
/// That grant.
pub(crate) const LAST_GRANT: GrantId = GrantId(*b"grantlast000");
/// Its quota, a day's.
pub(crate) const LAST_QUOTA: u64 = 50;

pub(crate) fn genesis(origin: &str, log_key: String, members: Vec<(u32, String)>) -> Command {
    Command::Genesis(Genesis {
        origin: origin.into(),
        log_key,
        members,
        software: "sim".into(),
        prior: None,
    })
}

pub(crate) const fn server_id(number: u64) -> ServerId {
    let mut id = [7; 16];
    let [first, ..] = number.to_le_bytes();
    id[15] = first;
    ServerId(id)
}

pub(crate) fn grant_id(number: u64) -> GrantId {
    let mut id = *b"grant0000000";
    let digits = format!("{number:07}");
    id.iter_mut()
        .skip(5)
        .zip(digits.bytes())
        .for_each(|(to, from)| *to = from);
    GrantId(id)
}

pub(crate) fn policy_name(number: u64) -> String {
    format!("policy-{number}")
}

/// A server in its next revision.
pub(crate) fn server_put(state: &State, number: u64, rng: &mut Rng) -> Command {
    let id = server_id(number);
    let name = state
        .server(&id)
        .map_or_else(|| format!("server-{number}"), |s| s.name.clone());
    Command::ServerPut(ServerPut {
        actor: "sim".into(),
        server: id,
        name,
        upstream: Upstream::Http {
            url: format!("http://127.0.0.1:{}/", rng.between(1000, 9999)),
            headers: Vec::new(),
        },
        expected: state.server(&id).map_or(0, |server| server.revision),
    })
}

/// A policy with fresh tables.
pub(crate) fn policy_put(name: String, rng: &mut Rng) -> Command {
    let mut digest = [0; 32];
    for chunk in digest.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next().to_le_bytes());
    }
    policy(name, PolicyDigest(digest))
}

/// The policy of [`LAST_GRANT`], always the same.
pub(crate) fn last_policy_put() -> Command {
    policy(LAST_POLICY.into(), PolicyDigest([0xff; 32]))
}

fn policy(name: String, digest: PolicyDigest) -> Command {
    Command::PolicyPut(PolicyPut {
        actor: "sim".into(),
        name,
        digest,
        text: r#"{"version":"1"}"#.into(),
        rules: vec![RuleRow {
            rule: "/tools/post/require/0".into(),
            pointer: "/tools/post/require/0".into(),
            message: None,
        }],
        limits: limits_of(digest),
        expected: None,
    })
}

/// The limits of a policy.
pub(crate) fn limits_of(digest: PolicyDigest) -> Vec<LimitRow> {
    let row = |counter: u64, window, scope, max| LimitRow {
        rule: format!("/tools/post/limits/{counter}"),
        pointer: format!("/tools/post/limits/{counter}"),
        message: None,
        counter: format!("counter-{counter}"),
        window,
        scope,
        max,
    };
    if digest.0 == [0xff; 32] {
        return vec![row(9, Window::Day, Scope::Grant, LAST_QUOTA)];
    }
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    let mut rng = Rng::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    let count = rng.between(1, 4);
    (0..count)
        .map(|_| {
            let window = match rng.below(10) {
                0 => Window::Hour,
                1 => Window::Day,
                2 => Window::Month,
                _ => Window::Minute,
            };
            let scope = match rng.below(4) {
                0 => Scope::Policy,
                1 => Scope::Server,
                2 => Scope::Owner,
                _ => Scope::Grant,
            };
            row(rng.below(3), window, scope, rng.between(3, 25))
        })
        .collect()
}

/// A new grant, or a change of one.
pub(crate) fn grant_put(state: &State, id: GrantId, rng: &mut Rng) -> Command {
    let expected = state.grant(&id).map_or(0, |grant| grant.revision);
    let policy = if rng.chance(50) {
        None
    } else {
        Some(policy_name(rng.below(POLICIES)))
    };
    let owner = match rng.below(3) {
        0 => None,
        1 => Some("ann".into()),
        _ => Some("bob".into()),
    };
    grant(
        id,
        owner,
        policy,
        server_id(rng.below(SERVERS)),
        expected,
        rng,
    )
}

/// The grant whose quota is used up at the end.
pub(crate) fn last_grant_put(rng: &mut Rng) -> Command {
    grant(
        LAST_GRANT,
        None,
        Some(LAST_POLICY.into()),
        server_id(0),
        0,
        rng,
    )
}

fn grant(
    id: GrantId,
    owner: Option<String>,
    policy: Option<String>,
    server: ServerId,
    expected: u64,
    rng: &mut Rng,
) -> Command {
    Command::GrantPut(GrantPut {
        actor: "sim".into(),
        grant: id,
        label: String::from_utf8_lossy(&id.0).into_owned(),
        owner,
        server,
        policy,
        token: token(rng),
        not_before: None,
        expires: None,
        expected,
    })
}

fn token(rng: &mut Rng) -> TokenHash {
    let mut token = [0; 32];
    token
        .iter_mut()
        .zip(rng.next().to_le_bytes())
        .for_each(|(to, from)| *to = from);
    TokenHash(token)
}

/// Another token for the grant; the former one stays valid for a moment.
pub(crate) fn rotate(grant: &Grant, now: Micros, rng: &mut Rng) -> Command {
    Command::GrantRotate(GrantRotate {
        actor: "sim".into(),
        grant: grant.id,
        token: token(rng),
        overlap_until: Micros(now.0 + 1_000_000),
        expected: rng.chance(500).then_some(grant.revision),
    })
}

/// A call, or several, decided by what this node knows: which may be old.
pub(crate) fn intent(state: &State, grant: &Grant, calls: &[CallId], rng: &mut Rng) -> Command {
    let policy = grant.policy.as_deref().and_then(|name| state.policy(name));
    let limits = policy.map(|policy| limits_of(policy.digest));
    let elements = calls
        .iter()
        .map(|call| element(*call, decide(limits.as_deref(), rng)))
        .collect();
    Command::Intent(Intent {
        grant: grant.id,
        server: grant.server,
        grant_revision: grant.revision,
        server_revision: state.server(&grant.server).map_or(0, |s| s.revision),
        policy: policy.map(|policy| policy.digest),
        client: "sim".into(),
        session: None,
        elements,
    })
}

fn decide(limits: Option<&[LimitRow]>, rng: &mut Rng) -> Decision {
    let Some(limits) = limits else {
        return Decision::Deny(Cause::NoPolicy);
    };
    if rng.chance(50) {
        return Decision::Deny(Cause::Rule {
            rule: 0,
            indeterminate: rng.chance(500),
        });
    }
    let mut charges = Vec::new();
    for (row, _) in limits.iter().enumerate() {
        if rng.chance(850) {
            charges.push(Charge {
                limit: u32::try_from(row).unwrap_or(u32::MAX),
                amount: (!rng.chance(10)).then(|| rng.between(1, 2)),
            });
        }
    }
    Decision::Allow { charges }
}

/// One call of [`LAST_GRANT`] that takes one of its quota.
pub(crate) fn last_intent(state: &State, call: CallId) -> Option<Command> {
    let grant = state.grant(&LAST_GRANT)?;
    let policy = state.policy(LAST_POLICY)?;
    let server = state.server(&grant.server)?;
    let charges = vec![Charge {
        limit: 0,
        amount: Some(1),
    }];
    Some(Command::Intent(Intent {
        grant: grant.id,
        server: grant.server,
        grant_revision: grant.revision,
        server_revision: server.revision,
        policy: Some(policy.digest),
        client: "sim".into(),
        session: None,
        elements: vec![element(call, Decision::Allow { charges })],
    }))
}

fn element(call: CallId, decision: Decision) -> Element {
    Element {
        call,
        method: "tools/call".into(),
        tool: Some("post".into()),
        tool_definition: None,
        decision,
        argument_keys: vec!["text".into()],
        argument_keys_more: 0,
        commitments: Vec::new(),
        traceparent: None,
        rpc_id: None,
    }
}

/// How a call that was sent ends.
pub(crate) fn outcome(call: CallId, rng: &mut Rng) -> Command {
    let (status, never_reached) = match rng.below(20) {
        0..=3 => (Status::NotSent, true),
        4 => (Status::UpstreamDown, true),
        5 => (Status::UpstreamDown, false),
        6 => (Status::Timeout, false),
        7 => (Status::ToolError, false),
        8 => (Status::Unknown, false),
        _ => (Status::Ok, false),
    };
    ended(call, status, never_reached)
}

/// How a call that was admitted too late to be sent ends.
pub(crate) fn not_sent(call: CallId) -> Command {
    ended(call, Status::NotSent, true)
}

fn ended(call: CallId, status: Status, never_reached: bool) -> Command {
    Command::Outcome(Outcome {
        call,
        status,
        never_reached,
        bytes: 10,
        duration_us: 1000,
        result_commitment: None,
    })
}

/// Closes what is overdue by the log's time.
pub(crate) const fn settle(before: Micros) -> Command {
    Command::Settle { before }
}
