//! Calls of aggregates and windows in a syntax tree.
//!
//! Not here: what is computed by them (`windows`, `sum`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use sqlparser::ast::{Expr, Visit};

use crate::subqueries::{Node, walk};

/// Names of aggregates, in lower case.
static AGGREGATES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let all = datafusion::functions_aggregate::all_default_aggregate_functions();
    all.iter().flat_map(|f| f.aliases().iter().cloned().chain([f.name().to_owned()])).collect()
});

pub(crate) fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(call) if AGGREGATES.contains(&call.name.to_string().to_lowercase()))
}

pub(crate) fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(call) if call.over.is_some())
}

/// The first window in a tree, those of subqueries apart.
pub(crate) fn window(tree: &impl Visit) -> Option<Expr> {
    first(tree, is_window)
}

/// Whether a tree has an aggregate of its rows, which those of subqueries and windows are not.
pub(crate) fn has_aggregate(tree: &impl Visit) -> bool {
    first(tree, |expr| is_aggregate(expr) && !is_window(expr)).is_some()
}

fn first(tree: &impl Visit, is_it: fn(&Expr) -> bool) -> Option<Expr> {
    let mut first = None;
    walk(tree, |node, queries| match node {
        Node::Expr(expr) if queries == 0 && is_it(expr) => {
            first = Some(expr.clone());
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    first
}
