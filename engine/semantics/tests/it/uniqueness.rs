//! What is unique on one side of a join, and not in the join. Answers are DuckDB's.

use crate::world::*;

async fn world() -> World {
    World::new(&[
        (
            "t",
            "SELECT * FROM (VALUES (1, 1, 1), (2, 1, 0), (3, 2, 5), (4, 2, NULL), (5, NULL, 1), (6, 3, 0)) AS v(id, k, b)",
        ),
        (
            "o",
            "SELECT * FROM (VALUES (1, 1, NULL), (2, 2, 20), (3, NULL, 30), (9, 9, 90), (2, 1, 5)) AS v(id, k, v)",
        ),
    ])
    .await
}

#[tokio::test]
async fn a_key_of_one_side_is_none_of_the_groups_above() {
    let world = world().await;
    let cases = [
        (
            "SELECT DISTINCT k FROM (SELECT DISTINCT o.id, d.k FROM o CROSS JOIN (SELECT DISTINCT k FROM t) AS d) AS q ORDER BY k",
            "1;2;3;NULL",
        ),
        (
            "SELECT DISTINCT k FROM (SELECT DISTINCT o.id, d.k FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k) AS q ORDER BY k",
            "1;2",
        ),
        (
            "SELECT DISTINCT k FROM (SELECT o.id, d.k FROM o JOIN (SELECT k, max(b) AS m FROM t GROUP BY k) AS d ON o.k = d.k GROUP BY o.id, d.k) AS q ORDER BY k",
            "1;2",
        ),
        (
            "SELECT count(*) FROM (SELECT DISTINCT k FROM (SELECT DISTINCT o.id, d.k FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k) AS q) AS r",
            "2",
        ),
        (
            "SELECT k, count(*) FROM (SELECT o.id, d.k FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k GROUP BY o.id, d.k) AS q GROUP BY k, id ORDER BY k, id",
            "1|1;1|1;2|1",
        ),
        (
            "SELECT k, id FROM (SELECT o.id, d.k FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k GROUP BY o.id, d.k) AS q ORDER BY k, id DESC",
            "1|2;1|1;2|2",
        ),
        (
            "SELECT t.id FROM t LEFT JOIN (SELECT o.id, d.k FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k GROUP BY o.id, d.k) AS q ON t.k = q.k ORDER BY t.id",
            "1;1;2;2;3;4;5;6",
        ),
        (
            "SELECT t.id FROM t LEFT JOIN (SELECT DISTINCT o.id, d.k FROM o, (SELECT k, count(*) AS n FROM t GROUP BY k) AS d) AS q ON t.k = q.k WHERE t.id < 2 ORDER BY t.id",
            "1;1;1;1",
        ),
        (
            "SELECT DISTINCT m FROM (SELECT DISTINCT o.v, d.m FROM o JOIN (SELECT m, count(*) AS n FROM (SELECT max(b) AS m FROM t GROUP BY k) AS e GROUP BY m) AS d ON o.k >= d.m) AS q ORDER BY m",
            "0;1;5",
        ),
        (
            "SELECT DISTINCT k FROM (SELECT k, id FROM o INTERSECT SELECT d.k, o.id FROM o JOIN (SELECT DISTINCT k FROM t) AS d ON o.k = d.k) AS q ORDER BY k",
            "1;2",
        ),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}

/// Of keys for which NULL equals NULL. Worked out by hand.
#[tokio::test]
async fn guards_of_a_join_keep_its_nulls() {
    let world = world().await;
    world
        .rows(
            "SELECT t.id, o.id FROM t LEFT JOIN o ON (t.k IS NOT DISTINCT FROM o.k) AND t.b <> 0 AND 10 / t.b > 1 ORDER BY 1, 2",
            "1|1;1|2;2|NULL;3|2;4|NULL;5|3;6|NULL",
        )
        .await;
    world
        .rows(
            "SELECT t.id, o.id FROM t LEFT JOIN o ON (t.k IS NOT DISTINCT FROM o.k) AND 10 / (o.id - 9) < t.id ORDER BY 1, 2",
            "1|1;1|2;2|1;2|2;3|2;4|2;5|3;6|NULL",
        )
        .await;
}
