//! Which columns of a file are worth a dictionary, and which one a Bloom filter.
//!
//! Invariants
//! * Encodings are PLAIN and dictionary alone: Iceberg's vectorized readers refuse the delta encodings.
//! * What is chosen changes a file's size and the time to write it, never its rows.
//!
//! Not here: writing (`write`).

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

/// Rows looked at.
const SAMPLE: usize = 1_024;
/// A dictionary that grows past this many bytes is given up by the writer, after it cost a hash lookup a value.
const DICTIONARY_BYTES_MAX: f64 = 1_048_576.0;

/// Turns the dictionary off for top-level columns whose values rarely repeat in `batch`, the first rows of a file.
pub(crate) fn choose(mut properties: WriterPropertiesBuilder, batch: &RecordBatch) -> WriterPropertiesBuilder {
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() || repays(column).unwrap_or(true) {
            continue;
        }
        properties = properties.set_column_dictionary_enabled(ColumnPath::new(vec![field.name().clone()]), false);
    }
    properties
}

/// Keys that a row group may have before its Bloom filter gets less exact than its rate of wrong answers says.
const FILTERED_KEYS: u64 = 262_144;
/// One in so many row groups is read in vain.
const WRONG_ANSWERS: f64 = 0.05;

/// Turns the Bloom filter on for the hidden key: rows are looked for by it. It is cut to the keys that came.
pub(crate) fn with_key_filter(properties: WriterPropertiesBuilder, key: &str) -> WriterPropertiesBuilder {
    let column = ColumnPath::new(vec![key.to_owned()]);
    properties
        .set_column_bloom_filter_enabled(column.clone(), true)
        .set_column_bloom_filter_fpp(column.clone(), WRONG_ANSWERS)
        .set_column_bloom_filter_max_ndv(column, FILTERED_KEYS)
}

/// Whether a dictionary of this column's values would stay small; `None` where nothing can be said.
fn repays(column: &ArrayRef) -> Option<bool> {
    let rows = column.len();
    if rows < SAMPLE {
        return None;
    }
    // Every n-th row, so that runs of equal values do not pass for a small domain.
    let step = rows / SAMPLE;
    let places = UInt64Array::from_iter_values((0..SAMPLE).map(|i| (i * step) as u64));
    let sample = take(column, &places, None).ok()?;
    let keys = RowConverter::new(vec![SortField::new(sample.data_type().clone())]).ok()?;
    let keys = keys.convert_columns(&[sample]).ok()?;
    let mut counts: HashMap<&[u8], u32> = HashMap::new();
    for row in &keys {
        *counts.entry(row.data()).or_default() += 1;
    }
    let bytes: usize = counts.keys().map(|key| key.len()).sum();
    let seen = counts.len() as f64;
    let once = counts.values().filter(|n| **n == 1).count() as f64;
    let twice = counts.values().filter(|n| **n == 2).count() as f64;
    // Chao's estimate of how many distinct values there are, from those seen once and twice.
    let distinct = seen + once * (once - 1.0).max(0.0) / (2.0 * (twice + 1.0));
    let width = bytes as f64 / seen.max(1.0);
    Some(distinct * width < DICTIONARY_BYTES_MAX && distinct < rows as f64 / 2.0)
}
