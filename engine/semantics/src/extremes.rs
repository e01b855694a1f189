//! `min` and `max` of floats in groups: NaN is the largest, and an infinity is a value like others. `min` and `max` of
//! intervals: by their length, and of equal ones that of fewer months, then days.
//!
//! DataFusion's grouped ones compare by `<`, so that a NaN wins or loses by its place, and intervals by their months.
//!
//! Invariants
//! * Values are compared in the IEEE total order: with canonical arguments, as SQL orders them.
//! * Intervals stay in the form that they have.
//! * Types other than these are DataFusion's.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::{SlicesIterator, not, nullif, prep_null_mask_filter};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use crate::spans::nanos;

static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(Extremum::new(false))));
static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(Extremum::new(true))));

/// `min` for floats.
pub fn float_min() -> Arc<AggregateUDF> {
    Arc::clone(&MIN)
}

/// `max` for floats.
pub fn float_max() -> Arc<AggregateUDF> {
    Arc::clone(&MAX)
}

/// The function that stands for DataFusion's own over an argument of this type.
pub(crate) fn for_floats(function: &AggregateUDF, argument: &DataType) -> Option<Arc<AggregateUDF>> {
    if !matches!(argument, DataType::Float32 | DataType::Float64 | DataType::Interval(IntervalUnit::MonthDayNano)) {
        return None;
    }
    if function.inner().is::<Max>() {
        return Some(float_max());
    }
    function.inner().is::<Min>().then(float_min)
}

/// The type of intervals in SQL.
pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Longer ones are larger.
fn by_length(v: IntervalMonthDayNano) -> (i128, i32, i32) {
    (nanos(v), v.months, v.days)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extremum {
    inner: Arc<AggregateUDF>,
    largest: bool,
}

impl Extremum {
    fn new(largest: bool) -> Self {
        let inner = if largest { AggregateUDF::from(Max::new()) } else { AggregateUDF::from(Min::new()) };
        Self { inner: Arc::new(inner), largest }
    }
}

impl AggregateUDFImpl for Extremum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Ok(Box::new(OneInterval { best: None, largest: self.largest }))
            }
            _ => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if *args.return_field.data_type() == INTERVAL {
            return self.accumulator(args);
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match (args.return_field.data_type(), self.largest) {
            (DataType::Float64, true) => Box::new(Groups::<Float64Type>::new(|new, old| new.total_cmp(&old).is_gt())),
            (DataType::Float64, false) => Box::new(Groups::<Float64Type>::new(|new, old| new.total_cmp(&old).is_lt())),
            (DataType::Float32, true) => Box::new(Groups::<Float32Type>::new(|new, old| new.total_cmp(&old).is_gt())),
            (DataType::Float32, false) => Box::new(Groups::<Float32Type>::new(|new, old| new.total_cmp(&old).is_lt())),
            (DataType::Interval(IntervalUnit::MonthDayNano), true) => {
                Box::new(Groups::<IntervalMonthDayNanoType>::new(|new, old| by_length(new) > by_length(old)))
            }
            (DataType::Interval(IntervalUnit::MonthDayNano), false) => {
                Box::new(Groups::<IntervalMonthDayNanoType>::new(|new, old| by_length(new) < by_length(old)))
            }
            _ => return self.inner.create_groups_accumulator(args),
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The best interval of one group.
#[derive(Debug)]
struct OneInterval {
    best: Option<IntervalMonthDayNano>,
    largest: bool,
}

impl Accumulator for OneInterval {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("min and max take one argument") };
        let all = values.as_primitive::<IntervalMonthDayNanoType>().iter().flatten().chain(self.best);
        self.best = if self.largest { all.max_by_key(|v| by_length(*v)) } else { all.min_by_key(|v| by_length(*v)) };
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.best))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The best value of many groups.
struct Groups<P: ArrowPrimitiveType> {
    best: Vec<Option<P::Native>>,
    replaces: fn(P::Native, P::Native) -> bool,
}

impl<P: ArrowPrimitiveType> Groups<P> {
    /// `replaces(new, current)` tells whether the new value is the better one.
    fn new(replaces: fn(P::Native, P::Native) -> bool) -> Self {
        Self { best: Vec::new(), replaces }
    }
}

/// A condition with FALSE for NULL; arrow's own function panics where there is none.
fn truth(condition: &BooleanArray) -> BooleanArray {
    match condition.null_count() {
        0 => condition.clone(),
        _ => prep_null_mask_filter(condition),
    }
}

impl<P: ArrowPrimitiveType> GroupsAccumulator for Groups<P> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("min and max take one argument") };
        self.best.resize(total, None);
        let values = values.as_primitive::<P>();
        let mut put = |row: usize| {
            let Some(best) = groups.get(row).and_then(|g| self.best.get_mut(*g)) else { return };
            if values.is_valid(row) {
                let new = values.value(row);
                if best.is_none_or(|current| (self.replaces)(new, current)) {
                    *best = Some(new);
                }
            }
        };
        match filter {
            None => (0..values.len()).for_each(put),
            Some(filter) => {
                SlicesIterator::new(&truth(filter)).for_each(|(from, to)| (from..to).for_each(&mut put));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("min and max take one argument") };
        let Some(filter) = filter else { return Ok(vec![Arc::clone(values)]) };
        // A row that is left out is as good as a NULL.
        let out = not(&truth(filter))?;
        Ok(vec![nullif(values.as_ref(), &out)?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best = emit_to.take_needed(&mut self.best);
        Ok(Arc::new(best.into_iter().collect::<PrimitiveArray<P>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<P::Native>>()
    }
}
