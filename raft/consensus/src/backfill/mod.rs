//! Gets the segments that this node's log does not make: those below the snapshot that it began
//! with, or went on from.
//!
//! Peers are asked and not believed. The engine takes a segment only if it is one chain that ends
//! with the hash which a frame of this node's goes on from, and the newest of those is named by the
//! state's head. So whatever peer a segment comes from, it is the one that the cluster committed.
//! Work goes from the newest hole down, a segment at a time, and a restart goes on at the segment
//! that it was at.

mod messages;
#[cfg(test)]
pub(crate) mod tests;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use tollbook_audit::Head;
use tollbook_storage::{
    ChainPlace, Engine, EngineError, HeadPlace, Incoming, Missing, TakeError, Unfit,
};

use crate::types::NodeId;

use self::limits::{LIST_ENTRIES_LIMIT, LISTS_LIMIT, READ_BYTES_LIMIT, RETRY_PAUSE};
pub use self::messages::answer;
use self::messages::{Answer, Listed, Request};
pub(crate) use self::ways::Ways;

/// Named limits of this module.
pub mod limits {
    use std::time::Duration;

    /// Bytes of a segment in one message. Who answers reads them on the thread that commits go
    /// through: a tenth of a millisecond from memory, one or two from a disk.
    pub const READ_BYTES_LIMIT: u32 = 256 << 10;
    /// Segments named in one message.
    pub const LIST_ENTRIES_LIMIT: u32 = 4096;
    /// Messages with segments' names that are read of one peer at a time: thirty years of them.
    pub const LISTS_LIMIT: u32 = 64;
    /// Bytes of closed segments that are fetched in a second, by default: a fifteenth of what a
    /// gigabit link carries, and two syncs of 4 MiB a second on the disk of the node that fetches.
    pub const BYTES_PER_SECOND: u64 = 8 << 20;
    /// How long nobody is asked when nobody had what is missing.
    pub const RETRY_PAUSE: Duration = Duration::from_secs(5);
    /// How long one peer is waited for.
    pub const ANSWER_WAIT: Duration = Duration::from_secs(10);
}

/// Sends a message of this module to a node, whose [`answer`] to it comes back; none when the node
/// cannot be reached.
pub type Fetch = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Option<Bytes>> + Send + Sync>;

/// Whom to ask, in that order: the leader, then the other members.
pub type Sources = Arc<dyn Fn() -> Vec<NodeId> + Send + Sync>;

/// How far down the book reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// All of it is here, checked against the head. Only then may this node cosign, and serve the
    /// book.
    pub whole: bool,
    /// Index of the first record from which on nothing is missing.
    pub from: u64,
    /// What must still come, as far as a peer has said; none before one has.
    pub bytes_missing: Option<u64>,
}

/// Fills the holes of an engine's book.
pub struct Backfill<E> {
    engine: Arc<E>,
    fetch: Fetch,
    sources: Sources,
    bytes_per_second: u64,
    reach: watch::Sender<Reach>,
    wake: Notify,
    /// One head at a time.
    heads: Mutex<()>,
}

impl<E: Engine> std::fmt::Debug for Backfill<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backfill")
            .field("reach", &*self.reach.borrow())
            .finish_non_exhaustive()
    }
}

/// Why a peer's segment did not come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The storage failed, or this node holds another frame than the cluster. It must stop.
    #[error(transparent)]
    Engine(EngineError),
    /// Nobody who was asked has it.
    #[error("no member gives segment {segment} as the snapshot's head goes on from it")]
    Nobody {
        /// Index of its first record.
        segment: u64,
    },
}

/// What came of asking everyone once.
enum Round {
    Nothing,
    Some,
    Whole,
}

/// Why one peer was of no use.
enum Trouble {
    Engine(EngineError),
    /// No answer, or one that cannot be read.
    Silent,
    Unfit(Unfit),
}

impl From<TakeError> for Trouble {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Engine(error) => Self::Engine(error),
            TakeError::Unfit(unfit) => Self::Unfit(unfit),
        }
    }
}

impl<E: Engine> Backfill<E> {
    /// Looks at what is missing. `bytes_per_second`: [`limits::BYTES_PER_SECOND`] but for tests.
    #[must_use]
    pub fn new(engine: Arc<E>, fetch: Fetch, sources: Sources, bytes_per_second: u64) -> Self {
        let reach = watch::Sender::new(reach_of(&*engine, None));
        Self {
            engine,
            fetch,
            sources,
            bytes_per_second: bytes_per_second.max(1),
            reach,
            wake: Notify::new(),
            heads: Mutex::new(()),
        }
    }

    /// How far the book reaches, and when that changes.
    #[must_use]
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.reach.subscribe()
    }

    /// A snapshot was installed: there may be more to fetch.
    pub fn wake(&self) {
        self.reach.send_replace(reach_of(&*self.engine, None));
        self.wake.notify_one();
    }

    /// Answers a peer's question from this node's book: see [`answer`].
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Bytes {
        answer(&*self.engine, message)
    }

    /// Fetches what is missing, until `stop`. An error is the end of the node: its storage failed,
    /// or its own frames are others than the cluster's. Blocks where the engine does.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), EngineError> {
        let work = async {
            let mut due = Instant::now();
            loop {
                match self.round(&mut due).await? {
                    Round::Whole => self.wake.notified().await,
                    // What one peer gave may end where another can go on.
                    Round::Some => {}
                    Round::Nothing => drop(timeout(RETRY_PAUSE, self.wake.notified()).await),
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            failed = work => failed,
        }
    }

    /// Before a snapshot is installed: fetches the open segment's beginning up to the head of the
    /// snapshot's state, from the node that sent it or another, and leaves it beside the book,
    /// durably. Nothing to do when the book holds it. At the full speed of the link.
    pub async fn fetch_head(&self, sender: NodeId, head: &Head) -> Result<(), FetchError> {
        let place = head_place(head);
        let _one_at_a_time = self.heads.lock().await;
        if is_here(&*self.engine, &place).map_err(FetchError::Engine)? {
            return Ok(());
        }
        let mut sources = (self.sources)();
        sources.retain(|&node| node != sender);
        sources.insert(0, sender);
        for node in sources {
            // First on top of what is here, so that a node that lags fetches the difference only.
            for with_ours in [true, false] {
                match self.bring_head(node, head, with_ours).await {
                    Ok(()) => return Ok(()),
                    Err(Trouble::Engine(error)) => return Err(FetchError::Engine(error)),
                    Err(Trouble::Silent) => break,
                    Err(Trouble::Unfit(unfit)) => {
                        tracing::warn!(node, %unfit, with_ours, "the head's segment does not fit");
                    }
                }
            }
        }
        let segment = place.segment;
        Err(FetchError::Nobody { segment })
    }

    async fn bring_head(&self, node: NodeId, head: &Head, with_ours: bool) -> Result<(), Trouble> {
        let HeadPlace { segment, bytes, .. } = head_place(head);
        let mut incoming = Incoming::head(segment, bytes, chain_place(head));
        while !incoming.is_whole() {
            let at = incoming.bytes();
            let length = bytes.saturating_sub(at).min(READ_BYTES_LIMIT.into());
            let length = u32::try_from(length).unwrap_or(READ_BYTES_LIMIT);
            let ours = if with_ours {
                self.read_ours(segment, at, length)?
            } else {
                Bytes::new()
            };
            let chunk = if ours.is_empty() {
                self.read(node, segment, at, length).await?
            } else {
                ours
            };
            if chunk.is_empty() {
                break;
            }
            self.engine.take_in(&mut incoming, &chunk)?;
        }
        Ok(self.engine.put_in(incoming)?)
    }

    fn read_ours(&self, segment: u64, at: u64, length: u32) -> Result<Bytes, Trouble> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let ours = self.engine.read_segment(segment, at, length);
        ours.map(Bytes::from).map_err(Trouble::Engine)
    }

    /// Asks each source once for all that it has. `due`: when the next bytes may be asked for.
    async fn round(&self, due: &mut Instant) -> Result<Round, EngineError> {
        let mut filled = false;
        for node in (self.sources)() {
            if self.engine.missing().is_empty() {
                break;
            }
            if let Some(list) = self.list(node).await {
                filled |= self.fill_from(node, &list, due).await?;
            }
        }
        if self.engine.missing().is_empty() {
            self.reach.send_replace(reach_of(&*self.engine, None));
            return Ok(Round::Whole);
        }
        Ok(if filled { Round::Some } else { Round::Nothing })
    }

    /// Whether anything came.
    async fn fill_from(
        &self,
        node: NodeId,
        list: &[Listed],
        due: &mut Instant,
    ) -> Result<bool, EngineError> {
        let mut filled = false;
        let mut below = u64::MAX;
        self.reach.send_replace(reach_of(&*self.engine, Some(list)));
        while let Some(hole) = newest_hole(&*self.engine, below) {
            // What it lacks here it may have further down.
            below = hole.until.records;
            let ends_here = |listed: &&Listed| listed.next == hole.until.records;
            let Some(listed) = list.iter().find(ends_here) else {
                continue;
            };
            match self.bring(node, listed.segment, &hole, due).await {
                Ok(()) => {
                    filled = true;
                    below = u64::MAX;
                    self.reach.send_replace(reach_of(&*self.engine, Some(list)));
                }
                Err(Trouble::Engine(error)) => return Err(error),
                Err(Trouble::Silent) => break,
                Err(Trouble::Unfit(unfit)) => {
                    tracing::error!(
                        node,
                        %unfit,
                        "a member's segment is not the cluster's: its book is damaged, or it lies"
                    );
                }
            }
        }
        Ok(filled)
    }

    async fn bring(
        &self,
        node: NodeId,
        segment: u64,
        hole: &Missing,
        due: &mut Instant,
    ) -> Result<(), Trouble> {
        let mut incoming = Incoming::segment(segment, hole);
        while !incoming.is_whole() {
            sleep_until(*due).await;
            let at = incoming.bytes();
            let chunk = self.read(node, segment, at, READ_BYTES_LIMIT).await?;
            if chunk.is_empty() {
                break;
            }
            // Before the bytes are looked at: those that do not fit have their cost too.
            *due = Instant::now().max(*due) + self.time_of(chunk.len());
            self.engine.take_in(&mut incoming, &chunk)?;
        }
        Ok(self.engine.put_in(incoming)?)
    }

    fn time_of(&self, bytes: usize) -> Duration {
        let micros = (bytes as u64).saturating_mul(1_000_000) / self.bytes_per_second;
        Duration::from_micros(micros)
    }

    async fn read(
        &self,
        node: NodeId,
        segment: u64,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, Trouble> {
        let request = Request::Read {
            segment,
            offset,
            length,
        };
        match self.ask(node, request).await {
            Some(Answer::Bytes(bytes)) if bytes.len() as u64 <= u64::from(length) => Ok(bytes),
            Some(Answer::Bytes(_) | Answer::List(_) | Answer::Refused) | None => {
                Err(Trouble::Silent)
            }
        }
    }

    /// The whole segments of a node below the newest hole.
    async fn list(&self, node: NodeId) -> Option<Vec<Listed>> {
        let mut list: Vec<Listed> = Vec::new();
        let mut below = u64::MAX;
        for _ in 0..LISTS_LIMIT {
            let Some(Answer::List(some)) = self.ask(node, Request::List { below }).await else {
                return None;
            };
            let last = some.last().map(|listed| listed.segment);
            let more = some.len() as u64 >= u64::from(LIST_ENTRIES_LIMIT);
            list.extend(some);
            match last {
                Some(last) if more && last < below => below = last,
                Some(_) | None => break,
            }
        }
        Some(list)
    }

    async fn ask(&self, node: NodeId, request: Request) -> Option<Answer> {
        let answer = (self.fetch)(node, request.encode());
        let answer = timeout(limits::ANSWER_WAIT, answer).await.ok()??;
        let read = Answer::decode(&answer);
        if read.is_none() {
            tracing::warn!(node, "an answer about segments cannot be read");
        }
        read
    }
}

/// The newest hole that ends below.
fn newest_hole<E: Engine>(engine: &E, below: u64) -> Option<Missing> {
    let holes = engine.missing();
    holes
        .into_iter()
        .rev()
        .find(|hole| hole.until.records < below)
}

fn reach_of<E: Engine>(engine: &E, list: Option<&[Listed]>) -> Reach {
    let holes = engine.missing();
    let held = engine.segments();
    let ours = |segment| {
        let mut held = held.iter();
        held.find(|held| held.segment == segment)
            .map_or(0, |held| held.bytes)
    };
    let of_hole = |listed: &Listed| {
        let within = |hole: &Missing| {
            listed.segment < hole.until.records
                && hole.below.is_none_or(|below| below <= listed.segment)
        };
        holes.iter().any(within)
    };
    let missing = |listed: &Listed| listed.bytes.saturating_sub(ours(listed.segment));
    let bytes_missing = match list {
        _ if holes.is_empty() => Some(0),
        Some(list) => Some(
            list.iter()
                .filter(|listed| of_hole(listed))
                .map(missing)
                .fold(0, u64::saturating_add),
        ),
        None => None,
    };
    Reach {
        whole: holes.is_empty(),
        from: holes.last().map_or(0, |hole| hole.until.records),
        bytes_missing,
    }
}

/// Where the head of a state ends in its segment.
pub(crate) fn head_place(head: &Head) -> HeadPlace {
    let (segment, bytes) = head.segment();
    HeadPlace {
        segment,
        bytes,
        hash: head.chain(),
    }
}

fn chain_place(head: &Head) -> ChainPlace {
    ChainPlace {
        log_id: head.log_id(),
        frames: head.frames(),
        records: head.size(),
        hash: head.chain(),
    }
}

/// Whether the book holds the frame that the head ends with, or the head's beginning waits.
pub(crate) fn is_here<E: Engine>(engine: &E, head: &HeadPlace) -> Result<bool, EngineError> {
    Ok(is_held(engine, head)? || engine.staged_head()? == Some(*head))
}

/// Whether the book holds the frame that the head ends with.
pub(crate) fn is_held<E: Engine>(engine: &E, head: &HeadPlace) -> Result<bool, EngineError> {
    let length = head.hash.len();
    let Some(at) = head.bytes.checked_sub(length as u64) else {
        return Ok(false);
    };
    Ok(engine.read_segment(head.segment, at, length)? == head.hash)
}
