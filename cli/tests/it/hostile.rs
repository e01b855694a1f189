//! Input that means harm: deep, long, wide, doubled, cut off, out of range. Each is a row, an error row or a diagnostic.
//!
//! Invariants
//! * No panic, no overflow of a stack of two megabytes (what a worker thread has), no hang, no silent change of a value.
//!
//! Not here: random input (`fuzz`), the same through a broker (`tests/e2e/hostile.sh`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use ingot_dialect::{format_file, parse_file};
use ingot_project::{check::check_files, config::Config, project::SqlFile};
use ingot_source::{Decoded, Decoder, SourceSchema};

use crate::fuzz::{config, message, schema};

fn decode(source: &Arc<SourceSchema>, payload: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(Arc::clone(source)).unwrap();
    decoder.push(&message(payload)).unwrap();
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.rows.num_rows() + decoded.errors.num_rows(), 1);
    decoded
}

/// The code of the error row, or none for a row.
fn code(source: &Arc<SourceSchema>, payload: &[u8]) -> Option<String> {
    let errors = decode(source, payload).errors;
    let reason = errors.column_by_name("reason").unwrap().as_string::<i32>();
    assert!(reason.iter().flatten().all(|r| !r.is_empty() && r.len() < 1_000), "{reason:?}");
    (errors.num_rows() == 1).then(|| errors.column_by_name("code").unwrap().as_string::<i32>().value(0).to_owned())
}

#[test]
fn deep_documents_are_error_rows() {
    let plain = schema("a BIGINT, b JSON", "");
    let nested = |depth: usize, open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
    assert_eq!(code(&plain, format!("{{\"x\":{}}}", nested(127, "[", "]")).as_bytes()), None);
    assert_eq!(code(&plain, format!("{{\"x\":{}}}", nested(128, "[", "]")).as_bytes()).as_deref(), Some("D0210"));
    assert_eq!(code(&plain, format!("{{\"b\":{}}}", nested(128, "[", "]")).as_bytes()).as_deref(), Some("D0210"));
    for deep in ["[".repeat(10_000_000), "{\"a\":".repeat(2_000_000), "[{\"b\":".repeat(1_000_000)] {
        assert_eq!(code(&plain, deep.as_bytes()).as_deref(), Some("D0210"));
    }
    // Declared types nest, too.
    let deep = format!("a {}INT{}", "STRUCT<x ".repeat(30), ">".repeat(30));
    let source = schema(&deep, "");
    let right = format!("{{\"a\":{}1{}}}", "{\"x\":".repeat(30), "}".repeat(30));
    assert_eq!(code(&source, right.as_bytes()), None);
}

#[test]
fn messages_of_a_hundred_megabytes_are_read() {
    let plain = schema("a BIGINT, b VARCHAR", "");
    let long = "x".repeat(100 << 20);
    let decoded = decode(&plain, format!("{{\"a\":1,\"b\":\"{long}\"}}").as_bytes());
    assert_eq!(decoded.rows.column(1).as_string::<i32>().value(0).len(), 100 << 20);
    // Nobody reads it: it costs no copy; cut off: an error row with all of it.
    assert_eq!(decode(&plain, format!("{{\"a\":1,\"z\":\"{long}\"}}").as_bytes()).rows.num_rows(), 1);
    let cut = format!("{{\"a\":1,\"z\":\"{long}");
    let decoded = decode(&plain, cut.as_bytes());
    assert_eq!(decoded.errors.column_by_name("payload").unwrap().as_binary::<i32>().value(0).len(), cut.len());
    drop(decoded);
    // A number of a hundred million digits has no value, but is one.
    let digits = format!("{{\"a\":{}}}", "9".repeat(100 << 20));
    assert_eq!(code(&plain, digits.as_bytes()).as_deref(), Some("D0205"));
    let small = format!("{{\"a\":1,\"z\":[{}]}}", "0,".repeat(50 << 20).trim_end_matches(','));
    assert_eq!(code(&plain, small.as_bytes()), None);
}

#[test]
fn ten_thousand_columns_are_decoded() {
    let columns: Vec<String> = (0..10_000).map(|i| format!("c{i} BIGINT")).collect();
    let wide = schema(&columns.join(", "), "");
    let object = |keys: &mut dyn Iterator<Item = usize>| {
        let fields: Vec<String> = keys.map(|i| format!("\"c{i}\":{i}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let mut decoder = Decoder::new(Arc::clone(&wide)).unwrap();
    let (up, down) = (object(&mut (0..10_000)), object(&mut (0..10_000).rev()));
    let foreign = object(&mut (20_000..30_000));
    for payload in [&up, &down, &foreign] {
        decoder.push(&message(payload.as_bytes())).unwrap();
    }
    let decoded = decoder.finish().unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.rows.num_columns()), (3, 10_000));
    let last = decoded.rows.column(9_999).as_primitive::<Int64Type>();
    assert_eq!((last.value(0), last.value(1), last.is_null(2)), (9_999, 9_999, true));
    // The same key a hundred thousand times, over paths below it.
    let columns: Vec<String> = (0..1_000).map(|i| format!("c{i} BIGINT FROM '$.a.k{i}'")).collect();
    let below = schema(&columns.join(", "), "");
    let doubled = format!("{{{}\"a\":{{\"k7\":7}}}}", "\"a\":0,".repeat(100_000));
    let decoded = decode(&below, doubled.as_bytes());
    assert_eq!(decoded.rows.column(7).as_primitive::<Int64Type>().value(0), 7);
    assert!(decoded.rows.column(8).is_null(0));
}

#[test]
fn odd_documents_have_their_codes() {
    let plain = schema("a BIGINT, b VARCHAR, c DOUBLE, d DECIMAL(38, 0), t TINYINT, r REAL", "");
    let cases: &[(&[u8], Option<&str>)] = &[
        (b"", Some("D0201")),
        (b"   ", Some("D0201")),
        (b"\xef\xbb\xbf{\"a\":1}", Some("D0201")),
        (b"\0", Some("D0201")),
        (b"{\"a\":1}\0", Some("D0202")),
        (b"{\"b\":\"a\0b\"}", Some("D0201")),
        (b"{\"b\":\"a\\u0000b\"}", None),
        (b"{\"b\":\"\\ud800\"}", Some("D0201")),
        (b"{\"b\":\"\\udc00\\ud800\"}", Some("D0201")),
        (b"{\"z\":\"\\ud800\"}", Some("D0201")),
        (b"{\"\\ud800\":1}", Some("D0201")),
        (b"{\"b\":\"\xed\xa0\x80\"}", Some("D0203")),
        (b"{\"b\":\"\xc0\x80\"}", Some("D0203")),
        (b"{\"b\":\"\xff\"}", Some("D0203")),
        (b"{\"a\":1,\"a\":\"x\"}", Some("D0204")),
        (b"{\"a\":\"x\",\"a\":1}", None),
        (b"{\"a\":1,\"\\u0061\":2}", None),
        (b"{\"a\":9223372036854775807}", None),
        (b"{\"a\":9223372036854775808}", Some("D0205")),
        (b"{\"a\":-9223372036854775808}", None),
        (b"{\"a\":-9223372036854775809}", Some("D0205")),
        (b"{\"a\":1e0}", Some("D0204")),
        (b"{\"a\":01}", Some("D0201")),
        (b"{\"a\":+1}", Some("D0201")),
        (b"{\"a\":NaN}", Some("D0201")),
        (b"{\"c\":1e308}", None),
        (b"{\"c\":1e309}", Some("D0205")),
        (b"{\"c\":-1e400}", Some("D0205")),
        (b"{\"c\":1e-400}", None),
        (b"{\"c\":1e99999999999999999999}", Some("D0205")),
        (b"{\"r\":1e39}", Some("D0205")),
        (b"{\"d\":99999999999999999999999999999999999999}", None),
        (b"{\"d\":100000000000000000000000000000000000000}", Some("D0205")),
        (b"{\"d\":1e9999999999}", Some("D0205")),
        (b"{\"t\":127}", None),
        (b"{\"t\":128}", Some("D0205")),
        (b"{\"t\":-129}", Some("D0205")),
        (b"[]", Some("D0211")),
        (b"null", Some("D0211")),
        (b"{}{}", Some("D0202")),
        (b"{\"a\":1,}", Some("D0201")),
        (b"{\"a\":1", Some("D0201")),
    ];
    for (payload, wanted) in cases {
        assert_eq!(code(&plain, payload).as_deref(), *wanted, "{}", String::from_utf8_lossy(payload));
    }
    let kept = decode(&plain, b"{\"b\":\"a\\u0000b\"}");
    assert_eq!(kept.rows.column(1).as_string::<i32>().value(0), "a\0b");
    let last = decode(&plain, b"{\"a\":1,\"\\u0061\":2}");
    assert_eq!(last.rows.column(0).as_primitive::<Int64Type>().value(0), 2);
}

/// Every shape of ISO 8601: what is read gives the instant, what is not is an error row, nothing is guessed.
#[test]
fn instants_of_every_shape() {
    let source = schema("ts TIMESTAMPTZ", "");
    let read: &[(&str, i64)] = &[
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1970-01-01T00:00:00,123456Z", 123_456),
        ("1970-01-01T00:00:00.123456999Z", 123_456),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T01:00:00+01", 0),
        ("1969-12-31T06:00:00-18:00", 0),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
    ];
    for (text, wanted) in read {
        let decoded = decode(&source, format!("{{\"ts\":\"{text}\"}}").as_bytes());
        assert_eq!(decoded.rows.num_rows(), 1, "{text}");
        assert_eq!(decoded.rows.column(0).as_primitive::<TimestampMicrosecondType>().value(0), *wanted, "{text}");
    }
    let refused = [
        "1970-01-01",
        "1970-01",
        "1970",
        "19700101T000000Z",
        "1970-W01-4T00:00:00Z",
        "1970-001T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T23:59:60Z",
        "1970-01-01T00Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+01:60",
        "1900-02-29T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-01-32T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "+10000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1970-01-01T00:00:00 UTC",
        "1970-01-01T00:00:00Europe/Stockholm",
        "1970-01-01T00:00:00[UTC]",
        " 1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z ",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1.2Z",
        "1970-01-01  00:00:00",
        "now",
        "",
        "\\u0000",
        "P1D",
        "1970-01-01T00:00:00\\u00b1Z",
        "\u{0661}970-01-01T00:00:00Z",
    ];
    for text in refused {
        assert_eq!(code(&source, format!("{{\"ts\":\"{text}\"}}").as_bytes()).as_deref(), Some("D0209"), "{text}");
    }
    for text in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
        assert_eq!(code(&source, format!("{{\"ts\":\"{text}\"}}").as_bytes()).as_deref(), Some("D0205"), "{text}");
    }
    for (format, beyond) in
        [("epoch_s", "253402300800"), ("epoch_ms", "-62167219200001"), ("epoch_us", "9223372036854775807")]
    {
        let source = schema("ts TIMESTAMPTZ", &format!("(timestamp_format = '{format}')"));
        assert_eq!(code(&source, format!("{{\"ts\":{beyond}}}").as_bytes()).as_deref(), Some("D0205"), "{format}");
        assert_eq!(code(&source, b"{\"ts\":1e400}").as_deref(), Some("D0205"), "{format}");
    }
}

/// Runs on a stack as small as a worker's.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn deep_and_long_sql_is_checked() {
    let settings = config("kafka.bootstrap.servers = \"127.0.0.1:9092\"\n").unwrap();
    let base = "CREATE SOURCE s (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't') FORMAT PLAIN ENCODE JSON; \
                CREATE STREAMING TABLE bronze.t AS SELECT a FROM STREAM s;";
    let view = |query: String| format!("{base} CREATE MATERIALIZED VIEW silver.v AS {query};");
    let many = |piece: &str, n: usize| piece.repeat(n);
    let hostile: Vec<(&str, String)> = vec![
        ("parentheses", view(format!("SELECT {}1{} AS x FROM bronze.t", many("(", 50_000), many(")", 50_000)))),
        ("open parentheses", view(format!("SELECT {}", many("(", 100_000)))),
        ("NOT", view(format!("SELECT {} true AS x FROM bronze.t", many("NOT ", 20_000)))),
        ("minus", view(format!("SELECT {}1 AS x FROM bronze.t", many("- ", 20_000)))),
        ("sum", view(format!("SELECT a{} AS x FROM bronze.t", many(" + 1", 5_000)))),
        ("and", view(format!("SELECT a FROM bronze.t WHERE a > 1{}", many(" AND a > 1", 5_000)))),
        (
            "case",
            view(format!("SELECT {}1{} AS x FROM bronze.t", many("CASE WHEN a > 1 THEN ", 2_000), many(" END", 2_000))),
        ),
        ("union", view(format!("SELECT a FROM bronze.t{}", many(" UNION ALL SELECT a FROM bronze.t", 500)))),
        (
            "subqueries",
            view(format!("{}SELECT a FROM bronze.t{}", many("SELECT a FROM (", 1_000), many(") AS q", 1_000))),
        ),
        ("in list", view(format!("SELECT a FROM bronze.t WHERE a IN (0{})", many(", 1", 50_000)))),
        (
            "columns",
            view(format!(
                "SELECT {} FROM bronze.t",
                (0..2_000).map(|i| format!("a + {i} AS c{i}")).collect::<Vec<_>>().join(", ")
            )),
        ),
        (
            "types",
            format!(
                "CREATE SOURCE s (a {}INT{}) WITH ('connector' = 'kafka', 'topic' = 't') FORMAT PLAIN ENCODE JSON;",
                many("ARRAY<", 20_000),
                many(">", 20_000)
            ),
        ),
        (
            "brackets",
            format!(
                "CREATE SOURCE s (a INT{}) WITH ('connector' = 'kafka', 'topic' = 't') FORMAT PLAIN ENCODE JSON;",
                many("[]", 20_000)
            ),
        ),
        ("statements", many("x;", 20_000)),
        ("comments", format!("{}{}", many("/* ", 50_000), many("*/", 50_000))),
        ("semicolons", many(";", 200_000)),
        ("quotes", many("'", 100_001)),
        ("dollars", many("$", 100_000)),
        ("braces", many("{{", 50_000)),
        ("names", format!("SELECT {}a", many("a.", 50_000))),
        ("nul", view("SELECT a AS \"x\0y\" FROM bronze.t WHERE 'a\0' = 'b'".into())),
        ("a name of a megabyte", view(format!("SELECT a AS {} FROM bronze.t", many("n", 1 << 20)))),
        ("a table of a megabyte", format!("CREATE VIEW gold.{} AS SELECT 1 AS a;", many("n", 1 << 20))),
    ];
    for (what, text) in hostile {
        let settings = settings.clone();
        on_a_small_stack(move || {
            let began = std::time::Instant::now();
            let _ = parse_file("bronze/t.sql", &text);
            let _ = format_file("bronze/t.sql", &text);
            let checked = check_files(Path::new("/p"), vec![SqlFile { path: "bronze/t.sql".into(), text }], &settings);
            // Right or refused, both are answers.
            drop(checked);
            println!("{what}: {:?}", began.elapsed());
        });
    }
}

#[test]
fn hostile_configuration_is_refused() {
    let many = |piece: &str, n: usize| piece.repeat(n);
    let hostile = [
        format!("a = {}{}", many("[", 100_000), many("]", 100_000)),
        format!("a = {}1{}", many("{a=", 100_000), many("}", 100_000)),
        format!("{}a = 1", many("a.", 100_000)),
        format!("[{}a]", many("a.", 100_000)),
        many("[a]\n", 100_000),
        many("[a]\n", 60_000),
        format!("a = \"{}\"", many("\\u0000", 100_000)),
        "\u{feff}\0".into(),
        "run.commit_interval_ms = 99999999999999999999999".into(),
        "run.commit_interval_ms = -1".into(),
        "run.memory_bytes_max = 1e400".into(),
        "run.freshness = \"99999999999999999999 min\"".into(),
        "run.freshness = \"1e400 s\"".into(),
        "serve.listen = \"\\u0000:1\"".into(),
    ];
    for text in hostile {
        on_a_small_stack(move || {
            let found = config(&text);
            let shown: String = text.chars().take(60).collect();
            assert!(found.is_err(), "{shown}");
        });
    }
    // Names with NUL are refused where they are used; here they must only be survived.
    for text in
        ["catalog.name = \"a\\u0000b\"", "warehouse.location = \"/tmp/\\u0000\"", "namespace_prefix = \"../\\u0000\""]
    {
        let _ = config(text);
    }
    let sets = vec![("run.freshness".to_owned(), "\0".to_owned()), ("\0".to_owned(), String::new())];
    let folder = Path::new("/p");
    assert!(
        Config::from_parts(None, folder, folder, None, &sets, &BTreeMap::new(), ingot_source::check_property).is_err()
    );
}
