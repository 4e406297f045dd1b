//! What a decision costs from the raw body on: ours (strict parse, one reading, compiled policy)
//! against the plain way (`serde_json::Value` and `regex::Regex`, hand-written checks, nothing
//! refused). The figures to compare are the ratios.

#![expect(clippy::print_stdout, reason = "the table is this program's product")]

use std::ffi::OsString;
use std::hint::black_box;
use std::process::ExitCode;

use tollbook_bench::body::{ALLOWED, call};
use tollbook_bench::ways::{Plain, Tollbook};
use tollbook_bench::{Way, large, table};

/// What was asked for.
enum Asked {
    /// The tables.
    Tables,
    /// The tables, and a picture in this file.
    Picture(OsString),
    /// So many decisions on a body of so many bytes and nothing else, for who counts instructions.
    Once { bytes: usize, times: u32 },
}

fn asked(arguments: &[OsString]) -> Option<Asked> {
    match arguments {
        [] => Some(Asked::Tables),
        [flag, file] if flag == "--svg" => Some(Asked::Picture(file.clone())),
        [flag, bytes, times] if flag == "--once" => Some(Asked::Once {
            bytes: bytes.to_str()?.parse().ok()?,
            times: times.to_str()?.parse().ok()?,
        }),
        _ => None,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let file = match asked(&arguments) {
        None => {
            println!("usage: decision [--svg FILE | --once BYTES TIMES]");
            return ExitCode::from(2);
        }
        Some(Asked::Once { bytes, times }) => {
            let body = call(&ALLOWED, bytes);
            let mut ours = Tollbook::default();
            for _ in 0..times {
                assert!(ours.allows(black_box(&body)), "the call is allowed");
            }
            return ExitCode::SUCCESS;
        }
        Some(Asked::Tables) => None,
        Some(Asked::Picture(file)) => Some(file),
    };
    let (mut ours, plain) = (Tollbook::default(), Plain::default());
    let mut ways = [
        Way::new("tollbook", |body| ours.allows(body)),
        Way::new("serde_json + regex", |body| plain.allows(body)),
    ];
    let rows = table::print(&mut ways);
    println!();
    large::print();
    let Some(file) = file else {
        return ExitCode::SUCCESS;
    };
    #[expect(clippy::disallowed_methods, reason = "a picture needs no durability")]
    let written = std::fs::write(&file, table::picture(&ways, &rows));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("decision: cannot write {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
