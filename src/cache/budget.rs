//! One bound for everything that grows: who wants to hold bytes reserves them first, and gives them back by dropping the
//! [`Reservation`].
//!
//! What others keep (descriptions of open files) is counted too and makes the room smaller, but for a [`LEAST`] part of it.
//!
//! Demand waits its turn, first come first served; it never fails. Were all that is reserved held by readers who wait
//! for more, nobody would ever give anything back: so when nothing is being loaded and nothing was given back for
//! [`STANDSTILL`], the first in the queue gets what it needs though it goes past the limit.
//!
//! A load of which two would not fit ([`Budget::is_lone`]) waits until no other such load is under way, however long that
//! takes: were several to go past the limit, they would do so by many times what it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};

/// Longer than it takes to hand over what is ready, so that the limit is passed only where everybody waits.
const STANDSTILL: Duration = Duration::from_millis(100);
/// So many of them in a row are a standstill though something is being loaded: that may itself wait for what cannot get room,
/// as chunks that are read ahead wait for the table that says where they lie. A store that is merely slow passes the limit
/// by one load a second then.
const STANDSTILLS: u32 = 10;

/// The part of the limit that loads have though everything else be taken. A quarter: readers go on, one after the other.
const LEAST: u64 = 4;

/// Bytes that may be held, and are.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    state: Mutex<State>,
    released: Notify,
    /// Held by the first who waits for room; the others queue for it.
    turn: tokio::sync::Mutex<()>,
    /// Held by the one load under way of which two would not fit. Taken before the turn, and by nobody who has it.
    lone: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// Of it, what others keep.
    elsewhere: u64,
    peak: u64,
    loading: usize,
}

/// What a reservation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// Something on its way.
    Loading,
    /// Something that is here.
    Here,
    /// Something that somebody else keeps.
    Elsewhere,
}

/// Bytes of a budget that somebody holds.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
    of: Use,
    /// Until it is here.
    lone: Option<OwnedMutexGuard<()>>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            state: Mutex::default(),
            released: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            lone: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bound, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are reserved now.
    pub fn used(&self) -> u64 {
        self.lock().used
    }

    /// The most that was ever reserved at a time.
    pub fn peak(&self) -> u64 {
        self.lock().peak
    }

    fn take(self: &Arc<Self>, state: &mut State, bytes: u64, of: Use) -> Reservation {
        state.add(bytes, of);
        Reservation { budget: Arc::clone(self), bytes, of, lone: None }
    }

    /// Bytes of what is not loaded twice for want of room: its load is one of which two would not fit, since it takes twice as
    /// many bytes and more.
    pub fn large(&self) -> u64 {
        self.limit / 4
    }

    /// Whether a load of so many bytes has to be the only one of its size.
    pub fn is_lone(&self, bytes: u64) -> bool {
        bytes > self.limit / 2
    }

    /// Whether somebody waits for room.
    pub fn is_queued(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Room for something that is about to be loaded. An empty budget has room for anything: what is larger than the
    /// limit is to be had too.
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.lock();
        let loads = state.used - state.elsewhere;
        let fits = loads == 0 || loads.saturating_add(bytes) <= self.room(&state);
        fits.then(|| self.take(&mut state, bytes, Use::Loading))
    }

    /// Counts something that somebody else keeps, whether or not there is room.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.take(&mut self.lock(), bytes, Use::Elsewhere)
    }

    /// Whether more is held than there is room for.
    pub fn is_passed(&self) -> bool {
        let state = self.lock();
        state.used - state.elsewhere > self.room(&state)
    }

    /// What loads may take.
    fn room(&self, state: &State) -> u64 {
        self.limit.saturating_sub(state.elsewhere).max(self.limit / LEAST)
    }

    /// Room for something that is about to be loaded. `free` lets go of something idle, if there is anything.
    pub async fn reserve(self: &Arc<Self>, bytes: u64, free: impl Fn() -> bool) -> Reservation {
        let lone = match self.is_lone(bytes) {
            true => Some(Arc::clone(&self.lone).lock_owned().await),
            false => None,
        };
        let mut reservation = self.queue(bytes, free).await;
        reservation.lone = lone;
        reservation
    }

    async fn queue(self: &Arc<Self>, bytes: u64, free: impl Fn() -> bool) -> Reservation {
        let _turn = self.turn.lock().await;
        let mut still = 0;
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // From here on nothing that is given back is missed.
            released.as_mut().enable();
            if let Some(reservation) = self.try_reserve(bytes) {
                return reservation;
            }
            if free() {
                continue;
            }
            if tokio::time::timeout(STANDSTILL, released).await.is_ok() {
                still = 0;
            } else {
                still += 1;
                let mut state = self.lock();
                if state.loading == 0 || still >= STANDSTILLS {
                    tracing::debug!(bytes, used = state.used, limit = self.limit, "everybody waits: past the limit");
                    return self.take(&mut state, bytes, Use::Loading);
                }
            }
        }
    }
}

impl State {
    fn add(&mut self, bytes: u64, of: Use) {
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
        self.loading += usize::from(of == Use::Loading);
        if of == Use::Elsewhere {
            self.elsewhere = self.elsewhere.saturating_add(bytes);
        }
    }

    fn subtract(&mut self, bytes: u64, of: Use) {
        self.used = self.used.saturating_sub(bytes);
        self.loading -= usize::from(of == Use::Loading);
        if of == Use::Elsewhere {
            self.elsewhere = self.elsewhere.saturating_sub(bytes);
        }
    }
}

impl Reservation {
    /// What was loaded is here and takes `bytes`.
    pub fn settle(&mut self, bytes: u64) {
        let mut state = self.budget.lock();
        state.subtract(self.bytes, self.of);
        (self.bytes, self.of) = (bytes, Use::Here);
        state.add(bytes, Use::Here);
        drop(state);
        self.lone = None;
        self.budget.released.notify_waiters();
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.lock().subtract(self.bytes, self.of);
        self.budget.released.notify_waiters();
    }
}
