//! `var_pop`, `stddev_pop`, `corr` and `regr_r2` where DataFusion answers otherwise than SQL's formulas.
//!
//!   var_pop, stddev_pop   of one NaN or infinity is NaN, as in groups, not 0
//!   corr                  is NaN where a value is NaN or infinite, not NULL; in groups it is computed as elsewhere, because
//!                         sums of squares lose all digits of values that differ little
//!   regr_r2(y, x)         is 1 where all y are equal and the x are not
//!
//! Invariants
//! * States are DataFusion's, so that partial results merge as they do there.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

/// What a function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Variance,
    Deviation,
    Correlation,
    Determination,
}

/// Puts these functions in the place of those of their name.
pub(crate) fn wrap(functions: &mut [Arc<AggregateUDF>]) {
    for function in functions.iter_mut() {
        let kind = match function.name() {
            "var_pop" => Kind::Variance,
            "stddev_pop" => Kind::Deviation,
            "corr" => Kind::Correlation,
            "regr_r2" => Kind::Determination,
            _ => continue,
        };
        *function = Arc::new(AggregateUDF::from(Spread { inner: Arc::clone(function), kind }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    inner: Arc<AggregateUDF>,
    kind: Kind,
}

impl AggregateUDFImpl for Spread {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One { inner: self.inner.accumulator(args)?, kind: self.kind }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One { inner: self.inner.create_sliding_accumulator(args)?, kind: self.kind }))
    }

    // Those of variances divide as the formula says.
    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.kind != Kind::Correlation && self.inner.groups_accumulator_supported(args)
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
    kind: Kind,
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
            Kind::Variance if count == 1 => Some(Some(number(2))),
            Kind::Deviation if count == 1 => Some(Some(number(2).sqrt())),
            Kind::Variance | Kind::Deviation => None,
            // count, mean, squares, mean, squares, products
            Kind::Correlation if count > 0 => {
                let (xx, yy, xy) = (number(2), number(4), number(5));
                let flat = xx == 0.0 || yy == 0.0;
                let odd = !(xx.is_finite() && yy.is_finite() && xy.is_finite());
                odd.then(|| (!flat).then(|| xy / (xx * yy).sqrt()))
            }
            // count, mean, mean, squares of x, squares of y, products
            Kind::Determination if count > 0 => {
                let (xx, yy, xy) = (number(3), number(4), number(5));
                match (xx == 0.0, yy == 0.0) {
                    (true, _) => Some(None),
                    (false, true) => Some(Some(1.0)),
                    // One value whose squares are NaN.
                    (false, false) => (count == 1).then(|| Some(xy * xy / (xx * yy))),
                }
            }
            Kind::Correlation | Kind::Determination => None,
        };
        match special {
            Some(value) => Ok(ScalarValue::Float64(value)),
            None => self.inner.evaluate(),
        }
    }
}
