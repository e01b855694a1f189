//! Variance, standard deviation, covariance, correlation and regression, exact for any order of rows.
//!
//! DataFusion's own merge running means, whose last bits depend on how rows are spread over partitions, and have no
//! DISTINCT. `ingot_moments_state` returns the bytes that hidden columns hold.
//!
//! Not here: the sums (`moments`), putting the functions into plans (`exact::functions`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::{correlation, covariance, regr, stddev, variance};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use crate::exact::accumulators::{ExactDistinct, ExactGroups, ExactOne, distinct_state_fields, exact_state_fields};
use crate::exact::moments::Moments;
use crate::exact::statistic::Statistic;
use crate::exact::total::TotalResult;

static FUNCTIONS: LazyLock<HashMap<String, Arc<AggregateUDF>>> = LazyLock::new(|| {
    use Statistic::*;
    let all = [
        (variance::var_samp_udaf(), VarSamp),
        (variance::var_pop_udaf(), VarPop),
        (stddev::stddev_udaf(), StddevSamp),
        (stddev::stddev_pop_udaf(), StddevPop),
        (covariance::covar_samp_udaf(), CovarSamp),
        (covariance::covar_pop_udaf(), CovarPop),
        (correlation::corr_udaf(), Corr),
        (regr::regr_slope_udaf(), Slope),
        (regr::regr_intercept_udaf(), Intercept),
        (regr::regr_r2_udaf(), R2),
        (regr::regr_avgx_udaf(), AvgX),
        (regr::regr_avgy_udaf(), AvgY),
        (regr::regr_sxx_udaf(), Sxx),
        (regr::regr_syy_udaf(), Syy),
        (regr::regr_sxy_udaf(), Sxy),
    ];
    let exact = |(inner, statistic): (Arc<AggregateUDF>, Statistic)| {
        (inner.name().to_owned(), Arc::new(AggregateUDF::from(ExactStatistic { inner, statistic })))
    };
    all.into_iter().map(exact).collect()
});

static STATE: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(MomentsState::new())));

/// All exact statistics.
pub(crate) fn statistics() -> impl Iterator<Item = &'static Arc<AggregateUDF>> {
    FUNCTIONS.values()
}

/// The exact function of this name.
pub(crate) fn statistic_function(name: &str) -> Option<Arc<AggregateUDF>> {
    FUNCTIONS.get(name).cloned()
}

/// What a function of this name makes of moments.
pub(crate) fn statistic(function: &AggregateUDF) -> Option<Statistic> {
    let exact = FUNCTIONS.get(function.name())?;
    (exact.inner().as_ref() as &dyn std::any::Any).downcast_ref::<ExactStatistic>().map(|s| s.statistic)
}

/// The moments of one or two DOUBLE arguments, as the bytes hidden columns hold.
pub(crate) fn moments_state() -> Arc<AggregateUDF> {
    Arc::clone(&STATE)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactStatistic {
    inner: Arc<AggregateUDF>,
    statistic: Statistic,
}

impl AggregateUDFImpl for ExactStatistic {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let output = TotalResult::Statistic(self.statistic);
            return Ok(Box::new(ExactDistinct::<Moments>::new(args.expr_fields.len(), output)));
        }
        Ok(Box::new(ExactOne::<Moments>::new(TotalResult::Statistic(self.statistic))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(if args.is_distinct { distinct_state_fields(args.name) } else { exact_state_fields(args.name) })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ExactGroups::<Moments>::new(TotalResult::Statistic(self.statistic))))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// `ingot_moments_state(x [, y])`: the moments' bytes, NULL without values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MomentsState {
    signature: Signature,
}

impl MomentsState {
    fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for MomentsState {
    fn name(&self) -> &str {
        "ingot_moments_state"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Float64] | [DataType::Float64, DataType::Float64] => Ok(DataType::Binary),
            other => exec_err!("ingot_moments_state takes one or two DOUBLE, not {other:?}"),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ExactOne::<Moments>::new(TotalResult::State)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(exact_state_fields(args.name))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ExactGroups::<Moments>::new(TotalResult::State)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
