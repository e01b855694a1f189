//! A plan over the rows of some keys alone.
//!
//! Invariants
//! * Keys match with IS NOT DISTINCT FROM: NULL finds NULL.
//!
//! Not here: which keys are asked for (`target`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, JoinType, NullEquality, ScalarValue};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};

use crate::error::Result;
use crate::values::ranges::range_of;

const KEYS_TABLE: &str = "__ingot_keys";

/// The rows of `input` whose values of `exprs` are among `keys`, one column for each of `exprs`. Without expressions
/// there is one key, which all rows have.
pub(crate) fn restrict(input: LogicalPlan, exprs: &[Expr], keys: &RecordBatch) -> Result<LogicalPlan> {
    if exprs.is_empty() {
        return Ok(input);
    }
    let columns: Vec<Expr> =
        input.schema().iter().map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name()))).collect();
    let names: Vec<String> = (0..exprs.len()).map(|i| format!("__ingot_key{i}")).collect();
    let (mut fields, mut values, mut bounds) = (vec![], vec![], vec![]);
    for ((expr, name), column) in exprs.iter().zip(&names).zip(keys.columns()) {
        let data_type = expr.get_type(input.schema())?;
        let column = if *column.data_type() == data_type {
            Arc::clone(column)
        } else {
            arrow::compute::cast(column, &data_type)?
        };
        bounds.extend(bound(expr, &column)?);
        fields.push(Field::new(name, data_type, true));
        values.push(column);
    }
    let schema = Arc::new(Schema::new(fields));
    let table = MemTable::try_new(Arc::clone(&schema), vec![vec![RecordBatch::try_new(schema, values)?]])?;
    let wanted = LogicalPlanBuilder::scan(KEYS_TABLE, provider_as_source(Arc::new(table)), None)?.build()?;
    let mut left = LogicalPlanBuilder::from(input);
    for predicate in bounds {
        left = left.filter(predicate)?;
    }
    let computed = exprs.iter().zip(&names).map(|(e, n)| e.clone().unalias_nested().data.alias(n));
    let right: Vec<Column> = names.iter().map(|n| Column::new(Some(KEYS_TABLE), n)).collect();
    let restricted = left
        .project(columns.iter().cloned().chain(computed).collect::<Vec<_>>())?
        .join_detailed(
            wanted,
            JoinType::LeftSemi,
            (names.iter().map(Column::new_unqualified).collect::<Vec<_>>(), right),
            None,
            NullEquality::NullEqualsNull,
        )?
        .project(columns)?
        .build()?;
    Ok(restricted)
}

/// A range of a plain key column, so that scans skip what cannot hold these keys.
fn bound(expr: &Expr, values: &ArrayRef) -> Result<Option<Expr>> {
    let Expr::Column(_) = expr else { return Ok(None) };
    let Some(range) = range_of("", &[values])? else { return Ok(None) };
    let value = |v: &ScalarValue| lit(v.clone());
    let between = expr.clone().between(value(&range.min), value(&range.max));
    Ok(match (range.min.is_null(), range.has_null) {
        (true, _) => Some(expr.clone().is_null()),
        (false, true) => Some(between.or(expr.clone().is_null())),
        (false, false) => Some(between),
    })
}
