//! Stable codes as static strings.

/// The registry's own string of a code that came as text (from a plan, for example).
pub fn known(code: &str) -> &'static str {
    ingot_dialect::codes::explain(code).map_or("R0301", |c| c.code)
}
