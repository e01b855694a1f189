//! Failures of functions, casts and operators under the names of the statement, without the engine's text.
//!
//!   make_date(y, m, d)      the function, whose errors are "make_date(t.y, t.m, t.d): there is no such date"
//!   CAST(n AS INT)          ingot_cast(n)
//!   ts + i, s ~ p           ingot_operator(ts, i)
//!
//! The engine's own errors quote the value: "Can't cast value 9223372036854775807 to type Int32". This is done to the
//! plan that runs, after all rules: they know the functions and casts that they look for.
//!
//! Invariants
//! * The plan's columns keep their names and types.
//! * What a function computes is not touched.
//!
//! Not here: errors of no expression (`failure::without_values`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, WindowFunctionDefinition,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self, Column};

use crate::failure::Named;
use crate::fallible::{TOTAL, cast_can_fail};
use crate::narrow::narrow;
use crate::rewrite::input_schema;
use crate::shown::shown;

/// What is wrong where a function fails for its arguments.
const WRONG: &[(&str, &[&str])] = &[
    ("there is no such date", &["make_date", "to_date"]),
    ("there is no such time of the day", &["make_time", "to_time"]),
    (
        "there is no such time",
        &[
            "date_bin",
            "date_part",
            "date_trunc",
            "from_unixtime",
            "to_char",
            "to_local_time",
            "to_timestamp",
            "to_timestamp_micros",
            "to_timestamp_millis",
            "to_timestamp_nanos",
            "to_timestamp_seconds",
            "to_unixtime",
        ],
    ),
    (
        "this is no regular expression",
        &["regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace"],
    ),
    ("there is no such time zone", &["timezone"]),
    ("the text is not in that encoding", &["decode"]),
    ("there is no such character", &["chr"]),
    ("there is no such position", &["array_element", "array_slice"]),
    ("there is no position zero", &["split_part"]),
    ("there is no such size", &["array_repeat", "array_resize", "lpad", "repeat", "rpad"]),
    ("there is no such series", &["generate_series", "range"]),
];

/// The plan to run, whose failures have names.
///
/// # Errors
/// DataFusion's, where a plan that was planned before cannot be built again.
pub(crate) fn name_failures(plan: &LogicalPlan) -> Result<LogicalPlan> {
    // The plan that EXPLAIN shows is not run.
    if matches!(plan, LogicalPlan::Explain(_)) {
        return Ok(plan.clone());
    }
    let taken_out = taken_out(plan)?;
    let told = plan.clone().transform_up_with_subqueries(|node| {
        // Its filters only leave out files.
        if matches!(node, LogicalPlan::TableScan(_)) || !may_fail(&node)? {
            return Ok(Transformed::no(node));
        }
        let schema = input_schema(&node)?;
        let names = NamePreserver::new(&node);
        let told = node.map_expressions(|e| {
            let name = names.save(&e);
            Ok(e.transform_up(|e| named(e, &schema, &taken_out))?.update_data(|e| name.restore(e)))
        })?;
        Ok(told.update_data(with_names_of_keys))
    })?;
    Ok(told.data)
}

/// The engine computes a join's keys beside the columns, and a cast has the name of its column.
fn with_names_of_keys(node: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::Join(mut join) = node else { return node };
    let named = |key: Expr| match key {
        Expr::ScalarFunction(call) if call.func.name() == "ingot_cast" => {
            let key = Expr::ScalarFunction(call);
            let name = crate::shown::shown(&key);
            key.alias(name)
        }
        other => other,
    };
    join.on = join.on.into_iter().map(|(l, r)| (named(l), named(r))).collect();
    LogicalPlan::Join(join)
}

/// Expressions that the engine computes once for several places, by the name it gave them.
fn taken_out(plan: &LogicalPlan) -> Result<HashMap<String, Expr>> {
    let mut found = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Projection(projection) = node {
            for expr in &projection.expr {
                if let Expr::Alias(alias) = expr
                    && alias.name.starts_with("__common_expr")
                {
                    found.insert(alias.name.clone(), alias.expr.as_ref().clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The text of an expression, with what was taken out of it put back.
fn text(expr: &Expr, taken_out: &HashMap<String, Expr>) -> String {
    if taken_out.is_empty() {
        return Named::new(shown(expr)).0;
    }
    let whole = expr.clone().transform_down(|e| match &e {
        Expr::Column(column) => match taken_out.get(&column.name) {
            Some(whole) => Ok(Transformed::yes(whole.clone())),
            None => Ok(Transformed::no(e)),
        },
        _ => Ok(Transformed::no(e)),
    });
    Named::new(shown(whole.as_ref().map_or(expr, |w| &w.data))).0
}

fn may_fail(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.exists(|e| {
            Ok(match e {
                Expr::ScalarFunction(call) => fails(call) || call.func.name() == "ingot_cast",
                Expr::Cast(_) | Expr::AggregateFunction(_) | Expr::WindowFunction(_) => true,
                Expr::BinaryExpr(binary) => computes(binary.op),
                _ => false,
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether a function's failures are not told by itself, or by this already.
fn fails(call: &ScalarFunction) -> bool {
    let (name, function) = (call.func.name(), call.func.inner().as_ref() as &dyn std::any::Any);
    // A part of a time exists, a part of a difference may not fit.
    // A field of a record exists, a key of a map may be of another type.
    let is_computed = !matches!(call.args.get(1), Some(Expr::Literal(..)));
    let is_total = TOTAL.contains(&name) && name != "date_part" && !(name == "get_field" && is_computed);
    !(is_total || name == "try" || name.starts_with("ingot_") || function.is::<NamedFailures>())
}

fn computes(op: Operator) -> bool {
    use Operator::*;
    op.is_numerical_operators() || matches!(op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch)
}

/// Whether the type of a cast says that it always has a value.
fn is_total(from: &DataType, to: &DataType) -> bool {
    let is_text = matches!(to, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Timestamp(f, from), DataType::Timestamp(t, to)) if f == t => from.is_some() || to.is_none(),
        (from, to) if from == to => true,
        (from, _) if from.is_nested() || from.is_temporal() => false,
        (from, to) => (is_text || to.is_numeric() || to.is_binary()) && !cast_can_fail(from, to),
    }
}

fn named(expr: Expr, schema: &DFSchema, taken_out: &HashMap<String, Expr>) -> Result<Transformed<Expr>> {
    let shown = |e: &Expr| Named::new(text(e, taken_out));
    Ok(match expr {
        Expr::ScalarFunction(call) if fails(&call) => {
            let inner = Arc::clone(&call.func);
            let args = call.args.clone();
            let told = NamedFailures { inner, shown: shown(&Expr::ScalarFunction(call)) };
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(told)), args)))
        }
        Expr::Cast(Cast { expr, field }) => {
            let is_plain = field.metadata().is_empty() && !matches!(expr.as_ref(), Expr::Literal(..));
            let (from, to) = (expr.get_type(schema)?, field.data_type());
            // What is no cast at all is refused where it is planned.
            match is_plain && !is_total(&from, to) && can_cast_types(&from, to) {
                true => {
                    let argument = text(&expr, taken_out);
                    Transformed::yes(narrow(*expr, field.data_type().clone(), false, &argument))
                }
                false => Transformed::no(Expr::Cast(Cast { expr, field })),
            }
        }
        Expr::BinaryExpr(binary) if computes(binary.op) => {
            let whole = Expr::BinaryExpr(binary.clone());
            let data_type = whole.get_type(schema)?;
            if data_type.is_floating() {
                return Ok(Transformed::no(whole));
            }
            let operated = Operated {
                op: binary.op,
                data_type,
                shown: shown(&whole),
                signature: Signature::any(2, Volatility::Immutable),
            };
            Transformed::yes(Arc::new(ScalarUDF::from(operated)).call(vec![*binary.left, *binary.right]))
        }
        Expr::AggregateFunction(call) => match crate::sum::under(&call.func, || shown(&as_expr(&call))) {
            Some(func) => Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, ..call })),
            None => Transformed::no(Expr::AggregateFunction(call)),
        },
        Expr::WindowFunction(call) => {
            let func = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(func) => {
                    let params = call.params.clone();
                    crate::sum::under(func, || shown(&without_window(func.as_ref().clone(), params)))
                }
                WindowFunctionDefinition::WindowUDF(_) => None,
            };
            match func {
                Some(func) => {
                    let fun = WindowFunctionDefinition::AggregateUDF(func);
                    Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params: call.params })))
                }
                None => Transformed::no(Expr::WindowFunction(call)),
            }
        }
        other => Transformed::no(other),
    })
}

fn as_expr(call: &AggregateFunction) -> Expr {
    Expr::AggregateFunction(call.clone())
}

/// An aggregate over a window as one over a group: its text is long enough.
fn without_window(
    func: datafusion::logical_expr::AggregateUDF,
    params: datafusion::logical_expr::expr::WindowFunctionParams,
) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::new(func),
        params.args,
        params.distinct,
        params.filter,
        Vec::new(),
        params.null_treatment,
    ))
}

/// A function whose failures have the call's text.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedFailures {
    inner: Arc<ScalarUDF>,
    shown: Named,
}

impl ScalarUDFImpl for NamedFailures {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.inner().is_strict()
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn propagate_constraints(&self, interval: &Interval, inputs: &[&Interval]) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let data_type = args.return_field.data_type().clone();
        let name = self.inner.name();
        let wrong = WRONG.iter().find(|(_, names)| names.contains(&name)).map_or("", |(wrong, _)| wrong);
        self.inner.invoke_with_args(args).map_err(|e| self.shown.of_function(e, wrong, &data_type))
    }
}

/// An operator of the engine over two values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Operated {
    op: Operator,
    data_type: DataType,
    shown: Named,
    signature: Signature,
}

impl ScalarUDFImpl for Operated {
    fn name(&self) -> &str {
        "ingot_operator"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{} {} {}", left.schema_name(), self.op, right.schema_name())),
            _ => exec_err!("{} over {} arguments", self.op, args.len()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.data_type.clone(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wrong = if self.op.is_numerical_operators() { "" } else { "this is no regular expression" };
        self.evaluate(args).map_err(|e| match e.find_root() {
            // Times and differences of times that have no place.
            datafusion::common::DataFusionError::ArrowError(a, _)
                if wrong.is_empty() && matches!(a.as_ref(), arrow::error::ArrowError::ComputeError(_)) =>
            {
                self.shown.caused(crate::FailureKind::Overflow, &self.data_type, e)
            }
            _ => self.shown.of_function(e, wrong, &self.data_type),
        })
    }
}

impl Operated {
    fn evaluate(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        let mut operands: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for (at, value) in args.args.iter().enumerate() {
            match value {
                ColumnarValue::Scalar(value) => operands.push(expressions::lit(value.clone())),
                ColumnarValue::Array(array) => {
                    let name = format!("operand{at}");
                    operands.push(Arc::new(Column::new(&name, fields.len())));
                    fields.push(Field::new(name, array.data_type().clone(), true));
                    columns.push(Arc::clone(array));
                }
            }
        }
        let [left, right] = operands.as_slice() else { return exec_err!("{} over {} values", self.op, operands.len()) };
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        expressions::BinaryExpr::new(Arc::clone(left), self.op, Arc::clone(right)).evaluate(&batch)
    }
}
