//! What a query gives: names, duplicates, storable types; and what the list after a table's name says of it.
//!
//! Invariants
//! * Every output column has a name that the file gave it.
//! * The list annotates by name: it never renames, adds or casts.
//!
//! Not here: expectations (`expectation`), clauses (`table`).

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident as SqlIdent, Query as SqlQuery, Select,
    SelectItem, SetExpr, Spanned,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::{Columns, Ident, Query};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::identifier;

use super::references::fold;
use super::spans::with_parentheses;
use super::types::{Unstorable, store, stored_type, type_word};

/// The select list that names the output: of the first branch of a set operation.
fn select_of(query: &SqlQuery) -> Option<&Select> {
    fn of(body: &SetExpr) -> Option<&Select> {
        match body {
            SetExpr::Select(s) => Some(s),
            SetExpr::Query(q) => of(&q.body),
            SetExpr::SetOperation { left, .. } => of(left),
            _ => None,
        }
    }
    of(&query.body)
}

fn is_values(query: &SqlQuery) -> bool {
    fn of(body: &SetExpr) -> bool {
        match body {
            SetExpr::Values(_) => true,
            SetExpr::Query(q) => of(&q.body),
            SetExpr::SetOperation { left, .. } => of(left),
            _ => false,
        }
    }
    of(&query.body)
}

/// The place of the output column at an index, and the text of its expression.
pub(crate) fn place_of(query: &Query, index: usize, width: usize) -> Option<Span> {
    let items = &select_of(&query.tree)?.projection;
    let wildcard = |i: &SelectItem| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let at = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(e) => with_parentheses(&query.tokens, e.span()),
        item => item.span(),
    };
    let item = match items.iter().position(wildcard) {
        None => items.get(index),
        Some(at) if index < at => items.get(index),
        Some(_) => {
            let last = items.iter().rposition(wildcard)?;
            let behind = items.len() - 1 - last;
            if index + behind >= width { items.get(last + 1 + (index + behind - width)) } else { items.get(last) }
        }
    }?;
    Some(at(item))
}

/// A second name for a duplicate column.
pub(crate) fn other_name(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { format!("other_{name}") } else { "another_name".into() }
}

/// The expression of an output column without its alias.
pub(crate) fn expression_at(query: &Query, index: usize, width: usize) -> Option<String> {
    let start = place_of(query, index, width)?.start;
    let item = select_of(&query.tree)?.projection.iter().find(|i| i.span().start == start)?;
    match item {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => {
            let (text, printed) =
                (ingot_semantics::text_of(&query.tokens, with_parentheses(&query.tokens, e.span())), e.to_string());
            // The span of an array's literal leaves its brackets out.
            let brackets = |text: &str| text.chars().filter(|c| "[](){}".contains(*c)).count();
            Some(if brackets(&text) == brackets(&printed) { text } else { printed })
        }
        _ => None,
    }
}

/// The cast to write for the output column at an index, so that it is stored as another type.
pub(crate) fn as_column(query: &Query, index: usize, width: usize, name: &str, to: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let name = if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) };
    // Every branch of a set operation gives the column.
    let one = matches!(&*query.tree.body, SetExpr::Select(_));
    let text = expression_at(query, index, width).filter(|_| one).unwrap_or_else(|| name.clone());
    format!("CAST({text} AS {to}) AS {name}")
}

/// N0310 for every unnamed expression of the select list.
pub(crate) fn unnamed(file: &str, query: &Query) -> Vec<Diagnostic> {
    if is_values(&query.tree) {
        let d = Diagnostic::error("N0310", "the columns of VALUES have no names").at(file, query.span);
        return vec![d.help("name them: SELECT * FROM (VALUES ...) AS t(a, b)")];
    }
    let Some(select) = select_of(&query.tree) else { return Vec::new() };
    let mut out = Vec::new();
    let mut counted = true;
    for (i, item) in select.projection.iter().enumerate() {
        match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => counted = false,
            SelectItem::UnnamedExpr(e) if !is_column(e) => {
                let span = with_parentheses(&query.tokens, e.span());
                let text = ingot_semantics::text_of(&query.tokens, span);
                let text = if text.is_empty() { e.to_string() } else { text };
                let which =
                    if counted { format!("output column {}", i + 1) } else { format!("the output column {text}") };
                let name = name_for(e);
                out.push(
                    Diagnostic::error("N0310", format!("{which} has no name"))
                        .at(file, span)
                        .help(format!("{text} AS {name}"))
                        .suggest(span, format!("{text} AS {name}")),
                );
            }
            _ => {}
        }
    }
    out
}

fn is_column(e: &SqlExpr) -> bool {
    match e {
        SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_) => true,
        SqlExpr::Nested(inner) => is_column(inner),
        _ => false,
    }
}

/// A name to propose for an expression.
fn name_for(e: &SqlExpr) -> String {
    fn argument(args: &FunctionArguments) -> Option<String> {
        let FunctionArguments::List(list) = args else { return None };
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = list.args.first()? else { return None };
        match e {
            SqlExpr::Identifier(i) => Some(fold(i)),
            SqlExpr::CompoundIdentifier(all) => all.last().map(fold),
            _ => None,
        }
    }
    let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let proposed = match e {
        SqlExpr::Function(f) => {
            let function = f.name.0.last().and_then(|p| p.as_ident()).map(fold).unwrap_or_default();
            match argument(&f.args) {
                Some(column) => format!("{function}_{column}"),
                None if function == "count" => "total".into(),
                None => function,
            }
        }
        SqlExpr::Cast { expr, .. } => match expr.as_ref() {
            SqlExpr::Identifier(i) => fold(i),
            SqlExpr::CompoundIdentifier(all) => all.last().map(fold).unwrap_or_default(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    if plain(&proposed) { proposed } else { "a_name".into() }
}

/// N0311 for items of one name that the engine refuses to plan beside each other. None if it is not for them that
/// planning failed.
pub(crate) fn twice(
    file: &str,
    query: &Query,
    tree: &SqlQuery,
    plan: impl Fn(&SqlQuery) -> Option<LogicalPlan>,
) -> Option<Vec<Diagnostic>> {
    let mut tree = tree.clone();
    let SetExpr::Select(select) = tree.body.as_mut() else { return None };
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for (i, item) in select.projection.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) if is_column(expr) => (expr.clone(), name_for_column(expr)?),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), fold(alias)),
            _ => continue,
        };
        let own = format!("_ingot_output_{i}");
        *item = SelectItem::ExprWithAlias { expr, alias: SqlIdent::with_quote('"', &own) };
        given.insert(own, name);
    }
    // Its keys may name what has another name now; they change no columns.
    tree.order_by = None;
    let plan = plan(&tree)?;
    let fields = plan.schema().fields();
    let mut seen: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let item = given.get(field.name());
        let name = item.unwrap_or(field.name()).as_str();
        let Some((first, is_item)) = seen.insert(name, (i, item.is_some())) else { continue };
        let (at, beside) = match (item, is_item) {
            (Some(_), true) => (i, None),
            (Some(_), false) => (i, Some("leave it out: * has it already; or ")),
            (None, true) => (first, Some("leave it out: * has it already; or ")),
            (None, false) => continue,
        };
        found.push(
            Diagnostic::error("N0311", format!("two output columns are called \"{name}\""))
                .at(file, place_of(query, at, fields.len()).unwrap_or(query.span))
                .help(format!("{}give this one another name: ... AS {}", beside.unwrap_or_default(), other_name(name))),
        );
    }
    (!found.is_empty()).then_some(found)
}

fn name_for_column(expr: &SqlExpr) -> Option<String> {
    match expr {
        SqlExpr::Identifier(name) => Some(fold(name)),
        SqlExpr::CompoundIdentifier(parts) => parts.last().map(fold),
        SqlExpr::Nested(inner) => name_for_column(inner),
        _ => None,
    }
}

/// Names of a plan's output: duplicates, made-up names, names that differ in case, capitals.
pub(crate) fn names(file: &str, query: &Query, plan: &LogicalPlan, found: &mut Vec<Diagnostic>) {
    let fields = plan.schema().fields();
    let width = fields.len();
    if width == 0 {
        found.push(
            Diagnostic::error("N0312", "the query has no output columns")
                .at(file, query.span)
                .help("select at least one"),
        );
    }
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (i, field) in fields.iter().enumerate() {
        let name = field.name().as_str();
        let span = place_of(query, i, width).unwrap_or(query.span);
        if name.to_lowercase().starts_with("_ingot") {
            found.push(
                Diagnostic::error("N0106", format!("output column \"{name}\" has a reserved name"))
                    .at(file, span)
                    .note("names beginning with _ingot are those of hidden columns")
                    .help("give it another name: ... AS a_name"),
            );
        }
        let mut clashes = true;
        match seen.get(&name.to_lowercase()) {
            Some(other) if *other == name => found.push(
                Diagnostic::error("N0311", format!("two output columns are called \"{name}\""))
                    .at(file, span)
                    .help(format!("give this one another name: ... AS {}", other_name(name))),
            ),
            Some(other) => found.push(
                Diagnostic::error("N0108", format!("output columns \"{other}\" and \"{name}\" differ only in case"))
                    .at(file, span)
                    .help("rename one: engines that fold names cannot tell them apart"),
            ),
            None => {
                clashes = false;
                seen.insert(name.to_lowercase(), name);
            }
        }
        if name.contains(['(', ')', ' ', ',']) && !is_given(plan, i) {
            found.push(
                Diagnostic::error("N0310", format!("output column {} has no name", i + 1))
                    .at(file, span)
                    .note(format!("it is {name} of a subquery"))
                    .help("name the expression where it stands: ... AS a_name"),
            );
        } else if !clashes && name.chars().any(char::is_uppercase) {
            found.push(
                Diagnostic::warning("N0113", format!("the name of output column \"{name}\" has capitals"))
                    .at(file, span)
                    .note("engines that fold names to lower case, such as Trino, do not find it")
                    .help(format!("AS {}", identifier(&snake(name)))),
            );
        }
    }
}

/// Whether the name of an output column was given: it is an alias or a column of a table, not the text of an
/// expression that the engine took for want of a name.
fn is_given(plan: &LogicalPlan, index: usize) -> bool {
    let of_column =
        |input: &LogicalPlan, column: &Column| input.schema().index_of_column(column).is_ok_and(|i| is_given(input, i));
    let of_expr = |expr: Option<&Expr>, input: &LogicalPlan| match expr {
        // The engine names count(*) by itself.
        Some(Expr::Alias(alias)) => !alias.name.starts_with("count(*)"),
        Some(Expr::Column(column)) => of_column(input, column),
        _ => false,
    };
    let of_own = |expr: Option<&Expr>, input: &LogicalPlan| match expr {
        Some(Expr::Column(column)) => of_column(input, column),
        _ => false,
    };
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(p) => of_expr(p.expr.get(index), &p.input),
        // The engine itself gives aggregates and windows aliases, such as count(*).
        LogicalPlan::Aggregate(a) => of_own(a.group_expr.iter().chain(&a.aggr_expr).nth(index), &a.input),
        LogicalPlan::Window(w) => {
            let width = w.input.schema().fields().len();
            if index < width { is_given(&w.input, index) } else { of_own(w.window_expr.get(index - width), &w.input) }
        }
        LogicalPlan::Distinct(Distinct::On(on)) => of_expr(on.select_expr.get(index), &on.input),
        LogicalPlan::Join(join) => {
            let width = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => is_given(&join.right, index),
                _ if index < width => is_given(&join.left, index),
                _ => is_given(&join.right, index - width),
            }
        }
        LogicalPlan::RecursiveQuery(r) => is_given(&r.static_term, index),
        LogicalPlan::Unnest(u) => {
            let (qualifier, field) = u.schema.qualified_field(index);
            of_column(&u.input, &Column::new(qualifier.cloned(), field.name()))
        }
        // Rows pass through, or come from the first of several.
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Union(_) => plan.inputs().first().is_some_and(|input| is_given(input, index)),
        _ => false,
    }
}

/// `vehicleId` to `vehicle_id`, `US Gross` to `us_gross`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_uppercase() {
            if lower_before {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else if c.is_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
        lower_before = c.is_lowercase() || c.is_ascii_digit();
    }
    out
}

/// The stored columns of a query, all nullable; complaints for those that cannot be stored.
pub(crate) fn stored_columns(
    file: &str,
    query: &Query,
    analyzed: &LogicalPlan,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<Field>> {
    let fields = analyzed.schema().fields();
    let width = fields.len();
    let mut out = Vec::with_capacity(width);
    for (i, field) in fields.iter().enumerate() {
        let error = match stored_type(field.data_type()) {
            Ok(t) => {
                out.push(Field::new(field.name(), t, true));
                continue;
            }
            Err(e) => e,
        };
        let span = place_of(query, i, width).unwrap_or(query.span);
        let name = field.name();
        let text = expression_at(query, i, width).unwrap_or_else(|| name.clone());
        found.push(match error {
            Unstorable::Duration => {
                Diagnostic::error("T0104", format!("column \"{name}\" is a duration, and Iceberg has no duration"))
                    .at(file, span)
                    .help(format!("store seconds: extract(epoch FROM {text}) AS {name}"))
            }
            Unstorable::Null => Diagnostic::error("T0105", format!("column \"{name}\" is NULL without a type"))
                .at(file, span)
                .help(format!("give it one: CAST(NULL AS VARCHAR) AS {name}")),
            Unstorable::Other(t) => {
                Diagnostic::error("T0106", format!("column \"{name}\" is {t}, which cannot be stored"))
                    .at(file, span)
                    .help("cast it to a type that can: VARCHAR, BIGINT, DOUBLE, TIMESTAMPTZ, ...")
            }
        });
    }
    (out.len() == width).then_some(out)
}

/// The plan with its root cast to the stored columns, where they differ from what it gives.
///
/// # Errors
/// DataFusion's, when the projection cannot be built.
pub(crate) fn cast_to_stored(
    plan: LogicalPlan,
    analyzed: &LogicalPlan,
    columns: &[Field],
) -> datafusion::common::Result<LogicalPlan> {
    let given = analyzed.schema().fields();
    if given.iter().zip(columns).all(|(g, c)| g.data_type() == c.data_type()) {
        return Ok(plan);
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(given)
        .zip(columns)
        .map(|(((qualifier, field), given), column)| {
            let expr = Expr::from((qualifier, field));
            if given.data_type() == column.data_type() {
                expr
            } else {
                store(expr, given.data_type(), column.data_type()).alias(column.name())
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// A column of the output by name, or the complaint in `code` with a suggestion.
pub(crate) fn find_column<'a>(
    file: &str,
    schema: &'a Schema,
    ident: &Ident,
    code: &'static str,
    what: &str,
) -> Result<&'a Field, Box<Diagnostic>> {
    if let Ok(field) = schema.field_with_name(&ident.value) {
        return Ok(field);
    }
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let d = Diagnostic::error(code, format!("{what} \"{}\" is not a column of the output", ident.value))
        .at(file, ident.span);
    let near = names.iter().copied().find(|n| n.eq_ignore_ascii_case(&ident.value));
    Err(Box::new(match near.or_else(|| did_you_mean(&ident.value, names.iter().copied())) {
        Some(near) => {
            let written = identifier(near);
            let quotes = if written == near { "" } else { ", with its quotes" };
            d.help(format!("did you mean {written}{quotes}?")).suggest(ident.span, written)
        }
        None => d.note(format!("the output has: {}", names.join(", "))),
    }))
}

/// Checks the list after a name against the output; returns comments and NOT NULL by column.
pub(crate) fn annotations(
    file: &str,
    columns: &Columns,
    schema: &Schema,
    stored: bool,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, (bool, Option<String>)> {
    let mut out = BTreeMap::new();
    for def in &columns.columns {
        let field = match find_column(file, schema, &def.name, "N0313", "declared column") {
            Ok(field) => field,
            Err(d) => {
                found.push(*d);
                continue;
            }
        };
        let note = (def.not_null, def.comment.as_ref().map(|c| c.node.clone()));
        if out.insert(field.name().clone(), note).is_some() {
            let d = Diagnostic::error("N0316", format!("column \"{}\" is described twice", def.name.value));
            found.push(d.at(file, def.name.span).help("merge the two lines"));
        }
        let Some(declared) = &def.ty else { continue };
        let wanted = ingot_source::column_type_to_arrow(&declared.node);
        let given = if stored { Ok(field.data_type().clone()) } else { stored_type(field.data_type()) };
        if given.as_ref().is_ok_and(|g| !same_type(g, &wanted)) {
            let given = given.map_or_else(|_| "another type".into(), |g| type_word(&g));
            let name = identifier(&def.name.value);
            found.push(
                Diagnostic::error(
                    "T0108",
                    format!("\"{}\" is declared {}, but the query gives {given}", def.name.value, type_word(&wanted)),
                )
                .at(file, declared.span)
                .note("the list describes the query's columns; it never casts")
                .help(format!("write {given} here, or CAST({name} AS {}) AS {name} in the query", type_word(&wanted))),
            );
        }
    }
    out
}

/// Equal but for the names of nested fields that the dialect cannot write, and nullability.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && same_type(a.data_type(), b.data_type()))
        }
        (DataType::Map(a, _), DataType::Map(b, _)) => match (a.data_type(), b.data_type()) {
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.iter().zip(b).all(|(a, b)| same_type(a.data_type(), b.data_type()))
            }
            _ => false,
        },
        _ => a == b,
    }
}
