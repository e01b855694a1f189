//! A project, the embedded broker and a fresh warehouse in one process.
//!
//! Not here: brokers, stores and clients of others (`tests/e2e`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use ingot_model::TableName;
use ingot_pipeline::engine::{Engine, Report};
use ingot_pipeline::plan::{Action, Plan};
use ingot_pipeline::verify::Verdict;
use ingot_project::{check, config::Config};
use ingot_query::Caller;
use ingot_source::{Fleet, FleetConfig, MockBroker};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "vehicles-events";

pub struct World {
    pub dir: tempfile::TempDir,
    pub broker: MockBroker,
    pub fleet: Fleet,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|a| a.join("sql")).find(|p| p.is_dir());
        copy(&shipped.unwrap(), &dir.path().join("sql"));
        let broker = MockBroker::start().unwrap();
        broker.create_topic(TOPIC, 3).unwrap();
        let fleet = Fleet::new(FleetConfig { seed: 7, malformed: 0.01, duplicates: 0.05, late: 0.02 });
        Self { dir, broker, fleet }
    }

    /// The shipped project's place with other SQL files, by layer, and topics of some partitions.
    pub fn of(files: &[(&str, &str)], topics: &[(&str, i32)]) -> Self {
        let world = Self::new();
        for layer in ["bronze", "silver", "gold"] {
            std::fs::remove_dir_all(world.sql(layer)).unwrap();
            std::fs::create_dir(world.sql(layer)).unwrap();
        }
        for (file, text) in files {
            world.write(file, text);
        }
        for (topic, partitions) in topics {
            world.broker.create_topic(topic, *partitions).unwrap();
        }
        world
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.sql(file), text).unwrap();
    }

    /// Sends messages as they are to one partition, in order.
    pub fn send<P: AsRef<[u8]>>(&self, topic: &str, partition: i32, messages: impl IntoIterator<Item = P>) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        for message in messages {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(message.as_ref());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    pub fn produce(&mut self, events: u64) {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let report =
            ingot_source::produce(&self.broker.config(), TOPIC, events, None, &mut self.fleet, &|_| {}, &stop).unwrap();
        assert_eq!(report.events, events);
    }

    pub fn sql(&self, file: &str) -> PathBuf {
        self.dir.path().join("sql").join(file)
    }

    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.sql(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(self.sql(file), text.replace(from, to)).unwrap();
    }

    pub fn sets(&self) -> Vec<(String, String)> {
        vec![
            ("kafka.bootstrap.servers".to_owned(), self.broker.bootstrap_servers()),
            ("warehouse.location".to_owned(), self.dir.path().join("warehouse").display().to_string()),
        ]
    }

    pub async fn engine(&self) -> Engine {
        let root = self.dir.path().join("sql");
        let config = Config::load(&root, None, &self.sets(), &BTreeMap::new(), ingot_source::check_property).unwrap();
        let checked = check::load(&root, &config);
        let shown: Vec<String> = checked.diagnostics.iter().map(|d| format!("{}: {}", d.code, d.message)).collect();
        let project = checked.project.unwrap_or_else(|| panic!("{shown:#?}"));
        Engine::open(Arc::new(project), Arc::new(config)).await.unwrap()
    }
}

/// Changes the metadata of a table where it is stored.
pub async fn edited(engine: &Engine, of: &str, edit: impl FnOnce(&mut Value)) {
    let table = engine.lake().load_table(&name(of)).await.unwrap().unwrap();
    let path = table.metadata_location().strip_prefix("file://").unwrap().to_owned();
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    std::fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
}

pub async fn once(engine: &Engine) -> (Plan, Report) {
    let plan = engine.plan(&|_| true).await.unwrap();
    let report = engine.execute(&plan, &CancellationToken::new(), &|_| {}).await;
    for step in &report.steps {
        assert!(step.error.is_none(), "{}: {:?}", step.table, step.error);
    }
    (plan, report)
}

pub async fn all_equal(engine: &Engine) {
    for table in &engine.project().order {
        let verified = engine.verify(table).await.unwrap();
        assert!(
            matches!(verified.verdict, Verdict::Equal { .. } | Verdict::Consistent { .. }),
            "{table}: {:?}",
            verified.verdict
        );
    }
}

pub async fn query(engine: &Engine, sql: &str) -> Vec<RecordBatch> {
    let session = engine.session().unwrap();
    let planned = session.plan(&Caller::ANONYMOUS, sql, None).await.unwrap();
    session.execute(&Caller::ANONYMOUS, &planned, None).await.unwrap().try_collect().await.unwrap()
}

pub async fn number(engine: &Engine, sql: &str) -> i64 {
    query(engine, sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
}

pub fn action<'a>(plan: &'a Plan, table: &str) -> &'a Action {
    &plan.steps.iter().find(|s| s.table == name(table)).unwrap().action
}
