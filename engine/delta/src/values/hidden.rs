//! Hidden columns: how values of any type are held in Iceberg's types, and the hash that finds a key's row.
//!
//! Invariants
//! * Decoding gives the encoded value bit by bit.
//! * Keys are equal exactly when GROUP BY puts them together: NULL with NULL, floats by their canonical value.
//!
//! Not here: hiding the columns from other engines (`lake::schema`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, UInt64Type};
use arrow::row::SortField;
use ingot_semantics::canonical_array;
use sha2::{Digest, Sha256};

use crate::error::{DeltaError, Result};
use crate::values::format::{converter, has_row_format};

/// Name of the key hash column.
pub(crate) const KEY: &str = "_ingot_key";
/// Bytes of a key hash.
pub(crate) const KEY_BYTES: i32 = 16;

/// The name of the `i`-th state column.
pub(crate) fn state_name(i: usize) -> String {
    format!("_ingot_s{i}")
}

/// How a type is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Same,
    /// By a cast that can be undone.
    Cast(DataType),
    /// 64 unsigned bits as signed ones.
    Bits,
    /// Arrow's row format, in bytes.
    Rows,
}

/// The coding of a type; None if it cannot be held.
pub(crate) fn coding(data_type: &DataType) -> Option<Coding> {
    use DataType::*;
    Some(match data_type {
        Boolean | Int32 | Int64 | Float32 | Float64 | Decimal128(..) | Utf8 | Binary | FixedSizeBinary(_) | Date32 => {
            Coding::Same
        }
        Time64(TimeUnit::Microsecond) | Timestamp(TimeUnit::Microsecond, None) => Coding::Same,
        Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => Coding::Same,
        Int8 | Int16 | UInt8 | UInt16 => Coding::Cast(Int32),
        UInt32 | Timestamp(..) | Time64(_) | Date64 | Duration(_) => Coding::Cast(Int64),
        Time32(_) => Coding::Cast(Int32),
        Utf8View | LargeUtf8 => Coding::Cast(Utf8),
        BinaryView | LargeBinary => Coding::Cast(Binary),
        UInt64 => Coding::Bits,
        Map(..) | Dictionary(..) | Union(..) | RunEndEncoded(..) => return None,
        other if has_row_format(other) => Coding::Rows,
        _ => return None,
    })
}

/// The type of a coded column.
pub(crate) fn coded_type(data_type: &DataType, coding: &Coding) -> DataType {
    match coding {
        Coding::Same => data_type.clone(),
        Coding::Cast(to) => to.clone(),
        Coding::Bits => DataType::Int64,
        Coding::Rows => DataType::Binary,
    }
}

/// Codes a column.
pub(crate) fn encode(column: &ArrayRef, coding: &Coding) -> Result<ArrayRef> {
    Ok(match coding {
        Coding::Same => Arc::clone(column),
        Coding::Cast(to) => cast(column, to)?,
        Coding::Bits => Arc::new(column.as_primitive::<UInt64Type>().unary::<_, Int64Type>(|v| v as i64)),
        Coding::Rows => {
            let rows = converter([column.data_type()])?.convert_columns(&[Arc::clone(column)])?;
            Arc::new(rows.iter().map(|r| Some(r.data().to_vec())).collect::<BinaryArray>())
        }
    })
}

/// Undoes `encode`.
pub(crate) fn decode(column: &ArrayRef, data_type: &DataType, coding: &Coding) -> Result<ArrayRef> {
    let coded = coded_type(data_type, coding);
    let column = if column.data_type() == &coded { Arc::clone(column) } else { cast(column, &coded)? };
    Ok(match coding {
        Coding::Same => column,
        Coding::Cast(_) => cast(&column, data_type)?,
        Coding::Bits => Arc::new(column.as_primitive::<Int64Type>().unary::<_, UInt64Type>(|v| v as u64)),
        Coding::Rows => {
            let converter = arrow::row::RowConverter::new(vec![SortField::new(data_type.clone())])?;
            let parser = converter.parser();
            let bytes = column.as_binary::<i32>();
            if bytes.null_count() > 0 {
                return Err(DeltaError::inconsistent("a row lacks its hidden state"));
            }
            let rows = (0..bytes.len()).map(|i| parser.parse(bytes.value(i)));
            Arc::clone(&converter.convert_rows(rows)?[0])
        }
    })
}

/// The 128-bit hash of each row of key columns: SHA-256 over each value's presence, length and bytes.
pub(crate) fn key_hashes(keys: &[ArrayRef], rows: usize) -> Result<Vec<[u8; 16]>> {
    let mut buffers: Vec<Vec<u8>> = vec![Vec::new(); rows];
    for column in keys {
        let coding = coding(column.data_type())
            .ok_or_else(|| DeltaError::Layout(format!("{} cannot be a key", column.data_type())))?;
        append_bytes(&mut buffers, &encode(&canonical_array(column)?, &coding)?)?;
    }
    Ok(buffers.iter().map(Sha256::digest).map(|d| std::array::from_fn(|i| d[i])).collect())
}

fn append_bytes(buffers: &mut [Vec<u8>], column: &ArrayRef) -> Result<()> {
    let data = column.to_data();
    for (i, buffer) in buffers.iter_mut().enumerate() {
        if column.is_null(i) {
            buffer.push(0);
            continue;
        }
        let bytes = match column.data_type() {
            DataType::Boolean if column.as_boolean().value(i) => &[1],
            DataType::Boolean => &[0][..],
            DataType::Utf8 => column.as_string::<i32>().value(i).as_bytes(),
            DataType::Binary => column.as_binary::<i32>().value(i),
            DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().value(i),
            other => {
                let width =
                    other.primitive_width().ok_or_else(|| DeltaError::Layout(format!("{other} cannot be a key")))?;
                let from = (data.offset() + i) * width;
                &data.buffers()[0].as_slice()[from..from + width]
            }
        };
        buffer.push(1);
        buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        buffer.extend_from_slice(bytes);
    }
    Ok(())
}

/// The `_ingot_key` column.
pub(crate) fn key_column(hashes: &[[u8; 16]]) -> Result<ArrayRef> {
    if hashes.is_empty() {
        return Ok(arrow::array::new_empty_array(&DataType::FixedSizeBinary(KEY_BYTES)));
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(hashes.iter())?))
}
