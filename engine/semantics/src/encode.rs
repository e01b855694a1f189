//! `encode(x, 'base64')` pads, as RFC 4648 says and Trino, DuckDB and PostgreSQL do. `decode` takes both.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Puts the function in the place of the engine's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == "encode") {
        *function = Arc::new(ScalarUDF::from(Encode { inner: Arc::clone(function) }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Encode {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Encode {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(ColumnarValue::Scalar(encoding)) = args.args.get_mut(1)
            && encoding.try_as_str().flatten() == Some("base64")
        {
            *encoding = ScalarValue::from("base64pad");
        }
        self.inner.invoke_with_args(args)
    }
}
