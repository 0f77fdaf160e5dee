//! Summaries, against the responses of real clusters and against a model.

use flink_traces_runtime::checkpoint::StatsSummary;
use proptest::prelude::*;

fn summary(window: usize, values: &[i64]) -> StatsSummary {
    let mut summary = StatsSummary::with_window(window);
    summary.extend(values.iter().copied());
    summary
}

/// The durations of all completed checkpoints of a job, and the quantiles 0.5, 0.9, 0.95, 0.99 and
/// 0.999 that the cluster's REST API returned.
#[test]
fn quantiles_equal_flinks_exactly() {
    let check = |values: &[i64], [minimum, maximum, average]: [i64; 3], quantiles: [f64; 5]| {
        let summary = summary(10_000, values);
        assert_eq!([summary.minimum(), summary.maximum(), summary.average()], [minimum, maximum, average]);
        assert_eq!(summary.quantiles([0.5, 0.9, 0.95, 0.99, 0.999]), quantiles);
    };
    // Flink 1.18.1, 1.20.5, 2.3.0, 2.3.0.
    check(
        &[44, 56, 62, 71, 76, 57, 61, 78, 187, 128],
        [44, 187, 82],
        [66.5, 181.100_000_000_000_02, 187.0, 187.0, 187.0],
    );
    check(&[68, 74, 100, 87, 49, 60, 111, 163], [49, 163, 89], [80.5, 163.0, 163.0, 163.0, 163.0]);
    check(&[41, 48, 76, 164, 67, 74, 90, 60, 78, 149], [41, 164, 84], [75.0, 162.5, 164.0, 164.0, 164.0]);
    check(&[78, 97, 827, 76, 121, 717, 283], [76, 827, 314], [121.0, 827.0, 827.0, 827.0, 827.0]);
}

#[test]
fn summary_edge_cases() {
    let empty = summary(3, &[-1, -1]);
    assert_eq!((empty.minimum(), empty.maximum(), empty.sum(), empty.count(), empty.average()), (0, 0, 0, 0, 0));
    assert!(empty.quantile(0.5).is_nan());
    assert!(summary(0, &[1]).quantile(0.5).is_nan());
    let full = summary(3, &[100, -1, 1, 2, 3]);
    assert_eq!((full.minimum(), full.maximum(), full.sum(), full.count(), full.average()), (1, 100, 106, 4, 26));
    // The value 100 has left the window.
    for (quantile, expected) in [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0), (-3.0, 1.0), (7.0, 3.0), (f64::NAN, 1.0)] {
        assert_eq!(full.quantile(quantile), expected, "{quantile}");
    }
    assert_eq!(summary(1, &[5]).quantile(0.5), 5.0);
    assert_eq!(summary(0, &[i64::MAX, i64::MAX]).sum(), i64::MAX);
    // Flink converts to percent and back, which affects the last digit.
    let thousand: Vec<i64> = (1..=1_000).collect();
    assert_eq!(summary(10_000, &thousand).quantile(0.999), 999.999_000_000_000_1);
}

#[test]
fn clone_is_independent() {
    let mut summary = summary(2, &[1, 2]);
    let before = summary.clone();
    summary.add(9);
    assert_eq!((before.maximum(), before.quantile(1.0), before.count()), (2, 2.0, 2));
    assert_eq!((summary.maximum(), summary.quantile(0.0), summary.count()), (9, 2.0, 3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn initialization_equals_model(
        values in proptest::collection::vec(-3_i64..1_000_000, 0..60),
        window in 1_usize..40,
        thousandths in 0_u32..=1_000,
    ) {
        let summary = summary(window, &values);
        let kept: Vec<i64> = values.into_iter().filter(|value| *value >= 0).collect();
        prop_assert_eq!(summary.count(), kept.len() as u64);
        prop_assert_eq!(summary.minimum(), kept.iter().copied().min().unwrap_or(0));
        prop_assert_eq!(summary.maximum(), kept.iter().copied().max().unwrap_or(0));
        prop_assert_eq!(summary.sum(), kept.iter().sum::<i64>());
        prop_assert_eq!(summary.average(), kept.iter().sum::<i64>() / i64::try_from(kept.len()).unwrap().max(1));

        let mut last = kept[kept.len().saturating_sub(window)..].to_vec();
        last.sort_unstable();
        let quantile = summary.quantile(f64::from(thousandths) / 1_000.0);
        if last.is_empty() {
            prop_assert!(quantile.is_nan());
            return Ok(());
        }
        // The position in thousandths, as an integer.
        let place = (thousandths as usize * (last.len() + 1)).clamp(1_000, last.len() * 1_000);
        let (lower, part) = (last[place / 1_000 - 1], (place % 1_000) as f64 / 1_000.0);
        let upper = last.get(place / 1_000).copied().unwrap_or(lower);
        let expected = lower as f64 + part * (upper - lower) as f64;
        prop_assert!((quantile - expected).abs() < 1e-3, "{quantile} {expected} {last:?}");
    }
}
