//! The gRPC service: Flight SQL goes to `handlers`, and the calls that arrow-flight's adapter refuses are here.
//!
//!   client ──▶ FlightEndpoint ──▶ Handlers (Flight SQL) ──▶ Session ──▶ Arrow batches ──▶ Flight messages
//!
//! Invariants
//! * GetSchema and PollFlightInfo say what GetFlightInfo says.
//! * A path descriptor `[catalog,] namespace, table` means the table's rows.

use std::sync::Arc;

use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use ingot_query::ErrorKind;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{failed, status};
use crate::flight::handlers::Handlers;
use crate::flight::served::CALLER;

type Answer<T> = Result<Response<T>, Status>;

/// What a gRPC server mounts.
#[derive(Clone)]
pub(crate) struct FlightEndpointService(pub Arc<Handlers>);

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn table_query(path: &[String]) -> String {
    let name: Vec<String> = path.iter().map(|p| quoted(p)).collect();
    format!("SELECT * FROM {}", name.join("."))
}

impl FlightEndpointService {
    async fn info(&self, request: Request<FlightDescriptor>) -> Result<FlightInfo, Status> {
        let descriptor = request.get_ref();
        if descriptor.r#type() != DescriptorType::Path {
            return Ok(self.0.get_flight_info(request).await?.into_inner());
        }
        if !(2..=3).contains(&descriptor.path.len()) {
            return Err(failed(
                ErrorKind::UnknownName,
                "a path has a namespace and a table, and may have the catalog before them",
            ));
        }
        let sql = table_query(&descriptor.path);
        self.0.statement_info(&sql, None, request.into_inner()).await
    }
}

#[tonic::async_trait]
impl FlightService for FlightEndpointService {
    type HandshakeStream = <Handlers as FlightService>::HandshakeStream;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = <Handlers as FlightService>::DoGetStream;
    type DoPutStream = <Handlers as FlightService>::DoPutStream;
    type DoActionStream = <Handlers as FlightService>::DoActionStream;
    type ListActionsStream = <Handlers as FlightService>::ListActionsStream;
    type DoExchangeStream = <Handlers as FlightService>::DoExchangeStream;

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        self.0.handshake(request).await
    }

    /// Every table and view, with its path and its schema. The criteria filter nothing.
    async fn list_flights(&self, _request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        let session = &self.0.served.session;
        let tables = session.tables(CALLER, true).await.map_err(|e| status(&e))?;
        let infos = tables.into_iter().map(move |t| {
            let path = vec![t.namespace, t.name];
            let info = FlightInfo::new().try_with_schema(&t.schema).map_err(crate::error::encoding)?;
            Ok(info.with_descriptor(FlightDescriptor::new_path(path)))
        });
        let infos: Vec<Result<FlightInfo, Status>> = infos.collect();
        Ok(Response::new(Box::pin(futures::stream::iter(infos)) as BoxStream<'static, _>))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        Ok(Response::new(self.info(request).await?))
    }

    /// A statement is planned when it is asked for, so the first answer is the last.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        let info = self.info(request).await?;
        Ok(Response::new(PollInfo {
            info: Some(info),
            flight_descriptor: None,
            progress: Some(1.0),
            expiration_time: None,
        }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let info = self.info(request).await?;
        Ok(Response::new(SchemaResult { schema: info.schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        self.0.do_get(request).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        self.0.do_put(request).await
    }

    async fn do_exchange(&self, _request: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Err(failed(ErrorKind::Unsupported, "DoExchange is not supported"))
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        self.0.do_action(request).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Answer<Self::ListActionsStream> {
        self.0.list_actions(request).await
    }
}
