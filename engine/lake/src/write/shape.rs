//! What all files of one writer have in common: their columns, and the order of their rows.

use arrow::compute::SortOptions;
use iceberg::spec::NestedFieldRef;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::SchemaDescriptor;

use crate::write::conform::Conform;

/// What the files of one writer have in common.
pub(super) struct Shape {
    pub(super) conform: Conform,
    pub(super) fields: Vec<NestedFieldRef>,
    pub(super) parquet: SchemaDescriptor,
    pub(super) properties: WriterProperties,
    pub(super) has_state: bool,
}

/// A column of the sort order, by its place among the columns.
#[derive(Clone, Copy)]
pub(super) struct SortKey {
    pub(super) column: usize,
    pub(super) options: SortOptions,
}
