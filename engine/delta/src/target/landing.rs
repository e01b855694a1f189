//! A change about to be brought into the stored rows, whichever way its rows are found there.
//!
//!   landing ──▶ wanted() ──▶ stored rows ──▶ merge() ──▶ rows to remove and to insert
//!                                                 └─▶ keys ──▶ restrict_to() over the new snapshot ──▶ merge_recomputed()
//!
//! Not here: how keys merge (`keyed`), how rows are found by value (`rows`), reading and writing tables (`pipeline`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use datafusion::logical_expr::LogicalPlan;
use ingot_model::KeyRange;

use crate::error::{DeltaError, Result};
use crate::target::keyed::{Keyed, Merge, Merged, Recomputed};
use crate::target::keys::KeyFilter;
use crate::target::rows::positions_of;
use crate::values::multiset::consolidate;
use crate::values::ranges::value_ranges;

/// A change, given as partials over inserted and over deleted rows.
#[derive(Debug)]
pub struct Landing {
    /// None: stored rows are found by their values.
    keyed: Option<Keyed>,
    plus: Vec<RecordBatch>,
    minus: Vec<RecordBatch>,
}

/// Which stored rows a landing looks at. All that it must see are among them; others may be, too.
#[derive(Debug)]
pub struct Wanted {
    /// The rows lie within each of these ranges of public columns. Empty: anywhere.
    pub ranges: Vec<KeyRange>,
    keys: Option<KeyFilter>,
}

impl Wanted {
    /// The hidden keys of the wanted rows; `None` where rows are not known by them.
    pub fn keys(&self) -> Option<&Arc<HashSet<[u8; 16]>>> {
        self.keys.as_ref().map(|keys| &keys.hashes)
    }

    /// Which rows of a stored batch (public and hidden columns by position) are wanted. The others need not be held.
    ///
    /// # Errors
    /// `Layout` when the batch has no hidden key where it should be.
    pub fn select(&self, stored: &RecordBatch) -> Result<BooleanArray> {
        match &self.keys {
            Some(keys) => keys.select(stored),
            None => Ok(BooleanArray::from(vec![true; stored.num_rows()])),
        }
    }
}

impl Landing {
    /// A change whose rows are those of the target, found there by their values.
    pub(crate) fn by_value(plus: &[RecordBatch], minus: &[RecordBatch]) -> Result<Self> {
        let (plus, minus) = consolidate(plus, minus)?;
        Ok(Self { keyed: None, plus, minus })
    }

    /// A change of what is known of keys.
    pub(crate) fn by_key(keyed: Keyed, plus: Vec<RecordBatch>, minus: Vec<RecordBatch>) -> Self {
        Self { keyed: Some(keyed), plus, minus }
    }

    /// Which stored rows `merge` looks at; None if at none.
    ///
    /// # Errors
    /// When an expression fails; partials of another view.
    pub fn wanted(&self) -> Result<Option<Wanted>> {
        let Some(keyed) = &self.keyed else {
            let ranges = value_ranges(&self.minus)?;
            return Ok((!self.minus.is_empty()).then_some(Wanted { ranges, keys: None }));
        };
        let touched: Vec<RecordBatch> = self.plus.iter().chain(&self.minus).cloned().collect();
        Ok(Some(Wanted { ranges: keyed.key_ranges(&touched)?, keys: Some(keyed.key_filter(&touched)?) }))
    }

    /// Merges the change into the wanted stored rows: public and state columns by position, then `_ingot_file` (Utf8)
    /// and `_ingot_pos` (Int64).
    ///
    /// # Errors
    /// `Inconsistent` when the stored rows contradict the change.
    pub fn merge(&self, stored: &[RecordBatch]) -> Result<Merged> {
        match &self.keyed {
            Some(keyed) => keyed.merge(&self.plus, &self.minus, stored, None),
            None => {
                let remove = positions_of(&self.minus, stored)?;
                Ok(Merged::Done(Merge { remove, insert: self.plus.clone(), ..Merge::default() }))
            }
        }
    }

    /// The plan of the partials of just these keys, to be run over the new contents of all inputs.
    ///
    /// # Errors
    /// When DataFusion cannot build the plan; `Layout` when nothing was to be recomputed.
    pub fn restrict_to(&self, keys: &RecordBatch) -> Result<LogicalPlan> {
        self.keyed()?.restrict_to(keys)
    }

    /// As `merge`, which asked for these keys; `rows` are what `restrict_to` gives for them.
    ///
    /// # Errors
    /// `Inconsistent` when the stored rows contradict the change, or keys are missing.
    pub fn merge_recomputed(&self, stored: &[RecordBatch], keys: RecordBatch, rows: Vec<RecordBatch>) -> Result<Merge> {
        match self.keyed()?.merge(&self.plus, &self.minus, stored, Some(&Recomputed { keys, rows }))? {
            Merged::Done(merge) => Ok(merge),
            Merged::Recompute(_) => Err(DeltaError::inconsistent("a group asked to be recomputed twice")),
        }
    }

    fn keyed(&self) -> Result<&Keyed> {
        self.keyed.as_ref().ok_or_else(|| DeltaError::Layout("rows that have no key are not recomputed by key".into()))
    }
}
