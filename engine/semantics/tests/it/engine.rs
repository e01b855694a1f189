//! Runs SQL text as the engine does: lowered, planned and analyzed by a state of this crate.
//!
//! Not here: right answers, which each test has from elsewhere.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use datafusion::common::config::Dialect;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;

pub struct Engine(pub SessionContext);

impl Engine {
    pub fn new() -> Self {
        let config = SessionConfig::new().with_target_partitions(2);
        Self(SessionContext::new_with_state(ingot_semantics::state(config, Arc::default()).build()))
    }

    /// With tables that these statements make.
    pub async fn with(statements: &[&str]) -> Self {
        let engine = Self::new();
        for sql in statements {
            engine.batches(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        engine
    }

    pub async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let state = self.0.state();
        let mut statement = state.sql_to_statement(sql, &Dialect::Generic)?;
        if let Statement::Statement(tree) = &mut statement {
            ingot_semantics::lower(tree)?;
        }
        let plan = state.statement_to_plan(statement).await?;
        self.0.execute_logical_plan(plan).await?.collect().await
    }

    /// The rows as text, `a|b`, in the order of the result.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        self.try_rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub async fn try_rows(&self, sql: &str) -> Result<Vec<String>> {
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        for batch in self.batches(sql).await? {
            let columns = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c.as_ref(), &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                rows.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
            }
        }
        Ok(rows)
    }

    /// The rows sorted as text, with one space between them.
    pub async fn sorted(&self, sql: &str) -> String {
        let mut rows = self.rows(sql).await;
        rows.sort();
        rows.join(" ")
    }
}
