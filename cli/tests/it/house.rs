//! The shape of the code, held by a machine: which files import each other in a circle, and which public items nobody uses.
//!
//! Invariants
//! * Reads source texts alone; macros and generated code are not seen.
//! * Every finding names the file and what to do; all findings of a run are shown at once.
//!
//! Not here: which crate may depend on which, lengths and headers (`tidy`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{CRATES, files, report, root};

/// Files that may import each other, and why. At most two.
const CIRCLES: &[(&[&str], &str)] = &[];

/// A file's code without comments and without its tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn paths_of(tree: &str) -> Vec<String> {
    fn split(tree: &str, prefix: &str, found: &mut Vec<String>) {
        let (mut depth, mut item) = (0_usize, String::new());
        let mut items = Vec::new();
        for c in tree.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    items.push(std::mem::take(&mut item));
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        items.push(item);
        for item in items.iter().map(|i| i.trim()).filter(|i| !i.is_empty()) {
            match item.split_once('{') {
                Some((before, rest)) => {
                    split(rest.trim_end().trim_end_matches('}'), &format!("{prefix}{before}"), found)
                }
                None => found.push(format!("{prefix}{item}")),
            }
        }
    }
    let mut found = Vec::new();
    split(tree, "", &mut found);
    found.iter().map(|path| path.split_whitespace().next().unwrap_or_default().to_owned()).collect()
}

/// The paths in imports and in code.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut import: Option<String> = None;
    for line in code.lines() {
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        let begun = begins.iter().find_map(|b| line.trim_start().strip_prefix(b));
        match (&mut import, begun) {
            (Some(tree), _) => tree.push_str(line),
            (None, Some(tree)) => import = Some(tree.to_owned()),
            (None, None) => {
                let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                found.extend(line.split(|c| !is_path(c)).filter(|path| path.contains("::")).map(str::to_owned));
            }
        }
        if let Some(tree) = import.take_if(|tree| tree.contains(';')) {
            found.extend(paths_of(tree.split(';').next().unwrap_or_default()));
        }
    }
    found
}

/// The module of a file below a crate's `src`: `read/mod.rs` is `["read"]`, `lib.rs` is `[]`.
fn module(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The module that a path names, from a file of `own`; None for the crate's root and for other crates.
fn target(path: &str, own: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut parts = path.split("::").peekable();
    let mut at = own.to_vec();
    if parts.next_if_eq(&"crate").is_some() {
        at.clear();
    } else if parts.next_if_eq(&"self").is_none() {
        while parts.next_if_eq(&"super").is_some() {
            at.pop();
        }
    }
    let is_relative = !["crate", "self", "super"].iter().any(|start| path.starts_with(start));
    let above = if is_relative { own.len() } else { 0 };
    at.extend(parts.map(str::to_owned));
    while at.len() > above {
        if modules.contains(&at) {
            return Some(at);
        }
        at.pop();
    }
    None
}

/// For every file of a crate, by its path below `src`, the files that it imports.
fn imports(sources: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Vec<String>, &String> = sources.keys().map(|path| (module(path), path)).collect();
    let names: BTreeSet<Vec<String>> = modules.keys().cloned().collect();
    let edges = sources.iter().map(|(path, text)| {
        let own = module(path);
        let found = paths(&code(text)).into_iter().filter_map(|p| target(&p, &own, &names));
        let found = found.filter(|m| *m != own).filter_map(|m| modules.get(&m).map(|p| (*p).clone()));
        (path.clone(), found.collect())
    });
    edges.collect()
}

/// All files that a file reaches through imports.
fn reached(from: &str, edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from.to_owned()];
    while let Some(next) = todo.pop() {
        for to in edges.get(&next).into_iter().flatten() {
            if found.insert(to.clone()) {
                todo.push(to.clone());
            }
        }
    }
    found
}

/// Groups of files each of which reaches all others of its group.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|f| (f, reached(f, edges))).collect();
    let around = |file: &String| {
        let back = |other: &&String| reach.get(*other).is_some_and(|r| r.contains(file));
        reach.get(file).into_iter().flatten().filter(back).cloned().collect::<BTreeSet<String>>()
    };
    edges.keys().map(around).filter(|circle| circle.len() > 1).collect()
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part.trim_end_matches(".rs").ends_with("tests"))
}

/// The files below a crate's `src` without those that are tests, by their paths there.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let inside = format!("{folder}/src/");
    let all =
        files(&[".rs"]).into_iter().filter_map(|(path, text)| Some((path.strip_prefix(&inside)?.to_owned(), text)));
    all.filter(|(path, _)| !is_test(path)).collect()
}

#[test]
fn files_do_not_import_each_other() {
    assert!(CIRCLES.len() <= 2, "more than two circles are allowed");
    let mut findings = Vec::new();
    let mut seen = 0;
    for folder in CRATES {
        let sources = sources(folder);
        seen += sources.len();
        for circle in circles(&imports(&sources)) {
            let files: Vec<String> = circle.iter().map(|f| format!("{folder}/src/{f}")).collect();
            if !CIRCLES.iter().any(|(allowed, _)| allowed.iter().eq(files.iter())) {
                findings.push(format!("{} import each other: move what both need below them", files.join(", ")));
            }
        }
    }
    assert!(seen > 200, "only {seen} files were seen");
    report(&findings);
}

#[test]
fn circles_are_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = BTreeMap::from([
        file("lib.rs", "mod a;\nmod b;\npub use a::A;"),
        file("a.rs", "use crate::b::{self, c::{D, E}};"),
        file("b/mod.rs", "pub mod c;\n// use crate::a::A;\nuse std::fs;"),
        file("b/c.rs", "fn f() { crate::a::g() }\n#[cfg(test)]\nmod tests {\nuse super::super::d::X;\n}"),
        file("d.rs", "use super::a::A;"),
        file("e/mod.rs", "mod f;\npub use f::F;\npub fn g() {}"),
        file("e/f.rs", "use super::g;"),
    ]);
    let circle = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        circles(&imports(&sources)),
        BTreeSet::from([circle(&["a.rs", "b/c.rs"]), circle(&["e/f.rs", "e/mod.rs"])])
    );
    assert!(paths_of("a::{b as x, c::{d, e}}").iter().eq(["a::b", "a::c::d", "a::c::e"].iter()));
}

/// A public item: where it is declared, its name, and its docs.
struct Public {
    place: String,
    kind: String,
    name: String,
    /// The lines of the docs from the last to the first.
    docs: Vec<String>,
}

/// The docs above a line and its attributes, from the last line to the first.
fn docs_above(lines: &[&str], number: usize) -> Vec<String> {
    let above = lines.iter().take(number).rev().map(|line| line.trim_start());
    // An attribute of several lines ends in a bracket of its own.
    let is_attribute = |line: &&str| line.starts_with("#[") || line.ends_with(")]") || line.starts_with("feature");
    above.skip_while(is_attribute).map_while(|line| line.strip_prefix("///")).map(str::to_owned).collect()
}

fn public_items(folder: &str) -> Vec<Public> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in code(&text).lines().enumerate() {
            let Some(rest) = line.trim_start().strip_prefix("pub ") else { continue };
            let words: Vec<&str> = rest.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            // `pub const fn` and `pub async fn` are functions.
            let is_before = ["async", "const"].contains(words.first().unwrap_or(&"")) && words.get(1) == Some(&"fn");
            let at = usize::from(is_before);
            let is_kind = |w: &&&str| ["fn", "struct", "enum", "trait", "const", "static", "type"].contains(*w);
            let at = words.get(at).filter(is_kind).map(|_| at);
            if let Some((kind, name)) = at.and_then(|at| Some((*words.get(at)?, *words.get(at + 1)?))) {
                let place = format!("{folder}/src/{path}:{}", number + 1);
                let docs = docs_above(&lines, number);
                found.push(Public { place, kind: kind.to_owned(), name: name.to_owned(), docs });
            }
        }
    }
    found
}

/// What is public is for another crate: a name that stands nowhere outside its own is dead, or not public. A type may
/// be there for the signature of another public item of its crate.
#[test]
fn public_items_are_used() {
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    let all: Vec<(String, String)> = files(&[".rs"]);
    let mut findings = Vec::new();
    let mut seen = 0;
    for folder in CRATES.iter().filter(|f| **f != "cli") {
        let inside = format!("{folder}/src/");
        let outside: BTreeSet<String> = all
            .iter()
            .filter(|(path, _)| !path.starts_with(&inside))
            .flat_map(|(_, text)| words(&code(text)))
            .collect();
        let mut own: BTreeMap<String, usize> = BTreeMap::new();
        for text in sources(folder).values() {
            for word in code(text).split(|c: char| !c.is_alphanumeric() && c != '_') {
                *own.entry(word.to_owned()).or_default() += 1;
            }
        }
        for item in public_items(folder) {
            seen += 1;
            let is_type = ["struct", "enum", "trait", "type"].contains(&item.kind.as_str());
            let in_signatures = is_type && own.get(&item.name).is_some_and(|count| *count > 2);
            if !outside.contains(&item.name) && !in_signatures {
                findings.push(format!(
                    "{}: no other crate names {}: delete it, or make it pub(crate)",
                    item.place, item.name
                ));
            }
        }
    }
    assert!(seen > 200, "only {seen} public items were seen");
    report(&findings);
}

/// Fields and variants may speak for themselves; types, functions and constants may not.
#[test]
fn public_items_are_documented() {
    let items = CRATES.iter().filter(|f| **f != "cli").flat_map(|folder| public_items(folder));
    let without = items.filter(|item| item.docs.is_empty());
    report(&without.map(|i| format!("{}: say what {} is, with units and errors", i.place, i.name)).collect::<Vec<_>>());
}

/// What a newcomer to each crate meets first: its docs show how it is used.
const MAIN_ITEMS: &[(&str, &[&str])] = &[
    ("engine/model", &["TableName", "Definition", "KeyRange", "FlowPositions"]),
    ("engine/dialect", &["Parsed", "Diagnostic"]),
    ("engine/delta", &["Strategy", "MultisetDiff"]),
    ("engine/lake", &["Lake"]),
    ("engine/project", &["check_files"]),
    ("engine/query", &["Session"]),
];

/// Examples are run by `cargo test`: a fence with a word (`no_run`, `text`) is none.
#[test]
fn main_items_have_examples_that_run() {
    let mut findings = Vec::new();
    for (folder, names) in MAIN_ITEMS {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        if manifest.contains("doctest = false") {
            findings.push(format!("{folder}/Cargo.toml: its examples are not run"));
        }
        let items = public_items(folder);
        for name in *names {
            let item = items.iter().find(|item| item.name == **name && ["struct", "fn"].contains(&item.kind.as_str()));
            match item {
                Some(item) if item.docs.iter().filter(|line| line.trim() == "```").count() >= 2 => {}
                Some(item) => findings.push(format!("{}: show how {name} is used", item.place)),
                None => findings.push(format!("{folder}: there is no {name}")),
            }
        }
    }
    report(&findings);
}

/// What a file says it is: the first paragraph of its header, in one line.
fn first_paragraph(text: &str) -> String {
    let header = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    header.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The section of ARCHITECTURE.md that lists all modules.
fn module_list() -> String {
    let mut out = String::new();
    for folder in CRATES {
        out.push_str(&format!("\n### {folder}\n\n"));
        for (path, text) in sources(folder) {
            out.push_str(&format!("- `{folder}/src/{path}` {}\n", first_paragraph(&text)));
        }
    }
    out
}

const LIST_BEGINS: &str = "\n## Modules\n";

#[test]
fn architecture_has_a_line_for_every_module() {
    let path = root().join("ARCHITECTURE.md");
    let page = std::fs::read_to_string(&path).expect("ARCHITECTURE.md");
    let (before, list) = page.split_once(LIST_BEGINS).expect("a section of modules, the last one");
    let (said, wanted) = (list.split_once("\n###").map_or("", |(said, _)| said), module_list());
    let whole = format!("{before}{LIST_BEGINS}{said}{wanted}");
    if std::env::var_os("INGOT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &whole).expect("ARCHITECTURE.md written");
    } else {
        let line = page.lines().zip(whole.lines()).position(|(a, b)| a != b).map_or(0, |at| at + 1);
        assert!(
            page == whole,
            "ARCHITECTURE.md:{line} is not what the headers say: INGOT_WRITE_DOCS=1 cargo test -p ingot --test it house"
        );
    }
}

/// What goes through the code goes through each file once.
#[test]
fn no_trip_passes_a_file_twice() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let trips = page.split("\n## Three trips\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the trips");
    let trips: Vec<&str> = trips.split("\n### ").skip(1).collect();
    assert_eq!(trips.len(), 3);
    for trip in trips {
        let files: Vec<&str> = trip.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs")).collect();
        assert!(files.len() > 5, "{trip}");
        let mut seen = BTreeSet::new();
        for file in files {
            assert!(seen.insert(file), "{file} is passed twice");
            assert!(root().join(file).exists(), "there is no {file}");
        }
    }
}
