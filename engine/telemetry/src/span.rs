//! Names of spans. Each is at the level debug and begins once a step, a commit or a query.

/// One attempt to carry out a step of a plan: `table`.
pub const STEP: &str = "step";
/// One commit with all its attempts: `table`.
pub const COMMIT: &str = "commit";
/// A query from its first to its last batch.
pub const QUERY: &str = "query";
