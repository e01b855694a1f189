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
        if is_by_name(*set_quantifier) {
            return;
        }
        first = left;
    }
    while let SetExpr::Query(query) = first {
        first = query.body.as_ref();
        while let SetExpr::SetOperation { left, .. } = first {
            first = left;
        }
    }
    // Those of a `*` are not known: any name may be among them.
    let names = match first {
        SetExpr::Select(first) => first.projection.iter().map(name).collect::<Option<Vec<Option<String>>>>(),
        _ => None,
    };
    let mut body = query.body.as_mut();
    while let SetExpr::SetOperation { left, right, .. } = body {
        in_branch(right, names.as_deref());
        body = left;
    }
}

fn is_by_name(quantifier: SetQuantifier) -> bool {
    matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName)
}

fn in_branch(body: &mut SetExpr, names: Option<&[Option<String>]>) {
    match body {
        SetExpr::Select(select) => in_select(select, names),
        SetExpr::Query(query) => in_branch(&mut query.body, names),
        SetExpr::SetOperation { left, right, set_quantifier, .. } if !is_by_name(*set_quantifier) => {
            in_branch(left, names);
            in_branch(right, names);
        }
        _ => {}
    }
}

fn in_select(select: &mut Select, names: Option<&[Option<String>]>) {
    let own: Vec<_> = select.projection.iter().map(name).collect();
    let stars = own.iter().any(Option::is_none);
    if own.len() < 2 {
        return;
    }
    for (at, item) in select.projection.iter_mut().enumerate() {
        let is_taken = match names {
            Some(names) if !stars => names
                .get(at)
                .and_then(Option::as_ref)
                .is_some_and(|given| own.iter().flatten().flatten().any(|other| other == given)),
            _ => true,
        };
        if let SelectItem::UnnamedExpr(expr) = item
            && own.get(at) == Some(&Some(None))
            && is_taken
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
