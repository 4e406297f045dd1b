//! The same policy and call give the same verdict, rule, pointer and message: however the two are
//! written, in another process, and with another allocator's and hasher's chance.

use std::fmt::Write as _;
use std::process::Command;

use tollbook_fuzz::{Dice, Outcome, Spelling, Tree};
use tollbook_policy::{Counters, Policy};

use crate::common::{document, load, rows, run};
use crate::oracle::generate;

const POLICIES: u64 = 400;
const CALLS: usize = 25;
/// Set in the process that another one compares itself with.
const CHILD: &str = "TOLLBOOK_DETERMINISM_CHILD";
const PREFIX: &str = "verdict ";

/// Objects in another order, at every depth; lists as they are.
fn shuffled(tree: &Tree, dice: &mut Dice) -> Tree {
    match tree {
        Tree::Array(elements) => {
            Tree::Array(elements.iter().map(|one| shuffled(one, dice)).collect())
        }
        Tree::Object(members) => {
            let members = members.iter();
            let mut members: Vec<_> = members
                .map(|(key, value)| (key.clone(), shuffled(value, dice)))
                .collect();
            dice.shuffle(&mut members);
            Tree::Object(members)
        }
        Tree::Bool(_) | Tree::Null | Tree::Number(_) | Tree::Text(_) => tree.clone(),
    }
}

/// All that is said of a call, limits included.
fn said(policy: &Policy, counters: &mut Counters, tool: &str, args: Option<&str>) -> String {
    let args = args.map(document);
    let args = args.as_ref().map(|args| args.root());
    let charged = run(policy, counters, tool, args);
    format!("{:?} {charged:?}", Outcome::of(policy, tool, args))
}

#[test]
fn the_order_of_keys_and_their_spelling_change_nothing() {
    let mut count = 0;
    for seed in 0..POLICIES {
        let mut dice = Dice::new(seed);
        let tree = generate::policy(&mut dice);
        let policy = load(&tree.write(Spelling::Plain));
        let other = load(&shuffled(&tree, &mut dice).write(Spelling::Odd));
        assert_eq!(policy.digest(), other.digest());
        assert_eq!(policy.rules(), other.rules());
        assert_eq!(policy.limits(), other.limits());
        let (mut one, mut two) = (Counters::new(), Counters::new());
        for _ in 0..CALLS {
            let (tool, args) = generate::call(&mut dice, &tree);
            let plain = args.as_ref().map(|args| args.write(Spelling::Plain));
            let odd = args.as_ref().map(|args| shuffled(args, &mut dice));
            let odd = odd.map(|args| args.write(Spelling::Odd));
            let one = said(&policy, &mut one, tool, plain.as_deref());
            let two = said(&other, &mut two, tool, odd.as_deref());
            assert_eq!(one, two, "{tool} {plain:?}\n{odd:?}\n{tree:?}");
            count += 1;
        }
    }
    println!("{count} calls of {POLICIES} policies, written in two ways");
}

/// What this process says of generated calls and of every row of the corpus, a line each.
fn verdicts() -> String {
    let mut lines = String::new();
    for seed in 0..POLICIES {
        let mut dice = Dice::new(seed);
        let tree = generate::policy(&mut dice);
        let policy = load(&tree.write(Spelling::Plain));
        let mut counters = Counters::new();
        writeln!(lines, "{PREFIX}{:?}", policy.digest()).expect("strings grow");
        for _ in 0..CALLS {
            let (tool, args) = generate::call(&mut dice, &tree);
            let args = args.map(|args| args.write(Spelling::Plain));
            let said = said(&policy, &mut counters, tool, args.as_deref());
            writeln!(lines, "{PREFIX}{said}").expect("strings grow");
        }
    }
    for file in [
        include_str!("../corpus/beyond.jsonl"),
        include_str!("../corpus/conditions.jsonl"),
        include_str!("../corpus/limits.jsonl"),
        include_str!("../corpus/order.jsonl"),
        include_str!("../corpus/paths.jsonl"),
    ] {
        let mut current = None;
        for row in rows(file) {
            let row = row.root();
            if let Some(policy) = row.get("policy") {
                current = Some((load(policy.raw()), Counters::new()));
                continue;
            }
            let (policy, counters) = current.as_mut().expect("a policy first");
            let tool = row
                .get("tool")
                .and_then(|tool| tool.as_str())
                .expect("a tool");
            let args = row.get("args").map(|args| args.raw());
            let said = said(policy, counters, &tool, args);
            writeln!(lines, "{PREFIX}{said}").expect("strings grow");
        }
    }
    lines
}

#[test]
fn another_process_says_the_same() {
    let ours = verdicts();
    if std::env::var_os(CHILD).is_some() {
        print!("\n{ours}");
        return;
    }
    assert!(ours.lines().count() > 10_000);
    // Memory as the allocator leaves it, filled with bytes, and from another place.
    for (name, value) in [
        (CHILD, "1"),
        ("MALLOC_PERTURB_", "165"),
        (
            "GLIBC_TUNABLES",
            "glibc.malloc.mmap_threshold=4096:glibc.malloc.tcache_count=0",
        ),
    ] {
        let child = Command::new(std::env::current_exe().expect("this is a program"))
            .args([
                "--exact",
                "determinism::another_process_says_the_same",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env(name, value)
            .output()
            .expect("it runs again");
        assert!(
            child.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&child.stderr)
        );
        let theirs = String::from_utf8(child.stdout).expect("text");
        let theirs: Vec<&str> = theirs
            .lines()
            .filter(|line| line.starts_with(PREFIX))
            .collect();
        for (one, two) in ours.lines().zip(&theirs) {
            assert_eq!(one, *two, "{name}={value}");
        }
        assert_eq!(ours.lines().count(), theirs.len(), "{name}={value}");
    }
}
