//! How far a partition was read: from its messages, and from what librdkafka says where there are none.
//!
//! librdkafka's position knows of control records and aborted messages, which are never delivered. It is exact behind
//! messages, and behind everything that `poll` gives. A burst (`rd_kafka_consume_batch_queue`) moves it one past whatever
//! is in the burst, also an end of partition or an error that came at the offset of a message yet to come
//! (rd_kafka_q_serve_rkmessages): taken at its word, that message would be skipped.
//!
//! Invariant: `next` never passes an offset that may still be delivered.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The next offset to read, past control records where known.
    pub next: i64,
    pub epoch: Option<i32>,
    /// A position that a burst's end of partition may have left behind without having reached it.
    phantom: Option<i64>,
    /// An error came in a burst, and nothing since that says how far reading got.
    doubted: bool,
}

impl Cursor {
    /// Before the message at offset `next`, read in the leader epoch `epoch`.
    pub fn at(next: i64, epoch: Option<i32>) -> Self {
        Self { next, epoch, phantom: None, doubted: false }
    }

    /// A message was decoded.
    pub fn decoded(&mut self, offset: i64, epoch: Option<i32>) {
        *self = Self::at(offset + 1, epoch.or(self.epoch));
    }

    /// `poll` told the partition's end: something moved since the last end, so the position is not that one's phantom.
    pub fn ended(&mut self) {
        self.phantom = None;
    }

    /// A burst told the partition's end, and where it is.
    pub(crate) fn ended_at(&mut self, end: i64) {
        self.next = self.next.max(end);
        self.phantom = Some(end + 1);
        self.doubted = false;
    }

    /// A burst told an error.
    pub fn failed(&mut self) {
        self.doubted = true;
    }

    /// librdkafka told its position.
    pub(crate) fn moved_to(&mut self, position: i64, epoch: Option<i32>) {
        if position > self.next && !self.doubted && self.phantom != Some(position) {
            self.next = position;
            // What is no message has no epoch, which librdkafka gives as 0; epochs never fall.
            self.epoch = self.epoch.max(epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_records_are_passed() {
        let mut cursor = Cursor::at(0, None);
        cursor.decoded(4, Some(2));
        cursor.moved_to(5, Some(2));
        assert_eq!(cursor.next, 5);
        cursor.ended();
        cursor.moved_to(7, None);
        assert_eq!((cursor.next, cursor.epoch), (7, Some(2)));
    }

    #[test]
    fn an_end_in_a_burst_does_not_skip_the_message_that_comes_there() {
        let mut cursor = Cursor::at(0, None);
        cursor.decoded(9, None);
        cursor.ended_at(10);
        cursor.moved_to(11, Some(0));
        assert_eq!(cursor.next, 10);
        cursor.decoded(10, Some(3));
        cursor.moved_to(11, Some(3));
        assert_eq!((cursor.next, cursor.epoch), (11, Some(3)));
        // The same end again, a marker behind it: the second end says so.
        cursor.ended_at(11);
        cursor.moved_to(12, Some(0));
        assert_eq!(cursor.next, 11);
        cursor.ended_at(12);
        assert_eq!(cursor.next, 12);
        cursor.ended();
        cursor.moved_to(13, Some(0));
        assert_eq!((cursor.next, cursor.epoch), (13, Some(3)));
    }

    #[test]
    fn an_error_in_a_burst_does_not_skip_the_message_that_is_fetched_again() {
        let mut cursor = Cursor::at(0, None);
        cursor.decoded(9, None);
        cursor.failed();
        cursor.moved_to(11, None);
        assert_eq!(cursor.next, 10);
        // An end that `poll` reports does not correct the position.
        cursor.ended();
        cursor.moved_to(11, None);
        assert_eq!(cursor.next, 10);
        cursor.decoded(10, None);
        cursor.moved_to(12, None);
        assert_eq!(cursor.next, 12);
        cursor.failed();
        cursor.ended_at(12);
        cursor.moved_to(13, None);
        assert_eq!(cursor.next, 12);
    }
}
