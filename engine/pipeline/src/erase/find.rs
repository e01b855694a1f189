//! What an erasure would take out, and what would keep it.
//!
//! Not here: taking it out (`act`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Volatility, ident};
use futures::TryStreamExt;
use ingot_lake::position::recorded_flows;
use ingot_lake::{FlowKey, LakeTableProvider, PositionError, ScanOptions, Table, recorded_position};
use ingot_model::place::{FILE, POSITION};
use ingot_model::{Count, FlowPositions, TableName};
use ingot_project::check::condition;
use ingot_project::project::{Model, ModelKind};

use super::asked::{Asked, Erasure, Errors, Raw};
use super::text;
use crate::engine::Engine;
use crate::error::{PipelineError, Result};
use crate::refresh::rewrite::{arrow, column};

/// Rows by file: their positions.
pub(super) type Places = BTreeMap<String, HashSet<i64>>;

/// What is found, and where.
pub(super) struct Found {
    pub(super) erasure: Erasure,
    /// The tables that rows go out of, as they were looked at, with the rows' places.
    pub(super) places: Vec<(Table, Places)>,
}

impl Engine {
    /// What would be taken out, without changing anything.
    ///
    /// # Errors
    /// What would keep a row (R0551 to R0554); a condition that is none (R0556); lake and execution errors.
    pub async fn erasure(&self, asked: &Asked) -> Result<Erasure> {
        Ok(self.found(asked).await?.erasure)
    }

    /// Refuses to read again what would bring erased rows back, unless that was asked for.
    pub(crate) async fn keep_erased(&self, name: &TableName, accept_loss: bool) -> Result<()> {
        let Some(table) = self.lake().load_table(name).await? else { return Ok(()) };
        let rows = table.recorded().erased()?;
        if rows == 0 || accept_loss {
            return Ok(());
        }
        let text = format!("{rows} rows were erased from \"{name}\", and what it reads may still hold them");
        Err(PipelineError::stopped("R0555", text).with_hint(format!(
            "ingot refresh {name} --full --accept-loss reads all of it again; erase the rows again then"
        )))
    }

    pub(super) async fn found(&self, asked: &Asked) -> Result<Found> {
        let model = self.model(&asked.table)?;
        if !model.is_streaming() {
            let below: Vec<String> = model.inputs.iter().map(ToString::to_string).collect();
            return Err(PipelineError::stopped("R0551", format!("\"{}\" is no streaming table", asked.table))
                .with_hint(format!("its rows follow from those of {}: erase them there", below.join(", "))));
        }
        let takes = |side: &&Model| matches!(&side.kind, ModelKind::Quarantine { of } if *of == model.name);
        if let Some(side) = self.project().tables.values().find(takes) {
            let text = format!("\"{}\" takes rows before \"{}\" has them, and would keep them", side.name, model.name);
            return Err(PipelineError::stopped("R0552", text)
                .with_hint("erase rows of a table below it, or move the expectation to a view over it"));
        }
        let (readers, kept) = self.readers_of(model, &asked.excluded)?;
        let table = self.erasable(&asked.table).await?;
        for reader in &readers {
            if self.lake().load_table(reader).await?.is_some() {
                self.erasable(reader).await?;
            }
        }
        let predicate = bound(asked, &table)?;
        let own = self.places(&table, &predicate).await?;
        let mut erasure =
            Erasure { table: asked.table.clone(), rows: count(&own), files: own.len(), errors: vec![], readers, kept };
        let mut places = vec![];
        for side in self.error_tables(model) {
            if self.lake().load_table(&side).await?.is_none() {
                continue;
            }
            let side = self.erasable(&side).await?;
            let (errors, found) = self.error_rows(&side, asked, &predicate).await?;
            erasure.errors.push(errors);
            places.push((side, found));
        }
        places.push((table, own));
        Ok(Found { erasure, places })
    }

    pub(super) fn error_tables(&self, model: &Model) -> Vec<TableName> {
        let of = |side: &&Model| matches!(&side.kind, ModelKind::DecodeErrors { of } if *of == model.name);
        self.project().tables.values().filter(of).map(|side| side.name.clone()).collect()
    }

    /// A table whose rows go when they are taken out.
    async fn erasable(&self, name: &TableName) -> Result<Table> {
        let table = self.lake().load_table(name).await?;
        let table = table.ok_or_else(|| PipelineError::Lake(ingot_lake::LakeError::TableMissing(name.clone())))?;
        self.check_owner(&table)?;
        match self.lake().would_keep_rows(&table).await? {
            None => {
                // Its history is to be forgotten: what it says must be known.
                position(&table)?;
                Ok(table)
            }
            Some(reason) => {
                Err(PipelineError::stopped("R0552", format!("\"{name}\" would keep erased rows: {reason}")))
            }
        }
    }

    /// The tables over a streaming table and its error tables that follow, in order, and the streaming ones that were
    /// excluded.
    fn readers_of(&self, model: &Model, excluded: &[TableName]) -> Result<(Vec<TableName>, Vec<TableName>)> {
        let mut changed: BTreeSet<TableName> = self.error_tables(model).into_iter().collect();
        changed.insert(model.name.clone());
        let (mut readers, mut kept, mut takes) = (vec![], vec![], vec![]);
        let order = self.project().order.iter().filter_map(|name| self.project().tables.get(name));
        for reader in order {
            if changed.contains(&reader.name) || !reader.inputs.iter().any(|input| changed.contains(input)) {
                continue;
            }
            if !reader.is_streaming() {
                changed.insert(reader.name.clone());
                readers.push(reader.name.clone());
            } else if excluded.contains(&reader.name) {
                kept.push(reader.name.clone());
            } else {
                takes.push(reader.name.to_string());
            }
        }
        if let Some(first) = takes.first() {
            return Err(PipelineError::stopped(
                "R0553",
                format!(
                    "{} read \"{}\" as a stream and keep the rows that they have taken",
                    takes.join(", "),
                    model.name
                ),
            )
            .with_hint(format!(
                "erase them there first (ingot erase {first} WHERE ...), then here with --exclude {}",
                takes.join(" --exclude ")
            )));
        }
        Ok((readers, kept))
    }

    /// Where the rows of a table are for which a condition is TRUE.
    async fn places(&self, table: &Table, predicate: &Expr) -> Result<Places> {
        let options = ScanOptions { with_positions: true, ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(table, options).await?;
        let name = TableReference::bare(table.name().name.as_str());
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(provider)), None)?
            .filter(predicate.clone())?
            .project([ident(FILE), ident(POSITION)])?
            .build()?;
        let mut rows = ingot_query::context::stream(self.context(), plan).await?;
        let mut found = Places::new();
        while let Some(batch) = rows.try_next().await? {
            note(&batch, &mut found, |_| true)?;
        }
        Ok(found)
    }

    async fn error_rows(&self, side: &Table, asked: &Asked, predicate: &Expr) -> Result<(Errors, Places)> {
        let head = side.head().and_then(|id| side.snapshot(id));
        let stored = head.map_or(Ok(None), |head| head.count(Count::TotalRecords))?.unwrap_or(0);
        let texts: BTreeSet<String> = match &asked.raw {
            Raw::Compared => text::compared(predicate),
            Raw::Texts(texts) => texts.iter().filter(|text| !text.is_empty()).cloned().collect(),
            Raw::Kept => BTreeSet::new(),
        };
        if texts.is_empty() && stored > 0 && asked.raw != Raw::Kept {
            return Err(PipelineError::stopped(
                "R0554",
                format!(
                    "\"{}\" holds {stored} messages that did not decode, in which no column can be looked at",
                    side.name()
                ),
            )
            .with_hint(
                "say what their bytes hold: --raw-matching TEXT, once for each text; or --raw-kept leaves them",
            ));
        }
        let forms: BTreeSet<Vec<u8>> = texts.iter().flat_map(|text| text::forms(text)).collect();
        let mut found = Places::new();
        if !forms.is_empty() && stored > 0 {
            let mut rows = self.placed_rows(side).await?;
            while let Some(batch) = rows.try_next().await? {
                let columns = searched(&batch)?;
                let holds = |row: usize| {
                    let of = |bytes: &[u8]| forms.iter().any(|form| text::holds(bytes, form));
                    columns.iter().any(|c| {
                        let c = c.as_binary::<i32>();
                        c.is_valid(row) && of(c.value(row))
                    })
                };
                note(&batch, &mut found, holds)?;
            }
        }
        let errors =
            Errors { table: side.name().clone(), stored, rows: count(&found), texts: texts.into_iter().collect() };
        Ok((errors, found))
    }

    async fn placed_rows(&self, table: &Table) -> Result<SendableRecordBatchStream> {
        let options = ScanOptions { with_positions: true, ..ScanOptions::default() };
        let provider = LakeTableProvider::try_new(table, options).await?;
        Ok(self.context().read_table(Arc::new(provider))?.execute_stream().await?)
    }
}

/// The position of the flow that last read into a table, without a range of its own; none if none did.
///
/// # Errors
/// A history that does not prove it: it must not be forgotten.
pub(super) fn position(table: &Table) -> Result<Option<FlowPositions>> {
    let known = |e: PositionError| PipelineError::stopped(e.code(), e.to_string()).with_hint(e.hint());
    let flows = recorded_flows(table).map_err(known)?;
    let Some(newest) = flows.first() else { return Ok(None) };
    let at = recorded_position(table, &FlowKey::of(newest)).map_err(known)?;
    Ok(at.map(|at| FlowPositions { full: true, ..at.at_rest() }))
}

/// The condition over a table's columns, which says the same of a row whenever it is asked.
fn bound(asked: &Asked, table: &Table) -> Result<Expr> {
    let wrong = |text: String| {
        let schema = table.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        PipelineError::stopped("R0556", format!("the condition cannot be asked of \"{}\": {text}", asked.table))
            .with_hint(format!("compare its columns ({}) with values", columns.join(", ")))
    };
    let predicate = condition(&asked.condition.tree, &asked.table.name, &table.schema())
        .map_err(|error| wrong(error.strip_backtrace()))?;
    let moves = |e: &Expr| {
        Ok(match e {
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => true,
            Expr::ScalarFunction(f) => f.func.signature().volatility != Volatility::Immutable,
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_) => true,
            _ => false,
        })
    };
    match predicate.exists(moves)? {
        true => Err(wrong(
            "it must say the same of a row each time, by that row alone: no subquery, aggregate, clock or chance"
                .into(),
        )),
        false => Ok(predicate),
    }
}

fn count(places: &Places) -> u64 {
    places.values().map(|rows| rows.len() as u64).sum()
}

/// The columns of error rows that may hold a text, as bytes.
fn searched(batch: &RecordBatch) -> Result<Vec<Arc<dyn Array>>> {
    let names = ["key", "payload", "reason"];
    let there = names.into_iter().filter_map(|name| batch.column_by_name(name));
    there.map(|c| cast(c, &DataType::Binary).map_err(arrow)).collect()
}

/// Notes the places of those rows of a batch that are wanted.
fn note(batch: &RecordBatch, found: &mut Places, wanted: impl Fn(usize) -> bool) -> Result<()> {
    let files = cast(column(batch, FILE)?, &DataType::Utf8).map_err(arrow)?;
    let (files, positions) = (files.as_string::<i32>(), column(batch, POSITION)?.as_primitive::<Int64Type>());
    for row in (0..batch.num_rows()).filter(|row| wanted(*row)) {
        match found.get_mut(files.value(row)) {
            Some(rows) => drop(rows.insert(positions.value(row))),
            None => drop(found.insert(files.value(row).to_owned(), HashSet::from([positions.value(row)]))),
        }
    }
    Ok(())
}
