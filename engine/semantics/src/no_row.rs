//! A scalar subquery without rows is NULL, also where its column cannot be.
//!
//!   coalesce((SELECT count(*) .. GROUP BY k), 0)  ──▶  coalesce(ingot_no_row((SELECT ..)), 0)
//!
//! The simplifier takes the column for NOT NULL, and folds `IS NULL` and coalesce away.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Union,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;

const NAME: &str = "ingot_no_row";

/// Runs after subqueries have their last form.
#[derive(Debug)]
pub(crate) struct NoRow;

impl AnalyzerRule for NoRow {
    fn name(&self) -> &str {
        "ingot_no_row"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                found |= expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_))))?;
                let name = names.save(&expr);
                let expr = expr.transform_down(marked)?;
                Ok(if expr.transformed { expr.update_data(|e| name.restore(e)) } else { expr })
            })
        })?;
        if !found {
            return Ok(plan.data);
        }
        // What lies above takes its columns from here, also where another rule changed a subquery.
        plan.data.transform_up_with_subqueries(may_be_null).data()
    }
}

/// The node, with a column NULL where one of its inputs' is, or an outer row's may be.
fn may_be_null(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = plan.map_expressions(|expr| {
        expr.transform_up(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(field, column) if !field.is_nullable() => {
                    let field = Arc::new(Field::clone(&field).with_nullable(true));
                    Transformed::yes(Expr::OuterReferenceColumn(field, column))
                }
                other => Transformed::no(other),
            })
        })
    })?;
    Ok(Transformed::yes(match plan.data {
        LogicalPlan::Union(union) => {
            let of_column = |(at, (qualifier, field)): (usize, (Option<&TableReference>, &FieldRef))| {
                let nullable = union.inputs.iter().any(|i| i.schema().fields().get(at).is_none_or(|f| f.is_nullable()));
                (qualifier.cloned(), Arc::new(Field::clone(field).with_nullable(nullable)))
            };
            let fields = union.schema.iter().enumerate().map(of_column).collect();
            let schema = DFSchema::new_with_metadata(fields, union.schema.metadata().clone())?;
            LogicalPlan::Union(Union { schema: Arc::new(schema), inputs: union.inputs })
        }
        other => other.recompute_schema()?,
    }))
}

fn marked(expr: Expr) -> Result<Transformed<Expr>> {
    let jump = |expr, transformed| Ok(Transformed::new(expr, transformed, TreeNodeRecursion::Jump));
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == NAME => jump(Expr::ScalarFunction(call), false),
        Expr::ScalarSubquery(subquery)
            if subquery.subquery.schema().fields().first().is_some_and(|f| !f.is_nullable())
                && !has_one_row(&subquery.subquery) =>
        {
            let signature = Signature::any(1, Volatility::Immutable);
            let func = Arc::new(ScalarUDF::from(Maybe { signature }));
            jump(Expr::ScalarFunction(ScalarFunction { func, args: vec![Expr::ScalarSubquery(subquery)] }), true)
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the plan gives a row even if its tables are empty.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// Its argument, which may be NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Maybe {
    signature: Signature,
}

impl ScalarUDFImpl for Maybe {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [field] = args.arg_fields else { return plan_err!("{NAME} takes one value") };
        Ok(Arc::new(Field::clone(field).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}
