//! EXCEPT ALL and INTERSECT ALL count copies; TABLESAMPLE is refused wherever it stands.

use proptest::prelude::*;

use crate::engine::Engine;

fn values(rows: &[(Option<i32>, i32)]) -> String {
    let number = |v: Option<i32>| v.map_or("CAST(NULL AS INT)".to_owned(), |v| v.to_string());
    let rows: Vec<String> = rows.iter().map(|(a, b)| format!("({}, {b})", number(*a))).collect();
    format!("SELECT * FROM (VALUES {}) AS v(a, b)", rows.join(", "))
}

#[tokio::test]
async fn copies_are_counted() {
    let engine = Engine::with(&[
        "CREATE TABLE l AS SELECT * FROM (VALUES (1), (1), (1), (2), (CAST(NULL AS INT)), (CAST(NULL AS INT))) AS v(a)",
        "CREATE TABLE r AS SELECT * FROM (VALUES (1), (3), (1), (CAST(NULL AS INT))) AS v(a)",
    ])
    .await;
    let queries = [
        ("SELECT a FROM l EXCEPT ALL SELECT a FROM r", "1 2 NULL"),
        ("SELECT a FROM l INTERSECT ALL SELECT a FROM r", "1 1 NULL"),
        ("SELECT a FROM l EXCEPT SELECT a FROM r", "2"),
        ("SELECT a FROM l INTERSECT SELECT a FROM r", "1 NULL"),
        ("SELECT DISTINCT a FROM l EXCEPT ALL SELECT a FROM r", "2"),
        ("SELECT DISTINCT a FROM l INTERSECT ALL SELECT a FROM r", "1 NULL"),
        ("WITH w AS (SELECT a FROM l EXCEPT ALL SELECT a FROM r) SELECT count(*) FROM w", "3"),
        ("SELECT a FROM r WHERE a IN (SELECT a FROM l EXCEPT ALL SELECT a FROM r)", "1 1"),
        ("(SELECT a FROM l EXCEPT ALL SELECT a FROM r) EXCEPT ALL SELECT 1", "2 NULL"),
        ("SELECT a FROM l EXCEPT ALL (SELECT a FROM r INTERSECT ALL SELECT a FROM l)", "1 2 NULL"),
        ("SELECT a AS b FROM l EXCEPT ALL SELECT a + 0 FROM r ORDER BY b", "1 2 NULL"),
        ("SELECT a FROM l EXCEPT ALL SELECT CAST(a AS BIGINT) FROM r", "1 2 NULL"),
        ("SELECT x.a FROM l AS x EXCEPT ALL SELECT y.a FROM l AS y WHERE a = 1", "2 NULL NULL"),
    ];
    for (sql, wanted) in queries {
        assert_eq!(engine.sorted(sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn samples_are_refused() {
    let engine = Engine::with(&["CREATE TABLE t AS SELECT 1 AS a"]).await;
    for sql in [
        "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
        "SELECT * FROM (SELECT * FROM t TABLESAMPLE SYSTEM (10)) AS x",
        "WITH w AS (SELECT * FROM t TABLESAMPLE BERNOULLI (10)) SELECT 1",
        "SELECT a IN (SELECT a FROM t TABLESAMPLE BERNOULLI (10)) FROM t",
        "SELECT 1 UNION ALL SELECT a FROM t TABLESAMPLE BERNOULLI (10)",
    ] {
        let error = engine.try_rows(sql).await.unwrap_err();
        let datafusion::error::DataFusionError::External(error) = error else { panic!("{error}") };
        assert_eq!(error.downcast::<ingot_semantics::Refusal>().unwrap().code, "U0503", "{sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_are_multisets(
        l in proptest::collection::vec((proptest::option::of(0..3_i32), 0..2_i32), 1..12),
        r in proptest::collection::vec((proptest::option::of(0..3_i32), 0..2_i32), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (left, right) = (format!("CREATE TABLE l AS {}", values(&l)), format!("CREATE TABLE r AS {}", values(&r)));
            let engine = Engine::with(&[&left, &right]).await;
            let count = |rows: &[(Option<i32>, i32)], row| rows.iter().filter(|r| **r == row).count();
            let mut distinct = l.clone();
            distinct.sort();
            distinct.dedup();
            for (word, kept) in [("EXCEPT", true), ("INTERSECT", false)] {
                let mut wanted: Vec<String> = distinct.iter().flat_map(|row| {
                    let (n, m) = (count(&l, *row), count(&r, *row));
                    let copies = if kept { n.saturating_sub(m) } else { n.min(m) };
                    let text = format!("{}|{}", row.0.map_or("NULL".to_owned(), |a| a.to_string()), row.1);
                    vec![text; copies]
                }).collect();
                wanted.sort();
                let sql = format!("SELECT a, b FROM l {word} ALL SELECT a, b FROM r");
                assert_eq!(engine.sorted(&sql).await, wanted.join(" "), "{sql}\n{l:?}\n{r:?}");
            }
        });
    }
}

/// Types and rows are DuckDB's, except that DECIMAL beside REAL is DOUBLE and a BIGINT has 20 digits.
#[tokio::test]
async fn columns_have_one_type_on_both_sides() {
    let w = crate::world::World::new(&[
        ("n", "SELECT CAST(1 AS INT) AS i, CAST(1 AS BIGINT) AS b, CAST(1 AS DECIMAL(10, 2)) AS d, CAST(1 AS REAL) AS r, 1e0 AS x, '1' AS s"),
        ("m", "SELECT DATE '9999-12-31' AS d, CAST('2024-01-01 00:00:00' AS TIMESTAMP) AS t, CAST('2024-01-01 00:00:00Z' AS TIMESTAMPTZ) AS z"),
    ])
    .await;
    let cases = [
        ("SELECT i FROM n", "SELECT b FROM n", "1", "Int64"),
        ("SELECT b FROM n", "SELECT i FROM n", "1", "Int64"),
        ("SELECT i FROM n", "SELECT d FROM n", "1.00", "Decimal128(12, 2)"),
        ("SELECT d FROM n", "SELECT b FROM n", "1.00", "Decimal128(22, 2)"),
        ("SELECT d FROM n", "SELECT x FROM n", "1.0", "Float64"),
        ("SELECT r FROM n", "SELECT d FROM n", "1.0", "Float64"),
        ("SELECT i FROM n", "SELECT x FROM n", "1.0", "Float64"),
        ("SELECT i FROM n", "SELECT s FROM n", "1", "Utf8"),
        ("SELECT s FROM n", "SELECT b FROM n", "1", "Utf8"),
        ("SELECT DATE '2024-01-01'", "SELECT t FROM m", "2024-01-01T00:00:00", "Timestamp(µs)"),
        ("SELECT t FROM m", "SELECT DATE '2024-01-01'", "2024-01-01T00:00:00", "Timestamp(µs)"),
        ("SELECT t FROM m", "SELECT z FROM m", "2024-01-01T00:00:00Z", "Timestamp(µs, \"UTC\")"),
    ];
    for (left, right, row, data_type) in cases {
        w.typed(&format!("{left} INTERSECT {right}"), row, data_type).await;
        w.typed(&format!("{left} INTERSECT ALL {right}"), row, data_type).await;
        w.typed(&format!("{left} EXCEPT ({right} EXCEPT {right})"), row, data_type).await;
        w.typed(&format!("{left} EXCEPT ALL ({right} EXCEPT {right})"), row, data_type).await;
        w.rows(&format!("{left} EXCEPT {right}"), "").await;
    }
    w.typed("SELECT d FROM m EXCEPT SELECT t FROM m", "9999-12-31T00:00:00", "Timestamp(µs)").await;
    // Values that become one in the common type are one row.
    w.typed(
        "SELECT * FROM (VALUES (9007199254740993), (9007199254740992)) v(a) EXCEPT SELECT x FROM n",
        "9007199254740992.0",
        "Float64",
    )
    .await;
    // What stands above a union has the union's type, and not its first input's.
    let mixed = "SELECT i AS a FROM n UNION ALL SELECT CAST(0.125 AS DECIMAL(10, 3))";
    w.typed(&format!("({mixed}) EXCEPT SELECT i FROM n"), "0.125", "Decimal128(13, 3)").await;
    w.rows(&format!("SELECT i FROM n EXCEPT ({mixed})"), "").await;
    w.typed(&format!("SELECT sum(a) FROM ({mixed}) u"), "1.125", "Decimal128(23, 3)").await;
    for both in ["UNION", "UNION ALL", "INTERSECT", "EXCEPT"] {
        w.fails(&format!("SELECT i FROM n {both} SELECT d FROM m"), "DATE and INT").await;
    }
}

#[tokio::test]
async fn a_branch_may_compute_a_column_beside_one_of_its_name() {
    let engine = Engine::with(&[
        "CREATE TABLE a AS SELECT * FROM (VALUES (1, 10), (2, 20)) AS v(k, id)",
        "CREATE TABLE c AS SELECT * FROM (VALUES (3, 1), (1, 30)) AS v(k, id)",
    ])
    .await;
    let queries = [
        ("SELECT k, id FROM a UNION ALL SELECT id, -k FROM c", "1|-3 1|10 2|20 30|-1"),
        ("SELECT k, id FROM a UNION ALL SELECT c.id, c.k * 10 FROM c", "1|10 1|30 2|20 30|10"),
        ("SELECT k, id FROM a EXCEPT SELECT id, k + 7 FROM c", "2|20"),
        ("SELECT k, id FROM a INTERSECT SELECT id, k + 7 FROM c", "1|10"),
        (
            "SELECT k AS x, id FROM a UNION ALL SELECT -id, x FROM (SELECT id, k AS x FROM c) AS q",
            "-1|3 -30|1 1|10 2|20",
        ),
        (
            "SELECT k, id FROM a UNION ALL SELECT id, -k FROM c UNION ALL SELECT id, -id FROM a",
            "10|-10 1|-3 1|10 20|-20 2|20 30|-1",
        ),
        ("SELECT k FROM (SELECT k, id FROM a UNION SELECT id, -k FROM c) AS u WHERE id < 0", "1 30"),
    ];
    for (sql, expected) in queries {
        assert_eq!(engine.sorted(sql).await, expected, "{sql}");
    }
}
