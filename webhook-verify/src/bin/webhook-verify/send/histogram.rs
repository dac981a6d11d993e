//! Counts of times in a fixed amount of memory.

use std::time::Duration;

/// Times below this many microseconds have a bucket each. Each power of two above it has half as
/// many buckets, so that a bucket's bounds differ by at most 1/64.
const EXACT: u64 = 128;
const PER_POWER: usize = EXACT as usize / 2;

/// Counts times in buckets, whose size grows with the time.
#[derive(Default)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, time: Duration) {
        let bucket = bucket(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Returns the time that `percent` of the times do not exceed.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0_u128;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank && *count > 0 {
                return Duration::from_micros(longest_in(bucket)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    // The leading bits of the time, of which there are as many as in `EXACT - 1`.
    let shift = (EXACT.leading_zeros() + 1) - micros.leading_zeros();
    let leading = (micros >> shift) as usize;
    EXACT as usize + (shift as usize - 1) * PER_POWER + (leading - PER_POWER)
}

/// Returns the longest time in a bucket, in microseconds.
fn longest_in(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else {
        return bucket as u64;
    };
    let shift = above / PER_POWER + 1;
    let leading = (above % PER_POWER + PER_POWER) as u64;
    (leading << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_contains_its_longest_time_and_little_less() {
        let mut last = None;
        for bucket in 0..4000 {
            if bucket >= EXACT as usize && (bucket - EXACT as usize) / PER_POWER + 1 > 57 {
                break;
            }
            let longest = longest_in(bucket);
            assert_eq!(super::bucket(longest), bucket);
            let shortest = last.map_or(0, |last: u64| last + 1);
            assert_eq!(super::bucket(shortest), bucket);
            assert!(longest - shortest <= longest / 64, "{shortest} {longest}");
            last = Some(longest);
        }
        assert!(last > Some(u64::MAX / 2) && bucket(u64::MAX) < 4000);
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_exact_ones() {
        let mut all = Histogram::default();
        let mut half = Histogram::default();
        let mut times: Vec<u64> = (1..=10_000).map(|n| n * n % 7919 * 37).collect();
        for (number, time) in times.iter().enumerate() {
            let part = if number % 2 == 0 { &mut all } else { &mut half };
            part.add(Duration::from_micros(*time));
        }
        all.merge(&half);
        times.sort_unstable();
        assert_eq!(all.count(), 10_000);
        assert_eq!(all.longest(), Duration::from_micros(times[9999]));
        for percent in [1, 50, 90, 99, 100] {
            let exact = times[percent as usize * 100 - 1];
            let found = all.percentile(percent).as_micros() as u64;
            assert!((exact..=exact + exact / 63).contains(&found), "{percent}: {exact} {found}");
        }
        assert_eq!(all.percentile(100), all.longest());
    }

    #[test]
    fn one_time_is_each_percentile() {
        let mut one = Histogram::default();
        one.add(Duration::from_millis(1234));
        for percent in [50, 90, 99] {
            assert_eq!(one.percentile(percent), Duration::from_millis(1234));
        }
        assert_eq!(Histogram::default().percentile(50), Duration::ZERO);
    }
}
