//! Filters over joins, unions and aggregates whose columns have names that others have too. Answers are DuckDB's.

use crate::world::*;

async fn world() -> World {
    World::new(&[
        ("a", "SELECT * FROM (VALUES (1, 'x', 1), (1, 'y', 2), (2, NULL, 3), (NULL, NULL, 4), (3, 'x', 5)) AS v(k, v, n)"),
        ("b", "SELECT * FROM (VALUES (1, 'x', 1, TRUE), (2, NULL, 2, TRUE), (2, 'x', 3, TRUE), (NULL, NULL, 4, TRUE), (4, NULL, 5, TRUE), (3, 'x', 6, FALSE)) AS v(k, v, n, o)"),
        ("t", "SELECT * FROM (VALUES (1, 9), (2, 8), (3, 7), (9, 1)) AS v(x, y)"),
    ])
    .await
}

#[tokio::test]
async fn a_filter_over_a_join_looks_at_the_side_that_it_names() {
    let world = world().await;
    let rows = [
        ("FULL JOIN b ON a.k = b.k WHERE (b.v IS NOT DISTINCT FROM a.v) AND b.o", "1|1;3|2;NULL|4;NULL|5"),
        ("FULL JOIN b USING (k) WHERE (b.v IS NOT DISTINCT FROM a.v) AND b.o", "1|1;3|2;NULL|4;NULL|5"),
        ("RIGHT JOIN b ON a.k = b.k WHERE (b.v IS NOT DISTINCT FROM a.v)", "1|1;3|2;5|6;NULL|4;NULL|5"),
        ("LEFT JOIN b ON a.k = b.k WHERE (b.v IS DISTINCT FROM a.v)", "2|1;3|3"),
        ("RIGHT JOIN b ON a.k = b.k WHERE a.v IS NULL", "3|2;3|3;NULL|4;NULL|5"),
        ("LEFT JOIN b ON a.k = b.k WHERE b.v IS NULL", "3|2;4|NULL"),
        ("FULL JOIN b ON a.k = b.k WHERE a.v IS NULL", "3|2;3|3;4|NULL;NULL|4;NULL|5"),
        ("FULL JOIN b ON a.k = b.k WHERE coalesce(a.v, b.v) = 'x'", "1|1;3|3;5|6"),
        ("RIGHT JOIN b ON a.k = b.k WHERE coalesce(a.v, 'none') <> 'x'", "2|1;3|2;3|3;NULL|4;NULL|5"),
    ];
    for (from, wanted) in rows {
        world.rows(&format!("SELECT a.n, b.n FROM a {from} ORDER BY 1, 2"), wanted).await;
        // Both sides are the smaller one in turn.
        let swapped =
            from.replacen("JOIN b", "JOIN (SELECT * FROM b UNION ALL SELECT k, v, n + 100, o FROM b) AS b", 1);
        let sql = format!("SELECT a.n, b.n FROM a {swapped} AND (b.n < 100 OR b.n IS NULL) ORDER BY 1, 2");
        world.rows(&sql, wanted).await;
    }
}

/// What a sort or a join learns while it runs is a filter as well.
#[tokio::test]
async fn a_filter_that_is_learned_looks_at_the_side_that_it_names() {
    let world = world().await;
    let join = "FROM a LEFT JOIN b ON a.k = b.k";
    world.rows(&format!("SELECT a.n, b.n {join} ORDER BY b.n DESC, a.n LIMIT 2"), "4|NULL;5|6").await;
    world.rows(&format!("SELECT a.n, b.n {join} ORDER BY b.n NULLS LAST, a.n DESC LIMIT 2"), "2|1;1|1").await;
    world.rows(&format!("SELECT a.n, b.n {join} ORDER BY a.n DESC, b.n LIMIT 2"), "5|6;4|NULL").await;
    let sql = "SELECT a.n, b.n, c.n FROM a JOIN b ON a.k = b.k JOIN (SELECT * FROM b WHERE n > 2) AS c ON c.n = b.n ORDER BY 1";
    world.rows(sql, "3|3|3;5|6|6").await;
    let sql = "SELECT a.n, b.n, c.n FROM a JOIN b ON a.k = b.k JOIN (SELECT * FROM b WHERE n > 2) AS c ON c.n = a.n ORDER BY 1, 2";
    world.rows(sql, "3|2|3;3|3|3;5|6|5").await;
}

#[tokio::test]
async fn a_filter_over_a_union_or_an_aggregate_goes_by_place() {
    let world = world().await;
    let union = "(SELECT x, y FROM t UNION ALL SELECT y, x FROM t)";
    world.rows(&format!("SELECT x, y FROM {union} WHERE x = 1 ORDER BY y"), "1|9;1|9").await;
    world.rows(&format!("SELECT x, y FROM {union} ORDER BY x, y LIMIT 3"), "1|9;1|9;2|8").await;
    world.rows(&format!("SELECT x, y FROM {union} ORDER BY x DESC, y LIMIT 3"), "9|1;9|1;8|2").await;
    let grouped = "(SELECT y AS x, max(x) AS y FROM t GROUP BY y)";
    world.rows(&format!("SELECT x, y FROM {grouped} WHERE x > 7 ORDER BY x"), "8|2;9|1").await;
    world.rows(&format!("SELECT x, y FROM {grouped} ORDER BY x LIMIT 2"), "1|9;7|3").await;
    let sql = "SELECT CAST(x AS TINYINT) AS c, count(*) FROM t GROUP BY CAST(x AS TINYINT) ORDER BY CAST(x AS TINYINT) LIMIT 2";
    world.rows(sql, "1|1;2|1").await;
}

/// An aggregate without keys has a row of no rows.
#[tokio::test]
async fn a_condition_without_columns_stays_above_an_aggregate() {
    let world = world().await;
    for (condition, holds) in [
        ("(SELECT max(y) FROM t) > 100", false),
        ("(SELECT max(y) FROM t) > 5", true),
        ("'a' NOT IN (SELECT 'a' FROM t)", false),
        ("'a' NOT IN (SELECT 'b' FROM t)", true),
        ("NOT EXISTS (SELECT 1 FROM t)", false),
    ] {
        let rows = |rows: &'static str| if holds { rows } else { "" };
        for (sql, wanted) in [
            (format!("SELECT c FROM (SELECT count(*) AS c FROM t) AS q WHERE {condition}"), rows("4")),
            (format!("SELECT 1 FROM (SELECT min(x) AS m FROM t) AS q WHERE {condition}"), rows("1")),
            (format!("SELECT max(x) FROM t HAVING {condition}"), rows("9")),
            (format!("SELECT max(x) FROM t HAVING max(x) > 0 AND {condition}"), rows("9")),
            (
                format!("SELECT count(*) FROM t WHERE x < 3 GROUP BY ROLLUP (x) HAVING {condition} ORDER BY 1"),
                rows("1;1;2"),
            ),
            (format!("SELECT count(*) FROM t WHERE x < 3 GROUP BY x HAVING {condition}"), rows("1;1")),
        ] {
            world.rows(&sql, wanted).await;
        }
    }
}
