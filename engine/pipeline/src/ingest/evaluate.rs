//! One partition's messages through the statement: rows for the table, messages that it cannot store, and counts.
//!
//!   decoded rows ──▶ expectations counted ──▶ query ──▶ rows
//!                                               └─ fails for a row ──▶ told apart (`failing`) ──▶ messages with reasons
//!
//! Not here: where they are written (`act`), moving positions (`run`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::prelude::SessionContext;
use ingot_model::Partition;
use ingot_project::project::{DecodeErrorPolicy, Model, SourceModel};
use ingot_source::{PartitionBatch, SELECT_FAILS};

use crate::error::{PipelineError, Result};
use crate::failing;
use crate::refresh::changes;
use crate::refresh::expectations::{self, Counts};

/// What lets a table go on past messages that it cannot store.
const NO_PLACE: &str = "to keep such messages in a table and go on: ON DECODE ERROR INTO <namespace>.<table>";

/// The statement of a streaming table, and what it runs in.
pub(crate) struct Statement<'a> {
    pub(crate) ctx: &'a SessionContext,
    pub(crate) model: &'a Model,
    pub(crate) source: &'a SourceModel,
}

/// What became of one partition's messages. Every message is in one of them: a row that is kept or dropped by a rule, a
/// message that is refused, or one that the query leaves out.
#[derive(Default)]
pub(crate) struct Evaluated {
    /// Rows of the table.
    pub(crate) rows: Vec<RecordBatch>,
    /// Messages that cannot be stored, as rows of an error table.
    pub(crate) refusals: Vec<RecordBatch>,
    /// What the expectations did.
    pub(crate) counts: Counts,
    /// Messages that became rows.
    pub(crate) kept: u64,
    /// Messages refused.
    pub(crate) refused: u64,
    /// Messages dropped by a rule.
    pub(crate) dropped: u64,
    /// Messages that the query leaves out.
    pub(crate) filtered: u64,
}

impl Statement<'_> {
    /// Evaluates the messages of one partition.
    ///
    /// # Errors
    /// A message that cannot be stored where the table has no place for such; what fails otherwise.
    pub(crate) async fn evaluate(&self, partition: &Partition, part: PartitionBatch) -> Result<Evaluated> {
        if part.errors.num_rows() > 0 && self.model.on_decode_error == DecodeErrorPolicy::Fail {
            return Err(self.refused(partition, &part.errors, "S0107", NO_PLACE.to_owned()));
        }
        let mut decoded = part.rows.num_rows() as u64;
        let mut done = Evaluated { refusals: vec![part.errors], ..Evaluated::default() };
        if decoded > 0 {
            let now = Utc::now();
            done.rows = match self.query(part.rows.clone(), now, &mut done.counts).await {
                Err(error) if failing::of_a_row(&error) => {
                    let Some(messages) = &part.kept else { return Err(error) };
                    let apart = failing::apart(self.ctx, self.model, self.source, &part.rows, messages, now).await?;
                    if apart.errors.num_rows() == 0 {
                        return Err(error);
                    }
                    if !matches!(self.model.on_decode_error, DecodeErrorPolicy::Into(_)) {
                        let hint = error.hint().map_or(NO_PLACE.to_owned(), |hint| format!("{hint}; {NO_PLACE}"));
                        return Err(self.refused(partition, &apart.errors, SELECT_FAILS, hint));
                    }
                    decoded -= apart.errors.num_rows() as u64;
                    done.refusals.push(apart.errors);
                    done.counts = Counts::new();
                    self.query(apart.rows, now, &mut done.counts).await?
                }
                out => out?,
            };
        }
        let rows = |batches: &[RecordBatch]| batches.iter().map(|b| b.num_rows() as u64).sum();
        (done.kept, done.refused) = (rows(&done.rows), rows(&done.refusals));
        done.dropped = done.counts.values().map(|c| u64::try_from(c.dropped).unwrap_or(0)).sum();
        done.filtered = decoded.saturating_sub(done.kept + done.dropped);
        Ok(done)
    }

    async fn query(&self, rows: RecordBatch, now: DateTime<Utc>, counts: &mut Counts) -> Result<Vec<RecordBatch>> {
        let provider = changes::memory(rows.schema(), vec![rows.clone()])?;
        let source: Arc<dyn TableSource> = provider_as_source(provider);
        let name = self.source.name.clone();
        let bind = move |t: &TableReference| (t.table() == name).then(|| source.clone());
        let prepare = move |plan: LogicalPlan| Ok(ingot_delta::freeze_now(&plan, now)?);
        let relations: Vec<_> = self.model.checked.iter().collect();
        expectations::judge(self.ctx, self.model, &relations, &bind, &prepare, 1, counts).await?;
        failing::query(self.ctx, self.model, self.source, rows, now).await
    }

    /// The first message that cannot be stored, where the table has no place for such.
    fn refused(&self, partition: &Partition, errors: &RecordBatch, code: &'static str, hint: String) -> PipelineError {
        let offset = errors.column_by_name("offset").map(|c| c.as_primitive::<Int64Type>().value(0)).unwrap_or(-1);
        let text = |name: &str| {
            errors.column_by_name(name).map(|c| c.as_string::<i32>().value(0).to_owned()).unwrap_or_default()
        };
        let place = format!("the message at {}, partition {partition}, offset {offset}", self.source.connection);
        let what = match code == SELECT_FAILS {
            true => format!("decodes, but the statement fails for it: {}", text("reason")),
            false => format!("does not decode: {}: {}", text("code"), text("reason")),
        };
        PipelineError::stopped(code, format!("\"{}\": {place} {what}", self.model.name)).with_hint(hint)
    }
}
