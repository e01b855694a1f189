//! Aggregates over sliding frames, against an evaluation of each frame by itself.

use proptest::prelude::*;

use crate::engine::Engine;

#[tokio::test]
async fn what_left_the_frame_leaves_no_trace() {
    let engine = Engine::with(&["CREATE TABLE t AS SELECT * FROM (VALUES
        (1, CAST('NaN' AS DOUBLE), 5, true, 'a'), (2, 1e20, NULL, NULL, 'b'), (3, 1.5e0, 3, false, NULL),
        (4, CAST('Infinity' AS DOUBLE), 3, true, 'd'), (5, -CAST('Infinity' AS DOUBLE), 1, true, 'e'),
        (6, NULL, NULL, NULL, NULL), (7, 2.5e0, 7, NULL, 'g')) AS v(i, x, n, b, s)"])
    .await;
    let frame = "OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let values = [
        (format!("sum(x) {frame}"), "NaN NaN 1e20 inf NaN -inf 2.5"),
        (format!("avg(x) {frame}"), "NaN NaN 5e19 inf NaN -inf 2.5"),
        (format!("sum(CAST(x AS REAL)) {frame}"), "NaN NaN 1.0000000200408773e20 inf NaN -inf 2.5"),
        (format!("min(n) {frame}"), "5 5 3 3 1 1 7"),
        (format!("max(n) FILTER (WHERE b) {frame}"), "5 5 NULL 3 3 1 NULL"),
        (format!("sum(DISTINCT n) {frame}"), "5 5 3 3 4 1 7"),
        (format!("avg(DISTINCT n) {frame}"), "5.0 5.0 3.0 3.0 2.0 1.0 7.0"),
        (format!("count(DISTINCT n) {frame}"), "1 1 1 1 2 1 1"),
        (format!("bool_and(b) {frame}"), "true true false false true true NULL"),
        (format!("bool_or(b) {frame}"), "true true false true true true NULL"),
        (format!("bit_and(n) {frame}"), "5 5 3 3 1 1 7"),
        (format!("bit_or(n) {frame}"), "5 5 3 3 3 1 7"),
        (format!("bit_xor(n) {frame}"), "5 5 3 0 2 1 7"),
        (format!("string_agg(s, '+') {frame}"), "a a+b b d d+e e g"),
        (format!("array_agg(n) {frame}"), "[5] [5, NULL] [NULL, 3] [3, 3] [3, 1] [1, NULL] [NULL, 7]"),
        (format!("approx_distinct(n) {frame}"), "1 1 1 1 2 1 1"),
        (format!("median(n) {frame}"), "5.0 5.0 3.0 3.0 2.0 1.0 7.0"),
        (format!("stddev(CAST(n AS DOUBLE)) {frame}"), "NULL NULL NULL 0.0 1.4142135623730951 NULL NULL"),
        (
            "sum(x) OVER (ORDER BY i ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING)".to_owned(),
            "inf NaN -inf 2.5 2.5 NULL NULL",
        ),
        (
            "sum(x) OVER (ORDER BY i RANGE BETWEEN 2 FOLLOWING AND 3 FOLLOWING)".to_owned(),
            "inf NaN -inf 2.5 2.5 NULL NULL",
        ),
        (
            "sum(x) OVER (ORDER BY i DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)".to_owned(),
            "NaN 1e20 inf NaN -inf 2.5 2.5",
        ),
        (
            "sum(x) OVER (ORDER BY i ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)".to_owned(),
            "NaN NaN NaN NaN -inf 2.5 2.5",
        ),
    ];
    for (value, wanted) in values {
        let sql = format!("SELECT {value} AS v FROM t ORDER BY i");
        assert_eq!(engine.rows(&sql).await.join(" "), wanted, "{value}");
    }
}

#[derive(Debug, Clone)]
struct Row {
    group: i32,
    x: Option<i32>,
    n: Option<i32>,
    b: Option<bool>,
}

/// What a column x of DOUBLE stands for: -3 to 3, or what has no finite sum.
fn double(x: i32) -> f64 {
    match x {
        10 => f64::NAN,
        11 => f64::INFINITY,
        12 => f64::NEG_INFINITY,
        13 => 1e20,
        other => f64::from(other) / 2.0,
    }
}

fn sql_double(x: Option<i32>) -> String {
    match x {
        None => "CAST(NULL AS DOUBLE)".to_owned(),
        Some(x) => format!("CAST('{:?}' AS DOUBLE)", double(x)),
    }
}

fn text<T: std::fmt::Display>(v: Option<T>) -> String {
    v.map_or("NULL".to_owned(), |v| v.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_is_its_rows(
        rows in proptest::collection::vec(
            (0..2_i32, proptest::option::weighted(0.8, prop_oneof![3 => -3..4_i32, 1 => 10..14_i32]),
             proptest::option::weighted(0.7, -2..4_i32), proptest::option::weighted(0.7, any::<bool>()))
                .prop_map(|(group, x, n, b)| Row { group, x, n, b }),
            1..14),
        start in -3..4_i64,
        length in 0..4_i64,
    ) {
        let bound = |at: i64| match at {
            0 => "CURRENT ROW".to_owned(),
            before if before < 0 => format!("{} PRECEDING", -before),
            after => format!("{after} FOLLOWING"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let values: Vec<String> = rows.iter().enumerate().map(|(i, r)| {
                let n = r.n.map_or("CAST(NULL AS INT)".to_owned(), |n| n.to_string());
                let b = r.b.map_or("CAST(NULL AS BOOLEAN)".to_owned(), |b| b.to_string());
                format!("({i}, {}, {}, {n}, {b})", r.group, sql_double(r.x))
            }).collect();
            let table = format!("CREATE TABLE t AS SELECT * FROM (VALUES {}) AS v(i, g, x, n, b)", values.join(", "));
            let engine = Engine::with(&[&table]).await;
            let over = format!("OVER (PARTITION BY g ORDER BY i ROWS BETWEEN {} AND {})", bound(start), bound(start + length));
            let calls = [
                "count(*)", "count(n)", "sum(n)", "min(n)", "max(n) FILTER (WHERE b)", "sum(DISTINCT n)", "count(DISTINCT n)",
                "bool_and(b)", "bool_or(b)", "array_agg(n)", "sum(x)", "avg(x)", "min(x)", "max(x)", "min(x) FILTER (WHERE b)",
            ];
            let columns: Vec<String> = calls.iter().map(|c| format!("{c} {over}")).collect();
            let got = engine.rows(&format!("SELECT {} FROM t ORDER BY i", columns.join(", "))).await;
            for (i, row) in rows.iter().enumerate() {
                let partition: Vec<(usize, &Row)> = rows.iter().enumerate().filter(|(_, r)| r.group == row.group).collect();
                let at = partition.iter().position(|(j, _)| *j == i).unwrap() as i64;
                let frame: Vec<&Row> = partition.iter().enumerate()
                    .filter(|(p, _)| (at + start..=at + start + length).contains(&(*p as i64))).map(|(_, (_, r))| *r).collect();
                let n: Vec<i32> = frame.iter().filter_map(|r| r.n).collect();
                let b: Vec<bool> = frame.iter().filter_map(|r| r.b).collect();
                let x: Vec<f64> = frame.iter().filter_map(|r| r.x.map(double)).collect();
                let kept: Vec<&&Row> = frame.iter().filter(|r| r.b == Some(true)).collect();
                let mut distinct = n.clone();
                distinct.sort_unstable();
                distinct.dedup();
                let largest = |a: &f64, b: &f64| a.total_cmp(b);
                let float = |v: Option<f64>| v.map(|v| if v == 0.0 { 0.0 } else { v }).map_or("NULL".to_owned(), |v| format!("{v:?}"));
                let list = |v: Vec<String>| if v.is_empty() { "NULL".to_owned() } else { format!("[{}]", v.join(", ")) };
                let kept_x: Vec<f64> = kept.iter().filter_map(|r| r.x.map(double)).collect();
                let wanted = [
                    frame.len().to_string(), n.len().to_string(), text((!n.is_empty()).then(|| n.iter().sum::<i32>())),
                    text(n.iter().min()), text(kept.iter().filter_map(|r| r.n).max()),
                    text((!n.is_empty()).then(|| distinct.iter().sum::<i32>())), distinct.len().to_string(),
                    text((!b.is_empty()).then(|| b.iter().all(|v| *v))), text((!b.is_empty()).then(|| b.iter().any(|v| *v))),
                    list(frame.iter().map(|r| text(r.n)).collect()),
                ];
                let fields: Vec<&str> = got[i].split('|').collect();
                prop_assert_eq!(&fields[..10], &wanted[..], "{:?} in {:?}", over, rows);
                // Sums of doubles may be rounded in another order: by 2^20 in 1e20, which halves do not reach.
                let sum: Option<f64> = (!x.is_empty()).then(|| x.iter().sum());
                for (field, wanted) in [(fields[10], sum), (fields[11], sum.map(|s| s / x.len() as f64))] {
                    let near = match wanted {
                        None => field == "NULL",
                        Some(w) => {
                            let got: f64 = field.parse().unwrap();
                            got.to_bits() == w.to_bits() || got.is_nan() && w.is_nan() || (got - w).abs() <= w.abs() * 1e-12
                        }
                    };
                    prop_assert!(near, "{} for {:?} in {:?}", field, wanted, rows);
                }
                let extremes = [
                    float(x.iter().copied().min_by(largest)), float(x.iter().copied().max_by(largest)),
                    float(kept_x.iter().copied().min_by(largest)),
                ];
                let shown: Vec<String> = fields[12..].iter().map(|f| f.parse().map_or("NULL".to_owned(), |v: f64| format!("{v:?}"))).collect();
                prop_assert_eq!(&shown[..], &extremes[..], "{:?} in {:?}", over, rows);
            }
            Ok(())
        })?;
    }
}

/// DataFusion cuts the default to the column's type and takes NULL for one row.
#[tokio::test]
async fn a_default_that_would_be_cut_is_refused() {
    let w = crate::world::World::new(&[("t", "SELECT * FROM (VALUES (1, 10), (2, 20)) v(k, n)")]).await;
    w.fails("SELECT lag(n, 1, 1.5) OVER (ORDER BY k) FROM t", "the default of lag is DECIMAL(2, 1)").await;
    w.fails("SELECT lead(n, 1, 5e-1) OVER (ORDER BY k) FROM t", "the default of lead is DOUBLE").await;
    // Which DuckDB and PostgreSQL take for an offset that is not known.
    w.rows("SELECT lag(n, NULL) OVER (ORDER BY k) AS a FROM t ORDER BY k", "NULL;NULL").await;
    w.rows("SELECT lag(n, 1, 0) OVER (ORDER BY k) AS a, lag(CAST(n AS DOUBLE), 1, 1.5) OVER (ORDER BY k) AS b FROM t ORDER BY k", "0|1.5;10|10.0")
        .await;
}

#[tokio::test]
async fn windows_are_ordered_by_time_of_day() {
    let w = crate::world::World::new(&[(
        "t",
        "SELECT k, CAST(x AS TIME) AS x FROM (VALUES (1, '10:00:00'), (2, '09:30:00'), (3, '10:00:00'), (4, NULL)) v(k, x)",
    )])
    .await;
    w.rows(
        "SELECT k, rank() OVER (ORDER BY x), cume_dist() OVER (ORDER BY x), count(*) OVER (ORDER BY x), sum(k) OVER (ORDER BY x DESC NULLS LAST) FROM t ORDER BY k",
        "1|2|0.75|3|4;2|1|0.25|1|6;3|2|0.75|3|4;4|4|1.0|4|10",
    )
    .await;
    w.fails(
        "SELECT count(*) OVER (ORDER BY x RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) FROM t",
        "this one is ordered by TIME",
    )
    .await;
}

#[tokio::test]
async fn a_named_window_is_what_it_is_defined_as() {
    let w = crate::world::World::new(&[
        (
            "t",
            "SELECT * FROM (VALUES (1, 1, 1), (2, 1, 0), (3, 2, 5), (4, 2, NULL), (5, NULL, 1), (6, 3, 0)) AS v(id, k, b)",
        ),
        ("o", "SELECT * FROM (VALUES (1), (2), (2)) AS v(id)"),
    ])
    .await;
    for (sql, expected) in [
        (
            "SELECT id, sum(b) OVER (w), count(*) OVER W FROM t WINDOW w AS (PARTITION BY k) ORDER BY id",
            "1|1|2;2|1|2;3|5|2;4|5|2;5|1|1;6|0|1",
        ),
        (
            "SELECT id, row_number() OVER (w ORDER BY id DESC) FROM t WINDOW w AS (PARTITION BY k) ORDER BY id",
            "1|2;2|1;3|2;4|1;5|1;6|1",
        ),
        (
            "SELECT id, sum(id) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (ORDER BY id) ORDER BY id",
            "1|1;2|3;3|5;4|7;5|9;6|11",
        ),
        (
            "SELECT id FROM t WINDOW w AS (PARTITION BY k), w2 AS (w ORDER BY id) QUALIFY row_number() OVER w2 = 1 ORDER BY id",
            "1;3;5;6",
        ),
        ("SELECT id FROM t WINDOW w AS (PARTITION BY k) QUALIFY sum(b) OVER (w) > 0 ORDER BY id", "1;2;3;4;5"),
        ("SELECT id FROM t WINDOW w AS (PARTITION BY k) ORDER BY count(*) OVER (w), id", "5;6;1;2;3;4"),
        (
            "SELECT id, (SELECT max(n) FROM (SELECT count(*) OVER w AS n FROM o WINDOW w AS (PARTITION BY id)) q) FROM t WINDOW w AS (PARTITION BY k) ORDER BY id",
            "1|2;2|2;3|2;4|2;5|2;6|2",
        ),
        (
            "SELECT id, count(*) OVER w AS n FROM t WINDOW w AS (PARTITION BY k) UNION ALL SELECT id, count(*) OVER (w) FROM o WINDOW w AS () ORDER BY 1, 2",
            "1|2;1|3;2|2;2|3;2|3;3|2;4|2;5|1;6|1",
        ),
    ] {
        w.rows(sql, expected).await;
    }
    w.fails("SELECT sum(b) OVER (nope) FROM t", "there is no window \"nope\"").await;
    w.fails("SELECT sum(b) OVER nope FROM t", "there is no window \"nope\"").await;
    w.fails("SELECT sum(b) OVER (w PARTITION BY id) FROM t WINDOW w AS (PARTITION BY k)", "cannot be changed").await;
    w.fails("SELECT sum(b) OVER (w ORDER BY id) FROM t WINDOW w AS (ORDER BY k)", "cannot be changed").await;
    w.fails("SELECT sum(b) OVER w FROM t WINDOW w AS (ORDER BY k), w AS (ORDER BY id)", "defined twice").await;
}

#[tokio::test]
async fn text_of_functions_is_plain() {
    let w = crate::world::World::new(&[("t", "SELECT * FROM (VALUES ('a'), (NULL)) AS v(s)")]).await;
    let sql = "SELECT md5(s) AS a, coalesce(md5(s), 'none') AS b, md5('b') || 'x' AS c FROM t ORDER BY s";
    w.typed(sql, "0cc175b9c0f1b6a831c399e269772661|0cc175b9c0f1b6a831c399e269772661|92eb5ffee6ae2fec3ad71c777531578fx;NULL|none|92eb5ffee6ae2fec3ad71c777531578fx", "Utf8|Utf8|Utf8").await;
}
