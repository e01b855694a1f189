//! The one place where errors become gRPC statuses, and where the server's own errors are.
//!
//! Invariants
//! * Every kind of error has its status here, and the compiler says when one has not.
//! * A status' message is the whole story: code, message, the marked line, the hint.
//!
//! Not here: what errors mean (`ingot_query::ErrorKind`).

use std::net::SocketAddr;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use datafusion::error::DataFusionError;
use ingot_query::{ErrorKind, QueryError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The trailer that holds the stable code.
pub(crate) const CODE_HEADER: &str = "ingot-code";
/// The trailer that says `true` if the same call may succeed later.
pub(crate) const RETRYABLE_HEADER: &str = "ingot-retryable";

/// Why the server does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "Q0114: serve.listen = \"{0}\" is not a loopback address: the server has no authentication or TLS yet, so anybody on the network could read every table; listen on 127.0.0.1 and let a proxy or a tunnel decide who may connect"
    )]
    NotLoopback(SocketAddr),
    #[error("Q0110: the server stopped: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("Q0110: the listener has no address: {0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLoopback(_) => "Q0114",
            Self::Transport(_) | Self::Io(_) => "Q0110",
        }
    }
}

fn grpc_code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Syntax | ErrorKind::Invalid | ErrorKind::Parameter | ErrorKind::Data => Code::InvalidArgument,
        ErrorKind::UnknownName | ErrorKind::UnknownHandle => Code::NotFound,
        // Clients take Unimplemented for "this server lacks the call"; the call is there, the statement is not.
        ErrorKind::Refused | ErrorKind::TooLarge => Code::InvalidArgument,
        ErrorKind::Deadline => Code::DeadlineExceeded,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Resources => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::SnapshotGone => Code::Aborted,
        ErrorKind::Unreadable => Code::DataLoss,
        ErrorKind::NotBuilt => Code::FailedPrecondition,
        ErrorKind::Internal => Code::Internal,
    }
}

/// A status travels in HTTP/2 trailers, which clients bound at 16 KiB: beyond it they drop the whole connection. The
/// engine's own words may hold a type or an expression of any length.
const MESSAGE_BYTES_MAX: usize = 6 << 10;

/// The beginning of a text that takes at most so many bytes in a trailer, where all but plain ASCII takes three.
fn clipped(text: &str, bytes_max: usize) -> String {
    let mut bytes = 0;
    for (at, c) in text.char_indices() {
        bytes += if (c == ' ' || c.is_ascii_graphic()) && c != '%' { 1 } else { 3 * c.len_utf8() };
        if bytes > bytes_max {
            return format!("{}...", text.get(..at).unwrap_or(""));
        }
    }
    text.to_owned()
}

/// The status of a statement's error.
pub(crate) fn status(error: &QueryError) -> Status {
    // The cause is cut before the place and the hint are, which stand behind it.
    let mut short = error.clone();
    short.message = clipped(&error.message, MESSAGE_BYTES_MAX / 3);
    let mut status = Status::new(grpc_code(error.kind), clipped(&short.to_string(), MESSAGE_BYTES_MAX));
    let metadata = status.metadata_mut();
    metadata.insert(CODE_HEADER, MetadataValue::from_static(error.code));
    if error.retryable {
        metadata.insert(RETRYABLE_HEADER, MetadataValue::from_static("true"));
    }
    status
}

/// A status of one of our kinds.
pub(crate) fn failed(kind: ErrorKind, message: impl Into<String>) -> Status {
    status(&QueryError::new(kind, message))
}

/// An error in the middle of a result.
pub(crate) fn running(sql: &str, error: &DataFusionError) -> FlightError {
    FlightError::Tonic(Box::new(status(&QueryError::from_running(sql, error))))
}

/// A result that cannot be encoded: a fault of the server.
pub(crate) fn encoding(error: ArrowError) -> Status {
    // Arrow's own text may quote a value.
    let why = QueryError::from(DataFusionError::from(error)).message;
    failed(ErrorKind::Internal, format!("the result cannot be encoded: {why}"))
}

/// What a client sent cannot be read.
pub(crate) fn malformed(what: &str, error: impl std::fmt::Display) -> Status {
    failed(ErrorKind::Parameter, format!("{what} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_fits_into_its_trailer() {
        for text in ["x".repeat(100_000), "é".repeat(100_000), "\n".repeat(100_000)] {
            let error = QueryError::new(ErrorKind::Invalid, text).with_hint("write less");
            let status = status(&error);
            assert!(status.message().ends_with("write less"), "{:.80}", status.message());
            let encoded: usize =
                status.message().bytes().map(|b| if b.is_ascii_graphic() || b == b' ' { 1 } else { 3 }).sum();
            assert!(encoded <= MESSAGE_BYTES_MAX + 3, "{encoded}");
        }
        assert_eq!(status(&QueryError::new(ErrorKind::Invalid, "short")).message(), "Q0103: short");
    }
}
