//! What came of the cases: for people, and as `JUnit` XML.

use super::coverage::Coverage;
use super::{Expected, Judged, Outcome, Report, Tested};
use crate::commands::findings::shown;
use crate::commands::policy::call::Line;

/// Characters of a text of the cases that are shown.
const TEXT_CHARS: usize = 400;

/// Only what is not as expected, then counts, then what no case reaches.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for Tested { file, cases, .. } in &report.files {
        for case in cases.iter().filter(|case| !case.ok) {
            let name = shown(&case.name, TEXT_CHARS);
            text += &format!(
                "not as expected: {name} ({}:{})\n",
                shown(file, 1024),
                case.line
            );
            for line in told(case) {
                text += &format!("  {line}\n");
            }
        }
    }
    for coverage in &report.coverage {
        text += &covered(coverage);
    }
    let (passed, failed) = (report.passed, report.failed);
    text + &format!(
        "{} cases, {passed} as expected, {failed} not\n",
        passed + failed
    )
}

/// What was expected of a case and what came, for each of its calls that is not as expected.
fn told(case: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, step) in (1..).zip(&case.steps).filter(|(_, step)| !step.ok) {
        let Judged {
            line,
            expected,
            got,
            why,
            ..
        } = step;
        if case.steps.len() > 1 {
            lines.push(format!("call {number}, line {line}"));
        }
        let Expected {
            verdict,
            rule,
            reason,
            message,
        } = expected;
        let wanted = [rule, reason, message];
        lines.push(format!(
            "expected  {}",
            line_of(verdict, &wanted, expected.message.is_some())
        ));
        let Line {
            verdict,
            rule,
            pointer: _,
            reason,
            message,
        } = got;
        // The message where it was asked for, or where it says why a call is none.
        let with_message = expected.message.is_some() || rule.is_none();
        lines.push(format!(
            "got       {}",
            line_of(verdict, &[rule, reason, message], with_message)
        ));
        lines.extend(why.iter().map(|line| format!("          {line}")));
    }
    lines
}

fn line_of(verdict: &str, [rule, reason, message]: &[&Option<String>; 3], full: bool) -> String {
    let mut line = verdict.to_owned();
    if let Some(rule) = rule {
        line = line + "  " + &shown(rule, TEXT_CHARS);
    }
    if let Some(reason) = reason {
        line = line + "  (" + &shown(reason, TEXT_CHARS) + ")";
    }
    match message.as_deref().filter(|_| full) {
        Some(message) => line + "  `" + &shown(message, TEXT_CHARS) + "`",
        None => line,
    }
}

fn covered(coverage: &Coverage) -> String {
    let all = coverage.rules.len();
    let missed: Vec<_> = coverage.missed().collect();
    let policy = shown(&coverage.policy, 1024);
    let mut text = format!(
        "{policy}: {} of {all} rules denied a call\n",
        all - missed.len()
    );
    for one in missed {
        let (rule, pointer) = (
            shown(&one.rule, TEXT_CHARS),
            shown(&one.pointer, TEXT_CHARS),
        );
        text += &format!("  no case is denied by {rule} ({pointer})\n");
    }
    for one in coverage.one_sided() {
        let what = if one.held == 0 {
            "never true"
        } else {
            "always true"
        };
        let (rule, pointer) = (
            shown(&one.rule, TEXT_CHARS),
            shown(&one.pointer, TEXT_CHARS),
        );
        text += &format!("  {what}: {rule} ({pointer})\n");
    }
    text
}

/// As test reporters of build servers read it.
pub(super) fn junit(report: &Report) -> String {
    let (tests, failures) = (report.passed + report.failed, report.failed);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"tollbook policy test\" tests=\"{tests}\" failures=\"{failures}\">\n"
    );
    for Tested {
        file,
        policy,
        digest,
        cases,
    } in &report.files
    {
        let failures = cases.iter().filter(|case| !case.ok).count();
        let (file, policy) = (escaped(file), escaped(policy));
        xml += &format!(
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" \
             skipped=\"0\">\n    <properties>\n      \
             <property name=\"policy\" value=\"{policy}\"/>\n      \
             <property name=\"digest\" value=\"{digest}\"/>\n    </properties>\n",
            cases.len()
        );
        for case in cases {
            xml += &test_case(case, &policy, &file);
        }
        xml += "  </testsuite>\n";
    }
    xml + "</testsuites>\n"
}

fn test_case(case: &Outcome, policy: &str, file: &str) -> String {
    let (name, line) = (escaped(&case.name), case.line);
    let head = format!(
        "    <testcase classname=\"{policy}\" name=\"{name}\" file=\"{file}\" line=\"{line}\""
    );
    if case.ok {
        return head + "/>\n";
    }
    let told = told(case);
    let got = told.iter().find_map(|line| line.strip_prefix("got"));
    let message = escaped(got.unwrap_or_default().trim_start());
    let text = escaped(&told.join("\n"));
    format!(
        "{head}>\n      <failure type=\"verdict\" message=\"got {message}\">{text}</failure>\n    \
         </testcase>\n"
    )
}

/// For an attribute or a text: what XML 1.0 cannot hold at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As themselves, parsers would make spaces of them.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
