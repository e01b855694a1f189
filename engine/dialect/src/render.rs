//! Diagnostics, and places of a text, as text for people, in rustc's layout.
//!
//!   error[N0103]: unquoted vehicleId means vehicleid
//!    --> sql/silver/events.sql:7:7
//!     |
//!   7 | WHERE vehicleId = 1
//!     |       ^^^^^^^^^ no such column
//!     |
//!     = help: write "vehicleId"
//!
//! Invariants
//! * The marks stand under the place on a terminal: tabs are four cells, wide characters two, other control characters one.
//! * A line is at most `CELLS_MAX` cells, cut around the place.
//!
//! Not here: JSON (`diagnostic::to_json`).

use crate::ast::Span;
use crate::diagnostic::{Diagnostic, Severity};

const TAB: &str = "    ";

/// Cells of a line that are shown; of a longer one, those around the place.
const CELLS_MAX: usize = 160;

/// Stands where a line is cut, and behind the marks of a place that goes on.
const CUT: &str = "...";

/// The line where a place of a text begins, numbered, and the place marked under it: three lines, the first an empty
/// margin. None if the text has no such line. No newline at the end.
pub fn excerpt(text: &str, span: Span) -> Option<String> {
    Excerpt::of(text, &span).map(|excerpt| excerpt.painted(&Ink { color: false }, "", None))
}

/// The diagnostic in rustc's layout; ends with a newline. `source` is the text of its file.
pub fn render(d: &Diagnostic, source: Option<&str>, color: bool) -> String {
    let ink = Ink { color };
    let mut out = String::new();
    let head = format!("{}[{}]", d.severity.as_str(), d.code);
    let head = match d.severity {
        Severity::Error => ink.paint("1;31", &head),
        Severity::Warning => ink.paint("1;33", &head),
    };
    out.push_str(&format!("{head}{}\n", ink.paint("1", &format!(": {}", d.message))));

    let margin = margin(d.span.map_or(0, |s| s.start.line));
    let mut has_place = true;
    match (&d.file, &d.span) {
        (Some(file), Some(s)) => {
            let arrow = ink.paint("1;34", "-->");
            out.push_str(&format!("{margin}{arrow} {file}:{}:{}\n", s.start.line, s.start.column));
        }
        (Some(file), None) => out.push_str(&format!("{margin}{} {file}\n", ink.paint("1;34", "-->"))),
        (None, _) => has_place = false,
    }
    let excerpt = d.span.and_then(|span| source.and_then(|text| Excerpt::of(text, &span)));
    let has_excerpt = excerpt.is_some();
    if let Some(excerpt) = excerpt {
        let code = if d.severity == Severity::Error { "1;31" } else { "1;33" };
        out.push_str(&excerpt.painted(&ink, code, d.label.as_deref()));
        out.push('\n');
        if !(d.notes.is_empty() && d.helps.is_empty()) {
            out.push_str(&format!("{margin} {}\n", ink.paint("1;34", "|")));
        }
    }
    let margin = if has_place || has_excerpt { margin } else { String::from(" ") };
    if let (Some(label), false) = (&d.label, has_excerpt) {
        attach(&mut out, &ink, &margin, "note", label);
    }
    for note in &d.notes {
        attach(&mut out, &ink, &margin, "note", note);
    }
    for help in &d.helps {
        attach(&mut out, &ink, &margin, "help", help);
    }
    out
}

/// `  = help: text`, further lines of the text under its beginning.
fn attach(out: &mut String, ink: &Ink, margin: &str, kind: &str, text: &str) {
    let indent = " ".repeat(margin.len() + 3 + kind.len() + 2);
    let text = text.replace('\n', &format!("\n{indent}"));
    out.push_str(&format!("{margin} {} {}: {text}\n", ink.paint("1;34", "="), ink.paint("1", kind)));
}

struct Ink {
    color: bool,
}

impl Ink {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// As wide as a line's number.
fn margin(number: u64) -> String {
    " ".repeat(number.max(1).to_string().len())
}

/// The first line of a span with the underline's place in terminal cells.
struct Excerpt {
    number: u64,
    line: String,
    indent: usize,
    width: usize,
    continues: bool,
}

impl Excerpt {
    fn of(source: &str, span: &Span) -> Option<Self> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let number = span.start.line;
        let line = source.split('\n').nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let start = usize::try_from(span.start.column).ok()?.checked_sub(1)?;
        let continues = span.end.line > span.start.line;
        let end = if continues { usize::MAX } else { usize::try_from(span.end.column).ok()?.saturating_sub(1) };
        // The underline of a span over several lines ends with the line's text.
        let text = line.trim_end();
        let indent: usize = line.chars().take(start).map(|c| shown(c).1).sum();
        let all: usize = text.chars().map(|c| shown(c).1).sum();
        let width = if continues {
            all.saturating_sub(indent)
        } else {
            line.chars().take(end).skip(start).map(|c| shown(c).1).sum()
        };
        let from = if all > CELLS_MAX { indent.saturating_sub(CELLS_MAX / 2).min(all - CELLS_MAX) } else { 0 };
        // A wide character may stand over the edge.
        let (mut left, mut used, mut shown_text) = (0, 0, String::new());
        for (text, cells) in text.chars().map(shown) {
            if left < from {
                left += cells;
            } else if used + cells <= CELLS_MAX {
                used += cells;
                shown_text.push_str(&text);
            } else {
                break;
            }
        }
        let (before, after) = (if left > 0 { CUT } else { "" }, if left + used < all { CUT } else { "" });
        let indent = indent.saturating_sub(left);
        let width = if after.is_empty() { width } else { width.min(used.saturating_sub(indent)) };
        let line = format!("{before}{shown_text}{after}");
        Some(Self { number, line, indent: before.len() + indent, width, continues })
    }

    fn painted(&self, ink: &Ink, code: &str, label: Option<&str>) -> String {
        let bar = ink.paint("1;34", "|");
        let pad = format!("{} {bar}", margin(self.number));
        let number = ink.paint("1;34", &self.number.to_string());
        let mut under = "^".repeat(self.width.max(1));
        if self.continues {
            under.push_str(CUT);
        }
        if let Some(label) = label {
            under.push(' ');
            under.push_str(label);
        }
        let indent = " ".repeat(self.indent);
        format!("{pad}\n{number} {bar} {}\n{pad} {indent}{}", self.line, ink.paint(code, &under))
    }
}

/// What is shown of a character, and its cells.
fn shown(c: char) -> (String, usize) {
    match c {
        '\t' => (TAB.to_string(), TAB.len()),
        c if c.is_control() => ("\u{fffd}".to_string(), 1),
        c => (c.to_string(), cells(c)),
    }
}

/// Terminal cells of a character: East Asian wide and emoji take two, combining marks none.
fn cells(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe4f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Location;

    fn marked(text: &str, (line, from): (u64, u64), (to_line, to): (u64, u64)) -> Vec<String> {
        let span = Span::new(Location::new(line, from), Location::new(to_line, to));
        excerpt(text, span).unwrap().split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn marks_stand_under_what_they_mark() {
        assert_eq!(marked("SELECT *\r\nFROM\tt\r\n", (2, 6), (2, 7)), ["  |", "2 | FROM    t", "  |         ^"]);
        assert_eq!(
            marked("SELECT '日本', x", (1, 14), (1, 15)),
            ["  |", "1 | SELECT '日本', x", "  |                ^"]
        );
        assert_eq!(marked("SELECT '日本', x", (1, 8), (1, 12)), ["  |", "1 | SELECT '日本', x", "  |        ^^^^^^"]);
        assert_eq!(marked("\u{feff}a\u{7}b", (1, 3), (1, 4)), ["  |", "1 | a\u{fffd}b", "  |   ^"]);
        assert_eq!(marked("f(\n  a\n)", (1, 1), (3, 2)), ["  |", "1 | f(", "  | ^^..."]);
        assert_eq!(marked("a  ", (1, 2), (1, 3)), ["  |", "1 | a", "  |  ^"]);
        let tenth = format!("{}x", "\n".repeat(9));
        assert_eq!(marked(&tenth, (10, 1), (10, 2)), ["   |", "10 | x", "   | ^"]);
        let beyond = Span::new(Location::new(3, 1), Location::new(3, 2));
        assert_eq!((excerpt("a\nb", beyond), excerpt("a", Span::empty())), (None, None));
    }

    /// In both directions, at the ends and through wide characters, the marks stay under the place.
    #[test]
    fn long_lines_are_cut_around_the_place() {
        for fill in ["a", "日", "\ta", "e\u{301}"] {
            let filled = |chars: usize| fill.chars().cycle().take(chars).collect::<String>();
            for (before, after) in [(0, 1_000), (1, 1_000), (500, 500), (1_001, 0), (1_000, 3), (2_000, 161)] {
                let text = format!("{}<here>{}", filled(before), filled(after));
                let start = before as u64 + 1;
                let lines = marked(&text, (1, start), (1, start + 6));
                let [_, line, under] = lines.as_slice() else { panic!("{lines:?}") };
                let count = |text: &str| text.chars().map(cells).sum::<usize>();
                assert!(count(line) <= CELLS_MAX + 2 * CUT.len() + 4, "{line}");
                let at = line.find("<here>").map(|at| count(line.split_at(at).0));
                assert_eq!(Some(under.find('^').unwrap()), at, "{line}\n{under}");
                assert!(under.ends_with(" ^^^^^^"), "{under}");
                assert_eq!(line.starts_with("1 | ..."), before >= 500, "{line}");
                assert_eq!(line.ends_with("..."), after >= 161, "{line}");
            }
        }
        let text = format!("f({}\n)", "a".repeat(1_000));
        let lines = marked(&text, (1, 1), (2, 2));
        assert_eq!(lines[2], format!("  | {}...", "^".repeat(CELLS_MAX)));
    }
}
