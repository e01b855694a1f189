//! Columns around a subquery that the planner does not find: those of a table whose name a column of the subquery has,
//! and keys that a join merged.
//!
//!   FROM a AS k WHERE EXISTS (SELECT 1 FROM c WHERE c.k = k.k)       ──▶ .. WHERE c.k = __ingot_outer.k.k
//!   FROM a JOIN b USING (k) WHERE EXISTS (SELECT 1 FROM c WHERE i = k) ──▶ .. WHERE i = a.k
//!
//! DataFusion takes `k.k` for a field of `c.k`, looks no further, and finds that `c.k` is no STRUCT. A name of three parts
//! is no field of anything in the subquery, and it is the column of the table `k` around it.
//!
//! Invariants
//! * Only what cannot be planned otherwise is renamed: a field that `c.k` has is that field.
//!
//! Not here: names that are found nowhere.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DataFusionError, Location, Result, SchemaError, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use sqlparser::ast::{
    Expr as SqlExpr, Ident, Query, Select, SetExpr, Statement, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use crate::outputs::fold;
use crate::using::merged_key;

/// Takes what is no field of a column for a column of a table that is called like it.
#[derive(Debug)]
pub(crate) struct NoFields;

impl ExprPlanner for NoFields {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        _qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        use DataType::{Dictionary, Map, Null, RunEndEncoded, Struct, Union};
        let may_have =
            matches!(field.data_type(), Struct(_) | Map(..) | Null | Union(..) | Dictionary(..) | RunEndEncoded(..));
        Ok(match nested_names {
            [name] if !may_have => {
                let table = TableReference::bare(field.name().as_str());
                PlannerResult::Planned(Expr::Column(Column::new(Some(table), name)))
            }
            _ => PlannerResult::Original(Vec::new()),
        })
    }
}

/// Whether a name that was not found, as `error` says, is now one of a table around its subquery.
pub fn look_outside(statement: &mut Statement, error: &DataFusionError) -> bool {
    let DataFusionError::SchemaError(schema_error, _) = error.find_root() else { return false };
    let SchemaError::FieldNotFound { field, .. } = schema_error.as_ref() else { return false };
    let table = match &field.relation {
        Some(TableReference::Bare { table }) => table,
        None => {
            let told = error.diagnostic().and_then(|d| d.span);
            let Some(at) = told.or_else(|| field.spans.first()) else { return false };
            let mut keys = Keys { name: &field.name, at: at.start, scopes: Vec::new(), any: false };
            let _ = VisitMut::visit(statement, &mut keys);
            return keys.any;
        }
        Some(_) => return false,
    };
    let mut names = Outside { table, column: &field.name, scopes: Vec::new(), any: false };
    let _ = VisitMut::visit(statement, &mut names);
    names.any
}

struct Outside<'a> {
    table: &'a str,
    column: &'a str,
    /// What the table is called in the queries around, the innermost one last.
    scopes: Vec<Option<Vec<Ident>>>,
    any: bool,
}

impl Outside<'_> {
    /// The parts of the table's name in a select, if it has the table.
    fn in_select(&self, select: &Select) -> Option<Vec<Ident>> {
        select.from.iter().find_map(|item| self.in_item(item))
    }

    fn in_item(&self, item: &TableWithJoins) -> Option<Vec<Ident>> {
        let joined = item.joins.iter().map(|join| &join.relation);
        std::iter::once(&item.relation).chain(joined).find_map(|factor| self.in_factor(factor))
    }

    fn in_factor(&self, factor: &TableFactor) -> Option<Vec<Ident>> {
        let parts: Vec<Ident> = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.in_item(table_with_joins),
            TableFactor::Table { name, alias: None, .. } => {
                name.0.iter().filter_map(|part| part.as_ident()).cloned().collect()
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => vec![alias.name.clone()],
            _ => return None,
        };
        (fold(parts.last()?) == self.table).then_some(parts)
    }
}

impl VisitorMut for Outside<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // ORDER BY stands outside of the select.
        let name = match query.body.as_ref() {
            SetExpr::Select(select) => self.in_select(select),
            _ => None,
        };
        self.scopes.push(name);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let name = self.in_select(select);
        self.scopes.push(name);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if let SqlExpr::CompoundIdentifier(parts) = expr
            && let [table, column] = parts.as_slice()
            && fold(table) == self.table
            && fold(column) == self.column
            && let Some((None, around)) = self.scopes.split_last()
            && let Some(name) = around.iter().rev().find_map(Option::as_ref)
        {
            let named = name.iter().chain(std::iter::once(column)).cloned();
            // Four parts are a whole name already.
            let first = (name.len() < 3).then(|| Ident::new("__ingot_outer"));
            *expr = SqlExpr::CompoundIdentifier(first.into_iter().chain(named).collect());
            self.any = true;
        }
        ControlFlow::Continue(())
    }
}

struct Keys<'a> {
    name: &'a str,
    /// Where the name that is not found stands.
    at: Location,
    /// The values of the key in the queries around, the innermost one last.
    scopes: Vec<Option<SqlExpr>>,
    any: bool,
}

impl VisitorMut for Keys<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // ORDER BY stands outside of the select.
        let value = match query.body.as_ref() {
            SetExpr::Select(select) => merged_key(select, self.name),
            _ => None,
        };
        self.scopes.push(value);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if let SqlExpr::Identifier(name) = expr
            && fold(name) == self.name
            && (name.span.start.line, name.span.start.column) == (self.at.line, self.at.column)
            && let Some((_, around)) = self.scopes.split_last()
            && let Some(value) = around.iter().rev().find_map(Option::as_ref)
        {
            *expr = value.clone();
            self.any = true;
        }
        ControlFlow::Continue(())
    }
}
