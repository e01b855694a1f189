//! Values that Arrow's writers cannot print, as text.
//!
//!   dates and timestamps beyond the years that chrono knows, UUIDs    in every text format, within lists and structs too
//!   lists, structs and maps                                           in CSV, which has none, and in the table
//!   NaN and infinities                                                in JSON, which has none: "NaN", "Infinity", "-Infinity"
//!
//! Not here: the writers (`sql`), the text of an instant (`ingot_semantics`).

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The batch with text in the place of what cannot be printed.
///
/// # Errors
/// A value that has no text: the message names the column and counts its rows.
pub fn printable(batch: &RecordBatch, nested_as_text: bool) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let mut shown = of_array(column)?;
        if nested_as_text && shown.data_type().is_nested() {
            shown = text(&shown, field.name())?;
        }
        fields.push(Field::new(field.name(), shown.data_type().clone(), true));
        columns.push(shown);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn of_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if let Some(text) = ingot_semantics::instants_as_text(array) {
        return Ok(text);
    }
    Ok(match array.data_type() {
        DataType::FixedSizeBinary(16) => {
            ingot_semantics::uuids_as_text(array).map_err(|e| ArrowError::ExternalError(e.into()))?
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let items = of_array(list.values())?;
            let field = Arc::new(field.as_ref().clone().with_data_type(items.data_type().clone()));
            Arc::new(ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let values = array.as_struct();
            let columns = values.columns().iter().map(of_array).collect::<Result<Vec<_>, _>>()?;
            let typed = |(f, c): (&Arc<Field>, &ArrayRef)| f.as_ref().clone().with_data_type(c.data_type().clone());
            let fields = fields.iter().zip(&columns).map(typed).collect();
            Arc::new(StructArray::try_new_with_length(fields, columns, values.nulls().cloned(), array.len())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = of_array(&entries)?.as_struct().clone();
            let field = Arc::new(field.as_ref().clone().with_data_type(entries.data_type().clone()));
            Arc::new(MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), *sorted)?)
        }
        _ => Arc::clone(array),
    })
}

fn text(array: &ArrayRef, name: &str) -> Result<ArrayRef, ArrowError> {
    // Without a word of its own, a list of one NULL looks like one without elements.
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let texts: Vec<Option<Result<String, ArrowError>>> =
        (0..array.len()).map(|row| array.is_valid(row).then(|| formatter.value(row).try_to_string())).collect();
    let failed = texts.iter().flatten().filter(|t| t.is_err()).count();
    if failed > 0 {
        return Err(ArrowError::CastError(format!(
            "column \"{name}\" has values without a text in {failed} of {} rows: CAST it to another type",
            array.len()
        )));
    }
    Ok(Arc::new(texts.into_iter().map(|t| t.and_then(Result::ok)).collect::<StringArray>()))
}

/// Names for the doubles that JSON has no number for, as Trino and Jackson write them: NULL is another value.
#[derive(Debug)]
pub struct NamedDoubles;

impl EncoderFactory for NamedDoubles {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);
        let values: Vec<f64> = match array.data_type() {
            DataType::Float64 => array.as_primitive::<Float64Type>().values().to_vec(),
            DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().map(|v| f64::from(*v)).collect(),
            _ => return Ok(None),
        };
        if values.iter().all(|value| value.is_finite()) {
            return Ok(None);
        }
        let finite = make_encoder(field, array, &PLAIN)?;
        Ok(Some(NullableEncoder::new(Box::new(NamedDouble { values, finite }), array.logical_nulls())))
    }
}

struct NamedDouble<'a> {
    values: Vec<f64>,
    finite: NullableEncoder<'a>,
}

impl Encoder for NamedDouble<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        match self.values.get(row) {
            Some(value) if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            Some(&f64::INFINITY) => out.extend_from_slice(b"\"Infinity\""),
            Some(&f64::NEG_INFINITY) => out.extend_from_slice(b"\"-Infinity\""),
            _ => self.finite.encode(row, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeBinaryArray, Float32Array, Float64Array, Int64Array, TimestampMicrosecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::util::pretty::pretty_format_batches;

    fn batch() -> RecordBatch {
        let micros = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MAX), None, Some(0)])) };
        let list = |values: ArrayRef| -> ArrayRef {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([1, 0, 2]), values, None))
        };
        let uuid = FixedSizeBinaryArray::try_from_iter([[0xA0u8; 16]; 3].iter()).unwrap();
        RecordBatch::try_from_iter([
            ("t", micros()),
            ("l", list(micros())),
            ("n", list(Arc::new(Int64Array::from(vec![1, 2, 3])))),
            ("u", Arc::new(uuid) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn every_format_prints_every_value() {
        let shown = printable(&batch(), true).unwrap();
        let mut csv = Vec::new();
        arrow::csv::Writer::new(&mut csv).write(&shown).unwrap();
        let uuid = "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0";
        let most = "+294247-01-10T04:00:54.775807";
        let wanted = format!(
            "t,l,n,u\n{most},[{most}],[1],{uuid}\n,[],[],{uuid}\n1970-01-01T00:00:00,\"[NULL, 1970-01-01T00:00:00]\",\"[2, 3]\",{uuid}\n"
        );
        assert_eq!(String::from_utf8(csv).unwrap(), wanted);
        let shown = printable(&batch(), false).unwrap();
        assert!(pretty_format_batches(std::slice::from_ref(&shown)).unwrap().to_string().contains(most));
        let mut json = arrow::json::ArrayWriter::new(Vec::new());
        json.write(&shown).unwrap();
        json.finish().unwrap();
        let json = String::from_utf8(json.into_inner()).unwrap();
        assert!(json.contains(&format!("\"t\":\"{most}\",\"l\":[\"{most}\"],\"n\":[1],\"u\":\"{uuid}\"")), "{json}");
    }

    #[test]
    fn doubles_that_are_no_numbers_have_names_in_json() {
        let doubles = vec![Some(f64::NAN), None, Some(f64::NEG_INFINITY), Some(-0.0), Some(1e300)];
        let field = Arc::new(Field::new_list_field(DataType::Float32, true));
        let items = Arc::new(Float32Array::from(vec![1.5, f32::INFINITY]));
        let lists = ListArray::new(field, OffsetBuffer::from_lengths([0, 0, 2, 0, 0]), items, None);
        let rows = RecordBatch::try_from_iter([
            ("d", Arc::new(Float64Array::from(doubles)) as ArrayRef),
            ("l", Arc::new(lists) as ArrayRef),
        ]);
        let mut json = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(NamedDoubles))
            .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
        json.write(&rows.unwrap()).unwrap();
        json.finish().unwrap();
        let wanted = [
            r#"{"d":"NaN","l":[]}"#,
            r#"{"d":null,"l":[]}"#,
            r#"{"d":"-Infinity","l":[1.5,"Infinity"]}"#,
            r#"{"d":-0.0,"l":[]}"#,
            r#"{"d":1.0e300,"l":[]}"#,
        ];
        assert_eq!(String::from_utf8(json.into_inner()).unwrap().lines().collect::<Vec<_>>(), wanted);
    }
}
