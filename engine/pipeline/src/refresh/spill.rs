//! The difference of two multisets of any size within a share of memory.
//!
//!   rows ──▶ held and matched in memory ──▶ past the share: files by the hash of the row ──▶ matched file by file
//!
//! Invariants
//! * Every row is compared, bit by bit, wherever it was kept.
//! * What is held is reserved in the pool of the runtime; the files are those of its disk manager and go with it.
//!
//! Not here: what equal means (`ingot_delta::MultisetDiff`).

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SpillFile, SpillWriter};
use ingot_delta::{Difference, MultisetDiff};

use crate::error::Result;

/// Files that rows are divided into: one of them must fit in memory.
const PARTS: usize = 128;
const BUFFER_BYTES: usize = 16 << 10;

/// Two multisets, row by row.
pub(crate) struct BoundedDiff {
    schema: SchemaRef,
    held: MultisetDiff,
    memory: MemoryReservation,
    env: Arc<RuntimeEnv>,
    parts: Vec<Part>,
}

struct Part {
    file: Arc<dyn SpillFile>,
    writer: BufWriter<Box<dyn SpillWriter>>,
}

fn io(e: std::io::Error) -> DataFusionError {
    DataFusionError::IoError(e)
}

impl BoundedDiff {
    /// # Errors
    /// When a column has no row format.
    pub fn new(schema: SchemaRef, env: Arc<RuntimeEnv>) -> Result<Self> {
        let held = MultisetDiff::new(Arc::clone(&schema))?;
        let memory = MemoryConsumer::new("comparison of rows").with_can_spill(true).register(&env.memory_pool);
        Ok(Self { schema, held, memory, env, parts: Vec::new() })
    }

    /// Adds a batch to the first (+1) or the second (-1) side.
    ///
    /// # Errors
    /// When the batch's types differ from the schema's; the disk's.
    pub fn add(&mut self, batch: &RecordBatch, sign: i64) -> Result<()> {
        self.held.add(batch, sign)?;
        if self.memory.try_resize(self.held.bytes()).is_err() {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        if self.parts.is_empty() {
            for _ in 0..PARTS {
                let file = self.env.disk_manager.create_tmp_file("rows to compare")?;
                let writer = BufWriter::with_capacity(BUFFER_BYTES, file.open_writer()?);
                self.parts.push(Part { file, writer });
            }
        }
        for (row, weight) in self.held.take() {
            let mut hasher = DefaultHasher::new();
            row.hash(&mut hasher);
            let at = (hasher.finish() % PARTS as u64) as usize;
            if let Some(part) = self.parts.get_mut(at) {
                put(&mut part.writer, &row, weight).map_err(io)?;
            }
        }
        self.memory.resize(0);
        Ok(())
    }

    /// # Errors
    /// The disk's; memory, when the rows of one file do not fit.
    pub fn finish(mut self) -> Result<Difference> {
        if self.parts.is_empty() {
            return Ok(self.held.finish()?);
        }
        self.spill()?;
        let mut total = Difference { only_plus: 0, only_minus: 0, examples: vec![] };
        for part in std::mem::take(&mut self.parts) {
            let Part { file, writer } = part;
            writer.into_inner().map_err(|e| io(e.into_error()))?.finish()?;
            let path = file.path().ok_or_else(|| DataFusionError::Internal("rows were spilled to no file".into()))?;
            let mut rows = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(io)?);
            let mut one = MultisetDiff::new(Arc::clone(&self.schema))?;
            while let Some((row, weight)) = get(&mut rows).map_err(io)? {
                one.put(row, weight);
                // Reserved by the MiB: the pool is shared.
                if one.bytes() > self.memory.size() {
                    self.memory.try_grow(1 << 20)?;
                }
            }
            total.extend(one.finish()?);
            self.memory.resize(0);
        }
        Ok(total)
    }
}

fn put(to: &mut impl Write, row: &[u8], weight: i64) -> std::io::Result<()> {
    to.write_all(&(row.len() as u64).to_le_bytes())?;
    to.write_all(&weight.to_le_bytes())?;
    to.write_all(row)
}

fn get(from: &mut impl Read) -> std::io::Result<Option<(Box<[u8]>, i64)>> {
    let mut head = [0; 16];
    match from.read(&mut head)? {
        0 => return Ok(None),
        n => from.read_exact(head.get_mut(n..).unwrap_or_default())?,
    }
    let (length, weight) = head.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let mut row = vec![0; usize::try_from(number(length)).unwrap_or_default()].into_boxed_slice();
    from.read_exact(&mut row)?;
    Ok(Some((row, number(weight) as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;

    fn batch(of: std::ops::Range<i64>) -> RecordBatch {
        let text: StringArray = of.clone().map(|i| Some(format!("row {i}, which is not short"))).collect();
        RecordBatch::try_from_iter([
            ("k", Arc::new(of.collect::<Int64Array>()) as ArrayRef),
            ("t", Arc::new(text) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn rows_beyond_memory_are_compared_all_the_same() {
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1 << 20));
        let env = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
        // 200,000 rows of about 120 bytes, in another order on the other side; two differ.
        let mut diff = BoundedDiff::new(batch(0..1).schema(), env).unwrap();
        let mut most = 0;
        for i in 0..200 {
            diff.add(&batch(i * 1000..(i + 1) * 1000), 1).unwrap();
            most = most.max(pool.reserved());
        }
        for i in (0..200).rev() {
            let (from, to) = (i * 1000 + i64::from(i == 0), (i + 1) * 1000 + i64::from(i == 199));
            diff.add(&batch(from..to), -1).unwrap();
            most = most.max(pool.reserved());
        }
        assert!(!diff.parts.is_empty(), "nothing was spilled");
        let found = diff.finish().unwrap();
        assert_eq!((found.only_plus, found.only_minus), (1, 1));
        let mut shown: Vec<_> = found.examples.iter().map(|(b, w)| (b.column(0).clone(), *w)).collect();
        shown.sort_by_key(|(_, w)| *w);
        assert_eq!(shown[0].0.as_ref(), &Int64Array::from(vec![200_000]) as &dyn datafusion::arrow::array::Array);
        assert_eq!(shown[1].0.as_ref(), &Int64Array::from(vec![0]) as &dyn datafusion::arrow::array::Array);
        assert!(most <= 1 << 20, "{most}");
        assert_eq!(pool.reserved(), 0);
    }
}
