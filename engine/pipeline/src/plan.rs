//! What a run would do, as a value: `plan` prints it and `run` executes it.
//!
//! A plan is a list of steps in the order of the model graph. A step that reads a table which an earlier step
//! changes reads "what that step leaves" rather than a snapshot that does not exist yet.

use std::fmt;

pub use ingot_delta::Incremental;
use ingot_model::{Position, Positions, TableName};
use serde::{Deserialize, Serialize};

/// The reason of a recompute that nothing but the clock asks for.
pub(crate) const AGED: &str = "R0548";

/// An external table is not there.
pub(crate) const MISSING: &str = "L0135";
/// An external table is not as declared.
pub(crate) const MISFIT: &str = "L0136";

/// Why a table is recomputed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub text: String,
    /// What to do about it, where something stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Reason {
    /// With a code of the registry.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), hint: None }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

/// The end of what a step reads of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upto {
    /// This snapshot; `None` is a table without rows yet.
    Snapshot(Option<i64>),
    /// Whatever an earlier step of the plan leaves.
    Step,
}

/// One table that a step reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub table: TableName,
    pub from: Option<i64>,
    pub to: Upto,
}

/// What happens to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Nothing,
    /// A streaming table: read the log, half-open per partition. `create` when the table does not exist yet.
    Ingest {
        create: bool,
        /// Its name, such as a topic's.
        #[serde(rename = "topic")]
        source: String,
        from: Positions,
        to: Positions,
    },
    /// A table that does not exist yet.
    Create {
        reads: Vec<Read>,
    },
    Refresh {
        how: Incremental,
        reads: Vec<Read>,
    },
    /// The same definition computed as a whole.
    Recompute {
        reason: Reason,
        reads: Vec<Read>,
    },
    /// The definition changed: computed as a whole, schema included.
    Rebuild {
        reason: Reason,
        reads: Vec<Read>,
    },
    /// A streaming table over another table: its appended rows.
    Append {
        create: bool,
        reads: Vec<Read>,
    },
    /// Cannot run now.
    Blocked {
        reason: Reason,
    },
}

impl Action {
    /// Snapshots that it reads, by table.
    pub fn reads(&self) -> &[Read] {
        match self {
            Self::Create { reads }
            | Self::Refresh { reads, .. }
            | Self::Recompute { reads, .. }
            | Self::Rebuild { reads, .. }
            | Self::Append { reads, .. } => reads,
            Self::Nothing | Self::Ingest { .. } | Self::Blocked { .. } => &[],
        }
    }

    /// Whether anything is done.
    pub fn is_work(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Blocked { .. })
    }

    /// The word for the history and the summary property.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Ingest { .. } | Self::Append { .. } => "append",
            Self::Create { .. } => "create",
            Self::Refresh { .. } => "incremental",
            Self::Recompute { .. } => "full",
            Self::Rebuild { .. } => "rebuild",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// Why it is done, where that is not plain.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Recompute { reason, .. } | Self::Rebuild { reason, .. } | Self::Blocked { reason } => Some(reason),
            _ => None,
        }
    }
}

/// One table of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub table: TableName,
    pub action: Action,
    /// Of a side table: it is filled by the read of this table's step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<TableName>,
    /// What a user should know of the table beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Steps in an order in which every table comes after what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether a step does anything.
    pub fn has_work(&self) -> bool {
        self.steps.iter().any(|s| s.action.is_work())
    }

    /// The steps by what is read at once: most alone, and side tables with their main table, which is the last of them.
    pub fn reads(&self) -> Vec<Vec<&Step>> {
        let is_there = |main: &TableName| self.steps.iter().any(|s| s.table == *main && s.action.is_work());
        let shares = |step: &Step| step.with.as_ref().is_some_and(is_there);
        let with = |main: &Step| {
            let sides = self.steps.iter().filter(|s| s.with.as_ref() == Some(&main.table));
            sides.filter(|_| main.action.is_work()).collect::<Vec<_>>()
        };
        let own = self.steps.iter().filter(|step| !shares(step));
        own.map(|step| with(step).into_iter().chain([step]).collect()).collect()
    }

    /// Whether a step computes a table anew.
    pub fn has_rebuild(&self) -> bool {
        self.steps.iter().any(|s| matches!(s.action, Action::Rebuild { .. }))
    }
}

fn upto(r: &Read) -> String {
    let from = r.from.map_or_else(|| "start".to_owned(), |s| s.to_string());
    match r.to {
        Upto::Snapshot(Some(to)) => format!("{} {from} .. {to}", r.table),
        Upto::Snapshot(None) => format!("{} (empty)", r.table),
        Upto::Step => format!("{} {from} .. what its step leaves", r.table),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_action(f)?;
        if let Some(main) = &self.with {
            write!(f, "\n    note: filled by the read of {main}")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n    note: {note}"))
    }
}

impl Step {
    fn show_action(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Nothing => write!(f, "{}  nothing to do", self.table),
            Action::Blocked { reason } => write!(f, "{}  blocked ({reason})", self.table),
            Action::Ingest { create, source, from, to } => {
                let start = Position::default();
                let each = || to.iter().map(|(p, to)| (p, from.get(p).unwrap_or(&start), to));
                let behind: i64 = each().filter_map(|(_, from, to)| from.until(to)).sum();
                let verb = if *create { "create, then read" } else { "read" };
                write!(f, "{}  {verb} topic {source}, {} partition(s), {behind} offset(s)", self.table, to.len())?;
                for (p, from, to) in each() {
                    write!(f, "\n    partition {p}: [{from}, {to})")?;
                }
                Ok(())
            }
            action => {
                let head = match action {
                    Action::Create { .. } => "create".to_owned(),
                    Action::Refresh { how, .. } => format!("refresh incrementally ({how})"),
                    Action::Recompute { reason, .. } => format!("recompute as a whole ({reason})"),
                    Action::Rebuild { reason, .. } => format!("rebuild ({reason})"),
                    Action::Append { create: true, .. } => "create, then append".to_owned(),
                    _ => "append".to_owned(),
                };
                write!(f, "{}  {head}", self.table)?;
                for r in action.reads() {
                    write!(f, "\n    {}", upto(r))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}
