//! How a node behaves, and what follows from it: rows are asked again, the version before is taken back, the node is given a rest.
//!
//! Only what is new is asked of a node, so a single bad row that changes often fails many times in a row; what counts is how many rows
//! failed since the last one that did not.

use std::time::{Duration, Instant};

/// Rows that fail with none between them that does not, after which a node is given a rest.
const MOST_IN_A_ROW: usize = 100;

/// As how many rows one counts that ran into a limit of time: it kept a thread busy for all of it.
const OVERRUN: usize = 10;

/// How many rows a new version is on trial for.
const TRIAL: usize = 100;

/// The first and the longest pause before something is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is to become of the version that just answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// New, and most of what it was asked first failed: the one before did better.
    RollBack,
    /// It keeps failing: nobody is to see what comes of it, until it is tried again.
    Suspend,
}

/// What was asked of a node at once, and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub answered: usize,
    pub failed: usize,
    /// Of those that failed, how many for a reason that may pass.
    pub passing: usize,
}

/// The behaviour of a node's version.
#[derive(Clone, Debug, Default)]
pub(super) struct Conduct {
    /// Rows that failed since the last that did not.
    in_a_row: usize,
    /// Whether some row was answered well.
    is_proven: bool,
    /// What became of the first rows, while there is a version to go back to.
    trial: Option<Outcome>,
    /// When rows that failed for a passing reason are asked again.
    retry: Attempt,
    /// When a node that rests is tried again.
    rest: Attempt,
}

impl Conduct {
    /// Of a new version; `on_trial`: there is one before it that does well.
    pub(super) fn begin(on_trial: bool) -> Self {
        Conduct { trial: on_trial.then(Outcome::default), ..Conduct::default() }
    }

    /// Of one that is gone back to.
    pub(super) fn again(is_proven: bool) -> Self {
        Conduct { is_proven, ..Conduct::default() }
    }

    /// Whether it is on trial and has not answered anything yet.
    pub(super) fn is_untried(&self) -> bool {
        self.trial.is_some_and(|trial| trial.answered == 0)
    }

    /// Notes what this version answered.
    pub(super) fn judge(&mut self, outcome: Outcome, now: Instant) -> Verdict {
        if outcome.passing > 0 {
            self.retry.plan(now);
        }
        let weight = outcome.failed + outcome.passing * (OVERRUN - 1);
        self.in_a_row = if outcome.failed < outcome.answered { 0 } else { self.in_a_row + weight };
        self.is_proven |= outcome.failed < outcome.answered;
        if let Some(trial) = &mut self.trial {
            trial.answered += outcome.answered;
            trial.failed += outcome.failed;
            let Outcome { answered, failed, .. } = *trial;
            if failed * 2 > answered {
                return Verdict::RollBack;
            }
            self.trial.take_if(|_| answered >= TRIAL);
        }
        if self.in_a_row >= MOST_IN_A_ROW && !self.rests() {
            self.in_a_row = 0;
            self.rest.plan(now);
            return Verdict::Suspend;
        }
        Verdict::GoOn
    }

    /// Whether some row was answered well, ever.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether some row was answered well, or none was asked, since rows last failed.
    pub(super) fn is_well(&self) -> bool {
        self.in_a_row == 0 && !self.rests()
    }

    /// Whether it is not to be asked for now.
    pub(super) fn rests(&self) -> bool {
        self.rest.at.is_some()
    }

    /// Whether what failed for a passing reason is to be asked again now.
    pub(super) fn is_retry_due(&mut self, now: Instant) -> bool {
        self.retry.is_due(now)
    }

    /// Whether its rest is over now.
    pub(super) fn is_rested(&mut self, now: Instant) -> bool {
        self.rest.is_due(now)
    }

    /// For how long it rests.
    pub(super) fn pause(&self) -> Duration {
        self.rest.pause
    }
}

/// Something to be tried again, each time after twice as long; what went well for long begins anew.
#[derive(Clone, Debug, Default)]
struct Attempt {
    at: Option<Instant>,
    /// When the last was due, and how long it was waited for.
    last: Option<Instant>,
    pause: Duration,
}

impl Attempt {
    fn plan(&mut self, now: Instant) {
        if self.at.is_some() {
            return;
        }
        let again = self.last.is_some_and(|at| now.duration_since(at) < 2 * self.pause);
        self.pause = if again { (self.pause * 2).min(PAUSE.1) } else { PAUSE.0 };
        self.last = Some(now + self.pause);
        self.at = self.last;
    }

    fn is_due(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(answered: usize, failed: usize) -> Outcome {
        Outcome { answered, failed, passing: 0 }
    }

    #[test]
    fn pauses_grow_while_retries_fail() {
        let mut attempt = Attempt::default();
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            attempt.plan(now);
            attempt.plan(now);
            let at = attempt.at.take().expect("planned");
            assert_eq!(at - now, Duration::from_secs(seconds));
            now = at;
        }
        now += Duration::from_secs(600);
        attempt.plan(now);
        assert_eq!(attempt.at, Some(now + Duration::from_secs(1)), "it was well for long");
    }

    #[test]
    fn a_new_version_that_fails_at_once_is_rolled_back() {
        let now = Instant::now();
        assert_eq!(Conduct::begin(true).judge(failed(10, 6), now), Verdict::RollBack);
        assert_eq!(Conduct::begin(false).judge(failed(10, 6), now), Verdict::GoOn, "to what?");
        let mut conduct = Conduct::begin(true);
        assert_eq!(conduct.judge(failed(60, 2), now), Verdict::GoOn);
        assert_eq!(conduct.judge(failed(60, 2), now), Verdict::GoOn);
        assert_eq!(conduct.judge(failed(90, 90), now), Verdict::GoOn, "its trial is over");
    }

    #[test]
    fn one_that_keeps_failing_rests_and_one_bad_row_does_no_harm() {
        let now = Instant::now();
        let mut conduct = Conduct::begin(false);
        for _ in 0..99 {
            assert_eq!(conduct.judge(failed(1, 1), now), Verdict::GoOn);
        }
        assert!(!conduct.is_well());
        assert_eq!(conduct.judge(failed(2, 1), now), Verdict::GoOn);
        assert!(conduct.is_well());
        assert_eq!(conduct.judge(failed(100, 100), now), Verdict::Suspend);
        assert!(conduct.rests() && !conduct.is_rested(now));
        assert!(conduct.is_rested(now + Duration::from_secs(1)) && !conduct.rests());
        let overruns = Outcome { answered: 10, failed: 10, passing: 10 };
        assert_eq!(conduct.judge(overruns, now + Duration::from_secs(1)), Verdict::Suspend);
        assert_eq!(conduct.pause(), Duration::from_secs(2));
        assert!(conduct.is_retry_due(now + Duration::from_secs(9)));
    }
}
