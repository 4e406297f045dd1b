//! Connections to peers: one each, made when it is needed, kept, and made anew when it broke.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::Connection;
use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

use super::codes::{Code, reason};
use super::limits::{BACK_OFF_FIRST, BACK_OFF_MOST, DIAL_ADDRESSES_LIMIT, DIAL_TIME, LINKS_LIMIT};
use super::listen::GREETING;
use super::shared::{Shared, add, close, guard};
use super::tls::Tls;
use crate::certs::{Role, name_of};
use crate::transport::{LinkError, Target};
use crate::types::NodeId;

/// A connection that a peer has greeted.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) connection: Connection,
    /// Held by the link and by whatever runs on the connection. When the link has gone on to
    /// another and the last stream has ended, the connection is closed.
    pub(super) used: mpsc::Sender<()>,
}

/// A connection, or why there is none.
type Dialled = Result<Live, Arc<str>>;

#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<NodeId, Link>>);

#[derive(Debug)]
struct Link {
    address: String,
    /// What it was dialled with: another identity dials anew.
    tls: Arc<Tls>,
    state: State,
    /// How long the peer is left alone after the next failure.
    back_off: Duration,
}

#[derive(Debug)]
enum State {
    Dialling(watch::Receiver<Option<Dialled>>),
    Down { reason: Arc<str>, until: Instant },
    Up(Live),
}

enum Look {
    Dial(
        watch::Sender<Option<Dialled>>,
        watch::Receiver<Option<Dialled>>,
    ),
    Down(Arc<str>),
    Up(Live),
    Wait(watch::Receiver<Option<Dialled>>),
}

impl Links {
    /// What there is for a peer. Who is told to dial must: others wait for it.
    fn look(&self, to: &Target, tls: &Arc<Tls>) -> Result<Look, Arc<str>> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= LINKS_LIMIT && !links.contains_key(&to.node) {
            links.retain(|_, link| link.is_of_use());
            if links.len() >= LINKS_LIMIT {
                return Err("too many peers are known".into());
            }
        }
        let known = links
            .get(&to.node)
            .filter(|link| link.address == to.peer.peer_address && Arc::ptr_eq(&link.tls, tls));
        let mut back_off = BACK_OFF_FIRST;
        if let Some(link) = known {
            match &link.state {
                State::Dialling(wait) => return Ok(Look::Wait(wait.clone())),
                State::Down { reason, until } if Instant::now() < *until => {
                    return Ok(Look::Down(Arc::clone(reason)));
                }
                State::Up(live) if live.connection.close_reason().is_none() => {
                    return Ok(Look::Up(live.clone()));
                }
                State::Down { .. } => back_off = link.back_off,
                State::Up(_) => {}
            }
        }
        let (done, wait) = watch::channel(None);
        let link = Link {
            address: to.peer.peer_address.clone(),
            tls: Arc::clone(tls),
            state: State::Dialling(wait.clone()),
            back_off,
        };
        // A connection that this one takes the place of ends with the last of its streams.
        links.insert(to.node, link);
        Ok(Look::Dial(done, wait))
    }

    /// Notes how a dial ended, unless another has begun meanwhile.
    fn settle(&self, node: NodeId, done: &watch::Sender<Option<Dialled>>, dialled: &Dialled) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(link) = links.get_mut(&node) else {
            return;
        };
        match &link.state {
            State::Dialling(wait) if wait.same_channel(&done.subscribe()) => {}
            State::Dialling(_) | State::Down { .. } | State::Up(_) => return,
        }
        link.state = match dialled {
            Ok(live) => State::Up(live.clone()),
            Err(reason) => {
                let until = Instant::now() + link.back_off;
                link.back_off = BACK_OFF_MOST.min(link.back_off * 2);
                let reason = Arc::clone(reason);
                State::Down { reason, until }
            }
        };
    }
}

impl Link {
    fn is_of_use(&self) -> bool {
        match &self.state {
            State::Dialling(_) => true,
            State::Down { until, .. } => Instant::now() < *until,
            State::Up(live) => live.connection.close_reason().is_none(),
        }
    }
}

pub(super) fn unreachable(to: &Target, reason: &str) -> LinkError {
    LinkError::Unreachable {
        node: to.node,
        address: to.peer.peer_address.clone(),
        reason: reason.to_owned(),
    }
}

/// The connection to a peer, made if there is none. All who ask meanwhile share one attempt,
/// which goes on when they give up.
pub(super) async fn connection(
    shared: &Arc<Shared>,
    to: &Target,
    deadline: Instant,
) -> Result<Live, LinkError> {
    if shared.running.get().is_none() || shared.stop.is_cancelled() {
        return Err(unreachable(to, "this node's transport does not run"));
    }
    let tls = shared.current();
    let mut wait = match shared.links.look(to, &tls) {
        Ok(Look::Up(live)) => return Ok(live),
        Ok(Look::Wait(wait)) => wait,
        Ok(Look::Dial(done, wait)) => {
            shared.spawn(dial(Arc::clone(shared), tls, to.clone(), done));
            wait
        }
        Ok(Look::Down(reason)) | Err(reason) => return Err(unreachable(to, &reason)),
    };
    let dialled = match timeout_at(deadline, wait.wait_for(Option::is_some)).await {
        Ok(Ok(dialled)) => (*dialled).clone(),
        // Its task ended with the transport.
        Ok(Err(_)) => None,
        Err(_) => return Err(unreachable(to, "no connection came to be in time")),
    };
    let dialled = dialled.unwrap_or_else(|| Err("this node's transport has stopped".into()));
    dialled.map_err(|reason| unreachable(to, &reason))
}

async fn dial(
    shared: Arc<Shared>,
    tls: Arc<Tls>,
    to: Target,
    done: watch::Sender<Option<Dialled>>,
) {
    let dialled = tokio::select! {
        () = shared.stop.cancelled() => Err("this node's transport stops".into()),
        dialled = attempt(&shared, &tls, &to) => dialled,
    };
    match &dialled {
        Ok(_) => {
            add(&shared.counts.dialled);
            info!(
                node = to.node,
                address = to.peer.peer_address,
                "connected to a peer"
            );
        }
        Err(reason) => {
            add(&shared.counts.dials_failed);
            let address = &to.peer.peer_address;
            debug!(node = to.node, address, %reason, "a peer was not reached");
        }
    }
    shared.links.settle(to.node, &done, &dialled);
    done.send_replace(Some(dialled));
}

/// Tries each address of the name, which may have moved since the last time.
async fn attempt(shared: &Arc<Shared>, tls: &Arc<Tls>, to: &Target) -> Dialled {
    let address = to.peer.peer_address.as_str();
    let addresses: Vec<_> = match timeout(DIAL_TIME, lookup_host(address)).await {
        Ok(Ok(addresses)) => addresses.take(DIAL_ADDRESSES_LIMIT).collect(),
        Ok(Err(error)) => return Err(format!("its address is not found: {error}").into()),
        Err(_) => return Err("its address is not found in time".into()),
    };
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = Err("its address is not found".into());
    for address in addresses {
        last = match timeout(DIAL_TIME / count, handshake(shared, tls, to, address)).await {
            Ok(Ok(live)) => return Ok(live),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("nothing is heard from it".into()),
        };
    }
    last
}

async fn handshake(
    shared: &Arc<Shared>,
    tls: &Arc<Tls>,
    to: &Target,
    address: SocketAddr,
) -> Dialled {
    let said = |error: &quinn::ConnectionError| Arc::<str>::from(reason(error));
    let name = name_of(&tls.identity.cluster(), to.node);
    let running = shared.running.get().ok_or("the transport does not run")?;
    let connection = running
        .endpoint
        .connect_with(tls.dial.clone(), address, &name)
        .map_err(|error| Arc::<str>::from(error.to_string()))?
        .await
        .map_err(|error| said(&error))?;
    let certificate = match tls.listener(&connection, to) {
        Ok(certificate) => certificate,
        Err(code) => {
            close(&connection, code);
            return Err(
                "its certificate names another node, or another key than the member's".into(),
            );
        }
    };
    // A dialer is done before the listener has seen its certificate: the greeting says that it
    // was taken, and only what fails after it may have arrived.
    let greeted = async {
        let mut greeting = connection.accept_uni().await?;
        let mut byte = [0];
        let read = greeting.read_exact(&mut byte).await;
        Ok(read.is_ok() && byte == GREETING)
    };
    match greeted.await {
        Ok(true) => {}
        Ok(false) => {
            close(&connection, Code::Malformed);
            return Err("it does not greet as a peer does".into());
        }
        Err(error) => return Err(said(&error)),
    }
    let (used, users) = mpsc::channel(1);
    let live = Live { connection, used };
    shared.spawn(guard(
        Arc::clone(shared),
        live.connection.clone(),
        to.node,
        certificate,
        Role::Listener,
        Some(users),
    ));
    Ok(live)
}
