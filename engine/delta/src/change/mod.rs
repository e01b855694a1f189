//! How a change goes through a plan, one file an operator: plans that are run over inserted and over deleted rows.
//!
//! A linear plan is its own change.
//!
//! Not here: what a plan is (`shape`), how its change lands (`target`).

use datafusion::logical_expr::LogicalPlan;

use crate::error::Result;
use crate::shape::classify::KeyedOperator;

mod aggregate;
mod keep_first;
pub(crate) mod restrict;

impl KeyedOperator {
    /// What the operator knows of each key of `input`: the states of all groups, or the winners of all keys.
    pub(crate) fn partials(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        match self {
            Self::KeepFirst(k) => k.partials(input),
            Self::Aggregate(a) => a.partials(input),
        }
    }
}
