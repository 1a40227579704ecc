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
/// Fewer answers than this say nothing yet.
const TELLING: usize = 8;

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

    /// The time that all but `above` take at most; `None` as long as too little is known.
    fn below(&self, above: usize) -> Option<Duration> {
        let last = self.times.len().checked_sub(1).filter(|last| last + 1 >= TELLING)?;
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

/// How long something is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Then it seems stuck, and is given up if the allowance pays for that.
    pub soon: Duration,
    /// Then it is given up in any case.
    pub late: Duration,
}

/// How long one attempt waits for each part of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For the beginning of an object's answer.
    pub head: Wait,
    /// For the next bytes.
    pub part: Wait,
    /// For any other answer.
    pub other: Wait,
}

impl Waits {
    /// The same for everything.
    pub fn of(time: Duration) -> Waits {
        let wait = Wait { soon: time, late: time };
        Waits { head: wait, part: wait, other: wait }
    }

    /// That for one kind of thing.
    pub fn of_kind(&self, awaited: Awaited) -> Wait {
        match awaited {
            Awaited::Head => self.head,
            Awaited::Part => self.part,
            Awaited::Other => self.other,
        }
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
    pub fn note_stuck(&mut self, awaited: Awaited) {
        let window = match awaited {
            Awaited::Head => &self.heads,
            Awaited::Part => &self.parts,
            Awaited::Other => return,
        };
        let least = window.slowest().unwrap_or_default().max(SHORTEST);
        self.note(awaited, least);
    }

    /// The usual time to the beginning of an object's answer: a round trip to the service.
    pub fn round_trip(&self) -> Option<Duration> {
        self.heads.usual()
    }

    /// How long an attempt waits of a request that has `deadline`, of which `left` is left, and that was given up as
    /// stuck `stuck` times, `late` of these with certainty.
    pub fn waits(&self, stuck: u32, late: u32, left: Duration, deadline: Duration) -> Waits {
        let late = doubled(deadline / PATIENCE, late).min(left);
        let wait = |window: &Window| {
            let soon = window.slowest().map(|time| doubled(time.max(SHORTEST), stuck));
            Wait { soon: soon.unwrap_or(late).min(late), late }
        };
        Waits { head: wait(&self.heads), part: wait(&self.parts), other: Wait { soon: late, late } }
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
    fn without_knowing_the_wait_is_a_part_of_the_deadline_and_doubles() {
        let pace = quick(ms(20), TELLING - 1);
        let waits = |late, left| pace.waits(0, late, left, DEADLINE);
        assert_eq!(waits(0, DEADLINE), Waits::of(ms(4000)));
        assert_eq!(waits(2, DEADLINE), Waits::of(ms(16_000)));
        assert_eq!(waits(9, DEADLINE), Waits::of(DEADLINE));
        assert_eq!(waits(2, ms(700)), Waits::of(ms(700)));
        assert_eq!(pace.round_trip(), None);
    }

    #[test]
    fn a_quick_service_seems_stuck_after_what_99_of_100_take_and_a_quarter_of_a_second_at_least() {
        let mut pace = quick(ms(20), REMEMBERED);
        assert_eq!(pace.round_trip(), Some(ms(20)));
        let late = ms(4000);
        let wait = |soon| Wait { soon, late };
        assert_eq!(
            pace.waits(0, 0, DEADLINE, DEADLINE),
            Waits { head: wait(ms(250)), part: wait(ms(250)), other: wait(late) }
        );
        for _ in 0..5 {
            pace.note(Awaited::Head, ms(900));
        }
        assert_eq!(pace.waits(0, 0, DEADLINE, DEADLINE).head, wait(ms(250)));
        pace.note(Awaited::Head, ms(900));
        assert_eq!(pace.waits(0, 0, DEADLINE, DEADLINE).head, wait(ms(900)));
        assert_eq!(pace.waits(0, 0, DEADLINE, DEADLINE).part, wait(ms(250)));
        // Twice as long each time, as long as it is not given up anyway.
        assert_eq!(pace.waits(1, 1, DEADLINE, DEADLINE).head, Wait { soon: ms(1800), late: ms(8000) });
        assert_eq!(pace.waits(9, 0, DEADLINE, DEADLINE).head, wait(late));
    }

    #[test]
    fn what_was_is_forgotten() {
        let mut pace = quick(ms(900), REMEMBERED);
        for _ in 0..REMEMBERED {
            pace.note(Awaited::Part, ms(2));
        }
        let waits = pace.waits(0, 0, DEADLINE, DEADLINE);
        assert_eq!((waits.head.soon, waits.part.soon), (ms(900), ms(250)));
        assert_eq!(pace.parts.times.len(), REMEMBERED);
    }

    #[test]
    fn a_service_that_becomes_slow_is_waited_for_soon() {
        let mut pace = quick(ms(20), REMEMBERED);
        // Each answer takes 600 ms now. The first requests are given up after 250 and 500 ms and answered the third time.
        let mut given_up = 0;
        for _ in 0..100 {
            let mut stuck = 0;
            while pace.waits(stuck, stuck, DEADLINE, DEADLINE).head.soon < ms(600) {
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
        // Answers take up to a second, and are given up as soon as they seem stuck.
        for number in 0..20_000 {
            let time = ms(number * 371 % 1000);
            if time > pace.waits(0, 0, DEADLINE, DEADLINE).head.soon {
                pace.note_stuck(Awaited::Head);
            } else {
                pace.note(Awaited::Head, time);
            }
        }
        let soon = pace.waits(0, 0, DEADLINE, DEADLINE).head.soon;
        assert!(soon >= ms(950), "{soon:?}");
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
