//! Where a lake is: its catalog, its warehouse, and how to reach the store.
//!
//! Invariants
//! * Secrets are never printed.
//!
//! Not here: reading `ingot.toml` (`ingot-project`).

use std::fmt;

/// Where a lake is.
#[derive(Clone, Debug)]
pub struct LakeConfig {
    /// The catalog's name, which is also the first part of a full table name.
    pub catalog_name: String,
    /// The catalog's SQLite file, `sqlite:///path` or a path; by default `catalog.db` in the warehouse.
    pub catalog_uri: Option<String>,
    /// `file:///absolute/path` or `s3://bucket/prefix`.
    pub warehouse: String,
    /// How to reach S3, when the warehouse is there.
    pub s3: S3Config,
}

/// How to reach an S3-compatible store.
#[derive(Clone, Default)]
pub struct S3Config {
    /// The store's URL; none for AWS itself.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` by default.
    pub region: Option<String>,
    /// The id of the access key.
    pub access_key_id: Option<String>,
    /// The secret key. Never printed.
    pub secret_access_key: Option<String>,
    /// A session's token. Never printed.
    pub session_token: Option<String>,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style_access: bool,
    /// How long one request may take, its body included; 30 s by default.
    pub timeout: Option<std::time::Duration>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |value: &Option<String>| value.as_ref().map(|_| "***");
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("path_style_access", &self.path_style_access)
            .field("timeout", &self.timeout)
            .finish()
    }
}
