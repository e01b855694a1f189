//! CREATE SOURCE as a model: its columns and its connection.
//!
//! Invariants
//! * `${NAME}` is expanded here and nowhere else; expanded values appear in no diagnostic.
//! * Every key of WITH is ours or librdkafka's.
//!
//! Not here: decoding options (`ingot_source::SourceSchema`), connecting.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use ingot_dialect::ast::{Encoding, Format, Pair, Source};
use ingot_dialect::diagnostic::{Diagnostic, did_you_mean};
use ingot_dialect::{expand_env, fold_tokens};
use ingot_source::{Connection, KafkaConfig, SourceSchema, Start};

use crate::config::Config;
use crate::project::SourceModel;

const OWN_KEYS: [&str; 3] = ["connector", "topic", "start"];

/// The model of a source, or None with complaints in `found`.
pub(crate) fn model(file: &str, source: &Source, cfg: &Config, found: &mut Vec<Diagnostic>) -> Option<SourceModel> {
    let before = found.iter().filter(|d| d.is_error()).count();
    let built = unbuilt(file, source, found);
    let with = options(file, source, cfg, found);
    let lookup = |name: &str| cfg.variable(name);
    let schema = if built {
        match SourceSchema::try_from_ast(source, &lookup) {
            Ok(schema) => Some(schema),
            Err(errors) => {
                found.extend(errors.into_iter().map(|mut d| {
                    d.file = Some(file.to_owned());
                    d
                }));
                None
            }
        }
    } else {
        None
    };
    if found.iter().filter(|d| d.is_error()).count() > before {
        return None;
    }
    let (schema, with) = (schema?, with?);
    let kafka = cfg.kafka.merged(&with.properties);
    if kafka.get("bootstrap.servers").is_none_or(|s| s.is_empty()) && !kafka.contains_key("metadata.broker.list") {
        found.push(
            Diagnostic::warning("C0103", format!("source \"{}\" has no brokers", source.name.dotted()))
                .at(file, source.name.span())
                .help(
                    "add kafka.bootstrap.servers = \"host:9092\" to ingot.toml, or set INGOT_KAFKA__BOOTSTRAP__SERVERS",
                ),
        );
    }
    Some(SourceModel {
        name: source.name.dotted(),
        arrow: schema.arrow(),
        schema: Arc::new(schema),
        connection: Connection::Kafka {
            topic: with.topic,
            start: with.start,
            config: KafkaConfig { properties: kafka },
        },
        file: file.to_owned(),
    })
}

/// U codes for what the dialect parses and this version does not read.
fn unbuilt(file: &str, source: &Source, found: &mut Vec<Diagnostic>) -> bool {
    let before = found.len();
    let format = match source.format.node {
        Format::Plain => None,
        Format::Upsert => Some("UPSERT"),
        Format::Debezium => Some("DEBEZIUM"),
    };
    if let Some(format) = format {
        found.push(
            Diagnostic::error("U0114", format!("FORMAT {format} is not supported yet"))
                .at(file, source.format.span)
                .help("write FORMAT PLAIN, and keep the latest row of each key in a materialized view"),
        );
    }
    let encodings =
        [(Encoding::Avro, "U0103", "AVRO"), (Encoding::Protobuf, "U0104", "PROTOBUF"), (Encoding::Csv, "U0105", "CSV")];
    if let Some((_, code, name)) = encodings.iter().find(|(e, ..)| *e == source.encode.encoding.node) {
        found.push(
            Diagnostic::error(code, format!("ENCODE {name} is not supported yet"))
                .at(file, source.encode.encoding.span)
                .help("write ENCODE JSON, or ENCODE BYTES to keep the messages as they are"),
        );
    }
    if let Some(key) = &source.key_encode {
        found.push(
            Diagnostic::error("U0115", "KEY ENCODE is not supported yet")
                .at(file, key.encoding.span)
                .help("leave it out; INCLUDE KEY AS k gives the key's bytes"),
        );
    }
    if let Some((column, expr)) = &source.watermark {
        found.push(
            Diagnostic::error("U0109", "WATERMARK is not supported yet")
                .at(file, column.span.union(&expr.span))
                .help("leave it out; a materialized view can filter late rows"),
        );
    }
    if let Some(key) = &source.primary_key {
        let span = key.iter().fold(datafusion::sql::sqlparser::tokenizer::Span::empty(), |s, i| s.union(&i.span));
        found.push(
            Diagnostic::error("U0120", "PRIMARY KEY of a source is not supported yet")
                .at(file, span)
                .help("leave it out; a view may declare PRIMARY KEY (...) NOT ENFORCED"),
        );
    }
    found.len() == before
}

struct With {
    topic: String,
    start: Start,
    properties: BTreeMap<String, String>,
}

fn options(file: &str, source: &Source, cfg: &Config, found: &mut Vec<Diagnostic>) -> Option<With> {
    let before = found.len();
    let mut meant: Vec<String> = Vec::new();
    let mut values: BTreeMap<&str, (String, &Pair)> = BTreeMap::new();
    for pair in &source.with {
        let key = pair.key.node.as_str();
        let value = match expand_env(&pair.value.node, &|name| cfg.variable(name)) {
            Ok(value) => value,
            Err(name) => {
                found.push(
                    Diagnostic::error("C0104", format!("environment variable \"{name}\" is not set"))
                        .at(file, pair.value.span)
                        .help(format!("set it, or write a default: ${{{name}:-...}}")),
                );
                continue;
            }
        };
        if values.insert(key, (value, pair)).is_some() {
            let d = Diagnostic::error("P0108", format!("'{key}' is given twice")).at(file, pair.key.span);
            found.push(d.help("keep one of the two"));
        }
    }
    let mut properties = BTreeMap::new();
    for (key, (value, pair)) in &values {
        if OWN_KEYS.contains(key) {
            continue;
        }
        match cfg.kafka_property(key, None) {
            Err(e) => {
                let d = Diagnostic::error("C0105", format!("'{key}' is no option of a source")).at(file, pair.key.span);
                let near = did_you_mean(key, OWN_KEYS).map(str::to_owned).or(e.suggestion);
                meant.extend(near.clone());
                found.push(match near {
                    Some(near) => d.help(format!("did you mean '{near}'?")).suggest(pair.key.span, format!("'{near}'")),
                    None => d.note(e.reason).help("options are connector, topic, start and librdkafka's properties"),
                });
            }
            Ok(()) => match cfg.kafka_property(key, Some(value)) {
                Err(e) => found.push(crate::config::kafka_error(key, &e).at(file, pair.value.span)),
                Ok(()) => {
                    properties.insert((*key).to_owned(), value.clone());
                }
            },
        }
    }
    // A key that is there, but misspelt or without its variable, has its own complaint.
    let said = |key: &str| meant.iter().any(|m| m == key) || source.with.iter().any(|p| p.key.node == key);
    match values.get("connector") {
        None if said("connector") => {}
        None => found.push(
            Diagnostic::error("C0103", format!("source \"{}\" has no connector", source.name.dotted()))
                .at(file, source.name.span())
                .help("add 'connector' = 'kafka' to WITH"),
        ),
        Some((value, pair)) if value != "kafka" => found.push(
            Diagnostic::error("U0123", format!("connector '{}' is not supported yet", pair.value.node))
                .at(file, pair.value.span)
                .help("write 'connector' = 'kafka'")
                .suggest(pair.value.span, "'kafka'"),
        ),
        Some(_) => {}
    }
    let topic = match values.get("topic") {
        Some((topic, _)) if !topic.is_empty() => topic.clone(),
        None if said("topic") => String::new(),
        _ => {
            found.push(
                Diagnostic::error("C0103", format!("source \"{}\" has no topic", source.name.dotted()))
                    .at(file, source.name.span())
                    .help("add 'topic' = '...' to WITH"),
            );
            String::new()
        }
    };
    let start = match values.get("start") {
        None => Start::Earliest,
        Some((value, pair)) => match start(value) {
            Some(start) => start,
            None => {
                found.push(
                    Diagnostic::error("C0102", format!("'start' cannot be '{}'", pair.value.node))
                        .at(file, pair.value.span)
                        .help("write 'earliest', 'latest' or a timestamp such as '2026-01-31T12:00:00Z'"),
                );
                Start::Earliest
            }
        },
    };
    (found.len() == before).then_some(With { topic, start, properties })
}

fn start(text: &str) -> Option<Start> {
    match text {
        "earliest" => return Some(Start::Earliest),
        "latest" => return Some(Start::Latest),
        _ => {}
    }
    if let Ok(t) = DateTime::parse_from_rfc3339(text) {
        return Some(Start::Timestamp(t.timestamp_millis()));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
            return Some(Start::Timestamp(t.and_utc().timestamp_millis()));
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
    Some(Start::Timestamp(day.and_utc().timestamp_millis()))
}

/// What of a source decides rows: columns, INCLUDEs and ENCODE as written; never connections.
pub(crate) fn fingerprint_parts(source: &Source, parts: &mut Vec<String>) {
    for c in &source.columns {
        let path = c.path.as_ref().map_or("", |p| p.node.as_str());
        let default = c.default.as_ref().map(|e| fold_tokens(&e.tokens)).unwrap_or_default();
        parts.push(format!(
            "column {} {} {:?} {path} {} {default}",
            c.name.value, c.name.written, c.ty.node, c.not_null
        ));
    }
    for i in &source.includes {
        parts.push(format!("include {:?} {}", i.kind, i.name.value));
    }
    parts.push(format!("encode {:?}", source.encode.encoding.node));
    for o in &source.encode.options {
        parts.push(format!("option {} {}", o.key.value, o.value.node));
    }
}
