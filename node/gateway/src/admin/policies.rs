//! `/api/v1/policies`.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::StatusCode;

use tollbook_audit::hex;
use tollbook_policy::check;
use tollbook_state::command::{Command, PolicyPut};
use tollbook_state::{PastRevision, Policy};

use super::api::{self, PolicyApplied};
use super::guard::Admin;
use super::problem::{self, Refused};
use super::{Plane, respond};
use crate::policies::policy_put;

pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let policies = plane
        .node
        .cluster
        .read(|book| book.policies().map(shown).collect::<Vec<_>>());
    respond::object(StatusCode::OK, &policies, None)
}

pub(super) async fn show(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let found = plane.node.cluster.read(|book| {
        let policy = book.policy(&name)?;
        Some(api::Policy {
            text: Some(policy.text.clone()),
            past: policy.past.iter().map(past).collect(),
            ..shown(policy)
        })
    });
    let policy = found.ok_or(Refused::PolicyUnknown { name })?;
    respond::object(StatusCode::OK, &policy, Some(policy.revision))
}

pub(super) async fn apply(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let wanted = respond::if_match(request.headers())?;
    respond::check_name("policy", &name)?;
    let (limits, deadlines) = (&plane.node.limits, &plane.node.deadlines);
    let bytes = respond::body(request, limits.policy_bytes, deadlines.body).await?;
    let text = String::from_utf8(bytes.into()).map_err(|_| Refused::Utf8)?;
    let (mut put, warnings) = compiled(admin, name.clone(), text).await?;
    put.expected = wanted;
    let digest = hex(&put.digest.0);
    respond::catch_up(&plane).await?;
    let revision = plane
        .node
        .cluster
        .read(|book| book.policy(&name).map_or(0, |p| p.revision));
    respond::check_revision(wanted, revision)?;
    let result = plane.node.cluster.commit(&Command::PolicyPut(put)).await?;
    let unknown = |name| Refused::PolicyUnknown { name };
    // The revision went along: what changed since is a conflict, wherever it was changed.
    let (revision, changed) = problem::put(result, &name, unknown).map_err(|e| e.held(wanted))?;
    let applied = PolicyApplied {
        name,
        revision,
        digest,
        changed,
        warnings,
    };
    respond::object(StatusCode::OK, &applied, Some(revision))
}

/// Checks a policy off the runtime's threads: automata take milliseconds to build.
async fn compiled(
    admin: Admin,
    name: String,
    text: String,
) -> Result<(PolicyPut, Vec<api::Finding>), Refused> {
    let check = move || {
        let findings = |found: &[tollbook_policy::Finding]| {
            found.iter().map(api::Finding::from).collect::<Vec<_>>()
        };
        let policy = check(&text).map_err(|found| Refused::Findings(findings(&found)))?;
        let warnings = findings(policy.warnings());
        Ok((policy_put(&admin.0, &name, &text, &policy), warnings))
    };
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|_panicked| Refused::Internal)?
}

fn shown(policy: &Policy) -> api::Policy {
    api::Policy {
        name: policy.name.clone(),
        revision: policy.revision,
        digest: hex(&policy.digest.0),
        applied: respond::time(policy.applied),
        text: None,
        past: Vec::new(),
    }
}

fn past(revision: &PastRevision) -> api::PolicyRevision {
    api::PolicyRevision {
        revision: revision.revision,
        digest: hex(&revision.digest.0),
        applied: respond::time(revision.applied),
    }
}
