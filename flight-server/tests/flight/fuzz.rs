//! Fuzzing of the Flight messages: arbitrary bytes to every method of a server on a loopback port.
//!
//!   input ──▶ method, wrapping ──▶ protobuf bytes and headers ──▶ gRPC without a client's types ──▶ server
//!
//! Invariants
//! * No panic anywhere in the server, no hang, and the server still answers a statement afterwards.
//! * Memory stays bounded whatever lengths a message claims.
//!
//! Not here: mutation (`tests/fuzz/mutate.rs`).

#[path = "../../../tests/fuzz/mutate.rs"]
#[allow(dead_code)]
mod mutate;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::ipc::writer::StreamWriter;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetDbSchemas,
    CommandGetSqlInfo, CommandGetTables, CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate,
    ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, SchemaAsIpc, Ticket};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::{in_memory, start, tickets};
use mutate::{fuzz_from, said};

/// Bytes as they are.
#[derive(Default, Clone)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let left = from.remaining();
        Ok(Some(from.copy_to_bytes(left)))
    }
}

const METHODS: &[&str] = &[
    "GetFlightInfo",
    "GetSchema",
    "PollFlightInfo",
    "DoGet",
    "DoAction",
    "DoPut",
    "ListFlights",
    "Handshake",
    "ListActions",
    "DoExchange",
];

fn any(type_name: &str, value: &[u8]) -> Vec<u8> {
    let type_url = format!("type.googleapis.com/arrow.flight.protocol.sql.{type_name}");
    Any { type_url, value: Bytes::copy_from_slice(value) }.encode_to_vec()
}

fn statement_ticket(handle: &[u8]) -> Vec<u8> {
    tickets::ticket(handle).encode_to_vec()
}

/// A well-formed ticket around hostile parameters, as a server that has the key would seal it.
fn forged(params: &[u8]) -> Vec<u8> {
    let handle = format!(
        "{{\"v\":1,\"id\":\"00000000-0000-0000-0000-000000000001\",\"sql\":\"SELECT $1 AS a\",\"pins\":{{}},\"params\":\"{}\",\"schema\":1}}",
        BASE64_STANDARD.encode(params)
    );
    statement_ticket(&tickets::sealed(handle.as_bytes()))
}

fn command(bytes: &[u8]) -> Vec<u8> {
    FlightDescriptor::new_cmd(Bytes::copy_from_slice(bytes)).encode_to_vec()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A method and its messages from an input: the first byte is the wrapping, the second the method where it is free.
fn request(input: &[u8], prepared: &[u8]) -> (&'static str, Vec<Vec<u8>>) {
    let wrapping = input.first().copied().unwrap_or(0);
    let free = METHODS[usize::from(input.get(1).copied().unwrap_or(0)) % METHODS.len()];
    let rest = input.get(2..).unwrap_or_default();
    let half = rest.len() / 2;
    let commands = [
        "CommandGetTables",
        "CommandGetDbSchemas",
        "CommandGetSqlInfo",
        "CommandGetXdbcTypeInfo",
        "CommandGetPrimaryKeys",
        "CommandPreparedStatementQuery",
        "CommandStatementIngest",
        "CommandStatementSubstraitPlan",
        "CommandGetCatalogs",
    ];
    let named = commands[usize::from(input.get(1).copied().unwrap_or(0)) % commands.len()];
    let query = CommandStatementQuery { query: text(rest), transaction_id: None };
    match wrapping % 12 {
        0 => (free, vec![rest.to_vec()]),
        // What is in a seal, and the seal itself.
        1 if input.get(1).is_none_or(|b| b % 2 == 0) => ("DoGet", vec![statement_ticket(&tickets::sealed(rest))]),
        1 => ("DoGet", vec![statement_ticket(rest)]),
        2 => ("DoGet", vec![forged(rest)]),
        3 => ("GetFlightInfo", vec![command(&query.as_any().encode_to_vec())]),
        4 => {
            let create = ActionCreatePreparedStatementRequest { query: text(rest), transaction_id: None };
            let action = Action::new("CreatePreparedStatement", create.as_any().encode_to_vec());
            ("DoAction", vec![action.encode_to_vec()])
        }
        // Parameters for a statement that is there: the schema's message and a batch, both from the input.
        5 => {
            let bind = CommandPreparedStatementQuery { prepared_statement_handle: Bytes::copy_from_slice(prepared) };
            let first = FlightData {
                flight_descriptor: Some(FlightDescriptor::new_cmd(bind.as_any().encode_to_vec())),
                data_header: Bytes::copy_from_slice(&rest[..half]),
                ..FlightData::default()
            };
            let second = FlightData {
                data_header: Bytes::copy_from_slice(&rest[half..half + half / 2]),
                data_body: Bytes::copy_from_slice(&rest[half + half / 2..]),
                ..FlightData::default()
            };
            ("DoPut", vec![first.encode_to_vec(), second.encode_to_vec()])
        }
        6 => ("DoGet", vec![Ticket::new(any(named, rest)).encode_to_vec()]),
        7 => ("GetFlightInfo", vec![command(&any(named, rest))]),
        8 => {
            let (kind, body) =
                text(rest).split_once('\n').map_or((text(rest), String::new()), |(a, b)| (a.into(), b.into()));
            ("DoAction", vec![Action::new(kind, body.into_bytes()).encode_to_vec()])
        }
        // A right schema, and a batch from the input.
        9 => {
            let bind = CommandPreparedStatementQuery { prepared_statement_handle: Bytes::copy_from_slice(prepared) };
            let batch = parameters();
            let options = arrow::ipc::writer::IpcWriteOptions::default();
            let mut first: FlightData = SchemaAsIpc::new(&batch.schema(), &options).into();
            first.flight_descriptor = Some(FlightDescriptor::new_cmd(bind.as_any().encode_to_vec()));
            let second = FlightData {
                data_header: Bytes::copy_from_slice(&rest[..half]),
                data_body: Bytes::copy_from_slice(&rest[half..]),
                ..FlightData::default()
            };
            ("DoPut", vec![first.encode_to_vec(), second.encode_to_vec()])
        }
        10 => {
            let update = CommandStatementUpdate { query: text(rest), transaction_id: None };
            let data = FlightData {
                flight_descriptor: Some(FlightDescriptor::new_cmd(update.as_any().encode_to_vec())),
                ..FlightData::default()
            };
            ("DoPut", vec![data.encode_to_vec()])
        }
        _ => {
            let path = text(rest).split('\n').map(str::to_owned).collect();
            ("GetSchema", vec![FlightDescriptor::new_path(path).encode_to_vec()])
        }
    }
}

fn parameters() -> RecordBatch {
    RecordBatch::try_from_iter([("$1", std::sync::Arc::new(Int64Array::from(vec![7])) as _)]).unwrap()
}

/// A batch as an IPC stream, and as the header and body of its message.
fn ipc() -> Vec<u8> {
    let mut bytes = Vec::new();
    let batch = parameters();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let sql = "SELECT type, count(*) AS n FROM silver.vehicle_events WHERE battery > 1 GROUP BY type";
    let tables =
        CommandGetTables { db_schema_filter_pattern: Some("s%".into()), include_schema: true, ..Default::default() };
    let schemas = CommandGetDbSchemas { catalog: Some("ingot".into()), db_schema_filter_pattern: Some("_old".into()) };
    let info = CommandGetSqlInfo { info: vec![0, 1, 2, 3, 500] };
    let batch = parameters();
    let mut encoder = arrow_flight::utils::batches_to_flight_data(&batch.schema(), vec![batch.clone()]).unwrap();
    let data = encoder.pop().unwrap();
    let ticket = br#"{"v":1,"id":"00000000-0000-0000-0000-000000000001","sql":"SELECT 1 AS a","pins":{},"schema":1}"#;
    let with = |wrapping: u8, second: u8, rest: &[u8]| [&[wrapping, second], rest].concat();
    vec![
        with(
            0,
            0,
            &command(&CommandStatementQuery { query: sql.into(), transaction_id: None }.as_any().encode_to_vec()),
        ),
        with(0, 3, &statement_ticket(&tickets::sealed(ticket))),
        with(0, 5, &FlightData { data_header: data.data_header.clone(), ..FlightData::default() }.encode_to_vec()),
        with(1, 0, ticket),
        with(1, 1, &tickets::sealed(ticket)),
        with(2, 0, &ipc()),
        with(3, 0, sql.as_bytes()),
        with(4, 0, b"SELECT battery + $1 AS b FROM silver.vehicle_events WHERE type = ?"),
        with(5, 0, &[&data.data_header[..], &data.data_header[..], &data.data_body[..]].concat()),
        with(6, 0, &tables.encode_to_vec()),
        with(6, 1, &schemas.encode_to_vec()),
        with(7, 2, &info.encode_to_vec()),
        with(8, 0, b"CancelFlightInfo\n\x0a\x02\x0a\x00"),
        with(8, 0, b"SetSessionOptions\n\x0a\x09\x0a\x07catalog"),
        with(9, 0, &[&data.data_header[..], &data.data_body[..]].concat()),
        with(10, 0, b"DROP TABLE gold.stats"),
        with(11, 0, b"gold\nstats"),
    ]
}

async fn call(channel: &Channel, method: &str, messages: Vec<Vec<u8>>, header: Option<&[u8]>) -> String {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let Ok(()) = client.ready().await else { return "not ready".into() };
    let path = format!("/arrow.flight.protocol.FlightService/{method}").parse().unwrap();
    let mut request = Request::new(futures::stream::iter(messages.into_iter().map(Bytes::from)));
    if let Some(value) = header {
        if let Ok(ascii) = MetadataValue::try_from(value) {
            request.metadata_mut().insert("authorization", ascii);
        }
        if let Ok(key) = AsciiMetadataKey::from_bytes(value) {
            request.metadata_mut().insert(key, MetadataValue::from_static("x"));
        }
        request.metadata_mut().insert_bin("x-bin", MetadataValue::from_bytes(value));
    }
    match client.streaming(request, path, Raw).await {
        Err(status) => format!("{:?}", status.code()),
        Ok(response) => {
            let mut rows = response.into_inner();
            let mut count = 0;
            loop {
                match rows.next().await {
                    Some(Ok(_)) => count += 1,
                    Some(Err(status)) => return format!("{count} {:?}", status.code()),
                    None => return format!("{} ok", count.min(3)),
                }
            }
        }
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);
static CONTAINED: AtomicU64 = AtomicU64::new(0);

#[test]
fn fuzz_flight() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The handlers contain those of Arrow's IPC decoder, which trusts what a forged message says.
        let stack = std::backtrace::Backtrace::force_capture().to_string();
        if stack.contains("arrow_ipc::reader::") || stack.contains("arrow_ipc::convert::") {
            CONTAINED.fetch_add(1, Ordering::SeqCst);
        } else {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(start(in_memory()));
    let channel = runtime.block_on(server.channel());
    let prepared = runtime.block_on(async {
        let query = "SELECT battery + $1 AS b FROM silver.vehicle_events".into();
        let create = ActionCreatePreparedStatementRequest { query, transaction_id: None };
        let action = Action::new("CreatePreparedStatement", create.as_any().encode_to_vec());
        let mut answers = FlightServiceClient::new(channel.clone()).do_action(action).await.unwrap().into_inner();
        let body = answers.message().await.unwrap().unwrap().body;
        let made: ActionCreatePreparedStatementResult = Any::decode(body).unwrap().unpack().unwrap().unwrap();
        made.prepared_statement_handle
    });
    let words = [
        "type.googleapis.com/",
        "arrow.flight.protocol.sql.",
        "SELECT ",
        " FROM silver.vehicle_events",
        "$1",
        "?",
        "::BIGINT",
        " CROSS JOIN gold.stats",
        "\0",
        "\u{feff}",
        "\"v\":",
        "\"v\":2",
        "\"sql\":\"\"",
        "\"pins\":{\"a.b\":1}",
        "\"params\":\"\"",
        "%",
        "_",
        "\x0a\x00",
        "\x12\x7f",
        "\u{7f}\u{7f}\u{7f}",
        "\x08\x00\x00\x00",
        "ARRAY[",
        "CAST(",
        "CloseSession",
        "BeginTransaction",
        "((((((((((",
        "FOR VERSION AS OF 1",
        "\"t$snapshots\"",
        "repeat('a', 10)",
        " UNION ALL ",
        "\n",
    ];
    fuzz_from("flight", "flight", &words, seeds(), |input| {
        let (method, messages) = request(input, &prepared);
        let header = (input.len() % 7 == 0).then_some(input);
        let panics = PANICS.load(Ordering::SeqCst);
        let contained = CONTAINED.load(Ordering::SeqCst);
        let answer = runtime.block_on(async {
            let call = call(&channel, method, messages, header);
            tokio::time::timeout(Duration::from_secs(20), call).await.expect("an answer in time")
        });
        assert_eq!(PANICS.load(Ordering::SeqCst), panics, "the server panicked at {method}");
        if CONTAINED.load(Ordering::SeqCst) != contained {
            assert!(answer.contains("InvalidArgument"), "a panic at {method} was answered with {answer}");
        }
        said((method, answer))
    });
    runtime.block_on(async {
        let mut sql = server.sql().await;
        let info = sql.execute("SELECT count(*) AS n FROM silver.vehicle_events".into(), None).await.unwrap();
        assert_eq!(crate::rows(&crate::fetch(&mut sql, info).await), 1);
        server.end().await;
    });
}

/// A ticket whose parameters claim a body larger than any memory: refused, not allocated.
#[test]
fn a_ticket_that_claims_a_huge_body_is_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(start(in_memory()));
    let channel = runtime.block_on(server.channel());
    let stream = ipc();
    // The body's length stands in the metadata of the second message as eight bytes.
    let length = parameters_body_length(&stream);
    let place = stream.windows(8).rposition(|w| w == length.to_le_bytes()).expect("the length is in the message");
    for claimed in [1_i64 << 46, i64::MAX, -1] {
        let mut hostile = stream.clone();
        hostile[place..place + 8].copy_from_slice(&claimed.to_le_bytes());
        let answer = runtime.block_on(call(&channel, "DoGet", vec![forged(&hostile)], None));
        assert_eq!(answer, "InvalidArgument", "{claimed}");
    }
    runtime.block_on(server.end());
}

/// The length of a batch's body in an IPC stream.
fn parameters_body_length(stream: &[u8]) -> i64 {
    let batch = parameters();
    let mut encoded = arrow_flight::utils::batches_to_flight_data(&batch.schema(), vec![batch]).unwrap();
    let body = encoded.pop().unwrap().data_body.len() as i64;
    assert!((body as usize) < stream.len());
    body
}
