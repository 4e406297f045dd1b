//! Takes hidden tools out of a `tools/list` result. What is shown keeps its exact bytes.
//!
//! Strict throughout, by the same parser as requests: a list that cannot be read in exactly one
//! way is refused, never passed unfiltered. Within a readable list the entries that cannot be
//! judged are left out: no object, no `name` or one that is no string, a key that could be
//! mistaken for `name`, and all entries of a name that stands twice, since which of them a client
//! would take is not known.

use std::collections::HashMap;
use std::ops::Range;

use thiserror::Error;

use tollbook_policy::json::{Json, Kind, Value};

use crate::fold::{ENVELOPE, RESULT, mistaken_for};
use crate::id::Id;
use crate::limits::LIST_TTL_MS_MAX;
use crate::malformed::Malformed;
use crate::parse::Parser;
use crate::sse::{Event, with_data};
use crate::versions::Era;

/// The answer to a `tools/list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListReply {
    /// A JSON-RPC error, as it came.
    Error {
        /// To be passed on: a body, or an event's raw bytes.
        bytes: Vec<u8>,
    },
    /// A page of tools.
    Tools(Page),
}

/// A page of tools without the hidden ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// To be passed on: a body, or an event's raw bytes.
    pub bytes: Vec<u8>,
    /// The `tools` array as the upstream wrote it.
    pub offered: String,
    /// The `tools` array that the client gets.
    pub shown: String,
    /// Entries in the upstream's array, those that cannot be judged included.
    pub offered_count: u32,
    /// Entries in the client's array.
    pub shown_count: u32,
    /// The shown names, in order.
    pub shown_names: Vec<String>,
    /// Whether there is another page. An empty page with another one after it is legal.
    pub has_next: bool,
}

/// Why a list is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// The event has no data.
    #[error("an event without data")]
    NoData,
    /// The message is not the answer to this request.
    #[error("not the answer to this `tools/list`")]
    NotTheAnswer,
    /// The result is no object, or has no array `tools`, or a key that could be mistaken.
    #[error("a result without a readable array `tools`")]
    NotAList,
    /// Not one JSON document of the strict profile.
    #[error("a `tools/list` result that cannot be read in exactly one way: {0}")]
    Unreadable(Malformed),
}

/// Filters the JSON body that answers the `tools/list` request `id`.
pub fn filter(
    parser: &mut Parser,
    body: Vec<u8>,
    id: &Id,
    era: Era,
    shows: impl FnMut(&str) -> bool,
) -> Result<ListReply, ListError> {
    let json = parser.parse(body).map_err(ListError::Unreadable)?;
    let root = json.root();
    refuse_mistakable(root, ENVELOPE, ListError::NotTheAnswer)?;
    if root.get("method").is_some() || !root.get("jsonrpc").is_some_and(|v| v.is_str("2.0")) {
        return Err(ListError::NotTheAnswer);
    }
    let answered = root.get("id").filter(|id| !id.is_null());
    let is_ours = answered.is_some_and(|value| Id::of_value(value).as_ref() == Some(id));
    match (root.get("result"), root.get("error")) {
        (Some(result), None) if is_ours => page(&json, result, era, shows).map(ListReply::Tools),
        (None, Some(_)) if is_ours || answered.is_none() => Ok(ListReply::Error {
            bytes: json.into_text().into_bytes(),
        }),
        (Some(_) | None, Some(_) | None) => Err(ListError::NotTheAnswer),
    }
}

/// Filters the event that answers the `tools/list` request `id`; its other fields stay.
pub fn filter_event(
    parser: &mut Parser,
    event: &Event,
    id: &Id,
    era: Era,
    shows: impl FnMut(&str) -> bool,
) -> Result<ListReply, ListError> {
    let data = event.data.clone().ok_or(ListError::NoData)?;
    Ok(match filter(parser, data, id, era, shows)? {
        ListReply::Error { .. } => ListReply::Error {
            bytes: event.raw.clone(),
        },
        ListReply::Tools(page) => ListReply::Tools(Page {
            bytes: with_data(event, &page.bytes),
            ..page
        }),
    })
}

fn page(
    json: &Json,
    result: Value<'_>,
    era: Era,
    mut shows: impl FnMut(&str) -> bool,
) -> Result<Page, ListError> {
    refuse_mistakable(result, RESULT, ListError::NotAList)?;
    let tools = result
        .get("tools")
        .filter(|tools| tools.kind() == Kind::Array);
    let tools = tools.ok_or(ListError::NotAList)?;
    let names: Vec<Option<String>> = tools.elements().map(name).collect();
    let mut times: HashMap<&str, u32> = HashMap::new();
    for name in names.iter().flatten() {
        *times.entry(name).or_default() += 1;
    }
    let mut shown = String::from("[");
    let mut shown_names = Vec::new();
    for (tool, name) in tools.elements().zip(&names) {
        let Some(name) = name else { continue };
        if times.get(name.as_str()) != Some(&1) || !shows(name) {
            continue;
        }
        if !shown_names.is_empty() {
            shown.push(',');
        }
        shown.push_str(tool.raw());
        shown_names.push(name.clone());
    }
    shown.push(']');
    let mut edits = caching_edits(result, era);
    edits.push((tools.span(), shown.clone()));
    Ok(Page {
        bytes: splice(json.text(), edits).into_bytes(),
        offered: tools.raw().to_owned(),
        shown,
        offered_count: u32::try_from(names.len()).unwrap_or(u32::MAX),
        shown_count: u32::try_from(shown_names.len()).unwrap_or(u32::MAX),
        shown_names,
        has_next: result
            .get("nextCursor")
            .is_some_and(|cursor| !cursor.is_null()),
    })
}

/// The name that every client reads in this entry.
fn name(tool: Value<'_>) -> Option<String> {
    if tool
        .entries()
        .any(|(key, _)| mistaken_for(&key.as_str().unwrap_or_default(), &["name"]).is_some())
    {
        return None;
    }
    tool.get("name")?.as_str().map(|name| name.into_owned())
}

/// A list is filtered for one grant, so no cache may give it to another, and it is not to outlive
/// a change of policy for long.
fn caching_edits(result: Value<'_>, era: Era) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    match (result.get("cacheScope"), era) {
        (Some(scope), Era::Legacy | Era::Modern) => {
            edits.push((scope.span(), r#""private""#.to_owned()));
        }
        (None, Era::Modern) => {
            // The object has at least its `tools` after this.
            let at = result.offset() + 1;
            edits.push((at..at, r#""cacheScope":"private","#.to_owned()));
        }
        (None, Era::Legacy) => {}
    }
    if let Some(ttl) = result.get("ttlMs") {
        let capped = capped_ttl(ttl);
        if capped != ttl.raw() {
            edits.push((ttl.span(), capped));
        }
    }
    edits
}

/// Never longer than it was. What is no count of milliseconds means no caching.
fn capped_ttl(ttl: Value<'_>) -> String {
    let count = ttl.number_text().and_then(|text| text.parse::<u64>().ok());
    count.unwrap_or(0).min(LIST_TTL_MS_MAX).to_string()
}

/// The text with each span replaced. Spans do not overlap.
fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_unstable_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (span, replacement) in edits {
        out.push_str(text.get(from..span.start).unwrap_or_default());
        out.push_str(&replacement);
        from = span.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

fn refuse_mistakable(
    object: Value<'_>,
    protocol: &[&'static str],
    error: ListError,
) -> Result<(), ListError> {
    let mut keys = object
        .entries()
        .map(|(key, _)| key.as_str().unwrap_or_default());
    if object.kind() != Kind::Object || keys.any(|key| mistaken_for(&key, protocol).is_some()) {
        return Err(error);
    }
    Ok(())
}
