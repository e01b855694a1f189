//! Expressions in texts for users: SQL's literals, names and operators, whatever the engine calls them.
//!
//!   ingot_add(t.a, Int64(1)) ──▶ t.a + 1        Utf8("it's") ──▶ 'it''s'
//!
//! Invariants
//! * A literal is one of the statement's text: nothing here reads a row.
//!
//! Not here: names of types (`type_names`); names of columns, which keep what the user wrote (`rewrite`); texts of the
//! engine (`sql_text`).

use std::collections::HashMap;

use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunctionParams, GroupingSet, Sort, WindowFunctionParams};
use datafusion::logical_expr::{Expr, Like, Operator, WindowFunctionDefinition};

use crate::attempt::Attempt;
use crate::narrow::Narrow;
use crate::sql_text::{INFIX, NAMED, SILENT};
use crate::type_names::type_name;

/// The expression without casts, because those that the engine adds cannot be told from the user's.
pub fn shown(expr: &Expr) -> String {
    Words::plain().of(expr)
}

/// As `shown`, in parentheses where it is more than one word.
pub(crate) fn operand(expr: &Expr) -> String {
    Words::plain().operand(expr)
}

/// A constant as SQL writes it.
pub(crate) fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".into();
    }
    let options = FormatOptions::new();
    let text = value.to_array().ok().and_then(|array| {
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok()?;
        Some(formatter.value(0).to_string())
    });
    let text = text.unwrap_or_else(|| value.to_string());
    let quoted = || format!("'{}'", text.replace('\'', "''"));
    match value {
        ScalarValue::Boolean(Some(truth)) => if *truth { "TRUE" } else { "FALSE" }.into(),
        // With an exponent, which makes it a DOUBLE.
        ScalarValue::Float64(Some(v)) if v.is_finite() => format!("{v:e}"),
        ScalarValue::Float32(Some(v)) if v.is_finite() => format!("{v:e}"),
        ScalarValue::Float64(_) | ScalarValue::Float32(_) => format!("CAST({} AS DOUBLE)", quoted()),
        ScalarValue::Dictionary(_, inner) | ScalarValue::RunEndEncoded(_, _, inner) => literal(inner),
        other => match other.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => quoted(),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                format!("X'{text}'")
            }
            t @ (DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Interval(_)) => format!("{} {}", type_name(&t), quoted()),
            _ => text,
        },
    }
}

/// How expressions are written.
pub(crate) struct Words {
    /// With casts, also those that the engine added.
    pub(crate) casts: bool,
    /// What columns stand for, by the engine's names of them.
    pub(crate) names: HashMap<String, String>,
}

impl Words {
    fn plain() -> Self {
        Self { casts: false, names: HashMap::new() }
    }

    /// What a column stands for, or its name.
    pub(crate) fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.get(name).map_or(name, String::as_str)
    }

    pub(crate) fn of(&self, expr: &Expr) -> String {
        match expr {
            Expr::Alias(alias) => self.of(&alias.expr),
            Expr::Column(column) => match &column.relation {
                None => self.name(&column.name).to_owned(),
                Some(_) => column.flat_name(),
            },
            Expr::OuterReferenceColumn(_, column) => column.flat_name(),
            Expr::Literal(value, _) => literal(value),
            Expr::BinaryExpr(binary) => self.infix(&binary.left, operator(binary.op), &binary.right),
            Expr::Like(like) => self.like(like, if like.case_insensitive { "ILIKE" } else { "LIKE" }),
            Expr::SimilarTo(like) => self.like(like, "SIMILAR TO"),
            Expr::Not(inner) => format!("NOT {}", self.operand(inner)),
            Expr::Negative(inner) => format!("-{}", self.operand(inner)),
            Expr::IsNull(inner) => format!("{} IS NULL", self.operand(inner)),
            Expr::IsNotNull(inner) => format!("{} IS NOT NULL", self.operand(inner)),
            Expr::IsTrue(inner) => format!("{} IS TRUE", self.operand(inner)),
            Expr::IsFalse(inner) => format!("{} IS FALSE", self.operand(inner)),
            Expr::IsUnknown(inner) => format!("{} IS UNKNOWN", self.operand(inner)),
            Expr::IsNotTrue(inner) => format!("{} IS NOT TRUE", self.operand(inner)),
            Expr::IsNotFalse(inner) => format!("{} IS NOT FALSE", self.operand(inner)),
            Expr::IsNotUnknown(inner) => format!("{} IS NOT UNKNOWN", self.operand(inner)),
            Expr::Between(b) => {
                let word = if b.negated { "NOT BETWEEN" } else { "BETWEEN" };
                format!("{} {word} {} AND {}", self.operand(&b.expr), self.operand(&b.low), self.operand(&b.high))
            }
            Expr::InList(list) => {
                let word = if list.negated { "NOT IN" } else { "IN" };
                format!("{} {word} ({})", self.operand(&list.expr), self.list(&list.list))
            }
            Expr::Case(case) => {
                let operand = case.expr.as_ref().map(|e| format!(" {}", self.of(e))).unwrap_or_default();
                let mut out = format!("CASE{operand}");
                for (when, then) in &case.when_then_expr {
                    out.push_str(&format!(" WHEN {} THEN {}", self.of(when), self.of(then)));
                }
                if let Some(other) = &case.else_expr {
                    out.push_str(&format!(" ELSE {}", self.of(other)));
                }
                out + " END"
            }
            Expr::Cast(cast) if self.casts => {
                format!("CAST({} AS {})", self.of(&cast.expr), type_name(cast.field.data_type()))
            }
            Expr::Cast(cast) => self.of(&cast.expr),
            Expr::TryCast(cast) => {
                format!("TRY_CAST({} AS {})", self.of(&cast.expr), type_name(cast.field.data_type()))
            }
            Expr::ScalarFunction(call) => self.call(call.func.inner().as_ref(), call.func.name(), &call.args),
            Expr::AggregateFunction(call) => self.aggregate(call.func.name(), &call.params),
            Expr::WindowFunction(call) => self.window(&call.fun, &call.params),
            Expr::ScalarSubquery(_) => "(SELECT ...)".into(),
            Expr::InSubquery(sub) => {
                let word = if sub.negated { "NOT IN" } else { "IN" };
                format!("{} {word} (SELECT ...)", self.operand(&sub.expr))
            }
            Expr::Exists(exists) => format!("{}EXISTS (SELECT ...)", if exists.negated { "NOT " } else { "" }),
            Expr::GroupingSet(GroupingSet::Rollup(keys)) => format!("ROLLUP ({})", self.list(keys)),
            Expr::GroupingSet(GroupingSet::Cube(keys)) => format!("CUBE ({})", self.list(keys)),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                let sets: Vec<_> = sets.iter().map(|keys| format!("({})", self.list(keys))).collect();
                format!("GROUPING SETS ({})", sets.join(", "))
            }
            Expr::Unnest(unnest) => format!("unnest({})", self.of(&unnest.expr)),
            other => crate::sql_text(&other.human_display().to_string()),
        }
    }

    fn list(&self, exprs: &[Expr]) -> String {
        exprs.iter().map(|e| self.of(e)).collect::<Vec<_>>().join(", ")
    }

    /// In parentheses where it is more than one word.
    fn operand(&self, expr: &Expr) -> String {
        let text = self.of(expr);
        if self.is_compound(expr) { format!("({text})") } else { text }
    }

    fn is_compound(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Alias(alias) => self.is_compound(&alias.expr),
            Expr::Cast(cast) if !self.casts => self.is_compound(&cast.expr),
            Expr::ScalarFunction(call) => match call.args.as_slice() {
                [inner] if SILENT.contains(&call.func.name()) => self.is_compound(inner),
                [_, _] => call.func.name() == "timezone" || INFIX.iter().any(|(name, _)| *name == call.func.name()),
                _ => call.func.name() == "ingot_negate",
            },
            Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::InSubquery(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_) => true,
            _ => false,
        }
    }

    fn infix(&self, left: &Expr, operator: &str, right: &Expr) -> String {
        // What binds more strongly than AND and OR needs no parentheses, nor does a chain of one of them.
        let side = |e: &Expr| match (e, operator) {
            (Expr::BinaryExpr(inner), "AND" | "OR") if inner.op.is_logic_operator() => match self::operator(inner.op) {
                same if same == operator => self.of(e),
                _ => self.operand(e),
            },
            (_, "AND" | "OR") => self.of(e),
            _ => self.operand(e),
        };
        format!("{} {operator} {}", side(left), side(right))
    }

    fn like(&self, like: &Like, word: &str) -> String {
        let not = if like.negated { "NOT " } else { "" };
        let escape = like.escape_char.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
        format!("{} {not}{word} {}{escape}", self.operand(&like.expr), self.operand(&like.pattern))
    }

    fn call(&self, function: &dyn std::any::Any, name: &str, args: &[Expr]) -> String {
        if let Some(attempt) = function.downcast_ref::<Attempt>() {
            return attempt.shown().to_owned();
        }
        if let (Some(narrow), [inner]) = (function.downcast_ref::<Narrow>(), args) {
            let word = if name == "ingot_try_cast" { "TRY_CAST" } else { "CAST" };
            return format!("{word}({} AS {})", self.of(inner), type_name(narrow.target()));
        }
        match (name, args) {
            (_, [inner]) if SILENT.contains(&name) => self.of(inner),
            ("ingot_negate", [inner]) => format!("-{}", self.operand(inner)),
            ("array_element", [list, at]) => format!("{}[{}]", self.operand(list), self.of(at)),
            ("get_field", [of, Expr::Literal(field, _)]) => match field.try_as_str() {
                Some(Some(field)) if is_plain(field) => format!("{}.{field}", self.operand(of)),
                _ => format!("{}[{}]", self.operand(of), literal(field)),
            },
            ("timezone", [zone, time]) => format!("{} AT TIME ZONE {}", self.operand(time), self.operand(zone)),
            (_, [left, right]) => match INFIX.iter().find(|(n, _)| *n == name) {
                Some((_, operator)) => self.infix(left, operator, right),
                None => format!("{}({})", named(name), self.list(args)),
            },
            _ => format!("{}({})", named(name), self.list(args)),
        }
    }

    fn aggregate(&self, name: &str, params: &AggregateFunctionParams) -> String {
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        // `count(*)` is a count of ones to the engine.
        let args = match (name, params.args.as_slice()) {
            ("count", [Expr::Literal(ScalarValue::Int64(Some(1)), _)]) if !params.distinct => "*".to_owned(),
            (_, args) => self.list(args),
        };
        let order = match params.order_by.as_slice() {
            [] => String::new(),
            keys => format!(" ORDER BY {}", self.keys(keys)),
        };
        let filter = params.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", self.of(f))).unwrap_or_default();
        format!("{}({distinct}{args}{order}){filter}", named(name))
    }

    fn keys(&self, keys: &[Sort]) -> String {
        let key = |k: &Sort| {
            let nulls =
                if k.nulls_first == k.asc { if k.nulls_first { " NULLS FIRST" } else { " NULLS LAST" } } else { "" };
            format!("{}{}{nulls}", self.of(&k.expr), if k.asc { "" } else { " DESC" })
        };
        keys.iter().map(key).collect::<Vec<_>>().join(", ")
    }

    fn window(&self, function: &WindowFunctionDefinition, params: &WindowFunctionParams) -> String {
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let filter = params.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", self.of(f))).unwrap_or_default();
        let mut over = Vec::new();
        if !params.partition_by.is_empty() {
            over.push(format!("PARTITION BY {}", self.list(&params.partition_by)));
        }
        if !params.order_by.is_empty() {
            over.push(format!("ORDER BY {}", self.keys(&params.order_by)));
        }
        let name = function.name();
        let args = match (name, params.args.as_slice()) {
            ("count", [Expr::Literal(ScalarValue::Int64(Some(1)), _)]) if !params.distinct => "*".to_owned(),
            (_, args) => self.list(args),
        };
        format!("{}({distinct}{args}){filter} OVER ({})", named(name), over.join(" "))
    }
}

/// SQL's name of a function.
fn named(name: &str) -> &str {
    NAMED.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, sql)| sql)
}

fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn operator(op: Operator) -> &'static str {
    use Operator::*;
    match op {
        Eq => "=",
        NotEq => "<>",
        Lt => "<",
        LtEq => "<=",
        Gt => ">",
        GtEq => ">=",
        Plus => "+",
        Minus => "-",
        Multiply => "*",
        Divide => "/",
        Modulo => "%",
        And => "AND",
        Or => "OR",
        IsDistinctFrom => "IS DISTINCT FROM",
        IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        RegexMatch => "~",
        RegexIMatch => "~*",
        RegexNotMatch => "!~",
        RegexNotIMatch => "!~*",
        LikeMatch => "LIKE",
        ILikeMatch => "ILIKE",
        NotLikeMatch => "NOT LIKE",
        NotILikeMatch => "NOT ILIKE",
        BitwiseAnd => "&",
        BitwiseOr => "|",
        BitwiseXor => "^",
        BitwiseShiftRight => ">>",
        BitwiseShiftLeft => "<<",
        StringConcat => "||",
        AtArrow => "@>",
        ArrowAt => "<@",
        Arrow => "->",
        LongArrow => "->>",
        HashArrow => "#>",
        HashLongArrow => "#>>",
        AtAt => "@@",
        IntegerDivide => "DIV",
        HashMinus => "#-",
        AtQuestion => "@?",
        Question => "?",
        QuestionAnd => "?&",
        QuestionPipe => "?|",
        Colon => ":",
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{cast, col, ident, lit};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn expressions_are_said_in_sql() {
        let concat = datafusion::functions::string::expr_fn::concat(vec![col("t.s"), lit("it's")]);
        for (expr, wanted) in [
            (col("t.a") + lit(1_i64), "t.a + 1"),
            ((col("a") + lit(1_i64)) * lit(1.5), "(a + 1) * 1.5e0"),
            (concat, "concat(t.s, 'it''s')"),
            (col("a").eq(lit(1)).and(col("b").is_null()).and(col("c").gt(lit(2))), "a = 1 AND b IS NULL AND c > 2"),
            (ident("a").in_list(vec![lit(1), lit("Int64(1)")], true), "a NOT IN (1, 'Int64(1)')"),
            (cast(col("a"), DataType::Int32).alias("x"), "a"),
            (lit(ScalarValue::Decimal128(Some(150), 3, 2)), "1.50"),
            (lit(ScalarValue::Utf8(None)), "NULL"),
            (lit(ScalarValue::Date32(Some(0))), "DATE '1970-01-01'"),
            (lit(true), "TRUE"),
            (crate::checked::binary(crate::decimal::Operation::Add, col("a"), lit(1_i64)), "a + 1"),
        ] {
            assert_eq!(shown(&expr), wanted);
        }
        let written = Words { casts: true, names: HashMap::from([("x + Int64(1)".into(), "x + 1".into())]) };
        assert_eq!(written.of(&cast(ident("x + Int64(1)"), DataType::Utf8View)), "CAST(x + 1 AS STRING)");
    }

    #[test]
    fn types_are_said_in_sql() {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Decimal128(38, 10), true)));
        assert_eq!(type_name(&list), "ARRAY<DECIMAL(38, 10)>");
        assert_eq!(type_name(&DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))), "STRING");
    }
}
