//! Keeping tables in shape: what of their history is let go, files that are no longer needed, small files.
//!
//! ```text
//!   a commit ─▶ expire: forgets snapshots        beside it ─▶ compact: small files into large ones
//!      └▶ garbage: what it left ─▶ sweep                  ├─▶ metadata: small manifests merged, at once
//!                                                         └─▶ orphans: what nobody names ─▶ deleted
//! ```
//!
//! Not here: what a commit writes (`commit`), who reads which snapshot and when upkeep is done (`ingot-pipeline`).

pub mod compact;
pub mod erase;
pub(crate) mod expire;
pub(crate) mod garbage;
mod marks;
pub mod metadata;
pub mod orphans;
pub mod retention;
pub mod sweep;
