//! How old the state of its sources is that a table holds all of.
//!
//!   looks at a topic: (time, ends) ──▶ the newest that the table's position has reached ──▶ its time
//!   a view: the oldest of the streaming snapshots below it, each as old as the first rows that came after it
//!
//! Invariants
//! * Pure: time and positions are handed in.
//! * Never younger than it is: between two looks a table counts as it was at the earlier one.
//!
//! Not here: asking (`observe`).

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use ingot_model::{Partition, Position, Positions};

/// Looks that are kept of a table that lags behind; past them every second one is forgotten, and half as many are kept.
const LOOKS_MAX: usize = 1_024;

/// The ends of a topic over time, as far as a table has not reached them.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    ahead: VecDeque<(DateTime<Utc>, Positions)>,
    /// Looks nearer to the last one than this are not kept.
    apart: TimeDelta,
    reached: Option<DateTime<Utc>>,
}

impl Ends {
    /// Notes the ends at a time.
    pub fn seen(&mut self, at: DateTime<Utc>, ends: Positions) {
        match self.ahead.back() {
            None => self.apart = TimeDelta::zero(),
            Some((last, _)) if at - *last < self.apart => return,
            Some(_) => {}
        }
        self.ahead.push_back((at, ends));
        if self.ahead.len() > LOOKS_MAX {
            if let (Some((first, _)), Some((last, _))) = (self.ahead.front(), self.ahead.back()) {
                self.apart = (*last - *first) / (LOOKS_MAX / 2) as i32;
            }
            let mut odd = false;
            self.ahead.retain(|_| {
                odd = !odd;
                odd
            });
        }
    }

    /// The time of the newest ends that this position has reached; none before it has reached any.
    pub(crate) fn reached_by(&mut self, position: &Positions) -> Option<DateTime<Utc>> {
        let is_reached =
            |ends: &Positions| ends.iter().all(|(p, end)| position.get(p).unwrap_or(&Position::default()) >= end);
        while let Some((at, _)) = self.ahead.front().filter(|(_, ends)| is_reached(ends)) {
            self.reached = Some(*at);
            self.ahead.pop_front();
        }
        self.reached
    }
}

/// How far each partition is behind, where that can be counted.
pub(crate) fn lag(position: &Positions, ends: &Positions) -> BTreeMap<Partition, i64> {
    let start = Position::default();
    let behind = |(p, end): (&Partition, &Position)| Some((p.clone(), position.get(p).unwrap_or(&start).until(end)?));
    ends.iter().filter_map(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn offsets(of: [i64; 2]) -> Positions {
        of.into_iter().enumerate().map(|(p, o)| ((p as i32).into(), o.into())).collect()
    }

    #[test]
    fn a_table_is_as_fresh_as_the_newest_ends_that_it_reached() {
        let mut ends = Ends::default();
        ends.seen(at(0), offsets([5, 5]));
        assert_eq!(ends.reached_by(&offsets([5, 4])), None);
        ends.seen(at(5), offsets([9, 5]));
        assert_eq!(ends.reached_by(&offsets([8, 5])), Some(at(0)));
        assert_eq!(ends.reached_by(&offsets([9, 5])), Some(at(5)));
        // Nothing new to reach: it stays as it was until the next look.
        assert_eq!(ends.reached_by(&offsets([9, 5])), Some(at(5)));
        ends.seen(at(10), offsets([9, 5]));
        assert_eq!(ends.reached_by(&offsets([9, 5])), Some(at(10)));
        assert_eq!(lag(&offsets([9, 7]), &offsets([12, 5])), BTreeMap::from([(0.into(), 3), (1.into(), 0)]));
    }

    #[test]
    fn what_lags_for_long_takes_a_bounded_memory() {
        let mut ends = Ends::default();
        for second in 0..10_000 {
            ends.seen(at(second), offsets([second + 1, 0]));
        }
        assert!(ends.ahead.len() <= LOOKS_MAX);
        assert_eq!(ends.reached_by(&offsets([1, 0])), Some(at(0)));
        let near = ends.reached_by(&offsets([5_000, 0])).unwrap();
        assert!(near <= at(4_999) && near > at(4_900), "{near}");
    }
}
