//! Findings of a policy, each with its place and the line that it is about.

use crate::admin::api::{Finding, Severity};

/// Characters of a line that are shown; a minified policy is one line of many thousand.
const SHOWN_CHARS: usize = 88;

/// One finding for people: what, where, the line underlined, what to do.
pub(super) fn render(file: &str, text: &str, finding: &Finding) -> String {
    let Finding {
        code,
        severity,
        line,
        column,
        end_line,
        end_column,
        pointer,
        message,
        help,
    } = finding;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let gutter = " ".repeat(line.to_string().len());
    let place = if pointer.is_empty() {
        String::new()
    } else {
        let pointer: String = pointer.chars().map(visible).collect();
        format!(" ({pointer})")
    };
    let mut lines = vec![
        format!("{severity}[{code}]: {message}"),
        format!("{gutter}--> {file}:{line}:{column}{place}"),
    ];
    if let Some(Excerpt {
        line: shown,
        before,
        marks,
    }) = excerpt(text, (*line, *column), (*end_line, *end_column))
    {
        lines.push(format!("{gutter} |"));
        lines.push(format!("{line} | {shown}"));
        lines.push(format!("{gutter} | {:before$}{:^<marks$}", "", ""));
    }
    if let Some(help) = help {
        lines.push(format!("{gutter} = help: {help}"));
    }
    lines
        .iter()
        .fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// Part of a line, and what of it is underlined.
struct Excerpt {
    line: String,
    before: usize,
    marks: usize,
}

/// The line of a place. What ends on another line is underlined to the end of its first.
fn excerpt(text: &str, (line, column): (u32, u32), end: (u32, u32)) -> Option<Excerpt> {
    let index = |number: u32| usize::try_from(number).ok()?.checked_sub(1);
    let shown = text.split('\n').nth(index(line)?)?;
    let shown = shown.strip_suffix('\r').unwrap_or(shown);
    let at = index(column)?;
    // Only what is shown is copied: a minified policy is one line, with hundreds of findings.
    let mut start = at.saturating_sub(SHOWN_CHARS / 3);
    let after = shown.chars().skip(start).take(SHOWN_CHARS + 1).count();
    let is_cut = after > SHOWN_CHARS;
    start -= SHOWN_CHARS.saturating_sub(after).min(start);
    let line_chars = shown.chars().skip(start).take(SHOWN_CHARS);
    let chars: Vec<char> = line_chars.map(visible).collect();
    // Past the end is where something is missing.
    let rest = chars.len().checked_sub(at - start)?;
    let marks = match index(end.1).filter(|_| end.0 == line) {
        Some(end) => end.saturating_sub(at),
        None if end.0 > line => rest,
        None => 1,
    };
    let mut shown: String = chars.into_iter().collect();
    let mut before = at - start;
    if start > 0 {
        shown.insert(0, '…');
        before += 1;
    }
    if is_cut {
        shown.push('…');
    }
    Some(Excerpt {
        line: shown,
        before,
        marks: marks.min(rest).max(1),
    })
}

/// A text as a terminal may have it, and no longer than `chars_max`.
pub(super) fn shown(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(chars_max).map(visible).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// What may be written to a terminal: one cell a character, nothing that moves the cursor.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() || c == '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: u32, column: u32) -> Finding {
        Finding {
            code: "TB-POL-010".to_owned(),
            severity: Severity::Error,
            line,
            column,
            end_line: line,
            end_column: column + 6,
            pointer: "/tols".to_owned(),
            message: "unknown field `tols`".to_owned(),
            help: Some("did you mean `tools`?".to_owned()),
        }
    }

    #[test]
    fn the_offending_token_is_underlined() {
        let text = "{\n\t\"version\": \"1\",\n\t\"tols\": {}\n}\n";
        let shown = render("p.json", text, &finding(3, 2));
        let wanted = "error[TB-POL-010]: unknown field `tols`\n \
                      --> p.json:3:2 (/tols)\n  |\n\
                      3 |  \"tols\": {}\n  |  ^^^^^^\n  = help: did you mean `tools`?\n";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}\"tols\"{}", "x".repeat(5000), "y".repeat(5000));
        let shown = render("p.json", &text, &finding(1, 5001));
        let line = shown.lines().find(|line| line.starts_with("1 |")).unwrap();
        assert!(line.chars().count() < 100, "{line}");
        let marks = shown.lines().find(|line| line.contains('^')).unwrap();
        let at = marks.chars().position(|c| c == '^').unwrap();
        assert_eq!(line.chars().nth(at), Some('"'), "{shown}");
    }

    #[test]
    fn a_place_that_does_not_exist_shows_no_line() {
        for (line, column) in [(0, 0), (0, 1), (1, 0), (9, 1), (1, 99)] {
            let shown = render("p.json", "{}", &finding(line, column));
            assert!(!shown.contains('^'), "{shown}");
        }
        // The end of the text is a place.
        assert!(render("p.json", "{", &finding(1, 2)).contains('^'));
        assert!(render("p.json", "", &finding(1, 1)).contains('^'));
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_printed() {
        let shown = render("p.json", "\u{1b}[31m\u{202e}\r", &finding(1, 1));
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\r']), "{shown:?}");
    }
}
