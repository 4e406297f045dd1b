//! The classes that have names: Perl's, POSIX's, Unicode's; and which letters are the same.
//!
//! The tables are Go 1.27's own version of Unicode and not `regex-syntax`'s, which is a year
//! older: a policy must not change its meaning when a library is updated.

use alloc::string::String;
use alloc::vec::Vec;

use super::set::{RUNE_MAX, RuneSet};

/// A class that is ASCII whatever the flags: its name and its ranges.
pub(super) type AsciiClass = (&'static str, &'static [(u8, u8)]);

/// What classes hold. There is one such set of tables, [`GO`]; tests alter a copy of it, to see
/// that the vectors notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    pub(super) perl: &'static [AsciiClass],
    pub(super) posix: &'static [AsciiClass],
    /// The text of `unicode17.txt`.
    pub(super) unicode: &'static str,
}

/// The tables of Go 1.27.
pub(super) const GO: Tables = Tables {
    perl: &PERL,
    posix: &POSIX,
    unicode: include_str!("unicode17.txt"),
};

const PERL: [AsciiClass; 3] = [
    ("d", &[(b'0', b'9')]),
    // Without the vertical tab, unlike `[[:space:]]`.
    ("s", &[(b'\t', b'\n'), (0x0C, b'\r'), (b' ', b' ')]),
    (
        "w",
        &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
    ),
];

const POSIX: [AsciiClass; 14] = [
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7F)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1F), (0x7F, 0x7F)]),
    ("digit", &[(b'0', b'9')]),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    (
        "punct",
        &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
    ),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    (
        "word",
        &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
    ),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];

/// The long names of the general categories.
const CATEGORY_NAMES: [(&str, &str); 42] = [
    ("casedletter", "LC"),
    ("closepunctuation", "Pe"),
    ("cntrl", "Cc"),
    ("combiningmark", "M"),
    ("connectorpunctuation", "Pc"),
    ("control", "Cc"),
    ("currencysymbol", "Sc"),
    ("dashpunctuation", "Pd"),
    ("decimalnumber", "Nd"),
    ("digit", "Nd"),
    ("enclosingmark", "Me"),
    ("finalpunctuation", "Pf"),
    ("format", "Cf"),
    ("initialpunctuation", "Pi"),
    ("letter", "L"),
    ("letternumber", "Nl"),
    ("lineseparator", "Zl"),
    ("lowercaseletter", "Ll"),
    ("mark", "M"),
    ("mathsymbol", "Sm"),
    ("modifierletter", "Lm"),
    ("modifiersymbol", "Sk"),
    ("nonspacingmark", "Mn"),
    ("number", "N"),
    ("openpunctuation", "Ps"),
    ("other", "C"),
    ("otherletter", "Lo"),
    ("othernumber", "No"),
    ("otherpunctuation", "Po"),
    ("othersymbol", "So"),
    ("paragraphseparator", "Zp"),
    ("privateuse", "Co"),
    ("punct", "P"),
    ("punctuation", "P"),
    ("separator", "Z"),
    ("spaceseparator", "Zs"),
    ("spacingmark", "Mc"),
    ("surrogate", "Cs"),
    ("symbol", "S"),
    ("titlecaseletter", "Lt"),
    ("unassigned", "Cn"),
    ("uppercaseletter", "Lu"),
];

impl Tables {
    /// The ranges of `\d`, `\s` or `\w`, by the letter.
    pub(super) fn perl(&self, letter: char) -> Option<RuneSet> {
        let mut name = [0; 4];
        ascii_class(self.perl, letter.encode_utf8(&mut name))
    }

    /// The ranges of `[:name:]`.
    pub(super) fn posix(&self, name: &str) -> Option<RuneSet> {
        ascii_class(self.posix, name)
    }

    /// The ranges of `\p{name}`: a category, a script, `Any`, `Assigned` or `ASCII`, by its
    /// [`plain`] name.
    pub(super) fn named(&self, name: &str) -> Option<RuneSet> {
        match name {
            "any" => return Some(RuneSet::from_ranges([(0, RUNE_MAX)].to_vec())),
            "ascii" => return Some(RuneSet::from_ranges([(0, 0x7F)].to_vec())),
            "assigned" => return Some(self.unassigned()?.negated()),
            _ => {}
        }
        let long = CATEGORY_NAMES.iter().find(|(known, _)| *known == name);
        let category = long.map_or_else(|| plain(name), |(_, short)| plain(short));
        match category.as_str() {
            "cn" => self.unassigned(),
            "lc" => self.union(|kind| matches!(kind, "Ll" | "Lt" | "Lu")),
            // Go counts the unassigned among the others.
            "c" => {
                let mut ranges = self.unassigned()?.ranges().to_vec();
                ranges.extend_from_slice(self.union(|kind| kind.starts_with('C'))?.ranges());
                Some(RuneSet::from_ranges(ranges))
            }
            "l" | "m" | "n" | "p" | "s" | "z" => {
                self.union(|kind| kind.get(..1).is_some_and(|first| plain(first) == category))
            }
            _ => lines(self.unicode)
                .find(|line| is_called(line.name, &category))
                .and_then(|line| Some(RuneSet::from_ranges(line.ranges()?))),
        }
    }

    fn unassigned(&self) -> Option<RuneSet> {
        Some(self.union(|_| true)?.negated())
    }

    fn union(&self, wanted: impl Fn(&str) -> bool) -> Option<RuneSet> {
        let mut ranges = Vec::new();
        let categories = lines(self.unicode).filter(|line| line.table == "category");
        for line in categories.filter(|line| wanted(line.name)) {
            ranges.extend(line.ranges()?);
        }
        Some(RuneSet::from_ranges(ranges))
    }
}

fn ascii_class(classes: &[AsciiClass], name: &str) -> Option<RuneSet> {
    let (_, ranges) = classes.iter().find(|(known, _)| *known == name)?;
    let ranges = ranges
        .iter()
        .map(|&(lo, hi)| (u32::from(lo), u32::from(hi)));
    Some(RuneSet::from_ranges(ranges.collect()))
}

/// Whether `(?i)` changes nothing in the class of this [`plain`] name: Go has no folding table for
/// `LC`, and so leaves out U+0345, which elsewhere is the same letter as an iota.
pub(super) fn ignores_case(name: &str) -> bool {
    matches!(name, "casedletter" | "lc")
}

/// The name as it is looked up: case, blanks, `_` and `-` in it count for nothing.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter_map(plain_char).collect()
}

fn plain_char(c: char) -> Option<char> {
    (!matches!(c, '_' | '-' | ' ')).then(|| c.to_ascii_lowercase())
}

/// Whether a table's name is this one, looked up.
fn is_called(table: &str, plain: &str) -> bool {
    table.chars().filter_map(plain_char).eq(plain.chars())
}

/// One table of the file: its words, over as many lines as it takes.
struct Line {
    table: &'static str,
    name: &'static str,
    words: &'static str,
}

impl Line {
    fn ranges(&self) -> Option<Vec<(u32, u32)>> {
        let mut next = 0;
        let mut ranges = Vec::new();
        for word in self.words.split_ascii_whitespace() {
            let (gap, more) = word.split_once('+').unwrap_or((word, "0"));
            let lo = hex(gap)?.checked_add(next)?;
            let hi = hex(more)?.checked_add(lo)?;
            ranges.push((lo, hi));
            next = hi.checked_add(1)?;
        }
        Some(ranges)
    }
}

fn hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

/// The names of the tables of ranges.
#[cfg(test)]
pub(super) fn names(tables: Tables) -> impl Iterator<Item = &'static str> {
    lines(tables.unicode).map(|line| line.name)
}

/// The tables of ranges, in the order of the file.
fn lines(unicode: &'static str) -> impl Iterator<Item = Line> {
    tables(unicode).filter_map(|text| {
        let (table, rest) = text.split_once(' ')?;
        let (name, words) = rest.split_once(' ')?;
        (table != "fold").then_some(Line { table, name, words })
    })
}

fn tables(unicode: &'static str) -> impl Iterator<Item = &'static str> {
    let mut rest = unicode;
    core::iter::from_fn(move || {
        let ends = rest.match_indices('\n').map(|(at, _)| at);
        let end = ends
            .into_iter()
            .find(|at| !rest.get(at + 1..).unwrap_or("").starts_with(' '))?;
        let (table, after) = rest.split_at_checked(end)?;
        rest = after.strip_prefix('\n')?;
        Some(table)
    })
    .filter(|table| !table.starts_with('#'))
}

/// Which code points are the same letter: `K`, `k` and the Kelvin sign.
#[derive(Debug)]
pub(super) struct Folds {
    /// Each pair both ways round, in order.
    pairs: Vec<(u32, u32)>,
}

impl Folds {
    pub(super) fn new(tables: &Tables) -> Self {
        let words = self::tables(tables.unicode)
            .find_map(|table| table.strip_prefix("fold "))
            .unwrap_or("");
        let mut pairs = Vec::new();
        for word in words.split_ascii_whitespace() {
            let (word, step) = word.split_once('/').unwrap_or((word, "1"));
            let (word, count) = word.split_once('*').unwrap_or((word, "1"));
            let (from, distance) = word.split_once('+').unwrap_or((word, "0"));
            let numbers = (hex(from), hex(distance), hex(count), hex(step));
            let (Some(from), Some(distance), Some(count), Some(step)) = numbers else {
                continue;
            };
            for k in 0..count {
                let one = from + k * step;
                pairs.extend([(one, one + distance), (one + distance, one)]);
            }
        }
        pairs.sort_unstable();
        Self { pairs }
    }

    /// The pairs whose first is between these two, or one of them.
    pub(super) fn of_range(&self, lo: u32, hi: u32) -> &[(u32, u32)] {
        let start = self.pairs.partition_point(|&(one, _)| one < lo);
        let end = self.pairs.partition_point(|&(one, _)| one <= hi);
        self.pairs.get(start..end).unwrap_or(&[])
    }
}
