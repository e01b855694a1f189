//! JSON values to cells of a declared type.
//!
//! Invariants
//! * Exact or refused: nothing is rounded, wrapped or cut, but for floats (nearest) and digits of times past the
//!   microsecond (floor).
//! * Without `coerce_lossless` a value's JSON type must match. An integer column then takes integer notation alone:
//!   1.5, 1.0 and 1e3 are of the wrong type. With it 1.0 and 1e3 are integers, 1.5 still is not.
//! * DECIMAL reads digits in any notation; digits past the scale must be zeros.
//!
//! Not here: finding values (`json`), NOT NULL and DEFAULT (`decode`).

use crate::decode::cell::{Cell, Scalar};
use crate::decode::column::Column;
use crate::decode::json::{JsonKind, Raw, is_number};
use crate::decode::options::{JsonOptions, TimestampFormat};
use crate::decode::time::{parse_date, parse_time, parse_timestamp};
use crate::decode::types::type_name;
use crate::error::SourceError;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ingot_dialect::ast::ColumnType;
use std::borrow::Cow;

pub(crate) const WRONG_TYPE: &str = "D0204";
pub(crate) const DOES_NOT_FIT: &str = "D0205";
pub(crate) const UNKNOWN_FIELD: &str = "D0208";
pub(crate) const NOT_A_TIME: &str = "D0209";
pub(crate) const NOT_BASE64: &str = "D0212";
pub(crate) const NOT_A_UUID: &str = "D0213";

/// Why a value does not become a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConvertError {
    pub code: &'static str,
    pub reason: String,
}

type Result<T> = std::result::Result<T, ConvertError>;

fn fail<T>(code: &'static str, reason: impl Into<String>) -> Result<T> {
    Err(ConvertError { code, reason: reason.into() })
}

/// Characters of a value shown in a reason; the payload is kept beside it.
const SHOWN_MAX: usize = 40;

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The common cases of `value` followed by `append`, without the steps between: true if it did both. Whatever is unusual,
/// wrong values among it, is left to them.
///
/// # Errors
/// A batch too large for its column.
pub(crate) fn plain(
    raw: Raw<'_>,
    t: &ColumnType,
    o: JsonOptions,
    column: &mut Column,
) -> std::result::Result<bool, SourceError> {
    match (raw.kind, t, column) {
        (JsonKind::Null, _, column) => column.append_null()?,
        (JsonKind::String { escaped: false }, ColumnType::String(_), Column::String(texts)) => {
            texts.push(raw.inside().as_bytes())?;
        }
        (JsonKind::Number, ColumnType::Double, Column::Float64(values)) => match raw.text.parse::<f64>() {
            Ok(v) if v.is_finite() => values.push(v),
            _ => return Ok(false),
        },
        (JsonKind::Number, ColumnType::BigInt, Column::Int64(values)) if !raw.text.contains(['.', 'e', 'E', '+']) => {
            match raw.text.parse() {
                Ok(v) => values.push(v),
                Err(_) => return Ok(false),
            }
        }
        (JsonKind::Number, ColumnType::Int, Column::Int32(values)) if !raw.text.contains(['.', 'e', 'E', '+']) => {
            match raw.text.parse() {
                Ok(v) => values.push(v),
                Err(_) => return Ok(false),
            }
        }
        (
            JsonKind::String { escaped: false },
            ColumnType::Timestamp(_) | ColumnType::TimestampTz(_),
            Column::Timestamp(values),
        ) if o.timestamp_format == TimestampFormat::Iso8601 => match parse_timestamp(raw.inside(), o.coerce_lossless) {
            Some(v) if INSTANTS.contains(&v) => values.push(v),
            _ => return Ok(false),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// A value of any kind; JSON's null is NULL in every type.
pub(crate) fn value<'a>(raw: Raw<'a>, t: &ColumnType, o: JsonOptions) -> Result<Cell<'a>> {
    if raw.kind == JsonKind::Null {
        return Ok(Cell::Null);
    }
    match t {
        ColumnType::Json => return Ok(Cell::String(Cow::Borrowed(raw.text))),
        ColumnType::List(element) => return list(raw, element, o),
        ColumnType::Struct(fields) => return structure(raw, fields, o),
        ColumnType::Map(key, item) => return map(raw, key, item, o),
        _ => {}
    }
    match raw.kind {
        JsonKind::Boolean(b) => scalar(Scalar::Boolean(b), t, o),
        JsonKind::Number => scalar(Scalar::Number(raw.text), t, o),
        JsonKind::String { .. } => scalar(Scalar::String(raw.string()), t, o),
        JsonKind::Null | JsonKind::Array | JsonKind::Object => wrong_type(kind_name(raw.kind), t),
    }
}

fn kind_name(kind: JsonKind) -> &'static str {
    match kind {
        JsonKind::Null => "null",
        JsonKind::Boolean(_) => "a boolean",
        JsonKind::Number => "a number",
        JsonKind::String { .. } => "a string",
        JsonKind::Array => "an array",
        JsonKind::Object => "an object",
    }
}

fn wrong_type<T>(found: &str, t: &ColumnType) -> Result<T> {
    fail(WRONG_TYPE, format!("found {found} where {} was declared", type_name(t)))
}

fn list<'a>(raw: Raw<'a>, element: &ColumnType, o: JsonOptions) -> Result<Cell<'a>> {
    if raw.kind != JsonKind::Array {
        return wrong_type(kind_name(raw.kind), &ColumnType::List(Box::new(element.clone())));
    }
    let mut cells = Vec::new();
    raw.elements(|item| {
        cells.push(value(item, element, o).map_err(|e| within(e, &format!("[{}]", cells.len())))?);
        Ok(())
    })?;
    Ok(Cell::List(cells))
}

fn structure<'a>(raw: Raw<'a>, fields: &[(String, ColumnType)], o: JsonOptions) -> Result<Cell<'a>> {
    if raw.kind != JsonKind::Object {
        return wrong_type(kind_name(raw.kind), &ColumnType::Struct(fields.to_vec()));
    }
    let mut found: Vec<Option<Raw<'a>>> = vec![None; fields.len()];
    raw.members(|key, item| {
        match fields.iter().zip(&mut found).find(|((name, _), _)| *name == *key) {
            Some((_, slot)) => *slot = Some(item),
            None if o.refuse_unknown_fields => {
                return fail(UNKNOWN_FIELD, format!("no field reads key \"{}\"", shown(&key)));
            }
            None => {}
        }
        Ok(())
    })?;
    let cells = fields.iter().zip(found).map(|((name, t), item)| match item {
        Some(item) => value(item, t, o).map_err(|e| within(e, &format!(".{name}"))),
        None => Ok(Cell::Null),
    });
    Ok(Cell::Struct(cells.collect::<Result<_>>()?))
}

fn map<'a>(raw: Raw<'a>, key_type: &ColumnType, item_type: &ColumnType, o: JsonOptions) -> Result<Cell<'a>> {
    if raw.kind != JsonKind::Object {
        let t = ColumnType::Map(Box::new(key_type.clone()), Box::new(item_type.clone()));
        return wrong_type(kind_name(raw.kind), &t);
    }
    // Keys are strings in JSON, whatever they mean.
    let key_options = JsonOptions { coerce_lossless: true, ..o };
    let mut entries: Vec<(Cell<'a>, Cell<'a>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    raw.members(|key, item| {
        let item = value(item, item_type, o).map_err(|e| within(e, "[...]"))?;
        let key = scalar(Scalar::String(key), key_type, key_options)?;
        // By what it means: of "1" and "1.0" as a number the last one counts.
        let place = *places.entry(format!("{key:?}")).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(entry) => entry.1 = item,
            None => entries.push((key, item)),
        }
        Ok(())
    })?;
    Ok(Cell::Map(entries))
}

/// Puts the place inside the value before the reason.
fn within(mut error: ConvertError, place: &str) -> ConvertError {
    let joint = if error.reason.starts_with(['.', '[']) { "" } else { ": " };
    error.reason.insert_str(0, &format!("{place}{joint}"));
    error
}

/// A scalar in a scalar type.
pub(crate) fn scalar<'a>(s: Scalar<'a>, t: &ColumnType, o: JsonOptions) -> Result<Cell<'a>> {
    match t {
        ColumnType::TinyInt => integer(&s, t, o, i8::MIN.into(), i8::MAX.into()).map(narrow),
        ColumnType::SmallInt => integer(&s, t, o, i16::MIN.into(), i16::MAX.into()).map(narrow),
        ColumnType::Int => integer(&s, t, o, i32::MIN.into(), i32::MAX.into()).map(narrow),
        ColumnType::BigInt => integer(&s, t, o, i64::MIN, i64::MAX).map(Cell::Int64),
        ColumnType::Real => {
            let parsed = digits(&s, t, o)?.parse::<f32>().ok().filter(|v| v.is_finite());
            parsed.map(Cell::Float32).map_or_else(|| out_of_range(&s, t), Ok)
        }
        ColumnType::Double => {
            let parsed = digits(&s, t, o)?.parse::<f64>().ok().filter(|v| v.is_finite());
            parsed.map(Cell::Float64).map_or_else(|| out_of_range(&s, t), Ok)
        }
        ColumnType::Decimal(precision, scale) => decimal(&s, t, o, *precision, *scale),
        ColumnType::Boolean => match &s {
            Scalar::Boolean(b) => Ok(Cell::Boolean(*b)),
            Scalar::String(text) if o.coerce_lossless && text == "true" => Ok(Cell::Boolean(true)),
            Scalar::String(text) if o.coerce_lossless && text == "false" => Ok(Cell::Boolean(false)),
            _ => wrong_scalar(&s, t),
        },
        ColumnType::String(_) => match s {
            Scalar::String(text) => Ok(Cell::String(text)),
            Scalar::Number(text) if o.coerce_lossless => Ok(Cell::String(Cow::Borrowed(text))),
            Scalar::Boolean(b) if o.coerce_lossless => {
                Ok(Cell::String(Cow::Borrowed(if b { "true" } else { "false" })))
            }
            s => wrong_scalar(&s, t),
        },
        ColumnType::Binary => {
            let bytes = BASE64.decode(text(&s, t)?).ok();
            bytes.map(|b| Cell::Bytes(Cow::Owned(b))).map_or_else(|| malformed(NOT_BASE64, &s, t, "base64"), Ok)
        }
        ColumnType::Uuid => uuid(text(&s, t)?, o.coerce_lossless)
            .map(|b| Cell::Bytes(Cow::Owned(b.to_vec())))
            .map_or_else(|| malformed(NOT_A_UUID, &s, t, "hexadecimal digits as 8-4-4-4-12"), Ok),
        ColumnType::Date => {
            parse_date(text(&s, t)?).map(Cell::Int32).map_or_else(|| malformed(NOT_A_TIME, &s, t, "YYYY-MM-DD"), Ok)
        }
        ColumnType::Time => {
            parse_time(text(&s, t)?).map(Cell::Int64).map_or_else(|| malformed(NOT_A_TIME, &s, t, "HH:MM:SS"), Ok)
        }
        ColumnType::Timestamp(_) | ColumnType::TimestampTz(_) => instant(&s, t, o),
        // As a DEFAULT alone; documents give their own text.
        ColumnType::Json => match s {
            Scalar::String(text) => Ok(Cell::String(text)),
            s => wrong_scalar(&s, t),
        },
        ColumnType::List(_) | ColumnType::Struct(_) | ColumnType::Map(..) => wrong_scalar(&s, t),
    }
}

fn narrow(v: i64) -> Cell<'static> {
    // The range was checked against a type of at most 32 bits.
    i32::try_from(v).map_or(Cell::Null, Cell::Int32)
}

fn wrong_scalar<T>(s: &Scalar<'_>, t: &ColumnType) -> Result<T> {
    wrong_type(kind_of(s), t)
}

fn kind_of(s: &Scalar<'_>) -> &'static str {
    match s {
        Scalar::Boolean(_) => "a boolean",
        Scalar::Number(_) => "a number",
        Scalar::String(_) => "a string",
    }
}

fn out_of_range<T>(s: &Scalar<'_>, t: &ColumnType) -> Result<T> {
    fail(DOES_NOT_FIT, format!("{} is out of range of {}", kind_of(s), type_name(t)))
}

fn malformed<T>(code: &'static str, s: &Scalar<'_>, t: &ColumnType, form: &str) -> Result<T> {
    fail(code, format!("{} is not a {}: {form} was expected", kind_of(s), type_name(t)))
}

fn text<'s>(s: &'s Scalar<'_>, t: &ColumnType) -> Result<&'s str> {
    match s {
        Scalar::String(text) => Ok(text),
        _ => wrong_scalar(s, t),
    }
}

/// The digits of a number, or of a string that holds one where that loses nothing.
fn digits<'s>(s: &'s Scalar<'_>, t: &ColumnType, o: JsonOptions) -> Result<&'s str> {
    match s {
        Scalar::Number(text) => Ok(text),
        Scalar::String(text) if o.coerce_lossless && is_number(text) => Ok(text),
        _ => wrong_scalar(s, t),
    }
}

fn integer(s: &Scalar<'_>, t: &ColumnType, o: JsonOptions, min: i64, max: i64) -> Result<i64> {
    let text = digits(s, t, o)?;
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let wide = if plain {
        // Only its range can be wrong.
        text.parse::<i64>().map_err(|_| ()).or_else(|()| out_of_range(s, t))?
    } else if o.coerce_lossless {
        match scaled(text, 0) {
            Ok(v) => i64::try_from(v).map_err(|_| ()).or_else(|()| out_of_range(s, t))?,
            Err(Unscaled::Overflow) => return out_of_range(s, t),
            Err(Unscaled::Inexact(_)) => return wrong_scalar(s, t),
        }
    } else {
        return wrong_scalar(s, t);
    };
    if (min..=max).contains(&wide) { Ok(wide) } else { out_of_range(s, t) }
}

fn decimal<'a>(s: &Scalar<'_>, t: &ColumnType, o: JsonOptions, precision: u8, scale: i8) -> Result<Cell<'a>> {
    let text = digits(s, t, o)?;
    let limit = 10i128.checked_pow(precision.into());
    match scaled(text, i64::from(scale)) {
        Ok(v) if limit.is_some_and(|l| v.unsigned_abs() < l.unsigned_abs()) => Ok(Cell::Decimal(v)),
        Ok(_) | Err(Unscaled::Overflow) => out_of_range(s, t),
        Err(Unscaled::Inexact(_)) => {
            fail(DOES_NOT_FIT, format!("a number has more digits than {} holds", type_name(t)))
        }
    }
}

/// Years 0 to 9999 in microseconds since 1970: what ISO 8601 writes and every reader of the tables takes.
const INSTANTS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

fn instant<'a>(s: &Scalar<'_>, t: &ColumnType, o: JsonOptions) -> Result<Cell<'a>> {
    let places = match o.timestamp_format {
        TimestampFormat::Iso8601 => {
            let Some(parsed) = parse_timestamp(text(s, t)?, o.coerce_lossless) else {
                return malformed(NOT_A_TIME, s, t, "ISO 8601 date and time");
            };
            return if INSTANTS.contains(&parsed) { Ok(Cell::Int64(parsed)) } else { out_of_range(s, t) };
        }
        TimestampFormat::EpochS => 6,
        TimestampFormat::EpochMs => 3,
        TimestampFormat::EpochUs => 0,
    };
    let micros = match scaled(digits(s, t, o)?, places) {
        Ok(v) | Err(Unscaled::Inexact(v)) => i64::try_from(v).ok(),
        Err(Unscaled::Overflow) => None,
    };
    micros.filter(|v| INSTANTS.contains(v)).map(Cell::Int64).map_or_else(|| out_of_range(s, t), Ok)
}

enum Unscaled {
    Overflow,
    /// The floor.
    Inexact(i128),
}

/// A JSON number times 10^`places`, exactly.
fn scaled(text: &str, places: i64) -> std::result::Result<i128, Unscaled> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        // An exponent beyond an i64 is as good as infinite.
        Some((m, e)) => (m, e.parse::<i64>().unwrap_or(if e.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 })),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let count = whole.len() + fraction.len();
    let shift = places
        .saturating_add(exponent.clamp(i64::MIN / 4, i64::MAX / 4))
        .saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX / 4));
    let dropped = usize::try_from(shift.saturating_neg()).unwrap_or(0).min(count);
    let kept = count - dropped;
    let mut value: i128 = 0;
    let mut exact = true;
    for (at, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = i128::from(byte.wrapping_sub(b'0'));
        if at >= kept {
            exact &= digit == 0;
        } else {
            value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(Unscaled::Overflow)?;
        }
    }
    if shift > 0 && value != 0 {
        let factor = u32::try_from(shift).ok().and_then(|s| 10i128.checked_pow(s)).ok_or(Unscaled::Overflow)?;
        value = value.checked_mul(factor).ok_or(Unscaled::Overflow)?;
    }
    let signed = if negative { -value } else { value };
    if exact { Ok(signed) } else { Err(Unscaled::Inexact(if negative { signed - 1 } else { signed })) }
}

/// `8-4-4-4-12` hexadecimal digits; without hyphens too where `bare` allows it.
fn uuid(text: &str, bare: bool) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    let bytes = text.as_bytes();
    let hyphenated = bytes.len() == 36 && hyphens.iter().all(|at| bytes.get(*at) == Some(&b'-'));
    if !(hyphenated || bare && bytes.len() == 32) {
        return None;
    }
    let mut out = [0; 16];
    let mut place = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if hyphenated && hyphens.contains(&at) {
            continue;
        }
        let nibble = u8::try_from(char::from(*byte).to_digit(16)?).ok()?;
        let slot = out.get_mut(place / 2)?;
        *slot = (*slot << 4) | nibble;
        place += 1;
    }
    (place == 32).then_some(out)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
