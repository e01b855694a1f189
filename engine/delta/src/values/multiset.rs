//! Multisets of rows, compared bit by bit.
//!
//! Invariants
//! * `consolidate(plus, minus)`: plus' - minus' = plus - minus as multisets, and no row stands on both sides.
//! * All batches of one call have the same column types; names are not looked at.
//!
//! Not here: how rows become bytes (`format`), reading change rows (`lake::changelog`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::RowConverter;

use crate::error::Result;
use crate::values::format::{byte_rows, comparable_type, converter, same_types, types};

/// Examples that `MultisetDiff` keeps.
const EXAMPLES_MAX: usize = 10;

/// The difference of two multisets: the rows that `plus` has more often than `minus`, and those that `minus` has more
/// often, each so many times as the counts differ.
///
/// # Errors
/// When the batches' types differ or have no row format.
pub fn consolidate(plus: &[RecordBatch], minus: &[RecordBatch]) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
    let Some(first) = plus.iter().chain(minus).next() else { return Ok((vec![], vec![])) };
    let expected = types(&first.schema());
    let converter = converter(&expected)?;
    let mut weights: HashMap<Box<[u8]>, i64> = HashMap::new();
    let mut keyed = |batches: &[RecordBatch], sign: i64| -> Result<Vec<Vec<Box<[u8]>>>> {
        batches
            .iter()
            .map(|batch| {
                same_types(&expected, batch)?;
                let rows = byte_rows(&converter, batch)?;
                rows.iter().for_each(|r| *weights.entry(r.clone()).or_default() += sign);
                Ok(rows)
            })
            .collect()
    };
    let plus_rows = keyed(plus, 1)?;
    let minus_rows = keyed(minus, -1)?;
    let mut keep = |batches: &[RecordBatch], rows: &[Vec<Box<[u8]>>], sign: i64| -> Result<Vec<RecordBatch>> {
        let mut kept = Vec::new();
        for (batch, rows) in batches.iter().zip(rows) {
            let mut indices = Vec::new();
            for (i, row) in rows.iter().enumerate() {
                if let Some(weight) = weights.get_mut(row).filter(|w| **w * sign > 0) {
                    *weight -= sign;
                    indices.push(i as u64);
                }
            }
            if indices.len() == batch.num_rows() {
                kept.push(batch.clone());
            } else if !indices.is_empty() {
                kept.push(take_record_batch(batch, &UInt64Array::from(indices))?);
            }
        }
        Ok(kept)
    };
    Ok((keep(plus, &plus_rows, 1)?, keep(minus, &minus_rows, -1)?))
}

/// How two multisets differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Rows that only the side added with +1 has, copies counted.
    pub only_plus: u64,
    /// Rows that only the side added with -1 has, copies counted.
    pub only_minus: u64,
    /// Up to ten differing rows, each a batch of one row with its surplus (negative: so many more with -1). Maps are
    /// shown as lists of their entries.
    pub examples: Vec<(RecordBatch, i64)>,
}

impl Difference {
    /// Whether the multisets are the same.
    pub fn is_equal(&self) -> bool {
        self.only_plus == 0 && self.only_minus == 0
    }

    /// Adds the difference of other rows.
    pub fn extend(&mut self, other: Difference) {
        self.only_plus += other.only_plus;
        self.only_minus += other.only_minus;
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// Compares two multisets of rows that arrive batch by batch; holds those rows alone that the other side did not match
/// yet.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use ingot_delta::MultisetDiff;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = |values: Vec<i64>| RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]);
/// let expected = rows(vec![1, 2, 2])?;
/// let mut diff = MultisetDiff::new(expected.schema())?;
/// diff.add(&expected, 1)?;
/// diff.add(&rows(vec![2, 1])?, -1)?;
/// let found = diff.finish()?;
/// assert_eq!((found.only_plus, found.only_minus), (1, 0));
/// # Ok(())
/// # }
/// ```
pub struct MultisetDiff {
    schema: SchemaRef,
    types: Vec<DataType>,
    converter: RowConverter,
    weights: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

/// An estimate of what a held row takes beside its own bytes.
const ROW_OVERHEAD_BYTES: usize = 64;

impl MultisetDiff {
    /// Two empty sides of rows of this schema.
    ///
    /// # Errors
    /// When a column has no row format.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let types = types(&schema);
        Ok(Self { converter: converter(&types)?, types, schema, weights: HashMap::new(), bytes: 0 })
    }

    /// Adds a batch to the first (+1) or the second (-1) side.
    ///
    /// # Errors
    /// When the batch's types differ from the schema's.
    pub fn add(&mut self, batch: &RecordBatch, sign: i64) -> Result<()> {
        same_types(&self.types, batch)?;
        for row in byte_rows(&self.converter, batch)? {
            self.put(row, sign);
        }
        Ok(())
    }

    /// Adds a row in the form in which `take` gives it, with its surplus; negative: to the second side.
    pub fn put(&mut self, row: Box<[u8]>, weight: i64) {
        let size = row.len() + ROW_OVERHEAD_BYTES;
        match self.weights.entry(row) {
            Entry::Occupied(mut o) => {
                *o.get_mut() += weight;
                if *o.get() == 0 {
                    o.remove();
                    self.bytes -= size;
                }
            }
            Entry::Vacant(v) => {
                v.insert(weight);
                self.bytes += size;
            }
        }
    }

    /// Bytes held in memory, as an estimate.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out the rows not yet matched, with their surplus.
    pub fn take(&mut self) -> impl Iterator<Item = (Box<[u8]>, i64)> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.weights).into_iter()
    }

    /// How the sides differ.
    ///
    /// # Errors
    /// When an example row cannot be decoded.
    pub fn finish(self) -> Result<Difference> {
        let mut difference = Difference { only_plus: 0, only_minus: 0, examples: vec![] };
        let mut rows: Vec<_> = self.weights.into_iter().collect();
        for (_, weight) in &rows {
            let side = if *weight > 0 { &mut difference.only_plus } else { &mut difference.only_minus };
            *side += weight.unsigned_abs();
        }
        rows.sort();
        let parser = self.converter.parser();
        // Examples are shown as they were compared.
        let shown =
            self.schema.fields().iter().map(|f| Field::new(f.name(), comparable_type(f.data_type()), f.is_nullable()));
        let shown: SchemaRef = Arc::new(Schema::new(shown.collect::<Vec<_>>()));
        for (bytes, weight) in rows.into_iter().take(EXAMPLES_MAX) {
            let columns =
                if self.types.is_empty() { vec![] } else { self.converter.convert_rows([parser.parse(&bytes)])? };
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            difference
                .examples
                .push((RecordBatch::try_new_with_options(Arc::clone(&shown), columns, &options)?, weight));
        }
        Ok(difference)
    }
}

/// How the multisets `a` (+1) and `b` (-1) of rows of this schema differ.
///
/// # Errors
/// When the batches' types differ or have no row format.
pub fn difference(schema: &SchemaRef, a: &[RecordBatch], b: &[RecordBatch]) -> Result<Difference> {
    let mut diff = MultisetDiff::new(Arc::clone(schema))?;
    a.iter().try_for_each(|batch| diff.add(batch, 1))?;
    b.iter().try_for_each(|batch| diff.add(batch, -1))?;
    diff.finish()
}
