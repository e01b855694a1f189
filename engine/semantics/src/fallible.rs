//! Which expressions can fail for a row.
//!
//! In doubt an expression can. Constants cannot: they fail, if at all, for every row alike and before any is read.
//! DOUBLE has infinities and NaN instead of failures.
//!
//! Not here: what follows from it (`guard`).

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use crate::checked::{ArithmeticKind, checked};
use crate::decimal::{Operation, Shape};

/// Functions of DataFusion that fail for some values.
const FUNCTIONS: &[&str] = &[
    "array_avg",
    "array_sum",
    "arrow_cast",
    "chr",
    "decode",
    "factorial",
    "from_unixtime",
    "gcd",
    "generate_series",
    "ingot_interval_divide",
    "ingot_interval_multiply",
    "lcm",
    "make_date",
    "make_time",
    "map",
    "range",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "to_char",
    "to_date",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
];

/// Functions of DataFusion that fail for some numbers after their first argument.
const FUNCTIONS_OF_NUMBERS: &[&str] = &[
    "array_element",
    "array_position",
    "array_repeat",
    "array_resize",
    "array_slice",
    "lpad",
    "overlay",
    "rpad",
    "split_part",
    "substr",
];

/// Functions that have a value for every argument.
pub(crate) const TOTAL: &[&str] = &[
    "array_length",
    "bit_length",
    "btrim",
    "cardinality",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "date_part",
    "ends_with",
    "get_field",
    "greatest",
    "ingot_try_cast",
    "initcap",
    "least",
    "lower",
    "ltrim",
    "make_array",
    "md5",
    "named_struct",
    "now",
    "nullif",
    "nvl",
    "octet_length",
    "reverse",
    "rtrim",
    "sha256",
    "starts_with",
    "strpos",
    "struct",
    "translate",
    "trim",
    "upper",
];

/// Whether some expression of a plan can fail for a row, before or after the plan is analyzed. In doubt it can: what is
/// not known to have a value for every row counts.
pub fn plan_can_fail(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        let inputs: Vec<_> = node.inputs().iter().map(|input| input.schema().clone()).collect();
        let schema = match inputs.split_first() {
            Some((first, rest)) => rest.iter().try_fold(first.as_ref().clone(), |all, more| all.join(more))?,
            None => node.schema().as_ref().clone(),
        };
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                found |= node_can_fail(e, &schema)? || !is_total(e, &schema)?;
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// Whether some part of the expression can fail. Plans of subqueries do not count.
pub(crate) fn can_fail(expr: &Expr, schema: &dyn ExprSchema) -> Result<bool> {
    let mut found = false;
    expr.apply(|e| {
        found = node_can_fail(e, schema)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an expression, its arguments apart, is known to have a value for every row.
fn is_total(expr: &Expr, schema: &dyn ExprSchema) -> Result<bool> {
    Ok(match expr {
        Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_) | Expr::Case(_) | Expr::InList(_) | Expr::Between(_) => {
            true
        }
        Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) => true,
        Expr::IsUnknown(_) | Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
        Expr::Like(like) => matches!(like.pattern.as_ref(), Expr::Literal(..)),
        Expr::Negative(inner) => inner.get_type(schema)?.is_floating(),
        Expr::Cast(cast) => {
            let (from, to) = (cast.expr.get_type(schema)?, cast.field.data_type());
            let plain = from.is_numeric() && to.is_numeric() || matches!(to, DataType::Utf8 | DataType::Utf8View);
            from == *to || matches!(cast.expr.as_ref(), Expr::Literal(..)) || plain && !from.is_nested()
        }
        Expr::TryCast(_) => true,
        // Text of an instant or a UUID.
        Expr::ScalarFunction(call) if call.func.name() == "ingot_cast" => {
            matches!(expr.get_type(schema)?, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        Expr::BinaryExpr(binary) => match binary.op {
            op if op.is_logic_operator() || op.supports_propagation() => true,
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom | Operator::StringConcat => true,
            _ => expr.get_type(schema)?.is_floating(),
        },
        // Others of ours say for themselves, in `node_can_fail`.
        Expr::ScalarFunction(call) => checked(expr).is_some() || TOTAL.contains(&call.func.name()),
        _ => false,
    })
}

/// Whether an expression, its arguments apart, can fail.
pub(crate) fn node_can_fail(expr: &Expr, schema: &dyn ExprSchema) -> Result<bool> {
    if let Some((kind, args)) = checked(expr) {
        if args.iter().all(|a| matches!(a, Expr::Literal(..))) {
            return Ok(false);
        }
        // A type below the limit was not cut: it holds every result.
        let roomy = matches!(expr.get_type(schema)?, DataType::Decimal128(p, _) if p < 38);
        return Ok(match (kind, args) {
            (ArithmeticKind::Binary(Operation::Divide | Operation::Remainder), [_, divisor]) => {
                !is_harmless(divisor, roomy)
            }
            (ArithmeticKind::Binary(_), _) => !roomy,
            (ArithmeticKind::Negate | ArithmeticKind::Absolute, _) => true,
        });
    }
    Ok(match expr {
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(..) => false,
            inner => cast_can_fail(&inner.get_type(schema)?, cast.field.data_type()),
        },
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.first()) {
            ("ingot_cast", Some(Expr::Literal(..))) => false,
            ("ingot_cast", Some(argument)) => cast_can_fail(&argument.get_type(schema)?, &expr.get_type(schema)?),
            ("round", _) => match expr.get_type(schema)? {
                DataType::Decimal128(p, _) => p >= 38,
                other => other.is_integer() && call.args.len() > 1,
            },
            ("timezone", Some(zone)) => !matches!(zone, Expr::Literal(..)),
            (name, _) => {
                let constant = || call.args.iter().skip(1).all(|a| matches!(a, Expr::Literal(..)));
                FUNCTIONS.contains(&name) || FUNCTIONS_OF_NUMBERS.contains(&name) && !constant()
            }
        },
        // A pattern that is no regular expression.
        Expr::BinaryExpr(binary) => {
            let matches = matches!(
                binary.op,
                Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch
            );
            matches && !matches!(binary.right.as_ref(), Expr::Literal(..))
        }
        _ => false,
    })
}

/// A constant that divides every value: neither zero nor, for integers, -1.
fn is_harmless(divisor: &Expr, roomy: bool) -> bool {
    let divisor = match divisor {
        Expr::Cast(cast) => cast.expr.as_ref(),
        other => other,
    };
    match divisor {
        Expr::Literal(ScalarValue::Decimal128(Some(v), ..), _) => roomy && *v != 0,
        Expr::Literal(value, _) if value.data_type().is_integer() => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(v))) => v != 0 && v != -1,
            _ => false,
        },
        _ => false,
    }
}

/// Whether a cast between these types fails for some value.
pub(crate) fn cast_can_fail(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    if from == to || matches!(from, Null | Boolean) {
        return false;
    }
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    match (from, to) {
        (Binary | LargeBinary | BinaryView, FixedSizeBinary(_)) => true,
        (from, to) if text(to) => matches!(from, Binary | LargeBinary | BinaryView),
        (from, _) if text(from) => !matches!(to, Binary | LargeBinary | BinaryView),
        (Dictionary(_, value), to) => cast_can_fail(value, to),
        (from, Float16 | Float32 | Float64) => !(from.is_numeric() || matches!(from, Date32 | Timestamp(..))),
        // Unsigned integers come from functions that count.
        (UInt64, Int64) => false,
        (from, to) if from.is_integer() && to.is_integer() => {
            let bytes = |t: &DataType| t.primitive_width().unwrap_or(8);
            let wider = bytes(to) > bytes(from);
            !(wider || bytes(to) == bytes(from) && from.is_signed_integer() == to.is_signed_integer())
        }
        (from, Decimal128(..) | Decimal256(..)) => match (shape(from), shape(to)) {
            (Some((p1, s1)), Some((p2, s2))) => {
                // Rounding may carry into one more digit.
                let carry = i16::from(s2 < s1);
                i16::from(p2) - i16::from(s2) < i16::from(p1) - i16::from(s1) + carry
            }
            _ => true,
        },
        (from, to) if to.is_numeric() => from.is_numeric() || text(from),
        (Int64 | UInt64, Date32) => true,
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to) | LargeList(to) | FixedSizeList(to, _)) => {
            cast_can_fail(from.data_type(), to.data_type())
        }
        (from, to) => from.is_nested() && to.is_nested(),
    }
}

fn shape(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal256(p, s) => Some((*p, *s)),
        // 19 digits hold a BIGINT.
        DataType::Int64 => Some((19, 0)),
        other => Shape::of(other).map(|s| (s.precision, s.scale)),
    }
}
