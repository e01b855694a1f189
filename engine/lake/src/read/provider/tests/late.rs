//! Filters that a query makes while it runs leave out files that are not opened yet.

use arrow::array::{Int64Array, StringArray};
use datafusion::physical_plan::metrics::MetricValue;

use super::*;

/// Files of ten rows each, in no order of their ranges.
async fn ranges(fixture: &Fixture, files: i64) -> Table {
    let columns = [("id", DataType::Int64), ("s", DataType::Utf8)];
    let table = fixture.create(definition(&columns)).await;
    let of = |file: i64| {
        let ids: Vec<i64> = (0..10).map(|i| (file * 7 % files) * 10 + i).collect();
        let texts: Vec<String> = ids.iter().map(|id| format!("{id:06}")).collect();
        batch(vec![("id", Arc::new(Int64Array::from(ids)) as ArrayRef), ("s", Arc::new(StringArray::from(texts)))])
    };
    append(&table, &(0..files).map(of).collect::<Vec<_>>()).await
}

async fn session(table: &Table, change: impl Fn(&mut SessionConfig)) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    change(&mut config);
    let ours = configured(table, ScanOptions::default(), config).await;
    let few = batch(vec![("k", Arc::new(Int64Array::from(vec![Some(33), Some(38), None])) as ArrayRef)]);
    let few = MemTable::try_new(few.schema(), vec![vec![few]]).unwrap();
    ours.register_table("few", Arc::new(few)).unwrap();
    ours
}

fn left_out(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().map_or(0, |all| {
        let counts = all.iter().map(|metric| match metric.value() {
            MetricValue::Count { name, count } if name == "files_left_out" => count.value(),
            _ => 0,
        });
        counts.sum()
    });
    own + plan.children().into_iter().map(left_out).sum::<usize>()
}

/// The rows of a query, and how many files it had no need to open.
async fn ran(ours: &SessionContext, sql: &str) -> (Vec<String>, usize) {
    let (_, plan) = plan(ours, sql).await;
    let rows = datafusion::physical_plan::collect(Arc::clone(&plan), ours.task_ctx()).await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    (rows.map(|line| line.trim_matches(['|', ' ']).to_owned()).collect(), left_out(&plan))
}

#[tokio::test]
async fn what_comes_first_is_found_in_few_files() {
    let fixture = Fixture::new().await;
    let table = ranges(&fixture, 40).await;
    // What a filter leaves comes in batches: small ones, that it be known soon.
    let ours = session(&table, |config| *config = config.clone().with_batch_size(4)).await;
    for (sql, wanted) in [
        ("SELECT id FROM t ORDER BY id LIMIT 2", ["0", "1"]),
        ("SELECT id FROM t ORDER BY id DESC LIMIT 2", ["399", "398"]),
        ("SELECT s FROM t ORDER BY s LIMIT 2", ["000000", "000001"]),
        ("SELECT s FROM t WHERE id > 55 ORDER BY s, id LIMIT 2", ["000056", "000057"]),
    ] {
        let (rows, left_out) = ran(&ours, sql).await;
        assert_eq!(rows, wanted, "{sql}");
        assert!(left_out >= 30, "{sql}: {left_out}");
    }
    // Without bounds all are opened.
    assert_eq!(ran(&ours, "SELECT id FROM t ORDER BY id % 7, id LIMIT 2").await, (vec!["0".into(), "7".into()], 0));
}

#[tokio::test]
async fn a_join_opens_files_that_can_match() {
    let fixture = Fixture::new().await;
    let table = ranges(&fixture, 40).await;
    let whole = session(&table, |_| {}).await;
    let in_partitions = session(&table, |config| {
        let options = config.options_mut();
        options.execution.target_partitions = 3;
        options.optimizer.hash_join_single_partition_threshold = 0;
        options.optimizer.hash_join_single_partition_threshold_rows = 0;
    })
    .await;
    let row_filters = session(&table, |config| config.options_mut().execution.parquet.pushdown_filters = true).await;
    for ours in [whole, in_partitions, row_filters] {
        for (sql, wanted) in [
            ("SELECT t.id FROM few JOIN t ON t.id = few.k ORDER BY 1", &["33", "38"][..]),
            ("SELECT t.id FROM few JOIN t ON t.id = few.k AND t.s > '000035' ORDER BY 1", &["38"]),
            ("SELECT t.id FROM t WHERE id IN (SELECT k FROM few WHERE k < 35)", &["33"]),
        ] {
            let (rows, left_out) = ran(&ours, sql).await;
            assert_eq!(rows, wanted, "{sql}");
            // Three are left out before, by the text.
            assert!(left_out == 39 || sql.contains("t.s") && left_out == 36, "{sql}: {left_out}");
        }
        // What an outer join keeps is read.
        let (rows, left_out) = ran(&ours, "SELECT count(*), count(few.k) FROM t LEFT JOIN few ON t.id = few.k").await;
        assert_eq!((rows, left_out), (vec!["400      | 2".to_owned()], 0));
    }
}
