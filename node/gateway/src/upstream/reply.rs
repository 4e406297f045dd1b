//! A response's body, which gives its connection back when it was read to the end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::pool::Lease;
use super::{Broken, within};
use crate::clock::{Clock, Moment};

/// Memory set aside for a body before its first byte, at most.
const FIRST_BYTES_MAX: u64 = 64 << 10;

/// The body as the server sends it. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct ReplyBody {
    incoming: Incoming,
    lease: Option<Lease>,
    server_limit: Option<Duration>,
    clock: Clock,
}

impl ReplyBody {
    pub(super) fn new(
        incoming: Incoming,
        lease: Lease,
        server_limit: Option<Duration>,
        clock: Clock,
    ) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
            server_limit,
            clock,
        };
        body.finish_at_end();
        body
    }

    /// The whole body, which must have at most `limit` bytes and end by `deadline`.
    pub async fn whole(mut self, limit: usize, deadline: Moment) -> Result<Bytes, Broken> {
        let hint = self.size_hint();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX);
        if hint.lower() > bound {
            return Err(Broken::TooLarge { limit });
        }
        let expected = hint.lower().min(FIRST_BYTES_MAX);
        let clock = self.clock;
        let read = async {
            let mut whole = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
            while let Some(frame) = self.frame().await {
                let Ok(data) = frame?.into_data() else {
                    continue;
                };
                if whole.len().saturating_add(data.len()) > limit {
                    return Err(Broken::TooLarge { limit });
                }
                // A small reply comes in one piece: no copy.
                if whole.is_empty() && self.is_end_stream() {
                    return Ok(data);
                }
                whole.extend_from_slice(&data);
            }
            Ok(whole.freeze())
        };
        within(clock, deadline, read)
            .await
            .unwrap_or(Err(Broken::TimedOut))
    }

    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.finish(self.server_limit);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.finish(self.server_limit);
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.finish_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                // The end of this connection: it is closed by dropping it.
                self.lease = None;
                Poll::Ready(Some(Err(Broken::from(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
