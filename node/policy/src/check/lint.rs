//! Warnings: what loads and means something, but perhaps not what was meant.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;

use super::fields::Checker;
use crate::finding::code;
use crate::json::{Kind, Value};

impl<'d> Checker<'d> {
    /// Looks over the document as it was written.
    pub(super) fn lint(&mut self, root: Value<'d>) {
        let Some(tools) = root.get("tools") else {
            return;
        };
        let hide = root.get("hide").into_iter().flat_map(Value::elements);
        let hidden: BTreeSet<Cow<'_, str>> = hide.filter_map(Value::as_str).collect();
        for (name, tool) in tools.entries() {
            if !tool.is_empty() && name.as_str().is_some_and(|name| hidden.contains(&name)) {
                let message = "this tool is hidden, so its rules are never reached";
                let help = "take it out of `hide` or out of `tools`";
                self.findings
                    .warning(code::WARN_UNREACHED, name, message, help);
            }
            let rules = tool.get("require").into_iter().flat_map(Value::elements);
            for rule in rules.filter(|rule| rule.kind() == Kind::Object) {
                let conditions = rule.get("conditions").into_iter().flat_map(Value::elements);
                for condition in conditions {
                    if condition.get("op").is_some_and(|op| op.is_str("regex")) {
                        self.lint_allowlist(condition);
                    }
                }
            }
        }
    }

    /// A pattern that a call must match is an allowlist: it should say all of the text.
    fn lint_allowlist(&mut self, condition: Value<'d>) {
        let Some(value) = condition.get("value") else {
            return;
        };
        let Some(pattern) = value.as_str() else {
            return;
        };
        if !(pattern.starts_with('^') || pattern.starts_with("\\A")) {
            let message = "the pattern does not begin with `^`, so anything may stand before it";
            let help = "begin it with `^` unless that is meant";
            self.findings
                .warning(code::WARN_OPEN_START, value, message, help);
        }
        if !(pattern.ends_with('$') || pattern.ends_with("\\z")) {
            let message = "the pattern does not end with `$`, so anything may follow";
            let help = "end it with `$`; for addresses `url_in` is safer, for files `path_in`";
            self.findings
                .warning(code::WARN_OPEN_END, value, message, help);
        }
        if pattern.contains(".*") || pattern.contains(".+") {
            let message = "`.*` and `.+` let anything through in their place";
            let help = "list the characters that may stand there, such as `[A-Za-z0-9_ -]*`";
            self.findings
                .warning(code::WARN_ANYTHING, value, message, help);
        }
    }
}
