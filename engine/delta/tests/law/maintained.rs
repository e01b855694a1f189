//! Random histories through every incremental strategy.

use std::collections::HashMap;

use ingot_delta::{Incremental, Merged};
use proptest::prelude::prop;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::world::*;

const LINEAR: &[&str] = &[
    "SELECT k, f * 2 AS f2, s FROM t WHERE k IS NOT NULL",
    "SELECT k, f FROM t UNION ALL SELECT k, f FROM t WHERE k > 0 UNION ALL SELECT i AS k, f FROM u",
    "SELECT k, d / 3 AS q, round(d, 1) AS r, d * 1.5 - i AS p FROM (SELECT * FROM t WHERE k <> 0) x WHERE 10 / k > 4 AND d / k < 1.5",
    "SELECT q, s FROM (SELECT s, 10 / k AS q FROM t WHERE k <> 0 UNION ALL SELECT s, TRY(10 / k) AS q FROM u) x WHERE q > 4 OR q IS NULL",
    "WITH c AS (SELECT * FROM t WHERE f > 0 OR f IS NULL) SELECT s, upper(s) AS up, f, d, ts FROM c x ORDER BY s",
    "SELECT t.k, x.v FROM t CROSS JOIN UNNEST(CASE WHEN s = 'a' THEN NULL ELSE make_array(k, CAST(i AS BIGINT)) END) AS x(v)
     WHERE v >= 0 OR v IS NULL",
    "SELECT k, v FROM t LEFT JOIN UNNEST(CASE WHEN s = 'a' THEN NULL ELSE make_array(f, 1.5) END) AS x(v) ON TRUE",
];

const KEEP_FIRST: &[&str] = &[
    "SELECT k, s, f FROM t QUALIFY row_number() OVER (PARTITION BY k, s ORDER BY i) = 1",
    "SELECT k, f AS best FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY f DESC NULLS LAST, d) AS rn FROM t WHERE s IS NOT NULL) WHERE rn = 1",
    "SELECT upper(s) AS s2, k + 1 AS k1 FROM t QUALIFY row_number() OVER (PARTITION BY f ORDER BY ts DESC) = 1",
    "SELECT k, rn FROM (SELECT k, i, row_number() OVER (ORDER BY i) AS rn FROM t) WHERE 1 >= rn",
    "SELECT k, i FROM (SELECT *, row_number() OVER (PARTITION BY s ORDER BY i) AS rn FROM t) WHERE CAST(rn AS BIGINT) IN (1)",
    "SELECT CAST(k AS INT) AS k, s AS name, f, d, i, ts FROM (SELECT * FROM t UNION ALL SELECT * FROM u) x
     QUALIFY row_number() OVER (PARTITION BY date_trunc('day', ts), k ORDER BY d, f) = 1",
];

const AGGREGATE: &[&str] = &[
    "SELECT s, count(*) AS total, avg(f) AS a, max(f) AS m, sum(i) AS si, min(ts) AS mt FROM t GROUP BY s",
    "SELECT k, s, count(f) FILTER (WHERE i > 0) AS c, sum(d) AS sd, avg(d) AS ad, min(s) AS ms, sum(f) FILTER (WHERE f < 10) AS sf, avg(i) AS ai
     FROM t GROUP BY k, s",
    "SELECT count(*) AS c, sum(f) AS s, max(d) AS m, min(f) AS n, max(s) AS ms FROM t WHERE k > 0",
    "SELECT f, count(*) AS c, max(i) AS mi, min(f) AS mf FROM t GROUP BY f",
    "SELECT coalesce(s, 'none') AS s2, 10 * count(*) AS c10, sum(f) / count(*) AS q, max(CAST(f AS REAL)) AS r
     FROM (SELECT * FROM t UNION ALL SELECT * FROM u) x GROUP BY s",
    "SELECT date_trunc('day', ts) AS day, count(*) AS c, CAST(max(i) AS BIGINT) - min(i) AS spread, count(k, i) AS both FROM t GROUP BY 1",
    "SELECT CAST(s AS VARCHAR) AS s, CAST(total AS INT) AS total FROM (SELECT s, count(*) AS total FROM t GROUP BY s) ORDER BY total",
    "SELECT k, stddev(f) AS a, var_pop(i) AS b, corr(f, i) AS c, covar_samp(i, k) AS d, regr_slope(i, ts) AS e,
       var(i) FILTER (WHERE f < 2) AS g
     FROM (SELECT k, f, i, date_part('epoch', ts) AS ts FROM t) x GROUP BY k",
    "SELECT v, count(*) AS c, sum(f) AS sf FROM t CROSS JOIN UNNEST(make_array(k, CAST(i AS BIGINT), 7)) AS x(v) GROUP BY v",
    "SELECT k FROM t GROUP BY k",
    "SELECT s, sum(10 / k) FILTER (WHERE k <> 0) AS q, sum(d / 3) AS dd, avg(d * 1.5) AS ad, round(avg(d), 1) AS r, sum(CASE WHEN i > 0 THEN i ELSE 0 END) AS si
     FROM t WHERE d < 99999.99 OR d IS NULL GROUP BY s",
];

fn obeys(queries: &'static [&'static str], expected: Incremental) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for sql in queries {
        let recomputed = std::cell::Cell::new(0);
        let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
        let history = (prop::collection::vec(any_row(), 0..8), prop::collection::vec((any_step(), any_step()), 1..6));
        let outcome = runner.run(&history, |(first, steps)| {
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async {
                    let ctx = context();
                    let mut view = View::create(&ctx, sql).await;
                    assert_eq!(view.strategy.incremental(), Ok(expected), "{sql}");
                    let (mut t, mut u) = (Table { rows: first.clone() }, Table::default());
                    let mut new = HashMap::from([("t", t.rows.clone()), ("u", u.rows.clone())]);
                    view.build(&ctx, &new).await;
                    view.check(&ctx, &new).await;
                    for (a, b) in &steps {
                        let ((ti, td), (ui, ud)) = (t.apply(a), u.apply(b));
                        new = HashMap::from([("t", t.rows.clone()), ("u", u.rows.clone())]);
                        view.refresh(
                            &ctx,
                            &HashMap::from([("t", ti), ("u", ui)]),
                            &HashMap::from([("t", td), ("u", ud)]),
                            &new,
                        )
                        .await;
                        view.check(&ctx, &new).await;
                    }
                    view.recomputed
                })
            }));
            match attempt {
                Ok(n) => {
                    recomputed.set(recomputed.get() + n);
                    Ok(())
                }
                Err(cause) => {
                    let text = cause
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| cause.downcast_ref::<&str>().map(|s| s.to_string()));
                    Err(TestCaseError::fail(text.unwrap_or_default()))
                }
            }
        });
        if let Err(error) = outcome {
            panic!("{sql}\n{error}");
        }
        println!("{} recomputations: {sql}", recomputed.get());
    }
}

#[test]
fn linear_views_equal_their_query() {
    obeys(LINEAR, Incremental::Linear);
}

#[test]
fn keep_first_views_equal_their_query() {
    obeys(KEEP_FIRST, Incremental::KeepFirst);
}

#[test]
fn aggregate_views_equal_their_query() {
    obeys(AGGREGATE, Incremental::Aggregate);
}

#[tokio::test]
async fn a_stored_row_that_is_missing_is_an_error() {
    let ctx = context();
    let rows: Vec<Row> = vec![(Some(1), Some("a"), Some(1.0), None, Some(1), None)];
    let (all, none) = (HashMap::from([("t", rows.clone())]), HashMap::from([("t", vec![])]));
    for sql in [
        "SELECT k, count(*) AS c FROM t GROUP BY k",
        "SELECT k FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY i) = 1",
        "SELECT count(*) AS c FROM t",
    ] {
        let view = View::create(&ctx, sql).await;
        assert!(view.strategy.merges_by_key(), "{sql}");
        let (plus, minus) = (view.partials(&ctx, &none).await, view.partials(&ctx, &all).await);
        let landing = view.strategy.landing(plus, minus).unwrap();
        assert_eq!(landing.merge(&[]).unwrap_err().code(), "R0541", "{sql}");
    }
}

#[tokio::test]
async fn a_change_without_effect_writes_nothing() {
    let ctx = context();
    let rows: Vec<Row> = vec![(Some(1), Some("a"), Some(1.0), None, Some(1), None)];
    let tables = HashMap::from([("t", rows)]);
    let mut view = View::create(&ctx, "SELECT k, count(*) AS c, max(f) AS m FROM t GROUP BY k").await;
    view.build(&ctx, &tables).await;
    assert_eq!(view.strategy.incremental(), Ok(Incremental::Aggregate));
    let both = view.partials(&ctx, &tables).await;
    let stored = view.target.stored(&[]);
    let landing = view.strategy.landing(both.clone(), both).unwrap();
    let Merged::Recompute(keys) = landing.merge(&stored).unwrap() else { panic!() };
    let rows = run(&ctx, &landing.restrict_to(&keys).unwrap(), &tables).await;
    let merge = landing.merge_recomputed(&stored, keys, rows).unwrap();
    assert!(merge.insert.is_empty() && merge.remove.is_empty() && merge.touched == 1);
}

#[tokio::test]
async fn a_refresh_fails_exactly_when_the_recompute_does() {
    let ctx = context();
    let rows = |values: &[i64]| -> HashMap<&str, Vec<Row>> {
        HashMap::from([("t", values.iter().map(|k| (Some(*k), Some("a"), None, None, None, None)).collect())])
    };
    // Stored, inserted, deleted; whether the sum of what is left fits 64 bits.
    const MAX: i64 = i64::MAX;
    type History<'a> = (&'a [i64], &'a [i64], &'a [i64], bool);
    let histories: [History; 6] = [
        (&[MAX], &[1], &[], false),
        (&[MAX], &[1, -1], &[], true),
        (&[MAX, -5], &[5, 1], &[], false),
        (&[MAX, -5], &[3], &[-5], false),
        (&[MAX, -5], &[MAX], &[MAX], true),
        (&[-MAX, -1], &[-1, MAX], &[-1], true),
    ];
    // An average has less room for whole digits than its values: what goes and what comes may have none by itself.
    let averages: [History; 3] = [
        (&[MAX, -MAX], &[MAX], &[MAX], true),
        (&[1, MAX, -MAX], &[MAX, MAX], &[1], false),
        (&[MAX, -MAX, 7], &[], &[MAX, -MAX], true),
    ];
    let quotients: [History; 4] =
        [(&[1], &[2], &[1], true), (&[1], &[-1], &[], false), (&[1], &[0], &[], false), (&[1, 3], &[5], &[3], true)];
    let average = "avg(CAST(CAST(k AS DECIMAL(19, 0)) * 10000000000000 AS DECIMAL(38, 6))) AS a";
    let cases = [
        ("SELECT s, sum(k) AS sk FROM t GROUP BY s".to_owned(), "sum(t.k) does not fit BIGINT", &histories[..]),
        ("SELECT sum(k) AS sk, count(*) AS c FROM t".to_owned(), "sum(t.k) does not fit BIGINT", &histories[..]),
        (format!("SELECT s, {average} FROM t GROUP BY s"), "does not fit DECIMAL(38, 10)", &averages[..]),
        (format!("SELECT {average}, count(*) AS c FROM t"), "does not fit DECIMAL(38, 10)", &averages[..]),
        ("SELECT s, 10 / coalesce(sum(k), 0) AS q FROM t GROUP BY s".to_owned(), "ivi", &quotients[..2]),
        ("SELECT k, 10 / k AS q, count(*) AS c FROM t GROUP BY k".to_owned(), "ivi", &quotients[2..]),
    ];
    for (sql, text, histories) in &cases {
        for (first, inserted, deleted, fits) in histories.iter().copied() {
            let mut view = View::create(&ctx, sql).await;
            view.build(&ctx, &rows(first)).await;
            assert_eq!(view.strategy.incremental(), Ok(Incremental::Aggregate), "{sql}");
            let mut left: Vec<i64> = first.iter().chain(inserted).copied().collect();
            deleted.iter().for_each(|k| {
                let place = left.iter().position(|l| l == k).unwrap();
                left.swap_remove(place);
            });
            let partials = view.strategy.partials(&view.plan).unwrap();
            let plus = try_run(&ctx, &partials, &rows(inserted)).await.unwrap();
            let minus = try_run(&ctx, &partials, &rows(deleted)).await.unwrap();
            // Where the rows of these keys lie must be known whatever the change alone would amount to.
            let landing = view.strategy.landing(plus, minus).unwrap();
            let wanted = landing.wanted().unwrap().unwrap();
            let merged = landing.merge(&view.target.stored(&wanted.ranges));
            let recomputed = try_run(&ctx, &view.plan, &rows(&left)).await;
            assert_eq!(recomputed.is_ok(), fits, "{sql} {left:?}");
            match merged {
                Ok(_) => assert!(fits, "{sql} {left:?}"),
                Err(error) => {
                    assert!(!fits, "{sql} {left:?}: {error}");
                    assert!(error.to_string().contains(text), "{error}");
                }
            }
        }
    }
}
