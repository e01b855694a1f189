//! Flight SQL: the gRPC endpoint over the query session.
//!
//!   gRPC ──▶ service ──▶ handlers ──▶ session (pins, plans, runs) ──▶ Arrow batches ──▶ Flight messages
//!                           └─ ticket, queries, prepared, jdbc, metadata, sql_info, actions
//!
//! Invariants
//! * A statement's ticket is all that is needed to get its rows, from any server over the same catalog.
//! * Results stream; the engine stops when the client goes, cancels, or the server ends.
//!
//! Not here: SQL, names, snapshots (`ingot_query`), statuses of errors (`error`).

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ingot_query::Session;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::info;

use crate::check_listen;
use crate::error::ServeError;

mod actions;
pub mod client;
mod handlers;
mod jdbc;
mod metadata;
mod prepared;
mod queries;
mod service;
mod sql_info;
mod ticket;

/// What a client may send in one message: parameters, not data.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until `shutdown`: then running queries are cancelled and connections closed.
///
/// # Errors
/// A listener that others can reach, and a transport that fails.
pub async fn serve(listener: TcpListener, session: Session, shutdown: CancellationToken) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    check_listen(address)?;
    let handlers = Arc::new(handlers::Handlers::new(session));
    let queries = handlers.queries.clone();
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
            queries.cancel_all();
            tokio::time::sleep(GRACE).await;
        } => {}
    }
    info!(%address, "stopped serving flight sql");
    Ok(())
}
