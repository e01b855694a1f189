//! Diagnostics of P codes with their places, the shipped project's files, STREAM and AS OF, and hostile input.

use crate::ast::*;
use crate::*;
use proptest::prelude::*;

const BRONZE: &str = "\
CREATE SOURCE vehicles (
  id VARCHAR, type VARCHAR, battery DOUBLE, lat DOUBLE, lon DOUBLE, ts TIMESTAMPTZ)
INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset INCLUDE TIMESTAMP AS _kafka_ts
WITH ('connector' = 'kafka', 'topic' = 'vehicles-events')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.vehicle_events
PARTITIONED BY (days(ts)) COMMENT 'raw vehicle telemetry'
ON DECODE ERROR INTO bronze.vehicle_events_errors
AS SELECT * FROM STREAM vehicles;
";
const SILVER: &str = "\
CREATE TEMPORARY VIEW clean_events (          -- judged before duplicates are dropped: a bad copy must not win
  CONSTRAINT has_key     EXPECT (id IS NOT NULL AND ts IS NOT NULL)       ON VIOLATION DROP ROW,
  CONSTRAINT known_type  EXPECT (type IN ('car', 'bike', 'scoot'))        ON VIOLATION QUARANTINE INTO silver.vehicle_events_rejected,
  CONSTRAINT battery_pct EXPECT (battery BETWEEN 0 AND 100)               ON VIOLATION DROP ROW)   -- only TRUE passes
AS SELECT id, lower(trim(type)) AS type, battery, lat, lon, ts, _partition, _offset
FROM bronze.vehicle_events;

CREATE MATERIALIZED VIEW silver.vehicle_events (PRIMARY KEY (id, ts) NOT ENFORCED)
PARTITIONED BY (days(ts))
AS SELECT id, type, battery, lat, lon, ts
FROM clean_events
QUALIFY row_number() OVER (PARTITION BY id, ts ORDER BY _partition, _offset) = 1;
";
const GOLD: &str = "\
-- sql/gold/stats.sql
CREATE MATERIALIZED VIEW gold.stats
AS SELECT type, count(*) AS total, avg(battery) AS avg_battery, max(lat) AS max_lat
FROM silver.vehicle_events GROUP BY type;
";

#[test]
fn the_shipped_files_parse_and_format() {
    for (text, count) in [(BRONZE, 2), (SILVER, 2), (GOLD, 1)] {
        let parsed = parse_file("x.sql", text);
        assert!(parsed.diagnostics.is_empty(), "{:#?}", parsed.diagnostics);
        assert_eq!(parsed.statements.len(), count);
        let once = format_file("x.sql", text).unwrap();
        assert_eq!(format_file("x.sql", &once).unwrap(), once);
        assert_eq!(parse_file("x.sql", &once).statements, parsed.statements);
    }
    let StatementKind::StreamingTable(table) = &parse_file("x.sql", BRONZE).statements[1].kind else { panic!() };
    let streams: Vec<String> = table.query.as_ref().unwrap().streams.iter().map(ObjectName::dotted).collect();
    assert_eq!(streams, ["vehicles"]);
    assert_eq!(table.query.as_ref().unwrap().tree.to_string(), "SELECT * FROM vehicles");
}

#[test]
fn comments_stay_beside_what_they_stood_beside() {
    let given = "\
-- about the file


/* two */ create source v ( -- opened
  id varchar, -- the key
  -- own line
  \"A\" int /* b */ not null
  -- before the end
) with ('connector'='kafka','topic'='t') -- where
-- how
format plain encode json ; -- behind

-- about the view
create view a.b as
    select 1 as x -- inside
    from t
-- at the end
";
    let wanted = "\
-- about the file

/* two */
CREATE SOURCE v ( -- opened
  id VARCHAR, -- the key
  -- own line
  \"A\" INT NOT NULL /* b */
  -- before the end
)
WITH (
  'connector' = 'kafka',
  'topic' = 't'
) -- where
-- how
FORMAT PLAIN ENCODE JSON; -- behind

-- about the view
CREATE VIEW a.b
AS
    select 1 as x -- inside
    from t;
-- at the end
";
    let once = format_file("x.sql", given).unwrap();
    assert_eq!(once, wanted);
    assert_eq!(format_file("x.sql", &once).unwrap(), once);
}

/// What a text's diagnostics are: code, place, and the text at the place.
fn found(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.split('\n').collect();
    parse_file("x.sql", text)
        .diagnostics
        .iter()
        .map(|d| {
            let s = d.span.unwrap_or_else(|| panic!("{} has no place", d.message));
            let line: Vec<char> = lines[s.start.line as usize - 1].chars().collect();
            let end = if s.end.line == s.start.line { s.end.column as usize - 1 } else { line.len() };
            let at: String = line.iter().take(end).skip(s.start.column as usize - 1).collect();
            (d.code.to_string(), format!("{}:{} {at}", s.start.line, s.start.column))
        })
        .collect()
}

#[test]
fn every_error_has_its_code_and_place() {
    let source = |rest: &str| format!("CREATE SOURCE v (id INT) {rest}");
    let cases: Vec<(String, Vec<(&str, &str)>)> = vec![
        ("CREATE SOURCE (id INT)".into(), vec![("P0101", "1:15 (")]),
        ("CREATE VIEW v AS SELECT 'x".into(), vec![("P0102", "1:25 '")]),
        ("CREATE VIEW v AS SELECT \"x".into(), vec![("P0102", "1:25 \"")]),
        ("CREATE VIEW v AS SELECT 1 /* x /* y */".into(), vec![("P0103", "1:27 /*")]),
        ("CREATE VIEW v AS\nSELECT $a$ x $b$".into(), vec![("P0104", "2:8 $a$")]),
        ("CREATE VIEW v AS SELECT U&'\\zz'; CREATE VEW b.c".into(), vec![("P0105", "1:25 U&'"), ("P0106", "1:41 VEW")]),
        ("DROP TABLE x".into(), vec![("P0106", "1:1 DROP")]),
        ("CREATE MATERIALISED VIEW v AS SELECT 1".into(), vec![("P0106", "1:8 MATERIALISED")]),
        ("CREATE OR REPLACE VIEW v AS SELECT 1".into(), vec![("P0106", "1:8 OR")]),
        ("CREATE VIEW v AS SELECT * FROM {{ ref('x') }}".into(), vec![("P0107", "1:32 {{ ref('x') }}")]),
        (
            "CREATE MATERIALIZED VIEW a.b COMMENT 'x'\nCOMMENT 'y' AS SELECT 1".into(),
            vec![("P0108", "2:1 COMMENT 'y'")],
        ),
        (
            "CREATE MATERIALIZED VIEW a.b PARTITION BY (x) COMENT 'y' AS SELECT 1".into(),
            vec![("P0109", "1:30 PARTITION"), ("P0109", "1:47 COMENT")],
        ),
        ("CREATE MATERIALIZED VIEW a.b".into(), vec![("P0110", "1:26 a.b")]),
        ("CREATE VIEW v AS".into(), vec![("P0110", "1:17 ")]),
        ("CREATE VIEW v AS SELECT a FROM t WHERE b = = 1".into(), vec![("P0111", "1:44 =")]),
        ("CREATE VIEW v AS SELECT a, FROM".into(), vec![("P0111", "1:32 ")]),
        ("CREATE VIEW v (CONSTRAINT c EXPECT (a >)) AS SELECT 1".into(), vec![("P0112", "1:40 )")]),
        (format!("CREATE VIEW v AS SELECT {}1{}", "(".repeat(200), ")".repeat(200)), vec![("P0113", "1:120 (")]),
        (format!("CREATE VIEW v AS SELECT 1{}", " + 1".repeat(4000)), vec![("P0113", "1:627 +")]),
        ("CREATE VIEW v (a INT AS SELECT 1".into(), vec![("P0114", "1:15 (")]),
        ("CREATE VIEW v AS SELECT 1)".into(), vec![("P0114", "1:26 )")]),
        ("CREATE VIEW v AS SELECT * FROM STREAM (SELECT 1)".into(), vec![("P0115", "1:40 SELECT")]),
        ("CREATE VIEW v AS SELECT * FROM t FOR VERSION AS OF x".into(), vec![("P0116", "1:52 x")]),
        ("CREATE MATERIALIZED VIEW a.b FRESHNESS INTERVAL '5' MONTH AS SELECT 1".into(), vec![("P0117", "1:53 MONTH")]),
        (source("WITH ('a' = 'b') FORMAT PLAN ENCODE JSON"), vec![("P0119", "1:50 PLAN")]),
        (
            "CREATE SOURCE v (id INT FROM 'a.b', x INT FROM '$.a[') WITH ('a'='b') FORMAT PLAIN ENCODE JSON".into(),
            vec![("P0118", "1:30 'a.b'"), ("P0118", "1:48 '$.a['")],
        ),
        ("CREATE MATERIALIZED VIEW a.b PARTITIONED BY (bucket(0, c)) AS SELECT 1".into(), vec![("P0120", "1:53 0")]),
        ("CREATE MATERIALIZED VIEW a.b PARTITIONED BY () AS SELECT 1".into(), vec![("P0121", "1:45 ()")]),
        ("CREATE VIEW a.b COMMENT 'x' AS SELECT 1".into(), vec![("P0122", "1:17 COMMENT")]),
        ("CREATE VIEW a.b AS SELECT '${X}' AS x".into(), vec![("P0123", "1:27 '${X}'")]),
        ("CREATE VIEW a.b AS SELECT 1 AS x FROM t u v".into(), vec![("P0124", "1:43 v")]),
        ("CREATE VIEW a.b AS SELECT 1 AS x FROM t PARTITIONED BY (x)".into(), vec![("P0125", "1:41 PARTITIONED")]),
        (source("FORMAT PLAIN ENCODE JSON"), vec![("P0126", "1:15 v")]),
        (source("WITH ('topic' = ${TOPIC}) FORMAT PLAIN ENCODE JSON"), vec![("P0101", "1:42 $")]),
        (
            "CREATE VIEW v (a INTT, b STRUCT<x INT>>, c DECIMAL(40, 2)) AS SELECT 1".into(),
            vec![("T0102", "1:18 INTT"), ("P0114", "1:26 STRUCT<x INT>>"), ("T0110", "1:51 (40, 2)")],
        ),
        ("CREATE VIEW v (a VARCHAR(5)) AS SELECT 1".into(), vec![("T0109", "1:25 (5)")]),
        // One pass reports what is wrong in every statement.
        (
            "CREATE VIEW ; x y; CREATE VIEW a.b AS SELECT 1 AS x; CREATE FLOW f AS UPSERT".into(),
            vec![("P0101", "1:12  "), ("P0106", "1:15 x"), ("P0101", "1:71 UPSERT")],
        ),
    ];
    let mut failures = Vec::new();
    for (text, wanted) in &cases {
        let wanted: Vec<(String, String)> = wanted.iter().map(|(c, p)| (c.to_string(), p.to_string())).collect();
        let found = found(text);
        let shown: String = text.chars().take(90).collect();
        if found != wanted {
            failures.push(format!("{shown}\n   found {found:?}\n  wanted {wanted:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn help(text: &str) -> (String, String) {
    let parsed = parse_file("sql/gold/x.sql", text);
    let d = parsed.diagnostics.first().unwrap();
    (d.helps.join("; "), d.suggestions.first().map_or(String::new(), |s| s.replacement.clone()))
}

#[test]
fn remedies_are_suggested() {
    let cases = [
        ("CREATE VIEW v AS SELECT * FROM {{ ref('x') }}", "write silver.x", "silver.x"),
        ("CREATE VIEW v AS SELECT * FROM {{ source('raw', 'x') }}", "write raw.x", "raw.x"),
        ("CREATE STREAMING TABEL v AS SELECT 1", "did you mean CREATE STREAMING TABLE?", "TABLE"),
        ("CREAT VIEW v AS SELECT 1", "did you mean CREATE?", "CREATE"),
        ("CREATE MATERIALIZED VIEW a.b PARTITION BY (x) AS SELECT 1", "did you mean PARTITIONED BY?", "PARTITIONED BY"),
        ("CREATE MATERIALIZED VIEW a.b REFRESH POLICY FUL AS SELECT 1", "did you mean FULL?", "FULL"),
        ("CREATE MATERIALIZED VIEW a.b ON DECODER ERROR DROP AS SELECT 1", "did you mean DECODE?", "DECODE"),
        ("CREATE MATERIALIZED VIEW a.b SELECT 1", "AS stands before the query", "AS "),
        ("CREATE MATERIALIZED VIEW a.b COMMENT \"it's\" AS SELECT 1", "strings have single quotes: 'it''s'", "'it''s'"),
        ("CREATE VIEW v (a LONG) AS SELECT 1", "did you mean BIGINT?", "BIGINT"),
        ("CREATE VIEW v (CONSTRAINT c EXPCT (a)) AS SELECT 1", "did you mean EXPECT?", "EXPECT"),
        (
            "CREATE VIEW v (PRIMARY KEY (a)) AS SELECT 1",
            "keys are hints: PRIMARY KEY (...) NOT ENFORCED",
            " NOT ENFORCED",
        ),
        ("SELECT 1", "a query of a project belongs to a view: CREATE MATERIALIZED VIEW layer.name AS ...", ""),
    ];
    for (text, wanted, replacement) in cases {
        assert_eq!(help(text), (wanted.to_string(), replacement.to_string()), "{text}");
    }
}

#[test]
fn a_diagnostic_is_rendered_as_rustc_would() {
    let text = "\u{feff}CREATE VIEW v AS\n\tSELECT * FROM\u{20}{{ ref('x') }};";
    let d = &parse_file("sql/gold/x.sql", text).diagnostics[0];
    let wanted = "\
error[P0107]: no templating
 --> sql/gold/x.sql:2:16
  |
2 |     SELECT * FROM {{ ref('x') }};
  |                   ^^^^^^^^^^^^^^
  |
  = help: write silver.x
";
    assert_eq!(render(d, Some(text), false), wanted);
    assert!(render(d, Some(text), true).contains("\u{1b}[1;31merror[P0107]"));
    let json = to_json(d);
    assert_eq!(json["span"]["start"]["column"], 16);
    assert_eq!(json["suggestions"][0]["replacement"], "silver.x");
    assert_eq!(json["retryable"], false);
    let without_source = render(d, None, false);
    assert_eq!(without_source, "error[P0107]: no templating\n --> sql/gold/x.sql:2:16\n  = help: write silver.x\n");
}

/// Streams and relations of the query of a view.
fn reads(body: &str) -> (Vec<String>, String) {
    let parsed = parse_file("x.sql", &format!("CREATE VIEW v AS {body}"));
    assert!(parsed.diagnostics.is_empty(), "{body}: {:#?}", parsed.diagnostics);
    let StatementKind::View(view) = &parsed.statements[0].kind else { panic!() };
    (view.query.streams.iter().map(ObjectName::dotted).collect(), view.query.tree.to_string())
}

#[test]
fn stream_is_taken_out_where_it_marks_a_table() {
    let cases = [
        ("SELECT * FROM STREAM v", vec!["v"], "SELECT * FROM v"),
        ("SELECT * FROM STREAM(bronze.v) AS x", vec!["bronze.v"], "SELECT * FROM bronze.v AS x"),
        ("select * from stream bronze.v s", vec!["bronze.v"], "SELECT * FROM bronze.v s"),
        ("SELECT * FROM a, STREAM b JOIN STREAM c ON true", vec!["b", "c"], "SELECT * FROM a, b JOIN c ON true"),
        ("SELECT * FROM stream", vec![], "SELECT * FROM stream"),
        ("SELECT * FROM stream AS s", vec![], "SELECT * FROM stream AS s"),
        ("SELECT * FROM stream WHERE true", vec![], "SELECT * FROM stream WHERE true"),
        ("SELECT * FROM \"STREAM\" v", vec![], "SELECT * FROM \"STREAM\" v"),
        ("SELECT * FROM stream.x", vec![], "SELECT * FROM stream.x"),
        ("SELECT stream, b FROM STREAM \"B\"", vec!["B"], "SELECT stream, b FROM \"B\""),
        ("SELECT a FROM t WHERE a IS DISTINCT FROM stream", vec![], "SELECT a FROM t WHERE a IS DISTINCT FROM stream"),
        ("SELECT trim('x' FROM stream) FROM STREAM t", vec!["t"], "SELECT TRIM('x' FROM stream) FROM t"),
        (
            "WITH stream AS (SELECT 1 AS a) SELECT * FROM stream s",
            vec![],
            "WITH stream AS (SELECT 1 AS a) SELECT * FROM stream s",
        ),
        (
            "SELECT * FROM (SELECT * FROM STREAM t) AS s, STREAM u",
            vec!["t", "u"],
            "SELECT * FROM (SELECT * FROM t) AS s, u",
        ),
    ];
    for (body, streams, tree) in cases {
        let streams: Vec<String> = streams.into_iter().map(String::from).collect();
        assert_eq!(reads(body), (streams, tree.to_string()), "{body}");
    }
    let named = "CREATE TEMPORARY VIEW stream AS SELECT 1 AS a; CREATE VIEW v AS SELECT * FROM stream s;";
    let StatementKind::View(view) = &parse_file("x.sql", named).statements[1].kind else { panic!() };
    assert!(view.query.streams.is_empty());
}

#[test]
fn as_of_is_lifted() {
    let text = "SELECT * FROM a.t FOR VERSION AS OF 12 AS x JOIN u FOR TIMESTAMP AS OF '2026-01-01' ON true, v FOR VERSION AS OF 'main'";
    let query = parse_query("q", text).unwrap();
    assert_eq!(query.tree.to_string(), "SELECT * FROM a.t AS x JOIN u ON true, v");
    let at: Vec<(String, Version)> = query.as_of.iter().map(|a| (a.name.dotted(), a.at.clone())).collect();
    let wanted = [
        ("a.t".to_string(), Version::Id(12)),
        ("u".to_string(), Version::Timestamp("2026-01-01".to_string())),
        ("v".to_string(), Version::Ref("main".to_string())),
    ];
    assert_eq!(at, wanted);
    assert_eq!(query.text, text);
    // An ad hoc query keeps STREAM as a name.
    assert_eq!(parse_query("q", "SELECT * FROM stream s;").unwrap().tree.to_string(), "SELECT * FROM stream s");
    assert_eq!(parse_query("q", "SELECT 1; SELECT 2").unwrap_err()[0].code, "P0129");
}

#[test]
fn places_are_those_of_the_file() {
    let parsed = parse_file("x.sql", "-- é\nCREATE VIEW a.\"B\" AS\n  SELECT größe FROM t");
    let StatementKind::View(view) = &parsed.statements[0].kind else { panic!() };
    assert_eq!(view.name.span(), Span::new(Location::new(2, 13), Location::new(2, 18)));
    assert_eq!(view.query.span, Span::new(Location::new(3, 3), Location::new(3, 22)));
    assert_eq!(view.query.text, "SELECT größe FROM t");
}

#[test]
fn executable_comments_are_comments() {
    let (_, tree) = reads("SELECT 1 AS a /*! , 2 AS b */, '/*!x*/' AS c");
    assert_eq!(tree, "SELECT 1 AS a, '/*!x*/' AS c");
    let text = "CREATE VIEW v AS SELECT 1 /*! x */ AS a; CREATE VEW";
    assert_eq!(found(text), [("P0106".to_string(), "1:49 VEW".to_string())]);
}

const SEEDS: &[&str] = &[
    BRONZE,
    SILVER,
    GOLD,
    "CREATE TEST t FOR a.b GIVEN x AS (SELECT 1) THEN UPDATE x SET a = 1 WHERE (b) EXPECT (SELECT 1) WITH REFRESH FULL",
    "CREATE FLOW f AS AUTO CDC INTO t FROM STREAM s KEYS (a) APPLY AS DELETE WHEN o = 'd' SEQUENCE BY x STORED AS SCD TYPE 2",
    "CREATE STREAMING TABLE a.b (c STRUCT<d ARRAY<MAP<STRING, INT>>> NOT NULL) FRESHNESS INTERVAL '5' MINUTE FROZEN WHERE (a > 1)",
    "ALTER TABLE t EXECUTE optimize(a => 1) WHERE b = 2; SHOW LINEAGE a.b; REFRESH x WHERE (a); CREATE EXTERNAL TABLE e (a INT)",
];
const PIECES: &[&str] = &[
    "(",
    ")",
    ",",
    ";",
    "'",
    "\"",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    ".",
    "<",
    ">",
    ">>",
    "[",
    "]",
    "{{",
    "}}",
    "{%",
    "FROM STREAM",
    "STREAM(",
    "FOR VERSION AS OF",
    "AS",
    "E'\\",
    "U&'\\00",
    "x'",
    "\u{feff}",
    "é",
    "\u{0}",
    "💥",
    "NOT ",
    "CASE ",
    "- ",
    "`",
    "1e",
    "0x",
    "${",
    ":",
    "::",
    "@",
    "\\",
    "SELECT",
    "STRUCT<",
    "DECIMAL(",
    "PRIMARY KEY (",
    "CONSTRAINT",
    "IN (",
    "/*!",
    "r'''",
    "q'[",
    "\r",
];

fn survive(text: &str) {
    let parsed = parse_file("x.sql", text);
    for d in &parsed.diagnostics {
        assert!(explain(d.code).is_some(), "{} is not registered", d.code);
        let _ = render(d, Some(text), true);
        let _ = to_json(d);
    }
    for statement in &parsed.statements {
        let _ = print(statement);
    }
    let _ = parse_query("q", text);
    let _ = parse_type(text);
    let _ = format_file("x.sql", text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn broken_statements_are_survived(
        seed in 0..SEEDS.len(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0..PIECES.len(), 0usize..12), 1..6),
    ) {
        let mut chars: Vec<char> = SEEDS[seed].chars().collect();
        for (at, piece, cut) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, PIECES[piece].chars());
        }
        survive(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn runs_of_pieces_are_survived(pieces in proptest::collection::vec(0..PIECES.len(), 0..60), head in any::<bool>()) {
        let body: Vec<&str> = pieces.iter().map(|i| PIECES[*i]).collect();
        let head = if head { "CREATE VIEW v AS SELECT " } else { "" };
        survive(&format!("{head}{}", body.join(" ")));
    }
}

#[test]
fn deep_and_long_inputs_do_not_overflow() {
    for piece in [
        "(",
        "[",
        "{",
        "NOT ",
        "- ",
        "ARRAY<",
        "CASE WHEN ",
        "a.",
        "STRUCT<a ",
        "1 + ",
        "x AND ",
        "SELECT 1 UNION ALL ",
        "a::INT",
        "/*",
        "((",
        "EXISTS (SELECT ",
    ] {
        let many = piece.repeat(20_000);
        survive(&many);
        survive(&format!("CREATE VIEW v AS SELECT {many}"));
        survive(&format!("CREATE VIEW v (c {many}) AS SELECT 1"));
    }
}
