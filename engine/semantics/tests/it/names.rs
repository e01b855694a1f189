//! Columns that DataFusion would give one name, and subqueries where it takes none. Answers are DuckDB's.

use crate::world::*;

async fn world() -> World {
    World::new(&[
        ("a", "SELECT * FROM (VALUES (1, 1, CAST(1.5 AS REAL), 1.5e0), (2, -2, CAST(2 AS REAL), 3e0)) AS v(k, n, r, g)"),
        ("b", "SELECT * FROM (VALUES (1e0, 1, CAST(1.5 AS REAL)), (2e0, 2, CAST(2 AS REAL)), (2e0, 3, NULL)) AS v(k, n, r)"),
        ("s", "SELECT * FROM (VALUES (CAST(1 AS INT), 1), (CAST(3 AS INT), 2), (NULL, 5)) AS v(i, n)"),
    ])
    .await
}

#[tokio::test]
async fn a_join_has_keys_that_differ_in_a_cast() {
    let world = world().await;
    for kind in ["RIGHT", "FULL"] {
        let sql = format!("SELECT a.k, b.n FROM a {kind} JOIN b ON a.r = b.r AND b.r = a.g ORDER BY b.n, a.k");
        let more = if kind == "FULL" { ";2|NULL" } else { "" };
        world.rows(&sql, &format!("1|1;NULL|2;NULL|3{more}")).await;
    }
    let keys = "abs(CAST(a.n AS DOUBLE)) = b.k AND abs(a.n) = b.n";
    world.rows(&format!("SELECT a.k, b.n FROM a RIGHT JOIN b ON {keys} ORDER BY b.n"), "1|1;2|2;NULL|3").await;
    world.rows(&format!("SELECT a.k, b.n FROM a JOIN b ON {keys} ORDER BY b.n"), "1|1;2|2").await;
    // A column below the join has the name of a key.
    let below = "(SELECT k, n, abs(n) FROM a) AS a";
    world.rows(&format!("SELECT a.k, b.n FROM {below} JOIN b ON {keys} ORDER BY b.n"), "1|1;2|2").await;
}

#[tokio::test]
async fn a_subquery_gives_a_cast_of_what_correlates_it() {
    let world = world().await;
    world.rows("SELECT k, k IN (SELECT s.i FROM s WHERE s.i = a.k) FROM a ORDER BY k", "1|true;2|false").await;
    world.rows("SELECT k, k NOT IN (SELECT s.i FROM s WHERE s.i = a.k) FROM a ORDER BY k", "1|false;2|true").await;
    world.rows("SELECT k, k = ANY (SELECT s.i FROM s WHERE s.i = a.k) FROM a ORDER BY k", "1|true;2|false").await;
    let narrow = "SELECT k FROM a WHERE k IN (SELECT CAST(b.k AS INT) FROM b WHERE b.k = a.g OR b.n = a.k) ORDER BY k";
    world.rows(narrow, "1;2").await;
    let join = "SELECT a.k, b.n FROM a JOIN b ON CAST(b.k AS INT) = a.k AND b.k = a.r ORDER BY 1, 2";
    world.rows(join, "2|2;2|3").await;
    for member in ["s.i", "CAST(s.i AS BIGINT)", "DISTINCT CAST(s.i AS BIGINT)", "TRY_CAST(s.i AS BIGINT)"] {
        world.rows(&format!("SELECT k FROM a WHERE k IN (SELECT {member} FROM s WHERE s.i = a.n)"), "1").await;
        world.rows(&format!("SELECT k FROM a WHERE k NOT IN (SELECT {member} FROM s WHERE s.i = a.n)"), "2").await;
        world.rows(&format!("SELECT k FROM a WHERE EXISTS (SELECT {member} FROM s WHERE s.i = a.n)"), "1").await;
        let value = format!("SELECT k, EXISTS (SELECT {member} FROM s WHERE s.i = a.n) FROM a ORDER BY k");
        world.rows(&value, "1|true;2|false").await;
    }
}

/// The engine takes values that depend on the row in a select list, WHERE and an aggregate.
#[tokio::test]
async fn a_value_that_depends_on_the_row_may_stand_anywhere() {
    let world = world().await;
    let value = "(SELECT count(*) FROM s WHERE s.i = a.k)";
    let cases = [
        (format!("SELECT DISTINCT ON (k) k, {value} FROM a ORDER BY k, n"), "1|1;2|0"),
        (format!("SELECT DISTINCT ON ({value}) k FROM a ORDER BY {value}, n"), "2;1"),
        (format!("SELECT k, sum({value}) OVER (ORDER BY {value}, k) FROM a ORDER BY k"), "1|1;2|0"),
        (format!("SELECT k, row_number() OVER (PARTITION BY {value} ORDER BY n) FROM a ORDER BY k"), "1|1;2|1"),
        (format!("SELECT k FROM a ORDER BY {value}, k"), "2;1"),
        (format!("SELECT sum({value}), max(k) FROM a"), "1|2"),
        (format!("SELECT count(*) FILTER (WHERE {value} = 0) FROM a"), "1"),
        (format!("SELECT {value} AS c, count(*) FROM a GROUP BY {value} ORDER BY 1"), "0|1;1|1"),
        (format!("SELECT a.k, b.n FROM a JOIN s AS b ON b.n = {value}"), "1|1"),
        (format!("SELECT a.k, b.n FROM a LEFT JOIN s AS b ON b.n = {value} ORDER BY k"), "1|1;2|NULL"),
        (format!("SELECT a.k, b.n FROM a LEFT JOIN s AS b ON b.n = 1 AND a.n < {value} ORDER BY k"), "1|NULL;2|1"),
    ];
    for (sql, wanted) in cases {
        world.rows(&sql, wanted).await;
    }
    world
        .fails(
            "SELECT a.k FROM a LEFT JOIN s ON s.n = (SELECT count(*) FROM b WHERE b.n = a.k AND b.k = s.i)",
            "looks at both of its sides",
        )
        .await;
}

/// By SQL a CUBE of (k, k) is the sets (k), (k), (k) and (), and a column is one whether its table is named or not.
#[tokio::test]
async fn a_grouping_set_names_a_key_twice() {
    let world = world().await;
    for cube in ["CUBE (k, k)", "CUBE (k, a.k)", "CUBE (a.k, K)"] {
        let sql = format!("SELECT k, count(*), grouping(k) FROM a GROUP BY {cube} ORDER BY k");
        world.rows(&sql, "1|1|0;1|1|0;1|1|0;2|1|0;2|1|0;2|1|0;NULL|2|1").await;
    }
    let sql = "SELECT k + 1, count(*), grouping(k + 1) FROM a GROUP BY ROLLUP (k + 1, k + 1) ORDER BY 1";
    world.rows(sql, "2|1|0;2|1|0;3|1|0;3|1|0;NULL|2|1").await;
    let sql = "SELECT k, n, count(*) FROM a GROUP BY ROLLUP (k, n, k) ORDER BY k, n";
    world.rows(sql, "1|1|1;1|1|1;1|NULL|1;2|-2|1;2|-2|1;2|NULL|1;NULL|NULL|2").await;
    world.rows("SELECT k, count(*) FROM a GROUP BY k, CUBE (k, k) ORDER BY k", "1|1;1|1;1|1;1|1;2|1;2|1;2|1;2|1").await;
    let sql = "SELECT k, count(*) FROM a GROUP BY GROUPING SETS ((k, k), (k), ()) ORDER BY k";
    world.rows(sql, "1|1;1|1;2|1;2|1;NULL|2").await;
}

/// DataFusion takes `k.k` for a field of the column `k` of the subquery.
#[tokio::test]
async fn a_table_around_a_subquery_may_be_called_like_a_column_of_it() {
    let world = world().await;
    let cases = [
        ("SELECT n.k FROM a AS n WHERE EXISTS (SELECT 1 FROM b WHERE b.n = n.k) ORDER BY n.k", "1;2"),
        ("SELECT n.k FROM a AS n WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.n = n.n) ORDER BY n.k", "2"),
        ("SELECT n.k, (SELECT count(*) FROM b WHERE b.k = n.k) FROM a AS n ORDER BY n.k", "1|1;2|2"),
        ("SELECT n.k, (SELECT max(b.n) FROM b WHERE b.k = n.k) AS n FROM a AS n ORDER BY 1", "1|1;2|3"),
        ("SELECT n.k FROM a AS n WHERE n.k IN (SELECT b.n FROM b WHERE b.k = n.k) ORDER BY n.k", "1;2"),
        ("SELECT N.k FROM a AS N WHERE N.k = ANY (SELECT b.n FROM b WHERE b.k = N.k) ORDER BY N.k", "1;2"),
        (
            "SELECT k.n, l.c FROM a AS k, LATERAL (SELECT count(*) AS c FROM b WHERE b.k = k.k) AS l ORDER BY k.k",
            "1|1;-2|2",
        ),
        ("SELECT k.k FROM a AS k ORDER BY (SELECT count(*) FROM b WHERE b.k = k.k) DESC", "2;1"),
        (
            "SELECT k.n, CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.k = k.g) THEN 1 ELSE 0 END FROM a AS k ORDER BY k.k",
            "1|0;-2|0",
        ),
        (
            "WITH k AS (SELECT * FROM a) SELECT k.n FROM k WHERE EXISTS (SELECT 1 FROM b WHERE b.k = k.k AND b.n > 1)",
            "-2",
        ),
        ("SELECT k.n FROM (SELECT n, k FROM a) AS k WHERE EXISTS (SELECT 1 FROM b WHERE b.k = k.k AND b.n > 1)", "-2"),
        (
            "SELECT k.n FROM a AS k JOIN s AS n ON k.k = n.i WHERE EXISTS (SELECT 1 FROM b WHERE b.n = n.n AND b.k = k.k)",
            "1",
        ),
        ("SELECT k.n FROM a AS k WHERE EXISTS (SELECT 1 FROM b AS k WHERE k.k = 5)", ""),
        (r#"SELECT "k"."n" FROM a AS "k" WHERE EXISTS (SELECT 1 FROM b WHERE b.k = "k"."k" AND "k".n < 0)"#, "-2"),
    ];
    for (sql, rows) in cases {
        world.rows(sql, rows).await;
    }
    let field = "SELECT (SELECT n.k FROM (SELECT named_struct('k', 5) AS n) AS q) FROM a AS n LIMIT 1";
    world.rows(field, "5").await;
    world.fails("SELECT k.n FROM a AS k WHERE EXISTS (SELECT 1 FROM b WHERE b.k = k.x)", "k.x").await;
    world.fails("SELECT k.x FROM a", "k.x").await;
}
