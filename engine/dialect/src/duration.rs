//! Lengths of time as people write them: one grammar for settings and the command line, one table of units for FRESHNESS too.
//!
//!   length = digits [space] unit
//!   unit   = ms | s | sec | m | min | h | d, or a word of `UNITS`, singular or plural
//!
//! Invariants
//! * A length is a whole number of milliseconds and fits into 64 bits; what does not is none.
//! * Months and years are no units: they have no fixed length.
//!
//! Not here: seconds without a unit (the command line), quotes and capitals of FRESHNESS (`table`), SQL's intervals as
//! values (`ingot-semantics`).

/// A unit: its word in capitals, its short forms, and how long one is.
pub(crate) struct Unit {
    pub word: &'static str,
    short: &'static [&'static str],
    ms: u64,
}

/// Every unit, the shortest first.
pub(crate) const UNITS: &[Unit] = &[
    Unit { word: "MILLISECOND", short: &["ms"], ms: 1 },
    Unit { word: "SECOND", short: &["s", "sec"], ms: 1_000 },
    Unit { word: "MINUTE", short: &["m", "min"], ms: 60_000 },
    Unit { word: "HOUR", short: &["h"], ms: 3_600_000 },
    Unit { word: "DAY", short: &["d"], ms: 86_400_000 },
    Unit { word: "WEEK", short: &[], ms: 604_800_000 },
];

impl Unit {
    /// The unit of a word in capitals, singular or plural.
    pub(crate) fn of_word(word: &str) -> Option<&'static Self> {
        UNITS.iter().find(|unit| word == unit.word || word.strip_suffix('S') == Some(unit.word))
    }

    /// Milliseconds of so many; none where they do not fit.
    pub(crate) fn ms(&self, count: u64) -> Option<u64> {
        count.checked_mul(self.ms)
    }
}

/// Milliseconds of a text such as `500 ms`, `10s`, `2 min`, `1 hour` or `3 weeks`, in small letters; none of a bare number,
/// of any other text, and of what does not fit into 64 bits.
pub fn parse_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = unit.trim();
    let small = !unit.contains(|c: char| c.is_ascii_uppercase());
    let unit = UNITS
        .iter()
        .find(|known| known.short.contains(&unit))
        .or_else(|| Unit::of_word(&unit.to_ascii_uppercase()).filter(|_| small))?;
    unit.ms(number.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        let second = ["s", "sec", "second", "seconds"].map(|unit| (unit, 1_000));
        let minute = ["m", "min", "minute", "minutes"].map(|unit| (unit, 60_000));
        let others = [
            ("ms", 1),
            ("millisecond", 1),
            ("milliseconds", 1),
            ("h", 3_600_000),
            ("hour", 3_600_000),
            ("hours", 3_600_000),
            ("d", 86_400_000),
            ("day", 86_400_000),
            ("days", 86_400_000),
            ("week", 604_800_000),
            ("weeks", 604_800_000),
        ];
        for (unit, ms) in second.into_iter().chain(minute).chain(others) {
            for text in [format!("12{unit}"), format!("12 {unit}"), format!("  012 \t {unit} ")] {
                assert_eq!(parse_ms(&text), Some(12 * ms), "{text}");
            }
            assert_eq!(parse_ms(&format!("0{unit}")), Some(0));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            " ",
            "10",
            "s",
            "-1 s",
            "+1 s",
            "1.5 s",
            "1,5 s",
            "1_000 ms",
            "1 0 s",
            "1 h 30 min",
            "1h30m",
            "5 ns",
            "5 us",
            "5 µs",
            "1 month",
            "1 M",
            "1 y",
            "1 S",
            "1 Min",
            "1 MINUTES",
            "1 w",
            "1 mss",
            "1 secondss",
            "1 hr",
            "１ s",
            "1 ſ",
            "1 s;",
            "1 fortnight",
            "٣ s",
        ] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(parse_ms("18446744073709551615 ms"), Some(u64::MAX));
        assert_eq!(parse_ms("18446744073709551616 ms"), None);
        for unit in UNITS.iter().filter(|unit| unit.ms > 1) {
            let most = u64::MAX / unit.ms;
            let word = unit.word.to_ascii_lowercase();
            assert_eq!(parse_ms(&format!("{most} {word}")), Some(most * unit.ms), "{word}");
            assert_eq!(parse_ms(&format!("{} {word}", most + 1)), None, "{word}");
        }
    }
}
