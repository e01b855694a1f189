//! `sql`: a statement, a file, stdin, or a prompt; embedded, or against a running server.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use ingot_flight::client::Client;
use ingot_pipeline::engine::StepError;
use ingot_query::{Caller, Session};
use rustyline::error::ReadlineError;

use crate::alter;
use crate::args::{Format, Global, SqlArgs};
use crate::open::{self, Failure};
use crate::printable::{NamedDoubles, printable};
use crate::tell::note;

/// Rows that the table format shows before it says that there are more.
const TABLE_ROWS: usize = 10_000;

/// Where statements go.
enum Target {
    Embedded(Session, Box<Global>),
    Remote(Box<Client>),
}

pub type Rows = BoxStream<'static, Result<RecordBatch, Failure>>;

impl Target {
    async fn query(&mut self, sql: &str) -> Result<(SchemaRef, Rows), Failure> {
        match self {
            Self::Embedded(session, global) => {
                if let Some(done) = alter::carried_out(global, sql).await? {
                    return Ok((done.schema(), futures::stream::iter([Ok(done)]).boxed()));
                }
                let planned = session.plan(&Caller::ANONYMOUS, sql, None).await.map_err(query_error)?;
                let schema = planned.schema.clone();
                let rows = session.execute(&Caller::ANONYMOUS, &planned, None).await.map_err(query_error)?;
                let rows = rows.map_err(|e| query_error(ingot_query::QueryError::from(e)));
                Ok((schema, rows.boxed()))
            }
            Self::Remote(client) => {
                let (schema, rows) = client.query(sql).await.map_err(|e| Failure::Outside(e.to_string()))?;
                Ok((schema, rows.map_err(|e| Failure::Outside(e.to_string())).boxed()))
            }
        }
    }
}

pub fn query_error(e: ingot_query::QueryError) -> Failure {
    Failure::Step(StepError {
        code: e.code.to_owned(),
        exit_code: if e.retryable { 3 } else { 1 },
        retryable: e.retryable,
        message: match e.excerpt() {
            Some(excerpt) => format!("{}\n{excerpt}", e.message),
            None => e.message.clone(),
        },
        hint: e.hint,
    })
}

pub async fn sql(global: &Global, args: &SqlArgs) -> Result<u8, Failure> {
    let mut target = match &args.connect {
        Some(uri) => Target::Remote(Box::new(Client::connect(uri).await.map_err(|e| Failure::Outside(e.to_string()))?)),
        None => {
            let session = open::queried(global).await?.session().map_err(query_error)?;
            Target::Embedded(session, Box::new(global.clone()))
        }
    };
    let statement = match (&args.statement, &args.file) {
        (Some(s), _) => Some(s.clone()),
        (None, Some(file)) => Some(std::fs::read_to_string(file)?),
        (None, None) if std::io::stdin().is_terminal() => None,
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text)
        }
    };
    let format = if global.json { Format::Json } else { args.format };
    match statement {
        Some(text) => {
            let statements = ingot_dialect::statements(&text);
            if statements.is_empty() {
                return Err(Failure::Usage("there is no statement".into()));
            }
            for s in statements {
                let (schema, rows) = target.query(&s).await?;
                print(schema, rows, format).await?;
            }
            Ok(0)
        }
        None => prompt(&mut target, format).await,
    }
}

async fn prompt(target: &mut Target, format: Format) -> Result<u8, Failure> {
    let outside = |e: ReadlineError| Failure::Outside(e.to_string());
    let mut editor = rustyline::DefaultEditor::new().map_err(outside)?;
    let history = std::env::var_os("HOME").map(|h| std::path::PathBuf::from(h).join(".ingot_history"));
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    note!("end a statement with ; and leave with \\q or Ctrl-D");
    let mut text = String::new();
    loop {
        match editor.readline(if text.is_empty() { "ingot> " } else { "  ...> " }) {
            Ok(line) if text.is_empty() && matches!(line.trim(), "\\q" | "exit" | "quit") => break,
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
                if !line.trim_end().ends_with(';') {
                    continue;
                }
                let statement = std::mem::take(&mut text);
                let _ = editor.add_history_entry(statement.trim());
                for s in ingot_dialect::statements(&statement) {
                    let result = match target.query(&s).await {
                        Ok((schema, rows)) => print(schema, rows, format).await,
                        Err(e) => Err(e),
                    };
                    if let Err(e) = result {
                        e.print();
                    }
                }
            }
            Err(ReadlineError::Interrupted) => text.clear(),
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(outside(e)),
        }
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    Ok(0)
}

fn arrow(e: arrow::error::ArrowError) -> Failure {
    match e {
        arrow::error::ArrowError::IoError(_, io) => io.into(),
        e => Failure::Outside(e.to_string()),
    }
}

async fn print(schema: SchemaRef, mut rows: Rows, format: Format) -> Result<(), Failure> {
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    match format {
        Format::Table => {
            let mut out = out;
            let mut kept = vec![printable(&RecordBatch::new_empty(schema), true).map_err(arrow)?];
            let (mut shown, mut total) = (0, 0);
            while let Some(batch) = rows.try_next().await? {
                total += batch.num_rows();
                if shown < TABLE_ROWS {
                    let some = batch.slice(0, batch.num_rows().min(TABLE_ROWS - shown));
                    shown += some.num_rows();
                    kept.push(printable(&some, true).map_err(arrow)?);
                }
            }
            writeln!(out, "{}", pretty_format_batches(&kept).map_err(arrow)?)?;
            if shown < total {
                writeln!(out, "{shown} of {total} rows shown; --format csv prints all")?;
            }
            out.flush()?;
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
            writer.write(&printable(&RecordBatch::new_empty(schema), true).map_err(arrow)?).map_err(arrow)?;
            while let Some(batch) = rows.try_next().await? {
                writer.write(&printable(&batch, true).map_err(arrow)?).map_err(arrow)?;
            }
            writer.into_inner().flush()?;
        }
        Format::Json => {
            let mut writer = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(NamedDoubles))
                .build::<_, arrow::json::writer::JsonArray>(out);
            while let Some(batch) = rows.try_next().await? {
                writer.write(&printable(&batch, false).map_err(arrow)?).map_err(arrow)?;
            }
            writer.finish().map_err(arrow)?;
            let mut out = writer.into_inner();
            writeln!(out)?;
            out.flush()?;
        }
        Format::Arrow => {
            let mut writer = arrow::ipc::writer::StreamWriter::try_new(out, &schema).map_err(arrow)?;
            while let Some(batch) = rows.try_next().await? {
                writer.write(&batch).map_err(arrow)?;
            }
            writer.into_inner().map_err(arrow)?.flush()?;
        }
    }
    Ok(())
}
