//! The list of metrics.
//!
//! Invariants
//! * A name is `ingot_<what>_<unit>[_total]`; what stands behind it is said once, beside it, and is the help that
//!   Prometheus shows and the text of `docs/metrics.md`.
//! * Each is moved by `tests/e2e/metrics.sh`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use prometheus::{Registry, TextEncoder};

use crate::kinds::{Counter, Gauge, Kind, Timer};

/// A metric as the list has it.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// As Prometheus shows it; a histogram's series have `_bucket`, `_sum` and `_count` behind it.
    pub name: &'static str,
    /// Prometheus' word: counter, gauge or histogram.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

macro_rules! list {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident[$($label:literal),*] = $name:literal;)+) => {
        /// Every metric of a process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind<{ <[&str]>::len(&[$($label),*]) }>,)+
        }

        /// Every metric, in the order of the reference.
        pub const LIST: &[Listed] = &[$(Listed {
            name: $name,
            kind: <$kind<{ <[&str]>::len(&[$($label),*]) }> as Kind>::NAME,
            labels: &[$($label),*],
            help: concat!($($help),+).trim_ascii(),
        }),+];

        impl Metrics {
            fn new() -> Self {
                let registry = Registry::new();
                $(let $field = Kind::register(&registry, $name, concat!($($help),+).trim_ascii(), &[$($label),*]);)+
                Self { registry, $($field),+ }
            }
        }
    };
}

list! {
    /// Messages that were read from a topic and taken into a batch, decoded or not.
    source_messages: Counter["table", "topic", "partition"] = "ingot_source_messages_total";
    /// Bytes of those messages: keys, payloads and a fixed cost for each.
    source_bytes: Counter["table", "topic"] = "ingot_source_bytes_total";
    /// How often a broker did not answer, and was waited for.
    source_waits: Counter["topic"] = "ingot_source_waits_total";
    /// Messages between the table's position and the end of the partition, as of the last look.
    source_lag: Gauge["table", "topic", "partition"] = "ingot_source_lag_messages";
    /// The age of the newest state of its sources that a table holds all of, as of the last look.
    table_freshness: Gauge["table"] = "ingot_table_freshness_seconds";
    /// Rows in the data files that commits added. A merge writes the other rows of a file again, and they count, too.
    rows: Counter["table"] = "ingot_rows_total";
    /// Bytes of the data files that commits added.
    written_bytes: Counter["table"] = "ingot_written_bytes_total";
    /// Messages of a table that became rows of its error table.
    errors_rows: Counter["table"] = "ingot_errors_rows_total";
    /// Commits from the first attempt to the last, by outcome: ok, superseded (another commit made it moot), unknown,
    /// failed.
    commit_duration: Timer["table", "outcome"] = "ingot_commit_duration_seconds";
    /// Snapshots that commits and upkeep made the table forget.
    snapshots_forgotten: Counter["table"] = "ingot_snapshots_forgotten_total";
    /// Small data files, and files with many deletes, that upkeep wrote into others.
    compacted_files: Counter["table"] = "ingot_compacted_files_total";
    /// Files that upkeep deleted since nothing needs them, by kind: metadata (manifests and their lists), data, orphan
    /// (nothing named it: a process ended before its commit).
    deleted_files: Counter["table", "kind"] = "ingot_deleted_files_total";
    /// Rounds of upkeep over a table, by outcome: ok, failed. A failed one is tried again.
    upkeep_duration: Timer["table", "outcome"] = "ingot_upkeep_duration_seconds";
    /// Refreshes of a view that had something to do, commit included, by outcome: ok, failed.
    refresh_duration: Timer["table", "outcome"] = "ingot_refresh_duration_seconds";
    /// How often a table's ingestion or refresh stopped with an error, by its code.
    table_errors: Counter["table", "code"] = "ingot_table_errors_total";
    /// Queries whose rows are on their way to a client.
    queries_running: Gauge[] = "ingot_queries_running";
    /// Queries from the request for their rows to the last of them, by outcome: ok, cancelled (by the client, or because
    /// it went), failed.
    query_duration: Timer["outcome"] = "ingot_query_duration_seconds";
    /// Rows that queries gave.
    query_rows: Counter[] = "ingot_query_rows_total";
    /// Bytes of those rows in Arrow's encoding.
    query_bytes: Counter[] = "ingot_query_bytes_total";
    /// Memory that is reserved in the shared pool (`run.memory_bytes_max`), by what holds it.
    memory: Gauge["consumer"] = "ingot_memory_bytes";
    /// Requests to the warehouse's object store or file system, retries included, by operation and outcome: ok, failed.
    /// A file that is not there is a failed read.
    store_duration: Timer["operation", "outcome"] = "ingot_store_request_duration_seconds";
    /// Calls to the catalog with the metadata files that they read or write, by operation and outcome: ok, conflict (of a
    /// commit, or a name that is taken), failed.
    catalog_duration: Timer["operation", "outcome"] = "ingot_catalog_call_duration_seconds";
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// All series that moved, in Prometheus' text format 0.0.4.
///
/// # Errors
/// A series that cannot be written.
pub fn text() -> Result<String, String> {
    TextEncoder::new().encode_to_string(&METRICS.registry.gather()).map_err(|e| e.to_string())
}

/// The reference page of the metrics, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         With `http.listen` set, `ingot run`, `ingot up` and `ingot serve` answer over HTTP:\n\n\
         | path | what |\n|---|---|\n\
         | `/healthz` | 200 while the process lives: for a liveness probe |\n\
         | `/readyz` | 200 while the catalog can be read, else 503 with the reason: for a readiness probe |\n\
         | `/metrics` | the metrics below, in Prometheus' text format |\n\n\
         A series appears when it first moves. Lag and freshness are looked at every few seconds, by `run` and `up` alone. \
         There is no authentication: whoever reaches the address reads names of tables and topics and these figures, never \
         rows or statements.\n\n\
         | metric | kind | labels | what |\n|---|---|---|---|\n",
    );
    for m in LIST {
        let labels = m.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "| `{}` | {} | {labels} | {} |", m.name, m.kind, m.help);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::OK;

    #[test]
    fn every_metric_is_registered_and_named_as_agreed() {
        let of = metrics();
        of.source_messages.add(["silver.t", "t", "0"], 3);
        of.table_freshness.set(["silver.t"], 0.5);
        of.commit_duration.observe(["silver.t", OK], Duration::from_millis(20));
        of.memory.of(["sort"]).add(7.0);
        let text = text().unwrap();
        for line in [
            "ingot_source_messages_total{partition=\"0\",table=\"silver.t\",topic=\"t\"} 3",
            "ingot_table_freshness_seconds{table=\"silver.t\"} 0.5",
            "ingot_commit_duration_seconds_count{outcome=\"ok\",table=\"silver.t\"} 1",
            "ingot_memory_bytes{consumer=\"sort\"} 7",
            "ingot_queries_running 0",
            "# TYPE ingot_commit_duration_seconds histogram",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        of.table_freshness.forget(["silver.t"]);
        assert!(!super::text().unwrap().contains("ingot_table_freshness_seconds"));
        let units = ["_messages", "_bytes", "_rows", "_seconds", "_total", "_running"];
        for m in LIST {
            assert!(m.name.starts_with("ingot_") && units.iter().any(|u| m.name.ends_with(u)), "{}", m.name);
            assert_eq!(m.kind == "counter", m.name.ends_with("_total"), "{}", m.name);
            assert!(m.help.ends_with('.') && !m.help.contains('\n') && !m.help.contains('|'), "{}", m.name);
        }
        // What could not be registered counts nothing.
        assert!(!format!("{of:?}").contains("(None)"));
    }
}
