//! How quick a service is of late, and how long it is waited for: times in, waits out, no clock.
//!
//! What takes longer than 99 of 100 answers did is stuck, as a rule, and asking again is quicker than waiting. That is
//! a guess, so it is bounded three times: it is never made before [`SHORTEST`], the wait doubles each time one request
//! is given up, and each guess is paid for from an [`Allowance`] that answers fill up. A service that has become slow
//! as a whole is soon waited for: the answers that come tell so.

use std::collections::VecDeque;
use std::time::Duration;

/// Part of the deadline in which the answer to the first attempt must begin, whatever is usual. Of 60 s: 4 s. S3 answers
/// in 0.1 to 0.2 s, from the other end of the world, with a new connection, in 2 s; what takes longer is stuck.
/// Doubled with each attempt, so that a service that is merely slow is waited for in the end.
const PATIENCE: u32 = 15;
/// A quick service is not given up sooner than this: a lost packet is sent again after 0.2 to 0.25 s.
const SHORTEST: Duration = Duration::from_millis(250);
/// Answers that are remembered: five of them are slower than the wait, so that a single one does not make it, and some
/// seconds of reading fill it anew.
const REMEMBERED: usize = 512;
/// Of so many answers one may take longer than is waited for.
const SLOW: usize = 100;
/// However regular a service is, this many times the usual time is nothing special.
const UNUSUAL: u32 = 3;
/// Fewer answers than this say little: ...
const TELLING: usize = 8;
/// ... so many times what the slowest of them took is waited, ...
const UNSURE: u32 = 4;
/// ... and this at least: a first answer may need a connection from the other end of the world.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How long one thing took of late.
#[derive(Clone, Debug, Default)]
pub struct Window {
    times: VecDeque<Duration>,
}

impl Window {
    /// It took `time`.
    pub fn note(&mut self, time: Duration) {
        if self.times.len() >= REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(time);
    }

    /// The time that all but `above` take at most; `None` as long as nothing is known.
    fn below(&self, above: usize) -> Option<Duration> {
        let last = self.times.len().checked_sub(1)?;
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        let (_, time, _) = times.select_nth_unstable(last.saturating_sub(above).min(last));
        Some(*time)
    }

    /// What 99 of 100 take at most.
    fn slowest(&self) -> Option<Duration> {
        self.below(self.times.len() / SLOW)
    }

    /// What half of them take at most.
    fn usual(&self) -> Option<Duration> {
        self.below(self.times.len() / 2)
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The beginning of an object's answer.
    Head,
    /// The next bytes of any answer.
    Part,
    /// Any other answer: of lists and writes, which take as long as there is to do.
    Other,
}

/// How long one attempt waits for each part of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How often the request was given up as stuck before; `None` where it never is.
    pub stuck: Option<u32>,
    /// After this long it is given up in any case.
    pub late: Duration,
}

impl Waits {
    /// Those of an attempt that is never given up on a guess.
    pub fn of(time: Duration) -> Waits {
        Waits { stuck: None, late: time }
    }

    /// Those of an attempt of a request that has `deadline`, of which `left` is left, and that was given up as stuck
    /// `stuck` times, `late` of these with certainty.
    pub fn after(stuck: u32, late: u32, left: Duration, deadline: Duration) -> Waits {
        Waits { stuck: Some(stuck), late: doubled(deadline / PATIENCE, late).min(left) }
    }
}

/// How quick a service was of late.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    heads: Window,
    parts: Window,
}

impl Pace {
    /// Something came after `time`. Of a body, the longest wait for any of its parts is noted once it is whole: bodies
    /// are what may be given up, and there are to be as few as of answers.
    pub fn note(&mut self, awaited: Awaited, time: Duration) {
        match awaited {
            Awaited::Head => self.heads.note(time),
            Awaited::Part => self.parts.note(time),
            Awaited::Other => {}
        }
    }

    /// Something was given up as stuck. It would have taken longer than 99 of 100 do, and is noted as taking just that:
    /// or else the slow ones would be missing among those that came, and each time a little less would be waited.
    /// As long as little is known, what was waited says nothing.
    pub fn note_stuck(&mut self, awaited: Awaited) {
        let known = self.window(awaited).is_some_and(|window| window.times.len() >= TELLING);
        if let Some(least) = self.soon(awaited, 0).filter(|_| known) {
            self.note(awaited, least);
        }
    }

    fn window(&self, awaited: Awaited) -> Option<&Window> {
        match awaited {
            Awaited::Head => Some(&self.heads),
            Awaited::Part => Some(&self.parts),
            Awaited::Other => None,
        }
    }

    /// After how long something seems stuck, of a request that was given up as stuck `stuck` times. `None` where nothing
    /// is known, or it takes as long as there is to do.
    pub fn soon(&self, awaited: Awaited, stuck: u32) -> Option<Duration> {
        let window = self.window(awaited)?;
        let slowest = window.slowest()?;
        let soon = if window.times.len() < TELLING {
            slowest.saturating_mul(UNSURE).max(UNKNOWN)
        } else {
            slowest.max(window.usual()?.saturating_mul(UNUSUAL)).max(SHORTEST)
        };
        Some(doubled(soon, stuck))
    }

    /// The usual time to the beginning of an object's answer: a round trip to the service.
    pub fn round_trip(&self) -> Option<Duration> {
        self.heads.usual()
    }
}

fn doubled(time: Duration, times: u32) -> Duration {
    time.saturating_mul(1 << times.min(10))
}

/// How often something may be done that is only a guess: what answers earn, a little of it saved.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// In parts of one of which an answer earns one.
    saved: u32,
    price: u32,
    most: u32,
}

impl Allowance {
    /// Once for every `answers` answers, and `most` times at a stretch.
    pub fn new(answers: u32, most: u32) -> Allowance {
        let most = most.saturating_mul(answers);
        Allowance { saved: most, price: answers, most }
    }

    /// An answer came.
    pub fn earn(&mut self) {
        self.saved = (self.saved + 1).min(self.most);
    }

    /// Whether it may be done once more; if so, that is paid.
    pub fn pay(&mut self) -> bool {
        let left = self.saved.checked_sub(self.price);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn quick(time: Duration, answers: usize) -> Pace {
        let mut pace = Pace::default();
        for _ in 0..answers {
            pace.note(Awaited::Head, time);
            pace.note(Awaited::Part, time / 4);
        }
        pace
    }

    #[test]
    fn what_certainly_is_late_is_a_part_of_the_deadline_and_doubles() {
        let waits = |late, left| Waits::after(5, late, left, DEADLINE).late;
        assert_eq!(waits(0, DEADLINE), ms(4000));
        assert_eq!(waits(2, DEADLINE), ms(16_000));
        assert_eq!(waits(9, DEADLINE), DEADLINE);
        assert_eq!(waits(2, ms(700)), ms(700));
    }

    #[test]
    fn a_quick_service_seems_stuck_after_what_99_of_100_take_and_a_quarter_of_a_second_at_least() {
        let mut pace = Pace::default();
        assert_eq!((pace.soon(Awaited::Head, 0), pace.round_trip()), (None, None));
        pace.note(Awaited::Head, ms(300));
        pace.note_stuck(Awaited::Head);
        assert_eq!(pace.soon(Awaited::Head, 0), Some(ms(1200)));
        let mut pace = quick(ms(20), TELLING - 1);
        assert_eq!(pace.soon(Awaited::Head, 0), Some(ms(1000)));
        for _ in TELLING..=REMEMBERED {
            pace.note(Awaited::Head, ms(20));
        }
        assert_eq!((pace.soon(Awaited::Head, 0), pace.round_trip()), (Some(ms(250)), Some(ms(20))));
        for _ in 0..5 {
            pace.note(Awaited::Head, ms(900));
        }
        assert_eq!(pace.soon(Awaited::Head, 0), Some(ms(250)));
        pace.note(Awaited::Head, ms(900));
        assert_eq!(pace.soon(Awaited::Head, 0), Some(ms(900)));
        // Twice as long each time.
        assert_eq!(pace.soon(Awaited::Head, 2), Some(ms(3600)));
        // Of bodies other things are known, and of lists nothing.
        assert_eq!((pace.soon(Awaited::Part, 0), pace.soon(Awaited::Other, 0)), (Some(ms(1000)), None));
    }

    #[test]
    fn where_the_usual_answer_is_slow_more_is_waited_for() {
        let pace = quick(ms(300), REMEMBERED);
        assert_eq!(pace.soon(Awaited::Head, 0), Some(ms(900)));
    }

    #[test]
    fn what_was_is_forgotten() {
        let mut pace = quick(ms(900), REMEMBERED);
        for _ in 0..REMEMBERED {
            pace.note(Awaited::Part, ms(2));
        }
        assert_eq!((pace.soon(Awaited::Head, 0), pace.soon(Awaited::Part, 0)), (Some(ms(2700)), Some(ms(250))));
        assert_eq!(pace.parts.times.len(), REMEMBERED);
    }

    #[test]
    fn a_service_that_becomes_slow_is_waited_for_soon() {
        let mut pace = quick(ms(20), REMEMBERED);
        // Each answer takes 600 ms now. The first requests are given up after 250 and 500 ms and answered the third time.
        let mut given_up = 0;
        for _ in 0..100 {
            let mut stuck = 0;
            while pace.soon(Awaited::Head, stuck) < Some(ms(600)) {
                stuck += 1;
            }
            given_up += stuck;
            pace.note(Awaited::Head, ms(600));
        }
        assert_eq!(given_up, 2 * 6);
    }

    #[test]
    fn what_is_given_up_is_not_missed_among_what_came() {
        let mut pace = Pace::default();
        // One answer in ten takes up to a second; from the thousandth on they are given up as soon as they seem stuck.
        for number in 0..20_000 {
            let time = ms(if number % 10 == 7 { number / 10 * 371 % 1000 } else { 20 });
            if number > 1000 && pace.soon(Awaited::Head, 0).is_some_and(|soon| time > soon) {
                pace.note_stuck(Awaited::Head);
            } else {
                pace.note(Awaited::Head, time);
            }
        }
        let soon = pace.soon(Awaited::Head, 0);
        assert!(soon >= Some(ms(850)), "{soon:?}");
    }

    #[test]
    fn a_guess_is_paid_for_by_answers() {
        let mut allowance = Allowance::new(4, 3);
        assert_eq!([(); 4].map(|()| allowance.pay()), [true, true, true, false]);
        for _ in 0..3 {
            allowance.earn();
        }
        assert!(!allowance.pay());
        allowance.earn();
        assert!(allowance.pay() && !allowance.pay());
        for _ in 0..1000 {
            allowance.earn();
        }
        assert_eq!([(); 4].map(|()| allowance.pay()), [true, true, true, false]);
    }
}
