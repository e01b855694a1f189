//! Files whose bounds say less of their floats than SQL does: NaN is in no bound, and a bound is one of two zeros.

use arrow::array::{Float32Array, Float64Array, Int32Array};
use datafusion::config::ConfigOptions;

use super::*;

/// By the number of the row: a NaN in a file that otherwise has one value, in one that has several, zeros by themselves.
fn files() -> Vec<RecordBatch> {
    let rows: [&[f64]; 6] =
        [&[f64::NAN, 5.0], &[5.0, 5.0], &[-f64::NAN, 5.0, 7.0, 100.0], &[-0.0, -0.0], &[0.0, 0.0], &[-1.5, 1.5]];
    let mut next = 0;
    let batch_of = |rows: &&[f64]| {
        let numbers: Int32Array = rows
            .iter()
            .map(|_| {
                next += 1;
                Some(next)
            })
            .collect();
        batch(vec![
            ("i", Arc::new(numbers) as ArrayRef),
            ("x", Arc::new(Float64Array::from(rows.to_vec()))),
            ("r", Arc::new(rows.iter().map(|v| Some(*v as f32)).collect::<Float32Array>())),
        ])
    };
    rows.iter().map(batch_of).collect()
}

async fn stored() -> (Fixture, Table) {
    let fixture = Fixture::new().await;
    let columns = [("i", DataType::Int32), ("x", DataType::Float64), ("r", DataType::Float32)];
    let table = fixture.create(definition(&columns)).await;
    let table = append(&table, &files()).await;
    (fixture, table)
}

async fn session(table: &Table, pushdown: bool, log: &ScanLog) -> SessionContext {
    let mut options = ConfigOptions::new();
    options.execution.parquet.pushdown_filters = pushdown;
    ingot_semantics::exact_options(&mut options);
    let config = SessionConfig::from(options).with_target_partitions(2);
    let context = SessionContext::new_with_state(ingot_semantics::state(config, Arc::default()).build());
    let options = ScanOptions { log: Some(Arc::clone(log)), ..ScanOptions::default() };
    context.register_table("t", Arc::new(LakeTableProvider::try_new(table, options).await.unwrap())).unwrap();
    context
}

#[tokio::test]
async fn every_row_is_found_by_its_value() {
    let (_fixture, table) = stored().await;
    let queries = [
        ("SELECT i FROM t WHERE x > 200", "1 5"),
        ("SELECT i FROM t WHERE x = CAST('NaN' AS DOUBLE)", "1 5"),
        ("SELECT i FROM t WHERE x >= 5", "1 2 3 4 5 6 7 8"),
        ("SELECT i FROM t WHERE x <> 5", "1 10 11 12 13 14 5 7 8 9"),
        ("SELECT i FROM t WHERE x = 0", "10 11 12 9"),
        ("SELECT i FROM t WHERE x = CAST('-0.0' AS DOUBLE)", "10 11 12 9"),
        ("SELECT i FROM t WHERE x < 0", "13"),
        ("SELECT i FROM t WHERE x > CAST('-0.0' AS DOUBLE) AND x < 2", "14"),
        ("SELECT i FROM t WHERE x <= CAST('-0.0' AS DOUBLE)", "10 11 12 13 9"),
        ("SELECT i FROM t WHERE x IN (CAST('-0.0' AS DOUBLE), 100)", "10 11 12 8 9"),
        ("SELECT i FROM t WHERE x BETWEEN 100 AND CAST('NaN' AS DOUBLE)", "1 5 8"),
        ("SELECT i FROM t WHERE x NOT BETWEEN -2 AND 100", "1 5"),
        ("SELECT i FROM t WHERE i < 3 AND x < 6", "2"),
        ("SELECT x FROM t WHERE i = 1", "NaN"),
        ("SELECT x, i FROM t WHERE i < 3 ORDER BY x DESC LIMIT 1", "NaN,1"),
        ("SELECT i FROM t ORDER BY x DESC, i LIMIT 3", "1 5 8"),
        ("SELECT max(x), min(x) FROM t", "NaN,-1.5"),
        ("SELECT max(x) FROM t WHERE i BETWEEN 5 AND 8", "NaN"),
        ("SELECT a.i, b.i FROM t AS a JOIN t AS b ON a.x = b.x WHERE b.i = 1", "1,1 5,1"),
        ("SELECT a.i FROM t AS a JOIN (SELECT x FROM t WHERE i = 9) AS b ON a.x = b.x", "10 11 12 9"),
        ("SELECT i FROM t WHERE x IN (SELECT x FROM t WHERE i IN (5, 11))", "1 10 11 12 5 9"),
        ("SELECT x, count(*) FROM t WHERE x >= 100 GROUP BY x", "100.0,1 NaN,2"),
    ];
    let log = ScanLog::default();
    for pushdown in [false, true] {
        let context = session(&table, pushdown, &log).await;
        for (sql, wanted) in queries {
            let real = sql.replace('x', "r").replace("mar", "max").replace("DOUBLE", "REAL");
            for sql in [sql.to_owned(), real] {
                assert_eq!(lines(&context, &sql).await.join(" "), wanted, "{sql}, pushdown {pushdown}");
            }
        }
    }
}

#[tokio::test]
async fn files_without_nan_are_skipped_by_their_bounds() {
    let (_fixture, table) = stored().await;
    let log = ScanLog::default();
    let context = session(&table, false, &log).await;
    // The two files with a NaN say nothing of their floats.
    for (filter, files) in [("x > 200", 2), ("x = 0", 5), ("x < -1", 3), ("x > 5", 2), ("x >= 5", 3), ("r = 5", 3)] {
        lines(&context, &format!("SELECT i FROM t WHERE {filter}")).await;
        assert_eq!(taken(&log), files, "{filter}");
    }
}
