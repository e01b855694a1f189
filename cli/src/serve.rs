//! `serve`: the Flight SQL endpoint over the project's tables, and HTTP beside it.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use ingot_flight::Served;
use ingot_flight::http::{self, Ready};
use ingot_pipeline::engine::Engine;
use ingot_pipeline::error::PipelineError;
use ingot_query::Seal;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::args::Global;
use crate::open::{self, Failure};
use crate::{process, sql};

/// Between two starts of an endpoint that ended by itself.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Binds the configured address and serves until `stop`.
pub async fn start(engine: &Arc<Engine>, stop: CancellationToken) -> Result<JoinHandle<()>, Failure> {
    Ok(start_at(engine, stop).await?.0)
}

/// The same, with the address that was bound.
pub async fn start_at(engine: &Arc<Engine>, stop: CancellationToken) -> Result<(JoinHandle<()>, SocketAddr), Failure> {
    let address = engine.config().serve.listen;
    ingot_flight::check_listen(address).map_err(|e| Failure::Usage(e.to_string()))?;
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Failure::Outside(format!(
            "cannot listen on {address}: {e}; choose another with --set serve.listen=127.0.0.1:PORT"
        ))
    })?;
    let bound = listener.local_addr()?;
    let seal = engine.config().serve.ticket_key.map_or_else(Seal::of_process, |key| Seal::shared(key.bytes()));
    let served = Served::new(engine.session().map_err(sql::query_error)?, seal);
    let until = stop.clone();
    let serving = move |listener| ingot_flight::serve(listener, served.clone(), stop.clone());
    let task = tokio::spawn(supervised("the Flight SQL endpoint", listener, bound, until, serving));
    Ok((task, bound))
}

/// Serves health and metrics where the configuration says so, until `stop`.
pub async fn start_http(engine: &Arc<Engine>, stop: CancellationToken) -> Result<Option<JoinHandle<()>>, Failure> {
    let Some(address) = engine.config().http.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Failure::Outside(format!(
            "cannot listen on {address}: {e}; choose another with --set http.listen=127.0.0.1:PORT"
        ))
    })?;
    let bound = listener.local_addr()?;
    let lake = engine.lake().clone();
    let ready: Ready = Arc::new(move || {
        let lake = lake.clone();
        let told = async move { lake.list_tables().await.map(drop) };
        told.map(|told| told.map_err(|e| format!("{}: the catalog cannot be read", e.code()))).boxed()
    });
    let until = stop.clone();
    let serving = move |listener| http::serve(listener, ready.clone(), stop.clone());
    Ok(Some(tokio::spawn(supervised("the HTTP endpoint", listener, bound, until, serving))))
}

/// Serves again, at the same address, whenever serving ends by itself, until `stop`.
async fn supervised<F, E>(
    what: &str,
    first: TcpListener,
    at: SocketAddr,
    stop: CancellationToken,
    serving: impl Fn(TcpListener) -> F,
) where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut pause = PAUSE_MIN;
    let mut listener = Some(first);
    loop {
        let began = tokio::time::Instant::now();
        let bound = match listener.take() {
            Some(listener) => Ok(listener),
            None => TcpListener::bind(at).await,
        };
        let why = match bound {
            Err(e) => format!("cannot listen on {at}: {e}"),
            Ok(listener) => match AssertUnwindSafe(serving(listener)).catch_unwind().await {
                Ok(Ok(())) => "it ended without being stopped".to_owned(),
                Ok(Err(e)) => e.to_string(),
                Err(panic) => PipelineError::panicked(panic.as_ref()).to_string(),
            },
        };
        if stop.is_cancelled() {
            return;
        }
        if began.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        error!(address = %at, error = why, retry_in_s = pause.as_secs_f64(), "{what} ended and is started again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

pub async fn serve(global: &Global) -> Result<u8, Failure> {
    let engine = Arc::new(open::queried(global).await?);
    let stop = process::stop_on_signals()?;
    let http = start_http(&engine, stop.clone()).await?;
    let server = start(&engine, stop).await?;
    let _ = server.await;
    if let Some(http) = http {
        let _ = http.await;
    }
    Ok(143)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_endpoint_that_panics_or_fails_listens_again_at_its_address() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = first.local_addr().unwrap();
        let (stop, turns) = (CancellationToken::new(), AtomicUsize::new(0));
        let served = CancellationToken::new();
        let serving = |listener: TcpListener| {
            let turn = turns.fetch_add(1, Ordering::Relaxed);
            let (stop, served) = (stop.clone(), served.clone());
            async move {
                assert_eq!(listener.local_addr().unwrap(), at);
                match turn {
                    0 => panic!("a defect"),
                    1 => return Err("a transport that fails"),
                    2 => return Ok(()),
                    _ => {}
                }
                served.cancel();
                listener.accept().await.unwrap();
                stop.cancelled().await;
                Ok(())
            }
        };
        let client = async {
            served.cancelled().await;
            tokio::net::TcpStream::connect(at).await.unwrap();
            stop.cancel();
        };
        let both = futures::future::join(supervised("it", first, at, stop.clone(), serving), client);
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("it listens again");
        assert_eq!(turns.load(Ordering::Relaxed), 4);
    }
}
