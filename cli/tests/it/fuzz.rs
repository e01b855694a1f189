//! Fuzzing of everything that reads text from outside: the dialect, the check, the configuration, the JSON decoder.
//!
//! Invariants
//! * No panic, no hang; what is accepted is printed, formatted and fingerprinted without changing its meaning.
//! * The decoder and serde_json agree on what a document is and on the values that both can hold.
//!
//! Not here: Flight messages (`flight-server/tests/flight/fuzz.rs`), mutation (`tests/fuzz/mutate.rs`).

use ingot_project::{check::check_files, config::Config, project::SqlFile};

#[path = "../../../tests/fuzz/mutate.rs"]
#[allow(dead_code)]
mod mutate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use ingot_dialect::ast::StatementKind;
use ingot_dialect::{Diagnostic, format_file, parse_file, parse_query, print, render};
use ingot_source::{Decoder, MessageRef, SourceSchema};
use mutate::{fuzz, said};

const SQL_WORDS: &[&str] = &[
    " SELECT ",
    " FROM ",
    " STREAM ",
    " WHERE ",
    " GROUP BY ",
    " QUALIFY ",
    " OVER (",
    " PARTITION BY ",
    " ORDER BY ",
    "CREATE SOURCE ",
    "CREATE STREAMING TABLE ",
    "CREATE MATERIALIZED VIEW ",
    "CREATE TEMPORARY VIEW ",
    "CREATE VIEW ",
    "CREATE FLOW ",
    "CREATE TEST ",
    "CREATE EXTERNAL TABLE ",
    " OR REFRESH ",
    " AS ",
    " WITH (",
    " FORMAT PLAIN ",
    " ENCODE JSON ",
    " INCLUDE OFFSET AS o ",
    " PARTITIONED BY (days(ts)) ",
    " bucket(4, id)",
    " SORTED BY (",
    " COMMENT '",
    " TBLPROPERTIES ('a'='b') ",
    " FRESHNESS INTERVAL '1' MINUTE ",
    " REFRESH POLICY FULL ",
    " ON DECODE ERROR INTO a.b ",
    " CONSTRAINT c EXPECT (x > 1) ON VIOLATION QUARANTINE INTO a.q ",
    " FROZEN WHERE (",
    " FOR VERSION AS OF 1 ",
    " PRIMARY KEY (id) NOT ENFORCED ",
    " DECIMAL(38, 9) ",
    " STRUCT<a INT, b ARRAY<TEXT>> ",
    " MAP<TEXT, BIGINT> ",
    " TIMESTAMPTZ ",
    "CAST(",
    "::BIGINT",
    " UNION ALL ",
    " JOIN ",
    " ON ",
    " LATERAL ",
    " CASE WHEN ",
    " THEN ",
    " END ",
    " NOT ",
    "((((((((",
    "))))))))",
    "{{",
    "}}",
    "${A:-b}",
    "$$",
    "$a$",
    "'",
    "\"",
    "`",
    ";",
    "--",
    "/*",
    "*/",
    "\u{feff}",
    "\0",
    "\u{202e}",
    "é",
    "?",
    "[",
    "]",
    "->",
    "#>",
    "||",
    "0x",
    "1e999",
    "U&'\\0000'",
    "E'\\x00'",
    "::",
];

fn codes(found: &[Diagnostic]) -> BTreeSet<&'static str> {
    found.iter().map(|d| d.code).collect()
}

fn kinds(statements: &[ingot_dialect::ast::Statement]) -> Vec<std::mem::Discriminant<StatementKind>> {
    statements.iter().take(4).map(|s| std::mem::discriminant(&s.kind)).collect()
}

#[test]
fn fuzz_dialect() {
    fuzz("dialect", "dialect", SQL_WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let parsed = parse_file("bronze/a.sql", &text);
        for d in parsed.diagnostics.iter().take(3) {
            let _ = render(d, Some(&text), true);
        }
        let _ = parse_query("q.sql", &text);
        for statement in &parsed.statements {
            let printed = print(statement);
            let again = parse_file("bronze/a.sql", &printed);
            assert!(!again.has_errors(), "printed: {printed}\n{:?}", again.diagnostics);
            assert_eq!(again.statements.len(), 1, "{printed}");
            assert_eq!(again.statements[0].kind, statement.kind, "{printed}");
        }
        let formatted = format_file("bronze/a.sql", &text);
        if let Ok(once) = &formatted {
            let again = parse_file("bronze/a.sql", once);
            let plain = |p: &ingot_dialect::Parsed| p.statements.iter().map(|s| s.kind.clone()).collect::<Vec<_>>();
            assert!(!again.has_errors(), "formatted: {once}\n{:?}", again.diagnostics);
            assert_eq!(plain(&again), plain(&parsed), "{once}");
            assert_eq!(format_file("bronze/a.sql", once).as_ref(), Ok(once));
        }
        said((codes(&parsed.diagnostics), kinds(&parsed.statements), formatted.is_ok()))
    });
}

pub fn config(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let folder = Path::new("/project");
    let variables = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
    Config::from_parts(Some(text), folder, folder, None, &[], &variables, ingot_source::check_property)
}

#[test]
fn fuzz_check() {
    let config = config("kafka.bootstrap.servers = \"127.0.0.1:9092\"\n").unwrap();
    fuzz("check", "dialect", SQL_WORDS, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        let checked = check_files(Path::new("/project"), vec![SqlFile { path: "bronze/a.sql".into(), text }], &config);
        let tables = checked.project.map(|p| p.tables.values().map(|t| t.fingerprint.len()).collect::<Vec<_>>());
        said((codes(&checked.diagnostics), tables))
    });
}

#[test]
fn fuzz_config() {
    let words = [
        "[kafka]",
        "[env.dev]",
        "[[",
        "]]",
        "bootstrap.servers",
        "\"\"\"",
        "'''",
        "= ",
        "{",
        "}",
        "\n",
        "\r",
        "s3.endpoint",
        "s3.secret-access-key-file",
        "/dev/zero",
        "run.freshness",
        "'1 ms'",
        "inf",
        "nan",
        "1979-05-27T07:32:00Z",
        "0xff",
        "1_000",
        "a.b.c.d.e.f.g",
        "[a.b]",
        "\u{feff}",
        "\0",
        "serve.listen",
        "::1",
        "warehouse.location",
        "catalog.uri",
        "[[[[[[[[",
        "]]]]]]]]",
        "{a={a={a=",
        "\\u0000",
        "\\UFFFFFFFF",
        "log.format",
        "namespace_prefix",
        "#",
    ];
    fuzz("config", "config", &words, |input| {
        let text = String::from_utf8_lossy(input);
        match config(&text) {
            Ok(config) => said((true, config.listing().len())),
            Err(found) => {
                for d in found.iter().take(3) {
                    let _ = render(d, Some(&text), false);
                }
                said((false, codes(&found)))
            }
        }
    });
}

/// A source's columns from its statement.
pub fn schema(columns: &str, options: &str) -> Arc<SourceSchema> {
    let text = format!(
        "CREATE SOURCE s ({columns}) WITH ('connector' = 'kafka', 'topic' = 't') FORMAT PLAIN ENCODE JSON{options};"
    );
    let parsed = parse_file("a.sql", &text);
    let Some(StatementKind::Source(source)) = parsed.statements.first().map(|s| &s.kind) else {
        panic!("{:?}", parsed.diagnostics)
    };
    Arc::new(SourceSchema::try_from_ast(source, &|_| None).unwrap())
}

pub fn message(payload: &[u8]) -> MessageRef<'_> {
    MessageRef {
        topic: "t",
        partition: 0,
        offset: 1,
        timestamp_ms: Some(1),
        key: None,
        payload: Some(payload),
        headers: &[],
    }
}

/// Levels of nesting, of a document that parses: beyond 127 the two limits differ.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(a) => 1 + a.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(o) => 1 + o.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn fuzz_json() {
    let plain = schema("a BIGINT, b VARCHAR, c DOUBLE", "");
    let wide = schema(
        "a BIGINT FROM '$.a.b[0]', b STRUCT<x INT, y ARRAY<TEXT>>, c MAP<TEXT, DOUBLE>, d DECIMAL(38, 9), e TIMESTAMPTZ, \
         f DATE, g TIME, h UUID, i BINARY, j BOOLEAN, k REAL, l JSON, m TINYINT DEFAULT 3, n TIMESTAMP NOT NULL",
        "",
    );
    let loose = schema(
        "a BIGINT, b VARCHAR, c DOUBLE, d DECIMAL(20, 2), e TIMESTAMPTZ, j BOOLEAN, h UUID",
        "(timestamp_format = 'epoch_ms', coerce = 'lossless', unknown_fields = 'error')",
    );
    let words = [
        "{\"a\":",
        "\"b\":",
        "\"c\":",
        "\"e\":",
        "\"n\":\"2026-01-01T00:00:00Z\"",
        ",",
        "{",
        "}",
        "[",
        "]",
        "null",
        "true",
        "false",
        "-0",
        "1e308",
        "1e-400",
        "0.1",
        "9223372036854775808",
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "\\ud83d\\ude00",
        "\"",
        "\\",
        "\u{feff}",
        "\0",
        "\"2026-02-30T24:00:60+99:99\"",
        "\"-0001-01-01\"",
        "\"9999-12-31T23:59:59.999999999Z\"",
        "[[[[[[[[",
        "{\"x\":{\"x\":",
        "170141183460469231731687303715884105728",
        "00",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "\"AAAA\"",
        "\"a\":1,\"a\":2",
        " ",
        "\t",
        "\r\n",
        "\"00000000-0000-0000-0000-000000000000\"",
    ];
    fuzz("json", "json", &words, |input| {
        let mut outcomes = Vec::new();
        for source in [&plain, &wide, &loose] {
            let mut decoder = Decoder::new(Arc::clone(source)).unwrap();
            decoder.push(&message(input)).unwrap();
            // A second message must not see anything of the first.
            decoder.push(&message(b"{\"a\":1,\"b\":\"x\"}")).unwrap();
            let decoded = decoder.finish().unwrap();
            assert_eq!(decoded.messages, 2);
            assert_eq!(decoded.rows.num_rows() + decoded.errors.num_rows(), 2);
            let failed = decoded.errors.num_rows() > 0 && {
                let payloads = decoded.errors.column_by_name("payload").unwrap().as_binary::<i32>();
                payloads.value(0) == input
            };
            if Arc::ptr_eq(source, &plain) {
                differ(input, &decoded, failed);
            }
            let code =
                failed.then(|| decoded.errors.column_by_name("code").unwrap().as_string::<i32>().value(0).to_owned());
            let nulls: Vec<bool> = match failed {
                true => vec![],
                false => decoded.rows.columns().iter().map(|c| c.is_null(0)).collect(),
            };
            outcomes.push((code, nulls));
        }
        said(outcomes)
    });
}

/// The decoder's answer beside serde_json's, for columns a BIGINT, b VARCHAR, c DOUBLE.
fn differ(input: &[u8], decoded: &ingot_source::Decoded, failed: bool) {
    let peer: Option<serde_json::Value> = serde_json::from_slice(input).ok();
    let shown = String::from_utf8_lossy(input);
    if !failed {
        let row = &decoded.rows;
        let Some(value) = peer else {
            // It refuses numbers past its own range, and one level of nesting less.
            let deep = shown.matches(['[', '{']).count() >= 120;
            let huge = shown.bytes().filter(u8::is_ascii_digit).count() > 3;
            assert!(deep || huge, "only we accept it: {shown}");
            return;
        };
        assert!(value.is_object(), "{shown}");
        if let Some(a) = value.get("a").and_then(serde_json::Value::as_i64) {
            assert_eq!(row.column(0).as_primitive::<Int64Type>().value(0), a, "{shown}");
        }
        if let Some(b) = value.get("b").and_then(serde_json::Value::as_str) {
            assert_eq!(row.column(1).as_string::<i32>().value(0), b, "{shown}");
        }
        if let Some(c) = value.get("c").filter(|c| c.is_number()).and_then(serde_json::Value::as_f64) {
            // serde_json's default number parser may be one unit in the last place off.
            let ours = row.column(2).as_primitive::<Float64Type>().value(0);
            assert!((ours - c).abs() <= c.abs() * 1e-15 || ours == c, "{shown}: {ours} {c}");
        }
        for (i, key) in ["a", "b", "c"].into_iter().enumerate() {
            let absent = value.get(key).is_none_or(serde_json::Value::is_null);
            assert_eq!(row.column(i).is_null(0), absent, "{key} of {shown}");
        }
    } else if let Some(value) = peer {
        let fits =
            |key: &str, is: &dyn Fn(&serde_json::Value) -> bool| value.get(key).is_none_or(|v| v.is_null() || is(v));
        // An integer that was written 1.0 or 1e3 is none for us.
        let integer = |v: &serde_json::Value| v.is_i64();
        let good = value.is_object()
            && fits("a", &integer)
            && fits("b", &|v| v.is_string())
            && fits("c", &|v| v.is_number())
            && depth(&value) <= 120;
        assert!(!good, "only we refuse it: {shown}: {:?}", decoded.errors);
    }
}
