//! `plan`: prints the value that `run` executes.

use crate::args::Global;
use crate::open::{self, Failure};
use crate::tell::{note, say};

pub async fn plan(global: &Global, exit_code: bool) -> Result<u8, Failure> {
    let engine = open::planned(global).await?;
    if let Err(nothing) = engine.lake().present() {
        note!("{nothing}; `ingot run` makes it");
    }
    let selected = open::selection(global, engine.project())?;
    let plan = engine.plan(&|n| selected.contains(n)).await?;
    if global.json {
        say!("{}", serde_json::to_string_pretty(&plan).map_err(|e| Failure::Outside(e.to_string()))?)?;
    } else {
        say!("{plan}")?;
    }
    Ok(match exit_code {
        true if plan.has_rebuild() => 11,
        true if plan.has_work() => 10,
        _ => 0,
    })
}
