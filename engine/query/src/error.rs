//! What a client's statement can fail with: a kind, its stable code, and the place in the statement.
//!
//! Invariants
//! * The kind comes from what is wrong (`ingot_semantics::Wrong`), never from the engine's English text. Only a place is
//!   read from a text: sqlparser gives it nowhere else.
//! * What failed for a row shows no value: `ingot_semantics::Failure` names the expression, and texts of the engine that
//!   ran are not passed on.
//! * `Display` is complete by itself: code, message, the marked line, the hint. Clients show nothing else.
//!
//! Not here: gRPC status codes (the server maps `ErrorKind`).

use std::error::Error;
use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use ingot_dialect::ast::{Location, Span};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::{client_statement, excerpt, parser_message};
use ingot_lake::LakeError;
use ingot_semantics::{Complaint, Refusal, Wrong, complaint, complaints, find, is_word, written_name};

/// What went wrong, grouped by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is not SQL.
    Syntax,
    /// A table, column or function that does not exist, or a bare table name.
    UnknownName,
    /// Types, arguments or clauses that do not fit together.
    Invalid,
    /// Not a query: this endpoint only reads.
    Refused,
    /// Parameters missing, too many, or of another type.
    Parameter,
    /// A ticket or prepared statement that this server does not know.
    UnknownHandle,
    Cancelled,
    /// Memory or spill space.
    Resources,
    Internal,
    /// The catalog or the store does not answer.
    Unavailable,
    /// SQL that is understood but not carried out.
    Unsupported,
    /// The rows themselves: division by zero, a cast that does not fit.
    Data,
    /// A pinned snapshot has expired, or its table was recreated or changed its columns.
    SnapshotGone,
    /// Nested too deeply, or more than may be planned.
    TooLarge,
    /// Planning was given up.
    Deadline,
    /// A table whose metadata is damaged or gone.
    Unreadable,
    /// A table that is declared and has no rows of its own yet.
    NotBuilt,
}

impl ErrorKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "Q0101",
            Self::UnknownName => "Q0102",
            Self::Invalid => "Q0103",
            Self::Refused => "Q0104",
            Self::Parameter => "Q0105",
            Self::UnknownHandle => "Q0106",
            Self::Cancelled => "Q0107",
            Self::Resources => "Q0108",
            Self::Internal => "Q0109",
            Self::Unavailable => "Q0110",
            Self::Unsupported => "Q0111",
            Self::Data => "Q0112",
            Self::SnapshotGone => "Q0113",
            Self::TooLarge => "Q0115",
            Self::Deadline => "Q0116",
            Self::Unreadable => "Q0117",
            Self::NotBuilt => "Q0118",
        }
    }

    /// Whether the same statement may succeed later.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Resources | Self::Unavailable | Self::SnapshotGone | Self::NotBuilt)
    }
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryError {
    pub kind: ErrorKind,
    /// The kind's stable code.
    pub code: &'static str,
    /// Lower case, no full stop.
    pub message: String,
    /// Whether the same statement may succeed later.
    pub retryable: bool,
    pub hint: Option<String>,
    place: Option<Box<Place>>,
}

/// A place in the statement.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    span: Span,
    /// The line, with the place marked.
    excerpt: Option<String>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(place) = &self.place {
            write!(f, " (line {}, column {})", place.span.start.line, place.span.start.column)?;
            if let Some(excerpt) = &place.excerpt {
                write!(f, "\n{excerpt}")?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  = help: {hint}")?;
        }
        Ok(())
    }
}

impl Error for QueryError {}

/// An error of a running result, whose text is not at hand.
impl From<DataFusionError> for QueryError {
    fn from(e: DataFusionError) -> Self {
        Self::from_running("", &e)
    }
}

impl QueryError {
    /// With the engine's names of functions as SQL's.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = ingot_semantics::sql_text(&message.into());
        Self { kind, code: kind.code(), message, retryable: kind.retryable(), hint: None, place: None }
    }

    /// With what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks a place of the statement. An empty span marks nothing.
    pub fn at(mut self, sql: &str, span: Span) -> Self {
        if span != Span::empty() {
            let excerpt = excerpt(sql, span).map(|lines| format!(" {}", lines.replace('\n', "\n ")));
            self.place = Some(Box::new(Place { span, excerpt }));
        }
        self
    }

    /// The place in the statement: lines and columns from 1, in characters, the end exclusive.
    pub fn span(&self) -> Option<Span> {
        self.place.as_ref().map(|p| p.span)
    }

    /// The line of the statement with the place marked.
    pub fn excerpt(&self) -> Option<&str> {
        self.place.as_ref().and_then(|p| p.excerpt.as_deref())
    }

    /// The error as the command line shows those of a project.
    pub fn diagnostic(&self) -> Diagnostic {
        let mut d = Diagnostic::error(self.code, self.message.clone());
        d.retryable = self.retryable;
        d.span = self.span();
        d.helps.extend(self.hint.clone());
        d
    }

    /// What the dialect's front end refuses.
    pub(crate) fn from_front_end(sql: &str, d: &Diagnostic) -> Self {
        let kind = match d.code {
            "P0113" | "P0130" => ErrorKind::TooLarge,
            _ => ErrorKind::Syntax,
        };
        let error = Self::new(kind, d.message.clone());
        let error = match d.helps.first() {
            Some(help) if kind == ErrorKind::TooLarge => error.with_hint(help.replace("temporary views", "several")),
            Some(help) => error.with_hint(help.clone()),
            None => error,
        };
        error.at(sql, d.span.unwrap_or(Span::empty()))
    }

    /// An error of the catalog or the table format.
    pub(crate) fn from_lake(e: &LakeError) -> Self {
        let kind = match e {
            LakeError::SnapshotGone { .. } | LakeError::NotFound(_) => ErrorKind::SnapshotGone,
            LakeError::Unsupported(_) => ErrorKind::Unsupported,
            LakeError::UnreadableTable { source, .. } => match source.as_ref() {
                LakeError::Unsupported(_) => ErrorKind::Unsupported,
                source if source.retryable() => ErrorKind::Unavailable,
                _ => ErrorKind::Unreadable,
            },
            e if e.retryable() => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        let error = Self::new(kind, format!("{e} ({})", e.code()));
        match e.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// An error of the engine while planning `sql`: it read no row.
    pub(crate) fn from_engine(sql: &str, e: &DataFusionError) -> Self {
        Self::of(sql, e, false)
    }

    /// An error of the engine while running `sql`: no value of a row is shown.
    pub fn from_running(sql: &str, e: &DataFusionError) -> Self {
        Self::of(sql, e, true)
    }

    fn of(sql: &str, e: &DataFusionError, runs: bool) -> Self {
        if let Some(ours) = find::<QueryError>(e) {
            return ours.clone();
        }
        match find::<LakeError>(e) {
            // It only passes on an error of the engine, which says more by itself.
            Some(LakeError::DataFusion(_)) | None => {}
            Some(lake) if find::<Refusal>(e).is_none() => return Self::from_lake(lake),
            Some(_) => {}
        }
        let complaint = complaint(e);
        let out = classify(sql, &complaint, e, runs);
        // What the engine says while it runs may quote a row.
        if runs || !complaint.is_told() {
            return out;
        }
        let mut out = out;
        if out.hint.is_none() {
            out.hint = complaint.helps(sql).into_iter().next();
        }
        if out.kind == ErrorKind::Invalid {
            let all = std::iter::once(complaint.text(sql)).chain(complaint.notes(&tokens(sql), sql));
            out.message = all.collect::<Vec<_>>().join("; ");
        }
        match complaint.span() {
            Some(span) if out.place.is_none() => out.at(sql, span),
            _ => out,
        }
    }

    /// As [`Self::from_engine`], where the names of functions are known: one that is none of them does not exist.
    pub(crate) fn from_planning(sql: &str, e: &DataFusionError, functions: impl FnOnce() -> Vec<String>) -> Self {
        let error = Self::from_engine(sql, e);
        if error.kind != ErrorKind::Invalid {
            return error;
        }
        let tokens = tokens(sql);
        let called = tokens.windows(2).find_map(|pair| {
            let [TokenWithSpan { token: Token::Word(word), span }, TokenWithSpan { token: Token::LParen, .. }] = pair
            else {
                return None;
            };
            let is_it = error.span().is_some_and(|s| s.start == span.start && s.end == span.end);
            is_it.then(|| if word.quote_style.is_some() { word.value.clone() } else { word.value.to_ascii_lowercase() })
        });
        let Some(name) = called else { return error };
        let functions = functions();
        if functions.contains(&name) {
            return error;
        }
        let unknown = Self { kind: ErrorKind::UnknownName, code: ErrorKind::UnknownName.code(), ..error };
        let unknown = Self { message: format!("function \"{name}\" does not exist"), hint: None, ..unknown };
        match did_you_mean(&name, functions.iter().map(String::as_str)) {
            Some(near) => unknown.with_hint(format!("did you mean {near}?")),
            None => unknown,
        }
    }
}

/// The words of a statement; none if it is no SQL.
fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    client_statement(sql).map(|statement| statement.tokens).unwrap_or_default()
}

fn classify(sql: &str, complaint: &Complaint<'_>, error: &DataFusionError, runs: bool) -> QueryError {
    let text = || complaint.detail(sql);
    let (kind, text) = match &complaint.wrong {
        Wrong::Refused(refusal) => {
            // Values and types that do not fit are the statement's own fault.
            let kind = if refusal.code.starts_with('T') { ErrorKind::Invalid } else { ErrorKind::Unsupported };
            return QueryError::new(kind, format!("{} ({})", refusal.text, refusal.code))
                .with_hint(refusal.help)
                .at(sql, refusal.span);
        }
        Wrong::Row(failure) => return QueryError::new(ErrorKind::Data, failure.to_string()).with_hint(failure.hint()),
        Wrong::UnknownColumn { column, candidates } => return unknown_column(sql, complaint, column, candidates),
        Wrong::AmbiguousColumn(column) => {
            return QueryError::new(ErrorKind::UnknownName, format!("column \"{}\" is ambiguous", column.flat_name()))
                .with_hint("qualify it with its table's alias")
                .at(sql, place_of(sql, complaint, &column.name));
        }
        Wrong::DuplicateColumn(name) => {
            return QueryError::new(ErrorKind::Invalid, format!("column \"{name}\" occurs twice"))
                .with_hint("give one of them an alias");
        }
        Wrong::Syntax(e) => return syntax_error(sql, e),
        // What the engine says while it runs may quote a row.
        Wrong::Plan(_) | Wrong::Engine(_) | Wrong::Configuration(_) | Wrong::Foreign(_) if runs => {
            let kind = if matches!(complaint.wrong, Wrong::Foreign(_)) { ErrorKind::Data } else { ErrorKind::Internal };
            return QueryError::new(kind, "the query engine could not go on with the statement's rows")
                .with_hint("if it comes again this is a defect; please report it with the statement");
        }
        Wrong::Plan(_) => (ErrorKind::Invalid, text()),
        Wrong::Unsupported(_) => (ErrorKind::Unsupported, text()),
        Wrong::Memory(m) => {
            return QueryError::new(ErrorKind::Resources, format!("out of memory: {}", one_line(m))).with_hint(
                "select fewer columns or rows, run fewer statements at a time, or raise run.memory_bytes_max",
            );
        }
        // The statement's own constants.
        Wrong::Execution(_) | Wrong::Arrow(ArrowError::ParseError(_)) if !runs => (ErrorKind::Data, text()),
        Wrong::Execution(_) | Wrong::Arrow(_) | Wrong::Parquet(_) => {
            (ErrorKind::Data, ingot_semantics::without_values(error))
        }
        Wrong::Store(object_store::Error::NotFound { path, .. }) => {
            return QueryError::new(ErrorKind::SnapshotGone, format!("data file \"{path}\" is gone"))
                .with_hint("its snapshot has expired: run the statement again");
        }
        // Parquet's reader wraps what the store said.
        Wrong::Store(e) => {
            return QueryError::new(ErrorKind::Unavailable, one_line(&e.to_string()))
                .with_hint("run the statement again");
        }
        Wrong::Io(e) => (ErrorKind::Unavailable, e.to_string()),
        Wrong::Foreign(_) => (ErrorKind::Data, text()),
        Wrong::Ended(_) => (ErrorKind::Internal, ingot_semantics::without_values(error)),
        Wrong::Engine(_) | Wrong::Configuration(_) => (ErrorKind::Internal, text()),
    };
    QueryError::new(kind, text)
}

fn one_line(text: &str) -> String {
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(text);
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

/// The name of a column that no table of a statement has, where that is the error.
pub(crate) fn missing_column(e: &DataFusionError) -> Option<&str> {
    complaints(e).into_iter().find_map(|complaint| match complaint.wrong {
        Wrong::UnknownColumn { column, .. } => Some(column.name.as_str()),
        _ => None,
    })
}

fn unknown_column(sql: &str, complaint: &Complaint<'_>, column: &Column, candidates: &[Column]) -> QueryError {
    let error = QueryError::new(ErrorKind::UnknownName, format!("column \"{}\" does not exist", column.flat_name()))
        .at(sql, place_of_column(sql, complaint, column));
    match complaint.unknown_qualifier(&tokens(sql)) {
        Some((_, there)) if there.is_empty() => return error,
        Some((qualifier, there)) => {
            let text = format!("no table is called \"{qualifier}\" here; there are: {}", shortened(&there));
            return error.with_hint(text);
        }
        None => {}
    }
    let mut names: Vec<&str> = Vec::new();
    for name in candidates.iter().map(Column::name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let cased = names.iter().copied().find(|n| n.eq_ignore_ascii_case(&column.name) && *n != column.name);
    if let Some(cased) = cased {
        return error.with_hint(format!("unquoted names fold to lower case; write \"{cased}\" with its quotes"));
    }
    if let Some(near) = did_you_mean(&column.name, names.iter().copied()) {
        return error.with_hint(format!("did you mean \"{near}\"?"));
    }
    if names.is_empty() { error } else { error.with_hint(format!("there are: {}", shortened(&names))) }
}

/// Where a column stands as it is written: behind its table, if it names one, and not as a name that an output is given.
fn place_of_column(sql: &str, complaint: &Complaint<'_>, column: &Column) -> Span {
    let said = complaint.span();
    let is_inside = |t: &TokenWithSpan| said.is_none_or(|said| t.span.start >= said.start && t.span.end <= said.end);
    let tokens = tokens(sql).into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_)) && is_inside(t));
    let tokens: Vec<TokenWithSpan> = tokens.collect();
    if let Some(said) = said
        && tokens.iter().all(|t| matches!(t.token, Token::Word(_) | Token::Period))
    {
        return said;
    }
    let before = |at: usize, by: usize| at.checked_sub(by).and_then(|at| tokens.get(at));
    let dot = |at: usize| before(at, 1).is_some_and(|t| t.token == Token::Period);
    let named = |at: usize| before(at, 1).is_some_and(|t| is_word(t, "as"));
    let qualified = |at: usize| {
        let qualifier = column.relation.as_ref().map(|relation| relation.table());
        qualifier.is_some_and(|qualifier| dot(at) && before(at, 2).is_some_and(|t| is_word(t, qualifier)))
    };
    let words = || tokens.iter().enumerate().filter(|(_, t)| is_word(t, &column.name));
    let written = words().find(|(at, _)| qualified(*at)).or_else(|| words().find(|(at, _)| !dot(*at) && !named(*at)));
    written.map(|(_, t)| t.span).or(said).unwrap_or(Span::empty())
}

/// Where a name stands: what the engine says if that is the name alone, else the name within it or in the statement.
fn place_of(sql: &str, complaint: &Complaint<'_>, name: &str) -> Span {
    let tokens = tokens(sql);
    let said = complaint.span();
    let inside = |span: Span| tokens.iter().filter(move |t| t.span.start >= span.start && t.span.end <= span.end);
    if let Some(said) = said
        && inside(said).all(|t| matches!(t.token, Token::Word(_) | Token::Period))
    {
        return said;
    }
    written_name(&tokens, name, said).map(|written| written.span).or(said).unwrap_or(Span::empty())
}

/// At most a dozen names.
pub(crate) fn shortened(names: &[&str]) -> String {
    let more = names.len().saturating_sub(12);
    let mut text = names.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

pub(crate) fn syntax_error(sql: &str, e: &ParserError) -> QueryError {
    let text = match e {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m.as_str(),
        ParserError::RecursionLimitExceeded => {
            return QueryError::new(ErrorKind::TooLarge, "this nests too deeply to be parsed");
        }
    };
    let (message, place) = parser_message(text);
    let start = place.unwrap_or_else(|| end_of(sql));
    let end = Location { line: start.line, column: start.column + 1 };
    QueryError::new(ErrorKind::Syntax, message).at(sql, Span { start, end })
}

/// Just after the last character that is not white space.
fn end_of(sql: &str) -> Location {
    let text = sql.trim_end();
    let line = text.split('\n').count() as u64;
    let column = text.rsplit('\n').next().unwrap_or("").chars().count() as u64 + 1;
    Location { line, column }
}
