//! The reference page of all codes, in Markdown.
//!
//! Not here: the codes themselves (`parse`, `names`, ...).

use std::fmt::Write as _;

use super::info::CodeInfo;

/// Letter, its name, and what there is to mend.
const LETTERS: &[(char, &str, &str)] = &[
    ('P', "parse", "the text of a SQL file"),
    ('N', "names", "a name, or what it stands for"),
    ('T', "types", "a type, or a cast"),
    ('C', "configuration", "ingot.toml, the environment, or the options of a source"),
    ('U', "unsupported", "nothing is wrong with the text; this version does not build it, or refuses it for good"),
    ('S', "source", "Kafka, or the topic"),
    ('R', "refresh", "how a table is kept up to date; most are reasons rather than errors"),
    ('D', "data", "the rows or messages"),
    ('L', "lake", "the catalog, the warehouse, or a table in it"),
    ('Q', "serving", "a client's query"),
];

/// The page `docs/codes.md`.
pub(super) fn reference(codes: &[CodeInfo]) -> String {
    let mut out = String::from(
        "# Codes\n\n\
         Every diagnostic and every error carries a code: a letter, which says where to mend, and four digits, which \
         are never used again for something else. `ingot explain CODE` prints the paragraph below. Whether something \
         is an error or a warning is said by the message, not by the code. The codes R0500 to R0539 are no errors: \
         they say why a view was computed in full, in `ingot plan`, in `ingot status` and in the log.\n\n\
         | letter | area | what to look at |\n|---|---|---|\n",
    );
    for (letter, area, meaning) in LETTERS {
        let _ = writeln!(out, "| {letter} | {area} | {meaning} |");
    }
    for (letter, area, _) in LETTERS {
        let _ = writeln!(out, "\n## {letter}: {area}");
        for info in codes.iter().filter(|c| c.code.starts_with(*letter)) {
            let _ = writeln!(out, "\n### {}: {}\n\n{}", info.code, escaped(info.title), escaped(info.text));
            if info.retryable {
                out.push_str("\nTrying again, with nothing changed, may help.\n");
            }
        }
    }
    out
}

/// The text with what Markdown would take for its own escaped, outside of code in backticks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut code = false;
    for c in text.chars() {
        code ^= c == '`';
        match c {
            '<' if !code => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' | '|' if !code => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn markdown_is_escaped_outside_of_code() {
        assert_eq!(escaped("count(*) AS `a*b` of ARRAY<T>"), "count(\\*) AS `a*b` of ARRAY&lt;T>");
    }
}
