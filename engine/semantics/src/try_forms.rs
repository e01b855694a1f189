//! `TRY(e)`, `try_add`, `try_subtract`, `try_multiply` and `try_divide`, from what is written to a function that computes.
//!
//!   try_add(a, b) ──▶ try(a + b) ──▶ `Attempt` over a and b
//!
//! Not here: how a batch is computed (`attempt`), aggregates (`sum`).

use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, exec_err, plan_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;

use crate::attempt::Attempt;
use crate::checked::of_operator;
use crate::decimal::to_double;
use crate::failure::is_failure;
use crate::shown::shown;

/// The functions as they are written: placeholders until a plan is analyzed.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let form = |name, operator, count| {
        let signature = Signature::any(count, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Written { name, operator, signature }))
    };
    vec![
        form("try", None, 1),
        form("try_add", Some(Operator::Plus), 2),
        form("try_subtract", Some(Operator::Minus), 2),
        form("try_multiply", Some(Operator::Multiply), 2),
        form("try_divide", Some(Operator::Divide), 2),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Written {
    name: &'static str,
    operator: Option<Operator>,
    signature: Signature,
}

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match (self.operator, arg_types) {
            (None, [t]) => Ok(t.clone()),
            (Some(op), [l, r]) => {
                // The type of the operator over columns of these types.
                let fields = vec![Field::new("l", l.clone(), true), Field::new("r", r.clone(), true)];
                let schema = DFSchema::try_from(arrow::datatypes::Schema::new(fields))?;
                let column = |name: &str| datafusion::logical_expr::ident(name);
                operation(op, column("l"), column("r"), &schema)?.get_type(&schema)
            }
            _ => plan_err!("{} over {} arguments", self.name, arg_types.len()),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} was not analyzed", self.name)
    }
}

/// An operator as the types want it. `try_divide` of integers divides them as DOUBLE, as in Spark.
fn operation(op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    if op == Operator::Divide && l.is_integer() && r.is_integer() {
        let double = |e| datafusion::logical_expr::cast(e, DataType::Float64);
        // DOUBLE divides by zero without failing: NULL is said here.
        let divisor = datafusion::functions::core::expr_fn::nullif(double(right), datafusion::logical_expr::lit(0f64));
        return Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(double(left)), op, Box::new(divisor))));
    }
    if l.is_floating() || r.is_floating() {
        let (left, right) = (to_double(left, &l), to_double(right, &r));
        let right = if op == Operator::Divide {
            datafusion::functions::core::expr_fn::nullif(right, datafusion::logical_expr::lit(0f64))
        } else {
            right
        };
        return Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))));
    }
    Ok(of_operator(op, left, right, &l, &r))
}

/// Before coercion: `try_add(a, b)` becomes `try(a + b)`.
pub(crate) fn spell_out(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let function: &dyn std::any::Any = call.func.inner().as_ref();
    let Some(op) = function.downcast_ref::<Written>().and_then(|w| w.operator) else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    let [left, right] = <[Expr; 2]>::try_from(call.args)
        .map_err(|args| DataFusionError::Plan(format!("two arguments are needed, not {}", args.len())))?;
    let within = operation(op, left, right, schema)?;
    let attempt = Written { name: "try", operator: None, signature: Signature::any(1, Volatility::Immutable) };
    Ok(Transformed::yes(Arc::new(ScalarUDF::from(attempt)).call(vec![within])))
}

/// After coercion: `try(e)` becomes a function of e's columns.
///
/// # Errors
/// Subqueries and functions without one value within.
pub(crate) fn compile(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let function: &dyn std::any::Any = call.func.inner().as_ref();
    if !function.is::<Written>() {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let [within] = call.args.as_slice() else { return plan_err!("TRY takes one expression") };
    refuse(within)?;
    let mut columns: Vec<_> = within.column_refs().into_iter().cloned().collect();
    columns.sort();
    let mut fields = Vec::with_capacity(columns.len());
    for column in &columns {
        let (qualifier, field) = schema.qualified_field_from_column(column)?;
        fields.push((qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
    }
    let mut args: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    // A column of the query around is an argument like any other.
    let within = &within.clone().transform_up(|e| match e {
        Expr::OuterReferenceColumn(field, column) => {
            let name = format!("__ingot_outer{}", args.len());
            fields.push((None, Arc::new(field.as_ref().clone().with_name(&name).with_nullable(true))));
            args.push(Expr::OuterReferenceColumn(field, column));
            Ok(Transformed::yes(datafusion::logical_expr::ident(name)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let within = &within.data;
    let seen = DFSchema::new_with_metadata(fields, Default::default())?;
    let data_type = within.get_type(&seen)?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(seen.clone()))
        .with_query_execution_start_time(Some(SystemTime::now().into()))
        .build();
    // Some functions exist only until they are simplified. A constant that fails is left as it is.
    let simplified = ExprSimplifier::new(context).simplify(within.clone());
    let within = match simplified {
        Ok(simplified) => simplified,
        Err(error) if is_failure(&error) => within.clone(),
        Err(error) => return Err(error),
    };
    let compiled = create_physical_expr(&within, &seen, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    let signature = match args.len() {
        0 => Signature::nullary(Volatility::Immutable),
        count => Signature::any(count, Volatility::Immutable),
    };
    let name = format!("TRY({})", within.schema_name());
    let shown = format!("TRY({})", shown(&within));
    let attempt = Attempt { compiled, schema: Arc::clone(seen.inner()), data_type, name, shown, signature };
    Ok(Transformed::yes(Arc::new(ScalarUDF::from(attempt)).call(args)))
}

fn refuse(within: &Expr) -> Result<()> {
    let stateful = within.exists(|e| {
        Ok(match e {
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
            _ => false,
        })
    })?;
    if stateful {
        return plan_err!("TRY cannot hold a function that depends on the time or on chance; put it outside of TRY");
    }
    let outside = within.exists(|e| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::Placeholder(_)
        ))
    })?;
    if outside {
        return plan_err!(
            "TRY cannot hold a subquery or an untyped parameter; join the subquery, cast the parameter outside"
        );
    }
    Ok(())
}
