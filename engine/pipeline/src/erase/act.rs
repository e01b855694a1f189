//! Takes rows out, has the readers follow, and forgets what held them.
//!
//! ```text
//!   streams read on ─▶ rows out, files written anew ─▶ each reader refreshed ─▶ all history forgotten, files deleted
//!                                          └── after each: its manifests tell of live files alone ──┘
//! ```
//!
//! Not here: what goes (`find`).

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use ingot_lake::{
    Basis, Commit, DataFile, FileRef, Forgotten, LakeTableProvider, Rebase, ScanOptions, Small, Table, Writer, crash,
    live_files,
};
use ingot_model::place::POSITION;
use ingot_model::{Count, Operation, Record, SnapshotInfo, TableName, Versions, table_properties};
use tokio_util::sync::CancellationToken;

use super::asked::{Asked, Done, Erasure};
use super::find::{Found, Places, position};
use crate::engine::Engine;
use crate::error::{PipelineError, Result};
use crate::maintain::{Told, compaction};
use crate::refresh::made_by;
use crate::refresh::rewrite::{arrow, column, without_places};

/// How often rows are looked for again because another writer was first.
const AGAIN_MAX: usize = 3;

impl Engine {
    /// Takes the rows out, and everything that held them. The project's lease is held.
    ///
    /// # Errors
    /// As `erasure`; the readers' own; lake errors. Whatever it ended with, doing it again goes on.
    pub async fn erase(&self, asked: &Asked, stop: &CancellationToken, told: Told<'_>) -> Result<Done> {
        self.tell_readers().await;
        let erasure = self.take_out(asked, stop, told).await?;
        let mut purged: Vec<(TableName, i64)> = Vec::new();
        for name in erasure.errors.iter().map(|side| &side.table).chain([&asked.table]) {
            purged.extend(self.purged(name).await?.map(|head| (name.clone(), head)));
        }
        for name in
            self.project().order.iter().filter(|name| erasure.readers.contains(name) || erasure.kept.contains(name))
        {
            if self.lake().load_table(name).await?.is_none() {
                continue;
            }
            self.follows(name, stop).await?;
            told(&format!("{name}  follows"));
            if erasure.readers.contains(name) {
                purged.extend(self.purged(name).await?.map(|head| (name.clone(), head)));
            }
            crash::point("erase.followed", name);
        }
        let mut done = Done { erasure, snapshots: 0, files_deleted: 0 };
        for (name, head) in &purged {
            let lost = |e| PipelineError::commit(name, e);
            let Forgotten { snapshots, files, .. } = self.lake().forget_all(name, *head).await.map_err(lost)?;
            told(&format!("{name}  {snapshots} snapshots forgotten, {files} files deleted"));
            done.snapshots += snapshots;
            done.files_deleted += files;
        }
        Ok(done)
    }

    async fn take_out(&self, asked: &Asked, stop: &CancellationToken, told: Told<'_>) -> Result<Erasure> {
        let mut gone: BTreeMap<TableName, u64> = BTreeMap::new();
        let mut tries = 0;
        loop {
            // Where they stand is where rows go out: they never read what was taken out since.
            let Erasure { kept, .. } = self.erasure(asked).await?;
            for name in &kept {
                if self.lake().load_table(name).await?.is_some() {
                    self.follows(name, stop).await?;
                }
            }
            let Found { mut erasure, places } = self.found(asked).await?;
            let mut lost = None;
            for (table, rows) in &places {
                match self.without(table, rows).await {
                    Ok(()) => {
                        let n: u64 = rows.values().map(|rows| rows.len() as u64).sum();
                        *gone.entry(table.name().clone()).or_default() += n;
                        told(&format!("{}  {n} rows taken out", table.name()));
                        crash::point("erase.taken_out", table.name());
                    }
                    Err(error @ PipelineError::Superseded { .. }) if tries < AGAIN_MAX => lost = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if lost.is_none() {
                let told = |name: &TableName| gone.get(name).copied().unwrap_or(0);
                erasure.rows = told(&erasure.table);
                erasure.errors.iter_mut().for_each(|side| side.rows = told(&side.table));
                return Ok(erasure);
            }
            tries += 1;
        }
    }

    /// One commit: the files that hold some rows, written anew without them.
    async fn without(&self, table: &Table, places: &Places) -> Result<()> {
        let Some(head) = table.head().filter(|_| !places.is_empty()) else { return Ok(()) };
        let live = live_files(table, head).await?;
        let held: Vec<FileRef> = live.into_iter().filter(|file| places.contains_key(&file.path)).collect();
        let pool = &self.context().runtime_env().memory_pool;
        let mut writer = Writer::new(table, None)?.counted_in(pool).keeping_lineage();
        let filled = self.rest_of(table, &held, places, &mut writer).await;
        let ((), add): ((), Vec<DataFile>) = writer.close_after(filled).await?;
        let rows: u64 = places.values().map(|rows| rows.len() as u64).sum();
        let mut summary = table.past().carried("rows were erased");
        summary.set_erased(rows);
        let erased = table.recorded().erased()? + rows;
        let mut properties = BTreeMap::from([table_properties::erased(erased)]);
        let model = self.model(table.name())?;
        if model.is_streaming() && model.source().is_none() {
            properties.extend(made_by::recorded_with(table, &model.fingerprint)?);
        }
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: if add.is_empty() { Operation::Delete } else { Operation::Overwrite },
            add,
            remove: held.iter().map(|file| file.path.clone()).collect(),
            summary,
            set_properties: properties,
            ..Commit::default()
        };
        let guard = |_: &Table| Rebase::Abandon("its head moved".into());
        self.lake().commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))?;
        Ok(())
    }

    async fn rest_of(&self, table: &Table, held: &[FileRef], places: &Places, writer: &mut Writer) -> Result<()> {
        for file in held {
            let gone = places.get(&file.path);
            let options = ScanOptions {
                with_state: !table.state_columns().is_empty(),
                with_positions: true,
                with_lineage: table.has_lineage(),
                files: Some(vec![file.clone()]),
                ..ScanOptions::default()
            };
            let provider = LakeTableProvider::try_new(table, options).await?;
            let mut rows = self.context().read_table(Arc::new(provider))?.execute_stream().await?;
            while let Some(batch) = rows.try_next().await? {
                let positions = column(&batch, POSITION)?.as_primitive::<Int64Type>();
                let stays: BooleanArray =
                    positions.values().iter().map(|at| Some(gone.is_none_or(|gone| !gone.contains(at)))).collect();
                let left = without_places(&filter_record_batch(&batch, &stays).map_err(arrow)?)?;
                if left.num_rows() > 0 {
                    writer.write(&left).await?;
                }
            }
        }
        Ok(())
    }

    /// One reader, brought up to its inputs and recorded to stand on them as they are: what was before is forgotten.
    async fn follows(&self, name: &TableName, stop: &CancellationToken) -> Result<()> {
        for _ in 0..=AGAIN_MAX {
            if stop.is_cancelled() {
                return Err(PipelineError::Interrupted);
            }
            let heads = self.heads_below(name).await?;
            self.refreshed(name, stop).await?;
            // A refresh that was told to stop may have read nothing, or a part.
            if stop.is_cancelled() {
                return Err(PipelineError::Interrupted);
            }
            if self.heads_below(name).await? != heads {
                continue;
            }
            let Some(table) = self.lake().load_table(name).await? else { return Ok(()) };
            let past = table.past();
            let recorded = past.newest_computed().map(SnapshotInfo::sources).transpose()?.flatten();
            let stands: Versions = recorded.unwrap_or_default();
            let now =
                stands.iter().map(|(input, at)| (input.clone(), heads.get(input).copied().unwrap_or(*at))).collect();
            if stands == now {
                return Ok(());
            }
            // Nothing came since, so that no refresh has moved it.
            let mut summary = past.carried("no row came since");
            summary.set_sources(&now)?;
            let commit = Commit { operation: Operation::Append, summary, ..Commit::default() };
            let guard = |_: &Table| Rebase::Abandon("its head moved".into());
            self.lake().commit(&table, commit, &guard).await.map_err(|e| PipelineError::commit(name, e))?;
            return Ok(());
        }
        let reason = "what it reads is written to all the time".to_owned();
        Err(PipelineError::Superseded { table: name.to_string(), reason })
    }

    /// The heads of the project's tables that one reads.
    async fn heads_below(&self, name: &TableName) -> Result<Versions> {
        let mut heads = Versions::new();
        for input in self.model(name)?.inputs.iter().filter(|input| self.project().tables.contains_key(*input)) {
            if let Some(table) = self.lake().load_table(input).await? {
                heads.insert(input.clone(), (table.uuid(), table.head()));
            }
        }
        Ok(heads)
    }

    async fn refreshed(&self, name: &TableName, stop: &CancellationToken) -> Result<()> {
        let report = self.refresh(name, false, false, stop).await?;
        let Some(error) = report.steps.into_iter().find_map(|step| step.error) else { return Ok(()) };
        Err(PipelineError::Stopped {
            code: ingot_project::codes::known(&error.code),
            message: format!("\"{name}\" cannot follow, so that it would keep erased rows: {}", error.message),
            hint: Some(format!(
                "{}; then erase again: what is done stays done",
                error.hint.unwrap_or_else(|| "mend it".into())
            )),
            retryable: error.retryable,
        })
    }

    /// The head of a table as the only thing that is left of it: with all that earlier snapshots say, without deletes, and
    /// with manifests that tell of live files alone. Gives it, if there is one.
    async fn purged(&self, name: &TableName) -> Result<Option<i64>> {
        let lost = |e| PipelineError::commit(name, e);
        let Some(mut table) = self.lake().load_table(name).await? else { return Ok(None) };
        // First those files that lose rows; where deletes are left that are about none of them, all.
        for all in [false, true] {
            if has_deletes(&table)? {
                table = self.without_deletes(&table, all).await?;
            }
        }
        if table.head().is_none() {
            return Ok(None);
        }
        let mut record = table.past().carried("its history is forgotten");
        if let Some(at) = position(&table)? {
            record.set_positions(Some(&at))?;
        }
        let table = self.lake().purge(&table, record).await.map_err(lost)?;
        crash::point("erase.purged", name);
        Ok(table.head())
    }

    /// The same rows in files that no deletes are about.
    async fn without_deletes(&self, table: &Table, all: bool) -> Result<Table> {
        let Some(head) = table.head() else { return Ok(table.clone()) };
        let live = live_files(table, head).await?;
        let held: Vec<FileRef> = live.into_iter().filter(|file| all || file.has_deletes()).collect();
        if held.is_empty() && !all {
            return Ok(table.clone());
        }
        if let Some(other) = held.iter().find(|file| !file.has_state) {
            let text = format!("\"{}\" would keep erased rows: another engine wrote {}", table.name(), other.path);
            return Err(PipelineError::stopped("R0552", text)
                .with_hint(format!("ingot refresh {} --full, then erase again", table.name())));
        }
        let pool = &self.context().runtime_env().memory_pool;
        let size = compaction(self.model(table.name())?, Small::All).file_bytes_max;
        let mut writer = Writer::new(table, None)?.counted_in(pool).keeping_lineage().closing_at(size);
        let filled = self.rest_of(table, &held, &Places::new(), &mut writer).await;
        let ((), add): ((), Vec<DataFile>) = writer.close_after(filled).await?;
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: Operation::Replace,
            add,
            remove: if all { vec![] } else { held.iter().map(|file| file.path.clone()).collect() },
            remove_all: all,
            basis: Basis::of(table, &held),
            summary: Record::because("rows that were deleted left their files"),
            ..Commit::default()
        };
        let guard = |_: &Table| Rebase::Abandon("its head moved".into());
        self.lake().commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))
    }
}

/// Whether a table has files of deletes; where its head does not count them, it may.
fn has_deletes(table: &Table) -> Result<bool> {
    let Some(head) = table.head().and_then(|id| table.snapshot(id)) else { return Ok(false) };
    Ok(head.count(Count::TotalDeleteFiles)?.is_none_or(|n| n > 0))
}
