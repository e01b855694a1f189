//! Flight SQL: the gRPC endpoint over the query session.
//!
//!   gRPC ──▶ service ──▶ handlers ──▶ session (pins, plans, runs) ──▶ Arrow batches ──▶ Flight messages
//!                           └─ ticket, stoppable, jdbc, metadata, sql_info, actions
//!
//! Invariants
//! * A statement's ticket is all that is needed to get its rows, from any server with the same key over the same catalog;
//!   no server runs SQL from a ticket that it or such a server did not seal.
//! * Results stream; the engine stops when the client goes, cancels, or the server ends.
//!
//! Not here: SQL, names, snapshots (`ingot_query`), statuses of errors (`error`).

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::info;

use crate::check_listen;
use crate::error::ServeError;
use served::REQUEST_BYTES_MAX;
pub use served::Served;

mod actions;
pub mod client;
mod handlers;
mod jdbc;
mod metadata;
mod served;
mod service;
mod sql_info;
mod stoppable;
mod ticket;

/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until `shutdown`: then running queries are cancelled and connections closed.
///
/// # Errors
/// A listener that others can reach, and a transport that fails.
pub async fn serve(listener: TcpListener, served: Served, shutdown: CancellationToken) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    check_listen(address)?;
    let registry = served.registry.clone();
    let handlers = Arc::new(handlers::Handlers { served });
    let service =
        FlightServiceServer::new(service::FlightEndpointService(handlers)).max_decoding_message_size(REQUEST_BYTES_MAX);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    info!(%address, "serving flight sql");
    let stop = shutdown.clone();
    let serving = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await });
    tokio::select! {
        ended = serving => ended?,
        () = async {
            shutdown.cancelled().await;
            registry.cancel_all();
            tokio::time::sleep(GRACE).await;
        } => {}
    }
    info!(%address, "stopped serving flight sql");
    Ok(())
}
