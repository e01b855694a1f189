//! The projections on an operator whose rows are merged, evaluated on merged rows.
//!
//! base columns (of the aggregate or the window) ──▶ projections, aliases ──▶ the view's public columns
//!
//! Invariants
//! * Row by row and deterministic: subqueries, clocks and volatile functions were refused before.
//! * Expressions pass DataFusion's own simplifier, so they are what a full evaluation runs.
//!
//! Not here: which plans have this shape (`classify`).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use crate::error::{DeltaError, Result};

/// The physical form of an expression over rows of `schema`.
pub(crate) fn physical(expr: &Expr, schema: &DFSchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let context = SimplifyContext::builder().with_schema(Arc::clone(schema)).build();
    let simplified = ExprSimplifier::new(context).simplify(expr.clone())?;
    Ok(create_physical_expr(&simplified, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

/// A batch over arrays in place of rows of `schema`, NULLs allowed everywhere.
pub(crate) fn batch(schema: &DFSchema, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        schema.fields().iter().zip(&columns).map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Evaluates expressions over a batch.
pub(crate) fn evaluate(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|e| Ok(e.evaluate(batch)?.into_array(batch.num_rows())?)).collect()
}

/// Where a public column comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Base columns it is computed from.
    pub(crate) depends: BTreeSet<usize>,
    /// The base column that it holds unchanged.
    pub(crate) copies: Option<usize>,
}

#[derive(Debug)]
struct Step {
    input: DFSchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

/// The projections from a base node up to the root.
#[derive(Debug)]
pub(crate) struct Projections {
    steps: Vec<Step>,
    pub(crate) origins: Vec<Origin>,
    /// Public columns.
    pub(crate) schema: SchemaRef,
}

impl Projections {
    /// `nodes` from the root down to the one above the base; only projections compute anything.
    pub(crate) fn new(base: &DFSchemaRef, root: &LogicalPlan, nodes: &[&LogicalPlan]) -> Result<Self> {
        let mut origins: Vec<Origin> =
            (0..base.fields().len()).map(|i| Origin { depends: BTreeSet::from([i]), copies: Some(i) }).collect();
        let mut steps = Vec::new();
        for node in nodes.iter().rev() {
            let LogicalPlan::Projection(projection) = node else { continue };
            let input = Arc::clone(projection.input.schema());
            let exprs = projection.expr.iter().map(|e| physical(e, &input)).collect::<Result<_>>()?;
            origins = projection.expr.iter().map(|e| origin(e, &input, &origins)).collect::<Result<_>>()?;
            steps.push(Step { input, exprs });
        }
        let fields: Vec<Field> =
            root.schema().fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
        Ok(Self { steps, origins, schema: Arc::new(Schema::new(fields)) })
    }

    /// The public columns of base rows.
    pub(crate) fn apply(&self, base: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>> {
        self.steps.iter().try_fold(base, |columns, step| evaluate(&step.exprs, &batch(&step.input, columns, rows)?))
    }

    /// Those public columns that follow from the base columns that are there, unless they fail for some row.
    pub(crate) fn apply_to_known(&self, base: Vec<Option<ArrayRef>>, rows: usize) -> Result<Vec<Option<ArrayRef>>> {
        self.steps.iter().try_fold(base, |columns, step| {
            let known: Vec<bool> = columns.iter().map(Option::is_some).collect();
            let fields = step.input.fields().iter();
            let filled = columns.into_iter().zip(fields);
            let filled = filled.map(|(c, f)| c.unwrap_or_else(|| new_null_array(f.data_type(), rows))).collect();
            let batch = batch(&step.input, filled, rows)?;
            let follows = |e: &Arc<dyn PhysicalExpr>| {
                collect_columns(e).iter().all(|c| known.get(c.index()).is_some_and(|known| *known))
            };
            let value = |e: &Arc<dyn PhysicalExpr>| e.evaluate(&batch).and_then(|v| v.into_array(rows)).ok();
            Ok(step.exprs.iter().map(|e| if follows(e) { value(e) } else { None }).collect())
        })
    }
}

fn origin(expr: &Expr, input: &DFSchema, below: &[Origin]) -> Result<Origin> {
    let mut depends = BTreeSet::new();
    for column in expr.column_refs() {
        depends.extend(&below[input.index_of_column(column)?].depends);
    }
    Ok(Origin { depends, copies: copied(expr, input)?.and_then(|i| below[i].copies) })
}

/// The input column that the expression passes on so that its value can be had back.
fn copied(expr: &Expr, input: &DFSchema) -> Result<Option<usize>> {
    match expr {
        Expr::Column(column) => Ok(Some(input.index_of_column(column)?)),
        Expr::Alias(alias) => copied(&alias.expr, input),
        Expr::Cast(Cast { expr, field }) => {
            let Some(index) = copied(expr, input)? else { return Ok(None) };
            let from =
                datafusion::logical_expr::ExprSchemable::get_type(expr.as_ref(), input).map_err(DeltaError::from)?;
            Ok(is_lossless(&from, field.data_type()).then_some(index))
        }
        _ => Ok(None),
    }
}

/// Tells whether a cast there and back gives every value bit by bit.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    from == to
        || matches!(
            (from, to),
            (Utf8 | Utf8View | LargeUtf8, Utf8 | Utf8View | LargeUtf8)
                | (Binary | BinaryView | LargeBinary, Binary | BinaryView | LargeBinary)
                | (Int8 | UInt8, Int16 | Int32 | Int64)
                | (Int16 | UInt16, Int32 | Int64)
                | (Int32 | UInt32, Int64)
        )
}
