//! Permits to ask a store: [`queue`](super::queue) says whose turn it is, here they are woken.
//!
//! Whoever stops waiting, or drops a permit, makes room for the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Urgency;
use super::queue::{Place, Queue, Ticket, Turns};

/// The requests of one store, under way and waiting.
#[derive(Debug)]
pub(crate) struct Permits {
    state: Mutex<State>,
    /// Who waits gives up when for so long nobody's turn has come.
    longest: Duration,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    wakers: HashMap<Ticket, oneshot::Sender<Place>>,
    /// When somebody's turn last came.
    moved: Option<Instant>,
}

/// A place among the requests in flight, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    place: Place,
}

/// A request that is not under way for a while, and keeps its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    permits: Arc<Permits>,
    ticket: Ticket,
}

/// For so long nobody's turn has come: what is under way hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands(pub Duration);

impl Permits {
    /// At most `most` requests at a time. The others wait as long as the queue moves, and give up when it has stood
    /// still for `longest`.
    pub fn new(most: usize, longest: Duration) -> Arc<Permits> {
        let state = State { queue: Queue::new(most), wakers: HashMap::new(), moved: None };
        Arc::new(Permits { state: Mutex::new(state), longest })
    }

    /// A permit, when it is this request's turn.
    ///
    /// # Errors
    /// [`Stands`] where the queue does not move.
    pub async fn turn(self: &Arc<Self>, urgency: Urgency) -> Result<Permit, Stands> {
        let ticket = self.state().queue.ticket(urgency);
        Away { permits: Arc::clone(self), ticket }.back().await
    }

    /// What waits and what is under way.
    pub fn turns(&self) -> Turns {
        self.state().queue.turns()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    /// Wakes those whose turn it is.
    fn admit(&mut self) {
        while let Some(place) = self.queue.admit() {
            self.moved = Some(Instant::now());
            let waker = self.wakers.remove(&place.ticket);
            // Nobody is there any more: the place is the next one's.
            if waker.is_none_or(|waker| waker.send(place).is_err()) {
                self.queue.end(place);
            }
        }
    }
}

impl Permit {
    /// The permits it is one of.
    pub fn permits(&self) -> Arc<Permits> {
        Arc::clone(&self.permits)
    }

    /// The service answered; `busy`: that it has too much to do.
    pub fn answered(&self, busy: bool) {
        let mut state = self.permits.state();
        state.queue.answered(self.place, busy);
        state.admit();
    }

    /// Whether a request that is repeated soon may keep its place meanwhile: it would be given the same one again.
    pub fn stays(&self) -> bool {
        self.permits.state().queue.stays(self.place)
    }

    /// The request is repeated in its place.
    pub fn anew(&mut self) {
        self.place = self.permits.state().queue.anew(self.place);
    }

    /// Gives the place back for a while.
    pub fn away(self) -> Away {
        Away { permits: Arc::clone(&self.permits), ticket: self.place.ticket }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        state.queue.end(self.place);
        state.admit();
    }
}

impl Away {
    /// A place again, before all that came later.
    ///
    /// # Errors
    /// As [`Permits::turn`].
    pub async fn back(self) -> Result<Permit, Stands> {
        let Away { permits, ticket } = self;
        let mut since = Instant::now();
        let (waker, woken) = oneshot::channel();
        let mut waiting = Waiting { permits: &permits, ticket, woken };
        {
            let mut state = permits.state();
            state.queue.wait(ticket);
            state.wakers.insert(ticket, waker);
            state.admit();
        }
        let place = loop {
            let left = permits.longest.saturating_sub(since.elapsed());
            match tokio::time::timeout(left, &mut waiting.woken).await {
                Ok(Ok(place)) => break place,
                // The waker is in `permits`, which this request holds.
                Ok(Err(_)) => return Err(Stands(permits.longest)),
                Err(_) => match permits.state().moved.filter(|moved| *moved > since) {
                    Some(moved) => since = moved,
                    None => return Err(Stands(permits.longest)),
                },
            }
        };
        drop(waiting);
        Ok(Permit { permits, place })
    }
}

/// A request that waits.
struct Waiting<'a> {
    permits: &'a Permits,
    ticket: Ticket,
    woken: oneshot::Receiver<Place>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        state.wakers.remove(&self.ticket);
        state.queue.leave(self.ticket);
        // Its turn came, and nobody saw it.
        if let Ok(place) = self.woken.try_recv() {
            state.queue.end(place);
        }
        state.admit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_makes_room_and_nothing_is_left_behind() {
        let permits = Permits::new(1, LONG);
        let first = permits.turn(Urgency::Demand).await.unwrap();
        let mut given_up = Box::pin(permits.turn(Urgency::Demand));
        let mut seen_late = Box::pin(permits.turn(Urgency::Demand));
        assert!(futures::poll!(&mut given_up).is_pending() && futures::poll!(&mut seen_late).is_pending());
        let last = tokio::spawn({
            let permits = Arc::clone(&permits);
            async move { permits.turn(Urgency::Ahead).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(permits.turns(), Turns { demand: 2, ahead: 1, in_flight: 1, width: 1 });
        drop(given_up);
        drop(first);
        // Its turn has come, and it is dropped before it looks.
        assert_eq!(permits.turns(), Turns { demand: 0, ahead: 1, in_flight: 1, width: 1 });
        drop(seen_late);
        last.await.unwrap().unwrap();
        assert_eq!(permits.turns(), Turns { width: 1, ..Turns::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_as_long_as_the_queue_moves_and_no_longer() {
        let permits = Permits::new(1, LONG);
        let hold = |seconds| {
            let permits = Arc::clone(&permits);
            async move {
                let permit = permits.turn(Urgency::Demand).await.unwrap();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                permit
            }
        };
        let began = Instant::now();
        let slow = futures::future::join_all((0..5).map(|_| async { drop(hold(40).await) }));
        let (_, last) = tokio::join!(slow, permits.turn(Urgency::Ahead));
        assert_eq!(began.elapsed(), Duration::from_secs(200));
        // It hangs now.
        let (began, away) = (Instant::now(), last.unwrap().away());
        let hung = hold(0).await;
        assert_eq!(permits.turn(Urgency::Demand).await.map(drop), Err(Stands(LONG)));
        assert_eq!(away.back().await.map(drop), Err(Stands(LONG)));
        assert_eq!(began.elapsed(), 2 * LONG);
        drop(hung);
        assert_eq!(permits.turns(), Turns { width: 1, ..Turns::default() });
    }
}
