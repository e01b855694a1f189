//! Files that are given up on their way.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use bytes::Bytes;
use ingot_model::{PartitionBy, SortBy, Transform};

use super::*;

/// Files below a folder, those that have another name yet first.
fn below(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => below(&entry, found),
            false => found.push(entry.display().to_string()),
        }
    }
}

/// A full disk takes some of the files that are written at a time: the others go, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_keeps_no_file_of_a_writer() {
    let (folder, lake) = lake().await;
    for (name, sort) in
        [("plain", vec![]), ("sorted", vec![SortBy { column: "id".into(), descending: false, nulls_first: false }])]
    {
        let partition = vec![PartitionBy { column: "id".into(), transform: Transform::Bucket(20) }];
        let table = create(&lake, name, Definition { partition, sort, ..plain() }).await;
        for left in 0..20 {
            let mut writer = Writer::new(&table, None).unwrap();
            writer.write(&rows(&(0..500).collect::<Vec<i64>>())).await.unwrap();
            lake.0.store.creates_left.store(left, Ordering::SeqCst);
            let error = writer.close().await.unwrap_err();
            assert_eq!(error.code(), "L0104", "{error}");
            lake.0.store.creates_left.store(usize::MAX, Ordering::SeqCst);
            let mut found = Vec::new();
            below(&folder.path().join("s").join(name).join("data"), &mut found);
            assert!(found.is_empty(), "{name}, room for {left} files: {found:?}");
        }
        let mut writer = Writer::new(&table, None).unwrap();
        writer.write(&rows(&(0..500).collect::<Vec<i64>>())).await.unwrap();
        assert_eq!(writer.close().await.unwrap().len(), 20);
    }
}

/// Whoever stops waiting, whichever step the file is at, leaves the whole file or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_waits_for_leaves_no_part() {
    let (folder, lake) = lake().await;
    let mut ends = [0, 0];
    for steps in 0..12 {
        for pause in 0..4 {
            let location = format!("file://{}/d/{steps}-{pause}", folder.path().display());
            let lake = lake.clone();
            let (dropped, gone) = tokio::sync::oneshot::channel();
            // On a thread of its own: the steps are counted by hand.
            std::thread::spawn({
                let runtime = tokio::runtime::Handle::current();
                move || {
                    let _entered = runtime.enter();
                    let upload = async {
                        let mut upload = lake.0.store.create(&location).await?;
                        upload.write(Bytes::from(vec![7; 3 << 20])).await?;
                        upload.close().await
                    };
                    let mut upload = pin!(upload);
                    let mut context = Context::from_waker(Waker::noop());
                    let mut done = false;
                    for _ in 0..steps {
                        done = done || upload.as_mut().poll(&mut context).is_ready();
                        std::thread::sleep(std::time::Duration::from_millis(pause));
                    }
                    let _ = dropped.send(done);
                }
            });
            ends[usize::from(gone.await.unwrap())] += 1;
        }
    }
    assert!(ends.iter().all(|n| *n > 0), "{ends:?}");
    let whole =
        |path: &String| std::fs::metadata(path).is_ok_and(|meta| meta.len() == 3 << 20) && !path.ends_with(".tmp");
    let mut found = Vec::new();
    for _ in 0..200 {
        found.clear();
        below(&folder.path().join("d"), &mut found);
        if found.iter().all(whole) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(found.iter().all(whole), "{found:?}");
    assert!(found.len() >= ends[1], "{found:?}");
}
