//! Why an expression has no value for a row.
//!
//! Invariants
//! * The text names the expression and a type, never a value: values are not shown to who may not see the table.
//!
//! Not here: catching failures (`attempt`).

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;

/// What is wrong with a row's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The result does not fit its type.
    Overflow,
    DivisionByZero,
    /// The value cannot be converted.
    Conversion,
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
}

impl Failure {
    /// A result that does not fit its type.
    pub fn overflow(expression: impl Into<String>, data_type: &DataType) -> Self {
        Self { kind: FailureKind::Overflow, expression: expression.into(), data_type: sql_name(data_type) }
    }

    fn text(&self) -> String {
        let Self { expression, data_type, .. } = self;
        match self.kind {
            FailureKind::Overflow => format!("the result of {expression} does not fit {data_type}"),
            FailureKind::DivisionByZero => format!("{expression} divides by zero"),
            FailureKind::Conversion => format!("{expression}: a value cannot be converted to {data_type}"),
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
            FailureKind::Overflow => format!(
                "CAST an operand to a wider type (BIGINT, DECIMAL(38, 0)), or write TRY({}) for NULL where it does not fit",
                self.expression
            ),
            FailureKind::DivisionByZero => {
                format!("exclude zero with WHERE or nullif(divisor, 0), or write TRY({}) for NULL", self.expression)
            }
            FailureKind::Conversion => format!("write TRY_CAST or TRY({}) for NULL", self.expression),
        }
    }
}

/// Whether an error is one of a row's values, and not of the engine or of what it stands on.
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

    pub(crate) fn of(expr: &Expr) -> Self {
        Self::new(expr.human_display().to_string())
    }

    pub(crate) fn failure(&self, kind: FailureKind, data_type: &DataType) -> DataFusionError {
        Failure { kind, expression: self.0.clone(), data_type: sql_name(data_type) }.into()
    }

    /// An error of a kernel, without the values in its text.
    pub(crate) fn of_kernel(&self, error: DataFusionError, data_type: &DataType) -> DataFusionError {
        let root = match &error {
            DataFusionError::ArrowError(e, _) => e.as_ref(),
            _ => return error,
        };
        match root {
            ArrowError::DivideByZero => self.failure(FailureKind::DivisionByZero, data_type),
            ArrowError::ArithmeticOverflow(_) | ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => {
                self.failure(FailureKind::Overflow, data_type)
            }
            ArrowError::CastError(_) | ArrowError::ParseError(_) => self.failure(FailureKind::Conversion, data_type),
            _ => error,
        }
    }
}

pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            format!("an unsigned integer of {} bits", data_type.primitive_width().unwrap_or(8) * 8)
        }
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".into(),
        other => other.to_string(),
    }
}
