//! `avg` of DOUBLE, also where the sum leaves the range of doubles and the average does not.
//!
//! A second sum, of the values divided by 2^64, takes the place of the first where that overflowed.
//!
//! Not here: exact sums of maintained tables (`ingot_delta`), averages of decimals (`sum`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

const SMALLER: f64 = 1.0 / (1u128 << 64) as f64;

/// The state of both accumulators.
pub(crate) fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |part: &str, of| Arc::new(Field::new(format_state_name(name, part), of, true));
    vec![field("sum", DataType::Float64), field("small", DataType::Float64), field("count", DataType::Int64)]
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    sum: f64,
    small: f64,
    count: i64,
}

impl Slot {
    fn add(&mut self, value: f64) {
        self.join(value, value * SMALLER, 1);
    }

    fn join(&mut self, sum: f64, small: f64, count: i64) {
        self.sum += sum;
        self.small += small;
        self.count += count;
    }

    fn average(&self) -> Option<f64> {
        let count = self.count as f64;
        (self.count != 0).then(|| match !self.sum.is_finite() && self.small.is_finite() {
            true => self.small / count / SMALLER,
            false => self.sum / count,
        })
    }
}

fn states(slots: &[Slot]) -> Vec<ArrayRef> {
    vec![
        Arc::new(slots.iter().map(|s| Some(s.sum)).collect::<Float64Array>()),
        Arc::new(slots.iter().map(|s| Some(s.small)).collect::<Float64Array>()),
        Arc::new(slots.iter().map(|s| Some(s.count)).collect::<Int64Array>()),
    ]
}

fn each_state(states: &[ArrayRef], mut each: impl FnMut(usize, f64, f64, i64)) -> Result<()> {
    let [sums, smalls, counts] = states else { return exec_err!("an average has three states, not {}", states.len()) };
    let (sums, smalls) = (sums.as_primitive::<Float64Type>(), smalls.as_primitive::<Float64Type>());
    let counts = counts.as_primitive::<Int64Type>();
    for row in (0..counts.len()).filter(|row| counts.is_valid(*row)) {
        each(row, sums.value(row), smalls.value(row), counts.value(row));
    }
    Ok(())
}

/// The average of one group.
#[derive(Debug, Default)]
pub(crate) struct OneAverage(Slot);

impl Accumulator for OneAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("an average has one argument") };
        values.as_primitive::<Float64Type>().iter().flatten().for_each(|v| self.0.add(v));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_state(states, |_, sum, small, count| self.0.join(sum, small, count))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        states(&[self.0]).iter().map(|s| ScalarValue::try_from_array(s, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.0.average()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The averages of many groups.
#[derive(Debug, Default)]
pub(crate) struct Averages(Vec<Slot>);

impl GroupsAccumulator for Averages {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.resize(total, Slot::default());
        let Some(values) = values.first() else { return exec_err!("an average has one argument") };
        let values = values.as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            if values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                self.0[*group].add(values.value(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.resize(total, Slot::default());
        each_state(states, |row, sum, small, count| self.0[groups[row]].join(sum, small, count))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let slots = emit_to.take_needed(&mut self.0);
        Ok(Arc::new(slots.iter().map(Slot::average).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(states(&emit_to.take_needed(&mut self.0)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut single = Self::default();
        single.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        Ok(states(&single.0))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<Slot>()
    }
}
