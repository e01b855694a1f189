//! A session over the same tables in memory and in Parquet, and one line for a result.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::config::Dialect;
use datafusion::common::exec_err;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use sqlparser::ast::DataType as SqlType;

/// Name and rows of a table, as the query that makes it.
pub type Table<'a> = (&'a str, &'a str);

/// Failures are shown all at once, when the world ends.
pub struct World {
    failures: Mutex<Vec<String>>,
    memory: SessionContext,
    parquet: SessionContext,
    _folder: tempfile::TempDir,
}

pub fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().sql_parser.collect_spans = true;
    let state = ingot_semantics::state(config, Arc::default()).with_type_planner(Arc::new(Uuids));
    SessionContext::new_with_state(state.build())
}

/// UUID as the dialect stores it.
#[derive(Debug)]
struct Uuids;

impl TypePlanner for Uuids {
    fn plan_type_field(&self, of: &SqlType) -> datafusion::common::Result<Option<FieldRef>> {
        let uuid = || Arc::new(Field::new("", DataType::FixedSizeBinary(16), true));
        Ok(matches!(of, SqlType::Uuid).then(uuid))
    }
}

/// The plan, in other ways where there is none as it is: what the callers of `lower` do.
async fn planned(state: &SessionState, mut statement: Statement) -> datafusion::common::Result<LogicalPlan> {
    let mut planned = state.statement_to_plan(statement.clone()).await;
    while let (Err(error), Statement::Statement(tree)) = (&planned, &mut statement)
        && ingot_semantics::look_outside(tree, error)
    {
        planned = state.statement_to_plan(statement.clone()).await;
    }
    if let (Err(_), Statement::Statement(tree)) = (&planned, &mut statement)
        && ingot_semantics::name_twins(tree)
    {
        planned = state.statement_to_plan(statement.clone()).await;
    }
    if let (Err(_), Statement::Statement(tree)) = (&planned, &mut statement)
        && let Some(why) = ingot_semantics::name_used_twins(tree)
        && state.statement_to_plan(statement).await.is_ok()
    {
        return Err(why);
    }
    planned
}

async fn collect(ctx: &SessionContext, sql: &str) -> datafusion::common::Result<Vec<RecordBatch>> {
    let state = ctx.state();
    let mut statement = state.sql_to_statement(sql, &Dialect::Generic)?;
    if let Statement::Statement(tree) = &mut statement {
        ingot_semantics::lower(tree)?;
    }
    let plan = planned(&state, statement).await?;
    // What was analyzed may be analyzed again.
    let analyzer = state.analyzer();
    let once = analyzer.execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let twice = analyzer.execute_and_check(once.clone(), state.config_options(), |_, _| {})?;
    if once.display_indent().to_string() != twice.display_indent().to_string() {
        return exec_err!("analyzed twice: {}\n{}", once.display_indent(), twice.display_indent());
    }
    if plan.schema().field_names() != once.schema().field_names() {
        return exec_err!("names {:?} became {:?}", plan.schema().field_names(), once.schema().field_names());
    }
    let types = |schema: &datafusion::common::DFSchema| {
        schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>()
    };
    let batches = ctx.execute_logical_plan(plan).await?.collect().await?;
    for batch in &batches {
        let found: Vec<_> = batch.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        if types(once.schema()) != found {
            return exec_err!("types {:?} became {found:?}", types(once.schema()));
        }
    }
    Ok(batches)
}

/// Rows with `;`, columns with `|`, then the columns' types.
pub async fn line(ctx: &SessionContext, sql: &str) -> Result<(String, String), String> {
    let batches = collect(ctx, sql).await.map_err(|e| e.strip_backtrace())?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &arrow::array::ArrayRef| {
                if column.data_type().is_null() || column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    array_value_to_string(column, row).unwrap()
                }
            };
            rows.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join("|"));
        }
    }
    let types = batches.first().map_or(String::new(), |b| {
        b.schema().fields().iter().map(|f| f.data_type().to_string()).collect::<Vec<_>>().join("|")
    });
    Ok((rows.join(";"), types))
}

impl World {
    pub async fn new(tables: &[Table<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (memory, parquet) = (session(), session());
        for (name, query) in tables {
            let batches = collect(&memory, query).await.unwrap();
            let schema = batches[0].schema();
            let table = datafusion::datasource::MemTable::try_new(schema, vec![batches.clone()]).unwrap();
            memory.register_table(*name, Arc::new(table)).unwrap();
            let path = folder.path().join(format!("{name}.parquet"));
            let path = path.to_str().unwrap();
            let frame = memory.table(*name).await.unwrap();
            frame.write_parquet(path, DataFrameWriteOptions::new().with_single_file_output(true), None).await.unwrap();
            parquet.register_parquet(*name, path, ParquetReadOptions::default()).await.unwrap();
        }
        Self { failures: Mutex::default(), memory, parquet, _folder: folder }
    }

    fn failed(&self, text: String) {
        self.failures.lock().unwrap().push(text);
    }

    /// Checks a statement's rows.
    pub async fn rows(&self, sql: &str, expected: &str) {
        for (place, ctx) in [("memory", &self.memory), ("Parquet", &self.parquet)] {
            match line(ctx, sql).await {
                Ok((rows, _)) if rows == expected => {}
                Ok((rows, _)) => self.failed(format!("{place}: {sql}\n  wanted {expected}\n  found  {rows}")),
                Err(error) => self.failed(format!("{place}: {sql}\n  {error}")),
            }
        }
    }

    /// Checks a statement's rows and types.
    pub async fn typed(&self, sql: &str, expected: &str, types: &str) {
        self.rows(sql, expected).await;
        match line(&self.memory, sql).await {
            Ok((_, found)) if found != types => {
                self.failed(format!("{sql}\n  wanted {types}\n  found  {found}"));
            }
            _ => {}
        }
    }

    /// Checks that a statement fails with these words.
    pub async fn fails(&self, sql: &str, words: &str) {
        for (place, ctx) in [("memory", &self.memory), ("Parquet", &self.parquet)] {
            match line(ctx, sql).await {
                Ok((rows, _)) => self.failed(format!("{place}: {sql}\n  wanted an error\n  found {rows}")),
                Err(error) if error.contains(words) => {}
                Err(error) => self.failed(format!("{place}: {sql}\n  wanted {words}\n  {error}")),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let failures = self.failures.lock().unwrap();
        if !std::thread::panicking() {
            assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
        }
    }
}
