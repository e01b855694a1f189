//! Gives items of a select that share a name, to which nothing refers, names of their own.
//!
//!   (SELECT id, * FROM t)          ──▶ (SELECT id AS "__ingot_twin_0:id", * FROM t)
//!   (SELECT k, sum(v) AS k FROM t) ──▶ (SELECT k, sum(v) AS "__ingot_twin_1:k" FROM t)
//!   SELECT id, (SELECT c.id ..)    ──▶ SELECT id, (SELECT c.id ..) AS "__ingot_twin_1:(SELECT c.id ..)"
//!
//! DataFusion refuses a projection with two columns of one name, and gives every expression with a subquery the same
//! name.
//!
//! Invariants
//! * A name that is used elsewhere in the statement stays: its use is then an error, as it is ambiguous.
//! * For statements that cannot be planned otherwise.
//!
//! Not here: the headers of a result, which are as written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, SchemaError};
use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetQuantifier, Statement, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use crate::outputs::fold;
use crate::subqueries::has_subquery;

const MARK: &str = "__ingot_twin_";

/// What the statement calls a column that was given a name; None for another column.
pub fn own_name(column: &str) -> Option<&str> {
    column.strip_prefix(MARK)?.split_once(':').map(|(_, name)| name)
}

/// Whether a statement's items have names now that they had not.
pub fn name_twins(statement: &mut Statement) -> bool {
    let mut all = Uses::default();
    let _ = Visit::visit(statement, &mut all);
    // Beside what takes columns by their names, without an expression, only what has none gets one.
    let mut twins = Twins { all: all.names, by_name: all.by_name, and_used: false, any: false, used: None };
    let _ = VisitMut::visit(statement, &mut twins);
    twins.any
}

/// As `name_twins`, also for names that are used: if the statement can be planned now, this is why it could not.
pub fn name_used_twins(statement: &mut Statement) -> Option<DataFusionError> {
    let mut all = Uses::default();
    let _ = Visit::visit(statement, &mut all);
    let mut twins = Twins { all: all.names, by_name: false, and_used: true, any: false, used: None };
    let _ = VisitMut::visit(statement, &mut twins);
    let field = Box::new(Column::new_unqualified(twins.used?));
    Some(DataFusionError::SchemaError(Box::new(SchemaError::AmbiguousReference { field }), Box::new(None)))
}

/// How often names of columns are used.
#[derive(Default)]
struct Uses {
    names: BTreeMap<String, usize>,
    by_name: bool,
}

impl Uses {
    fn add(&mut self, name: &Ident) {
        *self.names.entry(fold(name)).or_default() += 1;
    }
}

impl Visitor for Uses {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.add(name),
            Expr::CompoundIdentifier(parts) => parts.iter().for_each(|part| self.add(part)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut body = query.body.as_ref();
        while let SetExpr::SetOperation { set_quantifier, left, .. } = body {
            use SetQuantifier::{AllByName, ByName, DistinctByName};
            self.by_name |= matches!(set_quantifier, ByName | AllByName | DistinctByName);
            body = left;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for join in select.from.iter().flat_map(joins) {
            match join {
                JoinConstraint::Natural => self.by_name = true,
                JoinConstraint::Using(keys) => {
                    keys.iter().filter_map(|key| key.0.last()?.as_ident()).for_each(|key| self.add(key));
                }
                _ => {}
            }
        }
        for item in &select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
                // EXCLUDE, REPLACE and RENAME.
                self.by_name |= *options
                    != WildcardAdditionalOptions {
                        wildcard_token: options.wildcard_token.clone(),
                        ..WildcardAdditionalOptions::default()
                    };
            }
        }
        ControlFlow::Continue(())
    }
}

fn joins(item: &TableWithJoins) -> impl Iterator<Item = &JoinConstraint> {
    use JoinOperator as J;
    item.joins.iter().filter_map(|join| match &join.join_operator {
        J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) | J::Right(c) | J::RightOuter(c) | J::FullOuter(c) => {
            Some(c)
        }
        J::CrossJoin(c) | J::Semi(c) | J::LeftSemi(c) | J::RightSemi(c) | J::Anti(c) | J::LeftAnti(c) => Some(c),
        J::RightAnti(c) => Some(c),
        _ => None,
    })
}

struct Twins {
    all: BTreeMap<String, usize>,
    by_name: bool,
    and_used: bool,
    any: bool,
    used: Option<String>,
}

impl VisitorMut for Twins {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        // Names below the select list cannot mean its items.
        let mut below = Uses::default();
        let _ = select.projection.visit(&mut below);
        let _ = select.from.visit(&mut below);
        let _ = select.selection.visit(&mut below);
        let unused = |name: &str| self.all.get(name) == below.names.get(name);
        let stars = Stars::of(select);
        let mut seen: BTreeMap<String, Expr> = BTreeMap::new();
        for (at, item) in select.projection.iter_mut().enumerate() {
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => (expr.clone(), column(expr).unwrap_or_else(|| expr.to_string())),
                SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), fold(alias)),
                _ => continue,
            };
            let is_column = matches!(item, SelectItem::UnnamedExpr(expr) if column(expr).is_some());
            let is_named = is_column || matches!(item, SelectItem::ExprWithAlias { .. });
            let before = seen.get(&name);
            let is_twin = before.is_some() || stars.any && is_named;
            // Whoever calls it gets the same by the other one.
            let is_same = before == Some(&expr) || is_column && stars.have(&expr);
            let is_free = is_same || unused(&name);
            let is_unnamed = !is_named && has_subquery(&expr);
            if is_unnamed || !self.by_name && is_twin && (is_free || self.and_used) {
                if !is_free && !is_unnamed {
                    self.used.get_or_insert_with(|| name.clone());
                }
                *item = apart(expr, at, &name);
                self.any = true;
            } else {
                seen.insert(name, expr);
            }
        }
        ControlFlow::Continue(())
    }
}

/// An item with a name of its own, which is shown without its mark.
pub(crate) fn apart(expr: Expr, at: usize, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("{MARK}{at}:{name}")) }
}

/// What a column that stands alone is called.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(fold(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        _ => None,
    }
}

/// The stars of a select list.
#[derive(Default)]
struct Stars {
    any: bool,
    /// One without a qualifier.
    bare: bool,
    /// The select reads one table.
    one_table: bool,
    qualifiers: BTreeSet<String>,
}

impl Stars {
    fn of(select: &Select) -> Self {
        let mut stars =
            Self { one_table: matches!(select.from.as_slice(), [item] if item.joins.is_empty()), ..Self::default() };
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => (stars.any, stars.bare) = (true, true),
                SelectItem::QualifiedWildcard(kind, _) => {
                    stars.any = true;
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        stars.qualifiers.extend(name.0.last().and_then(|part| part.as_ident()).map(fold));
                    }
                }
                _ => {}
            }
        }
        stars
    }

    /// Whether the only column of its name among them is this one.
    fn have(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(_) => self.bare,
            Expr::CompoundIdentifier(parts) => {
                let table = parts.iter().rev().nth(1).map(fold);
                let alone = self.qualifiers.len() == 1 && !self.bare;
                self.bare && self.one_table || alone && table.is_some_and(|table| self.qualifiers.contains(&table))
            }
            _ => false,
        }
    }
}
