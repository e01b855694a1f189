//! What Ingot serves: Flight SQL over the pipeline's query session; health and metrics over HTTP.
//!
//! Invariants
//! * Rows are served on loopback only: there is no authentication and no TLS yet.
//! * Every error has its status in `error`.
//!
//! Not here: SQL, names, snapshots (`ingot_query`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::net::SocketAddr;

pub mod error;
mod flight;
pub mod http;

pub use error::ServeError;
pub use flight::client::{self, Client, ClientError, QueryStream};
pub use flight::{Served, serve};

/// Whether a server may listen on an address.
///
/// # Errors
/// An address that other hosts can reach.
pub fn check_listen(address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().is_loopback() { Ok(()) } else { Err(ServeError::NotLoopback(address)) }
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
