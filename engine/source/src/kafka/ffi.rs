//! The calls of librdkafka that rust-rdkafka does not wrap, and the only unsafe code of the project.
//!
//! Invariants
//! * Every pointer that librdkafka hands out is copied from before its owner is destroyed, and destroyed once.
//! * Calls block for at most their timeout.
//!
//! Not here: deciding anything.
#![allow(unsafe_code)]

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

/// A call that failed, in librdkafka's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    pub code: RDKafkaErrorCode,
    pub reason: String,
}

impl CallError {
    fn new(code: rd::rd_kafka_resp_err_t, reason: Option<String>) -> Self {
        let code = RDKafkaErrorCode::from(code);
        Self { code, reason: reason.unwrap_or_else(|| code.to_string()) }
    }

    fn invalid(reason: &str) -> Self {
        Self::new(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG, Some(reason.to_string()))
    }
}

type Result<T> = std::result::Result<T, CallError>;

/// Where in a partition's log to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetSpec {
    Earliest,
    Latest,
    /// The first message at or after, in milliseconds since 1970; the offset is -1 where there is none.
    Timestamp(i64),
}

/// A topic's id, empty where the broker does not tell. Any broker knows it: `broker` is asked, or, where negative, the
/// controller (which the mock cluster lacks).
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: i32,
    timeout: Duration,
) -> Result<String> {
    let name = c_string(topic)?;
    let mut names = [name.as_ptr()];
    let admin = Admin::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
    // SAFETY: the names live until the collection was made, which copies them; it is destroyed once, below. The
    // client, the options and the queue outlive the call.
    let event = unsafe {
        if broker >= 0 {
            rd::rd_kafka_AdminOptions_set_broker(admin.options.as_ptr(), broker, ptr::null_mut(), 0);
        }
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        rd::rd_kafka_DescribeTopics(client.native_ptr(), topics, admin.options.as_ptr(), admin.queue.as_ptr());
        rd::rd_kafka_TopicCollection_destroy(topics);
        admin.wait(timeout)?
    };
    // SAFETY: the event is of the type asked for (checked for null); what it hands out lives as long as it does, and
    // is copied before it is dropped.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err(CallError::invalid("unexpected answer to DescribeTopics"));
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let Some(description) = array(topics, count).first() else {
            return Err(CallError::invalid("empty answer to DescribeTopics"));
        };
        let error = rd::rd_kafka_TopicDescription_error(*description);
        let code = rd::rd_kafka_error_code(error);
        if code.is_error() {
            return Err(CallError::new(code, owned(rd::rd_kafka_error_string(error))));
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(*description);
        if id.is_null()
            || rd::rd_kafka_Uuid_most_significant_bits(id) == 0 && rd::rd_kafka_Uuid_least_significant_bits(id) == 0
        {
            return Ok(String::new());
        }
        Ok(owned(rd::rd_kafka_Uuid_base64str(id)).unwrap_or_default())
    }
}

/// The cluster's id, empty where the broker does not tell.
pub(crate) fn cluster_id<C: ClientContext>(client: &Client<C>, timeout: Duration) -> String {
    // SAFETY: the string is ours to free, once, with librdkafka's own allocator.
    unsafe {
        let id = rd::rd_kafka_clusterid(client.native_ptr(), millis(timeout));
        let text = owned(id).unwrap_or_default();
        if !id.is_null() {
            rd::rd_kafka_mem_free(client.native_ptr(), id.cast::<c_void>());
        }
        text
    }
}

/// An offset of each partition, or why its leader did not tell. With `read_committed` the latest is the last stable
/// offset: that of the first open transaction, if there is one.
pub(crate) fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
    read_committed: bool,
    timeout: Duration,
) -> Result<BTreeMap<i32, Result<i64>>> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    c_string(topic)?;
    let offset = match spec {
        OffsetSpec::Earliest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
        OffsetSpec::Latest => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
        OffsetSpec::Timestamp(ms) => ms.max(0),
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let admin = Admin::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout)?;
    // SAFETY: the list and its elements are ours until it is dropped, after the call, which copies it. The error that
    // setting the isolation level may give is destroyed once.
    let event = unsafe {
        let native = list.ptr();
        for element in elements_mut(native) {
            element.offset = offset;
        }
        if read_committed {
            let level = rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            let error = rd::rd_kafka_AdminOptions_set_isolation_level(admin.options.as_ptr(), level);
            if !error.is_null() {
                let failed = CallError::new(rd::rd_kafka_error_code(error), owned(rd::rd_kafka_error_string(error)));
                rd::rd_kafka_error_destroy(error);
                return Err(failed);
            }
        }
        rd::rd_kafka_ListOffsets(client.native_ptr(), native, admin.options.as_ptr(), admin.queue.as_ptr());
        admin.wait(timeout)?
    };
    // SAFETY: as for the topic id.
    unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(event.0.as_ptr());
        if result.is_null() {
            return Err(CallError::invalid("unexpected answer to ListOffsets"));
        }
        let mut count = 0;
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, &mut count);
        let mut offsets = BTreeMap::new();
        for info in array(infos, count) {
            let found = rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
            if let Some(found) = found.as_ref() {
                // A leader that has just (re)started may answer with no offset and no error. Only a time may lie past
                // all messages, which is -1.
                let least = if matches!(spec, OffsetSpec::Timestamp(_)) { -1 } else { 0 };
                let answer = if found.err.is_error() {
                    Err(CallError::new(found.err, None))
                } else if found.offset < least {
                    Err(CallError::new(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, None))
                } else {
                    Ok(found.offset)
                };
                offsets.insert(found.partition, answer);
            }
        }
        Ok(offsets)
    }
}

/// Sets the leader epoch of a partition in a list; a negative one is unknown.
pub(crate) fn set_leader_epoch(list: &mut TopicPartitionList, partition: i32, epoch: i32) {
    // SAFETY: the list is borrowed for the whole call, and so are its elements.
    unsafe {
        for element in elements_mut(list.ptr()) {
            if element.partition == partition {
                rd::rd_kafka_topic_partition_set_leader_epoch(element, epoch);
            }
        }
    }
}

/// Partition, offset and leader epoch of each element of a list; a negative offset is unknown.
pub(crate) fn positions(list: &TopicPartitionList) -> Vec<(i32, i64, Option<i32>)> {
    // SAFETY: the list is borrowed for the whole call, and so are its elements, which are only read.
    unsafe {
        let native = list.ptr();
        let told = array((*native).elems, usize::try_from((*native).cnt).unwrap_or(0)).iter().map(|element| {
            let epoch = rd::rd_kafka_topic_partition_get_leader_epoch(element);
            (element.partition, element.offset, (epoch >= 0).then_some(epoch))
        });
        told.collect()
    }
}

/// A message as librdkafka holds it.
#[derive(Clone, Copy)]
pub(crate) struct View<'m>(&'m rd::rd_kafka_message_t);

impl<'m> View<'m> {
    pub(crate) fn of(message: &'m BorrowedMessage<'_>) -> Self {
        // SAFETY: the message is borrowed for as long as the view.
        Self(unsafe { &*message.ptr() })
    }

    /// What came in place of a message.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        self.0.err.is_error().then(|| self.0.err.into())
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(crate) fn key(&self) -> Option<&'m [u8]> {
        // SAFETY: the key belongs to the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn payload(&self) -> Option<&'m [u8]> {
        // SAFETY: the payload belongs to the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Milliseconds since 1970, where the message has a time.
    pub(crate) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is borrowed for the whole call.
        let ms = unsafe { rd::rd_kafka_message_timestamp(self.0, &mut kind) };
        (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && ms != -1).then_some(ms)
    }

    /// The leader epoch, where the broker tells.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is borrowed for the whole call.
        let epoch = unsafe { rd::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    /// The headers, in order. rust-rdkafka's own panics on names that are not UTF-8; here they are replaced.
    pub(crate) fn headers(&self) -> Vec<(Cow<'m, str>, Option<&'m [u8]>)> {
        let mut all = Vec::new();
        // SAFETY: headers, names and values belong to the message, which is borrowed for as long as what is returned.
        unsafe {
            let mut headers = ptr::null_mut();
            if rd::rd_kafka_message_headers(self.0, &mut headers).is_error() || headers.is_null() {
                return all;
            }
            for index in 0..rd::rd_kafka_header_cnt(headers) {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                if rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size).is_error()
                    || name.is_null()
                {
                    continue;
                }
                all.push((CStr::from_ptr(name).to_string_lossy(), bytes(value, size)));
            }
        }
        all
    }
}

/// A consumer's queue, to take many messages at a time: rust-rdkafka's poll costs an allocation or two and two looks at
/// the clock a message.
pub(crate) struct ConsumerQueue {
    native: NonNull<rd::rd_kafka_queue_t>,
    /// Reused between bursts.
    room: Vec<*mut rd::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues may be used from any thread; `room` is empty between calls.
unsafe impl Send for ConsumerQueue {}

/// Messages that were taken together; they must go before their consumer does.
pub(crate) struct Burst<'q>(&'q mut Vec<*mut rd::rd_kafka_message_t>);

impl ConsumerQueue {
    /// The queue of a consumer, which must outlive it.
    pub(crate) fn of<C: ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive; the reference is given back once, when this is dropped.
        let native = NonNull::new(unsafe { rd::rd_kafka_queue_get_consumer(client.native_ptr()) })?;
        Some(Self { native, room: Vec::new() })
    }

    /// Messages and events that wait.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { rd::rd_kafka_queue_length(self.native.as_ptr()) }
    }

    /// Takes up to `max` messages that wait. Events among them are logged by librdkafka and lost to its listeners.
    pub(crate) fn take(&mut self, max: usize) -> Burst<'_> {
        self.room.resize(max, ptr::null_mut());
        // SAFETY: the queue is alive, and there is room for `max` pointers, each of which is then ours to destroy.
        let taken = unsafe { rd::rd_kafka_consume_batch_queue(self.native.as_ptr(), 0, self.room.as_mut_ptr(), max) };
        self.room.truncate(usize::try_from(taken).unwrap_or(0));
        Burst(&mut self.room)
    }
}

impl Drop for ConsumerQueue {
    fn drop(&mut self) {
        // SAFETY: made by `of` and given back here alone.
        unsafe { rd::rd_kafka_queue_destroy(self.native.as_ptr()) }
    }
}

impl Burst<'_> {
    pub(crate) fn messages(&self) -> impl Iterator<Item = View<'_>> {
        // SAFETY: the messages are destroyed when this is dropped, and not before.
        self.0.iter().filter_map(|message| unsafe { message.as_ref() }).map(View)
    }
}

impl Drop for Burst<'_> {
    fn drop(&mut self) {
        for message in self.0.drain(..).filter(|message| !message.is_null()) {
            // SAFETY: taken by us and destroyed here alone.
            unsafe { rd::rd_kafka_message_destroy(message) }
        }
    }
}

/// The names in librdkafka's own table of properties.
pub(crate) fn property_names() -> Vec<String> {
    let mut buffer: *mut c_char = ptr::null_mut();
    let mut size = 0;
    // SAFETY: the stream writes to a buffer of its own that stays valid after it was closed, and is freed once.
    let table = unsafe {
        let stream = libc::open_memstream(&mut buffer, &mut size);
        if stream.is_null() {
            return Vec::new();
        }
        rd::rd_kafka_conf_properties_show(stream.cast());
        libc::fclose(stream);
        if buffer.is_null() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(slice::from_raw_parts(buffer.cast::<u8>(), size)).into_owned();
        libc::free(buffer.cast::<c_void>());
        text
    };
    let names = table.lines().filter_map(|line| {
        let (name, _) = line.split_once('|')?;
        let name = name.trim();
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        (is_name && name.bytes().any(|b| b.is_ascii_lowercase())).then(|| name.to_string())
    });
    names.collect()
}

/// One question to the cluster: its options and the queue of its answer.
struct Admin {
    options: NonNull<rd::rd_kafka_AdminOptions_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
}

impl Admin {
    fn new<C: ClientContext>(client: &Client<C>, op: rd::rd_kafka_admin_op_t, timeout: Duration) -> Result<Self> {
        let no_memory = || CallError::invalid("librdkafka made no queue");
        // SAFETY: the client is alive; both are destroyed once, when this is dropped.
        unsafe {
            let options = NonNull::new(rd::rd_kafka_AdminOptions_new(client.native_ptr(), op)).ok_or_else(no_memory)?;
            let Some(queue) = NonNull::new(rd::rd_kafka_queue_new(client.native_ptr())) else {
                rd::rd_kafka_AdminOptions_destroy(options.as_ptr());
                return Err(no_memory());
            };
            let admin = Self { options, queue };
            let timeout = millis(timeout);
            rd::rd_kafka_AdminOptions_set_request_timeout(admin.options.as_ptr(), timeout, ptr::null_mut(), 0);
            Ok(admin)
        }
    }

    /// The answer, or the error that came in its place.
    fn wait(&self, timeout: Duration) -> Result<Event> {
        // SAFETY: the queue lives as long as this; the event is ours, and destroyed once when it is dropped.
        unsafe {
            // librdkafka answers by itself when the request's own time is over.
            let patience = millis(timeout + Duration::from_secs(1));
            let event = NonNull::new(rd::rd_kafka_queue_poll(self.queue.as_ptr(), patience)).map(Event);
            let Some(event) = event else {
                return Err(CallError::new(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT, None));
            };
            let code = rd::rd_kafka_event_error(event.0.as_ptr());
            if code.is_error() {
                return Err(CallError::new(code, owned(rd::rd_kafka_event_error_string(event.0.as_ptr()))));
            }
            Ok(event)
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are destroyed here alone.
        unsafe {
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
        }
    }
}

struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event was polled from a queue of ours and is destroyed here alone.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| CallError::invalid("a name holds a zero byte"))
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `text` is null or points to a C string.
unsafe fn owned(text: *const c_char) -> Option<String> {
    // SAFETY: by contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text).to_string_lossy().into_owned() })
}

/// # Safety
/// `data` is null or points to `size` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: by contract.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), size) })
}

/// # Safety
/// `items` is null or points to `count` items that live for `'a`.
unsafe fn array<'a, T>(items: *mut T, count: usize) -> &'a [T] {
    if items.is_null() {
        return &[];
    }
    // SAFETY: by contract.
    unsafe { slice::from_raw_parts(items, count) }
}

/// # Safety
/// `list` is a list of librdkafka that nobody else touches for `'a`.
unsafe fn elements_mut<'a>(list: *mut rd::rd_kafka_topic_partition_list_t) -> &'a mut [rd::rd_kafka_topic_partition_t] {
    // SAFETY: by contract.
    unsafe {
        let elements = (*list).elems;
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        if elements.is_null() { &mut [] } else { slice::from_raw_parts_mut(elements, count) }
    }
}
