//! `prune`: drops the columns that streaming tables have left out, after a confirmation.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use ingot_model::TableName;
use ingot_pipeline::prune::Prunable;

use crate::args::Global;
use crate::open::{self, Failure};
use crate::process;
use crate::tell::{self, note, say};

pub async fn prune(global: &Global, tables: &[String]) -> Result<u8, Failure> {
    let engine = open::engine(global).await?;
    let mut selected = open::selection(global, engine.project())?;
    if !tables.is_empty() {
        let named = tables.iter().map(|name| open::table(engine.project(), name)).collect::<Result<Vec<_>, _>>()?;
        selected.retain(|name| named.contains(name));
    }
    let stop = process::stop_on_signals()?;
    let Some(_lease) = process::lease(&engine, None, &stop).await? else {
        return Ok(process::no_lease(None));
    };
    let (kept, drop): (Vec<_>, Vec<_>) =
        engine.prunable(&|n| selected.contains(n)).await?.into_iter().partition(|p| p.kept.is_some());
    for p in &kept {
        note!("{}  column \"{}\" stays: {}", p.table, p.column, p.kept.as_deref().unwrap_or_default());
    }
    if !drop.is_empty() && !global.yes {
        ask(&drop)?;
    }
    let mut by_table: BTreeMap<&TableName, Vec<String>> = BTreeMap::new();
    for p in &drop {
        by_table.entry(&p.table).or_default().push(p.column.clone());
    }
    for (table, columns) in &by_table {
        engine.prune(table, columns).await?;
        if !global.json {
            for column in columns {
                say!("{table}  column \"{column}\" dropped")?;
            }
        }
    }
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "dropped": by_table }))?;
    } else if drop.is_empty() {
        say!("nothing to drop")?;
    }
    Ok(0)
}

/// Asks on a terminal; elsewhere the answer must have been given.
fn ask(drop: &[Prunable]) -> Result<(), Failure> {
    for p in drop {
        note!("{}  column \"{}\" and its values would be dropped", p.table, p.column);
    }
    let nothing = |text: &str| Failure::Usage(format!("nothing was dropped: {text}"));
    if !std::io::stdin().is_terminal() {
        return Err(nothing("confirm with --yes"));
    }
    tell::aside(format_args!("Drop {} column(s)? Their values cannot be had back. [y/N] ", drop.len()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(nothing("it was not confirmed")),
    }
}
