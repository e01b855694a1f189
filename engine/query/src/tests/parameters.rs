//! Parameters: where they stand, and what may be bound for them.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;

use super::{ME, session};
use crate::Place;

#[tokio::test]
async fn parameters_have_places() {
    let s = session();
    for (sql, data_type, place) in [
        ("SELECT id FROM silver.events WHERE length(id) = ?", Some(DataType::Int32), Place::Compared),
        ("SELECT id FROM silver.events WHERE length(id) NOT IN (1, ?)", Some(DataType::Int32), Place::Compared),
        ("SELECT id FROM silver.events WHERE length(id) BETWEEN $1 AND $1", Some(DataType::Int32), Place::Compared),
        ("SELECT ? IN (SELECT length(id) FROM silver.events)", Some(DataType::Int32), Place::Compared),
        ("SELECT length(id) * ? FROM silver.events", Some(DataType::Int32), Place::Elsewhere),
        ("SELECT length(id) * $1 FROM silver.events WHERE length(id) > $1", Some(DataType::Int32), Place::Elsewhere),
        ("SELECT id FROM silver.events LIMIT ?", Some(DataType::Int64), Place::Counted),
        ("SELECT id FROM silver.events LIMIT 1 OFFSET ?", Some(DataType::Int64), Place::Counted),
        ("SELECT CAST(? AS BIGINT) AS x", None, Place::Cast(DataType::Int64)),
        ("SELECT id FROM silver.events WHERE battery > CAST(? AS INT)", None, Place::Cast(DataType::Int32)),
        ("SELECT ? AS x", None, Place::Elsewhere),
        ("SELECT -$1 / $1 AS x", Some(DataType::Float64), Place::Guessed),
    ] {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!((planned.parameters.len(), planned.places.len()), (1, 1), "{sql}");
        assert_eq!((&planned.parameters[0].1, &planned.places[0]), (&data_type, &place), "{sql}");
    }
}

#[tokio::test]
async fn text_for_uuids_and_rows_and_intervals_are_bound() {
    use ScalarValue as S;
    let s = session();
    let text = |t: &str| S::Utf8(Some(t.into()));
    let day = S::new_interval_mdn(0, 1, 0);
    for (sql, value, rows_wanted) in [
        (
            "SELECT CAST('a0eebc999c0b4ef8bb6d6bb9bd380a11' AS UUID) = ? AS x",
            text("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"),
            1,
        ),
        ("SELECT id FROM silver.events ORDER BY id LIMIT ?", text("2"), 2),
        ("SELECT id FROM silver.events WHERE ts + ? > TIMESTAMPTZ '2023-11-15 00:00:00Z'", day.clone(), 3),
        ("SELECT id FROM silver.events WHERE ? + ts > TIMESTAMPTZ '2023-11-15 00:00:00Z'", day.clone(), 3),
        ("SELECT id FROM silver.events WHERE ts - ? > TIMESTAMPTZ '2023-11-14 00:00:00Z'", day.clone(), 0),
        ("SELECT date_bin(?, ts) AS b FROM silver.events GROUP BY 1", day, 1),
    ] {
        let planned = s.plan(ME, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows = s.execute(ME, &planned, Some(vec![value])).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), rows_wanted, "{sql}");
    }
    let planned = s.plan(ME, "SELECT CAST('a0eebc999c0b4ef8bb6d6bb9bd380a11' AS UUID) = ? AS x", None).await.unwrap();
    assert_eq!(s.bind(ME, &planned, vec![text("a0")]).await.err().unwrap().code, "Q0105");
}
