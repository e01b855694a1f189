//! The canonical lines of a statement: what `print` joins, and where `format` puts comments back.
//!
//! One line for each column, constraint, clause and part; queries and expressions verbatim inside them. Every line
//! knows where in the file its content stood, so that a comment stays with what it stood beside.
//!
//! Not here: comments and blank lines (`format`).

use sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS};
use sqlparser::tokenizer::Token;

use crate::ast::Clauses;
use crate::ast::{
    Cdc, ColumnChoice, ColumnDef, ColumnType, Columns, Command, Encode, Encoding, Expr, Flow, FlowKind, Format,
    Freshness, Ident, IncludeKind, Location, MaintenanceAction, ObjectName, OnDecodeError, OnLate, OnSchemaChange,
    Pair, Policy, Query, Source, SourceColumn, Span, Statement, StatementKind, TableDef, TestDef, TestStep, Transform,
    ViewDef, Violation,
};

pub(crate) const INDENT: &str = "  ";

/// Where a line's content stood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    At(Location),
    /// The first of these words outside parentheses, or else the place.
    Words(&'static [&'static str], Location),
    /// The parenthesis that closes the list of the line before.
    Close,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub text: String,
    pub anchor: Anchor,
    /// A query that follows the text; its tokens hold where it stood.
    pub body: Option<Query>,
}

#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub lines: Vec<Line>,
    /// Places of queries and expressions: comments inside them are theirs.
    pub verbatim: Vec<Span>,
}

impl Layout {
    /// The lines of a statement.
    pub fn of(statement: &Statement) -> Self {
        let mut out = Self::default();
        let start = statement.span.start;
        match &statement.kind {
            StatementKind::Source(s) => out.source(s, start),
            StatementKind::StreamingTable(t) => out.table("STREAMING TABLE", t, start),
            StatementKind::MaterializedView(t) => out.table("MATERIALIZED VIEW", t, start),
            StatementKind::View(v) => out.view("VIEW", v, start),
            StatementKind::TemporaryView(v) => out.view("TEMPORARY VIEW", v, start),
            StatementKind::Seed(s) => {
                let columns = Columns { columns: s.columns.clone(), ..Columns::default() };
                out.head(format!("CREATE TABLE {}", name(&s.name)), &columns, start);
                out.clauses(&s.clauses);
                out.words(&["FROM"], s.path.span, format!("FROM {}", string(&s.path.node)));
            }
            StatementKind::External(e) => {
                let columns = Columns { columns: e.columns.clone(), ..Columns::default() };
                out.head(format!("CREATE EXTERNAL TABLE {}", name(&e.name)), &columns, start);
            }
            StatementKind::Flow(f) => out.flow(f, start),
            StatementKind::Test(t) => out.test(t, start),
            StatementKind::Command(c) => out.command(c, start),
        }
        out
    }

    fn line(&mut self, text: String, anchor: Anchor) {
        self.lines.push(Line { text, anchor, body: None });
    }

    fn at(&mut self, span: Span, text: String) {
        self.line(text, Anchor::At(span.start));
    }

    fn words(&mut self, words: &'static [&'static str], span: Span, text: String) {
        self.line(text, Anchor::Words(words, span.start));
    }

    /// An expression's text; its place is noted.
    fn expr(&mut self, e: &Expr) -> String {
        self.note(e.tokens.first().map(|t| t.span), e.tokens.last().map(|t| t.span));
        e.text.clone()
    }

    fn query(&mut self, q: &Query) -> String {
        self.note(q.tokens.first().map(|t| t.span), q.tokens.last().map(|t| t.span));
        q.text.clone()
    }

    fn note(&mut self, first: Option<Span>, last: Option<Span>) {
        if let (Some(first), Some(last)) = (first, last) {
            self.verbatim.push(Span::new(first.start, last.end));
        }
    }

    fn body(&mut self, text: &str, words: &'static [&'static str], q: &Query) {
        self.query(q);
        let start = q.tokens.first().map_or(q.span.start, |t| t.span.start);
        self.lines.push(Line { text: text.to_string(), anchor: Anchor::Words(words, start), body: Some(q.clone()) });
    }

    /// The first line, and the list behind the name with a line for each entry.
    fn head(&mut self, text: String, columns: &Columns, start: Location) {
        let mut entries: Vec<(Location, String)> = Vec::new();
        for c in &columns.columns {
            entries.push((c.name.span.start, column_def(c)));
        }
        if let Some(key) = &columns.primary_key {
            let at = key.first().map_or(start, |i| i.span.start);
            entries.push((at, format!("PRIMARY KEY ({}) NOT ENFORCED", idents(key))));
        }
        for e in &columns.expectations {
            let violation = match &e.violation {
                None => String::new(),
                Some(Violation::Warn) => " ON VIOLATION WARN".to_string(),
                Some(Violation::DropRow) => " ON VIOLATION DROP ROW".to_string(),
                Some(Violation::Quarantine(into)) => format!(" ON VIOLATION QUARANTINE INTO {}", name(into)),
                Some(Violation::FailUpdate) => " ON VIOLATION FAIL UPDATE".to_string(),
            };
            let expr = self.expr(&e.expr);
            entries.push((e.name.span.start, format!("CONSTRAINT {} EXPECT ({expr}){violation}", ident(&e.name))));
        }
        self.list(text, Anchor::At(start), entries);
    }

    /// `text (`, an indented line for each entry, `)`.
    fn list(&mut self, text: String, anchor: Anchor, entries: Vec<(Location, String)>) {
        if entries.is_empty() {
            return self.line(text, anchor);
        }
        self.line(format!("{text} ("), anchor);
        let last = entries.len() - 1;
        for (i, (at, entry)) in entries.into_iter().enumerate() {
            let comma = if i == last { "" } else { "," };
            self.line(format!("{INDENT}{entry}{comma}"), Anchor::At(at));
        }
        self.line(")".to_string(), Anchor::Close);
    }

    fn table(&mut self, kind: &str, t: &TableDef, start: Location) {
        let or_refresh = if t.or_refresh { "OR REFRESH " } else { "" };
        self.head(format!("CREATE {or_refresh}{kind} {}", name(&t.name)), &t.columns, start);
        self.clauses(&t.clauses);
        if let Some(q) = &t.query {
            self.body("AS", &["AS"], q);
        }
    }

    fn view(&mut self, kind: &str, v: &ViewDef, start: Location) {
        self.head(format!("CREATE {kind} {}", name(&v.name)), &v.columns, start);
        self.body("AS", &["AS"], &v.query);
    }

    fn clauses(&mut self, c: &Clauses) {
        if let Some(list) = &c.partitioned_by {
            let texts: Vec<String> = list.iter().map(|t| transform(&t.node)).collect();
            let span = list.first().map_or(Span::empty(), |t| t.span);
            self.words(&["PARTITIONED", "BY"], span, format!("PARTITIONED BY ({})", texts.join(", ")));
        }
        if let Some(list) = &c.sorted_by {
            let texts: Vec<String> = list
                .iter()
                .map(|s| {
                    let direction = if s.descending { " DESC" } else { "" };
                    let nulls = match s.nulls_first {
                        None => "",
                        Some(true) => " NULLS FIRST",
                        Some(false) => " NULLS LAST",
                    };
                    format!("{}{direction}{nulls}", ident(&s.column))
                })
                .collect();
            let span = list.first().map_or(Span::empty(), |s| s.column.span);
            self.words(&["SORTED", "BY"], span, format!("SORTED BY ({})", texts.join(", ")));
        }
        if let Some(s) = &c.comment {
            self.words(&["COMMENT"], s.span, format!("COMMENT {}", string(&s.node)));
        }
        for (word, list) in [("TAGS", &c.tags), ("TBLPROPERTIES", &c.properties)] {
            if let Some(list) = list {
                let words: &'static [&'static str] = if word == "TAGS" { &["TAGS"] } else { &["TBLPROPERTIES"] };
                let span = list.first().map_or(Span::empty(), |p| p.key.span);
                let texts: Vec<String> = list.iter().map(pair).collect();
                self.words(words, span, format!("{word} ({})", texts.join(", ")));
            }
        }
        if let Some(f) = &c.freshness {
            let text = match &f.node {
                Freshness::Interval { text, .. } => format!("INTERVAL {text}"),
                Freshness::Downstream => "DOWNSTREAM".to_string(),
            };
            self.words(&["FRESHNESS"], f.span, format!("FRESHNESS {text}"));
        }
        if let Some(p) = &c.policy {
            let text = match p.node {
                Policy::Auto => "AUTO",
                Policy::Incremental => "INCREMENTAL",
                Policy::IncrementalStrict => "INCREMENTAL STRICT",
                Policy::Full => "FULL",
            };
            self.words(&["REFRESH", "POLICY"], p.span, format!("REFRESH POLICY {text}"));
        }
        if let Some(e) = &c.frozen {
            let text = self.expr(e);
            self.words(&["FROZEN", "WHERE"], e.span, format!("FROZEN WHERE ({text})"));
        }
        if let Some((table, version)) = &c.backfill {
            let version = version.map(|v| format!(" FOR VERSION AS OF {v}")).unwrap_or_default();
            self.words(&["BACKFILL"], table.span(), format!("BACKFILL FROM {}{version}", name(table)));
        }
        if let Some(o) = &c.on_decode_error {
            let text = match &o.node {
                OnDecodeError::Fail => "FAIL".to_string(),
                OnDecodeError::Drop => "DROP".to_string(),
                OnDecodeError::Into(t) => format!("INTO {}", name(t)),
            };
            self.words(&["ON", "DECODE", "ERROR"], o.span, format!("ON DECODE ERROR {text}"));
        }
        if let Some(o) = &c.on_late {
            let text = match &o.node {
                OnLate::Accept => "ACCEPT".to_string(),
                OnLate::Drop => "DROP".to_string(),
                OnLate::Into(t) => format!("INTO {}", name(t)),
            };
            self.words(&["ON", "LATE"], o.span, format!("ON LATE {text}"));
        }
        if let Some(o) = &c.on_schema_change {
            let text = match o.node {
                OnSchemaChange::Fail => "FAIL",
                OnSchemaChange::AddColumns => "ADD COLUMNS",
                OnSchemaChange::Ignore => "IGNORE",
            };
            self.words(&["ON", "SCHEMA", "CHANGE"], o.span, format!("ON SCHEMA CHANGE {text}"));
        }
    }

    fn source(&mut self, s: &Source, start: Location) {
        let mut entries: Vec<(Location, String)> = Vec::new();
        for c in &s.columns {
            let text = self.source_column(c);
            entries.push((c.name.span.start, text));
        }
        if let Some(key) = &s.primary_key {
            let at = key.first().map_or(start, |i| i.span.start);
            entries.push((at, format!("PRIMARY KEY ({})", idents(key))));
        }
        if let Some((column, e)) = &s.watermark {
            let text = self.expr(e);
            entries.push((column.span.start, format!("WATERMARK FOR {} AS {text}", ident(column))));
        }
        self.list(format!("CREATE SOURCE {}", name(&s.name)), Anchor::At(start), entries);
        for i in &s.includes {
            self.at(i.span, format!("INCLUDE {} AS {}", include(i.kind), ident(&i.name)));
        }
        let pairs: Vec<(Location, String)> = s.with.iter().map(|p| (p.key.span.start, pair(p))).collect();
        let first = pairs.first().map_or(start, |(at, _)| *at);
        self.list("WITH".to_string(), Anchor::Words(&["WITH"], first), pairs);
        let format = match s.format.node {
            Format::Plain => "PLAIN",
            Format::Upsert => "UPSERT",
            Format::Debezium => "DEBEZIUM",
        };
        let key = s.key_encode.as_ref().map(|k| format!(" KEY ENCODE {}", encode(k))).unwrap_or_default();
        self.words(&["FORMAT"], s.format.span, format!("FORMAT {format}{key} ENCODE {}", encode(&s.encode)));
    }

    fn source_column(&mut self, c: &SourceColumn) -> String {
        let mut out = format!("{} {}", ident(&c.name), column_type(&c.ty.node));
        if let Some(p) = &c.path {
            out.push_str(&format!(" FROM {}", string(&p.node)));
        }
        if c.not_null {
            out.push_str(" NOT NULL");
        }
        if let Some(d) = &c.default {
            out.push_str(&format!(" DEFAULT {}", self.expr(d)));
        }
        if let Some(s) = &c.comment {
            out.push_str(&format!(" COMMENT {}", string(&s.node)));
        }
        out
    }

    fn flow(&mut self, f: &Flow, start: Location) {
        let (flow, target) = (name(&f.name), name(&f.target));
        match &f.kind {
            FlowKind::Insert { once, query } => {
                let once = if *once { "ONCE " } else { "" };
                self.line(format!("CREATE FLOW {flow} AS INSERT {once}INTO {target}"), Anchor::At(start));
                self.body("BY NAME", &["BY", "NAME"], query);
            }
            FlowKind::AutoCdc(cdc) => {
                self.line(format!("CREATE FLOW {flow} AS AUTO CDC INTO {target}"), Anchor::At(start));
                self.cdc(cdc);
            }
        }
    }

    fn cdc(&mut self, c: &Cdc) {
        let stream = if c.stream { "STREAM " } else { "" };
        self.words(&["FROM"], c.source.span(), format!("FROM {stream}{}", name(&c.source)));
        let key = c.keys.first().map_or(Span::empty(), |k| k.span);
        self.words(&["KEYS"], key, format!("KEYS ({})", idents(&c.keys)));
        if c.ignore_null_updates {
            self.words(&["IGNORE", "NULL", "UPDATES"], key, "IGNORE NULL UPDATES".to_string());
        }
        if let Some(e) = &c.delete_when {
            let text = self.expr(e);
            self.words(&["APPLY", "AS", "DELETE"], e.span, format!("APPLY AS DELETE WHEN {text}"));
        }
        if let Some(e) = &c.truncate_when {
            let text = self.expr(e);
            self.words(&["APPLY", "AS", "TRUNCATE"], e.span, format!("APPLY AS TRUNCATE WHEN {text}"));
        }
        let text = self.expr(&c.sequence_by);
        self.words(&["SEQUENCE", "BY"], c.sequence_by.span, format!("SEQUENCE BY {text}"));
        if let Some(choice) = &c.columns {
            self.words(&["COLUMNS"], choice_span(choice), format!("COLUMNS {}", column_choice(choice)));
        }
        if let Some(kind) = c.scd_type {
            self.words(&["STORED", "AS"], c.sequence_by.span, format!("STORED AS SCD TYPE {kind}"));
        }
        if let Some(choice) = &c.track_history {
            self.words(
                &["TRACK", "HISTORY"],
                choice_span(choice),
                format!("TRACK HISTORY ON {}", column_choice(choice)),
            );
        }
    }

    fn test(&mut self, t: &TestDef, start: Location) {
        self.line(format!("CREATE TEST {} FOR {}", ident(&t.name), name(&t.target)), Anchor::At(start));
        for (relation, query) in &t.given {
            let text = self.query(query);
            self.at(relation.span(), format!("GIVEN {} AS ({text})", name(relation)));
        }
        for step in &t.steps {
            let (span, text) = match step {
                TestStep::Insert(relation, query) => {
                    (relation.span(), format!("INSERT INTO {} ({})", name(relation), self.query(query)))
                }
                TestStep::Update(relation, assignments, filter) => {
                    let assignments: Vec<String> =
                        assignments.iter().map(|(c, e)| format!("{} = {}", ident(c), self.expr(e))).collect();
                    let filter = self.expr(filter);
                    (
                        relation.span(),
                        format!("UPDATE {} SET {} WHERE ({filter})", name(relation), assignments.join(", ")),
                    )
                }
                TestStep::Delete(relation, filter) => {
                    (relation.span(), format!("DELETE FROM {} WHERE ({})", name(relation), self.expr(filter)))
                }
                TestStep::SetNow(e) => (e.span, format!("SET NOW = {}", self.expr(e))),
            };
            self.at(span, format!("THEN {text}"));
        }
        let unordered = if t.unordered { "UNORDERED " } else { "" };
        let text = self.query(&t.expect);
        self.words(&["EXPECT"], t.expect.span, format!("EXPECT {unordered}({text})"));
        if let Some(incremental) = t.with_refresh {
            let kind = if incremental { "INCREMENTAL" } else { "FULL" };
            self.words(&["WITH", "REFRESH"], t.expect.span, format!("WITH REFRESH {kind}"));
        }
    }

    fn command(&mut self, c: &Command, start: Location) {
        let text = match c {
            Command::Refresh { name: table, full, filter } => {
                let full = if *full { " FULL" } else { "" };
                let filter = filter.as_ref().map(|e| format!(" WHERE ({})", self.expr(e))).unwrap_or_default();
                format!("REFRESH {}{full}{filter}", name(table))
            }
            Command::ExplainRefresh(table) => format!("EXPLAIN REFRESH {}", name(table)),
            Command::ShowRefreshHistory(None) => "SHOW REFRESH HISTORY".to_string(),
            Command::ShowRefreshHistory(Some(table)) => format!("SHOW REFRESH HISTORY {}", name(table)),
            Command::ShowLineage(table) => format!("SHOW LINEAGE {}", name(table)),
            Command::AlterExecute { table, action, options, filter } => {
                let action = match action {
                    MaintenanceAction::Optimize => "optimize",
                    MaintenanceAction::ExpireSnapshots => "expire_snapshots",
                    MaintenanceAction::RewriteManifests => "rewrite_manifests",
                    MaintenanceAction::RemoveOrphanFiles => "remove_orphan_files",
                };
                let options: Vec<String> =
                    options.iter().map(|(k, e)| format!("{} => {}", ident(k), self.expr(e))).collect();
                let options = if options.is_empty() { String::new() } else { format!("({})", options.join(", ")) };
                let filter = filter.as_ref().map(|e| format!(" WHERE {}", self.expr(e))).unwrap_or_default();
                format!("ALTER TABLE {} EXECUTE {action}{options}{filter}", name(table))
            }
        };
        self.line(text, Anchor::At(start));
    }
}

/// Quoted if it was; unquoted names keep their spelling, which names the JSON key of a source's column.
pub(crate) fn ident(i: &Ident) -> String {
    if i.quoted { format!("\"{}\"", i.value.replace('"', "\"\"")) } else { i.written.clone() }
}

/// A folded name as an expression may read it: quoted where it must be.
pub fn identifier(name: &str) -> String {
    // Words that begin an expression or an operator, beside those that no alias may be.
    const WORDS: &[Keyword] = &[
        Keyword::ALL,
        Keyword::AND,
        Keyword::ARRAY,
        Keyword::AS,
        Keyword::BETWEEN,
        Keyword::CASE,
        Keyword::CAST,
        Keyword::DISTINCT,
        Keyword::EXISTS,
        Keyword::FALSE,
        Keyword::IN,
        Keyword::INTERVAL,
        Keyword::IS,
        Keyword::LIKE,
        Keyword::NOT,
        Keyword::NULL,
        Keyword::ON,
        Keyword::OR,
        Keyword::STRUCT,
        Keyword::TRUE,
    ];
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = begins && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let reserved = match Token::make_keyword(name) {
        Token::Word(w) => [WORDS, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_IDENTIFIER]
            .iter()
            .any(|words| words.contains(&w.keyword)),
        _ => false,
    };
    if plain && !reserved { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(crate) fn name(n: &ObjectName) -> String {
    n.0.iter().map(ident).collect::<Vec<_>>().join(".")
}

fn idents(list: &[Ident]) -> String {
    list.iter().map(ident).collect::<Vec<_>>().join(", ")
}

pub(crate) fn string(s: &str) -> String {
    format!("'{}'", s.replace('\'', "''"))
}

fn pair(p: &Pair) -> String {
    format!("{} = {}", string(&p.key.node), string(&p.value.node))
}

fn column_def(c: &ColumnDef) -> String {
    let mut out = ident(&c.name);
    if let Some(ty) = &c.ty {
        out.push_str(&format!(" {}", column_type(&ty.node)));
    }
    if c.not_null {
        out.push_str(" NOT NULL");
    }
    if let Some(s) = &c.comment {
        out.push_str(&format!(" COMMENT {}", string(&s.node)));
    }
    out
}

fn transform(t: &Transform) -> String {
    match t {
        Transform::Identity(c) => ident(c),
        Transform::Years(c) => format!("years({})", ident(c)),
        Transform::Months(c) => format!("months({})", ident(c)),
        Transform::Days(c) => format!("days({})", ident(c)),
        Transform::Hours(c) => format!("hours({})", ident(c)),
        Transform::Bucket(n, c) => format!("bucket({n}, {})", ident(c)),
        Transform::Truncate(n, c) => format!("truncate({n}, {})", ident(c)),
    }
}

fn include(kind: IncludeKind) -> &'static str {
    match kind {
        IncludeKind::Key => "KEY",
        IncludeKind::Topic => "TOPIC",
        IncludeKind::Partition => "PARTITION",
        IncludeKind::Offset => "OFFSET",
        IncludeKind::Timestamp => "TIMESTAMP",
        IncludeKind::Headers => "HEADERS",
        IncludeKind::Payload => "PAYLOAD",
    }
}

fn encode(e: &Encode) -> String {
    let encoding = match e.encoding.node {
        Encoding::Json => "JSON",
        Encoding::Avro => "AVRO",
        Encoding::Protobuf => "PROTOBUF",
        Encoding::Csv => "CSV",
        Encoding::Bytes => "BYTES",
    };
    if e.options.is_empty() {
        return encoding.to_string();
    }
    let options: Vec<String> =
        e.options.iter().map(|o| format!("{} = {}", ident(&o.key), string(&o.value.node))).collect();
    format!("{encoding} ({})", options.join(", "))
}

fn column_choice(c: &ColumnChoice) -> String {
    match c {
        ColumnChoice::Only(list) => format!("({})", idents(list)),
        ColumnChoice::AllExcept(list) => format!("* EXCEPT ({})", idents(list)),
    }
}

fn choice_span(c: &ColumnChoice) -> Span {
    match c {
        ColumnChoice::Only(list) | ColumnChoice::AllExcept(list) => list.first().map_or(Span::empty(), |i| i.span),
    }
}

/// A type in its canonical spelling.
pub(crate) fn column_type(ty: &ColumnType) -> String {
    let with = |word: &str, n: &Option<u8>| n.map_or_else(|| word.to_string(), |n| format!("{word}({n})"));
    match ty {
        ColumnType::TinyInt => "TINYINT".to_string(),
        ColumnType::SmallInt => "SMALLINT".to_string(),
        ColumnType::Int => "INT".to_string(),
        ColumnType::BigInt => "BIGINT".to_string(),
        ColumnType::Real => "REAL".to_string(),
        ColumnType::Double => "DOUBLE".to_string(),
        ColumnType::Boolean => "BOOLEAN".to_string(),
        ColumnType::Decimal(p, s) => format!("DECIMAL({p}, {s})"),
        ColumnType::String(None) => "VARCHAR".to_string(),
        ColumnType::String(Some(n)) => format!("VARCHAR({n})"),
        ColumnType::Json => "JSON".to_string(),
        ColumnType::Binary => "BINARY".to_string(),
        ColumnType::Uuid => "UUID".to_string(),
        ColumnType::Date => "DATE".to_string(),
        ColumnType::Time => "TIME".to_string(),
        ColumnType::Timestamp(p) => with("TIMESTAMP", p),
        ColumnType::TimestampTz(p) => with("TIMESTAMPTZ", p),
        ColumnType::List(item) => format!("ARRAY<{}>", column_type(item)),
        ColumnType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(n, t)| format!("{} {}", field(n), column_type(t))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        ColumnType::Map(key, value) => format!("MAP<{}, {}>", column_type(key), column_type(value)),
    }
}

/// A field's name, quoted where folding or its characters ask for it.
fn field(name: &str) -> String {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_plain = starts_well && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
