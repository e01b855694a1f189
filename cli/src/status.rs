//! `status`: every table as it is.

use crate::args::Global;
use crate::open::{self, Failure};
use crate::show;
use crate::tell::say;

pub async fn status(global: &Global) -> Result<u8, Failure> {
    let engine = open::present(global).await?;
    let selected = open::selection(global, engine.project())?;
    let all = engine.status(&|n| selected.contains(n)).await?;
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "tables": all }))?;
        return Ok(0);
    }
    let mut rows = vec![];
    for t in &all {
        let lag: Option<i64> = t.positions.values().map(|p| p.lag).sum();
        let last = t.last.as_ref().map(|l| {
            format!(
                "{}: {} in, {} out, {}",
                l.mode,
                show::number(l.rows_in),
                show::number(l.rows_out),
                show::age(l.seconds)
            )
        });
        rows.push(vec![
            t.table.to_string(),
            match (&t.error, t.exists) {
                (Some(_), _) => "unreadable".into(),
                (None, true) => show::number(t.rows),
                (None, false) => "not created".into(),
            },
            t.files.to_string(),
            t.snapshot.map_or_else(|| "-".into(), |s| s.to_string()),
            if t.positions.is_empty() { "-".into() } else { lag.map_or_else(|| "?".into(), |l| l.to_string()) },
            t.age_s.map_or_else(|| "-".into(), show::age),
            last.unwrap_or_else(|| "-".into()),
        ]);
    }
    show::table(&["table", "rows", "files", "snapshot", "lag", "age", "last refresh"], &rows)?;
    say!()?;
    for t in &all {
        say!("{}  {}; {}", t.table, t.kind, t.refresh)?;
        if let Some(history) = t.history_s {
            let deletes = match t.delete_files {
                0 => String::new(),
                n => format!(", {} of deletes", show::number(n)),
            };
            let (files, bytes) = (show::number(t.files), show::bytes(t.bytes));
            let (snapshots, back) = (show::number(t.snapshots as u64), show::age(history));
            say!("    {files} data files of {bytes}{deletes}; {snapshots} snapshots, the oldest {back} old")?;
        }
        if let Some(e) = &t.error {
            say!("    error[{}]: {}", e.code, e.message)?;
        }
        for (p, at) in &t.positions {
            let end = at.end.as_ref().map_or_else(|| "broker away".into(), |e| format!("end {e}"));
            say!("    partition {p}: position {}, {end}", at.position)?;
        }
        if let Some(reason) = t.last.as_ref().and_then(|l| l.reason.as_ref()) {
            say!("    last refresh: {reason}")?;
        }
        for note in &t.notes {
            say!("    note: {note}")?;
        }
    }
    Ok(0)
}
