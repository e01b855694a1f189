//! Which columns of a streaming table keep the type that they are stored with.
//!
//! Invariants
//! * A column is kept where its table was written by this very definition under the rules of an earlier version, or where
//!   the table records that it was, and its query has the type that is recorded with it.
//! * A column whose type the file declares is never kept: the declaration says what it is.
//!
//! Not here: what a table records (`crate::kept`), the cast itself (`output`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, FieldRef};
use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_dialect::ast::{Columns, Query};

use super::output::as_column;
use super::types::type_word;
use crate::project::KeptType;
use crate::stored::StoredTypes;

/// The columns that keep their stored type; `columns` become what they are stored as. `fingerprint` is the definition's
/// under a version's rules, with these columns.
pub(crate) fn keep(
    query: &Query,
    declared: &Columns,
    stored: &StoredTypes,
    columns: &mut [Field],
    fingerprint: &dyn Fn(u32, &[Field]) -> String,
) -> Vec<KeptType> {
    let has_type = |name: &str| declared.columns.iter().any(|c| c.ty.is_some() && c.name.value == name);
    let other: BTreeMap<usize, DataType> = columns
        .iter()
        .enumerate()
        .filter(|(_, f)| !has_type(f.name()))
        .filter_map(|(i, f)| {
            let t = stored.columns.get(f.name()).filter(|t| !(stored.alike)(t, f.data_type()))?;
            let t = in_shape_of(f.data_type(), t);
            can_cast_types(f.data_type(), &t).then_some((i, t))
        })
        .collect();
    if other.is_empty() {
        return Vec::new();
    }
    let with = |kept: &BTreeMap<usize, DataType>| -> Vec<Field> {
        let each = columns.iter().enumerate();
        each.map(|(i, f)| kept.get(&i).map_or_else(|| f.clone(), |t| f.clone().with_data_type(t.clone()))).collect()
    };
    let before = with(&other);
    let unedited = stored
        .fingerprint
        .as_ref()
        .is_some_and(|by| (1..ENGINE_SEMANTICS_VERSION).any(|v| fingerprint(v, &before) == *by));
    let recorded = |f: &Field| stored.kept.get(f.name()).is_some_and(|given| *given == type_word(f.data_type()));
    let width = columns.len();
    let mut kept = Vec::new();
    for (i, stored) in other {
        let Some(field) = columns.get_mut(i).filter(|f| unedited || recorded(f)) else { continue };
        let cast = as_column(query, i, width, field.name(), &type_word(&stored));
        let given = field.data_type().clone();
        *field = field.clone().with_data_type(stored.clone());
        kept.push(KeptType { column: field.name().clone(), stored, given, cast });
    }
    kept
}

/// A stored type with the names and the nullability that a query's type has inside: tables have names of their own there,
/// which are no part of a definition.
fn in_shape_of(given: &DataType, stored: &DataType) -> DataType {
    let field = |g: &FieldRef, s: &FieldRef| -> FieldRef {
        Arc::new(g.as_ref().clone().with_data_type(in_shape_of(g.data_type(), s.data_type())))
    };
    match (given, stored) {
        (DataType::List(g), DataType::List(s)) => DataType::List(field(g, s)),
        (DataType::Map(g, sorted), DataType::Map(s, _)) => DataType::Map(field(g, s), *sorted),
        (DataType::Struct(g), DataType::Struct(s)) if g.len() == s.len() => {
            DataType::Struct(g.iter().zip(s).map(|(g, s)| field(g, s)).collect())
        }
        _ => stored.clone(),
    }
}

/// What the table records of its kept columns: their names and the types that their query has.
pub(crate) fn recorded(kept: &[KeptType]) -> BTreeMap<String, String> {
    kept.iter().map(|k| (k.column.clone(), type_word(&k.given))).collect()
}
