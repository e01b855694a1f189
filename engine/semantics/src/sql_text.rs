//! Names of our own functions, and of the engine's types, in the engine's texts, as SQL says them.
//!
//!   ingot_multiply(ingot_add(a, b), c) ──▶ (a + b) * c        ingot_sum(x) ──▶ sum(x)
//!   cannot compare Utf8 with List(Int64) ──▶ cannot compare STRING with ARRAY<BIGINT>
//!
//! Not here: texts that are made from expressions (`shown`); names of columns, which keep what the user wrote (`rewrite`).

use arrow::datatypes::DataType;

use crate::type_names::type_name;

/// The functions that stand for `*` and `/` of an interval.
pub(crate) const INTERVAL_MULTIPLY: &str = "ingot_interval_multiply";
pub(crate) const INTERVAL_DIVIDE: &str = "ingot_interval_divide";

/// Operators.
pub(crate) const INFIX: &[(&str, &str)] = &[
    ("ingot_add", "+"),
    ("ingot_subtract", "-"),
    ("ingot_multiply", "*"),
    ("ingot_divide", "/"),
    ("ingot_remainder", "%"),
    (INTERVAL_MULTIPLY, "*"),
    (INTERVAL_DIVIDE, "/"),
];
/// What the user did not write.
pub(crate) const SILENT: &[&str] = &[
    "ingot_canonical",
    "ingot_exactly",
    "ingot_input",
    "ingot_joined",
    "ingot_lazily",
    "ingot_no_row",
    "ingot_reached",
    "ingot_signed",
];
/// Functions.
pub(crate) const NAMED: &[(&str, &str)] = &[
    ("ingot_abs", "abs"),
    ("ingot_cast", "CAST"),
    ("ingot_floor_micros", "CAST"),
    ("ingot_moments_state", "stddev"),
    ("ingot_negate", "-"),
    ("ingot_sum", "sum"),
    ("ingot_sum_state", "sum"),
    ("ingot_try_cast", "TRY_CAST"),
];

/// The text with SQL's names.
pub fn sql_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find("ingot_").and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(from.len());
        let Some((name, after)) = from.split_at_checked(end) else { break };
        rest = after;
        let named = NAMED.iter().find(|(n, _)| *n == name).map(|(_, sql)| *sql);
        match (named, arguments(after)) {
            (Some(sql), _) => out.push_str(sql),
            (None, Some((arguments, left))) => match called(name, &arguments) {
                Some(sql) => {
                    out.push_str(&sql);
                    rest = left;
                }
                None => out.push_str(name),
            },
            (None, None) => out.push_str(name),
        }
    }
    out.push_str(rest);
    out
}

/// What the engine says of a call whose arguments have types that its function does not take, without its lists of
/// signatures; None of other texts.
pub(crate) fn call_text(text: &str) -> Option<String> {
    const OURS: &str = "user-defined coercion failed with: ";
    const THEIRS: &str = "No function matches the given name and argument types '";
    let Some(end) = text.find(THEIRS) else {
        let (before, _) = text.split_once("' failed to match any signature")?;
        let (_, name) = before.rsplit_once("Function '")?;
        return Some(format!("{name} does not take arguments of these types"));
    };
    // What one of our functions says.
    if let Some((_, ours)) = text.get(..end)?.split_once(OURS)
        && let Some(ours) = ours.strip_prefix("Error during planning: ")
    {
        return Some(ours.trim_end().trim_end_matches('.').to_owned());
    }
    let call = text.get(end + THEIRS.len()..)?.split("'.").next()?;
    let name = call.split('(').next()?;
    Some(format!("{name} does not take arguments of these types: {call}"))
}

/// The engine's names of types.
const TYPES: &[&str] = &[
    "Binary",
    "BinaryView",
    "Boolean",
    "Date32",
    "Date64",
    "Decimal128",
    "Decimal256",
    "Decimal32",
    "Decimal64",
    "Dictionary",
    "Duration",
    "FixedSizeBinary",
    "FixedSizeList",
    "Float16",
    "Float32",
    "Float64",
    "Int16",
    "Int32",
    "Int64",
    "Int8",
    "Interval",
    "LargeBinary",
    "LargeList",
    "LargeUtf8",
    "List",
    "Map",
    "Struct",
    "Time32",
    "Time64",
    "Timestamp",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt8",
    "Utf8",
    "Utf8View",
];

/// A text of the engine with SQL's names of types and SQL's literals. What is quoted stays, and so does every word that
/// stands in what the user wrote.
pub(crate) fn sql_words(text: &str, written: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mine = |word: &str| written.split(|c| !is_part(c)).any(|w| w == word);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        if matches!(c, '\'' | '"' | '`') && !before.is_some_and(is_part) {
            let end = rest.get(1..).and_then(|r| r.find(c)).map_or(rest.len(), |at| at + 2);
            let (quoted, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            // A call in quotes is the engine's: 'abs(Utf8)'.
            match quoted.strip_prefix('\'').and_then(|q| q.strip_suffix('\'')) {
                Some(call) if call.ends_with(')') && !written.is_empty() && !written.contains(call) => {
                    out.push_str(&format!("'{}'", sql_words(call, written)));
                }
                _ => out.push_str(quoted),
            }
            (rest, before) = (after, Some(c));
            continue;
        }
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let Some((word, after)) = rest.split_at_checked(end.max(c.len_utf8())) else { break };
        let is_name =
            before == Some('.') || after.starts_with('.') && after.get(1..).is_some_and(|a| a.starts_with(is_part));
        match TYPES.contains(&word) && !is_name && !mine(word) {
            true => {
                let (said, left) = type_or_literal(word, after);
                out.push_str(&said);
                rest = left;
            }
            false => {
                out.push_str(word);
                rest = after;
            }
        }
        before = word.chars().last();
    }
    out
}

/// What a word that names a type stands for, with the parentheses behind it, and what follows.
fn type_or_literal<'a>(word: &str, after: &'a str) -> (String, &'a str) {
    let Some((inside, left)) = arguments(after).and_then(|(_, left)| {
        let end = after.len().checked_sub(left.len() + 1)?;
        Some((after.get(1..end)?, left))
    }) else {
        return (word.parse().map_or_else(|_| word.to_owned(), |t| type_name(&t)), after);
    };
    if let Ok(data_type) = format!("{word}({inside})").parse::<DataType>() {
        return (type_name(&data_type), left);
    }
    let said = match (word, inside) {
        (_, "NULL") => "NULL".to_owned(),
        ("Utf8" | "LargeUtf8" | "Utf8View" | "Date32" | "Date64", text) => {
            let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
            let quoted = format!("'{}'", text.replace("\\\"", "\"").replace('\'', "''"));
            if word.starts_with("Date") { format!("DATE {quoted}") } else { quoted }
        }
        ("Boolean", truth) => truth.to_uppercase(),
        (word, number) if word.starts_with("Int") || word.starts_with("UInt") || word.starts_with("Float") => {
            number.to_owned()
        }
        _ => format!("{word}({inside})"),
    };
    (said, left)
}

fn called(name: &str, arguments: &[&str]) -> Option<String> {
    let operator = |text: &str| {
        let name = text.split('(').next().unwrap_or_default();
        INFIX.iter().find(|(n, _)| *n == name).map(|(_, sql)| *sql)
    };
    match arguments {
        [argument] if SILENT.contains(&name) => Some(sql_text(argument)),
        // Behind a name of a column its table's.
        [argument, ..] if name == "ingot_input" => Some(sql_text(argument)),
        [left, right] => {
            let side = |text: &str| match operator(text) {
                Some(_) => format!("({})", sql_text(text)),
                None => sql_text(text),
            };
            operator(name).map(|op| format!("{} {op} {}", side(left), side(right)))
        }
        _ => None,
    }
}

/// The arguments of a call whose parenthesis begins the text, and what follows it; None if it does not end.
fn arguments(text: &str) -> Option<(Vec<&str>, &str)> {
    let inside = text.strip_prefix('(')?;
    let (mut all, mut begin, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in inside.char_indices() {
        match (quote, c) {
            (Some(q), c) => quote = (c != q).then_some(q),
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')') if depth == 0 => {
                all.push(inside.get(begin..at)?.trim());
                return Some((all, inside.get(at + 1..)?));
            }
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                all.push(inside.get(begin..at)?.trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{call_text, sql_text, sql_words};

    #[test]
    fn calls_that_do_not_fit_are_said_shortly() {
        let tail = " No function matches the given name and argument types 'f(Utf8, Timestamp(µs))'. You might need to \
                    add explicit type casts.\n\tCandidate functions:\n\tf(Int64)";
        for (text, wanted) in [
            (
                "Internal error: Function 'f' failed to match any signature, errors: x, y.",
                Some("f does not take arguments of these types: f(Utf8, Timestamp(µs))"),
            ),
            (
                "Execution error: Function 'f' user-defined coercion failed with: Error during planning: f takes one list, not 2 arguments",
                Some("f takes one list, not 2 arguments"),
            ),
            (
                "Function 'f' user-defined coercion failed with: Execution error: of theirs",
                Some("f does not take arguments of these types: f(Utf8, Timestamp(µs))"),
            ),
        ] {
            assert_eq!(call_text(&format!("{text}{tail}")).as_deref(), wanted);
        }
        let bare = call_text("Internal error: Function 'f' failed to match any signature, errors: x");
        assert_eq!(bare.as_deref(), Some("f does not take arguments of these types"));
        assert_eq!(call_text("column \"f\" does not exist"), None);
    }

    #[test]
    fn internal_names_are_said_in_sql() {
        for (text, wanted) in [
            ("ingot_sum(t.x) needs all values", "sum(t.x) needs all values"),
            ("GROUP BY ingot_multiply(ingot_add(t.a, Int64(1)), f(b, c))", "GROUP BY (t.a + Int64(1)) * f(b, c)"),
            ("ingot_canonical(ingot_divide(a, b)) = ingot_exactly(c)", "a / b = c"),
            ("ingot_cast(s), ingot_try_cast(s)", "CAST(s), TRY_CAST(s)"),
            ("- of ingot_input(b) and ingot_signed(rank())", "- of b and rank()"),
            ("perhaps you need to cast ingot_input(b, Utf8(\"a\"))", "perhaps you need to cast b"),
            ("ingot_add(Utf8(\"a, (\"), b)", "Utf8(\"a, (\") + b"),
            ("a cut ingot_add(a, b", "a cut ingot_add(a, b"),
            ("column \"ingot_sums\" is ours; é ingot_", "column \"ingot_sums\" is ours; é ingot_"),
            ("no name", "no name"),
        ] {
            assert_eq!(sql_text(text), wanted);
        }
    }

    #[test]
    fn types_and_literals_are_said_in_sql() {
        for (text, wanted) in [
            ("Cannot compare Utf8 with List(Int64)", "Cannot compare STRING with ARRAY<BIGINT>"),
            ("a Decimal128(38, 10), a Timestamp(µs, \"UTC\")", "a DECIMAL(38, 10), a TIMESTAMPTZ"),
            ("t.a + Int64(1) AND b = Utf8(\"it's\")", "t.a + 1 AND b = 'it''s'"),
            ("Int64(NULL), Boolean(true), Date32(\"2020-01-01\")", "NULL, TRUE, DATE '2020-01-01'"),
            (
                "column \"Int64\", t.Utf8, Utf8.x, 'Int64 1', myInt64, Int64_x",
                "column \"Int64\", t.Utf8, Utf8.x, 'Int64 1', myInt64, Int64_x",
            ),
            ("Float32 is mine, Float64 is not", "Float32 is mine, DOUBLE is not"),
            ("cut Decimal128(38, é", "cut Decimal128(38, é"),
            ("don't say Utf8", "don't say STRING"),
            ("no function 'abs(Utf8)', but '(x, Float32)'", "no function 'abs(STRING)', but '(x, Float32)'"),
        ] {
            assert_eq!(sql_words(text, "SELECT arrow_cast(x, 'Float32')"), wanted);
        }
    }
}
