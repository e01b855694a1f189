//! What a client's statement can fail with: a kind, its stable code, and the place in the statement.
//!
//! Invariants
//! * The kind comes from the type of the engine's error, never from its English text. Only a place is read from
//!   a text: sqlparser gives it nowhere else.
//! * What failed for a row shows no value: `ingot_semantics::Failure` names the expression, and texts of the engine that
//!   ran are not passed on.
//! * `Display` is complete by itself: code, message, the marked line, the hint. Clients show nothing else.
//!
//! Not here: gRPC status codes (the server maps `ErrorKind`).

use std::error::Error;
use std::fmt;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use ingot_dialect::ast::{Location, Span};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::excerpt;
use ingot_lake::LakeError;
use ingot_semantics::{Refusal, find, sql_words};

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
        if let Some(refusal) = find::<Refusal>(e) {
            // Values and types that do not fit are the statement's own fault.
            let kind = if refusal.code.starts_with('T') { ErrorKind::Invalid } else { ErrorKind::Unsupported };
            return Self::new(kind, format!("{} ({})", refusal.text, refusal.code))
                .with_hint(refusal.help)
                .at(sql, refusal.span);
        }
        match find::<LakeError>(e) {
            // It only passes on an error of the engine, which says more by itself.
            Some(LakeError::DataFusion(_)) | None => {}
            Some(lake) => return Self::from_lake(lake),
        }
        if let Some(failure) = find::<ingot_semantics::Failure>(e) {
            return Self::new(ErrorKind::Data, failure.to_string()).with_hint(failure.hint());
        }
        // Parquet's reader wraps what the store said.
        if let Some(e) = find::<object_store::Error>(e).filter(|e| !matches!(e, object_store::Error::NotFound { .. })) {
            return Self::new(ErrorKind::Unavailable, one_line(&e.to_string())).with_hint("run the statement again");
        }
        // A collection holds one error for each item of a list; the first is as good as any.
        let first = e.iter().next().unwrap_or(e);
        let mut out = classify(sql, first.find_root(), runs);
        if let Some(d) = first.diagnostic() {
            if out.hint.is_none() {
                out.hint = d
                    .helps
                    .iter()
                    .chain(e.diagnostic().into_iter().flat_map(|d| &d.helps))
                    .map(|h| ingot_semantics::sql_text(&h.message))
                    // A message that shows a value of the engine in Rust's debug form is of no use to a user.
                    .find(|h| !h.contains(" { "));
            }
            if out.kind == ErrorKind::Invalid {
                out.message = lower_first(&sql_words(&d.message, sql));
                for note in &d.notes {
                    out.message.push_str("; ");
                    out.message.push_str(&sql_words(&note.message, sql));
                }
            }
            if let Some(s) = d.span {
                let location = |l: datafusion::common::Location| Location { line: l.line, column: l.column };
                out = out.at(sql, Span { start: location(s.start), end: location(s.end) });
            }
        }
        out
    }
}

fn classify(sql: &str, root: &DataFusionError, runs: bool) -> QueryError {
    use DataFusionError as E;
    let (kind, text) = match root {
        E::SchemaError(e, _) => return schema_error(e),
        E::SQL(e, _) => return syntax_error(sql, e),
        // What the engine says while it runs may quote a row.
        E::Plan(_) | E::Internal(_) | E::Configuration(_) | E::Substrait(_) | E::Ffi(_) | E::External(_) if runs => {
            let kind = if matches!(root, E::External(_)) { ErrorKind::Data } else { ErrorKind::Internal };
            return QueryError::new(kind, "the query engine could not go on with the statement's rows")
                .with_hint("if it comes again this is a defect; please report it with the statement");
        }
        E::Plan(m) => (ErrorKind::Invalid, m.clone()),
        E::NotImplemented(m) => (ErrorKind::Unsupported, m.clone()),
        E::ResourcesExhausted(m) => {
            return QueryError::new(ErrorKind::Resources, format!("out of memory: {}", one_line(m))).with_hint(
                "select fewer columns or rows, run fewer statements at a time, or raise run.memory_bytes_max",
            );
        }
        E::Execution(m) if !runs => (ErrorKind::Data, m.clone()),
        E::Execution(_) | E::ArrowError(..) | E::ParquetError(_) => {
            (ErrorKind::Data, ingot_semantics::without_values(root))
        }
        E::ObjectStore(e) => match e.as_ref() {
            object_store::Error::NotFound { path, .. } => {
                return QueryError::new(ErrorKind::SnapshotGone, format!("data file \"{path}\" is gone"))
                    .with_hint("its snapshot has expired: run the statement again");
            }
            e => (ErrorKind::Unavailable, e.to_string()),
        },
        E::IoError(e) => (ErrorKind::Unavailable, e.to_string()),
        E::External(e) => (ErrorKind::Data, e.to_string()),
        E::ExecutionJoin(_) => (ErrorKind::Internal, ingot_semantics::without_values(root)),
        E::Internal(m) | E::Configuration(m) | E::Substrait(m) | E::Ffi(m) => (ErrorKind::Internal, m.clone()),
        // `find_root` goes through these; they remain only around foreign errors.
        E::Context(_, inner) | E::Diagnostic(_, inner) => return classify(sql, inner, runs),
        E::Shared(inner) => return classify(sql, inner, runs),
        E::Collection(all) => match all.first() {
            Some(inner) => return classify(sql, inner, runs),
            None => (ErrorKind::Internal, "an error without a cause".to_owned()),
        },
    };
    let text = ingot_semantics::call_text(&text).unwrap_or_else(|| one_line(&text));
    // What follows are the engine's own names of types, and what it asks of its developers.
    let ends = [" Candidate functions:", ", errors:", ". This issue was likely"];
    let text = ends.iter().fold(text.as_str(), |text, end| text.split(end).next().unwrap_or(text));
    QueryError::new(kind, sql_words(text, sql))
}

fn one_line(text: &str) -> String {
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(text);
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

fn schema_error(e: &SchemaError) -> QueryError {
    match e {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error =
                QueryError::new(ErrorKind::UnknownName, format!("column \"{}\" does not exist", field.flat_name()));
            let names: Vec<&str> = valid_fields.iter().map(|c| c.name()).collect();
            let cased = names.iter().copied().find(|n| n.eq_ignore_ascii_case(field.name()) && *n != field.name());
            if let Some(cased) = cased {
                return error
                    .with_hint(format!("unquoted names fold to lower case; write \"{cased}\" with its quotes"));
            }
            if let Some(near) = did_you_mean(field.name(), names.iter().copied()) {
                return error.with_hint(format!("did you mean \"{near}\"?"));
            }
            if names.is_empty() { error } else { error.with_hint(format!("there are: {}", shortened(&names))) }
        }
        SchemaError::AmbiguousReference { field } => {
            QueryError::new(ErrorKind::UnknownName, format!("column \"{}\" is ambiguous", field.flat_name()))
                .with_hint("qualify it with its table's alias")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            QueryError::new(ErrorKind::Invalid, format!("column \"{name}\" occurs twice"))
                .with_hint("give one of them an alias")
        }
    }
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
    let (message, place) = match text.rfind(" at Line: ") {
        Some(i) => (text.get(..i).unwrap_or(text), text.get(i..).and_then(place)),
        None => (text, Some(end_of(sql))),
    };
    let error = QueryError::new(ErrorKind::Syntax, lower_first(message));
    match place {
        Some(start) => error.at(sql, Span { start, end: Location { line: start.line, column: start.column + 1 } }),
        None => error,
    }
}

/// ` at Line: 1, Column: 8`.
fn place(text: &str) -> Option<Location> {
    let (line, column) = text.trim().strip_prefix("at Line: ")?.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
}

/// Just after the last character that is not white space.
fn end_of(sql: &str) -> Location {
    let text = sql.trim_end();
    let line = text.split('\n').count() as u64;
    let column = text.rsplit('\n').next().unwrap_or("").chars().count() as u64 + 1;
    Location { line, column }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // NOT, UNNEST and the like.
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
    }
}
