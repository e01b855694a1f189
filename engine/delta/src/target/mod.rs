//! How a change is brought into a table: which stored rows are removed, and which rows are inserted.
//!
//! Not here: which plans can land so (`shape`), reading and writing tables (`pipeline`, `lake`).

mod aggregate;
mod fate;
mod keep_first;
pub(crate) mod keyed;
mod keys;
pub(crate) mod landing;
mod rows;
