//! Keeps the optimizer from splitting an aggregate whose parts do not add up again.
//!
//! DataFusion turns `agg(DISTINCT x)` beside sums, minima and maxima into a GROUP BY of x below and the aggregates
//! above. A sum of sums has another type than the sum (a decimal grows twice, so that the plan fails when it runs),
//! and is rounded or checked for overflow at each x. Minima and maxima alone lose nothing.
//!
//! It also pushes a condition that looks at no column below an aggregate that has a row even where no row comes in: what
//! such a condition excludes, it keeps (`SELECT count(*) FROM t HAVING (SELECT max(x) FROM s) > 5`). The condition stays.
//!
//! It also computes keys that follow from other keys above the aggregate, and fails where two of them have one name
//! (`GROUP BY k, CAST(k AS INT)`): such an aggregate stays whole.
//!
//! It also puts inner joins in another order, and gives all of them the NULLs of the topmost one: `a IS NOT DISTINCT FROM b`
//! becomes `a = b` below a cross join, and the other way round. A plan with such a join keeps its order. Nor does such a join
//! get more keys (`ON a IS NOT DISTINCT FROM b WHERE c = d`): NULL would be equal to NULL in those as well.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

use crate::namesakes::are_namesakes;

const SPLITS: &str = "single_distinct_aggregation_to_group_by";
const MOVES_KEYS: &str = "eliminate_group_by_constant";
const PUSHES: &str = "push_down_filter";
const REORDERS: &str = "eliminate_cross_join";
const ADDS_KEYS: &str = "extract_equijoin_predicate";

/// The optimizer's rules, in their order: all of them, to be used in the place of DataFusion's.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    for rule in &mut rules {
        let stays: fn(&LogicalPlan) -> Result<bool> = match rule.name() {
            SPLITS => |plan| Ok(matches!(plan, LogicalPlan::Aggregate(a) if a.aggr_expr.iter().any(adds_up))),
            MOVES_KEYS => are_namesakes,
            PUSHES => |plan| Ok(is_all_or_nothing(plan)),
            REORDERS => joins_nulls,
            ADDS_KEYS => |plan| {
                let joins_nulls =
                    |join: &Join| join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty();
                Ok(matches!(plan, LogicalPlan::Join(join) if joins_nulls(join)))
            },
            _ => continue,
        };
        *rule = Arc::new(LeavesAlone { inner: Arc::clone(rule), stays });
    }
    rules
}

/// A rule of the engine that does not see some nodes.
#[derive(Debug)]
struct LeavesAlone {
    inner: Arc<dyn OptimizerRule + Send + Sync>,
    stays: fn(&LogicalPlan) -> Result<bool>,
}

impl OptimizerRule for LeavesAlone {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if (self.stays)(&plan)? { Ok(Transformed::no(plan)) } else { self.inner.rewrite(plan, config) }
    }
}

/// A condition without columns over an aggregate of the empty set of keys.
fn is_all_or_nothing(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref() else { return false };
    let has_row = matches!(aggregate.group_expr.as_slice(), [] | [Expr::GroupingSet(_)]);
    has_row && split_conjunction(&filter.predicate).into_iter().any(|c| c.column_refs().is_empty())
}

/// Whether an inner join somewhere takes NULL for equal to NULL.
fn joins_nulls(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an expression holds an aggregate that is neither DISTINCT nor an extremum, or is DISTINCT over pairs.
fn adds_up(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|e| {
        if let Expr::AggregateFunction(call) = e {
            found |= match call.params.distinct {
                true => call.params.args.len() > 1,
                false => !matches!(call.func.name(), "min" | "max"),
            };
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};

    async fn rows(sql: &str) -> String {
        let config = SessionConfig::new().with_target_partitions(2);
        let ctx = SessionContext::new_with_state(crate::state(config, Default::default()).build());
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_distinct_count_stands_beside_a_sum_of_decimals() {
        let sql = "SELECT k, count(DISTINCT x) AS c, sum(d) AS s, max(x) AS m FROM (VALUES (1, 1, CAST(1.5 AS DECIMAL(10, 2))),
                   (1, 1, CAST(2.5 AS DECIMAL(10, 2))), (1, 2, CAST(3 AS DECIMAL(10, 2)))) AS t(k, x, d) GROUP BY k";
        assert!(rows(sql).await.contains("| 1 | 2 | 7.00 | 2 |"), "{}", rows(sql).await);
    }

    /// `2 = NULL` and `NULL = NULL` join nothing: the first row of each alone is left.
    #[tokio::test]
    async fn a_key_beside_is_not_distinct_from_joins_no_nulls() {
        for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
            let sql = format!(
                "SELECT count(*) AS n, sum(a.x) AS x FROM (VALUES (1, 10), (2, NULL), (NULL, 30), (NULL, NULL)) AS a(k, x) \
                 {join} (VALUES (1, 10), (2, NULL), (NULL, 30), (NULL, NULL)) AS b(k, y) ON a.k IS NOT DISTINCT FROM b.k \
                 WHERE a.x = b.y"
            );
            let found = rows(&sql).await;
            assert!(found.contains("| 2 | 40 |"), "{sql}\n{found}");
        }
    }

    #[tokio::test]
    async fn a_plan_of_extrema_is_still_split() {
        let sql = |more: &str| {
            format!("EXPLAIN SELECT k, count(DISTINCT x) AS c{more} FROM (VALUES (1, 1), (1, 2)) AS t(k, x) GROUP BY k")
        };
        assert!(rows(&sql(", max(x) AS m")).await.contains("alias1"));
        assert!(!rows(&sql(", sum(x) AS m")).await.contains("alias1"));
    }
}
