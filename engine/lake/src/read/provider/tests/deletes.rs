//! Deletes of every kind against a plain model, and the change between any two snapshots.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Float32Array, Float64Array, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{Field, Schema};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, ManifestListWriter, ManifestWriterBuilder, Snapshot,
    Struct,
};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;

use super::*;
use crate::deletes::file::{DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID};
use crate::read::changelog::{changelog, live_files};
use crate::read::rewrites::change_between;
use crate::{Compaction, Small};

/// A Parquet file of another writer, its fields with these ids, and what a manifest says of it.
pub(super) fn parquet_file(table: &Table, ids: &[i32], rows: &RecordBatch) -> (String, DataFileBuilder) {
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(ids).map(|(field, id)| {
        let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
        field.as_ref().clone().with_metadata(field.metadata().clone().into_iter().chain([id]).collect())
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatch::try_new(Arc::clone(&schema), rows.columns().to_vec()).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(40))
        .set_data_page_row_count_limit(8)
        .set_write_batch_size(8)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let path = format!("{}/data/{}.parquet", table.metadata().location(), Uuid::new_v4());
    put(&path, &bytes);
    let mut file = DataFileBuilder::default();
    file.file_path(path.clone())
        .file_format(DataFileFormat::Parquet)
        .record_count(rows.num_rows() as u64)
        .file_size_in_bytes(bytes.len() as u64)
        .partition(Struct::empty())
        .partition_spec_id(0);
    (path, file)
}

fn put(path: &str, bytes: &[u8]) {
    let path = std::path::Path::new(path.strip_prefix("file://").unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn data_file(table: &Table, rows: &RecordBatch) -> DataFile {
    let ids: Vec<i32> = table.fields().as_struct().fields().iter().map(|f| f.id).collect();
    parquet_file(table, &ids, rows).1.content(DataContentType::Data).build().unwrap()
}

fn position_deletes(table: &Table, rows: &[(&str, u64)]) -> DataFile {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let positions: Int64Array = rows.iter().map(|(_, at)| Some(at.cast_signed())).collect();
    let rows = batch(vec![
        ("file_path", Arc::new(StringArray::from_iter_values(rows.iter().map(|(path, _)| *path))) as ArrayRef),
        ("pos", Arc::new(positions)),
    ]);
    let (_, mut file) = parquet_file(table, &[DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID], &rows);
    file.content(DataContentType::PositionDeletes).build().unwrap()
}

fn equality_deletes(table: &Table, ids: &[i32], rows: &RecordBatch) -> DataFile {
    let all: Vec<i32> = table.fields().as_struct().fields().iter().map(|f| f.id).collect();
    let (_, mut file) = parquet_file(table, if ids.is_empty() { &all } else { ids }, rows);
    file.content(DataContentType::EqualityDeletes).equality_ids(Some(ids.to_vec())).build().unwrap()
}

fn vector(table: &Table, of: &str, positions: &RoaringTreemap) -> DataFile {
    let mut checked = vec![0xd1, 0xd3, 0x39, 0x64];
    positions.serialize_into(&mut checked).unwrap();
    let mut bytes = b"PFA1".to_vec();
    bytes.extend(u32::try_from(checked.len()).unwrap().to_be_bytes());
    bytes.extend(&checked);
    bytes.extend(crc32fast::hash(&checked).to_be_bytes());
    let length = bytes.len() - 4;
    bytes.extend(b"a footer");
    let path = format!("{}/data/{}.puffin", table.metadata().location(), Uuid::new_v4());
    put(&path, &bytes);
    DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(path)
        .file_format(DataFileFormat::Puffin)
        .record_count(positions.len())
        .file_size_in_bytes(bytes.len() as u64)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .referenced_data_file(Some(of.to_owned()))
        .content_offset(Some(4))
        .content_size_in_bytes(Some(i64::try_from(length).unwrap()))
        .build()
        .unwrap()
}

/// Commits delete files; `gone` are locations of delete files that leave.
async fn delete(table: &Table, files: Vec<DataFile>, gone: &[String]) -> Table {
    let (lake, metadata) = (table.lake(), table.metadata());
    let id = Uuid::new_v4().as_u64_pair().0.cast_signed() & i64::MAX;
    let head = metadata.current_snapshot().unwrap();
    let mut listed = lake.0.manifests.list(metadata, head).await.unwrap();
    let at = |name: &str| format!("{}/metadata/{name}-{}.avro", metadata.location(), Uuid::new_v4());
    let open = || {
        let output = lake.file_io().new_output(at("deletes")).unwrap();
        let spec = metadata.default_partition_spec().as_ref().clone();
        ManifestWriterBuilder::new(output, Some(id), metadata.current_schema().clone(), spec).build_v2_deletes()
    };
    if !gone.is_empty() {
        let mut kept = open();
        let mut some = false;
        for manifest in std::mem::take(&mut listed) {
            if manifest.content == iceberg::spec::ManifestContentType::Data {
                listed.push(manifest);
                continue;
            }
            for entry in lake.manifest(&manifest).await.unwrap().entries() {
                if !gone.contains(&entry.file_path().to_owned()) {
                    let number = entry.sequence_number().unwrap();
                    let file = entry.data_file().clone();
                    kept.add_existing_file(file, entry.snapshot_id().unwrap(), number, Some(number)).unwrap();
                    some = true;
                }
            }
        }
        if some {
            listed.push(kept.write_manifest_file().await.unwrap());
        }
    }
    if !files.is_empty() {
        let mut writer = open();
        for file in files {
            writer.add_file(file, -1).unwrap();
        }
        listed.push(writer.write_manifest_file().await.unwrap());
    }
    let (path, number) = (at("snap"), metadata.next_sequence_number());
    let output = lake.file_io().new_output(&path).unwrap().writer().await.unwrap();
    let mut list = ManifestListWriter::v2(output, id, Some(head.snapshot_id()), number);
    list.add_manifests(listed.into_iter()).unwrap();
    list.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(head.snapshot_id()))
        .with_sequence_number(number)
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis().max(metadata.last_updated_ms() + 1))
        .with_manifest_list(path)
        .with_schema_id(metadata.current_schema_id())
        .with_summary(iceberg::spec::Summary {
            operation: iceberg::spec::Operation::Delete,
            additional_properties: std::collections::HashMap::new(),
        })
        .build();
    let builder = metadata.as_ref().clone().into_builder(None);
    let built = builder.set_branch_snapshot(snapshot, "main").unwrap().build().unwrap();
    lake.0.catalog.commit(table.name(), &table.version(), &[], built.changes).await.unwrap();
    lake.load_table(table.name()).await.unwrap().unwrap()
}

async fn add(table: &Table, files: Vec<DataFile>) -> Table {
    commit(table, Commit { operation: Operation::Append, add: files, ..Commit::default() }).await
}

/// Small numbers that look random.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

type Row = (i64, Option<String>, Option<u64>);

/// A data file of the model: its rows, and for each whether it is gone.
struct Known {
    path: String,
    rows: Vec<(Row, bool)>,
    /// Position delete files that name it, until a vector takes them in.
    named: RoaringTreemap,
    vector: Option<String>,
}

fn columns(rows: &[Row]) -> RecordBatch {
    batch(vec![
        ("id", Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>()) as ArrayRef),
        ("k", Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>())),
        ("f", Arc::new(rows.iter().map(|r| r.2.map(f64::from_bits)).collect::<Float64Array>())),
    ])
}

fn text((id, k, f): &Row) -> String {
    let f = f.map(f64::from_bits).map_or(String::new(), |f| if f.is_nan() { "NaN".into() } else { format!("{f:?}") });
    format!("{id},{},{f}", k.as_deref().unwrap_or_default())
}

fn live(files: &[Known]) -> Vec<String> {
    let mut rows: Vec<String> =
        files.iter().flat_map(|f| &f.rows).filter(|(_, gone)| !gone).map(|(row, _)| text(row)).collect();
    rows.sort();
    rows
}

fn difference(a: &[String], b: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    a.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    b.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    counts.into_iter().flat_map(|(row, n)| std::iter::repeat_n(row.clone(), n.max(0) as usize)).collect()
}

/// The step of a history: what it does to the model and to the table.
async fn step(dice: &mut Dice, table: &Table, files: &mut Vec<Known>) -> Table {
    const FLOATS: [Option<f64>; 5] = [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(1.5)];
    let value =
        |dice: &mut Dice| -> Row {
            let f = FLOATS[dice.throw(5) as usize].map(f64::to_bits);
            // NaN has many faces.
            let f = f.map(|bits| {
                if f64::from_bits(bits).is_nan() { (bits ^ (dice.throw(2) << 63)) | dice.throw(9) } else { bits }
            });
            let k = (dice.throw(6) > 0).then(|| format!("k{}", dice.throw(12)));
            (dice.throw(400).cast_signed(), k, f)
        };
    let same = |a: Option<u64>, b: Option<u64>| match (a.map(f64::from_bits), b.map(f64::from_bits)) {
        (Some(x), Some(y)) if x.is_nan() && y.is_nan() => true,
        _ => a == b,
    };
    match if files.is_empty() { 0 } else { dice.throw(10) } {
        0..=2 => {
            let rows: Vec<Row> = (0..dice.throw(150) + 1).map(|_| value(dice)).collect();
            let file = data_file(table, &columns(&rows));
            let path = file.file_path().to_owned();
            let rows = rows.into_iter().map(|row| (row, false)).collect();
            files.push(Known { path, rows, named: RoaringTreemap::new(), vector: None });
            add(table, vec![file]).await
        }
        // Position deletes of several files at once, some beyond their ends.
        3 | 4 => {
            let mut named = Vec::new();
            for file in files.iter_mut().filter(|f| f.vector.is_none()) {
                for at in (0..160).filter(|_| dice.throw(12) == 0) {
                    named.push((file.path.clone(), at));
                    file.named.insert(at);
                    if let Some(row) = file.rows.get_mut(at as usize) {
                        row.1 = true;
                    }
                }
            }
            let named: Vec<(&str, u64)> = named.iter().map(|(path, at)| (path.as_str(), *at)).collect();
            delete(table, vec![position_deletes(table, &named)], &[]).await
        }
        // A vector, which takes in what was there.
        5 | 6 => {
            let at = dice.throw(files.len() as u64) as usize;
            let file = &mut files[at];
            for position in (0..160).filter(|_| dice.throw(5) == 0) {
                file.named.insert(position);
            }
            for at in &file.named {
                if let Some(row) = file.rows.get_mut(at as usize) {
                    row.1 = true;
                }
            }
            let new = vector(table, &file.path, &file.named);
            let old: Vec<String> = file.vector.replace(new.file_path().to_owned()).into_iter().collect();
            delete(table, vec![new], &old).await
        }
        // By one column.
        7 => {
            let keys: Vec<Row> = (0..=dice.throw(3)).map(|_| value(dice)).collect();
            for (row, gone) in files.iter_mut().flat_map(|f| &mut f.rows) {
                *gone |= keys.iter().any(|key| key.1 == row.1);
            }
            let keys = columns(&keys).project(&[1]).unwrap();
            delete(table, vec![equality_deletes(table, &[2], &keys)], &[]).await
        }
        // Our own, which take in what was there of one file alone.
        8 => {
            let mut gone = Vec::new();
            for of in live_files(table, table.head().unwrap()).await.unwrap() {
                let file = files.iter_mut().find(|file| file.path == of.path).unwrap();
                let chosen: Vec<usize> =
                    (0..file.rows.len()).filter(|at| !file.rows[*at].1 && dice.throw(8) == 0).collect();
                chosen.iter().for_each(|at| file.rows[*at].1 = true);
                file.named.extend(chosen.iter().map(|at| *at as u64));
                file.vector = file.vector.take().filter(|_| chosen.is_empty());
                gone.push((of, chosen.into_iter().map(|at| at as i64).collect::<Vec<i64>>()));
            }
            let deletes = crate::delete_rows(table, &SessionContext::new().runtime_env(), &gone).await.unwrap();
            assert_eq!(deletes.rows(), gone.iter().map(|(_, at)| at.len() as u64).sum::<u64>());
            commit(table, Commit { operation: Operation::Delete, deletes, ..Commit::default() }).await
        }
        // By two, in another order than the table's.
        _ => {
            let keys: Vec<Row> = (0..=dice.throw(9)).map(|_| value(dice)).collect();
            for (row, gone) in files.iter_mut().flat_map(|f| &mut f.rows) {
                *gone |= keys.iter().any(|key| key.1 == row.1 && same(key.2, row.2));
            }
            let keys = columns(&keys).project(&[2, 1]).unwrap();
            delete(table, vec![equality_deletes(table, &[3, 2], &keys)], &[]).await
        }
    }
}

/// Whatever was done, in whichever order: each snapshot has the model's rows, and each change is their difference.
#[tokio::test]
async fn histories_of_deletes_of_every_kind() {
    let kinds = [("id", DataType::Int64), ("k", DataType::Utf8), ("f", DataType::Float64)];
    let mut written_anew = 0;
    for seed in 1..=12 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let fixture = Fixture::new().await;
        let mut table = fixture.create(definition(&kinds)).await;
        let (mut files, mut past) = (Vec::new(), Vec::new());
        for _ in 0..14 {
            table = step(&mut dice, &table, &mut files).await;
            past.push((table.head().unwrap(), live(&files)));
        }
        for (snapshot, rows) in &past {
            let options = ScanOptions { snapshot: Some(*snapshot), ..ScanOptions::default() };
            let ours = context(&table, options.clone()).await;
            assert_eq!(&lines(&ours, "SELECT * FROM t").await, rows, "seed {seed}");
            assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, [rows.len().to_string()]);
            let small: Vec<_> =
                rows.iter().filter(|r| r.split(',').next().unwrap().parse::<i64>().unwrap() < 40).collect();
            let found = lines(&ours, "SELECT * FROM t WHERE id < 40").await;
            assert_eq!(found.iter().collect::<Vec<_>>(), small, "seed {seed}");
            assert_eq!(lines(&ours, "SELECT id FROM t LIMIT 7").await.len(), rows.len().min(7));
            let top = "SELECT id FROM t ORDER BY id DESC LIMIT 5";
            let mut ids: Vec<i64> = rows.iter().map(|r| r.split(',').next().unwrap().parse().unwrap()).collect();
            ids.sort_unstable_by(|a, b| b.cmp(a));
            let mut five: Vec<String> = ids.iter().take(5).map(i64::to_string).collect();
            five.sort();
            assert_eq!(lines(&ours, top).await, five);
            let placed = context(&table, ScanOptions { with_positions: true, ..options }).await;
            assert_eq!(&lines(&placed, "SELECT id, k, f FROM t").await, rows, "seed {seed}");
        }
        let mut eager = SessionConfig::new().with_target_partitions(4).with_batch_size(11);
        eager.options_mut().execution.parquet.pushdown_filters = true;
        eager.options_mut().optimizer.repartition_file_min_size = 1;
        let ours = configured(&table, ScanOptions::default(), eager).await;
        let wanted =
            lines(&context(&table, ScanOptions::default()).await, "SELECT * FROM t WHERE k = 'k3' OR id > 300").await;
        assert_eq!(lines(&ours, "SELECT * FROM t WHERE k = 'k3' OR id > 300").await, wanted, "seed {seed}");
        assert_eq!(lines(&ours, "SELECT * FROM t").await, past.last().unwrap().1, "seed {seed}");
        for _ in 0..20 {
            let (from, before) = &past[dice.throw(past.len() as u64) as usize];
            let (to, after) = &past[dice.throw(past.len() as u64) as usize];
            let change = changelog(&table, Some(*from), *to).await.unwrap();
            let mut rows = Vec::new();
            for files in [change.added, change.removed] {
                let options = ScanOptions { files: Some(files), ..ScanOptions::default() };
                rows.push(lines(&context(&table, options).await, "SELECT * FROM t").await);
            }
            let (plus, minus) = (&rows[0], &rows[1]);
            assert_eq!(difference(plus, minus), difference(after, before), "seed {seed}: {from} to {to}");
            assert_eq!(difference(minus, plus), difference(before, after), "seed {seed}: {from} to {to}");
        }
        // Written anew without what was deleted: the same rows, and the same change from everything before.
        let all = Compaction { small: Small::All, bytes_max: u64::MAX, file_bytes_max: None, below: None, among: None };
        let ours = context(&table, ScanOptions::default()).await;
        let Some(done) = table.lake().compact(&ours, &table, all).await.unwrap() else { continue };
        written_anew += 1;
        let after = &past.last().unwrap().1;
        let ours = context(&done.table, ScanOptions::default()).await;
        assert_eq!(&lines(&ours, "SELECT * FROM t").await, after, "seed {seed}");
        let head = done.table.head().unwrap();
        let live = live_files(&done.table, head).await.unwrap();
        assert!(live.iter().all(|file| file.deletes.is_empty()), "seed {seed}");
        for (from, before) in &past {
            let change = change_between(&done.table, Some(*from), head).await.unwrap();
            let mut rows = Vec::new();
            for files in [change.added, change.removed] {
                let options = ScanOptions { files: Some(files), ..ScanOptions::default() };
                rows.push(lines(&context(&done.table, options).await, "SELECT * FROM t").await);
            }
            assert_eq!(difference(&rows[0], &rows[1]), difference(after, before), "seed {seed}: {from} to the head");
            assert_eq!(difference(&rows[1], &rows[0]), difference(before, after), "seed {seed}: {from} to the head");
        }
    }
    assert!(written_anew >= 8, "{written_anew} of 12");
}

/// The files of a change hold the rows that deletes took, and no others.
#[tokio::test]
async fn a_change_of_deletes_reads_what_they_took() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let ids = |of: Range<i64>| batch(vec![("id", Arc::new(of.collect::<Int64Array>()) as ArrayRef)]);
    let files = [data_file(&table, &ids(0..100)), data_file(&table, &ids(100..200))];
    let path = files[0].file_path().to_owned();
    let one = add(&table, files.to_vec()).await;
    let two = delete(&one, vec![vector(&one, &path, &[3, 50].into_iter().collect())], &[]).await;
    let change = changelog(&two, one.head(), two.head().unwrap()).await.unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (0, 1));
    assert_eq!((change.removed[0].rows_read(), change.removed[0].record_count()), (2, 100));
    assert!(change.removed[0].bytes_read() * 40 < change.removed[0].data_file.file_size_in_bytes());
    let back = changelog(&two, two.head(), one.head().unwrap()).await.unwrap();
    assert_eq!((back.added.len(), back.removed.len()), (1, 0));
    let three = delete(&two, vec![equality_deletes(&two, &[1], &ids(150..152))], &[]).await;
    let change = changelog(&three, two.head(), three.head().unwrap()).await.unwrap();
    let options = ScanOptions { files: Some(change.removed), ..ScanOptions::default() };
    assert_eq!(lines(&context(&three, options).await, "SELECT * FROM t").await, ["150", "151"]);
    // A later row with the key of an old delete stays.
    let four = add(&three, vec![data_file(&three, &ids(150..151))]).await;
    assert_eq!(
        lines(&context(&four, ScanOptions::default()).await, "SELECT count(*) FROM t WHERE id = 150").await,
        ["1"]
    );
}

/// The same file under a later sequence number has the rows that older deletes took.
#[tokio::test]
async fn a_file_that_is_put_back_is_another_one_to_deletes() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let ids = |of: Range<i64>| batch(vec![("id", Arc::new(of.collect::<Int64Array>()) as ArrayRef)]);
    let (file, other) = (data_file(&table, &ids(0..4)), data_file(&table, &ids(10..12)));
    let one = add(&table, vec![file.clone(), other]).await;
    let two = delete(&one, vec![equality_deletes(&one, &[1], &ids(2..3))], &[]).await;
    let gone =
        Commit { operation: Operation::Overwrite, remove: vec![file.file_path().to_owned()], ..Commit::default() };
    let three = two.lake().commit(&two, gone, &|_| Rebase::Retry).await.unwrap();
    let four = add(&three, vec![file]).await;
    let all = context(&four, ScanOptions::default()).await;
    assert_eq!(lines(&all, "SELECT * FROM t").await, ["0", "1", "10", "11", "2", "3"]);
    let rows = async |from: &Table, to: &Table| {
        let change = changelog(&four, from.head(), to.head().unwrap()).await.unwrap();
        let mut found = Vec::new();
        for files in [change.added, change.removed] {
            let options = ScanOptions { files: Some(files), ..ScanOptions::default() };
            found.push(lines(&context(&four, options).await, "SELECT * FROM t").await);
        }
        (difference(&found[0], &found[1]), difference(&found[1], &found[0]))
    };
    let only = |id: &str| vec![id.to_owned()];
    assert_eq!(rows(&two, &four).await, (difference(&only("2"), &[]), difference(&[], &[])));
    assert_eq!(rows(&four, &two).await, (difference(&[], &[]), difference(&only("2"), &[])));
}

/// Row groups without a wanted row are left out beside deletes.
#[tokio::test]
async fn row_groups_are_pruned_beside_deletes() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let rows = batch(vec![("id", Arc::new((0..400).collect::<Int64Array>()) as ArrayRef)]);
    let file = data_file(&table, &rows);
    let path = file.file_path().to_owned();
    let table = add(&table, vec![file]).await;
    let table = delete(&table, vec![vector(&table, &path, &(0..=100).filter(|n| n % 2 == 0).collect())], &[]).await;
    let ours = context(&table, ScanOptions::default()).await;
    let sql = "SELECT * FROM t WHERE id BETWEEN 90 AND 95";
    assert_eq!(lines(&ours, sql).await, ["91", "93", "95"]);
    let (_, plan) = plan(&ours, sql).await;
    datafusion::physical_plan::collect(Arc::clone(&plan), ours.task_ctx()).await.unwrap();
    let text = datafusion::physical_plan::display::DisplayableExecutionPlan::with_metrics(plan.as_ref());
    let text = text.indent(true).to_string();
    assert!(text.contains("row_groups_pruned_statistics=10 total → 1 matched"), "{text}");
    assert!(text.contains("deletes=applied"), "{text}");
}

/// Keys of before a promotion, of a column that is gone, of one that the file lacks, and within a struct.
#[tokio::test]
async fn equality_deletes_find_columns_as_they_were() {
    let fixture = Fixture::new().await;
    let inner = vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)];
    let of = |columns: &[(&str, DataType)]| definition(columns);
    let nested = DataType::Struct(inner.clone().into());
    let first = of(&[("n", DataType::Int32), ("f", DataType::Float32), ("s", nested.clone())]);
    let table = fixture.create(first).await;
    let n = |values: Vec<Option<i32>>| Arc::new(Int32Array::from(values)) as ArrayRef;
    let f = Arc::new(Float32Array::from(vec![Some(0.1), Some(-0.0), None])) as ArrayRef;
    let a = n(vec![Some(7), None, Some(8)]);
    let b = Arc::new(StringArray::from(vec!["x", "y", "z"])) as ArrayRef;
    let s = StructArray::new(inner.clone().into(), vec![a, b], Some(vec![true, true, false].into()));
    let rows = batch(vec![("n", n(vec![Some(1), Some(2), None])), ("f", f), ("s", Arc::new(s))]);
    let table = append(&table, &[rows]).await;
    let ids: BTreeMap<String, i32> =
        table.fields().as_struct().fields().iter().map(|f| (f.name.clone(), f.id)).collect();
    let within = table.fields().field_by_name("s.a").unwrap().id;
    let narrow = equality_deletes(&table, &[ids["n"]], &batch(vec![("n", n(vec![Some(1)]))]));
    let float = batch(vec![("f", Arc::new(Float32Array::from(vec![0.0])) as ArrayRef)]);
    let float = equality_deletes(&table, &[ids["f"]], &float);
    // The file of keys holds the struct with one of its fields.
    let id = [(PARQUET_FIELD_ID_META_KEY.to_owned(), within.to_string())].into_iter().collect();
    let field = Field::new("a", DataType::Int32, true).with_metadata(id);
    let key = StructArray::new(vec![field].into(), vec![n(vec![Some(8), None])], None);
    let key = batch(vec![("s", Arc::new(key) as ArrayRef)]);
    let (_, mut key) = parquet_file(&table, &[ids["s"]], &key);
    let key = key.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![within])).build().unwrap();
    let head = async |table: &Table| lines(&context(table, ScanOptions::default()).await, "SELECT n FROM t").await;
    assert_eq!(head(&delete(&table, vec![float.clone()], &[]).await).await, ["", "1", "2"]);
    let table = table.lake().load_table(table.name()).await.unwrap().unwrap();
    let later = of(&[("n", DataType::Int64), ("extra", DataType::Utf8)]);
    let rows = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![1 << 40, 5])) as ArrayRef),
        ("extra", Arc::new(StringArray::from(vec![None, Some("e")]))),
    ]);
    let table = evolve(&table, later, &rows).await;
    assert_eq!(head(&table).await, ["", "1", "1099511627776", "2", "5"]);
    let by_n = delete(&table, vec![narrow], &[]).await;
    assert_eq!(head(&by_n).await, ["", "1099511627776", "2", "5"]);
    // NULL in a struct's field; a struct that is NULL is another value, and so it is in files without the struct.
    let by_struct = delete(&by_n, vec![key], &[]).await;
    assert_eq!(head(&by_struct).await, ["", "1099511627776", "5"]);
    let extra = table.fields().field_by_name("extra").unwrap().id;
    let missing = equality_deletes(
        &table,
        &[extra],
        &batch(vec![("extra", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef)]),
    );
    let by_missing = delete(&by_struct, vec![missing], &[]).await;
    assert_eq!(head(&by_missing).await, ["5"]);
}

/// What is wrong with a delete file is said with its name, and is no fault of the store.
#[tokio::test]
async fn delete_files_that_are_damaged_are_named() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let rows = batch(vec![("id", Arc::new((0..10).collect::<Int64Array>()) as ArrayRef)]);
    let file = data_file(&table, &rows);
    let path = file.file_path().to_owned();
    let table = add(&table, vec![file]).await;
    let right = vector(&table, &path, &[1, 2].into_iter().collect());
    let fails = async |file: DataFile| {
        let table =
            delete(&table.lake().load_table(table.name()).await.unwrap().unwrap(), vec![file.clone()], &[]).await;
        let error = match LakeTableProvider::try_new(&table, ScanOptions::default()).await {
            Ok(provider) => {
                let rows = SessionContext::new().read_table(Arc::new(provider)).unwrap().collect().await;
                let error = rows.unwrap_err();
                let found =
                    ingot_semantics::find::<LakeError>(&error).map(|e| (e.code(), e.retryable(), e.to_string()));
                found.unwrap_or_else(|| panic!("{error}"))
            }
            Err(error) => (error.code(), error.retryable(), error.to_string()),
        };
        delete(&table, vec![], &[file.file_path().to_owned()]).await;
        error
    };
    let mut count = DataFileBuilder::default();
    count
        .content(DataContentType::PositionDeletes)
        .file_format(DataFileFormat::Puffin)
        .file_path(right.file_path().to_owned())
        .file_size_in_bytes(right.file_size_in_bytes())
        .partition(Struct::empty())
        .partition_spec_id(0)
        .content_offset(right.content_offset())
        .content_size_in_bytes(right.content_size_in_bytes())
        .record_count(3);
    let unnamed = count.clone().build().unwrap();
    count.referenced_data_file(Some(path.clone()));
    let beyond = count.clone().content_size_in_bytes(Some(1 << 20)).build().unwrap();
    for (file, code, says) in [
        (count.build().unwrap(), "L0118", "manifest says 3"),
        (unnamed, "L0118", "lacks its data file"),
        (beyond, "L0118", "beyond the file's end"),
        (equality_deletes(&table, &[], &rows), "L0118", "names no columns"),
        (equality_deletes(&table, &[77], &rows), "L0118", "id 77"),
    ] {
        let name = file.file_path().to_owned();
        let (found, again, text) = fails(file).await;
        assert_eq!((found, again), (code, false), "{text}");
        assert!(text.contains(says), "{text}");
        assert!(text.contains(&name) || says == "id 77", "{text}");
    }
    let spoilt = vector(&table, &path, &[1, 2].into_iter().collect());
    let local = spoilt.file_path().strip_prefix("file://").unwrap();
    let mut bytes = std::fs::read(local).unwrap();
    bytes[20] ^= 1;
    std::fs::write(local, bytes).unwrap();
    let (code, _, text) = fails(spoilt.clone()).await;
    assert!(code == "L0118" && text.contains("checksum") && text.contains(spoilt.file_path()), "{text}");
    std::fs::write(local, [0; 20]).unwrap();
    let (code, _, text) = fails(spoilt.clone()).await;
    assert!(code == "L0118" && text.contains("20 bytes"), "{text}");
    let two =
        vec![vector(&table, &path, &[1].into_iter().collect()), vector(&table, &path, &[2].into_iter().collect())];
    let table = delete(&table.lake().load_table(table.name()).await.unwrap().unwrap(), two, &[]).await;
    let error = live_files(&table, table.head().unwrap()).await.unwrap_err();
    assert!(error.code() == "L0117" && error.to_string().contains("two deletion vectors"), "{error}");
}
