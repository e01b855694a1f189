//! A client's statement up to the parser: the same tokens, bounds and time travel as in a project's files.
//!
//!   text ─▶ lex ─▶ bounds (`size`) ─▶ FOR ... AS OF taken out (`lift`) ─▶ tokens for the engine's parser
//!
//! Invariants
//! * Linear in the text, whatever the text.
//! * Places are those of the client's text; spaces and comments are gone.
//! * STREAM is a name like another.
//!
//! Not here: which statements a client may send (`ingot-query`).

use crate::ast::{AsOf, Span};
use crate::body;
use crate::cursor::{Cursor, Step};
use crate::diagnostic::Diagnostic;
use crate::lex::lex_to_first_error;
use crate::lift;
use crate::size;
use sqlparser::ast::Visit;
use sqlparser::tokenizer::TokenWithSpan;

/// Recursion that the parser of a client's statement may use.
pub const PARSER_RECURSION_MAX: usize = body::RECURSION_MAX;

/// What the parser is given, and what was taken out before.
#[derive(Debug, Clone)]
pub struct ClientStatement {
    pub tokens: Vec<TokenWithSpan>,
    pub as_of: Vec<AsOf>,
    span: Span,
}

/// The one statement of a text; a semicolon may follow it.
///
/// # Errors
/// Text that is no SQL (P0102 to P0105), no or several statements (P0129), what nests too deeply (P0113) or is too
/// large (P0130), a version in a wrong place (P0116).
pub fn client_statement(text: &str) -> Result<ClientStatement, Box<Diagnostic>> {
    size::check_text(text)?;
    let lexed = lex_to_first_error(text);
    if let Some(d) = lexed.diagnostics.first() {
        return Err(Box::new(d.clone()));
    }
    let mut runs = lexed.statements().into_iter();
    let Some(run) = runs.next() else {
        return Err(Box::new(Diagnostic::error("P0129", "there is no statement")));
    };
    if let Some(second) = runs.next() {
        let code = lexed.tokens.get(second).and_then(|r| r.iter().find(|t| t.is_code()));
        let d = Diagnostic::error("P0129", "more than one statement").help("send one at a time");
        return Err(Box::new(d.span(code.map_or(Span::empty(), |t| t.span))));
    }
    let cursor = Cursor::new(&lexed, run, false);
    let run = 0..cursor.end;
    let tokens = cursor.run_tokens(&run);
    size::check_tokens(&tokens)?;
    let lifted = lift::lift(&tokens, false, false)?;
    let tokens = lifted.tokens.iter().map(|t| t.with_span()).collect();
    Ok(ClientStatement { tokens, as_of: lifted.as_of, span: cursor.span_of(&run) })
}

impl ClientStatement {
    /// Bounds that only the tree shows.
    ///
    /// # Errors
    /// Too many queries and tables (P0130).
    pub fn check<T: Visit>(&self, tree: &T) -> Step<()> {
        size::check_tree(tree, self.span)
    }
}
