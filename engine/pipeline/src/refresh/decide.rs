//! What is right for a table, from what is known of its change: nothing, appending, merging or computing it as a whole;
//! and whether a side table shares the read of its main table.
//!
//! Invariants
//! * Pure: values in, values out. Equal facts give an equal decision.
//! * A side table shares a read only where both read the same rows: the same snapshots of every input.
//!
//! Not here: the facts (`facts`), carrying it out (`act`), which tables are due (`planner`).

use ingot_delta::Strategy;
use ingot_project::project::{Model, ModelKind};

use crate::plan::{AGED, Action, Reason};

/// What is known of the change of a table's inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    pub rows_inserted: u64,
    pub rows_deleted: u64,
    /// What its inputs stand on is not what the table records.
    pub bases_moved: bool,
    /// Why the change itself cannot be had.
    pub unreadable: Option<Reason>,
}

/// How a change is brought into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Nothing,
    /// Everything is computed anew, for this reason.
    Full(Reason),
    /// The rows of the change go to files as they come.
    Append,
    /// Stored rows go or are replaced.
    Merge,
}

/// The way of an incremental refresh.
pub fn way(strategy: &Strategy, moved: &Moved) -> Way {
    if let Some(reason) = &moved.unreadable {
        return Way::Full(reason.clone());
    }
    // The inputs' snapshots may have changed without a change of this view: then only the snapshots are recorded.
    if moved.rows_inserted + moved.rows_deleted == 0 && !moved.bases_moved {
        return Way::Nothing;
    }
    match strategy.full_reason() {
        Some(reason) => Way::Full(Reason::new(reason.code, reason.to_string())),
        None if strategy.is_row_by_row() && moved.rows_deleted == 0 => Way::Append,
        None => Way::Merge,
    }
}

/// Whether a side table and its main table are refreshed by one read; an error says why they are not.
///
/// # Errors
/// The reason, in words for a user.
pub fn together(main: &Model, main_does: &Action, side: &Model, side_does: &Action) -> Result<(), String> {
    if side.kind != (ModelKind::Quarantine { of: main.name.clone() }) {
        return Err("it is no quarantine table of that one".into());
    }
    if main.inputs.contains(&side.name) {
        return Err("that one reads it".into());
    }
    main.judging
        .as_ref()
        .map_err(Clone::clone)?
        .taken
        .get(&side.name)
        .ok_or("nothing fills it")?
        .as_ref()
        .map_err(Clone::clone)?;
    if side.strategy.merges_by_key() {
        return Err("its rows are merged by key".into());
    }
    let is_full = |action: &Action| {
        matches!(action, Action::Create { .. } | Action::Rebuild { .. })
            || matches!(action, Action::Recompute { reason, .. } if reason.code != AGED)
    };
    match (main_does, side_does) {
        (Action::Refresh { .. }, Action::Refresh { .. }) if side.strategy.is_row_by_row() => {}
        (a, b) if is_full(a) && is_full(b) => {}
        _ => return Err("one of them is computed as a whole, or by a clock".into()),
    }
    for read in side_does.reads() {
        match main_does.reads().iter().find(|r| r.table == read.table) {
            Some(other) if other == read => {}
            Some(_) => return Err(format!("they stand on different snapshots of \"{}\"", read.table)),
            None => return Err(format!("only one of them reads \"{}\"", read.table)),
        }
    }
    match main.inputs.iter().find(|input| !side.inputs.contains(input)) {
        Some(input) => Err(format!("only one of them reads \"{input}\"")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingot_delta::FullReason;

    #[test]
    fn the_way_of_a_change_follows_from_what_moved() {
        let (linear, full) = (Strategy::linear(), Strategy::full(FullReason::new("R0501", "JOIN")));
        let moved = |rows_inserted, rows_deleted, bases_moved| Moved {
            rows_inserted,
            rows_deleted,
            bases_moved,
            unreadable: None,
        };
        assert_eq!(way(&linear, &moved(0, 0, false)), Way::Nothing);
        assert_eq!(way(&full, &moved(0, 0, false)), Way::Nothing);
        // Nothing moved for the table, and what it stands on is recorded.
        assert_eq!(way(&linear, &moved(0, 0, true)), Way::Append);
        assert_eq!(way(&linear, &moved(5, 0, false)), Way::Append);
        assert_eq!(way(&linear, &moved(5, 1, false)), Way::Merge);
        assert!(matches!(way(&full, &moved(5, 0, false)), Way::Full(reason) if reason.code == "R0501"));
        let reason = Reason::new("R0538", "too large");
        let unreadable = Moved { unreadable: Some(reason.clone()), ..moved(0, 0, false) };
        assert_eq!(way(&linear, &unreadable), Way::Full(reason));
    }
}
