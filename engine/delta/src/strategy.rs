//! How a view follows its sources: from its change alone, by merging keys, or in full with the reason.
//!
//! Not here: what a plan is (`shape`), the merge itself (`target`).

use datafusion::logical_expr::LogicalPlan;

use crate::reason::FullReason;
use crate::shape::classify::{KeyedOperator, Shape, check_columns, shape_of};
use crate::target::keyed::Keyed;

/// How a view follows its sources.
#[derive(Debug, Clone)]
pub enum Strategy {
    /// The view's change is its query over the change.
    Linear,
    /// One winner per key is merged.
    KeepFirst(Keyed),
    /// States of groups are merged.
    Aggregate(Keyed),
    /// Everything is computed anew.
    Full(FullReason),
}

/// Decides the strategy for an unoptimized plan over table scans, views inlined.
pub fn classify(plan: &LogicalPlan) -> Strategy {
    incremental(plan).unwrap_or_else(Strategy::Full)
}

fn incremental(plan: &LogicalPlan) -> Result<Strategy, FullReason> {
    let strategy = match shape_of(plan)? {
        Shape::Linear => Strategy::Linear,
        Shape::Keyed(shape) => {
            let chooses = matches!(shape.operator, KeyedOperator::KeepFirst(_));
            let keyed = Keyed::new(shape).map_err(FullReason::plan)?;
            if chooses { Strategy::KeepFirst(keyed) } else { Strategy::Aggregate(keyed) }
        }
    };
    check_columns(plan)?;
    Ok(strategy)
}
