//! Names of result columns that have none, as the statement writes them.
//!
//!   SELECT v + 1, count(*), t.k, 1, 1 FROM t     v + 1 | count(*) | k | 1 | 1
//!
//! The engine would call the first `t.v + Int64(1)` and refuse the last, because two columns of a plan have two names.
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
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, Statement as Tree};

/// What the columns of a result are called; empty where the plan's names hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Headers {
    /// Of the items before the first `*`, in order. `None`: the plan's name.
    first: Vec<Option<String>>,
    /// Of the items behind the last `*`, if there is one.
    last: Vec<Option<String>>,
    has_star: bool,
}

/// Reads the headers of a statement, and gives items that it repeats a name of their own.
pub(super) fn take(tree: &mut Tree) -> Headers {
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
    Some(if last.quote_style.is_some() { last.value.clone() } else { last.value.to_lowercase() })
}

impl Headers {
    /// The schema of a plan's result under these names.
    pub(super) fn over(&self, schema: SchemaRef, plan: &LogicalPlan) -> SchemaRef {
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
