//! Messages to rows, or to one error row each.
//!
//! Invariants
//! * Every message gives exactly one row or one error row; a failing column leaves nothing behind in the others.
//! * Values go from the message's text straight into the columns; a message that fails is cut off again.
//! * Which of the two depends on the message and the schema alone.
//! * An error row holds the payload and the key as they came.
//!
//! Not here: reading JSON (`json`), typing values (`convert`), ranges of offsets (`reader`).

use crate::decode::cell::Cell;
use crate::decode::column::Column;
use crate::decode::convert::{self, UNKNOWN_FIELD};
use crate::decode::json::{Fault, JsonError, JsonKind, Place, Wanted};
use crate::decode::path::JsonPath;
use crate::decode::schema::{SourceSchema, default_cell};
use crate::decode::types::{timestamptz, type_name};
use crate::error::SourceError;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ingot_dialect::ast::{Encoding, IncludeKind};
use ingot_dialect::did_you_mean;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tracing::warn;

const NOT_JSON: &str = "D0201";
const SECOND_DOCUMENT: &str = "D0202";
const NOT_UTF8: &str = "D0203";
const MISSING: &str = "D0206";
const TOMBSTONE: &str = "D0207";
const TOO_DEEP: &str = "D0210";
const NOT_AN_OBJECT: &str = "D0211";
/// A message that decodes, and for whose row an expression of the table's statement fails.
pub const SELECT_FAILS: &str = "D0214";

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub struct MessageRef<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(Cow<'a, str>, Option<&'a [u8]>)],
}

/// What a decoder gives for the messages since it was last asked.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub rows: RecordBatch,
    pub errors: RecordBatch,
    /// The message of each row, where the schema says to keep them.
    pub kept: Option<RecordBatch>,
    pub messages: u64,
}

/// The columns of an error row.
pub fn error_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamptz(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("payload", DataType::Binary, true),
        Field::new("code", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
    ]))
}

/// Turns messages of one partition into rows and errors.
pub struct Decoder {
    source: Arc<SourceSchema>,
    schema: SchemaRef,
    error_schema: SchemaRef,
    wanted: Wanted,
    defaults: Vec<Option<Cell<'static>>>,
    columns: Vec<Column>,
    errors: Vec<Column>,
    /// As `errors`, for the messages of rows; none unless they are kept.
    kept: Vec<Column>,
    rows: usize,
    error_rows: usize,
    /// Reused between messages.
    slots: Vec<Option<Place>>,
    absence: Arc<Absence>,
}

/// Why a message is no row.
struct RowError {
    code: &'static str,
    reason: String,
}

/// Why `row` ended early.
enum Failed {
    Message(RowError),
    /// A defect of this crate.
    Us(SourceError),
}

impl From<RowError> for Failed {
    fn from(error: RowError) -> Self {
        Self::Message(error)
    }
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::Us(error)
    }
}

impl Decoder {
    /// # Errors
    /// A schema that the checks should have refused.
    pub fn new(source: Arc<SourceSchema>) -> Result<Self, SourceError> {
        let absence = Arc::new(Absence::new(&source));
        Self::sharing(source, absence)
    }

    /// A decoder for another partition of the same source.
    pub(crate) fn sharing(source: Arc<SourceSchema>, absence: Arc<Absence>) -> Result<Self, SourceError> {
        let schema = source.arrow();
        let error_schema = error_schema();
        let paths: Vec<_> =
            source.columns.iter().map(|c| c.path.clone().unwrap_or_else(|| JsonPath::key(&c.key))).collect();
        let defaults = source.columns.iter().map(|c| match &c.default {
            Some(literal) => default_cell(literal, c, source.json)
                .map(Some)
                .map_err(|why| SourceError::Internal { reason: format!("default of {}: {why}", c.name) }),
            None => Ok(None),
        });
        Ok(Self {
            wanted: Wanted::new(&paths),
            defaults: defaults.collect::<Result<_, _>>()?,
            columns: schema.fields().iter().map(|f| Column::new(f.data_type())).collect::<Result<_, _>>()?,
            errors: error_schema.fields().iter().map(|f| Column::new(f.data_type())).collect::<Result<_, _>>()?,
            kept: match source.keep_messages {
                true => error_schema.fields().iter().map(|f| Column::new(f.data_type())).collect::<Result<_, _>>()?,
                false => Vec::new(),
            },
            rows: 0,
            error_rows: 0,
            slots: vec![None; paths.len()],
            absence,
            source,
            schema,
            error_schema,
        })
    }

    /// Adds one message.
    ///
    /// # Errors
    /// A defect of this crate; whatever is wrong with the message becomes an error row.
    pub fn push(&mut self, message: &MessageRef<'_>) -> Result<(), SourceError> {
        let source = Arc::clone(&self.source);
        match self.row(&source, message) {
            Ok(()) => {
                self.rows += 1;
                if !self.kept.is_empty() {
                    append(&mut self.kept, message, None)?;
                }
                Ok(())
            }
            Err(Failed::Message(error)) => {
                for column in &mut self.columns {
                    column.truncate(self.rows);
                }
                append(&mut self.errors, message, Some(error))?;
                self.error_rows += 1;
                Ok(())
            }
            Err(Failed::Us(error)) => Err(error),
        }
    }

    /// Messages since the last `finish`.
    pub fn messages(&self) -> usize {
        self.rows + self.error_rows
    }

    /// Gives the messages since the last time, and starts again.
    ///
    /// # Errors
    /// A defect of this crate.
    pub fn finish(&mut self) -> Result<Decoded, SourceError> {
        let messages = u64::try_from(self.messages()).unwrap_or(u64::MAX);
        let count = std::mem::take(&mut self.rows);
        let rows = assemble(&self.schema, &mut self.columns, count)?;
        let kept = match self.kept.is_empty() {
            true => None,
            false => Some(assemble(&self.error_schema, &mut self.kept, count)?),
        };
        let errors = assemble(&self.error_schema, &mut self.errors, std::mem::take(&mut self.error_rows))?;
        Ok(Decoded { rows, errors, kept, messages })
    }

    /// Appends one row to the columns; if it fails, some of them may be longer than others.
    fn row(&mut self, source: &SourceSchema, message: &MessageRef<'_>) -> Result<(), Failed> {
        let Some(payload) = message.payload else {
            return Err(RowError { code: TOMBSTONE, reason: "the message has no payload".into() }.into());
        };
        let declared = match source.encoding {
            Encoding::Bytes => {
                if let Some(column) = self.columns.first_mut() {
                    column.append(&Cell::Bytes(payload.into()))?;
                }
                1
            }
            _ => {
                self.json_row(source, payload)?;
                source.columns.len()
            }
        };
        for (column, (kind, _)) in self.columns.iter_mut().skip(declared).zip(&source.includes) {
            column.append(&include(*kind, message))?;
        }
        Ok(())
    }

    fn json_row(&mut self, source: &SourceSchema, payload: &[u8]) -> Result<(), Failed> {
        let text = std::str::from_utf8(payload)
            .map_err(|e| RowError { code: NOT_UTF8, reason: format!("byte {} is not UTF-8", e.valid_up_to()) })?;
        let watching = self.absence.is_watching();
        let mut unread: Option<String> = None;
        let absence = &self.absence;
        let suits = self
            .wanted
            .find(text, &mut self.slots, &mut |key| {
                if source.json.refuse_unknown_fields && unread.is_none() {
                    unread = Some(key.to_string());
                }
                if watching {
                    absence.saw_unread(key);
                }
            })
            .map_err(RowError::from)?;
        if !suits {
            return Err(RowError { code: NOT_AN_OBJECT, reason: "the document is not an object".into() }.into());
        }
        if watching {
            self.absence.count(source, &self.slots);
        }
        if let Some(key) = unread {
            let reason = format!("no column reads key \"{}\"", cut(&key));
            return Err(RowError { code: UNKNOWN_FIELD, reason }.into());
        }
        let declared = source.columns.iter().zip(&self.slots).zip(&self.defaults);
        for (((field, slot), default), column) in declared.zip(&mut self.columns) {
            let is_null = match (slot, default) {
                (Some(place), _) => {
                    let raw = place.of(text);
                    if !convert::plain(raw, &field.column_type, source.json, column)? {
                        let cell = convert::value(raw, &field.column_type, source.json)
                            .map_err(|e| RowError { code: e.code, reason: at_column(&field.name, &e.reason) })?;
                        column.append(&cell)?;
                    }
                    raw.kind == JsonKind::Null
                }
                (None, Some(default)) => {
                    column.append(default)?;
                    *default == Cell::Null
                }
                (None, None) => {
                    column.append_null()?;
                    true
                }
            };
            if is_null && !field.nullable {
                let what = if slot.is_some() { "null" } else { "absent" };
                let reason = format!("column \"{}\" {} NOT NULL is {what}", field.name, type_name(&field.column_type));
                return Err(RowError { code: MISSING, reason }.into());
            }
        }
        Ok(())
    }
}

impl From<JsonError> for RowError {
    fn from(e: JsonError) -> Self {
        match e.fault {
            Fault::Syntax(reason) => Self { code: NOT_JSON, reason: format!("{reason} at byte {}", e.at) },
            Fault::Trailing => {
                Self { code: SECOND_DOCUMENT, reason: format!("something follows the document at byte {}", e.at) }
            }
            Fault::TooDeep => Self {
                code: TOO_DEEP,
                reason: format!("more than {} levels of nesting at byte {}", crate::decode::json::DEPTH_MAX, e.at),
            },
        }
    }
}

/// One message to the columns of an error row.
fn append(columns: &mut [Column], message: &MessageRef<'_>, error: Option<RowError>) -> Result<(), SourceError> {
    let (code, reason) = match error {
        Some(error) => (Cell::String(error.code.into()), Cell::String(error.reason.into())),
        None => (Cell::Null, Cell::Null),
    };
    let cells = [
        Cell::String(message.topic.into()),
        Cell::Int32(message.partition),
        Cell::Int64(message.offset),
        timestamp(message),
        bytes(message.key),
        bytes(message.payload),
        code,
        reason,
    ];
    columns.iter_mut().zip(&cells).try_for_each(|(column, cell)| column.append(cell))
}

fn at_column(name: &str, reason: &str) -> String {
    let joint = if reason.starts_with(['.', '[']) { "" } else { ": " };
    format!("column \"{name}\"{joint}{reason}")
}

fn cut(key: &str) -> String {
    key.chars().take(80).collect()
}

fn bytes(value: Option<&[u8]>) -> Cell<'_> {
    value.map_or(Cell::Null, |v| Cell::Bytes(v.into()))
}

fn timestamp(message: &MessageRef<'_>) -> Cell<'static> {
    message.timestamp_ms.and_then(|ms| ms.checked_mul(1_000)).map_or(Cell::Null, Cell::Int64)
}

fn include<'a>(kind: IncludeKind, message: &MessageRef<'a>) -> Cell<'a> {
    match kind {
        IncludeKind::Key => bytes(message.key),
        IncludeKind::Topic => Cell::String(message.topic.into()),
        IncludeKind::Partition => Cell::Int32(message.partition),
        IncludeKind::Offset => Cell::Int64(message.offset),
        IncludeKind::Timestamp => timestamp(message),
        IncludeKind::Headers => {
            let header = |(name, value): &(Cow<'a, str>, Option<&'a [u8]>)| {
                Cell::Struct(vec![Cell::String(name.clone()), bytes(*value)])
            };
            Cell::List(message.headers.iter().map(header).collect())
        }
        IncludeKind::Payload => bytes(message.payload),
    }
}

fn assemble(schema: &SchemaRef, columns: &mut [Column], rows: usize) -> Result<RecordBatch, SourceError> {
    let arrays = columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|e| SourceError::Internal { reason: e.to_string() })
}

/// Messages after which a warning names the columns that none of them had.
const ABSENT_MESSAGES: u32 = 1_000;
/// Keys remembered, to name the nearest.
const UNREAD_KEYS_MAX: usize = 256;

/// Watches for declared columns that no message has: usually a misspelt key.
pub(crate) struct Absence {
    watching: AtomicBool,
    messages: AtomicU32,
    seen: Vec<AtomicBool>,
    unread: std::sync::Mutex<BTreeSet<String>>,
}

impl Absence {
    pub(crate) fn new(source: &SourceSchema) -> Self {
        Self {
            watching: AtomicBool::new(source.encoding == Encoding::Json),
            messages: AtomicU32::new(0),
            seen: source.columns.iter().map(|_| AtomicBool::new(false)).collect(),
            unread: std::sync::Mutex::new(BTreeSet::new()),
        }
    }

    fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed)
    }

    fn saw_unread(&self, key: &str) {
        if let Ok(mut unread) = self.unread.lock()
            && unread.len() < UNREAD_KEYS_MAX
            && !unread.contains(key)
        {
            unread.insert(cut(key));
        }
    }

    /// Counts one message; after enough of them warns, once, of the columns that none had.
    fn count(&self, source: &SourceSchema, slots: &[Option<Place>]) {
        for (seen, slot) in self.seen.iter().zip(slots) {
            if slot.is_some() {
                seen.store(true, Ordering::Relaxed);
            }
        }
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        if messages < ABSENT_MESSAGES || !self.watching.swap(false, Ordering::Relaxed) {
            return;
        }
        for (column, key, nearest) in self.absent(source) {
            warn!(
                column,
                key,
                nearest = nearest.as_deref().unwrap_or("none"),
                messages,
                "a declared column was absent from every message so far"
            );
        }
    }

    /// Columns never seen, their keys, and the unread key nearest to each.
    fn absent<'s>(&self, source: &'s SourceSchema) -> Vec<(&'s str, String, Option<String>)> {
        let unread = self.unread.lock().map(|set| set.clone()).unwrap_or_default();
        let never = source.columns.iter().zip(&self.seen).filter(|(_, seen)| !seen.load(Ordering::Relaxed));
        never
            .map(|(column, _)| {
                let key = column.path.as_ref().map_or_else(|| column.key.clone(), ToString::to_string);
                let last = key.rsplit(['.', '"']).find(|part| !part.is_empty() && *part != "]").unwrap_or(&key);
                let nearest = did_you_mean(last, unread.iter().map(String::as_str)).map(ToString::to_string);
                (column.name.as_str(), key, nearest)
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
