//! Every message of the log is in one table, once, whatever it is and however reading is cut into batches.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use ingot_pipeline::engine::Engine;
use proptest::test_runner::{Config as Tries, TestRunner};
use tokio_util::sync::CancellationToken;

use crate::world::{World, all_equal, name, number, once, query};

const SOURCE: &str = "CREATE SOURCE s (id BIGINT, v BIGINT) INCLUDE PARTITION AS p INCLUDE OFFSET AS o\n\
    WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n";

fn streaming(errors: &str, rest: &str) -> String {
    format!("{SOURCE}CREATE STREAMING TABLE bronze.t {errors} AS SELECT {rest};\n")
}

/// Where a message must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Main,
    Errors,
    Nowhere,
}

/// A message by a number, and where `SELECT id, 100 / v AS q ... WHERE id >= 0` has it;
/// an expectation whose condition is NULL or fails, as for v = 9, is broken.
fn message(kind: u32, id: i64) -> (Vec<u8>, Place) {
    match kind % 8 {
        0 => (br#"{"id": 1, "v": "#.to_vec(), Place::Errors),
        1 => (format!(r#"{{"id": "x{id}", "v": 1}}"#).into_bytes(), Place::Errors),
        2 => (format!(r#"{{"id": {id}, "v": 0}}"#).into_bytes(), Place::Errors),
        3 => (format!(r#"{{"id": -1, "v": 0, "was": {id}}}"#).into_bytes(), Place::Nowhere),
        4 => (format!(r#"{{"id": {id}}}"#).into_bytes(), Place::Nowhere),
        5 => (vec![0xff, 0xfe, b'{'], Place::Errors),
        6 if kind > 32 => (format!(r#"{{"id": {id}, "v": 9}}"#).into_bytes(), Place::Nowhere),
        _ => (format!(r#"{{"id": {id}, "v": {}}}"#, kind + 10).into_bytes(), Place::Main),
    }
}

/// (partition, offset) of each row of a table, sorted.
async fn places(engine: &Engine, table: &str, p: &str, o: &str) -> Vec<(i32, i64)> {
    let mut out = vec![];
    for batch in query(engine, &format!("SELECT CAST({p} AS INT) AS p, CAST({o} AS BIGINT) AS o FROM {table}")).await {
        let (p, o) = (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
        out.extend((0..batch.num_rows()).map(|i| (p.value(i), o.value(i))));
    }
    out.sort_unstable();
    out
}

#[test]
fn every_message_is_in_one_table_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let messages = proptest::collection::vec((0i32..3, 0u32..64), 0..40);
    let rounds = proptest::collection::vec((messages, 0u8..4), 1..4);
    let mut runner = TestRunner::new(Tries { cases: 6, failure_persistence: None, ..Tries::default() });
    runner
        .run(&rounds, |rounds| {
            runtime.block_on(rounds_are_read(&rounds));
            Ok(())
        })
        .unwrap();
}

async fn rounds_are_read(rounds: &[(Vec<(i32, u32)>, u8)]) {
    let clauses =
        "(CONSTRAINT near EXPECT (1 / (q - 11) >= -5) ON VIOLATION DROP ROW) ON DECODE ERROR INTO bronze.t_errors";
    let table = streaming(clauses, "id, 100 / v AS q, p, o FROM STREAM s WHERE id >= 0");
    let world = World::of(&[("bronze/t.sql", &table)], &[("log", 3)]);
    let mut log: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    let mut engine = world.engine().await;
    for (at, (messages, restart)) in rounds.iter().enumerate() {
        let mut sent: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
        for (i, (partition, kind)) in messages.iter().enumerate() {
            let (bytes, place) = message(*kind, (at * 100 + i) as i64);
            sent.entry(*partition).or_default().push(bytes);
            log.entry(*partition).or_default().push(place);
        }
        for (partition, messages) in sent {
            world.send("log", partition, messages);
        }
        // A plan that is not carried out, a new process, and none.
        if *restart % 2 == 0 {
            engine.plan(&|_| true).await.unwrap();
        }
        if *restart > 1 {
            engine = world.engine().await;
        }
        once(&engine).await;
        for (table, place, p, o) in
            [("bronze.t", Place::Main, "p", "o"), ("bronze.t_errors", Place::Errors, "\"partition\"", "\"offset\"")]
        {
            let wanted: Vec<(i32, i64)> = log
                .iter()
                .flat_map(|(p, places)| places.iter().enumerate().map(move |(o, place)| (*p, o as i64, *place)))
                .filter(|(_, _, at)| *at == place)
                .map(|(p, o, _)| (p, o))
                .collect();
            assert_eq!(places(&engine, table, p, o).await, wanted, "{table} after {rounds:?}");
        }
        all_equal(&engine).await;
        assert!(!engine.plan(&|_| true).await.unwrap().has_work());
    }
}

/// Without an error table the table stops at the message, and goes on from it when it has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_stops_at_what_it_cannot_store_and_goes_on_from_there() {
    let other = "CREATE SOURCE zs (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'other') FORMAT PLAIN ENCODE JSON;\n\
                 CREATE STREAMING TABLE bronze.z AS SELECT id FROM STREAM zs;\n";
    let all = "id, 100 / v AS q, p, o FROM STREAM s";
    let good = |id: i64| format!(r#"{{"id": {id}, "v": 5}}"#);
    for bad in [r#"{"id": 7, "v": 0}"#, r#"{"id": 7, "#, r#"{"id": "seven", "v": 1}"#] {
        let files = [("bronze/t.sql", streaming("", all)), ("bronze/z.sql", other.to_owned())];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let world = World::of(&files, &[("log", 1), ("other", 1)]);
        world.send("log", 0, (0..3).map(good));
        world.send("other", 0, ["{\"id\": 1}"]);
        once(&world.engine().await).await;
        world.send("log", 0, [good(3), bad.to_owned(), good(5)]);
        world.send("other", 0, ["{\"id\": 2}"]);
        // Again and again, and the error names the same message.
        for _ in 0..2 {
            let engine = world.engine().await;
            let plan = engine.plan(&|_| true).await.unwrap();
            let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
            let failed: Vec<_> = report.steps.iter().filter(|s| s.error.is_some()).collect();
            assert_eq!(failed.iter().map(|s| s.table.clone()).collect::<Vec<_>>(), [name("bronze.t")]);
            let error = failed[0].error.as_ref().unwrap();
            assert!(error.message.contains("offset 4"), "{error:?}");
            assert!(
                !error.retryable && error.hint.as_ref().is_some_and(|h| h.contains("ON DECODE ERROR")),
                "{error:?}"
            );
            // What came before it may be stored, what follows it is not.
            let now = places(&engine, "bronze.t", "p", "o").await;
            assert!(now.iter().all(|(_, o)| *o < 4) && now.len() >= 3, "{now:?}");
            assert_eq!(number(&engine, "SELECT count(*) AS n FROM bronze.z").await, 2, "the other goes on");
        }
        // The way out that the hint names.
        world.write("bronze/t.sql", &streaming("ON DECODE ERROR INTO bronze.t_errors", all));
        let engine = world.engine().await;
        once(&engine).await;
        assert_eq!(places(&engine, "bronze.t", "p", "o").await, [0, 1, 2, 3, 5].map(|o| (0, o)));
        assert_eq!(places(&engine, "bronze.t_errors", "\"partition\"", "\"offset\"").await, [(0, 4)]);
        all_equal(&engine).await;
    }
}

/// Whatever the expression that fails: the message is a row of the error table.
#[tokio::test(flavor = "multi_thread")]
async fn every_expression_that_fails_sends_its_message_to_the_error_table() {
    let failing =
        ["abs(v)", "-v", "CAST(v AS DATE)", "CAST(a AS INT[])", "CAST(a AS SMALLINT[])[1]", "d + CAST(n AS INT)"];
    let source = "CREATE SOURCE s (v BIGINT, n INT, d DATE, a ARRAY<BIGINT>) INCLUDE PARTITION AS p INCLUDE OFFSET AS o\n\
        WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n";
    let mut files = vec![("bronze/s.sql".to_owned(), source.to_owned())];
    for (i, e) in failing.iter().enumerate() {
        let text = format!(
            "CREATE STREAMING TABLE bronze.t{i} ON DECODE ERROR INTO bronze.e{i} AS SELECT {e} AS v, p, o FROM STREAM s;\n"
        );
        files.push((format!("bronze/t{i}.sql"), text));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let world = World::of(&files, &[("log", 1)]);
    let plain = r#"{"v": 1, "n": 1, "d": "2024-01-01", "a": [1]}"#;
    let smallest = format!(r#"{{"v": {0}, "n": {1}, "d": "2024-01-01", "a": [{0}]}}"#, i64::MIN, i32::MIN);
    world.send("log", 0, [plain, &smallest, plain]);
    let engine = world.engine().await;
    once(&engine).await;
    for (i, e) in failing.iter().enumerate() {
        assert_eq!(places(&engine, &format!("bronze.t{i}"), "p", "o").await, [(0, 0), (0, 2)], "{e}");
        let errors = places(&engine, &format!("bronze.e{i}"), "\"partition\"", "\"offset\"").await;
        assert_eq!(errors, [(0, 1)], "{e}");
    }
    all_equal(&engine).await;
}

/// MAP columns: of equal keys the last one counts, a null value is one, an absent or null map is NULL.
#[tokio::test(flavor = "multi_thread")]
async fn maps_are_stored_as_their_objects_say() {
    let table = "CREATE SOURCE s (id BIGINT, m MAP<STRING, BIGINT>, n MAP<STRING, MAP<INT, ARRAY<STRING>>>)\n\
        WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
        CREATE STREAMING TABLE bronze.t ON DECODE ERROR INTO bronze.e AS SELECT * FROM STREAM s;";
    let view = "CREATE MATERIALIZED VIEW silver.t AS SELECT id, m, n, m['a'] AS a FROM bronze.t;";
    let world = World::of(&[("bronze/t.sql", table), ("silver/t.sql", view)], &[("log", 1)]);
    let first = [
        r#"{"id":1,"m":{"a":1,"b":null,"a":3},"n":{"x":{"1":["p",null],"1.0":["q"]},"y":null}}"#,
        r#"{"id":2,"m":null}"#,
        r#"{"id":3,"m":{},"n":{}}"#,
    ];
    world.send("log", 0, first);
    let engine = world.engine().await;
    once(&engine).await;
    world.send("log", 0, [r#"{"id":4,"m":{"a":"no"}}"#, r#"{"id":5,"m":[1]}"#, r#"{"id":6,"m":{"a":6}}"#]);
    once(&engine).await;
    for (sql, wanted) in [
        ("SELECT count(*) FROM {t}", 4),
        ("SELECT m['a'] FROM {t} WHERE id = 1", 3),
        ("SELECT CAST(cardinality(m) AS BIGINT) FROM {t} WHERE id = 1", 2),
        (
            "SELECT count(*) FROM {t} WHERE id = 1 AND m['b'] IS NULL AND n['x'][CAST(1 AS INT)][1] = 'q' AND n['y'] IS NULL",
            1,
        ),
        ("SELECT count(*) FROM {t} WHERE id = 2 AND m IS NULL AND n IS NULL", 1),
        ("SELECT count(*) FROM {t} WHERE id = 3 AND cardinality(m) = 0 AND cardinality(n) = 0", 1),
        ("SELECT m['a'] FROM {t} WHERE id = 6", 6),
    ] {
        for table in ["bronze.t", "silver.t"] {
            assert_eq!(number(&engine, &sql.replace("{t}", table)).await, wanted, "{sql} of {table}");
        }
    }
    assert_eq!(number(&engine, "SELECT count(*) FROM bronze.e").await, 2);
    all_equal(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_costs_nothing_but_time() {
    let table = streaming("", "id, v, p, o FROM STREAM s");
    let view =
        "CREATE MATERIALIZED VIEW silver.n AS SELECT p, count(*) AS n, max(o) AS last FROM bronze.t GROUP BY p;\n";
    let world = World::of(&[("bronze/t.sql", &table), ("silver/n.sql", view)], &[("log", 2)]);
    world.send("log", 0, (0..50).map(|id| format!(r#"{{"id": {id}}}"#)));
    once(&world.engine().await).await;
    world.send("log", 1, (0..50).map(|id| format!(r#"{{"id": {id}}}"#)));
    world.broker.set_down(true).unwrap();
    let engine = world.engine().await;
    let engine = engine.answering_within(Duration::from_secs(2));
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let error = report.steps.iter().find(|s| s.table == name("bronze.t")).unwrap().error.as_ref().unwrap();
    assert!(error.retryable, "{error:?}");
    assert_eq!(places(&engine, "bronze.t", "p", "o").await.len(), 50, "what is stored is served");
    world.broker.set_down(false).unwrap();
    once(&world.engine().await).await;
    let engine = world.engine().await;
    let wanted: Vec<(i32, i64)> = (0..2).flat_map(|p| (0..50).map(move |o| (p, o))).collect();
    assert_eq!(places(&engine, "bronze.t", "p", "o").await, wanted);
    all_equal(&engine).await;
}
