//! All that one decision says, in a form that can be compared.

use tollbook_policy::json::Value;
use tollbook_policy::{Charge, Explanation, Policy, Verdict};

/// What a policy says of one call.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed, at this charge.
    Allow(Vec<Charge>),
    /// Denied, and all that the log says of it.
    Deny(Explanation),
}

impl Outcome {
    /// Decides one call.
    pub fn of(policy: &Policy, tool: &str, arguments: Option<Value<'_>>) -> Self {
        match policy.decide(tool, arguments) {
            Verdict::Allow(permit) => Self::Allow(permit.charges().to_vec()),
            Verdict::Deny(cause) => Self::Deny(policy.explain(cause, tool)),
        }
    }
}
