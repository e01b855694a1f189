//! A server on a loopback port, and arrow-flight's own client: every command that drivers send.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ingot_query::{Seal, Session, SessionLimits, TableName};

mod clients;
mod fuzz;
mod lake;
mod shapes;
mod tickets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandStatementQuery, EndTransaction, ProstMessageExt, SqlInfo,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria, Empty, FlightDescriptor,
    FlightInfo, IpcMessage,
};
use datafusion::catalog::{MemTable, TableProvider};
use futures::{StreamExt, TryStreamExt};
use ingot_flight::{Client, Served, serve};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

type Sql = FlightSqlServiceClient<Channel>;

struct Running {
    address: String,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), ingot_flight::ServeError>>,
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Arc<dyn TableProvider> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

fn name(namespace: &str, name: &str) -> TableName {
    TableName::new(namespace, name)
}

fn in_memory() -> Session {
    let ts = TimestampMicrosecondArray::from(vec![0, 1, 2]).with_timezone("UTC");
    let events = table(vec![
        ("id", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ("type", Arc::new(StringArray::from(vec!["car", "bike", "car"]))),
        ("battery", Arc::new(Float64Array::from(vec![Some(10.0), Some(20.0), None]))),
        ("ts", Arc::new(ts)),
    ]);
    let stats = table(vec![
        ("type", Arc::new(StringArray::from(vec!["car"])) as ArrayRef),
        ("total", Arc::new(Int64Array::from(vec![2]))),
    ]);
    let limits = SessionLimits { memory_bytes_max: 128 << 20, parallelism: Some(2), ..SessionLimits::default() };
    Session::over(
        [(name("silver", "vehicle_events"), events), (name("gold", "stats"), stats)],
        Vec::new(),
        "ingot",
        &limits,
    )
    .unwrap()
}

/// A server whose tickets the tests can make and others can open.
async fn start(session: Session) -> Running {
    start_with(session, tickets::seal()).await
}

async fn start_with(session: Session, seal: Seal) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Served::new(session, seal), stop.clone()));
    Running { address, stop, served }
}

impl Running {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn sql(&self) -> Sql {
        FlightSqlServiceClient::new(self.channel().await)
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.served).await.expect("the server ends").unwrap().unwrap();
    }
}

async fn fetch(sql: &mut Sql, info: FlightInfo) -> Vec<RecordBatch> {
    assert!(info.flight_descriptor.is_some(), "drivers send the descriptor back");
    let announced = info.clone().try_decode_schema().unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> = sql.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    for b in &batches {
        assert_eq!(b.schema().fields(), announced.fields());
    }
    batches
}

async fn text(sql: &mut Sql, info: FlightInfo) -> String {
    pretty_format_batches(&fetch(sql, info).await).unwrap().to_string()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn message(error: arrow_flight::error::FlightError) -> (tonic::Code, String) {
    match error {
        arrow_flight::error::FlightError::Tonic(s) => (s.code(), s.message().to_owned()),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_run_and_their_errors_have_places() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;
    let info = sql
        .execute("SELECT type, count(*) AS n FROM silver.vehicle_events GROUP BY type ORDER BY type".into(), None)
        .await
        .unwrap();
    assert_eq!(
        info.flight_descriptor.as_ref().unwrap().cmd,
        FlightDescriptor::new_cmd(
            CommandStatementQuery {
                query: "SELECT type, count(*) AS n FROM silver.vehicle_events GROUP BY type ORDER BY type".into(),
                transaction_id: None,
            }
            .as_any()
            .encode_to_vec()
        )
        .cmd
    );
    let shown = text(&mut sql, info).await;
    assert!(shown.contains("| bike | 1 |") && shown.contains("| car  | 2 |"), "{shown}");

    // No rows still have a schema.
    let info = sql.execute("SELECT id FROM silver.vehicle_events WHERE id = 'none'".into(), None).await.unwrap();
    let stream = sql.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut stream = stream;
    assert!(stream.try_next().await.unwrap().is_none_or(|b| b.num_rows() == 0));
    assert_eq!(stream.schema().unwrap().field(0).name(), "id");

    let (code, text) =
        message(sql.execute("SELECT id,\n  nope\nFROM silver.vehicle_events".into(), None).await.unwrap_err());
    assert_eq!(code, tonic::Code::NotFound);
    assert!(
        text.starts_with("Q0102: ")
            && text.contains("line 2, column 3")
            && text.contains("2 |   nope\n")
            && text.contains("^^^^"),
        "{text}"
    );
    let (code, text) = message(sql.execute("SELECT * FROM stats".into(), None).await.unwrap_err());
    assert_eq!(code, tonic::Code::NotFound);
    assert!(text.contains("write gold.stats"), "{text}");
    let (_, text) = message(sql.execute("SELECT ?".into(), None).await.unwrap_err());
    assert!(text.starts_with("Q0105"), "{text}");
    let (code, text) =
        message(sql.execute_update("INSERT INTO gold.stats VALUES ('x', 1)".into(), None).await.unwrap_err());
    assert_eq!(code, tonic::Code::InvalidArgument);
    assert!(text.starts_with("Q0104: INSERT INTO is refused"), "{text}");
    let (_, text) = message(sql.execute_update("SELECT 1".into(), None).await.unwrap_err());
    assert!(text.starts_with("Q0104"), "{text}");

    // An error in the middle of the rows.
    let info = sql.execute("SELECT 10 / (value - 50000) AS x FROM range(100000)".into(), None).await.unwrap();
    let failed = sql.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap().try_collect::<Vec<_>>().await;
    let (code, text) = message(failed.unwrap_err());
    assert_eq!(code, tonic::Code::InvalidArgument);
    assert!(text.starts_with("Q0112"), "{text}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_take_parameters() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;
    let mut found = sql
        .prepare("SELECT id, ts FROM silver.vehicle_events WHERE battery >= ? AND type = ?".into(), None)
        .await
        .unwrap();
    let types: Vec<DataType> =
        found.parameter_schema().unwrap().fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(types, [DataType::Float64, DataType::Utf8]);
    assert_eq!(found.dataset_schema().unwrap().fields().len(), 2);
    let (code, text) = message(found.execute().await.unwrap_err());
    assert_eq!(code, tonic::Code::InvalidArgument);
    assert!(text.starts_with("Q0105"), "{text}");
    for (battery, kind, rows_wanted) in [(15, "bike", 1), (5, "car", 1), (50, "car", 0)] {
        let bound = RecordBatch::try_from_iter(vec![
            ("a", Arc::new(Int64Array::from(vec![battery])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec![kind]))),
        ]);
        found.set_parameters(bound.unwrap()).unwrap();
        let info = found.execute().await.unwrap();
        // The ticket has everything: it also works on a server with the same key that never saw the statement.
        let other = start(in_memory()).await;
        let mut elsewhere = other.sql().await;
        assert_eq!(rows(&fetch(&mut elsewhere, info.clone()).await), rows_wanted);
        other.end().await;
        assert_eq!(rows(&fetch(&mut sql, info).await), rows_wanted);
    }
    let many = RecordBatch::try_from_iter(vec![
        ("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("b", Arc::new(StringArray::from(vec!["car", "car"]))),
    ]);
    found.set_parameters(many.unwrap()).unwrap();
    assert!(message(found.execute().await.unwrap_err()).1.contains("one row"));
    found.close().await.unwrap();

    let mut plain = sql.prepare("SELECT 1 AS one".into(), None).await.unwrap();
    assert_eq!(plain.parameter_schema().unwrap().fields().len(), 0);
    let info = plain.execute().await.unwrap();
    assert_eq!(rows(&fetch(&mut sql, info).await), 1);
    assert!(message(plain.execute_update().await.unwrap_err()).1.starts_with("Q0104"));
    let mut gone = plain.clone();
    plain.close().await.unwrap();
    let (code, text) = message(gone.execute().await.unwrap_err());
    assert_eq!(code, tonic::Code::NotFound);
    assert!(text.starts_with("Q0106"), "{text}");
    assert!(message(sql.prepare("DROP TABLE gold.stats".into(), None).await.unwrap_err()).1.starts_with("Q0104"));
    server.end().await;
}

fn tables_like(schema: Option<&str>, table: Option<&str>, types: &[&str], include_schema: bool) -> CommandGetTables {
    CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: schema.map(Into::into),
        table_name_filter_pattern: table.map(Into::into),
        table_types: types.iter().map(|t| (*t).to_owned()).collect(),
        include_schema,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_everything() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;
    let info = sql.get_catalogs().await.unwrap();
    assert!(text(&mut sql, info).await.contains("| ingot "));
    let count = |b: Vec<RecordBatch>| rows(&b);
    for (catalog, pattern, wanted) in [
        (None, None, 2),
        (Some("INGOT"), Some("G%"), 1),
        (Some("other"), None, 0),
        (Some(""), None, 0),
        (None, Some("g_ld"), 1),
    ] {
        let query =
            CommandGetDbSchemas { catalog: catalog.map(Into::into), db_schema_filter_pattern: pattern.map(Into::into) };
        let info = sql.get_db_schemas(query).await.unwrap();
        assert_eq!(count(fetch(&mut sql, info).await), wanted, "{catalog:?} {pattern:?}");
    }
    for (schema, table, types, wanted) in [
        (None, None, &[][..], 2),
        (Some("SILVER"), Some("VEHICLE\\_%"), &["TABLE"][..], 1),
        (None, Some("%"), &["VIEW"][..], 0),
        (Some("gold"), Some("stat_"), &["TABLE", "VIEW"][..], 1),
        (None, Some(""), &[][..], 0),
    ] {
        let info = sql.get_tables(tables_like(schema, table, types, false)).await.unwrap();
        assert_eq!(count(fetch(&mut sql, info).await), wanted, "{schema:?} {table:?}");
    }
    let info = sql.get_tables(tables_like(None, Some("vehicle_events"), &[], true)).await.unwrap();
    let batches = fetch(&mut sql, info).await;
    let bytes = batches[0].column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(bytes.into())).unwrap();
    assert_eq!(schema.fields().len(), 4);
    assert_eq!(schema.field(3).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "TIMESTAMPTZ");

    let info = sql.get_table_types().await.unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 2);
    let of = |table: &str| (Some("ingot".to_owned()), Some("gold".to_owned()), table.to_owned());
    let (catalog, db_schema, table) = of("stats");
    let keys = CommandGetPrimaryKeys { catalog: catalog.clone(), db_schema: db_schema.clone(), table: table.clone() };
    let info = sql.get_primary_keys(keys).await.unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 0);
    let info = sql
        .get_exported_keys(CommandGetExportedKeys {
            catalog: catalog.clone(),
            db_schema: db_schema.clone(),
            table: table.clone(),
        })
        .await
        .unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 0);
    let info = sql
        .get_imported_keys(CommandGetImportedKeys {
            catalog: catalog.clone(),
            db_schema: db_schema.clone(),
            table: table.clone(),
        })
        .await
        .unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 0);
    let cross = CommandGetCrossReference {
        pk_catalog: catalog.clone(),
        pk_db_schema: db_schema.clone(),
        pk_table: table.clone(),
        fk_catalog: catalog,
        fk_db_schema: db_schema,
        fk_table: table,
    };
    let info = sql.get_cross_reference(cross).await.unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 0);

    let info = sql.get_sql_info(Vec::new()).await.unwrap();
    let all = fetch(&mut sql, info).await;
    let codes = all[0].column(0).as_primitive::<UInt32Type>();
    let has = |code: u32| codes.iter().any(|c| c == Some(code));
    for code in (0..=11).chain(100..=101).chain(500..=576) {
        assert!(has(code), "SqlInfo {code}");
    }
    let info = sql
        .get_sql_info(vec![
            SqlInfo::FlightSqlServerName,
            SqlInfo::FlightSqlServerArrowVersion,
            SqlInfo::FlightSqlServerReadOnly,
            SqlInfo::SqlIdentifierQuoteChar,
        ])
        .await
        .unwrap();
    assert_eq!(count(fetch(&mut sql, info).await), 4);
    let info = sql.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(count(fetch(&mut sql, info).await) > 10);
    let info = sql.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(-5) }).await.unwrap();
    assert!(text(&mut sql, info).await.contains("BIGINT"));
    server.end().await;
}

fn statement(query: &str) -> FlightDescriptor {
    FlightDescriptor::new_cmd(
        CommandStatementQuery { query: query.into(), transaction_id: None }.as_any().encode_to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beside_flight_sql() {
    let server = start(in_memory()).await;
    let mut flight = FlightServiceClient::new(server.channel().await);
    let mut sql = server.sql().await;
    let schema =
        flight.get_schema(statement("SELECT id, battery FROM silver.vehicle_events")).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(&schema).unwrap().fields().len(), 2);
    let polled = flight.poll_flight_info(statement("SELECT 1 AS a")).await.unwrap().into_inner();
    assert!(polled.flight_descriptor.is_none());
    assert_eq!(rows(&fetch(&mut sql, polled.info.unwrap()).await), 1);
    let flights: Vec<FlightInfo> =
        flight.list_flights(Criteria::default()).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(flights.len(), 2);
    let path = flights[0].flight_descriptor.clone().unwrap();
    let info = flight.get_flight_info(path).await.unwrap().into_inner();
    assert_eq!(rows(&fetch(&mut sql, info).await), 1);
    let actions: Vec<_> = flight.list_actions(Empty {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(actions.iter().any(|a| a.r#type == "CancelFlightInfo"));

    let token = sql.handshake("anybody", "any word").await.unwrap();
    assert!(token.is_empty());
    assert_eq!(sql.token().map(String::as_str), Some("ingot"));
    let info = sql.execute("SELECT 1 AS a".into(), None).await.unwrap();
    assert_eq!(rows(&fetch(&mut sql, info).await), 1);
    assert_eq!(message(sql.begin_transaction().await.unwrap_err()).0, tonic::Code::Unimplemented);
    let ended = sql.end_transaction("x".into(), EndTransaction::Commit).await;
    assert_eq!(message(ended.unwrap_err()).0, tonic::Code::Unimplemented);

    // SetSessionOptions {"catalog": "ingot", "speed": "high"}, written by hand.
    let option = |name: &str, value: &str| {
        let value = [&[0x0a, u8::try_from(value.len()).unwrap()][..], value.as_bytes()].concat();
        let pair = [
            &[0x0a, u8::try_from(name.len()).unwrap()][..],
            name.as_bytes(),
            &[0x12, u8::try_from(value.len()).unwrap()],
            &value,
        ]
        .concat();
        [&[0x0a, u8::try_from(pair.len()).unwrap()][..], &pair].concat()
    };
    let mut act = async |kind: &str, body: Vec<u8>| {
        let results = flight.do_action(Action { r#type: kind.into(), body: body.into() }).await?.into_inner();
        results.try_collect::<Vec<_>>().await
    };
    assert!(act("SetSessionOptions", option("catalog", "ingot")).await.unwrap()[0].body.is_empty());
    let refused =
        act("SetSessionOptions", [option("catalog", "other"), option("speed", "high")].concat()).await.unwrap();
    let refused = String::from_utf8_lossy(&refused[0].body).into_owned();
    assert!(refused.contains("catalog") && refused.contains("speed"));
    let options = act("GetSessionOptions", Vec::new()).await.unwrap();
    assert!(String::from_utf8_lossy(&options[0].body).contains("ingot"));
    assert_eq!(act("CloseSession", Vec::new()).await.unwrap()[0].body.as_ref(), [0x08, 0x01]);
    assert_eq!(act("Nonsense", Vec::new()).await.unwrap_err().code(), tonic::Code::Unimplemented);
    server.end().await;
}

/// Hours of rows.
const ENDLESS: &str = "SELECT a.value AS x FROM range(1000000000000) a";
/// Hours before the first row.
const SILENT: &str = "SELECT count(*) AS n FROM range(10000000) a JOIN range(10000000) b ON a.value <> b.value";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_stops_a_running_query() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;

    // CancelFlightInfo, while rows flow.
    let info = sql.execute(ENDLESS.into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = sql.do_get(ticket.clone()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    let begun = Instant::now();
    let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    let mut results = sql.do_action(Action { r#type: "CancelFlightInfo".into(), body: body.into() }).await.unwrap();
    let result = CancelFlightInfoResult::decode(results.message().await.unwrap().unwrap().body).unwrap();
    assert_eq!(result.status(), CancelStatus::Cancelled);
    let end = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if it were complete"),
            Err(e) => break message(e),
        }
    };
    assert_eq!(end.0, tonic::Code::Cancelled);
    assert!(end.1.starts_with("Q0107"), "{}", end.1);
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Its ticket does not run again.
    let again = sql.do_get(ticket).await;
    assert_eq!(message(again.expect_err("refused")).0, tonic::Code::Cancelled);

    // CancelQuery, before the first row.
    let info = sql.execute(SILENT.into(), None).await.unwrap();
    let mut other = server.sql().await;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let waiting = tokio::spawn(async move { other.do_get(ticket).await.unwrap().try_collect::<Vec<_>>().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let mut results = sql
        .do_action(Action { r#type: "CancelQuery".into(), body: request.as_any().encode_to_vec().into() })
        .await
        .unwrap();
    let any = Any::decode(results.message().await.unwrap().unwrap().body).unwrap();
    let result: ActionCancelQueryResult = any.unpack().unwrap().unwrap();
    assert_eq!(result.result, 1);
    let ended = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it stops").unwrap();
    assert_eq!(message(ended.unwrap_err()).0, tonic::Code::Cancelled);

    // A query that is over cannot be cancelled.
    let info = sql.execute("SELECT 1 AS a".into(), None).await.unwrap();
    fetch(&mut sql, info.clone()).await;
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec();
    let mut results = sql.do_action(Action { r#type: "CancelFlightInfo".into(), body: body.into() }).await.unwrap();
    let result = CancelFlightInfoResult::decode(results.message().await.unwrap().unwrap().body).unwrap();
    assert_eq!(result.status(), CancelStatus::NotCancellable);

    // Stopping the server ends what runs.
    let info = sql.execute(ENDLESS.into(), None).await.unwrap();
    let mut stream = sql.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = stream.try_next().await {} });
    server.end().await;
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the client is told").unwrap();
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_stream_in_bounded_memory() {
    const ROWS: usize = 5_000_000;
    let server = start(in_memory()).await;
    let mut client = Client::connect(&format!("grpc://{}", server.address)).await.unwrap();
    // About 600 MB in all.
    let mut result =
        client.run(&format!("SELECT value, repeat('x', 100) || value AS text FROM range({ROWS})")).await.unwrap();
    assert_eq!(result.schema.field(0).name(), "value");
    let before = resident_bytes();
    let (mut seen, mut sum, mut most) = (0, 0_i64, 0);
    while let Some(batch) = result.batches.next().await {
        let batch = batch.unwrap();
        seen += batch.num_rows();
        sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        most = most.max(resident_bytes());
    }
    assert_eq!(seen, ROWS);
    assert_eq!(sum, i64::try_from(ROWS * (ROWS - 1) / 2).unwrap());
    let grown = most.saturating_sub(before);
    assert!(grown < 200 << 20, "{} MB more", grown >> 20);

    // A client that does not read holds the query back.
    let info = result.info().clone();
    drop(result);
    let idle = client.run(ENDLESS).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(resident_bytes().saturating_sub(most) < 100 << 20);
    drop((idle, info));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_passes_the_servers_words_on() {
    let server = start(in_memory()).await;
    let mut client = Client::connect(&server.address).await.unwrap();
    let error = client.query("SELECT * FROM gold.stat").await.err().unwrap();
    assert_eq!(error.code(), Some("Q0102"));
    assert!(!error.retryable());
    assert!(error.to_string().contains("did you mean gold.stats?"), "{error}");
    let address = server.address.clone();
    server.end().await;
    assert!(Client::connect(&format!("grpc://{address}")).await.err().unwrap().retryable());
    assert!(Client::connect("grpc+tls://127.0.0.1:1").await.is_err());
}
