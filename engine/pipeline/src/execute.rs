//! `ALTER TABLE t EXECUTE ...`: one kind of upkeep of one table, with the parameters that Trino has for it.
//!
//! ```text
//!   statement ─▶ Asked: parameters read and bounded ─▶ Engine::execute_upkeep ─▶ what was done, as metrics
//! ```
//!
//! Invariants
//! * Nothing is done before all of the statement is known to be right.
//! * Only tables of the project; external tables, and those of another project, are refused.
//!
//! Not here: all of it at once (`maintain`), the statement's text (`ingot_dialect`), the lease (`cli`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use ingot_dialect::ast::{Expr, Ident, MaintenanceAction};
use ingot_dialect::duration::parse_ms;
use ingot_lake::{Compaction, LakeError, LakeTableProvider, ScanLog, ScanOptions, Small, Table};
use ingot_model::TableName;
use ingot_project::check::condition;

use crate::engine::Engine;
use crate::error::{PipelineError, Result};
use crate::maintain::{GRACE, Told, compaction, lost};

/// A file that nothing names is left for so long at least.
const ORPHANS_MIN: Duration = Duration::from_secs(3 * 86_400);
/// The units of a size, as Trino reads them.
const UNITS: &[(&str, u64)] = &[("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

/// What a statement asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    action: MaintenanceAction,
    file_size_threshold: Option<u64>,
    retention_threshold: Option<Duration>,
    filter: Option<Expr>,
}

impl Asked {
    /// Reads the parameters of a statement.
    ///
    /// # Errors
    /// One that the action has not, one said twice, and a value that is none (L0143).
    pub fn of(action: MaintenanceAction, options: &[(Ident, Expr)], filter: Option<Expr>) -> Result<Self> {
        let mut asked = Self { action, file_size_threshold: None, retention_threshold: None, filter };
        for (name, value) in options {
            let text = value.text.trim();
            let text = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text);
            let is_again = match (action, name.value.as_str()) {
                (MaintenanceAction::Optimize, "file_size_threshold") => asked
                    .file_size_threshold
                    .replace(bytes(text).ok_or_else(|| no_value(name, text, "'128MB'"))?)
                    .is_some(),
                (MaintenanceAction::ExpireSnapshots | MaintenanceAction::RemoveOrphanFiles, "retention_threshold") => {
                    let ms = parse_ms(text).ok_or_else(|| no_value(name, text, "'7d'"))?;
                    asked.retention_threshold.replace(Duration::from_millis(ms)).is_some()
                }
                _ => return Err(unknown(action, name)),
            };
            if is_again {
                return Err(PipelineError::stopped("L0143", format!("\"{}\" is given twice", name.value)));
            }
        }
        Ok(asked)
    }

    /// Whether it forgets snapshots, so that every reader of the table must be known.
    pub fn forgets(&self) -> bool {
        self.action == MaintenanceAction::ExpireSnapshots
    }
}

/// The parameter that an action has.
fn parameter(action: MaintenanceAction) -> Option<&'static str> {
    match action {
        MaintenanceAction::Optimize => Some("file_size_threshold => '128MB'"),
        MaintenanceAction::ExpireSnapshots | MaintenanceAction::RemoveOrphanFiles => {
            Some("retention_threshold => '7d'")
        }
        MaintenanceAction::RewriteManifests => None,
    }
}

fn unknown(action: MaintenanceAction, name: &Ident) -> PipelineError {
    let error = PipelineError::stopped("L0143", format!("the command has no parameter \"{}\"", name.value));
    match parameter(action) {
        Some(known) => error.with_hint(format!("it has {known}")),
        None => error.with_hint("it has none"),
    }
}

fn no_value(name: &Ident, text: &str, like: &str) -> PipelineError {
    let message = format!("\"{text}\" is no value of \"{}\"", name.value);
    PipelineError::stopped("L0143", message).with_hint(format!("write for example {like}"))
}

/// Bytes of a size as Trino writes it: digits, perhaps with a fraction, and a unit of 1,024s.
fn bytes(text: &str) -> Option<u64> {
    let upper = text.trim().to_ascii_uppercase();
    let (number, unit) = UNITS.iter().find_map(|(unit, n)| Some((upper.strip_suffix(unit)?.trim().to_owned(), *n)))?;
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    let is_number = |t: &str| t.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let fraction = match part.len() {
        0 => 0,
        digits => u128::from(part.parse::<u64>().ok()?) * u128::from(unit) / 10_u128.pow(u32::try_from(digits).ok()?),
    };
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

/// What was done: a name and a number each.
pub type Metrics = Vec<(&'static str, u64)>;

impl Engine {
    /// Does what a statement asks of one table, and says what that was.
    ///
    /// # Errors
    /// Lake errors; a table that is missing or another project's; a threshold that is too short (L0144).
    pub async fn execute_upkeep(&self, name: &TableName, asked: &Asked, told: Told<'_>) -> Result<Metrics> {
        let lake = self.lake();
        self.model(name)?;
        let missing = || PipelineError::Lake(LakeError::TableMissing(name.clone()));
        let table = lake.load_table(name).await?.ok_or_else(missing)?;
        self.check_owner(&table)?;
        match asked.action {
            MaintenanceAction::Optimize => self.optimize(&table, asked, told).await,
            MaintenanceAction::ExpireSnapshots => {
                let least = Duration::from_millis(self.config().upkeep.snapshots_min_age_ms);
                at_least(asked.retention_threshold, least, "upkeep.snapshots-min-age")?;
                let forgotten = lake.expire(name, asked.retention_threshold).await.map_err(|e| lost(name, e))?;
                let swept = lake.sweep(name, GRACE).await?;
                let deleted = (swept.metadata_files + swept.data_files) as u64;
                Ok(vec![("expired_snapshots_count", forgotten as u64), ("deleted_files_count", deleted)])
            }
            MaintenanceAction::RewriteManifests => {
                let before = lake.manifest_count(&table).await?;
                lake.maintain_metadata(name).await.map_err(|e| lost(name, e))?;
                let table = lake.load_table(name).await?.ok_or_else(missing)?;
                let after = lake.manifest_count(&table).await?;
                Ok(vec![("manifests_before_count", before as u64), ("manifests_after_count", after as u64)])
            }
            MaintenanceAction::RemoveOrphanFiles => {
                at_least(asked.retention_threshold, ORPHANS_MIN, "three days")?;
                let age = asked.retention_threshold.unwrap_or_default();
                let removed = lake.remove_orphans(&table, age).await.map_err(|e| lost(name, e))?;
                Ok(vec![("deleted_files_count", removed.files.len() as u64), ("deleted_bytes", removed.bytes)])
            }
        }
    }

    async fn optimize(&self, table: &Table, asked: &Asked, told: Told<'_>) -> Result<Metrics> {
        let model = self.model(table.name())?;
        let among = match &asked.filter {
            Some(filter) => Some(Arc::new(self.files_of_partitions(table, filter).await?)),
            None => None,
        };
        let compaction = Compaction { below: asked.file_size_threshold, among, ..compaction(model, Small::All) };
        let (done, _) = self.compact(table, compaction, told).await?;
        Ok(vec![
            ("rewritten_data_files_count", done.files_in as u64),
            ("added_data_files_count", done.files_out as u64),
            ("rewritten_bytes", done.bytes_rewritten),
        ])
    }

    /// The files in whose partitions a condition can be true. It speaks of partition columns alone.
    async fn files_of_partitions(&self, table: &Table, filter: &Expr) -> Result<HashSet<String>> {
        let log = ScanLog::default();
        let options = ScanOptions { log: Some(Arc::clone(&log)), ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(table, options).await?;
        let predicate = condition(&filter.tree, &table.name().name, &table.schema())?;
        let mut other = None;
        predicate.apply(|e| {
            if let datafusion::logical_expr::Expr::Column(column) = e
                && table.partitioned_by(&column.name).is_none()
            {
                other = Some(column.name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if let Some(column) = other {
            let message = format!("optimize of \"{}\": it is not partitioned by \"{column}\"", table.name());
            return Err(PipelineError::stopped("L0143", message)
                .with_hint("files are chosen by partition: WHERE takes columns that the table is partitioned by"));
        }
        let scan = LogicalPlanBuilder::scan(table.name().name.as_str(), provider_as_source(Arc::new(provider)), None)?;
        let plan = scan.filter(predicate)?.build()?;
        // Planned, and not run: what is left of the files is what was not pruned.
        self.context().execute_logical_plan(plan).await?.create_physical_plan().await?;
        let files = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..).collect();
        Ok(files)
    }
}

fn at_least(asked: Option<Duration>, least: Duration, what: &str) -> Result<()> {
    if asked.is_none_or(|asked| asked >= least) {
        return Ok(());
    }
    Err(PipelineError::stopped("L0144", format!("retention_threshold is shorter than {what}"))
        .with_hint(format!("the shortest is '{} s'", least.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_trino_writes_them() {
        for (text, n) in [("128MB", 128 << 20), ("1.5 kB", 1_536), ("10B", 10), ("2 gb", 2 << 30), ("0B", 0)] {
            assert_eq!(bytes(text), Some(n), "{text}");
        }
        for text in ["", "128", "MB", "-1MB", "1e3MB", "1.MB MB", ".5MB", "99999999999TB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
