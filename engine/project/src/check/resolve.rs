//! Takes a project's declarations in the order of their graph and plans each one.
//!
//! Invariants
//! * A declaration is planned only when everything it reads is known; one that is not is silent about it.
//! * A temporary view is planned once and inlined where it is read.
//!
//! Not here: what stands around a query (`table`), models (`model`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query as SqlQuery;
use ingot_dialect::ast::{Query, Statement, ViewDef};
use ingot_dialect::diagnostic::Diagnostic;
use ingot_dialect::fold_tokens;
use ingot_model::TableName;

use super::expectation::{self, Outcome};
use super::names::{Declared, DeclaredKind, Found, Key, Names, Rules};
use super::output;
use super::planning_error::{Planned, diagnostics, head, unknown_function};
use super::query::{Placeholder, Planner, Relations};
use super::references::{Mentions, Qualify, mentions};
use super::side::quarantine_schema;
use super::streams::{self, Leaf, LeafKind};
use super::trial::Trials;
use super::types::stored_type;
use super::{external, source, spans, unsupported};
use crate::config::Config;
use crate::graph;
use crate::project::{CheckedRelation, ExternalModel, Model, SourceModel, ViewModel};
use crate::stored::Stored;

/// Everything that was found to be right.
#[derive(Default)]
pub(crate) struct Resolved {
    pub sources: BTreeMap<String, SourceModel>,
    pub tables: BTreeMap<TableName, Model>,
    pub views: BTreeMap<TableName, ViewModel>,
    pub externals: BTreeMap<TableName, ExternalModel>,
    pub order: Vec<TableName>,
}

/// What a declaration gives to those that read it.
pub(crate) enum Node {
    Source(SchemaRef),
    Stored(SchemaRef),
    Inlined(Box<Inlined>),
}

/// A view that is planned where it is read.
#[derive(Clone)]
pub(crate) struct Inlined {
    /// After its expectations.
    pub plan: LogicalPlan,
    pub leaves: Vec<Leaf>,
    pub brings: Brings,
}

/// What inlined views bring along, deeper ones first, each once.
#[derive(Default, Clone)]
pub(crate) struct Brings {
    /// Folded text of each view, for fingerprints.
    pub texts: BTreeMap<Key, Vec<String>>,
    pub checked: Vec<(Key, CheckedRelation)>,
    pub quarantines: BTreeMap<TableName, QuarantinePlan>,
}

/// The rows of a quarantine table, before it has a model.
#[derive(Clone)]
pub(crate) struct QuarantinePlan {
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
    pub sql: String,
}

impl Brings {
    fn take(&mut self, other: &Self) {
        self.texts.extend(other.texts.iter().map(|(k, v)| (k.clone(), v.clone())));
        for (key, relation) in &other.checked {
            if self.checked.iter().all(|(k, _)| k != key) {
                self.checked.push((key.clone(), relation.clone()));
            }
        }
        self.quarantines.extend(other.quarantines.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

/// What a query reads.
pub(crate) struct Reading {
    pub leaves: Vec<Leaf>,
    pub brings: Brings,
    pub relations: Relations,
    /// Stored names of the published tables among it, by their parts.
    tables: BTreeMap<Vec<String>, TableName>,
    /// Nothing it mentions is missing.
    pub ok: bool,
}

pub(crate) struct Resolver<'a> {
    pub cfg: &'a Config,
    pub rules: Rules<'a>,
    pub planner: Planner,
    pub trials: Trials,
    /// What streaming tables that exist are stored as.
    pub stored: &'a Stored,
    pub files: &'a [(String, Vec<Statement>)],
    pub names: Names<'a>,
    pub nodes: BTreeMap<Key, Node>,
    pub found: Vec<Diagnostic>,
    pub out: Resolved,
    /// Texts, in lower case, of files that did not parse: what they declare is not known.
    broken: &'a [String],
}

/// Resolves the statements of all files.
pub(crate) fn resolve(
    files: &[(String, Vec<Statement>)],
    broken: &[String],
    cfg: &Config,
    (trials, stored): (Trials, &Stored),
    found: &mut Vec<Diagnostic>,
) -> Resolved {
    let rules = Rules { catalog: &cfg.catalog.name, prefix: &cfg.namespace_prefix };
    for (file, statements) in files {
        for statement in statements {
            unsupported::check(file, statement, found);
        }
    }
    let names = Names::collect(files, rules, found);
    let mut resolver = Resolver {
        cfg,
        rules,
        planner: Planner::new(),
        trials,
        stored,
        files,
        names,
        nodes: BTreeMap::new(),
        found: Vec::new(),
        out: Resolved::default(),
        broken,
    };
    resolver.run();
    found.append(&mut resolver.found);
    resolver.out
}

fn query_of<'a>(d: &Declared<'a>) -> Option<&'a Query> {
    match d.kind {
        DeclaredKind::Table(t, _) => t.query.as_ref(),
        DeclaredKind::View(v) | DeclaredKind::Temporary(v) => Some(&v.query),
        _ => None,
    }
}

impl<'a> Resolver<'a> {
    fn run(&mut self) {
        let mut mentioned: BTreeMap<Key, Mentions> = BTreeMap::new();
        let mut reads: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        for (key, d) in &self.names.all {
            let mut on: BTreeSet<Key> = d.owner.iter().cloned().collect();
            if d.owner.is_some()
                && let Some((table, _)) = self.published(d.file)
            {
                on.insert(table.name.join("."));
            }
            if let Some(query) = query_of(d) {
                let m = mentions(query);
                for r in &m.relations {
                    if let Found::One(k, _) = self.names.look_up(d.file, r, self.rules) {
                        on.insert(k.clone());
                    }
                }
                mentioned.insert(key.clone(), m);
            }
            reads.insert(key.clone(), on);
        }
        let (order, circles) = graph::order(&reads);
        for circle in circles {
            self.circle(&circle);
        }
        let all = self.names.all.clone();
        for key in &order {
            let (Some(d), m) = (all.get(key), mentioned.remove(key)) else { continue };
            self.declaration(key, d, m);
        }
        self.unread_sides();
    }

    /// The file that declares it.
    pub fn path(&self, d: &Declared<'_>) -> &'a str {
        &self.files[d.file].0
    }

    fn circle(&mut self, circle: &[Key]) {
        let dotted: Vec<String> = circle.iter().filter_map(|k| self.names.all.get(k)).map(Declared::dotted).collect();
        let Some(d) = circle.first().and_then(|k| self.names.all.get(k)) else { return };
        let text = match dotted.as_slice() {
            [one] => Diagnostic::error("N0109", format!("\"{one}\" reads itself")),
            all => Diagnostic::error("N0109", format!("{} tables read each other in a circle", all.len()))
                .note(format!("{} reads {}", all.join(" reads "), all[0])),
        };
        let text = text.at(self.path(d), d.span).help("read an earlier layer instead");
        self.found.push(text);
    }

    fn declaration(&mut self, key: &Key, d: &Declared<'a>, mentions: Option<Mentions>) {
        match (d.kind, mentions) {
            (DeclaredKind::Source(s), _) => {
                if let Some(model) = source::model(self.path(d), s, self.cfg, &mut self.found) {
                    self.nodes.insert(key.clone(), Node::Source(Arc::clone(&model.arrow)));
                    self.out.sources.insert(model.name.clone(), model);
                }
            }
            (DeclaredKind::External(e), _) => {
                let (path, name) = (self.path(d), self.rules.stored_of(d));
                if let Some(model) = external::model(path, name, e, &mut self.found) {
                    self.nodes.insert(key.clone(), Node::Stored(Arc::clone(&model.schema)));
                    self.out.externals.insert(model.name.clone(), model);
                }
            }
            (DeclaredKind::Temporary(v), Some(m)) => self.temporary(key, d, v, &m),
            (DeclaredKind::View(v), Some(m)) => self.view(key, d, v, &m),
            (DeclaredKind::Table(t, streaming), Some(m)) => self.table(d, t, streaming, &m),
            _ => {}
        }
    }

    /// Looks up what a query mentions, with a complaint for each thing that is not there.
    pub fn reading(&mut self, d: &Declared<'a>, query: &Query, m: &Mentions) -> Reading {
        let path = self.path(d);
        let mut out = Reading {
            leaves: Vec::new(),
            brings: Brings::default(),
            relations: Relations::new(),
            tables: BTreeMap::new(),
            ok: true,
        };
        for a in &query.as_of {
            let text = Diagnostic::error("U0117", "FOR ... AS OF in a model is not supported yet");
            self.found.push(text.at(path, a.name.span()).help("leave it out: a model reads the current rows"));
        }
        for (name, span) in &m.table_functions {
            let text = Diagnostic::error("U0124", format!("table function \"{name}\" is not supported in a model"));
            self.found
                .push(text.at(path, *span).help("write the rows as VALUES, or unnest an array: unnest(range(1, 10))"));
            out.ok = false;
        }
        for (name, span) in &m.functions {
            if !self.planner.has_function(name) {
                self.found.push(unknown_function(&self.planner, path, name, *span));
                out.ok = false;
            }
        }
        for (word, span) in &m.unplanned {
            let text = Diagnostic::error("U0124", format!("{word} is not supported"));
            let span = spans::with_parentheses(&query.tokens, *span);
            self.found.push(text.at(path, span).help("write it with CASE, UNION ALL or window functions"));
            out.ok = false;
        }
        out.ok &= self.casts(path, query, m);
        for r in &m.relations {
            match self.names.look_up(d.file, r, self.rules) {
                Found::OtherCatalog(first) => {
                    let text = Diagnostic::error(
                        "N0114",
                        format!("\"{first}\" is not the catalog: that is \"{}\"", self.rules.catalog),
                    );
                    self.found.push(text.at(path, r.span).help(format!("write {}", r.parts[1..].join("."))));
                    out.ok = false;
                }
                Found::Unknown => {
                    let dotted = r.dotted();
                    if !self.broken.iter().any(|text| may_declare(text, &dotted.to_lowercase())) {
                        self.found.push(self.names.unknown(path, d.file, r));
                    }
                    out.ok = false;
                }
                Found::One(key, read) => {
                    self.leaf(path, key, read, r, &mut out.leaves);
                    if matches!(read.kind, DeclaredKind::Temporary(_)) && r.stream {
                        let text = Diagnostic::error(
                            "P0115",
                            format!("STREAM stands before \"{}\", a temporary view", r.dotted()),
                        );
                        self.found.push(
                            text.at(path, r.span).help("write STREAM inside the view, before the table that it reads"),
                        );
                    }
                    let Some(node) = self.nodes.get(key) else {
                        out.ok = false;
                        continue;
                    };
                    let source = match node {
                        Node::Source(schema) | Node::Stored(schema) => Placeholder::table(Arc::clone(schema)),
                        Node::Inlined(view) => {
                            if matches!(read.kind, DeclaredKind::Temporary(_)) {
                                out.leaves.extend(view.leaves.iter().cloned());
                            }
                            out.brings.take(&view.brings);
                            Placeholder::view(view.plan.clone())
                        }
                    };
                    let name = match read.name.as_slice() {
                        [_, .., name] => {
                            let stored = self.rules.stored_of(read);
                            let namespace = stored.namespace.to_string();
                            out.tables.insert(read.name.clone(), stored);
                            (Some(namespace), name.clone())
                        }
                        parts => (None, parts.join(".")),
                    };
                    out.relations.insert(name, source);
                }
            }
        }
        out
    }

    /// Types of casts that neither the dialect nor the engine has.
    fn casts(&mut self, path: &str, query: &Query, m: &Mentions) -> bool {
        use datafusion::sql::sqlparser::ast::DataType as SqlType;
        let mut ok = true;
        for (data_type, cast) in &m.casts {
            let Err(error) = ingot_dialect::parse_type(&data_type.to_string()) else { continue };
            // INTERVAL, unsigned numbers and the like are the engine's own.
            let is_name = matches!(data_type, SqlType::Custom(..));
            let is_precision = matches!(data_type, SqlType::Timestamp(Some(_), _) | SqlType::Time(Some(_), _));
            if !is_name && !is_precision {
                continue;
            }
            let name = data_type.to_string();
            let word = name.split('(').next().unwrap_or_default();
            let behind: Vec<_> = query.tokens.iter().filter(|t| t.span.start >= cast.end).cloned().collect();
            let span = spans::of_word(&behind, &[word]).unwrap_or(*cast);
            let mut error = error.at(path, span);
            error.suggestions.clear();
            self.found.push(error);
            ok = false;
        }
        ok
    }

    fn leaf(&self, path: &str, key: &Key, d: &Declared<'_>, r: &super::references::Reference, leaves: &mut Vec<Leaf>) {
        let kind = match d.kind {
            DeclaredKind::Source(_) => LeafKind::Source,
            // Whether rows of an external table only come is seen when it is read.
            DeclaredKind::Table(_, true) | DeclaredKind::DecodeErrors | DeclaredKind::External(_) => {
                LeafKind::AppendOnly
            }
            DeclaredKind::Table(_, false) => LeafKind::Changing,
            DeclaredKind::View(_) => LeafKind::View,
            DeclaredKind::Quarantine => match self.published(d.file) {
                Some((_, true)) => LeafKind::AppendOnly,
                _ => LeafKind::Changing,
            },
            DeclaredKind::Temporary(_) | DeclaredKind::Unbuilt => return,
        };
        leaves.push(Leaf {
            key: key.clone(),
            dotted: d.dotted(),
            kind,
            stream: r.stream,
            file: path.to_owned(),
            span: r.span,
        });
    }

    /// The published table of a file, and whether it is a streaming table.
    pub fn published(&self, file: usize) -> Option<(&Declared<'a>, bool)> {
        self.names.all.values().find_map(|d| match d.kind {
            DeclaredKind::Table(_, streaming) if d.file == file => Some((d, streaming)),
            _ => None,
        })
    }

    /// Plans a query and coerces its types; None with complaints.
    pub fn plan(&mut self, d: &Declared<'a>, query: &Query, reading: &Reading) -> Option<(LogicalPlan, LogicalPlan)> {
        let path = self.path(d);
        self.found.extend(output::unnamed(path, query));
        if !reading.ok {
            return None;
        }
        let planned = Planned { file: path, span: query.span, tokens: &query.tokens };
        let tree = self.qualified(query, reading);
        let result = self.planner.plan(&reading.relations, &tree).and_then(|plan| {
            let analyzed = self.planner.analyze(&plan)?;
            Ok((plan, analyzed))
        });
        match result {
            Ok((plan, analyzed)) => Some((plan, analyzed)),
            Err(error) => {
                let plan = |tree: &SqlQuery| self.planner.plan(&reading.relations, tree).ok();
                let mut all = output::twice(path, query, &tree, plan).unwrap_or_else(|| diagnostics(&error, &planned));
                if let [only] = all.as_mut_slice()
                    && only.span == Some(head(&planned))
                {
                    let text = error.strip_backtrace();
                    let wrong = |tree: &SqlQuery| {
                        let planned =
                            self.planner.plan(&reading.relations, tree).and_then(|p| self.planner.analyze(&p));
                        planned.is_err_and(|e| e.strip_backtrace() == text)
                    };
                    if let Some(span) = spans::failing_part(&tree, &query.tokens, &wrong) {
                        only.span = Some(span);
                    }
                }
                self.found.append(&mut all);
                None
            }
        }
    }

    /// The syntax tree with stored names.
    pub fn qualified(&self, query: &Query, reading: &Reading) -> Box<SqlQuery> {
        let mut tree = query.tree.clone();
        Qualify { catalog: self.rules.catalog, tables: &reading.tables }.apply(&mut tree);
        tree
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.found.iter().filter(|d| d.is_error()).count()
    }

    fn temporary(&mut self, key: &Key, d: &Declared<'a>, view: &'a ViewDef, m: &Mentions) {
        let before = self.errors();
        let path = self.path(d);
        let reading = self.reading(d, &view.query, m);
        let Some((plan, analyzed)) = self.plan(d, &view.query, &reading) else { return };
        output::names(path, &view.query, &plan, &mut self.found);
        output::annotations(path, &view.columns, analyzed.schema().as_arrow(), false, &mut self.found);
        if self.errors() > before {
            return;
        }
        let Reading { leaves, mut brings, .. } = reading;
        let mut text = vec![format!("view {}", d.dotted()), fold_tokens(&view.query.tokens)];
        expectation::fingerprint_parts(&view.columns.expectations, &mut text);
        brings.texts.insert(key.clone(), text);
        let mut kept = plan.clone();
        if !view.columns.expectations.is_empty() {
            let relation = expectation::Relation {
                file: path,
                name: d.dotted(),
                query: &view.query,
                plan,
                analyzed: &analyzed,
                stored: None,
            };
            let Some(outcome) = self.expectations(relation, &view.columns.expectations) else { return };
            kept = outcome.kept.clone();
            self.keep_sides(d, &outcome, &mut brings);
            brings.checked.push((key.clone(), outcome.relation));
        }
        self.nodes.insert(key.clone(), Node::Inlined(Box::new(Inlined { plan: kept, leaves, brings })));
    }

    /// Binds the expectations of a relation.
    pub fn expectations(
        &mut self,
        relation: expectation::Relation<'_>,
        all: &[ingot_dialect::ast::Expectation],
    ) -> Option<Outcome> {
        let rules = self.rules;
        let target = |name: &ingot_dialect::ast::ObjectName| rules.stored_as_written(name);
        expectation::apply(&self.planner, relation, all, &target, &mut self.found)
    }

    /// Makes quarantine tables readable, and hands them to the table that will own them.
    pub(crate) fn keep_sides(&mut self, d: &Declared<'a>, outcome: &Outcome, brings: &mut Brings) {
        for (name, plan) in &outcome.quarantines {
            let Ok(analyzed) = self.planner.analyze(plan) else { continue };
            let fields = analyzed.schema().fields();
            let own = fields.len().saturating_sub(1);
            let mut columns = Vec::with_capacity(own);
            for f in fields.iter().take(own) {
                match stored_type(f.data_type()) {
                    Ok(t) => columns.push(arrow::datatypes::Field::new(f.name(), t, true)),
                    Err(_) => {
                        let text = Diagnostic::error(
                            "T0106",
                            format!("column \"{}\" cannot be stored in \"{name}\"", f.name()),
                        );
                        let help = "rows that break an expectation are kept with all their columns: cast this one, or leave it out";
                        self.found.push(text.at(self.path(d), d.span).help(help));
                    }
                }
            }
            if columns.iter().any(|c| c.name() == expectation::VIOLATIONS) {
                let text = Diagnostic::error("N0311", format!("\"{name}\" would have two columns called _violations"));
                self.found.push(text.at(self.path(d), d.span).help("give the query's column another name"));
                continue;
            }
            if columns.len() < own {
                continue;
            }
            let schema = quarantine_schema(&columns);
            let stored: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
            let Ok(plan) = output::cast_to_stored(plan.clone(), &analyzed, &stored) else { continue };
            let sql = self.text(d.statement);
            brings.quarantines.insert(name.clone(), QuarantinePlan { plan, schema: Arc::clone(&schema), sql });
            let key = self
                .names
                .all
                .iter()
                .find(|(_, x)| matches!(x.kind, DeclaredKind::Quarantine) && self.rules.stored(&x.name) == *name);
            if let Some((key, _)) = key {
                self.nodes.insert(key.clone(), Node::Stored(schema));
            }
        }
    }

    /// A statement's canonical head with its body as written.
    pub fn text(&self, statement: &Statement) -> String {
        ingot_dialect::print(statement)
    }

    fn view(&mut self, key: &Key, d: &Declared<'a>, view: &'a ViewDef, m: &Mentions) {
        let before = self.errors();
        let path = self.path(d);
        if let Some(e) = view.columns.expectations.first() {
            let text = Diagnostic::error("U0124", "expectations on a served view are not supported");
            self.found.push(
                text.at(path, e.name.span)
                    .note("a view stores no rows, so that none can be dropped or counted")
                    .help("put them on the table that the view reads, or on a temporary view below it"),
            );
        }
        let reading = self.reading(d, &view.query, m);
        streams::tables(&d.dotted(), &reading.leaves, &mut self.found);
        let Some((plan, analyzed)) = self.plan(d, &view.query, &reading) else { return };
        output::names(path, &view.query, &plan, &mut self.found);
        let columns = output::stored_columns(path, &view.query, &analyzed, &mut self.found);
        output::annotations(path, &view.columns, analyzed.schema().as_arrow(), false, &mut self.found);
        if self.errors() > before {
            return;
        }
        let Some(columns) = columns else { return };
        let Ok(stored) = output::cast_to_stored(plan.clone(), &analyzed, &columns) else { return };
        if !self.tried(path, &view.query, &reading, &stored, &[]) {
            return;
        }
        let Reading { leaves, mut brings, .. } = reading;
        brings.texts.insert(key.clone(), vec![format!("view {}", d.dotted()), fold_tokens(&view.query.tokens)]);
        let name = self.rules.stored(&d.name);
        let model = ViewModel {
            name: name.clone(),
            inputs: inputs(&stored),
            plan: stored.clone(),
            schema: Arc::new(arrow::datatypes::Schema::new(columns)),
            file: path.to_owned(),
            sql: view.query.text.trim().to_owned(),
        };
        self.out.views.insert(name, model);
        self.nodes.insert(key.clone(), Node::Inlined(Box::new(Inlined { plan: stored, leaves, brings })));
    }

    /// Quarantine tables of temporary views that no table of their file reads.
    fn unread_sides(&mut self) {
        for d in self.names.all.values().filter(|d| matches!(d.kind, DeclaredKind::Quarantine)) {
            let owner = d.owner.as_ref().filter(|o| self.nodes.contains_key(*o)).and_then(|o| self.names.all.get(o));
            let Some(owner) = owner.filter(|o| matches!(o.kind, DeclaredKind::Temporary(_))) else { continue };
            let table_is_fine = self.published(d.file).is_none_or(|(t, _)| self.nodes.contains_key(&t.name.join(".")));
            if table_is_fine && !self.out.tables.contains_key(&self.rules.stored(&d.name)) {
                let text = Diagnostic::error(
                    "N0318",
                    format!("\"{}\" has no owner: no table of this file reads \"{}\"", d.dotted(), owner.dotted()),
                );
                let text = text.at(&self.files[d.file].0, d.span);
                self.found.push(text.help(format!("read {} in the file's table, or leave INTO out", owner.dotted())));
            }
        }
    }
}

/// Whether a text that did not parse may declare a name: it stands behind the word that a declaration has there.
fn may_declare(text: &str, name: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let [before, word] = pair else { return false };
        let behind = word.strip_prefix(name);
        ["table", "view", "source", "into"].contains(before)
            && behind.is_some_and(|b| !b.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.'))
    })
}

/// Stored tables that a plan reads, in name order.
pub(crate) fn inputs(plan: &LogicalPlan) -> Vec<TableName> {
    let tables = ingot_delta::tables(plan).unwrap_or_default();
    tables.into_iter().filter_map(|t| TableName::of(&t)).collect()
}
