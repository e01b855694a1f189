//! Columns that a definition leaves out of a table that keeps its rows.

use arrow::array::{Int32Array, RecordBatch};
use datafusion::prelude::SessionContext;

use super::began::{BOTH, all_but_head_expired, foreign};
use super::*;
use crate::{LakeTableProvider, ScanOptions};
use ingot_model::property as names;

fn wide() -> Definition {
    let mut definition = plain();
    definition.columns.push(Column { nullable: false, ..column("qty", DataType::Int32) });
    definition
}

fn wide_rows(ids: &[i64]) -> RecordBatch {
    let plain = rows(ids);
    let quantities: Vec<i32> = ids.iter().map(|id| i32::try_from(*id * 10).unwrap()).collect();
    batch(vec![
        ("id", Arc::clone(plain.column(0))),
        ("name", Arc::clone(plain.column(1))),
        ("qty", Arc::new(Int32Array::from(quantities))),
    ])
}

async fn redefined(table: &Table, definition: Definition) -> Table {
    let change = Commit { definition: Some(definition), ..appending(Vec::new()) };
    table.lake().commit(table, change, &retry).await.unwrap()
}

async fn added(table: &Table, rows: &RecordBatch) -> Table {
    table.lake().commit(table, appending(write(table, rows).await), &retry).await.unwrap()
}

/// All rows as text, as a client or as a model sees them.
async fn shown(table: &Table, defined: bool) -> String {
    let ctx = SessionContext::new();
    table.lake().register(&ctx.runtime_env());
    let provider = LakeTableProvider::try_new(table, ScanOptions { defined, ..ScanOptions::default() }).await.unwrap();
    let rows = ctx.read_table(Arc::new(provider)).unwrap();
    let rows = rows.sort_by(vec![datafusion::logical_expr::ident("id")]).unwrap().collect().await.unwrap();
    let mut out = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new().with_null("-".into()).build(&mut out);
    rows.iter().for_each(|batch| writer.write(batch).unwrap());
    drop(writer);
    String::from_utf8(out).unwrap()
}

fn required(table: &Table, name: &str) -> bool {
    table.metadata().current_schema().as_struct().field_by_name(name).unwrap().required
}

#[tokio::test]
async fn it_stays_with_its_values_until_it_is_pruned() {
    let (folder, lake) = lake().await;
    let table = added(&create(&lake, "t", wide()).await, &wide_rows(&[1, 2])).await;
    assert!(required(&table, "qty"));
    assert_eq!(table.left_out_by(&plain()).unwrap(), ["qty"]);
    assert!(table.left_out().is_empty() && table.layout_differs(&plain()).unwrap());
    let table = redefined(&table, plain()).await;
    assert_eq!(table.left_out(), ["qty"]);
    assert!(!required(&table, "qty"));
    assert!(!table.layout_differs(&plain()).unwrap());
    assert_eq!(table.defined_schema().fields().len(), 2);
    // New rows do not have it, and no file of them.
    let table = added(&table, &rows(&[3])).await;
    assert_eq!(shown(&table, false).await, "id,name,qty\n1,n1,10\n2,n2,20\n3,n3,-\n");
    assert_eq!(shown(&table, true).await, "id,name\n1,n1\n2,n2\n3,n3\n");
    // Another one goes, the first stays.
    let only = Definition { columns: vec![column("id", DataType::Int64)], ..Definition::default() };
    let table = redefined(&table, only.clone()).await;
    assert_eq!(table.left_out(), ["name", "qty"]);
    let table = open(&folder).await.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(table.left_out(), ["name", "qty"]);
    let table = added(&table, &batch(vec![("id", Arc::new(Int64Array::from(vec![4])) as ArrayRef)])).await;
    assert_eq!(shown(&table, false).await, "id,name,qty\n1,n1,10\n2,n2,20\n3,n3,-\n4,-,-\n");
    // It returns with a type that its values fit, and has them.
    let mut back = only.clone();
    back.columns.push(column("qty", DataType::Int64));
    assert_eq!(table.redefined_by(&back).unwrap(), None);
    let back = redefined(&table, back).await;
    assert_eq!(back.left_out(), ["name"]);
    assert_eq!(shown(&back, true).await, "id,qty\n1,10\n2,20\n3,-\n4,-\n");
    // A type that they do not fit is known before.
    let mut other = only.clone();
    other.columns.push(column("name", DataType::Int64));
    assert_eq!(back.redefined_by(&other).unwrap().as_deref(), Some("name"));
    // Pruned, it is gone for good.
    let change = Commit { prune: vec!["name".into()], ..appending(Vec::new()) };
    let pruned = lake.commit(&back, change, &retry).await.unwrap();
    assert!(pruned.left_out().is_empty());
    assert!(!pruned.properties().contains_key(names::LEFT_OUT_COLUMNS));
    assert_eq!(shown(&pruned, false).await, "id,qty\n1,10\n2,20\n3,-\n4,-\n");
    let mut again = only;
    again.columns.push(column("qty", DataType::Int64));
    again.columns.push(column("name", DataType::Utf8));
    let again = redefined(&pruned, again).await;
    assert_eq!(shown(&again, true).await, "id,qty,name\n1,10,-\n2,20,-\n3,-,-\n4,-,-\n");
}

#[tokio::test]
async fn only_left_out_columns_are_pruned_and_none_that_partitions_files() {
    let (_folder, lake) = lake().await;
    let by_qty = Definition {
        partition: vec![ingot_model::PartitionBy { column: "qty".into(), transform: ingot_model::Transform::Identity }],
        ..wide()
    };
    let table = added(&create(&lake, "t", by_qty).await, &wide_rows(&[1])).await;
    let change = Commit { prune: vec!["name".into()], ..appending(Vec::new()) };
    let refused = lake.commit(&table, change, &retry).await.unwrap_err().to_string();
    assert!(refused.contains("\"name\" is not left out"), "{refused}");
    let table = added(&redefined(&table, plain()).await, &rows(&[2])).await;
    assert_eq!(table.left_out(), ["qty"]);
    assert_eq!(table.partitioned_by("qty").as_deref(), Some("qty"));
    assert_eq!(shown(&table, false).await, "id,name,qty\n1,n1,10\n2,n2,-\n");
    let change = Commit { prune: vec!["qty".into()], ..appending(Vec::new()) };
    let refused = lake.commit(&table, change, &retry).await.unwrap_err().to_string();
    assert!(refused.contains("partitioned by \"qty\""), "{refused}");
}

#[tokio::test]
async fn a_table_whose_rows_are_replaced_keeps_none() {
    let (_folder, lake) = lake().await;
    let table = added(&create(&lake, "t", wide()).await, &wide_rows(&[1])).await;
    let table = redefined(&table, plain()).await;
    let change = Commit { remove_all: true, definition: Some(plain()), ..Commit::default() };
    let table = overwrite(&table, change).await.unwrap();
    assert!(table.left_out().is_empty());
    assert_eq!(table.schema().fields().len(), 2);
    assert!(!table.layout_differs(&plain()).unwrap());
}

/// What others add to the columns is not ours to keep; what they drop is gone.
#[tokio::test]
async fn columns_of_others_are_not_left_out() {
    let (_folder, lake) = lake().await;
    let table = redefined(&added(&create(&lake, "t", wide()).await, &wide_rows(&[1])).await, plain()).await;
    let mut json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    let id = table.metadata().current_schema_id();
    let schemas = json["schemas"].as_array_mut().unwrap();
    let mut schema = schemas.iter().find(|s| s["schema-id"] == id).unwrap().clone();
    schema["schema-id"] = 7.into();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|f| f["name"] != "qty");
    fields.push(serde_json::json!({"id": 9, "name": "noted", "required": false, "type": "string"}));
    schemas.push(schema);
    json["current-schema-id"] = 7.into();
    json["last-column-id"] = 9.into();
    let location = format!("{}/metadata/09999-{}.metadata.json", table.metadata().location(), Uuid::new_v4());
    lake.0.store.write(&location, serde_json::to_vec(&json).unwrap().into()).await.unwrap();
    lake.rows().swap(table.name(), table.metadata_location(), &location).await.unwrap();
    let foreign = lake.load_table(table.name()).await.unwrap().unwrap();
    assert_eq!(foreign.left_out(), Vec::<String>::new());
    assert_eq!(foreign.left_out_by(&plain()).unwrap(), Vec::<String>::new());
    let back = redefined(&foreign, plain()).await;
    assert_eq!(shown(&back, false).await, "id,name\n1,n1\n");
}

/// Another engine's expiry leaves no snapshot of ours to say which columns were ours: none is dropped.
#[tokio::test]
async fn values_outlive_the_snapshots_that_brought_them() {
    let (_folder, lake) = lake().await;
    for (number, expiry) in BOTH.into_iter().enumerate() {
        for out_before in [false, true] {
            let name = format!("t{number}{out_before}");
            let mut table = added(&create(&lake, &name, wide()).await, &wide_rows(&[1, 2])).await;
            if out_before {
                table = redefined(&table, plain()).await;
            }
            let change = appending(write(&table, &if out_before { rows(&[3]) } else { wide_rows(&[3]) }).await);
            let table = all_but_head_expired(&foreign(&table, change).await, expiry).await;
            assert_eq!(table.left_out_by(&plain()).unwrap(), ["qty"]);
            let table = redefined(&table, plain()).await;
            assert_eq!(table.left_out(), ["qty"]);
            // And with a snapshot of ours again.
            let table = redefined(&added(&table, &rows(&[4])).await, plain()).await;
            let mut back = wide();
            back.columns[2].nullable = true;
            let table = redefined(&table, back).await;
            let third = if out_before { "-" } else { "30" };
            assert_eq!(shown(&table, true).await, format!("id,name,qty\n1,n1,10\n2,n2,20\n3,n3,{third}\n4,n4,-\n"));
        }
    }
}
