//! What a function that stands in another's place has from it.
//!
//!   impl ScalarUDFImpl for Log { as_inner!(names, types); fn invoke_with_args(..) .. }      with a field `inner`

/// Methods of a `ScalarUDFImpl` that ask its field `inner`, an `Arc<ScalarUDF>`: `names` (how it is called, with how many
/// arguments, and what is said of it) and `types` (of its result).
macro_rules! as_inner {
    (names, types) => {
        crate::delegated::as_inner!(names);
        crate::delegated::as_inner!(types);
    };
    (names) => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.inner.signature()
        }

        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.inner.documentation()
        }
    };
    (types) => {
        fn return_type(
            &self,
            types: &[arrow::datatypes::DataType],
        ) -> datafusion::common::Result<arrow::datatypes::DataType> {
            self.inner.return_type(types)
        }

        fn return_field_from_args(
            &self,
            args: datafusion::logical_expr::ReturnFieldArgs,
        ) -> datafusion::common::Result<arrow::datatypes::FieldRef> {
            self.inner.return_field_from_args(args)
        }
    };
}

pub(crate) use as_inner;
