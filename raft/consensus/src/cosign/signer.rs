//! The one place that promises, signs and keeps: an event at a time.
//!
//! What a crash leaves: before a promise nothing; after it a promise without a signature, and the
//! same size and root may be signed then; after a signature a note that nobody keeps, and a later
//! one covers it.

use std::collections::VecDeque;
use std::future::pending;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use tollbook_audit::note::{Checkpoint, Note, VerifierKey};

use super::round::{Round, Rule, Standing};
use super::seals::{Place, Seals};
use super::wire::{Answer, Message};
use super::{
    AGAIN, ANSWERED_WITHIN, CosignError, CosignOptions, Divergence, PromiseError, Request, Root,
};
use crate::limits::{COSIGN_SENDS_LIMIT, COSIGN_WAITING_LIMIT, NOTES_WAITING_LIMIT};
use crate::types::NodeId;

/// A node, and what it answered; nothing for whatever reason.
type Answered = (NodeId, Option<Answer>);

/// A checkpoint that a peer sent in a note that the log's key has signed.
struct Claim {
    from: NodeId,
    checkpoint: Checkpoint,
    note: String,
}

enum Event {
    Again,
    Answered(Answered),
    Asked(Request),
    Sealed,
    Sent(Answered),
}

pub(super) struct Signer {
    options: CosignOptions,
    log: VerifierKey,
    requests: mpsc::Receiver<Request>,
    kept: watch::Sender<u64>,
    seals: Seals,
    /// Questions that wait until this node's book reaches their size, oldest first.
    waiting: VecDeque<(Claim, oneshot::Sender<Answer>)>,
    /// Notes of sizes that this node's book has not reached, oldest first.
    early: VecDeque<Claim>,
    round: Option<Round>,
    /// The voters of the round that have not answered.
    asked: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Notes on their way to members.
    sent: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Up to here no checkpoint is missing: there is a note, or it was promised past.
    settled: u64,
    /// The last size that this node began a round for.
    tried: u64,
    again: Option<Instant>,
    diverged: bool,
}

impl Signer {
    pub(super) fn new(
        options: CosignOptions,
        requests: mpsc::Receiver<Request>,
        kept: watch::Sender<u64>,
    ) -> Self {
        Self {
            log: options.log_key.verifier(),
            requests,
            kept,
            seals: Seals::default(),
            waiting: VecDeque::new(),
            early: VecDeque::new(),
            round: None,
            asked: FuturesUnordered::new(),
            sent: FuturesUnordered::new(),
            settled: options.kept,
            tried: 0,
            again: None,
            diverged: options.diverged,
            options,
        }
    }

    /// Until the feed of sealed sizes ends, which is the node's end.
    pub(super) async fn run(mut self) -> Result<(), CosignError> {
        // What was sealed before this began counts as news.
        self.options.sealed.mark_changed();
        loop {
            let again = self.again;
            // In this order, so that a flood of questions delays no round; and the same in every
            // run of a simulation.
            let event = tokio::select! {
                biased;
                changed = self.options.sealed.changed() => match changed {
                    Ok(()) => Event::Sealed,
                    Err(_) => return Ok(()),
                },
                Some(answered) = self.asked.next() => Event::Answered(answered),
                Some(sent) = self.sent.next() => Event::Sent(sent),
                () = until(again) => Event::Again,
                Some(request) = self.requests.recv() => Event::Asked(request),
            };
            match event {
                Event::Again => {
                    self.tried = 0;
                    self.begin_round().await?;
                }
                Event::Answered((node, answer)) => self.answered(node, answer).await?,
                Event::Asked(request) => self.asked_for(request).await?,
                Event::Sealed => self.sealed().await?,
                Event::Sent((node, answer)) => {
                    tracing::debug!(node, ?answer, "a note was sent");
                }
            }
        }
    }

    async fn sealed(&mut self) -> Result<(), CosignError> {
        let Some(sealed) = self.options.sealed.borrow_and_update().clone() else {
            return Ok(());
        };
        if self.diverged {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            origin: self.log.name().to_owned(),
            size: sealed.size,
            root: sealed.root,
        };
        // What is signed is what the state sealed, line by line.
        assert_eq!(
            checkpoint.body().as_bytes(),
            sealed.body,
            "our key is the sealed log's own"
        );
        if let Err(before) = self.seals.add(checkpoint.clone()) {
            return self.diverge(self.contradicted(&checkpoint, before)).await;
        }
        for (claim, reply) in std::mem::take(&mut self.waiting) {
            if self.seals.place(claim.checkpoint.size) == Place::Ahead {
                self.waiting.push_back((claim, reply));
            } else if !reply.is_closed() {
                // Else who asked has given up, and a promise for nobody binds all the same.
                let answer = self.cosign(claim).await?;
                tell(reply, answer);
            }
        }
        for claim in std::mem::take(&mut self.early) {
            self.keep_of(claim).await?;
        }
        self.begin_round().await
    }

    async fn asked_for(&mut self, request: Request) -> Result<(), CosignError> {
        let Request {
            from,
            message,
            reply,
        } = request;
        let (Message::Cosign { note } | Message::Keep { note }) = &message;
        let opened = Note::parse(note.as_bytes()).and_then(|note| note.open(&self.log));
        let checkpoint = match opened {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                tracing::warn!(from, %error, "a note that this log's key has not signed");
                tell(reply, Answer::Refused);
                return Ok(());
            }
        };
        let place = self.seals.place(checkpoint.size);
        let claim = |note| Claim {
            from,
            checkpoint,
            note,
        };
        match message {
            Message::Cosign { note } if place == Place::Ahead && !self.diverged => {
                if self.waiting.len() == COSIGN_WAITING_LIMIT
                    && let Some((_, oldest)) = self.waiting.pop_front()
                {
                    tell(oldest, Answer::Behind);
                }
                self.waiting.push_back((claim(note), reply));
                Ok(())
            }
            Message::Cosign { note } => {
                let answer = self.cosign(claim(note)).await?;
                tell(reply, answer);
                Ok(())
            }
            Message::Keep { note } => {
                let answer = self.keep_of(claim(note)).await?;
                tell(reply, answer);
                // It may have been the one that our own round was for.
                self.begin_round().await
            }
        }
    }

    async fn cosign(&mut self, claim: Claim) -> Result<Answer, CosignError> {
        if self.diverged {
            return Ok(Answer::Stopped);
        }
        match self.seals.place(claim.checkpoint.size) {
            Place::Ahead => Ok(Answer::Behind),
            Place::Gone => Ok(Answer::Passed),
            Place::Sealed(root) if root != claim.checkpoint.root => {
                self.diverge(claim.against(root)).await?;
                Ok(Answer::Differs { root })
            }
            Place::Sealed(_) => Ok(match self.promise(&claim.checkpoint).await? {
                Promised::Kept => Answer::Signed {
                    line: self.own_line(&claim.checkpoint),
                },
                Promised::Past => Answer::Passed,
                Promised::Otherwise => Answer::Stopped,
            }),
        }
    }

    /// Keeps a note that a peer sent, if it is one that counts and agrees with our own book.
    async fn keep_of(&mut self, claim: Claim) -> Result<Answer, CosignError> {
        if self.diverged {
            return Ok(Answer::Stopped);
        }
        let size = claim.checkpoint.size;
        match self.seals.place(size) {
            Place::Ahead => {
                if self.early.len() == NOTES_WAITING_LIMIT {
                    self.early.pop_front();
                }
                self.early.push_back(claim);
                Ok(Answer::Later)
            }
            Place::Gone => Ok(Answer::Passed),
            Place::Sealed(root) if root != claim.checkpoint.root => {
                self.diverge(claim.against(root)).await?;
                Ok(Answer::Differs { root })
            }
            Place::Sealed(_) if size <= *self.kept.borrow() => Ok(Answer::Kept),
            Place::Sealed(_) => {
                let rule = Rule::new(&self.log, (self.options.view)().voters);
                if rule.is_ok_and(|rule| rule.holds(&claim.checkpoint, &claim.note)) {
                    self.keep(size, claim.note).await?;
                    Ok(Answer::Kept)
                } else {
                    let from = claim.from;
                    tracing::warn!(from, size, "a note that no majority has cosigned");
                    Ok(Answer::Refused)
                }
            }
        }
    }

    /// Begins a round for the newest size, if this node leads and has not tried it already.
    async fn begin_round(&mut self) -> Result<(), CosignError> {
        self.again = None;
        let Some(newest) = self.seals.newest().cloned() else {
            return Ok(());
        };
        if self.diverged || self.round.is_some() || newest.size <= self.settled {
            return Ok(());
        }
        // Without a note: looked at again, by then perhaps as the leader.
        self.again = Some(Instant::now() + AGAIN);
        let view = (self.options.view)();
        if !view.leads || newest.size <= self.tried {
            return Ok(());
        }
        self.tried = newest.size;
        let rule = match Rule::new(&self.log, view.voters) {
            Ok(rule) => rule,
            Err(error) => {
                tracing::error!(%error, "the voters' keys make no rule to sign by");
                return Ok(());
            }
        };
        match self.promise(&newest).await? {
            Promised::Kept => {}
            // A replay after a crash; what comes after it is not below the promise.
            Promised::Past | Promised::Otherwise => return Ok(()),
        }
        let note = self.options.log_key.sign(&newest);
        let message = Message::Cosign { note: note.clone() }.encode();
        let voters: Vec<NodeId> = rule.voters().collect();
        let mut round = Round::new(newest.clone(), note, rule);
        for voter in voters {
            if voter == self.options.node {
                if let Err(error) = round.signed(voter, self.own_line(&newest)) {
                    tracing::error!(%error, "the cluster knows another key of this node");
                }
            } else {
                self.asked.push(self.ask(voter, message.clone()));
            }
        }
        self.round = Some(round);
        self.settle_round().await
    }

    async fn answered(&mut self, node: NodeId, answer: Option<Answer>) -> Result<(), CosignError> {
        let Some(round) = &mut self.round else {
            return Ok(());
        };
        let size = round.size();
        match answer {
            Some(Answer::Signed { line }) => {
                if let Err(error) = round.signed(node, line) {
                    tracing::error!(node, size, %error, "a cosignature that is none");
                }
            }
            Some(Answer::Differs { root }) => {
                let root_hex = tollbook_audit::hex(&root);
                tracing::error!(node, size, root = root_hex, "a voter has another root");
                round.differs(node, root);
            }
            Some(
                other @ (Answer::Behind
                | Answer::Kept
                | Answer::Later
                | Answer::Passed
                | Answer::Refused
                | Answer::Stopped),
            ) => tracing::debug!(node, size, answer = ?other, "no cosignature"),
            None => {}
        }
        self.settle_round().await
    }

    /// Ends the round if it is decided, or if nobody is left to answer.
    async fn settle_round(&mut self) -> Result<(), CosignError> {
        let Some(round) = &self.round else {
            return Ok(());
        };
        let size = round.size();
        match round.standing() {
            Standing::Contradicted(divergence) => self.diverge(divergence).await,
            Standing::Open if !self.asked.is_empty() => Ok(()),
            Standing::Open => {
                tracing::warn!(
                    size,
                    "a checkpoint found no majority; a later one covers it"
                );
                self.end_round();
                Box::pin(self.begin_round()).await
            }
            Standing::Signed { note } => {
                // Ours first: what members hear of is on a disk.
                self.keep(size, note.clone()).await?;
                self.send(&note);
                Box::pin(self.begin_round()).await
            }
        }
    }

    /// Forgets the round and whoever has not answered: they may sign, and harm nothing.
    fn end_round(&mut self) {
        self.round = None;
        self.asked.clear();
    }

    fn send(&self, note: &str) {
        let note = note.to_owned();
        let message = Message::Keep { note }.encode();
        for member in (self.options.view)().members {
            if member != self.options.node && self.sent.len() < COSIGN_SENDS_LIMIT {
                self.sent.push(self.ask(member, message.clone()));
            }
        }
    }

    async fn keep(&mut self, size: u64, note: String) -> Result<(), CosignError> {
        let kept = self.options.notebook.keep(size, note).await;
        kept.map_err(CosignError::Notebook)?;
        self.settled = self.settled.max(size);
        self.kept.send_replace(size);
        if self
            .round
            .as_ref()
            .is_some_and(|round| round.size() <= size)
        {
            self.end_round();
        }
        Ok(())
    }

    /// A promise to sign this checkpoint, which is one of our own book.
    async fn promise(&mut self, checkpoint: &Checkpoint) -> Result<Promised, CosignError> {
        let (size, root) = (checkpoint.size, checkpoint.root);
        match self.options.notebook.promise(size, root).await {
            Ok(()) => Ok(Promised::Kept),
            Err(PromiseError::Failed(error)) => Err(CosignError::Notebook(error)),
            Err(PromiseError::OtherRoot { promised }) => {
                let divergence = self.contradicted(checkpoint, promised);
                self.diverge(divergence).await?;
                Ok(Promised::Otherwise)
            }
            Err(PromiseError::Smaller { .. }) => {
                self.settled = self.settled.max(size);
                Ok(Promised::Past)
            }
        }
    }

    /// This node's own book against what it had or promised before.
    fn contradicted(&self, checkpoint: &Checkpoint, before: Root) -> Divergence {
        Divergence {
            size: checkpoint.size,
            own: checkpoint.root,
            other: before,
            node: self.options.node,
            note: None,
        }
    }

    /// Signs nothing from here on, whatever happens, and says so.
    async fn diverge(&mut self, divergence: Divergence) -> Result<(), CosignError> {
        self.diverged = true;
        self.end_round();
        self.again = None;
        self.early.clear();
        for (_, reply) in self.waiting.drain(..) {
            tell(reply, Answer::Stopped);
        }
        tracing::error!(
            size = divergence.size,
            own = tollbook_audit::hex(&divergence.own),
            other = tollbook_audit::hex(&divergence.other),
            node = divergence.node,
            "two roots of one size: this node signs no more"
        );
        let written = self.options.notebook.diverged(divergence.clone()).await;
        (self.options.on_diverged)(&divergence);
        written.map_err(CosignError::Notebook)
    }

    fn own_line(&self, checkpoint: &Checkpoint) -> String {
        let now = (self.options.clock)();
        self.options.node_key.cosign(checkpoint, now.0 / 1_000_000)
    }

    fn ask(&self, node: NodeId, message: Bytes) -> BoxFuture<'static, Answered> {
        let asked = (self.options.ask)(node, message, ANSWERED_WITHIN);
        Box::pin(async move {
            let answer = match timeout(ANSWERED_WITHIN, asked).await {
                Ok(Ok(bytes)) => Answer::decode(&bytes)
                    .inspect_err(|error| tracing::warn!(node, %error, "not an answer"))
                    .ok(),
                Ok(Err(error)) => {
                    tracing::debug!(node, %error, "no answer");
                    None
                }
                Err(_) => None,
            };
            (node, answer)
        })
    }
}

impl Claim {
    /// What it says against our own root of that size.
    fn against(self, own: Root) -> Divergence {
        Divergence {
            size: self.checkpoint.size,
            own,
            other: self.checkpoint.root,
            node: self.from,
            note: Some(self.note),
        }
    }
}

/// What came of a promise.
enum Promised {
    /// It is written down.
    Kept,
    /// Another root has been promised there: this node signs no more.
    Otherwise,
    /// A larger size has been promised.
    Past,
}

/// Who asked may have gone; then nobody hears it.
fn tell(reply: oneshot::Sender<Answer>, answer: Answer) {
    drop(reply.send(answer));
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
