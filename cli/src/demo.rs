//! `demo`: an embedded broker, a fresh warehouse, the shipped project, and the oracle.
//!
//!   fleet ──▶ mock broker ──▶ run loop ──▶ bronze, silver, gold ──▶ live view ──▶ verify ──▶ goes on serving
//!
//! The broker keeps 5 MiB or 100,000 messages a partition, so the producer stays close to what is committed. It is
//! for looking, not for proving: it drops what is old and never aborts a transaction.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt as _;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::error::PipelineError;
use ingot_pipeline::run_loop::{self, Shared};
use ingot_project::{check, config::Config};
use ingot_query::Caller;
use ingot_source::{Fleet, FleetConfig, MockBroker};
use tokio_util::sync::CancellationToken;

use crate::args::{DemoArgs, Global};
use crate::open::{self, Failure};
use crate::tell::{say, say_part};
use crate::{process, produce, serve, shipped, show, verify};

const TOPIC: &str = "vehicles-events";
const PARTITIONS: i32 = 4;
/// Messages on the broker that are not committed yet, at most.
const AHEAD_MAX: u64 = 90_000;
const CHUNK: u64 = 30_000;
/// The whole demo, without serving on.
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn demo(global: &Global, args: &DemoArgs) -> Result<u8, Failure> {
    let ends = args.once || !std::io::stdout().is_terminal();
    let fresh = std::env::temp_dir().join(format!("ingot-demo-{}", std::process::id()));
    let dir = args.dir.clone().unwrap_or(fresh);
    if dir.exists() && std::fs::read_dir(&dir)?.next().is_some() {
        return Err(Failure::Usage(format!(
            "{} is not empty: the embedded broker forgets its topics, so a demo starts afresh",
            dir.display()
        )));
    }
    std::fs::create_dir_all(&dir)?;
    let broker = MockBroker::start().map_err(produce::source)?;
    broker.create_topic(TOPIC, PARTITIONS).map_err(produce::source)?;
    let engine = Arc::new(engine(global, &dir, &broker.bootstrap_servers(), ends).await?);
    let stop = process::stop_on_signals()?;
    let (server, address) = serve::start_at(&engine, stop.clone()).await?;
    let outcome = shown(&engine, args.events, &broker, (&dir, &address.to_string()), &stop, ends).await;
    stop.cancel();
    let _ = server.await;
    if args.dir.is_none() {
        // Made by us, for this run.
        let _ = std::fs::remove_dir_all(&dir);
    }
    outcome
}

/// The demo itself. However it ends, `stop` ends what it started.
async fn shown(
    engine: &Arc<Engine>,
    events: u64,
    broker: &MockBroker,
    (dir, address): (&Path, &str),
    stop: &CancellationToken,
    ends: bool,
) -> Result<u8, Failure> {
    say!("warehouse  {}", dir.display())?;
    say!("endpoint   grpc://{address}")?;
    let shared = Shared::default();
    let all = engine.project().tables.keys().cloned().collect();
    let running = tokio::spawn(run_loop::run(engine.clone(), all, stop.clone(), shared.clone()));
    let produced = Arc::new(AtomicU64::new(0));
    let producing = feed(broker, events, &produced, &shared, stop);
    let watched = watch(engine, events, &produced, &shared, stop).await;
    if watched.is_err() {
        stop.cancel();
    }
    let produced = producing.await.map_err(|e| Failure::Outside(e.to_string()));
    let outcome = async {
        watched?;
        produced??;
        let code = check(engine).await?;
        if !ends && !stop.is_cancelled() {
            say!("\nThe tables stay queryable until Ctrl-C. In another terminal:\n")?;
            connect(address)?;
            stop.cancelled().await;
        } else {
            say!(
                "\nWithout --once and on a terminal the demo goes on serving; `ingot up` serves the tables of your own brokers:\n"
            )?;
            connect("127.0.0.1:32010")?;
        }
        Ok::<u8, Failure>(code)
    };
    let outcome = outcome.await;
    stop.cancel();
    let _ = running.await;
    outcome
}

/// The project's folder if there is one, else the shipped project; on the embedded broker and a fresh warehouse.
async fn engine(global: &Global, dir: &Path, brokers: &str, ends: bool) -> Result<Engine, Failure> {
    let root: PathBuf = match open::root(global) {
        Ok(root) => root,
        Err(_) if global.project.is_none() => {
            let root = dir.join("sql");
            shipped::write(&root)?;
            root
        }
        Err(e) => return Err(e),
    };
    let mut sets = vec![
        ("kafka.bootstrap.servers".to_owned(), brokers.to_owned()),
        ("warehouse.location".to_owned(), dir.join("warehouse").display().to_string()),
        ("run.commit_interval_ms".to_owned(), "250".to_owned()),
        ("run.freshness".to_owned(), "200 ms".to_owned()),
    ];
    if ends {
        sets.push(("serve.listen".to_owned(), "127.0.0.1:0".to_owned()));
    }
    sets.extend(global.sets.iter().cloned());
    let refused = |diagnostics| Failure::Project { diagnostics, files: vec![], json: global.json, color: false };
    let config = Config::load(&root, global.env.as_deref(), &sets, &BTreeMap::new(), ingot_source::check_property)
        .map_err(refused)?;
    let checked = check::load(&root, &config);
    let Some(project) = checked.project else {
        return Err(Failure::Project {
            diagnostics: checked.diagnostics,
            files: checked.files,
            json: global.json,
            color: false,
        });
    };
    Ok(Engine::open(Arc::new(project), Arc::new(config)).await?)
}

/// Produces no faster than is committed.
fn feed(
    broker: &MockBroker,
    events: u64,
    produced: &Arc<AtomicU64>,
    shared: &Shared,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<Result<(), Failure>> {
    let (config, produced, shared, stop) = (broker.config(), produced.clone(), shared.clone(), stop.clone());
    tokio::task::spawn_blocking(move || {
        let mut fleet = Fleet::new(FleetConfig { seed: 1, malformed: 0.001, duplicates: 0.01, late: 0.01 });
        let never = AtomicBool::new(false);
        while produced.load(Ordering::Relaxed) < events && !stop.is_cancelled() {
            let so_far = produced.load(Ordering::Relaxed);
            let taken: u64 = shared.lock().unwrap_or_else(PoisonError::into_inner).delivered.values().sum();
            if so_far.saturating_sub(taken) > AHEAD_MAX {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let some = CHUNK.min(events - so_far);
            ingot_source::produce(&config, TOPIC, some, None, &mut fleet, &|_| {}, &never).map_err(produce::source)?;
            produced.fetch_add(some, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// Shows throughput, freshness and gold.stats until everything produced is in every table.
async fn watch(
    engine: &Engine,
    events: u64,
    produced: &AtomicU64,
    shared: &Shared,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let started = Instant::now();
    let mut lines = 0;
    let mut last = (Instant::now(), 0_u64);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(if terminal { 500 } else { 1000 })) => {}
        }
        let (taken, failures) = {
            let p = shared.lock().unwrap_or_else(PoisonError::into_inner);
            (p.delivered.values().sum::<u64>(), p.failures.clone())
        };
        if let Some((_, e)) = failures.into_iter().find(|(_, e)| !e.retryable) {
            return Err(Failure::Step(e));
        }
        let rate = (taken - last.1) as f64 / last.0.elapsed().as_secs_f64().max(1e-3);
        last = (Instant::now(), taken);
        let caught_up = taken >= events && produced.load(Ordering::Relaxed) >= events && is_current(engine).await?;
        let mut text = format!(
            "{} of {} events committed, {}/s, gold.stats is {} old\n",
            show::number(taken),
            show::number(events),
            show::number(rate as u64),
            age(engine).await?.map_or_else(|| "-".to_owned(), show::age)
        );
        if let Some(stats) = stats(engine).await {
            text.push_str(&stats);
        }
        if terminal {
            if lines > 0 {
                say_part!("\x1b[{lines}A\x1b[J")?;
            }
            lines = text.lines().count();
            say!("{}", text.trim_end())?;
        } else {
            say_part!("{}", text.lines().next().map(|l| format!("{l}\n")).unwrap_or_default())?;
        }
        if caught_up {
            if !terminal {
                say!("{}", text.lines().skip(1).collect::<Vec<_>>().join("\n"))?;
            }
            let seconds = started.elapsed().as_secs_f64();
            say!("\n{} events from the log to gold in {}", show::number(events), show::age(seconds))?;
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::Outside(format!(
                "the demo did not finish in {} s; run it with -v to see why",
                PATIENCE.as_secs()
            )));
        }
    }
}

/// Whether no table has work left.
async fn is_current(engine: &Engine) -> Result<bool, Failure> {
    Ok(!engine.plan(&|_| true).await?.has_work())
}

/// How long ago the newest rows that gold.stats holds were committed to bronze.
async fn age(engine: &Engine) -> Result<Option<f64>, Failure> {
    let tables = engine.tables().await?;
    let Some(gold) = tables.iter().find(|(n, _)| n.namespace.as_str().ends_with("gold")).map(|(_, t)| t) else {
        return Ok(None);
    };
    let head = gold.head().and_then(|h| gold.snapshot(h));
    let base = head.map(|s| s.bases()).transpose().map_err(PipelineError::from)?.flatten().unwrap_or_default();
    let newest = base.into_iter().filter_map(|(name, (_, id))| Some(tables.get(&name)?.snapshot(id?)?.timestamp_ms));
    let now = chrono::Utc::now().timestamp_millis();
    Ok(newest.max().map(|t| (now - t).max(0) as f64 / 1000.0))
}

async fn stats(engine: &Engine) -> Option<String> {
    let session = engine.session().ok()?;
    let planned = session.plan(&Caller::ANONYMOUS, "SELECT * FROM gold.stats ORDER BY type", None).await.ok()?;
    let rows: Vec<_> = session.execute(&Caller::ANONYMOUS, &planned, None).await.ok()?.try_collect().await.ok()?;
    if rows.iter().all(|b| b.num_rows() == 0) {
        return None;
    }
    pretty_format_batches(&rows).ok().map(|t| t.to_string())
}

async fn check(engine: &Engine) -> Result<u8, Failure> {
    say!("\nverify: every table against its query, and against the log")?;
    let mut code = 0;
    for name in &engine.project().order {
        let verified = engine.verify(name).await?;
        verify::print(&verified)?;
        // The embedded broker may have dropped old messages: then counts are all there is.
        code = code.max(verified.exit_code());
    }
    Ok(code)
}

fn connect(address: &str) -> Result<(), Failure> {
    say!("    ingot sql --connect grpc://{address} 'SELECT * FROM gold.stats'")?;
    say!()?;
    say!("    pip install adbc-driver-manager adbc-driver-flightsql pyarrow")?;
    say!(
        "    python3 -c \"import adbc_driver_flightsql.dbapi as f; c = f.connect('grpc://{address}', autocommit=True); \
         k = c.cursor(); k.execute('SELECT * FROM gold.stats'); print(k.fetch_arrow_table())\""
    )?;
    Ok(())
}
