//! Narrows a snapshot's files to those that may hold rows with given keys.
//!
//! The rows themselves, with their place, come from `LakeTableProvider` with
//! `with_positions` over the files that remain here.
//!
//! Invariants
//! * A file that is left out holds no row whose every key column lies in its range; keys
//!   match as `IS NOT DISTINCT FROM` does, so NULL is a value of its own.
//! * Float columns never take a file out: NaN and the two zeros have no place in
//!   bounds.
//!
//! Not here: filters of queries (`prune`).

use std::cmp::Ordering;

use datafusion::common::ScalarValue;
use ingot_model::KeyRange;

use crate::read::changelog::FileRef;
use crate::read::prune::{Buckets, TableBounds};
use crate::table::Table;

/// The files that may hold a row within all `ranges`, in order. No ranges keep
/// every file; a column that is not there or not comparable keeps them too.
pub fn prune_files(table: &Table, files: Vec<FileRef>, ranges: &[KeyRange]) -> Vec<FileRef> {
    let schema = table.schema();
    let ranges: Vec<&KeyRange> = ranges
        .iter()
        .filter(|range| schema.field_with_name(&range.column).is_ok_and(|field| !field.data_type().is_floating()))
        .collect();
    if ranges.is_empty() {
        return files;
    }
    let bounds = TableBounds::of(table);
    files.into_iter().filter(|file| ranges.iter().all(|r| may_hold(&bounds, file, r))).collect()
}

fn may_hold(bounds: &TableBounds, file: &FileRef, range: &KeyRange) -> bool {
    let known = bounds.bounds(file, &range.column);
    if range.has_null && known.null_count != Some(0) {
        return true;
    }
    // Only values that are not NULL can match from here on.
    if known.null_count == Some(file.record_count()) {
        return false;
    }
    if range.min.is_null() || range.max.is_null() {
        // A range that names no value asks for NULL alone, unless it says nothing.
        return !range.has_null;
    }
    let beyond = |a: &Option<ScalarValue>, b: &ScalarValue| {
        let Some(a) = a else { return None };
        let b = b.cast_to(&a.data_type()).ok()?;
        a.partial_cmp(&b)
    };
    if beyond(&known.min, &range.max) == Some(Ordering::Greater)
        || beyond(&known.max, &range.min) == Some(Ordering::Less)
    {
        return false;
    }
    range.min != range.max || bounds.may_hold(file, &range.column, &Buckets::of(std::slice::from_ref(&range.min)))
}
