//! `median` and `percentile_cont` (`quantile_cont`), as SQL defines them: between two values it is interpolated.
//!
//!   index = p * (n - 1);  lower + (upper - lower) * (index - floor(index))
//!
//! DataFusion cuts the weight to six digits, overflows between large values, gives NaN between equal infinities and cuts
//! the median of decimals to their own scale.
//!
//! Invariants
//! * Values between which a result lies decide alone: two equal infinities are their own middle, a negative and a positive
//!   one have none (NaN).
//! * The median of DECIMAL(p, s) is DECIMAL(p + 1, s + 1), which holds it exactly; with 38 digits it is rounded half up.
//! * Values come canonical (`zero`), so that their order is total.
//!
//! Not here: sliding frames, which evaluate anew (`frames`).

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, i256};
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::functions_aggregate::{median::median_udaf, percentile_cont::percentile_cont_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, Expr, GroupsAccumulator, LogicalPlan,
    ReversedUDAF, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::tokenizer::Span;

use crate::constants::constant;
use crate::decimal::divide;
use crate::delegated::as_inner;
use crate::refusal::Refusal;
use crate::shown::shown;

/// The functions to register.
pub(crate) fn functions() -> [Arc<AggregateUDF>; 2] {
    [(median_udaf(), false), (percentile_cont_udaf(), true)]
        .map(|(inner, at_will)| Arc::new(AggregateUDF::from(Quantile { inner, at_will })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantile {
    inner: Arc<AggregateUDF>,
    /// The second argument says where; otherwise it is the middle.
    at_will: bool,
}

/// Refuses shares that are none before a plan runs. Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Shares;

impl AnalyzerRule for Shares {
    fn name(&self) -> &str {
        "ingot_shares"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|e| {
                    if let Some((name, share, centroids)) = share_of(e) {
                        refuse_share(name, share)?;
                        centroids.map_or(Ok(()), |n| refuse_centroids(name, n))?;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

/// The name of a quantile that is called, the argument that says where, and the one behind it: how exact it is.
fn share_of(expr: &Expr) -> Option<(&str, &Expr, Option<&Expr>)> {
    let (name, args) = match expr {
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(func) => (func.name(), &call.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return None,
        },
        _ => return None,
    };
    let at = match name {
        "percentile_cont" | "approx_percentile_cont" => 1,
        "approx_percentile_cont_with_weight" => 2,
        _ => return None,
    };
    Some((name, args.get(at)?, args.get(at + 1)))
}

fn refuse_centroids(name: &str, number: &Expr) -> Result<()> {
    if number.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))? {
        return Ok(());
    }
    let value = constant(number)?.map(|value| value.cast_to(&DataType::Int64)).transpose()?;
    if let Some(ScalarValue::Int64(Some(1..))) = value {
        return Ok(());
    }
    let text = format!("the number of centroids of {name} is a constant from 1 on, and {} is none", shown(number));
    Err(Refusal { code: "T0116", text, help: "leave it out, or write 100", span: Span::empty() }.into())
}

fn refuse_share(name: &str, share: &Expr) -> Result<()> {
    // Its value comes later.
    if share.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))? {
        return Ok(());
    }
    let value = constant(share)?.map(|value| value.cast_to(&DataType::Float64)).transpose()?;
    if let Some(ScalarValue::Float64(Some(at))) = value
        && (0.0..=1.0).contains(&at)
    {
        return Ok(());
    }
    let text = match share {
        Expr::Literal(ScalarValue::Float64(Some(at)), _) => at.to_string(),
        other => shown(other),
    };
    let text = format!("the share of {name} is a constant between 0.0 and 1.0, and {text} is none");
    let help = "write it as a number: percentile_cont(0.5) WITHIN GROUP (ORDER BY x) is the median";
    Err(Refusal { code: "T0116", text, help, span: Span::empty() }.into())
}

/// Values of one group.
trait Values: Debug + Send + Sync + 'static {
    type Item: Copy + Ord + Debug + Send + Sync;

    fn items(array: &ArrayRef) -> Result<Vec<Option<Self::Item>>>;
    fn array(items: Vec<Self::Item>, data_type: &DataType) -> Result<ArrayRef>;
    /// The result for sorted values.
    fn results(groups: Vec<Option<Between<Self::Item>>>, finish: &Finish) -> Result<ArrayRef>;
}

/// Two neighbours and the weight of the upper one.
#[derive(Debug, Clone, Copy)]
struct Between<T> {
    lower: T,
    upper: T,
    weight: f64,
}

/// A double in its total order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Double(u64);

impl Double {
    fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Ord for Double {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value().total_cmp(&other.value())
    }
}

impl PartialOrd for Double {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
struct Doubles;

impl Values for Doubles {
    type Item = Double;

    fn items(array: &ArrayRef) -> Result<Vec<Option<Double>>> {
        let array = arrow::compute::cast(array, &DataType::Float64)?;
        Ok(array.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| Double(v.to_bits()))).collect())
    }

    fn array(items: Vec<Double>, _: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(items.into_iter().map(|v| Some(v.value())).collect::<Float64Array>()))
    }

    fn results(groups: Vec<Option<Between<Double>>>, finish: &Finish) -> Result<ArrayRef> {
        let of = |b: Between<Double>| interpolated(b.lower.value(), b.upper.value(), b.weight);
        let values: ArrayRef = Arc::new(groups.into_iter().map(|b| b.map(of)).collect::<Float64Array>());
        Ok(arrow::compute::cast(&values, &finish.result)?)
    }
}

fn interpolated(lower: f64, upper: f64, weight: f64) -> f64 {
    if weight == 0.0 || lower == upper {
        return lower;
    }
    if !lower.is_finite() || !upper.is_finite() {
        return lower + upper;
    }
    if weight == 0.5 {
        let sum = lower + upper;
        return if sum.is_finite() { sum / 2.0 } else { lower / 2.0 + upper / 2.0 };
    }
    let distance = upper - lower;
    if distance.is_finite() { lower + distance * weight } else { lower * (1.0 - weight) + upper * weight }
}

#[derive(Debug)]
struct Decimals;

impl Values for Decimals {
    type Item = i128;

    fn items(array: &ArrayRef) -> Result<Vec<Option<i128>>> {
        Ok(array.as_primitive::<Decimal128Type>().iter().collect())
    }

    fn array(items: Vec<i128>, data_type: &DataType) -> Result<ArrayRef> {
        let array: Decimal128Array = items.into_iter().map(Some).collect();
        Ok(Arc::new(array.with_data_type(data_type.clone())))
    }

    fn results(groups: Vec<Option<Between<i128>>>, finish: &Finish) -> Result<ArrayRef> {
        let (DataType::Decimal128(_, from), DataType::Decimal128(p, s)) = (&finish.item, &finish.result) else {
            return internal_err!("a median of {} as {}", finish.item, finish.result);
        };
        let of = |b: Between<i128>| {
            // The middle alone is asked for.
            let upper = if b.weight == 0.0 { b.lower } else { b.upper };
            let sum = i256::from_i128(b.lower).wrapping_add(i256::from_i128(upper));
            match divide(sum, i256::from_i128(2), i32::from(*s) - i32::from(*from)) {
                Some(value) => Ok(value),
                None => exec_err!("a median does not fit {}", finish.result),
            }
        };
        let values = groups.into_iter().map(|b| b.map(of).transpose()).collect::<Result<Decimal128Array>>()?;
        Ok(Arc::new(values.with_precision_and_scale(*p, *s)?))
    }
}

#[derive(Debug, Clone)]
struct Finish {
    item: DataType,
    result: DataType,
    /// Where in the order, from 0 to 1.
    at: f64,
    descending: bool,
}

impl Finish {
    fn between<T: Copy + Ord>(&self, values: &mut [T]) -> Option<Between<T>> {
        let last = values.len().checked_sub(1)?;
        values.sort_unstable();
        let index = self.at * last as f64;
        // Within 0..=last: the position is in 0..=1.
        let (below, above) = (index.floor() as usize, (index.ceil() as usize).min(last));
        let place = |i: usize| values.get(if self.descending { last - i } else { i }).copied();
        Some(Between { lower: place(below)?, upper: place(above)?, weight: index - index.floor() })
    }
}

impl Quantile {
    fn finish(&self, args: &AccumulatorArgs) -> Result<Finish> {
        let Some(field) = args.expr_fields.first() else { return plan_err!("{} takes a value", self.name()) };
        let at = match (self.at_will, args.exprs.get(1)) {
            (false, _) => 0.5,
            (true, Some(expr)) => match expr.evaluate(&RecordBatch::new_empty(Arc::new(args.schema.clone()))) {
                Ok(ColumnarValue::Scalar(value)) => match value.cast_to(&DataType::Float64)? {
                    ScalarValue::Float64(Some(at)) if (0.0..=1.0).contains(&at) => at,
                    _ => return plan_err!("{} takes a constant between 0 and 1", self.name()),
                },
                _ => return plan_err!("{} takes a constant between 0 and 1", self.name()),
            },
            (true, None) => return plan_err!("{} takes a value and a constant between 0 and 1", self.name()),
        };
        Ok(Finish {
            item: field.data_type().clone(),
            result: args.return_field.data_type().clone(),
            at,
            descending: args.order_bys.first().is_some_and(|by| by.options.descending),
        })
    }
}

impl AggregateUDFImpl for Quantile {
    as_inner!(calls);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(DataType::Decimal128(p, s)) if *p < 38 => Ok(DataType::Decimal128(p + 1, s + 1)),
            // `widen` gives it that type.
            Some(DataType::Null) => Ok(DataType::Float64),
            _ => self.inner.return_type(types),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = match args.input_fields.first().map(|f| f.data_type()) {
            Some(decimal @ DataType::Decimal128(..)) => decimal.clone(),
            _ => DataType::Float64,
        };
        let name = format_state_name(args.name, "values");
        Ok(vec![Arc::new(Field::new_list(name, Field::new_list_field(item, true), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (finish, distinct) = (self.finish(&args)?, args.is_distinct);
        Ok(match finish.item {
            DataType::Decimal128(..) => Box::new(One::<Decimals>::new(finish, distinct)),
            _ => Box::new(One::<Doubles>::new(finish, distinct)),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let finish = self.finish(&args)?;
        Ok(match finish.item {
            DataType::Decimal128(..) => Box::new(Many::<Decimals> { groups: Vec::new(), finish }),
            _ => Box::new(Many::<Doubles> { groups: Vec::new(), finish }),
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn lists<V: Values>(groups: Vec<Vec<V::Item>>, item: &DataType) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
    let values = V::array(groups.into_iter().flatten().collect(), item)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
}

/// The values of one group.
#[derive(Debug)]
struct One<V: Values> {
    values: Vec<V::Item>,
    seen: Option<BTreeSet<V::Item>>,
    finish: Finish,
}

impl<V: Values> One<V> {
    fn new(finish: Finish, distinct: bool) -> Self {
        Self { values: Vec::new(), seen: distinct.then(BTreeSet::new), finish }
    }

    fn put(&mut self, array: &ArrayRef) -> Result<()> {
        let items = V::items(array)?.into_iter().flatten();
        match &mut self.seen {
            None => self.values.extend(items),
            Some(seen) => seen.extend(items),
        }
        Ok(())
    }

    fn all(&self) -> Vec<V::Item> {
        match &self.seen {
            None => self.values.clone(),
            Some(seen) => seen.iter().copied().collect(),
        }
    }
}

impl<V: Values> Accumulator for One<V> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match values.first() {
            Some(values) => self.put(values),
            None => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        states.as_list::<i32>().iter().flatten().try_for_each(|list| self.put(&list))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&lists::<V>(vec![self.all()], &self.finish.item)?, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let between = match &self.seen {
            None => self.finish.between(&mut self.values),
            Some(_) => self.finish.between(&mut self.all()),
        };
        ScalarValue::try_from_array(&V::results(vec![between], &self.finish)?, 0)
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, BTreeSet::len) * 2 * size_of::<V::Item>();
        size_of_val(self) + self.values.capacity() * size_of::<V::Item>() + seen
    }
}

/// The values of many groups.
#[derive(Debug)]
struct Many<V: Values> {
    groups: Vec<Vec<V::Item>>,
    finish: Finish,
}

impl<V: Values> GroupsAccumulator for Many<V> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize(total, Vec::new());
        let Some(values) = values.first() else { return Ok(()) };
        for (row, item) in V::items(values)?.into_iter().enumerate() {
            let counts = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let (true, Some(item), Some(group)) = (counts, item, groups.get(row)) {
                self.groups[*group].push(item);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize(total, Vec::new());
        let Some(states) = states.first() else { return Ok(()) };
        for (list, group) in states.as_list::<i32>().iter().zip(groups) {
            if let Some(list) = list {
                self.groups[*group].extend(V::items(&list)?.into_iter().flatten());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        V::results(groups.iter_mut().map(|values| self.finish.between(values)).collect(), &self.finish)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![lists::<V>(emit_to.take_needed(&mut self.groups), &self.finish.item)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut single = Self { groups: Vec::new(), finish: self.finish.clone() };
        single.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let values: usize = self.groups.iter().map(|g| g.capacity() * size_of::<V::Item>()).sum();
        values + self.groups.capacity() * size_of::<Vec<V::Item>>()
    }
}
