//! Decides from manifests alone which data files a query can skip, and what is
//! known about a set of files without opening one.
//!
//!   filters ──▶ PruningPredicate ──▶ keep or skip, per file
//!                     ▲
//!   manifest bounds, counts, partition values (`ColumnBounds`)
//!
//! Invariants
//! * A skipped file holds no row for which the filters are true.
//! * A bound is at or beyond every value, not always a value: only bounds of our
//!   own files, of types whose bounds no writer truncates, answer min and max.
//! * Float bounds leave NaN out and may confuse the zeros: they count only when
//!   the file is known to hold no NaN, with both zeros inside.
//! * Expressions out of their column's order (`CAST(ts AS TIME)`) skip nothing.
//!
//! Not here: pruning within files, which is DataFusion's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn, TryCastExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use iceberg::spec::{Datum, Literal, PrimitiveLiteral, PrimitiveType, Transform as IcebergTransform, Type};

use crate::error::LakeError;
use crate::read::adapt::PartitionValues;
use crate::read::changelog::FileRef;
use crate::read::value_order::{Opaque, float_scalar, scalar, unordered};
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

struct BoundColumn {
    id: i32,
    primitive: PrimitiveType,
    data_type: DataType,
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
    ours: HashSet<i64>,
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
        let ours = metadata
            .snapshots()
            .map(|s| s.snapshot_id())
            .filter(|id| table.snapshot(*id).is_some_and(|s| s.is_ours()))
            .collect();
        Self { columns, specs, ours }
    }

    /// Whether this engine wrote a file, whose bounds are then values of it. The snapshot that would tell may be forgotten.
    fn is_ours(&self, file: &FileRef) -> bool {
        self.ours.contains(&file.added_snapshot_id) || has_own_name(&file.path)
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
        for field in self.partition_fields(file, column.id) {
            if field.transform == IcebergTransform::Void {
                continue;
            }
            let Some(value) = file.data_file.partition().fields().get(field.index) else {
                continue;
            };
            let Some(value) = value.as_ref().and_then(Literal::as_primitive_literal) else {
                if value.is_none() {
                    // Every transform but void gives NULL for NULL alone.
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

    /// The values that the files' identity partitions give to columns that the files may not hold, by location.
    ///
    /// # Errors
    /// A file outside the store.
    pub(crate) fn partition_values(&self, table: &Table, files: &[FileRef]) -> Result<PartitionValues, LakeError> {
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
            for field in fields.filter(|field| field.transform == IcebergTransform::Identity) {
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

    fn partition_fields(&self, file: &FileRef, source: i32) -> impl Iterator<Item = &PartitionColumn> {
        let fields = self.specs.get(&file.spec_id);
        fields.into_iter().flatten().filter(move |f| f.source_id == source)
    }

    /// Whether a bucketed column of a file can hold one of `values`. Unknown is yes.
    pub(crate) fn may_hold<'v>(
        &self,
        file: &FileRef,
        column: &str,
        values: impl Iterator<Item = &'v ScalarValue> + Clone,
    ) -> bool {
        let Some(column) = self.columns.get(column) else {
            return true;
        };
        self.partition_fields(file, column.id).all(|field| {
            let IcebergTransform::Bucket(buckets) = field.transform else {
                return true;
            };
            let Some(stored) = file.data_file.partition().fields().get(field.index) else {
                return true;
            };
            let stored = match stored {
                Some(literal) => literal.as_primitive_literal(),
                // The bucket of NULL holds NULL alone.
                None => return values.clone().any(ScalarValue::is_null),
            };
            values.clone().any(|value| {
                let value = value.cast_to(&column.data_type).and_then(|v| v.to_array());
                let bucket = value.ok().and_then(|v| bucketed(buckets, &v));
                let bucket = bucket.and_then(|b| literal(&b, 0, &PrimitiveType::Int).ok().flatten());
                let bucket = bucket.and_then(|b| b.as_primitive_literal());
                match (&bucket, &stored) {
                    (Some(bucket), Some(stored)) => bucket == stored,
                    _ => true,
                }
            })
        })
    }

    /// Which of `files` may hold rows for which all `filters` are true.
    pub(crate) fn keep(
        &self,
        files: &[FileRef],
        filters: &[Expr],
        schema: &SchemaRef,
        session: &dyn Session,
    ) -> Vec<bool> {
        let mut keep = vec![true; files.len()];
        let Ok(df_schema) = DFSchema::try_from(Arc::clone(schema)) else {
            return keep;
        };
        let statistics = FileStatistics { bounds: self, files, schema };
        for filter in filters {
            // A filter that cannot be planned or judged here is judged by rows.
            let judged = session
                .create_physical_expr(filter.clone(), &df_schema)
                .and_then(|expr| sanitize(expr, schema))
                .and_then(|expr| PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(expr))
                .and_then(|predicate| predicate.prune(&statistics));
            match judged {
                Ok(judged) => keep.iter_mut().zip(judged).for_each(|(k, j)| *k &= j),
                Err(error) => tracing::debug!(%filter, %error, "filter does not prune files"),
            }
        }
        keep
    }

    /// Statistics of the rows that these files hold together, one column a field.
    pub(crate) fn statistics(&self, files: &[FileRef], schema: &SchemaRef) -> Statistics {
        let mut statistics = Statistics::new_unknown(schema);
        let rows: u64 = files.iter().map(FileRef::record_count).sum();
        let bytes: u64 = files.iter().map(|f| f.data_file.file_size_in_bytes()).sum();
        let whole = files.iter().all(FileRef::is_whole);
        statistics.num_rows = count(rows, whole);
        statistics.total_byte_size = count(bytes, false);
        for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
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

/// An expression in which pruning sees no child whose order it would mistake. The canonical value of a float lies
/// within the bounds of its column: these hold both zeros, and none where there may be a NaN.
fn sanitize(expr: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_down(|expr| {
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
            && call.fun().name() == ingot_semantics::CANONICAL
            && let [column] = call.args()
        {
            return Ok(Transformed::yes(Arc::clone(column)));
        }
        if unordered(&expr, schema).is_some() {
            return Ok(Transformed::new(Opaque::wrap(expr), true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(expr))
    })
    .map(|t| t.data)
}

/// Types whose bounds mean the same to every engine.
fn ordered(of: &PrimitiveType) -> bool {
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
fn preimage(
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
        (T::Truncate(_), PrimitiveLiteral::String(_) | PrimitiveLiteral::Binary(_)) => (scalar(value, of), None),
        _ => (None, None),
    }
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

/// Files as DataFusion's pruning sees them.
struct FileStatistics<'a> {
    bounds: &'a TableBounds,
    files: &'a [FileRef],
    schema: &'a SchemaRef,
}

impl FileStatistics<'_> {
    fn values(&self, column: &Column, pick: impl Fn(ColumnBounds) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        let null = ScalarValue::try_from(field.data_type()).ok()?;
        let mut any = false;
        let values: Vec<ScalarValue> = self
            .files
            .iter()
            .map(|file| {
                let value = pick(self.bounds.bounds(file, column.name()));
                any |= value.is_some();
                value.unwrap_or_else(|| null.clone())
            })
            .collect();
        if any { ScalarValue::iter_to_array(values).ok() } else { None }
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |b| b.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |b| b.max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|f| self.bounds.bounds(f, column.name()).null_count);
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|f| Some(f.record_count()));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    #[allow(clippy::mutable_key_type)]
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if values.iter().any(ScalarValue::is_null) {
            return None;
        }
        let held = self.files.iter().map(|f| {
            let may = self.bounds.may_hold(f, column.name(), values.iter());
            if may { None } else { Some(false) }
        });
        Some(held.collect())
    }
}
