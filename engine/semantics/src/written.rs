//! Trees of SQL that rewrites write themselves: what a tree has no shorter way to say.
//!
//! Not here: the grammar (`ingot_dialect`).

use datafusion::common::{DataFusionError, Result};
use sqlparser::ast::{Expr, Query};

/// The expression of a text of our own.
pub(crate) fn expr(text: &str) -> Result<Expr> {
    ingot_dialect::written_expr(text).map_err(|e| DataFusionError::SQL(Box::new(e), None))
}

/// The query of a text of our own.
pub(crate) fn query(text: &str) -> Result<Query> {
    ingot_dialect::written_query(text).map_err(|e| DataFusionError::SQL(Box::new(e), None))
}
