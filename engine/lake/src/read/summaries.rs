//! What a manifest list says about the rows of each manifest: bounds of the columns that partition it.
//!
//!   summary of a partition field (least, greatest, NULL) ──▶ what the transform made it of ──▶ ColumnBounds
//!
//! Invariants
//! * A manifest without summaries, of a spec that is not known, or whose bounds do not parse, may hold anything.
//! * Bounds of before a promotion are as wide as the type was then.
//! * Several fields of one column narrow each other.
//! * Where a writer may have wrapped below the smallest integer, there is no least value.
//!
//! Not here: single files (`prune`), which manifests a filter leaves out (`judge`).

use std::cmp::Ordering;

use datafusion::common::ScalarValue;
use iceberg::spec::{FieldSummary, ManifestFile, PrimitiveLiteral, PrimitiveType, Transform};

use crate::read::judge::Containers;
use crate::read::prune::{Buckets, ColumnBounds, TableBounds, ordered, preimage};

/// Manifests of a snapshot, each a container of rows.
pub(crate) struct Summaries<'a> {
    pub(crate) bounds: &'a TableBounds,
    pub(crate) manifests: &'a [ManifestFile],
}

/// A summary, and what its field is made by.
type Field<'a> = (&'a Transform, &'a FieldSummary);

impl Summaries<'_> {
    fn fields(&self, at: usize, column: i32) -> Vec<Field<'_>> {
        let Some(manifest) = self.manifests.get(at) else { return Vec::new() };
        let (summaries, spec) = (manifest.partitions.as_deref().unwrap_or_default(), manifest.partition_spec_id);
        // A summary for each field of the spec, or none is where it is looked for.
        if self.bounds.fields_of(spec) != Some(summaries.len()) {
            return Vec::new();
        }
        let of = self.bounds.transforms(spec, column);
        of.filter_map(|(index, transform)| Some((transform, summaries.get(index)?))).collect()
    }
}

impl Containers for Summaries<'_> {
    fn count(&self) -> usize {
        self.manifests.len()
    }

    /// How many rows a manifest has does not matter: one stands for all that are alike.
    fn rows(&self, _: usize) -> u64 {
        1
    }

    fn bounds(&self, at: usize, column: &str) -> ColumnBounds {
        let mut known = ColumnBounds::default();
        let Some(column) = self.bounds.column(column) else { return known };
        for (transform, summary) in self.fields(at, column.id) {
            if matches!(transform, Transform::Void | Transform::Unknown) {
                continue;
            }
            // Every known transform but void gives NULL for NULL alone.
            if !summary.contains_null {
                known.null_count = Some(0);
            }
            if is_all_null(summary, &column.primitive) {
                known.null_count = Some(1);
            }
            if !ordered(&column.primitive) || column.data_type.is_floating() {
                continue;
            }
            let low = summary.lower_bound.as_ref().and_then(|b| decoded(b.as_ref(), transform, &column.primitive));
            let high = summary.upper_bound.as_ref().and_then(|b| decoded(b.as_ref(), transform, &column.primitive));
            // What lies below the smallest integer comes out above all others.
            let low = low.filter(|_| !high.as_ref().is_some_and(|high| may_have_wrapped(transform, high)));
            let low = low.and_then(|low| preimage(transform, &low, &column.data_type).0);
            let high = high.and_then(|high| preimage(transform, &high, &column.data_type).1);
            known.min = narrowed(known.min.take(), low, Ordering::Greater);
            known.max = narrowed(known.max.take(), high, Ordering::Less);
        }
        known
    }

    fn may_hold(&self, at: usize, column: &str, values: &Buckets<'_>) -> bool {
        let Some(column) = self.bounds.column(column) else { return true };
        self.fields(at, column.id).into_iter().all(|(transform, summary)| {
            let Transform::Bucket(buckets) = transform else { return true };
            let number = |bound: &[u8]| bound.try_into().ok().map(i32::from_le_bytes);
            let low = summary.lower_bound.as_ref().and_then(|b| number(b.as_ref()));
            let high = summary.upper_bound.as_ref().and_then(|b| number(b.as_ref()));
            match (low, high) {
                (Some(low), Some(high)) => {
                    values.any_in(*buckets, &column.data_type, |bucket| low <= bucket && bucket <= high)
                }
                _ => true,
            }
        })
    }
}

/// Whether a writer that wraps below the smallest integer may have made the greatest value of a truncated column of one of
/// the smallest.
fn may_have_wrapped(transform: &Transform, high: &PrimitiveLiteral) -> bool {
    let Transform::Truncate(width) = transform else { return false };
    let width = i64::from(*width).max(1);
    match high {
        PrimitiveLiteral::Int(high) => i64::from(*high) > i64::from(i32::MAX) - width,
        PrimitiveLiteral::Long(high) => *high > i64::MAX - width,
        _ => false,
    }
}

/// Whether all values are NULL: then there are no bounds, by the specification for no other reason but NaN. Writers leave out
/// those of types whose order they do not know.
fn is_all_null(summary: &FieldSummary, of: &PrimitiveType) -> bool {
    let is_float = matches!(of, PrimitiveType::Float | PrimitiveType::Double);
    summary.contains_null
        && ordered(of)
        && summary.lower_bound.is_none()
        && summary.upper_bound.is_none()
        && (summary.contains_nan == Some(false) || !is_float)
}

/// The bound that says more.
fn narrowed(known: Option<ScalarValue>, other: Option<ScalarValue>, is_better: Ordering) -> Option<ScalarValue> {
    match (known, other) {
        (Some(known), Some(other)) if other.partial_cmp(&known) == Some(is_better) => Some(other),
        (Some(known), _) => Some(known),
        (None, other) => other,
    }
}

/// A bound, of the type of the field's values. (Iceberg, "Binary single-value serialization")
fn decoded(bytes: &[u8], transform: &Transform, source: &PrimitiveType) -> Option<PrimitiveLiteral> {
    use PrimitiveType as P;
    let int = || Some(PrimitiveLiteral::Int(i32::from_le_bytes(bytes.try_into().ok()?)));
    let long = || Some(PrimitiveLiteral::Long(i64::from_le_bytes(bytes.try_into().ok()?)));
    match transform {
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => int(),
        Transform::Identity | Transform::Truncate(_) => match source {
            P::Boolean => match bytes {
                [value @ (0 | 1)] => Some(PrimitiveLiteral::Boolean(*value == 1)),
                _ => None,
            },
            // Four bytes where it was an INT once.
            P::Int | P::Date => int(),
            P::Long => int().or_else(long),
            P::Time | P::Timestamp | P::Timestamptz | P::TimestampNs | P::TimestamptzNs => long(),
            P::String => Some(PrimitiveLiteral::String(std::str::from_utf8(bytes).ok()?.to_owned())),
            P::Binary => Some(PrimitiveLiteral::Binary(bytes.to_vec())),
            P::Decimal { .. } => {
                let (first, rest) = (bytes.first()?, 16_usize.checked_sub(bytes.len())?);
                let fill = if *first >= 0x80 { 0xff } else { 0 };
                let mut wide = [fill; 16];
                wide.get_mut(rest..)?.copy_from_slice(bytes);
                Some(PrimitiveLiteral::Int128(i128::from_be_bytes(wide)))
            }
            _ => None,
        },
        _ => None,
    }
}
