//! Arithmetic that fails where its result has no place: functions that stand for `+ - * / %`, unary minus and `abs`.
//!
//!   a + b ──▶ ingot_add(a, b)        integers of one type, or decimals with Spark's result type (`decimal`)
//!
//! Invariants
//! * Called by the name of the operator it stands for: output columns keep their names.
//! * Unsigned integers, which only functions yield, compute as signed ones.
//!
//! Not here: DOUBLE, dates and intervals (DataFusion's operators), placing the functions (`widen`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray, downcast_integer, new_empty_array};
use arrow::compute::kernels::numeric;
use arrow::compute::{try_binary, try_unary};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;
use sqlparser::ast::BinaryOperator;

use crate::beside_text::beside_text;
use crate::decimal::{Operation, Shape};
use crate::failure::Named;
use crate::interval_arithmetic::scaled;
use crate::shown::{operand, shown};

/// What a function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ArithmeticKind {
    Binary(Operation),
    Negate,
    Absolute,
}

impl Operation {
    pub(crate) fn operator(self) -> Operator {
        match self {
            Self::Add => Operator::Plus,
            Self::Subtract => Operator::Minus,
            Self::Multiply => Operator::Multiply,
            Self::Divide => Operator::Divide,
            Self::Remainder => Operator::Modulo,
        }
    }

    pub(crate) fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Plus => Self::Add,
            Operator::Minus => Self::Subtract,
            Operator::Multiply => Self::Multiply,
            Operator::Divide => Self::Divide,
            Operator::Modulo => Self::Remainder,
            _ => return None,
        })
    }
}

/// One call's function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Checked {
    kind: ArithmeticKind,
    shown: Named,
    signature: Signature,
}

/// The function that an expression calls, if it is one of these.
pub(crate) fn checked(expr: &Expr) -> Option<(ArithmeticKind, &[Expr])> {
    match expr {
        Expr::ScalarFunction(call) => {
            let function: &dyn std::any::Any = call.func.inner().as_ref();
            function.downcast_ref::<Checked>().map(|c| (c.kind, call.args.as_slice()))
        }
        _ => None,
    }
}

/// The checked form of an operator over these operands.
pub(crate) fn binary(operation: Operation, left: Expr, right: Expr) -> Expr {
    let text = format!("{} {} {}", operand(&left), operation.operator(), operand(&right));
    call(ArithmeticKind::Binary(operation), text, vec![left, right])
}

/// The checked form of `-x`.
pub(crate) fn negate(argument: Expr) -> Expr {
    let text = format!("-{}", operand(&argument));
    call(ArithmeticKind::Negate, text, vec![argument])
}

/// The checked form of `abs(x)`.
pub(crate) fn absolute(argument: Expr) -> Expr {
    let text = format!("abs({})", shown(&argument));
    call(ArithmeticKind::Absolute, text, vec![argument])
}

fn call(kind: ArithmeticKind, text: String, args: Vec<Expr>) -> Expr {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::from(Checked { kind, shown: Named::new(text), signature })).call(args)
}

/// Whether the types compute exactly: integers or decimals on both sides.
pub(crate) fn is_exact(left: &DataType, right: &DataType) -> bool {
    Shape::of(left).is_some() && Shape::of(right).is_some()
}

/// A whole number beside a decimal has as many digits as it is written with, as in Spark.
fn narrowed(expr: Expr, other: &DataType) -> Expr {
    let value = match &expr {
        Expr::Literal(ScalarValue::Int64(Some(v)), _) if other.is_decimal() => i128::from(*v),
        Expr::Literal(ScalarValue::UInt64(Some(v)), _) if other.is_decimal() => i128::from(*v),
        _ => return expr,
    };
    let digits = u8::try_from(value.unsigned_abs().to_string().len()).unwrap_or(20);
    Expr::Literal(ScalarValue::Decimal128(Some(value), digits, 0), None)
}

/// The checked form of an operator, where its operands are exact numbers.
pub(crate) fn of_operator(op: Operator, left: Expr, right: Expr, l: &DataType, r: &DataType) -> Expr {
    match Operation::of(op).filter(|_| is_exact(l, r)) {
        Some(operation) => binary(operation, narrowed(left, r), narrowed(right, l)),
        None => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))),
    }
}

/// Plans operators over exact numbers as checked functions, so that a plan has their types from the start.
#[derive(Debug)]
pub(crate) struct CheckedOperators;

impl ExprPlanner for CheckedOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (Ok(l), Ok(r)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        if !op.is_numerical_operators() {
            return Ok(match beside_text(&expr.left, &expr.right, &l, &r)? {
                Some((left, right)) => {
                    PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
                }
                None => PlannerResult::Original(expr),
            });
        }
        if is_exact(&l, &r) {
            return Ok(PlannerResult::Planned(of_operator(op, expr.left, expr.right, &l, &r)));
        }
        Ok(match scaled(op, &expr.left, &expr.right, &l, &r)? {
            Some(scaled) => PlannerResult::Planned(scaled),
            None => PlannerResult::Original(expr),
        })
    }
}

/// Integers compute as signed ones.
fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        other => other.clone(),
    }
}

/// The types in which a call computes.
fn coerced(kind: ArithmeticKind, types: &[DataType]) -> Result<Vec<DataType>> {
    match (kind, types) {
        (ArithmeticKind::Binary(operation), [l, r]) if l.is_integer() && r.is_integer() => {
            let (l, r) = (signed(l), signed(r));
            let (l, r) = BinaryTypeCoercer::new(&l, &operation.operator(), &r).get_input_types()?;
            Ok(vec![l, r])
        }
        (ArithmeticKind::Binary(operation), [l, r]) => match (Shape::of(l), Shape::of(r)) {
            (Some(l), Some(r)) => Ok(vec![l.data_type(), r.data_type()]),
            // An operand changed its type since: `widen` puts the operator back.
            _ => {
                let (l, r) = BinaryTypeCoercer::new(l, &operation.operator(), r).get_input_types()?;
                Ok(vec![l, r])
            }
        },
        (ArithmeticKind::Negate | ArithmeticKind::Absolute, [t]) => Ok(vec![signed(t)]),
        _ => plan_err!("{kind:?} over {} arguments", types.len()),
    }
}

impl Checked {
    fn failed(&self, e: impl Into<DataFusionError>, data_type: &DataType) -> DataFusionError {
        self.shown.of_kernel(e.into(), data_type)
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.kind {
            ArithmeticKind::Binary(Operation::Add) => "ingot_add",
            ArithmeticKind::Binary(Operation::Subtract) => "ingot_subtract",
            ArithmeticKind::Binary(Operation::Multiply) => "ingot_multiply",
            ArithmeticKind::Binary(Operation::Divide) => "ingot_divide",
            ArithmeticKind::Binary(Operation::Remainder) => "ingot_remainder",
            ArithmeticKind::Negate => "ingot_negate",
            ArithmeticKind::Absolute => "ingot_abs",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match (self.kind, args) {
            (ArithmeticKind::Binary(operation), [l, r]) => format!("({l} {} {r})", operation.operator()),
            (ArithmeticKind::Negate, [x]) => format!("(- {x})"),
            (_, args) => format!("abs({})", args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        })
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match (self.kind, args) {
            (ArithmeticKind::Binary(operation), [l, r]) => {
                format!("{} {} {}", l.schema_name(), operation.operator(), r.schema_name())
            }
            (ArithmeticKind::Negate, [x]) => format!("(- {})", x.schema_name()),
            (_, args) => {
                format!("abs({})", args.iter().map(|a| a.schema_name().to_string()).collect::<Vec<_>>().join(","))
            }
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.kind, arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let types = coerced(self.kind, arg_types)?;
        match (self.kind, types.as_slice()) {
            (ArithmeticKind::Binary(operation), [l, r]) => match (Shape::of(l), Shape::of(r)) {
                (Some(l), Some(r)) if types.iter().any(DataType::is_decimal) => Ok(operation.shape(l, r).data_type()),
                _ => BinaryTypeCoercer::new(l, &operation.operator(), r).get_result_type(),
            },
            (_, [t]) => Ok(t.clone()),
            _ => plan_err!("{} over {} arguments", self.name(), arg_types.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let out = args.return_field.data_type();
        if args.number_rows == 0 {
            // A branch that no row takes: its constants fail for none.
            return Ok(ColumnarValue::Array(new_empty_array(out)));
        }
        match (self.kind, args.args.as_slice()) {
            (ArithmeticKind::Binary(operation), [l, r]) => match out {
                DataType::Decimal128(p, s) => {
                    decimals(operation, l, r, Shape::new(*p, *s)).map_err(|e| self.failed(e, out))
                }
                _ => {
                    let kernel = match operation {
                        Operation::Add => numeric::add,
                        Operation::Subtract => numeric::sub,
                        Operation::Multiply => numeric::mul,
                        Operation::Divide => numeric::div,
                        Operation::Remainder => numeric::rem,
                    };
                    apply(l, r, kernel).map_err(|e| self.failed(e, out))
                }
            },
            (ArithmeticKind::Negate, [x]) => per_array(x, |a| numeric::neg(a)).map_err(|e| self.failed(e, out)),
            (ArithmeticKind::Absolute, [x]) => per_array(x, absolute_values).map_err(|e| self.failed(e, out)),
            _ => exec_err!("{} over {} arguments", self.name(), args.args.len()),
        }
    }
}

fn per_array(
    value: &ColumnarValue,
    f: impl Fn(&dyn Array) -> std::result::Result<ArrayRef, ArrowError>,
) -> Result<ColumnarValue> {
    Ok(match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(f(array.as_ref())?),
        ColumnarValue::Scalar(scalar) => {
            let array = f(scalar.to_array()?.as_ref())?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(array.as_ref(), 0)?)
        }
    })
}

fn absolute_values(array: &dyn Array) -> std::result::Result<ArrayRef, ArrowError> {
    macro_rules! absolute {
        ($t:ty) => {{
            let values = array.as_primitive::<$t>();
            let result: PrimitiveArray<$t> = values.try_unary(|v| {
                let negative = v < Default::default();
                if negative { arrow::array::ArrowNativeTypeOp::neg_checked(v) } else { Ok(v) }
            })?;
            Ok(Arc::new(result) as ArrayRef)
        }};
    }
    downcast_integer! {
        array.data_type() => (absolute),
        other => Err(ArrowError::NotYetImplemented(format!("abs of {other}"))),
    }
}

fn decimals(operation: Operation, left: &ColumnarValue, right: &ColumnarValue, out: Shape) -> Result<ColumnarValue> {
    let scale = |v: &ColumnarValue| match v.data_type() {
        DataType::Decimal128(_, s) => Ok(s),
        other => exec_err!("arithmetic of decimals over {other}"),
    };
    let (s1, s2) = (scale(left)?, scale(right)?);
    let compute = |l: i128, r: i128| {
        operation.apply((l, s1), (r, s2), out).ok_or_else(|| match operation {
            Operation::Divide | Operation::Remainder if r == 0 => ArrowError::DivideByZero,
            _ => ArrowError::ArithmeticOverflow(String::new()),
        })
    };
    let finish = |values: Decimal128Array| -> Result<ArrayRef> {
        Ok(Arc::new(values.with_precision_and_scale(out.precision, out.scale)?))
    };
    let nulls = |n: usize| finish(Decimal128Array::new_null(n));
    use ColumnarValue::{Array as Many, Scalar as One};
    let value_of = |s: &ScalarValue| match s {
        ScalarValue::Decimal128(v, ..) => *v,
        _ => None,
    };
    Ok(match (left, right) {
        (Many(l), Many(r)) => {
            Many(finish(try_binary(l.as_primitive::<Decimal128Type>(), r.as_primitive::<Decimal128Type>(), compute)?)?)
        }
        (Many(l), One(r)) => Many(match value_of(r) {
            Some(r) => finish(try_unary(l.as_primitive::<Decimal128Type>(), |l| compute(l, r))?)?,
            None => nulls(l.len())?,
        }),
        (One(l), Many(r)) => Many(match value_of(l) {
            Some(l) => finish(try_unary(r.as_primitive::<Decimal128Type>(), |r| compute(l, r))?)?,
            None => nulls(r.len())?,
        }),
        (One(l), One(r)) => One(match (value_of(l), value_of(r)) {
            (Some(l), Some(r)) => ScalarValue::Decimal128(Some(compute(l, r)?), out.precision, out.scale),
            _ => ScalarValue::Decimal128(None, out.precision, out.scale),
        }),
    })
}
