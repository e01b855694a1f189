//! Partition specs and sort orders, and the partition every row belongs to.
//!
//! Invariants
//! * A row's partition is that of its values after `transform`, NULL and NaN included.
//! * Values never reach a path: files are named by hash and uuid (`write`).
//!
//! Not here: computing partition values (`transform`), pruning by them (`prune`).

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::row::{Row, RowConverter, SortField};
use iceberg::spec::{
    NullOrder, PartitionSpecRef, PrimitiveType, Schema, SchemaRef, SortDirection, SortField as IcebergSortField,
    SortOrder, Struct, Transform as IcebergTransform, Type, UnboundPartitionSpec,
};
use ingot_model::{PartitionBy, SortBy, Transform};

use crate::error::{LakeError, Result};
use crate::table::transform::{literal, transformed};

/// Iceberg's own value for a transform.
fn iceberg_transform(transform: Transform) -> IcebergTransform {
    match transform {
        Transform::Identity => IcebergTransform::Identity,
        Transform::Year => IcebergTransform::Year,
        Transform::Month => IcebergTransform::Month,
        Transform::Day => IcebergTransform::Day,
        Transform::Hour => IcebergTransform::Hour,
        Transform::Bucket(n) => IcebergTransform::Bucket(n),
        Transform::Truncate(n) => IcebergTransform::Truncate(n),
    }
}

/// The partition spec of some clauses, its field names as Iceberg's other writers choose them.
///
/// # Errors
/// A column that does not exist, or one whose type the transform does not take.
pub(crate) fn partition_spec(schema: &Schema, partition: &[PartitionBy]) -> Result<UnboundPartitionSpec> {
    let mut names: HashMap<String, ()> = HashMap::new();
    let mut builder = UnboundPartitionSpec::builder();
    for clause in partition {
        let field = schema
            .as_struct()
            .field_by_name(&clause.column)
            .ok_or_else(|| LakeError::Definition(format!("partition column \"{}\" does not exist", clause.column)))?;
        let transform = iceberg_transform(clause.transform);
        if let Transform::Bucket(n) | Transform::Truncate(n) = clause.transform
            && (n == 0 || i32::try_from(n).is_err())
        {
            return Err(LakeError::Definition(format!(
                "partition column \"{}\": {transform} must be above zero and fit into 32 bits",
                clause.column
            )));
        }
        transform.result_type(&field.field_type).map_err(|_| {
            LakeError::Definition(format!(
                "partition column \"{}\" of type {} cannot be split by {transform}",
                clause.column, field.field_type
            ))
        })?;
        if matches!(transform.result_type(&field.field_type)?, Type::Primitive(PrimitiveType::Uuid)) {
            // Core's manifest writer has no Avro form for such a partition value.
            return Err(LakeError::Unsupported(format!(
                "a partition for every value of the UUID column \"{}\"; bucket it",
                clause.column
            )));
        }
        let suffix = match clause.transform {
            Transform::Identity => "",
            Transform::Year => "_year",
            Transform::Month => "_month",
            Transform::Day => "_day",
            Transform::Hour => "_hour",
            Transform::Bucket(_) => "_bucket",
            Transform::Truncate(_) => "_trunc",
        };
        let mut name = format!("{}{suffix}", clause.column);
        let is_identity = clause.transform == Transform::Identity;
        while names.contains_key(&name) || !is_identity && schema.as_struct().field_by_name(&name).is_some() {
            name.push_str("_part");
        }
        names.insert(name.clone(), ());
        builder = builder.add_partition_field(field.id, name, transform)?;
    }
    Ok(builder.build())
}

/// The sort order of some clauses.
///
/// # Errors
/// A column that does not exist or has no order.
pub(crate) fn sort_order(schema: &Schema, sort: &[SortBy]) -> Result<SortOrder> {
    if sort.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let mut builder = SortOrder::builder();
    // Zero is the unsorted order's id; the metadata gives the real one.
    builder.with_order_id(1);
    for clause in sort {
        let field = schema
            .as_struct()
            .field_by_name(&clause.column)
            .ok_or_else(|| LakeError::Definition(format!("sort column \"{}\" does not exist", clause.column)))?;
        if !matches!(field.field_type.as_ref(), Type::Primitive(_)) {
            return Err(LakeError::Definition(format!(
                "sort column \"{}\" has no order: its type is {}",
                clause.column, field.field_type
            )));
        }
        builder.with_sort_field(IcebergSortField {
            source_id: field.id,
            transform: IcebergTransform::Identity,
            direction: if clause.descending { SortDirection::Descending } else { SortDirection::Ascending },
            null_order: if clause.nulls_first { NullOrder::First } else { NullOrder::Last },
        });
    }
    Ok(builder.build(schema)?)
}

/// Tells rows of one spec apart.
#[derive(Debug)]
pub(crate) struct PartitionSplitter {
    fields: Vec<SplitField>,
}

#[derive(Debug)]
struct SplitField {
    /// Where the source column stands among the public columns.
    column: usize,
    name: String,
    transform: IcebergTransform,
    result: PrimitiveType,
}

impl PartitionSplitter {
    /// A splitter for batches whose first columns are those of `schema`, in its order.
    pub(crate) fn try_new(schema: &SchemaRef, spec: &PartitionSpecRef) -> Result<Self> {
        let fields = spec
            .fields()
            .iter()
            .map(|field| {
                let column = schema.as_struct().fields().iter().position(|f| f.id == field.source_id);
                let column = column.ok_or_else(|| {
                    LakeError::Unsupported(format!(
                        "partition field \"{}\" over a column that is nested or gone",
                        field.name
                    ))
                })?;
                let source = &schema.as_struct().fields()[column];
                let Type::Primitive(result) = field.transform.result_type(&source.field_type)? else {
                    return Err(LakeError::Unsupported(format!("partition field \"{}\" of a nested type", field.name)));
                };
                Ok(SplitField { column, name: source.name.clone(), transform: field.transform, result })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(PartitionSplitter { fields })
    }

    /// Whether there is more than one partition.
    pub(crate) fn is_split(&self) -> bool {
        !self.fields.is_empty()
    }

    /// The rows of a batch by partition, in the order in which partitions first occur.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<(Struct, RecordBatch)>> {
        if self.fields.is_empty() {
            return Ok(vec![(Struct::empty(), batch.clone())]);
        }
        let mut keys = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            keys.push(transformed(&field.name, &field.transform, batch.column(field.column))?);
        }
        let groups = group(&keys)?;
        let mut parts = Vec::with_capacity(groups.len());
        for rows in groups {
            let Some(first) = rows.first().copied() else { continue };
            let key = self.fields.iter().zip(&keys).map(|(field, key)| literal(key, first as usize, &field.result));
            let key = Struct::from_iter(key.collect::<Result<Vec<_>>>()?);
            let part = if rows.len() == batch.num_rows() {
                batch.clone()
            } else {
                take_record_batch(batch, &UInt64Array::from(rows))?
            };
            parts.push((key, part));
        }
        Ok(parts)
    }
}

/// The rows that agree in all keys, in the order in which they first occur.
fn group(keys: &[ArrayRef]) -> Result<Vec<Vec<u64>>> {
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(keys)?;
    let mut places: HashMap<Row<'_>, usize> = HashMap::new();
    let mut groups: Vec<Vec<u64>> = Vec::new();
    // Events come in the order of time: the next row is mostly of the same partition.
    let mut last: Option<(Row<'_>, usize)> = None;
    for (at, row) in rows.iter().enumerate() {
        let place = match last {
            Some((same, place)) if same == row => place,
            _ => *places.entry(row).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            }),
        };
        last = Some((row, place));
        groups[place].push(at as u64);
    }
    Ok(groups)
}
