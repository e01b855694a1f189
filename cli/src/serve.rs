//! `serve`: the Flight SQL endpoint over the project's tables.

use std::net::SocketAddr;
use std::sync::Arc;

use ingot_pipeline::engine::Engine;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::args::Global;
use crate::open::{self, Failure};
use crate::{run, sql};

/// Binds the configured address and serves until `stop`.
pub async fn start(engine: &Arc<Engine>, stop: CancellationToken) -> Result<JoinHandle<()>, Failure> {
    Ok(start_at(engine, stop).await?.0)
}

/// The same, with the address that was bound.
pub async fn start_at(engine: &Arc<Engine>, stop: CancellationToken) -> Result<(JoinHandle<()>, SocketAddr), Failure> {
    let address = engine.config.serve.listen;
    ingot_flight::check_listen(address).map_err(|e| Failure::Usage(e.to_string()))?;
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Failure::Outside(format!(
            "cannot listen on {address}: {e}; choose another with --set serve.listen=127.0.0.1:PORT"
        ))
    })?;
    let bound = listener.local_addr()?;
    let session = engine.session().map_err(sql::query_error)?;
    let task = tokio::spawn(async move {
        if let Err(e) = ingot_flight::serve(listener, session, stop).await {
            error!(error = %e, "the Flight SQL endpoint stopped");
        }
    });
    Ok((task, bound))
}

pub async fn serve(global: &Global) -> Result<u8, Failure> {
    let engine = Arc::new(open::reader(global).await?);
    let stop = run::stop_on_signals()?;
    let server = start(&engine, stop).await?;
    let _ = server.await;
    Ok(143)
}
