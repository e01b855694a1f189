//! `CREATE SOURCE`: columns, INCLUDE, WITH, FORMAT and ENCODE.
//!
//! Not here: which options exist and what they mean (`ingot-source`).

use crate::ast::{
    Encode, EncodeOption, Encoding, Expr, Format, Ident, Include, IncludeKind, Pair, Source, SourceColumn, Span,
    Spanned, Str,
};
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::{Diagnostic, did_you_mean};
use sqlparser::tokenizer::Token;

const PARTS: &[&str] = &["INCLUDE", "WITH", "FORMAT", "KEY", "ENCODE"];

type Choices<T> = &'static [(&'static [&'static str], T)];

const INCLUDES: Choices<IncludeKind> = &[
    (&["KEY"], IncludeKind::Key),
    (&["TOPIC"], IncludeKind::Topic),
    (&["PARTITION"], IncludeKind::Partition),
    (&["OFFSET"], IncludeKind::Offset),
    (&["TIMESTAMP"], IncludeKind::Timestamp),
    (&["HEADERS"], IncludeKind::Headers),
    (&["PAYLOAD"], IncludeKind::Payload),
];
const FORMATS: Choices<Format> =
    &[(&["PLAIN"], Format::Plain), (&["UPSERT"], Format::Upsert), (&["DEBEZIUM"], Format::Debezium)];
const ENCODINGS: Choices<Encoding> = &[
    (&["JSON"], Encoding::Json),
    (&["AVRO"], Encoding::Avro),
    (&["PROTOBUF"], Encoding::Protobuf),
    (&["CSV"], Encoding::Csv),
    (&["BYTES"], Encoding::Bytes),
];

/// The entries between the parentheses.
#[derive(Default)]
struct Body {
    columns: Vec<SourceColumn>,
    primary_key: Option<(Vec<Ident>, Span)>,
    watermark: Option<((Ident, Expr), Span)>,
}

impl Cursor<'_> {
    /// Behind `CREATE SOURCE`.
    pub fn source(&mut self) -> Step<Source> {
        let start = self.at;
        let name = self.object_name("the source's name")?;
        let body = self.in_parens("columns", |c| {
            let mut body = Body::default();
            loop {
                if let Err(d) = c.source_entry(&mut body) {
                    c.diagnostics.push(*d);
                    c.skip_to_comma();
                }
                if !c.eat(&Token::Comma) {
                    return Ok(body);
                }
            }
        })?;
        let mut includes = Vec::new();
        let mut with: Option<(Vec<Pair>, Span)> = None;
        let mut format: Option<(Spanned<Format>, Span)> = None;
        let mut key_encode: Option<(Encode, Span)> = None;
        let mut encode: Option<(Encode, Span)> = None;
        while !self.is_done() {
            let part = self.at;
            if self.eat_words(&["INCLUDE"]) {
                let kind = self.choice("part of a message", INCLUDES)?;
                self.expect_words(&["AS"])?;
                let name = self.ident("a name")?;
                includes.push(Include { kind: kind.node, name, span: self.span_from(part) });
            } else if self.eat_words(&["WITH"]) {
                let pairs = self.pairs(true)?;
                self.once("WITH", &mut with, pairs, part);
            } else if self.eat_words(&["FORMAT"]) {
                let value = self.choice("format", FORMATS)?;
                self.once("FORMAT", &mut format, value, part);
            } else if self.eat_words(&["KEY", "ENCODE"]) {
                let value = self.encode()?;
                self.once("KEY ENCODE", &mut key_encode, value, part);
            } else if self.eat_words(&["ENCODE"]) {
                let value = self.encode()?;
                self.once("ENCODE", &mut encode, value, part);
            } else {
                return Err(self.unknown_part());
            }
        }
        let span = self.span_from(start);
        let missing = |part: &str, example: &str| {
            let d = Diagnostic::error("P0126", format!("source \"{}\" has no {part}", name.dotted()));
            Box::new(d.span(if name.0.is_empty() { span } else { name.span() }).help(format!("add {example}")))
        };
        Ok(Source {
            with: with.ok_or_else(|| missing("WITH", "WITH ('connector' = 'kafka', 'topic' = '...')"))?.0,
            format: format.ok_or_else(|| missing("FORMAT", "FORMAT PLAIN"))?.0,
            encode: encode.ok_or_else(|| missing("ENCODE", "ENCODE JSON"))?.0,
            key_encode: key_encode.map(|(e, _)| e),
            columns: body.columns,
            primary_key: body.primary_key.map(|(k, _)| k),
            watermark: body.watermark.map(|(w, _)| w),
            includes,
            name,
        })
    }

    fn source_entry(&mut self, body: &mut Body) -> Step<()> {
        let start = self.at;
        if self.are_words(&["PRIMARY", "KEY"]) && self.is_token(2, &Token::LParen) {
            self.at += 2;
            let key = self.idents()?;
            self.once("PRIMARY KEY", &mut body.primary_key, key, start);
        } else if self.are_words(&["WATERMARK", "FOR"]) {
            self.at += 2;
            let column = self.ident("the name of a column")?;
            self.expect_words(&["AS"])?;
            let expr = self.expr()?;
            self.once("WATERMARK", &mut body.watermark, (column, expr), start);
        } else {
            let column = self.source_column()?;
            body.columns.push(column);
        }
        if self.is_done() || self.is_token(0, &Token::Comma) { Ok(()) } else { Err(self.unexpected("\",\" or \")\"")) }
    }

    fn source_column(&mut self) -> Step<SourceColumn> {
        let name = self.ident("the name of a column")?;
        let ty = self.column_type()?;
        let mut path: Option<(Str, Span)> = None;
        let mut not_null: Option<((), Span)> = None;
        let mut default: Option<(Expr, Span)> = None;
        let mut comment: Option<(Str, Span)> = None;
        loop {
            let start = self.at;
            if self.eat_words(&["FROM"]) {
                let value = self.string("a path such as '$.a.b'")?;
                check_path(&value)?;
                self.once("FROM", &mut path, value, start);
            } else if self.eat_words(&["NOT"]) {
                self.expect_words(&["NULL"])?;
                self.once("NOT NULL", &mut not_null, (), start);
            } else if self.eat_words(&["DEFAULT"]) {
                let value = self.literal()?;
                self.once("DEFAULT", &mut default, value, start);
            } else if self.eat_words(&["COMMENT"]) {
                let value = self.string("a string")?;
                self.once("COMMENT", &mut comment, value, start);
            } else {
                break;
            }
        }
        Ok(SourceColumn {
            name,
            ty,
            path: path.map(|(p, _)| p),
            not_null: not_null.is_some(),
            default: default.map(|(d, _)| d),
            comment: comment.map(|(c, _)| c),
        })
    }

    fn encode(&mut self) -> Step<Encode> {
        let encoding = self.choice("encoding", ENCODINGS)?;
        let mut options = Vec::new();
        if self.is_token(0, &Token::LParen) {
            options = self.list("option = 'value'", |c| {
                let key = c.ident("the name of an option")?;
                c.expect(&Token::Eq, "\"=\"")?;
                let value = c.string("a value in single quotes")?;
                c.expandable.insert(value.span.start);
                Ok(EncodeOption { key, value })
            })?;
        }
        Ok(Encode { encoding, options })
    }

    fn unknown_part(&self) -> Box<Diagnostic> {
        let Some((tok, written)) = self.written_word(0) else {
            return self.unexpected("INCLUDE, WITH, FORMAT or ENCODE");
        };
        let mut d =
            Diagnostic::error("P0109", format!("unknown clause {} of a source", quoted(written))).span(tok.span);
        if let Some(near) = did_you_mean(written, PARTS.iter().copied()) {
            d = d.help(format!("did you mean {near}?")).suggest(tok.span, near);
        } else {
            d = d.note("a source has INCLUDE, WITH, FORMAT, KEY ENCODE and ENCODE");
        }
        Box::new(d)
    }

    /// Keeps the first of two equal clauses and reports the second.
    pub fn once<T>(&mut self, name: &str, slot: &mut Option<(T, Span)>, value: T, start: usize) {
        let span = self.span_from(start);
        match slot {
            Some((_, first)) => {
                let d = Diagnostic::error("P0108", format!("{name} is given twice"))
                    .span(span)
                    .label("the second")
                    .note(format!("the first is at {}:{}", first.start.line, first.start.column));
                self.diagnostics.push(d);
            }
            None => *slot = Some((value, span)),
        }
    }
}

/// `$`, then `.name`, `["name"]` and `[0]` in any order.
fn check_path(path: &Str) -> Step<()> {
    let bad = |why: &str| {
        let d = Diagnostic::error("P0118", format!("bad path {}: {why}", quoted(&path.node))).span(path.span);
        Err(Box::new(d.help("'$.a', '$.a.b', '$.a[\"b c\"][0]'")))
    };
    let Some(mut rest) = path.node.strip_prefix('$') else { return bad("it begins with $") };
    while let Some(first) = rest.chars().next() {
        let body = rest.get(1..).unwrap_or("");
        match first {
            '.' => {
                let end = body.find(['.', '[']).unwrap_or(body.len());
                if end == 0 || body.get(..end).is_some_and(|n| n.contains(['*', '?', '@', ']', '"'])) {
                    return bad("a name is expected behind the dot");
                }
                rest = body.get(end..).unwrap_or("");
            }
            '[' => match body.strip_prefix('"') {
                Some(name) => match end_of_name(name) {
                    Some(end) => rest = name.get(end..).unwrap_or(""),
                    None => return bad("[\"...\"] is not closed"),
                },
                None => {
                    let Some((digits, after)) = body.split_once(']') else { return bad("[ is not closed") };
                    if digits.parse::<u32>().is_err() {
                        return bad("an index, or a name in double quotes, is expected in [...]");
                    }
                    rest = after;
                }
            },
            _ => return bad("a step begins with . or ["),
        }
    }
    Ok(())
}

/// Where `...."]` ends, behind the bracket; a backslash escapes.
fn end_of_name(name: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in name.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return name.get(at + 1..)?.starts_with(']').then_some(at + 2),
            _ => {}
        }
    }
    None
}
