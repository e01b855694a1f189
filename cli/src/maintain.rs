//! `maintain`: upkeep of tables now, or what it would do.

use ingot_lake::{LakeError, Lease};
use ingot_pipeline::engine::StepError;
use ingot_pipeline::error::PipelineError;
use ingot_pipeline::maintain::{Maintained, TableMaintained};

use crate::args::Global;
use crate::open::{self, Failure};
use crate::tell::{note, say};
use crate::{process, show};

pub async fn maintain(global: &Global, tables: &[String], dry_run: bool) -> Result<u8, Failure> {
    if dry_run {
        // Nothing is made to be looked at.
        open::present(global).await?;
    }
    let engine = open::engine(global).await?;
    let mut selected = open::selection(global, engine.project())?;
    if !tables.is_empty() {
        let named = tables.iter().map(|name| open::table(engine.project(), name)).collect::<Result<Vec<_>, _>>()?;
        selected.retain(|name| named.contains(name));
    }
    let stop = process::stop_on_signals()?;
    // Another process may run refreshes that read what this one would forget: it forgets by itself.
    let lease = if dry_run { None } else { Lease::acquire(engine.lake(), &engine.config().lease_key()).ok() };
    if dry_run || lease.is_some() {
        engine.tell_readers().await;
    }
    let told = |line: &str| {
        if !global.quiet && !global.json {
            note!("{line}");
        }
    };
    let mut all = vec![];
    for name in engine.project().order.iter().filter(|name| selected.contains(*name)) {
        if stop.is_cancelled() {
            break;
        }
        let maintained = tokio::select! {
            maintained = engine.maintain(name, dry_run, &told) => maintained,
            () = stop.cancelled() => break,
        };
        all.push(match maintained {
            // One that is yet to be made has nothing to keep in shape.
            Err(PipelineError::Lake(LakeError::TableMissing(_))) if tables.is_empty() => continue,
            Ok(done) => TableMaintained { table: name.clone(), done, error: None },
            Err(e) => {
                TableMaintained { table: name.clone(), done: Maintained::default(), error: Some(StepError::from(&e)) }
            }
        });
    }
    tell(global, &all, dry_run)?;
    let failed = all.iter().filter_map(|t| t.error.as_ref()).map(|e| e.exit_code).min();
    Ok(if stop.is_cancelled() { 143 } else { failed.unwrap_or(0) })
}

fn tell(global: &Global, all: &[TableMaintained], dry_run: bool) -> Result<(), Failure> {
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "dry_run": dry_run, "tables": all }))?;
        return Ok(());
    }
    let change = |before: usize, after: usize| match before == after {
        true => before.to_string(),
        false => format!("{before} to {after}"),
    };
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|t| {
            let d = &t.done;
            let small = match (d.files_in, dry_run) {
                (0, _) => "-".to_owned(),
                (n, true) => format!("{n}, {}", show::bytes(d.bytes_rewritten)),
                (n, false) => format!("{n} to {}, {}", d.files_out, show::bytes(d.bytes_rewritten)),
            };
            let orphans = match d.orphans {
                0 => "-".to_owned(),
                n => format!("{n}, {}", show::bytes(d.orphan_bytes)),
            };
            let (manifests, snapshots) = (change(d.manifests.0, d.manifests.1), change(d.snapshots.0, d.snapshots.1));
            vec![t.table.to_string(), small, manifests, snapshots, orphans]
        })
        .collect();
    show::table(&["table", "small files", "manifests", "snapshots", "files without a name"], &rows)?;
    for t in all {
        if let Some(e) = &t.error {
            note!("{}  failed: error[{}]: {}", t.table, e.code, e.message);
            if let Some(hint) = &e.hint {
                note!("   = help: {hint}");
            }
        }
    }
    if dry_run {
        note!("nothing was changed");
    }
    Ok(())
}
