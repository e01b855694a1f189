//! What the dialect parses and this version does not build: refused, never ignored.
//!
//! Not here: sources (`source`), parts of queries (`planning_error`, `table`).

use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::{Clauses, FlowKind, OnLate, OnSchemaChange, Statement, StatementKind, Violation};
use ingot_dialect::diagnostic::Diagnostic;

/// U codes of one statement.
pub(crate) fn check(file: &str, statement: &Statement, found: &mut Vec<Diagnostic>) {
    let mut refuse = |code, message: &str, span: Span, help: &str| {
        found.push(Diagnostic::error(code, message).at(file, span).help(help));
    };
    match &statement.kind {
        StatementKind::Flow(flow) => match &flow.kind {
            FlowKind::AutoCdc(_) => refuse(
                "U0101",
                "AUTO CDC is not supported yet",
                flow.name.span(),
                "write a materialized view with QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1",
            ),
            FlowKind::Insert { .. } => refuse(
                "U0102",
                "flows are not supported yet",
                flow.name.span(),
                "declare one streaming table for each source, each with its own query, and UNION ALL them in a view",
            ),
        },
        StatementKind::Seed(seed) => refuse(
            "U0106",
            "seeds are not supported yet",
            seed.name.span(),
            "write the rows as a view: AS SELECT * FROM (VALUES ('a', 1), ('b', 2)) AS t(name, value)",
        ),
        StatementKind::Test(test) => refuse(
            "U0108",
            "tests in SQL files are not supported yet",
            test.name.span,
            "leave it out; `ingot verify` compares every table with its query",
        ),
        StatementKind::Command(_) => refuse(
            "U0118",
            "commands do not belong to a project's files",
            statement.span,
            "run it from the command line: `ingot refresh TABLE`, `ingot status`",
        ),
        StatementKind::StreamingTable(t) => {
            if t.query.is_none() {
                refuse(
                    "U0119",
                    "a streaming table without a query is not supported yet",
                    t.name.span(),
                    "give it one: AS SELECT * FROM STREAM source",
                );
            }
            clauses(&t.clauses, &mut refuse);
        }
        StatementKind::MaterializedView(t) => clauses(&t.clauses, &mut refuse),
        StatementKind::Source(_)
        | StatementKind::External(_)
        | StatementKind::View(_)
        | StatementKind::TemporaryView(_) => {}
    }
}

/// Quarantine of a streaming table, whose rows' offsets a table of the user's columns alone cannot record.
pub(crate) fn quarantines(file: &str, statements: &[Statement], found: &mut Vec<Diagnostic>) {
    // A temporary view belongs to the one published table of its file.
    let streaming = statements.iter().any(|s| matches!(s.kind, StatementKind::StreamingTable(_)));
    for statement in statements.iter().filter(|_| streaming) {
        let columns = match &statement.kind {
            StatementKind::StreamingTable(t) => &t.columns,
            StatementKind::TemporaryView(v) => &v.columns,
            _ => continue,
        };
        for e in &columns.expectations {
            if let Some(Violation::Quarantine(name)) = &e.violation {
                let d = Diagnostic::error("U0125", "QUARANTINE INTO of a streaming table is not supported yet");
                found.push(d.at(file, name.span()).help(
                    "put the expectation on a materialized view over the streaming table; here: WARN, DROP ROW or FAIL UPDATE",
                ));
            }
        }
    }
}

fn clauses(c: &Clauses, refuse: &mut dyn FnMut(&'static str, &str, Span, &str)) {
    if let Some(f) = &c.freshness {
        refuse(
            "U0113",
            "FRESHNESS of a table is not supported yet",
            f.span,
            "leave it out, and set run.freshness in ingot.toml for all tables",
        );
    }
    if let Some(e) = &c.frozen {
        refuse("U0111", "FROZEN WHERE is not supported yet", e.span, "leave it out");
    }
    if let Some((name, _)) = &c.backfill {
        refuse(
            "U0112",
            "BACKFILL is not supported yet",
            name.span(),
            "leave it out, and UNION ALL both tables in a view",
        );
    }
    if let Some(l) = c.on_late.as_ref().filter(|l| l.node != OnLate::Accept) {
        refuse("U0110", "ON LATE is not supported yet", l.span, "leave it out: late rows are accepted");
    }
    if let Some(s) = c.on_schema_change.as_ref().filter(|s| s.node != OnSchemaChange::Ignore) {
        refuse(
            "U0116",
            "ON SCHEMA CHANGE other than IGNORE is not supported yet",
            s.span,
            "leave it out; ENCODE JSON (unknown_fields = 'error') refuses fields that are not declared",
        );
    }
}
