//! Names of a statement to tables: one catalog read for all of them, one pinned snapshot for each.
//!
//! Invariants
//! * All stored tables of a statement, those below its views too, come from one catalog read.
//! * A table that is read has a pin, given or new; the same pins give the same rows.
//! * Listing `information_schema` opens no data and no manifest.
//! * A table that cannot be read fails the statements that name it, and is listed without columns by the others.
//! * A declared table is not served before it is built.
//!
//! Not here: which names a text has (`statement`), scanning (`ingot_lake`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider,
    TableProvider,
};
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use ingot_dialect::diagnostic::did_you_mean;
use ingot_lake::{Lake, MetadataTable, Table, UnreadColumn};
use ingot_model::{NotATableName, Readings, TableName};
use ingot_project::project::ViewModel;

use crate::changes::Changes;
use crate::error::{ErrorKind, QueryError, missing_column, shortened};
use crate::pins::Pins;
use crate::statement::{Relation, Statement};
use crate::versions::{asked, at_version, pin, scan};

/// Where tables come from.
pub(crate) enum Tables {
    Lake(Lake),
    /// Given ones, without history.
    Given(BTreeMap<TableName, Arc<dyn TableProvider>>),
}

/// What is served under one catalog name.
pub(crate) struct Served {
    pub tables: Tables,
    pub views: BTreeMap<TableName, ViewModel>,
    /// Tables of the project, built or not.
    pub declared: BTreeSet<TableName>,
    pub catalog: String,
}

/// A statement's own catalog, and the snapshots in it.
pub(crate) struct Bound {
    pub catalogs: Arc<dyn CatalogProviderList>,
    pub pins: Pins,
    /// Columns of its tables that are not read, for their types.
    pub unread: Vec<(TableName, UnreadColumn)>,
}

/// The error for a column that its table has and that is not read, where an unknown name is one of those.
pub(crate) fn not_read(unread: &[(TableName, UnreadColumn)], error: &DataFusionError) -> Option<QueryError> {
    let wanted = missing_column(error)?;
    let (table, column) = unread.iter().find(|(_, column)| column.name.split('.').next() == Some(wanted))?;
    let text = format!("column \"{}\" of table \"{table}\" has the type \"{}\"", column.name, column.data_type);
    Some(
        QueryError::new(ErrorKind::Unsupported, format!("{text}, which is not read"))
            .with_hint("the other columns are; SELECT * leaves it out"),
    )
}

pub(crate) enum Loaded {
    Table(Table),
    Given(Arc<dyn TableProvider>),
}

impl Loaded {
    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Table(t) => t.schema(),
            Self::Given(p) => p.schema(),
        }
    }

    /// Whether nothing was ever committed to it.
    fn is_bare(&self) -> bool {
        matches!(self, Self::Table(t) if t.head().is_none())
    }
}

impl Served {
    pub(crate) async fn stored(&self) -> Result<Vec<TableName>, QueryError> {
        match &self.tables {
            Tables::Lake(lake) => lake.list_tables().await.map_err(|e| QueryError::from_lake(&e)),
            Tables::Given(all) => Ok(all.keys().cloned().collect()),
        }
    }

    /// One catalog read; `None` for names that do not exist, an error in the place of a table that cannot be read.
    pub(crate) async fn load(
        &self,
        names: &[TableName],
    ) -> Result<Vec<Result<Option<Loaded>, QueryError>>, QueryError> {
        match &self.tables {
            Tables::Lake(lake) if !names.is_empty() => {
                let tables = lake.load_tables(names).await.map_err(|e| QueryError::from_lake(&e))?;
                let loaded = |t: ingot_lake::Result<Option<Table>>| match t {
                    Ok(table) => Ok(table.map(Loaded::Table)),
                    Err(e) => Err(QueryError::from_lake(&e)),
                };
                Ok(tables.into_iter().map(loaded).collect())
            }
            Tables::Lake(_) => Ok(Vec::new()),
            Tables::Given(all) => Ok(names.iter().map(|n| Ok(all.get(n).cloned().map(Loaded::Given))).collect()),
        }
    }

    /// A table that the project declares and that has no rows of its own yet, not even none.
    fn not_built(&self, name: &TableName) -> Option<QueryError> {
        self.declared.contains(name).then(|| {
            QueryError::new(ErrorKind::NotBuilt, format!("table \"{name}\" is not built yet"))
                .with_hint("`ingot run` builds it, with its first rows; `ingot status` says where it stands")
        })
    }

    /// Every name that a query may read.
    pub(crate) async fn all_names(&self) -> Result<BTreeSet<TableName>, QueryError> {
        let mut all: BTreeSet<TableName> = self.stored().await?.into_iter().collect();
        all.extend(self.views.keys().cloned());
        Ok(all)
    }

    /// Looks a statement's names up.
    ///
    /// # Errors
    /// Unknown and bare names with their place, pins that no longer hold, an unreachable catalog.
    pub(crate) async fn bind(
        &self,
        sql: &str,
        statement: &Statement,
        pins: Option<&Pins>,
    ) -> Result<Bound, QueryError> {
        let mut written: Vec<(&Relation, Readings, Option<About>)> = Vec::new();
        for r in &statement.relations {
            let about = match about(r) {
                Some((of, kind)) => Some(About { readings: self.readings(sql, &of).await?, kind }),
                None => None,
            };
            written.push((r, self.readings(sql, r).await?, about));
        }
        let mut wanted: BTreeSet<TableName> = BTreeSet::new();
        let both = |r: &Readings| [Some(r.likely.clone()), r.other.clone()];
        let names = written.iter().flat_map(|(_, r, about)| [Some(r), about.as_ref().map(|about| &about.readings)]);
        for name in names.flatten().flat_map(both).flatten() {
            let name = &name;
            match self.views.get(name) {
                Some(view) => wanted.extend(view.inputs.iter().cloned()),
                None => {
                    wanted.insert(name.clone());
                }
            }
        }
        if statement.lists_tables {
            wanted.extend(self.stored().await?);
        }
        let wanted: Vec<TableName> = wanted.into_iter().collect();
        let mut loaded: BTreeMap<TableName, Loaded> = BTreeMap::new();
        let mut unreadable: BTreeMap<TableName, QueryError> = BTreeMap::new();
        for (name, table) in wanted.iter().zip(self.load(&wanted).await?) {
            match table {
                Ok(Some(table)) if table.is_bare() && self.declared.contains(name) => {}
                Ok(Some(table)) => {
                    loaded.insert(name.clone(), table);
                }
                Ok(None) => {}
                Err(e) => {
                    unreadable.insert(name.clone(), e);
                }
            }
        }
        let exists = |n: &TableName| loaded.contains_key(n) || unreadable.contains_key(n) || self.views.contains_key(n);
        let mut named: Vec<(&Relation, TableName)> = Vec::new();
        let mut told: Vec<(&Relation, TableName, Told)> = Vec::new();
        let mut read: BTreeSet<TableName> = BTreeSet::new();
        for (relation, readings, about) in written {
            let ambiguous =
                |e: NotATableName| QueryError::new(ErrorKind::UnknownName, e.to_string()).at(sql, relation.span);
            let mut name = readings.resolve(exists).map_err(ambiguous)?;
            if let Some(about) = about.filter(|_| !exists(&name)) {
                name = about.readings.resolve(exists).map_err(ambiguous)?;
                told.push((relation, name.clone(), about.kind));
                named.push((relation, name));
                continue;
            }
            match self.views.get(&name) {
                Some(view) => read.extend(view.inputs.iter().cloned()),
                None => {
                    read.insert(name.clone());
                }
            }
            named.push((relation, name));
        }
        for (relation, name) in &named {
            let reads = self.views.get(name).map_or(std::slice::from_ref(name), |view| view.inputs.as_slice());
            for table in reads.iter().filter(|table| !loaded.contains_key(*table)) {
                if let Some(mut error) = unreadable.remove(table).or_else(|| self.not_built(table)) {
                    if table != name {
                        error.message = format!("view \"{name}\" reads \"{table}\": {}", error.message);
                    }
                    return Err(error.at(sql, relation.span));
                }
            }
        }

        let mut out = Catalog::new(&self.catalog);
        let mut kept = Pins::default();
        let mut open: BTreeMap<TableName, Arc<dyn TableProvider>> = BTreeMap::new();
        for name in &read {
            let Some(table) = loaded.get(name) else { continue };
            let provider: Arc<dyn TableProvider> = match table {
                Loaded::Given(p) => Arc::clone(p),
                Loaded::Table(t) => {
                    let pin = pin(t, pins.and_then(|p| p.0.get(name)))?;
                    let provider = scan(t, pin.snapshot).await?;
                    kept.0.insert(name.clone(), pin);
                    provider
                }
            };
            open.insert(name.clone(), provider);
        }
        for (name, table) in &loaded {
            match open.get(name) {
                Some(p) => out.add(name, &name.name, Arc::clone(p))?,
                None => out.add(name, &name.name, Arc::new(EmptyTable::new(table.schema())))?,
            }
        }
        for name in unreadable.keys() {
            out.add(name, &name.name, Arc::new(EmptyTable::new(SchemaRef::new(Schema::empty()))))?;
        }
        for (relation, name, kind) in &told {
            let given = pins.and_then(|p| p.0.get(name));
            match loaded.get(name) {
                Some(Loaded::Table(t)) => {
                    let pin = pin(t, given)?;
                    let rows =
                        rows_about(t, relation, *kind, pin.snapshot).await.map_err(|e| e.at(sql, relation.span))?;
                    kept.0.entry(name.clone()).or_insert(pin);
                    out.add(name, &relation.planned_as, Arc::clone(&rows))?;
                    out.add_as_written(relation, name, &rows)?;
                }
                Some(Loaded::Given(_)) => return Err(nothing_about(name).at(sql, relation.span)),
                None if self.views.contains_key(name) => return Err(nothing_about(name).at(sql, relation.span)),
                None => return Err(self.unknown(sql, relation, name).await?),
            }
        }
        named.retain(|(relation, _)| !told.iter().any(|(of, ..)| std::ptr::eq(*of, *relation)));
        for (relation, name) in &named {
            if let Some(view) = self.views.get(name) {
                if relation.version.is_some() || relation.changes.is_some() {
                    return Err(QueryError::new(ErrorKind::Unsupported, format!("view \"{name}\" has no versions"))
                        .at(sql, relation.span));
                }
                let plan = rebound(view, &open)?;
                out.add(name, &name.name, Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))?;
                continue;
            }
            let Some(table) = loaded.get(name) else {
                return Err(self.unknown(sql, relation, name).await?);
            };
            if relation.version.is_some() || relation.changes.is_some() {
                let Loaded::Table(t) = table else {
                    return Err(QueryError::new(ErrorKind::Unsupported, format!("table \"{name}\" has no versions"))
                        .at(sql, relation.span));
                };
                let head = kept.0.get(name).and_then(|pin| pin.snapshot);
                let provider = asked(t, relation, head).await.map_err(|e| e.at(sql, relation.span))?;
                out.add(name, &relation.planned_as, Arc::clone(&provider))?;
                out.add_as_written(relation, name, &provider)?;
            } else if let Some(provider) = open.get(name) {
                out.add_as_written(relation, name, provider)?;
            }
        }
        if statement.lists_tables {
            for (name, view) in &self.views {
                if !named.iter().any(|(_, n)| n == name) {
                    out.add(name, &name.name, Arc::new(ViewTable::new(view.plan.clone(), Some(view.sql.clone()))))?;
                }
            }
        }
        let unread = loaded.iter().filter(|(name, _)| read.contains(*name)).flat_map(|(name, table)| match table {
            Loaded::Table(t) => t.unread_columns().iter().map(|column| (name.clone(), column.clone())).collect(),
            Loaded::Given(_) => Vec::new(),
        });
        Ok(Bound { catalogs: out.finish()?, pins: kept, unread: unread.collect() })
    }

    /// What a written name may mean.
    async fn readings(&self, sql: &str, relation: &Relation) -> Result<Readings, QueryError> {
        match relation.parts.as_slice() {
            [first, _, _] if *first != self.catalog && !self.is_namespace(first).await? => {
                Err(QueryError::new(ErrorKind::UnknownName, format!("catalog \"{first}\" does not exist"))
                    .with_hint(format!("the catalog is \"{}\", and it may be left out", self.catalog))
                    .at(sql, relation.span))
            }
            parts @ ([_, _] | [_, _, _]) => {
                let malformed =
                    |e: NotATableName| QueryError::new(ErrorKind::UnknownName, e.to_string()).at(sql, relation.span);
                TableName::readings(parts, &self.catalog, &|_| false).map_err(malformed)
            }
            parts => {
                let bare = parts.last().map_or("", String::as_str);
                let error = QueryError::new(ErrorKind::UnknownName, format!("table \"{bare}\" has no namespace"));
                let all = self.all_names().await?;
                let same: Vec<String> = all.iter().filter(|n| n.name == bare).map(ToString::to_string).collect();
                let hint = if same.is_empty() {
                    let full: Vec<String> = all.iter().map(ToString::to_string).collect();
                    let near = did_you_mean(bare, all.iter().map(|n| n.name.as_str()));
                    match near.and_then(|near| all.iter().find(|n| n.name == near)) {
                        Some(near) => format!("did you mean {near}?"),
                        None if full.is_empty() => "there are no tables yet".to_owned(),
                        None => {
                            format!("there are: {}", shortened(&full.iter().map(String::as_str).collect::<Vec<_>>()))
                        }
                    }
                } else {
                    format!("write {}", same.join(" or "))
                };
                Err(error.with_hint(hint).at(sql, relation.span))
            }
        }
    }

    /// Whether a namespace begins with these levels, joined with dots where they are several.
    async fn is_namespace(&self, levels: &str) -> Result<bool, QueryError> {
        let begins = |n: &TableName| {
            let rest = n.namespace.as_str().strip_prefix(levels);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Ok(self.all_names().await?.iter().any(begins))
    }

    async fn unknown(&self, sql: &str, relation: &Relation, name: &TableName) -> Result<QueryError, QueryError> {
        let all = self.all_names().await?;
        let error = QueryError::new(ErrorKind::UnknownName, format!("table \"{name}\" does not exist"));
        let full: Vec<String> = all.iter().map(ToString::to_string).collect();
        let namespaces: BTreeSet<&str> = all.iter().map(|n| n.namespace.as_str()).collect();
        let hint = if let Some(near) = did_you_mean(&name.to_string(), full.iter().map(String::as_str)) {
            format!("did you mean {near}?")
        } else if let Some(elsewhere) = all.iter().find(|n| n.name == name.name) {
            format!("did you mean {elsewhere}?")
        } else if namespaces.contains(name.namespace.as_str()) {
            let here: Vec<&str> =
                all.iter().filter(|n| n.namespace == name.namespace).map(|n| n.name.as_str()).collect();
            format!("\"{}\" has: {}", name.namespace, shortened(&here))
        } else if namespaces.is_empty() {
            "there are no tables yet".to_owned()
        } else {
            format!("there are the namespaces {}", shortened(&namespaces.into_iter().collect::<Vec<_>>()))
        };
        Ok(error.with_hint(hint).at(sql, relation.span))
    }
}

/// A table that tells about another one, as it is written.
struct About {
    /// What the other one's name may mean.
    readings: Readings,
    kind: Told,
}

/// What is told of a table.
#[derive(Clone, Copy)]
enum Told {
    Metadata(MetadataTable),
    /// What each of its snapshots did to its rows.
    Changes,
}

/// `t$snapshots` as a name may be a table of that name, or tell about `t`.
fn about(relation: &Relation) -> Option<(Relation, Told)> {
    let (last, before) = relation.parts.split_last()?;
    let (of, kind) = last.rsplit_once('$')?;
    let kind = match kind {
        "changes" => Told::Changes,
        kind => Told::Metadata(MetadataTable::named(kind)?),
    };
    let parts = before.iter().cloned().chain([of.to_owned()]).collect();
    Some((Relation { parts, ..relation.clone() }, kind))
}

fn nothing_about(name: &TableName) -> QueryError {
    QueryError::new(ErrorKind::Unsupported, format!("\"{name}\" is no stored table: it has no metadata"))
}

async fn rows_about(
    table: &Table,
    relation: &Relation,
    kind: Told,
    head: Option<i64>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    if relation.changes.is_some() {
        let text = format!("what tells about table \"{}\" has no changes", table.name());
        return Err(QueryError::new(ErrorKind::Unsupported, text).with_hint("ask for those of the table"));
    }
    let (table, snapshot) = match &relation.version {
        Some(version) => at_version(table, version).map(|(table, snapshot)| (table, Some(snapshot)))?,
        None => (table.clone(), head),
    };
    let kind = match kind {
        Told::Metadata(kind) => kind,
        Told::Changes => return Ok(Arc::new(Changes::of_each(table, snapshot)?)),
    };
    let rows = kind.rows(&table, snapshot).await.map_err(|e| QueryError::from_lake(&e))?;
    let provider = MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(|e| QueryError::from_engine("", &e))?;
    Ok(Arc::new(provider))
}

/// A view's plan over the tables of this statement. A table may have gained columns or changed their order since
/// the view was planned; it must not have lost what the view reads.
fn rebound(view: &ViewModel, open: &BTreeMap<TableName, Arc<dyn TableProvider>>) -> Result<LogicalPlan, QueryError> {
    let mut sources: BTreeMap<TableName, Arc<dyn TableSource>> = BTreeMap::new();
    let mut planned: BTreeMap<TableName, SchemaRef> = BTreeMap::new();
    view.plan
        .apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(s) = node
                && let Some(name) = TableName::of(&s.table_name)
            {
                planned.insert(name, s.source.schema());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(|e| QueryError::from_engine(&view.sql, &e))?;
    for (name, schema) in planned {
        let behind = |what: String| {
            QueryError::new(ErrorKind::Unavailable, format!("view \"{}\" reads {what}", view.name))
                .with_hint("bring the tables up to date: `ingot run --once`")
        };
        let Some(provider) = open.get(&name) else {
            return Err(behind(format!("table \"{name}\", which does not exist yet")));
        };
        let stored = provider.schema();
        for field in schema.fields() {
            match stored.field_with_name(field.name()) {
                // What an item of a list is called is no part of its type.
                Ok(f) if f.data_type().equals_datatype(field.data_type()) => {}
                _ => {
                    return Err(behind(format!(
                        "column \"{}\" of table \"{name}\", which the table does not have yet in this form",
                        field.name()
                    )));
                }
            }
        }
        let same = schema.fields().len() == stored.fields().len()
            && schema.fields().iter().zip(stored.fields()).all(|(a, b)| a.name() == b.name());
        let source = provider_as_source(Arc::clone(provider));
        let source = if same {
            source
        } else {
            let reference = name.reference();
            let columns =
                schema.fields().iter().map(|f| Expr::Column(Column::new(Some(reference.clone()), f.name().clone())));
            let plan = LogicalPlanBuilder::scan(reference.clone(), source, None)
                .and_then(|b| b.project(columns))
                .and_then(LogicalPlanBuilder::build)
                .map_err(|e| QueryError::from_engine(&view.sql, &e))?;
            provider_as_source(Arc::new(ViewTable::new(plan, None)))
        };
        sources.insert(name, source);
    }
    ingot_delta::rebind_tables(&view.plan, &|reference| TableName::of(reference).and_then(|n| sources.get(&n).cloned()))
        .map_err(|e| QueryError::new(ErrorKind::Internal, format!("view \"{}\": {e}", view.name)))
}

/// The catalogs of a statement, being filled.
struct Catalog<'a> {
    name: &'a str,
    /// By catalog and schema.
    schemas: BTreeMap<(String, String), Arc<MemorySchemaProvider>>,
}

impl<'a> Catalog<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, schemas: BTreeMap::new() }
    }

    fn add(&mut self, of: &TableName, name: &str, table: Arc<dyn TableProvider>) -> Result<(), QueryError> {
        self.add_at(self.name, of.namespace.as_str(), name, table)
    }

    /// A table of a namespace with levels, named by three parts: the engine takes the first for a catalog.
    fn add_as_written(
        &mut self,
        relation: &Relation,
        name: &TableName,
        table: &Arc<dyn TableProvider>,
    ) -> Result<(), QueryError> {
        match relation.parts.as_slice() {
            [first, schema, _] if name.namespace.as_str() != schema => {
                self.add_at(first, schema, &relation.planned_as, Arc::clone(table))
            }
            _ => Ok(()),
        }
    }

    fn add_at(
        &mut self,
        catalog: &str,
        schema: &str,
        name: &str,
        table: Arc<dyn TableProvider>,
    ) -> Result<(), QueryError> {
        let schema = self.schemas.entry((catalog.to_owned(), schema.to_owned())).or_default();
        if !schema.table_exist(name) {
            schema.register_table(name.to_owned(), table).map_err(|e| QueryError::from_engine("", &e))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Arc<dyn CatalogProviderList>, QueryError> {
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(self.name.to_owned(), Arc::new(MemoryCatalogProvider::new()));
        for ((catalog, name), schema) in self.schemas {
            let catalog = list.catalog(&catalog).unwrap_or_else(|| {
                let new = Arc::new(MemoryCatalogProvider::new());
                list.register_catalog(catalog, Arc::<MemoryCatalogProvider>::clone(&new));
                new
            });
            catalog.register_schema(&name, schema).map_err(|e| QueryError::from_engine("", &e))?;
        }
        Ok(Arc::new(list))
    }
}
