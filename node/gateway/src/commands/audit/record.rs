//! A record as one line for people.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

/// What is shown of a record. Whatever else it holds, `--output jsonl` has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'r> {
    #[serde(borrow)]
    k: Cow<'r, str>,
    index: u64,
    t: u64,
    call: Option<Cow<'r, str>>,
    label: Option<Cow<'r, str>>,
    grant: Option<Cow<'r, str>>,
    server_name: Option<Cow<'r, str>>,
    method: Option<Cow<'r, str>>,
    tool: Option<Cow<'r, str>>,
    verdict: Option<Cow<'r, str>>,
    rule: Option<Cow<'r, str>>,
    status: Option<Cow<'r, str>>,
    cause: Option<Cow<'r, str>>,
    actor: Option<Cow<'r, str>>,
    action: Option<Cow<'r, str>>,
    name: Option<Cow<'r, str>>,
    event: Option<Cow<'r, str>>,
    source: Option<Cow<'r, str>>,
    reason: Option<Cow<'r, str>>,
    origin: Option<Cow<'r, str>>,
    count: Option<u64>,
    offered: Option<u64>,
    shown: Option<u64>,
}

/// Index, time, kind, and what tells this record from others of its kind.
pub(super) fn row(line: &[u8]) -> String {
    let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else {
        // A newer node's record: shown as it is rather than not at all.
        return String::from_utf8_lossy(line).into_owned();
    };
    let micros = i64::try_from(record.t).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(micros)
        .map_or_else(|_| record.t.to_string(), |time| format!("{time:.6}"));
    let list = record
        .offered
        .zip(record.shown)
        .map(|(offered, shown)| format!("{shown}/{offered}"));
    let count = record.count.map(|count| format!("×{count}"));
    // Tools before methods: what `tools/call` calls is the news.
    let what = record.tool.as_ref().or(record.method.as_ref());
    let words = [
        record.call.as_deref(),
        record.label.as_deref().or(record.grant.as_deref()),
        record.server_name.as_deref(),
        what.map(|what| &**what),
        record.verdict.as_deref(),
        record.rule.as_deref(),
        record.status.as_deref(),
        record.cause.as_deref(),
        record.actor.as_deref(),
        record.action.as_deref(),
        record.name.as_deref(),
        record.event.as_deref(),
        record.source.as_deref(),
        record.reason.as_deref(),
        record.origin.as_deref(),
        list.as_deref(),
        count.as_deref(),
    ];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    format!(
        "{:>7}  {time}  {:<9}  {}",
        record.index,
        record.k,
        words.join("  ")
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_with_what_matters() {
        let denied = br#"{"index":7,"v":1,"k":"intent","call":"c1","t":1700000000000000,"node":1,
            "gs":3,"grant":"g","label":"ci-bot","client":"x","server":"s","server_name":"gh",
            "method":"tools/call","tool":"refund","verdict":"deny","rule":"/default"}"#;
        let shown = "      7  2023-11-14T22:13:20.000000Z  intent     \
                     c1  ci-bot  gh  refund  deny  /default";
        assert_eq!(row(denied), shown);
        let list =
            br#"{"index":8,"v":1,"k":"list","t":0,"node":1,"grant":"g","offered":9,"shown":4}"#;
        assert_eq!(
            row(list),
            "      8  1970-01-01T00:00:00.000000Z  list       g  4/9"
        );
    }

    #[test]
    fn what_is_no_record_is_shown_as_it_is() {
        assert_eq!(row(b"not json"), "not json");
    }
}
