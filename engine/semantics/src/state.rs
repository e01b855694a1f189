//! Puts the rules, functions and options together.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::prelude::SessionConfig;
use sqlparser::ast::{Expr, Statement};

/// The analyzer's rules, in their order: all of them, to be used in the place of DataFusion's.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    Analyzer::new().rules
}

/// A builder of states that compute as SQL says. Callers add their catalog and rules of their own.
pub fn state(mut config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionStateBuilder {
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".into());
    options.sql_parser.map_string_types_to_utf8view = false;
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rules(rules())
}

/// Rewrites a statement's syntax tree before it is planned.
///
/// # Errors
/// Constructs whose meaning cannot be had, as planning errors with their span where it is known.
pub fn lower(_statement: &mut Statement) -> Result<()> {
    Ok(())
}

/// As [`lower`], for an expression that stands alone.
///
/// # Errors
/// As [`lower`].
pub fn lower_expr(_expr: &mut Expr) -> Result<()> {
    Ok(())
}
