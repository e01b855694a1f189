//! Goes through a statement's syntax tree, and does or refuses what planning would drop.
//!
//! Not here: what each construct becomes (`branches`, `flatten`, `grouping`, `hidden_keys`, `inner_ctes`, `named_windows`,
//! `null_arguments`, `ordinals`, `outputs`, `patterns`, `recursion`, `relations`, `row_values`, `signs`, `sort_keys`,
//! `syntax`, `using`, `value_lists`, `zones`).

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use sqlparser::ast::{Expr, Query, Select, Spanned, TableFactor, Visit, VisitMut, VisitorMut};
use sqlparser::tokenizer::Span;

use crate::refusal::Refusal;
use crate::{
    branches, flatten, grouping, hidden_keys, inner_ctes, named_windows, null_arguments, ordinals, outputs, patterns,
    recursion, relations, row_values, signs, sort_keys, syntax, using, value_lists, zones,
};

/// Rewrites every query of a statement or an expression.
pub(crate) fn lower<T: Visit + VisitMut>(tree: &mut T) -> Result<()> {
    inner_ctes::rename(tree);
    signs::lower(tree);
    match tree.visit(&mut Lowering::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Lowering {
    /// Calls of UNNEST in FROM so far that have no alias.
    unnests: usize,
}

fn flow(result: Result<()>) -> ControlFlow<DataFusionError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Lowering {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        let first = value_lists::in_query(query)
            .and_then(|()| syntax::in_query(query))
            .and_then(|()| named_windows::in_query(query));
        if let Err(error) = first.and_then(|()| hidden_keys::in_query(query)) {
            return ControlFlow::Break(error);
        }
        branches::in_query(query);
        outputs::in_query(query);
        ordinals::in_query(query);
        sort_keys::in_query(query);
        recursion::in_query(query);
        flow(using::in_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        let first = syntax::in_select(select).and_then(|()| relations::in_select(select));
        let first = first.and_then(|()| named_windows::in_select(select));
        if let Err(error) = first.and_then(|()| row_values::in_select(select)) {
            return ControlFlow::Break(error);
        }
        outputs::in_select(select);
        grouping::in_select(select);
        flow(using::in_select(select, None))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        zones::in_expr(expr);
        null_arguments::in_expr(expr);
        flow(
            syntax::in_expr(expr)
                .and_then(|()| patterns::in_expr(expr))
                .and_then(|()| row_values::in_expr(expr))
                .and_then(|()| value_lists::in_expr(expr)),
        )
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        if let Err(error) = syntax::in_factor(factor) {
            return ControlFlow::Break(error);
        }
        flatten::in_factor(factor, &mut self.unnests);
        let span: Span = match factor {
            TableFactor::Table { name, sample: Some(_), .. } => name.span(),
            TableFactor::Derived { subquery, sample: Some(_), .. } => subquery.span(),
            _ => return ControlFlow::Continue(()),
        };
        let text = "TABLESAMPLE is not supported".to_owned();
        ControlFlow::Break(Refusal { code: "U0503", text, help: "filter by a hash of the key", span }.into())
    }
}
