// SPDX-License-Identifier: Apache-2.0
//! Rates of the whole broker over ten seconds, a minute and ten minutes, from samples of each second; totals at midnight.

use std::collections::VecDeque;

use chrono::{Local, NaiveDate, TimeZone};

/// Milliseconds between two samples.
const INTERVAL_MS: i64 = 1_000;
/// Samples kept: ten minutes and one.
const SAMPLES: usize = 601;
const WINDOWS_MS: [i64; 3] = [10_000, 60_000, 600_000];

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Totals {
    /// Messages put.
    pub(in crate::broker) put: u64,
    /// Reads that found messages.
    pub(in crate::broker) found: u64,
    /// Reads that found none.
    pub(in crate::broker) missed: u64,
    /// Messages that were read.
    pub(in crate::broker) transferred: u64,
}

/// Totals of messages without the system's topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Day {
    pub(in crate::broker) put: u64,
    pub(in crate::broker) got: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    totals: Totals,
}

/// The samples.
#[derive(Debug)]
pub(super) struct Rates {
    samples: VecDeque<Sample>,
    date: Option<NaiveDate>,
    /// At the last two midnights that were seen, the newer one first.
    mornings: [Day; 2],
}

impl Rates {
    pub(super) fn new(now_ms: i64) -> Self {
        let start = Sample {
            at_ms: now_ms,
            totals: Totals::default(),
        };
        Self {
            samples: VecDeque::from([start]),
            date: date(now_ms),
            mornings: [Day::default(); 2],
        }
    }

    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let last = self.samples.back();
        last.is_none_or(|last| now_ms.saturating_sub(last.at_ms) >= INTERVAL_MS)
    }

    pub(super) fn sample(&mut self, totals: Totals, now_ms: i64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at_ms: now_ms,
            totals,
        });
    }

    /// Whether a day has ended since the last call.
    pub(super) fn is_new_day(&mut self, now_ms: i64) -> bool {
        let date = date(now_ms);
        std::mem::replace(&mut self.date, date) != date
    }

    pub(super) fn end_day(&mut self, day: Day) {
        let [last, _] = self.mornings;
        self.mornings = [day, last];
    }

    pub(super) const fn mornings(&self) -> [Day; 2] {
        self.mornings
    }

    /// Rates of a total in one to three numbers, as the reference writes them: over 10 s, a minute and ten minutes, or for
    /// as long as the broker has run.
    pub(super) fn text(&self, now: Totals, now_ms: i64, of: impl Fn(&Totals) -> u64) -> String {
        let rates = WINDOWS_MS.map(|window| {
            // The newest sample that is at least as old as the window, else the oldest one there is.
            let old = |sample: &&Sample| now_ms.saturating_sub(sample.at_ms) >= window;
            let found = self.samples.iter().rev().find(old);
            let base = found.or_else(|| self.samples.front());
            let rate = base.map_or(0.0, |base| {
                let count = of(&now).saturating_sub(of(&base.totals));
                per_second(count, now_ms - base.at_ms)
            });
            format!("{rate:.2}")
        });
        rates.join(" ")
    }
}

fn date(now_ms: i64) -> Option<NaiveDate> {
    let now = Local.timestamp_millis_opt(now_ms).earliest()?;
    Some(now.date_naive())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate for people needs no more than 52 bits"
)]
fn per_second(count: u64, ms: i64) -> f64 {
    if ms <= 0 {
        0.0
    } else {
        count as f64 * 1000.0 / ms as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_cover_ten_seconds_a_minute_and_ten_minutes() {
        let mut rates = Rates::new(0);
        let at = |second: i64| Totals {
            put: u64::try_from(second.min(300)).unwrap() * 10,
            ..Totals::default()
        };
        for second in 1..=900 {
            assert!(rates.is_due(second * 1000) && !rates.is_due(second * 1000 - 1));
            rates.sample(at(second), second * 1000);
        }
        let text =
            |rates: &Rates, second: i64| rates.text(at(second), second * 1000, |totals| totals.put);
        assert_eq!(text(&rates, 900), "0.00 0.00 0.00");
        let mut young = Rates::new(0);
        young.sample(at(1), 1000);
        assert_eq!(text(&young, 4), "10.00 10.00 10.00");
        let mut rates = Rates::new(0);
        for second in 1..=310 {
            rates.sample(at(second), second * 1000);
        }
        assert_eq!(text(&rates, 310), "0.00 8.33 9.68");
    }

    #[test]
    fn mornings_are_the_last_two_midnights() {
        let mut rates = Rates::new(0);
        assert!(!rates.is_new_day(1));
        for day in 1..=3_u64 {
            assert!(rates.is_new_day(i64::try_from(day).unwrap() * 86_400_000));
            rates.end_day(Day { put: day, got: 0 });
        }
        assert_eq!(rates.mornings().map(|day| day.put), [3, 2]);
    }
}
