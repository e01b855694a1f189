//! Text to dates, times and instants, in microseconds.
//!
//! Invariants
//! * Digits past the microsecond are dropped, which floors: before 1970, too.
//! * Nothing is guessed: every component is checked, a 60th second and a 24th hour are refused.
//!
//! Not here: numbers of seconds since 1970 (`convert`).

use chrono::NaiveDate;

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// Reads bytes from the front.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Exactly `n` digits.
    fn digits(&mut self, n: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(n)?;
        let mut value = 0;
        for byte in head {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + u32::from(byte - b'0');
        }
        self.0 = tail;
        Some(value)
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, tail)) if *first == byte => {
                self.0 = tail;
                true
            }
            _ => false,
        }
    }

    /// Days since 1970. Years have four digits, so chrono reaches them all; it is faster here than `calendar`.
    fn date(&mut self) -> Option<i64> {
        let year = i32::try_from(self.digits(4)?).ok()?;
        let month = self.eat(b'-').then(|| self.digits(2))??;
        let day = self.eat(b'-').then(|| self.digits(2))??;
        NaiveDate::from_ymd_opt(year, month, day).map(|date| i64::from(date.to_epoch_days()))
    }

    /// `HH:MM[:SS[.fraction]]` in microseconds.
    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        let minute = self.eat(b':').then(|| self.digits(2))??;
        let mut second = 0;
        let mut micros = 0;
        if self.eat(b':') {
            second = self.digits(2)?;
            if self.eat(b'.') || self.eat(b',') {
                let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
                let (fraction, tail) = self.0.split_at_checked(count).filter(|_| count > 0)?;
                for place in 0..6 {
                    micros = micros * 10 + fraction.get(place).map_or(0, |b| i64::from(b - b'0'));
                }
                self.0 = tail;
            }
        }
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then(|| (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * 1_000_000 + micros)
    }

    /// `Z`, `+HH`, `+HHMM`, `+HH:MM` or nothing, in microseconds east.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.eat(b'Z') || self.eat(b'z') {
            return Some(0);
        }
        let east = if self.eat(b'+') {
            1
        } else if self.eat(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.eat(b':');
            self.digits(2)?
        };
        let valid = hours <= 18 && minutes < 60;
        valid.then(|| east * (i64::from(hours) * 60 + i64::from(minutes)) * 60_000_000)
    }

    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// `YYYY-MM-DD` in days since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut cursor = Cursor(text.as_bytes());
    let days = cursor.date()?;
    cursor.end(i32::try_from(days).ok()?)
}

/// `HH:MM[:SS[.fraction]]` in microseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut cursor = Cursor(text.as_bytes());
    let micros = cursor.time()?;
    cursor.end(micros)
}

/// ISO 8601 date and time, `T` or a space between, with or without an offset (then UTC), in microseconds since 1970
/// UTC. A date alone is midnight where `date_alone` allows it.
pub(crate) fn parse_timestamp(text: &str, date_alone: bool) -> Option<i64> {
    let mut cursor = Cursor(text.as_bytes());
    let day = cursor.date()? * DAY_US;
    if cursor.0.is_empty() {
        return date_alone.then_some(day);
    }
    if !(cursor.eat(b'T') || cursor.eat(b't') || cursor.eat(b' ')) {
        return None;
    }
    let time = cursor.time()?;
    let offset = cursor.offset()?;
    cursor.end(day + time - offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_iso_8601() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01 00:00:01", Some(1_000_000)),
            ("1970-01-01T00:00", Some(0)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T01:00:00+0100", Some(0)),
            ("1969-12-31T16:00:00-08", Some(0)),
            ("1969-12-31T23:59:59.9999999Z", Some(-1)),
            ("2024-02-29T12:34:56.789Z", Some(1_709_210_096_789_000)),
            ("2023-02-29T00:00:00Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000)),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:60Z", None),
            ("1970-01-01T00:00:00 Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00ZZ", None),
            ("1970-01-01", None),
            ("1970-1-1T00:00:00Z", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_timestamp(text, false), wanted, "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-02", true), Some(DAY_US));
    }

    #[test]
    fn reads_dates_and_times() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("0000-01-01"), Some(-719_528));
        assert_eq!(parse_date("9999-12-31"), Some(2_932_896));
        assert_eq!(parse_date("1970-13-01"), None);
        assert_eq!(parse_time("23:59:59.000001"), Some(DAY_US - 999_999));
        assert_eq!(parse_time("1:00"), None);
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(micros in -62_135_596_800_000_000i64..253_402_300_799_000_000) {
            let at = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            let text = at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            prop_assert_eq!(parse_timestamp(&text, false), Some(micros));
        }

        #[test]
        fn never_panics(text in ".{0,30}") {
            let _ = (parse_timestamp(&text, true), parse_date(&text), parse_time(&text));
        }
    }
}
