//! Literals, decimals and integers.

use crate::world::World;

/// id, an INT; n, a BIGINT; d, a DECIMAL(12, 2); w, a DECIMAL(38, 0); x, a DOUBLE; s, a text.
const T: &str = "SELECT CAST(id AS INT) AS id, CAST(n AS BIGINT) AS n, CAST(d AS DECIMAL(12,2)) AS d, \
    CAST(w AS DECIMAL(38,0)) AS w, CAST(x AS DOUBLE) AS x, s FROM (VALUES \
    (1, 9223372036854775807, 1.25, '99999999999999999999999999999999999999', 1e-17, 'a'), \
    (2, 5, 2.00, '7', 1e20, '7'), \
    (3, NULL, 99999.99, NULL, 0.5, NULL)) v(id, n, d, w, x, s)";

async fn world() -> World {
    World::new(&[("t", T)]).await
}

/// The values are those of RFC 4648, section 10.
#[tokio::test]
async fn base64_is_padded() {
    let world = World::new(&[(
        "t",
        "SELECT * FROM (VALUES ('', ''), ('f', 'Zg=='), ('fo', 'Zm8='), ('foo', 'Zm9v'), ('foob', 'Zm9vYg=='), (NULL, NULL)) \
         AS v(plain, coded)",
    )])
    .await;
    world.rows("SELECT encode(plain, 'base64') FROM t", ";Zg==;Zm8=;Zm9v;Zm9vYg==;NULL").await;
    world.rows("SELECT count(*) FROM t WHERE encode(CAST(plain AS BYTEA), 'base64') = coded", "5").await;
    world.rows("SELECT CAST(decode(coded, 'base64') AS VARCHAR) FROM t", ";f;fo;foo;foob;NULL").await;
    // PostgreSQL, Trino and DuckDB refuse them.
    for coded in ["'Zg'", "'Zm8'", "'Zm9vYg='", "'Zm9vY'", "rtrim(coded, '=')", "CAST(rtrim(coded, '=') AS BYTEA)"] {
        world.fails(&format!("SELECT CAST(decode({coded}, 'base64') AS VARCHAR) FROM t"), "decode").await;
    }
    world.rows("SELECT try(CAST(decode('Zg', 'base64') AS VARCHAR))", "NULL").await;
    world.rows("SELECT encode('f', 'base64'), encode('f', 'hex'), encode('f', 'base64pad')", "Zg==|66|Zg==").await;
}

#[tokio::test]
async fn literals_are_exact_or_double_as_written() {
    let w = world().await;
    w.typed(
        "SELECT 0.5, 1e0, 1.50, .25, 0.05",
        "0.5|1.0|1.50|0.25|0.05",
        "Decimal128(1, 1)|Float64|Decimal128(3, 2)|Decimal128(2, 2)|Decimal128(2, 2)",
    )
    .await;
    w.rows("SELECT 1e300, -1e300, 1e-17", "1e300|-1e300|1e-17").await;
    w.rows(
        "SELECT -9223372036854775808, 9223372036854775808, 18446744073709551616",
        "-9223372036854775808|9223372036854775808|18446744073709551616",
    )
    .await;
    w.typed("SELECT 9223372036854775808", "9223372036854775808", "Decimal128(19, 0)").await;
    w.fails("SELECT 123456789012345678901234567890123456789", "38").await;
    w.fails("SELECT 0.123456789012345678901234567890123456789", "38").await;
    w.rows("SELECT 0.12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678").await;
    // A client's query is explained as it runs.
    w.rows("SELECT count(*) FROM (SELECT 0.1 AS a UNION ALL SELECT 0.2) q WHERE a + 0.2 = 0.3 OR a = 0.2", "2").await;
}

#[tokio::test]
async fn decimals_beside_literals_are_compared_exactly() {
    let w = world().await;
    w.rows("SELECT id FROM t WHERE d = 99999.99", "3").await;
    w.rows("SELECT id FROM t WHERE d IN (1.25, 99999.99) ORDER BY id", "1;3").await;
    w.rows("SELECT id FROM t WHERE d BETWEEN 1.25 AND 2.0 ORDER BY id", "1;2").await;
    w.rows("SELECT id FROM t WHERE d = 1.255 OR d = 1.250", "1").await;
    w.rows("SELECT id FROM t WHERE CASE WHEN d = 99999.99 THEN TRUE ELSE FALSE END", "3").await;
    w.rows("SELECT CASE d WHEN 99999.99 THEN 'most' ELSE 'less' END FROM t ORDER BY id", "less;less;most").await;
    w.rows("SELECT a.id FROM t a JOIN (SELECT 99999.99 AS m) b ON a.d = b.m", "3").await;
    w.rows("SELECT id FROM t WHERE id > 1.5 ORDER BY id", "2;3").await;
    w.rows("SELECT id FROM t WHERE id = 1.5", "").await;
    w.rows("SELECT id FROM t WHERE n < 5.5", "2").await;
    w.rows("SELECT 0.1 = 0.10, 0.1 + 0.2 = 0.3, 1.0 = 1", "true|true|true").await;
    // 38 digits do not hold both.
    w.rows("SELECT id FROM t WHERE w > 0.5 ORDER BY id", "1;2").await;
    w.rows("SELECT id FROM t WHERE w IN (7.0, 0.00000000000000000000000000000000000001)", "2").await;
}

#[tokio::test]
async fn decimals_beside_doubles_are_doubles() {
    let w = world().await;
    w.rows("SELECT id FROM t WHERE x > 0.0 ORDER BY id", "1;2;3").await;
    w.rows("SELECT id FROM t WHERE x = 0.5", "3").await;
    w.rows("SELECT id FROM t WHERE x IN (0.5, 1.5)", "3").await;
    w.rows("SELECT id FROM t WHERE x BETWEEN 0.0 AND 1.0 ORDER BY id", "1;3").await;
    w.rows("SELECT id FROM t WHERE x = 100000000000000000000.0", "2").await;
    w.rows("SELECT id FROM t WHERE d > x ORDER BY id", "1;3").await;
    w.typed(
        "SELECT coalesce(x, 0.5), nullif(x, 0.5), greatest(x, 0.1) FROM t WHERE id = 3",
        "0.5|NULL|0.5",
        "Float64|Float64|Float64",
    )
    .await;
    w.typed("SELECT CASE WHEN id = 1 THEN x ELSE 0.25 END FROM t ORDER BY id", "1e-17;0.25;0.25", "Float64").await;
    w.rows("SELECT CASE x WHEN 0.5 THEN 'half' ELSE 'no' END FROM t ORDER BY id", "no;no;half").await;
    w.typed("SELECT x FROM t WHERE id = 1 UNION ALL SELECT 0.5 ORDER BY 1", "1e-17;0.5", "Float64").await;
    w.typed("SELECT v FROM (VALUES (0.5), (1e20)) q(v)", "0.5;1e20", "Float64").await;
    w.rows("SELECT id FROM t WHERE x IN (SELECT d FROM t)", "").await;
    w.rows("SELECT id FROM t WHERE d IN (SELECT x * 4 FROM t)", "2").await;
    w.rows("SELECT id FROM t WHERE x > (SELECT min(d) FROM t)", "2").await;
    w.rows("SELECT a.id FROM t a JOIN t b ON a.d = b.x * 4", "2").await;
    w.rows("SELECT d FROM t INTERSECT SELECT x FROM t", "").await;
    w.typed("SELECT x * 2.0, x / 0.5, 0.1 + x FROM t WHERE id = 3", "1.0|1.0|0.6", "Float64|Float64|Float64").await;
    w.rows("SELECT c / 2 FROM (SELECT coalesce(x, 0.5) AS c, id FROM t) q ORDER BY id", "5e-18;5e19;0.25").await;
    w.rows("SELECT array_has(make_array(x), 0.5) FROM t ORDER BY id", "false;false;true").await;
    // A long constant is rounded once.
    w.rows("SELECT 0.1e0 = 0.1, 3.14159265358979323846e0 = 3.14159265358979323846", "true|true").await;
    w.rows("SELECT sqrt(0.25), power(2, 0.5) = sqrt(2e0), log(2, 0.5), log(10.0, 1000.0) > 2.9", "0.5|true|-1.0|true")
        .await;
    w.rows("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t", "0.5").await;
}

#[tokio::test]
async fn decimals_compute_with_sparks_types() {
    let w = world().await;
    w.typed(
        "SELECT d + d, d - d, d * d FROM t WHERE id = 1",
        "2.50|0.00|1.5625",
        "Decimal128(13, 2)|Decimal128(13, 2)|Decimal128(25, 4)",
    )
    .await;
    w.typed(
        "SELECT d / 3, d / d, d % 0.7 FROM t WHERE id = 2",
        "0.666667|1.000000000000000|0.60",
        "Decimal128(16, 6)|Decimal128(27, 15)|Decimal128(2, 2)",
    )
    .await;
    w.typed(
        "SELECT d / id, d + id, d * n FROM t WHERE id = 2",
        "1.0000000000000|4.00|10.00",
        "Decimal128(23, 13)|Decimal128(13, 2)|Decimal128(33, 2)",
    )
    .await;
    w.rows("SELECT -2.0 / 3.0, 1 / 8.0, -1 / 8.0", "-0.666667|0.125000|-0.125000").await;
    w.typed("SELECT CAST(1.5 AS DECIMAL(38,20)) * CAST(1.5 AS DECIMAL(38,20))", "2.250000", "Decimal128(38, 6)").await;
    w.rows("SELECT CAST(0.5 AS DECIMAL(38,38)) / CAST(2 AS DECIMAL(10,0))", "0.25000000000000000000000000000000000000")
        .await;
    w.fails("SELECT w + 1 FROM t WHERE id = 1", "w + 1 does not fit DECIMAL(38, 0)").await;
    w.fails("SELECT w * w FROM t WHERE id = 1", "does not fit DECIMAL(38, 0)").await;
    w.fails("SELECT d / (d - d) FROM t", "divides by zero").await;
    w.fails("SELECT d % 0.0 FROM t", "divides by zero").await;
    w.rows(
        "SELECT d / 3 AS a, count(*) FROM t GROUP BY d / 3 HAVING d / 3 > 0.5 ORDER BY d / 3",
        "0.666667|1;33333.330000|1",
    )
    .await;
    w.rows("SELECT d + NULL, -d, abs(-d) FROM t WHERE id = 1", "NULL|-1.25|1.25").await;
    w.rows("SELECT a * 2 FROM (SELECT d / 3 AS a, id FROM t) q WHERE id = 2", "1.333334").await;
}

#[tokio::test]
async fn sums_and_averages_of_decimals() {
    let w = world().await;
    w.typed("SELECT sum(d), avg(d) FROM t", "100003.24|33334.413333", "Decimal128(22, 2)|Decimal128(16, 6)").await;
    w.typed("SELECT avg(v) FROM (VALUES (1.0), (0.0), (1.0)) q(v)", "0.66667", "Decimal128(6, 5)").await;
    w.rows("SELECT avg(v) FROM (VALUES (-1.0), (0.0), (-1.0)) q(v)", "-0.66667").await;
    w.rows(
        "SELECT id % 2, sum(d), avg(d) FROM t GROUP BY id % 2 ORDER BY 1",
        "0|2.00|2.000000;1|100001.24|50000.620000",
    )
    .await;
    w.rows(
        "SELECT sum(d) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY id",
        "1.25;3.25;100001.99",
    )
    .await;
    w.rows(
        "SELECT avg(d) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY id",
        "1.250000;1.625000;50000.995000",
    )
    .await;
    w.fails("SELECT sum(w) FROM (SELECT w FROM t UNION ALL SELECT 1) q", "sum(q.w) does not fit DECIMAL(38, 0)").await;
    w.rows("SELECT sum(w) FROM (SELECT w FROM t WHERE id = 1 UNION ALL SELECT w FROM t WHERE id = 1 UNION ALL SELECT -w FROM t WHERE id = 1) q", "99999999999999999999999999999999999999").await;
    w.rows("SELECT sum(DISTINCT d), avg(DISTINCT d), count(DISTINCT id), sum(d) FROM (SELECT * FROM t UNION ALL SELECT * FROM t) q WHERE id < 3", "3.25|1.625000|2|6.50").await;
    w.rows("SELECT count(DISTINCT id), sum(d), sum(n) FROM t WHERE id > 1", "2|100001.99|5").await;
    w.rows("SELECT s, count(DISTINCT id), sum(d) FROM t GROUP BY s ORDER BY s", "7|1|2.00;a|1|1.25;NULL|1|99999.99")
        .await;
    w.rows("SELECT count(*), sum(id), avg(id), sum(d), avg(d) FROM t WHERE id > 99", "0|NULL|NULL|NULL|NULL").await;
    w.rows("SELECT sum(d) FILTER (WHERE id > 1), sum(d) FILTER (WHERE id > 9) FROM t", "100001.99|NULL").await;
    w.rows(
        "SELECT sum(CASE WHEN id > 1 THEN id ELSE 0 END), sum(CASE WHEN n > 0 THEN n ELSE 0 END) FROM t WHERE id > 1",
        "5|5",
    )
    .await;
}

#[tokio::test]
async fn round_keeps_the_type_that_spark_gives() {
    let w = world().await;
    w.typed(
        "SELECT round(d, 1), round(d), round(d, 5), round(d, -1) FROM t WHERE id = 1",
        "1.3|1|1.25|0",
        "Decimal128(12, 1)|Decimal128(11, 0)|Decimal128(13, 2)|Decimal128(11, 0)",
    )
    .await;
    w.rows("SELECT round(2.5), round(-2.5), round(123.45, -1), round(9.95, 1), round(999.9, -3)", "3|-3|120|10.0|1000")
        .await;
    w.rows("SELECT id FROM t WHERE round(d, 1) = 1.3", "1").await;
    w.rows("SELECT id FROM t WHERE round(d, 1) > 1.25 ORDER BY id", "1;2;3").await;
    w.rows("SELECT round(d, 1) FROM t UNION ALL SELECT round(2.345, 2) ORDER BY 1", "1.30;2.00;2.35;100000.00").await;
    w.typed("SELECT round(7), round(125, -1), round(2.5e0)", "7|130|3.0", "Int64|Int64|Float64").await;
    w.fails("SELECT round(d, id) FROM t", "constant").await;
}

#[tokio::test]
async fn casts_that_lose_digits_stay_where_they_are() {
    let w = world().await;
    w.rows("SELECT id FROM t WHERE CAST(d AS INT) = 1", "1").await;
    w.rows("SELECT id FROM t WHERE TRY_CAST(d AS INT) = 1", "1").await;
    w.rows("SELECT id FROM t WHERE CAST(d AS DECIMAL(10,1)) = 1.3", "1").await;
    w.rows("SELECT CAST(2.5 AS INT), CAST(-2.5 AS INT), CAST(2.55 AS DECIMAL(3,1))", "2|-2|2.6").await;
    w.rows("SELECT CAST(d AS TINYINT) FROM t WHERE id < 3 ORDER BY id", "1;2").await;
    w.fails("SELECT CAST(d AS TINYINT) FROM t", "CAST(t.d AS TINYINT) does not fit TINYINT").await;
    w.rows("SELECT TRY_CAST(d AS TINYINT) FROM t ORDER BY id", "1;2;NULL").await;
}

/// Values by SQL's text, and DuckDB's: what does not fit is NULL or a failure, in a comparison as anywhere.
#[tokio::test]
async fn casts_that_may_not_fit_stay_where_they_are() {
    let w = World::new(&[(
        "t",
        "SELECT CAST(i AS BIGINT) AS i, CAST(d AS DECIMAL(9, 2)) AS d, CAST(e AS DECIMAL(12, 0)) AS e FROM \
         (VALUES (1, 5.40, 7), (5000000000, 1234567.89, 99999999999), (-5000000000, -1234567.89, -99999999999), \
         (NULL, NULL, NULL)) v(i, d, e)",
    )])
    .await;
    for (condition, rows) in [
        ("TRY_CAST(i AS INT) > 0", "1"),
        ("TRY_CAST(i AS INT) < 0", ""),
        ("NOT (TRY_CAST(i AS INT) < 0)", "1"),
        ("TRY_CAST(i AS INT) <> 7", "1"),
        ("TRY_CAST(i AS INT) IN (1, 2)", "1"),
        ("TRY_CAST(i AS INT) BETWEEN -9 AND 9", "1"),
        ("TRY_CAST(i AS DECIMAL(4, 2)) >= 0", "1"),
        ("TRY_CAST(d AS DECIMAL(4, 2)) >= 0", "1"),
        ("TRY_CAST(d AS DECIMAL(6, 4)) <> 0", "1"),
        ("TRY_CAST(e AS INT) > 0", "1"),
        ("TRY_CAST(i AS INT) IS DISTINCT FROM 1", "5000000000;-5000000000;NULL"),
    ] {
        w.rows(&format!("SELECT i FROM t WHERE {condition}"), rows).await;
    }
    w.fails("SELECT i FROM t WHERE CAST(i AS INT) > 0", "CAST(t.i AS INT) does not fit INT").await;
    w.fails("SELECT i FROM t WHERE CAST(d AS DECIMAL(4, 2)) >= 0", "does not fit DECIMAL(4, 2)").await;
    w.fails("SELECT i FROM t WHERE CAST(e AS INT) >= 0", "CAST(t.e AS INT) does not fit INT").await;
    w.rows("SELECT CAST(e AS BIGINT) FROM t WHERE CAST(i AS DECIMAL(19, 0)) = 1", "7").await;
}

#[tokio::test]
async fn integers_do_not_wrap() {
    let w = world().await;
    w.fails("SELECT n + 1 FROM t", "n + 1 does not fit BIGINT").await;
    w.fails("SELECT n * 2 FROM t", "n * 2 does not fit BIGINT").await;
    w.fails("SELECT -n - 2 FROM t", "does not fit BIGINT").await;
    w.fails("SELECT 9223372036854775807 + 1", "does not fit BIGINT").await;
    w.fails("SELECT CAST(300 AS SMALLINT) * CAST(300 AS SMALLINT)", "does not fit SMALLINT").await;
    w.fails("SELECT CAST(127 AS TINYINT) + CAST(1 AS TINYINT)", "does not fit TINYINT").await;
    w.fails("SELECT CAST(2147483647 AS INT) + CAST(id AS INT) FROM t", "does not fit INT").await;
    w.fails("SELECT -(v) FROM (SELECT -9223372036854775808 AS v) q", "does not fit BIGINT").await;
    w.fails("SELECT abs(v) FROM (SELECT -9223372036854775808 AS v) q", "abs(q.v) does not fit BIGINT").await;
    w.fails("SELECT v / -1 FROM (SELECT -9223372036854775808 AS v) q", "does not fit BIGINT").await;
    w.rows("SELECT v % -1 FROM (SELECT -9223372036854775808 AS v) q", "0").await;
    w.fails("SELECT id / (id - 1) FROM t", "divides by zero").await;
    w.fails("SELECT id % (id - 1) FROM t", "divides by zero").await;
    w.typed(
        "SELECT id + id, id + n, -id, abs(-id), 7 / 2, -7 / 2, -7 % 2 FROM t WHERE id = 2",
        "4|7|-2|2|3|-3|-1",
        "Int32|Int64|Int32|Int32|Int64|Int64|Int64",
    )
    .await;
    w.typed("SELECT row_number() OVER (ORDER BY id) - 2 FROM t ORDER BY id", "-1;0;1", "Int64").await;
    w.rows(
        "SELECT DATE '2024-01-01' + INTERVAL '1 day', DATE '2024-01-31' - DATE '2024-01-01' FROM t WHERE id = 1",
        "2024-01-02|30",
    )
    .await;
}

#[tokio::test]
async fn sums_of_integers_fail_only_if_the_result_has_no_place() {
    let w = world().await;
    let over = "(SELECT n FROM t UNION ALL SELECT 1)";
    w.fails(&format!("SELECT sum(n) FROM {over} q"), "sum(q.n) does not fit BIGINT").await;
    w.fails(&format!("SELECT n > 0, sum(n) FROM {over} q WHERE n IS NOT NULL GROUP BY n > 0"), "does not fit BIGINT")
        .await;
    w.rows("SELECT sum(n) FROM (SELECT n FROM t UNION ALL SELECT 1 UNION ALL SELECT -6) q", "9223372036854775807")
        .await;
    w.rows("SELECT sum(n) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (SELECT id AS k, n FROM t WHERE id = 1 UNION ALL SELECT 2, -5 UNION ALL SELECT 3, 10) q ORDER BY k", "9223372036854775807;9223372036854775802;5").await;
    w.fails("SELECT sum(DISTINCT n) FROM t", "does not fit BIGINT").await;
    w.rows("SELECT sum(DISTINCT v) FROM (VALUES (5), (5), (6)) q(v)", "11").await;
    w.rows("SELECT sum(DISTINCT v) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1, 5), (2, 5), (3, NULL), (4, 6)) q(k, v) ORDER BY k", "5;5;5;6").await;
    w.typed("SELECT sum(id), sum(CAST(id * 1 AS SMALLINT)), avg(id) FROM t", "6|6|2.0", "Int64|Int64|Float64").await;
}

#[tokio::test]
async fn try_gives_null_where_a_row_fails() {
    let w = world().await;
    w.rows(
        "SELECT TRY(n + 1), TRY(CAST(s AS INT)), TRY(id / (id - 1)) FROM t ORDER BY id",
        "NULL|NULL|NULL;6|7|2;NULL|NULL|1",
    )
    .await;
    w.rows("SELECT TRY(1 / 0), TRY(CAST('x' AS INT))", "NULL|NULL").await;
    // The items of one row's list fail that row alone.
    let lists = "(VALUES (1, make_array(1)), (2, make_array(9223372036854775807)), (3, make_array(3))) AS q(k, a)";
    w.rows(&format!("SELECT TRY(CAST(a AS INT[])[1]) FROM {lists} ORDER BY k"), "1;NULL;3").await;
    w.rows("SELECT coalesce(TRY(coalesce(CAST(s AS INT), 5)), -1) FROM t ORDER BY id", "-1;7;5").await;
    w.rows("SELECT id FROM t WHERE TRY(n + 1) IS NULL ORDER BY id", "1;3").await;
    w.rows("SELECT sum(TRY(n + 1)), count(TRY(n + 1)) FROM t", "6|1").await;
    w.typed(
        "SELECT try_add(n, n), try_subtract(n, 1), try_multiply(n, 2), try_divide(id, 0) FROM t ORDER BY id",
        "NULL|9223372036854775806|NULL|NULL;10|4|10|NULL;NULL|NULL|NULL|NULL",
        "Int64|Int64|Int64|Float64",
    )
    .await;
    w.rows(
        "SELECT try_divide(3, 2), try_divide(d, 3), try_divide(d, 0.0), try_divide(x, 0) FROM t WHERE id = 2",
        "1.5|0.666667|NULL|NULL",
    )
    .await;
    w.rows("SELECT try_sum(n), try_avg(d), try_sum(x) IS NULL FROM (SELECT n, d, x FROM t UNION ALL SELECT n, d, x FROM t) q", "NULL|33334.413333|false").await;
    w.rows("SELECT try_sum(n) FROM t WHERE id > 1", "5").await;
    w.rows("SELECT id FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id = try(a.id + 1)) ORDER BY id", "1;2").await;
    w.fails("SELECT TRY(random() + 1) FROM t", "TRY cannot hold").await;
    w.fails("SELECT TRY((SELECT max(n) FROM t) + 1)", "TRY cannot hold").await;
    w.fails("SELECT TRY(sum(n)) FROM (SELECT n FROM t UNION ALL SELECT n FROM t) q", "sum(q.n) does not fit").await;
    w.rows("SELECT TRY(id + 1) AS a FROM t GROUP BY TRY(id + 1) ORDER BY a", "2;3;4").await;
}

#[tokio::test]
async fn errors_and_json_show_what_they_should() {
    let w = world().await;
    w.fails("SELECT CAST(s AS INT) FROM t", "CAST(t.s AS INT): a value cannot be converted to INT").await;
    w.fails("SELECT CAST(x AS INT) FROM t", "CAST(t.x AS INT): a value cannot be converted to INT").await;
    w.fails("SELECT CAST('7781x' AS INT) FROM t", "CAST('7781x' AS INT): a value cannot be converted to INT").await;
    w.fails("SELECT CAST(n AS INT) FROM t", "the result of CAST(t.n AS INT) does not fit INT").await;
    w.fails("SELECT t.id FROM t JOIN t u ON CAST(t.n AS INT) = CAST(u.id AS INT)", "CAST(t.n AS INT) does not fit")
        .await;
    w.rows("SELECT count(*) FROM t JOIN t u ON CAST(t.id AS INT) = CAST(u.id AS SMALLINT) WHERE t.id = 1", "1").await;
    w.rows("SELECT CASE WHEN id > 0 THEN id ELSE CAST('x' AS INT) END FROM t WHERE id = 1", "1").await;
    w.rows("SELECT TRY(CAST('x' AS INT)) IS NULL, TRY_CAST('x' AS INT) IS NULL", "true|true").await;
    w.rows("SELECT -0.16, CAST(-0.05 AS DECIMAL(4, 2))", "-0.16|-0.05").await;
    let batches = crate::world::session()
        .sql("SELECT CAST('-0.16' AS DECIMAL(4, 2)) AS v")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), r#"[{"v":-0.16}]"#);
}

#[tokio::test]
async fn whole_numbers_are_found_exactly() {
    let w = World::new(&[(
        "e",
        "SELECT CAST(d AS DECIMAL(38, 10)) AS d, CAST(c AS DECIMAL(2, 2)) AS c FROM (VALUES
            ('9999999999999999999999999999.9999999999', 0.99), ('-123456789012345678901234.5000000001', -0.01),
            ('5', 0.00), (NULL, NULL)) v(d, c)",
    )])
    .await;
    w.typed(
        "SELECT ceil(d), floor(d) FROM e",
        "10000000000000000000000000000|9999999999999999999999999999;-123456789012345678901234|-123456789012345678901235;5|5;NULL|NULL",
        "Decimal128(29, 0)|Decimal128(29, 0)",
    )
    .await;
    w.typed("SELECT ceil(c), floor(c) FROM e", "1|0;0|-1;0|0;NULL|NULL", "Decimal128(1, 0)|Decimal128(1, 0)").await;
    w.typed("SELECT ceil(-0.5), floor(1.5e0), ceil(1.5e0)", "0|1.0|2.0", "Decimal128(1, 0)|Float64|Float64").await;
    w.typed(
        "SELECT trunc(9007199254740993), trunc(1299, -2), trunc(-1299, -2), trunc(-9223372036854775808, -18), trunc(5, -40)",
        "9007199254740993|1200|-1200|-9000000000000000000|0",
        "Int64|Int64|Int64|Int64|Int64",
    )
    .await;
    w.rows("SELECT trunc(1299, p) FROM (VALUES (-2), (1)) v(p)", "1200;1299").await;
    w.fails("SELECT 1.5 & 3", "whole numbers").await;
}

/// DOUBLE has NaN and infinities in the place of failures.
#[tokio::test]
async fn roots_and_powers_of_doubles_do_not_fail() {
    let w = World::new(&[("p", "SELECT -1e0 AS m, 0e0 AS z")]).await;
    w.rows("SELECT sqrt(m), sqrt(z), power(z, -1), power(m, 0.5), power(2, 10) FROM p", "NaN|0.0|inf|NaN|1024.0").await;
    w.rows(
        "SELECT sqrt(-1), sqrt(4), sqrt(NULL), sqrt(CAST(2.25 AS DECIMAL(5, 2))), power(0, -1)",
        "NaN|2.0|NULL|1.5|inf",
    )
    .await;
}

#[tokio::test]
async fn functions_of_doubles_stay_within_the_range() {
    let w = World::new(&[("r", "SELECT * FROM (VALUES (1, 1e308), (2, -1.5e300), (3, 2.345e-310)) v(id, x)")]).await;
    w.rows(
        "SELECT round(x, 2), trunc(x, 2), round(x, -2) FROM r WHERE id < 3 ORDER BY id",
        "1e308|1e308|1e308;-1.5e300|-1.5e300|-1.5e300",
    )
    .await;
    w.rows("SELECT round(x, 312), trunc(x, 312), round(x, 2) FROM r WHERE id = 3", "2.35e-310|2.34e-310|0.0").await;
    w.rows("SELECT round(x, id), trunc(x, CAST(NULL AS INT)) FROM r WHERE id = 1", "1e308|NULL").await;
    w.rows("SELECT round(CAST(3.4e38 AS REAL), 2), trunc(CAST(3.4e38 AS REAL), 2)", "3.4e38|3.4e38").await;
    w.rows(
        "SELECT round(2.675e0, 2), round(-2.5e0), round(12345e0, -2), trunc(-199.9e0, 0)",
        "2.68|-3.0|12300.0|-199.0",
    )
    .await;
    // ln(2e308), to sixteen digits by Python's decimal module.
    w.rows(
        "SELECT abs(asinh(x) - 709.889355822726) < 1e-11, abs(acosh(x) - 709.889355822726) < 1e-11 FROM r WHERE id = 1",
        "true|true",
    )
    .await;
    w.rows("SELECT asinh(-x) = -asinh(x) FROM r WHERE id = 1", "true").await;
    let big = "(VALUES (1, 1e308), (1, 1e308), (1, 1e308), (2, -1e308), (2, -1e308), (2, NULL)) b(k, y)";
    w.rows(
        &format!("SELECT k, avg(y), avg(y) FILTER (WHERE y > 0) FROM {big} GROUP BY k ORDER BY k"),
        "1|1e308|1e308;2|-1e308|NULL",
    )
    .await;
    w.rows(&format!("SELECT avg(y), avg(DISTINCT y) FROM {big} WHERE k = 2"), "-1e308|-1e308").await;
    w.rows(&format!("SELECT k, avg(y) OVER (ORDER BY y, k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {big} WHERE k = 2 ORDER BY y"), "2|-1e308;2|-1e308;2|-1e308").await;
}

#[tokio::test]
async fn a_constant_beside_a_decimal_of_a_union_has_its_own_digits() {
    let w = World::new(&[]).await;
    w.typed(
        "SELECT x + 1, x * 3 FROM (SELECT 2 AS x UNION ALL SELECT 1.5) q ORDER BY 1",
        "2.5|4.5;3.0|6.0",
        "Decimal128(22, 1)|Decimal128(23, 1)",
    )
    .await;
}

#[tokio::test]
async fn texts_are_cast_as_written() {
    let w = World::new(&[(
        "s",
        "SELECT * FROM (VALUES (1, ' 12 '), (2, '1e2'), (3, '1.005'), (4, 'x'), (5, NULL), (6, '99999999.995')) v(id, s)",
    )])
    .await;
    w.rows("SELECT CAST(s AS DECIMAL(10, 2)) FROM s WHERE id IN (1, 2, 3, 5) ORDER BY id", "12.00;100.00;1.01;NULL")
        .await;
    w.rows("SELECT TRY_CAST(s AS DECIMAL(10, 2)) FROM s ORDER BY id", "12.00;100.00;1.01;NULL;NULL;NULL").await;
    w.fails("SELECT CAST(s AS DECIMAL(10, 2)) FROM s", "cannot be converted to DECIMAL(10, 2)").await;
    w.rows(
        "SELECT CAST(' 12 ' AS DECIMAL(10, 2)), CAST('1e2' AS DECIMAL(10, 2)), TRY_CAST('1e' AS DECIMAL(10, 2)), \
         CAST(' 2020-01-01 ' AS DATE), CAST(' 2020-01-01 10:00:00 ' AS TIMESTAMP), CAST(' true ' AS BOOLEAN)",
        "12.00|100.00|NULL|2020-01-01|2020-01-01T10:00:00|true",
    )
    .await;
    w.fails("SELECT CAST('1e' AS DECIMAL(10, 2))", "cannot be converted").await;
}

#[tokio::test]
async fn whole_powers_have_whole_logarithms() {
    let w = World::new(&[("t", "SELECT v FROM (VALUES (1000), (1)) t(v)")]).await;
    // DuckDB's and PostgreSQL's.
    w.typed(
        "SELECT log(10, v), log(v), log(2, 8), log(3, 243), log(5e-1, 4), log(10.0, 0.001) FROM t",
        "3.0|3.0|3.0|5.0|-2.0|-3.0;0.0|0.0|3.0|5.0|-2.0|-3.0",
        "Float64|Float64|Float64|Float64|Float64|Float64",
    )
    .await;
    w.rows("SELECT log(10, NULL), log(NULL)", "NULL|NULL").await;
    w.rows("SELECT log(0), log(CAST('inf' AS DOUBLE))", "-inf|inf").await;
}

#[tokio::test]
async fn a_double_becomes_the_decimal_that_it_is_written_as() {
    let w = World::new(&[(
        "t",
        "SELECT CAST(v AS DOUBLE) AS v FROM (VALUES ('1e22'), ('0.1'), ('1.005'), ('-2.675'), ('123456789.123456789')) t(v)",
    )])
    .await;
    // Spark's and Trino's, by the shortest decimal; PostgreSQL's but for its 15 digits.
    w.rows(
        "SELECT CAST(v AS DECIMAL(38, 15)) FROM t",
        "10000000000000000000000.000000000000000;0.100000000000000;1.005000000000000;-2.675000000000000;\
         123456789.123456790000000",
    )
    .await;
    w.rows("SELECT CAST(v AS DECIMAL(30, 2)) FROM t", "10000000000000000000000.00;0.10;1.01;-2.68;123456789.12").await;
    w.rows(
        "SELECT CAST(1e22 AS DECIMAL(38, 15)), CAST(CAST(0.1 AS REAL) AS DECIMAL(20, 10))",
        "10000000000000000000000.000000000000000|0.1000000000",
    )
    .await;
    w.rows("SELECT TRY_CAST(v AS DECIMAL(5, 2)) FROM t WHERE v > 100", "NULL;NULL").await;
    w.fails("SELECT CAST(v AS DECIMAL(5, 2)) FROM t", "a value cannot be converted to DECIMAL(5, 2)").await;
    w.fails("SELECT CAST(CAST('NaN' AS DOUBLE) * v AS DECIMAL(5, 2)) FROM t", "a value cannot be converted").await;
}
