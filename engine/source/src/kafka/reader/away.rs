//! A broker that does not answer.

use std::time::Instant;

/// A broker that does not answer: when to say so again.
pub(super) struct Away {
    pub(super) attempt: u32,
    pub(super) next: Instant,
}
