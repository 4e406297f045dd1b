//! A naive interpreter of the contract against the compiled policy, on random policies and calls.
//!
//! It shares no code with the crate: documents are read by `serde_json`, numbers are strings of
//! digits, and what folds, which hosts are one and what patterns mean stands in tables of all that
//! the generator writes.

pub(crate) mod generate;
mod naive;
mod number;
mod place;

use std::collections::BTreeMap;

use tollbook_fuzz::{Dice, Spelling, Tree};
use tollbook_policy::{Counters, MethodVerdict, Policy};

use self::naive::{By, Denial};
use crate::common::{document, load, run};

/// Decisions of plain `cargo test`; the variable `TOLLBOOK_ORACLE_DECISIONS` says another number.
const DECISIONS: u64 = 50_000;
/// Calls of one policy, on the same counters.
const CALLS: u64 = 25;

/// Keys that careless servers take for one another stand in one group.
const KEYS: [&[&str]; 14] = [
    &["a", "A", "\u{ff41}"],
    &["b", "B"],
    &["l", "L", "\u{217c}"],
    &["amount", "Amount", "\u{ff41}mount", "AMOUNT"],
    &["straße", "STRASSE", "strasse", "\u{17f}traße", "STRAẞE"],
    &["k", "K", "\u{212a}"],
    &["é", "É", "e\u{301}"],
    &["n", "N"],
    &["a b", "A B", "a\u{a0}b"],
    &["a.b", "A.B"],
    &["x\"y", "X\"y"],
    &["file", "\u{fb01}le", "FILE"],
    &["0", "\u{ff10}", "\u{2070}"],
    &[""],
];

fn fold(key: &str) -> &str {
    let group = KEYS.iter().find(|group| group.contains(&key));
    group.expect("a key of ours")[0]
}

/// A member that is a string.
fn text(value: &Tree, name: &str) -> String {
    let text = value.get(name).and_then(Tree::text);
    text.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

fn wanted() -> u64 {
    let wanted = std::env::var("TOLLBOOK_ORACLE_DECISIONS");
    wanted.map_or(DECISIONS, |number| {
        number.parse().expect("a number of decisions")
    })
}

#[test]
fn compiled_and_naive_agree() {
    let wanted = wanted();
    let mut tally: BTreeMap<Option<By>, u64> = BTreeMap::new();
    let mut decisions = 0;
    for seed in 0..wanted.div_ceil(CALLS) {
        let mut dice = Dice::new(seed);
        let tree = generate::policy(&mut dice);
        let text = tree.write(Spelling::Plain);
        let policy = load(&text);
        methods_agree(&policy, &tree, &text);
        let (mut counters, mut used) = (Counters::new(), naive::Used::new());
        for _ in 0..CALLS {
            let (tool, args) = generate::call(&mut dice, &tree);
            let args_text = args.as_ref().map(|args| args.write(Spelling::Plain));
            let args_read = args_text.as_deref().map(document);
            let args_read = args_read.as_ref().map(|args| args.root());
            let what = || format!("seed {seed}: {tool} {args_text:?}\n{text}");
            assert_eq!(policy.shows(tool), naive::shows(&tree, tool), "{}", what());
            let ours = run(&policy, &mut counters, tool, args_read);
            let theirs = naive::decide(&tree, tool, args.as_ref(), &mut used);
            *tally
                .entry(theirs.as_ref().map(|denial| denial.by))
                .or_default() += 1;
            let ours = ours.map(|ours| (ours.rule, ours.pointer, ours.reason, ours.message));
            let theirs = theirs.map(|denial| {
                let Denial {
                    rule,
                    pointer,
                    reason,
                    message,
                    ..
                } = denial;
                (rule, Some(pointer), reason, message)
            });
            assert_eq!(ours, theirs, "{}", what());
            decisions += 1;
        }
    }
    assert!(decisions >= wanted);
    let shares = tally
        .iter()
        .map(|(by, count)| (by, *count as f64 * 100.0 / decisions as f64));
    let shares: Vec<_> = shares.collect();
    println!("{decisions} decisions, 0 differences; in a hundred: {shares:.1?}");
    assert_eq!(tally.len(), 10, "{tally:?}");
    for (by, share) in shares {
        let least = if by.is_none() { 15.0 } else { 1.0 };
        assert!(share >= least, "only {share} of a hundred by {by:?}");
    }
}

/// Methods by the contract's section, for every name that may matter.
fn methods_agree(policy: &Policy, tree: &Tree, text: &str) {
    let lists = |list: &str, name: &str| {
        let patterns = tree.get("methods").and_then(|methods| methods.get(list));
        let patterns = patterns.map(Tree::elements).unwrap_or_default();
        patterns.iter().filter_map(Tree::text).any(|pattern| {
            let below = pattern
                .strip_suffix('*')
                .is_some_and(|prefix| name.starts_with(prefix));
            pattern == name || below
        })
    };
    let by_default = tree.get("default").and_then(Tree::text) == Some("allow");
    for (name, known) in [
        ("resources/read", true),
        ("resources/unheard_of", false),
        ("prompts/get", true),
        ("prompts/list", true),
        ("tasks/cancel", true),
        ("subscriptions/listen", true),
        ("completion/complete", true),
        ("vendor/x", false),
        ("sampling/createMessage", false),
    ] {
        let allowed = known && !lists("deny", name) && (lists("allow", name) || by_default);
        let ours = matches!(policy.method(name), MethodVerdict::Allow(_));
        assert_eq!(ours, allowed, "{name}\n{text}");
    }
    for name in [
        "sampling/createMessage",
        "roots/list",
        "elicitation/create",
        "resources/read",
    ] {
        let allowed = name != "resources/read" && lists("allow", name) && !lists("deny", name);
        let ours = matches!(policy.server_request(name), MethodVerdict::Allow(_));
        assert_eq!(ours, allowed, "{name}\n{text}");
    }
    for name in [
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "logging/setLevel",
    ] {
        assert!(
            matches!(policy.method(name), MethodVerdict::Pass),
            "{name}\n{text}"
        );
    }
    assert!(matches!(
        policy.method("notifications/unheard_of"),
        MethodVerdict::Drop
    ));
    assert!(matches!(policy.method("tools/call"), MethodVerdict::Call));
}
