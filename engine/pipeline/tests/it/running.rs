//! The run loop beside trouble, stops and starts; and reading on after a log has lost what was not read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingot_model::TableName;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::run_loop::{self, GRACE, Shared};
use ingot_pipeline::verify::Verdict;
use tokio_util::sync::CancellationToken;

use crate::world::{World, all_equal, name, number, once};

const STREAM: &str = "CREATE SOURCE s (k BIGINT, v BIGINT, pad VARCHAR) INCLUDE PARTITION AS p INCLUDE OFFSET AS o\n\
    WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
    CREATE STREAMING TABLE bronze.t AS SELECT k, v, p, o FROM STREAM s;\n";
const GROUPED: &str =
    "CREATE MATERIALIZED VIEW silver.grouped AS SELECT k, sum(v) AS v, count(*) AS n FROM bronze.t GROUP BY k;\n";
/// Fails for good as soon as there is a v of 500.
const FRAGILE: &str = "CREATE MATERIALIZED VIEW silver.fragile AS SELECT k, 1 / (v - 500) AS x FROM bronze.t;\n";

fn messages(from: i64, to: i64) -> impl Iterator<Item = String> {
    (from..to).map(|i| format!(r#"{{"k": {}, "v": {i}}}"#, i % 5))
}

async fn until(what: &str, shared: &Shared, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: {:?}", shared.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn rows(engine: &Engine) -> (i64, i64) {
    let sum = "SELECT coalesce(sum(n), 0) AS n FROM silver.grouped";
    (number(engine, "SELECT count(*) AS n FROM bronze.t").await, number(engine, sum).await)
}

/// A broker that goes and comes, a view that fails for good, and stops at any time: the rest is fresh, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_goes_on_through_outages_failures_and_stops() {
    let files = [("bronze/t.sql", STREAM), ("silver/grouped.sql", GROUPED), ("silver/fragile.sql", FRAGILE)];
    let world = World::of(&files, &[("log", 2)]);
    world.send("log", 0, messages(0, 100));
    once(&world.engine().await).await;
    let mut sent = 100;
    for round in 0..3 {
        let engine = Arc::new(world.engine().await);
        let (stop, shared) = (CancellationToken::new(), Shared::default());
        let all: BTreeSet<TableName> = engine.project().tables.keys().cloned().collect();
        let task = tokio::spawn(run_loop::run(engine.clone(), all, stop.clone(), shared.clone()));
        if round == 1 {
            world.broker.set_down(true).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(rows(&engine).await, (sent, sent), "what is stored is served");
            world.broker.set_down(false).unwrap();
        }
        world.send("log", round, messages(sent, sent + 300).filter(|_| round < 2));
        sent += if round < 2 { 300 } else { 0 };
        // The last round is stopped at once.
        if round < 2 {
            until("fresh", &shared, async || rows(&engine).await == (sent, sent)).await;
        }
        if round == 1 {
            let fragile = || shared.lock().unwrap().failures.get(&name("silver.fragile")).cloned();
            until("the failure is known", &shared, async || fragile().is_some()).await;
        }
        let asked = Instant::now();
        stop.cancel();
        let failures = task.await.unwrap().unwrap();
        assert!(asked.elapsed() < GRACE + Duration::from_secs(2), "{:?}", asked.elapsed());
        let failed: Vec<_> = failures.iter().map(|(table, e)| (table.to_string(), e.retryable)).collect();
        if round == 1 {
            assert_eq!(failed, [("silver.fragile".to_owned(), false)]);
            let said = &failures[&name("silver.fragile")].message;
            assert!(said.contains("divides by zero, for the row of \"bronze.t\" with k = 0, v = 500"), "{said}");
        }
        for table in ["bronze.t", "silver.grouped"] {
            let verified = engine.verify(&name(table)).await.unwrap();
            assert_eq!(verified.exit_code(), 0, "{table}: {:?}", verified.verdict);
        }
    }
    // The row is mended in the query, and the view is there again.
    world.write("silver/fragile.sql", &FRAGILE.replace("1 / (v - 500)", "1 / nullif(v - 500, 0)"));
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
}

/// A view whose rows make its query fail goes on by itself when they no longer do, and is not computed again before.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_failed_goes_on_when_what_it_reads_changes() {
    let share = "CREATE MATERIALIZED VIEW silver.share AS SELECT k, 10 / sum(v) AS x FROM bronze.t GROUP BY k;\n";
    let world = World::of(&[("bronze/t.sql", STREAM), ("silver/share.sql", share)], &[("log", 1)]);
    world.send("log", 0, messages(0, 1));
    let engine = Arc::new(world.engine().await);
    let (stop, shared) = (CancellationToken::new(), Shared::default());
    let all: BTreeSet<TableName> = engine.project().tables.keys().cloned().collect();
    let task = tokio::spawn(run_loop::run(engine.clone(), all, stop.clone(), shared.clone()));
    let failure = || shared.lock().unwrap().failures.get(&name("silver.share")).cloned();
    until("the failure is known", &shared, async || failure().is_some()).await;
    assert!(!failure().unwrap().retryable);
    world.send("log", 0, messages(5, 6));
    until("it goes on", &shared, async || failure().is_none()).await;
    assert_eq!(number(&engine, "SELECT x FROM silver.share").await, 2);
    stop.cancel();
    assert!(task.await.unwrap().unwrap().is_empty());
    all_equal(&engine).await;
}

/// A sum that does not fit names its group, and the view goes on when the group is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_fails_names_the_row_or_the_group() {
    let summed =
        "CREATE MATERIALIZED VIEW silver.summed AS SELECT b.k AS k, p, sum(v) AS v FROM bronze.t b GROUP BY b.k, p;\n";
    let joined = "CREATE MATERIALIZED VIEW silver.joined AS SELECT x.k, avg(x.v * 1.0) AS v, sum(y.v + 0) AS w FROM bronze.t x \
                  JOIN bronze.t y ON x.o = y.o AND x.p = y.p GROUP BY x.k;\n";
    let files = [("bronze/t.sql", STREAM), ("silver/summed.sql", summed), ("silver/joined.sql", joined)];
    let world = World::of(&files, &[("log", 2)]);
    world.send("log", 0, messages(0, 10));
    once(&world.engine().await).await;
    let most = |k: i64| format!(r#"{{"k": {k}, "v": {}}}"#, i64::MAX);
    world.send("log", 1, [most(3), most(7), most(3)]);
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    for (table, group) in [("silver.summed", "b.k = 3, b.p = 1"), ("silver.joined", "x.k = 3")] {
        let step = report.steps.iter().find(|s| s.table == name(table)).unwrap();
        let error = step.error.as_ref().unwrap();
        assert!(error.message.contains(&format!("does not fit BIGINT, for the group with {group}")), "{error:?}");
        assert!(error.hint.as_ref().is_some_and(|h| h.contains("try_sum")), "{error:?}");
    }
}

/// The embedded broker forgets the oldest messages of a partition past 5 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_was_not_read_is_named_and_read_on_when_asked() {
    let world = World::of(&[("bronze/t.sql", STREAM), ("silver/grouped.sql", GROUPED)], &[("log", 2)]);
    world.send("log", 0, messages(0, 10));
    world.send("log", 1, messages(0, 10));
    once(&world.engine().await).await;
    // In messages of 100 kB: the first of them are gone before anybody read them.
    let pad = "x".repeat(100_000);
    let large = |i: i64| format!(r#"{{"k": {}, "v": {i}, "pad": "{pad}"}}"#, i % 5);
    world.send("log", 0, (10..110).map(large));
    world.send("log", 1, messages(10, 20));
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let failed: Vec<_> = report.steps.iter().filter_map(|s| s.error.as_ref().map(|e| (s, e))).collect();
    assert_eq!(failed.len(), 1, "{:?}", report.steps);
    let (step, error) = failed[0];
    assert_eq!((step.table.to_string().as_str(), error.code.as_str(), error.retryable), ("bronze.t", "S0101", false));
    assert!(error.hint.as_ref().is_some_and(|h| h.contains("refresh bronze.t --accept-loss")), "{error:?}");
    assert_eq!(rows(&engine).await, (20, 20), "nothing was stored past the gap");

    // Reading again from the start would lose what is stored: refused.
    let stop = CancellationToken::new();
    let refused = engine.refresh(&name("bronze.t"), true, false, &stop).await.unwrap_err();
    assert_eq!(refused.code(), "S0101", "{refused}");
    assert_eq!(rows(&engine).await, (20, 20));

    // The command that the hint names: rows stay, and what is left is read once.
    let report = engine.refresh(&name("bronze.t"), false, true, &stop).await.unwrap();
    assert!(!report.failed(), "{:?}", report.steps);
    once(&engine).await;
    let low = number(&engine, "SELECT min(o) AS n FROM bronze.t WHERE p = 0 AND o >= 10").await;
    assert!(low > 10, "the broker forgot nothing");
    let read = "SELECT count(*) AS n FROM bronze.t WHERE p = 0 AND o >= 10";
    assert_eq!(number(&engine, read).await, 110 - low);
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM bronze.t WHERE p = 1").await, 20);
    assert_eq!(number(&engine, "SELECT count(DISTINCT o * 2 + p) AS n FROM bronze.t").await, 10 + 110 - low + 20);
    let verified = engine.verify(&name("bronze.t")).await.unwrap();
    assert!(matches!(verified.verdict, Verdict::Consistent { .. }), "{:?}", verified.verdict);
    assert_eq!(engine.verify(&name("silver.grouped")).await.unwrap().exit_code(), 0);
    // And on.
    world.send("log", 1, messages(20, 25));
    once(&engine).await;
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM bronze.t WHERE p = 1").await, 25);
}
