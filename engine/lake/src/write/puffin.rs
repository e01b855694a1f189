//! A Puffin file of deletion vectors.
//!
//! ```text
//!   PFA1 │ blob │ blob │ ... │ PFA1 │ payload (JSON) │ its length (4, little-endian) │ flags (4) │ PFA1
//! ```
//!
//! Source: Iceberg's Puffin specification, "File structure" and "deletion-vector-v1".
//!
//! Not here: what a blob holds (`deletes::vector`), reading, which goes by the manifest alone.

use serde_json::json;

use crate::error::{LakeError, Result};

const MAGIC: &[u8; 4] = b"PFA1";
/// `_pos`, the field that a vector is about (Iceberg, "Reserved field ids").
const POSITION_FIELD_ID: i32 = 2_147_483_645;

/// A file that is being put together.
pub(super) struct Vectors {
    bytes: Vec<u8>,
    blobs: Vec<serde_json::Value>,
}

impl Default for Vectors {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec(), blobs: Vec::new() }
    }
}

impl Vectors {
    /// Adds the vector of a data file. Gives where it begins, and its length.
    pub(super) fn push(&mut self, data_file: &str, blob: &[u8], positions: u64) -> (i64, i64) {
        let place = (self.bytes.len(), blob.len());
        self.bytes.extend_from_slice(blob);
        self.blobs.push(json!({
            "type": "deletion-vector-v1",
            "fields": [POSITION_FIELD_ID],
            // Not known before the commit: the specification has -1.
            "snapshot-id": -1,
            "sequence-number": -1,
            "offset": place.0,
            "length": place.1,
            "properties": { "referenced-data-file": data_file, "cardinality": positions.to_string() },
        }));
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        (number(place.0), number(place.1))
    }

    /// The whole file.
    ///
    /// # Errors
    /// A footer of more than 2 GiB.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        let created_by = concat!("ingot ", env!("CARGO_PKG_VERSION"));
        let payload = json!({ "blobs": self.blobs, "properties": { "created-by": created_by } }).to_string();
        let length = i32::try_from(payload.len());
        let length = length.map_err(|_| LakeError::Corrupt("a file of too many deletion vectors".into()))?;
        self.bytes.extend_from_slice(MAGIC);
        self.bytes.extend_from_slice(payload.as_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(MAGIC);
        Ok(self.bytes)
    }
}
