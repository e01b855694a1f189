//! One decoded value on its way from a message to a column.
//!
//! Invariants
//! * Borrows from the message where it can: plain strings are not copied.
//!
//! Not here: building arrays (`column`).

use std::borrow::Cow;

/// A value in its column's type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Boolean(bool),
    /// Integers up to 32 bits, dates as days.
    Int32(i32),
    /// BIGINT, times and instants in microseconds.
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// Unscaled.
    Decimal(i128),
    String(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Cell<'a>>),
    Struct(Vec<Cell<'a>>),
    Map(Vec<(Cell<'a>, Cell<'a>)>),
}

/// A JSON or SQL scalar before it is given a type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Boolean(bool),
    /// The digits as written.
    Number(&'a str),
    String(Cow<'a, str>),
}

impl Cell<'_> {
    pub(crate) fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Boolean(v) => Cell::Boolean(v),
            Cell::Int32(v) => Cell::Int32(v),
            Cell::Int64(v) => Cell::Int64(v),
            Cell::Float32(v) => Cell::Float32(v),
            Cell::Float64(v) => Cell::Float64(v),
            Cell::Decimal(v) => Cell::Decimal(v),
            Cell::String(v) => Cell::String(Cow::Owned(v.into_owned())),
            Cell::Bytes(v) => Cell::Bytes(Cow::Owned(v.into_owned())),
            Cell::List(v) => Cell::List(v.into_iter().map(Cell::into_owned).collect()),
            Cell::Struct(v) => Cell::Struct(v.into_iter().map(Cell::into_owned).collect()),
            Cell::Map(v) => Cell::Map(v.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()),
        }
    }
}
