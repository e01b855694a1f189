//! How a table's data files are written, as its properties say.
//!
//! Invariants
//! * A property's value that is not known falls back to the default, with a warning.
//!
//! Not here: the properties' names and what they may be (`ingot_model::file_settings`).

use std::collections::HashMap;

use ingot_model::file_settings::{Codec, FileSettings};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use crate::error::Result;

/// A file is closed once it is this large, unless told.
const FILE_BYTES_MAX: usize = 128 << 20;
/// A row group is closed once it is this large, unless told.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
const ZSTD_LEVEL: i32 = 1;
/// Row groups of a file that is closed early.
const ROW_GROUPS_MIN: usize = 4;

/// How a table's data files are written.
pub(crate) struct FileWriting {
    /// A file is closed once it is this large.
    pub(crate) file_bytes_max: usize,
    settings: FileSettings,
}

impl FileWriting {
    pub(crate) fn of(properties: &HashMap<String, String>) -> Self {
        let settings = FileSettings::of(properties);
        for (property, value) in &settings.unknown {
            tracing::warn!(property, value, "this property's value is not known here: the default is taken");
        }
        Self { file_bytes_max: settings.file_bytes.unwrap_or(FILE_BYTES_MAX), settings }
    }

    /// Closes files at another size, and row groups so early that what is stored is known.
    pub(crate) fn close_at(&mut self, bytes: usize) {
        let group = (bytes / ROW_GROUPS_MIN).max(1);
        self.file_bytes_max = bytes;
        self.settings.row_group_bytes = Some(self.settings.row_group_bytes.map_or(group, |own| own.min(group)));
    }

    /// The settings of Parquet's writer.
    ///
    /// # Errors
    /// A compression level that zstd does not have; such values are not known.
    pub(crate) fn parquet(&self) -> Result<WriterPropertiesBuilder> {
        let FileSettings { codec, level, row_group_bytes, page_bytes, page_rows, dictionary_bytes, .. } = self.settings;
        let compression = match codec.unwrap_or(Codec::Zstd) {
            Codec::Zstd => Compression::ZSTD(ZstdLevel::try_new(level.unwrap_or(ZSTD_LEVEL))?),
            Codec::Snappy => Compression::SNAPPY,
            Codec::Uncompressed => Compression::UNCOMPRESSED,
        };
        let mut out = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_bytes(Some(row_group_bytes.unwrap_or(ROW_GROUP_BYTES_MAX)))
            .set_created_by(format!("ingot {}", env!("CARGO_PKG_VERSION")));
        if let Some(bytes) = page_bytes {
            out = out.set_data_page_size_limit(bytes);
        }
        if let Some(rows) = page_rows {
            out = out.set_data_page_row_count_limit(rows);
        }
        if let Some(bytes) = dictionary_bytes {
            out = out.set_dictionary_page_size_limit(bytes);
        }
        Ok(out)
    }
}
