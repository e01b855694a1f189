//! The proleptic Gregorian calendar over the whole range of 64-bit timestamps, of which `chrono` reaches a part.
//!
//! Invariants
//! * Pure integer arithmetic; a result out of range is None, never a wrapped value.

use arrow::datatypes::TimeUnit;

/// Ticks of a unit in a second.
pub(crate) fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

pub(crate) const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to the first of a month, which counts from January of year 0.
pub(crate) fn first_of_month(month: i64) -> i64 {
    // The year begins in March, so that a leap day ends it.
    let shifted = month - 2;
    let (year, from_march) = (shifted.div_euclid(12), shifted.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The month of a day, and the day within it from 0.
pub(crate) fn month_of(days: i64) -> (i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = (era * 400 + year) * 12 + from_march + 2;
    (month, of_year - (153 * from_march + 2) / 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Datelike;

    #[test]
    fn it_is_the_calendar_of_chrono_and_goes_on_beyond() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-3_000_000..3_000_000).step_by(37) {
            let date = epoch + chrono::Duration::days(days);
            let month = i64::from(date.year()) * 12 + i64::from(date.month0());
            assert_eq!(month_of(days), (month, i64::from(date.day0())), "{date}");
            assert_eq!(first_of_month(month) + i64::from(date.day0()), days, "{date}");
        }
        for month in [-3_507_000, 3_507_000] {
            assert_eq!(month_of(first_of_month(month)), (month, 0));
            assert_eq!(month_of(first_of_month(month) - 1).0, month - 1);
        }
    }
}
