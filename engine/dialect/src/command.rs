//! Commands, which act at once: REFRESH, EXPLAIN REFRESH, SHOW and ALTER TABLE ... EXECUTE.
//!
//! Not here: carrying them out (`cli`).

use crate::ast::{Command, Expr, Ident, MaintenanceAction};
use crate::cursor::{Cursor, Step};
use sqlparser::tokenizer::Token;

const ACTIONS: &[(&[&str], MaintenanceAction)] = &[
    (&["optimize"], MaintenanceAction::Optimize),
    (&["expire_snapshots"], MaintenanceAction::ExpireSnapshots),
    (&["remove_orphan_files"], MaintenanceAction::RemoveOrphanFiles),
];

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
        Ok(Command::AlterExecute { table, action, options })
    }

    fn option(&mut self) -> Step<(Ident, Expr)> {
        let name = self.ident("the name of an option")?;
        if !self.eat(&Token::RArrow) {
            self.expect(&Token::Eq, "\"=>\"")?;
        }
        Ok((name, self.expr()?))
    }
}
