//! Calendar windows, against a count on fingers and against a calendar library.

use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound};
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use tollbook_state::command::{Micros, Window};
use tollbook_state::limits::TIME_US_MAX;
use tollbook_state::windows::{Span, span};

const DAY: u64 = 86_400_000_000;

#[test]
fn months_are_those_that_counting_days_gives_for_nine_centuries() {
    let mut day = 0;
    for year in 1970..2870 {
        let leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
        let february = if leap { 29 } else { 28 };
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            let month = Span {
                start: Micros(day * DAY),
                end: Micros((day + length) * DAY),
            };
            for within in day..day + length {
                assert_eq!(span(Window::Month, Micros(within * DAY)), month, "{year}");
                assert_eq!(
                    span(Window::Month, Micros(within * DAY + DAY - 1)),
                    month,
                    "{year}"
                );
            }
            day += length;
        }
    }
}

#[test]
fn the_last_microsecond_of_a_leap_day_is_of_february() {
    // 2024-02-29T23:59:59.999999Z, and one later.
    let last = Micros(1_709_251_199_999_999);
    let february = span(Window::Month, last);
    assert_eq!(february.start, Micros(1_706_745_600_000_000));
    assert_eq!(february.end, Micros(1_709_251_200_000_000));
    assert_eq!(span(Window::Month, Micros(last.0 + 1)).start, february.end);
    assert_eq!(span(Window::Day, last).end, february.end);
}

#[test]
fn the_latest_time_has_windows_too() {
    for window in [Window::Minute, Window::Hour, Window::Day, Window::Month] {
        for t in [0, TIME_US_MAX, u64::MAX] {
            let Span { start, end } = span(window, Micros(t));
            assert!(start.0 <= t);
            assert!(end.0 > t || t == u64::MAX);
        }
    }
}

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Minute),
        Just(Window::Hour),
        Just(Window::Day),
        Just(Window::Month),
    ]
}

fn by_library(window: Window, t: u64) -> (Zoned, Zoned) {
    let at = Timestamp::from_microsecond(i64::try_from(t).unwrap())
        .unwrap()
        .to_zoned(TimeZone::UTC);
    let floor = |unit| {
        at.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor))
            .unwrap()
    };
    let (start, length) = match window {
        Window::Minute => (floor(Unit::Minute), 1.minute()),
        Window::Hour => (floor(Unit::Hour), 1.hour()),
        Window::Day => (floor(Unit::Day), 1.day()),
        Window::Month => (
            at.first_of_month().unwrap().start_of_day().unwrap(),
            1.month(),
        ),
    };
    let end = &start + length;
    (start, end)
}

proptest! {
    #[test]
    fn windows_are_those_of_a_calendar_library(window in windows(), t in 0..=TIME_US_MAX) {
        let (start, end) = by_library(window, t);
        let micros = |at: &Zoned| u64::try_from(at.timestamp().as_microsecond()).unwrap();
        let ours = span(window, Micros(t));
        assert_eq!((ours.start.0, ours.end.0), (micros(&start), micros(&end)));
    }
}
