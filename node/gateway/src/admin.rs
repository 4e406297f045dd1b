//! The admin plane: `/api/v1/…`, `/healthz`, `/readyz`, `/metrics`, on a listener and with a token
//! class of its own.
//!
//! Every change is answered once it is on a quorum's disks and applied here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::dir::AdminHashes;
use crate::node::Node;

pub mod api;
mod audit;
mod cluster;
mod grants;
mod guard;
mod health;
mod policies;
mod problem;
pub(crate) mod respond;
mod servers;

/// Connections to the admin plane at once.
const CONNECTIONS: usize = 64;
/// Readers of the book at once: each holds a file and a buffer.
const READERS: usize = 8;
/// After an accept that failed, for others to close what they hold.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What all requests share.
#[derive(Debug)]
struct Plane {
    node: Arc<Node>,
    admins: AdminHashes,
    readers: Arc<Semaphore>,
}

/// Answers admin requests until the node stops. Each connection is a task of the node.
pub(crate) async fn run(node: Arc<Node>, listener: TcpListener) {
    let admins = match node.dir.admin_hashes() {
        Ok(admins) => admins,
        Err(error) => return node.fail(&error),
    };
    let router = router(Arc::new(Plane {
        node: Arc::clone(&node),
        admins,
        readers: Arc::new(Semaphore::new(READERS)),
    }));
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = node.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                    continue;
                };
                let (node_of_task, router) = (Arc::clone(&node), router.clone());
                node.tasks.spawn(async move {
                    serve(&node_of_task, router, stream, peer.ip()).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Axum's own server has no time-outs, so hyper serves and axum only routes.
async fn serve(node: &Node, router: Router, stream: TcpStream, source: IpAddr) {
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(source))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(node.deadlines.head)
        .max_buf_size(node.limits.head_bytes)
        .max_headers(node.limits.headers)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = node.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin's connection broke");
    }
}

fn router(plane: Arc<Plane>) -> Router {
    let named = get(servers::show)
        .put(servers::replace)
        .delete(servers::remove);
    let api = Router::new()
        .route("/servers", get(servers::list).post(servers::create))
        .route("/servers/{name}", named)
        .route("/policies", get(policies::list))
        .route("/policies/{name}", get(policies::show).put(policies::apply))
        .route("/grants", get(grants::list).post(grants::create))
        .route("/grants/{name}", get(grants::show).delete(grants::revoke))
        .route("/grants/{name}/rotate", post(grants::rotate))
        .route("/cluster", get(cluster::status))
        .route("/cluster/tokens", post(cluster::token))
        .route("/cluster/nodes/{node}", delete(cluster::remove))
        .route("/cluster/nodes/{node}/promote", post(cluster::promote))
        .route("/cluster/transfer", post(cluster::transfer))
        .route("/cluster/drain", post(cluster::drain))
        .route("/audit/records", get(audit::records))
        .route("/status", get(health::status));
    let known = Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(health::metrics));
    // The token is asked for before the path is looked at: a stranger learns no route.
    let guarded = known
        .fallback(problem::path_unknown)
        .method_not_allowed_fallback(problem::method_unknown)
        .layer(from_fn_with_state(Arc::clone(&plane), guard::admins_only));
    // Probes know neither token nor name.
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback_service(guarded.with_state(Arc::clone(&plane)))
        .with_state(plane)
}
