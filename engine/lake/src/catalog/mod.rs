//! The catalog: which version each table has now, and who works on a project.
//!
//! Not here: what is in a version (`table`), what to do about a conflict (`commit`).

pub mod lease;
pub(crate) mod metadata_file;
pub(crate) mod sql;
