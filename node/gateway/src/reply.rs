//! What goes back to the client: a status, a few headers, and a body that is whole or streamed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};

/// `application/json`.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How many chunks of a streamed reply wait for a slow client before the upstream is read no
/// further.
const CHUNKS: usize = 16;

/// An answer to one request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Headers beside those that the server adds.
    pub(crate) headers: HeaderMap,
    /// The body, or its end where a stream has begun.
    pub(crate) body: Bytes,
}

impl Reply {
    /// A reply without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A JSON reply.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::empty(status).with(CONTENT_TYPE, JSON).body(body)
    }

    /// Sets a header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// The call's end of an answer. The call runs in its own task; the client reads at the other end
/// and may be gone at any time, which stops nothing here.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Option<oneshot::Sender<Head>>,
    chunks: mpsc::Sender<Bytes>,
}

/// The client's end of an answer.
#[derive(Debug)]
pub(crate) struct Pending {
    head: oneshot::Receiver<Head>,
    chunks: mpsc::Receiver<Bytes>,
}

#[derive(Debug)]
struct Head {
    reply: Reply,
    streamed: bool,
}

impl Answer {
    /// Both ends of one answer.
    pub(crate) fn pair() -> (Self, Pending) {
        let (head_in, head_out) = oneshot::channel();
        let (chunks_in, chunks_out) = mpsc::channel(CHUNKS);
        (
            Self {
                head: Some(head_in),
                chunks: chunks_in,
            },
            Pending {
                head: head_out,
                chunks: chunks_out,
            },
        )
    }

    /// Begins a streamed answer. What `begin` was given stands: status and headers of the reply
    /// that `finish` gets are then ignored, its body is the stream's end.
    pub(crate) fn begin(&mut self, reply: Reply) {
        if let Some(head) = self.head.take() {
            // An error here says that the client is gone, which stops nothing.
            drop(head.send(Head {
                reply,
                streamed: true,
            }));
        }
    }

    /// Whether a streamed answer has begun.
    pub(crate) fn begun(&self) -> bool {
        self.head.is_none()
    }

    /// Passes one chunk on, waiting for a slow client. False: the client is gone.
    pub(crate) async fn chunk(&self, bytes: Bytes) -> bool {
        self.chunks.send(bytes).await.is_ok()
    }

    /// Returns once the client is gone.
    pub(crate) async fn gone(&self) {
        self.chunks.closed().await;
    }

    /// Ends the answer.
    pub(crate) async fn finish(mut self, reply: Reply) {
        match self.head.take() {
            Some(head) => drop(head.send(Head {
                reply,
                streamed: false,
            })),
            None if reply.body.is_empty() => {}
            None => drop(self.chunks.send(reply.body).await),
        }
    }
}

impl Pending {
    /// Waits for the head. `None`: the call's task ended without an answer (it panicked).
    pub(crate) async fn response(self) -> Option<Response<ReplyBody>> {
        let Head { reply, streamed } = self.head.await.ok()?;
        let mut response = Response::new(ReplyBody {
            whole: Some(reply.body).filter(|body| !body.is_empty()),
            chunks: streamed.then_some(self.chunks),
        });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        Some(response)
    }
}

/// The body of a response: bytes at hand, then chunks as they come.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    whole: Option<Bytes>,
    chunks: Option<mpsc::Receiver<Bytes>>,
}

impl From<Reply> for Response<ReplyBody> {
    fn from(reply: Reply) -> Self {
        let whole = Some(reply.body).filter(|body| !body.is_empty());
        let mut response = Self::new(ReplyBody {
            whole,
            chunks: None,
        });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut self.chunks {
            None => Poll::Ready(None),
            Some(chunks) => chunks
                .poll_recv(context)
                .map(|next| next.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.chunks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.whole, &self.chunks) {
            (Some(whole), None) => {
                SizeHint::with_exact(u64::try_from(whole.len()).unwrap_or(u64::MAX))
            }
            (None, None) => SizeHint::with_exact(0),
            (Some(_) | None, Some(_)) => SizeHint::new(),
        }
    }
}
