//! `ALTER TABLE t EXECUTE ...` of `ingot sql`: upkeep of a table of the project, asked for in SQL.
//!
//! Not here: what each action does (`ingot_pipeline::execute`), the rows' printing (`sql`).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use ingot_dialect::ast::Command;
use ingot_dialect::{Diagnostic, client_command};
use ingot_lake::Lease;
use ingot_pipeline::error::PipelineError;
use ingot_pipeline::execute::Asked;
use ingot_project::project::SqlFile;

use crate::args::Global;
use crate::open::{self, Failure};
use crate::process;
use crate::tell::note;

/// What the statement did, as rows of a metric each; none where it is another statement.
pub async fn carried_out(global: &Global, sql: &str) -> Result<Option<RecordBatch>, Failure> {
    let Some(command) = client_command(sql).map_err(|d| wrong(global, sql, *d))? else { return Ok(None) };
    let Command::AlterExecute { table, action, options, filter } = command else { return Ok(None) };
    let asked = Asked::of(action, &options, filter)?;
    let engine = open::engine(global).await?;
    let name = open::table(engine.project(), &table.dotted())?;
    let stop = process::stop_on_signals()?;
    // Without the lease another process may run refreshes that read what this one would forget.
    let lease = Lease::acquire(engine.lake(), &engine.config().lease_key());
    match &lease {
        Ok(_) => engine.tell_readers().await,
        Err(held) if asked.forgets() => {
            return Err(PipelineError::Stopped {
                code: held.code(),
                message: format!("snapshots are forgotten by the process that keeps the tables fresh: {held}"),
                hint: Some("it does so by itself; stop it to forget more".into()),
                retryable: held.retryable(),
            }
            .into());
        }
        Err(_) => {}
    }
    let told = |line: &str| {
        if !global.quiet && !global.json {
            note!("{line}");
        }
    };
    let done = tokio::select! {
        done = engine.execute_upkeep(&name, &asked, &told) => done?,
        () = stop.cancelled() => return Err(PipelineError::Interrupted.into()),
    };
    let (names, values): (Vec<&str>, Vec<i64>) =
        done.into_iter().map(|(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX))).unzip();
    let columns: [(&str, ArrayRef); 2] =
        [("metric_name", Arc::new(StringArray::from(names))), ("metric_value", Arc::new(Int64Array::from(values)))];
    let rows = RecordBatch::try_from_iter(columns).map_err(|e| Failure::Outside(e.to_string()))?;
    Ok(Some(rows))
}

fn wrong(global: &Global, sql: &str, diagnostic: Diagnostic) -> Failure {
    let path = "statement".to_owned();
    Failure::Project {
        diagnostics: vec![Diagnostic { file: Some(path.clone()), ..diagnostic }],
        files: vec![SqlFile { path, text: sql.to_owned() }],
        json: global.json,
        color: false,
    }
}
