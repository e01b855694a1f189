//! An expression in a join's condition that may fail does so only for pairs that need its value, not for rows of one
//! side.
//!
//!   a.b <> 0 AND 10 / a.b < o.id ──▶ a.b <> 0 AND Postponed(TRY(10 / a.b), 10 / a.b) < o.id
//!
//! DataFusion computes what depends on one side alone once per row of that side, below the nested loops
//! (`join_proj_push_down`), also where the condition excludes its pairs. Here TRY(e) is computed there; where it is NULL
//! and a pair needs the value, e is computed for the pair.
//!
//! Invariants
//! * Nothing is postponed that has a value for every row: such a condition costs what it does in the engine.
//!
//! Not here: keys of hash joins (`join_guards`), filters (`guard`).

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter, is_null};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder};

use crate::attempt::Attempt;
use crate::fallible::{TOTAL, cast_can_fail};
use crate::sql_text::SILENT;

/// Makes the engine's rule that computes parts of a join's condition below the join compute TRY of what may fail.
pub(crate) fn postponed(
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if rule.name() == "ProjectionPushdown" { Arc::new(Postpones { inner: rule }) } else { rule }
}

#[derive(Debug)]
struct Postpones {
    inner: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for Postpones {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let options = Arc::new(config.clone());
        let plan = plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(node)) };
            // Of those that mark rows the engine computes nothing below.
            if matches!(join.join_type(), JoinType::LeftMark | JoinType::RightMark) {
                return Ok(Transformed::no(node));
            }
            let Some(filter) = join.filter() else { return Ok(Transformed::no(node)) };
            let Some(filter) = postpone(filter, &options)? else { return Ok(Transformed::no(node)) };
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
            Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>))
        })?;
        self.inner.optimize(plan.data, config)
    }

    fn schema_check(&self) -> bool {
        self.inner.schema_check()
    }
}

/// The filter with its largest parts that look at one side and may fail postponed; None where there are none.
fn postpone(filter: &JoinFilter, options: &Arc<ConfigOptions>) -> Result<Option<JoinFilter>> {
    let schema = filter.schema();
    let rewritten = Arc::clone(filter.expression()).transform_down(|e| {
        let any: &dyn Any = e.as_ref();
        if any.is::<Postponed>() || !may_fail(&e, schema)? {
            return Ok(Transformed::new(e, false, TreeNodeRecursion::Jump));
        }
        match is_of_one_side(&e, filter.column_indices()) {
            true => Ok(Transformed::new(Postponed::of(&e, schema, options)?, true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(e)),
        }
    })?;
    Ok(rewritten
        .transformed
        .then(|| JoinFilter::new(rewritten.data, filter.column_indices().to_vec(), Arc::clone(schema))))
}

fn is_of_one_side(expr: &Arc<dyn PhysicalExpr>, columns: &[ColumnIndex]) -> bool {
    let mut sides: Vec<Option<JoinSide>> =
        columns_of(expr).iter().map(|c| columns.get(c.index()).map(|i| i.side)).collect();
    sides.dedup();
    matches!(sides.as_slice(), [Some(_)])
}

fn columns_of(expr: &Arc<dyn PhysicalExpr>) -> Vec<Column> {
    let any: &dyn Any = expr.as_ref();
    let mut found: Vec<Column> = match any.downcast_ref::<Column>() {
        Some(column) => vec![column.clone()],
        None => expr.children().into_iter().flat_map(columns_of).collect(),
    };
    found.sort_by_key(Column::index);
    found.dedup();
    found
}

/// Whether some part may fail for a row. In doubt it may.
fn may_fail(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    let any: &dyn Any = expr.as_ref();
    let fails = if let Some(cast) = any.downcast_ref::<CastExpr>() {
        cast_can_fail(&cast.expr().data_type(schema)?, cast.cast_type())
    } else if let Some(call) = any.downcast_ref::<ScalarFunctionExpr>() {
        let name = call.fun().name();
        !TOTAL.contains(&name) && name != "try" && !SILENT.contains(&name)
    } else {
        false
    };
    if fails {
        return Ok(true);
    }
    for child in expr.children() {
        if may_fail(child, schema)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value of an expression, which was tried before.
#[derive(Debug)]
struct Postponed {
    /// `TRY(compiled)`, then the columns of `compiled` in order.
    children: Vec<Arc<dyn PhysicalExpr>>,
    compiled: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    data_type: DataType,
}

impl Postponed {
    fn of(expr: &Arc<dyn PhysicalExpr>, seen: &Schema, options: &Arc<ConfigOptions>) -> Result<Arc<dyn PhysicalExpr>> {
        let columns = columns_of(expr);
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for column in &columns {
            fields.push(column.return_field(seen)?.as_ref().clone().with_nullable(true));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let compiled = Arc::clone(expr).transform_up(|e| {
            let any: &dyn Any = e.as_ref();
            let at = any.downcast_ref::<Column>().and_then(|c| columns.iter().position(|o| o == c).map(|at| (c, at)));
            Ok(match at {
                Some((c, at)) => Transformed::yes(Arc::new(Column::new(c.name(), at)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(e),
            })
        })?;
        let compiled = compiled.data;
        let data_type = compiled.data_type(&schema)?;
        let columns: Vec<Arc<dyn PhysicalExpr>> =
            columns.into_iter().map(|c| Arc::new(c) as Arc<dyn PhysicalExpr>).collect();
        let attempt = Attempt::of(Arc::clone(&compiled), Arc::clone(&schema), data_type.clone());
        let tried = ScalarFunctionExpr::new(
            "try",
            Arc::new(ScalarUDF::from(attempt)),
            columns.clone(),
            Arc::new(Field::new("try", data_type.clone(), true)),
            Arc::clone(options),
        );
        let mut children: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(tried)];
        children.extend(columns);
        Ok(Arc::new(Self { children, compiled, schema, data_type }))
    }
}

impl fmt::Display for Postponed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.compiled)
    }
}

impl PartialEq for Postponed {
    fn eq(&self, other: &Self) -> bool {
        self.children.as_slice() == other.children.as_slice() && self.compiled.as_ref() == other.compiled.as_ref()
    }
}

impl Eq for Postponed {}

impl Hash for Postponed {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.children.hash(state);
        self.compiled.hash(state);
    }
}

impl PhysicalExpr for Postponed {
    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.to_string(), self.data_type.clone(), true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some((tried, columns)) = self.children.split_first() else { return internal_err!("nothing was tried") };
        let rows = batch.num_rows();
        let value = tried.evaluate(batch)?.to_array(rows)?;
        if value.null_count() == 0 {
            return Ok(ColumnarValue::Array(value));
        }
        let missing = is_null(&value)?;
        let left = |column: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            Ok(filter(&column.evaluate(batch)?.to_array(rows)?, &missing)?)
        };
        let columns = columns.iter().map(left).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(missing.true_count()));
        let part = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        // It is NULL where it does not fail: TRY says so.
        self.compiled.evaluate(&part)?;
        Ok(ColumnarValue::Array(value))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.children.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self {
            children,
            compiled: Arc::clone(&self.compiled),
            schema: Arc::clone(&self.schema),
            data_type: self.data_type.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.compiled.fmt_sql(f)
    }

    /// So that only its parts are computed below the join.
    fn is_volatile_node(&self) -> bool {
        true
    }
}
