//! A value of a partition or a bound as text, for people: the forms of Iceberg's own library.
//!
//! Invariants
//! * Every value has a text: dates and times by a calendar without end, where core's has one and panics past it.
//!
//! Not here: values as JSON of the specification (core), values that are compared (`value_order`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use iceberg::spec::{Literal, PrimitiveLiteral, PrimitiveType, Transform, Type};
use ingot_model::calendar;

const DAY_US: i64 = calendar::DAY_SECONDS * 1_000_000;

/// The text of a value of the type that a transform gives.
pub(crate) fn value_text(value: &PrimitiveLiteral, of: &PrimitiveType, transform: Transform) -> String {
    let whole = match value {
        PrimitiveLiteral::Int(value) => Some(i64::from(*value)),
        PrimitiveLiteral::Long(value) => Some(*value),
        _ => None,
    };
    match (transform, of, whole, value) {
        (Transform::Year, _, Some(years), _) => (1970 + years).to_string(),
        (Transform::Month, _, Some(months), _) => month(12 * 1970 + months),
        (Transform::Hour, _, Some(hours), _) => format!("{}-{:02}", day(hours.div_euclid(24)), hours.rem_euclid(24)),
        (Transform::Day, _, Some(days), _) | (_, PrimitiveType::Date, Some(days), _) => day(days),
        (_, PrimitiveType::Time, Some(us), _) => clock(us, 6),
        (_, PrimitiveType::Timestamp, Some(us), _) => instant(us, DAY_US, 6),
        (_, PrimitiveType::Timestamptz, Some(us), _) => instant(us, DAY_US, 6) + "+00:00",
        (_, PrimitiveType::TimestampNs, Some(ns), _) => instant(ns, 1_000 * DAY_US, 9),
        (_, PrimitiveType::TimestamptzNs, Some(ns), _) => instant(ns, 1_000 * DAY_US, 9) + "+00:00",
        (.., PrimitiveLiteral::Binary(bytes)) => STANDARD.encode(bytes),
        _ => {
            let literal = Literal::Primitive(value.clone());
            Transform::Identity.to_human_string(&Type::Primitive(of.clone()), Some(&literal))
        }
    }
}

/// `month` counts from January of year 0.
fn month(month: i64) -> String {
    let (year, sign) = (month.div_euclid(12), if month < 0 { "-" } else { "" });
    format!("{sign}{:04}-{:02}", year.abs(), month.rem_euclid(12) + 1)
}

/// `days` counts from 1970-01-01.
fn day(days: i64) -> String {
    let (of, from_first) = calendar::month_of(days);
    format!("{}-{:02}", month(of), from_first + 1)
}

/// `ticks` counts from midnight, in units of which a second has `10^digits`. The digits that are zero at the end are left
/// out.
fn clock(ticks: i64, digits: u32) -> String {
    let second = 10_i64.pow(digits);
    let (seconds, rest) = (ticks.div_euclid(second), ticks.rem_euclid(second));
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => clock,
        rest => format!("{clock}.{rest:0width$}", width = digits as usize).trim_end_matches('0').to_owned(),
    }
}

/// `ticks` counts from 1970-01-01, in units of which a day has `in_day`.
fn instant(ticks: i64, in_day: i64, digits: u32) -> String {
    format!("{}T{}", day(ticks.div_euclid(in_day)), clock(ticks.rem_euclid(in_day), digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_have_a_text_wherever_they_lie() {
        use PrimitiveLiteral::{Int, Long};
        use PrimitiveType as T;
        let id = Transform::Identity;
        for (value, of, transform, wanted) in [
            (Long(1_767_323_045_000_006), T::Timestamp, id, "2026-01-02T03:04:05.000006"),
            (Long(1_767_323_045_500_000), T::Timestamptz, id, "2026-01-02T03:04:05.5+00:00"),
            (Long(-500_000), T::Timestamptz, id, "1969-12-31T23:59:59.5+00:00"),
            (Long(1), T::TimestampNs, id, "1970-01-01T00:00:00.000000001"),
            (Long(i64::MAX), T::Timestamp, id, "294247-01-10T04:00:54.775807"),
            (Long(86_399_999_999), T::Time, id, "23:59:59.999999"),
            (Int(-1), T::Date, id, "1969-12-31"),
            (Int(-719_529), T::Date, id, "-0001-12-31"),
            (Int(20_455), T::Date, Transform::Day, "2026-01-02"),
            (Int(56), T::Int, Transform::Year, "2026"),
            (Int(672), T::Int, Transform::Month, "2026-01"),
            (Int(-1), T::Int, Transform::Month, "1969-12"),
            (Int(490_923), T::Int, Transform::Hour, "2026-01-02-03"),
            (Int(-1), T::Int, Transform::Hour, "1969-12-31-23"),
            (PrimitiveLiteral::Binary(vec![0, 255]), T::Binary, id, "AP8="),
            (PrimitiveLiteral::String("a".into()), T::String, id, "a"),
        ] {
            assert_eq!(value_text(&value, &of, transform), wanted, "{value:?} {of} {transform}");
        }
        for value in [i64::MIN, i64::MAX] {
            for of in [T::Timestamp, T::Timestamptz, T::TimestampNs, T::TimestamptzNs, T::Time] {
                assert!(!value_text(&Long(value), &of, id).is_empty());
            }
        }
        assert!(!value_text(&Int(i32::MIN), &T::Date, id).is_empty());
    }
}
