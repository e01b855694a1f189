//! The object store with the time and the outcome of its requests noted.
//!
//! Invariants
//! * Every request goes through unchanged.
//! * Reading ends here when the answer begins: what its body takes is its reader's time.
//!
//! Not here: writing, which is noted where a file is finished (`upload`), whatever it took in requests.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, ready};
use ingot_telemetry::{FAILED, OK, metrics, outcome};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A store whose requests are noted.
#[derive(Debug)]
pub(super) struct Measured<S>(pub S);

/// A request with its time and outcome noted.
pub(super) async fn noted<T, E>(operation: &str, request: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let began = Instant::now();
    let answer = request.await;
    metrics().store_duration.observe([operation, outcome(&answer)], began.elapsed());
    answer
}

impl<S: fmt::Display> fmt::Display for Measured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Measured<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "read" };
        noted(operation, self.0.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        noted("read", self.0.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let mut began = Instant::now();
        let deleted = self.0.delete_stream(locations);
        let note = move |deleted: &Result<Path>| {
            metrics().store_duration.observe(["delete", outcome(deleted)], began.elapsed());
            began = Instant::now();
        };
        deleted.inspect(note).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::of(self.0.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::of(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        noted("list", self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        noted("copy", self.0.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        noted("rename", self.0.rename_opts(from, to, options)).await
    }
}

/// A listing, noted once: at its end or at its first error.
struct Listing {
    entries: BoxStream<'static, Result<ObjectMeta>>,
    began: Option<Instant>,
}

impl Listing {
    fn of(entries: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        Self { entries, began: Some(Instant::now()) }.boxed()
    }
}

impl Stream for Listing {
    type Item = Result<ObjectMeta>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entry = ready!(self.entries.as_mut().poll_next(cx));
        let outcome = match &entry {
            Some(Ok(_)) => return Poll::Ready(entry),
            Some(Err(_)) => FAILED,
            None => OK,
        };
        if let Some(began) = self.began.take() {
            metrics().store_duration.observe(["list", outcome], began.elapsed());
        }
        Poll::Ready(entry)
    }
}
