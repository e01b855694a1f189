//! Progress of long work: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::show;
use crate::tell::note;

/// How often plain lines come.
const LINE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Bar {
    bar: Option<ProgressBar>,
    total: u64,
    unit: &'static str,
    quiet: bool,
    last: Arc<Mutex<Instant>>,
}

impl Bar {
    pub fn new(total: u64, unit: &'static str, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = terminal.then(|| {
            let template = "{bar:30} {human_pos} of {human_len} {msg}, {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(unit)
        });
        Self { bar, total, unit, quiet, last: Arc::new(Mutex::new(Instant::now())) }
    }

    pub fn set(&self, n: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(n);
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.quiet && last.elapsed() >= LINE {
            *last = Instant::now();
            note!("{} of {} {}", show::number(n), show::number(self.total), self.unit);
        }
    }

    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
