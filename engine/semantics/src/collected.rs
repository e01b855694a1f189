//! `array_agg` and `string_agg` with an ORDER BY inside.
//!
//!   batches of values and keys, (group, row) of each row ──▶ by group, then by key ──▶ a list or a text of each group
//!
//! DataFusion keeps a scalar for each value and key, copies all of them to answer and makes an array of each row to merge
//! partial results: many times what it counts, so that one statement took ten times `run.memory_bytes_max`.
//!
//! Invariants
//! * `size` counts what is held and the copy of it that an answer is.
//! * Rows of equal keys stay in the order in which they came.
//! * A state is a list of values and one of each key, of one length; merging sorts, so that states need not be sorted.
//!
//! Not here: calls without an order, or with DISTINCT, which are DataFusion's.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DynComparator, LargeStringBuilder, ListArray, UInt32Array, make_comparator,
    new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, concat, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
};
use datafusion::physical_expr::expressions::Literal;

use crate::delegated::as_inner;

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<AggregateUDF>]) {
    for function in functions.iter_mut() {
        let joins = match function.name() {
            "array_agg" => false,
            "string_agg" => true,
            _ => continue,
        };
        *function = Arc::new(AggregateUDF::from(Collected { inner: Arc::clone(function), joins }));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Collected {
    inner: Arc<AggregateUDF>,
    /// A text of all values, rather than a list.
    joins: bool,
}

impl Collected {
    fn ordered(&self, args: &AccumulatorArgs) -> Result<Ordered> {
        let Some(values) = args.expr_fields.first().map(|f| f.data_type()) else { return internal_err!("no argument") };
        if self.joins && !matches!(values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return not_impl_err!("string_agg of {values}");
        }
        let mut types = vec![values.clone()];
        for key in args.order_bys {
            types.push(key.expr.data_type(args.schema)?);
        }
        Ok(Ordered {
            types,
            orders: args.order_bys.iter().map(|key| key.options).collect(),
            skips_nulls: args.ignore_nulls || self.joins,
            delimiter: self.joins.then(|| delimiter(args)).transpose()?,
            batches: Vec::new(),
            groups: 0,
            bytes: 0,
        })
    }
}

fn delimiter(args: &AccumulatorArgs) -> Result<String> {
    let literal = args.exprs.get(1).and_then(|e| e.downcast_ref::<Literal>()).map(Literal::value);
    match literal {
        Some(value) if value.is_null() => Ok(String::new()),
        Some(value) if value.try_as_str().is_some() => Ok(value.try_as_str().flatten().unwrap_or_default().to_owned()),
        _ => not_impl_err!("string_agg separates values by a constant text"),
    }
}

fn is_ours(args: &AccumulatorArgs) -> bool {
    !args.is_distinct && !args.order_bys.is_empty()
}

impl AggregateUDFImpl for Collected {
    as_inner!(calls, returns);

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct || args.ordering_fields.is_empty() {
            return self.inner.state_fields(args);
        }
        let fields = args.input_fields.iter().take(1).chain(args.ordering_fields).enumerate();
        let list = |(at, field): (usize, &FieldRef)| {
            let item = Field::new_list_field(field.data_type().clone(), true);
            Arc::new(Field::new_list(format_state_name(args.name, &format!("ordered_{at}")), item, true))
        };
        Ok(fields.map(list).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_ours(&args) {
            return Ok(Box::new(One(self.ordered(&args)?)));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_ours(&args) {
            return self.accumulator(args);
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        is_ours(&args) || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if is_ours(&args) {
            return Ok(Box::new(self.ordered(&args)?));
        }
        self.inner.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::SoftRequirement
    }

    // Sorting rows that are in order already costs little.
    fn with_beneficial_ordering(self: Arc<Self>, _ordered: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    // Of rows in the other order it makes another list.
    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Rows that came together.
#[derive(Debug)]
struct Batch {
    /// The values, then each key.
    columns: Vec<ArrayRef>,
    /// Group and row of those rows that count.
    rows: Vec<(u32, u32)>,
}

impl Batch {
    fn bytes(&self) -> usize {
        /// What an array takes beside its buffers.
        const OVERHEAD: usize = 128;
        let columns: usize = self.columns.iter().map(|c| slice_bytes(c) + OVERHEAD).sum();
        columns + self.rows.capacity() * size_of::<(u32, u32)>() + size_of::<Self>()
    }
}

/// The part of its buffers that an array shows.
pub(crate) fn slice_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        // Their texts are anywhere in buffers that they share.
        DataType::Utf8View | DataType::BinaryView => array.get_array_memory_size(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// The rows of many groups.
#[derive(Debug)]
struct Ordered {
    /// Of the values, then of each key.
    types: Vec<DataType>,
    orders: Vec<SortOptions>,
    skips_nulls: bool,
    /// Between the values of a text.
    delimiter: Option<String>,
    batches: Vec<Batch>,
    groups: usize,
    /// Of all batches.
    bytes: usize,
}

/// A row: the number of its batch, and that in it.
type Pick = (usize, usize);

impl Ordered {
    fn push(&mut self, columns: Vec<ArrayRef>, rows: Vec<(u32, u32)>) -> Result<()> {
        if columns.len() != self.types.len() {
            return internal_err!("{} columns of {}", columns.len(), self.types.len());
        }
        if !rows.is_empty() {
            let batch = Batch { columns, rows };
            self.bytes += batch.bytes();
            self.batches.push(batch);
        }
        Ok(())
    }

    /// `groups` of rows that are not there yet: `None` is the one group of all.
    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: Option<&[usize]>,
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups = self.groups.max(total);
        let Some(first) = values.first() else { return internal_err!("values are missing") };
        // Between them is a delimiter.
        let keys = values.iter().skip(values.len().saturating_sub(self.orders.len()));
        let nulls = if self.skips_nulls { first.logical_nulls() } else { None };
        let counts = |row: usize| {
            filter.is_none_or(|f| f.is_valid(row) && f.value(row)) && nulls.as_ref().is_none_or(|n| n.is_valid(row))
        };
        let group = |row: usize| groups.map_or(Some(0), |g| g.get(row).copied()).unwrap_or_default() as u32;
        let rows = (0..first.len()).filter(|row| counts(*row)).map(|row| (group(row), row as u32)).collect();
        self.push(std::iter::once(first).chain(keys).map(Arc::clone).collect(), rows)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: Option<&[usize]>, total: usize) -> Result<()> {
        self.groups = self.groups.max(total);
        let lists: Vec<&ListArray> = states.iter().filter_map(|s| s.as_list_opt::<i32>()).collect();
        let Some(first) = lists.first() else { return internal_err!("lists are missing") };
        let mut rows = Vec::new();
        let offsets = first.value_offsets();
        let start = offsets.first().copied().unwrap_or_default();
        for (row, ends) in offsets.windows(2).enumerate().filter(|(row, _)| first.is_valid(*row)) {
            let group = groups.map_or(Some(0), |g| g.get(row).copied()).unwrap_or_default() as u32;
            let &[from, to] = ends else { continue };
            rows.extend((from - start..to - start).map(|at| (group, at as u32)));
        }
        let shown = |list: &&ListArray| {
            let (from, to) = (list.value_offsets().first().copied(), list.value_offsets().last().copied());
            let (from, to) = (from.unwrap_or_default() as usize, to.unwrap_or_default() as usize);
            list.values().slice(from, to - from)
        };
        let columns: Vec<ArrayRef> = lists.iter().map(shown).collect();
        if columns.iter().any(|c| Some(c.len()) != columns.first().map(|f| f.len())) {
            return internal_err!("lists of values and keys differ in length");
        }
        self.push(columns, rows)
    }

    /// The rows of the first `groups`, by group, and where each begins; sorted, or as they came.
    fn picks(&self, groups: usize, sorted: bool) -> Result<(Vec<Pick>, OffsetBuffer<i32>)> {
        let mut counts = vec![0_usize; groups];
        for (group, _) in self.batches.iter().flat_map(|b| &b.rows) {
            if let Some(count) = counts.get_mut(*group as usize) {
                *count += 1;
            }
        }
        let total: usize = counts.iter().sum();
        if i32::try_from(total).is_err() {
            return Err(arrow::error::ArrowError::OffsetOverflowError(total).into());
        }
        let offsets = OffsetBuffer::from_lengths(counts.iter().copied());
        let mut ends: Vec<usize> = offsets.iter().map(|o| *o as usize).collect();
        let mut picks: Vec<Pick> = vec![(0, 0); total];
        for (number, batch) in self.batches.iter().enumerate() {
            for (group, row) in &batch.rows {
                let (group, row) = (*group as usize, *row as usize);
                if group < groups
                    && let Some(end) = ends.get_mut(group)
                    && let Some(pick) = picks.get_mut(*end)
                {
                    *pick = (number, row);
                    *end += 1;
                }
            }
        }
        if sorted {
            self.sort(&mut picks, &offsets)?;
        }
        Ok((picks, offsets))
    }

    fn sort(&self, picks: &mut [Pick], offsets: &[i32]) -> Result<()> {
        let mut starts = Vec::with_capacity(self.batches.len());
        let mut rows = 0;
        for batch in &self.batches {
            starts.push(rows);
            rows += batch.columns.first().map_or(0, |c| c.len());
        }
        let mut orders: Vec<DynComparator> = Vec::new();
        for (at, options) in self.orders.iter().enumerate().filter(|_| rows > 0) {
            let parts: Vec<&dyn Array> = self.column(at + 1);
            let key = concat(&parts)?;
            orders.push(make_comparator(&key, &key, *options)?);
        }
        let place = |pick: &Pick| starts.get(pick.0).copied().unwrap_or_default() + pick.1;
        for ends in offsets.windows(2) {
            let &[from, to] = ends else { continue };
            let Some(group) = picks.get_mut(from as usize..to as usize) else { continue };
            group.sort_by(|a, b| {
                let (a, b) = (place(a), place(b));
                orders.iter().map(|order| order(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            });
        }
        Ok(())
    }

    fn column(&self, at: usize) -> Vec<&dyn Array> {
        self.batches.iter().filter_map(|b| b.columns.get(at)).map(AsRef::as_ref).collect()
    }

    fn list(
        &self,
        at: usize,
        picks: &[Pick],
        offsets: &OffsetBuffer<i32>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let item = self.types.get(at).cloned().unwrap_or(DataType::Null);
        let values = if picks.is_empty() { new_empty_array(&item) } else { interleave(&self.column(at), picks)? };
        let field = Arc::new(Field::new_list_field(item, true));
        Ok(Arc::new(ListArray::try_new(field, offsets.clone(), values, nulls)?))
    }

    fn answer(&self, groups: usize) -> Result<ArrayRef> {
        let (picks, offsets) = self.picks(groups, true)?;
        match &self.delimiter {
            Some(delimiter) => self.texts(&picks, &offsets, delimiter),
            None => {
                let nulls = NullBuffer::from(offsets.lengths().map(|n| n > 0).collect::<Vec<_>>());
                self.list(0, &picks, &offsets, Some(nulls))
            }
        }
    }

    fn texts(&self, picks: &[Pick], offsets: &[i32], delimiter: &str) -> Result<ArrayRef> {
        let text =
            |pick: &Pick| self.batches.get(pick.0).and_then(|b| b.columns.first()).map_or("", |c| text_at(c, pick.1));
        let bytes: usize = picks.iter().map(|p| text(p).len() + delimiter.len()).sum();
        let mut texts = LargeStringBuilder::with_capacity(offsets.len().saturating_sub(1), bytes);
        for ends in offsets.windows(2) {
            let &[from, to] = ends else { continue };
            match picks.get(from as usize..to as usize) {
                Some([first, others @ ..]) => {
                    use std::fmt::Write;
                    // Writing to memory does not fail.
                    let _ = texts.write_str(text(first));
                    for pick in others {
                        let _ = texts.write_str(delimiter);
                        let _ = texts.write_str(text(pick));
                    }
                    texts.append_value("");
                }
                _ => texts.append_null(),
            }
        }
        Ok(Arc::new(texts.finish()))
    }

    fn states(&self, groups: usize) -> Result<Vec<ArrayRef>> {
        let (picks, offsets) = self.picks(groups, false)?;
        (0..self.types.len()).map(|at| self.list(at, &picks, &offsets, None)).collect()
    }

    fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(n) => n,
        }
    }

    /// Forgets the first `groups`; what stays holds no rows of theirs.
    fn forget(&mut self, groups: usize) -> Result<()> {
        let first = groups as u32;
        let mut kept = Vec::new();
        for mut batch in std::mem::take(&mut self.batches) {
            let before = batch.rows.len();
            batch.rows.retain(|(group, _)| *group >= first);
            batch.rows.iter_mut().for_each(|(group, _)| *group -= first);
            if batch.rows.is_empty() {
                continue;
            }
            if batch.rows.len() < before {
                let rows: UInt32Array = batch.rows.iter().map(|(_, row)| *row).collect();
                batch.columns = batch.columns.iter().map(|c| take(c, &rows, None)).collect::<Result<_, _>>()?;
                batch.rows.iter_mut().zip(0..).for_each(|((_, row), at)| *row = at);
                batch.rows.shrink_to_fit();
            }
            kept.push(batch);
        }
        self.bytes = kept.iter().map(Batch::bytes).sum();
        self.batches = kept;
        self.groups -= groups.min(self.groups);
        Ok(())
    }
}

fn text_at(column: &ArrayRef, row: usize) -> &str {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row),
        DataType::Utf8View => column.as_string_view().value(row),
        _ => "",
    }
}

impl GroupsAccumulator for Ordered {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.update(values, Some(groups), filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.merge(states, Some(groups), total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit_to);
        let answer = self.answer(groups)?;
        self.forget(groups)?;
        Ok(answer)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit_to);
        let states = self.states(groups)?;
        self.forget(groups)?;
        Ok(states)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut each = Self {
            batches: Vec::new(),
            delimiter: None,
            orders: self.orders.clone(),
            types: self.types.clone(),
            ..*self
        };
        each.update(values, Some(&(0..rows).collect::<Vec<_>>()), filter, rows)?;
        each.states(rows)
    }

    fn size(&self) -> usize {
        size_of_val(self) + 2 * self.bytes + self.batches.capacity() * size_of::<Batch>()
    }
}

/// The rows of one group.
#[derive(Debug)]
struct One(Ordered);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update(values, None, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states, None, 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.0.states(1)?;
        self.0.forget(1)?;
        states.iter().map(|s| ScalarValue::try_from_array(s, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.answer(1)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[cfg(test)]
#[path = "collected_tests.rs"]
pub(crate) mod tests;
