//! Ranges of column values, by which files that cannot hold them are left out.
//!
//! Not here: which files these are (`lake`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use ingot_model::KeyRange;

use crate::error::{DeltaError, Result};
use crate::values::format::converter;

/// The value ranges of the rows' columns; columns whose bounds must not prune (floats, nested) are left out.
///
/// # Errors
/// When the batches do not share one schema.
pub(crate) fn value_ranges(rows: &[RecordBatch]) -> Result<Vec<KeyRange>> {
    let Some(first) = rows.first() else { return Ok(vec![]) };
    let schema = first.schema();
    let mut ranges = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        let columns: Vec<&ArrayRef> = rows.iter().map(|b| b.column(i)).collect();
        ranges.extend(range_of(field.name(), &columns)?);
    }
    Ok(ranges)
}

/// The range of one column given in pieces; None where bounds must not prune.
pub(crate) fn range_of(name: &str, pieces: &[&ArrayRef]) -> Result<Option<KeyRange>> {
    let Some(data_type) = pieces.first().map(|p| p.data_type().clone()) else { return Ok(None) };
    if data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Null | DataType::Interval(_)) {
        return Ok(None);
    }
    let has_null = pieces.iter().any(|p| p.null_count() > 0);
    let converter = converter([&data_type])?;
    let mut best: Option<[(Vec<u8>, ScalarValue); 2]> = None;
    for piece in pieces {
        let rows = converter.convert_columns(&[Arc::clone(piece)])?;
        let valid = || (0..piece.len()).filter(|i| piece.is_valid(*i));
        let (Some(low), Some(high)) = (valid().min_by_key(|i| rows.row(*i)), valid().max_by_key(|i| rows.row(*i)))
        else {
            continue;
        };
        let at =
            |i: usize| Ok::<_, DeltaError>((rows.row(i).as_ref().to_vec(), ScalarValue::try_from_array(piece, i)?));
        let (low, high) = (at(low)?, at(high)?);
        best = Some(match best {
            None => [low, high],
            Some([a, b]) => [if low.0 < a.0 { low } else { a }, if high.0 > b.0 { high } else { b }],
        });
    }
    let [min, max] = match best {
        Some([(_, min), (_, max)]) => [min, max],
        None => [ScalarValue::try_from(&data_type)?, ScalarValue::try_from(&data_type)?],
    };
    Ok(Some(KeyRange { column: name.to_owned(), min, max, has_null }))
}
