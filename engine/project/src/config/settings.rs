//! Every configuration key: its kind, its default and what it means, in one place.
//!
//! Invariant: the reference page is generated from this table and nothing else reads a key that is not in it.
//!
//! Not here: where values come from (`config`), librdkafka's own properties (`config::CheckProperty`).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A path or URL that may also be a bare folder.
    Location,
    /// A positive whole number.
    Number,
    Boolean,
    /// `host:port`, loopback only.
    Address,
    /// `host:port`, on any interface.
    OpenAddress,
    /// A length of time such as `500 ms`, `10 s` or `2 min`.
    Duration,
    /// `KEY_BYTES` bytes, in hexadecimal or base64.
    Key,
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// A phrase for what such a value is.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Location => "a folder or an `s3://` URL".into(),
            Self::Number => "a positive whole number".into(),
            Self::Boolean => "`true` or `false`".into(),
            Self::Address => "`host:port` on the loopback interface".into(),
            Self::OpenAddress => "`host:port`".into(),
            Self::Duration => "a duration such as `500 ms`, `10 s` or `2 min`".into(),
            Self::Key => format!("{KEY_BYTES} bytes in hexadecimal or base64"),
            Self::OneOf(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// One key of `ingot.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    pub default: Option<&'static str>,
    pub doc: &'static str,
    /// Never printed.
    pub secret: bool,
    /// Whether `<key>-file` names a file that holds the value.
    pub file_variant: bool,
}

const fn plain(key: &'static str, kind: Kind, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { key, kind, default, doc, secret: false, file_variant: false }
}

const fn s3(key: &'static str, secret: bool, doc: &'static str) -> Setting {
    Setting { key, kind: Kind::Text, default: None, doc, secret, file_variant: true }
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    plain(
        "catalog.type",
        Kind::OneOf(&["sqlite"]),
        Some("sqlite"),
        "How tables are found. SQLite has the schema of Java's and PyIceberg's JDBC catalog (V1).",
    ),
    plain(
        "catalog.name",
        Kind::Text,
        Some("ingot"),
        "The catalog's name: the first part of `catalog.namespace.table`, and `catalog_name` in the catalog's rows. \
         Other engines must use the same name.",
    ),
    plain(
        "catalog.uri",
        Kind::Text,
        None,
        "Where the SQLite file is. Left out, it is `catalog.db` in the warehouse folder; required when the \
         warehouse is on S3.",
    ),
    plain(
        "project.name",
        Kind::Text,
        None,
        "Whose tables the project's are: every table that it writes has this name in its property `ingot.project`, and \
         another project that declares the same table is refused. One process at a time works on a project with its \
         `namespace_prefix`. Left out, it is `catalog.name`.",
    ),
    plain(
        "warehouse.location",
        Kind::Location,
        Some("./warehouse"),
        "Where table data goes. A bare path is relative to the current folder and becomes an absolute `file://` URL.",
    ),
    s3("s3.endpoint", false, "The S3 endpoint, such as `http://127.0.0.1:9000` for MinIO. Left out, AWS's own."),
    s3("s3.region", false, "The S3 region. MinIO takes any."),
    s3("s3.access-key-id", false, "The access key's id."),
    s3("s3.secret-access-key", true, "The secret key."),
    s3("s3.session-token", true, "A session token, for temporary credentials."),
    plain(
        "s3.path-style-access",
        Kind::Boolean,
        Some("true"),
        "Whether the bucket stands in the path (MinIO) rather than in the host name.",
    ),
    plain(
        "s3.timeout",
        Kind::Duration,
        Some("30 s"),
        "How long one request to the store may take, its body included. It is tried again for up to six times as long; \
         then the step fails, and `run` tries again later. Over a slow line, allow what 32 MB take.",
    ),
    plain(
        "serve.listen",
        Kind::Address,
        Some("127.0.0.1:32010"),
        "Where the Flight SQL endpoint listens. Only loopback addresses until there is authentication. Port 0 takes \
         a free one.",
    ),
    Setting {
        key: "serve.ticket-key",
        kind: Kind::Key,
        default: None,
        doc: "What tickets are encrypted and authenticated with: what a client fetches rows with opens only on a server \
              that has the key. Left out, each process makes its own, and a ticket is worth nothing after a restart. \
              Servers behind one address need the same; `openssl rand -hex 32` makes one. Change it at the latest after \
              2^32 statements.",
        secret: true,
        file_variant: true,
    },
    plain(
        "http.listen",
        Kind::OpenAddress,
        None,
        "Where `run`, `up` and `serve` answer `/healthz`, `/readyz` and `/metrics` over HTTP, such as `127.0.0.1:32080`; \
         left out, nowhere. Port 0 takes a free one. There is no authentication: other addresses than loopback ones show \
         names of tables and topics and figures to whoever reaches them, never rows.",
    ),
    plain(
        "run.commit_interval_ms",
        Kind::Number,
        Some("400"),
        "The longest time that messages wait before they are committed.",
    ),
    plain("run.batch_bytes_max", Kind::Number, Some("67108864"), "A batch of messages closes at this size."),
    plain(
        "run.memory_bytes_max",
        Kind::Number,
        Some("1073741824"),
        "What queries, refreshes, verification and writers may hold in memory together. Past it sorts, GROUP BY and comparisons of rows spill to disk, files are closed early and catch-ups go in parts. What must be held whole fails with an error that names it: the smaller side of a hash join, the rows of an ORDER BY with a large LIMIT, a list, a text or a set of distinct values of one group (array_agg, string_agg, median, count(DISTINCT x)), and the largest partition of a window that looks behind its row. Statements at the same time share it: those that spill share three quarters evenly, so that each of many goes to disk sooner, and the last quarter is there for the others, for those that ask first.",
    ),
    plain(
        "run.freshness",
        Kind::Duration,
        Some("1 s"),
        "How far a table may lie behind its sources while `ingot run` goes on. `--once` ignores it.",
    ),
    plain("log.format", Kind::OneOf(&["text", "json"]), Some("text"), "How log lines are written to standard error."),
    plain(
        "namespace_prefix",
        Kind::Text,
        Some(""),
        "Put before every namespace, so that `[env.dev]` can keep its tables apart: with `dev_`, `silver.orders` \
         is stored as `dev_silver.orders`.",
    ),
];

/// The setting of a key, `<key>-file` not included.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

/// Every key a file may hold, `-file` variants included; `kafka.*` excepted.
pub(crate) fn known_keys() -> Vec<String> {
    let mut keys = Vec::new();
    for s in SETTINGS {
        keys.push(s.key.to_owned());
        if s.file_variant {
            keys.push(format!("{}-file", s.key));
        }
    }
    keys
}

/// The environment variable that sets a key.
pub(crate) fn variable_of(key: &str) -> String {
    format!("INGOT_{}", key.replace('.', "__").replace('-', "_").to_uppercase())
}

/// The reference page of the configuration, in Markdown.
pub fn config_reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Settings live in `ingot.toml` in the project's folder. Later ones win: the file, its `[env.NAME]` overlay \
         (chosen by `--env NAME` or `INGOT_ENV`), `WITH (...)` of a source (for `kafka.*`), the environment, and \
         `--set key=value`. A key that is not listed here is refused.\n\n\
         | key | value | default | environment |\n|---|---|---|---|\n",
    );
    for s in SETTINGS {
        let default = match s.default {
            Some("") => "empty".to_owned(),
            Some(d) => format!("`{d}`"),
            None => "none".to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {} | {default} | `{}` |", s.key, s.kind.describe(), variable_of(s.key));
    }
    out.push('\n');
    for s in SETTINGS {
        let _ = writeln!(out, "## {}\n\n{}", s.key, s.doc);
        if s.file_variant {
            let _ = writeln!(out, "\n`{}-file` names a file that holds the value.", s.key);
        }
        if s.secret {
            out.push_str("\nThe value is a secret: it is never printed, logged or stored.\n");
        }
        out.push('\n');
    }
    out.push_str(
        "## kafka.*\n\n\
         librdkafka's own properties, such as `kafka.bootstrap.servers`, `kafka.security.protocol` or \
         `kafka.sasl.password`; the names are checked against librdkafka. In the environment dots are written as two \
         underscores: `INGOT_KAFKA__BOOTSTRAP__SERVERS`. `<name>-file` names a file that holds the value. A source's \
         `WITH (...)` overrides the file, the environment and `--set` override both.\n\n\
         ## Overlays\n\n\
         ```toml\n\
         [kafka]\n\
         bootstrap.servers = \"kafka.internal:9092\"\n\n\
         [env.dev]\n\
         namespace_prefix = \"dev_\"\n\
         kafka.bootstrap.servers = \"127.0.0.1:9092\"\n\
         ```\n",
    );
    out
}

/// A key's bytes, from hexadecimal digits or base64.
pub(crate) fn parse_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    let text = text.trim();
    let mut key = [0; KEY_BYTES];
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        for (byte, at) in key.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        return Some(key);
    }
    key.copy_from_slice(BASE64_STANDARD.decode(text).ok().filter(|k| k.len() == KEY_BYTES)?.as_slice());
    Some(key)
}
