//! Made-up vehicle events: a stream that is the same for the same seed and options.
//!
//! Each event is `{"id","type","battery","lat","lon","ts"}`, about 130 bytes. A small share is what real fleets send:
//! batteries out of range or null, types that are unknown, upper case or padded, positions that are null. Options add
//! malformed payloads, verbatim repetitions and late events.
//!
//! Invariants
//! * Event `n` depends on the configuration and `n` alone: nothing reads a clock.
//! * Well-formed events in time have distinct (id, ts); repetitions are byte for byte equal to what they repeat.
//!
//! Not here: sending them (`produce`).

use ingot_model::calendar::date_of;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What the fleet is like. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetConfig {
    pub seed: u64,
    /// Events that are no JSON, or not of the declared types.
    pub malformed: f64,
    /// Events that repeat an earlier one.
    pub duplicates: f64,
    /// Events whose time lies up to an hour back.
    pub late: f64,
}

/// Number of vehicles.
pub(crate) const VEHICLES: u32 = 20_000;
/// Time of the first event: 2026-01-01T00:00:00Z, in microseconds since 1970.
pub(crate) const START_US: i64 = 1_767_225_600_000_000;
/// Time from one event to the next.
pub(crate) const STEP_US: i64 = 1_000;

impl Default for FleetConfig {
    fn default() -> Self {
        Self { seed: 42, malformed: 0.0, duplicates: 0.0, late: 0.0 }
    }
}

/// The city's corner, 52.32 N and 13.30 E, and its width, in 10^-14 degrees.
const SOUTH: u64 = 5_232_000_000_000_000;
const WEST: u64 = 1_330_000_000_000_000;
const SPREAD: u64 = 20_000_000_000_000;
/// Events that repetitions are drawn from.
const REMEMBERED: usize = 4_096;
/// Longest event kept for repetition.
const EVENT_MAX: usize = 200;
/// Lateness at most.
const LATE_MS_MAX: i64 = 3_600_000;

/// A generator of events.
pub struct Fleet {
    random: SmallRng,
    /// Thresholds of a 32-bit draw.
    malformed: u64,
    duplicates: u64,
    late: u64,
    made: u64,
    /// Time in microseconds that the next event has.
    now_us: i64,
    remembered: Vec<Remembered>,
    key: [u8; KEY_LENGTH],
}

#[derive(Clone)]
struct Remembered {
    key: [u8; KEY_LENGTH],
    length: usize,
    bytes: [u8; EVENT_MAX],
}

/// `veh-` and eight digits.
const KEY_LENGTH: usize = 12;

fn threshold(share: f64) -> u64 {
    // Rounds to the nearest of 2^32 steps; the range makes the cast exact.
    (share.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64
}

impl Fleet {
    /// A fleet at its first event.
    pub fn new(config: FleetConfig) -> Self {
        Self {
            random: SmallRng::seed_from_u64(config.seed),
            malformed: threshold(config.malformed),
            duplicates: threshold(config.duplicates),
            late: threshold(config.late),
            made: 0,
            now_us: START_US,
            remembered: Vec::new(),
            key: *b"veh-00000000",
        }
    }

    /// Events made so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Leaves out the next `count` events: the stream goes on as if they had been made.
    pub fn skip(&mut self, count: u64) {
        let mut event = Vec::new();
        for _ in 0..count {
            self.next_into(&mut event);
        }
    }

    /// Replaces `event` by the next event and returns its key: the vehicle's id, by which it is partitioned.
    pub(crate) fn next_into(&mut self, event: &mut Vec<u8>) -> &[u8] {
        event.clear();
        self.made += 1;
        // The clock goes on whatever is sent, so that (id, ts) stay distinct.
        self.now_us += STEP_US;
        let draw = u64::from(self.random.random::<u32>());
        if draw < self.duplicates && !self.remembered.is_empty() {
            let at = self.random.random_range(0..self.remembered.len());
            if let Some(earlier) = self.remembered.get(at) {
                event.extend_from_slice(earlier.bytes.get(..earlier.length).unwrap_or_default());
                self.key = earlier.key;
            }
            return &self.key;
        }
        let vehicle = self.random.random_range(0..VEHICLES);
        digits(&mut self.key, 4, u64::from(vehicle), 8);
        let is_malformed = u64::from(self.random.random::<u32>()) < self.malformed;
        if is_malformed {
            self.write_malformed(event);
        } else {
            self.write(event, vehicle);
            self.remember(event);
        }
        &self.key
    }

    fn remember(&mut self, event: &[u8]) {
        if self.duplicates == 0 || event.len() > EVENT_MAX {
            return;
        }
        let mut kept = Remembered { key: self.key, length: event.len(), bytes: [0; EVENT_MAX] };
        if let Some(bytes) = kept.bytes.get_mut(..event.len()) {
            bytes.copy_from_slice(event);
        }
        if self.remembered.len() < REMEMBERED {
            self.remembered.push(kept);
        } else {
            let at = usize::try_from(self.made).unwrap_or(0) % REMEMBERED;
            if let Some(slot) = self.remembered.get_mut(at) {
                *slot = kept;
            }
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, vehicle: u32) {
        let oddity = self.random.random::<u32>();
        let late = u64::from(self.random.random::<u32>()) < self.late;
        let mut at_us = self.now_us;
        if late {
            // One microsecond off the grid: an event in time never has the same (id, ts).
            at_us -= self.random.random_range(1..=LATE_MS_MAX) * 1_000 + 1;
        }
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&self.key);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(kind(vehicle, oddity));
        out.extend_from_slice(b"\",\"battery\":");
        self.battery(out, oddity);
        let (north, east) = (self.random.random_range(0..SPREAD), self.random.random_range(0..SPREAD));
        if oddity % 1_000 == 7 {
            out.extend_from_slice(b",\"lat\":null,\"lon\":null");
        } else {
            // As many places as a double keeps, which is what most senders write.
            out.extend_from_slice(b",\"lat\":");
            fixed(out, SOUTH + north, 14);
            out.extend_from_slice(b",\"lon\":");
            fixed(out, WEST + east, 14);
        }
        out.extend_from_slice(b",\"ts\":\"");
        timestamp(out, at_us);
        out.extend_from_slice(b"\"}");
    }

    fn battery(&mut self, out: &mut Vec<u8>, oddity: u32) {
        let tenths = self.random.random_range(0..=1_000u32);
        match oddity % 500 {
            0 => out.extend_from_slice(b"null"),
            1 => {
                out.extend_from_slice(b"-");
                fixed(out, u64::from(tenths) + 1, 1);
            }
            2 => fixed(out, 1_001 + u64::from(tenths), 1),
            _ => fixed(out, u64::from(tenths), 1),
        }
    }

    fn write_malformed(&mut self, out: &mut Vec<u8>) {
        match self.random.random_range(0..6u8) {
            0 => out.extend_from_slice(b"not json at all"),
            1 => {
                out.extend_from_slice(b"{\"id\":\"");
                out.extend_from_slice(&self.key);
                out.extend_from_slice(b"\",\"type\":\"ca");
            }
            2 => out.extend_from_slice(b"{\"id\":\"\xff\xfe\",\"type\":\"car\"}"),
            3 => {
                out.extend_from_slice(b"{\"id\":\"");
                out.extend_from_slice(&self.key);
                out.extend_from_slice(b"\",\"type\":\"car\",\"battery\":\"full\",\"lat\":52.4,\"lon\":13.4,\"ts\":\"");
                timestamp(out, self.now_us);
                out.extend_from_slice(b"\"}");
            }
            4 => {
                out.extend_from_slice(b"{\"id\":\"");
                out.extend_from_slice(&self.key);
                out.extend_from_slice(
                    b"\",\"type\":\"bike\",\"battery\":50.0,\"lat\":52.4,\"lon\":13.4,\"ts\":\"yesterday\"}",
                );
            }
            _ => out.extend_from_slice(b"[1,2,3]"),
        }
    }
}

/// A vehicle keeps its type; one event in 500 writes it oddly, one in 1,000 is of a type nobody knows.
fn kind(vehicle: u32, oddity: u32) -> &'static [u8] {
    let odd = oddity % 1_000;
    match (vehicle % 10, odd) {
        (_, 3) => b"truck",
        (0..=4, 4) => b"CAR",
        (0..=4, 5) => b" car ",
        (0..=4, _) => b"car",
        (5..=7, 4) => b"BIKE",
        (5..=7, 5) => b" bike ",
        (5..=7, _) => b"bike",
        (_, 4) => b"Scoot",
        (_, 5) => b" scoot ",
        _ => b"scoot",
    }
}

/// Writes the last `width` decimal digits of a value at a place.
fn digits(out: &mut [u8], at: usize, mut value: u64, width: usize) {
    if let Some(places) = out.get_mut(at..at + width) {
        for place in places.iter_mut().rev() {
            *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
}

/// Appends `value / 10^places`, with all its places.
fn fixed(out: &mut Vec<u8>, value: u64, places: u32) {
    let unit = 10u64.pow(places);
    let mut whole = [0; 20];
    let width = 1 + usize::try_from((value / unit).checked_ilog10().unwrap_or(0)).unwrap_or(0);
    digits(&mut whole, 0, value / unit, width);
    out.extend_from_slice(whole.get(..width).unwrap_or_default());
    out.push(b'.');
    let mut fraction = [0; 20];
    let width = usize::try_from(places).unwrap_or(0);
    digits(&mut fraction, 0, value % unit, width);
    out.extend_from_slice(fraction.get(..width).unwrap_or_default());
}

/// Appends `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
fn timestamp(out: &mut Vec<u8>, micros: i64) {
    let (days, in_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = date_of(days);
    let unsigned = |v: i64| u64::try_from(v).unwrap_or(0);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text, 0, unsigned(year), 4);
    digits(&mut text, 5, unsigned(month), 2);
    digits(&mut text, 8, unsigned(day), 2);
    digits(&mut text, 11, unsigned(in_day / 3_600_000_000), 2);
    digits(&mut text, 14, unsigned(in_day / 60_000_000 % 60), 2);
    digits(&mut text, 17, unsigned(in_day / 1_000_000 % 60), 2);
    digits(&mut text, 20, unsigned(in_day % 1_000_000), 6);
    out.extend_from_slice(&text);
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
