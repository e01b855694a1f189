//! The dialect: SQL files to typed statements with places, diagnostics, and back to text. Pure: no I/O, no clock.
//!
//!   text ─▶ lex ─▶ parse (source, table, flow, test_case, command; body and lift for queries) ─▶ ast
//!                                                         ast ─▶ print, format, fingerprint
//!   a client's statement ─▶ lex ─▶ client (bounds, time travel) ─▶ tokens for the engine's parser
//!   SQL of our own code ─▶ written ─▶ trees
//!
//! Invariants
//! * parse(print(x)) = x, and formatting twice changes nothing more.
//! * No input makes it panic; every error has a code, a place and, where one is known, a remedy.
//!
//! Not here: what names and types mean (`pipeline`), how queries are planned (DataFusion).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod ast;
mod body;
mod client;
pub mod codes;
mod command;
mod cursor;
pub mod diagnostic;
pub mod duration;
pub mod env;
pub mod fingerprint;
mod flow;
pub mod format;
mod grammar;
mod layout;
mod lex;
pub use lex::statements;
mod lift;
pub mod parse;
#[cfg(test)]
mod parse_tests;
pub mod print;
pub mod render;
#[cfg(test)]
mod roundtrip_tests;
mod size;
mod source;
mod table;
mod test_case;
mod types;
mod written;

pub use body::parser_message;
pub use client::{ClientStatement, PARSER_RECURSION_MAX, client_statement};
pub use codes::{CODES, CodeInfo, explain};
pub use command::{client_command, client_condition};
pub use diagnostic::{Diagnostic, Severity, Suggestion, did_you_mean, to_json};
pub use env::expand_env;
pub use fingerprint::{fingerprint, fold_tokens};
pub use format::format_file;
pub use grammar::{GRAMMAR, Grammar};
pub use layout::identifier;
pub use parse::{Parsed, parse_file, parse_query};
pub use print::print;
pub use render::{excerpt, render};
pub use types::parse_type;
pub use written::{written_expr, written_query};
