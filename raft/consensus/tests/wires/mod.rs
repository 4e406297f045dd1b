//! A network that delivers all, and can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::timeout;

use tollbook_raft::{
    CHANNEL_MESSAGES, Channel, LinkError, NodeId, Service, Target, Transport, Urgency,
};

/// All wires between a test's nodes.
#[derive(Clone, Default)]
pub(crate) struct Wires {
    services: Arc<Mutex<BTreeMap<NodeId, Arc<dyn Service>>>>,
    /// Nodes that nobody hears, and that hear nobody.
    pub(crate) cut: Arc<Mutex<BTreeSet<NodeId>>>,
}

struct Wire {
    me: NodeId,
    wires: Wires,
}

impl Wires {
    /// One node's end.
    pub(crate) fn at(&self, me: NodeId) -> Arc<dyn Transport> {
        let wires = self.clone();
        Arc::new(Wire { me, wires })
    }

    fn service(&self, from: NodeId, to: &Target) -> Result<Arc<dyn Service>, LinkError> {
        let cut = self.cut.lock().unwrap();
        let services = self.services.lock().unwrap();
        let service = services
            .get(&to.node)
            .filter(|_| !cut.contains(&from) && !cut.contains(&to.node));
        service.cloned().ok_or_else(|| LinkError::Unreachable {
            node: to.node,
            address: to.peer.peer_address.clone(),
            reason: "cut".into(),
        })
    }
}

impl Wires {
    /// Carries messages until the way is cut.
    fn carry(
        &self,
        from: NodeId,
        to: &Target,
        mut messages: mpsc::Receiver<Bytes>,
    ) -> mpsc::Receiver<Bytes> {
        let (onward, carried) = mpsc::channel(CHANNEL_MESSAGES);
        let (wires, to) = (self.clone(), to.clone());
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if wires.service(from, &to).is_err() || onward.send(message).await.is_err() {
                    return;
                }
            }
        });
        carried
    }
}

impl Transport for Wire {
    fn serve(&self, service: Arc<dyn Service>) {
        self.wires.services.lock().unwrap().insert(self.me, service);
    }

    fn call(
        &self,
        to: Target,
        message: Bytes,
        _urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let service = self.wires.service(self.me, &to);
        let from = self.me;
        Box::pin(async move {
            let answer = service?.call(from, message);
            timeout(within, answer)
                .await
                .map_err(|_| LinkError::Late { node: to.node })
        })
    }

    fn open(
        &self,
        to: Target,
        _urgency: Urgency,
        _within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>> {
        let service = self.wires.service(self.me, &to);
        let (from, wires) = (self.me, self.wires.clone());
        Box::pin(async move {
            let service = service?;
            let (send, sent) = mpsc::channel(CHANNEL_MESSAGES);
            let (answer, answered) = mpsc::channel(CHANNEL_MESSAGES);
            let receive = wires.carry(from, &to, answered);
            let channel = Channel {
                send: answer,
                receive: wires.carry(from, &to, sent),
            };
            tokio::spawn(service.open(from, channel));
            Ok(Channel { send, receive })
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.wires.services.lock().unwrap().remove(&self.me);
        Box::pin(async {})
    }
}
