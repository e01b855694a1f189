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

/// Takes the place from a diagnostic whose line of the file may hold a secret, its own or another setting's: the line is
/// named, and not shown.
pub(crate) fn hide_secrets(d: &mut Diagnostic, text: &str) {
    let Some(span) = d.span.filter(|_| d.file.as_deref() == Some(FILE)) else { return };
    let line = span.start.line.checked_sub(1).and_then(|line| usize::try_from(line).ok());
    let shown = line.and_then(|line| text.lines().nth(line)).unwrap_or_default();
    // What stands before each sign of equality, as far as a key goes.
    let is_of_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let before = shown.rsplit_once('=').map_or("", |(before, _)| before).split('=');
    let mut keys = before.map(|text| {
        let text = text.trim_end().trim_end_matches(['"', '\'']);
        text.rsplit(|c| !is_of_key(c)).next().unwrap_or_default()
    });
    if keys.any(may_be_secret) {
        (d.file, d.span, d.label) = (None, None, None);
        d.notes.insert(0, format!("{FILE}, line {}", span.start.line));
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

#[cfg(test)]
mod tests {
    use ingot_dialect::ast::Location;

    use super::*;

    #[test]
    fn a_line_is_not_shown_for_the_secret_of_another_setting() {
        let shown = |line: &str| {
            let text = format!("[s3]\n{line}\n");
            let mut d = Diagnostic::error("C0107", "x").at(FILE, Span::new(Location::new(2, 1), Location::new(2, 2)));
            hide_secrets(&mut d, &text);
            assert_eq!(d.notes.is_empty(), d.span.is_some());
            d.span.is_some()
        };
        for line in [
            r#"s3 = { secret-access-key = "hunter2", timeout = "0 s" }"#,
            r#"dev = { timeout = "0 s", s3.secret-access-key = "hunter2" }"#,
            r#"secret-access-key = "hunter2" timeout = "1 s""#,
            r#""secret-access-key"="hunter2"#,
            r#"sasl.password = "hunter2"#,
        ] {
            assert!(!shown(line), "{line}");
        }
        for line in [r#"timeout = "0 s""#, r#"secret-access-key-file = "/etc/key""#, "timeout", ""] {
            assert!(shown(line), "{line}");
        }
    }
}
