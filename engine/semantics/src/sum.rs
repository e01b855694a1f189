//! `sum` of integers and decimals, `avg` of decimals, and their `try_` forms: added up in 256 bits and fitted once,
//! so that neither the order of rows nor retraction decides whether the result has a place.
//!
//!   rows ──▶ add / take back ──▶ [total: DECIMAL(76, s), count] ──▶ merge ──▶ fit to the type, or fail
//!
//! Averages of DOUBLE are those of `average`; other arguments are DataFusion's.
//!
//! Invariants
//! * 256 bits hold the sum of 2^63 values of 38 digits: nothing wraps inside.
//! * The functions have no shortcut over statistics or constants: what they add is what the rows hold.
//!
//! Not here: exact sums of floats and stored states (`ingot_delta`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, UInt64Type, i256};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::{average::Avg, sum::Sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use crate::average::{self, Averages, OneAverage};
use crate::decimal::{Shape, divide};
use crate::failure::{FailureKind, Named};

const WIDE: u8 = 76;

/// `sum` under another name where DataFusion would split it in two: the outer half would have another type.
pub(crate) const UNSPLIT_SUM_NAME: &str = "ingot_sum";

macro_rules! function {
    ($name:ident, $text:expr, $average:expr, $attempt:expr) => {
        static $name: LazyLock<Arc<AggregateUDF>> =
            LazyLock::new(|| Arc::new(AggregateUDF::from(Total::new($text, $average, $attempt))));
    };
}

function!(SUM, "sum", false, false);
function!(AVG, "avg", true, false);
function!(TRY_SUM, "try_sum", false, true);
function!(TRY_AVG, "try_avg", true, true);
function!(UNSPLIT_SUM, UNSPLIT_SUM_NAME, false, false);

/// `sum(x)`.
pub fn sum_udaf() -> Arc<AggregateUDF> {
    Arc::clone(&SUM)
}

/// `avg(x)`.
pub fn avg_udaf() -> Arc<AggregateUDF> {
    Arc::clone(&AVG)
}

pub(crate) fn unsplit_sum() -> Arc<AggregateUDF> {
    Arc::clone(&UNSPLIT_SUM)
}

/// The function, if it is one of these, with its call's text for its failures.
pub(crate) fn under(func: &AggregateUDF, shown: impl FnOnce() -> Named) -> Option<Arc<AggregateUDF>> {
    let inner: &dyn std::any::Any = func.inner().as_ref();
    let total = inner.downcast_ref::<Total>().filter(|t| !t.attempt)?;
    let inner = Arc::clone(&total.inner);
    let told = Total { name: total.name, inner, average: total.average, attempt: false, shown: Some(shown()) };
    Some(Arc::new(AggregateUDF::from(told)))
}

/// The functions to register.
pub(crate) fn functions() -> [Arc<AggregateUDF>; 4] {
    [&*SUM, &*AVG, &*TRY_SUM, &*TRY_AVG].map(Arc::clone)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    name: &'static str,
    inner: Arc<AggregateUDF>,
    average: bool,
    /// NULL instead of a failure.
    attempt: bool,
    /// As the user wrote it, where that is known.
    shown: Option<Named>,
}

impl Total {
    fn new(name: &'static str, average: bool, attempt: bool) -> Self {
        let inner = if average { AggregateUDF::from(Avg::new()) } else { AggregateUDF::from(Sum::new()) };
        Self { name, inner: Arc::new(inner), average, attempt, shown: None }
    }

    /// The scale of what is added up here.
    fn scale(&self, argument: Option<&FieldRef>) -> Option<i8> {
        match argument?.data_type() {
            DataType::Decimal128(_, scale) => Some(*scale),
            DataType::Int64 | DataType::UInt64 if !self.average => Some(0),
            _ => None,
        }
    }

    fn finish(&self, args: &AccumulatorArgs, scale: i8) -> Finish {
        Finish {
            result: args.return_field.data_type().clone(),
            scale,
            average: self.average,
            attempt: self.attempt,
            shown: self.shown.clone().unwrap_or_else(|| Named::new(args.name)),
        }
    }

    /// Whether this is an average of doubles.
    fn averages_doubles(&self, argument: Option<&FieldRef>, is_distinct: bool) -> bool {
        self.average && !is_distinct && argument.is_some_and(|f| *f.data_type() == DataType::Float64)
    }

    fn one(&self, args: &AccumulatorArgs) -> Option<Box<dyn Accumulator>> {
        if self.averages_doubles(args.expr_fields.first(), args.is_distinct) {
            return Some(Box::new(OneAverage::default()));
        }
        let finish = self.finish(args, self.scale(args.expr_fields.first())?);
        Some(if args.is_distinct {
            Box::new(DistinctTotal { seen: HashMap::new(), finish })
        } else {
            Box::new(OneTotal { slot: Slot::default(), finish })
        })
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        if self.name == self.inner.name() { self.inner.aliases() } else { &[] }
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Decimal128(p, s)] => {
                let shape = Shape::new(*p, *s);
                Ok(if self.average { shape.average() } else { shape.sum() }.data_type())
            }
            // `widen` gives it that type.
            [DataType::Null] if !self.average => Ok(DataType::Int64),
            other => self.inner.return_type(other),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.one(&args) {
            Some(one) => Ok(one),
            None => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.one(&args) {
            Some(one) => Ok(one),
            None => self.inner.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if self.averages_doubles(args.input_fields.first(), args.is_distinct) {
            return Ok(average::state_fields(args.name));
        }
        let Some(scale) = self.scale(args.input_fields.first()) else { return self.inner.state_fields(args) };
        if args.is_distinct {
            let item = Field::new_list_field(DataType::Decimal128(38, scale), true);
            return Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "distinct"), item, false))]);
        }
        Ok(vec![
            Arc::new(Field::new(format_state_name(args.name, "total"), DataType::Decimal256(WIDE, scale), true)),
            Arc::new(Field::new(format_state_name(args.name, "count"), DataType::Int64, true)),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.scale(args.expr_fields.first()) {
            Some(_) => !args.is_distinct,
            None => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if self.averages_doubles(args.expr_fields.first(), args.is_distinct) {
            return Ok(Box::new(Averages::default()));
        }
        match self.scale(args.expr_fields.first()) {
            Some(scale) => Ok(Box::new(GroupTotals { slots: Vec::new(), finish: self.finish(&args, scale) })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A sum and how many values are in it.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    total: i256,
    count: i64,
}

impl Slot {
    fn add(&mut self, value: i128) {
        self.total = self.total.wrapping_add(i256::from_i128(value));
        self.count += 1;
    }

    fn take(&mut self, value: i128) {
        self.total = self.total.wrapping_sub(i256::from_i128(value));
        self.count -= 1;
    }

    fn join(&mut self, total: i256, count: i64) {
        self.total = self.total.wrapping_add(total);
        self.count += count;
    }
}

/// What a total turns into.
#[derive(Debug, Clone)]
struct Finish {
    result: DataType,
    /// Of the values.
    scale: i8,
    average: bool,
    attempt: bool,
    shown: Named,
}

/// The sum, or the average, of exact values; None where it has no place in the type.
///
/// `scale` is that of the values.
pub fn fit(total: i256, count: i64, scale: i8, average: bool, result: &DataType) -> Option<i128> {
    match result {
        DataType::Decimal128(p, s) => {
            let value = if average {
                divide(total, i256::from_i128(i128::from(count)), i32::from(*s) - i32::from(scale))?
            } else {
                total.to_i128()?
            };
            Some(value).filter(|v| Shape::new(*p, *s).holds(*v))
        }
        DataType::Int64 => total.to_i128().filter(|v| i64::try_from(*v).is_ok()),
        DataType::UInt64 => total.to_i128().filter(|v| u64::try_from(*v).is_ok()),
        _ => None,
    }
}

impl Finish {
    fn values(&self, slots: &[Slot]) -> Result<ArrayRef> {
        let values = slots.iter().map(|slot| {
            if slot.count == 0 {
                return Ok(None);
            }
            match fit(slot.total, slot.count, self.scale, self.average, &self.result) {
                None if !self.attempt => Err(self.shown.failure(FailureKind::Overflow, &self.result)),
                value => Ok(value),
            }
        });
        let values: Vec<Option<i128>> = values.collect::<Result<_>>()?;
        Ok(match &self.result {
            DataType::Decimal128(p, s) => Arc::new(Decimal128Array::from(values).with_precision_and_scale(*p, *s)?),
            DataType::Int64 => {
                Arc::new(values.into_iter().map(|v| v.and_then(|v| i64::try_from(v).ok())).collect::<Int64Array>())
            }
            DataType::UInt64 => {
                Arc::new(values.into_iter().map(|v| v.and_then(|v| u64::try_from(v).ok())).collect::<UInt64Array>())
            }
            other => return exec_err!("{} cannot be {other}", self.shown.0),
        })
    }

    fn states(&self, slots: &[Slot]) -> Result<Vec<ArrayRef>> {
        let totals: Decimal256Array = slots.iter().map(|s| Some(s.total)).collect();
        let counts: Int64Array = slots.iter().map(|s| Some(s.count)).collect();
        Ok(vec![Arc::new(totals.with_precision_and_scale(WIDE, self.scale)?), Arc::new(counts)])
    }
}

/// Calls `each` with every value that is not NULL.
fn each_value(array: &ArrayRef, mut each: impl FnMut(usize, i128)) -> Result<()> {
    macro_rules! walk {
        ($t:ty) => {{
            let values = array.as_primitive::<$t>();
            match values.nulls().filter(|n| n.null_count() > 0) {
                None => values.values().iter().enumerate().for_each(|(row, v)| each(row, i128::from(*v))),
                Some(nulls) => nulls.valid_indices().for_each(|row| each(row, i128::from(values.value(row)))),
            }
        }};
    }
    match array.data_type() {
        DataType::Int64 => walk!(Int64Type),
        DataType::UInt64 => walk!(UInt64Type),
        DataType::Decimal128(..) => walk!(Decimal128Type),
        other => return exec_err!("a sum of {other}"),
    }
    Ok(())
}

fn each_state(states: &[ArrayRef], mut each: impl FnMut(usize, i256, i64)) -> Result<()> {
    let [totals, counts] = states else { return exec_err!("a sum has two states, not {}", states.len()) };
    let (totals, counts) = (totals.as_primitive::<Decimal256Type>(), counts.as_primitive::<Int64Type>());
    for row in 0..totals.len() {
        if totals.is_valid(row) && counts.is_valid(row) {
            each(row, totals.value(row), counts.value(row));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct GroupTotals {
    slots: Vec<Slot>,
    finish: Finish,
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.slots.resize(total, Slot::default());
        let [values] = values else { return exec_err!("a sum has one argument") };
        let slots = &mut self.slots;
        match filter {
            None => each_value(values, |row, v| slots[groups[row]].add(v)),
            Some(f) => each_value(values, |row, v| {
                if f.is_valid(row) && f.value(row) {
                    slots[groups[row]].add(v);
                }
            }),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.slots.resize(total, Slot::default());
        let slots = &mut self.slots;
        each_state(states, |row, total, count| slots[groups[row]].join(total, count))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.finish.values(&emit_to.take_needed(&mut self.slots))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.finish.states(&emit_to.take_needed(&mut self.slots))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let count = values.first().map_or(0, |v| v.len());
        let mut single = Self { slots: Vec::new(), finish: self.finish.clone() };
        single.update_batch(values, &(0..count).collect::<Vec<_>>(), filter, count)?;
        self.finish.states(&single.slots)
    }

    fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}

#[derive(Debug)]
struct OneTotal {
    slot: Slot,
    finish: Finish,
}

impl Accumulator for OneTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return exec_err!("a sum has one argument") };
        if let DataType::Int64 = values.data_type() {
            // A batch of integers fits 128 bits.
            let (mut total, mut count) = (0i128, 0);
            each_value(values, |_, v| {
                total += v;
                count += 1;
            })?;
            self.slot.join(i256::from_i128(total), count);
            return Ok(());
        }
        let slot = &mut self.slot;
        each_value(values, |_, v| slot.add(v))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return exec_err!("a sum has one argument") };
        let slot = &mut self.slot;
        each_value(values, |_, v| slot.take(v))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let slot = &mut self.slot;
        each_state(states, |_, total, count| slot.join(total, count))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.finish.states(&[self.slot])?;
        states.iter().map(|s| ScalarValue::try_from_array(s, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.finish.values(&[self.slot])?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Values with how often they are in the frame. State: `[values: List<DECIMAL(38, s)>]`.
#[derive(Debug)]
struct DistinctTotal {
    seen: HashMap<i128, i64>,
    finish: Finish,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return exec_err!("a sum has one argument") };
        let seen = &mut self.seen;
        each_value(values, |_, v| *seen.entry(v).or_default() += 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return exec_err!("a sum has one argument") };
        let seen = &mut self.seen;
        each_value(values, |_, v| *seen.entry(v).or_default() -= 1)?;
        self.seen.retain(|_, count| *count > 0);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lists] = states else { return exec_err!("a distinct sum has one state") };
        lists.as_list::<i32>().iter().flatten().try_for_each(|list| self.update_batch(&[list]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let item = DataType::Decimal128(38, self.finish.scale);
        let values: Vec<_> =
            self.seen.keys().map(|v| ScalarValue::Decimal128(Some(*v), 38, self.finish.scale)).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &item))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut slot = Slot::default();
        self.seen.keys().for_each(|v| slot.add(*v));
        ScalarValue::try_from_array(&self.finish.values(&[slot])?, 0)
    }

    fn size(&self) -> usize {
        // Of a table's slots, one in eight is kept free, and each has a byte beside it.
        size_of_val(self) + self.seen.capacity() * 8 / 7 * (size_of::<(i128, i64)>() + 1)
    }
}
