//! A histogram of durations with a relative error of 10 %.

/// The number of buckets for each doubling of the value.
const STEPS: f64 = 4.0;

/// The number of durations in buckets that grow by a fourth root of two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// Adds a duration in milliseconds.
    pub(crate) fn add(&mut self, millis: i64) {
        let bucket = ((millis.max(0) as f64 + 1.0).log2() * STEPS).round() as usize;
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// Adds the durations of a histogram that was encoded. Damage is ignored.
    pub(crate) fn merge_encoded(&mut self, blob: &[u8]) {
        for entry in blob.chunks_exact(5) {
            let bucket = usize::from(entry[0]);
            let count = u32::from_le_bytes([entry[1], entry[2], entry[3], entry[4]]);
            if self.counts.len() <= bucket {
                self.counts.resize(bucket + 1, 0);
            }
            self.counts[bucket] += u64::from(count);
        }
    }

    /// Adds the durations of another histogram.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Returns the stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let entries = self.counts.iter().zip(0_u8..=u8::MAX).filter(|(count, _)| **count > 0);
        entries
            .flat_map(|(count, bucket)| {
                let [a, b, c, d] = u32::try_from(*count).unwrap_or(u32::MAX).to_le_bytes();
                [bucket, a, b, c, d]
            })
            .collect()
    }

    /// Returns the duration in milliseconds that the share `quantile` of all does not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<i64> {
        let total: u64 = self.counts.iter().sum();
        let rank = (total as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return Some(((bucket as f64 / STEPS).exp2() - 1.0).round() as i64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=10_000).for_each(|millis| histogram.add(millis));
        let mut read = Histogram::default();
        read.merge_encoded(&histogram.encode());
        assert_eq!(read, histogram);
        let mut short = Histogram::default();
        short.add(1);
        let mut sum = short.clone();
        sum.merge(&histogram);
        histogram.merge(&short);
        assert_eq!(sum, histogram);
        for (quantile, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let found = read.quantile(quantile).unwrap() as f64;
            assert!((found / exact - 1.0).abs() < 0.1, "{quantile}: {found}");
        }
    }

    #[test]
    fn extremes_have_a_bucket() {
        let mut histogram = Histogram::default();
        [i64::MIN, 0, i64::MAX].into_iter().for_each(|millis| histogram.add(millis));
        assert_eq!(histogram.quantile(0.1), Some(0));
        assert!(histogram.quantile(1.0).unwrap() > i64::MAX / 2);
    }
}
