//! File system calls off the async threads.

use std::path::Path;

use crate::error::{LakeError, Result};

/// Runs file system calls off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| LakeError::io(path, e)),
        Err(error) => Err(LakeError::io(path, std::io::Error::other(error))),
    }
}
