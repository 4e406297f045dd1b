//! Patterns against what Go said about them.

use std::collections::HashMap;

use tollbook_policy::goregex::{self, Compiler, GoRegex, GoRegexErrorKind as Kind, Limits};

const VECTORS: &str = include_str!("data/go-vectors.jsonl");
const RANDOM: &str = include_str!("data/go-random.jsonl");
const RE2_SEARCH: &str = include_str!("data/re2-search.txt");

const STACK_BYTES_SMALL: usize = 512 << 10;

fn compile(pattern: &str) -> Result<GoRegex, Kind> {
    GoRegex::new(pattern, &Limits::default()).map_err(|error| error.kind)
}

/// The verdict of a search that stays within its limit, as all here do unless they say so.
fn found(regex: &GoRegex, text: &str) -> bool {
    let answer = regex.is_match(text);
    assert!(answer.is_some(), "no answer: {regex:?}");
    answer == Some(true)
}

/// What searches: the table, the lazy table, the threads.
fn engines() -> [Limits; 3] {
    let lazy = Limits {
        dfa_bytes_max: 0,
        ..Limits::default()
    };
    let threads = Limits {
        lazy_steps_max: 0,
        ..lazy
    };
    [Limits::default(), lazy, threads]
}

#[test]
fn every_verdict_is_gos() {
    for limits in engines() {
        let mut compiled = HashMap::new();
        let mut wrong = Vec::new();
        let mut verdicts = HashMap::new();
        // By line feeds alone: other line ends stand inside a row.
        for row in VECTORS.split('\n').filter(|row| !row.is_empty()) {
            let vector: serde_json::Value = serde_json::from_str(row).unwrap();
            let [pattern, input, result] =
                ["pattern", "input", "result"].map(|key| vector[key].as_str().unwrap());
            let regex = compiled
                .entry(pattern.to_owned())
                .or_insert_with(|| GoRegex::new(pattern, &limits));
            let verdict = match regex {
                Err(_) => "invalid",
                Ok(regex) if found(regex, input) => "match",
                Ok(_) => "no",
            };
            if verdict != result {
                wrong.push(format!("{row}: {verdict}"));
            }
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
        assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
        let accepted = compiled.values().filter(|regex| regex.is_ok()).count();
        let refused = compiled.len() - accepted;
        let [matches, no, invalid] = ["match", "no", "invalid"].map(|verdict| verdicts[verdict]);
        println!(
            "{} verdicts, 0 differences: {matches} match, {no} do not, {invalid} have no pattern; \
             {accepted} patterns accepted, {refused} refused",
            matches + no + invalid
        );
        assert_eq!(matches + no + invalid, 12_624);
        assert_eq!((accepted, refused), (123, 58));
    }
}

#[test]
fn re2_finds_what_we_find() {
    let (mut strings, mut in_strings) = (Vec::new(), false);
    let (mut count, mut accepted, mut refused) = (0, 0, 0);
    let mut lines = RE2_SEARCH.lines().filter(|line| !line.starts_with('#'));
    while let Some(line) = lines.next() {
        match line {
            "Regexp.SearchTests" => {}
            "strings" => (strings, in_strings) = (Vec::new(), true),
            "regexps" => in_strings = false,
            _ if in_strings => strings.push(unquoted(line)),
            _ => {
                let pattern = unquoted(line);
                let searched = compile(&pattern);
                match searched {
                    Ok(_) => accepted += 1,
                    Err(_) => refused += 1,
                }
                let anchored = compile(&format!(r"\A(?:{pattern})\z"));
                for text in &strings {
                    let results: Vec<&str> = lines.next().unwrap().split(';').collect();
                    count += 1;
                    // Any byte: the one thing of RE2 that Go leaves out.
                    if pattern.contains(r"\C") {
                        assert_eq!(searched.as_ref().err(), Some(&Kind::EscapeUnknown));
                        continue;
                    }
                    let what = format!("{pattern:?} in {text:?}");
                    let verdicts = [&anchored, &searched].map(|regex| {
                        let regex = regex
                            .as_ref()
                            .unwrap_or_else(|kind| panic!("{what}: {kind}"));
                        found(regex, text)
                    });
                    assert_eq!(verdicts, [results[0] != "-", results[1] != "-"], "{what}");
                }
            }
        }
    }
    println!(
        "{count} rows, 0 differences; {accepted} patterns accepted, {refused} with `\\C` refused"
    );
    assert_eq!((count, accepted, refused), (1_888, 904, 40));
}

#[test]
fn random_patterns_mean_what_go_makes_of_them() {
    // Rows beyond those that are kept: see `.ci/go/README.md`.
    let more = std::env::var_os("GO_ROWS").map(|path| std::fs::read_to_string(path).unwrap());
    let mut compiler = Compiler::new(Limits::default());
    let (mut accepted, mut refused, mut ours_alone, mut verdicts) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for row in RANDOM
        .lines()
        .chain(more.iter().flat_map(|rows| rows.lines()))
    {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let pattern = row["p"].as_str().unwrap();
        let regex = match compiler.compile(pattern) {
            Err(error) if row["r"] != "invalid" && is_of_ours(error.kind) => {
                ours_alone += 1;
                continue;
            }
            other => other,
        };
        let [_, lazy, threads] = engines();
        // All engines for some, else a million rows take an hour.
        let others = [lazy, threads].into_iter().filter(|_| accepted % 8 == 0);
        let others = others.filter_map(|limits| GoRegex::new(pattern, &limits).ok());
        let regexes: Vec<GoRegex> = regex.into_iter().chain(others).collect();
        if regexes.is_empty() != (row["r"] == "invalid") {
            wrong.push(format!("{pattern:?}: {:?}", compile(pattern).err()));
        }
        if regexes.is_empty() {
            refused += 1;
            continue;
        }
        accepted += 1;
        for (key, verdict) in [("match", true), ("no", false)] {
            for text in row[key].as_array().into_iter().flatten() {
                let text = text.as_str().unwrap();
                verdicts += 1;
                if regexes.iter().any(|regex| found(regex, text) != verdict) {
                    wrong.push(format!("{pattern:?} in {text:?}: not {verdict}"));
                }
            }
        }
    }
    println!(
        "{verdicts} verdicts, {} differences; {accepted} patterns accepted, {refused} refused, \
         {ours_alone} refused by limits of ours alone",
        wrong.len()
    );
    wrong.truncate(100);
    assert!(wrong.is_empty(), "{wrong:#?}");
    if more.is_none() {
        assert_eq!((accepted, refused, ours_alone), (7_585, 2_464, 12));
    }
}

/// Whether Go may take a pattern that is refused for this.
fn is_of_ours(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::DepthLimit { .. }
            | Kind::PatternTooLong { .. }
            | Kind::SizeLimit { .. }
            | Kind::SurrogateAlone
    )
}

#[test]
fn a_refusal_says_where_and_why() {
    let cases = [
        (r"a(?P<b-c>d)", 1, Kind::CaptureName),
        (r"a(?<>d)", 1, Kind::CaptureName),
        (r"a[b[:foo:]]", 3, Kind::ClassNameUnknown),
        (r"[ab-\x41]", 2, Kind::ClassRange),
        (r"é[a", 2, Kind::ClassUnclosed),
        (r"[]", 0, Kind::ClassUnclosed),
        (r"a\C", 1, Kind::EscapeUnknown),
        (r"[\Qa\E]", 1, Kind::EscapeUnknown),
        (r"\x{110000}", 0, Kind::EscapeUnknown),
        (r"a(?=b)", 1, Kind::GroupSyntax),
        (r"(?i-)", 0, Kind::GroupSyntax),
        (r"(a)(b", 3, Kind::ParenUnclosed),
        (r"a)", 1, Kind::ParenUnexpected),
        (r"ab{2,1}", 2, Kind::RepeatCount { max: 1_000 }),
        (r"a{1001}", 1, Kind::RepeatCount { max: 1_000 }),
        (r"(?:a{100}){11}", 10, Kind::RepeatCount { max: 1_000 }),
        (r"a|*", 2, Kind::RepeatNothing),
        (r"(?i)*", 4, Kind::RepeatNothing),
        (r"ab*+", 2, Kind::RepeatRepeated),
        (r"a{2}{3}", 1, Kind::RepeatRepeated),
        (r"^[\x{D800}]", 1, Kind::SurrogateAlone),
        (r"\Aa\x{DFFF}", 3, Kind::SurrogateAlone),
        (r"a\", 1, Kind::TrailingBackslash),
        (r"a\p{Alphabetic}", 1, Kind::UnicodeClassUnknown),
        (r"[a\pé]", 2, Kind::UnicodeClassUnknown),
    ];
    for (pattern, at, kind) in cases {
        let error = GoRegex::new(pattern, &Limits::default()).unwrap_err();
        assert_eq!((error.at, error.kind), (at, kind), "{pattern}");
    }
}

#[test]
fn a_refusal_reads_well() {
    let error = GoRegex::new("ab**", &Limits::default()).unwrap_err();
    let text = "byte 2 of the pattern: a repetition of a repetition; put the inner one in `(?:…)`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn counts_multiply_as_gos_do() {
    for accepted in [
        r"a{1000}",
        r"(?:a{10}){100}",
        r"(?:(?:a{3}){3}){111}",
        // Nothing is left of what is repeated no times.
        r"(?:(?:a{1000}){0}){1000}",
        r"(?:a{1000})*",
        r"(?:a{1000}){0,1}",
        // The flags between them make two repetitions of it.
        r"a{2}(?i){500}",
    ] {
        assert_eq!(compile(accepted).err(), None, "{accepted}");
    }
    for refused in [
        r"(?:a{1000,}){2}",
        r"(?:a{0,501}b*){2}",
        r"a{2}(?i){501}",
        r"a{99999999999}",
    ] {
        assert_eq!(
            compile(refused).err(),
            Some(Kind::RepeatCount { max: 1_000 }),
            "{refused}"
        );
    }
}

/// Runs on a thread whose stack is a fraction of any that a node has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES_SMALL)
        .spawn(work);
    thread
        .expect("a thread starts")
        .join()
        .expect("the work does not panic");
}

#[test]
fn deep_patterns_need_no_deep_stack() {
    on_a_small_stack(|| {
        let nested = |open: &str, n: usize, close: &str| {
            compile(&format!("{}a{}", open.repeat(n), close.repeat(n)))
        };
        // Groups that only capture count for Go and cost us nothing.
        assert!(found(&nested("(", 999, ")").unwrap(), "a"));
        let nesting = Some(Kind::NestingDepth { max: 1_000 });
        assert_eq!(nested("(", 1_000, ")").err(), nesting);
        assert!(found(&nested("(?:", 1_000, ")").unwrap(), "a"));
        let optional = nested("(?:b", 124, ")?").unwrap();
        assert!(found(&optional, &"b".repeat(999)));
        let either = nested("(?:b|c", 124, ")").unwrap();
        assert!(found(&either, &("c".repeat(124) + "a")));
        let depth = Some(Kind::DepthLimit { max: 250 });
        assert_eq!(nested("(?:b", 125, ")?").err(), depth);
        assert_eq!(nested("(?:b|", 500, ")*").err(), depth);
        assert_eq!(compile(&"(".repeat(4_096)).err(), Some(Kind::ParenUnclosed));
        assert_eq!(
            compile(&")".repeat(4_096)).err(),
            Some(Kind::ParenUnexpected)
        );
        assert_eq!(compile(&"[".repeat(4_096)).err(), Some(Kind::ClassUnclosed));
        assert!(found(&compile(&"|".repeat(4_096)).unwrap(), ""));
        assert!(found(&compile(&"a|bc|".repeat(800)).unwrap(), "zz"));
    });
}

#[test]
fn hostile_patterns_are_refused_for_their_size() {
    let size = |max| Some(Kind::SizeLimit { max });
    let classes = goregex::CLASS_RANGES_MAX * 8;
    for (pattern, kind) in [
        (r"\pL{1000}".to_owned(), size(goregex::NFA_BYTES_MAX)),
        (
            r"(?:\pL?\pN?){300}".to_owned(),
            size(goregex::NFA_BYTES_MAX),
        ),
        (
            r"(?:\W\S\W\S){1000}".to_owned(),
            size(goregex::NFA_BYTES_MAX),
        ),
        (r"\PL".repeat(1_300), size(classes)),
        (r"(?i)[^\pL]".repeat(400), size(classes)),
        ("a".repeat(4_097), Some(Kind::PatternTooLong { max: 4_096 })),
    ] {
        assert_eq!(compile(&pattern).err(), kind, "{pattern}");
    }
}

#[test]
fn patterns_that_explode_as_tables_do_without() {
    for (pattern, text) in [
        (r"[01]*1[01]{41}x", "0110".repeat(200) + "x"),
        (r"^.{1,1000}$", "é".repeat(999)),
        (r"^\pL{1,64}$", "ßé".repeat(32)),
        (r"(?:a?){1000}a{1000}", "a".repeat(1_000)),
        (r"\S{1000}", "é".repeat(1_000)),
    ] {
        let regex = compile(pattern).unwrap();
        assert!(!regex.has_dfa(), "{pattern}");
        assert!(found(&regex, &text), "{pattern}");
        assert!(!found(&regex, "\n"), "{pattern}");
        assert!(
            regex.size_bytes() <= goregex::NFA_BYTES_MAX + pattern.len(),
            "{pattern}"
        );
    }
}

#[test]
fn a_search_without_a_table_ends_after_so_many_steps() {
    let mut state = 1_u32;
    let bits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { '0' } else { '1' }
    });
    let bits: String = bits.take(1 << 20).collect();
    let few: String = bits.chars().take(4_096).collect();
    for pattern in [
        r"[01]*1[01]{99}x",
        r"[01]*1[01]{999}x",
        r"(a|1)*1(0|1){60}x",
    ] {
        let regex = compile(pattern).unwrap();
        assert!(!regex.has_dfa(), "{pattern}");
        // No answer, whatever was searched before, and the true one where it can be found.
        assert_eq!(regex.is_match(&bits), None, "{pattern}");
        assert_eq!(regex.is_match(&few), Some(false), "{pattern}");
        assert_eq!(regex.is_match(&bits), None, "{pattern}");
        assert_eq!(
            regex.is_match(&"2".repeat(1 << 20)),
            Some(false),
            "{pattern}"
        );
    }
    // With a table every text of any length has an answer.
    let regex = compile(r"[01]*1[01]{9}x").unwrap();
    assert!(regex.has_dfa());
    assert_eq!(regex.is_match(&bits), Some(false));
    assert_eq!(regex.is_match(&(bits + "1000000000x")), Some(true));
}

#[test]
fn what_was_searched_before_decides_no_answer() {
    let limits = Limits {
        dfa_bytes_max: 0,
        cache_bytes_max: 96 << 10,
        search_steps_max: 2_000,
        ..Limits::default()
    };
    let regex = GoRegex::new(r"[01]*1[01]{60}x", &limits).unwrap();
    let mut state = 1_u32;
    let mut bits = |count| -> String {
        let bit = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { '0' } else { '1' }
        };
        std::iter::repeat_with(bit).take(count).collect()
    };
    let texts: Vec<String> = (1..60).map(|hundreds| bits(hundreds * 100)).collect();
    let alone = |text: &String| {
        GoRegex::new(regex.pattern(), &limits)
            .unwrap()
            .is_match(text)
    };
    let answers: Vec<Option<bool>> = texts.iter().map(alone).collect();
    assert!(answers.contains(&None));
    assert!(answers.contains(&Some(false)));
    for _ in 0..3 {
        for (text, answer) in texts.iter().zip(&answers) {
            assert_eq!(regex.is_match(text), *answer, "{}", text.len());
        }
    }
}

/// The library's cache counts a list that a wide choice makes long, and panics when it is reset
/// with less room than that. Found by fuzzing.
#[test]
fn wide_choices_leave_room_in_no_cache_and_no_panic() {
    let patterns = [
        "|".repeat(41),
        "|".repeat(4_000),
        "a|bc|".repeat(800),
        format!("(?:{}[01]*1[01]{{20}}){{3}}z", "(|a|b|||)".repeat(30)),
        format!("({}){{5}}z", "|".repeat(700)),
        r"(?:\W|\S|){50}x".to_owned(),
    ];
    let text = "ii|||||Rz0110".repeat(40);
    for pattern in &patterns {
        let expected = compile(pattern).unwrap().is_match(&text);
        for cache_bytes_max in [0, 100, 1_000, 10_000, 100_000] {
            for lazy_steps_max in [1, 1_000, 100_000, goregex::LAZY_STEPS_MAX] {
                let limits = Limits {
                    dfa_bytes_max: 0,
                    cache_bytes_max,
                    lazy_steps_max,
                    ..Limits::default()
                };
                let regex = GoRegex::new(pattern, &limits).unwrap();
                for text in [&*text, "", "é", &text] {
                    let answer = regex.is_match(text);
                    assert!(answer.is_some(), "{pattern}");
                }
                assert_eq!(regex.is_match(&text), expected, "{pattern}");
            }
        }
    }
}

#[test]
fn what_hostile_patterns_make_is_counted_though_it_is_not_kept() {
    for pattern in [
        r"[01]*1[01]{41}x",
        r"(a|b)*a(a|b){16}",
        r"\pL{500}",
        r"(?:a?){1000}a{1000}",
    ] {
        let mut compiler = Compiler::new(Limits::default());
        let kept = compiler
            .compile(pattern)
            .map_or(0, |regex| regex.size_bytes());
        let made = compiler.made_bytes();
        assert!(made >= goregex::DFA_BYTES_MAX, "{pattern}: {made}");
        assert!(kept < made, "{pattern}: {kept}");
    }
    let mut compiler = Compiler::new(Limits::default());
    compiler
        .compile(r"^https://(docs|api)\.acme\.com/")
        .unwrap();
    assert!(
        compiler.made_bytes() < 16 << 10,
        "{}",
        compiler.made_bytes()
    );
}

#[test]
fn a_text_that_fills_the_cache_spoils_no_later_search() {
    let limits = Limits {
        cache_bytes_max: 4_096,
        dfa_bytes_max: 0,
        ..Limits::default()
    };
    let regex = GoRegex::new(r"[01]*1[01]{30}x", &limits).unwrap();
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { '0' } else { '1' }
    });
    let noise: String = noise.take(20_000).collect();
    for _ in 0..3 {
        assert!(!found(&regex, &noise));
        assert!(found(
            &regex,
            &(noise.clone() + "1" + &"0".repeat(30) + "x")
        ));
        assert!(!found(&regex, &("1".repeat(30) + "x")));
    }
}

#[test]
fn long_texts_get_the_verdict_of_short_ones() {
    let mut count = 0;
    for row in VECTORS.split('\n').filter(|row| !row.is_empty()).step_by(7) {
        let vector: serde_json::Value = serde_json::from_str(row).unwrap();
        let pattern = vector["pattern"].as_str().unwrap();
        // Only where what stands before the text has no say.
        if vector["result"] == "invalid" || pattern.contains(['^', 'A', 'z', 'B', 'b', 'm', '|']) {
            continue;
        }
        let regex = compile(pattern).unwrap();
        let text = vector["input"].as_str().unwrap();
        let long = "\u{7}".repeat(600) + text;
        if !found(&regex, "\u{7}") && !found(&regex, "\u{7}\u{7}") {
            assert_eq!(
                found(&regex, &long),
                found(&regex, text),
                "{pattern:?} in {text:?}"
            );
            count += 1;
        }
    }
    assert!(count > 400, "{count}");
}

/// Takes a string out of its quotes. This file escapes nothing but these three characters.
fn unquoted(line: &str) -> String {
    let inner = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'));
    let mut chars = inner.expect("every other line is a string").chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        text.push(match escaped {
            None => c,
            Some('n') => '\n',
            Some(escaped) => {
                assert!(matches!(escaped, '"' | '\\'), "{line}");
                escaped
            }
        });
    }
    text
}

/// `\B` holds between the bytes of a character, where Go never looks. Found by the naive matcher.
#[test]
fn a_boundary_inside_a_character_neither_matches_nor_hides_a_match() {
    let defaults = Limits::default();
    let lazy = Limits {
        dfa_bytes_max: 0,
        ..defaults
    };
    let cramped = Limits {
        cache_bytes_max: 0,
        ..lazy
    };
    for limits in [defaults, lazy, cramped] {
        for (pattern, text, expected) in [
            (r"[^\x{a}-\x{73}]|\B", "aſa", true),
            (r"\B|[^\x{a}-\x{73}]", "aſa", true),
            (r"\B|ſa", "aſa", true),
            (r"\B", "aſa", false),
            (r"\B", "aſſa", true),
            (r"\B|z", "a\u{1F600}a", false),
        ] {
            let regex = GoRegex::new(pattern, &limits).unwrap();
            assert_eq!(found(&regex, text), expected, "{pattern} in {text}");
        }
    }
}
