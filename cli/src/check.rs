//! `check`, `fmt`, `ls`, `explain` and `init`: what needs no network.

use std::io::IsTerminal as _;
use std::path::Path;

use ingot_project::project::{ModelKind, StreamInput};

use crate::args::Global;
use crate::open::{self, Failure};
use crate::tell::{note, say};
use crate::{shipped, show};

pub fn check(global: &Global) -> Result<u8, Failure> {
    let (_, checked) = open::checked(global)?;
    let color = open::colored(global.color, std::io::stderr().is_terminal());
    open::print_diagnostics(&checked.diagnostics, &checked.files, global.json, color);
    match &checked.project {
        Some(project) => {
            if !global.json && !global.quiet {
                let (tables, views) = (project.tables.len(), project.views.len());
                note!(
                    "{} file(s), {} source(s), {tables} table(s), {views} view(s): right",
                    project.files.len(),
                    project.sources.len()
                );
            }
            Ok(0)
        }
        None => Ok(1),
    }
}

pub fn fmt(global: &Global, check: bool) -> Result<u8, Failure> {
    let root = open::root(global)?;
    let mut different = 0;
    let mut diagnostics = vec![];
    let files = open::checked(global)?.1.files;
    for file in &files {
        match ingot_dialect::format::format_file(&file.path, &file.text) {
            Ok(text) if text == file.text => {}
            Ok(text) => {
                different += 1;
                say!("{}", file.path)?;
                if !check {
                    // Paths begin with the root where that is relative.
                    let path = if root.is_relative() { file.path.clone().into() } else { root.join(&file.path) };
                    std::fs::write(path, text)?;
                }
            }
            Err(d) => diagnostics.extend(d),
        }
    }
    if !diagnostics.is_empty() {
        let color = open::colored(global.color, std::io::stderr().is_terminal());
        return Err(Failure::Project { diagnostics, files, json: global.json, color });
    }
    Ok(u8::from(check && different > 0))
}

pub fn ls(global: &Global) -> Result<u8, Failure> {
    let (_, project) = open::project(global)?;
    let selected = open::selection(global, &project)?;
    let mut rows = vec![];
    let mut json = vec![];
    for name in project.order.iter().filter(|n| selected.contains(*n)) {
        let Some(model) = project.tables.get(name) else { continue };
        let kind = match &model.kind {
            ModelKind::Streaming { .. } => "streaming table".to_owned(),
            ModelKind::View => "materialized view".to_owned(),
            ModelKind::Quarantine { of } => format!("quarantine of {of}"),
            ModelKind::DecodeErrors { of } => format!("decode errors of {of}"),
        };
        let mut reads: Vec<String> = model.inputs.iter().map(ToString::to_string).collect();
        if let ModelKind::Streaming { input: StreamInput::Source(source) } = &model.kind {
            reads.insert(0, format!("source {source}"));
        }
        json.push(serde_json::json!({ "table": name.to_string(), "kind": kind, "reads": reads, "file": model.file }));
        rows.push(vec![name.to_string(), kind, reads.join(", "), model.file.clone()]);
    }
    let read = |name| project.tables.values().any(|m| selected.contains(&m.name) && m.inputs.contains(name));
    for table in project.externals.values().filter(|table| global.select.is_empty() || read(&table.name)) {
        let (name, kind) = (table.name.to_string(), "external table");
        json.push(serde_json::json!({ "table": name, "kind": kind, "reads": [], "file": table.file }));
        rows.push(vec![name, kind.into(), String::new(), table.file.clone()]);
    }
    for view in project.views.values() {
        let reads: Vec<String> = view.inputs.iter().map(ToString::to_string).collect();
        json.push(
            serde_json::json!({ "table": view.name.to_string(), "kind": "view", "reads": reads, "file": view.file }),
        );
        rows.push(vec![view.name.to_string(), "view".into(), reads.join(", "), view.file.clone()]);
    }
    if global.json {
        say!("{}", serde_json::json!({ "version": 1, "tables": json }))?;
    } else {
        show::table(&["table", "kind", "reads", "file"], &rows)?;
    }
    Ok(0)
}

pub fn explain(global: &Global, code: &str) -> Result<u8, Failure> {
    let code = code.to_uppercase();
    match ingot_dialect::codes::explain(&code) {
        Some(info) if global.json => {
            say!("{}", serde_json::json!({ "version": 1, "code": info.code, "title": info.title, "text": info.text }))?;
            Ok(0)
        }
        Some(info) => {
            say!("{}: {}\n\n{}", info.code, info.title, info.text.trim())?;
            Ok(0)
        }
        None => Err(Failure::Usage(format!(
            "there is no code {code}; codes look like N0103 and stand in brackets after error"
        ))),
    }
}

pub fn init(dir: &Path) -> Result<u8, Failure> {
    for (path, _) in shipped::FILES {
        let path = dir.join(path);
        if path.exists() {
            return Err(Failure::Usage(format!("{} exists already; nothing was written", path.display())));
        }
    }
    for path in shipped::write(dir)? {
        say!("{}", path.display())?;
    }
    note!("next: ingot --project {} check", dir.display());
    Ok(0)
}
