//! Ours, and the one that one would write in an afternoon.

use std::mem;

use regex::Regex;
use serde_json::Value;

use tollbook_mcp::{Limits, Reader};
use tollbook_policy::{Policy, Verdict};

use crate::policy::{self, ALLOWED, BODY_BYTES_MAX, CALLED, EXFILTRATION};

/// Strict parse, one reading, compiled policy: what the gate does with a body.
#[derive(Debug)]
pub struct Tollbook {
    reader: Reader,
    policy: Policy,
    /// Of the body before, for the next.
    memory: Vec<u8>,
}

impl Tollbook {
    /// By this policy.
    ///
    /// # Panics
    /// If it does not load.
    pub fn new(policy: &str) -> Self {
        Self {
            reader: Reader::new(Limits::DEFAULT),
            memory: Vec::new(),
            policy: tollbook_policy::check(policy).expect("the benchmark's policies are valid"),
        }
    }

    /// Whether the call may pass. The copy of the body stands for its arrival.
    pub fn allows(&mut self, body: &[u8]) -> bool {
        let mut arrived = mem::take(&mut self.memory);
        arrived.clear();
        arrived.extend_from_slice(body);
        let Ok(message) = self.reader.read(arrived) else {
            return false;
        };
        let allowed = message.tool_call().is_some_and(|call| {
            let verdict = self.policy.decide(&call.name, call.arguments);
            matches!(verdict, Verdict::Allow(_))
        });
        self.memory = self.reader.recycle(message);
        allowed
    }
}

impl Default for Tollbook {
    fn default() -> Self {
        Self::new(&policy::text())
    }
}

/// `serde_json::Value` and `regex::Regex`, hand-written checks of the one tool, nothing refused.
#[derive(Debug)]
pub struct Plain {
    allowed: Regex,
    exfiltration: Regex,
}

impl Default for Plain {
    fn default() -> Self {
        let compile = |pattern| Regex::new(pattern).expect("the patterns are valid");
        Self {
            allowed: compile(ALLOWED),
            exfiltration: compile(EXFILTRATION),
        }
    }
}

impl Plain {
    /// Whether the call may pass.
    #[expect(
        clippy::indexing_slicing,
        reason = "`serde_json` answers null where nothing is"
    )]
    pub fn allows(&self, body: &[u8]) -> bool {
        let Ok(call) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        if call["method"] != "tools/call" || call["params"]["name"] != CALLED {
            return false;
        }
        let arguments = &call["params"]["arguments"];
        let url = arguments["url"].as_str().unwrap_or_default();
        let text = |value: &'_ Value, listed: &[&str]| {
            value.as_str().is_some_and(|text| listed.contains(&text))
        };
        self.allowed.is_match(url)
            && text(&arguments["method"], &["POST", "PUT"])
            && arguments["body_bytes"]
                .as_u64()
                .is_some_and(|bytes| bytes <= BODY_BYTES_MAX)
            && text(&arguments["meta"]["region"], &["eu"])
            && !self.exfiltration.is_match(url)
            && text(&arguments["class"], &["public", "internal"])
    }
}
