//! Counts what one decision allocates once the reader is warm: nothing, for a call that is
//! allowed, is what is promised. A program of its own, so that counting slows nobody's figures.

#![expect(clippy::print_stdout, reason = "the count is this program's product")]

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use tollbook_bench::body::{ALLOWED, call};
use tollbook_bench::table::SIZES;
use tollbook_bench::ways::{Plain, Tollbook};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Decisions that are counted together, after as many that warm up.
const TIMES: usize = 100;

fn count(mut allows: impl FnMut() -> bool) -> usize {
    let mut all = true;
    for _ in 0..TIMES {
        all &= allows();
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        all &= allows();
    }
    let change = region.change();
    assert!(all, "the call is allowed");
    change.allocations + change.reallocations
}

fn main() -> ExitCode {
    println!("allocations of {TIMES} decisions once warm");
    println!(
        "{:>7}  {:>8}  {:>18}",
        "bytes", "tollbook", "serde_json + regex"
    );
    let mut none = true;
    for bytes in SIZES {
        let body = call(&ALLOWED, bytes);
        let (mut ours, plain) = (Tollbook::default(), Plain::default());
        let own = count(|| ours.allows(&body));
        let others = count(|| plain.allows(&body));
        println!("{bytes:>7}  {own:>8}  {others:>18}");
        none &= own == 0;
    }
    if none {
        ExitCode::SUCCESS
    } else {
        println!("allocations: a decision is meant to allocate nothing");
        ExitCode::FAILURE
    }
}
