//! `run` and `up`: keep everything fresh until stopped, or catch up once.

use std::sync::{Arc, Mutex, PoisonError};

use ingot_pipeline::engine::{Engine, Report, StepReport};
use ingot_pipeline::error::PipelineError;
use ingot_pipeline::maintain::Rounds;
use ingot_pipeline::observe;
use ingot_pipeline::plan::Action;
use ingot_pipeline::run_loop::{self, Progress, Trouble};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::{Global, RunArgs};
use crate::open::{self, Failure};
use crate::process::{Limit, lease, no_lease, stop_on_signals};
use crate::tell::{note, say};
use crate::{serve, show};

pub async fn run(global: &Global, args: &RunArgs, and_serve: bool) -> Result<u8, Failure> {
    if args.report.is_some() && !args.once {
        return Err(Failure::Usage("--report needs --once: a run that goes on has no final report".into()));
    }
    if and_serve && args.once {
        return Err(Failure::Usage("up serves until stopped; use `run --once`, then `serve`".into()));
    }
    let opened = if and_serve { open::engine_to_serve(global).await? } else { open::engine(global).await? };
    let mut engine = Arc::new(opened);
    let stop = stop_on_signals()?;
    let limit = Limit::start(args.timeout, &stop);
    let http = if args.once { None } else { serve::start_http(&engine, stop.clone()).await? };
    let mut server = None;
    if and_serve {
        server = Some(serve::start(&engine, stop.clone()).await?);
        // Queries are answered while the plans of all views are tried, which takes milliseconds a view.
        let (_, project) = tokio::task::block_in_place(|| open::project(global))?;
        engine = Arc::new(engine.with_project(project).await?);
    }
    let Some(_lease) = lease(&engine, args.timeout, &stop).await? else {
        return Ok(no_lease(args.timeout));
    };
    let code = if args.once {
        once(&engine, global, args, &stop, &limit).await?
    } else {
        forever(engine, global, args, &stop).await?
    };
    for endpoint in server.into_iter().chain(http) {
        let _ = endpoint.await;
    }
    Ok(code)
}

fn refuse_rebuild(plan: &ingot_pipeline::plan::Plan) -> Result<(), Failure> {
    let rebuilt: Vec<String> =
        plan.steps.iter().filter(|s| matches!(s.action, Action::Rebuild { .. })).map(|s| s.table.to_string()).collect();
    if rebuilt.is_empty() {
        return Ok(());
    }
    let message =
        format!("the definition of {} changed, and --no-rebuild forbids to compute it anew", rebuilt.join(", "));
    let stopped = PipelineError::stopped("R0546", message).with_hint("`ingot plan` shows what would be done");
    Err(stopped.into())
}

async fn once(
    engine: &Engine,
    global: &Global,
    args: &RunArgs,
    stop: &CancellationToken,
    limit: &Limit,
) -> Result<u8, Failure> {
    let selected = open::selection(global, engine.project())?;
    let plan = engine.plan(&|n| selected.contains(n)).await?;
    if args.no_rebuild {
        refuse_rebuild(&plan)?;
    }
    let quiet = global.quiet || global.json;
    let told = |step: &StepReport| {
        if !quiet {
            note!("{}", line(step));
        }
    };
    let report = engine.execute(&plan, stop, &told).await;
    engine.keep_in_shape(&selected, &mut Rounds::default(), stop).await;
    finish(&report, global, args.report.as_deref())?;
    Ok(if stop.is_cancelled() { limit.stopped_code() } else { report.exit_code() })
}

/// One step for people.
pub fn line(step: &StepReport) -> String {
    if let Some(e) = &step.error {
        let help = e.hint.as_ref().map(|h| format!("\n   = help: {h}")).unwrap_or_default();
        return format!("{}  failed: error[{}]: {}{help}", step.table, e.code, e.message);
    }
    let why = step.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let (rows_in, rows_out) = (show::number(step.rows_in), show::number(step.rows_out));
    match step.mode.as_str() {
        "nothing" => format!("{}  nothing to do", step.table),
        mode => {
            format!("{}  {mode}{why}: {rows_in} rows in, {rows_out} rows out, {}", step.table, show::age(step.seconds))
        }
    }
}

pub fn finish(report: &Report, global: &Global, file: Option<&std::path::Path>) -> Result<(), Failure> {
    let json = serde_json::json!({ "version": 1, "steps": report.steps });
    if let Some(file) = file {
        std::fs::write(file, json.to_string())?;
    }
    if global.json {
        say!("{json}")?;
    }
    Ok(())
}

async fn forever(
    engine: Arc<Engine>,
    global: &Global,
    args: &RunArgs,
    stop: &CancellationToken,
) -> Result<u8, Failure> {
    let selected = open::selection(global, engine.project())?;
    if args.no_rebuild {
        refuse_rebuild(&engine.plan(&|n| selected.contains(n)).await?)?;
    }
    info!(tables = selected.len(), warehouse = %engine.config().warehouse.location, "running");
    let shared = Arc::new(Mutex::new(Progress::default()));
    if engine.config().http.listen.is_some() {
        tokio::spawn(observe::observe(engine.clone(), selected.clone(), stop.clone()));
    }
    let failures = run_loop::run(engine, selected, stop.clone(), shared.clone()).await?;
    let progress = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let rows: u64 = progress.rows.values().sum();
    info!(rows, refreshes = progress.refreshes, failed = failures.len(), "stopped");
    for (table, e) in &failures {
        note!("{table}  failed: error[{}]: {}", e.code, e.message);
        if let Some(hint) = &e.hint {
            note!("   = help: {hint}");
        }
    }
    for (task, trouble) in &progress.troubles {
        let times = if trouble.times == 1 { "once".to_owned() } else { format!("{} times", trouble.times) };
        let now = if trouble.down { "and did not work again" } else { "and worked again" };
        let Trouble { error, .. } = trouble;
        note!("{task}  failed {times} {now}: error[{}]: {}", error.code, error.message);
    }
    let down = progress.troubles.values().filter(|t| t.down).map(|t| &t.error);
    match failures.values().chain(down).map(|e| e.exit_code).min() {
        Some(code) => Ok(code),
        None => Ok(if args.timeout.is_some() { 0 } else { 143 }),
    }
}
