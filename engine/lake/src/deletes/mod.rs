//! Rows that delete files take out of data files: which files apply where, and the positions that they take away.
//!
//! ```text
//!   manifests ──▶ DeleteFile ──▶ DeleteIndex ──▶ FileDeletes of each data file        (index)
//!                                                     │
//!   position files, vectors ──▶ positions ────────────┤
//!   equality files ──▶ KeySet ──keys of the file──────┴──▶ Taken: positions of one file   (applied)
//! ```
//!
//! Invariants
//! * Whatever its kind, a delete ends as positions in a data file: those that read rows know nothing else.
//!
//! Not here: writing them; rows that are read without the positions (`read`).

pub(crate) mod applied;
pub(crate) mod equality;
pub(crate) mod file;
pub(crate) mod index;
pub(crate) mod position;
pub(crate) mod vector;
