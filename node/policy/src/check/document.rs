//! The top of a policy: everything but rules.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::fields::{Checker, shortened};
use crate::finding::{Severity, code, nearest};
use crate::json::{Kind, Value};
use crate::limits;
use crate::methods::{self, Methods, Pattern, PatternFault};
use crate::model::{Audit, AuditLevel, DefaultAction, Document, Tool};

impl<'d> Checker<'d> {
    /// The whole document. What is wrong is left out and found.
    pub(super) fn document(&mut self, root: Value<'d>) -> Document {
        let known = [
            "version",
            "default",
            "description",
            "$schema",
            "methods",
            "audit",
            "hide",
            "tools",
        ];
        let what = "a policy";
        let Some(
            [
                version,
                default,
                description,
                schema,
                methods,
                audit,
                hide,
                tools,
            ],
        ) = self.fields(root, what, known)
        else {
            return Document::default();
        };
        match version {
            Some(version) if version.is_str("1") => {}
            Some(version) => {
                let message = "`version` must be the string \"1\"".into();
                let help = "write `\"version\": \"1\"`; there is no other version".into();
                self.findings
                    .error_with_help(code::VERSION, version, message, help);
            }
            None if root.get("version").is_some() => {}
            None => self.missing(root, what, "version"),
        }
        for (text, name) in [(description, "`description`"), (schema, "`$schema`")] {
            text.and_then(|text| self.text(text, name));
        }
        let actions = [
            ("allow", DefaultAction::Allow),
            ("deny", DefaultAction::Deny),
        ];
        let default = default
            .and_then(|value| self.word(value, "`default`", code::DEFAULT, &actions))
            .unwrap_or_default();
        Document {
            default,
            hide: hide.map(|hide| self.hide(hide)).unwrap_or_default(),
            tools: tools.map(|tools| self.tools(tools)).unwrap_or_default(),
            methods: methods
                .map(|methods| self.methods(methods))
                .unwrap_or_default(),
            audit: audit.map(|audit| self.audit(audit)).unwrap_or_default(),
        }
    }

    fn hide(&mut self, value: Value<'d>) -> Vec<Box<str>> {
        let names = self.names(value, "`hide`");
        for (place, name) in &names {
            if **name == *"*" {
                let message = "`*` is no tool that could be hidden".into();
                let help = "`default: deny` hides every tool that is not listed".into();
                self.findings
                    .error_with_help(code::STAR, *place, message, help);
            }
        }
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn tools(&mut self, value: Value<'d>) -> Vec<Tool> {
        if value.kind() != Kind::Object {
            self.wrong_type(value, "`tools`", "an object of tool names and their rules");
            return Vec::new();
        }
        if value.len() > limits::TOOLS {
            let message = format!("`tools` is over its limit of {} tools", limits::TOOLS);
            self.findings.error(code::TOOLS_LIMIT, value, message);
        }
        let mut tools = Vec::new();
        let mut charged = Vec::new();
        for (key, rules) in value.entries() {
            let name = self.name(key, "a tool's name", limits::NAME_BYTES);
            let (mut tool, limits) = self.tool(rules, name.as_deref() == Some("*"));
            tool.name = name.unwrap_or_default().into();
            charged.push((tool.name.clone(), rules, limits));
            tools.push(tool);
        }
        self.charged_twice(&charged, &tools);
        tools
    }

    fn methods(&mut self, value: Value<'d>) -> Methods {
        let Some([allow, deny]) = self.fields(value, "`methods`", ["allow", "deny"]) else {
            return Methods::default();
        };
        Methods {
            allow: allow
                .map(|list| self.patterns(list, "`methods.allow`"))
                .unwrap_or_default(),
            deny: deny
                .map(|list| self.patterns(list, "`methods.deny`"))
                .unwrap_or_default(),
        }
    }

    fn patterns(&mut self, value: Value<'d>, what: &str) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for (place, name) in self.names(value, what) {
            match Pattern::parse(&name) {
                Ok(pattern) => {
                    if !pattern.is_known() {
                        let message = "no method that MCP knows has this name";
                        let full = self.findings.is_full(Severity::Warning);
                        let known = if full { Vec::new() } else { methods::known() };
                        let near = nearest(&name, &known);
                        let help = match near {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => "methods that nobody knows are denied, whatever is written \
                                     here"
                                .into(),
                        };
                        self.findings
                            .warning(code::WARN_METHOD, place, message, help);
                    }
                    patterns.push(pattern);
                }
                Err(PatternFault::Form) => {
                    let message = format!("`{}` is no method", shortened(&name));
                    let help = "write a method such as `resources/read`, or `resources/*`".into();
                    self.findings
                        .error_with_help(code::METHOD, place, message, help);
                }
                Err(PatternFault::Passes) => {
                    let message = format!(
                        "`{}` takes in what this section cannot decide",
                        shortened(&name)
                    );
                    let help = "calls of tools go by `tools` and `hide`; `initialize`, `ping`, \
                                `server/discover`, `tools/list`, `logging/setLevel` and clients' \
                                notifications always pass";
                    self.findings
                        .error_with_help(code::METHOD_PASSES, place, message, help.into());
                }
            }
        }
        patterns
    }

    fn audit(&mut self, value: Value<'d>) -> Audit {
        let known = ["level", "clear", "tools"];
        let Some([level, clear, tools]) = self.fields(value, "`audit`", known) else {
            return Audit::default();
        };
        let level = level
            .and_then(|level| self.audit_level(level))
            .unwrap_or_default();
        let clear = clear
            .map(|clear| self.list(clear, "`audit.clear`"))
            .unwrap_or_default();
        let clear = clear
            .into_iter()
            .filter_map(|path| self.path(path))
            .collect();
        let tools = tools
            .map(|tools| self.audit_tools(tools))
            .unwrap_or_default();
        Audit {
            level,
            clear,
            tools,
        }
    }

    fn audit_tools(&mut self, value: Value<'d>) -> Vec<(Box<str>, AuditLevel)> {
        if value.kind() != Kind::Object {
            self.wrong_type(value, "`audit.tools`", "an object of tool names");
            return Vec::new();
        }
        let mut tools = Vec::new();
        for (key, entry) in value.entries() {
            let name = self.name(key, "a tool's name", limits::NAME_BYTES);
            let what = "an entry of `audit.tools`";
            let Some([level]) = self.fields(entry, what, ["level"]) else {
                continue;
            };
            if level.is_none() && entry.get("level").is_none() {
                self.missing(entry, what, "level");
            }
            let level = level.and_then(|level| self.audit_level(level));
            tools.extend(name.map(Into::into).zip(level));
        }
        tools
    }

    fn audit_level(&mut self, value: Value<'d>) -> Option<AuditLevel> {
        let words = AuditLevel::ALL.map(|level| (level.name(), level));
        self.word(value, "an audit level", code::AUDIT_LEVEL, &words)
    }
}
