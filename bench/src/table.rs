//! The comparison as a table and as a picture.

use crate::body::{ALLOWED, BYTES_MIN, DENIED, Said, call, dense_call};
use crate::chart::{Bar, svg};
use crate::measure::{ROUNDS, Way, decisions};

/// Bytes of the bodies that are decided on.
pub const SIZES: [usize; 3] = [BYTES_MIN, 4 << 10, 64 << 10];

/// Makes a body of so many bytes.
type Make = fn(&Said, usize) -> Vec<u8>;

/// All bodies that are decided on, by what tables call them.
const BODIES: [(&str, Make, usize); 4] = {
    let [small, medium, large] = SIZES;
    [
        ("414 B", call, small),
        ("4 KB", call, medium),
        ("64 KB", call, large),
        ("64 KB, dense", dense_call, large),
    ]
};

/// What each way takes for one body.
#[derive(Debug)]
pub struct Row {
    body: &'static str,
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
    print!("{:<12}", "body");
    for way in ways.iter() {
        print!("  {:>23}", way.name);
    }
    println!();
    BODIES
        .iter()
        .map(|(body, make, bytes)| {
            let ns = decisions(ways, &make(&ALLOWED, *bytes));
            let ours = ns.first().copied().unwrap_or_default();
            print!("{body:<12}");
            for other in &ns {
                let shown = format!("{other} ns ({})", ratio(*other, ours));
                print!("  {shown:>23}");
            }
            println!();
            Row {
                body,
                bytes: *bytes,
                ns,
            }
        })
        .collect()
}

/// Every way gives every call the verdict that the policy means.
fn agree(ways: &mut [Way<'_>]) {
    for way in ways {
        let name = way.name;
        for (body, make, bytes) in BODIES {
            let allowed = (way.allows)(&make(&ALLOWED, bytes));
            assert!(allowed, "{name} denies what is allowed, {body}");
            for said in &DENIED {
                let allowed = (way.allows)(&make(said, bytes));
                assert!(!allowed, "{name} allows {said:?}, {body}");
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
                    label: format!("{}, {}", way.name, row.body),
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
