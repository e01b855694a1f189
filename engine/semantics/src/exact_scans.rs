//! Optimizations of DataFusion that lose rows over Parquet, switched off.
//!
//! Not here: which files and row groups a scan leaves out (`ingot-lake`).

use datafusion::config::ConfigOptions;

/// Switches off what makes DataFusion lose rows over any Parquet scan.
///
/// * Filters from aggregates: `SELECT min(a), min(b)` leaves a column out of the
///   filter while all its values so far are NULL, and skips rows that only that
///   column needs.
/// * Filters from joins: they drop NULL and NaN keys, which `IS NOT DISTINCT FROM`
///   and equality of floats match (datafusion 22964).
pub fn exact_options(options: &mut ConfigOptions) {
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
}
