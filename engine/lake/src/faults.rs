//! Faults that tests put where a machine can fail.
//!
//! Not here: ending the process at a named point (`crash`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The next COMMIT succeeds and reports an error.
    pub(crate) lose_answer: AtomicBool,
    /// How many COMMITs from now on do not happen and report an error.
    pub(crate) lose_commit: AtomicUsize,
    /// The next COMMIT that would happen is a conflict, and reads fail after it.
    pub(crate) conflict_then_silence: AtomicBool,
    /// How many reads fail from now on.
    pub(crate) fail_reads: AtomicUsize,
}

impl Faults {
    pub(crate) fn take(flag: &AtomicBool) -> bool {
        flag.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn one_of(count: &AtomicUsize) -> bool {
        let down = |n: usize| n.checked_sub(1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down).is_ok()
    }
}
