//! The law over a corpus: what `check` accepts is built, refreshed over changes, and equals its query each time.
//!
//! `right/*.sql` hold queries over two tables, each under a line `-- name: how`, where `how` is the way in which it is
//! maintained: `linear`, `keep-first`, `aggregate`, or `full` with the codes of all obstacles. They are built as
//! `silver.<name>`, refreshed after rows came, and after rows went and changed; `plan` must have said what `run` did.
//!
//! Not here: other judges than DataFusion (`tests/clients`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array,
    Int64Array, ListBuilder, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::array::{AsArray, Int64Builder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use ingot_delta::Strategy;
use ingot_lake::{Commit, NewTable, Rebase, Writer, live_files};
use ingot_model::{Operation, TableName, property};
use ingot_pipeline::engine::Engine;
use ingot_pipeline::plan::{Action, Plan};
use ingot_pipeline::verify::Verdict;
use ingot_project::project::{Project, SqlFile};
use ingot_project::{check::check_files, config::Config};
use ingot_query::Caller;
use tokio_util::sync::CancellationToken;

pub(crate) const BRONZE: &str = "
CREATE SOURCE ts (
  k BIGINT, s VARCHAR, f DOUBLE, r REAL, d DECIMAL(12, 2), i INT, b BOOLEAN, ts TIMESTAMPTZ, dt DATE, u UUID,
  tags ARRAY<VARCHAR>, m MAP<VARCHAR, BIGINT>, o BIGINT)
WITH ('connector' = 'kafka', 'topic' = 't') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.t AS SELECT * FROM STREAM ts;";
pub(crate) const OTHER: &str = "
CREATE SOURCE us (k BIGINT, name VARCHAR, v INT) WITH ('connector' = 'kafka', 'topic' = 'u') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.u AS SELECT * FROM STREAM us;";

const QUERIES_MIN: usize = 80;

/// A query of the corpus.
struct Case {
    name: String,
    how: String,
    sql: String,
}

fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/right");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let headed = text.split(";\n").filter(|s| !s.trim().is_empty()).map(|statement| {
            let (head, sql) = statement.rsplit_once("\n-- ").unwrap_or(("", statement)).1.split_once('\n').unwrap();
            let (name, how) = head.split_once(": ").unwrap_or_else(|| panic!("{}: {head}", path.display()));
            Case { name: name.into(), how: how.into(), sql: sql.into() }
        });
        out.extend(headed);
    }
    out
}

/// A project of views over `bronze.t` and `bronze.u`.
pub(crate) fn project(views: &[(String, String)], warehouse: &Path) -> (Project, Config) {
    let file = |path: String, text: String| SqlFile { path, text };
    let mut files = vec![file("b/t.sql".into(), BRONZE.into()), file("b/u.sql".into(), OTHER.into())];
    files.extend(views.iter().map(|(name, text)| file(format!("silver/{name}.sql"), text.clone())));
    let text = format!("{}warehouse.location = \"{}\"\n", super::BROKERS, warehouse.display());
    let folder = Path::new("/project");
    let config =
        Config::from_parts(Some(&text), folder, folder, None, &[], &BTreeMap::new(), ingot_source::check_property)
            .unwrap();
    let checked = check_files(folder, files, &config);
    let errors: Vec<_> = checked
        .diagnostics
        .iter()
        .filter(|d| d.is_error())
        .map(|d| format!("{}: {} {}", d.file.as_deref().unwrap_or_default(), d.code, d.message))
        .collect();
    (checked.project.unwrap_or_else(|| panic!("{errors:#?}")), config)
}

/// One row of `bronze.t`, by its number.
fn rows(numbers: &[i64]) -> RecordBatch {
    let n = |modulo: i64| move |x: &i64| x.rem_euclid(modulo);
    let some = |x: &i64, modulo: i64| (x.rem_euclid(modulo) != 0).then_some(*x);
    let words = ["a", "b", "bl", "", "café"];
    let floats = [0.1, 0.2, 0.3, 1.5, 1e300, -1e300, 1e-300, 7.25];
    let word = |x: &i64| some(x, 6).map(|_| words[n(5)(x) as usize]);
    let mut tags = ListBuilder::new(StringBuilder::new());
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), Int64Builder::new());
    for x in numbers {
        (0..n(3)(x)).for_each(|t| tags.values().append_value(words[t as usize]));
        tags.append(x % 7 != 0);
        if x % 4 != 0 && x % 5 != 0 {
            map.keys().append_value(if x % 2 == 0 { "a" } else { "c" });
            map.values().append_value(n(3)(x));
        }
        map.append(x % 5 != 0).unwrap();
    }
    let decimals: Decimal128Array = numbers.iter().map(|x| some(x, 5).map(|x| i128::from(x * 137 % 1_000))).collect();
    let uuids = numbers.iter().map(|x| some(x, 8).map(|_| [n(3)(x) as u8; 16]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbers.iter().map(|x| some(&n(5)(x), 5)).collect::<Int64Array>()),
        Arc::new(numbers.iter().map(word).collect::<StringArray>()),
        Arc::new(numbers.iter().map(|x| some(x, 4).map(|_| floats[n(8)(x) as usize])).collect::<Float64Array>()),
        Arc::new(numbers.iter().map(|x| some(x, 4).map(|_| n(9)(x) as f32 / 3.0)).collect::<Float32Array>()),
        Arc::new(decimals.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(numbers.iter().map(|x| some(x, 7).map(|x| (x % 11 - 3) as i32)).collect::<Int32Array>()),
        Arc::new(numbers.iter().map(|x| some(x, 3).map(|x| x % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(
            numbers
                .iter()
                .map(|x| some(x, 9).map(|x| x * 7_200_000_000))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(numbers.iter().map(|x| some(x, 4).map(|x| (x / 3) as i32)).collect::<Date32Array>()),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids, 16).unwrap()),
        Arc::new(tags.finish()),
        Arc::new(map.finish()),
        Arc::new(numbers.iter().copied().map(Some).collect::<Int64Array>()),
    ];
    let fields = ["k", "s", "f", "r", "d", "i", "b", "ts", "dt", "u", "tags", "m", "o"];
    RecordBatch::try_from_iter_with_nullable(fields.into_iter().zip(columns).map(|(n, c)| (n, c, true))).unwrap()
}

fn others(numbers: &[i64]) -> RecordBatch {
    let some = |x: &i64, modulo: i64| (x.rem_euclid(modulo) != 0).then_some(*x);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(numbers.iter().map(|x| some(&(x % 5), 4)).collect::<Int64Array>())),
        ("name", Arc::new(numbers.iter().map(|x| some(x, 3).map(|x| format!("n{}", x % 3))).collect::<StringArray>())),
        ("v", Arc::new(numbers.iter().map(|x| some(x, 4).map(|x| x as i32)).collect::<Int32Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

/// A project in a warehouse, its streaming tables written by hand.
pub(crate) struct World {
    pub(crate) engine: Engine,
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(views: &[(String, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { engine: Self::engine(views, dir.path()).await, dir };
        for name in ["bronze.t", "bronze.u"] {
            let name: TableName = name.parse().unwrap();
            let definition = world.engine.project().tables[&name].definition.clone();
            world.engine.lake().create_table(NewTable { name, definition, first_summary: None }).await.unwrap();
        }
        world
    }

    async fn engine(views: &[(String, String)], warehouse: &Path) -> Engine {
        let (project, config) = project(views, warehouse);
        Engine::open(Arc::new(project), Arc::new(config)).await.unwrap()
    }

    /// The same warehouse under another project.
    pub(crate) async fn again(self, views: &[(String, String)]) -> Self {
        Self { engine: Self::engine(views, self.dir.path()).await, dir: self.dir }
    }

    /// Adds rows to a table; with `instead`, in the place of all it holds.
    async fn write(&self, name: &str, batch: RecordBatch, instead: bool) {
        let table = self.engine.lake().load_table(&name.parse().unwrap()).await.unwrap().unwrap();
        let schema = table.schema();
        let columns = batch.columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()).unwrap());
        let batch = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        let mut writer = Writer::new(&table, None).unwrap();
        writer.write(&batch).await.unwrap();
        let add = writer.close().await.unwrap();
        let live = match table.head().filter(|_| instead) {
            Some(head) => live_files(&table, head).await.unwrap(),
            None => vec![],
        };
        let change = Commit {
            commit_id: uuid::Uuid::now_v7(),
            operation: if instead { Operation::Overwrite } else { Operation::Append },
            add,
            remove: live.into_iter().map(|f| f.path).collect(),
            ..Commit::default()
        };
        self.engine.lake().commit(&table, change, &|_| Rebase::Retry).await.unwrap();
    }

    pub(crate) async fn rows(&self, numbers: &[i64], instead: bool) {
        self.write("bronze.t", rows(numbers), instead).await;
    }

    pub(crate) async fn others(&self, numbers: &[i64], instead: bool) {
        self.write("bronze.u", others(numbers), instead).await;
    }

    /// Refreshes all views; how each of them was by the plan and by the report, and what failed.
    pub(crate) async fn refresh(&self) -> (Plan, BTreeMap<TableName, String>, Vec<String>) {
        let plan = self.engine.plan(&|n| n.namespace != "bronze").await.unwrap();
        let report = self.engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
        let (mut modes, mut failed) = (BTreeMap::new(), Vec::new());
        for step in report.steps {
            match step.error {
                Some(e) => failed.push(format!("{}: {} {}", step.table, e.code, e.message)),
                None => {
                    modes.insert(step.table, step.mode);
                }
            }
        }
        (plan, modes, failed)
    }

    pub(crate) async fn different(&self, name: &TableName) -> Option<String> {
        match self.engine.verify(name).await {
            Ok(v) if matches!(v.verdict, Verdict::Equal { .. }) => None,
            Ok(v) => Some(format!("{name}: {:?}", v.verdict)),
            Err(e) => Some(format!("{name}: {} {e}", e.code())),
        }
    }
}

fn how(strategy: &Strategy) -> String {
    match strategy.incremental() {
        Ok(how) => how.word().into(),
        Err(reason) => {
            let codes: BTreeSet<&str> = reason.obstacles().map(|o| o.code).collect();
            codes.into_iter().fold("full".into(), |text, code| format!("{text} {code}"))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_check_accepts_is_built_and_refreshed() {
    let cases = corpus();
    assert!(cases.len() >= QUERIES_MIN, "{} queries", cases.len());
    let views: Vec<(String, String)> = cases
        .iter()
        .map(|c| (c.name.clone(), format!("CREATE MATERIALIZED VIEW silver.{} AS {};", c.name, c.sql)))
        .collect();
    let world = World::new(&views).await;
    let mut wrong = Vec::new();
    for case in &cases {
        let model = &world.engine.project().tables[&TableName::new("silver", &case.name)];
        if how(&model.strategy) != case.how {
            wrong.push(format!("{} is {}, not {}: {:?}", case.name, how(&model.strategy), case.how, model.strategy));
        }
    }
    let first: Vec<i64> = (0..40).collect();
    let more: Vec<i64> = (30..60).collect();
    let fewer: Vec<i64> =
        first.iter().chain(&more).filter(|x| *x % 5 != 2).map(|x| if x % 7 == 3 { x + 11 } else { *x }).collect();
    let steps = [
        (first, (0..7).collect(), false),
        (more, (5..12).collect(), false),
        (fewer, (3..9).collect::<Vec<i64>>(), true),
    ];
    for (at, (numbers, others, instead)) in steps.into_iter().enumerate() {
        world.rows(&numbers, instead).await;
        world.others(&others, instead).await;
        let (plan, modes, failed) = world.refresh().await;
        wrong.extend(failed.into_iter().map(|f| format!("step {at}: {f}")));
        for case in &cases {
            let name = TableName::new("silver", &case.name);
            wrong.extend(world.different(&name).await.map(|d| format!("step {at}: {d}")));
            let action = &plan.steps.iter().find(|s| s.table == name).unwrap().action;
            let planned = match action {
                Action::Refresh { .. } => "incremental",
                other => other.mode(),
            };
            let expected = match (at, case.how.starts_with("full")) {
                (0, _) => "create",
                (_, true) => "full",
                (_, false) => "incremental",
            };
            let done = modes.get(&name).map_or("failed", String::as_str);
            // A change that leaves the view as it is commits nothing; one that does not reach it plans nothing.
            let same = planned == done || planned == "incremental" && done == "nothing";
            if planned != expected && planned != "nothing" || !same {
                wrong.push(format!("step {at}: {name} was planned as {planned} ({action:?}) and run as {done}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn view(name: &str, head: &str, query: &str) -> (String, String) {
    (name.to_owned(), format!("CREATE MATERIALIZED VIEW silver.{name} {head} AS {query};"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_no_longer_recomputed_is_built_with_its_state() {
    let name = TableName::new("silver", "x");
    let query = "SELECT k, count(*) AS n, max(f) AS m FROM bronze.t GROUP BY k";
    let policy = |word: &str| vec![view("x", &format!("REFRESH POLICY {word}"), query)];
    let world = World::new(&policy("FULL")).await;
    world.rows(&[1, 2, 3], false).await;
    assert_eq!(world.refresh().await.1[&name], "create");
    let world = world.again(&policy("AUTO")).await;
    let (plan, modes, failed) = world.refresh().await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(plan.has_rebuild() && plan.to_string().contains("R0549"), "{plan}");
    assert_eq!(modes[&name], "rebuild");
    world.rows(&[4, 5, 6], false).await;
    assert_eq!(world.refresh().await.1[&name], "incremental");
    assert_eq!(world.different(&name).await, None);
    let world = world.again(&policy("FULL")).await;
    assert!(!world.refresh().await.0.has_work());
    world.rows(&[7], false).await;
    assert_eq!(world.refresh().await.1[&name], "full");
    assert_eq!(world.different(&name).await, None);
}

/// The net count of an expectation over a table's snapshots.
async fn warned(world: &World, table: &str, expectation: &str) -> i64 {
    let table = world.engine.lake().load_table(&table.parse().unwrap()).await.unwrap().unwrap();
    let counts = table.history().into_iter().filter_map(|s| s.summary.get(property::EXPECTATIONS).map(str::to_owned));
    counts
        .filter_map(|json| serde_json::from_str::<ingot_model::Expectations>(&json).unwrap().remove(expectation))
        .map(|c| c.warned)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_taken_back_when_their_rows_go() {
    let views = [
        view("grouped", "(CONSTRAINT few EXPECT (n < 3))", "SELECT i, count(*) AS n FROM bronze.t GROUP BY i"),
        view("rows", "(CONSTRAINT low EXPECT (o < 10))", "SELECT k, o FROM bronze.t"),
        view(
            "firsts",
            "(CONSTRAINT low EXPECT (o < 10))",
            "SELECT k, o FROM (SELECT k, o FROM bronze.t) AS x QUALIFY row_number() OVER (PARTITION BY k ORDER BY o DESC) = 1",
        ),
    ];
    let world = World::new(&views).await;
    let broken = async |table: &str, condition: &str| {
        let session = world.engine.session().unwrap();
        let sql = format!("SELECT count(*) AS n FROM silver.{table} WHERE ({condition}) IS NOT TRUE");
        let planned = session.plan(&Caller::ANONYMOUS, &sql, None).await.unwrap();
        let batches: Vec<RecordBatch> =
            session.execute(&Caller::ANONYMOUS, &planned, None).await.unwrap().try_collect().await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    let steps: [(&[i64], bool); 5] = [
        (&[1, 2, 12, 23, 34], false),
        (&[4, 15, 16], false),
        (&[1, 2, 12, 4], true),
        (&[1, 2, 3], true),
        (&[11, 22], false),
    ];
    let mut seen = 0;
    for (numbers, instead) in steps {
        world.rows(numbers, instead).await;
        let (_, modes, failed) = world.refresh().await;
        assert!(failed.is_empty(), "{failed:?}");
        assert!(modes.values().all(|m| m != "full"), "{modes:?}");
        for (table, expectation, condition) in
            [("grouped", "few", "n < 3"), ("rows", "low", "o < 10"), ("firsts", "low", "o < 10")]
        {
            let wanted = broken(table, condition).await;
            assert_eq!(
                warned(&world, &format!("silver.{table}"), expectation).await,
                wanted,
                "{table} after {numbers:?}"
            );
            seen += wanted;
        }
    }
    assert!(seen > 8, "{seen} broken rows");
}

/// Not a law: prints what the trial of plans adds to a check of 100 tables.
#[test]
#[ignore = "a measurement"]
fn a_hundred_tables_are_tried() {
    let dir = tempfile::tempdir().unwrap();
    let file = |path: String, text: String| std::fs::write(dir.path().join(path), text).unwrap();
    file("t.sql".into(), BRONZE.into());
    for i in 0..100 {
        let query = match i % 3 {
            0 => {
                "SELECT k, s, f, d FROM (SELECT k, s, f, d, o FROM bronze.t) AS x QUALIFY row_number() OVER (PARTITION BY k, s ORDER BY o) = 1"
            }
            1 => "SELECT s, count(*) AS n, avg(f) AS a, max(d) AS m FROM bronze.t GROUP BY s",
            _ => "SELECT k, lower(s) AS s, ts FROM bronze.t WHERE i BETWEEN 0 AND 100",
        };
        file(format!("v{i}.sql"), format!("CREATE MATERIALIZED VIEW silver.v{i} AS {query};"));
    }
    let config = super::config(super::BROKERS, &[]);
    for (what, load) in [
        ("untried", ingot_project::check::load_to_read as fn(&Path, &Config) -> ingot_project::project::Checked),
        ("tried", ingot_project::check::load),
    ] {
        for _ in 0..3 {
            let started = std::time::Instant::now();
            assert!(load(dir.path(), &config).project.is_some());
            println!("{what}: {:?}", started.elapsed());
        }
    }
}
