//! `changes('namespace.table', from, to)` in a statement: whose changes, and between which snapshots.
//!
//! Invariants
//! * Every argument is a literal: which snapshots are meant is known before the statement is planned.
//! * A name within the text is read as any name of a statement.
//!
//! Not here: whether table and snapshots exist (`names`), the rows (`changes`).

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableFunctionArgs, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::Version;
use ingot_dialect::written_expr;

use crate::error::{ErrorKind, QueryError};

/// The function's name.
const NAME: &str = "changes";

/// Two snapshots of a table, as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Between {
    /// `None`: from no rows at all.
    pub from: Option<Version>,
    /// `None`: the head.
    pub to: Option<Version>,
}

/// Whether a table function is this one.
pub(crate) fn is_changes(function: &ObjectName) -> bool {
    matches!(function.0.as_slice(), [part] if part.as_ident().is_some_and(|name| name.value.eq_ignore_ascii_case(NAME)))
}

/// The table of a call, and what is asked of it.
///
/// # Errors
/// Arguments that are none of `'table'`, a snapshot's id, the name of a branch or tag, and NULL.
pub(crate) fn read(
    sql: &str,
    function: &ObjectName,
    call: &TableFunctionArgs,
) -> Result<(Vec<Ident>, Between), QueryError> {
    let place = function.0.first().and_then(|part| part.as_ident()).map_or_else(Span::empty, |name| name.span);
    let wrong = |what: &str| {
        QueryError::new(ErrorKind::Syntax, what)
            .with_hint("write changes('namespace.table', from, to): each a snapshot's id, or a branch or tag as text; NULL, or no `to`, stands for before the first row and for now")
            .at(sql, place)
    };
    let mut literals = Vec::new();
    for argument in &call.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
            return Err(wrong("the arguments of changes() have no names"));
        };
        literals.push(Literal::of(expr).ok_or_else(|| wrong("the arguments of changes() are literals"))?);
    }
    let (table, from, to) = match literals.as_slice() {
        [Literal::Text(table), from] => (table, from, &Literal::Null),
        [Literal::Text(table), from, to] => (table, from, to),
        _ => return Err(wrong("changes() takes a table's name and two snapshots")),
    };
    let no_name = || wrong("the first argument of changes() is not a table's name");
    let mut parts = match written_expr(table).map_err(|_| no_name())? {
        Expr::Identifier(part) => vec![part],
        Expr::CompoundIdentifier(parts) => parts,
        _ => return Err(no_name()),
    };
    parts.iter_mut().for_each(|part| part.span = place);
    Ok((parts, Between { from: from.version(), to: to.version() }))
}

enum Literal {
    Text(String),
    Id(i64),
    Null,
}

impl Literal {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(Self::Text(text.clone())),
                Value::Number(digits, _) => digits.parse().ok().map(Self::Id),
                Value::Null => Some(Self::Null),
                _ => None,
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match Self::of(expr)? {
                Self::Id(id) => id.checked_neg().map(Self::Id),
                _ => None,
            },
            _ => None,
        }
    }

    fn version(&self) -> Option<Version> {
        match self {
            Self::Text(name) => Some(Version::Ref(name.clone())),
            Self::Id(id) => Some(Version::Id(*id)),
            Self::Null => None,
        }
    }
}
