//! Functions of a list and of items, whose numbers may be of two kinds: DECIMAL beside DOUBLE is DOUBLE here too.
//!
//! They are wrapped because DataFusion refuses the call before any rule sees it.
//!
//! Not here: other functions of several numbers (`widen`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

const NAMES: &[&str] = &[
    "array_append",
    "array_has",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
];

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<ScalarUDF>]) {
    for function in functions.iter_mut().filter(|f| NAMES.contains(&f.name())) {
        let inner = Arc::clone(function);
        let signature = Signature::user_defined(Volatility::Immutable);
        *function = Arc::new(ScalarUDF::from(ListFunction { inner, signature }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListFunction {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

fn item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => Some(f.data_type()),
        _ => None,
    }
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let numbers = || arg_types.iter().map(|t| item(t).unwrap_or(t));
        let mixed = numbers().any(DataType::is_decimal) && numbers().any(DataType::is_floating);
        let double = |t: &DataType| match item(t) {
            Some(i) if mixed && (i.is_decimal() || i.is_floating()) => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
            }
            None if mixed && (t.is_decimal() || t.is_floating()) => DataType::Float64,
            _ => t.clone(),
        };
        let fields: Vec<FieldRef> = arg_types.iter().map(|t| Arc::new(Field::new("x", double(t), true))).collect();
        Ok(fields_with_udf(&fields, self.inner.as_ref())?.iter().map(|f| f.data_type().clone()).collect())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
