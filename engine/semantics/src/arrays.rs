//! `array_has(a, x)` and `x = ANY(a)` over an array with NULLs: NULL where x is not found, since it may be one of them.
//! `array_has_any(a, b)` is whether some item of b is in a, `array_has_all(a, b)` whether all are, by the same logic.
//!
//! Invariants
//! * TRUE stays TRUE, NULL stays NULL; only FALSE over an array that holds NULL becomes NULL.
//! * Arrays that are written out without NULL keep DataFusion's own function, which becomes a list of values.
//!
//! Not here: lists of values (`lists`), subqueries (`membership`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
};
use datafusion::optimizer::AnalyzerRule;

use crate::delegated::as_inner;

const ARRAY_HAS: &str = "array_has";
const ARRAY_HAS_ANY: &str = "array_has_any";
const ARRAY_HAS_ALL: &str = "array_has_all";

/// Runs on plans whose types are coerced.
#[derive(Debug)]
pub(crate) struct Arrays;

impl AnalyzerRule for Arrays {
    fn name(&self) -> &str {
        "ingot_arrays"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let sorted = matches!(plan, LogicalPlan::Sort(_));
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(replace)?;
                Ok(if sorted { expr } else { expr.update_data(|e| name.restore(e)) })
            })
        })
        .data()
    }
}

fn replace(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call)
            if !call.func.inner().is::<NullAwareHas>()
                && match call.func.name() {
                    ARRAY_HAS => call.args.first().is_none_or(|a| !holds_no_null(a)),
                    ARRAY_HAS_ANY | ARRAY_HAS_ALL => !call.args.iter().all(holds_no_null),
                    _ => false,
                } =>
        {
            call.func = Arc::new(ScalarUDF::from(NullAwareHas { inner: call.func }));
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the expression is an array written out without NULL.
fn holds_no_null(array: &Expr) -> bool {
    match array {
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => {
            call.args.iter().all(|a| matches!(a, Expr::Literal(v, _) if !v.is_null()))
        }
        Expr::Literal(ScalarValue::List(list), _) => {
            !list.is_empty() && list.is_valid(0) && list.value(0).logical_null_count() == 0
        }
        Expr::Cast(cast) => holds_no_null(&cast.expr),
        _ => false,
    }
}

/// `array_has` that knows of NULLs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NullAwareHas {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for NullAwareHas {
    as_inner!(calls, returns);

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name() != ARRAY_HAS {
            return self.has_several(args);
        }
        let rows = args.number_rows;
        let Some(array) = args.args.first().cloned() else { return internal_err!("array_has takes two arguments") };
        let found = self.inner.invoke_with_args(args)?;
        let scalar = matches!((&array, &found), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { rows };
        let (array, found) = (array.to_array(rows)?, found.to_array(rows)?);
        let holds = holds_null(&array)?;
        let found: BooleanArray =
            found.as_boolean().iter().zip(holds).map(|(f, null)| f.filter(|f| *f || !null)).collect();
        let found: ArrayRef = Arc::new(found);
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }
}

impl NullAwareHas {
    /// Asks the function about the items that are not NULL, and then what those that are could change.
    fn has_several(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (arrays, given) = match args.args.as_slice() {
            [a, b] => (a.to_array(rows)?, b.to_array(rows)?),
            other => return internal_err!("{} over {} arguments", self.name(), other.len()),
        };
        if matches!(arrays.data_type(), DataType::Null) || matches!(given.data_type(), DataType::Null) {
            return Ok(ColumnarValue::Array(Arc::new(BooleanArray::new_null(rows))));
        }
        let (unknown_a, unknown_b) = (holds_null(&arrays)?, holds_null(&given)?);
        let (known_a, known_b) = (without_nulls(&arrays)?, without_nulls(&given)?);
        let (size_a, size_b) = (sizes(&arrays)?, sizes(&given)?);
        let fields =
            [&known_a, &known_b].map(|a| Arc::new(Field::new("array", a.data_type().clone(), true)) as FieldRef);
        let asked = ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(known_a), ColumnarValue::Array(known_b)],
            arg_fields: fields.to_vec(),
            ..args
        };
        let found = self.inner.invoke_with_args(asked)?.to_array(rows)?;
        let found = found.as_boolean();
        let all = self.name() == ARRAY_HAS_ALL;
        let answer = (0..rows).map(|i| {
            let at = |flags: &[bool]| flags.get(i).copied().unwrap_or_default();
            let size = |sizes: &[usize]| sizes.get(i).copied().unwrap_or_default();
            if arrays.is_null(i) || given.is_null(i) {
                return None;
            }
            let found = found.is_valid(i) && found.value(i);
            match (all, found) {
                (false, true) => Some(true),
                (false, false) => {
                    let open = at(&unknown_a) && size(&size_b) > 0 || at(&unknown_b) && size(&size_a) > 0;
                    (!open).then_some(false)
                }
                (true, true) if !at(&unknown_b) => Some(true),
                // A NULL is in no empty array, and may be in any other.
                (true, true) => {
                    if size(&size_a) == 0 {
                        Some(false)
                    } else {
                        None
                    }
                }
                (true, false) => (!at(&unknown_a)).then_some(false),
            }
        });
        Ok(ColumnarValue::Array(Arc::new(answer.collect::<BooleanArray>())))
    }
}

/// The arrays' items that are not NULL.
fn without_nulls(arrays: &ArrayRef) -> Result<ArrayRef> {
    let lists = match arrays.data_type() {
        DataType::List(_) => Arc::clone(arrays),
        DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
            arrow::compute::cast(arrays, &DataType::List(Arc::clone(f)))?
        }
        other => return internal_err!("items of {other}"),
    };
    let lists = lists.as_list::<i32>();
    if lists.values().logical_null_count() == 0 {
        return Ok(Arc::new(lists.clone()));
    }
    let kept = arrow::compute::is_not_null(lists.values())?;
    let mut offsets = Vec::with_capacity(lists.len() + 1);
    let mut before = 0i32;
    let mut position = 0usize;
    for offset in lists.offsets().iter() {
        let end = usize::try_from(*offset).unwrap_or_default();
        before += i32::try_from(kept.slice(position, end - position).true_count()).unwrap_or_default();
        position = end;
        offsets.push(before);
    }
    let DataType::List(field) = lists.data_type() else { return internal_err!("a list has another type") };
    let values = arrow::compute::filter(lists.values(), &kept)?;
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(field),
        OffsetBuffer::new(offsets.into()),
        values,
        lists.nulls().cloned(),
    )?))
}

/// How many items each array has.
fn sizes(arrays: &ArrayRef) -> Result<Vec<usize>> {
    Ok(match arrays.data_type() {
        DataType::List(_) => arrays.as_list::<i32>().offsets().lengths().collect(),
        DataType::LargeList(_) => arrays.as_list::<i64>().offsets().lengths().collect(),
        DataType::FixedSizeList(_, width) => vec![usize::try_from(*width).unwrap_or_default(); arrays.len()],
        other => return internal_err!("items of {other}"),
    })
}

/// Whether each array holds a NULL.
fn holds_null(arrays: &ArrayRef) -> Result<Vec<bool>> {
    fn each(len: usize, value: impl Fn(usize) -> Option<ArrayRef>) -> Vec<bool> {
        (0..len).map(|i| value(i).is_some_and(|v| v.logical_null_count() > 0)).collect()
    }
    let valid = |i: usize| arrays.is_valid(i);
    Ok(match arrays.data_type() {
        DataType::List(_) => each(arrays.len(), |i| valid(i).then(|| arrays.as_list::<i32>().value(i))),
        DataType::LargeList(_) => each(arrays.len(), |i| valid(i).then(|| arrays.as_list::<i64>().value(i))),
        DataType::FixedSizeList(..) => each(arrays.len(), |i| valid(i).then(|| arrays.as_fixed_size_list().value(i))),
        DataType::Null => vec![false; arrays.len()],
        other => return internal_err!("array_has over {other}"),
    })
}
