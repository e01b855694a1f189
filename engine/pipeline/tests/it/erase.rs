//! `erase`: no byte of what was erased is left, readers follow, and `verify` still answers.

use std::path::Path;

use ingot_dialect::client_condition;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::erase::{Asked, Raw};
use ingot_pipeline::verify::Verdict;
use tokio_util::sync::CancellationToken;

use super::world::{World, all_equal, name, number, once};

const WHO: &str = "alice@exam.org";
const PLAIN: &str = "TBLPROPERTIES ('write.parquet.compression-codec' = 'uncompressed')";

fn world() -> World {
    let stream = format!(
        "CREATE SOURCE s (id BIGINT, mail STRING, v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
         CREATE STREAMING TABLE bronze.t {PLAIN} ON DECODE ERROR INTO bronze.t_errors AS SELECT id, mail, v FROM STREAM s;\n"
    );
    let kept = "CREATE STREAMING TABLE silver.kept AS SELECT id, mail FROM STREAM bronze.t;\n".to_owned();
    let rows =
        format!("CREATE MATERIALIZED VIEW silver.rows {PLAIN} AS SELECT id, mail, v FROM bronze.t WHERE v > 0;\n");
    let sums = format!(
        "CREATE MATERIALIZED VIEW silver.sums {PLAIN} AS SELECT mail, sum(v) AS total, max(v) AS most FROM silver.rows GROUP BY mail;\n"
    );
    let files = [
        ("bronze/t.sql", stream.as_str()),
        ("silver/kept.sql", kept.as_str()),
        ("silver/rows.sql", rows.as_str()),
        ("silver/sums.sql", sums.as_str()),
    ];
    World::of(&files, &[("log", 2)])
}

async fn sent(world: &World, from: u64) -> Engine {
    let people = [WHO, "bob@exam.org", "malice@exam.org"];
    for partition in 0..2 {
        let rows = (from..from + 6)
            .map(|id| format!(r#"{{"id": {id}, "mail": "{}", "v": {}}}"#, people[(id % 3) as usize], id as i64 - 2));
        world.send("log", partition, rows);
        world.send("log", partition, [format!(r#"{{"id": "none", "mail": "{WHO}"}}"#), "no object".to_owned()]);
    }
    let engine = world.engine().await;
    once(&engine).await;
    engine
}

fn asked(condition: &str, raw: Raw, excluded: &[&str]) -> Asked {
    Asked {
        table: name("bronze.t"),
        condition: client_condition(condition).unwrap(),
        raw,
        excluded: excluded.iter().map(|n| name(n)).collect(),
    }
}

/// The files below a folder that hold a text which is not part of a longer name.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, text, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let places =
            (0..bytes.len().saturating_sub(text.len() - 1)).filter(|i| bytes[*i..].starts_with(text.as_bytes()));
        if places.filter(|i| *i == 0 || !bytes[i - 1].is_ascii_alphabetic()).count() > 0 {
            found.push(path.display().to_string());
        }
    }
}

fn held(world: &World) -> Vec<String> {
    let mut found = vec![];
    holding(&world.dir.path().join("warehouse"), WHO, &mut found);
    // It keeps what it has taken.
    found.retain(|file| !file.contains("/silver/kept/"));
    found.sort();
    found
}

async fn code_of(engine: &Engine, asked: &Asked) -> &'static str {
    engine.erasure(asked).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_was_erased_is_left_and_verify_answers() {
    let world = world();
    drop(sent(&world, 0).await);
    let engine = sent(&world, 6).await;
    all_equal(&engine).await;
    let condition = format!("mail = '{WHO}'");
    assert_eq!(code_of(&engine, &asked(&condition, Raw::Compared, &[])).await, "R0553");
    assert_eq!(code_of(&engine, &asked("id = 3", Raw::Compared, &["silver.kept"])).await, "R0554");
    let of_view = Asked { table: name("silver.rows"), ..asked(&condition, Raw::Compared, &[]) };
    assert_eq!(code_of(&engine, &of_view).await, "R0551");
    let erased = asked(&condition, Raw::Compared, &["silver.kept"]);
    let found = engine.erasure(&erased).await.unwrap();
    assert_eq!((found.rows, found.errors[0].rows, found.errors[0].stored), (8, 4, 8), "{found:?}");
    assert_eq!(found.readers, [name("silver.rows"), name("silver.sums")]);
    // Row by row, in manifests' bounds, and in the bytes of what did not decode.
    let before = held(&world);
    for part in
        ["/bronze/t/data/", "/bronze/t/metadata/", "/bronze/t_errors/data/", "/silver/rows/data/", "/silver/sums/data/"]
    {
        assert!(before.iter().any(|file| file.contains(part)), "{part} of {before:#?}");
    }

    let stop = CancellationToken::new();
    let done = engine.erase(&erased, &stop, &|_| {}).await.unwrap();
    assert_eq!((done.erasure.rows, done.erasure.errors[0].rows), (8, 4));
    assert!(done.snapshots > 0 && done.files_deleted > 0, "{done:?}");
    assert_eq!(held(&world), Vec::<String>::new());
    let engine = world.engine().await;
    all_equal(&engine).await;
    for table in ["bronze.t", "bronze.t_errors", "silver.kept"] {
        let told = engine.verify(&name(table)).await.unwrap().verdict;
        assert!(matches!(&told, Verdict::Consistent { reason, .. } if reason.contains("erased")), "{table}: {told:?}");
    }
    for table in ["silver.rows", "silver.sums"] {
        let told = engine.verify(&name(table)).await.unwrap().verdict;
        assert!(matches!(told, Verdict::Equal { .. }), "{table}: {told:?}");
    }
    for (sql, n) in [
        ("SELECT count(*) FROM bronze.t", 16),
        ("SELECT count(*) FROM bronze.t_errors", 4),
        ("SELECT count(*) FROM silver.sums", 2),
        ("SELECT count(*) FROM silver.kept", 24),
    ] {
        assert_eq!(number(&engine, sql).await, n, "{sql}");
    }

    // What comes later is read on from the position, by everyone, without a recompute.
    let engine = sent(&world, 12).await;
    all_equal(&engine).await;
    assert_eq!(number(&engine, "SELECT count(*) FROM bronze.t").await, 28);
    assert_eq!(number(&engine, "SELECT count(*) FROM silver.kept").await, 36);
    for table in ["silver.rows", "silver.sums", "silver.kept"] {
        let stored = engine.lake().load_table(&name(table)).await.unwrap().unwrap();
        let last = stored.history().newest_refresh().and_then(|s| s.refresh()).map(|(mode, _)| mode.to_owned());
        assert!(last.as_deref().is_some_and(|mode| mode == "incremental" || mode == "append"), "{table}: {last:?}");
    }
    // Again, for what came since; and once more, for nothing.
    for rows in [4, 0] {
        let done = engine.erase(&erased, &stop, &|_| {}).await.unwrap();
        assert_eq!(done.erasure.rows, rows);
        assert_eq!(held(&world), Vec::<String>::new());
        let (_, report) = once(&world.engine().await).await;
        let anew = ["full", "rebuild", "create"];
        assert!(report.steps.iter().all(|step| !anew.contains(&step.mode.as_str())), "{:?}", report.steps);
        all_equal(&world.engine().await).await;
    }
    // Reading again brings them back, so it is asked for twice.
    let engine = world.engine().await;
    let refused = engine.refresh(&name("bronze.t"), true, false, &stop).await.unwrap_err();
    assert_eq!(refused.code(), "R0555");
    assert!(!engine.refresh(&name("bronze.t"), true, true, &stop).await.unwrap().failed());
    assert_eq!(number(&engine, "SELECT count(*) FROM bronze.t").await, 36);
    assert_eq!(engine.verify(&name("bronze.t")).await.unwrap().exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_missing_and_was_not_erased_is_a_difference() {
    let world = world();
    drop(sent(&world, 0).await);
    let engine = sent(&world, 6).await;
    let stop = CancellationToken::new();
    let erased = asked("id = 3", Raw::Texts(vec!["nothing".into()]), &["silver.kept"]);
    assert_eq!(engine.erase(&erased, &stop, &|_| {}).await.unwrap().erasure.rows, 2);
    assert_eq!(engine.verify(&name("bronze.t")).await.unwrap().exit_code(), 0);
    let table = engine.lake().load_table(&name("bronze.t")).await.unwrap().unwrap();
    let remove = ingot_lake::live_files(&table, table.head().unwrap()).await.unwrap()[0].path.clone();
    let taken = ingot_lake::Commit { remove: vec![remove], ..ingot_lake::Commit::default() };
    engine.lake().commit(&table, taken, &|_: &ingot_lake::Table| ingot_lake::Rebase::Retry).await.unwrap();
    assert_eq!(engine.verify(&name("bronze.t")).await.unwrap().exit_code(), 1);
}
