//! Constructs that no maintained table may hold, because their result is not a function of their input.
//!
//! Not here: constructs that merely cost a full recompute (`classify`), those that no query may hold
//! (`ingot_semantics::lower`).

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrameUnits};

use ingot_semantics::shown;

use crate::error::DeltaError;
use crate::shape::order::{aggregate_order, has_order};

/// A construct that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `U05xx`, see `REFUSALS`.
    pub code: &'static str,
    /// What is wrong with it, in one sentence.
    pub text: String,
    /// What to write instead.
    pub help: &'static str,
}

/// Every code of `Refusal` with its title.
pub const REFUSALS: &[(&str, &str)] = &[
    ("U0501", "a function gives another value each time"),
    ("U0502", "LIMIT without ORDER BY takes rows by chance"),
    ("U0506", "the aggregate depends on the order of rows"),
    ("U0507", "first_value, last_value and nth_value over peers pick by chance"),
    ("U0508", "the type has no order"),
];

const APPROXIMATE: &[&str] = &["approx_median", "approx_percentile_cont", "approx_percentile_cont_with_weight"];

/// Every construct of a plan, before optimization, that must not run; each once.
pub fn refuse(plan: &LogicalPlan) -> Vec<Refusal> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        refuse_node(node, &mut found);
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                refuse_expr(e, node, &mut found);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    if let Err(error) = walked {
        push(&mut found, "U0501", error.strip_backtrace(), "simplify the query");
    }
    found
}

/// What no query may hold, maintained or not: values that are the same would count as different.
pub fn refuse_unequal(plan: &LogicalPlan) -> Option<Refusal> {
    let mut found = Vec::new();
    // What cannot be walked fails where it is planned.
    let _ = plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let orderless = |e: &&Expr| e.get_type(&schema).is_ok_and(|t| !has_order(&t));
        match node {
            LogicalPlan::Distinct(Distinct::On(on)) => {
                if let Some(key) = on.on_expr.iter().find(orderless) {
                    no_order(&mut found, format!("DISTINCT ON ({})", shown(key)), key, &schema);
                }
            }
            LogicalPlan::Distinct(_) | LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Join(_) => {
                refuse_node(node, &mut found);
            }
            _ => {}
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                match e {
                    Expr::AggregateFunction(call) if call.params.distinct => {
                        if let Some(value) = call.params.args.iter().find(orderless) {
                            no_order(
                                &mut found,
                                format!("{}(DISTINCT {})", call.func.name(), shown(value)),
                                value,
                                &schema,
                            );
                        }
                    }
                    Expr::WindowFunction(call) => {
                        let keys = call.params.partition_by.iter().chain(call.params.order_by.iter().map(|s| &s.expr));
                        for key in keys.filter(orderless) {
                            no_order(&mut found, format!("a window by {}", shown(key)), key, &schema);
                        }
                    }
                    Expr::BinaryExpr(_) => refuse_expr(e, node, &mut found),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.into_iter().next()
}

fn push(found: &mut Vec<Refusal>, code: &'static str, text: impl Into<String>, help: &'static str) {
    let refusal = Refusal { code, text: ingot_semantics::sql_text(&text.into()), help };
    if !found.contains(&refusal) {
        found.push(refusal);
    }
}

fn refuse_node(node: &LogicalPlan, found: &mut Vec<Refusal>) {
    let schema = merge_schema(&node.inputs());
    let orderless = |e: &Expr| e.get_type(&schema).is_ok_and(|t| !has_order(&t));
    match node {
        LogicalPlan::Limit(limit) if !is_sorted(&limit.input) => {
            push(found, "U0502", "LIMIT without ORDER BY takes rows by chance", "add ORDER BY");
        }
        LogicalPlan::Distinct(Distinct::On(on)) => refuse_columns("DISTINCT ON", on.input.schema(), found),
        LogicalPlan::Distinct(Distinct::All(input)) => refuse_columns("DISTINCT", input.schema(), found),
        LogicalPlan::Window(window) => refuse_columns("a window", window.input.schema(), found),
        LogicalPlan::Sort(sort) => {
            for by in sort.expr.iter().map(|s| &s.expr).filter(|e| orderless(e)) {
                no_order(found, format!("ORDER BY {}", shown(by)), by, &schema);
            }
            // A LIMIT above breaks the sort's ties by all columns.
            if sort.fetch.is_some() {
                refuse_columns("a sort with a limit", sort.input.schema(), found);
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
            for key in keys.into_iter().filter(|e| orderless(e)) {
                no_order(found, format!("GROUP BY {}", shown(key)), key, &schema);
            }
        }
        LogicalPlan::Join(join) => {
            for (key, _) in join.on.iter().filter(|(l, _)| orderless(l)) {
                no_order(found, format!("a join by {}", shown(key)), key, &schema);
            }
        }
        _ => {}
    }
}

fn refuse_columns(what: &str, schema: &DFSchema, found: &mut Vec<Refusal>) {
    if let Some(field) = schema.fields().iter().find(|f| !has_order(f.data_type())) {
        let text =
            format!("{what} over column \"{}\" of {}, which has no order", field.name(), named(field.data_type()));
        push(found, "U0508", text, "leave the column out below");
    }
}

fn no_order(found: &mut Vec<Refusal>, what: String, expr: &Expr, schema: &DFSchema) {
    let of = expr.get_type(schema).map(|t| named(&t)).unwrap_or_default();
    let text = format!("{what} of {of}, which has neither order nor equality");
    push(found, "U0508", text, "take a value out of it (m['a']) or its keys (map_keys(m))");
}

/// A type without order, as the user knows it.
fn named(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Map(..) => "type MAP",
        DataType::Struct(_) => "a STRUCT type that holds a MAP",
        _ => "a type that holds a MAP",
    }
}

/// Whether the rows that a LIMIT sees are sorted, through what keeps their order.
fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            plan.inputs().into_iter().all(is_sorted)
        }
        // At most one row, whatever the order.
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

fn refuse_expr(expr: &Expr, node: &LogicalPlan, found: &mut Vec<Refusal>) {
    match expr {
        Expr::AggregateFunction(call) if APPROXIMATE.contains(&call.func.name()) => {
            push(
                found,
                "U0506",
                format!("{}() depends on the order of rows", call.func.name()),
                "median(x) and percentile_cont are exact",
            );
        }
        // Counting looks at no value.
        Expr::AggregateFunction(call) if call.func.name() != "count" || call.params.distinct => {
            let schema = merge_schema(&node.inputs());
            let sorts = call.params.order_by.iter().map(|s| &s.expr);
            let orderless = |e: &&Expr| e.get_type(&schema).is_ok_and(|t| !has_order(&t));
            if let Some(value) = call.params.args.iter().chain(sorts).find(orderless) {
                no_order(found, format!("{}() over {}", call.func.name(), shown(value)), value, &schema);
            } else if let Err(DeltaError::NoOrder { column, .. }) = aggregate_order(call, &schema) {
                let text = format!("{}() breaks ties by all columns, and \"{column}\" has no order", call.func.name());
                push(found, "U0508", text, "leave the column out below, or order by the value itself");
            }
        }
        Expr::BinaryExpr(comparison) if comparison.op.supports_propagation() => {
            let schema = merge_schema(&node.inputs());
            if comparison.left.get_type(&schema).is_ok_and(|t| !has_order(&t)) {
                no_order(found, format!("the comparison {}", shown(expr)), &comparison.left, &schema);
            }
        }
        Expr::WindowFunction(call) => refuse_window(call, node, found),
        other if other.is_volatile_node() => {
            push(
                found,
                "U0501",
                format!("{} gives another value each time, so the table could never equal its query", shown(other)),
                "derive the value from columns, as sha256(id) does",
            );
        }
        _ => {}
    }
}

fn refuse_window(call: &WindowFunction, node: &LogicalPlan, found: &mut Vec<Refusal>) {
    if APPROXIMATE.contains(&call.fun.name()) {
        push(found, "U0506", format!("{}() depends on the order of rows", call.fun.name()), "median(x) is exact");
    }
    let picks = matches!(call.fun.name(), "first_value" | "last_value" | "nth_value" | "array_agg" | "string_agg");
    if !picks || call.params.window_frame.units == WindowFrameUnits::Rows {
        return;
    }
    let Some(input) = node.inputs().first().copied() else { return };
    // The order is unique if, with the partition, it holds every column.
    let unique = input.schema().iter().all(|(q, f)| {
        let column = Expr::Column(datafusion::common::Column::new(q.cloned(), f.name()));
        call.params.order_by.iter().any(|s| s.expr == column) || call.params.partition_by.contains(&column)
    });
    if !unique {
        push(
            found,
            "U0507",
            format!("{}() over a RANGE or GROUPS frame picks among peers by chance", call.fun.name()),
            "write ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW: its ties are broken by all columns",
        );
    }
}
