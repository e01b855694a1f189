//! Iceberg's partition transforms over Arrow columns, for every value that the types hold.
//!
//! ```text
//!   column ──transformed()──▶ partition values, one a row ──literal()──▶ one value of a manifest
//! ```
//!
//! Invariants
//! * NULL gives NULL, and nothing else does.
//! * A value whose partition value its type does not hold (truncate below the smallest integer, hours that 32 bits do
//!   not count) is refused with its column's name: a wrapped one would let readers skip the row.
//! * Hashes are those of the specification's appendix B: integers and times as 64 bits, decimals as the fewest bytes.
//!
//! Not here: dates and instants (`temporal`), splitting rows (`partition`), what a value says of its column (`prune`).

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, Int32Array, PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use iceberg::spec::{Literal, PrimitiveLiteral, PrimitiveType, Transform};

use crate::error::{LakeError, Result};
use crate::table::temporal;

/// The partition values of a column; `name` is the column's.
///
/// # Errors
/// A type that the transform does not take, or a value that has no partition value.
pub(crate) fn transformed(name: &str, transform: &Transform, column: &ArrayRef) -> Result<ArrayRef> {
    let values = match transform {
        Transform::Identity => Some(Arc::clone(column)),
        Transform::Bucket(buckets) => bucketed(*buckets, column),
        Transform::Truncate(width) => truncated(name, *width, column)?,
        _ => temporal::partition_values(name, transform, column)?,
    };
    values.ok_or_else(|| {
        LakeError::Unsupported(format!("partitioning column \"{name}\" of type {} by {transform}", column.data_type()))
    })
}

/// Row `row` of a column of partition values, as manifests hold it.
///
/// # Errors
/// A type that cannot be a partition value.
pub(crate) fn literal(values: &ArrayRef, row: usize, of: &PrimitiveType) -> Result<Option<Literal>> {
    use PrimitiveLiteral as L;
    if values.is_null(row) {
        return Ok(None);
    }
    let literal = match values.data_type() {
        DataType::Boolean => L::Boolean(values.as_boolean().value(row)),
        DataType::Int32 => L::Int(values.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => L::Long(values.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => L::Float(values.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => L::Double(values.as_primitive::<Float64Type>().value(row).into()),
        DataType::Decimal128(..) => L::Int128(values.as_primitive::<Decimal128Type>().value(row)),
        DataType::Date32 => L::Int(values.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => L::Long(values.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            L::Long(values.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            L::Long(values.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Utf8 => L::String(values.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => L::Binary(values.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => {
            let bytes = values.as_fixed_size_binary().value(row);
            match (of, <[u8; 16]>::try_from(bytes)) {
                (PrimitiveType::Uuid, Ok(bytes)) => L::UInt128(u128::from_be_bytes(bytes)),
                _ => L::Binary(bytes.to_vec()),
            }
        }
        other => return Err(LakeError::Unsupported(format!("{other} as a partition value"))),
    };
    Ok(Some(Literal::Primitive(literal)))
}

/// Hash of the value, modulo; `None` for a type that is not hashed.
pub(crate) fn bucketed(buckets: u32, column: &ArrayRef) -> Option<ArrayRef> {
    let bucket = |hash: u32| i32::try_from((hash & 0x7fff_ffff).checked_rem(buckets)?).ok();
    let long = |value: i64| bucket(murmur3(&value.to_le_bytes()));
    fn of<T: ArrowPrimitiveType>(column: &ArrayRef, hash: impl Fn(T::Native) -> Option<i32>) -> Int32Array {
        column.as_primitive::<T>().iter().map(|v| v.and_then(&hash)).collect()
    }
    let values: Int32Array = match column.data_type() {
        DataType::Int32 => of::<Int32Type>(column, |v| long(v.into())),
        DataType::Int64 => of::<Int64Type>(column, long),
        DataType::Date32 => of::<Date32Type>(column, |v| long(v.into())),
        DataType::Time64(TimeUnit::Microsecond) => of::<Time64MicrosecondType>(column, long),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(column, long),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of::<TimestampNanosecondType>(column, |v| long(v.div_euclid(1_000)))
        }
        DataType::Decimal128(..) => of::<Decimal128Type>(column, |v| {
            let bytes = v.to_be_bytes();
            bucket(murmur3(shortest(&bytes)))
        }),
        DataType::Utf8 => {
            column.as_string::<i32>().iter().map(|v| v.and_then(|v| bucket(murmur3(v.as_bytes())))).collect()
        }
        DataType::Binary => column.as_binary::<i32>().iter().map(|v| v.and_then(|v| bucket(murmur3(v)))).collect(),
        DataType::FixedSizeBinary(_) => {
            column.as_fixed_size_binary().iter().map(|v| v.and_then(|v| bucket(murmur3(v)))).collect()
        }
        _ => return None,
    };
    Some(Arc::new(values))
}

/// The fewest bytes of a big-endian two's complement number, one at least.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest
        && let Some(next) = tail.first()
        && (*first == 0 && next & 0x80 == 0 || *first == 0xff && next & 0x80 != 0)
    {
        rest = tail;
    }
    rest
}

/// MurmurHash3, x86 variant of 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        hash ^= scramble(u32::from_le_bytes(*word));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        hash ^= scramble(word);
    }
    // The algorithm counts bytes in 32 bits.
    #[allow(clippy::cast_possible_truncation)]
    let length = bytes.len() as u32;
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The value cut to a width; `None` for a type that is not cut.
fn truncated(name: &str, width: u32, column: &ArrayRef) -> Result<Option<ArrayRef>> {
    let length = usize::try_from(width).unwrap_or(usize::MAX);
    Ok(Some(match column.data_type() {
        DataType::Int32 => Arc::new(floored::<Int32Type>(name, width, column, |v| i32::try_from(v).ok())?),
        DataType::Int64 => Arc::new(floored::<Int64Type>(name, width, column, |v| i64::try_from(v).ok())?),
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
            let holds = |v: i128| (v > -limit).then_some(v);
            let values = floored::<Decimal128Type>(name, width, column, holds)?;
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8 => {
            let cut = |v: &str| v.char_indices().nth(length).map_or(v.len(), |(end, _)| end);
            let column = column.as_string::<i32>();
            Arc::new(column.iter().map(|v| v.map(|v| v.get(..cut(v)).unwrap_or(v))).collect::<StringArray>())
        }
        DataType::Binary => {
            let column = column.as_binary::<i32>();
            Arc::new(column.iter().map(|v| v.map(|v| v.get(..length).unwrap_or(v))).collect::<BinaryArray>())
        }
        _ => return Ok(None),
    }))
}

/// The largest multiple of `width` at or below each value; `holds` says whether the type has it.
fn floored<T: ArrowPrimitiveType>(
    name: &str,
    width: u32,
    column: &ArrayRef,
    holds: impl Fn(i128) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>>
where
    T::Native: Copy + Display + Into<i128>,
{
    column.as_primitive::<T>().try_unary(|value| {
        let wide: i128 = value.into();
        let rest = wide.checked_rem_euclid(i128::from(width));
        let floor = rest.and_then(|rest| wide.checked_sub(rest));
        floor.and_then(&holds).ok_or_else(|| LakeError::Value {
            column: name.to_owned(),
            reason: format!(
                "a value has no partition: the multiple of {width} below it is less than the smallest {}",
                column.data_type()
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Decimal128Array, FixedSizeBinaryArray, Int64Array, Time64MicrosecondArray,
        TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use proptest::prelude::*;

    use super::*;

    /// Of the specification, appendix B: "32-bit hash requirements".
    #[test]
    fn hashes_are_those_of_the_specification() {
        let int = |v: i32| murmur3(&i64::from(v).to_le_bytes()).cast_signed();
        let decimal = |v: i128| murmur3(shortest(&v.to_be_bytes())).cast_signed();
        assert_eq!(int(34), 2_017_239_379);
        assert_eq!(decimal(1_420), -500_754_589); // 14.20
        assert_eq!(int(17_486), -653_330_422); // 2017-11-16
        assert_eq!(murmur3(&81_068_000_000_i64.to_le_bytes()).cast_signed(), -662_762_989); // 22:31:08
        assert_eq!(murmur3(&1_510_871_468_000_000_i64.to_le_bytes()).cast_signed(), -2_047_944_441);
        assert_eq!(murmur3(&1_510_871_468_000_001_i64.to_le_bytes()).cast_signed(), -1_207_196_810);
        assert_eq!(murmur3("iceberg".as_bytes()).cast_signed(), 1_210_000_089);
        let uuid = uuid::Uuid::parse_str("f79c3e09-677c-4bbd-a479-3f349cb785e7").unwrap();
        assert_eq!(murmur3(uuid.as_bytes()).cast_signed(), 1_488_055_340);
        assert_eq!(murmur3(&[0, 1, 2, 3]).cast_signed(), -188_683_207);
    }

    fn buckets(column: impl Array + 'static) -> Vec<Option<i32>> {
        let column: ArrayRef = Arc::new(column);
        bucketed(i32::MAX.cast_unsigned(), &column).unwrap().as_primitive::<Int32Type>().iter().collect()
    }

    fn of_hash(hash: i32) -> Option<i32> {
        Some((hash & i32::MAX) % i32::MAX)
    }

    #[test]
    fn every_hashed_type_has_its_bucket() {
        let decimals = Decimal128Array::from(vec![Some(1_420), None]).with_precision_and_scale(9, 2).unwrap();
        assert_eq!(buckets(decimals), [of_hash(-500_754_589), None]);
        assert_eq!(buckets(Int32Array::from(vec![34])), [of_hash(2_017_239_379)]);
        assert_eq!(buckets(Int64Array::from(vec![34])), [of_hash(2_017_239_379)]);
        assert_eq!(buckets(Date32Array::from(vec![17_486])), [of_hash(-653_330_422)]);
        assert_eq!(buckets(Time64MicrosecondArray::from(vec![81_068_000_000])), [of_hash(-662_762_989)]);
        let instants = vec![1_510_871_468_000_001];
        assert_eq!(buckets(TimestampMicrosecondArray::from(instants)), [of_hash(-1_207_196_810)]);
        let nanos = TimestampNanosecondArray::from(vec![1_510_871_468_000_001_001, -1]);
        let before = murmur3(&(-1_i64).to_le_bytes()).cast_signed();
        assert_eq!(buckets(nanos), [of_hash(-1_207_196_810), of_hash(before)]);
        assert_eq!(buckets(StringArray::from(vec![Some("iceberg"), None])), [of_hash(1_210_000_089), None]);
        let bytes: &[u8] = &[0, 1, 2, 3];
        assert_eq!(buckets(BinaryArray::from(vec![bytes])), [of_hash(-188_683_207)]);
        let fixed = FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap();
        assert_eq!(buckets(fixed), [of_hash(-188_683_207)]);
    }

    #[test]
    fn the_shortest_bytes_keep_the_sign() {
        for (value, bytes) in [
            (0_i128, &[0_u8][..]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (i128::MAX, &i128::MAX.to_be_bytes()),
            (i128::MIN, &i128::MIN.to_be_bytes()),
        ] {
            assert_eq!(shortest(&value.to_be_bytes()), bytes, "{value}");
        }
    }

    fn cut(width: u32, column: ArrayRef) -> Result<ArrayRef> {
        transformed("c", &Transform::Truncate(width), &column)
    }

    #[test]
    fn text_is_cut_at_characters_and_bytes_at_bytes() {
        let texts = StringArray::from(vec![Some("iceberg"), Some("日本語"), Some(""), None, Some("a\u{10348}b")]);
        let cut_texts = cut(2, Arc::new(texts)).unwrap();
        let expected = StringArray::from(vec![Some("ic"), Some("日本"), Some(""), None, Some("a\u{10348}")]);
        assert_eq!(cut_texts.as_string::<i32>(), &expected);
        let bytes: Vec<Option<&[u8]>> = vec![Some(&[1, 2, 3]), Some(&[1]), None];
        let cut_bytes = cut(2, Arc::new(BinaryArray::from(bytes))).unwrap();
        let expected: Vec<Option<&[u8]>> = vec![Some(&[1, 2]), Some(&[1]), None];
        assert_eq!(cut_bytes.as_binary::<i32>(), &BinaryArray::from(expected));
    }

    /// Of the specification: W=10 takes 1 to 0 and -1 to -10; W=50 (of cents) takes 10.65 to 10.50.
    #[test]
    fn numbers_are_cut_downwards() {
        let ints = cut(10, Arc::new(Int32Array::from(vec![Some(1), Some(-1), None, Some(i32::MAX)]))).unwrap();
        assert_eq!(
            ints.as_primitive::<Int32Type>(),
            &Int32Array::from(vec![Some(0), Some(-10), None, Some(2_147_483_640)])
        );
        let longs = cut(10, Arc::new(Int64Array::from(vec![1, -1]))).unwrap();
        assert_eq!(longs.as_primitive::<Int64Type>(), &Int64Array::from(vec![0, -10]));
        let of = |v| Decimal128Array::from(vec![v]).with_precision_and_scale(9, 2).unwrap();
        let decimals = cut(50, Arc::new(of(1_065))).unwrap();
        assert_eq!(decimals.as_primitive::<Decimal128Type>(), &of(1_050));
    }

    #[test]
    fn a_value_below_every_multiple_is_refused_by_name() {
        let decimal =
            |v, p| -> ArrayRef { Arc::new(Decimal128Array::from(vec![v]).with_precision_and_scale(p, 2).unwrap()) };
        let columns: [(u32, ArrayRef); 5] = [
            (10, Arc::new(Int32Array::from(vec![i32::MIN]))),
            (i32::MAX.cast_unsigned(), Arc::new(Int32Array::from(vec![-1_000_000_000, i32::MIN]))),
            (10, Arc::new(Int64Array::from(vec![i64::MIN + 7]))),
            (10, decimal(-999, 3)),
            (10, decimal(-(10_i128.pow(38) - 1), 38)),
        ];
        for (width, column) in columns {
            let refused = cut(width, Arc::clone(&column)).unwrap_err().to_string();
            assert!(refused.contains("column \"c\"") && refused.contains("has no partition"), "{refused}");
        }
        // At a multiple there is no rest.
        let lowest = cut(8, Arc::new(Int32Array::from(vec![i32::MIN]))).unwrap();
        assert_eq!(lowest.as_primitive::<Int32Type>().value(0), i32::MIN);
        let lowest = cut(8, Arc::new(Int64Array::from(vec![i64::MIN]))).unwrap();
        assert_eq!(lowest.as_primitive::<Int64Type>().value(0), i64::MIN);
    }

    /// Counts down to the next multiple, which needs no remainder of a negative number.
    fn evaluated(value: i128, width: u32) -> i128 {
        let width = i128::from(width);
        let up = value / width * width;
        if up > value { up - width } else { up }
    }

    fn near_ends(min: i64, max: i64) -> impl Strategy<Value = i64> {
        prop_oneof![
            min..=max,
            (0..1_000_i64).prop_map(move |n| min + n),
            (0..1_000_i64).prop_map(move |n| max - n),
            -1_000..1_000_i64
        ]
    }

    fn widths() -> impl Strategy<Value = u32> {
        prop_oneof![1..100_u32, 1..=i32::MAX.cast_unsigned()]
    }

    proptest! {
        #[test]
        fn ints_agree_with_wide_numbers(value in near_ends(i32::MIN.into(), i32::MAX.into()), width in widths()) {
            let value = i32::try_from(value).unwrap();
            let found = cut(width, Arc::new(Int32Array::from(vec![value]))).ok();
            let found = found.map(|v| i128::from(v.as_primitive::<Int32Type>().value(0)));
            let expected = evaluated(value.into(), width);
            prop_assert_eq!(found, (expected >= i32::MIN.into()).then_some(expected));
        }

        #[test]
        fn longs_agree_with_wide_numbers(value in near_ends(i64::MIN, i64::MAX), width in widths()) {
            let found = cut(width, Arc::new(Int64Array::from(vec![value]))).ok();
            let found = found.map(|v| i128::from(v.as_primitive::<Int64Type>().value(0)));
            let expected = evaluated(value.into(), width);
            prop_assert_eq!(found, (expected >= i64::MIN.into()).then_some(expected));
        }

        #[test]
        fn decimals_agree_with_wide_numbers(digits in 1..=38_u8, part in -1.0..=1.0_f64, off in 0..50_i128, width in widths()) {
            let limit = 10_i128.pow(digits.into()) - 1;
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            let value = ((part * limit as f64) as i128).clamp(-limit + off.min(limit), limit);
            let column = Decimal128Array::from(vec![value]).with_precision_and_scale(digits, 0).unwrap();
            let found = cut(width, Arc::new(column)).ok().map(|v| v.as_primitive::<Decimal128Type>().value(0));
            let expected = evaluated(value, width);
            prop_assert_eq!(found, (expected >= -limit).then_some(expected));
        }
    }
}
