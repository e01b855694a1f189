//! Views that read a clock: due although none of their inputs moved.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use ingot_lake::Table;
use ingot_project::project::Model;

use super::recorded::recorded_now;
use super::{Engine, Seen};
use crate::error::Result;
use crate::refresh::Job;

/// A view that reads a clock is computed at most a tenth of the time.
const SEEN_PAUSES: u32 = 9;

impl Engine {
    /// Whether a view that reads a clock is due although none of its inputs moved.
    pub(super) fn aged(&self, model: &Model, table: &Table) -> Option<String> {
        if model.is_streaming() {
            return None;
        }
        let clock = ingot_delta::clock(&model.plan)?;
        let (recorded, _) = recorded_now(table)?;
        let told = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&model.name).cloned();
        let (at, took) = match told.filter(|told| Some(told.head) == table.head()) {
            Some(told) => (told.now.max(recorded), told.took),
            None => (recorded, Duration::ZERO),
        };
        let now = Utc::now();
        let freshness = Duration::from_millis(self.config.run.freshness_ms);
        let pause = freshness.max(took * SEEN_PAUSES);
        let passed = (now - at).to_std().unwrap_or_default();
        let moved = clock == ingot_delta::Clock::Always || now.date_naive() != at.date_naive();
        (moved && passed >= pause).then(|| {
            format!("it compares with now(), which moved since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
        })
    }

    /// A view that only the clock asks for is computed and compared first: most of the time no row is another one.
    pub(super) async fn unchanged_by_the_clock(&self, job: &Job<'_>, target: &Table) -> Result<bool> {
        let Some(head) = target.head() else { return Ok(false) };
        let started = Instant::now();
        let same = job.is_what_is_stored(target).await?;
        if same {
            let told = Seen { head, now: job.now, took: started.elapsed() };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(job.model.name.clone(), told);
        }
        Ok(same)
    }
}
