//! ORDER BY an extremum with LIMIT keeps groups whose extremum is NULL.

use crate::engine::Engine;

#[tokio::test]
async fn groups_without_a_value_have_their_place() {
    let engine = Engine::with(&["CREATE TABLE t AS SELECT * FROM (VALUES (1, 10), (1, 11), (2, 5), (3, CAST(NULL AS INT)), (4, 20), (5, CAST(NULL AS INT)), (4, NULL)) AS v(k, x)"]).await;
    // Groups by extremum: 2 has 5, 1 has 10 or 11, 4 has 20, 3 and 5 have NULL.
    for function in ["min", "max"] {
        for (order, wanted) in [
            ("", ["2", "1", "4", "3", "5"]),
            ("ASC", ["2", "1", "4", "3", "5"]),
            ("DESC", ["3", "5", "4", "1", "2"]),
            ("ASC NULLS FIRST", ["3", "5", "2", "1", "4"]),
            ("ASC NULLS LAST", ["2", "1", "4", "3", "5"]),
            ("DESC NULLS FIRST", ["3", "5", "4", "1", "2"]),
            ("DESC NULLS LAST", ["4", "1", "2", "3", "5"]),
        ] {
            for limit in 1..=5 {
                for aggregate in [format!("{function}(x)"), format!("{function}(CAST(x AS DOUBLE))")] {
                    let sql = format!(
                        "SELECT k FROM (SELECT k, {aggregate} AS m FROM t GROUP BY k ORDER BY m {order}, k LIMIT {limit}) AS q"
                    );
                    assert_eq!(engine.rows(&sql).await, wanted[..limit], "{sql}");
                    // Without a second key, as DataFusion's own operator for it takes them; ties are NULLs alone.
                    let sql = format!(
                        "SELECT m FROM (SELECT k, {aggregate} AS m FROM t GROUP BY k ORDER BY m {order} LIMIT {limit}) AS q"
                    );
                    let got = engine.rows(&sql).await;
                    let nulls = wanted[..limit].iter().filter(|k| matches!(**k, "3" | "5")).count();
                    assert_eq!(got.iter().filter(|m| *m == "NULL").count(), nulls, "{sql}");
                    assert_eq!(got.len(), limit, "{sql}");
                }
            }
        }
    }
}
