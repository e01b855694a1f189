//! Aggregates whose state is their rows are computed in one stage.
//!
//!   partial ──▶ by GROUP BY keys ──▶ final      becomes      rows by GROUP BY keys ──▶ whole groups
//!
//! Between two stages DataFusion collects thousands of states in a batch and does not account for their memory: where a
//! state is the list of a group's values, one such batch may hold the whole input.
//!
//! Not here: groups without keys, which go from stage to stage in few states; GROUPING SETS, whose keys the first stage makes.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

/// Comes before the rules that distribute rows.
#[derive(Debug)]
pub(crate) struct OneStage;

impl PhysicalOptimizerRule for OneStage {
    fn name(&self) -> &str {
        "ingot_one_stage"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match one_stage(&node)? {
            Some(stage) => Ok(Transformed::yes(stage)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn one_stage(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = aggregate(node) else { return Ok(None) };
    let mode = match last.mode() {
        AggregateMode::Final => AggregateMode::Single,
        AggregateMode::FinalPartitioned => AggregateMode::SinglePartitioned,
        _ => return Ok(None),
    };
    let Some(first) = aggregate(last.input()).filter(|first| *first.mode() == AggregateMode::Partial) else {
        return Ok(None);
    };
    let keys = first.group_expr();
    if keys.is_true_no_grouping() || !keys.is_single() || !first.aggr_expr().iter().any(|call| holds_rows(call)) {
        return Ok(None);
    }
    let stage = AggregateExec::try_new(
        mode,
        keys.clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        Arc::clone(first.input()),
        first.input_schema(),
    )?;
    Ok(Some(Arc::new(stage.with_limit_options(last.limit_options()))))
}

fn aggregate(node: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    let any: &dyn Any = node.as_ref();
    any.downcast_ref()
}

/// Whether the state grows with the rows of its group. Approximate ones hold lists, too, but short ones.
fn holds_rows(call: &AggregateFunctionExpr) -> bool {
    let list = |state: &DataType| matches!(state, DataType::List(_) | DataType::LargeList(_));
    match call.fun().name() {
        "string_agg" => true,
        name if name.starts_with("approx_") => false,
        _ => call.state_fields().is_ok_and(|states| states.iter().any(|state| list(state.data_type()))),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;

    use crate::collected::tests::{shown, with_rows};

    #[tokio::test]
    async fn states_that_are_rows_go_between_no_stages() {
        let ctx = with_rows(64 << 20, 600);
        for (call, wanted) in [
            ("array_agg(k ORDER BY k)", false),
            ("array_agg(k)", false),
            ("array_agg(DISTINCT s)", false),
            ("string_agg(s, ',')", false),
            ("string_agg(DISTINCT s, ',' ORDER BY s)", false),
            ("median(k)", false),
            ("sum(k), count(DISTINCT s), max(k)", false),
            ("sum(k), max(s)", true),
            ("approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY k)", true),
        ] {
            let sql = format!("SELECT k % 4, {call} FROM t GROUP BY k % 4");
            let plan = ctx.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let text = displayable(plan.as_ref()).indent(false).to_string();
            let partial = text.lines().any(|l| l.contains("mode=Partial") && !l.contains("aggr=[]"));
            assert_eq!(partial, wanted, "{call}: {text}");
            assert!(text.contains("RepartitionExec: partitioning=Hash"), "{call}: {text}");
        }
    }

    #[tokio::test]
    async fn groups_are_whole() {
        let calls = "count(*), count(DISTINCT s), median(k), array_length(array_agg(k)), sum(DISTINCT k % 7),
                     length(string_agg(s, '')), string_agg(DISTINCT s, '' ORDER BY s), array_length(array_agg(k) FILTER (WHERE k < 8))";
        // The few that fit, and more than fit, so that states are written and read again.
        for (bytes_max, rows) in [(64 << 20, 1200), (3 << 20, 120_000)] {
            let ctx = with_rows(bytes_max, rows);
            let sql =
                format!("SELECT k % {}, {calls} FROM t WHERE k < {rows} GROUP BY 1 ORDER BY 1 LIMIT 2", rows / 20);
            let k = rows / 20;
            let rows_of = |g: i64| (0..20).map(move |i| i * k + g);
            let line = |g: i64| {
                let texts: Vec<String> = rows_of(g).filter(|k| k % 5 > 0).map(|k| format!("t{}", k % 7)).collect();
                let mut distinct = texts.clone();
                distinct.sort();
                distinct.dedup();
                let mut sevens: Vec<i64> = rows_of(g).map(|k| k % 7).collect();
                sevens.sort_unstable();
                sevens.dedup();
                let median = (9 * k + g + 10 * k + g) / 2;
                let (n, sum) = (distinct.len(), sevens.iter().sum::<i64>());
                let long = texts.concat().len();
                let (long, joined) = (if long > 0 { long.to_string() } else { String::new() }, distinct.concat());
                let small = if g < 8 { "1" } else { "" };
                [
                    format!("{g}"),
                    "20".into(),
                    n.to_string(),
                    format!("{median}.0"),
                    "20".into(),
                    sum.to_string(),
                    long,
                    joined,
                    small.into(),
                ]
            };
            let got: Vec<Vec<String>> = shown(&ctx, &sql)
                .await
                .lines()
                .map(|l| l.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect())
                .collect();
            assert_eq!(got, [line(0).to_vec(), line(1).to_vec()], "{rows} rows");
        }
        let ctx = with_rows(64 << 20, 600);
        let sets = "SELECT g, h, n FROM (SELECT k % 2 AS g, k % 3 AS h, array_length(array_agg(k)) AS n FROM t GROUP BY CUBE (k % 2, k % 3)) ORDER BY g, h";
        assert_eq!(shown(&ctx, sets).await.lines().count(), 12);
        assert!(shown(&ctx, sets).await.ends_with("|   |   | 600 |"));
    }
}
