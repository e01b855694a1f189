//! Defects in a running `ingot run`: tasks that panic are noticed, started again, and named at the end.
//!
//! Not here: kills (`tests/e2e/crash.sh`).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, all_equal, number};

fn run(world: &World, crash: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingot"));
    command.arg("run").arg("--project").arg(world.dir.path().join("sql"));
    for set in world.sets() {
        command.arg("--set").arg(format!("{}={}", set.0, set.1));
    }
    command.env("INGOT_CRASH", crash).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn stop(mut child: Child) -> (Option<i32>, String) {
    // The shell's own: a small system has no other.
    Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.id())).status().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not stop");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until gold holds all that was produced, in whatever state the process is.
async fn is_fresh(world: &World, events: u64) {
    let engine = world.engine().await;
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let made = engine.lake().load_table(&"gold.stats".parse().unwrap()).await.unwrap().is_some();
        if made {
            let bronze = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events").await;
            let errors = number(&engine, "SELECT count(*) AS n FROM bronze.vehicle_events_errors").await;
            let silver = number(&engine, "SELECT count(*) AS n FROM silver.vehicle_events").await;
            let gold = number(&engine, "SELECT coalesce(sum(total), 0) AS n FROM gold.stats").await;
            if (bronze + errors) as u64 == events && gold == silver && gold > 0 {
                return;
            }
        }
        assert!(Instant::now() < deadline, "the tables did not become fresh");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_task_does_not_end_freshness() {
    let mut world = World::new();
    world.produce(1_000);
    // Planning of views, ingestion between polling and committing, and a view's own refresh.
    let child = run(&world, "planned=panic@2, decoded=panic@1, refresh.pinned:gold.stats=panic@1");
    is_fresh(&world, 1_000).await;
    world.produce(500);
    is_fresh(&world, 1_500).await;
    let (code, said) = stop(child);
    assert_eq!(code, Some(143), "{said}");
    for line in [
        "a task ended and is started again",
        "refresh of views  failed once and worked again: error[R0311]",
        "ingestion of bronze.vehicle_events  failed once and worked again: error[R0311]",
    ] {
        assert!(said.contains(line), "no \"{line}\" in:\n{said}");
    }
    all_equal(&world.engine().await).await;
}
