//! What the columns of a result are called.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;

use super::{ME, session};

#[tokio::test]
async fn columns_without_a_name_are_called_as_they_are_written() {
    let s = session();
    let names = async |sql: &str| {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows: Vec<_> = s.execute(ME, &planned, None).await.unwrap().try_collect().await.unwrap();
        for batch in &rows {
            assert_eq!(batch.schema(), planned.schema, "{sql}");
        }
        planned.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" | ")
    };
    for (sql, wanted) in [
        ("SELECT 1", "1"),
        ("SELECT 1, 1, 'a', NULL", "1 | 1 | 'a' | NULL"),
        ("SELECT 1, 1 UNION ALL SELECT 2, 2", "1 | 1"),
        (
            "SELECT battery + 1, e.battery*2, (battery), e.id FROM silver.events e",
            "battery + 1 | e.battery * 2 | battery | id",
        ),
        (
            "SELECT id, id, \"vehicleId\", e.\"vehicleId\" AS v FROM silver.events e ORDER BY id",
            "id | id | vehicleId | v",
        ),
        ("SELECT count(*), sum(battery), count(*) AS n FROM silver.events", "count(*) | sum(battery) | n"),
        ("SELECT cast(battery AS int), upper(id) FROM silver.events", "CAST(battery AS INT) | upper(id)"),
        ("SELECT row_number() OVER (ORDER BY id) FROM silver.events", "row_number() OVER (ORDER BY id)"),
        ("SELECT 1, *, battery + 1 FROM silver.events", "1 | id | type | battery | ts | vehicleId | battery + 1"),
        ("SELECT * FROM (SELECT battery + 1, 2 AS two FROM silver.events) q", "silver.events.battery + 1 | two"),
        ("SELECT * FROM silver.events", "id | type | battery | ts | vehicleId"),
        ("WITH q AS (SELECT 1 AS a) SELECT a, a + 1 FROM q", "a | a + 1"),
        ("SELECT type, count(*) FROM silver.events GROUP BY type ORDER BY count(*), type", "type | count(*)"),
        ("SELECT DISTINCT type, type FROM silver.events ORDER BY type", "type | type"),
        ("VALUES (1, 2)", "column1 | column2"),
    ] {
        assert_eq!(names(sql).await, wanted, "{sql}");
    }
    let planned = s.plan(ME, "SELECT ? + 1, id FROM silver.events", None).await.unwrap();
    let bound = s.bind(ME, &planned, vec![ScalarValue::Int64(Some(1))]).await.unwrap();
    for schema in [&planned.schema, &bound.schema] {
        assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["$1 + 1", "id"]);
    }
}

/// Names and rows, as PostgreSQL and DuckDB give them.
#[tokio::test]
async fn an_item_may_stand_beside_a_star_that_has_it() {
    let s = session();
    let shown = async |sql: &str| {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows: Vec<_> = s.execute(ME, &planned, None).await.unwrap().try_collect().await.unwrap();
        let names = planned.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" | ");
        let table = pretty_format_batches(&rows).unwrap().to_string();
        let rows = table.lines().skip(3).filter(|l| l.starts_with('|')).map(|l| l.replace(' ', ""));
        (names, rows.collect::<Vec<_>>().join(" "))
    };
    let from = "FROM (SELECT id, length(id) AS n FROM silver.events) AS e";
    for (items, names, rows) in [
        ("e.n, *", "n | id | n", "|1|a|1| |1|b|1| |1|c|1|"),
        ("*, n AS n", "id | n | n", "|a|1|1| |b|1|1| |c|1|1|"),
        ("*, id, n + 1 AS n", "id | n | id | n", "|a|1|a|2| |b|1|b|2| |c|1|c|2|"),
        ("n AS id, e.*, n + 1", "id | id | n | n + 1", "|1|a|1|2| |1|b|1|2| |1|c|1|2|"),
    ] {
        let sql = format!("SELECT {items} {from} ORDER BY e.id");
        assert_eq!(shown(&sql).await, (names.to_owned(), rows.to_owned()), "{sql}");
    }
    // Of two outputs of one name that differ, ORDER BY means neither.
    assert!(s.plan(ME, &format!("SELECT *, -n AS n {from} ORDER BY n"), None).await.is_err());
    let planned = s.plan(ME, &format!("SELECT n, * {from} WHERE n = ?"), None).await.unwrap();
    let bound = s.bind(ME, &planned, vec![ScalarValue::Int32(Some(1))]).await.unwrap();
    for schema in [&planned.schema, &bound.schema] {
        assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["n", "id", "n"]);
    }
}

/// Names as they are written, and what DataFusion has no plan for.
#[tokio::test]
async fn items_of_one_name_keep_it() {
    let s = session();
    for (sql, wanted) in [
        ("SELECT * FROM (SELECT id, * FROM silver.events) AS e", "id | id | type | battery | ts | vehicleId"),
        ("SELECT * FROM (SELECT id, type AS id, battery FROM silver.events) AS e", "id | id | battery"),
        (
            "WITH e AS (SELECT type, count(*), count(*) FROM silver.events GROUP BY type) SELECT * FROM e",
            "type | count(*) | count(*)",
        ),
        ("SELECT 1 AS a, 2 AS a", "a | a"),
        ("SELECT events.*, id FROM silver.events", "id | type | battery | ts | vehicleId | id"),
        ("SELECT type, sum(battery) AS id FROM silver.events GROUP BY type ORDER BY max(id || type)", "type | id"),
        (
            "SELECT id, -battery AS battery FROM silver.events ORDER BY row_number() OVER (ORDER BY battery)",
            "id | battery",
        ),
        ("FROM silver.events", "id | type | battery | ts | vehicleId"),
    ] {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows: Vec<_> = s.execute(ME, &planned, None).await.unwrap().try_collect().await.unwrap();
        assert!(rows.iter().all(|batch| batch.schema() == planned.schema), "{sql}");
        let names = planned.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" | ");
        assert_eq!(names, wanted, "{sql}");
    }
    for (sql, wanted) in [
        ("SELECT id FROM (SELECT id, type AS id FROM silver.events) AS e", "column \"id\" is ambiguous"),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS a) AS e WHERE a = 1", "column \"a\" is ambiguous"),
        (
            "SELECT NOT INTERVAL '1 day'",
            "NOT cannot be used with INTERVAL; NOT can only be used with boolean expressions",
        ),
        ("SELECT id COLLATE \"de_DE\" FROM silver.events", "the collation \"de_DE\" is not supported (U0516)"),
    ] {
        let error = s.plan(ME, sql, None).await.map(|_| ()).unwrap_err();
        assert_eq!(error.message, wanted, "{sql}");
        assert!(!error.hint.unwrap_or_default().contains('{'), "{sql}");
    }
}
