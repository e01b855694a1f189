//! Tables of an earlier version go on: rows and types of streaming tables stay, views are rebuilt, nothing is silent.
//!
//! The fingerprints are those that the version before the second semantics recorded for these very statements.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use ingot_lake::Table;
use ingot_lake::schema::stored_alike;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::plan::{Action, Plan};
use ingot_pipeline::verify::Verdict;
use ingot_project::check::{check_files, check_over};
use ingot_project::config::Config;
use ingot_project::project::{KeptType, Project, SqlFile};
use ingot_project::stored::{Stored, StoredTypes};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::world::{World, action, edited, name, number, once, query};

const EVENTS: &str = "CREATE SOURCE vehicles (id VARCHAR) INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset\n\
     WITH ('connector' = 'kafka', 'topic' = 'vehicles-events') FORMAT PLAIN ENCODE JSON;\n";
const COPY: &str =
    "CREATE STREAMING TABLE silver.copy AS SELECT share, share * 2 AS twice, [share] AS list FROM STREAM bronze.t;\n";
const TOTALS: &str = "CREATE MATERIALIZED VIEW gold.totals AS SELECT _partition, count(*) AS n, sum(share) AS total \
     FROM bronze.t GROUP BY _partition;\n";
const T_BEFORE: &str = "194a89f3e47c055a971ee04fa46c1f5a12d0f934ea1f659992997e3d0a0ba678";
const COPY_BEFORE: &str = "4579d03e0f563387d6403d67e98efcddb068c72ca647b5f6afbf3ece722067e3";
const CAST: &str = "write CAST(_offset * 1.5 AS DOUBLE) AS share";

fn streaming(share: &str) -> String {
    format!(
        "{EVENTS}CREATE STREAMING TABLE bronze.t ON DECODE ERROR DROP AS SELECT id, {share} AS share, _partition, _offset \
         FROM STREAM vehicles;\n"
    )
}

fn world(share: &str) -> World {
    World::of(&[("bronze/t.sql", &streaming(share)), ("silver/copy.sql", COPY), ("gold/totals.sql", TOTALS)], &[])
}

async fn table(engine: &Engine, of: &str) -> Table {
    engine.lake().load_table(&name(of)).await.unwrap().unwrap()
}

fn summaries(json: &mut Value) -> impl Iterator<Item = &mut serde_json::Map<String, Value>> {
    json["snapshots"].as_array_mut().unwrap().iter_mut().map(|s| s["summary"].as_object_mut().unwrap())
}

/// As the version before left a table: without the version of the semantics, under its own fingerprint.
fn before(fingerprint: &str) -> impl FnOnce(&mut Value) {
    move |json| {
        for summary in summaries(json) {
            summary.remove("ingot.semantics-version");
            summary.insert("ingot.fingerprint".into(), fingerprint.into());
            summary.remove("ingot.began-at");
        }
        json["properties"].as_object_mut().unwrap().remove("ingot.began-at");
    }
}

/// A lake of the version before, in which `share` is DOUBLE, and a project whose query now gives a DECIMAL.
async fn upgraded(world: &mut World) -> Engine {
    world.produce(300);
    let engine = world.engine().await;
    once(&engine).await;
    edited(&engine, "bronze.t", before(T_BEFORE)).await;
    edited(&engine, "silver.copy", before(COPY_BEFORE)).await;
    edited(&engine, "gold.totals", before("of the version before")).await;
    world.write("bronze/t.sql", &streaming("_offset * 1.5"));
    world.engine().await
}

fn notes(plan: &Plan, table: &str) -> String {
    plan.steps.iter().find(|s| s.table == name(table)).unwrap().notes.join("\n")
}

async fn type_of(engine: &Engine, of: &str, column: &str) -> DataType {
    table(engine, of).await.schema().field_with_name(column).unwrap().data_type().clone()
}

/// Every value of `share` is that of its offset.
async fn right(engine: &Engine) {
    let wrong = "SELECT count(*) AS n FROM bronze.t WHERE share <> CAST(_offset AS DOUBLE) * 1.5e0";
    assert_eq!(number(engine, wrong).await, 0);
    let doubled = "SELECT count(*) AS n FROM silver.copy WHERE twice <> share * 2 OR list[1] <> share";
    assert_eq!(number(engine, doubled).await, 0);
    let rows = "SELECT (SELECT count(*) FROM bronze.t) - (SELECT count(*) FROM silver.copy) AS n";
    assert_eq!(number(engine, rows).await, 0);
}

/// What verify says of a table: some rows are of an earlier definition, and none is wrong.
async fn consistent(engine: &Engine, of: &str) -> String {
    match engine.verify(&name(of)).await.unwrap().verdict {
        Verdict::Consistent { reason, .. } => reason,
        other => panic!("{of}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_table_of_an_earlier_version_keeps_its_types() {
    let mut world = world("CAST(_offset * 1.5 AS DOUBLE)");
    let engine = upgraded(&mut world).await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let said = notes(&plan, "bronze.t");
    assert!(said.contains("made by version 1 of SQL's meaning") && said.contains(CAST), "{plan}");
    assert!(!notes(&plan, "silver.copy").contains("keeps its stored type"), "{plan}");
    let Action::Rebuild { reason, .. } = action(&plan, "gold.totals") else { panic!("{plan}") };
    assert_eq!(reason.code, "R0550");
    assert!(matches!(action(&plan, "bronze.t"), Action::Ingest { .. }), "{plan}");
    let status = engine.status(&|n| *n == name("bronze.t")).await.unwrap();
    assert!(status[0].notes.iter().any(|n| n.contains(CAST)), "{:?}", status[0].notes);
    assert!(consistent(&engine, "bronze.t").await.contains("made by an earlier definition, by version 1"));

    let rows = number(&engine, "SELECT count(*) AS n FROM bronze.t").await;
    once(&engine).await;
    assert_eq!(type_of(&engine, "bronze.t", "share").await, DataType::Float64);
    assert!(consistent(&engine, "silver.copy").await.ends_with("; the 0 since are those of its query"));
    let kept = table(&engine, "bronze.t").await.recorded().kept_types().unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["share"]);
    // A restart, more rows, another one: nothing else happens.
    for _ in 0..2 {
        world.produce(200);
        let engine = world.engine().await;
        let (plan, _) = once(&engine).await;
        assert_eq!(notes(&plan, "bronze.t").lines().count(), 1, "{plan}");
        assert!(notes(&plan, "bronze.t").contains(CAST), "{plan}");
        assert!(!plan.has_rebuild(), "{plan}");
        assert!(consistent(&engine, "bronze.t").await.contains("made by an earlier definition, by version 1"));
        assert!(matches!(engine.verify(&name("gold.totals")).await.unwrap().verdict, Verdict::Equal { .. }));
        assert!(!engine.plan(&|_| true).await.unwrap().has_work());
    }
    let engine = world.engine().await;
    assert!(number(&engine, "SELECT count(*) AS n FROM bronze.t").await > rows + 300);
    right(&engine).await;
    let since = consistent(&engine, "silver.copy").await;
    assert!(since.contains("; the 3") && since.ends_with(" since are those of its query"), "{since}");

    // Another part of the statement is edited: the column stays kept, and stays said.
    world.edit("bronze/t.sql", "SELECT id,", "SELECT id, upper(id) AS shout,");
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(notes(&plan, "bronze.t").contains(CAST), "{plan}");
    assert_eq!(type_of(&engine, "bronze.t", "share").await, DataType::Float64);
    // The cast is written: no view is rebuilt for it, and nothing is left to say.
    world.edit("bronze/t.sql", "_offset * 1.5 AS share", "CAST(_offset * 1.5 AS DOUBLE) AS share");
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert_eq!(notes(&plan, "bronze.t"), "", "{plan}");
    assert!(!plan.has_rebuild(), "{plan}");
    assert!(table(&engine, "bronze.t").await.recorded().kept_types().unwrap().is_empty());
    // And taken back: that is an edit, refused with what to write.
    world.write("bronze/t.sql", &streaming("_offset * 1.5"));
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let Action::Blocked { reason } = action(&plan, "bronze.t") else { panic!("{plan}") };
    assert!(reason.code == "R0310" && reason.text.contains("write CAST(... AS DOUBLE)"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_everything_again_gives_the_types_of_the_new_rules() {
    let mut world = world("CAST(_offset * 1.5 AS DOUBLE)");
    let engine = upgraded(&mut world).await;
    once(&engine).await;
    for table in ["bronze.t", "silver.copy"] {
        let engine = world.engine().await;
        let report = engine.refresh(&name(table), true, false, &CancellationToken::new()).await.unwrap();
        assert!(!report.failed(), "{:?}", report.steps);
    }
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert_eq!(notes(&plan, "bronze.t"), "", "{plan}");
    assert!(matches!(type_of(&engine, "bronze.t", "share").await, DataType::Decimal128(_, 1)));
    for table in ["bronze.t", "silver.copy", "gold.totals"] {
        let verdict = engine.verify(&name(table)).await.unwrap().verdict;
        assert!(matches!(verdict, Verdict::Equal { .. }), "{table}: {verdict:?}");
    }
}

/// A definition that was edited before the new version first ran, and a property that is gone: neither is guessed at.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_an_edit_is_not_kept() {
    let mut world = world("CAST(_offset * 1.5 AS DOUBLE)");
    let engine = upgraded(&mut world).await;
    drop(engine);
    world.write("bronze/t.sql", &streaming("_offset * 1.25"));
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(matches!(action(&plan, "bronze.t"), Action::Blocked { reason } if reason.code == "R0310"), "{plan}");

    world.write("bronze/t.sql", &streaming("_offset * 1.5"));
    let engine = world.engine().await;
    once(&engine).await;
    // Another type than the one that was recorded is an edit, too.
    world.write("bronze/t.sql", &streaming("_offset * 1.25"));
    let plan = world.engine().await.plan(&|_| true).await.unwrap();
    assert!(matches!(action(&plan, "bronze.t"), Action::Blocked { reason } if reason.code == "R0310"), "{plan}");
    world.write("bronze/t.sql", &streaming("_offset * 2.5"));
    let plan = world.engine().await.plan(&|_| true).await.unwrap();
    assert!(notes(&plan, "bronze.t").contains("write CAST(_offset * 2.5 AS DOUBLE) AS share"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_stored_type_cannot_take_is_an_error() {
    let mut world = world("CAST(_offset + 1 AS INT)");
    world.produce(50);
    let engine = world.engine().await;
    once(&engine).await;
    edited(&engine, "bronze.t", |json| json["properties"]["ingot.kept-types"] = r#"{"share":"BIGINT"}"#.into()).await;
    world.write("bronze/t.sql", &streaming("_offset + 1"));
    let engine = world.engine().await;
    let (plan, _) = once(&engine).await;
    assert!(notes(&plan, "bronze.t").contains("write CAST(_offset + 1 AS INT) AS share"), "{plan}");
    assert_eq!(type_of(&engine, "bronze.t", "share").await, DataType::Int32);

    world.write("bronze/t.sql", &streaming("_offset + 3000000000"));
    world.produce(50);
    let engine = world.engine().await;
    let rows = number(&engine, "SELECT count(*) AS n FROM bronze.t").await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let failed = report.steps.iter().find(|s| s.table == name("bronze.t")).unwrap().error.as_ref();
    assert!(failed.is_some_and(|e| e.code.starts_with('R') || e.code.starts_with('D')), "{failed:?}");
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM bronze.t").await, rows);
}

/// What is recorded and does not parse is that table's error, never "nothing recorded".
#[tokio::test(flavor = "multi_thread")]
async fn a_version_or_a_kept_type_that_does_not_parse_is_an_error() {
    let mut world = world("CAST(_offset * 1.5 AS DOUBLE)");
    world.produce(20);
    let engine = world.engine().await;
    once(&engine).await;
    edited(&engine, "gold.totals", |json| {
        for summary in summaries(json) {
            summary.insert("ingot.semantics-version".into(), "two".into());
        }
    })
    .await;
    edited(&engine, "silver.copy", |json| json["properties"]["ingot.kept-types"] = "[1]".into()).await;
    world.produce(20);
    let plan = world.engine().await.plan(&|_| true).await.unwrap();
    for (table, property) in [("gold.totals", "ingot.semantics-version"), ("silver.copy", "ingot.kept-types")] {
        let Action::Blocked { reason } = action(&plan, table) else { panic!("{plan}") };
        assert!(reason.code == "L0134" && reason.text.contains(property), "{reason}");
    }
    assert!(matches!(action(&plan, "bronze.t"), Action::Ingest { .. }), "{plan}");
}

/// A served view reads a list whose items the table calls otherwise than its query did.
#[tokio::test(flavor = "multi_thread")]
async fn a_served_view_reads_a_table_with_a_computed_list() {
    let world = world("_offset");
    world.write("gold/listed.sql", "CREATE VIEW gold.listed AS SELECT list[1] + 0.5e0 AS half FROM silver.copy;\n");
    world.send("vehicles-events", 0, [r#"{"id": "a"}"#, r#"{"id": "b"}"#]);
    let engine = world.engine().await;
    once(&engine).await;
    let rows = query(&engine, "SELECT min(half) AS least FROM gold.listed").await;
    assert!((rows[0].column(0).as_primitive::<Float64Type>().value(0) - 0.5).abs() < 1e-9);
}

fn project(share: &str, head: &str) -> (Project, Config) {
    let text = streaming(share).replace("bronze.t ON", &format!("bronze.t {head} ON"));
    let folder = Path::new("/project");
    let brokers = "kafka.bootstrap.servers = \"127.0.0.1:9092\"\n";
    let config =
        Config::from_parts(Some(brokers), folder, folder, None, &[], &BTreeMap::new(), ingot_source::check_property)
            .unwrap();
    let files = vec![
        SqlFile { path: "bronze/t.sql".into(), text },
        SqlFile { path: "silver/copy.sql".into(), text: COPY.into() },
    ];
    (check_files(folder, files, &config).project.unwrap(), config)
}

fn kept(share: &str, head: &str, fingerprint: &str, recorded: &[(&str, &str)]) -> Vec<KeptType> {
    let (project, config) = project(share, head);
    let kept = recorded.iter().map(|(c, t)| ((*c).to_owned(), (*t).to_owned())).collect();
    let columns = BTreeMap::from([("share".to_owned(), DataType::Float64)]);
    let types = StoredTypes { columns, alike: stored_alike, fingerprint: Some(fingerprint.to_owned()), kept };
    let checked = check_over(&project, &config, &Stored::from([(name("bronze.t"), types)]));
    let again = checked.project.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    // What reads the table is planned over what it is stored as.
    let model = &again.tables[&name("bronze.t")];
    let copy = &again.tables[&name("silver.copy")];
    let share =
        |schema: &datafusion::arrow::datatypes::Schema| schema.field_with_name("share").unwrap().data_type().clone();
    assert_eq!(share(&model.schema), share(&copy.schema));
    assert_eq!(share(&model.schema) == DataType::Float64, !model.kept.is_empty());
    model.kept.clone()
}

#[test]
fn a_type_is_kept_where_only_the_rules_changed() {
    let is_kept = |kept: Vec<KeptType>| kept.iter().map(|k| k.cast.clone()).collect::<Vec<_>>();
    let cast = ["CAST(_offset * 1.5 AS DOUBLE) AS share"];
    let given = match &kept("_offset * 1.5", "", T_BEFORE, &[])[..] {
        [one] => one.given.clone(),
        other => panic!("{other:?}"),
    };
    let DataType::Decimal128(p, s) = given else { panic!("{given}") };
    let recorded = format!("DECIMAL({p}, {s})");
    // Spelling is no edit; another expression is, and so is another fingerprint.
    assert_eq!(is_kept(kept("_offset  *  1.5", "", T_BEFORE, &[])), cast);
    assert_eq!(is_kept(kept("_offset * 2.5", "", T_BEFORE, &[])), Vec::<String>::new());
    assert_eq!(is_kept(kept("_offset * 1.5", "", COPY_BEFORE, &[])), Vec::<String>::new());
    // What is recorded lasts as long as the query has that type.
    assert_eq!(is_kept(kept("_offset * 1.5", "", "a later one", &[("share", &recorded)])), cast);
    assert_eq!(is_kept(kept("_offset * 1.55", "", "a later one", &[("share", &recorded)])), Vec::<String>::new());
    assert_eq!(is_kept(kept("_offset * 1.5", "", "a later one", &[("id", &recorded)])), Vec::<String>::new());
    // A declared type is what it is.
    let declared = format!("(share {recorded})");
    assert_eq!(is_kept(kept("_offset * 1.5", &declared, "a later one", &[("share", &recorded)])), Vec::<String>::new());
}
