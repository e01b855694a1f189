//! The change of a choice of one row a key: the winners of some rows.
//!
//! Not here: which rows compete (`shape::keep_first`), merging winners (`target::keep_first`).

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use crate::error::Result;
use crate::shape::keep_first::KeepFirst;

impl KeepFirst {
    /// The winners among the rows of `input`: its columns as c0...
    pub(crate) fn partials(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let columns = input
            .schema()
            .iter()
            .enumerate()
            .map(|(i, (q, f))| Expr::Column(Column::new(q.cloned(), f.name())).alias(format!("c{i}")));
        let columns: Vec<Expr> = columns.collect();
        let plan = LogicalPlanBuilder::from(input).window(vec![self.window.clone()])?.build()?;
        let (qualifier, field) = plan.schema().qualified_field(columns.len());
        let number = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        Ok(LogicalPlanBuilder::from(plan.clone()).filter(number.eq(lit(1u64)))?.project(columns)?.build()?)
    }
}
