//! The bytes of a file against all that lies in it: what overlaps, and what no structure names.

use std::ops::Range;

use super::{Addresses, Place, Placement};
use crate::format::register::Structure;
use crate::model::hierarchy::ObjectId;

/// Overlaps that are told one by one; a damaged file may have millions.
const TOLD: usize = 1000;
/// What lies in a dataset's chunk or piece, as a name beside those of structures.
const ELEMENTS: &str = "elements";

/// Something with a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The structure, or `elements`.
    pub name: &'static str,
    /// The object it was read for; `None` for what belongs to the file, or to an object that is not shown.
    pub object: Option<ObjectId>,
    /// Its bytes.
    pub range: Range<u64>,
}

/// The account of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// Pairs that share bytes, as far as they are told.
    pub overlaps: Vec<(Held, Held)>,
    /// All such pairs of neighbours.
    pub overlapping: u64,
    /// Bytes of structures.
    pub metadata: u64,
    /// Bytes of elements.
    pub elements: u64,
    /// Stretches that nothing has a claim to, in order.
    pub unnamed: Vec<Range<u64>>,
}

impl Ledger {
    /// Bytes of all stretches that nothing has a claim to.
    pub fn unnamed_bytes(&self) -> u64 {
        self.unnamed.iter().map(|range| range.end - range.start).sum()
    }
}

/// A stretch that is held. There may be as many as chunks.
#[derive(Clone, Copy)]
struct Piece {
    start: u64,
    end: u64,
    /// End of the room.
    room: u64,
    by: By,
}

#[derive(Clone, Copy)]
enum By {
    Structure(usize),
    Elements(ObjectId),
}

/// Balances the bytes of `file` against structures and elements; placements are by object number.
pub fn balance(
    structures: &[Structure],
    placements: &[Option<Placement>],
    addresses: &Addresses,
    file: Range<u64>,
) -> Ledger {
    let mut pieces: Vec<Piece> = structures
        .iter()
        .enumerate()
        .map(|(number, one)| {
            let Range { start, end } = one.range();
            Piece { start, end, room: one.start.saturating_add(one.room), by: By::Structure(number) }
        })
        .collect();
    let mut ledger = Ledger { metadata: pieces.iter().map(|piece| piece.end - piece.start).sum(), ..Ledger::default() };
    for (id, placement) in (0..).map(ObjectId).zip(placements) {
        let Some(placement) = placement else { continue };
        place(placement, &mut |start, end| {
            ledger.elements = ledger.elements.saturating_add(end - start);
            pieces.push(Piece { start, end, room: end, by: By::Elements(id) });
        });
    }
    pieces.sort_unstable_by_key(|piece| (piece.start, piece.end));
    let held = |piece: &Piece| {
        let (name, object) = match piece.by {
            By::Elements(id) => (ELEMENTS, Some(id)),
            By::Structure(number) => match structures.get(number) {
                Some(one) => (one.name, addresses.object(one.owner)),
                None => (ELEMENTS, None),
            },
        };
        Held { name, object, range: piece.start..piece.end }
    };
    let is_compact = |header: &Piece, piece: &Piece| match (header.by, piece.by) {
        (By::Structure(number), By::Elements(id)) if piece.end <= header.end => {
            structures.get(number).is_some_and(|one| addresses.object(one.owner) == Some(id))
        }
        _ => false,
    };
    let mut furthest: Option<Piece> = None;
    let mut covered = file.start;
    for piece in &pieces {
        let shared = furthest.filter(|before| piece.start < before.end);
        // Compact elements are a part of their dataset's header.
        if let Some(before) = shared.filter(|before| !is_compact(before, piece)) {
            ledger.overlapping += 1;
            if ledger.overlaps.len() < TOLD {
                ledger.overlaps.push((held(&before), held(piece)));
            }
        }
        if furthest.is_none_or(|before| piece.end > before.end) {
            furthest = Some(*piece);
        }
        if piece.start > covered && covered < file.end {
            ledger.unnamed.push(covered..piece.start.min(file.end));
        }
        covered = covered.max(piece.room);
    }
    if covered < file.end {
        ledger.unnamed.push(covered..file.end);
    }
    ledger
}

/// Tells the bytes of a dataset's pieces, those of none left out.
fn place(placement: &Placement, found: &mut dyn FnMut(u64, u64)) {
    let mut tell = |start: u64, len: u64| {
        if len > 0 {
            found(start, start.saturating_add(len));
        }
    };
    match &placement.place {
        Place::Nowhere => {}
        Place::Piece(range) => tell(range.start, range.end.saturating_sub(range.start)),
        Place::Even { first, counts } => {
            let chunks = counts.iter().fold(1u64, |product, &count| product.saturating_mul(count));
            tell(*first, chunks.saturating_mul(placement.raw_len));
        }
        Place::Listed(chunks) => chunks.iter().for_each(|chunk| tell(chunk.position, chunk.len.into())),
    }
}

#[cfg(test)]
mod tests;
