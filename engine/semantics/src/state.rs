//! Puts the rules, functions and options together.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::ScalarUDF;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use sqlparser::ast::{Expr, Statement};

use crate::arrays::Arrays;
use crate::checked::CheckedOperators;
use crate::claims::Doubt;
use crate::correlated::Correlated;
use crate::date_bin::DateBin;
use crate::date_part::{DatePart, Extract};
use crate::date_trunc::DateTrunc;
use crate::dependent::Dependent;
use crate::fence::{LowerFences, RaiseFences};
use crate::flatten::Flatten;
use crate::frames::Frames;
use crate::grouping::Grouping;
use crate::guard::Guard;
use crate::instants::Instants;
use crate::join_guards::JoinGuards;
use crate::key_columns::KeyColumns;
use crate::laterals::Laterals;
use crate::lists::Lists;
use crate::maps::MakeMap;
use crate::membership::Membership;
use crate::names::{JoinKeys, SubqueryNames};
use crate::no_row::NoRow;
use crate::one_stage::OneStage;
use crate::outer_names::NoFields;
use crate::outer_types::OuterTypes;
use crate::outputs::Outputs;
use crate::partition_windows::PartitionWindows;
use crate::physical_planner::OurPlanner;
use crate::postponed::postponed;
use crate::pushdown::fenced;
use crate::quantiles::Shares;
use crate::recursion::Recursion;
use crate::set_operations::SetOperations;
use crate::settle::Settle;
use crate::signs::Signed;
use crate::sort_keys::{KeysOnce, Peers};
use crate::statistics::one_by_one;
use crate::to_char::ToChar;
use crate::to_timestamp::{FromUnixtime, ToTimestamp, ToUnixtime};
use crate::widen::Widen;
use crate::window_keys::WindowKeys;
use crate::zero::Zero;
use crate::zones::AtTimeZone;

/// The analyzer's rules, in their order: all of them, to be used in the place of DataFusion's.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(Outputs),
        Arc::new(Signed),
        Arc::new(Flatten),
        Arc::new(Laterals),
        Arc::new(Recursion),
        Arc::new(Grouping),
        Arc::new(Instants),
    ];
    rules.extend(Analyzer::new().rules);
    let coercion = rules.iter().position(|r| r.name() == "type_coercion").unwrap_or(rules.len());
    rules.insert(coercion, Arc::new(Widen));
    rules.insert(coercion, Arc::new(Peers));
    rules.push(Arc::new(Settle));
    let types = rules.iter().skip(coercion).cloned().collect();
    rules.insert(coercion, Arc::new(OuterTypes { types }));
    rules.push(Arc::new(Shares));
    rules.push(Arc::new(SetOperations));
    rules.push(Arc::new(Lists));
    rules.push(Arc::new(Arrays));
    rules.push(Arc::new(SubqueryNames));
    rules.push(Arc::new(Correlated));
    rules.push(Arc::new(NoRow));
    rules.push(Arc::new(Membership));
    rules.push(Arc::new(Dependent));
    // Sees the comparisons that the rules before it make.
    rules.push(Arc::new(Zero));
    rules.push(Arc::new(WindowKeys));
    rules.push(Arc::new(Frames));
    rules.push(Arc::new(Guard));
    rules
}

fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules =
        crate::correlated::optimizer_rules(crate::uniqueness::optimizer_rules(crate::distinct::optimizer_rules()));
    let mut rules = crate::windows::optimizer_rules(rules);
    // When subqueries are joins, and before conditions move.
    let keys = rules.iter().position(|r| r.name() == "extract_equijoin_predicate").map_or(rules.len(), |at| at + 1);
    rules.insert(keys, Arc::new(JoinGuards));
    // They run last, when equal expressions look equal.
    rules.push(Arc::new(KeysOnce));
    rules.push(Arc::new(KeyColumns));
    rules.push(Arc::new(JoinKeys));
    rules
}

/// A builder of states that compute as SQL says. Callers add their catalog and rules of their own.
pub fn state(mut config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionStateBuilder {
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".into());
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    // The check takes a nullability that the optimizer narrowed (a CASE, IS NOT TRUE twice) for a wrong plan.
    options.execution.skip_physical_aggregate_schema_check = true;
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
        vec![Arc::new(RaiseFences), Arc::new(OneStage), Arc::new(Doubt)];
    physical.extend(PhysicalOptimizer::new().rules.into_iter().map(fenced).map(postponed).map(one_by_one));
    physical.push(Arc::new(LowerFences));
    physical.push(Arc::new(PartitionWindows));
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        // Ours come first, so that they are asked first.
        .with_expr_planners(vec![Arc::new(CheckedOperators), Arc::new(Extract), Arc::new(MakeMap), Arc::new(NoFields)])
        .with_default_features()
        .with_analyzer_rules(rules())
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(physical)
        .with_query_planner(Arc::new(OurPlanner));
    // A later function takes the place of an earlier one of its name.
    if let Some(functions) = builder.scalar_functions() {
        crate::list_items::wrap(functions);
        crate::bounds::wrap(functions);
        crate::doubles::wrap(functions);
        crate::encode::wrap(functions);
        crate::list_totals::wrap(functions);
        crate::maps::wrap(functions);
        crate::nvl2::wrap(functions);
        crate::plain_text::wrap(functions);
        crate::replacement::wrap(functions);
        crate::log::wrap(functions);
        functions.push(crate::outputs::function());
        functions.push(crate::signs::function());
        functions.push(crate::round::function());
        functions.extend(crate::ceil_floor::functions());
        functions.extend(crate::try_forms::functions());
        functions.push(Arc::new(ScalarUDF::from(DateTrunc::new())));
        functions.push(Arc::new(ScalarUDF::from(DateBin::new())));
        functions.push(Arc::new(ScalarUDF::from(DatePart::new())));
        functions.push(Arc::new(ScalarUDF::from(ToUnixtime::new())));
        functions.push(Arc::new(ScalarUDF::from(FromUnixtime::new())));
        functions.push(Arc::new(ScalarUDF::from(ToChar::new())));
        functions.push(Arc::new(ScalarUDF::from(AtTimeZone::new())));
        functions.extend(ToTimestamp::all().into_iter().map(|f| Arc::new(ScalarUDF::from(f))));
    }
    if let Some(functions) = builder.aggregate_functions() {
        crate::collected::wrap(functions);
        crate::spread::wrap(functions);
        functions.extend(crate::quantiles::functions());
        functions.extend(crate::sum::functions());
    }
    builder
}

/// Rewrites a statement's syntax tree before it is planned.
///
/// # Errors
/// Constructs whose meaning cannot be had, as a [`Refusal`](crate::Refusal) or a planning error, with their span where
/// it is known.
pub fn lower(statement: &mut Statement) -> Result<()> {
    crate::lowering::lower(statement)?;
    crate::literal::lower_statement(statement)
}

/// As [`lower`], for an expression that stands alone.
///
/// # Errors
/// As [`lower`].
pub fn lower_expr(expr: &mut Expr) -> Result<()> {
    crate::lowering::lower(expr)?;
    crate::literal::lower_expression(expr)
}
