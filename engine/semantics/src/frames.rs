//! Aggregates over sliding frames: rows leave a frame without a trace.
//!
//! DataFusion subtracts what leaves, so that a sum stays NaN after its NaN is gone and 1e20 takes small values with
//! it, and it refuses functions that cannot subtract. Here such a function is evaluated over what the frame holds:
//!
//!   rows ──▶ [front: states of suffixes][back: rows, one accumulator]  a row leaves by taking a state off the front
//!
//! Functions whose states merge in any order cost the same for every length of the frame; the others are evaluated
//! anew over the frame's rows.
//!
//! Invariants
//! * A function whose own subtraction is exact keeps it: integers, extremes, counts, the exact sums of maintenance.
//!
//! Not here: frames that only grow, which subtract nothing.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, ReversedUDAF, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use crate::delegated::as_inner;

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Frames;

impl AnalyzerRule for Frames {
    fn name(&self) -> &str {
        "ingot_frames"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            if !matches!(plan, LogicalPlan::Window(_)) {
                return Ok(Transformed::no(plan));
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(slide)?;
                Ok(expr.update_data(|e| name.restore(e)))
            })
        })
        .data()
    }
}

fn slide(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(call) = expr else { return Ok(Transformed::no(expr)) };
    let function = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(f)
            if !call.params.window_frame.is_ever_expanding() && !f.inner().is::<Sliding>() =>
        {
            Arc::clone(f)
        }
        _ => return Ok(Transformed::no(Expr::WindowFunction(call))),
    };
    let fun = WindowFunctionDefinition::AggregateUDF(Arc::new(AggregateUDF::from(Sliding::new(function))));
    Ok(Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params: call.params }))))
}

/// Functions whose states merge in any order and stay what they were.
const MERGING: &[&str] = &[
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "corr",
    "covar_pop",
    "covar_samp",
    "max",
    "min",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// An aggregate function for sliding frames.
#[derive(Debug)]
struct Sliding {
    inner: Arc<AggregateUDF>,
    /// Whether the function takes values back without a trace, once it was tried.
    subtracts: OnceLock<bool>,
}

impl PartialEq for Sliding {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Sliding {}

impl Hash for Sliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Sliding {
    fn new(inner: Arc<AggregateUDF>) -> Self {
        Self { inner, subtracts: OnceLock::new() }
    }

    /// Whether a value that came and went leaves nothing behind: a huge one, a NaN and an infinity are tried.
    fn leaves_no_trace(&self, call: &Call) -> Result<bool> {
        let mut sliding = self.inner.create_sliding_accumulator(call.args())?;
        if !sliding.supports_retract_batch() {
            return Ok(false);
        }
        let types: Vec<&DataType> = call.expr_fields.iter().map(|f| f.data_type()).collect();
        if !types.iter().any(|t| t.is_floating()) {
            return Ok(true);
        }
        let row = |value: f64| -> Result<Vec<ArrayRef>> {
            types.iter().map(|t| ScalarValue::from(value).cast_to(t)?.to_array()).collect()
        };
        let mut fresh = self.inner.accumulator(call.args())?;
        for value in [1.0, 3.0] {
            fresh.update_batch(&row(value)?)?;
        }
        for gone in [1e20, f64::NAN, f64::INFINITY] {
            sliding.update_batch(&row(gone)?)?;
        }
        for value in [1.0, 3.0] {
            sliding.update_batch(&row(value)?)?;
        }
        for gone in [1e20, f64::NAN, f64::INFINITY] {
            sliding.retract_batch(&row(gone)?)?;
        }
        Ok(sliding.evaluate()? == fresh.evaluate()?)
    }
}

impl AggregateUDFImpl for Sliding {
    as_inner!(calls, returns);

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = Call::new(Arc::clone(&self.inner), &args);
        let subtracts = match self.subtracts.get() {
            Some(known) => *known,
            // A function that cannot even be tried is evaluated anew.
            None => *self.subtracts.get_or_init(|| self.leaves_no_trace(&call).unwrap_or(false)),
        };
        Ok(if subtracts {
            self.inner.create_sliding_accumulator(args)?
        } else if MERGING.contains(&self.name()) && !args.is_distinct {
            Box::new(Queue { front: Vec::new(), back: VecDeque::new(), tail: self.inner.accumulator(args)?, call })
        } else {
            Box::new(Anew { call, rows: VecDeque::new() })
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.inner().reverse_expr() {
            ReversedUDAF::Identical => ReversedUDAF::Identical,
            ReversedUDAF::Reversed(function) => {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::from(Sliding::new(function))))
            }
            ReversedUDAF::NotSupported => ReversedUDAF::NotSupported,
        }
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

/// A function with all that it takes to make its accumulators.
#[derive(Debug)]
struct Call {
    function: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Call {
    fn new(function: Arc<AggregateUDF>, args: &AccumulatorArgs) -> Self {
        Self {
            function,
            return_field: Arc::clone(&args.return_field),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_owned(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn args(&self) -> AccumulatorArgs<'_> {
        AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.function.accumulator(self.args())
    }
}

/// Batches of rows, the oldest first.
type Rows = VecDeque<Vec<ArrayRef>>;

fn rows_of(values: &[ArrayRef]) -> usize {
    values.first().map_or(0, |v| v.len())
}

fn bytes_of(rows: &Rows) -> usize {
    // Slices of larger arrays, which the operator holds anyway.
    rows.iter().flatten().map(|a| a.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

fn slice(values: &[ArrayRef], from: usize, rows: usize) -> Vec<ArrayRef> {
    values.iter().map(|v| v.slice(from, rows)).collect()
}

/// Evaluates a function over all rows of the frame.
#[derive(Debug)]
struct Anew {
    call: Call,
    rows: Rows,
}

impl Accumulator for Anew {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if rows_of(values) > 0 {
            self.rows.push_back(values.to_vec());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut gone = rows_of(values);
        while gone > 0 {
            let Some(oldest) = self.rows.pop_front() else {
                return internal_err!("more rows left the frame than came");
            };
            let held = rows_of(&oldest);
            if held > gone {
                self.rows.push_front(slice(&oldest, gone, held - gone));
            }
            gone = gone.saturating_sub(held);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut accumulator = self.call.accumulator()?;
        for values in &self.rows {
            accumulator.update_batch(values)?;
        }
        accumulator.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + bytes_of(&self.rows)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame has no partial state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame has no partial state")
    }
}

/// A queue of two stacks: each row is moved to the front once, where the state of it and all younger front rows waits.
#[derive(Debug)]
struct Queue {
    call: Call,
    /// The oldest row's state last.
    front: Vec<Vec<ScalarValue>>,
    back: Rows,
    /// Over the rows of `back`.
    tail: Box<dyn Accumulator>,
}

impl Queue {
    fn turn(&mut self) -> Result<()> {
        let mut suffix = self.call.accumulator()?;
        while let Some(youngest) = self.back.pop_back() {
            for row in (0..rows_of(&youngest)).rev() {
                suffix.update_batch(&slice(&youngest, row, 1))?;
                self.front.push(suffix.state()?);
            }
        }
        self.tail = self.call.accumulator()?;
        Ok(())
    }
}

impl Accumulator for Queue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if rows_of(values) > 0 {
            self.back.push_back(values.to_vec());
            self.tail.update_batch(values)?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..rows_of(values) {
            if self.front.is_empty() {
                self.turn()?;
            }
            if self.front.pop().is_none() {
                return internal_err!("more rows left the frame than came");
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut whole = self.call.accumulator()?;
        if let Some(front) = self.front.last() {
            whole.merge_batch(&arrays(front)?)?;
        }
        if !self.back.is_empty() {
            whole.merge_batch(&arrays(&self.tail.state()?)?)?;
        }
        whole.evaluate()
    }

    fn size(&self) -> usize {
        let states: usize = self.front.iter().flatten().map(ScalarValue::size).sum();
        size_of_val(self) + states + bytes_of(&self.back) + self.tail.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame has no partial state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame has no partial state")
    }
}

fn arrays(state: &[ScalarValue]) -> Result<Vec<ArrayRef>> {
    state.iter().map(ScalarValue::to_array).collect()
}
