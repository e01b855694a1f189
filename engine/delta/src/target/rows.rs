//! Multisets of rows, compared bit by bit.
//!
//! Rows are compared in Arrow's row format, which keeps -0.0 apart from 0.0 and NaNs of different bits apart.
//!
//! Invariants
//! * `consolidate(plus, minus)`: plus' - minus' = plus - minus as multisets, and no row stands on both sides.
//! * All batches of one call have the same column types; names are not looked at.
//!
//! Maps have no row format: they are compared as the lists of their entries, in the order in which these stand.
//!
//! Not here: reading change rows (`lake::changelog`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::ScalarValue;
use ingot_model::KeyRange;
use ingot_model::place::{FILE, POSITION};

use crate::error::{DeltaError, Result};

/// Examples that `MultisetDiff` keeps.
const EXAMPLES_MAX: usize = 10;

/// A converter for columns of these types, made `comparable`.
pub(crate) fn converter<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|t| SortField::new(comparable_type(t))).collect())?)
}

/// The type as which values are compared.
fn comparable_type(data_type: &DataType) -> DataType {
    let field = |f: &FieldRef| Arc::new(f.as_ref().clone().with_data_type(comparable_type(f.data_type())));
    match data_type {
        DataType::Map(entries, _) => DataType::List(field(entries)),
        DataType::List(f) => DataType::List(field(f)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// A column as it is compared: maps become lists of entries.
pub(crate) fn comparable(column: &ArrayRef) -> Result<ArrayRef> {
    let to = comparable_type(column.data_type());
    if *column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    let nulls = column.nulls().cloned();
    Ok(match (column.data_type(), to) {
        (DataType::Map(..), DataType::List(field)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            Arc::new(ListArray::try_new(field, map.offsets().clone(), comparable(&entries)?, nulls)?)
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = column.as_list::<i32>();
            Arc::new(ListArray::try_new(field, list.offsets().clone(), comparable(list.values())?, nulls)?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let columns = column.as_struct().columns().iter().map(comparable).collect::<Result<_>>()?;
            Arc::new(StructArray::try_new_with_length(fields, columns, nulls, column.len())?)
        }
        (other, _) => return Err(DeltaError::Layout(format!("{other} cannot be compared"))),
    })
}

/// Tells whether rows with this column can be compared bit by bit, maps as lists of their entries.
pub(crate) fn is_comparable(data_type: &DataType) -> bool {
    has_row_format(&comparable_type(data_type))
}

/// The byte rows of columns.
pub(crate) fn convert(converter: &RowConverter, columns: &[ArrayRef]) -> Result<Rows> {
    let columns = columns.iter().map(comparable).collect::<Result<Vec<_>>>()?;
    Ok(converter.convert_columns(&columns)?)
}

/// Tells whether the type has a row format of its own.
pub(crate) fn has_row_format(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

fn types(schema: &SchemaRef) -> Vec<DataType> {
    schema.fields().iter().map(|f| f.data_type().clone()).collect()
}

fn same_types(expected: &[DataType], batch: &RecordBatch) -> Result<()> {
    let found = types(&batch.schema());
    if found.len() != expected.len() || !found.iter().zip(expected).all(|(a, b)| a.equals_datatype(b)) {
        return Err(DeltaError::Layout(format!("expected {expected:?}, found {found:?}")));
    }
    Ok(())
}

/// The byte rows of a batch; a batch without columns has empty rows.
fn byte_rows(converter: &RowConverter, batch: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
    if batch.num_columns() == 0 {
        return Ok(vec![Box::default(); batch.num_rows()]);
    }
    let rows = convert(converter, batch.columns())?;
    Ok(rows.iter().map(|r| Box::from(r.data())).collect())
}

/// The difference of two multisets: rows of `plus` beyond those of `minus`, and the other way round.
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

/// The value ranges of the rows' columns; columns whose bounds must not prune (floats, nested) are left out.
///
/// # Errors
/// When the batches do not share one schema.
pub fn value_ranges(rows: &[RecordBatch]) -> Result<Vec<KeyRange>> {
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

/// Finds the places of rows to be removed: for n copies of a row exactly n places, lowest file and position first.
/// `stored` holds the columns of `minus`, then `_ingot_file` (Utf8) and `_ingot_pos` (Int64); other rows among it are ignored.
///
/// # Errors
/// `Inconsistent` when fewer copies are stored than are to be removed.
pub fn locate(minus: &[RecordBatch], stored: &[RecordBatch]) -> Result<Vec<(String, i64)>> {
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
        let (public, places) = split_places(batch)?;
        same_types(&expected, &public)?;
        for (i, row) in byte_rows(&converter, &public)?.into_iter().enumerate() {
            if wanted.contains_key(&row) {
                found.entry(row).or_default().push(places.at(i)?);
            }
        }
    }
    let mut removed = Vec::new();
    for (row, count) in wanted {
        let mut places = found.remove(&row).unwrap_or_default();
        if places.len() < count {
            return Err(DeltaError::inconsistent(format!(
                "{count} copies of a row are to be removed and {} are stored",
                places.len()
            )));
        }
        places.sort();
        removed.extend(places.into_iter().take(count));
    }
    removed.sort();
    Ok(removed)
}

/// The `_ingot_file` and `_ingot_pos` columns of stored rows.
pub(crate) struct Places {
    files: ArrayRef,
    positions: ArrayRef,
}

impl Places {
    pub(crate) fn at(&self, row: usize) -> Result<(String, i64)> {
        if self.files.is_null(row) || self.positions.is_null(row) {
            return Err(DeltaError::Layout("a stored row without place".into()));
        }
        Ok((self.files.as_string::<i32>().value(row).to_owned(), self.positions.as_primitive::<Int64Type>().value(row)))
    }
}

/// Splits the two last columns `_ingot_file` and `_ingot_pos` off.
pub(crate) fn split_places(batch: &RecordBatch) -> Result<(RecordBatch, Places)> {
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
    Ok((rest, Places { files: Arc::clone(batch.column(n - 2)), positions: Arc::clone(batch.column(n - 1)) }))
}

/// How two multisets differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Rows that only the side added with +1 has, copies counted.
    pub only_plus: u64,
    /// Rows that only the side added with -1 has, copies counted.
    pub only_minus: u64,
    /// Up to ten differing rows, each a batch of one row with its surplus (negative: missing).
    pub examples: Vec<(RecordBatch, i64)>,
}

impl Difference {
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

/// Compares two multisets of rows that arrive batch by batch; holds the rows not yet matched.
pub struct MultisetDiff {
    schema: SchemaRef,
    types: Vec<DataType>,
    converter: RowConverter,
    weights: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

/// What a row that is held takes beside its bytes, about.
const ROW_OVERHEAD_BYTES: usize = 64;

impl MultisetDiff {
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

    /// Adds a row as `take` gave it.
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

    /// Bytes held in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out the rows not yet matched, with their surplus.
    pub fn take(&mut self) -> impl Iterator<Item = (Box<[u8]>, i64)> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.weights).into_iter()
    }

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
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
            difference
                .examples
                .push((RecordBatch::try_new_with_options(Arc::clone(&shown), columns, &options)?, weight));
        }
        Ok(difference)
    }
}

/// The differing rows of two multisets.
///
/// # Errors
/// When the batches' types differ or have no row format.
pub fn difference(schema: &SchemaRef, a: &[RecordBatch], b: &[RecordBatch]) -> Result<Difference> {
    let mut diff = MultisetDiff::new(Arc::clone(schema))?;
    a.iter().try_for_each(|batch| diff.add(batch, 1))?;
    b.iter().try_for_each(|batch| diff.add(batch, -1))?;
    diff.finish()
}

/// All batches as one, columns renamed to and cast towards `schema`.
pub(crate) fn gather(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let cast = batches.iter().map(|batch| {
        if batch.num_columns() != schema.fields().len() {
            return Err(DeltaError::Layout(format!(
                "{} columns instead of {}",
                batch.num_columns(),
                schema.fields().len()
            )));
        }
        let columns = batch.columns().iter().zip(schema.fields()).map(|(c, f)| {
            if c.data_type() == f.data_type() { Ok(Arc::clone(c)) } else { arrow::compute::cast(c, f.data_type()) }
        });
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_, _>>()?, &options)?)
    });
    let cast = cast.collect::<Result<Vec<_>>>()?;
    if schema.fields().is_empty() {
        let rows = cast.iter().map(RecordBatch::num_rows).sum();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(Arc::clone(schema), vec![], &options)?);
    }
    Ok(concat_batches(schema, &cast)?)
}
