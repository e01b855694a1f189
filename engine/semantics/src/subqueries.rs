//! Queries within a syntax tree: whether there is one, and how many stand around a place.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, TableFactor, Visit, Visitor};

/// Whether a query stands in a tree.
pub fn has_subquery(tree: &impl Visit) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    tree.visit(&mut Find).is_break()
}

/// A place of a tree that a walk comes to.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    /// Before what the expression holds.
    Expr(&'a Expr),
    /// After what it holds.
    AfterExpr(&'a Expr),
    /// A relation of a FROM.
    Relation(&'a TableFactor),
}

/// Walks over a tree. `visit` gets each node with the number of the tree's queries around it: 0 is outside of subqueries.
/// The walk ends where it breaks.
pub(crate) fn walk(tree: &impl Visit, visit: impl FnMut(Node<'_>, usize) -> ControlFlow<()>) {
    let _ = tree.visit(&mut Walk { visit, queries: 0 });
}

struct Walk<F> {
    visit: F,
    queries: usize,
}

impl<F: FnMut(Node<'_>, usize) -> ControlFlow<()>> Visitor for Walk<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        (self.visit)(Node::Expr(expr), self.queries)
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        (self.visit)(Node::AfterExpr(expr), self.queries)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        (self.visit)(Node::Relation(factor), self.queries)
    }
}
