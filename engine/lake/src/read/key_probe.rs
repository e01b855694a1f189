//! Rows of a file that have one of some hidden keys, found without reading the others.
//!
//! ```text
//!   row group ─▶ Bloom filter of the key column: none of them? passed over
//!             └▶ the key column ─▶ rows that have one ─▶ the other columns of these rows alone
//! ```
//!
//! Invariants
//! * A row with one of the keys comes out, and so does one whose key is NULL; of the others none need.
//! * A file without the column, or with another one by its name, is read whole.
//!
//! Not here: which files may hold a key by their bounds (`key_ranges`), what a key is (`ingot-delta`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion::common::Result;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use crate::table::StateColumn;

/// What a hidden key is: a hash of 16 bytes.
pub(crate) const KEY_TYPE: DataType = DataType::FixedSizeBinary(16);
/// With more keys than this nearly every row group has one: its Bloom filter is not asked.
const BLOOM_KEYS_MAX: usize = 1_000;

type Builder = ParquetRecordBatchStreamBuilder<Box<dyn AsyncFileReader>>;

/// The hidden key among some state columns: the first of its type.
pub(crate) fn key_column(state: &[StateColumn]) -> Option<&StateColumn> {
    state.iter().find(|column| column.data_type == KEY_TYPE)
}

/// Keys to look for, in the column of this name.
#[derive(Clone, Debug)]
pub(crate) struct KeyProbe {
    pub(crate) column: String,
    pub(crate) keys: Arc<HashSet<[u8; 16]>>,
}

impl KeyProbe {
    /// Has a reader pass over what has none of the keys; `stored` are the file's columns by their place in it.
    ///
    /// # Errors
    /// The store's; a damaged filter.
    pub(crate) async fn applied(&self, mut builder: Builder, stored: &Schema) -> Result<Builder> {
        let root = match stored.index_of(&self.column) {
            Ok(root) if stored.field(root).data_type() == &KEY_TYPE => root,
            _ => return Ok(builder),
        };
        let (leaf, groups) = {
            let parquet = builder.parquet_schema();
            let leaf = (0..parquet.num_columns()).find(|leaf| parquet.get_column_root_idx(*leaf) == root);
            (leaf, builder.metadata().num_row_groups())
        };
        if let Some(leaf) = leaf.filter(|_| self.keys.len() <= BLOOM_KEYS_MAX) {
            let mut wanted = Vec::new();
            for group in 0..groups {
                let filter = builder.get_row_group_column_bloom_filter(group, leaf).await?;
                let may_hold = filter.is_none_or(|filter| self.keys.iter().any(|key| filter.check(key.as_slice())));
                // A row without a key must come out, and the filter does not know it.
                let statistics = builder.metadata().row_group(group).column(leaf).statistics();
                let has_null = statistics.and_then(|s| s.null_count_opt()) != Some(0);
                if may_hold || has_null {
                    wanted.push(group);
                }
            }
            builder = builder.with_row_groups(wanted);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
        let (column, keys) = (self.column.clone(), Arc::clone(&self.keys));
        let has_key = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let stored = batch.column_by_name(&column);
            let Some(stored) = stored.and_then(|c| c.as_any().downcast_ref::<FixedSizeBinaryArray>()) else {
                return Err(ArrowError::SchemaError(format!("the hidden key \"{column}\" was not read")));
            };
            let wanted = |row: usize| stored.is_null(row) || keys.contains(stored.value(row));
            Ok(BooleanArray::from_iter((0..stored.len()).map(|row| Some(wanted(row)))))
        });
        Ok(builder.with_row_filter(RowFilter::new(vec![Box::new(has_key)])))
    }
}
