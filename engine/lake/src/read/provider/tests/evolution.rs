//! Files older than the table's columns, and columns of other names.

use arrow::array::{Float32Array, Float64Array, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{Field, Fields};
use iceberg::spec::{NestedField, Schema as IcebergSchema, TableMetadata};

use super::*;

fn session(pushdown: bool) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().execution.parquet.pushdown_filters = pushdown;
    config
}

/// The table with its schema's fields changed, as another engine would have it.
fn with_fields(table: &Table, change: impl Fn(&NestedField) -> Option<NestedField>) -> Table {
    let metadata: &TableMetadata = table.metadata();
    let fields = metadata.current_schema().as_struct().fields();
    let fields: Vec<_> = fields.iter().filter_map(|f| change(f)).map(Arc::new).collect();
    let schema = IcebergSchema::builder().with_fields(fields).build().unwrap();
    let built = metadata
        .clone()
        .into_builder(Some(table.metadata_location().to_owned()))
        .add_current_schema(schema)
        .unwrap()
        .build()
        .unwrap();
    let location = table.metadata_location().to_owned();
    Table::new(table.lake().clone(), table.name().clone(), Arc::new(built.metadata), location).unwrap()
}

#[tokio::test]
async fn added_columns_are_null_in_old_files() {
    let fixture = Fixture::new().await;
    let old = definition(&[("id", DataType::Int64)]);
    let table = fixture.create(old).await;
    let first = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
    let table = append(&table, &[first]).await;
    let new = definition(&[("note", DataType::Utf8), ("id", DataType::Int64)]);
    let second = batch(vec![
        ("note", Arc::new(StringArray::from(vec![Some("x"), None])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![3, 4]))),
    ]);
    let table = evolve(&table, new, &second).await;
    for pushdown in [false, true] {
        let ours = configured(&table, ScanOptions::default(), session(pushdown)).await;
        let rows = async |filter: &str| lines(&ours, &format!("SELECT id, note FROM t WHERE {filter}")).await;
        assert_eq!(rows("true").await, ["1,", "2,", "3,x", "4,"]);
        assert_eq!(rows("note IS NULL").await, ["1,", "2,", "4,"]);
        assert_eq!(rows("note = 'x'").await, ["3,x"]);
        assert_eq!(rows("note <> 'x'").await, Vec::<String>::new());
        assert_eq!(rows("note = 'x' OR id = 2").await, ["2,", "3,x"]);
        assert_eq!(rows("coalesce(note, 'n') = 'n' AND id < 4").await, ["1,", "2,"]);
        assert_eq!(lines(&ours, "SELECT count(note) FROM t").await, ["1"]);
    }
    let with_positions = ScanOptions { with_positions: true, ..ScanOptions::default() };
    let ours = context(&table, with_positions).await;
    assert_eq!(lines(&ours, "SELECT id, note, _ingot_pos FROM t").await, ["1,,0", "2,,1", "3,x,0", "4,,1"]);
    assert_eq!(lines(&ours, "SELECT note FROM t WHERE id = 1").await, [""]);
}

#[tokio::test]
async fn promoted_columns_keep_their_values() {
    let fixture = Fixture::new().await;
    let old = definition(&[("i", DataType::Int32), ("f", DataType::Float32), ("d", DataType::Decimal128(5, 2))]);
    let table = fixture.create(old).await;
    let decimals = |v: Vec<i128>, p| {
        let of = arrow::array::Decimal128Array::from(v);
        Arc::new(of.with_precision_and_scale(p, 2).unwrap()) as ArrayRef
    };
    let first = batch(vec![
        ("i", Arc::new(Int32Array::from(vec![i32::MIN, 0, 7])) as ArrayRef),
        ("f", Arc::new(Float32Array::from(vec![0.5, f32::NAN, -2.0]))),
        ("d", decimals(vec![100, 200, 99_999], 5)),
    ]);
    let table = append(&table, &[first]).await;
    let new = definition(&[("i", DataType::Int64), ("f", DataType::Float64), ("d", DataType::Decimal128(20, 2))]);
    let second = batch(vec![
        ("i", Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef),
        ("f", Arc::new(Float64Array::from(vec![1e300]))),
        ("d", decimals(vec![1_000_000_000_000], 20)),
    ]);
    let table = evolve(&table, new, &second).await;
    for pushdown in [false, true] {
        let ours = configured(&table, ScanOptions::default(), session(pushdown)).await;
        for (filter, count) in [
            ("true", 4),
            ("i < 1", 2),
            ("i >= 0", 3),
            ("i = 7", 1),
            ("i > 3000000000", 1),
            ("i < -3000000000", 0),
            ("i IN (7, 9223372036854775807)", 2),
            ("f > 0.25", 3),
            ("f = 0.5", 1),
            ("f < 1e200", 2),
            ("f = 'NaN'::double", 1),
            ("d = 2.00", 1),
            ("d > 900", 2),
            ("d >= 10000000000", 1),
        ] {
            let sql = format!("SELECT i, f, d FROM t WHERE {filter}");
            assert_eq!(lines(&ours, &sql).await.len(), count, "{filter}, pushdown {pushdown}");
        }
        let extremes = "SELECT min(i), max(i), min(d), max(d) FROM t";
        let wanted = "-2147483648,9223372036854775807,1.00,10000000000.00";
        assert_eq!(lines(&ours, extremes).await, [wanted]);
    }
}

#[tokio::test]
async fn columns_are_found_by_id_whatever_their_names() {
    let fixture = Fixture::new().await;
    let columns = [("a", DataType::Int64), ("b", DataType::Int64), ("c", DataType::Binary)];
    let table = fixture.create(definition(&columns)).await;
    let rows = batch(vec![
        ("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("b", Arc::new(Int64Array::from(vec![10, 20]))),
        ("c", Arc::new(arrow::array::BinaryArray::from_vec(vec![b"\xff", b"\xfe"]))),
    ]);
    let table = append(&table, &[rows]).await;
    // a and b swap names; c, which holds no UTF-8, is now called s, and a new c is text.
    let swapped = with_fields(&table, |f| {
        let name = match f.name.as_str() {
            "a" => "b",
            "b" => "a",
            _ => "s",
        };
        Some(NestedField { name: name.to_owned(), ..f.clone() })
    });
    for pushdown in [false, true] {
        let ours = configured(&swapped, ScanOptions::default(), session(pushdown)).await;
        assert_eq!(lines(&ours, "SELECT a, b, s FROM t").await, ["10,1,ff", "20,2,fe"]);
        assert_eq!(lines(&ours, "SELECT b FROM t WHERE a = 20").await, ["2"]);
        assert_eq!(lines(&ours, "SELECT b FROM t WHERE a < 10").await, Vec::<String>::new());
        assert_eq!(lines(&ours, "SELECT max(a), min(b) FROM t").await, ["20,1"]);
    }
    // A column dropped and added again under its name is another column.
    let dropped = with_fields(&table, |f| (f.name != "c").then(|| f.clone()));
    let again = definition(&[("a", DataType::Int64), ("b", DataType::Int64), ("c", DataType::Utf8)]);
    let resolved = crate::table::definition::resolve_definition(&dropped, &again).unwrap();
    let again =
        Table::new(table.lake().clone(), table.name().clone(), resolved.metadata, table.metadata_location().to_owned())
            .unwrap();
    let ours = context(&again, ScanOptions::default()).await;
    assert_eq!(lines(&ours, "SELECT a, c FROM t").await, ["1,", "2,"]);
    assert_eq!(lines(&ours, "SELECT a FROM t WHERE c IS NULL").await, ["1", "2"]);
}

#[tokio::test]
async fn fields_of_structs_are_found_by_id() {
    let fixture = Fixture::new().await;
    let inner: Fields = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into();
    let columns = [("id", DataType::Int64), ("s", DataType::Struct(inner.clone()))];
    let table = fixture.create(definition(&columns)).await;
    let structs = StructArray::new(
        inner,
        vec![
            Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
            Arc::new(StringArray::from(vec!["p", "q", "r"])),
        ],
        None,
    );
    let rows = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef), ("s", Arc::new(structs))]);
    let table = append(&table, &[rows]).await;
    // x becomes a long named y, y becomes x, and z is new.
    let changed = with_fields(&table, |f| {
        let iceberg::spec::Type::Struct(of) = f.field_type.as_ref() else {
            return Some(f.clone());
        };
        let long = iceberg::spec::Type::Primitive(iceberg::spec::PrimitiveType::Long);
        let text = iceberg::spec::Type::Primitive(iceberg::spec::PrimitiveType::String);
        let fields = of.fields();
        let fields = vec![
            Arc::new(NestedField::optional(99, "z", text.clone())),
            Arc::new(NestedField::optional(fields[0].id, "y", long)),
            Arc::new(NestedField::optional(fields[1].id, "x", text)),
        ];
        let of = iceberg::spec::Type::Struct(iceberg::spec::StructType::new(fields));
        Some(NestedField { field_type: Box::new(of), ..f.clone() })
    });
    for pushdown in [false, true] {
        let ours = configured(&changed, ScanOptions::default(), session(pushdown)).await;
        let rows = async |sql: &str| lines(&ours, sql).await;
        let all = "SELECT id, s['x'], s['y'], s['z'] FROM t";
        assert_eq!(rows(all).await, ["1,p,1,", "2,q,,", "3,r,3,"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['y'] = 3").await, ["3"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['x'] = 'q'").await, ["2"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['z'] IS NULL AND id > 1").await, ["2", "3"]);
        assert_eq!(rows("SELECT id FROM t WHERE s['z'] = 'a'").await, Vec::<String>::new());
        assert_eq!(rows("SELECT s FROM t WHERE id = 1").await, ["{z: , y: 1, x: p}"]);
    }
}
