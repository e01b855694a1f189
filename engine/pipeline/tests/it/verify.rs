//! `verify` objects: to a row less, a row more and a value that differs, whoever says that they are ours.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::TryStreamExt;
use ingot_lake::{Commit, LakeTableProvider, Rebase, ScanOptions, Table, Writer};
use ingot_model::Operation;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::verify::Verdict;

use crate::world::{World, all_equal, name, once, query};

const STREAM: &str = "CREATE SOURCE s (k BIGINT, v BIGINT) INCLUDE PARTITION AS p INCLUDE OFFSET AS o\n\
    WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
    CREATE STREAMING TABLE bronze.t AS SELECT k, v, p, o FROM STREAM s;\n";
const VIEWS: [(&str, &str); 4] = [
    (
        "silver/grouped.sql",
        "CREATE MATERIALIZED VIEW silver.grouped AS SELECT k, sum(v) AS v, count(*) AS n FROM bronze.t GROUP BY k;\n",
    ),
    ("silver/rows.sql", "CREATE MATERIALIZED VIEW silver.rows AS SELECT k, v, o FROM bronze.t WHERE v >= 0;\n"),
    (
        "silver/first.sql",
        "CREATE MATERIALIZED VIEW silver.first AS SELECT k, v FROM bronze.t QUALIFY row_number() OVER (PARTITION BY k ORDER BY o DESC) = 1;\n",
    ),
    ("silver/whole.sql", "CREATE MATERIALIZED VIEW silver.whole AS SELECT DISTINCT k, v FROM bronze.t;\n"),
];

async fn table(engine: &Engine, table: &str) -> Table {
    engine.lake().load_table(&name(table)).await.unwrap().unwrap()
}

/// All columns of a table as stored, those of its state as well.
async fn stored(engine: &Engine, of: &str) -> RecordBatch {
    let table = table(engine, of).await;
    let provider =
        LakeTableProvider::try_new(&table, ScanOptions { with_state: true, ..ScanOptions::default() }).await.unwrap();
    let context = datafusion::prelude::SessionContext::new();
    let frame = context.read_table(Arc::new(provider)).unwrap();
    let batches: Vec<RecordBatch> = frame.execute_stream().await.unwrap().try_collect().await.unwrap();
    datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Puts other rows in place of a table's, in a snapshot that tells of itself what the head tells.
async fn forge(engine: &Engine, of: &str, rows: RecordBatch) {
    let table = table(engine, of).await;
    let head = table.history().into_iter().next().unwrap();
    let mut writer = Writer::new(&table, None).unwrap();
    writer.write(&rows).await.unwrap();
    let change = Commit {
        commit_id: uuid::Uuid::now_v7(),
        operation: Operation::Overwrite,
        add: writer.close().await.unwrap(),
        remove_all: true,
        summary: table
            .metadata()
            .snapshot_by_id(head.id)
            .unwrap()
            .summary()
            .additional_properties
            .iter()
            .filter(|(k, _)| k.starts_with("ingot."))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        ..Commit::default()
    };
    let guard = |_: &Table| Rebase::Abandon("nobody else writes here".into());
    engine.lake().commit(&table, change, &guard).await.unwrap();
}

fn plus_one(rows: &RecordBatch, column: &str) -> RecordBatch {
    let at = rows.schema().index_of(column).unwrap();
    let mut columns = rows.columns().to_vec();
    let old = columns[at].as_any().downcast_ref::<Int64Array>().unwrap();
    let changed: Int64Array = old.iter().enumerate().map(|(i, v)| v.map(|v| if i == 0 { v + 1 } else { v })).collect();
    columns[at] = Arc::new(changed) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_objects_to_every_forged_row() {
    let files: Vec<(&str, &str)> = [("bronze/t.sql", STREAM)].into_iter().chain(VIEWS).collect();
    for of in ["bronze.t", "silver.rows", "silver.first", "silver.whole", "silver.grouped"] {
        for forged in ["a row less", "a row twice", "another value"] {
            let world = World::of(&files, &[("log", 1)]);
            world.send("log", 0, (0..30).map(|i| format!(r#"{{"k": {}, "v": {}}}"#, i % 7, i - 3)));
            let engine = world.engine().await;
            once(&engine).await;
            all_equal(&engine).await;
            let rows = stored(&engine, of).await;
            let all = rows.num_rows();
            let other = match forged {
                "a row less" => rows.slice(1, all - 1),
                "a row twice" => {
                    datafusion::arrow::compute::concat_batches(&rows.schema(), [&rows, &rows.slice(0, 1)]).unwrap()
                }
                _ => plus_one(&rows, "v"),
            };
            forge(&engine, of, other).await;
            let verified = engine.verify(&name(of)).await.unwrap();
            let Verdict::Different { findings } = &verified.verdict else {
                panic!("{of} with {forged}: {:?}", verified.verdict)
            };
            assert!(!findings.is_empty() && verified.exit_code() == 1, "{of} with {forged}: {findings:?}");
            // The others are what they were.
            for table in engine.project().order.iter().filter(|t| **t != name(of) && of != "bronze.t") {
                assert_eq!(engine.verify(table).await.unwrap().exit_code(), 0, "{table} beside {of} with {forged}");
            }
            // The way back.
            let stop = tokio_util::sync::CancellationToken::new();
            assert!(!engine.refresh(&name(of), true, false, &stop).await.unwrap().failed());
            once(&engine).await;
            all_equal(&engine).await;
            let n =
                query(&engine, &format!("SELECT * FROM {of}")).await.iter().map(RecordBatch::num_rows).sum::<usize>();
            assert_eq!(n, all, "{of} after {forged}");
        }
    }
}
