//! Statements of random shape and depth, as text, prepared and as tickets: whatever comes, others are answered.
//!
//!   seed ──▶ shape (nested, chained, listed, doubled, blank, cut off) ──▶ server ──▶ `SELECT 1` within a second
//!
//! Invariants
//! * The process lives, nothing panics in it, and a refusal has a code.
//! * A client that left holds nobody up.
//!
//! `INGOT_SHAPES_SEED` and `INGOT_SHAPES` choose other shapes and how many; the seed is printed.
//!
//! Not here: whether answers are right.

use std::time::{Duration, Instant};

use arrow_flight::Ticket;
use futures::TryStreamExt;

use crate::{Sql, in_memory, start, tickets};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// Small numbers as often as large ones.
    fn size(&mut self, max: usize) -> usize {
        let bits = (usize::BITS - max.leading_zeros()) as usize;
        (1 << self.below(bits + 1)).min(max).saturating_sub(self.below(3)).max(1)
    }
}

const CHAINS: &[&str] = &[
    " AND ",
    " OR ",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " || ",
    " = ",
    " < ",
    " IS DISTINCT FROM ",
    " IN (1) AND ",
    " LIKE 'a' OR ",
    " BETWEEN 1 AND ",
    " IS NULL AND ",
    "::INT + ",
    " IS NOT TRUE OR NOT ",
    " & ",
    " XOR ",
    " -> ",
];
const OPENERS: &[(&str, &str)] = &[
    ("(", ")"),
    ("- ", ""),
    ("NOT ", ""),
    ("+", ""),
    ("abs(", ")"),
    ("coalesce(NULL, ", ")"),
    ("[", "]"),
    ("[1, ", "]"),
    ("struct(", ")"),
    ("{'a': ", "}"),
    ("make_array(", ")"),
    ("CAST(", " AS BIGINT)"),
    ("TRY_CAST(", " AS VARCHAR)"),
    ("CASE WHEN TRUE THEN ", " END"),
    ("CASE ", " WHEN 1 THEN 2 ELSE 3 END"),
    ("CASE WHEN FALSE THEN 1 ELSE ", " END"),
    ("(SELECT ", ")"),
    ("EXISTS (SELECT ", ")"),
    ("1 IN (SELECT ", ")"),
    ("battery IN (SELECT total FROM gold.stats WHERE battery = ", ")"),
    ("extract(day FROM ", ")"),
    ("trim(", ")"),
    ("interval ", ""),
    ("(1, ", ")"),
    ("ARRAY(SELECT ", ")"),
];
const TAILS: &[&str] =
    &["[1]", "::INT", "::INT[]", ".a", "['a']", " AT TIME ZONE 'UTC'", " COLLATE c", "->'a'", " IS NULL", ":a"];
const LEAVES: &[&str] =
    &["1", "'a'", "NULL", "battery", "id", "TRUE", "1.5", "1e3", "?", "count(*)", "ts", "'2024-01-01'::TIMESTAMP"];

fn expression(rng: &mut Rng, budget: usize) -> String {
    let leaf = if budget > 8 && rng.below(3) == 0 { expression(rng, budget / 8) } else { rng.of(LEAVES).to_owned() };
    let n = rng.size(budget);
    match rng.below(7) {
        0 => {
            let op = rng.of(CHAINS);
            vec![leaf.as_str(); n.min(200_000 / (leaf.len() + op.len())).max(1)].join(op)
        }
        1 => (0..n.min(20_000)).map(|_| rng.of(LEAVES).to_owned() + rng.of(CHAINS)).collect::<String>() + &leaf,
        2 => {
            let (open, close) = OPENERS[rng.below(OPENERS.len())];
            let n = n.min(100_000 / (open.len() + close.len()));
            format!("{}{leaf}{}", open.repeat(n), close.repeat(n))
        }
        3 => {
            // As deep as is let in, of all kinds.
            let kinds: Vec<_> = (0..rng.size(90)).map(|_| OPENERS[rng.below(OPENERS.len())]).collect();
            let (open, close): (String, String) =
                (kinds.iter().map(|k| k.0).collect(), kinds.iter().rev().map(|k| k.1).collect());
            format!("{open}{leaf}{close}")
        }
        4 => format!("{leaf}{}", rng.of(TAILS).repeat(n)),
        5 => {
            let list = vec![leaf.as_str(); n.min(200_000 / (leaf.len() + 2)).max(1)].join(", ");
            let (open, close) = [
                ("1 IN (", ")"),
                ("coalesce(", ")"),
                ("[", "]"),
                ("concat(", ")"),
                ("greatest(", ")"),
                ("id NOT IN (", ")"),
            ][rng.below(6)];
            format!("{open}{list}{close}")
        }
        _ => format!(
            "CASE {} END",
            format!("WHEN {leaf} = 1 THEN {leaf} ").repeat(n.min(100_000 / (2 * leaf.len() + 20)).max(1))
        ),
    }
}

fn statement(rng: &mut Rng, budget: usize) -> String {
    let n = rng.size(budget);
    let share = rng.size(budget);
    let e = expression(rng, share);
    let from = rng.of(&["", " FROM silver.vehicle_events", " FROM silver.vehicle_events v, gold.stats s"]);
    match rng.below(14) {
        0 | 1 => format!("SELECT {e} AS x{from}"),
        2 | 3 => format!("SELECT 1 FROM silver.vehicle_events WHERE {e}"),
        4 => {
            let op = rng.of(&[" UNION ALL ", " UNION ", " EXCEPT ", " INTERSECT ", " UNION ALL BY NAME "]);
            let one = rng.of(&[
                "SELECT 1 AS a",
                "SELECT battery FROM silver.vehicle_events",
                "VALUES (1)",
                "(SELECT 1 AS a)",
            ]);
            vec![one; n.min(10_000)].join(op)
        }
        5 => {
            let join = rng.of(&[", ", " CROSS JOIN ", " NATURAL JOIN ", " LEFT JOIN "]);
            let on = if join == " LEFT JOIN " { " ON TRUE" } else { "" };
            let more: String = (0..n.min(10_000)).map(|i| format!("{join}gold.stats t{i}{on}")).collect();
            format!("SELECT count(*) AS n FROM gold.stats t{more}")
        }
        6 => {
            // Each reads the one before, once or twice.
            let body = rng.of(&[
                "SELECT a FROM c#",
                "SELECT a + a AS a FROM c#",
                "SELECT * FROM c# UNION ALL SELECT * FROM c#",
                "SELECT x.a FROM c# x, c# y",
                "SELECT a FROM c# WHERE a IN (SELECT a FROM c#)",
            ]);
            let more: String =
                (1..n.min(2_000)).map(|i| format!(", c{i} AS ({})", body.replace('#', &(i - 1).to_string()))).collect();
            format!("WITH c0 AS (SELECT 1 AS a){more} SELECT * FROM c{} WHERE a > 1", n.min(2_000) - 1)
        }
        7 => {
            let inner = rng.of(&[
                "battery + battery",
                "battery",
                "abs(battery) * battery",
                "CASE WHEN battery > 1 THEN battery ELSE battery END",
            ]);
            let n = n.min(2_000);
            format!(
                "SELECT battery FROM {}silver.vehicle_events{} WHERE battery > 1",
                format!("(SELECT {inner} AS battery FROM ").repeat(n),
                ") AS t".repeat(n)
            )
        }
        8 => {
            let item = rng.of(&[
                "1",
                "battery",
                "sum(battery) OVER (ORDER BY ts)",
                "(SELECT 1)",
                "count(*)",
                "row_number() OVER ()",
            ]);
            let items: Vec<String> = (0..n.min(10_000)).map(|i| format!("{item} AS a{i}")).collect();
            format!("SELECT {} FROM silver.vehicle_events", items.join(", "))
        }
        9 => {
            let clause = rng.of(&[
                "ORDER BY ",
                "GROUP BY ",
                "GROUP BY CUBE (*)",
                "GROUP BY GROUPING SETS (*)",
                "GROUP BY ROLLUP (*)",
            ]);
            let keys: Vec<String> = (0..n.min(5_000)).map(|i| format!("battery + {i}")).collect();
            let clause = if clause.contains('*') {
                clause.replace('*', &keys.join(", "))
            } else {
                format!("{clause}{}", keys.join(", "))
            };
            format!("SELECT count(*) AS n FROM silver.vehicle_events {clause}")
        }
        10 => {
            let row = rng.of(&["(1)", "(1, 'a', NULL)", "(1.5)"]);
            format!("SELECT * FROM (VALUES {}) AS v", vec![row; n.min(20_000)].join(", "))
        }
        11 => {
            let blank = rng.of(&[" ", "\n", "\t", "/**/", "/*/**/*/", "--\n", "/*! */", "-- a\n "]);
            format!("SELECT{}1{}", blank.repeat(rng.size(80_000)), blank.repeat(rng.size(80_000)))
        }
        12 => format!(
            "{}SELECT {e} AS x",
            rng.of(&["EXPLAIN ", "EXPLAIN ANALYZE ", "DESCRIBE ", "(", "WITH "]).repeat(rng.size(5_000))
        ),
        _ => {
            // Cut off, or with a part in another place.
            let whole = statement(rng, budget / 2 + 1);
            let chars: Vec<char> = whole.chars().collect();
            let (a, b) = (rng.below(chars.len() + 1), rng.below(chars.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let keep = |r: &[char]| r.iter().collect::<String>();
            if rng.below(2) == 0 {
                keep(&chars[..a])
            } else {
                keep(&chars[..a]) + &keep(&chars[b..]) + &keep(&chars[a..b])
            }
        }
    }
}

/// A ticket of a server with the same key: planned from its text.
fn ticket(sql: &str) -> Ticket {
    let handle = serde_json::json!({ "v": 1, "id": "00000000-0000-0000-0000-000000000001", "sql": sql, "pins": [], "schema": 1 });
    tickets::ticket(&tickets::sealed(handle.to_string().as_bytes()))
}

async fn send(sql: &mut Sql, text: &str, way: usize) -> Result<usize, arrow_flight::error::FlightError> {
    let read = |ticket: Option<Ticket>| ticket.unwrap_or_default();
    let rows = match way {
        0 => {
            let info = sql.execute(text.to_owned(), None).await?;
            sql.do_get(read(info.endpoint[0].ticket.clone())).await?
        }
        1 => {
            let mut prepared = sql.prepare(text.to_owned(), None).await?;
            let info = prepared.execute().await?;
            sql.do_get(read(info.endpoint[0].ticket.clone())).await?
        }
        _ => sql.do_get(ticket(text)).await?,
    };
    let batches: Vec<_> = rows.try_collect().await?;
    Ok(crate::rows(&batches))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_others_are_answered() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise);
    let (seed, count) = (number("INGOT_SHAPES_SEED", 1), number("INGOT_SHAPES", 150));
    println!("INGOT_SHAPES_SEED={seed} INGOT_SHAPES={count}");
    let server = start(in_memory()).await;
    let (mut hostile, mut other) = (server.sql().await, server.sql().await);
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    let mut worst = Duration::ZERO;
    for i in 0..count {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i + 1).wrapping_mul(0xD129_0B2A_1B5E_6D4F) | 1);
        let budget = [60, 2_000, 20_000][rng.below(3)];
        let text = statement(&mut rng, budget);
        let way = rng.below(3);
        let patience = Duration::from_millis([200, 1_500][rng.below(2)]);
        let shown = || format!("statement {i} of seed {seed}, way {way}: {} bytes, {:.200}", text.len(), text);
        if std::env::var_os("INGOT_SHAPES_SHOW").is_some() {
            println!("{}", shown());
        }
        // Who waits no longer leaves: the call is dropped.
        let outcome = match tokio::time::timeout(patience, send(&mut hostile, &text, way)).await {
            Err(_) => "left".to_owned(),
            Ok(Ok(_)) => "answered".to_owned(),
            Ok(Err(arrow_flight::error::FlightError::Tonic(s))) => {
                assert!(!s.message().contains("panicked"), "{}: {}", s.message(), shown());
                let code: String = s.message().chars().take(5).collect();
                assert!(code.starts_with('Q'), "{}: {}", s.message(), shown());
                code
            }
            // Arrow's own decoder has a bound on how deep types nest.
            Ok(Err(_)) => "not decoded".to_owned(),
        };
        *outcomes.entry(outcome).or_default() += 1;
        // The machine may be busy with others for a moment, so one of three in a row counts.
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(send(&mut other, "SELECT 1 AS a", 0).await.unwrap(), 1, "{}", shown());
            best = best.min(began.elapsed());
            if best < Duration::from_secs(1) {
                break;
            }
        }
        assert!(best < Duration::from_secs(1), "SELECT 1 took {best:?} after {}", shown());
        worst = worst.max(best);
    }
    println!("{outcomes:?}, SELECT 1 at worst {worst:?}");
    server.end().await;
}
