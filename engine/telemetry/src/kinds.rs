//! Counters, gauges and timers whose number of labels the compiler checks.
//!
//! Invariants
//! * Counting never fails and never panics. A metric that could not be made counts nothing; a test finds it.
//!
//! Not here: names (`metrics`).

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Upper ends of a timer's buckets, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];

/// A number that only grows.
#[derive(Debug)]
pub struct Counter<const N: usize>(Option<IntCounterVec>);

/// A number that goes up and down.
#[derive(Debug)]
pub struct Gauge<const N: usize>(Option<GaugeVec>);

/// How long something took, in seconds, as a histogram: its `_count` says how often.
#[derive(Debug)]
pub struct Timer<const N: usize>(Option<HistogramVec>);

/// What a list of metrics is made of.
pub(crate) trait Kind: Sized {
    /// Prometheus' word for it.
    const NAME: &'static str;
    fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Self;
}

/// Registers a collector; one without labels is there from the beginning.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> Option<C> {
    let made = made.ok()?;
    registry.register(Box::new(made.clone())).ok()?;
    Some(made)
}

impl<const N: usize> Kind for Counter<N> {
    const NAME: &'static str = "counter";

    fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Self {
        let counter = Self(registered(registry, IntCounterVec::new(Opts::new(name, help), labels)));
        if N == 0 {
            counter.add([""; N], 0);
        }
        counter
    }
}

impl<const N: usize> Kind for Gauge<N> {
    const NAME: &'static str = "gauge";

    fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Self {
        let gauge = Self(registered(registry, GaugeVec::new(Opts::new(name, help), labels)));
        if N == 0 {
            gauge.set([""; N], 0.0);
        }
        gauge
    }
}

impl<const N: usize> Kind for Timer<N> {
    const NAME: &'static str = "histogram";

    fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Self {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        Self(registered(registry, HistogramVec::new(options, labels)))
    }
}

impl<const N: usize> Counter<N> {
    /// Adds to the series with these values of its labels.
    pub fn add(&self, labels: [&str; N], by: u64) {
        if let Some(Ok(counter)) = self.0.as_ref().map(|all| all.get_metric_with_label_values(&labels)) {
            counter.inc_by(by);
        }
    }
}

impl<const N: usize> Gauge<N> {
    /// Sets the series with these values of its labels.
    pub fn set(&self, labels: [&str; N], value: f64) {
        self.of(labels).set(value);
    }

    /// The series with these values of its labels, for code that changes it often.
    pub fn of(&self, labels: [&str; N]) -> Level {
        Level(self.0.as_ref().and_then(|all| all.get_metric_with_label_values(&labels).ok()))
    }

    /// Removes a series whose subject does not exist any more.
    pub fn forget(&self, labels: [&str; N]) {
        if let Some(all) = &self.0 {
            // One that is not there is forgotten.
            let _ = all.remove_label_values(&labels);
        }
    }
}

/// One series of a gauge.
#[derive(Debug, Clone)]
pub struct Level(Option<prometheus::Gauge>);

impl Level {
    /// Sets it.
    pub fn set(&self, value: f64) {
        if let Some(gauge) = &self.0 {
            gauge.set(value);
        }
    }

    /// Adds to it; what is negative is taken away.
    pub fn add(&self, by: f64) {
        if let Some(gauge) = &self.0 {
            gauge.add(by);
        }
    }
}

impl<const N: usize> Timer<N> {
    /// Notes that something took so long.
    pub fn observe(&self, labels: [&str; N], took: Duration) {
        if let Some(Ok(timer)) = self.0.as_ref().map(|all| all.get_metric_with_label_values(&labels)) {
            timer.observe(took.as_secs_f64());
        }
    }
}
