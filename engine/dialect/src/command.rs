//! Commands, which act at once: REFRESH, EXPLAIN REFRESH, SHOW and ALTER TABLE ... EXECUTE.
//!
//! Not here: carrying them out (`cli`).

use crate::ast::{Command, Expr, Ident, MaintenanceAction};
use crate::cursor::{Cursor, Step};
use crate::diagnostic::Diagnostic;
use crate::lex::lex_to_first_error;
use crate::size;
use sqlparser::tokenizer::Token;

const ACTIONS: &[(&[&str], MaintenanceAction)] = &[
    (&["optimize"], MaintenanceAction::Optimize),
    (&["expire_snapshots"], MaintenanceAction::ExpireSnapshots),
    (&["rewrite_manifests"], MaintenanceAction::RewriteManifests),
    (&["remove_orphan_files"], MaintenanceAction::RemoveOrphanFiles),
];

/// The `ALTER TABLE` that a client's statement is, if it begins with these words; a semicolon may follow.
///
/// # Errors
/// Everything that is wrong with it.
pub fn client_command(text: &str) -> Result<Option<Command>, Box<Diagnostic>> {
    let lexed = lex_to_first_error(text);
    let Some(run) = lexed.statements().into_iter().next() else { return Ok(None) };
    let mut cursor = Cursor::new(&lexed, run, false);
    if !cursor.eat_words(&["ALTER", "TABLE"]) {
        return Ok(None);
    }
    size::check_text(text)?;
    if let Some(d) = lexed.diagnostics.first() {
        return Err(Box::new(d.clone()));
    }
    let command = cursor.alter()?;
    if cursor.is_done() { Ok(Some(command)) } else { Err(cursor.unexpected("the end of the statement")) }
}

/// The condition that a text is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn client_condition(text: &str) -> Result<Expr, Box<Diagnostic>> {
    size::check_text(text)?;
    let lexed = lex_to_first_error(text);
    if let Some(d) = lexed.diagnostics.first() {
        return Err(Box::new(d.clone()));
    }
    let Some(run) = lexed.statements().into_iter().next() else {
        return Err(Box::new(Diagnostic::error("P0129", "expected a condition, found nothing")));
    };
    let mut cursor = Cursor::new(&lexed, run, false);
    let condition = cursor.expr()?;
    let is_whole = cursor.is_done() && lexed.statements().len() == 1;
    if is_whole { Ok(condition) } else { Err(cursor.unexpected("the end of the condition")) }
}

impl Cursor<'_> {
    /// Behind `REFRESH`.
    pub fn refresh(&mut self) -> Step<Command> {
        let name = self.object_name("the name of a table")?;
        let full = self.eat_words(&["FULL"]);
        let filter = if !full && self.eat_words(&["WHERE"]) { Some(self.expr_in_parens()?) } else { None };
        Ok(Command::Refresh { name, full, filter })
    }

    /// Behind `EXPLAIN REFRESH`.
    pub(crate) fn explain_refresh(&mut self) -> Step<Command> {
        self.object_name("the name of a table").map(Command::ExplainRefresh)
    }

    /// Behind `SHOW`.
    pub fn show(&mut self) -> Step<Command> {
        if self.eat_words(&["REFRESH", "HISTORY"]) {
            let name = if self.is_done() { None } else { Some(self.object_name("the name of a table")?) };
            return Ok(Command::ShowRefreshHistory(name));
        }
        if self.eat_words(&["LINEAGE"]) {
            return self.object_name("the name of a table or column").map(Command::ShowLineage);
        }
        Err(self.unexpected("REFRESH HISTORY or LINEAGE"))
    }

    /// Behind `ALTER TABLE`.
    pub(crate) fn alter(&mut self) -> Step<Command> {
        let table = self.object_name("the name of a table")?;
        self.expect_words(&["EXECUTE"])?;
        let action = self.choice("action", ACTIONS)?.node;
        let options =
            if self.is_token(0, &Token::LParen) { self.list("name => value", Self::option)? } else { Vec::new() };
        let filter = match action {
            MaintenanceAction::Optimize if self.eat_words(&["WHERE"]) => Some(self.expr()?),
            _ => None,
        };
        Ok(Command::AlterExecute { table, action, options, filter })
    }

    fn option(&mut self) -> Step<(Ident, Expr)> {
        let name = self.ident("the name of an option")?;
        if !self.eat(&Token::RArrow) {
            self.expect(&Token::Eq, "\"=>\"")?;
        }
        Ok((name, self.expr()?))
    }
}
