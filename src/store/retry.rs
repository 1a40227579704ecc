//! When a failed request is asked again: numbers in, a decision out.
//!
//! Exponential back-off with full jitter: the wait is drawn between nothing and a bound that doubles with each attempt,
//! so that many readers of a service in trouble do not come back all at once. A service that names a time
//! (`Retry-After`) is obeyed within reason. All attempts share one deadline.

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

/// How long the answer to attempt number `attempt` (from 0) may take to begin, or to go on, with `left` of `deadline`.
pub fn patience(attempt: u32, left: Duration, deadline: Duration) -> Duration {
    (deadline / PATIENCE).saturating_mul(1 << attempt.min(10)).min(left)
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
    if elapsed + wait >= deadline { Step::Stop } else { Step::Wait(wait) }
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
        assert_eq!(next(0, Fault::Cut, DEADLINE, DEADLINE, 0.0), Step::Stop);
        assert_eq!(next(0, Fault::Busy(Some(DEADLINE)), DEADLINE / 2, DEADLINE, 1.0), Step::Wait(OBEYED + BUSY));
    }

    #[test]
    fn patience_doubles_and_ends_with_the_deadline() {
        let first = Duration::from_secs(4);
        assert_eq!(patience(0, DEADLINE, DEADLINE), first);
        assert_eq!(patience(2, DEADLINE, DEADLINE), first * 4);
        assert_eq!(patience(9, DEADLINE, DEADLINE), DEADLINE);
        assert_eq!(patience(0, Duration::from_secs(1), DEADLINE), Duration::from_secs(1));
    }
}
