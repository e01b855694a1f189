//! The binary itself, as a shell runs it: pipes that close, warehouses that are not there, folders without a project.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use ingot_lake::{Commit, Lake, LakeConfig, S3Config, Writer};
use ingot_model::{Column, Definition, TableName};

fn ingot(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingot"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("INGOT_")) {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    ingot(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A lake with one table of two rows, made without any project.
async fn lake(folder: &Path) -> String {
    let warehouse = folder.join("warehouse");
    let lake = Lake::open(LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: None,
        warehouse: format!("file://{}", warehouse.display()),
        s3: S3Config::default(),
    });
    let lake = lake.await.unwrap();
    let column = Column { name: "n".into(), data_type: DataType::Int64, nullable: true, comment: None };
    let definition = Definition { columns: vec![column], ..Definition::default() };
    let draft = lake.draft(&TableName::new("gold", "numbers"), &definition).unwrap();
    let mut writer = Writer::new(&draft, None).unwrap();
    let rows = RecordBatch::try_from_iter([("n", std::sync::Arc::new(Int64Array::from(vec![20, 22])) as ArrayRef)]);
    writer.write(&rows.unwrap()).await.unwrap();
    let add = writer.close().await.unwrap();
    lake.create_with(&draft, Commit { add, ..Commit::default() }).await.unwrap();
    format!("warehouse.location={}", warehouse.display())
}

/// The shipped project beside a lake without its tables.
fn project(folder: &Path) {
    let made = run(folder, &["init", "sql"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_a_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let set = lake(folder.path()).await;
    let dead = "kafka.bootstrap.servers=127.0.0.1:1";
    for arguments in [
        vec!["docs", "codes"],
        vec!["ls"],
        vec!["ls", "--json"],
        vec!["explain", "L0118"],
        vec!["status", "--set", &set, "--set", dead],
        vec!["status", "--json", "--set", &set, "--set", dead],
        vec!["verify", "--set", &set, "--set", dead],
        vec!["sql", "--set", &set, "SELECT * FROM gold.numbers"],
        vec!["sql", "--format", "csv", "--set", &set, "SELECT * FROM gold.numbers"],
        vec!["sql", "--format", "json", "--set", &set, "SELECT * FROM gold.numbers"],
        vec!["sql", "--format", "arrow", "--set", &set, "SELECT * FROM gold.numbers"],
    ] {
        let mut child = ingot(folder.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // `| head -0`: nobody is there before the first line.
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(141), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
    }
}

/// Errors and warnings go nowhere when nobody reads them; the exit code is what it would be.
#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sql")).unwrap();
    std::fs::write(folder.path().join("sql/a.sql"), "CREATE MATERIALIZED VIEW a.b AS SELECT nothing FROM nowhere;\n")
        .unwrap();
    for (arguments, code) in [(vec!["check"], 1), (vec!["sql", "SELECT 1"], 1), (vec!["explain", "X9999"], 2)] {
        let mut child = ingot(folder.path(), &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn readers_of_a_mistyped_warehouse_make_nothing_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let set = ["--set", "warehouse.location=mistyped", "--set", "kafka.bootstrap.servers=127.0.0.1:1"];
    for command in [
        vec!["sql", "SELECT 1 AS one"],
        vec!["status"],
        vec!["status", "--json"],
        vec!["verify"],
        vec!["serve", "--set", "serve.listen=127.0.0.1:0"],
    ] {
        let done = run(folder.path(), &[command.as_slice(), &set].concat());
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("error[L0119]") && said.contains("mistyped"), "{command:?}: {said}");
        assert!(!folder.path().join("mistyped").exists(), "{command:?}");
    }
    // What a first run would do is worth to know: a note, and the plan.
    let planned = run(folder.path(), &[["plan", "--exclude", "bronze.*"].as_slice(), &set].concat());
    assert!(text(&planned.stderr).contains("there is no lake in"), "{}", text(&planned.stderr));
    assert!(text(&planned.stdout).contains("gold.stats"), "{}", text(&planned.stdout));
    assert!(!folder.path().join("mistyped").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_queried_without_a_project() {
    let folder = tempfile::tempdir().unwrap();
    let set = lake(folder.path()).await;
    let sum = ["sql", "--format", "csv", "SELECT sum(n) AS total FROM gold.numbers"];
    // Nothing but the setting; an ingot.toml here; a folder with one; the default location.
    let bare = tempfile::tempdir().unwrap();
    let only = run(bare.path(), &[sum.as_slice(), &["--set", &set]].concat());
    assert_eq!(text(&only.stdout), "total\n42\n", "{}", text(&only.stderr));
    assert_eq!(std::fs::read_dir(bare.path()).unwrap().count(), 0);
    let toml = format!("[warehouse]\nlocation = \"{}\"\n", set.split_once('=').unwrap().1);
    std::fs::write(bare.path().join("ingot.toml"), &toml).unwrap();
    let here = run(bare.path(), &sum);
    assert_eq!(text(&here.stdout), "total\n42\n", "{}", text(&here.stderr));
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    std::fs::write(folder.path().join("conf/ingot.toml"), &toml).unwrap();
    let there = run(folder.path(), &[sum.as_slice(), &["--project", "conf"]].concat());
    assert_eq!(text(&there.stdout), "total\n42\n", "{}", text(&there.stderr));
    let default = run(folder.path(), &sum);
    assert_eq!(text(&default.stdout), "total\n42\n", "{}", text(&default.stderr));
    // A project that is named must be there, and one that is wrong is not passed over.
    let missing = run(folder.path(), &[sum.as_slice(), &["--project", "nowhere"]].concat());
    assert_eq!(missing.status.code(), Some(2));
    std::fs::write(folder.path().join("conf/wrong.sql"), "CREATE NOTHING;\n").unwrap();
    let wrong = run(folder.path(), &[sum.as_slice(), &["--project", "conf"]].concat());
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("wrong.sql"), "{}", text(&wrong.stderr));

    // `serve` as well: a free port, and the same rows over Flight SQL.
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let listen = format!("serve.listen=127.0.0.1:{port}");
    let mut server = ingot(bare.path(), &["serve", "--set", &listen]).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let address = format!("grpc://127.0.0.1:{port}");
    let answer = loop {
        let asked = run(folder.path(), &[sum.as_slice(), &["--connect", &address]].concat());
        if asked.status.success() || Instant::now() > deadline {
            break asked;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(text(&answer.stdout), "total\n42\n", "{}", text(&answer.stderr));
}

/// `up` serves before the plans of its views are tried; what a trial finds still ends it.
#[test]
fn what_the_engine_cannot_run_ends_check_run_and_up() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let view = "CREATE MATERIALIZED VIEW gold.bad AS SELECT split_part(id, '-', 0) AS m FROM bronze.vehicle_events;\n";
    std::fs::write(folder.path().join("sql/gold/bad.sql"), view).unwrap();
    let set = ["--set", "kafka.bootstrap.servers=127.0.0.1:1", "--set", "serve.listen=127.0.0.1:0"];
    for command in [vec!["check"], vec!["run", "--once"], vec!["up", "--timeout", "60s"]] {
        let arguments: Vec<&str> = command.iter().copied().chain(set).collect();
        let output = run(folder.path(), &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("error[U0126]: the query engine cannot run this"), "{command:?}: {said}");
        assert_eq!(said.matches("U0126").count(), 1, "{command:?}: {said}");
    }
}
