//! The demo's agent: calls tools over HTTP as a client of the 2026-07-28 revision does.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::trial::Granted;

/// Bytes of a reply that are read.
const REPLY_BYTES_MAX: usize = 1 << 20;
const VERSION: &str = "2026-07-28";
/// Of the protocol's own members of `_meta`.
const PREFIX: &str = "io.modelcontextprotocol/";

/// A client with one grant.
#[derive(Debug)]
pub struct Agent {
    sender: SendRequest<Full<Bytes>>,
    uri: Uri,
    host: String,
    token: HeaderValue,
    next_id: u64,
}

/// Why a call had no answer.
#[derive(Debug, thiserror::Error)]
#[error("the demo's agent got no answer")]
pub struct AgentError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Agent {
    /// Connects to the grant's endpoint.
    pub async fn connect(grant: &Granted) -> Result<Self, AgentError> {
        let uri: Uri = grant.endpoint.parse().map_err(failed)?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let stream = TcpStream::connect(&host).await.map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the connection, which we hold"
        )]
        tokio::spawn(connection);
        let mut token =
            HeaderValue::try_from(format!("Bearer {}", grant.token.expose())).map_err(failed)?;
        token.set_sensitive(true);
        Ok(Self {
            sender,
            uri,
            host,
            token,
            next_id: 1,
        })
    }

    /// Calls a tool; the text that the agent's model would see.
    pub async fn call(&mut self, tool: &str, arguments: &str) -> Result<String, AgentError> {
        let id = self.next_id;
        self.next_id += 1;
        let meta = format!(
            r#"{{"{PREFIX}protocolVersion":"{VERSION}","{PREFIX}clientCapabilities":{{}},
            "{PREFIX}clientInfo":{{"name":"demo-agent","version":"1"}}}}"#
        );
        let params = format!(r#"{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}"#);
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        let request = Request::post(self.uri.path())
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.token)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(Full::new(Bytes::from(body)))
            .map_err(failed)?;
        self.sender.ready().await.map_err(failed)?;
        let response = self.sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(AgentError)?.to_bytes();
        Ok(seen(status, &body))
    }
}

fn seen(status: StatusCode, body: &[u8]) -> String {
    let Ok(reply) = serde_json::from_slice::<serde_json::Value>(body) else {
        return format!("HTTP {status}");
    };
    let at = |pointer: &str| reply.pointer(pointer)?.as_str();
    let text = at("/error/message").or_else(|| at("/result/content/0/text"));
    text.map_or_else(
        || reply.to_string(),
        |text| text.lines().collect::<Vec<_>>().join(" / "),
    )
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> AgentError {
    AgentError(Box::new(error))
}
