//! Named points at which a test ends this process, makes it stand still, or has the task there panic.
//!
//!   INGOT_CRASH="commit.before_swap:gold.stats=kill@2,side.committed=stop"
//!
//! ends it with SIGKILL at the second pass of the first point for that table, and suspends it with SIGSTOP at the first
//! pass of the other one, whatever the table. `=panic` panics there.
//!
//! Invariants
//! * A build without debug assertions holds none of it: `point` is empty there and the variable is not read.
//! * A name that is not in [`POINTS`] ends the process at once: a mistyped point would test nothing.
//!
//! Not here: what must hold after a crash (`tests/clients/crash.py`).

use std::fmt::Display;

/// Every point, in the order in which a run comes by.
pub const POINTS: &[&str] = &[
    "start.opened",
    "start.leased",
    "planned",
    "start.described",
    "start.side_ready",
    "start.table_ready",
    "create.before_metadata",
    "create.before_swap",
    "create.in_swap",
    "create.after_swap",
    "mend.files_written",
    "mend.committed",
    "polled",
    "decoded",
    "files_written",
    "commit.begun",
    "commit.before_metadata",
    "commit.before_swap",
    "commit.in_swap",
    "commit.after_swap",
    "commit.conflict",
    "commit.done",
    "side.committed",
    "main.committed",
    "refresh.pinned",
    "refresh.committed",
    "step.done",
    "compact.chosen",
    "compact.files_written",
    "compact.committed",
    "sweep.chosen",
    "sweep.deleted",
    "orphans.listed",
    "orphans.fenced",
    "orphans.deleted",
    "erase.taken_out",
    "erase.purged",
    "erase.followed",
    "erase.forgotten",
    "erase.deleted",
    "full.emptied",
    "full.side_emptied",
    "drop.before_catalog",
    "drop.after_catalog",
    "verify.loaded",
    "verify.replaying",
];

/// Passes a point; `on` is the table that is worked on, or nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str, _on: impl Display) {}

/// Passes a point; `on` is the table that is worked on, or nothing.
#[cfg(debug_assertions)]
pub fn point(name: &'static str, on: impl Display) {
    armed::pass(name, &on);
}

#[cfg(debug_assertions)]
mod armed {
    use std::fmt::Display;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::{Signal, raise};

    const VARIABLE: &str = "INGOT_CRASH";

    #[derive(Debug)]
    pub(super) struct Trap {
        name: String,
        on: Option<String>,
        /// `None`: a panic.
        signal: Option<Signal>,
        /// Passes until it springs.
        left: AtomicUsize,
    }

    static TRAPS: OnceLock<Vec<Trap>> = OnceLock::new();

    pub(super) fn pass(name: &'static str, on: &dyn Display) {
        debug_assert!(super::POINTS.contains(&name), "{name} is not in POINTS");
        let traps = TRAPS.get_or_init(|| {
            parse(&std::env::var(VARIABLE).unwrap_or_default()).unwrap_or_else(|wrong| {
                eprintln!("error: {VARIABLE}: {wrong}");
                std::process::exit(2);
            })
        });
        for trap in traps.iter().filter(|trap| trap.name == name) {
            if trap.springs(on) {
                let Some(signal) = trap.signal else { panic!("crash point {name} {on}") };
                eprintln!("crash point {name} {on}: {signal}");
                // The only failure is a signal that does not exist.
                let _ = raise(signal);
            }
        }
    }

    impl Trap {
        pub(super) fn springs(&self, on: &dyn Display) -> bool {
            self.on.as_ref().is_none_or(|wanted| *wanted == on.to_string())
                && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1)
        }
    }

    pub(super) fn parse(text: &str) -> Result<Vec<Trap>, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(trap).collect()
    }

    fn trap(text: &str) -> Result<Trap, String> {
        let (point, action) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not POINT=ACTION"))?;
        let (name, on) = point.split_once(':').map_or((point, None), |(name, on)| (name, Some(on.to_owned())));
        if !super::POINTS.contains(&name) {
            return Err(format!("there is no point \"{name}\""));
        }
        let (action, pass) = action.split_once('@').unwrap_or((action, "1"));
        let signal = match action {
            "kill" => Some(Signal::SIGKILL),
            "stop" => Some(Signal::SIGSTOP),
            "panic" => None,
            _ => return Err(format!("\"{action}\" is neither kill, stop nor panic")),
        };
        let left = pass.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("\"{pass}\" is no number of a pass"))?;
        Ok(Trap { name: name.to_owned(), on, signal, left: AtomicUsize::new(left) })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::parse;

    #[test]
    fn a_trap_springs_once_at_its_pass_and_for_its_table() {
        let traps = parse("commit.done:gold.stats=kill@2, polled=stop").unwrap();
        let on = |table: &'static str| traps[0].springs(&table);
        assert_eq!([on("gold.stats"), on("a.b"), on("gold.stats"), on("gold.stats")], [false, false, true, false]);
        assert!(traps[1].springs(&"any"));
    }

    #[test]
    fn what_would_test_nothing_is_refused() {
        for text in ["polld=kill", "polled", "polled=murder", "polled=kill@0", "polled=kill@x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
