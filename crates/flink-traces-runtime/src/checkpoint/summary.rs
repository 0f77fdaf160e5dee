//! Minimum, maximum, average and quantiles of a number.

use std::collections::VecDeque;
use std::sync::Arc;

/// Statistics of one number, as Flink's `StatsSummary` and its snapshot. Negative values, which stand for unset ones, are not counted.
///
/// A clone shares the values with the original until the next one is added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsSummary {
    minimum: i64,
    maximum: i64,
    sum: i64,
    count: u64,
    window_size: usize,
    window: Arc<VecDeque<i64>>,
}

impl StatsSummary {
    /// An empty summary whose quantiles are those of the last `window_size` values; 0 for none.
    pub fn with_window(window_size: usize) -> Self {
        Self { window_size, ..Self::default() }
    }

    /// Counts `value`, unless it is negative.
    pub fn add(&mut self, value: i64) {
        if value < 0 {
            return;
        }
        self.minimum = if self.count == 0 { value } else { self.minimum.min(value) };
        self.maximum = self.maximum.max(value);
        self.sum = self.sum.saturating_add(value);
        self.count += 1;
        if self.window_size > 0 {
            let window = Arc::make_mut(&mut self.window);
            if window.len() == self.window_size {
                window.pop_front();
            }
            window.push_back(value);
        }
    }

    /// The smallest value; 0 if there is none.
    pub fn minimum(&self) -> i64 {
        self.minimum
    }

    /// The largest value; 0 if there is none.
    pub fn maximum(&self) -> i64 {
        self.maximum
    }

    /// The sum of all values; stays at the largest `i64` where it would not fit.
    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The average, rounded down; 0 if there is no value.
    pub fn average(&self) -> i64 {
        self.sum.checked_div(i64::try_from(self.count).unwrap_or(i64::MAX)).unwrap_or(0)
    }

    /// The value below which the share `quantile` (0 to 1) of the window's values lies; NaN without a window or values.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let [value] = self.quantiles([quantile]);
        value
    }

    /// Several quantiles at once, such as `[0.5, 0.9, 0.95, 0.99, 0.999]`: the window is copied and sorted on the caller's thread, once.
    ///
    /// The estimate is the one that Flink uses, which Apache Commons Math calls legacy, to the last bit: the value at place
    /// q · (n + 1) of n sorted ones, interpolated between the two around it.
    pub fn quantiles<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let mut sorted: Vec<i64> = self.window.iter().copied().collect();
        sorted.sort_unstable();
        quantiles.map(|quantile| legacy_quantile(&sorted, quantile))
    }
}

fn legacy_quantile(sorted: &[i64], quantile: f64) -> f64 {
    let at = |place: usize| sorted.get(place).map(|value| *value as f64);
    let count = sorted.len() as f64;
    // To percent and back, as Flink does: the result has the same last digits.
    let position = (quantile * 100.0 / 100.0 * (count + 1.0)).max(1.0).min(count);
    let floor = position.floor();
    let place = floor as usize;
    match (at(place.saturating_sub(1)), at(place)) {
        (Some(lower), Some(upper)) => lower + (position - floor) * (upper - lower),
        (Some(last), None) => last,
        (None, _) => f64::NAN,
    }
}

impl Extend<i64> for StatsSummary {
    fn extend<I: IntoIterator<Item = i64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.add(value));
    }
}
