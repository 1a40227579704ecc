//! The page allocator: gives each structure its address such that a reader with a page buffer sees it whole.
//!
//! libhdf5's page buffer consults only one page for a metadata item smaller than a page, and goes around the buffer for
//! a larger one; and libraries before 1.14.4 read 512 bytes of every object header beyond the end of the buffered page.
//! Hence the rules kept here: a structure below a page never straddles two, a larger one starts on a page and shares
//! its last page with nobody, and no object header starts in the last 512 bytes of a page.

use crate::model::limits::FILE_BYTES;

/// Bytes of a file-space page. The library's default, the kernel's page, and small enough that the pages of array
/// indexes (8 KiB and up) are larger: below that libhdf5 reads those that straddle two pages short.
pub(crate) const PAGE: u64 = 4096;

/// The longest read that the kernel makes a request of, where the mount allows 256 pages as ours does.
pub(crate) const REQUEST: u64 = 1 << 20;

/// Bytes that libhdf5 reads of an object header before it knows its length.
const SPECULATIVE_READ: u64 = 512;

/// Every structure starts at a multiple of this, so that fields can be read in place by tools that map the file.
const ALIGNMENT: u64 = 8;

/// The file has grown past [`FILE_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// Hands out addresses, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    next: u64,
    /// Every metadata structure that was placed: address and length.
    #[cfg(test)]
    pub(crate) pieces: Vec<(u64, u64)>,
    /// Where object headers start.
    #[cfg(test)]
    pub(crate) headers: Vec<u64>,
}

/// `value` rounded up to a multiple of `unit`; saturates, which [`FILE_BYTES`] then refuses.
pub(crate) fn round_up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}

/// Whether `len` bytes at `address` lie in one page.
pub(crate) fn within_page(address: u64, len: u64) -> bool {
    address % PAGE + len <= PAGE
}

impl Pages {
    /// The first address not handed out yet.
    pub(crate) fn end(&self) -> u64 {
        self.next
    }

    fn take(&mut self, start: u64, len: u64) -> Result<u64, Full> {
        let end = start.checked_add(len).filter(|&end| end <= FILE_BYTES).ok_or(Full)?;
        self.next = end;
        Ok(start)
    }

    fn note(&mut self, _start: u64, _len: u64) {
        #[cfg(test)]
        self.pieces.push((_start, _len));
    }

    /// Room for an object header.
    pub(crate) fn header(&mut self, len: u64) -> Result<u64, Full> {
        let start = round_up(self.next, ALIGNMENT);
        if start % PAGE > PAGE - SPECULATIVE_READ {
            self.next = round_up(start, PAGE);
        }
        let start = self.block(len)?;
        #[cfg(test)]
        self.headers.push(start);
        Ok(start)
    }

    /// Room for one structure of metadata.
    pub(crate) fn block(&mut self, len: u64) -> Result<u64, Full> {
        let mut start = round_up(self.next, ALIGNMENT);
        if !within_page(start, len) {
            start = round_up(start, PAGE);
        }
        self.take(start, len)?;
        self.note(start, len);
        if len >= PAGE {
            self.turn()?;
        }
        Ok(start)
    }

    /// Room for `count` structures of `len` bytes, evenly spaced; the distance comes with the address of the first.
    pub(crate) fn run(&mut self, len: u64, count: u64) -> Result<(u64, u64), Full> {
        // A power of two divides the page, so none of the small ones straddles two.
        let stride = if len < PAGE { len.next_power_of_two().max(ALIGNMENT) } else { round_up(len, PAGE) };
        if count == 1 {
            return Ok((self.block(len)?, stride));
        }
        let start = round_up(self.next, stride.min(PAGE));
        self.take(start, stride.checked_mul(count).ok_or(Full)?)?;
        #[cfg(test)]
        for number in 0..count.min(1000) {
            self.note(start + number * stride, len);
        }
        if len >= PAGE {
            self.turn()?;
        }
        Ok((start, stride))
    }

    /// Room for a structure of several items that follow each other without gaps and are read one by one: `prefix`
    /// bytes, `count` items of `item` bytes (at least a page each), then one of `last` bytes or none. `None` where no
    /// start keeps both the prefix and the last item inside a page.
    pub(crate) fn paged(&mut self, prefix: u64, item: u64, count: u64, last: u64) -> Result<Option<u64>, Full> {
        debug_assert!(item >= PAGE || count == 0);
        let base = round_up(self.next, PAGE);
        let body = item.checked_mul(count).and_then(|body| body.checked_add(prefix)).ok_or(Full)?;
        let fits = |start: u64| {
            let tail = start.saturating_add(body);
            (prefix >= PAGE || within_page(start, prefix)) && (last >= PAGE || within_page(tail, last))
        };
        let Some(start) = (0..PAGE / ALIGNMENT).map(|step| base + step * ALIGNMENT).find(|&start| fits(start)) else {
            return Ok(None);
        };
        self.take(start, body.checked_add(last).ok_or(Full)?)?;
        self.note(start, prefix);
        if last > 0 {
            self.note(start + body, last);
        }
        self.turn()?;
        Ok(Some(start))
    }

    /// Leaves the rest of the page empty: what follows is of another kind.
    pub(crate) fn turn(&mut self) -> Result<(), Full> {
        let next = round_up(self.next, PAGE);
        self.take(next, 0).map(drop)
    }

    /// Room for `len` bytes that are not metadata, behind others of their kind.
    pub(crate) fn bytes(&mut self, len: u64) -> Result<u64, Full> {
        self.take(round_up(self.next, ALIGNMENT), len)
    }

    /// Room for `len` bytes that are not metadata, from a page of their own on.
    pub(crate) fn raw(&mut self, len: u64) -> Result<u64, Full> {
        self.aligned(len, PAGE)
    }

    /// As [`raw`](Self::raw), from a multiple of `unit` on, a page or more.
    pub(crate) fn aligned(&mut self, len: u64, unit: u64) -> Result<u64, Full> {
        self.take(round_up(self.next, unit), 0)?;
        let start = self.take(self.next, len)?;
        self.turn()?;
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_does_not_start_in_the_last_512_bytes() {
        let mut pages = Pages::default();
        pages.block(3592).unwrap();
        assert_eq!(pages.header(100), Ok(4096));
        let mut pages = Pages::default();
        pages.block(3584).unwrap();
        assert_eq!(pages.header(100), Ok(3584));
    }

    #[test]
    fn the_file_ends_at_its_limit() {
        let mut pages = Pages::default();
        assert_eq!(pages.raw(FILE_BYTES), Ok(0));
        assert_eq!(pages.block(1), Err(Full));
        assert_eq!(Pages::default().run(u64::MAX, 3), Err(Full));
    }

    proptest! {
        #[test]
        fn small_structures_stay_in_a_page(lens in prop::collection::vec((0u8..3, 1u64..9000, 1u64..9), 1..60)) {
            let mut pages = Pages::default();
            let mut end = 0;
            for (kind, len, count) in lens {
                let start = match kind {
                    0 => pages.header(len).unwrap(),
                    1 => pages.block(len).unwrap(),
                    _ => pages.run(len, count).unwrap().0,
                };
                prop_assert!(start >= end);
                end = pages.end();
            }
            for (start, len) in pages.pieces {
                let whole = if len < PAGE { within_page(start, len) } else { start % PAGE == 0 };
                prop_assert!(whole);
            }
            for start in pages.headers {
                prop_assert!(start % PAGE <= PAGE - SPECULATIVE_READ);
            }
        }

        #[test]
        fn items_in_a_row_keep_their_ends_inside_pages(
            used in 0u64..5000, prefix in 18u64..6000, count in 1u64..1000, last in 0u64..9000,
        ) {
            let mut pages = Pages::default();
            pages.block(used).unwrap();
            if let Some(start) = pages.paged(prefix, 8196, count, last).unwrap() {
                prop_assert!(start >= used);
                prop_assert!(prefix >= PAGE || within_page(start, prefix));
                prop_assert!(last >= PAGE || within_page(start + prefix + 8196 * count, last));
                prop_assert_eq!(pages.end() % PAGE, 0);
            } else {
                prop_assert!(prefix + last > PAGE);
            }
        }
    }
}
