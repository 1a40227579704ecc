//! What goes when there is no more room: how much, and which.

use std::collections::BinaryHeap;

/// Of what is to be kept at most, the part that is left when room was made: so that the disk is looked over once for many
/// records and not for each.
const LEFT: (u64, u64) = (19, 20);

/// How much may be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes of all records.
    pub most: u64,
    /// Bytes of the disk that stay free for others.
    pub floor: u64,
}

impl Room {
    /// Bytes that have to go before `more` may come, where `kept` are there and `free` bytes of the disk are.
    pub fn to_go(&self, kept: u64, free: u64, more: u64) -> u64 {
        let over = match kept.saturating_add(more) {
            all if all <= self.most => 0,
            all => all - self.most / LEFT.1 * LEFT.0,
        };
        let short = self.floor.saturating_add(more).saturating_sub(free);
        match over.max(short) {
            0 => 0,
            // Where others fill the disk little by little, it is not looked over at every step.
            gone => gone.max(kept / LEFT.1),
        }
    }

    /// Whether `more` can come at all.
    pub fn takes(&self, more: u64) -> bool {
        more <= self.most / LEFT.1 * LEFT.0
    }
}

/// A record as the disk tells of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen {
    /// When it was last used, in nanoseconds since 1970: what comes first goes first.
    pub used: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Its name.
    pub name: u128,
}

/// The records that were not used for longest, of any number that is looked over. It holds no more than it is told.
#[derive(Debug)]
pub struct Oldest {
    most: usize,
    wanted: u64,
    bytes: u64,
    seen: BinaryHeap<Seen>,
}

impl Oldest {
    /// Enough to make up `wanted` bytes, but no more than `most`.
    pub fn new(wanted: u64, most: usize) -> Oldest {
        Oldest { most: most.max(1), wanted, bytes: 0, seen: BinaryHeap::new() }
    }

    /// Takes note of a record.
    pub fn see(&mut self, seen: Seen) {
        let enough = self.bytes >= self.wanted || self.seen.len() >= self.most;
        if enough && self.seen.peek().is_none_or(|youngest| *youngest <= seen) {
            return;
        }
        self.bytes = self.bytes.saturating_add(seen.bytes);
        self.seen.push(seen);
        // The youngest that are not needed any more.
        while let Some(youngest) = self.seen.peek() {
            let left = self.bytes.saturating_sub(youngest.bytes);
            if left < self.wanted && self.seen.len() <= self.most {
                break;
            }
            self.bytes = left;
            self.seen.pop();
        }
    }

    /// Those that are to go, the oldest first.
    pub fn to_go(self) -> Vec<Seen> {
        self.seen.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn room_is_made_for_many_at_once_and_the_floor_stays_free() {
        let room = Room { most: 1000, floor: 50 };
        assert_eq!(room.to_go(900, 10_000, 100), 0);
        assert_eq!(room.to_go(950, 10_000, 100), 100);
        assert_eq!(room.to_go(0, 120, 100), 30);
        assert_eq!(room.to_go(0, 0, 0), 50);
        assert_eq!(room.to_go(u64::MAX, 0, u64::MAX), u64::MAX);
        assert!(room.takes(950) && !room.takes(951));
        let nothing = Room { most: 0, floor: 0 };
        assert!(!nothing.takes(1) && nothing.to_go(0, u64::MAX, 0) == 0);
    }

    proptest! {
        #[test]
        fn the_least_recently_used_go_and_no_more_of_them_than_are_needed(
            times in proptest::collection::vec((0u64..1000, 1u64..50), 0..200), wanted in 0u64..3000,
        ) {
            let all: Vec<Seen> = times.iter().enumerate()
                .map(|(name, &(used, bytes))| Seen { used, bytes, name: name as u128 }).collect();
            let mut oldest = Oldest::new(wanted, 1000);
            all.iter().cloned().for_each(|seen| oldest.see(seen));
            let mut sorted = all.clone();
            sorted.sort();
            let mut sum = 0;
            sorted.retain(|seen| {
                let needed = sum < wanted;
                sum += seen.bytes;
                needed
            });
            prop_assert_eq!(oldest.to_go(), sorted);
        }

        #[test]
        fn it_holds_as_many_as_it_may(times in proptest::collection::vec(0u64..1000, 0..200), most in 1usize..20) {
            let mut oldest = Oldest::new(u64::MAX, most);
            for (name, &used) in times.iter().enumerate() {
                oldest.see(Seen { used, bytes: 1, name: name as u128 });
                assert!(oldest.seen.len() <= most);
            }
            let mut sorted = times;
            sorted.sort_unstable();
            sorted.truncate(most);
            prop_assert_eq!(oldest.to_go().iter().map(|seen| seen.used).collect::<Vec<_>>(), sorted);
        }
    }
}
