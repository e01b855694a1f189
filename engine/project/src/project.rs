//! A project's tables as values: what `check` found out about every SQL file below a root.
//!
//!   *.sql ──▶ parse (dialect) ──▶ resolve names ──▶ plan, type, refuse ──▶ Project
//!
//! Invariants
//! * A `Project` exists only when no file has an error; all errors of all files are reported in one pass.
//! * A plan reads placeholder scans only: stored tables as `namespace.table`, sources by their bare name.
//!   Temporary and served views are inlined, expectation filters applied, the output cast to stored types, and
//!   ties completed. It is not optimized, and its types are coerced where it runs.
//! * Pure but for reading the files: equal files and configuration give equal models and fingerprints.
//!
//! Not here: names and graph (`resolve`, `graph`), what a run does with a model (`planner`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, LogicalPlan};
use ingot_delta::Strategy;
use ingot_dialect::ast::Policy;
use ingot_dialect::diagnostic::{Diagnostic, Severity};
use ingot_model::{Definition, TableName};
use ingot_source::{Connection, SourceSchema};

/// One SQL file: its path below the root with forward slashes, and its text.
#[derive(Debug, Clone)]
pub struct SqlFile {
    pub path: String,
    pub text: String,
}

/// A project without errors.
#[derive(Debug, Clone)]
pub struct Project {
    pub root: PathBuf,
    pub files: Vec<SqlFile>,
    pub sources: BTreeMap<String, SourceModel>,
    /// Every stored table, side tables included.
    pub tables: BTreeMap<TableName, Model>,
    pub views: BTreeMap<TableName, ViewModel>,
    /// Tables that others write; among neither `tables` nor `order`.
    pub externals: BTreeMap<TableName, ExternalModel>,
    /// Every table after what it reads; a side table directly before its main table.
    pub order: Vec<TableName>,
    /// Stands before every namespace of `tables` and `views`; neither in the SQL nor before those of `externals`.
    pub namespace_prefix: String,
    /// Its plans were run over sample rows.
    pub tried: bool,
}

impl Project {
    /// A project without a file: what a catalog holds can be read without one.
    pub fn empty(root: PathBuf, namespace_prefix: String) -> Self {
        Self {
            root,
            files: Vec::new(),
            sources: BTreeMap::new(),
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            externals: BTreeMap::new(),
            order: Vec::new(),
            namespace_prefix,
            tried: false,
        }
    }
}

/// What a check found: a project unless there is an error, and every diagnostic of every file.
#[derive(Debug, Clone)]
pub struct Checked {
    pub project: Option<Project>,
    pub diagnostics: Vec<Diagnostic>,
    pub files: Vec<SqlFile>,
}

impl Checked {
    /// Whether a diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The text of a file that a diagnostic names, for rendering.
    pub fn source_of(&self, diagnostic: &Diagnostic) -> Option<&str> {
        let path = diagnostic.file.as_deref()?;
        self.files.iter().find(|f| f.path == path).map(|f| f.text.as_str())
    }
}

/// A source with declared columns.
#[derive(Debug, Clone)]
pub struct SourceModel {
    pub name: String,
    pub schema: Arc<SourceSchema>,
    /// The declared columns, then the INCLUDEs: what a query over the source sees.
    pub arrow: SchemaRef,
    /// How it is reached, and where a new table starts reading.
    pub connection: Connection,
    pub file: String,
}

/// What a streaming table reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamInput {
    /// A source, by name.
    Source(String),
    /// The appended rows of another streaming table.
    Table(TableName),
}

/// What a stored table is: what its rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelKind {
    Streaming {
        input: StreamInput,
    },
    View,
    /// Rows of `of` that break an expectation, with `_violations list<string>`.
    Quarantine {
        of: TableName,
    },
    /// Messages of `of`'s source that do not decode. Its plan is a scan of `<source>$errors` with exactly the
    /// table's schema.
    DecodeErrors {
        of: TableName,
    },
}

/// Where messages go that do not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeErrorPolicy {
    Fail,
    Drop,
    Into(TableName),
}

/// What happens to a row whose expectation is not TRUE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViolationAction {
    Warn,
    DropRow,
    Quarantine(TableName),
    FailUpdate,
}

/// An expectation over the columns of the relation it stands on.
#[derive(Debug, Clone)]
pub struct BoundExpectation {
    pub name: String,
    pub violation: ViolationAction,
    /// TRUE or FALSE, never NULL: whether the row breaks it (`e IS NOT TRUE`). Columns are unqualified.
    pub broken: Expr,
    /// The condition as written.
    pub sql: String,
}

/// A relation that expectations stand on: a temporary view, or the table's own output.
#[derive(Debug, Clone)]
pub struct CheckedRelation {
    /// The temporary view's name, or the table's `namespace.name`.
    pub name: String,
    /// The relation before its own expectations filter it (those of relations below are applied); its fields
    /// are unqualified, so that `broken` and plain column names resolve.
    pub plan: LogicalPlan,
    /// In declared order.
    pub expectations: Vec<BoundExpectation>,
    /// The relation as it stands in the plans of the table and of its side tables.
    pub rows: LogicalPlan,
    /// The rows that stay, as they stand in the table's plan: a filter over `rows`, or those themselves.
    pub kept: LogicalPlan,
    /// One for each of `expectations`: TRUE where a row passes it. Over the columns of `rows`.
    pub conditions: Vec<Expr>,
    /// The columns of `rows` with the types that they have when it runs.
    pub types: SchemaRef,
}

/// One plan by which a read fills a table and its side tables.
#[derive(Debug, Clone)]
pub struct Judging {
    /// The table's plan, in which `ingot_semantics::Judged` stands where expectations filtered. Its places are indices of
    /// `Model::checked`; relations that are judged when they are merged have none.
    pub plan: LogicalPlan,
    /// How `plan` follows its sources: as the table's own does.
    pub strategy: Strategy,
    /// How each quarantine table takes its rows from there, or why it reads for itself.
    pub taken: BTreeMap<TableName, Result<TakenRows, String>>,
}

/// The query of a quarantine table over rows that a judge gives it.
#[derive(Debug, Clone)]
pub struct TakenRows {
    /// The judge.
    pub place: usize,
    /// Reads `source` in place of its relation.
    pub plan: LogicalPlan,
    /// The scan of the given rows: the relation's columns, in order, as c0, c1...
    pub source: TableReference,
}

/// A column of a streaming table that keeps the type it is stored with: by the rules of this version its query has
/// another one, and the result is cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptType {
    pub column: String,
    pub stored: DataType,
    /// What the query has.
    pub given: DataType,
    /// The cast that says the same in the SQL file.
    pub cast: String,
}

/// One stored table.
#[derive(Debug, Clone)]
pub struct Model {
    pub name: TableName,
    pub kind: ModelKind,
    pub definition: Definition,
    /// The table's public columns; NOT NULL ones are not nullable.
    pub schema: SchemaRef,
    pub plan: LogicalPlan,
    /// Relations below the output first. Empty for side tables.
    pub checked: Vec<CheckedRelation>,
    /// The plan that judges rows as they pass, or why expectations are judged by a read of their own.
    pub judging: Result<Judging, String>,
    pub strategy: Strategy,
    pub policy: Policy,
    /// Hex SHA-256 of what decides the rows.
    pub fingerprint: String,
    /// Stored tables that the plan reads, each once, in name order; without sources.
    pub inputs: Vec<TableName>,
    pub primary_key: Vec<String>,
    pub comment: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub on_decode_error: DecodeErrorPolicy,
    /// Columns of a streaming table that keep the types they are stored with.
    pub kept: Vec<KeptType>,
    /// Side tables that this table owns.
    pub sides: Vec<TableName>,
    pub file: String,
    /// The statement as written.
    pub sql: String,
}

impl Model {
    /// The source a streaming table reads, if it reads one.
    pub fn source(&self) -> Option<&str> {
        match &self.kind {
            ModelKind::Streaming { input: StreamInput::Source(name) } => Some(name),
            _ => None,
        }
    }

    /// Whether it is a streaming table.
    pub fn is_streaming(&self) -> bool {
        matches!(self.kind, ModelKind::Streaming { .. })
    }

    /// Whether its rows come from no other table, so that its own snapshots are what others are based on.
    pub fn is_base(&self) -> bool {
        matches!(self.kind, ModelKind::Streaming { .. } | ModelKind::DecodeErrors { .. })
    }

    /// Every expectation on the table and on the temporary views below it.
    pub fn expectations(&self) -> impl Iterator<Item = &BoundExpectation> {
        self.checked.iter().flat_map(|c| &c.expectations)
    }
}

/// A served view: planned by every query, stored nowhere.
#[derive(Debug, Clone)]
pub struct ViewModel {
    pub name: TableName,
    /// Over placeholder scans, like a model's; other views are inlined.
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
    /// Stored tables that the plan reads.
    pub inputs: Vec<TableName>,
    pub file: String,
    /// The query as written.
    pub sql: String,
}

/// A table that another engine writes: read by models, and never made, written, kept up or dropped by them.
#[derive(Debug, Clone)]
pub struct ExternalModel {
    pub name: TableName,
    /// The declared columns, in order: what a query over the table sees. NOT NULL ones are not nullable.
    pub schema: SchemaRef,
    pub file: String,
}
