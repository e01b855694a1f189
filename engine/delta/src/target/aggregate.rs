//! Views that end in GROUP BY: partial states of groups, merged and retracted.
//!
//! record of a group: [key values.., count(*), state..]; a state is a count, a sum or an extremum
//!
//! Invariants
//! * A group exists while its count(*) is positive; the group of an aggregate without GROUP BY always does.
//! * A state is NULL exactly when it covers no value, so equal groups have equal records.
//! * A deleted value that reaches the merged extremum makes the group to be recomputed: with deltas
//!   {+100, -10, +20, -100} against a stored maximum of 50, adding up would say 100.
//!
//! Not here: what is read and written (`keyed`), exact sums (`exact::sum`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::Aggregate as AggregateNode;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit};
use ingot_semantics::{Failure, shown, type_name, uncanonical};

use crate::error::{DeltaError, Result};
use crate::exact::accumulators::{Output, Total, WideSum, finish};
use crate::exact::functions::sum_state;
use crate::exact::moments::Moments;
use crate::exact::statistics::{moments_state, statistic};
use crate::exact::sum::ExactSum;
use crate::shape::classify::{FullReason, check_expr, reason};
use crate::shape::obstacles::in_expr;
use crate::target::keyed::{Combined, Fate};
use crate::target::keys::Touched;
use crate::target::rows::{converter, has_row_format};
use crate::target::state::{Coding, coding};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateKind {
    Count,
    /// `count` is the state that counts its values.
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

#[derive(Debug)]
struct State {
    expr: Expr,
    kind: StateKind,
}

/// How an aggregate's value comes out of states.
#[derive(Debug)]
enum Fold {
    Count(usize),
    Floats { total: usize, count: usize, output: Output },
    Exact { total: usize, count: usize, output: Output, shown: String },
    Moments { total: usize, count: usize, output: Output },
    Extremum(usize),
}

/// A grouping whose groups are maintained by states.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) keys: Vec<Expr>,
    states: Vec<State>,
    folds: Vec<Fold>,
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
                let output = if name == "sum" { Output::Sum(result) } else { Output::Avg { result, input_scale: 0 } };
                Ok(Fold::Floats { total, count, output })
            }
            ("sum", DataType::Int64 | DataType::UInt64) | ("sum" | "avg", DataType::Decimal128(..)) => {
                let count = counted(self);
                let (args, input_scale) = match argument {
                    DataType::Decimal128(_, scale) => (params.args.clone(), scale),
                    _ => (params.args.iter().map(|a| cast(a.clone(), DataType::Decimal128(20, 0))).collect(), 0),
                };
                let total = self.state(call(&sum_state(), args, filter.clone()), StateKind::Exact { count });
                let output = if name == "sum" { Output::Sum(result) } else { Output::Avg { result, input_scale } };
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
                let output = Output::Statistic(statistic(&function.func).ok_or_else(|| FullReason::plan(&name))?);
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

    /// Groups with their states over `input`: columns k0.., s0...
    pub(crate) fn partials(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let states: Vec<Expr> =
            self.states.iter().enumerate().map(|(i, s)| s.expr.clone().alias(format!("__ingot_s{i}"))).collect();
        let keys: Vec<Expr> = self
            .keys
            .iter()
            .enumerate()
            .map(|(i, k)| k.clone().unalias_nested().data.alias(format!("__ingot_k{i}")))
            .collect();
        let plan = LogicalPlanBuilder::from(input).aggregate(keys, states)?.build()?;
        let names = plan.schema().iter().enumerate().map(|(i, (q, f))| {
            let column = Expr::Column(datafusion::common::Column::new(q.cloned(), f.name()));
            column.alias(if i < self.keys.len() { format!("k{i}") } else { format!("s{}", i - self.keys.len()) })
        });
        Ok(LogicalPlanBuilder::from(plan.clone()).project(names.collect::<Vec<_>>())?.build()?)
    }

    fn column<'a>(&self, record: &'a [ArrayRef], state: usize) -> &'a ArrayRef {
        &record[self.keys.len() + state]
    }

    /// How many columns `results` gives.
    pub(crate) fn width(&self) -> usize {
        self.keys.len() + self.folds.len()
    }

    /// The output columns of the aggregate node: keys, then results.
    pub(crate) fn results(&self, record: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut out = record[..self.keys.len()].to_vec();
        for fold in &self.folds {
            out.push(match fold {
                Fold::Count(count) => Arc::clone(self.column(record, *count)),
                Fold::Extremum(best) => Arc::clone(self.column(record, *best)),
                Fold::Floats { total, count, output } => {
                    totals::<ExactSum>(self.column(record, *total), self.column(record, *count), output)?
                }
                Fold::Moments { total, count, output } => {
                    totals::<Moments>(self.column(record, *total), self.column(record, *count), output)?
                }
                Fold::Exact { total, count, output, shown } => {
                    totals::<WideSum>(self.column(record, *total), self.column(record, *count), output)
                        .map_err(|e| named(e, shown))?
                }
            });
        }
        Ok(out)
    }

    /// Merges the states of touched groups: old + plus - minus.
    pub(crate) fn combine(&self, arena: &RecordBatch, touched: &[Touched]) -> Result<Combined> {
        let columns = arena.columns();
        let counts = |state: usize| self.column(columns, state).as_primitive::<Int64Type>();
        let weigh = |state: usize, t: &Touched| -> Result<i64> {
            let at = |i: Option<usize>| i.map_or(0, |i| counts(state).value(i));
            let sum = at(t.stored).wrapping_add(at(t.plus)).wrapping_sub(at(t.minus));
            if sum < 0 || at(t.minus) > at(t.stored) {
                return Err(DeltaError::inconsistent(format!(
                    "a group of {} rows is to lose {}",
                    at(t.stored),
                    at(t.minus)
                )));
            }
            Ok(sum)
        };
        let extrema = self.extrema(columns)?;
        let mut fates = Vec::with_capacity(touched.len());
        let mut kept = Vec::with_capacity(touched.len());
        for t in touched {
            let rows = weigh(0, t)?;
            if t.forced {
                let again = t.recomputed.map_or(0, |i| counts(0).value(i));
                // Rows of a group that no refresh has seen cannot be counted against the delta.
                if (t.stored.is_some() || t.minus.is_some() || t.plus.is_some()) && again != rows {
                    return Err(DeltaError::inconsistent(format!(
                        "a group should have {rows} rows and its source has {again}"
                    )));
                }
                let t = Touched { stored: None, plus: t.recomputed, minus: None, recomputed: None, forced: false };
                let exists = t.plus.is_some() && (again > 0 || self.keys.is_empty());
                fates.push(if exists { Fate::Row } else { Fate::Gone });
                kept.extend(exists.then_some(t));
            } else if rows == 0 && !self.keys.is_empty() {
                fates.push(Fate::Gone);
            } else if extrema
                .iter()
                .try_fold(false, |any, e| Ok::<_, DeltaError>(any || (weigh(e.count, t)? > 0 && e.is_retracted(t))))?
            {
                fates.push(Fate::Recompute);
            } else {
                fates.push(Fate::Row);
                kept.push(*t);
            }
        }
        let record = self.merged(arena, &kept, &extrema, &weigh)?;
        Ok(Combined { fates, record })
    }

    fn merged(
        &self,
        arena: &RecordBatch,
        kept: &[Touched],
        extrema: &[Extrema],
        weigh: &dyn Fn(usize, &Touched) -> Result<i64>,
    ) -> Result<RecordBatch> {
        let columns = arena.columns();
        let any = UInt64Array::from_iter_values(kept.iter().filter_map(Touched::any).map(|i| i as u64));
        let mut out =
            columns[..self.keys.len()].iter().map(|c| Ok(take(c, &any, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
        for (i, state) in self.states.iter().enumerate() {
            let column = self.column(columns, i);
            out.push(match state.kind {
                StateKind::Count => {
                    Arc::new(kept.iter().map(|t| weigh(i, t).map(Some)).collect::<Result<Int64Array>>()?)
                }
                StateKind::Floats { count } => merged_totals::<ExactSum>(column, kept, &|t| Ok(weigh(count, t)? > 0))?,
                StateKind::Exact { count } => merged_totals::<WideSum>(column, kept, &|t| Ok(weigh(count, t)? > 0))?,
                StateKind::Moments { count } => merged_totals::<Moments>(column, kept, &|t| Ok(weigh(count, t)? > 0))?,
                StateKind::Extremum { count, .. } => {
                    let of = extrema
                        .iter()
                        .find(|e| e.state == i)
                        .ok_or_else(|| DeltaError::Layout("an extremum without order".into()))?;
                    let best =
                        kept.iter().map(|t| Ok(if weigh(count, t)? > 0 { of.best(t).map(|i| i as u64) } else { None }));
                    take(column, &best.collect::<Result<UInt64Array>>()?, None)?
                }
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(kept.len()));
        Ok(RecordBatch::try_new_with_options(arena.schema(), out, &options)?)
    }

    fn extrema(&self, columns: &[ArrayRef]) -> Result<Vec<Extrema>> {
        let mut all = Vec::new();
        for (state, s) in self.states.iter().enumerate() {
            if let StateKind::Extremum { largest, count } = s.kind {
                let column = self.column(columns, state);
                let rows = converter([column.data_type()])?.convert_columns(&[Arc::clone(column)])?;
                let ranks =
                    (0..column.len()).map(|i| column.is_valid(i).then(|| rows.row(i).data().to_vec())).collect();
                all.push(Extrema { state, count, largest, ranks });
            }
        }
        Ok(all)
    }

    /// Partial results as records: names and types of the record.
    pub(crate) fn normalize(&self, record: &SchemaRef, partial: &RecordBatch) -> Result<RecordBatch> {
        let columns =
            partial.columns().iter().zip(record.fields()).map(|(c, f)| match (c.data_type(), f.data_type()) {
                (from, to) if from == to => Ok(Arc::clone(c)),
                (_, to) => Ok(arrow::compute::cast(c, to)?),
            });
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(partial.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(record), columns.collect::<Result<_>>()?, &options)?)
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

fn call(function: &Arc<datafusion::logical_expr::AggregateUDF>, args: Vec<Expr>, filter: Option<Box<Expr>>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(Arc::clone(function), args, false, filter, vec![], None))
}

/// The failure of a result says which aggregate it was.
fn named(error: DeltaError, shown: &str) -> DeltaError {
    match &error {
        DeltaError::DataFusion(DataFusionError::External(e)) => match e.downcast_ref::<Failure>() {
            Some(failure) => {
                let failure = failure.clone().under(shown);
                DeltaError::DataFusion(failure.into())
            }
            None => error,
        },
        _ => error,
    }
}

fn totals<T: Total>(states: &ArrayRef, counts: &ArrayRef, output: &Output) -> Result<ArrayRef> {
    let (states, counts) = (states.as_binary::<i32>(), counts.as_primitive::<Int64Type>());
    let read =
        states.iter().map(|s| s.map_or(Ok(T::default()), T::read)).collect::<datafusion::common::Result<Vec<T>>>()?;
    let pairs: Vec<_> = read.iter().zip(counts.values().iter().copied()).collect();
    Ok(finish(&pairs, output)?)
}

fn merged_totals<T: Total>(
    column: &ArrayRef,
    kept: &[Touched],
    has_values: &dyn Fn(&Touched) -> Result<bool>,
) -> Result<ArrayRef> {
    let bytes = column.as_binary::<i32>();
    let read = |i: Option<usize>| i.filter(|i| bytes.is_valid(*i)).map(|i| T::read(bytes.value(i))).transpose();
    let mut out = BinaryBuilder::new();
    for t in kept {
        if !has_values(t)? {
            out.append_null();
            continue;
        }
        let mut total = read(t.stored)?.unwrap_or_default();
        if let Some(plus) = read(t.plus)? {
            total.join(&plus);
        }
        if let Some(minus) = read(t.minus)? {
            total.subtract(&minus);
        }
        out.append_value(total.bytes());
    }
    Ok(Arc::new(out.finish()))
}

/// One extremum's values as bytes that compare as the values do; None is NULL.
struct Extrema {
    state: usize,
    count: usize,
    largest: bool,
    ranks: Vec<Option<Vec<u8>>>,
}

impl Extrema {
    fn rank(&self, row: Option<usize>) -> Option<&Vec<u8>> {
        row.and_then(|i| self.ranks[i].as_ref())
    }

    /// The arena row with the better of the stored and the new value.
    fn best(&self, t: &Touched) -> Option<usize> {
        match (self.rank(t.stored), self.rank(t.plus)) {
            (Some(old), Some(new)) if (self.largest && new > old) || (!self.largest && new < old) => t.plus,
            (Some(_), _) => t.stored,
            (None, Some(_)) => t.plus,
            (None, None) => None,
        }
    }

    fn is_retracted(&self, t: &Touched) -> bool {
        let Some(gone) = self.rank(t.minus) else { return false };
        match self.rank(self.best(t)) {
            Some(best) => {
                if self.largest {
                    gone >= best
                } else {
                    gone <= best
                }
            }
            None => true,
        }
    }
}
