//! Declarations, good and bad.

use super::*;
use ingot_dialect::ast::{Encode, Ident, Include, Source, SourceColumn, Spanned};
use sqlparser::tokenizer::Span;

fn ident(name: &str) -> Ident {
    Ident { value: name.to_lowercase(), written: name.into(), quoted: false, span: Span::empty() }
}

fn spanned<T>(node: T) -> Spanned<T> {
    Spanned::new(node, Span::empty())
}

fn column(name: &str, t: ColumnType) -> SourceColumn {
    SourceColumn { name: ident(name), ty: spanned(t), path: None, not_null: false, default: None, comment: None }
}

fn encode(encoding: Encoding, options: &[(&str, &str)]) -> Encode {
    let option = |(k, v): &(&str, &str)| ast::EncodeOption { key: ident(k), value: spanned((*v).to_string()) };
    Encode { encoding: spanned(encoding), options: options.iter().map(option).collect() }
}

fn source(columns: Vec<SourceColumn>, encode: Encode) -> Source {
    Source {
        name: ast::ObjectName(vec![ident("s")]),
        columns,
        primary_key: None,
        watermark: None,
        includes: vec![Include { kind: IncludeKind::Offset, name: ident("_offset"), span: Span::empty() }],
        with: vec![],
        format: spanned(Format::Plain),
        key_encode: None,
        encode,
    }
}

fn codes(source: &Source) -> Vec<&'static str> {
    match SourceSchema::try_from_ast(source, &|name| (name == "TS").then(|| "epoch_ms".to_string())) {
        Ok(_) => vec![],
        Err(wrong) => wrong.iter().map(|d| d.code).collect(),
    }
}

fn default(text: &str) -> ast::Expr {
    let tree = ingot_dialect::written_expr(text).unwrap();
    ast::Expr { text: text.into(), tokens: vec![], tree: Box::new(tree), span: Span::empty() }
}

#[test]
fn keys_are_names_as_written() {
    let s =
        source(vec![column("vehicleId", ColumnType::BigInt)], encode(Encoding::Json, &[("timestamp_format", "${TS}")]));
    let schema = SourceSchema::try_from_ast(&s, &|_| Some("epoch_ms".into())).unwrap();
    assert_eq!((schema.columns[0].name.as_str(), schema.columns[0].key.as_str()), ("vehicleid", "vehicleId"));
    assert_eq!(schema.json.timestamp_format, TimestampFormat::EpochMs);
    assert_eq!(schema.arrow().field(1).name(), "_offset");
}

#[test]
fn everything_wrong_is_told() {
    let json = || encode(Encoding::Json, &[]);
    let bad_path = SourceColumn { path: Some(spanned("a.b".into())), ..column("a", ColumnType::Int) };
    let cases = [
        (source(vec![bad_path], json()), vec!["P0118"]),
        (source(vec![column("a", ColumnType::Decimal(39, 0))], json()), vec!["T0110"]),
        (source(vec![column("a", ColumnType::TimestampTz(Some(9)))], json()), vec!["U0121"]),
        (source(vec![column("a", ColumnType::Int), column("A", ColumnType::Int)], json()), vec!["N0316"]),
        (source(vec![column("_offset", ColumnType::Int)], json()), vec!["N0316"]),
        (source(vec![column("a", ColumnType::Int)], encode(Encoding::Avro, &[])), vec!["U0103"]),
        (source(vec![column("a", ColumnType::Int)], encode(Encoding::Bytes, &[])), vec!["T0115"]),
        (source(vec![column("a", ColumnType::Binary)], encode(Encoding::Bytes, &[])), vec![]),
        (source(vec![column("a", ColumnType::Int)], encode(Encoding::Json, &[("coerse", "none")])), vec!["C0105"]),
        (source(vec![column("a", ColumnType::Int)], encode(Encoding::Json, &[("coerce", "all")])), vec!["C0102"]),
        (source(vec![column("a", ColumnType::Int)], encode(Encoding::Json, &[("coerce", "${X}")])), vec!["C0104"]),
    ];
    for (s, wanted) in cases {
        assert_eq!(codes(&s), wanted, "{s:?}");
    }
}

#[test]
fn defaults_are_literals_of_the_type() {
    let with = |t, text| {
        let c = SourceColumn { default: Some(default(text)), ..column("a", t) };
        codes(&source(vec![c], encode(Encoding::Json, &[("timestamp_format", "epoch_ms")])))
    };
    for (t, text) in [
        (ColumnType::Int, "-1"),
        (ColumnType::Double, "0.5"),
        (ColumnType::String(None), "'x'"),
        (ColumnType::Boolean, "TRUE"),
        (ColumnType::Int, "NULL"),
        (ColumnType::TimestampTz(None), "'2026-01-01T00:00:00Z'"),
        (ColumnType::TimestampTz(None), "TIMESTAMP '2026-01-01 00:00:00'"),
        (ColumnType::Decimal(5, 2), "1.25"),
    ] {
        assert!(with(t.clone(), text).is_empty(), "{t:?} {text}");
    }
    for (t, text) in [(ColumnType::Int, "1.5"), (ColumnType::Int, "now()"), (ColumnType::Boolean, "'maybe'")] {
        assert_eq!(with(t, text), ["T0111"], "{text}");
    }
}
