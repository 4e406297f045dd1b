//! What a node signs, and what it writes down before it does.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use tollbook_audit::note::NodeKey;
use tollbook_raft::{
    AskHook, Cosigner, Divergence, Failed, MaxSigned, Notebook, PromiseError, Root,
};

use crate::invariants::Witness;

/// A node's own key.
pub(crate) fn node_key(node: u64) -> NodeKey {
    let mut seed = [3; 32];
    seed.iter_mut()
        .zip(node.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    NodeKey::from_seed(&format!("n{node}.sim.example"), &seed).expect("the name is a key's")
}

/// A machine's promises and notes, which outlive its processes. Written is durable.
#[derive(Clone, Debug)]
pub(crate) struct Signatures {
    node: u64,
    witness: Witness,
    inner: Arc<Mutex<Signed>>,
}

#[derive(Debug, Default)]
struct Signed {
    promised: Option<MaxSigned>,
    notes: BTreeMap<u64, String>,
}

impl Signatures {
    pub(crate) fn new(node: u64, witness: Witness) -> Self {
        Self {
            node,
            witness,
            inner: Arc::default(),
        }
    }

    pub(crate) fn promised(&self) -> Option<MaxSigned> {
        self.lock().promised
    }

    /// The notes that were kept, by size.
    pub(crate) fn notes(&self) -> BTreeMap<u64, String> {
        self.lock().notes.clone()
    }

    fn promise(&self, size: u64, root: Root) -> Result<(), PromiseError> {
        let mut signed = self.lock();
        match signed.promised {
            Some(before) if before.size > size => Err(PromiseError::Smaller {
                promised: before.size,
            }),
            Some(before) if before.size == size && before.root != root => {
                Err(PromiseError::OtherRoot {
                    promised: before.root,
                })
            }
            Some(_) | None => {
                signed.promised = Some(MaxSigned { size, root });
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Signed> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notebook for Signatures {
    fn promise(&self, size: u64, root: Root) -> BoxFuture<'static, Result<(), PromiseError>> {
        let promised = self.promise(size, root);
        if promised.is_ok() {
            self.witness.promised(self.node, size, root);
        }
        Box::pin(ready(promised))
    }

    fn keep(&self, size: u64, note: String) -> BoxFuture<'static, Result<(), Failed>> {
        self.lock().notes.insert(size, note);
        Box::pin(ready(Ok(())))
    }

    fn diverged(&self, divergence: Divergence) -> BoxFuture<'static, Result<(), Failed>> {
        let Divergence { size, node, .. } = divergence;
        self.witness.violate(
            "cosigned",
            format!(
                "node {} and node {node} have two roots of {size}",
                self.node
            ),
        );
        Box::pin(ready(Ok(())))
    }
}

/// Where a process's cosigner is found, once it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    cosigner: Arc<Mutex<Option<Cosigner>>>,
}

impl Desk {
    pub(crate) fn open(&self, cosigner: Cosigner) {
        *self.lock() = Some(cosigner);
    }

    /// All that nodes ask each other here is to cosign.
    pub(crate) fn answers(&self) -> AskHook {
        let desk = self.clone();
        Arc::new(move |from, message| match &*desk.lock() {
            Some(cosigner) => cosigner.answer(from, &message),
            None => Box::pin(ready(Bytes::new())),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cosigner>> {
        self.cosigner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
