//! A GROUP BY taken apart: its keys, the states that its groups keep, and how values come out of states.
//!
//! Invariants
//! * An aggregate that needs the values of a group again, and not states alone, is named as the reason.
//!
//! Not here: the plan of the states (`change::aggregate`), merging them (`target::aggregate`).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::Aggregate as AggregateNode;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, cast, lit};
use ingot_semantics::{shown, type_name, uncanonical};

use crate::exact::functions::sum_state;
use crate::exact::statistics::{moments_state, statistic};
use crate::exact::total::TotalResult;
use crate::reason::{FullReason, reason};
use crate::shape::expressions::{check_expr, in_expr};
use crate::values::format::has_row_format;
use crate::values::hidden::{Coding, coding};

/// What a state is; `count` is the state that counts its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateKind {
    Count,
    Floats {
        count: usize,
    },
    /// Sums of integers and decimals in 256 bits: whether one fits its type is asked of the result alone.
    Exact {
        count: usize,
    },
    Moments {
        count: usize,
    },
    Extremum {
        largest: bool,
        count: usize,
    },
}

/// A column that a group keeps: the aggregate call that gives it for some rows, and how it merges.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) expr: Expr,
    pub(crate) kind: StateKind,
}

/// How an aggregate's value comes out of states.
#[derive(Debug)]
pub(crate) enum Fold {
    Count(usize),
    Floats { total: usize, count: usize, output: TotalResult },
    Exact { total: usize, count: usize, output: TotalResult, shown: String },
    Moments { total: usize, count: usize, output: TotalResult },
    Extremum(usize),
}

/// A grouping whose groups are maintained by states.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) keys: Vec<Expr>,
    /// The first one is count(*).
    pub(crate) states: Vec<State>,
    /// One for each aggregate call, in the node's order.
    pub(crate) folds: Vec<Fold>,
}

impl Aggregate {
    /// Takes an aggregate node apart.
    ///
    /// # Errors
    /// A reason for each part of the node that cannot be merged.
    pub(crate) fn new(node: &AggregateNode) -> Result<Self, Vec<FullReason>> {
        let mut found = Vec::new();
        for key in &node.group_expr {
            found.extend(key_obstacles(key, node.input.schema()));
        }
        let mut aggregate = Aggregate { keys: vec![], states: vec![], folds: vec![] };
        // The node's columns hold a key that is written twice once.
        for key in &node.group_expr {
            if !aggregate.keys.contains(key) {
                aggregate.keys.push(key.clone());
            }
        }
        let rows = call(&count_udaf(), vec![lit(1i64)], None);
        aggregate.state(rows, StateKind::Count);
        for expr in &node.aggr_expr {
            match aggregate.fold(expr, node) {
                Ok(fold) => aggregate.folds.push(fold),
                Err(reason) => found.push(reason),
            }
        }
        if found.is_empty() { Ok(aggregate) } else { Err(found) }
    }

    fn state(&mut self, expr: Expr, kind: StateKind) -> usize {
        match self.states.iter().position(|s| s.expr == expr) {
            Some(at) => at,
            None => {
                self.states.push(State { expr, kind });
                self.states.len() - 1
            }
        }
    }

    fn fold(&mut self, expr: &Expr, node: &AggregateNode) -> Result<Fold, FullReason> {
        let schema = node.input.schema();
        let Expr::AggregateFunction(function) = expr.clone().unalias_nested().data else {
            return Err(reason("R0510", format!("{} is not an aggregate that can be merged", shown(expr))));
        };
        let (name, params) = (function.func.name().to_owned(), &function.params);
        let shown = &function;
        if params.distinct {
            return Err(reason(
                "R0511",
                format!("{name}(DISTINCT ...) needs all values of a group; count distinct values in a view below"),
            ));
        }
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Err(reason(
                "R0510",
                format!("{name}(... ORDER BY ...) needs all values of a group, so it cannot be merged"),
            ));
        }
        for part in params.args.iter().chain(params.filter.as_deref()) {
            check_expr(part)?;
        }
        let filter = params.filter.clone();
        let kind_of = |args: &[Expr]| args.first().map(|a| a.get_type(schema)).transpose().map_err(FullReason::plan);
        let argument = kind_of(&params.args)?.unwrap_or(DataType::Null);
        let result = expr.get_type(schema).map_err(FullReason::plan)?;
        // A float is NULL where its canonical value is, so one count does for both.
        let values: Vec<Expr> = params.args.iter().map(uncanonical).cloned().collect();
        let counted =
            |this: &mut Self| this.state(call(&count_udaf(), values.clone(), filter.clone()), StateKind::Count);
        match (name.as_str(), &argument) {
            ("count", _) => {
                // count(*) counts what its FILTER lets through.
                Ok(Fold::Count(counted(self)))
            }
            ("sum" | "avg", DataType::Float64) => {
                let count = counted(self);
                let total =
                    self.state(call(&sum_state(), params.args.clone(), filter.clone()), StateKind::Floats { count });
                let output =
                    if name == "sum" { TotalResult::Sum(result) } else { TotalResult::Avg { result, input_scale: 0 } };
                Ok(Fold::Floats { total, count, output })
            }
            ("sum", DataType::Int64 | DataType::UInt64) | ("sum" | "avg", DataType::Decimal128(..)) => {
                let count = counted(self);
                let (args, input_scale) = match argument {
                    DataType::Decimal128(_, scale) => (params.args.clone(), scale),
                    _ => (params.args.iter().map(|a| cast(a.clone(), DataType::Decimal128(20, 0))).collect(), 0),
                };
                let total = self.state(call(&sum_state(), args, filter.clone()), StateKind::Exact { count });
                let output =
                    if name == "sum" { TotalResult::Sum(result) } else { TotalResult::Avg { result, input_scale } };
                Ok(Fold::Exact { total, count, output, shown: ingot_semantics::shown(expr) })
            }
            ("min" | "max", t)
                if !t.is_nested() && *t != DataType::Null && coding(t).is_some_and(|c| c != Coding::Rows) =>
            {
                let largest = name == "max";
                let count = counted(self);
                let expr = Expr::AggregateFunction(AggregateFunction::new_udf(
                    Arc::clone(&function.func),
                    params.args.clone(),
                    false,
                    filter.clone(),
                    vec![],
                    None,
                ));
                Ok(Fold::Extremum(self.state(expr, StateKind::Extremum { largest, count })))
            }
            (_, DataType::Float64) if statistic(&function.func).is_some() => {
                let output = TotalResult::Statistic(statistic(&function.func).ok_or_else(|| FullReason::plan(&name))?);
                let count = counted(self);
                let total = call(&moments_state(), params.args.clone(), filter.clone());
                Ok(Fold::Moments { total: self.state(total, StateKind::Moments { count }), count, output })
            }
            ("sum" | "avg" | "min" | "max", t) => Err(reason("R0510", format!("{name} of {t} is not merged"))),
            _ => Err(reason(
                "R0510",
                format!(
                    "{}(...) is not merged; count, sum, avg, min, max, stddev, var, covar, corr and regr are",
                    shown.func.name()
                ),
            )),
        }
    }
}

/// Why an expression cannot be a group's key.
fn key_obstacles(key: &Expr, schema: &DFSchema) -> Vec<FullReason> {
    if matches!(key, Expr::GroupingSet(_)) {
        return vec![reason("R0512", "GROUPING SETS, ROLLUP and CUBE are not merged; write one view per grouping")];
    }
    let mut found = in_expr(key).unwrap_or_else(|e| vec![e]);
    match key.get_type(schema) {
        Ok(data_type) if data_type.is_nested() || coding(&data_type).is_none() || !has_row_format(&data_type) => {
            found.push(reason(
                "R0518",
                format!("GROUP BY {} has the type {}, which cannot be a key", shown(key), type_name(&data_type)),
            ));
        }
        Ok(_) => {}
        Err(error) => found.push(FullReason::plan(error)),
    }
    found
}

fn call(function: &Arc<AggregateUDF>, args: Vec<Expr>, filter: Option<Box<Expr>>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(Arc::clone(function), args, false, filter, vec![], None))
}
