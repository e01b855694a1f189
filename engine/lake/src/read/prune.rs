//! What manifests say about data files: bounds of their columns, and statistics of many together.
//!
//!   manifest bounds, counts, partition values ──▶ ColumnBounds ──▶ keep or skip (`judge`), statistics of a scan
//!
//! Invariants
//! * A bound is at or beyond every value, not always a value: only bounds of our
//!   own files, of types whose bounds no writer truncates, answer min and max.
//! * Float bounds leave NaN out and may confuse the zeros: they count only when
//!   the file is known to hold no NaN, with both zeros inside.
//!
//! Not here: which files a filter leaves out (`judge`), pruning within files, which is DataFusion's.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn, TryCastExpr};
use datafusion::physical_expr::utils::collect_columns;
use iceberg::spec::{Datum, Literal, PrimitiveLiteral, PrimitiveType, Transform as IcebergTransform, Type};

use crate::error::LakeError;
use crate::read::adapt::PartitionValues;
use crate::read::changelog::FileRef;
use crate::read::value_order::{float_scalar, scalar};
use crate::table::Table;
use crate::table::schema;
use crate::table::transform::{bucketed, literal};
use crate::write::has_own_name;

/// What is known about one column of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnBounds {
    /// At or below every value that is not NULL.
    pub(crate) min: Option<ScalarValue>,
    /// At or above every value that is not NULL.
    pub(crate) max: Option<ScalarValue>,
    /// Rows with NULL.
    pub(crate) null_count: Option<u64>,
    /// `min` and `max`, where known, are values in the file.
    pub(crate) exact: bool,
}

pub(crate) struct BoundColumn {
    pub(crate) id: i32,
    pub(crate) primitive: PrimitiveType,
    pub(crate) data_type: DataType,
}

struct PartitionColumn {
    index: usize,
    source_id: i32,
    transform: IcebergTransform,
}

/// Reads bounds of a table's columns from its manifest entries.
pub(crate) struct TableBounds {
    columns: HashMap<String, BoundColumn>,
    specs: HashMap<i32, Vec<PartitionColumn>>,
    table: Table,
}

/// Values, and the buckets that they fall into.
pub(crate) struct Buckets<'v> {
    values: &'v [ScalarValue],
    /// By how many buckets there are; `None` where it is not known.
    of: RefCell<HashMap<u32, Vec<Option<i32>>>>,
}

impl<'v> Buckets<'v> {
    pub(crate) fn of(values: &'v [ScalarValue]) -> Self {
        Self { values, of: RefCell::default() }
    }

    /// Whether the bucket of one of the values, as values of a type, is as `wanted`, or not known.
    pub(crate) fn any_in(&self, buckets: u32, data_type: &DataType, wanted: impl Fn(i32) -> bool) -> bool {
        let bucket = |value: &ScalarValue| {
            let value = value.cast_to(data_type).and_then(|v| v.to_array()).ok()?;
            let bucket = literal(&bucketed(buckets, &value)?, 0, &PrimitiveType::Int).ok().flatten()?;
            match bucket.as_primitive_literal() {
                Some(PrimitiveLiteral::Int(bucket)) => Some(bucket),
                _ => None,
            }
        };
        let mut of = self.of.borrow_mut();
        let of = of.entry(buckets).or_insert_with(|| self.values.iter().map(bucket).collect());
        of.iter().any(|bucket| bucket.is_none_or(&wanted))
    }
}

impl TableBounds {
    pub(crate) fn of(table: &Table) -> Self {
        let metadata = table.metadata();
        let schema = table.schema();
        let fields = table.fields().as_struct().fields().iter();
        let columns = fields
            .zip(schema.fields())
            .filter_map(|(field, arrow)| match field.field_type.as_ref() {
                Type::Primitive(primitive) => Some((
                    field.name.clone(),
                    BoundColumn { id: field.id, primitive: primitive.clone(), data_type: arrow.data_type().clone() },
                )),
                _ => None,
            })
            .collect();
        let specs = metadata
            .partition_specs_iter()
            .map(|spec| {
                let fields = spec.fields().iter().enumerate();
                let fields = fields.map(|(index, field)| PartitionColumn {
                    index,
                    source_id: field.source_id,
                    transform: field.transform,
                });
                (spec.spec_id(), fields.collect())
            })
            .collect();
        Self { columns, specs, table: table.clone() }
    }

    /// A column of a primitive type, by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&BoundColumn> {
        self.columns.get(name)
    }

    /// How many fields a partition spec has.
    pub(crate) fn fields_of(&self, spec_id: i32) -> Option<usize> {
        self.specs.get(&spec_id).map(Vec::len)
    }

    /// The fields of a spec that are made of a column: where they stand, and how they are made.
    pub(crate) fn transforms(&self, spec_id: i32, column: i32) -> impl Iterator<Item = (usize, &IcebergTransform)> {
        self.partition_fields(spec_id, column).map(|field| (field.index, &field.transform))
    }

    /// Whether this engine wrote a file, whose bounds are then values of it. The snapshot that would tell may be forgotten.
    fn is_ours(&self, file: &FileRef) -> bool {
        has_own_name(&file.path) || self.table.snapshot(file.added_snapshot_id).is_some_and(|s| s.is_ours())
    }

    /// What the manifests know about a column of a file. Nothing about nested
    /// columns, and nothing beyond counts about UUIDs, whose order engines dispute.
    pub(crate) fn bounds(&self, file: &FileRef, column: &str) -> ColumnBounds {
        let Some(column) = self.columns.get(column) else {
            return ColumnBounds::default();
        };
        let data = &file.data_file;
        let mut known =
            ColumnBounds { null_count: data.null_value_counts().get(&column.id).copied(), ..ColumnBounds::default() };
        if ordered(&column.primitive) {
            let bound =
                |b: &HashMap<i32, Datum>| b.get(&column.id).and_then(|d| scalar(d.literal(), &column.data_type));
            known.min = bound(data.lower_bounds());
            known.max = bound(data.upper_bounds());
            known.exact = file.is_whole() && self.is_ours(file) && !truncated(&column.data_type);
            if column.data_type.is_floating() {
                known.exact = false;
                if data.nan_value_counts().get(&column.id) == Some(&0) {
                    known.min = known.min.map(|v| both_zeros(v, true));
                    known.max = known.max.map(|v| both_zeros(v, false));
                } else {
                    (known.min, known.max) = (None, None);
                }
            }
        }
        self.partition_bounds(file, column, &mut known);
        known
    }

    fn partition_bounds(&self, file: &FileRef, column: &BoundColumn, known: &mut ColumnBounds) {
        let rows = file.record_count();
        for field in self.partition_fields(file.spec_id, column.id) {
            if matches!(field.transform, IcebergTransform::Void | IcebergTransform::Unknown) {
                continue;
            }
            let Some(value) = file.data_file.partition().fields().get(field.index) else {
                continue;
            };
            let Some(value) = value.as_ref().and_then(Literal::as_primitive_literal) else {
                if value.is_none() {
                    // Every known transform but void gives NULL for NULL alone.
                    known.null_count = Some(rows);
                    (known.min, known.max) = (None, None);
                }
                continue;
            };
            if !ordered(&column.primitive) || column.data_type.is_floating() {
                continue;
            }
            let (min, max) = preimage(&field.transform, &value, &column.data_type);
            if field.transform == IcebergTransform::Identity {
                known.null_count = Some(0);
            }
            if known.min.is_none() {
                known.min = min;
                known.exact &= field.transform == IcebergTransform::Identity;
            }
            if known.max.is_none() {
                known.max = max;
                known.exact &= field.transform == IcebergTransform::Identity;
            }
        }
    }

    /// The values that the files' identity partitions give to columns that the files may not hold, by location. Only of the
    /// columns of these names, where some are named.
    ///
    /// # Errors
    /// A file outside the store.
    pub(crate) fn partition_values(
        &self,
        files: &[FileRef],
        names: Option<&HashSet<String>>,
    ) -> Result<PartitionValues, LakeError> {
        let table = &self.table;
        let ids: Option<HashSet<i32>> =
            names.map(|names| names.iter().filter_map(|name| self.columns.get(name)).map(|column| column.id).collect());
        let mut types: HashMap<i32, Option<DataType>> =
            self.columns.values().map(|column| (column.id, Some(column.data_type.clone()))).collect();
        // Deletes may go by a column that the table has no more.
        let gone = |id: i32| {
            let field = table.metadata().schemas_iter().find_map(|schema| schema.field_by_id(id).cloned())?;
            schema::to_arrow(&field.field_type).ok()
        };
        let mut all = HashMap::new();
        for file in files {
            let fields = self.specs.get(&file.spec_id).into_iter().flatten();
            let mut values = HashMap::new();
            for field in fields.filter(|field| {
                field.transform == IcebergTransform::Identity
                    && ids.as_ref().is_none_or(|ids| ids.contains(&field.source_id))
            }) {
                let of = types.entry(field.source_id).or_insert_with(|| gone(field.source_id));
                let Some(of) = of.as_ref() else { continue };
                let Some(value) = file.data_file.partition().fields().get(field.index) else { continue };
                let value = match value.as_ref().map(Literal::as_primitive_literal) {
                    None => ScalarValue::try_from(of).ok(),
                    Some(value) => value.and_then(|v| float_scalar(&v, of).or_else(|| scalar(&v, of))),
                };
                values.insert(field.source_id, value);
            }
            if !values.is_empty() {
                all.insert(table.lake().object_path(&file.path)?.to_string(), values);
            }
        }
        Ok(all)
    }

    fn partition_fields(&self, spec_id: i32, source: i32) -> impl Iterator<Item = &PartitionColumn> {
        let fields = self.specs.get(&spec_id);
        fields.into_iter().flatten().filter(move |f| f.source_id == source)
    }

    /// Whether a bucketed column of a file can hold one of the values. Unknown is yes.
    pub(crate) fn may_hold(&self, file: &FileRef, column: &str, values: &Buckets<'_>) -> bool {
        let Some(column) = self.columns.get(column) else {
            return true;
        };
        self.partition_fields(file.spec_id, column.id).all(|field| {
            let IcebergTransform::Bucket(buckets) = field.transform else {
                return true;
            };
            match file.data_file.partition().fields().get(field.index) {
                None => true,
                // The bucket of NULL holds NULL alone.
                Some(None) => values.values.iter().any(ScalarValue::is_null),
                Some(Some(stored)) => match stored.as_primitive_literal() {
                    Some(PrimitiveLiteral::Int(stored)) => {
                        values.any_in(buckets, &column.data_type, |bucket| bucket == stored)
                    }
                    _ => true,
                },
            }
        })
    }

    /// Bounds of some columns of a file, as statistics of a schema. They are at or beyond all values, never values.
    pub(crate) fn bounds_of(&self, file: &FileRef, schema: &SchemaRef, columns: &[String]) -> Statistics {
        let mut statistics = Statistics::new_unknown(schema);
        for (field, of) in schema.fields().iter().zip(&mut statistics.column_statistics) {
            if columns.contains(field.name()) {
                let known = self.bounds(file, field.name());
                let bound = |value: Option<ScalarValue>| value.map_or(Precision::Absent, Precision::Inexact);
                (of.min_value, of.max_value) = (bound(known.min), bound(known.max));
            }
        }
        statistics
    }

    /// Statistics of the rows that these files hold together, one column a field; of columns that are not projected
    /// nothing is known.
    pub(crate) fn statistics(
        &self,
        files: &[FileRef],
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> Statistics {
        let mut statistics = Statistics::new_unknown(schema);
        let rows: u64 = files.iter().map(FileRef::record_count).sum();
        let bytes: u64 = files.iter().map(|f| f.data_file.file_size_in_bytes()).sum();
        let whole = files.iter().all(FileRef::is_whole);
        statistics.num_rows = count(rows, whole);
        statistics.total_byte_size = count(bytes, false);
        let columns = schema.fields().iter().zip(&mut statistics.column_statistics).enumerate();
        for (place, (field, column)) in columns {
            if projection.is_some_and(|projection| !projection.contains(&place)) {
                continue;
            }
            let known = files.iter().map(|f| (f.record_count(), self.bounds(f, field.name())));
            *column = summarize(known, whole);
            if field.data_type().is_floating() {
                // Good for skipping files, not for answers: NaN may come elsewhere.
                (column.min_value, column.max_value) = (Precision::Absent, Precision::Absent);
            }
        }
        statistics
    }
}

fn count(value: u64, exact: bool) -> Precision<usize> {
    match usize::try_from(value) {
        Ok(value) if exact => Precision::Exact(value),
        Ok(value) => Precision::Inexact(value),
        Err(_) => Precision::Absent,
    }
}

/// Whether a range of 64-bit numbers is half of them or more: its width does not fit into them.
fn spans_all(min: Option<&ScalarValue>, max: Option<&ScalarValue>) -> bool {
    let number = |v: &ScalarValue| match v {
        ScalarValue::Int64(n)
        | ScalarValue::TimestampMicrosecond(n, _)
        | ScalarValue::TimestampNanosecond(n, _)
        | ScalarValue::TimestampMillisecond(n, _)
        | ScalarValue::TimestampSecond(n, _)
        | ScalarValue::Time64Microsecond(n) => *n,
        _ => None,
    };
    match (min.and_then(number), max.and_then(number)) {
        (Some(min), Some(max)) => max.checked_sub(min).is_none_or(|width| width == i64::MAX),
        _ => false,
    }
}

fn summarize(known: impl Iterator<Item = (u64, ColumnBounds)>, counts_exact: bool) -> ColumnStatistics {
    let (mut nulls, mut exact) = (Some(0u64), true);
    let (mut min, mut max): (Option<ScalarValue>, Option<ScalarValue>) = (None, None);
    let mut bounded = true;
    for (rows, bounds) in known {
        nulls = nulls.zip(bounds.null_count).map(|(a, b)| a.saturating_add(b));
        if bounds.null_count == Some(rows) {
            continue;
        }
        let (Some(low), Some(high)) = (bounds.min, bounds.max) else {
            bounded = false;
            continue;
        };
        exact &= bounds.exact;
        min = Some(match min {
            Some(m) if m <= low => m,
            _ => low,
        });
        max = Some(match max {
            Some(m) if m >= high => m,
            _ => high,
        });
    }
    // DataFusion counts the values of a range in 64 bits and overflows on one that holds them all.
    let bounded = bounded && !spans_all(min.as_ref(), max.as_ref());
    let value = |v: Option<ScalarValue>| match v {
        Some(v) if bounded && exact && counts_exact => Precision::Exact(v),
        Some(v) if bounded => Precision::Inexact(v),
        _ => Precision::Absent,
    };
    ColumnStatistics {
        null_count: nulls.map_or(Precision::Absent, |n| count(n, counts_exact)),
        min_value: value(min),
        max_value: value(max),
        ..ColumnStatistics::new_unknown()
    }
}

/// Columns that `filters` compute with, rather than compare as they are. DataFusion
/// narrows their min and max through casts and arithmetic, and fails the query when
/// that gives a wider range (`CAST(ts AS DATE) <= ...`) or a reversed one
/// (`CAST(n AS VARCHAR) > ...`).
pub(crate) fn computed_columns(filters: &[Expr], schema: &SchemaRef, session: &dyn Session) -> Result<HashSet<String>> {
    let mut columns = HashSet::new();
    let df_schema = DFSchema::try_from(Arc::clone(schema))?;
    for filter in filters {
        let Ok(expr) = session.create_physical_expr(filter.clone(), &df_schema) else {
            columns.extend(filter.column_refs().into_iter().map(|c| c.name.clone()));
            continue;
        };
        expr.apply(|expr| {
            let plain = expr.is::<PhysicalColumn>() || expr.data_type(schema)? == DataType::Boolean && !is_cast(expr);
            if !plain {
                columns.extend(collect_columns(expr).iter().map(|c| c.name().to_owned()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(columns)
}

fn is_cast(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is::<CastExpr>() || expr.is::<TryCastExpr>()
}

/// Types whose bounds mean the same to every engine.
pub(crate) fn ordered(of: &PrimitiveType) -> bool {
    !matches!(of, PrimitiveType::Uuid | PrimitiveType::Fixed(_))
}

fn truncated(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_))
}

fn both_zeros(value: ScalarValue, lower: bool) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(0.0)) => ScalarValue::Float32(Some(if lower { -0.0 } else { 0.0 })),
        ScalarValue::Float64(Some(0.0)) => ScalarValue::Float64(Some(if lower { -0.0 } else { 0.0 })),
        value => value,
    }
}

/// Bounds of the values that a transform maps to `value`.
pub(crate) fn preimage(
    transform: &IcebergTransform,
    value: &PrimitiveLiteral,
    of: &DataType,
) -> (Option<ScalarValue>, Option<ScalarValue>) {
    use IcebergTransform as T;
    match (transform, value) {
        (T::Identity, value) => (scalar(value, of), scalar(value, of)),
        (T::Year | T::Month | T::Day | T::Hour, PrimitiveLiteral::Int(unit)) => {
            // Old Java writers rounded times before 1970 towards it.
            let first = if *unit <= 0 { unit.checked_sub(1) } else { Some(*unit) };
            let low = first.and_then(|u| start(transform, u)).and_then(|us| instant(us, of, 0));
            let high = unit.checked_add(1).and_then(|u| start(transform, u)).and_then(|us| instant(us, of, 1));
            (low, high)
        }
        // Other writers wrap below the smallest integer: what they give is no multiple.
        (T::Truncate(width), PrimitiveLiteral::Int(v)) if i64::from(*v) % i64::from((*width).max(1)) != 0 => {
            (None, None)
        }
        (T::Truncate(width), PrimitiveLiteral::Long(v)) if v % i64::from((*width).max(1)) != 0 => (None, None),
        (T::Truncate(width), PrimitiveLiteral::Int(v)) => {
            let high = i32::try_from(*width).ok().and_then(|w| v.checked_add(w - 1));
            let high = high.map(PrimitiveLiteral::Int);
            (scalar(value, of), high.and_then(|h| scalar(&h, of)))
        }
        (T::Truncate(width), PrimitiveLiteral::Long(v)) => {
            let high = v.checked_add(i64::from(*width) - 1).map(PrimitiveLiteral::Long);
            (scalar(value, of), high.and_then(|h| scalar(&h, of)))
        }
        (T::Truncate(width), PrimitiveLiteral::Int128(v)) => {
            let high = v.checked_add(i128::from(*width) - 1).map(PrimitiveLiteral::Int128);
            (scalar(value, of), high.and_then(|h| scalar(&h, of)))
        }
        // Whatever the writer counted, code points or bytes: the values begin with it.
        (T::Truncate(_), PrimitiveLiteral::String(text)) => {
            let high = after_text(text).map(PrimitiveLiteral::String);
            (scalar(value, of), high.and_then(|h| scalar(&h, of)))
        }
        (T::Truncate(_), PrimitiveLiteral::Binary(bytes)) => {
            let high = after_bytes(bytes).map(PrimitiveLiteral::Binary);
            (scalar(value, of), high.and_then(|h| scalar(&h, of)))
        }
        _ => (None, None),
    }
}

/// The least text above all that begin with one; `None` if there is none.
fn after_text(text: &str) -> Option<String> {
    let (at, last) = text.char_indices().rev().find(|(_, c)| *c != char::MAX)?;
    // The surrogates are no characters.
    let next = char::from_u32(u32::from(last) + 1).unwrap_or('\u{e000}');
    let mut after = text.get(..at)?.to_owned();
    after.push(next);
    Some(after)
}

fn after_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|b| *b != u8::MAX)?;
    let mut after = bytes.get(..=last)?.to_vec();
    *after.last_mut()? += 1;
    Some(after)
}

/// Microseconds from 1970 to the start of a year, month, day or hour.
fn start(transform: &IcebergTransform, unit: i32) -> Option<i64> {
    const HOUR_US: i64 = 3_600_000_000;
    let months = match transform {
        IcebergTransform::Hour => return i64::from(unit).checked_mul(HOUR_US),
        IcebergTransform::Day => return i64::from(unit).checked_mul(24 * HOUR_US),
        IcebergTransform::Month => i64::from(unit),
        IcebergTransform::Year => i64::from(unit) * 12,
        _ => return None,
    };
    let year = i32::try_from(1970 + months.div_euclid(12)).ok()?;
    let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
    let day = chrono::NaiveDate::from_ymd_opt(year, month, 1)?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// `us` minus `before` of the smallest step of a date or timestamp type.
fn instant(us: i64, of: &DataType, before: i64) -> Option<ScalarValue> {
    match of {
        DataType::Date32 => {
            let days = us.div_euclid(86_400_000_000) - before;
            Some(ScalarValue::Date32(Some(i32::try_from(days).ok()?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Some(ScalarValue::TimestampMicrosecond(Some(us.checked_sub(before)?), zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let ns = us.checked_mul(1000)?.checked_sub(before)?;
            Some(ScalarValue::TimestampNanosecond(Some(ns), zone.clone()))
        }
        _ => None,
    }
}
