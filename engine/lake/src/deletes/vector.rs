//! Deletion vectors: positions of one data file as a bitmap, in a blob `deletion-vector-v1` of a Puffin file.
//!
//! ```text
//!   length (4, big-endian) │ D1 D3 39 64 │ 64-bit roaring bitmap, portable │ CRC-32 (4, big-endian)
//!                          └──────── length, and what the checksum is of ──┘
//! ```
//!
//! Invariants
//! * A blob that is not wholly as the specification has it is damaged: nothing of it is used.
//!
//! Source: Iceberg's Puffin specification, "deletion-vector-v1"; RoaringFormatSpec, "Extension for 64-bit implementations".
//!
//! Not here: where the blob lies, which the manifest says (`file`).

use roaring::RoaringTreemap;

use crate::error::{LakeError, Result};

const MAGIC: [u8; 4] = [0xd1, 0xd3, 0x39, 0x64];

/// The positions that a blob holds, which must be `cardinality` many.
///
/// # Errors
/// What is wrong with the blob.
pub(crate) fn parse(blob: &[u8], cardinality: u64) -> Result<RoaringTreemap, String> {
    let (length, rest) = blob.split_first_chunk::<4>().ok_or("it ends within its length")?;
    let (checked, sum) = rest.split_last_chunk::<4>().ok_or("it ends within its checksum")?;
    let length = u32::from_be_bytes(*length);
    if u32::try_from(checked.len()) != Ok(length) {
        return Err(format!("its length says {length} bytes, and it has {}", checked.len()));
    }
    let (magic, bitmap) = checked.split_first_chunk::<4>().ok_or("it ends within its magic")?;
    if *magic != MAGIC {
        return Err(format!("it begins with {magic:02x?}, not with {MAGIC:02x?}"));
    }
    let (sum, computed) = (u32::from_be_bytes(*sum), crc32fast::hash(checked));
    if sum != computed {
        return Err(format!("its checksum is {computed:08x}, and it says {sum:08x}"));
    }
    let mut left = bitmap;
    let positions = RoaringTreemap::deserialize_from(&mut left).map_err(|error| format!("its bitmap: {error}"))?;
    if !left.is_empty() {
        return Err(format!("{} bytes follow its bitmap", left.len()));
    }
    if positions.len() != cardinality {
        return Err(format!("it holds {} positions, and its manifest says {cardinality}", positions.len()));
    }
    Ok(positions)
}

/// The blob of some positions: what [`parse`] reads.
///
/// # Errors
/// More than 2 GiB of them.
pub(crate) fn blob(positions: &RoaringTreemap) -> Result<Vec<u8>> {
    let mut checked = MAGIC.to_vec();
    positions
        .serialize_into(&mut checked)
        .map_err(|error| LakeError::Corrupt(format!("a deletion vector: {error}")))?;
    let length = u32::try_from(checked.len()).ok().filter(|length| i32::try_from(*length).is_ok());
    let length = length.ok_or_else(|| LakeError::Corrupt("a deletion vector of more than 2 GiB".into()))?;
    let sum = crc32fast::hash(&checked);
    Ok([length.to_be_bytes().as_slice(), &checked, &sum.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bitmap of 1, 2 and 70,000, and of 2^32 + 5, byte by byte from the specification.
    fn bitmap() -> Vec<u8> {
        let mut bytes = 2_u64.to_le_bytes().to_vec();
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(12_346_u32.to_le_bytes());
        bytes.extend(2_u32.to_le_bytes());
        for (key, cardinality) in [(0_u16, 2_u16), (1, 1)] {
            bytes.extend(key.to_le_bytes());
            bytes.extend((cardinality - 1).to_le_bytes());
        }
        bytes.extend(24_u32.to_le_bytes());
        bytes.extend(28_u32.to_le_bytes());
        for low in [1_u16, 2, 4_464] {
            bytes.extend(low.to_le_bytes());
        }
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(12_346_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([0_u16, 0].iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(16_u32.to_le_bytes());
        bytes.extend(5_u16.to_le_bytes());
        bytes
    }

    /// The remainder of the polynomial 0xEDB88320, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    }

    fn framed(bitmap: &[u8]) -> Vec<u8> {
        let checked: Vec<u8> = MAGIC.iter().chain(bitmap).copied().collect();
        let mut blob = u32::try_from(checked.len()).unwrap().to_be_bytes().to_vec();
        blob.extend(&checked);
        blob.extend(crc(&checked).to_be_bytes());
        blob
    }

    #[test]
    fn a_blob_of_the_specification_is_read() {
        let positions = parse(&framed(&bitmap()), 4).unwrap();
        assert_eq!(positions.iter().collect::<Vec<_>>(), [1, 2, 70_000, (1 << 32) + 5]);
        let empty = 0_u64.to_le_bytes();
        assert!(parse(&framed(&empty), 0).unwrap().is_empty());
        // What is written is the same, byte by byte.
        assert_eq!(blob(&[1, 2, 70_000, (1 << 32) + 5].into_iter().collect()).unwrap(), framed(&bitmap()));
    }

    #[test]
    fn a_damaged_blob_is_an_error_wherever_it_is_damaged() {
        let whole = framed(&bitmap());
        for at in 0..whole.len() {
            for bit in [1, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                assert!(parse(&damaged, 4).is_err(), "byte {at}");
            }
            assert!(parse(&whole[..at], 4).is_err(), "{at} bytes");
        }
        let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
        assert!(parse(&longer, 4).is_err());
        assert!(parse(&whole, 3).unwrap_err().contains("holds 4 positions"));
        let follows: Vec<u8> = bitmap().into_iter().chain([0]).collect();
        assert!(parse(&framed(&follows), 4).unwrap_err().contains("follow"));
        // A count that nothing follows, in a frame that is right.
        assert!(parse(&framed(&u64::MAX.to_le_bytes()), 4).is_err());
    }
}
