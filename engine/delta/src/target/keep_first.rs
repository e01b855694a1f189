//! The first row of each key in the stored table: winners, merged and retracted.
//!
//! record of a key: the input columns of its winner; partition and order values are computed from it
//!
//! Invariants
//! * The winner of old + plus is the lesser of the two winners; a deleted winner makes its key to be recomputed.
//!
//! Not here: which rows compete (`shape::keep_first`), what is read and written (`keyed`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::row::{RowConverter, SortField};

use crate::error::{DeltaError, Result};
use crate::shape::keep_first::KeepFirst;
use crate::shape::projections::{batch, evaluate};
use crate::target::fate::{Combined, Fate};
use crate::target::keys::Touched;

impl KeepFirst {
    /// Key values of winners.
    pub(crate) fn key_columns(&self, record: &RecordBatch) -> Result<Vec<ArrayRef>> {
        evaluate(&self.key_values, &batch(&self.input, record.columns().to_vec(), record.num_rows())?)
    }

    /// The window node's columns for winners: the input's, then the row number.
    pub(crate) fn results(&self, record: &RecordBatch) -> Vec<ArrayRef> {
        let mut columns = record.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_value(1, record.num_rows())));
        columns
    }

    /// The lesser of stored and new winner of each key.
    pub(crate) fn combine(&self, arena: &RecordBatch, touched: &[Touched]) -> Result<Combined> {
        let values = evaluate(&self.order_values, &batch(&self.input, arena.columns().to_vec(), arena.num_rows())?)?;
        let fields =
            values.iter().zip(&self.options).map(|(v, o)| SortField::new_with_options(v.data_type().clone(), *o));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(&values)?;
        let rank = |i: usize| rows.row(i);
        let mut fates = Vec::with_capacity(touched.len());
        let mut kept: Vec<u64> = Vec::with_capacity(touched.len());
        for t in touched {
            if t.was_recomputed {
                fates.push(if t.recomputed.is_some() { Fate::Row } else { Fate::Gone });
                kept.extend(t.recomputed.map(|i| i as u64));
                continue;
            }
            let best = match (t.stored, t.plus) {
                (Some(old), Some(new)) if rank(new) < rank(old) => Some(new),
                (Some(old), _) => Some(old),
                (None, new) => new,
            };
            match (t.minus, t.stored) {
                (Some(_), None) => {
                    return Err(DeltaError::inconsistent("a row of a key without stored row was deleted"));
                }
                // A new row that is no greater than the deleted winner is the first of all that remain.
                (Some(gone), Some(old))
                    if rank(gone) <= rank(old) && t.plus.is_none_or(|new| rank(new) > rank(old)) =>
                {
                    fates.push(Fate::Recompute);
                }
                _ => {
                    fates.push(if best.is_some() { Fate::Row } else { Fate::Gone });
                    kept.extend(best.map(|i| i as u64));
                }
            }
        }
        Ok(Combined { fates, record: take_record_batch(arena, &UInt64Array::from(kept))? })
    }
}
