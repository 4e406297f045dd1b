//! `/api/v1/audit/records`: the book's records as lines of JSON, filtered, and followed on request.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use tollbook_audit::dir::Records;
use tollbook_state::{Grant, Server};

use super::Plane;
use super::problem::Refused;
use crate::node::Node;

/// Bytes of lines that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Records that are looked at before a client is given a chance to hang up.
const CHUNK_RECORDS: usize = 16_384;
/// How long a follower waits before it looks again, news or not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    /// Name or id of a grant.
    grant: Option<String>,
    /// Name or id of a server.
    server: Option<String>,
    tool: Option<String>,
    verdict: Option<String>,
    kind: Option<String>,
    call: Option<String>,
    /// Index of the first record that is looked at.
    from: u64,
    /// Begins so many records before the newest.
    last: Option<u64>,
    /// Goes on with records as they are written.
    follow: bool,
}

/// Which records are sent: those in which every field that is asked for has one of the values.
#[derive(Debug)]
struct Filter {
    asked: Asked,
    /// Ids of the grants and servers that are meant.
    grants: Vec<String>,
    servers: Vec<String>,
}

/// A record's fields that are filtered by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields<'r> {
    #[serde(borrow)]
    k: Cow<'r, str>,
    call: Option<Cow<'r, str>>,
    grant: Option<Cow<'r, str>>,
    label: Option<Cow<'r, str>>,
    server: Option<Cow<'r, str>>,
    server_name: Option<Cow<'r, str>>,
    tool: Option<Cow<'r, str>>,
    verdict: Option<Cow<'r, str>>,
    target: Option<Cow<'r, str>>,
}

/// Reads on from where the last chunk ended.
struct Reader {
    node: Arc<Node>,
    records: Records,
    filter: Arc<Filter>,
    _permit: OwnedSemaphorePermit,
}

/// What one turn of reading gave.
struct Turn {
    lines: Vec<u8>,
    end: bool,
}

pub(super) async fn records(
    State(plane): State<Arc<Plane>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(asked) = asked.map_err(|error| Refused::Query {
        reason: error.body_text(),
    })?;
    let permit = Arc::clone(&plane.readers).try_acquire_owned();
    let permit = permit.map_err(|_| Refused::ReadersBusy)?;
    let node = Arc::clone(&plane.node);
    let (filter, size) = node.cluster.read(|book| {
        let filter = Filter::new(asked, book.grants(), book.servers());
        (filter, book.head().map_or(0, tollbook_audit::Head::size))
    });
    let last = filter.asked.last.map(|last| size.saturating_sub(last));
    let from = last.unwrap_or(filter.asked.from);
    let log = node.dir.log();
    let opened = tokio::task::spawn_blocking(move || Records::open(&log, from)).await;
    let records = opened
        .map_err(|_panicked| Refused::Internal)?
        .map_err(|error| {
            tracing::error!(%error, "the book cannot be opened for reading");
            Refused::Log
        })?;
    let reader = Reader {
        node,
        records,
        filter: Arc::new(filter),
        _permit: permit,
    };
    let chunks = stream::unfold(Some(reader), |reader| async move {
        match reader?.chunk().await {
            Ok(next) => next.map(|(bytes, reader)| (Ok(bytes), reader)),
            // The body breaks off: a reader must not take what it has for all there is.
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Body::from_stream(chunks).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

impl Reader {
    /// The next lines, and the reader unless they are the last; nothing at the end.
    async fn chunk(mut self) -> Result<Option<(Bytes, Option<Self>)>, io::Error> {
        let mut progress = self.node.cluster.applied();
        loop {
            // Before reading: what is written while we read is news.
            progress.mark_unchanged();
            let (reader, turn) = self.turn().await?;
            self = reader;
            let follow = self.filter.asked.follow;
            if !turn.lines.is_empty() {
                let rest = if turn.end && !follow {
                    None
                } else {
                    Some(self)
                };
                return Ok(Some((turn.lines.into(), rest)));
            }
            if !turn.end {
                continue;
            }
            if !follow {
                return Ok(None);
            }
            tokio::select! {
                () = self.node.stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                changed = progress.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }

    async fn turn(mut self) -> Result<(Self, Turn), io::Error> {
        let read = move || {
            let turn = read(&mut self.records, &self.filter)?;
            Ok((self, turn))
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?
    }
}

fn read(records: &mut Records, filter: &Filter) -> Result<Turn, io::Error> {
    let mut lines = Vec::new();
    for _ in 0..CHUNK_RECORDS {
        match records.next() {
            None => return Ok(Turn { lines, end: true }),
            Some(Ok((index, record))) => {
                if filter.wants(&record) {
                    push_line(index, &record, &mut lines);
                }
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the book cannot be read on");
                return Err(io::Error::other(error));
            }
        }
        if lines.len() >= CHUNK_BYTES {
            break;
        }
    }
    Ok(Turn { lines, end: false })
}

/// A record with its index before its own fields, which are byte for byte as they were hashed. A
/// seal has its index already.
fn push_line(index: u64, record: &[u8], lines: &mut Vec<u8>) {
    let has_index = serde_json::from_slice::<Fields<'_>>(record).is_ok_and(|f| f.k == "seal");
    match record.strip_prefix(b"{") {
        Some(fields) if !has_index => {
            lines.extend_from_slice(format!("{{\"index\":{index},").as_bytes());
            lines.extend_from_slice(fields);
        }
        Some(_) | None => lines.extend_from_slice(record),
    }
    lines.push(b'\n');
}

impl Filter {
    fn new<'b>(
        asked: Asked,
        grants: impl Iterator<Item = &'b Grant>,
        servers: impl Iterator<Item = &'b Server>,
    ) -> Self {
        let grants = asked.grant.as_deref().map_or_else(Vec::new, |wanted| {
            let id = |grant: &Grant| grant.id.0.iter().copied().map(char::from).collect();
            grants
                .filter(|grant| grant.label == wanted)
                .map(id)
                .collect()
        });
        let servers = asked.server.as_deref().map_or_else(Vec::new, |wanted| {
            let id = |server: &Server| Uuid::from_bytes(server.id.0).to_string();
            servers
                .filter(|server| server.name == wanted)
                .map(id)
                .collect()
        });
        Self {
            asked,
            grants,
            servers,
        }
    }

    fn wants(&self, record: &[u8]) -> bool {
        let Ok(fields) = serde_json::from_slice::<Fields<'_>>(record) else {
            return false;
        };
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        let any = |wanted: Option<&str>, ids: &[String], found: &[Option<&str>]| {
            wanted.is_none_or(|wanted| {
                found
                    .iter()
                    .flatten()
                    .any(|f| *f == wanted || ids.iter().any(|id| id == f))
            })
        };
        let Asked {
            grant,
            server,
            tool,
            verdict,
            kind,
            call,
            from: _,
            last: _,
            follow: _,
        } = &self.asked;
        let target = fields.target.as_deref();
        is(kind.as_deref(), Some(&fields.k))
            && is(tool.as_deref(), fields.tool.as_deref())
            && is(verdict.as_deref(), fields.verdict.as_deref())
            && is(call.as_deref(), fields.call.as_deref())
            && any(
                grant.as_deref(),
                &self.grants,
                &[fields.grant.as_deref(), fields.label.as_deref(), target],
            )
            && any(
                server.as_deref(),
                &self.servers,
                &[
                    fields.server.as_deref(),
                    fields.server_name.as_deref(),
                    target,
                ],
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENT: &[u8] = br#"{"v":1,"k":"intent","call":"c","t":1,"node":1,"grant":"gid",
        "label":"bot","server":"sid","server_name":"gh","tool":"x","verdict":"deny"}"#;
    const OUTCOME: &[u8] = br#"{"v":1,"k":"outcome","call":"c","t":1,"node":1,"grant":"gid"}"#;
    const ADMIN: &[u8] = br#"{"v":1,"k":"admin","t":1,"node":1,"target":"gid","name":"bot"}"#;
    const SEAL: &[u8] = br#"{"v":1,"k":"seal","t":1,"node":1,"index":9}"#;

    fn filter(asked: Asked) -> Filter {
        Filter {
            asked,
            grants: vec!["gid".to_owned()],
            servers: vec!["sid".to_owned()],
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of what is asked for")]
    fn a_record_is_wanted_when_all_that_is_asked_for_holds() {
        let some = |text: &str| Some(text.to_owned());
        let none = Asked::default;
        let cases = [
            (none(), [true, true, true]),
            (
                Asked {
                    kind: some("intent"),
                    ..none()
                },
                [true, false, false],
            ),
            (
                Asked {
                    grant: some("bot"),
                    ..none()
                },
                [true, true, true],
            ),
            (
                Asked {
                    grant: some("gid"),
                    ..none()
                },
                [true, true, true],
            ),
            (
                Asked {
                    server: some("gh"),
                    ..none()
                },
                [true, false, false],
            ),
            (
                Asked {
                    tool: some("x"),
                    ..none()
                },
                [true, false, false],
            ),
            (
                Asked {
                    tool: some("X"),
                    ..none()
                },
                [false, false, false],
            ),
            (
                Asked {
                    call: some("c"),
                    ..none()
                },
                [true, true, false],
            ),
            (
                Asked {
                    verdict: some("deny"),
                    ..none()
                },
                [true, false, false],
            ),
            (
                Asked {
                    verdict: some("allow"),
                    ..none()
                },
                [false, false, false],
            ),
            (
                Asked {
                    call: some("c"),
                    kind: some("outcome"),
                    ..none()
                },
                [false, true, false],
            ),
        ];
        for (asked, wanted) in cases {
            let shown = format!("{asked:?}");
            let filter = filter(asked);
            let found = [INTENT, OUTCOME, ADMIN].map(|record| filter.wants(record));
            assert_eq!(found, wanted, "{shown}");
        }
    }

    #[test]
    fn a_line_has_one_index_and_the_records_own_bytes() {
        let mut lines = Vec::new();
        push_line(7, OUTCOME, &mut lines);
        let text = String::from_utf8(lines).unwrap();
        let own = str::from_utf8(OUTCOME).unwrap();
        assert_eq!(
            text,
            format!("{{\"index\":7,{}\n", own.strip_prefix('{').unwrap())
        );
        let mut lines = Vec::new();
        push_line(9, SEAL, &mut lines);
        assert_eq!(lines, [SEAL, b"\n"].concat());
    }
}
