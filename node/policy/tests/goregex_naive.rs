//! Random patterns against a matcher that tries everything, and random text as a pattern.

use std::collections::BTreeSet;

use proptest::prelude::*;

use tollbook_policy::goregex::{GoRegex, Limits};

/// Letters that are the same as others, word characters and not, one to three bytes long.
const LETTERS: [char; 12] = [
    'a', 'b', 'B', 'k', 'K', '\u{212A}', 's', 'ſ', '_', 'é', ' ', '\n',
];

#[derive(Clone, Debug)]
enum Node {
    Alternation(Vec<Self>),
    Char(char),
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Concatenation(Vec<Self>),
    Dot,
    LineEnd,
    LineStart,
    NotWordBoundary,
    Repeat {
        sub: Box<Self>,
        min: usize,
        max: Option<usize>,
        lazy: bool,
    },
    TextEnd,
    TextStart,
    WordBoundary,
}

/// What is searched, and how.
struct Naive<'t> {
    text: &'t [char],
    fold: bool,
}

impl Naive<'_> {
    fn is_match(&self, node: &Node) -> bool {
        (0..=self.text.len()).any(|at| !self.ends(node, at).is_empty())
    }

    /// Everywhere a match of the node that begins here can end.
    fn ends(&self, node: &Node, at: usize) -> BTreeSet<usize> {
        let next = self.text.get(at).copied();
        let one = |taken: bool| taken.then_some(at + 1).into_iter().collect();
        let none = |holds: bool| holds.then_some(at).into_iter().collect();
        match node {
            Node::Alternation(nodes) => nodes.iter().flat_map(|n| self.ends(n, at)).collect(),
            Node::Char(c) => one(next.is_some_and(|next| self.likes(next).contains(c))),
            Node::Class { ranges, negated } => one(next.is_some_and(|next| {
                let within = |c: &char| ranges.iter().any(|(lo, hi)| lo <= c && c <= hi);
                self.likes(next).iter().any(within) != *negated
            })),
            Node::Concatenation(nodes) => nodes.iter().fold([at].into(), |from, node| {
                from.into_iter()
                    .flat_map(|at| self.ends(node, at))
                    .collect()
            }),
            Node::Dot => one(next.is_some_and(|next| next != '\n')),
            Node::LineEnd => none(next.is_none_or(|next| next == '\n')),
            Node::LineStart => none(self.before(at).is_none_or(|before| before == '\n')),
            Node::NotWordBoundary => none(!self.word_boundary(at)),
            Node::Repeat { sub, min, max, .. } => self.repeated(sub, *min, *max, at),
            Node::TextEnd => none(at == self.text.len()),
            Node::TextStart => none(at == 0),
            Node::WordBoundary => none(self.word_boundary(at)),
        }
    }

    fn repeated(&self, sub: &Node, min: usize, max: Option<usize>, at: usize) -> BTreeSet<usize> {
        let step = |from: &BTreeSet<usize>| -> BTreeSet<usize> {
            from.iter().flat_map(|at| self.ends(sub, *at)).collect()
        };
        let mut from: BTreeSet<usize> = [at].into();
        for _ in 0..min {
            from = step(&from);
        }
        let mut all = from.clone();
        // More steps than the text is long reach nothing new.
        for _ in min..max.unwrap_or(min + self.text.len() + 1) {
            from = step(&from);
            all.extend(&from);
        }
        all
    }

    fn before(&self, at: usize) -> Option<char> {
        self.text.get(at.checked_sub(1)?).copied()
    }

    fn word_boundary(&self, at: usize) -> bool {
        let word = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_ascii_alphanumeric());
        word(self.before(at)) != word(self.text.get(at).copied())
    }

    /// The character with all that are the same letter.
    fn likes(&self, c: char) -> Vec<char> {
        let groups: [&[char]; 6] = [
            &['k', 'K', '\u{212A}'],
            &['s', 'S', 'ſ'],
            &['a', 'A'],
            &['b', 'B'],
            &['é', 'É'],
            &['å', 'Å', '\u{212B}'],
        ];
        let group = groups.iter().find(|group| self.fold && group.contains(&c));
        group.map_or_else(|| vec![c], |group| group.to_vec())
    }
}

fn print(node: &Node, into: &mut String) {
    match node {
        Node::Alternation(nodes) => {
            into.push_str("(?:");
            for (i, node) in nodes.iter().enumerate() {
                into.push_str(if i == 0 { "" } else { "|" });
                print(node, into);
            }
            into.push(')');
        }
        Node::Char('a') => into.push_str(r"\Qa\E"),
        Node::Char('é') => into.push_str(r"\x{E9}"),
        Node::Char(c) => into.push(*c),
        Node::Class { ranges, negated } => {
            into.push_str(if *negated { "[^" } else { "[" });
            for (lo, hi) in ranges {
                into.push_str(&format!("\\x{{{:x}}}-\\x{{{:X}}}", *lo as u32, *hi as u32));
            }
            into.push(']');
        }
        Node::Concatenation(nodes) => {
            into.push('(');
            nodes.iter().for_each(|node| print(node, into));
            into.push(')');
        }
        Node::Dot => into.push('.'),
        Node::LineEnd => into.push_str("(?m:$)"),
        Node::LineStart => into.push_str("(?m:^)"),
        Node::NotWordBoundary => into.push_str(r"\B"),
        Node::Repeat {
            sub,
            min,
            max,
            lazy,
        } => {
            into.push_str("(?:");
            print(sub, into);
            into.push_str(&match max {
                None if *min == 0 => ")*".to_owned(),
                None => format!("){{{min},}}"),
                Some(max) => format!("){{{min},{max}}}"),
            });
            into.push_str(if *lazy { "?" } else { "" });
        }
        Node::TextEnd => into.push('$'),
        Node::TextStart => into.push('^'),
        Node::WordBoundary => into.push_str(r"\b"),
    }
}

fn letter() -> impl Strategy<Value = char> {
    proptest::sample::select(&LETTERS[..])
}

fn leaf() -> impl Strategy<Value = Node> {
    let range = (letter(), letter()).prop_map(|(one, two)| (one.min(two), one.max(two)));
    let class = (proptest::collection::vec(range, 1..3), any::<bool>());
    prop_oneof![
        6 => letter().prop_map(Node::Char),
        3 => class.prop_map(|(ranges, negated)| Node::Class { ranges, negated }),
        1 => Just(Node::Dot),
        2 => proptest::sample::select(vec![
            Node::LineEnd,
            Node::LineStart,
            Node::NotWordBoundary,
            Node::TextEnd,
            Node::TextStart,
            Node::WordBoundary,
        ]),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let nodes = proptest::collection::vec(inner.clone(), 0..4);
        let some = proptest::collection::vec(inner.clone(), 1..4);
        let counts = (0..3_usize, proptest::option::of(0..3_usize), any::<bool>());
        prop_oneof![
            3 => nodes.prop_map(Node::Concatenation),
            2 => some.prop_map(Node::Alternation),
            2 => (inner, counts).prop_map(|(sub, (min, more, lazy))| {
                let max = more.map(|more| min + more);
                Node::Repeat { sub: Box::new(sub), min, max, lazy }
            }),
        ]
    })
}

/// What patterns are made of, whole and in pieces.
const PIECES: [&str; 40] = [
    "(", ")", "(?", "(?:", "(?P<", "(?i", "(?-s:", ">", "[", "[^", "]", "[:", ":]", "alpha", "-",
    "^", "$", ".", "|", "*", "+", "?", "{", "}", ",", "2", "1000", "\\", "\\Q", "\\E", "\\p",
    "\\x{", "Greek", "D800", "\\b", "\\w", "a", "é", "\u{212A}", "\0",
];

/// The table, the lazy table, one with room for hardly a state, and the threads.
fn engines() -> [Limits; 4] {
    let lazy = Limits {
        dfa_bytes_max: 0,
        ..Limits::default()
    };
    let cramped = Limits {
        cache_bytes_max: 0,
        ..lazy
    };
    let threads = Limits {
        lazy_steps_max: 0,
        ..lazy
    };
    [Limits::default(), lazy, cramped, threads]
}

/// Texts of a few letters, and such that they are long without taking the naive matcher long.
fn text(from: usize, to: usize) -> impl Strategy<Value = Vec<char>> {
    proptest::collection::vec(letter(), from..to)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// From 64 bytes on, what begins no match is skipped.
    #[test]
    fn every_engine_agrees_on_longer_texts_too(
        node in node(),
        fold in any::<bool>(),
        text in text(40, 160),
    ) {
        let mut pattern = String::from(if fold { "(?i)" } else { "" });
        print(&node, &mut pattern);
        let naives = Some(Naive { text: &text, fold }.is_match(&node));
        let text: String = text.iter().collect();
        for limits in engines() {
            let regex = GoRegex::new(&pattern, &limits).unwrap();
            prop_assert_eq!(regex.is_match(&text), naives, "{:?} in {:?}", pattern, text);
        }
    }

    /// Thousands of bytes of a few letters, with one match at most, at the end or nowhere.
    #[test]
    fn every_engine_agrees_on_long_texts(
        node in node(),
        fold in any::<bool>(),
        unit in text(1, 6),
        count in 100..2_000_usize,
        tail in text(0, 7),
    ) {
        let mut pattern = String::from(if fold { "(?i)" } else { "" });
        print(&node, &mut pattern);
        let unit: String = unit.iter().collect();
        let tail: String = tail.iter().collect();
        let text = unit.repeat(count) + &tail;
        let answers = engines().map(|limits| {
            let regex = GoRegex::new(&pattern, &limits).unwrap();
            regex.is_match(&text)
        });
        // A text this long may take one of them too many steps.
        let given: BTreeSet<bool> = answers.into_iter().flatten().collect();
        prop_assert!(given.len() <= 1, "{:?} {:?}", pattern, answers);
    }

    /// With few steps there may be no answer, but never a wrong one, and the same one however
    /// often and after whatever else is asked.
    #[test]
    fn few_steps_give_the_true_answer_or_none(
        node in node(),
        texts in proptest::collection::vec(text(0, 60), 2..6),
        steps in 1..4_000_usize,
    ) {
        let mut pattern = String::new();
        print(&node, &mut pattern);
        let limits = Limits { search_steps_max: steps, dfa_bytes_max: 0, ..Limits::default() };
        let cramped = Limits { lazy_steps_max: 2 * steps, ..limits };
        for limits in [limits, cramped] {
            let regex = GoRegex::new(&pattern, &limits).unwrap();
            let texts: Vec<String> = texts.iter().map(|text| text.iter().collect()).collect();
            let alone = |text: &String| GoRegex::new(&pattern, &limits).unwrap().is_match(text);
            let answers: Vec<Option<bool>> = texts.iter().map(alone).collect();
            for _ in 0..2 {
                for (text, answer) in texts.iter().zip(&answers) {
                    prop_assert_eq!(regex.is_match(text), *answer, "{:?} in {:?}", pattern, text);
                }
            }
            let whole = GoRegex::new(&pattern, &Limits::default()).unwrap();
            for (text, answer) in texts.iter().zip(answers) {
                prop_assert!(answer.is_none() || answer == whole.is_match(text), "{:?}", pattern);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_engine_agrees_with_trying_everything(
        node in node(),
        fold in any::<bool>(),
        texts in proptest::collection::vec(proptest::collection::vec(letter(), 0..7), 1..8),
    ) {
        let mut pattern = String::from(if fold { "(?i)" } else { "" });
        print(&node, &mut pattern);
        for limits in engines() {
            let regex = GoRegex::new(&pattern, &limits).unwrap();
            for text in &texts {
                let naive = Naive { text, fold };
                let text: String = text.iter().collect();
                let (ours, naives) = (regex.is_match(&text), Some(naive.is_match(&node)));
                prop_assert_eq!(ours, naives, "{:?} in {:?}", pattern, text);
            }
        }
    }

    #[test]
    fn no_pattern_panics(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..24),
        text in ".{0,20}",
    ) {
        let pattern = pieces.concat();
        match GoRegex::new(&pattern, &Limits::default()) {
            Ok(regex) => {
                let lazy = Limits { dfa_bytes_max: 0, ..Limits::default() };
                let lazy = GoRegex::new(&pattern, &lazy).unwrap();
                prop_assert_eq!(regex.is_match(&text), lazy.is_match(&text));
                prop_assert_eq!(regex.pattern(), pattern);
            }
            Err(error) => prop_assert!(pattern.is_char_boundary(error.at), "{}", error),
        }
    }

    #[test]
    fn a_quotation_finds_exactly_itself(text in "[^\\\\]{0,12}", other in ".{0,12}") {
        let regex = GoRegex::new(&format!("\\Q{text}\\E"), &Limits::default()).unwrap();
        prop_assert_eq!(regex.is_match(&text), Some(true));
        prop_assert_eq!(regex.is_match(&other), Some(other.contains(&text)));
    }
}
