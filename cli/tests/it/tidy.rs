//! Habits that hold because a machine checks them: who may import whom, how long a file may be, what it says first.
//!
//! Invariants
//! * Every finding names the file and what to do; all findings of a run are shown at once.
//! * Only the standard library is used, so that the test costs nothing to build.
//!
//! Not here: formatting and lints (`cargo fmt`, `cargo clippy`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;

/// Crates from the pure core outwards. A crate may depend on those of a lower rank alone.
const RANKS: &[(&str, &str, u8)] = &[
    ("ingot-model", "engine/model", 0),
    ("ingot-telemetry", "engine/telemetry", 0),
    ("ingot-dialect", "engine/dialect", 0),
    ("ingot-semantics", "engine/semantics", 1),
    ("ingot-delta", "engine/delta", 2),
    ("ingot-lake", "engine/lake", 2),
    ("ingot-source", "engine/source", 2),
    ("ingot-project", "engine/project", 3),
    ("ingot-query", "engine/query", 4),
    ("ingot-pipeline", "engine/pipeline", 5),
    ("ingot-flight", "flight-server", 6),
    ("ingot", "cli", 7),
];

/// The folders of all crates.
pub(crate) const CRATES: &[&str] = &[
    "cli",
    "engine/telemetry",
    "engine/model",
    "engine/dialect",
    "engine/semantics",
    "engine/delta",
    "engine/lake",
    "engine/source",
    "engine/project",
    "engine/query",
    "engine/pipeline",
    "flight-server",
];

/// What only one crate may depend on: the outside world enters through one door each.
const DOORS: &[(&str, &str)] = &[
    ("iceberg", "ingot-lake"),
    ("sqlx", "ingot-lake"),
    ("rdkafka", "ingot-source"),
    ("prometheus", "ingot-telemetry"),
    ("axum", "ingot-flight"),
    ("tonic", "ingot-flight"),
    ("arrow-flight", "ingot-flight"),
];

/// The one file that talks to C.
const UNSAFE_FILE: &str = "engine/source/src/kafka/ffi.rs";

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder").to_path_buf()
}

/// Every file below the root with one of these endings, as (path from the root, text); build results left out.
pub(crate) fn files(endings: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                // A module may be called target, too.
                let is_built = name == "target" && path.join("CACHEDIR.TAG").exists();
                if !name.starts_with('.') && !is_built && name != "warehouse" && name != "proptest-regressions" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let shown = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((shown, fs::read_to_string(&path).expect("text in UTF-8")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no files with {endings:?}");
    found
}

pub(crate) fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

/// The names in a manifest's `[dependencies]`; with `all`, those for tests and builds too.
fn dependencies(manifest: &str, all: bool) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || (all && line.ends_with("dependencies]"));
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            names.insert(name.trim_matches('"').to_owned());
        }
    }
    names
}

#[test]
fn imports_point_one_way() {
    let mut findings = Vec::new();
    for (name, folder, rank) in RANKS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{folder}/Cargo.toml is not {name}'s");
        for dependency in dependencies(&manifest, true) {
            if let Some((.., lower)) = RANKS.iter().find(|(n, ..)| *n == dependency)
                && lower >= rank
            {
                findings.push(format!("{folder}/Cargo.toml: {name} must not depend on {dependency}"));
            }
        }
        for (door, owner) in DOORS {
            if owner != name && dependencies(&manifest, false).contains(*door) {
                findings.push(format!("{folder}/Cargo.toml: only {owner} depends on {door}"));
            }
        }
    }
    report(&findings);
}

/// A project is checked where neither Kafka's library nor a catalog's driver is built.
#[test]
fn a_project_is_checked_without_servers() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "ingot-project", "--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    assert!(tree.contains("ingot-source"), "{tree}");
    let refused = ["ingot-lake", "iceberg", "rdkafka", "sqlx"];
    let findings = tree.lines().filter(|line| refused.iter().any(|name| line.starts_with(name)));
    report(&findings.map(|line| format!("ingot-project must not stand on {line}")).collect::<Vec<_>>());
}

#[test]
fn every_crate_is_ranked() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let members = workspace.lines().find(|l| l.starts_with("members")).expect("a line of members");
    let mut findings = Vec::new();
    for member in members.split('"').skip(1).step_by(2) {
        if !RANKS.iter().any(|(_, folder, _)| *folder == member) {
            findings.push(format!("Cargo.toml: give {member} a rank in cli/tests/it/tidy.rs"));
        }
    }
    report(&findings);
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if !text.starts_with("//! ") {
            findings.push(format!("{path}:1: begin with a module header (`//! What it is.`)"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{path}: {lines} lines, more than {LINES_MAX}: split it by responsibility"));
        }
        let stem = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy();
        if EMPTY_NAMES.contains(&stem.as_ref()) {
            findings.push(format!("{path}: name it after what is inside"));
        }
    }
    report(&findings);
}

#[test]
fn c_is_spoken_in_one_file() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if path == UNSAFE_FILE || path == "cli/tests/it/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("unsafe {")
                || code.contains("unsafe fn")
                || code.contains("unsafe impl")
                || code.contains("allow(unsafe_code)")
            {
                findings.push(format!("{path}:{}: unsafe code belongs in {UNSAFE_FILE}", number + 1));
            }
        }
    }
    report(&findings);
}

/// What makes a tree of a text in SQL, and what reads a name as one.
const READS_SQL: &[&str] = &[
    "Parser::new(&",
    "Parser::parse_sql",
    "Tokenizer::new(&",
    "GenericDialect",
    "PostgreSqlDialect",
    "DFParser",
    "create_logical_plan",
    "sql_to_statement",
    "parse_sql_expr",
    "TableReference::parse_str(",
    "TableReference::from(",
    "from_qualified_name",
    "context.sql(",
    "ctx.sql(",
];

/// Where else than in the dialect SQL is read, and why.
const READERS_OF_SQL: &[(&str, &str)] =
    &[("engine/query/src/statement.rs", "tokens of the dialect, by its grammar: statements that only DataFusion has")];

/// Files of tests, and what of a file is none.
fn without_tests(path: &str, text: &str) -> String {
    let is_test = path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs");
    if is_test { String::new() } else { text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned() }
}

/// One text has one meaning: files, clients' statements and what is kept and read again go through the dialect.
#[test]
fn sql_is_read_by_one_front_end() {
    let mut findings = Vec::new();
    let mut reading = BTreeSet::new();
    for (path, text) in files(&[".rs"]).iter().filter(|(path, _)| path.contains("/src/")) {
        if path.starts_with("engine/dialect/") {
            continue;
        }
        for (number, line) in without_tests(path, text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !READS_SQL.iter().any(|name| code.contains(name)) {
                continue;
            }
            reading.insert(path.clone());
            if !READERS_OF_SQL.iter().any(|(reader, _)| reader == path) {
                findings
                    .push(format!("{path}:{}: SQL is read in engine/dialect alone (`written`, `client`)", number + 1));
            }
        }
    }
    for (reader, _) in READERS_OF_SQL.iter().filter(|(reader, _)| !reading.contains(*reader)) {
        findings.push(format!("cli/tests/it/tidy.rs: {reader} reads no SQL: take it out of READERS_OF_SQL"));
    }
    report(&findings);
}

/// `println!` panics when the reader of stdout has gone, and `eprintln!` when that of stderr has.
#[test]
fn commands_write_through_one_door() {
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs"]).iter().filter(|(path, _)| path.starts_with("cli/src/")) {
        for (number, line) in text.lines().enumerate() {
            if ["print!(", "println!("].iter().any(|m| line.split("//").next().unwrap_or_default().contains(m)) {
                findings.push(format!("{path}:{}: write with `say!` or `note!` (cli/src/tell.rs)", number + 1));
            }
        }
    }
    report(&findings);
}

/// The crash test kills at every point of this list, so a point that nothing passes would fail there, slowly.
#[test]
fn every_crash_point_is_passed_somewhere() {
    let mut passed = BTreeSet::new();
    for (_, text) in files(&[".rs"]) {
        passed
            .extend(text.split("crash::point(\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)));
    }
    let list = fs::read_to_string(root().join("engine/lake/src/crash.rs")).expect("the list of points");
    let list = list.split("POINTS: &[&str] = &[").nth(1).and_then(|rest| rest.split("];").next()).expect("the list");
    let listed: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let differ: Vec<String> = passed.symmetric_difference(&listed).map(|p| format!("crash point {p}")).collect();
    report(&differ);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TO", "FIX", "HA"].iter().zip(["DO", "ME", "CK"]).map(|(a, b)| format!("{a}{b}")).collect::<Vec<_>>();
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs", ".sql", ".sh", ".py", ".java", ".toml", ".md"]) {
        for (number, line) in text.lines().enumerate() {
            for mark in &marks {
                if line.split(|c: char| !c.is_alphanumeric()).any(|word| word == mark) {
                    findings
                        .push(format!("{path}:{}: {mark}: do it, or say in plain words what is not there", number + 1));
                }
            }
        }
    }
    report(&findings);
}

/// Whether a word in backticks or a link looks like a file of this repository.
fn looks_like_path(word: &str) -> bool {
    let known = [".rs", ".sh", ".py", ".java", ".sql", ".md", ".toml", ".slt"].iter().any(|e| word.ends_with(e));
    known && !word.contains(['*', '$', '<', '{', ' ', ':']) && !word.starts_with(['/', '~', '.'])
}

#[test]
fn documents_name_files_that_exist() {
    let root = root();
    let mut findings = Vec::new();
    for (path, text) in files(&[".md"]) {
        let folder = Path::new(&path).parent().unwrap_or(Path::new("")).to_path_buf();
        for (number, line) in text.lines().enumerate() {
            let quoted = line.split('`').skip(1).step_by(2);
            let linked = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            for word in quoted.chain(linked).filter(|w| looks_like_path(w) && w.contains('/')) {
                if !root.join(word).exists() && !root.join(&folder).join(word).exists() {
                    findings.push(format!("{path}:{}: there is no {word}", number + 1));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn comments_name_documents_that_exist() {
    let root = root();
    let documents: BTreeSet<String> = files(&[".md"])
        .into_iter()
        .filter_map(|(path, _)| Path::new(&path).file_name().map(|n| n.to_string_lossy().into_owned()))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in files(&[".rs", ".sql", ".sh", ".py", ".java", ".toml"]) {
        for (number, line) in text.lines().enumerate() {
            let Some((_, comment)) =
                line.split_once("//").or_else(|| line.split_once('#')).or_else(|| line.split_once("--"))
            else {
                continue;
            };
            let words = comment.split(|c: char| !(c.is_alphanumeric() || "._/-".contains(c)));
            for word in words.map(|w| w.trim_end_matches('.')).filter(|w| w.len() > 3 && w.ends_with(".md")) {
                let name = word.rsplit('/').next().unwrap_or(word);
                if !documents.contains(name) && !root.join(word).exists() {
                    findings.push(format!("{path}:{}: there is no {word}", number + 1));
                }
            }
        }
    }
    report(&findings);
}
