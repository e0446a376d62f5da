// SPDX-License-Identifier: Apache-2.0
//! How long appends take, in whole milliseconds: nearly all take none, so only the others are noted one by one.

use parking_lot::Mutex;

/// Upper ends of the classes after the first, which is "no millisecond"; the last class has none.
const LIMITS_MS: [i64; 11] = [
    10, 50, 100, 200, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000,
];
/// Classes of durations.
const CLASSES: usize = LIMITS_MS.len() + 2;
const NAMES: [&str; CLASSES] = [
    "[<=0ms]",
    "[0~10ms]",
    "[10~50ms]",
    "[50~100ms]",
    "[100~200ms]",
    "[200~500ms]",
    "[500ms~1s]",
    "[1~2s]",
    "[2~3s]",
    "[3~4s]",
    "[4~5s]",
    "[5~10s]",
    "[10s~]",
];

/// Durations of the last whole minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PutDurations {
    /// Sends by duration.
    classes: [u64; CLASSES],
    /// The longest since the start, milliseconds.
    pub max_ms: i64,
}

impl PutDurations {
    /// Name and number of each class, as the reference writes it.
    pub fn text(&self) -> String {
        let classes = NAMES.iter().zip(self.classes);
        classes
            .map(|(name, count)| format!("{name}:{count} "))
            .collect()
    }

    /// Milliseconds that `share` of the sends did not exceed, interpolated within a class.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure for people needs no more than 52 bits"
    )]
    pub fn percentile(&self, share: f64) -> f64 {
        let total: u64 = self.classes.iter().sum();
        let wanted = total as f64 * share;
        let mut passed = 0.0;
        let mut low = 0.0;
        let mut ends = std::iter::once(0).chain(LIMITS_MS);
        for count in self.classes.map(|count| count as f64) {
            let high = ends.next().unwrap_or(self.max_ms) as f64;
            if count > 0.0 && wanted <= passed + count {
                return low + (high - low) * (wanted - passed) / count;
            }
            passed += count;
            low = high;
        }
        low
    }
}

#[derive(Debug, Default)]
struct State {
    /// Slow sends of this minute by class.
    slow: [u64; CLASSES],
    /// Sends at its beginning.
    calls: u64,
    last: PutDurations,
    max_ms: i64,
}

/// The clock of the appends.
#[derive(Debug, Default)]
pub(crate) struct PutTimes(Mutex<State>);

impl PutTimes {
    /// Notes sends that took a millisecond or longer.
    pub(crate) fn slow(&self, ms: i64, calls: u64) {
        let class = 1 + LIMITS_MS.iter().take_while(|limit| ms >= **limit).count();
        let mut state = self.0.lock();
        state.max_ms = state.max_ms.max(ms);
        if let Some(count) = state.slow.get_mut(class) {
            *count += calls;
        }
    }

    /// A minute is over; there were `calls` sends since the start.
    pub(crate) fn turn(&self, calls: u64) {
        let mut state = self.0.lock();
        let mut classes = std::mem::take(&mut state.slow);
        let slow: u64 = classes.iter().sum();
        let all = calls.saturating_sub(std::mem::replace(&mut state.calls, calls));
        classes[0] = all.saturating_sub(slow);
        state.last.classes = classes;
    }

    /// The last whole minute.
    pub(crate) fn last(&self) -> PutDurations {
        let state = self.0.lock();
        PutDurations {
            max_ms: state.max_ms,
            ..state.last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_sends_are_classed_and_the_rest_took_no_time() {
        let times = PutTimes::default();
        times.slow(3, 2);
        times.slow(10_000, 1);
        assert_eq!(times.last().text().matches(":0 ").count(), CLASSES);
        times.turn(100);
        let last = times.last();
        assert!(
            last.text()
                .starts_with("[<=0ms]:97 [0~10ms]:2 [10~50ms]:0 ")
        );
        assert!(last.text().ends_with("[10s~]:1 "));
        assert_eq!(last.max_ms, 10_000);
        assert!(last.percentile(0.5) == 0.0 && last.percentile(0.98) > 0.0);
        times.turn(150);
        assert!(times.last().text().starts_with("[<=0ms]:50 [0~10ms]:0 "));
    }
}
