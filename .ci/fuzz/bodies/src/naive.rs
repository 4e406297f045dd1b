//! A matcher that tries everything, for patterns whose meaning nobody doubts.

use std::collections::BTreeSet;

/// A pattern of letters, digits, blanks, `.`, `^`, `$`, `|`, groups, plain classes, `*`, `+`, `?`.
pub(crate) struct Pattern(Node);

enum Node {
    Any,
    Choice(Vec<Self>),
    End,
    OneOf(String),
    /// At least so often, at most so often.
    Repeat(Box<Self>, usize, usize),
    Sequence(Vec<Self>),
    Start,
}

/// More often than any text here is long.
const FOREVER: usize = 64;

impl Pattern {
    /// The pattern, if it is plain.
    pub(crate) fn plain(text: &str) -> Option<Self> {
        let mut rest = text;
        let node = choice(&mut rest)?;
        rest.is_empty().then_some(Self(node))
    }

    /// Whether it matches anywhere.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        (0..=text.len()).any(|at| !self.0.ends(&text, at).is_empty())
    }
}

impl Node {
    /// Everywhere a match that begins here can end.
    fn ends(&self, text: &[char], at: usize) -> BTreeSet<usize> {
        let only = |holds: bool, end: usize| holds.then_some(end).into_iter().collect();
        let next = text.get(at).copied();
        match self {
            Self::Any => only(next.is_some_and(|c| c != '\n'), at + 1),
            Self::Choice(nodes) => nodes.iter().flat_map(|node| node.ends(text, at)).collect(),
            Self::End => only(next.is_none(), at),
            Self::OneOf(letters) => only(next.is_some_and(|c| letters.contains(c)), at + 1),
            Self::Repeat(node, min, max) => {
                let mut from = BTreeSet::from([at]);
                let mut ends = BTreeSet::new();
                for count in 0..=*max {
                    let before = ends.len();
                    if count >= *min {
                        ends.extend(&from);
                        if count > *min && ends.len() == before {
                            break;
                        }
                    }
                    from = from.iter().flat_map(|at| node.ends(text, *at)).collect();
                }
                ends
            }
            Self::Sequence(nodes) => nodes.iter().fold(BTreeSet::from([at]), |from, node| {
                from.iter().flat_map(|at| node.ends(text, *at)).collect()
            }),
            Self::Start => only(at == 0, at),
        }
    }
}

fn choice(rest: &mut &str) -> Option<Node> {
    let mut nodes = vec![sequence(rest)?];
    while let Some(after) = rest.strip_prefix('|') {
        *rest = after;
        nodes.push(sequence(rest)?);
    }
    Some(Node::Choice(nodes))
}

fn sequence(rest: &mut &str) -> Option<Node> {
    let mut nodes = Vec::new();
    while !rest.is_empty() && !rest.starts_with(['|', ')']) {
        nodes.push(piece(rest)?);
    }
    Some(Node::Sequence(nodes))
}

/// An atom and what is said of how often. Twice in a row is an error of Go's.
fn piece(rest: &mut &str) -> Option<Node> {
    let atom = atom(rest)?;
    let (min, max) = match rest.chars().next() {
        Some('*') => (0, FOREVER),
        Some('+') => (1, FOREVER),
        Some('?') => (0, 1),
        Some(_) | None => return Some(atom),
    };
    *rest = rest.get(1..)?;
    // Lazy or not is all the same where only a match is asked for.
    *rest = rest.strip_prefix('?').unwrap_or(rest);
    let twice = rest.starts_with(['*', '+', '?', '{']);
    (!twice).then(|| Node::Repeat(Box::new(atom), min, max))
}

fn atom(rest: &mut &str) -> Option<Node> {
    let first = rest.chars().next()?;
    *rest = rest.get(first.len_utf8()..)?;
    Some(match first {
        '.' => Node::Any,
        '^' => Node::Start,
        '$' => Node::End,
        '(' => {
            let inner = choice(rest)?;
            *rest = rest.strip_prefix(')')?;
            inner
        }
        '[' => {
            let (letters, after) = rest.split_once(']')?;
            *rest = after;
            let plain = !letters.is_empty() && letters.chars().all(is_plain);
            Node::OneOf(plain.then(|| letters.to_owned())?)
        }
        letter if is_plain(letter) => Node::OneOf(letter.into()),
        _ => return None,
    })
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ' ' | '_' | '/' | ':' | '\n')
}
