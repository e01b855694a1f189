//! What is incremental, what is recomputed in full and why, what is refused; plans over other sources and times.

use std::collections::HashMap;

use datafusion::arrow::util::pretty::pretty_format_batches;
use ingot_delta::{Incremental, REASONS, REFUSALS, Strategy, classify, freeze_now, refuse, tables};

use crate::world::*;

#[tokio::test]
async fn every_full_recompute_names_its_construct() {
    let ctx = context();
    let cases = [
        ("SELECT a.k FROM t a JOIN u b ON a.k = b.k", "R0501", "JOIN"),
        ("SELECT a.k FROM t a LEFT JOIN u b ON a.k = b.k", "R0501", "LEFT JOIN"),
        ("SELECT k FROM t ORDER BY i LIMIT 3", "R0502", "LIMIT"),
        ("SELECT DISTINCT k FROM t", "R0503", "GROUP BY"),
        ("SELECT k FROM t UNION SELECT k FROM u", "R0503", "UNION ALL"),
        ("SELECT DISTINCT ON (k) k, s FROM t ORDER BY k, i", "R0503", "QUALIFY"),
        ("SELECT k, rank() OVER (PARTITION BY s ORDER BY i) AS r FROM t", "R0504", "rank()"),
        ("SELECT k, row_number() OVER (ORDER BY ts) AS n FROM t", "R0505", "PARTITION BY"),
        ("SELECT k FROM t WHERE i > (SELECT avg(i) FROM u)", "R0506", "subquery"),
        ("SELECT k FROM t WHERE k IN (SELECT k FROM u)", "R0506", "subquery"),
        ("SELECT k FROM t WHERE ts > now() - INTERVAL '1 day'", "R0507", "now()"),
        ("SELECT k, current_date AS d FROM t", "R0507", "current_date"),
        ("SELECT k, random() AS r FROM t", "R0508", "random()"),
        ("SELECT k FROM t UNION ALL SELECT 1 AS k", "R0509", "seed"),
        ("SELECT k, median(f) AS m FROM t GROUP BY k", "R0510", "median"),
        ("SELECT k, array_agg(f) AS m FROM t GROUP BY k", "R0510", "array_agg"),
        ("SELECT k, count(DISTINCT s) AS m FROM t GROUP BY k", "R0511", "DISTINCT"),
        ("SELECT k, s, count(*) AS c FROM t GROUP BY ROLLUP (k, s)", "R0512", "ROLLUP"),
        ("SELECT k, count(*) AS c FROM t GROUP BY k HAVING count(*) > 1", "R0513", "HAVING"),
        (
            "SELECT c, count(*) AS n FROM (SELECT k, count(*) AS c FROM t GROUP BY k) GROUP BY c",
            "R0514",
            "aggregate below",
        ),
        (
            "SELECT k FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM t) WHERE rn = 1 AND s = 'a'",
            "R0515",
            "row_number",
        ),
        (
            "SELECT k FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM t) WHERE rn = 2",
            "R0504",
            "row_number",
        ),
        ("SELECT k FROM t EXCEPT SELECT k FROM u", "R0501", "EXCEPT"),
        ("SELECT DISTINCT v FROM t CROSS JOIN UNNEST(make_array(k, i)) AS x(v)", "R0503", "GROUP BY"),
    ];
    for (sql, code, word) in cases {
        let strategy = classify(&plan(&ctx, sql).await);
        let reason = strategy.full_reason().unwrap_or_else(|| panic!("{sql}: {strategy}"));
        assert_eq!(reason.code, code, "{sql}: {reason:?}");
        assert!(reason.text.contains(word), "{sql}: {reason:?}");
        assert!(!sql.contains("UNNEST") || reason.obstacles().count() == 1, "{sql}: {reason:?}");
        assert!(REASONS.iter().any(|r| r.0 == code));
    }
}

#[tokio::test]
async fn what_has_no_answer_is_refused() {
    let ctx = context();
    let cases = [
        ("SELECT k, random() AS r FROM t", "U0501"),
        ("SELECT k, uuid() AS r FROM t", "U0501"),
        ("SELECT k FROM t LIMIT 3", "U0502"),
        ("SELECT * FROM (SELECT k FROM t LIMIT 3) x ORDER BY k", "U0502"),
        ("SELECT k, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS p FROM t GROUP BY k", "U0506"),
        ("SELECT k, first_value(s) OVER (PARTITION BY k ORDER BY i) AS v FROM t", "U0507"),
    ];
    for (sql, code) in cases {
        let found = refuse(&plan(&ctx, sql).await);
        assert_eq!(found.iter().map(|r| r.code).collect::<Vec<_>>(), [code], "{sql}: {found:?}");
        assert!(REFUSALS.iter().any(|r| r.0 == code));
    }
    for sql in [
        "SELECT k FROM t ORDER BY k LIMIT 3",
        "SELECT count(*) AS c FROM t",
        "SELECT k, first_value(s) OVER (PARTITION BY k ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS v FROM t",
        "SELECT k FROM t WHERE k NOT IN (SELECT i FROM u)",
        "SELECT k FROM t WHERE k NOT IN (SELECT i FROM u WHERE u.s = t.s)",
        "SELECT k FROM t EXCEPT SELECT k FROM u",
        "SELECT k FROM t EXCEPT ALL SELECT k FROM u",
        "SELECT k FROM t INTERSECT ALL SELECT k FROM u",
        "SELECT k, now() AS n FROM t",
    ] {
        assert_eq!(refuse(&plan(&ctx, sql).await), [], "{sql}");
    }
}

#[tokio::test]
async fn every_obstacle_is_named_by_what_the_user_wrote() {
    let ctx = context();
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            "SELECT s, median(f) AS m, count(DISTINCT i) AS n FROM t GROUP BY s HAVING count(*) > 1",
            &[("R0513", "HAVING"), ("R0510", "median"), ("R0511", "count(DISTINCT")],
        ),
        (
            "SELECT k, n FROM (SELECT k, count(*) AS n FROM t GROUP BY k) AS x WHERE n NOT IN (SELECT i FROM u)",
            &[("R0513", "WHERE above a query with GROUP BY"), ("R0506", "NOT IN (SELECT ...)")],
        ),
        (
            "SELECT a.k FROM t a LEFT JOIN u b ON a.k = b.k WHERE a.i NOT IN (SELECT i FROM u) AND EXISTS (SELECT 1 FROM u) AND a.ts > now()",
            &[
                ("R0506", "NOT IN (SELECT ...)"),
                ("R0506", "EXISTS (SELECT ...)"),
                ("R0507", "now()"),
                ("R0501", "LEFT JOIN"),
            ],
        ),
        ("SELECT k FROM t EXCEPT SELECT k FROM u", &[("R0501", "EXCEPT")]),
        ("SELECT k FROM t INTERSECT SELECT k FROM u", &[("R0501", "INTERSECT")]),
        ("SELECT a.k FROM t a LEFT SEMI JOIN u b ON a.k = b.k", &[("R0501", "SEMI JOIN")]),
        ("SELECT k FROM t UNION SELECT k FROM u", &[("R0503", "UNION")]),
        (
            "SELECT x.k, row_number() OVER (PARTITION BY x.k ORDER BY x.c) AS n FROM (SELECT k, count(*) AS c FROM t GROUP BY k) x",
            &[("R0504", "row_number()"), ("R0514", "aggregate below")],
        ),
        (
            "SELECT c, sum(f) AS x, max(f) AS y, array_agg(f) AS z, array_agg(i) AS w FROM (SELECT DISTINCT k AS c, f, i FROM t) GROUP BY c",
            &[("R0503", "DISTINCT"), ("R0510", "array_agg")],
        ),
    ];
    for (sql, wanted) in cases {
        let strategy = classify(&plan(&ctx, sql).await);
        let reason = strategy.full_reason().unwrap_or_else(|| panic!("{sql} is incremental"));
        let found: Vec<_> = reason.obstacles().map(|o| (o.code, o.text.as_str())).collect();
        for (code, word) in *wanted {
            assert!(found.iter().any(|(c, text)| c == code && text.contains(word)), "{sql}: {word}: {found:?}");
        }
        assert_eq!(found.len(), wanted.len(), "{sql}: {found:?}");
        assert!(found[1..].iter().all(|(code, _)| reason.to_string().contains(code)), "{reason}");
    }
}

#[tokio::test]
async fn only_the_first_row_of_a_key_is_kept_first() {
    let ctx = context();
    let numbered = |condition: &str| {
        format!(
            "SELECT k, i FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM t) WHERE {condition}"
        )
    };
    for condition in
        ["rn = 1", "1 = rn", "rn <= 1", "rn < 2", "2 > rn", "rn IN (1)", "rn BETWEEN 1 AND 1", "CAST(rn AS BIGINT) = 1"]
    {
        let found = classify(&plan(&ctx, &numbered(condition)).await);
        assert_eq!(found.incremental(), Ok(Incremental::KeepFirst), "{condition}");
    }
    // As text 10 comes before 2; 256 as TINYINT is an error, not another row.
    for condition in [
        "CAST(rn AS VARCHAR) < '2'",
        "CAST(rn AS VARCHAR) = '1'",
        "CAST(rn AS TINYINT) = 1",
        "CAST(rn AS BOOLEAN)",
        "rn <> 1",
        "rn > 1",
        "1 <= rn",
        "rn < 3",
        "rn IN (1, 2)",
        "rn NOT IN (1)",
        "rn BETWEEN 1 AND 2",
    ] {
        let found = classify(&plan(&ctx, &numbered(condition)).await);
        assert!(found.full_reason().is_some(), "{condition}: {found}");
    }
}

#[tokio::test]
async fn tables_are_found_and_time_stands_still() {
    let ctx = context();
    let p = plan(&ctx, "SELECT a.k FROM t a, t b WHERE a.k IN (SELECT k FROM u)").await;
    assert_eq!(tables(&p).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["t", "u"]);
    let p = plan(&ctx, "SELECT now() AS n, CAST(current_timestamp AS TIMESTAMP) AS c, current_date AS d, today() AS e, now() > ts AS f FROM t").await;
    let now = chrono::DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
    let frozen = freeze_now(&p, now).unwrap();
    assert_eq!(frozen.schema().field_names(), p.schema().field_names());
    let rows = vec![(None, None, None, None, None, Some(0))];
    let found = run(&ctx, &frozen, &HashMap::from([("t", rows)])).await;
    let text = pretty_format_batches(&found).unwrap().to_string();
    assert!(
        text.contains("2023-11-14T22:13:20.123456Z | 2023-11-14T22:13:20.123456 | 2023-11-14 | 2023-11-14 | true"),
        "{text}"
    );
}

#[tokio::test]
async fn hidden_columns_are_what_the_public_ones_lack() {
    let ctx = context();
    let names = |s: &Strategy| s.state_columns().into_iter().map(|(n, t)| format!("{n} {t}")).collect::<Vec<_>>();
    let p = plan(&ctx, "SELECT k, s, f, d, ts FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY i) = 1").await;
    assert_eq!(names(&classify(&p)), ["_ingot_key FixedSizeBinary(16)", "_ingot_s0 Int32"]);
    let p = plan(&ctx, "SELECT s, count(*) AS total, avg(f) AS a, max(f) AS m FROM t GROUP BY s").await;
    // count(*), count(f), the sum's bytes, the maximum
    assert_eq!(
        names(&classify(&p)),
        [
            "_ingot_key FixedSizeBinary(16)",
            "_ingot_s0 Int64",
            "_ingot_s1 Int64",
            "_ingot_s2 Binary",
            "_ingot_s3 Float64"
        ]
    );
}
