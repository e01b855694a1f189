//! Table properties: what is known, what it may be, and what files are written by it.
//!
//! Invariants
//! * A property under one of Iceberg's own prefixes is known and honoured, or a definition with it is refused.
//! * What another engine set on a table is honoured where it is known; a value that is not falls back to the default.
//!
//! Not here: properties of our own (`ingot_model::property`), which nobody declares.

use std::collections::HashMap;
use std::str::FromStr;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use crate::error::Result;

const FILE_BYTES: &str = "write.target-file-size-bytes";
const ROW_GROUP_BYTES: &str = "write.parquet.row-group-size-bytes";
const PAGE_BYTES: &str = "write.parquet.page-size-bytes";
const PAGE_ROWS: &str = "write.parquet.page-row-limit";
const DICTIONARY_BYTES: &str = "write.parquet.dict-size-bytes";
const CODEC: &str = "write.parquet.compression-codec";
const LEVEL: &str = "write.parquet.compression-level";
const DELETE_OLD: &str = "write.metadata.delete-after-commit.enabled";
const VERSIONS_MAX: &str = "write.metadata.previous-versions-max";
const METADATA_CODEC: &str = "write.metadata.compression-codec";
const FORMAT: &str = "write.format.default";
const FORMAT_VERSION: &str = "format-version";

/// Properties that a definition may set, in the order in which they are listed.
pub const KNOWN: &[&str] = &[
    FILE_BYTES,
    CODEC,
    LEVEL,
    ROW_GROUP_BYTES,
    PAGE_BYTES,
    PAGE_ROWS,
    DICTIONARY_BYTES,
    VERSIONS_MAX,
    DELETE_OLD,
    METADATA_CODEC,
    FORMAT,
    FORMAT_VERSION,
];

/// Prefixes of names that Iceberg gives a meaning.
const ICEBERGS: &[&str] =
    &["write.", "read.", "commit.", "history.", "gc.", "encryption.", "schema.", "compatibility."];
/// Names that Iceberg keeps for itself, or that stand for something else than a property.
const RESERVED: &[&str] = &[
    "uuid",
    "snapshot-count",
    "current-snapshot-id",
    "current-snapshot-summary",
    "current-snapshot-timestamp-ms",
    "current-schema",
    "default-partition-spec",
    "default-sort-order",
    "location",
    "provider",
];

/// A file is closed once it is this large, unless told.
const FILE_BYTES_MAX: usize = 128 << 20;
/// A row group is closed once it is this large, unless told.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
const ZSTD_LEVEL: i32 = 1;

/// Why a definition may not set a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It would be stored and nothing would heed it.
    NoEffect,
    /// It cannot have this value; what to do instead.
    Value(String),
}

/// Whether a definition may set a property, given all that it sets.
///
/// # Errors
/// `Refused`.
pub fn check(name: &str, value: &str, all: &HashMap<String, String>) -> Result<(), Refused> {
    let takes = |ok: bool, what: &str| if ok { Ok(()) } else { Err(Refused::Value(what.to_owned())) };
    match name {
        FILE_BYTES | ROW_GROUP_BYTES | PAGE_BYTES | PAGE_ROWS | DICTIONARY_BYTES | VERSIONS_MAX => {
            takes(positive(value).is_some(), "write a positive whole number")
        }
        CODEC => takes(Codec::parse(value).is_some(), "write 'zstd', 'snappy' or 'uncompressed'"),
        LEVEL => {
            takes(
                value.parse().is_ok_and(|level| ZstdLevel::try_new(level).is_ok()),
                "write a level of zstd, '1' to '22'",
            )?;
            let codec = all.get(CODEC).map_or(Some(Codec::Zstd), |codec| Codec::parse(codec));
            if codec == Some(Codec::Zstd) { Ok(()) } else { Err(Refused::NoEffect) }
        }
        DELETE_OLD => takes(matches!(value, "true" | "false"), "write 'true' or 'false'"),
        METADATA_CODEC => takes(matches!(value, "none" | "gzip"), "write 'none' or 'gzip'"),
        FORMAT => takes(value == "parquet", "leave it out: data files are Parquet"),
        FORMAT_VERSION => takes(value == "2", "leave it out: tables have format version 2"),
        name if RESERVED.contains(&name) || ICEBERGS.iter().any(|prefix| name.starts_with(prefix)) => {
            Err(Refused::NoEffect)
        }
        _ => Ok(()),
    }
}

/// Whether a property is one that is stored. `format-version` stands for the version itself.
pub fn is_stored(name: &str) -> bool {
    name != FORMAT_VERSION
}

/// Whether metadata files that the log no longer names are deleted. Iceberg's default is that they stay.
pub(crate) fn deletes_old_metadata(properties: &HashMap<String, String>) -> bool {
    properties.get(DELETE_OLD).is_some_and(|value| value == "true")
}

fn positive(value: &str) -> Option<usize> {
    value.parse().ok().filter(|n| *n > 0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Codec {
    Zstd,
    Snappy,
    Uncompressed,
}

impl Codec {
    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::Snappy),
            "uncompressed" => Some(Self::Uncompressed),
            _ => None,
        }
    }
}

/// How a table's data files are written.
pub(crate) struct FileSettings {
    /// A file is closed once it is this large.
    pub(crate) file_bytes_max: usize,
    properties: HashMap<String, String>,
}

impl FileSettings {
    pub(crate) fn of(properties: &HashMap<String, String>) -> Self {
        let mut settings = Self { file_bytes_max: FILE_BYTES_MAX, properties: properties.clone() };
        settings.file_bytes_max = settings.value(FILE_BYTES, positive).unwrap_or(FILE_BYTES_MAX);
        settings
    }

    /// The settings of Parquet's writer.
    ///
    /// # Errors
    /// A compression level that zstd does not have; such values are ignored before.
    pub(crate) fn parquet(&self) -> Result<WriterPropertiesBuilder> {
        let level = self.value(LEVEL, |v| i32::from_str(v).ok().filter(|l| ZstdLevel::try_new(*l).is_ok()));
        let compression = match self.value(CODEC, Codec::parse).unwrap_or(Codec::Zstd) {
            Codec::Zstd => Compression::ZSTD(ZstdLevel::try_new(level.unwrap_or(ZSTD_LEVEL))?),
            Codec::Snappy => Compression::SNAPPY,
            Codec::Uncompressed => Compression::UNCOMPRESSED,
        };
        let mut out = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_bytes(Some(self.value(ROW_GROUP_BYTES, positive).unwrap_or(ROW_GROUP_BYTES_MAX)))
            .set_created_by(format!("ingot {}", env!("CARGO_PKG_VERSION")));
        if let Some(bytes) = self.value(PAGE_BYTES, positive) {
            out = out.set_data_page_size_limit(bytes);
        }
        if let Some(rows) = self.value(PAGE_ROWS, positive) {
            out = out.set_data_page_row_count_limit(rows);
        }
        if let Some(bytes) = self.value(DICTIONARY_BYTES, positive) {
            out = out.set_dictionary_page_size_limit(bytes);
        }
        Ok(out)
    }

    /// A property's value; one that another engine set and we cannot honour is said and passed over.
    fn value<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.properties.get(name)?;
        let value = parse(text);
        if value.is_none() {
            tracing::warn!(
                property = name,
                value = text,
                "this property's value is not known here: the default is taken"
            );
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), Refused> {
        check(name, value, &HashMap::new())
    }

    #[test]
    fn what_has_an_effect_is_taken_and_the_rest_is_refused() {
        for (name, value) in [
            (FILE_BYTES, "1048576"),
            (CODEC, "snappy"),
            (CODEC, "ZSTD"),
            (LEVEL, "9"),
            (DELETE_OLD, "false"),
            (VERSIONS_MAX, "3"),
            (METADATA_CODEC, "gzip"),
            (FORMAT_VERSION, "2"),
            ("owner.team", "data"),
            ("note", "x"),
        ] {
            assert_eq!(checked(name, value), Ok(()), "{name}");
        }
        for name in [
            "write.distribution-mode",
            "write.parquet.bloom-filter-enabled.column.a",
            "read.split.target-size",
            "commit.retry.num-retries",
            "history.expire.max-snapshot-age-ms",
            "gc.enabled",
            "uuid",
            "schema.name-mapping.default",
        ] {
            assert_eq!(checked(name, "1"), Err(Refused::NoEffect), "{name}");
        }
        for (name, value) in [
            (FILE_BYTES, "0"),
            (FILE_BYTES, "128MB"),
            (CODEC, "gzip"),
            (LEVEL, "23"),
            (DELETE_OLD, "yes"),
            (FORMAT, "orc"),
        ] {
            assert!(matches!(checked(name, value), Err(Refused::Value(_))), "{name} {value}");
        }
        let snappy = HashMap::from([(CODEC.to_owned(), "snappy".to_owned())]);
        assert_eq!(check(LEVEL, "3", &snappy), Err(Refused::NoEffect));
    }
}
