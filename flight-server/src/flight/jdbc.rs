//! What Java's driver is told of a statement's parameters, and what it then sends, read back.
//!
//!   parameter (type, place) ──▶ announced type ──▶ the driver converts what is bound ──▶ restored ──▶ bound
//!
//! Arrow's JDBC driver turns every value into the announced type: a number into BIGINT by cutting off its fraction and
//! its high bits, into REAL by rounding, a time by writing its milliseconds in whatever unit there is, a timestamp with
//! the offset of the program's time zone added. Where that is no conversion it raises an error.
//!
//! Invariants
//! * What is announced keeps the value, or makes the driver raise, or gives a value here that shows what was lost.
//! * Other clients bind by their own types; nothing here is about them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use ingot_query::{ErrorKind, Place, QueryError};
use tonic::Status;

use crate::error::{malformed, status};

/// From here on a DOUBLE may stand for several whole numbers.
const EXACT_END: f64 = 9_007_199_254_740_992.0;
/// Past the last BIGINT.
const BIGINT_END: f64 = 9_223_372_036_854_775_808.0;

/// How the values of a parameter come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    AsBound,
    /// As DOUBLE, beside a BIGINT that it is compared with.
    BesideBigint,
    /// As DOUBLE, beside a whole number of fewer bits.
    BesideInt,
    /// As DOUBLE, for a number of rows.
    Rows,
}

/// The type to announce for a parameter, and how its values come back.
pub(crate) fn announced(data_type: Option<&DataType>, place: &Place) -> (DataType, Sent) {
    use DataType as T;
    let known = match (data_type, place) {
        (Some(_), Place::Counted) => return (T::Float64, Sent::Rows),
        (Some(T::Int64), Place::Compared) => return (T::Float64, Sent::BesideBigint),
        (Some(T::Int8 | T::Int16 | T::Int32), Place::Compared) => return (T::Float64, Sent::BesideInt),
        (None, Place::Cast(T::Int8 | T::Int16 | T::Int32 | T::Int64)) => return (T::Int64, Sent::AsBound),
        (None, Place::Cast(t)) => t,
        (_, Place::Guessed) | (None, _) => &T::Utf8,
        (Some(t), _) => t,
    };
    (driver_type(known), Sent::AsBound)
}

/// The type in which the driver keeps values of a type, or text, for which it takes text alone.
fn driver_type(t: &DataType) -> DataType {
    use DataType as T;
    match t {
        T::Float16 | T::Float32 | T::Float64 => T::Float64,
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Millisecond, None),
        T::Time32(_) | T::Time64(_) => T::Time32(TimeUnit::Millisecond),
        T::Boolean | T::Binary | T::Date32 | T::Decimal128(..) => t.clone(),
        // Whole numbers outside of comparisons: a fraction would be cut off. TIMESTAMPTZ: it would be moved by the offset
        // of the program's time zone. Lists: of any of these. The driver has nothing for UUIDs and intervals.
        _ => T::Utf8,
    }
}

/// The schema of the parameters, and how their values come back.
pub(crate) fn announced_all(parameters: &[(String, Option<DataType>)], places: &[Place]) -> (Schema, Vec<Sent>) {
    let (fields, sent): (Vec<Field>, Vec<Sent>) = parameters
        .iter()
        .zip(places)
        .map(|((name, data_type), place)| {
            let (t, sent) = announced(data_type.as_ref(), place);
            (Field::new(name, t, true), sent)
        })
        .unzip();
    (Schema::new(fields), sent)
}

/// A row of parameters as it was before the driver made DOUBLEs of it.
///
/// # Errors
/// A DOUBLE that does not tell which whole number the client bound.
pub(crate) fn restored(row: RecordBatch, sent: &[Sent]) -> Result<RecordBatch, Status> {
    if sent.iter().all(|s| *s == Sent::AsBound) {
        return Ok(row);
    }
    let mut fields: Vec<Field> = row.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut columns = row.columns().to_vec();
    for (i, ((field, column), sent)) in fields.iter_mut().zip(&mut columns).zip(sent).enumerate() {
        if let Some(whole) = as_integers(column, *sent).map_err(|e| refused(i + 1, e))? {
            *field = field.clone().with_data_type(DataType::Int64);
            *column = whole;
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| malformed("the row of parameters", e))
}

fn refused(number: usize, (why, hint): (&str, &'static str)) -> Status {
    status(&QueryError::new(ErrorKind::Parameter, format!("parameter ${number} {why}")).with_hint(hint))
}

/// The whole number that a DOUBLE stands for; `None` if it is to stay one.
fn as_integers(column: &ArrayRef, sent: Sent) -> Result<Option<ArrayRef>, (&'static str, &'static str)> {
    let Some(doubles) = column.as_primitive_opt::<Float64Type>().filter(|_| sent != Sent::AsBound) else {
        return Ok(None);
    };
    let mut out = Vec::with_capacity(doubles.len());
    for value in doubles {
        let Some(v) = value else {
            out.push(None);
            continue;
        };
        let exact = v.fract() == 0.0 && v.abs() < EXACT_END;
        match sent {
            #[allow(clippy::cast_possible_truncation)] // It is whole, and has 53 bits.
            _ if exact => out.push(Some(v as i64)),
            // More rows than there are, whatever the last digits were.
            Sent::Rows if v >= EXACT_END => out.push(Some(i64::MAX)),
            Sent::Rows => return Err(("is a number of rows, and no whole number came", "bind a whole number")),
            Sent::BesideBigint if v.abs() >= EXACT_END && v.abs() <= BIGINT_END => {
                return Err((
                    "came as a DOUBLE, of which the last digits are lost",
                    "write CAST(? AS BIGINT) to bind whole numbers past 2^53",
                ));
            }
            // A fraction, or beyond every value that the other side may have.
            _ => return Ok(None),
        }
    }
    Ok(Some(Arc::new(Int64Array::from(out))))
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn what_is_announced_keeps_values_or_makes_the_driver_raise() {
        use DataType as T;
        let micros = TimeUnit::Microsecond;
        let millis = TimeUnit::Millisecond;
        for (data_type, place, wanted) in [
            (Some(T::Int64), Place::Compared, (T::Float64, Sent::BesideBigint)),
            (Some(T::Int32), Place::Compared, (T::Float64, Sent::BesideInt)),
            (Some(T::Int32), Place::Elsewhere, (T::Utf8, Sent::AsBound)),
            (Some(T::Int64), Place::Counted, (T::Float64, Sent::Rows)),
            (Some(T::Float32), Place::Compared, (T::Float64, Sent::AsBound)),
            (Some(T::Decimal128(12, 2)), Place::Compared, (T::Decimal128(12, 2), Sent::AsBound)),
            (Some(T::Timestamp(micros, None)), Place::Compared, (T::Timestamp(millis, None), Sent::AsBound)),
            (Some(T::Timestamp(micros, Some("UTC".into()))), Place::Compared, (T::Utf8, Sent::AsBound)),
            (Some(T::Time64(micros)), Place::Compared, (T::Time32(millis), Sent::AsBound)),
            (Some(T::Date32), Place::Compared, (T::Date32, Sent::AsBound)),
            (Some(T::FixedSizeBinary(16)), Place::Compared, (T::Utf8, Sent::AsBound)),
            (None, Place::Elsewhere, (T::Utf8, Sent::AsBound)),
            (Some(T::Float64), Place::Guessed, (T::Utf8, Sent::AsBound)),
            (None, Place::Guessed, (T::Utf8, Sent::AsBound)),
            (None, Place::Cast(T::Int32), (T::Int64, Sent::AsBound)),
            (None, Place::Cast(T::Int64), (T::Int64, Sent::AsBound)),
            (None, Place::Cast(T::Float32), (T::Float64, Sent::AsBound)),
            (None, Place::Cast(T::Decimal128(5, 2)), (T::Decimal128(5, 2), Sent::AsBound)),
        ] {
            assert_eq!(announced(data_type.as_ref(), &place), wanted, "{data_type:?} {place:?}");
        }
    }

    fn back(v: f64, sent: Sent) -> Result<(Option<i64>, Option<f64>), String> {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![v]));
        let row = RecordBatch::try_from_iter([("$1", column)]).unwrap();
        let row = restored(row, &[sent]).map_err(|e| e.message().to_owned())?;
        let column = row.column(0);
        Ok((
            column.as_primitive_opt::<arrow::datatypes::Int64Type>().map(|c| c.value(0)),
            column.as_primitive_opt::<Float64Type>().map(|c| c.value(0)),
        ))
    }

    #[test]
    fn doubles_are_read_as_what_was_bound_or_refused() {
        for (v, sent, wanted) in [
            (3.0, Sent::BesideBigint, (Some(3), None)),
            (-0.0, Sent::BesideInt, (Some(0), None)),
            (0.7, Sent::BesideInt, (None, Some(0.7))),
            (EXACT_END - 1.0, Sent::BesideBigint, (Some((1 << 53) - 1), None)),
            (EXACT_END, Sent::BesideInt, (None, Some(EXACT_END))),
            (18_446_744_073_709_551_616.0, Sent::BesideBigint, (None, Some(18_446_744_073_709_551_616.0))),
            (f64::INFINITY, Sent::BesideBigint, (None, Some(f64::INFINITY))),
            (2.0, Sent::Rows, (Some(2), None)),
            (BIGINT_END, Sent::Rows, (Some(i64::MAX), None)),
            (2.0, Sent::AsBound, (None, Some(2.0))),
        ] {
            assert_eq!(back(v, sent).unwrap(), wanted, "{v} {sent:?}");
        }
        for (v, sent) in [
            (EXACT_END, Sent::BesideBigint),
            (-BIGINT_END, Sent::BesideBigint),
            (2.5, Sent::Rows),
            (f64::NAN, Sent::Rows),
        ] {
            let message = back(v, sent).unwrap_err();
            assert!(message.starts_with("Q0105") && message.contains("$1"), "{message}");
        }
    }
}
