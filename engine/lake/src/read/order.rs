//! Files that hold their rows in a table's sort order, put together so that a scan of them keeps it.
//!
//! ```text
//!   files, each in order ──▶ chains: each file begins after the one before it ends ──▶ groups, each in order
//!        a ├───┤                      a ── c
//!        b  ├──────┤                  b
//!        c         ├──┤
//! ```
//!
//! Invariants
//! * An order is claimed of files alone that this engine wrote in it, all of them in the same one.
//! * It ends before the first column whose values have another order for readers (floats: -0.0 and NaN), are computed, or
//!   are none of the scan's.
//! * One file follows another where its least value in the first column is above the other's greatest, and neither holds
//!   NULL there.
//!
//! Not here: who sorts (`write`), what bounds are (`prune`).

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use iceberg::spec::{NullOrder, SortDirection, Transform};

use crate::read::changelog::FileRef;
use crate::read::prune::TableBounds;
use crate::table::Table;
use crate::write::has_own_name;

/// Streams that are merged at most where a session wants fewer.
const MERGED_MIN: usize = 8;

/// Files of fewer bytes are not read in two parts.
const SPLIT_BYTES_MIN: u64 = 16 << 20;

/// A file, or the row groups of it that begin within a range of its bytes.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) file: FileRef,
    pub(crate) range: Option<Range<i64>>,
}

impl Piece {
    fn bytes(&self) -> u64 {
        match &self.range {
            Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
            None => self.file.data_file.file_size_in_bytes(),
        }
    }

    fn halves(&self) -> Option<(Self, Self)> {
        let whole = || Some(0..i64::try_from(self.file.data_file.file_size_in_bytes()).ok()?);
        let range = self.range.clone().or_else(whole)?;
        let half = range.start + (range.end - range.start) / 2;
        let part = |range| Self { file: self.file.clone(), range: Some(range) };
        Some((part(range.start..half), part(half..range.end)))
    }
}

/// Files of a scan in groups, each of which gives its rows in an order.
pub(crate) struct Ordered {
    pub(crate) groups: Vec<Vec<Piece>>,
    pub(crate) order: LexOrdering,
}

impl Ordered {
    /// Names of the columns of the order.
    pub(crate) fn columns(&self) -> Vec<String> {
        let columns = self.order.iter().filter_map(|by| by.expr.downcast_ref::<Column>());
        columns.map(|column| column.name().to_owned()).collect()
    }

    /// Bounds of a file that is read after others or before them, as DataFusion wants them of every column of the order. What
    /// comes after the first decides nothing: where nothing is known it is NULL.
    pub(crate) fn ends(bounds: &TableBounds, file: &FileRef, schema: &SchemaRef, columns: &[String]) -> Statistics {
        let mut ends = bounds.bounds_of(file, schema, columns);
        for (field, of) in schema.fields().iter().zip(&mut ends.column_statistics) {
            if columns.contains(field.name())
                && (of.min_value == Precision::Absent || of.max_value == Precision::Absent)
            {
                let null = ScalarValue::try_from(field.data_type()).map_or(Precision::Absent, Precision::Inexact);
                (of.min_value, of.max_value) = (null.clone(), null);
            }
        }
        ends
    }

    /// Files in groups that keep their order, over columns of a schema; `None` where they have none, or where more streams
    /// would have to be merged than it is worth.
    pub(crate) fn of(
        table: &Table,
        bounds: &TableBounds,
        schema: &SchemaRef,
        files: &[FileRef],
        partitions: usize,
    ) -> Option<Self> {
        let order = order(table, schema, files)?;
        let first = order.first();
        let name = first.expr.downcast_ref::<Column>()?.name().to_owned();
        let chains = chains(bounds, files, &name, first.options.descending, partitions.max(MERGED_MIN))?;
        Some(Self { groups: shared_out(chains, partitions), order })
    }
}

/// The order that all of some files are in.
fn order(table: &Table, schema: &SchemaRef, files: &[FileRef]) -> Option<LexOrdering> {
    let id = files.first()?.data_file.sort_order_id()?;
    let is_in_it = |file: &FileRef| file.data_file.sort_order_id() == Some(id) && has_own_name(&file.path);
    if id == 0 || !files.iter().all(is_in_it) {
        return None;
    }
    let fields = table.fields().as_struct();
    let mut keys = Vec::new();
    for key in &table.metadata().sort_order_by_id(i64::from(id))?.fields {
        let field = fields.fields().iter().find(|field| field.id == key.source_id);
        let Some(field) = field.filter(|field| key.transform == Transform::Identity && field.field_type.is_primitive())
        else {
            break;
        };
        let Ok(place) = schema.index_of(&field.name) else { break };
        if schema.field(place).data_type().is_floating() {
            break;
        }
        let options = SortOptions {
            descending: key.direction == SortDirection::Descending,
            nulls_first: key.null_order == NullOrder::First,
        };
        keys.push(PhysicalSortExpr::new(Arc::new(Column::new(&field.name, place)), options));
    }
    LexOrdering::new(keys)
}

/// A file, and where it begins and ends in the order of the first column.
struct Span {
    file: FileRef,
    ends: Option<(ScalarValue, ScalarValue)>,
}

/// Files one after another, in as few chains as there can be; `None` if these are more than `count_max`.
fn chains(
    bounds: &TableBounds,
    files: &[FileRef],
    column: &str,
    descending: bool,
    count_max: usize,
) -> Option<Vec<Vec<FileRef>>> {
    let compared = |a: &ScalarValue, b: &ScalarValue| {
        let order = a.partial_cmp(b)?;
        Some(if descending { order.reverse() } else { order })
    };
    let mut spans: Vec<Span> = files
        .iter()
        .map(|file| {
            let known = bounds.bounds(file, column);
            let ends = known.min.zip(known.max).filter(|_| known.null_count == Some(0));
            let ends = ends.map(|(min, max)| if descending { (max, min) } else { (min, max) });
            // What is no range follows nothing.
            let ends = ends.filter(|(first, last)| compared(first, last).is_some_and(Ordering::is_le));
            Span { file: file.clone(), ends }
        })
        .collect();
    spans.sort_by(|a, b| match (&a.ends, &b.ends) {
        (Some((a, _)), Some((b, _))) => compared(a, b).unwrap_or(Ordering::Equal),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    let mut chains: Vec<(Option<ScalarValue>, Vec<FileRef>)> = Vec::new();
    for Span { file, ends } in spans {
        let follows = |last: &Option<ScalarValue>| match (last, &ends) {
            (Some(last), Some((first, _))) => compared(last, first) == Some(Ordering::Less),
            _ => false,
        };
        let last = ends.as_ref().map(|(_, last)| last.clone());
        let count = chains.len();
        match chains.iter_mut().find(|(last, _)| follows(last)) {
            Some(chain) => {
                chain.0 = last;
                chain.1.push(file);
            }
            None if count < count_max => chains.push((last, vec![file])),
            None => return None,
        }
    }
    Some(chains.into_iter().map(|(_, files)| files).collect())
}

fn bytes(pieces: &[Piece]) -> u64 {
    pieces.iter().map(Piece::bytes).sum()
}

/// Chains cut until there are as many as partitions, the longest first: a part of a chain is in order too, and so is one of a
/// file.
fn shared_out(chains: Vec<Vec<FileRef>>, partitions: usize) -> Vec<Vec<Piece>> {
    let whole = |file| Piece { file, range: None };
    let mut chains: Vec<Vec<Piece>> = chains.into_iter().map(|chain| chain.into_iter().map(whole).collect()).collect();
    while chains.len() < partitions {
        let is_cut = |chain: &&mut Vec<Piece>| chain.len() > 1 || bytes(chain) >= SPLIT_BYTES_MIN;
        let Some(longest) = chains.iter_mut().filter(is_cut).max_by_key(|chain| bytes(chain)) else { break };
        if let [one] = longest.as_slice() {
            let Some((first, second)) = one.halves() else { break };
            *longest = vec![first];
            chains.push(vec![second]);
            continue;
        }
        let (half, mut sum) = (bytes(longest) / 2, 0);
        let enough = longest.iter().position(|piece| {
            sum += piece.bytes();
            sum >= half
        });
        let at = enough.map_or(1, |at| (at + 1).clamp(1, longest.len() - 1));
        let rest = longest.split_off(at);
        chains.push(rest);
    }
    chains
}
