//! `x AT TIME ZONE zone`, which is `timezone(zone, x)`: between instants and the wall clock of a place.
//!
//!   TIMESTAMPTZ      ──▶ TIMESTAMP     what the clock there shows at the instant
//!   TIMESTAMP, DATE  ──▶ TIMESTAMPTZ   the instant at which it shows this, in UTC
//!
//! DataFusion casts to a type that carries the zone: what such a value is cast to, compared with and united with then
//! takes its instant at one place and its wall clock at another.
//!
//! Invariants
//! * No expression has a type with a zone other than UTC (`refuse_zones`).
//! * A time that the clock leaves out is read by the offset before the gap, one that it shows twice by the later offset,
//!   as in PostgreSQL.
//! * The rules of the last year that the time zone database tells hold in all later years.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset, TimeZone};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Spanned,
};

use ingot_model::calendar::{DAY_SECONDS, first_of_month, month_of};

use crate::shown::shown;
use crate::type_names::type_name;

const NAME: &str = "timezone";

/// Rewrites one expression of the syntax tree, its parts done.
pub(crate) fn in_expr(expr: &mut SqlExpr) {
    let SqlExpr::AtTimeZone { timestamp, time_zone } = expr else { return };
    let argument = |e: &SqlExpr| FunctionArg::Unnamed(FunctionArgExpr::Expr(e.clone()));
    *expr = SqlExpr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(timestamp.span(), NAME)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(time_zone), argument(timestamp)],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    });
}

/// Functions that can give a type which their arguments name.
const NAMING: &[&str] = &["arrow_cast", "arrow_try_cast", "from_unixtime"];

/// Refuses a call whose type has a zone other than UTC.
///
/// # Errors
/// The refusal of such a call.
pub(crate) fn refuse_zones(call: &Expr, type_of: impl Fn(&Expr) -> DataType) -> Result<()> {
    let Expr::ScalarFunction(function) = call else { return Ok(()) };
    if !NAMING.contains(&function.func.name()) {
        return Ok(());
    }
    match other_zone(&type_of(call)) {
        None => Ok(()),
        Some(zone) if function.func.name() == "from_unixtime" => {
            plan_err!("{} takes no zone: write to_timestamp(n) AT TIME ZONE '{zone}'", shown(call))
        }
        Some(zone) => {
            plan_err!("{}: timestamps have no zone or UTC: write x AT TIME ZONE '{zone}'", shown(call))
        }
    }
}

/// A zone other than UTC that a value of the type has.
fn other_zone(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) if zone.as_ref() != "UTC" => Some(Arc::clone(zone)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => other_zone(item.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|f| other_zone(f.data_type())),
        DataType::Dictionary(_, value) => other_zone(value),
        DataType::RunEndEncoded(_, value) => other_zone(value.data_type()),
        _ => None,
    }
}

const WALL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `timezone`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct AtTimeZone {
    signature: Signature,
}

impl AtTimeZone {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, time] = types else { return plan_err!("{NAME} takes a zone and a timestamp") };
        if !matches!(zone, DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return plan_err!(
                "a time zone is a text, such as 'Europe/Berlin' or '+02:00', and this is {}",
                type_name(zone)
            );
        }
        let time = match time {
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => WALL,
            DataType::Timestamp(_, Some(_)) | DataType::Null => instant(),
            other => {
                return plan_err!(
                    "AT TIME ZONE takes a TIMESTAMP or a TIMESTAMPTZ, and this is {}: CAST it to one of them",
                    type_name(other)
                );
            }
        };
        Ok(vec![DataType::Utf8, time])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, DataType::Timestamp(_, None)] => Ok(instant()),
            [_, _] => Ok(WALL),
            _ => plan_err!("{NAME} takes a zone and a timestamp"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(Some(zone)) = args.scalar_arguments.first()
            && let Some(name) = zone.try_as_str().flatten()
            && zone_of(name).is_none()
        {
            return plan_err!("there is no time zone '{name}'; zones are named as 'Europe/Berlin' or '+02:00'");
        }
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let [zone, time] = args.args.as_slice() else { return internal_err!("{NAME} takes two arguments") };
        let times = time.to_array(rows)?;
        let moved = match zone {
            ColumnarValue::Scalar(zone) => match zone.try_as_str().flatten() {
                None => moved(&times, |_| Ok(None))?,
                Some(name) => {
                    let zone = named(name)?;
                    moved(&times, |_| Ok(Some(zone)))?
                }
            },
            ColumnarValue::Array(names) => {
                let names = names.as_string::<i32>();
                let mut known: HashMap<&str, Tz> = HashMap::new();
                moved(&times, |row| {
                    if names.is_null(row) {
                        return Ok(None);
                    }
                    let name = names.value(row);
                    if let Some(zone) = known.get(name) {
                        return Ok(Some(*zone));
                    }
                    let zone = named(name)?;
                    known.insert(name, zone);
                    Ok(Some(zone))
                })?
            }
        };
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?),
            false => ColumnarValue::Array(moved),
        })
    }
}

fn named(name: &str) -> Result<Tz> {
    zone_of(name).ok_or_else(|| exec_datafusion_err!("there is no such time zone"))
}

/// By its name in the time zone database, in any case where words have one capital, or an offset to the east.
fn zone_of(name: &str) -> Option<Tz> {
    if let Ok(zone) = name.parse() {
        return Some(zone);
    }
    let mut start = true;
    let words = name.chars().map(|c| {
        let c = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        start = !c.is_ascii_alphanumeric();
        c
    });
    let words: String = words.collect();
    let capitals = name.to_ascii_uppercase();
    if capitals == "Z" {
        return "UTC".parse().ok();
    }
    words.parse().or_else(|_| capitals.parse()).ok()
}

/// Each time in the zone of its row.
fn moved(times: &ArrayRef, mut zone: impl FnMut(usize) -> Result<Option<Tz>>) -> Result<ArrayRef> {
    let DataType::Timestamp(TimeUnit::Microsecond, from) = times.data_type() else {
        return exec_err!("AT TIME ZONE takes a timestamp, not {}", times.data_type());
    };
    let values = times.as_primitive::<TimestampMicrosecondType>();
    let mut out = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        let (Some(value), Some(zone)) = (value, zone(row)?) else {
            out.push(None);
            continue;
        };
        let there = if from.is_some() { to_wall(value, zone) } else { to_instant(value, zone) };
        out.push(Some(there.ok_or_else(|| exec_datafusion_err!("no timestamp holds this"))?));
    }
    let out = TimestampMicrosecondArray::from(out);
    Ok(Arc::new(if from.is_some() { out } else { out.with_timezone("UTC") }))
}

const SECOND: i64 = 1_000_000;

/// What the clock of the zone shows at an instant; both in microseconds.
fn to_wall(instant: i64, zone: Tz) -> Option<i64> {
    instant.checked_add(offset(instant.div_euclid(SECOND), zone) * SECOND)
}

/// The instant at which the clock of the zone shows this.
fn to_instant(wall: i64, zone: Tz) -> Option<i64> {
    let seconds = wall.div_euclid(SECOND);
    let (before, after) = (offset(seconds - DAY_SECONDS, zone), offset(seconds + DAY_SECONDS, zone));
    let holds = |of: i64| offset(seconds - of, zone) == of;
    let of = if holds(after) { after } else { before };
    wall.checked_sub(of * SECOND)
}

/// Seconds that the zone is ahead of UTC at an instant.
fn offset(seconds: i64, zone: Tz) -> i64 {
    let at = |seconds: i64| {
        let utc = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
        i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    };
    // Long before any transition, and within what chrono reaches.
    let seconds = seconds.max(start_of(-9_999));
    let year = month_of(seconds.div_euclid(DAY_SECONDS)).0.div_euclid(12);
    if year <= LAST_YEAR {
        return at(seconds);
    }
    let (january, july) = (start_of(LAST_YEAR) + 14 * DAY_SECONDS, start_of(LAST_YEAR) + 195 * DAY_SECONDS);
    if at(january) == at(july) {
        return at(july);
    }
    // A year of the same days of the week: 28 of them have all kinds.
    let weekday = |year: i64| start_of(year).div_euclid(DAY_SECONDS).rem_euclid(7);
    let length = |year: i64| start_of(year + 1) - start_of(year);
    let alike = |other: &i64| weekday(*other) == weekday(year) && length(*other) == length(year);
    let other = (LAST_YEAR - 27..=LAST_YEAR).find(alike).unwrap_or(LAST_YEAR);
    at(seconds - start_of(year) + start_of(other))
}

/// The last year whose transitions the compiled time zone database has.
const LAST_YEAR: i64 = 2099;

/// The first second of a year.
fn start_of(year: i64) -> i64 {
    first_of_month(year * 12) * DAY_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_ends_where_it_is_said_to() {
        let berlin = zone_of("Europe/Berlin").unwrap();
        let july = |year: i64| DateTime::from_timestamp(start_of(year) + 190 * DAY_SECONDS, 0).unwrap().naive_utc();
        let hours = |year: i64| berlin.offset_from_utc_datetime(&july(year)).fix().local_minus_utc() / 3_600;
        assert_eq!((hours(LAST_YEAR), hours(LAST_YEAR + 1)), (2, 1));
    }

    #[test]
    fn zones_are_found() {
        for name in [
            "Europe/Berlin",
            "europe/berlin",
            "EUROPE/BERLIN",
            "utc",
            "Z",
            "UTC",
            "+02:00",
            "-0330",
            "+02",
            "CET",
            "est",
        ] {
            assert!(zone_of(name).is_some(), "{name}");
        }
        for name in ["", "Mars/Base", "+2", "+99:00", "02:00", "Europe/Berlin "] {
            assert!(zone_of(name).is_none(), "{name}");
        }
    }

    /// Every wall clock that an instant gives leads back to it, but for the first of two that look alike.
    #[test]
    fn there_and_back_again() {
        for name in
            ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "+05:45"]
        {
            let zone = zone_of(name).unwrap();
            for year in [1, 1600, 1893, 1916, 1945, 2011, 2024, 2099, 2100, 2500, 9999] {
                for quarter in 0..366 * 24 * 4 {
                    let instant = (start_of(year) + quarter * 900) * SECOND + 1;
                    let back = to_instant(to_wall(instant, zone).unwrap(), zone).unwrap();
                    let later = back > instant && to_wall(back, zone) == to_wall(instant, zone);
                    assert!(back == instant || later, "{name} {year} {quarter}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_overflow_and_do_not_wrap() {
        let east = zone_of("+14:00").unwrap();
        assert_eq!(to_wall(i64::MAX, east), None);
        assert_eq!(to_instant(i64::MIN, east), None);
        assert!(to_wall(i64::MIN, zone_of("Europe/Berlin").unwrap()).is_some());
    }
}
