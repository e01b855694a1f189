//! Views that keep the first row of each key: `QUALIFY row_number() OVER (PARTITION BY .. ORDER BY ..) = 1`.
//!
//! record of a key: the input columns of its winner; partition and order values are computed from it
//!
//! Invariants
//! * The order is completed by all input columns, so equal rows are interchangeable.
//! * The winner of old + plus is the lesser of the two winners; a deleted winner makes its key to be recomputed.
//!
//! Not here: filters above the choice (`classify` refuses them: a dropped winner leaves no trace, so its duplicate
//! would get in).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{DeltaError, Result};
use crate::shape::above::{batch, evaluate, physical};
use crate::shape::classify::{FullReason, check_expr, reason};
use crate::target::keyed::{Combined, Fate};
use crate::target::keys::Touched;
use crate::target::rows::has_row_format;
use crate::target::state::coding;

/// The choice of one row per key.
#[derive(Debug)]
pub(crate) struct KeepFirst {
    pub(crate) keys: Vec<Expr>,
    /// The call as it stands in the window node, order completed.
    window: Expr,
    input: DFSchemaRef,
    key_values: Vec<Arc<dyn PhysicalExpr>>,
    order_values: Vec<Arc<dyn PhysicalExpr>>,
    options: Vec<SortOptions>,
}

impl KeepFirst {
    pub(crate) fn new(window: &Expr, keys: &[Expr], order: &[Sort], input: &DFSchemaRef) -> Result<Self, FullReason> {
        for expr in keys.iter().chain(order.iter().map(|s| &s.expr)) {
            check_expr(expr)?;
        }
        for key in keys {
            let data_type = datafusion::logical_expr::ExprSchemable::get_type(key, input).map_err(FullReason::plan)?;
            if data_type.is_nested() || coding(&data_type).is_none() {
                return Err(reason(
                    "R0518",
                    format!("PARTITION BY {key} has the type {data_type}, which cannot be a key"),
                ));
            }
        }
        for field in input.fields() {
            if coding(field.data_type()).is_none() || !has_row_format(field.data_type()) {
                return Err(reason(
                    "R0518",
                    format!(
                        "column \"{}\" of type {} cannot be compared; leave it out below the window",
                        field.name(),
                        field.data_type()
                    ),
                ));
            }
        }
        let values = |exprs: Vec<&Expr>| exprs.into_iter().map(|e| physical(e, input)).collect::<Result<Vec<_>>>();
        Ok(Self {
            keys: keys.to_vec(),
            window: window.clone(),
            input: Arc::clone(input),
            key_values: values(keys.iter().collect()).map_err(FullReason::plan)?,
            order_values: values(order.iter().map(|s| &s.expr).collect()).map_err(FullReason::plan)?,
            options: order.iter().map(|s| SortOptions { descending: !s.asc, nulls_first: s.nulls_first }).collect(),
        })
    }

    /// The winners among the rows of `input`: its columns as c0...
    pub(crate) fn partials(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let columns = input
            .schema()
            .iter()
            .enumerate()
            .map(|(i, (q, f))| Expr::Column(Column::new(q.cloned(), f.name())).alias(format!("c{i}")));
        let columns: Vec<Expr> = columns.collect();
        let plan = LogicalPlanBuilder::from(input).window(vec![self.window.clone()])?.build()?;
        let (qualifier, field) = plan.schema().qualified_field(columns.len());
        let number = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        Ok(LogicalPlanBuilder::from(plan.clone()).filter(number.eq(lit(1u64)))?.project(columns)?.build()?)
    }

    /// The place of an input column.
    pub(crate) fn input_index(&self, column: &Column) -> Option<usize> {
        self.input.index_of_column(column).ok()
    }

    /// Key values of winners.
    pub(crate) fn key_columns(&self, record: &RecordBatch) -> Result<Vec<ArrayRef>> {
        evaluate(&self.key_values, &batch(&self.input, record.columns().to_vec(), record.num_rows())?)
    }

    /// The window node's columns for winners: the input's, then the row number.
    pub(crate) fn results(&self, record: &RecordBatch) -> Vec<ArrayRef> {
        let mut columns = record.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_value(1, record.num_rows())));
        columns
    }

    /// The lesser of stored and new winner of each key.
    pub(crate) fn combine(&self, arena: &RecordBatch, touched: &[Touched]) -> Result<Combined> {
        let values = evaluate(&self.order_values, &batch(&self.input, arena.columns().to_vec(), arena.num_rows())?)?;
        let fields =
            values.iter().zip(&self.options).map(|(v, o)| SortField::new_with_options(v.data_type().clone(), *o));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(&values)?;
        let rank = |i: usize| rows.row(i);
        let mut fates = Vec::with_capacity(touched.len());
        let mut kept: Vec<u64> = Vec::with_capacity(touched.len());
        for t in touched {
            if t.forced {
                fates.push(if t.recomputed.is_some() { Fate::Row } else { Fate::Gone });
                kept.extend(t.recomputed.map(|i| i as u64));
                continue;
            }
            let best = match (t.stored, t.plus) {
                (Some(old), Some(new)) if rank(new) < rank(old) => Some(new),
                (Some(old), _) => Some(old),
                (None, new) => new,
            };
            match (t.minus, t.stored) {
                (Some(_), None) => {
                    return Err(DeltaError::inconsistent("a row of a key without stored row was deleted"));
                }
                // A new row that is no greater than the deleted winner is the first of all that remain.
                (Some(gone), Some(old))
                    if rank(gone) <= rank(old) && t.plus.is_none_or(|new| rank(new) > rank(old)) =>
                {
                    fates.push(Fate::Recompute);
                }
                _ => {
                    fates.push(if best.is_some() { Fate::Row } else { Fate::Gone });
                    kept.extend(best.map(|i| i as u64));
                }
            }
        }
        Ok(Combined { fates, record: take_record_batch(arena, &UInt64Array::from(kept))? })
    }
}
