//! What a plan is: how it can be maintained, what of it is refused, which tables and clocks it reads.
//!
//! Not here: how a change goes through it (`change`) and lands in the stored table (`target`).

pub(crate) mod aggregate;
pub(crate) mod classify;
pub(crate) mod clock;
pub(crate) mod expressions;
mod first_row;
pub(crate) mod keep_first;
mod linear;
mod obstacles;
pub(crate) mod order;
pub(crate) mod projections;
pub(crate) mod rebind;
pub(crate) mod refuse;
