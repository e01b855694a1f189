//! Nothing is lost: by expiry, by a column that an SQL file leaves out, by what a snapshot records and nobody can read.

use ingot_lake::{Commit, Rebase, Table, Writer};
use ingot_model::{Definition, Operation};
use ingot_pipeline::engine::Engine;
use ingot_pipeline::plan::{Action, Plan};
use ingot_pipeline::verify::Verdict;
use ingot_query::Caller;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::world::{World, action, all_equal, name, number, once, query};

const SOURCE: &str = "CREATE SOURCE events (id VARCHAR, type VARCHAR, battery DOUBLE, ts TIMESTAMPTZ)\n\
     INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset\n\
     WITH ('connector' = 'kafka', 'topic' = 'vehicles-events') FORMAT PLAIN ENCODE JSON;\n";

/// A project of one streaming table, with a view over all its columns.
fn small(world: &World, select: &str) {
    for layer in ["bronze", "silver", "gold"] {
        std::fs::remove_dir_all(world.sql(layer)).unwrap();
        std::fs::create_dir(world.sql(layer)).unwrap();
    }
    stream(world, select);
    let view = "CREATE MATERIALIZED VIEW silver.t AS SELECT * FROM bronze.t;\n";
    std::fs::write(world.sql("silver/t.sql"), view).unwrap();
}

fn stream(world: &World, select: &str) {
    let table = format!(
        "{SOURCE}CREATE STREAMING TABLE bronze.t ON DECODE ERROR INTO bronze.t_errors AS SELECT {select} FROM STREAM events;\n"
    );
    std::fs::write(world.sql("bronze/t.sql"), table).unwrap();
}

async fn table(engine: &Engine, table: &str) -> Table {
    engine.lake().load_table(&name(table)).await.unwrap().unwrap()
}

/// Other metadata in place of a table's own, as another engine would leave it. Seen by the next engine.
async fn edited(engine: &Engine, of: &str, edit: impl FnOnce(&mut Value)) {
    let path = table(engine, of).await.metadata_location().strip_prefix("file://").unwrap().to_owned();
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    std::fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
}

/// As PyIceberg's expire_snapshots leaves a table of which only the head is kept.
fn all_but_head_expired(json: &mut Value) {
    let head = json["current-snapshot-id"].clone();
    for list in ["snapshots", "snapshot-log"] {
        json[list].as_array_mut().unwrap().retain(|s| s["snapshot-id"] == head);
    }
    json["snapshots"][0].as_object_mut().unwrap().remove("parent-snapshot-id");
}

fn notes<'a>(plan: &'a Plan, table: &str) -> &'a [String] {
    &plan.steps.iter().find(|s| s.table == name(table)).unwrap().notes
}

async fn equal(engine: &Engine, table: &str) {
    let verified = engine.verify(&name(table)).await.unwrap();
    assert!(matches!(verified.verdict, Verdict::Equal { .. }), "{table}: {:?}", verified.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_by_another_engine_loses_no_beginning() {
    let mut world = World::new();
    for _ in 0..3 {
        world.produce(400);
        once(&world.engine().await).await;
    }
    let engine = world.engine().await;
    let count = "SELECT count(*) AS n FROM bronze.vehicle_events";
    let before = number(&engine, count).await;
    for side in ["bronze.vehicle_events", "bronze.vehicle_events_errors"] {
        edited(&engine, side, all_but_head_expired).await;
    }
    let engine = world.engine().await;
    assert_eq!(table(&engine, "bronze.vehicle_events").await.history().len(), 1);
    equal(&engine, "bronze.vehicle_events").await;
    equal(&engine, "bronze.vehicle_events_errors").await;
    // Every row is read again, none twice.
    let stop = CancellationToken::new();
    let report = engine.refresh(&name("bronze.vehicle_events"), true, false, &stop).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    assert_eq!(number(&engine, count).await, before);
    once(&engine).await;
    all_equal(&engine).await;
    // And on, with the next messages.
    world.produce(400);
    let engine = world.engine().await;
    once(&engine).await;
    equal(&engine, "bronze.vehicle_events").await;
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_out_column_keeps_its_values_until_it_is_pruned() {
    let mut world = World::new();
    small(&world, "id, battery, _partition, _offset");
    world.produce(300);
    let engine = world.engine().await;
    once(&engine).await;
    let charges = "SELECT count(battery) AS n FROM bronze.t";
    let rows = "SELECT count(*) AS n FROM bronze.t";
    let (old, all) = (number(&engine, charges).await, number(&engine, rows).await);
    assert!(old > 0);

    stream(&world, "id, _partition, _offset");
    world.produce(200);
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(notes(&plan, "bronze.t")[0].contains("\"battery\""), "{plan}");
    assert!(plan.to_string().contains("note: column \"battery\" is not in its SELECT"), "{plan}");
    assert!(matches!(action(&plan, "silver.t"), Action::Rebuild { .. }), "{plan}");
    assert_eq!(number(&engine, charges).await, old);
    assert!(number(&engine, rows).await > all);
    // Not a column of models.
    let silver = table(&engine, "silver.t").await;
    assert!(silver.schema().field_with_name("battery").is_err());
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM silver.t").await, number(&engine, rows).await);
    all_equal(&engine).await;
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(!plan.has_work(), "{plan}");
    assert_eq!(notes(&plan, "bronze.t").len(), 1);
    let status = engine.status(&|n| *n == name("bronze.t")).await.unwrap();
    assert!(status[0].notes[0].contains("`ingot prune bronze.t`"), "{:?}", status[0].notes);
    // More rows, then it returns: its old values are there, the rows between have none.
    world.produce(200);
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;

    stream(&world, "id, CAST(battery AS VARCHAR) AS battery, _partition, _offset");
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let Action::Blocked { reason } = action(&plan, "bronze.t") else { panic!("{plan}") };
    assert_eq!(reason.code, "R0310");
    assert!(reason.text.contains("\"battery\"") && reason.text.contains("another name"), "{reason}");

    stream(&world, "id, battery, _partition, _offset");
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(notes(&plan, "bronze.t").is_empty(), "{plan}");
    assert_eq!(number(&engine, charges).await, old);
    assert_eq!(number(&engine, "SELECT count(battery) AS n FROM silver.t").await, old);
    world.produce(100);
    once(&engine).await;
    assert!(number(&engine, charges).await > old);
    all_equal(&engine).await;

    // Out again, and pruned.
    stream(&world, "id, _partition, _offset");
    let engine = world.engine().await;
    assert!(engine.prunable(&|_| true).await.unwrap().is_empty(), "no run has applied that edit");
    once(&engine).await;
    let prunable = engine.prunable(&|_| true).await.unwrap();
    assert_eq!(prunable.len(), 1);
    assert_eq!((prunable[0].column.as_str(), &prunable[0].kept), ("battery", &None));
    engine.prune(&name("bronze.t"), &["battery".into()]).await.unwrap();
    assert!(engine.session().unwrap().plan(&Caller::ANONYMOUS, charges, None).await.is_err());
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(notes(&plan, "bronze.t").is_empty(), "{plan}");
    assert!(matches!(action(&plan, "bronze.t"), Action::Nothing), "{plan}");
    world.produce(100);
    once(&engine).await;
    all_equal(&engine).await;
}

/// A column that comes again while its table is read from the start has values in every row.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_keeps_no_left_out_column() {
    let mut world = World::new();
    small(&world, "id, battery");
    world.produce(200);
    once(&world.engine().await).await;
    stream(&world, "id");
    let engine = world.engine().await;
    once(&engine).await;
    let report = engine.refresh(&name("bronze.t"), true, false, &CancellationToken::new()).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    assert_eq!(table(&engine, "bronze.t").await.left_out(), Vec::<String>::new());
    assert!(engine.session().unwrap().plan(&Caller::ANONYMOUS, "SELECT battery FROM bronze.t", None).await.is_err());
    equal(&engine, "bronze.t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_columns_may_have_any_name() {
    let mut world = World::new();
    small(&world, "id");
    let table = format!(
        "{SOURCE}CREATE STREAMING TABLE bronze.t PARTITIONED BY (\"my col\", days(\"ev-time\"), \"é\", \"日本語\", \"9x\")\n\
         ON DECODE ERROR INTO bronze.t_errors AS SELECT id, type AS \"my col\", ts AS \"ev-time\", type AS \"é\",\n\
         upper(type) AS \"日本語\", _partition AS \"9x\" FROM STREAM events;\n"
    );
    std::fs::write(world.sql("bronze/t.sql"), table).unwrap();
    let view =
        "CREATE MATERIALIZED VIEW silver.t PARTITIONED BY (\"my col\") AS SELECT id, \"my col\" FROM bronze.t;\n";
    std::fs::write(world.sql("silver/t.sql"), view).unwrap();
    for round in 1..4 {
        world.produce(100);
        let engine = world.engine().await;
        once(&engine).await;
        let n = number(&engine, "SELECT count(*) AS n FROM bronze.t").await;
        assert!(n > 90 * round, "{n}");
        equal(&engine, "bronze.t").await;
        all_equal(&engine).await;
    }
    let engine = world.engine().await;
    let cars = number(&engine, "SELECT count(*) AS n FROM bronze.t WHERE \"my col\" = 'car'").await;
    assert!(cars > 0);
    assert_eq!(cars, number(&engine, "SELECT count(*) AS n FROM bronze.t WHERE \"日本語\" = 'CAR'").await);
    assert_eq!(
        query(&engine, "SELECT id FROM bronze.t WHERE \"9x\" = 99").await.iter().map(|b| b.num_rows()).sum::<usize>(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_summary_records_and_nobody_can_read_is_one_tables_named_error() {
    let mut world = World::new();
    small(&world, "id, battery");
    let other = "CREATE MATERIALIZED VIEW gold.n AS SELECT count(*) AS n FROM bronze.t;\n";
    std::fs::write(world.sql("gold/n.sql"), other).unwrap();
    world.produce(100);
    let engine = world.engine().await;
    once(&engine).await;
    let head = table(&engine, "silver.t").await.head().unwrap();
    edited(&engine, "silver.t", |json| {
        let snapshots = json["snapshots"].as_array_mut().unwrap();
        let snapshot = snapshots.iter_mut().find(|s| s["snapshot-id"] == head).unwrap();
        snapshot["summary"]["ingot.sources"] = "[{}]".into();
        snapshot["summary"]["ingot.refresh.rows-in"] = "many".into();
    })
    .await;
    world.produce(100);
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let Action::Blocked { reason } = action(&plan, "silver.t") else { panic!("{plan}") };
    assert_eq!(reason.code, "L0134");
    let place = format!("snapshot {head}");
    assert!(["silver.t", &place, "ingot.sources"].iter().all(|part| reason.text.contains(part)), "{reason}");
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let failed: Vec<_> = report.steps.iter().filter(|s| s.error.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error.as_ref().unwrap().code, "L0134");
    equal(&engine, "gold.n").await;
    let error = engine.verify(&name("silver.t")).await.unwrap_err();
    assert_eq!(error.code(), "L0134", "{error}");
    let status = engine.status(&|n| *n == name("silver.t")).await.unwrap();
    assert!(status[0].notes.iter().any(|n| n.contains("ingot.refresh.rows-in")), "{:?}", status[0].notes);
    // The way out that the hint names.
    let report = engine.refresh(&name("silver.t"), true, false, &CancellationToken::new()).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    all_equal(&engine).await;
}

/// As Spark's rewrite_data_files leaves a table: the same rows in files that have its public columns alone.
async fn compacted(world: &World, table: &str) {
    let engine = world.engine().await;
    let before = engine.lake().load_table(&name(table)).await.unwrap().unwrap();
    let public = Definition { state_columns: vec![], ..engine.project().tables[&name(table)].definition.clone() };
    let mut writer = Writer::new(&before, Some(&public)).unwrap();
    for batch in query(&engine, &format!("SELECT * FROM {table}")).await {
        writer.write(&batch).await.unwrap();
    }
    let add = writer.close().await.unwrap();
    let change = Commit { operation: Operation::Replace, add, remove_all: true, ..Commit::default() };
    let retry = |_: &Table| Rebase::Retry;
    engine.lake().commit(&before, change, &retry).await.unwrap();
    edited(&engine, table, |json| {
        let head = json["current-snapshot-id"].clone();
        let snapshots = json["snapshots"].as_array_mut().unwrap();
        let summary =
            snapshots.iter_mut().find(|s| s["snapshot-id"] == head).unwrap()["summary"].as_object_mut().unwrap();
        summary.retain(|key, _| !key.contains("ingot") && key != "engine-name");
    })
    .await;
}

/// A compaction that lands between a merge's plan and the merge takes the hidden state away: the view is planned again.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_between_plan_and_merge_stops_no_view() {
    let mut world = World::new();
    world.produce(300);
    once(&world.engine().await).await;
    world.produce(300);
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    for view in ["silver.vehicle_events", "gold.stats"] {
        assert!(matches!(action(&plan, view), Action::Refresh { .. }), "{plan}");
        compacted(&world, view).await;
    }
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    for step in &report.steps {
        assert!(step.error.is_none(), "{}: {:?}", step.table, step.error);
    }
    all_equal(&engine).await;
    world.produce(300);
    let (plan, _) = once(&engine).await;
    assert!(matches!(action(&plan, "gold.stats"), Action::Refresh { .. }), "{plan}");
    all_equal(&engine).await;
}
