//! What is kept: plain bytes of chunks by version, within one budget of memory, and who is already fetching what.
//!
//! `fetch` stands above and says how a missing piece is loaded; however many wait for the same piece, one load serves
//! them all, and it goes on as long as one of them waits. The policy is LRU: what was just read ahead is newest.
//! The kernel reads a chunk in pieces of at most 1 MiB, so plain bytes must survive from one piece to the next.
//!
//! * [`budget`](self::budget): the bound, and who waits for room;
//! * [`shelf`](self::shelf): what is kept, in the order in which it goes.

mod budget;
pub mod disk;
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

pub use budget::{Budget, Reservation};
use shelf::Shelf;

use crate::model::chunk::ChunkId;

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Bytes held at a time: what is kept, what is handed over and what is on its way. 256 MiB: enough for sixty-four
    /// chunks of the size that HSDS makes by itself (4 MiB at most). With 0 nothing is kept and nothing bounded.
    pub bytes: u64,
    /// How long a chunk that was never written is taken for absent without asking again. One second: a reader walking
    /// over an empty region asks once per chunk, a chunk that appears is seen soon.
    pub absent_for: Duration,
}

/// Of the memory of a whole mount so many quarters are given out. The allocator keeps what was freed for a twentieth of a second
/// before the system has it back, which at full speed is some 50 MiB more, and the disk cache has a queue beside it.
const QUARTERS: u64 = 3;

impl CacheSettings {
    /// The bytes that are given out of `memory`, what a whole mount may use.
    pub fn of_memory(memory: u64) -> u64 {
        memory / 4 * QUARTERS
    }

    /// The memory of which [`of_memory`](Self::of_memory) gives out so many bytes.
    pub fn memory_for(bytes: u64) -> u64 {
        bytes.div_ceil(QUARTERS).saturating_mul(4)
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings { bytes: 256 << 20, absent_for: Duration::from_secs(1) }
    }
}

/// A piece of one version of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PieceId {
    /// The version, unique in this process.
    pub version: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// What of it.
    pub part: PiecePart,
}

/// What of a chunk a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PiecePart {
    /// The whole chunk, plain.
    Plain,
    /// A block of a chunk that is kept in blocks.
    Block(u64),
    /// A page of a chunk of which little was asked for yet.
    Page(u64),
    /// The whole chunk as it is handed to a reader who undoes the filters himself.
    Stored,
    /// In that form, a chunk of the dataset that was never written; the chunk's number is 0.
    StoredFill,
}

/// Why there are no bytes. Errors are handed to everyone who waits and are never kept.
#[derive(Clone, Debug)]
pub enum Missing<E> {
    /// Never written.
    Absent,
    /// It could not be loaded.
    Failed(E),
}

/// What a load gives.
pub type Loaded<E> = Result<Bytes, Missing<E>>;
type Load<E> = BoxFuture<'static, Loaded<E>>;

/// What became of a wish to load something ahead.
pub enum Ahead<E> {
    /// It is here, or was never written.
    Needless,
    /// There is no room for it now.
    NoRoom,
    /// It comes as long as this is awaited, or somebody else waits.
    Started(Waiting<E>),
}

/// What went through a cache so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pieces that were here when they were asked for.
    pub hits: u64,
    /// Pieces that somebody asked for and waited for.
    pub waits: u64,
    /// Pieces whose load was begun ahead of any reader.
    pub ahead: u64,
    /// Bytes loaded ahead and let go before anybody asked for them.
    pub wasted: u64,
}

/// Plain bytes by piece.
pub struct PieceCache<E> {
    shared: Arc<Inner<E>>,
}

struct Inner<E> {
    budget: Arc<Budget>,
    keeps: bool,
    state: Mutex<State<E>>,
    absent: moka::sync::Cache<PieceId, ()>,
}

struct State<E> {
    shelf: Shelf<PieceId>,
    loading: HashMap<PieceId, Loading<E>>,
    /// Bytes that loads begun ahead, which nobody waits for yet, will take.
    ahead_bytes: u64,
    loads: u64,
    counts: Counts,
}

/// A load under way.
struct Loading<E> {
    load: Shared<Load<E>>,
    /// Which load of this piece it is: a later one is not ended by who waited for an earlier.
    number: u64,
    waiting: usize,
    /// Bytes that it takes from what may be loaded ahead; 0 as soon as a reader waits.
    ahead: u64,
}

/// Somebody who waits for a load. The last to go ends it.
pub struct Waiting<E> {
    shared: Arc<Inner<E>>,
    id: PieceId,
    number: u64,
    load: Shared<Load<E>>,
}

/// What an entry costs besides its bytes: key, nodes of the maps, reference counts.
const ENTRY: u64 = 200;
/// Absent chunks remembered; about 200 bytes each.
const ABSENT: u64 = 100_000;
/// The part of the budget that may hold what nobody has asked for yet. Half: the rest serves demand whatever is guessed.
const AHEAD_PART: u64 = 2;

impl<E: Clone + Send + Sync + 'static> PieceCache<E> {
    /// An empty cache.
    pub fn new(settings: &CacheSettings) -> Self {
        let keeps = settings.bytes > 0;
        let absent = moka::sync::Cache::builder()
            .max_capacity(ABSENT)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .time_to_live(settings.absent_for)
            .build();
        let state = State {
            shelf: Shelf::default(),
            loading: HashMap::new(),
            ahead_bytes: 0,
            loads: 0,
            counts: Counts::default(),
        };
        let budget = Budget::new(if keeps { settings.bytes } else { u64::MAX });
        PieceCache { shared: Arc::new(Inner { budget, keeps, state: Mutex::new(state), absent }) }
    }

    /// The bound of what is held.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    /// Room for a load that a reader waits for. What is idle goes first.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let (shared, bytes) = (&self.shared, bytes.saturating_add(ENTRY));
        let lone = shared.budget.is_lone(bytes);
        shared.budget.reserve(bytes, || if lone { shared.free_sparing() } else { shared.free(Shelf::pop) }).await
    }

    /// Counts bytes that somebody else keeps. What is idle makes room for them.
    pub fn hold(&self, bytes: u64) -> Reservation {
        let held = self.shared.budget.hold(bytes);
        while self.shared.budget.is_passed() && self.shared.free(Shelf::pop) {}
        held
    }

    /// As [`hold`](Self::hold), for as long as something is handed over: the large piece that is being read stays.
    pub fn hold_briefly(&self, bytes: u64) -> Reservation {
        let held = self.shared.budget.hold(bytes);
        while self.shared.budget.is_passed() && self.shared.free_sparing() {}
        held
    }

    /// The piece, loaded by what `load` makes unless it is here or coming.
    pub async fn get_or_load(&self, id: PieceId, load: impl FnOnce() -> Load<E>) -> Loaded<E> {
        let waiting = {
            let mut state = self.shared.lock();
            if let Some(bytes) = state.shelf.get(&id) {
                state.counts.hits += 1;
                return Ok(bytes);
            }
            if self.shared.absent.contains_key(&id) {
                return Err(Missing::Absent);
            }
            state.counts.waits += 1;
            match self.shared.join(&mut state, id) {
                Some(waiting) => waiting,
                None => self.shared.begin(&mut state, id, 0, load()),
            }
        };
        waiting.result().await
    }

    /// Notes that `bytes` of a piece go to a reader. Once all have gone it is wanted less than anything else that is here.
    pub fn handed(&self, id: PieceId, bytes: u64) {
        let gone = self.shared.lock().shelf.handed(&id, bytes);
        // Outside the lock.
        drop(gone);
    }

    /// Whether the piece is here or coming.
    pub fn here(&self, id: PieceId) -> bool {
        let state = self.shared.lock();
        state.shelf.contains(&id) || state.loading.contains_key(&id)
    }

    /// Begins to load a piece of about `bytes` that nobody waits for yet, where there is room: what may be loaded ahead
    /// is bounded, and takes the place of nothing that was loaded ahead itself.
    pub fn load_ahead(&self, id: PieceId, bytes: u64, load: impl FnOnce(Reservation) -> Load<E>) -> Ahead<E> {
        let shared = &self.shared;
        if !shared.keeps {
            return Ahead::NoRoom;
        }
        let bytes = bytes.saturating_add(ENTRY);
        loop {
            let full = {
                let mut state = shared.lock();
                // Whoever began it may leave before it is here.
                if let Some(waiting) = shared.watch(&mut state, id) {
                    return Ahead::Started(waiting);
                }
                if state.shelf.contains(&id) || shared.absent.contains_key(&id) {
                    return Ahead::Needless;
                }
                let ahead = state.shelf.unread_bytes().saturating_add(state.ahead_bytes).saturating_add(bytes);
                let full = ahead > shared.budget.limit() / AHEAD_PART;
                if !full && shared.budget.is_queued() {
                    return Ahead::NoRoom;
                }
                if !full && let Some(reservation) = shared.budget.try_reserve(bytes) {
                    state.counts.ahead += 1;
                    return Ahead::Started(shared.begin(&mut state, id, bytes, load(reservation)));
                }
                full
            };
            let limit = shared.budget.limit();
            if !shared.free(|shelf| if full { shelf.pop_forsaken(limit) } else { shelf.pop_oldest(limit) }) {
                return Ahead::NoRoom;
            }
        }
    }

    /// Bytes kept now.
    pub fn kept(&self) -> usize {
        self.shared.lock().shelf.len()
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        let state = self.shared.lock();
        Counts { wasted: state.shelf.wasted(), ..state.counts }
    }
}

/// Bytes that give back their reservation when the last who holds them lets go.
pub fn reserved(bytes: Bytes, mut reservation: Reservation) -> Bytes {
    struct Held(Bytes, #[expect(dead_code, reason = "dropped with the bytes")] Reservation);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    reservation.settle((bytes.len() as u64).saturating_add(ENTRY));
    Bytes::from_owner(Held(bytes, reservation))
}

impl<E: Clone + Send + Sync + 'static> Inner<E> {
    /// The maps are whole between any two calls, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of something idle. It is dropped outside the lock.
    fn free(&self, pop: impl FnOnce(&mut Shelf<PieceId>) -> Option<Bytes>) -> bool {
        let freed = pop(&mut self.lock().shelf);
        freed.is_some()
    }

    /// Lets go of something idle. Of large pieces the one that is being read stays, though that be past the limit: else it
    /// is pushed out by what a reader wants next before he had all of it, comes back, and pushes that one out.
    fn free_sparing(&self) -> bool {
        self.free(|shelf| shelf.pop_sparing(self.budget.large()))
    }

    /// Waits for the load of `id`, if there is one. From now on a reader waits for it.
    fn join(self: &Arc<Self>, state: &mut State<E>, id: PieceId) -> Option<Waiting<E>> {
        let waiting = self.watch(state, id)?;
        if let Some(loading) = state.loading.get_mut(&id) {
            state.ahead_bytes -= std::mem::take(&mut loading.ahead);
        }
        Some(waiting)
    }

    /// Keeps the load of `id` going, if there is one, whoever else leaves it.
    fn watch(self: &Arc<Self>, state: &mut State<E>, id: PieceId) -> Option<Waiting<E>> {
        let loading = state.loading.get_mut(&id)?;
        loading.waiting += 1;
        Some(Waiting { shared: Arc::clone(self), id, number: loading.number, load: loading.load.clone() })
    }

    /// Begins a load, of which there is none; `ahead` bytes of it count as loaded ahead.
    fn begin(self: &Arc<Self>, state: &mut State<E>, id: PieceId, ahead: u64, load: Load<E>) -> Waiting<E> {
        state.loads += 1;
        state.ahead_bytes += ahead;
        let number = state.loads;
        let shared = Arc::clone(self);
        let load = async move {
            let loaded = load.await;
            shared.arrived(id, number, &loaded);
            loaded
        };
        let load = load.boxed().shared();
        state.loading.insert(id, Loading { load: load.clone(), number, waiting: 1, ahead });
        Waiting { shared: Arc::clone(self), id, number, load }
    }

    /// Keeps what was loaded.
    fn arrived(&self, id: PieceId, number: u64, loaded: &Loaded<E>) {
        let mut state = self.lock();
        let ours = state.loading.get(&id).is_some_and(|loading| loading.number == number);
        let ahead = if ours { state.loading.remove(&id).map_or(0, |loading| loading.ahead) } else { 0 };
        state.ahead_bytes -= ahead;
        match loaded {
            Ok(bytes) if self.keeps => state.shelf.insert(id, bytes.clone(), ahead > 0),
            Err(Missing::Absent) => self.absent.insert(id, ()),
            _ => {}
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Waiting<E> {
    /// What was loaded.
    pub async fn result(mut self) -> Loaded<E> {
        (&mut self.load).await
    }
}

impl<E> Drop for Waiting<E> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(loading) = state.loading.get_mut(&self.id).filter(|loading| loading.number == self.number) else {
            return;
        };
        loading.waiting = loading.waiting.saturating_sub(1);
        if loading.waiting == 0 {
            let gone = state.loading.remove(&self.id);
            state.ahead_bytes -= gone.as_ref().map_or(0, |gone| gone.ahead);
            drop(state);
            // With it goes the request, and what was reserved for it.
            drop(gone);
        }
    }
}

impl<E> fmt::Debug for PieceCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceCache").field("budget", &self.shared.budget).finish_non_exhaustive()
    }
}
