//! Groups in the stored table: partial states, merged and retracted.
//!
//! record of a group: [key values.., count(*), state..]; a state is a count, a sum or an extremum
//!
//! Invariants
//! * A group exists while its count(*) is positive; the group of an aggregate without GROUP BY always does.
//! * A state is NULL exactly when it covers no value, so equal groups have equal records.
//! * A deleted value that reaches the merged extremum makes the group to be recomputed: with deltas
//!   {+100, -10, +20, -100} against a stored maximum of 50, adding up would say 100.
//!
//! Not here: which states there are (`shape::aggregate`), what is read and written (`keyed`), exact sums (`exact`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::DataFusionError;
use ingot_semantics::Failure;

use crate::error::{DeltaError, Result};
use crate::exact::moments::Moments;
use crate::exact::sum::ExactSum;
use crate::exact::total::{Total, TotalResult, WideSum, finish};
use crate::shape::aggregate::{Aggregate, Fold, StateKind};
use crate::target::fate::{Combined, Fate};
use crate::target::keys::Touched;
use crate::values::format::converter;

impl Aggregate {
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
            if t.was_recomputed {
                let again = t.recomputed.map_or(0, |i| counts(0).value(i));
                // Rows of a group that no refresh has seen cannot be counted against the delta.
                if (t.stored.is_some() || t.minus.is_some() || t.plus.is_some()) && again != rows {
                    return Err(DeltaError::inconsistent(format!(
                        "a group should have {rows} rows and its source has {again}"
                    )));
                }
                let t =
                    Touched { stored: None, plus: t.recomputed, minus: None, recomputed: None, was_recomputed: false };
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
        let options = RecordBatchOptions::new().with_row_count(Some(kept.len()));
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
        let options = RecordBatchOptions::new().with_row_count(Some(partial.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(record), columns.collect::<Result<_>>()?, &options)?)
    }
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

fn totals<T: Total>(states: &ArrayRef, counts: &ArrayRef, output: &TotalResult) -> Result<ArrayRef> {
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
