//! Text of a client to one statement the planner may have: parameters numbered, time travel taken out, SHOW and
//! DESCRIBE as queries, everything that is not a read refused.
//!
//!   text ──▶ the dialect's front end (bounds, AS OF out) ──▶ `?` to `$n` ──▶ syntax tree ──▶ refuse, rewrite SHOW
//!   ──▶ Statement
//!
//! Invariants
//! * Places are those of the client's text: tokens are taken out, never put in.
//! * Work is linear in the text, and the tree no deeper than the dialect's bounds.
//! * `relations` has every name that must be looked up, and no name of a CTE or a table function.
//!
//! Not here: whether a name exists (`names`), planning (`session`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, ParserInput, Statement as EngineStatement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, SetExpr, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions,
    Spanned, Statement as Tree, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use ingot_dialect::ast::AsOf;
pub(crate) use ingot_dialect::ast::Version;
use ingot_dialect::{GRAMMAR, PARSER_RECURSION_MAX, client_statement, written_query};

use crate::changes_call::{self, Between};
use crate::error::{ErrorKind, QueryError, syntax_error};
use crate::levels;

/// A name to look up.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// Folded; the table's last, after its namespace and catalog.
    pub parts: Vec<String>,
    pub span: Span,
    /// `None`: the head.
    pub version: Option<Version>,
    /// What changed between two snapshots is asked for, not the rows.
    pub changes: Option<Between>,
    /// The table's name in the syntax tree: unlike the last part where a version or a change is asked for.
    pub planned_as: String,
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub tree: EngineStatement,
    pub relations: Vec<Relation>,
    /// Reads `information_schema`, so the catalog of every table is needed.
    pub lists_tables: bool,
}

/// The verbs of statements that change something, or a session.
const WRITES: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DETACH",
    "DROP",
    "EXECUTE",
    "EXPORT",
    "GRANT",
    "INSERT",
    "INSTALL",
    "KILL",
    "LOAD",
    "LOCK",
    "MERGE",
    "OPTIMIZE",
    "PRAGMA",
    "PREPARE",
    "REFRESH",
    "REINDEX",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "TRUNCATE",
    "UNLOAD",
    "UPDATE",
    "USE",
    "VACUUM",
];

/// Parses one statement of a client. `catalog` is the name under which the tables are served.
///
/// # Errors
/// Syntax errors, more or less than one statement, statements that are not reads.
pub(crate) fn parse(sql: &str, catalog: &str) -> Result<Statement, QueryError> {
    let mut text = client_statement(sql).map_err(|d| QueryError::from_front_end(sql, &d))?;
    refuse_by_verb(sql, &text.tokens)?;
    number_parameters(sql, &mut text.tokens)?;
    // DataFusion's own statements (EXPLAIN, DESCRIBE) have no place in sqlparser's trees.
    let mut statements = DFParserBuilder::new(ParserInput::Tokens(std::mem::take(&mut text.tokens)))
        .with_dialect(&GRAMMAR)
        .with_recursion_limit(PARSER_RECURSION_MAX)
        .build()
        .and_then(|mut p| p.parse_statements())
        .map_err(|e| QueryError::from_engine(sql, &e))?;
    let tree = statements.pop_front().ok_or_else(|| QueryError::new(ErrorKind::Syntax, "there is no statement"))?;
    if !statements.is_empty() {
        return Err(QueryError::new(ErrorKind::Syntax, "more than one statement").with_hint("send one at a time"));
    }
    let (mut tree, described) = rewrite(sql, tree, catalog)?;
    let mut versions = VersionNames { sql, travels: text.as_of.clone(), renamed: BTreeMap::new(), error: None };
    if let Some(inner) = tree_of(&mut tree) {
        text.check(&*inner).map_err(|d| QueryError::from_front_end(sql, &d))?;
        levels::join(inner);
        let _ = VisitMut::visit(inner, &mut versions);
    }
    if let Some(e) = versions.error {
        return Err(e);
    }
    if let Some(travel) = versions.travels.first() {
        return Err(QueryError::new(ErrorKind::Syntax, "FOR ... AS OF does not follow a table's name")
            .at(sql, travel.name.span()));
    }
    let mut relations = relations(sql, &tree, &versions.renamed)?;
    relations.extend(described);
    let lists_tables = relations.iter().any(|r| r.is_information_schema());
    relations.retain(|r| !r.is_information_schema());
    Ok(Statement { tree, relations, lists_tables })
}

impl Relation {
    fn is_information_schema(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().rev().nth(1).is_some_and(|s| s == "information_schema")
    }
}

fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(w) if w.quote_style.is_none() => Some(w.value.to_ascii_uppercase()),
        _ => None,
    }
}

fn refusal(what: &str) -> QueryError {
    QueryError::new(ErrorKind::Refused, format!("{what} is refused: this endpoint only reads"))
        .with_hint("tables are declared in the project's SQL files and kept up to date by `ingot run`")
}

/// `CREATE STREAMING TABLE` and its like are no SQL to the parser: the verb decides before it.
fn refuse_by_verb(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let mut words = tokens.iter();
    let Some(first) = words.next() else {
        return Err(QueryError::new(ErrorKind::Syntax, "there is no statement"));
    };
    let Some(verb) = word(&first.token) else { return Ok(()) };
    let second = words.next().and_then(|t| word(&t.token));
    if verb == "SET" || verb == "RESET" || verb == "USE" {
        return Err(QueryError::new(ErrorKind::Refused, format!("{verb} is refused: sessions have no settings"))
            .with_hint("write names in full, as in namespace.table; the time zone is UTC")
            .at(sql, first.span));
    }
    if verb == "ALTER" && tokens.iter().any(|t| word(&t.token).as_deref() == Some("EXECUTE")) {
        return Err(refusal("ALTER TABLE ... EXECUTE")
            .with_hint(
                "run it in the project's folder: `ingot sql \"ALTER TABLE ...\"`, or all of it: `ingot maintain`",
            )
            .at(sql, first.span));
    }
    if WRITES.contains(&verb.as_str()) {
        let what = second.map_or(verb.clone(), |s| format!("{verb} {s}"));
        return Err(refusal(&what).at(sql, first.span));
    }
    if verb == "EXPLAIN" && second.as_deref() == Some("REFRESH") {
        return Err(refusal("EXPLAIN REFRESH")
            .with_hint("run `ingot plan` in the project's folder")
            .at(sql, first.span));
    }
    Ok(())
}

/// Every `?` becomes `$1`, `$2`, ... from left to right, every `?n` becomes `$n`.
fn number_parameters(sql: &str, tokens: &mut [TokenWithSpan]) -> Result<(), QueryError> {
    let mut count = 0_usize;
    let mut numbered = false;
    for t in tokens.iter_mut() {
        let Token::Placeholder(text) = &mut t.token else { continue };
        let dollar = text.starts_with('$');
        if text == "?" {
            count += 1;
            *text = format!("${count}");
        } else {
            numbered = true;
            if let Some(n) = text.strip_prefix('?') {
                *text = format!("${n}");
            }
        }
        if count > 0 && numbered {
            let (a, b) = if dollar { ("?", "$1") } else { ("?", "?1") };
            return Err(QueryError::new(ErrorKind::Parameter, format!("{a} and {b} do not mix in one statement"))
                .at(sql, t.span));
        }
    }
    Ok(())
}

/// What is asked of a table other than its rows of now.
#[derive(Clone)]
enum Asked {
    Version(Version),
    Changes(Between),
}

/// Gives names with a version a name of their own in the tree, so that one table can be read at two versions; and a call
/// of `changes` the name of a table.
struct VersionNames<'a> {
    sql: &'a str,
    travels: Vec<AsOf>,
    renamed: BTreeMap<String, (String, Asked)>,
    error: Option<QueryError>,
}

impl VersionNames<'_> {
    /// Another name in place of a table's last, which is what it is called by unless it has an alias.
    fn rename(&mut self, name: &mut ObjectName, asked: Asked) -> Option<Ident> {
        let last = name.0.last_mut()?;
        let written = last.as_ident()?.clone();
        let folded = fold(&written);
        let kind = match asked {
            Asked::Version(_) => "as_of",
            Asked::Changes(_) => "changes",
        };
        let planned_as = format!("{folded}${kind}_{}", self.renamed.len());
        *last = ObjectNamePart::Identifier(Ident::with_quote_and_span('"', written.span, planned_as.clone()));
        self.renamed.insert(planned_as, (folded, asked));
        Some(written)
    }

    fn changes(&mut self, factor: &mut TableFactor) -> Result<(), QueryError> {
        let TableFactor::Table { name, args, alias, .. } = factor else { return Ok(()) };
        let Some(call) = args.as_ref().filter(|_| changes_call::is_changes(name)) else { return Ok(()) };
        let (parts, between) = changes_call::read(self.sql, name, call)?;
        let called = name.0.first().and_then(|part| part.as_ident().cloned());
        *name = levels::shortened(parts);
        *args = None;
        self.rename(name, Asked::Changes(between));
        if alias.is_none() {
            *alias = called.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        Ok(())
    }
}

impl VisitorMut for VersionNames<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let refuse = |what: &str, span: Span| {
            QueryError::new(ErrorKind::Unsupported, format!("{what} is not supported")).at(self.sql, span)
        };
        if let TableFactor::Derived { sample: Some(_), subquery, .. } = factor {
            self.error = Some(refuse("TABLESAMPLE", subquery.span()));
            return ControlFlow::Break(());
        }
        if let Err(e) = self.changes(factor) {
            self.error = Some(e);
            return ControlFlow::Break(());
        }
        let TableFactor::Table { name, alias, version, sample, .. } = factor else { return ControlFlow::Continue(()) };
        if sample.is_some() {
            self.error = Some(refuse("TABLESAMPLE", name.span()));
            return ControlFlow::Break(());
        }
        if version.is_some() {
            self.error = Some(
                refuse("this form of time travel", name.span())
                    .with_hint("write t FOR VERSION AS OF 1, or t FOR TIMESTAMP AS OF '...'"),
            );
            return ControlFlow::Break(());
        }
        let end = name.span().end;
        let Some(i) = self.travels.iter().position(|t| t.name.span().end == end) else {
            return ControlFlow::Continue(());
        };
        let version = self.travels.remove(i).at;
        let Some(last) = self.rename(name, Asked::Version(version)) else { return ControlFlow::Continue(()) };
        if alias.is_none() {
            *alias = Some(TableAlias { explicit: true, name: last, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

pub(crate) fn tree_of(statement: &mut EngineStatement) -> Option<&mut Tree> {
    match statement {
        EngineStatement::Statement(s) => Some(s),
        EngineStatement::Explain(e) => tree_of(&mut e.statement),
        _ => None,
    }
}

/// SHOW and DESCRIBE as queries; anything else that is not a read is an error. Also gives names that the rewritten
/// text reads without saying so.
fn rewrite(
    sql: &str,
    statement: EngineStatement,
    catalog: &str,
) -> Result<(EngineStatement, Vec<Relation>), QueryError> {
    let tree = match statement {
        EngineStatement::Statement(tree) => tree,
        EngineStatement::Explain(mut explain) => {
            let (inner, more) = rewrite(sql, *explain.statement, catalog)?;
            explain.statement = Box::new(inner);
            return Ok((EngineStatement::Explain(explain), more));
        }
        EngineStatement::CreateExternalTable(_) => return Err(refusal("CREATE EXTERNAL TABLE")),
        EngineStatement::CopyTo(_) => return Err(refusal("COPY")),
        EngineStatement::Reset(_) => return Err(refusal("RESET")),
    };
    let query = match *tree {
        Tree::Query(ref q) => {
            refuse_writes_within(sql, &q.body)?;
            return Ok((EngineStatement::Statement(tree), Vec::new()));
        }
        Tree::Explain { ref statement, .. } if matches!(**statement, Tree::Query(_)) => {
            return Ok((EngineStatement::Statement(tree), Vec::new()));
        }
        Tree::ShowVariable { .. } | Tree::ShowFunctions { .. } | Tree::ShowCreate { .. } => {
            return Ok((EngineStatement::Statement(tree), Vec::new()));
        }
        Tree::ShowTables { ref show_options, .. } | Tree::ShowViews { ref show_options, .. } => {
            let views = matches!(*tree, Tree::ShowViews { .. });
            let mut filter = like(show_options, "table_name")?;
            if let Some(name) = within(show_options) {
                filter.push_str(&format!(" AND table_schema IN ({})", schemas(&name, catalog)));
            }
            if views {
                filter.push_str(" AND table_type = 'VIEW'");
            }
            format!(
                "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
                 WHERE table_schema <> 'information_schema'{filter} ORDER BY table_schema, table_name"
            )
        }
        Tree::ShowSchemas { ref show_options, .. } | Tree::ShowDatabases { ref show_options, .. } => {
            let filter = like(show_options, "schema_name")?;
            format!(
                "SELECT catalog_name, schema_name FROM information_schema.schemata WHERE TRUE{filter} ORDER BY schema_name"
            )
        }
        Tree::ShowCatalogs { .. } => format!("SELECT {} AS catalog_name", quoted(catalog)),
        Tree::ShowColumns { ref show_options, .. } => {
            let Some(name) = show_options.show_in.as_ref().and_then(|i| i.parent_name.clone()) else {
                return Err(QueryError::new(ErrorKind::Syntax, "SHOW COLUMNS names no table")
                    .with_hint("write SHOW COLUMNS FROM namespace.table"));
            };
            let columns = "table_catalog, table_schema, table_name, column_name, data_type, is_nullable";
            return describe((sql, catalog), &name, columns, &like(show_options, "column_name")?);
        }
        Tree::ExplainTable { ref table_name, .. } => {
            return describe((sql, catalog), table_name, "column_name, data_type, is_nullable", "");
        }
        ref other => return Err(refusal(&verb_of(other))),
    };
    Ok((parsed(&query)?, Vec::new()))
}

fn describe(
    (sql, catalog): (&str, &str),
    name: &ObjectName,
    columns: &str,
    filter: &str,
) -> Result<(EngineStatement, Vec<Relation>), QueryError> {
    let relation = relation_of(sql, name)?;
    let [namespace @ .., table] = relation.parts.as_slice() else { return Err(refusal("DESCRIBE")) };
    let query = format!(
        "SELECT {columns} FROM information_schema.columns WHERE table_catalog = {} AND table_schema IN ({}) \
         AND table_name = {}{filter} ORDER BY ordinal_position",
        quoted(catalog),
        schemas(namespace, catalog),
        quoted(table)
    );
    Ok((parsed(&query)?, vec![relation]))
}

fn parsed(query: &str) -> Result<EngineStatement, QueryError> {
    let query = written_query(query).map_err(|e| syntax_error(query, &e))?;
    Ok(EngineStatement::Statement(Box::new(Tree::Query(Box::new(query)))))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn within(options: &ShowStatementOptions) -> Option<Vec<String>> {
    let name = options.show_in.as_ref()?.parent_name.as_ref()?;
    Some(name.0.iter().filter_map(|p| p.as_ident()).map(fold).collect())
}

fn like(options: &ShowStatementOptions, column: &str) -> Result<String, QueryError> {
    let filter = match &options.filter_position {
        None => return Ok(String::new()),
        Some(ShowStatementFilterPosition::Infix(f) | ShowStatementFilterPosition::Suffix(f)) => f,
    };
    match filter {
        ShowStatementFilter::Like(p) | ShowStatementFilter::NoKeyword(p) => {
            Ok(format!(" AND {column} LIKE {}", quoted(p)))
        }
        ShowStatementFilter::ILike(p) => Ok(format!(" AND {column} ILIKE {}", quoted(p))),
        ShowStatementFilter::Where(_) => {
            Err(QueryError::new(ErrorKind::Unsupported, "SHOW ... WHERE is not supported")
                .with_hint("query information_schema.tables or information_schema.columns"))
        }
    }
}

/// What a namespace as written may be, as literals: its first part may be the catalog's name.
fn schemas(namespace: &[String], catalog: &str) -> String {
    let bare = namespace.split_first().filter(|(first, rest)| *first == catalog && !rest.is_empty());
    let all = std::iter::once(namespace).chain(bare.map(|(_, rest)| rest));
    all.map(|levels| quoted(&levels.join("."))).collect::<Vec<_>>().join(", ")
}

fn verb_of(tree: &Tree) -> String {
    let text = tree.to_string();
    text.split_whitespace().take(2).map(str::to_uppercase).collect::<Vec<_>>().join(" ")
}

fn refuse_writes_within(sql: &str, body: &SetExpr) -> Result<(), QueryError> {
    match body {
        SetExpr::Insert(t) | SetExpr::Update(t) | SetExpr::Delete(t) | SetExpr::Merge(t) => {
            Err(refusal(&verb_of(t)).at(sql, t.span()))
        }
        SetExpr::Query(q) => refuse_writes_within(sql, &q.body),
        SetExpr::SetOperation { left, right, .. } => {
            refuse_writes_within(sql, left)?;
            refuse_writes_within(sql, right)
        }
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
    }
}

fn relation_of(sql: &str, name: &ObjectName) -> Result<Relation, QueryError> {
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(fold).collect();
    if parts.is_empty() || parts.len() != name.0.len() {
        return Err(QueryError::new(ErrorKind::UnknownName, format!("\"{name}\" is not a table's name"))
            .with_hint("write namespace.table")
            .at(sql, name.span()));
    }
    let parts = levels::three(parts);
    Ok(Relation {
        planned_as: parts.last().cloned().unwrap_or_default(),
        parts,
        span: name.span(),
        version: None,
        changes: None,
    })
}

/// Collects names with their places, and the names of table functions.
#[derive(Default)]
struct Names {
    relations: Vec<ObjectName>,
    functions: BTreeSet<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.relations.push(name.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            self.functions.extend(name.0.last().and_then(|p| p.as_ident()).map(fold));
        }
        ControlFlow::Continue(())
    }
}

fn relations(
    sql: &str,
    statement: &EngineStatement,
    renamed: &BTreeMap<String, (String, Asked)>,
) -> Result<Vec<Relation>, QueryError> {
    let (references, _) = resolve_table_references(statement, true).map_err(|e| QueryError::from_engine(sql, &e))?;
    let mut names = Names::default();
    let mut inner = statement;
    while let EngineStatement::Explain(e) = inner {
        inner = &e.statement;
    }
    if let EngineStatement::Statement(tree) = inner {
        let _ = Visit::visit(tree.as_ref(), &mut names);
    }
    let written: Vec<Relation> = names.relations.iter().filter_map(|n| relation_of(sql, n).ok()).collect();
    let mut out = Vec::new();
    for reference in references {
        let parts: Vec<String> = match &reference {
            TableReference::Bare { table } => vec![table.to_string()],
            TableReference::Partial { schema, table } => vec![schema.to_string(), table.to_string()],
            TableReference::Full { catalog, schema, table } => {
                vec![catalog.to_string(), schema.to_string(), table.to_string()]
            }
        };
        if let [bare] = parts.as_slice()
            && names.functions.contains(bare)
        {
            continue;
        }
        let span = written.iter().find(|r| r.parts == parts).map_or_else(Span::empty, |r| r.span);
        let mut relation = Relation {
            planned_as: parts.last().cloned().unwrap_or_default(),
            parts,
            span,
            version: None,
            changes: None,
        };
        if let Some((name, asked)) = renamed.get(&relation.planned_as) {
            match asked {
                Asked::Version(version) => relation.version = Some(version.clone()),
                Asked::Changes(between) => relation.changes = Some(between.clone()),
            }
            if let Some(last) = relation.parts.last_mut() {
                last.clone_from(name);
            }
        }
        out.push(relation);
    }
    Ok(out)
}
