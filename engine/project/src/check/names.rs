//! Everything a project declares, by name.
//!
//!   statements ──▶ Declared ◀── look up (file, name as written) ──▶ one declaration, or unknown
//!
//! Invariants
//! * Published names have a namespace, of one level or several, and are known everywhere; sources have one part; temporary
//!   views one, in their file.
//! * A side table has one owner: the relation whose clause or expectations write into it.
//!
//! Not here: columns and types (`table`), what may be read how (`streams`).

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::{
    Columns, External, Ident, ObjectName, OnDecodeError, Source, Statement, StatementKind, TableDef, ViewDef, Violation,
};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::identifier;
use ingot_model::TableName;

use super::output::snake;
use super::references::Reference;

/// A declaration's key: `source`, `layer.table`, or `file NUL view` for temporary views.
pub(crate) type Key = String;

#[derive(Debug, Clone, Copy)]
pub(crate) enum DeclaredKind<'a> {
    Source(&'a Source),
    /// A streaming table if `true`, else a materialized view.
    Table(&'a TableDef, bool),
    View(&'a ViewDef),
    Temporary(&'a ViewDef),
    /// Written by another engine.
    External(&'a External),
    DecodeErrors,
    Quarantine,
    /// Declared, but not built by this version: known, so that its readers are not told it does not exist.
    Unbuilt,
}

#[derive(Debug, Clone)]
pub(crate) struct Declared<'a> {
    pub kind: DeclaredKind<'a>,
    /// Index of its file.
    pub file: usize,
    pub name: Vec<String>,
    pub span: Span,
    /// For side tables: the relation that writes into it.
    pub owner: Option<Key>,
    pub statement: &'a Statement,
}

impl Declared<'_> {
    /// `layer.table`, or the bare name of a source.
    pub fn dotted(&self) -> String {
        self.name.join(".")
    }
}

/// All declarations of a project.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    pub all: BTreeMap<Key, Declared<'a>>,
}

/// How names are read: the catalog's name and the prefix of stored namespaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub catalog: &'a str,
    pub prefix: &'a str,
}

impl Rules<'_> {
    /// The stored name of a published one.
    pub fn stored(&self, parts: &[String]) -> TableName {
        let (name, levels) = parts.split_last().map_or((String::new(), &[][..]), |(n, l)| (n.clone(), l));
        TableName::new(format!("{}{}", self.prefix, levels.join(".")), name)
    }

    /// The same of a name as written, which may begin with the catalog's.
    pub(crate) fn stored_as_written(&self, name: &ObjectName) -> TableName {
        let parts: Vec<String> = name.0.iter().map(|i| i.value.clone()).collect();
        self.stored(self.without_catalog(&parts))
    }

    /// The stored name of a declaration. What others write has no prefix of ours.
    pub(crate) fn stored_of(&self, declared: &Declared<'_>) -> TableName {
        match declared.kind {
            DeclaredKind::External(_) => Rules { prefix: "", ..*self }.stored(&declared.name),
            _ => self.stored(&declared.name),
        }
    }

    /// A name's parts without the catalog's.
    pub(crate) fn without_catalog<'p>(&self, parts: &'p [String]) -> &'p [String] {
        match parts {
            [first, rest @ ..] if rest.len() >= 2 && first == self.catalog => rest,
            all => all,
        }
    }
}

pub(crate) fn temporary_key(file: usize, name: &str) -> Key {
    format!("{file}\u{0}{name}")
}

/// A declaration to be taken in.
struct New<'a> {
    /// Its file.
    index: usize,
    name: &'a ObjectName,
    kind: DeclaredKind<'a>,
    statement: &'a Statement,
}

/// What a reference means.
pub(crate) enum Found<'n, 'a> {
    One(&'n Key, &'n Declared<'a>),
    Unknown,
    /// Known without its first part, which is not the catalog.
    OtherCatalog(String),
}

impl<'a> Names<'a> {
    /// Collects the declarations of all files; complaints go to `found`.
    pub fn collect(files: &'a [(String, Vec<Statement>)], rules: Rules<'_>, found: &mut Vec<Diagnostic>) -> Self {
        let mut names = Self::default();
        for (index, (file, statements)) in files.iter().enumerate() {
            let mut published: Option<&ObjectName> = None;
            for statement in statements {
                let (name, kind) = match &statement.kind {
                    StatementKind::Source(s) => (&s.name, DeclaredKind::Source(s)),
                    StatementKind::StreamingTable(t) => (&t.name, DeclaredKind::Table(t, true)),
                    StatementKind::MaterializedView(t) => (&t.name, DeclaredKind::Table(t, false)),
                    StatementKind::View(v) => (&v.name, DeclaredKind::View(v)),
                    StatementKind::TemporaryView(v) => (&v.name, DeclaredKind::Temporary(v)),
                    StatementKind::Seed(s) => (&s.name, DeclaredKind::Unbuilt),
                    StatementKind::External(e) => (&e.name, DeclaredKind::External(e)),
                    StatementKind::Flow(_) | StatementKind::Test(_) | StatementKind::Command(_) => continue,
                };
                if let DeclaredKind::Table(..) = kind {
                    match published {
                        Some(first) => found.push(
                            Diagnostic::error(
                                "N0110",
                                format!("\"{}\" is the second published table of this file", name.dotted()),
                            )
                            .at(file, name.span())
                            .note(format!("\"{}\" is the first", first.dotted()))
                            .help("move it into a file of its own"),
                        ),
                        None => published = Some(name),
                    }
                }
                names.declare(New { index, name, kind, statement }, rules, files, found);
            }
        }
        names.side_tables(files, rules, found);
        names.case_clashes(files, found);
        names.stored_twice(files, rules, found);
        names
    }

    fn declare(
        &mut self,
        new: New<'a>,
        rules: Rules<'_>,
        files: &[(String, Vec<Statement>)],
        found: &mut Vec<Diagnostic>,
    ) {
        let New { index, name, kind, statement } = new;
        let file = &files[index].0;
        let one_part = matches!(kind, DeclaredKind::Source(_) | DeclaredKind::Temporary(_));
        let Some(parts) = checked_parts(file, name, one_part, rules, found) else { return };
        let key = match kind {
            DeclaredKind::Temporary(_) => temporary_key(index, &parts[0]),
            _ => parts.join("."),
        };
        let clash = match kind {
            // A temporary view would hide the source from its own file.
            DeclaredKind::Temporary(_) => self.all.get(&key).or_else(|| self.all.get(&parts[0])),
            _ => self.all.get(&key),
        };
        if let Some(other) = clash {
            let first = &files[other.file].0;
            found.push(
                Diagnostic::error("N0107", format!("\"{}\" is declared twice", name.dotted()))
                    .at(file, name.span())
                    .note(format!("the first is at {first}:{}:{}", other.span.start.line, other.span.start.column))
                    .help("rename one of the two, or delete it"),
            );
            return;
        }
        let declared = Declared { kind, file: index, name: parts, span: name.span(), owner: None, statement };
        self.all.insert(key, declared);
    }

    /// Declares the tables that INTO clauses create.
    fn side_tables(&mut self, files: &'a [(String, Vec<Statement>)], rules: Rules<'_>, found: &mut Vec<Diagnostic>) {
        let mut wanted: Vec<(Key, usize, &'a ObjectName, DeclaredKind<'a>, &'a Statement)> = Vec::new();
        for (key, d) in &self.all {
            let columns: &Columns = match d.kind {
                DeclaredKind::Table(t, _) => {
                    if let Some(OnDecodeError::Into(name)) = t.clauses.on_decode_error.as_ref().map(|c| &c.node) {
                        wanted.push((key.clone(), d.file, name, DeclaredKind::DecodeErrors, d.statement));
                    }
                    &t.columns
                }
                DeclaredKind::Temporary(v) => &v.columns,
                _ => continue,
            };
            for e in &columns.expectations {
                if let Some(Violation::Quarantine(name)) = &e.violation {
                    wanted.push((key.clone(), d.file, name, DeclaredKind::Quarantine, d.statement));
                }
            }
        }
        for (owner, file, name, kind, statement) in wanted {
            let path = &files[file].0;
            let Some(parts) = checked_parts(path, name, false, rules, found) else { continue };
            let key = parts.join(".");
            match self.all.get(&key) {
                None => {
                    let declared =
                        Declared { kind, file, name: parts, span: name.span(), owner: Some(owner), statement };
                    self.all.insert(key, declared);
                }
                Some(other) if other.owner.is_none() => found.push(
                    Diagnostic::error("N0318", format!("INTO creates \"{key}\", which is declared already"))
                        .at(path, name.span())
                        .note(format!(
                            "the declaration is at {}:{}:{}",
                            files[other.file].0, other.span.start.line, other.span.start.column
                        ))
                        .help("name a table that no statement declares"),
                ),
                Some(other) if other.owner.as_ref() == Some(&owner) && same_kind(other.kind, kind) => {}
                Some(other) => found.push(
                    Diagnostic::error("N0111", format!("side table \"{key}\" has two owners"))
                        .at(path, name.span())
                        .note(format!(
                            "the other is at {}:{}:{}",
                            files[other.file].0, other.span.start.line, other.span.start.column
                        ))
                        .help("give each its own, and UNION ALL them in a view"),
                ),
            }
        }
    }

    /// An external table that has the stored name of a table of the project: the prefix stands before that one alone.
    fn stored_twice(&self, files: &[(String, Vec<Statement>)], rules: Rules<'_>, found: &mut Vec<Diagnostic>) {
        let is_stored = |d: &&Declared<'_>| !matches!(d.kind, DeclaredKind::Source(_) | DeclaredKind::Temporary(_));
        let is_external = |d: &&Declared<'_>| matches!(d.kind, DeclaredKind::External(_));
        let own = self.all.values().filter(is_stored).filter(|d| !is_external(d));
        let own: BTreeMap<TableName, &Declared<'_>> = own.map(|d| (rules.stored_of(d), d)).collect();
        for external in self.all.values().filter(is_external) {
            let Some(other) = own.get(&rules.stored_of(external)) else { continue };
            let text =
                format!("\"{}\" is stored under the name of external table \"{}\"", other.dotted(), external.dotted());
            found.push(
                Diagnostic::error("N0107", text)
                    .at(&files[external.file].0, external.span)
                    .help("rename one of the two, or choose another namespace_prefix"),
            );
        }
    }

    fn case_clashes(&self, files: &[(String, Vec<Statement>)], found: &mut Vec<Diagnostic>) {
        let mut folded: BTreeMap<String, (&Key, &Declared<'_>)> = BTreeMap::new();
        for (key, d) in &self.all {
            let Some((other, first)) = folded.insert(key.to_lowercase(), (key, d)) else { continue };
            if other == key {
                continue;
            }
            let (early, late) =
                if (first.file, first.span.start) < (d.file, d.span.start) { (first, d) } else { (d, first) };
            found.push(
                Diagnostic::error(
                    "N0108",
                    format!("\"{}\" and \"{}\" differ only in case", early.dotted(), late.dotted()),
                )
                .at(&files[late.file].0, late.span)
                .help("rename one: engines that fold names cannot tell them apart"),
            );
        }
    }

    /// What a reference in a file means.
    pub(crate) fn look_up(&self, file: usize, reference: &Reference, rules: Rules<'_>) -> Found<'_, 'a> {
        let get = |key: &str| self.all.get_key_value(key).map(|(k, d)| Found::One(k, d));
        let found = match reference.parts.as_slice() {
            [one] => get(&temporary_key(file, one)).or_else(|| match self.all.get_key_value(one.as_str()) {
                Some((k, d)) if matches!(d.kind, DeclaredKind::Source(_)) => Some(Found::One(k, d)),
                _ => None,
            }),
            parts => {
                let found = get(&rules.without_catalog(parts).join(".")).or_else(|| get(&parts.join(".")));
                if let (None, [catalog, rest @ ..]) = (&found, parts)
                    && rest.len() >= 2
                    && get(&rest.join(".")).is_some()
                {
                    return Found::OtherCatalog(catalog.clone());
                }
                found
            }
        };
        found.unwrap_or(Found::Unknown)
    }

    /// N0101 or N0102 for a reference that means nothing.
    pub fn unknown(&self, path: &str, file: usize, reference: &Reference) -> Diagnostic {
        let dotted = reference.dotted();
        let one = reference.parts.len() == 1;
        let visible: Vec<String> = self
            .all
            .iter()
            .filter(|(_, d)| !matches!(d.kind, DeclaredKind::Temporary(_)) || d.file == file)
            .map(|(_, d)| d.dotted())
            .collect();
        let (code, what) = if one && reference.stream { ("N0102", "source") } else { ("N0101", "table") };
        let d = Diagnostic::error(code, format!("{what} \"{dotted}\" does not exist")).at(path, reference.span);
        let layered: Vec<&String> = visible.iter().filter(|v| v.rsplit('.').next() == Some(dotted.as_str())).collect();
        if one && !layered.is_empty() {
            let full = layered.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" or ");
            let d =
                d.note("only sources and temporary views of the same file have one part").help(format!("write {full}"));
            return if let [only] = layered.as_slice() { d.suggest(reference.span, only.as_str()) } else { d };
        }
        match did_you_mean(&dotted, visible.iter().map(String::as_str)) {
            Some(near) => d.help(format!("did you mean {near}?")).suggest(reference.span, near),
            None if visible.iter().all(|v| !v.contains('.')) => d.note("the project declares no other table"),
            None => {
                let tables: BTreeSet<&str> =
                    visible.iter().map(String::as_str).filter(|v| v.contains('.') != one || one).collect();
                d.note(format!("there are: {}", tables.into_iter().collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

fn same_kind(a: DeclaredKind<'_>, b: DeclaredKind<'_>) -> bool {
    matches!(
        (a, b),
        (DeclaredKind::Quarantine, DeclaredKind::Quarantine) | (DeclaredKind::DecodeErrors, DeclaredKind::DecodeErrors)
    )
}

/// The name's parts without the catalog, if their number and letters are allowed.
fn checked_parts(
    file: &str,
    name: &ObjectName,
    one_part: bool,
    rules: Rules<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<String>> {
    let idents: &[Ident] = match name.0.as_slice() {
        [catalog, rest @ ..] if rest.len() >= 2 && catalog.value == rules.catalog => rest,
        all => all,
    };
    let dotted = name.dotted();
    match (one_part, idents.len()) {
        (true, 1) | (false, 2..) => {}
        (true, _) => {
            let last = idents.last().map(|i| i.value.clone()).unwrap_or_default();
            found.push(
                Diagnostic::error("N0106", format!("\"{dotted}\" has several parts"))
                    .at(file, name.span())
                    .note("sources and temporary views have one part")
                    .help(format!("write {last}"))
                    .suggest(name.span(), last),
            );
            return None;
        }
        (false, _) => {
            let layer =
                file.rsplit('/').nth(1).filter(|f| ["bronze", "silver", "gold"].contains(f)).unwrap_or("silver");
            let full = format!("{layer}.{dotted}");
            found.push(
                Diagnostic::error("N0106", format!("\"{dotted}\" has no layer"))
                    .at(file, name.span())
                    .note("published names have two parts or more")
                    .help(format!("write {full}"))
                    .suggest(name.span(), full),
            );
            return None;
        }
    }
    for ident in idents {
        let odd = ident.value.chars().find(|c| ['.', '$', '/', '"', '\u{0}'].contains(c));
        let reserved = ident.value.starts_with("_ingot") || (!one_part && ident.value == "information_schema");
        if odd.is_some() || reserved || ident.value.is_empty() {
            let why = match odd {
                Some(c) => format!("it holds '{}'", c.escape_default()),
                None if ident.value.is_empty() => "it is empty".into(),
                None => "it is reserved".into(),
            };
            found.push(
                Diagnostic::error("N0106", format!("\"{}\" cannot be part of a name: {why}", ident.value))
                    .at(file, ident.span)
                    .help("use letters, digits and underscores"),
            );
            return None;
        }
        if ident.value.chars().any(char::is_uppercase) {
            found.push(
                Diagnostic::warning("N0112", format!("name \"{}\" has capitals", ident.value))
                    .at(file, ident.span)
                    .note("engines that fold names to lower case, such as Trino, do not find it")
                    .help(format!("write {}", identifier(&snake(&ident.value)))),
            );
        }
    }
    Some(idents.iter().map(|i| i.value.clone()).collect())
}
