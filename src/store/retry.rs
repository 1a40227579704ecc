//! When a failed request is asked again: numbers in, a decision out.
//!
//! Exponential back-off with full jitter: the wait is drawn between nothing and a bound that doubles with each attempt,
//! so that many readers of a service in trouble do not come back all at once. A service that names a time
//! (`Retry-After`) is obeyed within reason. All attempts share one deadline.

use std::collections::VecDeque;
use std::time::Duration;

/// Why an attempt failed, as far as the wait depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service says that it has too much to do, or is broken, and perhaps when to come back.
    Busy(Option<Duration>),
    /// The connection broke, or the answer was damaged.
    Cut,
    /// Nothing came.
    Late,
    /// No connection.
    Unreachable,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask again after this long.
    Wait(Duration),
    /// Give up.
    Stop,
}

/// First bound for a service that has too much to do. S3 scales within seconds to minutes; its answers take 20 to 100 ms.
const BUSY: Duration = Duration::from_millis(200);
/// First bound for a broken connection: the next one is as good as any, and a reader waits.
const BROKEN: Duration = Duration::from_millis(50);
/// Largest bound: within a minute there are still a dozen attempts, and a service that comes back is noticed soon.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is obeyed to the letter. A longer one is asked for again after this.
const OBEYED: Duration = Duration::from_secs(20);
/// Part of the deadline in which the answer to the first attempt must begin. Of 60 s: 4 s. S3 answers in 0.1 to 0.2 s,
/// from the other end of the world, with a new connection, in 2 s; what takes longer is stuck, and asking again is
/// quicker than waiting. Doubled with each attempt, so that a service that is merely slow is waited for in the end.
const PATIENCE: u32 = 15;

/// A service that is known to be quick is asked again sooner, but never before this: a lost packet is sent again after
/// 0.2 to 0.4 s. What S3 itself is slow with, one request in hundreds, costs a second one.
const SHORTEST: Duration = Duration::from_millis(500);
/// This many times the usual time of a request: of a thousand requests to S3 hardly one takes so long.
const UNUSUAL: u32 = 20;
/// Requests whose times are remembered: so many that a few slow ones are not the rule, so few that a line which becomes
/// slow is known within a second or two.
const REMEMBERED: usize = 32;
/// Fewer times than this say nothing yet.
const TELLING: usize = 8;

/// How long requests took of late.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    times: VecDeque<Duration>,
}

impl Pace {
    /// A request was answered after `time`, its bytes included.
    pub fn note(&mut self, time: Duration) {
        if self.times.len() >= REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(time);
    }

    /// How long the answer to a first attempt may take to begin, or to go on, of a request that has `deadline`.
    pub fn patience(&self, deadline: Duration) -> Duration {
        let most = deadline / PATIENCE;
        if self.times.len() < TELLING {
            return most;
        }
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(most);
        median.saturating_mul(UNUSUAL).max(SHORTEST).min(most)
    }
}

/// How long the answer to attempt number `attempt` (from 0) may take to begin, or to go on, with `left` of the deadline,
/// where that to the first may take `first`.
pub fn patience(attempt: u32, left: Duration, first: Duration) -> Duration {
    first.saturating_mul(1 << attempt.min(10)).min(left)
}

/// Whether to ask again after attempt number `attempt` (from 0) failed of `fault`, `elapsed` after the request began.
/// `random` lies between 0 and 1.
pub fn next(attempt: u32, fault: Fault, elapsed: Duration, deadline: Duration, random: f64) -> Step {
    let first = match fault {
        Fault::Busy(_) | Fault::Unreachable => BUSY,
        Fault::Cut | Fault::Late => BROKEN,
    };
    let bound = first.saturating_mul(1 << attempt.min(10)).min(LONGEST);
    let drawn = bound.mul_f64(random.clamp(0.0, 1.0));
    let wait = match fault {
        Fault::Busy(Some(after)) => after.min(OBEYED) + drawn,
        _ => drawn,
    };
    let left = deadline.saturating_sub(elapsed);
    match fault {
        _ if wait < left => Step::Wait(wait),
        Fault::Busy(Some(_)) => Step::Stop,
        // The last attempts come sooner rather than not at all.
        _ if left > first => Step::Wait(left / 2),
        _ => Step::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn wait(attempt: u32, fault: Fault, random: f64) -> Duration {
        match next(attempt, fault, Duration::ZERO, DEADLINE, random) {
            Step::Wait(wait) => wait,
            Step::Stop => panic!("gave up"),
        }
    }

    #[test]
    fn the_bound_doubles_and_the_wait_is_drawn_below_it() {
        let busy = Fault::Busy(None);
        assert_eq!(wait(0, busy, 1.0), BUSY);
        assert_eq!(wait(3, busy, 1.0), BUSY * 8);
        assert_eq!(wait(3, busy, 0.5), BUSY * 4);
        assert_eq!(wait(3, busy, 0.0), Duration::ZERO);
        assert_eq!(wait(40, busy, 1.0), LONGEST);
        assert_eq!(wait(0, Fault::Cut, 1.0), BROKEN);
        assert!(wait(1, busy, 7.0) <= BUSY * 2);
    }

    #[test]
    fn a_service_that_names_a_time_is_not_asked_earlier() {
        let after = Duration::from_secs(3);
        assert_eq!(wait(0, Fault::Busy(Some(after)), 0.0), after);
        assert_eq!(wait(0, Fault::Busy(Some(after)), 1.0), after + BUSY);
        assert_eq!(wait(0, Fault::Busy(Some(Duration::from_secs(3600))), 0.0), OBEYED);
    }

    #[test]
    fn no_attempt_begins_after_the_deadline() {
        let late = DEADLINE - Duration::from_millis(100);
        assert_eq!(next(9, Fault::Busy(None), late, DEADLINE, 1.0), Step::Stop);
        assert_eq!(next(0, Fault::Cut, late, DEADLINE, 1.0), Step::Wait(BROKEN));
        let second = DEADLINE - Duration::from_secs(1);
        assert_eq!(next(9, Fault::Busy(None), second, DEADLINE, 1.0), Step::Wait(Duration::from_millis(500)));
        assert_eq!(next(0, Fault::Cut, DEADLINE, DEADLINE, 0.0), Step::Stop);
        assert_eq!(next(0, Fault::Busy(Some(DEADLINE)), DEADLINE / 2, DEADLINE, 1.0), Step::Wait(OBEYED + BUSY));
    }

    #[test]
    fn patience_doubles_and_ends_with_the_deadline() {
        let first = Pace::default().patience(DEADLINE);
        assert_eq!(first, Duration::from_secs(4));
        assert_eq!(patience(0, DEADLINE, first), first);
        assert_eq!(patience(2, DEADLINE, first), first * 4);
        assert_eq!(patience(9, DEADLINE, first), DEADLINE);
        assert_eq!(patience(0, Duration::from_secs(1), first), Duration::from_secs(1));
    }

    #[test]
    fn a_quick_service_is_waited_for_less_and_one_that_becomes_slow_more() {
        let mut pace = Pace::default();
        for _ in 1..TELLING {
            pace.note(Duration::from_millis(20));
        }
        assert_eq!(pace.patience(DEADLINE), DEADLINE / PATIENCE);
        pace.note(Duration::from_secs(9));
        assert_eq!(pace.patience(DEADLINE), SHORTEST);
        // Never more than without knowing, whatever the deadline.
        assert_eq!(pace.patience(SHORTEST), SHORTEST / PATIENCE);
        for _ in 0..REMEMBERED {
            pace.note(Duration::from_millis(100));
        }
        assert_eq!(pace.patience(DEADLINE), Duration::from_secs(2));
        for _ in 0..REMEMBERED {
            pace.note(Duration::from_secs(3));
        }
        assert_eq!(pace.patience(DEADLINE), DEADLINE / PATIENCE);
        assert_eq!(pace.times.len(), REMEMBERED);
    }
}
