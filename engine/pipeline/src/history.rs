//! What a snapshot of ours says that brings no rows.
//!
//! Not here: what refreshes record (`ingot_model::Record`).

use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_model::{KafkaPositions, Record, Refresh};

use crate::error::Result;
use crate::refresh::expectations::Counts;

/// The record of a commit that moves positions or the definition and brings no rows.
///
/// # Errors
/// Positions that are not JSON.
pub fn without_rows(mode: &str, reason: Option<&str>, fingerprint: &str, positions: &KafkaPositions) -> Result<Record> {
    let counts = Counts::new();
    let refresh = Refresh {
        mode,
        reason,
        rows_in: 0,
        rows_out: 0,
        ms: 0,
        fingerprint,
        semantics: ENGINE_SEMANTICS_VERSION,
        counts: &counts,
        now: None,
    };
    let mut record = Record::of(&refresh)?;
    record.set_positions(Some(positions))?;
    Ok(record)
}
