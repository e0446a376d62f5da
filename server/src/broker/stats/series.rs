// SPDX-License-Identifier: Apache-2.0
//! The recent past of a counter: samples of the last minute, hour and day (server.md 16).
//!
//! A minute is seen through samples each 10 s, an hour each 10 min, a day each hour. Counters that stand still keep none.

use std::collections::VecDeque;

/// A counter at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Count {
    /// What is summed.
    pub(in crate::broker) value: u64,
    /// How often it was added to; 0 where nobody wants an average.
    pub(in crate::broker) times: u64,
}

/// Sum, rate and average over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::broker) struct Window {
    pub(in crate::broker) sum: u64,
    /// A second.
    pub(in crate::broker) tps: f64,
    /// Of each addition.
    pub(in crate::broker) average: f64,
}

/// Minute, hour and day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::broker) struct Windows {
    pub(in crate::broker) minute: Window,
    pub(in crate::broker) hour: Window,
    pub(in crate::broker) day: Window,
}

/// Interval in milliseconds and number of samples of minute, hour and day.
const SHAPES: [(i64, usize); 3] = [(10_000, 7), (600_000, 7), (3_600_000, 25)];

/// Which samples are due.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Due {
    windows: [bool; 3],
    now_ms: i64,
}

/// Says when samples are due, counted from the start.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Schedule([i64; 3]);

impl Schedule {
    pub(in crate::broker) fn new(now_ms: i64) -> Self {
        Self(SHAPES.map(|(interval, _)| now_ms + interval))
    }

    /// `None` if nothing is due.
    pub(in crate::broker) fn due(&mut self, now_ms: i64) -> Option<Due> {
        let mut windows = [false; 3];
        for ((next, is_due), (interval, _)) in self.0.iter_mut().zip(&mut windows).zip(SHAPES) {
            if now_ms >= *next {
                *is_due = true;
                *next += interval;
                // After a long pause the samples in between are left out.
                if *next <= now_ms {
                    *next = now_ms + interval;
                }
            }
        }
        windows.contains(&true).then_some(Due { windows, now_ms })
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    count: Count,
}

#[derive(Debug, Default)]
struct History {
    /// The counter before it began to move.
    base: Count,
    windows: [VecDeque<Sample>; 3],
}

impl History {
    fn is_flat(&self, now: Count) -> bool {
        let flat = |samples: &VecDeque<Sample>| samples.iter().all(|sample| sample.count == now);
        self.windows
            .iter()
            .all(|samples| !samples.is_empty() && flat(samples))
    }
}

/// The samples of one counter.
#[derive(Debug, Default)]
pub(in crate::broker) struct Series {
    last: Count,
    history: Option<Box<History>>,
}

impl Series {
    /// Notes the counter where a sample is due.
    pub(in crate::broker) fn sample(&mut self, count: Count, due: Due) {
        if self.history.is_none() && count == self.last {
            return;
        }
        let base = std::mem::replace(&mut self.last, count);
        let history = self.history.get_or_insert_with(|| {
            Box::new(History {
                base,
                ..History::default()
            })
        });
        let windows = history.windows.iter_mut().zip(due.windows).zip(SHAPES);
        for ((samples, is_due), (interval, most)) in windows {
            if !is_due {
                continue;
            }
            if samples.is_empty() {
                samples.push_back(Sample {
                    at_ms: due.now_ms - interval,
                    count: history.base,
                });
            }
            samples.push_back(Sample {
                at_ms: due.now_ms,
                count,
            });
            if samples.len() > most {
                samples.pop_front();
            }
        }
        if history.is_flat(count) {
            self.history = None;
        }
    }

    /// What happened in each window.
    pub(in crate::broker) fn windows(&self) -> Windows {
        let Some(history) = &self.history else {
            return Windows::default();
        };
        let [minute, hour, day] = history.windows.each_ref().map(window);
        Windows { minute, hour, day }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate for people needs no more than 52 bits"
)]
fn window(samples: &VecDeque<Sample>) -> Window {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
        return Window::default();
    };
    let sum = last.count.value.saturating_sub(first.count.value);
    let times = last.count.times.saturating_sub(first.count.times);
    let ms = last.at_ms - first.at_ms;
    let ratio = |part: u64, of: u64| {
        if of == 0 {
            0.0
        } else {
            part as f64 / of as f64
        }
    };
    Window {
        sum,
        tps: ratio(sum, u64::try_from(ms).unwrap_or(0)) * 1000.0,
        average: ratio(sum, times),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(value: u64, times: u64) -> Count {
        Count { value, times }
    }

    #[test]
    fn a_minute_is_the_last_six_intervals() {
        let mut schedule = Schedule::new(0);
        let mut series = Series::default();
        assert!(schedule.due(9_999).is_none());
        for step in 1..=10_u64 {
            let now_ms = i64::try_from(step * 10_000).unwrap();
            let due = schedule.due(now_ms).unwrap();
            series.sample(count(step * 20, step), due);
            let minute = series.windows().minute;
            assert_eq!(minute.sum, 20 * step.min(6));
            assert!((minute.tps - 2.0).abs() < 1e-9 && (minute.average - 20.0).abs() < 1e-9);
        }
        assert_eq!(series.windows().hour, Window::default());
    }

    #[test]
    fn hours_and_days_have_longer_intervals_and_what_stands_still_is_forgotten() {
        let mut schedule = Schedule::new(0);
        let mut series = Series::default();
        let mut at = |ms: i64, value: u64| {
            if let Some(due) = schedule.due(ms) {
                series.sample(count(value, 0), due);
            }
            series.windows()
        };
        assert_eq!(at(10_000, 36).minute.sum, 36);
        let ten_minutes = at(600_000, 36);
        assert_eq!((ten_minutes.hour.sum, ten_minutes.day.sum), (36, 0));
        let hour = at(3_600_000, 36).day;
        assert_eq!((hour.sum, hour.average), (36, 0.0));
        assert!((hour.tps - 0.01).abs() < 1e-9);
        let hours = 3_600_000..=26 * 3_600_000;
        for ms in hours.step_by(10_000) {
            at(ms, 36);
        }
        assert_eq!(at(26 * 3_600_000 + 10_000, 36), Windows::default());
        assert!(series.history.is_none());
        let due = schedule.due(26 * 3_600_000 + 20_000).unwrap();
        series.sample(count(40, 0), due);
        assert_eq!(series.windows().minute.sum, 4);
    }
}
