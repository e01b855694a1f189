//! Rows that a condition excludes raise nothing, wherever the optimizer would like to evaluate them.

use crate::world::World;

async fn world() -> World {
    let t = "SELECT * FROM (VALUES (1, 0, 'x', 1, 10), (2, 5, '7', 2, 20), (3, 2, '8', 3, 30), (4, NULL, NULL, 4, 40)) v(id, b, s, c, e)";
    let u = "SELECT * FROM (VALUES (2, 5), (3, 2), (4, 1)) v(k, y)";
    World::new(&[("t", t), ("u", u)]).await
}

#[tokio::test]
async fn where_guards_its_conditions() {
    let w = world().await;
    w.rows("SELECT id FROM t WHERE b <> 0 AND 10 / b > 2", "3").await;
    w.rows("SELECT id FROM t WHERE 10 / b > 2 AND b <> 0", "3").await;
    w.rows("SELECT id FROM t WHERE b = 0 OR 10 / b > 2 ORDER BY id", "1;3").await;
    w.rows("SELECT id FROM t WHERE NOT (b = 0 OR 10 / b > 2)", "2").await;
    w.rows("SELECT id FROM t WHERE s <> 'x' AND CAST(s AS INT) > 7", "3").await;
    w.rows("SELECT id FROM t WHERE s <> 'x' AND CAST(s AS INT) <> 7 AND 10 / (CAST(s AS INT) - 7) > 1", "3").await;
    w.rows("SELECT id FROM t WHERE CASE WHEN b <> 0 THEN 10 / b > 2 ELSE FALSE END", "3").await;
    w.rows("SELECT id FROM t WHERE coalesce(b = 0, TRUE) OR 10 / b > 2 ORDER BY id", "1;3;4").await;
    w.rows("SELECT id FROM t WHERE b <> 0 AND 10 / b > (SELECT min(y) FROM u)", "2;3").await;
    w.rows("SELECT id FROM t WHERE b <> 0 AND 10 / b IN (SELECT y FROM u)", "2;3").await;
    w.rows("SELECT id FROM t WHERE id > 1 AND id < 9 AND (c = 2 OR (b <> 0 AND 10 / b > 2)) ORDER BY id", "2;3").await;
    w.fails("SELECT id FROM t WHERE 10 / b > 2", "divides by zero").await;
}

#[tokio::test]
async fn a_guard_below_holds() {
    let w = world().await;
    w.rows("SELECT id FROM (SELECT * FROM t WHERE b <> 0) q WHERE 10 / b > 2", "3").await;
    w.rows("SELECT q FROM (SELECT 10 / b AS q FROM t WHERE b <> 0) v WHERE q > 2", "5").await;
    w.rows(
        "SELECT q, e FROM (SELECT id, b, 10 / b AS q, c + e AS e FROM t WHERE b <> 0) v WHERE q > 2 AND e > 1",
        "5|33",
    )
    .await;
    w.rows(
        "SELECT id FROM (SELECT id, b + 1 AS b1, b FROM t WHERE b <> 0 AND b IS NOT NULL) q WHERE 10 / (b1 - 1) > 2",
        "3",
    )
    .await;
    w.rows("WITH q AS (SELECT * FROM t WHERE s <> 'x'), r AS (SELECT id, CAST(s AS INT) AS n FROM q) SELECT id FROM r WHERE n > 7", "3").await;
    w.rows("SELECT b, 10 / b + c + e AS f FROM t WHERE b <> 0 ORDER BY b", "2|38;5|24").await;
    w.rows("SELECT 10 / b AS f FROM (SELECT * FROM t ORDER BY b DESC NULLS LAST LIMIT 2) q ORDER BY f", "2;5").await;
    w.rows("SELECT f, b FROM (SELECT 10 / b AS f, b, c, e FROM t WHERE b <> 0) q ORDER BY f LIMIT 1", "2|5").await;
    w.rows(
        "SELECT k, n FROM (SELECT 10 / b AS k, count(*) AS n FROM t WHERE b <> 0 GROUP BY 10 / b) q WHERE k > 2",
        "5|1",
    )
    .await;
    w.rows("SELECT id FROM t WHERE b <> 0 AND id IN (SELECT k FROM u WHERE y <> 1 AND 10 / (y - 1) > 5)", "3").await;
    w.rows("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.id AND y <> 1 AND 10 / (y - 1) > 5)", "3")
        .await;
    w.rows(
        "SELECT id, (SELECT sum(10 / (y - 1)) FROM u WHERE u.k = t.id AND y <> 1) AS z FROM t ORDER BY id",
        "1|NULL;2|2;3|10;4|NULL",
    )
    .await;
    w.rows("SELECT id FROM t WHERE id IN (SELECT k + 0 FROM u WHERE y > 1) ORDER BY id", "2;3").await;
    w.rows(
        "SELECT q FROM (SELECT 10 / b AS q FROM t WHERE b <> 0 UNION ALL SELECT y FROM u) v WHERE q > 2 ORDER BY q",
        "5;5",
    )
    .await;
    w.rows(
        "SELECT id FROM (SELECT id, b, row_number() OVER (ORDER BY id) AS r FROM t) q WHERE r > 1 AND 10 / b > 2",
        "3",
    )
    .await;
}

#[tokio::test]
async fn joins_exclude_rows_before_anything_is_computed_of_them() {
    let w = world().await;
    w.rows("SELECT t.id FROM t JOIN u ON t.id = u.k WHERE 10 / t.b > 2", "3").await;
    w.rows("SELECT t.id FROM t, u WHERE t.id = u.k AND 10 / t.b > 2", "3").await;
    w.rows("SELECT t.id FROM t JOIN u ON t.id = u.k AND 10 / t.b > 2", "3").await;
    w.rows(
        "SELECT t.id, u.y FROM t LEFT JOIN u ON t.id = u.k AND t.b <> 0 AND 10 / t.b > 2 ORDER BY 1",
        "1|NULL;2|NULL;3|2;4|NULL",
    )
    .await;
    w.rows("SELECT q.f FROM (SELECT id, 10 / b AS f FROM t WHERE b <> 0) q JOIN u ON q.id = u.k WHERE q.f > 2", "5")
        .await;
    w.rows("SELECT t.id FROM t JOIN u ON t.id + 1 = u.k + 1 ORDER BY 1", "2;3;4").await;
    w.rows("SELECT t.id FROM t, u WHERE t.id + 1 = u.k + 1 AND t.b <> 0 ORDER BY 1", "2;3").await;
}

#[tokio::test]
async fn case_and_coalesce_are_lazy() {
    let w = world().await;
    w.rows("SELECT CASE WHEN b = 0 THEN 0 ELSE 10 / b END FROM t ORDER BY id", "0;2;5;NULL").await;
    w.rows(
        "SELECT CASE WHEN b = 0 THEN -1 ELSE 10 / b END, CASE WHEN b = 0 THEN -2 ELSE 10 / b END FROM t ORDER BY id",
        "-1|-2;2|2;5|5;NULL|NULL",
    )
    .await;
    w.rows("SELECT CASE b WHEN 0 THEN 0 ELSE 10 / b END FROM t ORDER BY id", "0;2;5;NULL").await;
    w.rows(
        "SELECT coalesce(nullif(s, 'x'), 'y'), coalesce(CASE WHEN b = 0 THEN 1 END, 10 / b) FROM t ORDER BY id",
        "y|1;7|2;8|5;y|NULL",
    )
    .await;
    w.rows(
        "SELECT b = 0 OR 10 / b > 2, b <> 0 AND 10 / b > 2 FROM t ORDER BY id",
        "true|false;false|false;true|true;NULL|NULL",
    )
    .await;
    let of_several =
        "SELECT b + 1 = 1 OR 10 / b > 2 OR b * 2 = 4, b + 1 <> 1 AND 10 / b > 2 AND b * 2 = 4 FROM t ORDER BY id";
    w.rows(of_several, "true|false;false|false;true|true;NULL|NULL").await;
    w.rows("SELECT id FROM t WHERE b + 1 = 1 OR 10 / b > 2 ORDER BY id", "1;3").await;
    w.rows("SELECT CASE WHEN b <> 0 THEN 10 / b > 2 END FROM t ORDER BY id", "NULL;false;true;NULL").await;
    w.rows("SELECT CASE WHEN id > 0 THEN 1 ELSE 1 / 0 END FROM t WHERE id = 1", "1").await;
}

#[tokio::test]
async fn aggregates_and_having_guard() {
    let w = world().await;
    w.rows("SELECT sum(10 / b) FILTER (WHERE b <> 0), max(10 / b) FILTER (WHERE b <> 0), count(10 / b) FILTER (WHERE b <> 0) FROM t", "7|5|2").await;
    w.rows("SELECT c % 2, sum(10 / b) FILTER (WHERE b <> 0) FROM t GROUP BY c % 2 ORDER BY 1", "0|2;1|5").await;
    w.rows("SELECT c, min(b) FROM t GROUP BY c HAVING min(b) <> 0 AND 10 / min(b) > 2", "3|2").await;
    w.rows("SELECT sum(CASE WHEN b <> 0 THEN 10 / b ELSE 0 END) FROM t", "7").await;
}

#[tokio::test]
async fn what_can_fail_stands_anywhere() {
    let w = world().await;
    w.rows(
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT max(n), sum(n) FROM r",
        "5|15",
    )
    .await;
    w.rows("SELECT id, row_number() OVER (ORDER BY 10 / b) AS r FROM t WHERE b <> 0 ORDER BY id", "2|1;3|2").await;
    w.rows("SELECT id FROM t WHERE b <> 0 QUALIFY row_number() OVER (ORDER BY id + 1) = 1", "2").await;
    w.rows("SELECT DISTINCT 10 / b FROM t WHERE b <> 0 ORDER BY 1", "2;5").await;
    w.rows("SELECT 10 / b FROM t WHERE b <> 0 EXCEPT SELECT y FROM u", "").await;
    w.rows(
        "SELECT v.x FROM (SELECT unnest(make_array(b, 1)) AS x FROM t WHERE b <> 0) v WHERE 10 / v.x > 4 ORDER BY x",
        "1;1;2",
    )
    .await;
    w.rows("SELECT id FROM t WHERE b <> 0 AND 10 / b > 1 ORDER BY 10 / b LIMIT 1", "2").await;
    w.rows("SELECT a.id FROM t a WHERE a.b <> 0 AND 10 / a.b = (SELECT max(k) + 1 FROM u WHERE u.y = a.b)", "").await;
    w.rows("SELECT count(*) FROM t CROSS JOIN u WHERE t.b <> 0 AND 10 / t.b > u.y", "3").await;
    w.rows("SELECT c, count(*) FILTER (WHERE b <> 0 AND 10 / b > 2) FROM t GROUP BY c ORDER BY c", "1|0;2|0;3|1;4|0")
        .await;
}

#[tokio::test]
async fn a_filter_of_a_window_function_guards_its_argument() {
    let w = World::new(&[("f", "SELECT * FROM (VALUES (0), (2), (5)) v(x)")]).await;
    w.rows("SELECT x, sum(10 / x) FILTER (WHERE x <> 0) OVER (ORDER BY x) AS s FROM f ORDER BY x", "0|NULL;2|5;5|7")
        .await;
    w.rows(
        "SELECT x, max(10 / x) FILTER (WHERE x <> 0) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s,
            count(10 / x) FILTER (WHERE x <> 0) OVER () AS c FROM f ORDER BY x",
        "0|NULL|2;2|5|2;5|5|2",
    )
    .await;
    w.fails("SELECT sum(10 / x) FILTER (WHERE x >= 0) OVER () FROM f", "divides by zero").await;
}

/// Memory that does not exist is an error of the statement, and not the end of the process.
#[tokio::test]
async fn sizes_that_an_argument_asks_for_are_bounded() {
    let w = World::new(&[("s", "SELECT * FROM (VALUES (1, 9223372036854775807), (2, 3)) v(k, n)")]).await;
    for call in [
        "lpad('a', n)",
        "rpad('a', n, 'xy')",
        "repeat('ab', n)",
        "array_repeat(1, n)",
        "array_resize(make_array(1), n)",
        "range(0, n)",
        "range(n)",
        "generate_series(1, n)",
        "generate_series(TIMESTAMP '1900-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', INTERVAL '1 microsecond')",
    ] {
        w.fails(&format!("SELECT {call} FROM s"), "larger than").await;
    }
    let few = "SELECT lpad('a', n), rpad('a', n, 'xy'), repeat('ab', n), array_repeat(1, n), range(0, n), range(n, 0) FROM s WHERE k = 2";
    w.rows(few, "  a|axy|ababab|[1, 1, 1]|[0, 1, 2]|[]").await;
    w.rows("SELECT k FROM s WHERE k = 2 AND repeat('ab', n) = 'ababab'", "2").await;
    w.rows("SELECT cardinality(generate_series(DATE '2024-01-01', DATE '2024-12-31', INTERVAL '1 day'))", "366").await;
    w.rows("SELECT cardinality(range(5, 1, -1)), lpad('a', -5), repeat('a', -1)", "4||").await;
    let below = "SELECT lpad('a', k - n), rpad('a', k - n, 'x'), lpad('a', -1, CAST(k AS VARCHAR)) FROM s WHERE k = 2";
    w.rows(below, "||").await;
}

#[tokio::test]
async fn what_conditions_exclude_reaches_no_function_that_fails() {
    let w = World::new(&[("s", "SELECT * FROM (VALUES (0, '('), (1, 'a')) v(n, p)")]).await;
    w.rows("SELECT n FROM s WHERE n > 0 AND substr('abc', 1, n - 1) = ''", "1").await;
    w.rows("SELECT n FROM s WHERE n > 0 AND split_part('a,b', ',', n) = 'a'", "1").await;
    w.rows("SELECT n FROM s WHERE p <> '(' AND 'a' ~ p", "1").await;
    w.rows("SELECT n FROM s WHERE n > 0 AND cardinality(range(0, 4, n)) = 4", "1").await;
    w.fails("SELECT split_part('a,b', ',', n) FROM s", "no position zero").await;
}

/// Conditions over a and o that hold for these pairs, and the rows of a that each excludes are those that would fail.
const GUARDED: &[(&str, &[(i64, i64)])] = &[
    ("a.b <> 0 AND 10 / a.b < o.id", &[(2, 5), (2, 7), (3, 7)]),
    ("10 / a.b < o.id AND a.b <> 0", &[(2, 5), (2, 7), (3, 7)]),
    ("a.b <> 0 AND 10 / a.b = o.id", &[(2, 2), (3, 5)]),
    ("a.b <> 0 AND o.id <> 2 AND o.id = 10 / a.b", &[(3, 5)]),
    ("a.b <> 0 AND 10 / a.b = o.id + 0", &[(2, 2), (3, 5)]),
    ("a.b <> 0 AND 10 / a.b IS NOT DISTINCT FROM o.id", &[(2, 2), (3, 5)]),
    ("a.b <> 0 AND 10 / a.b > 4", &[(3, 1), (3, 2), (3, 5), (3, 7)]),
    ("a.b <> 0 AND 10 / a.b = o.id AND 10 / a.b < 5", &[(2, 2)]),
    ("a.b = 0 OR 10 / a.b < o.id", &[(1, 1), (1, 2), (1, 5), (1, 7), (2, 5), (2, 7), (3, 7)]),
    ("a.b = 0 OR 10 / a.b = o.id", &[(1, 1), (1, 2), (1, 5), (1, 7), (2, 2), (3, 5)]),
    ("NOT (a.b = 0 OR 10 / a.b >= o.id)", &[(2, 5), (2, 7), (3, 7)]),
    ("CASE WHEN a.b <> 0 THEN 10 / a.b < o.id ELSE FALSE END", &[(2, 5), (2, 7), (3, 7)]),
    ("CASE WHEN a.b <> 0 THEN 10 / a.b = o.id ELSE FALSE END", &[(2, 2), (3, 5)]),
    ("CASE WHEN a.b <> 0 THEN 10 / a.b END < o.id", &[(2, 5), (2, 7), (3, 7)]),
    ("CASE WHEN a.b <> 0 THEN 10 / a.b END = o.id", &[(2, 2), (3, 5)]),
    ("coalesce(CASE WHEN a.b = 0 THEN FALSE END, 10 / a.b < o.id)", &[(2, 5), (2, 7), (3, 7)]),
    ("coalesce(CASE WHEN a.b = 0 THEN 0 END, 10 / a.b) > o.id", &[(2, 1), (3, 1), (3, 2)]),
    (
        "coalesce(nullif(a.b, 0) IS NULL, TRUE) OR 10 / a.b < o.id",
        &[(1, 1), (1, 2), (1, 5), (1, 7), (2, 5), (2, 7), (3, 7), (4, 1), (4, 2), (4, 5), (4, 7)],
    ),
    ("10 / nullif(a.b, 0) < o.id", &[(2, 5), (2, 7), (3, 7)]),
    ("10 / nullif(a.b, 0) = o.id", &[(2, 2), (3, 5)]),
    ("a.s IS NOT NULL AND a.s <> 'x' AND CAST(a.s AS INT) = o.id", &[(2, 7)]),
    ("a.s <> 'x' AND CAST(a.s AS INT) > o.id", &[(2, 1), (2, 2), (2, 5), (3, 1), (3, 2), (3, 5), (3, 7)]),
    ("a.s = 'x' OR CAST(a.s AS INT) = o.id", &[(1, 1), (1, 2), (1, 5), (1, 7), (2, 7)]),
    ("a.id > o.g AND 10 / a.b < o.id", &[(2, 7), (3, 7)]),
    ("a.b + o.z <> 0 AND 10 / (a.b + o.z) < o.id", &[(2, 5), (3, 5)]),
];

const LEFT_IDS: &[i64] = &[1, 2, 3, 4];
const RIGHT_IDS: &[i64] = &[1, 2, 5, 7];

async fn sides() -> World {
    let a = "SELECT * FROM (VALUES (1, 0, 'x', 1), (2, 5, '7', 1), (3, 2, '8', 1), (4, NULL, NULL, 1)) v(id, b, s, k)";
    let o = "SELECT * FROM (VALUES (1, 1, 1, 1), (2, 0, 1, 1), (5, 1, 2, 1), (7, NULL, 1, 1)) v(id, z, g, k)";
    World::new(&[("a", a), ("o", o)]).await
}

/// Rows as `World` shows them, in their order, NULL after all.
fn shown(mut rows: Vec<Vec<Option<i64>>>) -> String {
    rows.sort_by_key(|row| row.iter().map(|v| v.unwrap_or(i64::MAX)).collect::<Vec<_>>());
    let cell = |v: &Option<i64>| v.map_or("NULL".to_owned(), |v| v.to_string());
    rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join(";")
}

#[tokio::test]
async fn every_kind_of_join_computes_what_its_conditions_leave() {
    let w = sides().await;
    for (condition, pairs) in GUARDED {
        let both: Vec<Vec<Option<i64>>> = pairs.iter().map(|(a, o)| vec![Some(*a), Some(*o)]).collect();
        let left: Vec<_> = LEFT_IDS.iter().filter(|id| !pairs.iter().any(|(a, _)| a == *id)).copied().collect();
        let right: Vec<_> = RIGHT_IDS.iter().filter(|id| !pairs.iter().any(|(_, o)| o == *id)).copied().collect();
        let alone = |ids: &[i64], is_left: bool| {
            let row = |id: &i64| if is_left { vec![Some(*id), None] } else { vec![None, Some(*id)] };
            ids.iter().map(row).collect::<Vec<_>>()
        };
        let one = |ids: &[i64]| shown(ids.iter().map(|id| vec![Some(*id)]).collect());
        let found =
            |all: &[i64], not: &[i64]| one(&all.iter().filter(|id| !not.contains(id)).copied().collect::<Vec<_>>());
        let order = "ORDER BY 1 NULLS LAST, 2 NULLS LAST";
        for c in [(*condition).to_owned(), format!("a.k = o.k AND ({condition})")] {
            let from = |from: String| format!("SELECT a.id, o.id FROM {from} {order}");
            for (sql, rows) in [
                (from(format!("a JOIN o ON {c}")), both.clone()),
                (from(format!("o JOIN a ON {c}")), both.clone()),
                (from(format!("a, o WHERE {c}")), both.clone()),
                (from(format!("a LEFT JOIN o ON {c}")), [both.clone(), alone(&left, true)].concat()),
                (from(format!("o RIGHT JOIN a ON {c}")), [both.clone(), alone(&left, true)].concat()),
                (from(format!("a RIGHT JOIN o ON {c}")), [both.clone(), alone(&right, false)].concat()),
                (from(format!("o LEFT JOIN a ON {c}")), [both.clone(), alone(&right, false)].concat()),
                (
                    from(format!("a FULL JOIN o ON {c}")),
                    [both.clone(), alone(&left, true), alone(&right, false)].concat(),
                ),
            ] {
                w.rows(&sql, &shown(rows)).await;
            }
            for (is, a, o) in
                [("EXISTS", found(LEFT_IDS, &left), found(RIGHT_IDS, &right)), ("NOT EXISTS", one(&left), one(&right))]
            {
                w.rows(&format!("SELECT id FROM a WHERE {is} (SELECT 1 FROM o WHERE {c}) ORDER BY 1"), &a).await;
                w.rows(&format!("SELECT id FROM o WHERE {is} (SELECT 1 FROM a WHERE {c}) ORDER BY 1"), &o).await;
                w.rows(&format!("SELECT id FROM a WHERE id < 0 OR {is} (SELECT 1 FROM o WHERE {c}) ORDER BY 1"), &a)
                    .await;
            }
        }
    }
}

/// What no condition excludes fails, in every kind of join.
#[tokio::test]
async fn what_a_join_needs_fails() {
    let w = sides().await;
    for condition in ["10 / a.b < o.id", "10 / a.b = o.id", "10 / o.z < a.id", "a.b < 1 AND 10 / a.b < o.id"] {
        for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
            w.fails(&format!("SELECT a.id, o.id FROM a {join} o ON {condition}"), "divides by zero").await;
        }
        for is in ["EXISTS", "NOT EXISTS"] {
            w.fails(&format!("SELECT id FROM a WHERE {is} (SELECT 1 FROM o WHERE {condition})"), "divides by zero")
                .await;
        }
    }
    // Pairs that do not exist compute nothing.
    w.rows("SELECT a.id FROM a LEFT JOIN (SELECT * FROM o WHERE z > 5) e ON 10 / a.b < e.id ORDER BY 1", "1;2;3;4")
        .await;
    w.rows("SELECT a.id FROM a JOIN (SELECT * FROM o WHERE z > 5) e ON 10 / a.b < e.id", "").await;
}

/// The dialect says so.
#[tokio::test]
async fn keys_and_subqueries_that_do_not_depend_on_the_row_are_computed_first() {
    let w = sides().await;
    let by_both =
        |key: &str| format!("SELECT a.id, o.id FROM a LEFT JOIN o ON a.id > o.g AND {key} = o.id ORDER BY 1, 2");
    w.fails(&by_both("10 / a.b"), "divides by zero").await;
    w.rows(&by_both("10 / nullif(a.b, 0)"), "1|NULL;2|2;3|5;4|NULL").await;
    w.rows(&by_both("TRY(10 / a.b)"), "1|NULL;2|2;3|5;4|NULL").await;
    w.fails("SELECT CASE WHEN id > 9 THEN (SELECT max(10 / z) FROM o) END FROM a", "divides by zero").await;
}

#[tokio::test]
async fn a_subquery_gets_what_the_conditions_around_it_leave() {
    let w = sides().await;
    for (value, rows) in [
        ("CASE WHEN b <> 0 THEN 10 / b IN (SELECT id FROM o) END", "1|NULL;2|true;3|true;4|NULL"),
        ("CASE WHEN b <> 0 THEN 10 / b IN (SELECT id FROM o WHERE o.k = a.k) END", "1|NULL;2|true;3|true;4|NULL"),
        ("CASE WHEN b <> 0 THEN 10 / b NOT IN (SELECT id FROM o) END", "1|NULL;2|false;3|false;4|NULL"),
        ("CASE WHEN b <> 0 THEN 10 / b NOT IN (SELECT z FROM o) END", "1|NULL;2|NULL;3|NULL;4|NULL"),
        ("CASE WHEN b <> 0 THEN 10 / b = ANY (SELECT id FROM o) END", "1|NULL;2|true;3|true;4|NULL"),
        ("CASE b WHEN 0 THEN FALSE ELSE 10 / b IN (SELECT id FROM o) END", "1|false;2|true;3|true;4|NULL"),
        ("CASE WHEN b = 0 THEN FALSE WHEN 10 / b IN (SELECT id FROM o) THEN TRUE END", "1|false;2|true;3|true;4|NULL"),
        (
            "CASE WHEN b = 0 THEN -1 WHEN b > 4 THEN (SELECT max(g) FROM o WHERE o.id = 10 / b) END",
            "1|-1;2|1;3|NULL;4|NULL",
        ),
        ("CASE WHEN b <> 0 THEN (SELECT max(g) FROM o WHERE o.id = 10 / a.b) END", "1|NULL;2|1;3|2;4|NULL"),
        ("CASE WHEN b <> 0 THEN (SELECT count(*) FROM o WHERE o.id = 10 / a.b) ELSE -1 END", "1|-1;2|1;3|1;4|-1"),
        ("CASE WHEN b <> 0 THEN EXISTS (SELECT 1 FROM o WHERE o.id = 10 / a.b) END", "1|NULL;2|true;3|true;4|NULL"),
        (
            "CASE WHEN b <> 0 THEN NOT EXISTS (SELECT 1 FROM o WHERE o.id = 10 / a.b) END",
            "1|NULL;2|false;3|false;4|NULL",
        ),
        ("CASE WHEN s <> 'x' THEN CAST(s AS INT) IN (SELECT id FROM o) END", "1|NULL;2|true;3|false;4|NULL"),
        ("b <> 0 AND 10 / b IN (SELECT id FROM o)", "1|false;2|true;3|true;4|NULL"),
        ("b = 0 OR 10 / b IN (SELECT id FROM o)", "1|true;2|true;3|true;4|NULL"),
        ("coalesce(b = 0, TRUE) OR EXISTS (SELECT 1 FROM o WHERE o.id = 10 / a.b)", "1|true;2|true;3|true;4|true"),
        ("coalesce(CASE WHEN b = 0 THEN 0 END, (SELECT max(g) FROM o WHERE o.id = 10 / b), 9)", "1|0;2|1;3|2;4|9"),
        ("coalesce(nullif(b, 0), 1) = 1 OR 10 / b IN (SELECT id FROM o)", "1|true;2|true;3|true;4|true"),
        ("b + 1 = 1 OR 10 / b IN (SELECT id FROM o)", "1|true;2|true;3|true;4|NULL"),
        ("10 / nullif(b, 0) IN (SELECT id FROM o)", "1|NULL;2|true;3|true;4|NULL"),
        (
            "CASE WHEN b <> 0 THEN CASE WHEN b > 4 THEN 10 / (b - 2) IN (SELECT g + 2 FROM o) END END",
            "1|NULL;2|true;3|NULL;4|NULL",
        ),
    ] {
        w.rows(&format!("SELECT id, {value} AS v FROM a ORDER BY id"), rows).await;
        w.rows(&format!("SELECT id, v FROM (SELECT id, {value} AS v FROM a) q ORDER BY id"), rows).await;
        // As a condition, where it is one.
        if rows.contains("true") {
            let kept: Vec<&str> = rows.split(';').filter_map(|r| r.strip_suffix("|true")).collect();
            w.rows(&format!("SELECT id FROM a WHERE {value} ORDER BY id"), &kept.join(";")).await;
            w.rows(&format!("SELECT id FROM a WHERE id > 0 AND ({value}) ORDER BY id"), &kept.join(";")).await;
        }
    }
    for condition in [
        "CASE WHEN b <> 0 THEN EXISTS (SELECT 1 FROM o WHERE o.id > 10 / a.b) ELSE FALSE END",
        "b <> 0 AND EXISTS (SELECT 1 FROM o WHERE o.id > 10 / a.b)",
        "b <> 0 AND EXISTS (SELECT 1 FROM o WHERE CASE WHEN o.g > 0 THEN o.id > 10 / a.b END)",
        "b <> 0 AND NOT EXISTS (SELECT 1 FROM o WHERE o.id = 10 / a.b + 100)",
        "b <> 0 AND 10 / b IN (SELECT id FROM o)",
        "b <> 0 AND 10 / b NOT IN (SELECT id + 20 FROM o)",
        "b <> 0 AND 10 / b >= ALL (SELECT g FROM o)",
        "b <> 0 AND (SELECT max(g) FROM o WHERE o.id = 10 / a.b) > 0",
    ] {
        w.rows(&format!("SELECT id FROM a WHERE {condition} ORDER BY id"), "2;3").await;
    }
    w.rows("SELECT id FROM a WHERE b = 0 OR EXISTS (SELECT 1 FROM o WHERE o.id > 10 / a.b) ORDER BY id", "1;2;3").await;
    w.rows("SELECT id FROM a WHERE b = 0 OR 10 / b IN (SELECT id FROM o) ORDER BY id", "1;2;3").await;
    let in_aggregate = "SELECT max(CASE WHEN b <> 0 THEN (SELECT max(g) FROM o WHERE o.id = 10 / a.b) END) FROM a";
    w.rows(in_aggregate, "2").await;
    w.rows("SELECT id FROM a ORDER BY CASE WHEN b <> 0 THEN 10 / b IN (SELECT id FROM o) END, id", "2;3;1;4").await;
    w.fails("SELECT id, 10 / b IN (SELECT id FROM o) FROM a", "divides by zero").await;
    w.fails("SELECT CASE WHEN b >= 0 THEN (SELECT max(g) FROM o WHERE o.id = 10 / a.b) END FROM a", "divides by zero")
        .await;
}

/// Spark's: nothing of the first argument is in the result.
#[tokio::test]
async fn nvl2_has_the_type_of_what_it_gives() {
    let w = crate::world::World::new(&[("t", "SELECT * FROM (VALUES (1, 'a', 0), (2, NULL, 5)) v(k, s, n)")]).await;
    w.typed(
        "SELECT nvl2('a', 1, 2) AS a, nvl2(s, DATE '2020-01-01', NULL) AS b, nvl2(s, 1, 2.5) AS c, nvl2(1e0, 1.5, 2.25) AS d, nvl2(k = 1, 1, 2) AS e FROM t ORDER BY k",
        "1|2020-01-01|1.0|1.50|1;1|NULL|2.5|1.50|1",
        "Int64|Date32|Decimal128(21, 1)|Decimal128(3, 2)|Int64",
    )
    .await;
    w.rows("SELECT nvl2(s, 1, 10 / n) AS a FROM t ORDER BY k", "1;2").await;
    w.rows("SELECT nvl2(s, 'x', 'y') AS g, count(*) AS c FROM t GROUP BY nvl2(s, 'x', 'y') ORDER BY g", "x|1;y|1")
        .await;
    w.fails("SELECT nvl2(s, 1) FROM t", "nvl2").await;
}
