//! Chunks that were handed over whole. Whoever they were handed to keeps them in a cache of his own and does not ask again,
//! so fetching them ahead is needless, though they are not here any more.
//!
//! Several programs that read their parts of one file each run ahead past the ends of their parts, where others have read
//! before. When one of these chunks is asked for after all, it was forgotten there, perhaps by itself, perhaps with all others:
//! so first little is doubted, and twice as much each time that this was too little.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::reader::Grid;
use crate::cache::Reservation;

/// Chunks that one entry tells of: neighbours are read together.
const TOGETHER: u64 = 128;
/// What an entry counts for: four bytes a chunk, the key, the reservation, and the map's empty places.
const ENTRY: u64 = 768;
/// Entries of one version: a quarter of a million chunks in a mebibyte and a half. Whoever reads more of them begins anew.
const ENTRIES: usize = 2048;
/// Chunks around one that was forgotten which are looked at one by one; who doubts more of them doubts all.
const NEAR: u64 = 4096;
/// Doubt ends when so many times as many chunks as were doubted were handed over and none was asked for again: somebody who
/// reads all of a file once more comes to the next before.
const TRUST: u64 = 4;
/// Stands for all bytes of a chunk.
const ALL: u32 = u32::MAX;

/// What of one version was handed over.
#[derive(Debug, Default)]
pub(super) struct Spent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    entries: HashMap<(Grid, u64), Entry>,
    /// How many times one turned out to be forgotten.
    forgotten: u64,
    /// Chunks on either side of it that were doubted the last time.
    doubted: u64,
    /// Chunks that were handed over since.
    since: u64,
}

#[derive(Debug)]
struct Entry {
    /// Bytes of each chunk. They are asked for once, in pieces of any size, so that their sum tells when it was the last.
    handed: [u32; TOGETHER as usize],
    _held: Reservation,
}

/// The entry of a chunk, and its place there.
fn place(number: u64) -> (u64, usize) {
    (number / TOGETHER, (number % TOGETHER) as usize)
}

impl Spent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the `len` bytes of chunk `number`, so many more were handed over. `hold` counts what an entry takes.
    pub(super) fn note(&self, grid: Grid, number: u64, bytes: u64, len: u64, hold: impl FnOnce(u64) -> Reservation) {
        let (entry, place) = place(number);
        let State { entries, since, .. } = &mut *self.lock();
        if entries.len() >= ENTRIES && !entries.contains_key(&(grid, entry)) {
            entries.clear();
        }
        let new = || Entry { handed: [0; TOGETHER as usize], _held: hold(ENTRY) };
        let entry = entries.entry((grid, entry)).or_insert_with(new);
        let Some(handed) = entry.handed.get_mut(place) else { return };
        let sum = u64::from(*handed).saturating_add(bytes);
        // Of a chunk with more bytes than can be counted it is never known.
        *handed = if sum >= len { ALL } else { u32::try_from(sum).unwrap_or(ALL - 1).min(ALL - 1) };
        *since += u64::from(sum >= len);
    }

    /// Whether chunk `number` was handed over whole.
    pub(super) fn holds(&self, grid: Grid, number: u64) -> bool {
        self.lock().holds(grid, number)
    }

    /// Chunk `number` is asked for. If it was handed over, it was forgotten there, and so may be those around it. Returns how
    /// many times that was so.
    pub(super) fn asked(&self, grid: Grid, number: u64) -> u64 {
        let mut state = self.lock();
        if state.holds(grid, number) {
            state.doubt(grid, number);
        }
        state.forgotten
    }
}

impl State {
    fn doubt(&mut self, grid: Grid, number: u64) {
        self.forgotten += 1;
        self.doubted = match self.since > self.doubted.saturating_mul(TRUST) {
            true => 1,
            false => self.doubted.saturating_mul(2).max(1),
        };
        self.since = 0;
        if self.doubted > NEAR {
            self.entries.clear();
            return;
        }
        for near in number.saturating_sub(self.doubted)..=number.saturating_add(self.doubted) {
            let (entry, place) = place(near);
            if let Some(handed) = self.entries.get_mut(&(grid, entry)).and_then(|entry| entry.handed.get_mut(place)) {
                *handed = 0;
            }
        }
    }

    fn holds(&self, grid: Grid, number: u64) -> bool {
        let (entry, place) = place(number);
        self.entries.get(&(grid, entry)).and_then(|entry| entry.handed.get(place)).is_some_and(|&handed| handed == ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Budget;
    use crate::model::hierarchy::ObjectId;

    const GRID: Grid = Grid::Chunks(ObjectId(1));

    #[test]
    fn what_was_handed_over_in_pieces_is_known_until_it_is_asked_for_again() {
        let (spent, budget) = (Spent::default(), Budget::new(1000));
        let note = |number, bytes| spent.note(GRID, number, bytes, 1000, |bytes| budget.hold(bytes));
        for number in [0, 127, 128, u64::MAX] {
            note(number, 600);
            assert!(!spent.holds(GRID, number));
            note(number, 400);
            assert!(spent.holds(GRID, number) && !spent.holds(Grid::Object, number));
        }
        note(1, 999);
        assert!(!spent.holds(GRID, 1) && !spent.holds(GRID, 256));
        assert_eq!(budget.used(), 3 * ENTRY);
        assert_eq!(spent.asked(GRID, 1), 0);
        assert!(spent.holds(GRID, 127));
        assert_eq!((spent.asked(GRID, 128), spent.asked(GRID, 128)), (1, 1));
        assert!(!spent.holds(GRID, 128) && !spent.holds(GRID, 127) && spent.holds(GRID, 0));
        drop(spent);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_reads_all_once_more_is_soon_believed_and_one_that_was_forgotten_says_little_of_others() {
        let (spent, budget) = (Spent::default(), Budget::new(1000));
        let note = |number| spent.note(GRID, number, 1, 1, |bytes| budget.hold(bytes));
        (0..100_000).for_each(note);
        // Each time that it is not yet believed, one chunk was not fetched ahead.
        for number in 0..100_000 {
            spent.asked(GRID, number);
            note(number);
        }
        assert!(spent.asked(GRID, 200_000) <= 16, "{}", spent.asked(GRID, 200_000));
        (0..100_000).for_each(note);
        spent.asked(GRID, 500);
        assert_eq!((0..100_000).filter(|&number| !spent.holds(GRID, number)).count(), 3);
    }

    #[test]
    fn of_more_bytes_than_can_be_counted_nothing_is_believed() {
        let (spent, budget) = (Spent::default(), Budget::new(1000));
        for _ in 0..3 {
            spent.note(GRID, 0, 1 << 40, 1 << 50, |bytes| budget.hold(bytes));
        }
        assert!(!spent.holds(GRID, 0));
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let (spent, budget) = (Spent::default(), Budget::new(1000));
        for number in 0..3 * ENTRIES as u64 {
            spent.note(GRID, number * TOGETHER, 1, 1, |bytes| budget.hold(bytes));
            assert!(spent.holds(GRID, number * TOGETHER));
        }
        assert_eq!(budget.peak(), ENTRIES as u64 * ENTRY);
        drop(spent);
        assert_eq!(budget.used(), 0);
    }
}
