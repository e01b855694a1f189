//! A table's metadata kept small at once, by a commit without rows.
//!
//! Invariants
//! * None is made where there is nothing to merge and nothing to forget.
//!
//! Not here: what every commit forgets and merges by itself (`expire`, `commit::manifest`).

use std::collections::HashMap;
use std::time::Duration;

use iceberg::spec::ManifestContentType;
use ingot_model::{Operation, Record, TableName};
use uuid::Uuid;

use crate::commit::manifest::is_small;
use crate::commit::{Commit, CommitError, Rebase};
use crate::error::Result;
use crate::lake::Lake;
use crate::read::changelog::all_manifests;
use crate::table::Table;
use crate::upkeep::expire;
use crate::upkeep::retention::Kept;

impl Lake {
    /// Merges the small manifests of a table and forgets the snapshots that need not be kept, by a commit without rows. None
    /// is made where there is nothing to do.
    ///
    /// # Errors
    /// As `Lake::commit`.
    pub async fn maintain_metadata(&self, name: &TableName) -> Result<(), CommitError> {
        let Some(table) = self.load_table(name).await? else { return Ok(()) };
        if !self.has_manifests_to_merge(&table).await? && self.expirable(&table)? == 0 {
            return Ok(());
        }
        let commit = Commit {
            commit_id: Uuid::now_v7(),
            operation: Operation::Replace,
            maintains: true,
            summary: Record::because("small manifests were merged and old snapshots forgotten"),
            ..Commit::default()
        };
        self.commit(&table, commit, &while_it_is(&table)).await?;
        Ok(())
    }

    /// Forgets the snapshots that a table need not keep, by commits without rows; those of `min_age` are kept, whatever the
    /// table's properties say, or of what they say where it is none. Gives how many went: none where the readers of the
    /// table are not known.
    ///
    /// # Errors
    /// As `Lake::commit`.
    pub async fn expire(&self, name: &TableName, min_age: Option<Duration>) -> Result<usize, CommitError> {
        let mut gone = 0;
        loop {
            let Some(table) = self.load_table(name).await? else { return Ok(gone) };
            let Some(kept) = self.0.retention.get().and_then(|retention| retention.of(name)) else { return Ok(gone) };
            let kept = Kept { asked: min_age, ..kept };
            let now = chrono::Utc::now().timestamp_millis();
            let ids = expire::expirable(&table.shared_name(), table.metadata(), &kept, now, 1)?;
            if ids.is_empty() {
                return Ok(gone);
            }
            gone += ids.len();
            let commit = Commit {
                operation: Operation::Replace,
                expire_snapshots: ids,
                summary: Record::because("old snapshots were forgotten"),
                ..Commit::default()
            };
            self.commit(&table, commit, &while_it_is(&table)).await?;
        }
    }

    /// How many snapshots of a table may be forgotten now; none where its readers are not known.
    ///
    /// # Errors
    /// What does not parse.
    pub fn expirable(&self, table: &Table) -> Result<usize> {
        let Some(kept) = self.0.retention.get().and_then(|retention| retention.of(table.name())) else { return Ok(0) };
        let now = chrono::Utc::now().timestamp_millis();
        Ok(expire::expirable(&table.shared_name(), table.metadata(), &kept, now, 1)?.len())
    }

    /// Whether two small manifests of one content, one partition spec and one schema are there: others are never merged.
    async fn has_manifests_to_merge(&self, table: &Table) -> Result<bool> {
        let mut bins: HashMap<(bool, i32, i32), usize> = HashMap::new();
        for file in all_manifests(table, table.head()).await?.iter().filter(|file| is_small(file)) {
            let schema = self.manifest(file).await?.metadata().schema_id();
            let bin =
                bins.entry((file.content == ManifestContentType::Data, file.partition_spec_id, schema)).or_default();
            *bin += 1;
            if *bin > 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many manifests the head of a table has.
    ///
    /// # Errors
    /// Those of reading its list.
    pub async fn manifest_count(&self, table: &Table) -> Result<usize> {
        Ok(all_manifests(table, table.head()).await?.len())
    }
}

/// A commit without rows goes on over whatever came, unless the table was made anew.
fn while_it_is(table: &Table) -> impl Fn(&Table) -> Rebase + Send + Sync + use<> {
    let uuid = table.uuid();
    move |now: &Table| match now.uuid() == uuid {
        true => Rebase::Retry,
        false => Rebase::Abandon("the table was made anew".into()),
    }
}
