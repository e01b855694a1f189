//! The law as a command: a table equals its query over the snapshots it records; a streaming table equals its log.
//!
//!   view:       query at the recorded snapshots and now()  ──┐
//!   table:      rows of its head                           ──┴▶ multiset difference
//!   streaming:  rows against recorded counts, each (partition, offset) once, and the log decoded again
//!
//! Invariants
//! * "equal" is said only after a comparison of every row; what cannot be compared any more is "unverifiable".
//! * What was forgotten while it was compared is "unverifiable"; a file that is missing of what is kept is an error.
//! * Nothing here writes, but for rows to compare that are more than fit in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_dialect::ast::IncludeKind;
use ingot_lake::{LakeError, LakeTableProvider, ScanOptions, Table, beginning, crash};
use ingot_model::{FlowPositions, Partition, SnapshotInfo, TableName};
use ingot_source::{BatchLimits, Connector, Short};

mod verdict;

pub use verdict::{Verdict, Verified};

use self::verdict::{
    Erased, MORE_HISTORY, uncompared, unverifiable, verdict_of, verdict_of_thinned, verdict_with_erased,
};
use crate::engine::{ANSWER, Engine};
use crate::error::{PipelineError, Result};
use crate::failing;
use crate::ingest::{facts, rewind};
use crate::offsets::Offsets;
use crate::refresh::changes::{Changed, Input, empty};
use crate::refresh::made_by;
use crate::refresh::spill::BoundedDiff;
use ingot_project::project::{Model, ModelKind, SourceModel};
use ingot_query::context;

impl Engine {
    /// Verifies one table.
    ///
    /// # Errors
    /// Catalog, store, broker and execution errors; a difference is a verdict, not an error.
    pub async fn verify(&self, name: &TableName) -> Result<Verified> {
        let started = std::time::Instant::now();
        let model = self.model(name)?;
        let mut warnings = vec![];
        let verdict = match self.lake().load_table(name).await? {
            None => unverifiable("the table does not exist yet"),
            Some(table) => match self.compared(model, &table, &mut warnings).await {
                Err(error) if error.overtaken() => match self.forgotten(model, &table).await? {
                    Some(what) => {
                        unverifiable(format!("{what} while it was compared: verify again, or {MORE_HISTORY}"))
                    }
                    None => return Err(error),
                },
                compared => compared?,
            },
        };
        Ok(Verified { table: name.clone(), verdict, warnings, seconds: started.elapsed().as_secs_f64() })
    }

    async fn compared(&self, model: &Model, table: &Table, warnings: &mut Vec<String>) -> Result<Verdict> {
        crash::point("verify.loaded", &model.name);
        self.unique_key(model, table, warnings).await?;
        match &model.kind {
            ModelKind::View | ModelKind::Quarantine { .. } => self.verify_view(model, table).await,
            ModelKind::DecodeErrors { of } => self.verify_errors(model, of, table).await,
            ModelKind::Streaming { .. } if model.source().is_some() => self.verify_stream(model, table).await,
            ModelKind::Streaming { .. } => self.verify_view(model, table).await,
        }
    }

    /// What a comparison reads and is there no more, though it was when the table was loaded.
    async fn forgotten(&self, model: &Model, was: &Table) -> Result<Option<String>> {
        let history = was.history();
        let earlier = history.iter().find(|s| s.fingerprint().is_some_and(|f| f != model.fingerprint));
        let mut read: Vec<(TableName, i64)> = was.head().map(|id| (was.name().clone(), id)).into_iter().collect();
        read.extend(earlier.map(|s| (was.name().clone(), s.id)));
        for snapshot in history.newest_computed().into_iter().chain(earlier) {
            let sources = snapshot.sources()?.unwrap_or_default();
            read.extend(sources.into_iter().filter_map(|(name, (_, id))| Some((name, id?))));
        }
        for (name, id) in read {
            if let Some(now) = self.lake().load_table(&name).await?
                && now.snapshot(id).is_none()
            {
                return Ok(Some(format!("snapshot {id} of \"{name}\" was forgotten")));
            }
        }
        Ok(None)
    }

    async fn rows(&self, table: &Table) -> Result<SendableRecordBatchStream> {
        let options = ScanOptions { defined: true, ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(table, options).await?;
        Ok(self.context().read_table(Arc::new(provider))?.execute_stream().await?)
    }

    /// PRIMARY KEY is not enforced; duplicates are worth a warning.
    async fn unique_key(&self, model: &Model, table: &Table, warnings: &mut Vec<String>) -> Result<()> {
        if model.primary_key.is_empty() || table.head().is_none() {
            return Ok(());
        }
        let provider = LakeTableProvider::try_new(table, ScanOptions::default()).await?;
        let keys: Vec<_> = model.primary_key.iter().map(|c| datafusion::logical_expr::ident(c.as_str())).collect();
        let count = datafusion::functions_aggregate::expr_fn::count(datafusion::logical_expr::lit(1)).alias("n");
        let duplicates = self
            .context()
            .read_table(Arc::new(provider))?
            .aggregate(keys, vec![count])?
            .filter(datafusion::logical_expr::col("n").gt(datafusion::logical_expr::lit(1)))?
            .count()
            .await?;
        if duplicates > 0 {
            let key = model.primary_key.join(", ");
            warnings.push(format!("{duplicates} value(s) of PRIMARY KEY ({key}) NOT ENFORCED stand more than once"));
        }
        Ok(())
    }

    async fn verify_view(&self, model: &Model, table: &Table) -> Result<Verdict> {
        let history = table.history();
        let Some(ours) = history.newest_computed() else {
            return Ok(unverifiable("no snapshot of it records what it was computed from"));
        };
        if ours.fingerprint() != Some(&model.fingerprint) {
            return Ok(unverifiable("its definition changed since its last refresh; run first"));
        }
        let sources = ours.sources()?.unwrap_or_default();
        let by = |s: &SnapshotInfo| s.fingerprint().is_some_and(|f| f != model.fingerprint);
        let earlier = history.iter().find(|s| by(s)).filter(|_| model.is_streaming());
        // Which rows an earlier definition made cannot be told once its snapshots are forgotten.
        let others = match model.is_streaming() && earlier.is_none() {
            true => made_by::others_than(table, &model.fingerprint)?,
            false => None,
        };
        let mut bound: BTreeMap<TableName, Arc<dyn TableProvider>> = BTreeMap::new();
        let mut erased_below = false;
        for name in &model.inputs {
            let Some((uuid, snapshot)) = sources.get(name).copied() else {
                return Ok(unverifiable(format!("its snapshot does not record which snapshot of \"{name}\" it read")));
            };
            let Some(source) = self.lake().load_table(name).await? else {
                return Ok(unverifiable(format!("source \"{name}\" does not exist")));
            };
            let source = self.as_declared(source)?;
            if source.uuid() != uuid {
                return Ok(unverifiable(format!("source \"{name}\" was recreated")));
            }
            if let Some(id) = snapshot
                && source.snapshot(id).is_none()
            {
                return Ok(unverifiable(format!(
                    "snapshot {id} of source \"{name}\" is gone: run first, or {MORE_HISTORY}"
                )));
            }
            if let Some(column) = snapshot.and_then(|id| source.redefined_since(id)) {
                return Ok(unverifiable(format!(
                    "column \"{column}\" of source \"{name}\" was redefined since; run first"
                )));
            }
            erased_below |= source.recorded().erased()? > 0;
            let mut input = Input { table: source, from: None, to: snapshot };
            let Some(earlier) = &earlier else {
                bound.insert(name.clone(), input.full_scan().await?);
                continue;
            };
            // What an earlier definition made is not compared; what came since is.
            let read = earlier.sources()?.unwrap_or_default();
            let Some((_, from)) = read.get(name) else {
                return Ok(unverifiable(again(model, &earlier_definition(table)?)));
            };
            input.from = *from;
            let schema = input.table.defined_schema();
            match self.appended(&input).await? {
                Some(rows) => bound.insert(name.clone(), rows.map_or_else(|| empty(schema), Ok)?),
                None => return Ok(unverifiable(again(model, &earlier_definition(table)?))),
            };
        }
        let recorded_now = ours.now()?;
        let now = recorded_now.unwrap_or_else(Utc::now);
        let find = |t: &TableReference| bound.get(&TableName::of(t)?).map(|p| provider_as_source(p.clone()));
        let plan = ingot_delta::freeze_now(&ingot_delta::rebind_tables(&model.plan, &find)?, now)?;
        let wanted = context::stream(self.context(), plan).await?;
        let mut diff = BoundedDiff::new(table.defined_schema(), self.context().runtime_env())?;
        add(&mut diff, wanted, 1).await?;
        if let Some(earlier) = &earlier {
            let since = Input { table: table.clone(), from: Some(earlier.id), to: table.head() };
            let why = earlier_definition(table)?;
            let Some(rows) = self.appended(&since).await? else { return Ok(unverifiable(again(model, &why))) };
            let mut rows_since = 0;
            if let Some(rows) = rows {
                rows_since = add(&mut diff, self.context().read_table(rows)?.execute_stream().await?, -1).await?;
            }
            let all = table.head().and_then(|id| table.snapshot(id)).map(|s| s.rows());
            let rows = all.transpose()?.flatten().unwrap_or(rows_since);
            return Ok(match verdict_of(diff, rows, "")? {
                Verdict::Equal { .. } => {
                    let reason = format!("{why}; the {rows_since} since are those of its query");
                    Verdict::Consistent { rows, reason }
                }
                other => other,
            });
        }
        let rows = add(&mut diff, self.rows(table).await?, -1).await?;
        let mut how = "against its query over the recorded snapshots".to_owned();
        if let Some(at) = recorded_now.filter(|_| ingot_delta::clock(&model.plan).is_some()) {
            how += &format!(", as of {}, its now()", at.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        let erased = match model.is_streaming() {
            true => Erased { here: table.recorded().erased()?, below: erased_below },
            false => Erased::default(),
        };
        Ok(match (verdict_with_erased(diff, rows, erased, &how)?, others) {
            (Verdict::Different { .. }, Some(why)) => unverifiable(again(model, why)),
            (verdict, _) => verdict,
        })
    }

    /// The rows that a table only gained; nothing where it lost some, or where that cannot be told any more.
    async fn appended(&self, input: &Input) -> Result<Option<Option<Arc<dyn TableProvider>>>> {
        let gone = |id: i64| input.table.snapshot(id).is_none();
        if input.from.is_some_and(gone) || input.to.is_some_and(gone) {
            return Ok(None);
        }
        let bytes_max = (self.config().run.memory_bytes_max / 8) as u64;
        match input.change(self.context(), bytes_max).await {
            Ok(Changed::Rows(change)) if change.deleted.is_none() => Ok(Some(change.inserted)),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn verify_stream(&self, model: &Model, table: &Table) -> Result<Verdict> {
        let Some(source) = model.source().and_then(|s| self.project().sources.get(s)) else {
            return Ok(unverifiable("its source is not part of the project"));
        };
        let (connector, positions) = match self.recorded(model, source, table).await? {
            ReadUpTo::At(connector, positions) => (connector, positions),
            ReadUpTo::Unknown(verdict) => return Ok(verdict),
        };
        let mut findings = vec![];
        let rows =
            self.context().read_table(Arc::new(LakeTableProvider::try_new(table, ScanOptions::default()).await?))?;
        let total = rows.count().await? as u64;
        let counted: u64 = positions.partitions.values().map(|r| r.main).sum();
        let foreign = foreign_since_it_began(table)?;
        let erased = table.recorded().erased()?;
        if total + erased != counted {
            let text = format!("it holds {total} rows{} and its snapshots record {counted}", and_erased(erased));
            findings.push(match foreign {
                Some(id) => format!("{text} (another writer committed snapshot {id})"),
                None => text,
            });
        }
        // UNNEST makes several rows of a message; then messages and rows are two counts.
        let multiplies = model.plan.exists(|node| Ok(matches!(node, LogicalPlan::Unnest(_))))?;
        for (p, r) in positions.partitions.iter().filter(|_| !multiplies) {
            let kept = r.main + r.errors + r.filtered + r.dropped;
            if kept != r.delivered {
                findings.push(format!("partition {p}: {} messages delivered, {kept} accounted for", r.delivered));
            }
        }
        self.offsets_once(model, source, table, &positions, &mut findings).await?;
        if !findings.is_empty() {
            return Ok(Verdict::Different { findings });
        }
        let from = match self.replayable(model, table, &connector).await? {
            Replay::From(from) => from,
            Replay::Not(reason) => return Ok(uncompared(total, foreign, reason)),
        };
        let mut diff = BoundedDiff::new(table.defined_schema(), self.context().runtime_env())?;
        // Before the log, which takes its time: what is stored may be forgotten meanwhile.
        add(&mut diff, self.rows(table).await?, -1).await?;
        crash::point("verify.replaying", &model.name);
        let until = positions.ends();
        let mut replayed = Replayed::default();
        let schema = failing::schema_to_read(model, source);
        let mut stream = connector.read(&from, schema, self.replay_limits(), Some(&until))?;
        while let Some(batch) = stream.next().await? {
            for (partition, part) in batch.partitions {
                let is_past = until.get(&partition).is_none_or(|end| part.from >= *end);
                replayed.add(partition, part.delivered);
                if is_past || part.rows.num_rows() == 0 {
                    continue;
                }
                let given = (part.rows, part.kept.as_ref());
                let (rows, _) = failing::replayed(self.context(), model, source, given, Utc::now()).await?;
                for out in rows {
                    diff.add(&out, 1)?;
                }
            }
        }
        match replayed.thinned(&connector, &positions).await {
            Some(reason) => verdict_of_thinned(diff, total, foreign, reason, erased),
            None => {
                let erased = Erased { here: erased, below: false };
                verdict_with_erased(diff, total, erased, "against recorded counts, positions and the log itself")
            }
        }
    }

    /// The size of a replay's batches. No reader waits for them, so only memory and the size of an ingestion's batch
    /// bound them.
    fn replay_limits(&self) -> BatchLimits {
        let bytes_max = self.limits().bytes_max.min(self.config().run.memory_bytes_max / 8);
        BatchLimits { bytes_max, ..BatchLimits::default() }
    }

    /// The recorded positions in a source.
    async fn recorded(&self, model: &Model, source: &SourceModel, table: &Table) -> Result<ReadUpTo> {
        let asked = async {
            let connector = facts::connect(source).await?;
            let identity = connector.identity().await?;
            Ok::<_, PipelineError>((connector, identity))
        };
        let Ok(asked) = tokio::time::timeout(ANSWER, asked).await else {
            let seconds = ANSWER.as_secs();
            let text = format!("the broker of {} did not answer in {seconds} s", source.connection);
            return Ok(ReadUpTo::Unknown(unverifiable(text)));
        };
        let (connector, identity) = asked?;
        Ok(match facts::place(table, &facts::key(model, &identity)) {
            Ok(Some(positions)) => ReadUpTo::At(connector, positions),
            Ok(None) => ReadUpTo::Unknown(unverifiable("it records no position in its source")),
            Err(e) => ReadUpTo::Unknown(unverifiable(e.text)),
        })
    }

    /// Each stored (partition, offset) once and below the recorded positions, where the table keeps both.
    async fn offsets_once(
        &self,
        model: &Model,
        source: &SourceModel,
        table: &Table,
        positions: &FlowPositions,
        findings: &mut Vec<String>,
    ) -> Result<()> {
        let column = |kind: IncludeKind| {
            source
                .schema
                .includes
                .iter()
                .find(|(k, name)| *k == kind && model.schema.field_with_name(name).is_ok())
                .map(|(_, name)| name.clone())
        };
        let (Some(partition), Some(offset)) = (column(IncludeKind::Partition), column(IncludeKind::Offset)) else {
            return Ok(());
        };
        let provider = LakeTableProvider::try_new(table, ScanOptions::default()).await?;
        let frame = self.context().read_table(Arc::new(provider))?.select_columns(&[&partition, &offset])?;
        let mut rows = frame.execute_stream().await?;
        let until = rewind::numbers(&positions.ends());
        let mut seen = Offsets::default();
        let (mut doubled, mut beyond) = (0_u64, 0_u64);
        let mut first = None;
        while let Some(batch) = rows.try_next().await? {
            let (Ok(p), Ok(o)) = (cast(batch.column(0), &DataType::Int32), cast(batch.column(1), &DataType::Int64))
            else {
                return Ok(());
            };
            let (p, o) = (p.as_primitive::<Int32Type>(), o.as_primitive::<Int64Type>());
            for i in 0..batch.num_rows() {
                if p.is_null(i) || o.is_null(i) {
                    return Ok(());
                }
                let place = (p.value(i), o.value(i));
                if !seen.insert(place.0, place.1) {
                    doubled += 1;
                    first.get_or_insert(place);
                }
                beyond += u64::from(until.get(&place.0).is_none_or(|to| place.1 >= *to));
            }
        }
        if let Some((p, o)) = first {
            findings.push(format!("{doubled} row(s) stand twice, first partition {p} offset {o}"));
        }
        if beyond > 0 {
            findings.push(format!("{beyond} row(s) lie past the recorded positions"));
        }
        Ok(())
    }

    /// Where a replay of the log starts, if one definition made all rows and the log still reaches back to there.
    async fn replayable(&self, model: &Model, table: &Table, connector: &Connector) -> Result<Replay> {
        let Some(start) = beginning(table)? else {
            return Ok(Replay::Not("nothing that is left says where it began".into()));
        };
        if start.fingerprints.iter().any(|f| *f != model.fingerprint) {
            return Ok(Replay::Not(earlier_definition(table)?));
        }
        let now = connector.facts().await?;
        let again = now.restart(Some(&start.positions))?;
        if let Some(Short { partition, begins, began }) = again.short.first() {
            let text = format!("the log of partition {partition} begins at offset {begins}, the table at {began}");
            return Ok(Replay::Not(text));
        }
        Ok(Replay::From(FlowPositions::starting(&model.name, now.identity(), &again.from)))
    }

    async fn verify_errors(&self, model: &Model, of: &TableName, table: &Table) -> Result<Verdict> {
        let main = self.model(of)?;
        let Some(source) = main.source().and_then(|s| self.project().sources.get(s)) else {
            return Ok(unverifiable("its main table reads no source"));
        };
        let Some(main_table) = self.lake().load_table(of).await? else {
            return Ok(unverifiable(format!("its main table \"{of}\" does not exist")));
        };
        let (connector, positions) = match self.recorded(main, source, &main_table).await? {
            ReadUpTo::At(connector, positions) => (connector, positions),
            ReadUpTo::Unknown(verdict) => return Ok(verdict),
        };
        let counted: u64 = positions.partitions.values().map(|r| r.errors).sum();
        let until = positions.ends();
        let numbers = rewind::numbers(&until);
        let mut diff = BoundedDiff::new(model.schema.clone(), self.context().runtime_env())?;
        let mut total = 0;
        let mut stored = self.rows(table).await?;
        while let Some(batch) = stored.try_next().await? {
            let below = below(&batch, &numbers)?;
            total += below.num_rows() as u64;
            diff.add(&below, -1)?;
        }
        let erased = table.recorded().erased()?;
        if total + erased != counted {
            let text = format!(
                "it holds {total} rows up to the main table's position{} and {counted} are recorded",
                and_erased(erased)
            );
            return Ok(Verdict::Different { findings: vec![text] });
        }
        let foreign = foreign_since_it_began(table)?;
        let from = match self.replayable(main, &main_table, &connector).await? {
            Replay::From(from) => from,
            Replay::Not(reason) => return Ok(uncompared(total, foreign, reason)),
        };
        let mut replayed = Replayed::default();
        let schema = failing::schema_to_read(main, source);
        let mut stream = connector.read(&from, schema, self.replay_limits(), Some(&until))?;
        while let Some(batch) = stream.next().await? {
            for (partition, part) in batch.partitions {
                replayed.add(partition, part.delivered);
                diff.add(&part.errors, 1)?;
                // Messages for which the statement fails, where it can.
                if part.kept.is_some() && part.rows.num_rows() > 0 {
                    let given = (part.rows, part.kept.as_ref());
                    let (_, failed) = failing::replayed(self.context(), main, source, given, Utc::now()).await?;
                    failed.iter().try_for_each(|failed| diff.add(failed, 1))?;
                }
            }
        }
        match replayed.thinned(&connector, &positions).await {
            Some(reason) => verdict_of_thinned(diff, total, foreign, reason, erased),
            None => {
                let erased = Erased { here: erased, below: false };
                verdict_with_erased(diff, total, erased, "against recorded counts and the log itself")
            }
        }
    }
}

fn and_erased(rows: u64) -> String {
    if rows == 0 { String::new() } else { format!(", {rows} were erased,") }
}

/// Up to where a table has read its source.
enum ReadUpTo {
    At(Connector, FlowPositions),
    /// That cannot be told, with what is said of the table then.
    Unknown(Verdict),
}

/// How a source is read again.
enum Replay {
    From(FlowPositions),
    /// It cannot be, and why.
    Not(String),
}

/// How a table that cannot be compared gets one definition.
fn again(model: &Model, why: &str) -> String {
    format!("{why}; ingot refresh {} --full makes it one", model.name)
}

/// A change of rows that another writer made since the table was made, or emptied to be read again.
fn foreign_since_it_began(table: &Table) -> Result<Option<i64>> {
    let began = ingot_lake::beginning(table)?.map(|began| began.snapshot_id);
    let history = table.history();
    let mut since = history.iter().take_while(|s| Some(s.id) != began);
    Ok(since.find(|s| s.changes_rows_elsewhere()).map(|s| s.id))
}

/// What is said of a table whose rows were not all made by the definition of today.
fn earlier_definition(table: &Table) -> Result<String> {
    let oldest = table.history().oldest_semantics(ENGINE_SEMANTICS_VERSION)?;
    let text = "some of its rows were made by an earlier definition";
    Ok(match oldest < ENGINE_SEMANTICS_VERSION {
        true => format!("{text}, by version {oldest} of SQL's meaning"),
        false => text.to_owned(),
    })
}

/// Messages that the log still gives, by partition.
#[derive(Default)]
struct Replayed(BTreeMap<Partition, u64>);

impl Replayed {
    fn add(&mut self, partition: Partition, delivered: u64) {
        *self.0.entry(partition).or_default() += delivered;
    }

    /// Says so if a compacted log gives fewer messages than were read: compaction takes them from its middle.
    async fn thinned(&self, connector: &Connector, positions: &FlowPositions) -> Option<String> {
        let given = |p: &Partition| self.0.get(p).copied().unwrap_or(0);
        let (p, range) = positions.partitions.iter().find(|(p, range)| given(p) < range.delivered)?;
        let (given, read) = (given(p), range.delivered);
        let reason =
            format!("its source is compacted, and of {read} messages read from partition {p} its log holds {given}");
        connector.is_compacted().await.then_some(reason)
    }
}

/// Error rows below the main table's position; rows past it belong to a batch that has not been committed yet.
fn below(batch: &RecordBatch, until: &BTreeMap<i32, i64>) -> Result<RecordBatch> {
    let (Some(p), Some(o)) = (batch.column_by_name("partition"), batch.column_by_name("offset")) else {
        return Ok(batch.slice(0, 0));
    };
    let (p, o) = (p.as_primitive::<Int32Type>(), o.as_primitive::<Int64Type>());
    let keep = (0..batch.num_rows()).map(|i| Some(until.get(&p.value(i)).is_some_and(|to| o.value(i) < *to))).collect();
    datafusion::arrow::compute::filter_record_batch(batch, &keep).map_err(crate::refresh::rewrite::arrow)
}

/// Adds all rows; returns how many.
async fn add(diff: &mut BoundedDiff, mut rows: SendableRecordBatchStream, weight: i64) -> Result<u64> {
    let mut count = 0;
    while let Some(batch) = rows.try_next().await? {
        count += batch.num_rows() as u64;
        diff.add(&batch, weight)?;
    }
    Ok(count)
}

/// Whether an error means "cannot be compared any more" rather than "failed".
pub fn is_gone(error: &PipelineError) -> bool {
    matches!(error, PipelineError::Lake(LakeError::SnapshotGone { .. }))
}
