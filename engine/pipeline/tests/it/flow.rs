//! The whole path in one process: the embedded broker, the shipped project, a fresh warehouse, the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use ingot_model::TableName;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::plan::{Action, Incremental, Plan};
use ingot_pipeline::verify::Verdict;
use ingot_source::{Fleet, FleetConfig};
use tokio_util::sync::CancellationToken;

use crate::world::{World, action, all_equal, name, number, once, query};

/// Views and streaming tables read an error table as any other, from its first row on.
#[tokio::test(flavor = "multi_thread")]
async fn error_tables_are_read_by_tables() {
    let mut world = World::new();
    let errors = "bronze.vehicle_events_errors";
    for (file, table) in [
        (
            "gold/codes.sql",
            format!("MATERIALIZED VIEW gold.codes AS SELECT code, count(*) AS n FROM {errors} GROUP BY code"),
        ),
        (
            "silver/bad.sql",
            format!("MATERIALIZED VIEW silver.bad AS SELECT code, \"partition\", \"offset\" FROM {errors}"),
        ),
        ("bronze/bad.sql", format!("STREAMING TABLE bronze.bad AS SELECT code, \"offset\" FROM STREAM {errors}")),
        (
            "gold/beside.sql",
            format!(
                "MATERIALIZED VIEW gold.beside AS SELECT e.code, count(*) AS n FROM {errors} AS e \
                 JOIN bronze.vehicle_events AS v ON v._partition = e.\"partition\" AND v._offset = e.\"offset\" + 1 GROUP BY e.code"
            ),
        ),
    ] {
        world.write(file, &format!("CREATE {table};\n"));
    }
    for round in 0..3 {
        world.produce(3_000);
        let engine = world.engine().await;
        let (plan, _) = once(&engine).await;
        if round > 0 {
            assert!(
                matches!(action(&plan, "gold.codes"), Action::Refresh { how: Incremental::Aggregate, .. }),
                "{plan}"
            );
            assert!(matches!(action(&plan, "silver.bad"), Action::Refresh { .. }), "{plan}");
        }
        all_equal(&engine).await;
        let all = number(&engine, &format!("SELECT count(*) FROM {errors}")).await;
        assert!(all > 0, "the fleet was asked for malformed messages");
        for counted in
            ["SELECT sum(n) FROM gold.codes", "SELECT count(*) FROM silver.bad", "SELECT count(*) FROM bronze.bad"]
        {
            assert_eq!(number(&engine, counted).await, all, "{counted}");
        }
        let again = engine.plan(&|_| true).await.unwrap();
        assert!(!again.has_work(), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_log_to_gold_and_on() {
    let mut world = World::new();
    world.produce(20_000);
    let engine = world.engine().await;

    let (plan, _) = once(&engine).await;
    assert!(matches!(action(&plan, "bronze.vehicle_events"), Action::Ingest { create: true, .. }));
    assert!(matches!(action(&plan, "gold.stats"), Action::Create { .. }));
    all_equal(&engine).await;
    let bronze = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
    let errors = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events_errors").await;
    assert_eq!(bronze + errors, 20_000);
    assert!(errors > 0, "the fleet was asked for malformed messages");
    let rejected = number(&engine, "SELECT count(*) AS n FROM silver.vehicle_events_rejected").await;
    assert!(rejected > 0, "the fleet has unknown types");

    // Nothing new: nothing to do, and no commits.
    let again = engine.plan(&|_| true).await.unwrap();
    assert!(!again.has_work(), "{again}");

    // More events: incremental everywhere, from the new file alone.
    world.produce(5_000);
    let before: BTreeSet<String> = files(&engine, "bronze.vehicle_events").await;
    let (plan, report) = once(&engine).await;
    assert!(matches!(action(&plan, "silver.vehicle_events"), Action::Refresh { how: Incremental::KeepFirst, .. }));
    assert!(matches!(action(&plan, "gold.stats"), Action::Refresh { how: Incremental::Aggregate, .. }));
    let added: BTreeSet<String> = files(&engine, "bronze.vehicle_events").await.difference(&before).cloned().collect();
    let silver = report.steps.iter().find(|s| s.table == name("silver.vehicle_events")).unwrap();
    assert_eq!(silver.mode, "incremental", "{:?}", silver.reason);
    assert_eq!(silver.files.iter().cloned().collect::<BTreeSet<_>>(), added);
    all_equal(&engine).await;

    // The aggregate has the bits of an exactly rounded sum.
    let stats = query(&engine, "SELECT type, total, avg_battery FROM gold.stats ORDER BY type").await;
    let rows = query(&engine, "SELECT type, battery FROM silver.vehicle_events").await;
    let mut sums: BTreeMap<String, (ingot_delta::ExactSum, i64)> = BTreeMap::new();
    for batch in &rows {
        let (types, batteries) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Float64Type>());
        for i in 0..batch.num_rows() {
            let entry = sums.entry(types.value(i).to_owned()).or_default();
            entry.0.add(batteries.value(i));
            entry.1 += 1;
        }
    }
    let mut groups = 0;
    for batch in &stats {
        let types = batch.column(0).as_string::<i32>();
        for i in 0..batch.num_rows() {
            let (sum, n) = &sums[types.value(i)];
            assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(i), *n);
            let average = sum.round() / *n as f64;
            assert_eq!(batch.column(2).as_primitive::<Float64Type>().value(i).to_bits(), average.to_bits());
            groups += 1;
        }
    }
    assert_eq!(groups, 3);
}

async fn files(engine: &Engine, table: &str) -> BTreeSet<String> {
    let table = engine.lake().load_table(&name(table)).await.unwrap().unwrap();
    let head = table.head().unwrap();
    ingot_lake::live_files(&table, head).await.unwrap().into_iter().map(|f| f.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_plan_is_executed() {
    let mut world = World::new();
    world.produce(3_000);
    let engine = world.engine().await;
    let printed = serde_json::to_string(&engine.plan(&|_| true).await.unwrap()).unwrap();
    world.produce(2_000);
    // What came after the plan was printed is not part of it.
    let plan: Plan = serde_json::from_str(&printed).unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    assert!(!report.failed(), "{:?}", report.steps);
    let bronze = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
    let errors = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events_errors").await;
    assert_eq!(bronze + errors, 3_000);
    all_equal(&engine).await;
    once(&engine).await;
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_do_what_the_plan_says() {
    let mut world = World::new();
    world.produce(4_000);
    once(&world.engine().await).await;

    // Comments and whitespace: nothing.
    world.edit("gold/stats.sql", "GROUP BY type", "\n  -- by kind of vehicle\n  GROUP   BY type");
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(!plan.has_work(), "{plan}");

    // Another query: a rebuild of this view, announced.
    world.edit("gold/stats.sql", "max(lat) AS max_lat", "max(lat) AS max_lat, min(lat) AS min_lat");
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(plan.has_rebuild(), "{plan}");
    assert!(matches!(action(&plan, "silver.vehicle_events"), Action::Nothing));
    assert_eq!(number(&engine, "SELECT count(min_lat) AS n FROM gold.stats").await, 3);
    all_equal(&engine).await;

    // A streaming table goes on from its position and keeps its history.
    let before = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
    world.edit(
        "bronze/vehicle_events.sql",
        "SELECT * FROM STREAM vehicles",
        "SELECT * FROM STREAM vehicles WHERE lat > 0",
    );
    world.produce(1_000);
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(matches!(action(&plan, "bronze.vehicle_events"), Action::Ingest { create: false, .. }));
    assert!(number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await >= before);
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_does_not_stop_the_others() {
    let mut world = World::new();
    world.produce(2_000);
    std::fs::write(
        world.sql("gold/strict.sql"),
        "CREATE MATERIALIZED VIEW gold.strict (CONSTRAINT none EXPECT (total < 0) ON VIOLATION FAIL UPDATE)\n\
         AS SELECT type, count(*) AS total FROM silver.vehicle_events GROUP BY type;\n",
    )
    .unwrap();
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let failed: Vec<_> = report.steps.iter().filter(|s| s.error.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].table, name("gold.strict"));
    assert_eq!(failed[0].error.as_ref().unwrap().code, "D0102");
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM gold.stats").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_keeps_fresh_and_stops() {
    let mut world = World::new();
    world.produce(1_000);
    let engine = Arc::new(world.engine().await);
    let stop = CancellationToken::new();
    let shared = ingot_pipeline::run_loop::Shared::default();
    let all: BTreeSet<TableName> = engine.project().tables.keys().cloned().collect();
    let task = tokio::spawn(ingot_pipeline::run_loop::run(engine.clone(), all, stop.clone(), shared.clone()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut produced = 1_000;
    loop {
        assert!(std::time::Instant::now() < deadline, "gold.stats did not catch up: {:?}", shared.lock().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if produced < 3_000 {
            world.produce(1_000);
            produced += 1_000;
            continue;
        }
        let missing = engine.lake().load_table(&name("gold.stats")).await.unwrap().is_none();
        if missing {
            continue;
        }
        let bronze = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
        let errors = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events_errors").await;
        let silver = number(&engine, "SELECT count(*) AS n FROM silver.vehicle_events").await;
        let gold = number(&engine, "SELECT coalesce(sum(total), 0) AS n FROM gold.stats").await;
        if bronze + errors == 3_000 && gold == silver && engine_is_idle(&engine).await {
            break;
        }
    }
    let asked = std::time::Instant::now();
    stop.cancel();
    let failures = task.await.unwrap().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(10));
    all_equal(&engine).await;
}

async fn engine_is_idle(engine: &Engine) -> bool {
    !engine.plan(&|_| true).await.unwrap().has_work()
}

/// A view over the shipped silver table whose upstream column changes its type under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_redefined_column_is_recomputed_below() {
    let mut world = World::new();
    world.produce(1_000);
    let level = "CREATE MATERIALIZED VIEW silver.level AS SELECT type, CAST(battery AS BIGINT) AS level FROM silver.vehicle_events;\n";
    std::fs::write(world.sql("silver/level.sql"), level).unwrap();
    let counted =
        "CREATE MATERIALIZED VIEW gold.level AS SELECT type, count(level) AS n FROM silver.level GROUP BY type;\n";
    std::fs::write(world.sql("gold/level.sql"), counted).unwrap();
    once(&world.engine().await).await;
    world.edit("silver/level.sql", "CAST(battery AS BIGINT)", "CAST(battery AS VARCHAR)");
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
    let n = number(&engine, "SELECT sum(n) AS n FROM gold.level").await;
    assert_eq!(n, number(&engine, "SELECT count(battery) AS n FROM silver.vehicle_events").await);
}

/// Stored rows of a streaming table must not lose a column without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_column_cannot_change_its_type() {
    let mut world = World::new();
    world.produce(500);
    once(&world.engine().await).await;
    world.edit("bronze/vehicle_events.sql", "lat DOUBLE", "lat VARCHAR");
    world.edit("gold/stats.sql", "max(lat)", "max(battery)");
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(
        matches!(action(&plan, "bronze.vehicle_events"), Action::Blocked { reason } if reason.code == "R0310"),
        "{plan}"
    );
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    assert_eq!(report.steps[0].error.as_ref().unwrap().code, "R0310");
    assert_eq!(number(&engine, "SELECT count(lat) AS n FROM bronze.vehicle_events").await, 500 - 5);
}

/// Two processes that planned the same refresh: the later one must not add the change again.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_stale_when_another_writer_was_first() {
    let mut world = World::new();
    world.produce(1_000);
    let engine = world.engine().await;
    once(&engine).await;
    world.produce(500);
    let bronze = engine.plan(&|n| n.namespace == "bronze").await.unwrap();
    engine.execute(&bronze, &CancellationToken::new(), &|_| {}).await;
    let views = |n: &TableName| n.namespace != "bronze";
    let late = engine.plan(&views).await.unwrap();
    assert!(late.has_work());
    once(&world.engine().await).await;
    let report = engine.execute(&late, &CancellationToken::new(), &|_| {}).await;
    assert!(!report.failed(), "{:?}", report.steps);
    all_equal(&engine).await;
}

/// What a plan reads from went before the plan was carried out: it is planned again, or `run` would leave the view as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_stale_when_what_it_reads_is_gone() {
    let mut world = World::new();
    world.produce(1_000);
    let engine = world.engine().await;
    once(&engine).await;
    world.produce(500);
    let mut below = engine.plan(&|_| true).await.unwrap();
    below.steps.retain(|s| s.table.namespace != "gold");
    engine.execute(&below, &CancellationToken::new(), &|_| {}).await;
    let late = engine.plan(&|n| n.namespace == "gold").await.unwrap();
    assert!(matches!(action(&late, "gold.stats"), Action::Refresh { .. }));
    engine.lake().drop_table(&name("silver.vehicle_events")).await.unwrap();
    let silver = engine.plan(&|n| n.namespace == "silver").await.unwrap();
    engine.execute(&silver, &CancellationToken::new(), &|_| {}).await;
    let report = engine.execute(&late, &CancellationToken::new(), &|_| {}).await;
    assert!(!report.failed(), "{:?}", report.steps);
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_topic_makes_empty_tables_and_a_broken_query_none() {
    let mut world = World::new();
    std::fs::write(
        world.sql("gold/broken.sql"),
        "CREATE MATERIALIZED VIEW gold.broken AS SELECT 1 / (total - total) AS x FROM gold.stats;\n",
    )
    .unwrap();
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM gold.stats").await, 0);
    assert!(!engine.plan(&|_| true).await.unwrap().has_work());
    world.produce(1_000);
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let failed: Vec<_> = report.steps.iter().filter(|s| s.error.is_some()).map(|s| s.table.to_string()).collect();
    assert_eq!(failed, ["gold.broken"]);
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM gold.broken").await, 0);
}

/// Rows that do not decode move positions alone; a join of bronze with what stands on it must not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_goes_on_after_a_commit_without_rows() {
    let mut world = World::new();
    let joined = "CREATE MATERIALIZED VIEW gold.joined AS SELECT count(*) AS n FROM bronze.vehicle_events AS b \
                  JOIN silver.vehicle_events AS s ON b.id = s.id AND b.ts = s.ts;\n";
    std::fs::write(world.sql("gold/joined.sql"), joined).unwrap();
    world.produce(500);
    once(&world.engine().await).await;
    let fleet = std::mem::replace(
        &mut world.fleet,
        Fleet::new(FleetConfig { seed: 3, malformed: 1.0, duplicates: 0.0, late: 0.0 }),
    );
    world.produce(3);
    once(&world.engine().await).await;
    world.fleet = fleet;
    world.produce(300);
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_applies_to_new_files_and_extremes_stop_nothing() {
    let mut world = World::new();
    world.produce(500);
    once(&world.engine().await).await;
    world.edit("silver/vehicle_events.sql", "PARTITIONED BY (days(ts))", "PARTITIONED BY (bucket(4, id))");
    let extremes = "CREATE MATERIALIZED VIEW gold.extremes AS SELECT CAST(-9223372036854775808 AS BIGINT) AS n FROM gold.stats \
                    UNION ALL SELECT 9223372036854775807 AS n FROM gold.stats;\n";
    std::fs::write(world.sql("gold/extremes.sql"), extremes).unwrap();
    let above = "CREATE MATERIALIZED VIEW gold.above AS SELECT n FROM gold.extremes WHERE n > 1;\n";
    std::fs::write(world.sql("gold/above.sql"), above).unwrap();
    world.produce(500);
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
    let silver = engine.lake().load_table(&name("silver.vehicle_events")).await.unwrap().unwrap();
    let spec = silver.metadata().default_partition_spec();
    assert_eq!(spec.fields()[0].transform.to_string(), "bucket[4]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_reads_again_from_where_the_table_began() {
    let mut world = World::new();
    world.produce(300);
    world.edit("bronze/vehicle_events.sql", "'connector' = 'kafka',", "'connector' = 'kafka', 'start' = 'latest',");
    once(&world.engine().await).await;
    world.produce(200);
    let engine = world.engine().await;
    once(&engine).await;
    let count = "SELECT count(*) AS n FROM bronze.vehicle_events";
    let before = number(&engine, count).await;
    assert!(before > 150 && before <= 200, "{before}");
    let stop = CancellationToken::new();
    let report = engine.refresh(&name("bronze.vehicle_events"), true, false, &stop).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    assert_eq!(number(&engine, count).await, before);
    once(&engine).await;
    all_equal(&engine).await;
}

/// A row that leaves a temporal filter leaves the view although no message comes, and `plan` and `verify` say so.
#[tokio::test(flavor = "multi_thread")]
async fn rows_leave_a_temporal_filter_without_new_data() {
    let mut world = World::new();
    std::fs::write(
        world.sql("gold/recent.sql"),
        "CREATE MATERIALIZED VIEW gold.recent AS SELECT id, _kafka_ts AS ts FROM bronze.vehicle_events \
         WHERE _kafka_ts > now() - INTERVAL '15 seconds';\n",
    )
    .unwrap();
    world.produce(500);
    let engine = world.engine().await;
    once(&engine).await;
    let recent = "SELECT count(*) AS n FROM gold.recent";
    assert!(number(&engine, recent).await > 0, "the messages are new");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let plan = engine.plan(&|_| true).await.unwrap();
        if let Some(reason) = action(&plan, "gold.recent").reason() {
            assert_eq!(reason.code, "R0548", "{reason}");
        }
        once(&engine).await;
        // Equal at the time that is recorded, whether or not rows are about to leave.
        let verified = engine.verify(&name("gold.recent")).await.unwrap();
        let Verdict::Equal { how, .. } = verified.verdict else { panic!("{:?}", verified.verdict) };
        assert!(how.contains("its now()"), "{how}");
        if number(&engine, recent).await == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "rows of 15 seconds ago are still there");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    // Nothing leaves any more, so nothing is committed any more.
    let head = engine.lake().load_table(&name("gold.recent")).await.unwrap().unwrap().head();
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    once(&engine).await;
    assert_eq!(engine.lake().load_table(&name("gold.recent")).await.unwrap().unwrap().head(), head);
}
