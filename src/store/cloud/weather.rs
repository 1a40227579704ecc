//! The weather of one service: how quick it is, and what may be guessed and hurried because of that.
//!
//! [`pace`](crate::store::pace) does the reckoning; here it is shared by all requests of a store, and the waiting is done.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::store::counters::Counters;
use crate::store::pace::{Allowance, Awaited, Pace, Waits};
use crate::store::retry::{self, Fault};

/// One answer in so many may be given up because it seems stuck, ...
const GUESSES: u32 = 4;
/// ... and so many at a stretch. More than four times as much as that only a service that is slow as a whole seems to be,
/// and it is not made quicker by being asked more.
const GUESSES_SAVED: u32 = 16;
/// For each answer, one request may be repeated in a hurry, and half of all that are in flight at a stretch. Where more
/// requests fail than are answered, nothing is urgent any more.
const HASTE_SAVED: u32 = 32;
/// A wait is cut into pieces, the first as long as this and each as long as all before it. A process that was stopped for a
/// while, or a machine that has too much to do, finds one of them past and not the whole: what came meanwhile is seen before
/// anything is given up. And what others were answered meanwhile tells when this one seems stuck.
const PIECE: Duration = Duration::from_micros(62_500);
/// Where nothing comes at all, of whatever was asked, it is the line or a machine that stands still, and asking again is of
/// no use: then twice as much is waited as where one answer alone is stuck.
const STANDSTILL: u32 = 2;

/// How a service has been of late.
#[derive(Debug)]
pub struct Weather {
    state: Mutex<State>,
    counters: Arc<Counters>,
    /// What came so far, of whatever was waited for.
    came: AtomicU64,
    /// How many wait at the moment.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    guesses: Allowance,
    haste: Allowance,
}

/// An answer, or the rest of one, that did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// How long it was waited for.
    pub after: Duration,
    /// It only seemed stuck.
    pub guess: bool,
}

impl GivenUp {
    /// Why the attempt failed.
    pub fn fault(self) -> Fault {
        if self.guess { Fault::Stuck } else { Fault::Late }
    }
}

impl Weather {
    /// Nothing is known yet. What is given up is counted in `counters`.
    pub fn new(counters: Arc<Counters>) -> Weather {
        let (guesses, haste) = (Allowance::new(GUESSES, GUESSES_SAVED), Allowance::new(1, HASTE_SAVED));
        let state = Mutex::new(State { pace: Pace::default(), guesses, haste });
        Weather { state, counters, came: AtomicU64::new(0), waiting: AtomicUsize::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Times and counts, each whole by itself.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// See [`Pace::note`].
    pub fn note(&self, awaited: Awaited, time: Duration) {
        self.state().pace.note(awaited, time);
    }

    /// A request was answered.
    pub fn answered(&self) {
        let mut state = self.state();
        state.guesses.earn();
        state.haste.earn();
    }

    /// The first bound of the wait after a request failed of `fault`.
    pub fn first(&self, fault: Fault) -> Duration {
        let mut state = self.state();
        let hurry = fault != Fault::Unreachable && state.haste.pay();
        retry::first(fault, state.pace.round_trip(), hurry)
    }

    /// See [`retry::brief`].
    pub fn brief(&self) -> Duration {
        retry::brief(self.state().pace.round_trip())
    }

    /// Waits for what comes, as long as `waits` says.
    ///
    /// # Errors
    /// [`GivenUp`] where it does not come.
    pub async fn wait<T>(
        &self,
        awaited: Awaited,
        waits: &Waits,
        coming: impl Future<Output = T>,
    ) -> Result<T, GivenUp> {
        let _waits = Waiter::new(&self.waiting);
        let (mut coming, mut waited, mut may_guess) = (pin!(coming), Duration::ZERO, waits.stuck);
        // Most things come within the first piece, without anything being reckoned.
        let mut next = PIECE.min(waits.late);
        loop {
            let (piece, left) = (waited.max(PIECE), next.saturating_sub(waited));
            // None is much shorter than the one before.
            let piece = if left < piece * 3 / 2 { left } else { piece };
            let came_before = self.came.load(Ordering::Relaxed);
            if let Ok(came) = tokio::time::timeout(piece, coming.as_mut()).await {
                self.came.fetch_add(1, Ordering::Relaxed);
                return Ok(came);
            }
            waited += piece;
            let alone = self.waiting.load(Ordering::Relaxed) == 1;
            let stands = !alone && self.came.load(Ordering::Relaxed) == came_before;
            let soon = may_guess.and_then(|stuck| self.state().pace.soon(awaited, stuck));
            let soon = soon.map(|soon| if stands { soon.saturating_mul(STANDSTILL) } else { soon });
            let guess = soon.is_some_and(|soon| waited >= soon && soon < waits.late);
            if waited >= waits.late || guess && self.guess(awaited) {
                self.counters.abandoned();
                return Err(GivenUp { after: waited, guess: waited < waits.late });
            }
            // What was not paid for is not asked for again.
            may_guess = may_guess.filter(|_| !guess);
            next = soon.filter(|soon| waited < *soon).unwrap_or(waits.late).min(waits.late);
        }
    }

    /// Whether what seems stuck may be given up; then it is noted as slow.
    fn guess(&self, awaited: Awaited) -> bool {
        let mut state = self.state();
        let may = state.guesses.pay();
        if may {
            state.pace.note_stuck(awaited);
        }
        may
    }
}

/// One that waits, for as long as it lives.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn new(waiting: &'a AtomicUsize) -> Waiter<'a> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiter(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn quick() -> (Weather, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        let weather = Weather::new(Arc::clone(&counters));
        for _ in 0..100 {
            weather.note(Awaited::Head, ms(20));
        }
        (weather, counters)
    }

    #[tokio::test(start_paused = true)]
    async fn what_seems_stuck_is_given_up_as_long_as_answers_pay_for_it() {
        let (weather, counters) = quick();
        let waits = Waits::after(0, 0, DEADLINE, DEADLINE);
        let never = || std::future::pending::<()>();
        for _ in 0..GUESSES_SAVED {
            let began = Instant::now();
            let given_up = weather.wait(Awaited::Head, &waits, never()).await;
            assert_eq!(given_up, Err(GivenUp { after: ms(250), guess: true }));
            assert!(began.elapsed() < ms(260));
        }
        let given_up = weather.wait(Awaited::Head, &waits, never()).await;
        assert_eq!(given_up, Err(GivenUp { after: ms(4000), guess: false }));
        // A slow answer is waited for then.
        let slow = weather.wait(Awaited::Head, &waits, tokio::time::sleep(ms(3000))).await;
        assert_eq!(slow, Ok(()));
        for _ in 0..GUESSES {
            weather.answered();
        }
        let given_up = weather.wait(Awaited::Head, &waits, never()).await;
        assert!(given_up.is_err_and(|given_up| given_up.guess));
        assert_eq!(counters.snapshot().abandoned, u64::from(GUESSES_SAVED) + 2);
        // Lists take as long as there is to do.
        let listed = weather.wait(Awaited::Other, &waits, tokio::time::sleep(ms(3000))).await;
        assert_eq!(listed, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_looks_before_it_gives_up() {
        let (weather, _) = quick();
        let waits = Waits::after(0, 0, DEADLINE, DEADLINE);
        let comes = async {
            tokio::time::sleep(ms(100)).await;
            // Of an answer that is there, a task of the connection has yet to read it.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        };
        let stops = async {
            tokio::time::sleep(ms(50)).await;
            tokio::time::advance(ms(1000)).await;
        };
        let (came, ()) = tokio::join!(weather.wait(Awaited::Head, &waits, comes), stops);
        assert_eq!(came, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_comes_at_all_twice_as_much_is_waited() {
        let (weather, counters) = quick();
        let waits = Waits::after(0, 0, DEADLINE, DEADLINE);
        let wait = |time| weather.wait(Awaited::Head, &waits, tokio::time::sleep(ms(time)));
        // A line that stood still goes on after 400 ms.
        let (one, other) = tokio::join!(wait(400), wait(450));
        assert_eq!((one, other, counters.snapshot().abandoned), (Ok(()), Ok(()), 0));
        let others = async {
            for _ in 0..10 {
                wait(40).await.unwrap();
            }
        };
        let (stuck, ()) = tokio::join!(wait(5000), others);
        assert_eq!(stuck, Err(GivenUp { after: ms(250), guess: true }));
        let (one, other) = tokio::join!(wait(5000), wait(5000));
        assert_eq!(
            (one, other),
            (Err(GivenUp { after: ms(500), guess: true }), Err(GivenUp { after: ms(500), guess: true }))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_are_answered_meanwhile_tells_when_an_answer_is_stuck() {
        let weather = Weather::new(Arc::default());
        let waits = Waits::after(0, 0, DEADLINE, DEADLINE);
        let others = async {
            tokio::time::sleep(ms(20)).await;
            for _ in 0..20 {
                weather.note(Awaited::Part, ms(20));
            }
        };
        let (given_up, ()) = tokio::join!(weather.wait(Awaited::Part, &waits, std::future::pending::<()>()), others);
        assert_eq!(given_up, Err(GivenUp { after: ms(250), guess: true }));
        // Where nothing is known there is no guess; and no wait ends before it looked.
        let weather = Weather::new(Arc::default());
        let given_up = weather.wait(Awaited::Part, &waits, std::future::pending::<()>()).await;
        assert_eq!(given_up, Err(GivenUp { after: ms(4000), guess: false }));
        let none = Waits::after(0, 0, Duration::ZERO, DEADLINE);
        assert!(weather.wait(Awaited::Part, &none, std::future::pending::<()>()).await.is_err());
        assert_eq!(weather.wait(Awaited::Part, &none, std::future::ready(())).await, Ok(()));
    }

    #[test]
    fn where_more_fails_than_is_answered_nothing_is_urgent() {
        let (weather, _) = quick();
        let hurried = weather.first(Fault::Busy(None));
        for _ in 1..HASTE_SAVED {
            assert_eq!(weather.first(Fault::Busy(None)), hurried);
        }
        assert!(weather.first(Fault::Busy(None)) > hurried * 4);
        weather.answered();
        assert_eq!(weather.first(Fault::Busy(None)), hurried);
    }
}
