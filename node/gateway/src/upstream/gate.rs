//! The last place before the kernel: decides whether a request's first byte may still pass, and
//! remembers whether it did.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::{Clock, Moment};

/// One connection's gate, seen from the socket's side and from the request's side.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// No request. What TLS has to say for itself passes uncounted.
    Open,
    /// A request is on its way to the socket. `watcher` is told of the first byte.
    Armed {
        admit: Moment,
        watcher: Option<Waker>,
    },
    /// The first write is in the kernel's hands: neither sent nor unsent can be said.
    Writing {
        admit: Moment,
        watcher: Option<Waker>,
    },
    /// The first byte is gone.
    Begun,
    /// No byte is gone, and none passes any more, not even at the connection's shutdown: below TLS
    /// the request may lie encrypted in a buffer that the shutdown would flush.
    Refused,
}

impl Gate {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(State::Open),
        })
    }

    /// From now on the next byte is the request's first, and passes only before `admit`.
    pub(super) fn arm(&self, admit: Moment) {
        let mut state = self.lock();
        assert!(matches!(*state, State::Open), "one request at a time");
        *state = State::Armed {
            admit,
            watcher: None,
        };
    }

    /// The request and its response are done. A refused gate stays refused.
    pub(super) fn disarm(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Begun) {
            *state = State::Open;
        }
    }

    /// Ready when the first byte is gone, or when none will be.
    pub(super) fn poll_decided(&self, cx: &Context<'_>) -> Poll<()> {
        match &mut *self.lock() {
            State::Armed { watcher, .. } | State::Writing { watcher, .. } => {
                *watcher = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Open | State::Begun | State::Refused => Poll::Ready(()),
        }
    }

    /// Shuts the gate unless the first byte is gone. Waits only for a write that is just in the
    /// kernel's hands. [`Shut::Unsent`] is certain, and for good.
    pub(super) fn poll_shut(&self, cx: &Context<'_>) -> Poll<Shut> {
        let mut state = self.lock();
        match &mut *state {
            State::Open | State::Armed { .. } | State::Refused => {
                *state = State::Refused;
                Poll::Ready(Shut::Unsent)
            }
            State::Writing { watcher, .. } => {
                *watcher = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Begun => Poll::Ready(Shut::Sent),
        }
    }

    /// Asked before each write. The first one of a request passes only before the deadline, and
    /// only while `standing` finds that the server still listens.
    fn admit_write(&self, standing: impl FnOnce() -> bool) -> io::Result<()> {
        let mut state = self.lock();
        match &mut *state {
            State::Armed { admit, watcher } | State::Writing { admit, watcher } => {
                let (admit, mut watcher) = (*admit, watcher.take());
                let refusal = if !standing() {
                    io::ErrorKind::ConnectionReset
                } else if self.clock.moment() >= admit {
                    io::ErrorKind::TimedOut
                } else {
                    *state = State::Writing { admit, watcher };
                    return Ok(());
                };
                *state = State::Refused;
                drop(state);
                wake(&mut watcher);
                Err(refusal.into())
            }
            State::Open | State::Begun => Ok(()),
            State::Refused => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Told after each write what came of it.
    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.lock();
        if let State::Writing { admit, watcher } = &mut *state {
            let (admit, mut watcher) = (*admit, watcher.take());
            // An error or a full buffer took nothing: the kernel says how much it took.
            *state = match result {
                Poll::Ready(Ok(taken)) if *taken > 0 => State::Begun,
                Poll::Ready(Ok(_) | Err(_)) | Poll::Pending => State::Armed {
                    admit,
                    watcher: None,
                },
            };
            drop(state);
            wake(&mut watcher);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What shutting a gate found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// The first byte is gone.
    Sent,
    /// No byte is gone, and none will be.
    Unsent,
}

fn wake(watcher: &mut Option<Waker>) {
    if let Some(watcher) = watcher.take() {
        watcher.wake();
    }
}

/// A socket behind its gate.
#[derive(Debug)]
pub(super) struct Gated {
    socket: TcpStream,
    gate: Arc<Gate>,
    /// Until the first request the server may have spoken: TLS sends tickets with its handshake.
    may_have_spoken: bool,
}

impl Gated {
    pub(super) fn new(socket: TcpStream, gate: Arc<Gate>, tls: bool) -> Self {
        Self {
            socket,
            gate,
            may_have_spoken: tls,
        }
    }

    fn admit_write(&mut self) -> io::Result<()> {
        let Self {
            socket,
            gate,
            may_have_spoken,
        } = self;
        gate.admit_write(|| is_standing(socket, std::mem::take(may_have_spoken)))
    }
}

/// Whether the server has neither closed nor spoken unasked, as the kernel knows it now. tokio
/// learns it a turn of its loop later: a request written in between would be lost and count as one
/// that may have run, or take for its reply what the server said before it.
fn is_standing(socket: &TcpStream, may_have_spoken: bool) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match recv(socket, &mut [0_u8; 1], flags) {
        Ok((0, _)) => false,
        Ok(_) => may_have_spoken,
        Err(error) => error == Errno::WOULDBLOCK || error == Errno::INTR,
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.admit_write()?;
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.gate.note_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.admit_write()?;
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.gate.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
