//! What right projects become: kinds, order, strategies, fingerprints, side tables, selections.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use ingot_delta::Incremental;
use ingot_model::TableName;
use ingot_project::project::{Model, ModelKind, Project, SqlFile, StreamInput, ViolationAction};
use ingot_project::{check::check_files, graph::select};

use super::check;

const BRONZE: &str = "
CREATE SOURCE vehicles (
  id VARCHAR, type VARCHAR, battery DOUBLE, lat DOUBLE, lon DOUBLE, ts TIMESTAMPTZ)
INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset INCLUDE TIMESTAMP AS _kafka_ts
WITH ('connector' = 'kafka', 'topic' = 'vehicles-events')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.vehicle_events
PARTITIONED BY (days(ts)) COMMENT 'raw vehicle telemetry'
ON DECODE ERROR INTO bronze.vehicle_events_errors
AS SELECT * FROM STREAM vehicles;";

const SILVER: &str = "
CREATE TEMPORARY VIEW clean_events (
  CONSTRAINT has_key     EXPECT (id IS NOT NULL AND ts IS NOT NULL)       ON VIOLATION DROP ROW,
  CONSTRAINT known_type  EXPECT (type IN ('car', 'bike', 'scoot'))        ON VIOLATION QUARANTINE INTO silver.vehicle_events_rejected,
  CONSTRAINT battery_pct EXPECT (battery BETWEEN 0 AND 100)               ON VIOLATION DROP ROW)
AS SELECT id, lower(trim(type)) AS type, battery, lat, lon, ts, _partition, _offset
FROM bronze.vehicle_events;

CREATE MATERIALIZED VIEW silver.vehicle_events (PRIMARY KEY (id, ts) NOT ENFORCED)
PARTITIONED BY (days(ts)) TAGS ('team' = 'fleet')
AS SELECT id, type, battery, lat, lon, ts
FROM clean_events
QUALIFY row_number() OVER (PARTITION BY id, ts ORDER BY _partition, _offset) = 1;";

const GOLD: &str = "
CREATE MATERIALIZED VIEW gold.stats
AS SELECT type, count(*) AS total, avg(battery) AS avg_battery, max(lat) AS max_lat
FROM silver.vehicle_events GROUP BY type;";

fn project(bronze: &str, silver: &str, gold: &str) -> Project {
    let checked = check(&[("bronze/v.sql", bronze), ("silver/v.sql", silver), ("gold/stats.sql", gold)]);
    let text = format!("{:#?}", checked.diagnostics);
    checked.project.expect(&text)
}

fn shipped() -> Project {
    project(BRONZE, SILVER, GOLD)
}

fn name(dotted: &str) -> TableName {
    dotted.parse().unwrap()
}

fn model<'a>(p: &'a Project, dotted: &str) -> &'a Model {
    &p.tables[&name(dotted)]
}

#[test]
fn the_shipped_project_is_right() {
    let p = shipped();
    let order: Vec<String> = p.order.iter().map(ToString::to_string).collect();
    assert_eq!(
        order,
        [
            "bronze.vehicle_events_errors",
            "bronze.vehicle_events",
            "silver.vehicle_events_rejected",
            "silver.vehicle_events",
            "gold.stats"
        ]
    );
    let bronze = model(&p, "bronze.vehicle_events");
    assert_eq!(bronze.kind, ModelKind::Streaming { input: StreamInput::Source("vehicles".into()) });
    assert_eq!(bronze.strategy.incremental(), Ok(Incremental::Linear));
    assert_eq!(bronze.comment.as_deref(), Some("raw vehicle telemetry"));
    let errors = model(&p, "bronze.vehicle_events_errors");
    assert_eq!(errors.schema, ingot_source::error_schema());
    assert_eq!(errors.kind, ModelKind::DecodeErrors { of: name("bronze.vehicle_events") });
    let silver = model(&p, "silver.vehicle_events");
    assert_eq!(silver.strategy.incremental(), Ok(Incremental::KeepFirst));
    assert!(!silver.definition.state_columns.is_empty());
    assert_eq!(silver.primary_key, ["id", "ts"]);
    assert_eq!(silver.definition.properties["ingot.primary-key"], r#"["id","ts"]"#);
    assert_eq!(silver.inputs, [name("bronze.vehicle_events")]);
    assert_eq!(silver.sides, [name("silver.vehicle_events_rejected")]);
    let rejected = model(&p, "silver.vehicle_events_rejected");
    assert_eq!(rejected.kind, ModelKind::Quarantine { of: name("silver.vehicle_events") });
    assert_eq!(rejected.strategy.incremental(), Ok(Incremental::Linear));
    let columns: Vec<&str> = rejected.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(columns, ["id", "type", "battery", "lat", "lon", "ts", "_partition", "_offset", "_violations"]);
    let stats = model(&p, "gold.stats");
    assert_eq!(stats.strategy.incremental(), Ok(Incremental::Aggregate));
    let types: Vec<&DataType> = stats.schema.fields().iter().map(|f| f.data_type()).collect();
    assert_eq!(types, [&DataType::Utf8, &DataType::Int64, &DataType::Float64, &DataType::Float64]);
    assert_eq!(
        silver.checked[0].expectations[1].violation,
        ViolationAction::Quarantine(name("silver.vehicle_events_rejected"))
    );
}

#[test]
fn the_files_that_are_shipped_are_right() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql");
    let cfg = ingot_project::config::Config::load(
        &root,
        None,
        &[],
        &std::collections::BTreeMap::new(),
        ingot_source::check_property,
    )
    .unwrap();
    let checked = ingot_project::check::load(&root, &cfg);
    assert!(checked.diagnostics.is_empty(), "{:#?}", checked.diagnostics);
    let names: Vec<String> = checked.project.unwrap().tables.keys().map(ToString::to_string).collect();
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn fingerprints_follow_what_decides_rows() {
    let all = |p: &Project| -> Vec<(String, String)> {
        p.tables.values().map(|m| (m.name.to_string(), m.fingerprint.clone())).collect()
    };
    let base = all(&shipped());
    let distinct: BTreeSet<&String> = base.iter().map(|(_, f)| f).collect();
    assert_eq!(distinct.len(), base.len());
    let changed = |bronze: &str, silver: &str, gold: &str| -> Vec<String> {
        let now = all(&project(bronze, silver, gold));
        base.iter().zip(&now).filter(|(a, b)| a != b).map(|(a, _)| a.0.clone()).collect()
    };
    let nothing: Vec<String> = Vec::new();
    let cosmetic = GOLD
        .replace("count(*)", "COUNT( * ) /* all */")
        .replace("\nAS", "\nCOMMENT 'x' TAGS ('a' = 'b') REFRESH POLICY AUTO\nAS");
    assert_eq!(changed(BRONZE, SILVER, &cosmetic), nothing);
    assert_eq!(
        changed(&BRONZE.replace("'vehicles-events')", "'vehicles-events', 'client.id' = 'x')"), SILVER, GOLD),
        nothing
    );
    assert_eq!(
        changed(&BRONZE.replace("PARTITIONED BY (days(ts))", "PARTITIONED BY (hours(ts))"), SILVER, GOLD),
        nothing
    );
    assert_eq!(changed(BRONZE, SILVER, &GOLD.replace("max(lat)", "min(lat)")), ["gold.stats"]);
    let views = ["silver.vehicle_events", "silver.vehicle_events_rejected"];
    assert_eq!(changed(BRONZE, &SILVER.replace("AND 100", "AND 99"), GOLD), views);
    assert_eq!(changed(BRONZE, &SILVER.replace("lower(trim(type))", "lower(type)"), GOLD), views);
    let bronze = ["bronze.vehicle_events", "bronze.vehicle_events_errors"];
    assert_eq!(changed(&BRONZE.replace("battery DOUBLE", "battery DOUBLE FROM '$.b'"), SILVER, GOLD), bronze);
    assert_eq!(changed(&BRONZE.replace("ENCODE JSON", "ENCODE JSON (coerce = 'lossless')"), SILVER, GOLD), bronze);
}

/// Runs a model's plan over rows of `bronze.vehicle_events`.
async fn run(plan: &LogicalPlan, rows: &RecordBatch) -> Vec<RecordBatch> {
    let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
    let source = provider_as_source(Arc::new(table));
    let bound = ingot_delta::rebind_tables(plan, &|t: &TableReference| {
        (t.table() == "vehicle_events").then(|| Arc::clone(&source))
    })
    .unwrap();
    DataFrame::new(SessionContext::new().state(), bound).collect().await.unwrap()
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn events(p: &Project, rows: &[(Option<&str>, Option<&str>, Option<f64>)]) -> RecordBatch {
    let n = rows.len();
    let schema = Arc::clone(&model(p, "bronze.vehicle_events").schema);
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|f| -> ArrayRef {
            match f.name().as_str() {
                "id" => Arc::new(StringArray::from_iter(rows.iter().map(|r| r.0))),
                "type" => Arc::new(StringArray::from_iter(rows.iter().map(|r| r.1))),
                "battery" => Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.2))),
                "_offset" => Arc::new(Int64Array::from_iter_values(0..n as i64)),
                "ts" => Arc::new(TimestampMicrosecondArray::from_iter_values(0..n as i64).with_timezone("UTC")),
                _ => datafusion::arrow::array::new_null_array(f.data_type(), n),
            }
        })
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

#[tokio::test]
async fn every_row_is_kept_dropped_or_quarantined() {
    let p = shipped();
    let rows = events(
        &p,
        &[
            (Some("a"), Some(" Car "), Some(50.0)), // kept
            (None, Some("boat"), Some(50.0)),       // dropped by has_key first
            (Some("b"), Some("boat"), Some(150.0)), // quarantined; battery_pct broke too
            (Some("c"), None, Some(10.0)),          // quarantined: NULL is not TRUE
            (Some("d"), Some("bike"), None),        // dropped by battery_pct
            (Some("e"), Some("bike"), Some(100.0)), // kept
        ],
    );
    assert_eq!(count(&run(&model(&p, "silver.vehicle_events").plan, &rows).await), 2);
    let rejected = run(&model(&p, "silver.vehicle_events_rejected").plan, &rows).await;
    assert_eq!(count(&rejected), 2);
    let mut violations: Vec<String> = Vec::new();
    for batch in &rejected {
        let lists = batch.column_by_name("_violations").unwrap().as_list::<i32>();
        for i in 0..batch.num_rows() {
            let names = lists.value(i);
            violations.push(names.as_string::<i32>().iter().map(|v| v.unwrap()).collect::<Vec<_>>().join(" "));
        }
    }
    violations.sort();
    assert_eq!(violations, ["known_type", "known_type battery_pct"]);
    let relation = &model(&p, "silver.vehicle_events").checked[0];
    let flags: Vec<_> =
        relation.expectations.iter().enumerate().map(|(i, e)| e.broken.clone().alias(format!("b{i}"))).collect();
    let plan = datafusion::logical_expr::LogicalPlanBuilder::from(relation.plan.clone())
        .project(flags)
        .unwrap()
        .build()
        .unwrap();
    let broken: usize =
        run(&plan, &rows).await.iter().flat_map(|b| b.columns().to_vec()).map(|c| c.as_boolean().true_count()).sum();
    assert_eq!(broken, 1 + 1 + 1 + 1 + 1 + 1);
}

#[tokio::test]
async fn an_expectation_that_errors_is_broken() {
    let silver = "
CREATE MATERIALIZED VIEW silver.x (
  CONSTRAINT number EXPECT (CAST(type AS INT) > 1) ON VIOLATION DROP ROW,
  CONSTRAINT whole  EXPECT (coalesce(10 / CAST(battery AS INT), 1) > 0) ON VIOLATION QUARANTINE INTO silver.bad)
AS SELECT id, type, battery FROM bronze.vehicle_events";
    let checked = check(&[("bronze/v.sql", BRONZE), ("silver/x.sql", silver)]);
    let p = checked.project.unwrap();
    let rows = events(
        &p,
        &[
            (Some("a"), Some("12"), Some(5.0)),
            (Some("b"), Some("twelve"), Some(5.0)),
            (Some("c"), Some("0"), Some(5.0)),
            (Some("d"), Some("3"), Some(0.0)),
            (Some("e"), None, Some(0.0)),
        ],
    );
    let kept = run(&model(&p, "silver.x").plan, &rows).await;
    assert_eq!(count(&kept), 1);
    let bad = run(&model(&p, "silver.bad").plan, &rows).await;
    assert_eq!(count(&bad), 1);
}

#[tokio::test]
async fn output_is_stored_in_types_of_the_lake() {
    let silver = "
CREATE MATERIALIZED VIEW silver.x
AS SELECT id, to_timestamp_nanos(_offset - 3) AS at, CAST(_offset AS INT UNSIGNED) AS u, now() AS seen FROM bronze.vehicle_events";
    let p = check(&[("bronze/v.sql", BRONZE), ("silver/x.sql", silver)]).project.unwrap();
    let x = model(&p, "silver.x");
    let types: Vec<DataType> = x.schema.fields().iter().map(|f| f.data_type().clone()).collect();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(types, [DataType::Utf8, utc.clone(), DataType::Int64, utc]);
    let rows = events(&p, &[(Some("a"), None, None)]);
    let out = run(&x.plan, &rows).await;
    // -3 ns is in the microsecond before 1970.
    let at = datafusion::arrow::compute::cast(out[0].column(1), &DataType::Int64).unwrap();
    assert_eq!(at.as_primitive::<Int64Type>().value(0), -1);
}

#[test]
fn streams_of_tables_views_and_prefixes() {
    let files = [
        ("bronze/v.sql", BRONZE),
        (
            "silver/s.sql",
            "CREATE STREAMING TABLE silver.s AS SELECT id, ts FROM STREAM bronze.vehicle_events WHERE bronze.vehicle_events.lat > 0",
        ),
        (
            "silver/e.sql",
            "CREATE MATERIALIZED VIEW silver.e AS SELECT code, count(*) AS n FROM ingot.bronze.vehicle_events_errors GROUP BY code",
        ),
        ("gold/view.sql", "CREATE VIEW gold.seen AS SELECT id, max(ts) AS seen FROM silver.s GROUP BY id"),
        (
            "gold/late.sql",
            "CREATE MATERIALIZED VIEW gold.late AS WITH s AS (SELECT * FROM gold.seen) SELECT gold.seen.id, s.seen FROM gold.seen JOIN s ON s.id = gold.seen.id",
        ),
    ];
    let p = check(&files).project.unwrap();
    assert_eq!(
        model(&p, "silver.s").kind,
        ModelKind::Streaming { input: StreamInput::Table(name("bronze.vehicle_events")) }
    );
    assert_eq!(model(&p, "gold.late").inputs, [name("silver.s")]);
    assert_eq!(p.views[&name("gold.seen")].inputs, [name("silver.s")]);
    let cfg = super::config("namespace_prefix = \"dev_\"\nkafka.bootstrap.servers = \"h:1\"", &[]);
    let files = files
        .iter()
        .map(|(path, text)| ingot_project::project::SqlFile { path: (*path).into(), text: (*text).into() })
        .collect();
    let checked = check_files(std::path::Path::new("/project"), files, &cfg);
    let dev = checked.project.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
    assert_eq!(model(&dev, "dev_gold.late").inputs, [name("dev_silver.s")]);
    assert_eq!(model(&dev, "dev_silver.s").fingerprint, model(&p, "silver.s").fingerprint);
}

#[test]
fn selections() {
    let p = shipped();
    let chosen = |select_: &[&str], exclude: &[&str]| -> Vec<String> {
        let own = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        select(&p, &own(select_), &own(exclude)).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(chosen(&[], &[]).len(), 5);
    assert_eq!(chosen(&["gold.*"], &[]), ["gold.stats"]);
    assert_eq!(
        chosen(&["+gold.stats"], &["bronze.*"]),
        ["gold.stats", "silver.vehicle_events", "silver.vehicle_events_rejected"]
    );
    assert_eq!(chosen(&["tag:team"], &[]), ["silver.vehicle_events", "silver.vehicle_events_rejected"]);
    assert_eq!(
        chosen(&["silver.vehicle_events+"], &[]),
        ["gold.stats", "silver.vehicle_events", "silver.vehicle_events_rejected"]
    );
    assert_eq!(chosen(&["silver.[sv]*", "gold.stat?"], &["*_rejected"]), ["gold.stats", "silver.vehicle_events"]);
    assert_eq!(select(&p, &["gold.[stats".into()], &[]).unwrap_err().code, "C0114");
    let none = select(&p, &["tag:[draft".into()], &[]).unwrap_err();
    assert!(none.message.contains("matches no table"), "{}", none.message);
    assert_eq!(select(&p, &["gold.stat".into()], &[]).unwrap_err().code, "C0114");
    assert_eq!(select(&p, &[], &["*".into()]).unwrap_err().code, "C0114");
}

/// A key that is NULL is an error of its row.
#[test]
fn maps_of_columns_that_may_be_null_are_right() {
    for map in ["make_map(id, battery)", "MAP {id: 1, type: 2}", "map([id, type], [1, 2])"] {
        let gold = format!("CREATE MATERIALIZED VIEW gold.maps AS SELECT {map} AS m FROM bronze.vehicle_events;");
        project(BRONZE, SILVER, &gold);
    }
}

const SALES: &str = "CREATE EXTERNAL TABLE sales.eu.orders (id BIGINT NOT NULL, kind STRING, total DECIMAL(12, 2));
CREATE EXTERNAL TABLE ingot.sales.kinds (kind STRING);";

fn over_sales(more: &str, toml: &str) -> Project {
    let file = |path: &str, text: &str| SqlFile { path: path.into(), text: text.into() };
    let files = vec![file("sales.sql", SALES), file("gold/x.sql", more)];
    let checked = check_files(std::path::Path::new("/project"), files, &super::config(toml, &[]));
    let text = format!("{:#?}", checked.diagnostics);
    checked.project.expect(&text)
}

#[test]
fn external_tables_are_read_and_are_no_tables_of_the_project() {
    let p = over_sales(
        "CREATE MATERIALIZED VIEW gold.by_kind AS SELECT k.kind, sum(sales.eu.orders.total) AS total
         FROM sales.eu.orders JOIN sales.kinds AS k ON k.kind = sales.eu.orders.kind GROUP BY k.kind;",
        "",
    );
    let known: Vec<String> = p.externals.keys().map(ToString::to_string).collect();
    assert_eq!(known, ["sales.kinds", "sales.eu.orders"]);
    assert_eq!(p.order, [name("gold.by_kind")]);
    assert_eq!(p.tables.len(), 1);
    assert_eq!(model(&p, "gold.by_kind").inputs, [name("sales.kinds"), name("sales.eu.orders")]);
    let orders = &p.externals[&name("sales.eu.orders")];
    let columns: Vec<(&str, bool)> =
        orders.schema.fields().iter().map(|f| (f.name().as_str(), f.is_nullable())).collect();
    assert_eq!(columns, [("id", false), ("kind", true), ("total", true)]);
    let chosen = |selector: &str| select(&p, &[selector.to_owned()], &[]).map_err(|d| d.message);
    assert_eq!(chosen("sales.eu.orders+"), Ok(BTreeSet::from([name("gold.by_kind")])));
    assert_eq!(chosen("+gold.by_kind"), Ok(BTreeSet::from([name("gold.by_kind")])));
    assert!(chosen("sales.eu.orders").unwrap_err().contains("external table"));
}

#[test]
fn what_others_write_has_no_prefix_of_an_environment() {
    let toml = "namespace_prefix = \"dev_\"\n";
    let p = over_sales(
        "CREATE MATERIALIZED VIEW sales.eu.big AS SELECT id, eu.total FROM sales.eu.orders AS eu WHERE eu.total > 10;",
        toml,
    );
    assert_eq!(model(&p, "dev_sales.eu.big").inputs, [name("sales.eu.orders")]);
}

#[test]
fn only_the_columns_that_a_query_names_are_part_of_its_definition() {
    let fingerprint = |columns: &str, query: &str| {
        let p = check(&[
            ("x.sql", &format!("CREATE EXTERNAL TABLE sales.t ({columns})")),
            ("y.sql", &format!("CREATE MATERIALIZED VIEW gold.t AS {query}")),
        ]);
        let text = format!("{:#?}", p.diagnostics);
        p.project.expect(&text).tables[&name("gold.t")].fingerprint.clone()
    };
    let counts = "SELECT count(*) AS n FROM sales.t WHERE a > 5";
    let base = fingerprint("a INT, b INT", counts);
    assert_eq!(base, fingerprint("b BIGINT, a INT NOT NULL COMMENT 'x', c STRING", counts));
    assert_ne!(base, fingerprint("a BIGINT, b INT", counts));
    let all = "SELECT * FROM sales.t";
    assert_ne!(fingerprint("a INT, b INT", all), fingerprint("a INT, b INT, c INT", all));
}
