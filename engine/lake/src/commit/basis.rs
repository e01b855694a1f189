//! The data files that a commit was made for, and whether they still hold the rows that they held then.
//!
//! Invariants
//! * A commit goes in where each of its files is live and under the same deletes as when it was planned: that is all that
//!   conflicts. Other files may have come and gone, and deletes of other files too.
//! * Manifests are read only where the head has moved.
//!
//! Not here: what to do about a conflict (`attempts`: the commit is superseded).

use std::collections::{HashMap, HashSet};

use crate::deletes::file::{FileDeletes, Identity};
use crate::error::Result;
use crate::read::changelog::{FileRef, live_files};
use crate::table::Table;

/// Data files as a commit was planned for them.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    head: Option<i64>,
    files: HashMap<String, State>,
}

/// What tells whether a file's rows are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    sequence_number: i64,
    deletes: HashSet<Identity>,
}

impl State {
    fn of(file: &FileRef) -> Self {
        Self { sequence_number: file.sequence_number, deletes: identities(&file.deletes) }
    }
}

fn identities(deletes: &FileDeletes) -> HashSet<Identity> {
    let equality = deletes.equality.iter().flat_map(|group| &group.files);
    deletes.positional().chain(equality).map(|delete| delete.identity()).collect()
}

impl Basis {
    /// Files of a table's head, whose rows a commit moves, removes or deletes.
    pub fn of<'a>(table: &Table, files: impl IntoIterator<Item = &'a FileRef>) -> Self {
        let files = files.into_iter().map(|file| (file.path.clone(), State::of(file))).collect();
        Self { head: table.head(), files }
    }

    /// What became of a file that is not as it was; none where all are.
    ///
    /// # Errors
    /// Those of reading manifests.
    pub(crate) async fn broken(&self, now: &Table) -> Result<Option<String>> {
        if self.files.is_empty() || now.head() == self.head {
            return Ok(None);
        }
        let Some(head) = now.head() else { return Ok(Some("the table was emptied".into())) };
        let mut left: HashMap<&str, &State> = self.files.iter().map(|(path, state)| (path.as_str(), state)).collect();
        for file in live_files(now, head).await? {
            match left.remove(file.path.as_str()) {
                Some(was) if *was != State::of(&file) => {
                    return Ok(Some(format!("rows of \"{}\" were deleted meanwhile", file.path)));
                }
                _ => {}
            }
        }
        Ok(left.keys().next().map(|path| format!("{} of its files are gone, \"{path}\" for one", left.len())))
    }
}
