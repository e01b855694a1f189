//! UNNEST in FROM, beside the table whose lists it takes.
//!
//! Right rows are those of PostgreSQL and Trino.

use crate::world::World;

const T: &str = "SELECT id, CAST(x AS BIGINT[]) AS x, CAST(y AS VARCHAR[]) AS y FROM (VALUES (1, [10, 20], ['a']), \
    (2, [], ['b', 'c']), (3, NULL, NULL), (4, [30, NULL], ['d', 'e', 'f'])) v(id, x, y)";

#[tokio::test]
async fn a_row_stands_beside_each_item_of_its_list() {
    let w = World::new(&[("t", T), ("s", "SELECT 20 AS v, 'twenty' AS name")]).await;
    for from in [
        "t CROSS JOIN UNNEST(t.x) AS u(v)",
        "t CROSS JOIN UNNEST(x) AS u(v)",
        "t, UNNEST(t.x) AS u(v)",
        "t, LATERAL UNNEST(t.x) AS u(v)",
        "t CROSS JOIN LATERAL UNNEST(x) AS u(v)",
        "t JOIN UNNEST(x) AS u(v) ON TRUE",
        "t, LATERAL (SELECT unnest(t.x)) AS u(v)",
    ] {
        w.rows(&format!("SELECT t.id, u.v FROM {from} ORDER BY id, v NULLS LAST"), "1|10;1|20;4|30;4|NULL").await;
        w.rows(&format!("SELECT id, count(*) AS n, sum(v) FROM {from} GROUP BY id ORDER BY id"), "1|2|30;4|2|30").await;
        w.rows(&format!("SELECT u.* FROM {from} WHERE v > id * 15 ORDER BY 1"), "20").await;
    }
    w.rows("SELECT * FROM t CROSS JOIN UNNEST(x) AS u(v) WHERE v = 30", "4|[30, ]|[d, e, f]|30").await;
    w.rows("SELECT id, v FROM t JOIN UNNEST(x) AS u(v) ON v > id + 10 ORDER BY id", "1|20;4|30").await;
    w.rows("SELECT id, name FROM t CROSS JOIN UNNEST(x) AS u(v) JOIN s ON s.v = u.v", "1|twenty").await;
    w.rows(
        "SELECT id, a, b FROM t CROSS JOIN UNNEST(x, y) AS u(a, b) WHERE id IN (1, 4) ORDER BY id, b NULLS LAST",
        "1|10|a;1|20|NULL;4|30|d;4|NULL|e;4|NULL|f",
    )
    .await;
    w.rows(
        "SELECT id, u.a, w.a FROM t CROSS JOIN UNNEST(x) AS u(a) CROSS JOIN UNNEST(y) AS w(a) ORDER BY id, u.a NULLS LAST, w.a",
        "1|10|a;1|20|a;4|30|d;4|30|e;4|30|f;4|NULL|d;4|NULL|e;4|NULL|f",
    )
    .await;
    w.rows(
        "SELECT id, v FROM t CROSS JOIN UNNEST(array_append(x, id)) AS u(v) WHERE id < 3 ORDER BY id, v",
        "1|1;1|10;1|20;2|2",
    )
    .await;
    w.rows("SELECT v FROM UNNEST([1, 2]) AS u(v) ORDER BY v", "1;2").await;
}

#[tokio::test]
async fn items_are_numbered() {
    let w = World::new(&[("t", T)]).await;
    w.typed(
        "SELECT id, v, n FROM t CROSS JOIN UNNEST(x) WITH ORDINALITY AS u(v, n) ORDER BY id, n",
        "1|10|1;1|20|2;4|30|1;4|NULL|2",
        "Int64|Int64|Int64",
    )
    .await;
    w.rows(
        "SELECT id, ordinality, v FROM t CROSS JOIN UNNEST(x) WITH ORDINALITY AS v ORDER BY id, ordinality",
        "1|1|10;1|2|20;4|1|30;4|2|NULL",
    )
    .await;
    w.rows(
        "SELECT id, b, n FROM t CROSS JOIN UNNEST(x, y) WITH ORDINALITY AS u(a, b, n) WHERE id = 2 ORDER BY n",
        "2|b|1;2|c|2",
    )
    .await;
    w.rows("SELECT v, n FROM UNNEST([7, 8]) WITH ORDINALITY AS u(v, n) ORDER BY n", "7|1;8|2").await;
}

#[tokio::test]
async fn a_left_join_keeps_rows_without_items() {
    let w = World::new(&[("t", T)]).await;
    w.rows(
        "SELECT id, v FROM t LEFT JOIN UNNEST(x) AS u(v) ON TRUE ORDER BY id, v NULLS LAST",
        "1|10;1|20;2|NULL;3|NULL;4|30;4|NULL",
    )
    .await;
    w.rows(
        "SELECT id, a, b, n FROM t LEFT JOIN UNNEST(x, y) WITH ORDINALITY AS u(a, b, n) ON TRUE ORDER BY id, n",
        "1|10|a|1;1|20|NULL|2;2|NULL|b|1;2|NULL|c|2;3|NULL|NULL|NULL;4|30|d|1;4|NULL|e|2;4|NULL|f|3",
    )
    .await;
}

/// What is computed of an element is NULL where there is none: such a side is no mere UNNEST, and is refused.
#[tokio::test]
async fn a_left_join_computes_nothing_for_rows_without_items() {
    let w = World::new(&[("t", T)]).await;
    for side in [
        "(SELECT 7 AS v FROM UNNEST(t.x) AS q(z))",
        "(SELECT coalesce(z, -1) AS v FROM UNNEST(t.x) AS q(z))",
        "(SELECT z IS NULL AS v FROM UNNEST(t.x) AS q(z))",
        "(SELECT t.id AS v FROM UNNEST(t.x) AS q(z))",
        "(SELECT unnest(t.x) AS z, 'c' AS v)",
        "(SELECT z AS v FROM UNNEST(t.x) AS q(z) WHERE z > 10)",
    ] {
        w.fails(&format!("SELECT id, v FROM t LEFT JOIN LATERAL {side} AS u ON TRUE"), "LEFT JOIN").await;
    }
    w.rows(
        "SELECT id, v FROM t LEFT JOIN LATERAL (SELECT z AS v FROM UNNEST(t.x) AS q(z)) AS u ON TRUE \
         ORDER BY id, v NULLS LAST",
        "1|10;1|20;2|NULL;3|NULL;4|30;4|NULL",
    )
    .await;
}

/// Random lists against rows that are made here, one by one.
#[tokio::test]
async fn random_lists_give_the_rows_of_an_evaluator() {
    let mut seed = 7u64;
    let mut below = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for round in 0..40 {
        let rows: Vec<Option<Vec<Option<i64>>>> = (0..1 + below(6))
            .map(|_| {
                let items = below(5);
                (below(6) > 0).then(|| (0..items).map(|_| (below(4) > 0).then(|| below(9) as i64 - 4)).collect())
            })
            .collect();
        let shown = |v: &Option<i64>| v.map_or("NULL".to_owned(), |v| v.to_string());
        let list = |items: &Option<Vec<Option<i64>>>| match items {
            Some(items) => format!("CAST([{}] AS BIGINT[])", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
            None => "CAST(NULL AS BIGINT[])".to_owned(),
        };
        let values: Vec<String> = rows.iter().enumerate().map(|(id, l)| format!("({id}, {})", list(l))).collect();
        let mut inner = Vec::new();
        let mut left = Vec::new();
        let mut summed = Vec::new();
        for (id, items) in rows.iter().enumerate() {
            let items = items.clone().unwrap_or_default();
            for (n, item) in items.iter().enumerate() {
                inner.push(format!("{id}|{}|{}", shown(item), n + 1));
            }
            if items.is_empty() {
                left.push(format!("{id}|NULL|NULL"));
            } else {
                summed.push(format!(
                    "{id}|{}|{}",
                    items.len(),
                    shown(&items.iter().flatten().copied().reduce(|a, b| a + b))
                ));
            }
        }
        left.extend(inner.iter().cloned());
        let engine = crate::engine::Engine::new();
        let from = format!("(VALUES {}) t(id, x)", values.join(", "));
        for (sql, mut wanted) in [
            (format!("SELECT id, v, n FROM {from} CROSS JOIN UNNEST(x) WITH ORDINALITY AS u(v, n)"), inner),
            (format!("SELECT id, v, n FROM {from} LEFT JOIN UNNEST(x) WITH ORDINALITY AS u(v, n) ON TRUE"), left),
            (format!("SELECT id, count(*), sum(v) FROM {from}, LATERAL UNNEST(x) AS u(v) GROUP BY id"), summed),
        ] {
            let mut found = engine.rows(&sql).await;
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "round {round}: {sql}");
        }
    }
}

async fn lists() -> World {
    World::new(&[(
        "t",
        "SELECT * FROM (VALUES (1, 10, make_array(1, 2)), (2, 20, make_array(5, 6, 7)), (3, 30, NULL)) v(n, k, l)",
    )])
    .await
}

/// Names are PostgreSQL's and DuckDB's.
#[tokio::test]
async fn items_have_names() {
    let w = lists().await;
    w.rows("SELECT n, x FROM t, UNNEST(t.l) AS x WHERE x > 5", "2|6;2|7").await;
    w.rows("SELECT x.x FROM t CROSS JOIN UNNEST(t.l) AS x WHERE n = 1", "1;2").await;
    w.rows("SELECT unnest FROM UNNEST([1, 2])", "1;2").await;
    w.rows("SELECT n, unnest FROM t, LATERAL UNNEST(l) WHERE n = 1", "1|1;1|2").await;
    w.rows("SELECT unnest, ordinality FROM UNNEST([7, 8]) WITH ORDINALITY", "7|1;8|2").await;
    w.rows("SELECT x, ordinality FROM UNNEST([7]) WITH ORDINALITY AS x", "7|1").await;
    w.rows("SELECT v, ordinality FROM UNNEST([7]) WITH ORDINALITY AS x(v)", "7|1").await;
    w.rows("SELECT v, o FROM UNNEST([7]) WITH ORDINALITY AS x(v, o)", "7|1").await;
    w.rows("SELECT x, x_2 FROM UNNEST([1], [2, 3]) AS x", "1|2;NULL|3").await;
    w.rows("SELECT * FROM UNNEST([1]), UNNEST([2, 3])", "1|2;1|3").await;
    w.rows("SELECT n, unnest FROM t LEFT JOIN UNNEST(t.l) ON TRUE WHERE n > 2", "3|NULL").await;
}

#[tokio::test]
async fn brackets_take_columns_of_the_row_beside() {
    let w = lists().await;
    w.rows("SELECT n, x.v FROM t CROSS JOIN UNNEST([t.k, t.n]) AS x(v) WHERE n = 2", "2|20;2|2").await;
    w.rows("SELECT v FROM t, UNNEST([[n], [k]]) AS x(v) WHERE n = 1", "[1];[10]").await;
}

#[tokio::test]
async fn a_condition_that_is_always_true_is_none() {
    let w = lists().await;
    for condition in ["TRUE", "1 = 1", "NOT FALSE", "1 < 2 AND 'a' = 'a'"] {
        w.rows(
            &format!("SELECT n, x.v FROM t LEFT JOIN UNNEST(t.l) AS x(v) ON {condition}"),
            "1|1;1|2;2|5;2|6;2|7;3|NULL",
        )
        .await;
    }
}

#[tokio::test]
async fn what_no_join_stands_for_is_refused_in_our_own_words() {
    let w = lists().await;
    for (sql, place) in [
        ("SELECT n FROM t LEFT JOIN UNNEST(t.l) AS x(v) ON x.v > 1", "LEFT JOIN"),
        ("SELECT n FROM t LEFT JOIN UNNEST(t.l) AS x(v) ON 1 = 2", "LEFT JOIN"),
        ("SELECT n FROM t LEFT JOIN LATERAL (SELECT v FROM UNNEST(t.l) AS x(v) WHERE v > 5) q ON TRUE", "LEFT JOIN"),
        ("SELECT (SELECT sum(v) FROM UNNEST(t.l) AS x(v)) FROM t", "stands for a value"),
        ("SELECT n FROM t WHERE EXISTS (SELECT 1 FROM UNNEST(t.l) AS x(v) WHERE v = 5)", "EXISTS"),
        ("SELECT n FROM t WHERE NOT EXISTS (SELECT 1 FROM UNNEST(t.l) AS x(v))", "EXISTS"),
        ("SELECT n FROM t WHERE 5 IN (SELECT v FROM UNNEST(t.l) AS x(v))", "IN, ANY or ALL"),
        ("SELECT n, 5 NOT IN (SELECT v FROM UNNEST(t.l) AS x(v)) FROM t", "IN, ANY or ALL"),
    ] {
        w.fails(sql, "UNNEST of t.l, a column of the query around it").await;
        w.fails(sql, place).await;
    }
    for sql in [
        "SELECT (SELECT o.k FROM t o WHERE o.n = t.n ORDER BY o.k LIMIT 1) FROM t",
        "SELECT n FROM t CROSS JOIN LATERAL (SELECT o.k AS m FROM t o WHERE o.n = t.n ORDER BY o.k LIMIT 1) q",
        "SELECT n FROM t WHERE k IN (SELECT o.k FROM t o WHERE o.n = t.n ORDER BY o.k LIMIT 1)",
    ] {
        w.fails(sql, "LIMIT is not supported in a subquery that looks at the query around it").await;
    }
    w.rows("SELECT n FROM t WHERE EXISTS (SELECT 1 FROM t o WHERE o.n = t.n LIMIT 1) ORDER BY n", "1;2;3").await;
    w.rows("SELECT (SELECT k FROM t ORDER BY k DESC LIMIT 1) FROM t WHERE n = 1", "30").await;
}
