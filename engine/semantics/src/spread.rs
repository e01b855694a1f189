//! `var_pop`, `stddev_pop`, `corr` and `regr_r2` where DataFusion answers otherwise than SQL's formulas.
//!
//!   var_pop, stddev_pop   of one NaN or infinity is NaN, as in groups, not 0
//!   corr                  is NaN where a value is NaN or infinite, not NULL; in groups it is computed as elsewhere, because
//!                         sums of squares lose all digits of values that differ little
//!   regr_r2(y, x)         is 1 where all y are equal and the x are not
//!   f(DISTINCT x [, y])   of all statistics: over the distinct values, or pairs, in their order
//!
//! Invariants
//! * States are DataFusion's, so that partial results merge as they do there.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF};
use datafusion::physical_expr::PhysicalExpr;

use crate::delegated::as_inner;

/// What a function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SpreadKind {
    /// As DataFusion has it.
    Plain,
    Variance,
    Deviation,
    Correlation,
    Determination,
}

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<AggregateUDF>]) {
    for function in functions.iter_mut() {
        let kind = match function.name() {
            "var_pop" => SpreadKind::Variance,
            "stddev_pop" => SpreadKind::Deviation,
            "corr" => SpreadKind::Correlation,
            "regr_r2" => SpreadKind::Determination,
            "covar_pop" | "covar_samp" | "stddev" | "var" => SpreadKind::Plain,
            name if name.starts_with("regr_") => SpreadKind::Plain,
            _ => continue,
        };
        *function = Arc::new(AggregateUDF::from(Spread { inner: Arc::clone(function), kind }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    inner: Arc<AggregateUDF>,
    kind: SpreadKind,
}

impl AggregateUDFImpl for Spread {
    as_inner!(calls, returns);

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            let item = Field::new_list_field(DataType::Float64, true);
            return Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "distinct"), item, true))]);
        }
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Ok(Box::new(Distinct {
                seen: BTreeSet::new(),
                width: args.exprs.len(),
                call: Call::new(self, &args),
            }));
        }
        Ok(Box::new(One { inner: self.inner.accumulator(args)?, kind: self.kind }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return self.accumulator(args);
        }
        Ok(Box::new(One { inner: self.inner.create_sliding_accumulator(args)?, kind: self.kind }))
    }

    // Those of variances divide as the formula says.
    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && self.kind != SpreadKind::Correlation && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// One group's values.
#[derive(Debug)]
struct One {
    inner: Box<dyn Accumulator>,
    kind: SpreadKind,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.inner.state()?;
        let number = |i: usize| match state.get(i) {
            Some(ScalarValue::Float64(Some(v))) => *v,
            _ => 0.0,
        };
        let count = match state.first() {
            Some(ScalarValue::UInt64(Some(count))) => *count,
            _ => 0,
        };
        let special = match self.kind {
            // count, mean, sum of squared distances
            SpreadKind::Variance if count == 1 => Some(Some(number(2))),
            SpreadKind::Deviation if count == 1 => Some(Some(number(2).sqrt())),
            SpreadKind::Variance | SpreadKind::Deviation => None,
            // count, mean, squares, mean, squares, products
            SpreadKind::Correlation if count > 0 => {
                let (xx, yy, xy) = (number(2), number(4), number(5));
                let flat = xx == 0.0 || yy == 0.0;
                let odd = !(xx.is_finite() && yy.is_finite() && xy.is_finite());
                odd.then(|| (!flat).then(|| xy / (xx * yy).sqrt()))
            }
            // count, mean, mean, squares of x, squares of y, products
            SpreadKind::Determination if count > 0 => {
                let (xx, yy, xy) = (number(3), number(4), number(5));
                match (xx == 0.0, yy == 0.0) {
                    (true, _) => Some(None),
                    (false, true) => Some(Some(1.0)),
                    // One value whose squares are NaN.
                    (false, false) => (count == 1).then(|| Some(xy * xy / (xx * yy))),
                }
            }
            SpreadKind::Plain | SpreadKind::Correlation | SpreadKind::Determination => None,
        };
        match special {
            Some(value) => Ok(ScalarValue::Float64(value)),
            None => self.inner.evaluate(),
        }
    }
}

/// The distinct values of one group, or its pairs of values of which none is NULL.
#[derive(Debug)]
struct Distinct {
    /// Pairs of bits.
    seen: BTreeSet<[u64; 2]>,
    width: usize,
    call: Call,
}

impl Distinct {
    fn columns(&self) -> Vec<ArrayRef> {
        let column = |i: usize| -> ArrayRef {
            let bits = self.seen.iter().map(|pair| Some(f64::from_bits(pair.get(i).copied().unwrap_or_default())));
            Arc::new(bits.collect::<Float64Array>())
        };
        (0..self.width).map(column).collect()
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let doubles =
            values.iter().map(|v| arrow::compute::cast(v, &DataType::Float64)).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<&Float64Array> = doubles.iter().map(|v| v.as_primitive::<Float64Type>()).collect();
        let rows = columns.first().map_or(0, |c| c.len());
        for row in (0..rows).filter(|row| columns.iter().all(|c| c.is_valid(*row))) {
            let mut pair = [0; 2];
            for (bits, column) in pair.iter_mut().zip(&columns) {
                // Zeros are one value, and so are all NaN.
                let value = column.value(row) + 0.0;
                *bits = if value.is_nan() { f64::NAN } else { value }.to_bits();
            }
            self.seen.insert(pair);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else { return Ok(()) };
        for list in lists.as_list::<i32>().iter().flatten() {
            let bits: Vec<u64> = list.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect();
            for pair in bits.chunks(self.width.max(1)) {
                self.seen.insert([pair.first().copied().unwrap_or_default(), pair.get(1).copied().unwrap_or_default()]);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bits = self.seen.iter().flat_map(|pair| pair.iter().take(self.width));
        let values: Vec<ScalarValue> = bits.map(|b| ScalarValue::Float64(Some(f64::from_bits(*b)))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut all = self.call.of_all()?;
        all.update_batch(&self.columns())?;
        all.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.len() * 3 * size_of::<[u64; 2]>()
    }
}

/// What it takes to make the accumulator of all values.
#[derive(Debug)]
struct Call {
    function: Arc<AggregateUDF>,
    kind: SpreadKind,
    return_field: FieldRef,
    schema: Schema,
    name: String,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Call {
    fn new(function: &Spread, args: &AccumulatorArgs) -> Self {
        Self {
            function: Arc::clone(&function.inner),
            kind: function.kind,
            return_field: Arc::clone(&args.return_field),
            schema: args.schema.clone(),
            name: args.name.to_owned(),
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn of_all(&self) -> Result<One> {
        let args = AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: &self.name,
            is_distinct: false,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        };
        Ok(One { inner: self.function.accumulator(args)?, kind: self.kind })
    }
}
