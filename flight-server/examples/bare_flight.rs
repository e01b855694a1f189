//! The ceiling of a fetch: an Arrow Flight server that sends batches from memory, and can do nothing else.
//!
//!     bare_flight GRPC-URI STATEMENT HOST:PORT
//!
//! Fetches the statement's batches from a Flight SQL server, then gives them to every DoGet, whatever its ticket. A peer
//! of `bench/`.
//!
//! Not here: planning, reading, Flight SQL.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

struct Memory {
    schema: SchemaRef,
    batches: Arc<Vec<RecordBatch>>,
}

type Answer<T> = Result<Response<T>, Status>;
type Rows<T> = BoxStream<'static, Result<T, Status>>;

fn nothing<T>() -> Answer<T> {
    Err(Status::unimplemented("this server only sends"))
}

#[tonic::async_trait]
impl FlightService for Memory {
    type HandshakeStream = Rows<HandshakeResponse>;
    type ListFlightsStream = Rows<FlightInfo>;
    type DoGetStream = Rows<FlightData>;
    type DoPutStream = Rows<PutResult>;
    type DoExchangeStream = Rows<FlightData>;
    type DoActionStream = Rows<ActionResult>;
    type ListActionsStream = Rows<ActionType>;

    async fn do_get(&self, _: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let batches = Arc::clone(&self.batches);
        let stream = futures::stream::iter((0..batches.len()).filter_map(move |i| batches.get(i).cloned().map(Ok)));
        let encoded = FlightDataEncoderBuilder::new().with_schema(Arc::clone(&self.schema)).build(stream);
        Ok(Response::new(encoded.map_err(Status::from).boxed()))
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        nothing()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        nothing()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        nothing()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        nothing()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        nothing()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        nothing()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        nothing()
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        nothing()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        nothing()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [uri, statement, listen] = args.as_slice() else {
        return Err("bare_flight GRPC-URI STATEMENT HOST:PORT".into());
    };
    let (schema, batches) = ingot_flight::Client::connect(uri).await?.query(statement).await?;
    let batches: Vec<RecordBatch> = batches.try_collect().await?;
    let address = listen.parse()?;
    ingot_flight::check_listen(address)?;
    let listener = TcpListener::bind(address).await?;
    let service = FlightServiceServer::new(Memory { schema, batches: Arc::new(batches) });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}
