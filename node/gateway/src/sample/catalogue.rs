//! The sample's tools: `tools.json`, read once, and what each answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

/// The tools, in the order in which they are listed, with their counters.
#[derive(Debug)]
pub(super) struct Catalogue {
    tools: Vec<Tool>,
    by_name: HashMap<String, usize>,
    listed: Value,
    unknown: AtomicU64,
}

/// One tool.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) behaviour: Behaviour,
    name: String,
    schema: Value,
    reply: String,
    calls: AtomicU64,
}

/// What a tool does beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Answers at once.
    Answer,
    /// Closes the connection instead.
    Crash,
    /// Answers with `isError`.
    Fail,
    /// Answers late or never.
    Hang,
    /// Answers by a stream of events.
    Stream,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let text = include_str!("tools.json");
        let entries: Vec<Value> = serde_json::from_str(text).expect("tools.json is an array");
        let tools: Vec<Tool> = entries.iter().map(Tool::new).collect();
        let by_name = tools
            .iter()
            .enumerate()
            .map(|(index, tool)| (tool.name.clone(), index))
            .collect();
        let listed = entries.into_iter().map(without_reply).collect();
        Self {
            tools,
            by_name,
            listed,
            unknown: AtomicU64::new(0),
        }
    }

    /// The list as `tools/list` shows it.
    pub(super) fn listed(&self) -> &Value {
        &self.listed
    }

    /// The tool of that name; its counter goes up. Unknown names are counted together.
    pub(super) fn called(&self, name: &str) -> Option<&Tool> {
        let tool = self.tool(name);
        let counter = tool.map_or(&self.unknown, |tool| &tool.calls);
        counter.fetch_add(1, Ordering::Relaxed);
        tool
    }

    /// Calls of one tool so far.
    pub(super) fn calls(&self, name: &str) -> u64 {
        self.tool(name).map_or(0, Tool::calls)
    }

    /// Calls of all tools so far, unknown ones too.
    pub(super) fn total(&self) -> u64 {
        let known: u64 = self.tools.iter().map(Tool::calls).sum();
        known.saturating_add(self.unknown.load(Ordering::Relaxed))
    }

    /// All counters that are not zero.
    pub(super) fn counters(&self) -> Value {
        let called = self.tools.iter().filter(|tool| tool.calls() > 0);
        let tools: Map<String, Value> = called
            .map(|tool| (tool.name.clone(), Value::from(tool.calls())))
            .collect();
        let unknown = self.unknown.load(Ordering::Relaxed);
        json!({ "tools": tools, "total": self.total(), "unknown": unknown })
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.by_name
            .get(name)
            .and_then(|index| self.tools.get(*index))
    }
}

impl Tool {
    fn new(entry: &Value) -> Self {
        let text = |key: &str| {
            let value = entry.get(key).and_then(Value::as_str);
            value
                .expect("tools.json: name and reply are strings")
                .to_owned()
        };
        let name = text("name");
        let behaviour = match name.as_str() {
            "crash" => Behaviour::Crash,
            "fail" => Behaviour::Fail,
            "hang" => Behaviour::Hang,
            "slow_report" => Behaviour::Stream,
            _ => Behaviour::Answer,
        };
        let schema = entry.get("inputSchema").cloned().unwrap_or_default();
        Self {
            behaviour,
            name,
            schema,
            reply: text("reply"),
            calls: AtomicU64::new(0),
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What is wrong with the arguments by the tool's own schema.
    pub(super) fn complaint(&self, arguments: &Map<String, Value>) -> Option<String> {
        let required = self.schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !arguments.contains_key(name) {
                return Some(format!("argument `{name}` is missing"));
            }
        }
        let properties = self.schema.get("properties").and_then(Value::as_object)?;
        arguments.iter().find_map(|(name, value)| {
            let schema = properties.get(name)?;
            let kind = schema.get("type").and_then(Value::as_str)?;
            if !fits(kind, value) {
                return Some(format!("argument `{name}` must be of type {kind}"));
            }
            let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
            let number = value.as_i64()?;
            let low = bound("minimum").is_some_and(|minimum| number < minimum);
            let high = bound("maximum").is_some_and(|maximum| number > maximum);
            (low || high).then(|| format!("argument `{name}` is out of its range"))
        })
    }

    /// The tool's answer: its text with each `{argument}` filled in.
    pub(super) fn answer(&self, arguments: &Map<String, Value>) -> String {
        let mut answer = String::with_capacity(self.reply.len());
        let mut parts = self.reply.split('{');
        answer.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            match arguments.get(name) {
                Some(Value::String(text)) => answer.push_str(text),
                Some(value) => answer.push_str(&value.to_string()),
                None => {
                    answer.push('<');
                    answer.push_str(name);
                    answer.push('>');
                }
            }
            answer.push_str(rest);
        }
        answer
    }
}

/// An argument's value, or what the tool takes when it is left out.
pub(super) fn number_or(arguments: &Map<String, Value>, name: &str, default: u64) -> u64 {
    arguments
        .get(name)
        .and_then(Value::as_u64)
        .unwrap_or(default)
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "array" => value.is_array(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        _ => value.is_string(),
    }
}

fn without_reply(mut entry: Value) -> Value {
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("reply");
    }
    entry
}
