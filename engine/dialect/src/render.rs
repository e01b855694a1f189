//! Diagnostics as text for people, in rustc's layout.
//!
//!   error[N0103]: unquoted vehicleId means vehicleid
//!    --> sql/silver/events.sql:7:7
//!     |
//!   7 | WHERE vehicleId = 1
//!     |       ^^^^^^^^^ no such column
//!     |
//!     = help: write "vehicleId"
//!
//! Not here: JSON (`diagnostic::to_json`).

use crate::diagnostic::{Diagnostic, Severity};

const TAB: &str = "    ";

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

    let line_number = d.span.map(|s| s.start.line).unwrap_or(0);
    let margin = " ".repeat(line_number.max(1).to_string().len());
    let bar = ink.paint("1;34", "|");
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
        let pad = format!("{margin} {bar}");
        let number = ink.paint("1;34", &line_number.to_string());
        let carets = "^".repeat(excerpt.width.max(1));
        let code = if d.severity == Severity::Error { "1;31" } else { "1;33" };
        let mut under = carets;
        if excerpt.continues {
            under.push_str("...");
        }
        if let Some(label) = &d.label {
            under.push(' ');
            under.push_str(label);
        }
        out.push_str(&format!("{pad}\n{number} {bar} {}\n", excerpt.line));
        out.push_str(&format!("{pad} {}{}\n", " ".repeat(excerpt.indent), ink.paint(code, &under)));
        if !(d.notes.is_empty() && d.helps.is_empty()) {
            out.push_str(&format!("{pad}\n"));
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

/// The first line of a span with the underline's place in terminal cells.
struct Excerpt {
    line: String,
    indent: usize,
    width: usize,
    continues: bool,
}

impl Excerpt {
    fn of(source: &str, span: &crate::ast::Span) -> Option<Self> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let index = usize::try_from(span.start.line).ok()?.checked_sub(1)?;
        let line = source.split('\n').nth(index)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let start = usize::try_from(span.start.column).ok()?.checked_sub(1)?;
        let continues = span.end.line > span.start.line;
        let end = if continues { usize::MAX } else { usize::try_from(span.end.column).ok()?.saturating_sub(1) };
        let (mut shown, mut indent, mut width) = (String::new(), 0, 0);
        for (i, c) in line.chars().enumerate() {
            let (text, cells) = match c {
                '\t' => (TAB.to_string(), TAB.len()),
                c if c.is_control() => ("\u{fffd}".to_string(), 1),
                c => (c.to_string(), cells(c)),
            };
            if i < start {
                indent += cells;
            } else if i < end {
                width += cells;
            }
            shown.push_str(&text);
        }
        // The underline of a span over several lines ends with the line's text.
        let shown = shown.trim_end().to_string();
        if continues {
            let total: usize = shown.chars().map(cells).sum();
            width = total.saturating_sub(indent);
        }
        Some(Self { line: shown, indent, width, continues })
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
