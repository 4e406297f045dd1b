//! One message of a client: a request, a notification or a response.

use std::borrow::Cow;

use tollbook_policy::json::{Json, Kind, Value};

use crate::fold::{ENVELOPE, META, META_CLIENT_INFO, META_PROTOCOL_VERSION, PARAMS, mistaken_for};
use crate::id::{self, Id, refilled};
use crate::limits::{ARGUMENT_KEY_BYTES, ARGUMENT_KEYS_MAX, CLIENT_LABEL_BYTES, Limits};
use crate::malformed::{Malformed, MalformedKind, Refused};
use crate::methods::{NOTIFICATIONS_PREFIX, TOOLS_CALL, is_request_name};
use crate::parse::Parser;

/// Reads messages. One a thread.
#[derive(Debug)]
pub struct Reader {
    parser: Parser,
    limits: Limits,
    spare: Spare,
}

/// Memory of messages that are done with.
#[derive(Debug, Default)]
struct Spare {
    id: id::Spare,
    method: String,
}

impl Reader {
    /// A reader that refuses what exceeds `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            parser: Parser::new(limits.json),
            limits,
            spare: Spare::default(),
        }
    }

    /// Reads the one message that `body` is.
    pub fn read(&mut self, body: Vec<u8>) -> Result<Message, Refused> {
        let json = self.parser.parse(body)?;
        Message::of_json(json, &self.limits, &mut self.spare)
    }

    /// Gives back the exact bytes that were read. The next message is read in the memory of this
    /// one: a reader that gets all of them back allocates nothing once it is warm.
    pub fn recycle(&mut self, message: Message) -> Vec<u8> {
        let Message { json, head } = message;
        let (id, method) = match head {
            Head::Notification { method } => (None, Some(method)),
            Head::Request { id, method } => (Some(id), Some(method)),
            Head::Response { id } => (Some(id), None),
        };
        if let Some(id) = id {
            id.recycle(&mut self.spare.id);
        }
        if let Some(method) = method {
            self.spare.method = method;
        }
        self.parser.recycle(json).into_bytes()
    }
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// Wants no answer.
    Notification {
        /// Which.
        method: String,
    },
    /// Wants an answer to its id.
    Request {
        /// Who asks.
        id: Id,
        /// For what.
        method: String,
    },
    /// Answers a request of the server's.
    Response {
        /// Of that request.
        id: Id,
    },
}

/// A message that can be read in exactly one way, and its exact bytes.
///
/// Made by [`Reader::read`] only, so that what holds of one holds of all: `jsonrpc` is `2.0`; no
/// key of the envelope, of `params` or of `_meta` could be mistaken for one of the protocol's;
/// `params` and `_meta` are objects where they are there; no known request lacks its id, and no
/// notification has one; a `tools/call` has a name and, at most, an object of arguments. Of what
/// is in the arguments only the profile of the parser is known. Names are exact: no
/// normalisation, so a look-alike of a listed tool is another tool.
#[derive(Debug)]
pub struct Message {
    json: Json,
    head: Head,
}

/// The parts of a `tools/call` that are judged.
#[derive(Clone, Debug)]
pub struct ToolCall<'m> {
    /// Exact, without escapes; never empty.
    pub name: Cow<'m, str>,
    /// An object, or absent.
    pub arguments: Option<Value<'m>>,
}

/// Top-level argument keys for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgumentKeys {
    /// In the order of the call.
    pub named: Vec<String>,
    /// How many are not named: too many, or too long.
    pub more: u32,
}

impl Message {
    fn of_json(json: Json, limits: &Limits, spare: &mut Spare) -> Result<Self, Refused> {
        let root = json.root();
        match root.kind() {
            Kind::Object => {}
            Kind::Array => return Err(MalformedKind::Batch.at(root.offset()).into()),
            kind @ (Kind::Null | Kind::Bool | Kind::Number | Kind::String) => {
                return Err(MalformedKind::MessageKind(kind).at(root.offset()).into());
            }
        }
        let id = root
            .get("id")
            .map(|id| read_id(id, limits, &mut spare.id))
            .transpose()?;
        let head = match (read_shape(root, id.is_some(), limits, spare), id) {
            (Ok(Shape::Response), Some(id)) => Head::Response { id },
            (Ok(Shape::Named(method)), Some(id)) => Head::Request { id, method },
            (Ok(Shape::Named(method)), None) => Head::Notification { method },
            (Ok(Shape::Response), None) => {
                return Err(MalformedKind::MixedMessage.at(root.offset()).into());
            }
            (Err(malformed), id) => return Err(Refused { malformed, id }),
        };
        Ok(Self { json, head })
    }

    /// What it is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.head {
            Head::Notification { method } | Head::Request { method, .. } => Some(method),
            Head::Response { .. } => None,
        }
    }

    /// The id of a request or response.
    pub fn id(&self) -> Option<&Id> {
        match &self.head {
            Head::Request { id, .. } | Head::Response { id } => Some(id),
            Head::Notification { .. } => None,
        }
    }

    /// The document.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.json.text().len()
    }

    /// The exact bytes that were read.
    pub fn into_body(self) -> Vec<u8> {
        self.json.into_text().into_bytes()
    }

    /// `params`: an object, or absent.
    pub fn params(&self) -> Option<Value<'_>> {
        self.json.root().get("params")
    }

    /// `params._meta`: an object, or absent.
    pub fn meta(&self) -> Option<Value<'_>> {
        self.params()?.get("_meta")
    }

    /// Tool and arguments, if this is a `tools/call`.
    pub fn tool_call(&self) -> Option<ToolCall<'_>> {
        if !matches!(&self.head, Head::Request { method, .. } if method == TOOLS_CALL) {
            return None;
        }
        let params = self.params()?;
        Some(ToolCall {
            name: params.get("name")?.as_str()?,
            arguments: params.get("arguments"),
        })
    }

    /// Top-level keys of a tool call's arguments.
    pub fn argument_keys(&self) -> ArgumentKeys {
        let mut keys = ArgumentKeys::default();
        let arguments = self.tool_call().and_then(|call| call.arguments);
        for (key, _) in arguments.into_iter().flat_map(Value::entries) {
            match key.as_str() {
                Some(name)
                    if name.len() <= ARGUMENT_KEY_BYTES && keys.named.len() < ARGUMENT_KEYS_MAX =>
                {
                    keys.named.push(name.into_owned());
                }
                Some(_) | None => keys.more = keys.more.saturating_add(1),
            }
        }
        keys
    }

    /// `_meta`'s protocol version, if it is there and is a string.
    pub fn meta_version(&self) -> Option<Cow<'_, str>> {
        self.meta()?.get(META_PROTOCOL_VERSION)?.as_str()
    }

    /// The version that a legacy `initialize` asks for.
    pub fn initialize_version(&self) -> Option<Cow<'_, str>> {
        if self.method() != Some("initialize") {
            return None;
        }
        self.params()?.get("protocolVersion")?.as_str()
    }

    /// What the client calls itself, `name/version`: a label for the log, never believed.
    pub fn client_label(&self) -> Option<String> {
        let of_meta = || self.meta()?.get(META_CLIENT_INFO);
        let of_initialize = || {
            let params = self
                .params()
                .filter(|_| self.method() == Some("initialize"))?;
            params.get("clientInfo")
        };
        let info = of_meta().or_else(of_initialize)?;
        let name = info.get("name")?.as_str()?;
        let label = match info.get("version").and_then(Value::as_str) {
            Some(version) => format!("{name}/{version}"),
            None => name.into_owned(),
        };
        let mut shown = String::new();
        for c in label.chars().map(|c| if c.is_control() { '?' } else { c }) {
            if shown.len() + c.len_utf8() > CLIENT_LABEL_BYTES {
                break;
            }
            shown.push(c);
        }
        Some(shown)
    }

    /// The progress token as it is written, if there is one.
    pub fn progress_token(&self) -> Option<&str> {
        let token = self.meta()?.get("progressToken")?;
        matches!(token.kind(), Kind::String | Kind::Number).then(|| token.raw())
    }

    /// W3C trace parent, if `_meta` has one that is well formed.
    pub fn traceparent(&self) -> Option<&str> {
        self.meta()?
            .get("traceparent")?
            .as_plain_str()
            .filter(|text| is_traceparent(text))
    }
}

/// `null` is no id, and not the absence of one either.
fn read_id(value: Value<'_>, limits: &Limits, spare: &mut id::Spare) -> Result<Id, Malformed> {
    let limit = limits.id_bytes;
    if value.raw().len() > limit {
        return Err(MalformedKind::IdTooLong { limit }.at(value.offset()));
    }
    Id::of_value_in(value, spare).ok_or_else(|| MalformedKind::IdKind.at(value.offset()))
}

enum Shape {
    /// A request or notification of this method.
    Named(String),
    Response,
}

fn read_shape(
    root: Value<'_>,
    has_id: bool,
    limits: &Limits,
    spare: &mut Spare,
) -> Result<Shape, Malformed> {
    let wanted = ["jsonrpc", "method", "params", "result", "error"];
    let [version, method, params, result, error] = members(root, ENVELOPE, wanted)?;
    if !version.is_some_and(|version| version.is_str("2.0")) {
        let at = version.unwrap_or(root).offset();
        return Err(MalformedKind::JsonRpcVersion.at(at));
    }
    let mixed = MalformedKind::MixedMessage.at(root.offset());
    let Some(method) = method else {
        return match (result, error) {
            (Some(_), None) => Ok(Shape::Response),
            (None, Some(error)) if error.kind() == Kind::Object => Ok(Shape::Response),
            (None, Some(error)) => Err(MalformedKind::ResponseShape.at(error.offset())),
            (Some(_), Some(_)) | (None, None) => Err(mixed),
        };
    };
    if result.is_some() || error.is_some() {
        return Err(mixed);
    }
    let name = read_method(method, has_id, limits, spare)?;
    let params = params.map(read_params).transpose()?;
    if name == TOOLS_CALL {
        let params = params.ok_or_else(|| MalformedKind::ToolName.at(root.offset()))?;
        check_call(&params, limits)?;
    }
    Ok(Shape::Named(name))
}

fn read_method(
    method: Value<'_>,
    has_id: bool,
    limits: &Limits,
    spare: &mut Spare,
) -> Result<String, Malformed> {
    let refuse = |kind: MalformedKind| Err(kind.at(method.offset()));
    let Some(name) = method.as_str().filter(|name| !name.is_empty()) else {
        return refuse(MalformedKind::MethodKind);
    };
    let limit = limits.method_bytes;
    if name.len() > limit {
        return refuse(MalformedKind::MethodTooLong { limit });
    }
    // A reader that goes by the name alone would take one for the other.
    if !has_id && is_request_name(&name) {
        return refuse(MalformedKind::RequestWithoutId);
    }
    if has_id && name.starts_with(NOTIFICATIONS_PREFIX) {
        return refuse(MalformedKind::NotificationWithId);
    }
    Ok(refilled(&mut spare.method, &name))
}

/// What a tool call needs of `params`.
struct Params<'m> {
    offset: usize,
    name: Option<Value<'m>>,
    arguments: Option<Value<'m>>,
}

fn read_params(params: Value<'_>) -> Result<Params<'_>, Malformed> {
    if params.kind() != Kind::Object {
        return Err(MalformedKind::ParamsKind(params.kind()).at(params.offset()));
    }
    let [name, arguments, meta] = members(params, PARAMS, ["name", "arguments", "_meta"])?;
    if let Some(meta) = meta {
        if meta.kind() != Kind::Object {
            return Err(MalformedKind::MetaKind(meta.kind()).at(meta.offset()));
        }
        let [] = members(meta, META, [])?;
    }
    Ok(Params {
        offset: params.offset(),
        name,
        arguments,
    })
}

fn check_call(params: &Params<'_>, limits: &Limits) -> Result<(), Malformed> {
    let Some(name) = params.name else {
        return Err(MalformedKind::ToolName.at(params.offset));
    };
    let limit = limits.name_bytes;
    match name.as_str().map(|text| text.len()) {
        None | Some(0) => return Err(MalformedKind::ToolName.at(name.offset())),
        Some(len) if len > limit => {
            return Err(MalformedKind::NameTooLong { limit }.at(name.offset()));
        }
        Some(_) => {}
    }
    match params.arguments {
        Some(arguments) if arguments.kind() != Kind::Object => {
            Err(MalformedKind::ArgumentsKind(arguments.kind()).at(arguments.offset()))
        }
        Some(_) | None => Ok(()),
    }
}

/// The members of these names, in one pass that refuses keys which could be mistaken for one of
/// the protocol's.
fn members<'m, const N: usize>(
    object: Value<'m>,
    protocol: &[&'static str],
    wanted: [&str; N],
) -> Result<[Option<Value<'m>>; N], Malformed> {
    let mut found = [None; N];
    for (key, value) in object.entries() {
        let name = key.as_str().unwrap_or_default();
        let slot = found
            .iter_mut()
            .zip(wanted)
            .find(|(_, wanted)| *wanted == name);
        if let Some((slot, _)) = slot {
            *slot = Some(value);
        } else if let Some(ours) = mistaken_for(&name, protocol) {
            return Err(MalformedKind::MistakableKey(ours).at(key.offset()));
        }
    }
    Ok(found)
}

/// `version-traceid-parentid-flags` in lower-case hex, the ids not all zero.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').take(5).collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return false;
    };
    hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && nonzero(trace)
        && hex(parent, 16)
        && nonzero(parent)
        && hex(flags, 2)
}
