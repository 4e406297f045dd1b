//! From a checked document to tables that a call is decided by.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::finding::{Finding, push_token};
use crate::methods::{MethodVerdict, Methods};
use crate::model::{
    Amount, Audit, AuditLevel, Condition, DefaultAction, Document, Limit, Rule, Scope, Tool, Window,
};

/// A policy, ready to decide. Made by [`crate::check`] only.
#[derive(Debug)]
pub struct Policy {
    pub(crate) default: DefaultAction,
    /// Sorted by [`by_length`].
    hide: Box<[Box<str>]>,
    /// Sorted by [`by_length`] of the names.
    tools: Box<[(Box<str>, Plan)]>,
    /// The rules of `*`, which hold for every tool.
    pub(crate) star: Plan,
    methods: Methods,
    audit: Audit,
    rules: Vec<RuleRow>,
    limits: Vec<LimitRow>,
    digest: [u8; 32],
    warnings: Vec<Finding>,
}

/// One place of the policy that can deny, as plain data. A denial names it by its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// What people read: `/tools/x/deny_if/args.amount-gt`.
    pub rule: String,
    /// RFC 6901, into the document.
    pub pointer: String,
    /// The rule's `on_deny`.
    pub message: Option<String>,
}

/// One limit, as plain data. A charge names it by its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// What people read: `/tools/x/limits/posts`.
    pub rule: String,
    /// RFC 6901, into the document.
    pub pointer: String,
    /// The limit's `on_deny`.
    pub message: Option<String>,
    /// The counter's name.
    pub counter: String,
    /// When it begins anew.
    pub window: Window,
    /// Whose calls share it.
    pub scope: Scope,
    /// What it may never pass.
    pub max: u64,
}

/// What one tool's calls must meet.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Row of the tool's `deny`.
    pub(crate) deny: Option<u32>,
    pub(crate) only: Option<OnlyPlan>,
    pub(crate) require: Box<[RulePlan]>,
    pub(crate) deny_if: Box<[RulePlan]>,
    pub(crate) limits: Box<[LimitPlan]>,
}

#[derive(Debug)]
pub(crate) struct OnlyPlan {
    pub(crate) row: u32,
    pub(crate) keys: Vec<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct RulePlan {
    /// Row of the first condition; the others follow it.
    pub(crate) row: u32,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug)]
pub(crate) struct LimitPlan {
    pub(crate) row: u32,
    pub(crate) amount: Amount,
}

impl Policy {
    /// Digest of the document's canonical form: the same for texts that differ only in the order
    /// of keys, in white space, or in how a string or number is spelt; else another.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every place that can deny, but for limits. The same rows for the same digest.
    pub fn rules(&self) -> &[RuleRow] {
        &self.rules
    }

    /// Every limit. The same rows for the same digest.
    pub fn limits(&self) -> &[LimitRow] {
        &self.limits
    }

    /// What someone should look at, though it loads.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// What happens to tools and methods that nothing names.
    pub fn default_action(&self) -> DefaultAction {
        self.default
    }

    /// The verdict on a client's message other than a `tools/call`, request or notification.
    pub fn method(&self, name: &str) -> MethodVerdict {
        self.methods.of_client(name, self.default)
    }

    /// The verdict on a request from the upstream to the client.
    pub fn server_request(&self, name: &str) -> MethodVerdict {
        self.methods.of_server(name)
    }

    /// What the log keeps of the arguments of a tool's calls.
    pub fn audit_level(&self, tool: &str) -> AuditLevel {
        let at = self
            .audit
            .tools
            .binary_search_by(|(name, _)| (**name).cmp(tool));
        let own = at.ok().and_then(|at| self.audit.tools.get(at));
        own.map_or(self.audit.level, |(_, level)| *level)
    }

    /// Paths of arguments whose values may stand in the log, as written.
    pub fn audit_clear(&self) -> impl Iterator<Item = &str> {
        self.audit.clear.iter().map(|path| &*path.text)
    }

    pub(crate) fn hides(&self, tool: &str) -> bool {
        self.hide
            .binary_search_by(|name| by_length(name, tool))
            .is_ok()
    }

    pub(crate) fn plan(&self, tool: &str) -> Option<&Plan> {
        let at = self
            .tools
            .binary_search_by(|(name, _)| by_length(name, tool))
            .ok()?;
        self.tools.get(at).map(|(_, plan)| plan)
    }
}

/// An order in which a name is looked up with few comparisons of letters.
fn by_length(one: &str, two: &str) -> Ordering {
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

/// Makes the tables. Rows follow the names of tools, not their order in the text: texts of one
/// digest have the same rows, and records name rows by digest.
pub(crate) fn compile(document: Document, digest: [u8; 32], warnings: Vec<Finding>) -> Policy {
    let Document {
        default,
        mut hide,
        mut tools,
        methods,
        mut audit,
    } = document;
    hide.sort_unstable_by(|one, two| by_length(one, two));
    tools.sort_unstable_by(|one, two| one.name.cmp(&two.name));
    audit
        .tools
        .sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
    let mut rows = Rows::default();
    let mut plans = Vec::with_capacity(tools.len());
    let mut star = Plan::default();
    for tool in tools {
        let name = tool.name.clone();
        let plan = rows.tool(tool);
        if *name == *"*" {
            star = plan;
        } else {
            plans.push((name, plan));
        }
    }
    plans.sort_unstable_by(|(one, _), (two, _)| by_length(one, two));
    Policy {
        default,
        hide: hide.into(),
        tools: plans.into(),
        star,
        methods,
        audit,
        rules: rows.rules,
        limits: rows.limits,
        digest,
        warnings,
    }
}

#[derive(Default)]
struct Rows {
    rules: Vec<RuleRow>,
    limits: Vec<LimitRow>,
}

impl Rows {
    fn tool(&mut self, tool: Tool) -> Plan {
        let Tool {
            name,
            deny,
            only,
            require,
            deny_if,
            limits,
        } = tool;
        // People read the name as it is; RFC 6901 wants its slashes escaped.
        let shown = format!("/tools/{name}");
        let mut pointer = String::from("/tools");
        push_token(&mut pointer, &name);
        let deny = deny.map(|message| {
            let place = (format!("{shown}/deny"), format!("{pointer}/deny"));
            self.rule(place, Some(message))
        });
        let only = only.map(|keys| {
            let place = (format!("{shown}/only"), format!("{pointer}/only"));
            OnlyPlan {
                row: self.rule(place, None),
                keys,
            }
        });
        let require = self.rules(
            require,
            &format!("{shown}/require"),
            &format!("{pointer}/require"),
        );
        let deny_if = self.rules(
            deny_if,
            &format!("{shown}/deny_if"),
            &format!("{pointer}/deny_if"),
        );
        let limits = (0_usize..)
            .zip(limits)
            .map(|(index, limit)| {
                let rule = format!("{shown}/limits/{}", limit.counter);
                self.limit(limit, rule, format!("{pointer}/limits/{index}"))
            })
            .collect();
        Plan {
            deny,
            only,
            require,
            deny_if,
            limits,
        }
    }

    fn rules(&mut self, rules: Vec<Rule>, shown: &str, pointer: &str) -> Box<[RulePlan]> {
        let mut plans = Vec::with_capacity(rules.len());
        for (
            index,
            Rule {
                conditions,
                on_deny,
            },
        ) in rules.into_iter().enumerate()
        {
            let row = self.next_rule();
            for (place, condition) in conditions.iter().enumerate() {
                let rule = format!(
                    "{shown}/{}-{}",
                    condition.path.text,
                    condition.operator.name()
                );
                let pointer = format!("{pointer}/{index}/conditions/{place}");
                self.rule((rule, pointer), on_deny.clone());
            }
            plans.push(RulePlan { row, conditions });
        }
        plans.into()
    }

    /// Adds a row and says which.
    fn rule(&mut self, (rule, pointer): (String, String), message: Option<Box<str>>) -> u32 {
        let row = self.next_rule();
        self.rules.push(RuleRow {
            rule,
            pointer,
            message: message.map(String::from),
        });
        row
    }

    fn next_rule(&self) -> u32 {
        u32::try_from(self.rules.len()).expect("a policy's bytes bound its conditions")
    }

    fn limit(&mut self, limit: Limit, rule: String, pointer: String) -> LimitPlan {
        let Limit {
            counter,
            window,
            scope,
            max,
            amount,
            on_deny,
        } = limit;
        let row = u32::try_from(self.limits.len()).expect("a policy's bytes bound its limits");
        let message = on_deny.map(String::from);
        let counter = String::from(counter);
        self.limits.push(LimitRow {
            rule,
            pointer,
            message,
            counter,
            window,
            scope,
            max,
        });
        LimitPlan { row, amount }
    }
}
