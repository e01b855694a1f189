//! librdkafka's mock cluster: a broker inside the process, for the demo and for tests.
//!
//! Invariants
//! * Listens on 127.0.0.1 alone, keeps everything in memory, and ends with its owner.
//! * A topic's id is random: a table made from one mock broker does not go on with another.
//!
//! Not here: transactions' markers, retention and the administration of topics, which the mock lacks.

use crate::error::SourceError;
use crate::kafka::config::KafkaConfig;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// An embedded broker. Its cluster lives on a thread of its own, since its wrapper may not be shared.
pub struct MockBroker {
    bootstrap_servers: String,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Action {
    Create { topic: String, partitions: i32 },
    SetDown(bool),
}

struct Command {
    action: Action,
    done: Sender<Result<(), SourceError>>,
}

fn failed(reason: impl ToString) -> SourceError {
    SourceError::Other { topic: "embedded broker".into(), reason: reason.to_string() }
}

impl MockBroker {
    /// # Errors
    /// No port to listen on.
    pub fn start() -> Result<Self, SourceError> {
        let (commands, received) = channel();
        let (started, start) = channel();
        let serve = move || match MockCluster::new(1) {
            Ok(cluster) => {
                if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                    obey(&received, |action, topics| match action {
                        Action::Create { topic, partitions } => match topics.get(topic) {
                            Some(existing) if existing == partitions => Ok(()),
                            Some(existing) => Err(failed(format!("topic \"{topic}\" has {existing} partitions"))),
                            None => {
                                cluster.create_topic(topic, *partitions, 1).map_err(failed)?;
                                topics.insert(topic.clone(), *partitions);
                                Ok(())
                            }
                        },
                        Action::SetDown(true) => cluster.broker_down(-1).map_err(failed),
                        Action::SetDown(false) => cluster.broker_up(-1).map_err(failed),
                    });
                }
            }
            Err(error) => drop(started.send(Err::<String, KafkaError>(error))),
        };
        let thread = thread::Builder::new().name("kafka-mock".into()).spawn(serve).map_err(failed)?;
        let bootstrap_servers = start.recv().map_err(failed)?.map_err(failed)?;
        Ok(Self { bootstrap_servers, commands: Some(commands), thread: Some(thread) })
    }

    /// `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers.clone()
    }

    /// Properties that connect to it.
    pub fn config(&self) -> KafkaConfig {
        KafkaConfig { properties: BTreeMap::from([("bootstrap.servers".to_string(), self.bootstrap_servers())]) }
    }

    /// Creates a topic; one that exists with as many partitions is left as it is.
    ///
    /// # Errors
    /// A topic that exists with another number of partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), SourceError> {
        self.tell(Action::Create { topic: topic.to_string(), partitions })
    }

    /// Cuts all connections and refuses new ones, or accepts them again.
    ///
    /// # Errors
    /// What the mock refuses.
    pub fn set_down(&self, down: bool) -> Result<(), SourceError> {
        self.tell(Action::SetDown(down))
    }

    fn tell(&self, action: Action) -> Result<(), SourceError> {
        let (done, answer) = channel();
        let commands = self.commands.as_ref().ok_or_else(|| failed("stopped"))?;
        commands.send(Command { action, done }).map_err(failed)?;
        answer.recv().map_err(failed)?
    }
}

fn obey(
    received: &Receiver<Command>,
    mut act: impl FnMut(&Action, &mut BTreeMap<String, i32>) -> Result<(), SourceError>,
) {
    let mut topics = BTreeMap::new();
    for Command { action, done } in received {
        // The caller may have given up.
        let _ = done.send(act(&action, &mut topics));
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        // The thread ends with its commands, and the broker with the thread.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
