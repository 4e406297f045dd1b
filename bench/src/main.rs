//! What a decision costs from the raw body on: ours (strict parse, one reading, compiled policy)
//! against the plain way (`serde_json::Value` and `regex::Regex`, hand-written checks, nothing
//! refused). Interleaved rounds in one run; the figures to compare are the ratios.

#![expect(clippy::print_stdout, reason = "the table is this program's product")]

mod chart;

use std::ffi::OsString;
use std::hint::black_box;
use std::process::ExitCode;

use regex::Regex;
use serde_json::Value;

use tollbook_mcp::{Limits, Reader};
use tollbook_policy::{Policy, Verdict};

use crate::chart::Bar;

/// Rounds of each way, interleaved.
const ROUNDS: usize = 15;
/// Nanoseconds that one round should take.
const ROUND_NS: u128 = 40_000_000;

const POLICY: &str = r##"{
  "version": "1",
  "default": "deny",
  "hide": ["delete_channel", "archive_channel"],
  "tools": {
    "http_request.post": {
      "require": [
        { "conditions": [
            { "path": "args.url", "op": "regex", "value": "^https://(docs\\.acme\\.com|api\\.acme\\.com|github\\.com/acme/)" },
            { "path": "args.method", "op": "in", "value": ["POST", "PUT"] } ] } ],
      "deny_if": [
        { "conditions": [
            { "path": "args.url", "op": "regex",
              "value": "(pastebin\\.com|requestbin|hookbin|webhook\\.site|ngrok\\.io)" } ] },
        { "conditions": [
            { "path": "args.body_bytes", "op": "gt", "value": 1048576 } ] },
        { "conditions": [
            { "path": "args.meta.region", "op": "not_in", "value": ["eu", "us"] } ] } ] } } }"##;

/// The same checks, as one would write them in an afternoon.
struct Plain {
    allowed: Regex,
    exfil: Regex,
}

impl Plain {
    fn new() -> Self {
        let compile = |pattern| Regex::new(pattern).expect("the patterns above are valid");
        Self {
            allowed: compile(r"^https://(docs\.acme\.com|api\.acme\.com|github\.com/acme/)"),
            exfil: compile(r"(pastebin\.com|requestbin|hookbin|webhook\.site|ngrok\.io)"),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`serde_json` answers null where nothing is"
    )]
    fn allows(&self, body: &[u8]) -> bool {
        let Ok(call) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        if call["method"] != "tools/call" || call["params"]["name"] != "http_request.post" {
            return false;
        }
        let arguments = &call["params"]["arguments"];
        let url = arguments["url"].as_str().unwrap_or_default();
        let method = arguments["method"].as_str().unwrap_or_default();
        self.allowed.is_match(url)
            && ["POST", "PUT"].contains(&method)
            && !self.exfil.is_match(url)
            && arguments["body_bytes"]
                .as_f64()
                .is_some_and(|bytes| bytes <= 1_048_576.0)
            && arguments["meta"]["region"]
                .as_str()
                .is_some_and(|r| ["eu", "us"].contains(&r))
    }
}

fn ours(reader: &mut Reader, policy: &Policy, body: &[u8]) -> bool {
    let Ok(message) = reader.read(body.to_vec()) else {
        return false;
    };
    let Some(call) = message.tool_call() else {
        return false;
    };
    matches!(policy.decide(&call.name, call.arguments), Verdict::Allow(_))
}

/// A `tools/call` of about `bytes` bytes: nested items with escapes and text beyond ASCII.
fn body(bytes: usize) -> Vec<u8> {
    let text = |items: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"http_request.post","arguments":{{"url":"https://api.acme.com/v1/reports","method":"POST","body_bytes":2048,"meta":{{"region":"eu","tags":["daily","größe"]}},"items":[{items}]}}}}}}"#
        )
    };
    let mut items = String::new();
    let mut at = 0;
    while text(&items).len() < bytes {
        if at > 0 {
            items.push(',');
        }
        items.push_str(&format!(
            r#"{{"sku":"A-{at:05}","qty":{},"note":"a \"b\" ü\n"}}"#,
            at % 17
        ));
        at += 1;
    }
    text(&items).into_bytes()
}

/// Nanoseconds of one `work`, by running it `times` times.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(times: u128, mut work: impl FnMut()) -> u128 {
    let start = std::time::Instant::now();
    for _ in 0..times {
        work();
    }
    start.elapsed().as_nanos()
}

fn median(mut figures: Vec<u128>) -> u128 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// What one decision costs on a body, in nanoseconds.
struct Cost {
    bytes: usize,
    ours: u128,
    plain: u128,
}

fn measure(reader: &mut Reader, policy: &Policy, plain: &Plain, bytes: usize) -> Cost {
    let body = body(bytes);
    assert!(ours(reader, policy, &body), "ours allows");
    assert!(plain.allows(&body), "so does the plain way");
    let once = time(64, || {
        black_box(plain.allows(black_box(&body)));
    }) / 64;
    let times = (ROUND_NS / once.max(1)).max(16);
    let (mut of_ours, mut of_plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_ours.push(time(times, || {
            black_box(ours(reader, policy, black_box(&body)));
        }));
        of_plain.push(time(times, || {
            black_box(plain.allows(black_box(&body)));
        }));
    }
    let (ours, plain) = (median(of_ours) / times, median(of_plain) / times);
    Cost {
        bytes: body.len(),
        ours,
        plain,
    }
}

/// Per byte of the call, so that small and large ones stand on one scale.
fn picture(costs: &[Cost]) -> String {
    let bar = |cost: &Cost, name: &str, ns: u128, ours: bool| {
        let tenths = ns * 10 / u128::try_from(cost.bytes).unwrap_or(1).max(1);
        Bar {
            label: format!("{name}, {} B", cost.bytes),
            value: u64::try_from(tenths).unwrap_or(u64::MAX),
            shown: format!("{}.{} ns a byte ({ns} ns)", tenths / 10, tenths % 10),
            ours,
        }
    };
    let bars: Vec<Bar> = costs
        .iter()
        .flat_map(|cost| {
            [
                bar(cost, "tollbook", cost.ours, true),
                bar(cost, "serde_json + regex", cost.plain, false),
            ]
        })
        .collect();
    chart::svg(
        "Cost of a decision from the raw body on (shorter is better)",
        &bars,
    )
}

/// `--svg FILE`, or nothing. None: something else.
fn svg_file(mut arguments: impl Iterator<Item = OsString>) -> Option<Option<OsString>> {
    match (arguments.next(), arguments.next(), arguments.next()) {
        (None, None, None) => Some(None),
        (Some(flag), Some(file), None) if flag == "--svg" => Some(Some(file)),
        _ => None,
    }
}

fn main() -> ExitCode {
    let Some(file) = svg_file(std::env::args_os().skip(1)) else {
        println!("usage: decision [--svg FILE]");
        return ExitCode::from(2);
    };
    let policy = tollbook_policy::check(POLICY).expect("the policy above is valid");
    let plain = Plain::new();
    let mut reader = Reader::new(Limits::DEFAULT);
    println!("a decision from the raw body on, median of {ROUNDS} interleaved rounds\n");
    println!(
        "{:>8}  {:>10}  {:>12}  {:>6}",
        "bytes", "tollbook", "serde+regex", "ratio"
    );
    let mut costs = Vec::new();
    for bytes in [414, 4 << 10, 64 << 10] {
        let cost = measure(&mut reader, &policy, &plain, bytes);
        let Cost { bytes, ours, plain } = cost;
        let ratio = plain * 100 / ours.max(1);
        let (whole, part) = (ratio / 100, ratio % 100);
        println!("{bytes:>8}  {ours:>7} ns  {plain:>9} ns  {whole:>3}.{part:02}");
        costs.push(cost);
    }
    let Some(file) = file else {
        return ExitCode::SUCCESS;
    };
    #[expect(clippy::disallowed_methods, reason = "a picture needs no durability")]
    let written = std::fs::write(&file, picture(&costs));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("decision: cannot write {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
