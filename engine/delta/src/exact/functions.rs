//! Aggregate functions whose result does not depend on the order of rows.
//!
//! `sum` and `avg` are exact for floats (`ingot_semantics` adds integers and decimals), `min` and `max` of floats are
//! those of `ingot_semantics`. Everything else delegates to DataFusion's own function. `ingot_sum_state` returns the
//! bytes of a sum that hidden columns hold.
//!
//! `exact_aggregates` puts these functions into a plan. Not here: statistics (`statistics`), completing orders
//! (`shape::order`).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, merge_schema};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, GroupsAccumulator, LogicalPlan, ReversedUDAF,
    Signature, Volatility, WindowFunctionDefinition,
};
use ingot_semantics::{avg_udaf, float_max, float_min, sum_udaf};

use crate::exact::accumulators::{ExactDistinct, ExactGroups, ExactOne, distinct_state_fields, exact_state_fields};
use crate::exact::statistics::{statistic_function, statistics};
use crate::exact::sum::ExactSum;
use crate::exact::total::{TotalResult, WideSum};

static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(ExactTotal::sum())));
static AVG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(ExactTotal::avg())));
static SUM_STATE: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(SumState::new())));

/// Registers the exact `sum`, `avg`, `min`, `max` and statistics in place of DataFusion's.
///
/// # Errors
/// When the registry takes no functions.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in [Arc::clone(&SUM), Arc::clone(&AVG), float_min(), float_max()] {
        registry.register_udaf(function)?;
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
        "sum" => argument.is_numeric().then(|| Arc::clone(&SUM)),
        "avg" => (argument.is_numeric()).then(|| Arc::clone(&AVG)),
        "min" => argument.is_floating().then(float_min),
        "max" => argument.is_floating().then(float_max),
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

/// Whether a total is one of floats; those of integers and decimals are exact below.
fn of_floats(argument: Option<&FieldRef>) -> bool {
    argument.is_some_and(|f| *f.data_type() == DataType::Float64)
}

/// `sum` and `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactTotal {
    inner: Arc<AggregateUDF>,
    average: bool,
}

impl ExactTotal {
    fn sum() -> Self {
        Self { inner: sum_udaf(), average: false }
    }

    fn avg() -> Self {
        Self { inner: avg_udaf(), average: true }
    }

    fn output(&self, args: &AccumulatorArgs) -> TotalResult {
        let result = args.return_field.data_type().clone();
        if self.average { TotalResult::Avg { result, input_scale: 0 } } else { TotalResult::Sum(result) }
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
        match of_floats(args.expr_fields.first()) {
            true if args.is_distinct => Ok(Box::new(ExactDistinct::<ExactSum>::new(1, self.output(&args)))),
            true => Ok(Box::new(ExactOne::<ExactSum>::new(self.output(&args)))),
            false => self.inner.inner().accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if of_floats(args.expr_fields.first()) {
            return self.accumulator(args);
        }
        self.inner.inner().create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match of_floats(args.input_fields.first()) {
            true if args.is_distinct => Ok(distinct_state_fields(args.name)),
            true => Ok(exact_state_fields(args.name)),
            false => self.inner.inner().state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        if of_floats(args.expr_fields.first()) {
            return !args.is_distinct;
        }
        self.inner.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if of_floats(args.expr_fields.first()) {
            return Ok(Box::new(ExactGroups::<ExactSum>::new(self.output(&args))));
        }
        self.inner.inner().create_groups_accumulator(args)
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
        if of_floats(args.expr_fields.first()) {
            return Ok(Box::new(ExactOne::<ExactSum>::new(TotalResult::State)));
        }
        Ok(Box::new(ExactOne::<WideSum>::new(TotalResult::State)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(exact_state_fields(args.name))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if of_floats(args.expr_fields.first()) {
            return Ok(Box::new(ExactGroups::<ExactSum>::new(TotalResult::State)));
        }
        Ok(Box::new(ExactGroups::<WideSum>::new(TotalResult::State)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
