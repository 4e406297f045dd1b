//! What an upstream's message is, as far as a gate must know before it passes the bytes on.
//!
//! Strict where a second reading would change what happens, lenient elsewhere. The envelope, the
//! top level of a result and its requests for input may have no key twice and none that could be
//! mistaken for a protocol key: otherwise an upstream could show us a notification and the client
//! a result, or a request for input that is denied. What is deeper in a result decides nothing
//! here: duplicate keys, numbers out of range and lone surrogates in it are the client's to read,
//! and the bytes pass as they are. A message that is refused here is [`Seen::Rubbish`] and must
//! not be passed on.
//!
//! Some clients take the id `"1"` or `1.0` for `1`. So on the stream that answers a call, a
//! response that does not have exactly the call's id must not be passed on either.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fold::{ENVELOPE, RESULT, mistaken_for};
use crate::id::Id;
use crate::limits::{INPUT_REQUESTS_MAX, REPLY_MEMBERS_MAX};

/// What an upstream's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Wants no answer.
    Notification {
        /// Which.
        method: String,
    },
    /// A request to the client, which the policy decides.
    Request {
        /// To which the answer goes, from the client or from us.
        id: Id,
        /// For what.
        method: String,
    },
    /// The answer to a request.
    Response(Answer),
    /// Nothing that can be read in one way.
    Rubbish(Rubbish),
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whom it is for. None: an error whose id is `null` or absent, for a request that the
    /// upstream could not read.
    pub id: Option<Id>,
    /// How it went.
    pub class: Class,
}

/// How a request went, by its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// A result that wants something of the client first (modern): the methods it asks for. Each
    /// is for the policy to decide, as a request from the server is.
    InputRequired {
        /// In the result's order.
        methods: Vec<String>,
    },
    /// A result.
    Ok,
    /// A JSON-RPC error.
    RpcError,
    /// A tool's result with `isError`.
    ToolError,
}

/// Why a message cannot be read in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rubbish {
    /// More members or requests than are looked at.
    Crowded,
    /// A key twice where it matters.
    DuplicateKey,
    /// A key that could be mistaken for this one of the protocol.
    MistakableKey(&'static str),
    /// JSON, but no message, or two at once.
    NotAMessage,
    /// No JSON object.
    NotAnObject,
}

impl Answer {
    /// Whether it is the answer to the request with this id.
    pub fn is_for(&self, id: &Id) -> bool {
        self.id.as_ref() == Some(id)
    }
}

/// Looks at one message of an upstream's: a JSON body, or the data of an event.
pub fn inspect(message: &[u8]) -> Seen {
    read(message).unwrap_or_else(Seen::Rubbish)
}

fn read(message: &[u8]) -> Result<Seen, Rubbish> {
    let text = std::str::from_utf8(message).map_err(|_| Rubbish::NotAnObject)?;
    let envelope = Members::read(text, ENVELOPE)?;
    if envelope
        .get("jsonrpc")
        .is_some_and(|version| version.get() != r#""2.0""#)
    {
        return Err(Rubbish::NotAMessage);
    }
    let id = envelope.get("id");
    let (result, error) = (envelope.get("result"), envelope.get("error"));
    if let Some(method) = envelope.get("method") {
        let method = string(method).ok_or(Rubbish::NotAMessage)?;
        return match (id.map(Id::of_raw), result.or(error)) {
            (None, None) => Ok(Seen::Notification { method }),
            (Some(Some(id)), None) => Ok(Seen::Request { id, method }),
            (_, Some(_)) | (Some(None), None) => Err(Rubbish::NotAMessage),
        };
    }
    // Peers of JSON-RPC 1.0 send both members, one of them null.
    let is_null = |value: &&RawValue| value.get() == "null";
    let (result, error) = match (result, error) {
        (Some(result), Some(error)) if is_null(&error) => (Some(result), None),
        (Some(result), Some(error)) if is_null(&result) => (None, Some(error)),
        both => both,
    };
    let class = match (result, error) {
        (Some(result), None) => classify(result)?,
        (None, Some(_)) => Class::RpcError,
        (Some(_), Some(_)) | (None, None) => return Err(Rubbish::NotAMessage),
    };
    let id = match id.filter(|id| !is_null(id)) {
        Some(id) => Some(Id::of_raw(id).ok_or(Rubbish::NotAMessage)?),
        None if class == Class::RpcError => None,
        None => return Err(Rubbish::NotAMessage),
    };
    Ok(Seen::Response(Answer { id, class }))
}

fn classify(result: &RawValue) -> Result<Class, Rubbish> {
    if !result.get().starts_with('{') {
        return Ok(Class::Ok);
    }
    let members = Members::read(result.get(), RESULT)?;
    let wants_input = members
        .get("resultType")
        .and_then(string)
        .is_some_and(|kind| kind == "input_required");
    if let Some(requests) = members.get("inputRequests") {
        return Ok(Class::InputRequired {
            methods: input_methods(requests)?,
        });
    }
    Ok(if wants_input {
        Class::InputRequired {
            methods: Vec::new(),
        }
    } else if members
        .get("isError")
        .is_some_and(|value| value.get() == "true")
    {
        Class::ToolError
    } else {
        Class::Ok
    })
}

fn input_methods(requests: &RawValue) -> Result<Vec<String>, Rubbish> {
    let requests = Members::read(requests.get(), &[])?;
    if requests.0.len() > INPUT_REQUESTS_MAX {
        return Err(Rubbish::Crowded);
    }
    requests
        .0
        .iter()
        .map(|(_, request)| {
            let request = Members::read(request.get(), ENVELOPE)?;
            request
                .get("method")
                .and_then(string)
                .ok_or(Rubbish::NotAMessage)
        })
        .collect()
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The members of one object, each value as it is written.
struct Members<'m>(Vec<(String, &'m RawValue)>);

impl<'m> Members<'m> {
    /// Reads an object with no key twice, and none that could be mistaken for one of `protocol`.
    fn read(text: &'m str, protocol: &[&'static str]) -> Result<Self, Rubbish> {
        let members: Self = serde_json::from_str(text).map_err(|_| Rubbish::NotAnObject)?;
        if members.0.len() > REPLY_MEMBERS_MAX {
            return Err(Rubbish::Crowded);
        }
        let mut keys: Vec<&str> = members.0.iter().map(|(key, _)| key.as_str()).collect();
        if let Some(ours) = keys.iter().find_map(|key| mistaken_for(key, protocol)) {
            return Err(Rubbish::MistakableKey(ours));
        }
        keys.sort_unstable();
        if keys.array_windows().any(|[one, two]| one == two) {
            return Err(Rubbish::DuplicateKey);
        }
        Ok(members)
    }

    fn get(&self, key: &str) -> Option<&'m RawValue> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| *value)
    }
}

impl<'de: 'm, 'm> Deserialize<'de> for Members<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    // One more than is allowed is enough to be refused for.
                    if members.len() <= REPLY_MEMBERS_MAX {
                        members.push(member);
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object).map(Members)
    }
}
