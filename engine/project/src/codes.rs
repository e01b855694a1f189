//! Stable codes that came as text.

/// The registry's own string of a code that came as text (from a plan, for example).
pub fn known(code: &str) -> &'static str {
    ingot_dialect::codes::explain(code).map_or("R0301", |c| c.code)
}

/// Whether a code's cause may go away by itself.
pub fn is_passing(code: &str) -> bool {
    ingot_dialect::codes::explain(code).is_some_and(|c| c.retryable)
}
