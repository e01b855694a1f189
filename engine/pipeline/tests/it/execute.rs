//! `ALTER TABLE t EXECUTE`: each action, its parameters, and what it refuses.

use ingot_dialect::ast::Command;
use ingot_dialect::client_command;
use ingot_pipeline::engine::Engine;
use ingot_pipeline::execute::Asked;

use super::world::{World, name, once};

const STREAM: &str = "CREATE SOURCE s (id BIGINT, day INT, v STRING) WITH ('connector' = 'kafka', 'topic' = 'log') FORMAT PLAIN ENCODE JSON;\n\
    CREATE STREAMING TABLE bronze.t PARTITIONED BY (day) AS SELECT id, day, v FROM STREAM s;\n";

async fn executed(engine: &Engine, what: &str) -> Result<Vec<(&'static str, u64)>, (&'static str, String)> {
    let command = client_command(&format!("ALTER TABLE bronze.t EXECUTE {what};")).unwrap();
    let Some(Command::AlterExecute { action, options, filter, .. }) = command else { panic!("{what}") };
    let asked = Asked::of(action, &options, filter).map_err(|e| (e.code(), e.to_string()))?;
    let told = engine.execute_upkeep(&name("bronze.t"), &asked, &|_| {}).await;
    told.map_err(|e| (e.code(), e.to_string()))
}

async fn files(engine: &Engine) -> usize {
    let table = engine.lake().load_table(&name("bronze.t")).await.unwrap().unwrap();
    ingot_lake::live_files(&table, table.head().unwrap()).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_does_its_part_and_no_more() {
    let world = World::of(&[("bronze/t.sql", STREAM)], &[("log", 1)]);
    for n in 0..3 {
        world.send("log", 0, (0..4).map(|i| format!(r#"{{"id": {}, "day": {}, "v": "x"}}"#, 4 * n + i, i % 2)));
        once(&world.engine().await).await;
    }
    let engine = world.engine().await;
    assert_eq!(files(&engine).await, 6);
    for (what, code) in [
        ("optimize WHERE id = 1", "L0143"),
        ("optimize(retention_threshold => '7d')", "L0143"),
        ("optimize(file_size_threshold => 'many')", "L0143"),
        ("optimize(file_size_threshold => '1MB', file_size_threshold => '1MB')", "L0143"),
        ("rewrite_manifests(a => 1)", "L0143"),
        ("expire_snapshots(retention_threshold => '1s')", "L0144"),
        ("remove_orphan_files(retention_threshold => '2d')", "L0144"),
    ] {
        assert_eq!(executed(&engine, what).await.unwrap_err().0, code, "{what}");
    }
    assert!(client_command("ALTER TABLE t EXECUTE expire_snapshots WHERE a = 1").is_err());
    assert!(client_command("ALTER TABLE t EXECUTE vacuum").is_err());
    assert!(client_command("SELECT 1").unwrap().is_none());
    assert_eq!(files(&engine).await, 6);
    // A threshold below every file leaves all of them; a condition takes its partition alone.
    assert_eq!(executed(&engine, "optimize(file_size_threshold => '1B')").await.unwrap()[0].1, 0);
    let done = executed(&engine, "optimize(file_size_threshold => '1MB') WHERE t.day = 1").await.unwrap();
    assert_eq!((done[0], done[1].1), (("rewritten_data_files_count", 3), 1));
    assert_eq!(files(&engine).await, 4);
    assert_eq!(executed(&engine, "optimize").await.unwrap()[0].1, 3);
    assert_eq!(files(&engine).await, 2);
    let done = executed(&engine, "rewrite_manifests").await.unwrap();
    assert!(done[1].1 <= done[0].1, "{done:?}");
    assert_eq!(executed(&engine, "expire_snapshots(retention_threshold => '7d')").await.unwrap()[0].1, 0);
    assert_eq!(executed(&engine, "remove_orphan_files").await.unwrap()[0].1, 0);
    let verified = engine.verify(&name("bronze.t")).await.unwrap();
    assert_eq!(verified.exit_code(), 0, "{verified:?}");
}
