//! A small Flight SQL client: connect, run a statement, stream its batches.
//!
//! Invariants
//! * Batches are handed on as they come.
//! * A server's message is passed on unchanged: it has the code and the place already.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

use crate::error::CODE_HEADER;

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Why a statement did not run to its end, seen from the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("\"{0}\" is not a server's address: write grpc://host:port")]
    Address(String),
    #[error("TLS is not supported yet: \"{0}\"; write grpc://host:port")]
    Tls(String),
    #[error("cannot connect to {uri}: {source}")]
    Connect { uri: String, source: tonic::transport::Error },
    /// The server's own words.
    #[error("{}", .0.message())]
    Server(Box<tonic::Status>),
    #[error("the server's answer cannot be read: {0}")]
    Protocol(String),
}

impl ClientError {
    /// The server's stable code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server(status) => status.metadata().get(CODE_HEADER).and_then(|v| v.to_str().ok()),
            _ => None,
        }
    }

    /// Whether the same statement may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Server(status) => {
                status.metadata().contains_key(crate::error::RETRYABLE_HEADER)
                    || status.code() == tonic::Code::Unavailable
            }
            Self::Address(_) | Self::Tls(_) | Self::Protocol(_) => false,
        }
    }
}

impl From<FlightError> for ClientError {
    fn from(e: FlightError) -> Self {
        match e {
            FlightError::Tonic(status) => Self::Server(status),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// A connection.
#[derive(Clone)]
pub struct Client(FlightSqlServiceClient<Channel>);

/// A result on its way.
pub struct QueryStream {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch, ClientError>>,
    info: FlightInfo,
}

impl QueryStream {
    /// What the server said of the result; names the query for cancellation.
    pub fn info(&self) -> &FlightInfo {
        &self.info
    }
}

/// `grpc://`, `grpc+tcp://` and `http://` addresses, or a bare `host:port`, as the transport wants them.
fn endpoint(uri: &str) -> Result<String, ClientError> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("grpc", uri));
    match scheme {
        "grpc" | "grpc+tcp" | "http" if !rest.trim_end_matches('/').is_empty() => {
            Ok(format!("http://{}", rest.trim_end_matches('/')))
        }
        "grpc+tls" | "grpcs" | "https" => Err(ClientError::Tls(uri.to_owned())),
        _ => Err(ClientError::Address(uri.to_owned())),
    }
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// A text that is not an address, or an address at which no server answers.
    pub async fn connect(uri: &str) -> Result<Self, ClientError> {
        let address = endpoint(uri)?;
        let endpoint = Endpoint::from_shared(address)
            .map_err(|_| ClientError::Address(uri.to_owned()))?
            .connect_timeout(CONNECT_MAX);
        let channel =
            endpoint.connect().await.map_err(|source| ClientError::Connect { uri: uri.to_owned(), source })?;
        // One wide row may be larger than gRPC's usual 4 MB.
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Self(FlightSqlServiceClient::new_from_inner(inner)))
    }

    /// Runs a statement: its columns, and its rows as they come.
    ///
    /// # Errors
    /// The server's refusal; errors while running come in the stream.
    pub async fn query(
        &mut self,
        sql: &str,
    ) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch, ClientError>>), ClientError> {
        let result = self.run(sql).await?;
        Ok((result.schema, result.batches))
    }

    /// Runs a statement, and keeps what is needed to cancel it.
    ///
    /// # Errors
    /// The server's refusal; errors while running come in the stream.
    pub async fn run(&mut self, sql: &str) -> Result<QueryStream, ClientError> {
        let info = self.0.execute(sql.to_owned(), None).await?;
        let schema = info.clone().try_decode_schema().map_err(|e| ClientError::Protocol(e.to_string()))?;
        let mut streams = Vec::with_capacity(info.endpoint.len());
        for endpoint in &info.endpoint {
            let ticket =
                endpoint.ticket.clone().ok_or_else(|| ClientError::Protocol("an endpoint has no ticket".to_owned()))?;
            streams.push(self.0.do_get(ticket).await?.map_err(ClientError::from).boxed());
        }
        let batches = futures::stream::iter(streams).flatten().boxed();
        Ok(QueryStream { schema: Arc::new(schema), batches, info })
    }

    /// The Flight SQL client below, for everything else.
    pub fn inner_mut(&mut self) -> &mut FlightSqlServiceClient<Channel> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in
            ["grpc://127.0.0.1:50051", "grpc+tcp://127.0.0.1:50051/", "http://127.0.0.1:50051", "127.0.0.1:50051"]
        {
            assert_eq!(endpoint(good).unwrap(), "http://127.0.0.1:50051");
        }
        assert!(matches!(endpoint("grpc+tls://h:1"), Err(ClientError::Tls(_))));
        assert!(matches!(endpoint("ftp://h:1"), Err(ClientError::Address(_))));
        assert!(matches!(endpoint("grpc://"), Err(ClientError::Address(_))));
    }
}
