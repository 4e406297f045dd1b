//! A denial in words: the same that the log says.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use crate::compile::Policy;
use crate::decide::Cause;

/// Why a call is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The pointer that people read.
    pub rule: String,
    /// RFC 6901 pointer into the policy; none where no one place in it decides.
    pub pointer: Option<String>,
    /// `amount`, `indeterminate`, `limit` or `no_policy`; none for a plain match.
    pub reason: Option<&'static str>,
    /// The policy's `on_deny`.
    pub message: Option<String>,
}

/// Why a limit denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitCause {
    /// The amount to charge could not be read.
    Amount,
    /// The amount would take the counter over its `max`.
    Spent,
}

impl Policy {
    /// Why a call of `tool` was denied.
    ///
    /// # Panics
    /// If the cause is of another policy.
    pub fn explain(&self, cause: Cause, tool: &str) -> Explanation {
        let place = |rule: &str, pointer: &str| Explanation {
            rule: rule.to_owned(),
            pointer: Some(pointer.to_owned()),
            reason: None,
            message: None,
        };
        match cause {
            Cause::Default | Cause::Method { listed: false } => place("/default", "/default"),
            // Which of the names it is, the rule says; records know no index of `hide`.
            Cause::Hidden => place(&format!("/hide/{tool}"), "/hide"),
            Cause::Method { listed: true } => place("/methods/deny", "/methods/deny"),
            Cause::NoPolicy => without_policy(),
            Cause::Rule {
                rule,
                indeterminate,
            } => {
                let row = self
                    .rules()
                    .get(rule as usize)
                    .expect("a cause names a row of its own");
                Explanation {
                    rule: row.rule.clone(),
                    pointer: Some(row.pointer.clone()),
                    reason: indeterminate.then_some("indeterminate"),
                    message: row.message.clone(),
                }
            }
        }
    }

    /// Why the limit of row `limit` denied a call.
    ///
    /// # Panics
    /// If the row is of another policy.
    pub fn explain_limit(&self, limit: u32, cause: LimitCause) -> Explanation {
        let row = self
            .limits()
            .get(limit as usize)
            .expect("a charge names a row of its own");
        Explanation {
            rule: row.rule.clone(),
            pointer: Some(row.pointer.clone()),
            reason: Some(match cause {
                LimitCause::Amount => "amount",
                LimitCause::Spent => "limit",
            }),
            message: row.message.clone(),
        }
    }
}

/// Why a grant without a policy may do nothing.
pub fn without_policy() -> Explanation {
    Explanation {
        rule: "/default".to_owned(),
        pointer: None,
        reason: Some("no_policy"),
        message: None,
    }
}
