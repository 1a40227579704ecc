//! Bytes of an object that were read so far: some ranges of it, by position.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Ranges of one object.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    len: u64,
    /// What was read, by the first byte; no two overlap.
    parts: BTreeMap<u64, Bytes>,
    /// Ranges that were asked for and lie in more than one part, in one piece; of each start the longest.
    joined: BTreeMap<u64, Bytes>,
}

impl Extents {
    /// Nothing yet of an object of `len` bytes.
    pub fn new(len: u64) -> Self {
        Extents { len, ..Extents::default() }
    }

    /// Bytes of the object.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for an object of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that were read.
    pub fn held(&self) -> u64 {
        self.parts.values().map(|part| part.len() as u64).sum()
    }

    /// The bytes of `range`; `None` where they are not there in one piece, see [`join`](Self::join).
    pub fn get(&self, range: &Range<u64>) -> Option<&[u8]> {
        if range.is_empty() {
            return Some(&[]);
        }
        let part = self.parts.range(..=range.start).next_back().and_then(|(&start, part)| within(start, part, range));
        part.or_else(|| self.joined.get(&range.start).and_then(|part| within(range.start, part, range)))
    }

    /// What of `range` was not read.
    pub fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        let before = self.parts.range(..=at).next_back().map(|(&start, part)| start..start + part.len() as u64);
        let first = before.filter(|part| part.end > at).map_or(at, |part| part.start);
        for (&start, part) in self.parts.range(first..range.end.max(first)) {
            if start > at {
                gaps.push(at..start);
            }
            at = at.max(start + part.len() as u64);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Takes in what was read from byte `start` on. What is held already stays as it is.
    pub fn put(&mut self, start: u64, bytes: Bytes) {
        for gap in self.gaps(start..start.saturating_add(bytes.len() as u64)) {
            let part = bytes.slice((gap.start - start) as usize..(gap.end - start) as usize);
            self.parts.insert(gap.start, part);
        }
    }

    /// Makes one piece of `range`, all of which was read; false where it was not.
    pub fn join(&mut self, range: &Range<u64>) -> bool {
        if self.get(range).is_some() {
            return true;
        }
        if !self.gaps(range.clone()).is_empty() {
            return false;
        }
        let Ok(len) = usize::try_from(range.end - range.start) else { return false };
        let mut whole = BytesMut::with_capacity(len);
        let before = self.parts.range(..=range.start).next_back().map_or(range.start, |(&start, _)| start);
        for (&start, part) in self.parts.range(before..range.end) {
            let from = range.start.max(start) - start;
            let to = (range.end.min(start + part.len() as u64)).saturating_sub(start);
            whole.extend_from_slice(part.get(from as usize..to as usize).unwrap_or_default());
        }
        self.joined.insert(range.start, whole.freeze());
        true
    }
}

/// The bytes of `range` in a part that begins at `start`.
fn within<'a>(start: u64, part: &'a Bytes, range: &Range<u64>) -> Option<&'a [u8]> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    part.get(from..usize::try_from(range.end.checked_sub(start)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_put_together_of_what_was_read() {
        let whole: Bytes = (0..100u8).collect();
        let mut extents = Extents::new(100);
        extents.put(10, whole.slice(10..20));
        extents.put(30, whole.slice(30..40));
        assert_eq!(extents.gaps(5..45), [5..10, 20..30, 40..45]);
        assert_eq!(extents.gaps(12..18), []);
        assert_eq!(extents.get(&(12..18)), Some(&whole[12..18]));
        assert_eq!(extents.get(&(12..22)), None);
        assert!(!extents.join(&(12..32)));
        extents.put(15, whole.slice(15..35));
        assert_eq!((extents.held(), extents.gaps(0..100)), (30, vec![0..10, 40..100]));
        assert_eq!(extents.get(&(12..32)), None);
        assert!(extents.join(&(12..32)));
        assert_eq!(extents.get(&(12..32)), Some(&whole[12..32]));
        assert!(extents.join(&(12..39)));
        assert_eq!(extents.get(&(12..39)), Some(&whole[12..39]));
        assert_eq!(extents.get(&(50..50)), Some(&[][..]));
        assert_eq!(extents.gaps(50..50), []);
    }
}
