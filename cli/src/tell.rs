//! What commands write: results to stdout, everything else to stderr.
//!
//! Invariants
//! * A reader that has gone away (`ingot status | head -3`) ends the command without a word, as SIGPIPE ends other
//!   programs: the exit code is 141, so that output that was cut off is no success.
//! * A stderr that cannot be written stops nothing.

use std::fmt::Arguments;
use std::io::Write as _;

/// The exit code of a program that SIGPIPE ended.
pub const CLOSED: u8 = 141;

/// A line of the result.
macro_rules! say {
    () => { $crate::tell::result(format_args!("\n")) };
    ($($text:tt)*) => { $crate::tell::result(format_args!("{}\n", format_args!($($text)*))) };
}

/// A part of the result that ends its own lines.
macro_rules! say_part {
    ($($text:tt)*) => { $crate::tell::result(format_args!($($text)*)) };
}

/// A line for the person at the terminal.
macro_rules! note {
    () => { $crate::tell::aside(format_args!("\n")) };
    ($($text:tt)*) => { $crate::tell::aside(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {note, say, say_part};

pub fn result(text: Arguments<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_fmt(text)?;
    out.flush()
}

pub fn aside(text: Arguments<'_>) {
    // There is nowhere left to say that it failed.
    drop(std::io::stderr().lock().write_fmt(text));
}
