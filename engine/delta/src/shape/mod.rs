//! What a plan is: how it can be maintained, what of it is refused, which tables and clocks it reads.
//!
//! Not here: how its change lands in the stored table (`target`).

pub(crate) mod above;
pub(crate) mod classify;
pub(crate) mod obstacles;
pub(crate) mod order;
pub(crate) mod rebind;
pub(crate) mod refuse;
