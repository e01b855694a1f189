//! Names of result columns that have none, as the statement writes them.
//!
//!   SELECT v + 1, count(*), t.k, 1, 1 FROM t     v + 1 | count(*) | k | 1 | 1
//!
//! The engine would call the first `t.v + Int64(1)` and refuse the last, because two columns of a plan have two names.
//!
//! An item beside a `*` that has one of its columns gets a name of its own for the plan, when the engine refuses both.
//!
//! Invariants
//! * A column's own name and an alias stay, and so do the names that subqueries give.
//! * Only what a client sees is renamed; the plan's names are the engine's.
//!
//! Not here: models, which name their columns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Statement as Tree};

/// What the columns of a result are called; empty where the plan's names hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Headers {
    /// Of the items before the first `*`, in order. `None`: the plan's name.
    first: Vec<Option<String>>,
    /// Of the items behind the last `*`, if there is one.
    last: Vec<Option<String>>,
    has_star: bool,
}

/// Reads the headers of a statement, and gives items that it repeats a name of their own.
pub(crate) fn take(tree: &mut Tree) -> Headers {
    let Tree::Query(query) = tree else { return Headers::default() };
    let mut headers = None;
    in_query(query, &mut headers);
    headers.unwrap_or_default()
}

fn in_query(query: &mut Query, headers: &mut Option<Headers>) {
    in_body(&mut query.body, headers);
}

/// The first branch of a UNION and its like names the columns; all of them may repeat items.
fn in_body(body: &mut SetExpr, headers: &mut Option<Headers>) {
    match body {
        SetExpr::Select(select) => {
            let found = in_items(&mut select.projection);
            headers.get_or_insert(found);
        }
        SetExpr::Query(query) => in_query(query, headers),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left, headers);
            in_body(right, headers);
        }
        _ => {
            headers.get_or_insert_with(Headers::default);
        }
    }
}

fn in_items(items: &mut [SelectItem]) -> Headers {
    let mut headers = Headers::default();
    let mut seen = HashSet::new();
    for (at, item) in items.iter_mut().enumerate() {
        let mut name = None;
        match item {
            SelectItem::UnnamedExpr(expr) => {
                name = written(expr);
                if !seen.insert(bare(expr).to_string()) {
                    name = name.or_else(|| own_name(expr));
                    let alias = Ident::with_quote('"', format!("__ingot_column_{at}"));
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            SelectItem::ExprWithAlias { .. } => {}
            _ => {
                headers.has_star = true;
                headers.last.clear();
                continue;
            }
        }
        if headers.has_star { headers.last.push(name) } else { headers.first.push(name) }
    }
    headers
}

/// The item without the parentheses around it.
fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The name of an item that is no column.
fn written(expr: &Expr) -> Option<String> {
    match bare(expr) {
        Expr::Identifier(_) => None,
        // A column, or a field of one.
        Expr::CompoundIdentifier(_) => own_name(expr),
        other => Some(other.to_string()),
    }
}

/// The name of a column.
fn own_name(expr: &Expr) -> Option<String> {
    let last = match bare(expr) {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        _ => return None,
    };
    Some(folded(last))
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

impl Headers {
    /// The statement with other names for the items beside its `*`, and its headers. None where there is nothing to
    /// rename, or where ORDER BY names such an item.
    pub(crate) fn apart(&self, tree: &Tree) -> Option<(Tree, Self)> {
        let mut tree = tree.clone();
        let Tree::Query(query) = &mut tree else { return None };
        let SetExpr::Select(select) = query.body.as_mut() else { return None };
        let sorted = match query.order_by.as_ref().map(|o| &o.kind) {
            Some(OrderByKind::Expressions(keys)) => keys.iter().filter_map(|key| own_name(&key.expr)).collect(),
            _ => HashSet::new(),
        };
        let mut headers = self.clone();
        let (first, items) = (headers.first.len(), select.projection.len());
        let behind = items.checked_sub(headers.last.len()).filter(|at| headers.has_star && *at >= first)?;
        let mut any = false;
        for (at, item) in select.projection.iter_mut().enumerate() {
            let header = match at {
                _ if at < first => headers.first.get_mut(at)?,
                _ if at >= behind => headers.last.get_mut(at - behind)?,
                _ => continue,
            };
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => match own_name(expr) {
                    Some(name) => (expr.clone(), name),
                    None => continue,
                },
                SelectItem::ExprWithAlias { expr, alias } => {
                    let name = folded(alias);
                    // Two outputs of one name, of which the order would be by either.
                    if sorted.contains(&name) && own_name(expr).as_ref() != Some(&name) {
                        return None;
                    }
                    (expr.clone(), name)
                }
                _ => continue,
            };
            header.get_or_insert(name);
            let alias = Ident::with_quote('"', format!("__ingot_column_{at}"));
            *item = SelectItem::ExprWithAlias { expr, alias };
            any = true;
        }
        any.then_some((tree, headers))
    }

    /// The schema of a plan's result under these names.
    pub(crate) fn over(&self, schema: SchemaRef, plan: &LogicalPlan) -> SchemaRef {
        let count = schema.fields().len();
        let shown = self.first.len() + self.last.len();
        if shown > count || !self.has_star && shown != count {
            return schema;
        }
        // What a `*` takes from a subquery that does not name it has the engine's name.
        let calls = |field: &Arc<Field>| field.name().contains(['(', '+', '-', '*', '/', ' ']);
        let engines = match self.has_star && schema.fields().iter().any(calls) {
            true => ingot_semantics::names_shown(plan).unwrap_or_default(),
            false => HashMap::new(),
        };
        let name = |at: usize| {
            let own = match self.first.get(at) {
                Some(name) => name.as_deref(),
                None => at.checked_sub(count - self.last.len()).and_then(|at| self.last.get(at)?.as_deref()),
            };
            own.or_else(|| engines.get(schema.field(at).name()).map(String::as_str))
        };
        let fields = schema.fields().iter().enumerate().map(|(at, field)| match name(at) {
            Some(name) if name != field.name() => Arc::new(Field::clone(field).with_name(name)),
            _ => Arc::clone(field),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}
