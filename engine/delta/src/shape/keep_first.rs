//! A choice of one row a key taken apart: `QUALIFY row_number() OVER (PARTITION BY .. ORDER BY ..) = 1`.
//!
//! Invariants
//! * The order is completed by all input columns, so equal rows are interchangeable.
//!
//! Not here: the plan of the winners (`change::keep_first`), merging them (`target::keep_first`), filters above the
//! choice (`classify` refuses them: a dropped winner leaves no trace, so its duplicate would get in).

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;

use crate::error::Result;
use crate::reason::{FullReason, reason};
use crate::shape::expressions::check_expr;
use crate::shape::projections::physical;
use crate::values::format::has_row_format;
use crate::values::hidden::coding;

/// The choice of one row per key.
#[derive(Debug)]
pub(crate) struct KeepFirst {
    pub(crate) keys: Vec<Expr>,
    /// The call as it stands in the window node, order completed.
    pub(crate) window: Expr,
    pub(crate) input: DFSchemaRef,
    pub(crate) key_values: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) order_values: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) options: Vec<SortOptions>,
}

impl KeepFirst {
    pub(crate) fn new(window: &Expr, keys: &[Expr], order: &[Sort], input: &DFSchemaRef) -> Result<Self, FullReason> {
        for expr in keys.iter().chain(order.iter().map(|s| &s.expr)) {
            check_expr(expr)?;
        }
        for key in keys {
            let data_type = key.get_type(input).map_err(FullReason::plan)?;
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
    /// The place of an input column.
    pub(crate) fn input_index(&self, column: &Column) -> Option<usize> {
        self.input.index_of_column(column).ok()
    }
}
