//! A policy that was checked: nothing in it can be wrong any more.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::constant::{Constant, Members};
use crate::goregex::GoRegex;
use crate::methods::Methods;
use crate::number::Decimal;
use crate::path::Path;
use crate::place::{Directories, Places};

/// What happens to a tool or method that nothing names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultAction {
    /// It passes.
    Allow,
    /// It is denied.
    #[default]
    Deny,
}

/// The whole document.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) default: DefaultAction,
    pub(crate) hide: Vec<Box<str>>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) methods: Methods,
    pub(crate) audit: Audit,
}

/// One entry of `tools`.
#[derive(Debug, Default)]
pub(crate) struct Tool {
    pub(crate) name: Box<str>,
    /// Its message.
    pub(crate) deny: Option<Box<str>>,
    pub(crate) only: Option<Vec<Box<str>>>,
    pub(crate) require: Vec<Rule>,
    pub(crate) deny_if: Vec<Rule>,
    pub(crate) limits: Vec<Limit>,
}

/// One rule of `require` or `deny_if`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) on_deny: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) path: Path,
    pub(crate) operator: Operator,
    pub(crate) test: Test,
}

/// An operator by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Contains,
    Eq,
    Exists,
    Gt,
    Gte,
    In,
    Lt,
    Lte,
    Neq,
    NotContains,
    NotIn,
    NotRegex,
    PathIn,
    Regex,
    UrlIn,
}

impl Operator {
    pub(crate) const ALL: [Self; 15] = [
        Self::Eq,
        Self::Neq,
        Self::Lt,
        Self::Lte,
        Self::Gt,
        Self::Gte,
        Self::In,
        Self::NotIn,
        Self::Exists,
        Self::Regex,
        Self::NotRegex,
        Self::Contains,
        Self::NotContains,
        Self::UrlIn,
        Self::PathIn,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Eq => "eq",
            Self::Exists => "exists",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Neq => "neq",
            Self::NotContains => "not_contains",
            Self::NotIn => "not_in",
            Self::NotRegex => "not_regex",
            Self::PathIn => "path_in",
            Self::Regex => "regex",
            Self::UrlIn => "url_in",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.name() == name)
    }
}

/// What a condition asks of the value that it reads.
#[derive(Debug)]
pub(crate) enum Test {
    /// Substring or element.
    Contains(Constant),
    Equals(Constant),
    /// Present, or absent if false.
    Exists(bool),
    Greater(Decimal),
    Less(Decimal),
    Matches(Arc<GoRegex>),
    MemberOf(Members),
    /// True when the test is false, and the other way round; indeterminate stays so.
    Not(Box<Self>),
    PathIn(Directories),
    UrlIn(Places),
}

#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) counter: Box<str>,
    pub(crate) window: Window,
    pub(crate) scope: Scope,
    pub(crate) max: u64,
    pub(crate) amount: Amount,
    pub(crate) on_deny: Option<Box<str>>,
}

/// What a call is charged.
#[derive(Debug)]
pub(crate) enum Amount {
    Fixed(u64),
    /// The whole number at this path, which has no `[*]`.
    From(Path),
}

/// The stretch of the calendar, in UTC, after which a counter begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// A minute of the clock.
    Minute,
    /// An hour of the clock.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

impl Window {
    pub(crate) const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Whose calls share a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One grant's, over all its tokens.
    Grant,
    /// All grants' of the policy, by its name.
    Policy,
    /// All grants' of the server.
    Server,
    /// All grants' of the person they belong to.
    Owner,
}

impl Scope {
    pub(crate) const ALL: [Self; 4] = [Self::Grant, Self::Policy, Self::Server, Self::Owner];

    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Policy => "policy",
            Self::Server => "server",
            Self::Owner => "owner",
        }
    }
}

/// What the log keeps of a call's arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditLevel {
    /// Only the names of arguments.
    Keys,
    /// A salted commitment to each argument.
    #[default]
    Commit,
    /// The values, encrypted to the auditor's key.
    Sealed,
}

impl AuditLevel {
    pub(crate) const ALL: [Self; 3] = [Self::Keys, Self::Commit, Self::Sealed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Commit => "commit",
            Self::Sealed => "sealed",
        }
    }
}

/// The section `audit`.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) level: AuditLevel,
    /// Paths whose values may stand in the log.
    pub(crate) clear: Vec<Path>,
    /// Sorted by tool.
    pub(crate) tools: Vec<(Box<str>, AuditLevel)>,
}
