//! The proleptic Gregorian calendar over the whole range of 64-bit timestamps, of which `chrono` reaches a part.
//!
//!   year, month, day ◀── days since 1970-01-01 ◀──▶ month and the day within it
//!
//! The year begins in March here, so that a leap day ends it (Hinnant, "chrono-compatible low-level date algorithms").
//!
//! Invariants
//! * Pure integer arithmetic. Every day that a timestamp of seconds in 64 bits may lie on has its month, and back.
//! * Year 0 is 1 BC, and every year is as the calendar would have it, also before 1582.
//!
//! Not here: texts of dates with four digits, for which `chrono` is faster (`ingot_source::decode`); time zones.

use arrow::datatypes::TimeUnit;

/// Seconds in a day.
pub const DAY_SECONDS: i64 = 86_400;

/// The calendar repeats itself, weekdays included, after so many years.
pub const CYCLE_YEARS: i64 = 400;

/// The days of [`CYCLE_YEARS`].
pub const CYCLE_DAYS: i64 = 146_097;

/// Days from the first of March of year 0 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Ticks of a unit in a second.
#[inline]
pub const fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Days from 1970-01-01 to the first of a month, which counts from January of year 0.
#[inline]
pub const fn first_of_month(month: i64) -> i64 {
    let shifted = month - 2;
    let (year, month) = (shifted.div_euclid(12), shifted.rem_euclid(12));
    let (cycle, year) = (year.div_euclid(CYCLE_YEARS), year.rem_euclid(CYCLE_YEARS));
    cycle * CYCLE_DAYS + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 - EPOCH
}

/// The month of a day, from January of year 0, and the day within it from 0.
#[inline]
pub const fn month_of(days: i64) -> (i64, i64) {
    let (year, month, day) = to_march(days);
    (year * 12 + month + 2, day)
}

/// The date of a day: year, month 1 to 12, day 1 to 31.
#[inline]
pub const fn date_of(days: i64) -> (i64, i64, i64) {
    let (year, month, day) = to_march(days);
    if month < 10 { (year, month + 3, day + 1) } else { (year + 1, month - 9, day + 1) }
}

/// The year of a day, which begins in March, the month from March on, and the day within it, both from 0.
#[inline]
const fn to_march(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH;
    let (cycle, day) = (shifted.div_euclid(CYCLE_DAYS), shifted.rem_euclid(CYCLE_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (cycle * CYCLE_YEARS + year, month, of_year - (153 * month + 2) / 5)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn it_is_the_calendar_of_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let (first, last) = ((NaiveDate::MIN - epoch).num_days(), (NaiveDate::MAX - epoch).num_days());
        for days in (first..=last).step_by(997).chain(-800_000..100_000).chain([first, last]) {
            let date = epoch + chrono::Duration::days(days);
            let month = i64::from(date.year()) * 12 + i64::from(date.month0());
            assert_eq!(month_of(days), (month, i64::from(date.day0())), "{date}");
            assert_eq!(first_of_month(month) + i64::from(date.day0()), days, "{date}");
            let shown = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(date_of(days), shown, "{date}");
        }
    }

    /// Beyond `chrono`: what is 400 years later is the same but for the year.
    #[test]
    fn it_goes_on_to_the_ends_of_64_bits() {
        let farthest = i64::MAX / DAY_SECONDS + 1;
        for far in [-farthest, -farthest / 7, -100_000_007, 100_000_007, farthest / 7, farthest] {
            for days in far - 800..far + 800 {
                let (cycles, near) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
                let (year, month, day) = date_of(near);
                let date = (year + cycles * CYCLE_YEARS, month, day);
                assert_eq!(date_of(days), date, "{days}");
                assert_eq!(month_of(days), (date.0 * 12 + month - 1, day - 1), "{days}");
                assert_eq!(first_of_month(month_of(days).0) + day - 1, days, "{days}");
            }
        }
        for month in [-3_507_000, 3_507_000] {
            assert_eq!(month_of(first_of_month(month)), (month, 0));
            assert_eq!(month_of(first_of_month(month) - 1).0, month - 1);
        }
    }
}
