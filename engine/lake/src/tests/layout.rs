//! How many files rows become, and what table properties make of them.

use std::collections::{BTreeMap, HashMap};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use ingot_model::{PartitionBy, SortBy, Transform};
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;

fn bucketed(buckets: u32) -> Definition {
    Definition {
        partition: vec![PartitionBy { column: "id".into(), transform: Transform::Bucket(buckets) }],
        ..plain()
    }
}

/// Rows of every file, by its partition.
async fn by_partition(table: &Table, files: Vec<DataFile>) -> HashMap<String, Vec<Vec<i64>>> {
    let table = table.lake().commit(table, appending(files), &retry).await.unwrap();
    let mut found: HashMap<String, Vec<Vec<i64>>> = HashMap::new();
    for entry in entries(&table).await {
        let mut ids = Vec::new();
        for batch in read(entry.file_path()) {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
        assert_eq!(ids.len() as u64, entry.data_file().record_count());
        found.entry(format!("{:?}", entry.data_file().partition())).or_default().push(ids);
    }
    found
}

/// Small batches over many partitions: one file each, also when the rows do not fit in memory.
#[tokio::test]
async fn a_partition_takes_one_file_of_a_batch() {
    let (_folder, lake) = lake().await;
    for (name, sort) in
        [("plain", vec![]), ("sorted", vec![SortBy { column: "id".into(), descending: true, nulls_first: false }])]
    {
        let table = create(&lake, name, Definition { sort, ..bucketed(300) }).await;
        let mut writer = Writer::new(&table, None).unwrap();
        let mut buffered = 0;
        for begin in (0..100_000).step_by(1_000) {
            writer.write(&rows(&(begin..begin + 1_000).collect::<Vec<i64>>())).await.unwrap();
            buffered = buffered.max(writer.bytes_buffered());
        }
        // The bound of tests is 1 MiB, and what waits to be split.
        assert!(buffered < 8 << 20, "{buffered}");
        let files = writer.close().await.unwrap();
        assert_eq!(files.len(), 300, "{name}");
        let found = by_partition(&table, files).await;
        assert_eq!(found.len(), 300);
        let mut all: Vec<i64> = found.values().flatten().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..100_000).collect::<Vec<i64>>());
        let ordered = |ids: &Vec<i64>| match name {
            "sorted" => ids.is_sorted_by(|a, b| a > b),
            _ => ids.is_sorted(),
        };
        assert!(found.values().flatten().all(ordered), "{name}: rows keep their order, or have the declared one");
    }
}

fn footer(file: &DataFile) -> ParquetMetaData {
    let opened = std::fs::File::open(file.file_path().strip_prefix("file://").unwrap()).unwrap();
    ParquetMetaDataReader::new().parse_and_finish(&opened).unwrap()
}

async fn written(lake: &Lake, name: &str, properties: &[(&str, &str)]) -> Vec<DataFile> {
    let properties: BTreeMap<String, String> =
        properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let table = create(lake, name, Definition { properties, ..plain() }).await;
    let mut writer = Writer::new(&table, None).unwrap();
    for begin in (0..40_000).step_by(10_000) {
        writer.write(&rows(&(begin..begin + 10_000).collect::<Vec<i64>>())).await.unwrap();
    }
    writer.close().await.unwrap()
}

#[tokio::test]
async fn properties_of_files_are_honoured() {
    let (_folder, lake) = lake().await;
    let codec = |files: &[DataFile]| footer(&files[0]).row_group(0).column(0).compression();
    let bytes = |files: &[DataFile]| files.iter().map(DataFile::file_size_in_bytes).sum::<u64>();
    let default = written(&lake, "a", &[]).await;
    assert_eq!(default.len(), 1);
    assert!(matches!(codec(&default), Compression::ZSTD(_)));
    assert_eq!(written(&lake, "b", &[("write.target-file-size-bytes", "65536")]).await.len(), 4);
    let plain = written(&lake, "c", &[("write.parquet.compression-codec", "uncompressed")]).await;
    assert_eq!(codec(&plain), Compression::UNCOMPRESSED);
    assert_eq!(
        codec(&written(&lake, "d", &[("write.parquet.compression-codec", "snappy")]).await),
        Compression::SNAPPY
    );
    let hard = written(&lake, "e", &[("write.parquet.compression-level", "19")]).await;
    assert!(bytes(&hard) < bytes(&default) && bytes(&default) < bytes(&plain));
    let groups = written(&lake, "f", &[("write.parquet.row-group-size-bytes", "65536")]).await;
    assert!(footer(&groups[0]).num_row_groups() > 2);
    // Another engine's value that is not known here is passed over.
    assert!(matches!(
        codec(&written(&lake, "g", &[("write.parquet.compression-codec", "lzo")]).await),
        Compression::ZSTD(_)
    ));
}

fn metadata_files(table: &Table) -> usize {
    let folder = format!("{}/metadata", table.metadata().location().strip_prefix("file://").unwrap());
    let entries = std::fs::read_dir(folder).unwrap();
    entries.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".metadata.json")).count()
}

#[tokio::test]
async fn old_metadata_goes_as_the_properties_say() {
    let (_folder, lake) = lake().await;
    let of = |keep: &str, delete: &str| Definition {
        properties: BTreeMap::from([
            ("write.metadata.previous-versions-max".to_owned(), keep.to_owned()),
            ("write.metadata.delete-after-commit.enabled".to_owned(), delete.to_owned()),
        ]),
        ..plain()
    };
    for (name, delete, left) in [("goes", "true", 3), ("stays", "false", 7)] {
        let mut table = create(&lake, name, of("2", delete)).await;
        for id in 0..6 {
            table = append(&table, &[id]).await;
        }
        assert_eq!(table.metadata().metadata_log().len(), 2);
        assert_eq!(metadata_files(&table), left, "{name}");
    }
}
