//! What a command that works for long shares with its process: signals, the time limit, the project's lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingot_lake::crash;
use ingot_lake::lease::Lease;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::error::PipelineError;
use tokio_util::sync::CancellationToken;

use crate::open::Failure;
use crate::tell::note;

/// A token that SIGINT and SIGTERM cancel; a second signal ends the process at once.
pub fn stop_on_signals() -> Result<CancellationToken, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = token.clone();
    tokio::spawn(async move {
        for turn in 0.. {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if turn > 0 {
                std::process::exit(143);
            }
            note!("stopping: work in hand is finished or abandoned (again to stop at once)");
            stop.cancel();
        }
    });
    Ok(token)
}

/// `--timeout`: cancels the stop token when the time is up, and tells that apart from a signal.
pub struct Limit(Arc<AtomicBool>);

impl Limit {
    pub fn start(limit: Option<Duration>, stop: &CancellationToken) -> Self {
        let passed = Arc::new(AtomicBool::new(false));
        if let Some(limit) = limit {
            let (stop, passed) = (stop.clone(), passed.clone());
            tokio::spawn(async move {
                tokio::time::sleep(limit).await;
                passed.store(true, Ordering::Relaxed);
                stop.cancel();
            });
        }
        Self(passed)
    }

    /// The exit code of a command that was stopped before its end: a retry may help, or a signal came.
    pub fn stopped_code(&self) -> u8 {
        if self.0.load(Ordering::Relaxed) {
            note!("stopped: --timeout passed before everything was done");
            return 3;
        }
        143
    }
}

/// The project's lease: says so while another process holds it. `None` when stopped or out of time before it was free.
pub async fn lease(
    engine: &Engine,
    wait: Option<Duration>,
    stop: &CancellationToken,
) -> Result<Option<Lease>, Failure> {
    let started = std::time::Instant::now();
    let mut said = false;
    loop {
        match Lease::acquire(engine.lake(), &engine.config().lease_key()) {
            Ok(lease) => {
                crash::point("start.leased", "");
                return Ok(Some(lease));
            }
            Err(held) if held.retryable() => {
                if !said {
                    note!("waiting for the lease: {held}");
                    said = true;
                }
            }
            Err(e) => {
                let hint = "the folder of the SQLite catalog must be on a local file system and writable for this user";
                return Err(PipelineError::Stopped {
                    code: e.code(),
                    message: e.to_string(),
                    hint: Some(hint.into()),
                    retryable: true,
                }
                .into());
            }
        }
        if stop.is_cancelled() || wait.is_some_and(|w| started.elapsed() >= w) {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The exit code without the lease.
pub fn no_lease(wait: Option<Duration>) -> u8 {
    if wait.is_some() {
        note!("error[L0141]: the lease was not free before --timeout passed");
        return 5;
    }
    143
}
