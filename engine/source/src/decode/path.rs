//! Paths into a JSON document: `$.a["b c"][0]`.
//!
//! Invariants
//! * `parse(path.to_string()) == path`.
//! * A path names one place; there are no wildcards, filters or recursive steps.
//!
//! Not here: walking a document (`json`).

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// A place in a document; no steps is the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(pub Vec<Step>);

/// Why a text is not a path, and the byte where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {at}", at = .at + 1)]
pub struct PathError {
    pub at: usize,
    pub reason: &'static str,
}

impl JsonPath {
    /// The path of a top-level key.
    pub fn key(name: &str) -> Self {
        Self(vec![Step::Key(name.to_string())])
    }

    /// # Errors
    /// Where and why `text` is not a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail = |at: usize, reason| Err(PathError { at: text.get(..at).map_or(at, |t| t.chars().count()), reason });
        let Some(mut rest) = text.strip_prefix('$') else {
            return fail(0, "a path starts with $");
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[', ']', '"', ' ']).unwrap_or(after.len());
                let (name, tail) = after.split_at(end);
                if name.is_empty() {
                    return fail(at + 1, "a name is missing after the dot");
                }
                if tail.starts_with([']', '"', ' ']) {
                    return fail(at + 1 + end, "a name with this character needs [\"...\"]");
                }
                steps.push(Step::Key(name.to_string()));
                rest = tail;
            } else if let Some(after) = rest.strip_prefix("[\"") {
                match quoted(after) {
                    Some((name, tail)) => {
                        steps.push(Step::Key(name));
                        rest = tail;
                    }
                    None => return fail(at, "[\"...\"] is not closed"),
                }
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some((digits, tail)) = after.split_once(']') else {
                    return fail(at, "[...] is not closed");
                };
                match digits.parse::<usize>() {
                    Ok(index) if digits.bytes().all(|b| b.is_ascii_digit()) => steps.push(Step::Index(index)),
                    _ => return fail(at + 1, "an index is a number from 0"),
                }
                rest = tail;
            } else {
                return fail(at, "a step is .name, [\"name\"] or [0]");
            }
        }
        Ok(Self(steps))
    }
}

/// The name up to `"]`, with `\"` and `\\` unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\\') => name.push(c),
                c => name.extend(['\\', c]),
            },
            '"' => return text.get(at + 1..)?.strip_prefix(']').map(|tail| (name, tail)),
            c => name.push(c),
        }
    }
    None
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(name) if !name.is_empty() && !name.contains(['.', '[', ']', '"', ' ', '\\']) => {
                    write!(f, ".{name}")?;
                }
                Step::Key(name) => write!(f, "[\"{}\"]", name.replace('\\', "\\\\").replace('"', "\\\""))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_steps() {
        let path = JsonPath::parse(r#"$.a["b c"][0].d"#).unwrap();
        let key = |s: &str| Step::Key(s.into());
        assert_eq!(path.0, [key("a"), key("b c"), Step::Index(0), key("d")]);
        assert_eq!(JsonPath::parse("$").unwrap(), JsonPath::default());
        assert_eq!(JsonPath::parse(r#"$["a\"\\"]"#).unwrap().0, [key("a\"\\")]);
    }

    #[test]
    fn refuses_what_is_no_path() {
        for (text, at) in
            [("a", 0), ("$.", 2), ("$a", 1), ("$[x]", 2), ("$[-1]", 2), ("$[\"a", 1), ("$[0", 1), ("$.é é", 3)]
        {
            assert_eq!(JsonPath::parse(text).unwrap_err().at, at, "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(names in proptest::collection::vec(proptest::option::of(".{0,6}"), 0..4)) {
            let steps = names.into_iter().enumerate()
                .map(|(i, n)| n.map_or(Step::Index(i), Step::Key)).collect();
            let path = JsonPath(steps);
            prop_assert_eq!(JsonPath::parse(&path.to_string()), Ok(path));
        }
    }
}
