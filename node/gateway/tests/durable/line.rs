//! One blocking connection to a gate, one call at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Seen {
    /// The text of a tool's result.
    pub(crate) fn text(&self) -> &str {
        self.body["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
    }

    /// The server's own result.
    pub(crate) fn is_result(&self) -> bool {
        self.status == 200
            && self.body["result"].is_object()
            && self.body["result"]["isError"] != true
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.text().starts_with("[POLICY DENIED]")
    }
}

/// A connection for one grant.
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    path: String,
    host: String,
    token: String,
}

impl Line {
    pub(crate) fn open(endpoint: &str, token: &str) -> io::Result<Self> {
        let rest = endpoint
            .strip_prefix("http://")
            .expect("a gate without TLS");
        let (host, path) = rest.split_once('/').expect("an endpoint has a path");
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream: BufReader::new(stream),
            path: format!("/{path}"),
            host: host.to_owned(),
            token: token.to_owned(),
        })
    }

    /// Calls a tool; `trace` finds the call again in the book and at the server.
    pub(crate) fn call(&mut self, tool: &str, arguments: &str, trace: u64) -> io::Result<Seen> {
        let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
            "io.modelcontextprotocol/clientCapabilities":{}}"#;
        let params = format!(r#"{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}"#);
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{trace},"method":"tools/call","params":{params}}}"#);
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n\
             traceparent: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            self.token,
            traceparent(trace),
            body.len(),
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value
                    .trim()
                    .parse()
                    .map_err(|_| io::ErrorKind::InvalidData)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Seen {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }
}

/// A W3C trace parent that names one call.
pub(crate) fn traceparent(trace: u64) -> String {
    format!("00-{:032x}-{:016x}-01", u128::from(trace) + 1, trace + 1)
}
