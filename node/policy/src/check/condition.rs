//! One condition: its path, its operator, and whether the one can judge the other's value.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::fields::{Checker, list, shortened};
use super::part;
use crate::constant::{Constant, Members};
use crate::finding::{Spot, code, nearest};
use crate::goregex::{GoRegexError, GoRegexErrorKind};
use crate::json::{Kind, Value};
use crate::limits;
use crate::model::{Condition, Operator, Test};
use crate::number::Reading;
use crate::path::{Path, PathFault, Step};
use crate::place::{Directories, Places};

impl<'d> Checker<'d> {
    pub(super) fn condition(&mut self, value: Value<'d>) -> Option<Condition> {
        self.conditions += 1;
        if self.conditions == limits::CONDITIONS + 1 {
            let most = limits::CONDITIONS;
            let message = format!("a policy is over its limit of {most} conditions");
            self.findings.error(code::CONDITIONS_LIMIT, value, message);
        }
        let what = "a condition";
        let [path, operator, operand] = self.fields(value, what, ["path", "op", "value"])?;
        for name in ["path", "op"] {
            if value.get(name).is_none() {
                self.missing(value, what, name);
            }
        }
        let path = path.and_then(|path| self.path(path));
        let operator = operator.and_then(|operator| self.operator(operator))?;
        let test = match operand {
            Some(operand) if self.is_exact(operand) => self.test(operator, operand),
            // Its `null` or its ambiguous number is found already.
            Some(_) => None,
            None if operator == Operator::Exists => {
                value.get("value").is_none().then_some(Test::Exists(true))
            }
            None => {
                if value.get("value").is_none() {
                    let message = format!("`{}` needs a `value`", operator.name());
                    let help = format!("add one, such as `\"value\": {}`", example(operator));
                    let code = code::VALUE_MISSING;
                    self.findings.error_with_help(code, value, message, help);
                }
                None
            }
        };
        Some(Condition {
            path: path?,
            operator,
            test: test?,
        })
    }

    /// A path. Where a key looks like a wildcard there is a warning.
    pub(super) fn path(&mut self, value: Value<'d>) -> Option<Path> {
        let text = self.text(value, "a path")?;
        if !self.within(
            text.len(),
            limits::PATH_BYTES,
            code::PATH_LIMIT,
            value,
            "a path",
        ) {
            return None;
        }
        match Path::parse(&text) {
            Ok(path) => {
                let star = |step: &Step| matches!(step, Step::Key { exact, .. } if **exact == *"*");
                if path.steps.iter().any(star) {
                    let message = "`*` is a key like any other here";
                    let help = "every element of an array is `[*]`";
                    self.findings
                        .warning(code::WARN_STAR_KEY, value, message, help);
                }
                Some(path)
            }
            Err((at, fault)) => {
                let part = part::of_path(&text, at, fault);
                let spot = Spot::within(value, &part);
                let (path, at) = (shortened(&text), part.start);
                let message = format!("`{path}` is no path: {fault} (byte {at})");
                let help = match meant(&text).filter(|_| fault == PathFault::Root) {
                    Some(meant) => format!("did you mean `{}`?", shortened(&meant)),
                    None => "paths look like `args.a.b`, `args[\"a.b\"]`, `args.items[0]`, \
                             `args.items[*].url`"
                        .into(),
                };
                self.findings
                    .error_with_help(code::PATH, spot, message, help);
                None
            }
        }
    }

    fn operator(&mut self, value: Value<'d>) -> Option<Operator> {
        let name = self.text(value, "`op`")?;
        let operator = Operator::named(&name);
        if operator.is_none() {
            let names = Operator::ALL.map(Operator::name);
            let message = format!("there is no operator `{}`", shortened(&name));
            let help = match nearest(&name, &names).or_else(|| operator_alias(&name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the operators are {}", list(&names)),
            };
            self.findings
                .error_with_help(code::OPERATOR, value, message, help);
        }
        operator
    }

    /// Whether the value has no `null`, and no number that servers read differently.
    fn is_exact(&mut self, value: Value<'d>) -> bool {
        match value.kind() {
            Kind::Null => {
                self.null(value);
                false
            }
            Kind::Bool | Kind::String => true,
            Kind::Number => {
                let text = value.number_text().unwrap_or_default();
                let exact = Reading::of(text).exact().is_some();
                // One that no server can hold is found already.
                if !exact && !self.findings.has(code::PROFILE, value) {
                    let message = "servers read this number differently".into();
                    let help = "integers go to ±(2^53-1), other numbers have 17 digits at most";
                    self.findings
                        .error_with_help(code::NUMBER, value, message, help.into());
                }
                exact
            }
            // The depth of a policy bounds the recursion; every fault is to be found.
            Kind::Array => value
                .elements()
                .fold(true, |ok, element| self.is_exact(element) & ok),
            Kind::Object => value
                .entries()
                .fold(true, |ok, (_, member)| self.is_exact(member) & ok),
        }
    }

    fn test(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        let not = |test: Option<Test>| test.map(|test| Test::Not(Box::new(test)));
        match operator {
            Operator::Eq => self.equals(operator, value),
            Operator::Neq => not(self.equals(operator, value)),
            Operator::Gt => self.bound(operator, value).map(Test::Greater),
            Operator::Lte => not(self.bound(operator, value).map(Test::Greater)),
            Operator::Lt => self.bound(operator, value).map(Test::Less),
            Operator::Gte => not(self.bound(operator, value).map(Test::Less)),
            Operator::In => self.member(operator, value),
            Operator::NotIn => not(self.member(operator, value)),
            Operator::Exists => {
                let wanted = value.as_bool();
                if wanted.is_none() {
                    self.cannot_judge(operator, value, "`true` or `false`");
                }
                wanted.map(Test::Exists)
            }
            Operator::Contains => self.contains(operator, value),
            Operator::NotContains => not(self.contains(operator, value)),
            Operator::Regex => self.regex(operator, value),
            Operator::NotRegex => not(self.regex(operator, value)),
            Operator::PathIn => self.directories(operator, value),
            Operator::UrlIn => self.places(operator, value),
        }
    }

    fn cannot_judge(&mut self, operator: Operator, value: Value<'d>, wanted: &str) {
        let (name, given) = (operator.name(), value.kind().name());
        let message = format!("the `value` of `{name}` must be {wanted}, not {given}");
        self.findings.error(code::VALUE, value, message);
    }

    fn equals(&mut self, _: Operator, value: Value<'d>) -> Option<Test> {
        if value.kind() == Kind::Array && self.list(value, "a `value`").is_empty() {
            return None;
        }
        Constant::of(value).map(Test::Equals)
    }

    fn bound(&mut self, operator: Operator, value: Value<'d>) -> Option<crate::number::Decimal> {
        let Some(text) = value.number_text() else {
            self.cannot_judge(operator, value, "a number");
            return None;
        };
        Reading::of(text).exact()
    }

    /// The elements of a list that is not empty.
    fn operand_list(&mut self, operator: Operator, value: Value<'d>, of: &str) -> Vec<Value<'d>> {
        if value.kind() != Kind::Array {
            self.cannot_judge(operator, value, of);
            return Vec::new();
        }
        self.list(value, "a `value`")
    }

    fn member(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        let mut all_scalar = true;
        let list = "a list of strings, numbers or booleans";
        let elements = self.operand_list(operator, value, list);
        for element in &elements {
            if matches!(element.kind(), Kind::Array | Kind::Object) {
                self.cannot_judge(operator, *element, list);
                all_scalar = false;
            }
        }
        (all_scalar && !elements.is_empty()).then(|| Test::MemberOf(Members::of(value)))
    }

    fn contains(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        if matches!(value.kind(), Kind::Array | Kind::Object) {
            self.cannot_judge(operator, value, "a string, number or boolean");
            return None;
        }
        Constant::of(value).map(Test::Contains)
    }

    fn regex(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        let Some(pattern) = value.as_str() else {
            self.cannot_judge(operator, value, "a pattern in a string");
            return None;
        };
        if let Some(regex) = self.patterns.get(&*pattern) {
            return Some(Test::Matches(Arc::clone(regex)));
        }
        // Found already: what comes after is not compiled, so that the time is bounded too.
        if self.regexes.made_bytes() > limits::AUTOMATON_BYTES {
            return None;
        }
        let compiled = self.regexes.compile(&pattern);
        let (bytes, limit) = (self.regexes.made_bytes(), limits::AUTOMATON_BYTES);
        let what = "what it takes to compile the policy's patterns, all together,";
        let within = self.within(bytes, limit, code::AUTOMATON_LIMIT, value, what);
        match compiled {
            Ok(regex) => {
                let regex = Arc::new(regex);
                self.patterns
                    .insert(pattern.into_owned(), Arc::clone(&regex));
                within.then_some(Test::Matches(regex))
            }
            Err(error) => {
                self.no_pattern(value, &pattern, &error);
                None
            }
        }
    }

    fn no_pattern(&mut self, value: Value<'d>, pattern: &str, error: &GoRegexError) {
        let code = if matches!(error.kind, GoRegexErrorKind::PatternTooLong { .. }) {
            code::PATTERN_LIMIT
        } else if matches!(error.kind, GoRegexErrorKind::SizeLimit { .. }) {
            code::AUTOMATON_LIMIT
        } else if matches!(error.kind, GoRegexErrorKind::DepthLimit { .. }) {
            code::PATTERN_DEPTH_LIMIT
        } else {
            let part = part::of_pattern(pattern, error);
            let given = pattern.get(part.clone()).unwrap_or_default();
            // Go calls a look-behind a name that is none.
            let kind = match part::is_look(given) {
                true => GoRegexErrorKind::GroupSyntax,
                false => error.kind,
            };
            let message = format!("no pattern, at `{}`: {kind}", shortened(given));
            let spot = Spot::within(value, &part);
            match part::help_for(given) {
                Some(help) => {
                    self.findings
                        .error_with_help(code::PATTERN, spot, message, help.into());
                }
                None => self.findings.error(code::PATTERN, spot, message),
            }
            return;
        };
        self.findings.error(code, value, error.kind.to_string());
    }

    fn places(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        let texts = self.operand_texts(operator, value, "a list of addresses")?;
        match Places::of(texts.iter().map(|(_, text)| &**text)) {
            Ok(places) => Some(Test::UrlIn(places)),
            Err((index, fault)) => {
                let at = texts.get(index).map_or(value, |(place, _)| *place);
                self.findings
                    .error(code::VALUE, at, format!("no address to list: {fault}"));
                None
            }
        }
    }

    fn directories(&mut self, operator: Operator, value: Value<'d>) -> Option<Test> {
        let texts = self.operand_texts(operator, value, "a list of directories")?;
        match Directories::of(texts.iter().map(|(_, text)| &**text)) {
            Ok(directories) => Some(Test::PathIn(directories)),
            Err((index, fault)) => {
                let at = texts.get(index).map_or(value, |(place, _)| *place);
                self.findings
                    .error(code::VALUE, at, format!("no directory to list: {fault}"));
                None
            }
        }
    }

    fn operand_texts(
        &mut self,
        operator: Operator,
        value: Value<'d>,
        of: &str,
    ) -> Option<Vec<(Value<'d>, Box<str>)>> {
        let elements = self.operand_list(operator, value, of);
        let mut texts = Vec::new();
        for element in &elements {
            match element.as_str() {
                Some(text) => texts.push((*element, text.into())),
                None => self.cannot_judge(operator, *element, "a list of strings"),
            }
        }
        (!texts.is_empty() && texts.len() == elements.len()).then_some(texts)
    }
}

/// The path that a text without `args` was probably meant to be.
fn meant(text: &str) -> Option<String> {
    let roots = [
        "$.",
        "arguments",
        "params.arguments",
        "input",
        "Args",
        "ARGS",
    ];
    let rest = roots.iter().find_map(|root| text.strip_prefix(root));
    let rest = rest.unwrap_or(text);
    let path = match rest.starts_with(['.', '[']) || rest.is_empty() {
        true => format!("args{rest}"),
        false => format!("args.{rest}"),
    };
    Path::parse(&path).ok().map(|_| path)
}

/// A `value` that the operator can judge, for a message.
fn example(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq | Operator::Neq | Operator::Contains | Operator::NotContains => "\"text\"",
        Operator::Exists => "true",
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => "100",
        Operator::In | Operator::NotIn => "[\"one\", \"two\"]",
        Operator::Regex | Operator::NotRegex => "\"^[a-z]+$\"",
        Operator::UrlIn => "[\"https://docs.example.com/\"]",
        Operator::PathIn => "[\"/srv/data\"]",
    }
}

/// The operator that other policy languages call so.
fn operator_alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "=" | "==" | "===" | "equals" | "equal" | "is" => "eq",
        "!=" | "<>" | "ne" | "not_eq" | "not_equals" | "is_not" => "neq",
        "<" | "less_than" | "below" => "lt",
        "<=" | "le" | "at_most" | "max" => "lte",
        ">" | "greater_than" | "above" | "over" => "gt",
        ">=" | "ge" | "at_least" | "min" => "gte",
        "one_of" | "any_of" | "enum" | "allowed" => "in",
        "nin" | "notin" | "none_of" | "not in" => "not_in",
        "matches" | "match" | "like" | "pattern" | "glob" | "=~" | "starts_with" | "ends_with" => {
            "regex"
        }
        "not_matches" | "not_match" | "!~" => "not_regex",
        "includes" | "has" | "substring" => "contains",
        "present" | "defined" | "exist" => "exists",
        "url" | "host_in" | "domain_in" => "url_in",
        "path" | "path_within" | "under" | "dir_in" => "path_in",
        _ => return None,
    })
}
