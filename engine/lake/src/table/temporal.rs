//! Partition values of dates and instants: years, months, days and hours since 1970, for every value the types hold.
//!
//! Invariants
//! * Floors on both sides of 1970. (The core crate's days() gives the day after for an instant within the last second
//!   before a midnight of 1969 or earlier, and its hours() wrap beyond 32 bits; readers that prune would miss the rows.)
//! * A value without a partition value is refused with its column's name, never given a wrong one.
//!
//! Not here: other transforms (`transform`), splitting rows (`partition`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimeUnit, TimestampMicrosecondType};
use iceberg::spec::Transform;
use ingot_model::calendar::month_of;

use crate::error::{LakeError, Result};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// The partition values of a column, if its type and the transform are of time; `name` is the column's.
pub(crate) fn partition_values(name: &str, transform: &Transform, column: &ArrayRef) -> Result<Option<ArrayRef>> {
    if !matches!(transform, Transform::Year | Transform::Month | Transform::Day | Transform::Hour) {
        return Ok(None);
    }
    let of_day = |days: i64| match transform {
        Transform::Year => years(days),
        Transform::Month => months(days),
        _ => days,
    };
    let of_instant = |us: i64| match transform {
        Transform::Hour => us.div_euclid(HOUR_US),
        _ => of_day(us.div_euclid(DAY_US)),
    };
    let values = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            counted(name, column.as_primitive::<TimestampMicrosecondType>(), of_instant)?
        }
        DataType::Date32 if *transform != Transform::Hour => {
            counted(name, column.as_primitive::<Date32Type>(), |days: i32| of_day(i64::from(days)))?
        }
        _ => return Ok(None),
    };
    Ok(Some(match transform {
        // A day is a date in Iceberg.
        Transform::Day => Arc::new(values.reinterpret_cast::<Date32Type>()),
        _ => Arc::new(values),
    }))
}

fn counted<T: ArrowPrimitiveType>(
    name: &str,
    column: &PrimitiveArray<T>,
    unit: impl Fn(T::Native) -> i64,
) -> Result<PrimitiveArray<Int32Type>>
where
    T::Native: Copy + std::fmt::Display,
{
    column.try_unary(|value| {
        i32::try_from(unit(value)).map_err(|_| LakeError::Value {
            column: name.to_owned(),
            reason: "a value is too far from 1970 for its partition: 32 bits do not count it".into(),
        })
    })
}

/// The calendar of `ingot_model`: a date of 32 bits is up to 5.8 million years from 1970, which chrono does not reach.
fn years(days: i64) -> i64 {
    month_of(days).0.div_euclid(12) - 1970
}

fn months(days: i64) -> i64 {
    month_of(days).0 - 1970 * 12
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int32Array, TimestampMicrosecondArray};
    use chrono::{Datelike, TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    fn of(transform: Transform, micros: i64) -> Result<i32> {
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(micros), None]).with_timezone("UTC"));
        let values = partition_values("ts", &transform, &column)?.unwrap();
        assert!(values.is_null(1));
        Ok(match values.data_type() {
            DataType::Date32 => values.as_primitive::<Date32Type>().value(0),
            _ => values.as_any().downcast_ref::<Int32Array>().unwrap().value(0),
        })
    }

    #[test]
    fn the_last_second_before_a_midnight_is_of_its_own_day() {
        // 1969-12-30T23:59:59.5
        assert_eq!(of(Transform::Day, -DAY_US - 500_000).unwrap(), -2);
        assert_eq!(of(Transform::Day, -1).unwrap(), -1);
        assert_eq!(of(Transform::Hour, -1).unwrap(), -1);
        assert_eq!(of(Transform::Month, -1).unwrap(), -1);
        assert_eq!(of(Transform::Year, -1).unwrap(), -1);
    }

    #[test]
    fn every_value_has_a_partition_or_a_name() {
        for extreme in [i64::MIN, i64::MAX] {
            for transform in [Transform::Year, Transform::Month, Transform::Day] {
                assert!(of(transform, extreme).is_ok(), "{transform} of {extreme}");
            }
            let refused = of(Transform::Hour, extreme).unwrap_err();
            assert!(refused.to_string().contains("column \"ts\""), "{refused}");
        }
        for days in [i32::MIN, i32::MAX] {
            let column: ArrayRef = Arc::new(Date32Array::from(vec![days]));
            for transform in [Transform::Year, Transform::Month, Transform::Day] {
                assert!(partition_values("d", &transform, &column).unwrap().is_some());
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let at = Utc.timestamp_micros(micros).unwrap();
            let year = at.year() - 1970;
            prop_assert_eq!(of(Transform::Year, micros).unwrap(), year);
            prop_assert_eq!(of(Transform::Month, micros).unwrap(), year * 12 + at.month0() as i32);
            let days = at.date_naive().signed_duration_since(chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap());
            prop_assert_eq!(i64::from(of(Transform::Day, micros).unwrap()), days.num_days());
            prop_assert_eq!(i64::from(of(Transform::Hour, micros).unwrap()), at.timestamp().div_euclid(3_600));
        }
    }
}
