//! Where a setting came from, and how a diagnostic says so.

use std::fmt;

use ingot_dialect::ast::Span;
use ingot_dialect::diagnostic::Diagnostic;

use super::sections::may_be_secret;

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

impl Origin {
    /// The place of a key or of its value. A line of the file that holds a secret is named, and not shown.
    pub(crate) fn place(&self, d: Diagnostic, key: &str, span: Span) -> Diagnostic {
        match self {
            Self::File | Self::Overlay(_) if may_be_secret(key) => d.note(format!("{FILE}, line {}", span.start.line)),
            Self::File | Self::Overlay(_) => d.at(FILE, span),
            Self::Variable(name) => d.note(format!("set by the environment variable {name}")),
            Self::Set => d.note("set by --set"),
            Self::Default => d,
        }
    }
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
