//! Views with one stored row per key: merging changes into the rows that are there.
//!
//!   input ──▶ partials() over inserted rows ──▶ plus ─┐
//!         ──▶ partials() over deleted rows  ──▶ minus ┼──▶ merge() ──▶ positions to remove, rows to insert
//!              rows of the target, by key ────▶ stored┘        └──▶ keys to recompute over the new snapshot
//!
//! A record is what is known of one key (a group's states, a winner's input columns). Each of its columns is read
//! back from a public column that holds it unchanged, or from a hidden one. The public row is computed from the
//! record by the projections on the operator (`shape::projections`).
//!
//! Invariants
//! * Only rows of touched keys are removed or inserted, and only if their bytes change.
//! * A stored row belongs to a key if its hash and then its key values are the same; never by the hash alone.
//! * Fewer stored rows than the change demands is an error, never a guess.
//!
//! Not here: which plans have this shape (`shape::classify`), what becomes of one key (`aggregate`, `keep_first`),
//! reading and writing tables (`pipeline`, `lake`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use ingot_model::KeyRange;

use crate::change::restrict::restrict;
use crate::error::{DeltaError, Result};
use crate::shape::classify::{KeyedOperator, KeyedShape};
use crate::target::fate::Fate;
use crate::target::keys::{KeyFilter, Keys, Role, Touched};
use crate::target::rows::{Positions, split_positions};
use crate::values::format::{convert, converter, gather};
use crate::values::hidden::{
    Coding, KEY, KEY_BYTES, coded_type, coding, decode, encode, key_column, key_hashes, state_name,
};
use crate::values::ranges::range_of;

/// Rows to take out and to put in.
#[derive(Debug, Clone, Default)]
pub struct Merge {
    /// Positions of stored rows: the data file's path and the row's number in it, from 0; sorted, each once.
    pub remove: Vec<(String, i64)>,
    /// Public columns, then state columns, in table order.
    pub insert: Vec<RecordBatch>,
    /// The rows at `remove`, in the columns of `insert`; empty where rows were found by their values.
    pub gone: Vec<RecordBatch>,
    /// How many keys the change touched; 0 where rows were found by their values.
    pub touched: usize,
}

/// The outcome of a merge.
#[derive(Debug, Clone)]
pub enum Merged {
    /// What is to be done to the stored rows.
    Done(Merge),
    /// The change alone does not tell the rows of these keys (one column for each expression of the key): run
    /// `Landing::restrict_to` of them over the new snapshots, and give the result to `Landing::merge_recomputed`.
    Recompute(RecordBatch),
}

/// Keys that were recomputed, with their partials.
#[derive(Debug, Clone)]
pub(crate) struct Recomputed {
    pub(crate) keys: RecordBatch,
    pub(crate) rows: Vec<RecordBatch>,
}

/// Where a column of the record is stored.
#[derive(Debug, Clone)]
enum Storage {
    Public(usize),
    Hidden(usize, Coding),
}

#[derive(Debug)]
struct Inner {
    shape: KeyedShape,
    record: SchemaRef,
    storage: Vec<Storage>,
    /// Public columns, key hash, state columns.
    output: SchemaRef,
}

/// A view whose rows are merged by key.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(Arc<Inner>);

impl Keyed {
    pub(crate) fn new(shape: KeyedShape) -> Result<Self> {
        let partials = shape.operator.partials(shape.input.clone())?;
        let projections = &shape.projections;
        let fields = partials.schema().fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true));
        let record: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        // A state has no column of the base that it equals for good; keys and input columns do.
        let copied = match &shape.operator {
            KeyedOperator::KeepFirst(_) => record.fields().len(),
            KeyedOperator::Aggregate(a) => a.keys.len(),
        };
        let mut hidden: Vec<Field> = vec![Field::new(KEY, DataType::FixedSizeBinary(KEY_BYTES), true)];
        let mut storage = Vec::new();
        for (i, field) in record.fields().iter().enumerate() {
            let public = projections.origins.iter().position(|o| i < copied && o.copies == Some(i));
            let public = public.filter(|p| keeps_values(projections.schema.field(*p).data_type()));
            if let Some(public) = public {
                storage.push(Storage::Public(public));
                continue;
            }
            let code = coding(field.data_type())
                .ok_or_else(|| DeltaError::Layout(format!("{} cannot be stored", field.data_type())))?;
            hidden.push(Field::new(state_name(hidden.len() - 1), coded_type(field.data_type(), &code), true));
            storage.push(Storage::Hidden(hidden.len() - 1, code));
        }
        let public = projections.schema.fields().iter().cloned();
        let output = Arc::new(Schema::new(public.chain(hidden.into_iter().map(Arc::new)).collect::<Vec<_>>()));
        Ok(Keyed(Arc::new(Inner { shape, record, storage, output })))
    }

    /// The operator whose rows are merged.
    pub(crate) fn operator(&self) -> &KeyedOperator {
        &self.0.shape.operator
    }

    /// Hidden columns: `_ingot_key`, then `_ingot_s0`...; all of types that Iceberg has.
    pub(crate) fn state_columns(&self) -> Vec<(String, DataType)> {
        let fields = self.0.output.fields().iter().skip(self.0.shape.projections.schema.fields().len());
        fields.map(|f| (f.name().clone(), f.data_type().clone())).collect()
    }

    /// The plan of partial results: the states of all groups, or the winners of all keys.
    ///
    /// # Errors
    /// When DataFusion cannot build the plan.
    pub(crate) fn partials(&self) -> Result<LogicalPlan> {
        self.0.shape.operator.partials(self.0.shape.input.clone())
    }

    /// `partials()` of just these keys. Keys match with IS NOT DISTINCT FROM.
    ///
    /// # Errors
    /// When DataFusion cannot build the plan.
    pub(crate) fn restrict_to(&self, keys: &RecordBatch) -> Result<LogicalPlan> {
        self.0.shape.operator.partials(restrict(self.0.shape.input.clone(), self.key_exprs(), keys)?)
    }

    fn key_exprs(&self) -> &[Expr] {
        self.0.shape.operator.keys()
    }

    fn key_columns(&self, record: &RecordBatch) -> Result<Vec<ArrayRef>> {
        match &self.0.shape.operator {
            KeyedOperator::KeepFirst(k) => k.key_columns(record),
            KeyedOperator::Aggregate(a) => Ok(record.columns()[..a.keys.len()].to_vec()),
        }
    }

    fn records(&self, partials: &[RecordBatch]) -> Result<RecordBatch> {
        match &self.0.shape.operator {
            KeyedOperator::KeepFirst(_) => gather(&self.0.record, partials),
            KeyedOperator::Aggregate(a) => {
                let normal = partials.iter().map(|p| a.normalize(&self.0.record, p)).collect::<Result<Vec<_>>>()?;
                gather(&self.0.record, &normal)
            }
        }
    }

    /// The rows to store for partial results over everything.
    ///
    /// # Errors
    /// When a value does not fit its type.
    pub(crate) fn build(&self, partials: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let record = self.records(partials)?;
        Ok(if record.num_rows() == 0 { vec![] } else { vec![self.rows(&record)?] })
    }

    /// Public and hidden columns of records.
    fn rows(&self, record: &RecordBatch) -> Result<RecordBatch> {
        let n = record.num_rows();
        let base = match &self.0.shape.operator {
            KeyedOperator::KeepFirst(k) => k.results(record),
            KeyedOperator::Aggregate(a) => a.results(record.columns())?,
        };
        let mut columns = self.0.shape.projections.apply(base, n)?;
        columns.push(key_column(&key_hashes(&self.key_columns(record)?, n)?)?);
        for (column, stored_as) in record.columns().iter().zip(&self.0.storage) {
            if let Storage::Hidden(_, code) = stored_as {
                columns.push(encode(column, code)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.0.output), columns, &options)?)
    }

    /// Records of stored rows (public and hidden columns).
    fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let public = self.0.shape.projections.schema.fields().len();
        let columns = self.0.storage.iter().zip(self.0.record.fields()).map(|(stored_as, field)| match stored_as {
            Storage::Public(i) if rows.column(*i).data_type() == field.data_type() => Ok(Arc::clone(rows.column(*i))),
            Storage::Public(i) => Ok(arrow::compute::cast(rows.column(*i), field.data_type())?),
            Storage::Hidden(i, code) => decode(rows.column(public + i), field.data_type(), code),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.0.record), columns.collect::<Result<_>>()?, &options)?)
    }

    /// Ranges of the public columns that follow from the key, over the keys of these partials. Rows of other keys
    /// may lie in them; no row of these keys lies outside. Empty: nothing restricts where the rows are. A column whose
    /// expression fails for some key restricts nothing: that key may be gone.
    ///
    /// # Errors
    /// Partial results that do not have this view's columns.
    pub(crate) fn key_ranges(&self, partials: &[RecordBatch]) -> Result<Vec<KeyRange>> {
        let record = self.records(partials)?;
        if record.num_rows() == 0 {
            return Ok(vec![]);
        }
        // The base columns that hold key values. Values of these rows alone need not have a result.
        let base: Vec<Option<ArrayRef>> = match &self.0.shape.operator {
            KeyedOperator::KeepFirst(k) => {
                let plain = |e: &Expr| match e {
                    Expr::Column(c) => k.input_index(c),
                    _ => None,
                };
                let keys: HashSet<usize> = k.keys.iter().filter_map(plain).collect();
                k.results(&record).into_iter().enumerate().map(|(i, c)| keys.contains(&i).then_some(c)).collect()
            }
            KeyedOperator::Aggregate(a) => {
                let keys = record.columns().iter().take(a.keys.len()).cloned().map(Some);
                keys.chain(std::iter::repeat(None)).take(a.width()).collect()
            }
        };
        let public = self.0.shape.projections.apply_to_known(base, record.num_rows())?;
        let mut ranges = Vec::new();
        for ((column, field), origin) in
            public.iter().zip(self.0.shape.projections.schema.fields()).zip(&self.0.shape.projections.origins)
        {
            if let Some(column) = column.as_ref().filter(|_| !origin.depends.is_empty()) {
                ranges.extend(range_of(field.name(), &[column])?);
            }
        }
        Ok(ranges)
    }

    /// Which stored rows may hold the keys of these partials, by their hidden key: the others need not be kept.
    ///
    /// # Errors
    /// When an expression fails.
    pub(crate) fn key_filter(&self, partials: &[RecordBatch]) -> Result<KeyFilter> {
        let record = self.records(partials)?;
        let mut hashes = HashSet::from_iter(key_hashes(&self.key_columns(&record)?, record.num_rows())?);
        if self.key_exprs().is_empty() {
            hashes.extend(key_hashes(&[], 1)?);
        }
        let column = self.0.shape.projections.schema.fields().len();
        Ok(KeyFilter { column, hashes: Arc::new(hashes) })
    }

    /// Merges a change into stored rows.
    ///
    /// `plus` and `minus` are `partials()` over the inserted and the deleted rows; `stored` are the target's rows
    /// that may hold touched keys: public and state columns by position, then `_ingot_file` and `_ingot_pos`.
    ///
    /// # Errors
    /// `Inconsistent` when the stored rows contradict the change.
    pub(crate) fn merge(
        &self,
        plus: &[RecordBatch],
        minus: &[RecordBatch],
        stored: &[RecordBatch],
        recomputed: Option<&Recomputed>,
    ) -> Result<Merged> {
        let input = self.0.shape.input.schema();
        let types = self.key_exprs().iter().map(|e| Ok(e.get_type(input)?)).collect::<Result<Vec<_>>>()?;
        let mut keys = Keys::new(&types)?;
        let mut pieces = Vec::new();
        let mut add = |keys: &mut Keys, piece: RecordBatch, role| {
            keys.add(&self.key_columns(&piece)?, piece.num_rows(), role)?;
            pieces.push(piece);
            Ok::<_, DeltaError>(())
        };
        add(&mut keys, self.records(plus)?, Role::Plus)?;
        add(&mut keys, self.records(minus)?, Role::Minus)?;
        if let Some(again) = recomputed {
            keys.mark_recomputed(&again.keys)?;
            add(&mut keys, self.records(&again.rows)?, Role::Recomputed)?;
        }
        if types.is_empty() {
            keys.touch_global()?;
        }
        let (rows, positions) = self.candidates(stored, &keys.hashes)?;
        let at = keys.next;
        add(&mut keys, self.read(&rows)?, Role::Stored)?;
        let touched = keys.touched;
        let always = matches!(&self.0.shape.operator, KeyedOperator::Aggregate(a) if a.keys.is_empty());
        if always && touched.iter().any(|t| t.stored.is_none()) {
            return Err(DeltaError::inconsistent("the one row of an aggregate without GROUP BY is not stored"));
        }
        let arena = gather(&self.0.record, &pieces)?;
        let combined = match &self.0.shape.operator {
            KeyedOperator::KeepFirst(k) => k.combine(&arena, &touched)?,
            KeyedOperator::Aggregate(a) => a.combine(&arena, &touched)?,
        };
        let again: Vec<u64> = touched
            .iter()
            .zip(&combined.fates)
            .filter(|(_, f)| **f == Fate::Recompute)
            .filter_map(|(t, _)| t.any())
            .map(|i| i as u64)
            .collect();
        if !again.is_empty() {
            if recomputed.is_some() {
                return Err(DeltaError::inconsistent("keys were left out of the recomputation"));
            }
            let records = take_record_batch(&arena, &UInt64Array::from(again))?;
            return Ok(Merged::Recompute(self.key_batch(&records)?));
        }
        let new = self.rows(&combined.record)?;
        self.replace(&touched, &combined.fates, &new, &rows, &positions, at).map(Merged::Done)
    }

    fn key_batch(&self, records: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.key_columns(records)?;
        let fields: Vec<Field> =
            columns.iter().enumerate().map(|(i, c)| Field::new(format!("k{i}"), c.data_type().clone(), true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }

    /// Stored rows whose key hash is among `hashes`, with their positions.
    fn candidates(
        &self,
        stored: &[RecordBatch],
        hashes: &HashSet<[u8; 16]>,
    ) -> Result<(RecordBatch, Vec<(String, i64)>)> {
        let key = self.0.shape.projections.schema.fields().len();
        let (mut kept, mut positions) = (Vec::new(), Vec::new());
        for batch in stored {
            let (rows, at): (RecordBatch, Positions) = split_positions(batch)?;
            if rows.num_columns() != self.0.output.fields().len() {
                return Err(DeltaError::Layout(format!(
                    "{} stored columns instead of {}",
                    rows.num_columns(),
                    self.0.output.fields().len()
                )));
            }
            let column = rows.column(key);
            if column.data_type() != &DataType::FixedSizeBinary(KEY_BYTES) {
                return Err(DeltaError::Layout(format!("{KEY} is {}", column.data_type())));
            }
            if column.null_count() > 0 {
                return Err(DeltaError::inconsistent("a row lacks its hidden key"));
            }
            let column = column.as_fixed_size_binary();
            let mut indices = Vec::new();
            for i in 0..rows.num_rows() {
                if hashes.contains(column.value(i)) {
                    indices.push(i as u64);
                    positions.push(at.at(i)?);
                }
            }
            if !indices.is_empty() {
                kept.push(take_record_batch(&rows, &UInt64Array::from(indices))?);
            }
        }
        Ok((gather(&self.0.output, &kept)?, positions))
    }

    /// The merge that puts `new` in the place of the stored rows of touched keys, rows that stay as they are left out.
    /// `at` is the arena row of the first of `stored`.
    fn replace(
        &self,
        touched: &[Touched],
        fates: &[Fate],
        new: &RecordBatch,
        stored: &RecordBatch,
        positions: &[(String, i64)],
        at: usize,
    ) -> Result<Merge> {
        let types: Vec<DataType> = self.0.output.fields().iter().map(|f| f.data_type().clone()).collect();
        let converter = converter(&types)?;
        let (new_rows, old_rows) = (convert(&converter, new.columns())?, convert(&converter, stored.columns())?);
        let mut merge = Merge { touched: touched.len(), ..Merge::default() };
        let (mut insert, mut gone, mut next) = (Vec::new(), Vec::new(), 0);
        for (t, fate) in touched.iter().zip(fates) {
            let old = t.stored.map(|i| i - at);
            let coming = (*fate == Fate::Row).then_some(next);
            next += usize::from(*fate == Fate::Row);
            if let (Some(old), Some(coming)) = (old, coming)
                && old_rows.row(old) == new_rows.row(coming)
            {
                continue;
            }
            merge.remove.extend(old.map(|i| positions[i].clone()));
            gone.extend(old.map(|i| i as u64));
            insert.extend(coming.map(|i| i as u64));
        }
        merge.remove.sort();
        if !insert.is_empty() {
            merge.insert.push(take_record_batch(new, &UInt64Array::from(insert))?);
        }
        if !gone.is_empty() {
            merge.gone.push(take_record_batch(stored, &UInt64Array::from(gone))?);
        }
        Ok(merge)
    }
}

/// Whether a public column of this type is read back from the table with the bits that were written.
fn keeps_values(data_type: &DataType) -> bool {
    use DataType::*;
    let cast =
        matches!(data_type, Utf8View | LargeUtf8 | BinaryView | LargeBinary | Int8 | Int16 | UInt8 | UInt16 | UInt32);
    cast || coding(data_type) == Some(Coding::Same)
}
