//! Keeping the project's own tables in shape, beside what keeps them fresh.
//!
//! ```text
//!   every few seconds, a table: what commits left behind ─▶ deleted      many small files ─▶ brought together
//!   once a day: files that nothing names ─▶ deleted
//! ```
//!
//! Invariants
//! * Only tables of the project, and only files: no row changes. Where somebody else commits first, upkeep gives way.
//! * A table that fails is reported and does not keep the others waiting.
//!
//! Not here: forgetting snapshots, which every commit does (`upkeep`, `ingot_lake`).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ingot_lake::{CommitError, Compaction, FAN_IN, Lake, Orphans, Small, Swept, Table};
use ingot_model::{Count, TableName};
use ingot_project::project::{Model, ModelKind};
use ingot_telemetry::{metrics, outcome};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::engine::{Engine, StepError};
use crate::error::{PipelineError, Result};

/// How often tables are looked at.
pub(crate) const ROUND: Duration = Duration::from_secs(5);
/// Data files that a commit took away are kept for so long: queries may read them.
pub(crate) const GRACE: Duration = Duration::from_secs(3_600);
/// How often files that nothing names are looked for.
const ORPHANS: Duration = Duration::from_secs(86_400);
/// One rewrite takes no more than this: a conflict costs no more either.
const BYTES_MAX: u64 = 512 << 20;
/// What rounds of upkeep remember of each other.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Live files of a table when it was last looked at, and how many more are worth another look.
    files: HashMap<TableName, (u64, u64)>,
    orphans: Option<Instant>,
}

/// What upkeep did to a table, or would do.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Maintained {
    /// Small data files that went, or would go.
    pub files_in: usize,
    /// Files that came instead.
    pub files_out: usize,
    /// Bytes that were rewritten.
    pub bytes_rewritten: u64,
    /// Manifests before and after.
    pub manifests: (usize, usize),
    /// Snapshots before and after.
    pub snapshots: (usize, usize),
    /// Files that nothing named.
    pub orphans: usize,
    /// Their bytes.
    pub orphan_bytes: u64,
}

/// Hears of each step of long work, as a line for people.
pub type Told<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// How files of a table are brought together.
pub(crate) fn compaction(model: &Model, small: Small) -> Compaction {
    let is_view = matches!(model.kind, ModelKind::View);
    let file_bytes_max = model.strategy.file_bytes_max().filter(|_| is_view);
    Compaction { small, bytes_max: BYTES_MAX, file_bytes_max, below: None, among: None }
}

impl Engine {
    /// One round over the selected tables. Failures are reported, and tried again in the next one.
    pub async fn keep_in_shape(
        &self,
        selected: &BTreeSet<TableName>,
        rounds: &mut Rounds,
        shutdown: &CancellationToken,
    ) {
        if !self.config().upkeep.enabled {
            return;
        }
        self.tell_readers().await;
        // Not at once: a process that is started again and again would list the store each time.
        let orphans = rounds.orphans.get_or_insert_with(Instant::now).elapsed() >= ORPHANS;
        if orphans {
            rounds.orphans = Some(Instant::now());
        }
        // With a table what is written beside it: it is not selected by itself.
        let is_beside = |of: &TableName| selected.contains(of);
        let chosen = self.project().tables.values().filter(|model| match &model.kind {
            ModelKind::Quarantine { of } | ModelKind::DecodeErrors { of } if is_beside(of) => true,
            _ => selected.contains(&model.name),
        });
        for model in chosen {
            let (name, began) = (&model.name, Instant::now());
            tokio::select! {
                () = shutdown.cancelled() => return,
                kept = self.keep_table(model, rounds, orphans) => {
                    metrics().upkeep_duration.observe([&name.to_string(), outcome(&kept)], began.elapsed());
                    if let Err(error) = kept {
                        let text = "upkeep of a table failed and is tried again";
                        match error.retryable() {
                            true => debug!(table = %name, code = error.code(), %error, text),
                            false => warn!(table = %name, code = error.code(), %error, text),
                        }
                    }
                }
            }
        }
    }

    async fn keep_table(&self, model: &Model, rounds: &mut Rounds, orphans: bool) -> Result<()> {
        let lake = self.lake();
        // A store that refuses to delete does not keep small files from being brought together.
        let (swept, refused) = match lake.sweep(&model.name, GRACE).await {
            Ok(swept) => (swept, None),
            Err(error) => (Swept::default(), Some(error)),
        };
        let deleted = |kind, files: usize| {
            if files > 0 {
                metrics().deleted_files.add([&model.name.to_string(), kind], files as u64);
            }
        };
        deleted("metadata", swept.metadata_files);
        deleted("data", swept.data_files);
        if swept.data_files > 0 {
            debug!(table = %model.name, swept.metadata_files, swept.data_files, "files that nothing needs were deleted");
        }
        let Some(table) = lake.load_table(&model.name).await? else { return Ok(()) };
        if self.check_owner(&table).is_err() {
            return Ok(());
        }
        let files = live_files(&table);
        let looked = rounds.files.get(&model.name).copied();
        if let Some((_, more)) = looked.filter(|(were, _)| files < *were) {
            // The table was made anew, or a refresh or another engine brought files together.
            rounds.files.insert(model.name.clone(), (files, more));
        } else if looked.is_none_or(|(were, more)| files >= were + more) {
            let more = looked.map_or(0, |(_, more)| more);
            let twice = (more * 2).max(FAN_IN as u64);
            // Until it is known to be worth it: where it fails, or nothing is gained, twice as much must come first.
            rounds.files.insert(model.name.clone(), (files, twice));
            let (done, is_worth_it) = self.compact(&table, compaction(model, Small::Many), &|_| {}).await?;
            if is_worth_it {
                let now = (files + done.files_out as u64).saturating_sub(done.files_in as u64);
                rounds.files.insert(model.name.clone(), (now, FAN_IN as u64));
            }
        }
        if orphans {
            let removed = lake.remove_orphans(&table, Duration::ZERO).await.map_err(|e| lost(&model.name, e))?;
            deleted("orphan", removed.files.len());
            if !removed.files.is_empty() {
                info!(table = %model.name, files = removed.files.len(), bytes = removed.bytes, "files that nothing names were deleted");
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Brings files together, until there is nothing to gain. The flag says whether nothing was done in vain.
    pub(crate) async fn compact(
        &self,
        table: &Table,
        compaction: Compaction,
        told: Told<'_>,
    ) -> Result<(Maintained, bool)> {
        let mut done = Maintained::default();
        let mut table = table.clone();
        loop {
            // What came since must be seen to have left the files, so its head is not forgotten meanwhile.
            let base = table.head().map(|head| (table.name().clone(), head));
            let _in_use = self.readers.reading(base.into_iter().collect());
            let compacted = self.lake().compact(self.context(), &table, compaction.clone()).await;
            let Some(compacted) = compacted.map_err(|e| lost(table.name(), e))? else { return Ok((done, true)) };
            if !compacted.is_in {
                debug!(table = %table.name(), compacted.files_in, compacted.files_out, "small files are not fewer when brought together");
                return Ok((done, false));
            }
            debug!(table = %table.name(), compacted.files_in, compacted.files_out, compacted.bytes_in, "small files were brought together");
            metrics().compacted_files.add([&table.name().to_string()], compacted.files_in as u64);
            done.files_in += compacted.files_in;
            done.files_out += compacted.files_out;
            done.bytes_rewritten += compacted.bytes_in;
            told(&format!(
                "{}  {} small files brought together to {}",
                table.name(),
                compacted.files_in,
                compacted.files_out
            ));
            if compacted.files_out * 2 > compacted.files_in {
                return Ok((done, true));
            }
            table = compacted.table;
        }
    }

    /// Upkeep of one table, now: small files brought together, small manifests merged, files that nothing names deleted.
    ///
    /// # Errors
    /// Lake errors; a table that is missing or another project's.
    pub async fn maintain(&self, name: &TableName, dry_run: bool, told: Told<'_>) -> Result<Maintained> {
        let lake: &Lake = self.lake();
        let model = self.model(name)?;
        let table = lake.load_table(name).await?;
        let table = table.ok_or_else(|| PipelineError::Lake(ingot_lake::LakeError::TableMissing(name.clone())))?;
        self.check_owner(&table)?;
        let before = shape(lake, &table).await?;
        if dry_run {
            let small = lake.small_files(&table, compaction(model, Small::All)).await?;
            let Orphans { files, bytes } = lake.orphans(&table, Duration::ZERO).await?;
            return Ok(Maintained {
                files_in: small.0,
                bytes_rewritten: small.1,
                manifests: (before.0, before.0),
                snapshots: (before.1, before.1 - lake.expirable(&table)?.min(before.1)),
                orphans: files.len(),
                orphan_bytes: bytes,
                ..Maintained::default()
            });
        }
        let (mut done, _) = self.compact(&table, compaction(model, Small::All), told).await?;
        lake.maintain_metadata(name).await.map_err(|e| lost(name, e))?;
        lake.sweep(name, GRACE).await?;
        let table = lake.load_table(name).await?.unwrap_or(table);
        let removed = lake.remove_orphans(&table, Duration::ZERO).await.map_err(|e| lost(name, e))?;
        let table = lake.load_table(name).await?.unwrap_or(table);
        let after = shape(lake, &table).await?;
        (done.manifests, done.snapshots) = ((before.0, after.0), (before.1, after.1));
        (done.orphans, done.orphan_bytes) = (removed.files.len(), removed.bytes);
        Ok(done)
    }
}

/// Manifests of the head, and snapshots.
async fn shape(lake: &Lake, table: &Table) -> Result<(usize, usize)> {
    Ok((lake.manifest_count(table).await?, table.metadata().snapshots().count()))
}

/// Live files of data and of deletes, as the head's summary counts them.
fn live_files(table: &Table) -> u64 {
    let head = table.head().and_then(|id| table.snapshot(id));
    let count = |of| head.as_ref().and_then(|head| head.count(of).ok().flatten()).unwrap_or(0);
    count(Count::TotalDataFiles) + count(Count::TotalDeleteFiles)
}

pub(crate) fn lost(table: &TableName, error: CommitError) -> PipelineError {
    PipelineError::commit(table, error)
}

/// A table's upkeep as it is reported.
#[derive(Debug, serde::Serialize)]
pub struct TableMaintained {
    /// The table.
    pub table: TableName,
    /// What was done, or would be.
    #[serde(flatten)]
    pub done: Maintained,
    /// Why it was not done.
    pub error: Option<StepError>,
}
