//! Policies in force, compiled, and the verdict on a call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tollbook_policy::{MethodVerdict, Permit, Policy, Verdict};
use tollbook_state::command::{
    Cause, Charge, Decision, LimitRow, PolicyDigest, PolicyPut, RuleRow, Scope, Window,
};

use crate::call::Call;
use crate::grants::Grant;
use crate::node::Node;
use crate::refusal::Refusal;

/// Compiled policies that are kept: all that can be in force, and as many that were.
const COMPILED_MAX: usize = 2 * tollbook_state::limits::POLICIES;

/// The verdict on one call, and what it was decided under. Made by [`Policies::decide`] alone.
#[derive(Debug)]
pub(crate) struct Decided {
    verdict: Judged,
    policy: Option<PolicyDigest>,
}

#[derive(Debug)]
enum Judged {
    Allow(Permit),
    Deny(Cause),
}

/// Every policy that this node has compiled, by digest.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    compiled: Mutex<BTreeMap<PolicyDigest, Arc<Policy>>>,
    /// One at a time: a crowd of calls under a new policy waits for one compilation of it.
    compiling: tokio::sync::Mutex<()>,
    /// A policy in force does not compile here: its calls are denied, and the node is not ready.
    broken: AtomicBool,
}

impl Decided {
    /// The digest of the policy that decided; none: the grant has no policy.
    pub(crate) fn policy(&self) -> Option<PolicyDigest> {
        self.policy
    }

    /// The verdict in the state's words, which takes the permit.
    pub(crate) fn into_decision(self) -> Decision {
        match self.verdict {
            Judged::Allow(permit) => {
                let charge = |charge: &tollbook_policy::Charge| Charge {
                    limit: charge.limit,
                    amount: charge.amount,
                };
                Decision::Allow {
                    charges: permit.charges().iter().map(charge).collect(),
                }
            }
            Judged::Deny(cause) => Decision::Deny(cause),
        }
    }
}

impl Policies {
    /// Decides one call under the policy that the grant's policy name means now.
    pub(crate) async fn decide(
        &self,
        node: &Node,
        grant: &Grant,
        call: &Call,
    ) -> Result<Decided, Refusal> {
        let Some((digest, policy)) = self.in_force(node, grant).await? else {
            return Ok(Decided {
                verdict: Judged::Deny(Cause::NoPolicy),
                policy: None,
            });
        };
        let verdict = match call.tool() {
            Some(tool) => match policy.decide(&tool.name, tool.arguments) {
                Verdict::Allow(permit) => Judged::Allow(permit),
                Verdict::Deny(denied) => Judged::Deny(cause(denied)),
            },
            None => match policy.method(call.method()) {
                MethodVerdict::Allow(permit) => Judged::Allow(permit),
                MethodVerdict::Deny(denied) => Judged::Deny(cause(denied)),
                // What passes by itself does not come here: this is a notification's name on a
                // request, which nobody has a use for.
                MethodVerdict::Call | MethodVerdict::Drop | MethodVerdict::Pass => {
                    Judged::Deny(Cause::Method { listed: false })
                }
            },
        };
        Ok(Decided {
            verdict,
            policy: Some(digest),
        })
    }

    /// The compiled policy that the grant's policy name means now. Compiling takes milliseconds,
    /// so it happens off the runtime's threads; the call waits.
    pub(crate) async fn in_force(
        &self,
        node: &Node,
        grant: &Grant,
    ) -> Result<Option<(PolicyDigest, Arc<Policy>)>, Refusal> {
        let Some(name) = &grant.policy else {
            return Ok(None);
        };
        let found = node.cluster.read(|state| {
            state.policy(name).map(|policy| {
                let compiled = self.compiled(&policy.digest);
                (policy.digest, compiled.ok_or_else(|| policy.text.clone()))
            })
        });
        match found {
            None => Ok(None),
            Some((digest, Ok(policy))) => Ok(Some((digest, policy))),
            Some((digest, Err(text))) => Ok(Some((digest, self.compile(digest, text).await?))),
        }
    }

    /// Compiles what has been applied since, so that the next call need not wait.
    pub(crate) async fn compile_all(&self, node: &Node) -> Result<(), Refusal> {
        let missing: Vec<_> = node.cluster.read(|state| {
            let policies = state.policies();
            let missing = policies.filter(|policy| self.compiled(&policy.digest).is_none());
            missing
                .map(|policy| (policy.digest, policy.text.clone()))
                .collect()
        });
        let mut all = Ok(());
        for (digest, text) in missing {
            all = all.and(self.compile(digest, text).await.map(drop));
        }
        // All that is in force compiles, also after one that did not was replaced.
        self.broken.store(all.is_err(), Ordering::Relaxed);
        all
    }

    /// Whether a policy in force does not compile on this node.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn compiled(&self, digest: &PolicyDigest) -> Option<Arc<Policy>> {
        let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.get(digest).map(Arc::clone)
    }

    async fn compile(&self, digest: PolicyDigest, text: String) -> Result<Arc<Policy>, Refusal> {
        let _alone = self.compiling.lock().await;
        if let Some(policy) = self.compiled(&digest) {
            return Ok(policy);
        }
        let checked = tokio::task::spawn_blocking(move || tollbook_policy::load(&text)).await;
        // It was checked before it was proposed. A node that cannot compile it all the same
        // denies, and says so.
        let policy = match checked {
            Ok(Ok(policy)) if policy.digest() == digest.0 => Arc::new(policy),
            Ok(Ok(_) | Err(_)) | Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                tracing::error!("a policy in force does not compile on this node; its calls wait");
                return Err(Refusal::Stale);
            }
        };
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(digest, Arc::clone(&policy));
        Ok(policy)
    }
}

fn cause(cause: tollbook_policy::Cause) -> Cause {
    match cause {
        tollbook_policy::Cause::Default => Cause::Default,
        tollbook_policy::Cause::Hidden => Cause::Hidden,
        tollbook_policy::Cause::Method { listed } => Cause::Method { listed },
        tollbook_policy::Cause::NoPolicy => Cause::NoPolicy,
        tollbook_policy::Cause::Rule {
            rule,
            indeterminate,
        } => Cause::Rule {
            rule,
            indeterminate,
        },
    }
}

/// A policy's tables in the state's words: all that the state knows of it.
fn tables(policy: &Policy) -> (Vec<RuleRow>, Vec<LimitRow>) {
    let rule = |row: &tollbook_policy::RuleRow| RuleRow {
        rule: row.rule.to_string(),
        pointer: row.pointer.to_string(),
        message: row.message.as_ref().map(ToString::to_string),
    };
    let limit = |row: &tollbook_policy::LimitRow| LimitRow {
        rule: row.rule.to_string(),
        pointer: row.pointer.to_string(),
        message: row.message.as_ref().map(ToString::to_string),
        counter: row.counter.to_string(),
        window: match row.window {
            tollbook_policy::Window::Minute => Window::Minute,
            tollbook_policy::Window::Hour => Window::Hour,
            tollbook_policy::Window::Day => Window::Day,
            tollbook_policy::Window::Month => Window::Month,
        },
        scope: match row.scope {
            tollbook_policy::Scope::Grant => Scope::Grant,
            tollbook_policy::Scope::Policy => Scope::Policy,
            tollbook_policy::Scope::Server => Scope::Server,
            tollbook_policy::Scope::Owner => Scope::Owner,
        },
        max: row.max,
    };
    (
        policy.rules().iter().map(rule).collect(),
        policy.limits().iter().map(limit).collect(),
    )
}

/// The command that applies a checked policy.
pub fn policy_put(actor: &str, name: &str, text: &str, policy: &Policy) -> PolicyPut {
    let (rules, limits) = tables(policy);
    PolicyPut {
        actor: actor.to_owned(),
        name: name.to_owned(),
        digest: PolicyDigest(policy.digest()),
        text: text.to_owned(),
        rules,
        limits,
        expected: None,
    }
}
