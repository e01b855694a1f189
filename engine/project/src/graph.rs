//! The graph of a project's tables: order, circles, and the choice of --select and --exclude.
//!
//! Invariants
//! * Pure; equal graphs give equal orders.
//! * A node comes after everything that it reads.
//!
//! Not here: what an edge is (`check`).

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_model::TableName;

use crate::project::{ModelKind, Project};

/// An order in which every node follows what it reads, and the circles that have none.
///
/// Nodes on a circle, and nodes that read them, are left out of the order. A circle lists its nodes in reading
/// order, beginning with the smallest.
pub fn order<K: Ord + Clone>(reads: &BTreeMap<K, BTreeSet<K>>) -> (Vec<K>, Vec<Vec<K>>) {
    let mut done: BTreeSet<&K> = BTreeSet::new();
    let mut out = Vec::with_capacity(reads.len());
    loop {
        let ready: Vec<&K> = reads
            .iter()
            .filter(|(k, on)| !done.contains(k) && on.iter().all(|r| done.contains(r) || !reads.contains_key(r)))
            .map(|(k, _)| k)
            .collect();
        if ready.is_empty() {
            break;
        }
        out.extend(ready.iter().map(|k| (*k).clone()));
        done.extend(ready);
    }
    let left: BTreeSet<&K> = reads.keys().filter(|k| !done.contains(k)).collect();
    (out, circles(reads, &left))
}

fn circles<K: Ord + Clone>(reads: &BTreeMap<K, BTreeSet<K>>, left: &BTreeSet<&K>) -> Vec<Vec<K>> {
    let mut found: Vec<Vec<K>> = Vec::new();
    let mut seen: BTreeSet<K> = BTreeSet::new();
    for start in left {
        if seen.contains(*start) {
            continue;
        }
        // The shortest way from a node back to itself, if it is on a circle at all.
        let mut ways: Vec<Vec<&K>> = vec![vec![start]];
        let mut visited: BTreeSet<&K> = BTreeSet::new();
        'search: while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let Some(next) = way.last().and_then(|k| reads.get(*k)) else { continue };
                for k in next.iter().filter(|k| left.contains(k)) {
                    if k == *start {
                        let circle: Vec<K> = way.into_iter().cloned().collect();
                        seen.extend(circle.iter().cloned());
                        found.push(circle);
                        break 'search;
                    }
                    if visited.insert(k) {
                        let mut on = way.clone();
                        on.push(k);
                        longer.push(on);
                    }
                }
            }
            ways = longer;
        }
    }
    found
}

/// The tables that `--select` and `--exclude` leave, side tables with their main tables.
///
/// A selector is `layer.table`, a pattern (`layer.*`, `*.stat?`, `[sg]*.late`), or `tag:x` (a tag's name, value, or `name=value`); `+` before it
/// adds all that it reads, `+` behind it all that reads it. Without `--select` everything is selected.
///
/// # Errors
/// C0114 for a selector that is no pattern or matches nothing, or when nothing is left.
pub fn select(
    project: &Project,
    select: &[String],
    exclude: &[String],
) -> Result<BTreeSet<TableName>, Box<Diagnostic>> {
    let mut chosen = BTreeSet::new();
    if select.is_empty() {
        chosen.extend(project.tables.keys().cloned());
    }
    for s in select {
        chosen.extend(matching(project, s)?);
    }
    for s in exclude {
        for name in matching(project, s)? {
            chosen.remove(&name);
        }
    }
    if chosen.is_empty() && !project.tables.is_empty() {
        let d = Diagnostic::error("C0114", "the selection leaves no table");
        return Err(Box::new(d.help("leave --exclude out, or select more")));
    }
    Ok(chosen)
}

fn matching(project: &Project, selector: &str) -> Result<BTreeSet<TableName>, Box<Diagnostic>> {
    let (up, rest) = selector.strip_prefix('+').map_or((false, selector), |r| (true, r));
    let (down, core) = rest.strip_suffix('+').map_or((false, rest), |r| (true, r));
    let plain = |n: &TableName| {
        let layer = n.namespace.as_str().strip_prefix(&project.namespace_prefix).unwrap_or(n.namespace.as_str());
        format!("{layer}.{}", n.name)
    };
    // A tag is no pattern, and a table's whole name means that table.
    let pattern = match Pattern::new(if core.starts_with("tag:") { "" } else { core }) {
        Ok(pattern) => Some(pattern),
        Err(_) if project.tables.keys().any(|name| core == plain(name) || core == name.to_string()) => None,
        Err(e) => {
            let d = Diagnostic::error("C0114", format!("selector \"{selector}\" is no pattern: {}", e.msg));
            return Err(Box::new(d.help("`*` stands for any characters, `?` for one, `[ab]` for one of these")));
        }
    };
    let direct: BTreeSet<TableName> = project
        .tables
        .iter()
        .filter(|(name, model)| match core.strip_prefix("tag:") {
            Some(tag) => model.tags.iter().any(|(k, v)| tag == k || tag == v || tag == format!("{k}={v}")),
            None => [plain(name), name.to_string()]
                .iter()
                .any(|name| *name == core || pattern.as_ref().is_some_and(|p| p.matches(name))),
        })
        .map(|(name, _)| name.clone())
        .collect();
    let foreign: BTreeSet<TableName> =
        project.externals.keys().filter(|n| core == plain(n) || core == n.to_string()).cloned().collect();
    if direct.is_empty() && !foreign.is_empty() && !down {
        let d = Diagnostic::error("C0114", format!("selector \"{selector}\" means an external table"));
        return Err(Box::new(
            d.note("another engine writes it: nothing is done with it here")
                .help(format!("write {core}+ for the tables that read it")),
        ));
    }
    if direct.is_empty() && foreign.is_empty() {
        let names: Vec<String> = project.tables.keys().map(plain).collect();
        let d = Diagnostic::error("C0114", format!("selector \"{selector}\" matches no table"));
        return Err(Box::new(match did_you_mean(core, names.iter().map(String::as_str)) {
            Some(near) => d.help(format!("did you mean {near}?")),
            None => d
                .note(format!("there are: {}", names.join(", ")))
                .help("a selector is layer.table, layer.* or tag:x, with + before or after it"),
        }));
    }
    let mut all = direct.clone();
    if up {
        all.extend(closure(&direct, &|n| project.tables.get(n).map(reads).unwrap_or_default()));
    }
    if down {
        let readers = |n: &TableName| {
            project.tables.iter().filter(|(_, m)| reads(m).contains(n)).map(|(k, _)| k.clone()).collect()
        };
        all.extend(closure(&direct.iter().chain(&foreign).cloned().collect(), &readers));
    }
    all.retain(|name| project.tables.contains_key(name));
    let sides: Vec<TableName> =
        all.iter().filter_map(|n| project.tables.get(n)).flat_map(|m| m.sides.clone()).collect();
    all.extend(sides);
    Ok(all)
}

/// What a table reads; a side table also stands on its owner.
fn reads(model: &crate::project::Model) -> BTreeSet<TableName> {
    let mut on: BTreeSet<TableName> = model.inputs.iter().cloned().collect();
    if let ModelKind::Quarantine { of } | ModelKind::DecodeErrors { of } = &model.kind {
        on.insert(of.clone());
    }
    on
}

fn closure(from: &BTreeSet<TableName>, next: &dyn Fn(&TableName) -> BTreeSet<TableName>) -> BTreeSet<TableName> {
    let mut all = from.clone();
    let mut todo: Vec<TableName> = from.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        for n in next(&name) {
            if all.insert(n.clone()) {
                todo.push(n);
            }
        }
    }
    all
}
