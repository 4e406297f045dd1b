//! A closed loop over plain sockets: one thread a connection, one call on its way each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Where calls go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
}

/// What one turn came to.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    elapsed: Duration,
    latency: Histogram<u64>,
}

impl Figures {
    pub(crate) fn per_second(&self) -> u64 {
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        self.calls
            .saturating_mul(1_000)
            .checked_div(millis)
            .unwrap_or_default()
    }

    pub(crate) fn latency_us(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

/// Calls `target` on `connections` connections for `time`.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator reads the clock"
)]
pub(crate) fn closed_loop(target: &Target, connections: usize, time: Duration) -> Figures {
    let begin = std::time::Instant::now();
    let total = Mutex::new(Figures {
        calls: 0,
        errors: 0,
        elapsed: Duration::ZERO,
        latency: histogram(),
    });
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut latency = histogram();
                let (mut calls, mut errors) = (0, 0);
                let mut line = None;
                while begin.elapsed() < time {
                    let started = std::time::Instant::now();
                    match one_call(&mut line, target) {
                        Ok(()) => {
                            calls += 1;
                            let micros = u64::try_from(started.elapsed().as_micros());
                            latency.saturating_record(micros.unwrap_or(u64::MAX));
                        }
                        Err(_broken) => {
                            errors += 1;
                            line = None;
                        }
                    }
                }
                let mut total = total.lock().expect("no thread panics holding it");
                total.calls += calls;
                total.errors += errors;
                total
                    .latency
                    .add(&latency)
                    .expect("both have the same bounds");
            });
        }
    });
    let mut total = total.into_inner().expect("no thread panics holding it");
    total.elapsed = begin.elapsed();
    total
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

/// Sends one call and reads its reply; an `isError` result or a status other than 200 is an error.
fn one_call(line: &mut Option<BufReader<TcpStream>>, target: &Target) -> std::io::Result<()> {
    if line.is_none() {
        let stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        *line = Some(BufReader::new(stream));
    }
    let Some(reader) = line else {
        return Err(std::io::ErrorKind::NotConnected.into());
    };
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_refund","#,
        r#""arguments":{"charge_id":"ch_105","amount":50,"reason":"requested_by_customer","#,
        r#""note":"the customer returned the goods within the agreed time and asked for the "#,
        r#"money back on the card that was charged; see the ticket for the whole story and "#,
        r#"its attachments"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
    );
    let token = target.token.as_deref();
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: create_refund\r\n{authorization}\
         Content-Length: {}\r\n\r\n{body}",
        target.path,
        target.address,
        body.len()
    );
    reader.get_mut().write_all(request.as_bytes())?;
    let mut text = String::new();
    reader.read_line(&mut text)?;
    let is_ok = text.starts_with("HTTP/1.1 200 ");
    let mut length = 0;
    loop {
        text.clear();
        reader.read_line(&mut text)?;
        let header = text.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value
                .trim()
                .parse()
                .map_err(|_| std::io::ErrorKind::InvalidData)?;
        }
    }
    let mut reply = vec![0; length];
    reader.read_exact(&mut reply)?;
    let denied = reply
        .windows(14)
        .any(|window| window == br#""isError":true"#);
    if is_ok && !denied && length > 0 {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
