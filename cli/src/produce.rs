//! `produce`: a deterministic vehicle fleet onto the configured brokers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ingot_source::KafkaConfig;
use ingot_source::fleet::{Fleet, FleetConfig};

use crate::args::{FleetArgs, Global, ProduceArgs};
use crate::open::{self, Failure};
use crate::progress::Bar;
use crate::tell::say;
use crate::{process, show};

pub fn fleet(args: &FleetArgs) -> FleetConfig {
    FleetConfig { seed: args.seed, malformed: args.malformed, duplicates: args.duplicates, late: args.late }
}

pub async fn produce(global: &Global, args: &ProduceArgs) -> Result<u8, Failure> {
    let config = open::configuration(global)?;
    let brokers = KafkaConfig { properties: config.kafka.merged(&std::collections::BTreeMap::new()) };
    if let Some(partitions) = args.partitions {
        ingot_source::ensure_topic(&brokers, &args.topic, partitions).await.map_err(source)?;
    }
    let stop = process::stop_on_signals()?;
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        flag.store(true, Ordering::Relaxed);
    });
    let bar = Bar::new(args.events, "events", global.quiet);
    let shown = bar.clone();
    let (topic, events, skip, rate) = (args.topic.clone(), args.events, args.skip, args.rate);
    let mut fleet = Fleet::new(fleet(&args.fleet));
    let task = tokio::task::spawn_blocking(move || {
        fleet.skip(skip);
        ingot_source::produce(&brokers, &topic, events, rate, &mut fleet, &|n| shown.set(n), &stopped)
    });
    let report = task.await.map_err(|e| Failure::Outside(e.to_string()))?.map_err(source)?;
    bar.done();
    if global.json {
        say!(
            "{}",
            serde_json::json!({ "version": 1, "topic": args.topic, "events": report.events, "bytes": report.bytes, "seconds": report.seconds })
        )?;
    } else {
        let rate = (report.events as f64 / report.seconds.max(1e-9)) as u64;
        say!(
            "{} events to {} in {}, {} events/s",
            show::number(report.events),
            args.topic,
            show::age(report.seconds),
            show::number(rate)
        )?;
    }
    Ok(if report.events < args.events { 143 } else { 0 })
}

pub fn source(e: ingot_source::SourceError) -> Failure {
    ingot_pipeline::error::PipelineError::from(e).into()
}
