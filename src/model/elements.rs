//! Element values of any datatype, ready to be placed.
//!
//! Numbers and fixed strings are bytes in the file's own form. What depends on where things lie in the presented file
//! (heap ids of variable-length data, addresses of referenced objects) is kept apart as a list of places to fill in:
//! a source makes `Elements`, the layout gives each place its bytes.

use bytes::Bytes;

use super::hierarchy::ObjectId;
use super::selection::Selection;

/// Bytes of a heap object beside its contents: what a place counts beside what stands there.
const FILLED: u64 = 16;

/// Some elements of one datatype, back to back.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Elements {
    /// File form, `datatype.size()` bytes an element; zero where a place is filled in later, and zero stays where there
    /// is nothing to fill in (an empty sequence, no string, a null reference).
    pub bytes: Bytes,
    /// What to fill in, by ascending position.
    pub places: Vec<Place>,
}

/// One position inside [`Elements::bytes`] whose bytes depend on the layout.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// Byte offset in `bytes`.
    pub at: u64,
    /// What stands there.
    pub target: Target,
}

/// What a place stands for.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// A variable-length element (16 bytes at the place): its length in elements of its base type (bytes for a string),
    /// and the elements, which may have places of their own. With a count of 0 it is an empty string that is there, as
    /// opposed to none: HDF5 tells `""` from a null pointer by whether a heap object stands behind it.
    Sequence {
        /// Elements in it; for a string its bytes.
        count: u32,
        /// Their values.
        body: Elements,
    },
    /// An object reference (8 bytes at the place).
    Object(ObjectId),
    /// A region reference (12 bytes at the place).
    Region {
        /// The dataset.
        object: ObjectId,
        /// The part of it.
        selection: Selection,
    },
    /// A reference in the form of HDF5 1.12 (18 bytes at the place).
    Reference {
        /// What it leads to, or into; `None` where that is in another file.
        object: Option<ObjectId>,
        /// What kind of reference it is, and its flags.
        kind: [u8; 2],
        /// What follows the object's address: the part of it, or the attribute's name, in HDF5's own bytes. Of one to
        /// another file all there is.
        rest: Bytes,
    },
}

impl Elements {
    /// Elements with nothing to fill in.
    pub fn plain(bytes: impl Into<Bytes>) -> Self {
        Elements { bytes: bytes.into(), places: Vec::new() }
    }

    /// Whether they take more than `bytes`, with all that is to be filled in. No more is looked at than it takes to tell.
    pub fn outweigh(&self, bytes: u64) -> bool {
        self.room_left(bytes).is_none()
    }

    fn room_left(&self, bytes: u64) -> Option<u64> {
        let mut left = bytes.checked_sub(self.bytes.len() as u64)?;
        for place in &self.places {
            left = left.checked_sub(FILLED)?;
            if let Target::Sequence { body, .. } = &place.target {
                left = body.room_left(left)?;
            }
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_outweigh_by_what_is_filled_in() {
        let body = Elements::plain(vec![0; 100]);
        let string = Target::Sequence { count: 100, body };
        let places = [0, 16].map(|at| Place { at, target: string.clone() }).to_vec();
        let elements = Elements { bytes: vec![0; 32].into(), places };
        assert!(!elements.outweigh(32 + 2 * (16 + 100)));
        assert!(elements.outweigh(32 + 2 * (16 + 100) - 1) && elements.outweigh(0));
        assert!(!Elements::default().outweigh(0));
    }
}
