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
    // A quoted alias keeps its capitals and dots.
    for alias in ["\"T\"", "\"a.b\"", "t"] {
        world.rows(&format!("SELECT -b AS b FROM t AS {alias} ORDER BY {alias}.b LIMIT 2"), "0;-5").await;
    }
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

#[tokio::test]
async fn a_name_within_an_aggregate_of_order_by_is_the_input() {
    let world = world().await;
    let cases = [
        ("SELECT k, sum(id) AS id FROM t GROUP BY k ORDER BY max(b - id), k", "2|3;3|9;1|3"),
        ("SELECT k AS s, sum(id) AS id FROM t GROUP BY k ORDER BY max(id - k) DESC, 1", "3|9;1|3;2|3"),
        ("SELECT k, sum(id) AS id FROM t GROUP BY k ORDER BY max(t.b - t.id), k", "2|3;3|9;1|3"),
        ("SELECT k, -count(*) AS id FROM t GROUP BY k ORDER BY min(id) DESC", "3|-2;2|-1;1|-2"),
        ("SELECT k, -count(*) AS id FROM t GROUP BY k ORDER BY -min(id) - max(b - id), k", "1|-2;3|-2;2|-1"),
        (
            "SELECT k, -count(*) AS id FROM t GROUP BY k ORDER BY count(*) FILTER (WHERE id > 2) DESC, k",
            "3|-2;2|-1;1|-2",
        ),
        (
            "SELECT k AS x, count(*) AS id FROM t GROUP BY k ORDER BY string_agg(CAST(b AS VARCHAR), ',' ORDER BY id), 1",
            "1|2;2|1;3|2",
        ),
        (
            "SELECT k AS x, count(*) AS id FROM t GROUP BY k ORDER BY string_agg(CAST(b AS VARCHAR), ',' ORDER BY id DESC), 1",
            "1|2;2|1;3|2",
        ),
        ("SELECT k, count(*) AS b FROM t GROUP BY k ORDER BY max(coalesce(b, id)), k", "2|1;3|2;1|2"),
        ("SELECT k, max(b) AS id, min(id) AS b FROM t GROUP BY k ORDER BY max(b) + min(id), k", "2|5|3;1|10|1;3|7|4"),
        ("SELECT sum(b) AS b FROM t ORDER BY max(b + id)", "29"),
        ("SELECT k, count(*) AS b FROM t GROUP BY ROLLUP (k) ORDER BY sum(b - id), k", "2|1;3|2;1|2;NULL|5"),
        ("SELECT k, sum(b) AS b FROM (SELECT * FROM t) GROUP BY k ORDER BY max(b - id), k", "2|5;3|14;1|10"),
        (
            "SELECT x.k, sum(y.b) AS b FROM t AS x JOIN t AS y ON x.k = y.k GROUP BY x.k ORDER BY max(x.b - y.id), 1",
            "2|5;3|28;1|20",
        ),
        (
            "WITH u AS (SELECT * FROM t) SELECT k, sum(id) AS id FROM u GROUP BY k ORDER BY max(b - id) LIMIT 2",
            "2|3;3|9",
        ),
        (
            "SELECT id FROM t WHERE id IN (SELECT sum(id) AS id FROM t AS u GROUP BY k ORDER BY max(b - id) LIMIT 2) ORDER BY id",
            "3",
        ),
        ("SELECT k, sum(id) AS id FROM t GROUP BY ALL ORDER BY max(b - id), k", "2|3;3|9;1|3"),
        ("SELECT k, sum(b) AS b FROM t GROUP BY k HAVING max(b) > 5 ORDER BY max(b - id), k", "3|14;1|10"),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
    // Only what is selected orders distinct rows.
    world.fails("SELECT DISTINCT k, count(*) AS b FROM t GROUP BY k ORDER BY max(b), k", "").await;
}

#[tokio::test]
async fn a_name_within_a_window_of_order_by_is_the_input() {
    let world = world().await;
    let cases = [
        ("SELECT id, -b AS b FROM t ORDER BY row_number() OVER (ORDER BY b, id)", "2|0;3|-5;4|-7;5|-7;1|-10"),
        ("SELECT id, -b AS b FROM t ORDER BY sum(b) OVER (PARTITION BY k ORDER BY id), id", "3|-5;4|-7;1|-10;2|0;5|-7"),
        ("SELECT id, -b AS b FROM t ORDER BY rank() OVER (ORDER BY t.b), id DESC", "2|0;3|-5;5|-7;4|-7;1|-10"),
        ("SELECT k, -sum(b) AS b FROM t GROUP BY k ORDER BY rank() OVER (ORDER BY sum(b)), k", "2|-5;1|-10;3|-14"),
        ("SELECT k, -sum(b) AS b FROM t GROUP BY k ORDER BY sum(sum(b)) OVER (ORDER BY k DESC), k", "3|-14;2|-5;1|-10"),
        ("SELECT k, sum(b) AS b FROM t GROUP BY k ORDER BY rank() OVER (ORDER BY max(b - id)), k", "2|5;3|14;1|10"),
        (
            "SELECT id, -id AS k FROM t ORDER BY max(k) OVER (ORDER BY k, id ROWS 1 PRECEDING), id",
            "1|-1;2|-2;3|-3;4|-4;5|-5",
        ),
        (
            "SELECT x.b FROM (SELECT id, -b AS b FROM t ORDER BY row_number() OVER (ORDER BY b, id) LIMIT 2) AS x ORDER BY 1",
            "-5;0",
        ),
        (
            "SELECT id, -b AS b FROM t QUALIFY row_number() OVER (ORDER BY b, id) > 2 ORDER BY sum(b) OVER (ORDER BY id DESC), id",
            "5|-7;4|-7;1|-10",
        ),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
    let named = "SELECT id, -b AS b FROM t WINDOW w AS (ORDER BY b, id) ORDER BY row_number() OVER w DESC LIMIT 2";
    world.rows(named, "1|-10;5|-7").await;
}

#[tokio::test]
async fn qualify_looks_at_the_input_beside_a_window_of_any_item() {
    let world = world().await;
    let cases = [
        (
            "SELECT id, sum(b) OVER w AS b FROM t WINDOW w AS (PARTITION BY k) QUALIFY b > 5 ORDER BY id",
            "1|10;4|14;5|14",
        ),
        (
            "SELECT id, sum(b) OVER w + 1 AS s FROM t WINDOW w AS (PARTITION BY k) QUALIFY b > 5 ORDER BY id",
            "1|11;4|15;5|15",
        ),
        ("SELECT id, 1 + sum(b) OVER (PARTITION BY k) AS b FROM t QUALIFY b > 5 ORDER BY id", "1|11;4|15;5|15"),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}
