//! Bounds of planning: size, time, and callers that left; and parameters with types of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{
    ArrayRef, AsArray, Decimal128Array, DictionaryArray, Int32Array, MapBuilder, MapFieldNames, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Int32Type, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use ingot_model::TableName;

use crate::running::QueryThreads;
use crate::watch::{self, Watch, watched};
use crate::{Caller, ErrorKind, QueryError, Session, SessionLimits};

const ME: &Caller = &Caller::ANONYMOUS;

fn session(limits: &SessionLimits) -> Session {
    let ts = TimestampMicrosecondArray::from(vec![1_700_000_000_000_000, 1_700_000_060_000_000]).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int32Array::from(vec![1, 2]))),
        ("d", Arc::new(Decimal128Array::from(vec![125, 1_000]).with_precision_and_scale(12, 2).unwrap())),
        ("t", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("ts", Arc::new(ts)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    let name = TableName::new("a", "x");
    Session::over([(name, table)], Vec::new(), "ingot", limits).unwrap()
}

fn usual() -> Session {
    session(&SessionLimits { memory_bytes_max: 64 << 20, parallelism: Some(2), ..SessionLimits::default() })
}

async fn with(s: &Session, sql: &str, values: Vec<ScalarValue>) -> Result<RecordBatch, QueryError> {
    let planned = s.plan(ME, sql, None).await?;
    let rows = s.execute(ME, &planned, Some(values)).await?;
    let schema = rows.schema();
    let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(|e| QueryError::from_running(sql, &e))?;
    Ok(datafusion::arrow::compute::concat_batches(&schema, &rows).unwrap())
}

async fn rows(s: &Session, sql: &str, value: ScalarValue) -> usize {
    with(s, sql, vec![value]).await.unwrap_or_else(|e| panic!("{sql}: {e}")).num_rows()
}

/// A value as one of a dense union, as SQLAlchemy's dialect sends it.
fn union(value: ScalarValue) -> ScalarValue {
    use datafusion::arrow::datatypes::{Field, UnionFields, UnionMode};
    let fields = UnionFields::try_new(
        [0, 1, 2],
        [
            Field::new("string", DataType::Utf8, true),
            Field::new("bigint", DataType::Int64, true),
            Field::new("double", DataType::Float64, true),
        ],
    )
    .unwrap();
    let id = match value.data_type() {
        DataType::Utf8 => 0,
        DataType::Int64 => 1,
        _ => 2,
    };
    ScalarValue::Union(Some((id, Box::new(value))), fields, UnionMode::Dense)
}

#[tokio::test]
async fn a_value_keeps_its_own_type() {
    let s = usual();
    for (sql, value, wanted) in [
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::from(1.5), 0),
        ("SELECT 1 FROM a.x WHERE k < ?", ScalarValue::from(1.5), 1),
        ("SELECT 1 FROM a.x WHERE ? < k", ScalarValue::from(1.5), 1),
        ("SELECT 1 FROM a.x WHERE k IN (?, 7)", ScalarValue::from(1.5), 0),
        ("SELECT 1 FROM a.x WHERE k BETWEEN ? AND 2", ScalarValue::from(1.5), 1),
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::from(1_i64 + (1 << 32)), 0),
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::from(1_i64), 1),
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::Int8(Some(2)), 1),
        ("SELECT 1 FROM a.x WHERE d = ?", ScalarValue::Decimal128(Some(1_250), 10, 3), 1),
        ("SELECT 1 FROM a.x WHERE d = ?", ScalarValue::Decimal128(Some(1_251), 10, 3), 0),
        ("SELECT 1 FROM a.x WHERE d > ?", ScalarValue::from(1.2), 2),
        ("SELECT 1 FROM a.x WHERE t = ?", ScalarValue::Utf8View(Some("b".into())), 1),
        ("SELECT 1 FROM a.x WHERE ts > ?", ScalarValue::TimestampSecond(Some(1_700_000_000), Some("UTC".into())), 1),
        ("SELECT 1 FROM a.x WHERE k = ?", union(ScalarValue::from(2_i64)), 1),
        ("SELECT 1 FROM a.x WHERE t = ?", union(ScalarValue::from("a")), 1),
        ("SELECT 1 FROM a.x WHERE k > ?", union(ScalarValue::from(0.5)), 2),
        ("SELECT 1 FROM a.x ORDER BY k LIMIT ?", ScalarValue::Int32(Some(1)), 1),
        ("SELECT 1 FROM a.x WHERE k = $n", ScalarValue::from(2_i64), 1),
    ] {
        assert_eq!(rows(&s, sql, value.clone()).await, wanted, "{sql} with {value}");
    }
    let product = with(&s, "SELECT k * ? AS p FROM a.x ORDER BY k", vec![ScalarValue::from(0.19)]).await.unwrap();
    assert_eq!(product.column(0).as_primitive::<datafusion::arrow::datatypes::Float64Type>().values(), &[0.19, 0.38]);
    let list = with(&s, "VALUES (?), (1)", vec![ScalarValue::from(1.5)]).await.unwrap();
    assert!(pretty_format_batches(&[list]).unwrap().to_string().contains("1.5"));
    let shown = with(&s, "EXPLAIN SELECT 1 FROM a.x WHERE k = ?", vec![ScalarValue::from(2_i64)]).await.unwrap();
    assert!(shown.num_rows() > 0);
}

#[tokio::test]
async fn any_value_binds_where_no_type_is_known() {
    let s = usual();
    let dictionary = DictionaryArray::<Int32Type>::from_iter([Some("x")]);
    for value in [
        ScalarValue::Boolean(Some(true)),
        ScalarValue::Int8(Some(-1)),
        ScalarValue::UInt64(Some(u64::MAX)),
        ScalarValue::from(2.5),
        ScalarValue::from("text"),
        ScalarValue::Binary(Some(vec![1])),
        ScalarValue::Decimal128(Some(5), 38, 2),
        ScalarValue::Date32(Some(1)),
        ScalarValue::TimestampMicrosecond(Some(1), None),
        ScalarValue::Null,
        union(ScalarValue::from("u")),
        ScalarValue::try_from_array(&dictionary, 0).unwrap(),
        ScalarValue::List(ScalarValue::new_list_nullable(&[ScalarValue::from(1_i64)], &DataType::Int64)),
    ] {
        let one = with(&s, "SELECT ? AS a", vec![value.clone()]).await.unwrap_or_else(|e| panic!("{value}: {e}"));
        let is_null = one.column(0).is_null(0) || one.column(0).data_type() == &DataType::Null;
        assert_eq!(is_null, value == ScalarValue::Null, "{value}");
    }
}

#[tokio::test]
async fn an_instant_of_any_zone_is_bound_in_utc() {
    let s = usual();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let zone = || Some("+02:00".into());
    for value in [
        ScalarValue::TimestampMicrosecond(Some(7_000_000), zone()),
        ScalarValue::TimestampSecond(Some(7), zone()),
        ScalarValue::TimestampMicrosecond(Some(7_000_000), Some("UTC".into())),
    ] {
        let one = with(&s, "SELECT ? AS a", vec![value.clone()]).await.unwrap_or_else(|e| panic!("{value}: {e}"));
        assert_eq!(one.column(0).data_type(), &utc, "{value}");
        let micros = one.column(0).as_primitive::<datafusion::arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!(micros.value(0), 7_000_000, "{value}");
    }
    let value = ScalarValue::TimestampMicrosecond(Some(7_000_000), zone());
    let list = ScalarValue::List(ScalarValue::new_list_nullable(std::slice::from_ref(&value), &value.data_type()));
    let one = with(&s, "SELECT ? AS a", vec![list]).await.unwrap();
    let DataType::List(item) = one.column(0).data_type() else { panic!("{}", one.column(0).data_type()) };
    assert_eq!(item.data_type(), &utc);
}

#[tokio::test]
async fn what_would_lose_something_is_refused() {
    let s = usual();
    let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    map.append(true).unwrap();
    let map = ScalarValue::Map(Arc::new(map.finish()));
    for (sql, value) in [
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::from("1.5")),
        ("SELECT 1 FROM a.x WHERE k = ?", ScalarValue::from("one")),
        ("SELECT 1 FROM a.x WHERE d = ?", ScalarValue::from("1.255")),
        ("SELECT 1 FROM a.x WHERE ts = ?", ScalarValue::from("2024-01-01T00:00:00.0000001Z")),
        ("SELECT ? AS a", ScalarValue::TimestampNanosecond(Some(1), None)),
        ("SELECT ? AS a", ScalarValue::TimestampSecond(Some(i64::MAX), None)),
        ("SELECT ? AS a", ScalarValue::Time64Nanosecond(Some(1))),
        ("SELECT ? AS a", ScalarValue::Date64(Some(1))),
        ("SELECT ? AS a", ScalarValue::Decimal256(Some(datafusion::arrow::datatypes::i256::MAX), 76, 0)),
        ("SELECT ? AS a", map),
    ] {
        let e = with(&s, sql, vec![value.clone()]).await.err().unwrap_or_else(|| panic!("{sql} with {value} ran"));
        assert_eq!(e.code, "Q0105", "{sql} with {value}: {e}");
        assert!(e.message.contains("$1"), "{e}");
    }
    // Text that says the value exactly is read as it.
    for (sql, text) in [
        ("SELECT 1 FROM a.x WHERE k = ?", "2"),
        ("SELECT 1 FROM a.x WHERE d = ?", "1.250"),
        ("SELECT 1 FROM a.x WHERE ts = ?", "2023-11-14T22:13:20Z"),
    ] {
        assert_eq!(rows(&s, sql, ScalarValue::from(text)).await, 1, "{sql} with {text}");
    }
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let planned = s.plan(ME, "SELECT 1 FROM a.x WHERE ts = ?", None).await.unwrap();
    assert_eq!(planned.parameters, [("$1".to_owned(), Some(zone))]);
}

#[tokio::test]
async fn planning_ends_at_its_deadline_and_when_nobody_waits() {
    let hasty = session(&SessionLimits { planning_max: Duration::ZERO, ..SessionLimits::default() });
    let e = hasty.plan(ME, "SELECT k + 1 AS a FROM a.x WHERE k > 1", None).await.err().unwrap();
    assert_eq!((e.kind, e.code), (ErrorKind::Deadline, "Q0116"), "{e}");

    // Work that only looks at the watch ends when its caller goes.
    let threads = QueryThreads::new(1, Duration::from_secs(600)).unwrap();
    let free = threads.free();
    let work = threads.plan(|| async {
        let ended: Result<(), QueryError> = loop {
            if let Err(e) = watch::check() {
                break Err(QueryError::from_engine("", &e));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        ended
    });
    assert!(tokio::time::timeout(Duration::from_millis(100), work).await.is_err());
    let deadline = Instant::now() + Duration::from_secs(20);
    while threads.free() < free {
        assert!(Instant::now() < deadline, "planning went on after its caller had gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A panic is an error of its own.
    let broken = || async {
        if threads_are_real() {
            panic!("no");
        }
        Ok::<_, QueryError>(())
    };
    let e = threads.plan(broken).await.err().unwrap();
    assert_eq!(e.kind, ErrorKind::Internal);
}

fn threads_are_real() -> bool {
    true
}

/// The engine's own rules look at the watch, the logical and the physical ones.
#[tokio::test]
async fn the_engines_rules_are_watched() {
    let s = usual();
    let planned = s.plan(ME, "SELECT k FROM a.x WHERE k > 1 ORDER BY k", None).await.unwrap();
    let gone = Watch { cancelled: Default::default(), until: Instant::now() + Duration::from_secs(600) };
    gone.cancelled.cancel();
    let state = planned.state.clone();
    let error = watched(gone.clone(), || state.optimize(&planned.plan)).unwrap_err();
    assert_eq!(QueryError::from_engine("", &error).kind, ErrorKind::Cancelled);
    let physical = state.create_physical_plan(&planned.plan).await.unwrap();
    let rule = state.physical_optimizers()[0].clone();
    let error = watched(gone, || rule.optimize(physical, state.config_options())).unwrap_err();
    assert_eq!(QueryError::from_engine("", &error).kind, ErrorKind::Cancelled);
}

/// The largest statements that are let in, of each kind: planned, run and dropped. Dropping happens on whatever thread
/// holds the plan last.
#[test]
fn the_largest_statements_fit_the_stack() {
    let deep = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(90), close.repeat(90));
    let statements = [
        format!("SELECT 1 AS a FROM a.x WHERE k = 1{}", " AND k <> 2".repeat(740)),
        format!("SELECT 1 AS a FROM a.x WHERE k = 1{}", " OR t = 'b'".repeat(740)),
        format!("SELECT k{} AS a FROM a.x", " + 1".repeat(145)),
        format!("SELECT t{} AS a FROM a.x", " || t".repeat(145)),
        format!("SELECT 1 AS a{}", " UNION ALL SELECT 2".repeat(148)),
        format!("SELECT {} AS a", deep("(", "1", ")")),
        format!("SELECT {} AS a FROM a.x", deep("abs(", "k", ")")),
        format!("SELECT {} AS a", deep("[", "1", "]")),
        format!("SELECT {}1{} AS a FROM a.x", "CASE WHEN k > (".repeat(60), ") THEN 1 END".repeat(60)),
        format!("SELECT k FROM {}a.x{}", "(SELECT k - k AS k FROM ".repeat(60), ") AS q".repeat(60)),
        format!("SELECT k FROM {}a.x{} WHERE k > 1", "(SELECT k FROM ".repeat(60), ") AS q".repeat(60)),
        format!("SELECT {}1 AS a", "- ".repeat(145)),
        format!("SELECT {}TRUE AS a", "NOT ".repeat(250)),
        format!("SELECT 1{} AS a", "::BIGINT::INT".repeat(740)),
    ];
    for sql in statements {
        let shown: String = sql.chars().take(60).collect();
        // As the server's own threads are.
        let small = std::thread::Builder::new().stack_size(2 << 20);
        let ended = small.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let s = session(&SessionLimits { planning_max: Duration::from_secs(300), ..SessionLimits::default() });
                let began = Instant::now();
                let planned = s.plan(ME, &sql, None).await.map_err(|e| e.to_string())?;
                let rows = s.execute(ME, &planned, None).await.map_err(|e| e.to_string())?;
                let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(|e| e.to_string())?;
                drop(planned);
                println!("{:?} {:.50}", began.elapsed(), sql);
                Ok::<_, String>(rows.iter().map(RecordBatch::num_rows).sum::<usize>())
            })
        });
        let result = ended.unwrap().join().unwrap_or_else(|_| panic!("{shown}"));
        assert!(result.is_ok_and(|rows| rows > 0), "{shown}");
    }
}
