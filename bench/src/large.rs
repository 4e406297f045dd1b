//! A policy of a thousand tools and five thousand conditions against the small one.

use std::fmt::Write as _;
use std::hint::black_box;

use tollbook_mcp::{Limits, Reader};
use tollbook_policy::{Policy, check};

use crate::body::{ALLOWED, BYTES_MIN, call};
use crate::measure::{interleaved, thread_ns};
use crate::policy::{CALLED, called_rules, text};
use crate::table::ratio;

/// Listed tools, the called one among them.
const TOOLS: usize = 1_000;

/// A thousand tools; each has five conditions, one of them a pattern that no other has, but for
/// the called tool, which has the rules of the small policy.
fn large_text() -> String {
    let mut tools = format!(r#""{CALLED}":{}"#, called_rules());
    for index in 1..TOOLS {
        let written = write!(
            tools,
            r#",
"service{index:04}.run":{{"require":[{{"conditions":[
{{"path":"args.branch","op":"regex","value":"^team-{index:04}/[a-z0-9_-]{{1,40}}$"}},
{{"path":"args.method","op":"in","value":["GET","POST"]}},
{{"path":"args.bytes","op":"lte","value":{index}}}]}}],
"deny_if":[{{"conditions":[{{"path":"args.meta.zone","op":"eq","value":"z{index}"}}]}},
{{"conditions":[{{"path":"args.body","op":"contains","value":"key-{index}"}}]}}]}}"#
        );
        written.expect("writing to a `String` does not fail");
    }
    format!(r#"{{"version":"1","tools":{{{tools}}}}}"#)
}

/// Loads it, decides by it, and prints what that takes.
///
/// # Panics
/// If either policy does not load.
pub fn print() {
    let large = large_text();
    let start = thread_ns();
    let policy = check(&large).expect("the large policy is valid");
    let load_us = (thread_ns() - start) / 1_000;
    println!(
        "a policy of {TOOLS} tools, {} conditions, {} bytes: loads in {}.{:03} ms of CPU time",
        policy.rules().len(),
        large.len(),
        load_us / 1_000,
        load_us % 1_000
    );
    let small = check(&text()).expect("the small policy is valid");
    let body = call(&ALLOWED, BYTES_MIN);
    let message = Reader::new(Limits::DEFAULT).read(body);
    let message = message.expect("the benchmark's calls are readable");
    let call = message.tool_call().expect("it is a call of a tool");
    let decide = |policy: &Policy| {
        let verdict = policy.decide(black_box(&call.name), call.arguments);
        drop(black_box(verdict));
    };
    let figures = interleaved(&mut [&mut || decide(&small), &mut || decide(&policy)]);
    let [by_small, by_large] = figures.as_slice() else {
        return;
    };
    println!(
        "deciding a call that is read already: {by_small} ns by the small policy, {by_large} ns \
         by the large one ({})",
        ratio(*by_large, *by_small)
    );
}
