//! How a change lands: which stored rows go and which come.
//!
//! Not here: which plans can land so (`shape`), reading and writing tables (`pipeline`, `lake`).

mod aggregate;
mod fate;
mod keep_first;
pub(crate) mod keyed;
mod keys;
pub(crate) mod landing;
mod rows;
