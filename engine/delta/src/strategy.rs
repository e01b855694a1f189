//! How a view follows its sources: from its change alone, by merging keys, or in full with the reason.
//!
//!   classify(query) ──▶ Strategy ──▶ partials(query) over inserted rows ──▶ plus ──┐
//!                                └─▶ partials(query) over deleted rows ───▶ minus ─┴▶ landing(plus, minus)
//!
//! Invariants
//! * No code outside this crate decides by the kind of a strategy: it calls the strategy's methods.
//! * build(partials over everything) = what the landings of all changes leave, as multisets, bit by bit.
//!
//! Not here: what a plan is (`shape`), the merge itself (`target`), running plans and committing (`pipeline`).

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::reason::FullReason;
use crate::shape::classify::{KeyedOperator, Shape, check_columns, shape_of};
use crate::target::keyed::Keyed;
use crate::target::landing::Landing;

/// A file in which rows are changed by their key.
const KEYED_FILE_BYTES_MAX: u64 = 8 << 20;

/// How a view follows its sources.
///
/// ```
/// use datafusion::arrow::datatypes::{DataType, Field, Schema};
/// use datafusion::logical_expr::{col, lit, table_scan};
/// use ingot_delta::{Incremental, classify};
///
/// # fn main() -> datafusion::common::Result<()> {
/// let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
/// let filtered = table_scan(Some("bronze.t"), &schema, None)?.filter(col("n").gt(lit(1_i64)))?.build()?;
/// assert_eq!(classify(&filtered).incremental().ok(), Some(Incremental::Linear));
///
/// let three = table_scan(Some("bronze.t"), &schema, None)?.limit(0, Some(3))?.build()?;
/// assert_eq!(classify(&three).full_reason().map(|reason| reason.code), Some("R0502"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Strategy(How);

#[derive(Debug, Clone)]
enum How {
    /// The view's change is its query over the change.
    Linear,
    /// One row a key is merged.
    Keyed(Keyed),
    /// Everything is computed anew.
    Full(FullReason),
}

/// The ways of an incremental refresh, as plans name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incremental {
    /// The query runs over the change.
    Linear,
    /// The first row of each key is merged.
    KeepFirst,
    /// The states of groups are merged.
    Aggregate,
}

impl Incremental {
    /// Its one word, as plans are serialized.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::KeepFirst => "keep-first",
            Self::Aggregate => "aggregate",
        }
    }
}

/// As `ingot plan` prints it.
impl fmt::Display for Incremental {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "rows in, rows out",
            Self::KeepFirst => "keep-first merge",
            Self::Aggregate => "aggregate merge",
        })
    }
}

/// Decides the strategy for an unoptimized plan over table scans, views inlined. Equal plans give equal strategies; in
/// doubt everything is computed anew.
pub fn classify(plan: &LogicalPlan) -> Strategy {
    let incremental = shape_of(plan).and_then(|shape| {
        let how = match shape {
            Shape::Linear => How::Linear,
            Shape::Keyed(shape) => How::Keyed(Keyed::new(*shape).map_err(FullReason::plan)?),
        };
        check_columns(plan)?;
        Ok(how)
    });
    Strategy(incremental.unwrap_or_else(How::Full))
}

impl Strategy {
    /// The strategy of a query that is known to work row by row (`row_by_row`).
    pub fn linear() -> Self {
        Self(How::Linear)
    }

    /// Everything is computed anew, for this reason.
    pub fn full(reason: FullReason) -> Self {
        Self(How::Full(reason))
    }

    /// Its way of an incremental refresh.
    ///
    /// # Errors
    /// Why there is none: each refresh computes everything anew.
    pub fn incremental(&self) -> Result<Incremental, &FullReason> {
        match &self.0 {
            How::Linear => Ok(Incremental::Linear),
            How::Keyed(keyed) => Ok(match keyed.operator() {
                KeyedOperator::KeepFirst(_) => Incremental::KeepFirst,
                KeyedOperator::Aggregate(_) => Incremental::Aggregate,
            }),
            How::Full(reason) => Err(reason),
        }
    }

    /// Why each refresh computes everything anew, if it does.
    pub fn full_reason(&self) -> Option<&FullReason> {
        self.incremental().err()
    }

    /// Whether what the query gives for some rows does not depend on others, so that its rows over inserted rows are
    /// the rows to insert.
    pub fn is_row_by_row(&self) -> bool {
        matches!(self.0, How::Linear)
    }

    /// Whether stored rows are found by their key and merged, which takes the hidden state in them, and the whole
    /// change at once.
    pub fn merges_by_key(&self) -> bool {
        matches!(self.0, How::Keyed(_))
    }

    /// How large a file of the target becomes at most, in bytes, where the table says more: rows are looked for in it, and it is
    /// written anew once many of them changed. None where they are not looked for by their key.
    pub fn file_bytes_max(&self) -> Option<u64> {
        self.merges_by_key().then_some(KEYED_FILE_BYTES_MAX)
    }

    /// The hidden columns it keeps in the target: `_ingot_key` (a hash of 16 bytes), then `_ingot_s0`...; all of types
    /// that Iceberg has. None unless it merges by key.
    pub fn state_columns(&self) -> Vec<(String, DataType)> {
        match &self.0 {
            How::Keyed(keyed) => keyed.state_columns(),
            How::Linear | How::Full(_) => vec![],
        }
    }

    /// The plan that is run over everything for a build, and over inserted and over deleted rows for a refresh: what is
    /// known of each key of these rows, or the query itself. `query` is the one that was classified.
    ///
    /// # Errors
    /// When DataFusion cannot build the plan.
    pub fn partials(&self, query: &LogicalPlan) -> Result<LogicalPlan> {
        match &self.0 {
            How::Keyed(keyed) => keyed.partials(),
            How::Linear | How::Full(_) => Ok(query.clone()),
        }
    }

    /// The rows to store for partials over everything: public columns, then state columns. Keys come once each, so
    /// partials may be given batch by batch.
    ///
    /// # Errors
    /// When a value does not fit its type.
    pub fn build(&self, partials: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        match &self.0 {
            How::Keyed(keyed) => keyed.build(&partials),
            How::Linear | How::Full(_) => Ok(partials),
        }
    }

    /// A change that is to be brought into the stored rows: `plus` are the partials over inserted rows, `minus` those
    /// over deleted rows.
    ///
    /// # Errors
    /// When the batches' types differ or have no row format.
    pub fn landing(&self, plus: Vec<RecordBatch>, minus: Vec<RecordBatch>) -> Result<Landing> {
        match &self.0 {
            How::Keyed(keyed) => Ok(Landing::by_key(keyed.clone(), plus, minus)),
            How::Linear | How::Full(_) => Landing::by_value(&plus, &minus),
        }
    }
}

/// As `ingot status` prints it: `incremental: keep-first merge`, `full: R0505: ...`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.incremental() {
            Ok(how) => write!(f, "incremental: {how}"),
            Err(reason) => write!(f, "full: {}: {reason}", reason.code),
        }
    }
}
