//! Answers, and what counts as held, of aggregates with an order.

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

fn context(bytes_max: usize) -> SessionContext {
    let pool = TrackConsumersPool::new(FairSpillPool::new(bytes_max), std::num::NonZeroUsize::MIN);
    let env = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc().unwrap();
    let config = SessionConfig::new()
        .with_target_partitions(3)
        .with_batch_size(64)
        .with_sort_spill_reservation_bytes(bytes_max / 64);
    SessionContext::new_with_state(crate::state(config, env).build())
}

/// A table `t` of three partitions: k counts, in no order; s is NULL, or one of seven texts.
pub(crate) fn with_rows(bytes_max: usize, rows: i64) -> SessionContext {
    let batch = |part: i64| {
        let ids: Vec<i64> = (0..rows).filter(|i| i % 3 == part).map(|i| i * 7919 % rows).collect();
        let texts: StringArray = ids.iter().map(|i| (i % 5 > 0).then(|| format!("t{}", i % 7))).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(Int64Array::from(ids)) as ArrayRef, false),
            ("s", Arc::new(texts) as ArrayRef, true),
        ])
        .unwrap()
    };
    let parts: Vec<Vec<RecordBatch>> = (0..3)
        .map(|part| {
            let whole = batch(part);
            (0..whole.num_rows()).step_by(50).map(|at| whole.slice(at, 50.min(whole.num_rows() - at))).collect()
        })
        .collect();
    let ctx = context(bytes_max);
    ctx.register_table("t", Arc::new(MemTable::try_new(parts[0][0].schema(), parts).unwrap())).unwrap();
    ctx
}

pub(crate) async fn rows_of(ctx: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    ctx.sql(sql).await?.collect().await
}

pub(crate) async fn shown(ctx: &SessionContext, sql: &str) -> String {
    let rows = rows_of(ctx, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let table = pretty_format_batches(&rows).unwrap().to_string();
    table.lines().skip(3).filter(|l| l.starts_with('|')).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn values_come_in_their_order() {
    let ctx = context(64 << 20);
    let rows =
        "(VALUES (1, 'b', 2), (1, NULL, 1), (2, 'x', NULL), (1, 'a', NULL), (1, 'c', 2), (3, NULL, 1)) AS t(g, s, n)";
    for (call, wanted) in [
        ("array_agg(s ORDER BY n, s)", "[, b, c, a]"),
        ("array_agg(s ORDER BY n DESC, s DESC)", "[a, c, b, ]"),
        ("array_agg(s ORDER BY n NULLS FIRST, s DESC)", "[a, , c, b]"),
        ("array_agg(s ORDER BY s) FILTER (WHERE n = 2)", "[b, c]"),
        ("array_agg(n ORDER BY s) FILTER (WHERE n > 9)", ""),
        ("array_agg(n + 1 ORDER BY s NULLS FIRST)", "[2, , 3, 3]"),
        ("string_agg(s, '-' ORDER BY s DESC)", "c-b-a"),
        ("string_agg(s, NULL ORDER BY n NULLS FIRST, s)", "abc"),
        ("string_agg(s, ',' ORDER BY s) FILTER (WHERE n = 1)", ""),
        ("string_agg(DISTINCT s, ',' ORDER BY s DESC)", "c,b,a"),
        ("string_agg(s, ',' ORDER BY s) || string_agg(s, '+' ORDER BY s DESC)", "a,b,cc+b+a"),
    ] {
        let alone = shown(&ctx, &format!("SELECT {call} AS a FROM {rows} WHERE g = 1")).await;
        assert_eq!(alone.trim_matches(['|', ' ']), wanted, "{call}");
        let sql = format!("SELECT a FROM (SELECT g, {call} AS a FROM {rows} GROUP BY g) WHERE g = 1");
        assert_eq!(shown(&ctx, &sql).await.trim_matches(['|', ' ']), wanted, "{call} by groups");
    }
    let sql = "SELECT array_agg(s ORDER BY n) IS NULL AS a, string_agg(s, ',' ORDER BY n) IS NULL AS b";
    assert_eq!(shown(&ctx, &format!("{sql} FROM {rows} WHERE g > 9")).await, "| true | true |");
}

#[tokio::test]
async fn parts_of_a_table_make_one_list() {
    let ctx = with_rows(64 << 20, 3000);
    let all = rows_of(&ctx, "SELECT array_agg(k ORDER BY k DESC) AS a FROM t").await.unwrap();
    let list = all[0].column(0).as_list::<i32>().value(0);
    let wanted: Vec<i64> = (0..3000).rev().collect();
    assert_eq!(list.as_primitive::<arrow::datatypes::Int64Type>().values(), &wanted);
    let ends = "SELECT count(*) AS n, sum(array_length(a)) AS rows, bool_and(a[1] = g AND a[7] = 2400 + g) AS ends
                FROM (SELECT k % 400 AS g, array_agg(k ORDER BY k) AS a FROM t WHERE k < 2800 GROUP BY g) WHERE g < 200";
    assert_eq!(shown(&ctx, ends).await, "| 200 | 1400 | true |");
    let texts = "SELECT g, string_agg(s, '' ORDER BY k) AS a FROM (SELECT k % 2 AS g, k, s FROM t WHERE k < 12) GROUP BY g ORDER BY g";
    assert_eq!(shown(&ctx, texts).await, "| 0 | t2t4t6t1   |\n| 1 | t1t3t0t2t4 |");
}

#[tokio::test]
async fn what_is_held_is_counted() {
    for sql in [
        "SELECT array_agg(k ORDER BY k) AS a FROM t",
        "SELECT string_agg(CAST(k AS VARCHAR), ',' ORDER BY k) AS a FROM t",
        "SELECT k % 3 AS g, array_agg(k ORDER BY k) AS a FROM t GROUP BY g",
    ] {
        // Held as scalars, in several copies, they took 64 MiB.
        let ctx = with_rows(24 << 20, 200_000);
        rows_of(&ctx, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0, "{sql}");
        let ctx = with_rows(2 << 20, 200_000);
        let error = rows_of(&ctx, sql).await.unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{sql}: {error}");
        assert!(error.to_string().contains("Aggregate"), "{sql}: {error}");
    }
}

#[test]
fn what_is_given_away_is_held_no_longer() {
    let mut rows = Ordered {
        types: vec![DataType::Int64; 2],
        orders: vec![SortOptions::default()],
        skips_nulls: false,
        delimiter: None,
        batches: Vec::new(),
        groups: 0,
        bytes: 0,
    };
    let column = |from: i64| Arc::new((from..from + 1000).collect::<Int64Array>()) as ArrayRef;
    let empty = GroupsAccumulator::size(&rows);
    let groups: Vec<usize> = (0..1000).map(|row| row % 10).collect();
    for from in [0, 1000] {
        rows.update_batch(&[column(from), column(-from)], &groups, None, 10).unwrap();
    }
    // Two columns of eight bytes and as many for where each belongs; twice, as the answer is a copy.
    assert!(GroupsAccumulator::size(&rows) > empty + 2 * 2000 * 24);
    let first = GroupsAccumulator::evaluate(&mut rows, EmitTo::First(9)).unwrap();
    let lists = first.as_list::<i32>();
    assert_eq!((lists.len(), lists.value_length(8)), (9, 200));
    // By the key, the second batch comes first.
    let values = lists.value(8);
    assert_eq!(values.as_primitive::<arrow::datatypes::Int64Type>().value(0), 1008);
    assert!(GroupsAccumulator::size(&rows) < empty + 2 * 200 * 30 + 2048);
    rows.update_batch(&[column(0), column(0)], &[1; 1000], None, 2).unwrap();
    let rest = GroupsAccumulator::state(&mut rows, EmitTo::All).unwrap();
    assert_eq!(rest[0].as_list::<i32>().offsets().lengths().collect::<Vec<_>>(), [200, 1000]);
    assert!(GroupsAccumulator::size(&rows) < empty + 1024);
}
