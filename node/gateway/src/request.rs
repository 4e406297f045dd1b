//! One call's way through the gate. Read this file first.
//!
//! accept → authenticate → parse → decide → reserve + record intent → forward → record outcome
//! → respond
//!
//! Each step takes, by value, what the step before it made, so the compiler checks the order:
//! nothing makes an `Admitted` but the ledger, which wants a `Permit`; nothing makes a `Permit`
//! but the policy; and `forward` wants an `Admitted`. The steps live in their own files; this one
//! holds their order and what happens when one says no.

use std::sync::Arc;

use http::{Response, StatusCode};

use crate::call::{Call, Kind};
use crate::grants::Grant;
use crate::inbound::Inbound;
use crate::ledger::{Admitted, Reserved};
use crate::node::Node;
use crate::refusal::{Asker, Refusal};
use crate::relay;
use crate::reply::{Answer, Reply, ReplyBody};

/// Answers one request. Every way out is a reply that says why.
pub(crate) async fn handle(node: Arc<Node>, inbound: Inbound) -> Response<ReplyBody> {
    // A full or stopping node says so before it reads the body.
    let slot = match node.take_slot() {
        Ok(slot) => slot,
        Err(refusal) => return refusal.reply(&Asker::UNREAD).into(),
    };
    let (answer, pending) = Answer::pair();
    // A task of its own, which shutdown waits for: a client that hangs up must not stop a call
    // half way, least of all between what the tool did and the record of it.
    let task = Arc::clone(&node);
    node.tasks.spawn(async move {
        answer_all(&task, inbound, answer).await;
        drop(slot);
    });
    // The task ended without an answer: a bug of ours, and the call may have run.
    let fallback = || Refusal::Unsettled.reply(&Asker::UNREAD).into();
    pending.response().await.unwrap_or_else(fallback)
}

async fn answer_all(node: &Arc<Node>, mut inbound: Inbound, mut answer: Answer) {
    let grant = match node.grants.authenticate(node, &inbound) {
        Ok(grant) => grant,
        Err(refusal) => {
            node.note_stranger(&inbound, &refusal);
            return answer.finish(refusal.reply(&Asker::UNREAD)).await;
        }
    };
    let call = match Call::read(node, &grant, &mut inbound).await {
        Ok(call) => call,
        Err(unread) => {
            node.note_refusal(&grant, &unread.refusal);
            return answer.finish(unread.reply()).await;
        }
    };
    let asker = call.asker();
    let reply = match carry_out(node, &grant, call, &mut answer).await {
        Ok(reply) => reply,
        Err(refusal) => {
            node.note_refusal(&grant, &refusal);
            relay::shape(&answer, refusal.reply(&asker))
        }
    };
    // A client that takes nothing gets no end but frees its place; how it ended is on record.
    drop(tokio::time::timeout(node.deadlines.body, answer.finish(reply)).await);
}

async fn carry_out(
    node: &Arc<Node>,
    grant: &Grant,
    call: Call,
    answer: &mut Answer,
) -> Result<Reply, Refusal> {
    match call.kind() {
        Kind::Judged => {
            let (grant, admitted) = admit(node, grant, &call).await?;
            let ended = relay::forward(node, &grant, &admitted, call, answer).await;
            // The result is released only once its outcome is on a quorum.
            node.ledger.record_outcome(admitted, &ended.outcome).await?;
            ended.reply
        }
        Kind::List => {
            node.check_writable()?;
            // Reading the body took its time: who asks, and where it goes, as of now.
            let grant = node.grants.refresh(node, grant)?;
            let list = relay::list(node, &grant, call).await?;
            node.ledger.record_list(&grant, &list).await?;
            Ok(list.reply)
        }
        Kind::Passing => {
            let grant = node.grants.refresh(node, grant)?;
            relay::pass(node, &grant, call, answer).await
        }
        // An unknown notification would be an unrecorded way out.
        Kind::Dropped => Ok(Reply::empty(StatusCode::ACCEPTED)),
    }
}

/// All that must hold before the server hears of the call.
async fn admit(node: &Arc<Node>, grant: &Grant, call: &Call) -> Result<(Grant, Admitted), Refusal> {
    node.check_writable()?;
    let admit_by = node.clock.moment().after(node.deadlines.admit);
    for _ in 0..node.limits.decisions {
        let grant = node.grants.refresh(node, grant)?;
        let decided = node.policies.decide(node, &grant, call).await?;
        // One Raft entry takes the quota and appends the intent, so neither exists without the
        // other. Returns once a quorum has it on disk.
        let reserved = node
            .ledger
            .reserve_and_record(&grant, call, decided, admit_by);
        match reserved.await? {
            Reserved::Admitted(admitted) => return Ok((grant, admitted)),
            Reserved::Stale => {}
        }
    }
    Err(Refusal::Stale)
}
