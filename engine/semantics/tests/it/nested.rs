//! Subqueries over the same table, that look outside from within others, and that find nothing. Answers are DuckDB's.

use crate::claims::world;

#[tokio::test]
async fn a_membership_in_the_same_table() {
    let world = world().await;
    let cases = [
        (
            "SELECT id, k IN (SELECT k FROM a WHERE k > 1) AS v FROM a ORDER BY id",
            "1|false;2|false;3|true;4|true;5|NULL;6|true;7|false",
        ),
        (
            "SELECT id, k NOT IN (SELECT k FROM a WHERE k > 2) AS v FROM a ORDER BY id",
            "1|true;2|true;3|true;4|true;5|NULL;6|false;7|true",
        ),
        (
            "SELECT id, k = ANY (SELECT k FROM a WHERE id > 3) AS v, k <> ALL (SELECT k FROM a WHERE id > 3) AS w FROM a ORDER BY id",
            "1|true|false;2|true|false;3|true|false;4|true|false;5|NULL|NULL;6|true|false;7|true|false",
        ),
        (
            "SELECT id FROM a WHERE k IN (SELECT k FROM a WHERE b > 4) OR k IN (SELECT k FROM a WHERE id = 6) ORDER BY id",
            "3;4;6",
        ),
        ("SELECT a.id FROM a WHERE a.k = ANY (SELECT a.k FROM c AS a WHERE a.k > 1) ORDER BY a.id", "3;4"),
        ("SELECT id FROM a WHERE (k IN (SELECT k FROM a WHERE id = 3)) IS NOT TRUE ORDER BY id", "1;2;5;6;7"),
        (
            "SELECT id, CASE WHEN k IN (SELECT k FROM a WHERE id < 3) THEN 'in' ELSE 'out' END AS v FROM a ORDER BY id",
            "1|in;2|in;3|out;4|out;5|out;6|out;7|in",
        ),
        (
            "SELECT k, count(*) AS n FROM a GROUP BY k HAVING k IN (SELECT k FROM a WHERE b = 5) OR count(*) = 3 ORDER BY k",
            "1|3;2|2",
        ),
        (
            "SELECT id, k + 0 IN (SELECT k FROM a WHERE id = 6) AS v, id IN (SELECT k FROM a) AS w, k IN (SELECT id FROM a) AS x FROM a ORDER BY id",
            "1|false|true|true;2|false|true|true;3|false|true|true;4|false|NULL|true;5|NULL|NULL|NULL;6|true|NULL|true;7|false|NULL|true",
        ),
        (
            "SELECT id, sum(id) FILTER (WHERE k IN (SELECT k FROM a WHERE id > 5)) OVER (ORDER BY id) AS v FROM a ORDER BY id",
            "1|1;2|3;3|3;4|3;5|3;6|9;7|16",
        ),
        (
            "SELECT a.id, c.id AS j FROM a LEFT JOIN c ON a.k = c.k AND a.k IN (SELECT k FROM a WHERE id > 2) ORDER BY a.id, j",
            "1|1;1|4;1|9;2|1;2|4;2|9;3|2;4|2;5|NULL;6|NULL;7|1;7|4;7|9",
        ),
        ("SELECT id FROM a ORDER BY k IN (SELECT k FROM a WHERE id > 5), id", "3;4;1;2;6;7;5"),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn a_question_that_looks_outside_from_within() {
    let world = world().await;
    let cases = [
        (
            "SELECT x.id, EXISTS (SELECT 1 FROM a AS y WHERE NOT EXISTS (SELECT 1 FROM c AS z WHERE z.k = x.k AND z.id = y.id)) AS v FROM a AS x ORDER BY x.id",
            "1|true;2|true;3|true;4|true;5|true;6|true;7|true",
        ),
        (
            "SELECT x.id, EXISTS (SELECT 1 FROM a AS y WHERE EXISTS (SELECT 1 FROM c AS z WHERE z.k = x.k)) AS v FROM a AS x ORDER BY x.id",
            "1|true;2|true;3|true;4|true;5|false;6|false;7|true",
        ),
        (
            "SELECT x.id FROM a AS x WHERE x.b > ALL (SELECT y.b FROM a AS y WHERE y.id IN (SELECT z.id FROM c AS z WHERE z.k = x.k)) ORDER BY x.id",
            "5;6",
        ),
        (
            "SELECT x.id FROM a AS x WHERE x.b IN (SELECT y.b FROM a AS y WHERE y.k IN (SELECT z.k FROM c AS z WHERE z.k = x.k)) OR x.id = 5 ORDER BY x.id",
            "1;3;4;5;7",
        ),
        (
            "SELECT x.id, x.b NOT IN (SELECT y.b FROM a AS y WHERE y.b IS NOT NULL AND y.k IN (SELECT z.k FROM c AS z WHERE z.k <> x.k)) AS v FROM a AS x ORDER BY x.id",
            "1|true;2|NULL;3|true;4|true;5|true;6|true;7|true",
        ),
        (
            "SELECT x.id, (SELECT count(*) FROM a AS y WHERE EXISTS (SELECT 1 FROM c AS z WHERE z.k = x.k)) AS v FROM a AS x ORDER BY x.id",
            "1|7;2|7;3|7;4|7;5|0;6|0;7|7",
        ),
        (
            "SELECT a.id FROM a JOIN c ON a.id = c.id AND (SELECT min(x.k) FROM c AS x WHERE x.id = a.id) IN (SELECT k FROM a) WHERE (SELECT max(x.k) FROM c AS x WHERE x.id = a.id) IN (SELECT k FROM c) ORDER BY 1",
            "1;2;4",
        ),
        (
            "SELECT id FROM a WHERE (SELECT max(c.id) FROM c WHERE c.k = a.k) > ANY (SELECT id FROM a) ORDER BY id",
            "1;2;3;4;7",
        ),
        (
            "SELECT id, (SELECT max(c.id) FROM c WHERE c.k = a.k) >= ALL (SELECT id FROM a WHERE id < 6) AS v FROM a ORDER BY id",
            "1|true;2|true;3|false;4|false;5|NULL;6|NULL;7|true",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn a_subquery_sees_coerced_columns() {
    let world = world().await;
    let cases = [
        (
            "SELECT q.w, (SELECT q.w / 2) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q ORDER BY 1, 2",
            "0.5|0.25;1.0|0.5;1.0|0.5;1.0|0.5;1.0|0.5;1.5|0.75;1.5|0.75;2.0|1.0;2.0|1.0;2.0|1.0;2.5|1.25;3.0|1.5;NULL|NULL;NULL|NULL",
        ),
        (
            "SELECT q.w FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q WHERE EXISTS (SELECT 1 FROM c WHERE q.w * 2 = c.k) ORDER BY 1",
            "0.5;1.0;1.0;1.0;1.0",
        ),
        (
            "SELECT q.w, (SELECT max(c.id + q.w) FROM c) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q ORDER BY 1",
            "0.5|9.5;1.0|10.0;1.0|10.0;1.0|10.0;1.0|10.0;1.5|10.5;1.5|10.5;2.0|11.0;2.0|11.0;2.0|11.0;2.5|11.5;3.0|12.0;NULL|NULL;NULL|NULL",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM c WHERE q.w > c.k) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q ORDER BY 1",
            "0.5|0;1.0|0;1.0|0;1.0|0;1.0|0;1.5|3;1.5|3;2.0|3;2.0|3;2.0|3;2.5|4;3.0|4;NULL|0;NULL|0",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM c WHERE q.w > c.k) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(id AS BIGINT) FROM a) AS q ORDER BY 1",
            "1|0;1|0;1|0;1|0;2|3;2|3;2|3;3|4;3|4;4|4;5|4;6|4;7|4;NULL|0",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM c WHERE q.w = c.k) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT 1.5) AS q ORDER BY 1",
            "1.0|3;1.0|3;1.0|3;1.5|0;2.0|1;2.0|1;3.0|0;NULL|0",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM c WHERE q.w > c.k) AS v FROM (VALUES (1), (2.5), (3e0)) AS q(w) ORDER BY 1",
            "1.0|0;2.5|4;3.0|4",
        ),
        (
            "SELECT q.w, (SELECT q.w / 2) AS v FROM (SELECT id, CASE WHEN id > 5 THEN k ELSE CAST(b AS DOUBLE) END AS w FROM a) AS q ORDER BY q.id",
            "3.0|1.5;NULL|NULL;5.0|2.5;1.0|0.5;4.0|2.0;3.0|1.5;1.0|0.5",
        ),
        (
            "SELECT q.w, l.x FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q, LATERAL (SELECT max(c.id + q.w) AS x FROM c) AS l ORDER BY 1",
            "0.5|9.5;1.0|10.0;1.0|10.0;1.0|10.0;1.0|10.0;1.5|10.5;1.5|10.5;2.0|11.0;2.0|11.0;2.0|11.0;2.5|11.5;3.0|12.0;NULL|NULL;NULL|NULL",
        ),
        (
            "SELECT q.w FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q WHERE q.w / 2 IN (SELECT c.k / 4.0e0 AS z FROM c WHERE c.k >= q.w) ORDER BY 1",
            "0.5;1.0;1.0;1.0;1.0",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM a AS y WHERE EXISTS (SELECT 1 FROM c WHERE c.k > q.w / 2 AND c.id = y.id)) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q ORDER BY 1",
            "0.5|4;1.0|4;1.0|4;1.0|4;1.0|4;1.5|4;1.5|4;2.0|2;2.0|2;2.0|2;2.5|2;3.0|2;NULL|0;NULL|0",
        ),
        (
            "SELECT q.w, (SELECT sum(z) FROM (SELECT q.w / 2 AS z FROM c UNION ALL SELECT 1) AS u) AS v FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q ORDER BY 1",
            "0.5|2.25;1.0|3.5;1.0|3.5;1.0|3.5;1.0|3.5;1.5|4.75;1.5|4.75;2.0|6.0;2.0|6.0;2.0|6.0;2.5|7.25;3.0|8.5;NULL|1.0;NULL|1.0",
        ),
        (
            "SELECT w, count(*) AS n FROM (SELECT k AS w FROM a UNION ALL SELECT CAST(b AS DOUBLE) / 2 FROM a) AS q GROUP BY w HAVING EXISTS (SELECT 1 FROM c WHERE c.k / 2.0e0 = w / 2) ORDER BY 1",
            "1.0|4;2.0|3",
        ),
        (
            "SELECT q.w, (SELECT q.w / 2) AS v FROM (SELECT k AS w FROM a INTERSECT SELECT CAST(id AS DOUBLE) FROM c) AS q ORDER BY 1",
            "1.0|0.5;2.0|1.0",
        ),
        (
            "SELECT q.w, (SELECT q.w / 4) AS v FROM (SELECT max(k) AS w FROM a UNION ALL SELECT min(CAST(b AS DOUBLE)) / 2 FROM a) AS q ORDER BY 1",
            "0.5|0.125;3.0|0.75",
        ),
        (
            "SELECT q.w, (SELECT count(*) FROM c WHERE c.k < q.w / 2) AS v FROM (SELECT coalesce(k, CAST(b AS DOUBLE) / 4) AS w FROM a) AS q ORDER BY 1",
            "1.0|0;1.0|0;1.0|0;1.0|0;2.0|0;2.0|0;3.0|3",
        ),
        (
            "SELECT x.w, (SELECT (SELECT x.w / 2)) AS v FROM (SELECT q.w FROM (SELECT k AS w FROM a UNION SELECT 2.5e0) AS q) AS x ORDER BY 1",
            "1.0|0.5;2.0|1.0;2.5|1.25;3.0|1.5;NULL|NULL",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}

#[tokio::test]
async fn a_subquery_without_rows_is_null_further_up() {
    let world = world().await;
    let cases = [
        (
            "SELECT x IS NULL, coalesce(x, 0) FROM (SELECT (SELECT count(*) FROM c WHERE id = 99 GROUP BY k) AS x) AS q",
            "true|0",
        ),
        ("SELECT x FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x) AS q WHERE x IS NULL", "NULL"),
        (
            "WITH q AS (SELECT id, (SELECT 1 FROM e WHERE id > 9) AS x FROM a) SELECT count(*) FROM q WHERE x IS NULL",
            "7",
        ),
        (
            "SELECT coalesce(x, -1) AS x FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x UNION ALL SELECT 2) AS q ORDER BY x",
            "-1;2",
        ),
        (
            "SELECT coalesce(x, -1) AS x FROM (SELECT 2 AS x UNION SELECT (SELECT 1 FROM e WHERE id > 9)) AS q ORDER BY x",
            "-1;2",
        ),
        ("SELECT x IS NULL AS x FROM (SELECT DISTINCT (SELECT 1 FROM e WHERE id > 9) AS x FROM a) AS q", "true"),
        (
            "SELECT x IS NULL AS y, count(*) AS n FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x FROM a) AS q GROUP BY x",
            "true|7",
        ),
        (
            "SELECT max(x) IS NULL AS y FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x FROM a) AS q HAVING max(x) IS NULL",
            "true",
        ),
        (
            "SELECT a.id FROM a JOIN (SELECT (SELECT 1 FROM e WHERE id > 9) AS x) AS q ON q.x IS NULL WHERE a.id < 3 ORDER BY a.id",
            "1;2",
        ),
        (
            "SELECT id, coalesce(lag(x) OVER (ORDER BY id), 7) AS y FROM (SELECT id, (SELECT 1 FROM e WHERE id > 9) AS x FROM c) AS q ORDER BY id LIMIT 2",
            "1|7;2|7",
        ),
        ("SELECT x + 1 IS NULL AS y FROM (SELECT 1 + (SELECT 1 FROM e WHERE id > 9) AS x) AS q", "true"),
        (
            "SELECT y IS NULL AS z FROM (SELECT CASE WHEN x > 0 THEN x ELSE x END AS y FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x) AS q) AS r",
            "true",
        ),
        (
            "SELECT x IS NULL AS y FROM (SELECT (SELECT count(*) FROM c WHERE c.k = a.k HAVING count(*) > 5) AS x FROM a) AS q GROUP BY 1",
            "true",
        ),
        (
            "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x) AS q WHERE q.x IS NOT NULL) AND id < 3 ORDER BY id",
            "1;2",
        ),
        (
            "SELECT id, (SELECT count(*) FROM c WHERE q.x IS NULL AND c.id = q.id) AS n FROM (SELECT id, (SELECT 1 FROM e WHERE id > 9) AS x FROM c) AS q ORDER BY id",
            "1|1;2|1;4|1;5|1;9|1",
        ),
        (
            "SELECT id FROM (SELECT id, (SELECT 1 FROM e WHERE id > 9) AS x FROM c) AS q WHERE x NOT IN (SELECT 1) OR x IS NULL ORDER BY id LIMIT 2",
            "1;2",
        ),
        (
            "SELECT count(*) FROM (SELECT 1 AS x EXCEPT SELECT (SELECT 1 FROM e WHERE id > 9)) AS q WHERE x IS NOT NULL",
            "1",
        ),
        (
            "SELECT x IS NULL AS y FROM (SELECT * FROM (SELECT (SELECT 1 FROM e WHERE id > 9) AS x) AS q ORDER BY x LIMIT 1) AS r",
            "true",
        ),
    ];
    for (sql, expected) in cases {
        world.rows(sql, expected).await;
    }
}
