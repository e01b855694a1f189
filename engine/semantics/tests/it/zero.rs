//! -0.0 equals 0.0, NaN equals NaN and is the largest, wherever values are compared or merged.

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Float64Type};

use crate::engine::Engine;

/// Two zeros, two NaNs of different bits, two plain values and NULL, as DOUBLE and as REAL.
const ROWS: &str =
    "CREATE TABLE f AS SELECT arrow_cast(x, 'Float64') AS x, arrow_cast(x, 'Float32') AS r, i FROM (VALUES
    (CAST('-0.0' AS DOUBLE), 1), (CAST('0.0' AS DOUBLE), 2), (CAST('NaN' AS DOUBLE), 3), (-CAST('NaN' AS DOUBLE), 4),
    (CAST(5 AS DOUBLE), 5), (CAST(-1 AS DOUBLE), 6), (NULL, 7)) AS v(x, i)";

fn for_both(sql: &str) -> [String; 2] {
    // Of the words with an x only the column is meant.
    let real =
        sql.replace("max", "m@").replace("EXCEPT", "E@").replace("EXISTS", "E#").replace('x', "r").replace("m@", "max");
    [sql.to_owned(), real.replace("E@", "EXCEPT").replace("E#", "EXISTS").replace("DOUBLE", "REAL")]
}

async fn engine() -> Engine {
    Engine::with(&[ROWS]).await
}

#[tokio::test]
async fn the_rows_have_the_bits_that_they_should() {
    let engine = engine().await;
    let batches = engine.batches("SELECT x, r FROM f ORDER BY i").await.unwrap();
    let (x, r) =
        (batches[0].column(0).as_primitive::<Float64Type>(), batches[0].column(1).as_primitive::<Float32Type>());
    assert_eq!([x.value(0).to_bits(), x.value(1).to_bits()], [1 << 63, 0]);
    assert!(x.value(2).is_sign_positive() && x.value(3).is_sign_negative() && x.value(3).is_nan());
    assert_eq!([r.value(0).to_bits(), r.value(1).to_bits()], [1 << 31, 0]);
    assert!(r.value(2).is_sign_positive() && r.value(3).is_sign_negative() && r.value(3).is_nan());
}

#[tokio::test]
async fn comparisons() {
    let engine = engine().await;
    let conditions = [
        ("x = 0", "1 2"),
        ("x = CAST('-0.0' AS DOUBLE)", "1 2"),
        ("x <> 0", "3 4 5 6"),
        ("x < 0", "6"),
        ("x <= CAST('-0.0' AS DOUBLE)", "1 2 6"),
        ("x >= CAST('0.0' AS DOUBLE)", "1 2 3 4 5"),
        ("x > 5", "3 4"),
        ("x < 5", "1 2 6"),
        ("x = CAST('NaN' AS DOUBLE)", "3 4"),
        ("x = -CAST('NaN' AS DOUBLE)", "3 4"),
        ("x < CAST('NaN' AS DOUBLE)", "1 2 5 6"),
        ("x >= CAST('NaN' AS DOUBLE)", "3 4"),
        ("x BETWEEN CAST('0.0' AS DOUBLE) AND CAST('-0.0' AS DOUBLE)", "1 2"),
        ("x NOT BETWEEN -2 AND 5", "3 4"),
        ("x IN (CAST('0.0' AS DOUBLE), 7)", "1 2"),
        ("x IN (CAST('-0.0' AS DOUBLE), CAST('NaN' AS DOUBLE), 8, 9, 10, 11, 12)", "1 2 3 4"),
        ("x NOT IN (CAST('-0.0' AS DOUBLE), CAST('NaN' AS DOUBLE))", "5 6"),
        ("x IS DISTINCT FROM CAST('-0.0' AS DOUBLE)", "3 4 5 6 7"),
        ("x IS NOT DISTINCT FROM -CAST('NaN' AS DOUBLE)", "3 4"),
        ("CASE x WHEN CAST('0.0' AS DOUBLE) THEN true WHEN CAST('NaN' AS DOUBLE) THEN true END", "1 2 3 4"),
        ("nullif(x, CAST('0.0' AS DOUBLE)) IS NULL", "1 2 7"),
        ("x IN (SELECT x FROM f AS g WHERE g.i IN (1, 3))", "1 2 3 4"),
        ("x NOT IN (SELECT x FROM f AS g WHERE g.i IN (2, 4))", "5 6"),
        ("x NOT IN (SELECT x FROM f AS g WHERE g.i IN (2, 4)) OR i = 1", "1 5 6"),
        ("x > ALL (SELECT x FROM f AS g WHERE g.i IN (2, 5))", "3 4"),
        ("EXISTS (SELECT 1 FROM f AS g WHERE g.x = f.x AND g.i <> f.i)", "1 2 3 4"),
        ("(SELECT max(g.i) FROM f AS g WHERE g.x = f.x) = 4", "3 4"),
        ("i = (SELECT min(g.i) FROM f AS g WHERE g.x = f.x)", "1 3 5 6"),
        ("array_has(make_array(CAST('0.0' AS DOUBLE), CAST('NaN' AS DOUBLE)), x)", "1 2 3 4"),
        ("greatest(x, 0) = CAST('NaN' AS DOUBLE)", "3 4"),
    ];
    for (condition, wanted) in conditions {
        for sql in for_both(&format!("SELECT i FROM f WHERE {condition}")) {
            assert_eq!(engine.sorted(&sql).await, wanted, "{sql}");
        }
    }
}

#[tokio::test]
async fn merged_values() {
    let engine = engine().await;
    let queries = [
        ("SELECT x, count(*) FROM f GROUP BY x", "-1.0|1 0.0|2 5.0|1 NULL|1 NaN|2"),
        ("SELECT x + 0 AS y, count(*) FROM f GROUP BY x + 0", "-1.0|1 0.0|2 5.0|1 NULL|1 NaN|2"),
        ("SELECT -x AS y, count(*) FROM f GROUP BY -x", "-5.0|1 0.0|2 1.0|1 NULL|1 NaN|2"),
        ("SELECT DISTINCT x FROM f", "-1.0 0.0 5.0 NULL NaN"),
        ("SELECT x FROM f UNION SELECT x FROM f", "-1.0 0.0 5.0 NULL NaN"),
        ("SELECT x FROM f WHERE i < 4 INTERSECT SELECT x FROM f WHERE i IN (2, 4)", "0.0 NaN"),
        ("SELECT x FROM f EXCEPT SELECT x FROM f WHERE i IN (2, 4)", "-1.0 5.0 NULL"),
        ("SELECT x FROM f EXCEPT ALL SELECT x FROM f WHERE i IN (2, 4)", "-1.0 0.0 5.0 NULL NaN"),
        ("SELECT x FROM f INTERSECT ALL SELECT x FROM f WHERE i IN (1, 2, 3)", "0.0 0.0 NaN"),
        ("SELECT count(DISTINCT x) FROM f", "4"),
        ("SELECT min(x), max(x) FROM f WHERE i < 3", "0.0|0.0"),
        ("SELECT min(x), max(x) FROM f WHERE i IN (4, 5, 7)", "5.0|NaN"),
        ("SELECT i / 3 AS g, min(x), max(x) FROM f GROUP BY i / 3", "0|0.0|0.0 1|5.0|NaN 2|-1.0|-1.0"),
        ("SELECT median(x) FROM f WHERE i IN (4, 5, 6)", "5.0"),
        (
            "SELECT x, i % 2 AS o, count(*) FROM f WHERE i < 5 GROUP BY ROLLUP (x, i % 2)",
            "0.0|0|1 0.0|1|1 0.0|NULL|2 NULL|NULL|4 NaN|0|1 NaN|1|1 NaN|NULL|2",
        ),
        ("SELECT x, count(*) FROM f WHERE i < 5 GROUP BY GROUPING SETS ((x), ())", "0.0|2 NULL|4 NaN|2"),
        ("SELECT count(*) FROM (SELECT DISTINCT ON (x) x, i FROM f ORDER BY x, i) AS d", "5"),
        ("SELECT i, count(*) OVER (PARTITION BY x) FROM f", "1|2 2|2 3|2 4|2 5|1 6|1 7|1"),
        ("SELECT i, rank() OVER (ORDER BY x) FROM f", "1|2 2|2 3|5 4|5 5|4 6|1 7|7"),
        (
            "SELECT i, count(*) OVER (ORDER BY x RANGE BETWEEN CURRENT ROW AND CURRENT ROW) FROM f WHERE i < 5",
            "1|2 2|2 3|2 4|2",
        ),
        (
            "SELECT i, max(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM f",
            "1|0.0 2|0.0 3|NaN 4|NaN 5|NaN 6|5.0 7|-1.0",
        ),
        ("SELECT f.i, g.i FROM f JOIN f AS g ON f.x = g.x WHERE f.i < 5", "1|1 1|2 2|1 2|2 3|3 3|4 4|3 4|4"),
        ("SELECT f.i, g.i FROM f JOIN f AS g ON f.x < g.x WHERE f.i = 5", "5|3 5|4"),
        ("SELECT f.i, g.i FROM f JOIN f AS g USING (x) WHERE f.i = 1", "1|1 1|2"),
        (
            "SELECT f.i, g.i FROM f LEFT JOIN (SELECT * FROM f WHERE i IN (1, 4)) AS g ON f.x = g.x",
            "1|1 2|1 3|4 4|4 5|NULL 6|NULL 7|NULL",
        ),
    ];
    for (sql, wanted) in queries {
        for sql in for_both(sql) {
            assert_eq!(engine.sorted(&sql).await, wanted, "{sql}");
        }
    }
}

#[tokio::test]
async fn merged_nans_have_one_form() {
    let engine = engine().await;
    for sql in [
        "SELECT x, r FROM f WHERE i = 4 GROUP BY x, r",
        "SELECT DISTINCT x, r FROM f WHERE i = 4",
        "SELECT x, r FROM f WHERE i = 4 UNION SELECT x, r FROM f WHERE i = 4",
        "SELECT max(x) AS x, min(r) AS r FROM f WHERE i = 4",
        "SELECT max(x) AS x, min(r) AS r FROM f WHERE i = 4 GROUP BY i",
    ] {
        let batches = engine.batches(sql).await.unwrap();
        let batch = batches.iter().find(|b| b.num_rows() > 0).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(0).to_bits(), 0x7ff8_0000_0000_0000, "{sql}");
        assert_eq!(batch.column(1).as_primitive::<Float32Type>().value(0).to_bits(), 0x7fc0_0000, "{sql}");
    }
}

#[tokio::test]
async fn order() {
    let engine = engine().await;
    for sql in for_both("SELECT i FROM f ORDER BY x, i DESC") {
        assert_eq!(engine.rows(&sql).await.join(" "), "6 2 1 5 4 3 7", "{sql}");
    }
    for sql in for_both("SELECT i FROM f ORDER BY x DESC NULLS LAST, i LIMIT 3") {
        assert_eq!(engine.rows(&sql).await.join(" "), "3 4 5", "{sql}");
    }
    assert_eq!(engine.sorted("SELECT x FROM f WHERE i < 3").await, "-0.0 0.0");
    assert_eq!(engine.sorted("SELECT x FROM f WHERE i = 1 UNION ALL SELECT x FROM f WHERE i = 1").await, "-0.0 -0.0");
}

#[tokio::test]
async fn recursion_ends_where_no_row_is_new() {
    let engine = Engine::new();
    for start in ["0e0", "CAST('NaN' AS DOUBLE)", "CAST(NULL AS DOUBLE)"] {
        let sql = format!("WITH RECURSIVE r(x) AS (SELECT {start} UNION SELECT -x FROM r) SELECT count(*) FROM r");
        assert_eq!(engine.rows(&sql).await, ["1"], "{sql}");
    }
}
