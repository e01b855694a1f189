//! The change of a GROUP BY: states of the groups of some rows.
//!
//! Not here: which states there are (`shape::aggregate`), merging them (`target::aggregate`).

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::error::Result;
use crate::shape::aggregate::Aggregate;

impl Aggregate {
    /// Groups with their states over `input`: key values as k0.., then states as s0...
    pub(crate) fn partials(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let states: Vec<Expr> =
            self.states.iter().enumerate().map(|(i, s)| s.expr.clone().alias(format!("__ingot_s{i}"))).collect();
        let keys: Vec<Expr> = self
            .keys
            .iter()
            .enumerate()
            .map(|(i, k)| k.clone().unalias_nested().data.alias(format!("__ingot_k{i}")))
            .collect();
        let plan = LogicalPlanBuilder::from(input).aggregate(keys, states)?.build()?;
        let names = plan.schema().iter().enumerate().map(|(i, (q, f))| {
            let column = Expr::Column(Column::new(q.cloned(), f.name()));
            column.alias(if i < self.keys.len() { format!("k{i}") } else { format!("s{}", i - self.keys.len()) })
        });
        Ok(LogicalPlanBuilder::from(plan.clone()).project(names.collect::<Vec<_>>())?.build()?)
    }
}
