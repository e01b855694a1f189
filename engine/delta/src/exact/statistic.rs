//! Which statistics there are.
//!
//! Not here: how they come out of sums (`moments`), the functions of these names (`statistics`).

/// A function of moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Statistic {
    VarSamp,
    VarPop,
    StddevSamp,
    StddevPop,
    CovarSamp,
    CovarPop,
    Corr,
    Slope,
    Intercept,
    R2,
    AvgX,
    AvgY,
    Sxx,
    Syy,
    Sxy,
}

impl Statistic {
    /// Whether the function's first argument is y.
    pub(crate) fn is_regression(self) -> bool {
        use Statistic::*;
        matches!(self, Slope | Intercept | R2 | AvgX | AvgY | Sxx | Syy | Sxy)
    }
}
