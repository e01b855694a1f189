//! Typed statements of a project's SQL files, with the place of everything in them.
//!
//! Equality ignores places, so that `parse(print(x)) == x` can be asked for.
//! Bodies of queries stay sqlparser syntax trees plus their own tokens: DataFusion plans the tree, the printer
//! and the fingerprint use the tokens.
//!
//! Not here: what names mean (`ingot-project`), types of other systems (`lake::schema`).

use sqlparser::tokenizer::TokenWithSpan;
pub use sqlparser::tokenizer::{Location, Span};

/// A value with its place in the file; compares by value alone.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    pub node: T,
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl<T> Spanned<T> {
    /// A node and where it stands in the text.
    pub fn new(node: T, span: Span) -> Self {
        Self { node, span }
    }
}

/// An identifier: `value` is folded to lower case unless it was quoted; `written` is the name as it stood, without
/// quotes. For a source's column without FROM, `written` is the JSON key.
#[derive(Debug, Clone)]
pub struct Ident {
    pub value: String,
    pub written: String,
    pub quoted: bool,
    pub span: Span,
}

impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// One to three identifiers joined by dots.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectName(pub Vec<Ident>);

impl ObjectName {
    /// The folded parts joined by dots, for messages and look-ups.
    pub fn dotted(&self) -> String {
        self.0.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join(".")
    }

    /// From the first part to the last.
    pub fn span(&self) -> Span {
        self.0.iter().fold(Span::empty(), |s, i| s.union(&i.span))
    }
}

/// A query body. `text` is verbatim (comments and whitespace included, STREAM and AS OF words too).
#[derive(Debug, Clone)]
pub struct Query {
    pub text: String,
    /// All tokens of the body with their places in the file, verbatim.
    pub tokens: Vec<TokenWithSpan>,
    /// The syntax tree after STREAM and `FOR ... AS OF` were taken out; its spans are places in the file.
    pub tree: Box<sqlparser::ast::Query>,
    /// Names read as streams.
    pub streams: Vec<ObjectName>,
    pub as_of: Vec<AsOf>,
    pub span: Span,
}

/// `name FOR VERSION AS OF n` or `name FOR TIMESTAMP AS OF 'ts'`.
#[derive(Debug, Clone, PartialEq)]
pub struct AsOf {
    pub name: ObjectName,
    pub at: Version,
}

/// Which snapshot of a table a query reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Version {
    /// A snapshot id, or a branch or tag name.
    Id(i64),
    Ref(String),
    Timestamp(String),
}

/// An expression kept as text, tokens and tree.
#[derive(Debug, Clone)]
pub struct Expr {
    pub text: String,
    pub tokens: Vec<TokenWithSpan>,
    pub tree: Box<sqlparser::ast::Expr>,
    pub span: Span,
}

/// A string literal, without its quotes.
pub type Str = Spanned<String>;

/// `'k' = 'v'`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub key: Str,
    pub value: Str,
}

/// Types that may stand in heads and casts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Real,
    Double,
    Boolean,
    Decimal(u8, i8),
    /// STRING, TEXT, VARCHAR[(n)]; the length is kept for the printer and warned about.
    String(Option<u64>),
    /// JSON: stored as a string holding the value's own text.
    Json,
    Binary,
    Uuid,
    Date,
    Time,
    Timestamp(Option<u8>),
    TimestampTz(Option<u8>),
    List(Box<ColumnType>),
    Struct(Vec<(String, ColumnType)>),
    Map(Box<ColumnType>, Box<ColumnType>),
}

/// One statement of a file.
#[derive(Debug, Clone)]
pub struct Statement {
    pub kind: StatementKind,
    /// Text from the first to the last token.
    pub span: Span,
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a statement declares or does.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    Source(Source),
    StreamingTable(TableDef),
    MaterializedView(TableDef),
    View(ViewDef),
    TemporaryView(ViewDef),
    Seed(Seed),
    External(External),
    Flow(Flow),
    Test(TestDef),
    Command(Command),
}

/// `CREATE SOURCE name (columns) WITH (..) FORMAT .. ENCODE ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub name: ObjectName,
    pub columns: Vec<SourceColumn>,
    pub primary_key: Option<Vec<Ident>>,
    pub watermark: Option<(Ident, Expr)>,
    pub includes: Vec<Include>,
    pub with: Vec<Pair>,
    pub format: Spanned<Format>,
    pub key_encode: Option<Encode>,
    pub encode: Encode,
}

/// A declared column of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceColumn {
    pub name: Ident,
    pub ty: Spanned<ColumnType>,
    /// `FROM '$.a["b c"][0]'`, as written without quotes.
    pub path: Option<Str>,
    pub not_null: bool,
    pub default: Option<Expr>,
    pub comment: Option<Str>,
}

/// What of a message that is not its value an INCLUDE makes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeKind {
    Key,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
    Payload,
}

/// `INCLUDE kind AS name`.
#[derive(Debug, Clone)]
pub struct Include {
    pub kind: IncludeKind,
    pub name: Ident,
    pub span: Span,
}

impl PartialEq for Include {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }
}

/// What a message means: a row, the newest row of its key, or a change as Debezium writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Plain,
    Upsert,
    Debezium,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Avro,
    Protobuf,
    Csv,
    Bytes,
}

/// `ENCODE encoding (options)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Encode {
    pub encoding: Spanned<Encoding>,
    pub options: Vec<EncodeOption>,
}

/// `name = 'value'` inside ENCODE's parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeOption {
    pub key: Ident,
    pub value: Str,
}

/// A streaming table or a materialized view.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    pub or_refresh: bool,
    pub name: ObjectName,
    pub columns: Columns,
    pub clauses: Clauses,
    /// A materialized view always has one; a streaming table without is fed by flows.
    pub query: Option<Query>,
}

/// `CREATE [TEMPORARY] VIEW name (expectations) AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewDef {
    pub name: ObjectName,
    pub columns: Columns,
    pub query: Query,
}

/// The parenthesised list after a name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    pub columns: Vec<ColumnDef>,
    pub primary_key: Option<Vec<Ident>>,
    pub expectations: Vec<Expectation>,
}

/// A declared column of a table: its name, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    pub name: Ident,
    pub ty: Option<Spanned<ColumnType>>,
    pub not_null: bool,
    pub comment: Option<Str>,
}

/// `CONSTRAINT name EXPECT (expr) [ON VIOLATION ..]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    pub name: Ident,
    pub expr: Expr,
    /// `None` where ON VIOLATION was left out, which means WARN.
    pub violation: Option<Violation>,
}

/// What becomes of a row that breaks an expectation.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    Warn,
    DropRow,
    Quarantine(ObjectName),
    FailUpdate,
}

/// Each clause at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clauses {
    pub partitioned_by: Option<Vec<Spanned<Transform>>>,
    pub sorted_by: Option<Vec<SortColumn>>,
    pub comment: Option<Str>,
    pub tags: Option<Vec<Pair>>,
    pub properties: Option<Vec<Pair>>,
    pub freshness: Option<Spanned<Freshness>>,
    pub policy: Option<Spanned<Policy>>,
    pub frozen: Option<Expr>,
    pub backfill: Option<(ObjectName, Option<i64>)>,
    pub on_decode_error: Option<Spanned<OnDecodeError>>,
    pub on_late: Option<Spanned<OnLate>>,
    pub on_schema_change: Option<Spanned<OnSchemaChange>>,
}

/// A partition: a column, or a function of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    Identity(Ident),
    Years(Ident),
    Months(Ident),
    Days(Ident),
    Hours(Ident),
    Bucket(u32, Ident),
    Truncate(u32, Ident),
}

impl Transform {
    /// The column that it partitions by.
    pub fn column(&self) -> &Ident {
        match self {
            Self::Identity(c) | Self::Years(c) | Self::Months(c) | Self::Days(c) | Self::Hours(c) => c,
            Self::Bucket(_, c) | Self::Truncate(_, c) => c,
        }
    }
}

/// A column of SORT BY.
#[derive(Debug, Clone, PartialEq)]
pub struct SortColumn {
    pub column: Ident,
    pub descending: bool,
    /// `None`: DataFusion's default (ASC NULLS LAST, DESC NULLS FIRST).
    pub nulls_first: Option<bool>,
}

/// How far a table may lag behind what it reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Freshness {
    /// `INTERVAL 'n' unit`, in milliseconds, and the text between INTERVAL and the clause's end.
    Interval {
        ms: u64,
        text: String,
    },
    Downstream,
}

/// Whether a table may, or must, be maintained by changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Auto,
    Incremental,
    IncrementalStrict,
    Full,
}

/// What becomes of a message that does not decode.
#[derive(Debug, Clone, PartialEq)]
pub enum OnDecodeError {
    Fail,
    Drop,
    Into(ObjectName),
}

/// What becomes of a row behind the watermark.
#[derive(Debug, Clone, PartialEq)]
pub enum OnLate {
    Accept,
    Drop,
    Into(ObjectName),
}

/// What a table does when the columns of its query change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSchemaChange {
    Fail,
    AddColumns,
    Ignore,
}

/// A table whose rows are a file of the project.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    pub name: ObjectName,
    pub columns: Vec<ColumnDef>,
    pub clauses: Clauses,
    pub path: Str,
}

/// A table that others write.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    pub name: ObjectName,
    pub columns: Vec<ColumnDef>,
}

/// What writes into a table beside its own query.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    pub name: ObjectName,
    pub target: ObjectName,
    pub kind: FlowKind,
}

/// What a flow does to its target.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowKind {
    Insert { once: bool, query: Query },
    AutoCdc(Box<Cdc>),
}

/// `AUTO CDC`: changes of a source, applied by their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Cdc {
    pub stream: bool,
    pub source: ObjectName,
    pub keys: Vec<Ident>,
    pub ignore_null_updates: bool,
    pub delete_when: Option<Expr>,
    pub truncate_when: Option<Expr>,
    pub sequence_by: Expr,
    pub columns: Option<ColumnChoice>,
    pub scd_type: Option<u8>,
    pub track_history: Option<ColumnChoice>,
}

/// Columns by name, or all but some.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChoice {
    Only(Vec<Ident>),
    AllExcept(Vec<Ident>),
}

/// `CREATE TEST`: rows that are given, steps, and rows that are expected.
#[derive(Debug, Clone, PartialEq)]
pub struct TestDef {
    pub name: Ident,
    pub target: ObjectName,
    pub given: Vec<(ObjectName, Query)>,
    pub steps: Vec<TestStep>,
    pub unordered: bool,
    pub expect: Query,
    /// `WITH REFRESH`: true is INCREMENTAL, false is FULL.
    pub with_refresh: Option<bool>,
}

/// A change that a test makes to what it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum TestStep {
    Insert(ObjectName, Query),
    Update(ObjectName, Vec<(Ident, Expr)>, Expr),
    Delete(ObjectName, Expr),
    SetNow(Expr),
}

/// A statement that does something and declares nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Refresh {
        name: ObjectName,
        full: bool,
        filter: Option<Expr>,
    },
    ExplainRefresh(ObjectName),
    ShowRefreshHistory(Option<ObjectName>),
    /// A table, and a column of it.
    ShowLineage(ObjectName),
    AlterExecute {
        table: ObjectName,
        action: MaintenanceAction,
        options: Vec<(Ident, Expr)>,
        /// Of `optimize`: which partitions.
        filter: Option<Expr>,
    },
}

/// What maintenance does to a table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceAction {
    Optimize,
    ExpireSnapshots,
    RewriteManifests,
    RemoveOrphanFiles,
}
