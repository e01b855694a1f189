//! `CROSS JOIN UNNEST(x)` and `LATERAL` over the columns of a row: the row's own columns are carried through.
//!
//!   t CROSS JOIN LATERAL (Unnest over Projection[t.x] over one row)  ──▶  Unnest over Projection[t.*, t.x] over t
//!
//! The result is linear in t: what an UNNEST gives for a row depends on that row alone.
//!
//! In the syntax tree, `LATERAL UNNEST(x)` is `UNNEST(x)`, and WITH ORDINALITY is one more list, `range(1, length + 1)`.
//!
//! Invariants
//! * Rows whose list is empty or NULL are gone, as in every inner join with nothing. LEFT JOIN UNNEST(x) ON TRUE keeps
//!   them, beside NULL.
//! * Columns keep their names, qualifiers and order: those of the left side, then those of the right one.
//!
//! Not here: LEFT JOIN UNNEST with a condition (`laterals`), and LATERAL subqueries over tables, which DataFusion
//! decorrelates or refuses.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullHandling, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, TableAlias, TableAliasColumnDef,
    TableFactor,
};

use crate::constants::constant;

/// Rewrites what DataFusion's planner does not know of UNNEST in FROM.
pub(crate) fn in_factor(factor: &mut TableFactor, unnests: &mut usize) {
    if let TableFactor::Function { name, args, with_ordinality, alias, .. } = factor
        && name.0.len() == 1
        && name.to_string().eq_ignore_ascii_case("unnest")
    {
        let plain = |arg: &FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        };
        if let Some(array_exprs) = args.iter().map(plain).collect() {
            let (with_ordinality, alias) = (*with_ordinality, alias.clone());
            *factor = TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality,
            };
        }
    }
    let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = factor else { return };
    // The planner forgets the tables beside it within brackets, and knows them within a call.
    for list in array_exprs.iter_mut() {
        if let SqlExpr::Array(array) = list
            && !array.elem.is_empty()
            && let Some(call) = make_array(&array.elem)
        {
            *list = call;
        }
    }
    let lists = array_exprs.len();
    let numbers = if *with_ordinality { numbers(array_exprs) } else { None };
    if let Some(numbers) = numbers {
        *with_ordinality = false;
        array_exprs.push(numbers);
    }
    name_columns(alias, lists, array_exprs.len() > lists, unnests);
}

fn parsed(text: &str) -> Option<SqlExpr> {
    crate::written::expr(text).ok()
}

fn make_array(items: &[SqlExpr]) -> Option<SqlExpr> {
    let mut call = parsed("make_array(1)")?;
    if let SqlExpr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        let item = |item: &SqlExpr| match item {
            SqlExpr::Array(array) if !array.elem.is_empty() => make_array(&array.elem),
            other => Some(other.clone()),
        };
        let items = items.iter().map(item).collect::<Option<Vec<_>>>()?;
        list.args = items.into_iter().map(|i| FunctionArg::Unnamed(FunctionArgExpr::Expr(i))).collect();
    }
    Some(call)
}

/// `range(1, n + 1)`, where n is the length of the longest list.
fn numbers(lists: &[SqlExpr]) -> Option<SqlExpr> {
    let lengths: Vec<String> =
        lists.iter().map(|l| format!("coalesce(CAST(array_length({l}) AS BIGINT), 0)")).collect();
    let text = format!("range(1, 1 + greatest({}))", lengths.join(", "));
    parsed(&text)
}

/// Names where the text gives none, as in PostgreSQL: the items have the table's name, which is `unnest` without an
/// alias, and their numbers are called `ordinality`.
fn name_columns(alias: &mut Option<TableAlias>, lists: usize, numbered: bool, unnests: &mut usize) {
    let column = |name: Ident| TableAliasColumnDef { name, data_type: None };
    let is_named = alias.is_some();
    let alias = alias.get_or_insert_with(|| {
        *unnests += 1;
        // Two of them may stand beside each other.
        let name = if *unnests == 1 { "unnest".to_owned() } else { format!("unnest_{unnests}") };
        TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None }
    });
    if alias.columns.is_empty() {
        let name = if is_named { alias.name.clone() } else { Ident::new("unnest") };
        let own = (0..lists).map(|i| match i {
            0 => name.clone(),
            i => Ident { value: format!("{}_{}", name.value, i + 1), ..name.clone() },
        });
        alias.columns = own.map(column).collect();
    }
    if numbered && alias.columns.len() == lists {
        alias.columns.push(column(Ident::new("ordinality")));
    }
}

/// Runs before all other rules.
#[derive(Debug)]
pub(crate) struct Flatten;

impl AnalyzerRule for Flatten {
    fn name(&self) -> &str {
        "ingot_flatten"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        flattened(plan)
    }
}

/// The plan without joins whose right side is computed from the left row alone.
///
/// # Errors
/// When a plan cannot be built anew.
pub fn flattened(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left) => flatten(join),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn flatten(join: Join) -> Result<Transformed<LogicalPlan>> {
    let kept = join.join_type == JoinType::Left;
    let wide = match reads_one_row(&join.right, join.left.schema()) && (!kept || is_unconditional(&join)) {
        true => carried(&join.right, &join.left, kept)?,
        false => None,
    };
    let Some(wide) = wide else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let keys = join.on.into_iter().map(|(l, r)| binary_expr(l, Operator::Eq, r));
    Ok(Transformed::yes(match conjunction(keys.chain(join.filter)) {
        Some(condition) if !kept => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(wide))?),
        _ => wide,
    }))
}

/// Whether every row of the left side stands beside all that the right one gives for it, which one UNNEST makes; all
/// that it gives is NULL where there is no element, so nothing is computed of it.
fn is_unconditional(join: &Join) -> bool {
    let always = |e: &Expr| matches!(constant(e), Ok(Some(ScalarValue::Boolean(Some(true)))));
    elements(&join.right).is_some_and(|columns| columns.into_iter().all(|element| element))
        && join.on.is_empty()
        && join.filter.as_ref().is_none_or(always)
}

/// Which columns of a plan are elements of its one UNNEST; none where something else stands above that.
fn elements(plan: &LogicalPlan) -> Option<Vec<bool>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => elements(&alias.input),
        LogicalPlan::Subquery(subquery) => elements(&subquery.subquery),
        LogicalPlan::Projection(projection) => {
            let below = elements(&projection.input)?;
            let of = |e: &Expr| match e.clone().unalias_nested().data {
                Expr::Column(column) => {
                    projection.input.schema().maybe_index_of_column(&column).and_then(|i| below.get(i).copied())
                }
                _ => Some(false),
            };
            projection.expr.iter().map(of).collect()
        }
        LogicalPlan::Unnest(unnest) => {
            let removes = |n: &LogicalPlan| Ok(matches!(n, LogicalPlan::Unnest(_) | LogicalPlan::Filter(_)));
            if unnest.input.exists(removes).ok()? {
                return None;
            }
            let mut elements = vec![false; unnest.schema.fields().len()];
            for (_, list) in &unnest.list_type_columns {
                *elements.get_mut(unnest.schema.maybe_index_of_column(&list.output_column)?)? = true;
            }
            Some(elements)
        }
        _ => None,
    }
}

/// Whether a plan is made of one row and of columns of `outer`, of which it reads at least one.
fn reads_one_row(plan: &LogicalPlan, outer: &DFSchema) -> bool {
    let (mut some, mut all) = (false, true);
    let walked = plan.apply(|node| {
        all &= match node {
            LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
            LogicalPlan::Subquery(_) => true,
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => true,
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Unnest(_) => true,
            _ => false,
        };
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                match e {
                    Expr::OuterReferenceColumn(_, column) => {
                        some = true;
                        all &= outer.has_column(column);
                    }
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                        all = false;
                    }
                    other => all &= !other.is_volatile_node(),
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.is_ok() && some && all
}

fn columns(schema: &DFSchema) -> impl Iterator<Item = Expr> + '_ {
    schema.iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name())))
}

fn inner(expr: &Expr) -> Result<Expr> {
    let named = match expr {
        Expr::Alias(_) | Expr::Column(_) => expr.clone(),
        other => {
            let (qualifier, name) = other.qualified_name();
            other.clone().alias_qualified(qualifier, name)
        }
    };
    named
        .transform_up(|e| {
            Ok(match e {
                Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                other => Transformed::no(other),
            })
        })
        .data()
}

/// The columns of `left`, then those of the plan, which stands over one row; None where it cannot be rewritten.
///
/// With `kept`, rows whose lists are empty stay.
fn carried(plan: &LogicalPlan, left: &Arc<LogicalPlan>, kept: bool) -> Result<Option<LogicalPlan>> {
    let below = |input: &LogicalPlan| carried(input, left, kept);
    let own = left.schema().fields().len();
    Ok(match plan {
        LogicalPlan::EmptyRelation(_) => Some(left.as_ref().clone()),
        LogicalPlan::Subquery(subquery) => below(&subquery.subquery)?,
        LogicalPlan::Projection(projection) => {
            let Some(input) = below(&projection.input)? else { return Ok(None) };
            let exprs = projection.expr.iter().map(inner).collect::<Result<Vec<_>>>()?;
            let all: Vec<Expr> = columns(left.schema()).chain(exprs).collect();
            Some(LogicalPlanBuilder::from(input).project(all)?.build()?)
        }
        LogicalPlan::Filter(filter) => {
            let Some(input) = below(&filter.input)? else { return Ok(None) };
            Some(LogicalPlan::Filter(Filter::try_new(inner(&filter.predicate)?.unalias(), Arc::new(input))?))
        }
        LogicalPlan::Unnest(unnest) => {
            let Some(input) = below(&unnest.input)? else { return Ok(None) };
            let (columns, options) = (unnest.exec_columns.clone(), unnest.options.clone());
            let options = match kept {
                true => options.with_null_handling(NullHandling::PreserveAndExpandEmpty),
                false => options,
            };
            Some(LogicalPlanBuilder::from(input).unnest_columns_with_options(columns, options)?.build()?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below_subquery = match alias.input.as_ref() {
                LogicalPlan::Subquery(subquery) => subquery.subquery.as_ref(),
                other => other,
            };
            let named = |expr: Expr| {
                let (_, name) = expr.qualified_name();
                expr.unalias().alias_qualified(Some(alias.alias.clone()), name)
            };
            // At once: without the qualifier a name may be one of the left side.
            let (input, exprs) = match below_subquery {
                LogicalPlan::Projection(projection)
                    if !matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(_)) =>
                {
                    (below(&projection.input)?, projection.expr.iter().map(inner).collect::<Result<Vec<_>>>()?)
                }
                other => match below(other)? {
                    Some(input) => {
                        let own: Vec<Expr> = columns(input.schema()).skip(own).collect();
                        (Some(input), own)
                    }
                    None => (None, Vec::new()),
                },
            };
            let Some(input) = input else { return Ok(None) };
            let all: Vec<Expr> = columns(left.schema()).chain(exprs.into_iter().map(named)).collect();
            Some(LogicalPlanBuilder::from(input).project(all)?.build()?)
        }
        _ => None,
    })
}
