//! Columns of types that are not read (`variant`, `geometry`): taken out of a schema, so that the rest of its table is read.
//!
//! ```text
//!   metadata or a manifest's header, as JSON ──▶ take_out() ──▶ schema that the parser takes
//!                                                    └──▶ UnreadColumn: name and type, for errors
//! ```
//!
//! Invariants
//! * A column that is taken out holds nothing that is read: of a struct the fields that are known stay, a list or map goes whole.
//! * What is left is for reading: a table with such a column is never written by us.
//!
//! Not here: finding the columns in data files, which goes by field id (`read::adapt`).

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::table::refs::Ref;

/// Types without parameters that the parser knows.
const PLAIN_TYPES: &[&str] = &[
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "timestamp_ns",
    "timestamptz_ns",
    "string",
    "uuid",
    "binary",
];
/// Types with parameters, as they begin.
const OPEN_TYPES: &[&str] = &["decimal(", "fixed["];

/// Types whose defaults the parser drops without a word.
const DROPPED_DEFAULTS: &[&str] = &["timestamp_ns", "timestamptz_ns"];

/// A column, or a field within one, that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadColumn {
    /// Its name; of a field within a column the whole path, with points.
    pub name: String,
    /// Its type, as the metadata has it.
    pub data_type: String,
}

/// What a metadata file holds and its parsed form does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Columns of any of the table's schemas.
    pub(crate) columns: Vec<UnreadColumn>,
    /// Whether the partitions that new rows would have are unknown: the spec needs a column that is gone.
    pub(crate) partition: bool,
    /// The branches and tags of a table of the first format version.
    pub(crate) refs: BTreeMap<String, Ref>,
}

impl Unread {
    /// Why the table cannot be written, where it cannot.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self.columns.first() {
            Some(UnreadColumn { name, data_type }) => {
                Some(format!("writing a table whose column \"{name}\" has the type \"{data_type}\""))
            }
            None if self.partition => Some("writing a table whose partition spec needs a column that is gone".into()),
            None => None,
        }
    }
}

/// Takes out of a metadata file what the parser does not take and rows can be read without.
pub(crate) fn of_metadata(metadata: &mut Value) -> Unread {
    let mut unread = Unread::default();
    let listed = metadata.get_mut("schemas").and_then(Value::as_array_mut).into_iter().flatten();
    listed.for_each(|schema| take_out(schema, &mut unread.columns));
    if let Some(schema) = metadata.get_mut("schema") {
        take_out(schema, &mut unread.columns);
    }
    let mut seen = HashSet::new();
    unread.columns.retain(|column| seen.insert((column.name.clone(), column.data_type.clone())));
    unread.partition = replace_spec(metadata).unwrap_or(false);
    unread
}

/// Takes the columns that are not read out of a schema, and adds them to `out`.
pub(crate) fn take_out(schema: &mut Value, out: &mut Vec<UnreadColumn>) {
    if let Some(fields) = schema.get_mut("fields").and_then(Value::as_array_mut) {
        keep_fields(fields, "", out);
    }
}

fn keep_fields(fields: &mut Vec<Value>, path: &str, out: &mut Vec<UnreadColumn>) {
    fields.retain_mut(|field| {
        let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        // The parser drops a default that it does not understand, and the column would be NULL where it has one.
        let has_default = field.get("initial-default").is_some_and(|default| !default.is_null());
        let of = field.get("type").and_then(Value::as_str).unwrap_or_default();
        if has_default && DROPPED_DEFAULTS.contains(&of) {
            out.push(UnreadColumn { name: path, data_type: format!("{of} with a default") });
            return false;
        }
        field.get_mut("type").is_none_or(|of| keep(of, &path, out))
    });
}

/// Whether a type is read, perhaps without some of its fields.
fn keep(of: &mut Value, path: &str, out: &mut Vec<UnreadColumn>) -> bool {
    let mut unknown = |name: &str| {
        out.push(UnreadColumn { name: path.to_owned(), data_type: name.to_owned() });
        false
    };
    if let Value::String(name) = of {
        let known = PLAIN_TYPES.contains(&name.as_str()) || OPEN_TYPES.iter().any(|open| name.starts_with(open));
        return known || unknown(name);
    }
    let kind = of.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let parts: &[&str] = match kind.as_str() {
        "struct" => {
            let Some(fields) = of.get_mut("fields").and_then(Value::as_array_mut) else { return true };
            let were = fields.len();
            keep_fields(fields, path, out);
            return were == 0 || !fields.is_empty();
        }
        "list" => &["element"],
        "map" => &["key", "value"],
        other => return unknown(other),
    };
    // Every part is looked at, so that each unread one is named.
    let kept = parts.iter().filter(|part| match of.get_mut(**part) {
        Some(inner) => keep(inner, &format!("{path}.{part}"), out),
        None => true,
    });
    kept.count() == parts.len()
}

/// Where the default spec needs a column that the current schema does not have, as a dropped column of an old partition
/// leaves it: an empty spec as the default one. Files keep the specs that they were written with.
fn replace_spec(metadata: &mut Value) -> Option<bool> {
    let current = metadata.get("current-schema-id").and_then(Value::as_i64);
    let listed = metadata.get("schemas").and_then(Value::as_array);
    let schema = listed
        .and_then(|all| all.iter().find(|schema| schema.get("schema-id").and_then(Value::as_i64) == current))
        .or(metadata.get("schema"))?;
    let mut ids = HashSet::new();
    field_ids(schema, &mut ids);
    if metadata.get("partition-specs").is_none() {
        // The oldest files have the fields alone.
        let mut fields = metadata.get("partition-spec")?.clone();
        for (place, field) in fields.as_array_mut()?.iter_mut().enumerate() {
            field.as_object_mut()?.entry("field-id").or_insert_with(|| json!(1000 + place));
        }
        let object = metadata.as_object_mut()?;
        object.insert("partition-specs".into(), json!([{"spec-id": 0, "fields": fields}]));
        object.insert("default-spec-id".into(), json!(0));
    }
    let default = metadata.get("default-spec-id").and_then(Value::as_i64).unwrap_or(0);
    let specs = metadata.get_mut("partition-specs")?.as_array_mut()?;
    let id_of = |spec: &Value| spec.get("spec-id").and_then(Value::as_i64).unwrap_or_default();
    let fields = specs.iter().find(|spec| id_of(spec) == default)?.get("fields")?.as_array()?;
    let source = |field: &Value| field.get("source-id").and_then(Value::as_i64);
    if fields.iter().all(|field| source(field).is_none_or(|id| ids.contains(&id))) {
        return Some(false);
    }
    let unused = specs.iter().map(id_of).max().unwrap_or_default() + 1;
    specs.push(json!({"spec-id": unused, "fields": []}));
    metadata.as_object_mut()?.insert("default-spec-id".into(), json!(unused));
    Some(true)
}

/// The ids of all fields of a schema, nested ones included.
pub(crate) fn field_ids(of: &Value, ids: &mut HashSet<i64>) {
    match of {
        Value::Object(object) => {
            for (name, value) in object {
                match name.as_str() {
                    "id" | "element-id" | "key-id" | "value-id" => ids.extend(value.as_i64()),
                    // Defaults are values, whatever their keys are.
                    "initial-default" | "write-default" => {}
                    _ => field_ids(value, ids),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| field_ids(value, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stays() {
        let mut schema = json!({"type": "struct", "schema-id": 0, "fields": [
            {"id": 1, "name": "id", "required": true, "type": "long"},
            {"id": 2, "name": "v", "required": false, "type": "variant"},
            {"id": 3, "name": "s", "required": false, "type": {"type": "struct", "fields": [
                {"id": 4, "name": "a", "required": false, "type": "decimal(9, 2)"},
                {"id": 5, "name": "g", "required": false, "type": "geometry(OGC:CRS84)"}]}},
            {"id": 6, "name": "l", "required": false, "type": {"type": "list", "element-id": 7, "element-required": false,
                "element": "unknown"}},
            {"id": 8, "name": "m", "required": false, "type": {"type": "map", "key-id": 9, "key": "string", "value-id": 10,
                "value-required": false, "value": {"type": "struct", "fields": [
                    {"id": 11, "name": "x", "required": false, "type": "geography"}]}}}]});
        let mut out = Vec::new();
        take_out(&mut schema, &mut out);
        let named: Vec<_> = out.iter().map(|c| (c.name.as_str(), c.data_type.as_str())).collect();
        assert_eq!(
            named,
            [("v", "variant"), ("s.g", "geometry(OGC:CRS84)"), ("l.element", "unknown"), ("m.value.x", "geography")]
        );
        let left: Vec<_> = schema["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
        assert_eq!(left, ["id", "s"]);
        assert_eq!(schema["fields"][1]["type"]["fields"].as_array().unwrap().len(), 1);
    }
}
