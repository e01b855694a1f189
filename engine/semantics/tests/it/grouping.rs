//! Keys of grouping sets that are computed, and aggregates whose FILTER is a constant. Answers are DuckDB's.

use crate::world::*;

async fn world() -> World {
    World::new(&[("a", "SELECT * FROM (VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3), (NULL, 'z', 4)) AS v(k, s, n)")])
        .await
}

#[tokio::test]
async fn a_grouping_set_has_a_cast_for_a_key() {
    let world = world().await;
    for (sql, rows) in [
        (
            "SELECT CAST(k AS VARCHAR), count(*) FROM a GROUP BY ROLLUP (CAST(k AS VARCHAR)) ORDER BY 1 NULLS LAST, 2",
            "1|2;2|1;NULL|1;NULL|4",
        ),
        (
            "SELECT CAST(k AS VARCHAR) AS t, count(*) FROM a GROUP BY CUBE (CAST(k AS VARCHAR), s) HAVING count(*) > 1
                ORDER BY t NULLS LAST, 2",
            "1|2;NULL|2;NULL|4",
        ),
        (
            "SELECT CAST(k AS VARCHAR), grouping(CAST(k AS VARCHAR)) AS g, sum(n) FROM a
                GROUP BY GROUPING SETS ((CAST(k AS VARCHAR)), ()) ORDER BY g, CAST(k AS VARCHAR) NULLS LAST",
            "1|0|3;2|0|3;NULL|0|4;NULL|1|10",
        ),
        (
            "SELECT CAST(k AS VARCHAR) || s, count(*) FROM a GROUP BY ROLLUP (CAST(k AS VARCHAR) || s)
                ORDER BY 1 NULLS LAST, 2",
            "1x|1;1y|1;2x|1;NULL|1;NULL|4",
        ),
        (
            "SELECT CAST(k AS VARCHAR), max(k) FROM a GROUP BY ROLLUP (CAST(k AS VARCHAR))
                HAVING CAST(k AS VARCHAR) <> '1' OR grouping(CAST(k AS VARCHAR)) = 1 ORDER BY CAST(k AS VARCHAR)",
            "2|2;NULL|2",
        ),
        (
            "SELECT t, c FROM (SELECT CAST(k AS VARCHAR) AS t, count(*) AS c FROM a GROUP BY ROLLUP (CAST(k AS VARCHAR))) q
                WHERE c > 1 ORDER BY t NULLS LAST, c",
            "1|2;NULL|4",
        ),
        ("SELECT TRY_CAST(s AS INT), count(*) FROM a GROUP BY ROLLUP (TRY_CAST(s AS INT)) ORDER BY 2", "NULL|4;NULL|4"),
        ("SELECT k + 1 AS k, count(*) FROM a GROUP BY ROLLUP (a.k + 1) ORDER BY 1 NULLS LAST, 2", "2|2;3|1;NULL|1;NULL|4"),
        (
            "SELECT k AS x, CAST(n AS VARCHAR) AS y, count(*) FROM a GROUP BY ROLLUP (k, CAST(n AS VARCHAR))
                ORDER BY x NULLS LAST, y NULLS LAST, 3",
            "1|1|1;1|2|1;1|NULL|2;2|3|1;2|NULL|1;NULL|4|1;NULL|NULL|1;NULL|NULL|4",
        ),
        // A column of the input is called like the key.
        (
            "SELECT q.k + 1, count(*) FROM (SELECT k, k + 1 AS \"q.k + Int64(1)\" FROM a) q GROUP BY ROLLUP (q.k + 1)
                ORDER BY 1 NULLS LAST, 2",
            "2|2;3|1;NULL|1;NULL|4",
        ),
    ] {
        world.rows(sql, rows).await;
    }
}

#[tokio::test]
async fn a_constant_filter_stands_beside_other_aggregates() {
    let world = world().await;
    let c = "FROM (SELECT s, coalesce(k, 0) AS c FROM a) q";
    for (sql, rows) in [
        (format!("SELECT count(*) FILTER (WHERE TRUE), count(c) {c}"), "4|4"),
        (format!("SELECT count(*) FILTER (WHERE FALSE), count(c) FILTER (WHERE NULL), count(c) {c}"), "0|0|4"),
        (format!("SELECT count(*), count(1), count(c), count(*) FILTER (WHERE TRUE) {c}"), "4|4|4|4"),
        (format!("SELECT count(*) + count(c), count(c) FILTER (WHERE TRUE) {c}"), "8|4"),
        (format!("SELECT s, count(*) FILTER (WHERE TRUE), count(c) {c} GROUP BY s ORDER BY s"), "x|2|2;y|1|1;z|1|1"),
        ("SELECT max(n) FILTER (WHERE TRUE), max(n), min(n), count(*) FROM a".to_owned(), "4|4|1|4"),
        (
            "SELECT max(n) FILTER (WHERE FALSE), min(n) FILTER (WHERE NULL), sum(n) FILTER (WHERE FALSE) FROM a"
                .to_owned(),
            "NULL|NULL|NULL",
        ),
        (
            "SELECT sum(n) FILTER (WHERE TRUE), sum(n), count(n) FILTER (WHERE TRUE), count(n) FROM a".to_owned(),
            "10|10|4|4",
        ),
        ("SELECT count(*) FILTER (WHERE x > 100) FROM (SELECT count(*) AS x FROM a) q".to_owned(), "0"),
        ("SELECT count(*) FILTER (WHERE x > 100), count(*) FROM (SELECT count(*) AS x FROM a) q".to_owned(), "0|1"),
        ("SELECT max(x) FILTER (WHERE x > 1), min(x) FROM (SELECT count(*) AS x FROM a) q".to_owned(), "4|4"),
        ("SELECT max(x) FILTER (WHERE x > 4) FROM (SELECT count(*) AS x FROM a) q".to_owned(), "NULL"),
        ("SELECT count(*) FILTER (WHERE TRUE), count(c) FROM (SELECT count(*) AS c FROM a) q".to_owned(), "1|1"),
        (
            "SELECT count(*) FILTER (WHERE TRUE), count(c) FROM (SELECT k, count(*) AS c FROM a GROUP BY k) q"
                .to_owned(),
            "3|3",
        ),
        ("SELECT count(*), count(c) FROM (SELECT count(*) AS c FROM a) q".to_owned(), "1|1"),
        ("SELECT count(*) + count(c), sum(c) FROM (SELECT count(*) AS c FROM a) q".to_owned(), "2|4"),
        ("SELECT count(NULL), count(1) FILTER (WHERE TRUE), count(*) FROM a".to_owned(), "0|4|4"),
    ] {
        world.rows(&sql, rows).await;
    }
}
