//! The pages of docs/ that the code vouches for: codes, configuration, and every example of the dialect.
//!
//! Invariants
//! * docs/codes.md, docs/config.md and docs/metrics.md are what the code generates; `BLESS=1` rewrites them.
//! * A code is registered if and only if some source file uses it.
//! * In docs/dialect.md a block ` ```sql ` parses, ` ```sql ingot-project ` is a project that `check` accepts without
//!   a warning (lines `-- file: PATH` divide it into files), and ` ```sql refused U0101 ` parses and is refused with
//!   that code.
//!
//! Not here: what diagnostics say (the pipeline's tests).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ingot_dialect::codes::{self, CODES};
use ingot_project::check::check_files;
use ingot_project::config::{Config, config_reference};
use ingot_project::project::{Checked, SqlFile};

const LETTERS: &str = "PNTCUSRDLQ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder").to_path_buf()
}

fn is_generated(page: &str, text: &str) {
    let path = root().join("docs").join(page);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "docs/{page} is not what the code says; BLESS=1 cargo test -p ingot docs rewrites it");
}

#[test]
fn codes_page_is_generated() {
    is_generated("codes.md", &codes::reference());
}

#[test]
fn config_page_is_generated() {
    is_generated("config.md", &config_reference());
}

#[test]
fn metrics_page_is_generated() {
    is_generated("metrics.md", &ingot_telemetry::reference());
}

/// Rust files that are part of the product: tests and the registry itself left out.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = name.starts_with('.')
            || ["target", "tests", "warehouse"].contains(&name.as_str())
            || path.ends_with("engine/dialect/src/codes")
            || path.ends_with("engine/dialect/src/codes.rs")
            || name.ends_with("tests.rs");
        if skipped {
            continue;
        }
        if path.is_dir() {
            sources(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

/// Words of a line that look like codes.
fn codes_in(line: &str) -> Vec<&str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|w| w.len() == 5 && LETTERS.contains(&w[..1]) && w[1..].bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

/// Every code of the sources with the first place that uses it.
fn used() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    files.sort();
    let mut used = BTreeMap::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (i, line) in product.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for code in codes_in(line) {
                used.entry(code.to_owned()).or_insert_with(|| format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    used
}

#[test]
fn codes_are_registered_if_and_only_if_used() {
    let used = used();
    assert!(used.len() > 150, "only {} codes found: the search is broken", used.len());
    let unregistered: Vec<String> =
        used.iter().filter(|(c, _)| codes::explain(c).is_none()).map(|(c, at)| format!("{c} at {at}")).collect();
    assert!(unregistered.is_empty(), "not in engine/dialect/src/codes: {unregistered:#?}");
    let unused: Vec<&str> = CODES.iter().map(|c| c.code).filter(|c| !used.contains_key(*c)).collect();
    assert!(unused.is_empty(), "registered in engine/dialect/src/codes, and used nowhere: {unused:?}");
}

/// The registry and the titles that `ingot-delta` exports must speak of the same codes.
#[test]
fn reasons_and_refusals_are_registered() {
    for (code, title) in ingot_delta::REASONS.iter().chain(ingot_delta::REFUSALS) {
        assert!(codes::explain(code).is_some(), "{code}: {title}");
    }
}

#[derive(Debug)]
struct Block {
    /// What stands behind `sql` on the opening line.
    mark: String,
    line: usize,
    text: String,
}

fn blocks() -> Vec<Block> {
    let page = std::fs::read_to_string(root().join("docs/dialect.md")).unwrap();
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (i, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => found.extend(open.take().filter(|b| b.mark != "-")),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => {
                let mark = info.strip_prefix("sql").map_or("-", str::trim).to_owned();
                open = Some(Block { mark, line: i + 1, text: String::new() });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of docs/dialect.md is not closed");
    found
}

/// The files of a block, divided at lines `-- file: PATH`.
fn files_of(block: &Block) -> Vec<SqlFile> {
    let mut files: Vec<SqlFile> = Vec::new();
    for line in block.text.lines() {
        match line.strip_prefix("-- file: ") {
            Some(path) => files.push(SqlFile { path: path.trim().to_owned(), text: String::new() }),
            None if files.is_empty() => {
                files.push(SqlFile { path: "silver/example.sql".into(), text: format!("{line}\n") })
            }
            None => {
                let text = &mut files.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    files
}

fn check(block: &Block) -> Checked {
    let folder = Path::new("/project");
    let toml = "kafka.bootstrap.servers = \"127.0.0.1:9092\"\n";
    let config =
        Config::from_parts(Some(toml), folder, folder, None, &[], &BTreeMap::new(), ingot_source::check_property)
            .unwrap();
    check_files(folder, files_of(block), &config)
}

#[test]
fn every_example_of_the_dialect_parses() {
    let blocks = blocks();
    assert!(blocks.len() >= 20, "{} blocks", blocks.len());
    for block in &blocks {
        for file in files_of(block) {
            let parsed = ingot_dialect::parse_file(&file.path, &file.text);
            let wrong: Vec<String> = parsed
                .diagnostics
                .iter()
                .filter(|d| d.is_error())
                .map(|d| ingot_dialect::render(d, Some(&file.text), false))
                .collect();
            assert!(wrong.is_empty(), "docs/dialect.md:{}:\n{}", block.line, wrong.join("\n"));
            assert!(!parsed.statements.is_empty(), "docs/dialect.md:{}: no statement", block.line);
        }
    }
}

#[test]
fn projects_of_the_dialect_page_are_right() {
    let projects: Vec<Block> = blocks().into_iter().filter(|b| b.mark == "ingot-project").collect();
    assert!(projects.len() >= 4, "{} projects", projects.len());
    for block in &projects {
        let checked = check(block);
        let found: Vec<String> =
            checked.diagnostics.iter().map(|d| ingot_dialect::render(d, checked.source_of(d), false)).collect();
        assert!(found.is_empty() && checked.project.is_some(), "docs/dialect.md:{}:\n{}", block.line, found.join("\n"));
    }
}

#[test]
fn refused_examples_are_refused() {
    let mut shown = BTreeSet::new();
    for block in blocks() {
        let Some(wanted) = block.mark.strip_prefix("refused ") else {
            let known = block.mark.is_empty() || block.mark == "ingot-project";
            assert!(known, "docs/dialect.md:{}: unknown mark \"{}\"", block.line, block.mark);
            continue;
        };
        let said: BTreeSet<&str> = check(&block).diagnostics.iter().filter(|d| d.is_error()).map(|d| d.code).collect();
        for code in wanted.split(' ') {
            assert!(said.contains(code), "docs/dialect.md:{}: {code} is not among {said:?}", block.line);
            shown.insert(code.to_owned());
        }
    }
    assert!(shown.len() >= 10, "{shown:?}");
}
