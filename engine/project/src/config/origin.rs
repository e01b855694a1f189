//! Where a setting came from.

use std::fmt;

/// The name of the configuration file in a project's folder.
pub const FILE: &str = "ingot.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    /// `[env.NAME]` of the file.
    Overlay(String),
    /// An environment variable.
    Variable(String),
    /// `--set`.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str(FILE),
            Self::Overlay(name) => write!(f, "{FILE} [env.{name}]"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Set => f.write_str("--set"),
        }
    }
}
