//! What a user should know of a table beside what happens to it.
//!
//! Invariant: pure. Values in, a text out.

use datafusion::arrow::datatypes::DataType;
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_model::TableName;
use ingot_project::check::type_word;
use ingot_project::project::KeptType;

/// A column that is cast to the type it is stored with, and what to write so that the SQL file says so itself.
pub fn kept(kept: &KeptType) -> String {
    let KeptType { column, stored, given, cast } = kept;
    format!(
        "column \"{column}\" keeps its stored type {}, although its query has {} by the rules of this version: write {cast}",
        type_word(stored),
        type_word(given)
    )
}

/// What is said of a streaming table whose rows so far were made by earlier rules.
pub(crate) fn earlier_rules(version: u32) -> String {
    format!(
        "its rows so far were made by version {version} of SQL's meaning and stay; new ones are made by version \
         {ENGINE_SEMANTICS_VERSION}"
    )
}

/// What becomes of a column that a streaming table's SELECT has no more.
pub fn left_out(table: &TableName, column: &str) -> String {
    format!(
        "column \"{column}\" is not in its SELECT: the stored values stay and new rows have NULL; `ingot prune {table}` drops it"
    )
}

/// A streaming table keeps its rows, so a column cannot become one that their files do not hold: what is wrong, and what
/// to do. `stored` is the type that the rows have, where it is known.
pub fn redefined(table: &TableName, column: &str, stored: Option<&DataType>) -> (String, String) {
    let text =
        format!("column \"{column}\" of \"{table}\" cannot take this type: the rows that are stored keep the old one");
    let cast = stored.map(|old| format!("write CAST(... AS {}), the stored type, ", type_word(old)));
    let hint = format!(
        "{}add a column of another name, or read everything again: ingot refresh {table} --full",
        cast.unwrap_or_default()
    );
    (text, hint)
}
