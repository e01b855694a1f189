//! What a statement's ticket holds: the statement, its parameters, and the snapshots it was planned against.
//!
//!   StatementTicket ──▶ JSON ──▶ sealed (`ingot_query::seal`) ──▶ TicketStatementQuery ──▶ client, and back
//!
//! Invariants
//! * Nothing of a ticket is read that this server, or one with the same key, did not seal as a ticket for this caller.
//! * A ticket needs nothing of the server that made it but the key: any such server over the same catalog gives the same
//!   rows.
//! * A ticket that is given out is small enough for a request.
//! * The version says how to read it; an unknown one is refused, never guessed at.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightInfo, Ticket};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::common::ScalarValue;
use ingot_query::{ErrorKind, Pins, QueryError, Seal};
use prost::Message;
use serde::{Deserialize, Serialize};
use tonic::Status;
use uuid::Uuid;

use crate::error::{failed, malformed, status};
use crate::flight::served::{CALLER, REQUEST_BYTES_MAX};

const VERSION: u32 = 1;
/// What a statement's handle is sealed as: sealed for anything else, it does not open.
const PURPOSE: &str = "statement";
/// Room for what stands around a handle in a request.
const WRAPPING_BYTES_MAX: usize = 1 << 10;

/// A statement on its way between GetFlightInfo and DoGet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementTicket {
    v: u32,
    /// Names the query for cancellation.
    id: String,
    pub sql: String,
    pub pins: Pins,
    /// One row of parameters, as an Arrow IPC stream in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<String>,
    /// Of the announced schema.
    schema: u64,
}

impl StatementTicket {
    /// A statement over these snapshots, with the values of its parameters.
    ///
    /// # Errors
    /// Parameters that Arrow cannot write.
    pub fn new(id: Uuid, sql: &str, pins: Pins, params: Option<&RecordBatch>, schema: &Schema) -> Result<Self, Status> {
        let params = params.map(encode_params).transpose()?;
        Ok(Self { v: VERSION, id: id.to_string(), sql: sql.to_owned(), pins, params, schema: schema_hash(schema) })
    }

    /// The query's.
    pub fn id(&self) -> Uuid {
        Uuid::parse_str(&self.id).unwrap_or_default()
    }

    /// Sealed, for the caller who planned it.
    ///
    /// # Errors
    /// When it is longer than a client may send.
    pub(crate) fn to_ticket(&self, seal: &Seal) -> Result<Ticket, Status> {
        let unwritten = |why: String| failed(ErrorKind::Internal, format!("the ticket cannot be written: {why}"));
        let text = serde_json::to_vec(self).map_err(|e| unwritten(e.to_string()))?;
        let most = REQUEST_BYTES_MAX - WRAPPING_BYTES_MAX;
        if text.len() > most {
            let why = format!(
                "the statement and its parameters take {} bytes in a ticket, and {most} are the most",
                text.len()
            );
            return Err(failed(ErrorKind::TooLarge, why));
        }
        let handle = seal.seal(PURPOSE, CALLER, &text).ok_or_else(|| unwritten("it is not sealed".to_owned()))?;
        Ok(Ticket::new(TicketStatementQuery { statement_handle: handle.into() }.as_any().encode_to_vec()))
    }

    /// What is in a handle.
    ///
    /// # Errors
    /// One that was not sealed here, and one of another version.
    pub(crate) fn from_handle(seal: &Seal, handle: &[u8]) -> Result<Self, Status> {
        let text = seal.open(PURPOSE, CALLER, handle).ok_or_else(|| {
            let why = "the ticket is not one of this server: it was changed, or given out by another server or before a \
                       restart";
            let hint = "run the statement again; servers behind one address share tickets with serve.ticket-key-file";
            status(&QueryError::new(ErrorKind::UnknownHandle, why).with_hint(hint))
        })?;
        Self::read(&text)
    }

    fn read(handle: &[u8]) -> Result<Self, Status> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let version: Version = serde_json::from_slice(handle).map_err(|e| malformed("the ticket", e))?;
        if version.v != VERSION {
            let why = format!("the ticket has version {}, and this server reads {VERSION}", version.v);
            let error = QueryError::new(ErrorKind::UnknownHandle, why).with_hint("run the statement again");
            return Err(status(&error));
        }
        let ticket: Self = serde_json::from_slice(handle).map_err(|e| malformed("the ticket", e))?;
        match Uuid::parse_str(&ticket.id) {
            Ok(_) => Ok(ticket),
            Err(e) => Err(malformed("the ticket's id", e)),
        }
    }

    /// The ticket of the first endpoint, if it is one of ours.
    pub(crate) fn of_info(seal: &Seal, info: &FlightInfo) -> Option<Self> {
        let ticket = info.endpoint.first()?.ticket.as_ref()?;
        let any = Any::decode(ticket.ticket.as_ref()).ok()?;
        let query: TicketStatementQuery = any.unpack().ok()??;
        Self::from_handle(seal, &query.statement_handle).ok()
    }

    /// The parameters' values, in order.
    pub fn params(&self) -> Result<Option<Vec<ScalarValue>>, Status> {
        let Some(text) = &self.params else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(text).map_err(|e| malformed("the ticket's parameters", e))?;
        let batch = first_batch(bytes)
            .map_err(|e| malformed("the ticket's parameters", e))?
            .ok_or_else(|| malformed("the ticket's parameters", "there is no row"))?;
        row(&batch).map(Some)
    }

    /// Whether the rows have the schema that the client was told.
    pub fn announced(&self, schema: &Schema) -> bool {
        self.schema == schema_hash(schema)
    }
}

/// The first batch of an IPC stream. Nothing is allocated on the word of a length in it: a stream reader would.
fn first_batch(bytes: Vec<u8>) -> Result<Option<RecordBatch>, ArrowError> {
    contained(move || {
        let mut decoder = StreamDecoder::new();
        let mut left = Buffer::from(bytes);
        while !left.is_empty() {
            if let Some(batch) = decoder.decode(&mut left)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    })
    .unwrap_or_else(|| Err(ArrowError::IpcError(NOT_ARROW.to_owned())))
}

/// What is said of Arrow data on which the decoder gives up.
pub(crate) const NOT_ARROW: &str = "this is not Arrow data: a part that must be there is missing";

/// Arrow's IPC decoder unwraps fields that a forged message leaves out; `None` where it panics.
fn contained<T>(decode: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).ok()
}

/// The first row of a batch, one value for each column.
pub(crate) fn row(batch: &RecordBatch) -> Result<Vec<ScalarValue>, Status> {
    if batch.num_rows() == 0 {
        return Err(failed(ErrorKind::Parameter, "a row of parameters is missing"));
    }
    // Unions and run-ends have lengths of their own, which a forged message may get wrong.
    let value = |c: &ArrayRef| contained(|| ScalarValue::try_from_array(c, 0));
    batch
        .columns()
        .iter()
        .map(|c| match value(c) {
            Some(value) => value.map_err(|e| malformed("a parameter", e.strip_backtrace())),
            None => Err(malformed("a parameter", NOT_ARROW)),
        })
        .collect()
}

fn encode_params(batch: &RecordBatch) -> Result<String, Status> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, &batch.schema())
        .and_then(|mut w| {
            w.write(batch)?;
            w.finish()
        })
        .map_err(crate::error::encoding)?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// FNV-1a over names, types and nullability: the same in every build, unlike the standard library's hasher.
fn schema_hash(schema: &Schema) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for field in schema.fields() {
        let text = format!("{}\u{0}{}\u{0}{}\u{1}", field.name(), field.data_type(), field.is_nullable());
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
