//! Refreshes of a table between sample contents, as a run would do them, compared with building it anew.
//!
//! Invariants
//! * The law holds: old contents and their change give the same rows as the query over the new contents.
//!
//! Not here: running plans (`trial`), real refreshes (`ingot-pipeline`).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use ingot_delta::{DeltaError, Merge, Merged, Strategy, difference};

use super::room::{Failure, Rehearsed, Room, Trouble, failure};
use super::sample::Occasion;
use ingot_model::place::{FILE, POSITION};

/// Old contents, what comes, what goes, new contents.
const STEPS: [[Occasion; 4]; 4] = [
    [Occasion::Empty, Occasion::Plain, Occasion::Empty, Occasion::Plain],
    [Occasion::Plain, Occasion::Mixed, Occasion::Empty, Occasion::Grown],
    [Occasion::Grown, Occasion::Empty, Occasion::Mixed, Occasion::Plain],
    [Occasion::Mixed, Occasion::Empty, Occasion::Mixed, Occasion::Empty],
];

/// Refreshes a table in each of the steps.
///
/// # Errors
/// A step that the strategy cannot carry out.
pub(super) fn rehearse(room: &Room, plan: &LogicalPlan, strategy: &Strategy) -> Result<(), Failure> {
    let query = room.prepare(plan)?;
    let width = plan.schema().fields().len();
    let partials = match strategy.merges_by_key() {
        true => &room.prepare(&strategy.partials(plan).map_err(delta)?)?,
        false => &query,
    };
    for [old, plus, minus, new] in STEPS {
        let step = refreshed(room, strategy, partials, [old, plus, minus, new]);
        let rows = step.and_then(|rows| Ok((rows, room.at(&query, new)?)));
        match rows {
            Ok((found, wanted)) => same(&found, &wanted, width)?,
            // These values do not go: others may.
            Err(Failure::Passing) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(())
}

fn delta(error: DeltaError) -> Failure {
    match error {
        DeltaError::DataFusion(e) => failure(&e, None),
        DeltaError::Arrow(e) => failure(&DataFusionError::from(e), None),
        other => Failure::Trouble(Trouble { text: other.to_string(), panicked: false }),
    }
}

/// As `delta`, for errors over values.
fn over_values(error: DeltaError) -> Failure {
    match error {
        DeltaError::DataFusion(e) => failure(&e, Some(Occasion::Plain)),
        DeltaError::Arrow(e) => failure(&DataFusionError::from(e), Some(Occasion::Plain)),
        other => delta(other),
    }
}

fn refreshed(
    room: &Room,
    strategy: &Strategy,
    partials: &Rehearsed,
    [old, plus, minus, new]: [Occasion; 4],
) -> Result<Vec<RecordBatch>, Failure> {
    let built = strategy.build(room.at(partials, old)?).map_err(over_values)?;
    let landing = strategy.landing(room.at(partials, plus)?, room.at(partials, minus)?).map_err(over_values)?;
    let mut stored = vec![];
    if let Some(wanted) = landing.wanted().map_err(over_values)? {
        for batch in with_row_places(&built)? {
            let mask = wanted.select(&batch).map_err(over_values)?;
            stored.push(filter_record_batch(&batch, &mask).map_err(arrow)?);
        }
    }
    let merge = match landing.merge(&stored).map_err(over_values)? {
        Merged::Done(merge) => merge,
        Merged::Recompute(keys) => {
            let plan = room.prepare(&landing.restrict_to(&keys).map_err(delta)?)?;
            let rows = room.at(&plan, new)?;
            landing.merge_recomputed(&stored, keys, rows).map_err(over_values)?
        }
    };
    applied(&built, merge)
}

/// Rows as stored ones are read: with a file for each batch, and positions.
fn with_row_places(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, Failure> {
    let place = |(i, batch): (usize, &RecordBatch)| {
        let mut fields: Vec<Field> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend([Field::new(FILE, DataType::Utf8, false), Field::new(POSITION, DataType::Int64, false)]);
        let (rows, file) = (batch.num_rows(), i.to_string());
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec![file.as_str(); rows])));
        columns.push(Arc::new((0..rows).map(|p| Some(p as i64)).collect::<Int64Array>()));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow)
    };
    batches.iter().enumerate().map(place).collect()
}

/// What a merge leaves.
fn applied(stored: &[RecordBatch], merge: Merge) -> Result<Vec<RecordBatch>, Failure> {
    let mut out = merge.insert;
    for (i, batch) in stored.iter().enumerate() {
        let file = i.to_string();
        let stays = |p: &usize| !merge.remove.iter().any(|(f, at)| *f == file && usize::try_from(*at) == Ok(*p));
        let kept = UInt64Array::from_iter_values((0..batch.num_rows()).filter(stays).map(|p| p as u64));
        out.push(take_record_batch(batch, &kept).map_err(arrow)?);
    }
    Ok(out)
}

/// The law, for the public columns.
fn same(found: &[RecordBatch], wanted: &[RecordBatch], width: usize) -> Result<(), Failure> {
    let public = |batch: &RecordBatch| {
        let columns = batch.columns().iter().take(width).cloned().collect::<Vec<_>>();
        let field = |(i, c): (usize, &ArrayRef)| Field::new(format!("c{i}"), c.data_type().clone(), true);
        let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns).map_err(arrow)
    };
    let found = found.iter().map(public).collect::<Result<Vec<_>, _>>()?;
    let wanted = wanted.iter().map(public).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = wanted.iter().chain(&found).next() else { return Ok(()) };
    let difference = difference(&first.schema(), &wanted, &found).map_err(over_values)?;
    if difference.is_equal() {
        Ok(())
    } else {
        Err(wrong("a refresh over sample rows does not give the rows of the query"))
    }
}

fn wrong(text: &str) -> Failure {
    Failure::Trouble(Trouble { text: text.to_owned(), panicked: false })
}

fn arrow(error: arrow::error::ArrowError) -> Failure {
    failure(&DataFusionError::from(error), Some(Occasion::Plain))
}
