//! Text of dates and timestamps over their whole range, where `chrono` ends at the year 262142.
//!
//! Invariants
//! * Within chrono's range the text is Arrow's: `2020-01-01T00:00:00`, `+10000-01-01`, a `Z` with a time zone.
//!
//! Not here: `to_char`, the calendar itself (`calendar`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};

use ingot_model::calendar::{DAY_SECONDS, month_of};

/// Days from 1970 that chrono reaches on both sides, and a little less.
pub(crate) const CHRONO_DAYS: i64 = 95_000_000;
const SECOND_MICROS: i64 = 1_000_000;

/// The values as text, if Arrow could not print one of them.
pub fn instants_as_text(array: &ArrayRef) -> Option<ArrayRef> {
    let beyond = |days: i64| days.abs() > CHRONO_DAYS;
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            if !days.iter().flatten().any(|d| beyond(i64::from(d))) {
                return None;
            }
            Some(Arc::new(days.iter().map(|d| d.map(|d| date(i64::from(d)))).collect::<StringArray>()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let day = |v: i64| v.div_euclid(SECOND_MICROS * DAY_SECONDS);
            if !micros.iter().flatten().any(|v| beyond(day(v))) {
                return None;
            }
            let end = if zone.is_some() { "Z" } else { "" };
            let text = |v: i64| format!("{}T{}{end}", date(day(v)), time(v.rem_euclid(SECOND_MICROS * DAY_SECONDS)));
            Some(Arc::new(micros.iter().map(|v| v.map(text)).collect::<StringArray>()))
        }
        _ => None,
    }
}

fn date(days: i64) -> String {
    let (month, day) = month_of(days);
    let (year, month, day) = (month.div_euclid(12), month.rem_euclid(12) + 1, day + 1);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

fn time(micros: i64) -> String {
    let (seconds, rest) = (micros / SECOND_MICROS, micros % SECOND_MICROS);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => clock,
        rest if rest % 1000 == 0 => format!("{clock}.{:03}", rest / 1000),
        rest => format!("{clock}.{rest:06}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;
    use arrow::util::display::array_value_to_string;

    #[test]
    fn it_is_arrows_text_and_goes_on_beyond() {
        let step = 86_400_000_000 * 3_000_017 / 7 + 12_345_678_901;
        let near: Vec<i64> =
            (-60..60).map(|i| i * step).chain([0, -1, 1_000, 1_500, 253_402_300_800_000_000]).collect();
        for zone in [None, Some("+00:00")] {
            let given = TimestampMicrosecondArray::from(near.clone()).with_timezone_opt(zone);
            let mut all = near.clone();
            all.push(i64::MAX);
            let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(all).with_timezone_opt(zone));
            let text = instants_as_text(&array).unwrap();
            for (row, _) in near.iter().enumerate() {
                let wanted = array_value_to_string(&given, row).unwrap();
                assert_eq!(text.as_string::<i32>().value(row), wanted);
            }
            let most = if zone.is_some() { "+294247-01-10T04:00:54.775807Z" } else { "+294247-01-10T04:00:54.775807" };
            assert_eq!(text.as_string::<i32>().value(near.len()), most);
        }
        let least: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MIN), None]));
        let text = instants_as_text(&least).unwrap();
        assert_eq!(text.as_string::<i32>().value(0), "-290308-12-21T19:59:05.224192");
        assert!(text.is_null(1));
        let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![i32::MAX, i32::MIN, 0]));
        let text = instants_as_text(&days).unwrap();
        let text: Vec<_> = text.as_string::<i32>().iter().flatten().collect();
        // DuckDB's calendar, which is the proleptic Gregorian one.
        assert_eq!(text, ["+5881580-07-11", "-5877641-06-23", "1970-01-01"]);
        let plain: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![0]));
        assert!(instants_as_text(&plain).is_none());
    }
}
