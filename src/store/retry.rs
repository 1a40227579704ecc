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
    /// Nothing came for longer than is usual.
    Stuck,
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

/// First bound for a service that has too much to do, or is away. S3 scales within seconds to minutes; its answers take 20
/// to 100 ms.
const BUSY: Duration = Duration::from_millis(200);
/// First bound for a broken connection: a reader waits.
const BROKEN: Duration = Duration::from_millis(50);
/// The same in a hurry, of one broken connection among many that are not: the next one is as good as any.
const HURRIED: Duration = Duration::from_millis(10);
/// The same for one refusal among many answers, which says little of the next.
const REFUSED: Duration = Duration::from_millis(50);
/// In a hurry, and where the round trip is known, the first bound is this part of it, as long as that is less: what failed
/// by chance should cost no more than to ask twice, and a reader waits for the unluckiest of all that he reads ahead. Others
/// in flight fail at the same time, and are spread by it over as long as it takes a service to answer a few of them.
const PART: u32 = 8;
/// Of a round trip, what a place that is not used may cost: as much as the bound of a second wait in a hurry.
const BRIEF: u32 = 4;
/// But no less than this, which a timer measures.
const LEAST: Duration = Duration::from_millis(1);
/// Largest bound: within a minute there are still a dozen attempts, and a service that comes back is noticed soon.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is obeyed to the letter. A longer one is asked for again after this.
const OBEYED: Duration = Duration::from_secs(20);
/// The first bound of the wait after `fault`. In a hurry where most requests are answered; then it follows the usual round
/// trip.
pub fn first(fault: Fault, round_trip: Option<Duration>, hurry: bool) -> Duration {
    match fault {
        Fault::Busy(_) if hurry => hurried(round_trip, REFUSED),
        Fault::Busy(_) | Fault::Unreachable => BUSY,
        Fault::Cut | Fault::Late | Fault::Stuck if hurry => hurried(round_trip, HURRIED),
        Fault::Cut | Fault::Late | Fault::Stuck => BROKEN,
    }
}

/// Who waits no longer than this between two attempts keeps the place among those in flight: given away, it is somebody
/// else's for a round trip.
pub fn brief(round_trip: Option<Duration>) -> Duration {
    round_trip.map_or(HURRIED, |time| (time / BRIEF).max(LEAST))
}

fn hurried(round_trip: Option<Duration>, most: Duration) -> Duration {
    round_trip.map_or(most, |time| (time / PART).clamp(LEAST, most))
}

/// Whether to ask again after attempt number `attempt` (from 0) failed of `fault`, `elapsed` after the request began. The
/// wait is drawn below `first`, doubled with each attempt; `random` lies between 0 and 1.
pub fn next(attempt: u32, fault: Fault, first: Duration, elapsed: Duration, deadline: Duration, random: f64) -> Step {
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
        match next(attempt, fault, first(fault, None, false), Duration::ZERO, DEADLINE, random) {
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
    fn one_failure_among_many_answers_is_repeated_within_an_eighth_of_a_round_trip() {
        let ms = Duration::from_millis;
        for (round_trip, refused, broken) in [
            (None, 50, 10),
            (Some(ms(16)), 2, 2),
            (Some(ms(4)), 1, 1),
            (Some(ms(160)), 20, 10),
            (Some(ms(900)), 50, 10),
        ] {
            assert_eq!(first(Fault::Busy(None), round_trip, true), ms(refused), "{round_trip:?}");
            for fault in [Fault::Cut, Fault::Late, Fault::Stuck] {
                assert_eq!(first(fault, round_trip, true), ms(broken), "{round_trip:?}");
            }
        }
        assert_eq!(first(Fault::Busy(None), Some(ms(20)), false), BUSY);
        for fault in [Fault::Cut, Fault::Late, Fault::Stuck] {
            assert_eq!(first(fault, Some(ms(20)), false), BROKEN);
        }
        assert_eq!(first(Fault::Unreachable, Some(ms(20)), true), BUSY);
        assert_eq!([Some(ms(100)), Some(ms(2)), None].map(brief), [ms(25), LEAST, HURRIED]);
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
        assert_eq!(next(9, Fault::Busy(None), BUSY, late, DEADLINE, 1.0), Step::Stop);
        assert_eq!(next(0, Fault::Cut, BROKEN, late, DEADLINE, 1.0), Step::Wait(BROKEN));
        let second = DEADLINE - Duration::from_secs(1);
        assert_eq!(next(9, Fault::Busy(None), BUSY, second, DEADLINE, 1.0), Step::Wait(Duration::from_millis(500)));
        assert_eq!(next(0, Fault::Cut, BROKEN, DEADLINE, DEADLINE, 0.0), Step::Stop);
        let named = Fault::Busy(Some(DEADLINE));
        assert_eq!(next(0, named, BUSY, DEADLINE / 2, DEADLINE, 1.0), Step::Wait(OBEYED + BUSY));
    }
}
