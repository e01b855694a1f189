//! One refresh of a view: from the rows that changed in its inputs, or as a whole.
//!
//!   pinned inputs ──▶ change (changes) ──▶ delta plan ──▶ merge with the target's rows ──▶ one commit
//!
//! Invariants
//! * After the commit the view equals its query over exactly the snapshots that its summary records.
//! * The commit is abandoned if the view's head moved since it was planned: planning again is right.
//! * A refresh whose consolidated change is empty commits nothing.
//! * A table comes into being with its first rows; one that cannot be built leaves nothing behind.
//!
//! Not here: which refresh is right (`planner`), the merge rules (`ingot_delta`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_delta::{ENGINE_SEMANTICS_VERSION, Merge, Merged, Wanted};
use ingot_lake::{
    Change as Commit, FileRef, Lake, LakeError, LakeTableProvider, Rebase, ScanOptions, Table, Writer, live_files,
    prune_files,
};
use ingot_model::{Count, Definition, Operation, Record, Refresh, SnapshotInfo, TableName};
use tracing::info;

use crate::error::{PipelineError, Result};
use crate::failing;
use crate::plan::{Action, Reason};
use crate::refresh::bases::Bases;
use crate::refresh::changes::{self, Changed, Input};
use crate::refresh::expectations::{self, Counts};
use crate::refresh::rewrite::{self, Insert};
use crate::refresh::spill::BoundedDiff;
use ingot_project::project::{CheckedRelation, Model, ViolationAction};
use ingot_query::context;

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

/// A view to refresh with its inputs pinned.
pub struct Job<'a> {
    pub ctx: &'a SessionContext,
    pub lake: &'a Lake,
    pub model: &'a Model,
    pub inputs: BTreeMap<TableName, Input>,
    /// Snapshots of streaming tables that the inputs stand on.
    pub base: Bases,
    pub now: DateTime<Utc>,
    /// Bytes of files that may be held in memory to consolidate a change.
    pub bytes_max: u64,
}

type Bound = BTreeMap<TableName, Arc<dyn TableProvider>>;

fn source_for(bound: &Bound, reference: &TableReference) -> Option<Arc<dyn TableSource>> {
    bound.get(&TableName::of(reference)?).map(|p| provider_as_source(p.clone()))
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

    /// The failure of a value, with the row where it is one row's of the only input, or the group.
    async fn with_its_row(&self, error: PipelineError) -> PipelineError {
        let place = match self.failing_row().await {
            Some(row) => Some(row),
            None => self.failing_group().await,
        };
        match place {
            Some(place) => PipelineError::At { error: Box::new(error), place },
            None => error,
        }
    }

    async fn failing_group(&self) -> Option<String> {
        let plan = self.bind(&self.model.plan, &self.whole_inputs().await.ok()?).ok()?;
        let group = failing::witness_of_groups(self.ctx, &plan).await.ok()??;
        Some(format!("the group with {group}"))
    }

    async fn failing_row(&self) -> Option<String> {
        let mut scans = 0;
        let counted = self.model.plan.apply(|node| {
            scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
            Ok(TreeNodeRecursion::Continue)
        });
        let (Ok(_), 1, Some((name, input))) = (counted, scans, self.inputs.iter().next()) else { return None };
        let whole = input.whole().await.ok()?;
        let row = failing::witness(self.ctx, &self.model.plan, whole, self.now).await.ok()??;
        Some(format!("the row of \"{name}\" with {row}"))
    }

    async fn carry_out(&self, action: &Action, target: Option<Table>) -> Result<Outcome> {
        let started = Instant::now();
        match (action, target) {
            (Action::Refresh { .. }, Some(table)) => match self.incremental(&table, started).await? {
                Ok(outcome) => Ok(outcome),
                Err(reason) => self.whole(Some(table), "full", Some(reason), started).await,
            },
            (Action::Recompute { reason, .. }, table) => self.whole(table, "full", Some(reason.clone()), started).await,
            (Action::Rebuild { reason, .. }, table) => {
                self.whole(table, "rebuild", Some(reason.clone()), started).await
            }
            (_, None) => self.whole(None, "create", None, started).await,
            (_, Some(_)) => Ok(Outcome { mode: "nothing".into(), ..Outcome::default() }),
        }
    }

    fn prepare(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(ingot_delta::freeze_now(&plan, self.now)?)
    }

    fn bind(&self, plan: &LogicalPlan, bound: &Bound) -> Result<LogicalPlan> {
        self.prepare(ingot_delta::rebind_tables(plan, &|t| source_for(bound, t))?)
    }

    async fn judge(&self, relations: &[&CheckedRelation], bound: &Bound, sign: i64, counts: &mut Counts) -> Result<()> {
        let bind = |t: &TableReference| source_for(bound, t);
        let prepare = |plan: LogicalPlan| self.prepare(plan);
        expectations::judge(self.ctx, self.model, relations, &bind, &prepare, sign, counts).await
    }

    async fn whole_inputs(&self) -> Result<Bound> {
        let mut bound = Bound::new();
        for (name, input) in &self.inputs {
            bound.insert(name.clone(), input.whole().await?);
        }
        Ok(bound)
    }

    /// The view computed from its whole inputs, in the place of everything it holds.
    async fn whole(
        &self,
        target: Option<Table>,
        mode: &str,
        reason: Option<Reason>,
        started: Instant,
    ) -> Result<Outcome> {
        if let Some(reason) = &reason {
            info!(table = %self.model.name, code = reason.code, reason = reason.text, "full recompute");
        }
        let bound = self.whole_inputs().await?;
        let mut counts = Counts::new();
        let relations: Vec<_> = self.model.checked.iter().collect();
        self.judge(&relations, &bound, 1, &mut counts).await?;

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
        let mut writer = Writer::new(&table, redefine)?.enforcing(&definition).counted_in(pool);
        let filled = self.fill(&mut writer, &bound).await;
        let (rows_out, add) = writer.close_after(filled).await?;
        let rows_in = self.inputs.values().map(rows_of).sum::<Result<u64>>()?;
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
        let table = if is_new { self.create(&table, commit).await? } else { self.commit(&table, commit).await? };
        Ok(Outcome { mode: mode.into(), reason, rows_in, rows_out, committed: table.head(), ..Outcome::default() })
    }

    /// Whether the query, over the inputs and at the time of this refresh, gives the rows that are stored.
    ///
    /// # Errors
    /// Lake and execution errors.
    pub async fn is_what_is_stored(&self, table: &Table) -> Result<bool> {
        let mut diff = BoundedDiff::new(table.schema(), self.ctx.runtime_env())?;
        let mut wanted = context::stream(self.ctx, self.bind(&self.model.plan, &self.whole_inputs().await?)?).await?;
        while let Some(batch) = wanted.try_next().await? {
            diff.add(&batch, 1)?;
        }
        let provider = LakeTableProvider::try_new(table, ScanOptions::default()).await?;
        let mut stored = self.ctx.read_table(Arc::new(provider))?.execute_stream().await?;
        while let Some(batch) = stored.try_next().await? {
            diff.add(&batch, -1)?;
        }
        Ok(diff.finish()?.is_equal())
    }

    /// Writes all rows of the view; gives how many.
    async fn fill(&self, writer: &mut Writer, bound: &Bound) -> Result<u64> {
        let strategy = &self.model.strategy;
        let mut rows_out = 0;
        let mut partials = context::stream(self.ctx, self.bind(&strategy.partials(&self.model.plan)?, bound)?).await?;
        while let Some(batch) = partials.try_next().await? {
            rows_out += writer.write_all(&strategy.build(vec![batch])?).await?;
        }
        Ok(rows_out)
    }

    /// Writes what the view's own plan gives.
    async fn write_plan(&self, writer: &mut Writer, bound: &Bound) -> Result<u64> {
        let mut rows_out = 0;
        let mut rows = context::stream(self.ctx, self.bind(&self.model.plan, bound)?).await?;
        while let Some(batch) = rows.try_next().await? {
            rows_out += batch.num_rows() as u64;
            writer.write(&batch).await?;
        }
        Ok(rows_out)
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
    fn definition(&self) -> Definition {
        let mut definition = self.model.definition.clone();
        definition.state_columns = self.model.strategy.state_columns();
        definition
    }

    /// `Err` carries the reason why only a whole recompute is right.
    async fn incremental(&self, table: &Table, started: Instant) -> Result<std::result::Result<Outcome, Reason>> {
        let mut inserted = Bound::new();
        let mut deleted = Bound::new();
        let (mut rows_in, mut came, mut went, mut files) = (0, 0, 0, vec![]);
        let mut held = vec![];
        for (name, input) in &self.inputs {
            let changed = match input.change(self.ctx, self.bytes_max).await {
                // Delete files of another engine: reading all of it is right where reading the change is not.
                Err(PipelineError::Lake(e @ LakeError::Unsupported { .. })) => {
                    return Ok(Err(Reason::new("R0547", e.to_string())));
                }
                changed => changed?,
            };
            match changed {
                Changed::TooLarge { bytes } => {
                    let text = format!("{bytes} bytes of files of \"{name}\" were replaced, more than fits in memory");
                    return Ok(Err(Reason::new("R0538", text)));
                }
                Changed::Redefined { column } => {
                    return Ok(Err(Reason::new("R0545", format!("column \"{column}\" of \"{name}\" was redefined"))));
                }
                Changed::Rows(change) => {
                    rows_in += change.rows_inserted + change.rows_deleted;
                    came += change.rows_inserted;
                    went += change.rows_deleted;
                    files.extend(change.files);
                    held.extend(change.memory);
                    let none = || changes::empty(input.table.defined_schema());
                    inserted.insert(name.clone(), change.inserted.map_or_else(none, Ok)?);
                    deleted.insert(name.clone(), change.deleted.map_or_else(none, Ok)?);
                }
            }
        }
        // Rows below may have moved without a change for this view: then only what it stands on is recorded.
        if came + went == 0 && self.recorded_base(table)? == self.base {
            return Ok(Ok(Outcome { mode: "nothing".into(), files, ..Outcome::default() }));
        }
        let strategy = &self.model.strategy;
        let mut counts = Counts::new();
        let below: Vec<&CheckedRelation> =
            self.model.checked.iter().filter(|r| strategy.is_row_by_row() || !self.is_output(r)).collect();
        self.judge(&below, &inserted, 1, &mut counts).await?;
        if went > 0 {
            self.judge(&below, &deleted, -1, &mut counts).await?;
        }

        let live = match table.head() {
            Some(head) => live_files(table, head).await?,
            None => vec![],
        };
        if let Some(reason) = strategy.full_reason() {
            return Ok(Err(Reason::new(reason.code, reason.to_string())));
        }
        if strategy.is_row_by_row() && went == 0 {
            let rows = context::stream(self.ctx, self.bind(&self.model.plan, &inserted)?).await?;
            let done = self.apply(table, &live, &[], Insert::Stream(rows), rows_in, &counts, started).await?;
            return Ok(Ok(Outcome { files, ..done }));
        }
        let merge = self.merge(table, &live, &inserted, (went > 0).then_some(&deleted)).await?;
        for relation in self.model.checked.iter().filter(|r| !strategy.is_row_by_row() && self.is_output(r)) {
            self.judge_output(relation, &merge.insert, 1, &mut counts).await?;
            self.judge_output(relation, &merge.gone, -1, &mut counts).await?;
        }
        let done =
            self.apply(table, &live, &merge.remove, Insert::Rows(merge.insert), rows_in, &counts, started).await?;
        Ok(Ok(Outcome { files, ..done }))
    }

    /// The streaming snapshots that the target's last refresh stands on.
    fn recorded_base(&self, table: &Table) -> Result<Bases> {
        let history = table.history();
        let recorded = history.newest_computed().map(SnapshotInfo::bases).transpose()?.flatten().unwrap_or_default();
        Ok(recorded.into_iter().filter_map(|(name, (uuid, id))| Some((name, (uuid, id?)))).collect())
    }

    fn is_output(&self, relation: &CheckedRelation) -> bool {
        relation.name == self.model.name.to_string()
    }

    /// Expectations on the output of a merge: judged on the rows that come, and taken back for those that go.
    async fn judge_output(
        &self,
        relation: &CheckedRelation,
        rows: &[RecordBatch],
        sign: i64,
        counts: &mut Counts,
    ) -> Result<()> {
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

    /// What the change does to the stored rows; `deleted` are the rows that went, if any did.
    async fn merge(&self, table: &Table, live: &[FileRef], inserted: &Bound, deleted: Option<&Bound>) -> Result<Merge> {
        let strategy = &self.model.strategy;
        let partials = strategy.partials(&self.model.plan)?;
        let plus = context::collect(self.ctx, self.bind(&partials, inserted)?).await?;
        let minus = match deleted {
            Some(deleted) => context::collect(self.ctx, self.bind(&partials, deleted)?).await?,
            None => vec![],
        };
        let landing = strategy.landing(plus, minus)?;
        let stored = match landing.wanted()? {
            Some(wanted) => self.stored(table, live, &wanted).await?,
            None => vec![],
        };
        match landing.merge(&stored)? {
            Merged::Done(merge) => Ok(merge),
            Merged::Recompute(keys) => {
                let plan = self.bind(&landing.restrict_to(&keys)?, &self.whole_inputs().await?)?;
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
        let mut rows = self.scan(table, files).await?;
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
    ) -> Result<datafusion::execution::SendableRecordBatchStream> {
        let options = ScanOptions {
            snapshot: table.head(),
            with_state: !table.state_columns().is_empty(),
            with_positions: true,
            files: Some(files),
            ..ScanOptions::default()
        };
        let provider = LakeTableProvider::try_new(table, options).await?;
        Ok(self.ctx.read_table(Arc::new(provider))?.execute_stream().await?)
    }

    #[allow(clippy::too_many_arguments)]
    async fn apply(
        &self,
        table: &Table,
        live: &[FileRef],
        remove: &[(String, i64)],
        insert: Insert,
        rows_in: u64,
        counts: &Counts,
        started: Instant,
    ) -> Result<Outcome> {
        // A changed layout touches no rows: it applies to the files of the next commit.
        let definition = self.definition();
        let redefine = table.layout_differs(&definition)?.then_some(&definition);
        let changed = rewrite::rewrite(self.ctx, table, live, remove, insert, redefine).await?;
        let refreshed = self.refreshed("incremental", None, rows_in, changed.rows_out, started, counts);
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: changed.operation(),
            add: changed.add,
            remove: changed.remove,
            summary: self.summary(&refreshed)?,
            definition: redefine.cloned(),
            ..Commit::default()
        };
        let rows_out = refreshed.rows_out;
        let table = self.commit(table, commit).await?;
        Ok(Outcome {
            mode: "incremental".into(),
            reason: None,
            rows_in,
            rows_out,
            committed: table.head(),
            files: vec![],
            more: false,
        })
    }

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
            let changed = input.change(self.ctx, self.bytes_max).await?;
            let change = match changed {
                Changed::Rows(change) if change.deleted.is_none() => change,
                // Appended now, rows would lack the column's values for ever.
                Changed::Redefined { column } => {
                    return Err(PipelineError::stopped(
                        "R0309",
                        format!(
                            "\"{}\" reads STREAM {name}, whose column \"{column}\" was made anew or changed its type since",
                            self.model.name
                        ),
                    )
                    .with_hint(format!(
                        "if another engine did this, run again when \"{name}\" has its column back; else `ingot refresh {} \
                         --full` reads it again",
                        self.model.name
                    )));
                }
                _ => {
                    return Err(PipelineError::stopped(
                        "R0309",
                        format!("\"{}\" reads STREAM {name}, but rows of it were removed or replaced", self.model.name),
                    )
                    .with_hint(format!("ingot refresh {} --full reads it again", self.model.name)));
                }
            };
            rows_in += change.rows_inserted;
            files.extend(change.files);
            bound.insert(
                name.clone(),
                change.inserted.map_or_else(|| changes::empty(input.table.defined_schema()), Ok)?,
            );
        }
        let mut counts = Counts::new();
        let relations: Vec<_> = self.model.checked.iter().collect();
        self.judge(&relations, &bound, 1, &mut counts).await?;
        let last = table.past().into_iter().find(|s| s.is_ours());
        let same = last.is_some_and(|s| s.fingerprint() == Some(&self.model.fingerprint));
        let definition = self.definition();
        let redefine = (!same && !is_new).then_some(&definition);
        if let Some(column) = redefine.map(|d| table.redefined_by(d)).transpose()?.flatten() {
            return Err(crate::ingest::act::redefined(self.model, &table, &column));
        }
        let pool = &self.ctx.runtime_env().memory_pool;
        let mut writer = Writer::new(&table, redefine)?.enforcing(&definition).counted_in(pool);
        let filled = self.write_plan(&mut writer, &bound).await;
        let (rows_out, add) = writer.close_after(filled).await?;
        if add.is_empty() && same {
            return Ok(Outcome { mode: "nothing".into(), files, ..Outcome::default() });
        }
        let refreshed = self.refreshed("append", None, rows_in, rows_out, started, &counts);
        let commit = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: Operation::Append,
            add,
            summary: self.summary(&refreshed)?,
            definition: redefine.cloned(),
            ..Commit::default()
        };
        let table = if is_new { self.create(&table, commit).await? } else { self.commit(&table, commit).await? };
        Ok(Outcome {
            mode: "append".into(),
            reason: None,
            rows_in,
            rows_out,
            committed: table.head(),
            files,
            more: false,
        })
    }

    async fn commit(&self, table: &Table, commit: Commit) -> Result<Table> {
        let guard = |_: &Table| Rebase::Abandon("its head moved during the refresh".into());
        self.lake.commit(table, commit, &guard).await.map_err(|e| PipelineError::commit(&self.model.name, e))
    }

    fn refreshed<'a>(
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

    fn summary(&self, refreshed: &Refresh<'_>) -> Result<Record> {
        let mut record = Record::of(refreshed)?;
        record.set_sources(&self.inputs.iter().map(|(name, i)| (name.clone(), (i.table.uuid(), i.to))).collect())?;
        record.set_bases(&self.base.iter().map(|(t, (uuid, id))| (t.clone(), (*uuid, Some(*id)))).collect())?;
        Ok(record)
    }
}

fn rows_of(input: &Input) -> Result<u64> {
    let pinned = input.to.and_then(|id| input.table.snapshot(id));
    let rows = pinned.map(|s| s.count(Count::TotalRecords)).transpose()?;
    Ok(rows.flatten().unwrap_or(0))
}
