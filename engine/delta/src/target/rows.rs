//! Stored rows found by their values, and the positions of stored rows.
//!
//! Not here: rows found by key (`keyed`), reading stored rows (`lake`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use ingot_model::place::{FILE, POSITION};

use crate::error::{DeltaError, Result};
use crate::values::format::{byte_rows, converter, same_types, types};

/// Where the rows of `minus` are stored, as data file and position in it: for n copies of a row exactly n positions,
/// those of the lowest file and position first. `stored` holds the columns of `minus`, then `_ingot_file` (Utf8) and
/// `_ingot_pos` (Int64); other rows among it are ignored.
///
/// # Errors
/// `Inconsistent` when fewer copies are stored than are to be removed.
pub(crate) fn positions_of(minus: &[RecordBatch], stored: &[RecordBatch]) -> Result<Vec<(String, i64)>> {
    let Some(first) = minus.first() else { return Ok(vec![]) };
    let expected = types(&first.schema());
    let converter = converter(&expected)?;
    let mut wanted: HashMap<Box<[u8]>, usize> = HashMap::new();
    for batch in minus {
        same_types(&expected, batch)?;
        byte_rows(&converter, batch)?.into_iter().for_each(|r| *wanted.entry(r).or_default() += 1);
    }
    let mut found: HashMap<Box<[u8]>, Vec<(String, i64)>> = HashMap::new();
    for batch in stored {
        let (public, positions) = split_positions(batch)?;
        same_types(&expected, &public)?;
        for (i, row) in byte_rows(&converter, &public)?.into_iter().enumerate() {
            if wanted.contains_key(&row) {
                found.entry(row).or_default().push(positions.at(i)?);
            }
        }
    }
    let mut removed = Vec::new();
    for (row, count) in wanted {
        let mut positions = found.remove(&row).unwrap_or_default();
        if positions.len() < count {
            return Err(DeltaError::inconsistent(format!(
                "{count} copies of a row are to be removed and {} are stored",
                positions.len()
            )));
        }
        positions.sort();
        removed.extend(positions.into_iter().take(count));
    }
    removed.sort();
    Ok(removed)
}

/// The `_ingot_file` and `_ingot_pos` columns of stored rows.
pub(crate) struct Positions {
    files: ArrayRef,
    positions: ArrayRef,
}

impl Positions {
    pub(crate) fn at(&self, row: usize) -> Result<(String, i64)> {
        if self.files.is_null(row) || self.positions.is_null(row) {
            return Err(DeltaError::Layout("a stored row without place".into()));
        }
        Ok((self.files.as_string::<i32>().value(row).to_owned(), self.positions.as_primitive::<Int64Type>().value(row)))
    }
}

/// Splits the two last columns `_ingot_file` and `_ingot_pos` off.
pub(crate) fn split_positions(batch: &RecordBatch) -> Result<(RecordBatch, Positions)> {
    let n = batch.num_columns();
    let schema = batch.schema();
    let fits = n >= 2
        && schema.field(n - 2).name() == FILE
        && schema.field(n - 2).data_type() == &DataType::Utf8
        && schema.field(n - 1).name() == POSITION
        && schema.field(n - 1).data_type() == &DataType::Int64;
    if !fits {
        return Err(DeltaError::Layout(format!("stored rows must end with {FILE} (Utf8) and {POSITION} (Int64)")));
    }
    let rest = batch.project(&(0..n - 2).collect::<Vec<_>>())?;
    Ok((rest, Positions { files: Arc::clone(batch.column(n - 2)), positions: Arc::clone(batch.column(n - 1)) }))
}
