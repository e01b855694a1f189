//! What planning reads: nothing before the filters are known, and then the manifests that can match.

use std::path::PathBuf;

use arrow::array::{Date32Array, Int64Array, StringArray};
use futures::TryStreamExt;

use super::*;
use crate::lake::Lake;
use crate::read::changelog::live_files;

/// Days from 1970 on, a partition and a manifest each; `id` is in buckets.
async fn by_day(fixture: &Fixture, days: std::ops::Range<i32>) -> Table {
    let columns = [("day", DataType::Date32), ("id", DataType::Int64), ("s", DataType::Utf8)];
    let layout = [("day", Transform::Day), ("id", Transform::Bucket(16)), ("s", Transform::Truncate(3))];
    let mut table = fixture.create(partitioned(definition(&columns), &layout)).await;
    for day in days {
        let rows = batch(vec![
            ("day", Arc::new(Date32Array::from(vec![day])) as ArrayRef),
            ("id", Arc::new(Int64Array::from(vec![i64::from(day)]))),
            ("s", Arc::new(StringArray::from(vec![format!("{:03}text", day * 2)]))),
        ]);
        table = append(&table, &[rows]).await;
    }
    table
}

/// The table, by a lake that has read nothing yet.
async fn fresh(table: &Table) -> Table {
    let lake = Lake::open(table.lake().config().clone()).await.unwrap();
    lake.load_table(table.name()).await.unwrap().unwrap()
}

async fn manifests(table: &Table) -> Vec<PathBuf> {
    let head = table.metadata().current_snapshot().unwrap();
    let list = table.lake().0.manifests.list(table.metadata(), head).await.unwrap();
    // The newest is listed first or last: by what it was added with.
    let mut list: Vec<_> = list.into_iter().map(|m| (m.sequence_number, m.manifest_path)).collect();
    list.sort();
    list.into_iter().map(|(_, path)| PathBuf::from(path.strip_prefix("file://").unwrap())).collect()
}

#[tokio::test]
async fn only_manifests_that_can_match_are_read() {
    let fixture = Fixture::new().await;
    let table = by_day(&fixture, 1..13).await;
    let all = manifests(&table).await;
    assert_eq!(all.len(), 12);
    // Whoever opens another manifest than that of the sixth day fails.
    for (day, path) in (1..).zip(&all).filter(|(day, _)| *day != 5) {
        std::fs::write(path, format!("damaged {day}")).unwrap();
    }
    let session = |table: Table| async move { context(&table, ScanOptions::default()).await };
    let sixth = "1970-01-06";
    for filter in [
        format!("day = DATE '{sixth}'"),
        format!("day IN (DATE '{sixth}', DATE '2001-01-01')"),
        format!("day = DATE '{sixth}' OR day > DATE '1971-01-01'"),
        "day > DATE '1970-01-05' AND day < DATE '1970-01-07'".to_owned(),
        format!("NOT (day < DATE '{sixth}' OR day > DATE '{sixth}')"),
        format!("CAST(day AS TIMESTAMP) = TIMESTAMP '{sixth} 00:00:00'"),
        format!("date_trunc('day', day) = DATE '{sixth}'"),
        "date_part('day', day) = 6".to_owned(),
        "date_part('month', day) = 1 AND date_part('day', day) IN (6, 31)".to_owned(),
        "s LIKE '010%'".to_owned(),
        "s = '010text'".to_owned(),
        "left(s, 3) = '010'".to_owned(),
        format!(
            "day IN ({}) AND day > DATE '1970-01-05'",
            (6..31).map(|d| format!("DATE '1970-01-{d:02}'")).collect::<Vec<_>>().join(", ")
        ) + " AND day < DATE '1970-01-07'",
    ] {
        let ours = session(fresh(&table).await).await;
        let found = answer(&ours, &format!("SELECT id FROM t WHERE {filter}")).await;
        assert_eq!(found.unwrap_or_else(|e| panic!("{filter}: {e}")), ["5"], "{filter}");
    }
    // What no manifest can hold opens none.
    for filter in ["day IS NULL", "s LIKE '9%'", "date_part('year', day) = 1971", "date_part('month', day) = 2"] {
        let ours = session(fresh(&table).await).await;
        assert!(lines(&ours, &format!("SELECT id FROM t WHERE {filter}")).await.is_empty(), "{filter}");
    }
    // A name is bound without opening one, and what is wrong is said at the scan, with the table and the file.
    let table = fresh(&table).await;
    let ours = session(table.clone()).await;
    let error = ours.sql("SELECT id FROM t").await.unwrap().create_physical_plan().await.unwrap_err();
    let found = ingot_semantics::find::<LakeError>(&error).unwrap_or_else(|| panic!("{error}"));
    assert_eq!((found.code(), found.retryable()), ("L0118", false));
    let text = found.to_string();
    assert!(text.contains(&table.name().to_string()) && text.contains(".avro"), "{text}");
    // Its own manifests say how many rows there are.
    assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, ["12"]);
    assert!(plan(&ours, "SELECT 1 FROM t").await.0.contains("CountedRowsExec: rows=12"));
    assert_eq!(lines(&ours, "SELECT 1 FROM t LIMIT 3").await.len(), 3);
}

#[tokio::test]
async fn a_bucket_takes_manifests_out() {
    let fixture = Fixture::new().await;
    let table = by_day(&fixture, 1..13).await;
    let files = live_files(&table, table.head().unwrap()).await.unwrap();
    let bucket = |day: usize| {
        format!(
            "{:?}",
            files
                .iter()
                .find(|f| f.data_file.lower_bounds()[&2].to_string() == day.to_string())
                .unwrap()
                .data_file
                .partition()
                .fields()[1]
        )
    };
    let wanted = bucket(5);
    for (day, path) in (1..).zip(manifests(&table).await).filter(|(day, _)| bucket(*day) != wanted) {
        std::fs::write(path, format!("damaged {day}")).unwrap();
    }
    for filter in ["id = 5", "id IN (5, 5)", "id = 5 OR (id = 5 AND s = 'x')"] {
        let ours = context(&fresh(&table).await, ScanOptions::default()).await;
        assert_eq!(lines(&ours, &format!("SELECT id FROM t WHERE {filter}")).await, ["5"], "{filter}");
    }
}

#[tokio::test]
async fn caches_hold_what_they_may() {
    let fixture = Fixture::new().await;
    let table = by_day(&fixture, 1..13).await;
    let table = fresh(&table).await;
    let lake = table.lake().clone();
    let read =
        async || context(&table, ScanOptions::default()).await.sql("SELECT id FROM t").await.unwrap().collect().await;
    read().await.unwrap();
    let all = lake.cached_bytes();
    assert!(all > 12 * 500 && all < 12 * 20_000, "{all}");
    lake.limit_caches(all / 2);
    assert!(lake.cached_bytes() <= all / 2);
    read().await.unwrap();
    assert!(lake.cached_bytes() <= all / 2 && lake.cached_bytes() > 0, "{}", lake.cached_bytes());
    lake.limit_caches(0);
    assert_eq!(lake.cached_bytes(), 0);
    read().await.unwrap();
    assert_eq!(lake.cached_bytes(), 0);
}

fn leaf(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.children().first() {
        Some(child) => leaf(Arc::clone(child)),
        None => plan,
    }
}

#[tokio::test]
async fn rows_are_counted_without_opening_files() {
    let fixture = Fixture::new().await;
    let table = by_day(&fixture, 1..4).await;
    let ours = context(&table, ScanOptions::default()).await;
    let (_, plan) = plan(&ours, "SELECT 1 FROM t").await;
    let config = SessionConfig::new().with_batch_size(2);
    let task = SessionContext::new_with_config(config).task_ctx();
    let leaf = leaf(plan);
    let batches: Vec<_> = leaf.execute(0, task).unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    // A filter, or a place that is asked for, is no count.
    assert_eq!(lines(&ours, "SELECT count(*) FROM t WHERE id > 1").await, ["2"]);
    let files = live_files(&table, table.head().unwrap()).await.unwrap();
    let some = ScanOptions { files: Some(files[..2].to_vec()), ..ScanOptions::default() };
    assert_eq!(lines(&context(&table, some).await, "SELECT count(*) FROM t").await, ["2"]);
}
