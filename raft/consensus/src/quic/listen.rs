//! Connections from peers, and what they ask.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, info};

use super::codes::{Code, Lost, reason};
use super::join;
use super::limits::{HANDSHAKE_TIME, MESSAGE_TIME, OPENING_TIME, STREAMS_LIMIT};
use super::shared::{CLOSING, Shared, Slot, Taken, add, close, guard};
use super::streams::{Kind, ReadFailure, Reader, Writer, limit, say, take};
use super::tls::Who;
use crate::certs::{Role, key_of};
use crate::transport::{Service, Urgency};
use crate::types::NodeId;

/// What a listener sends first, when it has taken a peer: the version of what follows.
pub(super) const GREETING: [u8; 1] = [1];

/// Takes connections until the transport stops.
pub(super) async fn listen(shared: Arc<Shared>, endpoint: Endpoint, service: Arc<dyn Service>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(&shared, incoming, &service),
                None => break,
            }
        }
    }
    endpoint.close(CLOSING, b"");
}

/// Says whether a stranger may take the time of a handshake. Nothing of it is known but where
/// its first packet says that it comes from.
fn admit(shared: &Arc<Shared>, incoming: Incoming, service: &Arc<dyn Service>) {
    let proved = incoming.remote_address_validated();
    match shared.slots.take(incoming.remote_address().ip(), proved) {
        Slot::Free(slot) => {
            let (shared, service) = (Arc::clone(shared), Arc::clone(service));
            let tasks = shared.tasks.clone();
            drop(tasks.spawn(greet(shared, incoming, slot, service)));
        }
        Slot::Prove => {
            // An error says that it cannot be asked, and drops, which refuses it.
            drop(incoming.retry());
        }
        Slot::Full => {
            add(&shared.counts.turned_away);
            // An answer to an address that may be another's would be a favour to its enemies.
            if proved {
                incoming.refuse();
            } else {
                incoming.ignore();
            }
        }
    }
}

async fn greet(shared: Arc<Shared>, incoming: Incoming, slot: Taken, service: Arc<dyn Service>) {
    let address = incoming.remote_address();
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => return shared.refused(address.ip(), &reason(&error)),
    };
    let connection = match timeout(HANDSHAKE_TIME, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return shared.refused(address.ip(), &reason(&error)),
        Err(_) => return shared.refused(address.ip(), "the handshake takes too long"),
    };
    let who = shared.current().dialer(&connection);
    drop(slot);
    match who {
        Ok(Who::Peer(node, certificate)) => {
            if !key_of(&certificate).is_ok_and(|key| service.knows(node, &key)) {
                close(&connection, Code::ForeignCertificate);
                return shared.refused(address.ip(), "its key is not that of the member it names");
            }
            if let Err(error) = say_greeting(&connection).await {
                return shared.refused(address.ip(), &error.reason);
            }
            add(&shared.counts.accepted);
            info!(node, %address, "a peer has connected");
            shared.peers.add(node, connection.clone());
            let kept = connection.clone();
            shared.spawn(guard(
                Arc::clone(&shared),
                kept,
                node,
                certificate,
                Role::Dialer,
                None,
            ));
            answer(&shared, node, &connection, &service).await;
            shared.peers.remove(node, &connection);
        }
        Ok(Who::Joins) => join::answer(&shared, &connection).await,
        Err(code) => {
            close(&connection, code);
            shared.refused(address.ip(), &format!("{code:?}"));
        }
    }
}

async fn say_greeting(connection: &Connection) -> Result<(), Lost> {
    let mut stream = connection.open_uni().await?;
    stream.write_all(&GREETING).await?;
    // An error says that the connection has ended, which the next accept finds out.
    drop(stream.finish());
    Ok(())
}

/// Takes a peer's streams until its connection ends.
async fn answer(
    shared: &Arc<Shared>,
    node: NodeId,
    connection: &Connection,
    service: &Arc<dyn Service>,
) {
    // A dialer that gives streams up may open others while their calls run on.
    let calls = usize::try_from(STREAMS_LIMIT).unwrap_or(usize::MAX);
    let calls = Arc::new(Semaphore::new(calls));
    while let Ok((send, receive)) = connection.accept_bi().await {
        let Ok(permit) = Arc::clone(&calls).try_acquire_owned() else {
            refuse(shared, send, receive, Code::Busy);
            continue;
        };
        let streams = stream(
            Arc::clone(shared),
            node,
            (send, receive),
            permit,
            Arc::clone(service),
        );
        drop(shared.tasks.spawn(streams));
    }
}

fn refuse(shared: &Shared, send: SendStream, mut receive: RecvStream, code: Code) {
    Writer::new(send, Urgency::Usual).reset(code);
    // An error says that the stream has ended already.
    drop(receive.stop(code.wire()));
    shared.refused_stream(code);
}

/// One stream of a peer. Whatever it holds, the connection and the others go on.
async fn stream(
    shared: Arc<Shared>,
    node: NodeId,
    (send, receive): (SendStream, RecvStream),
    permit: OwnedSemaphorePermit,
    service: Arc<dyn Service>,
) {
    let mut reader = Reader::new(receive, &shared.budget);
    let opening = timeout(OPENING_TIME, reader.opening()).await;
    let (kind, urgency) = match opening {
        Ok(Ok(opening)) => opening,
        Ok(Err(failure)) => {
            let writer = Writer::new(send, Urgency::Usual);
            return give_up(&shared, writer, reader, failure);
        }
        Err(_) => {
            let writer = Writer::new(send, Urgency::Usual);
            return give_up(
                &shared,
                writer,
                reader,
                ReadFailure::Refused(Code::Malformed),
            );
        }
    };
    let writer = Writer::new(send, urgency);
    match kind {
        Kind::Call => call(&shared, node, writer, reader, urgency, &service).await,
        Kind::Channel => match take(&shared, writer, reader, urgency).await {
            Ok(channel) => service.open(node, channel).await,
            Err(lost) => debug!(node, reason = lost.reason, "a channel ended at once"),
        },
    }
    drop(permit);
}

async fn call(
    shared: &Shared,
    node: NodeId,
    mut writer: Writer,
    mut reader: Reader,
    urgency: Urgency,
    service: &Arc<dyn Service>,
) {
    let message: Bytes = match timeout(MESSAGE_TIME, reader.only(limit(urgency))).await {
        Ok(Ok(message)) => message,
        Ok(Err(failure)) => return give_up(shared, writer, reader, failure),
        Err(_) => {
            return give_up(
                shared,
                writer,
                reader,
                ReadFailure::Refused(Code::Malformed),
            );
        }
    };
    // Runs to its end even when the dialer gives up: what it does must not stop half-way.
    let answer = service.call(node, message).await;
    if answer.len() > limit(urgency) {
        writer.reset(Code::Gone);
        shared.refused_stream(Code::TooLong);
        return;
    }
    if let Err(lost) = say(&mut writer, &[], answer).await {
        debug!(node, reason = lost.reason, "an answer did not go out");
    }
}

fn give_up(shared: &Shared, mut writer: Writer, mut reader: Reader, failure: ReadFailure) {
    match failure {
        ReadFailure::Lost(lost) => debug!(reason = lost.reason, "a stream ended early"),
        ReadFailure::Refused(code) => {
            shared.refused_stream(code);
            writer.reset(code);
            reader.stop(code);
        }
    }
}
