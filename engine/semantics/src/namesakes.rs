//! Plans statements in which two expressions differ in nothing but a cast.
//!
//!   k, CAST(k AS DOUBLE) ──▶ planned as k, f(k), each f with a name of its own ──▶ k, CAST(k AS DOUBLE) AS "CAST(k AS DOUBLE)"
//!
//! DataFusion names columns without their casts, so that `sum(v)` and `sum(CAST(v AS DOUBLE))` are one name. It refuses
//! the second where it plans, or where its optimizer makes a projection of both.
//!
//! Invariants
//! * A statement that needs none of this is planned as it is, and its columns have the names that they had.
//!
//! Not here: names of a model's output, which the file gives.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Aggregate, Distinct};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, try_cast,
};
use sqlparser::ast::{
    CastKind, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Statement, Value, visit_expressions_mut,
};

/// Functions that stand for casts, by name.
pub type Casts = BTreeMap<String, Arc<ScalarUDF>>;

/// Whether two expressions of one node have one name, though they are not the same.
pub fn has_namesakes(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= are_namesakes(node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found && walked.is_ok()
}

/// As `has_namesakes`, for one node.
pub(crate) fn are_namesakes(node: &LogicalPlan) -> Result<bool> {
    let exprs: Vec<&Expr> = match node {
        LogicalPlan::Projection(projection) => projection.expr.iter().collect(),
        LogicalPlan::Window(window) => window.window_expr.iter().collect(),
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
            keys.into_iter().chain(&aggregate.aggr_expr).collect()
        }
        LogicalPlan::Distinct(Distinct::On(on)) => on.on_expr.iter().chain(&on.select_expr).collect(),
        _ => return Ok(false),
    };
    let mut names: HashMap<String, &Expr> = HashMap::new();
    Ok(exprs.into_iter().any(|e| names.insert(e.schema_name().to_string(), e).is_some_and(|other| other != e)))
}

/// Puts functions in the place of a statement's casts. `plan` plans an expression without columns.
pub fn take_out_casts(statement: &mut Statement, plan: &dyn Fn(&SqlExpr) -> Option<Expr>) -> Casts {
    let type_of = |e: &SqlExpr| plan(e)?.get_type(&DFSchema::empty()).ok();
    let mut casts: Casts = Casts::new();
    let mut texts: Vec<String> = Vec::new();
    let _ = visit_expressions_mut(statement, |e| {
        if let SqlExpr::Cast { kind, data_type, format: None, .. } = e {
            let fails = matches!(kind, CastKind::Cast | CastKind::DoubleColon);
            let text = format!("{fails} {data_type}");
            let at = texts.iter().position(|t| *t == text).unwrap_or(texts.len());
            let name = format!("ingot_cast_{at}");
            if at == texts.len() {
                let mut null = e.clone();
                if let SqlExpr::Cast { expr, .. } = &mut null {
                    **expr = SqlExpr::value(Value::Null);
                }
                let Some(to) = type_of(&null) else { return std::ops::ControlFlow::<()>::Continue(()) };
                let signature = Signature::any(1, Volatility::Immutable);
                let function = ScalarUDF::from(Apart { name: name.clone(), to, fails, signature });
                casts.insert(name.clone(), Arc::new(function));
                texts.push(text);
            }
            if let SqlExpr::Cast { expr, .. } = e {
                *e = call(&name, vec![expr.as_ref().clone()]);
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    casts
}

/// A plain call of a function.
pub(crate) fn call(name: &str, arguments: Vec<SqlExpr>) -> SqlExpr {
    SqlExpr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Puts casts back in the place of functions; columns keep their names.
///
/// # Errors
/// When an expression has no type.
pub fn put_back_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        match node {
            // Its sorts must stay the same as its keys.
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                on.on_expr = on.on_expr.into_iter().map(put_back).collect::<Result<_>>()?;
                on.select_expr = on
                    .select_expr
                    .into_iter()
                    .map(|e| {
                        let name = names.save(&e);
                        Ok(name.restore(put_back(e)?))
                    })
                    .collect::<Result<_>>()?;
                for sort in on.sort_expr.iter_mut().flatten() {
                    sort.expr = put_back(std::mem::take(&mut sort.expr))?;
                }
                Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
            }
            // A set takes no name; its keys do.
            LogicalPlan::Aggregate(aggregate) => {
                let named = |e: Expr| -> Result<Expr> {
                    let name = names.save(&e);
                    Ok(name.restore(put_back(e)?))
                };
                let all = |exprs: Vec<Expr>| exprs.into_iter().map(named).collect::<Result<Vec<_>>>();
                let keys = aggregate.group_expr.into_iter().map(|e| {
                    Ok(match e {
                        Expr::GroupingSet(GroupingSet::Rollup(keys)) => {
                            Expr::GroupingSet(GroupingSet::Rollup(all(keys)?))
                        }
                        Expr::GroupingSet(GroupingSet::Cube(keys)) => Expr::GroupingSet(GroupingSet::Cube(all(keys)?)),
                        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => Expr::GroupingSet(
                            GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<_>>()?),
                        ),
                        other => named(other)?,
                    })
                });
                let keys = keys.collect::<Result<Vec<_>>>()?;
                let calls = all(aggregate.aggr_expr)?;
                Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, keys, calls)?)))
            }
            LogicalPlan::Sort(mut sort) => {
                for by in &mut sort.expr {
                    by.expr = put_back(std::mem::take(&mut by.expr))?;
                }
                Ok(Transformed::yes(LogicalPlan::Sort(sort)))
            }
            node => node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(Transformed::yes(name.restore(put_back(expr)?)))
            }),
        }
    })
    .data()
}

fn put_back(expr: Expr) -> Result<Expr> {
    expr.transform_up(|e| match e {
        Expr::ScalarFunction(call) => match (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Apart>() {
            Some(apart) => {
                let (to, fails) = (apart.to.clone(), apart.fails);
                let argument = call.args.into_iter().next().unwrap_or_default();
                Ok(Transformed::yes(if fails { cast(argument, to) } else { try_cast(argument, to) }))
            }
            None => Ok(Transformed::no(Expr::ScalarFunction(call))),
        },
        other => Ok(Transformed::no(other)),
    })
    .data()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apart {
    name: String,
    to: DataType,
    /// CAST, and not TRY_CAST.
    fails: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let argument = args.first().map(|a| a.schema_name().to_string()).unwrap_or_default();
        Ok(format!("{}CAST({argument} AS {})", if self.fails { "" } else { "TRY_" }, self.to))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} stands for a cast that was not put back", self.name)
    }
}
