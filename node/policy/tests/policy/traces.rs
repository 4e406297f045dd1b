//! A trace tells of the decision that is made, and of nothing else.

use proptest::prelude::{ProptestConfig, prop, proptest};

use tollbook_policy::json::{Kind, Value};
use tollbook_policy::{
    Counters, Explanation, LimitCause, Policy, Seen, Step, Trace, TracedCondition, TracedStep,
    Truth, Why,
};

use crate::common::{document, load, run};
use crate::strategies::{call, policy};

/// What denies first by what a trace shows alone: rule and reason.
fn first_denial(trace: &Trace<'_, '_>, tool: &str) -> Option<(String, Option<&'static str>)> {
    for step in &trace.steps {
        if !step.denies {
            continue;
        }
        return Some(match step.step {
            // A tool named `*` is hidden by nothing: `hide` cannot name it.
            Step::Hide => (format!("/hide/{tool}"), None),
            Step::Default => ("/default".to_owned(), None),
            Step::Deny => (format!("/tools/{tool}/deny"), None),
            Step::Only => (format!("/tools/{tool}/only"), None),
            Step::Require => {
                let conditions = step.rules.iter().flat_map(|rule| &rule.conditions);
                let mut unmet = conditions.filter(|one| one.truth != Truth::True);
                (unmet.next().expect("one is unmet").row.rule.clone(), None)
            }
            Step::DenyIf => first_match(step),
            Step::Limits => {
                let mut spent = step.limits.iter().filter(|limit| limit.denies.is_some());
                let limit = spent.next().expect("one denies");
                let reason = match limit.denies.expect("it denies") {
                    LimitCause::Amount => "amount",
                    LimitCause::Spent => "limit",
                };
                (limit.row.rule.clone(), Some(reason))
            }
        });
    }
    None
}

fn first_match(step: &TracedStep<'_, '_>) -> (String, Option<&'static str>) {
    let rule = step.rules.iter().find(|rule| rule.denies).expect("one");
    let doubtful = |one: &&TracedCondition<'_, '_>| one.truth == Truth::Indeterminate;
    match rule.conditions.iter().find(doubtful) {
        Some(one) => (one.row.rule.clone(), Some("indeterminate")),
        None => (rule.conditions[0].row.rule.clone(), None),
    }
}

/// The places that are marked as deciding.
fn marked(trace: &Trace<'_, '_>) -> Vec<String> {
    let mut marked = Vec::new();
    for step in trace.steps.iter().filter(|step| step.decides) {
        marked.push(step.step.name().to_owned());
    }
    for step in &trace.steps {
        for rule in step.rules.iter().filter(|rule| rule.decides) {
            assert!(rule.denies && step.decides);
            let conditions = rule.conditions.iter().filter(|one| one.decides);
            marked.extend(conditions.map(|one| one.row.pointer.clone()));
        }
        let limits = step.limits.iter().filter(|limit| limit.decides);
        marked.extend(limits.map(|limit| limit.row.pointer.clone()));
    }
    marked
}

fn hold(policy: &Policy, counters: &mut Counters, tool: &str, args: Option<Value<'_>>) {
    let before = counters.clone();
    let trace = policy.trace(tool, args, &before);
    let denied = run(policy, counters, tool, args);
    assert_eq!(trace.denied, denied, "{tool} {:?}", args.map(Value::raw));
    let shown = denied
        .as_ref()
        .map(|denied| (denied.rule.clone(), denied.reason));
    assert_eq!(
        first_denial(&trace, tool),
        shown,
        "{tool} {:?}",
        args.map(Value::raw)
    );
    let marks = marked(&trace);
    match denied {
        None => assert_eq!(marks, Vec::<String>::new()),
        Some(Explanation { pointer, .. }) => {
            let pointer = pointer.expect("each denial of a policy has a place");
            let is_row = trace.steps.iter().any(|step| {
                step.decides && matches!(step.step, Step::Require | Step::DenyIf | Step::Limits)
            });
            assert_eq!(marks.len(), if is_row { 2 } else { 1 }, "{marks:?}");
            assert!(!is_row || marks[1] == pointer, "{marks:?} {pointer}");
        }
    }
    for condition in trace
        .steps
        .iter()
        .flat_map(|step| &step.rules)
        .flat_map(|rule| &rule.conditions)
    {
        consistent(condition, args);
    }
}

/// What is said of one condition does not contradict itself.
fn consistent(condition: &TracedCondition<'_, '_>, args: Option<Value<'_>>) {
    assert_eq!(
        condition.why.is_some(),
        condition.truth == Truth::Indeterminate
    );
    assert_eq!(condition.elements.is_some(), condition.path.contains("[*]"));
    match (condition.seen, condition.why) {
        (Seen::Indeterminate, why) => {
            assert!(matches!(
                why,
                Some(Why::KeyFolds | Why::NotArray | Why::NotObject)
            ));
        }
        (Seen::Absent | Seen::NoElements, why) => assert_eq!(why, None),
        (Seen::Value(value), Some(why)) => {
            assert!(!matches!(
                why,
                Why::KeyFolds | Why::NotArray | Why::NotObject
            ));
            assert!(value.kind() != Kind::Null);
        }
        (Seen::Value(_), None) => {}
    }
    let deciding = condition
        .elements
        .as_ref()
        .and_then(|all| all.deciding.as_ref());
    let Some((place, Seen::Value(value))) = deciding.map(|place| (place, condition.seen)) else {
        return;
    };
    // The place that it names holds the very value that it shows.
    let found = place
        .replace(['[', ']', '"'], ".")
        .split('.')
        .skip(1)
        .filter(|step| !step.is_empty())
        .try_fold(args.expect("a value stands somewhere"), |here, step| {
            here.get(step).or_else(|| here.element(step.parse().ok()?))
        });
    assert_eq!(found.map(Value::offset), Some(value.offset()), "{place}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn a_trace_tells_what_is_decided(
        text in policy(),
        calls in prop::collection::vec(call(), 8),
    ) {
        let policy = load(&text);
        let mut counters = Counters::new();
        for (tool, args) in calls {
            let args = args.map(|args| document(&args));
            hold(&policy, &mut counters, &tool, args.as_ref().map(|args| args.root()));
        }
    }
}

fn condition_of(path: &str, op: &str, value: &str, args: &str) -> (Truth, Option<Why>, String) {
    let text = format!(
        r#"{{"version":"1","tools":{{"t":{{"deny_if":[{{"conditions":
        [{{"path":{path:?},"op":"{op}","value":{value}}}]}}]}}}}}}"#
    );
    let (policy, args) = (load(&text), document(args));
    let trace = policy.trace("t", Some(args.root()), &Counters::new());
    let condition = &trace.steps[5].rules[0].conditions[0];
    let deciding = condition
        .elements
        .as_ref()
        .and_then(|all| all.deciding.clone());
    (condition.truth, condition.why, deciding.unwrap_or_default())
}

#[test]
fn why_something_is_indeterminate_is_named() {
    for (path, op, value, args, why) in [
        ("args.a", "eq", "1", r#"{"A":1}"#, Why::KeyFolds),
        ("args.a.b", "eq", "1", r#"{"a":1}"#, Why::NotObject),
        ("args.a[0]", "eq", "1", r#"{"a":{}}"#, Why::NotArray),
        ("args.a[*]", "eq", "1", r#"{"a":"x"}"#, Why::NotArray),
        ("args.a", "eq", "1", r#"{"a":"1"}"#, Why::WrongType),
        ("args.a", "lt", "1", r#"{"a":"1"}"#, Why::WrongType),
        (
            "args.a",
            "lt",
            "1",
            r#"{"a":9007199254740993}"#,
            Why::AmbiguousNumber,
        ),
        (
            "args.a",
            "not_in",
            "[1]",
            r#"{"a":1e16}"#,
            Why::AmbiguousNumber,
        ),
        ("args.a", "in", "[\"x\"]", r#"{"a":1}"#, Why::WrongType),
        (
            "args.a",
            "eq",
            "[1]",
            r#"{"a":[1e16]}"#,
            Why::AmbiguousNumber,
        ),
        (
            "args.a",
            "contains",
            "1",
            r#"{"a":[1e16]}"#,
            Why::AmbiguousNumber,
        ),
        ("args.a", "contains", "\"x\"", r#"{"a":{}}"#, Why::WrongType),
        ("args.a", "regex", "\"x\"", r#"{"a":7}"#, Why::WrongType),
        (
            "args.a",
            "url_in",
            "[\"https://a/\"]",
            r#"{"a":7}"#,
            Why::WrongType,
        ),
        (
            "args.l[*].a",
            "eq",
            "1",
            r#"{"l":[{"a":2},{"a":2,"A":1}]}"#,
            Why::KeyFolds,
        ),
    ] {
        let (truth, found, _) = condition_of(path, op, value, args);
        assert_eq!(
            (truth, found),
            (Truth::Indeterminate, Some(why)),
            "{path} {op} {args}"
        );
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat((1 << 20) + 1));
    let (_, why, _) = condition_of("args.a", "regex", "\"y\"", &long);
    assert_eq!(why, Some(Why::TextBytes));
}

#[test]
fn the_element_that_decides_is_named_by_its_own_path() {
    for (args, truth, deciding) in [
        (
            r#"{"l":[{"a b":2},{"a b":1},{"a b":1}]}"#,
            Truth::True,
            "args.l[1][\"a b\"]",
        ),
        (
            r#"{"l":[{"a b":2},{"a b":"1"}]}"#,
            Truth::Indeterminate,
            "args.l[1][\"a b\"]",
        ),
        (
            r#"{"l":[{"a b":2},7]}"#,
            Truth::Indeterminate,
            "args.l[1][\"a b\"]",
        ),
        (r#"{"l":[{"a b":2}]}"#, Truth::False, ""),
        (r#"{"l":[]}"#, Truth::False, ""),
        (r#"{}"#, Truth::False, ""),
        (r#"{"l":"x"}"#, Truth::Indeterminate, "args.l[*]"),
    ] {
        let (found, _, place) = condition_of("args.l[*][\"a b\"]", "eq", "1", args);
        assert_eq!((found, &*place), (truth, deciding), "{args}");
    }
}
