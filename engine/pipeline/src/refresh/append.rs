//! A streaming table over another table: the rows appended there since go into it as they come.
//!
//! Invariants
//! * Rows are appended once and never taken back: where rows of the input were removed or replaced, it stops. Rows that were
//!   erased there are passed by: they stay until they are erased here.
//! * What was read without a row to append is recorded now and then, so that the input need not keep its history for it.
//!
//! Not here: views (`act`), streaming tables over a source (`ingest`).

use std::time::{Duration, Instant};

use ingot_lake::{Commit, Table, Writer};
use ingot_model::{Operation, TableName};

use super::act::{Job, Outcome, Prepared, Ready};
use super::changes::{self, Changed};
use super::made_by;
use super::read::Bound;
use crate::error::{PipelineError, Result};

/// How old the snapshot may be at which a table stands by what it records, while it reads on and has nothing to append.
const PROGRESS: Duration = Duration::from_secs(600);

impl Job<'_> {
    /// A streaming table over another table: the rows appended there since, with this definition from here on.
    ///
    /// # Errors
    /// R0309 when rows of the input were removed or replaced; as [`Job::run`].
    pub async fn append(&self, target: Option<Table>) -> Result<Outcome> {
        let started = Instant::now();
        let is_new = target.is_none();
        let table = match target {
            Some(table) => table,
            None => self.lake.draft(&self.model.name, &self.definition())?,
        };
        let mut bound = Bound::new();
        let (mut rows_in, mut files) = (0, vec![]);
        for (name, input) in &self.inputs {
            let changed = input.change_past_erasures(self.ctx, self.bytes_max).await?;
            let change = match changed {
                Changed::Rows(change) if change.deleted.is_none() => change,
                // Appended now, rows would lack the column's values for ever.
                Changed::Redefined { column } => return Err(self.redefined_below(name, &column)),
                Changed::Rows(_) => return Err(self.replaced_below(name)),
                Changed::TooLarge { bytes } => return Err(self.too_much_below(name, bytes)),
            };
            rows_in += change.rows_inserted;
            files.extend(change.files);
            bound.insert(
                name.clone(),
                change.inserted.map_or_else(|| changes::empty(input.table.defined_schema()), Ok)?,
            );
        }
        let same = table.past().fingerprint() == Some(&self.model.fingerprint);
        let definition = self.definition();
        let redefine = (!same && !is_new).then_some(&definition);
        let written = async {
            let reading = self.read(&bound, 1).await?;
            if let Some(column) = redefine.map(|d| table.redefined_by(d)).transpose()?.flatten() {
                return Err(crate::ingest::act::redefined(self.model, &table, &column));
            }
            let pool = &self.ctx.runtime_env().memory_pool;
            let mut writer = Writer::new(&table, redefine)?.enforcing(&definition).counted_in(pool);
            let filled = self.fill(&mut writer, reading.rows, &reading.verdicts).await;
            writer.close_after(filled).await
        };
        let ((rows_out, counts), add) = match written.await {
            Ok(written) => written,
            Err(error) => return Err(self.first_said(&bound, error).await),
        };
        if add.is_empty() && same && !self.stands_on_old(&table)? {
            return Ok(Outcome::nothing(files));
        }
        let refreshed = self.refreshed("append", None, rows_in, rows_out, started, &counts);
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: Operation::Append,
            add,
            summary: self.summary(&refreshed)?,
            definition: redefine.cloned(),
            set_properties: made_by::recorded_with(&table, &self.model.fingerprint)?.into_iter().collect(),
            ..Commit::default()
        };
        let outcome = Outcome { mode: "append".into(), rows_in, rows_out, files, ..Outcome::default() };
        self.land(Prepared::Commit(Box::new(Ready { table, is_new, commit, outcome }))).await
    }

    /// Whether the table records an old snapshot of an input and has read a later one.
    fn stands_on_old(&self, table: &Table) -> Result<bool> {
        let past = table.past();
        let recorded = past.newest_of_ours().map(|ours| ours.sources()).transpose()?.flatten().unwrap_or_default();
        let old = self.now.timestamp_millis() - i64::try_from(PROGRESS.as_millis()).unwrap_or(i64::MAX);
        Ok(self.inputs.iter().any(|(name, input)| {
            let at = recorded.get(name).and_then(|(_, id)| *id);
            // What is before an erasure is about to be forgotten.
            let erased = |since: i64| {
                let mut later = input.table.metadata().snapshots().filter(|s| s.sequence_number() > since);
                later.any(|s| input.table.snapshot(s.snapshot_id()).is_some_and(|s| s.erases_rows()))
            };
            let is_old =
                |id| input.table.snapshot(id).is_none_or(|s| s.timestamp_ms <= old || erased(s.sequence_number));
            at != input.to && at.is_none_or(is_old)
        }))
    }

    fn redefined_below(&self, input: &TableName, column: &str) -> PipelineError {
        let reader = &self.model.name;
        PipelineError::stopped(
            "R0309",
            format!(
                "\"{reader}\" reads STREAM {input}, whose column \"{column}\" was made anew or changed its type since"
            ),
        )
        .with_hint(format!(
            "if another engine did this, run again when \"{input}\" has its column back; else `ingot refresh {reader} \
             --full` reads it again"
        ))
    }

    fn too_much_below(&self, input: &TableName, bytes: u64) -> PipelineError {
        let reader = &self.model.name;
        let text = format!(
            "\"{reader}\" reads STREAM {input}, of which {bytes} bytes of files were rewritten since, more than fits in \
             memory to tell whether rows were replaced"
        );
        let hint = format!("allow more with run.memory_bytes_max; or ingot refresh {reader} --full reads it again");
        PipelineError::stopped("R0309", text).with_hint(hint)
    }

    fn replaced_below(&self, input: &TableName) -> PipelineError {
        let reader = &self.model.name;
        PipelineError::stopped(
            "R0309",
            format!("\"{reader}\" reads STREAM {input}, but rows of it were removed or replaced"),
        )
        .with_hint(format!("ingot refresh {reader} --full reads it again"))
    }
}
