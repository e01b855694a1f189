//! Every setting: a struct for each section, whose fields say what they mean, what they take and their defaults.
//!
//! Invariant: the reference page, the listing and what a file may hold are made of these declarations and nothing else.
//!
//! Not here: how values are checked (`shape`), where they come from (`reader`), librdkafka's own properties (`kafka`).

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::shape::{KEY_BYTES, Shape};

/// One key of `ingot.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its section's prefix and its own name: `run.freshness`.
    pub key: &'static str,
    /// What it means, line by line.
    pub doc: &'static [&'static str],
    pub(crate) shape: Shape,
    pub(crate) default: Option<&'static str>,
    /// Never printed.
    pub(crate) secret: bool,
    /// Whether `<key>-file` names a file that holds the value.
    pub(crate) file_variant: bool,
}

impl Setting {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn file_variant(mut self) -> Self {
        self.file_variant = true;
        self
    }
}

/// The one default, or none.
const fn first(of: &[&'static str]) -> Option<&'static str> {
    match of {
        [first, ..] => Some(*first),
        [] => None,
    }
}

/// A section of the file as a struct.
pub(crate) trait Section: DeserializeOwned {
    /// What stands before the name of each of its settings.
    const PREFIX: &'static str;
    /// In the order of the reference page.
    const SETTINGS: &'static [Setting];
}

/// A struct with `Deserialize`, and its fields as `Setting`s: `"key" = "default", marks => pub field: type as shape;`.
macro_rules! section {
    (
        $(#[$about:meta])+
        $vis:vis struct $name:ident at $prefix:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:literal $(= $default:literal)? $(, $mark:ident)* => $seen:vis $field:ident: $type:ty as $shape:expr;
            )+
        }
    ) => {
        $(#[$about])+
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $key)]
                $seen $field: $type,
            )+
        }

        impl Section for $name {
            const PREFIX: &'static str = $prefix;
            const SETTINGS: &'static [Setting] = &[$(
                Setting {
                    key: concat!($prefix, $key),
                    shape: $shape,
                    default: first(&[$($default)?]),
                    doc: &[$($doc),+],
                    secret: false,
                    file_variant: false,
                }
                $(.$mark())*
            ),+];
        }
    };
}

section! {
    /// `[catalog]`: what clients call it, and where it is.
    pub struct CatalogConfig at "catalog." {
        /// How tables are found. SQLite has the schema of Java's and PyIceberg's JDBC catalog (V1).
        "type" = "sqlite" => pub(crate) kind: CatalogKind as Shape::OneOf(&["sqlite"]);
        /// The catalog's name: the first part of `catalog.namespace.table`, and `catalog_name` in the catalog's rows.
        /// Other engines must use the same name.
        "name" = "ingot" => pub name: String as Shape::CatalogName;
        /// Where the SQLite file is. Left out, it is `catalog.db` in the warehouse folder; required when the warehouse
        /// is on S3.
        "uri" => pub uri: Option<String> as Shape::Text;
    }
}

section! {
    /// `[project]`.
    pub struct ProjectConfig at "project." {
        /// Whose tables the project's are: every table that it writes has this name in its property `ingot.project`,
        /// and another project that declares the same table is refused. One process at a time works on a project with
        /// its `namespace_prefix`. Left out, it is `catalog.name`.
        "name" => pub name: String as Shape::ProjectName;
    }
}

section! {
    /// `[warehouse]`. In a `Config` the location is `file:///absolute` or `s3://bucket/prefix`, without a slash at the end.
    pub struct WarehouseConfig at "warehouse." {
        /// Where table data goes. A bare path is relative to the current folder and becomes an absolute `file://` URL.
        "location" = "./warehouse" => pub location: String as Shape::Location;
    }
}

section! {
    /// `[s3]`: how a store is reached.
    pub(crate) struct S3Settings at "s3." {
        /// The S3 endpoint, such as `http://127.0.0.1:9000` for MinIO. Left out, AWS's own.
        "endpoint", file_variant => pub(crate) endpoint: Option<String> as Shape::Text;
        /// The S3 region. MinIO takes any.
        "region", file_variant => pub(crate) region: Option<String> as Shape::Text;
        /// The access key's id.
        "access-key-id", file_variant => pub(crate) access_key_id: Option<String> as Shape::Text;
        /// The secret key.
        "secret-access-key", secret, file_variant => pub(crate) secret_access_key: Option<Secret> as Shape::Text;
        /// A session token, for temporary credentials.
        "session-token", secret, file_variant => pub(crate) session_token: Option<Secret> as Shape::Text;
        /// Whether the bucket stands in the path (MinIO) rather than in the host name.
        "path-style-access" = "true" => pub(crate) path_style_access: bool as Shape::Boolean;
        /// How long one request to the store may take, its body included. It is tried again for up to six times as
        /// long; then the step fails, and `run` tries again later. Over a slow line, allow what 32 MB take.
        "timeout" = "30 s" => pub(crate) timeout_ms: u64 as Shape::Timeout;
    }
}

section! {
    /// `[serve]`: the Flight SQL endpoint.
    #[derive(Copy)]
    pub struct ServeConfig at "serve." {
        /// Where the Flight SQL endpoint listens. Only loopback addresses until there is authentication. Port 0 takes a
        /// free one.
        "listen" = "127.0.0.1:32010" => pub listen: SocketAddr as Shape::Loopback;
        /// What tickets are encrypted and authenticated with: what a client fetches rows with opens only on a server
        /// that has the key. Left out, each process makes its own, and a ticket is worth nothing after a restart.
        /// Servers behind one address need the same; `openssl rand -hex 32` makes one. Change it at the latest after
        /// 2^32 statements.
        "ticket-key", secret, file_variant => pub ticket_key: Option<TicketKey> as Shape::Key;
    }
}

section! {
    /// `[http]`: health and metrics.
    #[derive(Copy)]
    pub struct HttpConfig at "http." {
        /// Where `run`, `up` and `serve` answer `/healthz`, `/readyz` and `/metrics` over HTTP, such as
        /// `127.0.0.1:32080`; left out, nowhere. Port 0 takes a free one. There is no authentication: other addresses
        /// than loopback ones show names of tables and topics and figures to whoever reaches them, never rows.
        "listen" => pub listen: Option<SocketAddr> as Shape::Address;
    }
}

section! {
    /// `[run]`: times in milliseconds, sizes in bytes.
    #[derive(Copy)]
    pub struct RunConfig at "run." {
        /// The longest time that messages wait before they are committed.
        "commit_interval_ms" = "400" => pub commit_interval_ms: u64 as Shape::Number;
        /// A batch of messages closes at this size.
        "batch_bytes_max" = "67108864" => pub batch_bytes_max: usize as Shape::Number;
        /// What queries, refreshes, verification and writers may hold in memory together. Past it sorts, GROUP BY and
        /// comparisons of rows spill to disk, files are closed early and catch-ups go in parts. What must be held whole
        /// fails with an error that names it: the smaller side of a hash join, the rows of an ORDER BY with a large
        /// LIMIT, a list, a text or a set of distinct values of one group (array_agg, string_agg, median,
        /// count(DISTINCT x)), and the largest partition of a window that looks behind its row. Statements at the same
        /// time share it: those that spill share three quarters evenly, so that each of many goes to disk sooner, and
        /// the last quarter is there for the others, for those that ask first.
        "memory_bytes_max" = "1073741824" => pub memory_bytes_max: usize as Shape::Number;
        /// How far a table may lie behind its sources while `ingot run` goes on. `--once` ignores it.
        "freshness" = "1 s" => pub freshness_ms: u64 as Shape::Duration;
    }
}

section! {
    /// `[upkeep]`: how tables are kept in shape.
    #[derive(Copy)]
    pub struct UpkeepConfig at "upkeep." {
        /// Whether commits forget the snapshots that need not be kept, small files are brought together, and files that
        /// nothing needs are deleted. Only tables of the project are touched.
        "enabled" = "true" => pub enabled: bool as Shape::Boolean;
        /// How far back a table's history is whole: every snapshot that was current within this time is kept. A table's
        /// property `history.expire.max-snapshot-age-ms` says it of that table, and `history.expire.min-snapshots-to-keep`
        /// keeps at least so many. Older ones are kept where a view of the project stands on them (for a week), where a
        /// branch or tag names them, and as far as a streaming table's position needs them.
        "snapshots-min-age" = "2 min" => pub snapshots_min_age_ms: u64 as Shape::Timeout;
    }
}

section! {
    /// `[log]`.
    #[derive(Copy)]
    pub struct LogConfig at "log." {
        /// How log lines are written to standard error.
        "format" = "text" => pub format: LogFormat as Shape::OneOf(&["text", "json"]);
    }
}

section! {
    /// What stands before all sections.
    pub(crate) struct RootSettings at "" {
        /// Put before every namespace, so that `[env.dev]` can keep its tables apart: with `dev_`, `silver.orders` is
        /// stored as `dev_silver.orders`.
        "namespace_prefix" = "" => pub(crate) namespace_prefix: String as Shape::Prefix;
    }
}

type Declared = (&'static str, &'static [Setting]);

const fn of<S: Section>() -> Declared {
    (S::PREFIX, S::SETTINGS)
}

/// The sections in the order of the reference page. librdkafka knows its own settings.
const SECTIONS: &[Declared] = &[
    of::<CatalogConfig>(),
    of::<ProjectConfig>(),
    of::<WarehouseConfig>(),
    of::<S3Settings>(),
    ("kafka.", &[]),
    of::<ServeConfig>(),
    of::<HttpConfig>(),
    of::<RunConfig>(),
    of::<UpkeepConfig>(),
    of::<LogConfig>(),
    of::<RootSettings>(),
];

/// The settings of every section, in the order of the reference page.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|(_, settings)| *settings)
}

/// The sections in a line: `a.*`, or the only setting of one.
pub(crate) fn outline() -> String {
    let section = |(prefix, settings): &Declared| match settings {
        [only] => only.key.to_owned(),
        _ => format!("{prefix}*"),
    };
    SECTIONS.iter().map(section).collect::<Vec<_>>().join(", ")
}

/// The setting of a key, `<key>-file` not included.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    settings().find(|s| s.key == key)
}

/// Every key a file may hold, `-file` variants included; `kafka.*` excepted.
pub(crate) fn known_keys() -> Vec<String> {
    let of = |s: &'static Setting| {
        let file = s.file_variant.then(|| format!("{}-file", s.key));
        std::iter::once(s.key.to_owned()).chain(file)
    };
    settings().flat_map(of).collect()
}

/// Whether the value of a key, which may be misspelt, may be a secret.
pub(crate) fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // The name of a file is no secret, whatever the file holds.
    !key.ends_with("-file")
        && (setting(&key).is_some_and(|s| s.secret)
            || ["pas", "secret", "token", "key", "jaas"].iter().any(|word| key.contains(word)))
}

/// The kinds of catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CatalogKind {
    /// A file with the schema of Java's and PyIceberg's JDBC catalog.
    Sqlite,
}

/// The kinds of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A key that servers share; never shown.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct TicketKey([u8; KEY_BYTES]);

impl TicketKey {
    /// The key itself.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::value::MapDeserializer;

    use super::*;

    /// Every field takes what its shape lets pass.
    fn fits<S: Section>() {
        let values = |s: &Setting| match s.shape {
            Shape::OneOf(words) => words.to_vec(),
            Shape::Key => vec!["000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"],
            Shape::Number => vec!["1", "9_223_372_036_854_775_807"],
            Shape::Boolean => vec!["true", "false"],
            Shape::Loopback | Shape::Address => vec!["localhost:1", "[::1]:0", "10.0.0.1:65535"],
            Shape::Duration | Shape::Timeout => vec!["18446744073709551615 ms", "1 s"],
            Shape::Text | Shape::CatalogName | Shape::ProjectName | Shape::Prefix | Shape::Location => vec!["x"],
        };
        let most = S::SETTINGS.iter().map(|s| values(s).len()).max().unwrap_or(0);
        for round in 0..most {
            let given: BTreeMap<&str, _> = S::SETTINGS
                .iter()
                .map(|s| {
                    let value = values(s).into_iter().cycle().nth(round).unwrap();
                    (s.key.strip_prefix(S::PREFIX).unwrap(), s.shape.read(value).unwrap())
                })
                .collect();
            S::deserialize(MapDeserializer::new(given.into_iter())).unwrap();
        }
    }

    #[test]
    fn shapes_fit_their_fields() {
        fits::<CatalogConfig>();
        fits::<ProjectConfig>();
        fits::<WarehouseConfig>();
        fits::<S3Settings>();
        fits::<ServeConfig>();
        fits::<HttpConfig>();
        fits::<RunConfig>();
        fits::<UpkeepConfig>();
        fits::<LogConfig>();
        fits::<RootSettings>();
        for s in settings() {
            assert!(s.default.is_none_or(|d| s.shape.read(d).is_ok()), "{}", s.key);
        }
    }

    #[test]
    fn sections_are_named_in_a_line() {
        let line = outline();
        assert!(line.starts_with("catalog.*, project.name, warehouse.location, s3.*, kafka.*, serve.*, "), "{line}");
        assert!(line.ends_with(", log.format, namespace_prefix"), "{line}");
    }
}
