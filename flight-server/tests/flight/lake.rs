//! Over real tables: pinned snapshots, time travel, keys, tables that change or go while a statement is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow_flight::FlightInfo;
use arrow_flight::sql::{CommandGetPrimaryKeys, CommandGetTables};
use ingot_lake::{Commit, Lake, LakeConfig, NewTable, Rebase, S3Config, Table, Writer};
use ingot_model::{Column, Definition, TableName};
use ingot_query::{Session, SessionLimits};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Sql, fetch, message, rows, start, text};

pub(crate) async fn lake() -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let config = LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", folder.path().display()),
        s3: S3Config::default(),
    };
    (folder, Lake::open(config).await.unwrap())
}

pub(crate) fn session(lake: &Lake) -> Session {
    let limits = SessionLimits { memory_bytes_max: 128 << 20, parallelism: Some(2), ..SessionLimits::default() };
    Session::new(lake.clone(), Vec::new(), "ingot", &limits).unwrap()
}

pub(crate) async fn create(lake: &Lake, name: &str) -> Table {
    let column =
        |name: &str, data_type: DataType| Column { name: name.into(), data_type, nullable: true, comment: None };
    let properties = BTreeMap::from([
        ("ingot.primary-key".to_owned(), r#"["id","kind"]"#.to_owned()),
        ("comment".to_owned(), "things".to_owned()),
    ]);
    let definition = Definition {
        columns: vec![column("id", DataType::Int64), column("kind", DataType::Utf8)],
        properties,
        ..Definition::default()
    };
    lake.create_table(NewTable { name: TableName::new("gold", name), definition, first_summary: None }).await.unwrap()
}

pub(crate) async fn append(table: &Table, ids: std::ops::Range<i64>) -> Table {
    let kinds: Vec<String> = ids.clone().map(|id| format!("k{}", id % 3)).collect();
    let columns = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef, true),
        ("kind", Arc::new(StringArray::from(kinds)) as ArrayRef, true),
    ];
    let mut writer = Writer::new(table, None).unwrap();
    writer.write(&RecordBatch::try_from_iter_with_nullable(columns).unwrap()).await.unwrap();
    let add = writer.close().await.unwrap();
    let change = Commit { commit_id: Uuid::new_v4(), add, ..Commit::default() };
    table.lake().commit(table, change, &|_: &Table| Rebase::Retry).await.unwrap()
}

async fn number(sql: &mut Sql, query: &str) -> i64 {
    let info = sql.execute(query.to_owned(), None).await.unwrap();
    value(&fetch(sql, info).await)
}

fn value(batches: &[RecordBatch]) -> i64 {
    let batch = batches.iter().find(|b| b.num_rows() > 0).unwrap();
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

const COUNT: &str = "SELECT count(*) AS n FROM gold.things";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_reads_the_snapshots_it_was_planned_against() {
    let (_folder, lake) = lake().await;
    let empty = create(&lake, "things").await;
    let server = start(session(&lake)).await;
    let mut sql = server.sql().await;
    assert_eq!(number(&mut sql, COUNT).await, 0);
    let before: FlightInfo = sql.execute(COUNT.into(), None).await.unwrap();
    let first = append(&empty, 0..10).await;

    // Planned when there was no snapshot at all: no rows, here and on another server.
    let other = start(session(&lake)).await;
    let mut elsewhere = other.sql().await;
    assert_eq!(value(&fetch(&mut elsewhere, before.clone()).await), 0);
    assert_eq!(value(&fetch(&mut sql, before).await), 0);

    let pinned = sql.execute(COUNT.into(), None).await.unwrap();
    let second = append(&first, 10..15).await;
    assert_eq!(value(&fetch(&mut elsewhere, pinned.clone()).await), 10);
    assert_eq!(value(&fetch(&mut sql, pinned).await), 10);
    assert_eq!(number(&mut sql, COUNT).await, 15);

    // Both versions in one statement.
    let (a, b) = (first.head().unwrap(), second.head().unwrap());
    let both = format!(
        "SELECT count(*) AS n FROM gold.things FOR VERSION AS OF {b} WHERE id NOT IN (SELECT id FROM gold.things FOR VERSION AS OF {a})"
    );
    assert_eq!(number(&mut sql, &both).await, 5);
    let as_of = format!("SELECT things.id FROM ingot.gold.things FOR VERSION AS OF {a} WHERE things.id > 7");
    let info = sql.execute(as_of, None).await.unwrap();
    assert_eq!(rows(&fetch(&mut sql, info).await), 2);
    assert_eq!(number(&mut sql, "SELECT count(*) AS n FROM gold.things FOR TIMESTAMP AS OF '2100-01-01'").await, 15);
    let (_, early) = message(
        sql.execute("SELECT * FROM gold.things FOR TIMESTAMP AS OF '1999-01-01 00:00:00'".into(), None)
            .await
            .unwrap_err(),
    );
    assert!(early.starts_with("Q0102") && early.contains("no snapshot as old"), "{early}");
    let (_, none) =
        message(sql.execute("SELECT * FROM gold.things FOR VERSION AS OF 1".into(), None).await.unwrap_err());
    assert!(none.contains(&a.to_string()), "{none}");

    // What changed: rows of every snapshot, of the difference of two, and of a table that is called by levels.
    let change = |sql: &str| format!("SELECT count(*) AS n FROM {sql}");
    assert_eq!(number(&mut sql, &change(&format!("changes('gold.things', {a}, {b})"))).await, 5);
    assert_eq!(
        number(&mut sql, &change(&format!("changes('gold.things', {b}, {a}) WHERE _change_type = 'delete'"))).await,
        5
    );
    assert_eq!(number(&mut sql, &change("changes('ingot.gold.things', NULL)")).await, 15);
    assert_eq!(number(&mut sql, &change(&format!("changes('gold.things', {b}, {b})"))).await, 0);
    let joined =
        format!("changes('\"gold\".things', {a}) c JOIN gold.things t ON t.id = c.id AND c._change_type = 'insert'");
    assert_eq!(number(&mut sql, &change(&joined)).await, 5);
    let each = format!("gold.\"things$changes\" WHERE _change_version_id = {a} AND _change_ordinal = 0 AND id < 10");
    assert_eq!(number(&mut sql, &change(&each)).await, 10);
    let entries = "SELECT sum(data_file['record_count']) AS n FROM gold.\"things$entries\" WHERE status < 2";
    assert_eq!(number(&mut sql, entries).await, 15);
    for (wrong, code, words) in [
        ("changes('gold.things')", "Q0101", "two snapshots"),
        ("changes('gold.things', 1 + 1)", "Q0101", "literals"),
        ("changes('gold.', NULL)", "Q0101", "not a table's name"),
        ("changes('gold.thing', NULL)", "Q0102", "did you mean gold.things"),
        ("changes('gold.things', 77)", "Q0102", "no snapshot 77"),
    ] {
        let (_, said) = message(sql.execute(change(wrong), None).await.unwrap_err());
        assert!(said.starts_with(code) && said.contains(words), "{wrong}: {said}");
    }

    // Recreated under its name: another table.
    let pinned = sql.execute(COUNT.into(), None).await.unwrap();
    lake.drop_table(second.name()).await.unwrap();
    create(&lake, "things").await;
    let refused = elsewhere.do_get(pinned.endpoint[0].ticket.clone().unwrap()).await.expect_err("refused");
    let (code, words) = message(refused);
    assert_eq!(code, tonic::Code::Aborted);
    assert!(words.starts_with("Q0113") && words.contains("recreated"), "{words}");
    other.end().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_show_keys_and_columns_of_stored_tables() {
    let (_folder, lake) = lake().await;
    let table = create(&lake, "things").await;
    append(&table, 0..3).await;
    let server = start(session(&lake)).await;
    let mut sql = server.sql().await;
    let keys = CommandGetPrimaryKeys { catalog: None, db_schema: Some("GOLD".into()), table: "THINGS".into() };
    let info = sql.get_primary_keys(keys).await.unwrap();
    let shown = text(&mut sql, info).await;
    assert!(
        shown.contains("| id          | things_pk | 1 ") && shown.contains("| kind        | things_pk | 2 "),
        "{shown}"
    );
    let query = CommandGetTables { catalog: Some("ingot".into()), include_schema: true, ..CommandGetTables::default() };
    let info = sql.get_tables(query).await.unwrap();
    assert_eq!(rows(&fetch(&mut sql, info).await), 1);
    for (query, wanted) in [
        ("SHOW TABLES", "things"),
        ("SHOW SCHEMAS", "gold"),
        ("DESCRIBE gold.things", "kind"),
        ("SELECT column_name FROM information_schema.columns WHERE table_name = 'things'", "kind"),
        ("EXPLAIN SELECT * FROM gold.things WHERE id = 1", "physical_plan"),
        ("SELECT kind, count(*) AS n FROM gold.things GROUP BY kind HAVING count(*) > 0 ORDER BY kind", "| k2   | 1 |"),
    ] {
        let info = sql.execute(query.into(), None).await.unwrap();
        let shown = text(&mut sql, info).await;
        assert!(shown.contains(wanted), "{query}\n{shown}");
    }
    let mut prepared = sql.prepare("SELECT kind FROM gold.things WHERE id = ?".into(), None).await.unwrap();
    prepared
        .set_parameters(
            RecordBatch::try_from_iter(vec![("p", Arc::new(Int64Array::from(vec![2])) as ArrayRef)]).unwrap(),
        )
        .unwrap();
    let info = prepared.execute().await.unwrap();
    assert!(text(&mut sql, info).await.contains("k2"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_commits_while_a_writer_works() {
    let (_folder, lake) = lake().await;
    let mut table = append(&create(&lake, "things").await, 0..100).await;
    let server = start(session(&lake)).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut sql = server.sql().await;
        readers.push(tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..15 {
                // The two sides of the join read one snapshot: equal counts, whole commits, never fewer than before.
                let query = "SELECT a.n, b.n AS m FROM (SELECT count(*) AS n FROM gold.things) a, (SELECT count(id) AS n FROM gold.things) b";
                let info = sql.execute(query.into(), None).await.unwrap();
                let batches = fetch(&mut sql, info).await;
                let n = value(&batches);
                assert_eq!(n, batches[0].column(1).as_primitive::<Int64Type>().value(0));
                assert_eq!(n % 100, 0);
                assert!(n >= last);
                last = n;
            }
        }));
    }
    for i in 1..6 {
        table = append(&table, i * 100..(i + 1) * 100).await;
    }
    for r in readers {
        tokio::time::timeout(Duration::from_secs(60), r).await.expect("readers end").unwrap();
    }
    server.end().await;
}
