//! Minimum, maximum, average and quantiles of a metric.

use std::collections::VecDeque;
use std::sync::Arc;

/// The statistics of one metric. Flink's `StatsSummary` and its snapshot.
///
/// Negative values, which mean "unset", are not counted. A clone shares the values with the
/// original until the next value is added.
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
    /// Creates an empty summary with the quantiles of the last `window_size` values; 0 for none.
    pub fn with_window(window_size: usize) -> Self {
        Self { window_size, ..Self::default() }
    }

    /// Adds `value`, unless it is negative.
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

    /// Returns the smallest value; 0 if there is none.
    pub fn minimum(&self) -> i64 {
        self.minimum
    }

    /// Returns the largest value; 0 if there is none.
    pub fn maximum(&self) -> i64 {
        self.maximum
    }

    /// Returns the sum of all values. It saturates at the largest `i64`.
    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the average, rounded down; 0 if there is no value.
    pub fn average(&self) -> i64 {
        self.sum.checked_div(i64::try_from(self.count).unwrap_or(i64::MAX)).unwrap_or(0)
    }

    /// Returns the value below which the share `quantile` (0 to 1) of the window lies.
    ///
    /// The result is NaN without a window or values.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let [value] = self.quantiles([quantile]);
        value
    }

    /// Returns several quantiles at once, such as `[0.5, 0.9, 0.95, 0.99, 0.999]`.
    ///
    /// The window is copied and sorted once, on the caller's thread. The estimate equals Flink's to
    /// the last digit. It is the one that Apache Commons Math calls legacy: the value at position q
    /// · (n + 1) of n sorted values, interpolated between its two neighbors.
    pub fn quantiles<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let mut sorted: Vec<i64> = self.window.iter().copied().collect();
        sorted.sort_unstable();
        quantiles.map(|quantile| legacy_quantile(&sorted, quantile))
    }
}

fn legacy_quantile(sorted: &[i64], quantile: f64) -> f64 {
    let at = |index: usize| sorted.get(index).map(|value| *value as f64);
    let count = sorted.len() as f64;
    // Flink converts to percent and back, and this affects the last digits.
    let position = (quantile * 100.0 / 100.0 * (count + 1.0)).max(1.0).min(count);
    let floor = position.floor();
    let index = floor as usize;
    match (at(index.saturating_sub(1)), at(index)) {
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
