//! Casts as a function, where DataFusion's own are not good enough.
//!
//!   decimals that lose digits    DataFusion moves such a cast to the other side of a comparison, where
//!                                `CAST(1.25 AS INT) = 1` becomes `1.25 = 1`
//!   texts, DOUBLE to exact       its errors show the value
//!
//! A decimal that becomes an integer loses its fraction, one that gets a smaller scale is rounded half up.
//!
//! Not here: `round`, which has a type of its own.

use std::sync::Arc;

use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::failure::{FailureKind, Named, sql_name};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Narrow {
    to: DataType,
    /// NULL instead of a failure.
    attempt: bool,
    shown: Named,
    signature: Signature,
}

/// Whether a cast of a column between these types is this function.
pub(crate) fn replaces(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Decimal128(_, s), DataType::Decimal128(_, t)) => s > t,
        (DataType::Decimal128(_, s), to) => *s > 0 && to.is_integer(),
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, to) => {
            to.is_numeric() || to.is_temporal() || *to == DataType::Boolean
        }
        (from, to) => from.is_floating() && (to.is_integer() || to.is_decimal()),
    }
}

/// The cast as a function.
pub(crate) fn narrow(expr: Expr, to: DataType, attempt: bool) -> Expr {
    let shown = Named::new(format!("CAST({} AS {})", Named::of(&expr).0, sql_name(&to)));
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::from(Narrow { to, attempt, shown, signature })).call(vec![expr])
}

impl ScalarUDFImpl for Narrow {
    fn name(&self) -> &str {
        if self.attempt { "ingot_try_cast" } else { "ingot_cast" }
    }

    // A cast has its argument's name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|a| a.schema_name().to_string()).collect())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let args: String = args.iter().map(ToString::to_string).collect();
        Ok(format!("{}({args} AS {})", if self.attempt { "TRY_CAST" } else { "CAST" }, self.to))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = self.attempt || args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = CastOptions { safe: self.attempt, format_options: FormatOptions::default() };
        match args.args.as_slice() {
            [value] => {
                let kind = match value.data_type() {
                    // What cannot be converted is too large.
                    DataType::Decimal128(..) => FailureKind::Overflow,
                    _ => FailureKind::Conversion,
                };
                value.cast_to(&self.to, Some(&options)).map_err(|e| match e {
                    DataFusionError::ArrowError(..) => self.shown.failure(kind, &self.to),
                    other => other,
                })
            }
            other => exec_err!("a cast of {} values", other.len()),
        }
    }
}
