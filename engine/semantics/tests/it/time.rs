//! Time over the whole range of microseconds. The right answers are the calendar's, and DuckDB's (2.0) where it goes
//! as far.

use crate::engine::Engine;
use crate::world::World;

async fn engine() -> Engine {
    Engine::with(&["CREATE TABLE t AS SELECT arrow_cast(ts, 'Timestamp(Microsecond, None)') AS ts,
           arrow_cast(ts, 'Timestamp(Microsecond, Some(\"UTC\"))') AS tz, CAST(d AS DATE) AS d, i
         FROM (VALUES ('0001-01-01T00:00:00', '0001-01-01', 1), ('1600-02-29T12:34:56.789012', '1600-02-29', 2),
           ('2020-05-17T10:20:30.405060', '2020-05-17', 3), ('9999-12-31T23:59:59.999999', '9999-12-31', 4),
           (NULL, NULL, 5)) AS v(ts, d, i)"])
    .await
}

async fn check(queries: &[(&str, &str)]) {
    let engine = engine().await;
    for (sql, wanted) in queries {
        assert_eq!(engine.sorted(sql).await, *wanted, "{sql}");
    }
}

#[tokio::test]
async fn comparisons_with_literals() {
    check(&[
        ("SELECT i FROM t WHERE ts < '2000-01-01'", "1 2"),
        ("SELECT i FROM t WHERE ts < '2000-01-01 00:00:00'", "1 2"),
        ("SELECT i FROM t WHERE ts >= DATE '9999-12-31'", "4"),
        ("SELECT i FROM t WHERE ts < DATE '0001-01-02'", "1"),
        ("SELECT i FROM t WHERE ts < TIMESTAMP '1601-01-01 00:00:00'", "1 2"),
        ("SELECT i FROM t WHERE tz = '9999-12-31T23:59:59.999999Z'", "4"),
        ("SELECT i FROM t WHERE '1600-02-29T12:34:56.789012' = ts", "2"),
        ("SELECT i FROM t WHERE ts BETWEEN '1500-01-01' AND '2262-12-31'", "2 3"),
        ("SELECT i FROM t WHERE ts NOT BETWEEN DATE '1500-01-01' AND DATE '2262-12-31'", "1 4"),
        ("SELECT i FROM t WHERE ts IN ('0001-01-01', '2020-05-17T10:20:30.405060')", "1 3"),
        ("SELECT i FROM t WHERE ts NOT IN (DATE '0001-01-01')", "2 3 4"),
        ("SELECT i FROM t WHERE ts >= d", "1 2 3 4"),
        ("SELECT i FROM t WHERE ts = d", "1"),
        ("SELECT i FROM t WHERE ts IS DISTINCT FROM d", "2 3 4"),
        ("SELECT i FROM t WHERE ts > now() - INTERVAL '1 day'", "4"),
        ("SELECT i FROM t WHERE ts > current_date", "4"),
        ("SELECT i FROM t WHERE CASE ts WHEN '0001-01-01' THEN true END", "1"),
        ("SELECT i FROM t WHERE ts IN (SELECT d FROM t)", "1"),
        ("SELECT i FROM t WHERE d IN (SELECT ts FROM t)", "1"),
        ("SELECT i FROM t WHERE ts > ALL (SELECT d FROM t WHERE i < 3)", "2 3 4"),
        ("SELECT x.i FROM t AS x JOIN t AS y ON x.ts = y.d", "1"),
    ])
    .await;
}

#[tokio::test]
async fn values_of_one_type() {
    check(&[
        (
            "SELECT i, coalesce(ts, DATE '0001-01-01') FROM t WHERE i IN (1, 5)",
            "1|0001-01-01T00:00:00 5|0001-01-01T00:00:00",
        ),
        (
            "SELECT CASE WHEN i = 5 THEN DATE '9999-12-31' ELSE ts END FROM t WHERE i > 3",
            "9999-12-31T00:00:00 9999-12-31T23:59:59.999999",
        ),
        (
            "SELECT ts FROM t WHERE i = 4 UNION ALL SELECT d FROM t WHERE i = 1",
            "0001-01-01T00:00:00 9999-12-31T23:59:59.999999",
        ),
        ("SELECT d FROM t WHERE i = 4 UNION SELECT ts FROM t WHERE i = 1", "0001-01-01T00:00:00 9999-12-31T00:00:00"),
        ("SELECT ts FROM t WHERE i < 5 INTERSECT SELECT d FROM t", "0001-01-01T00:00:00"),
        ("SELECT greatest(ts, DATE '9999-12-31') FROM t WHERE i = 1", "9999-12-31T00:00:00"),
        (
            "SELECT CAST('9999-12-31' AS TIMESTAMP), CAST('0001-01-01T01:02:03.000004' AS TIMESTAMP)",
            "9999-12-31T00:00:00|0001-01-01T01:02:03.000004",
        ),
        ("SELECT TRY_CAST('nothing' AS TIMESTAMP), TRY_CAST('9999-12-31' AS TIMESTAMP)", "NULL|9999-12-31T00:00:00"),
        ("SELECT min(ts), max(ts) FROM t", "0001-01-01T00:00:00|9999-12-31T23:59:59.999999"),
        ("SELECT CAST(ts AS DATE) FROM t WHERE i IN (2, 4)", "1600-02-29 9999-12-31"),
        ("SELECT CAST(d AS TIMESTAMP) FROM t WHERE i IN (1, 4)", "0001-01-01T00:00:00 9999-12-31T00:00:00"),
        ("SELECT CAST(ts AS VARCHAR) FROM t WHERE i = 4", "9999-12-31T23:59:59.999999"),
    ])
    .await;
}

#[tokio::test]
async fn arithmetic() {
    check(&[
        ("SELECT ts + INTERVAL '1 day' FROM t WHERE i IN (1, 3)", "0001-01-02T00:00:00 2020-05-18T10:20:30.405060"),
        ("SELECT ts + INTERVAL '1 month' FROM t WHERE i = 2", "1600-03-29T12:34:56.789012"),
        ("SELECT ts - INTERVAL '9998 years' FROM t WHERE i = 4", "0001-12-31T23:59:59.999999"),
        ("SELECT extract(epoch FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-11670953103.210987 -62135596800.0 1589710830.40506 253402300800.0 NULL"),
        ("SELECT extract(epoch FROM ts - DATE '1970-01-01') FROM t WHERE i = 3", "1589710830.40506"),
        ("SELECT extract(day FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-135080 -719162 18399 2932896 NULL"),
        ("SELECT extract(hour FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-11 0 10 23 NULL"),
        ("SELECT extract(minute FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-25 0 20 59 NULL"),
        ("SELECT extract(second FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-3 0 30 59 NULL"),
        ("SELECT date_part('millisecond', ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-3210 0 30405 59999 NULL"),
        ("SELECT extract(microsecond FROM ts - TIMESTAMP '1970-01-01 00:00:00') FROM t", "-3210988 0 30405060 59999999 NULL"),
        ("SELECT extract(epoch FROM max(ts) - min(ts)) FROM t", "315537897600.0"),
        ("SELECT extract(microsecond FROM INTERVAL '1 hour 61.5 seconds'), extract(epoch FROM INTERVAL '1 year 1 month 1 day')", "1500000|34236000.0"),
        ("SELECT extract(hour FROM INTERVAL '100 hours'), extract(month FROM INTERVAL '14 months')", "100|2"),
        ("SELECT extract(year FROM ts), extract(month FROM ts), extract(day FROM ts), extract(hour FROM ts) FROM t WHERE i = 4", "9999|12|31|23"),
        ("SELECT extract(epoch FROM ts) FROM t WHERE i IN (1, 3)", "-62135596800.0 1589710830.40506"),
        ("SELECT extract(dow FROM ts), extract(doy FROM ts), extract(week FROM ts) FROM t WHERE i = 2", "2|60|9"),
        ("SELECT i FROM t WHERE extract(year FROM ts) = 9999", "4"),
    ])
    .await;
    let engine = engine().await;
    let error = engine.try_rows("SELECT extract(year FROM ts - TIMESTAMP '1970-01-01') FROM t").await.unwrap_err();
    assert!(error.to_string().contains("no part 'YEAR'") || error.to_string().contains("no part 'year'"), "{error}");
}

#[tokio::test]
async fn truncation() {
    check(&[
        (
            "SELECT date_trunc('year', ts) FROM t",
            "0001-01-01T00:00:00 1600-01-01T00:00:00 2020-01-01T00:00:00 9999-01-01T00:00:00 NULL",
        ),
        (
            "SELECT date_trunc('quarter', ts) FROM t",
            "0001-01-01T00:00:00 1600-01-01T00:00:00 2020-04-01T00:00:00 9999-10-01T00:00:00 NULL",
        ),
        (
            "SELECT date_trunc('month', ts) FROM t",
            "0001-01-01T00:00:00 1600-02-01T00:00:00 2020-05-01T00:00:00 9999-12-01T00:00:00 NULL",
        ),
        (
            "SELECT date_trunc('week', ts) FROM t",
            "0001-01-01T00:00:00 1600-02-28T00:00:00 2020-05-11T00:00:00 9999-12-27T00:00:00 NULL",
        ),
        (
            "SELECT date_trunc('DAY', ts) FROM t",
            "0001-01-01T00:00:00 1600-02-29T00:00:00 2020-05-17T00:00:00 9999-12-31T00:00:00 NULL",
        ),
        ("SELECT date_trunc('hour', tz) FROM t WHERE i IN (2, 4)", "1600-02-29T12:00:00Z 9999-12-31T23:00:00Z"),
        ("SELECT date_trunc('minute', ts) FROM t WHERE i IN (2, 4)", "1600-02-29T12:34:00 9999-12-31T23:59:00"),
        (
            "SELECT date_trunc('millisecond', ts) FROM t WHERE i IN (2, 4)",
            "1600-02-29T12:34:56.789 9999-12-31T23:59:59.999",
        ),
        (
            "SELECT date_trunc('month', d), date_trunc('month', '9999-12-31') FROM t WHERE i = 4",
            "9999-12-01T00:00:00|9999-12-01T00:00:00",
        ),
        ("SELECT date_trunc('year', TIMESTAMP '1969-12-31 23:59:59')", "1969-01-01T00:00:00"),
        (
            "SELECT date_trunc('day', TIMESTAMP '2020-07-01 01:00:00' AT TIME ZONE 'Europe/Berlin')",
            "2020-06-30T00:00:00Z",
        ),
        (
            "SELECT date_trunc('hour', TIMESTAMPTZ '2020-10-25T01:30:00Z' AT TIME ZONE 'Europe/Berlin')",
            "2020-10-25T02:00:00",
        ),
        ("SELECT date_trunc('month', tz AT TIME ZONE 'Europe/Berlin') FROM t WHERE i = 4", "+10000-01-01T00:00:00"),
        ("SELECT date_trunc('second', TIME '10:20:30.5')", "10:20:30"),
        ("SELECT date_trunc('year', NULL)", "NULL"),
    ])
    .await;
}

#[tokio::test]
async fn bins() {
    check(&[
        (
            "SELECT date_bin(INTERVAL '15 minutes', ts) FROM t",
            "0001-01-01T00:00:00 1600-02-29T12:30:00 2020-05-17T10:15:00 9999-12-31T23:45:00 NULL",
        ),
        (
            "SELECT date_bin(INTERVAL '1 day', tz, TIMESTAMP '2020-01-01 06:00:00') FROM t WHERE i IN (2, 4)",
            "1600-02-29T06:00:00Z 9999-12-31T06:00:00Z",
        ),
        (
            "SELECT date_bin(INTERVAL '1 month', ts) FROM t",
            "0001-01-01T00:00:00 1600-02-01T00:00:00 2020-05-01T00:00:00 9999-12-01T00:00:00 NULL",
        ),
        (
            "SELECT date_bin(INTERVAL '3 months', ts, TIMESTAMP '2000-01-15 12:00:00') FROM t WHERE i IN (2, 3, 4)",
            "1600-01-15T12:00:00 2020-04-15T12:00:00 9999-10-15T12:00:00",
        ),
        ("SELECT date_bin(INTERVAL '1 year', ts) FROM t WHERE i IN (1, 4)", "0001-01-01T00:00:00 9999-01-01T00:00:00"),
        ("SELECT date_bin(INTERVAL '7 days', DATE '9999-12-31', DATE '0001-01-01')", "9999-12-27T00:00:00"),
        ("SELECT date_bin(INTERVAL '15 minutes', TIME '10:20:30')", "10:15:00"),
        ("SELECT date_bin(NULL, ts) FROM t WHERE i = 1", "NULL"),
    ])
    .await;
}

#[tokio::test]
async fn text_and_numbers_to_timestamps() {
    check(&[
        ("SELECT to_timestamp('9999-12-31T23:59:59.999999')", "9999-12-31T23:59:59.999999Z"),
        ("SELECT to_timestamp('0001-01-01'), to_timestamp('2020-01-01T00:00:00+02:00')", "0001-01-01T00:00:00Z|2019-12-31T22:00:00Z"),
        ("SELECT to_timestamp(CAST(ts AS VARCHAR)) = tz FROM t", "NULL true true true true"),
        ("SELECT to_timestamp('31.12.9999 23:59', '%d.%m.%Y', '%d.%m.%Y %H:%M')", "9999-12-31T23:59:00Z"),
        ("SELECT to_timestamp(253402300799), to_timestamp(-62135596800), to_timestamp(1.5)", "9999-12-31T23:59:59Z|0001-01-01T00:00:00Z|1970-01-01T00:00:01.500Z"),
        ("SELECT to_timestamp_millis(253402300799999), to_timestamp_micros(253402300799999999), to_timestamp_seconds('9999-12-31')", "9999-12-31T23:59:59.999Z|9999-12-31T23:59:59.999999Z|9999-12-31T00:00:00Z"),
        ("SELECT arrow_typeof(to_timestamp('2020-01-01'))", "Timestamp(µs, \"UTC\")"),
        ("SELECT to_timestamp(d), to_timestamp(ts) FROM t WHERE i = 4", "9999-12-31T00:00:00Z|9999-12-31T23:59:59.999999Z"),
        ("SELECT to_timestamp(NULL)", "NULL"),
        ("SELECT to_date('9999-12-31'), to_date('0001-01-01')", "9999-12-31|0001-01-01"),
        ("SELECT to_unixtime('9999-12-31T00:00:00Z'), to_unixtime(ts) FROM t WHERE i = 4", "253402214400|253402300799"),
        ("SELECT to_char(ts, '%Y-%m-%d %H:%M:%S%.6f') FROM t WHERE i IN (1, 4)", "0001-01-01 00:00:00.000000 9999-12-31 23:59:59.999999"),
        ("SELECT to_char(tz, '%d.%m.%Y'), to_char(d, '%Y/%m') FROM t WHERE i = 4", "31.12.9999|9999/12"),
        ("SELECT from_unixtime(253402300799)", "9999-12-31T23:59:59"),
        ("SELECT ts AT TIME ZONE 'UTC' FROM t WHERE i IN (1, 4)", "0001-01-01T00:00:00Z 9999-12-31T23:59:59.999999Z"),
        ("SELECT tz AT TIME ZONE 'UTC' FROM t WHERE i IN (1, 4)", "0001-01-01T00:00:00 9999-12-31T23:59:59.999999"),
        ("SELECT to_local_time(tz) FROM t WHERE i IN (1, 4)", "0001-01-01T00:00:00 9999-12-31T23:59:59.999999"),
        ("SELECT make_date(9999, 12, 31)", "9999-12-31"),
    ])
    .await;
    let engine = engine().await;
    for sql in ["SELECT to_timestamp('nothing')", "SELECT to_timestamp(9e15)", "SELECT to_timestamp('x', '%Y')"] {
        assert!(engine.try_rows(sql).await.is_err(), "{sql}");
    }
}

/// A month is 30 days and a day 24 hours, as in PostgreSQL and DuckDB.
#[tokio::test]
async fn lengths_of_time_are_compared_as_lengths() {
    let w = crate::world::World::new(&[(
        "stays",
        "SELECT 1 AS k, CAST('2024-01-01 00:00:00' AS TIMESTAMP) AS a, CAST('2024-01-03 00:00:00' AS TIMESTAMP) AS b",
    )])
    .await;
    w.rows("SELECT k FROM stays WHERE b - a > INTERVAL '1 day'", "1").await;
    w.rows("SELECT k FROM stays WHERE b - a < INTERVAL '1 day'", "").await;
    w.rows(
        "SELECT b - a = INTERVAL '2 days', b - a = INTERVAL '48 hours', b - a > INTERVAL '49 hours', INTERVAL '1 month' > b - a FROM stays",
        "true|true|false|true",
    )
    .await;
    w.rows("SELECT b - a BETWEEN INTERVAL '1 day' AND INTERVAL '3 days', b - a IN (INTERVAL '1 day', INTERVAL '48 hours') FROM stays",
        "true|true").await;
    w.rows("SELECT CASE b - a WHEN INTERVAL '2 days' THEN 'two' ELSE 'other' END FROM stays", "two").await;
    w.rows("SELECT b - a > (b - a), b - a > NULL FROM stays", "false|NULL").await;
    w.rows("SELECT INTERVAL '1 month' = INTERVAL '30 days', INTERVAL '24 hours' = INTERVAL '1 day', INTERVAL '1 day' < INTERVAL '25 hours'",
        "true|true|true").await;
    w.rows("SELECT k FROM stays JOIN (SELECT INTERVAL '48 hours' AS h) q ON b - a = h", "1").await;
}

/// The hours of an interval are no part of a DATE: the result is a timestamp, as in PostgreSQL, DuckDB and Spark.
#[tokio::test]
async fn hours_make_a_timestamp_of_a_date() {
    let w = crate::world::World::new(&[("t", "SELECT DATE '2024-01-01' AS d")]).await;
    w.typed(
        "SELECT d - INTERVAL '1 hour' AS a, INTERVAL '25 hours' + d AS b, d + INTERVAL '1 month' AS c FROM t",
        "2023-12-31T23:00:00|2024-01-02T01:00:00|2024-02-01",
        "Timestamp(µs)|Timestamp(µs)|Date32",
    )
    .await;
    w.rows("SELECT count(*) FROM t WHERE d + INTERVAL '1 hour' > d", "1").await;
}

#[tokio::test]
async fn timestamps_stand_in_values_and_arrays() {
    let w = crate::world::World::new(&[("t", "SELECT 1 AS k")]).await;
    w.typed(
        "SELECT x FROM (VALUES (TIMESTAMP '2024-01-01 00:00:00'), (NULL)) v(x)",
        "2024-01-01T00:00:00;NULL",
        "Timestamp(µs)",
    )
    .await;
    w.rows(
        "SELECT x FROM (VALUES (DATE '9999-12-31'), (TIMESTAMP '2024-01-01 00:00:00')) v(x) ORDER BY x",
        "2024-01-01T00:00:00;9999-12-31T00:00:00",
    )
    .await;
    w.rows(
        "SELECT make_array(DATE '9999-12-31', TIMESTAMP '2024-01-01 00:00:00')",
        "[9999-12-31T00:00:00, 2024-01-01T00:00:00]",
    )
    .await;
}

/// PostgreSQL's order: a month is 30 days, a day 24 hours.
#[tokio::test]
async fn intervals_are_compared_by_their_length_everywhere() {
    let w = World::new(&[]).await;
    let t = "(VALUES (1, INTERVAL '30 days'), (2, INTERVAL '1 month'), (3, INTERVAL '29 days'), (4, INTERVAL '720 hours'), \
             (5, INTERVAL '2000 hours'), (6, INTERVAL '-1 day')) t(id, i)";
    let q = |sql: &str| sql.replace("{t}", t);
    w.rows(&q("SELECT id FROM {t} ORDER BY i, id"), "6;3;1;2;4;5").await;
    w.rows(&q("SELECT count(*) AS n FROM {t} GROUP BY i ORDER BY n"), "1;1;1;3").await;
    w.rows(&q("SELECT count(*) FROM (SELECT DISTINCT i FROM {t}) d"), "4").await;
    w.rows(&q("SELECT count(DISTINCT i) FROM {t}"), "4").await;
    w.rows(&q("SELECT rank() OVER (ORDER BY i) AS r FROM {t} ORDER BY r"), "1;2;3;3;3;6").await;
    w.rows(&q("SELECT id, count(*) OVER (PARTITION BY i) FROM {t} ORDER BY id"), "1|3;2|3;3|1;4|3;5|1;6|1").await;
    w.rows(
        &q("SELECT count(*) FROM {t} JOIN {t2} ON t.i = u.i").replace("{t2}", &t.replace("t(id, i)", "u(id, i)")),
        "12",
    )
    .await;
    w.rows(&q("SELECT count(*) FROM {t} WHERE i IN (INTERVAL '1 month', INTERVAL '696 hours')"), "4").await;
    w.rows(&q("SELECT count(*) FROM (SELECT i FROM {t} INTERSECT SELECT INTERVAL '1 month') x"), "1").await;
    w.rows(&q("SELECT count(*) FROM (SELECT i FROM {t} EXCEPT SELECT INTERVAL '1 month') x"), "3").await;
    w.rows(&q("SELECT count(*) FROM (SELECT INTERVAL '30 days' UNION SELECT INTERVAL '1 month') x"), "1").await;
    w.rows(
        "SELECT [INTERVAL '30 days'] = [INTERVAL '1 month'], array_has([INTERVAL '30 days'], INTERVAL '1 month')",
        "true|true",
    )
    .await;
    w.rows("SELECT greatest(INTERVAL '31 days', INTERVAL '1 month') > INTERVAL '1 month', nullif(INTERVAL '30 days', INTERVAL '1 month')", "true|NULL").await;
    // An extremum keeps its form: 31 days after the first of February is not one month and a day after it.
    w.rows(
        "SELECT DATE '2021-02-01' + max(i), DATE '2021-02-01' + min(i) FROM (VALUES (INTERVAL '31 days'), (INTERVAL '1 month'), (INTERVAL '12 days')) t(i)",
        "2021-03-04T00:00:00|2021-02-13T00:00:00",
    )
    .await;
    w.rows(
        "SELECT k, DATE '2021-02-01' + max(i) FROM (VALUES (1, INTERVAL '31 days'), (1, INTERVAL '1 month'), (2, INTERVAL '2000 hours'), (2, INTERVAL '1 month')) t(k, i) GROUP BY k ORDER BY k",
        "1|2021-03-04T00:00:00;2|2021-04-25T08:00:00",
    )
    .await;
    w.rows(&q("SELECT id FROM (SELECT id, i, max(i) OVER () AS m FROM {t}) x WHERE i = m"), "5").await;
    w.rows("SELECT rank() OVER (ORDER BY b - a) FROM (VALUES (TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP '2020-01-02 00:00:00')) t(a, b)", "1").await;
}

#[tokio::test]
async fn uuids_are_read_and_written() {
    let w = World::new(&[(
        "u",
        "SELECT * FROM (VALUES (1, '{A0EEBC99-9C0B4EF8-BB6D6BB9BD380A11}'), (2, 'no'), (3, NULL)) v(id, s)",
    )])
    .await;
    w.rows(
        "SELECT CAST(CAST('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' AS UUID) AS VARCHAR)",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    )
    .await;
    w.rows(
        "SELECT CAST(TRY_CAST(s AS UUID) AS VARCHAR) FROM u ORDER BY id",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11;NULL;NULL",
    )
    .await;
    w.rows("SELECT id FROM u WHERE TRY_CAST(s AS UUID) = CAST('a0eebc999c0b4ef8bb6d6bb9bd380a11' AS UUID)", "1").await;
    w.fails("SELECT CAST(s AS UUID) FROM u", "cannot be converted").await;
    w.fails("SELECT CAST('no' AS UUID)", "cannot be converted").await;
    w.rows(
        "SELECT TRY_CAST('no' AS UUID) IS NULL, TRY(CAST(s AS UUID)) IS NULL FROM u ORDER BY id",
        "true|false;true|true;true|true",
    )
    .await;
}

#[tokio::test]
async fn instants_of_any_year_have_a_text() {
    let w =
        World::new(&[("m", "SELECT * FROM (VALUES (9223372036854775807), (0), (-9223372036854775808)) v(n)")]).await;
    w.rows(
        "SELECT CAST(arrow_cast(n, 'Timestamp(Microsecond, None)') AS VARCHAR) AS x FROM m ORDER BY n DESC",
        "+294247-01-10T04:00:54.775807;1970-01-01T00:00:00;-290308-12-21T19:59:05.224192",
    )
    .await;
}

/// PostgreSQL's.
#[tokio::test]
async fn intervals_are_multiplied_and_divided_by_whole_numbers() {
    let w = World::new(&[(
        "t",
        "SELECT CAST(n AS INT) AS n, TIMESTAMP '2020-01-31 12:00:00' AS ts, TIMESTAMP '2020-01-01' AS a FROM (VALUES (2), (-3), (NULL)) t(n)",
    )])
    .await;
    w.rows(
        "SELECT n * INTERVAL '1 month 2 days 3 hours' FROM t",
        "2 mons 4 days 6 hours;-3 mons -6 days -9 hours;NULL",
    )
    .await;
    w.rows("SELECT INTERVAL '1 day' * n FROM t", "2 days;-3 days;NULL").await;
    w.rows("SELECT ts + n * INTERVAL '1 month' FROM t", "2020-03-31T12:00:00;2019-10-31T12:00:00;NULL").await;
    w.rows("SELECT INTERVAL '1 month' / n FROM t", "15 days;-10 days;NULL").await;
    w.rows(
        "SELECT INTERVAL '-5 days' / 2, INTERVAL '1 month 10 days' / 3, INTERVAL '1 day' / 7, INTERVAL '5 months 7 days' / 2",
        "-2 days -12 hours|13 days 8 hours|3 hours 25 mins 42.857143000 secs|2 mons 18 days 12 hours",
    )
    .await;
    w.rows(
        "SELECT extract(epoch FROM (ts - a) * n), extract(epoch FROM (ts - a) / n) FROM t",
        "5270400.0|1317600.0;-7905600.0|-878400.0;NULL|NULL",
    )
    .await;
    w.rows("SELECT n FROM t WHERE ts - a > n * INTERVAL '20 days'", "-3").await;
    w.rows("SELECT TRY(INTERVAL '1 day' / (n - 2)) FROM t", "NULL;-4 hours -48 mins;NULL").await;
    w.fails("SELECT INTERVAL '1 day' / (n - 2) FROM t", "divides by zero").await;
    w.fails("SELECT INTERVAL '1000000000 months' * n * n FROM t", "does not fit INTERVAL").await;
    w.fails("SELECT INTERVAL '1 day' * 1.5", "whole numbers alone").await;
    w.fails("SELECT INTERVAL '1 day' * INTERVAL '1 day'", "INTERVAL * INTERVAL has no meaning").await;
    w.fails("SELECT 2 / INTERVAL '1 day'", "BIGINT / INTERVAL has no meaning").await;
    w.fails("SELECT -ts FROM t", "has no meaning").await;
}

#[tokio::test]
async fn parts_of_times_that_chrono_does_not_know() {
    // By Python's calendar, modulo 400 years.
    let w = World::new(&[(
        "t",
        "SELECT arrow_cast(n, 'Timestamp(Microsecond, None)') AS ts, arrow_cast(n, 'Timestamp(Microsecond, Some(\"UTC\"))') AS tz, arrow_cast(d, 'Date32') AS day FROM (VALUES \
         (9223372036854775807, CAST(778177811 AS INT)), (-9223372036854775807, -778177811), (0, 0), (NULL, NULL)) v(n, d)",
    )])
    .await;
    for column in ["ts", "tz"] {
        w.rows(
            &format!(
                "SELECT extract(year FROM {column}), extract(month FROM {column}), extract(day FROM {column}), \
                 extract(hour FROM {column}), extract(doy FROM {column}), extract(dow FROM {column}) FROM t"
            ),
            "294247|1|10|4|10|0;-290308|12|21|19|356|0;1970|1|1|0|1|4;NULL|NULL|NULL|NULL|NULL|NULL",
        )
        .await;
    }
    w.rows(
        "SELECT extract(year FROM day), extract(month FROM day), extract(day FROM day), extract(isoyear FROM day) FROM t",
        "2132548|6|25|2132548;-2128609|7|9|-2128609;1970|1|1|1970;NULL|NULL|NULL|NULL",
    )
    .await;
    w.rows("SELECT ts = tz AS a, CAST(ts AS TIMESTAMPTZ) = tz AS b FROM t", "true|true;true|true;true|true;NULL|NULL")
        .await;
}

#[tokio::test]
async fn seconds_beyond_microseconds_are_no_time() {
    let w = World::new(&[("t", "SELECT n FROM (VALUES (1), (9223372036854)) t(n)")]).await;
    w.typed("SELECT from_unixtime(n) FROM t WHERE n = 1", "1970-01-01T00:00:01", "Timestamp(µs)").await;
    w.rows("SELECT from_unixtime(n, 'UTC') FROM t WHERE n = 1", "1970-01-01T00:00:01Z").await;
    w.fails("SELECT from_unixtime(n + 1) FROM t", "from_unixtime(t.n + 1): there is no such time").await;
}

#[tokio::test]
async fn a_literal_beside_a_length_of_time_is_an_interval() {
    let w = World::new(&[("t", "SELECT TIMESTAMP '2020-01-03' AS b, TIMESTAMP '2020-01-01' AS a")]).await;
    w.rows(
        "SELECT b - a = '2 days', b - a > '1 day', '49 hours' > b - a, INTERVAL '1 day' = '24 hours' FROM t",
        "true|true|true|true",
    )
    .await;
    w.fails("SELECT b - a = 'zz' FROM t", "'zz' is no INTERVAL").await;
    w.fails("SELECT INTERVAL '1 day' < 'zz' FROM t", "'zz' is no INTERVAL").await;
}

/// Values are DuckDB's; DATE is taken as its midnight.
#[tokio::test]
async fn a_wall_clock_has_no_zone_and_an_instant_has_utc() {
    let w = World::new(&[(
        "e",
        "SELECT k, CAST(tz AS TIMESTAMPTZ) AS tz, CAST(ts AS TIMESTAMP) AS ts, z FROM (VALUES
           (1, '2024-03-31T01:30:00Z', '2024-03-31T02:30:00', 'Europe/Berlin'),
           (2, '2023-01-01T00:00:00.000003Z', '2024-10-27T02:30:00', 'Europe/Berlin'),
           (3, '1600-02-29T12:34:56.789012Z', '1600-02-29T12:34:56.789012', 'Asia/Kolkata'),
           (4, NULL, NULL, 'Asia/Tokyo'), (5, '2024-01-01T00:00:00Z', '2024-01-01T00:00:00', NULL)) v(k, tz, ts, z)",
    )])
    .await;
    let berlin = "(SELECT k, tz AT TIME ZONE 'Europe/Berlin' AS x FROM e) q";
    let q = |sql: &str| sql.replace("{berlin}", berlin);
    w.typed(
        "SELECT tz AT TIME ZONE 'Europe/Berlin' AS a, ts AT TIME ZONE 'Europe/Berlin' AS b FROM e WHERE k < 5 ORDER BY k",
        "2024-03-31T03:30:00|2024-03-31T01:30:00Z;2023-01-01T01:00:00.000003|2024-10-27T01:30:00Z;\
         1600-02-29T13:28:24.789012|1600-02-29T11:41:28.789012Z;NULL|NULL",
        "Timestamp(µs)|Timestamp(µs, \"UTC\")",
    )
    .await;
    w.rows(
        &q("SELECT CAST(x AS TIMESTAMP) AS a, CAST(x AS TIME) AS b, CAST(x AS DATE) AS c, CAST(x AS TIMESTAMP) = x AS d, extract(hour FROM x) AS e FROM {berlin} WHERE k = 1"),
        "2024-03-31T03:30:00|03:30:00|2024-03-31|true|3",
    )
    .await;
    w.rows(
        &q("SELECT x = TIMESTAMP '2023-01-01 01:00:00.000003', extract(epoch FROM x - TIMESTAMP '2023-01-01 01:00:00'), CAST(x AS VARCHAR) FROM {berlin} WHERE k = 2"),
        "true|3e-6|2023-01-01T01:00:00.000003",
    )
    .await;
    // A row of the instant itself counts as its wall clock in UTC, on either side.
    let (there, here) = (
        "SELECT tz AT TIME ZONE 'Europe/Berlin' AS x FROM e WHERE k = 2",
        "SELECT CAST(tz AS TIMESTAMP) AS x FROM e WHERE k = 2",
    );
    w.rows(&format!("SELECT extract(hour FROM x) FROM ({there} UNION ALL {here}) u ORDER BY 1"), "0;1").await;
    w.rows(&format!("SELECT extract(hour FROM x) FROM ({here} UNION ALL {there}) u ORDER BY 1"), "0;1").await;
    let stored = "SELECT tz AS x FROM e WHERE k = 2";
    w.rows(
        &format!("SELECT extract(hour FROM x), arrow_typeof(x) FROM ({there} UNION ALL {stored}) u ORDER BY 1"),
        "0|Timestamp(µs, \"UTC\");1|Timestamp(µs, \"UTC\")",
    )
    .await;
    w.rows(
        &format!("SELECT extract(hour FROM x), arrow_typeof(x) FROM ({stored} UNION ALL {there}) u ORDER BY 1"),
        "0|Timestamp(µs, \"UTC\");1|Timestamp(µs, \"UTC\")",
    )
    .await;
    // Zones of rows, offsets to the east, NULL.
    w.rows(
        "SELECT tz AT TIME ZONE z FROM e ORDER BY k",
        "2024-03-31T03:30:00;2023-01-01T01:00:00.000003;1600-02-29T18:28:24.789012;NULL;NULL",
    )
    .await;
    w.typed(
        "SELECT tz AT TIME ZONE '+02:00' AS a, ts AT TIME ZONE '-0330' AS b, tz AT TIME ZONE NULL AS c, NULL AT TIME ZONE 'UTC' AS d FROM e WHERE k = 1",
        "2024-03-31T03:30:00|2024-03-31T06:00:00Z|NULL|NULL",
        "Timestamp(µs)|Timestamp(µs, \"UTC\")|Timestamp(µs)|Timestamp(µs)",
    )
    .await;
    w.typed(
        "SELECT DATE '2020-07-01' AT TIME ZONE 'Europe/Berlin' AS a, ts AT TIME ZONE 'utc' AT TIME ZONE 'europe/berlin' AS b, timezone('Asia/Tokyo', ts) AS c FROM e WHERE k = 2",
        "2020-06-30T22:00:00Z|2024-10-27T03:30:00|2024-10-26T17:30:00Z",
        "Timestamp(µs, \"UTC\")|Timestamp(µs)|Timestamp(µs, \"UTC\")",
    )
    .await;
    w.rows(&q("SELECT count(*) FROM {berlin} JOIN e ON q.x = e.tz AT TIME ZONE 'Europe/Berlin'"), "4").await;
    w.rows("SELECT CASE WHEN k < 5 THEN tz AT TIME ZONE z END FROM e WHERE k = 3", "1600-02-29T18:28:24.789012").await;
}

#[tokio::test]
async fn clocks_of_all_years_and_at_their_changes_are_duckdbs() {
    let w = World::new(&[]).await;
    for (instant, zone, wall) in [
        ("0001-01-01T00:00:00Z", "Europe/Berlin", "0001-01-01T00:53:28"),
        ("1600-02-29T12:34:56.789012Z", "Asia/Kolkata", "1600-02-29T18:28:24.789012"),
        ("1900-07-01T00:00:00Z", "Europe/Berlin", "1900-07-01T01:00:00"),
        ("1940-07-01T00:00:00Z", "Europe/Berlin", "1940-07-01T02:00:00"),
        ("2098-07-01T00:00:00.000001Z", "Europe/Berlin", "2098-07-01T02:00:00.000001"),
        ("2100-07-01T00:00:00.000001Z", "Europe/Berlin", "2100-07-01T02:00:00.000001"),
        ("2500-07-01T00:00:00.000001Z", "Europe/Berlin", "2500-07-01T02:00:00.000001"),
        ("9999-07-01T00:00:00.000001Z", "Europe/Berlin", "9999-07-01T02:00:00.000001"),
        ("9999-12-31T23:59:59.999999Z", "America/New_York", "9999-12-31T18:59:59.999999"),
    ] {
        w.rows(&format!("SELECT TIMESTAMPTZ '{instant}' AT TIME ZONE '{zone}'"), wall).await;
    }
    for (wall, zone, instant) in [
        // The clock goes forward from 2 to 3 and back from 3 to 2.
        ("2024-03-31 02:00:00", "Europe/Berlin", "2024-03-31T01:00:00Z"),
        ("2024-03-31 02:30:00", "Europe/Berlin", "2024-03-31T01:30:00Z"),
        ("2024-10-27 02:00:00", "Europe/Berlin", "2024-10-27T01:00:00Z"),
        ("2024-10-27 02:30:00", "Europe/Berlin", "2024-10-27T01:30:00Z"),
        ("2024-10-27 03:00:00", "Europe/Berlin", "2024-10-27T02:00:00Z"),
        ("2100-03-28 02:30:00", "Europe/Berlin", "2100-03-28T01:30:00Z"),
        ("2100-10-31 02:30:00", "Europe/Berlin", "2100-10-31T01:30:00Z"),
        ("1893-04-01 00:02:00", "Europe/Berlin", "1893-03-31T23:08:32Z"),
        ("2500-07-01 12:00:00", "Australia/Sydney", "2500-07-01T02:00:00Z"),
        ("2500-01-01 12:00:00", "Australia/Sydney", "2500-01-01T01:00:00Z"),
    ] {
        w.rows(&format!("SELECT TIMESTAMP '{wall}' AT TIME ZONE '{zone}'"), instant).await;
    }
}

#[tokio::test]
async fn no_type_has_a_zone_other_than_utc() {
    let w = World::new(&[("e", "SELECT CAST('2024-03-31T01:30:00Z' AS TIMESTAMPTZ) AS tz, 0 AS n, 'Mars/Base' AS z")])
        .await;
    let utc = "Timestamp(µs, \"UTC\")";
    w.typed(
        "SELECT CAST('2024-01-01T00:00:00+02:00' AS TIMESTAMPTZ) AS a, TIMESTAMPTZ '2024-01-01 00:00:00+02' AS b, to_timestamp('2024-01-01T00:00:00+02:00') AS c, date_bin(INTERVAL '1 hour', tz) AS d, coalesce(tz, now()) AS e FROM e",
        "2023-12-31T22:00:00Z|2023-12-31T22:00:00Z|2023-12-31T22:00:00Z|2024-03-31T01:00:00Z|2024-03-31T01:30:00Z",
        &[utc; 5].join("|"),
    )
    .await;
    let zoned = "Timestamp(Microsecond, Some(\"Europe/Berlin\"))";
    w.fails(&format!("SELECT arrow_cast(tz, '{zoned}') FROM e"), "AT TIME ZONE 'Europe/Berlin'").await;
    w.fails(&format!("SELECT arrow_cast(make_array(tz), 'List({zoned})') FROM e"), "AT TIME ZONE 'Europe/Berlin'")
        .await;
    w.fails("SELECT from_unixtime(n, 'Europe/Berlin') FROM e", "to_timestamp(n) AT TIME ZONE 'Europe/Berlin'").await;
    w.fails("SELECT tz AT TIME ZONE 'Mars/Base' FROM e", "there is no time zone 'Mars/Base'").await;
    w.fails("SELECT tz AT TIME ZONE z FROM e", "there is no such time zone").await;
    w.fails("SELECT '2024-01-01' AT TIME ZONE 'Europe/Berlin' FROM e", "CAST it").await;
    w.fails("SELECT TIME '10:00:00' AT TIME ZONE 'Europe/Berlin' FROM e", "this is TIME").await;
    w.fails("SELECT tz AT TIME ZONE 2 FROM e", "a time zone is a text").await;
}
