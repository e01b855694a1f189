//! Results as clients know them: no view types, no dictionaries, no engine metadata.
//!
//! Invariants
//! * Every batch has exactly the schema that was announced.
//! * A batch is passed on when it is made: nothing is collected.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// The type a client gets for a type of the engine.
fn client_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => client_type(values),
        DataType::RunEndEncoded(_, values) => client_type(values.data_type()),
        DataType::List(f) | DataType::ListView(f) => DataType::List(client_field(f)),
        DataType::LargeList(f) | DataType::LargeListView(f) => DataType::LargeList(client_field(f)),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(client_field(f), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(client_field).collect()),
        DataType::Map(f, sorted) => DataType::Map(client_field(f), *sorted),
        other => other.clone(),
    }
}

fn client_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), client_type(field.data_type()), field.is_nullable()))
}

/// The schema a client gets.
pub(crate) fn client_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(client_field).map(|field| match ingot_semantics::own_name(field.name()) {
        Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
        None => field,
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The stream in the announced schema.
pub(crate) fn client_stream(stream: SendableRecordBatchStream, schema: SchemaRef) -> SendableRecordBatchStream {
    let announced = Arc::clone(&schema);
    let batches = stream.map(move |item| item.and_then(|batch| to_schema(&batch, &announced)));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

fn to_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &strict)
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    // A query may have no columns and still have rows.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
