//! Texts of errors, and names of columns that have none.

use super::{ME, fails, run, session, text};
use crate::ErrorKind;

#[tokio::test]
async fn errors_of_types_and_shares_are_short() {
    let s = session();
    for (sql, wanted) in [
        ("SELECT median(ts) FROM silver.events", "median does not take arguments of these types: median(TIMESTAMPTZ)"),
        ("SELECT sum(id) FROM silver.events", "sum does not take arguments of these types: sum(STRING)"),
        ("SELECT array_sum(['1'])", "array_sum takes a list of numbers, and this is one of STRING"),
        (
            "SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY battery) FROM silver.events",
            "the share of percentile_cont is a constant between 0.0 and 1.0, and 1.5 is none (T0116)",
        ),
    ] {
        let error = s.plan(ME, sql, None).await.map(|_| ()).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, wanted), "{sql}");
    }
    let error = run(&s, "SELECT array_sum([9223372036854775807, 1]) FROM silver.events").await.unwrap_err();
    assert_eq!(error.message, "the result of array_sum([9223372036854775807, 1]) does not fit BIGINT");
}

#[tokio::test]
async fn grouped_digits_and_subqueries_without_a_name() {
    let s = session();
    assert!(text(&s, "SELECT 1_000 + 1 AS x").await.contains("| 1001 |"));
    let (one, other) = (
        "(SELECT y.id FROM silver.events AS y WHERE y.battery = 20)",
        "(SELECT max(y.id) FROM silver.events AS y WHERE y.type = e.type)",
    );
    let sql = format!("SELECT id, {one}, {other} FROM silver.events AS e ORDER BY 1");
    let planned = s.plan(ME, &sql, None).await.unwrap();
    let names: Vec<&str> = planned.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["id", one, other]);
    let rows = text(&s, &format!("SELECT * FROM ({sql}) AS q (a, b, c) ORDER BY a")).await;
    assert!(rows.contains("| a | b | c |\n| b | b | b |\n| c | b | c |"), "{rows}");
    let e = fails(&s, "SELECT type AS battery FROM silver.events ORDER BY -battery").await;
    assert_eq!(e.hint.as_deref(), Some("perhaps you need to cast battery"));
}
