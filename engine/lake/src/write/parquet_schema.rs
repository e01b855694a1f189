//! The Parquet schema of a data file.
//!
//! Invariants
//! * Every column, nested ones too, carries its Iceberg field id.
//! * UUID columns are annotated as such, which Arrow's own conversion leaves out.
//!
//! Not here: Arrow types (`schema`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use iceberg::spec::{NestedFieldRef, PrimitiveType, Type};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::LogicalType;
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType, TypePtr};

use crate::error::Result;

/// The Parquet schema of an Arrow schema with field ids, made of these Iceberg fields.
pub(crate) fn parquet_schema(arrow: &Schema, fields: &[NestedFieldRef]) -> Result<SchemaDescriptor> {
    let converted = ArrowSchemaConverter::new().convert(arrow)?;
    let mut uuids = HashSet::new();
    for field in fields {
        collect_uuids(field.id, &field.field_type, &mut uuids);
    }
    if uuids.is_empty() {
        return Ok(converted);
    }
    Ok(SchemaDescriptor::new(annotate(&converted.root_schema_ptr(), &uuids)?))
}

fn collect_uuids(id: i32, of: &Type, uuids: &mut HashSet<i32>) {
    match of {
        Type::Primitive(PrimitiveType::Uuid) => {
            uuids.insert(id);
        }
        Type::Primitive(_) => {}
        Type::Struct(of) => {
            of.fields().iter().for_each(|f| collect_uuids(f.id, &f.field_type, uuids));
        }
        Type::List(of) => {
            collect_uuids(of.element_field.id, &of.element_field.field_type, uuids);
        }
        Type::Map(of) => {
            for field in [&of.key_field, &of.value_field] {
                collect_uuids(field.id, &field.field_type, uuids);
            }
        }
    }
}

fn annotate(of: &TypePtr, uuids: &HashSet<i32>) -> Result<TypePtr> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if of.is_group() {
        let fields = of.get_fields().iter().map(|f| annotate(f, uuids)).collect::<Result<Vec<_>>>()?;
        let mut builder = ParquetType::group_type_builder(of.name())
            .with_fields(fields)
            .with_id(id)
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned());
        if info.has_repetition() {
            builder = builder.with_repetition(info.repetition());
        }
        return Ok(Arc::new(builder.build()?));
    }
    if id.is_none_or(|id| !uuids.contains(&id)) {
        return Ok(Arc::clone(of));
    }
    let uuid = ParquetType::primitive_type_builder(of.name(), of.get_physical_type())
        .with_repetition(info.repetition())
        .with_length(16)
        .with_id(id)
        .with_logical_type(Some(LogicalType::Uuid))
        .build()?;
    Ok(Arc::new(uuid))
}
