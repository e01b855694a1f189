//! What SQL means here: DataFusion's grammar with the answers of the SQL standard.
//!
//!   syntax tree ──▶ lower ──▶ DataFusion's planner ──▶ analyzer rules ──▶ DataFusion's optimizer and execution
//!
//! Models, `verify` and clients' queries are planned by states that `state` makes, so one text has one answer.
//!
//! Invariants
//! * Every rule is idempotent: a plan that was analyzed may be analyzed again.
//! * A rule keeps the names of a plan's output.
//!
//! Not here: what may not be maintained (`ingot_delta::refuse`), exact sums of floats (`ingot_delta`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod arrays;
mod attempt;
mod average;
mod beside_text;
mod bounds;
mod branches;
mod calls;
mod canonical;
mod ceil_floor;
mod checked;
mod claims;
mod collected;
mod complaint;
mod constants;
mod correlated;
mod date_bin;
mod date_part;
mod date_trunc;
mod decimal;
mod delegated;
mod dependent;
mod distinct;
mod doubles;
mod encode;
mod exact_scans;
mod explained;
mod extremes;
mod failure;
mod fallible;
mod fence;
mod flatten;
mod frames;
mod grouping;
mod guard;
mod guard_exprs;
mod hidden_keys;
mod inner_ctes;
mod instant_text;
mod instants;
mod interval_arithmetic;
mod join_guards;
mod judged;
mod key_columns;
mod laterals;
mod lazily;
mod list_items;
mod list_totals;
mod lists;
mod literal;
mod log;
mod lowering;
mod maps;
mod membership;
mod named_failures;
mod named_windows;
mod names;
mod namesakes;
mod narrow;
mod no_row;
mod null_arguments;
mod nvl2;
mod one_stage;
mod ordinals;
mod outer_names;
mod outer_references;
mod outer_rows;
mod outer_types;
mod outputs;
mod partition_windows;
mod patterns;
mod physical_planner;
mod plain_text;
mod postponed;
mod pushdown;
mod quantiles;
mod reached;
mod recursion;
mod refusal;
mod relations;
mod replacement;
mod rewrite;
mod round;
mod row_values;
mod set_operations;
mod settle;
mod shown;
mod signs;
mod sort_keys;
mod spans;
mod spread;
mod sql_text;
mod state;
mod statistics;
mod subqueries;
mod sum;
mod syntax;
mod text_casts;
mod to_char;
mod to_timestamp;
mod try_forms;
mod twins;
mod type_names;
mod uniqueness;
mod using;
mod value_lists;
mod widen;
mod window_keys;
mod windows;
mod written;
mod zero;
mod zones;

pub use canonical::{CANONICAL, canonical_array, exactly, has_equals, uncanonical};
pub use complaint::{Complaint, Written, Wrong, complaint, complaints, is_word, text_of, written_name};
pub use exact_scans::exact_options;
pub use explained::names_shown;
pub use extremes::{float_max, float_min};
pub use failure::{
    Failure, FailureKind, arrow_without_values, find, is_failure, parquet_without_values, without_values,
};
pub use fallible::plan_can_fail;
pub use fence::Fence;
pub use flatten::flattened;
pub use instant_text::instants_as_text;
pub use judged::{Judge, Judged};
pub use namesakes::{Casts, has_namesakes, put_back_casts, take_out_casts};
pub use outer_names::look_outside;
pub use refusal::Refusal;
pub use shown::shown;
pub use sql_text::sql_text;
pub use state::{lower, lower_expr, rules, state};
pub use subqueries::has_subquery;
pub use sum::{avg_udaf, fit, sum_udaf};
pub use text_casts::{uuids_as_text, uuids_of_text};
pub use twins::{name_twins, name_used_twins, own_name};
pub use type_names::type_name;
