//! Items of one name where nobody calls them. Answers are DuckDB's.

use crate::world::*;

async fn world() -> World {
    World::new(&[
        ("t", "SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) AS v(id, n)"),
        ("u", "SELECT * FROM (VALUES (1, 5), (2, NULL)) AS v(id, k)"),
    ])
    .await
}

#[tokio::test]
async fn what_nobody_calls_may_have_the_name_of_another() {
    let world = world().await;
    let cases = [
        ("SELECT n FROM (SELECT id, * FROM t) AS x ORDER BY n", "10;20;30"),
        ("SELECT n FROM (SELECT id, * FROM t) ORDER BY n", "10;20;30"),
        ("SELECT id FROM (SELECT id, * FROM t) AS x ORDER BY id", "1;2;3"),
        ("SELECT x.n FROM (SELECT t.*, id FROM t) AS x ORDER BY 1", "10;20;30"),
        ("SELECT * FROM (SELECT id, * FROM t) AS x ORDER BY 3", "1|1|10;2|2|20;3|3|30"),
        ("SELECT * FROM (SELECT *, n AS id FROM t) AS x ORDER BY n", "1|10|10;2|20|20;3|30|30"),
        ("SELECT count(*) FROM (SELECT id, n AS id FROM t) AS x", "3"),
        ("SELECT n FROM (SELECT id, n AS id, n FROM t) AS x ORDER BY n DESC", "30;20;10"),
        ("SELECT count(*) FROM (SELECT 1 AS a, 2 AS a) AS x", "1"),
        ("SELECT * FROM (SELECT count(*), count(*), sum(n) FROM t) AS x", "3|3|60"),
        ("SELECT 1 FROM (SELECT sum(n), sum(n) FROM t) AS x", "1"),
        ("WITH x AS (SELECT id, * FROM t) SELECT n FROM x ORDER BY n", "10;20;30"),
        ("WITH x AS (SELECT id, id FROM t) SELECT count(*) FROM x", "3"),
        ("WITH x(a, b, c) AS (SELECT id, * FROM t) SELECT b, c FROM x ORDER BY 1", "1|10;2|20;3|30"),
        ("WITH x(a, b, c) AS (SELECT id, id, n FROM t) SELECT a, b, c FROM x ORDER BY 1", "1|1|10;2|2|20;3|3|30"),
        ("SELECT a, b FROM (SELECT id, id FROM t) AS x(a, b) ORDER BY 1", "1|1;2|2;3|3"),
        ("SELECT count(*) FROM (SELECT id, * FROM t UNION ALL SELECT n, * FROM t) AS x", "6"),
        (
            "SELECT * FROM (SELECT id, id FROM t UNION ALL SELECT n, id FROM t) AS x ORDER BY 1, 2",
            "1|1;2|2;3|3;10|1;20|2;30|3",
        ),
        ("SELECT count(*) FROM (SELECT n, n FROM t EXCEPT SELECT n, n FROM t WHERE n > 10) AS x", "1"),
        ("SELECT id FROM t WHERE EXISTS (SELECT id, * FROM t) ORDER BY id", "1;2;3"),
        ("SELECT id FROM t WHERE EXISTS (SELECT id, id FROM u WHERE u.id = t.id) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE EXISTS (SELECT u.id, u.* FROM u WHERE u.id = t.id) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE n IN (SELECT n FROM (SELECT n, * FROM t WHERE n > 10) AS x) ORDER BY id", "2;3"),
        ("SELECT id, n AS id FROM t ORDER BY 1", "1|10;2|20;3|30"),
        ("SELECT 1 AS a, 2 AS a", "1|2"),
        ("SELECT k, m FROM (SELECT id AS k, n AS k2, n AS m, n AS k2 FROM t) AS x ORDER BY 1", "1|10;2|20;3|30"),
        ("SELECT n FROM (SELECT *, row_number() OVER (ORDER BY id) AS id FROM t) AS x ORDER BY n", "10;20;30"),
        ("SELECT n FROM (SELECT n, sum(id) AS id, max(id) AS id FROM t GROUP BY n) AS x ORDER BY n", "10;20;30"),
        ("SELECT k FROM (SELECT t.id, u.id, u.k, t.n AS id FROM t JOIN u ON t.id = u.id) AS x ORDER BY k", "5;NULL"),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}

#[tokio::test]
async fn a_name_that_stands_twice_cannot_be_called() {
    let world = world().await;
    for sql in [
        "SELECT id FROM (SELECT id, n AS id FROM t) AS x",
        "SELECT n FROM (SELECT id, n AS id, n FROM t) AS x ORDER BY id",
        "SELECT n FROM (SELECT *, n AS id FROM t ORDER BY id LIMIT 1) AS x",
        "SELECT x.n FROM (SELECT id, n AS id, n FROM t) AS x JOIN u ON x.id = u.id",
        "SELECT a FROM (SELECT 1 AS a, 2 AS a) AS x",
    ] {
        world.fails(sql, "Ambiguous reference to unqualified field").await;
    }
    world.fails("SELECT * EXCLUDE (id) FROM (SELECT id, n AS id, n FROM t) AS x", "ambiguous").await;
    world.fails("SELECT x.n FROM (SELECT id, n AS id, n FROM t) AS x JOIN u USING (id)", "Ambiguous").await;
}
