//! The command line: global options stand before or after the subcommand.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ingot_dialect::duration::parse_ms;

/// A lakehouse from a folder of SQL: Kafka to Iceberg, incrementally and exactly once, served over Flight SQL.
#[derive(Debug, Parser)]
#[command(name = "ingot", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The project's folder [default: the current folder if it has an ingot.toml, else `sql`]
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Use the [env.NAME] overlay of ingot.toml [env: INGOT_ENV]
    #[arg(long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Set a configuration key, for example warehouse.location=/data/lake
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub sets: Vec<(String, String)>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Only these tables: `gold.stats`, `+gold.stats` (with what it reads), `gold.*`, `tag:x`
    #[arg(long, global = true, value_name = "PATTERN")]
    pub select: Vec<String>,
    /// Not these tables
    #[arg(long, global = true, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Only warnings and errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More on stderr; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Answer yes where a command would ask
    #[arg(long, global = true)]
    pub yes: bool,
    /// How log lines look
    #[arg(long, global = true, value_enum)]
    pub log_format: Option<LogFormat>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example run.commit_interval_ms=500".into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Parse, resolve and type-check the project; needs no network
    Check,
    /// Print the SQL files in canonical form, bodies and comments as they are
    Fmt {
        /// Change nothing; exit 1 if a file would change
        #[arg(long)]
        check: bool,
    },
    /// List the project's tables with what they read
    Ls,
    /// Explain an error code
    Explain { code: String },
    /// Make a new project
    Init {
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// What `run` would do now, table by table
    Plan {
        /// Exit 10 if there is work, 11 if a table would be rebuilt
        #[arg(long)]
        exit_code: bool,
    },
    /// Keep every table fresh until stopped
    Run(RunArgs),
    /// Serve the tables over Arrow Flight SQL
    Serve,
    /// Run and serve in one process
    Up(RunArgs),
    /// Write vehicle events to a topic of the configured brokers
    Produce(ProduceArgs),
    /// The whole path on an embedded broker and a fresh warehouse
    Demo(DemoArgs),
    /// Run a query
    Sql(SqlArgs),
    /// Rows, files, positions, lag, age and last refresh of every table
    Status,
    /// Compare tables with their queries over the snapshots they record, and with the log
    Verify { tables: Vec<String> },
    /// Refresh one table, for a workflow engine
    Refresh(RefreshArgs),
    /// Print CREATE EXTERNAL TABLE for stored tables, with their columns' types
    Infer {
        #[arg(required = true)]
        tables: Vec<String>,
    },
    /// Bring small files together, merge manifests, forget old snapshots and delete files that nothing names
    Maintain {
        tables: Vec<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take rows out of a streaming table, its error table and the views over it, with the files that held them; asks first
    Erase(EraseArgs),
    /// Drop columns that a streaming table's SELECT has no more, whose values are kept until then; asks first
    Prune { tables: Vec<String> },
    /// Print a reference page
    #[command(hide = true)]
    Docs { page: Page },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Page {
    Codes,
    Config,
    Metrics,
    /// The points of `engine/lake/src/crash.rs`, for the tests that end the process there.
    CrashPoints,
}

#[derive(Debug, Clone, Args, Default)]
pub struct RunArgs {
    /// Catch up with what is there at the start, refresh all, exit
    #[arg(long)]
    pub once: bool,
    /// Stop after this long, for example 30s, 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
    /// Write what was done to a JSON file (with --once)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Refuse to rebuild a table whose definition changed
    #[arg(long)]
    pub no_rebuild: bool,
}

/// A length of time as settings take it, or a bare number of seconds.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let bare = text.bytes().all(|c| c.is_ascii_digit());
    let ms = if bare { parse_ms(&format!("{text}s")) } else { parse_ms(text) };
    ms.map(std::time::Duration::from_millis)
        .ok_or_else(|| format!("\"{text}\" is no duration; write for example 500ms, 30s or 10m"))
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(format!("\"{text}\" is no fraction between 0 and 1")),
    }
}

#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// The same seed gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Fraction of messages that do not decode
    #[arg(long, default_value_t = 0.0, value_parser = fraction, value_name = "P")]
    pub malformed: f64,
    /// Fraction of events that repeat an earlier one
    #[arg(long, default_value_t = 0.0, value_parser = fraction, value_name = "P")]
    pub duplicates: f64,
    /// Fraction of events that come late
    #[arg(long, default_value_t = 0.0, value_parser = fraction, value_name = "P")]
    pub late: f64,
}

#[derive(Debug, Args)]
pub struct ProduceArgs {
    #[arg(long)]
    pub topic: String,
    /// How many events
    #[arg(long)]
    pub events: u64,
    /// Begin behind this many events of the same fleet
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub skip: u64,
    /// Events per second [default: as fast as the broker takes them]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Make the topic with this many partitions if it does not exist
    #[arg(long, value_name = "N")]
    pub partitions: Option<i32>,
    #[command(flatten)]
    pub fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[arg(long, default_value_t = 300_000)]
    pub events: u64,
    /// End when everything is verified instead of serving on
    #[arg(long)]
    pub once: bool,
    /// Where the demo's warehouse goes [default: a fresh folder in the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
    Arrow,
}

#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The statement; without one: -f, stdin, or a prompt on a terminal
    pub statement: Option<String>,
    #[arg(short, long, conflicts_with = "statement", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Ask a running server, for example grpc://127.0.0.1:32010
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct EraseArgs {
    pub table: String,
    /// WHERE and a condition over its columns: rows for which it is TRUE go
    #[arg(required = true, value_name = "WHERE CONDITION")]
    pub condition: Vec<String>,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Of messages that did not decode, those whose bytes hold this text [default: the texts that the condition compares with]
    #[arg(long, value_name = "TEXT", conflicts_with = "raw_kept")]
    pub raw_matching: Vec<String>,
    /// Leave messages that did not decode
    #[arg(long)]
    pub raw_kept: bool,
}

#[derive(Debug, Args)]
pub struct RefreshArgs {
    pub table: String,
    /// Compute it as a whole; a streaming table reads its topic again from where it began
    #[arg(long)]
    pub full: bool,
    /// Go on past messages that the topic lost before they were read; with --full: although it does not reach back to
    /// where the table began, whose rows are dropped
    #[arg(long)]
    pub accept_loss: bool,
    /// Stop after this long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_bare_number_is_seconds() {
        for (text, ms) in [("30", 30_000), ("250ms", 250), ("30 s", 30_000), ("10m", 600_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text).map(|d| d.as_millis()), Ok(ms), "{text}");
        }
        for text in ["", "s", "+30", "-1", "1.5", " 30", "18446744073709551615", "1M"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
