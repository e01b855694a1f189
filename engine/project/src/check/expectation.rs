//! Expectations of a relation: bound to its columns, turned into the filter that keeps its rows and into the
//! queries of its quarantine tables.
//!
//!   relation ──▶ FAIL UPDATE broken? stop ──▶ first broken DROP ROW or QUARANTINE in declared order ──▶ gone, or there
//!
//! Invariants
//! * A row passes only if the condition is TRUE; NULL is broken.
//! * kept + dropped + quarantined = the relation, row by row, as long as no FAIL UPDATE is broken.
//!
//! Not here: counting (`expectations`), who may own a quarantine table (`names`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use ingot_dialect::ast::{Expectation, Query, Violation};
use ingot_dialect::diagnostic::Diagnostic;
use ingot_dialect::fold_tokens;
use ingot_model::TableName;
use ingot_semantics::has_subquery;

use super::conditions::{Violations, guard};
use super::output::cast_to_stored;
use super::planning_error::{Planned, diagnostics, unknown_function};
use super::query::Planner;
use super::references::functions;
use super::types::type_word;
use crate::project::{BoundExpectation, CheckedRelation, ViolationAction};

/// The column that quarantine tables have beside those of the relation.
pub(crate) const VIOLATIONS: &str = "_violations";

/// What expectations make of a relation.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub relation: CheckedRelation,
    /// The rows that stay, with the plan's own columns.
    pub kept: LogicalPlan,
    /// The rows of each quarantine table: the relation's columns and `_violations`.
    pub quarantines: BTreeMap<TableName, LogicalPlan>,
}

/// A relation whose expectations are to be bound.
pub(crate) struct Relation<'a> {
    pub file: &'a str,
    /// As `CheckedRelation::name`.
    pub name: String,
    pub query: &'a Query,
    pub plan: LogicalPlan,
    /// The plan with its types coerced.
    pub analyzed: &'a LogicalPlan,
    /// The stored columns, where the relation is a stored table.
    pub stored: Option<&'a [Field]>,
}

/// Binds all expectations of a relation; None, with complaints in `found`, when one of them is wrong.
pub(crate) fn apply(
    planner: &Planner,
    relation: Relation<'_>,
    expectations: &[Expectation],
    target: &dyn Fn(&ingot_dialect::ast::ObjectName) -> TableName,
    found: &mut Vec<Diagnostic>,
) -> Option<Outcome> {
    let mut names = BTreeSet::new();
    let mut bound = Vec::new();
    let mut wrong = false;
    for e in expectations {
        if !names.insert(e.name.value.to_lowercase()) {
            let d = Diagnostic::error("N0317", format!("two expectations are called \"{}\"", e.name.value));
            found.push(d.at(relation.file, e.name.span).help("give each its own name: reports and _violations use it"));
            wrong = true;
        }
        match bind(planner, &relation, e) {
            Ok(passes) => bound.push((e, passes)),
            Err(mut errors) => {
                found.append(&mut errors);
                wrong = true;
            }
        }
    }
    if wrong {
        return None;
    }
    build(planner, relation, &bound, target, found)
}

fn bind(planner: &Planner, relation: &Relation<'_>, e: &Expectation) -> Result<Expr, Vec<Diagnostic>> {
    let file = relation.file;
    if has_subquery(&e.expr.tree) {
        let d = Diagnostic::error("U0124", format!("expectation \"{}\" holds a subquery", e.name.value))
            .at(file, e.expr.span);
        return Err(vec![
            d.note("an expectation judges each row by itself")
                .help("join the other table in a temporary view, and judge its columns"),
        ]);
    }
    let unknown: Vec<Diagnostic> = functions(&e.expr.tree)
        .into_iter()
        .filter(|(name, _)| !planner.has_function(name))
        .map(|(name, span)| unknown_function(planner, file, &name, span))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let planned = Planned { file, span: e.expr.span, tokens: &e.expr.tokens };
    let schema = relation.analyzed.schema();
    let expr = planner.expr(&e.expr.tree, schema).map_err(|error| diagnostics(&error, &planned))?;
    let aggregates = |x: &Expr| Ok(matches!(x, Expr::AggregateFunction(_) | Expr::WindowFunction(_)));
    if expr.exists(aggregates).unwrap_or(false) {
        let d = Diagnostic::error("U0124", format!("expectation \"{}\" holds an aggregate or a window", e.name.value));
        return Err(vec![
            d.at(file, e.expr.span)
                .note("an expectation judges each row by itself")
                .help("compute the aggregate as a column of a temporary view, and judge that column"),
        ]);
    }
    let typed = LogicalPlanBuilder::empty(false)
        .build()
        .and_then(|_| LogicalPlanBuilder::from(relation.analyzed.clone()).project([expr.clone().alias("e")])?.build())
        .and_then(|plan| planner.analyze(&plan))
        .map_err(|error| diagnostics(&error, &planned))?;
    match typed.schema().field(0).data_type() {
        DataType::Boolean => Ok(expr),
        other => {
            let text = e.expr.text.trim();
            let d = Diagnostic::error(
                "T0103",
                format!("expectation \"{}\" is {}, not a condition", e.name.value, type_word(other)),
            );
            Err(vec![d.at(file, e.expr.span).help(format!("compare it with something: {text} IS NOT NULL"))])
        }
    }
}

fn build(
    planner: &Planner,
    relation: Relation<'_>,
    bound: &[(&Expectation, Expr)],
    target: &dyn Fn(&ingot_dialect::ast::ObjectName) -> TableName,
    found: &mut Vec<Diagnostic>,
) -> Option<Outcome> {
    let planned = Planned { file: relation.file, span: relation.query.span, tokens: &relation.query.tokens };
    let built = (|| {
        let schema = relation.analyzed.schema();
        let passes: Vec<Expr> =
            bound.iter().map(|(_, e)| guard(planner, e, schema)).collect::<datafusion::common::Result<_>>()?;
        let actions: Vec<ViolationAction> = bound.iter().map(|(e, _)| action(e, target)).collect();
        let keeps = |a: &ViolationAction| matches!(a, ViolationAction::DropRow | ViolationAction::Quarantine(_));
        let filter =
            passes.iter().zip(&actions).filter(|(_, a)| keeps(a)).map(|(p, _)| p.clone().is_true()).reduce(Expr::and);
        let kept = match filter {
            Some(filter) => LogicalPlanBuilder::from(relation.plan.clone()).filter(filter)?.build()?,
            None => relation.plan.clone(),
        };
        let mut quarantines = BTreeMap::new();
        let targets: BTreeSet<&TableName> = actions
            .iter()
            .filter_map(|a| if let ViolationAction::Quarantine(t) = a { Some(t) } else { None })
            .collect();
        for to in targets {
            quarantines.insert(to.clone(), quarantine(&relation, bound, &passes, &actions, to)?);
        }
        let expectations = bound
            .iter()
            .zip(&passes)
            .zip(&actions)
            .map(|(((e, _), p), a)| {
                Ok(BoundExpectation {
                    name: e.name.value.clone(),
                    violation: a.clone(),
                    broken: unqualified(p.clone())?.is_not_true(),
                    sql: e.expr.text.trim().to_owned(),
                })
            })
            .collect::<datafusion::common::Result<Vec<_>>>()?;
        let checked = CheckedRelation {
            name: relation.name.clone(),
            plan: plain(&relation)?,
            expectations,
            rows: relation.plan.clone(),
            kept: kept.clone(),
            conditions: passes,
            types: Arc::clone(relation.analyzed.schema().inner()),
        };
        Ok((checked, kept, quarantines))
    })();
    match built {
        Ok((relation, kept, quarantines)) => Some(Outcome { relation, kept, quarantines }),
        Err(error) => {
            found.extend(diagnostics(&error, &planned));
            None
        }
    }
}

fn action(e: &Expectation, target: &dyn Fn(&ingot_dialect::ast::ObjectName) -> TableName) -> ViolationAction {
    match &e.violation {
        None | Some(Violation::Warn) => ViolationAction::Warn,
        Some(Violation::DropRow) => ViolationAction::DropRow,
        Some(Violation::Quarantine(name)) => ViolationAction::Quarantine(target(name)),
        Some(Violation::FailUpdate) => ViolationAction::FailUpdate,
    }
}

/// The relation with unqualified columns, stored types where it is stored.
fn plain(relation: &Relation<'_>) -> datafusion::common::Result<LogicalPlan> {
    let plan = match relation.stored {
        Some(columns) => cast_to_stored(relation.plan.clone(), relation.analyzed, columns)?,
        None => relation.plan.clone(),
    };
    let exprs: Vec<Expr> = plan.schema().iter().map(|(q, f)| Expr::from((q, f)).alias(f.name())).collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// Rows that break no FAIL UPDATE, and whose first broken DROP ROW or QUARANTINE goes into `to`.
fn quarantine(
    relation: &Relation<'_>,
    bound: &[(&Expectation, Expr)],
    passes: &[Expr],
    actions: &[ViolationAction],
    to: &TableName,
) -> datafusion::common::Result<LogicalPlan> {
    let mut unbroken: Option<Expr> = None;
    let mut condition: Option<Expr> = None;
    for (p, a) in passes.iter().zip(actions) {
        match a {
            ViolationAction::Warn | ViolationAction::FailUpdate => continue,
            ViolationAction::Quarantine(t) if t == to => {
                let broken = p.clone().is_not_true();
                let first = unbroken.clone().map_or(broken.clone(), |u| u.and(broken));
                condition = Some(condition.map_or(first.clone(), |c: Expr| c.or(first)));
            }
            ViolationAction::Quarantine(_) | ViolationAction::DropRow => {}
        }
        let true_here = p.clone().is_true();
        unbroken = Some(unbroken.map_or(true_here.clone(), |u| u.and(true_here)));
    }
    let fails = passes.iter().zip(actions).filter(|(_, a)| **a == ViolationAction::FailUpdate);
    for (p, _) in fails {
        condition = condition.map(|c| p.clone().is_true().and(c));
    }
    let names: Vec<String> = bound.iter().map(|(e, _)| e.name.value.clone()).collect();
    let broken: Vec<Expr> = passes.iter().map(|p| p.clone().is_not_true()).collect();
    let violations = ScalarUDF::from(Violations::new(names)).call(broken).alias(VIOLATIONS);
    let builder = LogicalPlanBuilder::from(relation.plan.clone());
    let builder = match condition {
        Some(c) => builder.filter(c)?,
        None => builder,
    };
    let columns = relation.plan.schema().iter().map(|(q, f)| Expr::from((q, f)).alias(f.name()));
    let exprs: Vec<Expr> = columns.chain([violations]).collect();
    builder.project(exprs)?.build()
}

fn unqualified(e: Expr) -> datafusion::common::Result<Expr> {
    let plain = |e| {
        Ok(match e {
            Expr::Column(c) => Transformed::yes(Expr::Column(Column::new_unqualified(c.name))),
            e => Transformed::no(e),
        })
    };
    Ok(e.transform(plain)?.data)
}

/// What of a relation's expectations decides rows, for fingerprints.
pub(crate) fn fingerprint_parts(expectations: &[Expectation], parts: &mut Vec<String>) {
    for e in expectations {
        let to = match &e.violation {
            None | Some(Violation::Warn) => "warn".into(),
            Some(Violation::DropRow) => "drop".into(),
            Some(Violation::FailUpdate) => "fail".into(),
            Some(Violation::Quarantine(name)) => format!("into {}", name.dotted()),
        };
        parts.push(format!("expect {} {} {to}", e.name.value, fold_tokens(&e.expr.tokens)));
    }
}
