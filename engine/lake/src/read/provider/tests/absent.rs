//! Columns and fields that a data file does not have: values of the partition, defaults, and the columns of a snapshot.

use arrow::array::{Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{Field, Fields};
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Literal, NestedField, PrimitiveType, Schema as IcebergSchema,
    Struct, StructType, Type,
};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};

use super::*;

/// A file of another writer with `id` alone, in a partition.
fn file_of(table: &Table, name: &str, region: Option<&str>, ids: &[i64]) -> crate::DataFile {
    let id = Field::new("id", DataType::Int64, true)
        .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), "1".to_owned())].into());
    let schema = Arc::new(Schema::new(vec![id]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(ids.to_vec()))]).unwrap();
    let location = format!("{}/data/{name}.parquet", table.metadata().location());
    let path = std::path::PathBuf::from(location.strip_prefix("file://").unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), schema, None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([region.map(Literal::string)]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(ids.len() as u64)
        .file_size_in_bytes(std::fs::metadata(&path).unwrap().len())
        .build()
        .unwrap()
}

#[tokio::test]
async fn columns_of_partitions_alone_have_the_partitions_value() {
    let fixture = Fixture::new().await;
    let columns = definition(&[("id", DataType::Int64), ("region", DataType::Utf8)]);
    let table = fixture.create(partitioned(columns, &[("region", Transform::Identity)])).await;
    let add = vec![
        file_of(&table, "a", Some("eu"), &[1, 2]),
        file_of(&table, "b", Some("us"), &[3]),
        file_of(&table, "c", None, &[4]),
    ];
    let change = Commit { commit_id: Uuid::new_v4(), operation: Operation::Append, add, ..Commit::default() };
    let table = table.lake().commit(&table, change, &|_| Rebase::Retry).await.unwrap();
    // And one that has the column, as all of ours.
    let ours = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![5])) as ArrayRef),
        ("region", Arc::new(StringArray::from(vec!["us"]))),
    ]);
    let table = append(&table, &[ours]).await;
    let log = ScanLog::default();
    for with_positions in [false, true] {
        let options = ScanOptions { with_positions, log: Some(Arc::clone(&log)), ..ScanOptions::default() };
        let all = ["1,eu", "2,eu", "3,us", "4,", "5,us"];
        let rows = context(&table, options).await;
        assert_eq!(lines(&rows, "SELECT id, region FROM t").await, all);
        assert_eq!(taken(&log), 4);
        assert_eq!(lines(&rows, "SELECT region FROM t WHERE region = 'us' AND id < 9").await, ["us", "us"]);
        assert_eq!(taken(&log), 2);
        assert_eq!(lines(&rows, "SELECT id FROM t WHERE region IS NULL").await, ["4"]);
        assert_eq!(taken(&log), 1);
        assert_eq!(lines(&rows, "SELECT count(region), min(region), max(region) FROM t").await, ["4,eu,us"]);
        assert_eq!(lines(&rows, "SELECT region, count(*) FROM t GROUP BY 1").await, [",1", "eu,2", "us,2"]);
        taken(&log);
    }
}

/// The table with fields that a newer writer gave defaults, none of them in a file.
fn with_defaults(table: &Table) -> Table {
    let metadata = table.metadata();
    let mut fields = Vec::new();
    let int = || Type::Primitive(PrimitiveType::Int);
    let given = |id, name, value| NestedField::optional(id, name, int()).with_initial_default(Literal::int(value));
    for field in metadata.current_schema().as_struct().fields() {
        let mut field = field.as_ref().clone();
        if let Type::Struct(of) = field.field_type.as_ref() {
            let more = [Arc::new(given(50, "y", 5)), Arc::new(NestedField::optional(51, "z", int()))];
            field.field_type =
                Box::new(Type::Struct(StructType::new(of.fields().iter().cloned().chain(more).collect())));
        }
        fields.push(Arc::new(field));
    }
    fields.push(Arc::new(given(60, "n", 7)));
    let schema = IcebergSchema::builder().with_fields(fields).build().unwrap();
    let builder = metadata.as_ref().clone().into_builder(Some(table.metadata_location().to_owned()));
    let built = builder.upgrade_format_version(iceberg::spec::FormatVersion::V3).unwrap();
    let built = built.add_current_schema(schema).unwrap().build().unwrap();
    let location = table.metadata_location().to_owned();
    Table::new(table.lake().clone(), table.name().clone(), Arc::new(built.metadata), location).unwrap()
}

#[tokio::test]
async fn defaults_fill_up_structs_that_are_there() {
    let fixture = Fixture::new().await;
    let inner: Fields = vec![Field::new("x", DataType::Int32, true)].into();
    let table = fixture.create(definition(&[("id", DataType::Int64), ("s", DataType::Struct(inner.clone()))])).await;
    let xs: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None]));
    let structs = StructArray::new(inner, vec![xs], Some(vec![true, true, false].into()));
    let rows = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef), ("s", Arc::new(structs))]);
    let table = with_defaults(&append(&table, &[rows]).await);
    for with_positions in [false, true] {
        let rows = context(&table, ScanOptions { with_positions, ..ScanOptions::default() }).await;
        let rows = async |sql: &str| lines(&rows, sql).await;
        assert_eq!(rows("SELECT id, s['x'], s['y'], s['z'], n FROM t").await, ["1,1,5,,7", "2,,5,,7", "3,,,,7"]);
        assert_eq!(rows("SELECT s FROM t").await, ["", "{x: , y: 5, z: }", "{x: 1, y: 5, z: }"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['y'] = 5").await, ["1", "2"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['y'] IS NULL AND n = 7").await, ["3"]);
        assert_eq!(rows("SELECT sum(s['y']), count(s['z']), max(n) FROM t").await, ["10,0,7"]);
    }
}

#[tokio::test]
async fn a_snapshot_has_the_columns_of_then() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64), ("old", DataType::Int64)])).await;
    let first = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("old", Arc::new(Int64Array::from(vec![10]))),
    ]);
    let table = append(&table, &[first]).await;
    let then = table.head().unwrap();
    let second = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
        ("new", Arc::new(StringArray::from(vec!["b"]))),
    ]);
    let now = evolve(&table, definition(&[("id", DataType::Int64), ("new", DataType::Utf8)]), &second).await;
    let past = now.as_of(then).unwrap();
    let options = ScanOptions { snapshot: Some(then), ..ScanOptions::default() };
    let rows = context(&past, options).await;
    assert_eq!(past.schema(), table.schema());
    assert_eq!(lines(&rows, "SELECT * FROM t WHERE old > 9").await, ["1,10"]);
    assert_eq!(lines(&rows, "SELECT min(old) FROM t").await, ["10"]);
    assert_eq!(now.as_of(now.head().unwrap()).unwrap().schema(), now.schema());
    assert_eq!(now.as_of(7).unwrap_err().code(), "L0116");
}
