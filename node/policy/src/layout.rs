//! The one layout of a policy's text. It moves white space and members, and rewrites nothing:
//! strings and numbers stay as their author wrote them.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::check::check;
use crate::finding::{Finding, Severity, code};
use crate::json::{Kind, ProfileLimits, Value, parse};
use crate::limits::POLICY_BYTES;

/// Columns that a line has at most, where it can be broken.
const COLUMNS: usize = 100;
const INDENT: &str = "  ";

/// What a value is in a policy: the order of its members, and whether it may stand on one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Audit,
    AuditTool,
    AuditTools,
    Condition,
    Conditions,
    Document,
    /// Whatever a condition compares with, names, texts: its author's order.
    Free,
    Limit,
    Limits,
    Methods,
    Rule,
    Rules,
    Tool,
    Tools,
}

impl Shape {
    /// Members in the order of the documentation. Others there are none: the text was checked.
    fn order(self) -> &'static [&'static str] {
        match self {
            Self::Audit => &["level", "clear", "tools"],
            Self::AuditTool => &["level"],
            Self::Condition => &["path", "op", "value"],
            Self::Document => &[
                "$schema",
                "version",
                "description",
                "default",
                "hide",
                "tools",
                "methods",
                "audit",
            ],
            Self::Limit => &[
                "counter",
                "window",
                "scope",
                "increment",
                "increment_from",
                "max",
                "on_deny",
            ],
            Self::Methods => &["allow", "deny"],
            Self::Rule => &["conditions", "on_deny"],
            Self::Tool => &["deny", "only", "require", "deny_if", "limits"],
            Self::AuditTools
            | Self::Conditions
            | Self::Free
            | Self::Limits
            | Self::Rules
            | Self::Tools => &[],
        }
    }

    /// What the member `key` or, of an array, an element is.
    fn within(self, key: &str) -> Self {
        match (self, key) {
            (Self::Audit, "tools") => Self::AuditTools,
            (Self::AuditTools, _) => Self::AuditTool,
            (Self::Conditions, _) => Self::Condition,
            (Self::Document, "audit") => Self::Audit,
            (Self::Document, "methods") => Self::Methods,
            (Self::Document, "tools") => Self::Tools,
            (Self::Limits, _) => Self::Limit,
            (Self::Rule, "conditions") => Self::Conditions,
            (Self::Rules, _) => Self::Rule,
            (Self::Tool, "limits") => Self::Limits,
            (Self::Tool, "require" | "deny_if") => Self::Rules,
            (Self::Tools, _) => Self::Tool,
            (_, _) => Self::Free,
        }
    }

    /// Whether each of its parts has lines of its own, also where all would fit on one.
    fn is_broken(self) -> bool {
        matches!(
            self,
            Self::Document | Self::Limits | Self::Rules | Self::Tools
        )
    }
}

/// The text in its one layout, or what is wrong with it. Laying out what was laid out changes
/// nothing, and the digest stays.
///
/// # Panics
/// If a text that loads could not be read again, which would be a bug of this crate.
pub fn layout(text: &str) -> Result<String, Vec<Finding>> {
    let policy = check(text)?;
    let json = parse(text.to_owned(), &ProfileLimits::CALL)
        .expect("a policy that loads is within the bounds of a call");
    let mut laid = String::with_capacity(text.len() * 2);
    write(&mut laid, json.root(), Shape::Document, 0);
    laid.push('\n');
    if laid.len() > POLICY_BYTES {
        return Err(vec![Finding {
            code: code::DOCUMENT_BYTES,
            severity: Severity::Error,
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            pointer: String::new(),
            message: format!("laid out, it would be over its limit of {POLICY_BYTES} bytes"),
            help: Some("a policy as large as this one has to be packed tightly".into()),
        }]);
    }
    debug_assert_eq!(
        check(&laid).map(|policy| policy.digest()).ok(),
        Some(policy.digest())
    );
    Ok(laid)
}

/// The depth of a policy bounds the recursion.
fn write(out: &mut String, value: Value<'_>, shape: Shape, depth: usize) {
    // A comma may follow.
    let column = out.rsplit('\n').next().unwrap_or_default().chars().count();
    let room = COLUMNS.saturating_sub(column + 1);
    if value.is_empty() || !shape.is_broken() {
        let mut line = String::new();
        let fits = write_line(&mut line, value, shape, room);
        if fits || value.is_empty() {
            out.push_str(&line);
            return;
        }
    }
    let (open, close) = brackets(value);
    out.push(open);
    let part = |out: &mut String, key: Option<Value<'_>>, value: Value<'_>, is_first: bool| {
        out.push_str(if is_first { "\n" } else { ",\n" });
        (0..=depth).for_each(|_| out.push_str(INDENT));
        if let Some(key) = key {
            out.push_str(key.raw());
            out.push_str(": ");
        }
        let name = key.and_then(Value::as_str).unwrap_or_default();
        write(out, value, shape.within(&name), depth + 1);
    };
    for (index, (key, value)) in members(value, shape).into_iter().enumerate() {
        part(out, Some(key), value, index == 0);
    }
    for (index, element) in value.elements().enumerate() {
        part(out, None, element, index == 0);
    }
    out.push('\n');
    (0..depth).for_each(|_| out.push_str(INDENT));
    out.push(close);
}

/// On one line; false once it is longer than `room`. Scalars and empty ones are written whole.
fn write_line(line: &mut String, value: Value<'_>, shape: Shape, room: usize) -> bool {
    if value.is_empty() {
        let empty = match value.kind() {
            Kind::Array => "[]",
            Kind::Object => "{}",
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => value.raw(),
        };
        line.push_str(empty);
        return line.chars().count() <= room;
    }
    let (open, close) = brackets(value);
    let space = if value.kind() == Kind::Object {
        " "
    } else {
        ""
    };
    line.push(open);
    line.push_str(space);
    let part = |line: &mut String, key: Option<Value<'_>>, value: Value<'_>, is_first: bool| {
        if !is_first {
            line.push_str(", ");
        }
        if let Some(key) = key {
            line.push_str(key.raw());
            line.push_str(": ");
        }
        let name = key.and_then(Value::as_str).unwrap_or_default();
        let shape = shape.within(&name);
        // What is broken breaks what it stands in.
        (value.is_empty() || !shape.is_broken()) && write_line(line, value, shape, room)
    };
    let mut members = members(value, shape).into_iter().enumerate();
    let fits = members.all(|(index, (key, value))| part(line, Some(key), value, index == 0));
    let mut elements = value.elements().enumerate();
    let fits = fits && elements.all(|(index, element)| part(line, None, element, index == 0));
    line.push_str(space);
    line.push(close);
    fits && line.chars().count() <= room
}

/// An object's members in the order of its shape.
fn members<'d>(value: Value<'d>, shape: Shape) -> Vec<(Value<'d>, Value<'d>)> {
    let mut members: Vec<_> = value.entries().collect();
    let order = shape.order();
    // Stable: where nothing is known of a member's place, its author's order stays.
    members.sort_by_key(|(key, _)| {
        let place = order.iter().position(|name| key.is_str(name));
        place.unwrap_or(order.len())
    });
    members
}

/// Of an array or object.
fn brackets(value: Value<'_>) -> (char, char) {
    match value.kind() {
        Kind::Array => ('[', ']'),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => ('{', '}'),
    }
}
