//! `verify`: the law as a command.

use ingot_pipeline::verify::{Verdict, Verified, is_gone};

use crate::args::Global;
use crate::open::{self, Failure};
use crate::show;
use crate::tell::say;

pub async fn verify(global: &Global, tables: &[String]) -> Result<u8, Failure> {
    let engine = open::present(global).await?;
    let selected = open::selection(global, engine.project())?;
    let mut names = vec![];
    for name in tables {
        names.push(open::table(engine.project(), name)?);
    }
    if names.is_empty() {
        names = engine.project().order.iter().filter(|n| selected.contains(*n)).cloned().collect();
    }
    let mut all = vec![];
    for name in &names {
        let verified = match engine.verify(name).await {
            Ok(v) => v,
            Err(e) if is_gone(&e) => Verified {
                table: name.clone(),
                verdict: Verdict::Unverifiable { reason: e.to_string() },
                warnings: vec![],
                seconds: 0.0,
            },
            Err(e) => Verified {
                table: name.clone(),
                verdict: Verdict::Failed {
                    code: e.code().to_owned(),
                    message: e.to_string(),
                    exit_code: e.exit_code(),
                },
                warnings: vec![],
                seconds: 0.0,
            },
        };
        if !global.json {
            print(&verified)?;
        }
        all.push(verified);
    }
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "tables": all }))?;
    }
    // A difference is graver than what cannot be compared.
    let codes: Vec<u8> = all.iter().map(Verified::exit_code).collect();
    Ok(if codes.contains(&1) { 1 } else { codes.into_iter().max().unwrap_or(0) })
}

pub fn print(v: &Verified) -> std::io::Result<()> {
    match &v.verdict {
        Verdict::Equal { rows, how } => {
            say!("{}  equal: {} rows {how}, {}", v.table, show::number(*rows), show::age(v.seconds))?;
        }
        Verdict::Consistent { rows, reason } => {
            say!(
                "{}  consistent: {} rows agree with the recorded counts and positions; not compared: {reason}",
                v.table,
                show::number(*rows)
            )?;
        }
        Verdict::Failed { code, message, .. } => say!("{}  failed: error[{code}]: {message}", v.table)?,
        Verdict::Unverifiable { reason } => say!("{}  unverifiable: {reason}", v.table)?,
        Verdict::Different { findings } => {
            say!("{}  DIFFERENT", v.table)?;
            for f in findings {
                say!("    {}", f.replace('\n', "\n    "))?;
            }
        }
    }
    for w in &v.warnings {
        say!("    warning: {w}")?;
    }
    Ok(())
}
