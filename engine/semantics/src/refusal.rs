//! What a statement asks for and cannot have: a code, a place and another way to write it.
//!
//! Not here: failures of rows (`failure`).

use datafusion::common::DataFusionError;
use sqlparser::tokenizer::Span;

/// A construct that is refused. Found in a `DataFusionError` by walking its sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// `U05xx`, as in the registry of codes.
    pub code: &'static str,
    pub text: String,
    /// What to write instead.
    pub help: &'static str,
    /// Empty where no place is known.
    pub span: Span,
}

impl From<Refusal> for DataFusionError {
    fn from(refusal: Refusal) -> Self {
        DataFusionError::External(Box::new(refusal))
    }
}
