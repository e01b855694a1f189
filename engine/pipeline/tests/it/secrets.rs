//! What stops a table says where: its offset, its column or expression. It shows no value of the message.

use datafusion::arrow::array::AsArray;
use tokio_util::sync::CancellationToken;

use crate::world::{World, all_equal, name, once, query};

const SOURCE: &str = "CREATE SOURCE s (id BIGINT, s VARCHAR, n BIGINT, d DECIMAL(38, 2), ts TIMESTAMPTZ, many BIGINT[])\n\
    WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n";
const MESSAGE: &str = r#"{"id": 1, "s": "S3CR3T-7781", "n": 7781077810778107, "d": 99999999999999999999999999999977.81,
    "ts": "7781-07-08T07:07:08Z", "many": [7781]}"#;
/// What is of the message alone.
const SECRETS: &[&str] = &["S3CR3T", "7781", "77.81"];

/// Expressions that have no value for the message, and what their failures begin with.
const FAILING: &[(&str, &str)] = &[
    ("CAST(n AS INT)", "the result of CAST(s.n AS INT) does not fit INT"),
    ("CAST(s AS DATE)", "CAST(s.s AS DATE): a value cannot be converted to DATE"),
    ("CAST(d AS DECIMAL(10, 2))", "the result of CAST(s.d AS DECIMAL(10, 2)) does not fit DECIMAL(10, 2)"),
    ("n * n", "the result of s.n * s.n does not fit BIGINT"),
    ("make_date(2024, CAST(n % 1000 AS INT), 1)", "make_date(2024, CAST(s.n % 1000 AS INT), 1): there is no such date"),
    ("to_timestamp(s)", "to_timestamp(s.s): there is no such time"),
    ("to_timestamp(s, s)", "to_timestamp(s.s, s.s): there is no such time"),
    ("decode(s, 'hex')", "decode(s.s, 'hex'): the text is not in that encoding"),
    ("chr(n)", "chr(s.n): there is no such character"),
    ("regexp_like(s, concat('(', s))", "s.s ~ concat('(', s.s): this is no regular expression"),
    ("s ~ concat('(', s)", "s.s ~ concat('(', s.s): this is no regular expression"),
    ("ts + INTERVAL '300000 years'", "the result of s.ts + INTERVAL "),
    ("repeat(s, n)", "the result of repeat(s.s, s.n) is larger than can be held"),
    ("arrow_cast(s, 'Int8')", "CAST(s.s AS TINYINT): a value cannot be converted to TINYINT"),
    ("CAST(many AS DECIMAL(3, 1)[])", "CAST(s.many AS ARRAY<DECIMAL(3, 1)>): a value cannot be converted to ARRAY"),
];

fn shows(text: &str) -> bool {
    SECRETS.iter().any(|secret| text.contains(secret))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_message_shows_none_of_its_values() {
    let mut files = vec![("bronze/s.sql".to_owned(), SOURCE.to_owned())];
    for (i, (expression, _)) in FAILING.iter().enumerate() {
        let table = |errors: &str, t: &str| {
            format!("CREATE STREAMING TABLE bronze.{t}{i} {errors} AS SELECT id, {expression} AS v FROM STREAM s;\n")
        };
        files.push((format!("bronze/t{i}.sql"), table(&format!("ON DECODE ERROR INTO bronze.t{i}_errors"), "t")));
        files.push((format!("bronze/u{i}.sql"), table("", "u")));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let world = World::of(&files, &[("log", 1)]);
    world.send("log", 0, [MESSAGE]);
    let engine = world.engine().await;
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    let mut wrong = Vec::new();
    for (i, (expression, wanted)) in FAILING.iter().enumerate() {
        let rows = query(&engine, &format!("SELECT code, reason FROM bronze.t{i}_errors")).await;
        let reason = rows.iter().find(|b| b.num_rows() > 0).map(|b| b.column(1).as_string::<i32>().value(0).to_owned());
        let step = report.steps.iter().find(|s| s.table == name(&format!("bronze.u{i}"))).unwrap();
        let stopped = step.error.as_ref().map(|e| format!("{} {:?}", e.message, e.hint)).unwrap_or_default();
        let reason = reason.unwrap_or_default();
        if !reason.starts_with(wanted) || shows(&reason) || !stopped.contains("offset 0") || shows(&stopped) {
            wrong.push(format!("{expression}\n  reason:  {reason}\n  stopped: {stopped}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What does not decode says what was found, and not which value.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_decoding_shows_no_value() {
    let table = "CREATE SOURCE s (id INT, n SMALLINT, d DECIMAL(4, 1), at TIMESTAMPTZ, day DATE, u UUID, b BYTEA, flag BOOLEAN, m MAP<VARCHAR, INT>)\n\
        WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
        CREATE STREAMING TABLE bronze.t ON DECODE ERROR INTO bronze.t_errors AS SELECT id, n, d, at, day, u, b, flag, m FROM STREAM s;\n";
    let world = World::of(&[("bronze/t.sql", table)], &[("log", 1)]);
    let bad = [
        r#"{"id": "7781"}"#,
        r#"{"n": 77817}"#,
        r#"{"n": 7.781}"#,
        r#"{"d": 7781.77}"#,
        r#"{"d": 77817781}"#,
        r#"{"at": "7781-99-99"}"#,
        r#"{"day": "S3CR3T"}"#,
        r#"{"u": "S3CR3T"}"#,
        r#"{"b": "S3CR3T!"}"#,
        r#"{"flag": 7781}"#,
        r#"{"m": {"S3CR3T": "7781"}}"#,
    ];
    world.send("log", 0, bad);
    let engine = world.engine().await;
    once(&engine).await;
    let mut count = 0;
    for batch in query(&engine, "SELECT reason FROM bronze.t_errors").await {
        for reason in batch.column(0).as_string::<i32>().iter().flatten() {
            assert!(!shows(reason) && reason.contains("column \""), "{reason}");
            count += 1;
        }
    }
    assert_eq!(count, bad.len());
    all_equal(&engine).await;
}
