//! What is kept, by when it was last asked for.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use bytes::Bytes;

/// Bytes of spent things that are kept. The kernel has them in its page cache, and these serve only whom it has forgotten
/// them for; memory that is used again soon is still in the processor's cache and has not to be cleared: with 64 MiB instead
/// of a gibibyte a gigabyte costs 0.7 s of a core instead of 2.
const SPENT: u64 = 64 << 20;

/// Things that are there, the least recently used first to go.
#[derive(Debug)]
pub struct Shelf<K> {
    kept: HashMap<K, Kept>,
    /// By when they were last used, and what became of them so far.
    spent: BTreeMap<u64, K>,
    read: BTreeMap<u64, K>,
    unread: BTreeMap<u64, K>,
    clock: u64,
    spent_bytes: u64,
    unread_bytes: u64,
    /// Bytes that were loaded ahead and let go before anybody asked for them.
    wasted: u64,
    /// Bytes of all things that were asked for so far, each once in a row.
    asked: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    when: u64,
    /// What was asked for before it came, or was last asked for itself.
    asked: u64,
    state: State,
    /// Bytes that were handed to readers since it was last read from the beginning.
    handed: u64,
}

/// What became of a thing so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Loaded ahead; nobody has asked for it.
    Unread,
    /// Somebody has.
    Read,
    /// All of it was handed over.
    Spent,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Shelf {
            kept: HashMap::new(),
            spent: BTreeMap::new(),
            read: BTreeMap::new(),
            unread: BTreeMap::new(),
            clock: 0,
            spent_bytes: 0,
            unread_bytes: 0,
            wasted: 0,
            asked: 0,
        }
    }
}

impl<K: Copy + Eq + Hash> Shelf<K> {
    fn order(&mut self, state: State) -> &mut BTreeMap<u64, K> {
        match state {
            State::Unread => &mut self.unread,
            State::Read => &mut self.read,
            State::Spent => &mut self.spent,
        }
    }

    fn count(&mut self, state: State, bytes: u64, more: bool) {
        let count = match state {
            State::Unread => &mut self.unread_bytes,
            State::Spent => &mut self.spent_bytes,
            State::Read => return,
        };
        *count = if more { count.saturating_add(bytes) } else { count.saturating_sub(bytes) };
    }

    /// Puts a thing that is here behind all others of `state`.
    fn becomes(&mut self, key: &K, state: State) -> Option<&mut Kept> {
        let (before, when, len) = {
            let kept = self.kept.get(key)?;
            (kept.state, kept.when, kept.bytes.len() as u64)
        };
        self.order(before).remove(&when);
        self.count(before, len, false);
        self.clock += 1;
        let now = self.clock;
        self.order(state).insert(now, *key);
        self.count(state, len, true);
        let kept = self.kept.get_mut(key)?;
        (kept.when, kept.state) = (now, state);
        Some(kept)
    }

    /// The bytes of `key`, which somebody asks for.
    pub fn get(&mut self, key: &K) -> Option<Bytes> {
        let before = self.kept.get(key)?.state;
        let asked = self.asked;
        let kept = self.becomes(key, State::Read)?;
        if before == State::Spent {
            kept.handed = 0;
        }
        kept.asked = asked;
        let bytes = kept.bytes.clone();
        // A reader comes for a large thing many times, and is not further for it.
        if before != State::Read {
            self.asked = self.asked.saturating_add(bytes.len() as u64);
        }
        Some(bytes)
    }

    /// Notes that `bytes` of `key` were handed over. What has to go for that is returned, to be dropped elsewhere.
    pub fn handed(&mut self, key: &K, bytes: u64) -> Vec<Bytes> {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| kept.state == State::Read) else { return Vec::new() };
        kept.handed = kept.handed.saturating_add(bytes);
        if kept.handed < kept.bytes.len() as u64 {
            return Vec::new();
        }
        self.becomes(key, State::Spent);
        let mut gone = Vec::new();
        while self.spent_bytes > SPENT
            && let Some(bytes) = self.pop_of(State::Spent)
        {
            gone.push(bytes);
        }
        gone
    }

    /// Whether `key` is here; nobody asks for its bytes.
    pub fn contains(&self, key: &K) -> bool {
        self.kept.contains_key(key)
    }

    /// Keeps bytes as the latest; `unread` where they were loaded ahead. What is here under this key stays.
    pub fn insert(&mut self, key: K, bytes: Bytes, unread: bool) {
        if self.kept.contains_key(&key) {
            return;
        }
        self.clock += 1;
        let (when, state) = (self.clock, if unread { State::Unread } else { State::Read });
        if !unread {
            self.asked = self.asked.saturating_add(bytes.len() as u64);
        }
        self.order(state).insert(when, key);
        self.count(state, bytes.len() as u64, true);
        self.kept.insert(key, Kept { bytes, when, asked: self.asked, state, handed: 0 });
    }

    fn pop_of(&mut self, state: State) -> Option<Bytes> {
        let (_, key) = self.order(state).pop_first()?;
        let bytes = self.kept.remove(&key)?.bytes;
        self.count(state, bytes.len() as u64, false);
        if state == State::Unread {
            self.wasted += bytes.len() as u64;
        }
        Some(bytes)
    }

    /// Takes out what is wanted least of what was read: what was handed over, else what was used longest ago.
    pub fn pop_read(&mut self) -> Option<Bytes> {
        self.pop_of(State::Spent).or_else(|| self.pop_of(State::Read))
    }

    /// Takes out what was handed over, else what a reader has left behind, else what was read longest ago, unless that was just
    /// now.
    pub fn pop_oldest(&mut self, limit: u64) -> Option<Bytes> {
        self.pop_of(State::Spent).or_else(|| self.pop_forsaken(limit)).or_else(|| self.pop_left(limit / 4))
    }

    /// Takes out what was read longest ago, if more than `bytes` were asked for since: of several readers, one may not have come
    /// to the rest of it yet.
    fn pop_left(&mut self, bytes: u64) -> Option<Bytes> {
        let (_, key) = self.read.first_key_value()?;
        let since = self.asked.saturating_sub(self.kept.get(key)?.asked);
        (since > bytes).then(|| self.pop_of(State::Read)).flatten()
    }

    /// Takes out what is wanted least: of what was read, else of what was loaded ahead.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.pop_read().or_else(|| self.pop_of(State::Unread))
    }

    /// As [`pop`](Self::pop), but for the one that was read last and not to its end, if it has `large` bytes or more: its
    /// reader is still at it, and would have it loaded again at once.
    pub fn pop_sparing(&mut self, large: u64) -> Option<Bytes> {
        let last = self.read.last_key_value().and_then(|(_, key)| self.kept.get(key));
        let spared = last.is_some_and(|last| last.bytes.len() as u64 >= large);
        if self.spent.is_empty() && spared && self.read.len() == 1 {
            return self.pop_of(State::Unread);
        }
        self.pop()
    }

    /// Takes out what was loaded ahead longest ago, if more than `limit` was asked for since. All that is loaded ahead at a time,
    /// here or on its way, is less, so readers who go on would have come to it by then: this one's has left.
    pub fn pop_forsaken(&mut self, limit: u64) -> Option<Bytes> {
        let (_, key) = self.unread.first_key_value()?;
        let since = self.asked.saturating_sub(self.kept.get(key)?.asked);
        (since > limit).then(|| self.pop_of(State::Unread)).flatten()
    }

    /// Bytes that were loaded ahead and not asked for yet.
    pub fn unread_bytes(&self) -> u64 {
        self.unread_bytes
    }

    /// Bytes that were loaded ahead and let go unread.
    pub fn wasted(&self) -> u64 {
        self.wasted
    }

    /// How many things are here.
    pub fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_for_one_thing_many_times_leaves_nothing_behind_by_that() {
        let mut shelf = Shelf::default();
        let thing = || Bytes::from_static(&[0; 1000]);
        shelf.insert(0, thing(), true);
        for key in 1..=4 {
            // Loaded ahead, and read in five pieces.
            shelf.insert(key, thing(), true);
            (0..5).for_each(|_| drop(shelf.get(&key)));
            assert!(shelf.handed(&key, 1000).is_empty());
        }
        assert_eq!(shelf.pop_forsaken(4000), None);
        // Read once more from the beginning.
        shelf.get(&1);
        assert_eq!(shelf.pop_forsaken(4000), Some(thing()));
        assert_eq!(shelf.wasted(), 1000);
    }

    #[test]
    fn what_is_being_read_makes_no_room_for_what_may_be_read() {
        let mut shelf = Shelf::default();
        for key in 0..3 {
            shelf.insert(key, Bytes::from_static(&[0; 1000]), false);
            shelf.get(&key);
        }
        // After the first, two thousand bytes were asked for.
        assert_eq!(shelf.pop_oldest(8000), None);
        assert!(shelf.pop_oldest(6000).is_some() && !shelf.contains(&0));
        // For what is waited for there is room in any case.
        assert!(shelf.pop_read().is_some() && !shelf.contains(&1));
    }
}
