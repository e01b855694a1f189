//! Errors of incremental maintenance. Codes are stable; a retry helps none of them.
//!
//! Not here: reasons for a full recompute (`shape::classify`), which are no errors.

use datafusion::common::DataFusionError;

/// Why a change could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    #[error("planning or evaluating the change failed: {}", ingot_semantics::without_values(.0))]
    DataFusion(#[from] DataFusionError),
    #[error("arrow failed on change rows: {}", ingot_semantics::arrow_without_values(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    #[error(
        "the stored table contradicts its source: {found}; hint: somebody else changed the table, rebuild it with REFRESH ... FULL"
    )]
    Inconsistent { found: String },
    #[error("stored rows have unexpected columns: {0}")]
    Layout(String),
    #[error(
        "column \"{column}\" of type {data_type} has no order, so ties cannot be broken; hint: leave it out of the query below the window, or sort by other columns"
    )]
    NoOrder { column: String, data_type: String },
    #[error("table \"{table}\" now has other columns: {detail}")]
    SourceChanged { table: String, detail: String },
}

impl DeltaError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            DeltaError::DataFusion(_) | DeltaError::Arrow(_) => "R0540",
            DeltaError::Inconsistent { .. } => "R0541",
            DeltaError::Layout(_) => "R0542",
            DeltaError::NoOrder { .. } => "R0543",
            DeltaError::SourceChanged { .. } => "R0544",
        }
    }

    pub(crate) fn inconsistent(found: impl Into<String>) -> Self {
        DeltaError::Inconsistent { found: found.into() }
    }
}

/// Results of this crate.
pub type Result<T, E = DeltaError> = std::result::Result<T, E>;
