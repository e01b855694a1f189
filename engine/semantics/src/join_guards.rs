//! The conditions of a join guard its keys and one another, once subqueries have become joins.
//!
//!   LEFT JOIN ON a.b <> 0 AND 10 / a.b = o.id     the key is CASE WHEN a.b <> 0 THEN 10 / a.b END, and a.b <> 0 stays
//!   EXISTS (.. WHERE a.b <> 0 AND 10 / a.b < o.id) the condition is guarded as in the ON of a join
//!
//! A key is computed for every row of its side. NULL is equal to nothing, and where it were (`IS NOT DISTINCT FROM`) the
//! condition that made it NULL excludes the pair.
//!
//! Not here: conditions of one side that are filters below the join, as those of inner joins are (DataFusion's rules).

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Case, Expr, Join, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::fallible::can_fail;
use crate::guard::guard_join;
use crate::lazily::{By, is_lazy, is_marked, mark};
use crate::rewrite::input_schema;

/// Runs after the rules that make joins of subqueries and keys of equalities.
#[derive(Debug)]
pub(crate) struct JoinGuards;

impl OptimizerRule for JoinGuards {
    fn name(&self) -> &str {
        "ingot_join_guards"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let schema = match &plan {
            LogicalPlan::Join(join) if join.filter.is_some() => input_schema(&plan)?,
            _ => return Ok(Transformed::no(plan)),
        };
        let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
        let (join, keys) = guard_keys(join)?;
        let conditions = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
        // Of pairs whose keys are not equal no condition of both sides is computed.
        let is_of_both = |condition: &Expr| {
            let columns = condition.column_refs();
            let is_of = |side: &DFSchema| columns.iter().all(|c| side.has_column(c));
            !is_of(join.left.schema()) && !is_of(join.right.schema())
        };
        let (mut others, mut failing) = (false, Vec::new());
        for condition in &conditions {
            match !is_lazy(condition) && can_fail(condition, &schema)? {
                true => failing.push(condition),
                false => others = true,
            }
        }
        let fails = failing.into_iter().any(|c| others || !is_of_both(c));
        if !fails {
            return Ok(Transformed::new_transformed(LogicalPlan::Join(join), keys));
        }
        let before = join.filter.clone();
        let guarded = guard_join(join, &schema)?;
        let changed = matches!(&guarded, LogicalPlan::Join(join) if join.filter != before);
        Ok(Transformed::new_transformed(guarded, keys || changed))
    }
}

fn guard_keys(mut join: Join) -> Result<(Join, bool)> {
    use JoinType::{Full, Left, LeftAnti, LeftMark, Right, RightAnti, RightMark};
    // A NULL among them would be an unknown member.
    if join.null_aware {
        return Ok((join, false));
    }
    let (of_left, of_right) = match join.join_type {
        Left | LeftAnti | LeftMark => (true, false),
        Right | RightAnti | RightMark => (false, true),
        Full => (true, true),
        _ => (false, false),
    };
    let left = if of_left { side_guard(&join, join.left.schema())? } else { None };
    let right = if of_right { side_guard(&join, join.right.schema())? } else { None };
    let mut any = false;
    let mut on = Vec::with_capacity(join.on.len());
    for (l, r) in std::mem::take(&mut join.on) {
        let l = guard_key(l, left.as_ref(), join.left.schema(), &mut any)?;
        let r = guard_key(r, right.as_ref(), join.right.schema(), &mut any)?;
        on.push((l, r));
    }
    join.on = on;
    Ok((join, any))
}

/// The conditions that look at one side alone and cannot fail.
fn side_guard(join: &Join, side: &DFSchema) -> Result<Option<Expr>> {
    let mut found = Vec::new();
    for condition in join.filter.clone().map(split_conjunction_owned).unwrap_or_default() {
        let columns = condition.column_refs();
        let is_of_side = !columns.is_empty() && columns.iter().all(|c| side.has_column(c));
        if is_of_side && !condition.is_volatile() && (is_lazy(&condition) || !can_fail(&condition, side)?) {
            found.push(condition);
        }
    }
    Ok(conjunction(found))
}

fn guard_key(key: Expr, guard: Option<&Expr>, side: &DFSchema, any: &mut bool) -> Result<Expr> {
    let Some(guard) = guard else { return Ok(key) };
    if is_marked(By::Join, &key) || !can_fail(&key, side)? {
        return Ok(key);
    }
    *any = true;
    Ok(mark(By::Join, Expr::Case(Case::new(None, vec![(Box::new(guard.clone()), Box::new(key))], None))))
}
