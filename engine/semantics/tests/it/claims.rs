//! Orders, constants and unique columns that operators claim. Answers are DuckDB's.

use crate::world::*;

/// Three small tables with NULLs.
pub(crate) async fn world() -> World {
    World::new(&[
        ("a", "SELECT * FROM (VALUES (1, 1, 'y', 3), (2, 1, 'x', NULL), (3, 2, NULL, 5), (4, 2, 'z', 1), (5, NULL, 'y', 4), (6, 3, '', 2), (7, 1, 'z', 3)) AS v(id, k, s, b)"),
        ("c", "SELECT * FROM (VALUES (1, 1, NULL), (2, 2, 20), (9, 1, 30), (5, 9, 90), (4, 1, 5)) AS v(id, k, b)"),
        ("e", "SELECT * FROM (VALUES (1)) AS v(id)"),
    ])
    .await
}

// What one part has found must not decide what another leaves out: several times, as it is a race.
#[tokio::test]
async fn a_constant_of_each_branch_is_a_sort_key() {
    let world = world().await;
    let cases = [
        ("SELECT 2 AS x, id FROM a UNION ALL SELECT 1, id FROM c ORDER BY x, id DESC LIMIT 3", "1|9;1|5;1|4"),
        ("SELECT 'b' AS src, id FROM a UNION ALL SELECT 'a', id FROM c ORDER BY src DESC, id DESC LIMIT 2", "b|7;b|6"),
        ("SELECT k, id FROM a WHERE k = 2 UNION ALL SELECT k, id FROM c WHERE k = 1 ORDER BY k, id LIMIT 2", "1|1;1|4"),
        (
            "SELECT * FROM (SELECT 3 AS x, id FROM a UNION ALL SELECT 2, id FROM c UNION ALL SELECT 1, id FROM a WHERE id > 5) AS q ORDER BY x, id LIMIT 3",
            "1|6;1|7;2|1",
        ),
        (
            "SELECT x, id, row_number() OVER (ORDER BY x, id DESC) AS n FROM (SELECT 2 AS x, id FROM a WHERE id < 3 UNION ALL SELECT 1, id FROM c) AS q ORDER BY n LIMIT 6",
            "1|9|1;1|5|2;1|4|3;1|2|4;1|1|5;2|2|6",
        ),
        (
            "SELECT x, id FROM (SELECT (SELECT max(id) FROM a) AS x, id FROM a UNION ALL SELECT (SELECT min(id) FROM a), id FROM c) AS q ORDER BY x, id DESC LIMIT 2",
            "1|9;1|5",
        ),
        (
            "SELECT id, k FROM a WHERE k < 2 UNION ALL SELECT id, id FROM c ORDER BY k, id",
            "1|1;1|1;2|1;7|1;2|2;4|4;5|5;9|9",
        ),
        (
            "SELECT id, k, rank() OVER (ORDER BY k, id) AS r FROM (SELECT id, k FROM a WHERE k < 2 UNION ALL SELECT id, id FROM c) AS q ORDER BY r",
            "1|1|1;1|1|1;2|1|3;7|1|4;2|2|5;4|4|6;5|5|7;9|9|8",
        ),
    ];
    for (sql, expected) in cases {
        for _ in 0..8 {
            world.rows(sql, expected).await;
        }
    }
}

#[tokio::test]
async fn only_the_keys_of_groups_are_unique() {
    let world = world().await;
    let cases = [
        (
            "SELECT n, id, row_number() OVER (ORDER BY n, id DESC) AS r FROM (SELECT count(b) AS n, id FROM c GROUP BY id) AS q ORDER BY r",
            "0|1|1;1|9|2;1|5|3;1|4|4;1|2|5",
        ),
        (
            "SELECT n, id, rank() OVER (ORDER BY n) AS r FROM (SELECT count(b) AS n, id FROM c GROUP BY id) AS q ORDER BY n, id DESC LIMIT 2",
            "0|1|1;1|9|2",
        ),
        (
            "SELECT n, id FROM (SELECT count(b) AS n, id FROM c GROUP BY id ORDER BY n, id LIMIT 4) AS q ORDER BY n, id DESC",
            "0|1;1|5;1|4;1|2",
        ),
        (
            "SELECT s, n, z FROM (SELECT count(*) AS n, s, count(*) OVER (PARTITION BY count(*)) AS z FROM a GROUP BY s) AS q QUALIFY row_number() OVER (PARTITION BY n ORDER BY z, s DESC) = 1 ORDER BY n",
            "NULL|1|3;z|2|2",
        ),
        (
            "SELECT min(b) OVER (PARTITION BY b) AS m, rank() OVER (PARTITION BY b ORDER BY n) AS r FROM (SELECT count(k) AS b, max(s) AS n FROM a GROUP BY s) AS q ORDER BY b, m, r DESC",
            "1|4;1|3;1|2;1|1;2|1",
        ),
        (
            "SELECT n, k FROM (SELECT k, n FROM (SELECT count(*) AS n, k FROM a GROUP BY k) AS q) AS r ORDER BY n, k DESC",
            "1|NULL;1|3;2|2;3|1",
        ),
        (
            "SELECT m, n, k FROM (SELECT count(b) AS n, count(*) AS m, k, s FROM a GROUP BY k, s) AS q ORDER BY n, m, k DESC, s",
            "1|0|1;1|1|NULL;1|1|3;1|1|2;1|1|2;1|1|1;1|1|1",
        ),
        (
            "SELECT DISTINCT ON (n) n, id FROM (SELECT count(b) AS n, id FROM c GROUP BY id) AS q ORDER BY n, id DESC",
            "0|1;1|9",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn rows_that_were_ordered_and_cut_are_sorted_again() {
    let world = world().await;
    let cases = [
        (
            "SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 5) AS q ORDER BY n, id DESC",
            "0|6;1|7;1|2;1|1;2|4",
        ),
        (
            "SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, id DESC",
            "0|6;1|7;1|2;1|1;2|4;2|3;NULL|5",
        ),
        (
            "SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k FROM a UNION ALL SELECT id + 20, k FROM c) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, id DESC",
            "0|25;0|6;1|29;1|24;1|21;1|7;1|2;1|1;2|22;2|4;2|3;NULL|5",
        ),
        (
            "SELECT n, id FROM (SELECT k AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n DESC LIMIT 20) AS q ORDER BY n DESC, id",
            "NULL|5;3|6;2|3;2|4;1|1;1|2;1|7",
        ),
        (
            "SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20 OFFSET 1) AS q WHERE n > 0 ORDER BY n, id DESC LIMIT 3",
            "1|7;1|2;1|1",
        ),
        (
            "SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, id DESC LIMIT 4",
            "0|6;1|7;1|2;1|1",
        ),
        (
            "SELECT n, id, row_number() OVER (ORDER BY n, id DESC) AS r FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY r",
            "0|6|1;1|7|2;1|2|3;1|1|4;2|4|5;2|3|6;NULL|5|7",
        ),
        (
            "SELECT n, id, row_number() OVER (PARTITION BY n ORDER BY id DESC) AS r FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, r",
            "0|6|1;1|7|1;1|2|2;1|1|3;2|4|1;2|3|2;NULL|5|1",
        ),
        (
            "SELECT n, string_agg(CAST(id AS VARCHAR), ',' ORDER BY id DESC) AS l FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q GROUP BY n ORDER BY n",
            "0|6;1|7,2,1;2|4,3;NULL|5",
        ),
        (
            "SELECT DISTINCT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, id DESC",
            "0|6;1|7;1|2;1|1;2|4;2|3;NULL|5",
        ),
        (
            "SELECT DISTINCT ON (n) n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q ORDER BY n, id DESC",
            "0|6;1|7;2|4;NULL|5",
        ),
        (
            "SELECT q.n, q.id, c.id AS j FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q JOIN c ON c.k = q.n ORDER BY q.n, q.id DESC, j DESC",
            "1|7|9;1|7|4;1|7|1;1|2|9;1|2|4;1|2|1;1|1|9;1|1|4;1|1|1;2|4|2;2|3|2",
        ),
        (
            "WITH q AS (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20), r AS (SELECT n, id FROM q ORDER BY n, id DESC LIMIT 20) SELECT n, id FROM r ORDER BY n, id",
            "0|6;1|1;1|2;1|7;2|3;2|4;NULL|5",
        ),
        (
            "SELECT n, id FROM (SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) AS q UNION ALL SELECT id, k FROM c) AS u ORDER BY n, id DESC",
            "0|6;1|7;1|2;1|1;1|1;2|4;2|3;2|2;4|1;5|9;9|1;NULL|5",
        ),
        (
            "(SELECT k % 3 AS n, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY n LIMIT 20) ORDER BY n, id DESC",
            "0|6;1|7;1|2;1|1;2|4;2|3;NULL|5",
        ),
        (
            "SELECT id FROM a WHERE id IN (SELECT id FROM (SELECT k, id FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY k, id LIMIT 3) AS q) ORDER BY id DESC",
            "7;2;1",
        ),
        (
            "SELECT n, id FROM (SELECT n, id FROM (SELECT k % 3 AS n, id FROM (SELECT id, k FROM a UNION ALL SELECT id + 20, k FROM c) AS g ORDER BY n LIMIT 40) AS q WHERE id > 2 LIMIT 40) AS r ORDER BY n, id DESC",
            "0|25;0|6;1|29;1|24;1|21;1|7;2|22;2|4;2|3;NULL|5",
        ),
        (
            "SELECT m, id FROM (SELECT id, min(k) OVER (PARTITION BY k ORDER BY id) AS m FROM (SELECT id, k, b FROM a GROUP BY id, k, b) AS g ORDER BY m LIMIT 20) AS q ORDER BY m, id DESC",
            "1|7;1|2;1|1;2|4;2|3;3|6;NULL|5",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn nulls_of_an_outer_join_are_not_what_its_side_claims() {
    let world = world().await;
    let cases = [
        (
            "SELECT a.id, c.k FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 ORDER BY c.k DESC, a.id",
            "1|NULL;2|NULL;3|NULL;6|NULL;7|NULL;4|1;5|1",
        ),
        (
            "SELECT a.id, c.k FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 ORDER BY c.k, a.id DESC LIMIT 4",
            "5|1;4|1;7|NULL;6|NULL",
        ),
        (
            "SELECT y, id FROM a LEFT JOIN (SELECT k AS y FROM c WHERE k = 2) AS d ON d.y = a.b ORDER BY y DESC, id LIMIT 2",
            "NULL|1;NULL|2",
        ),
        (
            "SELECT y, id FROM a LEFT JOIN (SELECT 7 AS y, id AS j FROM c) AS d ON d.j = a.b ORDER BY y, id DESC",
            "7|6;7|5;7|4;7|3;NULL|7;NULL|2;NULL|1",
        ),
        (
            "SELECT a.id, row_number() OVER (ORDER BY c.k DESC, a.id) AS r FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 ORDER BY r",
            "1|1;2|2;3|3;6|4;7|5;4|6;5|7",
        ),
        (
            "SELECT a.id, count(*) OVER (PARTITION BY c.k) AS n FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 ORDER BY a.id",
            "1|5;2|5;3|5;4|2;5|2;6|5;7|5",
        ),
        (
            "SELECT c.k, count(*) AS n FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 GROUP BY c.k ORDER BY n",
            "1|2;NULL|5",
        ),
        (
            "SELECT a.id, c.id AS j, c.k FROM c RIGHT JOIN a ON c.id = a.b AND c.k = 1 ORDER BY c.k DESC, a.id DESC LIMIT 5",
            "7|NULL|NULL;6|NULL|NULL;3|NULL|NULL;2|NULL|NULL;1|NULL|NULL",
        ),
        (
            "SELECT x.id, y.id AS j, x.k, y.k AS l FROM (SELECT id, k FROM a WHERE k = 2) AS x FULL JOIN (SELECT id, k FROM c WHERE k = 1) AS y ON x.id = y.id ORDER BY x.k, y.k, x.id, j",
            "4|4|2|1;3|NULL|2|NULL;NULL|1|NULL|1;NULL|9|NULL|1",
        ),
        (
            "SELECT x.id, y.id AS j, x.k, y.k AS l FROM (SELECT id, k FROM a WHERE k = 2) AS x FULL JOIN (SELECT id, k FROM c WHERE k = 1) AS y ON x.id = y.id ORDER BY y.k DESC, x.k, j, x.id",
            "3|NULL|2|NULL;4|4|2|1;NULL|1|NULL|1;NULL|9|NULL|1",
        ),
        (
            "SELECT a.id, d.k FROM a LEFT JOIN (SELECT k, id FROM c WHERE k = 1) AS d ON d.id < a.b ORDER BY d.k DESC, a.id, d.id LIMIT 4",
            "2|NULL;4|NULL;1|1;3|1",
        ),
        (
            "SELECT a.id, d.x, d.y FROM a LEFT JOIN (SELECT k + 1 AS x, id + k AS y, id FROM c WHERE k + 1 = id + k) AS d ON d.id = a.b ORDER BY d.y DESC, a.id",
            "1|NULL|NULL;2|NULL|NULL;3|NULL|NULL;5|NULL|NULL;6|NULL|NULL;7|NULL|NULL;4|2|2",
        ),
        (
            "SELECT u.id, u.k FROM (SELECT a.id, c.k FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1) AS u JOIN a ON a.id = u.id ORDER BY u.k DESC, u.id LIMIT 5",
            "1|NULL;2|NULL;3|NULL;6|NULL;7|NULL",
        ),
        (
            "SELECT a.id, c.k, d.k AS l FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 LEFT JOIN c AS d ON d.id = a.k AND d.k = 2 ORDER BY l DESC, c.k DESC, a.id",
            "1|NULL|NULL;2|NULL|NULL;6|NULL|NULL;7|NULL|NULL;5|1|NULL;3|NULL|2;4|1|2",
        ),
        (
            "SELECT DISTINCT ON (c.k) c.k, a.id FROM a LEFT JOIN c ON c.id = a.b AND c.k = 1 ORDER BY c.k, a.id DESC",
            "1|5;NULL|7",
        ),
        (
            "SELECT id, d.k FROM a LEFT JOIN LATERAL (SELECT c.k FROM c WHERE c.id = a.b AND c.k = 1) AS d ON TRUE ORDER BY d.k DESC, id",
            "1|NULL;2|NULL;3|NULL;6|NULL;7|NULL;4|1;5|1",
        ),
        (
            "SELECT id, (SELECT c.k FROM c WHERE c.id = a.b AND c.k = 1) AS v FROM a ORDER BY v DESC, id",
            "1|NULL;2|NULL;3|NULL;6|NULL;7|NULL;4|1;5|1",
        ),
        (
            "SELECT id, (SELECT min(c.k) FROM c WHERE c.id = a.b AND c.k = 1) AS v, count(*) OVER (PARTITION BY (SELECT min(c.k) FROM c WHERE c.id = a.b AND c.k = 1)) AS n FROM a ORDER BY v DESC, id",
            "1|NULL|5;2|NULL|5;3|NULL|5;6|NULL|5;7|NULL|5;4|1|2;5|1|2",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn keys_that_are_compared_constant_or_equal() {
    let world = world().await;
    let cases = [
        (
            "SELECT id FROM (SELECT id, k, b, CAST(b AS DOUBLE) AS d FROM a GROUP BY id, k, b) AS g ORDER BY d > 2, id",
            "4;6;1;3;5;7;2",
        ),
        (
            "SELECT id FROM (SELECT id, k, b, CAST(b AS DOUBLE) AS d FROM a GROUP BY id, k, b) AS g ORDER BY d >= 3 DESC, id DESC LIMIT 3",
            "2;7;5",
        ),
        (
            "SELECT id FROM (SELECT id, k, b, CAST(b AS DOUBLE) AS d FROM a GROUP BY id, k, b) AS g ORDER BY CASE WHEN d > 2 THEN 1 END, id",
            "1;3;5;7;2;4;6",
        ),
        (
            "SELECT id, rank() OVER (PARTITION BY d > 2 ORDER BY id) AS r FROM (SELECT id, k, b, CAST(b AS DOUBLE) AS d FROM a GROUP BY id, k, b) AS g ORDER BY id",
            "1|1;2|1;3|2;4|1;5|3;6|2;7|4",
        ),
        (
            "SELECT id, rank() OVER (PARTITION BY d < 3 ORDER BY d <= 1, id) AS r FROM (SELECT id, k, b, CAST(b AS DOUBLE) AS d FROM a GROUP BY id, k, b) AS g ORDER BY id",
            "1|1;2|1;3|2;4|2;5|3;6|1;7|4",
        ),
        ("SELECT id FROM (SELECT id, s FROM a GROUP BY id, s) AS g ORDER BY length(s) > 0, id", "6;1;2;4;5;7;3"),
        ("SELECT id FROM (SELECT id, b FROM a GROUP BY id, b) AS g ORDER BY abs(b) > 2, -id", "6;4;7;5;3;1;2"),
        (
            "SELECT id, count(*) OVER (PARTITION BY upper(s) < 'Z') AS n FROM (SELECT id, s FROM a GROUP BY id, s) AS g ORDER BY id",
            "1|4;2|4;3|1;4|2;5|4;6|4;7|2",
        ),
        (
            "SELECT id, d > 2 AS p, count(*) AS n FROM (SELECT id, CAST(b AS DOUBLE) AS d FROM a) AS g GROUP BY id, d > 2 ORDER BY p, id",
            "4|false|1;6|false|1;1|true|1;3|true|1;5|true|1;7|true|1;2|NULL|1",
        ),
        (
            "SELECT x.kind, x.z FROM (SELECT id, 'a' AS kind, b AS z FROM a) AS x JOIN c ON x.id = c.id ORDER BY x.z, x.kind",
            "a|1;a|3;a|4;a|NULL",
        ),
        (
            "SELECT x.z, rank() OVER (ORDER BY x.z, x.kind) AS r FROM (SELECT id, 'a' AS kind, b AS z FROM a) AS x JOIN c ON x.id = c.id ORDER BY r",
            "1|1;3|2;4|3;NULL|4",
        ),
        (
            "SELECT x.kind, c.id FROM (SELECT k, 'a' AS kind FROM a GROUP BY k) AS x JOIN c ON x.k = c.k ORDER BY x.kind, c.id DESC",
            "a|9;a|4;a|2;a|1",
        ),
        (
            "SELECT x, max(x) OVER (PARTITION BY y + 1, x) AS m FROM (SELECT b AS x, b AS y FROM a) AS q ORDER BY x",
            "1|1;2|2;3|3;3|3;4|4;5|5;NULL|NULL",
        ),
        (
            "SELECT z, x, count(*) OVER (PARTITION BY y + 1, x ORDER BY z) AS n FROM (SELECT b AS x, b AS y, id AS z FROM a) AS q ORDER BY z",
            "1|3|1;2|NULL|1;3|5|1;4|1|1;5|4|1;6|2|1;7|3|2",
        ),
        (
            "SELECT a.id, c.id AS j, count(*) OVER (PARTITION BY a.k, c.k) AS n, sum(c.id) OVER (PARTITION BY c.k + 1, a.k ORDER BY c.id, a.id) AS m FROM a JOIN c ON a.k = c.k ORDER BY a.id, j",
            "1|1|9|1;1|4|9|7;1|9|9|24;2|1|9|2;2|4|9|11;2|9|9|33;3|2|2|2;4|2|2|4;7|1|9|3;7|4|9|15;7|9|9|42",
        ),
        (
            "SELECT a.id, rank() OVER (PARTITION BY a.k ORDER BY c.k, c.id) AS r, rank() OVER (PARTITION BY c.k ORDER BY a.k DESC, a.id) AS q FROM a JOIN c ON a.k = c.k ORDER BY a.id, c.id",
            "1|1|1;1|4|1;1|7|1;2|1|4;2|4|4;2|7|4;3|1|1;4|1|2;7|1|7;7|4|7;7|7|7",
        ),
        (
            "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS r, sum(b) OVER (PARTITION BY k ORDER BY id) AS t, count(*) OVER (PARTITION BY k) AS n, row_number() OVER (ORDER BY b, id) AS m FROM a ORDER BY k, id",
            "1|1|3|3|3;2|2|3|3|7;7|3|6|3|4;3|1|5|2|6;4|2|6|2|1;6|1|2|1|2;5|1|4|1|5",
        ),
        (
            "SELECT k, sum(n) AS n FROM (SELECT k, id, count(*) AS n FROM a GROUP BY k, id ORDER BY k LIMIT 9) AS q GROUP BY k ORDER BY k",
            "1|3;2|2;3|1;NULL|1",
        ),
        (
            "SELECT k, string_agg(CAST(id AS VARCHAR), ',' ORDER BY b > 2, id) AS l, sum(id) AS n FROM a GROUP BY k ORDER BY k",
            "1|1,7,2|10;2|4,3|7;3|6|6;NULL|5|5",
        ),
        ("SELECT string_agg(CAST(id AS VARCHAR), ',' ORDER BY length(s) > 0, id DESC) AS l FROM a", "6,7,5,4,2,1,3"),
        (
            "SELECT id, rank() OVER (PARTITION BY abs(b) > 2 ORDER BY id) AS r, count(*) OVER (PARTITION BY abs(b) > 2) AS n, max(id) OVER (ORDER BY abs(b) > 2, id) AS m FROM (SELECT id, b FROM a GROUP BY id, b) AS g ORDER BY abs(b) > 2, id",
            "4|1|2|4;6|2|2|6;1|1|4|6;3|2|4|6;5|3|4|6;7|4|4|7;2|1|1|7",
        ),
        (
            "SELECT max(n) AS n FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY id) AS n, k FROM a) AS q GROUP BY k ORDER BY n",
            "1;1;2;3",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn grouping_sets_make_nulls_of_constants() {
    let world = world().await;
    let cases = [
        ("SELECT k, count(*) OVER (ORDER BY k) AS c FROM a WHERE k = 1 GROUP BY ROLLUP (k) ORDER BY k", "1|1;NULL|2"),
        ("SELECT k, s FROM a WHERE k = 1 GROUP BY ROLLUP (k, s) ORDER BY k, s", "1|x;1|y;1|z;1|NULL;NULL|NULL"),
        ("SELECT id, count(*) AS n FROM a WHERE id = 5 GROUP BY ROLLUP (id) ORDER BY id DESC LIMIT 1", "NULL|1"),
        (
            "SELECT a.k, c.k AS k2, row_number() OVER (ORDER BY a.k, c.k) AS r FROM a JOIN c ON a.k = c.k GROUP BY ROLLUP (a.k, c.k) ORDER BY r",
            "1|1|1;1|NULL|2;2|2|3;2|NULL|4;NULL|NULL|5",
        ),
        (
            "SELECT k, id, count(*) AS n FROM (SELECT 1 AS k, id FROM a) AS q GROUP BY ROLLUP (k, id) ORDER BY k, id",
            "1|1|1;1|2|1;1|3|1;1|4|1;1|5|1;1|6|1;1|7|1;1|NULL|7;NULL|NULL|7",
        ),
        (
            "SELECT k, id, count(*) AS n FROM (SELECT 1 AS k, id FROM a) AS q GROUP BY CUBE (k, id) ORDER BY k DESC, id DESC LIMIT 3",
            "NULL|NULL|7;NULL|7|1;NULL|6|1",
        ),
        ("SELECT a.k, count(*) AS n FROM a JOIN c ON a.k = c.k GROUP BY ROLLUP (a.k) ORDER BY a.k", "1|9;2|2;NULL|11"),
        (
            "SELECT k, s, count(*) AS n FROM (SELECT k, s FROM a GROUP BY k, s) AS q GROUP BY GROUPING SETS ((k), (s), ()) ORDER BY k, s, n",
            "1|NULL|3;2|NULL|2;3|NULL|1;NULL||1;NULL|x|1;NULL|y|2;NULL|z|2;NULL|NULL|1;NULL|NULL|1;NULL|NULL|7",
        ),
        (
            "SELECT k, n, count(*) AS c FROM (SELECT k, count(*) AS n FROM a GROUP BY k) AS q GROUP BY ROLLUP (k, n) ORDER BY k, n, c",
            "1|3|1;1|NULL|1;2|2|1;2|NULL|1;3|1|1;3|NULL|1;NULL|1|1;NULL|NULL|1;NULL|NULL|4",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn keys_that_are_computed_or_idle() {
    let world = world().await;
    let cases = [
        (
            "SELECT id, sum(b) OVER w AS x, sum(coalesce(b, 0)) OVER w AS y FROM a WINDOW w AS (PARTITION BY k + 1) ORDER BY id",
            "1|6|6;2|6|6;3|6|6;4|6|6;5|4|4;6|2|2;7|6|6",
        ),
        (
            "SELECT id, sum(b) OVER (PARTITION BY k % 2 ORDER BY -id) AS x, count(*) FILTER (WHERE b IS NOT NULL OR 1 = 2) OVER (PARTITION BY k % 2 ORDER BY -id) AS y FROM a ORDER BY id",
            "1|8|3;2|5|2;3|6|2;4|1|1;5|4|1;6|5|2;7|3|1",
        ),
        (
            "SELECT id, min(s) OVER (PARTITION BY upper(s)) AS x, max(CASE WHEN 1 = 1 THEN s END) OVER (PARTITION BY upper(s)) AS y, rank() OVER (ORDER BY upper(s), id) AS z FROM a ORDER BY id",
            "1|y|y|3;2|x|x|2;3|NULL|NULL|7;4|z|z|5;5|y|y|4;6|||1;7|z|z|6",
        ),
        (
            "SELECT k + 1 AS j, sum(count(*)) OVER (PARTITION BY k + 1) AS x, sum(coalesce(count(b), 0)) OVER (PARTITION BY k + 1) AS y FROM a GROUP BY k, s ORDER BY j, x, y",
            "2|3|2;2|3|2;2|3|2;3|2|2;3|2|2;4|1|1;NULL|1|1",
        ),
        (
            "SELECT id FROM a QUALIFY row_number() OVER (PARTITION BY k + 1 ORDER BY -id) = 1 AND sum(coalesce(b, 1)) OVER (PARTITION BY k + 1 ORDER BY -id) > 0 ORDER BY id",
            "4;5;6;7",
        ),
        (
            "SELECT id, rank() OVER (PARTITION BY s ORDER BY id) AS x, sum(b) OVER (PARTITION BY k + 1) AS y, sum(coalesce(b, 0)) OVER (PARTITION BY k + 1) AS z, max(id) OVER (ORDER BY k % 2, id) AS v, min(id) OVER (ORDER BY k % 2, id) AS w FROM a ORDER BY id",
            "1|1|6|6|4|1;2|1|6|6|4|1;3|1|6|6|3|3;4|1|6|6|4|3;5|2|4|4|7|1;6|1|2|2|6|1;7|2|6|6|7|1",
        ),
        ("SELECT k, sum(b) * 2 FROM a GROUP BY k ORDER BY 2, 1", "3|4;NULL|8;1|12;2|12"),
        ("SELECT coalesce(sum(b), 0), k FROM a GROUP BY k ORDER BY 1 DESC, 2", "6|1;6|2;4|NULL;2|3"),
        ("SELECT k + 1, upper(max(s)) FROM a GROUP BY k ORDER BY 2, 1", "4|;NULL|Y;2|Z;3|Z"),
        ("SELECT k + 1, count(*) FROM a GROUP BY 1 ORDER BY 1 DESC", "NULL|1;4|1;3|2;2|3"),
        ("SELECT k, rank() OVER (ORDER BY k) FROM a GROUP BY k ORDER BY 2 DESC", "NULL|4;3|3;2|2;1|1"),
        ("SELECT sum(b) - 1 FROM a ORDER BY 1", "17"),
        ("SELECT k + 2 AS n, max(b) AS k FROM a GROUP BY k + 2 ORDER BY -(k + 2)", "5|2;4|5;3|3;NULL|4"),
        ("SELECT -k AS k, count(*) AS n FROM a GROUP BY -k ORDER BY abs(-k - 2), n", "-1|3;-2|2;-3|1;NULL|1"),
        ("SELECT max(b) AS k FROM a GROUP BY a.k + 2 ORDER BY a.k + 2", "3;5;2;4"),
        (
            "SELECT upper(s) || 'x' AS u, min(k) AS s FROM a GROUP BY upper(s) || 'x' ORDER BY substr(upper(s) || 'x', 1, 1) DESC LIMIT 3",
            "NULL|2;x|3;Zx|1",
        ),
        (
            "SELECT coalesce(k % 2, 9) AS g, -sum(b) AS k FROM a GROUP BY coalesce(k % 2, 9) ORDER BY 0 - coalesce(k % 2, 9)",
            "9|-4;1|-8;0|-6",
        ),
        (
            "SELECT max(b) AS k, k + 1 AS j FROM a GROUP BY k + 1 HAVING max(b) > 0 ORDER BY (k + 1) * -1 LIMIT 2",
            "2|4;5|3",
        ),
        (
            "SELECT k, count(b ORDER BY id) AS n, max(b ORDER BY id) AS m FROM a GROUP BY k ORDER BY k",
            "1|2|3;2|2|5;3|1|2;NULL|1|4",
        ),
        (
            "SELECT sum(b ORDER BY s) AS x, min(s ORDER BY id DESC) AS y, count(DISTINCT k ORDER BY k) AS z FROM a",
            "18||3",
        ),
        ("SELECT k, sum(b ORDER BY id) FILTER (WHERE id > 1) AS n FROM a GROUP BY k ORDER BY k", "1|3;2|6;3|2;NULL|4"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn one_name_on_both_sides_and_rows_that_are_made_of_one() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM a WHERE k > ANY (SELECT k FROM a) ORDER BY id", "3;4;6"),
        ("SELECT id FROM a WHERE k >= ALL (SELECT k FROM a WHERE k IS NOT NULL) ORDER BY id", "6"),
        ("SELECT id FROM a WHERE k >= ALL (SELECT k FROM a) ORDER BY id", ""),
        (
            "WITH v AS (SELECT k, count(*) AS n FROM a GROUP BY k) SELECT k FROM v WHERE n >= ALL (SELECT n FROM v) ORDER BY k",
            "1",
        ),
        ("SELECT id FROM a WHERE NOT (k = ANY (SELECT k FROM c)) ORDER BY id", "6"),
        ("SELECT id FROM a WHERE k <> ALL (SELECT k FROM c) ORDER BY id", "6"),
        ("SELECT id FROM a WHERE b < ANY (SELECT k FROM c) OR id = 7 ORDER BY id", "1;3;4;5;6;7"),
        (
            "SELECT id FROM a WHERE CASE WHEN id > 2 THEN id > ANY (SELECT id FROM c) ELSE id >= ALL (SELECT id FROM a) END ORDER BY id",
            "3;4;5;6;7",
        ),
        (
            "SELECT k, count(*) AS n FROM a GROUP BY k HAVING count(*) >= ALL (SELECT count(*) FROM a GROUP BY k) ORDER BY k",
            "1|3",
        ),
        (
            "SELECT a.id, c.id AS j FROM a JOIN c ON a.k = c.k AND a.id > ALL (SELECT id FROM a WHERE id < 3) ORDER BY a.id, j",
            "3|2;4|2;7|1;7|4;7|9",
        ),
        ("SELECT a.id FROM a WHERE a.k > ANY (SELECT a.k FROM c AS a WHERE a.id <> 1) ORDER BY a.id", "3;4;6"),
        ("SELECT id FROM a WHERE k = ANY (SELECT k FROM c WHERE c.id = a.id) ORDER BY id", "1"),
        ("SELECT id FROM a WHERE id > ALL (SELECT id FROM a WHERE id > 99) ORDER BY id LIMIT 2", "1;2"),
        (
            "SELECT DISTINCT k FROM (SELECT k, unnest([1, 2]) AS v FROM (SELECT k FROM a GROUP BY k) AS d) AS x ORDER BY k",
            "1;2;3;NULL",
        ),
        (
            "SELECT k, unnest(l) AS v FROM (SELECT k, array_agg(id ORDER BY id) AS l FROM a GROUP BY k) AS d ORDER BY k, v DESC",
            "1|7;1|2;1|1;2|4;2|3;3|6;NULL|5",
        ),
        (
            "SELECT count(*) FROM a AS x LEFT JOIN (SELECT k, unnest([1, 2]) AS v FROM (SELECT DISTINCT k FROM a) AS d) AS y ON x.k = y.k",
            "13",
        ),
        ("SELECT -max(id) AS k FROM a GROUP BY CUBE (k + 1) ORDER BY k + 1, 1 LIMIT 2", "-7;-4"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}
