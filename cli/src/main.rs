//! The binary `ingot`: arguments, logs, exit codes. Each command has a file of its own.
//!
//! Results go to stdout, everything else to stderr.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use ingot_query::STACK_BYTES;

mod alter;
mod args;
mod check;
mod demo;
mod docs;
mod erase;
mod infer;
mod maintain;
mod open;
mod plan;
mod printable;
mod process;
mod produce;
mod progress;
mod prune;
mod refresh;
mod run;
mod serve;
mod shipped;
mod show;
mod sql;
mod status;
mod tell;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use args::{Cli, Color, Command, LogFormat};
use clap::Parser as _;
use open::Failure;
use tell::note;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Deep queries are planned and run on every thread, and on this one; its stack is not ours to choose.
    let main = std::thread::Builder::new().name("ingot".into()).stack_size(STACK_BYTES).spawn(move || run_command(cli));
    match main.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(e) => {
            note!("error: no thread could be started: {e}");
            ExitCode::from(3)
        }
    }
}

fn run_command(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            note!("error: the async runtime did not start: {e}");
            return ExitCode::from(3);
        }
    };
    let result = runtime.block_on(dispatch(cli));
    // A blocked librdkafka thread must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Logs to stderr; the level by -q and -v, or by INGOT_LOG as in `info,ingot_lake=debug`.
fn start_logs(cli: &Cli, configured: LogFormat) {
    let level = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => "warn",
        (_, 0) => match cli.command {
            Command::Run(_) | Command::Up(_) | Command::Serve => "info",
            _ => "warn",
        },
        (_, 1) => {
            "info,ingot_lake=debug,ingot_source=debug,ingot_project=debug,ingot_query=debug,ingot_pipeline=debug,ingot_flight=debug"
        }
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("INGOT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would say so on stderr, and panic when that is closed.
        .log_internal_errors(false);
    let ansi = open::colored(cli.global.color, std::io::stderr().is_terminal());
    // A second start, in tests, is no error.
    let _ = match cli.global.log_format.unwrap_or(configured) {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(ansi).try_init(),
    };
}

async fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let configured = match &cli.command {
        Command::Explain { .. } | Command::Docs { .. } | Command::Init { .. } | Command::Demo(_) => LogFormat::Text,
        _ => open::log_format(&cli.global),
    };
    start_logs(&cli, configured);
    let global = &cli.global;
    match &cli.command {
        Command::Check => check::check(global),
        Command::Fmt { check } => check::fmt(global, *check),
        Command::Ls => check::ls(global),
        Command::Explain { code } => check::explain(global, code),
        Command::Init { dir } => check::init(dir),
        Command::Plan { exit_code } => plan::plan(global, *exit_code).await,
        Command::Run(args) => run::run(global, args, false).await,
        Command::Up(args) => run::run(global, args, true).await,
        Command::Serve => serve::serve(global).await,
        Command::Produce(args) => produce::produce(global, args).await,
        Command::Demo(args) => demo::demo(global, args).await,
        Command::Sql(args) => sql::sql(global, args).await,
        Command::Status => status::status(global).await,
        Command::Verify { tables } => verify::verify(global, tables).await,
        Command::Infer { tables } => infer::infer(global, tables).await,
        Command::Maintain { tables, dry_run } => maintain::maintain(global, tables, *dry_run).await,
        Command::Erase(args) => erase::erase(global, args).await,
        Command::Prune { tables } => prune::prune(global, tables).await,
        Command::Refresh(args) => refresh::refresh(global, args).await,
        Command::Docs { page } => docs::print(*page),
    }
}

/// Whether output may be coloured.
impl Color {
    pub fn on(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}
