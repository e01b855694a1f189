//! DataFusion's accumulators over exact totals: of many groups, of one group or frame, of distinct values.
//!
//! One slot a group: a total and the count of its non-NULL values. The intermediate state that travels between
//! partial and final aggregation is `[total: Binary, count: Int64]`; both parts can be taken back, so the same
//! accumulators serve sliding window frames.
//!
//! Not here: the totals themselves (`total`, `moments`), which function uses which accumulator (`functions`,
//! `statistics`).

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::exact::total::{Total, TotalResult, finish};

#[derive(Debug, Clone, Default)]
struct Slot<T> {
    total: T,
    count: i64,
}

fn state_columns<T: Total>(slots: &[Slot<T>]) -> Result<Vec<ArrayRef>> {
    let pairs: Vec<_> = slots.iter().map(|s| (&s.total, s.count)).collect();
    let counts: Int64Array = slots.iter().map(|s| Some(s.count)).collect();
    Ok(vec![finish(&pairs, &TotalResult::State)?, Arc::new(counts)])
}

/// The fields of the intermediate state.
pub(crate) fn exact_state_fields(name: &str) -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new(format_state_name(name, "total"), DataType::Binary, true)),
        Arc::new(Field::new(format_state_name(name, "count"), DataType::Int64, true)),
    ]
}

/// Totals of many groups.
#[derive(Debug)]
pub(crate) struct ExactGroups<T> {
    slots: Vec<Slot<T>>,
    output: TotalResult,
}

impl<T: Total> ExactGroups<T> {
    pub(crate) fn new(output: TotalResult) -> Self {
        Self { slots: Vec::new(), output }
    }
}

impl<T: Total> GroupsAccumulator for ExactGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.slots.resize_with(total, Slot::default);
        let all = filter.is_none() && values.iter().all(|v| v.null_count() == 0);
        let columns = T::columns(values);
        for (row, group) in groups.iter().enumerate() {
            if all || T::holds(&columns, row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                let slot = &mut self.slots[*group];
                slot.total.put(&columns, row);
                slot.count += 1;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.slots.resize_with(total, Slot::default);
        let (totals, counts) = (values[0].as_binary::<i32>(), values[1].as_primitive::<Int64Type>());
        for (row, group) in groups.iter().enumerate() {
            if totals.is_valid(row) {
                let slot = &mut self.slots[*group];
                slot.total.join(&T::read(totals.value(row))?);
                slot.count += counts.value(row);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let slots = emit_to.take_needed(&mut self.slots);
        let pairs: Vec<_> = slots.iter().map(|s| (&s.total, s.count)).collect();
        finish(&pairs, &self.output)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        state_columns(&emit_to.take_needed(&mut self.slots))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut single = Self::new(TotalResult::State);
        let groups: Vec<usize> = (0..values[0].len()).collect();
        single.update_batch(values, &groups, filter, groups.len())?;
        state_columns(&single.slots)
    }

    fn size(&self) -> usize {
        // Sums of one column span few exponents: the first slots tell the size of all.
        let sample =
            self.slots.iter().take(64).map(|s| s.total.heap_size()).sum::<usize>() / self.slots.len().clamp(1, 64);
        self.slots.capacity() * size_of::<Slot<T>>() + self.slots.len() * sample
    }
}

/// The total of one group or window frame.
#[derive(Debug)]
pub(crate) struct ExactOne<T> {
    slot: Slot<T>,
    output: TotalResult,
}

impl<T: Total> ExactOne<T> {
    pub(crate) fn new(output: TotalResult) -> Self {
        Self { slot: Slot::default(), output }
    }
}

impl<T: Total> Accumulator for ExactOne<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = T::columns(values);
        for row in (0..values[0].len()).filter(|row| T::holds(&columns, *row)) {
            self.slot.total.put(&columns, row);
            self.slot.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = T::columns(values);
        for row in (0..values[0].len()).filter(|row| T::holds(&columns, *row)) {
            self.slot.total.take(&columns, row);
            self.slot.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (totals, counts) = (states[0].as_binary::<i32>(), states[1].as_primitive::<Int64Type>());
        for row in 0..totals.len() {
            if totals.is_valid(row) {
                self.slot.total.join(&T::read(totals.value(row))?);
                self.slot.count += counts.value(row);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = (self.slot.count != 0).then(|| self.slot.total.bytes());
        Ok(vec![ScalarValue::Binary(total), ScalarValue::Int64(Some(self.slot.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let column = finish(&[(&self.slot.total, self.slot.count)], &self.output)?;
        ScalarValue::try_from_array(&column, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.slot.total.heap_size()
    }
}

/// The total of a group's distinct doubles, or pairs of them; bits decide what is distinct. State:
/// `[values: List<Float64>]`, the two of a pair after each other.
#[derive(Debug)]
pub(crate) struct ExactDistinct<T> {
    seen: HashSet<[u64; 2]>,
    /// One or two arguments.
    width: usize,
    output: TotalResult,
    total: PhantomData<T>,
}

impl<T> ExactDistinct<T> {
    pub(crate) fn new(width: usize, output: TotalResult) -> Self {
        Self { seen: HashSet::new(), width, output, total: PhantomData }
    }
}

/// The state of `ExactDistinct`.
pub(crate) fn distinct_state_fields(name: &str) -> Vec<FieldRef> {
    let item = Field::new_list_field(DataType::Float64, true);
    vec![Arc::new(Field::new_list(format_state_name(name, "distinct"), item, false))]
}

impl<T: Total> Accumulator for ExactDistinct<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<&Float64Array> =
            values.iter().take(self.width).map(|v| v.as_primitive::<Float64Type>()).collect();
        let rows = columns.first().map_or(0, |c| c.len());
        for row in (0..rows).filter(|row| columns.iter().all(|c| c.is_valid(*row))) {
            let mut pair = [0; 2];
            pair.iter_mut().zip(&columns).for_each(|(bits, column)| *bits = column.value(row).to_bits());
            self.seen.insert(pair);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            let values = list.as_primitive::<Float64Type>();
            for given in values.values().chunks(self.width.max(1)) {
                let mut pair = [0; 2];
                pair.iter_mut().zip(given).for_each(|(bits, value)| *bits = value.to_bits());
                self.seen.insert(pair);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bits = self.seen.iter().flat_map(|pair| pair.iter().take(self.width));
        let values: Vec<_> = bits.map(|b| ScalarValue::Float64(Some(f64::from_bits(*b)))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let column = |i: usize| -> ArrayRef {
            let values = self.seen.iter().map(|pair| pair.get(i).map(|bits| f64::from_bits(*bits)));
            Arc::new(values.collect::<Float64Array>())
        };
        let values: Vec<ArrayRef> = (0..self.width.max(1)).map(column).collect();
        let (columns, mut total) = (T::columns(&values), T::default());
        (0..self.seen.len()).for_each(|row| total.put(&columns, row));
        let column = finish(&[(&total, self.seen.len() as i64)], &self.output)?;
        ScalarValue::try_from_array(&column, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * 17
    }
}
