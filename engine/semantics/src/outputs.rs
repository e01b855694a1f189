//! Names that stand for a column of the input and for one of the output: which one ORDER BY, DISTINCT ON and HAVING mean.
//!
//!   SELECT -b AS b FROM t ORDER BY b          the output
//!   SELECT -b AS b FROM t ORDER BY abs(b - 7) the input: output names stand alone, as in PostgreSQL and DuckDB
//!   SELECT k AS b FROM (..) HAVING b > 2      the input
//!
//! DataFusion looks for the output first within expressions too. It takes a column of an unnamed subquery for the
//! output that is computed from it: `SELECT k AS b, b AS k FROM (SELECT ..) ORDER BY b` was sorted by the second.
//!
//!   abs(b - 7) ──▶ abs(ingot_input(b) - 7) ──▶ the planner ──▶ a hidden column of the projection, where the input has b
//!   t.b        ──▶ ingot_input(b, 't'), which the planner finds ambiguous otherwise
//!   FROM (..)  ──▶ FROM (..) AS subquery
//!   -b         ──▶ 1, the place of the item that is written the same; 1 ──▶ the item, in DISTINCT ON and grouping sets
//!
//! Invariants
//! * A name that only the output has is the output wherever it stands.
//! * Columns keep their names.
//!
//! Not here: keys that stand twice (`sort_keys`), aggregates and windows as keys (`hidden_keys`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::logical_plan::{Distinct, Projection, Sort};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{
    BinaryOperator, Distinct as SqlDistinct, Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value, VisitMut,
    Visitor, VisitorMut, visit_expressions, visit_expressions_mut, visit_relations,
};

use crate::calls::window;
use crate::refusal::Refusal;
use crate::rewrite::expressions;

const MARK: &str = "ingot_input";

/// Rewrites the ORDER BY of a query that is one select.
pub(crate) fn in_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(order_by) = &mut query.order_by else { return };
    name_subqueries(select);
    let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return };
    // Its keys are looked up in the input.
    if matches!(select.distinct, Some(SqlDistinct::On(_))) {
        return;
    }
    let names = renamed(select);
    if names.is_empty() {
        return;
    }
    let relations = Qualifiers::of(&select.from).given;
    for sort in sorts {
        if stands_alone(&sort.expr) || !mentions(&sort.expr, &names) {
            continue;
        }
        match same_item(select, &sort.expr) {
            Some(place) => sort.expr = place,
            // The planner looks for its own name of a window.
            None if window(&sort.expr).is_some() => {}
            None => {
                let marks = &mut Marks { names: &names, relations: &relations, queries: 0 };
                let _ = VisitMut::visit(&mut sort.expr, marks);
            }
        }
    }
}

/// Rewrites what else of a select tells inputs from outputs.
pub(crate) fn in_select(select: &mut Select) {
    if select.having.is_some() || select.qualify.is_some() {
        name_subqueries(select);
    }
    if let Some(qualify) = &mut select.qualify
        && window(qualify).is_none()
        && let Some(window) = window(&select.projection)
    {
        // The planner looks for a window in QUALIFY itself; this one is computed as it is.
        let always = SqlExpr::BinaryOp {
            left: Box::new(SqlExpr::IsNull(Box::new(window))),
            op: BinaryOperator::Or,
            right: Box::new(SqlExpr::value(Value::Boolean(true))),
        };
        let given = SqlExpr::Nested(Box::new(qualify.clone()));
        *qualify = SqlExpr::BinaryOp {
            left: Box::new(given),
            op: BinaryOperator::And,
            right: Box::new(SqlExpr::Nested(Box::new(always))),
        };
    }
    let items = std::mem::take(&mut select.projection);
    if let Some(SqlDistinct::On(keys)) = &mut select.distinct {
        keys.iter_mut().for_each(|key| put_item(key, &items, output));
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        for key in keys {
            if let SqlExpr::Cube(sets) | SqlExpr::Rollup(sets) | SqlExpr::GroupingSets(sets) = key {
                sets.iter_mut().flatten().for_each(|key| put_item(key, &items, |item| item_expr(item).cloned()));
            }
        }
    }
    select.projection = items;
}

/// The item in the place of its number, where no `*` stands before it.
fn put_item(key: &mut SqlExpr, items: &[SelectItem], text: impl Fn(&SelectItem) -> Option<SqlExpr>) {
    let Some(number) = number(key) else { return };
    let Some(before) = number.checked_sub(1).and_then(|at| items.get(..at)) else { return };
    let is_one = |item: &SelectItem| item_expr(item).is_some();
    if before.iter().all(is_one)
        && let Some(expr) = items.get(before.len()).and_then(text)
    {
        *key = expr;
    }
}

/// An item where output names come first.
fn output(item: &SelectItem) -> Option<SqlExpr> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(SqlExpr::Identifier(alias.clone())),
        other => item_expr(other).cloned(),
    }
}

pub(crate) fn item_expr(item: &SelectItem) -> Option<&SqlExpr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

pub(crate) fn number(expr: &SqlExpr) -> Option<usize> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::Number(text, _) => text.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn fold(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

pub(crate) fn bare(mut expr: &SqlExpr) -> &SqlExpr {
    while let SqlExpr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// A name or a number: the output's.
pub(crate) fn stands_alone(expr: &SqlExpr) -> bool {
    matches!(bare(expr), SqlExpr::Identifier(_) | SqlExpr::Value(_))
}

/// Names that items give to something else than a column of that name.
pub(crate) fn renamed(select: &Select) -> BTreeSet<String> {
    let names = select.projection.iter().filter_map(|item| {
        let SelectItem::ExprWithAlias { expr, alias } = item else { return None };
        let own = match bare(expr) {
            SqlExpr::Identifier(name) => Some(name),
            SqlExpr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        let name = fold(alias);
        (own.map(fold).as_ref() != Some(&name)).then_some(name)
    });
    names.collect()
}

pub(crate) fn mentions(expr: &SqlExpr, names: &BTreeSet<String>) -> bool {
    let is_named = |e: &SqlExpr| match e {
        SqlExpr::Identifier(name) => names.contains(&fold(name)),
        SqlExpr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| names.contains(&fold(name))),
        _ => false,
    };
    let found = visit_expressions(expr, |e| match is_named(e) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The number, or the alias, of the item that is the same expression.
pub(crate) fn same_item(select: &Select, expr: &SqlExpr) -> Option<SqlExpr> {
    let expr = folded(expr);
    let at = select.projection.iter().position(|item| item_expr(item).is_some_and(|e| folded(e) == expr))?;
    let before = select.projection.get(..at)?;
    if before.iter().all(|item| item_expr(item).is_some()) {
        return Some(SqlExpr::value(Value::Number((at + 1).to_string(), false)));
    }
    match select.projection.get(at)? {
        SelectItem::ExprWithAlias { alias, .. } => Some(SqlExpr::Identifier(alias.clone())),
        _ => None,
    }
}

pub(crate) fn folded(expr: &SqlExpr) -> SqlExpr {
    let mut expr = bare(expr).clone();
    let _ = visit_expressions_mut(&mut expr, |e| {
        let parts = match e {
            SqlExpr::Identifier(name) => std::slice::from_mut(name),
            SqlExpr::CompoundIdentifier(parts) => parts.as_mut_slice(),
            _ => return ControlFlow::<()>::Continue(()),
        };
        for part in parts {
            *part = Ident::with_quote('"', fold(part));
        }
        ControlFlow::Continue(())
    });
    expr
}

/// Marks names outside of subqueries, which have inputs of their own.
struct Marks<'a> {
    names: &'a BTreeSet<String>,
    relations: &'a BTreeSet<String>,
    queries: usize,
}

impl VisitorMut for Marks<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            SqlExpr::Identifier(name) if self.names.contains(&fold(name)) => {
                *expr = crate::namesakes::call(MARK, vec![expr.clone()]);
            }
            SqlExpr::CompoundIdentifier(parts) => {
                let [qualifiers @ .., name] = parts.as_slice() else { return ControlFlow::Continue(()) };
                let is_relation = qualifiers.last().is_some_and(|q| self.relations.contains(&fold(q)));
                if is_relation
                    && self.names.contains(&fold(name))
                    && let Some(call) = marked(parts)
                {
                    *expr = call;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn marked(parts: &[Ident]) -> Option<SqlExpr> {
    let (name, qualifiers) = parts.split_last()?;
    let text = |q: &Ident| SqlExpr::value(Value::SingleQuotedString(fold(q)));
    let arguments = std::iter::once(SqlExpr::Identifier(name.clone()));
    Some(crate::namesakes::call(MARK, arguments.chain(qualifiers.iter().map(text)).collect()))
}

/// Marks the columns of what took the place of a marked name.
pub(crate) fn mark_values(expr: &mut SqlExpr) {
    let _ = visit_expressions_mut(expr, |e| {
        let value = match e {
            SqlExpr::Function(call) if call.name.to_string() == MARK => match &call.args {
                FunctionArguments::List(list) => match list.args.as_slice() {
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Identifier(_)))] => None,
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] => Some(value.clone()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        if let Some(mut value) = value {
            let _ = visit_expressions_mut(&mut value, |part| {
                if let SqlExpr::CompoundIdentifier(parts) = &*part
                    && let Some(call) = marked(parts)
                {
                    *part = call;
                }
                ControlFlow::<()>::Continue(())
            });
            *e = value;
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Names the subqueries in FROM that have no alias, if the select has aliases that may be taken for their columns.
fn name_subqueries(select: &mut Select) {
    // Beside a `*` an output has no name of the input's: the planner refuses both.
    if renamed(select).is_empty() || select.projection.iter().any(|item| item_expr(item).is_none()) {
        return;
    }
    let qualifiers = Qualifiers::of(select);
    let mut number = 0;
    for item in &mut select.from {
        let factors = std::iter::once(&mut item.relation).chain(item.joins.iter_mut().map(|join| &mut join.relation));
        for factor in factors {
            let TableFactor::Derived { subquery, alias: alias @ None, .. } = factor else { continue };
            // A table within the subquery may be named outside of it, by the engine's leave.
            let mut tables = BTreeSet::new();
            let _ = visit_relations(subquery.as_ref(), |name| {
                tables.extend(name.0.last().and_then(|part| part.as_ident()).map(fold));
                ControlFlow::<()>::Continue(())
            });
            let named = Qualifiers::of(subquery.as_ref());
            if qualifiers.used.iter().any(|q| tables.contains(q) || named.given.contains(q)) {
                continue;
            }
            let name = loop {
                number += 1;
                let name = if number == 1 { "subquery".to_owned() } else { format!("subquery_{number}") };
                if !qualifiers.given.contains(&name) && !qualifiers.used.contains(&name) {
                    break name;
                }
            };
            *alias = Some(TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
        }
    }
}

/// Names of relations in a tree.
#[derive(Default)]
struct Qualifiers {
    /// That columns name, outside of subqueries in FROM.
    used: BTreeSet<String>,
    /// That FROM gives.
    given: BTreeSet<String>,
    within: usize,
}

impl Qualifiers {
    fn of<T: sqlparser::ast::Visit>(tree: &T) -> Self {
        let mut found = Self::default();
        let _ = tree.visit(&mut found);
        found
    }
}

impl Visitor for Qualifiers {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Derived { alias, .. } => {
                self.within += 1;
                self.given.extend(alias.as_ref().map(|a| fold(&a.name)));
            }
            TableFactor::Table { name, alias, .. } => {
                let own = name.0.last().and_then(|part| part.as_ident());
                self.given.extend(alias.as_ref().map(|a| &a.name).or(own).map(fold));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if matches!(factor, TableFactor::Derived { .. }) {
            self.within -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
        if self.within == 0
            && let SqlExpr::CompoundIdentifier(parts) = expr
        {
            self.used.extend(parts.iter().rev().nth(1).map(fold));
        }
        ControlFlow::Continue(())
    }
}

/// Resolves marked names. Runs before all other rules.
#[derive(Debug)]
pub(crate) struct Outputs;

impl AnalyzerRule for Outputs {
    fn name(&self) -> &str {
        "ingot_outputs"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_marks(&plan) {
            return Ok(plan);
        }
        let plan = plan
            .transform_up_with_subqueries(|node| match node {
                LogicalPlan::Sort(sort) if sort.expr.iter().any(|by| is_marked(&by.expr)) => {
                    in_sort(sort).map(Transformed::yes)
                }
                other => Ok(Transformed::no(other)),
            })
            .data()?;
        expressions(plan, Ok, |e, _| Ok(unmarked(e)))
    }
}

fn has_marks(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= node.expressions().iter().any(is_marked);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

fn is_marked(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(call) if call.func.name() == MARK))).unwrap_or(true)
}

fn unmarked(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == MARK => {
            Transformed::yes(call.args.into_iter().next().unwrap_or_default())
        }
        other => Transformed::no(other),
    }
}

/// Keys over the input become hidden columns of the projection below the sort.
fn in_sort(mut sort: Sort) -> Result<LogicalPlan> {
    let is_distinct = matches!(sort.input.as_ref(), LogicalPlan::Distinct(Distinct::All(_)));
    let projection = match sort.input.as_ref() {
        LogicalPlan::Distinct(Distinct::All(input)) => input.as_ref(),
        other => other,
    };
    let LogicalPlan::Projection(projection) = projection else { return Ok(LogicalPlan::Sort(sort)) };
    let input = projection.input.schema();
    let shown = sort.input.schema().columns();
    let mut items = projection.expr.clone();
    let mut hidden = |column: Column| {
        let name = format!("__ingot_sort{}", items.len());
        items.push(Expr::Column(column).alias(&name));
        Transformed::new(Expr::Column(Column::new_unqualified(name)), true, TreeNodeRecursion::Jump)
    };
    for by in &mut sort.expr {
        let resolved = std::mem::take(&mut by.expr).transform_down(|e| {
            let Some((named, column)) = of_input(&e, input)? else { return Ok(Transformed::no(e)) };
            if is_distinct {
                return Err(refused(&named).into());
            }
            Ok(hidden(column))
        })?;
        by.expr = resolved.data;
    }
    if items.len() > projection.expr.len() {
        sort.input = Arc::new(LogicalPlan::Projection(Projection::try_new(items, Arc::clone(&projection.input))?));
        let shown = shown.into_iter().map(Expr::Column).collect();
        return Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(LogicalPlan::Sort(sort)))?));
    }
    Ok(LogicalPlan::Sort(sort))
}

/// The input's column that a mark may mean, behind what it is called. None where only the output has one.
fn of_input(mark: &Expr, input: &DFSchema) -> Result<Option<(Column, Column)>> {
    let Expr::ScalarFunction(call) = mark else { return Ok(None) };
    if call.func.name() != MARK {
        return Ok(None);
    }
    let Some((Expr::Column(named), qualifiers)) = call.args.split_first() else { return Ok(None) };
    let qualifiers: Vec<&str> = qualifiers.iter().filter_map(|q| q.as_literal()?.try_as_str()?).collect();
    if qualifiers.is_empty() {
        // A qualifier tells it already.
        if named.relation.is_some() || input.fields_with_unqualified_name(&named.name).is_empty() {
            return Ok(None);
        }
        let (relation, field) = input.qualified_field_with_unqualified_name(&named.name)?;
        return Ok(Some((named.clone(), Column::new(relation.cloned(), field.name()))));
    }
    // The parts as they are: a text would be read again, its quotes lost.
    let relation = match qualifiers.as_slice() {
        [table] => TableReference::bare(*table),
        [schema, table] => TableReference::partial(*schema, *table),
        [catalog, schema, table] => TableReference::full(*catalog, *schema, *table),
        _ => return plan_err!("\"{}\" has more parts than a name of a table", qualifiers.join(".")),
    };
    let is_it = |q: Option<&TableReference>| q.is_some_and(|q| q.resolved_eq(&relation) || relation.resolved_eq(q));
    let found = input.iter().find(|(q, f)| f.name() == &named.name && is_it(*q));
    let Some((relation, field)) = found else {
        return plan_err!("column \"{}.{}\" is not among the columns to sort by", relation, named.name);
    };
    Ok(Some((named.clone(), Column::new(relation.cloned(), field.name()))))
}

fn refused(name: &Column) -> Refusal {
    Refusal {
        code: "U0514",
        text: format!(
            "\"{}\" within an expression of ORDER BY is the input's column, which SELECT DISTINCT does not keep",
            name.name
        ),
        help: "give the output column another name than the input's, or select the expression",
        span: crate::laterals::span_of(name),
    }
}

/// The mark: its argument as it is.
pub(crate) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Mark { signature: Signature::variadic_any(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}
