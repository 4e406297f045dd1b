//! Durations and sizes as people write them: `30s`, `500ms`, `90d`; `64KiB`, `4MiB`, `1GiB`.

use std::time::Duration;

const DURATIONS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads one whole number and one unit of `ms`, `s`, `m`, `h`, `d`.
pub fn read_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let (_, millis) = DURATIONS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads a whole number of bytes, with or without one unit of `B`, `KiB`, `MiB`, `GiB`.
pub fn read_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, bytes) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(bytes)
}

/// Writes a duration in the largest unit that leaves no rest. Less than a millisecond is dropped.
pub fn write_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    written(millis, &DURATIONS, "ms")
}

/// Writes a size in the largest unit that leaves no rest.
pub fn write_size(bytes: u64) -> String {
    written(bytes, &SIZES, "B")
}

fn written(amount: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let whole = units
        .iter()
        .find(|(_, one)| amount != 0 && amount.is_multiple_of(*one));
    whole.map_or_else(
        || format!("{amount}{smallest}"),
        |(unit, one)| format!("{}{unit}", amount / one),
    )
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        let cases = [
            ("30s", Some(30_000)),
            ("1m", Some(60_000)),
            ("90d", Some(7_776_000_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("30 s", None),
            ("30S", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, millis) in cases {
            assert_eq!(
                read_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
        for text in ["30s", "1m", "90d", "250ms", "0ms", "1500ms"] {
            assert_eq!(write_duration(read_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_read_and_write() {
        let cases = [
            ("4MiB", Some(4 << 20)),
            ("64KiB", Some(64 << 10)),
            ("1GiB", Some(1 << 30)),
            ("10B", Some(10)),
            ("4096", Some(4096)),
            ("4MB", None),
            ("4mib", None),
            ("MiB", None),
            ("", None),
            ("18446744073709551615GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(read_size(text), bytes, "{text}");
        }
        for text in ["4MiB", "64KiB", "1GiB", "10B", "0B"] {
            assert_eq!(write_size(read_size(text).unwrap()), text);
        }
    }
}
