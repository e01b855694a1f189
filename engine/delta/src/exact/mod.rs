//! Sums and statistics of doubles without error, as values and as aggregate functions.
//!
//! Not here: overflow and rounding of integers and decimals (`ingot_semantics`).

pub(crate) mod accumulators;
pub(crate) mod functions;
pub(crate) mod moments;
pub(crate) mod statistic;
pub(crate) mod statistics;
pub(crate) mod sum;
pub(crate) mod total;
