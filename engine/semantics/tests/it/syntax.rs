//! Constructs that DataFusion does not plan, or drops. Answers are DuckDB's, of what it does not parse those of the form
//! in SQL that says the same.

use crate::world::*;

async fn world() -> World {
    World::new(&[("t", "SELECT * FROM (VALUES (1, 1, 'b'), (2, 1, 'B'), (3, 2, NULL), (4, NULL, 'a')) AS v(id, k, s)")])
        .await
}

#[tokio::test]
async fn other_words_for_the_same() {
    let world = world().await;
    let cases = [
        ("SELECT id FROM t ORDER BY id FETCH FIRST 2 ROWS ONLY", "1;2"),
        ("SELECT id FROM t ORDER BY id OFFSET 1 ROWS FETCH NEXT ROW ONLY", "2"),
        ("SELECT id FROM t WHERE id IN (SELECT id FROM t ORDER BY id DESC FETCH FIRST 1 ROW ONLY)", "4"),
        ("SELECT k, count(*) AS n FROM t GROUP BY k WITH ROLLUP ORDER BY n DESC, k", "NULL|4;1|2;2|1;NULL|1"),
        (
            "SELECT k, s, count(*) AS n FROM t WHERE id < 3 GROUP BY k, s WITH CUBE ORDER BY n DESC, k, s",
            "1|NULL|2;NULL|NULL|2;1|B|1;1|b|1;NULL|B|1;NULL|b|1",
        ),
        ("FROM (SELECT id FROM t WHERE id < 3) ORDER BY id", "1;2"),
        ("SELECT count(*) FROM (FROM t) AS u WHERE u.id > 1", "3"),
        ("SELECT public.t.* FROM public.t ORDER BY t.id LIMIT 1", "1|1|b"),
        ("SELECT t.* FROM public.t ORDER BY t.id LIMIT 1", "1|1|b"),
        ("SELECT t.*, u.s FROM public.t JOIN t AS u ON u.id = t.k ORDER BY t.id", "1|1|b|b;2|1|B|b;3|2|NULL|B"),
        ("SELECT s COLLATE \"C\" FROM t ORDER BY s COLLATE \"C\"", "B;a;b;NULL"),
        ("SELECT max(s COLLATE \"POSIX\") FROM t WHERE s COLLATE ucs_basic < 'b'", "a"),
        ("SELECT id FROM t WHERE s RLIKE '^[ab]$' ORDER BY id", "1;4"),
        ("SELECT id FROM t WHERE s NOT RLIKE '^[ab]$' ORDER BY id", "2"),
        ("SELECT N'a', U&'\\0061'", "a|a"),
        ("SELECT id FROM t MINUS SELECT k FROM t ORDER BY id", "3;4"),
        (
            "SELECT CAST(DATE '2020-01-31' + INTERVAL (k) MONTH AS DATE) FROM t ORDER BY id",
            "2020-02-29;2020-02-29;2020-03-31;NULL",
        ),
        (
            "SELECT CAST(DATE '2020-01-01' + INTERVAL (k + id) DAY AS DATE) FROM t ORDER BY id",
            "2020-01-03;2020-01-04;2020-01-06;NULL",
        ),
        ("SELECT CAST(DATE '2020-01-01' - INTERVAL (SELECT max(k) FROM t) WEEK AS DATE)", "2019-12-18"),
        (
            "SELECT CAST(DATE '2020-01-01' + INTERVAL -1 DAY AS DATE), CAST(DATE '2020-01-01' + INTERVAL NULL DAY AS DATE)",
            "2019-12-31|NULL",
        ),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
}

#[tokio::test]
async fn what_has_no_other_words_is_refused() {
    let world = world().await;
    for sql in [
        "SELECT s COLLATE \"de_DE\" FROM t",
        "SELECT id FROM t WHERE s COLLATE NOCASE = 'b'",
        "SELECT id FROM t PREWHERE k = 1",
        "SELECT id FROM t START WITH id = 1 CONNECT BY PRIOR id = k",
        "SELECT k, count(*) FROM t GROUP BY k WITH TOTALS",
        "SELECT * ILIKE '%k%' FROM t",
        "SELECT id FROM t FETCH FIRST 1 ROW WITH TIES",
        "SELECT id FROM t FETCH FIRST 10 PERCENT ROWS ONLY",
        "SELECT id FROM t SETTINGS x = 1",
        "SELECT id FROM t FORMAT JSON",
        "SELECT id FROM t FOR JSON AUTO",
        "SELECT id FROM t FOR UPDATE",
        "SELECT id FROM t FOR SHARE NOWAIT",
        "SELECT id FROM (SELECT id FROM t FOR UPDATE) AS u",
        "SELECT id FROM t WITH (NOLOCK)",
        "SELECT u.id FROM t JOIN t AS u WITH (NOLOCK) ON u.id = t.id",
        "SELECT id FROM t PARTITION (p)",
        "SELECT id FROM t WITH ORDINALITY",
        "SELECT * FROM t PIVOT (sum(id) FOR k IN (1, 2))",
        "SELECT * FROM t UNPIVOT (v FOR n IN (id, k))",
        "SELECT t.id FROM t ASOF JOIN t AS u MATCH_CONDITION (t.id >= u.id)",
        "SELECT s IS NORMALIZED FROM t",
        "SELECT CONVERT(s USING utf8) FROM t",
        "SELECT id IN UNNEST([1, 2]) FROM t",
        "SELECT 1 MEMBER OF ('[1]')",
        "SELECT b'01'",
        "SELECT @k FROM t",
        "SELECT INTERVAL '1-2' YEAR TO MONTH",
        "SELECT INTERVAL '5' YEAR(3)",
    ] {
        world.fails(sql, "not supported").await;
    }
    for call in ["abs(DISTINCT id)", "abs(id) FILTER (WHERE id > 1)", "abs(id ORDER BY id)"] {
        world.fails(&format!("SELECT {call} FROM t"), "takes no DISTINCT, ORDER BY or FILTER").await;
    }
    world
        .rows("SELECT count(DISTINCT k), sum(id) FILTER (WHERE id > 1), array_agg(k ORDER BY id)[3] FROM t", "2|9|2")
        .await;
    world.fails("SELECT INTERVAL k FROM t", "needs a unit").await;
    world.fails("SELECT INTERVAL (s) DAY FROM t", "whole numbers").await;
}

/// The comparison would be as deep as the row is wide.
#[tokio::test]
async fn very_wide_rows_are_not_compared() {
    let world = world().await;
    let row = |value: &str| vec![value; 65].join(", ");
    for comparison in [
        format!("({}) = ({})", row("id"), row("1")),
        format!("({}) IN (SELECT {} FROM t)", row("id"), row("k")),
        format!("NOT ({}) NOT IN (({}))", row("id"), row("1")),
    ] {
        world.fails(&format!("SELECT id FROM t WHERE {comparison}"), "more than 64 columns is not supported").await;
    }
}
