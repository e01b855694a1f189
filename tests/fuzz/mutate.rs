//! A mutating fuzzer as an ordinary test: kept inputs and a dictionary, changed at random under a printed seed.
//!
//!   corpus/<target> ──▶ pool ──▶ mutate ──▶ target ──▶ what it said; new? back into the pool
//!
//! What a target says of an input (codes of errors, kinds of statements) stands in for code coverage: an input that
//! makes it say something new is kept and mutated further.
//!
//! Invariants
//! * A panic, an input that takes longer than `SLOW`, or a stack that overflows ends the test, and the input is on disk.
//! * Bounded: INGOT_FUZZ_SECONDS for each target, or a number of runs. INGOT_FUZZ_SEED repeats a run.
//!
//! Not here: the targets. Included by path in the tests of several crates; INGOT_FUZZ_KEEP=folder keeps new inputs.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One input may not take longer, on a slow and shared machine.
const SLOW: Duration = Duration::from_secs(30);
/// Longest input.
const BYTES_MAX: usize = 1 << 16;
/// Inputs that are mutated; beyond, new ones replace old ones.
const POOL_MAX: usize = 4_096;

/// SplitMix64.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// What a target said of an input: equal values count as nothing new.
pub fn said(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Where inputs are kept.
fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|a| a.join("tests/fuzz/corpus").join(name))
        .find(|p| p.is_dir())
        .expect("the corpus is in tests/fuzz/corpus")
}

/// Mutates one input, from one to a few times.
pub fn mutate(rng: &mut Rng, pool: &[Vec<u8>], dictionary: &[&[u8]]) -> Vec<u8> {
    let mut out = rng.pick(pool).cloned().unwrap_or_default();
    for _ in 0..=rng.below(5) {
        let at = rng.below(out.len() + 1);
        let end = (at + rng.below(32)).min(out.len());
        match rng.below(11) {
            0 if !out.is_empty() => {
                let i = rng.below(out.len());
                out[i] ^= 1 << rng.below(8);
            }
            1 if !out.is_empty() => {
                let i = rng.below(out.len());
                out[i] = rng.next() as u8;
            }
            2 => drop(out.drain(at..end)),
            3 => out.insert(at, rng.next() as u8),
            // A piece again, or the same piece many times: depth and length.
            4 => {
                let piece = out[at..end].to_vec();
                let times = if rng.below(8) == 0 { 1 + rng.below(400) } else { 1 };
                let many: Vec<u8> = piece.iter().copied().cycle().take(piece.len() * times).collect();
                out.splice(at..at, many);
            }
            5 | 6 => {
                let word = rng.pick(dictionary).copied().unwrap_or_default();
                out.splice(at..at, word.iter().copied());
            }
            7 => {
                let word = rng.pick(dictionary).copied().unwrap_or_default();
                out.splice(at..end, word.iter().copied());
            }
            // A piece of another input.
            8 => {
                let other = rng.pick(pool).map_or(&[][..], Vec::as_slice);
                let from = rng.below(other.len() + 1);
                let to = (from + rng.below(64)).min(other.len());
                let piece = other[from..to].to_vec();
                out.splice(at..end, piece);
            }
            9 => out.truncate(at),
            _ => {
                let digits = [0_u64, 1, 127, 255, 32_768, 65_535, u32::MAX.into(), i64::MAX as u64, u64::MAX];
                let text =
                    rng.pick(&digits).map_or_else(String::new, |d| format!("{}{d}", if d % 3 == 0 { "-" } else { "" }));
                out.splice(at..end, text.into_bytes());
            }
        }
    }
    out.truncate(BYTES_MAX);
    out
}

/// Mutated inputs of a run without a time.
const RUNS: u64 = 200;

/// Runs a target over a corpus and mutations of it: for `INGOT_FUZZ_SECONDS`, or some of them under a fixed seed.
pub fn fuzz(target: &str, corpus_of: &str, dictionary: &[&str], run: impl Fn(&[u8]) -> u64) {
    fuzz_from(target, corpus_of, dictionary, Vec::new(), run);
}

/// The same, with inputs that are made rather than kept.
pub fn fuzz_from(target: &str, corpus_of: &str, dictionary: &[&str], made: Vec<Vec<u8>>, run: impl Fn(&[u8]) -> u64) {
    // Without a time the same inputs come every time: a test that others run must not fail by chance.
    let time = number("INGOT_FUZZ_SECONDS").map(Duration::from_secs);
    let seed = number("INGOT_FUZZ_SEED").unwrap_or_else(|| match time {
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64),
        None => 1,
    });
    let keep = std::env::var_os("INGOT_FUZZ_KEEP").map(|k| PathBuf::from(k).join(target));
    println!("fuzz {target}: INGOT_FUZZ_SEED={seed}");
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus(corpus_of)).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut pool: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    pool.extend(made);
    assert!(!pool.is_empty(), "no corpus for {target}");
    let words: Vec<&[u8]> = dictionary.iter().map(|w| w.as_bytes()).collect();
    // In memory where that can be had: it is written before every run.
    let shm = PathBuf::from("/dev/shm");
    let folder = if shm.is_dir() { shm } else { std::env::temp_dir() };
    let last = folder.join(format!("ingot-fuzz-{target}-{}", std::process::id()));

    // The watchdog: an input that hangs cannot be stopped from within.
    let began = Instant::now();
    let running = Arc::new(AtomicU64::new(u64::MAX));
    let watched = Arc::clone(&running);
    let (at, name) = (last.clone(), target.to_owned());
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let since = watched.load(Ordering::Relaxed);
            if since == u64::MAX - 1 {
                return;
            }
            let now = began.elapsed().as_millis() as u64;
            if since != u64::MAX && now.saturating_sub(since) > SLOW.as_millis() as u64 {
                eprintln!("fuzz {name}: an input hangs: {} (seed {seed})", at.display());
                std::process::abort();
            }
        }
    });

    let mut rng = Rng::new(seed);
    let mut known = HashSet::new();
    let (mut runs, mut slowest) = (0_u64, Duration::ZERO);
    let kept = pool.len();
    let more = |runs: u64| time.map_or(runs < kept as u64 + RUNS, |time| began.elapsed() < time);
    while runs < kept as u64 || more(runs) {
        let input = match pool.get(runs as usize).filter(|_| runs < kept as u64) {
            Some(input) => input.clone(),
            None => mutate(&mut rng, &pool, &words),
        };
        std::fs::write(&last, &input).unwrap();
        let started = Instant::now();
        running.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&input)));
        running.store(u64::MAX, Ordering::Relaxed);
        slowest = slowest.max(started.elapsed());
        runs += 1;
        let Ok(outcome) = outcome else {
            panic!(
                "fuzz {target}: an input fails: {} (seed {seed}): {:?}",
                last.display(),
                String::from_utf8_lossy(&input)
            );
        };
        if known.insert(outcome) && runs > kept as u64 {
            if let Some(folder) = &keep {
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(folder.join(format!("{outcome:016x}")), &input).unwrap();
            }
            if pool.len() < POOL_MAX {
                pool.push(input);
            } else {
                let i = kept + rng.below(POOL_MAX - kept);
                pool[i] = input;
            }
        }
    }
    running.store(u64::MAX - 1, Ordering::Relaxed);
    let _ = std::fs::remove_file(&last);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    println!("fuzz {target}: {runs} runs, {} outcomes, slowest {slowest:?}, peak {peak}", known.len());
}
