//! A client that sends raw bytes, so that a test can send what no HTTP library would.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use tollbook_node::trial::Granted;

/// For what must come. A test that waits longer has found a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The legacy version that the helpers speak.
pub(crate) const LEGACY: &str = "2025-11-25";
/// The modern version.
pub(crate) const MODERN: &str = "2026-07-28";
/// The members of a modern request's `_meta` that must be there.
pub(crate) const META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

/// One request, before it is bytes.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Method, target and version.
    pub(crate) line: String,
    /// In this order, as often as they stand here.
    pub(crate) headers: Vec<(String, String)>,
    /// Sent as it is; `Content-Length` is added where the headers frame nothing themselves.
    pub(crate) body: Vec<u8>,
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
}

/// What is left of the response that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Done,
    Length(usize),
}

impl Ask {
    /// A POST of `body` to the grant's endpoint under its token, as any client begins it.
    pub(crate) fn new(grant: &Granted, body: impl Into<Vec<u8>>) -> Self {
        let rest = grant.endpoint.strip_prefix("http://").expect("an http URL");
        let (host, path) = rest.split_once('/').expect("an URL with a path");
        let ask = Self {
            line: format!("POST /{path} HTTP/1.1"),
            headers: Vec::new(),
            body: body.into(),
        };
        ask.add("Host", host)
            .add("Authorization", &format!("Bearer {}", grant.token.expose()))
            .add("Content-Type", "application/json")
            .add("Accept", "application/json, text/event-stream")
    }

    /// A message of the legacy era, on a session where there is one.
    pub(crate) fn legacy(grant: &Granted, session: Option<&str>, body: impl Into<Vec<u8>>) -> Self {
        let ask = Self::new(grant, body).add("MCP-Protocol-Version", LEGACY);
        match session {
            Some(session) => ask.add("Mcp-Session-Id", session),
            None => ask,
        }
    }

    /// A message of the modern era with the headers that mirror it.
    pub(crate) fn modern(
        grant: &Granted,
        method: &str,
        name: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let ask = Self::new(grant, body)
            .add("MCP-Protocol-Version", MODERN)
            .add("Mcp-Method", method);
        match name {
            Some(name) => ask.add("Mcp-Name", name),
            None => ask,
        }
    }

    /// A modern `tools/call` with id 1; `arguments` is JSON text.
    pub(crate) fn call(grant: &Granted, tool: &str, arguments: &str) -> Self {
        Self::modern(
            grant,
            "tools/call",
            Some(tool),
            modern_call(tool, arguments),
        )
    }

    /// A legacy `tools/call` with id 1.
    pub(crate) fn legacy_call(
        grant: &Granted,
        session: Option<&str>,
        tool: &str,
        arguments: &str,
    ) -> Self {
        Self::legacy(grant, session, legacy_call(tool, arguments))
    }

    /// Adds a header after the others.
    pub(crate) fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a header.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    /// As it is sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            text = text + name + ": " + value + "\r\n";
        }
        let framed = |name: &str| {
            ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
        };
        if !self.headers.iter().any(|(name, _)| framed(name)) {
            text = text + &format!("Content-Length: {}\r\n", self.body.len());
        }
        let mut bytes = (text + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Body of a modern `tools/call` with id 1.
pub(crate) fn modern_call(tool: &str, arguments: &str) -> String {
    call(tool, &format!("{arguments},{META}"))
}

/// Body of a legacy `tools/call` with id 1.
pub(crate) fn legacy_call(tool: &str, arguments: &str) -> String {
    call(tool, arguments)
}

fn call(tool: &str, rest: &str) -> String {
    let params = format!(r#"{{"name":{},"arguments":{rest}}}"#, Value::from(tool));
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

impl Response {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// What the agent reads: the text of a tool's result, or the message of an error.
    pub(crate) fn seen(&self) -> String {
        let json = self.json();
        let error = json["error"]["message"].as_str();
        let text = json["result"]["content"][0]["text"].as_str();
        error
            .or(text)
            .map_or_else(|| format!("{} {}", self.status, self.text()), str::to_owned)
    }
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = stream.expect("a connection in time").expect("a connection");
        stream.set_nodelay(true).expect("a socket that is open");
        Self {
            stream,
            buffer: Vec::new(),
            framing: Framing::Done,
        }
    }

    /// Sends bytes as they are. A peer that has closed already is no error: what it said first is
    /// still to be read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Sends one request and reads the response to its end.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Response {
        self.send(&ask.bytes()).await;
        self.response()
            .await
            .expect("an answer before the connection closes")
    }

    /// Reads one response to its end. `None`: the connection was closed without one.
    pub(crate) async fn response(&mut self) -> Option<Response> {
        let mut response = self.head().await?;
        while let Some(piece) = self.piece().await {
            response.body.extend_from_slice(&piece);
        }
        Some(response)
    }

    /// Reads status and headers. `None`: the connection was closed without any.
    pub(crate) async fn head(&mut self) -> Option<Response> {
        assert_eq!(
            self.framing,
            Framing::Done,
            "the response before was not read to its end"
        );
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let response = Response {
            status: status.expect("a status"),
            headers: headers
                .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
                .collect(),
            body: Vec::new(),
        };
        self.framing = match response.header("content-length") {
            Some(length) => Framing::Length(length.parse().expect("a length")),
            None if response.header("transfer-encoding").is_some() => Framing::Chunked,
            None => Framing::Done,
        };
        Some(response)
    }

    /// The next bytes of the body. `None` at its end.
    pub(crate) async fn piece(&mut self) -> Option<Vec<u8>> {
        match self.framing {
            Framing::Done | Framing::Length(0) => {
                self.framing = Framing::Done;
                None
            }
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    assert!(
                        self.fill().await,
                        "the connection closed {left} bytes early"
                    );
                }
                let here = left.min(self.buffer.len());
                self.framing = Framing::Length(left - here);
                Some(self.buffer.drain(..here).collect())
            }
            Framing::Chunked => self.chunk().await,
        }
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = std::str::from_utf8(&self.buffer[..at]).expect("a chunk's size");
                let size = usize::from_str_radix(line, 16).expect("a chunk's size");
                if self.buffer.len() >= at + 2 + size + 2 {
                    let chunk: Vec<u8> = self.buffer.drain(..at + 2 + size + 2).collect();
                    if size == 0 {
                        self.framing = Framing::Done;
                        return None;
                    }
                    return Some(chunk[at + 2..at + 2 + size].to_vec());
                }
            }
            assert!(
                self.fill().await,
                "the connection closed inside a chunked body"
            );
        }
    }

    /// Reads the body until it holds `text`, and returns it so far.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut body = Vec::new();
        while find(&body, text.as_bytes()).is_none() {
            let piece = self.piece().await;
            let so_far = String::from_utf8_lossy(&body).into_owned();
            body.extend(piece.unwrap_or_else(|| panic!("`{text}` is not in: {so_far}")));
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// The body to its end, as text.
    pub(crate) async fn rest(&mut self) -> String {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await {
            body.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Whether nothing comes within `time`, though the connection stands.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty()
            && timeout(time, self.stream.read_buf(&mut self.buffer))
                .await
                .is_err()
    }

    /// Waits until the peer closes; what it sends before is dropped.
    pub(crate) async fn closed(&mut self) {
        while self.fill().await {
            self.buffer.clear();
        }
    }

    /// Reads more bytes. False: the peer closed.
    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("bytes or an end in time")
            .is_ok_and(|count| count > 0)
    }
}

/// Sends one request on a connection of its own and reads the response to its end.
pub(crate) async fn ask(address: SocketAddr, ask: &Ask) -> Response {
    Client::connect(address).await.ask(ask).await
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
