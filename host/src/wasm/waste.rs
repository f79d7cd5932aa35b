//! What a program computes in vain, and the rest it takes for that.
//!
//! A guest that runs into its limits again and again, with answers between that keep it from being suspended, would keep a processor busy
//! with nothing to show for it. So that is limited as a rate is, by a bucket of tokens: some of it goes by at once, and in the long run it takes
//! a tenth of one processor. What is answered costs nothing, however long it takes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much may be computed in vain without any rest.
const ALLOWED: Duration = Duration::from_millis(500);

/// Into how many times itself what was computed in vain is stretched.
const STRETCH: u32 = 10;

/// The longest rest. A deadline may be an hour.
const LONGEST: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waste(Mutex<Option<Instant>>);

impl Waste {
    /// Notes that the guest computed this long and has not answered. For how long it rests now.
    pub fn note(&self, computed: Duration, now: Instant) -> Duration {
        let mut made_up_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = made_up_at.map_or(now, |at| at.max(now));
        let latest = now + ALLOWED * STRETCH + LONGEST;
        let at = begin.checked_add(computed.saturating_mul(STRETCH)).map_or(latest, |at| at.min(latest));
        *made_up_at = Some(at);
        rest(at).saturating_duration_since(now)
    }

    /// Until when it is not to be asked, if that is not over.
    pub fn rests_until(&self, now: Instant) -> Option<Instant> {
        let made_up_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made_up_at.map(rest).filter(|until| *until > now)
    }
}

/// When it may be asked again if it has made up for all at that time.
fn rest(made_up_at: Instant) -> Instant {
    made_up_at.checked_sub(ALLOWED * STRETCH).unwrap_or(made_up_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    #[test]
    fn in_the_long_run_it_is_a_tenth() {
        let waste = Waste::default();
        let begin = Instant::now();
        let (mut now, mut wasted) = (begin, Duration::ZERO);
        while now < begin + Duration::from_secs(100) {
            now += DEADLINE;
            wasted += DEADLINE;
            let rest = waste.note(DEADLINE, now);
            assert_eq!(waste.rests_until(now), (!rest.is_zero()).then(|| now + rest));
            now += rest;
            assert_eq!(waste.rests_until(now), None);
        }
        let seconds = wasted.as_secs_f64();
        assert!((10.0..=11.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_few_cost_nothing_and_are_forgotten() {
        let waste = Waste::default();
        let mut now = Instant::now();
        for _ in 0..3 {
            for _ in 0..5 {
                assert_eq!(waste.note(DEADLINE, now), Duration::ZERO);
            }
            now += ALLOWED * STRETCH;
        }
    }

    #[test]
    fn no_rest_is_longer_than_the_longest() {
        let now = Instant::now();
        let waste = Waste::default();
        assert_eq!(waste.note(Duration::from_secs(3600), now), LONGEST);
        assert_eq!(waste.note(Duration::MAX, now), LONGEST);
    }
}
