//! How a change lands: which stored rows go and which come.
//!
//! Not here: which plans can land so (`shape`), reading and writing tables (`pipeline`, `lake`).

pub(crate) mod aggregate;
pub(crate) mod keep_first;
pub(crate) mod keyed;
pub(crate) mod keys;
pub(crate) mod rows;
pub(crate) mod state;
