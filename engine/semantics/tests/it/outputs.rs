//! Names that an output and the input have. Orders and rows are DuckDB's and, where those differ in NULLs, PostgreSQL's.

use crate::world::*;

async fn world() -> World {
    World::new(&[("t", "SELECT * FROM (VALUES (1, 1, 10), (2, 1, 0), (3, 2, 5), (4, 3, 7), (5, 3, 7)) AS v(id, k, b)")])
        .await
}

/// What DataFusion sorted by the other column, or filtered by it.
#[tokio::test]
async fn an_alias_is_not_taken_for_a_column_of_an_unnamed_subquery() {
    let world = world().await;
    let from = "FROM (SELECT id + 0 AS id, k + 1 AS k, b + 1 AS b FROM t)";
    let sorted = "2|1;2|11;3|6;4|8;4|8";
    for keys in ["b, k", "1, 2", "(b), (k)", "b ASC, 2"] {
        world.rows(&format!("SELECT k AS b, b AS k {from} ORDER BY {keys}"), sorted).await;
        world.rows(&format!("SELECT k AS b, b AS k {from} GROUP BY k, b, id ORDER BY {keys}"), sorted).await;
        world.rows(&format!("SELECT DISTINCT k AS b, b AS k {from} ORDER BY {keys}"), "2|1;2|11;3|6;4|8").await;
    }
    world.rows(&format!("SELECT k AS b, b AS k {from} ORDER BY b, 2 LIMIT 2"), "2|1;2|11").await;
    world.rows(&format!("SELECT max(k) AS b, b AS k {from} GROUP BY b HAVING b > 2 ORDER BY 2"), "3|6;4|8;2|11").await;
    world.rows(&format!("SELECT count(*) AS b, b AS c {from} GROUP BY b ORDER BY b, c"), "1|1;1|6;1|11;2|8").await;
    let numbered = "SELECT k AS b, b AS k, row_number() OVER (ORDER BY b, id) AS n";
    world.rows(&format!("{numbered} {from} QUALIFY b > 2 AND n < 4 ORDER BY n"), "3|6|2;4|8|3").await;
    world
        .rows("SELECT column1 AS column2, column2 AS column1 FROM (VALUES (1, 4), (2, 3)) ORDER BY column2", "1|4;2|3")
        .await;
    // The engine lets a table within the subquery be named; that stays.
    world.rows("SELECT t.k AS b FROM (SELECT * FROM t) ORDER BY b, t.id LIMIT 2", "1;1").await;
    let two = "SELECT x AS y FROM (SELECT k AS x FROM t) CROSS JOIN (SELECT max(b) AS y FROM t) ORDER BY y";
    world.rows(two, "1;1;2;3;3").await;
}

#[tokio::test]
async fn a_name_within_an_expression_is_the_input() {
    let world = world().await;
    for from in ["FROM t", "FROM (SELECT * FROM t)", "FROM (SELECT id + 0 AS id, k + 0 AS k, b + 0 AS b FROM t)"] {
        let cases = [
            ("SELECT -b AS b, id", "b + 0, id", "0|2;-5|3;-7|4;-7|5;-10|1"),
            ("SELECT -b AS b, id", "abs(b - 7), id", "-7|4;-7|5;-5|3;-10|1;0|2"),
            ("SELECT -b AS b, id", "-b, id", "-10|1;-7|4;-7|5;-5|3;0|2"),
            ("SELECT -b AS b, id", "b, id", "-10|1;-7|4;-7|5;-5|3;0|2"),
            ("SELECT id AS b", "b + 0 DESC, 1", "1;4;5;3;2"),
            ("SELECT id AS b", "CASE WHEN b = 7 THEN 0 ELSE b END, b", "2;4;5;3;1"),
            ("SELECT CAST(b AS VARCHAR) AS b, id", "CAST(b AS BIGINT), id", "0|2;5|3;7|4;7|5;10|1"),
            ("SELECT CAST(b AS VARCHAR) AS b, id", "b + 0, id", "0|2;5|3;7|4;7|5;10|1"),
            // Only the output has these.
            ("SELECT -b AS c, id", "abs(c + 7), id", "-7|4;-7|5;-5|3;-10|1;0|2"),
            ("SELECT -b AS c, id", "abs(c + 7) + id - k, id", "-7|4;-7|5;-10|1;-5|3;0|2"),
        ];
        for (select, keys, rows) in cases {
            world.rows(&format!("{select} {from} ORDER BY {keys}"), rows).await;
        }
        let grouped = [
            ("SELECT -b AS b, k", "b, k", "abs(b - 7), k", "-7|3;-5|2;-10|1;0|1"),
            ("SELECT count(*) AS b, b AS c", "b", "count(*) + b, c", "1|0;1|5;2|7;1|10"),
            ("SELECT sum(b) AS b, k", "k", "sum(b), k", "5|2;10|1;14|3"),
            ("SELECT -sum(b) AS b, k", "k", "sum(b), k", "-5|2;-10|1;-14|3"),
            ("SELECT -sum(b) AS b, k", "k", "k - sum(b), k", "-14|3;-10|1;-5|2"),
            ("SELECT max(k) AS b, k AS x", "k", "max(b) + 1, k", "2|2;3|3;1|1"),
            ("SELECT sum(b) AS s, k", "k", "-s, k", "14|3;10|1;5|2"),
            ("SELECT sum(b) AS s, k", "k", "s + sum(b) DESC, k", "14|3;10|1;5|2"),
        ];
        for (select, keys, order, rows) in grouped {
            world.rows(&format!("{select} {from} GROUP BY {keys} ORDER BY {order}"), rows).await;
        }
        let windows = "SELECT -b AS b, id, row_number() OVER (ORDER BY b, id) AS n";
        world.rows(&format!("{windows} {from} ORDER BY abs(b - 7), n"), "-7|4|3;-7|5|4;-5|3|2;-10|1|5;0|2|1").await;
    }
    let within = "SELECT max(k), (SELECT min(-b) AS b FROM t AS u ORDER BY b) FROM t";
    world.rows(within, "3|-10").await;
    world.rows("SELECT *, -b AS m FROM t ORDER BY abs(m + 7), id LIMIT 2", "4|3|7|-7;5|3|7|-7").await;
    world
        .rows("SELECT b AS x FROM (SELECT -b AS b, id FROM t ORDER BY abs(b - 7), id LIMIT 3) ORDER BY x", "-7;-7;-5")
        .await;
}

#[tokio::test]
async fn a_qualified_name_is_the_input() {
    let world = world().await;
    world.rows("SELECT k AS b, id FROM t ORDER BY t.b, t.id", "1|2;2|3;3|4;3|5;1|1").await;
    world.rows("SELECT k AS b, id FROM t AS x ORDER BY x.b + 0, x.id", "1|2;2|3;3|4;3|5;1|1").await;
    world.rows("SELECT CAST(b AS VARCHAR) AS b FROM t ORDER BY t.b DESC", "10;7;7;5;0").await;
    world.rows("SELECT k AS b, count(*) FROM t GROUP BY k, b ORDER BY t.b, k", "1|1;2|1;3|2;1|1").await;
    world.rows("SELECT k AS b, max(b) AS k FROM t GROUP BY t.k ORDER BY max(t.b), 1", "2|5;3|7;1|10").await;
    let join = "SELECT x.k AS b FROM t AS x JOIN t AS y ON x.id = y.id ORDER BY y.b, x.id";
    world.rows(join, "1;2;3;3;1").await;
}

#[tokio::test]
async fn distinct_rows_have_no_column_of_the_input() {
    let world = world().await;
    world.rows("SELECT DISTINCT -b AS b FROM t ORDER BY b", "-10;-7;-5;0").await;
    world.rows("SELECT DISTINCT -b AS b FROM t ORDER BY -b", "-10;-7;-5;0").await;
    world.rows("SELECT DISTINCT -b AS c FROM t ORDER BY abs(c + 7)", "-7;-5;-10;0").await;
    world.fails("SELECT DISTINCT -b AS b FROM t ORDER BY abs(b - 7)", "which SELECT DISTINCT does not keep").await;
}

#[tokio::test]
async fn numbers_name_items_wherever_keys_stand() {
    let world = world().await;
    world.rows("SELECT DISTINCT ON (1) k AS b, b AS k, id FROM t ORDER BY 1, 2, 3", "1|0|2;2|5|3;3|7|4").await;
    world.rows("SELECT DISTINCT ON (b) k AS b, b AS k, id FROM t ORDER BY b, k, id", "1|0|2;2|5|3;3|7|4").await;
    let sets = "1|10;2|5;3|7;NULL|10";
    for keys in ["ROLLUP (1)", "CUBE (1)", "GROUPING SETS ((1), ())"] {
        world.rows(&format!("SELECT k + 0 AS k, max(b) AS b FROM t GROUP BY {keys} ORDER BY k NULLS LAST"), sets).await;
    }
    world.rows("SELECT k + 1 AS k, count(*) FROM t GROUP BY 1 ORDER BY 1", "2|2;3|1;4|2").await;
    world.rows("SELECT k / 2 AS k, count(*) FROM t GROUP BY k ORDER BY k, 2", "0|2;1|1;1|2").await;
}

#[tokio::test]
async fn qualify_may_look_at_no_window() {
    let world = world().await;
    let numbered = "SELECT k AS b, b AS x, row_number() OVER (ORDER BY b, id) AS n FROM t";
    world.rows(&format!("{numbered} QUALIFY b > 5 ORDER BY n"), "3|7|3;3|7|4;1|10|5").await;
    world.rows(&format!("{numbered} QUALIFY b > 5 AND n < 5 ORDER BY n"), "3|7|3;3|7|4").await;
    world.rows(&format!("{numbered} QUALIFY n = 1 OR x = 10 ORDER BY n"), "1|0|1;1|10|5").await;
    world.fails("SELECT k FROM t QUALIFY k > 1", "QUALIFY clause requires window functions").await;
}
