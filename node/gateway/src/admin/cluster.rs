//! `/api/v1/cluster`: who belongs to it, how each does, and changes of that.
//!
//! Changes of members are Raft's: each is a `config` record, and returns when it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::StatusCode;

use tollbook_raft::{Change, Member, NodeId, Status};
use tollbook_state::command::{Command, JoinTokenId, JoinTokenPut, Micros};

use super::api::{self, ClusterNode, ClusterRole, ClusterStatus, JoinTokenMade, TransferTo};
use super::guard::Admin;
use super::problem::{self, Refused};
use super::{Plane, respond};
use crate::join_token::Invitation;
use crate::membership;
use crate::node_status::{self, Told};
use crate::token::{Class, Token};

/// How long a join token is good for.
const TOKEN_US: u64 = 15 * 60 * 1_000_000;

/// Makes a token that one node may join with, once.
pub(super) async fn token(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
) -> Result<Response, Refused> {
    let node = &plane.node;
    let authority = node.dir.authority(&node.config.cluster.origin);
    let authority = authority.map_err(Refused::NoAuthority)?;
    let token = Token::generate(Class::Join).map_err(|_| Refused::Random)?;
    let made = Invitation {
        token,
        authority: authority.certificate().fingerprint(),
    };
    let now = node.now().max(node.cluster.read(|book| book.now()));
    let expires = Micros(now.0.saturating_add(TOKEN_US));
    let put = JoinTokenPut {
        actor: admin.0,
        id: JoinTokenId(made.token.id()),
        hash: made.token.hash(),
        expires,
    };
    let result = node.cluster.commit(&Command::JoinTokenPut(put)).await?;
    problem::put(result, made.token.id_text(), |_unasked| Refused::Internal)?;
    let status = node.cluster.status();
    let me = status.members.get(&status.node);
    let shown = JoinTokenMade {
        id: made.token.id_text().to_owned(),
        token: made.expose().to_string(),
        expires: respond::time(expires),
        peer: me.map_or_else(String::new, |me| me.peer.peer_address.clone()),
    };
    respond::object(StatusCode::CREATED, &shown, None)
}

pub(super) async fn status(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let told = node_status::ask_all(&plane.node).await;
    respond::object(StatusCode::OK, &shown(&plane, &told), None)
}

/// Gives a learner a vote.
pub(super) async fn promote(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    change(&plane, &admin, &name, "promote", |node| Change::Promote {
        node,
    })
    .await
}

/// Takes a node out for good.
pub(super) async fn remove(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    change(&plane, &admin, &name, "remove", |node| Change::Remove {
        node,
    })
    .await
}

async fn change(
    plane: &Plane,
    admin: &Admin,
    name: &str,
    what: &'static str,
    change: fn(NodeId) -> Change,
) -> Result<Response, Refused> {
    respond::catch_up(plane).await?;
    let (node, member) = find(plane.node.cluster.status(), name)?;
    tracing::info!(actor = admin.0, node, what, "the members shall change");
    plane.node.cluster.change(change(node)).await?;
    let changed = plane.node.cluster.status();
    let role = changed.members.get(&node).map(|m| role(&changed, node, m));
    let shown = api::MemberChanged {
        id: node,
        name: member.peer.name,
        role,
    };
    respond::object(StatusCode::OK, &shown, None)
}

/// Hands leadership over, and returns when the other leads.
pub(super) async fn transfer(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    request: Request,
) -> Result<Response, Refused> {
    let to: TransferTo = respond::json(&plane, request).await?;
    respond::catch_up(&plane).await?;
    let to = match to.to {
        Some(name) => find(plane.node.cluster.status(), &name)?.0,
        None => membership::successor(&plane.node)
            .await
            .ok_or(Refused::NoOtherVoter)?,
    };
    tracing::info!(actor = admin.0, to, "leadership shall be handed over");
    let from = plane.node.cluster.status().leader;
    hand_over(&plane, to).await?;
    let transferred = api::Transferred { from, leader: to };
    respond::object(StatusCode::OK, &transferred, None)
}

/// Takes no new calls from here on, and leads no more if another can. Safe to repeat.
pub(super) async fn drain(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
) -> Result<Response, Refused> {
    tracing::info!(
        actor = admin.0,
        "the node takes no new calls until it is started again"
    );
    plane.node.drain();
    if plane.node.cluster.status().leads
        && let Some(to) = membership::successor(&plane.node).await
    {
        hand_over(&plane, to).await?;
    }
    let status = plane.node.cluster.status();
    let drained = api::Drained {
        id: status.node,
        name: plane.node.config.node.name.clone(),
        leader: status.leader,
        calls: plane.node.calls(),
    };
    respond::object(StatusCode::OK, &drained, None)
}

async fn hand_over(plane: &Plane, to: NodeId) -> Result<(), Refused> {
    if membership::hand_over(&plane.node, to).await? {
        Ok(())
    } else {
        Err(Refused::NotHandedOver { node: to })
    }
}

/// By id, else by name.
fn find(status: Status, text: &str) -> Result<(NodeId, Member), Refused> {
    let by_id = text
        .parse()
        .ok()
        .filter(|id| status.members.contains_key(id));
    let mut members = status.members.into_iter();
    let found = members.find(|(id, member)| match by_id {
        Some(wanted) => *id == wanted,
        None => member.peer.name == text,
    });
    found.ok_or_else(|| Refused::NodeUnknown {
        name: text.chars().filter(|c| !c.is_control()).take(64).collect(),
    })
}

fn role(status: &Status, id: NodeId, member: &Member) -> ClusterRole {
    if status.leader == Some(id) {
        ClusterRole::Leader
    } else if member.voter {
        ClusterRole::Voter
    } else {
        ClusterRole::Learner
    }
}

/// What the nodes said of themselves, and of one that said nothing what is known of it.
fn shown(plane: &Plane, told: &BTreeMap<NodeId, Told>) -> ClusterStatus {
    // Read last: that they answered says when they were heard, and how their clocks stand.
    let status = plane.node.cluster.status();
    let leader = status.leader.and_then(|leader| told.get(&leader));
    let last = leader.map(|leader| leader.last_log);
    let last = last.or_else(|| told.values().map(|told| told.last_log).max());
    let mut nodes = Vec::with_capacity(status.members.len());
    for (id, member) in &status.members {
        let told = told.get(id);
        let matched = member.matched.or_else(|| leader?.matched.get(id).copied());
        let applied = told.map(|told| told.applied).or(matched);
        let started = plane.node.cluster.read(|book| {
            let started = book.started(u32::try_from(*id).ok()?);
            started.map(|started| (started.start, started.software.clone()))
        });
        let (starts, software) = started.unzip();
        nodes.push(ClusterNode {
            id: *id,
            name: member.peer.name.clone(),
            role: role(&status, *id, member),
            up: told.is_some(),
            data: told.map_or_else(
                || member.peer.data_address.clone(),
                |told| told.data.clone(),
            ),
            peer: member.peer.peer_address.clone(),
            applied,
            lag: last
                .zip(applied)
                .map(|(last, has)| last.saturating_sub(has)),
            version: told.map(|told| told.software.clone()).or(software),
            starts,
            heard_ms: member
                .heard
                .map(|heard| u64::try_from(heard.ago.as_millis()).unwrap_or(u64::MAX)),
            clock_ahead_us: member.heard.map(|heard| heard.ahead_us),
            sync: told.and_then(|told| told.sync),
            book: told.map(|told| told.book),
            certificate_expires: told.map(|told| told.certificate_expires.clone()),
            calls: told.map(|told| told.calls),
            not_ready: told.map_or_else(Vec::new, |told| told.not_ready.clone()),
        });
    }
    let (cluster, version) = plane.node.cluster.read(|book| {
        let origin = book.genesis().map(|genesis| genesis.origin.clone());
        (origin, book.version())
    });
    ClusterStatus {
        cluster,
        leader: status.leader,
        term: status.term,
        version,
        nodes,
    }
}
