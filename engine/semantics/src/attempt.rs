//! The function that `TRY(e)` is: the value of `e`, or NULL for a row where it fails.
//!
//!   TRY(e over columns) ──▶ a function that owns the compiled e and takes those columns
//!
//! DataFusion evaluates arguments before a function sees them, so `e` cannot be one. A batch is computed as a
//! whole; only if that fails, in halves, down to the rows that fail.
//!
//! Invariants
//! * Only failures of rows become NULL: out of memory, a cancelled query and faults of the engine go on as errors.
//! * An aggregate within is computed before, and its failure is not caught: `try_sum`, `try_avg`.
//!
//! Not here: what is written (`try_forms`), aggregates (`sum`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::failure::is_failure;

/// A compiled expression over the function's arguments, which are its columns in order.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) compiled: Arc<dyn PhysicalExpr>,
    pub(crate) schema: SchemaRef,
    pub(crate) data_type: DataType,
    pub(crate) name: String,
    pub(crate) shown: String,
    pub(crate) signature: Signature,
}

impl Attempt {
    /// `TRY(compiled)`, whose columns are those of `schema` in order.
    pub(crate) fn of(compiled: Arc<dyn PhysicalExpr>, schema: SchemaRef, data_type: DataType) -> Self {
        let name = format!("TRY({compiled})");
        let signature = Signature::any(schema.fields().len(), Volatility::Immutable);
        Self { compiled, schema, data_type, shown: name.clone(), name, signature }
    }

    /// As the user wrote it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        self.compiled.as_ref() == other.compiled.as_ref() && self.schema == other.schema
    }
}

impl Eq for Attempt {}

impl std::hash::Hash for Attempt {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.compiled.hash(state);
    }
}

impl ScalarUDFImpl for Attempt {
    fn name(&self) -> &str {
        "try"
    }

    fn schema_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn display_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("try", self.data_type.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|c| c.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        value_or_null(&self.compiled, &batch, &self.data_type)
    }
}

/// The values of an expression, NULL for rows where it fails. A batch that fails is halved until what fails is a row.
///
/// # Errors
/// What is not the failure of a row.
fn value_or_null(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch, data_type: &DataType) -> Result<ColumnarValue> {
    match expr.evaluate(batch) {
        Ok(value) => return Ok(value),
        Err(error) if is_failure(&error) => {}
        Err(error) => return Err(error),
    }
    let rows = batch.num_rows();
    if rows == 0 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from(data_type)?));
    }
    if rows == 1 {
        return Ok(ColumnarValue::Array(new_null_array(data_type, 1)));
    }
    let half = |from: usize, to: usize| -> Result<ArrayRef> {
        // A slice of a list still holds the items of all rows, which its cast would look at.
        let part = match batch.num_columns() {
            0 => batch.slice(from, to - from),
            _ => take_record_batch(batch, &(from as u64..to as u64).collect::<UInt64Array>())?,
        };
        value_or_null(expr, &part, data_type)?.to_array(to - from)
    };
    let (first, second) = (half(0, rows / 2)?, half(rows / 2, rows)?);
    Ok(ColumnarValue::Array(concat(&[first.as_ref(), second.as_ref()])?))
}
