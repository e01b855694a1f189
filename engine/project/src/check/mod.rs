//! Checks a project: SQL files to models, and everything that is wrong with them in one pass.
//!
//!   files ──▶ parse ──▶ names ──▶ graph ──▶ each table after what it reads: plan, type, refuse, try ──▶ Project
//!
//! Invariants
//! * An error in one table hides none in others; a table that reads a broken one is not blamed for it.
//! * Diagnostics come in the order of files and places, each once.
//!
//! Not here: the grammar (`ingot_dialect`), incremental rules (`ingot_delta`).

mod conditions;
mod expectation;
mod external;
mod judging;
mod kept;
mod model;
mod names;
mod output;
mod planning_error;
mod query;
mod references;
mod refused;
mod rehearsal;
mod resolve;
mod room;
mod sample;
mod side;
mod source;
mod spans;
mod streams;
mod table;
mod trial;
mod types;
mod unsupported;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::Statement;
use ingot_dialect::diagnostic::Diagnostic;

use crate::config::Config;
use crate::project::{Checked, Project, SqlFile};
use crate::stored::Stored;

pub use query::condition;
use trial::Trials;
pub use types::DialectTypes;
pub use types::type_word;

/// Folders nest this deep at most; a link that leads back to itself ends here.
const DEPTH_MAX: usize = 16;

/// Reads and checks the project below `root`: every `*.sql` file outside hidden folders.
///
/// Paths in diagnostics begin with `root` when it is relative, so that they can be opened from where the command ran.
pub fn load(root: &Path, cfg: &Config) -> Checked {
    load_with(root, cfg, Trials::default())
}

/// As `load`, without running plans over sample rows: for commands that read tables and build none.
pub fn load_to_read(root: &Path, cfg: &Config) -> Checked {
    load_with(root, cfg, Trials::none())
}

fn load_with(root: &Path, cfg: &Config, trials: Trials) -> Checked {
    let mut found = Vec::new();
    let mut files = Vec::new();
    let shown = match root.to_str() {
        Some(text) if root.is_relative() => {
            let text = text.trim_start_matches("./").trim_end_matches('/');
            if text.is_empty() || text == "." { String::new() } else { format!("{text}/") }
        }
        _ => String::new(),
    };
    read(root, &shown, 0, &mut files, &mut found);
    if files.is_empty() && found.is_empty() {
        found.push(
            Diagnostic::error("C0111", format!("there are no SQL files below \"{}\"", root.display()))
                .help("run the command in the project's folder, or start a project with `ingot init`"),
        );
    }
    let mut checked = check_with(root, files, cfg, trials, &Stored::new());
    if !found.is_empty() {
        checked.project = None;
        found.append(&mut checked.diagnostics);
        checked.diagnostics = found;
    }
    checked
}

/// Whether there is a SQL file below `root`, whatever it says.
pub fn has_files(root: &Path) -> bool {
    let (mut files, mut found) = (Vec::new(), Vec::new());
    read(root, "", 0, &mut files, &mut found);
    !files.is_empty() || !found.is_empty()
}

fn read(folder: &Path, shown: &str, depth: usize, files: &mut Vec<SqlFile>, found: &mut Vec<Diagnostic>) {
    let unreadable = |path: &str, e: &dyn std::fmt::Display| {
        let d = Diagnostic::error("C0113", format!("\"{path}\" cannot be read: {e}"));
        d.help("check who may read it, and that it is UTF-8")
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            found.push(unreadable(&folder.display().to_string(), &e));
            return;
        }
    };
    let mut names: Vec<_> =
        entries.flatten().map(|e| (e.file_name().to_string_lossy().into_owned(), e.path())).collect();
    names.sort();
    for (name, path) in names {
        if name.starts_with('.') {
            continue;
        }
        let here = format!("{shown}{name}");
        if path.is_dir() {
            if depth < DEPTH_MAX {
                read(&path, &format!("{here}/"), depth + 1, files, found);
            }
        } else if name.ends_with(".sql") {
            match std::fs::read(&path).map(String::from_utf8) {
                Ok(Ok(text)) => files.push(SqlFile { path: here, text }),
                Ok(Err(e)) => found.push(unreadable(&here, &e.utf8_error())),
                Err(e) => found.push(unreadable(&here, &e)),
            }
        }
    }
}

/// Checks files that were read already.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::path::Path;
///
/// use ingot_project::{check::check_files, config::Config, project::SqlFile};
///
/// let (folder, text) = (Path::new("/project"), "kafka.bootstrap.servers = \"127.0.0.1:9092\"\n");
/// let config = Config::from_parts(Some(text), folder, folder, None, &[], &BTreeMap::new(), |_, _| Ok(()));
/// let file = SqlFile {
///     path: "sql/bronze.sql".into(),
///     text: "CREATE SOURCE s (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 's') FORMAT PLAIN ENCODE JSON;\n\
///            CREATE STREAMING TABLE bronze.t AS SELECT m FROM STREAM s;\n"
///         .into(),
/// };
/// # let config = match config {
/// #     Ok(config) => config,
/// #     Err(found) => panic!("{found:?}"),
/// # };
/// let checked = check_files(folder, vec![file], &config);
/// assert!(checked.project.is_none());
/// assert!(checked.diagnostics[0].to_string().starts_with("error[N0103]"), "{:?}", checked.diagnostics);
/// ```
pub fn check_files(root: &Path, files: Vec<SqlFile>, cfg: &Config) -> Checked {
    check_with(root, files, cfg, Trials::default(), &Stored::new())
}

/// Checks a project once more, over the types that its streaming tables are stored with.
pub fn check_over(project: &Project, cfg: &Config, stored: &Stored) -> Checked {
    let trials = if project.tried { Trials::default() } else { Trials::none() };
    check_with(&project.root, project.files.clone(), cfg, trials, stored)
}

fn check_with(root: &Path, files: Vec<SqlFile>, cfg: &Config, trials: Trials, stored: &Stored) -> Checked {
    let tried = trials.are_made();
    let mut found = Vec::new();
    let mut parsed: Vec<(String, Vec<Statement>)> = Vec::new();
    let mut broken = Vec::new();
    for file in &files {
        let result = ingot_dialect::parse_file(&file.path, &file.text);
        if result.diagnostics.iter().any(Diagnostic::is_error) {
            broken.push(file.text.to_lowercase());
        }
        found.extend(result.diagnostics);
        unsupported::quarantines(&file.path, &result.statements, &mut found);
        parsed.push((file.path.clone(), result.statements));
    }
    let resolved = resolve::resolve(&parsed, &broken, cfg, (trials, stored), &mut found);
    tidy(&files, &mut found);
    let project = (!found.iter().any(Diagnostic::is_error)).then(|| Project {
        root: root.to_path_buf(),
        files: files.clone(),
        sources: resolved.sources,
        tables: resolved.tables,
        views: resolved.views,
        externals: resolved.externals,
        order: resolved.order,
        namespace_prefix: cfg.namespace_prefix.clone(),
        tried,
    });
    Checked { project, diagnostics: found, files }
}

/// Sorts by file and place, and drops what is said twice.
fn tidy(files: &[SqlFile], found: &mut Vec<Diagnostic>) {
    let places: HashMap<&str, usize> = files.iter().enumerate().map(|(i, f)| (f.path.as_str(), i)).collect();
    let rank = |d: &Diagnostic| {
        let file = d.file.as_deref().and_then(|f| places.get(f).copied()).unwrap_or(usize::MAX);
        let start = d.span.map_or((0, 0), |s: Span| (s.start.line, s.start.column));
        (file, start)
    };
    found.sort_by_key(rank);
    let mut seen = HashSet::new();
    found.retain(|d| {
        let span = d.span.map(|s: Span| (s.start.line, s.start.column, s.end.line, s.end.column));
        seen.insert((d.code, d.file.clone(), span, d.message.clone()))
    });
}
