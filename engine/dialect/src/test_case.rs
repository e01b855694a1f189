//! `CREATE TEST`: given rows, steps, and the rows expected.
//!
//! Not here: running them.

use crate::ast::{Expr, Ident, TestDef, TestStep};
use crate::cursor::{Cursor, Step};
use sqlparser::tokenizer::Token;

impl Cursor<'_> {
    /// Behind `CREATE TEST`.
    pub(crate) fn test_case(&mut self) -> Step<TestDef> {
        let name = self.ident("the test's name")?;
        self.expect_words(&["FOR"])?;
        let target = self.object_name("the name of the table under test")?;
        let mut given = Vec::new();
        while self.eat_words(&["GIVEN"]) {
            let relation = self.object_name("the name of a table")?;
            self.expect_words(&["AS"])?;
            given.push((relation, self.query_in_parens()?));
        }
        if given.is_empty() {
            return Err(self.unexpected("GIVEN relation AS (query)"));
        }
        let mut steps = Vec::new();
        while self.eat_words(&["THEN"]) {
            steps.push(self.step()?);
        }
        if !self.eat_words(&["EXPECT"]) {
            return Err(self.unexpected("GIVEN, THEN or EXPECT"));
        }
        let unordered = self.eat_words(&["UNORDERED"]);
        let expect = self.query_in_parens()?;
        let with_refresh = if self.eat_words(&["WITH"]) {
            self.expect_words(&["REFRESH"])?;
            Some(self.choice("refresh", &[(&["INCREMENTAL"], true), (&["FULL"], false)])?.node)
        } else {
            None
        };
        Ok(TestDef { name, target, given, steps, unordered, expect, with_refresh })
    }

    fn step(&mut self) -> Step<TestStep> {
        if self.eat_words(&["INSERT"]) {
            self.expect_words(&["INTO"])?;
            let relation = self.object_name("the name of a table")?;
            return Ok(TestStep::Insert(relation, self.query_in_parens()?));
        }
        if self.eat_words(&["UPDATE"]) {
            let relation = self.object_name("the name of a table")?;
            self.expect_words(&["SET"])?;
            let mut assignments = vec![self.assignment()?];
            while self.eat(&Token::Comma) {
                assignments.push(self.assignment()?);
            }
            self.expect_words(&["WHERE"])?;
            return Ok(TestStep::Update(relation, assignments, self.expr_in_parens()?));
        }
        if self.eat_words(&["DELETE"]) {
            self.expect_words(&["FROM"])?;
            let relation = self.object_name("the name of a table")?;
            self.expect_words(&["WHERE"])?;
            return Ok(TestStep::Delete(relation, self.expr_in_parens()?));
        }
        if self.eat_words(&["SET"]) {
            self.expect_words(&["NOW"])?;
            self.expect(&Token::Eq, "\"=\"")?;
            return self.expr().map(TestStep::SetNow);
        }
        Err(self.unexpected("INSERT INTO, UPDATE, DELETE FROM or SET NOW"))
    }

    fn assignment(&mut self) -> Step<(Ident, Expr)> {
        let column = self.ident("the name of a column")?;
        self.expect(&Token::Eq, "\"=\"")?;
        Ok((column, self.expr()?))
    }
}
