//! Rows as bytes that compare as the rows do, bit by bit.
//!
//! Arrow's row format keeps -0.0 apart from 0.0 and NaNs of different bits apart. Maps have no row format: they are
//! compared as the lists of their entries, in the order in which these stand.
//!
//! Not here: how stored values are held (`hidden`), what equal means in SQL (`ingot_semantics`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{DeltaError, Result};

/// A converter for columns of these types, made `comparable`.
pub(crate) fn converter<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|t| SortField::new(comparable_type(t))).collect())?)
}

/// The type as which values are compared.
pub(crate) fn comparable_type(data_type: &DataType) -> DataType {
    let field = |f: &FieldRef| Arc::new(f.as_ref().clone().with_data_type(comparable_type(f.data_type())));
    match data_type {
        DataType::Map(entries, _) => DataType::List(field(entries)),
        DataType::List(f) => DataType::List(field(f)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// A column as it is compared: maps become lists of entries.
fn comparable(column: &ArrayRef) -> Result<ArrayRef> {
    let to = comparable_type(column.data_type());
    if *column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    let nulls = column.nulls().cloned();
    Ok(match (column.data_type(), to) {
        (DataType::Map(..), DataType::List(field)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            Arc::new(ListArray::try_new(field, map.offsets().clone(), comparable(&entries)?, nulls)?)
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = column.as_list::<i32>();
            Arc::new(ListArray::try_new(field, list.offsets().clone(), comparable(list.values())?, nulls)?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let columns = column.as_struct().columns().iter().map(comparable).collect::<Result<_>>()?;
            Arc::new(StructArray::try_new_with_length(fields, columns, nulls, column.len())?)
        }
        (other, _) => return Err(DeltaError::Layout(format!("{other} cannot be compared"))),
    })
}

/// Tells whether rows with this column can be compared bit by bit, maps as lists of their entries.
pub(crate) fn is_comparable(data_type: &DataType) -> bool {
    has_row_format(&comparable_type(data_type))
}

/// The byte rows of columns.
pub(crate) fn convert(converter: &RowConverter, columns: &[ArrayRef]) -> Result<Rows> {
    let columns = columns.iter().map(comparable).collect::<Result<Vec<_>>>()?;
    Ok(converter.convert_columns(&columns)?)
}

/// Tells whether the type has a row format of its own.
pub(crate) fn has_row_format(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The types of a schema's columns.
pub(crate) fn types(schema: &SchemaRef) -> Vec<DataType> {
    schema.fields().iter().map(|f| f.data_type().clone()).collect()
}

/// Checks that a batch has columns of these types; names are not looked at.
pub(crate) fn same_types(expected: &[DataType], batch: &RecordBatch) -> Result<()> {
    let found = types(&batch.schema());
    if found.len() != expected.len() || !found.iter().zip(expected).all(|(a, b)| a.equals_datatype(b)) {
        return Err(DeltaError::Layout(format!("expected {expected:?}, found {found:?}")));
    }
    Ok(())
}

/// The byte rows of a batch; a batch without columns has empty rows.
pub(crate) fn byte_rows(converter: &RowConverter, batch: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
    if batch.num_columns() == 0 {
        return Ok(vec![Box::default(); batch.num_rows()]);
    }
    let rows = convert(converter, batch.columns())?;
    Ok(rows.iter().map(|r| Box::from(r.data())).collect())
}

/// All batches as one, columns renamed to and cast towards `schema`.
pub(crate) fn gather(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let cast = batches.iter().map(|batch| {
        if batch.num_columns() != schema.fields().len() {
            return Err(DeltaError::Layout(format!(
                "{} columns instead of {}",
                batch.num_columns(),
                schema.fields().len()
            )));
        }
        let columns = batch.columns().iter().zip(schema.fields()).map(|(c, f)| {
            if c.data_type() == f.data_type() { Ok(Arc::clone(c)) } else { arrow::compute::cast(c, f.data_type()) }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_, _>>()?, &options)?)
    });
    let cast = cast.collect::<Result<Vec<_>>>()?;
    if schema.fields().is_empty() {
        let rows = cast.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(Arc::clone(schema), vec![], &options)?);
    }
    Ok(concat_batches(schema, &cast)?)
}
