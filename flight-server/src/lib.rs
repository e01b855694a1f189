//! Arrow Flight SQL over the pipeline's query session.
//!
//!   gRPC ──▶ service ──▶ handlers ──▶ session (pins, plans, runs) ──▶ Arrow batches ──▶ Flight messages
//!              │            └─ ticket, queries, prepared, jdbc, metadata, sql_info, actions
//!              └─ error: every error to its gRPC status
//!
//! Invariants
//! * Listens on loopback only: there is no authentication and no TLS yet.
//! * A statement's ticket is all that is needed to get its rows, from any server over the same catalog.
//! * Results stream; the engine stops when the client goes, cancels, or the server ends.
//!
//! Not here: SQL, names, snapshots (`ingot_pipeline::session`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ingot_pipeline::session::Session;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::info;

mod actions;
pub mod client;
pub mod error;
mod handlers;
mod jdbc;
mod metadata;
mod prepared;
mod queries;
mod service;
mod sql_info;
mod ticket;

pub use client::{Client, ClientError, QueryStream};
pub use error::ServeError;

/// What a client may send in one message: parameters, not data.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Whether a server may listen on an address.
///
/// # Errors
/// Every address that others can reach.
pub fn check_listen(address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().is_loopback() { Ok(()) } else { Err(ServeError::NotLoopback(address)) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for good in ["127.0.0.1:50051", "[::1]:8080", "127.9.9.9:1"] {
            assert!(check_listen(good.parse().unwrap()).is_ok(), "{good}");
        }
        for open in ["0.0.0.0:50051", "[::]:50051", "10.1.2.3:1"] {
            let refused = check_listen(open.parse().unwrap()).unwrap_err();
            assert_eq!(refused.code(), "Q0114", "{open}");
            assert!(refused.to_string().contains("no authentication"));
        }
    }
}
