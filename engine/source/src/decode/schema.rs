//! A declared source, ready to decode: columns with their places in the document, INCLUDE columns, options.
//!
//! Invariants
//! * The Arrow schema is the columns in order, then the INCLUDE columns in order.
//! * Whatever cannot be decoded is refused here, with a place, before a message is read.
//!
//! Not here: decoding (`decode`), connections (`kafka`), names of published tables (`pipeline`).

use crate::decode::cell::{Cell, Scalar};
use crate::decode::convert;
use crate::decode::options::{JsonOptions, TimestampFormat};
use crate::decode::path::JsonPath;
use crate::decode::types::{column_type_to_arrow, include_to_arrow, type_name};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ingot_dialect::ast::{self, ColumnType, Encoding, Format, IncludeKind};
use ingot_dialect::{Diagnostic, did_you_mean, expand_env};
use sqlparser::ast as sql;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A literal after DEFAULT, as written.
#[derive(Debug, Clone, PartialEq)]
pub enum ScalarLiteral {
    Null,
    Boolean(bool),
    Number(String),
    String(String),
}

/// One declared column.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceField {
    pub name: String,
    pub data_type: DataType,
    pub column_type: ColumnType,
    /// `FROM '...'`.
    pub path: Option<JsonPath>,
    /// The column's name as written: the key where there is no path.
    pub key: String,
    pub nullable: bool,
    /// Stands in for an absent key, not for a null.
    pub default: Option<ScalarLiteral>,
}

/// A source's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSchema {
    pub columns: Vec<SourceField>,
    pub includes: Vec<(IncludeKind, String)>,
    pub json: JsonOptions,
    pub encoding: Encoding,
    /// Whether each row's message stands beside it (`PartitionBatch::kept`), for a reader whose query may fail for it.
    pub keep_messages: bool,
}

/// Longest text of a DEFAULT; it is repeated in every row that lacks the key.
const DEFAULT_LENGTH_MAX: usize = 1_000;

impl SourceSchema {
    /// Columns, then INCLUDE columns.
    pub fn arrow(&self) -> SchemaRef {
        let columns = self.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable));
        let includes = self.includes.iter().map(|(kind, name)| Field::new(name, include_to_arrow(*kind), true));
        Arc::new(Schema::new(columns.chain(includes).collect::<Vec<_>>()))
    }

    /// Reads CREATE SOURCE; `env` answers `${NAME}` in ENCODE's options.
    ///
    /// # Errors
    /// Everything that is wrong or not supported, each with its place.
    pub fn try_from_ast(source: &ast::Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        if let Some(d) = refuse_format(source) {
            wrong.push(d);
        }
        let json = json_options(&source.encode, env, &mut wrong);
        let columns: Vec<_> = source.columns.iter().filter_map(|c| column(c, json, &mut wrong)).collect();
        let includes = source.includes.iter().map(|i| (i.kind, i.name.value.clone())).collect();
        let encoding = source.encode.encoding.node;
        if encoding == Encoding::Bytes {
            refuse_bytes(source, &mut wrong);
        }
        refuse_duplicates(source, &mut wrong);
        if wrong.is_empty() { Ok(Self { columns, includes, json, encoding, keep_messages: false }) } else { Err(wrong) }
    }
}

fn refuse_format(source: &ast::Source) -> Option<Diagnostic> {
    let format = match source.format.node {
        Format::Plain => None,
        Format::Upsert => Some("UPSERT"),
        Format::Debezium => Some("DEBEZIUM"),
    };
    if let Some(name) = format {
        let text = format!("FORMAT {name} is not supported yet");
        return Some(Diagnostic::error("U0114", text).span(source.format.span).help("use FORMAT PLAIN"));
    }
    let encoding = match source.encode.encoding.node {
        Encoding::Json | Encoding::Bytes => None,
        Encoding::Avro => Some(("U0103", "AVRO")),
        Encoding::Protobuf => Some(("U0104", "PROTOBUF")),
        Encoding::Csv => Some(("U0105", "CSV")),
    };
    if let Some((code, name)) = encoding {
        let text = format!("ENCODE {name} is not supported yet");
        return Some(
            Diagnostic::error(code, text)
                .span(source.encode.encoding.span)
                .help("use ENCODE JSON, or ENCODE BYTES with one BINARY column"),
        );
    }
    source.key_encode.as_ref().map(|encode| {
        Diagnostic::error("U0115", "KEY ENCODE is not supported yet")
            .span(encode.encoding.span)
            .help("INCLUDE KEY AS column gives the key's bytes")
    })
}

fn refuse_bytes(source: &ast::Source, wrong: &mut Vec<Diagnostic>) {
    let one_binary = matches!(source.columns.as_slice(), [c] if c.ty.node == ColumnType::Binary && c.path.is_none());
    if !one_binary {
        wrong.push(
            Diagnostic::error("T0115", "ENCODE BYTES needs exactly one column, of type BINARY and without FROM")
                .span(source.encode.encoding.span),
        );
    }
}

fn refuse_duplicates(source: &ast::Source, wrong: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    let names = source.columns.iter().map(|c| &c.name).chain(source.includes.iter().map(|i| &i.name));
    for name in names {
        if !seen.insert(name.value.to_lowercase()) {
            let text = format!("column \"{}\" is declared twice", name.value);
            wrong.push(Diagnostic::error("N0316", text).span(name.span));
        }
    }
}

fn json_options(
    encode: &ast::Encode,
    env: &dyn Fn(&str) -> Option<String>,
    wrong: &mut Vec<Diagnostic>,
) -> JsonOptions {
    const NAMES: [&str; 3] = ["timestamp_format", "coerce", "unknown_fields"];
    let mut options = JsonOptions::default();
    for option in &encode.options {
        let value = match expand_env(&option.value.node, env) {
            Ok(value) => value,
            Err(name) => {
                let text = format!("environment variable \"{name}\" is not set");
                wrong.push(Diagnostic::error("C0104", text).span(option.value.span));
                continue;
            }
        };
        let key = option.key.value.as_str();
        let known: &[&str] = match (encode.encoding.node, key) {
            (Encoding::Json, "timestamp_format") => &["iso8601", "epoch_s", "epoch_ms", "epoch_us"],
            (Encoding::Json, "coerce") => &["none", "lossless"],
            (Encoding::Json, "unknown_fields") => &["ignore", "error"],
            (encoding, _) => {
                let mut d = Diagnostic::error("C0105", format!("ENCODE has no option \"{key}\"")).span(option.key.span);
                if encoding == Encoding::Json {
                    d = match did_you_mean(key, NAMES) {
                        Some(name) => d.help(format!("did you mean {name}?")).suggest(option.key.span, name),
                        None => d.note(format!("JSON has: {}", NAMES.join(", "))),
                    };
                }
                wrong.push(d);
                continue;
            }
        };
        match value.as_str() {
            "iso8601" if known.contains(&"iso8601") => options.timestamp_format = TimestampFormat::Iso8601,
            "epoch_s" if known.contains(&"epoch_s") => options.timestamp_format = TimestampFormat::EpochS,
            "epoch_ms" if known.contains(&"epoch_ms") => options.timestamp_format = TimestampFormat::EpochMs,
            "epoch_us" if known.contains(&"epoch_us") => options.timestamp_format = TimestampFormat::EpochUs,
            "none" if known.contains(&"none") => options.coerce_lossless = false,
            "lossless" if known.contains(&"lossless") => options.coerce_lossless = true,
            "ignore" if known.contains(&"ignore") => options.refuse_unknown_fields = false,
            "error" if known.contains(&"error") => options.refuse_unknown_fields = true,
            _ => wrong.push(
                // The written text, not the expanded value, which may be a secret.
                Diagnostic::error("C0102", format!("option {key} cannot be '{}'", option.value.node))
                    .span(option.value.span)
                    .help(format!("one of: {}", known.join(", "))),
            ),
        }
    }
    options
}

fn column(c: &ast::SourceColumn, json: JsonOptions, wrong: &mut Vec<Diagnostic>) -> Option<SourceField> {
    let before = wrong.len();
    let path = c.path.as_ref().and_then(|text| match JsonPath::parse(&text.node) {
        Ok(path) => Some(path),
        Err(error) => {
            let text_of = format!("'{}' is not a JSON path: {error}", text.node);
            wrong.push(Diagnostic::error("P0118", text_of).span(text.span).help("a path looks like '$.a[\"b c\"][0]'"));
            None
        }
    });
    if let Some((code, problem)) = refuse_type(&c.ty.node) {
        wrong.push(Diagnostic::error(code, problem).span(c.ty.span));
    }
    let default = c.default.as_ref().and_then(|expr| match default_literal(&expr.tree) {
        Some(literal) => Some((literal, expr)),
        None => {
            wrong.push(
                Diagnostic::error("T0111", format!("DEFAULT of \"{}\" is not a literal", c.name.value))
                    .span(expr.span)
                    .help("write a number, a string, TRUE, FALSE or NULL"),
            );
            None
        }
    });
    let mut field = SourceField {
        name: c.name.value.clone(),
        data_type: column_type_to_arrow(&c.ty.node),
        column_type: c.ty.node.clone(),
        path,
        // Quotes are not part of a name.
        key: if c.name.quoted { c.name.value.clone() } else { c.name.written.clone() },
        nullable: !c.not_null,
        default: None,
    };
    if let Some((literal, expr)) = default {
        match default_cell(&literal, &field, json) {
            Ok(_) => field.default = Some(literal),
            Err(reason) => wrong
                .push(Diagnostic::error("T0111", format!("DEFAULT of \"{}\" {reason}", c.name.value)).span(expr.span)),
        }
    }
    (wrong.len() == before).then_some(field)
}

/// Why a type cannot be decoded, if so.
fn refuse_type(t: &ColumnType) -> Option<(&'static str, String)> {
    match t {
        ColumnType::Decimal(precision, scale) => {
            let fits = (1..=38).contains(precision) && *scale >= 0 && scale.unsigned_abs() <= *precision;
            (!fits).then(|| {
                let name = type_name(t);
                ("T0110", format!("{name} needs 1 <= precision <= 38 and 0 <= scale <= precision"))
            })
        }
        ColumnType::Timestamp(Some(p)) | ColumnType::TimestampTz(Some(p)) if *p > 6 => {
            Some(("U0121", format!("{}({p}): tables of format v2 hold microseconds", type_name(t))))
        }
        ColumnType::List(element) => refuse_type(element),
        ColumnType::Struct(fields) if fields.is_empty() => Some(("T0102", "STRUCT has no fields".into())),
        ColumnType::Struct(fields) => fields.iter().find_map(|(_, t)| refuse_type(t)),
        ColumnType::Map(key, value) => {
            let nested =
                matches!(**key, ColumnType::List(_) | ColumnType::Struct(_) | ColumnType::Map(..) | ColumnType::Json);
            if nested {
                Some(("T0113", format!("a key of MAP cannot be {}", type_name(key))))
            } else {
                refuse_type(key).or_else(|| refuse_type(value))
            }
        }
        _ => None,
    }
}

fn default_literal(expr: &sql::Expr) -> Option<ScalarLiteral> {
    match expr {
        sql::Expr::Nested(inner) => default_literal(inner),
        sql::Expr::Value(value) => match &value.value {
            sql::Value::Null => Some(ScalarLiteral::Null),
            sql::Value::Boolean(b) => Some(ScalarLiteral::Boolean(*b)),
            sql::Value::Number(text, _) => Some(ScalarLiteral::Number(text.to_string())),
            sql::Value::SingleQuotedString(text) => Some(ScalarLiteral::String(text.clone())),
            _ => None,
        },
        sql::Expr::UnaryOp { op: sql::UnaryOperator::Minus, expr } => match default_literal(expr)? {
            ScalarLiteral::Number(text) if !text.starts_with('-') => Some(ScalarLiteral::Number(format!("-{text}"))),
            _ => None,
        },
        sql::Expr::UnaryOp { op: sql::UnaryOperator::Plus, expr } => match default_literal(expr)? {
            number @ ScalarLiteral::Number(_) => Some(number),
            _ => None,
        },
        // TIMESTAMP '...', DATE '...'
        sql::Expr::TypedString(typed) => match &typed.value.value {
            sql::Value::SingleQuotedString(text) => Some(ScalarLiteral::String(text.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// The value of a DEFAULT in its column's type.
///
/// # Errors
/// Why the literal does not fit, to stand after the column's name.
pub(crate) fn default_cell(
    literal: &ScalarLiteral,
    field: &SourceField,
    json: JsonOptions,
) -> Result<Cell<'static>, String> {
    let text = match literal {
        ScalarLiteral::Null if field.nullable => return Ok(Cell::Null),
        ScalarLiteral::Null => return Err("is NULL, but the column is NOT NULL".into()),
        ScalarLiteral::Boolean(b) => Scalar::Boolean(*b),
        ScalarLiteral::Number(text) => Scalar::Number(text),
        ScalarLiteral::String(text) if text.len() > DEFAULT_LENGTH_MAX => {
            return Err(format!("is longer than {DEFAULT_LENGTH_MAX} bytes"));
        }
        ScalarLiteral::String(text) => Scalar::String(text.as_str().into()),
    };
    // A default is SQL: times are written as such whatever the messages use, and '12' may stand for 12.
    let as_sql = match literal {
        ScalarLiteral::String(_) => JsonOptions { timestamp_format: TimestampFormat::Iso8601, ..json },
        _ => json,
    };
    let lossless = JsonOptions { coerce_lossless: true, ..as_sql };
    let cell = convert::scalar(text, &field.column_type, lossless)
        .map_err(|e| format!("does not fit {}: {}", type_name(&field.column_type), e.reason))?;
    Ok(cell.into_owned())
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
