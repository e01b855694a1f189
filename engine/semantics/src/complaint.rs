//! What the engine complains of, read once: what is wrong, where, and what would mend it.
//!
//!   DataFusionError ──▶ contexts, collections and diagnostics taken off ──▶ Complaint ──▶ codes, by whoever reports it
//!
//! Invariants
//! * What is wrong follows from types, never from the engine's English text.
//! * Texts are one line in SQL's words: lower case, no full stop, no structures of the engine.
//!
//! Not here: codes and hints (`ingot-project`, `ingot-query`, `ingot-pipeline`), what failed for a row (`failure`).

use std::error::Error;

use arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError};
use datafusion::object_store;
use datafusion::parquet::errors::ParquetError;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use crate::failure::{Failure, find};
use crate::refusal::Refusal;
use crate::sql_text::{call_text, sql_text, sql_words};

/// What is wrong, by what somebody can do about it.
#[derive(Debug)]
pub enum Wrong<'a> {
    /// A construct that is refused.
    Refused(&'a Refusal),
    /// An expression that fails for a row.
    Row(&'a Failure),
    /// A column that is not among those that may be read.
    UnknownColumn { column: &'a Column, candidates: &'a [Column] },
    /// A column of more than one table.
    AmbiguousColumn(&'a Column),
    /// Two columns of this name.
    DuplicateColumn(&'a str),
    /// No SQL.
    Syntax(&'a ParserError),
    /// Types, arguments or clauses that do not fit together.
    Plan(&'a str),
    /// What the engine does not have.
    Unsupported(&'a str),
    /// Memory or room on a disk.
    Memory(&'a str),
    /// What has no value, in a text that may hold values.
    Execution(&'a str),
    /// As `Execution`, of a kernel.
    Arrow(&'a ArrowError),
    /// A data file.
    Parquet(&'a ParquetError),
    /// The store, also where a reader of files says it.
    Store(&'a object_store::Error),
    /// A file of this machine.
    Io(&'a std::io::Error),
    /// A task of the engine that ended; by a panic if this is true.
    Ended(bool),
    /// An option of the engine.
    Configuration(&'a str),
    /// A defect of the engine.
    Engine(&'a str),
    /// An error of another library.
    Foreign(&'a (dyn Error + Send + Sync + 'static)),
}

/// One complaint.
#[derive(Debug)]
pub struct Complaint<'a> {
    pub wrong: Wrong<'a>,
    error: &'a DataFusionError,
    /// What the planner said of it, the nearest to the cause first.
    said: Vec<&'a Diagnostic>,
}

/// A name as it stands in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub text: String,
    pub quoted: bool,
    pub span: Span,
}

/// Every complaint of an error; never none.
pub fn complaints(error: &DataFusionError) -> Vec<Complaint<'_>> {
    let mut found = Vec::new();
    collect(error, &mut Vec::new(), &mut found);
    if found.is_empty() {
        found.push(Complaint { wrong: Wrong::Engine("an error without a cause"), error, said: Vec::new() });
    }
    found
}

/// The first complaint of an error, which is as good as any.
pub fn complaint(error: &DataFusionError) -> Complaint<'_> {
    let first = Complaint { wrong: Wrong::Engine("an error without a cause"), error, said: Vec::new() };
    complaints(error).into_iter().next().unwrap_or(first)
}

fn collect<'a>(error: &'a DataFusionError, said: &mut Vec<&'a Diagnostic>, found: &mut Vec<Complaint<'a>>) {
    use DataFusionError as E;
    let wrong = if let Some(refusal) = find::<Refusal>(error) {
        Wrong::Refused(refusal)
    } else if let Some(failure) = find::<Failure>(error) {
        Wrong::Row(failure)
    } else {
        match error {
            E::Collection(all) => return all.iter().for_each(|e| collect(e, &mut Vec::new(), found)),
            E::Context(_, inner) => return collect(inner, said, found),
            E::Shared(inner) => return collect(inner, said, found),
            E::Diagnostic(d, inner) => {
                said.insert(0, d);
                return collect(inner, said, found);
            }
            leaf => {
                let root = leaf.find_root();
                if !std::ptr::eq(root, leaf) {
                    return collect(root, said, found);
                }
                match find::<object_store::Error>(leaf) {
                    Some(store) => Wrong::Store(store),
                    None => of_leaf(leaf),
                }
            }
        }
    };
    found.push(Complaint { wrong, error, said: std::mem::take(said) });
}

fn of_leaf(error: &DataFusionError) -> Wrong<'_> {
    use DataFusionError as E;
    match error {
        E::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                Wrong::UnknownColumn { column: field, candidates: valid_fields }
            }
            SchemaError::AmbiguousReference { field } => Wrong::AmbiguousColumn(field),
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                Wrong::DuplicateColumn(name)
            }
        },
        E::SQL(e, _) => Wrong::Syntax(e),
        E::Plan(text) => Wrong::Plan(text),
        E::NotImplemented(text) => Wrong::Unsupported(text),
        E::ResourcesExhausted(text) => Wrong::Memory(text),
        E::Execution(text) => Wrong::Execution(text),
        E::ArrowError(e, _) => Wrong::Arrow(e),
        E::ParquetError(e) => Wrong::Parquet(e),
        E::ObjectStore(e) => Wrong::Store(e),
        E::IoError(e) => Wrong::Io(e),
        E::ExecutionJoin(e) => Wrong::Ended(e.is_panic()),
        E::External(e) => Wrong::Foreign(e.as_ref()),
        E::Configuration(text) => Wrong::Configuration(text),
        E::Internal(text) | E::Substrait(text) | E::Ffi(text) => Wrong::Engine(text),
        // Taken off by `collect`.
        E::Context(..) | E::Shared(_) | E::Diagnostic(..) | E::Collection(_) => {
            Wrong::Engine("an error without a cause")
        }
    }
}

impl<'a> Complaint<'a> {
    /// Where, as far as the planner or a refusal says.
    pub fn span(&self) -> Option<Span> {
        match &self.wrong {
            Wrong::Refused(refusal) => Some(refusal.span).filter(|span| *span != Span::empty()),
            _ => self.said.iter().find_map(|d| d.span).map(span_of),
        }
    }

    /// Whether the planner said more than the error itself.
    pub fn is_told(&self) -> bool {
        !self.said.is_empty()
    }

    /// What is wrong, in the planner's words where it has some. `written` is what the user wrote.
    pub fn text(&self, written: &str) -> String {
        match self.said.first() {
            Some(said) => words(&said.message, written),
            None => self.detail(written),
        }
    }

    /// What the error itself says.
    pub fn detail(&self, written: &str) -> String {
        match &self.wrong {
            Wrong::Refused(refusal) => refusal.text.clone(),
            Wrong::Row(failure) => failure.to_string(),
            Wrong::Plan(text)
            | Wrong::Unsupported(text)
            | Wrong::Memory(text)
            | Wrong::Execution(text)
            | Wrong::Configuration(text)
            | Wrong::Engine(text) => words(text, written),
            Wrong::Arrow(e) => match e {
                ArrowError::ParseError(text)
                | ArrowError::CastError(text)
                | ArrowError::ComputeError(text)
                | ArrowError::InvalidArgumentError(text)
                | ArrowError::NotYetImplemented(text)
                | ArrowError::SchemaError(text) => words(text, written),
                e => words(&e.to_string(), written),
            },
            Wrong::Parquet(e) => words(&e.to_string(), written),
            Wrong::Store(e) => words(&e.to_string(), written),
            Wrong::Io(e) => words(&e.to_string(), written),
            Wrong::Foreign(e) => words(&e.to_string(), written),
            _ => match self.error {
                DataFusionError::ExecutionJoin(e) => words(&e.to_string(), written),
                error => words(&error.strip_backtrace(), written),
            },
        }
    }

    /// What the planner adds, each with the text that it is about.
    pub fn notes(&self, tokens: &[TokenWithSpan], written: &str) -> Vec<String> {
        let Some(said) = self.said.first() else { return Vec::new() };
        let about = |span: Span| Some(text_of(tokens, span)).filter(|t| !t.is_empty() && t.len() <= ABOUT_MAX);
        said.notes
            .iter()
            .map(|note| match note.span.and_then(|span| about(span_of(span))) {
                Some(text) => format!("{text}: {}", words(&note.message, written)),
                None => words(&note.message, written),
            })
            .collect()
    }

    /// What to do, as the planner has it.
    pub fn helps(&self, written: &str) -> Vec<String> {
        let helps = self.said.iter().map(|d| &d.helps).find(|helps| !helps.is_empty());
        // The function that it proposes does not exist here.
        let cut = |text: &str| text.split(" like ANY_VALUE").next().unwrap_or_default().to_owned();
        // A message that shows a value of the engine in Rust's debug form is of no use to a user.
        let useful = helps.into_iter().flatten().filter(|help| !help.message.contains(" { "));
        useful.map(|help| words(&cut(&help.message), written)).collect()
    }

    /// For a column whose table is none of those that may be read: its qualifier, and the tables that are there. None of
    /// them are given where the text, as tokens, may have the table elsewhere: those of a query around this one are no
    /// candidates.
    pub fn unknown_qualifier(&self, tokens: &[TokenWithSpan]) -> Option<(&'a str, Vec<&'a str>)> {
        let Wrong::UnknownColumn { column, candidates } = self.wrong else { return None };
        let qualifier = column.relation.as_ref()?.table();
        let mut there: Vec<&str> = Vec::new();
        for table in candidates.iter().filter_map(|c| c.relation.as_ref()).map(|relation| relation.table()) {
            if !there.contains(&table) {
                there.push(table);
            }
        }
        if there.is_empty() || there.contains(&qualifier) {
            return None;
        }
        let followed = tokens.iter().zip(tokens.iter().skip(1).map(Some).chain([None]));
        let stands_alone = |(t, next): (&TokenWithSpan, Option<&TokenWithSpan>)| {
            is_word(t, qualifier) && next.is_none_or(|next| next.token != Token::Period)
        };
        if followed.into_iter().any(stands_alone) {
            there.clear();
        }
        Some((qualifier, there))
    }
}

/// Complaints longer than this are cut.
const LENGTH_MAX: usize = 400;

/// Longer parts of a text are not shown in a note.
const ABOUT_MAX: usize = 50;

/// A text of the engine as one line in SQL's words. `written` is what the user wrote, whose words stay.
fn words(text: &str, written: &str) -> String {
    let call = call_text(text);
    let text = call.as_deref().unwrap_or(text);
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(text);
    let text = sql_words(&sql_text(text), written);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let line = line.strip_prefix("Internal error: ").unwrap_or(line);
    // What follows are the engine's own names of types, its structures, and what it asks of its developers.
    let ends = [" Candidate functions:", ", errors:", " { ", ". This issue was likely"];
    let line = ends.iter().fold(line, |line, end| line.split(end).next().unwrap_or(line));
    let line = lower_first(line.trim_end_matches('.'));
    match line.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{} ...", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// NOT, UNNEST and the like keep their capitals.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Whether a token is a name, as SQL folds it.
pub fn is_word(t: &TokenWithSpan, name: &str) -> bool {
    let Token::Word(word) = &t.token else { return false };
    if word.quote_style.is_some() { word.value == name } else { word.value.to_ascii_lowercase() == name }
}

/// The first place of a folded name in a text, within a span if one is given.
pub fn written_name(tokens: &[TokenWithSpan], name: &str, within: Option<Span>) -> Option<Written> {
    let is_inside = |t: &&TokenWithSpan| within.is_none_or(|w| t.span.start >= w.start && t.span.end <= w.end);
    tokens.iter().filter(is_inside).find_map(|t| {
        let Token::Word(word) = &t.token else { return None };
        let quoted = word.quote_style.is_some();
        is_word(t, name).then(|| Written { text: word.value.clone(), quoted, span: t.span })
    })
}

/// The text of the tokens within a span, each run of white space as one space.
pub fn text_of(tokens: &[TokenWithSpan], span: Span) -> String {
    let mut text = String::new();
    let mut end: Option<Location> = None;
    for t in tokens.iter().filter(|t| t.span.start >= span.start && t.span.end <= span.end) {
        // A statement's tokens may have lost their spaces.
        let is_apart = end.is_some_and(|end| end != t.span.start) || matches!(t.token, Token::Whitespace(_));
        if is_apart && !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
        if !matches!(t.token, Token::Whitespace(_)) {
            text.push_str(&t.token.to_string());
        }
        end = Some(t.span.end);
    }
    text.trim_end().to_owned()
}

fn span_of(span: datafusion::common::Span) -> Span {
    Span::new(Location::new(span.start.line, span.start.column), Location::new(span.end.line, span.end.column))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::common::{TableReference, plan_datafusion_err};

    use super::*;

    fn unknown(relation: &str, name: &str, valid: &[(&str, &str)]) -> DataFusionError {
        let field = Box::new(Column::new(Some(TableReference::bare(relation)), name));
        let valid_fields = valid.iter().map(|(r, n)| Column::new(Some(TableReference::bare(*r)), *n)).collect();
        DataFusionError::SchemaError(Box::new(SchemaError::FieldNotFound { field, valid_fields }), Box::new(None))
    }

    fn said(message: &str, line: u64, inner: DataFusionError) -> DataFusionError {
        let place = |column| datafusion::common::Location { line, column };
        let span = datafusion::common::Span::new(place(1), place(5));
        inner.with_diagnostic(Diagnostic::new_error(message, Some(span)))
    }

    #[test]
    fn what_is_wrong_is_found_through_what_is_around_it() {
        let bare = unknown("t", "x", &[("t", "y")]);
        let around =
            |e: DataFusionError| DataFusionError::Shared(Arc::new(said("It is not there.", 3, e).context("c")));
        let error = around(bare).context("type_coercion");
        let one = complaint(&error);
        assert!(matches!(one.wrong, Wrong::UnknownColumn { column, .. } if column.name == "x"), "{one:?}");
        assert_eq!(one.span().map(|s| s.start), Some(Location::new(3, 1)));
        assert_eq!((one.text("").as_str(), one.is_told()), ("it is not there", true));
        let many = DataFusionError::Collection(vec![
            said("A", 1, plan_datafusion_err!("Cannot")),
            DataFusionError::NotImplemented("This. And that { a: 1 }.".into()),
        ]);
        let all = complaints(&many);
        assert!(matches!(
            all.as_slice(),
            [Complaint { wrong: Wrong::Plan(_), .. }, Complaint { wrong: Wrong::Unsupported(_), .. }]
        ));
        assert_eq!(
            (all[0].detail("").as_str(), all[1].text("").as_str(), all[1].span()),
            ("cannot", "this. And that", None)
        );
        assert_eq!(complaints(&DataFusionError::Collection(vec![])).len(), 1);
    }

    #[test]
    fn foreign_errors_are_looked_into() {
        let gone = || object_store::Error::NotFound { path: "p".into(), source: "gone".into() };
        let wrapped = ParquetError::External(Box::new(gone()));
        for error in [
            DataFusionError::ObjectStore(Box::new(gone())),
            DataFusionError::ParquetError(Box::new(wrapped)),
            DataFusionError::External(Box::new(gone())).context("scan"),
        ] {
            assert!(matches!(complaint(&error).wrong, Wrong::Store(object_store::Error::NotFound { .. })), "{error}");
        }
        let inside = ArrowError::ExternalError(Box::new(DataFusionError::ResourcesExhausted("m".into())));
        assert!(matches!(complaint(&DataFusionError::from(inside)).wrong, Wrong::Memory("m")));
        let failure = Failure::overflow("a + b", &arrow::datatypes::DataType::Int64);
        let error = DataFusionError::from(failure).context("c");
        assert_eq!(complaint(&error).text(""), "the result of a + b does not fit BIGINT");
    }

    #[test]
    fn a_qualifier_that_nothing_has_is_told_from_a_column_that_its_table_lacks() {
        let tables = [("a", "x"), ("a", "y"), ("b", "x")];
        assert_eq!(complaint(&unknown("c", "x", &tables)).unknown_qualifier(&[]), Some(("c", vec!["a", "b"])));
        assert_eq!(complaint(&unknown("a", "z", &tables)).unknown_qualifier(&[]), None);
        assert_eq!(complaint(&unknown("a", "z", &[])).unknown_qualifier(&[]), None);
    }

    #[test]
    fn texts_are_one_line_in_the_words_of_sql() {
        for (theirs, ours) in [
            ("Cannot compare Utf8 with Int64.\nThis is it.", "cannot compare STRING with BIGINT"),
            ("NOT is none", "NOT is none"),
            ("Unsupported ast node Foo { a: 1 }", "unsupported ast node Foo"),
            ("Internal error: Oh. This issue was likely caused by us.", "oh"),
        ] {
            assert_eq!(words(theirs, ""), ours);
        }
        assert!(words(&"x".repeat(1_000), "").len() < LENGTH_MAX + 10);
    }
}
