//! The session over tables in memory: names, places of errors, parameters, refusals, lists, results.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlanBuilder, col};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use ingot_model::TableName;
use ingot_project::project::ViewModel;
use uuid::Uuid;

use crate::statement::{self, Version};
use crate::{Caller, ErrorKind, Pin, Pins, QueryError, Session, SessionLimits};

mod callers;
mod headers;
mod listing;
mod parameters;
mod texts;

const ME: &Caller = &Caller::ANONYMOUS;

fn name(text: &str) -> TableName {
    let (namespace, name) = text.split_once('.').unwrap();
    TableName::new(namespace, name)
}

pub(crate) fn table(columns: Vec<(&str, ArrayRef)>) -> Arc<dyn TableProvider> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

fn events() -> Arc<dyn TableProvider> {
    let ts = TimestampMicrosecondArray::from(vec![1_700_000_000_000_000, 1_700_000_060_000_000, 1_700_000_120_000_000])
        .with_timezone("UTC");
    table(vec![
        ("id", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ("type", Arc::new(StringArray::from(vec!["car", "bike", "car"]))),
        ("battery", Arc::new(Float64Array::from(vec![Some(10.0), Some(20.0), None]))),
        ("ts", Arc::new(ts)),
        ("vehicleId", Arc::new(StringViewArray::from(vec!["x", "y", "z"]))),
    ])
}

fn view(of: &Arc<dyn TableProvider>) -> ViewModel {
    let plan = LogicalPlanBuilder::scan("silver.events", provider_as_source(Arc::clone(of)), None)
        .unwrap()
        .filter(col("type").eq(datafusion::prelude::lit("car")))
        .unwrap()
        .project(vec![col("id"), col("battery")])
        .unwrap()
        .build()
        .unwrap();
    let schema = Arc::clone(plan.schema().inner());
    ViewModel {
        name: name("gold.cars"),
        schema,
        plan,
        inputs: vec![name("silver.events")],
        file: "sql/gold/cars.sql".into(),
        sql: "SELECT id, battery FROM silver.events WHERE type = 'car'".into(),
    }
}

fn with_limits(limits: &SessionLimits) -> Session {
    let events = events();
    let stats = table(vec![
        ("type", Arc::new(StringArray::from(vec!["car"])) as ArrayRef),
        ("total", Arc::new(Float64Array::from(vec![2.0]))),
    ]);
    let views = vec![view(&events)];
    Session::over([(name("silver.events"), events), (name("gold.stats"), stats)], views, "ingot", limits).unwrap()
}

fn session() -> Session {
    with_limits(&SessionLimits { memory_bytes_max: 64 << 20, parallelism: Some(2), ..SessionLimits::default() })
}

async fn run(s: &Session, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    let planned = s.plan(ME, sql, None).await?;
    let stream = s.execute(ME, &planned, None).await?;
    let schema = stream.schema();
    assert_eq!(schema, planned.schema, "{sql}");
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(|e| QueryError::from_running(sql, &e))?;
    assert!(batches.iter().all(|b| b.schema() == schema), "{sql}");
    Ok(batches)
}

pub(crate) async fn text(s: &Session, sql: &str) -> String {
    pretty_format_batches(&run(s, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))).unwrap().to_string()
}

pub(crate) async fn fails(s: &Session, sql: &str) -> QueryError {
    match run(s, sql).await {
        Err(e) => e,
        Ok(_) => panic!("{sql}: ran"),
    }
}

#[tokio::test]
async fn names_have_two_or_three_parts() {
    let s = session();
    for sql in [
        "SELECT count(*) AS n FROM silver.events",
        "SELECT count(*) AS n FROM ingot.silver.events",
        "SELECT count(*) AS n FROM Silver.EVENTS",
        "WITH events AS (SELECT * FROM silver.events) SELECT count(*) AS n FROM events",
        "SELECT count(*) AS n FROM range(3)",
        "SELECT count(*) AS n FROM (VALUES (1), (2), (3)) AS v",
        "select count(*) as n from silver.events as e join gold.stats as s on true",
    ] {
        assert!(text(&s, sql).await.contains("| 3 |"), "{sql}");
    }
}

/// Wanted: SQL's text; the order of UUIDs is that of their bytes.
#[tokio::test]
async fn what_differs_in_a_cast_and_keys_named_twice_are_answered() {
    let s = session();
    let t = "(VALUES (3, 1, X'01'), (3, 2, X'02'), (5, 4, X'01')) AS t(k, v, u)";
    for (sql, wanted) in [
        ("SELECT k, count(*) AS n FROM {t} GROUP BY k, CAST(k AS DOUBLE) ORDER BY k", "3,2 5,1"),
        ("SELECT CAST(k AS DOUBLE) AS d, k FROM {t} GROUP BY 1, 2 ORDER BY k", "3.0,3 5.0,5"),
        ("SELECT sum(v) AS a, sum(CAST(v AS DOUBLE)) AS b, max(CAST(v AS VARCHAR)) AS c FROM {t}", "7,7.0,4"),
        ("SELECT * FROM (SELECT k, CAST(k AS DOUBLE) FROM {t} LIMIT 1) AS x(a, b)", "3,3.0"),
        (
            "SELECT k, CAST(k AS DOUBLE) AS d, count(*) AS n FROM {t} GROUP BY ROLLUP (k, CAST(k AS DOUBLE)) HAVING grouping(CAST(k AS DOUBLE)) = 0 ORDER BY k",
            "3,3.0,2 5,5.0,1",
        ),
        ("SELECT DISTINCT ON (k, CAST(k AS DOUBLE)) k, v FROM {t} ORDER BY k, CAST(k AS DOUBLE), v DESC", "3,2 5,4"),
        ("SELECT DISTINCT ON (k, k) k, v FROM {t} ORDER BY k, k, v DESC, v", "3,2 5,4"),
        ("SELECT first_value(v ORDER BY k, v DESC, k) AS f, last_value(v ORDER BY k, k) AS l FROM {t}", "2,4"),
        (
            "SELECT v, sum(v) OVER (ORDER BY arrow_cast(u, 'FixedSizeBinary(1)')) AS s FROM {t} ORDER BY v",
            "1,5 2,7 4,5",
        ),
        ("SELECT v, rank() OVER (ORDER BY u DESC) AS r FROM {t} ORDER BY v, v", "1,2 2,1 4,2"),
        ("SELECT 'n' || v + 1 AS c FROM {t} WHERE k IS NOT DISTINCT FROM 3 AND v IS DISTINCT FROM 1", "n3"),
    ] {
        let table = text(&s, &sql.replace("{t}", t)).await;
        let rows: Vec<String> = table
            .lines()
            .filter(|l| l.starts_with('|'))
            .skip(1)
            .map(|l| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","))
            .collect();
        assert_eq!(rows.join(" "), wanted, "{sql}");
    }
}

#[tokio::test]
async fn unknown_names_say_what_there_is_and_where() {
    let s = session();
    let e = fails(&s, "SELECT *\nFROM events").await;
    assert_eq!((e.kind, e.code), (ErrorKind::UnknownName, "Q0102"));
    assert_eq!(e.hint.as_deref(), Some("write silver.events"));
    assert_eq!(
        e.to_string(),
        "Q0102: table \"events\" has no namespace (line 2, column 6)\n   |\n 2 | FROM events\n   |      ^^^^^^\n  = help: write silver.events"
    );
    let hint = |e: QueryError| e.hint.unwrap_or_default();
    assert_eq!(hint(fails(&s, "SELECT * FROM event").await), "did you mean silver.events?");
    assert_eq!(hint(fails(&s, "SELECT * FROM silver.event").await), "did you mean silver.events?");
    assert_eq!(hint(fails(&s, "SELECT * FROM gold.events").await), "did you mean silver.events?");
    assert!(hint(fails(&s, "SELECT * FROM nowhere.zzz").await).contains("gold, silver"));
    assert!(fails(&s, "SELECT * FROM trino.silver.events").await.message.contains("catalog \"trino\""));
    let e = fails(&s, "SELECT batery FROM silver.events").await;
    assert_eq!((e.code, e.span().map(|s| (s.start.line, s.start.column))), ("Q0102", Some((1, 8))));
    assert_eq!(e.hint.as_deref(), Some("did you mean \"battery\"?"));
    let e = fails(&s, "SELECT 1 FROM silver.events WHERE vehicleId = 'x'").await;
    assert!(e.hint.unwrap().contains("\"vehicleId\""));
    let e = fails(&s, "SELECT nofn(id) FROM silver.events").await;
    assert_eq!(e.span().map(|s| s.start.column), Some(8), "{e}");
    let e = fails(&s, "SELECT conut(id) FROM silver.events").await;
    assert_eq!((e.kind, e.hint.as_deref()), (ErrorKind::UnknownName, Some("did you mean count?")), "{e}");
    let e = fails(&s, "SELECT x.id FROM silver.events AS e").await;
    assert_eq!(e.message, "column \"x.id\" does not exist");
    assert_eq!(e.hint.as_deref(), Some("no table is called \"x\" here; there are: e"));
    // A table of the query around this one is there, though its columns are not at hand.
    for sql in [
        "SELECT 1 FROM silver.events AS a WHERE EXISTS (SELECT 1 FROM silver.events AS b WHERE b.id = a.nope)",
        "SELECT (SELECT max(b.id) FROM silver.events AS b WHERE b.id = a.nope) FROM silver.events AS a",
    ] {
        let e = fails(&s, sql).await;
        assert_eq!((e.message.as_str(), e.hint.as_deref()), ("column \"a.nope\" does not exist", None), "{sql}");
    }
    // The engine gives no place, or that of the whole join.
    for (sql, column) in [
        ("SELECT id FROM silver.events ORDER BY nope", 39),
        ("SELECT id FROM silver.events AS a ORDER BY z.id", 46),
        ("SELECT * FROM silver.events AS a JOIN silver.events AS b USING (nope)", 65),
    ] {
        assert_eq!(fails(&s, sql).await.span().map(|s| s.start.column), Some(column), "{sql}");
    }
}

#[tokio::test]
async fn syntax_errors_have_a_place() {
    let s = session();
    for (sql, line, column) in
        [("SELECT a,, b FROM x", 1, 10), ("SELECT a\nFROM silver.events WHERE (a = 1", 2, 32), ("SELECT 'abc", 1, 8)]
    {
        let e = fails(&s, sql).await;
        assert_eq!(e.kind, ErrorKind::Syntax, "{sql}: {e}");
        assert_eq!(e.span().map(|s| (s.start.line, s.start.column)), Some((line, column)), "{sql}: {e}");
    }
    assert_eq!(fails(&s, " -- nothing").await.kind, ErrorKind::Syntax);
    assert_eq!(fails(&s, "SELECT 1; SELECT 2").await.kind, ErrorKind::Syntax);
    assert!(text(&s, "SELECT 1 AS a;").await.contains("| 1 |"));
}

#[tokio::test]
async fn only_reads_are_planned() {
    let s = session();
    for sql in [
        "CREATE TABLE x (a INT)",
        "CREATE MATERIALIZED VIEW gold.x AS SELECT 1",
        "CREATE STREAMING TABLE x AS SELECT * FROM STREAM y",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO gold.stats VALUES ('x', 1)",
        "UPDATE gold.stats SET total = 1",
        "DELETE FROM gold.stats",
        "DROP TABLE gold.stats",
        "TRUNCATE TABLE gold.stats",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "REFRESH gold.stats",
        "EXPLAIN INSERT INTO gold.stats VALUES ('x', 1)",
        "EXPLAIN REFRESH gold.stats",
        "WITH x AS (SELECT 1) INSERT INTO gold.stats SELECT 'x', 1",
        "SELECT 1 AS a INTO gold.other",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "USE ingot",
    ] {
        let e = fails(&s, sql).await;
        assert_eq!(e.code, "Q0104", "{sql}: {e}");
    }
    assert_eq!(fails(&s, "SELECT * FROM silver.events TABLESAMPLE (10)").await.kind, ErrorKind::Unsupported);
    assert!(fails(&s, "SELECT * FROM '/etc/passwd'").await.kind != ErrorKind::Internal);
}

#[tokio::test]
async fn parameters_are_numbered_typed_and_bound() {
    let s = session();
    let planned = s.plan(ME, "SELECT id FROM silver.events WHERE battery > ? AND type = ?", None).await.unwrap();
    assert_eq!(
        planned.parameters,
        [("$1".to_owned(), Some(DataType::Float64)), ("$2".to_owned(), Some(DataType::Utf8))]
    );
    // An integer and a text view come as a float and a text.
    let values = vec![ScalarValue::Int32(Some(15)), ScalarValue::Utf8View(Some("bike".into()))];
    let rows: Vec<RecordBatch> = s.execute(ME, &planned, Some(values)).await.unwrap().try_collect().await.unwrap();
    assert!(pretty_format_batches(&rows).unwrap().to_string().contains("| b  |"));
    let few = s.bind(ME, &planned, vec![ScalarValue::Int32(Some(1))]).await.err().unwrap();
    assert_eq!(few.code, "Q0105");
    let wrong = vec![ScalarValue::Utf8(Some("much".into())), ScalarValue::Utf8(None)];
    let wrong = s.bind(ME, &planned, wrong).await.err().unwrap();
    assert!(wrong.message.contains("$1"), "{wrong}");
    let unbound = s.execute(ME, &planned, None).await.err().unwrap();
    assert_eq!(unbound.kind, ErrorKind::Parameter);

    let untyped = s.plan(ME, "SELECT ? AS a", None).await.unwrap();
    assert_eq!(untyped.parameters, [("$1".to_owned(), None)]);
    assert_eq!(untyped.schema.field(0).data_type(), &DataType::Utf8);
    let bound = s.bind(ME, &untyped, vec![ScalarValue::Int64(Some(7))]).await.unwrap();
    assert_eq!(bound.schema.field(0).data_type(), &DataType::Int64);

    // Parameters beside nothing but each other have the types of their values.
    for (sql, values) in [
        ("SELECT id FROM silver.events WHERE ? NOT BETWEEN ? AND ?", ["m", "a", "c"]),
        ("SELECT id FROM silver.events WHERE ? IN (?, ?)", ["a", "b", "a"]),
        ("SELECT id FROM silver.events WHERE coalesce(?, ?) = ?", ["a", "b", "a"]),
        ("SELECT id FROM silver.events WHERE (? || ?) = ?", ["a", "b", "ab"]),
        ("SELECT id FROM silver.events WHERE ? || (?) || ? = 'abc'", ["a", "b", "c"]),
    ] {
        let planned = s.plan(ME, sql, None).await.unwrap();
        let values = values.map(|v| ScalarValue::Utf8(Some(v.into())));
        let rows: Vec<RecordBatch> =
            s.execute(ME, &planned, Some(values.to_vec())).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3, "{sql}");
    }

    let planned =
        s.plan(ME, "SELECT id FROM silver.events WHERE extract(epoch FROM (? - ?)) = 60", None).await.unwrap();
    let values = [60_000_000, 0].map(|t| ScalarValue::TimestampMicrosecond(Some(t), None));
    let rows: Vec<RecordBatch> =
        s.execute(ME, &planned, Some(values.to_vec())).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    for (sql, found) in [("SELECT ? + ? AS x", "5"), ("SELECT ? * -? AS x", "-6"), ("SELECT ? / ? AS x", "0")] {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let values = vec![ScalarValue::Int64(Some(2)), ScalarValue::Int64(Some(3))];
        let rows: Vec<RecordBatch> = s.execute(ME, &planned, Some(values)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0).to_string(), found, "{sql}");
    }

    let reused = s.plan(ME, "SELECT $2 AS b, $1 AS a, $2 AS c", None).await.unwrap();
    assert_eq!(reused.parameters.len(), 2);
    assert_eq!(s.plan(ME, "SELECT ?, $1", None).await.err().unwrap().kind, ErrorKind::Parameter);
    let limited = s.plan(ME, "SELECT id FROM silver.events ORDER BY id LIMIT ?", None).await.unwrap();
    let rows: Vec<RecordBatch> =
        s.execute(ME, &limited, Some(vec![ScalarValue::Int64(Some(1))])).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

#[tokio::test]
async fn show_describe_and_explain_answer() {
    let s = session();
    let tables = text(&s, "SHOW TABLES").await;
    assert!(
        tables.contains("events")
            && tables.contains("stats")
            && tables.contains("VIEW")
            && !tables.contains("information_schema"),
        "{tables}"
    );
    let gold = text(&s, "SHOW TABLES FROM gold").await;
    assert!(gold.contains("stats") && !gold.contains("events"), "{gold}");
    assert!(!text(&s, "SHOW TABLES LIKE 'st%'").await.contains("events"));
    let schemas = text(&s, "SHOW SCHEMAS").await;
    assert!(schemas.contains("gold") && schemas.contains("silver"), "{schemas}");
    assert!(text(&s, "SHOW COLUMNS FROM silver.events").await.contains("battery"));
    assert!(text(&s, "DESCRIBE silver.events").await.contains("battery"));
    assert!(text(&s, "DESCRIBE gold.cars").await.contains("battery"));
    assert!(text(&s, "EXPLAIN SELECT * FROM silver.events").await.contains("physical_plan"));
    assert!(text(&s, "EXPLAIN ANALYZE SELECT * FROM silver.events").await.contains("Plan with Metrics"));
    assert!(text(&s, "EXPLAIN FORMAT TREE SELECT * FROM silver.events").await.contains("physical_plan"));
    let plan = "EXPLAIN SELECT type, count(*) AS n, max(battery) AS m FROM silver.events \
        WHERE CAST(id AS BIGINT) > 5 AND type <> 'Int64(1)' AND ts > TIMESTAMPTZ '2020-01-01' GROUP BY type ORDER BY n LIMIT 3";
    let shown = text(&s, plan).await;
    let (logical, _) = shown.split_once("physical_plan").unwrap();
    for wanted in ["count(*)", "<> 'Int64(1)'", "AS BIGINT", "TIMESTAMPTZ '2020-01-01T00:00:00Z'", "> 5"] {
        assert!(logical.contains(wanted), "no {wanted}: {logical}");
    }
    let plain = logical.replace("'Int64(1)'", "");
    for theirs in ["Int64", "Utf8", "Float64", "Timestamp", "Decimal128", "ingot_"] {
        assert!(!plain.contains(theirs), "{theirs}: {logical}");
    }
    let listed = text(
        &s,
        "SELECT table_name FROM information_schema.tables t JOIN silver.events e ON true WHERE table_schema = 'gold'",
    )
    .await;
    assert!(listed.contains("stats"), "{listed}");
    assert_eq!(fails(&s, "DESCRIBE silver.event").await.hint.as_deref(), Some("did you mean silver.events?"));
    assert_eq!(fails(&s, "SHOW COLUMNS FROM events").await.kind, ErrorKind::UnknownName);
}

#[tokio::test]
async fn views_are_expanded_over_the_tables_of_the_query() {
    let s = session();
    let cars = text(&s, "SELECT id FROM gold.cars ORDER BY id").await;
    assert!(cars.contains("| a  |") && cars.contains("| c  |") && !cars.contains("| b  |"), "{cars}");

    // The table gained a column in front since the view was planned.
    let moved = table(vec![
        ("new", Arc::new(StringArray::from(vec!["n"])) as ArrayRef),
        ("battery", Arc::new(Float64Array::from(vec![5.0]))),
        ("id", Arc::new(StringArray::from(vec!["m"]))),
        ("type", Arc::new(StringArray::from(vec!["car"]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"))),
        ("vehicleId", Arc::new(StringViewArray::from(vec!["x"]))),
    ]);
    let limits = SessionLimits::default();
    let s = Session::over([(name("silver.events"), moved)], vec![view(&events())], "ingot", &limits).unwrap();
    assert!(text(&s, "SELECT id, battery FROM gold.cars").await.contains("| m  | 5.0"));

    // It lost one that the view reads, or is not there.
    let less = table(vec![("id", Arc::new(StringArray::from(vec!["m"])) as ArrayRef)]);
    let s = Session::over([(name("silver.events"), less)], vec![view(&events())], "ingot", &limits).unwrap();
    assert_eq!(fails(&s, "SELECT * FROM gold.cars").await.kind, ErrorKind::Unavailable);
    let s = Session::over([], vec![view(&events())], "ingot", &limits).unwrap();
    assert!(fails(&s, "SELECT * FROM gold.cars").await.message.contains("does not exist yet"));
}

#[tokio::test]
async fn clients_get_plain_types() {
    let s = session();
    let sql = "SELECT \"vehicleId\", [\"vehicleId\"] AS l, named_struct('v', \"vehicleId\") AS s, arrow_cast(id, 'Dictionary(Int32, Utf8)') AS d, \
               arrow_cast('x', 'BinaryView') AS b, ts FROM silver.events";
    let planned = s.plan(ME, sql, None).await.unwrap();
    let types: Vec<String> = planned.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert!(types.iter().all(|t| !t.contains("View") && !t.contains("Dictionary")), "{types:?}");
    assert!(text(&s, sql).await.contains("[x]"));
    assert_eq!(
        run(&s, "SELECT count(*) AS n FROM silver.events WHERE ts > TIMESTAMP '2023-11-14T22:13:30Z'")
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn errors_of_rows_and_memory_end_the_result() {
    let s = session();
    let e = fails(&s, "SELECT 10 / (value - 5) AS x FROM range(10)").await;
    assert_eq!(e.code, "Q0112", "{e}");
    let e = fails(&s, "SELECT CAST(id AS INT) AS x FROM silver.events").await;
    assert_eq!(e.code, "Q0112", "{e}");
    let small =
        with_limits(&SessionLimits { memory_bytes_max: 1 << 20, parallelism: Some(2), ..SessionLimits::default() });
    let e =
        fails(&small, "SELECT count(*) AS n FROM range(3000000) a JOIN range(3000000) b ON a.value = b.value").await;
    assert_eq!((e.code, e.retryable), ("Q0108", true), "{e}");
}

#[tokio::test]
async fn lists_have_schemas_when_asked() {
    let s = session();
    let names: Vec<(String, &str)> = s
        .tables(ME, false)
        .await
        .unwrap()
        .into_iter()
        .map(|t| (format!("{}.{}", t.namespace, t.name), t.kind))
        .collect();
    assert_eq!(
        names,
        [("gold.cars".to_owned(), "VIEW"), ("gold.stats".to_owned(), "TABLE"), ("silver.events".to_owned(), "TABLE")]
    );
    let with = s.tables(ME, true).await.unwrap();
    assert_eq!(with[0].schema.fields().len(), 2);
    assert_eq!(with[2].schema.field(4).data_type(), &DataType::Utf8);
    assert_eq!(s.namespaces(ME).await.unwrap(), ["gold", "silver"]);
}

#[test]
fn pins_travel_as_json() {
    let mut pins = Pins::default();
    pins.0.insert(name("gold.stats"), Pin { uuid: Uuid::from_u128(7), snapshot: Some(-9_007_199_254_740_993) });
    pins.0.insert(name("silver.events"), Pin { uuid: Uuid::from_u128(8), snapshot: None });
    let json = serde_json::to_string(&pins).unwrap();
    assert_eq!(serde_json::from_str::<Pins>(&json).unwrap(), pins);
    assert!(serde_json::from_str::<Pins>(r#"[["a","b","not a uuid",1]]"#).is_err());
}

#[test]
fn versions_are_taken_out_of_the_text() {
    let parse = |sql: &str| statement::parse(sql, "ingot");
    let found = parse(
        "SELECT * FROM a.t FOR VERSION AS OF 12 JOIN a.t AS now ON t.k = now.k \
         JOIN ingot.a.u FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01' x ON x.k = now.k, a.v FOR VERSION AS OF 'main'",
    )
    .unwrap();
    let mut read: Vec<(String, Option<Version>)> =
        found.relations.into_iter().map(|r| (r.parts.join("."), r.version)).collect();
    read.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.is_some().cmp(&b.1.is_some())));
    assert_eq!(
        read,
        [
            ("a.t".to_owned(), None),
            ("a.t".to_owned(), Some(Version::Id(12))),
            ("a.v".to_owned(), Some(Version::Ref("main".into()))),
            ("ingot.a.u".to_owned(), Some(Version::Timestamp("2026-01-01".into()))),
        ]
    );
    let day = parse("SELECT * FROM a.t FOR TIMESTAMP AS OF DATE '2026-01-31'").unwrap();
    assert_eq!(day.relations[0].version, Some(Version::Timestamp("2026-01-31".into())));
    for wrong in [
        "SELECT * FROM a.t FOR VERSION AS OF",
        "SELECT * FROM a.t FOR VERSION AS OF now()",
        "SELECT * FROM a.t FOR TIMESTAMP AS OF 12",
        "SELECT 1 FOR VERSION AS OF 12",
    ] {
        assert_eq!(parse(wrong).unwrap_err().kind, ErrorKind::Syntax, "{wrong}");
    }
}

/// A statement over `silver.groups`, as a client's and as a served view.
async fn both_ways(sql: &str) -> [Vec<String>; 2] {
    let k = Int64Array::from(vec![1, 1, 2, 3, 4, 4, 5]);
    let x = Int64Array::from(vec![Some(10), Some(11), Some(5), None, Some(20), None, None]);
    let groups = table(vec![("k", Arc::new(k) as ArrayRef), ("x", Arc::new(x))]);
    let context = SessionContext::new_with_config(SessionConfig::new().with_default_catalog_and_schema("c", "silver"));
    context.register_table("groups", Arc::clone(&groups)).unwrap();
    let plan = context.state().create_logical_plan(sql).await.unwrap();
    let view = ViewModel {
        name: name("gold.top"),
        schema: Arc::clone(plan.schema().inner()),
        plan,
        inputs: vec![name("silver.groups")],
        file: "sql/gold/top.sql".into(),
        sql: sql.into(),
    };
    let limits = SessionLimits { memory_bytes_max: 64 << 20, parallelism: Some(2), ..SessionLimits::default() };
    let s = Session::over([(name("silver.groups"), groups)], vec![view], "ingot", &limits).unwrap();
    let mut found = [Vec::new(), Vec::new()];
    for (text, keys) in [sql, "SELECT k FROM gold.top"].into_iter().zip(&mut found) {
        for batch in run(&s, text).await.unwrap_or_else(|e| panic!("{text}: {e}")) {
            let column = batch.column_by_name("k").unwrap().as_primitive::<Int64Type>();
            keys.extend(column.values().iter().map(ToString::to_string));
        }
    }
    found
}

/// As in a materialized view; the values are those of Python's `fractions`.
#[tokio::test]
async fn sums_of_floats_are_exact_and_rounded_once() {
    let mut x = vec![0.1; 9];
    x.extend([1e20, 1.0, -1e20]);
    let k: Vec<i64> = (0..12).map(|at| i64::from(at >= 9)).collect();
    let rows = table(vec![("k", Arc::new(Int64Array::from(k))), ("x", Arc::new(Float64Array::from(x)))]);
    let s = Session::over([(name("silver.x"), rows)], vec![], "ingot", &SessionLimits::default()).unwrap();
    let from = "FROM silver.x GROUP BY k ORDER BY k";
    for (sql, wanted) in [
        (format!("SELECT sum(x) AS s {from}"), vec![0.9, 1.0]),
        (format!("SELECT avg(x) AS s {from}"), vec![0.1, 1.0 / 3.0]),
        (format!("SELECT sum(DISTINCT x) AS s {from}"), vec![0.1, 1.0]),
        ("SELECT sum(x) AS s FROM silver.x".into(), vec![1.9000000000000001]),
        ("SELECT sum(x) OVER () AS s FROM silver.x WHERE k = 1 LIMIT 1".into(), vec![1.0]),
    ] {
        let batches = run(&s, &sql).await.unwrap();
        let found: Vec<f64> =
            batches.iter().flat_map(|b| b.column(0).as_primitive::<Float64Type>().values().to_vec()).collect();
        assert_eq!(found, wanted, "{sql}");
    }
}

#[tokio::test]
async fn a_top_n_keeps_groups_without_a_value() {
    for function in ["min", "max"] {
        for (order, wanted) in [
            ("", "2 1 4 3 5"),
            ("DESC", "3 5 4 1 2"),
            ("ASC NULLS FIRST", "3 5 2 1 4"),
            ("ASC NULLS LAST", "2 1 4 3 5"),
            ("DESC NULLS FIRST", "3 5 4 1 2"),
            ("DESC NULLS LAST", "4 1 2 3 5"),
        ] {
            let wanted: Vec<&str> = wanted.split(' ').collect();
            for limit in 1..=5 {
                let sql = format!(
                    "SELECT k, {function}(x) AS m FROM silver.groups GROUP BY k ORDER BY m {order}, k LIMIT {limit}"
                );
                let [asked, mut served] = both_ways(&sql).await;
                assert_eq!(asked, wanted[..limit], "{sql}");
                let mut kept = wanted[..limit].to_vec();
                kept.sort_unstable();
                served.sort_unstable();
                assert_eq!(served, kept, "{sql}, served");
            }
        }
    }
}

#[tokio::test]
async fn what_no_query_has_is_refused_with_its_place() {
    let s = session();
    for (sql, code, place) in [
        ("SELECT id FROM silver.events NATURAL FULL JOIN gold.stats", "U0509", 48),
        ("WITH w AS (SELECT type FROM silver.events NATURAL RIGHT JOIN gold.stats) SELECT 1", "U0509", 62),
    ] {
        let error = fails(&s, sql).await;
        assert_eq!((error.kind, error.span().map(|p| p.start.column)), (ErrorKind::Unsupported, Some(place)), "{sql}");
        assert!(error.message.contains(code) && error.hint.is_some(), "{error}");
    }
    assert_eq!(
        text(&s, "SELECT type FROM silver.events FULL JOIN (SELECT 'tram' AS type) AS t USING (type) WHERE id IS NULL")
            .await,
        ["+------+", "| type |", "+------+", "| tram |", "+------+"].join("\n")
    );
}
