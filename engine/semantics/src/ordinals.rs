//! ORDER BY a number, in a grouped query, where the item of that place has no name.
//!
//!   SELECT k, sum(b) * 2 FROM t GROUP BY k ORDER BY 2   ──▶ ORDER BY sum(b) * 2
//!
//!   SELECT DISTINCT sum(b) * 2 FROM t GROUP BY k ORDER BY 1   ──▶ the item gets a name
//!
//! The planner takes the number for a column of the output and then looks for it among the groups. Distinct rows are
//! ordered by what is selected, by its name.
//!
//! Not here: numbers in GROUP BY, and where the item has a name (`outputs`).

use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, visit_expressions,
};

use crate::calls::is_aggregate;
use crate::outputs::{bare, item_expr, mentions, number, renamed, stands_alone};
use crate::twins::apart;

/// Rewrites the ORDER BY of a query that is one select.
pub(crate) fn in_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return };
    if !is_grouped(select) {
        return;
    }
    if matches!(select.distinct, Some(Distinct::Distinct)) {
        name_sorted(select, sorts);
        return;
    }
    if select.distinct.is_some() {
        return;
    }
    let names = renamed(select);
    for sort in sorts {
        let Some(at) = number(&sort.expr) else { continue };
        let items = select.projection.get(..at).unwrap_or_default();
        if let Some(SelectItem::UnnamedExpr(item)) = items.last()
            && items.iter().all(|i| matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }))
            && !stands_alone(item)
            // Names within a key are the output's first.
            && !mentions(item, &names)
        {
            sort.expr = item.clone();
        }
    }
}

/// Names the items that ORDER BY gives the numbers of.
fn name_sorted(select: &mut Select, sorts: &[OrderByExpr]) {
    for at in sorts.iter().filter_map(|sort| number(&sort.expr)?.checked_sub(1)) {
        if !select.projection.iter().take(at).all(|item| item_expr(item).is_some()) {
            continue;
        }
        if let Some(item) = select.projection.get_mut(at)
            && let SelectItem::UnnamedExpr(expr) = item
            && !stands_alone(expr)
            && !matches!(bare(expr), Expr::CompoundIdentifier(_))
        {
            *item = apart(expr.clone(), at, &expr.to_string());
        }
    }
}

fn is_grouped(select: &Select) -> bool {
    let by = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) => !keys.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let aggregates = |item: &SelectItem| {
        visit_expressions(item, |e| if is_aggregate(e) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            .is_break()
    };
    by || select.having.is_some() || select.projection.iter().any(aggregates)
}
