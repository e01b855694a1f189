//! Texts in raw bytes: what a condition compares with, and whether bytes hold it.
//!
//! Not here: which columns are searched (`find`).

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The texts that a condition says a column is equal to.
pub(super) fn compared(condition: &Expr) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    // A closure that does not fail.
    let _ = condition.apply(|e| {
        match e {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                texts.extend(text(left));
                texts.extend(text(right));
            }
            Expr::InList(list) if !list.negated => texts.extend(list.list.iter().filter_map(text)),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    texts.remove("");
    texts
}

fn text(e: &Expr) -> Option<String> {
    match e {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
            _,
        ) => Some(text.clone()),
        Expr::Cast(cast) => text(&cast.expr),
        Expr::Alias(alias) => text(&alias.expr),
        _ => None,
    }
}

/// A text as it may stand in bytes: as it is, and as JSON writes it, with and without escapes for what is not ASCII.
pub(super) fn forms(text: &str) -> BTreeSet<Vec<u8>> {
    let json = serde_json::to_string(text).unwrap_or_default();
    let inner = json.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let mut ascii = String::new();
    for c in inner.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            ascii.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    let slashed = inner.replace('/', "\\/");
    [text, inner, &ascii, &slashed].into_iter().map(|form| form.as_bytes().to_vec()).collect()
}

/// Whether bytes hold a form between bytes that are no letters or digits: `al` is not in `"alice"`.
pub(super) fn holds(bytes: &[u8], form: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80;
    let ends_in_word = (form.first().is_some_and(is_word), form.last().is_some_and(is_word));
    let mut at = 0;
    while let Some(found) = find(bytes.get(at..).unwrap_or_default(), form) {
        let (start, end) = (at + found, at + found + form.len());
        let before = start.checked_sub(1).and_then(|i| bytes.get(i)).is_some_and(is_word);
        let after = bytes.get(end).is_some_and(is_word);
        if !(ends_in_word.0 && before || ends_in_word.1 && after) {
            return true;
        }
        at = start + 1;
    }
    false
}

fn find(bytes: &[u8], form: &[u8]) -> Option<usize> {
    if form.is_empty() {
        return None;
    }
    bytes.windows(form.len()).position(|window| window == form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_whole() {
        let found = |bytes: &str, text: &str| forms(text).iter().any(|form| holds(bytes.as_bytes(), form));
        assert!(found(r#"{"mail":"a@b.c""#, "a@b.c") && found("a@b.c", "a@b.c") && found("xa@b.c a@b.c", "a@b.c"));
        assert!(!found("aa@b.c", "a@b.c") && !found("a@b.com", "a@b.c") && !found("", "a") && !found("a", ""));
        assert!(found(r#"{"n":"O\"Neil"}"#, "O\"Neil") && found(r#"{"n":"Z\u00fcrich"}"#, "Zürich"));
        assert!(found("{\"n\":\"Zürich\"}", "Zürich") && found(r#"["a\/b"]"#, "a/b") && !found("Zürichs", "Zürich"));
        assert!(found("-5-", "-5-") && found("x-5-y", "-5-"));
    }
}
