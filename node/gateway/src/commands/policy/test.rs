//! `tollbook policy test`: holds a policy to what its author expects of calls.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use tollbook_audit::hex;
use tollbook_policy::check;

use self::cases::{Case, Cases, Expect, Step};
use self::coverage::Coverage;
use super::call::{Line, Trial, text_of};
use super::{api_all, trace};
use crate::admin::api::Finding;
use crate::commands::{Exit, Failure, Output, findings, note, out};

mod cases;
mod coverage;
mod report;

#[derive(Args, Debug)]
#[command(after_help = "A file holds a policy's name and cases:\n  \
    { \"policy\": \"refunds.json\",\n    \"cases\": [\n      \
    { \"name\": \"small ones pass\", \"expect\": \"allow\",\n        \
    \"call\": { \"tool\": \"create_refund\", \"arguments\": { \"amount\": 50 } } } ] }\n\n\
    Exit 0 if all is as expected, 3 if anything is not, 2 if a file cannot be used.\n\n\
    Example:\n  tollbook policy test refunds.test.json --junit refunds.xml --require-coverage")]
pub(in crate::commands) struct Test {
    /// Files of cases, JSON; the policy that each names is looked for beside it
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the results as `JUnit` XML too; `-` prints them instead of the rest
    #[arg(long, value_name = "FILE|-")]
    junit: Option<PathBuf>,
    /// Exit 3 if there is a rule or limit by which no case is denied
    #[arg(long)]
    require_coverage: bool,
}

/// What came of one file.
#[derive(Debug, Serialize)]
struct Tested {
    file: String,
    policy: String,
    digest: String,
    cases: Vec<Outcome>,
}

/// What came of one case.
#[derive(Debug, Serialize)]
struct Outcome {
    name: String,
    line: u32,
    ok: bool,
    steps: Vec<Judged>,
}

/// What came of one call.
#[derive(Debug, Serialize)]
struct Judged {
    line: u32,
    ok: bool,
    expected: Expected,
    got: Line,
    /// What decided, and what was expected to; for a call that is not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Expected {
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// All that is reported.
#[derive(Debug, Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    files: Vec<Tested>,
    coverage: Vec<Coverage>,
}

pub(in crate::commands) fn run(test: &Test, output: Output) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    // Files that test one policy cover it together.
    let mut coverage = BTreeMap::new();
    let mut usable = true;
    for path in &test.files {
        match run_file(path, &mut coverage)? {
            Some(tested) => files.push(tested),
            None => usable = false,
        }
    }
    if !usable {
        return Ok(Exit::Usage);
    }
    let cases = || files.iter().flat_map(|tested| &tested.cases);
    let failed = cases().filter(|case| !case.ok).count();
    let report = Report {
        passed: cases().count() - failed,
        failed,
        files,
        coverage: coverage.into_values().collect(),
    };
    let uncovered = report.coverage.iter().any(|one| one.missed().count() > 0);
    let bad = failed > 0 || (test.require_coverage && uncovered);
    let printed = print(test, output, &report);
    out::verdict(if bad { Exit::Negative } else { Exit::Done }, printed)
}

fn print(test: &Test, output: Output, report: &Report) -> Result<(), Failure> {
    match test.junit.as_deref() {
        Some(path) if path == Path::new("-") => return out::text(&report::junit(report)),
        Some(path) => {
            let written = File::create(path)
                .and_then(|mut file| file.write_all(report::junit(report).as_bytes()));
            written.map_err(|source| Failure::Write {
                path: path.to_owned(),
                source,
            })?;
        }
        None => {}
    }
    match output {
        Output::Table => out::text(&report::text(report)),
        Output::Json => out::json(report),
        Output::Jsonl => report.files.iter().try_for_each(out::json),
    }
}

/// Runs one file's cases. None: it cannot be used, which the person has been told.
fn run_file(
    path: &Path,
    coverage: &mut BTreeMap<PathBuf, Coverage>,
) -> Result<Option<Tested>, Failure> {
    let text = text_of(path)?;
    let file = path.display().to_string();
    let tell = |findings: &[Finding]| {
        for finding in findings {
            note(findings::render(&file, &text, finding).trim_end());
        }
    };
    let cases = match cases::read(&text) {
        Ok(cases) => cases,
        Err(found) => {
            tell(&found);
            return Ok(None);
        }
    };
    let beside = path
        .parent()
        .unwrap_or_else(|| Path::new(""))
        .join(&cases.policy);
    let mut trial = match open_policy(&beside) {
        Ok(trial) => trial,
        Err(why) => {
            let help = "`policy` is a file beside this one".to_owned();
            let what = ("TB-TEST-POLICY", why, Some(help));
            let mut found = cases::finding(&text, None, cases.policy_at, what);
            found.pointer.push_str("/policy");
            tell(&[found]);
            return Ok(None);
        }
    };
    let Cases { policy, cases, .. } = cases;
    let digest = hex(&trial.policy.digest());
    let known = coverage.entry(beside.canonicalize().unwrap_or(beside));
    let covered =
        known.or_insert_with(|| Coverage::new(policy.clone(), &trial.text, &trial.policy));
    let run = |case| run_case(case, &mut trial, covered);
    Ok(Some(Tested {
        file,
        policy,
        digest,
        cases: cases.into_iter().map(run).collect(),
    }))
}

/// Opens a policy, or says why not; its own findings are told.
fn open_policy(path: &Path) -> Result<Trial, String> {
    let shown = path.display();
    let text = text_of(path).map_err(|failure| {
        let why = failure.source().map(ToString::to_string);
        format!("cannot read `{shown}`: {}", why.unwrap_or_default())
    })?;
    match check(&text) {
        Ok(policy) => Ok(Trial::new(text, policy)),
        Err(found) => {
            for finding in api_all(&found) {
                note(findings::render(&shown.to_string(), &text, &finding).trim_end());
            }
            Err(format!("`{shown}` has errors"))
        }
    }
}

/// Counters start at zero and add up over the steps.
fn run_case(case: Case, trial: &mut Trial, covered: &mut Coverage) -> Outcome {
    let Case { name, line, steps } = case;
    trial.counters = tollbook_policy::Counters::new();
    let steps: Vec<Judged> = steps
        .into_iter()
        .map(|step| run_step(step, trial, covered))
        .collect();
    Outcome {
        name,
        line,
        ok: steps.iter().all(|step| step.ok),
        steps,
    }
}

fn run_step(step: Step, trial: &mut Trial, covered: &mut Coverage) -> Judged {
    let Step { call, line, expect } = step;
    let (got, trace) = match &call {
        Err(fault) => (fault.line(), None),
        Ok(call) => {
            let (tool, arguments) = (call.tool(), call.arguments());
            let trace = trial.policy.trace(&tool, arguments, &trial.counters);
            covered.count(&trace);
            let shown = trace::Shown::of(&trace, true);
            (trial.judge(&tool, arguments), Some(shown))
        }
    };
    let ok = expect.is_met(&got);
    let why = trace
        .filter(|_| !ok)
        .map(|trace| trace.lines_about(expect.rule.as_deref(), &trial.text));
    let Expect {
        verdict,
        rule,
        reason,
        message,
    } = expect;
    Judged {
        line,
        ok,
        expected: Expected {
            verdict,
            rule,
            reason,
            message,
        },
        got,
        why: why.unwrap_or_default(),
    }
}

impl Expect {
    fn is_met(&self, got: &Line) -> bool {
        let agrees =
            |wanted: &Option<String>, got: &Option<String>| wanted.is_none() || wanted == got;
        self.verdict == got.verdict
            && agrees(&self.rule, &got.rule)
            && agrees(&self.reason, &got.reason)
            && agrees(&self.message, &got.message)
    }
}
