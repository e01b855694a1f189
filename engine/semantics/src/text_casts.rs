//! What a text says of a DECIMAL, a UUID and of anything with blanks around it.
//!
//!   ' 12 ', '+1.5', '.5', '1e2'              DECIMAL, rounded half up, as in Spark and DuckDB
//!   'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'   UUID in PostgreSQL's forms: either case, hyphens after any two bytes, braces
//!
//! Invariants
//! * A text that is none is no value (`None`); nothing is guessed.
//! * The text of a UUID has lower case and four hyphens.
//!
//! Not here: when a cast is one of these (`narrow`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, FixedSizeBinaryBuilder, StringArray};
use arrow::datatypes::{DataType, i256};
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_err};

use crate::decimal::{Shape, rescale};

/// Whether the type holds text.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// UUID, as it is stored.
pub(crate) const UUID: DataType = DataType::FixedSizeBinary(16);

/// Texts as values of DECIMAL or UUID; None for other types, which Arrow reads.
///
/// # Errors
/// A cast error where a text does not denote such a value, unless `attempt` makes it NULL.
pub(crate) fn read(texts: &ArrayRef, to: &DataType, attempt: bool) -> Result<Option<ArrayRef>> {
    if !matches!(to, DataType::Decimal128(..)) && *to != UUID {
        return Ok(None);
    }
    let texts = arrow::compute::cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let refuse = || ArrowError::CastError("a text is no value of the type".into());
    Ok(Some(match to {
        DataType::Decimal128(p, s) => {
            let shape = Shape::new(*p, *s);
            let of = |text: Option<&str>| match text.map(|t| decimal(t, shape)) {
                Some(None) if !attempt => Err(refuse()),
                value => Ok(value.flatten()),
            };
            let values = texts.iter().map(of).collect::<Result<Decimal128Array, _>>()?;
            Arc::new(values.with_precision_and_scale(*p, *s)?)
        }
        _ => {
            let mut values = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
            for text in texts {
                match text.map(uuid) {
                    Some(Some(bytes)) => values.append_value(bytes)?,
                    Some(None) if !attempt => return Err(refuse().into()),
                    _ => values.append_null(),
                }
            }
            Arc::new(values.finish())
        }
    }))
}

/// The texts without blanks at their ends.
pub(crate) fn trimmed(texts: &ArrayRef) -> Result<ArrayRef> {
    let plain = arrow::compute::cast(texts, &DataType::Utf8)?;
    let values = plain.as_string::<i32>();
    let blank = |t: &str| t.len() != t.trim_matches(is_blank).len();
    if !values.iter().flatten().any(blank) {
        return Ok(Arc::clone(texts));
    }
    Ok(Arc::new(values.iter().map(|t| t.map(|t| t.trim_matches(is_blank))).collect::<StringArray>()))
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// Digits after the point that a text may have, zeros of its exponent included.
const DIGITS_MAX: i64 = 76;

/// The integer of a decimal that a text stands for, rounded half up.
fn decimal(text: &str, shape: Shape) -> Option<i128> {
    let text = text.trim_matches(is_blank);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => {
            let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // An exponent beyond every number.
            (digits, exponent.parse().unwrap_or(if exponent.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 }))
        }
        None => (text, 0i64),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let all: String = whole.chars().chain(fraction.chars()).collect();
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The value is `significant` * 10^-scale.
    let mut scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let mut significant = significant.to_owned();
    let length = |s: &str| i64::try_from(s.len()).unwrap_or(i64::MAX);
    if length(&significant) - scale > 39 {
        return None;
    }
    // Digits that decide nothing: the place, one more, and whether any other is there.
    let wanted = i64::from(shape.scale);
    if scale > wanted + 1 {
        let cut = scale - wanted - 1;
        if cut >= length(&significant) {
            return Some(0);
        }
        significant.truncate(usize::try_from(length(&significant) - cut).ok()?);
        scale -= cut;
    }
    if scale.abs() > DIGITS_MAX || significant.len() > 76 {
        return None;
    }
    let value = i256::from_string(&significant)?;
    let value = rescale(value, i8::try_from(scale).ok()?, shape.scale)?.to_i128()?;
    Some(if negative { -value } else { value }).filter(|v| shape.holds(*v))
}

/// The bytes that a text stands for.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.trim_matches(is_blank);
    let text = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}')?,
        None => text,
    };
    let mut rest = text.bytes().peekable();
    let mut bytes = [0u8; 16];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        *byte = digit()? << 4 | digit()?;
        if i % 2 == 1 && i < 15 && rest.peek() == Some(&b'-') {
            rest.next();
        }
    }
    rest.next().is_none().then_some(bytes)
}

/// Text as UUIDs.
///
/// # Errors
/// Text that is no UUID, and an array that holds no text.
pub fn uuids_of_text(array: &ArrayRef) -> Result<ArrayRef> {
    match read(array, &UUID, false)? {
        Some(read) => Ok(read),
        None => exec_err!("{} is no text", array.data_type()),
    }
}

/// UUIDs as text.
///
/// # Errors
/// When the array does not hold UUIDs.
pub fn uuids_as_text(array: &ArrayRef) -> Result<ArrayRef> {
    if *array.data_type() != UUID {
        return exec_err!("{} is no UUID", array.data_type());
    }
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
        }
        text
    };
    Ok(Arc::new(array.as_fixed_size_binary().iter().map(|v| v.map(text)).collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_as_spark_reads_them() {
        // (10, 2); DuckDB and Spark agree on each that both accept.
        let read = |text: &str| decimal(text, Shape::new(10, 2));
        for (text, value) in [
            (" 12 ", 1200),
            ("1e2", 10000),
            ("1E+2", 10000),
            ("1.5e-1", 15),
            ("1e-5", 0),
            ("5e-3", 1),
            ("-5e-3", -1),
            ("4.999999999999999999999999999999999999999999999999999999999999999999999999999999999e-3", 0),
            ("+1.5", 150),
            (".5", 50),
            ("5.", 500),
            ("-.5", -50),
            ("1.005", 101),
            ("0e999999999999999999999", 0),
            ("1e-999999999999999999999", 0),
            ("00000000000000000000000000000000000000000000000000000000000000000000000000000001", 100),
            ("99999999.99", 9999999999),
        ] {
            assert_eq!(read(text), Some(value), "{text}");
        }
        for text in [
            "",
            " ",
            ".",
            "-",
            "1e",
            "e1",
            "1e+",
            "1 2",
            "0x1",
            "NaN",
            "1_000",
            "--1",
            "1e5.0",
            "99999999.995",
            "1e8",
            "1e99999999999999999999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let most = Shape::new(38, 0);
        assert_eq!(decimal("99999999999999999999999999999999999999", most), Some(10i128.pow(38) - 1));
        assert_eq!(decimal("99999999999999999999999999999999999999.5", most), None);
        assert_eq!(decimal("1e37", most), Some(10i128.pow(37)));
        assert_eq!(decimal("0.5e-37", Shape::new(38, 38)), Some(5));
    }

    #[test]
    fn uuids_are_read_as_postgresql_reads_them() {
        let wanted = Some(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11_u128.to_be_bytes());
        for text in [
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
            " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ",
        ] {
            assert_eq!(uuid(text), wanted, "{text}");
        }
        for text in [
            "",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0e-ebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(uuid(text), None, "{text}");
        }
    }
}
