//! The branches of a set operation behind the first one, whose columns get the first one's names.
//!
//!   SELECT k, id .. UNION SELECT id, -k ..  ──▶  .. UNION SELECT id, -k AS __ingot_branch_1 ..
//!
//! The planner gives the names to what has none of its own, `-k AS id` here, which then stands beside the column `id`.
//!
//! Not here: types of the branches (`set_operations`, `widen`).

use sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, SetQuantifier};

pub(crate) fn in_query(query: &mut Query) {
    let mut first = query.body.as_ref();
    while let SetExpr::SetOperation { left, set_quantifier, .. } = first {
        use SetQuantifier::{AllByName, ByName, DistinctByName};
        if matches!(set_quantifier, ByName | AllByName | DistinctByName) {
            return;
        }
        first = left;
    }
    let SetExpr::Select(first) = first else { return };
    let names: Option<Vec<Option<String>>> = first.projection.iter().map(name).collect();
    let Some(names) = names else { return };
    let mut body = query.body.as_mut();
    while let SetExpr::SetOperation { left, right, .. } = body {
        in_branch(right, &names);
        body = left;
    }
}

fn in_branch(body: &mut SetExpr, names: &[Option<String>]) {
    match body {
        SetExpr::Select(select) => in_select(select, names),
        SetExpr::SetOperation { left, right, .. } => {
            in_branch(left, names);
            in_branch(right, names);
        }
        _ => {}
    }
}

fn in_select(select: &mut Select, names: &[Option<String>]) {
    let own: Option<Vec<Option<String>>> = select.projection.iter().map(name).collect();
    let Some(own) = own else { return };
    for (at, item) in select.projection.iter_mut().enumerate() {
        let Some(Some(given)) = names.get(at) else { continue };
        if let SelectItem::UnnamedExpr(expr) = item
            && own.get(at).is_some_and(Option::is_none)
            && own.iter().flatten().any(|other| other == given)
        {
            let alias = Ident::new(format!("__ingot_branch_{at}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// What an item is called, if it is a column or has a name. None for several columns.
#[allow(clippy::option_option)]
fn name(item: &SelectItem) -> Option<Option<String>> {
    let folded = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(Some(folded(ident))),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => Some(parts.last().map(folded)),
        SelectItem::UnnamedExpr(_) => Some(None),
        SelectItem::ExprWithAlias { alias, .. } => Some(Some(folded(alias))),
        _ => None,
    }
}
