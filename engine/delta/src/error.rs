//! Errors of incremental maintenance. Codes are stable; a retry helps none of them.
//!
//! Not here: reasons for a full recompute (`reason`), which are no errors.

use datafusion::common::DataFusionError;

/// Why a change could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// A plan of the change could not be made, or a value could not be computed.
    #[error("planning or evaluating the change failed: {}", ingot_semantics::without_values(.0))]
    DataFusion(#[from] DataFusionError),
    /// Rows could not be converted or compared.
    #[error("arrow failed on change rows: {}", ingot_semantics::arrow_without_values(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    /// The stored rows are not those that the change is a change of.
    #[error(
        "the stored table contradicts its source: {found}; hint: somebody else changed the table, rebuild it with REFRESH ... FULL"
    )]
    Inconsistent {
        /// What contradicts what.
        found: String,
    },
    /// Rows were given in other columns than this view stores or its plans give.
    #[error("stored rows have unexpected columns: {0}")]
    Layout(String),
    /// A tie would have to be broken by a column whose values cannot be sorted.
    #[error(
        "column \"{column}\" of type {data_type} has no order, so ties cannot be broken; hint: leave it out of the query below the window, or sort by other columns"
    )]
    NoOrder {
        /// The name of the column.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// A source to bind a scan to has other columns than the plan was made for.
    #[error("table \"{table}\" now has other columns: {detail}")]
    SourceChanged {
        /// The table, as the plan names it.
        table: String,
        /// The first difference.
        detail: String,
    },
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
