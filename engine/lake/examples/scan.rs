//! What planning and scanning cost, for `bench/run.sh scan`. Prints one figure a line: its name and its numbers.
//!
//!   scan tpch  FOLDER DATA QUERIES [--runs N]       each query over Iceberg, and over the same files listed by hand
//!   scan point FOLDER [--files N] [--partitions N] [--runs N]
//!   scan count FOLDER [--files N] [--runs N]
//!
//! DATA holds `TABLE.parquet` files, QUERIES `*.sql` files over these tables. Runs of the two alternate, and their rows are
//! compared. The tables of `point` and `count` are of many small files, hard links of a few that are written.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat};
use ingot_lake::{
    Commit, DataFile, Lake, LakeConfig, LakeTableProvider, NewTable, Rebase, S3Config, ScanLog, ScanOptions, Table,
    Writer, live_files,
};
use ingot_model::{Column, Definition, PartitionBy, TableName, Transform, property};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files a commit: its manifest has as many entries.
const FILES_A_COMMIT: usize = 500;
const ROWS_A_FILE: i64 = 20;

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, otherwise: usize| -> Outcome<usize> {
        match words.iter().position(|word| word == name) {
            Some(at) => Ok(words.get(at + 1).ok_or("a number is missing")?.parse()?),
            None => Ok(otherwise),
        }
    };
    let path = |at: usize| words.get(at).map(PathBuf::from).ok_or("a folder is missing: see the top of the file");
    let runs = number("--runs", 5)?.max(1);
    let folder = path(1)?;
    fs::create_dir_all(&folder)?;
    match words.first().map(String::as_str) {
        Some("tpch") => tpch(&folder, &path(2)?, &path(3)?, runs).await,
        Some("point") => point(&folder, number("--files", 10_000)?, number("--partitions", 1_000)?, runs).await,
        Some("count") => count(&folder, number("--files", 50_000)?, runs).await,
        _ => Err("tpch, point or count: see the top of the file".into()),
    }
}

async fn open(folder: &Path) -> Outcome<Lake> {
    let warehouse = format!("file://{}", fs::canonicalize(folder)?.display());
    let config = LakeConfig { catalog_name: "ingot".into(), catalog_uri: None, warehouse, s3: S3Config::default() };
    Ok(Lake::open(config).await?)
}

async fn create(lake: &Lake, name: &str, columns: &[(&str, DataType)], by: &[&str]) -> Outcome<Table> {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: true,
        comment: None,
    };
    let by = by.iter().map(|of| PartitionBy { column: (*of).to_owned(), transform: Transform::Identity });
    let definition =
        Definition { columns: columns.iter().map(column).collect(), partition: by.collect(), ..Definition::default() };
    Ok(lake.create_table(NewTable { name: TableName::new("bench", name), definition, first_summary: None }).await?)
}

async fn append(table: &Table, add: Vec<DataFile>) -> Outcome<Table> {
    let summary = [(property::ENGINE_NAME.to_owned(), property::ENGINE.to_owned())].into_iter().collect();
    let commit = Commit { add, commit_id: uuid::Uuid::now_v7(), summary, ..Commit::default() };
    Ok(table.lake().commit(table, commit, &|_| Rebase::Retry).await?)
}

async fn provider(table: &Table, log: Option<ScanLog>) -> Outcome<Arc<LakeTableProvider>> {
    Ok(Arc::new(LakeTableProvider::try_new(table, ScanOptions { log, ..ScanOptions::default() }).await?))
}

/// Bytes of this process in memory.
fn resident() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

fn print(name: &str, values: &[f64]) {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
    println!("{name}\t{}", values.join("\t"));
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

// ---- many small files

/// A file with rows of a day, in some of many of its name.
async fn written(table: &Table, day: i32) -> Outcome<DataFile> {
    let count = ROWS_A_FILE;
    let ids = Int64Array::from_iter_values((0..count).map(|n| i64::from(day) * count + n));
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("day", Arc::new(Date32Array::from_iter_values((0..count).map(|_| day))) as ArrayRef, true),
        ("id", Arc::new(ids), true),
        ("name", Arc::new(StringArray::from_iter_values((0..count).map(|n| format!("name {n}")))), true),
    ])?;
    let mut writer = Writer::new(table, None)?;
    writer.write(&rows).await?;
    writer.close().await?.pop().ok_or_else(|| "no file was written".into())
}

/// The same file under another name.
fn linked(of: &DataFile) -> Outcome<DataFile> {
    let (folder, _) = of.file_path().rsplit_once('/').ok_or("a file without a folder")?;
    let path = format!("{folder}/{}.parquet", uuid::Uuid::now_v7());
    let local = |path: &str| path.trim_start_matches("file://").to_owned();
    fs::hard_link(local(of.file_path()), local(&path))?;
    Ok(DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_format(DataFileFormat::Parquet)
        .file_path(path)
        .partition(of.partition().clone())
        .partition_spec_id(0)
        .record_count(of.record_count())
        .file_size_in_bytes(of.file_size_in_bytes())
        .column_sizes(of.column_sizes().clone())
        .value_counts(of.value_counts().clone())
        .null_value_counts(of.null_value_counts().clone())
        .nan_value_counts(of.nan_value_counts().clone())
        .lower_bounds(of.lower_bounds().clone())
        .upper_bounds(of.upper_bounds().clone())
        .build()?)
}

async fn many_files(folder: &Path, by: &[&str], files: usize, days: usize) -> Outcome<TableName> {
    let lake = open(folder).await?;
    let columns = [("day", DataType::Date32), ("id", DataType::Int64), ("name", DataType::Utf8)];
    let mut table = create(&lake, "many", &columns, by).await?;
    let (mut add, each) = (Vec::new(), files.div_ceil(days));
    for day in 0..days {
        let first = written(&table, i32::try_from(day)?).await?;
        for _ in 1..each {
            add.push(linked(&first)?);
        }
        add.push(first);
        while add.len() >= FILES_A_COMMIT || day + 1 == days && !add.is_empty() {
            table = append(&table, add.drain(..add.len().min(FILES_A_COMMIT)).collect()).await?;
        }
    }
    Ok(table.name().clone())
}

/// Loads the table and plans a statement over it, as a query does.
async fn planned(lake: &Lake, name: &TableName, sql: &str, log: Option<ScanLog>) -> Outcome<f64> {
    let began = Instant::now();
    let table = lake.load_table(name).await?.ok_or("the table is gone")?;
    let context = SessionContext::new();
    context.register_table("t", provider(&table, log).await?)?;
    context.sql(sql).await?.create_physical_plan().await?;
    Ok(ms(began))
}

async fn rows(lake: &Lake, name: &TableName, sql: &str) -> Outcome<(f64, String)> {
    let began = Instant::now();
    let table = lake.load_table(name).await?.ok_or("the table is gone")?;
    let context = SessionContext::new();
    context.register_table("t", provider(&table, None).await?)?;
    let batches = context.sql(sql).await?.collect().await?;
    Ok((ms(began), pretty_format_batches(&batches)?.to_string()))
}

async fn point(folder: &Path, files: usize, partitions: usize, runs: usize) -> Outcome<()> {
    let partitions = partitions.clamp(1, files);
    let name = many_files(folder, &["day"], files, partitions).await?;
    let lake = open(folder).await?;
    let day = i32::try_from(partitions / 2)?;
    let id = i64::from(day) * ROWS_A_FILE + 7;
    let sql = format!("SELECT name FROM t WHERE day = arrow_cast({day}, 'Date32') AND id = {id}");
    let log = ScanLog::default();
    print("plan cold, ms", &[planned(&lake, &name, &sql, Some(Arc::clone(&log))).await?]);
    let opened = log.lock().map(|log| log.len()).unwrap_or_default();
    print("files left", &[opened as f64]);
    let matching = lake.cached_bytes();
    let mut warm = Vec::new();
    for _ in 0..runs {
        warm.push(planned(&lake, &name, &sql, None).await?);
    }
    print("plan warm, ms", &warm);
    let (_, text) = rows(&lake, &name, &sql).await?;
    let found = text.matches("name 7").count();
    if found != opened || opened != files.div_ceil(partitions) {
        return Err(format!("{found} rows in {opened} files, and there are {}", files.div_ceil(partitions)).into());
    }
    planned(&lake, &name, "SELECT name FROM t", None).await?;
    print("manifests kept, % of all", &[matching as f64 / lake.cached_bytes() as f64 * 100.0]);
    Ok(())
}

async fn count(folder: &Path, files: usize, runs: usize) -> Outcome<()> {
    let days = (files / FILES_A_COMMIT).max(1);
    let name = many_files(folder, &[], files, days).await?;
    let lake = open(folder).await?;
    // What a first statement of any kind sets up is not the count's.
    lake.load_table(&name).await?;
    SessionContext::new().sql("SELECT count(*) FROM (VALUES (1))").await?.collect().await?;
    let before = resident()?;
    let (mut warm, sql) = (Vec::new(), "SELECT count(*) AS n FROM t");
    for run in 0..=runs {
        let (wall, text) = rows(&lake, &name, sql).await?;
        let wanted = days as i64 * files.div_ceil(days) as i64 * ROWS_A_FILE;
        if !text.contains(&wanted.to_string()) {
            return Err(format!("{wanted} rows are wanted:\n{text}").into());
        }
        match run {
            0 => print("count cold, ms", &[wall]),
            _ => warm.push(wall),
        }
    }
    print("count warm, ms", &warm);
    print("memory more than before, MiB", &[resident()?.saturating_sub(before) as f64 / 1048576.0]);
    // Through the files: what else a scan of all of them costs.
    let mut all = Vec::new();
    for _ in 0..runs {
        all.push(planned(&lake, &name, "SELECT id FROM t", None).await?);
    }
    print("plan of all files, ms", &all);
    print("kept, MiB", &[lake.cached_bytes() as f64 / 1048576.0]);
    Ok(())
}

// ---- TPC-H

const TABLES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// Writes the tables into a lake, and gives each with the data files it has.
async fn loaded(lake: &Lake, data: &Path) -> Outcome<Vec<Table>> {
    let mut tables = Vec::new();
    for name in TABLES {
        let context = SessionContext::new();
        let from = data.join(format!("{name}.parquet"));
        let from = from.to_str().ok_or("a path that is no text")?;
        let frame = context.read_parquet(from, ParquetReadOptions::default()).await?;
        let stored = |of: &DataType| match of {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            of => of.clone(),
        };
        let fields = frame.schema().fields().clone();
        let columns: Vec<_> = fields.iter().map(|f| (f.name().as_str(), stored(f.data_type()))).collect();
        let table = create(lake, name, &columns, &[]).await?;
        let mut writer = Writer::new(&table, None)?;
        let mut batches = frame.execute_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            let columns = batch.columns().iter().zip(&columns).zip(fields.iter()).map(|((array, (_, of)), field)| {
                Ok::<_, arrow::error::ArrowError>((field.name(), arrow::compute::cast(array, of)?, true))
            });
            let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
            writer.write(&RecordBatch::try_from_iter_with_nullable(columns)?).await?;
        }
        tables.push(append(&table, writer.close().await?).await?);
    }
    Ok(tables)
}

async fn tpch(folder: &Path, data: &Path, queries: &Path, runs: usize) -> Outcome<()> {
    let lake = open(folder).await?;
    let tables = loaded(&lake, data).await?;
    let config = || SessionConfig::new().set_bool("datafusion.sql_parser.parse_float_as_decimal", true);
    let (ours, by_hand) = (SessionContext::new_with_config(config()), SessionContext::new_with_config(config()));
    for table in &tables {
        let name = table.name().name.as_str();
        ours.register_table(name, provider(table, None).await?)?;
        let files = live_files(table, table.head().ok_or("no snapshot")?).await?;
        let urls = files.iter().map(|file| ListingTableUrl::parse(&file.path)).collect::<Result<Vec<_>, _>>()?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let config =
            ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(table.schema());
        by_hand.register_table(name, Arc::new(ListingTable::try_new(config)?))?;
    }
    let mut names: Vec<PathBuf> = fs::read_dir(queries)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    names.retain(|path| path.extension().is_some_and(|of| of == "sql"));
    names.sort();
    for path in names {
        let sql = fs::read_to_string(&path)?;
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let (mut walls, mut texts) = ([Vec::new(), Vec::new()], [String::new(), String::new()]);
        // The first run of each warms up.
        for run in 0..=runs {
            for (at, context) in [(0, &ours), (1, &by_hand)] {
                let began = Instant::now();
                let batches = context.sql(&sql).await?.collect().await?;
                match run {
                    0 => texts[at] = pretty_format_batches(&batches)?.to_string(),
                    _ => walls[at].push(ms(began)),
                }
            }
        }
        if texts[0] != texts[1] {
            return Err(format!("{name}: other rows\n{}\n{}", texts[0], texts[1]).into());
        }
        print(&format!("{name} iceberg"), &walls[0]);
        print(&format!("{name} by hand"), &walls[1]);
    }
    Ok(())
}
