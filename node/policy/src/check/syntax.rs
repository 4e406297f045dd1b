//! What stops the reading of a text, said as exactly as its author can use it.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use super::fields::{quoted, shortened};
use super::profile_code;
use crate::finding::{Finding, Severity, code, push_index, push_token};
use crate::json::{
    Expected, ParseError, ParseErrorKind, ProfileErrorKind, ProfileLimits, line_and_column,
    parse_syntax,
};

/// What is wrong, where, and what to do.
struct Fault {
    span: Range<usize>,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The only finding of a text that is no document: behind this place nothing can be said.
pub(super) fn finding(text: &str, error: ParseError) -> Finding {
    let at = error.at.min(text.len());
    let oversize = matches!(
        error.kind,
        ParseErrorKind::Profile(ProfileErrorKind::DocumentBytes { .. })
    );
    // Of a text that was not read at all there is nothing to point into.
    let before = if oversize {
        ""
    } else {
        text.get(..at).unwrap_or_default()
    };
    let open = Open::of(before);
    let code = match error.kind {
        ParseErrorKind::Profile(kind) => profile_code(kind),
        ParseErrorKind::ByteOrderMark
        | ParseErrorKind::ControlInString
        | ParseErrorKind::End
        | ParseErrorKind::Escape
        | ParseErrorKind::Expected(_)
        | ParseErrorKind::Number
        | ParseErrorKind::Trailing => code::SYNTAX,
    };
    let Fault {
        span,
        message,
        help,
    } = Place {
        text,
        at,
        open: &open,
    }
    .fault(error.kind);
    let (line, column) = line_and_column(text, span.start);
    let (end_line, end_column) = line_and_column(text, span.end);
    Finding {
        code,
        severity: Severity::Error,
        line,
        column,
        end_line,
        end_column,
        pointer: pointer(&open),
        message,
        help,
    }
}

/// An array or object that is not closed yet.
struct Open<'t> {
    at: usize,
    is_object: bool,
    /// The key that was read last, with its quotes.
    key: Option<&'t str>,
    index: usize,
}

impl<'t> Open<'t> {
    /// What is open at the end of the beginning of a document; the innermost last.
    fn of(before: &'t str) -> Vec<Self> {
        let mut open: Vec<Self> = Vec::new();
        let mut string = None;
        let mut last = "";
        let mut escaped = false;
        for (at, byte) in before.bytes().enumerate() {
            if let Some(start) = string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        last = before.get(start..=at).unwrap_or_default();
                        string = None;
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => string = Some(at),
                b'{' | b'[' => open.push(Self {
                    at,
                    is_object: byte == b'{',
                    key: None,
                    index: 0,
                }),
                b'}' | b']' => drop(open.pop()),
                b':' | b',' => {
                    if let Some(here) = open.last_mut() {
                        here.index += usize::from(byte == b',');
                        here.key = (byte == b':').then_some(last);
                    }
                }
                _ => {}
            }
        }
        open
    }
}

fn pointer(open: &[Open<'_>]) -> String {
    let mut pointer = String::new();
    for here in open {
        if !here.is_object {
            push_index(&mut pointer, here.index);
            continue;
        }
        let Some(key) = here.key else { break };
        let key = parse_syntax(key.to_owned(), &ProfileLimits::CALL);
        let key = key.map(|key| key.root().as_str().unwrap_or_default().into_owned());
        push_token(&mut pointer, &key.unwrap_or_default());
    }
    pointer
}

/// Where the reading stopped.
struct Place<'t> {
    text: &'t str,
    at: usize,
    open: &'t [Open<'t>],
}

impl<'t> Place<'t> {
    fn fault(&self, kind: ParseErrorKind) -> Fault {
        match kind {
            ParseErrorKind::ByteOrderMark => Fault::new(self.char(), kind.to_string()),
            ParseErrorKind::ControlInString => self.control(),
            ParseErrorKind::End => match self.string_start(self.text.len()) {
                Some(_) => self.unclosed_string(self.text.len()),
                None => self.too_short(),
            },
            ParseErrorKind::Escape => self.escape(),
            ParseErrorKind::Expected(expected) => self.expected(expected),
            ParseErrorKind::Number => self.number(),
            ParseErrorKind::Profile(kind) => {
                let fault = Fault::new(self.char(), kind.to_string());
                match kind {
                    ProfileErrorKind::DocumentBytes { .. } => {
                        fault.help("make several policies of it: each grant names its own")
                    }
                    ProfileErrorKind::LoneSurrogate => Fault {
                        // The whole escape, `\ud83d`.
                        span: self.at..(self.at + 6).min(self.text.len()),
                        ..fault.help("write the character itself")
                    },
                    ProfileErrorKind::ControlInKey
                    | ProfileErrorKind::Depth { .. }
                    | ProfileErrorKind::DuplicateKey
                    | ProfileErrorKind::Escape
                    | ProfileErrorKind::IntegerRange
                    | ProfileErrorKind::KeyBytes { .. }
                    | ProfileErrorKind::Nodes { .. }
                    | ProfileErrorKind::NumberBytes { .. }
                    | ProfileErrorKind::NumberRange
                    | ProfileErrorKind::ObjectKeys { .. }
                    | ProfileErrorKind::Proto => fault,
                }
            }
            ParseErrorKind::Trailing => self.trailing(),
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn char(&self) -> Range<usize> {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.at..self.at + length
    }

    /// What stands here up to where a name or number could not go on.
    fn word(&self) -> &'t str {
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']');
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn word_span(&self) -> Range<usize> {
        let length = self.word().len();
        self.at..self.at + length
    }

    /// The last character before this place that is no white space, and where it is.
    fn before(&self) -> Option<(usize, char)> {
        let before = self.text.get(..self.at)?.trim_end();
        let last = before.chars().next_back()?;
        Some((before.len() - last.len_utf8(), last))
    }

    fn line_of(&self, at: usize) -> u32 {
        line_and_column(self.text, at).0
    }

    /// Where the string that is open at `end` begins: on its line, for no string goes over lines.
    fn string_start(&self, end: usize) -> Option<usize> {
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let (mut start, mut escaped) = (None, false);
        for (offset, byte) in before.bytes().enumerate().skip(line) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if start.is_some() => escaped = true,
                b'"' if start.is_some() => start = None,
                b'"' => start = Some(offset),
                _ => {}
            }
        }
        start
    }

    fn unclosed_string(&self, end: usize) -> Fault {
        let start = self.string_start(end).unwrap_or(end);
        let message = "the string that begins here is not closed on its line";
        Fault::new(start..end, message)
            .help("put a `\"` at its end; a line break inside a text is written `\\n`")
    }

    fn control(&self) -> Fault {
        match self.rest().chars().next() {
            Some('\n' | '\r') => self.unclosed_string(self.at),
            Some('\t') => Fault::new(self.char(), "a tab in a string").help("write it as `\\t`"),
            Some(c) => {
                let code = u32::from(c);
                Fault::new(self.char(), "a control character in a string")
                    .help(format!("write it as `\\u{code:04x}`, or take it out"))
            }
            None => self.unclosed_string(self.at),
        }
    }

    fn escape(&self) -> Fault {
        let second = self.rest().chars().nth(1);
        let length = 1 + second.map_or(0, char::len_utf8);
        let given = self.rest().get(..length).unwrap_or_default();
        let message = format!("`{}` is no escape of JSON", shortened(given));
        let fault = Fault::new(self.at..self.at + length, message);
        match second {
            Some('u') => fault.help("`\\u` needs four hexadecimal digits, such as `\\u00e9`"),
            Some('\'') => fault.help("`'` needs no backslash"),
            Some(_) | None => {
                fault.help("a backslash in a text or pattern is written twice: `\\\\`")
            }
        }
    }

    fn number(&self) -> Fault {
        let word = self.word();
        let message = format!("{} is not a number as JSON writes it", quoted(word));
        let fault = Fault::new(self.word_span(), message);
        let digits = word.trim_start_matches('-');
        if digits.starts_with("0x") || digits.starts_with("0X") {
            return fault.help("write it with decimal digits");
        }
        if digits.contains('_') {
            return fault.help("write it without `_`");
        }
        let second = digits.chars().nth(1);
        if digits.starts_with('0') && second.is_some_and(|c| c.is_ascii_digit()) {
            return fault.help("take out the zeros that it begins with");
        }
        fault.help("numbers look like `100`, `-1`, `0.5` or `1e3`")
    }

    fn trailing(&self) -> Fault {
        if let Some(fault) = self.comment() {
            return fault;
        }
        match self.rest().chars().next() {
            Some('{' | '[' | '"') => Fault::new(
                self.char(),
                "a second document begins here; a policy is one JSON object",
            )
            .help("keep each policy in a file of its own"),
            Some(c @ ('}' | ']')) => {
                let message = format!("`{c}` closes nothing: the policy ended before it");
                Fault::new(self.char(), message).help("take it out, or look for one too many above")
            }
            Some(_) | None => {
                Fault::new(self.word_span(), "something follows the end of the policy")
                    .help("nothing may stand behind the last `}`")
            }
        }
    }

    fn comment(&self) -> Option<Fault> {
        let rest = self.rest();
        if !(rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#')) {
            return None;
        }
        let line = rest.lines().next().unwrap_or_default();
        let fault = Fault::new(self.at..self.at + line.len(), "JSON has no comments");
        Some(fault.help("say it in `description`, or leave it out"))
    }

    fn expected(&self, expected: Expected) -> Fault {
        let Some(here) = self.rest().chars().next() else {
            return self.too_short();
        };
        let trailing = self.before().filter(|(_, c)| *c == ',');
        if let (Some((comma, _)), '}' | ']') = (trailing, here) {
            let message = format!("a comma before the closing `{here}`");
            return Fault::new(comma..comma + 1, message).help("take the comma out");
        }
        if let Some(fault) = self.comment() {
            return fault;
        }
        match here {
            '\'' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '`' => {
                let message = format!("`{here}` is no quote of JSON");
                return Fault::new(self.char(), message).help("write texts in double quotes, `\"`");
            }
            '}' | ']' if self.closes_another(here) => return self.wrong_bracket(here),
            ',' if expected == Expected::Value || expected == Expected::Key => {
                let message = "a comma with nothing before it";
                return Fault::new(self.char(), message).help("take the comma out");
            }
            _ => {}
        }
        match expected {
            Expected::Colon => self.no_colon(here),
            Expected::CommaOrBrace | Expected::CommaOrBracket => self.no_comma(expected, here),
            Expected::Key => self.no_key(here),
            Expected::Value => self.no_value(here),
        }
    }

    fn too_short(&self) -> Fault {
        let end = self.text.trim_end().len();
        match self.open.last() {
            None => Fault::new(0..0, "the file is empty; a policy is one JSON object")
                .help("the shortest is `{\"version\": \"1\"}`, which denies everything"),
            Some(open) => {
                let (bracket, closing) = if open.is_object {
                    ("{", "}")
                } else {
                    ("[", "]")
                };
                let message = format!(
                    "the text ends before the `{bracket}` of line {} is closed",
                    self.line_of(open.at)
                );
                Fault::new(end..end, message).help(format!("add `{closing}`, or what is missing"))
            }
        }
    }

    fn closes_another(&self, here: char) -> bool {
        let open = self.open.last();
        open.is_none_or(|open| open.is_object != (here == '}'))
    }

    fn wrong_bracket(&self, here: char) -> Fault {
        let Some(open) = self.open.last() else {
            return Fault::new(self.char(), format!("`{here}` closes nothing"));
        };
        let (bracket, closing) = if open.is_object {
            ("{", "}")
        } else {
            ("[", "]")
        };
        let line = self.line_of(open.at);
        let message = format!("`{here}` does not close the `{bracket}` of line {line}");
        Fault::new(self.char(), message).help(format!("`{closing}` must come first"))
    }

    fn no_colon(&self, here: char) -> Fault {
        if here == '=' {
            let fault = Fault::new(self.char(), "`=` where `:` must stand");
            return fault.help("write `\"key\": value`");
        }
        if matches!(here, ',' | '}' | ']') {
            let fault = Fault::new(self.char(), "the key before this has no value");
            return fault.help("write `\"key\": value`");
        }
        Fault::new(self.char(), "`:` is missing between the key and its value")
    }

    fn no_comma(&self, expected: Expected, here: char) -> Fault {
        let what = match expected {
            Expected::CommaOrBracket => "element",
            Expected::Colon | Expected::CommaOrBrace | Expected::Key | Expected::Value => "member",
        };
        if matches!(here, '"' | '{' | '[' | '-') || here.is_alphanumeric() {
            let line = self.before().map_or(1, |(at, _)| self.line_of(at));
            let fault = Fault::new(
                self.char(),
                format!("a comma is missing before this {what}"),
            );
            return fault.help(format!(
                "put it at the end of the {what} before, on line {line}"
            ));
        }
        let message = format!("{expected}, not {}", quoted(self.word_or_char()));
        Fault::new(self.char(), format!("expected {message}"))
    }

    fn word_or_char(&self) -> &'t str {
        match self.word() {
            "" => self.text.get(self.char()).unwrap_or_default(),
            word => word,
        }
    }

    fn no_key(&self, here: char) -> Fault {
        if here.is_alphanumeric() || matches!(here, '_' | '$') {
            let word = self.word();
            let fault = Fault::new(self.word_span(), "a key without quotes");
            return fault.help(format!("write `\"{}\"`", shortened(word)));
        }
        let message = format!(
            "expected a key in double quotes, not {}",
            quoted(self.word_or_char())
        );
        Fault::new(self.char(), message)
    }

    fn no_value(&self, here: char) -> Fault {
        let word = self.word();
        let same = |name: &str| word.eq_ignore_ascii_case(name);
        let fault = Fault::new(
            self.word_span(),
            format!("{} is no value of JSON", quoted(word)),
        );
        if same("true") || same("yes") || same("on") {
            return fault.help("did you mean `true`?");
        }
        if same("false") || same("no") || same("off") {
            return fault.help("did you mean `false`?");
        }
        if same("none") || same("null") || same("nil") || same("undefined") {
            return fault.help("leave the member out: a policy has no `null`");
        }
        let unsigned = word.trim_start_matches(['-', '+']);
        if ["nan", "inf", "infinity"]
            .iter()
            .any(|name| unsigned.eq_ignore_ascii_case(name))
        {
            return fault.help("write the number that is meant");
        }
        let digits = unsigned.trim_start_matches('.');
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            return fault.help("numbers look like `100`, `-1`, `0.5` or `1e3`, without `+`");
        }
        if here.is_alphabetic() || matches!(here, '_' | '$' | '*' | '/') {
            let fault = Fault::new(self.word_span(), "a text without quotes");
            return fault.help(format!("write `\"{}\"`", shortened(word)));
        }
        let message = format!("expected a value, not {}", quoted(self.word_or_char()));
        Fault::new(self.char(), message)
    }
}
