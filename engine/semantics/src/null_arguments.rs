//! Functions of NULL where the planner or the function wants a constant that is something.
//!
//!   round(d, NULL), date_trunc(NULL, t)   ──▶ NULL
//!   lag(x, NULL) OVER (..)                ──▶ CASE WHEN FALSE THEN x END, NULL of its type
//!   NULL || NULL                          ──▶ NULL
//!
//! Not here: values that are NULL for a row, which the functions themselves know.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
    helpers::attached_token::AttachedToken,
};

use crate::outputs::bare;

/// Functions that are NULL if an argument is.
const STRICT: [&str; 7] = ["round", "trunc", "date_trunc", "datetrunc", "date_part", "datepart", "ntile"];

/// Functions of a list that is NULL; their other arguments may be.
const OF_LIST: [&str; 17] = [
    "array_length",
    "list_length",
    "cardinality",
    "array_to_string",
    "list_to_string",
    "array_join",
    "list_join",
    "array_slice",
    "list_slice",
    "array_position",
    "list_position",
    "array_indexof",
    "list_indexof",
    "array_positions",
    "list_positions",
    "array_ndims",
    "list_ndims",
];

/// Rewrites a call, or an operator.
pub(crate) fn in_expr(expr: &mut Expr) {
    let null = match expr {
        Expr::Function(call) => {
            let FunctionArguments::List(list) = &call.args else { return };
            let plain = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            };
            let Some(args) = list.args.iter().map(plain).collect::<Option<Vec<_>>>() else { return };
            let name = call.name.to_string().to_lowercase();
            match (name.as_str(), args.as_slice()) {
                ("lag" | "lead", [value, offset, ..]) if call.over.is_some() && is_null(offset) => typed(value.clone()),
                (name, args) if STRICT.contains(&name) && args.iter().any(is_null) => Expr::value(Value::Null),
                (name, [list, ..]) if OF_LIST.contains(&name) && is_null(list) => Expr::value(Value::Null),
                _ => return,
            }
        }
        Expr::Extract { expr: of, .. } if is_null(of) => Expr::value(Value::Null),
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } if is_null(left) && is_null(right) => {
            Expr::value(Value::Null)
        }
        _ => return,
    };
    *expr = null;
}

fn is_null(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Value(value) => value.value == Value::Null,
        Expr::Cast { expr, .. } => is_null(expr),
        _ => false,
    }
}

/// NULL of the type that a value has.
fn typed(value: Expr) -> Expr {
    let never = CaseWhen { condition: Expr::value(Value::Boolean(false)), result: value };
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![never],
        else_result: None,
    }
}
