//! Exact totals: what can be added, taken back, merged and written as bytes, and what comes out of it in the end.
//!
//! Not here: sums of squares and products (`moments`), DataFusion's accumulators (`accumulators`).

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, Float64Array, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, i256};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use ingot_semantics::{Failure, fit};

use crate::exact::statistic::Statistic;
use crate::exact::sum::ExactSum;

/// What a slot turns into at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TotalResult {
    /// The total's bytes, NULL without values.
    State,
    Sum(DataType),
    /// `input_scale` is the scale of the values of a decimal average.
    Avg {
        result: DataType,
        input_scale: i8,
    },
    Statistic(Statistic),
}

/// A total that adds, retracts, merges and has bytes.
pub(crate) trait Total: Debug + Default + Clone + Send + Sync + 'static {
    /// The arguments' columns.
    type Columns<'a>;
    fn columns(values: &[ArrayRef]) -> Self::Columns<'_>;
    /// Whether no argument is NULL.
    fn holds(columns: &Self::Columns<'_>, row: usize) -> bool;
    fn put(&mut self, columns: &Self::Columns<'_>, row: usize);
    fn take(&mut self, columns: &Self::Columns<'_>, row: usize);
    fn join(&mut self, other: &Self);
    fn subtract(&mut self, other: &Self);
    fn bytes(&self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Result<Self>;
    fn heap_size(&self) -> usize;
    /// The column of results; None is NULL.
    fn results(totals: &[(&Self, i64)], output: &TotalResult) -> Result<ArrayRef>;
}

impl Total for ExactSum {
    type Columns<'a> = &'a Float64Array;
    fn columns(values: &[ArrayRef]) -> &Float64Array {
        values[0].as_primitive::<Float64Type>()
    }
    fn holds(column: &&Float64Array, row: usize) -> bool {
        column.is_valid(row)
    }
    fn put(&mut self, column: &&Float64Array, row: usize) {
        self.add(column.value(row));
    }
    fn take(&mut self, column: &&Float64Array, row: usize) {
        self.remove(column.value(row));
    }
    fn subtract(&mut self, other: &Self) {
        ExactSum::subtract(self, other);
    }
    fn join(&mut self, other: &Self) {
        self.merge(other);
    }
    fn bytes(&self) -> Vec<u8> {
        self.to_bytes()
    }
    fn read(bytes: &[u8]) -> Result<Self> {
        ExactSum::from_bytes(bytes).map_err(|e| DataFusionError::External(Box::new(e)))
    }
    fn heap_size(&self) -> usize {
        ExactSum::heap_size(self)
    }
    fn results(totals: &[(&Self, i64)], output: &TotalResult) -> Result<ArrayRef> {
        let average = matches!(output, TotalResult::Avg { .. });
        let values = totals
            .iter()
            .map(|(total, count)| (*count != 0).then(|| if average { total.average(*count) } else { total.round() }));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }
}

/// The sum of integers, as decimals, and of decimals: 256 bits hold 2^128 values of 38 digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WideSum(pub i256);

impl Total for WideSum {
    type Columns<'a> = &'a Decimal128Array;
    fn columns(values: &[ArrayRef]) -> &Decimal128Array {
        values[0].as_primitive::<Decimal128Type>()
    }
    fn holds(column: &&Decimal128Array, row: usize) -> bool {
        column.is_valid(row)
    }
    fn put(&mut self, column: &&Decimal128Array, row: usize) {
        self.0 = self.0.wrapping_add(i256::from_i128(column.value(row)));
    }
    fn take(&mut self, column: &&Decimal128Array, row: usize) {
        self.0 = self.0.wrapping_sub(i256::from_i128(column.value(row)));
    }
    fn subtract(&mut self, other: &Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
    fn join(&mut self, other: &Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
    fn bytes(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
    fn read(bytes: &[u8]) -> Result<Self> {
        let bytes: [u8; 32] =
            bytes.try_into().map_err(|_| exec_datafusion_err!("the stored state of a decimal sum is damaged"))?;
        Ok(WideSum(i256::from_le_bytes(bytes)))
    }
    fn heap_size(&self) -> usize {
        0
    }
    fn results(totals: &[(&Self, i64)], output: &TotalResult) -> Result<ArrayRef> {
        let (result, input_scale, average) = match output {
            TotalResult::Avg { result, input_scale } => (result, *input_scale, true),
            TotalResult::Sum(result) => (result, 0, false),
            other => return Err(exec_datafusion_err!("an exact sum gives no {other:?}")),
        };
        let values = totals
            .iter()
            .map(|(total, count)| {
                if *count == 0 {
                    return Ok(None);
                }
                let value = fit(total.0, *count, input_scale, average, result);
                value.map(Some).ok_or_else(|| Failure::overflow(if average { "avg" } else { "sum" }, result).into())
            })
            .collect::<Result<Vec<Option<i128>>>>()?;
        Ok(match result {
            DataType::Decimal128(precision, scale) => {
                Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?)
            }
            DataType::Int64 => {
                Arc::new(values.into_iter().map(|v| v.and_then(|v| i64::try_from(v).ok())).collect::<Int64Array>())
            }
            DataType::UInt64 => {
                Arc::new(values.into_iter().map(|v| v.and_then(|v| u64::try_from(v).ok())).collect::<UInt64Array>())
            }
            other => return Err(exec_datafusion_err!("an exact sum cannot be {other}")),
        })
    }
}

/// The result column of some totals with their counts.
pub(crate) fn finish<T: Total>(slots: &[(&T, i64)], output: &TotalResult) -> Result<ArrayRef> {
    if *output != TotalResult::State {
        return T::results(slots, output);
    }
    let mut states = BinaryBuilder::new();
    for (total, count) in slots {
        states.append_option((*count != 0).then(|| total.bytes()));
    }
    Ok(Arc::new(states.finish()))
}
