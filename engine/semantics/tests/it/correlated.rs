//! Subqueries that look at the row around them and become a join by that. Answers are DuckDB's.
//!
//! Not here: those that no single join stands for (`dependent`).

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
async fn a_group_without_rows_has_its_row() {
    let world = world().await;
    let cases = [
        (
            "SELECT id, k IN (SELECT max(o.k) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|true;2|false;3|NULL;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT id, k NOT IN (SELECT max(o.k) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|false;2|true;3|NULL;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT id, k = ANY (SELECT max(o.k) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|true;2|false;3|NULL;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT id, k > ALL (SELECT max(o.k) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|false;2|false;3|NULL;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT id, k < ANY (SELECT count(*) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|false;2|true;3|false;4|false;5|NULL;6|false",
        ),
        ("SELECT id FROM t WHERE k NOT IN (SELECT max(o.k) FROM o WHERE o.id = t.id) ORDER BY id", "2"),
        ("SELECT id FROM t WHERE b IN (SELECT count(*) FROM o WHERE o.id = t.id) ORDER BY id", "1;6"),
        ("SELECT id FROM t WHERE b NOT IN (SELECT count(*) FROM o WHERE o.id = t.id) ORDER BY id", "2;3;5"),
        (
            "SELECT id, b IN (SELECT count(*) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|true;2|false;3|false;4|NULL;5|false;6|true",
        ),
        (
            "SELECT id, b IN (SELECT count(*) + 1 FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|false;2|false;3|false;4|NULL;5|true;6|false",
        ),
        (
            "SELECT id, k IN (SELECT count(*) FROM o WHERE o.id = t.id) OR id = 5 FROM t ORDER BY id",
            "1|true;2|false;3|false;4|false;5|true;6|false",
        ),
        ("SELECT id FROM t WHERE b >= ALL (SELECT count(*) FROM o WHERE o.id = t.id) ORDER BY id", "1;3;5;6"),
        ("SELECT id FROM t WHERE EXISTS (SELECT max(o.k) FROM o WHERE o.id = t.id) ORDER BY id", "1;2;3;4;5;6"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT max(o.k) FROM o WHERE o.id = t.id) ORDER BY id", ""),
        (
            "SELECT id, EXISTS (SELECT count(*) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|true;2|true;3|true;4|true;5|true;6|true",
        ),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT count(*) FROM o WHERE o.id = t.id HAVING count(*) = 0) ORDER BY id",
            "4;5;6",
        ),
        (
            "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM o WHERE o.id = t.id HAVING max(o.v) > 10) ORDER BY id",
            "1;4;5;6",
        ),
        (
            "SELECT id, EXISTS (SELECT 1 FROM o WHERE o.id = t.id HAVING count(*) > 1) FROM t ORDER BY id",
            "1|false;2|true;3|false;4|false;5|false;6|false",
        ),
        (
            "SELECT id, b IN (SELECT count(*) FROM o WHERE o.id = t.id HAVING count(*) = 0) FROM t ORDER BY id",
            "1|false;2|false;3|false;4|NULL;5|false;6|true",
        ),
        (
            "SELECT id, b NOT IN (SELECT max(o.k) FROM o WHERE o.id = t.id HAVING count(*) > 0) FROM t ORDER BY id",
            "1|false;2|true;3|NULL;4|true;5|true;6|true",
        ),
        (
            "SELECT id, b < ALL (SELECT max(o.v) FROM o WHERE o.id = t.id HAVING count(*) > 0) FROM t ORDER BY id",
            "1|NULL;2|true;3|true;4|true;5|true;6|true",
        ),
        (
            "SELECT id, (SELECT 5 FROM o WHERE o.id = t.id HAVING count(*) = 0) FROM t ORDER BY id",
            "1|NULL;2|NULL;3|NULL;4|5;5|5;6|5",
        ),
        (
            "SELECT id, (SELECT count(*) FROM o WHERE o.id = t.id HAVING count(*) <> 1) FROM t ORDER BY id",
            "1|NULL;2|2;3|NULL;4|0;5|0;6|0",
        ),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.id = t.id) FROM t ORDER BY id", "1|1;2|2;3|1;4|0;5|0;6|0"),
        ("SELECT id, (SELECT count(*) + 1 FROM o WHERE o.id = t.id) FROM t ORDER BY id", "1|2;2|3;3|2;4|1;5|1;6|1"),
        (
            "SELECT id, (SELECT count(*) + coalesce(sum(o.v), 5) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|6;2|27;3|31;4|5;5|5;6|5",
        ),
        (
            "SELECT id, (SELECT regr_count(o.v, o.k) FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|0;2|2;3|0;4|0;5|0;6|0",
        ),
        (
            "SELECT id, (SELECT CASE WHEN count(*) = 0 THEN 'none' ELSE 'some' END FROM o WHERE o.id = t.id) FROM t ORDER BY id",
            "1|some;2|some;3|some;4|none;5|none;6|none",
        ),
        ("SELECT id FROM t WHERE (SELECT count(*) + 1 FROM o WHERE o.id = t.id) = 1 ORDER BY id", "4;5;6"),
        ("SELECT id FROM t WHERE (SELECT count(*) FROM o WHERE o.id = t.id) = 0 OR id = 2 ORDER BY id", "2;4;5;6"),
        (
            "SELECT t.id, x.n FROM t CROSS JOIN LATERAL (SELECT count(*) + 1 AS n FROM o WHERE o.id = t.id) AS x ORDER BY 1",
            "1|2;2|3;3|2;4|1;5|1;6|1",
        ),
        (
            "SELECT t.id, x.n FROM t LEFT JOIN LATERAL (SELECT count(*) AS n FROM o WHERE o.id = t.id) AS x ON x.n > 0 ORDER BY 1",
            "1|1;2|2;3|1;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT t.id, x.v FROM t LEFT JOIN LATERAL (SELECT o.v FROM o WHERE o.id = t.id) AS x ON TRUE ORDER BY 1, 2 NULLS LAST",
            "1|NULL;2|5;2|20;3|30;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT t.id, x.k FROM t CROSS JOIN LATERAL (SELECT DISTINCT o.k FROM o WHERE o.id = t.id) AS x ORDER BY 1, 2 NULLS LAST",
            "1|1;2|1;2|2;3|NULL",
        ),
        (
            "SELECT t.id, x.k, x.c FROM t CROSS JOIN LATERAL (SELECT o.k, count(*) AS c FROM o WHERE o.id = t.id GROUP BY o.k) AS x ORDER BY 1, 2 NULLS LAST",
            "1|1|1;2|1|1;2|2|1;3|NULL|1",
        ),
        (
            "SELECT id, k IN (SELECT max(o.k) FROM o WHERE o.id = t.id GROUP BY o.v) FROM t ORDER BY id",
            "1|true;2|true;3|NULL;4|false;5|false;6|false",
        ),
        ("SELECT id FROM t WHERE EXISTS (SELECT DISTINCT o.k FROM o WHERE o.id < t.id) ORDER BY id", "2;3;4;5;6"),
        (
            "SELECT id, (SELECT count(*) FROM (SELECT DISTINCT o.k, o.id FROM o WHERE o.id = t.id)) FROM t ORDER BY id",
            "1|1;2|2;3|1;4|0;5|0;6|0",
        ),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o AS a LEFT JOIN o AS x ON a.k = x.k WHERE a.id = t.id) ORDER BY id",
            "1;2;3",
        ),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o WHERE o.k = t.k GROUP BY o.k HAVING count(*) > 1) ORDER BY id",
            "1;2",
        ),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
    let both = "SELECT id FROM t WHERE EXISTS (SELECT o.id FROM o WHERE o.id = t.id INTERSECT SELECT u.k FROM t AS u)";
    world.rows(&format!("{both} ORDER BY id"), "1;2;3").await;
    let within = "SELECT k, sum((SELECT count(*) + 1 FROM o WHERE o.id = t.id)) FROM t GROUP BY k ORDER BY k";
    world.rows(within, "1|5;2|3;3|1;NULL|1").await;
    let on = "SELECT t.id, o.v FROM t JOIN o ON o.id = t.id AND t.b IN (SELECT count(*) FROM o AS p WHERE p.id = t.id)";
    world.rows(on, "1|NULL").await;
}

#[tokio::test]
async fn a_subquery_without_rows_is_null_whatever_its_column_is() {
    let world = world().await;
    let per_id = "(SELECT count(*) FROM o WHERE o.id = t.id GROUP BY o.id)";
    let none = "(SELECT count(*) FROM o HAVING count(*) > 100)";
    world.rows(&format!("SELECT id, coalesce({per_id}, 0) FROM t ORDER BY id"), "1|1;2|2;3|1;4|0;5|0;6|0").await;
    world.rows(&format!("SELECT id FROM t WHERE {per_id} IS NULL ORDER BY id"), "4;5;6").await;
    world.rows(&format!("SELECT id FROM t WHERE coalesce({per_id}, 0) = 0 ORDER BY id"), "4;5;6").await;
    world
        .rows(
            &format!("SELECT id, CASE WHEN {per_id} IS NOT NULL THEN 'some' ELSE 'none' END FROM t ORDER BY id"),
            "1|some;2|some;3|some;4|none;5|none;6|none",
        )
        .await;
    world.rows("SELECT (SELECT 1 FROM o WHERE v = -100) IS NULL", "true").await;
    world.rows(&format!("SELECT {none}"), "NULL").await;
    world.rows(&format!("SELECT id FROM t WHERE b > coalesce({none}, 0) ORDER BY id"), "1;3;5").await;
    world
        .rows(&format!("SELECT k, sum(b) FROM t GROUP BY k HAVING {none} IS NULL ORDER BY k"), "1|1;2|5;3|0;NULL|1")
        .await;
    world.rows(&format!("SELECT t.id FROM t JOIN o ON o.id = t.id AND {none} IS NULL ORDER BY 1"), "1;2;2;3").await;
}

#[tokio::test]
async fn columns_of_one_name_are_not_taken_for_each_other() {
    let world = world().await;
    let joined = "FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k";
    world.rows(&format!("SELECT id FROM t WHERE EXISTS (SELECT * {joined}) ORDER BY id"), "1;2;3;4").await;
    world.rows(&format!("SELECT id FROM t WHERE NOT EXISTS (SELECT d.k, o.k {joined}) ORDER BY id"), "5;6").await;
    world
        .rows(&format!("SELECT id, (SELECT max(d.b) {joined}) FROM t ORDER BY id"), "1|1;2|1;3|0;4|0;5|NULL;6|NULL")
        .await;
    world
        .rows(
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o, (SELECT k AS dk FROM t) AS d WHERE o.k = t.k AND d.dk = t.id) ORDER BY id",
            "1;2;3",
        )
        .await;
}

#[tokio::test]
async fn an_item_may_be_called_like_what_correlates_the_subquery() {
    let world = world().await;
    let cases = [
        (
            "SELECT id FROM t WHERE k IN (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id",
            "1;2",
        ),
        (
            "SELECT id, k IN (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) FROM t ORDER BY id",
            "1|true;2|true;3|false;4|false;5|false;6|false",
        ),
        (
            "SELECT id FROM t WHERE k > ANY (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id",
            "3;4",
        ),
        ("SELECT id FROM t WHERE b IN (SELECT max(o.id) AS k FROM o WHERE o.k = t.k GROUP BY k) ORDER BY id", ""),
        ("SELECT id FROM t WHERE id IN (SELECT max(id) AS k FROM o WHERE o.k = t.k GROUP BY k) ORDER BY id", "2"),
        ("SELECT id FROM t WHERE id = (SELECT max(id) AS k FROM o WHERE o.k = t.k GROUP BY k) ORDER BY id", "2"),
        ("SELECT id FROM t WHERE id NOT IN (SELECT id + 1 AS k FROM o WHERE o.k = t.k) ORDER BY id", "1;4;5;6"),
        ("SELECT id FROM t WHERE k IN (SELECT count(*) AS k FROM o WHERE o.k = t.k) ORDER BY id", ""),
        ("SELECT id, (SELECT count(*) AS k FROM o WHERE o.k = t.k) AS k FROM t ORDER BY id", "1|2;2|2;3|1;4|1;5|0;6|0"),
        (
            "SELECT id, (SELECT max(v) AS k FROM o WHERE o.k = t.k GROUP BY o.k) AS n FROM t ORDER BY id",
            "1|5;2|5;3|20;4|20;5|NULL;6|NULL",
        ),
        ("SELECT id FROM t WHERE id = ANY (SELECT DISTINCT id AS k FROM o WHERE o.k = t.k) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE id IN (SELECT id AS k FROM o WHERE o.k = t.k) ORDER BY id", "1;2"),
        (
            "SELECT id FROM t WHERE id IN (SELECT max(id) AS k FROM o WHERE o.k = t.k GROUP BY k HAVING count(*) > 1) ORDER BY id",
            "2",
        ),
        ("SELECT id FROM t WHERE EXISTS (SELECT max(v) AS k FROM o WHERE o.k = t.k GROUP BY v) ORDER BY id", "1;2;3;4"),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}
