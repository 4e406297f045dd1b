//! What cannot be seen from outside: every class and letter against Go's, what the vectors notice,
//! where Unicode's tables differ, and what the threads count.

extern crate std;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::println;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::class::{Case, Classes, Library};
use super::cursor::Cursor;
use super::engine::Engine;
use super::set::{RUNE_MAX, RuneSet, SURROGATES};
use super::unicode::{self, AsciiClass, Folds, Tables};
use super::vm::{self, Threads};
use super::{Limits, parse};

const VECTORS: &str = include_str!("../../tests/data/go-vectors.jsonl");
const RANDOM: &str = include_str!("../../tests/data/go-random.jsonl");
const DIFFERENCES: &str = include_str!("../../tests/data/unicode-differences.txt");
const CLASSES: &str = include_str!("../../tests/data/go-classes.txt");

fn fnv(sum: u64, set: &RuneSet) -> u64 {
    set.ranges().iter().fold(sum, |sum, (lo, hi)| {
        let text = format!("{lo:x}-{hi:x},");
        text.bytes().fold(sum, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
    })
}

const FNV_START: u64 = 0xCBF2_9CE4_8422_2325;

fn class(pattern: &str) -> RuneSet {
    let bare = pattern.strip_prefix("(?i)");
    let case = if bare.is_some() {
        Case::Folded
    } else {
        Case::Distinct
    };
    let mut cursor = Cursor::new(bare.unwrap_or(pattern));
    let mut library = Library::new(unicode::GO);
    let mut classes = Classes::new(&mut library, usize::MAX);
    let set = match classes.escape(&mut cursor, case).unwrap() {
        Some(set) => set,
        None => classes.bracket(&mut cursor, case).unwrap(),
    };
    assert_eq!(cursor.rest(), "", "{pattern}");
    set
}

fn rows() -> impl Iterator<Item = (&'static str, usize, u64)> {
    CLASSES
        .lines()
        .filter(|row| !row.starts_with('#'))
        .map(|row| {
            let mut cells = row.split('\t');
            let mut cell = || cells.next().unwrap();
            (
                cell(),
                cell().parse().unwrap(),
                u64::from_str_radix(cell(), 16).unwrap(),
            )
        })
}

#[test]
fn every_class_is_gos() {
    for (pattern, count, sum) in rows().filter(|row| row.0 != "letters") {
        let set = class(pattern);
        assert_eq!(set.ranges().len(), count, "{pattern}");
        assert_eq!(fnv(FNV_START, &set), sum, "{pattern}");
    }
}

#[test]
fn every_letter_has_gos_likes() {
    let mut library = Library::new(unicode::GO);
    let mut classes = Classes::new(&mut library, usize::MAX);
    let (mut count, mut sum) = (0, FNV_START);
    for rune in 0..=RUNE_MAX {
        let set = classes.single(rune, Case::Folded);
        let size: u32 = set.ranges().iter().map(|(lo, hi)| hi - lo + 1).sum();
        if size > 1 {
            count += usize::try_from(size).unwrap() - 1;
            sum = fnv(sum, &set);
        }
    }
    let (_, count_of_go, sum_of_go) = rows().find(|row| row.0 == "letters").unwrap();
    assert_eq!((count, sum), (count_of_go, sum_of_go));
}

#[test]
fn folding_twice_changes_nothing() {
    let folds = Folds::new(&unicode::GO);
    let set = class(r"[\x{100}-\x{2fff}]").folded(&folds);
    assert_eq!(set.clone().folded(&folds), set);
    assert_eq!(set.negated().negated(), set);
}

/// A pattern, what Go says of it, and of texts whether they match. None: it refuses the pattern.
struct Vector {
    pattern: String,
    texts: Option<Vec<(String, bool)>>,
}

/// All that Go said, pattern by pattern, of those that have any of these words.
fn cases(words: &[&str]) -> Vec<Vector> {
    let text = |value: &serde_json::Value| String::from(value.as_str().unwrap());
    let mut cases: Vec<Vector> = Vec::new();
    for row in VECTORS.split('\n').filter(|row| !row.is_empty()) {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let pattern = text(&row["pattern"]);
        if cases.last().is_none_or(|case| case.pattern != pattern) {
            let texts = (row["result"] != "invalid").then(Vec::new);
            cases.push(Vector { pattern, texts });
        }
        if let Some(texts) = cases.last_mut().and_then(|case| case.texts.as_mut()) {
            texts.push((text(&row["input"]), row["result"] == "match"));
        }
    }
    for row in RANDOM.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let verdicts = [("match", true), ("no", false)];
        let texts = verdicts.iter().flat_map(|(key, verdict)| {
            let texts = row[*key].as_array().into_iter().flatten();
            texts.map(|one| (text(one), *verdict))
        });
        cases.push(Vector {
            pattern: text(&row["p"]),
            texts: (row["r"] != "invalid").then(|| texts.collect()),
        });
    }
    cases.retain(|case| words.iter().any(|word| case.pattern.contains(word)));
    cases
}

/// How many of Go's verdicts would be others with these tables.
fn differences(cases: &[Vector], tables: Tables) -> usize {
    let limits = Limits {
        dfa_bytes_max: 0,
        ..Limits::default()
    };
    let mut library = Library::new(tables);
    let differ = |case: &Vector| {
        let hir = parse::parse(&case.pattern, &limits, &mut library);
        let engine = hir.and_then(|hir| Engine::new(&hir, &limits, &mut 0));
        match (engine, &case.texts) {
            (Err(_), None) => 0,
            (Err(_), Some(texts)) => texts.len(),
            (Ok(_), None) => 1,
            (Ok(engine), Some(texts)) => {
                let wrong =
                    |(text, verdict): &&(String, bool)| engine.search(text) != Some(*verdict);
                texts.iter().filter(wrong).count()
            }
        }
    };
    cases.iter().map(differ).sum()
}

/// The class with one end of one of its ranges moved, in all ways.
fn altered(class: AsciiClass) -> Vec<AsciiClass> {
    let (name, ranges) = class;
    let mut all = Vec::new();
    for at in 0..ranges.len() {
        for (lower, upper) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            let mut ranges = ranges.to_vec();
            let (lo, hi) = ranges[at];
            let ends = (lo.checked_add_signed(lower), hi.checked_add_signed(upper));
            let (Some(lo), Some(hi)) = ends else { continue };
            if lo <= hi {
                ranges[at] = (lo, hi);
            } else {
                ranges.remove(at);
            }
            all.push((name, &*Box::leak(ranges.into_boxed_slice())));
        }
    }
    all
}

fn with(classes: &'static [AsciiClass], class: AsciiClass) -> &'static [AsciiClass] {
    let change = |known: &AsciiClass| if known.0 == class.0 { class } else { *known };
    Box::leak(classes.iter().map(change).collect())
}

#[test]
fn an_altered_class_of_perls_or_posix_is_noticed() {
    let mut count = 0;
    let mut notice = |words: &[&str], class: AsciiClass, tables: &dyn Fn(AsciiClass) -> Tables| {
        let cases = cases(words);
        assert_eq!(differences(&cases, unicode::GO), 0, "{words:?}");
        for altered in altered(class) {
            let noticed = differences(&cases, tables(altered));
            assert!(noticed > 0, "{altered:?}");
            println!("{noticed} differences for {altered:?}");
            count += 1;
        }
    };
    for class in unicode::GO.perl {
        let upper = class.0.to_ascii_uppercase();
        let words = [&*format!("\\{}", class.0), &*format!("\\{upper}")];
        notice(&words, *class, &|altered| Tables {
            perl: with(unicode::GO.perl, altered),
            ..unicode::GO
        });
    }
    for class in unicode::GO.posix {
        let words = [&*format!("[:{}:]", class.0), &*format!("[:^{}:]", class.0)];
        notice(&words, *class, &|altered| Tables {
            posix: with(unicode::GO.posix, altered),
            ..unicode::GO
        });
    }
    assert!(count > 100, "{count}");
}

#[test]
fn an_altered_letter_is_noticed() {
    let cases = cases(&["(?i"]);
    assert_eq!(differences(&cases, unicode::GO), 0);
    // Kelvin, the long s, the ASCII letters, dotted i's neighbours, sigma, angstrom.
    for (word, altered) in [
        (" 6b+20bf ", " "),
        (" 73+10c ", " "),
        ("fold 41+20*1a ", "fold 41+20*19 "),
        (" 3c2+1 ", " "),
        (" e5+2046 ", " "),
    ] {
        let text = unicode::GO.unicode.replace(word, altered);
        assert_ne!(text, unicode::GO.unicode, "{word}");
        let tables = Tables {
            unicode: Box::leak(text.into_boxed_str()),
            ..unicode::GO
        };
        let noticed = differences(&cases, tables);
        assert!(noticed > 0, "{word}");
        println!("{noticed} differences without{word}");
    }
}

/// The characters of the first that are not of the second, as the file writes them.
fn without(one: &RuneSet, two: &RuneSet) -> String {
    let outside = two.negated();
    let mut text = String::new();
    for &(lo, hi) in one.ranges() {
        for &(from, to) in outside.ranges() {
            let (lo, hi) = (lo.max(from), hi.min(to));
            if lo == hi {
                text += &format!(" {lo:X}");
            } else if lo < hi {
                text += &format!(" {lo:X}-{hi:X}");
            }
        }
    }
    text
}

fn runes(class: &ClassUnicode) -> RuneSet {
    let range = |range: &ClassUnicodeRange| (range.start().into(), range.end().into());
    let mut ranges: Vec<(u32, u32)> = class.iter().map(range).collect();
    // No class of the library has them: no difference is meant by that.
    ranges.push((*SURROGATES.start(), *SURROGATES.end()));
    RuneSet::from_ranges(ranges)
}

/// What the library makes of a class, if it knows the name.
fn of_the_library(pattern: &str) -> Option<RuneSet> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let class = match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        // Of one character.
        HirKind::Literal(one) => {
            let c = core::str::from_utf8(&one.0).ok()?.chars().next()?;
            ClassUnicode::new([ClassUnicodeRange::new(c, c)])
        }
        HirKind::Empty
        | HirKind::Class(Class::Bytes(_))
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => return None,
    };
    Some(runes(&class))
}

fn table_of_differences() -> String {
    let mut lines = String::new();
    let names = unicode::names(unicode::GO);
    for name in names.chain(["L", "M", "N", "P", "S", "Z", "C", "Cn", "LC"]) {
        let pattern = format!("\\p{{{name}}}");
        let Some(theirs) = of_the_library(&pattern) else {
            lines += &format!("{name}: not a name of the library's\n");
            continue;
        };
        let mut ours = class(&pattern).ranges().to_vec();
        ours.push((*SURROGATES.start(), *SURROGATES.end()));
        let ours = RuneSet::from_ranges(ours);
        for (sign, set) in [
            ('+', without(&ours, &theirs)),
            ('-', without(&theirs, &ours)),
        ] {
            if !set.is_empty() {
                lines += &format!("{name} {sign}{set}\n");
            }
        }
    }
    let mut library = Library::new(unicode::GO);
    let mut classes = Classes::new(&mut library, usize::MAX);
    for c in (0..=RUNE_MAX).filter_map(char::from_u32) {
        let ours = classes.single(c.into(), Case::Folded);
        let mut theirs = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        theirs.try_case_fold_simple().unwrap();
        let theirs = runes(&theirs);
        for (sign, set) in [
            ('+', without(&ours, &theirs)),
            ('-', without(&theirs, &ours)),
        ] {
            let set = set.replace(" D800-DFFF", "");
            if !set.is_empty() {
                lines += &format!("fold {:X} {sign}{set}\n", u32::from(c));
            }
        }
    }
    lines
}

#[test]
fn unicode_differs_from_the_librarys_exactly_where_the_table_says() {
    let table = table_of_differences();
    let kept = DIFFERENCES.lines().filter(|line| !line.starts_with('#'));
    // To mend the file after an update of the library, take what is printed here.
    assert!(kept.eq(table.lines()), "the differences are:\n{table}");
    assert!(table.lines().count() > 10, "{table}");
}

#[test]
fn threads_take_no_more_steps_than_their_cost_says() {
    let mut count = 0;
    for case in cases(&["(", "[", ".", "*", "+", "a"]) {
        let Ok(hir) = parse::parse(
            &case.pattern,
            &Limits::default(),
            &mut Library::new(unicode::GO),
        ) else {
            continue;
        };
        let nfa = super::engine::nfa(&hir, &Limits::default(), &mut 0).unwrap();
        let cost = vm::cost(&nfa);
        let mut threads = Threads::new(&nfa);
        for (text, _) in case.texts.into_iter().flatten() {
            let mut left = usize::MAX;
            let start = (nfa.start_unanchored(), 0);
            let found = vm::search(&nfa, &mut threads, start, text.as_bytes(), &mut left);
            assert!(found.is_some());
            let steps = usize::MAX - left;
            assert!(
                steps <= cost * (text.len() + 1),
                "{:?} in {text:?}",
                case.pattern
            );
            count += 1;
        }
    }
    assert!(count > 20_000, "{count}");
}
