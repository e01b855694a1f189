//! `infer`: the statement that declares a table which another engine writes.
//!
//! Invariants
//! * What is printed is what `check` takes and what the table fits; columns that no declaration has are named beside it.
//! * The project's files are not asked: they may be wrong for want of this very statement.

use ingot_dialect::format::format_file;
use ingot_dialect::identifier;
use ingot_lake::Table;
use ingot_model::TableName;

use crate::args::Global;
use crate::open::{self, Failure};
use crate::tell::{note, say};

pub async fn infer(global: &Global, tables: &[String]) -> Result<u8, Failure> {
    let engine = open::lake_alone(global).await?;
    let catalog = &engine.config().catalog.name;
    let mut all = Vec::new();
    for (at, written) in tables.iter().enumerate() {
        let name = table_name(written, catalog)?;
        let Some(table) = engine.lake().load_table(&name).await? else {
            return Err(ingot_lake::LakeError::TableMissing(name).into());
        };
        let (sql, left_out) = statement(&name, &table)?;
        if global.json {
            all.push(serde_json::json!({ "table": name.to_string(), "sql": sql, "left_out": left_out }));
            continue;
        }
        if at > 0 {
            say!()?;
        }
        say!("{}", sql.trim_end())?;
        for text in &left_out {
            say!("-- left out: {text}")?;
        }
    }
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "tables": all }))?;
    } else if !global.quiet {
        note!("another engine writes such a table: models read it, and nothing is ever written into it");
    }
    Ok(0)
}

/// A table's name as typed, with or without the catalog's.
fn table_name(written: &str, catalog: &str) -> Result<TableName, Failure> {
    let bare = written.strip_prefix(catalog).and_then(|rest| rest.strip_prefix('.')).filter(|rest| rest.contains('.'));
    bare.unwrap_or(written).parse().map_err(|e| Failure::Usage(format!("\"{written}\" is no table's name: {e}")))
}

/// The statement, and the columns that it leaves out with the reason.
fn statement(name: &TableName, table: &Table) -> Result<(String, Vec<String>), Failure> {
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    for column in table.declaration() {
        let (of, why) = match column.sql_type {
            Ok(_) if column.name.to_lowercase().starts_with("_ingot") => (None, "its name is reserved".to_owned()),
            Ok(_) if !seen.insert(column.name.to_lowercase()) => {
                (None, "another differs from it only in case".to_owned())
            }
            Ok(of) => (Some(of), String::new()),
            Err(why) => (None, why),
        };
        let Some(of) = of else {
            left_out.push(format!("column \"{}\": {why}", column.name));
            continue;
        };
        let mut text = format!("{} {of}", identifier(&column.name));
        if column.not_null {
            text.push_str(" NOT NULL");
        }
        if let Some(comment) = column.comment {
            text.push_str(&format!(" COMMENT '{}'", comment.replace('\'', "''")));
        }
        columns.push(text);
    }
    let unread = table.unread_columns().iter();
    left_out.extend(unread.map(|c| format!("column \"{}\": the type {} is not read", c.name, c.data_type)));
    if columns.is_empty() {
        return Err(Failure::Usage(format!("table \"{name}\" has no column that can be declared")));
    }
    let parts = name.namespace.levels().chain([name.name.as_str()]).map(identifier).collect::<Vec<_>>().join(".");
    let text = format!("CREATE EXTERNAL TABLE {parts} ({});\n", columns.join(", "));
    // What does not parse is shown as it is, so that it can be mended by hand.
    Ok((format_file("infer.sql", &text).unwrap_or(text), left_out))
}
