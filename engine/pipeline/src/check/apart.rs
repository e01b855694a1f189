//! Plans queries in which two expressions differ in nothing but a cast.
//!
//! DataFusion names columns without their casts, so that `sum(v)` and `sum(CAST(v AS DOUBLE))` are one name, and refuses
//! the second. Here casts are planned as functions, each type with its own name, and put back when the plan stands.
//!
//! Not here: names of the output, which the file gives.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, try_cast,
};
use datafusion::sql::sqlparser::ast::{
    CastKind, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Statement, Value, visit_expressions_mut,
};

/// Functions that stand for casts, by name.
pub(super) type Casts = BTreeMap<String, Arc<ScalarUDF>>;

/// Puts functions in the place of a statement's casts. `type_of` gives the type of an expression without columns.
pub(super) fn take_out(statement: &mut Statement, type_of: &dyn Fn(&SqlExpr) -> Option<DataType>) -> Casts {
    let mut casts: Casts = Casts::new();
    let mut texts: Vec<String> = Vec::new();
    let _ = visit_expressions_mut(statement, |e| {
        if let SqlExpr::Cast { kind, data_type, format: None, .. } = e {
            let fails = matches!(kind, CastKind::Cast | CastKind::DoubleColon);
            let text = format!("{fails} {data_type}");
            let at = texts.iter().position(|t| *t == text).unwrap_or(texts.len());
            let name = format!("ingot_cast_{at}");
            if at == texts.len() {
                let mut null = e.clone();
                if let SqlExpr::Cast { expr, .. } = &mut null {
                    **expr = SqlExpr::value(Value::Null);
                }
                let Some(to) = type_of(&null) else { return std::ops::ControlFlow::<()>::Continue(()) };
                let signature = Signature::any(1, Volatility::Immutable);
                let function = ScalarUDF::from(Apart { name: name.clone(), to, fails, signature });
                casts.insert(name.clone(), Arc::new(function));
                texts.push(text);
            }
            if let SqlExpr::Cast { expr, .. } = e {
                *e = call(&name, expr.as_ref().clone());
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    casts
}

fn call(name: &str, argument: SqlExpr) -> SqlExpr {
    SqlExpr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Puts casts back in the place of functions; columns keep their names.
///
/// # Errors
/// When an expression has no type.
pub(super) fn put_back(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|e| match e {
                Expr::ScalarFunction(call) => match (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Apart>() {
                    Some(apart) => {
                        let (to, fails) = (apart.to.clone(), apart.fails);
                        let argument = call.args.into_iter().next().unwrap_or_default();
                        Ok(Transformed::yes(if fails { cast(argument, to) } else { try_cast(argument, to) }))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(call))),
                },
                other => Ok(Transformed::no(other)),
            })?;
            Ok(expr.update_data(|e| name.restore(e)))
        })
    })?;
    Ok(plan.data)
}

/// The type of an expression without columns.
pub(super) fn type_of(expr: &Expr) -> Option<DataType> {
    expr.get_type(&DFSchema::empty()).ok()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apart {
    name: String,
    to: DataType,
    /// CAST, and not TRY_CAST.
    fails: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} stands for a cast that was not put back", self.name)
    }
}
