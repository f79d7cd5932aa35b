//! Percentiles of what was measured.

use std::time::Duration;

/// Durations in order.
pub struct Sample(Vec<Duration>);

impl Sample {
    pub fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Sample(durations)
    }

    /// All of several samples.
    pub fn all(samples: impl IntoIterator<Item = Sample>) -> Self {
        Sample::new(samples.into_iter().flat_map(|sample| sample.0).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that at least this share (of 1) does not exceed, in milliseconds; NaN of nothing.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
    }

    pub fn p50_ms(&self) -> f64 {
        self.percentile_ms(0.5)
    }

    pub fn p99_ms(&self) -> f64 {
        self.percentile_ms(0.99)
    }

    pub fn max_ms(&self) -> f64 {
        self.percentile_ms(1.0)
    }
}

/// The middle value; of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}
