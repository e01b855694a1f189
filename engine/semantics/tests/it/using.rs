//! FULL and RIGHT JOIN with USING. The right answers are DuckDB's (2.0), which follows the standard.

use crate::engine::Engine;

async fn engine() -> Engine {
    Engine::with(&[
        "CREATE TABLE l AS SELECT * FROM (VALUES (1, 'l1'), (2, 'l2'), (CAST(NULL AS INT), 'l0')) AS v(k, x)",
        "CREATE TABLE r AS SELECT * FROM (VALUES (2, 'r2'), (3, 'r3'), (CAST(NULL AS INT), 'r0')) AS v(k, y)",
        "CREATE TABLE c AS SELECT * FROM (VALUES (3, 'c3'), (4, 'c4')) AS v(k, z)",
        "CREATE TABLE m AS SELECT * FROM (VALUES (1, 1, 'a'), (1, 2, 'b')) AS v(k, j, x)",
        "CREATE TABLE n AS SELECT * FROM (VALUES (1, 2, 'c'), (2, 2, 'd')) AS v(k, j, y)",
        "CREATE TABLE keys AS SELECT * FROM (VALUES (2), (5)) AS v(k)",
    ])
    .await
}

#[tokio::test]
async fn the_key_is_one_column() {
    let engine = engine().await;
    let queries = [
        ("SELECT * FROM l FULL JOIN r USING (k)", "1|l1|NULL 2|l2|r2 3|NULL|r3 NULL|NULL|r0 NULL|l0|NULL"),
        ("SELECT * FROM l RIGHT JOIN r USING (k)", "2|l2|r2 3|NULL|r3 NULL|NULL|r0"),
        ("SELECT k FROM l FULL JOIN r USING (k)", "1 2 3 NULL NULL"),
        ("SELECT k, x, y FROM l FULL JOIN r USING (k) WHERE k > 1", "2|l2|r2 3|NULL|r3"),
        ("SELECT k, count(*) FROM l FULL JOIN r USING (k) GROUP BY k", "1|1 2|1 3|1 NULL|2"),
        ("SELECT k + 1 AS n, max(y) FROM l FULL JOIN r USING (k) GROUP BY k + 1 HAVING max(k) > 1", "3|r2 4|r3"),
        ("SELECT max(k) FROM l FULL JOIN r USING (k)", "3"),
        (
            "SELECT l.k AS a, r.k AS b, k FROM l FULL JOIN r USING (k)",
            "1|NULL|1 2|2|2 NULL|3|3 NULL|NULL|NULL NULL|NULL|NULL",
        ),
        (
            "SELECT * FROM l FULL JOIN r USING (k) FULL JOIN c USING (k)",
            "1|l1|NULL|NULL 2|l2|r2|NULL 3|NULL|r3|c3 4|NULL|NULL|c4 NULL|NULL|r0|NULL NULL|l0|NULL|NULL",
        ),
        ("SELECT * FROM l JOIN r USING (k) FULL JOIN c USING (k)", "2|l2|r2|NULL 3|NULL|NULL|c3 4|NULL|NULL|c4"),
        ("SELECT * FROM l FULL JOIN r USING (k) JOIN c USING (k)", "3|NULL|r3|c3"),
        ("SELECT * FROM l RIGHT JOIN r USING (k) LEFT JOIN c USING (k)", "2|l2|r2|NULL 3|NULL|r3|c3 NULL|NULL|r0|NULL"),
        (
            "SELECT * FROM c RIGHT JOIN (l FULL JOIN r USING (k)) USING (k)",
            "1|NULL|l1|NULL 2|NULL|l2|r2 3|c3|NULL|r3 NULL|NULL|NULL|r0 NULL|NULL|l0|NULL",
        ),
        ("SELECT * FROM m FULL JOIN n USING (k, j)", "1|1|a|NULL 1|2|b|c 2|2|NULL|d"),
        ("SELECT * FROM m RIGHT JOIN n USING (j)", "1|2|b|1|c 1|2|b|2|d"),
        ("SELECT * FROM l FULL JOIN keys USING (k)", "1|l1 2|l2 5|NULL NULL|l0"),
        ("SELECT * FROM keys FULL JOIN l USING (k)", "1|l1 2|l2 5|NULL NULL|l0"),
        ("SELECT * EXCLUDE (k) FROM l RIGHT JOIN r USING (k)", "NULL|r0 NULL|r3 l2|r2"),
        ("SELECT k FROM l AS a FULL JOIN (SELECT k AS k FROM r) AS b USING (K)", "1 2 3 NULL NULL"),
        (
            "SELECT k, c.z FROM l FULL JOIN r USING (k) LEFT JOIN c AS c ON c.k = l.k + 2",
            "1|c3 2|c4 3|NULL NULL|NULL NULL|NULL",
        ),
        ("SELECT a.* FROM l AS a FULL JOIN r AS b USING (k)", "1|l1 2|l2 NULL|NULL NULL|NULL NULL|l0"),
        (
            "SELECT k, row_number() OVER (ORDER BY k DESC NULLS LAST, x) AS n FROM l FULL JOIN r USING (k) QUALIFY n < 3",
            "2|2 3|1",
        ),
        ("SELECT k FROM l FULL JOIN r USING (k) WHERE k IN (SELECT k FROM c)", "3"),
        ("WITH w AS (SELECT * FROM l FULL JOIN r USING (k)) SELECT k FROM w WHERE y = 'r3'", "3"),
        ("SELECT DISTINCT k IS NULL FROM l FULL JOIN r USING (k)", "false true"),
    ];
    for (sql, wanted) in queries {
        assert_eq!(engine.sorted(sql).await, wanted, "{sql}");
    }
    let ordered = engine.rows("SELECT k, y FROM l FULL JOIN r USING (k) WHERE x IS NULL ORDER BY k").await;
    assert_eq!(ordered, ["3|r3", "NULL|r0"]);
    let ordered = engine.rows("SELECT y FROM l FULL JOIN r USING (k) WHERE x IS NULL ORDER BY k").await;
    assert_eq!(ordered, ["r3", "r0"]);
    let ordered = engine.rows("SELECT * FROM l RIGHT JOIN r USING (k) ORDER BY k DESC NULLS LAST").await;
    assert_eq!(ordered, ["3|NULL|r3", "2|l2|r2", "NULL|NULL|r0"]);
}

#[tokio::test]
async fn other_joins_were_right() {
    let engine = engine().await;
    let queries = [
        ("SELECT * FROM l JOIN r USING (k)", "2|l2|r2"),
        ("SELECT * FROM l LEFT JOIN r USING (k)", "1|l1|NULL 2|l2|r2 NULL|l0|NULL"),
        ("SELECT k FROM l LEFT JOIN r USING (k) LEFT JOIN c USING (k)", "1 2 NULL"),
        ("SELECT * FROM l JOIN r USING (k) LEFT JOIN c USING (k) ORDER BY k", "2|l2|r2|NULL"),
        ("SELECT * FROM l NATURAL JOIN r", "2|l2|r2"),
        ("SELECT * FROM l NATURAL LEFT JOIN r", "1|l1|NULL 2|l2|r2 NULL|l0|NULL"),
    ];
    for (sql, wanted) in queries {
        assert_eq!(engine.sorted(sql).await, wanted, "{sql}");
    }
}
