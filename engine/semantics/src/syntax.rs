//! Syntax that the planner does not know, or drops: rewritten to syntax that it knows where there is some, refused
//! elsewhere.
//!
//!   s COLLATE "C"                ──▶ s             texts are compared by code points
//!   INTERVAL (k + 1) DAY         ──▶ (k + 1) * INTERVAL '1' DAY
//!   FETCH FIRST 2 ROWS ONLY      ──▶ LIMIT 2
//!   GROUP BY a, b WITH ROLLUP    ──▶ GROUP BY ROLLUP (a, b)
//!   GROUP BY (), HAVING TRUE     ──▶ HAVING count(*) >= 0 AND TRUE
//!   FROM s.t                     ──▶ SELECT * FROM s.t
//!   SELECT t.* FROM s.t          ──▶ SELECT s.t.* FROM s.t
//!   x RLIKE p, N'a', a MINUS b   ──▶ x ~ p, 'a', a EXCEPT b
//!
//! Not here: patterns (`patterns`), TABLESAMPLE (`lowering`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use datafusion::common::Result;
use datafusion::execution::SessionStateDefaults;
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArguments,
    GroupByExpr, GroupByWithModifier, Ident, Interval, JoinOperator, LimitClause, ObjectName, Query, Select,
    SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, Spanned, TableFactor, Value,
    WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;

use crate::calls::{has_aggregate, is_aggregate};
use crate::refusal::Refusal;

fn refused(text: impl Into<String>, help: &'static str, span: Span) -> Result<()> {
    Err(Refusal { code: "U0516", text: text.into(), help, span }.into())
}

pub(crate) fn in_query(query: &mut Query) -> Result<()> {
    let mut body = query.body.as_mut();
    while let SetExpr::SetOperation { op, left, .. } = body {
        if *op == SetOperator::Minus {
            *op = SetOperator::Except;
        }
        body = left;
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        in_select(select)?;
    }
    let span = query.body.span();
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent {
            let help = "number the rows in a subquery, rank() OVER (ORDER BY ...) AS n, and take those with n <= 10";
            return refused("FETCH of a share of the rows, or WITH TIES, is not supported", help, span);
        }
        let rows = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
        match query.limit_clause.get_or_insert(LimitClause::LimitOffset { limit: None, offset: None, limit_by: vec![] })
        {
            LimitClause::LimitOffset { limit: limit @ None, .. } => *limit = Some(rows),
            _ => return refused("LIMIT beside FETCH is not supported", "keep one of them", span),
        }
    }
    let clause = if !query.locks.is_empty() {
        "FOR UPDATE and FOR SHARE are"
    } else if query.for_clause.is_some() {
        "FOR XML and FOR JSON are"
    } else if query.settings.is_some() {
        "SETTINGS is"
    } else if query.format_clause.is_some() {
        "FORMAT is"
    } else {
        return Ok(());
    };
    refused(format!("{clause} not supported"), "leave it out", span)
}

pub(crate) fn in_select(select: &mut Select) -> Result<()> {
    if select.projection.is_empty() && select.flavor == SelectFlavor::FromFirstNoSelect {
        select.projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
    }
    let span = select.span();
    if let Some(condition) = &select.prewhere {
        return refused("PREWHERE is not supported", "write WHERE", condition.span());
    }
    if !select.connect_by.is_empty() {
        return refused("CONNECT BY is not supported", "write WITH RECURSIVE", span);
    }
    if !select.distribute_by.is_empty() {
        return refused("DISTRIBUTE BY is not supported", "leave it out", span);
    }
    if select.value_table_mode.is_some() || select.exclude.is_some() {
        return refused(
            "AS STRUCT, AS VALUE and EXCLUDE behind a select list are not supported",
            "name the columns",
            span,
        );
    }
    for item in &select.projection {
        let (SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options)) = item else { continue };
        if options.opt_ilike.is_some() || options.opt_alias.is_some() {
            let span = options.wildcard_token.0.span;
            return refused("a * with ILIKE or an alias is not supported", "name the columns", span);
        }
    }
    for join in select.from.iter().flat_map(|item| &item.joins) {
        use JoinOperator as J;
        let (what, help) = match &join.join_operator {
            J::AsOf { .. } => ("ASOF JOIN", "number the rows that may match in a subquery, and join the first one"),
            J::CrossApply | J::OuterApply => ("APPLY", "write CROSS JOIN LATERAL or LEFT JOIN LATERAL (...) ON TRUE"),
            J::Semi(_) | J::Anti(_) => ("SEMI JOIN without a side", "write LEFT SEMI JOIN, LEFT ANTI JOIN or EXISTS"),
            J::StraightJoin(_) => ("STRAIGHT_JOIN", "write JOIN"),
            J::ArrayJoin | J::LeftArrayJoin | J::InnerArrayJoin => {
                ("ARRAY JOIN", "write CROSS JOIN UNNEST(list) AS x(v)")
            }
            _ => continue,
        };
        return refused(format!("{what} is not supported"), help, join.relation.span());
    }
    qualify_wildcards(select);
    group_by(select)
}

/// `t.*` of a table that the query calls `s.t`: the planner finds it by its whole name.
fn qualify_wildcards(select: &mut Select) {
    let factors = select
        .from
        .iter()
        .flat_map(|item| std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)));
    let mut named: Vec<ObjectName> = Vec::new();
    let mut aliases: Vec<String> = Vec::new();
    for factor in factors {
        match factor {
            TableFactor::Table { name, alias: None, .. } => named.push(name.clone()),
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                aliases.push(folded(&alias.name));
            }
            _ => {}
        }
    }
    let parts = |name: &ObjectName| -> Vec<String> { name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect() };
    for item in &mut select.projection {
        let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item else {
            continue;
        };
        let given = parts(name);
        if given.len() == 1 && given.first().is_some_and(|given| aliases.contains(given)) {
            continue;
        }
        let mut found = named.iter().filter(|whole| parts(whole).ends_with(&given));
        if let (Some(whole), None) = (found.next(), found.next()) {
            *name = whole.clone();
        }
    }
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// WITH ROLLUP and WITH CUBE, which the planner drops.
fn group_by(select: &mut Select) -> Result<()> {
    let span = select.group_by.span();
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &mut select.group_by;
    let modifiers = std::mem::take(modifiers);
    match (&mut select.group_by, modifiers.as_slice()) {
        (_, []) => one_group(select)?,
        (GroupByExpr::Expressions(keys, _), [GroupByWithModifier::Rollup]) => {
            *keys = vec![Expr::Rollup(keys.drain(..).map(|key| vec![key]).collect())];
        }
        (GroupByExpr::Expressions(keys, _), [GroupByWithModifier::Cube]) => {
            *keys = vec![Expr::Cube(keys.drain(..).map(|key| vec![key]).collect())];
        }
        _ => {
            let help = "write GROUP BY GROUPING SETS ((a, b), (a), ())";
            return refused("this modifier of GROUP BY is not supported", help, span);
        }
    }
    Ok(())
}

/// The group of all rows, where no aggregate tells the planner that there is one.
fn one_group(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
    let written = keys.len();
    keys.retain(|key| !matches!(key, Expr::Tuple(columns) if columns.is_empty()));
    let has_group = keys.len() < written || select.having.is_some();
    if !keys.is_empty() || !has_group || has_aggregate(&select.projection) || has_aggregate(&select.having) {
        return Ok(());
    }
    let is_group = crate::written::expr("count(*) >= 0")?;
    select.having = Some(match select.having.take() {
        None => is_group,
        Some(given) => Expr::BinaryOp {
            left: Box::new(is_group),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(given))),
        },
    });
    Ok(())
}

pub(crate) fn in_factor(factor: &TableFactor) -> Result<()> {
    const COLUMNS: &str =
        "write sum(x) FILTER (WHERE k = 1) AS a, .. for the columns of a pivot, and UNION ALL for its rows";
    let (what, help, span) = match factor {
        TableFactor::Table { name, with_ordinality: true, .. } => {
            ("WITH ORDINALITY of a table", "write row_number() OVER (ORDER BY ...)", name.span())
        }
        TableFactor::Table { name, partitions, json_path, .. } if !partitions.is_empty() || json_path.is_some() => {
            ("a part of a table", "filter by the columns of the partition", name.span())
        }
        TableFactor::Table { name, with_hints, index_hints, .. }
            if !with_hints.is_empty() || !index_hints.is_empty() =>
        {
            ("a hint to a table", "leave it out: a query reads one snapshot of the table, without locks", name.span())
        }
        TableFactor::Pivot { table, .. } => ("PIVOT", COLUMNS, table.span()),
        TableFactor::Unpivot { table, .. } => ("UNPIVOT", COLUMNS, table.span()),
        TableFactor::MatchRecognize { table, .. } => {
            ("MATCH_RECOGNIZE", "compare with lag(x) OVER (...) and lead(x) OVER (...)", table.span())
        }
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } | TableFactor::XmlTable { .. } => {
            ("a table of JSON or XML", "decode it in a streaming table", Span::empty())
        }
        TableFactor::SemanticView { name, .. } => ("SEMANTIC_VIEW", "read the view", name.span()),
        _ => return Ok(()),
    };
    refused(format!("{what} is not supported"), help, span)
}

pub(crate) fn in_expr(expr: &mut Expr) -> Result<()> {
    let (what, help): (&str, &'static str) = match expr {
        Expr::Collate { expr: inner, collation } => {
            let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            if matches!(name.as_deref(), Some("c" | "posix" | "ucs_basic" | "binary")) {
                *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                return Ok(());
            }
            let help = "texts are compared by code points, which is COLLATE \"C\"; compare lower(x) to ignore case";
            return refused(format!("the collation {collation} is not supported"), help, collation.span());
        }
        Expr::Interval(interval) => {
            if let Some(product) = product(interval)? {
                *expr = product;
            }
            return Ok(());
        }
        Expr::RLike { negated, expr: value, pattern, .. } => {
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            *expr = Expr::BinaryOp { left: value.clone(), op, right: pattern.clone() };
            return Ok(());
        }
        Expr::Value(value) => match &value.value {
            Value::NationalStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::SingleQuotedRawStringLiteral(text) => {
                value.value = Value::SingleQuotedString(text.clone());
                return Ok(());
            }
            Value::SingleQuotedByteStringLiteral(_) => ("a string of bits", "write its bytes, X'0A', or a number"),
            _ => return Ok(()),
        },
        Expr::Function(call) => return scalar_call(call),
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.starts_with('@') => {
            ("a variable", "write its value, or bind a parameter")
        }
        Expr::IsNormalized { .. } => ("IS NORMALIZED", "leave it out"),
        Expr::InUnnest { .. } => ("IN UNNEST", "write x = ANY(list)"),
        Expr::Convert { .. } => ("CONVERT", "write CAST(x AS type) or TRY_CAST(x AS type)"),
        Expr::Prefixed { .. } => ("a text with a character set", "leave the character set out: texts are UTF-8"),
        Expr::MatchAgainst { .. } => ("MATCH AGAINST", "write x LIKE '%word%' or regexp_like(x, 'word')"),
        Expr::MemberOf(_) => ("MEMBER OF", "write x = ANY(list)"),
        Expr::OuterJoin(_) => ("(+)", "write LEFT JOIN"),
        Expr::Prior(_) => ("PRIOR", "write WITH RECURSIVE"),
        _ => return Ok(()),
    };
    refused(format!("{what} is not supported"), help, expr.span())
}

/// A length that is computed, as a product. None for one that is a constant.
fn product(interval: &Interval) -> Result<Option<Expr>> {
    const WRITE: &str = "write the units in the text, INTERVAL '1 year 2 months', or add two of them";
    let span = interval.value.span();
    if interval.last_field.is_some() {
        refused("an INTERVAL from one unit to another is not supported", WRITE, span)?;
    }
    if interval.leading_precision.is_some() || interval.fractional_seconds_precision.is_some() {
        refused("an INTERVAL with a precision is not supported", WRITE, span)?;
    }
    if is_constant(&interval.value) {
        return Ok(None);
    }
    let Some(unit) = interval.leading_field.clone().filter(|unit| !matches!(unit, DateTimeField::Custom(_))) else {
        refused("an INTERVAL of a value needs a unit", "write INTERVAL (k) DAY, or CAST(text AS INTERVAL)", span)?;
        return Ok(None);
    };
    let one = Interval {
        value: Box::new(Expr::value(Value::SingleQuotedString("1".into()))),
        leading_field: Some(unit),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    let mut value = Expr::Nested(interval.value.clone());
    if let Expr::Value(given) = interval.value.as_ref()
        && matches!(given.value, Value::Placeholder(_) | Value::Null)
    {
        // It would be taken for an interval.
        let (kind, data_type) = (CastKind::Cast, DataType::BigInt(None));
        value = Expr::Cast { kind, expr: interval.value.clone(), data_type, array: false, format: None };
    }
    let product =
        Expr::BinaryOp { left: Box::new(value), op: BinaryOperator::Multiply, right: Box::new(Expr::Interval(one)) };
    Ok(Some(Expr::Nested(Box::new(product))))
}

/// What the planner reads as a constant.
fn is_constant(value: &Expr) -> bool {
    match value {
        Expr::Value(value) => {
            matches!(value.value, Value::SingleQuotedString(_) | Value::DoubleQuotedString(_) | Value::Number(..))
        }
        Expr::UnaryOp { expr, .. } => is_constant(expr),
        Expr::BinaryOp { left, right, .. } => is_constant(left) && is_constant(right),
        _ => false,
    }
}

static SCALARS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let all = SessionStateDefaults::default_scalar_functions();
    all.iter().flat_map(|f| f.aliases().iter().cloned().chain([f.name().to_owned()])).collect()
});

/// A function of one row takes no DISTINCT, FILTER or ORDER BY, which the planner drops.
fn scalar_call(call: &Function) -> Result<()> {
    let distinct_or_sorted = match &call.args {
        FunctionArguments::List(list) => {
            list.duplicate_treatment == Some(DuplicateTreatment::Distinct) || !list.clauses.is_empty()
        }
        _ => false,
    };
    let collects = distinct_or_sorted || call.filter.is_some() || !call.within_group.is_empty();
    let name = call.name.to_string();
    if collects
        && call.over.is_none()
        && SCALARS.contains(&name.to_lowercase())
        && !is_aggregate(&Expr::Function(call.clone()))
    {
        let text = format!("{name} is computed for each row, and takes no DISTINCT, ORDER BY or FILTER");
        return refused(text, "leave it out, or write CASE", call.name.span());
    }
    Ok(())
}
