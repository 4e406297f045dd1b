//! Decides calls by a policy. Knows no file, socket, clock or thread, and no JSON library.
//!
//! [`check`] reads a policy's text once, into a [`Policy`] in which nothing can be wrong.
//! [`Policy::decide`] is pure: the same policy and call give the same [`Verdict`] on every node.
#![no_std]

extern crate alloc;

mod check;
mod code;
mod compile;
mod constant;
mod counters;
mod decide;
mod diff;
mod digest;
mod explain;
mod finding;
mod fold;
pub mod goregex;
pub mod json;
mod layout;
pub mod limits;
mod methods;
mod model;
mod number;
mod path;
mod place;
mod trace;

pub use self::check::{check, load};
pub use self::compile::{LimitRow, Policy, RuleRow};
pub use self::counters::Counters;
pub use self::decide::{Cause, Charge, Permit, Truth, Verdict};
pub use self::diff::{Change, Direction, diff};
pub use self::explain::{Explanation, LimitCause, without_policy};
pub use self::finding::{Finding, Severity, codes, pointer_of};
pub use self::fold::{folded, folds_to};
pub use self::layout::layout;
pub use self::methods::{MethodVerdict, method_without_policy};
pub use self::model::{AuditLevel, DefaultAction, Scope, Window};
pub use self::trace::{
    Elements, Seen, Step, Trace, TracedCondition, TracedLimit, TracedRule, TracedStep, Why,
};
