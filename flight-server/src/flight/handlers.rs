//! Flight SQL's commands, each to the part that answers it.
//!
//! Invariants
//! * Every FlightInfo has its descriptor: drivers send it back.
//! * Rows go out as they are made; nothing here collects a result.
//! * What the server does not do is refused with the reason, not with "unimplemented" alone.
//!
//! Not here: calls outside Flight SQL (`service`), tickets (`ticket`), lists (`metadata`).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    IpcMessage, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use ingot_query::registry::{Running, Statement};
use ingot_query::{ErrorKind, Planned, QueryError};
use ingot_telemetry::metrics;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::error::{encoding, failed, malformed, running, status};
use crate::flight::jdbc::Sent;
use crate::flight::served::{CALLER, Served};
use crate::flight::stoppable::Stoppable;
use crate::flight::ticket::{NOT_ARROW, StatementTicket, row};
use crate::flight::{actions, jdbc, metadata, sql_info};

type FlightStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;
type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

/// Answers to Flight SQL; one for all connections.
pub(crate) struct Handlers {
    pub served: Served,
}

/// The schema as an encapsulated IPC message, as Flight SQL puts it into messages.
fn ipc_schema(schema: &Schema) -> Result<Bytes, Status> {
    let message: IpcMessage = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(encoding)?;
    Ok(message.0)
}

fn info(schema: &Schema, ticket: Ticket, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    Ok(FlightInfo::new()
        .try_with_schema(schema)
        .map_err(encoding)?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor))
}

/// Java's driver counts parameters by their schema, binds none without it, and converts values to it.
fn is_java(metadata: &MetadataMap) -> bool {
    metadata.get("user-agent").and_then(|v| v.to_str().ok()).is_some_and(|agent| agent.starts_with("grpc-java"))
}

/// The info of a list whose ticket is the command itself.
fn list_info<C: ProstMessageExt>(
    command: &C,
    schema: &Schema,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    Ok(Response::new(info(schema, ticket, request.into_inner())?))
}

/// A list that is in memory already.
fn list(batch: RecordBatch) -> Response<FlightStream> {
    let schema = batch.schema();
    let rows = FlightDataEncoderBuilder::new().with_schema(schema).build(futures::stream::iter([Ok(batch)]));
    Response::new(Box::pin(rows.map_err(Status::from)))
}

/// The id in a prepared statement's handle; that of no statement if there is none.
fn prepared_id(handle: &[u8]) -> Uuid {
    Uuid::from_slice(handle).unwrap_or_default()
}

impl Handlers {
    /// Plans a statement with its parameters, if any, against the heads.
    async fn plan(&self, sql: &str, params: Option<&RecordBatch>) -> Result<Planned, Status> {
        let planned = self.served.session.plan(CALLER, sql, None).await.map_err(|e| status(&e))?;
        match params {
            Some(batch) => self.served.session.bind(CALLER, &planned, row(batch)?).await.map_err(|e| status(&e)),
            None if planned.parameters.is_empty() => Ok(planned),
            None => Err(status(
                &QueryError::new(
                    ErrorKind::Parameter,
                    format!("the statement has {} parameter(s) without values", planned.parameters.len()),
                )
                .with_hint("prepare the statement and bind them"),
            )),
        }
    }

    /// Plans a statement, keeps the plan for its ticket, and describes the result.
    pub(crate) async fn statement_info(
        &self,
        sql: &str,
        params: Option<&RecordBatch>,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let planned = self.plan(sql, params).await?;
        let id = Uuid::new_v4();
        let ticket = StatementTicket::new(id, sql, planned.pins.clone(), params, &planned.schema)?;
        let ticket = ticket.to_ticket(&self.served.seal)?;
        let schema = Arc::clone(&planned.schema);
        self.served.registry.announce(CALLER, id, planned);
        info(&schema, ticket, descriptor)
    }

    /// The plan of a ticket: the kept one, or the same again from what the ticket holds.
    async fn planned_again(&self, ticket: &StatementTicket) -> Result<Planned, Status> {
        let planned =
            self.served.session.plan(CALLER, &ticket.sql, Some(&ticket.pins)).await.map_err(|e| status(&e))?;
        let planned = match ticket.params()? {
            Some(values) => self.served.session.bind(CALLER, &planned, values).await.map_err(|e| status(&e))?,
            None => planned,
        };
        if !ticket.announced(&planned.schema) {
            return Err(status(
                &QueryError::new(
                    ErrorKind::SnapshotGone,
                    "the columns of the result have changed since the statement was planned",
                )
                .with_hint("run the statement again"),
            ));
        }
        Ok(planned)
    }

    /// The prepared statement of a handle.
    fn prepared(&self, handle: &[u8]) -> Result<Statement, Status> {
        self.served.registry.statement(CALLER, prepared_id(handle)).map_err(|e| status(&e))
    }

    /// Runs a plan into Flight messages.
    async fn rows(&self, planned: Planned, running_query: Running) -> Result<Response<FlightStream>, Status> {
        let stream = self.served.session.execute(CALLER, &planned, None).await.map_err(|e| status(&e))?;
        let sql: Arc<str> = planned.sql().into();
        let counted = stream.inspect_ok(|batch| metrics().query_rows.add([], batch.num_rows() as u64));
        let batches = counted.map_err(move |e| running(&sql, &e));
        let encoded = FlightDataEncoderBuilder::new().with_schema(Arc::clone(&planned.schema)).build(batches);
        Ok(Response::new(Box::pin(Stoppable::new(encoded.map_err(Status::from).boxed(), running_query))))
    }

    fn not_a_query(what: &str) -> Status {
        status(
            &QueryError::new(ErrorKind::Refused, format!("{what} is refused: this endpoint only reads"))
                .with_hint("tables are declared in the project's SQL files and kept up to date by `ingot run`"),
        )
    }

    fn no_transactions() -> Status {
        status(
            &QueryError::new(ErrorKind::Unsupported, "there are no transactions")
                .with_hint("turn autocommit on; every query reads one snapshot of each of its tables"),
        )
    }
}

#[tonic::async_trait]
impl FlightSqlService for Handlers {
    type FlightService = Self;

    /// There is no authentication yet: every client of the loopback address may read. Drivers insist on a token.
    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let answer = HandshakeResponse { protocol_version: 0, payload: Bytes::new() };
        let mut response: Response<HandshakeStream> = Response::new(Box::pin(futures::stream::iter([Ok(answer)])));
        response.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer ingot"));
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(Response::new(self.statement_info(&query.query, None, request.into_inner()).await?))
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(failed(ErrorKind::Unsupported, "Substrait plans are not supported"))
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let prepared = self.prepared(&query.prepared_statement_handle)?;
        let info = self.statement_info(&prepared.sql, prepared.parameters.as_ref(), request.into_inner());
        Ok(Response::new(info.await?))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::catalogs_schema(), request)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::schemas_schema(), request)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::tables_schema(query.include_schema), request)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::TABLE_TYPES_SCHEMA, request)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &sql_info::sql_info()?.schema(), request)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::PRIMARY_KEYS_SCHEMA, request)
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::FOREIGN_KEYS_SCHEMA, request)
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::FOREIGN_KEYS_SCHEMA, request)
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &metadata::FOREIGN_KEYS_SCHEMA, request)
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        list_info(&query, &sql_info::type_info()?.schema(), request)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let ticket = StatementTicket::from_handle(&self.served.seal, &ticket.statement_handle)?;
        let (kept, running_query) = self.served.registry.start(CALLER, ticket.id()).map_err(|e| status(&e))?;
        let planned = match kept {
            Some(planned) => planned,
            None => self.planned_again(&ticket).await?,
        };
        self.rows(planned, running_query).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let prepared = self.prepared(&query.prepared_statement_handle)?;
        let (_, running_query) = self.served.registry.start(CALLER, Uuid::new_v4()).map_err(|e| status(&e))?;
        let planned = self.plan(&prepared.sql, prepared.parameters.as_ref()).await?;
        self.rows(planned, running_query).await
    }

    async fn do_get_catalogs(
        &self,
        _query: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::catalogs(&self.served.session)?))
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::schemas(&self.served.session, query).await?))
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::tables(&self.served.session, query).await?))
    }

    async fn do_get_table_types(
        &self,
        _query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::table_types()?))
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(query.into_builder(sql_info::sql_info()?).build().map_err(Status::from)?))
    }

    async fn do_get_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::primary_keys(&self.served.session, query).await?))
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::foreign_keys()))
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::foreign_keys()))
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(metadata::foreign_keys()))
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        Ok(list(query.into_builder(sql_info::type_info()?).build().map_err(Status::from)?))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        // The session says which statement it refuses, and why.
        self.served.session.plan(CALLER, &command.query, None).await.map_err(|e| status(&e))?;
        Err(status(&QueryError::new(ErrorKind::Refused, "a query has no update count").with_hint("run it as a query")))
    }

    async fn do_put_statement_ingest(
        &self,
        _command: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(Self::not_a_query("bulk ingestion"))
    }

    async fn do_put_substrait_plan(
        &self,
        _command: CommandStatementSubstraitPlan,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(failed(ErrorKind::Unsupported, "Substrait plans are not supported"))
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let messages = request.into_inner().map_err(arrow_flight::error::FlightError::from);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
        let mut bound: Option<RecordBatch> = None;
        loop {
            // Arrow's decoder panics on a schema with parts left out.
            let next = AssertUnwindSafe(batches.try_next()).catch_unwind().await;
            let next = next.map_err(|_| malformed("the row of parameters", NOT_ARROW))?;
            let Some(batch) = next.map_err(|e| malformed("the row of parameters", e))? else { break };
            if batch.num_rows() == 0 {
                continue;
            }
            if bound.is_some() || batch.num_rows() > 1 {
                return Err(failed(ErrorKind::Parameter, "a query takes one row of parameters at a time"));
            }
            bound = Some(batch);
        }
        let prepared = self.prepared(&query.prepared_statement_handle)?;
        let bound = match prepared.kept.downcast_ref::<Vec<Sent>>() {
            Some(sent) => bound.map(|row| jdbc::restored(row, sent)).transpose()?,
            None => bound,
        };
        let id = prepared_id(&query.prepared_statement_handle);
        self.served.registry.bind(CALLER, id, bound).map_err(|e| status(&e))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.prepared(&query.prepared_statement_handle)?;
        Err(status(&QueryError::new(ErrorKind::Refused, "a query has no update count").with_hint("run it as a query")))
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let planned = self.served.session.plan(CALLER, &query.query, None).await.map_err(|e| status(&e))?;
        let (parameter_schema, sent) = if is_java(request.metadata()) {
            let (schema, sent) = jdbc::announced_all(&planned.parameters, &planned.places);
            (ipc_schema(&schema)?, sent)
        } else {
            let fields: Option<Vec<Field>> =
                planned.parameters.iter().map(|(name, t)| Some(Field::new(name, t.clone()?, true))).collect();
            // No schema says that any will do; one that is there is taken for what must be sent.
            (fields.map(|f| ipc_schema(&Schema::new(f))).transpose()?.unwrap_or_default(), Vec::new())
        };
        let id = self.served.registry.prepare(CALLER, &query.query, Arc::new(sent));
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Bytes::copy_from_slice(id.as_bytes()),
            dataset_schema: ipc_schema(&planned.schema)?,
            parameter_schema,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.served.registry.close(CALLER, prepared_id(&query.prepared_statement_handle));
        Ok(())
    }

    async fn do_action_create_prepared_substrait_plan(
        &self,
        _query: ActionCreatePreparedSubstraitPlanRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        Err(failed(ErrorKind::Unsupported, "Substrait plans are not supported"))
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(Self::no_transactions())
    }

    async fn do_action_end_transaction(
        &self,
        _query: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(Self::no_transactions())
    }

    async fn do_action_begin_savepoint(
        &self,
        _query: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(Self::no_transactions())
    }

    async fn do_action_end_savepoint(
        &self,
        _query: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(Self::no_transactions())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(query.info).map_err(|e| malformed("the FlightInfo to cancel", e))?;
        Ok(ActionCancelQueryResult { result: actions::cancel(&self.served, &info) as i32 })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let action = request.into_inner();
        let results = actions::answer(&self.served, &action)?;
        Ok(Response::new(Box::pin(futures::stream::iter(results.into_iter().map(Ok)))))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(actions::types().into_iter().map(Ok).collect())
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
