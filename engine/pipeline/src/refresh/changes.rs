//! The rows that came and went in a source table between two snapshots, as table providers.
//!
//!   changelog (files) ──▶ inserted, deleted rows ──▶ consolidated where files went
//!
//! Invariants
//! * new = old - deleted + inserted, as multisets; when no file went, nothing is read here.
//! * A file that copy-on-write replaced cancels out row by row: only what really changed comes through.
//! * Rows that are held are counted in the pool.
//!
//! Not here: what a change does to a view (`refresh`).

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_lake::{FileRef, LakeTableProvider, ScanOptions, Table, appended_between, change_between};
use ingot_model::{Count, Operation, SnapshotInfo};

use crate::error::Result;

/// One table that a refresh reads, pinned.
#[derive(Clone)]
pub struct Input {
    pub table: Table,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// What changed in one input.
pub struct Change {
    /// `None` when nothing was added.
    pub inserted: Option<Arc<dyn TableProvider>>,
    /// `None` when nothing was removed.
    pub deleted: Option<Arc<dyn TableProvider>>,
    pub rows_inserted: u64,
    pub rows_deleted: u64,
    /// Files that were read or will be, for the history and the tests.
    pub files: Vec<String>,
    /// Counts the rows above while they are held.
    pub memory: Option<MemoryReservation>,
}

/// What reading the change found.
pub enum Changed {
    Rows(Change),
    /// More bytes would have to be held in memory than allowed.
    TooLarge {
        bytes: u64,
    },
    /// A column was dropped and made again, or changed its type: old files hold its old values under another id.
    Redefined {
        column: String,
    },
}

/// What a row that is kept by its key takes beside its columns, about.
const KEPT_ROW_BYTES: usize = 96;

/// Bytes of a value in memory, about.
fn width(t: &DataType) -> usize {
    match t {
        DataType::Boolean => 1,
        t if t.is_nested() => 96,
        t => t.primitive_width().unwrap_or(32),
    }
}

/// An empty provider of a schema.
pub fn empty(schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![]])?))
}

/// Rows in memory as a table.
///
/// # Errors
/// Batches of another schema.
pub fn memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

impl Input {
    /// A scan of all its rows at its pinned snapshot.
    ///
    /// # Errors
    /// Lake errors.
    pub(crate) async fn full_scan(&self) -> Result<Arc<dyn TableProvider>> {
        match self.to {
            None => empty(self.table.defined_schema()),
            Some(id) => {
                let options = ScanOptions { snapshot: Some(id), defined: true, ..ScanOptions::default() };
                Ok(Arc::new(LakeTableProvider::try_new(&self.table, options).await?))
            }
        }
    }

    async fn files(&self, files: Vec<FileRef>) -> Result<Arc<dyn TableProvider>> {
        let options = ScanOptions { snapshot: self.to, files: Some(files), defined: true, ..ScanOptions::default() };
        Ok(Arc::new(LakeTableProvider::try_new(&self.table, options).await?))
    }

    /// `None` where the pool has no room for them.
    async fn rows(
        &self,
        ctx: &SessionContext,
        files: Vec<FileRef>,
        memory: &MemoryReservation,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let mut held = vec![];
        if files.is_empty() {
            return Ok(Some(held));
        }
        let mut rows = ctx.read_table(self.files(files).await?)?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            // Once as it is, once as the bytes that are compared.
            if memory.try_grow(2 * batch.get_array_memory_size()).is_err() {
                return Ok(None);
            }
            held.push(batch);
        }
        Ok(Some(held))
    }

    /// The latest snapshot whose rows since `from` take about `bytes_max` in memory: `to` itself, or an earlier one where
    /// so much was appended that it is better taken in parts. One snapshot is never divided.
    pub async fn part(&self, bytes_max: u64) -> Option<i64> {
        let (from, to) = (self.from?, self.to?);
        let width: usize = self.table.schema().fields().iter().map(|f| width(f.data_type())).sum();
        let rows_max = bytes_max / (width + KEPT_ROW_BYTES) as u64;
        let history = self.table.history();
        let after = |s: &&SnapshotInfo| s.id != from;
        let since: Vec<_> = history.iter().skip_while(|s| s.id != to).take_while(after).collect();
        if history.iter().all(|s| s.id != from) {
            return Some(self.mark(from, to, rows_max).await);
        }
        if since.iter().any(|s| s.operation != Operation::Append && !s.operation.is_rewrite()) {
            return Some(to);
        }
        let mut rows = 0;
        let mut part = None;
        for snapshot in since.iter().rev() {
            rows += match snapshot.operation {
                Operation::Append => snapshot.count(Count::AddedRecords).ok().flatten().unwrap_or(0),
                _ => 0,
            };
            if rows > rows_max && part.is_some() {
                return part;
            }
            part = Some(snapshot.id);
        }
        Some(to)
    }

    /// The same where the history in one piece does not reach back to `from`: at one of the snapshots that are left in
    /// between. Only where rows came alone, before it and after it: what went must be seen with what came for it.
    async fn mark(&self, from: i64, to: i64, rows_max: u64) -> i64 {
        let total = |id: i64| self.table.snapshot(id).and_then(|s| s.count(Count::TotalRecords).ok().flatten());
        let number = |id: i64| self.table.snapshot(id).map(|s| s.sequence_number);
        let (Some(start), Some(first), Some(last)) = (total(from), number(from), number(to)) else { return to };
        if total(to).is_none_or(|all| all.saturating_sub(start) <= rows_max) {
            return to;
        }
        let mut between: Vec<(i64, i64, u64)> = self
            .table
            .metadata()
            .snapshots()
            .filter(|s| first < s.sequence_number() && s.sequence_number() < last)
            .filter_map(|s| Some((s.sequence_number(), s.snapshot_id(), total(s.snapshot_id())?.checked_sub(start)?)))
            .filter(|(_, _, rows)| *rows > 0)
            .collect();
        between.sort_unstable();
        let fitting = between.iter().take_while(|(_, _, rows)| *rows <= rows_max).last();
        let Some((_, mark, _)) = fitting.or(between.first()).copied() else { return to };
        for (before, after) in [(from, mark), (mark, to)] {
            match change_between(&self.table, Some(before), after).await {
                Ok(change) if change.removed.is_empty() => {}
                // An error is that of whoever reads it all.
                _ => return to,
            }
        }
        mark
    }

    /// The change from `from` to `to`; `bytes_max` bounds the files that must be held in memory to consolidate.
    ///
    /// # Errors
    /// Lake errors (a snapshot that is gone among them) and execution errors.
    pub async fn change(&self, ctx: &SessionContext, bytes_max: u64) -> Result<Changed> {
        self.changed(ctx, bytes_max, false).await
    }

    /// The same for a reader that keeps what it has taken: what was erased meanwhile is no change to it.
    ///
    /// # Errors
    /// As `change`.
    pub(crate) async fn change_past_erasures(&self, ctx: &SessionContext, bytes_max: u64) -> Result<Changed> {
        self.changed(ctx, bytes_max, true).await
    }

    async fn changed(&self, ctx: &SessionContext, bytes_max: u64, past_erasures: bool) -> Result<Changed> {
        let none =
            Change { inserted: None, deleted: None, rows_inserted: 0, rows_deleted: 0, files: vec![], memory: None };
        let Some(to) = self.to else { return Ok(Changed::Rows(none)) };
        if self.from == self.to {
            return Ok(Changed::Rows(none));
        }
        if let Some(column) = self.from.and_then(|from| self.table.redefined_since(from)) {
            return Ok(Changed::Redefined { column });
        }
        let difference = match past_erasures {
            true => appended_between(&self.table, self.from, to).await?,
            false => change_between(&self.table, self.from, to).await?,
        };
        let names: Vec<String> = difference.added.iter().chain(&difference.removed).map(|f| f.path.clone()).collect();
        let count = |files: &[FileRef]| files.iter().map(FileRef::rows_read).sum::<u64>();
        if difference.removed.is_empty() {
            let rows = count(&difference.added);
            let inserted = if rows == 0 { None } else { Some(self.files(difference.added).await?) };
            return Ok(Changed::Rows(Change { inserted, rows_inserted: rows, files: names, ..none }));
        }
        let bytes: u64 = difference.added.iter().chain(&difference.removed).map(FileRef::bytes_read).sum();
        if bytes > bytes_max {
            return Ok(Changed::TooLarge { bytes });
        }
        let pool = &ctx.runtime_env().memory_pool;
        let held = MemoryConsumer::new(format!("change of {}", self.table.name())).register(pool);
        let Some(added) = self.rows(ctx, difference.added, &held).await? else {
            return Ok(Changed::TooLarge { bytes });
        };
        let Some(removed) = self.rows(ctx, difference.removed, &held).await? else {
            return Ok(Changed::TooLarge { bytes });
        };
        let (plus, minus) = ingot_delta::consolidate(&added, &removed)?;
        let rows = |batches: &[RecordBatch]| batches.iter().map(|b| b.num_rows() as u64).sum::<u64>();
        let (rows_inserted, rows_deleted) = (rows(&plus), rows(&minus));
        let provide = |batches: Vec<RecordBatch>, n: u64| -> Result<Option<Arc<dyn TableProvider>>> {
            if n == 0 { Ok(None) } else { memory(self.table.defined_schema(), batches).map(Some) }
        };
        Ok(Changed::Rows(Change {
            inserted: provide(plus, rows_inserted)?,
            deleted: provide(minus, rows_deleted)?,
            rows_inserted,
            rows_deleted,
            files: names,
            memory: Some(held),
        }))
    }
}
