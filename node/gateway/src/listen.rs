//! The data plane's listener: our own accept loop with time-outs on hyper's HTTP/1.1.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::inbound::{Inbound, Path};
use crate::node::Node;
use crate::refusal::{self, Asker, Refusal};
use crate::reply::ReplyBody;
use crate::request;

/// Accepts connections until the node stops. Each connection is a task of the node.
pub(crate) async fn run(node: Arc<Node>, listener: TcpListener) {
    let free = Arc::new(Semaphore::new(node.limits.connections));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = node.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Over the limit the connection is closed at once: a queue here would only hide
                // that the node is full.
                let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                    node.metrics.connections_refused.inc();
                    continue;
                };
                let node_of_task = Arc::clone(&node);
                node.tasks.spawn(async move {
                    serve(node_of_task, stream, peer.ip()).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must close before we accept more.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(node: Arc<Node>, stream: TcpStream, source: IpAddr) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = {
        let node = Arc::clone(&node);
        service_fn(move |request| {
            let node = Arc::clone(&node);
            async move { Ok::<_, Infallible>(answer(node, request, source).await) }
        })
    };
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
        tracing::debug!(%error, "a client's connection broke");
    }
}

async fn answer(
    node: Arc<Node>,
    request: Request<Incoming>,
    source: IpAddr,
) -> Response<ReplyBody> {
    let is_oauth = Path::parse(request.uri().path()) == Path::OAuth;
    let received = node.clock.moment();
    let mut response = match Inbound::accept(request, source, received, &node.names) {
        Ok(inbound) => request::handle(node, inbound).await,
        Err(Refusal::PathUnknown) if is_oauth => refusal::no_oauth().into(),
        Err(refusal) => {
            node.metrics.refused(&refusal);
            refusal.reply(&Asker::UNREAD).into()
        }
    };
    refusal::common_headers(response.headers_mut());
    response
}
