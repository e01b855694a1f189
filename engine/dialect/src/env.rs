//! `${NAME}` in values of WITH and ENCODE.
//!
//! Invariants
//! * Expansion sees values after tokenizing, so a value can never change the shape of a statement.
//! * Pure: the environment is a function given by the caller.
//!
//! Not here: who may use expanded values (`source`); they never enter fingerprints, snapshots or logs.

/// Expands `${NAME}` and `${NAME:-default}` (the default also stands in for an empty value); `$${` is a literal `${`.
///
/// # Errors
/// The name of the first variable that has neither a value nor a default.
pub fn expand_env(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = from.get(2..).unwrap_or("");
            continue;
        }
        out.push_str(before);
        let Some(reference) = Reference::read(from) else {
            // Not a reference, such as "${" at the end or "${a b}": text.
            out.push_str("${");
            rest = from.get(2..).unwrap_or("");
            continue;
        };
        match (lookup(reference.name), reference.default) {
            (Some(found), default) if !found.is_empty() || default.is_none() => out.push_str(&found),
            (_, Some(default)) => out.push_str(default),
            _ => return Err(reference.name.to_string()),
        }
        rest = reference.rest;
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether the text holds a reference that `expand_env` would expand.
pub(crate) fn has_reference(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if !before.ends_with('$') && Reference::read(from).is_some() {
            return true;
        }
        rest = from.get(2..).unwrap_or("");
    }
    false
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Reference<'a> {
    /// Reads a reference that begins the text.
    fn read(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix("${")?;
        let (body, rest) = inner.split_once('}')?;
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then_some(Self { name, default, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(value: &str) -> Result<String, String> {
        expand_env(value, &|name| match name {
            "HOST" => Some("broker:9092".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn expands_names_defaults_and_literals() {
        let cases = [
            ("plain", "plain"),
            ("${HOST}", "broker:9092"),
            ("a${HOST}b${HOST}", "abroker:9092bbroker:9092"),
            ("${NONE:-x}", "x"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${HOST:-x}", "broker:9092"),
            ("${NONE:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("${", "${"),
            ("${a b}", "${a b}"),
            ("$HOST", "$HOST"),
            ("é${HOST}é", "ébroker:9092é"),
        ];
        for (given, wanted) in cases {
            assert_eq!(expand(given).as_deref(), Ok(wanted), "{given}");
        }
        assert_eq!(expand("x${NONE}"), Err("NONE".to_string()));
    }

    #[test]
    fn values_are_not_expanded_again() {
        let out = expand_env("${A}", &|_| Some("${A}".to_string()));
        assert_eq!(out.as_deref(), Ok("${A}"));
    }

    #[test]
    fn references_are_found() {
        assert!(has_reference("a ${B} c"));
        assert!(!has_reference("a $${B} c"));
        assert!(!has_reference("a ${1} $B c"));
    }
}
