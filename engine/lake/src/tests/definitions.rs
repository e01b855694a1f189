//! Definitions: ids, hidden columns, changes.

use arrow::array::{FixedSizeBinaryArray, Float64Array, Int32Array};
use arrow::datatypes::{Field, Fields};
use iceberg::spec::Type;

use super::*;
use crate::table::definition::resolve_definition;
use crate::table::schema::{Ids, Role, to_arrow, to_iceberg};
use ingot_model::property as names;
use ingot_model::{PartitionBy, SortBy, Transform};

fn with_state() -> Definition {
    Definition {
        state_columns: vec![
            ("_ingot_key".into(), DataType::FixedSizeBinary(16)),
            ("_ingot_s0".into(), DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))),
        ],
        ..plain()
    }
}

fn field_ids(table: &Table) -> Vec<(String, i32)> {
    let fields = table.metadata().current_schema().as_struct().fields();
    fields.iter().map(|f| (f.name.clone(), f.id)).collect()
}

#[tokio::test]
async fn hidden_columns_have_ids_and_are_in_no_current_schema() {
    let (folder, lake) = lake().await;
    let table = create(&lake, "t", with_state()).await;
    assert_eq!(field_ids(&table), [("id".to_string(), 1), ("name".to_string(), 2)]);
    let state = table.state_columns();
    assert_eq!((state[0].name.as_str(), state[0].field_id), ("_ingot_key", 3));
    assert_eq!((state[1].name.as_str(), state[1].field_id), ("_ingot_s0", 4));
    assert_eq!(state[0].data_type, DataType::FixedSizeBinary(16));
    assert_eq!(state[0].field.field_type.to_string(), "fixed(16)");
    // The nested element has an id as well, and later columns get none of these.
    assert_eq!(table.metadata().last_column_id(), 5);
    let newest = table.metadata().schemas_iter().map(|s| s.schema_id()).max();
    assert_eq!(Some(table.metadata().current_schema_id()), newest);
    assert_eq!(table.schema().fields().len(), 2);
    assert_eq!(table.schema_with_state().fields().len(), 4);
    let loaded = open(&folder).await.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(loaded.state_columns(), state);
    // A batch with state and one without.
    let keys = FixedSizeBinaryArray::try_from_iter([[7u8; 16], [8u8; 16]].iter()).unwrap();
    let lists = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
    ]);
    let plain_rows = rows(&[1, 2]);
    let stated = batch(vec![
        ("_ingot_s0", Arc::new(lists) as ArrayRef),
        ("name", Arc::clone(plain_rows.column(1))),
        ("id", Arc::clone(plain_rows.column(0))),
        ("_ingot_key", Arc::new(keys)),
    ]);
    let mut files = write(&table, &stated).await;
    files.extend(write(&table, &rows(&[3])).await);
    let with = &files[0];
    assert_eq!(with.value_counts()[&3], 2);
    assert_eq!(with.null_value_counts()[&3], 0);
    assert_eq!(with.sort_order_id(), Some(0));
    for hidden in 3..=5 {
        assert!(!with.lower_bounds().contains_key(&hidden), "{hidden}");
        assert!(!with.upper_bounds().contains_key(&hidden), "{hidden}");
    }
    assert!(with.value_counts().contains_key(&5));
    assert!(!files[1].value_counts().contains_key(&3));
    let table = lake.commit(&table, appending(files), &retry).await.unwrap();
    assert_eq!(ids(&table).await, [1, 2, 3]);
    // Some rows with state, some without, cannot share a writer.
    let mut writer = Writer::new(&table, None).unwrap();
    writer.write(&stated).await.unwrap();
    assert!(writer.write(&rows(&[4])).await.is_err());
}

#[tokio::test]
async fn a_public_column_may_be_named_like_a_hidden_one() {
    let (_folder, lake) = lake().await;
    let mut definition = with_state();
    definition.columns.push(column("_ingot_key", DataType::Utf8));
    let table = create(&lake, "t", definition.clone()).await;
    let state = &table.state_columns()[0];
    assert_eq!((state.name.as_str(), state.field_id), ("_ingot_key", 4));
    assert_eq!(field_ids(&table)[2], ("_ingot_key".to_string(), 3));
    definition.columns.push(column("more", DataType::Int32));
    let resolved = resolve_definition(&table, &definition).unwrap();
    assert_eq!(resolved.state[0].field_id, 4);
}

#[tokio::test]
async fn a_changed_definition_keeps_the_ids_of_what_stays() {
    let (_folder, lake) = lake().await;
    let mut before = with_state();
    before.columns.push(column("qty", DataType::Int32));
    before.columns.push(column("kind", DataType::Int32));
    let table = append_qty(&create(&lake, "t", before).await).await;
    assert_eq!(table.metadata().last_column_id(), 7);
    // name goes, qty is promoted, kind changes its type, extra comes, the state changes.
    let after = Definition {
        columns: vec![
            column("extra", DataType::Float64),
            column("id", DataType::Int64),
            column("qty", DataType::Int64),
            column("kind", DataType::Utf8),
        ],
        state_columns: vec![("_ingot_s0".into(), DataType::Binary)],
        partition: vec![PartitionBy { column: "id".into(), transform: Transform::Bucket(4) }],
        sort: vec![SortBy { column: "id".into(), descending: true, nulls_first: false }],
        properties: BTreeMap::from([("ingot.primary-key".to_owned(), "id".to_owned())]),
    };
    let resolved = resolve_definition(&table, &after).unwrap();
    let mut writer = Writer::new(&table, Some(&after)).unwrap();
    let key: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&b"k"[..]; 3]));
    let new_rows = batch(vec![
        ("extra", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![10, 11, 12]))),
        ("qty", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("kind", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ("_ingot_s0", key),
    ]);
    writer.write(&new_rows).await.unwrap();
    let change = Commit {
        add: writer.close().await.unwrap(),
        remove_all: true,
        definition: Some(after.clone()),
        ..Commit::default()
    };
    let table = overwrite(&table, change).await.unwrap();
    assert_eq!(
        field_ids(&table),
        [("extra", 8), ("id", 1), ("qty", 3), ("kind", 9)].map(|(n, id)| (n.to_string(), id))
    );
    assert_eq!(table.state_columns()[0].field_id, 10);
    assert_eq!(table.metadata().last_column_id(), 10);
    assert_eq!(table.metadata().current_schema(), resolved.schema());
    let newest = table.metadata().schemas_iter().map(|s| s.schema_id()).max();
    assert_eq!(Some(table.metadata().current_schema_id()), newest);
    assert_eq!(table.properties()["ingot.primary-key"], "id");
    let head = table.snapshot(table.head().unwrap()).unwrap();
    assert_eq!(head.schema_id, Some(table.metadata().current_schema_id()));
    assert_eq!(ids(&table).await, [10, 11, 12]);
    let entries = entries(&table).await;
    assert!(entries.iter().all(|e| e.data_file().sort_order_id() == Some(1)));
    assert!(entries.iter().all(|e| e.data_file().partition().fields().len() == 1));
    // The same definition again changes nothing but the snapshot.
    let again = Commit { definition: Some(after), ..Commit::default() };
    let same = overwrite(&table, again).await.unwrap();
    assert_eq!(same.metadata().current_schema_id(), table.metadata().current_schema_id());
    assert_eq!(same.metadata().last_column_id(), 10);
    assert_eq!(same.state_columns(), table.state_columns());
}

async fn append_qty(table: &Table) -> Table {
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a"]))),
        ("qty", Arc::new(Int32Array::from(vec![5]))),
        ("kind", Arc::new(Int32Array::from(vec![6]))),
    ]);
    let files = write(table, &rows).await;
    table.lake().commit(table, appending(files), &retry).await.unwrap()
}

#[tokio::test]
async fn new_state_alone_leaves_the_current_schema_the_newest() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let change = Commit { definition: Some(with_state()), remove_all: true, ..Commit::default() };
    let table = overwrite(&table, change).await.unwrap();
    assert_eq!(table.metadata().last_column_id(), 5);
    let newest = table.metadata().schemas_iter().map(|s| s.schema_id()).max();
    assert_eq!(Some(table.metadata().current_schema_id()), newest);
    assert_eq!(table.state_columns()[0].field_id, 3);
    // And away again.
    let change = Commit { definition: Some(plain()), remove_all: true, ..Commit::default() };
    let table = overwrite(&table, change).await.unwrap();
    assert!(table.state_columns().is_empty());
    assert!(!table.properties().contains_key(names::STATE_COLUMNS));
    assert_eq!(table.metadata().last_column_id(), 5);
}

#[tokio::test]
async fn a_definition_that_changed_stops_a_late_writer() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let late = write(&table, &rows(&[2])).await;
    let mut wider = plain();
    wider.columns.push(column("more", DataType::Int32));
    let change = Commit { definition: Some(wider), ..appending(Vec::new()) };
    let table_now = lake.commit(&table, change, &retry).await.unwrap();
    assert_eq!(ids(&table_now).await, [1]);
    let error = lake.commit(&table, appending(late), &retry).await.unwrap_err();
    let CommitError::Superseded { reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("defined anew"), "{reason}");
}

/// A version of a table with another current schema, as another writer leaves it: no snapshot.
async fn redefined_elsewhere(table: &Table, fields: serde_json::Value) -> Table {
    changed_elsewhere(table, |json| {
        let id = json["schemas"].as_array().unwrap().len();
        let schema = serde_json::json!({"type": "struct", "schema-id": id, "fields": fields});
        json["schemas"].as_array_mut().unwrap().push(schema);
        json["current-schema-id"] = id.into();
        json["last-column-id"] = 9.into();
    })
    .await
}

/// A version of a table with other metadata.
async fn changed_elsewhere(table: &Table, change: impl FnOnce(&mut serde_json::Value)) -> Table {
    let lake = table.lake();
    let mut json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    change(&mut json);
    let location = format!("{}/metadata/09999-{}.metadata.json", table.metadata().location(), Uuid::new_v4());
    lake.0.store.write(&location, serde_json::to_vec(&json).unwrap().into()).await.unwrap();
    lake.rows().swap(table.name(), table.metadata_location(), &location).await.unwrap();
    lake.load_table(table.name()).await.unwrap().unwrap()
}

/// What another writer adds goes, what it renames or drops comes back under its old id, with its values.
#[tokio::test]
async fn a_definition_is_put_back_with_its_values() {
    let field =
        |id: i32, name: &str, of: &str| serde_json::json!({"id": id, "name": name, "required": false, "type": of});
    let elsewhere = [
        ("added", serde_json::json!([field(9, "noted", "string"), field(1, "id", "long"), field(2, "name", "string")])),
        ("renamed", serde_json::json!([field(1, "id", "long"), field(2, "label", "string")])),
        ("dropped", serde_json::json!([field(1, "id", "long")])),
        ("replaced", serde_json::json!([field(1, "id", "long"), field(9, "name", "string")])),
        ("swapped", serde_json::json!([field(1, "name", "long"), field(2, "id", "string")])),
    ];
    for (what, fields) in elsewhere {
        let (_folder, lake) = lake().await;
        let table = append(&create(&lake, "t", plain()).await, &[1]).await;
        let by_us = |change: Commit| Commit {
            summary: summary(&[(names::ENGINE_NAME, names::ENGINE)]),
            definition: Some(plain()),
            ..change
        };
        let table = lake.commit(&table, by_us(appending(Vec::new())), &retry).await.unwrap();
        let before = field_ids(&table);
        let foreign = redefined_elsewhere(&table, fields).await;
        assert_ne!(field_ids(&foreign), before, "{what}");
        assert!(foreign.layout_differs(&plain()).unwrap(), "{what}");
        assert_eq!(foreign.redefined_by(&plain()).unwrap(), None, "{what}");
        let back = lake.commit(&foreign, by_us(appending(Vec::new())), &retry).await.unwrap();
        assert_eq!(field_ids(&back), before, "{what}");
        assert!(!back.layout_differs(&plain()).unwrap(), "{what}");
        assert_eq!(ids(&back).await, [1], "{what}");
    }
    // A type that became wider than the definition's cannot go back.
    let (_folder, lake) = lake().await;
    let narrow = Definition { columns: vec![column("id", DataType::Int32)], ..Definition::default() };
    let ours = Commit { summary: summary(&[(names::ENGINE_NAME, names::ENGINE)]), ..appending(Vec::new()) };
    let table = lake.commit(&create(&lake, "t", narrow.clone()).await, ours, &retry).await.unwrap();
    let foreign = redefined_elsewhere(&table, serde_json::json!([field(1, "id", "long")])).await;
    assert_eq!(foreign.redefined_by(&narrow).unwrap().as_deref(), Some("id"));
}

/// What a machine wrote whose clock was four days ahead is changed like anything else.
#[tokio::test]
async fn a_clock_that_was_ahead_stops_no_definition() {
    let (_folder, lake) = lake().await;
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    let then = table.metadata().last_updated_ms() + 4 * 86_400_000;
    let table = changed_elsewhere(&table, |json| {
        json["last-updated-ms"] = then.into();
        for of in ["snapshots", "snapshot-log"] {
            json[of].as_array_mut().unwrap().last_mut().unwrap()["timestamp-ms"] = then.into();
        }
    })
    .await;
    let mut wider = plain();
    wider.columns.push(column("more", DataType::Int32));
    assert!(table.layout_differs(&wider).unwrap());
    let files = write(&table, &rows(&[2])).await;
    let table = lake.commit(&table, appending(files), &retry).await.unwrap();
    let change = Commit { definition: Some(wider.clone()), ..appending(Vec::new()) };
    let table = lake.commit(&table, change, &retry).await.unwrap();
    assert!(!table.layout_differs(&wider).unwrap());
    assert_eq!((ids(&table).await, table.metadata().last_updated_ms()), (vec![1, 2], then + 2));
    assert_eq!(table.metadata().snapshots().len(), 3);
}

#[tokio::test]
async fn not_null_is_enforced_by_the_writer() {
    let (_folder, lake) = lake().await;
    let mut strict = plain();
    strict.columns[0].nullable = false;
    let table = create(&lake, "t", strict.clone()).await;
    assert!(!table.schema().field(0).is_nullable());
    let bad = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a", "b"]))),
    ]);
    let mut writer = Writer::new(&table, None).unwrap();
    let error = writer.write(&bad).await.unwrap_err();
    assert!(error.to_string().contains("\"id\""), "{error}");
    // A column that old rows lack: optional in Iceberg, still checked by a writer of the definition.
    let table = append(&table, &[1]).await;
    let mut wider = strict.clone();
    wider.columns.push(Column { nullable: false, ..column("more", DataType::Int32) });
    let change = Commit { definition: Some(wider.clone()), ..appending(Vec::new()) };
    let table = lake.commit(&table, change, &retry).await.unwrap();
    assert!(table.schema().field(2).is_nullable());
    let mut writer = Writer::new(&table, Some(&wider)).unwrap();
    let bad = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a"]))),
        ("more", Arc::new(Int32Array::from(vec![None::<i32>]))),
    ]);
    assert!(writer.write(&bad).await.is_err());
}

#[test]
fn types_come_back_as_they_went() {
    let list = |of| DataType::List(Arc::new(Field::new("element", of, true)));
    let types = [
        DataType::Boolean,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 10),
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        utc(),
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        list(DataType::Utf8),
        list(list(DataType::Int64)),
        DataType::Struct(Fields::from(vec![
            Field::new("x", DataType::Int32, true),
            Field::new("y", list(DataType::Float64), false),
        ])),
        DataType::Map(
            Arc::new(Field::new(
                "key_value",
                DataType::Struct(Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Int32, true),
                ])),
                false,
            )),
            false,
        ),
    ];
    for data_type in types {
        let mut ids = Ids::after(0);
        let stored = to_iceberg(&data_type, "c", Role::Public, &mut ids).unwrap();
        assert_eq!(to_arrow(&stored).unwrap(), data_type);
    }
    let mut ids = Ids::after(0);
    let odd = [DataType::Null, DataType::Duration(TimeUnit::Second), DataType::Decimal128(5, -2)];
    for data_type in odd {
        let error = to_iceberg(&data_type, "c", Role::Public, &mut ids).unwrap_err();
        assert!(error.to_string().contains("\"c\""), "{error}");
    }
    let fixed = to_iceberg(&DataType::FixedSizeBinary(16), "c", Role::State, &mut ids).unwrap();
    assert!(matches!(fixed, Type::Primitive(iceberg::spec::PrimitiveType::Fixed(16))));
}

#[tokio::test]
async fn bad_definitions_name_what_is_wrong() {
    let (_folder, lake) = lake().await;
    let part = |column: &str, transform| PartitionBy { column: column.into(), transform };
    let cases = [
        (Definition { columns: vec![], ..plain() }, "needs a column"),
        (Definition { columns: vec![plain().columns[0].clone(); 2], ..plain() }, "declared twice"),
        (Definition { partition: vec![part("none", Transform::Identity)], ..plain() }, "\"none\" does not exist"),
        (Definition { partition: vec![part("name", Transform::Day)], ..plain() }, "cannot be split by day"),
        (Definition { partition: vec![part("id", Transform::Bucket(0))], ..plain() }, "above zero"),
        (
            Definition {
                columns: vec![column("u", DataType::FixedSizeBinary(16))],
                partition: vec![part("u", Transform::Identity)],
                ..Definition::default()
            },
            "bucket it",
        ),
    ];
    for (definition, expected) in cases {
        let new = NewTable { name: TableName::new("bronze", "bad"), definition, first_summary: None };
        let error = lake.create_table(new).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let new = NewTable { name: TableName::new("bronze", "../bad"), definition: plain(), first_summary: None };
    assert!(lake.create_table(new).await.is_err());
    for text in ["plain", "a..c", ".a", "a.", ""] {
        assert!(text.parse::<TableName>().is_err(), "{text}");
    }
    assert_eq!("a.b".parse::<TableName>().unwrap().to_string(), "a.b");
}
