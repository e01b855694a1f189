//! Functions that evaluate expectations: a condition that errors counts as broken, and the names of all that broke.
//!
//! Invariants
//! * `guard(e)` is never NULL where `e` is TRUE, and never an error.
//! * A condition that cannot error stays as it is, so that filters on it are pushed down and prune files.
//!
//! Not here: what a broken expectation means for its row (`expectation`).

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BooleanArray, BooleanBuilder, ListBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ExprSchema, Result, internal_err};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlanBuilder, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::query::{Planner, scan};

/// The condition, wrapped if evaluating it may fail, so that an error makes it FALSE for its row alone.
///
/// # Errors
/// When the condition cannot be compiled.
pub(crate) fn guard(planner: &Planner, condition: &Expr, schema: &DFSchema) -> Result<Expr> {
    // A clock inside must stay visible, so that the refresh can freeze it.
    let moving =
        |e: &Expr| Ok(matches!(e, Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable));
    if condition.exists(moving)? || !may_fail(condition, schema) {
        return Ok(condition.clone());
    }
    let mut columns: Vec<_> = condition.column_refs().into_iter().cloned().collect();
    columns.sort();
    let fields =
        columns.iter().map(|c| Ok(schema.field_from_column(c)?.as_ref().clone())).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = (0..fields.len()).map(|i| format!("c{i}")).collect();
    let renamed: Vec<_> = fields.iter().zip(&names).map(|(f, n)| f.clone().with_name(n)).collect();
    let arrow = Arc::new(Schema::new(renamed));
    let inner = condition
        .clone()
        .transform(|e| {
            use datafusion::common::tree_node::Transformed;
            Ok(match &e {
                Expr::Column(c) => match columns.iter().position(|x| x == c) {
                    Some(i) => {
                        Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(names[i].clone())))
                    }
                    None => Transformed::no(e),
                },
                _ => Transformed::no(e),
            })
        })?
        .data;
    // Coerced by the analyzer as a projection, so that the compiled condition has the types it would have in the plan.
    let plan =
        LogicalPlanBuilder::from(scan("row".into(), Arc::clone(&arrow))?).project([inner.alias("ok")])?.build()?;
    let analyzed = planner.analyze(&plan)?;
    let coerced = match analyzed.expressions().first() {
        Some(e) => e.clone().unalias(),
        None => return internal_err!("an analyzed projection lost its expression"),
    };
    let coerced = coerced
        .transform(|e| {
            use datafusion::common::tree_node::Transformed;
            Ok(match e {
                Expr::Column(c) => Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(c.name))),
                e => Transformed::no(e),
            })
        })?
        .data;
    let types = arrow.fields().iter().map(|f| f.data_type().clone()).collect();
    let guarded = GuardedCondition {
        text: condition.to_string(),
        condition: coerced,
        schema: arrow,
        compiled: OnceLock::new(),
        signature: Signature::exact(types, Volatility::Immutable),
    };
    Ok(ScalarUDF::from(guarded).call(columns.into_iter().map(Expr::Column).collect()))
}

/// Whether evaluating may error: casts that can, arithmetic on integers and decimals, and functions.
fn may_fail(condition: &Expr, schema: &DFSchema) -> bool {
    const TOTAL: [&str; 13] = [
        "lower",
        "upper",
        "trim",
        "btrim",
        "ltrim",
        "rtrim",
        "length",
        "character_length",
        "coalesce",
        "nullif",
        "starts_with",
        "isnan",
        "octet_length",
    ];
    let risky = |e: &Expr| {
        Ok(match e {
            Expr::Cast(c) => {
                let from = c.expr.get_type(schema).unwrap_or(DataType::Null);
                !(from.is_null() || from == DataType::Utf8 && c.field.data_type() == &DataType::Utf8)
            }
            Expr::BinaryExpr(b) => {
                matches!(
                    b.op,
                    Operator::Divide | Operator::Modulo | Operator::Multiply | Operator::Plus | Operator::Minus
                ) || matches!(
                    b.op,
                    Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch
                )
            }
            Expr::ScalarFunction(f) => !TOTAL.contains(&f.func.name()),
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Alias(_)
            | Expr::Negative(_)
            | Expr::TryCast(_)
            | Expr::Case(_) => false,
            _ => true,
        })
    };
    // Comparing text with numbers casts the text, which may fail.
    let mixed = |e: &Expr| {
        let text = |e: &Expr| {
            e.get_type(schema).is_ok_and(|t| matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8))
        };
        Ok(match e {
            Expr::BinaryExpr(b) if b.op.is_logic_operator() => false,
            Expr::BinaryExpr(b) => text(&b.left) != text(&b.right),
            Expr::Between(b) => text(&b.expr) != text(&b.low) || text(&b.expr) != text(&b.high),
            Expr::InList(l) => l.list.iter().any(|x| text(x) != text(&l.expr)),
            _ => false,
        })
    };
    condition.exists(risky).unwrap_or(true) || condition.exists(mixed).unwrap_or(true)
}

/// A compiled condition over its columns.
#[derive(Debug)]
struct GuardedCondition {
    text: String,
    condition: Expr,
    schema: Arc<Schema>,
    compiled: OnceLock<Option<Arc<dyn PhysicalExpr>>>,
    signature: Signature,
}

impl PartialEq for GuardedCondition {
    fn eq(&self, other: &Self) -> bool {
        self.condition == other.condition && self.schema == other.schema
    }
}

impl Eq for GuardedCondition {}

impl Hash for GuardedCondition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl GuardedCondition {
    fn compiled(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        let compile = || {
            let schema = Arc::new(DFSchema::try_from(self.schema.as_ref().clone()).ok()?);
            // Some functions, as coalesce, exist only until they are simplified.
            let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
            let condition = ExprSimplifier::new(context).simplify(self.condition.clone());
            let condition = condition.unwrap_or_else(|_| self.condition.clone());
            create_physical_expr(&condition, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default()).ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    fn evaluate(condition: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Option<BooleanArray> {
        let value = condition.evaluate(rows).ok()?.into_array(rows.num_rows()).ok()?;
        value.as_boolean_opt().cloned()
    }
}

impl ScalarUDFImpl for GuardedCondition {
    fn name(&self) -> &str {
        "ingot_passes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let Some(condition) = self.compiled() else {
            return internal_err!("expectation \"{}\" did not compile", self.text);
        };
        let arrays = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        if let Some(all) = Self::evaluate(condition, &batch) {
            return Ok(ColumnarValue::Array(Arc::new(all)));
        }
        let mut out = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let one = Self::evaluate(condition, &batch.slice(row, 1));
            match one {
                Some(v) if v.len() == 1 && v.is_valid(0) => out.append_value(v.value(0)),
                Some(v) if v.len() == 1 => out.append_null(),
                _ => out.append_value(false),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

/// The type of `_violations`.
pub(crate) fn violations_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// The names of the conditions that are TRUE, as a list, in declared order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Violations {
    names: Vec<String>,
    signature: Signature,
}

impl Violations {
    /// Of conditions with these names, which are its arguments in this order.
    pub fn new(names: Vec<String>) -> Self {
        let signature = Signature::exact(vec![DataType::Boolean; names.len()], Volatility::Immutable);
        Self { names, signature }
    }
}

impl ScalarUDFImpl for Violations {
    fn name(&self) -> &str {
        "ingot_violations"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(violations_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut out = ListBuilder::new(StringBuilder::new());
        for row in 0..rows {
            for (name, broken) in self.names.iter().zip(&arrays) {
                let broken = broken.as_boolean();
                if broken.is_valid(row) && broken.value(row) {
                    out.values().append_value(name);
                }
            }
            out.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
