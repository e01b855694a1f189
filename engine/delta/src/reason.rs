//! Why a view is recomputed in full: codes, and texts in the user's words. Codes are stable.
//!
//! Not here: what is looked for in a plan (`shape`), what must not run at all (`shape::refuse`).

/// Why a view is recomputed in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullReason {
    /// The code of the first obstacle, `R05xx`: one of `REASONS`, or `R0520` where the policy asks for it.
    pub code: &'static str,
    /// The first obstacle by the construct that the user wrote, and what to do about it where there is something.
    pub text: String,
    /// What else stands in the way: mending the first alone would not do.
    pub others: Vec<FullReason>,
}

impl FullReason {
    /// A reason of this code alone; what the planner calls its expressions is written as SQL.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: ingot_semantics::sql_text(&text.into()), others: Vec::new() }
    }

    pub(crate) fn plan(error: impl std::fmt::Display) -> Self {
        reason("R0500", format!("the change of this query cannot be planned: {error}"))
    }

    /// The first obstacle and all that follow.
    pub fn obstacles(&self) -> impl Iterator<Item = &FullReason> {
        std::iter::once(self).chain(&self.others)
    }
}

/// All obstacles in one line, without the code of the first.
impl std::fmt::Display for FullReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        self.others.iter().try_for_each(|o| write!(f, "; and {}: {}", o.code, o.text))
    }
}

pub(crate) fn reason(code: &'static str, text: impl Into<String>) -> FullReason {
    FullReason::new(code, text)
}

/// Every code of `FullReason` with its title.
pub const REASONS: &[(&str, &str)] = &[
    ("R0500", "the change of the query cannot be planned"),
    ("R0501", "a join is recomputed in full"),
    ("R0502", "LIMIT is recomputed in full"),
    ("R0503", "DISTINCT is recomputed in full"),
    ("R0504", "a window function is recomputed in full"),
    ("R0505", "a window without PARTITION BY may renumber every row"),
    ("R0506", "a subquery in an expression is recomputed in full"),
    ("R0507", "now() changes with every refresh"),
    ("R0508", "a volatile function has no change"),
    ("R0509", "constant rows are not part of any change"),
    ("R0510", "the aggregate function cannot be merged"),
    ("R0511", "a DISTINCT aggregate cannot be merged"),
    ("R0512", "grouping sets are not merged"),
    ("R0513", "HAVING leaves no trace of the groups it drops"),
    ("R0514", "an aggregate below the root is recomputed in full"),
    ("R0515", "a filter above row_number() = 1 leaves no trace of the rows it drops"),
    ("R0516", "a recursive query is recomputed in full"),
    ("R0518", "the column's type cannot be compared row by row"),
    ("R0519", "the operator is recomputed in full"),
];
