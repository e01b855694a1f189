//! Asks the cluster about a topic beside the poll thread, which must not wait for answers.
//!
//! Invariants
//! * One question at a time; an answer carries the positions at the time of asking.
//! * The thread ends with its owner.
//!
//! Not here: what the answers mean (`offsets`).

use crate::error::SourceError;
use crate::kafka::client::TopicClient;
use crate::kafka::offsets::TopicFacts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

/// What the cluster said, and where the reader stood when it was asked.
pub(crate) struct Answer {
    pub asked: BTreeMap<i32, i64>,
    pub facts: Result<TopicFacts, SourceError>,
}

/// The asking thread's near end.
pub(crate) struct Watch {
    questions: mpsc::Sender<BTreeMap<i32, i64>>,
    answers: mpsc::Receiver<Answer>,
    asking: bool,
}

impl Watch {
    pub(crate) fn start(client: Arc<TopicClient>) -> Result<Self, SourceError> {
        let (questions, asked) = mpsc::channel::<BTreeMap<i32, i64>>();
        let (answer, answers) = mpsc::channel();
        thread::Builder::new()
            .name("kafka-watch".into())
            .spawn(move || {
                // Ends when the reader drops its end of either channel.
                for asked in asked {
                    if answer.send(Answer { asked, facts: client.facts() }).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| SourceError::Internal { reason: format!("no thread: {e}") })?;
        Ok(Self { questions, answers, asking: false })
    }

    /// Asks, unless an answer is still to come.
    pub(crate) fn ask(&mut self, positions: BTreeMap<i32, i64>) {
        if !self.asking {
            self.asking = self.questions.send(positions).is_ok();
        }
    }

    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        self.asking = false;
        Some(answer)
    }
}
