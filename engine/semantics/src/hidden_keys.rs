//! Aggregates, windows and keys of GROUP BY within ORDER BY whose names an output shares: they become items that the result
//! does not show.
//!
//!   SELECT k, sum(id) AS id FROM t GROUP BY k ORDER BY max(b - id), k
//!     ──▶ SELECT * EXCLUDE (h) FROM (SELECT k, sum(id) AS id, max(b - id) AS h FROM t GROUP BY k) ORDER BY h, k
//!
//! Names within them are the input's, as everywhere in a select list. DataFusion takes the output's in ORDER BY, and then
//! does not find its own name of the call.
//!
//! Not here: names beside them (`outputs`), ORDER BY of a set operation, where there is no input.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::Result;
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableFactor,
};

use crate::calls::{is_aggregate, is_window};
use crate::outputs::{bare, fold, folded, renamed, same_item, stands_alone};
use crate::subqueries::{Node, walk};

/// Puts a query with such keys below one that leaves them out.
///
/// # Errors
/// Only if a query of our own text does not parse, which is a defect.
pub(crate) fn in_query(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let Some(OrderByKind::Expressions(sorts)) = query.order_by.as_ref().map(|o| &o.kind) else { return Ok(()) };
    // Only what is selected orders distinct rows.
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) || !query.pipe_operators.is_empty() {
        return Ok(());
    }
    let names = renamed(select);
    let computed = |sort: &OrderByExpr| !stands_alone(&sort.expr) && same_item(select, &sort.expr).is_none();
    let groups = group_keys(select);
    // What stands within a call is a column of the input, and so it is beside one.
    let mut inputs: BTreeSet<String> = sorts
        .iter()
        .filter(|sort| computed(sort))
        .flat_map(|sort| Mentions::of(&sort.expr, &names, &groups).within)
        .collect();
    if inputs.is_empty() {
        return Ok(());
    }
    inputs.extend(qualified_keys(select));
    let outputs: BTreeSet<String> = select.projection.iter().filter_map(output).collect();
    let mut hidden: Vec<(String, Expr)> = Vec::new();
    let mut keys = sorts.clone();
    for key in &mut keys {
        match bare(&key.expr) {
            Expr::Identifier(name) if outputs.contains(&fold(name)) => continue,
            Expr::Value(_) => continue,
            _ => {}
        }
        if let Some(place) = same_item(select, &key.expr) {
            key.expr = place;
            continue;
        }
        let mentions = Mentions::of(&key.expr, &names, &groups);
        // Every item that is no aggregate is a key of GROUP BY ALL.
        let regroups = matches!(select.group_by, GroupByExpr::All(_)) && (mentions.window || !mentions.aggregate);
        if !mentions.outside.is_subset(&inputs) || regroups {
            return Ok(());
        }
        let name = format!("__ingot_order_{}", hidden.len());
        let expr = std::mem::replace(&mut key.expr, Expr::Identifier(Ident::new(&name)));
        hidden.push((name, expr));
    }
    let excluded = hidden.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let text = format!("SELECT * EXCLUDE ({excluded}) FROM (SELECT 1)");
    let mut shown = crate::written::query(&text)?;
    let item = |(name, expr)| SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
    select.projection.extend(hidden.into_iter().map(item));
    // A subquery of FROM has no order: the keys stand above it.
    shown.order_by = query.order_by.take().map(|order| OrderBy { kind: OrderByKind::Expressions(keys), ..order });
    shown.limit_clause = query.limit_clause.take();
    if let Some(TableFactor::Derived { subquery, .. }) = relation(&mut shown) {
        std::mem::swap(subquery.as_mut(), query);
        *query = shown;
    }
    Ok(())
}

/// The columns of keys of GROUP BY that name their tables.
fn qualified_keys(select: &Select) -> Vec<String> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Vec::new() };
    let column = |key: &Expr| match bare(key) {
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        _ => None,
    };
    keys.iter().filter_map(column).collect()
}

/// The keys of GROUP BY that are computed.
fn group_keys(select: &Select) -> Vec<Expr> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Vec::new() };
    let computed = |key: &&Expr| !stands_alone(key) && !matches!(bare(key), Expr::CompoundIdentifier(_));
    let of_sets = |key: &'_ Expr| match key {
        Expr::Cube(sets) | Expr::Rollup(sets) | Expr::GroupingSets(sets) => sets.iter().flatten().cloned().collect(),
        other => vec![other.clone()],
    };
    let keys: Vec<Expr> = keys.iter().flat_map(of_sets).collect();
    keys.iter().filter(computed).map(folded).collect()
}

/// What an item is called.
fn output(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(fold(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(fold),
        _ => None,
    }
}

fn relation(query: &mut Query) -> Option<&mut TableFactor> {
    match query.body.as_mut() {
        SetExpr::Select(select) => select.from.first_mut().map(|item| &mut item.relation),
        _ => None,
    }
}

/// What a key mentions.
struct Mentions<'a> {
    names: &'a BTreeSet<String>,
    groups: &'a [Expr],
    /// Aggregates, windows and keys of GROUP BY around the current place.
    calls: usize,
    window: bool,
    aggregate: bool,
    /// Names within calls, and bare ones outside of them.
    within: BTreeSet<String>,
    outside: BTreeSet<String>,
}

impl<'a> Mentions<'a> {
    fn of(key: &Expr, names: &'a BTreeSet<String>, groups: &'a [Expr]) -> Self {
        let mut mentions = Self {
            names,
            groups,
            calls: 0,
            window: false,
            aggregate: false,
            within: BTreeSet::new(),
            outside: BTreeSet::new(),
        };
        walk(key, |node, queries| {
            match node {
                Node::Expr(expr) => mentions.enter(expr, queries),
                Node::AfterExpr(expr) => mentions.leave(expr),
                Node::Relation(_) => {}
            }
            ControlFlow::Continue(())
        });
        mentions
    }
}

impl Mentions<'_> {
    fn is_group(&self, expr: &Expr) -> bool {
        !self.groups.is_empty() && self.groups.contains(&folded(expr))
    }
}

impl Mentions<'_> {
    fn enter(&mut self, expr: &Expr, queries: usize) {
        let (name, is_bare) = match expr {
            Expr::Identifier(name) => (Some(name), true),
            Expr::CompoundIdentifier(parts) => (parts.last(), false),
            other => {
                let (window, aggregate) = (is_window(other), is_aggregate(other));
                self.calls += usize::from(window || aggregate || self.is_group(other));
                self.window |= window && queries == 0;
                self.aggregate |= aggregate && queries == 0;
                (None, false)
            }
        };
        if let Some(name) = name.map(fold).filter(|name| self.names.contains(name)) {
            if self.calls > 0 && queries == 0 {
                self.within.insert(name);
            } else if is_bare && self.calls == 0 {
                self.outside.insert(name);
            }
        }
    }

    fn leave(&mut self, expr: &Expr) {
        let is_name = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        self.calls -= usize::from(!is_name && (is_window(expr) || is_aggregate(expr) || self.is_group(expr)));
    }
}
