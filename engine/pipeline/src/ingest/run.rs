//! Reads a streaming table's source batch by batch and commits rows with the positions behind them.
//!
//!   position (Iceberg) ──▶ Connector ──▶ batch ──▶ statement per partition ──▶ files ──▶ commit with positions
//!
//! Invariants
//! * Where to read on is in the table's own snapshots alone; the rows and the positions are one commit.
//! * A side table commits before its main table, whose position is authoritative.
//! * A commit that finds the table's position moved drops its batch and reads on from the table.
//!
//! Not here: decoding and buffering (`ingot_source`), the commit protocol (`ingot_lake::commit`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_lake::crash;
use ingot_lake::{DataFile, Lake, LakeError, Table, Writer};
use ingot_model::{FlowPositions, Partition, PartitionRange, Position, Positions, Refresh, SourceIdentity, TableName};
use ingot_project::project::{Model, SourceModel};
use ingot_source::{BatchLimits, Connector, SourceBatch};
use ingot_telemetry::metrics;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{PipelineError, Result};
use crate::failing;
use crate::ingest::act::{self, Append};
use crate::ingest::decide::{self, Flow, ResumeAt};
use crate::ingest::evaluate::{Evaluated, Statement};
use crate::ingest::{facts, rewind};
use crate::refresh::expectations::Counts;

/// How long positions that moved without rows may wait for their commit.
const IDLE_COMMIT: Duration = Duration::from_secs(600);
/// When the source has been silent for so long, they are committed without waiting further: once between two commits of
/// rows. What is behind them may be gone from the log before the next start, and would be taken for a loss then.
const SILENCE: Duration = Duration::from_secs(5);
/// How often an idle table looks whether somebody else changed it: views wait for columns that others added or took.
const LOOK: Duration = Duration::from_secs(5);
/// Batches that may be dropped one after another because another writer was first, before the table pauses.
const SUPERSEDED_MAX: u32 = 5;

/// What one call to [`Ingestor::run`] did.
#[derive(Debug, Default, Clone)]
pub struct Ingested {
    /// Messages read.
    pub rows_in: u64,
    /// Rows stored.
    pub rows_out: u64,
    /// Messages that could not be stored.
    pub errors: u64,
    /// Commits of the table.
    pub commits: u64,
}

/// An error table beside its main table.
struct ErrorTable {
    model: Arc<Model>,
    table: Table,
    /// Up to where it holds errors.
    at: Positions,
}

/// One streaming table joined to its source.
pub struct Ingestor {
    ctx: SessionContext,
    lake: Lake,
    model: Arc<Model>,
    source: Arc<SourceModel>,
    connector: Connector,
    /// The source when it was joined.
    identity: SourceIdentity,
    table: Table,
    errors: Option<ErrorTable>,
    /// Where the table stands, with cumulative counts.
    committed: FlowPositions,
    /// `committed` and what was read since without rows.
    pending: FlowPositions,
    pending_since: Option<Instant>,
    /// When something was last read.
    last_batch: Instant,
    /// The last commit had no rows.
    bare: bool,
}

/// A batch as it is to be committed.
#[derive(Default)]
struct Rows {
    main: Vec<RecordBatch>,
    errors: Vec<RecordBatch>,
    counts: Counts,
}

impl Ingestor {
    /// Joins a streaming table to its source: creates what is missing, applies a changed definition, looks for losses.
    ///
    /// # Errors
    /// Source errors (a source that is away is waited for), named losses, lake errors.
    pub async fn open(
        ctx: SessionContext,
        lake: Lake,
        model: Arc<Model>,
        source: Arc<SourceModel>,
        errors: Option<Arc<Model>>,
    ) -> Result<Self> {
        let existing = lake.load_table(&model.name).await?;
        let (connector, now) = facts::source(&model, &source, existing.as_ref()).await?;
        let identity = now.identity();
        let recorded = match &existing {
            None => {
                let from = connector.starts().await?;
                let positions = FlowPositions::starting(&model.name, identity.clone(), &from);
                ResumeAt { positions, renamed_from: None }
            }
            Some(table) => decide::read_on(&model.name, &facts::stored(&model, &identity, table), &now)?,
        };
        crash::point("start.described", &model.name);
        let committed = recorded.positions;
        let side = match errors {
            None => None,
            Some(side) => {
                let (table, at) = act::error_table(&ctx, &lake, &model, &side, &committed).await?;
                Some(ErrorTable { model: side, table, at })
            }
        };
        crash::point("start.side_ready", &model.name);
        let table = match existing {
            Some(table) => {
                let was = recorded.renamed_from.as_deref();
                act::apply_definition(&lake, &model, table, &committed, was).await?
            }
            None => {
                info!(table = %model.name, topic = %source.connection.name(), "streaming table created");
                act::ensure(&lake, &model, &committed).await?
            }
        };
        crash::point("start.table_ready", &model.name);
        let mut ingestor = Self {
            ctx,
            lake,
            model,
            source,
            connector,
            identity,
            table,
            errors: side,
            pending: committed.clone(),
            committed,
            pending_since: None,
            last_batch: Instant::now(),
            bare: false,
        };
        ingestor.rewind_errors().await?;
        Ok(ingestor)
    }

    /// The table as the last commit left it.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Says where an open transaction keeps messages back, which `--once` does not wait for.
    ///
    /// # Errors
    /// Source errors.
    pub(crate) async fn report_open_transactions(&self) -> Result<()> {
        for held in self.connector.held_back().await? {
            warn!(table = %self.model.name, topic = %self.source.connection.name(), partition = %held.partition,
                offset = %held.end, behind = held.behind, "an open transaction keeps messages back; a later run reads them");
        }
        Ok(())
    }

    /// Reads until `until` is reached everywhere, or until `shutdown`; commits batch by batch.
    ///
    /// # Errors
    /// Source errors, named losses, lake errors. What was committed before stays.
    pub async fn run(
        &mut self,
        until: Option<Positions>,
        limits: BatchLimits,
        shutdown: &CancellationToken,
        committed: &(dyn Fn(&TableName, &Ingested) + Send + Sync),
    ) -> Result<Ingested> {
        let mut done = Ingested::default();
        let mut superseded = 0;
        'reopen: loop {
            let schema = failing::schema_to_read(&self.model, &self.source);
            let mut closed = false;
            let mut stream = self.connector.read(&self.committed, schema, limits, until.as_ref())?;
            loop {
                let next = tokio::select! {
                    biased;
                    // What was read is still given, positions behind it included; then the stream ends.
                    () = shutdown.cancelled(), if !closed => {
                        stream.close();
                        closed = true;
                        continue;
                    }
                    next = stream.next() => {
                        Some(next.map_err(|e| PipelineError::source(&self.model.name, e))?)
                    }
                    () = sleep_to(self.bare_commit()) => None,
                    () = tokio::time::sleep(LOOK), if !closed => {
                        if self.was_changed().await? {
                            self.reload().await?;
                            continue 'reopen;
                        }
                        continue;
                    }
                };
                let started = Instant::now();
                let taken = match next {
                    Some(None) => break 'reopen,
                    Some(Some(batch)) => {
                        crash::point("polled", &self.model.name);
                        self.take(batch, started, &mut done).await
                    }
                    None => self.commit(Rows::default(), started, &mut done).await,
                };
                match taken {
                    Ok(()) => {
                        superseded = 0;
                        committed(&self.model.name, &done);
                    }
                    Err(PipelineError::Superseded { table, reason }) if superseded < SUPERSEDED_MAX => {
                        superseded += 1;
                        warn!(%table, reason, "another writer moved this table: the batch is dropped and read again");
                        self.reload().await?;
                        continue 'reopen;
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        if self.pending_since.is_some() {
            self.commit(Rows::default(), Instant::now(), &mut done).await?;
        }
        Ok(done)
    }

    /// When positions that moved without rows are to be committed, if there are any.
    fn bare_commit(&self) -> Option<Instant> {
        let latest = self.pending_since? + IDLE_COMMIT;
        Some(if self.bare { latest } else { latest.min(self.last_batch + SILENCE) })
    }

    /// Whether the table is not the one that the last commit left: another writer was there. A rewrite of its files alone
    /// moves nothing that reading on depends on.
    async fn was_changed(&mut self) -> Result<bool> {
        let now = self.lake.load_table(&self.model.name).await?;
        match now {
            Some(now) if now.metadata_location() == self.table.metadata_location() => Ok(false),
            Some(now) if now.is_rewrite_of(&self.table) => {
                self.table = now;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Opens the table and its source again, after another writer changed the table. What was read and not committed is
    /// dropped.
    async fn reload(&mut self) -> Result<()> {
        let table = self.lake.load_table(&self.model.name).await?;
        let table = table.ok_or_else(|| act::dropped(&self.model))?;
        let (source, words) = (self.identity.clone(), self.source.connection.words());
        let flow = Flow { table: self.model.name.clone(), source, words };
        let found = decide::recorded(&flow, &facts::stored(&self.model, &self.identity, &table))?;
        if facts::fingerprint(&table).is_some_and(|by| by != self.model.fingerprint) {
            let text = format!("another process gave \"{}\" another definition than this one has", self.model.name);
            return Err(PipelineError::stopped("R0312", text)
                .with_hint("stop the process that runs the old SQL files, or start this one again with the new ones"));
        }
        let was = found.renamed_from.as_deref();
        self.table = act::apply_definition(&self.lake, &self.model, table, &found.positions, was).await?;
        self.committed = found.positions;
        self.pending = self.committed.clone();
        self.pending_since = None;
        if let Some(side) = &mut self.errors {
            let joined = act::error_table(&self.ctx, &self.lake, &self.model, &side.model, &self.committed).await?;
            (side.table, side.at) = joined;
            self.rewind_errors().await?;
        }
        Ok(())
    }

    async fn take(&mut self, batch: SourceBatch, started: Instant, done: &mut Ingested) -> Result<()> {
        let same = self.connector.expect(&self.identity).await;
        same.map_err(|e| PipelineError::source(&self.model.name, e))?;
        self.count(&batch);
        let mut rows = Rows::default();
        for (partition, part) in batch.partitions {
            let range = PartitionRange {
                facts: part.facts.clone(),
                delivered: part.delivered,
                from: part.from.clone(),
                to: part.to.clone(),
                ..PartitionRange::default()
            };
            let statement = Statement { ctx: &self.ctx, model: &self.model, source: &self.source };
            let evaluated = statement.evaluate(&partition, part).await?;
            done.rows_in += range.delivered;
            done.rows_out += evaluated.kept;
            done.errors += evaluated.refused;
            self.note(&partition, range, evaluated, &mut rows)?;
        }
        crash::point("decoded", &self.model.name);
        self.last_batch = Instant::now();
        if rows.main.is_empty() && rows.errors.is_empty() {
            if self.pending.partitions != self.committed.partitions {
                self.pending_since.get_or_insert(self.last_batch);
            }
            return Ok(());
        }
        self.commit(rows, started, done).await
    }

    fn count(&self, batch: &SourceBatch) {
        let (table, topic) = (self.model.name.to_string(), self.source.connection.name());
        for (partition, part) in &batch.partitions {
            metrics().source_messages.add([&table, topic, partition.as_str()], part.delivered);
        }
        metrics().source_bytes.add([&table, topic], batch.bytes as u64);
    }

    /// Adds what one partition's messages became to the batch, and moves `pending`.
    fn note(&mut self, partition: &Partition, read: PartitionRange, became: Evaluated, rows: &mut Rows) -> Result<()> {
        rows.main.extend(became.rows);
        for (name, c) in became.counts {
            let entry = rows.counts.entry(name).or_default();
            entry.warned += c.warned;
            entry.dropped += c.dropped;
        }
        if let Some(side) = self.errors.as_ref().filter(|_| became.refused > 0) {
            for batch in &became.refusals {
                rows.errors.extend(not_yet(batch, side.at.get(partition))?);
            }
        }
        let range =
            self.pending.partitions.entry(partition.clone()).or_insert_with(|| PartitionRange::at(read.from.clone()));
        range.to = read.to;
        range.facts.extend(read.facts);
        range.delivered += read.delivered;
        range.main += became.kept;
        match self.errors {
            Some(_) => range.errors += became.refused,
            None => range.dropped += became.refused,
        }
        range.dropped += became.dropped;
        range.filtered += became.filtered;
        Ok(())
    }

    /// The refresh that a commit of rows records.
    fn refresh<'a>(&'a self, rows: (u64, u64), took: Duration, counts: &'a Counts) -> Refresh<'a> {
        Refresh {
            mode: "append",
            reason: None,
            rows_in: rows.0,
            rows_out: rows.1,
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            fingerprint: &self.model.fingerprint,
            semantics: ENGINE_SEMANTICS_VERSION,
            counts,
            now: None,
        }
    }

    async fn commit(&mut self, rows: Rows, started: Instant, done: &mut Ingested) -> Result<()> {
        let Rows { main, errors, counts } = rows;
        let bare = main.is_empty() && errors.is_empty();
        if !errors.is_empty() {
            self.commit_errors(errors).await?;
            crash::point("side.committed", &self.model.name);
        }
        let writer = Writer::new(&self.table, None)?.enforcing(&self.model.definition);
        let (rows_out, files) = self.write(writer, main).await?;
        let mut record = self.pending.clone();
        for (p, range) in &mut record.partitions {
            if let Some(before) = self.committed.partitions.get(p) {
                range.from = before.to.clone();
            }
        }
        let before = |p| self.committed.partitions.get(p).map_or(0, |c| c.delivered);
        let rows_in = record.partitions.iter().map(|(p, r)| r.delivered - before(p)).sum();
        let append = Append {
            table: &self.table,
            files,
            positions: &record,
            // All partitions: one that a rollback took back and that this batch lacks must be read again, too.
            expected: self.committed.ends(),
            refresh: self.refresh((rows_in, rows_out), started.elapsed(), &counts),
        };
        let table = act::append(&self.lake, &self.model, append).await;
        let table = table.map_err(|e| if is_missing(&e) { act::dropped(&self.model) } else { e })?;
        crash::point("main.committed", &self.model.name);
        let refused = record.errors().saturating_sub(self.committed.errors());
        metrics().errors_rows.add([&self.model.name.to_string()], refused);
        self.table = table;
        self.committed = record.clone();
        self.pending = record;
        self.pending_since = None;
        self.bare = bare;
        done.commits += 1;
        Ok(())
    }

    /// Writes rows and lets go of them: how many, and their files.
    async fn write(&self, writer: Writer, rows: Vec<RecordBatch>) -> Result<(u64, Vec<DataFile>)> {
        let mut writer = writer.counted_in(&self.ctx.runtime_env().memory_pool);
        let written = writer.write_all(&rows).await;
        drop(rows);
        Ok(writer.close_after(written).await?)
    }

    async fn commit_errors(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let Some(side) = &self.errors else { return Ok(()) };
        let (rows_out, files) = self.write(Writer::new(&side.table, None)?, batches).await?;
        let mut record = self.pending.clone();
        for (p, range) in &mut record.partitions {
            let from = side.at.get(p).unwrap_or(&range.from);
            range.from = from.min(&range.to).clone();
        }
        let moved = record.partitions.iter().filter(|(_, r)| r.from != r.to);
        let counts = Counts::new();
        let append = Append {
            table: &side.table,
            files,
            positions: &record,
            expected: moved.map(|(p, r)| (p.clone(), r.from.clone())).collect(),
            refresh: self.refresh((0, rows_out), Duration::ZERO, &counts),
        };
        let appended = act::append(&self.lake, &self.model, append).await;
        let table = appended.map_err(|e| match is_missing(&e) {
            // The next attempt creates it again, at the main table's position.
            true => PipelineError::Superseded {
                table: side.table.name().to_string(),
                reason: "another writer dropped it".into(),
            },
            false => e,
        })?;
        if let Some(side) = &mut self.errors {
            for (p, to) in record.ends() {
                // Never back: the side table may stand ahead of the main table.
                let at = side.at.entry(p).or_insert_with(|| to.clone());
                *at = to.max(at.clone());
            }
            side.table = table;
        }
        Ok(())
    }

    /// Deletes error rows at or past the main table's position that another definition wrote: they are judged again.
    async fn rewind_errors(&mut self) -> Result<()> {
        let Some(side) = &mut self.errors else { return Ok(()) };
        let past = side.table.past();
        // What others took away is judged again, as is what another definition wrote.
        let untouched = past.newer_than_ours().all(|s| s.operation.is_rewrite());
        let is_same = untouched && past.fingerprint() == Some(&self.model.fingerprint);
        let ahead = decide::rejudged(&self.committed, &side.at, is_same);
        if ahead.is_empty() {
            return Ok(());
        }
        warn!(table = %side.table.name(), "error rows past the main table's position were judged by another definition: they are judged again");
        let record = self.committed.at_rest();
        side.table = rewind::delete_from(&self.ctx, &self.lake, &side.table, &ahead, &record, &self.model).await?;
        side.at = record.ends();
        Ok(())
    }
}

/// Resolves at an instant; never, if there is none.
async fn sleep_to(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// Rows of an error batch at or past the error table's own position.
fn not_yet(errors: &RecordBatch, at: Option<&Position>) -> Result<Option<RecordBatch>> {
    let Some(at) = at else { return Ok(Some(errors.clone())) };
    let Some(offsets) = errors.column_by_name("offset") else { return Ok(None) };
    let offsets = offsets.as_primitive::<Int64Type>().values();
    let keep: BooleanArray = offsets.iter().map(|o| Some(Position::from(*o) >= *at)).collect();
    let kept = filter_record_batch(errors, &keep).map_err(crate::refresh::rewrite::arrow)?;
    Ok((kept.num_rows() > 0).then_some(kept))
}

fn is_missing(error: &PipelineError) -> bool {
    matches!(error, PipelineError::Lake(LakeError::TableMissing(_)))
}
