//! What every snapshot of ours says about the refresh that made it.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_lake::summary::{self, KafkaPositions};

use crate::error::Result;
use crate::expectations::Counts;

/// One refresh as its snapshot records it.
pub struct Refreshed<'a> {
    /// `append`, `create`, `incremental`, `full` or `rebuild`.
    pub mode: &'a str,
    pub reason: Option<&'a str>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub ms: u64,
    pub fingerprint: &'a str,
    pub counts: &'a Counts,
    /// now() as the query saw it.
    pub now: Option<DateTime<Utc>>,
}

/// The summary properties of a refresh; positions and sources are added by the caller.
pub fn summary(r: &Refreshed<'_>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::from([
        (summary::FINGERPRINT.to_owned(), r.fingerprint.to_owned()),
        (summary::SEMANTICS.to_owned(), ENGINE_SEMANTICS_VERSION.to_string()),
        (summary::REFRESH_MODE.to_owned(), r.mode.to_owned()),
        (summary::REFRESH_ROWS_IN.to_owned(), r.rows_in.to_string()),
        (summary::REFRESH_ROWS_OUT.to_owned(), r.rows_out.to_string()),
        (summary::REFRESH_MS.to_owned(), r.ms.to_string()),
    ]);
    if let Some(reason) = r.reason {
        out.insert(summary::REFRESH_REASON.to_owned(), reason.to_owned());
    }
    if let Some(now) = r.now {
        out.insert(summary::NOW.to_owned(), now.to_rfc3339_opts(SecondsFormat::Micros, true));
        out.insert(summary::TIME_ZONE.to_owned(), "UTC".to_owned());
    }
    if !r.counts.is_empty()
        && let Ok(json) = summary::to_json(r.counts)
    {
        out.insert(summary::EXPECTATIONS.to_owned(), json);
    }
    out
}

/// The summary properties of a commit that moves positions or the definition and brings no rows.
///
/// # Errors
/// Positions that are not JSON.
pub fn without_rows(
    mode: &str,
    reason: Option<&str>,
    fingerprint: &str,
    positions: &KafkaPositions,
) -> Result<BTreeMap<String, String>> {
    let counts = Counts::new();
    let refreshed = Refreshed { mode, reason, rows_in: 0, rows_out: 0, ms: 0, fingerprint, counts: &counts, now: None };
    let mut out = summary(&refreshed);
    out.insert(summary::KAFKA_POSITIONS.to_owned(), summary::to_json(positions)?);
    Ok(out)
}
