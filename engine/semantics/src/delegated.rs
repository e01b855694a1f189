//! Methods that a wrapped function passes on to the function inside.
//!
//!   impl ScalarUDFImpl for Log { as_inner!(names, types); fn invoke_with_args(..) .. }      with a field `inner`

/// Methods of a `ScalarUDFImpl` or an `AggregateUDFImpl` that ask its field `inner`, the function itself: `calls` (its name,
/// aliases and arguments), `returns` (the type of its result), `names` (calls, and a scalar's documentation) and `types`
/// (returns, and the field of a scalar's result).
macro_rules! as_inner {
    (names, types) => {
        crate::delegated::as_inner!(names);
        crate::delegated::as_inner!(types);
    };
    (calls, returns) => {
        crate::delegated::as_inner!(calls);
        crate::delegated::as_inner!(returns);
    };
    (calls) => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.inner.signature()
        }
    };
    (names) => {
        crate::delegated::as_inner!(calls);

        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.inner.documentation()
        }
    };
    (returns) => {
        fn return_type(
            &self,
            types: &[arrow::datatypes::DataType],
        ) -> datafusion::common::Result<arrow::datatypes::DataType> {
            self.inner.return_type(types)
        }
    };
    (types) => {
        crate::delegated::as_inner!(returns);

        fn return_field_from_args(
            &self,
            args: datafusion::logical_expr::ReturnFieldArgs,
        ) -> datafusion::common::Result<arrow::datatypes::FieldRef> {
            self.inner.return_field_from_args(args)
        }
    };
}

pub(crate) use as_inner;
