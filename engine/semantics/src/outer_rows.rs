//! A subquery's plan for all rows around it at once: its rows, each beside the values that it looked at.
//!
//!   SELECT s.v FROM s WHERE s.k < t.k        ──▶ SELECT s.v, d.k FROM s CROSS JOIN d WHERE s.k < d.k
//!   SELECT count(*) FROM s WHERE s.k < t.k   ──▶ SELECT count(*) FILTER (WHERE found), d.k FROM d LEFT JOIN (.. TRUE AS found ..)
//!                                                ON d.k = .. GROUP BY d.k
//!
//! where `d` is SELECT DISTINCT t.k FROM t: what Neumann and Kemper call the domain of a dependent join.
//!
//! Invariants
//! * A plan keeps its columns, in their order and under their names; the values stand behind them, as columns that
//!   nothing else is called like.
//! * NULL is a value like any other here: it equals itself.
//!
//! Not here: which subqueries need it, and how they are joined to the rows around (`dependent`).

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinConstraint, NullEquality, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, DistinctOn, Filter, Projection, SubqueryAlias, Union, Window,
};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit,
};

use crate::correlated::refused;
use crate::outer_references::{lateral, outer_columns, references, subquery_mut};
use crate::rewrite::input_schema;

const PREFIX: &str = "__ingot_outer";

/// Names that no column of a plan has, and how often an analysis reads rows around subqueries.
pub(crate) struct Fresh {
    next: Cell<usize>,
    reads: Cell<usize>,
}

/// Subqueries that look at each other's rows double these with each, and the time of planning.
const READS: usize = 512;

impl Fresh {
    /// Names that follow those of an earlier analysis.
    pub(crate) fn after(plan: &LogicalPlan) -> Result<Self> {
        let mut next = 0;
        plan.apply_with_subqueries(|node| {
            for field in node.schema().fields() {
                let number = field.name().strip_prefix(PREFIX).and_then(|n| n.split('_').nth(1)?.parse::<usize>().ok());
                next = next.max(number.map_or(0, |n| n + 1));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self { next: Cell::new(next), reads: Cell::new(0) })
    }

    pub(crate) fn name(&self) -> String {
        let next = self.next.get();
        self.next.set(next + 1);
        format!("{PREFIX}_{next}")
    }

    /// Whether the rows around one more subquery may be read.
    pub(crate) fn reads_once_more(&self) -> bool {
        self.reads.set(self.reads.get() + 1);
        self.reads.get() <= READS
    }
}

/// The rows around a subquery, as far as it looks at them.
pub(crate) struct OuterRows<'a> {
    pub(crate) rows: Arc<LogicalPlan>,
    pub(crate) looked_at: Vec<Column>,
    pub(crate) fresh: &'a Fresh,
}

/// A plan beside the values, which are its last columns.
pub(crate) struct Beside {
    pub(crate) plan: LogicalPlan,
    pub(crate) values: Vec<Column>,
}

impl OuterRows<'_> {
    /// The distinct values, under names of their own.
    fn domain(&self) -> Result<Beside> {
        let values: Vec<Column> = self.looked_at.iter().map(|_| Column::new_unqualified(self.fresh.name())).collect();
        let named = |(column, value): (&Column, &Column)| Expr::Column(column.clone()).alias(value.name.clone());
        let exprs = self.looked_at.iter().zip(&values).map(named).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&self.rows))?);
        Ok(Beside { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), values })
    }

    fn position(&self, column: &Column) -> Option<usize> {
        self.looked_at.iter().position(|c| c == column)
    }

    /// The expressions of a node over its input beside the values, under the names that they had.
    fn over(&self, exprs: Vec<Expr>, schema: &DFSchema, values: &[Column]) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        exprs
            .into_iter()
            .map(|e| {
                let name = names.save(&e);
                Ok(name.restore(self.expr(e, schema, values)?))
            })
            .collect()
    }

    fn expr(&self, expr: Expr, schema: &DFSchema, values: &[Column]) -> Result<Expr> {
        expr.transform_up(|mut e| {
            if let Expr::OuterReferenceColumn(_, column) = &e
                && let Some(value) = self.position(column).and_then(|at| values.get(at))
            {
                return Ok(Transformed::yes(Expr::Column(value.clone())));
            }
            let Some(subquery) = subquery_mut(&mut e) else { return Ok(Transformed::no(e)) };
            let any = self.redirect(subquery, &[schema], values)?;
            Ok(Transformed::new_transformed(e, any))
        })
        .data()
    }

    /// Lets a subquery of a subquery look at the values, where none of the schemas between has the column.
    fn redirect(&self, subquery: &mut Subquery, between: &[&DFSchema], values: &[Column]) -> Result<bool> {
        let foreign = |c: &Column| self.position(c).is_some() && !between.iter().any(|s| s.has_column(c));
        if !outer_columns(&subquery.subquery)?.iter().any(|(_, c)| foreign(c)) {
            return Ok(false);
        }
        let plan = subquery.subquery.as_ref().clone().transform_up(|node| {
            let schema = input_schema(&node)?;
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|mut e| {
                    if let Expr::OuterReferenceColumn(field, column) = &e
                        && foreign(column)
                        && let Some(value) = self.position(column).and_then(|at| values.get(at))
                    {
                        let field = Arc::new(field.as_ref().clone().with_nullable(true));
                        return Ok(Transformed::yes(Expr::OuterReferenceColumn(field, value.clone())));
                    }
                    let Some(within) = subquery_mut(&mut e) else { return Ok(Transformed::no(e)) };
                    let mut schemas = between.to_vec();
                    schemas.push(&schema);
                    let any = self.redirect(within, &schemas, values)?;
                    Ok(Transformed::new_transformed(e, any))
                })?;
                Ok(expr.update_data(|e| name.restore(e)))
            })
        })?;
        subquery.outer_ref_columns = references(&plan.data)?;
        subquery.subquery = Arc::new(plan.data);
        Ok(true)
    }

    /// The plan for all rows around at once.
    pub(crate) fn beside(&self, plan: LogicalPlan) -> Result<Beside> {
        if outer_columns(&plan)?.is_empty() {
            let Beside { plan: domain, values } = self.domain()?;
            let plan = LogicalPlanBuilder::from(plan).cross_join(domain)?.build()?;
            return Ok(Beside { plan, values });
        }
        let schema = input_schema(&plan)?;
        match plan {
            LogicalPlan::Filter(filter) => {
                let Beside { plan, values } = self.beside(Arc::unwrap_or_clone(filter.input))?;
                let predicate = self.expr(filter.predicate, &schema, &values)?;
                Ok(Beside { plan: LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?), values })
            }
            LogicalPlan::Projection(projection) => {
                let Beside { plan, values } = self.beside(Arc::unwrap_or_clone(projection.input))?;
                let mut exprs = self.over(projection.expr, &schema, &values)?;
                exprs.extend(values.iter().cloned().map(Expr::Column));
                Ok(Beside { plan: LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?), values })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Beside { plan, values } = self.beside(Arc::unwrap_or_clone(alias.input))?;
                let values = values.into_iter().map(|v| Column::new(Some(alias.alias.clone()), v.name)).collect();
                let plan = SubqueryAlias::try_new(Arc::new(plan), alias.alias)?;
                Ok(Beside { plan: LogicalPlan::SubqueryAlias(plan), values })
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Beside { plan, values } = self.beside(Arc::unwrap_or_clone(input))?;
                Ok(Beside { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), values })
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct, &schema),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, &schema),
            LogicalPlan::Window(window) => self.window(window, &schema),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) if lateral(&LogicalPlan::Join(join.clone())).is_none() => self.join(join, &schema),
            other => Err(refused(&other, place(&other)).into()),
        }
    }

    fn aggregate(&self, aggregate: Aggregate, schema: &DFSchema) -> Result<Beside> {
        let node = LogicalPlan::Aggregate(aggregate.clone());
        if aggregate.group_expr.iter().any(|k| matches!(k, Expr::GroupingSet(_))) {
            return Err(refused(&node, "ROLLUP, CUBE or GROUPING SETS").into());
        }
        let wanted = node.schema().columns();
        let inner = self.beside(Arc::unwrap_or_clone(aggregate.input))?;
        let mut aggr_expr = self.over(aggregate.aggr_expr, schema, &inner.values)?;
        if !aggregate.group_expr.is_empty() {
            let mut keys = self.over(aggregate.group_expr, schema, &inner.values)?;
            keys.extend(inner.values.iter().cloned().map(Expr::Column));
            let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(inner.plan), keys, aggr_expr)?);
            return in_order(plan, wanted, inner.values);
        }
        // A row for each value, also where nothing is found.
        let found = Column::new_unqualified(self.fresh.name());
        let mut exprs: Vec<Expr> = inner.plan.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(lit(true).alias(found.name.clone()));
        let rows = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(inner.plan))?);
        let Beside { plan: domain, values } = self.domain()?;
        let joined = join_values(domain, rows, &values, &inner.values, None, JoinType::Left)?;
        let names = NamePreserver::new_for_projection();
        for expr in &mut aggr_expr {
            let name = names.save(expr);
            let counted = expr.clone().transform_up(|e| match e {
                Expr::AggregateFunction(mut call) => {
                    let own = call.params.filter.take().map(|f| *f);
                    let filter = conjunction([Expr::Column(found.clone())].into_iter().chain(own));
                    call.params.filter = filter.map(Box::new);
                    Ok(Transformed::yes(Expr::AggregateFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            *expr = name.restore(counted.data);
        }
        let keys = values.iter().cloned().map(Expr::Column).collect();
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(joined), keys, aggr_expr)?);
        in_order(plan, wanted, values)
    }

    fn window(&self, window: Window, schema: &DFSchema) -> Result<Beside> {
        let wanted = window.schema.columns();
        let inner = self.beside(Arc::unwrap_or_clone(window.input))?;
        let names = NamePreserver::new_for_projection();
        let exprs = window.window_expr.into_iter().map(|e| {
            let name = names.save(&e);
            let apart = self.expr(e, schema, &inner.values)?.transform_up(|e| match e {
                Expr::WindowFunction(mut call) => {
                    call.params.partition_by.extend(inner.values.iter().cloned().map(Expr::Column));
                    Ok(Transformed::yes(Expr::WindowFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(name.restore(apart.data))
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlan::Window(Window::try_new(exprs, Arc::new(inner.plan))?);
        in_order(plan, wanted, inner.values)
    }

    fn distinct_on(&self, distinct: DistinctOn, schema: &DFSchema) -> Result<Beside> {
        let Beside { plan, values } = self.beside(Arc::unwrap_or_clone(distinct.input))?;
        let columns = || values.iter().cloned().map(Expr::Column);
        let first = |exprs: Vec<Expr>| -> Result<Vec<Expr>> {
            let exprs = exprs.into_iter().map(|e| self.expr(e, schema, &values));
            columns().map(Ok).chain(exprs).collect()
        };
        let on = first(distinct.on_expr)?;
        let mut select = self.over(distinct.select_expr, schema, &values)?;
        select.extend(columns());
        let sort = distinct.sort_expr.map(|sorts| {
            let sorts = sorts.into_iter().map(|mut s| {
                s.expr = self.expr(s.expr, schema, &values)?;
                Ok(s)
            });
            columns().map(|c| Ok(c.sort(true, false))).chain(sorts).collect::<Result<Vec<_>>>()
        });
        let plan = DistinctOn::try_new(on, select, sort.transpose()?, Arc::new(plan))?;
        Ok(Beside { plan: LogicalPlan::Distinct(Distinct::On(plan)), values })
    }

    fn union(&self, union: Union) -> Result<Beside> {
        let wanted = union.schema.columns();
        let columns: Vec<String> = wanted.iter().map(|_| self.fresh.name()).collect();
        let values: Vec<Column> = self.looked_at.iter().map(|_| Column::new_unqualified(self.fresh.name())).collect();
        let names: Vec<&String> = columns.iter().chain(values.iter().map(|v| &v.name)).collect();
        let branches = union.inputs.into_iter().map(|input| {
            let branch = self.beside(Arc::unwrap_or_clone(input))?;
            let exprs = branch.plan.schema().columns().into_iter().zip(&names);
            let exprs = exprs.map(|(c, name)| Expr::Column(c).alias((*name).clone())).collect();
            Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(branch.plan))?)))
        });
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(branches.collect::<Result<_>>()?)?);
        let named = |(name, column): (&String, Column)| {
            Expr::Column(Column::new_unqualified(name)).alias_qualified(column.relation, column.name)
        };
        let mut exprs: Vec<Expr> = columns.iter().zip(wanted).map(named).collect();
        exprs.extend(values.iter().cloned().map(Expr::Column));
        Ok(Beside { plan: LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?), values })
    }

    fn join(&self, join: Join, schema: &DFSchema) -> Result<Beside> {
        let node = LogicalPlan::Join(join.clone());
        let looks = |plan: &LogicalPlan| -> Result<bool> { Ok(!outer_columns(plan)?.is_empty()) };
        let (of_left, of_right) = (looks(&join.left)?, looks(&join.right)?);
        let (left, right) = match join.join_type {
            JoinType::Inner => (of_left || !of_right, of_right),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (true, of_right),
            JoinType::Right => (of_left, true),
            JoinType::Full => (true, true),
            _ => return Err(refused(&node, "a join of this kind").into()),
        };
        if join.null_aware || join.on.iter().any(|(l, r)| l.contains_outer() || r.contains_outer()) {
            return Err(refused(&node, "a join of this kind").into());
        }
        let wanted = join.schema.columns();
        let side = |plan: &LogicalPlan, beside: bool| -> Result<Beside> {
            if beside { self.beside(plan.clone()) } else { Ok(Beside { plan: plan.clone(), values: Vec::new() }) }
        };
        let (left, right) = (side(&join.left, left)?, side(&join.right, right)?);
        let values = if left.values.is_empty() { &right.values } else { &left.values };
        let filter = join.filter.map(|f| self.expr(f, schema, values)).transpose()?;
        if left.values.is_empty() || right.values.is_empty() {
            let values = values.clone();
            let plan = LogicalPlan::Join(Join::try_new(
                Arc::new(left.plan),
                Arc::new(right.plan),
                join.on,
                filter,
                join.join_type,
                join.join_constraint,
                join.null_equality,
                false,
            )?);
            return in_order(plan, wanted, values);
        }
        // The values are keys for which NULL equals NULL; other keys keep their own equality as conditions.
        let keys = join.on.into_iter().map(|(l, r)| match join.null_equality {
            NullEquality::NullEqualsNothing => l.eq(r),
            NullEquality::NullEqualsNull => {
                Expr::BinaryExpr(BinaryExpr::new(Box::new(l), Operator::IsNotDistinctFrom, Box::new(r)))
            }
        });
        let filter = conjunction(keys.chain(filter));
        let plan = join_values(left.plan, right.plan, &left.values, &right.values, filter, join.join_type)?;
        let plan = match join.join_type {
            JoinType::Right => return in_order(plan, wanted, right.values),
            JoinType::Full => {
                let coalesced = left.values.iter().zip(&right.values).map(|(l, r)| {
                    let (l, r) = (Expr::Column(l.clone()), Expr::Column(r.clone()));
                    coalesce(vec![l, r]).alias(self.fresh.name())
                });
                let coalesced: Vec<Expr> = coalesced.collect();
                let values = coalesced.iter().map(|e| Column::new_unqualified(e.schema_name().to_string())).collect();
                let exprs = wanted.into_iter().map(Expr::Column).chain(coalesced).collect();
                let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
                return Ok(Beside { plan, values });
            }
            _ => plan,
        };
        in_order(plan, wanted, left.values)
    }
}

/// Rows joined by the values that they stand beside.
pub(crate) fn join_values(
    left: LogicalPlan,
    right: LogicalPlan,
    left_values: &[Column],
    right_values: &[Column],
    filter: Option<Expr>,
    kind: JoinType,
) -> Result<LogicalPlan> {
    let column = |c: &Column| Expr::Column(c.clone());
    let on = left_values.iter().map(column).zip(right_values.iter().map(column)).collect();
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?))
}

fn in_order(plan: LogicalPlan, wanted: Vec<Column>, values: Vec<Column>) -> Result<Beside> {
    let exprs = wanted.into_iter().chain(values.iter().cloned()).map(Expr::Column).collect();
    Ok(Beside { plan: LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?), values })
}

fn place(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT or OFFSET",
        LogicalPlan::Join(_) | LogicalPlan::Subquery(_) => "LATERAL",
        LogicalPlan::Values(_) => "VALUES",
        LogicalPlan::Unnest(_) => "UNNEST",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        _ => "a construct that is not a join, a filter or an aggregate",
    }
}
