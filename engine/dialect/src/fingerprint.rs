//! What a body says, apart from how it is written.
//!
//! Invariants
//! * Equal up to whitespace, comments and the case of unquoted words: equal folded text, and only then.
//!
//! Not here: what goes into a model's fingerprint (`pipeline`).

use crate::ast::{Expr, Query};
use sha2::{Digest, Sha256};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// The tokens with single spaces between them: no whitespace, no comments, unquoted words in lower case.
pub fn fold_tokens(tokens: &[TokenWithSpan]) -> String {
    let mut out = String::new();
    for token in tokens {
        let text = match &token.token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::Word(w) => match w.quote_style {
                None => w.value.to_ascii_lowercase(),
                Some(_) => format!("\"{}\"", w.value.replace('"', "\"\"")),
            },
            Token::SingleQuotedString(s) => literal("", s),
            Token::NationalStringLiteral(s) => literal("n", s),
            Token::EscapedStringLiteral(s) => literal("e", s),
            Token::UnicodeStringLiteral(s) => literal("u&", s),
            Token::HexStringLiteral(s) => literal("x", s),
            Token::SingleQuotedByteStringLiteral(s) => literal("b", s),
            Token::SingleQuotedRawStringLiteral(s) => literal("r", s),
            Token::DollarQuotedString(s) => literal("$", &s.value),
            other => other.to_string(),
        };
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&text);
    }
    out
}

/// Prefix and quotes keep kinds of literals apart; quotes inside are doubled, so that none can end another.
fn literal(prefix: &str, text: &str) -> String {
    format!("{prefix}'{}'", text.replace('\'', "''"))
}

/// Hex SHA-256 over the parts, each preceded by its length, so that no two lists of parts give the same bytes.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        fold_tokens(&self.tokens) == fold_tokens(&other.tokens)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        fold_tokens(&self.tokens) == fold_tokens(&other.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::lex;

    fn fold(text: &str) -> String {
        let tokens: Vec<TokenWithSpan> = lex(text).tokens.iter().map(|t| t.with_span()).collect();
        fold_tokens(&tokens)
    }

    #[test]
    fn spelling_folds_and_meaning_stays() {
        assert_eq!(fold("SELECT  A -- x\n, \"B\" /* y */FROM t"), "select a , \"B\" from t");
        assert_eq!(fold("a  =  'It''s  A'"), "a = 'It''s  A'");
        assert_ne!(fold("'a'"), fold("\"a\""));
        assert_ne!(fold("'a' 'b'"), fold("'a'' ''b'"));
        assert_ne!(fold("e'a'"), fold("'a'"));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_ne!(fingerprint(&["a"]), fingerprint(&["a", ""]));
        assert_eq!(fingerprint(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
