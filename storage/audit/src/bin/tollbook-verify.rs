//! Verifies a log without a cluster, a network or a database. See `FORMAT.md`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tollbook_audit::dir::{self, Options};
use tollbook_audit::report::Strictness;
use tollbook_audit::verify::Depth;

const USAGE: u8 = 2;

const HELP: &str = "\
Verifies a tollbook audit log offline.

Usage: tollbook-verify DIR [--trust FILE] [--known NOTE] [--chain] [--strict] [--json]

  DIR           a node's directory or its log/; read only, copies are fine
  --trust FILE  whose keys count (C2SP tlog-policy); default: DIR/trust.policy
  --known NOTE  a signed checkpoint that you kept; the log must continue it
  --chain       check the chain of frames only: fast, proves nothing about signatures
  --strict      exit 4 for exceptions too
  --json        one JSON object in place of lines
  -h, --help    this text
  -V, --version

Exit: 0 valid or exceptions, 2 usage, 3 tampered or diverged, 4 incomplete or unreadable.
";

/// What the command line asks for.
enum Asked {
    Help,
    Usage(String),
    Verify {
        dir: PathBuf,
        options: Options,
        strictness: Strictness,
        json: bool,
    },
    Version,
}

fn main() -> ExitCode {
    let (text, code) = match parse(std::env::args_os().skip(1)) {
        Asked::Help => (HELP.to_owned(), 0),
        Asked::Version => (
            format!("tollbook-verify {}\n", env!("CARGO_PKG_VERSION")),
            0,
        ),
        Asked::Usage(fault) => {
            let text = format!("{fault}; see `tollbook-verify --help`\n");
            return finish(&mut io::stderr(), &text, USAGE);
        }
        Asked::Verify {
            dir,
            options,
            strictness,
            json,
        } => {
            let report = dir::verify(&dir, &options);
            let code = report.exit_code(strictness);
            (
                if json {
                    report.to_json() + "\n"
                } else {
                    report.to_string()
                },
                code,
            )
        }
    };
    finish(&mut io::stdout(), &text, code)
}

fn finish(to: &mut impl Write, text: &str, code: u8) -> ExitCode {
    // Whoever closed the pipe has read enough; the exit code still says what was found.
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(4),
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Asked {
    let mut dir = None;
    let mut options = Options::default();
    let mut strictness = Strictness::Lenient;
    let mut json = false;
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("-h" | "--help") => return Asked::Help,
            Some("-V" | "--version") => return Asked::Version,
            Some("--chain") => options.depth = Depth::Chain,
            Some("--json") => json = true,
            Some("--strict") => strictness = Strictness::Strict,
            Some(name @ ("--known" | "--trust")) => {
                let Some(value) = args.next().map(PathBuf::from) else {
                    return Asked::Usage(format!("`{name}` wants a file"));
                };
                let place = if name == "--known" {
                    &mut options.known
                } else {
                    &mut options.trust
                };
                if place.replace(value).is_some() {
                    return Asked::Usage(format!("`{name}` is there twice"));
                }
            }
            Some(flag) if flag.starts_with('-') => {
                return Asked::Usage(format!("no option `{flag}`"));
            }
            Some(_) | None => {
                if dir.replace(PathBuf::from(arg)).is_some() {
                    return Asked::Usage("one directory at a time".to_owned());
                }
            }
        }
    }
    match dir {
        Some(dir) => Asked::Verify {
            dir,
            options,
            strictness,
            json,
        },
        None => Asked::Usage("which directory?".to_owned()),
    }
}
