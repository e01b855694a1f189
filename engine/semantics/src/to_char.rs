//! `to_char(time, format)` of timestamps as they are: DataFusion brings those with a zone to nanoseconds, which end in 2262.
//!
//! Not here: how a format is read, which is DataFusion's.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `to_char`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToChar {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ToChar {
    pub(crate) fn new() -> Self {
        Self {
            inner: datafusion::functions::datetime::to_char(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType as D;
        let [time, format] = types else { return plan_err!("to_char takes a time and a format") };
        if !matches!(format, D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null) {
            return plan_err!("the format of to_char is text, not {format}");
        }
        let time = match time {
            D::Date32 | D::Date64 | D::Time32(_) | D::Time64(_) | D::Timestamp(..) | D::Duration(_) => time.clone(),
            D::Null | D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Timestamp(TimeUnit::Microsecond, None),
            other => {
                return plan_err!("to_char takes a date, a time, a timestamp or a difference of them, not {other}");
            }
        };
        Ok(vec![time, D::Utf8])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
