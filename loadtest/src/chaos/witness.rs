//! The server behind the gate: an MCP server that does nothing but note which calls reached it.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{http, now_us};

/// A call that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) number: u64,
    /// By the machine's clock, which is the nodes' clock too.
    pub(super) at_us: u64,
}

/// It runs until the process ends.
pub(super) struct Witness {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Witness {
    pub(super) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                // A gate that is killed breaks the connection; there is nobody to tell.
                std::thread::spawn(move || drop(serve(stream, &noted)));
            }
        });
        Ok(Self { url, seen })
    }

    /// All calls so far, in the order of their arrival.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: TcpStream, noted: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (_, body) = http::read(&mut reader)?;
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = request.get("id").cloned().unwrap_or_default();
        let mut text = String::new();
        if request.get("method").and_then(Value::as_str) == Some("tools/call") {
            let number = request.pointer("/params/arguments/number");
            let number = number.and_then(Value::as_u64).unwrap_or_default();
            let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
            let at_us = now_us();
            seen.push(Seen { number, at_us });
            text = number.to_string();
        }
        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": {
            "content": [{ "type": "text", "text": text }],
            "isError": false,
            "resultType": "complete",
            "_meta": { "io.modelcontextprotocol/serverInfo":
                { "name": "witness", "version": "1" } },
        }});
        let reply = reply.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            reply.len()
        );
        let stream = reader.get_mut();
        stream.write_all(format!("{head}{reply}").as_bytes())?;
    }
}
