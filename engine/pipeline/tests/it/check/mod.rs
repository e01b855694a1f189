//! What `check` says of projects.
//!
//! `wrong/` holds projects that must fail, each with the exact text they must fail with. `BLESS=1` rewrites those
//! texts; whoever does so reads each of them as the user would.

use ingot_project::{check::check_files, config::Config};

mod built;
mod config;
mod models;
mod sides;
mod wrong;

use std::collections::BTreeMap;
use std::path::Path;

use ingot_project::project::{Checked, SqlFile};

/// A configuration from a file's text, away from the process environment.
fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let variables: BTreeMap<String, String> = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let folder = Path::new("/project");
    Config::from_parts(Some(text), folder, folder, None, &[], &variables, ingot_source::check_property)
        .expect("the configuration is right")
}

const BROKERS: &str = "kafka.bootstrap.servers = \"127.0.0.1:9092\"\n";

/// Checks files given as path and text.
fn check(files: &[(&str, &str)]) -> Checked {
    let files = files.iter().map(|(path, text)| SqlFile { path: (*path).into(), text: (*text).into() }).collect();
    check_files(Path::new("/project"), files, &config(BROKERS, &[]))
}
