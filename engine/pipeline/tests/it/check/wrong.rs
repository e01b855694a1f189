//! Runs every project of `wrong/`.
//!
//! A case is a folder with `expected.txt`, or a file `x.sql` with `x.expected.txt`, which is checked as
//! `silver/x.sql` beside the files of `wrong_base/`. A folder may hold `ingot.toml`, and `variables.txt` with lines
//! `NAME=value`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ingot_dialect::ast::{Location, Span};
use ingot_dialect::{Diagnostic, explain, render};
use ingot_project::{check::check_files, config::Config, project::SqlFile};

const CASES_MIN: usize = 60;
const CODES_MIN: usize = 30;

fn sql_files(root: &Path, below: &Path, out: &mut Vec<SqlFile>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(below).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sql_files(root, &path, out);
        } else if path.extension().is_some_and(|e| e == "sql") {
            let shown = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            out.push(SqlFile { path: shown, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
}

/// The text of a span: what the user sees underlined.
fn text_at(text: &str, span: Span) -> String {
    let mut out = String::new();
    let (mut line, mut column) = (1, 1);
    for c in text.trim_start_matches('\u{feff}').chars() {
        let at = Location::new(line, column);
        if at >= span.start && at < span.end {
            out.push(c);
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    out
}

fn report(diagnostics: &[Diagnostic], texts: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for d in diagnostics {
        let text = d.file.as_ref().and_then(|f| texts.get(f));
        writeln!(out, "{}", render(d, text.map(String::as_str), false).trim_end()).unwrap();
        if let (Some(text), Some(span)) = (text, d.span) {
            let marked = text_at(text, span);
            assert!(!marked.is_empty(), "{}: the span {span:?} holds no text", d.message);
            writeln!(out, "marked: {}", marked.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        }
        for s in &d.suggestions {
            let text = text.expect("a suggestion has a file");
            writeln!(out, "mend: {} -> {}", text_at(text, s.span), s.replacement).unwrap();
        }
        out.push('\n');
    }
    out
}

fn run(case: &Path, base: &Path) -> (String, Vec<&'static str>) {
    let mut files = Vec::new();
    let (mut toml, mut variables) = (super::BROKERS.to_owned(), BTreeMap::new());
    if case.is_dir() {
        sql_files(case, case, &mut files);
        if let Ok(text) = std::fs::read_to_string(case.join("ingot.toml")) {
            toml = text;
        }
        if let Ok(text) = std::fs::read_to_string(case.join("variables.txt")) {
            variables = text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        }
    } else {
        sql_files(base, base, &mut files);
        let name = case.file_name().unwrap().to_str().unwrap();
        files.push(SqlFile { path: format!("silver/{name}"), text: std::fs::read_to_string(case).unwrap() });
    }
    let mut texts: BTreeMap<String, String> = files.iter().map(|f| (f.path.clone(), f.text.clone())).collect();
    texts.insert("ingot.toml".into(), toml.clone());
    let folder = Path::new("/project");
    let diagnostics =
        match Config::from_parts(Some(&toml), folder, folder, None, &[], &variables, ingot_source::check_property) {
            Ok(cfg) => {
                let checked = check_files(case, files, &cfg);
                assert_eq!(checked.project.is_none(), checked.has_errors());
                checked.diagnostics
            }
            Err(diagnostics) => diagnostics,
        };
    (report(&diagnostics, &texts), diagnostics.iter().map(|d| d.code).collect())
}

#[test]
fn wrong_projects_say_what_is_wrong() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (wrong, base) = (root.join("wrong"), root.join("wrong_base"));
    let bless = std::env::var_os("BLESS").is_some();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(&wrong).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    let (mut cases, mut codes, mut unexplained, mut different) =
        (0, BTreeSet::new(), BTreeSet::<&str>::new(), Vec::new());
    for case in entries {
        let expected = match (case.is_dir(), case.extension().and_then(|e| e.to_str())) {
            (true, _) => case.join("expected.txt"),
            (false, Some("sql")) => case.with_extension("expected.txt"),
            _ => continue,
        };
        cases += 1;
        let (said, its_codes) = run(&case, &base);
        assert!(!its_codes.is_empty(), "{} is not wrong", case.display());
        unexplained.extend(its_codes.iter().copied().filter(|c| explain(c).is_none()));
        codes.extend(its_codes);
        if bless {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            different.push(format!("--- {}\n{said}", expected.display()));
        }
    }
    assert!(
        different.is_empty(),
        "{} case(s) say something else (BLESS=1 rewrites):\n{}",
        different.len(),
        different.join("\n")
    );
    assert!(unexplained.is_empty(), "codes that `ingot explain` does not know: {unexplained:?}");
    assert!(cases >= CASES_MIN, "{cases} cases");
    assert!(codes.len() >= CODES_MIN, "{} codes", codes.len());
}

/// Two broken tables are both reported, and a reader of one is not.
#[test]
fn base_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong_base");
    let mut files = Vec::new();
    sql_files(&root, &root, &mut files);
    let checked = check_files(&root, files, &super::config(super::BROKERS, &[]));
    assert!(checked.diagnostics.is_empty(), "{:#?}", checked.diagnostics);
}
