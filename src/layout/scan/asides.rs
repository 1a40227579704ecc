//! Structures that a reader does without: second indexes, managers of free space. Whoever judges a file reads them too.

use std::ops::Range;

use crate::format::bytes::{Bytes, Space};
use crate::format::index::btree2;
use crate::format::register::Aside;
use crate::format::{FormatError, free_space};

use super::Scan;

impl Scan {
    /// Reads on with structures that only writers read, once [`step`](Scan::step) wants nothing more. Gives the ranges
    /// that are wanted now; what is wrong with one goes to `faults`, with the address of its owner's header.
    pub fn step_aside(&mut self, bytes: &dyn Bytes, faults: &mut Vec<(u64, FormatError)>) -> Vec<Range<u64>> {
        let (Some(start), Some(register)) = (&self.start, &self.register) else { return Vec::new() };
        // What was not at hand at first was judged again.
        let mut judged = start.context.judged.take();
        judged.sort_by(|a, b| (a.0, a.1.at, &a.1.reason).cmp(&(b.0, b.1.at, &b.1.reason)));
        judged.dedup();
        faults.extend(judged);
        let superblock = &start.superblock;
        let space = Space::new(bytes, superblock.base, superblock.sizes).imaged(start.image.as_ref());
        let space = space.noting(start.context.ranks, Some(register));
        self.asides.extend(register.take_asides());
        let mut waiting = Vec::new();
        while let Some((aside, owner)) = self.asides.pop() {
            register.belongs_to(owner);
            let read = match aside {
                Aside::FreeSpace(address) => free_space::decode(&space, address),
                Aside::Tree(address) => {
                    btree2::decode::records(&space, address, &btree2::kind::ALL, &mut |_, _| Ok(())).map(|_| ())
                }
            };
            match read {
                Ok(()) => {}
                Err(error) if error.needs().is_some() => waiting.push((aside, owner)),
                Err(error) => faults.push((owner, error)),
            }
        }
        self.asides = waiting;
        space.take_missing()
    }
}
