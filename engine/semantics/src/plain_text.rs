//! Makes functions that return text views in the engine return plain text, as all others do.
//!
//! A batch of views counts the bytes that it shares with other batches as its own, so that the pool runs out while
//! memory is free.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::delegated::as_inner;

/// Puts the functions in the place of the engine's.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| f.name() == "md5") {
        *function = Arc::new(ScalarUDF::from(PlainText { inner: Arc::clone(function) }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PlainText {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for PlainText {
    as_inner!(names);

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        Ok(Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable())))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.return_field = Arc::new(args.return_field.as_ref().clone().with_data_type(DataType::Utf8View));
        self.inner.invoke_with_args(args)?.cast_to(&DataType::Utf8, None)
    }
}
