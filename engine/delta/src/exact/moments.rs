//! Variance, covariance, correlation and regression from exact sums of x, y, x², y² and xy.
//!
//! n Σxy - Σx Σy is worked out without error and rounded once, so the statistics do not depend on the order of rows
//! and can be retracted. A square beyond the range of doubles counts as infinite.
//!
//! Not here: the accumulators that hold the sums (`accumulators`), the functions (`statistics`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};

use crate::exact::statistic::Statistic;
use crate::exact::sum::ExactSum;
use crate::exact::total::{Total, TotalResult};

/// Σa, Σa² of one argument; Σa, Σa², Σb, Σb², Σab of two, in the order of the arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments(Vec<ExactSum>);

impl Moments {
    fn weigh(&mut self, columns: &Pair<'_>, row: usize, weight: fn(&mut ExactSum, f64)) {
        let a = columns.0.value(row);
        self.0.resize_with(if columns.1.is_some() { 5 } else { 2 }, ExactSum::default);
        weight(&mut self.0[0], a);
        product(a, a, |p| weight(&mut self.0[1], p));
        if let Some(b) = columns.1.map(|c| c.value(row)) {
            weight(&mut self.0[2], b);
            product(b, b, |p| weight(&mut self.0[3], p));
            product(a, b, |p| weight(&mut self.0[4], p));
        }
    }

    /// n Σab - Σa Σb for the sums at these places, rounded once.
    fn cross(&self, n: i64, [ab, a, b]: [usize; 3]) -> f64 {
        let sums = &self.0;
        if [ab, a, b].iter().any(|i| !sums[*i].round().is_finite()) {
            return f64::NAN;
        }
        let mut total = ExactSum::default();
        for term in sums[ab].terms() {
            product(term, n as f64, |p| total.add(p));
        }
        let right = sums[b].terms();
        for left in sums[a].terms() {
            right.iter().for_each(|r| product(-left, *r, |p| total.add(p)));
        }
        total.round()
    }

    fn statistic(&self, n: i64, statistic: Statistic) -> Option<f64> {
        use Statistic::*;
        if n < 1 {
            return None;
        }
        let count = n as f64;
        let [x, y] = if statistic.is_regression() { [2, 0] } else { [0, 2] };
        let sample = (n > 1).then_some(count * (count - 1.0));
        let squares = |of: usize| match self.cross(n, [of + 1, of, of]) {
            // Squares that underflow may leave a little less than nothing.
            cross if cross < 0.0 => 0.0,
            cross => cross,
        };
        let mixed = || self.cross(n, [4, 0, 2]);
        let slope = || (n > 1 && squares(x) != 0.0).then(|| mixed() / squares(x));
        let mean = |of: usize| self.0[of].round() / count;
        match statistic {
            VarSamp => sample.map(|d| squares(0) / d),
            VarPop => Some(squares(0) / (count * count)),
            StddevSamp => sample.map(|d| (squares(0) / d).sqrt()),
            StddevPop => Some((squares(0) / (count * count)).sqrt()),
            CovarSamp => sample.map(|d| mixed() / d),
            CovarPop => Some(mixed() / (count * count)),
            // A NaN or an infinity makes its squares NaN.
            Corr => (squares(0) != 0.0 && squares(2) != 0.0).then(|| mixed() / squares(0).sqrt() / squares(2).sqrt()),
            Slope => slope(),
            Intercept => slope().map(|s| mean(y) - s * mean(x)),
            R2 => slope().map(|s| if squares(y) == 0.0 { 1.0 } else { s * mixed() / squares(y) }),
            AvgX => Some(mean(x)),
            AvgY => Some(mean(y)),
            Sxx => Some(squares(x) / count),
            Syy => Some(squares(y) / count),
            Sxy => Some(mixed() / count),
        }
    }
}

/// The product as two doubles without error, if neither overflows nor underflows.
fn product(a: f64, b: f64, mut each: impl FnMut(f64)) {
    let high = a * b;
    each(high);
    if high.is_finite() {
        each(a.mul_add(b, -high));
    }
}

/// One or two columns of doubles.
pub(crate) type Pair<'a> = (&'a Float64Array, Option<&'a Float64Array>);

impl Total for Moments {
    type Columns<'a> = Pair<'a>;

    fn columns(values: &[ArrayRef]) -> Pair<'_> {
        (values[0].as_primitive::<Float64Type>(), values.get(1).map(|v| v.as_primitive::<Float64Type>()))
    }

    fn holds(columns: &Pair<'_>, row: usize) -> bool {
        columns.0.is_valid(row) && columns.1.is_none_or(|c| c.is_valid(row))
    }

    fn put(&mut self, columns: &Pair<'_>, row: usize) {
        self.weigh(columns, row, ExactSum::add);
    }

    fn take(&mut self, columns: &Pair<'_>, row: usize) {
        self.weigh(columns, row, ExactSum::remove);
    }

    fn join(&mut self, other: &Self) {
        self.0.resize_with(self.0.len().max(other.0.len()), ExactSum::default);
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| mine.merge(theirs));
    }

    fn subtract(&mut self, other: &Self) {
        self.0.resize_with(self.0.len().max(other.0.len()), ExactSum::default);
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| mine.subtract(theirs));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for sum in &self.0 {
            let bytes = sum.to_bytes();
            out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    fn read(mut bytes: &[u8]) -> Result<Self> {
        let damaged = || exec_datafusion_err!("the stored state of a statistic is damaged");
        let mut sums = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<2>().ok_or_else(damaged)?;
            let (sum, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or_else(damaged)?;
            sums.push(ExactSum::from_bytes(sum).map_err(|e| DataFusionError::External(Box::new(e)))?);
            bytes = rest;
        }
        if !matches!(sums.len(), 0 | 2 | 5) {
            return Err(damaged());
        }
        Ok(Moments(sums))
    }

    fn heap_size(&self) -> usize {
        self.0.iter().map(|s| size_of::<ExactSum>() + s.heap_size()).sum()
    }

    fn results(totals: &[(&Self, i64)], output: &TotalResult) -> Result<ArrayRef> {
        let TotalResult::Statistic(statistic) = output else {
            return Err(exec_datafusion_err!("moments give no {output:?}"));
        };
        Ok(Arc::new(totals.iter().map(|(m, n)| m.statistic(*n, *statistic)).collect::<Float64Array>()))
    }
}
