//! Aggregate functions whose result does not depend on the order of rows.
//!
//! `sum` and `avg` are exact for floats and checked in 256 bits for decimals, `min` and `max` follow the IEEE
//! total order for floats (DataFusion 54.1's grouped ones give NaN by order of arrival and `max({-Inf})` as the
//! least finite double). Everything else delegates to DataFusion's own function. `ingot_sum_state` returns the
//! bytes of a sum that hidden columns hold.
//!
//! Not here: replacing the functions in a plan is here (`exact_aggregates`), completing orders is `order`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::functions_aggregate::{average::Avg, min_max::Max, min_max::Min, sum::Sum};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name, merge_schema};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, GroupsAccumulator, LogicalPlan, ReversedUDAF,
    Signature, Volatility, WindowFunctionDefinition,
};

use crate::exact::ExactSum;
use crate::exact_groups::{ExactDistinct, ExactGroups, ExactOne, ExtremumGroups, Output, WideSum};
use crate::statistics_udaf::{statistic_function, statistics};

static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(ExactTotal::sum())));
static AVG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(ExactTotal::avg())));
static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    Arc::new(AggregateUDF::from(Extremum { inner: Arc::new(AggregateUDF::from(Min::new())), largest: false }))
});
static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    Arc::new(AggregateUDF::from(Extremum { inner: Arc::new(AggregateUDF::from(Max::new())), largest: true }))
});
static SUM_STATE: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(SumState::new())));

/// Registers the exact `sum`, `avg`, `min`, `max` and statistics in place of DataFusion's.
///
/// # Errors
/// When the registry takes no functions.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in [&*SUM, &*AVG, &*MIN, &*MAX] {
        registry.register_udaf(Arc::clone(function))?;
    }
    for function in statistics() {
        registry.register_udaf(Arc::clone(function))?;
    }
    Ok(())
}

/// The exact sum of an argument that is DOUBLE or DECIMAL, as the bytes hidden columns hold.
pub(crate) fn sum_state() -> Arc<AggregateUDF> {
    Arc::clone(&SUM_STATE)
}

/// The function that stands for `name` over an argument of this type, if it must not be DataFusion's.
fn exact_function(function: &AggregateUDF, argument: &DataType) -> Option<Arc<AggregateUDF>> {
    match function.name() {
        "sum" => (argument.is_floating() || argument.is_decimal()).then(|| Arc::clone(&SUM)),
        "avg" => (argument.is_numeric()).then(|| Arc::clone(&AVG)),
        "min" => argument.is_floating().then(|| Arc::clone(&MIN)),
        "max" => argument.is_floating().then(|| Arc::clone(&MAX)),
        name => statistic_function(name),
    }
}

/// Replaces `sum`, `avg`, `min`, `max` and the statistics by the exact ones, in aggregates and windows, subqueries included.
///
/// # Errors
/// When the plan has no types.
pub fn exact_aggregates(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.clone().transform_up_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|e| exact_call(e, &schema))?;
            Ok(expr.update_data(|e| name.restore(e)))
        })
    })?;
    Ok(rewritten.data)
}

fn exact_call(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let argument = |args: &[Expr]| args.first().map(|a| a.get_type(schema)).transpose();
    match expr {
        Expr::AggregateFunction(call) => {
            match argument(&call.params.args)?.and_then(|t| exact_function(&call.func, &t)) {
                Some(func) if func != call.func => {
                    Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, ..call })))
                }
                _ => Ok(Transformed::no(Expr::AggregateFunction(call))),
            }
        }
        Expr::WindowFunction(call) => {
            let replaced = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(f) => {
                    argument(&call.params.args)?.and_then(|t| exact_function(f, &t)).filter(|g| g != f)
                }
                WindowFunctionDefinition::WindowUDF(_) => None,
            };
            Ok(match replaced {
                Some(func) => {
                    let fun = WindowFunctionDefinition::AggregateUDF(func);
                    Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params: call.params })))
                }
                None => Transformed::no(Expr::WindowFunction(call)),
            })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// How an exact total treats its argument.
enum Argument {
    Float,
    Decimal(i8),
    Other,
}

fn argument_of(data_type: &DataType) -> Argument {
    match data_type {
        DataType::Float64 => Argument::Float,
        DataType::Decimal128(_, scale) => Argument::Decimal(*scale),
        _ => Argument::Other,
    }
}

/// `sum` and `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactTotal {
    inner: Arc<AggregateUDF>,
    average: bool,
}

impl ExactTotal {
    fn sum() -> Self {
        Self { inner: Arc::new(AggregateUDF::from(Sum::new())), average: false }
    }

    fn avg() -> Self {
        Self { inner: Arc::new(AggregateUDF::from(Avg::new())), average: true }
    }

    fn output(&self, args: &AccumulatorArgs, input_scale: i8) -> Output {
        let result = args.return_field.data_type().clone();
        if self.average { Output::Avg { result, input_scale } } else { Output::Sum(result) }
    }
}

impl AggregateUDFImpl for ExactTotal {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match argument_of(args.expr_fields[0].data_type()) {
            Argument::Float if args.is_distinct => Ok(Box::new(ExactDistinct::new(self.output(&args, 0)))),
            Argument::Float => Ok(Box::new(ExactOne::<ExactSum>::new(self.output(&args, 0)))),
            Argument::Decimal(scale) if !args.is_distinct => {
                Ok(Box::new(ExactOne::<WideSum>::new(self.output(&args, scale))))
            }
            _ => self.inner.inner().accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match argument_of(args.expr_fields[0].data_type()) {
            Argument::Other => self.inner.inner().create_sliding_accumulator(args),
            _ => self.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match argument_of(args.input_fields[0].data_type()) {
            Argument::Float | Argument::Decimal(_) if !args.is_distinct => Ok(exact_state_fields(args.name)),
            Argument::Float => {
                let item = Field::new_list_field(DataType::Float64, true);
                Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "distinct"), item, false))])
            }
            _ => self.inner.inner().state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match argument_of(args.expr_fields[0].data_type()) {
            Argument::Other => self.inner.inner().groups_accumulator_supported(args),
            _ => !args.is_distinct,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match argument_of(args.expr_fields[0].data_type()) {
            Argument::Float => Ok(Box::new(ExactGroups::<ExactSum>::new(self.output(&args, 0)))),
            Argument::Decimal(scale) => Ok(Box::new(ExactGroups::<WideSum>::new(self.output(&args, scale)))),
            Argument::Other => self.inner.inner().create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

pub(crate) fn exact_state_fields(name: &str) -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new(format_state_name(name, "total"), DataType::Binary, true)),
        Arc::new(Field::new(format_state_name(name, "count"), DataType::Int64, true)),
    ]
}

/// `min` and `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extremum {
    inner: Arc<AggregateUDF>,
    largest: bool,
}

impl AggregateUDFImpl for Extremum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let type_ = args.return_field.data_type();
        Ok(match (type_, self.largest) {
            (DataType::Float64, true) => {
                Box::new(ExtremumGroups::<Float64Type>::new(|new, old| new.total_cmp(&old).is_gt()))
            }
            (DataType::Float64, false) => {
                Box::new(ExtremumGroups::<Float64Type>::new(|new, old| new.total_cmp(&old).is_lt()))
            }
            (DataType::Float32, true) => {
                Box::new(ExtremumGroups::<Float32Type>::new(|new, old| new.total_cmp(&old).is_gt()))
            }
            (DataType::Float32, false) => {
                Box::new(ExtremumGroups::<Float32Type>::new(|new, old| new.total_cmp(&old).is_lt()))
            }
            _ => return self.inner.inner().create_groups_accumulator(args),
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// `ingot_sum_state(x)`: the exact total's bytes, NULL without values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SumState {
    signature: Signature,
}

impl SumState {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for SumState {
    fn name(&self) -> &str {
        "ingot_sum_state"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Float64 | DataType::Decimal128(..)] => Ok(DataType::Binary),
            other => exec_err!("ingot_sum_state takes one DOUBLE or DECIMAL, not {other:?}"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match argument_of(args.expr_fields[0].data_type()) {
            Argument::Decimal(_) => Box::new(ExactOne::<WideSum>::new(Output::State)),
            _ => Box::new(ExactOne::<ExactSum>::new(Output::State)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(exact_state_fields(args.name))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match argument_of(args.expr_fields[0].data_type()) {
            Argument::Decimal(_) => Box::new(ExactGroups::<WideSum>::new(Output::State)),
            _ => Box::new(ExactGroups::<ExactSum>::new(Output::State)),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
