//! `erase`: rows taken out of a streaming table for good, after a confirmation.

use std::io::IsTerminal as _;

use ingot_dialect::{Diagnostic, client_condition};
use ingot_pipeline::erase::{Asked, Erasure, Raw};
use ingot_project::project::SqlFile;

use crate::args::{EraseArgs, Global};
use crate::open::{self, Failure};
use crate::process;
use crate::tell::{self, note, say};

pub async fn erase(global: &Global, args: &EraseArgs) -> Result<u8, Failure> {
    let text = condition(&args.condition);
    let condition = client_condition(&text).map_err(|d| wrong(global, &text, *d))?;
    let engine = open::engine(global).await?;
    let table = open::table(engine.project(), &args.table)?;
    let selected = open::selection(global, engine.project())?;
    let excluded = engine.project().tables.keys().filter(|name| !selected.contains(*name)).cloned().collect();
    let raw = match (args.raw_kept, args.raw_matching.is_empty()) {
        (true, _) => Raw::Kept,
        (false, true) => Raw::Compared,
        (false, false) => Raw::Texts(args.raw_matching.clone()),
    };
    let asked = Asked { table, condition, raw, excluded };
    let stop = process::stop_on_signals()?;
    if args.dry_run {
        show(global, &engine.erasure(&asked).await?)?;
        note!("nothing was changed");
        return Ok(0);
    }
    let Some(_lease) = process::lease(&engine, None, &stop).await? else {
        return Ok(process::no_lease(None));
    };
    let found = engine.erasure(&asked).await?;
    if !global.yes {
        show(&Global { json: false, ..global.clone() }, &found)?;
        ask(&found)?;
    }
    let told = |line: &str| {
        if !global.quiet && !global.json {
            note!("{line}");
        }
    };
    let done = engine.erase(&asked, &stop, &told).await?;
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "erased": done }))?;
        return Ok(0);
    }
    show(global, &done.erasure)?;
    say!("{} snapshots forgotten, {} files deleted", done.snapshots, done.files_deleted)?;
    note!("a topic keeps its messages as long as it is set to: `ingot refresh --full` would read them again");
    Ok(0)
}

/// The condition, with WHERE before it or not.
fn condition(words: &[String]) -> String {
    let text = words.join(" ");
    let trimmed = text.trim();
    let (first, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    if first.eq_ignore_ascii_case("where") { rest.trim().to_owned() } else { trimmed.to_owned() }
}

fn show(global: &Global, found: &Erasure) -> Result<(), Failure> {
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "would_erase": found }))?;
        return Ok(());
    }
    say!("{}  {} rows, in {} files", found.table, found.rows, found.files)?;
    for side in &found.errors {
        let texts: Vec<String> = side.texts.iter().map(|text| format!("\"{text}\"")).collect();
        match texts.is_empty() {
            true => say!("{}  {} messages that did not decode are not looked into", side.table, side.stored)?,
            false => say!(
                "{}  {} of {} messages that did not decode, whose key, payload or reason holds {} as text (numbers, base64, and \
                 values of binary formats are not found)",
                side.table,
                side.rows,
                side.stored,
                texts.join(" or ")
            )?,
        }
    }
    for reader in &found.readers {
        say!("{reader}  follows")?;
    }
    for reader in &found.kept {
        say!("{reader}  keeps what it has taken: erase there, too")?;
    }
    Ok(())
}

/// Asks on a terminal; elsewhere the answer must have been given.
fn ask(found: &Erasure) -> Result<(), Failure> {
    let nothing = |text: &str| Failure::Usage(format!("nothing was erased: {text}"));
    if !std::io::stdin().is_terminal() {
        return Err(nothing("confirm with --yes"));
    }
    let errors: u64 = found.errors.iter().map(|side| side.rows).sum();
    tell::aside(format_args!(
        "Erase {} row(s) and {errors} error row(s), and all history of these tables? They cannot be had back. [y/N] ",
        found.rows
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(nothing("it was not confirmed")),
    }
}

fn wrong(global: &Global, text: &str, diagnostic: Diagnostic) -> Failure {
    let path = "condition".to_owned();
    Failure::Project {
        diagnostics: vec![Diagnostic { file: Some(path.clone()), ..diagnostic }],
        files: vec![SqlFile { path, text: text.to_owned() }],
        json: global.json,
        color: false,
    }
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn where_may_stand_before_the_condition() {
        let said = |words: &[&str]| condition(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(&["WHERE", "id = 1"]), "id = 1");
        assert_eq!(said(&["where id = 1 "]), "id = 1");
        assert_eq!(said(&["where_from = 1"]), "where_from = 1");
        assert_eq!(said(&["id", "=", "1"]), "id = 1");
        assert_eq!((said(&[]), said(&["WHERE", ""])), (String::new(), String::new()));
    }
}
