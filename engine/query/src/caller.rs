//! Who asks.
//!
//! Not here: how a protocol proves it, and what a caller may see: there is one caller today, who may see everything.

use std::fmt;

/// Who asks: every call of a session names one. Two callers are the same if their users are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    user: &'static str,
}

impl Caller {
    /// Every client of an endpoint without authentication.
    pub const ANONYMOUS: Caller = Caller { user: "anonymous" };

    /// Another caller, to try what is kept apart.
    #[cfg(test)]
    pub(crate) const fn named(user: &'static str) -> Self {
        Caller { user }
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        self.user
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.user)
    }
}
