//! SQL text through the whole of the semantics, over tables in memory and in Parquet files.
//!
//! Right values are worked out by hand from SQL's text and Spark's rules, or are DuckDB's; never the engine's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arrays;
mod claims;
mod correlated;
mod dependent;
mod engine;
mod frames;
mod grouping;
mod guards;
mod membership;
mod names;
mod nested;
mod numbers;
mod outputs;
mod parts;
mod patterns;
mod plain_sql;
mod pushdown;
mod quantiles;
mod recursion;
mod set_operations;
mod spread;
mod syntax;
mod time;
mod top_n;
mod twins;
mod uniqueness;
mod unnest;
mod using;
mod world;
mod zero;
