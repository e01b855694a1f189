//! ORDER BY a number, in a grouped query, where the item of that place has no name.
//!
//!   SELECT k, sum(b) * 2 FROM t GROUP BY k ORDER BY 2   ──▶ ORDER BY sum(b) * 2
//!
//! The planner takes the number for a column of the output and then looks for it among the groups.
//!
//! Not here: numbers in GROUP BY, and where the item has a name (`outputs`).

use std::ops::ControlFlow;

use sqlparser::ast::{GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, visit_expressions};

use crate::outputs::{is_aggregate, mentions, number, renamed, stands_alone};

/// Rewrites the ORDER BY of a query that is one select.
pub(crate) fn in_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return };
    // Distinct rows are ordered by what is selected, by its name.
    if select.distinct.is_some() || !is_grouped(select) {
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
