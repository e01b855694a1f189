//! What there is to say of a code.

/// A code, a title of a few words, and a paragraph: what it means, an example, the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeInfo {
    pub code: &'static str,
    pub title: &'static str,
    pub text: &'static str,
    /// Whether trying again, with nothing changed, may help.
    pub retryable: bool,
}

pub(super) const fn code(code: &'static str, title: &'static str, text: &'static str) -> CodeInfo {
    CodeInfo { code, title, text, retryable: false }
}

/// A code whose cause lies outside and may go away by itself.
pub(super) const fn passing(code: &'static str, title: &'static str, text: &'static str) -> CodeInfo {
    CodeInfo { code, title, text, retryable: true }
}
