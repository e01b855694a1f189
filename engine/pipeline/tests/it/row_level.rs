//! Views whose rows leave by delete files: right after every change, and so are the views over them.

use std::collections::BTreeMap;

use ingot_lake::Table;
use ingot_model::Count;
use ingot_pipeline::engine::Engine;

use crate::world::{World, all_equal, name, number, once};

const LOG: &str = "CREATE SOURCE s (k BIGINT, v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
    CREATE STREAMING TABLE bronze.t AS SELECT k, v FROM STREAM s;\n";
const BY_DELETES: &str = "TBLPROPERTIES ('write.merge.mode' = 'merge-on-read', 'write.delete.mode' = 'merge-on-read')";

fn world() -> World {
    let view = |of: &str, query: &str| format!("CREATE MATERIALIZED VIEW {of} {BY_DELETES}\nAS {query};\n");
    let files = [
        ("bronze/t.sql", LOG.to_owned()),
        // By key, and groups that go away.
        (
            "silver/sums.sql",
            view("silver.sums", "SELECT k, sum(v) AS total, count(*) AS n, max(v) AS m FROM bronze.t GROUP BY k"),
        ),
        // By value, over rows that leave.
        ("silver/large.sql", view("silver.large", "SELECT k, total FROM silver.sums WHERE total > 40")),
        // By key, over rows that leave; partitioned.
        (
            "gold/by_rest.sql",
            format!(
                "CREATE MATERIALIZED VIEW gold.by_rest PARTITIONED BY (r) {BY_DELETES}\n\
                 AS SELECT total % 3 AS r, k % 11 AS g, count(*) AS n, min(m) AS least FROM silver.sums GROUP BY 1, 2;\n"
            ),
        ),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    World::of(&files, &[("log", 1)])
}

async fn table(engine: &Engine, of: &str) -> Table {
    engine.lake().load_table(&name(of)).await.unwrap().unwrap()
}

async fn counted(engine: &Engine, of: &str, what: Count) -> u64 {
    let table = table(engine, of).await;
    table.head().and_then(|head| table.snapshot(head)).unwrap().count(what).unwrap().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_leave_by_delete_files_and_readers_follow() {
    let world = world();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut throw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut model: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let tables = ["silver.sums", "silver.large", "gold.by_rest"];
    let mut had_deletes: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..12 {
        let keys: Vec<u64> = if round == 0 { (0..300).collect() } else { (0..12).map(|_| throw(310)).collect() };
        let mut messages = Vec::new();
        for k in keys {
            let v = throw(60);
            let (total, n) = model.entry(k).or_default();
            (*total, *n) = (*total + v, *n + 1);
            messages.push(format!(r#"{{"k": {k}, "v": {v}}}"#));
        }
        world.send("log", 0, messages);
        let engine = world.engine().await;
        let (plan, report) = once(&engine).await;
        if round > 0 {
            assert!(report.steps.iter().all(|step| step.mode != "full"), "round {round}: {plan}");
        }
        all_equal(&engine).await;
        let sum = |of: fn(&(u64, u64)) -> u64| model.values().map(of).sum::<u64>().cast_signed();
        assert_eq!(number(&engine, "SELECT CAST(sum(total) AS BIGINT) FROM silver.sums").await, sum(|of| of.0));
        assert_eq!(number(&engine, "SELECT count(*) FROM silver.sums").await, model.len() as i64);
        let large = model.values().filter(|of| of.0 > 40).count() as i64;
        assert_eq!(number(&engine, "SELECT count(*) FROM silver.large").await, large);
        let groups = number(&engine, "SELECT sum(n) FROM gold.by_rest").await;
        assert_eq!(groups, model.len() as i64);
        for of in tables {
            *had_deletes.entry(of).or_default() += counted(&engine, of, Count::AddedDeleteFiles).await;
        }
        // Rows are counted without those that are deleted.
        let head = table(&engine, "silver.sums").await;
        let rows = head.snapshot(head.head().unwrap()).unwrap().rows().unwrap();
        assert_eq!(rows, Some(model.len() as u64));
        if round % 5 == 4 {
            let done = engine.maintain(&name("silver.sums"), false, &|_| {}).await.unwrap();
            assert!(done.files_in > 0, "{done:?}");
            assert_eq!(counted(&engine, "silver.sums", Count::TotalDeleteFiles).await, 0);
            all_equal(&engine).await;
            // A rewrite is no change: what reads it looks and commits nothing.
            let (_, report) = once(&engine).await;
            assert!(report.steps.iter().all(|step| step.mode == "nothing"), "{:?}", report.steps);
        }
    }
    assert!(tables.iter().all(|of| had_deletes[of] > 0), "{had_deletes:?}");
}
