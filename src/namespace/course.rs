//! Where a reader is heading who reads on past the end of a dataset. Pure.
//!
//! The kernel reads ahead of a sequential reader and knows nothing of datasets: at the end of one it asks for what lies behind it,
//! which may be wanted by nobody. Such reads are answered, but they tell nothing of what the reader will want. Only who comes further
//! than the kernel does by itself goes through the file, dataset after dataset, as a program that copies it; and what that one wants
//! next is what lies next in the file.

use std::ops::Range;

use crate::model::hierarchy::ObjectId;

/// How far apart two reads lie of which one goes on where the other ended: padding lies between datasets, and pieces of what the
/// kernel reads ahead, of a mebibyte at most, do not always come in order.
const NEAR: u64 = 1 << 20;
/// Bytes that are fetched ahead of who goes through a file: what the kernel reads ahead for root of a program that says it reads all.
const AHEAD: u64 = 8 << 20;

/// The course of one open handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Course {
    /// How far past the end of a dataset the kernel reads.
    overrun: u64,
    /// Where what was read so far ends.
    end: u64,
    dataset: Option<ObjectId>,
    /// Where the dataset ended that was read to its end.
    border: Option<u64>,
    /// It came further than the kernel would.
    through: bool,
    /// What was told to be fetched, from `end` on.
    asked: u64,
}

impl Course {
    /// Of a handle of which the kernel reads `read_ahead` bytes ahead.
    pub(super) fn new(read_ahead: u64) -> Course {
        // It asks for as much again when half of what it asked for was used.
        let overrun = read_ahead.saturating_mul(2);
        Course { overrun, end: 0, dataset: None, border: None, through: false, asked: 0 }
    }

    /// Bytes `range` of the file are read, of `dataset`. False where this tells nothing of what will be wanted.
    pub(super) fn touch(&mut self, range: &Range<u64>, dataset: ObjectId) -> bool {
        if range.start.abs_diff(self.end) > NEAR || self.dataset.is_none() {
            *self = Course { end: range.end, dataset: Some(dataset), border: None, through: false, asked: 0, ..*self };
            return true;
        }
        if self.dataset != Some(dataset) && range.start >= self.end {
            self.border.get_or_insert(range.start);
            self.dataset = Some(dataset);
        }
        self.end = self.end.max(range.end);
        match self.border {
            Some(border) if !self.through => {
                self.through = self.end - border > self.overrun;
                self.through || range.start < border
            }
            _ => true,
        }
    }

    /// Bytes of the file that are to be fetched now.
    pub(super) fn ahead(&mut self) -> Option<Range<u64>> {
        let range = self.asked.max(self.end)..self.end.saturating_add(AHEAD);
        // Many at a time: what lies together comes with one request.
        if !self.through || range.end - range.start < AHEAD / 2 {
            return None;
        }
        self.asked = range.end;
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn read(course: &mut Course, dataset: u32, range: Range<u64>) -> (bool, Option<Range<u64>>) {
        let told = course.touch(&range, ObjectId(dataset));
        (told, course.ahead())
    }

    #[test]
    fn what_the_kernel_reads_past_the_end_of_a_dataset_tells_nothing() {
        let mut course = Course::new(128 * KIB);
        assert_eq!(read(&mut course, 1, 4 * MIB..5 * MIB), (true, None));
        assert_eq!(read(&mut course, 2, 5 * MIB..5 * MIB + 100 * KIB), (false, None));
        assert_eq!(read(&mut course, 3, 5 * MIB + 104 * KIB..5 * MIB + 256 * KIB), (false, None));
        // Pieces of the dataset itself that come late do.
        assert_eq!(read(&mut course, 1, 5 * MIB - 4 * KIB..5 * MIB), (true, None));
        // And so does a read anywhere else.
        assert_eq!(read(&mut course, 3, 9 * MIB..9 * MIB + KIB), (true, None));
        assert_eq!(read(&mut course, 2, 5 * MIB..6 * MIB), (true, None));
    }

    #[test]
    fn who_comes_further_than_the_kernel_gets_what_lies_next_in_the_file() {
        let mut course = Course::new(128 * KIB);
        read(&mut course, 1, 0..MIB);
        assert_eq!(read(&mut course, 2, MIB..MIB + 300 * KIB), (true, Some(MIB + 300 * KIB..9 * MIB + 300 * KIB)));
        assert_eq!(read(&mut course, 3, MIB + 300 * KIB..5 * MIB), (true, None));
        assert_eq!(read(&mut course, 4, 5 * MIB..6 * MIB), (true, Some(9 * MIB + 300 * KIB..14 * MIB)));
        // Until he goes elsewhere.
        assert_eq!(read(&mut course, 1, 0..KIB), (true, None));
        assert_eq!(read(&mut course, 2, MIB..MIB + KIB), (false, None));
    }
}
