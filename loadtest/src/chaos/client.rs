//! The callers: each call has a number of its own, which the book and the witness both show.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{http, now_us};

/// For a reply: longer than any deadline of the gate's that a call can meet here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A grant, as its holder knows it.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) label: String,
    pub(super) path: String,
    pub(super) token: String,
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The policy or a limit denies it.
    Denied,
    /// The server's own reply.
    Done,
    /// Nothing: the connection broke, or no reply came in time.
    Nothing,
    /// Not carried out, by this status.
    Refused(u16),
    /// It may have run.
    Unsettled,
}

/// A call, as its caller saw it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) number: u64,
    pub(super) label: String,
    /// By the machine's clock, before the first byte was sent.
    pub(super) from_us: u64,
    pub(super) answer: Answer,
}

/// What all callers share.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: AtomicU64,
    made: Mutex<Vec<Called>>,
}

/// One connection to one node, opened when it is needed.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    calls: &'a Calls,
    address: String,
    line: Option<BufReader<TcpStream>>,
}

impl Calls {
    /// A caller of the node at `address`.
    pub(super) fn at(&self, address: &str) -> Caller<'_> {
        Caller {
            calls: self,
            address: address.to_owned(),
            line: None,
        }
    }

    pub(super) fn made(&self) -> Vec<Called> {
        let made = self.made.lock();
        made.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Caller<'_> {
    /// Makes one call and notes it.
    pub(super) fn call(&mut self, holder: &Holder) -> Answer {
        let number = self.calls.next.fetch_add(1, Ordering::Relaxed) + 1;
        let from_us = now_us();
        let answer = self.exchange(number, holder).unwrap_or(Answer::Nothing);
        if answer == Answer::Nothing {
            self.line = None;
        }
        let made = self.calls.made.lock();
        made.unwrap_or_else(PoisonError::into_inner).push(Called {
            number,
            label: holder.label.clone(),
            from_us,
            answer,
        });
        answer
    }

    fn exchange(&mut self, number: u64, holder: &Holder) -> std::io::Result<Answer> {
        if self.line.is_none() {
            let stream = TcpStream::connect(&self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.line = Some(BufReader::new(stream));
        }
        let Some(reader) = &mut self.line else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        let body = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {
            "name": "count",
            "arguments": { "number": number },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        }});
        let body = body.to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: count\r\nAuthorization: Bearer {}\r\n\
             traceparent: {}\r\nContent-Length: {}\r\n\r\n{body}",
            holder.path,
            self.address,
            holder.token,
            traceparent(number),
            body.len()
        );
        reader.get_mut().write_all(request.as_bytes())?;
        let (status, reply) = http::read(reader)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(answer(status.unwrap_or_default(), &reply))
    }
}

/// What a call carries so that its intent can be found in the book.
pub(super) fn traceparent(number: u64) -> String {
    format!("00-{number:032x}-{number:016x}-00")
}

fn answer(status: u16, reply: &[u8]) -> Answer {
    let reply: Value = serde_json::from_slice(reply).unwrap_or_default();
    let code = reply.pointer("/error/code").and_then(Value::as_i64);
    let is_error = reply.pointer("/result/isError").and_then(Value::as_bool);
    match (status, code, is_error) {
        (_, Some(-31005), _) => Answer::Unsettled,
        (200, None, Some(false)) => Answer::Done,
        (200, None, Some(true)) => Answer::Denied,
        _ => Answer::Refused(status),
    }
}
