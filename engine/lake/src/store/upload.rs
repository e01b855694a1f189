//! A file on its way to the store.
//!
//! Invariants
//! * On local disk it has another name until it is complete and durable; if it is abandoned before, that name is
//!   removed.
//!
//! Not here: where files are and who may see them (`store`).

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ingot_telemetry::{FAILED, metrics};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::io::AsyncWriteExt;

use super::blocking::blocking;
use super::measured::noted;
use crate::error::{LakeError, Result};

/// Up to here a file goes to S3 in one request.
const SINGLE_PUT_BYTES_MAX: usize = 32 << 20;
/// The size of one part of a larger one.
const PART_BYTES: usize = 16 << 20;
/// How many parts of one file are under way at a time.
const PARTS_IN_FLIGHT_MAX: usize = 4;

/// A file under a temporary name, to which nothing refers. It is deleted if it is abandoned.
pub(super) struct Temporary {
    path: PathBuf,
    is_renamed: bool,
}

impl Temporary {
    /// Opened on the thread that makes the system call, so that the file is removed even if the caller no longer waits.
    pub(super) async fn open(path: &FsPath) -> Result<(std::fs::File, Temporary)> {
        let name = path.to_path_buf();
        blocking(path, move || {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&name)?;
            Ok((file, Temporary { path: name, is_renamed: false }))
        })
        .await
    }

    fn rename(mut self, target: &FsPath) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

pub(super) enum Target {
    Local { open: Option<(tokio::fs::File, Temporary)>, target: PathBuf },
    S3 { store: Arc<dyn ObjectStore>, path: Path, location: String, buffer: Vec<u8>, parts: Option<WriteMultipart> },
}

/// A file being written.
pub(crate) struct Upload(pub(super) Target);

impl Upload {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let began = Instant::now();
        let taken = self.take(bytes).await;
        if taken.is_err() {
            metrics().store_duration.observe(["write", FAILED], began.elapsed());
        }
        taken
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.0 {
            Target::Local { open, target } => match open {
                Some((file, _)) => file.write_all(&bytes).await.map_err(|e| LakeError::io(target, e)),
                None => Err(closed(target)),
            },
            Target::S3 { store, path, location, buffer, parts } => {
                let failed = |e| LakeError::store(location, e);
                if parts.is_none() {
                    buffer.extend_from_slice(&bytes);
                    if buffer.len() <= SINGLE_PUT_BYTES_MAX {
                        return Ok(());
                    }
                    let upload = store.put_multipart(path).await.map_err(failed)?;
                    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
                    writer.put(std::mem::take(buffer).into());
                    *parts = Some(writer);
                } else if let Some(writer) = parts {
                    writer.put(bytes);
                }
                match parts {
                    Some(writer) => writer.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await.map_err(failed),
                    None => Ok(()),
                }
            }
        }
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        self.finish().await
    }

    /// Bytes held until there are enough to send.
    pub(crate) fn buffered(&self) -> usize {
        match &self.0 {
            Target::Local { .. } => 0,
            Target::S3 { parts: Some(_), .. } => PART_BYTES * PARTS_IN_FLIGHT_MAX,
            Target::S3 { buffer, .. } => buffer.len(),
        }
    }

    pub(super) async fn finish(&mut self) -> Result<()> {
        noted("write", self.settle()).await
    }

    async fn settle(&mut self) -> Result<()> {
        match &mut self.0 {
            Target::Local { open, target } => {
                let Some((mut file, temporary)) = open.take() else {
                    return Err(closed(target));
                };
                file.flush().await.map_err(|e| LakeError::io(&*target, e))?;
                let (file, named) = (file.into_std().await, target.clone());
                blocking(target, move || {
                    file.sync_all()?;
                    temporary.rename(&named)?;
                    std::fs::File::open(named.parent().unwrap_or(FsPath::new("/")))?.sync_all()
                })
                .await
            }
            Target::S3 { store, path, location, buffer, parts } => match parts.take() {
                Some(writer) => {
                    writer.finish().await.map_err(|e| LakeError::store(location, e))?;
                    Ok(())
                }
                None => {
                    let bytes = Bytes::from(std::mem::take(buffer));
                    store.put(path, bytes.into()).await.map_err(|e| LakeError::store(location, e))?;
                    Ok(())
                }
            },
        }
    }
}

fn closed(path: &FsPath) -> LakeError {
    LakeError::io(path, std::io::Error::other("the file was closed already"))
}
