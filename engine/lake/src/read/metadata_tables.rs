//! What a table's metadata holds, as tables with Trino's names, columns and types: `"t$snapshots"`, `"t$files"`.
//!
//! ```text
//!   metadata ──▶ snapshots, history, refs, properties        manifest list ──▶ manifests
//!   live entries, deletes too ──▶ files                      live data files ──▶ partitions
//!   all entries of its manifests ──▶ entries
//! ```
//!
//! Invariants
//! * Nothing is opened but manifests: what they do not say is NULL.
//! * All files are listed, those of kinds too that a scan refuses.
//! * `partition` has the fields of all specs whose columns the table still has, by field id.
//!
//! Not here: which snapshot is meant, and the names in a statement (`ingot-query`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, Int32Builder, Int64Array, Int64Builder, ListBuilder,
    MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMillisecondArray, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use iceberg::spec::{
    DataContentType, DataFile, Datum, Literal, ManifestEntry, ManifestFile, ManifestStatus, NestedFieldRef,
    PrimitiveLiteral, PrimitiveType, Transform, Type,
};
use serde_json::{Value, json};

use crate::deletes::index::promoted;
use crate::error::Result;
use crate::read::changelog::{all_manifests, live_entries};
use crate::read::value_order::{float_scalar, scalar};
use crate::read::value_text::value_text;
use crate::table::{Table, ancestry, schema};

/// One of the tables that tell about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataTable {
    /// Every snapshot that the metadata holds.
    Snapshots,
    /// The log of the main branch.
    History,
    /// Branches and tags.
    Refs,
    /// Table properties.
    Properties,
    /// The manifests of a snapshot.
    Manifests,
    /// The files of a snapshot.
    Files,
    /// All that the manifests of a snapshot say, of files that it took away too.
    Entries,
    /// The partitions of a snapshot.
    Partitions,
}

impl MetadataTable {
    /// The one of a name, as it stands behind `$`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "snapshots" => Self::Snapshots,
            "history" => Self::History,
            "refs" => Self::Refs,
            "properties" => Self::Properties,
            "manifests" => Self::Manifests,
            "files" => Self::Files,
            "entries" => Self::Entries,
            "partitions" => Self::Partitions,
            _ => return None,
        })
    }

    /// Its rows; those of manifests, files, entries and partitions at a snapshot, none without one.
    ///
    /// # Errors
    /// The store's; manifests that cannot be read.
    pub async fn rows(self, table: &Table, snapshot: Option<i64>) -> Result<RecordBatch> {
        match self {
            Self::Snapshots => snapshots(table),
            Self::History => history(table),
            Self::Refs => references(table),
            Self::Properties => properties(table),
            Self::Manifests => manifests(table, &all_manifests(table, snapshot).await?),
            Self::Files => files(table, &live_entries(table, snapshot).await?),
            Self::Entries => entries(table, &all_manifests(table, snapshot).await?).await,
            Self::Partitions => partitions(table, &live_entries(table, snapshot).await?),
        }
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
}

fn text<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn long(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn snapshots(table: &Table) -> Result<RecordBatch> {
    let mut all: Vec<_> = table.metadata().snapshots().collect();
    all.sort_by_key(|s| (s.sequence_number(), s.timestamp_ms(), s.snapshot_id()));
    let mut summaries = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for snapshot in &all {
        let sorted: BTreeMap<_, _> = snapshot.summary().additional_properties.iter().collect();
        for (name, value) in sorted {
            summaries.keys().append_value(name);
            summaries.values().append_value(value);
        }
        summaries.append(true)?;
    }
    batch(vec![
        ("committed_at", times(all.iter().map(|s| s.timestamp_ms()))),
        ("snapshot_id", longs(all.iter().map(|s| Some(s.snapshot_id())))),
        ("parent_id", longs(all.iter().map(|s| s.parent_snapshot_id()))),
        ("operation", text(all.iter().map(|s| Some(s.summary().operation.as_str())))),
        ("manifest_list", text(all.iter().map(|s| Some(s.manifest_list())))),
        ("summary", Arc::new(summaries.finish())),
    ])
}

fn history(table: &Table) -> Result<RecordBatch> {
    let metadata = table.metadata();
    let log = metadata.history();
    let ancestors: HashSet<i64> = ancestry(metadata).map(|s| s.snapshot_id()).collect();
    let parent = |id| metadata.snapshot_by_id(id).and_then(|s| s.parent_snapshot_id());
    batch(vec![
        ("made_current_at", times(log.iter().map(|entry| entry.timestamp_ms))),
        ("snapshot_id", longs(log.iter().map(|entry| Some(entry.snapshot_id)))),
        ("parent_id", longs(log.iter().map(|entry| parent(entry.snapshot_id)))),
        (
            "is_current_ancestor",
            Arc::new(log.iter().map(|entry| Some(ancestors.contains(&entry.snapshot_id))).collect::<BooleanArray>()),
        ),
    ])
}

fn references(table: &Table) -> Result<RecordBatch> {
    let refs = table.refs()?;
    batch(vec![
        ("name", text(refs.keys().map(Some))),
        ("type", text(refs.values().map(|of| Some(of.kind())))),
        ("snapshot_id", longs(refs.values().map(|of| Some(of.snapshot_id)))),
        ("max_reference_age_in_ms", longs(refs.values().map(|of| of.max_ref_age_ms))),
        ("min_snapshots_to_keep", ints(refs.values().map(|of| of.min_snapshots_to_keep))),
        ("max_snapshot_age_in_ms", longs(refs.values().map(|of| of.max_snapshot_age_ms))),
    ])
}

fn properties(table: &Table) -> Result<RecordBatch> {
    let sorted: BTreeMap<_, _> = table.properties().iter().collect();
    batch(vec![("key", text(sorted.keys().map(Some))), ("value", text(sorted.values().map(Some)))])
}

fn manifests(table: &Table, all: &[ManifestFile]) -> Result<RecordBatch> {
    let count = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
    let (mut nulls, mut nans, mut lower, mut upper) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(all.len());
    for manifest in all {
        let spec = table.metadata().partition_spec_by_id(manifest.partition_spec_id);
        let fields = spec.map(|spec| spec.fields()).unwrap_or_default();
        let summaries = manifest.partitions.as_deref().unwrap_or_default();
        lengths.push(summaries.len());
        for (place, summary) in summaries.iter().enumerate() {
            let of = fields.get(place).and_then(|field| Some((field.transform, result_type(table, field)?)));
            let shown = |bound: Option<&[u8]>| {
                let (transform, of) = of.as_ref()?;
                let of = of.as_primitive_type()?;
                let datum = Datum::try_from_bytes(bound?, of.clone()).ok()?;
                Some(value_text(datum.literal(), of, *transform))
            };
            nulls.push(Some(summary.contains_null));
            nans.push(summary.contains_nan);
            lower.push(shown(summary.lower_bound.as_ref().map(|bound| bound.as_ref())));
            upper.push(shown(summary.upper_bound.as_ref().map(|bound| bound.as_ref())));
        }
    }
    let summary = record(vec![
        ("contains_null", Arc::new(BooleanArray::from(nulls))),
        ("contains_nan", Arc::new(BooleanArray::from(nans))),
        ("lower_bound", text(lower.into_iter())),
        ("upper_bound", text(upper.into_iter())),
    ])?;
    let item = Arc::new(Field::new_list_field(summary.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let summaries = arrow::array::ListArray::try_new(item, offsets, Arc::new(summary), None)?;
    batch(vec![
        ("path", text(all.iter().map(|m| Some(&m.manifest_path)))),
        ("length", longs(all.iter().map(|m| Some(m.manifest_length)))),
        ("partition_spec_id", ints(all.iter().map(|m| Some(m.partition_spec_id)))),
        ("added_snapshot_id", longs(all.iter().map(|m| Some(m.added_snapshot_id)))),
        ("added_data_files_count", ints(all.iter().map(|m| count(m.added_files_count)))),
        ("added_rows_count", longs(all.iter().map(|m| m.added_rows_count.and_then(long)))),
        ("existing_data_files_count", ints(all.iter().map(|m| count(m.existing_files_count)))),
        ("existing_rows_count", longs(all.iter().map(|m| m.existing_rows_count.and_then(long)))),
        ("deleted_data_files_count", ints(all.iter().map(|m| count(m.deleted_files_count)))),
        ("deleted_rows_count", longs(all.iter().map(|m| m.deleted_rows_count.and_then(long)))),
        ("partition_summaries", Arc::new(summaries)),
    ])
}

fn record(columns: Vec<(&str, ArrayRef)>) -> Result<StructArray> {
    let fields: Fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    Ok(StructArray::try_new(fields, columns.into_iter().map(|(_, array)| array).collect(), None)?)
}

/// The type of a partition field's values; none if its column is in no schema.
fn result_type(table: &Table, field: &iceberg::spec::PartitionField) -> Option<Type> {
    let source = table.metadata().schemas_iter().find_map(|schema| schema.field_by_id(field.source_id))?;
    field.transform.result_type(&source.field_type).ok()
}

/// A field of the partitions of all specs.
struct PartitionColumn {
    id: i32,
    name: String,
    data_type: DataType,
}

fn partition_columns(table: &Table) -> Result<Vec<PartitionColumn>> {
    let mut specs: Vec<_> = table.metadata().partition_specs_iter().collect();
    specs.sort_by_key(|spec| spec.spec_id());
    let (mut seen, mut columns) = (HashSet::new(), Vec::new());
    for field in specs.iter().flat_map(|spec| spec.fields()) {
        let Some(source) = table.fields().field_by_id(field.source_id) else { continue };
        let Ok(of) = field.transform.result_type(&source.field_type) else { continue };
        if seen.insert(field.field_id) {
            let data_type = schema::to_arrow(&of)?;
            columns.push(PartitionColumn { id: field.field_id, name: field.name.clone(), data_type });
        }
    }
    Ok(columns)
}

/// The partitions of files, each with its spec: a row with a field for each column. None without any.
fn partition_rows(table: &Table, of: &[(i32, &DataFile)]) -> Result<Option<ArrayRef>> {
    let columns = partition_columns(table)?;
    if columns.is_empty() {
        return Ok(None);
    }
    let mut arrays = Vec::with_capacity(columns.len());
    for column in &columns {
        let values = of.iter().map(|(spec, file)| {
            let spec = table.metadata().partition_spec_by_id(*spec)?;
            let place = spec.fields().iter().position(|field| field.field_id == column.id)?;
            file.partition().fields().get(place)?.as_ref()?.as_primitive_literal()
        });
        arrays.push((column.name.as_str(), array_of(&column.data_type, values)?));
    }
    Ok(Some(Arc::new(record(arrays)?)))
}

/// Iceberg values as an array; what the type does not hold is NULL.
fn array_of(of: &DataType, values: impl Iterator<Item = Option<PrimitiveLiteral>>) -> Result<ArrayRef> {
    let null = ScalarValue::try_from(of)?;
    let shown = |value: PrimitiveLiteral| float_scalar(&value, of).or_else(|| scalar(&value, of));
    let values: Vec<_> = values.map(|value| value.and_then(shown).unwrap_or_else(|| null.clone())).collect();
    if values.is_empty() {
        return Ok(new_empty_array(of));
    }
    Ok(ScalarValue::iter_to_array(values)?)
}

fn files(table: &Table, entries: &[(i32, Arc<ManifestEntry>)]) -> Result<RecordBatch> {
    let files: Vec<(i32, &DataFile)> = entries.iter().map(|(spec, entry)| (*spec, entry.data_file())).collect();
    let mut columns = file_columns(table, &files)?;
    columns.push(("readable_metrics", metrics_of(table, &files)));
    batch(columns)
}

fn metrics_of(table: &Table, files: &[(i32, &DataFile)]) -> ArrayRef {
    text(files.iter().map(|(_, file)| Some(readable_metrics(table, file).to_string())))
}

async fn entries(table: &Table, manifests: &[ManifestFile]) -> Result<RecordBatch> {
    let mut all = Vec::new();
    for manifest in manifests {
        let read = table.lake().manifest(manifest).await?;
        all.extend(read.entries().iter().map(|entry| (manifest.partition_spec_id, Arc::clone(entry))));
    }
    let files: Vec<(i32, &DataFile)> = all.iter().map(|(spec, entry)| (*spec, entry.data_file())).collect();
    let status = |entry: &ManifestEntry| match entry.status() {
        ManifestStatus::Existing => 0,
        ManifestStatus::Added => 1,
        ManifestStatus::Deleted => 2,
    };
    batch(vec![
        ("status", ints(all.iter().map(|(_, entry)| Some(status(entry))))),
        ("snapshot_id", longs(all.iter().map(|(_, entry)| entry.snapshot_id()))),
        ("sequence_number", longs(all.iter().map(|(_, entry)| entry.sequence_number()))),
        ("file_sequence_number", longs(all.iter().map(|(_, entry)| entry.file_sequence_number))),
        ("data_file", Arc::new(record(file_columns(table, &files)?)?)),
        ("readable_metrics", metrics_of(table, &files)),
    ])
}

/// What a manifest says of each file.
fn file_columns(table: &Table, files: &[(i32, &DataFile)]) -> Result<Vec<(&'static str, ArrayRef)>> {
    let each = || files.iter().map(|(_, file)| *file);
    let counts = |of: fn(&DataFile) -> &HashMap<i32, u64>| {
        let mut map = MapBuilder::new(None, Int32Builder::new(), Int64Builder::new());
        for file in each() {
            let sorted: BTreeMap<_, _> = of(file).iter().collect();
            for (id, count) in &sorted {
                map.keys().append_value(**id);
                map.values().append_option(long(**count));
            }
            map.append(!sorted.is_empty())?;
        }
        Ok::<ArrayRef, arrow::error::ArrowError>(Arc::new(map.finish()))
    };
    let bounds = |of: fn(&DataFile) -> &HashMap<i32, Datum>| {
        let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
        for file in each() {
            let sorted: BTreeMap<_, _> = of(file).iter().collect();
            for (id, bound) in &sorted {
                map.keys().append_value(**id);
                map.values().append_value(value_text(bound.literal(), bound.data_type(), Transform::Identity));
            }
            map.append(!sorted.is_empty())?;
        }
        Ok::<ArrayRef, arrow::error::ArrowError>(Arc::new(map.finish()))
    };
    let (mut offsets, mut equality) = (ListBuilder::new(Int64Builder::new()), ListBuilder::new(Int32Builder::new()));
    for file in each() {
        offsets.append_option(file.split_offsets().map(|all| all.iter().map(|at| Some(*at))));
        equality.append_option(file.equality_ids().map(|all| all.into_iter().map(Some)));
    }
    let content = |file: &DataFile| match file.content_type() {
        DataContentType::Data => 0,
        DataContentType::PositionDeletes => 1,
        DataContentType::EqualityDeletes => 2,
    };
    let mut columns = vec![
        ("content", ints(each().map(|file| Some(content(file))))),
        ("file_path", text(each().map(|file| Some(file.file_path())))),
        ("file_format", text(each().map(|file| Some(file.file_format().to_string().to_ascii_uppercase())))),
        ("spec_id", ints(files.iter().map(|(spec, _)| Some(*spec)))),
    ];
    columns.extend(partition_rows(table, files)?.map(|partition| ("partition", partition)));
    columns.extend([
        ("record_count", longs(each().map(|file| long(file.record_count())))),
        ("file_size_in_bytes", longs(each().map(|file| long(file.file_size_in_bytes())))),
        ("column_sizes", counts(DataFile::column_sizes)?),
        ("value_counts", counts(DataFile::value_counts)?),
        ("null_value_counts", counts(DataFile::null_value_counts)?),
        ("nan_value_counts", counts(DataFile::nan_value_counts)?),
        ("lower_bounds", bounds(DataFile::lower_bounds)?),
        ("upper_bounds", bounds(DataFile::upper_bounds)?),
        ("key_metadata", Arc::new(each().map(DataFile::key_metadata).collect::<BinaryArray>())),
        ("split_offsets", Arc::new(offsets.finish())),
        ("equality_ids", Arc::new(equality.finish())),
        ("sort_order_id", ints(each().map(DataFile::sort_order_id))),
    ]);
    Ok(columns)
}

/// What is known about each column of a file, by name.
fn readable_metrics(table: &Table, file: &DataFile) -> Value {
    fn leaves<'a>(field: &'a NestedFieldRef, path: &str, out: &mut Vec<(String, &'a NestedFieldRef)>) {
        let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        match field.field_type.as_ref() {
            Type::Primitive(_) => out.push((path, field)),
            Type::Struct(of) => of.fields().iter().for_each(|f| leaves(f, &path, out)),
            Type::List(of) => leaves(&of.element_field, &path, out),
            Type::Map(of) => [&of.key_field, &of.value_field].iter().for_each(|f| leaves(f, &path, out)),
        }
    }
    let mut all = Vec::new();
    table.fields().as_struct().fields().iter().for_each(|field| leaves(field, "", &mut all));
    let bound = |of: &HashMap<i32, Datum>, field: &NestedFieldRef| {
        let bound = of.get(&field.id)?;
        match bound.data_type() {
            PrimitiveType::Date
            | PrimitiveType::Time
            | PrimitiveType::Timestamp
            | PrimitiveType::Timestamptz
            | PrimitiveType::TimestampNs
            | PrimitiveType::TimestamptzNs => {
                Some(value_text(bound.literal(), bound.data_type(), Transform::Identity).into())
            }
            _ => Literal::Primitive(bound.literal().clone()).try_into_json(&field.field_type).ok(),
        }
    };
    all.into_iter()
        .map(|(name, field)| {
            let metrics = json!({
                "column_size": file.column_sizes().get(&field.id),
                "value_count": file.value_counts().get(&field.id),
                "null_value_count": file.null_value_counts().get(&field.id),
                "nan_value_count": file.nan_value_counts().get(&field.id),
                "lower_bound": bound(file.lower_bounds(), field),
                "upper_bound": bound(file.upper_bounds(), field),
            });
            (name, metrics)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn partitions(table: &Table, entries: &[(i32, Arc<ManifestEntry>)]) -> Result<RecordBatch> {
    let mut places: HashMap<_, usize> = HashMap::new();
    let mut groups: Vec<Vec<(i32, &DataFile)>> = Vec::new();
    for (spec_id, entry) in entries {
        let file = entry.data_file();
        if file.content_type() != DataContentType::Data {
            continue;
        }
        let spec = table.metadata().partition_spec_by_id(*spec_id);
        let fields: Vec<i32> = spec.into_iter().flat_map(|spec| spec.fields()).map(|field| field.field_id).collect();
        let place = *places.entry((fields, promoted(file.partition()))).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.push((*spec_id, file));
        }
    }
    let firsts: Vec<_> = groups.iter().filter_map(|group| group.first().copied()).collect();
    let total = |of: fn(&DataFile) -> u64| {
        longs(groups.iter().map(move |group| long(group.iter().map(|(_, file)| of(file)).sum())))
    };
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    columns.extend(partition_rows(table, &firsts)?.map(|partition| ("partition", partition)));
    columns.extend([
        ("record_count", total(DataFile::record_count)),
        ("file_count", longs(groups.iter().map(|group| long(group.len() as u64)))),
        ("total_size", total(DataFile::file_size_in_bytes)),
    ]);
    columns.extend(column_metrics(table, &groups)?.map(|data| ("data", data)));
    batch(columns)
}

/// Bounds and counts of the columns that are not partitions of the table themselves, over the files of each group.
fn column_metrics(table: &Table, groups: &[Vec<(i32, &DataFile)>]) -> Result<Option<ArrayRef>> {
    let spec = table.metadata().default_partition_spec();
    let identity = spec.fields().iter().filter(|field| field.transform == Transform::Identity);
    let identity: HashSet<i32> = identity.map(|field| field.source_id).collect();
    let mut metrics = Vec::new();
    for field in table.fields().as_struct().fields() {
        if identity.contains(&field.id) || !field.field_type.is_primitive() {
            continue;
        }
        let data_type = &schema::to_arrow(&field.field_type)?;
        // Known where every file says so.
        let bound = |of: fn(&DataFile) -> &HashMap<i32, Datum>, least: bool| {
            let values = groups.iter().map(move |group| {
                // A file of NULLs alone has no bounds, and none is missed.
                let is_null = |file: &DataFile| file.null_value_counts().get(&field.id) == Some(&file.record_count());
                let some = group.iter().filter(|(_, file)| !is_null(file));
                let all = some.map(|(_, file)| of(file).get(&field.id)).collect::<Option<Vec<_>>>()?;
                let order = |bound: &Datum| {
                    let value = bound.literal();
                    float_scalar(value, data_type).or_else(|| scalar(value, data_type))
                };
                // Bounds of before a promotion are of another type, and compared as values of today's.
                let first = all.into_iter().reduce(|a, b| match (order(b).partial_cmp(&order(a)), least) {
                    (Some(Ordering::Less), true) | (Some(Ordering::Greater), false) => b,
                    _ => a,
                })?;
                Some(first.literal().clone())
            });
            array_of(data_type, values)
        };
        let count = |of: fn(&DataFile) -> &HashMap<i32, u64>| {
            longs(groups.iter().map(move |group| {
                let all = group.iter().map(|(_, file)| of(file).get(&field.id).copied());
                all.sum::<Option<u64>>().and_then(long)
            }))
        };
        let (min, max) = (bound(DataFile::lower_bounds, true)?, bound(DataFile::upper_bounds, false)?);
        let (nulls, nans) = (count(DataFile::null_value_counts), count(DataFile::nan_value_counts));
        let known = (0..groups.len()).map(|row| min.is_valid(row) || max.is_valid(row) || nulls.is_valid(row));
        let known = NullBuffer::from_iter(known);
        let (fields, arrays, _) =
            record(vec![("min", min), ("max", max), ("null_count", nulls), ("nan_count", nans)])?.into_parts();
        let of: ArrayRef = Arc::new(StructArray::try_new_with_length(fields, arrays, Some(known), groups.len())?);
        metrics.push((field.name.as_str(), of));
    }
    if metrics.is_empty() { Ok(None) } else { Ok(Some(Arc::new(record(metrics)?))) }
}
