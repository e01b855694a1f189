//! Histories are forgotten, and nobody who stands on them notices.

use ingot_lake::Table;
use ingot_model::Operation;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::plan::Action;
use ingot_pipeline::verify::Verdict;
use tokio_util::sync::CancellationToken;

use crate::world::{World, action, all_equal, edited, name, number, once, query};

const ROUNDS: usize = 48;

const LOG: &str = "CREATE SOURCE s (k BIGINT, v BIGINT) INCLUDE PARTITION AS p INCLUDE OFFSET AS o\n\
    WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
    CREATE STREAMING TABLE bronze.t AS SELECT k, v, p, o FROM STREAM s;\n";
const FEW: &str = "CREATE STREAMING TABLE silver.few AS SELECT k, v FROM STREAM bronze.t WHERE v < 0;\n";
const WEEK_MS: i64 = 7 * 86_400_000;

/// The shipped project, whose tables keep almost no history.
fn forgetful() -> World {
    forgetful_of(World::new())
}

fn forgetful_of(world: World) -> World {
    let settings = std::fs::read_to_string(world.sql("ingot.toml")).unwrap();
    std::fs::write(world.sql("ingot.toml"), settings + "\n[upkeep]\nenabled = true\nsnapshots-min-age = \"1 ms\"\n")
        .unwrap();
    world
}

async fn table(engine: &Engine, table: &str) -> Table {
    engine.lake().load_table(&name(table)).await.unwrap().unwrap()
}

/// Ingestion alone.
async fn ingested(engine: &Engine) {
    let bronze = engine.plan(&|table| table.to_string().starts_with("bronze.")).await.unwrap();
    let report = engine.execute(&bronze, &CancellationToken::new(), &|_| {}).await;
    assert!(report.steps.iter().all(|step| step.error.is_none()), "{:?}", report.steps);
}

/// As many commits as make a table forget some; views are refreshed now and then.
async fn busy(world: &mut World) {
    for n in 0..ROUNDS {
        world.produce(20);
        let engine = world.engine().await;
        match n % 8 {
            7 => drop(once(&engine).await),
            _ => ingested(&engine).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_go_on_from_what_they_stand_on() {
    let mut world = forgetful();
    busy(&mut world).await;
    let engine = world.engine().await;
    let kept = table(&engine, "bronze.vehicle_events").await.metadata().snapshots().count();
    assert!(kept < ROUNDS, "{kept} snapshots are kept");
    all_equal(&engine).await;
    world.produce(20);
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(matches!(action(&plan, "silver.vehicle_events"), Action::Refresh { .. }), "{plan}");
    assert!(matches!(action(&plan, "gold.stats"), Action::Refresh { .. }), "{plan}");

    // While they are not refreshed, what they stand on stays, however far ingestion goes on.
    let stood = table(&engine, "bronze.vehicle_events").await.head().unwrap();
    for _ in 0..ROUNDS {
        world.produce(20);
        ingested(&world.engine().await).await;
    }
    let engine = world.engine().await;
    let bronze = table(&engine, "bronze.vehicle_events").await;
    assert!(bronze.metadata().snapshots().count() < ROUNDS, "{}", bronze.metadata().snapshots().count());
    assert!(bronze.snapshot(stood).is_some());
    assert!(bronze.history().iter().all(|s| s.id != stood), "the history in one piece does not reach so far back");
    let (plan, report) = once(&engine).await;
    assert!(matches!(action(&plan, "silver.vehicle_events"), Action::Refresh { .. }), "{plan}");
    assert!(report.steps.iter().all(|step| step.mode != "full"), "{:?}", report.steps);
    all_equal(&engine).await;

    // A snapshot that is gone is named; those that are kept are read.
    let sql = |id: i64| format!("SELECT count(*) AS n FROM bronze.vehicle_events FOR VERSION AS OF {id}");
    query(&engine, &sql(stood)).await;
    let bronze = table(&engine, "bronze.vehicle_events").await;
    let oldest = bronze.history().last().cloned().unwrap();
    assert!(oldest.parent.is_some_and(|parent| bronze.snapshot(parent).is_none()));
    query(&engine, &sql(oldest.id)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_written_by_nobody_else_goes_on_after_its_history_is_cut() {
    let mut world = forgetful();
    busy(&mut world).await;
    // Read from the start again, and by another definition: both look back at what the table was made from.
    let engine = world.engine().await;
    let stop = CancellationToken::new();
    let report = engine.refresh(&name("bronze.vehicle_events"), true, false, &stop).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    once(&engine).await;
    all_equal(&engine).await;
    world.edit(
        "bronze/vehicle_events.sql",
        "AS SELECT * FROM STREAM vehicles",
        "AS SELECT * FROM STREAM vehicles WHERE true",
    );
    world.produce(20);
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
    let bronze = table(&engine, "bronze.vehicle_events").await;
    assert!(bronze.history().iter().any(|s| s.operation == Operation::Append));
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_that_is_off_forgets_nothing() {
    let mut world = forgetful();
    world.edit("ingot.toml", "enabled = true", "enabled = false");
    for _ in 0..ROUNDS {
        world.produce(20);
        ingested(&world.engine().await).await;
    }
    let engine = world.engine().await;
    assert!(table(&engine, "bronze.vehicle_events").await.history().len() > ROUNDS);
}

/// Messages of which the streaming table over the table of the log takes none.
fn send_none(world: &World, n: usize) {
    world.send("log", 0, (0..n).map(|i| format!(r#"{{"k": {i}, "v": 1}}"#)));
}

/// All that a table did is so much longer ago.
async fn aged(engine: &Engine, of: &str, by_ms: i64) {
    edited(engine, of, |json| {
        for list in ["snapshots", "snapshot-log", "metadata-log"] {
            for entry in json[list].as_array_mut().into_iter().flatten() {
                entry["timestamp-ms"] = (entry["timestamp-ms"].as_i64().unwrap() - by_ms).into();
            }
        }
        json["last-updated-ms"] = (json["last-updated-ms"].as_i64().unwrap() - by_ms).into();
    })
    .await;
}

async fn stands_at(engine: &Engine, of: &str, below: &str) -> i64 {
    let history = table(engine, of).await.history();
    history.newest_computed().unwrap().sources().unwrap().unwrap()[&name(below)].1.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_table_that_takes_no_rows_keeps_its_place() {
    let world = forgetful_of(World::of(&[("bronze/t.sql", LOG), ("silver/few.sql", FEW)], &[("log", 1)]));
    send_none(&world, 3);
    let engine = world.engine().await;
    once(&engine).await;
    let stood = stands_at(&engine, "silver.few", "bronze.t").await;
    assert_eq!(Some(stood), table(&engine, "bronze.t").await.head());
    // It is not looked at for longer than a view's place is kept, and the table below goes on.
    aged(&engine, "bronze.t", 2 * WEEK_MS).await;
    for _ in 0..ROUNDS {
        send_none(&world, 1);
        ingested(&world.engine().await).await;
    }
    let engine = world.engine().await;
    let below = table(&engine, "bronze.t").await;
    assert!(below.metadata().snapshots().count() < ROUNDS, "{}", below.metadata().snapshots().count());
    assert!(below.snapshot(stood).is_some(), "where it stood is gone");
    let head = table(&engine, "silver.few").await.head();
    let (plan, _) = once(&engine).await;
    assert!(matches!(action(&plan, "silver.few"), Action::Append { .. }), "{plan}");
    // Where it stood was old: where it stands is recorded, though there are no rows, and the old place may go.
    let recorded = table(&engine, "silver.few").await.head();
    assert_ne!(recorded, head);
    assert_eq!(Some(stands_at(&engine, "silver.few", "bronze.t").await), below.head());
    for _ in 0..ROUNDS {
        send_none(&world, 1);
        once(&world.engine().await).await;
    }
    assert!(table(&engine, "bronze.t").await.snapshot(stood).is_none());
    // Not with every batch.
    assert_eq!(table(&engine, "silver.few").await.head(), recorded);
    world.send("log", 0, [r#"{"k": 1, "v": -1}"#]);
    once(&world.engine().await).await;
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM silver.few").await, 1);
    all_equal(&engine).await;
}

async fn verdict(engine: &Engine, of: &str) -> Verdict {
    engine.verify(&name(of)).await.unwrap().verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_forgotten_definition_are_told_from_wrong_ones() {
    let copy = "CREATE STREAMING TABLE silver.few AS SELECT k, v FROM STREAM bronze.t;\n";
    let world = forgetful_of(World::of(&[("bronze/t.sql", LOG), ("silver/few.sql", copy)], &[("log", 1)]));
    let more = async || {
        for _ in 0..ROUNDS {
            send_none(&world, 1);
            once(&world.engine().await).await;
        }
        world.engine().await
    };
    let engine = more().await;
    assert!(matches!(verdict(&engine, "silver.few").await, Verdict::Equal { .. }));
    world.edit("silver/few.sql", "k, v FROM", "k, v + 1 AS v FROM");
    let engine = world.engine().await;
    send_none(&world, 1);
    once(&engine).await;
    assert!(matches!(verdict(&engine, "silver.few").await, Verdict::Consistent { .. }));
    let engine = more().await;
    let by = table(&engine, "silver.few")
        .await
        .history()
        .iter()
        .filter_map(|s| s.fingerprint().map(str::to_owned))
        .collect::<Vec<_>>();
    assert!(by.iter().all(|f| *f == by[0]), "the earlier definition is not forgotten");
    let told = verdict(&engine, "silver.few").await;
    let Verdict::Unverifiable { reason } = &told else { panic!("{told:?}") };
    assert!(reason.contains("by an earlier definition") && reason.contains("silver.few --full"), "{reason}");
    // A table whose history was cut by a version that did not record it.
    edited(&engine, "silver.few", |json| drop(json["properties"].as_object_mut().unwrap().remove("ingot.made-by")))
        .await;
    let engine = world.engine().await;
    let told = verdict(&engine, "silver.few").await;
    assert!(matches!(&told, Verdict::Unverifiable { reason } if reason.contains("was cut before")), "{told:?}");
    send_none(&world, 1);
    once(&engine).await;
    let told = verdict(&engine, "silver.few").await;
    assert!(matches!(&told, Verdict::Unverifiable { reason } if reason.contains("was cut before")), "{told:?}");

    let stop = CancellationToken::new();
    assert!(!engine.refresh(&name("silver.few"), true, false, &stop).await.unwrap().failed());
    let engine = more().await;
    assert!(matches!(verdict(&engine, "silver.few").await, Verdict::Equal { .. }));
    // One definition made all: what is wrong is still wrong after its history is cut.
    let few = table(&engine, "silver.few").await;
    assert!(few.history().iter().last().unwrap().parent.is_some());
    let remove = ingot_lake::live_files(&few, few.head().unwrap()).await.unwrap()[0].path.clone();
    let summary = few.metadata().current_snapshot().unwrap().summary().additional_properties.clone();
    let forged = ingot_lake::Commit {
        commit_id: uuid::Uuid::now_v7(),
        operation: Operation::Overwrite,
        remove: vec![remove],
        summary: summary.into_iter().filter(|(name, _)| name.starts_with("ingot.")).collect(),
        ..ingot_lake::Commit::default()
    };
    engine.lake().commit(&few, forged, &|_| ingot_lake::Rebase::Retry).await.unwrap();
    let told = verdict(&engine, "silver.few").await;
    assert!(matches!(told, Verdict::Different { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_far_behind_catches_up_in_parts() {
    let stream = "CREATE SOURCE s (k BIGINT, v ARRAY<BIGINT>) WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
        CREATE STREAMING TABLE bronze.t AS SELECT k, x FROM STREAM s CROSS JOIN UNNEST(v) AS u(x);\n";
    let view =
        "CREATE MATERIALIZED VIEW silver.sums AS SELECT k, sum(x) AS total, count(*) AS n FROM bronze.t GROUP BY k;\n";
    let world = forgetful_of(World::of(&[("bronze/t.sql", stream), ("silver/sums.sql", view)], &[("log", 1)]));
    world.edit("ingot.toml", "commit_interval_ms", "memory_bytes_max = 134217728\ncommit_interval_ms");
    let values = (0..5_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let send = |n: usize| world.send("log", 0, (0..n).map(|k| format!(r#"{{"k": {k}, "v": [{values}]}}"#)));
    send(1);
    once(&world.engine().await).await;
    for n in 0..2 * ROUNDS {
        send(1);
        let engine = world.engine().await;
        ingested(&engine).await;
        if n == ROUNDS {
            engine.tell_readers().await;
            assert!(engine.maintain(&name("bronze.t"), false, &|_| {}).await.unwrap().files_in > 1);
        }
    }
    let engine = world.engine().await;
    let below = table(&engine, "bronze.t").await;
    let stood = stands_at(&engine, "silver.sums", "bronze.t").await;
    assert!(below.snapshot(stood).is_some() && below.history().iter().all(|s| s.id != stood), "nothing was forgotten");
    let left = below.metadata().snapshots().count();
    assert!(left < ROUNDS, "{left} are left");
    let before = table(&engine, "silver.sums").await.history().len();
    let (_, report) = once(&engine).await;
    assert!(report.steps.iter().all(|step| step.mode != "full"), "{:?}", report.steps);
    let parts = table(&engine, "silver.sums").await.metadata().last_sequence_number() as usize - before;
    assert!(parts >= 4, "{parts} parts");
    all_equal(&engine).await;
}
