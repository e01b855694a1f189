//! A few generated rows of any schema: none, plain ones, NULLs, a mixture, the extremes of each type.
//!
//! Invariants
//! * The same for the same schema and occasion, on every machine.
//! * `Grown` = `Plain` and `Mixed` together, so that a refresh from one to the other can be tried.
//! * NOT NULL columns hold no NULL.
//!
//! Not here: what is run over them (`trial`).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, ListArray, MapArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, FieldRef, Int8Type, Int16Type, Int32Type, Int64Type,
    Schema, SchemaRef, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

/// What the tables hold while a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// No rows.
    Empty,
    /// No NULLs; some rows twice.
    Plain,
    /// NULLs alone.
    Nulls,
    /// NULLs among others.
    Mixed,
    /// The least and the greatest values, the empty text, NaN.
    Extremes,
    /// Plain and mixed rows.
    Grown,
}

impl Occasion {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 6] = [Self::Empty, Self::Plain, Self::Nulls, Self::Mixed, Self::Extremes, Self::Grown];
}

const PARTITIONS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Null,
    Small(u8),
    Low,
    High,
}

/// The kind of cell that a row has in a column.
type Make = fn(usize) -> Cell;

/// The rows of an occasion in one of the two partitions, as kinds of cells.
fn cells(occasion: Occasion, partition: usize) -> Vec<Make> {
    let plain: [&[Make]; PARTITIONS] = [
        &[|c| Cell::Small(1 + (c % 2) as u8), |_| Cell::Small(2), |_| Cell::Small(2)],
        &[|_| Cell::Small(2), |_| Cell::Small(3)],
    ];
    let mixed: [&[Make]; PARTITIONS] = [
        &[
            |c| if c % 2 == 0 { Cell::Null } else { Cell::Small(1) },
            |c| if c % 2 == 1 { Cell::Null } else { Cell::Small(2) },
        ],
        &[|c| if c % 3 == 1 { Cell::Null } else { Cell::Small(2) }, |_| Cell::Small(3)],
    ];
    let at = partition.min(PARTITIONS - 1);
    match occasion {
        Occasion::Empty => vec![],
        Occasion::Plain => plain[at].to_vec(),
        Occasion::Nulls => vec![|_| Cell::Null; 2 - at],
        Occasion::Mixed => mixed[at].to_vec(),
        Occasion::Extremes if at == 0 => vec![|_| Cell::Low, |_| Cell::High, |c| [Cell::Null, Cell::Low][c % 2]],
        Occasion::Extremes => vec![|_| Cell::High, |c| [Cell::High, Cell::Low, Cell::Small(1)][c % 3]],
        Occasion::Grown => plain[at].iter().chain(mixed[at]).copied().collect(),
    }
}

fn batch(schema: &SchemaRef, occasion: Occasion, partition: usize) -> std::result::Result<RecordBatch, ArrowError> {
    let rows = cells(occasion, partition);
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let fit = |cell| match cell {
            Cell::Null if !field.is_nullable() => Cell::Small(1),
            cell => cell,
        };
        let column: Vec<Cell> = rows.iter().map(|row| fit(row(i))).collect();
        values(field.data_type(), &column)
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<std::result::Result<_, _>>()?, &options)
}

fn primitive<T: ArrowPrimitiveType>(
    cells: &[Cell],
    small: fn(u8) -> T::Native,
    low: T::Native,
    high: T::Native,
) -> ArrayRef {
    let array: PrimitiveArray<T> = cells
        .iter()
        .map(|c| match c {
            Cell::Null => None,
            Cell::Small(i) => Some(small(*i)),
            Cell::Low => Some(low),
            Cell::High => Some(high),
        })
        .collect();
    Arc::new(array)
}

/// A column of a type.
fn values(data_type: &DataType, cells: &[Cell]) -> std::result::Result<ArrayRef, ArrowError> {
    use DataType as T;
    // 0001-01-01 and 9999-12-31, between which every text of a time can be read.
    const FIRST_DAY: i32 = -719_162;
    const LAST_DAY: i32 = 2_932_896;
    const DAY: i64 = 86_400_000_000;
    let text = |c: &Cell| match c {
        Cell::Null => None,
        // Digits, so that casts go on.
        Cell::Small(i) => Some(i.to_string()),
        Cell::Low => Some(String::new()),
        Cell::High => Some("é😀 x".to_owned()),
    };
    Ok(match data_type {
        T::Boolean => Arc::new(
            cells
                .iter()
                .map(|c| match c {
                    Cell::Null => None,
                    Cell::Small(i) => Some(i % 2 == 0),
                    Cell::Low => Some(false),
                    Cell::High => Some(true),
                })
                .collect::<BooleanArray>(),
        ),
        T::Int8 => primitive::<Int8Type>(cells, |i| i as i8, i8::MIN, i8::MAX),
        T::Int16 => primitive::<Int16Type>(cells, i16::from, i16::MIN, i16::MAX),
        T::Int32 => primitive::<Int32Type>(cells, i32::from, i32::MIN, i32::MAX),
        T::Int64 => primitive::<Int64Type>(cells, i64::from, i64::MIN, i64::MAX),
        T::UInt8 => primitive::<UInt8Type>(cells, |i| i, 0, u8::MAX),
        T::UInt16 => primitive::<UInt16Type>(cells, u16::from, 0, u16::MAX),
        T::UInt32 => primitive::<UInt32Type>(cells, u32::from, 0, u32::MAX),
        T::UInt64 => primitive::<UInt64Type>(cells, u64::from, 0, u64::MAX),
        T::Float32 => Arc::new(cells.iter().map(|c| float(*c).map(|v| v as f32)).collect::<Float32Array>()),
        T::Float64 => Arc::new(cells.iter().map(|c| float(*c)).collect::<Float64Array>()),
        T::Decimal128(precision, scale) => {
            let digits = 10_i128.checked_pow(u32::from(*precision)).map_or(i128::MAX, |p| p - 1);
            let one = 10_i128.checked_pow(u32::try_from(*scale).unwrap_or(0)).unwrap_or(1).min(digits);
            let array: PrimitiveArray<Decimal128Type> = cells
                .iter()
                .map(|c| match c {
                    Cell::Null => None,
                    Cell::Small(i) => Some(one.saturating_mul(i128::from(*i)).min(digits)),
                    Cell::Low => Some(-digits),
                    Cell::High => Some(digits),
                })
                .collect();
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        T::Utf8 => Arc::new(cells.iter().map(text).collect::<StringArray>()),
        T::Binary => Arc::new(cells.iter().map(|c| text(c).map(String::into_bytes)).collect::<BinaryArray>()),
        T::FixedSizeBinary(width) => {
            let bytes = |c: &Cell| {
                let byte = match c {
                    Cell::Null => return None,
                    Cell::Small(i) => *i,
                    Cell::Low => 0,
                    Cell::High => u8::MAX,
                };
                Some(vec![byte; usize::try_from(*width).unwrap_or(0)])
            };
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(cells.iter().map(bytes), *width)?)
        }
        T::Date32 => primitive::<Date32Type>(cells, i32::from, FIRST_DAY, LAST_DAY),
        T::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(cells, i64::from, 0, DAY - 1),
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let (first, last) = (i64::from(FIRST_DAY) * DAY, i64::from(LAST_DAY) * DAY + DAY - 1);
            let array = primitive::<TimestampMicrosecondType>(cells, |i| i64::from(i) * DAY, first, last);
            cast(&array, data_type)?
        }
        T::List(item) => Arc::new(lists(item, cells)?),
        T::Struct(fields) => {
            let columns = fields.iter().map(|f| {
                let inner: Vec<Cell> = cells
                    .iter()
                    .map(|c| if *c == Cell::Null && !f.is_nullable() { Cell::Small(1) } else { *c })
                    .collect();
                values(f.data_type(), &inner)
            });
            let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, valid(cells), cells.len())?)
        }
        T::Map(entries, sorted) => {
            let list = lists(entries, &cells.iter().map(|c| no_null_entry(*c)).collect::<Vec<_>>())?;
            let entries_of = list.values().as_any().downcast_ref::<StructArray>().cloned();
            match entries_of {
                Some(of) => {
                    Arc::new(MapArray::try_new(Arc::clone(entries), list.offsets().clone(), of, valid(cells), *sorted)?)
                }
                None => new_null_array(data_type, cells.len()),
            }
        }
        T::LargeUtf8 | T::Utf8View => cast(&values(&T::Utf8, cells)?, data_type)?,
        T::LargeBinary | T::BinaryView => cast(&values(&T::Binary, cells)?, data_type)?,
        other => new_null_array(other, cells.len()),
    })
}

fn float(cell: Cell) -> Option<f64> {
    match cell {
        Cell::Null => None,
        Cell::Small(i) => Some(f64::from(i)),
        Cell::Low => Some(f64::NEG_INFINITY),
        Cell::High => Some(f64::NAN),
    }
}

fn valid(cells: &[Cell]) -> Option<NullBuffer> {
    Some(NullBuffer::from_iter(cells.iter().map(|c| *c != Cell::Null)))
}

/// Entries of a map have keys.
fn no_null_entry(cell: Cell) -> Cell {
    if cell == Cell::High { Cell::Small(1) } else { cell }
}

/// Lists: one item for a small cell, none for the lowest, a NULL and the greatest for the highest.
fn lists(item: &FieldRef, cells: &[Cell]) -> std::result::Result<ListArray, ArrowError> {
    let (mut items, mut lengths) = (Vec::new(), Vec::new());
    for cell in cells {
        let before = items.len();
        match cell {
            Cell::Null | Cell::Low => {}
            Cell::Small(_) => items.push(*cell),
            Cell::High if item.is_nullable() => items.extend([Cell::Null, Cell::High]),
            Cell::High => items.push(Cell::High),
        }
        lengths.push(items.len() - before);
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::try_new(Arc::clone(item), offsets, values(item.data_type(), &items)?, valid(cells))
}

/// The occasion that all tables of a trial are at.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<AtomicUsize>);

impl Stage {
    /// From now on tables hold the rows of this occasion.
    pub fn set(&self, occasion: Occasion) {
        let at = Occasion::ALL.iter().position(|o| *o == occasion).unwrap_or(0);
        self.0.store(at, Ordering::SeqCst);
    }

    fn get(&self) -> Occasion {
        Occasion::ALL.get(self.0.load(Ordering::SeqCst)).copied().unwrap_or(Occasion::Empty)
    }

    /// A table of this schema whose rows follow the stage.
    pub fn table(&self, schema: &Schema) -> Result<Arc<dyn TableProvider>> {
        let schema: SchemaRef = Arc::new(schema.clone());
        let partition = |index| -> Arc<dyn PartitionStream> {
            Arc::new(Part { schema: Arc::clone(&schema), index, stage: self.clone(), made: OnceLock::new() })
        };
        Ok(Arc::new(StreamingTable::try_new(Arc::clone(&schema), (0..PARTITIONS).map(partition).collect())?))
    }
}

/// One partition of a table.
struct Part {
    schema: SchemaRef,
    index: usize,
    stage: Stage,
    made: OnceLock<Vec<Option<RecordBatch>>>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sample rows, partition {}", self.index)
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let make = || Occasion::ALL.iter().map(|o| batch(&self.schema, *o, self.index).ok()).collect();
        let occasion = self.stage.get();
        let at = Occasion::ALL.iter().position(|o| *o == occasion).unwrap_or(0);
        let rows = self.made.get_or_init(make).get(at).cloned().flatten().filter(|b| b.num_rows() > 0);
        let rows = futures::stream::iter(rows.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    /// A type that cannot be generated would be an empty table, and nothing would be tried.
    #[test]
    fn every_stored_type_has_rows() {
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let entry = DataType::Struct(
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into(),
        );
        let types = [
            DataType::Boolean,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 10),
            DataType::Decimal128(2, 2),
            DataType::Utf8,
            DataType::Binary,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::List(Arc::clone(&item)),
            DataType::Struct(vec![Field::new("a", DataType::List(item), false)].into()),
            DataType::Map(Arc::new(Field::new("entries", entry, false)), false),
        ];
        for nullable in [true, false] {
            let fields = types.iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), t.clone(), nullable));
            let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            for occasion in Occasion::ALL {
                for partition in 0..PARTITIONS {
                    let rows = batch(&schema, occasion, partition).unwrap();
                    assert_eq!(rows.num_rows() > 0, occasion != Occasion::Empty);
                    let nulls: usize = rows.columns().iter().map(|c| c.null_count()).sum();
                    assert!(nullable || nulls == 0);
                    if occasion != Occasion::Empty {
                        assert_eq!(nullable && occasion == Occasion::Nulls, nulls == rows.num_rows() * types.len());
                    }
                }
            }
        }
    }
}
