//! `/api/v1/servers`.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use url::{Host, Url};
use uuid::Uuid;

use tollbook_state::command::{Command, ServerId, ServerPut, Upstream};
use tollbook_state::{Server, State as Book};

use super::guard::Admin;
use super::problem::{self, Refused};
use super::{Plane, api, respond};
use crate::routes::Route;

pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let mut servers = plane.node.cluster.read(|book| {
        book.servers()
            .map(|server| shown(&plane, server))
            .collect::<Vec<_>>()
    });
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    respond::object(StatusCode::OK, &servers, None)
}

pub(super) async fn show(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let server = plane
        .node
        .cluster
        .read(|book| find(book, &name).map(|s| shown(&plane, s)))?;
    respond::object(StatusCode::OK, &server, Some(server.revision))
}

pub(super) async fn create(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    request: Request,
) -> Result<Response, Refused> {
    let new: api::ServerNew = respond::json(&plane, request).await?;
    let id = ServerId(Uuid::new_v4().into_bytes());
    let server = put(&plane, admin, id, new, 0).await?;
    respond::made(&format!("servers/{}", server.id), &server, server.revision)
}

pub(super) async fn replace(
    State(plane): State<Arc<Plane>>,
    Extension(admin): Extension<Admin>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let wanted = respond::if_match(request.headers())?;
    let new: api::ServerNew = respond::json(&plane, request).await?;
    respond::catch_up(&plane).await?;
    let found = plane
        .node
        .cluster
        .read(|book| find(book, &name).map(|s| (s.id, s.revision)));
    let (id, revision) = found?;
    respond::check_revision(wanted, revision)?;
    // The revision goes along: what changed since is a conflict, wherever it was changed.
    let put = put(&plane, admin, id, new, revision).await;
    let server = put.map_err(|e| e.held(wanted))?;
    respond::object(StatusCode::OK, &server, Some(server.revision))
}

pub(super) async fn remove(
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
        .read(|book| find(book, &name).map(|server| (server.id, shown(&plane, server))));
    let (id, server) = found?;
    respond::check_revision(wanted, server.revision)?;
    let remove = Command::ServerRemove {
        actor: admin.0,
        server: id,
        expected: wanted,
    };
    let result = plane.node.cluster.commit(&remove).await?;
    let unknown = |name| Refused::ServerUnknown { name };
    problem::put(result, &name, unknown).map_err(|e| e.held(wanted))?;
    respond::object(StatusCode::OK, &server, None)
}

/// By id, else by name.
pub(super) fn find<'b>(book: &'b Book, text: &str) -> Result<&'b Server, Refused> {
    let by_id = Uuid::try_parse(text)
        .ok()
        .and_then(|id| book.server(&ServerId(id.into_bytes())));
    by_id
        .or_else(|| book.server_by_name(text))
        .ok_or_else(|| Refused::ServerUnknown {
            name: text.to_owned(),
        })
}

async fn put(
    plane: &Plane,
    admin: Admin,
    id: ServerId,
    new: api::ServerNew,
    expected: u64,
) -> Result<api::Server, Refused> {
    respond::check_name("server", &new.name)?;
    let headers = new
        .headers
        .into_iter()
        .map(|header| (header.name, header.from))
        .collect();
    let upstream = Upstream::Http {
        url: new.url,
        headers,
    };
    // What the data plane could not use never gets into the book.
    Route::new(&upstream).map_err(Refused::ServerInvalid)?;
    let warnings = warnings(&upstream);
    let put = ServerPut {
        actor: admin.0,
        server: id,
        name: new.name,
        upstream,
        expected,
    };
    let name = put.name.clone();
    let result = plane.node.cluster.commit(&Command::ServerPut(put)).await?;
    let unknown = |name| Refused::ServerUnknown { name };
    problem::put(result, &name, unknown)?;
    let shown = |book: &Book| book.server(&id).map(|server| shown(plane, server));
    // None: removed again meanwhile.
    let server = plane
        .node
        .cluster
        .read(shown)
        .ok_or_else(|| unknown(name))?;
    Ok(api::Server { warnings, ..server })
}

fn shown(plane: &Plane, server: &Server) -> api::Server {
    let Upstream::Http { url, headers } = &server.upstream;
    let header = |(name, from): &(String, String)| api::Header {
        name: name.clone(),
        from: from.clone(),
    };
    api::Server {
        id: Uuid::from_bytes(server.id.0).to_string(),
        name: server.name.clone(),
        url: url.clone(),
        endpoint: respond::endpoint(plane, server.id),
        headers: headers.iter().map(header).collect(),
        revision: server.revision,
        created: respond::time(server.created),
        warnings: Vec::new(),
    }
}

fn warnings(upstream: &Upstream) -> Vec<String> {
    let Upstream::Http { url, .. } = upstream;
    let Ok(parsed) = Url::parse(url) else {
        return Vec::new();
    };
    let local = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if parsed.scheme() == "http" && !local {
        vec![format!(
            "calls to {url} leave this machine unencrypted; use https, or a network that you trust"
        )]
    } else {
        Vec::new()
    }
}
