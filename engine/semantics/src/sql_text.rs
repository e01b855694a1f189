//! Names of our own functions in texts for users, as SQL says them.
//!
//!   ingot_multiply(ingot_add(a, b), c) ──▶ (a + b) * c        ingot_sum(x) ──▶ sum(x)
//!
//! Not here: names of columns, which keep what the user wrote (`rewrite`).

/// Operators.
const INFIX: &[(&str, &str)] = &[
    ("ingot_add", "+"),
    ("ingot_subtract", "-"),
    ("ingot_multiply", "*"),
    ("ingot_divide", "/"),
    ("ingot_remainder", "%"),
];
/// What the user did not write.
const SILENT: &[&str] = &["ingot_canonical", "ingot_exactly", "ingot_lazily"];
/// Functions.
const NAMED: &[(&str, &str)] = &[
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

fn called(name: &str, arguments: &[&str]) -> Option<String> {
    let operator = |text: &str| {
        let name = text.split('(').next().unwrap_or_default();
        INFIX.iter().find(|(n, _)| *n == name).map(|(_, sql)| *sql)
    };
    match arguments {
        [argument] if SILENT.contains(&name) => Some(sql_text(argument)),
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
    use super::sql_text;

    #[test]
    fn internal_names_are_said_in_sql() {
        for (text, wanted) in [
            ("ingot_sum(t.x) needs all values", "sum(t.x) needs all values"),
            ("GROUP BY ingot_multiply(ingot_add(t.a, Int64(1)), f(b, c))", "GROUP BY (t.a + Int64(1)) * f(b, c)"),
            ("ingot_canonical(ingot_divide(a, b)) = ingot_exactly(c)", "a / b = c"),
            ("ingot_cast(s), ingot_try_cast(s)", "CAST(s), TRY_CAST(s)"),
            ("ingot_add(Utf8(\"a, (\"), b)", "Utf8(\"a, (\") + b"),
            ("a cut ingot_add(a, b", "a cut ingot_add(a, b"),
            ("column \"ingot_sums\" is ours; é ingot_", "column \"ingot_sums\" is ours; é ingot_"),
            ("no name", "no name"),
        ] {
            assert_eq!(sql_text(text), wanted);
        }
    }
}
