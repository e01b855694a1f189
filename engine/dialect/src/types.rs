//! Types, as they stand in heads and casts.
//!
//! Not here: what a type is in Arrow or Iceberg (`source::types`, `lake::schema`).

use crate::ast::{ColumnType, Span, Spanned};
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::lex::{Tok, lex};
use sqlparser::tokenizer::Token;

const NAMES: &[&str] = &[
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "BOOLEAN",
    "BOOL",
    "DECIMAL",
    "NUMERIC",
    "STRING",
    "TEXT",
    "VARCHAR",
    "CHAR",
    "BINARY",
    "VARBINARY",
    "BYTEA",
    "UUID",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "ARRAY",
    "STRUCT",
    "MAP",
    "JSON",
];
/// Types may nest this deep.
const DEPTH_MAX: usize = 32;
/// Microseconds: what Iceberg's format v2 stores.
const PRECISION_MAX: u8 = 6;
const DECIMAL_DIGITS_MAX: u8 = 38;

/// One type, with nothing behind it.
///
/// # Errors
/// P0101, T0102, T0110 or a tokenizer's code, with a place in `text`.
#[allow(clippy::result_large_err)] // one call a type, not a hot path
pub fn parse_type(text: &str) -> Result<ColumnType, Diagnostic> {
    let lexed = lex(text);
    if let Some(d) = lexed.diagnostics.first() {
        return Err(d.clone());
    }
    let mut cursor = Cursor::new(&lexed, 0..lexed.tokens.len(), false);
    let ty = cursor.column_type().map_err(|d| *d)?;
    if !cursor.is_done() {
        return Err(*cursor.unexpected("the end of the type"));
    }
    Ok(ty.node)
}

impl Cursor<'_> {
    /// A type and its place.
    ///
    /// # Errors
    /// What is no type of a column.
    pub fn column_type(&mut self) -> Step<Spanned<ColumnType>> {
        let start = self.at;
        self.angles = 0;
        let ty = self.nested_type(0)?;
        if self.angles > 0 {
            return self.fail("P0114", "one \">\" too many", self.span_from(start));
        }
        Ok(Spanned::new(ty, self.span_from(start)))
    }

    /// Whether the next token begins a type, so that a column's type may be left out.
    pub(crate) fn at_type(&self) -> bool {
        let attribute = self.are_words(&["NOT", "NULL"])
            || (self.is_word(0, "COMMENT") && self.peek(1).is_some_and(|t| is_string(&t.token)));
        matches!(self.peek(0).map(|t| &t.token), Some(Token::Word(_))) && !attribute
    }

    fn nested_type(&mut self, depth: usize) -> Step<ColumnType> {
        if depth > DEPTH_MAX {
            return self.fail("P0113", format!("types may nest {DEPTH_MAX} deep, this one is deeper"), self.here());
        }
        let Some((tok, name)) = self.written_word(0) else {
            return Err(self.unexpected("a type"));
        };
        self.at += 1;
        let mut ty = match name.to_ascii_uppercase().as_str() {
            "TINYINT" => ColumnType::TinyInt,
            "SMALLINT" => ColumnType::SmallInt,
            "INT" | "INTEGER" => ColumnType::Int,
            "BIGINT" => ColumnType::BigInt,
            "REAL" | "FLOAT" => ColumnType::Real,
            "DOUBLE" => {
                self.eat_words(&["PRECISION"]);
                ColumnType::Double
            }
            "BOOLEAN" | "BOOL" => ColumnType::Boolean,
            "DECIMAL" | "NUMERIC" => self.decimal(tok)?,
            "STRING" | "TEXT" | "VARCHAR" | "CHAR" => self.text()?,
            "JSON" => ColumnType::Json,
            "BINARY" | "VARBINARY" | "BYTEA" => ColumnType::Binary,
            "UUID" => ColumnType::Uuid,
            "DATE" => ColumnType::Date,
            "TIME" => {
                self.precision()?;
                ColumnType::Time
            }
            "TIMESTAMP" => {
                let precision = self.precision()?;
                if self.eat_words(&["WITH", "TIME", "ZONE"]) {
                    ColumnType::TimestampTz(precision)
                } else {
                    self.eat_words(&["WITHOUT", "TIME", "ZONE"]);
                    ColumnType::Timestamp(precision)
                }
            }
            "TIMESTAMPTZ" => ColumnType::TimestampTz(self.precision()?),
            "ARRAY" => {
                self.open_angle(name)?;
                let item = self.nested_type(depth + 1)?;
                self.close_angle()?;
                ColumnType::List(Box::new(item))
            }
            "STRUCT" => self.structure(name, depth)?,
            "MAP" => {
                self.open_angle(name)?;
                let key = self.nested_type(depth + 1)?;
                self.expect(&Token::Comma, "\",\" and the type of the map's values")?;
                let value = self.nested_type(depth + 1)?;
                self.close_angle()?;
                ColumnType::Map(Box::new(key), Box::new(value))
            }
            _ => return Err(unknown(tok.span, name)),
        };
        let mut lists = depth;
        while self.angles == 0 && self.is_token(0, &Token::LBracket) && self.is_token(1, &Token::RBracket) {
            self.at += 2;
            lists += 1;
            if lists > DEPTH_MAX {
                return self.fail("P0113", format!("types may nest {DEPTH_MAX} deep, this one is deeper"), tok.span);
            }
            ty = ColumnType::List(Box::new(ty));
        }
        Ok(ty)
    }

    fn structure(&mut self, name: &str, depth: usize) -> Step<ColumnType> {
        self.open_angle(name)?;
        let mut fields: Vec<(String, ColumnType)> = Vec::new();
        loop {
            let field = self.ident("the name of a field")?;
            if fields.iter().any(|(known, _)| *known == field.value) {
                return self.fail(
                    "N0107",
                    format!("field {} occurs twice in this struct", quoted(&field.value)),
                    field.span,
                );
            }
            self.eat(&Token::Colon);
            fields.push((field.value, self.nested_type(depth + 1)?));
            if self.angles > 0 || !self.eat(&Token::Comma) {
                break;
            }
        }
        self.close_angle()?;
        Ok(ColumnType::Struct(fields))
    }

    fn open_angle(&mut self, name: &str) -> Step<()> {
        self.expect(&Token::Lt, &format!("\"<\" after {}", name.to_ascii_uppercase()))
    }

    /// A `>`, which the tokenizer may have joined with its neighbour.
    fn close_angle(&mut self) -> Step<()> {
        if self.angles > 0 {
            self.angles -= 1;
        } else if self.eat(&Token::ShiftRight) {
            self.angles = 1;
        } else {
            self.expect(&Token::Gt, "\">\"")?;
        }
        Ok(())
    }

    fn decimal(&mut self, tok: &Tok) -> Step<ColumnType> {
        if !self.is_token(0, &Token::LParen) {
            let d = Diagnostic::error("T0110", "DECIMAL needs its digits")
                .span(tok.span)
                .help("DECIMAL(18, 2): digits in all, digits of the fraction");
            return Err(Box::new(d));
        }
        let start = self.at;
        let (digits, scale) = self.in_parens("digits", |c| {
            let digits = c.number::<u8>("a number of digits")?.node;
            let scale = if c.eat(&Token::Comma) { c.number::<u8>("a number of digits")?.node } else { 0 };
            Ok((digits, scale))
        })?;
        match i8::try_from(scale) {
            Ok(s) if (1..=DECIMAL_DIGITS_MAX).contains(&digits) && scale <= digits => {
                Ok(ColumnType::Decimal(digits, s))
            }
            _ => {
                let message = format!(
                    "DECIMAL({digits}, {scale}) cannot be stored: 1 to {DECIMAL_DIGITS_MAX} digits, no more of them in the fraction"
                );
                self.fail("T0110", message, self.span_from(start))
            }
        }
    }

    fn text(&mut self) -> Step<ColumnType> {
        if !self.is_token(0, &Token::LParen) {
            return Ok(ColumnType::String(None));
        }
        let start = self.at;
        let length = self.in_parens("a length", |c| c.number::<u64>("a length"))?;
        let span = self.span_from(start);
        let warning = Diagnostic::warning("T0109", format!("the length {} is not enforced", length.node))
            .span(span)
            .help("leave it out, or check it: CONSTRAINT short EXPECT (length(column) <= n)");
        self.diagnostics.push(warning);
        Ok(ColumnType::String(Some(length.node)))
    }

    fn precision(&mut self) -> Step<Option<u8>> {
        if !self.is_token(0, &Token::LParen) {
            return Ok(None);
        }
        let precision = self.in_parens("a precision", |c| c.number::<u8>("a precision"))?;
        if precision.node > PRECISION_MAX {
            let d = Diagnostic::error("T0110", format!("precision {} cannot be stored", precision.node))
                .span(precision.span)
                .note("a precision over 6, finer than microseconds, is not written")
                .suggest(precision.span, PRECISION_MAX.to_string());
            return Err(Box::new(d));
        }
        Ok(Some(precision.node))
    }
}

fn unknown(span: Span, name: &str) -> Box<Diagnostic> {
    let mut d = Diagnostic::error("T0102", format!("unknown type {}", quoted(name))).span(span);
    let meant = match name.to_ascii_uppercase().as_str() {
        "INT8" | "INT64" | "LONG" => Some("BIGINT"),
        "INT4" | "INT32" => Some("INT"),
        "INT2" | "INT16" | "SHORT" => Some("SMALLINT"),
        "BYTE" => Some("TINYINT"),
        "FLOAT8" | "FLOAT64" => Some("DOUBLE"),
        "FLOAT4" | "FLOAT32" => Some("REAL"),
        "UTF8" | "NVARCHAR" | "CLOB" => Some("VARCHAR"),
        "BLOB" | "BYTES" => Some("BINARY"),
        "DATETIME" | "TIMESTAMP_NTZ" => Some("TIMESTAMP"),
        "TIMESTAMP_LTZ" => Some("TIMESTAMPTZ"),
        "JSONB" | "VARIANT" => Some("JSON"),
        "ROW" => Some("STRUCT"),
        "LIST" => Some("ARRAY"),
        _ => did_you_mean(name, NAMES.iter().copied()),
    };
    d = match meant {
        Some(meant) => d.help(format!("did you mean {meant}?")).suggest(span, meant),
        None => d.note("types are BIGINT, INT, DOUBLE, BOOLEAN, DECIMAL(p, s), VARCHAR, BINARY, UUID, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, JSON, ARRAY<T>, STRUCT<a T>, MAP<K, V>"),
    };
    Box::new(d)
}

pub(crate) fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
}
