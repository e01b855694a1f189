//! Every code of the project, with its explanation.
//!
//! The letter says where to mend: P parse, N names, T types, C configuration, U unsupported yet, S source,
//! R refresh, D data, L lake, Q serving. Four digits follow; they are never reused.
//!
//! Invariant: a code is here if and only if some source file uses it.
//!
//! Not here: severities, which belong to each diagnostic.

mod config;
mod info;
mod lake;
mod names;
mod page;
mod parse;
mod refresh;
mod source;
mod types;
mod unsupported;

pub use info::CodeInfo;

use info::code;

const PARTS: &[&[CodeInfo]] = &[
    parse::CODES,
    names::CODES,
    types::CODES,
    config::CODES,
    unsupported::CODES,
    source::CODES,
    refresh::CODES,
    lake::CODES,
];

const COUNT: usize = {
    let (mut total, mut i) = (0, 0);
    while i < PARTS.len() {
        total += PARTS[i].len();
        i += 1;
    }
    total
};

static ALL: [CodeInfo; COUNT] = {
    let mut all = [code("", "", ""); COUNT];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut i = 0;
        while i < PARTS[part].len() {
            all[at] = PARTS[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    all
};

/// All codes, grouped by letter.
pub static CODES: &[CodeInfo] = &ALL;

/// The reference page of all codes, in Markdown.
pub fn reference() -> String {
    page::reference(CODES)
}

/// The explanation of a code; the letter may be in lower case.
pub fn explain(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|info| info.code.eq_ignore_ascii_case(code))
}

pub(crate) fn is_retryable(code: &str) -> bool {
    explain(code).is_some_and(|info| info.retryable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_well_formed_and_unique() {
        let mut seen = HashSet::new();
        for info in CODES {
            assert!(seen.insert(info.code), "{} twice", info.code);
            let (letter, digits) = info.code.split_at(1);
            assert!("PNTCUSRDLQ".contains(letter), "{}", info.code);
            assert!(digits.len() == 4 && digits.chars().all(|c| c.is_ascii_digit()), "{}", info.code);
            assert!(!info.title.is_empty() && !info.title.ends_with('.'), "{}", info.code);
            assert_eq!(info.text.matches('`').count() % 2, 0, "{}: a backtick without a partner", info.code);
            assert!(info.text.len() > 60, "{} needs a paragraph", info.code);
        }
    }

    #[test]
    fn explanations_are_found_whatever_the_case() {
        assert_eq!(explain("p0107").map(|i| i.code), Some("P0107"));
        assert!(explain("X9999").is_none());
    }

    #[test]
    fn the_page_holds_every_code() {
        let page = reference();
        for info in CODES {
            assert!(page.contains(&format!("### {}: ", info.code)), "{}", info.code);
        }
        for letter in "PNTCUSRDLQ".chars() {
            assert!(page.contains(&format!("\n## {letter}: ")), "{letter}");
        }
    }

    #[test]
    fn only_outside_causes_are_retryable() {
        assert!(is_retryable("S0105"));
        assert!(!is_retryable("P0101"));
    }
}
