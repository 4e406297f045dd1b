//! Calendar windows of the log's time, UTC, in integers: no clock, no zone table.

use crate::command::{Micros, Window};

const MINUTE_US: u64 = 60_000_000;
const HOUR_US: u64 = 60 * MINUTE_US;
const DAY_US: u64 = 24 * HOUR_US;

/// A window's edges: `start` belongs to it, `end` to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First microsecond.
    pub start: Micros,
    /// First microsecond of the next window.
    pub end: Micros,
}

/// The window of kind `window` that `t` lies in.
#[must_use]
pub fn span(window: Window, t: Micros) -> Span {
    match window {
        Window::Minute => even(t, MINUTE_US),
        Window::Hour => even(t, HOUR_US),
        Window::Day => even(t, DAY_US),
        Window::Month => month(t),
    }
}

fn even(t: Micros, length: u64) -> Span {
    let into =
        t.0.checked_rem(length)
            .expect("a window is longer than nothing");
    let start = t.0.saturating_sub(into);
    Span {
        start: Micros(start),
        end: Micros(start.saturating_add(length)),
    }
}

fn month(t: Micros) -> Span {
    let day =
        t.0.checked_div(DAY_US)
            .expect("a day is longer than nothing");
    let date = date_of(day);
    let start = day.saturating_sub(date.day_of_month.saturating_sub(1));
    let end = start.saturating_add(days_in(date.year, date.month));
    Span {
        start: Micros(start.saturating_mul(DAY_US)),
        end: Micros(end.saturating_mul(DAY_US)),
    }
}

struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day_of_month: u64,
}

/// Days since 1970-01-01 to a date of the Gregorian calendar: Hinnant's `civil_from_days` for
/// days that are never negative. Years begin in March there, so that the leap day comes last.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "days since 1970 of a u64 of microseconds are below 2^28: nothing here overflows, \
              and no divisor is zero"
)]
fn date_of(day: u64) -> Date {
    let z = day + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    Date {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day_of_month: day_of_year - (153 * shifted + 2) / 5 + 1,
    }
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
