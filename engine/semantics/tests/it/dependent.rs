//! Subqueries that look at the row around them and that no single join stands for. Answers are DuckDB's.

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
        ("f", "SELECT id, CAST(x AS DOUBLE) AS x FROM (VALUES (1, '0'), (2, '-0'), (3, 'NaN'), (4, '1.5'), (5, NULL)) AS v(id, x)"),
    ])
    .await
}

async fn each(cases: &[(&str, &str)]) {
    let world = world().await;
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}

/// DataFusion gives all of a subquery one name of a table.
#[tokio::test]
async fn columns_of_one_name_are_told_apart() {
    each(&[
        ("SELECT id, (SELECT count(*) FROM o, t AS d WHERE o.k = t.k AND d.k = t.k) FROM t ORDER BY id", "1|4;2|4;3|2;4|2;5|0;6|0"),
        ("SELECT id, (SELECT max(o.v) FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k AND d.k = t.k) FROM t ORDER BY id", "1|5;2|5;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o, t AS d WHERE o.k = t.k AND d.k = t.id) ORDER BY id", "1;2;3"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM o, t AS d WHERE o.k = t.k AND d.k = t.id) ORDER BY id", "4;5;6"),
        ("SELECT id FROM t WHERE k IN (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE k NOT IN (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id", "3;4;5;6"),
        ("SELECT id, k IN (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) FROM t ORDER BY id", "1|true;2|true;3|false;4|false;5|false;6|false"),
        ("SELECT id FROM t WHERE k > ANY (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id", "3;4"),
        ("SELECT id FROM t WHERE k >= ALL (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) ORDER BY id", "1;2;3;4;5;6"),
        ("SELECT id, (SELECT max(m) FROM (SELECT max(o.v) AS m, d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k GROUP BY d.k) q) FROM t ORDER BY id", "1|5;2|5;3|20;4|20;5|NULL;6|NULL"),
        ("SELECT t.id, l.n FROM t, LATERAL (SELECT count(*) AS n FROM o, t AS d WHERE o.k = t.k AND d.k = t.id) AS l ORDER BY 1", "1|4;2|4;3|1;4|0;5|0;6|0"),
        ("SELECT t.id, l.k FROM t LEFT JOIN LATERAL (SELECT d.k FROM o JOIN t AS d ON o.id = d.id WHERE o.k = t.k) AS l ON TRUE ORDER BY 1, 2", "1|1;1|1;2|1;2|1;3|1;4|1;5|NULL;6|NULL"),
        ("SELECT id, (SELECT max(k) FROM (SELECT id AS k, v FROM o WHERE o.k = t.k) x) FROM t ORDER BY id", "1|2;2|2;3|2;4|2;5|NULL;6|NULL"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o x JOIN o y ON x.id = y.id WHERE x.k + y.k = t.k + t.k) ORDER BY id", "1;2;3;4"),
        ("SELECT k, (SELECT sum(x.v + y.v) FROM o x JOIN o y ON x.id = y.id WHERE x.k = t.k AND y.k = t.k) FROM t GROUP BY k ORDER BY k", "1|10;2|40;3|NULL;NULL|NULL"),
        ("SELECT t.id, o.v FROM t LEFT JOIN o ON o.id = t.id AND EXISTS (SELECT 1 FROM o x, o y WHERE x.k = t.k AND y.k = t.k) ORDER BY 1, 2", "1|NULL;2|5;2|20;3|30;4|NULL;5|NULL;6|NULL"),
    ])
    .await;
}

#[tokio::test]
async fn a_value_is_of_the_rows_that_any_condition_finds() {
    each(&[
        ("SELECT id, (SELECT count(*) FROM o WHERE o.id < t.id) FROM t ORDER BY id", "1|0;2|1;3|3;4|4;5|4;6|4"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k <> t.k) FROM t ORDER BY id", "1|2;2|2;3|3;4|3;5|0;6|4"),
        ("SELECT id, (SELECT sum(o.v) FROM o WHERE o.id = t.id OR o.k = t.k) FROM t ORDER BY id", "1|5;2|25;3|50;4|20;5|NULL;6|NULL"),
        ("SELECT id, (SELECT max(o.v) FROM o WHERE t.id BETWEEN o.id AND o.v) FROM t ORDER BY id", "1|NULL;2|20;3|30;4|30;5|30;6|30"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k IS NOT DISTINCT FROM t.k) FROM t ORDER BY id", "1|2;2|2;3|1;4|1;5|1;6|0"),
        ("SELECT id, (SELECT count(*) FROM o WHERE t.id = 2) FROM t ORDER BY id", "1|0;2|5;3|0;4|0;5|0;6|0"),
        ("SELECT id FROM t WHERE (SELECT count(*) FROM o WHERE o.id < t.id) = 0 ORDER BY id", "1"),
        ("SELECT id, (SELECT t.id + 1) FROM t ORDER BY id", "1|2;2|3;3|4;4|5;5|6;6|7"),
        ("SELECT id, (SELECT max(o.v) + t.id FROM o WHERE o.id = t.id) FROM t ORDER BY id", "1|NULL;2|22;3|33;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT sum(o.v * t.id) FROM o) FROM t ORDER BY id", "1|145;2|290;3|435;4|580;5|725;6|870"),
        ("SELECT id, (SELECT count(*) FILTER (WHERE o.v > t.b) FROM o) FROM t ORDER BY id", "1|4;2|4;3|3;4|0;5|4;6|4"),
        ("SELECT id, EXISTS (SELECT 1 FROM o WHERE o.k < t.k) FROM t ORDER BY id", "1|false;2|false;3|true;4|true;5|false;6|true"),
        ("SELECT id, k IN (SELECT o.k FROM o WHERE o.id <> t.id) FROM t ORDER BY id", "1|true;2|true;3|true;4|true;5|NULL;6|NULL"),
        ("SELECT id, k NOT IN (SELECT o.k FROM o WHERE o.id > t.id) FROM t ORDER BY id", "1|false;2|NULL;3|true;4|true;5|NULL;6|true"),
        ("SELECT id, k > ANY (SELECT o.k FROM o WHERE o.id < t.id) FROM t ORDER BY id", "1|false;2|false;3|true;4|true;5|NULL;6|true"),
        ("SELECT id, k >= ALL (SELECT o.k FROM o WHERE o.id < t.id) FROM t ORDER BY id", "1|true;2|true;3|true;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, k >= ALL (SELECT o.k FROM o) FROM t ORDER BY id", "1|false;2|false;3|false;4|false;5|NULL;6|false"),
        ("SELECT id, b < ALL (SELECT o.id FROM o) FROM t ORDER BY id", "1|false;2|true;3|false;4|NULL;5|false;6|true"),
        ("SELECT id FROM t WHERE EXISTS (SELECT o.k FROM o WHERE o.id <> t.id GROUP BY o.k HAVING count(*) > 1) ORDER BY id", "3;4;5;6"),
        ("SELECT t.id, x.n FROM t, LATERAL (SELECT count(*) AS n FROM o WHERE o.id < t.id) AS x ORDER BY 1", "1|0;2|1;3|3;4|4;5|4;6|4"),
        ("SELECT t.id, x.n FROM t, LATERAL (SELECT o.k + t.k AS n FROM o WHERE o.id = t.id) AS x ORDER BY 1, 2", "1|2;2|2;2|3;3|NULL"),
        ("SELECT t.id, x.k FROM t, LATERAL (SELECT DISTINCT o.k FROM o WHERE o.id < t.id) AS x ORDER BY 1, 2", "2|1;3|1;3|2;4|1;4|2;4|NULL;5|1;5|2;5|NULL;6|1;6|2;6|NULL"),
        ("SELECT k, sum((SELECT count(*) FROM o WHERE o.id < t.id)) FROM t GROUP BY k ORDER BY k", "1|1;2|7;3|4;NULL|4"),
        ("SELECT id, CASE WHEN b <> 0 THEN (SELECT count(*) FROM o WHERE o.id < 10 / t.b) END FROM t ORDER BY id", "1|5;2|NULL;3|1;4|NULL;5|5;6|NULL"),
    ])
    .await;
}

/// DataFusion moves it past windows, outer joins and aggregates.
#[tokio::test]
async fn a_condition_stays_below_what_it_would_change() {
    each(&[
        ("SELECT id, (SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY o.v) AS n FROM o WHERE o.id = t.id)) FROM t ORDER BY id", "1|1;2|2;3|1;4|NULL;5|NULL;6|NULL"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM (SELECT row_number() OVER (ORDER BY o.v) AS n FROM o WHERE o.id = t.id) WHERE n = 2) ORDER BY id", "2"),
        ("SELECT id FROM t WHERE 1 IN (SELECT row_number() OVER (ORDER BY o.v) AS n FROM o WHERE o.id = t.id) ORDER BY id", "1;2;3"),
        ("SELECT t.id, x.n FROM t, LATERAL (SELECT row_number() OVER (ORDER BY o.v) AS n FROM o WHERE o.id = t.id) AS x ORDER BY 1, 2", "1|1;2|1;2|2;3|1"),
        ("SELECT id, (SELECT count(x.id) FROM o AS a LEFT JOIN (SELECT * FROM o WHERE o.id = t.id) AS x ON a.k = x.k) FROM t ORDER BY id", "1|2;2|3;3|0;4|0;5|0;6|0"),
        ("SELECT id FROM t WHERE 5 IN (SELECT count(*) FROM o AS a LEFT JOIN (SELECT * FROM o WHERE o.id = t.id) AS x ON a.k = x.k) ORDER BY id", "1;2;3;4;5;6"),
        ("SELECT id, (SELECT count(*) FROM (SELECT * FROM o WHERE o.k = t.k) AS a FULL JOIN (SELECT * FROM t AS u WHERE u.id <= t.id) AS x ON x.id = a.id) FROM t ORDER BY id", "1|2;2|2;3|3;4|4;5|5;6|6"),
        ("SELECT id, (SELECT sum(o.id) FROM o LEFT JOIN t AS e ON e.k = t.k AND e.id = o.id) FROM t ORDER BY id", "1|17;2|17;3|17;4|17;5|17;6|17"),
        ("SELECT id, (SELECT sum(e.id) FROM o LEFT JOIN t AS e ON e.k = t.k AND e.id = o.id) FROM t ORDER BY id", "1|5;2|5;3|3;4|3;5|NULL;6|NULL"),
        ("SELECT id, (SELECT sum(e.id) FROM o RIGHT JOIN t AS e ON e.k = t.k AND e.id = o.id) FROM t ORDER BY id", "1|23;2|23;3|21;4|21;5|21;6|21"),
        ("SELECT id, (SELECT max(c) FROM (SELECT count(*) AS c FROM o WHERE o.id = t.id)) FROM t ORDER BY id", "1|1;2|2;3|1;4|0;5|0;6|0"),
        ("SELECT id, (SELECT x.c FROM (SELECT count(*) AS c FROM o WHERE o.id = t.id) AS x) FROM t ORDER BY id", "1|1;2|2;3|1;4|0;5|0;6|0"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM (SELECT count(*) AS c FROM o WHERE o.id = t.id) WHERE c = 0) ORDER BY id", "4;5;6"),
        ("SELECT t.id FROM t, LATERAL (SELECT 1 FROM (SELECT count(*) AS c FROM o WHERE o.id = t.id) AS x) AS y ORDER BY 1", "1;2;3;4;5;6"),
        ("SELECT id FROM t WHERE EXISTS (SELECT DISTINCT ON (o.k) o.v FROM o WHERE o.id <= t.id) ORDER BY id", "1;2;3;4;5;6"),
        ("SELECT id, (SELECT sum(v) FROM (SELECT DISTINCT ON (o.id) o.id, o.v FROM o WHERE o.id <= t.id ORDER BY o.id, o.v)) FROM t ORDER BY id", "1|NULL;2|5;3|35;4|35;5|35;6|35"),
    ])
    .await;
}

/// The row around that has NULL finds its own pairs, also where a condition of theirs can fail.
#[tokio::test]
async fn guards_within_keep_the_nulls_of_the_row_around() {
    let rows = "(SELECT * FROM o WHERE o.k IS NOT DISTINCT FROM t.k)";
    let sql = format!(
        "SELECT id, (SELECT count(y.id) FROM {rows} AS x LEFT JOIN {rows} AS y ON x.id = y.id AND 10 / (x.id - y.id + 1) > 1) \
         FROM t ORDER BY id"
    );
    each(&[(&sql, "1|2;2|2;3|1;4|1;5|1;6|0")]).await;
}

#[tokio::test]
async fn set_operations_look_at_the_row_around() {
    each(&[
        ("SELECT id FROM t WHERE EXISTS (SELECT o.id FROM o WHERE o.k = t.k INTERSECT SELECT u.k FROM t AS u WHERE u.id = t.id) ORDER BY id", "1;2;3;4"),
        ("SELECT id FROM t WHERE EXISTS (SELECT o.id FROM o WHERE o.k = t.k EXCEPT SELECT u.id FROM t AS u WHERE u.id < t.id) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT o.id FROM o EXCEPT SELECT o.id FROM o WHERE o.id = t.id) ORDER BY id", ""),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT o.id FROM o WHERE o.k = t.k EXCEPT SELECT o.k FROM o WHERE o.id = t.id) ORDER BY id", "2;5;6"),
        ("SELECT id FROM t WHERE EXISTS (SELECT o.id FROM o WHERE o.k = t.k UNION SELECT u.id FROM t AS u WHERE u.k > t.k) ORDER BY id", "1;2;3;4"),
        ("SELECT id FROM t WHERE id IN (SELECT o.id FROM o WHERE o.k = t.k UNION ALL SELECT u.b FROM t AS u WHERE u.k = t.k) ORDER BY id", "1;2"),
        ("SELECT id FROM t WHERE id NOT IN (SELECT o.id FROM o WHERE o.k = t.k UNION ALL SELECT u.b FROM t AS u WHERE u.k = t.k) ORDER BY id", "5;6"),
        ("SELECT id, id IN (SELECT o.id FROM o WHERE o.k = t.k EXCEPT SELECT 1) FROM t ORDER BY id", "1|false;2|true;3|false;4|false;5|false;6|false"),
        ("SELECT id FROM t WHERE k IN (SELECT o.k FROM o WHERE o.id = t.id INTERSECT SELECT u.k FROM t AS u) ORDER BY id", "1;2"),
        ("SELECT id, (SELECT sum(c) FROM (SELECT o.k AS c FROM o WHERE o.id = t.id UNION ALL SELECT 1)) FROM t ORDER BY id", "1|2;2|4;3|1;4|1;5|1;6|1"),
        ("SELECT id, (SELECT count(*) FROM (SELECT o.k FROM o WHERE o.id <= t.id UNION SELECT u.k FROM t AS u WHERE u.id >= t.id)) FROM t ORDER BY id", "1|4;2|4;3|4;4|4;5|4;6|4"),
        ("SELECT id, (SELECT count(*) FROM (SELECT o.id FROM o WHERE o.k = t.k EXCEPT ALL SELECT u.k FROM t AS u)) FROM t ORDER BY id", "1|0;2|0;3|0;4|0;5|0;6|0"),
    ])
    .await;
}

#[tokio::test]
async fn a_subquery_looks_two_queries_up() {
    each(&[
        ("SELECT id, (SELECT count(*) FROM o WHERE NOT EXISTS (SELECT 1 FROM o AS p WHERE p.id = o.id AND p.k = t.k)) FROM t ORDER BY id", "1|2;2|2;3|3;4|3;5|5;6|5"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.id = (SELECT max(id) FROM t AS u WHERE u.k = t.k)) FROM t ORDER BY id", "1|2;2|2;3|0;4|0;5|0;6|0"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k AND o.id IN (SELECT u.id FROM t AS u WHERE u.id <> t.id)) FROM t ORDER BY id", "1|1;2|1;3|1;4|1;5|0;6|0"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k AND o.id NOT IN (SELECT u.k FROM t AS u WHERE u.id <> t.id)) FROM t ORDER BY id", "1|0;2|0;3|0;4|0;5|0;6|0"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM o WHERE NOT EXISTS (SELECT 1 FROM t AS u WHERE u.id = o.id AND u.k = t.k)) ORDER BY id", ""),
        ("SELECT id, (SELECT max(x.n) FROM (SELECT (SELECT count(*) FROM t AS u WHERE u.id < o.id) AS n FROM o WHERE o.k = t.k) AS x) FROM t ORDER BY id", "1|1;2|1;3|1;4|1;5|NULL;6|NULL"),
        ("SELECT id, (SELECT (SELECT (SELECT t.id + 1))) FROM t ORDER BY id", "1|2;2|3;3|4;4|5;5|6;6|7"),
    ])
    .await;
}

#[tokio::test]
async fn a_subquery_without_rows_by_its_text_has_none() {
    each(&[
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k AND FALSE) FROM t ORDER BY id", "1|0;2|0;3|0;4|0;5|0;6|0"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k AND FALSE GROUP BY o.k) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT max(v) FROM o WHERE o.k = t.k AND 1 = 0 GROUP BY o.k) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT max(v) FROM o WHERE o.k = t.k GROUP BY o.k HAVING FALSE) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k HAVING FALSE) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT count(*) FROM o WHERE o.k = t.k AND NULL GROUP BY o.k) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, (SELECT o.v FROM o WHERE FALSE AND o.k = t.k) FROM t ORDER BY id", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
        ("SELECT id, coalesce((SELECT count(*) FROM o WHERE o.k = t.k AND FALSE GROUP BY o.k), 7) FROM t ORDER BY id", "1|7;2|7;3|7;4|7;5|7;6|7"),
        ("SELECT id FROM t WHERE (SELECT count(*) FROM o WHERE o.k = t.k AND FALSE GROUP BY o.k) IS NULL ORDER BY id", "1;2;3;4;5;6"),
        ("SELECT id, EXISTS (SELECT 1 FROM o WHERE o.k = t.k AND FALSE) FROM t ORDER BY id", "1|false;2|false;3|false;4|false;5|false;6|false"),
        ("SELECT id, k > ALL (SELECT o.k FROM o WHERE o.k = t.k AND FALSE) FROM t ORDER BY id", "1|true;2|true;3|true;4|true;5|true;6|true"),
        ("SELECT id, k NOT IN (SELECT o.k FROM o WHERE o.id = t.id AND FALSE) FROM t ORDER BY id", "1|true;2|true;3|true;4|true;5|true;6|true"),
        ("SELECT t.id, l.n FROM t, LATERAL (SELECT count(*) AS n FROM o WHERE o.k = t.k AND FALSE) AS l ORDER BY 1", "1|0;2|0;3|0;4|0;5|0;6|0"),
        ("SELECT t.id, l.n FROM t, LATERAL (SELECT count(*) AS n FROM o WHERE o.k = t.k AND FALSE GROUP BY o.k) AS l ORDER BY 1", ""),
        ("SELECT t.id, l.v FROM t LEFT JOIN LATERAL (SELECT o.v FROM o WHERE o.k = t.k AND FALSE) AS l ON TRUE ORDER BY 1", "1|NULL;2|NULL;3|NULL;4|NULL;5|NULL;6|NULL"),
    ])
    .await;
}

#[tokio::test]
async fn a_value_without_an_aggregate_is_its_row() {
    each(&[
        (
            // Its rows around may not be read twice.
            "SELECT id, (SELECT count(*) FROM o WHERE o.k = q.k GROUP BY o.k)
             FROM (SELECT id, k, row_number() OVER (ORDER BY b) AS r FROM t) AS q ORDER BY id",
            "1|2;2|2;3|1;4|1;5|NULL;6|NULL",
        ),
        (
            "SELECT id, (SELECT o.v FROM o WHERE o.id = t.id) FROM t WHERE id <> 2 ORDER BY id",
            "1|NULL;3|30;4|NULL;5|NULL;6|NULL",
        ),
        (
            "SELECT id, (SELECT u.b FROM t AS u WHERE u.id = t.id + 1) FROM t ORDER BY id",
            "1|0;2|5;3|NULL;4|1;5|0;6|NULL",
        ),
        (
            "SELECT id, CASE WHEN id <> 2 THEN (SELECT o.v FROM o WHERE o.id = t.id) END FROM t ORDER BY id",
            "1|NULL;2|NULL;3|30;4|NULL;5|NULL;6|NULL",
        ),
        ("SELECT id FROM t WHERE (SELECT o.v FROM o WHERE o.id = t.id AND o.k = t.k) IS NULL ORDER BY id", "1;3;4;5;6"),
        (
            "SELECT id, (SELECT o.v FROM o WHERE o.id = t.id ORDER BY o.v) FROM t WHERE id <> 2 ORDER BY id",
            "1|NULL;3|30;4|NULL;5|NULL;6|NULL",
        ),
    ])
    .await;
    let world = world().await;
    world.fails("SELECT id, (SELECT o.v FROM o WHERE o.id = t.id) FROM t", "more than one row").await;
    world.fails("SELECT id FROM t WHERE (SELECT o.v FROM o WHERE o.id = t.id) = 1", "more than one row").await;
}

#[tokio::test]
async fn order_by_looks_at_what_is_not_selected() {
    each(&[
        ("SELECT id FROM t ORDER BY (SELECT count(*) FROM o WHERE o.k = t.k), id", "5;6;3;4;1;2"),
        ("SELECT id FROM t ORDER BY (SELECT count(*) FROM o WHERE o.k < t.k) DESC, id", "6;3;4;1;2;5"),
        ("SELECT id FROM t ORDER BY EXISTS (SELECT 1 FROM o WHERE o.k = t.k), id", "5;6;1;2;3;4"),
        ("SELECT id FROM t ORDER BY k IN (SELECT o.k FROM o WHERE o.id <> t.b), id", "4;1;2;3;5;6"),
        (
            "SELECT k, count(*) FROM t GROUP BY k ORDER BY (SELECT count(*) FROM o WHERE o.k <= t.k), k",
            "NULL|1;1|2;2|2;3|1",
        ),
    ])
    .await;
}

/// A window beside the subquery, whose rows may come in another order when they are read again.
#[tokio::test]
async fn windows_that_nobody_looks_at_are_not_read_twice() {
    each(&[
        (
            "SELECT id, (SELECT count(*) FROM o WHERE o.id < t.id) AS n, row_number() OVER (ORDER BY id DESC) AS r FROM t ORDER BY id",
            "1|0|6;2|1|5;3|3|4;4|4|3;5|4|2;6|4|1",
        ),
        (
            "SELECT id, (SELECT 7 FROM o WHERE o.k = t.k GROUP BY o.k) AS v, min(b) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS m FROM t ORDER BY id",
            "1|7|NULL;2|7|1;3|7|0;4|7|5;5|NULL|NULL;6|NULL|1",
        ),
        (
            "SELECT id, first_value(b) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS f FROM t QUALIFY (SELECT count(*) FROM o WHERE o.id < t.id) > 2 ORDER BY id",
            "3|0;4|5;5|NULL;6|1",
        ),
    ])
    .await;
}

/// -0.0 equals 0.0, and NaN itself.
#[tokio::test]
async fn floats_find_themselves() {
    each(&[
        ("SELECT id, (SELECT count(*) FROM f AS g WHERE g.x <= f.x) FROM f ORDER BY id", "1|2;2|2;3|4;4|3;5|0"),
        ("SELECT id, (SELECT count(*) FROM f AS g WHERE g.x <> f.x) FROM f ORDER BY id", "1|2;2|2;3|3;4|3;5|0"),
        ("SELECT id, (SELECT count(*) FROM f AS g, f AS h WHERE g.x = f.x AND h.x = f.x) FROM f ORDER BY id", "1|4;2|4;3|1;4|1;5|0"),
        ("SELECT id FROM f WHERE NOT EXISTS (SELECT 1 FROM f AS g, f AS h WHERE g.x = f.x AND h.x = f.x) ORDER BY id", "5"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_still_refused_says_what_to_write() {
    let world = world().await;
    for (sql, words) in [
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o WHERE o.id = t.id OFFSET 1)", "below LIMIT or OFFSET"),
        ("SELECT id FROM t WHERE EXISTS (SELECT k FROM o WHERE o.id = t.id GROUP BY ROLLUP (k))", "below ROLLUP"),
        (
            "SELECT id, (SELECT count(*) FROM o WHERE o.id < t.id) FROM (SELECT id FROM t LIMIT 3) AS t",
            "not the same when they are read twice",
        ),
        (
            "SELECT id, (SELECT count(*) FROM o WHERE o.id < t.r) FROM (SELECT id, random() AS r FROM t) AS t",
            "not the same when they are read twice",
        ),
        (
            "SELECT s, (SELECT count(*) FROM o WHERE o.id < u.s) FROM (SELECT sum(x) AS s FROM f GROUP BY id) AS u",
            "not the same when they are read twice",
        ),
        (
            "SELECT DISTINCT id FROM t ORDER BY (SELECT count(*) FROM o WHERE o.k = t.k)",
            "which the query does not select",
        ),
        ("SELECT id AS k FROM t ORDER BY (SELECT count(*) FROM o WHERE o.k = t.k)", "which the query does not select"),
    ] {
        world.fails(sql, words).await;
    }
    let chain = |n: usize| {
        let link = |i: usize| match i {
            0 => " CROSS JOIN LATERAL (SELECT id + t.id AS x FROM o WHERE o.k < t.id) AS l0".to_owned(),
            _ => format!(" CROSS JOIN LATERAL (SELECT id + l{p}.x AS x FROM o WHERE o.k < l{p}.x) AS l{i}", p = i - 1),
        };
        format!("SELECT count(*) FROM t{}", (0..n).map(link).collect::<String>())
    };
    world.rows(&chain(4), "448").await;
    world.fails(&chain(40), "too many subqueries that look at one another").await;
}
