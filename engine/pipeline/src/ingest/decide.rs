//! Decides where a streaming table reads on, and what has to be put right before, from facts alone.
//!
//!   what the table records + what the source is ──▶ positions, or a refusal that names the command that goes on
//!
//! Invariants
//! * Pure: no clock, no I/O. Equal facts give an equal decision.
//! * A position is found in the table's history or the table is refused with the command that goes on.
//! * The main table is authoritative: an error table without a position of its own takes the main table's.
//! * Without `--accept-loss` nothing is emptied that the source cannot give again.
//!
//! Not here: reading the facts (`facts`), carrying decisions out (`act`, `run`).

use ingot_model::{FlowPositions, Partition, PartitionRange, Position, Positions, SourceIdentity, TableName};
use ingot_source::{SourceError, SourceFacts, Words};

/// A streaming table and the source that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) table: TableName,
    /// The source as it is now.
    pub(crate) source: SourceIdentity,
    /// What users call it.
    pub(crate) words: &'static Words,
}

impl Flow {
    /// The flow of a table in a source.
    fn of(table: &TableName, source: &SourceFacts) -> Self {
        Flow { table: table.clone(), source: source.identity(), words: source.words() }
    }
}

/// Why a table is not worked on, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the same may be possible later, with nothing changed.
    pub(crate) retryable: bool,
}

impl Refusal {
    fn new(code: &'static str, message: String, hint: String) -> Self {
        Refusal { code, message, hint: Some(hint), retryable: false }
    }

    /// What a source says, for the table that reads it: the way to go on is a command with its name.
    fn source(table: &TableName, error: &SourceError) -> Self {
        let hint = match error {
            SourceError::Loss(loss) => Some(loss.hint(&table.to_string())),
            other => other.hint(),
        };
        Refusal { code: error.code(), message: error.to_string(), hint, retryable: error.retryable() }
    }
}

/// Why a table's history does not tell a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unproven {
    pub(crate) code: &'static str,
    pub(crate) text: String,
    /// There is one, and it cannot be read.
    pub(crate) is_unreadable: bool,
}

impl Unproven {
    pub(crate) fn refusal(&self, table: &TableName) -> Refusal {
        Refusal::new(self.code, format!("\"{table}\": {}", self.text), read_again(table))
    }
}

/// What a stored table records of the flows that fed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The position of this flow in this source; none if it has none yet.
    pub(crate) own: Result<Option<FlowPositions>, Unproven>,
    /// The flows in the snapshots that are left, newest first.
    pub(crate) flows: Result<Vec<FlowPositions>, Unproven>,
    /// The position of the only flow that has read this source, where it has another name.
    pub(crate) renamed: Result<Option<FlowPositions>, Unproven>,
}

/// From where a table reads a source on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumeAt {
    pub(crate) positions: FlowPositions,
    /// The name that the table had when it recorded them: they must be recorded under its own.
    pub(crate) renamed_from: Option<String>,
}

/// A table whose source does not exist any more, if it has read it.
pub(crate) fn gone(table: &TableName, words: &Words, source: &str, flows: &[FlowPositions]) -> Option<Refusal> {
    let flow = table.to_string();
    flows.iter().any(|f| f.flow == flow && f.source.name == source).then(|| Refusal {
        retryable: true,
        ..Refusal::new(
            "S0106",
            format!("{} \"{source}\", which \"{flow}\" has read, does not exist any more", words.source),
            format!(
                "check {}; if it was deleted, the rows stored so far stay: to go on, create it again, then \
                 `ingot refresh {flow} --full --accept-loss` drops them and reads it",
                words.found_by
            ),
        )
    })
}

/// What a table records of this flow. A table that records only others must not be fed from the start again.
pub(crate) fn recorded(of: &Flow, stored: &Stored) -> Result<ResumeAt, Refusal> {
    let Flow { table, source, words } = of;
    let refuse = |error: &Unproven| error.refusal(table);
    if let Some(positions) = stored.own.as_ref().map_err(refuse)? {
        return Ok(ResumeAt { positions: positions.clone(), renamed_from: None });
    }
    let flows = stored.flows.as_ref().map_err(refuse)?;
    let flow = table.to_string();
    let mut here = flows.iter().filter(|f| f.source.is_same_log(source));
    if let (Some(_), None) = (here.next(), here.next()) {
        // One table has one flow, named after it: under another name it is this table before it was renamed.
        if let Some(was) = stored.renamed.as_ref().map_err(refuse)? {
            let positions = FlowPositions { flow, ..was.clone() };
            return Ok(ResumeAt { positions, renamed_from: Some(was.flow.clone()) });
        }
        let text = format!(
            "\"{table}\" was replaced or emptied by another writer: no snapshot that is left records a position in {} {}",
            words.source, source.name
        );
        return Err(Refusal::new("L0131", text, read_again(table)));
    }
    let same_name =
        |f: &&FlowPositions| f.flow == flow && f.source.system == source.system && f.source.name == source.name;
    if let Some(was) = flows.iter().find(same_name) {
        return Err(Refusal::source(table, &SourceError::recreated(&was.source, source)));
    }
    let known = flows.iter().map(|f| named(words, &f.source));
    let known = known.collect::<Vec<_>>().join(", ");
    let (shown, hint) = match known.is_empty() {
        true => ("no position at all".to_owned(), format!("another writer made it; {}", read_again(table))),
        false => (
            known,
            format!(
                "check {}; ingot refresh {table} --full --accept-loss reads this {} from its start instead",
                words.chosen_by, words.source
            ),
        ),
    };
    let text = format!("\"{table}\" exists and records {shown}, but nothing of {}", named(words, source));
    Err(Refusal::new("S0112", text, hint))
}

/// `topic trips of cluster c`.
fn named(words: &Words, source: &SourceIdentity) -> String {
    format!("{} {} of {} {}", words.source, source.name, words.system, source.system)
}

fn read_again(table: &TableName) -> String {
    format!("ingot refresh {table} --full reads its source again from where the table began")
}

/// Where a stored table reads on, partitions that are new since included, if nothing was lost before it was read.
pub(crate) fn read_on(table: &TableName, stored: &Stored, source: &SourceFacts) -> Result<ResumeAt, Refusal> {
    let flow = Flow::of(table, source);
    let mut recorded = recorded(&flow, stored)?;
    let new = source.check(&recorded.positions).map_err(|e| Refusal::source(table, &e))?;
    for (partition, place) in new {
        recorded.positions.partitions.entry(partition).or_insert_with(|| PartitionRange::at(place));
    }
    recorded.positions.full = true;
    Ok(recorded)
}

/// Why a snapshot of its own is made before reading, with the definition of the SQL file; none if all is as it should be.
/// `layout_differs`: new files would be laid out differently.
pub(crate) fn redefinition(
    recorded: Option<&str>,
    fingerprint: &str,
    layout_differs: bool,
    is_renamed: bool,
) -> Option<&'static str> {
    match (recorded == Some(fingerprint), layout_differs) {
        (false, _) => Some("the definition changed"),
        (true, true) => Some("another writer changed the definition"),
        (true, false) if is_renamed => Some("the table was renamed"),
        (true, false) => None,
    }
}

/// Where an error table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ErrorTablePosition {
    /// Where it says itself. `lacks_errors`: it was taken back to an older state than its main table counts.
    Own { positions: FlowPositions, lacks_errors: bool },
    /// Its rows are of a source that its main table has given up: they go.
    GivenUp,
    /// It says nothing: it takes its main table's position, and rows past that go.
    MainTables,
}

/// Where the error table of `table` stands, whose recorded positions are `committed`.
pub(crate) fn error_table(
    table: &TableName,
    side: &Stored,
    committed: &FlowPositions,
) -> Result<ErrorTablePosition, Refusal> {
    match &side.own {
        Ok(Some(own)) => {
            let lacks = |partition, own: &PartitionRange| {
                let main = committed.partitions.get(partition);
                main.is_some_and(|main| own.to <= main.to && own.errors < main.errors)
            };
            let lacks_errors = own.partitions.iter().any(|(p, range)| lacks(p, range));
            Ok(ErrorTablePosition::Own { positions: own.clone(), lacks_errors })
        }
        Err(error) if error.is_unreadable => Err(error.refusal(table)),
        Err(_) => Ok(ErrorTablePosition::MainTables),
        Ok(None) => {
            let flows = side.flows.as_ref().map_err(|e| e.refusal(table))?;
            let is_known = flows.iter().any(|f| f.flow == committed.flow);
            Ok(if is_known { ErrorTablePosition::GivenUp } else { ErrorTablePosition::MainTables })
        }
    }
}

/// From where on error rows are judged again: those at or past the main table's position, if another definition wrote
/// them. Empty if none are.
pub(crate) fn rejudged(committed: &FlowPositions, errors_at: &Positions, is_same_definition: bool) -> Positions {
    if is_same_definition {
        return Positions::new();
    }
    committed.ends().into_iter().filter(|(p, place)| errors_at.get(p).is_some_and(|at| at > place)).collect()
}

/// What is known of a table that is to be read again, and of its source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again<'a> {
    /// The positions at which it began, if that is known.
    pub(crate) began: Option<&'a FlowPositions>,
    pub(crate) stored: &'a Stored,
    pub(crate) source: &'a SourceFacts,
    /// A new table reads everything there ever was.
    pub(crate) starts_at_the_beginning: bool,
}

/// Where a table begins again.
///
/// # Errors
/// S0101 or S0102 when the source cannot give all rows again and `accept_loss` is not set.
pub(crate) fn again(table: &TableName, facts: Again<'_>, accept_loss: bool) -> Result<FlowPositions, Refusal> {
    let Again { began, stored, source, starts_at_the_beginning } = facts;
    let refuse = |e: SourceError| Refusal::source(table, &e);
    let identity = source.identity();
    let another = began.filter(|began| source.is_another(&began.source));
    if let (Some(was), false) = (another, accept_loss) {
        return Err(refuse(SourceError::recreated(&was.source, &identity)));
    }
    let known = began.filter(|_| another.is_none());
    let restart = source.restart(known).map_err(refuse)?;
    if !accept_loss {
        // A source that ends before what was read cannot give it again.
        let flow = Flow::of(table, source);
        if let Ok(recorded) = recorded(&flow, stored) {
            match source.check(&recorded.positions) {
                Err(SourceError::Loss(loss)) if loss.leaves_the_rest() => {}
                Err(error) => return Err(refuse(error)),
                Ok(_) => {}
            }
        }
        let mut short: Vec<String> = vec![];
        if began.is_none() && !(starts_at_the_beginning && source.holds_everything()) {
            short.push("nothing that is left says where it began".into());
        }
        let later = restart.short.iter();
        short.extend(later.map(|s| format!("partition {} begins at offset {} now", s.partition, s.begins)));
        if !short.is_empty() {
            let text = format!(
                "the log of {} {} no longer reaches back to where \"{table}\" began: {}",
                source.words().source,
                identity.name,
                short.join(", ")
            );
            let hint = format!("ingot refresh {table} --full --accept-loss gives up what the log no longer has");
            return Err(Refusal::new("S0101", text, hint));
        }
    }
    Ok(FlowPositions::starting(table, identity, &restart.from))
}

/// Positions past what was lost, and the reason that their snapshot records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) positions: FlowPositions,
    pub(crate) reason: String,
}

/// How a table goes on past what its source lost before it was read; none if nothing was.
///
/// # Errors
/// Losses of another kind, for which rows cannot stay.
pub(crate) fn skip(table: &TableName, stored: &Stored, source: &SourceFacts) -> Result<Option<Skip>, Refusal> {
    let flow = Flow::of(table, source);
    let recorded = recorded(&flow, stored)?;
    let skipped = source.skip_lost(&recorded.positions).map_err(|e| Refusal::source(table, &e))?;
    let reason = format!("given up, as asked: {}", skipped.lost.join(", "));
    Ok((!skipped.lost.is_empty()).then_some(Skip { positions: skipped.positions, reason }))
}

/// Whether a batch may be put on a version of the table that another writer left: only if it stands where the batch
/// begins. Otherwise why not.
pub(crate) fn may_append(found: Result<Option<FlowPositions>, Unproven>, expected: &Positions) -> Result<(), String> {
    match found {
        Ok(Some(found)) => {
            let stands = |(p, from): (&Partition, &Position)| match found.partitions.get(p) {
                Some(range) => range.to == *from,
                None => true,
            };
            match expected.iter().all(stands) {
                true => Ok(()),
                false => Err("its position moved".into()),
            }
        }
        Ok(None) => Err("its position is gone".into()),
        Err(error) => Err(error.text),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
