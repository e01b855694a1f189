//! The key of a FULL or RIGHT join with USING is one column: that of the side that has the row.
//!
//!   a FULL JOIN b USING (k)   ──▶ a FULL JOIN b ON a.k = b.k, and a bare k is coalesce(a.k, b.k)
//!   a RIGHT JOIN b USING (k)  ──▶ a RIGHT JOIN b ON a.k = b.k, and a bare k is b.k
//!   SELECT *                  ──▶ a.* with that key in the place of a.k, b.* without k
//!
//! DataFusion takes the left side's key, which is NULL for rows of the right side alone, and finds the key of a chain of
//! joins ambiguous.
//!
//! Invariants
//! * Selects without USING stay as they are.
//! * a.k and b.k stay the columns of their sides.
//! * What cannot be said without knowing the tables' columns is refused: NATURAL, a key of one of several tables.
//!
//! Not here: the columns of tables, which a syntax tree does not have.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use sqlparser::ast::{
    BinaryOperator, Distinct, ExcludeSelectItem, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator,
    ObjectName, ObjectNamePart, OptimizerHint, OptimizerHintStyle, OrderBy, OrderByKind, Query, ReplaceSelectElement,
    ReplaceSelectItem, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableFactor,
    TableWithJoins, Visit, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;

use crate::outputs::{mark_values, stands_alone};
use crate::refusal::Refusal;
use crate::subqueries::{Node, walk};

/// Rewrites a query's own select with its ORDER BY; those within it are visited by themselves.
pub(crate) fn in_query(query: &mut Query) -> Result<()> {
    match query.body.as_mut() {
        SetExpr::Select(select) => in_select(select, query.order_by.as_mut()),
        _ => Ok(()),
    }
}

/// Rewrites the joins of a select, and all that names their keys.
pub(crate) fn in_select(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    if select.from.iter().any(merges_right) {
        return rewrite(select, order_by);
    }
    if select.from.iter().any(|item| item.joins.iter().any(uses)) {
        // DataFusion finds some keys of other joins ambiguous. What cannot be said better stays as it is.
        let (mut copy, mut sorted) = (select.clone(), order_by.as_deref().cloned());
        if rewrite(&mut copy, sorted.as_mut()).is_ok() {
            *select = copy;
            if let (Some(order_by), Some(sorted)) = (order_by, sorted) {
                *order_by = sorted;
            }
        }
    }
    Ok(())
}

fn uses(join: &Join) -> bool {
    let mut operator = join.join_operator.clone();
    matches!(constraint(&mut operator), (JoinKind::Left, Some(JoinConstraint::Using(_))))
}

const KEY: &str = "ingotkey";

/// Keeps the values of keys that subqueries may mean, which the tables within them come before.
fn hint_at(select: &mut Select, order_by: Option<&OrderBy>, keys: &[Key]) {
    let mut inner = BTreeSet::new();
    add_inner_names(&*select, &mut inner);
    if let Some(order) = order_by {
        add_inner_names(order, &mut inner);
    }
    for key in keys.iter().filter(|key| inner.contains(&key.name)) {
        let (prefix, text) = (KEY.to_owned(), format!("{}={}", key.name, key.value));
        select.optimizer_hints.push(OptimizerHint { prefix, text, style: OptimizerHintStyle::MultiLine });
    }
}

/// The value of a key that the joins of a select merged.
pub(crate) fn merged_key(select: &Select, name: &str) -> Option<Expr> {
    let mut keys = select.optimizer_hints.iter().filter(|hint| hint.prefix == KEY);
    let value = keys.find_map(|hint| hint.text.strip_prefix(name)?.strip_prefix('='))?;
    crate::written::expr(value).ok()
}

/// Adds the bare names within the subqueries of a tree.
fn add_inner_names(tree: &impl Visit, names: &mut BTreeSet<String>) {
    walk(tree, |node, queries| {
        if let Node::Expr(Expr::Identifier(name)) = node
            && queries > 0
        {
            names.insert(fold(name));
        }
        ControlFlow::Continue(())
    });
}

fn rewrite(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let mut items = Vec::new();
    for item in &mut select.from {
        let mut joined = Joined::default();
        joined.add(item)?;
        items.push(joined);
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for key in items.iter().flat_map(|i| &i.keys) {
        match keys.iter().any(|k| k.name == key.name) {
            true => twice.push(key.name.clone()),
            false => keys.push(key.clone()),
        }
    }
    // Two items with the same key: a bare one is ambiguous, as it is without this.
    keys.retain(|k| !twice.contains(&k.name));
    hint_at(select, order_by.as_deref(), &keys);
    let mut projection = Vec::new();
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => {
                for joined in &items {
                    joined.expand(&options, &mut projection)?;
                }
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match &expr {
                    Expr::Identifier(ident) if keys.iter().any(|k| k.name == fold(ident)) => Some(ident.clone()),
                    _ => None,
                };
                let expr = replaced(expr, &keys);
                projection.push(match name {
                    Some(alias) => SelectItem::ExprWithAlias { expr, alias },
                    None => SelectItem::UnnamedExpr(expr),
                });
            }
            mut other => {
                replace(&mut other, &keys);
                projection.push(other);
            }
        }
    }
    select.projection = projection;
    if let Some(Distinct::On(on)) = &mut select.distinct {
        replace(on, &keys);
    }
    replace(&mut select.prewhere, &keys);
    replace(&mut select.selection, &keys);
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        replace(exprs, &keys);
    }
    replace(&mut select.sort_by, &keys);
    replace(&mut select.having, &keys);
    replace(&mut select.named_window, &keys);
    replace(&mut select.qualify, &keys);
    if let Some(OrderBy { kind: OrderByKind::Expressions(exprs), .. }) = order_by {
        // A column of the result comes first, and there the key has its name.
        let output: Vec<String> = select.projection.iter().flat_map(outputs).collect();
        let all = select.projection.iter().any(|i| matches!(i, SelectItem::QualifiedWildcard(..)));
        let is_other = |k: &Key| select.projection.iter().any(|item| gives_to_other(item, k));
        for sort in exprs {
            // Names within an expression are the input's.
            let within = !stands_alone(&sort.expr);
            let meant = |k: &&Key| !all && !output.contains(&k.name) || within && is_other(k);
            let meant: Vec<Key> = keys.iter().filter(meant).cloned().collect();
            replace(sort, &meant);
            mark_values(&mut sort.expr);
        }
    }
    Ok(())
}

/// Whether an item gives a key's name to something else.
fn gives_to_other(item: &SelectItem, key: &Key) -> bool {
    matches!(item, SelectItem::ExprWithAlias { expr, alias } if fold(alias) == key.name && *expr != key.value)
}

fn outputs(item: &SelectItem) -> Vec<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => vec![fold(alias)],
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => vec![fold(ident)],
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(fold).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

#[derive(Clone, Copy, PartialEq)]
enum JoinKind {
    /// The left side's key is the key.
    Left,
    Right,
    Full,
    /// The right side is not seen above the join.
    HidesRight,
    HidesLeft,
    Other,
}

fn constraint(operator: &mut JoinOperator) -> (JoinKind, Option<&mut JoinConstraint>) {
    use JoinOperator as J;
    match operator {
        J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) | J::CrossJoin(c) | J::StraightJoin(c) => {
            (JoinKind::Left, Some(c))
        }
        J::Right(c) | J::RightOuter(c) => (JoinKind::Right, Some(c)),
        J::FullOuter(c) => (JoinKind::Full, Some(c)),
        J::Semi(c) | J::LeftSemi(c) | J::Anti(c) | J::LeftAnti(c) => (JoinKind::HidesRight, Some(c)),
        J::RightSemi(c) | J::RightAnti(c) => (JoinKind::HidesLeft, Some(c)),
        _ => (JoinKind::Other, None),
    }
}

/// Whether a right side's key is merged somewhere in the joins.
fn merges_right(item: &TableWithJoins) -> bool {
    let of_factor = |factor: &TableFactor| matches!(factor, TableFactor::NestedJoin { table_with_joins, alias: None } if merges_right(table_with_joins));
    let of_join = |join: &Join| {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (JoinKind::Right, Some(c)),
            JoinOperator::FullOuter(c) => (JoinKind::Full, Some(c)),
            _ => (JoinKind::Other, None),
        };
        kind != JoinKind::Other && matches!(constraint, Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
            || of_factor(&join.relation)
    };
    of_factor(&item.relation) || item.joins.iter().any(of_join)
}

/// A key that joins merged.
#[derive(Clone)]
struct Key {
    name: String,
    ident: Ident,
    value: Expr,
    /// The tables that have a column of this name under the key.
    tables: Vec<usize>,
}

/// The tables of an item of FROM as far as its joins are read.
#[derive(Default)]
struct Joined {
    /// Their names in the query; None where there is none.
    tables: Vec<Option<ObjectName>>,
    hidden: Vec<usize>,
    keys: Vec<Key>,
}

impl Joined {
    fn add(&mut self, item: &mut TableWithJoins) -> Result<()> {
        self.add_factor(&mut item.relation)?;
        for join in &mut item.joins {
            let span = join.relation.span();
            let mut right = Joined::default();
            right.add_factor(&mut join.relation)?;
            let (kind, constraint) = constraint(&mut join.join_operator);
            match constraint {
                Some(JoinConstraint::Natural) => {
                    return Err(refused("NATURAL beside a FULL or RIGHT join", NAME_KEYS, span));
                }
                Some(JoinConstraint::On(on)) => replace(on, &self.keys),
                Some(using @ JoinConstraint::Using(_)) => {
                    let JoinConstraint::Using(names) = std::mem::replace(using, JoinConstraint::None) else { continue };
                    *using = JoinConstraint::On(self.merge(&mut right, kind, names, span)?);
                }
                Some(JoinConstraint::None) | None => {}
            }
            let offset = self.tables.len();
            if kind == JoinKind::HidesLeft {
                self.hidden = (0..offset).collect();
                self.keys.clear();
            }
            if kind == JoinKind::HidesRight {
                self.hidden.extend(offset..offset + right.tables.len());
                right.keys.clear();
            }
            self.hidden.extend(right.hidden.iter().map(|t| t + offset));
            self.tables.extend(right.tables);
            for mut key in right.keys {
                key.tables.iter_mut().for_each(|t| *t += offset);
                self.keys.push(key);
            }
        }
        Ok(())
    }

    fn add_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let name = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.add(table_with_joins),
            TableFactor::Table { name, alias: None, .. } => Some(name.clone()),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. }
            | TableFactor::Pivot { alias: Some(alias), .. }
            | TableFactor::Unpivot { alias: Some(alias), .. } => Some(ObjectName::from(vec![alias.name.clone()])),
            _ => None,
        };
        self.tables.push(name);
        Ok(())
    }

    /// The value of a key on this side, and the tables that have it.
    fn side(&self, ident: &Ident, span: Span) -> Result<(Expr, Vec<usize>)> {
        if let Some(key) = self.keys.iter().find(|k| k.name == fold(ident)) {
            return Ok((key.value.clone(), key.tables.clone()));
        }
        let visible: Vec<usize> = (0..self.tables.len()).filter(|t| !self.hidden.contains(t)).collect();
        let [table] = visible[..] else {
            return Err(refused(
                "USING beside a FULL or RIGHT join, with a key of one of several tables",
                WRITE_ON,
                span,
            ));
        };
        let Some(Some(name)) = self.tables.get(table) else {
            return Err(refused("USING beside a FULL or RIGHT join, over a table without a name", GIVE_ALIAS, span));
        };
        let parts = name.0.iter().filter_map(ObjectNamePart::as_ident).cloned();
        Ok((Expr::CompoundIdentifier(parts.chain([ident.clone()]).collect()), vec![table]))
    }

    /// The condition that stands for USING; the keys become the join's.
    fn merge(&mut self, right: &mut Joined, kind: JoinKind, names: Vec<ObjectName>, span: Span) -> Result<Expr> {
        let mut on: Option<Expr> = None;
        for name in names {
            let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
                return Err(refused("a qualified name in USING", NAME_KEYS, name.span()));
            };
            let (l, tables) = self.side(ident, span)?;
            let (r, right_tables) = right.side(ident, span)?;
            let equal =
                Expr::BinaryOp { left: Box::new(l.clone()), op: BinaryOperator::Eq, right: Box::new(r.clone()) };
            on = Some(match on {
                None => equal,
                Some(on) => Expr::BinaryOp { left: Box::new(on), op: BinaryOperator::And, right: Box::new(equal) },
            });
            let value = match kind {
                JoinKind::Right => r,
                JoinKind::Full => coalesced(&l, &r)?,
                JoinKind::Left | JoinKind::Other => l,
                JoinKind::HidesLeft | JoinKind::HidesRight => continue,
            };
            let offset = self.tables.len();
            let tables = tables.into_iter().chain(right_tables.into_iter().map(|t| t + offset)).collect();
            let name = fold(ident);
            self.keys.retain(|k| k.name != name);
            right.keys.retain(|k| k.name != name);
            self.keys.push(Key { name, ident: ident.clone(), value, tables });
        }
        on.ok_or_else(|| refused("USING without a key", NAME_KEYS, span))
    }

    /// The tables' columns one after the other, each key in the place of its first table's column.
    fn expand(&self, options: &WildcardAdditionalOptions, projection: &mut Vec<SelectItem>) -> Result<()> {
        let span = options.wildcard_token.0.span;
        let left_out: Vec<String> = match (&options.opt_exclude, &options.opt_except) {
            (Some(ExcludeSelectItem::Single(name)), _) => vec![last(name)],
            (Some(ExcludeSelectItem::Multiple(names)), _) => names.iter().map(last).collect(),
            (None, Some(except)) => {
                std::iter::once(&except.first_element).chain(&except.additional_elements).map(fold).collect()
            }
            (None, None) => Vec::new(),
        };
        let plain = options.opt_ilike.is_none() && options.opt_replace.is_none() && options.opt_rename.is_none();
        if !plain || left_out.iter().any(|n| !self.keys.iter().any(|k| k.name == *n)) {
            return Err(refused("a changed * over a FULL or RIGHT join with USING", NAME_COLUMNS, span));
        }
        for (index, table) in self.tables.iter().enumerate().filter(|(i, _)| !self.hidden.contains(i)) {
            let Some(table) = table else {
                return Err(refused(
                    "* over a FULL or RIGHT join with USING, of a table without a name",
                    GIVE_ALIAS,
                    span,
                ));
            };
            let mut options = WildcardAdditionalOptions::default();
            let (mut excluded, mut placed) = (Vec::new(), Vec::new());
            for key in self.keys.iter().filter(|k| k.tables.contains(&index)) {
                if key.tables.first() == Some(&index) && !left_out.contains(&key.name) {
                    placed.push(Box::new(ReplaceSelectElement {
                        expr: key.value.clone(),
                        column_name: key.ident.clone(),
                        as_keyword: true,
                    }));
                } else {
                    excluded.push(ObjectName::from(vec![key.ident.clone()]));
                }
            }
            if !excluded.is_empty() {
                options.opt_exclude = Some(ExcludeSelectItem::Multiple(excluded));
            }
            if !placed.is_empty() {
                options.opt_replace = Some(ReplaceSelectItem { items: placed });
            }
            let kind = SelectItemQualifiedWildcardKind::ObjectName(table.clone());
            projection.push(SelectItem::QualifiedWildcard(kind, options));
        }
        Ok(())
    }
}

fn last(name: &ObjectName) -> String {
    name.0.last().and_then(ObjectNamePart::as_ident).map(fold).unwrap_or_default()
}

fn coalesced(left: &Expr, right: &Expr) -> Result<Expr> {
    crate::written::expr(&format!("coalesce({left}, {right})"))
}

const NAME_KEYS: &str = "name the keys: USING (k)";
const WRITE_ON: &str = "write ON a.k = b.k, and coalesce(a.k, b.k) AS k where the key is wanted";
const GIVE_ALIAS: &str = "give the table an alias";
const NAME_COLUMNS: &str = "name the columns";

fn refused(what: &str, help: &'static str, span: Span) -> DataFusionError {
    Refusal { code: "U0509", text: format!("{what} is not supported"), help, span }.into()
}

/// Puts the keys' values in the place of their bare names, subqueries left out: their own tables come first there.
struct Names<'a> {
    keys: &'a [Key],
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(ident) = expr
            && let Some(key) = self.keys.iter().find(|k| k.name == fold(ident))
        {
            *expr = key.value.clone();
        }
        ControlFlow::Continue(())
    }
}

fn replace<T: VisitMut>(node: &mut T, keys: &[Key]) {
    if !keys.is_empty() {
        let _ = node.visit(&mut Names { keys, depth: 0 });
    }
}

fn replaced(mut expr: Expr, keys: &[Key]) -> Expr {
    replace(&mut expr, keys);
    expr
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::ast::Statement;

    fn lowered(sql: &str) -> std::result::Result<String, String> {
        let mut statement = Statement::Query(Box::new(crate::written::query(sql).unwrap()));
        match crate::lower(&mut statement) {
            Ok(()) => Ok(statement.to_string()),
            Err(DataFusionError::External(e)) => Err(e.downcast::<Refusal>().unwrap().code.to_owned()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_key_of_the_side_that_has_the_row() {
        let pairs = [
            (
                "SELECT k, x FROM s.a FULL JOIN b USING (k) WHERE k > 1 ORDER BY k, x",
                "SELECT coalesce(s.a.k, b.k) AS k, x FROM s.a FULL JOIN b ON s.a.k = b.k WHERE coalesce(s.a.k, b.k) > 1 ORDER BY k, x",
            ),
            (
                "SELECT max(x) FROM a RIGHT JOIN b USING (k, \"J\") GROUP BY k, a.k ORDER BY k",
                "SELECT max(x) FROM a RIGHT JOIN b ON a.k = b.k AND a.\"J\" = b.\"J\" GROUP BY b.k, a.k ORDER BY b.k",
            ),
            (
                "SELECT * FROM a FULL JOIN b USING (k) FULL JOIN c USING (k)",
                "SELECT a.* REPLACE (coalesce(coalesce(a.k, b.k), c.k) AS k), b.* EXCLUDE (k), c.* EXCLUDE (k) FROM a FULL JOIN b ON a.k = b.k FULL JOIN c ON coalesce(a.k, b.k) = c.k",
            ),
            (
                "SELECT k FROM a JOIN b USING (k) LEFT JOIN c USING (k)",
                "SELECT a.k AS k FROM a JOIN b ON a.k = b.k LEFT JOIN c ON a.k = c.k",
            ),
            (
                "SELECT K FROM a FULL JOIN b USING (k) WHERE EXISTS (SELECT 1 FROM c WHERE k = 1)",
                "SELECT /*ingotkey+k=coalesce(a.k, b.k)*/ coalesce(a.k, b.k) AS K FROM a FULL JOIN b ON a.k = b.k WHERE EXISTS (SELECT 1 FROM c WHERE k = 1)",
            ),
        ];
        for (given, wanted) in pairs {
            let wanted = crate::written::query(wanted).unwrap();
            assert_eq!(lowered(given), Ok(wanted.to_string()));
        }
    }

    #[test]
    fn other_joins_stay() {
        for sql in
            ["SELECT * FROM a NATURAL JOIN b", "SELECT k FROM a JOIN b ON a.x = b.x JOIN c USING(k) JOIN d USING(k)"]
        {
            assert_eq!(lowered(sql).unwrap(), sql);
        }
    }

    #[test]
    fn what_needs_the_tables_columns_is_refused() {
        for sql in [
            "SELECT k FROM a NATURAL FULL JOIN b",
            "SELECT k FROM a NATURAL RIGHT JOIN b",
            "SELECT k FROM a JOIN b ON a.x = b.x FULL JOIN c USING (k)",
            "SELECT * EXCLUDE (x) FROM a FULL JOIN b USING (k)",
            "SELECT k FROM (VALUES (1)) FULL JOIN b USING (k)",
            "WITH w AS (SELECT k FROM a NATURAL FULL JOIN b) SELECT k FROM w",
            "SELECT 1 UNION ALL SELECT k FROM a NATURAL FULL JOIN b",
        ] {
            assert_eq!(lowered(sql), Err("U0509".to_owned()), "{sql}");
        }
    }
}
