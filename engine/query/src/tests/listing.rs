//! What lists say of columns.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, new_empty_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{MemTable, TableProvider};
use futures::TryStreamExt;

use super::{ME, name};
use crate::{Session, SessionLimits};

/// The words are those that a file declares such columns with (docs/dialect.md).
#[tokio::test]
async fn types_are_called_as_in_files() {
    let item = |t: DataType| Arc::new(Field::new("element", t, true));
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let pair = vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)];
    let columns = [
        ("BIGINT", DataType::Int64),
        ("INT", DataType::Int32),
        ("DOUBLE", DataType::Float64),
        ("REAL", DataType::Float32),
        ("BOOLEAN", DataType::Boolean),
        ("STRING", DataType::Utf8),
        ("STRING", DataType::Utf8View),
        ("BINARY", DataType::Binary),
        ("UUID", DataType::FixedSizeBinary(16)),
        ("DECIMAL(10, 2)", DataType::Decimal128(10, 2)),
        ("DATE", DataType::Date32),
        ("TIME", DataType::Time64(TimeUnit::Microsecond)),
        ("TIMESTAMP", micros(None)),
        ("TIMESTAMPTZ", micros(Some("UTC"))),
        ("ARRAY<BIGINT>", DataType::List(item(DataType::Int64))),
        ("ARRAY<TIMESTAMPTZ>", DataType::List(item(micros(Some("UTC"))))),
        ("STRUCT<a INT, b STRING>", DataType::Struct(pair.into())),
    ];
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(i, (_, t))| Field::new(format!("c{i:02}"), t.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let empty = schema.fields().iter().map(|f| new_empty_array(f.data_type())).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), empty).unwrap();
    let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
    let s = Session::over([(name("silver.wide"), table)], vec![], "ingot", &SessionLimits::default()).unwrap();
    for (sql, numbered) in [
        ("SHOW COLUMNS FROM silver.wide", false),
        ("DESCRIBE silver.wide", false),
        ("SELECT column_name, data_type, ordinal_position AS n FROM information_schema.columns ORDER BY 1", true),
    ] {
        let planned = s.plan(ME, sql, None).await.unwrap();
        let rows: Vec<_> = s.execute(ME, &planned, None).await.unwrap().try_collect().await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        for (i, (word, t)) in columns.iter().enumerate() {
            let line = text.lines().find(|l| l.contains(&format!("c{i:02}"))).unwrap();
            assert!(line.contains(&format!("| {word} ")), "{sql}: {word} {t}\n{text}");
            assert!(!numbered || line.contains(&format!("| {} ", i + 1)), "{sql}\n{text}");
        }
    }
}
