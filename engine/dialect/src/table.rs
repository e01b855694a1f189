//! Tables and views: the list behind a name, the clauses, the query; and tables that others fill (seeds, external ones).
//!
//! Invariants
//! * Clauses come once each, in any order; the first AS at depth 0 behind them begins the query.
//! * An unknown clause is reported and skipped, so that the rest of the statement is still checked.
//!
//! Not here: which clauses make sense together (`pipeline`).

use crate::ast::{
    Clauses, ColumnDef, Columns, Expectation, External, Freshness, Ident, ObjectName, OnDecodeError, OnLate,
    OnSchemaChange, Policy, Query, Seed, SortColumn, Span, Spanned, Str, TableDef, Transform, ViewDef, Violation,
};
use crate::body::Streams;
use crate::cursor::{Cursor, Step, quoted};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::duration::{UNITS, Unit};
use sqlparser::tokenizer::Token;

/// How clauses begin, for recognising and suggesting them.
const CLAUSES: &[&[&str]] = &[
    &["PARTITIONED", "BY"],
    &["SORTED", "BY"],
    &["COMMENT"],
    &["TAGS"],
    &["TBLPROPERTIES"],
    &["FRESHNESS"],
    &["REFRESH", "POLICY"],
    &["FROZEN", "WHERE"],
    &["BACKFILL", "FROM"],
    &["ON", "DECODE", "ERROR"],
    &["ON", "LATE"],
    &["ON", "SCHEMA", "CHANGE"],
];

/// What other dialects write behind an external table's columns.
const FOREIGN: &[&[&str]] = &[&["WITH"], &["OPTIONS"], &["USING"], &["STORED", "AS"], &["LOCATION"], &["AS"]];

const POLICIES: &[(&[&str], Policy)] = &[
    (&["AUTO"], Policy::Auto),
    (&["INCREMENTAL", "STRICT"], Policy::IncrementalStrict),
    (&["INCREMENTAL"], Policy::Incremental),
    (&["FULL"], Policy::Full),
];
const SCHEMA_CHANGES: &[(&[&str], OnSchemaChange)] = &[
    (&["FAIL"], OnSchemaChange::Fail),
    (&["ADD", "COLUMNS"], OnSchemaChange::AddColumns),
    (&["IGNORE"], OnSchemaChange::Ignore),
];
const TRANSFORMS: &[&str] = &["years", "months", "days", "hours", "bucket", "truncate"];

/// A clause's value with its place, until all clauses are read.
type Slot<T> = Option<(T, Span)>;

#[derive(Default)]
struct Slots {
    partitioned_by: Slot<Vec<Spanned<Transform>>>,
    sorted_by: Slot<Vec<SortColumn>>,
    comment: Slot<Str>,
    tags: Slot<Vec<crate::ast::Pair>>,
    properties: Slot<Vec<crate::ast::Pair>>,
    freshness: Slot<Spanned<Freshness>>,
    policy: Slot<Spanned<Policy>>,
    frozen: Slot<crate::ast::Expr>,
    backfill: Slot<(ObjectName, Option<i64>)>,
    on_decode_error: Slot<Spanned<OnDecodeError>>,
    on_late: Slot<Spanned<OnLate>>,
    on_schema_change: Slot<Spanned<OnSchemaChange>>,
}

impl Slots {
    fn finish(self) -> Clauses {
        fn value<T>(slot: Slot<T>) -> Option<T> {
            slot.map(|(v, _)| v)
        }
        Clauses {
            partitioned_by: value(self.partitioned_by),
            sorted_by: value(self.sorted_by),
            comment: value(self.comment),
            tags: value(self.tags),
            properties: value(self.properties),
            freshness: value(self.freshness),
            policy: value(self.policy),
            frozen: value(self.frozen),
            backfill: value(self.backfill),
            on_decode_error: value(self.on_decode_error),
            on_late: value(self.on_late),
            on_schema_change: value(self.on_schema_change),
        }
    }
}

impl Cursor<'_> {
    /// Behind `STREAMING TABLE` or `MATERIALIZED VIEW`.
    pub fn table(&mut self, or_refresh: bool, is_view: bool) -> Step<TableDef> {
        let kind = if is_view { "materialized view" } else { "streaming table" };
        let name = self.object_name(&format!("the {kind}'s name"))?;
        let columns = self.columns()?;
        let clauses = self.clauses("AS and the query")?;
        let query = self.as_query()?;
        if is_view && query.is_none() {
            return Err(no_query(kind, &name));
        }
        Ok(TableDef { or_refresh, name, columns, clauses, query })
    }

    /// Behind `VIEW`.
    pub fn view(&mut self) -> Step<ViewDef> {
        let name = self.object_name("the view's name")?;
        let columns = self.columns()?;
        if let Some(clause) = CLAUSES.iter().find(|c| self.are_words(c)) {
            let d = Diagnostic::error(
                "P0122",
                format!("a view is not stored, so {} does not belong to it", clause.join(" ")),
            )
            .span(self.here())
            .help("remove it, or CREATE MATERIALIZED VIEW");
            return Err(Box::new(d));
        }
        match self.as_query()? {
            Some(query) => Ok(ViewDef { name, columns, query }),
            None => Err(no_query("view", &name)),
        }
    }

    /// Behind `TABLE`.
    pub fn seed(&mut self) -> Step<Seed> {
        let name = self.object_name("the table's name")?;
        let columns = self.column_defs()?;
        let clauses = self.clauses("FROM 'file'")?;
        if self.is_word(0, "AS") {
            let d = self.unexpected("FROM 'seeds/file.csv'");
            let help = "a table that holds a query's result is a MATERIALIZED VIEW, or a STREAMING TABLE";
            return Err(Box::new(d.help(help)));
        }
        self.expect_words(&["FROM"])?;
        let path = self.string("the path of a file in quotes")?;
        Ok(Seed { name, columns, clauses, path })
    }

    /// Behind `EXTERNAL TABLE`.
    pub fn external(&mut self) -> Step<External> {
        let name = self.object_name("the table's name")?;
        let columns = self.list("columns with their types", Self::external_column)?;
        if let Some(clause) = CLAUSES.iter().chain(FOREIGN).find(|c| self.are_words(c)) {
            return Err(self.not_of_external(&clause.join(" ")));
        }
        Ok(External { name, columns })
    }

    fn external_column(&mut self) -> Step<ColumnDef> {
        let is_named = |n: usize| matches!(self.peek(n).map(|t| &t.token), Some(Token::Word(_)));
        if self.are_words(&["PRIMARY", "KEY"]) && self.is_token(2, &Token::LParen) {
            return Err(self.not_of_external("PRIMARY KEY"));
        }
        if self.is_word(0, "CONSTRAINT") && is_named(1) && is_named(2) && self.is_token(3, &Token::LParen) {
            return Err(self.not_of_external("CONSTRAINT"));
        }
        self.column_def()
    }

    fn not_of_external(&self, what: &str) -> Box<Diagnostic> {
        let d = Diagnostic::error(
            "P0122",
            format!("another engine writes an external table, so {what} does not belong to it"),
        );
        Box::new(d.span(self.here()).help("leave it out, or put it on a view that reads the table"))
    }

    fn column_defs(&mut self) -> Step<Vec<ColumnDef>> {
        self.list("columns", Self::column_def)
    }

    fn as_query(&mut self) -> Step<Option<Query>> {
        if self.eat_words(&["AS"]) {
            return self.query(Streams::TakeOut).map(Some);
        }
        if self.is_done() {
            return Ok(None);
        }
        let mut d = self.unexpected("a clause, or AS and the query");
        if ["SELECT", "WITH", "VALUES", "FROM"].iter().any(|w| self.is_word(0, w)) {
            let here = Span::new(self.here().start, self.here().start);
            *d = d.help("AS stands before the query").suggest(here, "AS ");
        }
        Err(d)
    }

    /// The optional list behind a name.
    fn columns(&mut self) -> Step<Columns> {
        if !self.is_token(0, &Token::LParen) {
            return Ok(Columns::default());
        }
        let open = self.here();
        self.in_parens("columns", |c| {
            let mut out = Columns::default();
            let mut key: Slot<Vec<Ident>> = None;
            if c.is_done() {
                return c.fail("P0121", "the list is empty; leave the parentheses out", open);
            }
            loop {
                if let Err(d) = c.columns_entry(&mut out, &mut key) {
                    c.diagnostics.push(*d);
                    c.skip_to_comma();
                }
                if !c.eat(&Token::Comma) {
                    out.primary_key = key.map(|(k, _)| k);
                    return Ok(out);
                }
            }
        })
    }

    fn columns_entry(&mut self, out: &mut Columns, key: &mut Slot<Vec<Ident>>) -> Step<()> {
        let start = self.at;
        let is_named = |n: usize| matches!(self.peek(n).map(|t| &t.token), Some(Token::Word(_)));
        if self.are_words(&["PRIMARY", "KEY"]) && self.is_token(2, &Token::LParen) {
            self.at += 2;
            let columns = self.idents()?;
            if !self.eat_words(&["NOT", "ENFORCED"]) {
                let here = Span::new(self.here().start, self.here().start);
                let d = self.unexpected("NOT ENFORCED");
                return Err(Box::new(
                    d.help("keys are hints: PRIMARY KEY (...) NOT ENFORCED").suggest(here, " NOT ENFORCED"),
                ));
            }
            self.once("PRIMARY KEY", key, columns, start);
        } else if self.is_word(0, "CONSTRAINT") && is_named(1) && is_named(2) && self.is_token(3, &Token::LParen) {
            // A column named constraint has no parenthesis there.
            self.at += 1;
            let expectation = self.expectation()?;
            out.expectations.push(expectation);
        } else {
            let column = self.column_def()?;
            out.columns.push(column);
        }
        if self.is_done() || self.is_token(0, &Token::Comma) { Ok(()) } else { Err(self.unexpected("\",\" or \")\"")) }
    }

    fn expectation(&mut self) -> Step<Expectation> {
        let name = self.ident("the expectation's name")?;
        self.expect_words(&["EXPECT"])?;
        let expr = self.expr_in_parens()?;
        let violation = if self.eat_words(&["ON"]) {
            self.expect_words(&["VIOLATION"])?;
            Some(self.violation()?)
        } else {
            None
        };
        Ok(Expectation { name, expr, violation })
    }

    fn violation(&mut self) -> Step<Violation> {
        if self.eat_words(&["QUARANTINE", "INTO"]) {
            return Ok(Violation::Quarantine(self.object_name("the name of the quarantine")?));
        }
        let choices: &[(&[&str], u8)] =
            &[(&["WARN"], 0), (&["DROP", "ROW"], 1), (&["FAIL", "UPDATE"], 2), (&["QUARANTINE", "INTO"], 3)];
        Ok(match self.choice("answer to a violation", choices)?.node {
            0 => Violation::Warn,
            1 => Violation::DropRow,
            _ => Violation::FailUpdate,
        })
    }

    fn column_def(&mut self) -> Step<ColumnDef> {
        let name = self.ident("the name of a column")?;
        let ty = if self.at_type() { Some(self.column_type()?) } else { None };
        let mut not_null: Slot<()> = None;
        let mut comment: Slot<Str> = None;
        loop {
            let start = self.at;
            if self.eat_words(&["NOT"]) {
                self.expect_words(&["NULL"])?;
                self.once("NOT NULL", &mut not_null, (), start);
            } else if self.eat_words(&["COMMENT"]) {
                let text = self.string("a string")?;
                self.once("COMMENT", &mut comment, text, start);
            } else {
                break;
            }
        }
        Ok(ColumnDef { name, ty, not_null: not_null.is_some(), comment: comment.map(|(c, _)| c) })
    }

    /// All clauses up to AS, FROM or the end. `next` says what may follow them.
    fn clauses(&mut self, next: &str) -> Step<Clauses> {
        let mut slots = Slots::default();
        while !self.is_done() && !self.at_end_of_clauses() {
            let start = self.at;
            if let Err(d) = self.clause(&mut slots, next) {
                self.diagnostics.push(*d);
                self.at = self.at.max(start + 1);
                self.skip_to_clause();
            }
        }
        Ok(slots.finish())
    }

    fn at_end_of_clauses(&self) -> bool {
        let is_query = self.is_word(0, "WITH") && !self.is_token(1, &Token::LParen);
        is_query || ["AS", "FROM", "SELECT", "VALUES"].iter().any(|w| self.is_word(0, w))
    }

    fn clause(&mut self, slots: &mut Slots, next: &str) -> Step<()> {
        let start = self.at;
        if self.eat_words(&["PARTITIONED", "BY"]) {
            let value = self.list("columns or transforms", Self::transform)?;
            self.once("PARTITIONED BY", &mut slots.partitioned_by, value, start);
        } else if self.eat_words(&["SORTED", "BY"]) {
            let value = self.list("columns", Self::sort_column)?;
            self.once("SORTED BY", &mut slots.sorted_by, value, start);
        } else if self.eat_words(&["COMMENT"]) {
            let value = self.string("a string")?;
            self.once("COMMENT", &mut slots.comment, value, start);
        } else if self.eat_words(&["TAGS"]) {
            let value = self.pairs(false)?;
            self.once("TAGS", &mut slots.tags, value, start);
        } else if self.eat_words(&["TBLPROPERTIES"]) {
            let value = self.pairs(false)?;
            self.once("TBLPROPERTIES", &mut slots.properties, value, start);
        } else if self.eat_words(&["FRESHNESS"]) {
            let value = self.freshness()?;
            self.once("FRESHNESS", &mut slots.freshness, value, start);
        } else if self.eat_words(&["REFRESH", "POLICY"]) {
            let value = self.choice("policy", POLICIES)?;
            self.once("REFRESH POLICY", &mut slots.policy, value, start);
        } else if self.eat_words(&["FROZEN", "WHERE"]) {
            let value = self.expr_in_parens()?;
            self.once("FROZEN WHERE", &mut slots.frozen, value, start);
        } else if self.eat_words(&["BACKFILL", "FROM"]) {
            let table = self.object_name("the name of a table")?;
            let version = if self.eat_words(&["FOR"]) {
                self.expect_words(&["VERSION", "AS", "OF"])?;
                Some(self.number::<i64>("a snapshot's id")?.node)
            } else {
                None
            };
            self.once("BACKFILL", &mut slots.backfill, (table, version), start);
        } else if self.eat_words(&["ON", "DECODE", "ERROR"]) {
            let value = self.fail_drop_into(OnDecodeError::Fail, "FAIL", OnDecodeError::Drop, OnDecodeError::Into)?;
            self.once("ON DECODE ERROR", &mut slots.on_decode_error, value, start);
        } else if self.eat_words(&["ON", "LATE"]) {
            let value = self.fail_drop_into(OnLate::Accept, "ACCEPT", OnLate::Drop, OnLate::Into)?;
            self.once("ON LATE", &mut slots.on_late, value, start);
        } else if self.eat_words(&["ON", "SCHEMA", "CHANGE"]) {
            let value = self.choice("answer to a schema change", SCHEMA_CHANGES)?;
            self.once("ON SCHEMA CHANGE", &mut slots.on_schema_change, value, start);
        } else {
            return Err(self.unknown_clause(next));
        }
        Ok(())
    }

    fn fail_drop_into<T>(
        &mut self,
        first: T,
        word: &'static str,
        drop: T,
        into: impl Fn(ObjectName) -> T,
    ) -> Step<Spanned<T>> {
        let start = self.at;
        let value = if self.eat_words(&["INTO"]) {
            into(self.object_name("the name of a table")?)
        } else if self.eat_words(&[word]) {
            first
        } else if self.eat_words(&["DROP"]) {
            drop
        } else {
            let what = format!("{word}, DROP or INTO and a table");
            let mut d = self.unexpected(&what);
            if let Some((tok, written)) = self.written_word(0)
                && let Some(near) = did_you_mean(written, [word, "DROP", "INTO"])
            {
                *d = Diagnostic { code: "P0119", ..*d }.help(format!("did you mean {near}?")).suggest(tok.span, near);
            }
            return Err(d);
        };
        Ok(Spanned::new(value, self.span_from(start)))
    }

    /// Skips to the beginning of a clause, to a word behind a parenthesis, or to AS, at this depth.
    fn skip_to_clause(&mut self) {
        let mut depth = 0usize;
        while let Some(t) = self.peek(0) {
            match t.token {
                Token::LParen => depth += 1,
                Token::RParen => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && self.written_word(1).is_some() {
                        self.at += 1;
                        return;
                    }
                }
                _ if depth == 0 && (self.is_word(0, "AS") || CLAUSES.iter().any(|c| self.are_words(c))) => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn unknown_clause(&self, next: &str) -> Box<Diagnostic> {
        let Some((tok, written)) = self.written_word(0) else {
            return self.unexpected(&format!("a clause, or {next}"));
        };
        let two = self.written_word(1).map(|(second, w)| (tok.span.union(&second.span), format!("{written} {w}")));
        let mut d = Diagnostic::error("P0109", format!("unknown clause {}", quoted(written))).span(tok.span);
        let known = |a: &str, b: &str| self.is_word(0, a) && self.is_word(1, b);
        let meant = match &two {
            Some((span, _)) if known("PARTITION", "BY") => Some((*span, "PARTITIONED BY")),
            Some((span, _)) if known("CLUSTER", "BY") || known("CLUSTERED", "BY") || known("ORDER", "BY") => {
                Some((*span, "SORTED BY"))
            }
            _ if self.is_word(0, "WITH") || self.is_word(0, "PROPERTIES") || self.is_word(0, "OPTIONS") => {
                Some((tok.span, "TBLPROPERTIES"))
            }
            _ => self.nearest_clause(tok.span, written),
        };
        d = match meant {
            Some((span, text)) => d.help(format!("did you mean {text}?")).suggest(span, text),
            None => {
                let names: Vec<String> = CLAUSES.iter().map(|c| c.join(" ")).collect();
                d.note(format!("clauses are {}; then comes {next}", names.join(", ")))
            }
        };
        Box::new(d)
    }

    /// The clause whose first or second word is nearly the one written.
    fn nearest_clause(&self, span: Span, written: &str) -> Option<(Span, &'static str)> {
        if self.is_word(0, "ON") {
            let (tok, second) = self.written_word(1)?;
            return Some((tok.span, did_you_mean(second, ["DECODE", "LATE", "SCHEMA"])?));
        }
        let firsts = CLAUSES.iter().filter_map(|c| c.first().copied());
        if let Some(near) = did_you_mean(written, firsts) {
            return Some((span, near));
        }
        // The first word is right, so the second is not.
        let clause = CLAUSES.iter().find(|c| c.first().is_some_and(|w| self.is_word(0, w)))?;
        let (tok, second) = self.written_word(1)?;
        let right = clause.get(1).copied()?;
        did_you_mean(second, [right]).map(|near| (tok.span, near))
    }

    fn transform(&mut self) -> Step<Spanned<Transform>> {
        let start = self.at;
        if !self.is_token(1, &Token::LParen) {
            let column = self.ident("a column or a transform")?;
            let span = column.span;
            return Ok(Spanned::new(Transform::Identity(column), span));
        }
        let name = self.ident("a transform")?;
        let simple: Option<fn(Ident) -> Transform> = match name.value.as_str() {
            "years" | "year" => Some(Transform::Years),
            "months" | "month" => Some(Transform::Months),
            "days" | "day" => Some(Transform::Days),
            "hours" | "hour" => Some(Transform::Hours),
            _ => None,
        };
        let counted: Option<fn(u32, Ident) -> Transform> = match name.value.as_str() {
            "bucket" => Some(Transform::Bucket),
            "truncate" => Some(Transform::Truncate),
            _ => None,
        };
        let transform = match (simple, counted) {
            (Some(make), _) => self.in_parens("a column", |c| c.ident("the name of a column")).map(make)?,
            (None, Some(make)) => self.in_parens("a number and a column", |c| {
                let count = c.number::<u32>("a whole number")?;
                if count.node == 0 || count.node > i32::MAX as u32 {
                    return c.fail("P0120", format!("{} must be between 1 and {}", count.node, i32::MAX), count.span);
                }
                c.expect(&Token::Comma, "\",\" and a column")?;
                Ok(make(count.node, c.ident("the name of a column")?))
            })?,
            (None, None) => {
                let mut d =
                    Diagnostic::error("P0119", format!("unknown transform {}", quoted(&name.value))).span(name.span);
                d = match did_you_mean(&name.value, TRANSFORMS.iter().copied()) {
                    Some(near) => d.help(format!("did you mean {near}?")).suggest(name.span, near),
                    None => d.note("transforms are years, months, days, hours, bucket(n, c) and truncate(n, c)"),
                };
                return Err(Box::new(d));
            }
        };
        Ok(Spanned::new(transform, self.span_from(start)))
    }

    fn sort_column(&mut self) -> Step<SortColumn> {
        let column = self.ident("the name of a column")?;
        let descending = self.eat_words(&["DESC"]);
        if !descending {
            self.eat_words(&["ASC"]);
        }
        let nulls_first = if self.eat_words(&["NULLS"]) {
            Some(self.choice("place of nulls", &[(&["FIRST"], true), (&["LAST"], false)])?.node)
        } else {
            None
        };
        Ok(SortColumn { column, descending, nulls_first })
    }

    fn freshness(&mut self) -> Step<Spanned<Freshness>> {
        let start = self.at;
        if self.eat_words(&["DOWNSTREAM"]) {
            return Ok(Spanned::new(Freshness::Downstream, self.span_from(start)));
        }
        if !self.eat_words(&["INTERVAL"]) {
            return Err(self.unexpected("INTERVAL 'n' unit, or DOWNSTREAM"));
        }
        let amount = self.string("a number in quotes")?;
        let mut words = amount.node.split_whitespace();
        let number = words.next().unwrap_or("");
        let inside = words.next();
        let unit = match inside {
            Some(unit) => Some((unit, amount.span)),
            None => self.written_word(0).map(|(t, w)| (w, t.span)),
        };
        let bad = |message: String, span: Span| {
            let d = Diagnostic::error("P0117", message).span(span);
            Err(Box::new(d.help("FRESHNESS INTERVAL '5' MINUTE")))
        };
        let count = match number.parse::<u64>() {
            Ok(count) if count > 0 && words.next().is_none() => count,
            _ => return bad(format!("{} is not a positive whole number", quoted(&amount.node)), amount.span),
        };
        let Some((unit, span)) = unit else {
            return Err(self.unexpected("a unit: SECOND, MINUTE, HOUR, DAY or WEEK"));
        };
        let name = unit.to_ascii_uppercase();
        let Some(known) = Unit::of_word(&name) else {
            let near = did_you_mean(&name, UNITS.iter().map(|u| u.word)).map(|n| format!("; did you mean {n}?"));
            return bad(format!("unknown unit {}{}", quoted(unit), near.unwrap_or_default()), span);
        };
        if inside.is_none() {
            self.at += 1;
        }
        let Some(ms) = known.ms(count) else {
            return bad(format!("{count} {} is too long", known.word), amount.span);
        };
        let text = format!("'{count}' {}", known.word);
        Ok(Spanned::new(Freshness::Interval { ms, text }, self.span_from(start)))
    }
}

fn no_query(kind: &str, name: &ObjectName) -> Box<Diagnostic> {
    let d = Diagnostic::error("P0110", format!("{kind} \"{}\" has no query", name.dotted())).span(name.span());
    Box::new(d.help("add AS SELECT ..."))
}
