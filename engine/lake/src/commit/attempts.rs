//! Attempts at one commit, until it is in or certainly not: one compare-and-set each.
//!
//! ```text
//!   Commit ─▶ Prepared: manifests ─▶ list ─▶ requirements, updates ─▶ catalog ──done──▶ Table
//!     ▲                                                                  │
//!     │            reload; our commit id in the ancestry? ◀──conflict, unknown
//!     └── Retry ── the guard, asked when the head has moved          found: done   unresolvable: Unknown
//! ```
//!
//! Invariants
//! * All attempts share the commit id; it is in the summary, so an attempt that landed is recognised.
//! * Nothing is committed over a table whose uuid, schema, spec, sort order or last ids differ from those
//!   that the files were written for.
//! * Data files are never deleted here. Metadata of an attempt is, when the attempt certainly failed.
//!
//! Not here: what an attempt writes (`prepare`), whether a batch is still worth committing: the guard decides.

use std::time::{Duration, Instant};

use iceberg::TableRequirement;
use iceberg::spec::SnapshotRef;
use ingot_model::{TableName, commit_id};
use ingot_telemetry::{FAILED, OK, metrics};
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use crate::catalog::version::{Attempted, Outcome};
use crate::commit::added::Added;
use crate::commit::manifest::Removal;
use crate::commit::prepare::{Prepared, remove_quietly};
use crate::commit::request::{Commit, CommitError, Rebase};
use crate::crash;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::{Table, ancestry};

/// How often one commit is rebuilt on a newer base.
const ATTEMPTS_MAX: usize = 64;
/// How often the catalog may refuse one commit, with an error and without effect, before that error is the outcome.
const REFUSALS_MAX: u32 = 3;
/// How often the table is asked about an attempt whose outcome is unknown.
const RELOADS_MAX: u32 = 8;
/// The first pause between those.
const RELOAD_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

impl Lake {
    /// Makes a commit over `base`. `guard` is asked, with the table as it then is, whenever the head has
    /// moved and the commit is not yet in; it must not let a commit pass that the new head makes wrong.
    ///
    /// # Errors
    /// See `CommitError`: only `Unknown` leaves open whether the commit is in.
    pub async fn commit(
        &self,
        base: &Table,
        commit: Commit,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        let (began, added) = (Instant::now(), Added::by(&commit));
        let span = debug_span!(ingot_telemetry::span::COMMIT, table = %base.name());
        let committed = self.attempts(base, commit, guard).instrument(span).await;
        let outcome = match &committed {
            Ok(_) => OK,
            Err(CommitError::Superseded { .. }) => "superseded",
            Err(CommitError::Unknown { .. }) => "unknown",
            Err(CommitError::Failed(_)) => FAILED,
        };
        added.note(base.name(), outcome, began);
        committed
    }

    async fn attempts(
        &self,
        base: &Table,
        mut commit: Commit,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        if commit.commit_id.is_nil() {
            // Two commits without an id would be taken for one.
            commit.commit_id = Uuid::new_v4();
        }
        crash::point("commit.begun", base.name());
        let mut current = base.clone();
        let removal = Removal {
            all: commit.remove_all,
            paths: commit.remove.iter().cloned().collect(),
            deletes: commit.deletes.replaced.clone(),
        };
        let mut refusals = 0;
        // An earlier attempt that the catalog refused may be in its log, and come back when it recovers.
        let mut doubt: Option<LakeError> = None;
        for _ in 0..ATTEMPTS_MAX {
            // A caller that asks again after an unknown outcome may hold a base that has the commit, and an attempt that
            // the catalog refused may have come back.
            if landed(&current, commit.commit_id) {
                return Ok(current);
            }
            let required = requirements_of(base);
            check_definition(&required, base, &current)?;
            let prepared = match Prepared::over(self, &current, &commit, &removal).await {
                Err(CommitError::Failed(error)) => {
                    // Files of an old base may be gone by now: then the base is to blame, not the store.
                    current = self.newer(&current, commit.commit_id, error, guard).await?;
                    continue;
                }
                prepared => prepared?,
            };
            let Prepared { table, requirement, updates, manifests, left } = prepared;
            let requirements: Vec<_> = required.into_iter().chain([requirement]).collect();
            let sent = self.0.catalog.commit(current.name(), &current.version(), &requirements, updates).await;
            let unknown = match sent {
                Ok(Outcome::Done(version)) => {
                    crash::point("commit.done", current.name());
                    if let Some(left) = left {
                        if !left.forgotten.is_empty() {
                            let forgotten = left.forgotten.len() as u64;
                            metrics().snapshots_forgotten.add([&current.name().to_string()], forgotten);
                        }
                        self.0.garbage.note(table.uuid(), left);
                    }
                    return Ok(table.at(version));
                }
                Ok(Outcome::Conflict) => None,
                Ok(Outcome::Unknown { error, attempt }) => Some((error, attempt)),
                Err(error) => {
                    remove_quietly(self, &manifests).await;
                    if matches!(error, LakeError::Catalog { .. }) {
                        return Err(error.into());
                    }
                    current = self.newer(&current, commit.commit_id, error, guard).await?;
                    continue;
                }
            };
            crash::point("commit.conflict", current.name());
            let now = match self.reload(current.name(), unknown.is_some() || doubt.is_some()).await {
                Ok(now) => now,
                Err(error) if unknown.is_some() || doubt.is_some() => {
                    return Err(CommitError::Unknown {
                        table: current.name().clone(),
                        commit_id: commit.commit_id,
                        source: Box::new(error),
                    });
                }
                Err(error) => {
                    remove_quietly(self, &manifests).await;
                    return Err(error.into());
                }
            };
            if landed(&now, commit.commit_id) {
                return Ok(now);
            }
            match unknown {
                None => remove_quietly(self, &manifests).await,
                Some((error, attempt)) => {
                    let error = resolve(&attempt, &now, &current, commit.commit_id, error)?;
                    let unwritten = error.is_unwritten();
                    if unwritten {
                        remove_quietly(self, &manifests).await;
                        self.0.catalog.discard(&attempt).await;
                    }
                    refusals += 1;
                    if refusals == REFUSALS_MAX {
                        return Err(error.into());
                    }
                    doubt = doubt.or(if unwritten { None } else { Some(error) });
                    tokio::time::sleep(RELOAD_PAUSE).await;
                }
            }
            current = rebase(&current, now, guard)?;
        }
        if landed(&current, commit.commit_id) {
            return Ok(current);
        }
        Err(CommitError::Superseded { reason: format!("other commits came first {ATTEMPTS_MAX} times"), current })
    }

    /// The table as it is now, if that is another version than `current`; else the error.
    async fn newer(
        &self,
        current: &Table,
        commit_id: Uuid,
        error: LakeError,
        guard: &(dyn Fn(&Table) -> Rebase + Send + Sync),
    ) -> Result<Table, CommitError> {
        match self.load_table(current.name()).await {
            Ok(Some(now)) if landed(&now, commit_id) => Ok(now),
            Ok(Some(now)) if now.metadata_location() != current.metadata_location() => rebase(current, now, guard),
            Ok(None) => Err(LakeError::TableMissing(current.name().clone()).into()),
            _ => Err(error.into()),
        }
    }

    /// The table as it is now; patiently, when an outcome depends on it.
    async fn reload(&self, name: &TableName, patiently: bool) -> Result<Table> {
        let mut pause = RELOAD_PAUSE;
        for left in (0..RELOADS_MAX).rev() {
            match self.load_table(name).await {
                Ok(Some(table)) => return Ok(table),
                Ok(None) => return Err(LakeError::TableMissing(name.clone())),
                Err(error) if left == 0 || !patiently => return Err(error),
                Err(error) => {
                    tracing::warn!(table = %name, %error, "table not readable after a commit");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Err(LakeError::TableMissing(name.clone()))
    }
}

/// The version to try next. The guard is asked when the head has moved.
fn rebase(current: &Table, now: Table, guard: &(dyn Fn(&Table) -> Rebase + Send + Sync)) -> Result<Table, CommitError> {
    if (now.head(), now.uuid()) != (current.head(), current.uuid())
        && let Rebase::Abandon(reason) = guard(&now)
    {
        return Err(CommitError::Superseded { reason, current: now });
    }
    Ok(now)
}

fn commit_id_of(snapshot: &SnapshotRef) -> Option<&str> {
    commit_id(&snapshot.summary().additional_properties)
}

/// Whether a commit is in the ancestry of a table's head.
fn landed(table: &Table, commit_id: Uuid) -> bool {
    let id = commit_id.to_string();
    ancestry(table.metadata()).any(|snapshot| commit_id_of(snapshot) == Some(&id))
}

/// What data files and ids depend on: it must be as it was for `base`.
fn requirements_of(base: &Table) -> Vec<TableRequirement> {
    let metadata = base.metadata();
    vec![
        TableRequirement::UuidMatch { uuid: metadata.uuid() },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: metadata.default_partition_spec_id() },
        TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id: metadata.last_partition_id() },
        TableRequirement::DefaultSortOrderIdMatch { default_sort_order_id: metadata.default_sort_order_id() },
    ]
}

/// Refuses a version that was defined anew, before anything is written for it.
fn check_definition(required: &[TableRequirement], base: &Table, current: &Table) -> Result<(), CommitError> {
    for requirement in required {
        if let Err(error) = requirement.check(Some(current.metadata())) {
            return Err(CommitError::Superseded {
                reason: format!("the table was defined anew: {}", error.message()),
                current: current.clone(),
            });
        }
    }
    if base.state_columns() != current.state_columns() {
        return Err(CommitError::Superseded {
            reason: "the table was defined anew: its state columns changed".into(),
            current: current.clone(),
        });
    }
    Ok(())
}

/// An attempt's answer was lost, and its id is not in the ancestry of `now`. Either it certainly did not land, and this
/// gives the error that hid the answer, or this fails.
fn resolve(
    attempt: &Attempted,
    now: &Table,
    base: &Table,
    commit_id: Uuid,
    error: LakeError,
) -> Result<LakeError, CommitError> {
    let metadata = now.metadata();
    let rolled_back = attempt.is_in(now.metadata_location(), metadata)
        || metadata.snapshots().any(|snapshot| commit_id_of(snapshot) == Some(&commit_id.to_string()));
    if rolled_back {
        return Err(CommitError::Superseded {
            reason: "it was committed, and somebody has rolled the table back since".into(),
            current: now.clone(),
        });
    }
    // Had it landed, the base's version would have been followed by ours.
    let followed = now.uuid() == base.uuid()
        && (now.metadata_location() == base.metadata_location()
            || base.head().is_none_or(|head| ancestry(metadata).any(|snapshot| snapshot.snapshot_id() == head)));
    if followed {
        return Ok(error);
    }
    Err(CommitError::Unknown { table: now.name().clone(), commit_id, source: Box::new(error) })
}
