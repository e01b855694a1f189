//! Recursive queries over branches of different types.

use crate::world::World;

#[tokio::test]
async fn the_branches_have_one_type() {
    let w = World::new(&[("e", "SELECT * FROM (VALUES (1, NULL), (2, 1), (3, 2)) v(id, boss)")]).await;
    w.typed(
        "WITH RECURSIVE t(n) AS (SELECT CAST(1 AS INT) UNION ALL SELECT n + 2000000000 FROM t WHERE n < 5000000000) \
         SELECT n FROM t ORDER BY n",
        "1;2000000001;4000000001;6000000001",
        "Int64",
    )
    .await;
    w.typed(
        "WITH RECURSIVE t(n, m) AS (SELECT CAST(1 AS INT), CAST(0 AS SMALLINT) \
         UNION ALL SELECT n * 2, n FROM t WHERE n < 8) SELECT n, m, n / 3 FROM t ORDER BY n",
        "1|0|0;2|1|0;4|2|1;8|4|2",
        "Int64|Int64|Int64",
    )
    .await;
    w.typed(
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 0.5e0 FROM t WHERE n < 2) SELECT n FROM t ORDER BY n",
        "1.0;1.5;2.0",
        "Float64",
    )
    .await;
    w.rows(
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT (n % 3) + 0.5e0 FROM t WHERE n < 9) SELECT n FROM t ORDER BY n",
        "0.5;1.0;1.5;2.0;2.5;3.0",
    )
    .await;
    w.rows(
        "WITH RECURSIVE t(d) AS (SELECT DATE '2020-01-01' UNION ALL SELECT d + INTERVAL '12 hours' FROM t \
         WHERE d < TIMESTAMP '2020-01-02 00:00:00') SELECT d FROM t ORDER BY d",
        "2020-01-01T00:00:00;2020-01-01T12:00:00;2020-01-02T00:00:00",
    )
    .await;
    // What has one type keeps it.
    w.typed(
        "WITH RECURSIVE t(n) AS (SELECT CAST(1 AS INT) UNION ALL SELECT CAST(n + 1 AS INT) FROM t WHERE n < 3) \
         SELECT n FROM t ORDER BY n",
        "1;2;3",
        "Int32",
    )
    .await;
    w.typed(
        "WITH RECURSIVE t(n) AS (SELECT CAST(1 AS DECIMAL(10, 3)) UNION ALL \
         SELECT CAST(n * 1.5 AS DECIMAL(10, 3)) FROM t WHERE n < 3) SELECT n FROM t ORDER BY n",
        "1.000;1.500;2.250;3.375",
        "Decimal128(10, 3)",
    )
    .await;
    // Two columns of one name, a star, and a step of several queries.
    w.rows(
        "WITH RECURSIVE t(id, head) AS (SELECT id, id AS head FROM e WHERE boss IS NULL \
         UNION ALL SELECT e.id, t.id FROM e JOIN t ON e.boss = t.id) SELECT id, head FROM t ORDER BY id",
        "1|1;2|1;3|2",
    )
    .await;
    w.rows(
        "WITH RECURSIVE t AS (SELECT CAST(1 AS INT) AS n UNION ALL SELECT * FROM (SELECT n + 1 AS m FROM t) s WHERE m < 4) \
         SELECT sum(n) FROM t",
        "6",
    )
    .await;
    w.rows(
        "WITH RECURSIVE t(n) AS (SELECT CAST(1 AS INT) UNION ALL SELECT n + 1 FROM t WHERE n < 3), \
         u(m) AS (SELECT n FROM t UNION ALL SELECT m * 0.5e0 FROM u WHERE m > 2) SELECT sum(m) FROM u",
        "7.5",
    )
    .await;
}

#[tokio::test]
async fn a_type_that_grows_is_an_error_that_names_the_column() {
    let w = World::new(&[]).await;
    for (first, step) in [("1", "n + 0.5"), ("1.0", "n * 1.5"), ("1.0", "n / 3"), ("1.0", "n + 1")] {
        w.fails(
            &format!(
                "WITH RECURSIVE t(n) AS (SELECT {first} UNION ALL SELECT {step} FROM t WHERE n < 9) SELECT n FROM t"
            ),
            "column \"n\" of the recursive query t",
        )
        .await;
    }
}
