//! Who works on a project: a lock on a file beside the catalog.
//!
//! Invariants
//! * A lease only saves work. Two holders would commit nothing twice: the catalog's compare-and-set decides.
//! * The system frees the lock when the holder ends, however it ends.
//!
//! Not here: catalogs that are not files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::lake::Lake;

/// The right to work on a project, until dropped.
#[derive(Debug)]
pub struct Lease {
    // Held for its lock.
    _file: File,
    path: PathBuf,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseHeld {
    /// Another process works on the project.
    #[error("another process{} works on this project: it holds \"{}\"", .holder.as_ref().map(|h| format!(" ({h})")).unwrap_or_default(), .path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: Option<String>,
    },
    /// The lock file cannot be used.
    #[error("lock file \"{}\": {source}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl LeaseHeld {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            LeaseHeld::Held { .. } => "L0141",
            LeaseHeld::Io { .. } => "L0142",
        }
    }

    /// Whether trying again later can help.
    pub fn retryable(&self) -> bool {
        matches!(self, LeaseHeld::Held { .. })
    }
}

impl Lease {
    /// Takes the lease of a project, or says who holds it.
    ///
    /// # Errors
    /// `Held` when somebody else has it.
    pub fn acquire(lake: &Lake, project_key: &str) -> Result<Lease, LeaseHeld> {
        let path = lock_path(lake, project_key);
        let failed = |source| LeaseHeld::Io { path: path.clone(), source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // Shown to people who ask who holds it. Nothing depends on it.
                let text = format!("process {}", std::process::id());
                let noted = file
                    .set_len(0)
                    .and_then(|()| file.seek(SeekFrom::Start(0)))
                    .and_then(|_| file.write_all(text.as_bytes()));
                noted.map_err(failed)?;
                Ok(Lease { _file: file, path })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.take(200).read_to_string(&mut holder);
                let holder = (read.is_ok() && !holder.is_empty()).then_some(holder);
                Err(LeaseHeld::Held { path, holder })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The lock file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// One lock file a project: letters and digits of the key for people, all of it as a hash.
fn lock_path(lake: &Lake, project_key: &str) -> PathBuf {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in project_key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let plain: String = project_key.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    lake.catalog_file().with_file_name(format!("ingot-{plain}-{hash:016x}.lock"))
}
