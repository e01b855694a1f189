//! Table properties under Iceberg's own names: what is known, what it may be, and what it says of a table's files.
//!
//! Invariants
//! * A property under one of Iceberg's own prefixes is known and honoured, or a definition with it is refused.
//! * What another engine set on a table is honoured where it is known; a value that is not is given back as unknown.
//!
//! Not here: properties of our own (`property`), which nobody declares; Parquet's writer (`ingot-lake`).

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

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
const HISTORY_AGE: &str = "history.expire.max-snapshot-age-ms";
const HISTORY_COUNT: &str = "history.expire.min-snapshots-to-keep";
const DELETE_MODE: &str = "write.delete.mode";
const MERGE_MODE: &str = "write.merge.mode";
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
    HISTORY_AGE,
    HISTORY_COUNT,
    DELETE_MODE,
    MERGE_MODE,
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

/// The levels that zstd has.
const ZSTD_LEVELS: RangeInclusive<i32> = 1..=22;

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
        FILE_BYTES | ROW_GROUP_BYTES | PAGE_BYTES | PAGE_ROWS | DICTIONARY_BYTES | VERSIONS_MAX | HISTORY_AGE
        | HISTORY_COUNT => takes(positive(value).is_some(), "write a positive whole number"),
        CODEC => takes(Codec::parse(value).is_some(), "write 'zstd', 'snappy' or 'uncompressed'"),
        LEVEL => {
            takes(level(value).is_some(), "write a level of zstd, '1' to '22'")?;
            let codec = all.get(CODEC).map_or(Some(Codec::Zstd), |codec| Codec::parse(codec));
            if codec == Some(Codec::Zstd) { Ok(()) } else { Err(Refused::NoEffect) }
        }
        DELETE_OLD => takes(matches!(value, "true" | "false"), "write 'true' or 'false'"),
        METADATA_CODEC => takes(matches!(value, "none" | "gzip"), "write 'none' or 'gzip'"),
        DELETE_MODE | MERGE_MODE => {
            takes(RowMode::parse(value).is_some(), "write 'copy-on-write' or 'merge-on-read', or leave it out")
        }
        FORMAT => takes(value == "parquet", "leave it out: data files are Parquet"),
        FORMAT_VERSION => {
            takes(matches!(value, "2" | "3"), "write '2' or '3', or leave it out: new tables have version 2")
        }
        name if RESERVED.contains(&name) || ICEBERGS.iter().any(|prefix| name.starts_with(prefix)) => {
            Err(Refused::NoEffect)
        }
        _ => Ok(()),
    }
}

/// Whether a property is stored among a table's own. `format-version` stands for the version itself.
pub fn is_stored(name: &str) -> bool {
    name != FORMAT_VERSION
}

/// Whether a definition asks for Iceberg's format version 3. Without a word a table keeps the version that it has, and a new
/// one has version 2; a version is never lowered.
pub fn is_version_3(properties: &BTreeMap<String, String>) -> bool {
    properties.get(FORMAT_VERSION).is_some_and(|value| value == "3")
}

/// Whether metadata files that the log no longer names are deleted. Iceberg's default is that they stay.
pub fn deletes_old_metadata(properties: &HashMap<String, String>) -> bool {
    properties.get(DELETE_OLD).is_some_and(|value| value == "true")
}

/// Whether files that no snapshot names may be deleted, by Iceberg's own property. True unless it says no.
pub fn may_delete_files(properties: &HashMap<String, String>) -> bool {
    properties.get("gc.enabled").is_none_or(|value| value != "false")
}

fn positive(value: &str) -> Option<usize> {
    value.parse().ok().filter(|n| *n > 0)
}

fn level(value: &str) -> Option<i32> {
    value.parse().ok().filter(|level| ZSTD_LEVELS.contains(level))
}

/// What a table's properties say of how much of its history is kept; none where they say nothing, or nothing that is
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistorySettings {
    /// Every snapshot that was current within this time is kept.
    pub min_age: Option<Duration>,
    /// So many snapshots are kept, the newest.
    pub snapshots_min: Option<usize>,
}

impl HistorySettings {
    /// Those of a table with these properties.
    pub fn of(properties: &HashMap<String, String>) -> Self {
        let number = |name: &str| properties.get(name).and_then(|text| positive(text));
        let age = number(HISTORY_AGE).and_then(|ms| u64::try_from(ms).ok());
        Self { min_age: age.map(Duration::from_millis), snapshots_min: number(HISTORY_COUNT) }
    }
}

/// How rows leave files that hold others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMode {
    /// The file is written anew without them.
    CopyOnWrite,
    /// A delete file names them.
    MergeOnRead,
    /// Whichever costs less, for each file.
    ByCost,
}

impl RowMode {
    fn parse(value: &str) -> Option<Self> {
        match value {
            "copy-on-write" => Some(Self::CopyOnWrite),
            "merge-on-read" => Some(Self::MergeOnRead),
            _ => None,
        }
    }
}

/// What a commit does to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Rows leave.
    Delete,
    /// Rows leave and others come.
    Merge,
}

/// How rows leave the files of a table with these properties; by cost where they say nothing, or nothing that is known.
pub fn row_mode(properties: &HashMap<String, String>, change: RowChange) -> RowMode {
    let name = match change {
        RowChange::Delete => DELETE_MODE,
        RowChange::Merge => MERGE_MODE,
    };
    properties.get(name).and_then(|value| RowMode::parse(value)).unwrap_or(RowMode::ByCost)
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard.
    Zstd,
    /// Snappy.
    Snappy,
    /// Not at all.
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

/// What a table's properties say of its data files; none where they say nothing, or nothing that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// A file is closed once it has so many bytes.
    pub file_bytes: Option<usize>,
    /// A row group is closed once it has so many bytes.
    pub row_group_bytes: Option<usize>,
    /// A page is closed once it has so many bytes.
    pub page_bytes: Option<usize>,
    /// A page is closed once it has so many rows.
    pub page_rows: Option<usize>,
    /// A dictionary is given up once it has so many bytes.
    pub dictionary_bytes: Option<usize>,
    /// How pages are compressed.
    pub codec: Option<Codec>,
    /// The level of zstd, 1 to 22.
    pub level: Option<i32>,
    /// Names and values that are not known, to be warned of.
    pub unknown: Vec<(&'static str, String)>,
}

impl FileSettings {
    /// Those of a table with these properties.
    pub fn of(properties: &HashMap<String, String>) -> Self {
        let mut unknown = Vec::new();
        Self {
            file_bytes: value(properties, FILE_BYTES, positive, &mut unknown),
            row_group_bytes: value(properties, ROW_GROUP_BYTES, positive, &mut unknown),
            page_bytes: value(properties, PAGE_BYTES, positive, &mut unknown),
            page_rows: value(properties, PAGE_ROWS, positive, &mut unknown),
            dictionary_bytes: value(properties, DICTIONARY_BYTES, positive, &mut unknown),
            codec: value(properties, CODEC, Codec::parse, &mut unknown),
            level: value(properties, LEVEL, level, &mut unknown),
            unknown,
        }
    }
}

fn value<T>(
    properties: &HashMap<String, String>,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    unknown: &mut Vec<(&'static str, String)>,
) -> Option<T> {
    let text = properties.get(name)?;
    let value = parse(text);
    if value.is_none() {
        unknown.push((name, text.clone()));
    }
    value
}

/// The properties of a new table that sets none of them.
pub fn defaults() -> [(&'static str, &'static str); 3] {
    [(VERSIONS_MAX, "20"), (DELETE_OLD, "true"), (CODEC, "zstd")]
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
            (HISTORY_AGE, "3600000"),
            (HISTORY_COUNT, "20"),
            (MERGE_MODE, "merge-on-read"),
            (DELETE_MODE, "copy-on-write"),
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
            "history.expire.max-ref-age-ms",
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
            (MERGE_MODE, "lazy"),
            (FORMAT, "orc"),
        ] {
            assert!(matches!(checked(name, value), Err(Refused::Value(_))), "{name} {value}");
        }
        let snappy = HashMap::from([(CODEC.to_owned(), "snappy".to_owned())]);
        assert_eq!(check(LEVEL, "3", &snappy), Err(Refused::NoEffect));
    }
}
