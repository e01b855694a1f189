//! Results that do not depend on the order of rows, and functions that stay exact.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::datasource::{MemTable, provider_as_source};
use ingot_delta::{MultisetDiff, complete_order, consolidate, exact_aggregates, rebind_tables};
use proptest::prelude::{Just, Strategy as _, prop};

use crate::world::*;

const QUERIES: &[&str] = &[
    "SELECT k, s, f, row_number() OVER (PARTITION BY k ORDER BY i) AS n, rank() OVER (PARTITION BY k ORDER BY i) AS r FROM t",
    "SELECT k, lag(s) OVER (PARTITION BY k ORDER BY i) AS a, lead(f) OVER (PARTITION BY k ORDER BY i) AS b, ntile(2) OVER (PARTITION BY k ORDER BY i) AS c FROM t",
    "SELECT k, sum(f) OVER (PARTITION BY k ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a, row_number() OVER () AS n FROM t",
    "SELECT k, sum(f) OVER (PARTITION BY k ORDER BY i) AS a, avg(f) OVER (PARTITION BY k) AS b FROM t",
    "SELECT k, max(i) FILTER (WHERE f > 0) OVER (PARTITION BY k) AS a, lead(s) OVER (PARTITION BY f ORDER BY s) AS b, min(f) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS c FROM t",
    "SELECT row_number() OVER (PARTITION BY s, d ORDER BY i) AS a, first_value(f) OVER (ORDER BY f, k ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING) AS b, lead(f, 1) OVER (PARTITION BY i ORDER BY k DESC) AS c FROM t",
    "SELECT DISTINCT ON (k) k, s, f FROM t ORDER BY k, i",
    "SELECT DISTINCT ON (k) k, s, f FROM t",
    "SELECT k, s FROM t ORDER BY i LIMIT 3",
    "SELECT k, array_agg(f) AS a, string_agg(s, ',') AS b FROM t GROUP BY k",
    "SELECT k, array_agg(s ORDER BY i) AS a, first_value(f ORDER BY i) AS b, last_value(s ORDER BY i DESC) AS c FROM t GROUP BY k",
    "SELECT k, sum(f) AS a, avg(f) AS b, min(f) AS c, max(f) AS d, sum(DISTINCT f) AS e, sum(d) AS g FROM t GROUP BY k",
    "SELECT k, var(f) AS a, stddev_pop(f) AS b, corr(f, i) AS c, covar_pop(f, k) AS d, regr_intercept(f, i) AS e,
       regr_r2(i, f) AS g
     FROM t GROUP BY k",
    "SELECT k, stddev(f) OVER (PARTITION BY k ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS a FROM t",
    "SELECT sum(f) AS a, avg(f) AS b, min(f) AS c, max(f) AS d FROM t",
    "SELECT f, count(*) AS c FROM t GROUP BY f",
    "SELECT DISTINCT f, k FROM t",
    "SELECT f FROM t WHERE k = 0 UNION SELECT f FROM t",
    "SELECT f FROM t EXCEPT ALL SELECT f FROM t WHERE k = 1",
    "SELECT k, array_agg(f ORDER BY f) AS a, array_agg(DISTINCT f) AS b, count(DISTINCT f) AS c, median(f) AS d FROM t GROUP BY k",
    "SELECT k, f FROM t ORDER BY f LIMIT 3",
    "SELECT k, f, row_number() OVER (PARTITION BY k ORDER BY f) AS n, rank() OVER (PARTITION BY f ORDER BY i) AS r FROM t",
    "SELECT DISTINCT ON (f) f, k, s FROM t ORDER BY f",
];

/// A maintained view's answer to the text that a client may ask (`engine/semantics` has the same test).
#[tokio::test]
async fn a_top_n_keeps_groups_without_a_value() {
    let ctx = context();
    let row = |k, i| (Some(k), None, None, None, i, None);
    let rows = vec![row(0, Some(10)), row(0, Some(11)), row(1, Some(5)), row(2, None), row(3, Some(20)), row(3, None)];
    for function in ["min", "max"] {
        for (order, wanted) in [
            ("", [1, 0, 3, 2]),
            ("DESC", [2, 3, 0, 1]),
            ("ASC NULLS FIRST", [2, 1, 0, 3]),
            ("ASC NULLS LAST", [1, 0, 3, 2]),
            ("DESC NULLS FIRST", [2, 3, 0, 1]),
            ("DESC NULLS LAST", [3, 0, 1, 2]),
        ] {
            for limit in 1..=4 {
                let sql = format!("SELECT k, {function}(i) AS m FROM t GROUP BY k ORDER BY m {order} LIMIT {limit}");
                let completed = complete_order(&plan(&ctx, &sql).await).unwrap();
                let found = run(&ctx, &completed, &HashMap::from([("t", rows.clone())])).await;
                let keys: Vec<i64> =
                    found.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
                assert_eq!(keys, wanted[..limit], "{sql}");
            }
        }
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ctx = context();
    for sql in QUERIES {
        let plain = runtime.block_on(plan(&ctx, sql));
        let completed = complete_order(&plain).unwrap();
        assert_eq!(completed.schema().field_names(), plain.schema().field_names(), "{sql}");
        let again = complete_order(&completed).unwrap();
        assert_eq!(format!("{}", again.display_indent()), format!("{}", completed.display_indent()), "{sql}");
        let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::Config {
            cases: 16,
            failure_persistence: None,
            ..Default::default()
        });
        let rows = prop::collection::vec(any_row(), 0..10)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()));
        let outcome = runner.run(&rows, |(a, b)| {
            let (a, b) = runtime.block_on(async {
                (
                    run(&ctx, &completed, &HashMap::from([("t", a)])).await,
                    run(&ctx, &completed, &HashMap::from([("t", b)])).await,
                )
            });
            same(sql, &a, &b);
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    }
}

#[test]
fn bits_tell_rows_apart() {
    let row = |f: f64| -> Row { (None, None, Some(f), None, None, None) };
    let odd = f64::from_bits(f64::NAN.to_bits() | 1);
    let values = [0.0, -0.0, f64::NAN, -f64::NAN, odd];
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate() {
            let (plus, minus) =
                consolidate(&[batch(&[row(*a), row(1.0), row(*a)])], &[batch(&[row(1.0), row(*b)])]).unwrap();
            let count =
                |side: &[datafusion::arrow::array::RecordBatch]| side.iter().map(|b| b.num_rows()).sum::<usize>();
            assert_eq!((count(&plus), count(&minus)), if i == j { (1, 0) } else { (2, 1) }, "{a} {b}");
        }
    }
    let mut diff = MultisetDiff::new(schema()).unwrap();
    diff.add(&batch(&[row(0.0), row(2.0), row(2.0)]), 1).unwrap();
    diff.add(&batch(&[row(-0.0), row(2.0)]), -1).unwrap();
    let found = diff.finish().unwrap();
    assert_eq!((found.only_plus, found.only_minus, found.examples.len()), (2, 1, 3));
}

#[test]
fn maps_are_compared_by_their_entries() {
    use datafusion::arrow::array::{Int64Builder, MapBuilder, StringBuilder};
    type Entries = [(&'static str, Option<i64>)];
    let maps = |entries: &[Option<&Entries>]| {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for map in entries {
            for (key, value) in map.unwrap_or_default() {
                builder.keys().append_value(key);
                builder.values().append_option(*value);
            }
            builder.append(map.is_some()).unwrap();
        }
        let column: datafusion::arrow::array::ArrayRef = Arc::new(builder.finish());
        RecordBatch::try_from_iter_with_nullable([("m", column, true)]).unwrap()
    };
    let one: &[(&str, Option<i64>)] = &[("a", Some(1)), ("b", None)];
    let other: &[(&str, Option<i64>)] = &[("a", Some(1)), ("b", Some(0))];
    let rows = |side: &[RecordBatch]| side.iter().map(|b| b.num_rows()).sum::<usize>();
    let (plus, minus) =
        consolidate(&[maps(&[Some(one), None, Some(&[]), Some(one)])], &[maps(&[Some(other), Some(one), None])])
            .unwrap();
    assert_eq!((rows(&plus), rows(&minus)), (2, 1));
    let mut diff = MultisetDiff::new(maps(&[]).schema()).unwrap();
    diff.add(&maps(&[Some(one), Some(&[])]), 1).unwrap();
    diff.add(&maps(&[Some(one), None]), -1).unwrap();
    let found = diff.finish().unwrap();
    assert_eq!((found.only_plus, found.only_minus, found.examples.len()), (1, 1, 2));
}

#[tokio::test]
async fn statistics_of_distinct_values() {
    let ctx = context();
    let both = plan(
        &ctx,
        "SELECT stddev(DISTINCT f) AS a, var_pop(DISTINCT f) AS b, stddev(g) AS c, var_pop(g) AS d FROM (SELECT f, f AS g FROM t)",
    )
    .await;
    let exact = exact_aggregates(&both).unwrap();
    let rows = |values: &[f64]| -> HashMap<&str, Vec<Row>> {
        HashMap::from([("t", values.iter().map(|f| (None, None, Some(*f), None, None, None)).collect())])
    };
    // 1, 2, 4: mean 7/3, squared deviations add up to 14/3.
    let found = run(&ctx, &exact, &rows(&[1.0, 2.0, 2.0, 4.0, 1.0])).await;
    let at = |column: usize| ScalarValue::try_from_array(found[0].column(column), 0).unwrap();
    let close =
        |value: ScalarValue, wanted: f64| matches!(value, ScalarValue::Float64(Some(x)) if (x - wanted).abs() < 1e-14);
    assert!(close(at(0), (7.0_f64 / 3.0).sqrt()), "{}", at(0));
    assert!(close(at(1), 14.0 / 9.0), "{}", at(1));
    let none = run(&ctx, &exact, &rows(&[])).await;
    assert!(none[0].column(0).is_null(0) && none[0].column(1).is_null(0));
}

#[tokio::test]
async fn sums_of_integers_stay_those_of_datafusion() {
    let ctx = context();
    let plain = plan(
        &ctx,
        "SELECT sum(k) AS a, sum(i) AS b, avg(i) AS c, min(i) AS d, max(s) AS e, sum(d) AS f, avg(d) AS g FROM t",
    )
    .await;
    let exact = exact_aggregates(&plain).unwrap();
    let rows: Vec<Row> =
        (0..100).map(|n| (Some(n), Some("x"), None, Some(i128::from(n) * 7 - 300), Some(n as i32 - 7), None)).collect();
    let tables = HashMap::from([("t", rows)]);
    same("integers and decimals", &run(&ctx, &plain, &tables).await, &run(&ctx, &exact, &tables).await);
}

#[tokio::test]
async fn statistics_agree_with_datafusion_where_it_is_accurate() {
    let ctx = context();
    let sql = "SELECT var_samp(x) AS a, var_pop(x) AS b, stddev(x) AS c, stddev_pop(x) AS d, covar_samp(x, y) AS e,
        covar_pop(x, y) AS f, corr(x, y) AS g, regr_slope(y, x) AS h, regr_intercept(y, x) AS i, regr_r2(y, x) AS j,
        regr_avgx(y, x) AS k, regr_avgy(y, x) AS l, regr_sxx(y, x) AS m, regr_syy(y, x) AS n, regr_sxy(y, x) AS o
        FROM (SELECT f AS x, CAST(i AS DOUBLE) AS y FROM t)";
    let plain = plan(&ctx, sql).await;
    let exact = exact_aggregates(&plain).unwrap();
    for n in [0, 1, 2, 3, 50] {
        let rows: Vec<Row> =
            (0..n).map(|n| (None, None, Some(f64::from(n * n % 17) / 4.0), None, Some(n * 5 % 7), None)).collect();
        let tables = HashMap::from([("t", rows)]);
        let (a, b) = (run(&ctx, &plain, &tables).await, run(&ctx, &exact, &tables).await);
        for column in 0..a[0].num_columns() {
            let value = |batches: &[RecordBatch]| ScalarValue::try_from_array(batches[0].column(column), 0).unwrap();
            match (value(&a), value(&b)) {
                (ScalarValue::Float64(Some(x)), ScalarValue::Float64(Some(y))) => {
                    assert!(
                        (x - y).abs() <= 1e-12 * x.abs().max(1.0) || x.is_nan() && y.is_nan(),
                        "{n} {column}: {x} {y}"
                    );
                }
                (x, y) => assert!(x.is_null() && y.is_null(), "{n} {column}: {x} {y}"),
            }
        }
    }
    // A NaN among others, and y of which all are equal: PostgreSQL's corr and regr_r2.
    let odd = |x: [f64; 3], y: [i32; 3]| x.into_iter().zip(y).map(|(x, y)| (None, None, Some(x), None, Some(y), None));
    for (rows, corr, r2) in [
        (odd([f64::NAN, 1.0, 2.0], [1, 2, 3]), Some(f64::NAN), Some(f64::NAN)),
        (odd([3.0, 1.0, 2.0], [5, 5, 5]), None, Some(1.0)),
        (odd([3.0, 3.0, 3.0], [5, 4, 5]), None, None),
    ] {
        let tables = HashMap::from([("t", rows.collect::<Vec<Row>>())]);
        for plan in [&plain, &exact] {
            let found = run(&ctx, plan, &tables).await;
            for (column, wanted) in [(6, corr), (9, r2)] {
                let value = ScalarValue::try_from_array(found[0].column(column), 0).unwrap();
                let same = match (&value, wanted) {
                    (ScalarValue::Float64(Some(x)), Some(y)) => *x == y || x.is_nan() && y.is_nan(),
                    (value, wanted) => value.is_null() && wanted.is_none(),
                };
                assert!(same, "{column}: {value}, not {wanted:?}");
            }
        }
    }
    let far: Vec<Row> = [4.0, 7.0, 13.0, 16.0].iter().map(|x| (None, None, Some(1e9 + x), None, None, None)).collect();
    let found = run(&ctx, &exact, &HashMap::from([("t", far)])).await;
    assert_eq!(ScalarValue::try_from_array(found[0].column(0), 0).unwrap(), ScalarValue::Float64(Some(30.0)));
}

/// Not a law: prints how long exact sums take beside DataFusion's.
#[tokio::test]
#[ignore = "a measurement"]
async fn exact_sums_are_fast() {
    let ctx = context();
    let rows: Vec<Row> = (0..2_000_000i64)
        .map(|n| (Some(n % 50_000), None, Some((n * 7919 % 10_007) as f64 / 100.0), None, None, None))
        .collect();
    let data = batch(&rows);
    for sql in [
        "SELECT sum(f) AS a, avg(f) AS b FROM t",
        "SELECT k, avg(f) AS b FROM t GROUP BY k",
        "SELECT k, max(f) AS b FROM t GROUP BY k",
        "SELECT k, stddev(f) AS b FROM t GROUP BY k",
    ] {
        let plain = plan(&ctx, sql).await;
        for plan in [plain.clone(), exact_aggregates(&plain).unwrap()] {
            let table = Arc::new(MemTable::try_new(schema(), vec![vec![data.clone()]]).unwrap());
            let bound = rebind_tables(&plan, &|_| Some(provider_as_source(table.clone()))).unwrap();
            let start = std::time::Instant::now();
            ctx.execute_logical_plan(bound).await.unwrap().collect().await.unwrap();
            println!("{:?} {sql}", start.elapsed());
        }
    }
}
