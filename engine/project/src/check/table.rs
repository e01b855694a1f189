//! What stands around a query: clauses against its columns, and the definition of the stored table.
//!
//! Invariants
//! * Clauses name output columns; a transform fits its column's type.
//! * The definition holds nothing that is not in the file.
//!
//! Not here: the query itself (`resolve`), side tables' definitions (`side`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::{Clauses, Ident, Pair, TableDef, Transform};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_model::file_settings::{self, Refused};
use ingot_model::{Column, Definition, PartitionBy, SortBy, place};

use super::output::find_column;
use super::types::type_word;

/// NOT NULL and comment by column.
pub(crate) type Annotations = BTreeMap<String, (bool, Option<String>)>;

/// The stored schema: the query's columns with NOT NULL from the list.
pub(crate) fn schema(columns: &[Field], annotations: &Annotations) -> Schema {
    let not_null = |name: &str| annotations.get(name).is_some_and(|(n, _)| *n);
    Schema::new(columns.iter().map(|f| f.clone().with_nullable(!not_null(f.name()))).collect::<Vec<_>>())
}

/// The definition of a table, with complaints about its clauses.
pub(crate) fn definition(
    file: &str,
    table: &TableDef,
    schema: &Schema,
    annotations: &Annotations,
    found: &mut Vec<Diagnostic>,
) -> Definition {
    let clauses = &table.clauses;
    let key = primary_key(file, table, schema, found);
    let columns = schema
        .fields()
        .iter()
        .map(|f| Column {
            name: f.name().clone(),
            data_type: f.data_type().clone(),
            nullable: f.is_nullable(),
            comment: annotations.get(f.name()).and_then(|(_, c)| c.clone()),
        })
        .collect();
    let mut properties = self::properties(file, clauses, found);
    if let Some(comment) = &clauses.comment {
        properties.insert("comment".to_owned(), comment.node.clone());
    }
    if file_settings::is_version_3(&properties) {
        found.extend(lineage_names(file, table, schema));
    }
    let mut definition = Definition {
        columns,
        state_columns: Vec::new(),
        partition: partition(file, clauses, schema, found),
        sort: sort(file, clauses, schema, found),
        properties,
    };
    definition.set_primary_key(&key);
    definition
}

pub(crate) fn primary_key(file: &str, table: &TableDef, schema: &Schema, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(key) = &table.columns.primary_key else { return Vec::new() };
    let mut out = Vec::new();
    for ident in key {
        match find_column(file, schema, ident, "N0315", "PRIMARY KEY column") {
            Ok(field) if out.contains(field.name()) => found.push(twice(file, ident, "PRIMARY KEY")),
            Ok(field) => out.push(field.name().clone()),
            Err(d) => found.push(*d),
        }
    }
    out
}

fn twice(file: &str, ident: &Ident, list: &str) -> Diagnostic {
    Diagnostic::error("N0316", format!("{list} names \"{}\" twice", ident.value))
        .at(file, ident.span)
        .help("remove one")
}

fn partition(file: &str, clauses: &Clauses, schema: &Schema, found: &mut Vec<Diagnostic>) -> Vec<PartitionBy> {
    let mut out: Vec<PartitionBy> = Vec::new();
    let mut timed: BTreeSet<String> = BTreeSet::new();
    for t in clauses.partitioned_by.iter().flatten() {
        let ident = t.node.column();
        let field = match find_column(file, schema, ident, "N0314", "PARTITIONED BY column") {
            Ok(field) => field,
            Err(d) => {
                found.push(*d);
                continue;
            }
        };
        if let Some(d) = misfit(file, &t.node, t.span, field) {
            found.push(d);
            continue;
        }
        let by = PartitionBy { column: field.name().clone(), transform: transform(&t.node) };
        let is_time =
            matches!(t.node, Transform::Years(_) | Transform::Months(_) | Transform::Days(_) | Transform::Hours(_));
        if out.contains(&by) {
            found.push(twice(file, ident, "PARTITIONED BY"));
        } else if is_time && !timed.insert(by.column.clone()) {
            found.push(
                Diagnostic::error("N0316", format!("PARTITIONED BY cuts \"{}\" by time twice", by.column))
                    .at(file, t.span)
                    .help("keep the finer one: days include months and years"),
            );
        } else {
            out.push(by);
        }
    }
    out
}

fn transform(t: &Transform) -> ingot_model::Transform {
    match t {
        Transform::Identity(_) => ingot_model::Transform::Identity,
        Transform::Years(_) => ingot_model::Transform::Year,
        Transform::Months(_) => ingot_model::Transform::Month,
        Transform::Days(_) => ingot_model::Transform::Day,
        Transform::Hours(_) => ingot_model::Transform::Hour,
        Transform::Bucket(n, _) => ingot_model::Transform::Bucket(*n),
        Transform::Truncate(w, _) => ingot_model::Transform::Truncate(*w),
    }
}

fn misfit(file: &str, t: &Transform, span: Span, field: &Field) -> Option<Diagnostic> {
    use DataType as T;
    let data_type = field.data_type();
    let timestamp = matches!(data_type, T::Timestamp(..));
    let (fits, name, needs) = match t {
        Transform::Identity(_) => (!data_type.is_nested(), "a partition column", "a plain value"),
        Transform::Years(_) => (timestamp || *data_type == T::Date32, "years", "a DATE or a timestamp"),
        Transform::Months(_) => (timestamp || *data_type == T::Date32, "months", "a DATE or a timestamp"),
        Transform::Days(_) => (timestamp || *data_type == T::Date32, "days", "a DATE or a timestamp"),
        Transform::Hours(_) => (timestamp, "hours", "a timestamp"),
        Transform::Bucket(..) => (
            !data_type.is_nested() && !data_type.is_floating() && *data_type != T::Boolean,
            "bucket",
            "a whole number, DECIMAL, text, bytes, UUID or a time",
        ),
        Transform::Truncate(..) => (
            matches!(data_type, T::Int32 | T::Int64 | T::Decimal128(..) | T::Utf8 | T::Binary),
            "truncate",
            "a whole number, DECIMAL, text or bytes",
        ),
    };
    if fits {
        return None;
    }
    let column = field.name();
    let d = Diagnostic::error("T0107", format!("{name} needs {needs}, and \"{column}\" is {}", type_word(data_type)));
    let d = d.at(file, span);
    Some(match (t, data_type) {
        (Transform::Hours(_), T::Date32) => {
            d.help(format!("write days({column})")).suggest(span, format!("days({column})"))
        }
        (_, T::Utf8) => d.help(format!("write bucket(16, {column}), or cast the column in the query")),
        (_, t) if t.is_floating() => d.help("partition by another column"),
        (_, t) if t.is_nested() => d.help("partition by a field of it, selected as a column of its own"),
        _ => d.help("choose another column or transform"),
    })
}

fn sort(file: &str, clauses: &Clauses, schema: &Schema, found: &mut Vec<Diagnostic>) -> Vec<SortBy> {
    let mut out: Vec<SortBy> = Vec::new();
    for s in clauses.sorted_by.iter().flatten() {
        match find_column(file, schema, &s.column, "N0314", "SORTED BY column") {
            Err(d) => found.push(*d),
            Ok(field) if out.iter().any(|o| &o.column == field.name()) => {
                found.push(twice(file, &s.column, "SORTED BY"))
            }
            Ok(field) if field.data_type().is_nested() => found.push(
                Diagnostic::error(
                    "T0107",
                    format!(
                        "SORTED BY needs a plain value, and \"{}\" is {}",
                        field.name(),
                        type_word(field.data_type())
                    ),
                )
                .at(file, s.column.span)
                .help("sort by a field of it, selected as a column of its own"),
            ),
            Ok(field) => out.push(SortBy {
                column: field.name().clone(),
                descending: s.descending,
                nulls_first: s.nulls_first.unwrap_or(s.descending),
            }),
        }
    }
    out
}

fn properties(file: &str, clauses: &Clauses, found: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let pairs = || clauses.properties.iter().flatten();
    let all = pairs().map(|pair| (pair.key.node.clone(), pair.value.node.clone())).collect();
    for pair in pairs() {
        let key = pair.key.node.as_str();
        if let Some(d) = refused(file, pair, &all) {
            found.push(d);
        } else if out.insert(key.to_owned(), pair.value.node.clone()).is_some() {
            let d = Diagnostic::error("P0108", format!("'{key}' is given twice")).at(file, pair.key.span);
            found.push(d.help("keep one of the two"));
        }
    }
    // The version that new tables have anyway says nothing.
    let is_three = file_settings::is_version_3(&out);
    out.retain(|key, _| file_settings::is_stored(key) || is_three);
    out
}

/// Columns under names that Iceberg's format version 3 has for itself.
fn lineage_names(file: &str, table: &TableDef, schema: &Schema) -> Vec<Diagnostic> {
    let taken = |f: &&FieldRef| [place::ROW_ID, place::LAST_UPDATED].contains(&f.name().as_str());
    let refused = |f: &FieldRef| {
        Diagnostic::error("N0106", format!("column \"{}\" has a reserved name", f.name()))
            .at(file, table.name.span())
            .note("Iceberg's format version 3 keeps what it knows of each row under it")
            .help("give it another name, or leave out 'format-version'")
    };
    schema.fields().iter().filter(taken).map(refused).collect()
}

fn refused(file: &str, pair: &Pair, all: &HashMap<String, String>) -> Option<Diagnostic> {
    let (key, value) = (pair.key.node.as_str(), pair.value.node.as_str());
    if key.starts_with("ingot.") || key == "comment" {
        let d = Diagnostic::error("C0102", format!("property '{key}' is set by ingot")).at(file, pair.key.span);
        return Some(d.help("leave it out; COMMENT sets the comment"));
    }
    match file_settings::check(key, value, all).err()? {
        Refused::NoEffect => {
            let d = Diagnostic::error("C0115", format!("property '{key}' has no effect here")).at(file, pair.key.span);
            let known = file_settings::KNOWN;
            if known.contains(&key) {
                return Some(d.help("leave it out: another property here switches it off"));
            }
            let d = match did_you_mean(key, known.iter().copied()) {
                Some(near) => d.help(format!("did you mean '{near}'?")),
                None => d,
            };
            Some(d.help(format!("leave it out; there are: {}", known.join(", "))))
        }
        Refused::Value(instead) => {
            let d = Diagnostic::error("C0102", format!("'{key}' cannot be '{value}'")).at(file, pair.value.span);
            Some(d.help(instead))
        }
    }
}

/// Tags by name.
pub(crate) fn tags(file: &str, clauses: &Clauses, found: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for pair in clauses.tags.iter().flatten() {
        if out.insert(pair.key.node.clone(), pair.value.node.clone()).is_some() {
            let d =
                Diagnostic::error("P0108", format!("tag '{}' is given twice", pair.key.node)).at(file, pair.key.span);
            found.push(d.help("keep one of the two"));
        }
    }
    out
}
