//! Statements that every engine answers and that need other words for DataFusion. Answers are DuckDB's, for rows that are
//! compared those of the same question about their columns.

use crate::world::*;

async fn world() -> World {
    World::new(&[
        ("a", "SELECT * FROM (VALUES (1, 1, 10, 'x'), (2, 1, 0, 'y'), (3, 2, 5, NULL), (4, 2, NULL, 'x'), (5, NULL, 7, 'z'), (6, 3, 0, 'y'), (7, NULL, NULL, NULL)) AS v(id, k, b, s)"),
        ("c", "SELECT * FROM (VALUES (1, 1, NULL, 'x'), (2, 2, 20, 'y'), (3, NULL, 7, 'q'), (9, 9, 90, NULL), (4, 2, 10, 'x'), (5, 2, 5, NULL)) AS v(id, k, b, s)"),
        ("d", "SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) AS v(j, n)"),
    ])
    .await
}

#[tokio::test]
async fn rows_are_compared_by_their_columns() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM a WHERE (id, k) = (1, 1)", "1"),
        ("SELECT id FROM a WHERE (id, k) <> (3, 2) ORDER BY id", "1;2;4;5;6;7"),
        ("SELECT id FROM a WHERE (k, id) < (2, 4) ORDER BY id", "1;2;3"),
        ("SELECT id FROM a WHERE (k, id) >= (2, 4) ORDER BY id", "4;6"),
        ("SELECT id FROM a WHERE NOT (k, b, id) <= (2, 5, 2) ORDER BY id", "3;6"),
        (
            "SELECT id, (k, b) = (1, 0) AS x, (k, b) > (1, 5) AS y FROM a ORDER BY id",
            "1|false|true;2|true|false;3|false|true;4|false|true;5|false|NULL;6|false|true;7|NULL|NULL",
        ),
        ("SELECT id FROM a WHERE ROW(id, k + 1) = ROW(1, 2)", "1"),
        ("SELECT id FROM a WHERE (k, id) BETWEEN (1, 2) AND (2, 3) ORDER BY id", "2;3"),
        ("SELECT id FROM a WHERE (k, b) IS NOT DISTINCT FROM (NULL, 7)", "5"),
        ("SELECT id FROM a WHERE ((k, b) IS DISTINCT FROM (NULL, 7)) AND id > 4 ORDER BY id", "6;7"),
        ("SELECT a.id, c.id AS j FROM a JOIN c ON (a.id, a.k) = (c.id, c.k) ORDER BY a.id", "1|1;4|4"),
        ("SELECT k, count(*) AS n FROM a GROUP BY k HAVING (k, count(*)) = (1, 2)", "1|2"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn rows_in_lists() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM a WHERE (id, k) IN ((1, 1), (3, 2), (4, 1)) ORDER BY id", "1;3"),
        ("SELECT id FROM a WHERE (id, k) NOT IN ((1, 1), (3, 2), (7, 1)) ORDER BY id", "2;4;5;6"),
        (
            "SELECT id, (k, b) IN ((1, 10), (2, NULL)) AS x FROM a ORDER BY id",
            "1|true;2|false;3|NULL;4|NULL;5|NULL;6|false;7|NULL",
        ),
        (
            "SELECT id, (k, b) NOT IN ((1, 10), (2, NULL), (3, 0)) AS x FROM a ORDER BY id",
            "1|false;2|true;3|NULL;4|NULL;5|NULL;6|false;7|NULL",
        ),
        ("SELECT id FROM a WHERE (id + 1, upper(s)) IN ((2, 'X'), (3, 'Y')) ORDER BY id", "1;2"),
        ("SELECT id FROM a WHERE (id, k) IN (VALUES (1, 1), (3, 2)) ORDER BY id", "1;3"),
        ("SELECT id FROM a WHERE (id, k) NOT IN (VALUES (1, 1), (7, NULL)) ORDER BY id", "2;3;4;5;6"),
        (
            "SELECT id FROM a WHERE (id, k) NOT IN ((3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1), (11, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (8, 2), (9, 2), (10, 2), (11, 2), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (8, 3), (9, 3), (10, 3), (11, 3), (3, 4), (4, 4), (5, 4), (6, 4), (7, 4), (8, 4), (9, 4), (10, 4), (11, 4), (3, 5), (4, 5), (5, 5), (6, 5), (7, 5), (8, 5), (9, 5), (10, 5), (11, 5), (3, 6), (4, 6), (5, 6), (6, 6), (7, 6), (8, 6), (9, 6), (10, 6), (11, 6), (3, 7), (4, 7), (5, 7), (6, 7), (7, 7), (8, 7), (9, 7), (7, 1)) ORDER BY id",
            "1;2",
        ),
        (
            "SELECT id, (id, k) IN ((3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1), (11, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (8, 2), (9, 2), (10, 2), (11, 2), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (8, 3), (9, 3), (10, 3), (11, 3), (3, 4), (4, 4), (5, 4), (6, 4), (7, 4), (8, 4), (9, 4), (10, 4), (11, 4), (3, 5), (4, 5), (5, 5), (6, 5), (7, 5), (8, 5), (9, 5), (10, 5), (11, 5), (3, 6), (4, 6), (5, 6), (6, 6), (7, 6), (8, 6), (9, 6), (10, 6), (11, 6), (3, 7), (4, 7), (5, 7), (6, 7), (7, 7), (8, 7), (9, 7), (7, 1)) AS x FROM a ORDER BY id",
            "1|false;2|false;3|true;4|true;5|NULL;6|true;7|NULL",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn rows_in_subqueries() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM a WHERE (id, k) IN (SELECT id, k FROM c) ORDER BY id", "1;4"),
        ("SELECT id FROM a WHERE (id, k) NOT IN (SELECT id, k FROM c) ORDER BY id", "2;6;7"),
        ("SELECT id FROM a WHERE NOT (id, k) IN (SELECT id, k FROM c WHERE k IS NOT NULL) ORDER BY id", "2;3;6;7"),
        ("SELECT id FROM a WHERE (k, id) NOT IN (SELECT k, id FROM c WHERE id > 99) ORDER BY id", "1;2;3;4;5;6;7"),
        (
            "SELECT id, (id, k) IN (SELECT id, k FROM c) AS x FROM a ORDER BY id",
            "1|true;2|false;3|NULL;4|true;5|NULL;6|false;7|false",
        ),
        (
            "SELECT id, (id, k) NOT IN (SELECT id, k FROM c) AS x FROM a ORDER BY id",
            "1|false;2|true;3|NULL;4|false;5|NULL;6|true;7|true",
        ),
        ("SELECT id FROM a WHERE (id, k) IN (SELECT id, k FROM c) OR b = 7 ORDER BY id", "1;4;5"),
        ("SELECT id FROM a WHERE (id, k) IN (SELECT id, k FROM c) IS NULL ORDER BY id", "3;5"),
        ("SELECT id FROM a WHERE (id, k) = ANY (SELECT id, k FROM c) ORDER BY id", "1;4"),
        ("SELECT id FROM a WHERE (id, k) <> ALL (SELECT id, k FROM c) ORDER BY id", "2;6;7"),
        ("SELECT id FROM a WHERE (id, k) IN (SELECT id, k FROM c WHERE c.s = a.s) ORDER BY id", "1;4"),
        ("SELECT k FROM a WHERE (k, b) IN (SELECT k, max(b) FROM a GROUP BY k) ORDER BY k", "1;2;3"),
        (
            "SELECT id FROM a WHERE (k, b) IN (SELECT k, b FROM a ORDER BY id LIMIT 2) AND (id, k) IN (SELECT id, k FROM c) ORDER BY id",
            "1",
        ),
        ("SELECT id FROM a WHERE (id, k) IN (SELECT id, k FROM c UNION ALL SELECT 2, 1) ORDER BY id", "1;2;4"),
        ("SELECT k FROM a GROUP BY k HAVING (k, k) IN (SELECT k, k FROM c) ORDER BY k", "1;2"),
        ("SELECT count(*) FILTER (WHERE (id, k) IN (SELECT id, k FROM c)) AS n FROM a", "2"),
        (
            "SELECT a.id, c.id AS j FROM a JOIN c ON a.k = c.k AND (a.id, c.id) IN (SELECT id, j FROM a, d) ORDER BY a.id, j",
            "1|1;2|1;3|2;4|2",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn values_are_a_query() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM a WHERE k IN (VALUES (1), (2)) ORDER BY id", "1;2;3;4"),
        ("SELECT id FROM a WHERE k NOT IN (VALUES (1), (2)) ORDER BY id", "6"),
        ("SELECT id FROM a WHERE k NOT IN (VALUES (1), (NULL)) ORDER BY id", ""),
        (
            "SELECT id, k IN (VALUES (1), (NULL)) AS x FROM a ORDER BY id",
            "1|true;2|true;3|NULL;4|NULL;5|NULL;6|NULL;7|NULL",
        ),
        ("SELECT EXISTS (VALUES (1)) AS x, (VALUES (3)) AS y", "true|3"),
        ("SELECT id FROM a WHERE id = (VALUES (3))", "3"),
        ("SELECT id FROM a WHERE s IN (VALUES ('x'), ('q') ORDER BY 1 LIMIT 1)", ""),
        (
            "SELECT id FROM a WHERE id IN (WITH w AS (SELECT 4 AS x) SELECT x FROM w UNION VALUES (2)) ORDER BY id",
            "2;4",
        ),
        ("VALUES ((SELECT max(id) FROM a))", "7"),
        ("VALUES ((SELECT max(id) FROM a), 2), (3, (SELECT min(id) FROM a)) ORDER BY 1", "3|1;7|2"),
        (
            "SELECT x FROM (VALUES (1), ((SELECT max(id) FROM a)), (2), (3), ((SELECT max(id) + 1 FROM a))) AS v(x) ORDER BY x",
            "1;2;3;7;8",
        ),
        ("SELECT x + 1 AS y FROM (VALUES ((SELECT max(id) FROM a) + 1)) AS v(x)", "9"),
        (
            "SELECT * FROM (VALUES (1 IN (SELECT id FROM a), 'p'), (EXISTS (SELECT 1 FROM a WHERE id > 9), 'q')) AS v(x, y) ORDER BY y",
            "true|p;false|q",
        ),
        ("WITH v(x) AS (VALUES ((SELECT max(id) FROM a)), (1.5)) SELECT x FROM v ORDER BY x", "1.5;7.0"),
        ("SELECT id FROM a WHERE id IN (VALUES ((SELECT max(j) FROM d)), (1)) ORDER BY id", "1;3"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn all_rows_are_one_group() {
    let world = world().await;
    let cases = [
        ("SELECT count(*) FROM a GROUP BY ()", "7"),
        ("SELECT count(*) FROM a WHERE id > 99 GROUP BY ()", "0"),
        ("SELECT 1 AS x FROM a GROUP BY ()", "1"),
        ("SELECT 1 AS x FROM a WHERE id > 99 GROUP BY ()", "1"),
        ("SELECT k, count(*) AS n FROM a GROUP BY k, () ORDER BY k", "1|2;2|2;3|1;NULL|2"),
        ("SELECT 1 AS x FROM a HAVING TRUE", "1"),
        ("SELECT 1 AS x FROM a HAVING FALSE", ""),
        ("SELECT 1 AS x FROM a HAVING 1 > 0", "1"),
        ("SELECT 1 AS x HAVING TRUE", "1"),
        ("SELECT 1 AS x FROM a WHERE id > 99 HAVING TRUE", "1"),
        ("SELECT (SELECT max(id) FROM a) AS x FROM d HAVING TRUE", "7"),
        ("SELECT 'p' AS x FROM a HAVING (SELECT count(*) FROM a) > 3", "p"),
        ("SELECT k FROM a GROUP BY k HAVING TRUE ORDER BY k", "1;2;3;NULL"),
        ("SELECT j FROM d WHERE EXISTS (SELECT 1 FROM a WHERE id > 99 HAVING TRUE) ORDER BY j", "1;2;3"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn whole_numbers_have_signs() {
    let world = world().await;
    let cases = [
        ("SELECT id, -rank() OVER (ORDER BY k) AS r FROM a ORDER BY id", "1|-1;2|-1;3|-3;4|-3;5|-6;6|-5;7|-6"),
        (
            "SELECT id, - row_number() OVER (ORDER BY id) AS r, -(-dense_rank() OVER (ORDER BY k)) AS d, -ntile(2) OVER (ORDER BY id) AS t FROM a ORDER BY id",
            "1|-1|1|-1;2|-2|1|-1;3|-3|2|-1;4|-4|2|-1;5|-5|4|-2;6|-6|3|-2;7|-7|4|-2",
        ),
        ("SELECT id FROM a ORDER BY -row_number() OVER (ORDER BY id)", "7;6;5;4;3;2;1"),
        ("SELECT -r AS x FROM (SELECT rank() OVER (ORDER BY id) AS r FROM a) AS q ORDER BY x", "-7;-6;-5;-4;-3;-2;-1"),
        (
            "SELECT id, row_number() OVER (ORDER BY -r) AS n FROM (SELECT id, rank() OVER (ORDER BY k) AS r FROM a) AS q ORDER BY id",
            "1|6;2|7;3|4;4|5;5|1;6|3;7|2",
        ),
        (
            "SELECT sum(-r) AS x, max(-b) AS y FROM (SELECT b, row_number() OVER (ORDER BY id) AS r FROM a) AS q",
            "-28|0",
        ),
        ("SELECT id FROM a QUALIFY -row_number() OVER (ORDER BY id) > -3 ORDER BY id", "1;2"),
        (
            "SELECT -n AS m, count(*) AS c FROM (SELECT ntile(3) OVER (ORDER BY id) AS n FROM a) AS q GROUP BY -n ORDER BY -n",
            "-3|2;-2|2;-1|3",
        ),
        ("SELECT -array_length([1, 2]) AS x, -1.5 AS y, -(2) AS z", "-2|-1.5|-2"),
        ("SELECT ~5 AS x, ~id AS y FROM a ORDER BY y LIMIT 2", "-6|-8;-6|-7"),
        ("SELECT id FROM a WHERE ~id & 1 = 1 ORDER BY id", "2;4;6"),
        ("SELECT id, ~row_number() OVER (ORDER BY id) AS r FROM a ORDER BY id", "1|-2;2|-3;3|-4;4|-5;5|-6;6|-7;7|-8"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn subqueries_without_a_name() {
    let world = world().await;
    let cases = [
        ("SELECT (SELECT max(id) FROM a), (SELECT max(id) FROM c)", "7|9"),
        ("SELECT id, (SELECT y.id FROM c AS y WHERE y.id = 1) FROM a ORDER BY 1", "1|1;2|1;3|1;4|1;5|1;6|1;7|1"),
        (
            "SELECT id, (SELECT y.id FROM c AS y WHERE y.id = a.id) FROM a ORDER BY 1",
            "1|1;2|2;3|3;4|4;5|5;6|NULL;7|NULL",
        ),
        ("SELECT id, (SELECT id FROM c WHERE id = 1) FROM a ORDER BY 1", "1|1;2|1;3|1;4|1;5|1;6|1;7|1"),
        (
            "SELECT id, (SELECT max(b) FROM c WHERE k = a.k), (SELECT max(b) FROM c) FROM a ORDER BY 1",
            "1|NULL|90;2|NULL|90;3|20|90;4|20|90;5|NULL|90;6|NULL|90;7|NULL|90",
        ),
        (
            "SELECT id, EXISTS (SELECT 1 FROM c WHERE c.id = a.id), EXISTS (SELECT 1 FROM c WHERE c.k = a.k) FROM a ORDER BY 1",
            "1|true|true;2|true|true;3|true|true;4|true|true;5|true|false;6|false|false;7|false|false",
        ),
        (
            "SELECT id IN (SELECT id FROM c), id IN (SELECT k FROM c) FROM a ORDER BY id",
            "true|true;true|true;true|NULL;true|NULL;true|NULL;false|NULL;false|NULL",
        ),
        ("SELECT 1 + (SELECT max(j) FROM d), 1 + (SELECT min(j) FROM d)", "4|2"),
        (
            "SELECT * FROM (SELECT id, (SELECT id FROM c WHERE id = 1) FROM a) AS q ORDER BY 1",
            "1|1;2|1;3|1;4|1;5|1;6|1;7|1",
        ),
        (
            "SELECT k, (SELECT max(b) FROM c WHERE c.k = a.k), (SELECT min(b) FROM c WHERE c.k = a.k) FROM a GROUP BY k ORDER BY k",
            "1|NULL|NULL;2|20|5;3|NULL|NULL;NULL|NULL|NULL",
        ),
        (
            "SELECT *, (SELECT id FROM c WHERE id = 2), (SELECT id FROM c WHERE id = 1) FROM d ORDER BY j",
            "1|10|2|1;2|20|2|1;3|30|2|1",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn a_merged_key_within_a_subquery() {
    let world = world().await;
    let cases = [
        (
            "SELECT a.id FROM a JOIN c USING (k) WHERE EXISTS (SELECT 1 FROM d WHERE n = k * 10) ORDER BY a.id",
            "1;2;3;3;3;4;4;4",
        ),
        (
            "SELECT a.id, (SELECT max(n) FROM d WHERE j = k) AS m FROM a JOIN c USING (k) ORDER BY 1, 2",
            "1|10;2|10;3|20;3|20;3|20;4|20;4|20;4|20",
        ),
        (
            "SELECT a.id, (SELECT max(n) FROM d WHERE j = k) AS m FROM a LEFT JOIN c USING (k) ORDER BY 1, 2",
            "1|10;2|10;3|20;3|20;3|20;4|20;4|20;4|20;5|NULL;6|30;7|NULL",
        ),
        (
            "SELECT c.id, (SELECT max(n) FROM d WHERE j = k) AS m FROM a RIGHT JOIN c USING (k) ORDER BY 1, 2",
            "1|10;1|10;2|20;2|20;3|NULL;4|20;4|20;5|20;5|20;9|NULL",
        ),
        (
            "SELECT a.id, c.id AS i, (SELECT max(n) FROM d WHERE j = k) AS m FROM a FULL JOIN c USING (k) ORDER BY 1, 2",
            "1|1|10;2|1|10;3|2|20;3|4|20;3|5|20;4|2|20;4|4|20;4|5|20;5|NULL|NULL;6|NULL|30;7|NULL|NULL;NULL|3|NULL;NULL|9|NULL",
        ),
        (
            "SELECT a.id FROM a JOIN c USING (id) WHERE EXISTS (SELECT 1 FROM d WHERE j = id) AND EXISTS (SELECT 1 FROM c AS x WHERE id = 1) ORDER BY 1",
            "1;2;3",
        ),
        ("SELECT a.id FROM a JOIN c USING (id) ORDER BY (SELECT n FROM d WHERE j = 3 - id), 1", "2;1;3;4;5"),
        (
            "SELECT a.id FROM a JOIN c USING (k) JOIN c AS x USING (k) WHERE 20 IN (SELECT n FROM d WHERE j = k) ORDER BY a.id LIMIT 3",
            "3;3;3",
        ),
        ("SELECT a.id, c.id AS j FROM a JOIN c USING (k) ORDER BY k + 1, 1, 2", "1|1;2|1;3|2;3|4;3|5;4|2;4|4;4|5"),
        ("SELECT -k AS k FROM a JOIN c USING (k) ORDER BY abs(k - 2), 1", "-2;-2;-2;-2;-2;-2;-1;-1"),
        (
            "SELECT -k AS k, a.id AS i, c.id AS j FROM a FULL JOIN c USING (k) ORDER BY coalesce(k, 100), 2, 3",
            "-1|1|1;-1|2|1;-2|3|2;-2|3|4;-2|3|5;-2|4|2;-2|4|4;-2|4|5;-3|6|NULL;-9|NULL|9;NULL|5|NULL;NULL|7|NULL;NULL|NULL|3",
        ),
        ("SELECT -k AS k, count(*) AS n FROM a JOIN c USING (k) GROUP BY k ORDER BY k", "-2|6;-1|2"),
        (
            "SELECT a.id, c.id AS j FROM a RIGHT JOIN c USING (k) ORDER BY k + 1, 1, 2",
            "1|1;2|1;3|2;3|4;3|5;4|2;4|4;4|5;NULL|9;NULL|3",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn an_inner_name_of_with_hides_an_outer_one() {
    let world = world().await;
    let cases = [
        ("WITH q AS (SELECT 1 AS x) SELECT * FROM (WITH q AS (SELECT 2 AS x) SELECT * FROM q) AS r", "2"),
        ("WITH q AS (SELECT 1 AS x) SELECT x, (WITH q AS (SELECT 2 AS x) SELECT q.x FROM q) AS y FROM q", "1|2"),
        (
            "WITH q AS (SELECT 1 AS x), r AS (WITH q AS (SELECT 3 AS x) SELECT * FROM q) SELECT q.x, r.x AS y FROM q, r",
            "1|3",
        ),
        (
            "WITH q AS (SELECT 1 AS x), r AS (WITH q AS (SELECT x + 1 AS x FROM q) SELECT x FROM q) SELECT q.x, r.x AS y FROM q, r",
            "1|2",
        ),
        ("WITH q AS (SELECT 1 AS x) SELECT x FROM q WHERE x IN (WITH Q AS (SELECT 1 AS y) SELECT y FROM q)", "1"),
        (
            "WITH q AS (SELECT 1 AS x) SELECT x FROM q WHERE EXISTS (WITH q AS (SELECT 1 AS y) SELECT 1 FROM q AS z WHERE z.y = q.x)",
            "1",
        ),
        ("WITH q AS (WITH q AS (SELECT 4 AS x) SELECT x + 1 AS x FROM q) SELECT * FROM q", "5"),
        ("WITH a AS (SELECT id FROM a WHERE id < 3) SELECT * FROM a ORDER BY id", "1;2"),
        (
            "WITH q AS (SELECT 1 AS x) SELECT * FROM (WITH q AS (SELECT 2 AS x), p AS (SELECT x + 1 AS x FROM q) SELECT q.x, p.x AS y FROM q, p UNION ALL SELECT x, x FROM q) AS r ORDER BY 1, 2",
            "2|2;2|3",
        ),
        (
            "WITH q AS (SELECT 1 AS x) SELECT * FROM (WITH RECURSIVE q AS (SELECT 5 AS x UNION ALL SELECT x + 1 FROM q WHERE x < 7) SELECT x FROM q) AS r ORDER BY x",
            "5;6;7",
        ),
        (
            "WITH q AS (SELECT 1 AS x) SELECT * FROM (WITH q AS (SELECT 2 AS x) SELECT * FROM (WITH q AS (SELECT 3 AS x) SELECT * FROM q) AS s, q AS t) AS r, q ORDER BY 1",
            "3|2|1",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn functions_of_a_null_constant() {
    let world = world().await;
    let cases = [
        (
            "SELECT array_length(NULL) AS x, cardinality(NULL) AS y, round(1.5, NULL) AS z, round(b * 1.5, NULL) AS r FROM a LIMIT 1",
            "NULL|NULL|NULL|NULL",
        ),
        (
            "SELECT id, lag(k, NULL) OVER (ORDER BY id) AS x, lead(k + 1, NULL, 3) OVER (ORDER BY id) AS y, lag(k, 1, NULL) OVER (ORDER BY id) AS z FROM a ORDER BY id",
            "1|NULL|NULL|NULL;2|NULL|NULL|1;3|NULL|NULL|1;4|NULL|NULL|2;5|NULL|NULL|2;6|NULL|NULL|NULL;7|NULL|NULL|3",
        ),
        ("SELECT id, ntile(NULL) OVER (ORDER BY id) AS x FROM a ORDER BY id LIMIT 2", "1|NULL;2|NULL"),
        (
            "SELECT date_trunc(NULL, TIMESTAMP '2024-01-01 00:00:00') AS x, date_part(NULL, TIMESTAMP '2024-01-01 00:00:00') AS y",
            "NULL|NULL",
        ),
        (
            "SELECT array_to_string(NULL, ',') AS x, array_slice(NULL, 1, 2) AS y, list_position(NULL, 1) AS z",
            "NULL|NULL|NULL",
        ),
        ("SELECT NULL || NULL AS x, NULL || 'a' AS y, coalesce(array_length(NULL) + 1, 7) AS z", "NULL|NULL|7"),
        ("SELECT coalesce(lag(s, NULL) OVER (ORDER BY id), 'none') AS x FROM a ORDER BY id LIMIT 1", "none"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn branches_between_parentheses_and_stars() {
    let world = world().await;
    let cases = [
        (
            "(SELECT k, id FROM a ORDER BY id LIMIT 2) UNION ALL SELECT id, -k FROM a ORDER BY 1, 2",
            "1|-1;1|1;1|2;2|-1;3|-2;4|-2;5|NULL;6|-3;7|NULL",
        ),
        (
            "(SELECT k, id FROM a) UNION ALL SELECT id, -k FROM a ORDER BY 1, 2",
            "1|-1;1|1;1|2;2|-1;2|3;2|4;3|-2;3|6;4|-2;5|NULL;6|-3;7|NULL;NULL|5;NULL|7",
        ),
        (
            "SELECT * FROM (SELECT k, id FROM a) AS q UNION ALL SELECT id, -k FROM a ORDER BY 1, 2",
            "1|-1;1|1;1|2;2|-1;2|3;2|4;3|-2;3|6;4|-2;5|NULL;6|-3;7|NULL;NULL|5;NULL|7",
        ),
        (
            "SELECT k, id FROM a UNION (SELECT id, -k FROM a ORDER BY id LIMIT 2) ORDER BY 1, 2",
            "1|-1;1|1;1|2;2|-1;2|3;2|4;3|6;NULL|5;NULL|7",
        ),
        (
            "SELECT k, id FROM a UNION ALL (SELECT id, -k FROM a UNION SELECT id, k + 1 FROM c) ORDER BY 1, 2",
            "1|-1;1|1;1|2;1|2;2|-1;2|3;2|3;2|4;3|-2;3|6;3|NULL;4|-2;4|3;5|3;5|NULL;6|-3;7|NULL;9|10;NULL|5;NULL|7",
        ),
        (
            "SELECT k, id FROM a UNION ALL SELECT *, 1 FROM (SELECT id FROM c) AS q ORDER BY 1, 2",
            "1|1;1|1;1|2;2|1;2|3;2|4;3|1;3|6;4|1;5|1;9|1;NULL|5;NULL|7",
        ),
        (
            "((SELECT * FROM d) UNION ALL (SELECT n, j FROM d ORDER BY 1 LIMIT 2)) EXCEPT (SELECT j, n + 0 FROM d WHERE j = 1) ORDER BY 1, 2",
            "2|20;3|30;10|1;20|2",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn windows_that_become_one() {
    let world = world().await;
    let cases = [
        (
            "SELECT id, sum(b) OVER w AS x, sum(b) OVER (PARTITION BY k ORDER BY id) AS y, sum(CASE WHEN true THEN b END) OVER w AS z FROM a WINDOW w AS (PARTITION BY k ORDER BY id) ORDER BY id",
            "1|10|10|10;2|10|10|10;3|5|5|5;4|5|5|5;5|7|7|7;6|0|0|0;7|7|7|7",
        ),
        (
            "SELECT id, sum(b) OVER (PARTITION BY k) AS x, sum(coalesce(b)) OVER (PARTITION BY k) AS z FROM a ORDER BY id",
            "1|10|10;2|10|10;3|5|5;4|5|5;5|7|7;6|0|0;7|7|7",
        ),
        (
            "SELECT id, sum(b) OVER (PARTITION BY k) AS x, sum(b + 0) OVER (PARTITION BY k) AS y, sum(coalesce(b, b)) OVER (PARTITION BY k) AS z FROM a ORDER BY id",
            "1|10|10|10;2|10|10|10;3|5|5|5;4|5|5|5;5|7|7|7;6|0|0|0;7|7|7|7",
        ),
        (
            "SELECT id, sum(b) OVER (ORDER BY id) AS x, max(CASE WHEN true THEN b END) OVER (ORDER BY id) AS z, max(b) OVER (ORDER BY id) AS y FROM a ORDER BY id",
            "1|10|10|10;2|10|10|10;3|15|10|10;4|15|10|10;5|22|10|10;6|22|10|10;7|22|10|10",
        ),
        (
            "SELECT id, count(b) OVER (ORDER BY id) AS x, count(CASE WHEN true THEN b END) OVER (ORDER BY id) AS z FROM a ORDER BY id",
            "1|1|1;2|2|2;3|3|3;4|3|3;5|4|4;6|5|5;7|5|5",
        ),
        (
            "SELECT id, sum(b) OVER (ORDER BY id) AS x, sum(b) OVER (ORDER BY CASE WHEN true THEN id END) AS z FROM a ORDER BY id",
            "1|10|10;2|10|10;3|15|15;4|15|15;5|22|22;6|22|22;7|22|22",
        ),
        (
            "SELECT id, sum(b) OVER (PARTITION BY k ORDER BY id) AS x, count(*) OVER (PARTITION BY s) AS y, sum(b) OVER (PARTITION BY CASE WHEN true THEN k END ORDER BY id) AS z FROM a ORDER BY id",
            "1|10|2|10;2|10|2|10;3|5|2|5;4|5|2|5;5|7|1|7;6|0|2|0;7|7|2|7",
        ),
        (
            "SELECT id, rank() OVER (ORDER BY k) AS x, rank() OVER (ORDER BY CASE WHEN true THEN k END) AS z FROM a ORDER BY id",
            "1|1|1;2|1|1;3|3|3;4|3|3;5|6|6;6|5|5;7|6|6",
        ),
        (
            "SELECT id, lag(b) OVER (ORDER BY id) AS x, lag(CASE WHEN true THEN b END) OVER (ORDER BY id) AS z FROM a ORDER BY id",
            "1|NULL|NULL;2|10|10;3|0|0;4|5|5;5|NULL|NULL;6|7|7;7|0|0",
        ),
        (
            "SELECT id, sum(b) OVER (ORDER BY id) + sum(CASE WHEN true THEN b END) OVER (ORDER BY id) AS z FROM a ORDER BY id",
            "1|20;2|20;3|30;4|30;5|44;6|44;7|44",
        ),
        (
            "SELECT id, sum(b) OVER (PARTITION BY k) AS x FROM a QUALIFY sum(CASE WHEN true THEN b END) OVER (PARTITION BY k) > 3 ORDER BY id",
            "1|10;2|10;3|5;4|5;5|7;7|7",
        ),
        (
            "SELECT id FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) = 1 AND row_number() OVER (PARTITION BY CASE WHEN true THEN k END ORDER BY id) < 2 ORDER BY id",
            "1;3;5;6",
        ),
        (
            "SELECT id, m, rank() OVER (ORDER BY m, n, id) AS r FROM (SELECT id, max(b) OVER (PARTITION BY k) AS m, max(coalesce(b)) OVER (PARTITION BY k) AS n FROM a) AS q ORDER BY id",
            "1|10|6;2|10|7;3|5|2;4|5|3;5|7|4;6|0|1;7|7|5",
        ),
        (
            "SELECT k, sum(count(*)) OVER (ORDER BY k) AS x, sum(CASE WHEN true THEN count(*) END) OVER (ORDER BY k) AS y FROM a GROUP BY k ORDER BY k",
            "1|2|2;2|4|4;3|5|5;NULL|7|7",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn keys_of_grouped_and_distinct_rows() {
    let world = world().await;
    let cases = [
        ("SELECT DISTINCT max(b) - 1 FROM a GROUP BY k ORDER BY 1", "-1;4;6;9"),
        ("SELECT DISTINCT k + 1, max(b) * 2 FROM a GROUP BY k + 1 ORDER BY 2 DESC, 1", "2|20;NULL|14;3|10;4|0"),
        ("SELECT DISTINCT count(*) + 1 AS n FROM a GROUP BY k ORDER BY 1", "2;3"),
        ("SELECT DISTINCT count(*) FROM a GROUP BY k ORDER BY 1 DESC", "2;1"),
        (
            "SELECT k, b + 1 AS b FROM a GROUP BY k, b ORDER BY coalesce(b, 0), max(b), k",
            "1|1;3|1;2|NULL;NULL|NULL;2|6;NULL|8;1|11",
        ),
        (
            "SELECT k, -b AS b, count(*) AS n FROM a GROUP BY k, b ORDER BY b * 2, abs(b) + max(b), k",
            "1|0|1;3|0|1;2|-5|1;NULL|-7|1;1|-10|1;2|NULL|1;NULL|NULL|1",
        ),
        ("SELECT -k AS k, max(b) AS b FROM a GROUP BY a.k ORDER BY abs(k - 2), max(a.b)", "-2|5;-3|0;-1|10;NULL|7"),
        (
            "SELECT k, max(b) AS b FROM a GROUP BY k, b ORDER BY coalesce(b, 0), max(b), k",
            "1|0;3|0;2|NULL;NULL|NULL;2|5;NULL|7;1|10",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}
