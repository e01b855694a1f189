//! `encode(x, 'base64')` pads, as RFC 4648 says and Trino, DuckDB and PostgreSQL do; `decode` takes nothing else.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

/// Puts the function in the place of the engine's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| matches!(f.name(), "encode" | "decode")) {
        *function = Arc::new(ScalarUDF::from(Padded { inner: Arc::clone(function) }));
    }
}

/// Whether all texts are padded to groups of four, which DataFusion's own decoder does not ask for.
fn are_padded(coded: &ColumnarValue) -> Result<bool> {
    let coded = coded.to_array(1)?;
    let lengths = match coded.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => cast(&coded, &DataType::LargeUtf8)?,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            cast(&coded, &DataType::LargeBinary)?
        }
        _ => return Ok(true),
    };
    let lengths = length(&lengths)?;
    Ok(lengths.as_primitive::<Int64Type>().iter().flatten().all(|n| n % 4 == 0))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Padded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Padded {
    as_inner!(names, types);

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(ColumnarValue::Scalar(encoding)) = args.args.get_mut(1)
            && encoding.try_as_str().flatten() == Some("base64")
        {
            if self.name() == "encode" {
                *encoding = ScalarValue::from("base64pad");
            } else if !args.args.first().map_or(Ok(true), are_padded)? {
                return exec_err!("the text is not base64: its padding is missing");
            }
        }
        self.inner.invoke_with_args(args)
    }
}
