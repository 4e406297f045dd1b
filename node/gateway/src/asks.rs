//! What nodes ask of each other beside consensus. The first byte of a message says whose it is.
//! Bound late: the cluster hears its peers before the node is there to answer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::{BufMut as _, Bytes, BytesMut};

use tollbook_raft::AskHook;

/// First byte of the cosigner's messages.
pub(crate) const COSIGNER: u8 = 1;

/// Who answers what, by first byte.
#[derive(Default)]
pub(crate) struct Asks(RwLock<BTreeMap<u8, AskHook>>);

impl Asks {
    /// What a cluster is to be started with. A message that nobody answers yet, or ever, is
    /// answered with nothing.
    pub(crate) fn hook(self: &Arc<Self>) -> AskHook {
        let asks = Arc::clone(self);
        Arc::new(move |from, message| {
            let answer = message.first().and_then(|whose| {
                let bound = asks.0.read().unwrap_or_else(PoisonError::into_inner);
                bound.get(whose).map(Arc::clone)
            });
            match answer {
                Some(answer) => answer(from, message.slice(1..)),
                None => Box::pin(std::future::ready(Bytes::new())),
            }
        })
    }

    /// From here on these messages are answered so.
    pub(crate) fn bind(&self, whose: u8, answer: AskHook) {
        let mut bound = self.0.write().unwrap_or_else(PoisonError::into_inner);
        bound.insert(whose, answer);
    }
}

/// A message with its first byte.
pub(crate) fn marked(whose: u8, message: &[u8]) -> Bytes {
    let mut marked = BytesMut::with_capacity(message.len().saturating_add(1));
    marked.put_u8(whose);
    marked.put_slice(message);
    marked.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_goes_to_whose_it_is_and_to_nobody_else() {
        let asks = Arc::new(Asks::default());
        let hook = asks.hook();
        let asked = marked(COSIGNER, b"question");
        assert_eq!(hook(1, asked.clone()).await, Bytes::new());
        asks.bind(
            COSIGNER,
            Arc::new(|from, message| {
                let answer = [&[u8::try_from(from).unwrap()], &message[..]].concat();
                Box::pin(std::future::ready(answer.into()))
            }),
        );
        assert_eq!(hook(7, asked).await, &b"\x07question"[..]);
        assert_eq!(hook(7, marked(COSIGNER, b"")).await, &b"\x07"[..]);
        assert_eq!(hook(7, marked(9, b"question")).await, Bytes::new());
        assert_eq!(hook(7, Bytes::new()).await, Bytes::new());
    }
}
