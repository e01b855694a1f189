//! Expressions over one column whose values go up with the column's, so that its bounds give theirs.
//!
//!   date_trunc('day', ts), CAST(ts AS DATE), extract(year FROM ts), left(s, 3)      everywhere
//!   extract(month FROM ts)                                                          within one year
//!
//! Invariants
//! * What is not known to keep the order is taken not to.
//! * A bound that the expression does not take, as one that is out of its range, is no bound.
//!
//! Not here: which casts keep the order (`value_order`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, nullif};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal, TryCastExpr};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::read::value_order::monotone;

/// An expression over one column.
#[derive(Debug)]
pub(crate) struct Derived {
    /// The column.
    pub(crate) column: String,
    pub(crate) data_type: DataType,
    /// Whether it may be NULL where the column is not.
    pub(crate) may_be_null: bool,
    /// The expression, over the column as the first one.
    expr: Arc<dyn PhysicalExpr>,
    /// It goes up with the column's values where all of these have one value.
    within: Vec<Arc<dyn PhysicalExpr>>,
}

impl Derived {
    /// Whether it is the same expression over the same column.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.column == other.column && self.expr.eq(&other.expr)
    }

    /// Bounds of the expression, of those of its column.
    pub(crate) fn bounds(
        &self,
        min: Option<&ArrayRef>,
        max: Option<&ArrayRef>,
    ) -> (Option<ArrayRef>, Option<ArrayRef>) {
        let low = min.and_then(|min| evaluated(&self.expr, min));
        let high = max.and_then(|max| evaluated(&self.expr, max));
        if self.within.is_empty() {
            return (low, high);
        }
        let (Some(min), Some(max), Some(mut low), Some(mut high)) = (min, max, low, high) else { return (None, None) };
        for within in &self.within {
            let apart = evaluated(within, min).zip(evaluated(within, max));
            let apart = apart.and_then(|(first, last)| distinct(&first, &last).ok());
            let both = apart.and_then(|apart| nullif(&low, &apart).ok().zip(nullif(&high, &apart).ok()));
            let Some((of_low, of_high)) = both else { return (None, None) };
            (low, high) = (of_low, of_high);
        }
        // A time that has one bound alone is not within anything.
        let unknown = |value: &ArrayRef, other: &ArrayRef| {
            arrow::compute::is_null(other).ok().and_then(|missing| nullif(value, &missing).ok())
        };
        (unknown(&low, &high), unknown(&high, &low))
    }
}

/// An expression over one column of a schema that keeps the order of its values.
pub(crate) fn derived(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Derived> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        let data_type = schema.field_with_name(column.name()).ok()?.data_type().clone();
        let expr = Arc::new(Column::new(column.name(), 0));
        let (column, within) = (column.name().to_owned(), Vec::new());
        return Some(Derived { column, data_type, may_be_null: false, expr, within });
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let of = derived(cast.expr(), schema).filter(|of| monotone(&of.data_type, cast.cast_type()))?;
        return over(of, expr, cast.cast_type().clone());
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        let of = derived(cast.expr(), schema).filter(|of| monotone(&of.data_type, cast.cast_type()))?;
        return over(Derived { may_be_null: true, ..of }, expr, cast.cast_type().clone());
    }
    call(expr.downcast_ref()?, expr, schema)
}

/// The same over an expression that is derived already.
fn over(of: Derived, expr: &Arc<dyn PhysicalExpr>, data_type: DataType) -> Option<Derived> {
    let expr = Arc::clone(expr).with_new_children(vec![Arc::clone(&of.expr)]).ok()?;
    Some(Derived { expr, data_type, ..of })
}

fn call(call: &ScalarFunctionExpr, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Derived> {
    let text = |of: &Arc<dyn PhysicalExpr>| {
        let value = of.downcast_ref::<Literal>()?.value().try_as_str().flatten()?;
        Some(value.trim_matches('\'').to_ascii_lowercase())
    };
    let number = |of: &Arc<dyn PhysicalExpr>| match of.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        _ => None,
    };
    let with = |of: Derived, place: usize| {
        let mut args: Vec<_> = call.args().to_vec();
        *args.get_mut(place)? = Arc::clone(&of.expr);
        let expr = Arc::clone(expr).with_new_children(args).ok()?;
        Some(Derived { expr, data_type: call.return_type().clone(), ..of })
    };
    match (call.fun().name(), call.args()) {
        (name, [of]) if name == ingot_semantics::CANONICAL => derived(of, schema),
        ("date_trunc", [unit, of]) => {
            text(unit)?;
            with(derived(of, schema).filter(|of| is_time(&of.data_type))?, 1)
        }
        ("date_part", [part, of]) => {
            let (part, of) = (text(part)?, derived(of, schema).filter(|of| is_time(&of.data_type))?);
            // A part of a part of time would lie within two things at once.
            let (true, within) = (of.within.is_empty(), periods(&part)?) else { return None };
            let period = |word: &&str| {
                let word: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::from(*word)));
                Arc::clone(expr).with_new_children(vec![word, Arc::clone(&of.expr)]).ok()
            };
            let within = within.iter().map(period).collect::<Option<Vec<_>>>()?;
            with(Derived { within, ..of }, 1)
        }
        // Texts are in the order of their beginnings.
        ("left", [of, count]) if number(count)? >= 0 => {
            with(derived(of, schema).filter(|of| is_text(&of.data_type))?, 0)
        }
        ("substr", [of, first, count]) if number(first)? == 1 && number(count)? >= 0 => {
            with(derived(of, schema).filter(|of| is_text(&of.data_type))?, 0)
        }
        _ => None,
    }
}

/// The parts of a time that have one value where another part goes up with it: none for one that always does.
fn periods(part: &str) -> Option<&'static [&'static str]> {
    Some(match part {
        "year" => &[],
        "quarter" | "month" | "doy" => &["year"],
        "day" => &["year", "month"],
        "hour" => &["year", "month", "day"],
        "minute" => &["year", "month", "day", "hour"],
        _ => return None,
    })
}

fn is_time(of: &DataType) -> bool {
    match of {
        DataType::Date32 => true,
        DataType::Timestamp(_, zone) => zone.as_deref().is_none_or(|z| matches!(z, "UTC" | "+00:00" | "Z")),
        _ => false,
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// An expression of values, one by one where it does not take all of them.
fn evaluated(expr: &Arc<dyn PhysicalExpr>, values: &ArrayRef) -> Option<ArrayRef> {
    if let Some(all) = evaluated_at_once(expr, values) {
        return Some(all);
    }
    let schema = Schema::new(vec![Field::new("v", values.data_type().clone(), true)]);
    let data_type = expr.data_type(&schema).ok()?;
    let each = (0..values.len()).map(|at| {
        let one = values.slice(at, 1);
        evaluated_at_once(expr, &one).unwrap_or_else(|| new_null_array(&data_type, 1))
    });
    let each: Vec<ArrayRef> = each.collect();
    concat(&each.iter().map(AsRef::as_ref).collect::<Vec<_>>()).ok()
}

fn evaluated_at_once(expr: &Arc<dyn PhysicalExpr>, values: &ArrayRef) -> Option<ArrayRef> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", values.data_type().clone(), true)]));
    let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
    let batch = RecordBatch::try_new_with_options(schema, vec![Arc::clone(values)], &options).ok()?;
    expr.evaluate(&batch).and_then(|value| value.into_array(values.len())).ok()
}
