//! Where the structures of a file lie, noted down while they are read.
//!
//! A [`Space`](super::bytes::Space) that has a register writes into it every structure that a decoder asks for. What is
//! read of a structure may be less than the room that its writer gave it (a node of a tree that is not full): both are
//! kept. Structures that only writers ask for are noted as [`Aside`]s, for whoever wants to read them too.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Structures that are noted of one file. A strewn file of ten thousand objects has some hundred thousand, each takes
/// sixty bytes here; where there are more, the register says that it does not know all.
const MOST: usize = 4 << 20;

/// A structure that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Structure {
    /// As the specification names it.
    pub name: &'static str,
    /// First byte, in the file.
    pub start: u64,
    /// Bytes that mean something.
    pub len: u64,
    /// Bytes that it was given, as many or more.
    pub room: u64,
    /// Address of the header of the object it was first read for; 0 for the file itself.
    pub owner: u64,
}

impl Structure {
    /// The bytes that mean something.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// A structure that readers do without.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aside {
    /// The manager of free space whose header is at an address.
    FreeSpace(u64),
    /// The v2 B-tree whose header is at an address: a second index of what another one has.
    Tree(u64),
}

/// What was noted.
#[derive(Debug, Default)]
pub struct Register {
    /// By first byte and name.
    found: RefCell<BTreeMap<(u64, &'static str), Structure>>,
    /// With the owners of each.
    asides: RefCell<BTreeMap<Aside, u64>>,
    /// Those that were handed out.
    visited: RefCell<BTreeSet<Aside>>,
    owner: Cell<u64>,
    full: Cell<bool>,
}

impl Register {
    /// What is noted from now on belongs to the object with its header at this address.
    pub fn belongs_to(&self, owner: u64) {
        self.owner.set(owner);
    }

    /// Notes a structure. Of two that begin at one byte and have one name, the longer one counts: a prefix is read first.
    pub fn note(&self, name: &'static str, start: u64, len: u64, room: u64) {
        if len == 0 {
            return;
        }
        let mut found = self.found.borrow_mut();
        if found.len() >= MOST && !found.contains_key(&(start, name)) {
            self.full.set(true);
            return;
        }
        let owner = self.owner.get();
        let known = found.entry((start, name)).or_insert(Structure { name, start, len, room: len, owner });
        known.len = known.len.max(len);
        known.room = known.room.max(room).max(known.len);
    }

    /// Notes something that only writers read.
    pub fn aside(&self, aside: Aside) {
        self.asides.borrow_mut().entry(aside).or_insert(self.owner.get());
    }

    /// What only writers read and was not handed out before, with its owners.
    pub fn take_asides(&self) -> Vec<(Aside, u64)> {
        let mut visited = self.visited.borrow_mut();
        let asides = std::mem::take(&mut *self.asides.borrow_mut());
        asides.into_iter().filter(|(aside, _)| visited.insert(*aside)).collect()
    }

    /// Whether there were more than are kept.
    pub fn is_full(&self) -> bool {
        self.full.get()
    }

    /// All structures, by first byte.
    pub fn structures(self) -> Vec<Structure> {
        self.found.into_inner().into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_and_its_structure_are_one_and_the_first_owner_stays() {
        let register = Register::default();
        register.belongs_to(96);
        register.note("heap", 500, 9, 9);
        register.note("heap", 500, 40, 64);
        register.belongs_to(200);
        register.note("heap", 500, 9, 9);
        register.note("node", 10, 0, 0);
        register.note("node", 10, 8, 4);
        register.aside(Aside::Tree(7));
        let all = register.structures();
        let told: Vec<_> = all.iter().map(|one| (one.name, one.range(), one.room, one.owner)).collect();
        assert_eq!(told, [("node", 10..18, 8, 200), ("heap", 500..540, 64, 96)]);
    }

    #[test]
    fn what_writers_read_is_handed_out_once() {
        let register = Register::default();
        register.aside(Aside::FreeSpace(5));
        register.aside(Aside::Tree(7));
        assert_eq!(register.take_asides(), [(Aside::FreeSpace(5), 0), (Aside::Tree(7), 0)]);
        register.aside(Aside::Tree(7));
        assert_eq!(register.take_asides(), []);
    }
}
