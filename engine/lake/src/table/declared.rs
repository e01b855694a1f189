//! A table as a declaration of another project's columns reads it, and the declaration that fits a table.
//!
//! ```text
//!   declared columns ──▶ Table::declared() ──▶ the table in those columns, or what does not fit
//!   stored columns ──▶ Table::declaration() ──▶ name, type in SQL, NOT NULL, of each
//! ```
//!
//! Invariants
//! * Declared types are the stored ones: what a view computed from a column would be another result in a wider type.
//!   `fixed(n)` is BINARY, for the dialect has no other word for it.
//! * A declared column may be optional where the stored one is required, at every level; never the other way round.
//! * The stored table may have more columns, in any order; a struct has the same fields in the same order.
//!
//! Not here: what a statement declares (`ingot_project`), reading columns by their ids (`read::adapt`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, Type};
use ingot_dialect::diagnostic::did_you_mean;
use ingot_dialect::identifier;

use crate::table::{Columns, Inner, Table};

/// A declared column that the stored table does not have as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// No column has the name.
    Missing {
        /// The declared name.
        column: String,
        /// The nearest name that a column has.
        near: Option<String>,
    },
    /// The column has a type that is not read.
    NotRead {
        /// The column's name.
        column: String,
        /// The type, as the metadata has it.
        stored: String,
    },
    /// The types differ; both in SQL's words.
    Type {
        /// The column's name.
        column: String,
        /// What the declaration says.
        declared: String,
        /// What the table has.
        stored: String,
    },
    /// Declared NOT NULL, and optional.
    Optional {
        /// The column's name.
        column: String,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column, near: None } => write!(f, "it has no column \"{column}\""),
            Self::Missing { column, near: Some(near) } => {
                write!(f, "it has no column \"{column}\" (the nearest is \"{near}\")")
            }
            Self::NotRead { column, stored } => {
                write!(f, "its column \"{column}\" has the type \"{stored}\", which is not read")
            }
            Self::Type { column, declared, stored } => {
                write!(f, "its column \"{column}\" is {stored} and declared {declared}")
            }
            Self::Optional { column } => write!(f, "its column \"{column}\" may be NULL and is declared NOT NULL"),
        }
    }
}

/// A column of a table as CREATE EXTERNAL TABLE writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredColumn {
    /// Its name.
    pub name: String,
    /// The type in SQL, or why it has none.
    pub sql_type: Result<String, String>,
    /// Whether it is required.
    pub not_null: bool,
    /// Its comment.
    pub comment: Option<String>,
}

impl Table {
    /// The table with these columns, in this order, as those that models read.
    ///
    /// # Errors
    /// Each column that does not fit, with what the table has.
    pub fn declared(&self, columns: &SchemaRef) -> Result<Table, Vec<Misfit>> {
        let of = self.fields();
        let stored = of.as_struct().fields();
        let misfits: Vec<Misfit> = columns.fields().iter().filter_map(|f| self.misfit(stored, f)).collect();
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let as_declared = |field: &Arc<Field>| match columns.field_with_name(field.name()) {
            Ok(declared) => Arc::new(field.as_ref().clone().with_data_type(declared.data_type().clone())),
            Err(_) => Arc::clone(field),
        };
        let now = &self.0.columns;
        let schema = Schema::new(now.schema.fields().iter().map(as_declared).collect::<Vec<_>>());
        let columns = Columns { schema: Arc::new(schema), defined: Arc::clone(columns), ..now.clone() };
        Ok(Table(Arc::new(Inner { columns, ..Inner::clone(&self.0) })))
    }

    fn misfit(&self, stored: &[NestedFieldRef], declared: &Field) -> Option<Misfit> {
        let column = declared.name().clone();
        let Some(of) = stored.iter().find(|f| f.name == column) else {
            if let Some(unread) = self.unread_columns().iter().find(|c| c.name == column) {
                return Some(Misfit::NotRead { column, stored: unread.data_type.clone() });
            }
            let near = did_you_mean(&column, stored.iter().map(|f| f.name.as_str())).map(str::to_owned);
            return Some(Misfit::Missing { column, near });
        };
        if !fits(&of.field_type, declared.data_type()) {
            let stored = sql_type(&of.field_type).unwrap_or_else(|_| of.field_type.to_string());
            return Some(Misfit::Type { column, declared: ingot_semantics::type_name(declared.data_type()), stored });
        }
        (!declared.is_nullable() && !of.required).then_some(Misfit::Optional { column })
    }

    /// The columns as CREATE EXTERNAL TABLE would declare them.
    pub fn declaration(&self) -> Vec<DeclaredColumn> {
        let column = |field: &NestedFieldRef| DeclaredColumn {
            name: field.name.clone(),
            sql_type: sql_type(&field.field_type),
            not_null: field.required,
            comment: field.doc.clone(),
        };
        self.fields().as_struct().fields().iter().map(column).collect()
    }
}

/// Whether a stored type is the declared one, where that may have NULL in more places.
fn fits(stored: &Type, declared: &DataType) -> bool {
    use DataType as D;
    use PrimitiveType as P;
    let inner = |of: &NestedField, field: &Field| {
        fits(&of.field_type, field.data_type()) && (field.is_nullable() || of.required)
    };
    match (stored, declared) {
        (Type::Primitive(stored), declared) => match (stored, declared) {
            (P::Boolean, D::Boolean)
            | (P::Int, D::Int32)
            | (P::Long, D::Int64)
            | (P::Float, D::Float32)
            | (P::Double, D::Float64)
            | (P::Date, D::Date32)
            | (P::Time, D::Time64(TimeUnit::Microsecond))
            | (P::Timestamp, D::Timestamp(TimeUnit::Microsecond, None))
            | (P::Timestamptz, D::Timestamp(TimeUnit::Microsecond, Some(_)))
            | (P::String, D::Utf8)
            | (P::Uuid, D::FixedSizeBinary(16))
            | (P::Fixed(_) | P::Binary, D::Binary) => true,
            (P::Decimal { precision, scale }, D::Decimal128(p, s)) => {
                *precision == u32::from(*p) && i64::from(*scale) == i64::from(*s)
            }
            _ => false,
        },
        (Type::Struct(of), D::Struct(fields)) => {
            let of = of.fields();
            of.len() == fields.len() && of.iter().zip(fields).all(|(of, f)| of.name == *f.name() && inner(of, f))
        }
        (Type::List(of), D::List(item)) => inner(&of.element_field, item),
        (Type::Map(of), D::Map(entries, _)) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 => inner(&of.key_field, &pair[0]) && inner(&of.value_field, &pair[1]),
            _ => false,
        },
        _ => false,
    }
}

/// A type in SQL; the error says why it cannot be declared.
fn sql_type(of: &Type) -> Result<String, String> {
    use PrimitiveType as P;
    Ok(match of {
        Type::Primitive(primitive) => match primitive {
            P::Boolean => "BOOLEAN".into(),
            P::Int => "INT".into(),
            P::Long => "BIGINT".into(),
            P::Float => "REAL".into(),
            P::Double => "DOUBLE".into(),
            P::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
            P::Date => "DATE".into(),
            P::Time => "TIME".into(),
            P::Timestamp => "TIMESTAMP".into(),
            P::Timestamptz => "TIMESTAMPTZ".into(),
            P::TimestampNs | P::TimestamptzNs => return Err(format!("the type {primitive}, finer than microseconds")),
            P::String => "STRING".into(),
            P::Uuid => "UUID".into(),
            P::Fixed(_) | P::Binary => "BINARY".into(),
        },
        Type::Struct(of) if of.fields().is_empty() => return Err("a struct without fields".into()),
        Type::Struct(of) => {
            let field = |f: &NestedFieldRef| Ok(format!("{} {}", identifier(&f.name), sql_type(&f.field_type)?));
            format!("STRUCT<{}>", of.fields().iter().map(field).collect::<Result<Vec<_>, String>>()?.join(", "))
        }
        Type::List(of) => format!("ARRAY<{}>", sql_type(&of.element_field.field_type)?),
        Type::Map(of) => {
            format!("MAP<{}, {}>", sql_type(&of.key_field.field_type)?, sql_type(&of.value_field.field_type)?)
        }
    })
}
