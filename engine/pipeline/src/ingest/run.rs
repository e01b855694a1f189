//! Keeps a streaming table equal to its topic.
//!
//!   position (Iceberg) ──▶ KafkaSource ──▶ batch ──▶ query per partition ──▶ files ──▶ commit with positions
//!
//! Invariants
//! * Where to read on is in the table's own snapshots alone; the rows and the positions are one commit.
//! * A side table commits before its main table, whose position is authoritative.
//! * A commit that finds the table's position moved drops its batch and reads on from the table.
//!
//! Not here: decoding and buffering (`ingot_source`), the commit protocol (`ingot_lake::commit`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::prelude::SessionContext;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_lake::crash;
use ingot_lake::position;
use ingot_lake::{Change, Lake, LakeError, Rebase, Table, Writer};
use ingot_model::{KafkaPositions, Operation, PartitionRange, Record, Refresh, TableName};
use ingot_source::SELECT_FAILS;
use ingot_source::offsets::{self, Decision, Watermarks, decide_loss};
use ingot_source::{
    BatchLimits, KafkaSource, Loss, LossKind, PartitionBatch, Position, SourceBatch, SourceError, TopicInfo,
};
use ingot_telemetry::metrics;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{PipelineError, Result};
use crate::failing;
use crate::ingest::act::{self, Recorded, key};
use crate::planner::TopicFacts;
use crate::refresh::changes;
use crate::refresh::expectations::{self, Counts};
use ingot_project::project::{DecodeErrorPolicy, Model, SourceModel};

/// How long positions that moved without rows may wait for their commit.
const IDLE_COMMIT: Duration = Duration::from_secs(600);
/// When the topic has been silent for so long, they are committed without waiting further: once between two commits of
/// rows. What is behind them may be gone from the log before the next start, and would be taken for a loss then.
const SILENCE: Duration = Duration::from_secs(5);
/// How often an idle table looks whether somebody else changed it: views wait for columns that others added or took.
const LOOK: Duration = Duration::from_secs(5);
/// Batches that may be dropped one after another because another writer was first, before the table pauses.
const SUPERSEDED_MAX: u32 = 5;

/// What one call to [`Ingestor::run`] did.
#[derive(Debug, Default, Clone)]
pub struct Ingested {
    pub rows_in: u64,
    pub rows_out: u64,
    pub errors: u64,
    pub commits: u64,
}

/// One streaming table joined to its topic.
pub struct Ingestor {
    ctx: SessionContext,
    lake: Lake,
    model: Arc<Model>,
    source: Arc<SourceModel>,
    kafka: KafkaSource,
    topic: TopicInfo,
    table: Table,
    errors: Option<Table>,
    errors_model: Option<Arc<Model>>,
    /// Where the table stands, with cumulative counts.
    committed: KafkaPositions,
    /// `committed` and what was read since without rows.
    pending: KafkaPositions,
    pending_since: Option<Instant>,
    /// When something was last read.
    last_batch: Instant,
    /// The last commit had no rows.
    bare: bool,
    /// Where the error table stands.
    errors_at: BTreeMap<i32, i64>,
}

/// What lets a table go on past messages that it cannot store.
const NO_PLACE: &str = "to keep such messages in a table and go on: ON DECODE ERROR INTO <namespace>.<table>";

/// What a plan says of a streaming table: from where to where its topic would be read.
///
/// # Errors
/// Source errors; a named loss among them.
pub async fn facts(model: &Model, source: &SourceModel, table: Option<&Table>) -> Result<TopicFacts> {
    let (kafka, topic) = join(model, source, table).await?;
    let (from, _) = start_of(&kafka, model, source, &topic, table).await?;
    let to = kafka.end_offsets().await?;
    Ok(TopicFacts { topic: source.topic.clone(), from, to })
}

/// Where reading goes on: the recorded positions, or the statement's `start`, after the losses were looked for.
async fn start_of(
    kafka: &KafkaSource,
    model: &Model,
    source: &SourceModel,
    topic: &TopicInfo,
    table: Option<&Table>,
) -> Result<(BTreeMap<i32, i64>, Option<Recorded>)> {
    let recorded = match table {
        None => None,
        Some(t) => Some(act::recorded(model, source, topic, t)?),
    };
    let Some(recorded) = recorded else {
        return Ok((kafka.start_offsets(&source.start).await?, None));
    };
    let at = ends(&recorded.positions);
    let facts = log(kafka, topic).await?;
    if let Decision::Lost(loss) = decide_loss(&source.topic, &recorded.positions.topic_id, &at, &at, &facts) {
        return Err(PipelineError::source(&model.name, SourceError::Loss(loss)));
    }
    let mut from = at;
    let missing: Vec<i32> = topic.partitions.iter().copied().filter(|p| !from.contains_key(p)).collect();
    if !missing.is_empty() {
        let low = kafka.start_offsets(&ingot_source::Start::Earliest).await?;
        for p in missing {
            from.insert(p, low.get(&p).copied().unwrap_or(0));
        }
    }
    Ok((from, Some(recorded)))
}

/// Where each partition is to be read on.
pub(crate) fn ends(positions: &KafkaPositions) -> BTreeMap<i32, i64> {
    positions.partitions.iter().map(|(p, r)| (*p, r.to)).collect()
}

/// The log of a topic, to be compared with positions.
pub(crate) async fn log(kafka: &KafkaSource, topic: &TopicInfo) -> Result<offsets::TopicFacts> {
    let marks = kafka.watermarks().await?;
    let told = marks.into_iter().map(|(p, (low, high))| (p, Some(Watermarks { low, high }))).collect();
    Ok(offsets::TopicFacts { topic_id: topic.topic_id.clone(), partitions: told })
}

pub(crate) fn recreated(model: &Model, source: &SourceModel, was: &str, now: &str) -> PipelineError {
    let loss = Loss {
        kind: LossKind::TopicRecreated,
        topic: source.topic.clone(),
        partition: None,
        position: None,
        now: None,
        topic_id: Some((was.to_owned(), now.to_owned())),
    };
    PipelineError::source(&model.name, SourceError::Loss(loss))
}

/// A table's topic as it is now. One that is missing and was read before is more than a topic yet to be made.
async fn join(model: &Model, source: &SourceModel, table: Option<&Table>) -> Result<(KafkaSource, TopicInfo)> {
    let asked = async {
        let kafka = connect(source).await?;
        let topic = kafka.describe().await?;
        Ok((kafka, topic))
    };
    let flow = model.name.to_string();
    match (asked.await, table) {
        (Err(PipelineError::Source(SourceError::TopicMissing { topic })), Some(table))
            if position::recorded_flows(table)
                .map_err(|e| act::positions_error(model, e))?
                .iter()
                .any(|f| f.flow == flow && f.topic == topic) =>
        {
            Err(PipelineError::Stopped {
                code: "S0106",
                message: format!("topic \"{topic}\", which \"{flow}\" has read, does not exist any more"),
                hint: Some(format!(
                    "check kafka.bootstrap.servers and the topic's ACLs; if it was deleted, the rows stored so far stay: to \
                     go on, create it again, then `ingot refresh {flow} --full --accept-loss` drops them and reads it"
                )),
                retryable: true,
            })
        }
        (joined, _) => joined,
    }
}

/// A connection to a source's topic; a broker that is away is waited for.
pub(crate) async fn connect(source: &SourceModel) -> Result<KafkaSource> {
    Ok(KafkaSource::connect(&source.kafka, &source.topic, &|_| {}).await?)
}

/// A full vector that begins at offsets.
pub(crate) fn vector(model: &Model, topic: &TopicInfo, name: &str, from: &BTreeMap<i32, i64>) -> KafkaPositions {
    let at = |offset: i64| PartitionRange { from: offset, to: offset, ..PartitionRange::default() };
    KafkaPositions {
        v: 1,
        full: true,
        flow: model.name.to_string(),
        cluster: topic.cluster_id.clone(),
        topic: name.to_owned(),
        topic_id: topic.topic_id.clone(),
        partitions: from.iter().map(|(p, o)| (*p, at(*o))).collect(),
    }
}

impl Ingestor {
    /// Joins a streaming table to its topic: creates what is missing, applies a changed definition, looks for losses.
    ///
    /// # Errors
    /// Source errors (a broker that is away is waited for), named losses, lake errors.
    pub async fn open(
        ctx: SessionContext,
        lake: Lake,
        model: Arc<Model>,
        source: Arc<SourceModel>,
        errors: Option<Arc<Model>>,
    ) -> Result<Self> {
        let existing = lake.load_table(&model.name).await?;
        let (kafka, topic) = join(&model, &source, existing.as_ref()).await?;
        let (from, recorded) = start_of(&kafka, &model, &source, &topic, existing.as_ref()).await?;
        crash::point("start.described", &model.name);
        let renamed = recorded.as_ref().is_some_and(|r| r.renamed);
        let recorded = recorded.map(|r| r.positions);
        let mut committed = recorded.unwrap_or_else(|| vector(&model, &topic, &source.topic, &from));
        for (p, offset) in &from {
            committed.partitions.entry(*p).or_insert_with(|| PartitionRange {
                from: *offset,
                to: *offset,
                ..PartitionRange::default()
            });
        }
        committed.full = true;
        let side = match &errors {
            None => None,
            Some(side) => Some(act::side(&ctx, &lake, &model, side, &key(&model, &topic), &committed).await?),
        };
        crash::point("start.side_ready", &model.name);
        let table = match existing {
            Some(table) => act::apply_definition(&lake, &model, table, &committed, renamed).await?,
            None => {
                info!(table = %model.name, topic = %source.topic, "streaming table created");
                act::ensure(&lake, &model, &committed).await?
            }
        };
        crash::point("start.table_ready", &model.name);
        let (errors_table, errors_at) = side.unzip();
        let mut ingestor = Self {
            ctx,
            lake,
            model,
            source,
            kafka,
            topic,
            table,
            errors: errors_table,
            errors_model: errors,
            pending: committed.clone(),
            committed,
            pending_since: None,
            last_batch: Instant::now(),
            bare: false,
            errors_at: errors_at.unwrap_or_default(),
        };
        ingestor.mend_errors().await?;
        Ok(ingestor)
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Says where an open transaction keeps messages back, which `--once` does not wait for.
    ///
    /// # Errors
    /// Source errors.
    pub async fn report_open_transactions(&self) -> Result<()> {
        let stable = self.kafka.end_offsets().await?;
        for (partition, (_, high)) in self.kafka.watermarks().await? {
            let end = stable.get(&partition).copied().unwrap_or(high);
            if high > end {
                warn!(table = %self.model.name, topic = %self.source.topic, partition, offset = end, behind = high - end,
                    "an open transaction keeps messages back; a later run reads them");
            }
        }
        Ok(())
    }

    /// Last stable offsets now: where `--once` ends.
    ///
    /// # Errors
    /// Source errors.
    pub async fn ends(&self) -> Result<BTreeMap<i32, i64>> {
        Ok(self.kafka.end_offsets().await?)
    }

    /// Reads until `until` is reached everywhere, or until `shutdown`; commits batch by batch.
    ///
    /// # Errors
    /// Source errors, named losses, lake errors. What was committed before stays.
    pub async fn run(
        &mut self,
        until: Option<BTreeMap<i32, i64>>,
        limits: BatchLimits,
        shutdown: &CancellationToken,
        committed: &(dyn Fn(&TableName, &Ingested) + Send + Sync),
    ) -> Result<Ingested> {
        let mut done = Ingested::default();
        let mut superseded = 0;
        'reopen: loop {
            let at = self.positions();
            let schema = failing::schema_to_read(&self.model, &self.source);
            let mut closed = false;
            let mut stream = self.kafka.read(at, schema, limits, until.clone())?;
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
                    None => self.commit(vec![], vec![], started, Counts::new(), &mut done).await,
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
            self.commit(vec![], vec![], Instant::now(), Counts::new(), &mut done).await?;
        }
        Ok(done)
    }

    /// When positions that moved without rows are to be committed, if there are any.
    fn bare_commit(&self) -> Option<Instant> {
        let latest = self.pending_since? + IDLE_COMMIT;
        Some(if self.bare { latest } else { latest.min(self.last_batch + SILENCE) })
    }

    fn positions(&self) -> BTreeMap<i32, Position> {
        self.committed.partitions.iter().map(|(p, r)| (*p, Position { offset: r.to, epoch: r.epoch })).collect()
    }

    /// Whether the table is not the one that the last commit left: another writer was there.
    async fn was_changed(&self) -> Result<bool> {
        let now = self.lake.load_table(&self.model.name).await?;
        Ok(now.is_none_or(|now| now.metadata_location() != self.table.metadata_location()))
    }

    /// Opens the table and its topic again, after another writer changed the table. What was read and not committed is
    /// dropped.
    async fn reload(&mut self) -> Result<()> {
        let table = self.lake.load_table(&self.model.name).await?;
        let table = table.ok_or_else(|| act::dropped(&self.model))?;
        let found = act::recorded(&self.model, &self.source, &self.topic, &table)?;
        if act::judged_by(&table).is_some_and(|by| by != self.model.fingerprint) {
            let text = format!("another process gave \"{}\" another definition than this one has", self.model.name);
            return Err(PipelineError::stopped("R0312", text)
                .with_hint("stop the process that runs the old SQL files, or start this one again with the new ones"));
        }
        self.table = act::apply_definition(&self.lake, &self.model, table, &found.positions, found.renamed).await?;
        self.committed = found.positions;
        self.pending = self.committed.clone();
        self.pending_since = None;
        if let Some(side) = &self.errors_model {
            let flow = key(&self.model, &self.topic);
            let joined = act::side(&self.ctx, &self.lake, &self.model, side, &flow, &self.committed).await?;
            (self.errors, self.errors_at) = (Some(joined.0), joined.1);
            self.mend_errors().await?;
        }
        Ok(())
    }

    async fn take(&mut self, batch: SourceBatch, started: Instant, done: &mut Ingested) -> Result<()> {
        let now = self.kafka.topic_id().await?;
        if offsets::is_recreated(&self.topic.topic_id, &now) {
            return Err(recreated(&self.model, &self.source, &self.topic.topic_id, &now));
        }
        self.count(&batch);
        let mut main = Vec::new();
        let mut errors = Vec::new();
        let mut counts = Counts::new();
        for (partition, part) in batch.partitions {
            self.evaluate(partition, part, &mut main, &mut errors, &mut counts, done).await?;
        }
        crash::point("decoded", &self.model.name);
        self.last_batch = Instant::now();
        if main.is_empty() && errors.is_empty() {
            if self.pending.partitions != self.committed.partitions {
                self.pending_since.get_or_insert(self.last_batch);
            }
            return Ok(());
        }
        self.commit(main, errors, started, counts, done).await
    }

    fn count(&self, batch: &SourceBatch) {
        let (table, topic) = (self.model.name.to_string(), self.source.topic.as_str());
        for (partition, part) in &batch.partitions {
            metrics().source_messages.add([&table, topic, &partition.to_string()], part.delivered);
        }
        metrics().source_bytes.add([&table, topic], batch.bytes as u64);
    }

    /// One partition's rows through the query; moves `pending`.
    async fn evaluate(
        &mut self,
        partition: i32,
        part: PartitionBatch,
        main: &mut Vec<RecordBatch>,
        errors: &mut Vec<RecordBatch>,
        counts: &mut Counts,
        done: &mut Ingested,
    ) -> Result<()> {
        if part.errors.num_rows() > 0 && self.model.on_decode_error == DecodeErrorPolicy::Fail {
            return Err(self.refused(partition, &part.errors, "S0107", NO_PLACE.to_owned()));
        }
        let mut refusals = vec![part.errors];
        let mut decoded = part.rows.num_rows() as u64;
        let mut kept = 0;
        let mut dropped = 0;
        if decoded > 0 {
            let mut own = Counts::new();
            let now = chrono::Utc::now();
            let out = match self.query(part.rows.clone(), now, &mut own).await {
                Err(error) if failing::of_a_row(&error) => {
                    let Some(messages) = &part.kept else { return Err(error) };
                    let apart = failing::apart(&self.ctx, &self.model, &self.source, &part.rows, messages, now).await?;
                    if apart.errors.num_rows() == 0 {
                        return Err(error);
                    }
                    if !matches!(self.model.on_decode_error, DecodeErrorPolicy::Into(_)) {
                        let hint = error.hint().map_or(NO_PLACE.to_owned(), |hint| format!("{hint}; {NO_PLACE}"));
                        return Err(self.refused(partition, &apart.errors, SELECT_FAILS, hint));
                    }
                    decoded -= apart.errors.num_rows() as u64;
                    refusals.push(apart.errors);
                    own = Counts::new();
                    self.query(apart.rows, now, &mut own).await?
                }
                out => out?,
            };
            kept = out.iter().map(|b| b.num_rows() as u64).sum();
            for (name, c) in own {
                dropped += u64::try_from(c.dropped).unwrap_or(0);
                let entry = counts.entry(name).or_default();
                entry.warned += c.warned;
                entry.dropped += c.dropped;
            }
            main.extend(out);
        }
        let keeps_errors = self.errors.is_some();
        let refused = refusals.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        if refused > 0 && keeps_errors {
            let at = self.errors_at.get(&partition).copied();
            for batch in &refusals {
                errors.extend(not_yet(batch, at)?);
            }
        }
        let range = self.pending.partitions.entry(partition).or_insert_with(|| PartitionRange {
            from: part.from,
            to: part.from,
            ..PartitionRange::default()
        });
        range.to = part.to;
        range.epoch = part.epoch.or(range.epoch);
        range.delivered += part.delivered;
        range.main += kept;
        if keeps_errors {
            range.errors += refused;
        } else {
            range.dropped += refused;
        }
        range.dropped += dropped;
        range.filtered += decoded.saturating_sub(kept + dropped);
        done.rows_in += part.delivered;
        done.rows_out += kept;
        done.errors += refused;
        Ok(())
    }

    async fn query(&self, rows: RecordBatch, now: DateTime<Utc>, counts: &mut Counts) -> Result<Vec<RecordBatch>> {
        let provider = changes::memory(rows.schema(), vec![rows.clone()])?;
        let source: Arc<dyn TableSource> = provider_as_source(provider);
        let name = self.source.name.clone();
        let bind = move |t: &TableReference| (t.table() == name).then(|| source.clone());
        let prepare = move |plan: LogicalPlan| Ok(ingot_delta::freeze_now(&plan, now)?);
        let relations: Vec<_> = self.model.checked.iter().collect();
        expectations::judge(&self.ctx, &self.model, &relations, &bind, &prepare, 1, counts).await?;
        failing::query(&self.ctx, &self.model, &self.source, rows, now).await
    }

    /// The first message that cannot be stored, where the table has no place for such.
    fn refused(&self, partition: i32, errors: &RecordBatch, code: &'static str, hint: String) -> PipelineError {
        let offset = errors.column_by_name("offset").map(|c| c.as_primitive::<Int64Type>().value(0)).unwrap_or(-1);
        let text = |name: &str| {
            errors.column_by_name(name).map(|c| c.as_string::<i32>().value(0).to_owned()).unwrap_or_default()
        };
        let place = format!("the message at topic {}, partition {partition}, offset {offset}", self.source.topic);
        let what = match code == SELECT_FAILS {
            true => format!("decodes, but the statement fails for it: {}", text("reason")),
            false => format!("does not decode: {}: {}", text("code"), text("reason")),
        };
        PipelineError::stopped(code, format!("\"{}\": {place} {what}", self.model.name)).with_hint(hint)
    }

    async fn commit(
        &mut self,
        main: Vec<RecordBatch>,
        errors: Vec<RecordBatch>,
        started: Instant,
        counts: Counts,
        done: &mut Ingested,
    ) -> Result<()> {
        let bare = main.is_empty() && errors.is_empty();
        if !errors.is_empty() {
            self.commit_errors(errors).await?;
            crash::point("side.committed", &self.model.name);
        }
        let pool = &self.ctx.runtime_env().memory_pool;
        let mut writer = Writer::new(&self.table, None)?.enforcing(&self.model.definition).counted_in(pool);
        let written = writer.write_all(&main).await;
        drop(main);
        let (rows_out, files) = writer.close_after(written).await?;
        let mut record = self.pending.clone();
        for (p, range) in &mut record.partitions {
            range.from = self.committed.partitions.get(p).map_or(range.from, |r| r.to);
        }
        let moved: u64 = record
            .partitions
            .iter()
            .map(|(p, r)| r.delivered - self.committed.partitions.get(p).map_or(0, |c| c.delivered))
            .sum();
        let refreshed = Refresh {
            mode: "append",
            reason: None,
            rows_in: moved,
            rows_out,
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            fingerprint: &self.model.fingerprint,
            semantics: ENGINE_SEMANTICS_VERSION,
            counts: &counts,
            now: None,
        };
        // All partitions: one that a rollback took back and that this batch lacks must be read again, too.
        let expected = self.committed.partitions.iter().map(|(p, r)| (*p, r.to)).collect();
        let table = self.append(&self.table, files, &record, expected, Record::of(&refreshed)?).await;
        let table = table.map_err(|e| if is_missing(&e) { act::dropped(&self.model) } else { e })?;
        crash::point("main.committed", &self.model.name);
        metrics()
            .errors_rows
            .add([&self.model.name.to_string()], errors_of(&record).saturating_sub(errors_of(&self.committed)));
        self.table = table;
        self.committed = record.clone();
        self.pending = record;
        self.pending_since = None;
        self.bare = bare;
        done.commits += 1;
        Ok(())
    }

    async fn commit_errors(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let Some(side) = self.errors.clone() else { return Ok(()) };
        let mut writer = Writer::new(&side, None)?.counted_in(&self.ctx.runtime_env().memory_pool);
        let written = writer.write_all(&batches).await;
        let (rows_out, files) = writer.close_after(written).await?;
        let refreshed = Refresh {
            mode: "append",
            reason: None,
            rows_in: 0,
            rows_out,
            ms: 0,
            fingerprint: &self.model.fingerprint,
            semantics: ENGINE_SEMANTICS_VERSION,
            counts: &Counts::new(),
            now: None,
        };
        let mut record = self.pending.clone();
        for (p, range) in &mut record.partitions {
            range.from = self.errors_at.get(p).copied().unwrap_or(range.from).min(range.to);
        }
        let moved = record.partitions.iter().filter(|(_, r)| r.from != r.to);
        let expected = moved.map(|(p, r)| (*p, r.from)).collect();
        let appended = self.append(&side, files, &record, expected, Record::of(&refreshed)?).await;
        let side = appended.map_err(|e| match is_missing(&e) {
            // The next attempt creates it again, at the main table's position.
            true => {
                PipelineError::Superseded { table: side.name().to_string(), reason: "another writer dropped it".into() }
            }
            false => e,
        })?;
        for (p, range) in &record.partitions {
            // Never back: the side table may stand ahead of the main table.
            let at = self.errors_at.entry(*p).or_insert(range.to);
            *at = range.to.max(*at);
        }
        self.errors = Some(side);
        Ok(())
    }

    /// One append with positions; on a conflict it goes on only if the table still stands where `expected` says.
    async fn append(
        &self,
        table: &Table,
        add: Vec<ingot_lake::DataFile>,
        record: &KafkaPositions,
        expected: BTreeMap<i32, i64>,
        mut properties: Record,
    ) -> Result<Table> {
        // The partitions that moved; the commit makes it a full vector every so often.
        let mut shown = record.clone();
        shown.full = false;
        shown.partitions.retain(|_, r| r.from != r.to);
        properties.set_positions(Some(&shown))?;
        let change = Change {
            commit_id: uuid::Uuid::now_v7(),
            operation: Operation::Append,
            add,
            summary: properties,
            ..Change::default()
        };
        let flow = key(&self.model, &self.topic);
        let definition = |t: &Table| (t.metadata().current_schema_id(), act::judged_by(t));
        let planned = definition(table);
        let guard = move |now: &Table| -> Rebase {
            if definition(now) != planned {
                return Rebase::Abandon("its definition changed".into());
            }
            match position::kafka_position(now, &flow) {
                Ok(Some(found)) => {
                    let same = expected.iter().all(|(p, from)| found.partitions.get(p).is_none_or(|r| r.to == *from));
                    if same { Rebase::Retry } else { Rebase::Abandon("its position moved".into()) }
                }
                Ok(None) => Rebase::Abandon("its position is gone".into()),
                Err(e) => Rebase::Abandon(e.to_string()),
            }
        };
        self.lake.commit(table, change, &guard).await.map_err(|e| PipelineError::commit(table.name(), e))
    }

    /// Deletes error rows at or past the main table's position that another definition wrote: they are judged again.
    async fn mend_errors(&mut self) -> Result<()> {
        let Some(side) = self.errors.clone() else { return Ok(()) };
        let ahead: BTreeMap<i32, i64> = self
            .committed
            .partitions
            .iter()
            .filter(|(p, r)| self.errors_at.get(p).is_some_and(|at| *at > r.to))
            .map(|(p, r)| (*p, r.to))
            .collect();
        let head = side.head().and_then(|id| side.snapshot(id));
        let same = head.is_some_and(|s| s.fingerprint() == Some(&self.model.fingerprint));
        if ahead.is_empty() || same {
            return Ok(());
        }
        warn!(table = %side.name(), "error rows past the main table's position were judged by another definition: they are judged again");
        let record = act::at_rest(&self.committed);
        let side =
            crate::ingest::rewind::delete_from(&self.ctx, &self.lake, &side, &ahead, &record, &self.model).await?;
        self.errors_at = ends(&record);
        self.errors = Some(side);
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
fn not_yet(errors: &RecordBatch, at: Option<i64>) -> Result<Option<RecordBatch>> {
    let Some(at) = at else { return Ok(Some(errors.clone())) };
    let Some(offsets) = errors.column_by_name("offset") else { return Ok(None) };
    let keep: BooleanArray = offsets.as_primitive::<Int64Type>().values().iter().map(|o| Some(*o >= at)).collect();
    let kept = filter_record_batch(errors, &keep).map_err(crate::refresh::rewrite::arrow)?;
    Ok((kept.num_rows() > 0).then_some(kept))
}

/// Messages that became rows of the error table since the table began.
fn errors_of(positions: &KafkaPositions) -> u64 {
    positions.partitions.values().map(|range| range.errors).sum()
}

fn is_missing(error: &PipelineError) -> bool {
    matches!(error, PipelineError::Lake(LakeError::TableMissing(_)))
}
