//! Takes error rows past a position out of an error table, in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use ingot_lake::crash;
use ingot_lake::{Commit, Lake, LakeTableProvider, Rebase, ScanOptions, Table, live_files};

use crate::error::{PipelineError, Result};
use crate::refresh::expectations::Counts;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_model::file_settings::RowMode;
use ingot_model::place::{FILE, POSITION};
use ingot_model::{FlowPositions, Partition, Position, Positions, Record, Refresh};
use ingot_project::project::Model;

use crate::refresh::rewrite::{self, column};

/// Places as the columns `partition` and `offset` of error rows hold them: those of numbers.
pub(crate) fn numbers(places: &Positions) -> BTreeMap<i32, i64> {
    let number = |(partition, place): (&Partition, &Position)| match place {
        Position::Number(number) => Some((partition.as_str().parse().ok()?, *number)),
        Position::Text(_) => None,
    };
    places.iter().filter_map(number).collect()
}

/// Deletes rows whose offset is at or past `from` in their partition, and records `positions`.
///
/// # Errors
/// Lake and execution errors; `Superseded` when another writer was first.
pub(crate) async fn delete_from(
    ctx: &SessionContext,
    lake: &Lake,
    side: &Table,
    from: &Positions,
    positions: &FlowPositions,
    model: &Model,
) -> Result<Table> {
    let live = match side.head() {
        Some(head) => live_files(side, head).await?,
        None => vec![],
    };
    let from = numbers(from);
    let mut remove = vec![];
    if !live.is_empty() {
        let options = ScanOptions { snapshot: side.head(), with_positions: true, ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(side, options).await?;
        let mut rows = ctx.read_table(Arc::new(provider))?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            let partitions = column(&batch, "partition")?.as_primitive::<Int32Type>().clone();
            let offsets = column(&batch, "offset")?.as_primitive::<Int64Type>().clone();
            let files = datafusion::arrow::compute::cast(column(&batch, FILE)?, &arrow::datatypes::DataType::Utf8)
                .map_err(rewrite::arrow)?;
            let files = files.as_string::<i32>();
            let places = column(&batch, POSITION)?.as_primitive::<Int64Type>().clone();
            for i in 0..batch.num_rows() {
                let has_place = partitions.is_valid(i) && offsets.is_valid(i);
                if has_place && from.get(&partitions.value(i)).is_some_and(|at| offsets.value(i) >= *at) {
                    remove.push((files.value(i).to_owned(), places.value(i)));
                }
            }
        }
    }
    // Counts of positions go by rows and files: no deletes in a table of a stream.
    let none = rewrite::Insert::Rows(vec![]);
    let changed = rewrite::rewrite(ctx, side, &live, &remove, none, None, RowMode::CopyOnWrite).await?;
    crash::point("mend.files_written", side.name());
    let counts = Counts::new();
    let refreshed = Refresh {
        mode: "incremental",
        reason: Some("rows past the main table's position are judged again"),
        rows_in: 0,
        rows_out: remove.len() as u64,
        ms: 0,
        fingerprint: &model.fingerprint,
        semantics: ENGINE_SEMANTICS_VERSION,
        counts: &counts,
        now: None,
    };
    let mut properties = Record::of(&refreshed)?;
    let mut shown = positions.clone();
    shown.full = true;
    properties.set_positions(Some(&shown))?;
    let commit = Commit { commit_id: uuid::Uuid::now_v7(), summary: properties, ..changed.commit() };
    let guard = |_: &Table| Rebase::Abandon("its head moved".into());
    let table = lake.commit(side, commit, &guard).await.map_err(|e| PipelineError::commit(side.name(), e))?;
    crash::point("mend.committed", side.name());
    Ok(table)
}
