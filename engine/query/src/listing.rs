//! `information_schema.columns` in SQL's words, and with it SHOW COLUMNS and DESCRIBE: types are called as the dialect
//! calls them, positions count from 1.
//!
//!   data_type "Int64", ordinal_position 0     ──▶     "BIGINT", 1

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarUDF, Volatility, cast, create_udf, lit};

/// The plan over such a list.
///
/// # Errors
/// Those of building a plan.
pub(crate) fn in_sql_words(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::TableScan(scan)
            if scan.table_name.schema() == Some("information_schema") && scan.table_name.table() == "columns" =>
        {
            let word = type_word();
            let items = node.schema().iter().map(|(qualifier, field)| {
                let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                let told = match field.name().as_str() {
                    "data_type" => word.call(vec![column]),
                    "ordinal_position" => cast(column + lit(1u64), field.data_type().clone()),
                    _ => return column,
                };
                told.alias_qualified(qualifier.cloned(), field.name())
            });
            let items = items.collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(items, Arc::new(node))?)))
        }
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

fn type_word() -> ScalarUDF {
    let words = |args: &[ColumnarValue]| {
        let texts = ColumnarValue::values_to_arrays(args)?;
        let words: StringArray = texts.iter().flat_map(|t| t.as_string::<i32>()).map(|t| t.map(word)).collect();
        Ok(ColumnarValue::Array(Arc::new(words) as ArrayRef))
    };
    create_udf("ingot_type_word", vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(words))
}

/// The engine's text of a type as the dialect's; another text stays.
fn word(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |t: DataType| ingot_semantics::type_name(&t))
}
