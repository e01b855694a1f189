//! The text of a logical plan in SQL's words, as EXPLAIN shows it.
//!
//!   Filter: t.a > Int64(1) ──▶ Filter: t.a > 1        Aggregate: aggr=[[count(Int64(1))]] ──▶ aggr=[[count(*)]]
//!
//! The operators keep the engine's names and order; expressions in them are written by `shown`. A column that stands
//! for an expression below has that expression's text.
//!
//! Not here: the text of the physical plan, which is the engine's own.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNodeRecursion, TreeNodeVisitor};
use datafusion::logical_expr::expr::Sort as SortKey;
use datafusion::logical_expr::logical_plan::{Distinct, FetchType, SkipType};
use datafusion::logical_expr::{Expr, LogicalPlan, PlanType, StringifiedPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::explain::ExplainExec;

use crate::fence::Fence;
use crate::shown::Words;

/// What EXPLAIN of a plan gives, with the plan's text in SQL's words.
pub(crate) fn explained(plan: &LogicalPlan, physical: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let LogicalPlan::Explain(explain) = plan else { return Ok(physical) };
    let any: &dyn Any = physical.as_ref();
    let Some(exec) = any.downcast_ref::<ExplainExec>() else { return Ok(physical) };
    // Other formats are whole documents.
    let theirs = explain.plan.display_indent().to_string();
    let mut texts = Vec::with_capacity(exec.stringified_plans().len());
    for text in exec.stringified_plans() {
        let is_plan = text.plan_type == PlanType::FinalLogicalPlan && *text.plan == theirs;
        texts.push(match is_plan {
            true => StringifiedPlan::new(PlanType::FinalLogicalPlan, plan_text(&explain.plan)?),
            false => text.clone(),
        });
    }
    Ok(Arc::new(ExplainExec::new(exec.schema(), texts, exec.verbose())))
}

fn plan_text(plan: &LogicalPlan) -> Result<String> {
    let words = Words { casts: true, names: names(plan)? };
    let mut lines = Lines { words, indent: 0, out: String::new() };
    plan.visit_with_subqueries(&mut lines)?;
    Ok(lines.out)
}

/// What the engine's names of columns stand for, where no alias gave them one.
///
/// # Errors
/// When a plan cannot be walked.
pub fn names_shown(plan: &LogicalPlan) -> Result<HashMap<String, String>> {
    names(plan)
}

/// The texts of expressions by the names of the columns that they become.
fn names(plan: &LogicalPlan) -> Result<HashMap<String, String>> {
    let plain = Words { casts: false, names: HashMap::new() };
    let mut found = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            let inner = match expr {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            if !matches!(inner, Expr::Column(_) | Expr::Alias(_)) {
                found.entry(inner.schema_name().to_string()).or_insert_with(|| plain.of(inner));
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

struct Lines {
    words: Words,
    indent: usize,
    out: String,
}

impl<'n> TreeNodeVisitor<'n> for Lines {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        if self.indent > 0 {
            self.out.push('\n');
        }
        self.out.push_str(&"  ".repeat(self.indent));
        self.out.push_str(&self.line(node));
        self.indent += 1;
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _node: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        self.indent -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}

impl Lines {
    fn line(&self, node: &LogicalPlan) -> String {
        let fetch = |fetch: Option<usize>| fetch.map(|n| format!(", fetch={n}")).unwrap_or_default();
        match node {
            LogicalPlan::Projection(p) => format!("Projection: {}", self.list(&p.expr)),
            LogicalPlan::Filter(f) => format!("Filter: {}", self.expr(&f.predicate)),
            LogicalPlan::Aggregate(a) => {
                format!("Aggregate: groupBy=[[{}]], aggr=[[{}]]", self.list(&a.group_expr), self.list(&a.aggr_expr))
            }
            LogicalPlan::Window(w) => format!("WindowAggr: windowExpr=[[{}]]", self.list(&w.window_expr)),
            LogicalPlan::Sort(s) => format!("Sort: {}{}", self.keys(&s.expr), fetch(s.fetch)),
            LogicalPlan::Distinct(Distinct::On(on)) => format!(
                "DistinctOn: on_expr=[[{}]], select_expr=[[{}]], sort_expr=[[{}]]",
                self.list(&on.on_expr),
                self.list(&on.select_expr),
                on.sort_expr.as_ref().map(|keys| self.keys(keys)).unwrap_or_default(),
            ),
            LogicalPlan::Join(join) => {
                let theirs = node.display().to_string();
                let kind = theirs.split(':').next().unwrap_or("Join").to_owned();
                let keys = join.on.iter().map(|(l, r)| format!("{} = {}", self.expr(l), self.expr(r)));
                let mut line = format!("{kind}: {}", keys.collect::<Vec<_>>().join(", ")).trim_end().to_owned();
                if let Some(filter) = &join.filter {
                    line.push_str(&format!(" Filter: {}", self.expr(filter)));
                }
                if join.null_aware {
                    line.push_str(" null_aware");
                }
                line
            }
            LogicalPlan::TableScan(scan) => {
                let mut line = format!("TableScan: {}", scan.table_name);
                if let Some(columns) = &scan.projection {
                    let schema = scan.source.schema();
                    let columns: Vec<_> =
                        columns.iter().filter_map(|i| schema.fields().get(*i)).map(|f| f.name().as_str()).collect();
                    line.push_str(&format!(" projection=[{}]", columns.join(", ")));
                }
                if !scan.filters.is_empty() {
                    line.push_str(&format!(", partial_filters=[{}]", self.list(&scan.filters)));
                }
                line + &fetch(scan.fetch)
            }
            LogicalPlan::Limit(limit) => {
                let skip = match limit.get_skip_type() {
                    Ok(SkipType::Literal(n)) => n.to_string(),
                    _ => limit.skip.as_ref().map_or_else(|| "None".into(), |e| self.expr(e)),
                };
                let fetch = match limit.get_fetch_type() {
                    Ok(FetchType::Literal(n)) => n.map_or_else(|| "None".into(), |n| n.to_string()),
                    _ => limit.fetch.as_ref().map_or_else(|| "None".into(), |e| self.expr(e)),
                };
                format!("Limit: skip={skip}, fetch={fetch}")
            }
            LogicalPlan::Values(values) => {
                let rows = values.values.iter().take(5).map(|row| format!("({})", self.list(row)));
                let more = if values.values.len() > 5 { "..." } else { "" };
                format!("Values: {}{more}", rows.collect::<Vec<_>>().join(", "))
            }
            LogicalPlan::Extension(_) => match Fence::of(node).and_then(Fence::condition) {
                Some(condition) => format!("Fence: {}", self.expr(condition)),
                None => node.display().to_string(),
            },
            other => other.display().to_string(),
        }
    }

    fn list(&self, exprs: &[Expr]) -> String {
        exprs.iter().map(|e| self.expr(e)).collect::<Vec<_>>().join(", ")
    }

    fn keys(&self, keys: &[SortKey]) -> String {
        let key = |k: &SortKey| {
            let order = if k.asc { "ASC" } else { "DESC" };
            let nulls = if k.nulls_first { "FIRST" } else { "LAST" };
            format!("{} {order} NULLS {nulls}", self.expr(&k.expr))
        };
        keys.iter().map(key).collect::<Vec<_>>().join(", ")
    }

    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Alias(alias) => {
                let (text, name) = (self.words.of(&alias.expr), self.words.name(&alias.name));
                if text == name { text } else { format!("{text} AS {name}") }
            }
            other => self.words.of(other),
        }
    }
}
