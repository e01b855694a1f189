//! From the global options to a checked project, and from failures to what a user sees.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ingot_dialect::diagnostic::{Diagnostic, Severity};
use ingot_model::TableName;
use ingot_pipeline::engine::{Engine, StepError};
use ingot_pipeline::error::PipelineError;
use ingot_project::check;
use ingot_project::config::{self, Config};
use ingot_project::graph;
use ingot_project::project::{Checked, Project, SqlFile};

use crate::args::{Color, Global, LogFormat};
use crate::tell::{self, note, say};

/// What ends a command, with its exit code.
pub enum Failure {
    /// Diagnostics of the project, with the texts they point into.
    Project {
        diagnostics: Vec<Diagnostic>,
        files: Vec<SqlFile>,
        json: bool,
        color: bool,
    },
    Step(StepError),
    /// Wrong use of the command line.
    Usage(String),
    /// Something outside: a file, a port, a terminal.
    Outside(String),
    /// The reader of stdout went away: its decision.
    Closed,
}

impl From<PipelineError> for Failure {
    fn from(e: PipelineError) -> Self {
        Self::Step(StepError::from(&e))
    }
}

impl From<ingot_lake::LakeError> for Failure {
    fn from(e: ingot_lake::LakeError) -> Self {
        PipelineError::from(e).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Outside(e.to_string()) }
    }
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Project { .. } => 1,
            Self::Step(e) => e.exit_code,
            Self::Usage(_) => 2,
            Self::Outside(_) => 3,
            Self::Closed => tell::CLOSED,
        }
    }

    pub fn print(&self) {
        match self {
            Self::Project { diagnostics, files, json, color } => print_diagnostics(diagnostics, files, *json, *color),
            Self::Step(e) => print_error(e),
            Self::Usage(text) => note!("error: {text}"),
            Self::Outside(text) => note!("error: {text}"),
            Self::Closed => {}
        }
    }
}

pub fn print_error(e: &StepError) {
    note!("error[{}]: {}", e.code, e.message);
    if let Some(hint) = &e.hint {
        note!("   = help: {hint}");
    }
}

pub fn colored(choice: Color, terminal: bool) -> bool {
    choice.on(terminal)
}

/// Diagnostics to stderr for people, or as one JSON document to stdout.
pub fn print_diagnostics(diagnostics: &[Diagnostic], files: &[SqlFile], json: bool, color: bool) {
    if json {
        let all: Vec<_> = diagnostics.iter().map(ingot_dialect::diagnostic::to_json).collect();
        // The exit code says the rest.
        drop(say!("{}", serde_json::json!({ "version": 1, "diagnostics": all })));
        return;
    }
    for d in diagnostics {
        let text = d.file.as_deref().and_then(|f| files.iter().find(|x| x.path == f)).map(|f| f.text.as_str());
        note!("{}", ingot_dialect::render::render(d, text, color).trim_end());
        note!();
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    if errors > 0 {
        note!("{errors} error(s), {warnings} warning(s); `ingot explain CODE` says more about a code");
    }
}

/// The project's folder.
pub fn root(global: &Global) -> Result<PathBuf, Failure> {
    let dir = match &global.project {
        Some(dir) => dir.clone(),
        None if PathBuf::from(config::FILE).is_file() => PathBuf::from("."),
        None => PathBuf::from("sql"),
    };
    if dir.is_dir() {
        return Ok(dir);
    }
    let shown = dir.display();
    Err(Failure::Usage(format!(
        "there is no project in \"{shown}\"; give its folder with --project DIR, or make one with `ingot init`"
    )))
}

fn variables() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// The configuration of a project.
pub fn configuration(global: &Global) -> Result<Config, Failure> {
    configuration_of(global, &root(global)?)
}

fn configuration_of(global: &Global, root: &Path) -> Result<Config, Failure> {
    Config::load(root, global.env.as_deref(), &global.sets, &variables(), ingot_source::check_property).map_err(
        |diagnostics| {
            let text = std::fs::read_to_string(root.join(config::FILE)).unwrap_or_default();
            let files = vec![SqlFile { path: config::FILE.to_owned(), text }];
            let color = colored(global.color, std::io::stderr().is_terminal());
            Failure::Project { diagnostics, files, json: global.json, color }
        },
    )
}

/// The configured log format; a wrong configuration is reported by the command itself.
pub fn log_format(global: &Global) -> LogFormat {
    let quiet = root(global).ok().and_then(|r| {
        Config::load(&r, global.env.as_deref(), &global.sets, &variables(), ingot_source::check_property).ok()
    });
    match quiet.map(|c| c.log.format) {
        Some(config::LogFormat::Json) => LogFormat::Json,
        _ => LogFormat::Text,
    }
}

/// Everything `check` finds.
pub fn checked(global: &Global) -> Result<(Config, Checked), Failure> {
    checked_by(global, check::load)
}

fn checked_by(global: &Global, load: fn(&Path, &Config) -> Checked) -> Result<(Config, Checked), Failure> {
    let config = configuration(global)?;
    let checked = load(&root(global)?, &config);
    Ok((config, checked))
}

/// A project without errors; warnings go to stderr unless -q.
pub fn project(global: &Global) -> Result<(Arc<Config>, Arc<Project>), Failure> {
    project_of(global, checked(global)?)
}

fn project_of(global: &Global, (config, checked): (Config, Checked)) -> Result<(Arc<Config>, Arc<Project>), Failure> {
    let color = colored(global.color, std::io::stderr().is_terminal());
    let Checked { project, diagnostics, files } = checked;
    match project {
        Some(project) => {
            if !global.quiet && !global.json {
                print_diagnostics(&diagnostics, &files, false, color);
            }
            Ok((Arc::new(config), Arc::new(project)))
        }
        None => Err(Failure::Project { diagnostics, files, json: global.json, color }),
    }
}

/// A project with its lake, for writing. What is missing is created.
pub async fn engine(global: &Global) -> Result<Engine, Failure> {
    let (config, project) = project(global)?;
    Ok(Engine::open(project, config).await?)
}

/// As `engine`, but ready as soon as queries can be served: what only builds need is not checked, and warnings are not
/// shown.
pub async fn engine_to_serve(global: &Global) -> Result<Engine, Failure> {
    let quiet = Global { quiet: true, ..global.clone() };
    let (config, project) = project_of(&quiet, checked_by(&quiet, check::load_to_read)?)?;
    Ok(Engine::open(project, config).await?)
}

/// A project with its lake, for reading. Nothing is created, the lake may be missing, and only what reading needs is
/// checked, so that the start is quick.
pub async fn reader(global: &Global) -> Result<Engine, Failure> {
    let (config, project) = project_of(global, checked_by(global, check::load_to_read)?)?;
    Ok(Engine::open_to_read(project, config).await?)
}

/// The same with everything checked that a run checks.
pub async fn planned(global: &Global) -> Result<Engine, Failure> {
    let (config, project) = project(global)?;
    Ok(Engine::open_to_read(project, config).await?)
}

/// As `reader`, of a lake that is there.
pub async fn present(global: &Global) -> Result<Engine, Failure> {
    let engine = reader(global).await?;
    engine.lake().present()?;
    Ok(engine)
}

/// A lake that is there, to be queried: with the project's views if there is a project, and without one otherwise.
pub async fn queried(global: &Global) -> Result<Engine, Failure> {
    let (config, project) = match root(global) {
        // An `ingot.toml`, the environment or --set says where the lake is.
        Ok(root) if !check::has_files(&root) => bare(global, root)?,
        Err(_) if global.project.is_none() => bare(global, PathBuf::from("."))?,
        _ => project_of(global, checked_by(global, check::load_to_read)?)?,
    };
    let engine = Engine::open_to_read(project, config).await?;
    engine.lake().present()?;
    Ok(engine)
}

/// A lake that is there, whatever the project's files say.
pub async fn lake_alone(global: &Global) -> Result<Engine, Failure> {
    let (config, project) = match root(global) {
        Ok(root) => bare(global, root)?,
        Err(_) if global.project.is_none() => bare(global, PathBuf::from("."))?,
        Err(failure) => return Err(failure),
    };
    let engine = Engine::open_to_read(project, config).await?;
    engine.lake().present()?;
    Ok(engine)
}

fn bare(global: &Global, root: PathBuf) -> Result<(Arc<Config>, Arc<Project>), Failure> {
    let config = configuration_of(global, &root)?;
    let project = Project::empty(root, config.namespace_prefix.clone());
    Ok((Arc::new(config), Arc::new(project)))
}

/// The tables that --select and --exclude leave.
pub fn selection(global: &Global, project: &Project) -> Result<BTreeSet<TableName>, Failure> {
    graph::select(project, &global.select, &global.exclude).map_err(|d| Failure::Project {
        diagnostics: vec![*d],
        files: vec![],
        json: global.json,
        color: colored(global.color, std::io::stderr().is_terminal()),
    })
}

/// A table of the project by its name as typed.
pub fn table(project: &Project, name: &str) -> Result<TableName, Failure> {
    let wanted: Option<TableName> = name.to_lowercase().parse().ok();
    if let Some(found) = wanted.as_ref().filter(|w| project.tables.contains_key(w)) {
        return Ok(found.clone());
    }
    if let Some(found) = wanted.as_ref().and_then(|w| project.externals.get(w)) {
        return Err(Failure::Usage(format!(
            "\"{}\" is an external table ({}): another engine writes it, and only what reads it is refreshed and verified",
            found.name, found.file
        )));
    }
    let names: Vec<String> = project.tables.keys().map(ToString::to_string).collect();
    let mut text = format!("the project has no table \"{name}\"");
    match ingot_dialect::diagnostic::did_you_mean(name, names.iter().map(String::as_str)) {
        Some(close) => text.push_str(&format!("; did you mean \"{close}\"?")),
        None => text.push_str(&format!("; it has {}", names.join(", "))),
    }
    Err(Failure::Usage(text))
}
