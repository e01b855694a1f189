//! Everything that can stop a table, with the code a user sees, whether a retry may help, and the exit code.
//!
//! Invariant: the class of an error comes from its type, never from its text.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use ingot_delta::DeltaError;
use ingot_dialect::diagnostic::Diagnostic;
use ingot_lake::{CommitError, LakeError};
use ingot_model::Unreadable;
use ingot_semantics::Failure;
use ingot_source::SourceError;

use ingot_semantics::{Wrong, complaint, find};

use crate::ingest::decide::Refusal;
use crate::plan::Reason;

/// What stopped a command or a table.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("the project has {} error(s)", .0.len())]
    Project(Vec<Diagnostic>),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{}", shown(.0))]
    Engine(#[from] DataFusionError),
    #[error("{}", shown_change(.0))]
    Delta(#[from] ingot_delta::DeltaError),
    /// The commit lost against another writer; planning again is right.
    #[error("another writer moved \"{table}\" first: {reason}")]
    Superseded { table: String, reason: String },
    #[error("it is not known whether the commit of \"{table}\" took effect: {reason}")]
    UnknownCommit { table: String, reason: String },
    /// A rule of the project or its data, with a stable code and what to do.
    #[error("{message}")]
    Stopped { code: &'static str, message: String, hint: Option<String>, retryable: bool },
    /// A failure of a row's or a group's values, with its place. The place holds values, so the log leaves it out.
    #[error("{error}")]
    At { error: Box<PipelineError>, place: String },
    #[error("interrupted")]
    Interrupted,
    #[error("a summary could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<&PipelineError> for Reason {
    fn from(e: &PipelineError) -> Self {
        Self { hint: e.hint(), ..Self::new(e.code(), e.to_string()) }
    }
}

impl From<Refusal> for PipelineError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, hint, retryable } = refusal;
        Self::Stopped { code, message, hint, retryable }
    }
}

impl From<Unreadable> for PipelineError {
    fn from(error: Unreadable) -> Self {
        LakeError::from(error).into()
    }
}

/// Without the word of the library that carried it, and without values.
fn shown(error: &DataFusionError) -> String {
    let store = || find::<object_store::Error>(error).map(object_store::Error::to_string);
    let lake = find::<LakeError>(error).map(LakeError::to_string);
    lake.or_else(store).unwrap_or_else(|| ingot_semantics::without_values(error))
}

fn shown_change(error: &DeltaError) -> String {
    match error {
        DeltaError::DataFusion(e)
            if find::<Failure>(e).is_some()
                || find::<LakeError>(e).is_some()
                || find::<ingot_semantics::Refusal>(e).is_some() =>
        {
            shown(e)
        }
        error => error.to_string(),
    }
}

/// The code of a panic, caught at a table's or a task's edge.
pub(crate) const DEFECT: &str = "R0311";

/// The pipeline's.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;

impl PipelineError {
    /// An error with a code of its own, which no retry helps.
    pub fn stopped(code: &'static str, message: impl Into<String>) -> Self {
        Self::Stopped { code, message: message.into(), hint: None, retryable: false }
    }

    /// What a step that cannot run now fails with.
    pub fn blocked(reason: &Reason) -> Self {
        Self::Stopped {
            code: ingot_project::codes::known(&reason.code),
            message: reason.text.clone(),
            hint: reason.hint.clone(),
            retryable: ingot_project::codes::is_passing(&reason.code),
        }
    }

    /// A defect of Ingot or of a library below it, caught at a table's edge.
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Self::stopped(DEFECT, format!("internal error: {text}"))
            .with_hint("this is a defect; please report it with the statement. The table keeps its state")
    }

    /// Whether this is a panic rather than something wrong with the project, the data or the outside.
    pub(crate) fn is_defect(&self) -> bool {
        self.code() == DEFECT
    }

    /// With what to do.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Stopped { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// A source's failure, named after the table that reads it: the way to go on is a command with its name.
    pub fn source(table: &ingot_model::TableName, error: SourceError) -> Self {
        match error {
            SourceError::Loss(loss) => {
                Self::stopped(loss.kind.code(), loss.to_string()).with_hint(loss.hint(&table.to_string()))
            }
            other => Self::Source(other),
        }
    }

    /// A commit's failure, named after its table.
    pub fn commit(table: &ingot_model::TableName, error: CommitError) -> Self {
        match error {
            CommitError::Superseded { reason, .. } => Self::Superseded { table: table.to_string(), reason },
            CommitError::Unknown { source, .. } => {
                Self::UnknownCommit { table: table.to_string(), reason: source.to_string() }
            }
            CommitError::Failed(e) => Self::Lake(e),
        }
    }

    /// A creation's failure: the table that another process made first is planned for as it is.
    pub fn creating(error: ingot_lake::LakeError) -> Self {
        match error {
            ingot_lake::LakeError::TableExists(table) => {
                Self::Superseded { table: table.to_string(), reason: "another process created it".into() }
            }
            error => Self::Lake(error),
        }
    }

    /// The whole message, for the people who run the table.
    pub fn report(&self) -> String {
        match self {
            Self::At { error, place } => format!("{error}, for {place}"),
            error => error.to_string(),
        }
    }

    /// Whether another writer expired or dropped what the plan was to read. Planning again is right then; if the error
    /// comes again, it is the table's own.
    pub fn overtaken(&self) -> bool {
        matches!(self, Self::Lake(_) | Self::Engine(_)) && matches!(self.code(), "L0105" | "L0108" | "L0116")
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Project(d) => d.first().map_or("N0101", |d| d.code),
            Self::Lake(e) => e.code(),
            Self::Source(e) => e.code(),
            Self::Engine(e) => outside(e).map_or("R0301", |(code, _)| code),
            Self::Delta(DeltaError::DataFusion(e)) if find::<ingot_semantics::Refusal>(e).is_some() => {
                outside(e).map_or("R0540", |(code, _)| code)
            }
            Self::Delta(e) => e.code(),
            Self::Superseded { .. } => "L0121",
            Self::UnknownCommit { .. } => "L0122",
            Self::Stopped { code, .. } => code,
            Self::At { error, .. } => error.code(),
            Self::Interrupted => "R0302",
            Self::Json(_) => "R0306",
        }
    }

    /// Whether the same call may succeed later without anybody changing the project.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Lake(e) => e.retryable(),
            Self::Source(e) => e.retryable(),
            Self::Superseded { .. } => true,
            Self::Stopped { retryable, .. } => *retryable,
            Self::At { error, .. } => error.retryable(),
            // Memory is shared with queries, which end.
            Self::Engine(e) | Self::Delta(DeltaError::DataFusion(e)) => {
                matches!(complaint(e).wrong, Wrong::Memory(_))
                    || outside(e).is_some_and(|(code, _)| ingot_project::codes::is_passing(code))
            }
            Self::Project(_) | Self::Delta(_) | Self::UnknownCommit { .. } | Self::Interrupted | Self::Json(_) => false,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Stopped { hint, .. } => hint.clone(),
            Self::At { error, .. } => error.hint(),
            Self::Source(e) => e.hint(),
            Self::Lake(e) => e.hint().map(str::to_owned),
            Self::UnknownCommit { .. } => {
                Some("run it again: the next start reads the table and goes on from what is there".into())
            }
            Self::Engine(e) | Self::Delta(DeltaError::DataFusion(e)) => match outside(e) {
                Some((_, hint)) => hint.map(str::to_owned),
                None => Some(find::<Failure>(e).map_or_else(|| remedy(e).to_owned(), Failure::hint)),
            },
            Self::Delta(DeltaError::Arrow(e)) => Some(arrow_remedy(e).to_owned()),
            _ => None,
        }
    }

    /// The process exit code: 1 the project or the data is wrong, 3 something outside, 4 unverifiable, 143 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted => 143,
            Self::UnknownCommit { .. } => 3,
            e if e.code() == "L0116" => 4,
            e if e.retryable() => 3,
            _ => 1,
        }
    }
}

/// What to do about an error of a plan that ran, by its cause.
fn remedy(error: &DataFusionError) -> &'static str {
    match complaint(error).wrong {
        Wrong::Memory(_) => {
            "give it more memory (run.memory_bytes_max in ingot.toml), or let fewer rows meet: filter earlier, or aggregate in a view below"
        }
        Wrong::Io(_) => {
            "rows that do not fit in memory are kept in the system's temporary folder: is there space, and may it be written to?"
        }
        Wrong::Arrow(e) => arrow_remedy(e),
        Wrong::Execution(_) | Wrong::Foreign(_) | Wrong::Refused(_) | Wrong::Row(_) => {
            "rows that a function cannot take can be left out: with WHERE in a view below, or with CASE around the call"
        }
        _ => REPORT_IT,
    }
}

const REPORT_IT: &str = "this is a defect of the engine, not of the rows; please report it with the statement";

fn arrow_remedy(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            "TRY_CAST gives NULL where a value does not fit; CAST is an error"
        }
        ArrowError::DivideByZero => "divide by NULLIF(x, 0): the result is NULL where x is 0",
        ArrowError::ArithmeticOverflow(_) | ArrowError::InvalidArgumentError(_) => {
            "compute in a wider type: CAST(x AS DECIMAL(38, 0)) for whole numbers, more digits for a DECIMAL, or DOUBLE"
        }
        ArrowError::DictionaryKeyOverflowError | ArrowError::OffsetOverflowError(_) | ArrowError::MemoryError(_) => {
            "one value or group is too large to be held: aggregate fewer rows into it"
        }
        ArrowError::ComputeError(_) | ArrowError::ExternalError(_) => {
            "rows that a function cannot take can be left out: with WHERE in a view below, or with CASE around the call"
        }
        _ => REPORT_IT,
    }
}

/// The code and hint of an error that was a refusal, or that arose while reading rather than computing. A store that
/// fails for a while must not stop a view for good.
fn outside(error: &DataFusionError) -> Option<(&'static str, Option<&'static str>)> {
    if let Some(refusal) = find::<ingot_semantics::Refusal>(error) {
        return Some((refusal.code, Some(refusal.help)));
    }
    if let Some(lake) = find::<LakeError>(error).filter(|e| !matches!(e, LakeError::DataFusion(_))) {
        return Some((lake.code(), lake.hint()));
    }
    match find::<object_store::Error>(error) {
        Some(object_store::Error::NotFound { .. }) => return Some(("L0105", None)),
        Some(_) => return Some(("L0103", Some(ingot_lake::STORE_HINT))),
        None => {}
    }
    find::<ParquetError>(error).map(|_| {
        let hint = "this step changed nothing; if it comes again on the same file, the file is damaged: restore it";
        ("L0113", Some(hint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(e: DataFusionError) -> String {
        PipelineError::Engine(e.context("while rows were read")).hint().unwrap()
    }

    /// The engine carries it as an error from outside, often with a context around it.
    #[test]
    fn a_refusal_keeps_its_code_its_words_and_its_help() {
        let refusal = || {
            let (text, help) = ("no join stands for this".to_owned(), "write a join");
            DataFusionError::from(ingot_semantics::Refusal {
                code: "U0515",
                text,
                help,
                span: datafusion::sql::sqlparser::tokenizer::Span::empty(),
            })
        };
        let errors = [
            PipelineError::Engine(refusal()),
            PipelineError::Engine(refusal().context("while it was planned")),
            PipelineError::Delta(DeltaError::DataFusion(refusal().context("while it was planned"))),
        ];
        for error in errors {
            assert_eq!(error.code(), "U0515");
            assert_eq!(error.hint().as_deref(), Some("write a join"));
            assert_eq!(error.to_string(), "no join stands for this");
            assert!(!error.retryable());
        }
    }

    #[test]
    fn the_hint_fits_the_cause() {
        let arrow = |e: ArrowError| hint(DataFusionError::from(e));
        assert!(arrow(ArrowError::CastError("x".into())).contains("TRY_CAST"));
        assert!(arrow(ArrowError::ParseError("x".into())).contains("TRY_CAST"));
        assert!(arrow(ArrowError::DivideByZero).contains("NULLIF"));
        assert!(arrow(ArrowError::ArithmeticOverflow("x".into())).contains("wider"));
        assert!(hint(DataFusionError::ResourcesExhausted("x".into())).contains("run.memory_bytes_max"));
        let exhausted =
            DataFusionError::Context("sort".into(), Box::new(DataFusionError::ResourcesExhausted("x".into())));
        assert!(PipelineError::Engine(exhausted).retryable());
        assert!(hint(DataFusionError::IoError(std::io::Error::other("x"))).contains("space"));
        for defect in [DataFusionError::Internal("x".into()), DataFusionError::NotImplemented("x".into())] {
            assert!(hint(defect).contains("report"));
        }
        let inside = ingot_delta::DeltaError::Arrow(ArrowError::DivideByZero);
        assert!(PipelineError::Delta(inside).hint().unwrap().contains("NULLIF"));
    }
}
