//! Drivers of others: ADBC in Python and Arrow's JDBC driver. They are not part of the toolchain, so these tests
//! run when asked for: `INGOT_TEST_PYTHON` is a Python with the ADBC packages, `INGOT_TEST_JDBC` the driver's jar.
//!
//!   INGOT_TEST_PYTHON=.venv/bin/python cargo test -p ingot-flight -- --ignored

use std::path::Path;
use std::process::Command;

use crate::lake::{append, create, lake, session};
use crate::{Running, start};

async fn things() -> (tempfile::TempDir, Running) {
    let (folder, lake) = lake().await;
    append(&create(&lake, "things").await, 0..100).await;
    (folder, start(session(&lake)).await)
}

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name).display().to_string()
}

async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs INGOT_TEST_PYTHON"]
async fn adbc() {
    let (_folder, server) = things().await;
    let mut command = Command::new(std::env::var("INGOT_TEST_PYTHON").expect("INGOT_TEST_PYTHON"));
    command.arg(script("adbc.py")).arg(format!("grpc://{}", server.address));
    run(command).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs INGOT_TEST_JDBC and java"]
async fn jdbc() {
    let (_folder, server) = things().await;
    let mut command = Command::new("java");
    command.args([
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-cp",
        &std::env::var("INGOT_TEST_JDBC").expect("INGOT_TEST_JDBC"),
    ]);
    command.arg(script("Jdbc.java")).arg(&server.address);
    run(command).await;
    server.end().await;
}
