//! `/api/v1/grants`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use tollbook_state::command::{Command, GrantId, GrantPut, GrantRotate, Micros};
use tollbook_state::{CommandResult, Grant, State as Book};

use super::api::{self, GrantMade, GrantNew, GrantRotated, GrantStatus, GrantTurn};
use super::guard::Admin;
use super::problem::{self, Refused};
use super::servers;
use super::{Plane, respond};
use crate::config::read_duration;
use crate::node_status;
use crate::token::{Class, Token};

const EXPIRES: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longer than anyone remembers what a grant was for.
const EXPIRES_MAX: Duration = Duration::from_secs(3653 * 24 * 3600);
/// As the state bounds it.
const OWNER_BYTES_MAX: usize = tollbook_state::limits::NAME_BYTES;
/// How long a former token stays valid where nobody says so.
const OVERLAP: Duration = Duration::from_secs(3600);
/// As the state bounds it.
const OVERLAP_US_MAX: u64 = tollbook_state::limits::TOKEN_OVERLAP_US;

pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let mut grants = plane.node.cluster.read(|book| {
        book.grants()
            .map(|grant| shown(&plane, book, grant))
            .collect::<Vec<_>>()
    });
    grants.sort_by(|one, other| (&one.name, &one.created).cmp(&(&other.name, &other.created)));
    respond::object(StatusCode::OK, &grants, None)
}

pub(super) async fn show(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let found = |book: &Book| find(book, &name).map(|grant| shown(&plane, book, grant));
    let grant = plane.node.cluster.read(found)?;
    respond::object(StatusCode::OK, &grant, Some(grant.revision))
}

pub(super) async fn create(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    request: Request,
) -> Result<Response, Refused> {
    let new: GrantNew = respond::json(&plane, request).await?;
    respond::check_name("grant", &new.name)?;
    if new.owner.as_deref().is_some_and(|owner| !is_owner(owner)) {
        return Err(Refused::Owner);
    }
    respond::catch_up(&plane).await?;
    let wall = plane.node.now();
    let (server, server_name, now) = plane.node.cluster.read(|book| {
        let server = servers::find(book, &new.server)?;
        check_free(book, &new)?;
        Ok::<_, Refused>((server.id, server.name.clone(), wall.max(book.now())))
    })?;
    let expires = expires(new.expires.as_deref(), now)?;
    let token = Token::generate(Class::Grant).map_err(|_| Refused::Random)?;
    let put = GrantPut {
        actor: admin.0,
        grant: GrantId(token.id()),
        label: new.name.clone(),
        owner: new.owner.clone(),
        server,
        policy: new.policy.clone(),
        token: token.hash(),
        not_before: None,
        expires: Some(expires),
        expected: 0,
    };
    // A client that hangs up here leaves a grant whose token nobody has.
    let result = plane.node.cluster.commit(&Command::GrantPut(put)).await?;
    // Another node gave the name away between the look and the commit.
    if let CommandResult::LabelTaken { .. } = result {
        return Err(Refused::GrantNameTaken { name: new.name });
    }
    // Unknown: server or policy went away between the look and the commit.
    let (revision, _) = problem::put(result, &new.server, |name| Refused::ServerUnknown { name })?;
    node_status::wait_until_applied(&plane.node).await;
    let made = GrantMade {
        id: token.id_text().to_owned(),
        name: new.name,
        server: server_name,
        policy: new.policy,
        owner: new.owner,
        expires: Some(respond::time(expires)),
        token: token.expose().to_owned(),
        endpoint: respond::endpoint(&plane, server),
    };
    respond::made(&format!("grants/{}", made.id), &made, revision)
}

/// Takes a grant back for good. Safe to repeat.
pub(super) async fn revoke(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let wanted = respond::if_match(&headers)?;
    respond::catch_up(&plane).await?;
    let found = plane
        .node
        .cluster
        .read(|book| find(book, &name).map(|g| (g.id, g.revision)));
    let (id, revision) = found?;
    respond::check_revision(wanted, revision)?;
    let revoke = Command::GrantRevoke {
        actor: admin.0,
        grant: id,
        expected: wanted,
    };
    let result = plane.node.cluster.commit(&revoke).await?;
    let unknown = |name| Refused::GrantUnknown { name };
    let (revision, _) = problem::put(result, &name, unknown).map_err(|e| e.held(wanted))?;
    let shown = |book: &Book| book.grant(&id).map(|grant| shown(&plane, book, grant));
    let grant = plane
        .node
        .cluster
        .read(shown)
        .ok_or_else(|| unknown(name))?;
    respond::object(StatusCode::OK, &grant, Some(revision))
}

/// Gives a grant a new token; the former one stays valid for the time that was asked for.
pub(super) async fn rotate(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let wanted = respond::if_match(request.headers())?;
    let turn: GrantTurn = respond::json(&plane, request).await?;
    let overlap = overlap(turn.overlap.as_deref())?;
    respond::catch_up(&plane).await?;
    let wall = plane.node.now();
    let (grant, now) = plane.node.cluster.read(|book| {
        let grant = find(book, &name)?.clone();
        Ok::<_, Refused>((grant, book.now()))
    })?;
    if grant.revoked_at.is_some() {
        return Err(Refused::GrantRevoked { name });
    }
    respond::check_revision(wanted, grant.revision)?;
    let token = Token::generate_for(Class::Grant, grant.id.0).map_err(|_| Refused::Random)?;
    // The state measures its bound from the log's time, which may be behind this clock.
    let overlap_until = wall.max(now).0.saturating_add(overlap);
    let overlap_until = Micros(overlap_until.min(now.0.saturating_add(OVERLAP_US_MAX)));
    // The revision that was looked at goes along: of two who rotate at once one is told so, and
    // does not hand out a token that is the former one already.
    let rotate = Command::GrantRotate(GrantRotate {
        actor: admin.0,
        grant: grant.id,
        token: token.hash(),
        overlap_until,
        expected: Some(grant.revision),
    });
    // A client that hangs up here has a grant whose new token nobody has, and rotates again.
    let result = plane.node.cluster.commit(&rotate).await?;
    let unknown = |name| Refused::GrantUnknown { name };
    let (revision, _) = problem::put(result, &name, unknown).map_err(|e| e.held(wanted))?;
    node_status::wait_until_applied(&plane.node).await;
    let rotated = GrantRotated {
        id: token.id_text().to_owned(),
        name: grant.label,
        token: token.expose().to_owned(),
        former_until: (overlap > 0).then(|| respond::time(overlap_until)),
        expires: grant.expires.map(respond::time),
        endpoint: respond::endpoint(&plane, grant.server),
        revision,
    };
    respond::object(StatusCode::OK, &rotated, Some(revision))
}

/// How long a former token stays valid, in microseconds.
fn overlap(text: Option<&str>) -> Result<u64, Refused> {
    let time = match text {
        Some(text) => read_duration(text),
        None => Some(OVERLAP),
    };
    let micros = time.and_then(|time| u64::try_from(time.as_micros()).ok());
    let micros = micros.filter(|micros| *micros <= OVERLAP_US_MAX);
    micros.ok_or_else(|| Refused::Overlap {
        found: text.unwrap_or_default().chars().take(64).collect(),
    })
}

/// By id; else the live one of that name; else the newest that had it.
fn find<'b>(book: &'b Book, text: &str) -> Result<&'b Grant, Refused> {
    let id = text.as_bytes().try_into().ok().map(GrantId);
    let by_id = id.and_then(|id| book.grant(&id));
    let by_name = || {
        let named = book.grants().filter(|grant| grant.label == text);
        named.max_by_key(|grant| (grant.revoked_at.is_none(), grant.created))
    };
    by_id.or_else(by_name).ok_or_else(|| Refused::GrantUnknown {
        name: text.to_owned(),
    })
}

fn check_free(book: &Book, new: &GrantNew) -> Result<(), Refused> {
    let named = |grant: &Grant| grant.label == new.name && grant.revoked_at.is_none();
    if book.grants().any(named) {
        return Err(Refused::GrantNameTaken {
            name: new.name.clone(),
        });
    }
    match &new.policy {
        Some(name) if book.policy(name).is_none() => {
            Err(Refused::PolicyUnknown { name: name.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

/// A time from now, or a moment. Always to come, never out of sight.
fn expires(text: Option<&str>, now: Micros) -> Result<Micros, Refused> {
    let wrong = || Refused::Expires {
        found: text.unwrap_or_default().chars().take(64).collect(),
    };
    let after = |time: Duration| {
        u64::try_from(time.as_micros())
            .ok()
            .and_then(|micros| now.0.checked_add(micros))
    };
    let moment = match text {
        None => after(EXPIRES),
        Some(text) => match read_duration(text) {
            Some(time) => after(time),
            None => {
                let stamp = text.parse::<Timestamp>().map_err(|_| wrong())?;
                u64::try_from(stamp.as_microsecond()).ok()
            }
        },
    };
    let latest = after(EXPIRES_MAX).ok_or_else(wrong)?;
    moment
        .filter(|at| *at > now.0 && *at <= latest)
        .map(Micros)
        .ok_or_else(wrong)
}

fn is_owner(owner: &str) -> bool {
    (1..=OWNER_BYTES_MAX).contains(&owner.len()) && !owner.chars().any(char::is_control)
}

fn shown(plane: &Plane, book: &Book, grant: &Grant) -> api::Grant {
    let now = plane.node.now().max(book.now());
    let server = Uuid::from_bytes(grant.server.0).to_string();
    let status = if grant.revoked_at.is_some() {
        GrantStatus::Revoked
    } else if grant.expires.is_some_and(|expires| now >= expires) {
        GrantStatus::Expired
    } else if grant.not_before.is_some_and(|from| now < from) {
        GrantStatus::NotYet
    } else {
        GrantStatus::Live
    };
    api::Grant {
        id: grant.id.0.iter().copied().map(char::from).collect(),
        name: grant.label.clone(),
        server: book
            .server(&grant.server)
            .map_or_else(|| server.clone(), |s| s.name.clone()),
        policy: grant.policy.clone(),
        owner: grant.owner.clone(),
        expires: grant.expires.map(respond::time),
        endpoint: respond::endpoint(plane, grant.server),
        server_id: server,
        status,
        created: respond::time(grant.created),
        revoked: grant.revoked_at.map(respond::time),
        former_until: grant
            .former
            .filter(|former| now < former.until)
            .map(|former| respond::time(former.until)),
        revision: grant.revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_duration_of_at_most_thirty_days() {
        const DAY_US: u64 = 86_400_000_000;
        let cases = [
            (None, Some(3_600_000_000)),
            (Some("0s"), Some(0)),
            (Some("30d"), Some(30 * DAY_US)),
            (Some("31d"), None),
            (Some("99999999999999d"), None),
            (Some("2027-01-01T00:00:00Z"), None),
            (Some("-1s"), None),
            (Some(""), None),
        ];
        for (text, wanted) in cases {
            assert_eq!(overlap(text).ok(), wanted, "{text:?}");
        }
    }

    #[test]
    fn expiry_is_a_time_from_now_or_a_moment_to_come() {
        let now = Micros(1_700_000_000_000_000);
        let cases = [
            (None, Some(1_707_776_000_000_000)),
            (Some("1s"), Some(1_700_000_001_000_000)),
            (Some("2024-01-01T00:00:00Z"), Some(1_704_067_200_000_000)),
            (Some("2023-01-01T00:00:00Z"), None),
            (Some("0s"), None),
            (Some("90"), None),
            (Some("never"), None),
            (Some("4000d"), None),
            (Some("9999-01-01T00:00:00Z"), None),
            (Some("99999999999999d"), None),
            (Some("-1d"), None),
        ];
        for (text, wanted) in cases {
            let found = expires(text, now).ok().map(|at| at.0);
            assert_eq!(found, wanted, "{text:?}");
        }
    }
}
