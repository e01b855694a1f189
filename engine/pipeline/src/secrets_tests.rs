//! No error shows a value out of a table: every function, operator and cast that there is, over rows that they fail for.
//!
//! What fails over a session is failed for again where a streaming table runs it: the reason in the error table, and
//! the table's own error.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use futures::TryStreamExt;
use ingot_model::TableName;

use crate::error::PipelineError;
use crate::failing;
use ingot_query::{Caller, QueryError, Session, SessionLimits, context};

/// In every value of the table, but for booleans.
const SECRET: &str = "7781";
const TEXT: &str = "S3CR3T-7781";
const NUMBER: i64 = 7_781_077_810_778_107;

/// A table of one row: a column for each kind of value. What is a digit of a number is one of its text too.
fn secrets() -> Arc<dyn TableProvider> {
    let texts = || Arc::new(StringArray::from(vec![TEXT])) as ArrayRef;
    let one = || OffsetBuffer::from_lengths([1]);
    let list = |item: ArrayRef| {
        let field = Arc::new(Field::new_list_field(item.data_type().clone(), true));
        Arc::new(ListArray::new(field, one(), item, None)) as ArrayRef
    };
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    let pairs = StructArray::new(entries.clone(), vec![texts(), Arc::new(Int64Array::from(vec![NUMBER]))], None);
    let map =
        MapArray::new(Arc::new(Field::new("entries", DataType::Struct(entries), false)), one(), pairs, None, false);
    let record = StructArray::new(vec![Field::new("a", DataType::Utf8, true)].into(), vec![texts()], None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("s", texts()),
        ("n", Arc::new(Int64Array::from(vec![NUMBER]))),
        // Near the largest: what is added to it does not fit.
        ("huge", Arc::new(Int64Array::from(vec![9_223_372_036_777_817_781]))),
        ("i", Arc::new(Int32Array::from(vec![2_147_477_811]))),
        ("x", Arc::new(Float64Array::from(vec![7.7781e307]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![99_999_999_999_999_999_999_999_999_999_999_778_199])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
        ),
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("day", Arc::new(Date32Array::from(vec![778_177_811]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![9_223_372_036_777_817_781]).with_timezone("UTC"))),
        ("wall", Arc::new(TimestampMicrosecondArray::from(vec![-9_223_372_036_777_817_781]))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"7781-\xff7781"[..]]))),
        ("texts", list(texts())),
        ("numbers", list(Arc::new(Int64Array::from(vec![NUMBER])))),
        ("pairs", Arc::new(map)),
        ("record", Arc::new(record)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

const COLUMNS: &[&str] =
    &["s", "n", "huge", "i", "x", "d", "b", "day", "ts", "wall", "bytes", "texts", "numbers", "pairs", "record"];
/// Arguments that functions want to be constants, or to be of a form.
const CONSTANTS: &[&str] = &[
    "'hex'",
    "'base64'",
    "'day'",
    "'Int32'",
    "'%Y'",
    "'('",
    "'i'",
    "2",
    "-1",
    "0",
    "5.5",
    "INTERVAL '1' DAY",
    "INTERVAL '1' MONTH",
    "NULL",
];
const TYPES: &[&str] = &[
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "BOOLEAN",
    "DECIMAL(5, 2)",
    "DECIMAL(38, 30)",
    "STRING",
    "BINARY",
    "UUID",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "BIGINT[]",
    "STRUCT<a BIGINT>",
    "MAP<STRING, INT>",
];
const OPERATORS: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "~",
    "~*",
    "!~",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "=",
    "<",
    "LIKE",
    "ILIKE",
    "SIMILAR TO",
    "IS DISTINCT FROM",
    "AND",
];

struct Tried {
    session: Session,
    ctx: datafusion::prelude::SessionContext,
    /// Distinct errors of statements that ran.
    failed: BTreeSet<String>,
    leaks: Vec<String>,
    /// Statements whose error does not say which expression fails.
    nameless: Vec<String>,
}

impl Tried {
    fn new() -> Self {
        let name = TableName::new("bronze", "t");
        let limits = SessionLimits { memory_bytes_max: 256 << 20, parallelism: Some(1), ..SessionLimits::default() };
        let session = Session::over([(name, secrets())], Vec::new(), "ingot", &limits).unwrap();
        let ctx = context::maintenance(context::bounded(256 << 20).unwrap()).unwrap();
        ctx.register_table("t", secrets()).unwrap();
        Self { session, ctx, failed: BTreeSet::new(), leaks: Vec::new(), nameless: Vec::new() }
    }

    fn look(&mut self, sql: &str, place: &str, text: &str) {
        // The statement's own text may be shown again, and holds none.
        let shown = [SECRET, "S3CR3T", "37373831", "55, 55, 56, 49"].iter().any(|part| text.contains(part));
        if shown {
            self.leaks.push(format!("{place}: {sql}\n    {text}"));
        }
    }

    /// Runs an expression over the table; whether it was planned.
    async fn expression(&mut self, expression: &str) -> bool {
        let sql = format!("SELECT {expression} FROM bronze.t");
        assert!(!sql.contains(SECRET), "{sql}");
        let planned = match self.session.plan(&Caller::ANONYMOUS, &sql, None).await {
            Ok(planned) => planned,
            Err(error) => {
                self.look(&sql, "planning", &error.to_string());
                return false;
            }
        };
        let outcome = match self.session.execute(&Caller::ANONYMOUS, &planned, None).await {
            Ok(rows) => rows.try_collect::<Vec<_>>().await.map_err(|e| QueryError::from_running(&sql, &e)),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.look(&sql, "session", &format!("{error} {error:?}"));
            let nameless = ["an expression of the statement", "the query engine could not", "a value cannot be"];
            if nameless.iter().any(|text| error.message.starts_with(text)) {
                self.nameless.push(format!("{sql}: {}", error.message));
            }
            self.failed.insert(error.message);
            self.maintained(expression).await;
        }
        true
    }

    /// The same where tables are maintained.
    async fn maintained(&mut self, expression: &str) {
        let state = self.ctx.state();
        let sql = format!("SELECT {expression} FROM t");
        let mut statement = state.sql_to_statement(&sql, &datafusion::common::config::Dialect::Generic).unwrap();
        if let datafusion::sql::parser::Statement::Statement(tree) = &mut statement {
            ingot_semantics::lower(tree).unwrap();
        }
        let Ok(plan) = state.statement_to_plan(statement).await else { return };
        let Ok(frame) = self.ctx.execute_logical_plan(plan).await else { return };
        if let Err(error) = frame.collect().await {
            self.look(&sql, "error table", &failing::reason(&error));
            let stopped = PipelineError::Engine(error);
            self.look(&sql, "log", &format!("{stopped} {:?}", stopped.hint()));
        }
    }
}

fn calls(function: &ScalarUDF, args: &[(&str, DataType)]) -> bool {
    let fields: Vec<_> = args.iter().map(|(_, t)| Arc::new(Field::new("f", t.clone(), true))).collect();
    fields_with_udf(&fields, function).is_ok()
}

/// All lists of so many arguments: of columns, and of constants behind the first.
fn arguments(kinds: &[(&'static str, DataType)], columns: usize, count: usize) -> Vec<Vec<(&'static str, DataType)>> {
    let mut all: Vec<Vec<(&'static str, DataType)>> = vec![vec![]];
    for at in 0..count {
        let choices = if at == 0 { &kinds[..columns] } else { kinds };
        all = all
            .into_iter()
            .flat_map(|before| choices.iter().map(move |kind| [before.as_slice(), std::slice::from_ref(kind)].concat()))
            .collect();
    }
    all
}

#[tokio::test]
async fn no_function_shows_a_value_of_a_row() {
    let mut tried = Tried::new();
    let types: Vec<(&str, DataType)> = {
        let row = tried.ctx.table("t").await.unwrap();
        let of =
            |name: &&'static str| (*name, row.schema().field_with_unqualified_name(name).unwrap().data_type().clone());
        let mut all: Vec<_> = COLUMNS.iter().map(of).collect();
        for constant in CONSTANTS {
            let plan = tried.ctx.sql(&format!("SELECT {constant}")).await.unwrap();
            all.push((*constant, plan.schema().field(0).data_type().clone()));
        }
        all
    };
    let state = tried.ctx.state();
    let mut names: Vec<_> = state.scalar_functions().values().map(|f| f.name().to_owned()).collect();
    names.sort();
    names.dedup();
    let mut planned = 0;
    for name in &names {
        let function = &state.scalar_functions()[name];
        let mut tries = 0;
        for count in 0..4 {
            let kinds: Vec<_> = match count {
                // Of three arguments, the kinds that differ most.
                3 => types
                    .iter()
                    .filter(|(n, _)| ["s", "huge", "ts", "texts", "'('", "2", "-1", "'%Y'"].contains(n))
                    .cloned()
                    .collect(),
                _ => types.clone(),
            };
            let columns = kinds.iter().filter(|(n, _)| COLUMNS.contains(n)).count();
            for args in arguments(&kinds, columns, count) {
                if !calls(function, &args) {
                    continue;
                }
                let list: Vec<_> = args.iter().map(|(n, _)| *n).collect();
                tries += usize::from(tried.expression(&format!("{name}({})", list.join(", "))).await);
                if tries >= 120 {
                    break;
                }
            }
        }
        planned += usize::from(tries > 0);
    }
    println!("{planned} of {} functions ran; {} errors", names.len(), tried.failed.len());
    for text in &tried.failed {
        println!("  {text}");
    }
    assert!(planned * 10 > names.len() * 8, "{planned} of {} functions could be called", names.len());
    assert!(tried.failed.len() > 40, "{:?}", tried.failed);
    assert!(tried.nameless.len() * 20 < tried.failed.len(), "{:#?}", tried.nameless);
    assert!(tried.leaks.is_empty(), "{} leaks:\n{}", tried.leaks.len(), tried.leaks.join("\n"));
}

#[tokio::test]
async fn no_operator_cast_or_aggregate_shows_a_value_of_a_row() {
    let mut tried = Tried::new();
    for column in COLUMNS {
        for to in TYPES {
            tried.expression(&format!("CAST({column} AS {to})")).await;
            tried.expression(&format!("CAST({column} AS {to}) = CAST(s AS {to})")).await;
        }
        for part in ["year", "epoch", "week", "microsecond", "doy"] {
            tried.expression(&format!("extract({part} FROM {column})")).await;
        }
        tried.expression(&format!("-{column}")).await;
        tried.expression(&format!("{column} AT TIME ZONE s")).await;
        tried.expression(&format!("{column}[n]")).await;
        tried.expression(&format!("{column} IN (1, n)")).await;
        tried.expression(&format!("{column} BETWEEN s AND n")).await;
        tried.expression(&format!("CASE {column} WHEN s THEN 1 ELSE n END")).await;
        tried.expression(&format!("(SELECT {column} FROM bronze.t UNION ALL SELECT {column} FROM bronze.t)")).await;
        for right in COLUMNS.iter().chain(&["2", "0", "'('", "INTERVAL '300000' YEAR"]) {
            for operator in OPERATORS {
                tried.expression(&format!("{column} {operator} {right}")).await;
            }
        }
    }
    let state = tried.ctx.state();
    let mut names: Vec<_> = state.aggregate_functions().values().map(|f| f.name().to_owned()).collect();
    let windows: Vec<_> = state.window_functions().values().map(|f| f.name().to_owned()).collect();
    names.sort();
    names.dedup();
    for name in &names {
        for column in COLUMNS {
            tried.expression(&format!("{name}({column})")).await;
            tried
                .expression(&format!(
                    "{name}({column}) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW)"
                ))
                .await;
            for other in ["s", "huge", "0.5", "2", "','"] {
                tried.expression(&format!("{name}({column}, {other})")).await;
            }
        }
    }
    for name in &windows {
        for column in COLUMNS {
            tried.expression(&format!("{name}({column}) OVER (ORDER BY n)")).await;
            tried.expression(&format!("{name}({column}, n) OVER (ORDER BY n)")).await;
            tried
                .expression(&format!(
                    "{name}({column}, 1, s) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND huge FOLLOWING)"
                ))
                .await;
        }
    }
    for over in ["generate_series(1, n)", "range(n, huge)", "unnest(numbers)"] {
        tried.expression(&format!("(SELECT count(*) FROM {over} AS q(v) WHERE CAST(v AS TINYINT) > 1)")).await;
    }
    println!("{} errors", tried.failed.len());
    for text in &tried.failed {
        println!("  {text}");
    }
    assert!(tried.leaks.is_empty(), "{} leaks:\n{}", tried.leaks.len(), tried.leaks.join("\n"));
    assert!(tried.failed.len() > 60, "{:?}", tried.failed);
    assert!(tried.nameless.len() * 20 < tried.failed.len(), "{:#?}", tried.nameless);
}

/// Maps that are the same count as different to the engine, wherever it looks for equals.
#[tokio::test]
async fn what_has_no_equality_is_refused_as_in_files() {
    let tried = Tried::new();
    let refused = [
        "SELECT pairs, count(*) FROM bronze.t GROUP BY pairs",
        "SELECT count(*) FROM bronze.t GROUP BY ROLLUP (s, pairs)",
        "SELECT DISTINCT pairs FROM bronze.t",
        "SELECT DISTINCT ON (pairs) n FROM bronze.t",
        "SELECT count(DISTINCT pairs) FROM bronze.t",
        "SELECT pairs FROM bronze.t UNION SELECT pairs FROM bronze.t",
        "SELECT a.n FROM bronze.t a JOIN bronze.t b ON a.pairs = b.pairs",
        "SELECT n FROM bronze.t ORDER BY pairs",
        "SELECT row_number() OVER (PARTITION BY pairs) FROM bronze.t",
        "SELECT n FROM bronze.t WHERE EXISTS (SELECT 1 FROM bronze.t b GROUP BY b.pairs)",
    ];
    for sql in refused {
        match tried.session.plan(&Caller::ANONYMOUS, sql, None).await {
            Err(error) => assert!(error.message.contains("(U0508)") && error.hint.is_some(), "{sql}: {error}"),
            Ok(_) => panic!("{sql}: planned"),
        }
    }
    for sql in [
        "SELECT pairs, map_keys(pairs) FROM bronze.t WHERE pairs IS NOT NULL ORDER BY n LIMIT 1",
        "SELECT n, array_agg(s), count(pairs) FROM bronze.t GROUP BY n",
        "SELECT row_number() OVER (ORDER BY n), pairs FROM bronze.t",
        "SELECT DISTINCT n FROM bronze.t",
    ] {
        tried.session.plan(&Caller::ANONYMOUS, sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// What is not about a row is said in SQL's words, and the user's own words stay.
#[tokio::test]
async fn errors_of_planning_speak_of_types_as_sql_does() {
    let tried = Tried::new();
    for (sql, wanted) in [
        ("SELECT b + 1 FROM bronze.t", "BOOLEAN"),
        ("SELECT abs(s) FROM bronze.t", "STRING"),
        ("SELECT n = texts FROM bronze.t", "ARRAY<STRING>"),
        ("SELECT sum(texts) FROM bronze.t", ""),
        ("SELECT CASE WHEN b THEN texts ELSE ts END FROM bronze.t", ""),
        ("SELECT n FROM bronze.t UNION SELECT texts FROM bronze.t", "BIGINT"),
    ] {
        let error = match tried.session.plan(&Caller::ANONYMOUS, sql, None).await {
            Err(error) => error.to_string(),
            Ok(planned) => match tried.session.execute(&Caller::ANONYMOUS, &planned, None).await {
                Err(error) => error.to_string(),
                Ok(rows) => QueryError::from(rows.try_collect::<Vec<_>>().await.unwrap_err()).to_string(),
            },
        };
        let plain = error.replace(sql, "");
        for theirs in ["Int64", "Utf8", "Decimal128", "Timestamp(", "List(", "Optimizer rule", "Arrow error", "ingot_"]
        {
            assert!(!plain.contains(theirs), "{theirs}: {error}");
        }
        assert!(plain.contains(wanted), "{wanted}: {error}");
    }
}
