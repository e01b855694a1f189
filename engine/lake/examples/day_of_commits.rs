//! Commits to one table at full speed, as a streaming table makes them, with upkeep's clock scaled to match.
//!
//!   day_of_commits FOLDER [--commits N] [--partitions N] [--interval-ms N] [--age-s N] [--gzip]
//!
//! A day at the default interval is 207,360 commits. Each appends one file and moves the position of every partition.
//! Upkeep comes as often between commits as it would: small files are looked for every 12 commits (5 s at the interval), and
//! what is kept by age is kept by as many commits as come in that age, so that other work on the machine changes nothing:
//! what the readers saw is dated so many commits ago, and files wait for as long as an hour's commits took. At 100, 1,000, 10,000, 100,000 commits and at the end it prints CPU a commit over the commits just before,
//! upkeep's own beside it, what is stored, and the memory of the process. At the end it reads every row once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use ingot_lake::{
    Commit, Compaction, Lake, LakeConfig, LakeTableProvider, NewTable, Rebase, Retention, S3Config, ScanOptions, Small,
    Writer,
};
use ingot_model::{Column, Definition, FlowPositions, PartitionRange, Record, SourceIdentity, TableName};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Args {
    folder: PathBuf,
    commits: u64,
    partitions: i32,
    interval: Duration,
    age: Duration,
    gzip: bool,
}

fn every(small: Small) -> Compaction {
    Compaction { small, bytes_max: u64::MAX, file_bytes_max: None, below: None, among: None }
}

fn args() -> Outcome<Args> {
    let mut args = Args {
        folder: PathBuf::new(),
        commits: 207_360,
        partitions: 4,
        interval: Duration::from_millis(417),
        age: Duration::from_secs(120),
        gzip: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap_or_default().parse::<u64>();
        match word.as_str() {
            "--commits" => args.commits = number()?,
            "--partitions" => args.partitions = i32::try_from(number()?)?,
            "--interval-ms" => args.interval = Duration::from_millis(number()?),
            "--age-s" => args.age = Duration::from_secs(number()?),
            "--gzip" => args.gzip = true,
            folder => args.folder = folder.into(),
        }
    }
    Ok(args)
}

/// User and system time of this process.
fn cpu() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).unwrap_or(&"0").parse::<u64>();
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

fn memory_mib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<u64>()? / 1024)
}

/// Bytes and files of a folder.
fn stored(folder: &Path) -> Outcome<(u64, u64)> {
    let mut all = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let of = if entry.file_type()?.is_dir() { stored(&entry.path())? } else { (entry.metadata()?.len(), 1) };
        all = (all.0 + of.0, all.1 + of.1);
    }
    Ok(all)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let args = args()?;
    let lake = Lake::open(LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", args.folder.display()),
        s3: S3Config::default(),
    })
    .await?;
    let column = |name: &str| Column { name: name.into(), data_type: DataType::Int64, nullable: true, comment: None };
    let name = TableName::new("bronze", "events");
    let mut definition = Definition { columns: ["id", "a", "b", "c"].map(column).into(), ..Definition::default() };
    if args.gzip {
        definition.properties.insert("write.metadata.compression-codec".into(), "gzip".into());
    }
    let mut table = lake.create_table(NewTable { name: name.clone(), definition, first_summary: None }).await?;
    let keeps = usize::try_from(args.age.as_millis() / args.interval.as_millis())?;
    println!(
        "{} commits of {} partitions; {keeps} of them are the history that is kept",
        args.commits, args.partitions
    );
    let source = SourceIdentity { system: "a".repeat(22), name: "events".into(), incarnation: "b".repeat(22) };
    let metadata = args.folder.join("bronze/events/metadata");
    let session = SessionContext::new();
    lake.register(&session.runtime_env());
    let (mut began, mut before, mut counted) = (Instant::now(), cpu()?, 0u64);
    let (mut kept_up, mut most_files) = (Duration::ZERO, 0u64);
    let retention = Arc::new(Retention::new(Duration::ZERO, Duration::from_secs(86_400)));
    lake.retain(Arc::clone(&retention));
    let waits = usize::try_from(3_600_000 / args.interval.as_millis())?;
    let mut made = VecDeque::from([SystemTime::now()]);
    for n in 1..=args.commits {
        let at = i64::try_from(n)?;
        let numbers = || Arc::new(Int64Array::from_iter_values(at * 10..at * 10 + 10)) as ArrayRef;
        let batch = RecordBatch::try_from_iter(["id", "a", "b", "c"].map(|column| (column, numbers())))?;
        let mut writer = Writer::new(&table, None)?;
        writer.write(&batch).await?;
        let add = writer.close().await?;
        let range = |_| PartitionRange {
            from: (at * 1_000_000).into(),
            to: (at * 1_000_000 + 400_000).into(),
            delivered: n * 1_000_000,
            main: n * 1_000_000,
            ..PartitionRange::default()
        };
        let partitions = (0..args.partitions).map(|p| (p.into(), range(p))).collect();
        let positions =
            FlowPositions { v: 1, full: false, flow: "bronze.events".into(), source: source.clone(), partitions };
        let mut summary = Record::default();
        summary.set_positions(Some(&positions))?;
        let commit = Commit { add, summary, ..Commit::default() };
        table = lake.commit(&table, commit, &|_| Rebase::Retry).await?;
        counted += 1;
        made.push_front(SystemTime::now());
        made.truncate(waits + 1);
        if n % 12 == 0 {
            let at = cpu()?;
            let kept_from = made.get(keeps).or(made.back()).ok_or("no commit")?.duration_since(UNIX_EPOCH)?;
            retention.pin(i64::try_from(kept_from.as_millis())?, BTreeMap::from([(name.clone(), BTreeSet::new())]));
            let grace = match made.get(waits) {
                Some(commit) => commit.elapsed()?,
                None => Duration::from_secs(86_400),
            };
            most_files = most_files.max(lake.small_files(&table, every(Small::All)).await?.0 as u64);
            if let Some(done) = lake.compact(&session, &table, every(Small::Many)).await? {
                table = done.table;
            }
            lake.sweep(&name, grace).await?;
            kept_up += cpu()? - at;
        }
        let told = n.is_power_of_two() && n < 100 || [100, 1_000, 10_000, 50_000, 100_000, args.commits].contains(&n);
        if told {
            let location = table.metadata_location().trim_start_matches("file://").to_owned();
            let (bytes, files) = stored(&metadata)?;
            println!(
                "{n:>7} commits: {:.2} CPU-ms each over the last {counted}, {:.2} of them upkeep, {:.2} ms; {} snapshots; metadata {} kB, its folder {} MB in {files} files; at most {most_files} small files; {} MiB of memory",
                (cpu()? - before).as_secs_f64() * 1e3 / counted as f64,
                kept_up.as_secs_f64() * 1e3 / counted as f64,
                began.elapsed().as_secs_f64() * 1e3 / counted as f64,
                table.metadata().snapshots().count(),
                std::fs::metadata(location)?.len() / 1000,
                bytes / 1_000_000,
                memory_mib()?,
            );
        }
        if told || n % 500 == 0 {
            (began, before, counted) = (Instant::now(), cpu()?, 0);
            kept_up = Duration::ZERO;
        }
    }
    let provider = LakeTableProvider::try_new(&table, ScanOptions::default()).await?;
    let rows = session.read_table(Arc::new(provider))?.count().await?;
    let wanted = usize::try_from(args.commits)? * 10;
    println!("{rows} rows of {wanted}");
    if rows == wanted { Ok(()) } else { Err("rows are missing, or there twice".into()) }
}
