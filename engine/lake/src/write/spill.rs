//! Rows that wait for their file on local disk, because memory holds no more of them.
//!
//! Invariants
//! * The file has no name, so that it is deleted with the writer, however that ends.
//! * A block is read back as it was written.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use uuid::Uuid;

use crate::error::{LakeError, Result};

/// A place in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    offset: u64,
    bytes: usize,
}

/// A temporary file of blocks.
pub(super) struct Spill {
    file: Arc<File>,
    end: u64,
}

impl Spill {
    pub(super) async fn create() -> Result<Self> {
        let file = blocking(|| {
            let path = std::env::temp_dir().join(format!("ingot-rows-{}", Uuid::new_v4().simple()));
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        });
        Ok(Self { file: Arc::new(file.await?), end: 0 })
    }

    pub(super) async fn write(&mut self, rows: &RecordBatch) -> Result<Block> {
        let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
        writer.write(rows)?;
        let bytes = writer.into_inner()?;
        let block = Block { offset: self.end, bytes: bytes.len() };
        let file = Arc::clone(&self.file);
        blocking(move || file.write_all_at(&bytes, block.offset)).await?;
        self.end += block.bytes as u64;
        Ok(block)
    }

    pub(super) async fn read(&self, block: Block) -> Result<Vec<RecordBatch>> {
        let file = Arc::clone(&self.file);
        let bytes = blocking(move || {
            let mut bytes = vec![0; block.bytes];
            file.read_exact_at(&mut bytes, block.offset)?;
            Ok(bytes)
        });
        let reader = StreamReader::try_new(std::io::Cursor::new(bytes.await?), None)?;
        Ok(reader.collect::<Result<_, _>>()?)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).and_then(|done| done);
    done.map_err(|e| LakeError::io(std::env::temp_dir(), e))
}
