//! Why an expression has no value for a row.
//!
//! Invariants
//! * The text names the expression and a type, never a value: a caller may see the error and not the table.
//! * What the engine says of a row is not repeated: its texts hold values. What is not known by its type is a text of
//!   our own.
//!
//! Not here: catching failures (`attempt`), naming the functions that fail (`named_failures`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::parquet::errors::ParquetError;

use crate::refusal::Refusal;
use crate::type_names::type_name;

/// What is wrong with a row's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The result does not fit its type.
    Overflow,
    DivisionByZero,
    /// The value cannot be converted.
    Conversion,
    /// A function has no value for its arguments, for this reason.
    Argument(&'static str),
    /// The result, or a batch of results, is larger than can be held.
    Size,
}

/// An expression failed for a row. Found in a `DataFusionError` by walking its sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Failure {
    pub kind: FailureKind,
    /// As the user wrote it, shortened.
    pub expression: String,
    /// In SQL's words.
    pub data_type: String,
    cause: Cause,
}

/// What the engine said, which is not to be shown.
#[derive(Clone, Default)]
struct Cause(Option<Arc<DataFusionError>>);

impl PartialEq for Cause {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Cause {}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Failure {
    /// A result that does not fit its type.
    pub fn overflow(expression: impl Into<String>, data_type: &DataType) -> Self {
        Self {
            kind: FailureKind::Overflow,
            expression: expression.into(),
            data_type: type_name(data_type),
            cause: Cause::default(),
        }
    }

    /// The same of another expression.
    #[must_use]
    pub fn under(self, expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), ..self }
    }

    /// The engine's own error, whose text may hold values of rows.
    pub fn cause(&self) -> Option<&DataFusionError> {
        self.cause.0.as_deref()
    }

    fn text(&self) -> String {
        let Self { expression, data_type, .. } = self;
        match self.kind {
            FailureKind::Overflow => format!("the result of {expression} does not fit {data_type}"),
            FailureKind::DivisionByZero => format!("{expression} divides by zero"),
            FailureKind::Conversion => format!("{expression}: a value cannot be converted to {data_type}"),
            FailureKind::Argument("") => format!("{expression} has no value for its arguments"),
            FailureKind::Argument(wrong) => format!("{expression}: {wrong}"),
            FailureKind::Size => format!("the result of {expression} is larger than can be held"),
        }
    }

    /// What to write instead.
    pub fn hint(&self) -> String {
        match self.kind {
            FailureKind::Overflow if self.expression.starts_with("sum(") || self.expression.starts_with("avg(") => {
                let name = self.expression.split('(').next().unwrap_or("sum");
                format!("CAST the argument to DECIMAL(38, 0), or write try_{name}(...) for NULL where it does not fit")
            }
            FailureKind::Overflow if self.data_type.starts_with("DECIMAL") => format!(
                "CAST the operands to types with fewer digits, or write TRY({}) for NULL where it does not fit",
                self.expression
            ),
            FailureKind::Overflow if !is_number(&self.data_type) => {
                format!("exclude such values with WHERE or CASE, or write TRY({}) for NULL", self.expression)
            }
            FailureKind::Overflow => format!(
                "CAST an operand to a wider type (BIGINT, DECIMAL(38, 0)), or write TRY({}) for NULL where it does not fit",
                self.expression
            ),
            FailureKind::DivisionByZero => {
                format!("exclude zero with WHERE or nullif(divisor, 0), or write TRY({}) for NULL", self.expression)
            }
            FailureKind::Conversion => format!("write TRY_CAST or TRY({}) for NULL", self.expression),
            FailureKind::Argument(_) => {
                format!("exclude such arguments with WHERE or CASE, or write TRY({}) for NULL", self.expression)
            }
            FailureKind::Size => "make smaller values, or aggregate fewer rows into one".into(),
        }
    }
}

fn is_number(type_name: &str) -> bool {
    ["TINYINT", "SMALLINT", "INT", "BIGINT", "REAL", "DOUBLE", "DECIMAL"]
        .iter()
        .any(|n| type_name == *n || type_name.strip_prefix(n).is_some_and(|rest| rest.starts_with('(')))
        || type_name.starts_with("an unsigned integer")
}

/// Whether an error comes from a row's values, and not from the engine, the store or the system.
pub fn is_failure(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => true,
        DataFusionError::External(e) => e.is::<Failure>(),
        _ => false,
    }
}

impl From<Failure> for DataFusionError {
    fn from(failure: Failure) -> Self {
        DataFusionError::External(Box::new(failure))
    }
}

/// The text and type of an expression, kept where it runs.
#[derive(Debug, Clone)]
pub(crate) struct Named(pub(crate) String);

// Texts do not tell expressions apart: aliases change them, and equal calls are computed once.
impl PartialEq for Named {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Named {}

impl std::hash::Hash for Named {
    fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
}

/// Longer texts are cut.
const SHOWN_CHARS_MAX: usize = 120;

impl Named {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text: String = text.into();
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((at, _)) => Self(format!("{}...", text.get(..at).unwrap_or_default())),
            None => Self(text),
        }
    }

    pub(crate) fn failure(&self, kind: FailureKind, data_type: &DataType) -> DataFusionError {
        self.failed(kind, data_type, Cause::default())
    }

    pub(crate) fn caused(&self, kind: FailureKind, data_type: &DataType, cause: DataFusionError) -> DataFusionError {
        self.failed(kind, data_type, Cause(Some(Arc::new(cause))))
    }

    fn failed(&self, kind: FailureKind, data_type: &DataType, cause: Cause) -> DataFusionError {
        Failure { kind, expression: self.0.clone(), data_type: type_name(data_type), cause }.into()
    }

    /// An error of a kernel, without the values in its text.
    pub(crate) fn of_kernel(&self, error: DataFusionError, data_type: &DataType) -> DataFusionError {
        let root = match &error {
            DataFusionError::ArrowError(e, _) => e.as_ref(),
            _ => return error,
        };
        let kind = match root {
            ArrowError::DivideByZero => FailureKind::DivisionByZero,
            ArrowError::ArithmeticOverflow(_) | ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => {
                FailureKind::Overflow
            }
            ArrowError::CastError(_) | ArrowError::ParseError(_) => FailureKind::Conversion,
            _ => return error,
        };
        self.caused(kind, data_type, error)
    }

    /// An error of a function, and what is wrong where its arguments are, without the values in its text.
    pub(crate) fn of_function(
        &self,
        error: DataFusionError,
        wrong: &'static str,
        data_type: &DataType,
    ) -> DataFusionError {
        let kind = match error.find_root() {
            DataFusionError::ArrowError(e, _) => match e.as_ref() {
                ArrowError::DivideByZero => FailureKind::DivisionByZero,
                ArrowError::ArithmeticOverflow(_) => FailureKind::Overflow,
                e if is_of_size(e) => FailureKind::Size,
                ArrowError::CastError(_) | ArrowError::ParseError(_) if wrong.is_empty() => FailureKind::Conversion,
                _ => FailureKind::Argument(wrong),
            },
            // It names its function by the column that it was given.
            DataFusionError::External(e) if e.is::<Failure>() => {
                return match e.downcast_ref::<Failure>() {
                    Some(failure) => failure.clone().under(self.0.clone()).into(),
                    None => error,
                };
            }
            DataFusionError::External(e) if e.is::<Refusal>() => return error,
            // Whatever they call it, the function has no value for a row: a library's word for a pattern is External, a
            // negative size Internal, a form out of a column Plan.
            DataFusionError::Execution(_)
            | DataFusionError::External(_)
            | DataFusionError::Internal(_)
            | DataFusionError::Plan(_) => FailureKind::Argument(wrong),
            _ => return error,
        };
        self.caused(kind, data_type, error)
    }
}

fn is_of_size(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::MemoryError(_) | ArrowError::DictionaryKeyOverflowError | ArrowError::OffsetOverflowError(_)
    )
}

/// Texts of the engine that say nothing of a row, and ours for them.
const HARMLESS: &[(&str, &str)] =
    &[("Scalar subquery returned more than one row", "a subquery that stands for one value gave more than one row")];

/// An error in the chain of causes, also through `Arc`s.
pub fn find<T: std::error::Error + 'static>(error: &DataFusionError) -> Option<&T> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(c) = cause {
        if let Some(found) = c.downcast_ref::<T>() {
            return Some(found);
        }
        cause = c.source();
    }
    None
}

/// What may be said of an error of a plan that ran: no value of a row, whatever the engine's text holds.
pub fn without_values(error: &DataFusionError) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(c) = cause {
        if let Some(failure) = c.downcast_ref::<Failure>() {
            return failure.to_string();
        }
        if let Some(refusal) = c.downcast_ref::<Refusal>() {
            return refusal.to_string();
        }
        cause = c.source();
    }
    match error.find_root() {
        DataFusionError::Execution(text) => match HARMLESS.iter().find(|(theirs, _)| text.starts_with(theirs)) {
            Some((_, ours)) => (*ours).to_owned(),
            None => "an expression of the statement has no value for a row".into(),
        },
        DataFusionError::ArrowError(e, _) => arrow_without_values(e).to_owned(),
        DataFusionError::ExecutionJoin(_) => "the engine panicked".into(),
        DataFusionError::External(e) if !(e.is::<std::io::Error>() || e.is::<Refusal>()) => {
            "the query engine could not go on with the rows".into()
        }
        DataFusionError::ParquetError(e) => parquet_without_values(e),
        root => root.strip_backtrace(),
    }
}

/// As [`without_values`], for an error of a data file.
pub fn parquet_without_values(error: &ParquetError) -> String {
    match error {
        // What Arrow said while columns were made.
        ParquetError::ArrowError(_) => "its values are not of their columns' types".into(),
        e => e.to_string(),
    }
}

/// As [`without_values`], for an error of a kernel.
pub fn arrow_without_values(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::DivideByZero => "an expression divides by zero",
        ArrowError::ArithmeticOverflow(_) => "the result of an expression does not fit its type",
        ArrowError::CastError(_) | ArrowError::ParseError(_) => "a value cannot be converted to its column's type",
        ArrowError::NotYetImplemented(_) => "the query engine does not have this for the statement's types",
        ArrowError::SchemaError(_) => "the query engine found other columns than it planned",
        ArrowError::IoError(..) => "reading or writing failed",
        e if is_of_size(e) => "a value or a batch of values is larger than can be held",
        _ => "an expression of the statement has no value for a row",
    }
}
