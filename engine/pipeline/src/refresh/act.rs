//! One refresh of a view: from the rows that changed in its inputs, or as a whole.
//!
//!   pinned inputs ──▶ change (facts) ──▶ read ──▶ merge with the target's rows ──▶ files ──▶ one commit
//!
//! Invariants
//! * After the commit the view equals its query over exactly the snapshots that its summary records.
//! * The commit is abandoned if the view's head moved since it was planned: planning again is right.
//! * A refresh whose consolidated change is empty commits nothing.
//! * A table comes into being with its first rows; one that cannot be built leaves nothing behind.
//! * FAIL UPDATE is said before anything that fails beside it.
//!
//! Not here: which refresh is right (`planner`, `decide`), several tables of one read (`together`), the merge rules
//! (`ingot_delta`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_delta::{ENGINE_SEMANTICS_VERSION, Merge, Merged, Wanted};
use ingot_lake::{
    Commit, FileRef, Lake, LakeError, LakeTableProvider, Rebase, ScanOptions, Table, Writer, live_files, prune_files,
};
use ingot_model::file_settings::{RowChange, row_mode};
use ingot_model::{Definition, Operation, Record, Refresh, TableName};
use ingot_project::project::{CheckedRelation, Model, ViolationAction};
use ingot_query::context;
use tracing::info;

use super::bases::Bases;
use super::changes;
use super::decide::{self, Moved, Way};
use super::expectations::{self, Counts};
use super::facts::{self, Change, Inputs};
use super::read::{self, Bound, Reading, Verdicts, is_judged_merged};
use super::rewrite::{self, Insert};
use crate::error::{PipelineError, Result};
use crate::failing;
use crate::plan::{Action, Reason};
use crate::readers::InUse;

/// What a refresh did.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub mode: String,
    pub reason: Option<Reason>,
    pub rows_in: u64,
    pub rows_out: u64,
    /// The new head, if there was a commit.
    pub committed: Option<i64>,
    /// Source files that were read for a change.
    pub files: Vec<String>,
    /// Only a part of what changed is in, so that the rest fits in memory after it.
    pub more: bool,
}

impl Outcome {
    /// Adds what came after it, and gives both.
    pub(crate) fn extended(&mut self, next: Self) -> Self {
        let rows_in = self.rows_in + next.rows_in;
        let rows_out = self.rows_out + next.rows_out;
        *self = Self { rows_in, rows_out, committed: next.committed.or(self.committed), ..next };
        self.clone()
    }

    pub(super) fn nothing(files: Vec<String>) -> Self {
        Self { mode: "nothing".into(), files, ..Self::default() }
    }
}

/// A view to refresh with its inputs pinned.
pub struct Job<'a> {
    pub ctx: &'a SessionContext,
    pub lake: &'a Lake,
    pub model: &'a Model,
    pub inputs: Inputs,
    /// Snapshots of streaming tables that the inputs stand on.
    pub base: Bases,
    pub now: DateTime<Utc>,
    /// Bytes of files that may be held in memory to consolidate a change.
    pub bytes_max: u64,
}

/// One table of a refresh.
pub(crate) struct Member<'a> {
    pub job: Job<'a>,
    pub action: Action,
    pub target: Option<Table>,
    /// Keeps what it reads from upkeep.
    pub _in_use: InUse,
}

/// A refresh whose files are written: what remains is its commit.
pub(super) enum Prepared {
    Nothing(Outcome),
    Commit(Box<Ready>),
}

/// What became of a refresh by the change of the inputs.
enum ByChange {
    Prepared(Prepared),
    /// Only a full recompute is right, for this reason.
    Refused(Reason),
}

/// Files in the warehouse that no commit holds yet.
pub(super) struct Ready {
    pub table: Table,
    pub is_new: bool,
    pub commit: Commit,
    pub outcome: Outcome,
}

/// A refresh that computes everything.
pub(super) struct FullRefresh {
    pub target: Option<Table>,
    pub mode: &'static str,
    pub reason: Option<Reason>,
}

impl FullRefresh {
    /// What an action that computes everything is; `None` for others.
    pub(super) fn of(action: &Action, target: Option<Table>) -> Option<Self> {
        let (mode, reason) = match action {
            Action::Recompute { reason, .. } => ("full", Some(reason.clone())),
            Action::Rebuild { reason, .. } => ("rebuild", Some(reason.clone())),
            Action::Create { .. } => ("create", None),
            _ => return None,
        };
        Some(Self { target, mode, reason })
    }
}

impl Job<'_> {
    /// Carries out an action of a plan on this view.
    ///
    /// # Errors
    /// Everything that stops a table; `Superseded` when another writer was first.
    pub async fn run(&self, action: &Action, target: Option<Table>) -> Result<Outcome> {
        match self.carry_out(action, target).await {
            Err(error) if failing::of_a_row(&error) => Err(self.with_its_row(error).await),
            done => done,
        }
    }

    async fn carry_out(&self, action: &Action, target: Option<Table>) -> Result<Outcome> {
        let started = Instant::now();
        let prepared = match (action, target) {
            (Action::Refresh { .. }, Some(table)) => match self.incremental(&table, started).await? {
                ByChange::Prepared(prepared) => prepared,
                ByChange::Refused(reason) => {
                    let refresh = FullRefresh { target: Some(table), mode: "full", reason: Some(reason) };
                    self.full(refresh, started).await?
                }
            },
            (Action::Refresh { .. }, None) => {
                self.full(FullRefresh { target: None, mode: "create", reason: None }, started).await?
            }
            (Action::Create { .. }, Some(_)) => Prepared::Nothing(Outcome::nothing(vec![])),
            (action, target) => match FullRefresh::of(action, target) {
                Some(refresh) => self.full(refresh, started).await?,
                None => Prepared::Nothing(Outcome::nothing(vec![])),
            },
        };
        self.land(prepared).await
    }

    fn prepare(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(ingot_delta::freeze_now(&plan, self.now)?)
    }

    pub(super) fn bind(&self, plan: &LogicalPlan, bound: &Bound) -> Result<LogicalPlan> {
        read::bind(plan, bound, &|plan| self.prepare(plan))
    }

    /// Begins to read; `sign` is +1 for rows that come, -1 for rows that go.
    pub(super) async fn read(&self, bound: &Bound, sign: i64) -> Result<Reading> {
        if let Some(reading) = self.read_judging(bound, sign, &[]).await? {
            return Ok(reading);
        }
        let mut counts = Counts::new();
        self.judge(bound, sign, &mut counts).await?;
        let plan = self.bind(&self.model.strategy.partials(&self.model.plan)?, bound)?;
        let rows = context::stream(self.ctx, plan).await?;
        Ok(Reading { rows, sides: vec![], verdicts: Verdicts::known(counts) })
    }

    /// Begins to read for this table and some of its side tables; `None` where they share no read.
    pub(super) async fn read_judging(&self, bound: &Bound, sign: i64, sides: &[&TableName]) -> Result<Option<Reading>> {
        let Ok(judging) = &self.model.judging else { return Ok(None) };
        let prepare = |plan: LogicalPlan| self.prepare(plan);
        read::judged(self.ctx, self.model, judging, bound, &prepare, sign, sides).await
    }

    /// Judges by a read of its own.
    async fn judge(&self, bound: &Bound, sign: i64, counts: &mut Counts) -> Result<()> {
        let bind = |t: &TableReference| bound.get(&TableName::of(t)?).map(|p| provider_as_source(Arc::clone(p)));
        let prepare = |plan: LogicalPlan| self.prepare(plan);
        let read: Vec<&CheckedRelation> =
            self.model.checked.iter().filter(|r| !is_judged_merged(self.model, r)).collect();
        expectations::judge(self.ctx, self.model, &read, &bind, &prepare, sign, counts).await
    }

    /// The error to report for a failed read: the broken FAIL UPDATE if there is one, else the read's own error.
    pub(super) async fn first_said(&self, bound: &Bound, error: PipelineError) -> PipelineError {
        let fails = self.model.expectations().any(|e| e.violation == ViolationAction::FailUpdate);
        if !fails || matches!(error, PipelineError::Stopped { .. }) {
            return error;
        }
        match self.judge(bound, 1, &mut Counts::new()).await {
            Err(stopped @ PipelineError::Stopped { .. }) => stopped,
            _ => error,
        }
    }

    /// Computes the view from all rows of its inputs, to replace everything it holds.
    async fn full(&self, refresh: FullRefresh, started: Instant) -> Result<Prepared> {
        let bound = facts::full_scans(&self.inputs).await?;
        let written = async {
            let reading = self.read(&bound, 1).await?;
            self.write_full(refresh, reading.rows, &reading.verdicts, started).await
        };
        match written.await {
            Ok(prepared) => Ok(prepared),
            Err(error) => Err(self.first_said(&bound, error).await),
        }
    }

    /// Writes the rows that partials give as the whole table.
    pub(super) async fn write_full(
        &self,
        refresh: FullRefresh,
        rows: SendableRecordBatchStream,
        verdicts: &Verdicts,
        started: Instant,
    ) -> Result<Prepared> {
        let FullRefresh { target, mode, reason } = refresh;
        if let Some(reason) = &reason {
            info!(table = %self.model.name, code = reason.code, reason = reason.text, "full recompute");
        }
        let definition = self.definition();
        let is_new = target.is_none();
        let table = match target {
            Some(table) => table,
            // No reader may see the table without its rows, so one commit creates it with them.
            None => self.lake.draft(&self.model.name, &definition)?,
        };
        // All rows are new, so the definition may be, too: another writer may have changed the columns.
        let redefine = (!is_new).then_some(&definition);
        let pool = &self.ctx.runtime_env().memory_pool;
        let mut writer = Writer::new(&table, redefine)?
            .enforcing(&definition)
            .counted_in(pool)
            .closing_at(self.model.strategy.file_bytes_max());
        let filled = self.fill(&mut writer, rows, verdicts).await;
        let ((rows_out, counts), add) = writer.close_after(filled).await?;
        let rows_in = facts::rows(&self.inputs)?;
        let text = reason.as_ref().map(ToString::to_string);
        let refreshed = self.refreshed(mode, text.as_deref(), rows_in, rows_out, started, &counts);
        let empty = table.head().is_none();
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: if empty { Operation::Append } else { Operation::Overwrite },
            add,
            remove_all: !empty,
            summary: self.summary(&refreshed)?,
            definition: redefine.cloned(),
            ..Commit::default()
        };
        let outcome = Outcome { mode: mode.into(), reason, rows_in, rows_out, ..Outcome::default() };
        Ok(Prepared::Commit(Box::new(Ready { table, is_new, commit, outcome })))
    }

    /// Writes all rows of the view; gives how many, and what its expectations counted.
    pub(super) async fn fill(
        &self,
        writer: &mut Writer,
        mut partials: SendableRecordBatchStream,
        verdicts: &Verdicts,
    ) -> Result<(u64, Counts)> {
        let mut rows_out = 0;
        let mut merged = Counts::new();
        while let Some(batch) = partials.try_next().await? {
            let rows = self.model.strategy.build(vec![batch])?;
            self.judge_merged(&rows, 1, &mut merged).await?;
            rows_out += writer.write_all(&rows).await?;
        }
        drop(partials);
        Ok((rows_out, verdicts.counts_and(&merged)?))
    }

    /// Commits what was prepared.
    pub(super) async fn land(&self, prepared: Prepared) -> Result<Outcome> {
        let Ready { table, is_new, commit, outcome } = match prepared {
            Prepared::Nothing(outcome) => return Ok(outcome),
            Prepared::Commit(ready) => *ready,
        };
        let table = if is_new { self.create(&table, commit).await? } else { self.commit(&table, commit).await? };
        Ok(Outcome { committed: table.head(), ..outcome })
    }

    /// Gives up what was prepared.
    pub(super) async fn discard(&self, prepared: Prepared) {
        if let Prepared::Commit(ready) = prepared {
            self.lake.delete_unused(&ready.commit.written()).await;
        }
    }

    /// The table and its first rows, in one step.
    async fn create(&self, draft: &Table, commit: Commit) -> Result<Table> {
        let files = commit.add.clone();
        let made = self.lake.create_with(draft, commit).await;
        if matches!(made, Err(LakeError::TableExists(_))) {
            self.lake.delete_unused(&files).await;
        }
        made.map_err(PipelineError::creating)
    }

    /// The definition with the state columns that this view's merge needs.
    pub(super) fn definition(&self) -> Definition {
        let mut definition = self.model.definition.clone();
        definition.state_columns = self.model.strategy.state_columns();
        definition
    }

    async fn incremental(&self, table: &Table, started: Instant) -> Result<ByChange> {
        let (moved, change) = self.moved(table).await?;
        let way = decide::way(&self.model.strategy, &moved);
        match way {
            Way::Nothing => return Ok(ByChange::Prepared(Prepared::Nothing(Outcome::nothing(change.files)))),
            Way::Full(reason) => return Ok(ByChange::Refused(reason)),
            Way::Append | Way::Merge => {}
        }
        let written = async {
            let plus = self.read(&change.inserted, 1).await?;
            let (mut minus, mut verdicts) = (None, plus.verdicts);
            if moved.rows_deleted > 0 {
                let reading = self.read(&change.deleted, -1).await?;
                minus = Some(reading.rows);
                verdicts = verdicts.and(reading.verdicts);
            }
            self.write_change(table, &way, &moved, (plus.rows, minus), &verdicts, started).await
        };
        match written.await {
            Ok(prepared) => Ok(ByChange::Prepared(with_files(prepared, change.files))),
            Err(error) => Err(self.first_said(&change.inserted, error).await),
        }
    }

    /// What moved below a table since it was refreshed.
    pub(super) async fn moved(&self, table: &Table) -> Result<(Moved, Change)> {
        let bases_moved = facts::recorded_bases(table)? != self.base;
        facts::change(self.ctx, &self.inputs, self.bytes_max, bases_moved).await
    }

    /// Writes what a change does to the table: `plus` are partials over the rows that came, `minus` over those that went.
    pub(super) async fn write_change(
        &self,
        table: &Table,
        way: &Way,
        moved: &Moved,
        (plus, minus): (SendableRecordBatchStream, Option<SendableRecordBatchStream>),
        verdicts: &Verdicts,
        started: Instant,
    ) -> Result<Prepared> {
        let live = match table.head() {
            Some(head) => live_files(table, head).await?,
            None => vec![],
        };
        // A changed layout touches no rows: it applies to the files of the next commit.
        let definition = self.definition();
        let redefine = table.layout_differs(&definition)?.then_some(&definition);
        let mut merged = Counts::new();
        let (remove, insert) = match way {
            Way::Append => (vec![], Insert::Stream(plus)),
            _ => {
                let merge = self.merge(table, &live, plus, minus).await?;
                self.judge_merged(&merge.insert, 1, &mut merged).await?;
                self.judge_merged(&merge.gone, -1, &mut merged).await?;
                (merge.remove, Insert::Rows(merge.insert))
            }
        };
        let brings = !matches!(&insert, Insert::Rows(rows) if rows.iter().all(|batch| batch.num_rows() == 0));
        let mode = row_mode(table.properties(), if brings { RowChange::Merge } else { RowChange::Delete });
        let changed = rewrite::rewrite(self.ctx, table, &live, &remove, insert, redefine, mode).await?;
        let (rows_out, changed) = (changed.rows_out, changed.commit());
        let counts = match verdicts.counts_and(&merged) {
            Ok(counts) => counts,
            Err(error) => {
                self.lake.delete_unused(&changed.written()).await;
                return Err(error);
            }
        };
        let rows_in = moved.rows_inserted + moved.rows_deleted;
        let refreshed = self.refreshed("incremental", None, rows_in, rows_out, started, &counts);
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            summary: self.summary(&refreshed)?,
            definition: redefine.cloned(),
            ..changed
        };
        let outcome = Outcome { mode: "incremental".into(), rows_in, rows_out, ..Outcome::default() };
        Ok(Prepared::Commit(Box::new(Ready { table: table.clone(), is_new: false, commit, outcome })))
    }

    /// Expectations on what a merge by key gives: judged on the rows that come, and taken back for those that go.
    async fn judge_merged(&self, rows: &[RecordBatch], sign: i64, counts: &mut Counts) -> Result<()> {
        let Some(relation) = self.model.checked.iter().find(|r| is_judged_merged(self.model, r)) else { return Ok(()) };
        let filters = |e: &ViolationAction| matches!(e, ViolationAction::DropRow | ViolationAction::Quarantine(_));
        debug_assert!(!relation.expectations.iter().any(|e| filters(&e.violation)));
        let public = self.model.schema.fields().len();
        let batches: Vec<RecordBatch> = rows
            .iter()
            .map(|b| b.project(&(0..public).collect::<Vec<_>>()).map_err(rewrite::arrow))
            .collect::<Result<_>>()?;
        let Some(first) = batches.first() else { return Ok(()) };
        let provider = changes::memory(first.schema(), batches.clone())?;
        let plan = self.ctx.read_table(provider)?.into_unoptimized_plan();
        let prepare = |plan: LogicalPlan| self.prepare(plan);
        expectations::judge_relation(self.ctx, self.model, relation, plan, &prepare, sign, counts).await
    }

    /// What the change does to the stored rows.
    async fn merge(
        &self,
        table: &Table,
        live: &[FileRef],
        plus: SendableRecordBatchStream,
        minus: Option<SendableRecordBatchStream>,
    ) -> Result<Merge> {
        let plus = collected(plus).await?;
        let minus = match minus {
            Some(minus) => collected(minus).await?,
            None => vec![],
        };
        let landing = self.model.strategy.landing(plus, minus)?;
        let stored = match landing.wanted()? {
            Some(wanted) => self.stored(table, live, &wanted).await?,
            None => vec![],
        };
        match landing.merge(&stored)? {
            Merged::Done(merge) => Ok(merge),
            Merged::Recompute(keys) => {
                let plan = self.bind(&landing.restrict_to(&keys)?, &facts::full_scans(&self.inputs).await?)?;
                let rows = context::collect(self.ctx, plan).await?;
                Ok(landing.merge_recomputed(&stored, keys, rows)?)
            }
        }
    }

    /// The wanted rows of the target with their places and state, of the files that may hold them.
    async fn stored(&self, table: &Table, live: &[FileRef], wanted: &Wanted) -> Result<Vec<RecordBatch>> {
        let files = prune_files(table, live.to_vec(), &wanted.ranges);
        let mut kept = vec![];
        if files.is_empty() {
            return Ok(kept);
        }
        let mut rows = self.scan(table, files, wanted.keys().map(Arc::clone)).await?;
        while let Some(batch) = rows.try_next().await? {
            let mask = wanted.select(&batch)?;
            if mask.true_count() > 0 {
                kept.push(filter_record_batch(&batch, &mask).map_err(rewrite::arrow)?);
            }
        }
        Ok(kept)
    }

    async fn scan(
        &self,
        table: &Table,
        files: Vec<FileRef>,
        keys: Option<Arc<HashSet<[u8; 16]>>>,
    ) -> Result<SendableRecordBatchStream> {
        let options = ScanOptions {
            snapshot: table.head(),
            with_state: !table.state_columns().is_empty(),
            with_positions: true,
            keys,
            files: Some(files),
            ..ScanOptions::default()
        };
        let provider = LakeTableProvider::try_new(table, options).await?;
        Ok(self.ctx.read_table(Arc::new(provider))?.execute_stream().await?)
    }

    async fn commit(&self, table: &Table, commit: Commit) -> Result<Table> {
        let (uuid, head) = (table.uuid(), table.head());
        let guard = move |now: &Table| match now.uuid() == uuid && now.only_rewritten_since(head) {
            true => Rebase::Retry,
            false => Rebase::Abandon("its head moved during the refresh".into()),
        };
        self.lake.commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(&self.model.name, e))
    }

    pub(super) fn refreshed<'a>(
        &'a self,
        mode: &'a str,
        reason: Option<&'a str>,
        rows_in: u64,
        rows_out: u64,
        started: Instant,
        counts: &'a Counts,
    ) -> Refresh<'a> {
        Refresh {
            mode,
            reason,
            rows_in,
            rows_out,
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            fingerprint: &self.model.fingerprint,
            semantics: ENGINE_SEMANTICS_VERSION,
            counts,
            now: Some(self.now),
        }
    }

    pub(super) fn summary(&self, refreshed: &Refresh<'_>) -> Result<Record> {
        let mut record = Record::of(refreshed)?;
        record.set_sources(&self.inputs.iter().map(|(name, i)| (name.clone(), (i.table.uuid(), i.to))).collect())?;
        record.set_bases(&self.base.iter().map(|(t, (uuid, id))| (t.clone(), (*uuid, Some(*id)))).collect())?;
        Ok(record)
    }
}

/// What was prepared, with the source files that were read for it.
pub(super) fn with_files(prepared: Prepared, files: Vec<String>) -> Prepared {
    match prepared {
        Prepared::Nothing(outcome) => Prepared::Nothing(Outcome { files, ..outcome }),
        Prepared::Commit(mut ready) => {
            ready.outcome.files = files;
            Prepared::Commit(ready)
        }
    }
}

/// Rows in memory; for changes, never for whole tables.
async fn collected(rows: SendableRecordBatchStream) -> Result<Vec<RecordBatch>> {
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(batches.into_iter().filter(|b| b.num_rows() > 0).collect())
}
