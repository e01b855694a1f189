//! Plain tables on stdout.

use crate::tell::say_part;

/// Columns padded to their widest cell; the last one is not padded.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    say_part!("{}", text(head, rows))
}

fn text(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(head).add_rows(rows);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// `12_345_678` as `12,345,678`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes for people.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// A length of time for people.
pub fn age(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_they_show() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a.b", "", "x y"]), row(["名前", "1,000", ""])];
        let wanted = "table  rows   note\na.b           x y\n名前   1,000\n";
        assert_eq!(super::text(&["table", "rows", "note"], &rows), wanted);
        assert_eq!(super::text(&["table"], &[]), "table\n");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(super::number(0), "0");
        assert_eq!(super::number(999), "999");
        assert_eq!(super::number(1_000), "1,000");
        assert_eq!(super::number(12_345_678), "12,345,678");
        assert_eq!([0, 1_500, 2_000_000].map(super::bytes), ["0 B", "1.5 kB", "2.0 MB"]);
    }
}
