//! The one place where errors become gRPC statuses, and where the server's own errors are.
//!
//! Invariants
//! * Every kind of error has its status here, and the compiler says when one has not.
//! * A status' message is the whole story: code, message, the marked line, the hint.
//!
//! Not here: what errors mean (`ingot_pipeline::session::ErrorKind`).

use std::net::SocketAddr;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use datafusion::error::DataFusionError;
use ingot_pipeline::session::{ErrorKind, QueryError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The trailer that holds the stable code.
pub const CODE_HEADER: &str = "ingot-code";
/// The trailer that says `true` if the same call may succeed later.
pub const RETRYABLE_HEADER: &str = "ingot-retryable";

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
        ErrorKind::Refused => Code::InvalidArgument,
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

/// The status of a statement's error.
pub(crate) fn status(error: &QueryError) -> Status {
    let mut status = Status::new(grpc_code(error.kind), error.to_string());
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
    FlightError::Tonic(Box::new(status(&QueryError::from_engine(sql, error))))
}

/// A result that cannot be encoded: a fault of the server.
pub(crate) fn encoding(error: ArrowError) -> Status {
    failed(ErrorKind::Internal, format!("the result cannot be encoded: {error}"))
}

/// What a client sent cannot be read.
pub(crate) fn malformed(what: &str, error: impl std::fmt::Display) -> Status {
    failed(ErrorKind::Parameter, format!("{what} cannot be read: {error}"))
}
