//! Messages to Arrow: a declared source's schema, and the decoder that fills its columns or says why it cannot.
//!
//!   schema (CREATE SOURCE) ──▶ decoder ──▶ json: find ──▶ convert: type ──▶ cell ──▶ column: build
//!
//! Not here: where messages come from (`kafka`).

mod cell;
mod column;
mod convert;
pub(crate) mod decoder;
mod json;
pub(crate) mod options;
pub mod path;
pub mod schema;
pub(crate) mod time;
pub mod types;

pub use decoder::{Decoded, Decoder, MessageRef, SELECT_FAILS, error_schema};
