//! `CREATE FLOW`: rows put into a streaming table that has no query, and changes applied to it.
//!
//! Not here: running them.

use crate::ast::{Cdc, ColumnChoice, Expr, Flow, FlowKind, Ident, Span};
use crate::body::Streams;
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::{Diagnostic, did_you_mean};
use sqlparser::tokenizer::Token;

impl Cursor<'_> {
    /// Behind `CREATE FLOW`.
    pub fn flow(&mut self) -> Step<Flow> {
        let name = self.object_name("the flow's name")?;
        self.expect_words(&["AS"])?;
        if self.eat_words(&["AUTO"]) {
            self.expect_words(&["CDC", "INTO"])?;
            let target = self.object_name("the name of a table")?;
            let cdc = self.cdc()?;
            return Ok(Flow { name, target, kind: FlowKind::AutoCdc(Box::new(cdc)) });
        }
        if !self.eat_words(&["INSERT"]) {
            return Err(self.unexpected("INSERT INTO or AUTO CDC INTO"));
        }
        let once = self.eat_words(&["ONCE"]);
        self.expect_words(&["INTO"])?;
        let target = self.object_name("the name of a table")?;
        self.expect_words(&["BY", "NAME"])?;
        let query = self.query(Streams::TakeOut)?;
        Ok(Flow { name, target, kind: FlowKind::Insert { once, query } })
    }

    fn cdc(&mut self) -> Step<Cdc> {
        self.expect_words(&["FROM"])?;
        // A source may itself be named stream.
        let is_name = self.is_token(1, &Token::Period) || (self.is_word(1, "KEYS") && self.is_token(2, &Token::LParen));
        let stream = self.is_word(0, "STREAM") && !is_name;
        self.at += usize::from(stream);
        let source = self.object_name("the name of a source or table")?;
        let mut keys: Option<(Vec<Ident>, Span)> = None;
        let mut ignore_null_updates: Option<((), Span)> = None;
        let mut delete_when: Option<(Expr, Span)> = None;
        let mut truncate_when: Option<(Expr, Span)> = None;
        let mut sequence_by: Option<(Expr, Span)> = None;
        let mut columns: Option<(ColumnChoice, Span)> = None;
        let mut scd_type: Option<(u8, Span)> = None;
        let mut track_history: Option<(ColumnChoice, Span)> = None;
        while !self.is_done() {
            let start = self.at;
            if self.eat_words(&["KEYS"]) {
                let value = self.idents()?;
                self.once("KEYS", &mut keys, value, start);
            } else if self.eat_words(&["IGNORE", "NULL", "UPDATES"]) {
                self.once("IGNORE NULL UPDATES", &mut ignore_null_updates, (), start);
            } else if self.eat_words(&["APPLY", "AS", "DELETE"]) {
                self.expect_words(&["WHEN"])?;
                let value = self.expr()?;
                self.once("APPLY AS DELETE", &mut delete_when, value, start);
            } else if self.eat_words(&["APPLY", "AS", "TRUNCATE"]) {
                self.expect_words(&["WHEN"])?;
                let value = self.expr()?;
                self.once("APPLY AS TRUNCATE", &mut truncate_when, value, start);
            } else if self.eat_words(&["SEQUENCE", "BY"]) {
                let value = self.expr()?;
                self.once("SEQUENCE BY", &mut sequence_by, value, start);
            } else if self.eat_words(&["COLUMNS"]) {
                let value = self.column_choice()?;
                self.once("COLUMNS", &mut columns, value, start);
            } else if self.eat_words(&["STORED", "AS", "SCD", "TYPE"]) {
                let value = self.number::<u8>("1 or 2")?;
                if !(1..=2).contains(&value.node) {
                    return self.fail("P0120", "SCD TYPE is 1 or 2", value.span);
                }
                self.once("STORED AS", &mut scd_type, value.node, start);
            } else if self.eat_words(&["TRACK", "HISTORY", "ON"]) {
                let value = self.column_choice()?;
                self.once("TRACK HISTORY", &mut track_history, value, start);
            } else {
                return Err(self.unknown_cdc());
            }
        }
        let here = source.span();
        let missing = |what: &str| {
            let d = Diagnostic::error("P0126", format!("AUTO CDC needs {what}")).span(here);
            Box::new(d.help(format!("add {what}")))
        };
        Ok(Cdc {
            stream,
            source,
            keys: keys.ok_or_else(|| missing("KEYS (column, ...)"))?.0,
            ignore_null_updates: ignore_null_updates.is_some(),
            delete_when: delete_when.map(|(v, _)| v),
            truncate_when: truncate_when.map(|(v, _)| v),
            sequence_by: sequence_by.ok_or_else(|| missing("SEQUENCE BY expression"))?.0,
            columns: columns.map(|(v, _)| v),
            scd_type: scd_type.map(|(v, _)| v),
            track_history: track_history.map(|(v, _)| v),
        })
    }

    /// `(a, b)` or `* EXCEPT (a, b)`.
    fn column_choice(&mut self) -> Step<ColumnChoice> {
        if self.eat(&Token::Mul) {
            self.expect_words(&["EXCEPT"])?;
            return self.idents().map(ColumnChoice::AllExcept);
        }
        self.idents().map(ColumnChoice::Only)
    }

    fn unknown_cdc(&self) -> Box<Diagnostic> {
        const FIRSTS: [&str; 7] = ["KEYS", "IGNORE", "APPLY", "SEQUENCE", "COLUMNS", "STORED", "TRACK"];
        let Some((tok, written)) = self.written_word(0) else {
            return self.unexpected("a clause of AUTO CDC");
        };
        let mut d =
            Diagnostic::error("P0109", format!("unknown clause {} of AUTO CDC", quoted(written))).span(tok.span);
        d = match did_you_mean(written, FIRSTS) {
            Some(near) => d.help(format!("did you mean {near}?")).suggest(tok.span, near),
            None => d.note("clauses are KEYS, IGNORE NULL UPDATES, APPLY AS DELETE WHEN, APPLY AS TRUNCATE WHEN, SEQUENCE BY, COLUMNS, STORED AS SCD TYPE and TRACK HISTORY ON"),
        };
        Box::new(d)
    }
}
