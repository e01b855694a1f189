//! Trouble with one table, one project or one broker, and everything else as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::util::pretty::pretty_format_batches;
use ingot_lake::lease::Lease;
use ingot_lake::{Lake, Table};
use ingot_pipeline::engine::{Engine, StepReport};
use ingot_pipeline::plan::Action;
use ingot_pipeline::run_loop::{self, Shared};
use ingot_project::{check, config::Config};
use ingot_query::{Caller, TableEntry};
use tokio_util::sync::CancellationToken;

use crate::world::{World, action, all_equal, name, number, once, query};

fn file_of(table: &Table) -> PathBuf {
    PathBuf::from(table.metadata_location().strip_prefix("file://").unwrap())
}

/// Cuts a table's metadata file off; gives what it was.
async fn cut(engine: &Engine, table: &str) -> (PathBuf, Vec<u8>) {
    let file = file_of(&engine.lake().load_table(&name(table)).await.unwrap().unwrap());
    let text = std::fs::read(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    (file, text)
}

async fn stranger(world: &World, table: &str) {
    let lake = Lake::open(world.engine().await.lake().config().clone()).await.unwrap();
    let column = ingot_model::Column {
        name: "a".into(),
        data_type: datafusion::arrow::datatypes::DataType::Int64,
        nullable: true,
        comment: None,
    };
    let definition = ingot_model::Definition { columns: vec![column], ..Default::default() };
    let new =
        ingot_lake::NewTable { name: name(table), definition, first_summary: Some(ingot_model::Record::default()) };
    lake.create_table(new).await.unwrap();
}

fn failed<'a>(steps: &'a [StepReport], table: &str) -> (&'a str, &'a str, bool) {
    let step = steps.iter().find(|s| s.table == name(table)).unwrap();
    let error = step.error.as_ref().unwrap_or_else(|| panic!("{table} did not fail"));
    (&error.code, &error.message, error.retryable)
}

async fn shown(engine: &Engine, sql: &str) -> String {
    pretty_format_batches(&query(engine, sql).await).unwrap().to_string()
}

async fn refused(engine: &Engine, sql: &str) -> ingot_query::QueryError {
    engine
        .session()
        .unwrap()
        .plan(&Caller::ANONYMOUS, sql, None)
        .await
        .err()
        .unwrap_or_else(|| panic!("{sql} was planned"))
}

/// `gold.stats` is damaged, and a view reads it; `gold.types` stands beside both; a stranger's table is damaged, too.
#[tokio::test(flavor = "multi_thread")]
async fn one_unreadable_table_stops_nothing_else() {
    let mut world = World::new();
    world.produce(1_000);
    let types =
        "CREATE MATERIALIZED VIEW gold.types AS SELECT type, count(*) AS n FROM silver.vehicle_events GROUP BY type;\n";
    std::fs::write(world.sql("gold/types.sql"), types).unwrap();
    let top = "CREATE MATERIALIZED VIEW gold.top AS SELECT type, total FROM gold.stats;\n";
    std::fs::write(world.sql("gold/top.sql"), top).unwrap();
    std::fs::write(world.sql("gold/live.sql"), "CREATE VIEW gold.live AS SELECT type FROM gold.stats;\n").unwrap();
    once(&world.engine().await).await;
    stranger(&world, "other.theirs").await;
    let engine = world.engine().await;
    let (file, text) = cut(&engine, "gold.stats").await;
    let (theirs, _) = cut(&engine, "other.theirs").await;
    world.produce(500);

    let engine = world.engine().await;
    let path = file.display().to_string();
    let plan = engine.plan(&|_| true).await.unwrap();
    let blocked = |table: &str| match action(&plan, table) {
        Action::Blocked { reason } => reason.clone(),
        other => panic!("{table}: {other:?}"),
    };
    let stats = blocked("gold.stats");
    assert_eq!(stats.code, "L0118");
    assert!(stats.text.contains(&path) && stats.text.contains("\"gold.stats\"") && stats.hint.is_some(), "{stats:?}");
    let below = blocked("gold.top");
    assert_eq!(below.code, "R0321");
    assert!(below.text.contains("L0118") && below.text.contains(&path), "{below:?}");
    assert!(matches!(action(&plan, "gold.types"), Action::Refresh { .. }), "{plan}");
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    assert_eq!(failed(&report.steps, "gold.stats").0, "L0118");
    assert!(!failed(&report.steps, "gold.stats").2, "damage does not pass");
    assert_eq!(failed(&report.steps, "gold.top").0, "R0321");
    assert_eq!(report.steps.iter().filter(|s| s.error.is_some()).count(), 2);
    assert_eq!(report.exit_code(), 1);
    let silver = number(&engine, "SELECT count(*) AS n FROM silver.vehicle_events").await;
    assert_eq!(number(&engine, "SELECT sum(n) AS n FROM gold.types").await, silver);

    // Every list shows it, without columns.
    let status = engine.status(&|_| true).await.unwrap();
    let of = |table: &str| status.iter().find(|s| s.table == name(table)).unwrap();
    assert!(of("gold.stats").exists && of("gold.stats").error.as_ref().unwrap().message.contains(&path));
    assert!(of("gold.types").error.is_none() && of("gold.types").rows > 0);
    let tables = shown(&engine, "SHOW TABLES").await;
    for table in ["stats", "types", "theirs", "vehicle_events"] {
        assert!(tables.contains(table), "{tables}");
    }
    let columns = shown(&engine, "SELECT table_name FROM information_schema.columns").await;
    assert!(columns.contains("types") && !columns.contains("theirs") && !columns.contains("| stats"), "{columns}");
    let listed = engine.session().unwrap().tables(&Caller::ANONYMOUS, true).await.unwrap();
    let entry = |table: &str| -> &TableEntry { listed.iter().find(|e| e.name == table).unwrap() };
    assert!(entry("theirs").schema.fields().is_empty() && entry("stats").schema.fields().is_empty());
    assert!(!entry("types").schema.fields().is_empty());

    // Statements that name it say so; the others do not notice.
    for (sql, says) in [
        ("SELECT * FROM gold.stats", path.as_str()),
        ("SELECT * FROM gold.live", "view \"gold.live\" reads \"gold.stats\""),
        ("SELECT * FROM other.theirs", theirs.to_str().unwrap()),
    ] {
        let error = refused(&engine, sql).await;
        assert_eq!((error.code, error.retryable), ("Q0117", false), "{error}");
        assert!(error.message.contains(says) && error.message.contains("L0118"), "{error}");
        assert!(error.span().is_some(), "{error}");
    }
    let verified = engine.verify(&name("gold.types")).await.unwrap();
    assert_eq!(verified.exit_code(), 0, "{:?}", verified.verdict);
    let error = engine.verify(&name("gold.stats")).await.unwrap_err();
    assert!(error.code() == "L0118" && error.to_string().contains(&path), "{error}");
    let stop = CancellationToken::new();
    assert!(!engine.refresh(&name("gold.types"), true, false, &stop).await.unwrap().failed());

    // The file is back, and so is the table.
    std::fs::write(&file, text).unwrap();
    let engine = world.engine().await;
    once(&engine).await;
    all_equal(&engine).await;
}

/// The loop goes on beside a damaged streaming table and a damaged view, and says at its end what failed.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_goes_on_beside_a_damaged_table() {
    let mut world = World::new();
    world.produce(1_000);
    let types =
        "CREATE MATERIALIZED VIEW gold.types AS SELECT type, count(*) AS n FROM silver.vehicle_events GROUP BY type;\n";
    std::fs::write(world.sql("gold/types.sql"), types).unwrap();
    let top = "CREATE MATERIALIZED VIEW gold.top AS SELECT type, total FROM gold.stats;\n";
    std::fs::write(world.sql("gold/top.sql"), top).unwrap();
    let engine = world.engine().await;
    once(&engine).await;
    cut(&engine, "gold.stats").await;
    let engine = Arc::new(world.engine().await);
    let (stop, shared) = (CancellationToken::new(), Shared::default());
    let all: BTreeSet<_> = engine.project().tables.keys().cloned().collect();
    let task = tokio::spawn(run_loop::run(engine.clone(), all, stop.clone(), shared.clone()));
    world.produce(500);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let bronze = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
        let errors = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events_errors").await;
        let silver = number(&engine, "SELECT count(*) AS n FROM silver.vehicle_events").await;
        let types = number(&engine, "SELECT sum(n) AS n FROM gold.types").await;
        let known = shared.lock().unwrap().failures.len();
        if bronze + errors == 1_500 && types == silver && known == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{bronze} {errors} {silver} {types}: {:?}", shared.lock().unwrap().failures);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    let failures = task.await.unwrap().unwrap();
    let codes: Vec<_> = failures.iter().map(|(table, e)| (table.to_string(), e.code.as_str(), e.retryable)).collect();
    assert_eq!(codes, [("gold.stats".to_owned(), "L0118", false), ("gold.top".to_owned(), "R0321", true)]);
}

/// A table that is being built is not there, and says so by code; then it is there with all its rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_not_served_before_its_first_rows() {
    let mut world = World::new();
    world.produce(500);
    std::fs::write(world.sql("gold/live.sql"), "CREATE VIEW gold.live AS SELECT type FROM gold.stats;\n").unwrap();
    let broken = "CREATE MATERIALIZED VIEW gold.broken AS SELECT 1 / (total - total) AS x FROM gold.stats;\n";
    std::fs::write(world.sql("gold/broken.sql"), broken).unwrap();
    let engine = world.engine().await;
    for sql in ["SELECT * FROM gold.stats", "SELECT * FROM gold.live", "SELECT count(*) FROM bronze.vehicle_events"] {
        let error = refused(&engine, sql).await;
        assert_eq!((error.code, error.retryable), ("Q0118", true), "{error}");
        assert!(error.message.contains("not built yet") && error.span().is_some(), "{error}");
    }
    assert_eq!(refused(&engine, "SELECT * FROM gold.nothing").await.code, "Q0102");
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let wrong: Vec<_> = report.steps.iter().filter(|s| s.error.is_some()).map(|s| s.table.to_string()).collect();
    assert_eq!(wrong, ["gold.broken"]);
    // One that could not be built left nothing: no row in the catalog, no file.
    assert_eq!(refused(&engine, "SELECT * FROM gold.broken").await.code, "Q0118");
    assert!(!engine.lake().list_tables().await.unwrap().contains(&name("gold.broken")));
    let folder = world.dir.path().join("warehouse/gold/broken");
    let files = std::fs::read_dir(&folder).into_iter().flatten().count();
    assert_eq!(files, 0, "{}", folder.display());
    // The others began with their rows: no snapshot of a view is empty.
    for view in ["silver.vehicle_events", "gold.stats"] {
        let table = engine.lake().load_table(&name(view)).await.unwrap().unwrap();
        assert_eq!(table.history().len(), 1, "{view}");
        assert_ne!(table.history()[0].summary.get("total-records"), Some("0"), "{view}");
    }
    assert_eq!(number(&engine, "SELECT count(*) AS n FROM gold.live").await, 3);
    all_equal_but(&engine, "gold.broken").await;
}

async fn all_equal_but(engine: &Engine, but: &str) {
    for table in engine.project().order.iter().filter(|t| **t != name(but)) {
        let verified = engine.verify(table).await.unwrap();
        assert_eq!(verified.exit_code(), 0, "{table}: {:?}", verified.verdict);
    }
}

async fn engine_of(world: &World, project_name: &str, prefix: &str) -> Engine {
    let root = world.dir.path().join("sql");
    let sets = vec![
        ("kafka.bootstrap.servers".to_owned(), world.broker.bootstrap_servers()),
        ("warehouse.location".to_owned(), world.dir.path().join("warehouse").display().to_string()),
        ("project.name".to_owned(), project_name.to_owned()),
        ("namespace_prefix".to_owned(), prefix.to_owned()),
    ];
    let config = Config::load(&root, None, &sets, &BTreeMap::new(), ingot_source::check_property).unwrap();
    let project = check::load(&root, &config).project.unwrap();
    Engine::open(Arc::new(project), Arc::new(config)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_one_project_and_a_project_one_lease() {
    let mut world = World::new();
    world.produce(500);
    let first = engine_of(&world, "fleet", "").await;
    once(&first).await;
    for table in first.tables().await.unwrap().values() {
        assert_eq!(table.properties().get("ingot.project").map(String::as_str), Some("fleet"), "{}", table.name());
    }
    world.produce(200);
    let second = engine_of(&world, "other", "").await;
    let plan = second.plan(&|_| true).await.unwrap();
    for step in &plan.steps {
        let Action::Blocked { reason } = &step.action else { panic!("{step}") };
        assert_eq!(reason.code, "L0120");
        assert!(reason.text.contains("\"fleet\"") && reason.hint.is_some(), "{reason:?}");
    }
    let stop = CancellationToken::new();
    for table in ["bronze.vehicle_events", "gold.stats"] {
        for full in [false, true] {
            let done = second.refresh(&name(table), full, false, &stop).await;
            let code = match done {
                Ok(report) => failed(&report.steps, table).0.to_owned(),
                Err(e) => e.code().to_owned(),
            };
            assert_eq!(code, "L0120", "{table} {full}");
        }
    }
    // Reading is free.
    assert_eq!(number(&second, "SELECT count(*) AS n FROM gold.stats").await, 3);
    // With a prefix the tables are others.
    let apart = engine_of(&world, "other", "dev_").await;
    once(&apart).await;
    once(&first).await;
    all_equal(&first).await;

    // One lease for each project and prefix.
    let lease = |engine: &Engine| Lease::acquire(engine.lake(), &engine.config().lease_key());
    let held = lease(&first).unwrap();
    assert_eq!(lease(&engine_of(&world, "fleet", "").await).unwrap_err().code(), "L0141");
    drop((lease(&second).unwrap(), lease(&apart).unwrap(), lease(&engine_of(&world, "fleet", "dev_").await).unwrap()));
    drop(held);
    lease(&first).unwrap();
    assert_eq!(world.engine().await.config().project.name, "ingot");
}

/// A table of an older version has no owner: it is taken over by the next commit, and no rows are touched.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_older_version_are_adopted() {
    let mut world = World::new();
    world.produce(500);
    once(&world.engine().await).await;
    let plain = Lake::open(world.engine().await.lake().config().clone()).await.unwrap();
    let tables = plain.list_tables().await.unwrap();
    for table in plain.load_tables(&tables).await.unwrap() {
        let file = file_of(&table.unwrap().unwrap());
        let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(value["properties"].as_object_mut().unwrap().remove("ingot.project").is_some());
        std::fs::write(file, value.to_string()).unwrap();
    }
    let engine = engine_of(&world, "fleet", "").await;
    assert!(!engine.plan(&|_| true).await.unwrap().has_work());
    world.produce(500);
    once(&engine_of(&world, "fleet", "").await).await;
    let tables = engine_of(&world, "fleet", "").await.tables().await.unwrap();
    for table in ["bronze.vehicle_events", "silver.vehicle_events", "gold.stats"] {
        let owner = tables[&name(table)].properties().get("ingot.project").map(String::as_str);
        assert_eq!(owner, Some("fleet"), "{table}");
    }
    all_equal(&engine_of(&world, "fleet", "").await).await;
}

/// Four dead brokers cost the time of one, in `plan` and in `status`.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_asked_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("sql");
    std::fs::create_dir(&root).unwrap();
    for i in 0..4 {
        let sql = format!(
            "CREATE SOURCE s{i} (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't{i}', 'bootstrap.servers' = '127.0.0.1:{}') FORMAT PLAIN ENCODE JSON;\n\
             CREATE STREAMING TABLE bronze.t{i} AS SELECT a FROM STREAM s{i};\n",
            i + 1
        );
        std::fs::write(root.join(format!("t{i}.sql")), sql).unwrap();
    }
    let sets = vec![("warehouse.location".to_owned(), dir.path().join("warehouse").display().to_string())];
    let config = Config::load(&root, None, &sets, &BTreeMap::new(), ingot_source::check_property).unwrap();
    let checked = check::load(&root, &config);
    let project = checked.project.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let engine = Engine::open(Arc::new(project), Arc::new(config)).await.unwrap();
    let engine = engine.answering_within(Duration::from_secs(2));
    let began = Instant::now();
    let plan = engine.plan(&|_| true).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(plan.steps.len(), 4);
    for step in &plan.steps {
        assert!(matches!(&step.action, Action::Blocked { reason } if reason.code == "S0105"), "{step}");
    }
}
