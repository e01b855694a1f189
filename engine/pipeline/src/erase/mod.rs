//! `erase`: rows taken out of a streaming table for good, with what follows from them.
//!
//! ```text
//!   condition ─▶ Erasure: rows, error rows, readers (`find`)  ── confirmed ──▶ taken out ─▶ readers refreshed
//!                                                                 ─▶ history forgotten, files deleted (`act`)
//! ```
//!
//! Invariants
//! * Nothing is changed before everything that would keep a row is known, and refused by name.
//! * Every step is a commit, and doing all of it again is right wherever it was ended: what is found the second time is
//!   what the first had not come to.
//! * Neither the condition nor a value of a row is recorded anywhere: how many rows went is.
//!
//! Not here: asking for confirmation (`cli`), forgetting and deleting (`ingot_lake`).

mod act;
mod asked;
mod find;
mod text;

pub use asked::{Asked, Done, Erasure, Errors, Raw};
