//! Options of ENCODE JSON, as the converter takes them.
//!
//! Not here: how they are written in SQL (`schema`).

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    #[default]
    Iso8601,
    EpochS,
    EpochMs,
    EpochUs,
}

/// Options of ENCODE JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonOptions {
    pub timestamp_format: TimestampFormat,
    /// Accept other JSON types where no information is lost: "12" as a number, 12 as a string, 1e3 as an integer.
    pub coerce_lossless: bool,
    /// A key that no column reads is an error.
    pub refuse_unknown_fields: bool,
}
