//! The comparison as a table and as a picture.

use crate::body::{ALLOWED, BYTES_MIN, DENIED, call};
use crate::chart::{Bar, svg};
use crate::measure::{ROUNDS, Way, decisions};

/// Bytes of the bodies that are decided on.
pub const SIZES: [usize; 3] = [BYTES_MIN, 4 << 10, 64 << 10];

/// What each way takes for a body of one size.
#[derive(Debug)]
pub struct Row {
    bytes: usize,
    /// In the order of the ways.
    ns: Vec<u64>,
}

/// Lets all ways decide the same calls and stops where they differ; then measures, and prints.
/// The ratios are to the first way.
pub fn print(ways: &mut [Way<'_>]) -> Vec<Row> {
    agree(ways);
    println!(
        "one decision from the raw body on: thread CPU time, median of {ROUNDS} interleaved rounds"
    );
    print!("{:>7}", "bytes");
    for way in ways.iter() {
        print!("  {:>23}", way.name);
    }
    println!();
    SIZES
        .iter()
        .map(|bytes| {
            let ns = decisions(ways, &call(&ALLOWED, *bytes));
            let ours = ns.first().copied().unwrap_or_default();
            print!("{bytes:>7}");
            for other in &ns {
                let shown = format!("{other} ns ({})", ratio(*other, ours));
                print!("  {shown:>23}");
            }
            println!();
            Row { bytes: *bytes, ns }
        })
        .collect()
}

/// Every way gives every call the verdict that the policy means.
fn agree(ways: &mut [Way<'_>]) {
    for way in ways {
        for bytes in SIZES {
            let name = way.name;
            assert!(
                (way.allows)(&call(&ALLOWED, bytes)),
                "{name}, {bytes} bytes"
            );
            for said in &DENIED {
                let allowed = (way.allows)(&call(said, bytes));
                assert!(!allowed, "{name} allows {said:?}, {bytes} bytes");
            }
        }
    }
}

/// `many` over `one` with a digit after the point.
pub fn ratio(many: u64, one: u64) -> String {
    let tenths = (many * 10 + one / 2) / one.max(1);
    format!("{}.{}x", tenths / 10, tenths % 10)
}

/// Per byte of the call, so that small and large ones stand on one scale.
pub fn picture(ways: &[Way<'_>], rows: &[Row]) -> String {
    let bars = rows.iter().flat_map(|row| {
        ways.iter()
            .zip(&row.ns)
            .enumerate()
            .map(|(index, (way, ns))| {
                let bytes = u64::try_from(row.bytes).unwrap_or(u64::MAX);
                let tenths = ns * 10 / bytes;
                Bar {
                    label: format!("{}, {bytes} B", way.name),
                    value: tenths,
                    shown: format!("{}.{} ns a byte ({ns} ns)", tenths / 10, tenths % 10),
                    ours: index == 0,
                }
            })
    });
    let bars: Vec<Bar> = bars.collect();
    svg(
        "Cost of a decision from the raw body on (shorter is better)",
        &bars,
    )
}
