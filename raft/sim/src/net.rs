//! The network between the processes: late, lossy, cut in halves and one way, and, as the seam
//! promises, never delivering one message twice or to another node than the one meant.
//!
//! Processes run one after another in slices of time that are no longer than the shortest way of a
//! message, so what one says reaches the others in a later slice, in an order that the seed picks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use tollbook_raft::{
    CHANNEL_MESSAGES, Channel, LinkError, NodeId, Service, Target, Transport, Urgency,
};

use crate::rng::Rng;
use crate::trace::Trace;

/// No message is faster than a slice of time.
pub(crate) const SLICE_US: u64 = 1000;

/// How messages fare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Usual time of one way, at most.
    pub(crate) latency_us: u64,
    /// Of a thousand messages, how many take up to a hundred times as long.
    pub(crate) slow: u64,
    /// Of a thousand messages or answers, how many are lost.
    pub(crate) lost: u64,
    /// Of a thousand messages on a stream, before how many it breaks.
    pub(crate) broken: u64,
}

impl Weather {
    /// When all faults are over.
    pub(crate) const FAIR: Self = Self {
        latency_us: 2000,
        slow: 0,
        lost: 0,
        broken: 0,
    };
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Net {
    fabric: Arc<Mutex<Fabric>>,
}

struct Fabric {
    now_us: u64,
    next: u64,
    rng: Rng,
    trace: Trace,
    weather: Weather,
    /// Ways on which nothing gets through.
    cut: BTreeSet<(NodeId, NodeId)>,
    events: BTreeMap<(u64, u64), Event>,
    listeners: BTreeMap<NodeId, Listener>,
    streams: BTreeMap<u64, Stream>,
    /// Lost messages: who sent one waits for its answer as long as it will.
    lost: Vec<oneshot::Sender<Result<Bytes, LinkError>>>,
}

/// A process that takes messages.
#[derive(Clone)]
struct Listener {
    service: Arc<dyn Service>,
    on: Handle,
}

type Answer = oneshot::Sender<Result<Bytes, LinkError>>;
type Opened = oneshot::Sender<Result<Channel, LinkError>>;

enum Event {
    Request {
        way: (NodeId, NodeId),
        message: Bytes,
        answer: Answer,
    },
    Answer {
        way: (NodeId, NodeId),
        message: Result<Bytes, LinkError>,
        answer: Answer,
    },
    Open {
        way: (NodeId, NodeId),
        opened: Opened,
        by: Handle,
    },
    Opened {
        way: (NodeId, NodeId),
        channel: Channel,
        opened: Opened,
    },
    /// Messages of one direction of a stream are due.
    Due { stream: u64, lane: usize },
    /// A stream breaks.
    Break { stream: u64 },
}

/// Both directions of a stream; lane 0 leads from who opened it.
struct Stream {
    ends: (NodeId, NodeId),
    lanes: [Lane; 2],
    broken: CancellationToken,
}

struct Lane {
    way: (NodeId, NodeId),
    to: Option<mpsc::Sender<Bytes>>,
    /// None: the sender's end.
    queue: VecDeque<(u64, Option<Bytes>)>,
    last_us: u64,
    room: Arc<Semaphore>,
}

impl Net {
    pub(crate) fn new(rng: Rng, trace: Trace) -> Self {
        let fabric = Fabric {
            now_us: 0,
            next: 0,
            rng,
            trace,
            weather: Weather::FAIR,
            cut: BTreeSet::new(),
            events: BTreeMap::new(),
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            lost: Vec::new(),
        };
        Self {
            fabric: Arc::new(Mutex::new(fabric)),
        }
    }

    /// The way of one process to the others.
    pub(crate) fn transport(&self, node: NodeId) -> Arc<dyn Transport> {
        Arc::new(Wire {
            node,
            net: self.clone(),
        })
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Lets nothing through from `from` to `to`, or all again.
    pub(crate) fn cut(&self, from: NodeId, to: NodeId, cut: bool) {
        let mut fabric = self.lock();
        if cut {
            fabric.cut.insert((from, to));
        } else {
            fabric.cut.remove(&(from, to));
        }
    }

    /// Ends all cuts.
    pub(crate) fn mend(&self) {
        self.lock().cut.clear();
    }

    /// The process is gone. Its peers learn it in their time.
    pub(crate) fn died(&self, node: NodeId) {
        let mut fabric = self.lock();
        // Dropped when the lock is released: it may hold senders into this network.
        let listener = fabric.listeners.remove(&node);
        fabric.break_streams(node);
        drop(fabric);
        drop(listener);
    }

    /// Breaks some streams of a node.
    pub(crate) fn break_streams(&self, node: NodeId) {
        self.lock().break_streams(node);
    }

    /// Delivers what is due.
    pub(crate) fn advance(&self, now_us: u64) {
        self.lock().now_us = now_us;
        loop {
            let mut fabric = self.lock();
            let Some((&at, _)) = fabric.events.first_key_value() else {
                return;
            };
            if at.0 > now_us {
                return;
            }
            if let Some(event) = fabric.events.remove(&at) {
                self.deliver(&mut fabric, event);
            }
        }
    }

    fn deliver(&self, fabric: &mut Fabric, event: Event) {
        match event {
            Event::Request {
                way,
                message,
                answer,
            } => self.request(fabric, way, message, answer),
            Event::Answer {
                way,
                message,
                answer,
            } => {
                if fabric.cut.contains(&way) {
                    fabric.lost.push(answer);
                } else {
                    if let Ok(message) = &message {
                        fabric.trace.delivered(way, message);
                    }
                    // Who asked may be gone.
                    drop(answer.send(message));
                }
            }
            Event::Open { way, opened, by } => self.open(fabric, way, opened, &by),
            Event::Opened {
                way,
                channel,
                opened,
            } => {
                let up = !fabric.cut.contains(&way);
                if up {
                    drop(opened.send(Ok(channel)));
                }
            }
            Event::Due { stream, lane } => fabric.due(stream, lane),
            Event::Break { stream } => {
                if let Some(stream) = fabric.streams.remove(&stream) {
                    fabric.trace.note(
                        stream.ends.0,
                        format_args!("stream to n{} breaks", stream.ends.1),
                    );
                    stream.broken.cancel();
                }
            }
        }
    }

    fn request(&self, fabric: &mut Fabric, way: (NodeId, NodeId), message: Bytes, answer: Answer) {
        if fabric.cut.contains(&way) {
            // Sent again until it gets through, or given up.
            if fabric.rng.chance(500) {
                let event = Event::Request {
                    way,
                    message,
                    answer,
                };
                let again = fabric.rng.between(20_000, 200_000);
                fabric.after(again, event);
            } else {
                fabric.lost.push(answer);
            }
            return;
        }
        let Some(listener) = fabric.listeners.get(&way.1).cloned() else {
            if fabric.rng.chance(500) {
                let error = unreachable(way.1);
                fabric.send(Event::Answer {
                    way: (way.1, way.0),
                    message: Err(error),
                    answer,
                });
            } else {
                fabric.lost.push(answer);
            }
            return;
        };
        fabric.trace.delivered(way, &message);
        let net = self.clone();
        drop(listener.on.clone().spawn(async move {
            let message = listener.service.call(way.0, message).await;
            let mut fabric = net.lock();
            let lost = fabric.is_lost();
            let message = if lost {
                Err(broken(way.1))
            } else {
                Ok(message)
            };
            // A lost answer is waited for, or the connection breaks with it.
            if lost && fabric.rng.chance(500) {
                fabric.lost.push(answer);
            } else {
                fabric.send(Event::Answer {
                    way: (way.1, way.0),
                    message,
                    answer,
                });
            }
        }));
    }

    /// Both ends of a stream, each pumped by its own process.
    fn open(&self, fabric: &mut Fabric, way: (NodeId, NodeId), opened: Opened, by: &Handle) {
        if fabric.cut.contains(&way) {
            return;
        }
        let back = (way.1, way.0);
        let Some(listener) = fabric.listeners.get(&way.1).cloned() else {
            return;
        };
        fabric.next += 1;
        let id = fabric.next;
        let broken = CancellationToken::new();
        let (here, there, lanes) = channels(way);
        fabric.streams.insert(
            id,
            Stream {
                ends: way,
                lanes,
                broken: broken.clone(),
            },
        );
        drop(by.spawn(self.clone().pump(id, 0, here.1, broken.clone())));
        drop(listener.on.spawn(self.clone().pump(id, 1, there.1, broken)));
        let on = listener.on.clone();
        drop(on.spawn(async move { listener.service.open(way.0, there.0).await }));
        fabric.send(Event::Opened {
            way: back,
            channel: here.0,
            opened,
        });
    }

    /// Takes what one end sends, until it ends or the stream breaks.
    async fn pump(
        self,
        stream: u64,
        lane: usize,
        mut from: mpsc::Receiver<Bytes>,
        broken: CancellationToken,
    ) {
        loop {
            let message = tokio::select! {
                biased;
                () = broken.cancelled() => return,
                message = from.recv() => message,
            };
            let room = self.lock().room(stream, lane);
            let Some(room) = room else { return };
            if message.is_some() {
                tokio::select! {
                    biased;
                    () = broken.cancelled() => return,
                    permit = room.acquire() => match permit {
                        Ok(permit) => permit.forget(),
                        Err(_) => return,
                    },
                }
            }
            let ended = message.is_none();
            self.lock().queue(stream, lane, message);
            if ended {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type End = (Channel, mpsc::Receiver<Bytes>);

/// The two ends of a stream, each with what it sends, and the lanes that lead to them.
fn channels(way: (NodeId, NodeId)) -> (End, End, [Lane; 2]) {
    let (here_send, here_out) = mpsc::channel(CHANNEL_MESSAGES);
    let (here_in, here_receive) = mpsc::channel(CHANNEL_MESSAGES);
    let (there_send, there_out) = mpsc::channel(CHANNEL_MESSAGES);
    let (there_in, there_receive) = mpsc::channel(CHANNEL_MESSAGES);
    let here = Channel {
        send: here_send,
        receive: here_receive,
    };
    let there = Channel {
        send: there_send,
        receive: there_receive,
    };
    let lanes = [Lane::new(way, there_in), Lane::new((way.1, way.0), here_in)];
    ((here, here_out), (there, there_out), lanes)
}

impl Lane {
    fn new(way: (NodeId, NodeId), to: mpsc::Sender<Bytes>) -> Self {
        Self {
            way,
            to: Some(to),
            queue: VecDeque::new(),
            last_us: 0,
            room: Arc::new(Semaphore::new(CHANNEL_MESSAGES)),
        }
    }
}

impl Fabric {
    fn is_lost(&mut self) -> bool {
        let lost = self.weather.lost;
        self.rng.chance(lost)
    }

    /// One way's time.
    fn latency(&mut self) -> u64 {
        let Weather {
            latency_us, slow, ..
        } = self.weather;
        let usual = self.rng.between(SLICE_US, latency_us.max(SLICE_US));
        if self.rng.chance(slow) {
            usual * self.rng.between(2, 100)
        } else {
            usual
        }
    }

    fn send(&mut self, event: Event) {
        let latency = self.latency();
        self.after(latency, event);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.next += 1;
        let at = (self.now_us + us, self.next);
        self.events.insert(at, event);
    }

    fn room(&self, stream: u64, lane: usize) -> Option<Arc<Semaphore>> {
        let lane = self.streams.get(&stream)?.lanes.get(lane)?;
        Some(Arc::clone(&lane.room))
    }

    /// A message on its way. None overtakes another of its lane.
    fn queue(&mut self, id: u64, lane: usize, message: Option<Bytes>) {
        let broken = self.weather.broken;
        if self.rng.chance(broken) {
            self.send(Event::Break { stream: id });
        }
        let latency = self.latency();
        let now_us = self.now_us;
        let Some(way) = self
            .streams
            .get_mut(&id)
            .and_then(|s| s.lanes.get_mut(lane))
        else {
            return;
        };
        way.last_us = way.last_us.max(now_us + latency);
        way.queue.push_back((way.last_us, message));
        let after = way.last_us - now_us;
        self.after(after, Event::Due { stream: id, lane });
    }

    /// Hands over what has arrived, as long as the receiver has room.
    fn due(&mut self, id: u64, lane: usize) {
        let now_us = self.now_us;
        let Some(way) = self
            .streams
            .get_mut(&id)
            .and_then(|s| s.lanes.get_mut(lane))
        else {
            return;
        };
        // On a cut way the messages wait to be sent again; the stream breaks if that lasts.
        if self.cut.contains(&way.way) {
            let waited = way
                .queue
                .front()
                .map_or(0, |(at, _)| now_us.saturating_sub(*at));
            let event = if waited > 3_000_000 {
                Event::Break { stream: id }
            } else {
                Event::Due { stream: id, lane }
            };
            let again = self.rng.between(20_000, 100_000);
            return self.after(again, event);
        }
        while let Some((at, message)) = way.queue.pop_front() {
            if at > now_us {
                way.queue.push_front((at, message));
                return;
            }
            let Some(message) = message else {
                way.to = None;
                return;
            };
            self.trace.delivered(way.way, &message);
            let sent = way.to.as_ref().map(|to| to.try_send(message));
            match sent {
                Some(Err(mpsc::error::TrySendError::Full(message))) => {
                    way.queue.push_front((at, Some(message)));
                    return self.after(SLICE_US, Event::Due { stream: id, lane });
                }
                Some(Ok(()) | Err(mpsc::error::TrySendError::Closed(_))) | None => {
                    way.room.add_permits(1);
                }
            }
        }
    }

    fn break_streams(&mut self, node: NodeId) {
        let of_node: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.ends.0 == node || stream.ends.1 == node)
            .map(|(id, _)| *id)
            .collect();
        for stream in of_node {
            let after = self.rng.between(SLICE_US, 3_000_000);
            self.after(after, Event::Break { stream });
        }
        self.lost.retain(|answer| !answer.is_closed());
    }
}

/// One process's end of the network.
struct Wire {
    node: NodeId,
    net: Net,
}

impl Transport for Wire {
    fn serve(&self, service: Arc<dyn Service>) {
        let listener = Listener {
            service,
            on: Handle::current(),
        };
        let before = self.net.lock().listeners.insert(self.node, listener);
        drop(before);
    }

    fn call(
        &self,
        to: Target,
        message: Bytes,
        _urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let net = self.net.clone();
        let way = (self.node, to.node);
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            {
                let mut fabric = net.lock();
                if fabric.is_lost() {
                    fabric.lost.push(answer);
                } else {
                    fabric.send(Event::Request {
                        way,
                        message,
                        answer,
                    });
                }
            }
            match timeout(within, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(broken(way.1)),
                Err(_) => Err(LinkError::Late { node: way.1 }),
            }
        })
    }

    fn open(
        &self,
        to: Target,
        _urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>> {
        let net = self.net.clone();
        let way = (self.node, to.node);
        Box::pin(async move {
            let (opened, answered) = oneshot::channel();
            let by = Handle::current();
            net.lock().send(Event::Open { way, opened, by });
            match timeout(within, answered).await {
                Ok(Ok(channel)) => channel,
                Ok(Err(_)) | Err(_) => Err(LinkError::Late { node: way.1 }),
            }
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let net = self.net.clone();
        let node = self.node;
        Box::pin(async move { net.died(node) })
    }
}

fn unreachable(node: NodeId) -> LinkError {
    LinkError::Unreachable {
        node,
        address: format!("n{node}"),
        reason: "no process listens there".into(),
    }
}

fn broken(node: NodeId) -> LinkError {
    LinkError::Broken {
        node,
        reason: "the connection broke".into(),
    }
}
