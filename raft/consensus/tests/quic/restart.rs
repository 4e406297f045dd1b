//! A peer that dies without a word and comes back on its port.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use tollbook_raft::{Identity, LinkError, Target};

use crate::common::{Node, Serving, Time, authority, copy, identity};

/// A node on a runtime of its own, which can be taken from under it.
struct Process {
    kill: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
    target: Target,
}

impl Process {
    async fn start(identity: Identity, port: u16) -> Self {
        let (kill, killed) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let node = Node::with(identity, Serving::echo(), &Time::new(), port, None);
                tell.send(node.target()).unwrap();
                killed.await.unwrap();
                // Nothing is told to anybody: the runtime and its tasks are gone before any of
                // them runs again.
            });
            drop(runtime);
        });
        let target = told.await.unwrap();
        Self {
            kill,
            thread,
            target,
        }
    }

    fn kill(self) -> Target {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
        self.target
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_reached_long_before_its_connection_times_out() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = identity(&authority, 2);
    let process = Process::start(copy(&two), 0).await;
    assert_eq!(one.call(&process.target, "a").await.unwrap(), "1:a");
    let target = process.kill();
    let port = target.peer.peer_address.rsplit_once(':').unwrap().1;
    let process = Process::start(copy(&two), port.parse().unwrap()).await;
    let began = Instant::now();
    // The connection is believed in until the first packet over it is answered with a reset.
    let first = one.call(&target, "b").await;
    let reset = began.elapsed();
    match first {
        Err(LinkError::Broken { reason, .. } | LinkError::Unreachable { reason, .. }) => {
            assert_eq!(reason, "it has restarted since");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(one.call(&target, "c").await.unwrap(), "1:c");
    let reached = began.elapsed();
    println!("reset after {reset:?}, reached after {reached:?}");
    // A time-out takes a second and a half.
    assert!(reached < Duration::from_millis(500), "{reached:?}");
    assert_eq!(one.quic.stats().dialled, 2);
    process.kill();
}
