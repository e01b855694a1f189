//! Which keys a merge touches, and where their rows stand.
//!
//! All rows of a merge (new, deleted, recomputed, stored) lie in one arena, one batch of records; a touched key holds
//! the places of its rows there.
//!
//! Invariants
//! * A key has at most one row of each role; keys of floats are equal by their canonical value.
//!
//! Not here: what becomes of a key (`keyed` and the kinds it merges).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::row::RowConverter;
use ingot_semantics::canonical_array;

use crate::error::{DeltaError, Result};
use crate::values::format::converter;
use crate::values::hidden::{KEY, key_hashes};

/// Hidden keys to look for in stored rows.
#[derive(Debug, Clone)]
pub(crate) struct KeyFilter {
    /// Where the hidden key stands among the stored columns.
    pub(crate) column: usize,
    pub(crate) hashes: Arc<HashSet<[u8; 16]>>,
}

impl KeyFilter {
    /// Which rows of a stored batch (public and hidden columns by position) have one of the keys; a row without its
    /// hidden key is kept, for the merge to refuse.
    ///
    /// # Errors
    /// `Layout` when the batch has no hidden key where it should be.
    pub(crate) fn select(&self, stored: &RecordBatch) -> Result<BooleanArray> {
        let column = (self.column < stored.num_columns()).then(|| stored.column(self.column));
        match column.and_then(|c| c.as_fixed_size_binary_opt()) {
            Some(keys) => Ok(keys.iter().map(|k| Some(k.is_none_or(|k| self.hashes.contains(k)))).collect()),
            None => Err(DeltaError::Layout(format!("{KEY} is not among the stored columns"))),
        }
    }
}

/// Rows of one key in the arena of a merge.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Touched {
    pub(crate) stored: Option<usize>,
    pub(crate) plus: Option<usize>,
    pub(crate) minus: Option<usize>,
    pub(crate) recomputed: Option<usize>,
    /// The key was recomputed: `recomputed` is its row, None if it has none any more.
    pub(crate) was_recomputed: bool,
}

impl Touched {
    /// Some row with this key.
    pub(crate) fn any(&self) -> Option<usize> {
        self.stored.or(self.plus).or(self.recomputed).or(self.minus)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plus,
    Minus,
    Recomputed,
    Stored,
}

/// The touched keys of a merge, in the order they were met.
pub(crate) struct Keys {
    converter: Option<RowConverter>,
    index: HashMap<Box<[u8]>, usize>,
    pub(crate) touched: Vec<Touched>,
    /// Hashes of all touched keys.
    pub(crate) hashes: HashSet<[u8; 16]>,
    /// The arena row that comes next.
    pub(crate) next: usize,
}

impl Keys {
    /// Keys of these types; without types there is one key, the empty one.
    pub(crate) fn new(types: &[DataType]) -> Result<Self> {
        let converter = if types.is_empty() { None } else { Some(converter(types)?) };
        Ok(Self { converter, index: HashMap::new(), touched: vec![], hashes: HashSet::new(), next: 0 })
    }

    fn bytes(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Box<[u8]>>> {
        let Some(converter) = &self.converter else { return Ok(vec![Box::default(); rows]) };
        let keys = keys.iter().map(canonical_array).collect::<datafusion::common::Result<Vec<_>>>()?;
        Ok(converter.convert_columns(&keys)?.iter().map(|r| Box::from(r.data())).collect())
    }

    fn touch(&mut self, key: Box<[u8]>) -> &mut Touched {
        let at = *self.index.entry(key).or_insert_with(|| {
            self.touched.push(Touched::default());
            self.touched.len() - 1
        });
        &mut self.touched[at]
    }

    /// Marks keys as recomputed.
    pub(crate) fn mark_recomputed(&mut self, keys: &RecordBatch) -> Result<()> {
        self.hashes.extend(key_hashes(keys.columns(), keys.num_rows())?);
        for key in self.bytes(keys.columns(), keys.num_rows())? {
            self.touch(key).was_recomputed = true;
        }
        Ok(())
    }

    /// Touches the empty key.
    pub(crate) fn touch_global(&mut self) -> Result<()> {
        self.touch(Box::default());
        self.hashes.extend(key_hashes(&[], 1)?);
        Ok(())
    }

    /// Adds rows with these keys to the arena.
    pub(crate) fn add(&mut self, keys: &[ArrayRef], rows: usize, role: Role) -> Result<()> {
        if role != Role::Stored {
            self.hashes.extend(key_hashes(keys, rows)?);
        }
        for key in self.bytes(keys, rows)? {
            let row = self.next;
            self.next += 1;
            if role == Role::Stored && !self.index.contains_key(&key) {
                continue; // another key of the same hash
            }
            let touched = self.touch(key);
            let slot = match role {
                Role::Plus => &mut touched.plus,
                Role::Minus => &mut touched.minus,
                Role::Recomputed => &mut touched.recomputed,
                Role::Stored => &mut touched.stored,
            };
            if slot.replace(row).is_some() {
                return Err(match role {
                    Role::Stored => DeltaError::inconsistent("a key has two stored rows"),
                    _ => DeltaError::Layout("a key has two partial results".into()),
                });
            }
        }
        Ok(())
    }
}
