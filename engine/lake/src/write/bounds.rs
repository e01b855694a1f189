//! What a manifest says about a data file's columns: counts, and bounds that exclude no row.
//!
//! ```text
//!   Parquet footer (statistics per row group) ──▶ bounds per file ──▶ cut to 16, upper rounded up
//! ```
//!
//! Invariants
//! * Every value of a column that is neither NULL nor NaN lies within its bounds, if it has any.
//! * One row group with values and without statistics takes the column's bounds away.
//! * Hidden columns have counts, which show that the file holds them, and never bounds.
//!
//! Not here: using bounds (`prune`). Core's own Parquet writer passes over row groups whose statistics
//! are not exact, so its bounds may exclude rows; this module does not.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use iceberg::spec::{Datum, NestedField, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

/// Characters of a string, and bytes of a binary, that a bound keeps.
pub(crate) const BOUND_LENGTH_MAX: usize = 16;

/// What a manifest entry says about a file's columns, by field id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileMetrics {
    pub(crate) rows: u64,
    pub(crate) column_sizes: HashMap<i32, u64>,
    pub(crate) value_counts: HashMap<i32, u64>,
    pub(crate) null_value_counts: HashMap<i32, u64>,
    pub(crate) nan_value_counts: HashMap<i32, u64>,
    pub(crate) lower_bounds: HashMap<i32, Datum>,
    pub(crate) upper_bounds: HashMap<i32, Datum>,
    pub(crate) split_offsets: Vec<i64>,
}

/// Reads a file's metrics from its footer. `public` are the columns that may have bounds; `nans` were
/// counted while writing.
pub(crate) fn file_metrics(
    footer: &ParquetMetaData,
    public: &[NestedFieldRef],
    nans: HashMap<i32, u64>,
) -> FileMetrics {
    let mut types = HashMap::new();
    for field in public {
        bounded_types(field, &mut types);
    }
    let mut metrics = FileMetrics { nan_value_counts: nans, ..FileMetrics::default() };
    let mut without_nulls = HashSet::new();
    let mut unbounded = HashSet::new();
    for group in footer.row_groups() {
        metrics.rows += u64::try_from(group.num_rows()).unwrap_or(0);
        if let Some(first) = group.columns().first() {
            let (start, _) = first.byte_range();
            metrics.split_offsets.extend(i64::try_from(start));
        }
        for chunk in group.columns() {
            let info = chunk.column_descr().self_type().get_basic_info();
            if !info.has_id() {
                continue;
            }
            let id = info.id();
            let values = u64::try_from(chunk.num_values()).unwrap_or(0);
            let size = u64::try_from(chunk.compressed_size()).unwrap_or(0);
            *metrics.column_sizes.entry(id).or_default() += size;
            *metrics.value_counts.entry(id).or_default() += values;
            let statistics = chunk.statistics();
            let nulls = statistics.and_then(Statistics::null_count_opt);
            match nulls {
                Some(nulls) => *metrics.null_value_counts.entry(id).or_default() += nulls,
                None => {
                    without_nulls.insert(id);
                }
            }
            let Some(of) = types.get(&id).filter(|_| chunk.column_descr().max_rep_level() == 0) else {
                continue;
            };
            if nulls == Some(values) {
                continue;
            }
            let bounds = statistics.and_then(|s| Some((lower(of, s)?, upper(of, s)?)));
            let Some((low, high)) = bounds else {
                unbounded.insert(id);
                continue;
            };
            let place = metrics.lower_bounds.entry(id).or_insert_with(|| low.clone());
            if low < *place {
                *place = low;
            }
            let place = metrics.upper_bounds.entry(id).or_insert_with(|| high.clone());
            if high > *place {
                *place = high;
            }
        }
    }
    metrics.null_value_counts.retain(|id, _| !without_nulls.contains(id));
    metrics.lower_bounds.retain(|id, _| !unbounded.contains(id));
    metrics.upper_bounds.retain(|id, _| !unbounded.contains(id));
    cut(&mut metrics);
    metrics
}

/// Cuts long bounds, after all row groups were compared in full.
fn cut(metrics: &mut FileMetrics) {
    for bound in metrics.lower_bounds.values_mut() {
        *bound = match bound.literal() {
            PrimitiveLiteral::String(text) => Datum::string(cut_string(text)),
            PrimitiveLiteral::Binary(bytes) if bound.data_type() == &PrimitiveType::Binary => {
                Datum::binary(bytes.iter().take(BOUND_LENGTH_MAX).copied())
            }
            _ => continue,
        };
    }
    metrics.upper_bounds.retain(|_, bound| {
        let rounded = match bound.literal() {
            PrimitiveLiteral::String(text) => round_string_up(text).map(Datum::string),
            PrimitiveLiteral::Binary(bytes) if bound.data_type() == &PrimitiveType::Binary => {
                round_bytes_up(bytes).map(Datum::binary)
            }
            _ => return true,
        };
        match rounded {
            Some(rounded) => {
                *bound = rounded;
                true
            }
            None => false,
        }
    });
}

/// The columns that may have bounds: primitive ones, also within structs, with a sound order.
fn bounded_types(field: &NestedField, types: &mut HashMap<i32, PrimitiveType>) {
    match field.field_type.as_ref() {
        // Readers disagree on the order of UUIDs: older Java compares their halves as signed numbers.
        Type::Primitive(PrimitiveType::Uuid) => {}
        Type::Primitive(PrimitiveType::Fixed(width)) if *width > BOUND_LENGTH_MAX as u64 => {}
        Type::Primitive(of) => {
            types.insert(field.id, of.clone());
        }
        Type::Struct(of) => of.fields().iter().for_each(|f| bounded_types(f, types)),
        Type::List(_) | Type::Map(_) => {}
    }
}

/// The least value of a row group, or something below it.
fn lower(of: &PrimitiveType, statistics: &Statistics) -> Option<Datum> {
    bound(of, statistics, true)
}

/// The greatest value of a row group, or something above it.
fn upper(of: &PrimitiveType, statistics: &Statistics) -> Option<Datum> {
    bound(of, statistics, false)
}

fn bound(of: &PrimitiveType, statistics: &Statistics, low: bool) -> Option<Datum> {
    let bytes = if low { statistics.min_bytes_opt() } else { statistics.max_bytes_opt() }?;
    let datum = match (of, statistics) {
        (PrimitiveType::Decimal { .. }, _) => {
            let unscaled = match statistics {
                Statistics::Int32(_) => i128::from(i32::from_le_bytes(bytes.try_into().ok()?)),
                Statistics::Int64(_) => i128::from(i64::from_le_bytes(bytes.try_into().ok()?)),
                Statistics::FixedLenByteArray(_) | Statistics::ByteArray(_) => big_endian(bytes)?,
                _ => return None,
            };
            Datum::try_from_bytes(&unscaled.to_be_bytes(), of.clone()).ok()?
        }
        (PrimitiveType::String, Statistics::ByteArray(_)) => Datum::string(std::str::from_utf8(bytes).ok()?),
        (PrimitiveType::Binary, Statistics::ByteArray(_)) => Datum::binary(bytes.iter().copied()),
        (PrimitiveType::Fixed(width), Statistics::FixedLenByteArray(_)) => {
            if bytes.len() as u64 != *width {
                return None;
            }
            Datum::fixed(bytes.iter().copied())
        }
        (PrimitiveType::Boolean, Statistics::Boolean(_))
        | (PrimitiveType::Int | PrimitiveType::Date, Statistics::Int32(_))
        | (
            PrimitiveType::Long
            | PrimitiveType::Time
            | PrimitiveType::Timestamp
            | PrimitiveType::Timestamptz
            | PrimitiveType::TimestampNs
            | PrimitiveType::TimestamptzNs,
            Statistics::Int64(_),
        )
        | (PrimitiveType::Float, Statistics::Float(_))
        | (PrimitiveType::Double, Statistics::Double(_)) => {
            // Parquet and Iceberg write these alike.
            Datum::try_from_bytes(bytes, of.clone()).ok()?
        }
        _ => return None,
    };
    (!datum.is_nan()).then_some(datum)
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    let mut wide = if first & 0x80 == 0 { [0u8; 16] } else { [0xff; 16] };
    let start = 16usize.checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

fn cut_string(text: &str) -> &str {
    match text.char_indices().nth(BOUND_LENGTH_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// The least string of at most 16 characters that is not below `text`, if there is one.
pub(crate) fn round_string_up(text: &str) -> Option<String> {
    let short = cut_string(text);
    if short.len() == text.len() {
        return Some(text.to_string());
    }
    let mut chars: Vec<char> = short.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// The least bytes, at most 16, that are not below `bytes`, if there are any.
pub(crate) fn round_bytes_up(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() <= BOUND_LENGTH_MAX {
        return Some(bytes.to_vec());
    }
    let mut short = bytes[..BOUND_LENGTH_MAX].to_vec();
    while let Some(last) = short.pop() {
        if last < 0xff {
            short.push(last + 1);
            return Some(short);
        }
    }
    None
}

/// Adds the NaNs of a column to `counts`, its nested columns under structs too.
pub(crate) fn count_nans(field: &NestedField, array: &ArrayRef, counts: &mut HashMap<i32, u64>) {
    count_nans_under(field, array, None, counts);
}

fn count_nans_under(
    field: &NestedField,
    array: &ArrayRef,
    parent: Option<&NullBuffer>,
    counts: &mut HashMap<i32, u64>,
) {
    // A value below a NULL parent does not count.
    let valid = NullBuffer::union(parent, array.nulls());
    let is_valid = |row: usize| valid.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let count = match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            values.iter().enumerate().filter(|(row, v)| v.is_nan() && is_valid(*row)).count()
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            values.iter().enumerate().filter(|(row, v)| v.is_nan() && is_valid(*row)).count()
        }
        DataType::Struct(_) => {
            if let Type::Struct(of) = field.field_type.as_ref() {
                for (child, values) in of.fields().iter().zip(array.as_struct().columns()) {
                    count_nans_under(child, values, valid.as_ref(), counts);
                }
            }
            return;
        }
        _ => return,
    };
    *counts.entry(field.id).or_default() += count as u64;
}
